//! Filters of texts.

use super::super::calls::{CallArgs, required};
use super::super::interpreter::Interpreter;
use super::super::value::V;
use super::super::{methods, printf};
use super::{Own, flag, whole};
use crate::Error;
use squall_model::Str;

pub(super) fn find(name: &str) -> Option<Own> {
    Some(match name {
        "upper" => |i, v, _| Ok(V::from(i.text(&v)?.to_uppercase())),
        "lower" => |i, v, _| Ok(V::from(i.text(&v)?.to_lowercase())),
        "capitalize" => |i, v, _| Ok(V::from(methods::capitalize(&i.text(&v)?))),
        "title" => |i, v, _| Ok(V::from(title(&i.text(&v)?))),
        "string" | "safe" => |i, v, _| Ok(V::from(i.text(&v)?.into_owned())),
        "trim" => trim,
        "replace" => replace,
        "center" => center,
        "indent" => indent,
        "truncate" => truncate,
        "wordwrap" => wordwrap,
        "wordcount" => |i, v, _| Ok(V::from(words(&i.text(&v)?))),
        "format" => format,
        "default" | "d" => default,
        _ => return None,
    })
}

fn default(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [other, boolean] = args.bind("default", ["default_value", "boolean"])?;
    let boolean = flag(i, boolean, false)?;
    let missing = matches!(value, V::Undefined(_)) || (boolean && !value.is_truthy());
    Ok(if missing { other.unwrap_or_else(|| V::from("")) } else { value })
}

/// Words begin after blanks, dashes and opening brackets; unlike Python's method, an apostrophe is no break.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        start = c.is_whitespace() || matches!(c, '-' | '(' | '{' | '[' | '<');
    }
    out
}

fn trim(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [chars] = args.bind("trim", ["chars"])?;
    let text = V::Str(i.text(&value)?.as_ref().into());
    methods::call(i, &text, "strip", CallArgs::of(chars.into_iter().collect()))
}

fn replace(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [old, new, count] = args.bind("replace", ["old", "new", "count"])?;
    let (old, new) = (required(old, "replace", "old")?, required(new, "replace", "new")?);
    let count = whole(count, -1)?;
    let (text, old, new) = (i.text(&value)?, i.text(&old)?, i.text(&new)?);
    methods::replace(i, &text, &old, &new, count).map(V::from)
}

fn center(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [width] = args.bind("center", ["width"])?;
    let text = V::Str(i.text(&value)?.as_ref().into());
    methods::call(i, &text, "center", CallArgs::of(vec![width.unwrap_or(V::Int(80))]))
}

/// What Python does with `value + "\n"` and the like when the value is no text.
fn must_be_text(i: &Interpreter, value: &V, what: &str) -> Result<(), Error> {
    i.check(value)?;
    match value {
        V::Str(_) | V::Item(_) => Ok(()),
        other => Err(Error::new("TypeError", format!("{what} takes a text, not {}", other.type_name()))),
    }
}

fn indent(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [width, first, blank] = args.bind("indent", ["width", "first", "blank"])?;
    let indent = match width {
        Some(V::Str(text)) => text.to_string(),
        width => {
            let width = usize::try_from(whole(width, 4)?).unwrap_or(0);
            i.budget.bytes(width as u64)?;
            " ".repeat(width)
        }
    };
    let (first, blank) = (flag(i, first, false)?, flag(i, blank, false)?);
    must_be_text(i, &value, "indent")?;
    // A line feed is added first so that one at the end survives.
    let text = i.text(&value)?.into_owned() + "\n";
    let lines = methods::split_lines(&text, false);
    i.budget.bytes((text.len() as u64).saturating_add((lines.len() as u64).saturating_mul(indent.len() as u64)))?;
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let indented = if at == 0 { first } else { blank || !line.is_empty() };
        if at > 0 {
            out.push('\n');
        }
        if indented {
            out.push_str(&indent);
        }
        out.push_str(line);
    }
    Ok(V::from(out))
}

