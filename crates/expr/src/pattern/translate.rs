//! From Python's pattern dialect to that of the engines.
//!
//! Reads the pattern once with an explicit stack of groups; flags are resolved here, so that the engines
//! only ever see `i`. Everything that Python refuses (nothing to repeat, unbalanced groups, unknown escapes)
//! is refused here with Python's words for it.

use super::{Flags, bad};
use crate::Error;
use std::fmt::Write;

/// How deep groups may nest.
const DEEPEST: usize = 100;

/// A translated pattern: pieces between which the text for a single-line `$` is put.
#[derive(Debug)]
pub(super) struct Translated {
    pieces: Vec<String>,
    ignore_case: bool,
    /// The name of each group.
    pub names: Vec<Option<String>>,
    /// Whether it needs look-around, back-references or conditions.
    pub needs_backtracking: bool,
}

impl Translated {
    pub fn has_dollar(&self) -> bool {
        self.pieces.len() > 1
    }

    pub fn body(&self, dollar: &str) -> String {
        let body = self.pieces.join(dollar);
        if self.ignore_case { format!("(?i){body}") } else { body }
    }
}

/// What a quantifier would apply to.
#[derive(PartialEq, Clone, Copy)]
enum Before {
    Nothing,
    Atom,
    Repeat,
}

struct Group {
    flags: Flags,
    opened_at: usize,
    number: Option<usize>,
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    flags: Flags,
    pieces: Vec<String>,
    out: String,
    groups: Vec<Group>,
    names: Vec<Option<String>>,
    closed: Vec<bool>,
    before: Before,
    needs_backtracking: bool,
}

