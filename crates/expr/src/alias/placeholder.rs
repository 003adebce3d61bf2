//! A format taken apart: literal expression text and placeholders, and put together as one expression.
//!
//! Optional placeholders are looked for first, over the whole text, exactly as StackStorm does: its search
//! can span two placeholders that no blank separates, and such a format is invalid there as it is here.

use regex::{Captures, Regex};
use squall_model::Str;
use std::sync::LazyLock;

/// `{{ key = default }}` with the blanks before it; the default is quoted, in braces, or the shortest text.
static OPTIONAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?s)(\s*)\{\{\s*(\S+?)\s*=\s*(?:""|''|"(.+?)"|'(.+?)'|(\{.+?\})|(.+?))\s*\}\}"#)
        .expect("a constant that the tests compile")
});

/// `{{ key }}` with the blanks before it.
static REQUIRED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(\s*)\{\{\s*(\S+?)\s*\}\}").expect("a constant that the tests compile"));

/// A part of a format.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// A regular expression as written.
    Text(String),
    /// A placeholder; `default` makes it optional.
    Slot { blanks: String, name: String, default: Option<String> },
}

impl Piece {
    pub(super) fn default(&self) -> Option<(Str, Str)> {
        match self {
            Piece::Slot { name, default: Some(default), .. } => Some((name.as_str().into(), default.as_str().into())),
            _ => None,
        }
    }
}

/// Splits a format into its pieces.
pub(super) fn split(format: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    cut(format, &OPTIONAL, optional, &mut |text| {
        cut(text, &REQUIRED, required, &mut |text| vec![Piece::Text(text.into())])
    })
    .into_iter()
    .for_each(|piece| pieces.push(piece));
    pieces
}

fn cut(text: &str, by: &Regex, slot: fn(&Captures) -> Piece, rest: &mut dyn FnMut(&str) -> Vec<Piece>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut done = 0;
    for found in by.captures_iter(text) {
        let whole = found.get_match();
        if whole.start() > done {
            pieces.extend(rest(&text[done..whole.start()]));
        }
        pieces.push(slot(&found));
        done = whole.end();
    }
    if done < text.len() {
        pieces.extend(rest(&text[done..]));
    }
    pieces
}

fn optional(found: &Captures) -> Piece {
    let default = (3..=6).filter_map(|group| found.get(group)).map(|m| m.as_str()).collect();
    Piece::Slot { blanks: found[1].into(), name: found[2].into(), default: Some(default) }
}

fn required(found: &Captures) -> Piece {
    Piece::Slot { blanks: found[1].into(), name: found[2].into(), default: None }
}

/// The expression that StackStorm would build, without the anchors.
pub(super) fn expression(pieces: &[Piece]) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Slot { blanks, name, default } => {
                let group =
                    format!(r#"{blanks}["\']?(?P<{name}>(?:(?<=\').+?(?=\')|(?<=").+?(?=")|{{.+?}}|.+?))["\']?"#);
                match default {
                    Some(_) => out.extend(["(?:", &group, ")?"]),
                    None => out.push_str(&group),
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_format() {
        let slot = |blanks: &str, name: &str, default: Option<&str>| Piece::Slot {
            blanks: blanks.into(),
            name: name.into(),
            default: default.map(Into::into),
        };
        assert_eq!(
            split("run {{cmd}} on {{ hosts = \"a b\" }}!"),
            [
                Piece::Text("run".into()),
                slot(" ", "cmd", None),
                Piece::Text(" on".into()),
                slot(" ", "hosts", Some("a b")),
                Piece::Text("!".into())
            ]
        );
        assert_eq!(split("{{a}}:{{b=9}}"), [slot("", "a}}:{{b", Some("9"))]);
        assert_eq!(split("{{x={\"a\": 1}}}"), [slot("", "x", Some("{\"a\": 1}"))]);
    }
}
