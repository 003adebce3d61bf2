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

/// Remembers who was heard when.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    heard: HashMap<String, VecDeque<Timestamp>>,
}

impl Pace {
    /// Whether one more command of `person` may be taken at `now`.
    pub fn allows(&mut self, person: &str, now: Timestamp) -> bool {
        if self.heard.len() >= PEOPLE {
            self.heard.retain(|_, times| times.back().is_some_and(|t| now.since(*t) < WINDOW));
        }
        let times = self.heard.entry(person.to_owned()).or_default();
        while times.front().is_some_and(|t| now.since(*t) >= WINDOW) {
            times.pop_front();
        }
        if times.len() >= BURST {
            return false;
        }
        times.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_cut_and_forgiven() {
        let mut pace = Pace::default();
        let start = Timestamp::from_micros(0);
        assert!((0..BURST).all(|_| pace.allows("a", start)));
        assert!(!pace.allows("a", start));
        assert!(pace.allows("b", start));
        assert!(pace.allows("a", start.after(WINDOW)));
    }
}
