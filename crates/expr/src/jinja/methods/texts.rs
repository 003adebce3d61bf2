//! Methods of texts.

use super::super::calls::{CallArgs, required};
use super::super::interpreter::Interpreter;
use super::super::strformat;
use super::super::value::{V, dict};
use super::no_method;
use crate::Error;
use squall_model::{Special, Str, Value};

/// How a method takes what it is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// It has no parameters.
    Nothing,
    /// By position alone.
    Positions,
    /// By position or name.
    Names,
}

const METHODS: &[(&str, Takes)] = &[
    ("upper", Takes::Nothing),
    ("lower", Takes::Nothing),
    ("strip", Takes::Positions),
    ("lstrip", Takes::Positions),
    ("rstrip", Takes::Positions),
    ("split", Takes::Names),
    ("rsplit", Takes::Names),
    ("splitlines", Takes::Names),
    ("replace", Takes::Positions),
    ("startswith", Takes::Positions),
    ("endswith", Takes::Positions),
    ("find", Takes::Positions),
    ("rfind", Takes::Positions),
    ("index", Takes::Positions),
    ("rindex", Takes::Positions),
    ("count", Takes::Positions),
    ("join", Takes::Positions),
    ("format", Takes::Names),
    ("format_map", Takes::Positions),
    ("title", Takes::Nothing),
    ("capitalize", Takes::Nothing),
    ("swapcase", Takes::Nothing),
    ("casefold", Takes::Nothing),
    ("zfill", Takes::Positions),
    ("ljust", Takes::Positions),
    ("rjust", Takes::Positions),
    ("center", Takes::Positions),
    ("expandtabs", Takes::Names),
    ("partition", Takes::Positions),
    ("rpartition", Takes::Positions),
    ("removeprefix", Takes::Positions),
    ("removesuffix", Takes::Positions),
    ("encode", Takes::Names),
    ("maketrans", Takes::Positions),
    ("translate", Takes::Positions),
    ("isalpha", Takes::Nothing),
    ("isalnum", Takes::Nothing),
    ("isdigit", Takes::Nothing),
    ("isnumeric", Takes::Nothing),
    ("isdecimal", Takes::Nothing),
    ("isspace", Takes::Nothing),
    ("isupper", Takes::Nothing),
    ("islower", Takes::Nothing),
    ("istitle", Takes::Nothing),
    ("isascii", Takes::Nothing),
    ("isidentifier", Takes::Nothing),
    ("isprintable", Takes::Nothing),
];

/// How a method takes what it is given; nothing when texts have no such method.
pub(super) fn takes(name: &str) -> Option<Takes> {
    METHODS.iter().find(|(known, _)| *known == name).map(|(_, takes)| *takes)
}

pub(in crate::jinja) fn text_arg<'v>(i: &Interpreter, value: &'v V) -> Result<&'v str, Error> {
    i.check(value)?;
    match value {
        V::Str(text) => Ok(text),
        other => Err(Error::new("TypeError", format!("must be str, not {}", other.type_name()))),
    }
}

pub(in crate::jinja) fn int_arg(value: Option<V>, default: i64) -> Result<i64, Error> {
    match value {
        None | Some(V::None) => Ok(default),
        Some(V::Int(n)) => Ok(n),
        Some(V::Bool(b)) => Ok(i64::from(b)),
        Some(other) => {
            let message = format!("'{}' object cannot be interpreted as an integer", other.type_name());
            Err(Error::new("TypeError", message))
        }
    }
}

/// White space as Python's `str.strip` sees it.
fn space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

