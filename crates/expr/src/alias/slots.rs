//! Formats of words and placeholders, matched by hand.
//!
//! Nineteen formats of twenty are plain words with `{{placeholders}}`. For them this small backtracking
//! matcher tries exactly what StackStorm's regular expression would try, in the same order, so the first
//! answer is the same. What fails at one place of the format and of the text fails there always, so
//! failures are remembered and the work stays within format × text².

use super::placeholder::Piece;
use super::{Groups, blank};
use crate::Error;
use squall_model::Str;

/// More placeholders than anybody writes; such a format goes to the regular expression engine.
const MAX_SLOTS: usize = 32;

/// Steps of one match: about 5 ms.
const MAX_STEPS: u32 = 1_000_000;

/// A format without regular expression characters.
#[derive(Debug)]
pub(super) struct Sequence {
    parts: Vec<Part>,
    names: Vec<Str>,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    /// Blanks before the value, and whether the whole may be absent.
    Slot {
        blanks: String,
        optional: bool,
    },
}

impl Sequence {
    /// `None` when the format needs the regular expression engine; an error when a name is impossible.
    pub(super) fn new(pieces: &[Piece]) -> Result<Option<Sequence>, Error> {
        let mut parts = Vec::new();
        let mut names: Vec<Str> = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) if text.contains(special) => return Ok(None),
                Piece::Text(text) => parts.push(Part::Literal(text.clone())),
                Piece::Slot { blanks, name, default } => {
                    check_name(name)?;
                    if names.iter().any(|n| **n == **name) {
                        return Err(Error::new("error", format!("redefinition of group name '{name}'")));
                    }
                    names.push(name.as_str().into());
                    parts.push(Part::Slot { blanks: blanks.clone(), optional: default.is_some() });
                }
            }
        }
        if names.len() > MAX_SLOTS {
            return Ok(None);
        }
        Ok(Some(Sequence { parts, names }))
    }

    /// The longest text that every matching command holds.
    pub(super) fn longest_literal(&self) -> Option<String> {
        let mut runs = vec![String::new()];
        for (index, part) in self.parts.iter().enumerate() {
            let run = runs.last_mut().expect("starts with one run");
            match part {
                // Leading blanks of the whole are matched by the padding as well.
                Part::Literal(text) if index == 0 => run.push_str(text.trim_start_matches(blank)),
                Part::Literal(text) => run.push_str(text),
                Part::Slot { blanks, optional } => {
                    if !optional && index > 0 {
                        run.push_str(blanks);
                    }
                    runs.push(String::new());
                }
            }
        }
        runs.into_iter().max_by_key(String::len).filter(|run| !run.is_empty())
    }

    /// The first match in the padded command.
    pub(super) fn find(&self, stream: &str, ignore_case: bool) -> Result<Option<Groups>, Error> {
        let mut search = Search {
            parts: &self.parts,
            stream,
            ignore_case,
            found: vec![None; self.names.len()],
            failed: Vec::new(),
            steps: 0,
        };
        let lead = stream.find(|c| !blank(c)).unwrap_or(stream.len());
        for start in boundaries_down(stream, lead) {
            if search.rest(0, 0, start)? {
                let values = search.found.iter().map(|range| range.map(|(a, b)| stream[a..b].to_owned()));
                return Ok(Some(self.names.iter().cloned().zip(values).collect()));
            }
        }
        Ok(None)
    }
}

/// Positions from `to` down to 0: how a greedy repetition gives back.
fn boundaries_down(stream: &str, to: usize) -> impl Iterator<Item = usize> + '_ {
    (0..=to).rev().filter(|&at| stream.is_char_boundary(at))
}

/// Characters with a meaning in a regular expression.
fn special(c: char) -> bool {
    matches!(c, '\\' | '.' | '^' | '$' | '*' | '+' | '?' | '{' | '}' | '[' | ']' | '|' | '(' | ')')
}

/// A parameter is a Python identifier.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c == '_' || c.is_alphabetic());
    if first && chars.all(|c| c == '_' || c.is_alphanumeric()) {
        return Ok(());
    }
    Err(Error::new("error", format!("bad character in group name '{name}'")))
}

