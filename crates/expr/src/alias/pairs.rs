//! The `key=value` pairs at the end of a command.

use super::blank;
use regex::Regex;
use squall_model::Str;
use std::sync::LazyLock;

const PAIR: &str = r#"(?:^|\s+)\s*(\S+?)\s*=(""|''|"(.+?)"|'(.+?)'|(\{.+?\})|(\S+))"#;

static ENDING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(r"(?s)^.*?((?:(?:{PAIR})\s*)*)$")).expect("a constant that the tests compile")
});

static PAIRS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("(?s){PAIR}")).expect("a constant that the tests compile"));

/// A command without its trailing pairs.
#[derive(Debug, Clone)]
pub(super) struct Split {
    /// What is left, with a blank on either side: what formats are matched against.
    pub(super) stream: String,
    /// The pairs, quotes removed.
    pub(super) pairs: Vec<(Str, Str)>,
    /// Whether the command as typed was nothing but blanks.
    pub(super) blank: bool,
}

/// Cuts the trailing pairs off; the text cut is removed wherever it occurs, as StackStorm does.
pub(super) fn split(command: &str) -> Split {
    split_if(command, |_| true)
}

/// The same, as long as every pair has a name that `declared` knows; otherwise nothing is cut.
pub(super) fn split_if(command: &str, declared: impl Fn(&str) -> bool) -> Split {
    let none = || Split { stream: format!(" {command} "), pairs: Vec::new(), blank: command.chars().all(blank) };
    if !command.contains('=') {
        return none();
    }
    let run = ENDING.captures(command).and_then(|c| c.get(1)).map_or("", |m| m.as_str());
    if run.is_empty() {
        return none();
    }
    let pairs: Vec<(Str, Str)> = PAIRS
        .captures_iter(run)
        .map(|c| {
            let value: String = (3..=6).filter_map(|group| c.get(group)).map(|m| m.as_str()).collect();
            (c[1].into(), value.into())
        })
        .collect();
    if !pairs.iter().all(|(name, _)| declared(name)) {
        return none();
    }
    Split { stream: format!(" {} ", command.replace(run, "")), pairs, blank: command.chars().all(blank) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, stream: &str, pairs: &[(&str, &str)]) {
        let split = split(command);
        let found: Vec<_> = split.pairs.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!((split.stream.as_str(), found.as_slice()), (stream, pairs));
    }

    #[test]
    fn only_an_unbroken_run_at_the_end() {
        check("run ls --flag=1 x", " run ls --flag=1 x ", &[]);
        check("run ls a=1, b=2", " run ls ", &[("a", "1,"), ("b", "2")]);
        check("bar x a=b c='d e' f={\"g\": 1}", " bar x ", &[("a", "b"), ("c", "d e"), ("f", "{\"g\": 1}")]);
        check("a=b", "  ", &[("a", "b")]);
        check("run x a = b", " run x a = b ", &[]);
    }

    #[test]
    fn every_occurrence_is_removed() {
        check("say a=b to a=b", " say to ", &[("a", "b")]);
    }
}