pub(in crate::jinja) fn text_method(i: &mut Interpreter, text: &Str, name: &str, args: CallArgs) -> Result<V, Error> {
    i.budget.step(1 + text.len() as u64 / 64)?;
    let Some(takes) = takes(name) else { return Err(no_method(&V::Str(text.clone()), name)) };
    if let Some((keyword, _)) = args.named.first().filter(|_| takes != Takes::Names) {
        let message = format!("str.{name}() takes no keyword arguments, and `{keyword}` was given");
        return Err(Error::new("TypeError", message));
    }
    if !args.positional.is_empty() && takes == Takes::Nothing {
        return Err(Error::new("TypeError", format!("str.{name}() takes no arguments")));
    }
    let plain = |out: String| -> Result<V, Error> { Ok(V::from(out)) };
    match name {
        "upper" => plain(text.to_uppercase()),
        "lower" => plain(text.to_lowercase()),
        "casefold" => plain(casefold(text)),
        "swapcase" => plain(swapcase(text)),
        "title" => plain(title(text)),
        "capitalize" => plain(capitalize(text)),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(name, ["chars"])?;
            let stripped = match chars {
                None | Some(V::None) => strip(text, name, space),
                Some(chars) => {
                    let chars = text_arg(i, &chars)?.to_owned();
                    strip(text, name, |c| chars.contains(c))
                }
            };
            Ok(if stripped.len() == text.len() { V::Str(text.clone()) } else { V::from(stripped) })
        }
        "split" | "rsplit" => split(i, text, name, args),
        "splitlines" => {
            let [keep] = args.bind(name, ["keepends"])?;
            let keep = keep.is_some_and(|k| k.is_truthy());
            texts(i, split_lines(text, keep).into_iter())
        }
        "replace" => {
            let [old, new, count] = args.bind(name, ["old", "new", "count"])?;
            let (old, new) = (required(old, name, "old")?, required(new, name, "new")?);
            let count = int_arg(count, -1)?;
            replace(i, text, text_arg(i, &old)?, text_arg(i, &new)?, count).map(V::from)
        }
        "startswith" | "endswith" => {
            let [affix, start, end] = args.bind(name, ["prefix", "start", "end"])?;
            let affix = required(affix, name, "prefix")?;
            let part = part_of(text, start, end)?.map(|(part, _)| part);
            let test = |affix: &V| -> Result<bool, Error> {
                let V::Str(affix) = affix else {
                    let message = format!("{name} first arg must be str or a tuple of str, not {}", affix.type_name());
                    return Err(Error::new("TypeError", message));
                };
                Ok(part.is_some_and(|part| {
                    if name == "startswith" { part.starts_with(&**affix) } else { part.ends_with(&**affix) }
                }))
            };
            i.check(&affix)?;
            match &affix {
                V::Tuple(all) => {
                    for affix in all.iter() {
                        if test(&affix)? {
                            return Ok(V::Bool(true));
                        }
                    }
                    Ok(V::Bool(false))
                }
                affix => test(affix).map(V::Bool),
            }
        }
        "find" | "rfind" | "index" | "rindex" => {
            let [part, start, end] = args.bind(name, ["sub", "start", "end"])?;
            let part = required(part, name, "sub")?;
            let part = text_arg(i, &part)?;
            let found = part_of(text, start, end)?.and_then(|(inside, offset)| {
                let at = if name.starts_with('r') { inside.rfind(part) } else { inside.find(part) };
                at.map(|at| offset + inside[..at].chars().count())
            });
            match found {
                Some(at) => Ok(V::from(at)),
                None if name.ends_with("find") => Ok(V::Int(-1)),
                None => Err(Error::new("ValueError", "substring not found")),
            }
        }
        "count" => {
            let [part, start, end] = args.bind(name, ["sub", "start", "end"])?;
            let part = required(part, name, "sub")?;
            let part = text_arg(i, &part)?;
            let Some((inside, _)) = part_of(text, start, end)? else { return Ok(V::Int(0)) };
            let count = if part.is_empty() { inside.chars().count() + 1 } else { inside.matches(part).count() };
            Ok(V::from(count))
        }
        "join" => {
            let [items] = args.bind(name, ["iterable"])?;
            let items = required(items, name, "iterable")?;
            i.check(&items)?;
            let mut out = String::new();
            for (at, item) in i.iterate(&items)?.iter().enumerate() {
                let V::Str(item) = item else {
                    i.check(item)?;
                    let message = format!("sequence item {at}: expected str instance, {} found", item.type_name());
                    return Err(Error::new("TypeError", message));
                };
                i.budget.bytes((text.len() + item.len()) as u64)?;
                if at > 0 {
                    out.push_str(text);
                }
                out.push_str(item);
            }
            plain(out)
        }
        "format" => strformat::format(i, text, &args).map(V::from),
        "format_map" => {
            let [mapping] = args.bind(name, ["mapping"])?;
            let V::Dict(mapping) = required(mapping, name, "mapping")? else {
                return Err(Error::new("TypeError", "format_map() takes a mapping"));
            };
            let mut named = Vec::new();
            for (key, value) in mapping.pairs() {
                named.push((i.text(&key)?.as_ref().into(), value));
            }
            strformat::format(i, text, &CallArgs { positional: Vec::new(), named }).map(V::from)
        }
        "zfill" | "ljust" | "rjust" | "center" => {
            let [width, fill] = args.bind(name, ["width", "fillchar"])?;
            let width = usize::try_from(int_arg(Some(required(width, name, "width")?), 0)?).unwrap_or(0);
            let fill = match &fill {
                None => ' ',
                Some(V::Str(fill)) if fill.chars().count() == 1 => fill.chars().next().unwrap_or(' '),
                Some(_) => {
                    return Err(Error::new("TypeError", "The fill character must be exactly one character long"));
                }
            };
            let len = text.chars().count();
            let missing = width.saturating_sub(len);
            i.budget.bytes((text.len() as u64).saturating_add(missing as u64 * 4))?;
            let fill = |n: usize| -> String { std::iter::repeat_n(fill, n).collect() };
            plain(match name {
                "zfill" => {
                    let (sign, digits) = match text.strip_prefix(['+', '-']) {
                        Some(digits) => (&text[..1], digits),
                        None => ("", &**text),
                    };
                    format!("{sign}{}{digits}", "0".repeat(missing))
                }
                "ljust" => format!("{text}{}", fill(missing)),
                "rjust" => format!("{}{text}", fill(missing)),
                _ => {
                    // Python puts the odd blank on the left when the width is odd.
                    let left = missing / 2 + (missing & width & 1);
                    format!("{}{text}{}", fill(left), fill(missing - left))
                }
            })
        }
        "expandtabs" => {
            let [size] = args.bind(name, ["tabsize"])?;
            let size = usize::try_from(int_arg(size, 8)?).unwrap_or(0);
            let tabs = text.matches('\t').count() as u64;
            i.budget.bytes((text.len() as u64).saturating_add(tabs.saturating_mul(size as u64)))?;
            plain(expand_tabs(text, size))
        }
        "partition" | "rpartition" => {
            let [sep] = args.bind(name, ["sep"])?;
            let sep = required(sep, name, "sep")?;
            let sep = text_arg(i, &sep)?;
            if sep.is_empty() {
                return Err(Error::new("ValueError", "empty separator"));
            }
            let cut = if name == "partition" { text.split_once(sep) } else { text.rsplit_once(sep) };
            let parts = match cut {
                Some((before, after)) => [before, sep, after],
                None if name == "partition" => [&**text, "", ""],
                None => ["", "", &**text],
            };
            V::tuple(parts.iter().map(|p| V::from(*p)).collect())
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = args.bind(name, ["affix"])?;
            let affix = required(affix, name, "affix")?;
            let affix = text_arg(i, &affix)?;
            let rest = if name == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            plain(rest.unwrap_or(text).to_owned())
        }
        "encode" => encode(i, text, args),
        "maketrans" => maketrans(i, args),
        "translate" => {
            let [table] = args.bind(name, ["table"])?;
            let V::Dict(table) = required(table, name, "table")? else {
                return Err(Error::new("TypeError", "translate() takes a mapping"));
            };
            let mut out = String::new();
            for c in text.chars() {
                match table.get(&V::Int(i64::from(u32::from(c))))? {
                    None => out.push(c),
                    Some(V::None) => {}
                    Some(V::Int(n)) => out.extend(u32::try_from(n).ok().and_then(char::from_u32)),
                    Some(other) => out.push_str(text_arg(i, &other)?),
                }
            }
            plain(out)
        }
        "isupper" => Ok(V::Bool(is_upper(text))),
        "islower" => Ok(V::Bool(is_lower(text))),
        "istitle" => Ok(V::Bool(is_title(text))),
        "isascii" => Ok(V::Bool(text.is_ascii())),
        "isidentifier" => {
            let mut chars = text.chars();
            let first = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
            Ok(V::Bool(first && chars.all(|c| c == '_' || c.is_alphanumeric())))
        }
        "isprintable" => Ok(V::Bool(!text.chars().any(char::is_control))),
        "isalpha" => Ok(V::Bool(all(text, char::is_alphabetic))),
        "isalnum" => Ok(V::Bool(all(text, char::is_alphanumeric))),
        "isspace" => Ok(V::Bool(all(text, space))),
        "isdecimal" => Ok(V::Bool(all(text, decimal))),
        "isdigit" => {
            Ok(V::Bool(all(text, |c| decimal(c) || matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉'))))
        }
        "isnumeric" => Ok(V::Bool(all(text, char::is_numeric))),
        name => Err(no_method(&V::Str(text.clone()), name)),
    }
}

fn encode(i: &Interpreter, text: &str, args: CallArgs) -> Result<V, Error> {
    let [encoding, errors] = args.bind("encode", ["encoding", "errors"])?;
    let name = |value: &Option<V>, default: &str| match value {
        None => Ok(default.to_owned()),
        Some(value) => text_arg(i, value).map(|t| t.to_ascii_lowercase().replace(['-', ' '], "_")),
    };
    let (encoding, errors) = (name(&encoding, "utf_8")?, name(&errors, "strict")?);
    let most = match encoding.as_str() {
        "utf_8" | "utf8" | "u8" => return Ok(V::from(Value::special(Special::Bytes(text.as_bytes().to_vec())))),
        "ascii" | "us_ascii" | "646" => 0x7f,
        "latin_1" | "latin1" | "iso_8859_1" | "iso8859_1" | "l1" | "latin" => 0xff,
        _ => return Err(Error::new("LookupError", format!("unknown encoding: {encoding}"))),
    };
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        let code = u32::from(c);
        match (u8::try_from(code), errors.as_str()) {
            (Ok(byte), _) if code <= most => bytes.push(byte),
            (_, "ignore") => {}
            (_, "replace") => bytes.push(b'?'),
            (_, "xmlcharrefreplace") => bytes.extend(format!("&#{code};").bytes()),
            (_, "backslashreplace") => bytes.extend(match code {
                0..=0xff => format!("\\x{code:02x}").into_bytes(),
                0x100..=0xffff => format!("\\u{code:04x}").into_bytes(),
                _ => format!("\\U{code:08x}").into_bytes(),
            }),
            _ => {
                let message = format!("'{encoding}' codec can't encode character '{c}'");
                return Err(Error::new("UnicodeEncodeError", message));
            }
        }
    }
    Ok(V::from(Value::special(Special::Bytes(bytes))))
}

fn maketrans(i: &Interpreter, args: CallArgs) -> Result<V, Error> {
    let [from, to, gone] = args.bind("maketrans", ["x", "y", "z"])?;
    let code = |c: char| V::Int(i64::from(u32::from(c)));
    let Some(to) = to else {
        let V::Dict(table) = required(from, "maketrans", "x")? else {
            return Err(Error::new("TypeError", "if you give only one argument to maketrans it must be a dict"));
        };
        let mut pairs = Vec::new();
        for (key, value) in table.pairs() {
            let key = match &key {
                V::Str(text) => match (text.chars().next(), text.chars().count()) {
                    (Some(c), 1) => code(c),
                    _ => {
                        let message = "string keys in translate table must be of length 1";
                        return Err(Error::new("ValueError", message));
                    }
                },
                V::Int(_) => key,
                _ => return Err(Error::new("TypeError", "keys in translate table must be strings or integers")),
            };
            pairs.push((key, value));
        }
        return dict(pairs);
    };
    let from = required(from, "maketrans", "x")?;
    let (from, to) = (text_arg(i, &from)?, text_arg(i, &to)?);
    if from.chars().count() != to.chars().count() {
        let message = "the first two maketrans arguments must have equal length";
        return Err(Error::new("ValueError", message));
    }
    let mut pairs: Vec<(V, V)> = from.chars().zip(to.chars()).map(|(a, b)| (code(a), code(b))).collect();
    if let Some(gone) = &gone {
        pairs.extend(text_arg(i, gone)?.chars().map(|c| (code(c), V::None)));
    }
    dict(pairs)
}

fn all(text: &str, test: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(test)
}

/// A digit of some script's decimal system: the blocks of ten that Unicode groups so.
fn decimal(c: char) -> bool {
    c.is_ascii_digit() || (c.is_numeric() && !c.is_ascii() && digit_block(c))
}

fn digit_block(c: char) -> bool {
    const STARTS: &[u32] = &[
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0xf20,
        0x1040, 0x17e0, 0x1810, 0xff10,
    ];
    STARTS.iter().any(|start| (*start..start + 10).contains(&u32::from(c)))
}

fn strip<'t>(text: &'t str, side: &str, set: impl Fn(char) -> bool + Copy) -> &'t str {
    match side {
        "lstrip" => text.trim_start_matches(set),
        "rstrip" => text.trim_end_matches(set),
        _ => text.trim_start_matches(set).trim_end_matches(set),
    }
}

