//! Regular expressions in Python's dialect.
//!
//! A pattern is translated once ([`translate`]) and run by the automaton engine, or by the backtracking one
//! when it needs look-around, back-references or conditions. Matching never takes time beyond what was paid
//! for: patterns and subjects are bounded, backtracking is counted, and whatever finds *all* matches charges
//! a [`Budget`] for the distance it scanned.
//!
//! Positions are byte offsets. Start reading at [`compile`] and [`Pattern`].

mod replacement;
mod translate;

pub use replacement::Replacement;

use crate::{Budget, Error};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};
use translate::Translated;

/// The longest pattern that is read, in bytes.
const LONGEST_PATTERN: usize = 4096;
/// The longest text that is searched, in bytes.
const LONGEST_SUBJECT: usize = 1 << 20;
/// Memory of one compiled automaton: ten bounded repetitions of `\w` fit, `(\w{1000}){1000}` does not.
const AUTOMATON_BYTES: usize = 4 << 20;
/// Steps of the backtracking engine for one match, about 6 ms.
const BACKTRACKS: usize = 100_000;
/// Compiled patterns that are kept.
const CACHED: usize = 1000;
/// How long finding all matches in one text may take: the automaton alone cannot promise it.
const LONGEST_SCAN: Duration = Duration::from_secs(1);

/// Python's flags `I`, `M`, `S`, `X` and `A`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags {
    /// Letters match without regard to case.
    pub ignore_case: bool,
    /// `^` and `$` match at every line.
    pub multi_line: bool,
    /// `.` matches a line feed too.
    pub dot_all: bool,
    /// White space and comments in the pattern are skipped.
    pub verbose: bool,
    /// `\w`, `\d`, `\s` and `\b` know ASCII only.
    pub ascii: bool,
}

impl Flags {
    /// The source text with these flags as a group in front, the form in which values keep it.
    pub fn with_source(self, pattern: &str) -> String {
        let letters: String = [
            (self.ignore_case, 'i'),
            (self.multi_line, 'm'),
            (self.dot_all, 's'),
            (self.verbose, 'x'),
            (self.ascii, 'a'),
        ]
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, letter)| *letter)
        .collect();
        // With Python's `u`, which nobody writes, in front: an `(?i)` of the author's own stays a part of the source.
        if letters.is_empty() { pattern.to_string() } else { format!("(?u{letters}){pattern}") }
    }
}

/// Takes apart what [`Flags::with_source`] joined.
pub fn split_flags(source: &str) -> (Flags, &str) {
    let none = (Flags::default(), source);
    let Some((letters, pattern)) = source.strip_prefix("(?u").and_then(|rest| rest.split_once(')')) else {
        return none;
    };
    let mut flags = Flags::default();
    for letter in letters.chars() {
        match letter {
            'i' => flags.ignore_case = true,
            'm' => flags.multi_line = true,
            's' => flags.dot_all = true,
            'x' => flags.verbose = true,
            'a' => flags.ascii = true,
            _ => return none,
        }
    }
    if letters.is_empty() { none } else { (flags, pattern) }
}

/// Where a match must lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Anywhere: Python's `search`.
    Anywhere,
    /// From the start: `match`.
    Start,
    /// The whole text: `fullmatch`.
    Whole,
    /// Anywhere, but not empty at the very place where the search starts: what follows an empty match.
    Onward,
}

/// A compiled pattern; cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    inner: Arc<Inner>,
}

struct Inner {
    source: String,
    translated: Translated,
    /// One program for each anchor, without and with care for a final line feed (see [`Pattern::program`]).
    programs: [OnceLock<Result<Program, Error>>; 8],
}