fn truncate(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [length, kill, end, leeway] = args.bind("truncate", ["length", "killwords", "end", "leeway"])?;
    let length = usize::try_from(whole(length, 255)?).unwrap_or(0);
    let leeway = usize::try_from(whole(leeway, 5)?).unwrap_or(0);
    let kill = flag(i, kill, false)?;
    let end = match &end {
        Some(end) => i.text(end)?.into_owned(),
        None => "...".to_owned(),
    };
    let end_length = end.chars().count();
    if length < end_length {
        return Err(Error::new("AssertionError", format!("expected length >= {end_length}, got {length}")));
    }
    if !matches!(value, V::Str(_) | V::Item(_)) {
        // Anything with a length passes as long as it is short.
        let len = super::sequences::length(i, &value)?;
        if len <= length.saturating_add(leeway) {
            return Ok(value);
        }
        must_be_text(i, &value, "truncate")?;
    }
    let text = i.text(&value)?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(V::from(text.into_owned()));
    }
    let cut: String = text.chars().take(length - end_length).collect();
    let kept = match cut.rsplit_once(' ') {
        Some((kept, _)) if !kill => kept,
        _ => &cut,
    };
    Ok(V::from(format!("{kept}{end}")))
}

/// Runs of letters, digits and underscores.
fn words(text: &str) -> usize {
    text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty()).count()
}

fn format(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    if !args.positional.is_empty() && !args.named.is_empty() {
        return Err(Error::new(
            "FilterArgumentError",
            "can't handle positional and keyword arguments at the same time",
        ));
    }
    let template: Str = i.text(&value)?.as_ref().into();
    let arguments = if args.named.is_empty() {
        V::tuple(args.positional)?
    } else {
        super::super::value::dict(args.named.into_iter().map(|(k, v)| (V::Str(k), v)))?
    };
    printf::format(&template, &arguments, &i.budget).map(V::from)
}

fn wordwrap(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let names = ["width", "break_long_words", "wrapstring", "break_on_hyphens"];
    let [width, long, with, hyphens] = args.bind("wordwrap", names)?;
    let width = usize::try_from(whole(width, 79)?).unwrap_or(0);
    if width == 0 {
        return Err(Error::new("ValueError", "invalid width 0 (must be > 0)"));
    }
    let (long, hyphens) = (flag(i, long, true)?, flag(i, hyphens, true)?);
    let with = match &with {
        Some(V::None) | None => "\n".to_owned(),
        Some(with) => i.text(with)?.into_owned(),
    };
    must_be_text(i, &value, "wordwrap")?;
    let text = i.text(&value)?;
    i.budget.step(text.len() as u64)?;
    let lines: Vec<String> = methods::split_lines(&text, false)
        .into_iter()
        .map(|line| wrap(line, width, long, hyphens).join(&with))
        .collect();
    Ok(V::from(lines.join(&with)))
}

/// Python's `textwrap.wrap` for one line.
fn wrap(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for part in chunked(line) {
        if hyphens && !part.starts_with(char::is_whitespace) {
            chunks.extend(hyphenated(part));
        } else {
            chunks.push(part.to_owned());
        }
    }
    chunks.reverse();
    let len = |text: &str| text.chars().count();
    let mut lines: Vec<String> = Vec::new();
    while let Some(chunk) = chunks.last() {
        if !lines.is_empty() && chunk.trim().is_empty() {
            chunks.pop();
            continue;
        }
        let mut current: Vec<String> = Vec::new();
        let mut used = 0;
        while let Some(chunk) = chunks.pop() {
            if used + len(&chunk) <= width {
                used += len(&chunk);
                current.push(chunk);
                continue;
            }
            if len(&chunk) > width && (break_long || current.is_empty()) {
                let room = if break_long { width - used } else { usize::MAX };
                let head: String = chunk.chars().take(room).collect();
                let tail: String = chunk.chars().skip(room).collect();
                if !head.is_empty() {
                    current.push(head);
                }
                if !tail.is_empty() {
                    chunks.push(tail);
                }
            } else {
                chunks.push(chunk);
            }
            break;
        }
        if current.last().is_some_and(|last| last.trim().is_empty()) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.concat());
        }
    }
    lines
}

/// Words and the blanks between them.
fn chunked(line: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let blank = first.is_whitespace();
        let end = rest.find(|c: char| c.is_whitespace() != blank).unwrap_or(rest.len());
        chunks.push(&rest[..end]);
        rest = &rest[end..];
    }
    chunks
}

/// A word in the pieces at which it may be broken: after a hyphen between letters.
fn hyphenated(word: &str) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for (at, &c) in chars.iter().enumerate() {
        piece.push(c);
        let letters_before = at >= 2 && chars[at - 1].is_alphabetic() && chars[at - 2].is_alphanumeric();
        let letters_after = chars.get(at + 1).is_some_and(|c| c.is_alphabetic())
            && chars.get(at + 2).is_some_and(|c| c.is_alphanumeric() || *c == '-');
        if c == '-' && letters_before && letters_after {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}
