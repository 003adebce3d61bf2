//! Filters that make or shape numbers.

use super::super::calls::CallArgs;
use super::super::interpreter::Interpreter;
use super::super::ops::Number;
use super::super::value::V;
use super::super::{ops, strformat};
use super::{Own, flag, whole};
use crate::Error;
use crate::params::python_number;
use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};

pub(super) fn find(name: &str) -> Option<Own> {
    Some(match name {
        "int" => int,
        "float" => float,
        "abs" => abs,
        "round" => round,
        "filesizeformat" => filesizeformat,
        _ => return None,
    })
}

fn int(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [default, base] = args.bind("int", ["default", "base"])?;
    let default = default.unwrap_or(V::Int(0));
    let base = u32::try_from(whole(base, 10)?).unwrap_or(10);
    i.check(&value)?;
    Ok(match i.settled(value)? {
        V::Str(text) => match python_number::int(&text, base) {
            Some(n) => V::big(n),
            None => match python_number::float(&text).and_then(strformat::truncated) {
                Some(n) => V::big(n),
                None => default,
            },
        },
        other => match Number::of(&other) {
            Some(Number::Int(n)) => V::big(n),
            Some(Number::Float(x)) => strformat::truncated(x).map_or(default, V::big),
            None => default,
        },
    })
}

fn float(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [default] = args.bind("float", ["default"])?;
    let default = default.unwrap_or(V::Float(0.0));
    i.check(&value)?;
    Ok(match i.settled(value)? {
        V::Str(text) => python_number::float(&text).map_or(default, V::Float),
        other => match Number::of(&other) {
            Some(number) => V::Float(number.float()?),
            None => default,
        },
    })
}

fn abs(i: &mut Interpreter, value: V, _: CallArgs) -> Result<V, Error> {
    i.check(&value)?;
    match Number::of(&value) {
        Some(Number::Int(n)) => Ok(V::big(n.abs())),
        Some(Number::Float(x)) => Ok(V::Float(x.abs())),
        None => Err(Error::new("TypeError", format!("bad operand type for abs(): '{}'", value.type_name()))),
    }
}

fn round(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [precision, method] = args.bind("round", ["precision", "method"])?;
    let precision = whole(precision, 0)?;
    let method = match &method {
        Some(method) => i.text(method)?.into_owned(),
        None => "common".to_owned(),
    };
    i.check(&value)?;
    let Some(number) = Number::of(&value) else {
        let message = format!("type {} doesn't define __round__ method", value.type_name());
        return Err(Error::new("TypeError", message));
    };
    match method.as_str() {
        "common" => match number {
            Number::Int(n) => Ok(V::big(round_int(n, precision))),
            Number::Float(x) => Ok(V::Float(round_float(x, precision))),
        },
        "ceil" | "floor" => {
            let factor = 10f64.powi(i32::try_from(precision.clamp(-400, 400)).unwrap_or(0));
            let scaled = number.float()? * factor;
            let whole = if method == "ceil" { scaled.ceil() } else { scaled.floor() };
            // Python divides two whole numbers here.
            Ok(V::Float((whole + 0.0) / factor))
        }
        _ => Err(Error::new("FilterArgumentError", "method must be common, ceil or floor")),
    }
}

/// Python's `round(x, n)`: the decimal digits decide, ties to even.
fn round_float(x: f64, precision: i64) -> f64 {
    if !x.is_finite() || precision > 330 {
        return x;
    }
    match usize::try_from(precision) {
        Ok(digits) => format!("{x:.digits$}").parse().unwrap_or(x),
        Err(_) if precision < -330 => 0.0,
        Err(_) => {
            let factor = 10f64.powi(i32::try_from(-precision).unwrap_or(0));
            (x / factor).round_ties_even() * factor
        }
    }
}

fn round_int(n: BigInt, precision: i64) -> BigInt {
    if precision >= 0 {
        return n;
    }
    let digits = u32::try_from(-precision).unwrap_or(u32::MAX);
    if u64::from(digits) > n.bits() {
        return BigInt::from(0);
    }
    let unit = BigInt::from(10).pow(digits);
    let rest = ((&n % &unit) + &unit) % &unit;
    let down: BigInt = &n - &rest;
    let twice = &rest * 2;
    let up = twice > unit || (twice == unit && (&down / &unit).bit(0));
    if up { down + unit } else { down }
}

fn filesizeformat(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [binary] = args.bind("filesizeformat", ["binary"])?;
    let binary = flag(i, binary, false)?;
    let value = i.settled(value)?;
    i.check(&value)?;
    let bytes = match &value {
        V::Str(text) => python_number::float(text),
        other => Number::of(other).map(|n| n.float()).transpose()?,
    };
    let Some(bytes) = bytes else {
        return Err(Error::new("ValueError", format!("could not convert to float: {}", value.repr())));
    };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok(V::from("1 Byte"));
    }
    if bytes < base {
        return Ok(V::from(format!("{} Bytes", bytes.trunc().to_i64().unwrap_or(0))));
    }
    let prefixes = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    let mut unit = base;
    let mut prefix = prefixes[0];
    for candidate in prefixes {
        prefix = candidate;
        if bytes < unit * base || candidate == "Y" {
            break;
        }
        unit *= base;
    }
    let prefix = if binary { format!("{}iB", prefix.to_uppercase()) } else { format!("{prefix}B") };
    Ok(V::from(format!("{:.1} {prefix}", bytes / unit)))
}

/// The sum of `a` and `b`, as the `sum` filter adds.
pub(super) fn add(i: &Interpreter, a: &V, b: &V) -> Result<V, Error> {
    i.check(a)?;
    i.check(b)?;
    ops::binary(super::super::ast::Op::Add, a, b, &i.budget)
}
