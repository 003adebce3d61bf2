//! Arithmetic as Python does it: whole numbers without end, floor division, remainders with the divisor's sign.
//!
//! Booleans are no numbers here. Whole numbers are bounded by [`MOST_BITS`]; beyond is an error, not a hang.

use crate::Error;
use num_bigint::BigInt;
use num_traits::{FromPrimitive, Signed, ToPrimitive, Zero};
use squall_model::Value;
use std::cmp::Ordering;
use std::sync::Arc;

/// The largest whole number, in bits.
pub(super) const MOST_BITS: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub(super) enum Number {
    Int(i64),
    Big(Arc<BigInt>),
    Float(f64),
}

use Number::{Big, Float, Int};

impl Number {
    pub fn of(value: &Value) -> Option<Number> {
        match value {
            Value::Int(n) => Some(Int(*n)),
            Value::Big(n) => Some(Big(n.clone())),
            Value::Float(x) => Some(Float(*x)),
            _ => None,
        }
    }

    /// The same for parameters declared as integers, which take Booleans.
    pub fn integer(value: &Value) -> Option<BigInt> {
        match value {
            Value::Int(n) => Some(BigInt::from(*n)),
            Value::Big(n) => Some((**n).clone()),
            Value::Bool(b) => Some(BigInt::from(u8::from(*b))),
            _ => None,
        }
    }

    pub fn to_float(&self) -> Result<f64, Error> {
        let x = match self {
            Int(n) => *n as f64,
            Big(n) => n.to_f64().unwrap_or(f64::INFINITY),
            Float(x) => return Ok(*x),
        };
        if x.is_finite() { Ok(x) } else { Err(Error::new("OverflowError", "int too large to convert to float")) }
    }

    fn to_big(&self) -> BigInt {
        match self {
            Int(n) => BigInt::from(*n),
            Big(n) => (**n).clone(),
            Float(x) => BigInt::from_f64(*x).unwrap_or_default(),
        }
    }

    fn bits(&self) -> u64 {
        match self {
            Int(_) => 64,
            Big(n) => n.bits(),
            Float(_) => 0,
        }
    }
}

impl From<Number> for Value {
    fn from(n: Number) -> Value {
        match n {
            Int(n) => Value::Int(n),
            Big(n) => Value::Big(n),
            Float(x) => Value::Float(x),
        }
    }
}

pub(super) fn too_big() -> Error {
    Error::limit("a whole number beyond a million bits")
}

fn both_floats(a: &Number, b: &Number) -> Result<Option<(f64, f64)>, Error> {
    if matches!(a, Float(_)) || matches!(b, Float(_)) {
        return Ok(Some((a.to_float()?, b.to_float()?)));
    }
    Ok(None)
}

pub(super) fn add(a: &Number, b: &Number) -> Result<Value, Error> {
    if let (Int(x), Int(y)) = (a, b)
        && let Some(sum) = x.checked_add(*y)
    {
        return Ok(Value::Int(sum));
    }
    if let Some((x, y)) = both_floats(a, b)? {
        return Ok(Value::Float(x + y));
    }
    bounded(a.to_big() + b.to_big())
}

pub(super) fn subtract(a: &Number, b: &Number) -> Result<Value, Error> {
    if let (Int(x), Int(y)) = (a, b)
        && let Some(difference) = x.checked_sub(*y)
    {
        return Ok(Value::Int(difference));
    }
    if let Some((x, y)) = both_floats(a, b)? {
        return Ok(Value::Float(x - y));
    }
    bounded(a.to_big() - b.to_big())
}

pub(super) fn multiply(a: &Number, b: &Number) -> Result<Value, Error> {
    if let (Int(x), Int(y)) = (a, b)
        && let Some(product) = x.checked_mul(*y)
    {
        return Ok(Value::Int(product));
    }
    if let Some((x, y)) = both_floats(a, b)? {
        return Ok(Value::Float(x * y));
    }
    if a.bits() + b.bits() > MOST_BITS {
        return Err(too_big());
    }
    bounded(a.to_big() * b.to_big())
}

fn bounded(n: BigInt) -> Result<Value, Error> {
    if n.bits() > MOST_BITS { Err(too_big()) } else { Ok(Value::big(n)) }
}

fn by_zero(what: &str) -> Error {
    Error::new("ZeroDivisionError", what)
}

/// Whole numbers floor, floats divide.
pub(super) fn divide(a: &Number, b: &Number) -> Result<Value, Error> {
    if let Some((x, y)) = both_floats(a, b)? {
        return if y == 0.0 { Err(by_zero("float division by zero")) } else { Ok(Value::Float(x / y)) };
    }
    let (quotient, _) = floor(a, b)?;
    Ok(quotient)
}

