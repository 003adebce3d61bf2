//! `'{0:.1f} {name!r}'.format(…)`: Python's format strings and the mini-language of their fields.

use super::calls::CallArgs;
use super::interpreter::Interpreter;
use super::ops::Number;
use super::printf;
use super::value::V;
use crate::Error;
use num_bigint::{BigInt, Sign};
use num_traits::FromPrimitive;

/// The widest field.
const MAX_WIDTH: usize = 100_000;

/// Formats `template.format(*args)`.
pub(super) fn format(i: &mut Interpreter, template: &str, args: &CallArgs) -> Result<String, Error> {
    let mut fields = Fields { i, args, automatic: 0, manual: false };
    fields.expand(template, 0)
}

fn value_error(message: impl Into<String>) -> Error {
    Error::new("ValueError", message)
}

struct Fields<'f, 'i> {
    i: &'f mut Interpreter<'i>,
    args: &'f CallArgs,
    automatic: usize,
    manual: bool,
}

impl Fields<'_, '_> {
    fn expand(&mut self, template: &str, depth: u32) -> Result<String, Error> {
        if depth > 2 {
            return Err(value_error("Max string recursion exceeded"));
        }
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if rest.starts_with(brace) {
                out.push_str(brace);
                rest = &rest[1..];
                continue;
            }
            if brace == "}" {
                return Err(value_error("Single '}' encountered in format string"));
            }
            let end = closing(rest)?;
            let piece = self.field(&rest[..end], depth)?;
            self.i.budget.bytes(piece.len() as u64)?;
            out.push_str(&piece);
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn field(&mut self, field: &str, depth: u32) -> Result<String, Error> {
        let name_end = name_length(field);
        let (name, tail) = field.split_at(name_end);
        let (conversion, spec) = match tail.strip_prefix('!') {
            Some(tail) => {
                let mut chars = tail.chars();
                let conversion = chars.next();
                let spec = chars.as_str();
                if !spec.is_empty() && !spec.starts_with(':') {
                    return Err(value_error("expected ':' after conversion specifier"));
                }
                (conversion, spec)
            }
            None => (None, tail),
        };
        let spec = spec.strip_prefix(':').unwrap_or(spec);
        let value = self.value(name)?;
        let value = match conversion {
            None => value,
            Some('s') => V::from(self.i.text(&value)?.into_owned()),
            Some('r') => V::from(value.repr()),
            Some('a') => V::from(printf::ascii(&value.repr())),
            Some(other) => return Err(value_error(format!("Unknown conversion specifier {other}"))),
        };
        let spec = self.expand(spec, depth + 1)?;
        let value = self.i.settled(value)?;
        self.i.check(&value)?;
        formatted(&value, &spec)
    }

    fn value(&mut self, name: &str) -> Result<V, Error> {
        let first_end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut path) = name.split_at(first_end);
        let mut value = if first.is_empty() {
            if self.manual {
                return Err(value_error("cannot switch from manual field specification to automatic field numbering"));
            }
            self.automatic += 1;
            self.positional(self.automatic - 1)?
        } else if first.bytes().all(|b| b.is_ascii_digit()) {
            if self.automatic > 0 {
                return Err(value_error("cannot switch from automatic field numbering to manual field specification"));
            }
            self.manual = true;
            self.positional(first.parse().unwrap_or(usize::MAX))?
        } else {
            let found = self.args.named.iter().find(|(n, _)| **n == *first);
            found.map(|(_, v)| v.clone()).ok_or_else(|| Error::new("KeyError", format!("'{first}'")))?
        };
        while !path.is_empty() {
            if let Some(rest) = path.strip_prefix('.') {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                value = self.i.attribute(&value, &rest[..end].into())?;
                path = &rest[end..];
            } else {
                let rest = &path[1..];
                let end = rest.find(']').ok_or_else(|| value_error("Missing ']' in format string"))?;
                let index = match rest[..end].parse::<i64>() {
                    Ok(n) => V::Int(n),
                    Err(_) => V::from(&rest[..end]),
                };
                value = self.i.item(&value, &index)?;
                path = &rest[end + 1..];
                if !path.is_empty() && !path.starts_with(['.', '[']) {
                    return Err(value_error("Only '.' or '[' may follow ']' in format field specifier"));
                }
            }
        }
        Ok(value)
    }

    fn positional(&self, at: usize) -> Result<V, Error> {
        let found = self.args.positional.get(at).cloned();
        found.ok_or_else(|| {
            Error::new("IndexError", format!("Replacement index {at} out of range for positional args tuple"))
        })
    }
}

