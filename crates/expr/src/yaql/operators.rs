//! What operators mean, by the kinds of their operands.
//!
//! The commonest pairs come first; whatever finds no pair is `NoMatchingFunctionException` with the name of
//! the operator, as the original reports it.

use super::call::no_function;
use super::eval::{Ctx, Eval, Outcome};
use super::library::dates;
use super::number::{self, Number};
use super::tree::{BINARY, Binary, Node};
use super::value::Val;
use crate::pattern::{self, Anchor};
use crate::{Error, python};
use squall_model::{Special, Value, member};
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) fn no_match(operator: Binary) -> Error {
    no_function(&operator.function_name())
}

pub(super) fn binary<'a>(ev: &'a Eval<'a>, operator: Binary, left: &Val<'a>, right: &Val<'a>) -> Outcome<'a> {
    match operator {
        Binary::Equal => Ok(Val::from(ev.equal(left, right)?)),
        Binary::NotEqual => Ok(Val::from(!ev.equal(left, right)?)),
        Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
            compare(operator, left, right).map(Val::from)
        }
        Binary::Add => add(ev, left, right),
        Binary::Subtract => subtract(ev, left, right),
        Binary::Multiply => multiply(ev, left, right),
        Binary::Divide => divide(left, right),
        Binary::Mod => match numbers(left, right) {
            Some((a, b)) => number::modulo(&a, &b).map(Val::Plain),
            None => Err(no_match(operator)),
        },
        Binary::In => contains(ev, left, right),
        Binary::Matches => matches(left, right, operator).map(Val::from),
        Binary::NotMatches => matches(left, right, operator).map(|found| Val::from(!found)),
        Binary::Dot | Binary::SafeDot | Binary::And | Binary::Or | Binary::Send => Err(no_match(operator)),
    }
}

/// Whether constants among the operands leave any overload at all.
pub(super) fn constants_fit(operator: Binary, left: &Node, right: &Node) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Unknown,
        Number,
        Text,
        Bool,
        Null,
    }
    let kind = |node: &Node| match node {
        Node::Constant(Value::Int(_) | Value::Big(_) | Value::Float(_)) => Kind::Number,
        Node::Constant(Value::Str(_)) | Node::Keyword(_) => Kind::Text,
        Node::Constant(Value::Bool(_)) => Kind::Bool,
        Node::Constant(_) => Kind::Null,
        _ => Kind::Unknown,
    };
    let kinds = [kind(left), kind(right)];
    let all = |fitting: &[Kind]| kinds.iter().all(|kind| *kind == Kind::Unknown || fitting.contains(kind));
    match operator {
        Binary::Add => all(&[Kind::Number, Kind::Text]),
        // A Boolean is a number of times.
        Binary::Multiply => all(&[Kind::Number, Kind::Text, Kind::Bool]),
        Binary::Subtract | Binary::Divide | Binary::Mod => all(&[Kind::Number]),
        Binary::Matches | Binary::NotMatches => all(&[Kind::Text]),
        Binary::In => matches!(kinds, [_, Kind::Unknown] | [Kind::Text | Kind::Unknown, Kind::Text]),
        _ => true,
    }
}

/// Operators called by the name that `call` knows them by.
pub(super) fn by_name<'a>(ev: &'a Eval<'a>, name: &str, args: &[Val<'a>], _: &Ctx<'a>) -> Option<Outcome<'a>> {
    if !name.starts_with(['#', '*']) {
        return None;
    }
    let (_, operator, _) = BINARY.iter().find(|(_, operator, _)| operator.function_name() == name)?;
    Some(match (operator, args) {
        (Binary::And, [a, b]) => Ok(if a.is_truthy() { b.clone() } else { a.clone() }),
        (Binary::Or, [a, b]) => Ok(if a.is_truthy() { a.clone() } else { b.clone() }),
        (_, [a, b]) => binary(ev, *operator, a, b),
        _ => Err(no_function(name)),
    })
}

fn numbers(left: &Val<'_>, right: &Val<'_>) -> Option<(Number, Number)> {
    match (left, right) {
        (Val::Plain(a), Val::Plain(b)) => Some((Number::of(a)?, Number::of(b)?)),
        _ => None,
    }
}

pub(super) fn number(val: &Val<'_>) -> Option<Number> {
    match val {
        Val::Plain(value) => Number::of(value),
        _ => None,
    }
}

fn integer(val: &Val<'_>) -> Option<i64> {
    match val {
        Val::Plain(Value::Int(n)) => Some(*n),
        Val::Plain(Value::Bool(b)) => Some(i64::from(*b)),
        Val::Plain(Value::Big(n)) => Some(if n.sign() == num_bigint::Sign::Minus { i64::MIN } else { i64::MAX }),
        _ => None,
    }
}

