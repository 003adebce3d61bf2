//! Inline parameters: `core.echo message="hi" n=3` and `publish: a=1 b=<% result() %>`.
//!
//! A scanner for `name=value` pairs inside a text; whatever else stands in it is skipped without a word, as the
//! reference does. It knows nothing of actions or expressions.

use squall_model::{Str, Value, from_json};

/// The pairs in `text`, in order; a name that is given twice is there twice.
pub fn pairs(text: &str) -> Vec<(Str, Value)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some((skipped, name)) = next_name(rest) else {
            break;
        };
        let value_at = at + skipped + name.len() + 1;
        match text.get(value_at..).and_then(value_of) {
            Some(raw) => {
                found.push((Str::from(name), read(raw)));
                at = value_at + raw.len();
            }
            // `j=word x=1`: the bare word is no pair, but one may begin inside of it.
            None => at = value_at,
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The first `name=` of a text: how many bytes stand before the name, and the name.
fn next_name(text: &str) -> Option<(usize, &str)> {
    let mut from = 0;
    while let Some(found) = text.get(from..)?.find('=') {
        let equals = from + found;
        let head = text.get(..equals)?;
        let name_len: usize = head.chars().rev().take_while(|c| is_word(*c)).map(char::len_utf8).sum();
        if name_len > 0 {
            let start = equals - name_len;
            return Some((start, text.get(start..equals)?));
        }
        from = equals + 1;
    }
    None
}

/// The value that `text` begins with; the forms are tried in the reference's order.
fn value_of(text: &str) -> Option<&str> {
    list(text)
        .or_else(|| quoted(text, '"'))
        .or_else(|| quoted(text, '\''))
        .or_else(|| number(text))
        .or_else(|| word(text))
        .or_else(|| between(text, "<%", "%>"))
        .or_else(|| between(text, "{{", "}}"))
}

/// `[` to the last `]` on the line, with the blanks after it.
fn list(text: &str) -> Option<&str> {
    let line = text.split('\n').next()?;
    if !line.starts_with('[') {
        return None;
    }
    let end = line.rfind(']')? + 1;
    let blanks: usize = text.get(end..)?.chars().take_while(|c| c.is_whitespace()).map(char::len_utf8).sum();
    text.get(..end + blanks)
}

fn quoted(text: &str, quote: char) -> Option<&str> {
    let inner = text.strip_prefix(quote)?;
    let end = inner.find(quote)?;
    text.get(..end + 2)
}

fn number(text: &str) -> Option<&str> {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let sign = usize::from(text.starts_with('-'));
    let whole = digits(text.get(sign..)?);
    let after = text.get(sign + whole..)?;
    if let Some(fraction) = after.strip_prefix('.').map(digits)
        && fraction > 0
    {
        return text.get(..sign + whole + 1 + fraction);
    }
    (whole > 0).then(|| text.get(..sign + whole))?
}

fn word(text: &str) -> Option<&str> {
    for known in ["true", "false"] {
        if let Some(head) = text.get(..known.len())
            && head.eq_ignore_ascii_case(known)
        {
            return Some(head);
        }
    }
    text.starts_with("null").then(|| text.get(..4))?
}

/// The shortest text from `open` to `close` on one line.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let line = text.split('\n').next()?;
    let inner = line.strip_prefix(open)?;
    let end = inner.find(close)?;
    text.get(..open.len() + end + close.len())
}

/// The value that the text of a pair stands for.
fn read(raw: &str) -> Value {
    let trimmed = raw.trim();
    let is_quoted = trimmed.len() > 1
        && ((trimmed.starts_with('"') && trimmed.ends_with('"'))
            || (trimmed.starts_with('\'') && trimmed.ends_with('\'')));
    let bare = unquote(unquote(trimmed, '"'), '\'');
    let is_object = bare.starts_with('{') && bare.ends_with('}') && !bare.starts_with("{{");
    if is_quoted && !is_object {
        return Value::from(bare);
    }
    let lower = bare.to_ascii_lowercase();
    if lower == "true" || lower == "false" {
        return Value::Bool(lower == "true");
    }
    from_json(bare, false).unwrap_or_else(|_| Value::from(bare))
}

fn unquote(text: &str, quote: char) -> &str {
    let text = text.strip_prefix(quote).unwrap_or(text);
    text.strip_suffix(quote).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::to_json;

    fn check(text: &str, expected: &str) {
        let read: Vec<String> = pairs(text).iter().map(|(name, value)| format!("{name}={}", to_json(value))).collect();
        assert_eq!(read.join(" "), expected, "{text}");
    }

    #[test]
    fn values_have_their_types() {
        check(
            r#"core.echo message="hello <% ctx(who) %>" count=3 ratio=1.5 flag=True none=null list=[1,2] q='x y'"#,
            r#"message="hello <% ctx(who) %>" count=3 ratio=1.5 flag=true none=null list=[1,2] q="x y""#,
        );
        check(r#"a="12" e="true" l=.5 g=-1.5"#, r#"a="12" e="true" l=".5" g=-1.5"#);
        check(r#"o='{"k": 1}' y=<% ctx(a) %> j={{ ctx('b') }}"#, r#"o={"k":1} y="<% ctx(a) %>" j="{{ ctx('b') }}""#);
    }

    #[test]
    fn bare_words_are_skipped_and_looked_into() {
        check("url=http://a?b=1&c=2", "b=1 c=2");
        check("x=[1] y=[2]", r#"x="[1] y=[2]""#);
        check("nothing here", "");
    }
}
