//! One-line parameters (`std.echo output="hi" delay=2`) and commands with a message (`fail(msg="stop")`).
//!
//! Mistral finds parameters by a pattern and passes over what the pattern does not match: `a=word` is dropped,
//! `a=1.5` is cut to 1. Content depends on both, so both are kept; see `mistral-v2.md` §3.

use squall_model::{Map, Value, from_json};

/// A text split into its name and its parameters; `None` when it holds no blank and so no parameters.
pub(crate) fn split(text: &str) -> Option<(&str, Map)> {
    if !text.contains(' ') {
        return None;
    }
    let name = leading_name(text);
    let rest = text.get(name.len()..).unwrap_or_default();
    Some((name, parameters(rest)))
}

/// The leading expression, or what stands before a blank, `(`, `=` or a quote.
fn leading_name(text: &str) -> &str {
    let expression = [("<%", "%>"), ("{{", "}}")].into_iter().find_map(|(open, close)| {
        let rest = text.strip_prefix(open)?;
        text.get(..open.len() + rest.find(close)? + close.len())
    });
    expression.unwrap_or_else(|| {
        let end = text.find([' ', '(', '=', '"']).unwrap_or(text.len());
        text.get(..end).unwrap_or(text)
    })
}

/// Every `key=value` in `text` whose value has one of the known forms.
fn parameters(text: &str) -> Map {
    let mut found = Map::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_key) {
        rest = rest.get(start..).unwrap_or_default();
        let end = rest.find(|c| !is_key(c)).unwrap_or(rest.len());
        let (key, tail) = rest.split_at(end);
        rest = tail;
        if let Some(after) = tail.strip_prefix('=')
            && let Some((value, length)) = value(after)
        {
            found.insert(key.into(), value);
            rest = after.get(length..).unwrap_or_default();
        }
    }
    found
}

fn is_key(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// The value at the start of `text` and its length in bytes.
fn value(text: &str) -> Option<(Value, usize)> {
    for quote in ["\"", "'"] {
        if let Some(inner) = text.strip_prefix(quote) {
            let end = inner.find(quote)?;
            return Some((Value::from(inner.get(..end)?), end + 2));
        }
    }
    for (open, close) in [("<%", "%>"), ("{{", "}}")] {
        if let Some(inner) = text.strip_prefix(open) {
            let length = open.len() + inner.find(close)? + close.len();
            return Some((Value::from(text.get(..length)?), length));
        }
    }
    if text.starts_with('[') {
        return list(text);
    }
    for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
        if text.starts_with(word) {
            return Some((value, word.len()));
        }
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text.get(..digits).filter(|digits| !digits.is_empty())?;
    Some((from_json(number, false).unwrap_or_else(|_| Value::from(number)), digits))
}

/// A JSON list, up to the first `]` that closes it; what never becomes JSON stays text up to the first `]`.
fn list(text: &str) -> Option<(Value, usize)> {
    let ends = text.match_indices(']').map(|(place, _)| place + 1);
    let read = |end: usize| Some((from_json(text.get(..end)?, false).ok()?, end));
    // Long texts of brackets must not cost the square of their length.
    ends.clone().take(64).find_map(read).or_else(|| {
        let end = ends.clone().next()?;
        Some((Value::from(text.get(..end)?), end))
    })
}

/// A transition target: a command with its message, or the name of a task.
#[derive(Debug, PartialEq)]
pub(crate) enum Target<'t> {
    Noop,
    Fail(Option<Value>),
    Succeed(Option<Value>),
    Pause(Option<Value>),
    Task(&'t str),
}

/// Reads a transition target.
pub(crate) fn target(text: &str) -> Target<'_> {
    let name = leading_name(text);
    let message = || parameters(text.get(name.len()..).unwrap_or_default()).swap_remove("msg");
    match name {
        "noop" => Target::Noop,
        "fail" => Target::Fail(message()),
        "succeed" => Target::Succeed(message()),
        "pause" => Target::Pause(message()),
        _ => Target::Task(split(text).map_or(text, |(name, _)| name)),
    }
}

