//! `squall alias match --batch`.

use super::{answer, bad, field, text, value};
use crate::Error;
use crate::alias::{Entry, Format, HelpQuery, Matcher, Options, help, representations};
use serde_json::Value as Line;
use squall_model::Value;

/// Answers a line of kind `extract`, `multiple`, `match`, `help` or `formats`.
pub fn match_line(line: &Line) -> Line {
    let outcome = match line.get("kind").and_then(Line::as_str) {
        Some("extract") => extract(line),
        Some("multiple") => multiple(line),
        Some("match") => matches(line),
        Some("help") => help_strings(line),
        Some("formats") => formats(line),
        _ => Err(bad("`kind`: extract, multiple, match, help or formats")),
    };
    answer(line, outcome.map(|v| value(&v)))
}

fn extract(line: &Line) -> Result<Value, Error> {
    Ok(Format::parse(text(line, "format")?)?.extract(text(line, "command")?)?.into())
}

fn multiple(line: &Line) -> Result<Value, Error> {
    let all = Format::parse(text(line, "format")?)?.extract_all(text(line, "command")?)?;
    Ok(all.into_iter().map(Value::from).collect::<Vec<_>>().into())
}

fn matches(line: &Line) -> Result<Value, Error> {
    let mut entries = Vec::new();
    for alias in list(line, "aliases") {
        for representation in representations(alias.get("formats").and_then(Value::as_list).unwrap_or_default())? {
            // The recorded function tries every representation in the single-match form.
            entries.push(Entry {
                alias: alias.get("name").cloned().unwrap_or_default(),
                representation: representation.text,
                multiple: false,
                parameters: Vec::new(),
            });
        }
    }
    let (matcher, _) = Matcher::new(entries, Options::default());
    let hits = matcher.find(text(line, "command")?);
    let pair = |h: &crate::alias::Hit<Value>| vec![h.alias.clone(), Value::from(h.representation.clone())].into();
    Ok(hits.iter().map(pair).collect::<Vec<Value>>().into())
}

fn help_strings(line: &Line) -> Result<Value, Error> {
    let args = field(line, "args");
    let number = |key: &str| match args.get(key) {
        None => Ok(0),
        Some(Value::Int(n)) => Ok(usize::try_from(*n).unwrap_or(0)),
        Some(_) => Err(Error::new("TypeError", "limit or offset argument is not an integer")),
    };
    let words = |key: &str| args.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let query =
        HelpQuery { filter: words("filter"), pack: words("pack"), limit: number("limit")?, offset: number("offset")? };
    let page = help(&list(line, "aliases"), &query)?;
    let entries: Vec<Value> = page
        .entries
        .into_iter()
        .map(|e| Value::from_pairs([("pack", e.pack), ("display", e.display), ("description", e.description)]))
        .collect();
    Ok(Value::from_pairs([("available", Value::from(page.available)), ("helpstrings", entries.into())]))
}

fn formats(line: &Line) -> Result<Value, Error> {
    let mut all = Vec::new();
    for alias in list(line, "aliases") {
        for r in representations(alias.get("formats").and_then(Value::as_list).unwrap_or_default())? {
            let mut entry = vec![
                ("alias", alias.get("name").cloned().unwrap_or_default()),
                ("format", r.format),
                ("display", r.display.into()),
                ("representation", r.text.into()),
            ];
            entry.extend(r.multiple.map(|m| ("match_multiple", Value::Bool(m))));
            all.push(Value::from_pairs(entry));
        }
    }
    Ok(all.into())
}

fn list(line: &Line, name: &str) -> Vec<Value> {
    field(line, name).as_list().unwrap_or_default().to_vec()
}
