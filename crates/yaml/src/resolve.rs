//! What a scalar means: PyYAML's implicit types and its constructors for YAML's own tags.
//!
//! The patterns are PyYAML's, written out as small matchers: they decide the *type* of a plain scalar, and
//! the constructors may still refuse the text (`2016-13-01` looks like a date and is none).

use num_bigint::BigInt;
use squall_model::{Special, Str, Value};

/// Longest whole number in digits; Python refuses longer ones too (its limit is 4300 decimal digits).
const MAX_DIGITS: usize = 4300;

/// The prefix of YAML's own tags.
const CORE: &str = "tag:yaml.org,2002:";

/// What a plain scalar or a tag says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Null,
    Bool,
    Int,
    Float,
    Timestamp,
    Binary,
    Str,
    Merge,
    /// A lone `=`.
    DefaultValue,
}

impl Type {
    /// The type named by a tag on a scalar.
    pub(crate) fn of_tag(tag: &str) -> Option<Type> {
        Some(match tag.strip_prefix(CORE)? {
            "null" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "float" => Type::Float,
            "timestamp" => Type::Timestamp,
            "binary" => Type::Binary,
            "str" => Type::Str,
            "merge" => Type::Merge,
            "value" => Type::DefaultValue,
            _ => return None,
        })
    }

    /// The full tag, for error messages.
    pub(crate) fn tag(self) -> String {
        let name = match self {
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Float => "float",
            Type::Timestamp => "timestamp",
            Type::Binary => "binary",
            Type::Str => "str",
            Type::Merge => "merge",
            Type::DefaultValue => "value",
        };
        format!("{CORE}{name}")
    }

    /// The type of a plain scalar.
    pub(crate) fn of_plain(text: &str) -> Type {
        let Some(first) = text.bytes().next() else {
            return Type::Null;
        };
        match first {
            b'~' if text == "~" => Type::Null,
            b'n' | b'N' if matches!(text, "null" | "Null" | "NULL") => Type::Null,
            b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' if is_bool(text) => Type::Bool,
            b'<' if text == "<<" => Type::Merge,
            b'=' if text == "=" => Type::DefaultValue,
            b'+' | b'-' | b'.' | b'0'..=b'9' => of_number(text),
            _ => Type::Str,
        }
    }
}

fn of_number(text: &str) -> Type {
    if is_float(text) {
        Type::Float
    } else if is_int(text) {
        Type::Int
    } else if is_timestamp(text) {
        Type::Timestamp
    } else {
        Type::Str
    }
}

fn is_bool(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let right_case = text == lower || text == lower.to_ascii_uppercase() || {
        let (head, tail) = text.split_at(1);
        head == head.to_ascii_uppercase() && tail == tail.to_ascii_lowercase()
    };
    right_case && matches!(lower.as_str(), "yes" | "no" | "true" | "false" | "on" | "off")
}

/// A cursor over ASCII text that eats what a pattern says.
struct Eat<'a>(&'a [u8]);