fn texts<'t>(i: &Interpreter, parts: impl Iterator<Item = &'t str>) -> Result<V, Error> {
    let parts: Vec<V> = parts.map(V::from).collect();
    i.budget.bytes((parts.len() * size_of::<V>()) as u64)?;
    V::list(parts)
}

fn split(i: &Interpreter, text: &str, name: &str, args: CallArgs) -> Result<V, Error> {
    let [sep, limit] = args.bind(name, ["sep", "maxsplit"])?;
    let limit = int_arg(limit, -1)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let right = name == "rsplit";
    let sep = match &sep {
        None | Some(V::None) => {
            let parts = if right { words_right(text, limit) } else { words_left(text, limit) };
            return texts(i, parts.into_iter());
        }
        Some(sep) => text_arg(i, sep)?,
    };
    if sep.is_empty() {
        return Err(Error::new("ValueError", "empty separator"));
    }
    let parts = limit.saturating_add(1);
    if right {
        let mut all: Vec<&str> = text.rsplitn(parts, sep).collect();
        all.reverse();
        texts(i, all.into_iter())
    } else {
        texts(i, text.splitn(parts, sep))
    }
}

fn words_left(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(space);
    while !rest.is_empty() {
        if parts.len() == limit {
            parts.push(rest);
            break;
        }
        let end = rest.find(space).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(space);
    }
    parts
}

