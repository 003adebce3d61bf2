//! Nobody can flood the bot: so many commands of one person in so many seconds, and no more.

use squall_model::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Commands of one person within [`WINDOW`].
const BURST: usize = 20;
/// The window.
const WINDOW: Duration = Duration::from_secs(10);
/// People that are remembered; beyond it those who were quiet are forgotten.
const PEOPLE: usize = 10_000;

/// How often somebody is told that they are too fast.
const TOLD: Duration = Duration::from_secs(60);

/// What becomes of one more command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paced {
    /// It is taken.
    Taken,
    /// It is not, and they are told why.
    TooFast,
    /// It is not, and they were told a moment ago.
    Silence,
}

/// What is remembered of one person.
#[derive(Debug, Default)]
struct Times {
    heard: VecDeque<Timestamp>,
    told: Option<Timestamp>,
}

/// Remembers who was heard when.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    people: HashMap<String, Times>,
}

impl Pace {
    /// Whether one more command of `person` is taken at `now`.
    pub fn hear(&mut self, person: &str, now: Timestamp) -> Paced {
        if self.people.len() >= PEOPLE {
            self.people.retain(|_, times| times.heard.back().is_some_and(|t| now.since(*t) < TOLD));
        }
        let times = self.people.entry(person.to_owned()).or_default();
        while times.heard.front().is_some_and(|t| now.since(*t) >= WINDOW) {
            times.heard.pop_front();
        }
        if times.heard.len() < BURST {
            times.heard.push_back(now);
            return Paced::Taken;
        }
        if times.told.is_some_and(|t| now.since(t) < TOLD) {
            return Paced::Silence;
        }
        times.told = Some(now);
        Paced::TooFast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_cut_and_forgiven() {
        let mut pace = Pace::default();
        let start = Timestamp::from_micros(0);
        assert!((0..BURST).all(|_| pace.hear("a", start) == Paced::Taken));
        assert_eq!(pace.hear("a", start), Paced::TooFast);
        assert_eq!(pace.hear("a", start), Paced::Silence, "what is said back is no flood either");
        assert_eq!(pace.hear("b", start), Paced::Taken);
        let later = start.after(WINDOW);
        assert!((0..BURST).all(|_| pace.hear("a", later) == Paced::Taken));
        assert_eq!(pace.hear("a", later), Paced::Silence);
        assert!((0..BURST).all(|_| pace.hear("a", start.after(TOLD)) == Paced::Taken));
        assert_eq!(pace.hear("a", start.after(TOLD)), Paced::TooFast);
    }
}
