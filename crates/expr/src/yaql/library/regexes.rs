//! Regular expressions. Positions count code points.

use crate::Error;
use crate::pattern::{self, Anchor, Flags, Match, Pattern};
use crate::yaql::call::Args;
use crate::yaql::eval::{Eval, Lambda, Names, Outcome};
use crate::yaql::table::{Entry, Type, function, method, opt, req};
use crate::yaql::value::Val;
use squall_model::{Map, Special, Str, Value};
use std::sync::Arc;

fn regex<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let source = args.text(0);
    let flags = Flags {
        ignore_case: args.flag(1, false),
        multi_line: args.flag(2, false),
        dot_all: args.flag(3, false),
        ..Flags::default()
    };
    pattern::compile(&source, flags)?;
    Ok(Val::special(Special::Regex(flags.with_source(&source).into())))
}

fn compiled(val: &Val<'_>) -> Result<Pattern, Error> {
    match (val.as_special(), val) {
        (Some(Special::Regex(source)), _) => pattern::compile_source(source),
        (_, Val::Plain(Value::Str(source))) => pattern::compile(source, Flags::default()),
        _ => Err(Error::new("TypeError", "not a regular expression")),
    }
}

/// Pattern and text, whichever of them is the receiver.
fn subject<'a>(args: &mut Args<'a>) -> Result<(Pattern, Str), Error> {
    let (first, second) = (args.val(0), args.val(1));
    let (regex, text) = if first.as_special().is_some() { (first, second) } else { (second, first) };
    let text = match text {
        Val::Plain(Value::Str(text)) => text,
        _ => return Err(Error::new("TypeError", "expected string or bytes-like object")),
    };
    Ok((compiled(&regex)?, text))
}

fn matches<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (regex, text) = subject(&mut args)?;
    Ok(Val::from(regex.is_match(&text, Anchor::Anywhere)?))
}

/// In `string.matches(pattern)` both are texts.
fn matches_pattern<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    let regex = pattern::compile(&args.text(1), Flags::default())?;
    Ok(Val::from(regex.is_match(&text, Anchor::Anywhere)?))
}

fn count(text: &str, until: usize) -> i64 {
    let before = text.get(..until).unwrap_or_default();
    i64::try_from(if before.is_ascii() { before.len() } else { before.chars().count() }).unwrap_or(i64::MAX)
}

/// `{value, start, end}` of a group; null and -1 when it took no part.
fn group(text: &str, span: Option<std::ops::Range<usize>>) -> Value {
    let (value, start, end) = match span {
        Some(span) => {
            let value = text.get(span.clone()).map_or(Value::Null, Value::from);
            (value, count(text, span.start), count(text, span.end))
        }
        None => (Value::Null, -1, -1),
    };
    let mut map = Map::new();
    map.insert("value".into(), value);
    map.insert("start".into(), Value::Int(start));
    map.insert("end".into(), Value::Int(end));
    Value::Map(Arc::new(map))
}

/// Calls a selector with `$` the whole match and `$2…` the groups.
fn select<'a>(ev: &'a Eval<'a>, regex: &Pattern, text: &str, one: &Match, selector: &Lambda<'a>) -> Outcome<'a> {
    if regex.group_names().iter().any(Option::is_some) {
        // The original walks the wrong view of named groups here, and content cannot rely on what always fails.
        return Err(Error::new("ValueError", "named groups cannot be used with a selector"));
    }
    ev.budget.bytes(200 * one.groups.len() as u64)?;
    let groups = one.groups.iter().map(|span| Val::Plain(group(text, span.clone())));
    selector.call_with(ev, Names::new(groups.collect(), Vec::new()))
}

fn found<'a>(ev: &'a Eval<'a>, regex: &Pattern, text: &str, one: &Match, selector: Option<&Lambda<'a>>) -> Outcome<'a> {
    match selector {
        Some(selector) => select(ev, regex, text, one, selector),
        None => {
            let value = text.get(one.span()).unwrap_or_default();
            ev.budget.bytes(value.len() as u64 + 16)?;
            Ok(Val::from(value))
        }
    }
}

