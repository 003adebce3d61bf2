//! Methods of Python's texts, lists, dictionaries, numbers and bytes.
//!
//! To add one: its name in the list of its type, its arm in the function of its type.

use super::interpreter::{CallArgs, Interpreter, required};
use super::value::{Function, OwnDict, Seq, V, View, dict};
use super::{ops, strformat};
use crate::Error;
use num_bigint::BigInt;
use squall_model::{Special, Str, Value};
use std::rc::Rc;

const TEXT: &[&str] = &[
    "upper",
    "lower",
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "rsplit",
    "splitlines",
    "replace",
    "startswith",
    "endswith",
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "join",
    "format",
    "format_map",
    "title",
    "capitalize",
    "swapcase",
    "casefold",
    "zfill",
    "ljust",
    "rjust",
    "center",
    "expandtabs",
    "partition",
    "rpartition",
    "removeprefix",
    "removesuffix",
    "encode",
    "maketrans",
    "translate",
    "isalpha",
    "isalnum",
    "isdigit",
    "isnumeric",
    "isdecimal",
    "isspace",
    "isupper",
    "islower",
    "istitle",
    "isascii",
    "isidentifier",
    "isprintable",
];
const LIST: &[&str] =
    &["append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear", "copy", "index", "count"];
const TUPLE: &[&str] = &["index", "count"];
const DICT: &[&str] = &[
    "keys",
    "values",
    "items",
    "get",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "clear",
    "copy",
    "iteritems",
    "iterkeys",
    "itervalues",
    "fromkeys",
];
const INT: &[&str] = &["bit_length", "bit_count", "conjugate", "as_integer_ratio", "to_bytes"];
const FLOAT: &[&str] = &["is_integer", "conjugate", "as_integer_ratio", "hex"];
const SET: &[&str] = &["union", "intersection", "difference", "issubset", "issuperset", "copy"];
const DATE: &[&str] = &["isoformat", "strftime", "timestamp", "date"];

/// Methods that change their object.
const CHANGING: &[&str] =
    &["append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear", "popitem", "setdefault", "update"];

/// Whether some type has a changing method of this name.
pub(super) fn changes(name: &str) -> bool {
    CHANGING.contains(&name)
}

/// Whether dictionaries have a method of this name.
pub(super) fn of_dictionary(name: &str) -> bool {
    DICT.contains(&name)
}

/// Whether `object` has a method `name`.
pub(super) fn exists(object: &V, name: &str) -> bool {
    match object {
        V::Str(_) => TEXT.contains(&name),
        V::List(_) => LIST.contains(&name),
        V::Tuple(_) => TUPLE.contains(&name),
        V::Dict(_) => DICT.contains(&name),
        V::Int(_) | V::Big(_) | V::Bool(_) => INT.contains(&name),
        V::Range { .. } => TUPLE.contains(&name),
        V::Float(_) => FLOAT.contains(&name),
        V::Cycler(_) => matches!(name, "next" | "reset"),
        V::Loop(_) => matches!(name, "cycle" | "changed"),
        V::Special(special) => match &**special {
            Special::Bytes(_) => name == "decode" || name == "hex",
            Special::Set(_) => SET.contains(&name),
            Special::DateTime { .. } => DATE.contains(&name),
            Special::Timespan(_) => name == "total_seconds",
            _ => false,
        },
        _ => false,
    }
}

