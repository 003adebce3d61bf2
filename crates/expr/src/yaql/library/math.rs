//! Numbers.

use crate::Error;
use crate::yaql::call::Args;
use crate::yaql::eval::{Eval, Outcome};
use crate::yaql::number::{self, MOST_BITS, Number};
use crate::yaql::operators;
use crate::yaql::table::{Entry, Type, function, opt, req};
use crate::yaql::tree::Binary;
use crate::yaql::value::Val;
use num_bigint::BigInt;
use num_traits::{FromPrimitive, Signed, ToPrimitive};
use squall_model::Value;

/// A number; the type of the parameter has made sure that it is one.
fn number<'a>(args: &mut Args<'a>, at: usize) -> Number {
    operators::number(&args.val(at)).unwrap_or(Number::Int(0))
}

fn whole<'a>(args: &mut Args<'a>, at: usize) -> BigInt {
    match args.val(at) {
        Val::Plain(value) => Number::integer(&value).unwrap_or_default(),
        _ => BigInt::default(),
    }
}

fn abs<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::Plain(number::absolute(&number(&mut args, 0))))
}

fn kind_of(val: &Val<'_>) -> &'static str {
    match val {
        Val::Plain(Value::List(_)) | Val::List(_) => "tuple",
        val if val.is_mapping() => "FrozenDict",
        val if val.is_set() => "frozenset",
        val if val.is_iterable() => "generator",
        _ => "object",
    }
}

fn to_int<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let val = args.val(0);
    let value = match &val {
        Val::Plain(Value::Null) => Value::Int(0),
        Val::Plain(Value::Bool(b)) => Value::Int(i64::from(*b)),
        Val::Plain(value @ (Value::Int(_) | Value::Big(_))) => value.clone(),
        Val::Plain(Value::Float(x)) if x.is_nan() => {
            return Err(Error::new("ValueError", "cannot convert float NaN to integer"));
        }
        Val::Plain(Value::Float(x)) => match BigInt::from_f64(x.trunc()) {
            Some(n) => Value::big(n),
            None => return Err(Error::new("OverflowError", "cannot convert float infinity to integer")),
        },
        Val::Plain(Value::Str(text)) => number::parse_int(text)?,
        other => {
            let kind = kind_of(other);
            return Err(Error::new("TypeError", format!("int() argument must be a string or a number, not '{kind}'")));
        }
    };
    Ok(Val::Plain(value))
}

fn to_float<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let val = args.val(0);
    Ok(Val::from(match &val {
        Val::Plain(Value::Null) => 0.0,
        Val::Plain(Value::Bool(b)) => f64::from(u8::from(*b)),
        Val::Plain(Value::Str(text)) => number::parse_float(text)?,
        other => match operators::number(other) {
            Some(n) => n.to_float()?,
            None => {
                let kind = kind_of(other);
                let message = format!("float() argument must be a string or a number, not '{kind}'");
                return Err(Error::new("TypeError", message));
            }
        },
    }))
}

fn random_bits(ev: &Eval<'_>) -> u64 {
    let mut bytes = [0; 8];
    ev.scope.host.random(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn random<'a>(ev: &'a Eval<'a>, _: Args<'a>) -> Outcome<'a> {
    // 53 bits fill a float's digits.
    Ok(Val::from((random_bits(ev) >> 11) as f64 / (1u64 << 53) as f64))
}

fn random_between<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (from, to) = (args.val(0), args.val(1));
    let (Val::Plain(from), Val::Plain(to)) = (&from, &to) else { return Err(not_integers()) };
    let (Some(from), Some(to)) = (Number::integer(from), Number::integer(to)) else { return Err(not_integers()) };
    if from > to {
        let message = {
            let end: BigInt = to + 1;
            format!("empty range for randrange() ({from}, {end}, {})", &end - &from)
        };
        return Err(Error::new("ValueError", message));
    }
    let span: BigInt = &to - &from + 1;
    let bits = (BigInt::from(random_bits(ev)) << 64u32) + random_bits(ev);
    if span.bits() > 64 {
        return Err(number::too_big());
    }
    // 128 bits over at most 64: the bias is beyond noticing.
    Ok(Val::Plain(Value::big(from + bits % span)))
}

