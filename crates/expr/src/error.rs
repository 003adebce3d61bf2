//! The one error of evaluation, with the class by which the original engines name it.

use std::borrow::Cow;
use std::ops::Range;

/// An expression that cannot be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The class of the original engines, e.g. `YaqlGrammarException` or `UndefinedError`; clients and
    /// vectors compare it. `ResourceLimit` is ours: one of [`crate::Limits`] was reached.
    pub class: Cow<'static, str>,
    /// What went wrong, fit to stand after a colon.
    pub message: String,
    /// Where in the expression's text (bytes), when known.
    pub span: Option<Range<usize>>,
}

impl Error {
    /// An error of `class`.
    pub fn new(class: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Error {
        Error { class: class.into(), message: message.into(), span: None }
    }

    /// The same error, located.
    pub fn at(mut self, span: Range<usize>) -> Error {
        self.span.get_or_insert(span);
        self
    }

    /// The same error of `part` as one of the text `whole` in which it stands.
    pub(crate) fn within(mut self, whole: &str, part: &str) -> Error {
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize);
        if let (Some(span), Some(by)) = (&mut self.span, start.filter(|by| by + part.len() <= whole.len())) {
            *span = span.start + by..span.end + by;
        }
        self
    }

    /// The bound `name` of [`crate::Limits`] was reached, which is `most` `unit`.
    pub(crate) fn bound(name: &str, most: u64, unit: &str) -> Error {
        Error::limit(&format!("more than {most} {unit} (limit `{name}`)"))
    }

    /// One of the limits was reached; `what` names it.
    pub fn limit(what: &str) -> Error {
        Error::new("ResourceLimit", format!("expression too expensive: {what}"))
    }
}