pub(super) fn modulo(a: &Number, b: &Number) -> Result<Value, Error> {
    if let Some((x, y)) = both_floats(a, b)? {
        if y == 0.0 {
            return Err(by_zero("float modulo"));
        }
        let rest = x % y;
        let rest = if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest };
        return Ok(Value::Float(if rest == 0.0 { 0.0_f64.copysign(y) } else { rest }));
    }
    let (_, rest) = floor(a, b)?;
    Ok(rest)
}

fn floor(a: &Number, b: &Number) -> Result<(Value, Value), Error> {
    if let (Int(x), Int(y)) = (a, b) {
        if *y == 0 {
            return Err(by_zero("integer division or modulo by zero"));
        }
        if let (Some(quotient), Some(rest)) = (x.checked_div(*y), x.checked_rem(*y)) {
            let off = rest != 0 && (rest < 0) != (*y < 0);
            return Ok((Value::Int(quotient - i64::from(off)), Value::Int(if off { rest + y } else { rest })));
        }
    }
    let (x, y) = (a.to_big(), b.to_big());
    if y.is_zero() {
        return Err(by_zero("integer division or modulo by zero"));
    }
    let (mut quotient, mut rest) = (&x / &y, &x % &y);
    if !rest.is_zero() && rest.is_negative() != y.is_negative() {
        quotient -= 1;
        rest += y;
    }
    Ok((Value::big(quotient), Value::big(rest)))
}

pub(super) fn negate(n: &Number) -> Value {
    match n {
        Int(n) => n.checked_neg().map_or_else(|| Value::big(-BigInt::from(*n)), Value::Int),
        Big(n) => Value::big(-(**n).clone()),
        Float(x) => Value::Float(-x),
    }
}

pub(super) fn absolute(n: &Number) -> Value {
    match n {
        Int(i) if *i < 0 => negate(n),
        Int(i) => Value::Int(*i),
        Big(n) => Value::big(n.abs()),
        Float(x) => Value::Float(x.abs()),
    }
}

/// Exact, whatever the kinds; `None` with a NaN.
pub(super) fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    match (a, b) {
        (Int(x), Int(y)) => Some(x.cmp(y)),
        (Float(x), Float(y)) => x.partial_cmp(y),
        (Float(x), whole) => compare_float(*x, whole),
        (whole, Float(y)) => compare_float(*y, whole).map(Ordering::reverse),
        _ => Some(a.to_big().cmp(&b.to_big())),
    }
}

