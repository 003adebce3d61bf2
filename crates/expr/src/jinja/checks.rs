//! Jinja's tests: what may stand after `is`.

use super::ast::Comparison;
use super::calls::{CallArgs, required};
use super::interpreter::{Interpreter, mapping, sequence};
use super::ops::{self, Number};
use super::value::V;
use crate::Error;
use num_bigint::BigInt;
use num_traits::Zero;

/// Decides about a value.
pub(super) type Check = for<'i> fn(&mut Interpreter<'i>, &V, CallArgs) -> Result<bool, Error>;

/// All tests, for people who look for one.
pub(super) const NAMES: &[&str] = &[
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

/// The test of a name.
pub(super) fn find(name: &str) -> Option<Check> {
    Some(match name {
        "defined" => |_, v, _| Ok(!matches!(v, V::Undefined(_))),
        "undefined" => |_, v, _| Ok(matches!(v, V::Undefined(_))),
        "none" => |_, v, _| Ok(matches!(v, V::None)),
        "true" => |_, v, _| Ok(matches!(v, V::Bool(true))),
        "false" => |_, v, _| Ok(matches!(v, V::Bool(false))),
        "boolean" => |_, v, _| Ok(matches!(v, V::Bool(_))),
        "integer" => |_, v, _| Ok(matches!(v, V::Int(_) | V::Big(_))),
        "float" => |_, v, _| Ok(matches!(v, V::Float(_))),
        "number" => |_, v, _| Ok(Number::of(v).is_some()),
        "string" => |_, v, _| Ok(matches!(v, V::Str(_))),
        "mapping" => |_, v, _| Ok(mapping(v).is_some()),
        "sequence" => |i, v, _| {
            Ok(match v {
                // It has a length only where undefined names are no errors.
                V::Undefined(_) => i.truth(v).is_ok(),
                v => matches!(v, V::Str(_) | V::List(_) | V::Tuple(_) | V::Dict(_) | V::Range { .. }),
            })
        },
        "iterable" => |i, v, _| match v {
            V::Undefined(_) => i.truth(v).map(|_| true),
            _ => Ok(sequence(v).is_some()
                || matches!(v, V::Str(_) | V::Dict(_) | V::View(..) | V::Range { .. })
                || matches!(v, V::Special(_)) && i.iterate(v).is_ok()),
        },
        "callable" => |_, v, _| Ok(matches!(v, V::Function(_) | V::Joiner(_) | V::Loop(_) | V::Undefined(_))),
        "sameas" => |_, v, args| {
            let [other] = args.bind("sameas", ["other"])?;
            let other = required(other, "sameas", "other")?;
            Ok(v.type_name() == other.type_name() && ops::equal(v, &other))
        },
        "escaped" => |_, _, _| Ok(false),
        "upper" => |i, v, _| Ok(super::methods::is_upper(&i.text(v)?)),
        "lower" => |i, v, _| Ok(super::methods::is_lower(&i.text(v)?)),
        "odd" => |i, v, _| Ok(remainder(i, v, &V::Int(2))? == Rest::One),
        "even" => |i, v, _| Ok(remainder(i, v, &V::Int(2))? == Rest::Zero),
        "divisibleby" => |i, v, args| {
            let [by] = args.bind("divisibleby", ["num"])?;
            let by = required(by, "divisibleby", "num")?;
            Ok(remainder(i, v, &by)? == Rest::Zero)
        },
        "eq" | "equalto" | "==" => |i, v, args| compare(i, Comparison::Eq, v, args),
        "ne" | "!=" => |i, v, args| compare(i, Comparison::Ne, v, args),
        "lt" | "lessthan" | "<" => |i, v, args| compare(i, Comparison::Lt, v, args),
        "le" | "<=" => |i, v, args| compare(i, Comparison::Le, v, args),
        "gt" | "greaterthan" | ">" => |i, v, args| compare(i, Comparison::Gt, v, args),
        "ge" | ">=" => |i, v, args| compare(i, Comparison::Ge, v, args),
        "in" => |i, v, args| compare(i, Comparison::In, v, args),
        "filter" => |i, v, _| {
            super::value::canonical(v)?;
            let name = i.text(v)?.into_owned();
            Ok(super::filters::find(&name, i.scope.engine).is_some())
        },
        "test" => |i, v, _| {
            super::value::canonical(v)?;
            let name = i.text(v)?.into_owned();
            Ok(find(&name).is_some())
        },
        _ => return None,
    })
}

fn compare(i: &mut Interpreter, comparison: Comparison, value: &V, args: CallArgs) -> Result<bool, Error> {
    let [other] = args.bind("test", ["other"])?;
    i.compared(comparison, value, &required(other, "test", "other")?)
}

/// What a division leaves, as far as tests care.
#[derive(PartialEq)]
enum Rest {
    Zero,
    One,
    Other,
}

fn remainder(i: &mut Interpreter, value: &V, by: &V) -> Result<Rest, Error> {
    i.check(value)?;
    let rest = ops::binary(super::ast::Op::Mod, value, by, &i.budget)?;
    Ok(match Number::of(&rest) {
        Some(Number::Int(n)) if n.is_zero() => Rest::Zero,
        Some(Number::Int(n)) if n == BigInt::from(1) => Rest::One,
        Some(Number::Float(0.0)) => Rest::Zero,
        Some(Number::Float(1.0)) => Rest::One,
        // `'a' is odd` is a formatting error in Python; a text never comes back as a number.
        _ => Rest::Other,
    })
}
