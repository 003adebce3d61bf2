//! Operators with Python's meaning: numbers of any size, true division, sequences, comparison across types.

use super::ast::{Comparison, Op};
use super::printf;
use super::value::{Dict, Seq, V};
use crate::{Budget, Error};
use num_bigint::{BigInt, Sign};
use num_traits::{Pow, ToPrimitive, Zero};
use squall_model::{Special, Value};
use std::cmp::Ordering;

/// The longest whole number, in bits: one Mibit.
const MAX_BITS: u64 = 1 << 20;

/// A number in the form in which it is calculated.
#[derive(Debug, Clone)]
pub(super) enum Number {
    Int(BigInt),
    Float(f64),
}

impl Number {
    pub(super) fn of(value: &V) -> Option<Number> {
        Some(match value {
            V::Bool(b) => Number::Int(i64::from(*b).into()),
            V::Int(n) => Number::Int((*n).into()),
            V::Big(n) => Number::Int((**n).clone()),
            V::Float(x) => Number::Float(*x),
            _ => return None,
        })
    }

    pub(super) fn float(&self) -> Result<f64, Error> {
        match self {
            Number::Float(x) => Ok(*x),
            Number::Int(n) => match n.to_f64() {
                Some(x) if x.is_finite() => Ok(x),
                _ => Err(Error::new("OverflowError", "int too large to convert to float")),
            },
        }
    }
}

fn type_error(message: String) -> Error {
    Error::new("TypeError", message)
}

fn unsupported(op: &str, a: &V, b: &V) -> Error {
    type_error(format!("unsupported operand type(s) for {op}: '{}' and '{}'", a.type_name(), b.type_name()))
}

/// `a op b`.
pub(super) fn binary(op: Op, a: &V, b: &V, budget: &Budget) -> Result<V, Error> {
    // The common case first: small whole numbers.
    if let (V::Int(x), V::Int(y)) = (a, b) {
        let quick = match op {
            Op::Add => x.checked_add(*y),
            Op::Sub => x.checked_sub(*y),
            Op::Mul => x.checked_mul(*y),
            _ => None,
        };
        if let Some(n) = quick {
            return Ok(V::Int(n));
        }
    }
    if let (Op::Mod, V::Str(format)) = (op, a) {
        return printf::format(format, b, budget).map(V::from);
    }
    if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
        return arithmetic(op, x, y);
    }
    match (op, a, b) {
        (Op::Add, V::Str(x), V::Str(y)) => {
            budget.bytes((x.len() + y.len()) as u64)?;
            Ok(V::from(format!("{x}{y}")))
        }
        (Op::Add, V::Str(_), _) => {
            Err(type_error(format!("can only concatenate str (not \"{}\") to str", b.type_name())))
        }
        (Op::Add, V::List(x), V::List(y)) => V::list(joined(x, y, budget)?),
        (Op::Add, V::Tuple(x), V::Tuple(y)) => V::tuple(joined(x, y, budget)?),
        (Op::Mul, V::Str(_) | V::List(_) | V::Tuple(_), V::Int(n)) => repeated(a, *n, budget),
        (Op::Mul, V::Str(_) | V::List(_) | V::Tuple(_), V::Bool(n)) => repeated(a, i64::from(*n), budget),
        (Op::Mul, V::Bool(n), V::Str(_) | V::List(_) | V::Tuple(_)) => repeated(b, i64::from(*n), budget),
        (Op::Mul, V::Int(n), V::Str(_) | V::List(_) | V::Tuple(_)) => repeated(b, *n, budget),
        (Op::Mul, V::Str(_) | V::List(_) | V::Tuple(_), _) => {
            Err(type_error(format!("can't multiply sequence by non-int of type '{}'", b.type_name())))
        }
        _ => Err(unsupported(
            match op {
                Op::Add => "+",
                Op::Sub => "-",
                Op::Mul => "*",
                Op::Div => "/",
                Op::FloorDiv => "//",
                Op::Mod => "%",
                Op::Pow => "** or pow()",
            },
            a,
            b,
        )),
    }
}

fn joined(a: &Seq, b: &Seq, budget: &Budget) -> Result<Vec<V>, Error> {
    budget.bytes(((a.len() + b.len()) * size_of::<V>()) as u64)?;
    Ok(a.iter().chain(b.iter()).collect())
}