/// Whether Mistral's schema takes a text for a transition: a word, `word key=...` or `word(key=...)`.
pub(crate) fn is_target(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_');
    let is_pair = |text: &str| text.split_once('=').is_some_and(|(key, _)| is_word(key));
    let behind_blank = text.split_once(' ').is_some_and(|(word, pair)| is_word(word) && is_pair(pair));
    let in_brackets = text.strip_suffix(')').and_then(|text| text.split_once('('));
    !text.contains(char::is_whitespace)
        || behind_blank
        || in_brackets.is_some_and(|(word, pair)| is_word(word) && is_pair(pair))
}

/// `var in <list>` of `with-items`, split; `None` when it is not of that form. What stands behind the list is ignored.
pub(crate) fn item(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(|c| !is_key(c)).unwrap_or(text.len());
    // As a pattern does: the longest name first, and `in` may follow it without a blank.
    let ends = text.get(..end)?.char_indices().map(|(place, c)| place + c.len_utf8()).rev();
    ends.into_iter().find_map(|end| {
        let (name, rest) = text.split_at(end);
        Some((name, listed(rest.trim_start().strip_prefix("in")?.trim_start())?))
    })
}

/// The list at the start of `text`: up to the last `]` of its line, or one expression.
fn listed(text: &str) -> Option<&str> {
    let line = text.lines().next()?;
    if line.starts_with('[') {
        return line.get(..=line.rfind(']').filter(|end| *end > 1)?);
    }
    [("{{", "}}"), ("<%", "%>")].into_iter().find_map(|(open, close)| {
        let inner = line.strip_prefix(open)?;
        line.get(..open.len() + inner.find(close)? + close.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::to_json;

    fn check(text: &str, name: &str, parameters: &str) {
        let (found, map) = split(text).unwrap();
        assert_eq!((found, to_json(&Value::from(map)).as_str()), (name, parameters), "{text}");
    }

    #[test]
    fn values_have_a_few_known_forms() {
        check(r#"std.echo output="a b" n=1"#, "std.echo", r#"{"output":"a b","n":1}"#);
        check("a x='q' y=<% $.a %> z={{ _.b }}", "a", r#"{"x":"q","y":"<% $.a %>","z":"{{ _.b }}"}"#);
        check("a x=[1, 2] y=true z=null", "a", r#"{"x":[1,2],"y":true,"z":null}"#);
        check(r#"<% $.name %> x=1"#, "<% $.name %>", r#"{"x":1}"#);
        check(r#"a b="[1,2]" c="<% $.x %> z""#, "a", r#"{"b":"[1,2]","c":"<% $.x %> z"}"#);
    }

    #[test]
    fn other_values_are_dropped_or_cut() {
        check("a x=word y=1", "a", r#"{"y":1}"#);
        check("a x=1.5 y=10abc z=nullify", "a", r#"{"x":1,"y":10,"z":null}"#);
        check(r#"a x=-1 y=True b={"k": 1} c= 1"#, "a", "{}");
        check("a x={{ _.x }}y", "a", r#"{"x":"{{ _.x }}"}"#);
    }

    #[test]
    fn commands_take_messages_in_both_spellings() {
        assert_eq!(target("fail"), Target::Fail(None));
        assert_eq!(target(r#"fail msg="no way""#), Target::Fail(Some("no way".into())));
        assert_eq!(target(r#"fail(msg="stop")"#), Target::Fail(Some("stop".into())));
        assert_eq!(target("fail msg=<% task(a).result %>"), Target::Fail(Some("<% task(a).result %>".into())));
        assert_eq!(target("failure"), Target::Task("failure"));
    }

    #[test]
    fn items_name_a_variable_and_a_list() {
        assert_eq!(item("n in <% $.names %>"), Some(("n", "<% $.names %>")));
        assert_eq!(item("i in [1, 2]"), Some(("i", "[1, 2]")));
        assert_eq!(item("i of [1]"), None);
        assert_eq!(item("i in words"), None);
    }
}