fn not_integers() -> Error {
    Error::new("ValueError", "non-integer arg for randrange()")
}

fn bitwise_and<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::Plain(Value::big(whole(&mut args, 0) & whole(&mut args, 1))))
}

fn bitwise_or<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::Plain(Value::big(whole(&mut args, 0) | whole(&mut args, 1))))
}

fn bitwise_xor<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::Plain(Value::big(whole(&mut args, 0) ^ whole(&mut args, 1))))
}

fn bitwise_not<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::Plain(Value::big(!whole(&mut args, 0))))
}

fn shift_left<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (value, by) = (whole(&mut args, 0), whole(&mut args, 1));
    if by.is_negative() {
        return Err(Error::new("ValueError", "negative shift count"));
    }
    match by.to_u64() {
        _ if value == BigInt::default() => Ok(Val::from(0_i64)),
        Some(by) if value.bits() + by <= MOST_BITS => Ok(Val::Plain(Value::big(value << by))),
        _ => Err(number::too_big()),
    }
}

fn shift_right<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (value, by) = (whole(&mut args, 0), whole(&mut args, 1));
    if by.is_negative() {
        return Err(Error::new("ValueError", "negative shift count"));
    }
    // Beyond its width nothing but the sign is left.
    let by = by.to_u64().unwrap_or(u64::MAX).min(value.bits() + 1);
    Ok(Val::Plain(Value::big(value >> by)))
}

/// The larger by `>`; the first of equals.
pub(super) fn larger<'a>(a: Val<'a>, b: Val<'a>) -> Outcome<'a> {
    Ok(if operators::compare(Binary::Greater, &b, &a)? { b } else { a })
}

/// The smaller by `>`; the second of equals.
pub(super) fn smaller<'a>(a: Val<'a>, b: Val<'a>) -> Outcome<'a> {
    Ok(if operators::compare(Binary::Greater, &b, &a)? { a } else { b })
}

fn max<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    larger(args.val(0), args.val(1))
}

fn min<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    smaller(args.val(0), args.val(1))
}

fn pow<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (a, b) = (number(&mut args, 0), number(&mut args, 1));
    let modulus = operators::number(&args.val(2));
    number::power(&a, &b, modulus.as_ref()).map(Val::Plain)
}

fn sign<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let ordering = number::compare(&number(&mut args, 0), &Number::Int(0));
    Ok(Val::from(ordering.map_or(0, |o| o as i64)))
}

fn round<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let n = number(&mut args, 0);
    number::round(&n, args.int(1, 0)).map(Val::Plain)
}

fn is_integer<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(matches!(args.val(0), Val::Plain(Value::Int(_) | Value::Big(_)))))
}

fn is_number<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(operators::number(&args.val(0)).is_some()))
}

pub(in crate::yaql) const TABLE: &[Entry] = &[
    function("abs", &[req("op", Type::Number)], abs),
    function("int", &[req("value", Type::Any)], to_int),
    function("float", &[req("value", Type::Any)], to_float),
    function("random", &[], random),
    function("random", &[req("from", Type::Any), req("to", Type::Any)], random_between),
    function("bitwiseAnd", &[req("left", Type::Int), req("right", Type::Int)], bitwise_and),
    function("bitwiseOr", &[req("left", Type::Int), req("right", Type::Int)], bitwise_or),
    function("bitwiseXor", &[req("left", Type::Int), req("right", Type::Int)], bitwise_xor),
    function("bitwiseNot", &[req("arg", Type::Int)], bitwise_not),
    function("shiftBitsLeft", &[req("value", Type::Int), req("bitsNumber", Type::Int)], shift_left),
    function("shiftBitsRight", &[req("value", Type::Int), req("bitsNumber", Type::Int)], shift_right),
    function("max", &[req("a", Type::Any), req("b", Type::Any)], max),
    function("min", &[req("a", Type::Any), req("b", Type::Any)], min),
    function("pow", &[req("a", Type::Number), req("b", Type::Number), opt("c", Type::NumberOrNull)], pow),
    function("sign", &[req("num", Type::Number)], sign),
    function("round", &[req("number", Type::Number), opt("ndigits", Type::Int)], round),
    function("isInteger", &[req("value", Type::Any)], is_integer),
    function("isNumber", &[req("value", Type::Any)], is_number),
];
