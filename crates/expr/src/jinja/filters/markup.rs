//! Filters around HTML, URLs and layout.

use super::super::calls::CallArgs;
use super::super::interpreter::Interpreter;
use super::super::value::V;
use super::{Own, flag, whole};
use crate::Error;
use crate::functions::json::{self, Layout};
use regex::Regex;
use std::sync::LazyLock;

static COMMENTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?s)<!--.*?-->").expect("a constant that the tests compile"));
static TAGS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?s)<.*?>").expect("a constant that the tests compile"));
static MAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^((?:\(|<|&lt;)*)([^\s:]+@\w[\w.-]*\.\w+)((?:[.,)>]|&gt;)*)$")
        .expect("a constant that the tests compile")
});
static LINKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([(<]*)((?:https?://|www\.)\S+?)([.,)>]*)$").expect("a constant that the tests compile")
});

pub(super) fn find(name: &str) -> Option<Own> {
    Some(match name {
        "escape" | "e" | "forceescape" => |i, v, _| Ok(V::from(escaped(&i.text(&v)?))),
        "striptags" => |i, v, _| Ok(V::from(striptags(&i.text(&v)?))),
        "urlencode" => urlencode,
        "urlize" => |i, v, _| Ok(V::from(urlize(&i.text(&v)?))),
        "xmlattr" => xmlattr,
        "tojson" => tojson,
        "pprint" => |_, v, _| Ok(V::from(layout(&v, 0, 0, true))),
        _ => return None,
    })
}

pub(in crate::jinja) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn striptags(text: &str) -> String {
    let text = COMMENTS.replace_all(text, "");
    let text = TAGS.replace_all(&text, "");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", "\u{a0}"),
        ("&amp;", "&"),
    ];
    entities.iter().fold(text, |text, (entity, plain)| text.replace(entity, plain))
}

fn quoted(text: &str, query: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b'/' if !query => out.push('/'),
            b' ' if query => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn urlencode(i: &mut Interpreter, value: V, _: CallArgs) -> Result<V, Error> {
    let pairs: Vec<(V, V)> = match &value {
        V::Dict(dict) => dict.pairs().collect(),
        V::List(_) | V::Tuple(_) | V::View(..) | V::Generator(..) | V::Range { .. } => {
            let mut pairs = Vec::new();
            for pair in i.iterate(&value)? {
                let pair = i.iterate(&pair)?;
                let [key, value] = <[V; 2]>::try_from(pair)
                    .map_err(|_| Error::new("ValueError", "urlencode takes a mapping or pairs"))?;
                pairs.push((key, value));
            }
            pairs
        }
        other => return Ok(V::from(quoted(&i.text(other)?, false))),
    };
    let mut parts = Vec::new();
    for (key, value) in pairs {
        parts.push(format!("{}={}", quoted(&i.text(&key)?, true), quoted(&i.text(&value)?, true)));
    }
    Ok(V::from(parts.join("&")))
}

fn urlize(text: &str) -> String {
    let mut out = String::new();
    for piece in escaped(text).split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        match LINKS.captures(word) {
            Some(found) => {
                let url = &found[2];
                let href = if url.starts_with("www.") { format!("https://{url}") } else { url.to_owned() };
                out.push_str(&format!("{}<a href=\"{href}\" rel=\"noopener\">{url}</a>{}", &found[1], &found[3]));
                out.push_str(&piece[word.len()..]);
            }
            None => match MAIL.captures(word).filter(|found| !found[2].starts_with("www.")) {
                Some(found) => {
                    let at = &found[2];
                    out.push_str(&format!("{}<a href=\"mailto:{at}\">{at}</a>{}", &found[1], &found[3]));
                    out.push_str(&piece[word.len()..]);
                }
                None => out.push_str(piece),
            },
        }
    }
    out
}

fn xmlattr(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [space] = args.bind("xmlattr", ["autospace"])?;
    let space = flag(i, space, true)?;
    let V::Dict(dict) = &value else {
        i.check(&value)?;
        return Err(Error::new("AttributeError", format!("'{}' object has no attribute 'items'", value.type_name())));
    };
    let mut parts = Vec::new();
    for (key, value) in dict.pairs() {
        if matches!(value, V::None | V::Undefined(_)) {
            continue;
        }
        let key = i.text(&key)?;
        if key.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '=')) {
            return Err(Error::new("ValueError", format!("Invalid character in attribute name: '{key}'")));
        }
        parts.push(format!("{}=\"{}\"", escaped(&key), escaped(&i.text(&value)?)));
    }
    let text = parts.join(" ");
    Ok(V::from(if space && !text.is_empty() { format!(" {text}") } else { text }))
}