/// Translates `pattern`; a flag group in its midst counts for all of it, as in Python 3.10.
pub(super) fn translate(pattern: &str, flags: Flags) -> Result<Translated, Error> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut flags = flags;
    loop {
        let mut reader = Reader {
            chars: &chars,
            at: 0,
            flags,
            pieces: Vec::new(),
            out: String::new(),
            groups: Vec::new(),
            names: Vec::new(),
            closed: Vec::new(),
            before: Before::Nothing,
            needs_backtracking: false,
        };
        match reader.read()? {
            Some(more) => flags = more,
            None => {
                let last = std::mem::take(&mut reader.out);
                reader.pieces.push(last);
                return Ok(Translated {
                    pieces: reader.pieces,
                    ignore_case: flags.ignore_case,
                    names: reader.names,
                    needs_backtracking: reader.needs_backtracking,
                });
            }
        }
    }
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn peek_at(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn fail<T>(&self, what: &str, at: usize) -> Result<T, Error> {
        Err(bad(format!("{what} at position {at}")))
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.before = Before::Atom;
    }

    /// A place rather than a character: it cannot be repeated.
    fn assertion(&mut self, text: &str) {
        self.out.push_str(text);
        self.before = Before::Nothing;
    }

    /// Reads all; flags found on the way that must hold for the whole are given back.
    fn read(&mut self) -> Result<Option<Flags>, Error> {
        while let Some(c) = self.next() {
            match c {
                c if self.flags.verbose && c.is_ascii_whitespace() => {}
                '#' if self.flags.verbose => while self.next().is_some_and(|c| c != '\n') {},
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => {
                    if let Some(flags) = self.open()? {
                        return Ok(Some(flags));
                    }
                }
                ')' => self.close()?,
                '|' => {
                    self.out.push('|');
                    self.before = Before::Nothing;
                }
                '.' => self.atom(if self.flags.dot_all { "(?s:.)" } else { "." }),
                '^' => self.assertion(if self.flags.multi_line { "(?m:^)" } else { r"\A" }),
                '$' => self.dollar(),
                '*' | '+' | '?' => self.repeat(c.to_string(), self.at - 1)?,
                '{' => match self.counted() {
                    Some(count) => self.repeat(count, self.at - 1)?,
                    None => self.literal('{'),
                },
                c => self.literal(c),
            }
        }
        match self.groups.last() {
            Some(group) => self.fail("missing ), unterminated subpattern", group.opened_at),
            None => Ok(None),
        }
    }

    fn dollar(&mut self) {
        if self.flags.multi_line {
            self.out.push_str("(?m:$)");
        } else {
            let piece = std::mem::take(&mut self.out);
            self.pieces.push(piece);
        }
        self.before = Before::Nothing;
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.before = Before::Atom;
    }

    fn repeat(&mut self, mut text: String, at: usize) -> Result<(), Error> {
        match self.before {
            Before::Nothing => return self.fail("nothing to repeat", at),
            Before::Repeat => return self.fail("multiple repeat", at),
            Before::Atom => {}
        }
        if self.take('?') {
            text.push('?');
        }
        self.out.push_str(&text);
        self.before = Before::Repeat;
        Ok(())
    }

    /// `{m}`, `{m,}`, `{,n}`, `{m,n}` after the brace; anything else is a literal brace.
    fn counted(&mut self) -> Option<String> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let mut text = String::new();
            while let Some(c) = reader.peek().filter(char::is_ascii_digit) {
                text.push(c);
                reader.at += 1;
            }
            text
        };
        let low = digits(self);
        let comma = self.take(',');
        let high = if comma { digits(self) } else { low.clone() };
        if !self.take('}') || (!comma && low.is_empty()) {
            self.at = start;
            return None;
        }
        let low = if low.is_empty() { "0" } else { &low };
        Some(if comma { format!("{{{low},{high}}}") } else { format!("{{{low}}}") })
    }

    fn open(&mut self) -> Result<Option<Flags>, Error> {
        let opened_at = self.at - 1;
        let mut group = Group { flags: self.flags, opened_at, number: None };
        if self.groups.len() >= DEEPEST {
            return self.fail("too many nested groups", opened_at);
        }
        if !self.take('?') {
            self.capture(&mut group, None);
            self.groups.push(group);
            return Ok(None);
        }
        match self.next() {
            Some(':') => self.out.push_str("(?:"),
            Some('=') => self.look("(?="),
            Some('!') => self.look("(?!"),
            Some('<') => match self.next() {
                Some('=') => self.look("(?<="),
                Some('!') => self.look("(?<!"),
                Some(c) => return self.fail(&format!("unknown extension ?<{c}"), opened_at + 1),
                None => return self.fail("unexpected end of pattern", self.at),
            },
            Some('#') => {
                while let Some(c) = self.next() {
                    if c == ')' {
                        return Ok(None);
                    }
                }
                return self.fail("missing ), unterminated comment", opened_at);
            }
            Some('P') => match self.next() {
                Some('<') => {
                    let name = self.name('>')?;
                    if self.names.contains(&Some(name.clone())) {
                        return self.fail(&format!("redefinition of group name '{name}'"), opened_at);
                    }
                    self.capture(&mut group, Some(name));
                }
                Some('=') => {
                    let name = self.name(')')?;
                    let Some(index) = self.names.iter().position(|n| n.as_ref() == Some(&name)) else {
                        return self.fail(&format!("unknown group name '{name}'"), opened_at + 4);
                    };
                    self.back_reference(index + 1, opened_at)?;
                    return Ok(None);
                }
                _ => return self.fail("unknown extension ?P", opened_at + 1),
            },
            Some('(') => self.condition(opened_at)?,
            Some(c) if c == '-' || c.is_ascii_alphabetic() => {
                self.at -= 1;
                return self.flag_group(group);
            }
            Some(c) => return self.fail(&format!("unknown extension ?{c}"), opened_at + 1),
            None => return self.fail("unexpected end of pattern", self.at),
        }
        self.before = Before::Nothing;
        self.groups.push(group);
        Ok(None)
    }

    fn look(&mut self, text: &str) {
        self.out.push_str(text);
        self.needs_backtracking = true;
    }

    fn capture(&mut self, group: &mut Group, name: Option<String>) {
        self.names.push(name);
        self.closed.push(false);
        group.number = Some(self.names.len());
        self.out.push('(');
        self.before = Before::Nothing;
    }

    fn name(&mut self, end: char) -> Result<String, Error> {
        let start = self.at;
        let mut name = String::new();
        while let Some(c) = self.next() {
            if c == end {
                let mut letters = name.chars();
                let starts_well = letters.next().is_some_and(|c| c == '_' || c.is_alphabetic());
                return if starts_well && letters.all(|c| c == '_' || c.is_alphanumeric()) {
                    Ok(name)
                } else {
                    self.fail(&format!("bad character in group name '{name}'"), start)
                };
            }
            name.push(c);
        }
        self.fail(&format!("missing {end}, unterminated name"), start)
    }

    fn condition(&mut self, opened_at: usize) -> Result<(), Error> {
        let start = self.at;
        let mut text = String::new();
        while let Some(c) = self.next().filter(|c| *c != ')') {
            text.push(c);
        }
        let number = match text.parse::<usize>() {
            Ok(n) => n,
            Err(_) => match self.names.iter().position(|n| n.as_deref() == Some(text.as_str())) {
                Some(index) => index + 1,
                None => return self.fail(&format!("unknown group name '{text}'"), start),
            },
        };
        if number == 0 || number > self.names.len() {
            return self.fail(&format!("invalid group reference {number}"), opened_at + 3);
        }
        self.needs_backtracking = true;
        let _ = write!(self.out, "(?({number})");
        Ok(())
    }

    /// `(?i)` for everything, or `(?i-s:…)` for a part.
    fn flag_group(&mut self, mut group: Group) -> Result<Option<Flags>, Error> {
        let mut flags = self.flags;
        let mut on = true;
        loop {
            match self.next() {
                Some('i') => flags.ignore_case = on,
                Some('m') => flags.multi_line = on,
                Some('s') => flags.dot_all = on,
                Some('x') => flags.verbose = on,
                Some('a') if on => flags.ascii = true,
                Some('u') if on => flags.ascii = false,
                Some('-') if on => on = false,
                Some(':') => break,
                Some(')') if on => {
                    let changed = flags != self.flags;
                    return Ok(changed.then_some(flags));
                }
                Some(c) if c.is_alphabetic() => return self.fail("unknown flag", self.at - 1),
                Some(_) => return self.fail("missing -, : or )", self.at - 1),
                None => return self.fail("missing -, : or )", self.at),
            }
        }
        group.flags = self.flags;
        self.flags = flags;
        self.out.push_str(if flags.ignore_case { "(?i:" } else { "(?-i:" });
        self.groups.push(group);
        self.before = Before::Nothing;
        Ok(None)
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(group) = self.groups.pop() else {
            return self.fail("unbalanced parenthesis", self.at - 1);
        };
        self.flags = group.flags;
        if let Some(done) = group.number.and_then(|n| self.closed.get_mut(n - 1)) {
            *done = true;
        }
        self.atom(")");
        Ok(())
    }

    fn back_reference(&mut self, number: usize, at: usize) -> Result<(), Error> {
        match self.closed.get(number - 1) {
            None => return self.fail(&format!("invalid group reference {number}"), at + 1),
            Some(false) => return self.fail("cannot refer to an open group", at),
            Some(true) => {}
        }
        self.needs_backtracking = true;
        let _ = write!(self.out, r"(?:\{number})");
        self.before = Before::Atom;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Error> {
        let start = self.at - 1;
        let Some(c) = self.next() else {
            return self.fail("bad escape (end of pattern)", start);
        };
        match c {
            'A' => self.assertion(r"\A"),
            'Z' => self.assertion(r"\z"),
            'b' => self.assertion(if self.flags.ascii { r"(?-u:\b)" } else { r"\b" }),
            'B' => self.assertion(if self.flags.ascii { r"(?-u:\B)" } else { r"\B" }),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                let set = self.set(c);
                let text = if set.starts_with('[') { set.to_string() } else { format!("[{set}]") };
                self.atom(&text);
            }
            '1'..='9' => {
                let octal = c <= '3'
                    && self.peek().is_some_and(|c| c.is_digit(8))
                    && self.peek_at(1).is_some_and(|c| c.is_digit(8));
                if octal {
                    self.at -= 1;
                    let code = self.number(8, 3);
                    self.literal(char::from_u32(code).unwrap_or('\0'));
                } else {
                    self.at -= 1;
                    let number = self.number(10, 2);
                    self.back_reference(number as usize, start)?;
                }
            }
            _ => {
                let c = self.character(c, start)?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// Up to `most` digits of `base`.
    fn number(&mut self, base: u32, most: usize) -> u32 {
        let mut value = 0;
        for _ in 0..most {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(base)) else {
                break;
            };
            value = value * base + digit;
            self.at += 1;
        }
        value
    }

    /// The character that an escape stands for, in and outside of classes.
    fn character(&mut self, c: char, start: usize) -> Result<char, Error> {
        let exactly = |reader: &mut Self, count: usize| {
            let from = reader.at;
            let code = reader.number(16, count);
            let complete = reader.at - from == count;
            char::from_u32(code).filter(|_| complete)
        };
        let found = match c {
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '\\' => Some('\\'),
            '0' => {
                self.at -= 1;
                char::from_u32(self.number(8, 3))
            }
            'x' => exactly(self, 2),
            'u' => exactly(self, 4),
            'U' => exactly(self, 8),
            c if c.is_ascii_alphanumeric() => None,
            c => Some(c),
        };
        match found {
            Some(c) => Ok(c),
            None => self.fail(&format!("bad escape \\{c}"), start),
        }
    }

    /// What stands inside brackets for a class escape; a negated one is a class of its own.
    fn set(&self, c: char) -> &'static str {
        match (c, self.flags.ascii) {
            ('d', false) => r"\d",
            ('D', false) => r"\D",
            // Python counts the information separators as white space.
            ('s', false) => r"\s\x1c-\x1f",
            ('S', false) => r"[^\s\x1c-\x1f]",
            // Python's word characters are letters, numbers and the underscore: no marks, no other connectors.
            ('w', false) => r"\p{L}\p{N}_",
            ('W', false) => r"[^\p{L}\p{N}_]",
            ('d', true) => "0-9",
            ('D', true) => "[^0-9]",
            ('s', true) => r" \t\n\r\x0b\x0c",
            ('S', true) => r"[^ \t\n\r\x0b\x0c]",
            ('w', true) => "0-9A-Za-z_",
            _ => "[^0-9A-Za-z_]",
        }
    }

    fn class(&mut self) -> Result<(), Error> {
        let start = self.at - 1;
        let mut text = String::from("[");
        if self.take('^') {
            text.push('^');
        }
        let first = self.at;
        loop {
            let item_at = self.at;
            let low = match self.next() {
                None => return self.fail("unterminated character set", start),
                Some(']') if item_at != first => break,
                Some('\\') => self.class_escape()?,
                Some(c) => Ok(c),
            };
            let ranged = self.peek() == Some('-') && self.peek_at(1).is_some_and(|c| c != ']');
            if !ranged {
                match low {
                    Ok(c) => push_literal(&mut text, c),
                    Err(set) => text.push_str(set),
                }
                continue;
            }
            self.at += 1;
            let high = match self.next() {
                Some('\\') => self.class_escape()?,
                Some(c) => Ok(c),
                None => return self.fail("unterminated character set", start),
            };
            match (low, high) {
                (Ok(low), Ok(high)) if low <= high => {
                    push_literal(&mut text, low);
                    text.push('-');
                    push_literal(&mut text, high);
                }
                _ => return self.fail("bad character range", item_at),
            }
        }
        text.push(']');
        self.atom(&text);
        Ok(())
    }

    /// A character, or the text of a set.
    fn class_escape(&mut self) -> Result<Result<char, &'static str>, Error> {
        let start = self.at - 1;
        let Some(c) = self.next() else {
            return self.fail("bad escape (end of pattern)", start);
        };
        Ok(match c {
            'b' => Ok('\u{8}'),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => Err(self.set(c)),
            '1'..='7' => {
                self.at -= 1;
                let code = self.number(8, 3);
                Ok(char::from_u32(code).unwrap_or('\0'))
            }
            c => Ok(self.character(c, start)?),
        })
    }
}

/// Letters and digits stand for themselves everywhere; the rest of ASCII goes by number, so that no engine
/// takes it for syntax.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' {
        let _ = write!(out, "\\x{:02X}", u32::from(c));
    } else {
        out.push(c);
    }
}
