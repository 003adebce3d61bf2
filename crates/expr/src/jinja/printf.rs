//! `"%05d of %s" % (1, x)`: Python's printf formatting of texts.

use super::ops::Number;
use super::value::V;
use crate::{Budget, Error};
use num_bigint::{BigInt, Sign};
use num_traits::FromPrimitive;
use squall_model::Special;

/// The widest field: far beyond any table, far below what hurts.
const MAX_WIDTH: usize = 100_000;

/// One conversion: what stands between `%` and its letter.
#[derive(Default)]
struct Spec {
    key: Option<String>,
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    alternate: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats `template % args`.
pub(super) fn format(template: &str, args: &V, budget: &Budget) -> Result<String, Error> {
    let mut formatter = Formatter { args, taken: 0, keyed: false };
    let mut out = String::with_capacity(template.len());
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        if chars.peek() == Some(&'(') {
            chars.next();
            spec.key = Some(key(&mut chars)?);
        }
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '0' | '#')) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => spec.alternate = true,
            }
        }
        spec.width = formatter.size(&mut chars, &mut spec.minus)?;
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(formatter.size(&mut chars, &mut false)?.unwrap_or(0));
        }
        while chars.next_if(|c| matches!(c, 'h' | 'l' | 'L')).is_some() {}
        let Some(letter) = chars.next() else {
            return Err(Error::new("ValueError", "incomplete format"));
        };
        let piece = if letter == '%' { "%".to_owned() } else { formatter.convert(letter, &spec)? };
        budget.bytes(piece.len() as u64)?;
        out.push_str(&piece);
    }
    formatter.finish()?;
    Ok(out)
}

/// Python's `ascii()` of a printed value: everything else as an escape.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            0..=0x7f => out.push(c),
            code @ 0x80..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

fn key(chars: &mut impl Iterator<Item = char>) -> Result<String, Error> {
    let mut key = String::new();
    let mut open = 1;
    for c in chars {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Ok(key);
        }
        key.push(c);
    }
    Err(Error::new("ValueError", "incomplete format key"))
}

struct Formatter<'a> {
    args: &'a V,
    taken: usize,
    keyed: bool,
}

impl Formatter<'_> {
    fn next(&mut self) -> Result<V, Error> {
        let found = match self.args {
            V::Tuple(items) => items.get(self.taken),
            single if self.taken == 0 => Some(single.clone()),
            _ => None,
        };
        self.taken += 1;
        found.ok_or_else(|| Error::new("TypeError", "not enough arguments for format string"))
    }

    fn argument(&mut self, spec: &Spec) -> Result<V, Error> {
        let Some(key) = &spec.key else { return self.next() };
        self.keyed = true;
        let V::Dict(dict) = self.args else {
            if let V::Undefined(undefined) = self.args {
                return Err(Error::new("UndefinedError", undefined.message.clone()));
            }
            return Err(Error::new("TypeError", "format requires a mapping"));
        };
        dict.get_str(key).ok_or_else(|| Error::new("KeyError", format!("'{key}'")))
    }

    /// A width or precision: digits, or `*` for the next argument.
    fn size(
        &mut self,
        chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
        minus: &mut bool,
    ) -> Result<Option<usize>, Error> {
        let mut size: Option<usize> = None;
        if chars.next_if_eq(&'*').is_some() {
            let V::Int(n) = self.next()? else { return Err(Error::new("TypeError", "* wants int")) };
            *minus |= n < 0;
            size = usize::try_from(n.unsigned_abs()).ok();
        } else {
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                let digit = digit.to_digit(10).unwrap_or(0) as usize;
                size = Some(size.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            }
        }
        match size {
            Some(n) if n > MAX_WIDTH => Err(Error::limit("a field of a format is too wide")),
            size => Ok(size),
        }
    }

    fn convert(&mut self, letter: char, spec: &Spec) -> Result<String, Error> {
        let value = self.argument(spec)?;
        if let (V::Undefined(undefined), false) = (&value, matches!(letter, 's' | 'r' | 'a' | 'c')) {
            return Err(Error::new("UndefinedError", undefined.message.clone()));
        }
        Ok(match letter {
            's' | 'r' | 'a' => {
                let text = match (&value, letter) {
                    (V::Undefined(undefined), 's') if !undefined.silent => {
                        return Err(Error::new("UndefinedError", undefined.message.clone()));
                    }
                    (V::Str(text), 's') => text.to_string(),
                    (value, 's') => super::shown(value),
                    (value, 'a') => ascii(&value.repr()),
                    (value, _) => value.repr(),
                };
                let text = match spec.precision {
                    Some(n) => text.chars().take(n).collect(),
                    None => text,
                };
                pad(text, spec)
            }
            'c' => match &value {
                V::Bool(b) => pad(char::from(u8::from(*b)).to_string(), spec),
                V::Str(text) if text.chars().count() == 1 => pad(text.to_string(), spec),
                V::Int(n) => {
                    let c = u32::try_from(*n).ok().and_then(char::from_u32);
                    let c = c.ok_or_else(|| Error::new("OverflowError", "%c arg not in range(0x110000)"))?;
                    pad(c.to_string(), spec)
                }
                _ => return Err(Error::new("TypeError", "%c requires int or char")),
            },
            'd' | 'i' | 'u' => whole(&real(&value, letter)?, spec, 10, "")?,
            'o' => whole(&integer(&value, letter)?, spec, 8, "0o")?,
            'x' => whole(&integer(&value, letter)?, spec, 16, "0x")?,
            'X' => whole(&integer(&value, letter)?, spec, 16, "0X")?.to_uppercase(),
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = Number::of(&value).ok_or_else(|| {
                    Error::new("TypeError", format!("must be real number, not {}", value.type_name()))
                })?;
                decimal(number.float()?, letter, spec)
            }
            letter => {
                let message = format!("unsupported format character '{letter}' (0x{:x})", u32::from(letter));
                return Err(Error::new("ValueError", message));
            }
        })
    }

    fn finish(&self) -> Result<(), Error> {
        let spare = match self.args {
            V::Tuple(items) => self.taken < items.len(),
            V::Dict(_) | V::List(_) | V::Range { .. } | V::Undefined(_) => false,
            V::Special(special) => !matches!(**special, Special::Bytes(_)),
            _ => self.taken == 0 && !self.keyed,
        };
        if spare {
            return Err(Error::new("TypeError", "not all arguments converted during string formatting"));
        }
        Ok(())
    }
}