impl<'a> Eat<'a> {
    fn one(&mut self, set: impl Fn(u8) -> bool) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if set(*first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn many(&mut self, set: impl Fn(u8) -> bool) -> usize {
        let mut n = 0;
        while self.one(&set) {
            n += 1;
        }
        n
    }

    fn sign(&mut self) -> bool {
        self.one(|b| matches!(b, b'+' | b'-'))
    }

    /// `(?::[0-5]?[0-9])+`
    fn sixties(&mut self) -> bool {
        let mut any = false;
        while let [b':', rest @ ..] = self.0 {
            let digits = rest.iter().take(2).take_while(|b| b.is_ascii_digit()).count();
            // Two digits only if the first is 0-5; else one, and what follows must match on its own.
            let digits = if digits == 2 && !matches!(rest[0], b'0'..=b'5') { 1 } else { digits };
            if digits == 0 {
                return any;
            }
            self.0 = &rest[digits..];
            any = true;
        }
        any
    }

    fn exponent(&mut self) -> bool {
        let saved = self.0;
        let whole = self.one(|b| matches!(b, b'e' | b'E')) && self.sign() && self.many(|b| b.is_ascii_digit()) > 0;
        if !whole {
            self.0 = saved;
        }
        whole
    }

    fn done(&self) -> bool {
        self.0.is_empty()
    }
}

fn digit_or_line(b: u8) -> bool {
    b.is_ascii_digit() || b == b'_'
}

fn is_float(text: &str) -> bool {
    if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF") && text.len() <= 5 {
        return true;
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let mut eat = Eat(text.as_bytes());
    let signed = eat.sign();
    if !signed && eat.one(|b| b == b'.') {
        // `\.[0-9][0-9_]*(exponent)?`; only an unsigned number may begin with the point.
        let fraction = eat.one(|b| b.is_ascii_digit());
        eat.many(digit_or_line);
        eat.exponent();
        return fraction && eat.done();
    }
    if !eat.one(|b| b.is_ascii_digit()) {
        return false;
    }
    eat.many(digit_or_line);
    let sixties = eat.sixties();
    if !eat.one(|b| b == b'.') {
        return false;
    }
    eat.many(digit_or_line);
    if !sixties {
        eat.exponent();
    }
    eat.done()
}

fn is_int(text: &str) -> bool {
    let mut eat = Eat(text.as_bytes());
    eat.sign();
    let rest = eat.0;
    match rest {
        [] => false,
        [b'0'] => true,
        [b'0', b'b', bits @ ..] => !bits.is_empty() && bits.iter().all(|b| matches!(b, b'0' | b'1' | b'_')),
        [b'0', b'x', digits @ ..] => !digits.is_empty() && digits.iter().all(|b| b.is_ascii_hexdigit() || *b == b'_'),
        [b'0', octal @ ..] => octal.iter().all(|b| matches!(b, b'0'..=b'7' | b'_')),
        [b'1'..=b'9', ..] => {
            eat.many(digit_or_line);
            eat.sixties();
            eat.done()
        }
        _ => false,
    }
}

/// The parts of a timestamp: the date, the time if any, and the offset in seconds if any.
struct Stamp {
    date: (i16, i8, i8),
    time: Option<(i8, i8, i8, u32)>,
    offset: i32,
}

fn is_timestamp(text: &str) -> bool {
    // The implicit pattern wants a date alone to have two digits each; the constructor is laxer.
    match stamp(text) {
        Some(Stamp { time: None, .. }) => text.len() == 10,
        Some(_) => true,
        None => false,
    }
}

fn stamp(text: &str) -> Option<Stamp> {
    let mut eat = Eat(text.as_bytes());
    let year = number(&mut eat, 4, 4)?;
    let date = (year as i16, after(&mut eat, b'-', 1)? as i8, after(&mut eat, b'-', 1)? as i8);
    if eat.done() {
        return Some(Stamp { date, time: None, offset: 0 });
    }
    if !eat.one(|b| matches!(b, b'T' | b't')) && eat.many(|b| matches!(b, b' ' | b'\t')) == 0 {
        return None;
    }
    let hour = number(&mut eat, 1, 2)?;
    let (minute, second) = (after(&mut eat, b':', 2)?, after(&mut eat, b':', 2)?);
    let micros = if eat.one(|b| b == b'.') { fraction(&mut eat) } else { 0 };
    let offset = zone(&mut eat)?;
    Some(Stamp { date, time: Some((hour as i8, minute as i8, second as i8, micros)), offset })
}

fn number(eat: &mut Eat<'_>, least: usize, most: usize) -> Option<i32> {
    let digits = eat.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    let (head, rest) = eat.0.split_at_checked(digits)?;
    eat.0 = rest;
    (digits >= least).then(|| head.iter().fold(0, |n, b| n * 10 + i32::from(b - b'0')))
}

fn after(eat: &mut Eat<'_>, mark: u8, least: usize) -> Option<i32> {
    eat.one(|b| b == mark).then(|| number(eat, least, 2))?
}

fn fraction(eat: &mut Eat<'_>) -> u32 {
    let digits = eat.0;
    let n = eat.many(|b| b.is_ascii_digit());
    (0..6).fold(0, |micros, i| micros * 10 + if i < n { u32::from(digits[i] - b'0') } else { 0 })
}

/// The offset at the end in seconds; none written is 0.
fn zone(eat: &mut Eat<'_>) -> Option<i32> {
    eat.many(|b| matches!(b, b' ' | b'\t'));
    if eat.done() || (eat.one(|b| b == b'Z') && eat.done()) {
        return Some(0);
    }
    let negative = eat.0.first() == Some(&b'-');
    if !eat.sign() {
        return None;
    }
    let hours = number(eat, 1, 2)?;
    let minutes = if eat.done() { 0 } else { after(eat, b':', 2)? };
    let seconds = hours * 3600 + minutes * 60;
    eat.done().then_some(if negative { -seconds } else { seconds })
}

/// Makes the value of type `kind` from `text`. The error says in Python's spirit what does not fit.
pub(crate) fn construct(kind: Type, text: &str) -> Result<Value, String> {
    match kind {
        Type::Null => Ok(Value::Null),
        Type::Bool => match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" => Ok(Value::Bool(true)),
            "no" | "false" | "off" => Ok(Value::Bool(false)),
            _ => Err(format!("`{text}` is neither true nor false")),
        },
        Type::Int => int(text),
        Type::Float => {
            float(text).map(Value::Float).ok_or_else(|| format!("could not convert string to float: '{text}'"))
        }
        Type::Timestamp => timestamp(text),
        Type::Binary => base64(text).map(|bytes| Value::special(Special::Bytes(bytes))),
        Type::Str => Ok(Value::Str(Str::from(text))),
        Type::Merge | Type::DefaultValue => {
            Err(format!("could not determine a constructor for the tag '{}'", kind.tag()))
        }
    }
}