fn repeated(value: &V, times: i64, budget: &Budget) -> Result<V, Error> {
    let times = usize::try_from(times).unwrap_or(0);
    match value {
        V::Str(text) => {
            budget.bytes((text.len() as u64).saturating_mul(times as u64))?;
            Ok(V::from(text.repeat(times)))
        }
        V::List(items) | V::Tuple(items) => {
            let size = (items.len() * size_of::<V>()) as u64;
            budget.bytes(size.saturating_mul(times as u64))?;
            let all = items.to_vec();
            let many = std::iter::repeat_n(all, if items.len() == 0 { 0 } else { times }).flatten().collect();
            if matches!(value, V::List(_)) { V::list(many) } else { V::tuple(many) }
        }
        _ => Ok(V::None),
    }
}

fn arithmetic(op: Op, a: Number, b: Number) -> Result<V, Error> {
    use Number::Int;
    let zero = |message: &str| Error::new("ZeroDivisionError", message);
    if let (Int(x), Int(y)) = (&a, &b) {
        if x.bits() + y.bits() > MAX_BITS && op == Op::Mul {
            return Err(Error::limit("a whole number has too many digits"));
        }
        return Ok(V::big(match op {
            Op::Add => x + y,
            Op::Sub => x - y,
            Op::Mul => x * y,
            Op::Div if y.is_zero() => return Err(zero("division by zero")),
            Op::Div => return Ok(V::Float(a.float()? / b.float()?)),
            Op::FloorDiv | Op::Mod if y.is_zero() => return Err(zero("integer division or modulo by zero")),
            Op::FloorDiv => floor_div(x, y),
            Op::Mod => x - floor_div(x, y) * y,
            Op::Pow => return int_power(x, y),
        }));
    }
    let (x, y) = (a.float()?, b.float()?);
    Ok(V::Float(match op {
        Op::Add => x + y,
        Op::Sub => x - y,
        Op::Mul => x * y,
        Op::Div if y == 0.0 => return Err(zero("float division by zero")),
        Op::Div => x / y,
        Op::FloorDiv if y == 0.0 => return Err(zero("float divmod()")),
        Op::FloorDiv => ((x - float_mod(x, y)) / y).round(),
        Op::Mod if y == 0.0 => return Err(zero("float modulo")),
        Op::Mod => float_mod(x, y),
        Op::Pow if x == 0.0 && y < 0.0 => return Err(zero("0.0 cannot be raised to a negative power")),
        Op::Pow if x < 0.0 && y.fract() != 0.0 => {
            return Err(Error::new("ValueError", "a negative number has no such power among real numbers"));
        }
        Op::Pow => {
            let power = x.powf(y);
            if power.is_infinite() && x.is_finite() && y.is_finite() {
                return Err(Error::new("OverflowError", "numerical result out of range"));
            }
            power
        }
    }))
}

fn floor_div(x: &BigInt, y: &BigInt) -> BigInt {
    let quotient = x / y;
    let exact = (x % y).is_zero();
    if !exact && (x.sign() == Sign::Minus) != (y.sign() == Sign::Minus) { quotient - 1 } else { quotient }
}

fn float_mod(x: f64, y: f64) -> f64 {
    let rest = x % y;
    match rest {
        // The sign of the divisor, also on zero.
        0.0 => 0f64.copysign(y),
        rest if (rest < 0.0) != (y < 0.0) => rest + y,
        rest => rest,
    }
}

fn int_power(x: &BigInt, y: &BigInt) -> Result<V, Error> {
    if y.sign() == Sign::Minus {
        if x.is_zero() {
            return Err(Error::new("ZeroDivisionError", "0.0 cannot be raised to a negative power"));
        }
        return arithmetic(
            Op::Pow,
            Number::Float(Number::Int(x.clone()).float()?),
            Number::Float(Number::Int(y.clone()).float()?),
        );
    }
    let too_long = || Error::limit("a whole number has too many digits");
    let exponent = match (y.to_u32(), x.bits()) {
        (Some(exponent), _) => exponent,
        (None, 0 | 1) => u32::from(y.bit(0)) + 2,
        (None, _) => return Err(too_long()),
    };
    if x.bits() > 1 && x.bits().saturating_mul(exponent.into()) > MAX_BITS {
        return Err(too_long());
    }
    Ok(V::big(Pow::pow(x, exponent)))
}

