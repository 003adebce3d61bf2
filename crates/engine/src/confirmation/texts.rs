//! What people are told about confirmations: one catalogue, and what is done to values before they are shown.
//!
//! Everything that comes from people (parameters, reasons, names) may try to look like the question itself. So it is a
//! [`Piece`] of its own: neutralised, and set apart by each network's markup. Packs cannot change these texts.
//!
//! - `catalogue`: the texts.
//! - `values`: parameters and names, made harmless.
//! - `question`: the question and the list of what waits.
//!
//! Start reading at [`text`].

mod catalogue;
mod question;
mod values;

pub use catalogue::CATALOGUE;
pub use question::{MESSAGE, Style, clock, human, left, pending, question};
pub use values::{MASK, ShownRun, dry_run, holds_secret, neutral, shown_name, shown_run, shown_text, shown_value};

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Longest note or reason.
pub const NOTE: usize = 500;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Our own words.
    Ours(String),
    /// Somebody's value, neutralised; shown in monospace.
    Value(String),
    /// Somebody's name, neutralised.
    Name(String),
}

/// A text for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub Vec<Piece>);

/// How a network marks up text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// Not at all: terminals, IRC.
    None,
    /// Slack's: `&`, `<` and `>` are entities.
    Slack,
    /// Markdown: Mattermost, Discord, Matrix.
    Markdown,
}

impl Text {
    /// The text as it stands in the catalogue.
    pub fn plain(&self) -> String {
        self.marked_up(Markup::None)
    }

    /// The text for a network, with values in monospace.
    pub fn marked_up(&self, markup: Markup) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            let (text, is_value) = match piece {
                Piece::Ours(text) | Piece::Name(text) => (text, false),
                Piece::Value(text) => (text, true),
            };
            match (markup, is_value) {
                (Markup::None, _) => out.push_str(text),
                // Neutralised values hold no backtick, so nothing breaks out.
                (Markup::Slack, true) if !text.is_empty() => drop(write!(out, "`{}`", entities(text))),
                (Markup::Markdown, true) if !text.is_empty() => drop(write!(out, "`{text}`")),
                (_, true) => {}
                (Markup::Slack, false) => out.push_str(&entities(text)),
                (Markup::Markdown, false) => out.push_str(&backslashed(text)),
            }
        }
        out
    }

    /// How many characters it has.
    fn length(&self) -> usize {
        self.0.iter().map(|p| p.text().chars().count()).sum()
    }

    /// The text cut to a length, with a pointer to the rest.
    fn cut(self, length: usize, pointer: &str) -> Text {
        if self.length() <= length {
            return self;
        }
        let mut left = length.saturating_sub(pointer.chars().count() + 4);
        let mut pieces = Vec::new();
        for mut piece in self.0 {
            let count = piece.text().chars().count();
            if count <= left {
                left -= count;
                pieces.push(piece);
                continue;
            }
            let text = piece.text_mut();
            *text = text.chars().take(left).collect();
            pieces.push(piece);
            break;
        }
        pieces.push(Piece::Ours(format!("…\n  {pointer}")));
        Text(pieces)
    }
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Piece::Ours(text) | Piece::Value(text) | Piece::Name(text) => text,
        }
    }

    fn text_mut(&mut self) -> &mut String {
        match self {
            Piece::Ours(text) | Piece::Value(text) | Piece::Name(text) => text,
        }
    }
}

fn entities(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn backslashed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '~' | '|' | '[' | ']' | '<' | '>' | '`' | '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Something that fills a placeholder.
#[derive(Debug, Clone)]
pub enum Fill<'a> {
    /// Our own words.
    Ours(String),
    /// A value that was neutralised already.
    Shown(&'a str),
    /// Somebody's value.
    Value(&'a str),
    /// Somebody's name.
    Name(&'a str),
    /// A text made before.
    Text(Text),
}

impl From<String> for Fill<'_> {
    fn from(text: String) -> Self {
        Fill::Ours(text)
    }
}
impl From<&'static str> for Fill<'_> {
    fn from(text: &'static str) -> Self {
        Fill::Ours(text.into())
    }
}
impl From<u32> for Fill<'_> {
    fn from(n: u32) -> Self {
        Fill::Ours(n.to_string())
    }
}

impl Fill<'_> {
    fn pieces(&self) -> Vec<Piece> {
        match self {
            Fill::Ours(text) => vec![Piece::Ours(text.clone())],
            Fill::Shown(text) => vec![Piece::Value((*text).to_owned())],
            Fill::Value(text) => vec![Piece::Value(shown_text(text))],
            Fill::Name(text) => vec![Piece::Name(shown_name(text))],
            Fill::Text(text) => text.0.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Fill::Ours(text) => text.is_empty(),
            Fill::Shown(text) | Fill::Value(text) | Fill::Name(text) => text.is_empty(),
            Fill::Text(text) => text.0.iter().all(|p| p.text().is_empty()),
        }
    }
}

/// The text of that name with its placeholders filled. A placeholder that nobody fills stays empty; a test fills all.
pub fn text(name: &str, fills: &[(&str, Fill<'_>)]) -> Text {
    let template = CATALOGUE.iter().find(|(known, _)| *known == name).map_or("", |(_, template)| *template);
    let find = |key: &str| fills.iter().find(|(known, _)| *known == key).map(|(_, fill)| fill);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut ours = String::new();
    for line in template.split('\n') {
        let only = line.strip_prefix('{').and_then(|l| l.strip_suffix('}')).filter(|key| !key.contains('{'));
        if only.is_some_and(|key| find(key).is_none_or(Fill::is_empty)) {
            continue;
        }
        if !(pieces.is_empty() && ours.is_empty()) {
            ours.push('\n');
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((key, behind)) = after.split_once('}') else { break };
            ours.push_str(before);
            for piece in find(key).map(Fill::pieces).unwrap_or_default() {
                match piece {
                    Piece::Ours(text) => ours.push_str(&text),
                    other => {
                        if !ours.is_empty() {
                            pieces.push(Piece::Ours(std::mem::take(&mut ours)));
                        }
                        pieces.push(other);
                    }
                }
            }
            rest = behind;
        }
        ours.push_str(rest);
    }
    let ours = ours.trim_end().to_owned();
    if !ours.is_empty() {
        pieces.push(Piece::Ours(ours));
    }
    Text(pieces)
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;