fn int(text: &str) -> Result<Value, String> {
    let clean: String = text.chars().filter(|c| *c != '_').collect();
    let (negative, digits) = match clean.as_bytes().first() {
        Some(b'-') => (true, &clean[1..]),
        Some(b'+') => (false, &clean[1..]),
        _ => (false, clean.as_str()),
    };
    if digits.len() > MAX_DIGITS {
        return Err(format!("a whole number of {} digits is too long, the limit is {MAX_DIGITS}", digits.len()));
    }
    let parsed = if let Some(bits) = digits.strip_prefix("0b") {
        big(bits, 2)?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        big(hex, 16)?
    } else if digits.len() > 1 && digits.starts_with('0') {
        big(digits, 8)?
    } else if digits.contains(':') {
        digits.split(':').try_fold(BigInt::ZERO, |n, part| Ok::<_, String>(n * 60 + big(part, 10)?))?
    } else {
        big(digits, 10)?
    };
    Ok(Value::big(if negative { -parsed } else { parsed }))
}

fn big(digits: &str, base: u32) -> Result<BigInt, String> {
    let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    valid
        .then(|| BigInt::parse_bytes(digits.as_bytes(), base))
        .flatten()
        .ok_or_else(|| format!("invalid literal for int() with base {base}: '{digits}'"))
}

fn float(text: &str) -> Option<f64> {
    let clean: String = text.chars().filter(|c| *c != '_').collect::<String>().to_ascii_lowercase();
    let sign = if clean.starts_with('-') { -1.0 } else { 1.0 };
    let digits = clean.strip_prefix(['+', '-']).unwrap_or(&clean);
    let value = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ if digits.contains(':') => digits.split(':').try_fold(0.0, |n, part| Some(n * 60.0 + decimal(part)?))?,
        _ => decimal(digits)?,
    };
    Some(sign * value)
}