enum Program {
    Automaton(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// One match: the spans of group 0 (the whole) and of each group, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Spans in the order of groups; an unmatched group has none.
    pub groups: Vec<Option<Range<usize>>>,
}

impl Match {
    /// The span of the whole match.
    pub fn span(&self) -> Range<usize> {
        self.groups.first().cloned().flatten().unwrap_or(0..0)
    }
}

fn bad(message: impl std::fmt::Display) -> Error {
    Error::new("error", message.to_string())
}

static CACHE: LazyLock<Mutex<HashMap<(String, Flags), Pattern>>> = LazyLock::new(Mutex::default);

/// Compiles `pattern` with `flags`, or takes it from the cache.
///
/// Errors have class `error`, Python's name for a bad pattern.
pub fn compile(pattern: &str, flags: Flags) -> Result<Pattern, Error> {
    if pattern.len() > LONGEST_PATTERN {
        return Err(bad(format!("pattern longer than {LONGEST_PATTERN} bytes")));
    }
    let key = (pattern.to_string(), flags);
    if let Ok(cache) = CACHE.lock()
        && let Some(found) = cache.get(&key)
    {
        return Ok(found.clone());
    }
    let translated = translate::translate(pattern, flags)?;
    let inner = Inner { source: pattern.to_string(), translated, programs: Default::default() };
    let compiled = Pattern { inner: Arc::new(inner) };
    compiled.program(Anchor::Anywhere, "")?;
    if let Ok(mut cache) = CACHE.lock() {
        if cache.len() >= CACHED {
            // Rare enough that forgetting everything is cheaper than remembering who was used last.
            cache.clear();
        }
        cache.insert(key, compiled.clone());
    }
    Ok(compiled)
}

/// Compiles a pattern from the form in which values keep it (flags in front).
pub fn compile_source(source: &str) -> Result<Pattern, Error> {
    compile(source, Flags::default())
}

/// Escapes `text` so that it matches itself, as Python's `re.escape` since 3.7.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\u{b}\u{c}".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pattern({:?})", self.inner.source)
    }
}

impl Pattern {
    /// The pattern as written.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The number of groups, the whole match not counted.
    pub fn group_count(&self) -> usize {
        self.inner.translated.names.len()
    }

    /// The name of each group, in order, where it has one.
    pub fn group_names(&self) -> &[Option<String>] {
        &self.inner.translated.names
    }

    /// The number of the group called `name`.
    pub fn group_index(&self, name: &str) -> Option<usize> {
        self.group_names().iter().position(|n| n.as_deref() == Some(name)).map(|i| i + 1)
    }

    /// The program to run on `text`. Python's `$` also matches before a final line feed; the automaton
    /// cannot look ahead, so only texts that end with one use a program that can.
    fn program(&self, anchor: Anchor, text: &str) -> Result<&Program, Error> {
        let translated = &self.inner.translated;
        let careful = translated.has_dollar() && text.ends_with('\n');
        let index = anchor as usize * 2 + usize::from(careful);
        let slot = self.inner.programs.get(index).expect("four anchors, each twice");
        slot.get_or_init(|| build(translated, anchor, careful)).as_ref().map_err(Clone::clone)
    }

    fn check_subject(text: &str) -> Result<(), Error> {
        if text.len() > LONGEST_SUBJECT {
            return Err(Error::limit("text too long for a regular expression"));
        }
        Ok(())
    }

    /// Whether the pattern matches.
    pub fn is_match(&self, text: &str, anchor: Anchor) -> Result<bool, Error> {
        Self::check_subject(text)?;
        match self.program(anchor, text)? {
            Program::Automaton(regex) => Ok(regex.is_match(text)),
            Program::Backtracking(regex) => regex.is_match(text).map_err(|e| self.too_hard(&e)),
        }
    }

    /// The first match.
    pub fn captures(&self, text: &str, anchor: Anchor) -> Result<Option<Match>, Error> {
        Self::check_subject(text)?;
        self.captures_from(text, 0, anchor)
    }

    fn captures_from(&self, text: &str, from: usize, anchor: Anchor) -> Result<Option<Match>, Error> {
        if from > text.len() {
            return Ok(None);
        }
        Ok(match self.program(anchor, text)? {
            Program::Automaton(regex) => regex
                .captures_at(text, from)
                .map(|c| Match { groups: c.iter().map(|g| g.map(|g| g.range())).collect() }),
            Program::Backtracking(regex) => regex
                .captures_from_pos(text, from)
                .map_err(|e| self.too_hard(&e))?
                .map(|c| Match { groups: c.iter().map(|g| g.map(|g| g.range())).collect() }),
        })
    }

    fn too_hard(&self, cause: &fancy_regex::Error) -> Error {
        Error::new("ResourceLimit", format!("pattern `{}` takes too long: {cause}", self.inner.source))
    }