pub(super) fn plus<'a>(operand: &Val<'a>) -> Outcome<'a> {
    let is_timespan = matches!(operand.as_special(), Some(Special::Timespan(_)));
    if number(operand).is_some() || is_timespan { Ok(operand.clone()) } else { Err(no_function("#unary_operator_+")) }
}

pub(super) fn minus<'a>(operand: &Val<'a>) -> Outcome<'a> {
    match (number(operand), operand.as_special()) {
        (Some(n), _) => Ok(Val::Plain(number::negate(&n))),
        (_, Some(Special::Timespan(us))) => dates::timespan(us.checked_neg()),
        _ => Err(no_function("#unary_operator_-")),
    }
}

/// The order of two values of one everyday kind (UTF-8 sorts as code points do); `None` leaves it to [`compare`].
pub(super) fn plain_order(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Plain(Value::Int(a)), Val::Plain(Value::Int(b))) => Some(a.cmp(b)),
        (Val::Plain(Value::Str(a)), Val::Plain(Value::Str(b))) => Some(a.cmp(b)),
        _ => None,
    }
}

/// `<` and its kin. Null is below everything and equal to itself.
pub(super) fn compare<'v>(operator: Binary, left: &Val<'v>, right: &Val<'v>) -> Result<bool, Error> {
    let verdict = |ordering: Option<Ordering>| match (operator, ordering) {
        (_, None) => false,
        (Binary::Less, Some(o)) => o.is_lt(),
        (Binary::LessEqual, Some(o)) => o.is_le(),
        (Binary::Greater, Some(o)) => o.is_gt(),
        (_, Some(o)) => o.is_ge(),
    };
    if let Some(order) = plain_order(left, right) {
        return Ok(verdict(Some(order)));
    }
    if let Some((a, b)) = numbers(left, right) {
        return Ok(verdict(number::compare(&a, &b)));
    }
    match (left.is_null(), right.is_null()) {
        (true, true) => return Ok(verdict(Some(Ordering::Equal))),
        (true, false) => return Ok(verdict(Some(Ordering::Less))),
        (false, true) => return Ok(verdict(Some(Ordering::Greater))),
        (false, false) => {}
    }
    match (left.as_special(), right.as_special()) {
        (Some(Special::DateTime { micros: a, .. }), Some(Special::DateTime { micros: b, .. }))
        | (Some(Special::Timespan(a)), Some(Special::Timespan(b))) => return Ok(verdict(Some(a.cmp(b)))),
        _ => {}
    }
    if left.is_set() && right.is_set() {
        let within = |a: &Val<'v>, b: &Val<'v>| {
            let known: indexmap::IndexSet<super::value::Key<'v>> =
                super::value::members(b).into_iter().map(super::value::Key).collect();
            super::value::members(a).into_iter().all(|item| known.contains(&super::value::Key(item)))
        };
        let (a, b) = (left.length(), right.length());
        return Ok(match operator {
            Binary::Less => a < b && within(left, right),
            Binary::LessEqual => within(left, right),
            Binary::Greater => a > b && within(right, left),
            _ => within(right, left),
        });
    }
    Err(no_match(operator))
}

pub(super) fn add<'a>(ev: &'a Eval<'a>, left: &Val<'a>, right: &Val<'a>) -> Outcome<'a> {
    if let Some((a, b)) = numbers(left, right) {
        return number::add(&a, &b).map(Val::Plain);
    }
    if let (Val::Plain(Value::Str(a)), Val::Plain(Value::Str(b))) = (left, right) {
        ev.budget.bytes((a.len() + b.len()) as u64)?;
        let mut joined = String::with_capacity(a.len() + b.len());
        joined.push_str(a);
        joined.push_str(b);
        return Ok(Val::from(joined));
    }
    if left.is_tuple() && right.is_tuple() {
        if let (Val::Plain(Value::List(a)), Val::Plain(Value::List(b))) = (left, right) {
            ev.budget.bytes(24 * (a.len() + b.len()) as u64)?;
            return ev.plain_list(a.iter().chain(b.iter()).cloned().collect());
        }
        let mut items = ev.collect(left)?;
        items.extend(ev.collect(right)?);
        return ev.list(items);
    }
    if left.is_mapping() && right.is_mapping() {
        if let (Val::Plain(Value::Map(a)), Val::Plain(Value::Map(b))) = (left, right) {
            ev.budget.bytes(48 * (a.len() + b.len()) as u64)?;
            let mut joined = (**a).clone();
            joined.extend(b.iter().map(|(k, v)| (k.clone(), v.clone())));
            return ev.plain_map(joined);
        }
        return ev.dict(left.pairs().into_iter().chain(right.pairs()));
    }
    if left.is_iterable() && right.is_iterable() {
        let is_set = |val: &Val<'a>| val.is_set() && !matches!(val, Val::View(_));
        if is_set(left) && is_set(right) {
            return ev.set(super::value::members(left).into_iter().chain(super::value::members(right)));
        }
        return super::library::queries::chain(ev, vec![left.clone(), right.clone()]);
    }
    match (left.as_special(), right.as_special()) {
        (Some(Special::Timespan(a)), Some(Special::Timespan(b))) => dates::timespan(a.checked_add(*b)),
        (Some(Special::DateTime { micros, offset_seconds }), Some(Special::Timespan(us)))
        | (Some(Special::Timespan(us)), Some(Special::DateTime { micros, offset_seconds })) => {
            dates::datetime(micros.checked_add(*us), *offset_seconds)
        }
        _ => Err(no_match(Binary::Add)),
    }
}