fn words_right(text: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(space);
    while !rest.is_empty() {
        if parts.len() == limit {
            parts.push(rest);
            break;
        }
        let word = rest.rsplit(space).next().unwrap_or(rest);
        parts.push(word);
        rest = rest[..rest.len() - word.len()].trim_end_matches(space);
    }
    parts.reverse();
    parts
}

/// Python's line ends: more than `\n`.
pub(in crate::jinja) fn split_lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if !matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c == '\r' && chars.peek().is_some_and(|(_, c)| *c == '\n') {
            chars.next();
            end += 1;
        }
        lines.push(if keep { &text[start..end] } else { &text[start..at] });
        start = end;
    }
    if start < text.len() {
        lines.push(&text[start..]);
    }
    lines
}

/// Python's `str.replace`; a negative count means all.
pub(in crate::jinja) fn replace(
    i: &Interpreter,
    text: &str,
    old: &str,
    new: &str,
    count: i64,
) -> Result<String, Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let growth = (found.min(count) as u64).saturating_mul(new.len() as u64);
    i.budget.bytes((text.len() as u64).saturating_add(growth))?;
    Ok(text.replacen(old, new, count))
}

/// `text[start:end]`, and how many characters are before it.
/// What lies between two positions, and where it starts; nothing, not even an empty text, behind the end.
fn part_of(text: &str, start: Option<V>, end: Option<V>) -> Result<Option<(&str, usize)>, Error> {
    if start.is_none() && end.is_none() {
        return Ok(Some((text, 0)));
    }
    let len = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let at = |n: i64| if n < 0 { n.saturating_add(len).max(0) } else { n };
    let (from, to) = (at(int_arg(start, 0)?), at(int_arg(end, i64::MAX)?).min(len));
    if from > to {
        return Ok(None);
    }
    let (from, to) = (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
    let byte = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    Ok(Some((&text[byte(from)..byte(to)], from)))
}

fn casefold(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            'ß' | 'ẞ' => "ss".chars().collect::<Vec<_>>(),
            'ς' => vec!['σ'],
            c => c.to_lowercase().collect(),
        })
        .collect()
}

