//! A question on the screen: the same text as everywhere, with a countdown that runs, and what it becomes when it is finished.
//!
//! The text comes from the server; only its time and, at the end, its first line and the ways to answer are replaced.

use squall_chat::adapters::terminal::{Asks, Edited};
use squall_engine::confirmation::texts::human;
use squall_model::Timestamp;

/// Lines that tell how to answer begin like this.
const WAYS: [&str; 2] = ["Confirm: ", "Approve: "];

/// A question that was shown.
#[derive(Debug, Clone)]
pub struct Question {
    /// Which confirmation.
    pub confirmation: String,
    /// Its code.
    pub code: String,
    /// The number of the message: the thread that it began.
    pub thread: i64,
    /// Whether it was asked in private.
    pub private: bool,
    text: String,
    expires: Option<Timestamp>,
    ended: Option<String>,
}

impl Question {
    /// The question of a message.
    pub fn new(asks: &Asks, thread: i64, private: bool, text: &str) -> Question {
        Question {
            confirmation: asks.confirmation.clone(),
            code: asks.code.clone(),
            thread,
            private,
            text: text.to_owned(),
            expires: Timestamp::parse_iso(&asks.expires_at),
            ended: None,
        }
    }

    /// Whether it can still be answered, as far as this client knows.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.expires.is_none_or(|at| now < at)
    }

    /// Takes in how it ended.
    pub fn end(&mut self, edited: &Edited) {
        self.ended = Some(edited.text.lines().next().unwrap_or_default().to_owned());
    }

    /// Whether the server said how it ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Its text at a moment.
    pub fn text(&self, now: Timestamp) -> String {
        match &self.ended {
            None => self.waiting(now),
            Some(first) => self.finished(first),
        }
    }

    /// With the time that is left now, and how to answer in its thread.
    fn waiting(&self, now: Timestamp) -> String {
        let left = self.expires.map(|at| human(at.since(now)));
        let text = match (self.countdown(), left) {
            (Some((from, to)), Some(left)) => {
                let (head, tail) = (self.text.get(..from), self.text.get(to..));
                format!("{}{left}{}", head.unwrap_or_default(), tail.unwrap_or_default())
            }
            _ => self.text.clone(),
        };
        format!("{text}\nOr in its thread: /reply {} yes     /reply {} no", self.code, self.code)
    }

    /// Where in the text the time that is left stands: the last place, since values stand before it.
    fn countdown(&self) -> Option<(usize, usize)> {
        let to = self.text.rfind(" left, until ")?;
        let from = self.text.get(..to)?.rfind('(')? + 1;
        Some((from, to))
    }

    fn finished(&self, first: &str) -> String {
        let mut lines: Vec<&str> = self.text.lines().collect();
        let mention = lines.first().and_then(|l| l.split_once("⚠")).map_or("", |(mention, _)| mention);
        let first = format!("{mention}{first}");
        if let Some(line) = lines.first_mut() {
            *line = &first;
        }
        lines.retain(|line| !WAYS.iter().any(|way| line.starts_with(way)));
        let mut kept: Vec<&str> = lines.into_iter().map(settled).collect();
        kept.push("Finished: it can no longer be answered.");
        kept.join("\n")
    }
}

/// A line of a finished question: the fingerprint stays, what was true while it waited goes.
fn settled(line: &str) -> &str {
    let waiting = [". Nothing has been started.", ". ("];
    let is_fingerprint = line.starts_with("Fingerprint ");
    waiting.iter().filter(|_| is_fingerprint).find_map(|tail| line.split_once(tail)).map_or(line, |(head, _)| head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "⚠ alice (@alice), please confirm.\nops.x\n  note  (1 s left, until x)\nRule: r\nFingerprint 9f2a-11c0. Nothing has been started.\n\
        Confirm: !confirm K7Q-4M9     Stop: !deny K7Q-4M9     (60 s left, until 14:03:20 UTC)";

    fn question() -> Question {
        let asks =
            Asks { confirmation: "01".into(), code: "K7Q-4M9".into(), expires_at: "2026-02-01T14:03:20Z".into() };
        Question::new(&asks, 3, false, TEXT)
    }

    fn at(time: &str) -> Timestamp {
        Timestamp::parse_iso(&format!("2026-02-01T{time}Z")).unwrap()
    }

    #[test]
    fn only_the_time_runs() {
        let text = question().text(at("14:02:38"));
        assert!(text.contains("(42 s left, until 14:03:20 UTC)"), "{text}");
        assert!(text.contains("note  (1 s left, until x)"), "a value stays as it is: {text}");
        assert!(text.ends_with("/reply K7Q-4M9 yes     /reply K7Q-4M9 no"), "{text}");
    }

    #[test]
    fn finished_it_says_so_and_cannot_be_answered() {
        let mut question = question();
        question.end(&Edited {
            seq: 9,
            confirmation: "01".into(),
            text: "▶ Confirmed by alice (@alice) at 14:02:50 UTC.".into(),
            state: "released".into(),
        });
        assert!(!question.is_open(at("14:02:50")));
        assert_eq!(
            question.text(at("14:02:50")),
            "▶ Confirmed by alice (@alice) at 14:02:50 UTC.\nops.x\n  note  (1 s left, until x)\nRule: r\nFingerprint 9f2a-11c0\n\
             Finished: it can no longer be answered."
        );
    }

    #[test]
    fn after_its_time_it_is_not_open() {
        assert!(question().is_open(at("14:03:19")));
        assert!(!question().is_open(at("14:03:20")));
    }
}
