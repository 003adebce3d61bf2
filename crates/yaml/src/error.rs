//! Why a text is no YAML that we load: the place, the reason, and what to write instead.
//!
//! [`Error`] speaks our way; [`Error::python`] gives the same in PyYAML's wording, since StackStorm's
//! error texts quote it.

use crate::hint;
use std::fmt::Write as _;

/// A place in a text: line and column from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {message}", at.line, at.column)]
pub struct Error {
    /// Where.
    pub at: Place,
    /// What is wrong, as a fragment.
    pub message: String,
    /// What to write instead, where we can guess it.
    pub hint: Option<String>,
    /// What was being read and where it began, in PyYAML's words.
    context: Option<(String, Place)>,
    /// Whether PyYAML names the place of this problem.
    form: Form,
    /// Whether PyYAML finds it only after it has read the whole text.
    late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Marked,
    Bare,
    Position(usize),
}

impl Error {
    pub(crate) fn new(text: &str, message: impl Into<String>, at: Place) -> Error {
        Error::within(text, None, message.into(), at)
    }

    pub(crate) fn within(text: &str, context: Option<(String, Place)>, message: String, at: Place) -> Error {
        let hint = hint::for_problem(text, &message, context.as_ref(), at);
        Error { at, message, hint, context, form: Form::Marked, late: false }
    }

    /// An error that PyYAML reports without a place.
    pub(crate) fn bare(message: impl Into<String>, at: Place) -> Error {
        Error { at, message: message.into(), hint: None, context: None, form: Form::Bare, late: false }
    }

    pub(crate) fn character(message: String, at: Place, position: usize) -> Error {
        let hint =
            Some("remove the character, or write it as an escape such as `\"\\x07\"` in double quotes".to_string());
        Error { at, message, hint, context: None, form: Form::Position(position), late: false }
    }

    /// Marks it as one that PyYAML finds only after it has read the whole text.
    pub(crate) fn late(mut self) -> Error {
        self.late = true;
        self
    }

    pub(crate) fn is_late(&self) -> bool {
        self.late
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The same in the words of StackStorm's YAML library.
    pub fn python(&self) -> String {
        const NAME: &str = "\n  in \"<unicode string>\", ";
        let mut text = String::new();
        if let Some((context, began)) = &self.context {
            text.push_str(context);
            if *began != self.at {
                let _ = write!(text, "{NAME}line {}, column {}", began.line, began.column);
            }
            text.push('\n');
        }
        // The library that StackStorm uses has this misprint; ours does not.
        text.push_str(&self.message.replace("hexadecimal number", "hexdecimal number"));
        match self.form {
            Form::Marked => {
                let _ = write!(text, "{NAME}line {}, column {}", self.at.line, self.at.column);
            }
            Form::Position(n) => {
                let _ = write!(text, "{NAME}position {n}");
            }
            Form::Bare => {}
        }
        text
    }
}
