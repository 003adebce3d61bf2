//! Template text into tokens: data, delimiters, and the words of expressions.
//!
//! White space is settled here, with StackStorm's settings: a block tag or comment swallows the line feed
//! behind it (`trim_blocks`) and the blanks before it on its line (`lstrip_blocks`), `-` swallows all white
//! space on its side, `+` switches the settings off, and one line feed at the end of the text is dropped.

use super::syntax;
use crate::Error;
use crate::escapes::escape;
use num_bigint::BigInt;
use squall_model::Value;
use std::borrow::Cow;

/// A token and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind<'s>,
    pub(super) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'s> {
    Data(&'s str),
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name(&'s str),
    Text(Cow<'s, str>),
    /// A whole number of any size.
    Int(Value),
    Float(f64),
    Op(&'static str),
}

/// The operator that a text starts with, the longest: `**` is not two `*`.
fn operator(text: &str) -> Option<&'static str> {
    Some(match text.as_bytes() {
        [b'/', b'/', ..] => "//",
        [b'*', b'*', ..] => "**",
        [b'=', b'=', ..] => "==",
        [b'!', b'=', ..] => "!=",
        [b'>', b'=', ..] => ">=",
        [b'<', b'=', ..] => "<=",
        [b'+', ..] => "+",
        [b'-', ..] => "-",
        [b'/', ..] => "/",
        [b'*', ..] => "*",
        [b'%', ..] => "%",
        [b'~', ..] => "~",
        [b'[', ..] => "[",
        [b']', ..] => "]",
        [b'(', ..] => "(",
        [b')', ..] => ")",
        [b'{', ..] => "{",
        [b'}', ..] => "}",
        [b'>', ..] => ">",
        [b'<', ..] => "<",
        [b'=', ..] => "=",
        [b'.', ..] => ".",
        [b':', ..] => ":",
        [b'|', ..] => "|",
        [b',', ..] => ",",
        [b';', ..] => ";",
        _ => return None,
    })
}

/// The text of a template as Jinja sees it: every line ends with a line feed, but the last one's is dropped.
pub(super) fn normalized(source: &str) -> Cow<'_, str> {
    if source.contains('\r') {
        let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
        if source.ends_with('\n') {
            source.pop();
        }
        return Cow::Owned(source);
    }
    Cow::Borrowed(source.strip_suffix('\n').unwrap_or(source))
}

/// Splits a [`normalized`] template.
pub(super) fn template(source: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    lexer.template()?;
    Ok(lexer.tokens)
}

/// Splits a bare expression.
pub(super) fn expression(source: &str) -> Result<Vec<Token<'_>>, Error> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    lexer.code(None)?;
    Ok(lexer.tokens)
}