    /// All matches, as Python's `finditer` finds them: not overlapping, an empty one may follow another directly.
    /// Stops after `count` of them unless that is 0.
    pub fn find_all(&self, text: &str, count: usize, budget: &Budget) -> Result<Vec<Match>, Error> {
        Self::check_subject(text)?;
        let mut found = Vec::new();
        let mut from = 0;
        let mut anchor = Anchor::Anywhere;
        let started = Instant::now();
        while let Some(one) = self.captures_from(text, from, anchor)? {
            let span = one.span();
            budget.step(1 + (span.end.saturating_sub(from) / 64) as u64)?;
            budget.bytes(24 + 24 * one.groups.len() as u64)?;
            if found.len() % 64 == 63 && started.elapsed() > LONGEST_SCAN {
                return Err(Error::limit("finding all matches of a regular expression takes too long"));
            }
            from = span.end;
            anchor = if span.is_empty() { Anchor::Onward } else { Anchor::Anywhere };
            found.push(one);
            if found.len() == count {
                break;
            }
        }
        Ok(found)
    }

    /// Replaces matches by what `replacement` makes of each, the first `count` of them unless that is 0.
    pub fn replace_with(
        &self,
        text: &str,
        count: usize,
        budget: &Budget,
        mut replacement: impl FnMut(&Match) -> Result<String, Error>,
    ) -> Result<String, Error> {
        let mut out = String::new();
        let mut done = 0;
        for one in self.find_all(text, count, budget)? {
            let span = one.span();
            let with = replacement(&one)?;
            budget.bytes((span.start - done + with.len()) as u64)?;
            out.push_str(text.get(done..span.start).unwrap_or_default());
            out.push_str(&with);
            done = span.end;
        }
        let rest = text.get(done..).unwrap_or_default();
        budget.bytes(rest.len() as u64)?;
        out.push_str(rest);
        Ok(out)
    }

    /// Python's `re.sub`: `template` may hold `\1`, `\g<name>` and escapes.
    pub fn replace(&self, text: &str, template: &str, count: usize, budget: &Budget) -> Result<String, Error> {
        let template = Replacement::parse(template, self)?;
        self.replace_with(text, count, budget, |one| Ok(template.expand(text, one)))
    }

    /// Python's `re.split`: the texts of groups stand between the parts. At most `count` splits unless that is 0.
    pub fn split(&self, text: &str, count: usize, budget: &Budget) -> Result<Vec<Option<String>>, Error> {
        let mut parts = Vec::new();
        let mut done = 0;
        for one in self.find_all(text, count, budget)? {
            let span = one.span();
            budget.bytes((span.end - done) as u64)?;
            parts.push(text.get(done..span.start).map(str::to_string));
            for group in one.groups.iter().skip(1) {
                parts.push(group.clone().and_then(|g| text.get(g)).map(str::to_string));
            }
            done = span.end;
        }
        let rest = text.get(done..).unwrap_or_default();
        budget.bytes(rest.len() as u64)?;
        parts.push(Some(rest.to_string()));
        Ok(parts)
    }
}

fn build(translated: &Translated, anchor: Anchor, careful: bool) -> Result<Program, Error> {
    let body = translated.body(if careful { r"(?=\n?\z)" } else { r"\z" });
    let text = match anchor {
        Anchor::Anywhere => body,
        Anchor::Start => format!(r"\A(?:{body})"),
        Anchor::Whole => format!(r"\A(?:{body})\z"),
        Anchor::Onward => format!(r"(?:{body})(?!\G)"),
    };
    if translated.needs_backtracking || careful || anchor == Anchor::Onward {
        let built = fancy_regex::RegexBuilder::new(&text)
            .backtrack_limit(BACKTRACKS)
            .delegate_size_limit(AUTOMATON_BYTES)
            .delegate_dfa_size_limit(AUTOMATON_BYTES)
            .build();
        return built.map(|r| Program::Backtracking(Box::new(r))).map_err(bad);
    }
    let built = regex::RegexBuilder::new(&text).size_limit(AUTOMATON_BYTES).dfa_size_limit(AUTOMATON_BYTES).build();
    built.map(Program::Automaton).map_err(bad)
}

#[cfg(test)]
mod tests;
