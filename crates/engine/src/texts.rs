//! What squall says to people, in one place so that it can be read in one go.
//!
//! Answer first: what happened, to what, then why, then what to do. Backticks around what can be typed.

use squall_model::{ActionRef, ExecutionId};

/// The acknowledgement when an alias has none of its own.
pub fn acknowledged(action: &ActionRef, id: ExecutionId) -> String {
    format!("started `{action}` as {id}")
}

/// The tail of an acknowledgement when there is a page about the execution.
pub fn details_at(url: &str) -> String {
    format!(" (details available at {url})")
}

/// A line that no alias knows; `near` is the closest thing to type after the prefix.
pub fn no_such_command(prefix: &str, command: &str, near: Option<&str>) -> String {
    let hint = match near {
        Some(near) => format!("did you mean `{prefix}{near}`? `{prefix}help` lists all commands"),
        None => format!("`{prefix}help` lists all commands"),
    };
    format!("I do not know the command `{}`; {hint}", shorten(command))
}

/// A line that several aliases know.
pub fn ambiguous(command: &str, candidates: &[String]) -> String {
    format!(
        "`{}` fits {} commands, so nothing was started: {}",
        shorten(command),
        candidates.len(),
        candidates.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
    )
}

/// How somebody in chat shows that an account is theirs; for their eyes alone.
pub fn link_code(code: &str) -> String {
    format!(
        "to say that you are a squall user, type this with your account's token within ten minutes: `squall link {code}`"
    )
}

/// A line longer than any command may be.
pub fn too_long(bytes: usize, bound: u64) -> String {
    format!("this command has {bytes} bytes, at most {bound} are read; nothing was started")
}

/// A refused command.
pub fn refused(why: &str) -> String {
    format!("not started: {why}")
}

/// What is said to whoever wants something of a server that is stopping.
pub const DRAINING: &str = "the server is stopping, try again when it is back";

/// A command that was typed before the server went away, and came to the bot long after.
pub fn too_late(command: &str) -> String {
    format!("the server was away when you typed `{}`; if you saw no answer to it, type it again", shorten(command))
}

/// A command that matched only because something was forgiven.
pub fn forgiven(representation: &str) -> String {
    format!("(read as `{representation}`)")
}

/// The most of a person's text that is quoted back.
const QUOTED: usize = 120;

/// A person's text, cut to what is worth quoting.
pub fn shorten(text: &str) -> String {
    if text.chars().count() <= QUOTED {
        return text.to_owned();
    }
    let head: String = text.chars().take(QUOTED).collect();
    format!("{head}…")
}

/// Seconds as StackStorm writes them: `0s`, `59s`, `1h2m5s`, `1y0d0h0m0s`; below a second the number with `μs`, as it does.
pub fn human_time(seconds: f64) -> String {
    if seconds == 0.0 {
        return "0s".into();
    }
    if seconds < 1.0 {
        return format!("{}μs", squall_expr::python::str(&squall_model::Value::Float(seconds)));
    }
    let mut left = seconds.round() as u64;
    let units = [(365 * 86_400, 'y'), (86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let mut out = String::new();
    for (length, unit) in units {
        let count = left / length;
        left %= length;
        if count > 0 || !out.is_empty() || unit == 's' {
            out.push_str(&format!("{count}{unit}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_stackstorms() {
        for (seconds, text) in [(0.0, "0s"), (5.0, "5s"), (60.0, "1m0s"), (3600.0, "1h0m0s"), (93_605.0, "1d2h0m5s")] {
            assert_eq!(human_time(seconds), text);
        }
    }
}