struct Search<'a> {
    parts: &'a [Part],
    stream: &'a str,
    ignore_case: bool,
    found: Vec<Option<(usize, usize)>>,
    /// One bit for each part and position from which the rest was found not to match.
    failed: Vec<u64>,
    steps: u32,
}

impl Search<'_> {
    /// Whether the parts from `part` on match from `at` to the end; `slot` counts the slots before.
    fn rest(&mut self, part: usize, slot: usize, at: usize) -> Result<bool, Error> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Error::limit("alias format tries too many ways to match this command"));
        }
        let parts = self.parts;
        match parts.get(part) {
            None => Ok(self.stream[at..].chars().all(blank)),
            Some(Part::Literal(text)) => match self.literal(text, at) {
                Some(end) => self.rest(part + 1, slot, end),
                None => Ok(false),
            },
            Some(Part::Slot { blanks, optional }) => {
                let bit = part * (self.stream.len() + 1) + at;
                if self.failed.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1) {
                    return Ok(false);
                }
                if let Some(start) = self.literal(blanks, at)
                    && self.slot(part, slot, start)?
                {
                    return Ok(true);
                }
                self.found[slot] = None;
                if *optional && self.rest(part + 1, slot + 1, at)? {
                    return Ok(true);
                }
                if self.failed.is_empty() {
                    self.failed = vec![0; (self.parts.len() * (self.stream.len() + 1)).div_ceil(64)];
                }
                self.failed[bit / 64] |= 1 << (bit % 64);
                Ok(false)
            }
        }
    }

    fn literal(&self, text: &str, at: usize) -> Option<usize> {
        let rest = &self.stream[at..];
        if rest.starts_with(text) {
            return Some(at + text.len());
        }
        if !self.ignore_case {
            return None;
        }
        let mut taken = 0;
        let mut typed = rest.chars();
        for wanted in text.chars() {
            let c = typed.next()?;
            if c != wanted && !c.to_lowercase().eq(wanted.to_lowercase()) {
                return None;
            }
            taken += c.len_utf8();
        }
        Some(at + taken)
    }

    /// A value with an optional quote before it; quoted first, then in braces, then the shortest text.
    fn slot(&mut self, part: usize, slot: usize, at: usize) -> Result<bool, Error> {
        let quoted = self.stream[at..].starts_with(['"', '\'']);
        if quoted && self.value(part, slot, at + 1)? {
            return Ok(true);
        }
        self.value(part, slot, at)
    }

    fn value(&mut self, part: usize, slot: usize, start: usize) -> Result<bool, Error> {
        let stream = self.stream;
        let before = stream[..start].chars().next_back();
        for quote in ['\'', '"'] {
            if before == Some(quote) && self.ends(part, slot, start, |end| stream[end..].starts_with(quote))? {
                return Ok(true);
            }
        }
        if stream[start..].starts_with('{') {
            // `{`, at least one character, `}`: the closing brace is part of the value.
            let long_enough = start + 2;
            if self.ends(part, slot, start, |end| end > long_enough && stream[..end].ends_with('}'))? {
                return Ok(true);
            }
        }
        self.ends(part, slot, start, |_| true)
    }

    /// Tries ever longer values from `start` on whose end `allowed` accepts.
    fn ends(&mut self, part: usize, slot: usize, start: usize, allowed: impl Fn(usize) -> bool) -> Result<bool, Error> {
        let stream = self.stream;
        let Some(first) = stream[start..].chars().next() else {
            return Ok(false);
        };
        let mut end = start + first.len_utf8();
        loop {
            self.steps += 1;
            if allowed(end) {
                let next = stream[end..].chars().next();
                if matches!(next, Some('"' | '\'')) && self.rest(part + 1, slot + 1, end + 1)? {
                    self.found[slot] = Some((start, end));
                    return Ok(true);
                }
                if self.rest(part + 1, slot + 1, end)? {
                    self.found[slot] = Some((start, end));
                    return Ok(true);
                }
            }
            match stream[end..].chars().next() {
                Some(c) => end += c.len_utf8(),
                None => return Ok(false),
            }
        }
    }
}