/// Where the field that begins here ends.
fn closing(text: &str) -> Result<usize, Error> {
    let mut open = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Ok(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    Err(value_error(if text.is_empty() {
        "Single '{' encountered in format string"
    } else {
        "expected '}' before end of string"
    }))
}

/// The name of a field ends at `!` or `:` outside of brackets.
fn name_length(field: &str) -> usize {
    let mut inside = false;
    for (at, c) in field.char_indices() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            '!' | ':' if !inside => return at,
            _ => {}
        }
    }
    field.len()
}

/// `[[fill]align][sign][#][0][width][grouping][.precision][type]`
#[derive(Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn parse(text: &str) -> Result<Spec, Error> {
    let mut spec = Spec::default();
    let mut chars: Vec<char> = text.chars().collect();
    chars.reverse();
    let second_is_align = chars.len() >= 2 && matches!(chars[chars.len() - 2], '<' | '>' | '=' | '^');
    if second_is_align {
        spec.fill = chars.pop();
    }
    let mut take = |set: &str| -> Option<char> {
        let found = chars.last().copied().filter(|c| set.contains(*c));
        if found.is_some() {
            chars.pop();
        }
        found
    };
    spec.align = take("<>=^");
    spec.sign = take("+- ");
    spec.alternate = take("#").is_some();
    spec.zero = take("0").is_some();
    let mut number = || -> Result<Option<usize>, Error> {
        let mut size: Option<usize> = None;
        while let Some(digit) = take("0123456789") {
            let digit = digit.to_digit(10).unwrap_or(0) as usize;
            size = Some(size.unwrap_or(0).saturating_mul(10).saturating_add(digit));
        }
        if size.is_some_and(|n| n > MAX_WIDTH) {
            return Err(Error::limit("a field of a format is too wide"));
        }
        Ok(size)
    };
    spec.width = number()?.unwrap_or(0);
    let grouping = match chars.last() {
        Some(',' | '_') => chars.pop(),
        _ => None,
    };
    spec.grouping = grouping;
    if chars.last() == Some(&'.') {
        chars.pop();
        let mut digits = String::new();
        while let Some(c) = chars.last().filter(|c| c.is_ascii_digit()) {
            digits.push(*c);
            chars.pop();
        }
        if digits.is_empty() {
            return Err(value_error("Format specifier missing precision"));
        }
        let precision: usize = digits.parse().unwrap_or(usize::MAX);
        if precision > MAX_WIDTH {
            return Err(Error::limit("a field of a format is too wide"));
        }
        spec.precision = Some(precision);
    }
    spec.kind = chars.pop();
    if !chars.is_empty() {
        return Err(value_error("Invalid format specifier"));
    }
    Ok(spec)
}

/// `format(value, spec)`.
fn formatted(value: &V, text: &str) -> Result<String, Error> {
    if text.is_empty() {
        return Ok(super::shown(value));
    }
    let spec = match value {
        V::Str(_) | V::Int(_) | V::Big(_) | V::Float(_) | V::Bool(_) => parse(text)?,
        V::Special(special) => {
            if let squall_model::Special::DateTime { micros, offset_seconds } = &**special
                && let Some(local) = crate::python::civil(*micros, *offset_seconds)
            {
                return jiff::fmt::strtime::format(text, local).map_err(|e| value_error(e.to_string()));
            }
            return Err(unsupported(value));
        }
        _ => return Err(unsupported(value)),
    };
    match value {
        V::Str(content) => {
            if !matches!(spec.kind, None | Some('s')) {
                let kind = spec.kind.unwrap_or('s');
                return Err(value_error(format!("Unknown format code '{kind}' for object of type 'str'")));
            }
            if let Some(grouping) = spec.grouping {
                return Err(value_error(format!("Cannot specify '{grouping}' with 's'.")));
            }
            if spec.alternate {
                return Err(value_error("Alternate form (#) not allowed in string format specifier"));
            }
            if spec.sign.is_some() {
                return Err(value_error("Sign not allowed in string format specifier"));
            }
            if spec.align == Some('=') || (spec.zero && spec.align.is_none()) {
                return Err(value_error("'=' alignment not allowed in string format specifier"));
            }
            let content = match spec.precision {
                Some(n) => content.chars().take(n).collect(),
                None => content.to_string(),
            };
            Ok(aligned("", content, &spec, '<'))
        }
        V::Float(x) => Ok(float(*x, &spec)?),
        _ => match (Number::of(value), spec.kind) {
            (Some(number), Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => float(number.float()?, &spec),
            (Some(Number::Int(n)), _) => whole(&n, &spec),
            _ => Err(unsupported(value)),
        },
    }
}

fn unsupported(value: &V) -> Error {
    Error::new("TypeError", format!("unsupported format string passed to {}.__format__", value.type_name()))
}

fn sign(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.sign) {
        (true, _) => "-",
        (_, Some('+')) => "+",
        (_, Some(' ')) => " ",
        _ => "",
    }
}

