//! Is this for the bot? `!run x`, `! run x`, `!: run x`, `squall run x`, `@squall: run x` are the same command.

/// The command in `text`, if it is addressed to the bot by its prefix or its name; everything after it, new lines included.
///
/// White space, then optionally `@`, then the prefix or the name (upper and lower case alike), then optionally one of `:` and `,`,
/// then white space. A name must end there: `squalls` is another word.
pub fn command<'a>(text: &'a str, prefix: &str, name: &str) -> Option<&'a str> {
    let text = text.trim_start();
    let text = text.strip_prefix('@').unwrap_or(text);
    let rest = strip(text, prefix).or_else(|| strip(text, name).filter(|rest| ends_word(rest)))?;
    let rest = rest.strip_prefix([':', ',']).unwrap_or(rest);
    let command = rest.trim_start();
    (!command.trim().is_empty()).then_some(command)
}

/// `text` without `head`, compared without case.
fn strip<'a>(text: &'a str, head: &str) -> Option<&'a str> {
    if head.is_empty() {
        return None;
    }
    let mut rest = text.chars();
    for wanted in head.chars() {
        let found = rest.next()?;
        if found != wanted && !found.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(rest.as_str())
}

fn ends_word(rest: &str) -> bool {
    rest.chars().next().is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(command(text, "!", "squall"), expected, "{text}");
    }

    #[test]
    fn addressed() {
        for text in ["!run x", "! run x", "  !: run x", "squall run x", "@squall: run x", "SQUALL, run x", "@!run x"] {
            check(text, Some("run x"));
        }
        check("!say a\nb", Some("say a\nb"));
    }

    #[test]
    fn not_addressed() {
        for text in ["run x", "squalls run x", "hello squall run x", "!", "  ", "", "squall", "squall-two x"] {
            check(text, None);
        }
    }
}
