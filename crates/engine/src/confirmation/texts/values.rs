//! What is done to values before they are shown: made harmless, cut, masked, listed.
//!
//! Start reading at [`neutral`].

use super::super::declare::Show;
use super::super::digest::sha256_hex;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use squall_model::{Map, Str, Value, to_json};
use std::fmt::Write as _;
use std::time::Duration;

/// What a masked value looks like; the length tells nothing.
pub const MASK: &str = "••••••";
/// Longest name of a person.
const NAME: usize = 80;
/// Longest dry run.
const DRY_RUN: usize = 1_500;

/// Words behind an `@` that call everybody on some network.
const EVERYBODY: [&str; 4] = ["here", "channel", "everyone", "all"];

/// A value made harmless: what cannot be seen, what reorders text and what networks act on is written out.
pub fn neutral(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push('⇥'),
            '`' => out.push_str("\\u{60}"),
            '@' if calls_everybody(rest) => out.push_str("\\u{40}"),
            '<' if rest.starts_with(['!', '@', '#']) => out.push_str("\\u{3C}"),
            '(' if before == ']' => out.push_str("\\u{28}"),
            c if is_unseen(c) => drop(write!(out, "\\u{{{:X}}}", c as u32)),
            c => out.push(c),
        }
        before = c;
    }
    out
}

fn calls_everybody(rest: &str) -> bool {
    EVERYBODY.iter().any(|word| {
        let (Some(head), tail) = (rest.get(..word.len()), rest.get(word.len()..)) else { return false };
        head.eq_ignore_ascii_case(word) && !tail.unwrap_or_default().starts_with(|c: char| c.is_alphanumeric())
    })
}

/// Control characters, bidirectional and zero-width ones, fillers and tags.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A text value as it is shown: harmless, and cut in the middle when long.
pub fn shown_text(text: &str) -> String {
    let count = text.chars().count();
    if count <= 200 {
        return neutral(text);
    }
    let head: String = text.chars().take(160).collect();
    let tail: String = text.chars().skip(count - 20).collect();
    let sha = sha256_hex(text);
    let sha = sha.get(..8).unwrap_or_default();
    format!("{} … {} ({count} characters, sha256 {sha})", neutral(&head), neutral(&tail))
}

/// A name as it is shown: harmless, short, on one line, and calling nobody.
pub fn shown_name(text: &str) -> String {
    let short: String = text.chars().take(NAME).collect();
    neutral(&short)
}

/// A parameter's value as it is shown.
pub fn shown_value(value: &Value) -> String {
    match value {
        Value::Str(text) if text.is_empty() => "\"\"".into(),
        Value::Str(text) => shown_text(text),
        Value::List(items) if items.iter().all(|i| !matches!(i, Value::List(_) | Value::Map(_))) => {
            let cut = if items.len() > 10 { 8 } else { items.len() };
            let shown: Vec<String> = items.iter().take(cut).map(shown_value).collect();
            let more = items.len() - cut;
            let rest = if more > 0 { format!(", … and {more} more") } else { String::new() };
            if items.is_empty() { "[]".into() } else { format!("{}{rest}", shown.join(", ")) }
        }
        other => shown_text(&to_json(other)),
    }
}

/// What people are shown of one run; made when it is held and stored, so that every copy says the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRun {
    /// The action's reference.
    pub action: String,
    /// Its description.
    #[serde(default)]
    pub description: Option<String>,
    /// Parameters, each with its neutralised value.
    pub params: Vec<(String, String)>,
    /// How many more are as their defaults.
    #[serde(default)]
    pub defaults: u32,
    /// How many the rule hides.
    #[serde(default)]
    pub hidden: u32,
    /// `hosts: 12 (web1 … web12)`, `Dry run (3.1 s): …`
    #[serde(default)]
    pub impact: Vec<String>,
}

/// Shows a run: parameters in the order required, position, alphabet; secrets masked; defaults counted.
pub fn shown_run(
    action: &str,
    description: Option<&str>,
    schemas: &IndexMap<Str, Value>,
    params: &Map,
    show: &Show,
) -> ShownRun {
    let mut run =
        ShownRun { action: action.to_owned(), description: description.map(shown_text), ..ShownRun::default() };
    let is = |schema: Option<&Value>, key: &str| schema.and_then(|s| s.get(key)).is_some_and(Value::is_truthy);
    let mut names: Vec<&Str> = params.keys().collect();
    names.sort_by_key(|name| {
        let schema = schemas.get(*name);
        let position = schema.and_then(|s| s.get("position")).and_then(Value::as_int).unwrap_or(i64::MAX);
        (!is(schema, "required"), position, (*name).clone())
    });
    for name in names {
        let (schema, value) = (schemas.get(name), &params[name]);
        let chosen = show.params.is_empty() || show.params.iter().any(|p| **p == **name);
        if !chosen || show.hide.iter().any(|p| **p == **name) {
            run.hidden += 1;
        } else if value.is_null() || schema.and_then(|s| s.get("default")) == Some(value) {
            run.defaults += 1;
        } else if schema.is_some_and(holds_secret) {
            run.params.push((shown_name(name), MASK.into()));
        } else {
            run.params.push((shown_name(name), shown_value(value)));
            run.impact.extend(list_impact(name, value));
        }
    }
    run
}

/// Whether a schema, or any schema inside of it, is marked secret.
pub fn holds_secret(schema: &Value) -> bool {
    match schema {
        // Schemas are at most as deep as the loader lets them be.
        Value::Map(map) => map.get("secret").is_some_and(Value::is_truthy) || map.values().any(holds_secret),
        Value::List(items) => items.iter().any(holds_secret),
        _ => false,
    }
}

/// `hosts: 12 (web1 … web12)`
fn list_impact(name: &str, value: &Value) -> Option<String> {
    let items = value.as_list().filter(|items| items.len() > 1)?;
    let (first, last) = (items.first()?, items.last()?);
    Some(format!("{}: {} ({} … {})", shown_name(name), items.len(), shown_value(first), shown_value(last)))
}

/// The line about a dry run.
pub fn dry_run(result: Result<(&str, Duration), &str>) -> String {
    match result {
        Ok((output, took)) => {
            let short: String = output.chars().take(DRY_RUN).collect();
            let cut = if short.len() < output.len() { "…" } else { "" };
            format!("Dry run ({:.1} s): {}{cut}", took.as_secs_f64(), neutral(short.trim_end()))
        }
        Err(why) => format!("Dry run failed: {} — you decide without it.", shown_text(why)),
    }
}