fn subtract<'a>(ev: &'a Eval<'a>, left: &Val<'a>, right: &Val<'a>) -> Outcome<'a> {
    if let Some((a, b)) = numbers(left, right) {
        return number::subtract(&a, &b).map(Val::Plain);
    }
    if left.is_set() && right.is_set() {
        super::library::collections::real_set(left)?;
        return super::library::collections::without(ev, left, right);
    }
    match (left.as_special(), right.as_special()) {
        (Some(Special::Timespan(a)), Some(Special::Timespan(b)))
        | (Some(Special::DateTime { micros: a, .. }), Some(Special::DateTime { micros: b, .. })) => {
            dates::timespan(a.checked_sub(*b))
        }
        (Some(Special::DateTime { micros, offset_seconds }), Some(Special::Timespan(us))) => {
            dates::datetime(micros.checked_sub(*us), *offset_seconds)
        }
        _ => Err(no_match(Binary::Subtract)),
    }
}

fn multiply<'a>(ev: &'a Eval<'a>, left: &Val<'a>, right: &Val<'a>) -> Outcome<'a> {
    if let Some((a, b)) = numbers(left, right) {
        return number::multiply(&a, &b).map(Val::Plain);
    }
    for (thing, times) in [(left, right), (right, left)] {
        if let (Val::Plain(Value::Str(text)), Some(times)) = (thing, integer(times)) {
            let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
            ev.budget.bytes((text.len() as u64).saturating_mul(times as u64))?;
            return Ok(if text.is_empty() { Val::from("") } else { Val::from(text.repeat(times)) });
        }
        if thing.is_sequence()
            && let Some(times) = integer(times)
        {
            return repeat_list(ev, thing, times);
        }
        if let (Some(Special::Timespan(us)), Some(n)) = (thing.as_special(), number(times)) {
            return match n {
                Number::Int(n) => dates::timespan(us.checked_mul(n)),
                other => dates::rounded(*us as f64 * other.to_float()?),
            };
        }
    }
    Err(no_match(Binary::Multiply))
}

fn repeat_list<'a>(ev: &'a Eval<'a>, list: &Val<'a>, times: i64) -> Outcome<'a> {
    let length = list.length().unwrap_or(0) as u64;
    let times = if length == 0 { 0 } else { u64::try_from(times).unwrap_or(0) };
    ev.budget.bytes(length.saturating_mul(times).saturating_mul(24))?;
    ev.budget.step(length.saturating_mul(times))?;
    let items = ev.collect(list)?;
    let mut all = Vec::with_capacity(items.len() * usize::try_from(times).unwrap_or(0));
    for _ in 0..times {
        all.extend(items.iter().cloned());
    }
    ev.list(all)
}

fn divide<'a>(left: &Val<'a>, right: &Val<'a>) -> Outcome<'a> {
    if let Some((a, b)) = numbers(left, right) {
        return number::divide(&a, &b).map(Val::Plain);
    }
    let zero = || Error::new("ZeroDivisionError", "float division by zero");
    match (left.as_special(), right.as_special(), number(right)) {
        (Some(Special::Timespan(_)), Some(Special::Timespan(0)), _) => Err(zero()),
        (Some(Special::Timespan(a)), Some(Special::Timespan(b)), _) => Ok(Val::from(*a as f64 / *b as f64)),
        (Some(Special::Timespan(us)), _, Some(n)) => match n.to_float()? {
            0.0 => Err(zero()),
            n => dates::rounded(*us as f64 / n),
        },
        _ => Err(no_match(Binary::Divide)),
    }
}

fn contains<'a>(ev: &'a Eval<'a>, item: &Val<'a>, within: &Val<'a>) -> Outcome<'a> {
    if let Val::Plain(Value::Str(text)) = within {
        return match item {
            Val::Plain(Value::Str(part)) => {
                ev.budget.step(text.len() as u64 / 64)?;
                Ok(Val::from(text.contains(&**part)))
            }
            _ => Err(no_match(Binary::In)),
        };
    }
    if !within.is_iterable() {
        return Err(no_match(Binary::In));
    }
    super::library::queries::has(ev, within, item).map(Val::from)
}