fn swapcase(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_uppercase() { out.extend(c.to_lowercase()) } else { out.extend(c.to_uppercase()) }
    }
    out
}

/// Python's `str.title`: a letter after anything that is no letter is upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase())
        } else {
            title_case(&mut out, c)
        }
        inside = c.is_uppercase() || c.is_lowercase();
    }
    out
}

/// A letter as the first of a word: of one that grows when it is raised, only the start is raised.
pub(in crate::jinja) fn title_case(out: &mut String, c: char) {
    match c {
        // The digraphs have a form of their own for this.
        'Ǆ'..='ǆ' => out.push('ǅ'),
        'Ǉ'..='ǉ' => out.push('ǈ'),
        'Ǌ'..='ǌ' => out.push('ǋ'),
        'Ǳ'..='ǳ' => out.push('ǲ'),
        // Georgian has capitals for whole words only.
        'ა'..='ჺ' | 'ჽ'..='ჿ' => out.push(c),
        c => {
            let mut raised = c.to_uppercase();
            out.extend(raised.next());
            out.extend(raised.flat_map(char::to_lowercase));
        }
    }
}

/// Python's `str.capitalize`.
pub(in crate::jinja) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => {
            let mut out = String::with_capacity(text.len());
            title_case(&mut out, first);
            out + &chars.as_str().to_lowercase()
        }
        None => String::new(),
    }
}

pub(in crate::jinja) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

pub(in crate::jinja) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

fn is_title(text: &str) -> bool {
    let mut inside = false;
    let mut cased = false;
    for c in text.chars() {
        if (c.is_uppercase() && inside) || (c.is_lowercase() && !inside) {
            return false;
        }
        inside = c.is_uppercase() || c.is_lowercase();
        cased |= inside;
    }
    cased
}

fn expand_tabs(text: &str, size: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for c in text.chars() {
        match c {
            '\t' if size == 0 => {}
            '\t' => {
                let blanks = size - column % size;
                out.extend(std::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}