/// `-value` or `+value`.
pub(super) fn sign(value: &V, negative: bool) -> Result<V, Error> {
    match Number::of(value) {
        Some(Number::Int(n)) => Ok(V::big(if negative { -n } else { n })),
        Some(Number::Float(x)) => Ok(V::Float(if negative { -x } else { x })),
        None => {
            let op = if negative { '-' } else { '+' };
            Err(type_error(format!("bad operand type for unary {op}: '{}'", value.type_name())))
        }
    }
}

/// Python's `==`; different types are different unless both are numbers.
pub(super) fn equal(a: &V, b: &V) -> bool {
    if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
        return order_numbers(&x, &y) == Some(Ordering::Equal);
    }
    match (a, b) {
        (V::None, V::None) | (V::Undefined(_), V::Undefined(_)) => true,
        (V::Str(x), V::Str(y)) => x == y,
        (V::List(x), V::List(y)) | (V::Tuple(x), V::Tuple(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| equal(&x, &y))
        }
        (V::Dict(x), V::Dict(y)) => {
            x.len() == y.len()
                && x.pairs().all(|(key, value)| matches!(y.get(&key), Ok(Some(other)) if equal(&value, &other)))
        }
        (V::Range { .. }, V::Range { .. }) => {
            let (x, y) = (a.range_items(), b.range_items());
            x.len() == y.len() && x.iter().zip(&y).all(|(x, y)| equal(x, y))
        }
        (V::Special(x), V::Special(y)) => match (&**x, &**y) {
            (Special::DateTime { micros: x, .. }, Special::DateTime { micros: y, .. }) => x == y,
            (x, y) => x == y,
        },
        (V::Function(x), V::Function(y)) => std::rc::Rc::ptr_eq(x, y),
        (V::Namespace(x), V::Namespace(y)) => std::rc::Rc::ptr_eq(x, y),
        _ => false,
    }
}

fn order_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Int(x), Number::Int(y)) => Some(x.cmp(y)),
        (Number::Float(x), Number::Float(y)) => x.partial_cmp(y),
        (Number::Int(x), Number::Float(y)) => order_mixed(x, *y),
        (Number::Float(x), Number::Int(y)) => order_mixed(y, *x).map(Ordering::reverse),
    }
}

