//! What people can type.

use squall_engine::Content;
use squall_expr::alias::{HelpQuery, help};

/// Lines shown at most; the rest is counted.
const LINES: usize = 60;

/// The answer to `help` and `help WORDS`: one line for each thing to type, sorted, filtered by the words.
pub fn text(content: &Content, prefix: &str, words: &str) -> String {
    let aliases: Vec<_> =
        content.registry().aliases.values().filter(|a| a.enabled).map(|a| squall_engine::view::alias(a)).collect();
    let all = match help(&aliases, &HelpQuery::default()) {
        Ok(help) => help.entries,
        Err(error) => return format!("cannot list the commands: {error}"),
    };
    let needle = words.trim().to_lowercase();
    let mut lines: Vec<String> = all
        .iter()
        .map(|entry| match entry.description.trim() {
            "" => format!("{prefix}{}", entry.display),
            description => format!("{prefix}{} - {description}", entry.display),
        })
        .filter(|line| needle.is_empty() || line.to_lowercase().contains(&needle))
        .collect();
    lines.push(format!("{prefix}help [words] - this list"));
    lines.sort();
    lines.dedup();
    if lines.len() == 1 && !needle.is_empty() {
        return format!("no command mentions `{}`; `{prefix}help` lists all", words.trim());
    }
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    if more > 0 {
        lines.push(format!("… and {more} more: `{prefix}help WORDS` narrows the list"));
    }
    lines.join("\n")
}