fn real(value: &V, letter: char) -> Result<BigInt, Error> {
    match Number::of(value) {
        Some(Number::Int(n)) => Ok(n),
        Some(Number::Float(x)) => BigInt::from_f64(x.trunc())
            .ok_or_else(|| Error::new("ValueError", "cannot convert float NaN or infinity to integer")),
        None => {
            let message = format!("%{letter} format: a real number is required, not {}", value.type_name());
            Err(Error::new("TypeError", message))
        }
    }
}

fn integer(value: &V, letter: char) -> Result<BigInt, Error> {
    match Number::of(value) {
        Some(Number::Int(n)) => Ok(n),
        _ => {
            let message = format!("%{letter} format: an integer is required, not {}", value.type_name());
            Err(Error::new("TypeError", message))
        }
    }
}

fn sign(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

fn whole(number: &BigInt, spec: &Spec, radix: u32, prefix: &str) -> Result<String, Error> {
    let digits = number.magnitude().to_str_radix(radix);
    let digits = format!("{digits:0>width$}", width = spec.precision.unwrap_or(0));
    let prefix = if spec.alternate { prefix } else { "" };
    Ok(signed(sign(number.sign() == Sign::Minus, spec), prefix, &digits, spec))
}

fn signed(sign: &str, prefix: &str, digits: &str, spec: &Spec) -> String {
    let used = sign.len() + prefix.len() + digits.chars().count();
    if spec.zero && !spec.minus {
        let zeros = "0".repeat(spec.width.unwrap_or(0).saturating_sub(used));
        return format!("{sign}{prefix}{zeros}{digits}");
    }
    pad(format!("{sign}{prefix}{digits}"), spec)
}

fn pad(text: String, spec: &Spec) -> String {
    let fill = " ".repeat(spec.width.unwrap_or(0).saturating_sub(text.chars().count()));
    if spec.minus { text + &fill } else { fill + &text }
}

fn decimal(x: f64, letter: char, spec: &Spec) -> String {
    let text = float_text(x.abs(), letter, spec.precision, spec.alternate);
    let negative = x.is_sign_negative() && !x.is_nan();
    if !x.is_finite() {
        return pad(format!("{}{text}", sign(negative, spec)), spec);
    }
    signed(sign(negative, spec), "", &text, spec)
}

/// A number that is not negative in one of the notations `e`, `f` or `g`.
pub(super) fn float_text(x: f64, letter: char, precision: Option<usize>, alternate: bool) -> String {
    let upper = letter.is_ascii_uppercase();
    let text = if x.is_nan() {
        "nan".to_owned()
    } else if x.is_infinite() {
        "inf".to_owned()
    } else {
        // Beyond what a double can hold every further digit of `f` is a zero anyway.
        let precision = precision.unwrap_or(6).min(MAX_WIDTH);
        match letter.to_ascii_lowercase() {
            'f' => format!("{x:.precision$}"),
            'e' => exponent(x, precision),
            _ => general(x, precision.max(1), alternate),
        }
    };
    if upper { text.to_uppercase() } else { text }
}

/// `1.50e+10`: Python writes a sign and two digits at least.
fn exponent(x: f64, precision: usize) -> String {
    let text = format!("{x:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.unsigned_abs())
}

fn general(x: f64, precision: usize, alternate: bool) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let scientific = exponent(x, precision - 1);
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') && !alternate {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if power < -4 || power >= limit {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(digits), power.unsigned_abs());
    }
    let decimals = usize::try_from(limit - 1 - power).unwrap_or(0);
    trim(&format!("{x:.decimals$}"))
}
