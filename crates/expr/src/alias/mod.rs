//! Alias formats: which command in chat a person meant, and with which parameters.
//!
//! A format is a regular expression with two kinds of placeholders, `{{key}}` and `{{key=default}}`.
//! [`Format`] is the exact grammar of StackStorm's server, quirks included, one format against one
//! command; [`Matcher`] asks many formats about one line and finds the few worth asking first;
//! [`help`] lists what people can type. Nothing here knows what an alias runs or who is allowed to.
//!
//! Invariant: a stored format cannot stall its caller. Every match counts its steps, and gives up with
//! class `ResourceLimit` rather than go on.
//!
//! Start reading at [`Format::extract`].

mod definition;
mod help;
mod matcher;
mod pairs;
mod placeholder;
mod shape;
mod slots;

pub use definition::{Representation, representations};
pub use help::{Help, HelpEntry, HelpQuery, help};
pub use matcher::{Entry, Found, Hit, Leniency, Matcher, Options};

use crate::Error;
use pairs::Split;
use placeholder::Piece;
use squall_model::{Map, Str, Value};

/// The longest command that is looked at, in bytes.
pub const MAX_COMMAND: usize = 8 << 10;

/// The longest format that is accepted, in bytes.
pub const MAX_FORMAT: usize = 4 << 10;

/// One representation of an alias, ready to be asked.
#[derive(Debug)]
pub struct Format {
    source: Str,
    /// Optional parameters with their defaults, in the order of the format.
    defaults: Vec<(Str, Str)>,
    /// What any matching command must hold, in lower case: the prefilter's handle.
    literal: Option<String>,
    engine: Engine,
}

/// Most formats are words and placeholders and need no regular expression at all.
#[derive(Debug)]
enum Engine {
    Slots(slots::Sequence),
    Pattern(Box<shape::Pattern>),
}

/// What an engine found: a value, or null for a group that took no part, for each named group.
type Groups = Vec<(Str, Option<String>)>;

impl Format {
    /// Reads a format. An invalid one is an [`Error`] of class `error` (Python's `re.error`) and belongs
    /// rejected at registration: it must not take part in matching.
    pub fn parse(text: &str) -> Result<Format, Error> {
        if text.len() > MAX_FORMAT {
            return Err(Error::limit("alias format is longer than 4 KiB"));
        }
        let pieces = placeholder::split(text);
        let defaults = pieces.iter().filter_map(Piece::default).collect();
        let (engine, literal) = match slots::Sequence::new(&pieces)? {
            Some(sequence) => {
                let literal = sequence.longest_literal();
                (Engine::Slots(sequence), literal)
            }
            None => {
                let pattern = shape::Pattern::new(&placeholder::expression(&pieces))?;
                let literal = pattern.longest_literal();
                (Engine::Pattern(Box::new(pattern)), literal)
            }
        };
        let literal = literal.map(|l| lower(&l)).filter(|l| !l.is_empty());
        Ok(Format { source: text.into(), defaults, literal, engine })
    }

    /// The format as it was written.
    pub fn source(&self) -> &Str {
        &self.source
    }

    /// Matches a command; the map holds a text (or null, for a hand-written group that took no part) for
    /// each parameter. No match is class `ParseException` with StackStorm's sentence.
    ///
    /// ```
    /// let format = squall_expr::alias::Format::parse("restart {{host}} {{service=nginx}}").unwrap();
    /// let params = format.extract("restart web1 timeout=5").unwrap();
    /// assert_eq!(params["host"].as_str(), Some("web1"));
    /// assert_eq!(params["service"].as_str(), Some("nginx"));
    /// assert_eq!(params["timeout"].as_str(), Some("5"));
    /// ```
    pub fn extract(&self, command: &str) -> Result<Map, Error> {
        let split = checked(command)?;
        self.extract_from(&split, false)?.ok_or_else(|| self.mismatch(command))
    }

    /// All matches of a `match_multiple` format; no match is an empty list.
    pub fn extract_all(&self, command: &str) -> Result<Vec<Map>, Error> {
        self.all_from(&checked(command)?)
    }

    fn all_from(&self, split: &Split) -> Result<Vec<Map>, Error> {
        let found = match &self.engine {
            Engine::Slots(sequence) => sequence.find(&split.stream, false)?.into_iter().collect(),
            Engine::Pattern(pattern) => pattern.find_all(&split.stream)?,
        };
        found.into_iter().map(|groups| self.finish(groups, split)).collect()
    }

    fn extract_from(&self, split: &Split, ignore_case: bool) -> Result<Option<Map>, Error> {
        let found = match &self.engine {
            Engine::Slots(sequence) => sequence.find(&split.stream, ignore_case)?,
            Engine::Pattern(pattern) => pattern.find(&split.stream, ignore_case)?,
        };
        found.map(|groups| self.finish(groups, split)).transpose()
    }

    fn finish(&self, groups: Groups, split: &Split) -> Result<Map, Error> {
        let mut map: Map = groups.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        for (name, default) in &self.defaults {
            let value = map.entry(name.clone()).or_default();
            if !value.is_truthy() {
                *value = Value::Str(default.clone());
            }
        }
        map.extend(split.pairs.iter().map(|(key, value)| (key.clone(), Value::Str(value.clone()))));
        if !self.source.is_empty() && split.blank && !map.values().any(Value::is_truthy) {
            return Err(Error::new("ParseException", "No value supplied and no default value found."));
        }
        Ok(map)
    }

    fn mismatch(&self, command: &str) -> Error {
        let message = format!("Command \"{command}\" doesn't match format string \"{}\"", self.source);
        Error::new("ParseException", message)
    }
}

fn checked(command: &str) -> Result<Split, Error> {
    if command.len() > MAX_COMMAND {
        return Err(Error::limit("command is longer than 8 KiB"));
    }
    Ok(pairs::split(command))
}

/// Lower case character by character, so that equal texts stay equal wherever they stand.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Python's `str.isspace` for one character, which is what `\s` means in a format.
fn blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}