/// Which delimiter ends a stretch of code.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    Variable,
    Block,
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: Kind<'a>, at: usize) {
        self.tokens.push(Token { kind, at });
    }

    fn template(&mut self) -> Result<(), Error> {
        while let Some(found) = next_tag(self.rest()) {
            let start = self.at;
            let tag = start + found;
            let opening = &self.source[tag..tag + 2];
            let sign = self.source[tag + 2..].chars().next().filter(|c| matches!(c, '-' | '+'));
            let mut data = &self.source[start..tag];
            if sign == Some('-') {
                data = data.trim_end();
            } else if opening != "{{" && sign.is_none() {
                data = without_indent(data, start == 0 || self.source[..start].ends_with('\n'));
            }
            if !data.is_empty() {
                self.push(Kind::Data(data), start);
            }
            self.at = tag + 2 + sign.map_or(0, char::len_utf8);
            match opening {
                "{#" => self.comment(tag)?,
                "{{" => {
                    self.push(Kind::VariableBegin, tag);
                    self.code(Some(Until::Variable))?;
                }
                _ if self.raw_follows() => self.raw(tag)?,
                _ => {
                    self.push(Kind::BlockBegin, tag);
                    self.code(Some(Until::Block))?;
                }
            }
        }
        if !self.rest().is_empty() {
            self.push(Kind::Data(self.rest()), self.at);
        }
        Ok(())
    }

    fn comment(&mut self, tag: usize) -> Result<(), Error> {
        let Some(end) = self.rest().find("#}") else {
            return Err(syntax("Missing end of comment tag", tag));
        };
        let trims = self.rest()[..end].ends_with('-');
        let keeps = self.rest()[..end].ends_with('+');
        self.at += end + 2;
        self.after_tag(trims, !keeps);
        Ok(())
    }

    /// White space after a tag.
    fn after_tag(&mut self, trims: bool, drops_newline: bool) {
        if trims {
            self.at += self.rest().len() - self.rest().trim_start().len();
        } else if drops_newline && self.rest().starts_with('\n') {
            self.at += 1;
        }
    }

    fn raw_follows(&self) -> bool {
        let rest = self.rest().trim_start();
        rest.strip_prefix("raw").is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.starts_with("%}") || rest.starts_with("-%}")
        })
    }

    /// `{% raw %}…{% endraw %}`: everything between is data.
    fn raw(&mut self, tag: usize) -> Result<(), Error> {
        let close = self.rest().find("%}").unwrap_or(0);
        let trims = self.rest()[..close].ends_with('-');
        self.at += close + 2;
        self.after_tag(trims, false);
        let start = self.at;
        let mut search = 0;
        loop {
            let Some(open) = self.rest()[search..].find("{%").map(|i| i + search) else {
                return Err(syntax("Missing end of raw directive", tag));
            };
            let inside = &self.rest()[open + 2..];
            let sign = inside.chars().next().filter(|c| matches!(c, '-' | '+'));
            let inside = inside.trim_start_matches(['-', '+']).trim_start();
            let Some(tail) = inside.strip_prefix("endraw") else {
                search = open + 2;
                continue;
            };
            let tail = tail.trim_start();
            let (end_sign, tail) = match tail.chars().next() {
                Some(c @ ('-' | '+')) => (Some(c), &tail[1..]),
                _ => (None, tail),
            };
            let Some(after) = tail.strip_prefix("%}") else {
                search = open + 2;
                continue;
            };
            let mut data = &self.source[start..start + open];
            match sign {
                Some('-') => data = data.trim_end(),
                None => data = without_indent(data, false),
                _ => {}
            }
            if !data.is_empty() {
                self.push(Kind::Data(data), start);
            }
            self.at = self.source.len() - after.len();
            self.after_tag(end_sign == Some('-'), end_sign.is_none());
            return Ok(());
        }
    }

    fn code(&mut self, until: Option<Until>) -> Result<(), Error> {
        let mut open: Vec<&'static str> = Vec::new();
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.source.len() - trimmed.len();
            if open.is_empty() && self.end(until) {
                return Ok(());
            }
            let at = self.at;
            let Some(first) = trimmed.chars().next() else {
                return match until {
                    None => Ok(()),
                    Some(Until::Variable) => {
                        Err(syntax("unexpected end of template, expected 'end of print statement'.", at))
                    }
                    Some(Until::Block) => {
                        Err(syntax("unexpected end of template, expected 'end of statement block'.", at))
                    }
                };
            };
            if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphabetic() {
                let len = trimmed.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(trimmed.len());
                self.push(Kind::Name(&trimmed[..len]), at);
                self.at += len;
            } else if matches!(first, '"' | '\'') {
                self.text(first)?;
            } else {
                let Some(op) = operator(trimmed) else {
                    return Err(syntax(&format!("unexpected char {first:?} at {at}"), at));
                };
                match op {
                    "(" => open.push(")"),
                    "[" => open.push("]"),
                    "{" => open.push("}"),
                    ")" | "]" | "}" => match open.pop() {
                        Some(expected) if expected == op => {}
                        Some(expected) => {
                            return Err(syntax(&format!("unexpected '{op}', expected '{expected}'"), at));
                        }
                        None => return Err(syntax(&format!("unexpected '{op}'"), at)),
                    },
                    _ => {}
                }
                self.push(Kind::Op(op), at);
                self.at += op.len();
            }
        }
    }

    /// Takes the closing delimiter, if it is here.
    fn end(&mut self, until: Option<Until>) -> bool {
        let (delimiter, kind) = match until {
            None => return false,
            Some(Until::Variable) => ("}}", Kind::VariableEnd),
            Some(Until::Block) => ("%}", Kind::BlockEnd),
        };
        let rest = self.rest();
        let (sign, body) = match rest.chars().next() {
            Some(c @ ('-' | '+')) => (Some(c), &rest[1..]),
            _ => (None, rest),
        };
        if !body.starts_with(delimiter) || (sign == Some('+') && until == Some(Until::Variable)) {
            return false;
        }
        let at = self.at;
        self.push(kind, at);
        self.at = self.source.len() - body.len() + delimiter.len();
        self.after_tag(sign == Some('-'), until == Some(Until::Block) && sign.is_none());
        true
    }

    fn number(&mut self) -> Result<(), Error> {
        let at = self.at;
        let rest = self.rest();
        let radix = match rest.as_bytes() {
            [b'0', b'x' | b'X', d, ..] if d.is_ascii_hexdigit() => 16,
            [b'0', b'o' | b'O', b'0'..=b'7', ..] => 8,
            [b'0', b'b' | b'B', b'0' | b'1', ..] => 2,
            _ => 10,
        };
        if radix != 10 {
            let len = rest[2..].find(|c: char| c != '_' && !c.is_digit(radix)).map_or(rest.len(), |n| n + 2);
            let digits = rest[2..len].replace('_', "");
            let number = BigInt::parse_bytes(digits.as_bytes(), radix).map(Value::big);
            self.push(Kind::Int(number.ok_or_else(|| syntax("invalid number", at))?), at);
            self.at += len;
            return Ok(());
        }
        let whole = digits(rest);
        let mut len = whole;
        // `x.0.1` is two subscripts, no float.
        let subscript = matches!(self.tokens.last(), Some(Token { kind: Kind::Op("."), .. }));
        let mut float = false;
        if !subscript {
            if rest[len..].starts_with('.') && digits(&rest[len + 1..]) > 0 {
                len += 1 + digits(&rest[len + 1..]);
                float = true;
            }
            if rest[len..].starts_with(['e', 'E']) {
                let mut exponent = len + 1;
                if rest[exponent..].starts_with(['+', '-']) {
                    exponent += 1;
                }
                if digits(&rest[exponent..]) > 0 {
                    len = exponent + digits(&rest[exponent..]);
                    float = true;
                }
            }
        }
        if len > 5000 {
            return Err(Error::limit("a number has too many digits"));
        }
        let text = &rest[..len];
        let text = if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
        let kind = if float {
            Kind::Float(text.parse().map_err(|_| syntax("invalid number", at))?)
        } else if let Ok(small) = text.parse() {
            Kind::Int(Value::Int(small))
        } else {
            Kind::Int(Value::big(text.parse().map_err(|_| syntax("invalid number", at))?))
        };
        self.push(kind, at);
        self.at += len;
        Ok(())
    }

    fn text(&mut self, quote: char) -> Result<(), Error> {
        let at = self.at;
        let mut escaped = false;
        for (i, c) in self.rest().char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                let raw = &self.rest()[1..i];
                self.push(Kind::Text(unescape(raw)), at);
                self.at += i + 1;
                return Ok(());
            }
        }
        Err(syntax(&format!("unexpected char {quote:?} at {at}"), at))
    }
}

fn digits(text: &str) -> usize {
    let len = text.find(|c: char| c != '_' && !c.is_ascii_digit()).unwrap_or(text.len());
    if text.starts_with('_') { 0 } else { text[..len].trim_end_matches('_').len() }
}

fn next_tag(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = text[from..].find('{') {
        let at = from + found;
        if text[at + 1..].starts_with(['{', '%', '#']) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The data without the blanks that stand alone before a tag on its line.
fn without_indent(data: &str, starts_line: bool) -> &str {
    let line = data.rfind('\n').map(|i| i + 1);
    match (line, starts_line) {
        (None, false) => data,
        (line, _) => {
            let line = line.unwrap_or(0);
            if data[line..].trim().is_empty() { &data[..line] } else { data }
        }
    }
}

/// Python's `unicode-escape`; an unknown escape keeps its backslash.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, behind)) = rest.split_once('\\') {
        out.push_str(plain);
        rest = match escape(behind) {
            Some(read) => {
                out.extend(read.char);
                &behind[read.length..]
            }
            None => {
                // The backslash stays, and so does what stands behind it.
                let next = behind.chars().next();
                out.push('\\');
                out.extend(next);
                &behind[next.map_or(0, char::len_utf8)..]
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}