/// A decimal number as Python's `float` takes it; Rust's parser also takes `1.` and `.5`.
fn decimal(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

fn timestamp(text: &str) -> Result<Value, String> {
    let stamp = stamp(text).ok_or_else(|| format!("`{text}` is no date"))?;
    let (year, month, day) = stamp.date;
    let date = jiff::civil::Date::new(year, month, day)
        .ok()
        .filter(|_| year >= 1)
        .ok_or_else(|| format!("`{text}` is no day of the calendar"))?;
    let Some((hour, minute, second, micros)) = stamp.time else {
        return Ok(Value::Str(Str::from(date.strftime("%Y-%m-%d").to_string())));
    };
    let time = jiff::civil::Time::new(hour, minute, second, (micros * 1000) as i32)
        .map_err(|_| format!("`{text}` has a time of day that does not exist"))?;
    if stamp.offset.abs() >= 86_400 {
        return Err(format!("`{text}` is a day or more off UTC"));
    }
    let days = i64::from(date.since(jiff::civil::date(1970, 1, 1)).map_or(0, |span| span.get_days()));
    let seconds = days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let micros = (seconds - i64::from(stamp.offset)) * 1_000_000 + i64::from(time.subsec_nanosecond() / 1000);
    Ok(Value::special(Special::DateTime { micros, offset_seconds: stamp.offset }))
}

/// Decodes base64, skipping what is not of its alphabet, as Python's decoder does.
fn base64(text: &str) -> Result<Vec<u8>, String> {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for b in text.bytes().take_while(|b| *b != b'=') {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(six);
        count += 1;
        if count % 4 == 0 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    match count % 4 {
        0 => {}
        2 => bytes.push((bits >> 4) as u8),
        3 => bytes.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => return Err("failed to decode base64 data: incorrect padding".to_string()),
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a plain scalar, printed; `error` when PyYAML raises.
    fn check(cases: &[(&str, &str)]) {
        for (text, expected) in cases {
            let got = construct(Type::of_plain(text), text).map_or("error".to_string(), |v| format!("{v:?}"));
            assert_eq!(&got, expected, "plain scalar {text:?}");
        }
    }

    #[test]
    fn booleans_and_nulls_in_their_spellings() {
        check(&[
            ("yes", "true"),
            ("YES", "true"),
            ("Off", "false"),
            ("y", "\"y\""),
            ("yEs", "\"yEs\""),
            ("oN", "\"oN\""),
            ("", "null"),
            ("~", "null"),
            ("Null", "null"),
            ("nULL", "\"nULL\""),
            ("none", "\"none\""),
        ]);
    }

    #[test]
    fn whole_numbers_in_every_base() {
        check(&[
            ("0777", "511"),
            ("0o777", "\"0o777\""),
            ("0x1F", "31"),
            ("-0x1F", "-31"),
            ("0b11", "3"),
            ("-0b1_0", "-2"),
            ("1_000", "1000"),
            ("08", "\"08\""),
            ("_1", "\"_1\""),
            ("+1", "1"),
            ("-0", "0"),
            ("0_7", "7"),
            ("0_", "0"),
            ("0x_", "error"),
            ("0b_", "error"),
            ("0b", "\"0b\""),
            ("-", "\"-\""),
            ("+", "\"+\""),
            ("1_:30", "90"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("-9223372036854775808", "-9223372036854775808"),
        ]);
    }

    #[test]
    fn base_sixty_and_floats() {
        check(&[
            ("1:30", "90"),
            ("1:30:5", "5405"),
            ("1:60", "\"1:60\""),
            ("1:7", "67"),
            ("-1:30", "-90"),
            ("1:30.5", "90.5"),
            ("1e3", "\"1e3\""),
            ("1.e3", "\"1.e3\""),
            ("1.5e3", "\"1.5e3\""),
            ("1.0e+3", "1000.0"),
            (".5", "0.5"),
            ("-.5", "\"-.5\""),
            ("1.", "1.0"),
            ("1._", "1.0"),
            ("1_0.5", "10.5"),
            (".inf", "inf"),
            ("-.INF", "-inf"),
            (".nan", "NaN"),
            ("-.nan", "\"-.nan\""),
            (".", "\".\""),
            ("1.2.3", "\"1.2.3\""),
            ("1.10", "1.1"),
            ("+-.inf", "\"+-.inf\""),
        ]);
    }

    #[test]
    fn dates_and_times() {
        check(&[
            ("2016-01-21", "\"2016-01-21\""),
            ("2016-1-2", "\"2016-1-2\""),
            ("2016-13-01", "error"),
            ("0000-01-01", "error"),
            ("2016-01-21 17:28:39", "DateTime { micros: 1453397319000000, offset_seconds: 0 }"),
            ("2016-01-21T17:28:39.5Z", "DateTime { micros: 1453397319500000, offset_seconds: 0 }"),
            ("2016-1-21 7:28:39 +02:00", "DateTime { micros: 1453354119000000, offset_seconds: 7200 }"),
            ("2016-01-21 25:00:00", "error"),
            ("2016-01-21 17:28", "\"2016-01-21 17:28\""),
            ("1969-12-31T23:59:59Z", "DateTime { micros: -1000000, offset_seconds: 0 }"),
        ]);
    }

    #[test]
    fn a_number_without_end_is_refused() {
        assert!(construct(Type::Int, &"9".repeat(5000)).is_err());
    }

    #[test]
    fn base64_with_and_without_padding() {
        assert_eq!(base64("aGk="), Ok(b"hi".to_vec()));
        assert_eq!(base64("aGkh\n aGkh"), Ok(b"hi!hi!".to_vec()));
        assert!(base64("a").is_err());
    }
}
