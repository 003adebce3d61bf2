//! What to write instead: guesses for the mistakes that people make in packs.
//!
//! A scanner says what it did not expect; people want to know which character to add. Each guess looks at
//! the line in question only. A wrong guess is worse than none, so the patterns are narrow.

use crate::error::Place;

const JINJA: &str = "a value that begins with `{{` is read as a map; put the whole value in quotes: `\"{{ … }}\"`";

/// The way out of `problem`, if it is one that we know.
pub(crate) fn for_problem(text: &str, problem: &str, context: Option<&(String, Place)>, at: Place) -> Option<String> {
    let line = line_of(text, at.line);
    let began = context.map(|(_, began)| line_of(text, began.line)).unwrap_or_default();
    if has_bare_jinja(line) || (problem.contains("expected") && has_bare_jinja(began)) {
        return Some(JINJA.to_string());
    }
    let here = line.chars().nth((at.column as usize).saturating_sub(1));
    if line.trim_start_matches(' ').starts_with('\t') || here == Some('\t') {
        return Some("indent with spaces; YAML does not allow tabs for indentation".to_string());
    }
    guess(problem, here, line, context)
}

fn guess(problem: &str, here: Option<char>, line: &str, context: Option<&(String, Place)>) -> Option<String> {
    if problem.contains("cannot start any token") {
        return here.map(|c| match c {
            '%' => "a value that begins with `%` or `{%` must be put in quotes".to_string(),
            _ => format!("a value that begins with `{c}` must be put in quotes"),
        });
    }
    if problem.contains("unexpected end of stream") {
        return context.map(|(_, began)| format!("the quote opened in line {} is never closed", began.line));
    }
    if problem.contains("mapping values are not allowed") {
        return Some(
            "a value that contains `: ` must be put in quotes; or the indentation of this line is off".to_string(),
        );
    }
    if problem.contains("undefined alias") {
        return Some("a value that begins with `*` must be put in quotes".to_string());
    }
    if problem.contains("unknown directive") || problem.contains("directive name") {
        return Some("a line that begins with `%` is a directive; put the value in quotes".to_string());
    }
    if problem.contains("did not find expected") && quoted_then_more(line) {
        return Some("the closing quote ends the value; put quotes around the whole value".to_string());
    }
    if problem.contains("did not find expected key") || problem.contains("expected '-' indicator") {
        return Some("this line is indented differently from its neighbours".to_string());
    }
    problem.contains("determine a constructor").then(|| {
        "tags beyond YAML's own are not loaded; a value that begins with `!` or is `=` must be put in quotes"
            .to_string()
    })
}

fn line_of(text: &str, line: u32) -> &str {
    text.lines().nth((line as usize).saturating_sub(1)).unwrap_or_default()
}

/// Whether a value on this line begins with `{{` outside of quotes.
fn has_bare_jinja(line: &str) -> bool {
    line.split("{{").next().filter(|before| before.len() < line.len()).is_some_and(|before| {
        let before = before.trim_end();
        before.ends_with(':') || before.ends_with('-') || before.is_empty()
    })
}

/// Whether the line has a value whose closing quote is followed by more text.
fn quoted_then_more(line: &str) -> bool {
    let Some((_, value)) = line.split_once(": ").or_else(|| line.split_once("- ")) else {
        return false;
    };
    let value = value.trim_start();
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return false;
    };
    value[1..].split_once(quote).is_some_and(|(_, rest)| !rest.trim().is_empty() && !rest.trim_start().starts_with('#'))
}