fn whole(n: &BigInt, spec: &Spec) -> Result<String, Error> {
    if spec.precision.is_some() {
        return Err(value_error("Precision not allowed in integer format specifier"));
    }
    let (radix, prefix) = match spec.kind {
        None | Some('d' | 'n') => (10, ""),
        Some('b') => (2, "0b"),
        Some('o') => (8, "0o"),
        Some('x') => (16, "0x"),
        Some('X') => (16, "0X"),
        Some('c') => {
            let c = u32::try_from(n.clone()).ok().and_then(char::from_u32);
            let c = c.ok_or_else(|| Error::new("OverflowError", "%c arg not in range(0x110000)"))?;
            return Ok(aligned("", c.to_string(), spec, '<'));
        }
        Some(kind) => return Err(value_error(format!("Unknown format code '{kind}' for object of type 'int'"))),
    };
    let digits = n.magnitude().to_str_radix(radix);
    let digits = if spec.kind == Some('X') { digits.to_uppercase() } else { digits };
    let every = if radix == 10 { 3 } else { 4 };
    let digits = grouped(&digits, spec, every);
    let lead = format!("{}{}", sign(n.sign() == Sign::Minus, spec), if spec.alternate { prefix } else { "" });
    Ok(aligned(&lead, digits, spec, '>'))
}

fn float(x: f64, spec: &Spec) -> Result<String, Error> {
    let negative = x.is_sign_negative() && !x.is_nan();
    let size = x.abs();
    let digits = match spec.kind {
        Some('%') => printf::float_text(size * 100.0, 'f', spec.precision, spec.alternate) + "%",
        Some(kind @ ('e' | 'E' | 'f' | 'F' | 'g' | 'G')) => {
            printf::float_text(size, kind, spec.precision, spec.alternate)
        }
        Some('n') => printf::float_text(size, 'g', spec.precision, spec.alternate),
        None => match spec.precision {
            None => crate::python::float(size),
            // Like `g`, but a whole number keeps one digit after the point.
            Some(precision) => {
                let text = printf::float_text(size, 'g', Some(precision.max(1)), false);
                if text.contains(['.', 'e', 'n', 'i']) || precision <= text.len() { text } else { text + ".0" }
            }
        },
        Some(kind) => return Err(value_error(format!("Unknown format code '{kind}' for object of type 'float'"))),
    };
    let end = digits.find(['.', 'e', 'E', '%', 'n', 'i']).unwrap_or(digits.len());
    let digits = format!("{}{}", grouped(&digits[..end], spec, 3), &digits[end..]);
    Ok(aligned(sign(negative, spec), digits, spec, '>'))
}

fn grouped(digits: &str, spec: &Spec, every: usize) -> String {
    let Some(separator) = spec.grouping else { return digits.to_owned() };
    let mut out = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(every) {
            out.push(separator);
        }
        out.push(c);
    }
    out
}

fn aligned(lead: &str, content: String, spec: &Spec, default: char) -> String {
    let zero = spec.zero && spec.align.is_none();
    let fill = spec.fill.unwrap_or(if spec.zero { '0' } else { ' ' });
    let align = if zero && default == '>' { '=' } else { spec.align.unwrap_or(default) };
    let used = lead.chars().count() + content.chars().count();
    let missing = spec.width.saturating_sub(used);
    let pad = |n: usize| -> String { std::iter::repeat_n(fill, n).collect() };
    match align {
        '<' => format!("{lead}{content}{}", pad(missing)),
        '^' => format!("{}{lead}{content}{}", pad(missing / 2), pad(missing - missing / 2)),
        '=' => format!("{lead}{}{content}", pad(missing)),
        _ => format!("{}{lead}{content}", pad(missing)),
    }
}

/// Python's `int(x)` of a float.
pub(super) fn truncated(x: f64) -> Option<BigInt> {
    BigInt::from_f64(x.trunc())
}