fn search<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (regex, text) = subject(&mut args)?;
    let selector = args.lambda(2);
    ev.budget.step(text.len() as u64 / 64)?;
    match regex.captures(&text, Anchor::Anywhere)? {
        Some(one) => found(ev, &regex, &text, &one, selector.as_ref()),
        None => Ok(Val::NULL),
    }
}

fn search_all<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (regex, text) = subject(&mut args)?;
    let selector = args.lambda(2);
    let nest = selector.as_ref().map_or(0, Lambda::nest);
    let mut all: Option<std::vec::IntoIter<Match>> = None;
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        let left = match &mut all {
            Some(left) => left,
            None => all.insert(regex.find_all(&text, 0, &ev.budget)?.into_iter()),
        };
        match left.next() {
            Some(one) => found(ev, &regex, &text, &one, selector.as_ref()).map(Some),
            None => Ok(None),
        }
    })
}

/// Python takes a negative number of splits or replacements for none in `re`, and none for all.
fn limit(most: i64) -> Option<usize> {
    usize::try_from(most).ok()
}

fn split<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (regex, text) = subject(&mut args)?;
    let parts = match limit(args.int(2, 0)) {
        Some(most) => regex.split(&text, most, &ev.budget)?,
        None => vec![Some(text.to_string())],
    };
    ev.mutable_list(parts.into_iter().map(|part| Val::Plain(Value::from(part))).collect())
}

fn replace<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (regex, text) = subject(&mut args)?;
    let template = args.text(2);
    match limit(args.int(3, 0)) {
        Some(most) => Ok(Val::from(regex.replace(&text, &template, most, &ev.budget)?)),
        None => Ok(Val::from(&*text)),
    }
}

fn replace_by<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (regex, text) = subject(&mut args)?;
    let replacement = args.code(2);
    let Some(most) = limit(args.int(3, 0)) else { return Ok(Val::from(&*text)) };
    let out =
        regex.replace_with(&text, most, &ev.budget, |one| match select(ev, &regex, &text, one, &replacement)? {
            Val::Plain(Value::Str(with)) => Ok(with.to_string()),
            Val::Plain(Value::Null) => Ok(String::new()),
            _ => Err(Error::new("TypeError", "the replacement of a match must be a string")),
        })?;
    Ok(Val::from(out))
}

fn escape<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    ev.budget.bytes(text.len() as u64 * 2)?;
    Ok(Val::from(pattern::escape(&text)))
}

fn is_regex<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(matches!(args.val(0).as_special(), Some(Special::Regex(_)))))
}

const REGEX: crate::yaql::table::Param = req("regexp", Type::Regex);
const STRING: crate::yaql::table::Param = req("string", Type::Str);

pub(in crate::yaql) const TABLE: &[Entry] = &[
    function(
        "regex",
        &[
            req("pattern", Type::Str),
            opt("ignoreCase", Type::BoolOrNull),
            opt("multiLine", Type::BoolOrNull),
            opt("dotAll", Type::BoolOrNull),
        ],
        regex,
    ),
    method("matches", &[REGEX, STRING], matches),
    method("matches", &[STRING, req("regexp", Type::Str)], matches_pattern),
    method("search", &[REGEX, STRING, opt("selector", Type::Lambda)], search),
    method("searchAll", &[REGEX, STRING, opt("selector", Type::Lambda)], search_all),
    method("split", &[REGEX, STRING, opt("maxSplit", Type::Int)], split),
    method("split", &[STRING, REGEX, opt("maxSplit", Type::Int)], split),
    method("replace", &[REGEX, STRING, req("repl", Type::Str), opt("count", Type::Int)], replace),
    method("replace", &[STRING, REGEX, req("repl", Type::Str), opt("count", Type::Int)], replace),
    method("replaceBy", &[REGEX, STRING, req("repl", Type::Lambda), opt("count", Type::Int)], replace_by),
    method("replaceBy", &[STRING, REGEX, req("repl", Type::Lambda), opt("count", Type::Int)], replace_by),
    function("escapeRegex", &[STRING], escape),
    function("isRegex", &[req("value", Type::Any)], is_regex),
];
