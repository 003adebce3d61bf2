//! From the body of an outgoing message to what a network shows. One function for each network; the rules that all share are here.

use squall_model::{Map, Value};

/// A message taken apart, as the bots of StackStorm do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Who is addressed.
    pub mention: Option<String>,
    /// What stands before the text, plain.
    pub pretext: String,
    /// The text.
    pub text: String,
    /// A remark of the bot itself.
    pub note: Option<String>,
    /// Whether it tells of a failure.
    pub failed: bool,
    /// Who may see it, when it is for one person only.
    pub whisper: Option<String>,
}

/// Takes a body apart. `{~}` divides pretext and text; what follows a second one is kept (the original loses it).
pub fn parts(body: &Value) -> Parts {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let message = text("message");
    let (pretext, rest) = match message.split_once("{~}") {
        Some((pretext, rest)) => (pretext.to_owned(), rest.replace("{~}", "")),
        None => (String::new(), message.to_owned()),
    };
    let some = |key: &str| Some(text(key)).filter(|t| !t.is_empty()).map(str::to_owned);
    let whisper = body.get("whisper").is_some_and(Value::is_truthy);
    let failed = matches!(text("status"), "failed" | "timeout" | "abandoned") || text("kind") == "error";
    Parts {
        mention: some("user"),
        pretext,
        text: rest,
        note: some("note"),
        failed,
        whisper: if whisper { some("user") } else { None },
    }
}

/// For networks of plain lines: `user: pretext`, new line, text. Blank lines at both ends are dropped.
///
/// A text of several lines begins on a line of its own, so that its columns stand below each other.
pub fn plain(parts: &Parts) -> String {
    let (pretext, text) = (parts.pretext.trim(), parts.text.trim_matches('\n'));
    let mut out = String::new();
    if let Some(mention) = &parts.mention {
        out.push_str(mention);
        out.push(':');
        if !pretext.is_empty() || !text.contains('\n') {
            out.push(' ');
        }
    }
    out.push_str(pretext);
    if !text.trim().is_empty() && (!pretext.is_empty() || parts.mention.is_some() && text.contains('\n')) {
        out.push('\n');
    }
    out.push_str(text);
    if let Some(note) = &parts.note {
        out.push(' ');
        out.push_str(note);
    }
    neutral(&out)
}

/// Without what a terminal would obey: control characters, escapes, marks that turn the direction of text.
///
/// New lines and tabs stay. The stored message keeps every byte; this is what is shown.
pub fn neutral(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => format!("\\u{{{:04X}}}", c as u32),
        c if c.is_control() => format!("\\u{{{:02X}}}", c as u32),
        c => c.to_string(),
    };
    if text.chars().all(|c| c == '\n' || c == '\t' || !(c.is_control() || ('\u{202a}'..='\u{2069}').contains(&c))) {
        return text.to_owned();
    }
    text.chars().map(shown).collect()
}

/// The body of a plain remark of the bot.
pub fn remark(kind: &str, user: &str, message: impl Into<String>) -> Map {
    let mut body = Map::new();
    body.insert("kind".into(), kind.into());
    body.insert("user".into(), user.into());
    body.insert("message".into(), message.into().into());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: &str) {
        let body = Value::from(remark("result", "alice", message));
        assert_eq!(plain(&parts(&body)), expected);
    }

    #[test]
    fn splitter() {
        check("done", "alice: done");
        check("head{~}body", "alice: head\nbody");
        check("all plain{~}", "alice: all plain");
        check("code  left\nK7Q   60 s", "alice:\ncode  left\nK7Q   60 s");
        check("a{~}b{~}c", "alice: a\nbc");
    }

    #[test]
    fn escapes_are_shown_not_obeyed() {
        check("a\u{1b}]0;title\u{7}b", "alice: a\\u{1B}]0;title\\u{07}b");
        check("x\u{202e}y", "alice: x\\u{202E}y");
        check("täglich → fein", "alice: täglich → fein");
    }
}