fn matches(text: &Val<'_>, wanted: &Val<'_>, operator: Binary) -> Result<bool, Error> {
    let Val::Plain(Value::Str(text)) = text else { return Err(no_match(operator)) };
    let compiled = match (wanted, wanted.as_special()) {
        (Val::Plain(Value::Str(source)), _) => pattern::compile(source, pattern::Flags::default())?,
        (_, Some(Special::Regex(source))) => pattern::compile_source(source)?,
        _ => return Err(no_match(operator)),
    };
    compiled.is_match(text, Anchor::Anywhere)
}

fn missing(key: &Val<'_>) -> Error {
    let shown = match key {
        Val::Plain(value) => python::repr_as(value, python::Style::Tuples),
        other => text_of(other),
    };
    Error::new("KeyError", shown)
}

/// `receiver.name`
pub(super) fn property<'a>(ev: &'a Eval<'a>, receiver: Val<'a>, name: &Arc<str>) -> Outcome<'a> {
    if let Val::Plain(Value::Map(map)) = &receiver {
        return match member(map, name) {
            Some(value) => Ok(Val::Plain(value.clone())),
            None => Err(missing(&Val::Plain(Value::Str(name.clone())))),
        };
    }
    if receiver.is_mapping() {
        let key = Val::Plain(Value::Str(name.clone()));
        return receiver.lookup(ev, &key)?.ok_or_else(|| missing(&key));
    }
    if receiver.is_iterable() {
        let mut items = ev.walk(&receiver)?;
        let name = name.clone();
        return ev.generator(receiver.nest(), move |ev: &'a Eval<'a>| match items.next(ev)? {
            Some(item) => property(ev, item, &name).map(Some),
            None => Ok(None),
        });
    }
    dates::property(&receiver, name)
}

/// `value[key]` and `value[key, default]`
pub(super) fn index<'a>(ev: &'a Eval<'a>, value: &Val<'a>, key: &Val<'a>, default: Option<Val<'a>>) -> Outcome<'a> {
    if value.is_mapping() {
        return match (value.lookup(ev, key)?, default) {
            (Some(found), _) => Ok(found),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(missing(key)),
        };
    }
    let (true, Some(at), None) = (value.is_sequence(), integer(key), default) else {
        return Err(no_function("#indexer"));
    };
    let length = value.length().unwrap_or(0);
    let at = if at < 0 { i64::try_from(length).unwrap_or(i64::MAX).saturating_add(at) } else { at };
    let found = usize::try_from(at).ok().and_then(|at| value.member(at));
    found.ok_or_else(|| Error::new("IndexError", "tuple index out of range"))
}

/// Python's `str()` of what lives inside an evaluation: lists are tuples there.
pub(super) fn text_of(val: &Val<'_>) -> String {
    let mut out = String::new();
    write(&mut out, val, true, 0);
    out
}

fn write(out: &mut String, val: &Val<'_>, top: bool, depth: usize) {
    if depth > python::DEEPEST {
        return out.push_str("...");
    }
    let items = |out: &mut String, items: &mut dyn Iterator<Item = Val<'_>>| {
        for (i, item) in items.enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write(out, &item, false, depth + 1);
        }
    };
    match val {
        Val::Plain(value @ (Value::Str(_) | Value::Special(_))) if top => match value {
            Value::Special(special) if matches!(**special, Special::Set(_) | Special::Dict(_)) => {
                out.push_str(&python::repr_as(value, python::Style::Tuples));
            }
            _ => out.push_str(&python::str(value)),
        },
        Val::Plain(value) => out.push_str(&python::repr_as(value, python::Style::Tuples)),
        Val::List(list) => {
            out.push(if list.is_mutable { '[' } else { '(' });
            items(out, &mut list.items.iter().cloned());
            out.push_str(match (list.is_mutable, list.items.len()) {
                (true, _) => "]",
                (false, 1) => ",)",
                (false, _) => ")",
            });
        }
        Val::Dict(dict) => {
            out.push('{');
            for (i, (key, value)) in dict.items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write(out, &key.0, false, depth + 1);
                out.push_str(": ");
                write(out, value, false, depth + 1);
            }
            out.push('}');
        }
        Val::Set(set) if set.items.is_empty() => out.push_str("frozenset()"),
        Val::Set(set) => {
            out.push_str("frozenset({");
            items(out, &mut set.items.iter().map(|key| key.0.clone()));
            out.push_str("})");
        }
        Val::View(view) => {
            out.push_str(view.name());
            out.push('(');
            write(out, &view.of, false, depth + 1);
            out.push(')');
        }
        Val::Iter(_) | Val::Ordering(_) => out.push_str("<generator>"),
        Val::Context(_) => out.push_str("<context>"),
    }
}
