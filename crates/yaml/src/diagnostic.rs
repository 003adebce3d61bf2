//! Diagnostics: what is wrong in a file, where, and the way out; rendered for people.
//!
//! A diagnostic owns copies of the lines that it points at, so it can be stored, sent and shown long after
//! the file has changed. It does not decide what is wrong: `content`, `workflow` and the command line do.

use crate::{Error, Span, Warning};
use squall_model::Value;
use std::fmt::{self, Write as _};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works, but somebody should know.
    Warning,
    /// The thing that it is about is not loaded.
    Error,
}

/// A place in a file with the line that stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Characters to underline, at least 1.
    pub width: u32,
    /// The line itself.
    pub source: String,
    /// What to say below it; may be empty.
    pub label: String,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable code, `SQnnnn`.
    pub code: &'static str,
    /// What is wrong, as a fragment.
    pub message: String,
    /// The file, if it is about one.
    pub file: Option<String>,
    /// The place that counts first, then others that it is in conflict with.
    pub marks: Vec<Mark>,
    /// The way out.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place as yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, message.into())
    }

    /// A warning without a place as yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &'static str, message: String) -> Diagnostic {
        Diagnostic { severity, code, message, file: None, marks: Vec::new(), help: None }
    }

    /// Names the file.
    pub fn in_file(mut self, file: impl Into<String>) -> Diagnostic {
        self.file = Some(file.into());
        self
    }

    /// Points at `span` of `text` with a label; the first call is the place that counts.
    pub fn at(mut self, text: &str, span: Span, label: impl Into<String>) -> Diagnostic {
        let source = line_of(text, span.line);
        let left = source.chars().count().saturating_sub(span.column as usize - 1).max(1);
        let written =
            text.get(span.start..span.end).and_then(|t| t.lines().next()).map_or(1, |t| t.trim_end().chars().count());
        self.marks.push(Mark {
            line: span.line,
            column: span.column,
            width: u32::try_from(written.clamp(1, left)).unwrap_or(1),
            source: source.to_string(),
            label: label.into(),
        });
        self
    }

    /// Adds the way out.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// A text that is no YAML, as a diagnostic.
    pub fn from_yaml_error(code: &'static str, text: &str, error: &Error) -> Diagnostic {
        let source = line_of(text, error.at.line);
        let mut diagnostic = Diagnostic::error(code, "this is not YAML that can be loaded");
        diagnostic.marks.push(Mark {
            line: error.at.line,
            column: error.at.column,
            width: 1,
            source: source.to_string(),
            label: error.message.clone(),
        });
        diagnostic.help = error.hint.clone();
        diagnostic
    }

    /// A duplicate key, as a diagnostic that shows both places.
    pub fn from_yaml_warning(code: &'static str, text: &str, warning: &Warning) -> Diagnostic {
        Diagnostic::warning(code, warning.message.clone()).at(text, warning.span, "this one counts").at(
            text,
            warning.other,
            "first written here",
        )
    }

    /// Line of the place that counts, or 0.
    pub fn line(&self) -> u32 {
        self.marks.first().map_or(0, |mark| mark.line)
    }

    /// Column of the place that counts, or 0.
    pub fn column(&self) -> u32 {
        self.marks.first().map_or(0, |mark| mark.column)
    }

    /// The label of the place that counts, or nothing.
    pub fn label(&self) -> &str {
        self.marks.first().map_or("", |mark| mark.label.as_str())
    }

    /// All of it for programs: `severity`, `code`, `message`, `file`, `line`, `column`, `label`, `help`, and `text` as people read it.
    pub fn to_value(&self) -> Value {
        let severity = if self.is_error() { "error" } else { "warning" };
        let place = |number: u32| (number > 0).then_some(number);
        Value::from_pairs([
            ("severity", Value::from(severity)),
            ("code", self.code.into()),
            ("message", self.message.as_str().into()),
            ("file", self.file.as_deref().into()),
            ("line", place(self.line()).into()),
            ("column", place(self.column()).into()),
            ("label", self.label().into()),
            ("help", self.help.as_deref().into()),
            ("text", self.render(false).into()),
        ])
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// As text for a terminal, with colours if wanted. Readable without them.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        // Writing into a String does not fail.
        let _ = self.write(&mut out, if colour { &COLOURED } else { &PLAIN });
        out
    }

    fn write(&self, out: &mut impl fmt::Write, ink: &Ink) -> fmt::Result {
        let (word, paint) = match self.severity {
            Severity::Error => ("error", ink.error),
            Severity::Warning => ("warning", ink.warning),
        };
        writeln!(out, "{paint}{word}[{}]{}: {}", self.code, ink.reset, self.message)?;
        let digits = self.marks.iter().map(|mark| mark.line).max().unwrap_or(1).to_string().len();
        let gutter = " ".repeat(digits + 1);
        match (&self.file, self.marks.first()) {
            (Some(file), Some(mark)) => {
                writeln!(out, "{gutter} {}╭─[{file}:{}:{}]{}", ink.frame, mark.line, mark.column, ink.reset)?;
            }
            (None, Some(mark)) => {
                writeln!(out, "{gutter} {}╭─[{}:{}]{}", ink.frame, mark.line, mark.column, ink.reset)?
            }
            (Some(file), None) => writeln!(out, "{gutter} {}╭─[{file}]{}", ink.frame, ink.reset)?,
            (None, None) => {}
        }
        for mark in &self.marks {
            mark.write(out, ink, digits, paint)?;
        }
        if self.file.is_some() || !self.marks.is_empty() {
            writeln!(out, "{gutter} {}╰─{}", ink.frame, ink.reset)?;
        }
        if let Some(help) = &self.help {
            writeln!(out, "  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &PLAIN)
    }
}

/// Longest piece of a line that is shown; minified files have lines of megabytes.
const MAX_SHOWN: usize = 160;

impl Mark {
    fn write(&self, out: &mut impl fmt::Write, ink: &Ink, digits: usize, paint: &str) -> fmt::Result {
        let gutter = " ".repeat(digits + 1);
        let column = self.column.max(1) as usize - 1;
        // A tab is shown as one space, so that the line below fits.
        let shown: String = self.source.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(out, " {}{:>digits$} │{} {shown}", ink.frame, self.line, ink.reset)?;
        if column >= MAX_SHOWN {
            return writeln!(out, "{gutter} {}·{} {}", ink.frame, ink.reset, self.label);
        }
        let width = (self.width.max(1) as usize).min(MAX_SHOWN - column);
        let pad = " ".repeat(column);
        if self.label.is_empty() {
            return writeln!(
                out,
                "{gutter} {}·{} {pad}{paint}{}{}",
                ink.frame,
                ink.reset,
                "─".repeat(width),
                ink.reset
            );
        }
        let middle = width / 2;
        let line: String = (0..width).map(|i| if i == middle { '┬' } else { '─' }).collect();
        writeln!(out, "{gutter} {}·{} {pad}{paint}{line}{}", ink.frame, ink.reset, ink.reset)?;
        let pad = " ".repeat(column + middle);
        writeln!(out, "{gutter} {}·{} {pad}{paint}╰── {}{}", ink.frame, ink.reset, self.label, ink.reset)
    }
}

fn line_of(text: &str, line: u32) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default()
}

/// Escape sequences, or nothing.
struct Ink {
    error: &'static str,
    warning: &'static str,
    frame: &'static str,
    reset: &'static str,
}

const PLAIN: Ink = Ink { error: "", warning: "", frame: "", reset: "" };
const COLOURED: Ink = Ink { error: "\x1b[1;31m", warning: "\x1b[1;33m", frame: "\x1b[2m", reset: "\x1b[0m" };

/// All of them, one after the other, with a line that counts them.
impl Diagnostic {
    /// Renders many with an empty line between them and a summary at the end.
    pub fn render_all(diagnostics: &[Diagnostic], colour: bool) -> String {
        let mut out = String::new();
        for diagnostic in diagnostics {
            out.push_str(&diagnostic.render(colour));
            out.push('\n');
        }
        let errors = diagnostics.iter().filter(|d| d.is_error()).count();
        let _ = writeln!(out, "{}, {}", count(errors, "error"), count(diagnostics.len() - errors, "warning"));
        out
    }
}

fn count(n: usize, word: &str) -> String {
    match n {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        _ => format!("{n} {word}s"),
    }
}
