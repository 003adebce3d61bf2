//! Python literals in text: what its `ast.literal_eval` accepts.
//!
//! Casts fall back to this notation because Jinja prints lists and maps in it.

use super::python_number;
use crate::Error;
use crate::escapes::escape;
use squall_model::{Map, Special, Str, Value};

/// How deep a literal may nest.
const MAX_DEPTH: u32 = 100;

/// Reads a Python literal; tuples become lists. Anything else is class `ValueError` or `SyntaxError`.
pub fn python_literal(text: &str) -> Result<Value, Error> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    // `1, 2` without parentheses is a tuple too.
    let value = if reader.skip(',') {
        let mut items = vec![value];
        while !reader.done() {
            items.push(reader.value(0)?);
            if !reader.skip(',') {
                break;
            }
        }
        items.into()
    } else {
        value
    };
    if reader.done() { Ok(value) } else { Err(reader.invalid()) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn done(&mut self) -> bool {
        self.blanks();
        self.rest().is_empty()
    }

    fn skip(&mut self, c: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn invalid(&self) -> Error {
        Error::new("SyntaxError", format!("invalid syntax in the literal at character {}", self.at))
    }

    fn value(&mut self, depth: u32) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::limit("literal is nested too deeply"));
        }
        self.blanks();
        match self.rest().chars().next() {
            None => Err(self.invalid()),
            Some('[') => Ok(self.items('[', ']', depth)?.0.into()),
            Some('(') => {
                let (items, comma) = self.items('(', ')', depth)?;
                // `(1)` is 1, `(1,)` is a tuple.
                match (items.len(), comma) {
                    (1, false) => Ok(items.into_iter().next().unwrap_or_default()),
                    _ => Ok(items.into()),
                }
            }
            Some('{') => self.braces(depth),
            Some('\'' | '"') => self.texts(),
            Some('-' | '+') => self.signed(depth),
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c == '_' || c.is_alphabetic() => self.word(),
            Some(_) => Err(self.invalid()),
        }
    }

    /// Items with commas; also whether there was a comma at all.
    fn items(&mut self, open: char, close: char, depth: u32) -> Result<(Vec<Value>, bool), Error> {
        self.skip(open);
        let mut items = Vec::new();
        let mut comma = false;
        while !self.skip(close) {
            items.push(self.value(depth + 1)?);
            if self.skip(',') {
                comma = true;
            } else if self.skip(close) {
                break;
            } else {
                return Err(self.invalid());
            }
        }
        Ok((items, comma))
    }

    fn braces(&mut self, depth: u32) -> Result<Value, Error> {
        self.skip('{');
        if self.skip('}') {
            return Ok(Value::map());
        }
        let first = self.value(depth + 1)?;
        if !self.skip(':') {
            let mut items = vec![first];
            while self.skip(',') {
                if self.skip('}') {
                    return Ok(Value::special(Special::Set(items)));
                }
                let item = self.value(depth + 1)?;
                if !items.contains(&item) {
                    items.push(item);
                }
            }
            return if self.skip('}') { Ok(Value::special(Special::Set(items))) } else { Err(self.invalid()) };
        }
        let mut pairs = vec![(first, self.value(depth + 1)?)];
        while self.skip(',') {
            if self.skip('}') {
                return Ok(map(pairs));
            }
            let key = self.value(depth + 1)?;
            if !self.skip(':') {
                return Err(self.invalid());
            }
            pairs.push((key, self.value(depth + 1)?));
        }
        if self.skip('}') { Ok(map(pairs)) } else { Err(self.invalid()) }
    }

    fn word(&mut self) -> Result<Value, Error> {
        let rest = self.rest();
        let len = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        let word = &rest[..len];
        let quoted = rest[len..].starts_with(['\'', '"']);
        match word.to_ascii_lowercase().as_str() {
            "r" | "u" if quoted => {
                self.at += len;
                self.text_piece(word.eq_ignore_ascii_case("r")).map(Value::from)
            }
            "b" if quoted => {
                self.at += len;
                Ok(Value::special(Special::Bytes(self.text_piece(false)?.into_bytes())))
            }
            _ => {
                self.at += len;
                match word {
                    "None" => Ok(Value::Null),
                    "True" => Ok(Value::Bool(true)),
                    "False" => Ok(Value::Bool(false)),
                    word => Err(Error::new("ValueError", format!("malformed node or string: name `{word}`"))),
                }
            }
        }
    }

    fn signed(&mut self, depth: u32) -> Result<Value, Error> {
        let negative = self.rest().starts_with('-');
        self.at += 1;
        match self.value(depth + 1)? {
            Value::Int(n) if negative => {
                Ok(n.checked_neg().map_or_else(|| Value::big(-num_bigint::BigInt::from(n)), Value::Int))
            }
            Value::Big(n) if negative => Ok(Value::big(-(*n).clone())),
            Value::Float(x) if negative => Ok(Value::Float(-x)),
            number @ (Value::Int(_) | Value::Big(_) | Value::Float(_)) => Ok(number),
            _ => Err(Error::new("ValueError", "malformed node or string: a sign before what is no number")),
        }
    }

    fn number(&mut self) -> Result<Value, Error> {
        let rest = self.rest();
        let mut len = 0;
        let mut last = ' ';
        for c in rest.chars() {
            let exponent_sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E') && !rest[..len].starts_with("0x");
            if !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || exponent_sign) {
                break;
            }
            len += c.len_utf8();
            last = c;
        }
        let text = &rest[..len];
        self.at += len;
        let leading_zero = text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        if leading_zero && text.bytes().any(|b| b != b'0') {
            return Err(Error::new("SyntaxError", "leading zeros in decimal integer literals are not permitted"));
        }
        if let Some(n) = python_number::int(text, if leading_zero { 10 } else { 0 }) {
            return Ok(Value::big(n));
        }
        match python_number::float(text) {
            Some(x) if !text.starts_with("0x") => Ok(Value::Float(x)),
            _ => Err(self.invalid()),
        }
    }

    /// Texts that follow each other are one.
    fn texts(&mut self) -> Result<Value, Error> {
        let mut whole = self.text_piece(false)?;
        loop {
            self.blanks();
            if !self.rest().starts_with(['\'', '"']) {
                return Ok(Value::from(whole));
            }
            whole.push_str(&self.text_piece(false)?);
        }
    }

    fn text_piece(&mut self, raw: bool) -> Result<String, Error> {
        let rest = self.rest();
        let quote = if rest.starts_with('"') { '"' } else { '\'' };
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let end = if rest.starts_with(&triple) { triple } else { quote.to_string() };
        let body = &rest[end.len()..];
        let mut out = String::new();
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            if body[at..].starts_with(&end) {
                self.at += end.len() * 2 + at;
                return Ok(out);
            }
            if c == '\n' && end.len() == 1 {
                break;
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some((_, escaped)) = chars.next() else { break };
            if raw {
                out.extend(['\\', escaped]);
                continue;
            }
            match escape(&body[at + 1..]) {
                Some(read) => {
                    out.extend(read.char);
                    // The first of its characters is taken already.
                    while chars.clone().next().is_some_and(|(next, _)| next < at + 1 + read.length) {
                        chars.next();
                    }
                }
                None if matches!(escaped, 'x' | 'u' | 'U') => return Err(self.invalid()),
                None => out.extend(['\\', escaped]),
            }
        }
        Err(Error::new("SyntaxError", "unterminated string literal"))
    }
}