/// A field, as opposed to a method: the state of a loop, the parts of a group or a date.
pub(super) fn field(object: &V, name: &str) -> Option<V> {
    match object {
        V::Loop(state) => {
            let len = state.items.len();
            let neighbour = |at: Option<usize>, what: &str| {
                at.and_then(|i| state.items.get(i).cloned())
                    .or_else(|| Some(V::undefined(format!("there is no {what} item"))))
            };
            match name {
                "index" => Some(V::from(state.index0 + 1)),
                "index0" => Some(V::from(state.index0)),
                "revindex" => Some(V::from(len - state.index0)),
                "revindex0" => Some(V::from(len - state.index0 - 1)),
                "first" => Some(V::Bool(state.index0 == 0)),
                "last" => Some(V::Bool(state.index0 + 1 == len)),
                "length" => Some(V::from(len)),
                "depth" => Some(V::from(state.depth0 + 1)),
                "depth0" => Some(V::from(state.depth0)),
                "previtem" => neighbour(state.index0.checked_sub(1), "previous"),
                "nextitem" => neighbour(Some(state.index0 + 1), "next"),
                _ => None,
            }
        }
        V::Namespace(fields) => fields.borrow().get(name).cloned(),
        V::Cycler(cycler) if name == "current" => cycler.items.get(cycler.at.get()).cloned(),
        // The groups of `groupby` are named tuples.
        V::Tuple(items) if items.len() == 2 && name == "grouper" => items.get(0),
        V::Tuple(items) if items.len() == 2 && name == "list" => items.get(1),
        V::Function(function) => match (&**function, name) {
            (Function::Global("six"), "iteritems" | "iterkeys" | "itervalues") => {
                let name = match name {
                    "iteritems" => "iteritems",
                    "iterkeys" => "iterkeys",
                    _ => "itervalues",
                };
                Some(V::Function(Rc::new(Function::Global(name))))
            }
            (Function::Macro { template, .. }, "name") => Some(V::Str(template.name.text.clone())),
            _ => None,
        },
        V::Special(special) => match (&**special, name) {
            (Special::DateTime { micros, offset_seconds }, _) => {
                let local = crate::python::civil(*micros, *offset_seconds)?;
                let number = match name {
                    "year" => i64::from(local.year()),
                    "month" => i64::from(local.month()),
                    "day" => i64::from(local.day()),
                    "hour" => i64::from(local.hour()),
                    "minute" => i64::from(local.minute()),
                    "second" => i64::from(local.second()),
                    "microsecond" => micros.rem_euclid(1_000_000),
                    _ => return None,
                };
                Some(V::Int(number))
            }
            (Special::Timespan(us), "days") => Some(V::Int(us.div_euclid(86_400_000_000))),
            (Special::Timespan(us), "seconds") => Some(V::Int(us.rem_euclid(86_400_000_000) / 1_000_000)),
            _ => None,
        },
        V::Float(x) => match name {
            "real" => Some(V::Float(*x)),
            "imag" => Some(V::Float(0.0)),
            _ => None,
        },
        V::Int(_) | V::Big(_) | V::Bool(_) => match name {
            "real" | "numerator" => Some(whole_number(object)),
            "imag" => Some(V::Int(0)),
            "denominator" => Some(V::Int(1)),
            _ => None,
        },
        V::Range { start, len, step } => match name {
            "start" => Some(V::Int(*start)),
            "stop" => Some(V::Int(start.saturating_add(len.saturating_mul(*step)))),
            "step" => Some(V::Int(*step)),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number that is no boolean.
fn whole_number(value: &V) -> V {
    match value {
        V::Bool(b) => V::Int(i64::from(*b)),
        other => other.clone(),
    }
}

/// Calls a method that leaves its object alone (a changing one works on a copy that nobody sees).
pub(super) fn call(i: &mut Interpreter, object: &V, name: &str, args: CallArgs) -> Result<V, Error> {
    if changes(name) && matches!(object, V::List(_) | V::Dict(_)) {
        return change(i, object.clone(), name, args).map(|(_, result)| result);
    }
    match object {
        V::Str(text) => text_method(i, text, name, args),
        V::List(items) | V::Tuple(items) => list_method(i, items, object, name, args),
        V::Dict(_) => dict_method(i, object, name, args),
        V::Int(_) | V::Big(_) | V::Float(_) | V::Bool(_) => number_method(&whole_number(object), name, args),
        V::Range { .. } => {
            let items = super::value::seq(object.range_items())?;
            list_method(i, &items, object, name, args)
        }
        V::Special(special) => special_method(i, special, name, args),
        V::Cycler(cycler) => {
            if name == "reset" {
                cycler.at.set(0);
                return Ok(V::None);
            }
            let at = cycler.at.get();
            cycler.at.set((at + 1) % cycler.items.len());
            Ok(cycler.items.get(at).cloned().unwrap_or(V::None))
        }
        V::Loop(state) if name == "cycle" => {
            if args.positional.is_empty() {
                return Err(Error::new("TypeError", "no items for cycling given"));
            }
            Ok(args.positional[state.index0 % args.positional.len()].clone())
        }
        V::Loop(state) => {
            let mut last = state.changed.borrow_mut();
            let same = last.as_ref().is_some_and(|last| {
                last.len() == args.positional.len() && last.iter().zip(&args.positional).all(|(a, b)| ops::equal(a, b))
            });
            if !same {
                *last = Some(args.positional);
            }
            Ok(V::Bool(!same))
        }
        other => Err(no_method(other, name)),
    }
}

fn no_method(object: &V, name: &str) -> Error {
    Error::new("UndefinedError", format!("'{}' has no attribute '{name}'", object.described()))
}

// ---- texts ----

fn text_arg<'v>(i: &Interpreter, value: &'v V) -> Result<&'v str, Error> {
    i.check(value)?;
    match value {
        V::Str(text) => Ok(text),
        other => Err(Error::new("TypeError", format!("must be str, not {}", other.type_name()))),
    }
}

fn int_arg(value: Option<V>, default: i64) -> Result<i64, Error> {
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

fn text_method(i: &mut Interpreter, text: &Str, name: &str, args: CallArgs) -> Result<V, Error> {
    i.budget.step(1 + text.len() as u64 / 64)?;
    if let Some((keyword, _)) = args.named.first().filter(|_| !NAMED.contains(&name)) {
        let message = format!("str.{name}() takes no keyword arguments, and `{keyword}` was given");
        return Err(Error::new("TypeError", message));
    }
    if !args.positional.is_empty() && PLAIN.contains(&name) {
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
            let (part, _) = part_of(text, start, end)?;
            let test = |affix: &V| -> Result<bool, Error> {
                let V::Str(affix) = affix else {
                    let message = format!("{name} first arg must be str or a tuple of str, not {}", affix.type_name());
                    return Err(Error::new("TypeError", message));
                };
                Ok(if name == "startswith" { part.starts_with(&**affix) } else { part.ends_with(&**affix) })
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
            let (inside, offset) = part_of(text, start, end)?;
            let found = if name.starts_with('r') { inside.rfind(part) } else { inside.find(part) };
            match found {
                Some(at) => Ok(V::from(offset + inside[..at].chars().count())),
                None if name.ends_with("find") => Ok(V::Int(-1)),
                None => Err(Error::new("ValueError", "substring not found")),
            }
        }
        "count" => {
            let [part, start, end] = args.bind(name, ["sub", "start", "end"])?;
            let part = required(part, name, "sub")?;
            let (inside, _) = part_of(text, start, end)?;
            let part = text_arg(i, &part)?;
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

/// Methods of texts that know the names of their parameters; the others take positions alone.
const NAMED: &[&str] = &["split", "rsplit", "splitlines", "expandtabs", "encode", "format"];

/// Methods of texts without parameters.
const PLAIN: &[&str] = &[
    "upper",
    "lower",
    "casefold",
    "swapcase",
    "title",
    "capitalize",
    "isalpha",
    "isalnum",
    "isdigit",
    "isnumeric",
    "isdecimal",
    "isspace",
    "isupper",
    "islower",
    "istitle",
    "isascii",
    "isidentifier",
    "isprintable",
];

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
pub(super) fn split_lines(text: &str, keep: bool) -> Vec<&str> {
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
pub(super) fn replace(i: &Interpreter, text: &str, old: &str, new: &str, count: i64) -> Result<String, Error> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let growth = (found.min(count) as u64).saturating_mul(new.len() as u64);
    i.budget.bytes((text.len() as u64).saturating_add(growth))?;
    Ok(text.replacen(old, new, count))
}

/// `text[start:end]`, and how many characters are before it.
fn part_of(text: &str, start: Option<V>, end: Option<V>) -> Result<(&str, usize), Error> {
    if start.is_none() && end.is_none() {
        return Ok((text, 0));
    }
    let len = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let at = |n: i64| usize::try_from(if n < 0 { n.saturating_add(len).max(0) } else { n.min(len) }).unwrap_or(0);
    let (from, to) = (at(int_arg(start, 0)?), at(int_arg(end, i64::MAX)?));
    let byte = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let (first, last) = (byte(from), byte(to).max(byte(from)));
    Ok((&text[first..last], from))
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
pub(super) fn title_case(out: &mut String, c: char) {
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
pub(super) fn capitalize(text: &str) -> String {
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

pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

pub(super) fn is_lower(text: &str) -> bool {
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

// ---- lists ----

fn list_method(i: &mut Interpreter, items: &Seq, object: &V, name: &str, args: CallArgs) -> Result<V, Error> {
    i.budget.step(items.len() as u64)?;
    match name {
        "copy" => Ok(object.clone()),
        "index" => {
            let [value, start, _end] = args.bind(name, ["value", "start", "stop"])?;
            let value = required(value, name, "value")?;
            let start = usize::try_from(int_arg(start, 0)?).unwrap_or(0);
            match items.iter().skip(start).position(|item| ops::equal(&item, &value)) {
                Some(at) => Ok(V::from(at + start)),
                None => {
                    let message = format!("{} is not in {}", value.repr(), object.type_name());
                    Err(Error::new("ValueError", message))
                }
            }
        }
        "count" => {
            let [value] = args.bind(name, ["value"])?;
            let value = required(value, name, "value")?;
            Ok(V::from(items.iter().filter(|item| ops::equal(item, &value)).count()))
        }
        name => Err(no_method(object, name)),
    }
}

/// Changes a list or dictionary; gives the changed object and what the method returns.
pub(super) fn change(i: &mut Interpreter, object: V, name: &str, args: CallArgs) -> Result<(V, V), Error> {
    match object {
        V::List(items) => {
            if name == "append" {
                let [item] = args.bind(name, ["object"])?;
                return Ok((V::List(items.push(required(item, name, "object")?)?), V::None));
            }
            i.budget.step(items.len() as u64)?;
            change_list(i, items.to_vec(), name, args)
        }
        V::Dict(dict) => {
            let (own, result) = change_dict(i, dict.own(), name, args)?;
            Ok((own.into(), result))
        }
        other => Err(no_method(&other, name)),
    }
}

fn change_list(i: &mut Interpreter, mut items: Vec<V>, name: &str, args: CallArgs) -> Result<(V, V), Error> {
    let mut result = V::None;
    match name {
        "extend" => {
            let [more] = args.bind(name, ["iterable"])?;
            items.extend(i.iterate(&required(more, name, "iterable")?)?);
        }
        "insert" => {
            let [at, item] = args.bind(name, ["index", "object"])?;
            let at = int_arg(at, 0)?;
            let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let at = if at < 0 { (at + len).max(0) } else { at.min(len) };
            items.insert(usize::try_from(at).unwrap_or(0), required(item, name, "object")?);
        }
        "pop" => {
            let [at] = args.bind(name, ["index"])?;
            let at = int_arg(at, -1)?;
            let Some(at) = super::interpreter::place(at, items.len()) else {
                let what = if items.is_empty() { "pop from empty list" } else { "pop index out of range" };
                return Err(Error::new("IndexError", what));
            };
            result = items.remove(at);
        }
        "remove" => {
            let [value] = args.bind(name, ["value"])?;
            let value = required(value, name, "value")?;
            match items.iter().position(|item| ops::equal(item, &value)) {
                Some(at) => drop(items.remove(at)),
                None => return Err(Error::new("ValueError", "list.remove(x): x not in list")),
            }
        }
        "reverse" => items.reverse(),
        "clear" => items.clear(),
        "sort" => {
            let [reverse] = args.bind(name, ["reverse"])?;
            items = super::filters::sorted(i, items, |item| Ok(item.clone()), reverse.is_some_and(|r| r.is_truthy()))?;
        }
        name => return Err(no_method(&V::list(Vec::new())?, name)),
    }
    Ok((V::list(items)?, result))
}

fn change_dict(i: &mut Interpreter, mut own: OwnDict, name: &str, args: CallArgs) -> Result<(OwnDict, V), Error> {
    let result = match name {
        "pop" => {
            let [key, default] = args.bind(name, ["key", "default"])?;
            let key = required(key, name, "key")?;
            match (own.remove(&key)?, default) {
                (Some(value), _) | (None, Some(value)) => value,
                (None, None) => return Err(Error::new("KeyError", key.repr())),
            }
        }
        "popitem" => match own.pop() {
            Some((key, value)) => V::tuple(vec![key, value])?,
            None => return Err(Error::new("KeyError", "'popitem(): dictionary is empty'")),
        },
        "setdefault" => {
            let [key, default] = args.bind(name, ["key", "default"])?;
            let key = required(key, name, "key")?;
            match own.get(&key)? {
                Some(value) => value,
                None => {
                    let value = default.unwrap_or(V::None);
                    own.insert(key, value.clone())?;
                    value
                }
            }
        }
        "update" => {
            for source in args.positional {
                let pairs: Vec<(V, V)> = match &source {
                    V::Dict(dict) => dict.pairs().collect(),
                    other => {
                        let mut pairs = Vec::new();
                        for pair in i.iterate(other)? {
                            let pair = i.iterate(&pair)?;
                            let [key, value] = <[V; 2]>::try_from(pair).map_err(|_| {
                                Error::new("ValueError", "dictionary update sequence needs pairs of two")
                            })?;
                            pairs.push((key, value));
                        }
                        pairs
                    }
                };
                i.budget.step(pairs.len() as u64)?;
                for (key, value) in pairs {
                    own.insert(key, value)?;
                }
            }
            for (key, value) in args.named {
                own.insert(V::Str(key), value)?;
            }
            V::None
        }
        "clear" => {
            own = OwnDict::default();
            V::None
        }
        name => return Err(no_method(&own.into(), name)),
    };
    Ok((own, result))
}

// ---- dictionaries, numbers, others ----

fn dict_method(i: &mut Interpreter, object: &V, name: &str, args: CallArgs) -> Result<V, Error> {
    let V::Dict(inner) = object else { return Err(no_method(object, name)) };
    match name {
        "keys" | "iterkeys" => Ok(V::View(View::Keys, inner.clone())),
        "values" | "itervalues" => Ok(V::View(View::Values, inner.clone())),
        "items" | "iteritems" => Ok(V::View(View::Items, inner.clone())),
        "copy" => Ok(object.clone()),
        "get" => {
            let [key, default] = args.bind(name, ["key", "default"])?;
            let key = required(key, name, "key")?;
            i.check(&key)?;
            Ok(inner.get(&key)?.or(default).unwrap_or(V::None))
        }
        "fromkeys" => {
            let [keys, value] = args.bind(name, ["iterable", "value"])?;
            let value = value.unwrap_or(V::None);
            let keys = i.iterate(&required(keys, name, "iterable")?)?;
            dict(keys.into_iter().map(|key| (key, value.clone())))
        }
        name => Err(no_method(object, name)),
    }
}

fn number_method(object: &V, name: &str, args: CallArgs) -> Result<V, Error> {
    if name == "to_bytes" {
        return to_bytes(object, args);
    }
    args.bind::<0>(name, [])?;
    match (object, name) {
        (V::Int(n), "bit_length") => Ok(V::from(usize::try_from(BigInt::from(*n).bits()).unwrap_or(0))),
        (V::Big(n), "bit_length") => Ok(V::from(usize::try_from(n.bits()).unwrap_or(0))),
        (V::Float(x), "is_integer") => Ok(V::Bool(x.fract() == 0.0)),
        (_, "conjugate") => Ok(object.clone()),
        (V::Int(n), "bit_count") => Ok(V::Int(i64::from(n.unsigned_abs().count_ones()))),
        (V::Big(n), "bit_count") => Ok(V::from(n.iter_u64_digits().map(|d| d.count_ones() as usize).sum::<usize>())),
        (V::Int(_) | V::Big(_), "as_integer_ratio") => V::tuple(vec![object.clone(), V::Int(1)]),
        (V::Float(x), "as_integer_ratio") => ratio(*x),
        (V::Float(x), "hex") => Ok(V::from(float_hex(*x))),
        (other, name) => Err(no_method(other, name)),
    }
}

/// A float as an exact fraction in lowest terms.
fn ratio(x: f64) -> Result<V, Error> {
    if !x.is_finite() {
        let class = if x.is_nan() { "ValueError" } else { "OverflowError" };
        return Err(Error::new(class, "cannot convert this float to an integer ratio"));
    }
    let (mut mantissa, mut exponent) = (x, 0u32);
    while mantissa.fract() != 0.0 {
        mantissa *= 2.0;
        exponent += 1;
    }
    let top = strformat::truncated(mantissa).unwrap_or_default();
    V::tuple(vec![V::big(top), V::big(BigInt::from(1) << exponent)])
}

/// `0x1.8000000000000p+1`
fn float_hex(x: f64) -> String {
    let sign = if x.is_sign_negative() { "-" } else { "" };
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return format!("{sign}inf");
    }
    if x == 0.0 {
        return format!("{sign}0x0.0p+0");
    }
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    let (lead, power) = if exponent == 0 { (0, -1022) } else { (1, exponent as i64 - 1023) };
    format!("{sign}0x{lead}.{fraction:013x}p{power:+}")
}

fn to_bytes(object: &V, args: CallArgs) -> Result<V, Error> {
    let [length, order, signed] = args.bind("to_bytes", ["length", "byteorder", "signed"])?;
    let signed = signed.is_some_and(|s| s.is_truthy());
    let too_big = || Error::new("OverflowError", "int too big to convert");
    let length = usize::try_from(int_arg(Some(required(length, "to_bytes", "length")?), 1)?)
        .map_err(|_| Error::new("ValueError", "length argument must be non-negative"))?;
    if length > 65_536 {
        return Err(Error::limit("a number of more than 65,536 bytes"));
    }
    let n = match object {
        V::Int(n) => BigInt::from(*n),
        V::Big(n) => (**n).clone(),
        other => return Err(no_method(other, "to_bytes")),
    };
    let negative = n.sign() == num_bigint::Sign::Minus;
    if negative && !signed {
        return Err(Error::new("OverflowError", "can't convert negative int to unsigned"));
    }
    let bytes = if signed { n.to_signed_bytes_le() } else { n.to_bytes_le().1 };
    let mut bytes = if bytes == [0] { Vec::new() } else { bytes };
    if bytes.len() > length {
        return Err(too_big());
    }
    bytes.resize(length, if negative { 0xff } else { 0 });
    match &required(order, "to_bytes", "byteorder")? {
        V::Str(order) if &**order == "little" => {}
        V::Str(order) if &**order == "big" => bytes.reverse(),
        _ => return Err(Error::new("ValueError", "byteorder must be either 'little' or 'big'")),
    }
    Ok(V::from(Value::special(Special::Bytes(bytes))))
}

fn special_method(
    i: &mut Interpreter,
    special: &std::sync::Arc<Special>,
    name: &str,
    args: CallArgs,
) -> Result<V, Error> {
    let object = V::Special(special.clone());
    match (&**special, name) {
        (Special::Bytes(bytes), "decode") => match String::from_utf8(bytes.clone()) {
            Ok(text) => Ok(V::from(text)),
            Err(_) => Err(Error::new("UnicodeDecodeError", "'utf-8' codec can't decode the bytes")),
        },
        (Special::Bytes(bytes), "hex") => Ok(V::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())),
        (Special::Timespan(us), "total_seconds") => Ok(V::Float(*us as f64 / 1e6)),
        (Special::DateTime { micros, .. }, "timestamp") => Ok(V::Float(*micros as f64 / 1e6)),
        (Special::DateTime { micros, offset_seconds }, _) => {
            let Some(local) = crate::python::civil(*micros, *offset_seconds) else {
                return Err(Error::new("OverflowError", "date value out of range"));
            };
            match name {
                "isoformat" => Ok(V::from(crate::python::str(&Value::Special(special.clone())).replacen(' ', "T", 1))),
                "strftime" => {
                    let [format] = args.bind(name, ["format"])?;
                    let format = required(format, name, "format")?;
                    let format = text_arg(i, &format)?;
                    let text = jiff::fmt::strtime::format(format, local)
                        .map_err(|e| Error::new("ValueError", e.to_string()))?;
                    Ok(V::from(text))
                }
                "date" => Ok(V::from(local.date().to_string())),
                name => Err(no_method(&object, name)),
            }
        }
        (Special::Set(items), _) => {
            let mine: Vec<V> = items.iter().map(V::from).collect();
            let [other] = args.bind(name, ["other"])?;
            let other = match other {
                Some(other) => i.iterate(&other)?,
                None => Vec::new(),
            };
            i.budget.step((mine.len() as u64).saturating_mul(other.len() as u64))?;
            let has = |all: &[V], item: &V| all.iter().any(|x| ops::equal(x, item));
            let set =
                |items: Vec<V>| Ok(V::from(Value::special(Special::Set(items.iter().map(V::to_value).collect()))));
            match name {
                "copy" => Ok(object),
                "union" => {
                    let extra: Vec<V> = other.into_iter().filter(|x| !has(&mine, x)).collect();
                    set(mine.into_iter().chain(extra).collect())
                }
                "intersection" => set(mine.into_iter().filter(|x| has(&other, x)).collect()),
                "difference" => set(mine.into_iter().filter(|x| !has(&other, x)).collect()),
                "issubset" => Ok(V::Bool(mine.iter().all(|x| has(&other, x)))),
                "issuperset" => Ok(V::Bool(other.iter().all(|x| has(&mine, x)))),
                name => Err(no_method(&object, name)),
            }
        }
        (_, name) => Err(no_method(&object, name)),
    }
}
