//! Methods of Python's texts, lists, dictionaries, numbers and bytes.
//!
//! To add one: its name in the list of its type (that of texts stands in `texts`), its arm in the function of its type.

use super::calls::{CallArgs, required};
use super::interpreter::Interpreter;
use super::value::{Function, OwnDict, Seq, V, View, dict};
use super::{ops, strformat};
use crate::Error;
use num_bigint::BigInt;
use squall_model::{Special, Value};
use std::rc::Rc;

mod texts;

pub(super) use texts::{capitalize, is_lower, is_upper, replace, split_lines};
use texts::{int_arg, text_arg, text_method};

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
        V::Str(_) => texts::takes(name).is_some(),
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
            let Some(at) = super::interpreter::position(at, items.len()) else {
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