fn map(pairs: Vec<(Value, Value)>) -> Value {
    if pairs.iter().all(|(key, _)| matches!(key, Value::Str(_))) {
        let text = |key: Value| match key {
            Value::Str(text) => text,
            _ => Str::default(),
        };
        return pairs.into_iter().map(|(key, value)| (text(key), value)).collect::<Map>().into();
    }
    Value::special(Special::Dict(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::to_json;

    #[track_caller]
    fn check(text: &str, json: &str) {
        assert_eq!(python_literal(text).map(|v| to_json(&v)), Ok(json.to_owned()), "{text}");
    }

    #[test]
    fn literals() {
        check("['a', \"it's\", None, True, -1.5e3]", r#"["a","it's",null,true,-1500.0]"#);
        check("{'a': {'b': (1, 2)}, }", r#"{"a":{"b":[1,2]}}"#);
        check("(1)", "1");
        check("(1,)", "[1]");
        check("1, 2", "[1,2]");
        check("{1: 'x'}", r#"{"$dict":[[1,"x"]]}"#);
        check("{1, 2, 1}", r#"{"$set":[1,2]}"#);
        check(r"'\u00e9\x41\n' 'b'", "\"éA\\nb\"");
        check("0x1f", "31");
        check("123456789012345678901234567890", "123456789012345678901234567890");
    }

    #[test]
    fn what_is_no_literal() {
        for text in ["", "abc", "yes", "[1", "{a: 1}", "1 +", "007", "a,b", "-'a'", "'a", "__import__('os')"] {
            assert!(python_literal(text).is_err(), "{text}");
        }
        assert!(python_literal(&"[".repeat(100_000)).is_err());
    }
}