/// JSON that can stand inside HTML: keys sorted, nothing that ends a script.
fn tojson(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [indent] = args.bind("tojson", ["indent"])?;
    let indent = match indent {
        None | Some(V::None) => None,
        indent => Some(usize::try_from(whole(indent, 0)?).unwrap_or(0)),
    };
    i.check(&value)?;
    value.dumpable()?;
    let text = json::write(&i.native(&value)?, &Layout { indent, sorted: true, ..Layout::default() }, &i.budget)?;
    let safe = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027");
    Ok(V::from(safe))
}

/// How wide `pprint` prints.
const WIDTH: usize = 80;

/// Python's `pprint.pformat`: on one line where it fits, else one item a line; keys sorted. `allowance` is what
/// must still fit behind it on its last line.
fn layout(value: &V, indent: usize, allowance: usize, top: bool) -> String {
    let flat = sorted_repr(value);
    if indent + flat.chars().count() + allowance <= WIDTH {
        return flat;
    }
    let items = |items: Vec<V>| -> Vec<String> {
        let last = items.len().saturating_sub(1);
        let behind = |at| if at == last { allowance + 1 } else { 1 };
        items.iter().enumerate().map(|(at, item)| layout(item, indent + 1, behind(at), false)).collect()
    };
    let (open, close, parts): (&str, &str, Vec<String>) = match value {
        V::List(all) => ("[", "]", items(all.to_vec())),
        V::Tuple(all) => ("(", if all.len() == 1 { ",)" } else { ")" }, items(all.to_vec())),
        V::Dict(dict) => {
            let mut pairs: Vec<(V, V)> = dict.pairs().collect();
            pairs.sort_by_cached_key(|(key, _)| key.repr());
            let last = pairs.len().saturating_sub(1);
            let part = |(at, (key, value)): (usize, &(V, V))| {
                let key = key.repr();
                let behind = if at == last { allowance + 1 } else { 1 };
                let value = layout(value, indent + 1 + key.chars().count() + 2, behind, false);
                format!("{key}: {value}")
            };
            ("{", "}", pairs.iter().enumerate().map(part).collect())
        }
        V::Str(text) => return wrapped(text, indent, allowance, top).unwrap_or(flat),
        _ => return flat,
    };
    format!("{open}{}{close}", parts.join(&format!(",\n{}", " ".repeat(indent + 1))))
}

/// A long text as `pprint` breaks it: at blanks, a literal a line; in brackets when it stands alone.
fn wrapped(text: &str, indent: usize, allowance: usize, top: bool) -> Option<String> {
    let (indent, allowance) = (indent + usize::from(top), allowance + usize::from(top));
    let room = WIDTH.checked_sub(indent)?;
    let lines = super::super::methods::split_lines(text, true);
    let fits = |part: &str, last: bool| {
        let limit = if last { room.saturating_sub(allowance) } else { room };
        V::from(part).repr().chars().count() <= limit
    };
    let mut rows: Vec<String> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let last = at + 1 == lines.len();
        if fits(line, last) {
            rows.push(V::from(*line).repr());
            continue;
        }
        let mut current = String::new();
        let words = blanks_kept(line);
        for (place, word) in words.iter().enumerate() {
            let candidate = format!("{current}{word}");
            if current.is_empty() || fits(&candidate, last && place + 1 == words.len()) {
                current = candidate;
            } else {
                rows.push(V::from(current).repr());
                current = (*word).to_owned();
            }
        }
        if !current.is_empty() {
            rows.push(V::from(current).repr());
        }
    }
    match rows.len() {
        0 | 1 => rows.pop(),
        _ => {
            let rows = rows.join(&format!("\n{}", " ".repeat(indent)));
            Some(if top { format!("({rows})") } else { rows })
        }
    }
}

/// Words, each with the white space behind it.
fn blanks_kept(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let blank = rest[word..].find(|c: char| !c.is_whitespace()).map_or(rest.len(), |at| word + at);
        words.push(&rest[..blank]);
        rest = &rest[blank..];
    }
    words
}

fn sorted_repr(value: &V) -> String {
    match value {
        V::List(items) => {
            format!("[{}]", items.iter().map(|item| sorted_repr(&item)).collect::<Vec<_>>().join(", "))
        }
        V::Dict(dict) => {
            let mut pairs: Vec<(V, V)> = dict.pairs().collect();
            pairs.sort_by_cached_key(|(key, _)| key.repr());
            let parts: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}: {}", key.repr(), sorted_repr(value))).collect();
            format!("{{{}}}", parts.join(", "))
        }
        other => other.repr(),
    }
}