/// Exact, as Python compares: no whole number is rounded.
fn order_mixed(x: &BigInt, y: f64) -> Option<Ordering> {
    if y.is_nan() {
        return None;
    }
    if y.is_infinite() {
        return Some(if y > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor: BigInt = num_traits::FromPrimitive::from_f64(y.floor())?;
    Some(x.cmp(&floor).then(if y.fract() == 0.0 { Ordering::Equal } else { Ordering::Less }))
}

/// The order of two values of one kind; `None` for NaN. Other types cannot be compared.
pub(super) fn order(a: &V, b: &V, sign: &str) -> Result<Option<Ordering>, Error> {
    if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
        return Ok(order_numbers(&x, &y));
    }
    match (a, b) {
        (V::Str(x), V::Str(y)) => Ok(Some(x.cmp(y))),
        (V::List(x), V::List(y)) | (V::Tuple(x), V::Tuple(y)) => {
            for (x, y) in x.iter().zip(y.iter()) {
                if !equal(&x, &y) {
                    return order(&x, &y, sign);
                }
            }
            Ok(Some(x.len().cmp(&y.len())))
        }
        (V::Special(x), V::Special(y)) => match (&**x, &**y) {
            (Special::DateTime { micros: x, .. }, Special::DateTime { micros: y, .. })
            | (Special::Timespan(x), Special::Timespan(y)) => Ok(Some(x.cmp(y))),
            (Special::Bytes(x), Special::Bytes(y)) => Ok(Some(x.cmp(y))),
            _ => Err(not_ordered(a, b, sign)),
        },
        _ => Err(not_ordered(a, b, sign)),
    }
}

fn not_ordered(a: &V, b: &V, sign: &str) -> Error {
    type_error(format!("'{sign}' not supported between instances of '{}' and '{}'", a.type_name(), b.type_name()))
}

/// `a comparison b`.
pub(super) fn compare(comparison: Comparison, a: &V, b: &V) -> Result<bool, Error> {
    Ok(match comparison {
        Comparison::Eq => equal(a, b),
        Comparison::Ne => !equal(a, b),
        Comparison::Lt => order(a, b, "<")? == Some(Ordering::Less),
        Comparison::Gt => order(a, b, ">")? == Some(Ordering::Greater),
        Comparison::Le => matches!(order(a, b, "<=")?, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Ge => matches!(order(a, b, ">=")?, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::In => contains(b, a)?,
        Comparison::NotIn => !contains(b, a)?,
    })
}

/// `item in container`.
pub(super) fn contains(container: &V, item: &V) -> Result<bool, Error> {
    match container {
        V::Str(text) => match item {
            V::Str(part) => Ok(text.contains(&**part)),
            other => {
                Err(type_error(format!("'in <string>' requires string as left operand, not {}", other.type_name())))
            }
        },
        V::List(items) | V::Tuple(items) | V::Generator(_, items) => Ok(items.iter().any(|x| equal(&x, item))),
        V::Dict(dict) | V::View(super::value::View::Keys, dict) => Ok(dict.get(item)?.is_some()),
        V::View(view, dict) => Ok(super::value::view_items(*view, dict).iter().any(|x| equal(x, item))),
        V::Range { .. } => Ok(container.range_items().iter().any(|x| equal(x, item))),
        V::Broken(error) => Err((**error).clone()),
        V::Special(special) => match &**special {
            Special::Set(items) => Ok(items.iter().any(|x| equal(&V::from(x), item))),
            _ => Err(type_error(format!("argument of type '{}' is not iterable", container.type_name()))),
        },
        _ => Err(type_error(format!("argument of type '{}' is not iterable", container.type_name()))),
    }
}

/// `value[start:stop:step]`.
pub(super) fn slice(value: &V, parts: [Option<V>; 3], budget: &Budget) -> Result<V, Error> {
    let number = |part: &Option<V>| match part {
        None | Some(V::None) => Ok(None),
        Some(V::Int(n)) => Ok(Some(*n)),
        Some(V::Bool(b)) => Ok(Some(i64::from(*b))),
        Some(_) => Err(type_error("slice indices must be integers or None or have an __index__ method".to_owned())),
    };
    let [start, stop, step] = [number(&parts[0])?, number(&parts[1])?, number(&parts[2])?];
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::new("ValueError", "slice step cannot be zero"));
    }
    let pick = |len: usize| -> Result<Vec<usize>, Error> {
        let len = i64::try_from(len).unwrap_or(i64::MAX);
        let clamp = |n: i64, low: i64, high: i64| (if n < 0 { n.saturating_add(len) } else { n }).clamp(low, high);
        let (mut at, end) = if step > 0 {
            (start.map_or(0, |n| clamp(n, 0, len)), stop.map_or(len, |n| clamp(n, 0, len)))
        } else {
            (start.map_or(len - 1, |n| clamp(n, -1, len - 1)), stop.map_or(-1, |n| clamp(n, -1, len - 1)))
        };
        let mut picked = Vec::new();
        while (step > 0 && at < end) || (step < 0 && at > end) {
            picked.push(usize::try_from(at).unwrap_or(0));
            at = at.saturating_add(step);
        }
        budget.step(picked.len() as u64)?;
        Ok(picked)
    };
    match value {
        V::Str(text) => {
            let chars: Vec<char> = text.chars().collect();
            budget.bytes(chars.len() as u64)?;
            Ok(V::from(pick(chars.len())?.into_iter().map(|i| chars[i]).collect::<String>()))
        }
        V::List(items) => V::list(pick(items.len())?.into_iter().filter_map(|i| items.get(i)).collect()),
        V::Tuple(items) => V::tuple(pick(items.len())?.into_iter().filter_map(|i| items.get(i)).collect()),
        V::Range { .. } => {
            let V::Range { start: first, len, step: by } = value else { return Ok(V::None) };
            let picked = pick(usize::try_from(*len).unwrap_or(0))?;
            // An empty slice of a range keeps no numbers, so where it starts does not matter.
            let from = picked.first().map_or(0, |at| i64::try_from(*at).unwrap_or(0));
            Ok(V::Range {
                start: first.wrapping_add(from.wrapping_mul(*by)),
                len: i64::try_from(picked.len()).unwrap_or(0),
                step: by.saturating_mul(step),
            })
        }
        V::Special(special) => match &**special {
            Special::Bytes(bytes) => {
                Ok(V::from(Value::special(Special::Bytes(pick(bytes.len())?.into_iter().map(|i| bytes[i]).collect()))))
            }
            _ => Err(type_error(format!("'{}' object is not subscriptable", value.type_name()))),
        },
        V::Dict(Dict::Data(_) | Dict::Own(_)) => Err(type_error("unhashable type: 'slice'".to_owned())),
        _ => Err(type_error(format!("'{}' object is not subscriptable", value.type_name()))),
    }
}