fn compare_float(x: f64, whole: &Number) -> Option<Ordering> {
    if x.is_nan() {
        return None;
    }
    if x.is_infinite() {
        return Some(if x > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    if let Int(n) = whole
        && n.unsigned_abs() < 1 << 53
    {
        return x.partial_cmp(&(*n as f64));
    }
    let below = BigInt::from_f64(x.floor())?;
    let n = whole.to_big();
    Some(match below.cmp(&n) {
        Ordering::Equal if x.fract() != 0.0 => Ordering::Greater,
        other => other,
    })
}

/// Python's `pow(a, b)` and `pow(a, b, c)`.
pub(super) fn power(a: &Number, b: &Number, modulus: Option<&Number>) -> Result<Value, Error> {
    if let Some(modulus) = modulus {
        return modular(a, b, modulus);
    }
    let negative = compare(b, &Int(0)) == Some(Ordering::Less);
    if both_floats(a, b)?.is_none() && !negative {
        return whole_power(a, b);
    }
    let (x, y) = (a.to_float()?, b.to_float()?);
    if x == 0.0 && y < 0.0 {
        return Err(by_zero("0.0 cannot be raised to a negative power"));
    }
    if x < 0.0 && y.fract() != 0.0 && y.is_finite() && x.is_finite() {
        return Err(Error::new("TypeError", "the result would be a complex number"));
    }
    let result = x.powf(y);
    if result.is_infinite() && x.is_finite() && y.is_finite() {
        return Err(Error::new("OverflowError", "(34, 'Numerical result out of range')"));
    }
    Ok(Value::Float(result))
}

fn whole_power(a: &Number, b: &Number) -> Result<Value, Error> {
    let base = a.to_big();
    if base.bits() <= 1 {
        // Zero, one and minus one stay small whatever the exponent.
        let exponent = b.to_big();
        let even = (&exponent % 2u8).is_zero();
        let result = match base.to_i64() {
            Some(0) => i64::from(exponent.is_zero()),
            Some(-1) if !even => -1,
            _ => 1,
        };
        return Ok(Value::Int(result));
    }
    let exponent = b.to_big().to_u32().ok_or_else(too_big)?;
    if base.bits().saturating_mul(u64::from(exponent)) > MOST_BITS + 64 {
        return Err(too_big());
    }
    bounded(base.pow(exponent))
}

fn modular(a: &Number, b: &Number, modulus: &Number) -> Result<Value, Error> {
    if matches!(a, Float(_)) || matches!(b, Float(_)) || matches!(modulus, Float(_)) {
        return Err(Error::new("TypeError", "pow() 3rd argument not allowed unless all arguments are integers"));
    }
    let (mut base, exponent, modulus) = (a.to_big(), b.to_big(), modulus.to_big());
    if modulus.is_zero() {
        return Err(Error::new("ValueError", "pow() 3rd argument cannot be 0"));
    }
    // A product of large numbers is paid for by time that no step counts.
    if base.bits().max(exponent.bits()).max(modulus.bits()) > 4096 {
        return Err(too_big());
    }
    let mut exponent = exponent;
    if exponent.is_negative() {
        base = base
            .modinv(&modulus)
            .ok_or_else(|| Error::new("ValueError", "base is not invertible for the given modulus"))?;
        exponent = -exponent;
    }
    Ok(Value::big(base.modpow(&exponent, &modulus)))
}

/// Python's `round(x, digits)`: half to even, by the decimal text of the number.
pub(super) fn round(n: &Number, digits: i64) -> Result<Value, Error> {
    match n {
        Float(x) => Ok(Value::Float(round_float(*x, digits)?)),
        whole if digits >= 0 => Ok(whole.clone().into()),
        whole => {
            let Ok(places) = u32::try_from(digits.unsigned_abs()) else { return Ok(Value::Int(0)) };
            if u64::from(places) > whole.bits() {
                return Ok(Value::Int(0));
            }
            let unit = BigInt::from(10).pow(places);
            let n = whole.to_big();
            let (quotient, rest) = floor(&Big(Arc::new(n)), &Big(Arc::new(unit.clone())))?;
            let (below, rest) =
                (Number::integer(&quotient).unwrap_or_default(), Number::integer(&rest).unwrap_or_default());
            let up = match (&rest * 2u8).cmp(&unit) {
                Ordering::Greater => true,
                Ordering::Less => false,
                Ordering::Equal => !(&below % 2u8).is_zero(),
            };
            bounded((below + u8::from(up)) * unit)
        }
    }
}

fn round_float(x: f64, digits: i64) -> Result<f64, Error> {
    if !x.is_finite() || digits > 323 {
        return Ok(x);
    }
    if digits < -308 {
        return Ok(0.0_f64.copysign(x));
    }
    if digits >= 0 {
        // Formatting rounds the exact binary value half to even, as Python does.
        return Ok(format!("{x:.*}", usize::try_from(digits).unwrap_or(0)).parse().unwrap_or(x));
    }
    let whole = Number::integer(&round(&Big(Arc::new(exact(x, digits))), digits)?).unwrap_or_default();
    let rounded = whole.to_f64().unwrap_or(f64::INFINITY);
    if rounded.is_infinite() {
        return Err(Error::new("OverflowError", "rounded value too large to represent"));
    }
    Ok(if rounded == 0.0 { 0.0_f64.copysign(x) } else { rounded })
}

/// The whole part of a float, moved off a tie when a fraction lies beyond it.
fn exact(x: f64, _digits: i64) -> BigInt {
    let whole = BigInt::from_f64(x.trunc()).unwrap_or_default();
    let on_tie = (&whole % 10u8).abs() == BigInt::from(5);
    if on_tie && x.fract() != 0.0 { whole + if x > 0.0 { 1 } else { -1 } } else { whole }
}

/// Python's `int(text)`: blanks around, a sign, single underscores between digits.
pub(super) fn parse_int(text: &str) -> Result<Value, Error> {
    let bad = || {
        let mut shown = String::new();
        crate::python::quote(&mut shown, text);
        Error::new("ValueError", format!("invalid literal for int() with base 10: {shown}"))
    };
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let well_formed = !digits.is_empty()
        && digits.split('_').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()));
    if !well_formed {
        return Err(bad());
    }
    if digits.len() > 300_000 {
        return Err(too_big());
    }
    let clean: String = trimmed.chars().filter(|c| *c != '_' && *c != '+').collect();
    match clean.parse::<i64>() {
        Ok(n) => Ok(Value::Int(n)),
        Err(_) => clean.parse::<BigInt>().map(Value::big).map_err(|_| bad()),
    }
}

/// Python's `float(text)`.
pub(super) fn parse_float(text: &str) -> Result<f64, Error> {
    let bad = || {
        let mut shown = String::new();
        crate::python::quote(&mut shown, text);
        Error::new("ValueError", format!("could not convert string to float: {shown}"))
    };
    let trimmed = text.trim();
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed).to_ascii_lowercase();
    if matches!(unsigned.as_str(), "inf" | "infinity" | "nan") {
        let x = if unsigned == "nan" { f64::NAN } else { f64::INFINITY };
        return Ok(if trimmed.starts_with('-') { -x } else { x });
    }
    let starts_well = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let bytes = trimmed.as_bytes();
    let underscores_well = bytes.iter().enumerate().all(|(i, b)| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        *b != b'_' || (digit(i.checked_sub(1)) && digit(Some(i + 1)))
    });
    if !starts_well || !underscores_well {
        return Err(bad());
    }
    trimmed.replace('_', "").parse().map_err(|_| bad())
}
