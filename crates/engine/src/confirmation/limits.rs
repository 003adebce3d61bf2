//! How often things may be tried, as counters over times. They never lock a record: only whoever guesses is ignored.
//!
//! Start reading at [`Guesses`].

use super::code::Length;
use crate::limits as bounds;
use serde::{Deserialize, Serialize};
use squall_model::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// The span in which wrong codes are counted, and for which somebody is ignored.
pub const GUESS_SPAN: Duration = Duration::from_secs(600);
/// Wrong, well-formed codes of a person in that span.
pub const GUESSES_PER_PERSON: usize = 5;
/// The same in a channel.
pub const GUESSES_PER_CHANNEL: usize = 20;
/// Wrong codes over the whole server in an hour that raise the alarm.
pub const GUESSES_PER_SERVER: usize = 100;
/// Questions to one approver in an hour; more are told in one message.
pub const QUESTIONS_PER_APPROVER: usize = 30;
/// Questions to one channel in a minute; more wait.
pub const QUESTIONS_PER_CHANNEL: usize = 10;

/// Times that are kept of one thing: more than any bound here, so that nothing is lost by forgetting the oldest.
const MOST_COUNTED: usize = 2 * GUESSES_PER_SERVER;
/// People and channels whose wrong codes are counted; those beyond are answered nothing.
const MOST_WATCHED: usize = 10_000;

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// Times within a span, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window(VecDeque<Timestamp>);

impl Window {
    /// How many there are within `span` before `now`.
    pub fn count(&self, now: Timestamp, span: Duration) -> usize {
        self.0.iter().filter(|at| now.since(**at) < span).count()
    }

    /// Adds one and forgets what is older than `span`; answers the count.
    pub fn add(&mut self, now: Timestamp, span: Duration) -> usize {
        self.0.retain(|at| now.since(*at) < span);
        self.0.push_back(now);
        if self.0.len() > MOST_COUNTED {
            self.0.pop_front();
        }
        self.0.len()
    }

    /// When the newest was.
    pub fn last(&self) -> Option<Timestamp> {
        self.0.back().copied()
    }

    fn is_over(&self, now: Timestamp, span: Duration) -> bool {
        self.last().is_none_or(|at| now.since(at) >= span)
    }
}

/// What follows from a wrong code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guessed {
    /// The usual answer.
    Answer,
    /// This one went too far: M21, then silence for the span.
    TooMany,
    /// Silence, and a line in the audit log.
    Silence,
}

/// Who guessed how often.
#[derive(Debug, Clone, Default)]
pub struct Guesses {
    people: HashMap<String, Window>,
    ignored: HashMap<String, Timestamp>,
    channels: HashMap<String, Window>,
    server: Window,
}

impl Guesses {
    /// Until when a person is ignored, if they are.
    pub fn ignored_until(&self, person: &str, now: Timestamp) -> Option<Timestamp> {
        self.ignored.get(person).copied().filter(|until| now < *until)
    }

    /// Notes a wrong, well-formed code. Typos are no guesses and are not noted.
    pub fn wrong(&mut self, person: &str, channel: Option<&str>, now: Timestamp) -> Guessed {
        self.forget(now);
        self.server.add(now, HOUR);
        if self.ignored_until(person, now).is_some() {
            return Guessed::Silence;
        }
        let is_full =
            |known: &HashMap<String, Window>, key: &str| known.len() >= MOST_WATCHED && !known.contains_key(key);
        let of_others = channel.is_some_and(|channel| is_full(&self.channels, channel));
        if of_others || is_full(&self.people, person) || self.ignored.len() >= MOST_WATCHED {
            return Guessed::Silence;
        }
        let of_channel = channel.map(|c| self.channels.entry(c.to_owned()).or_default().add(now, GUESS_SPAN));
        let of_person = self.people.entry(person.to_owned()).or_default().add(now, GUESS_SPAN);
        if of_person >= GUESSES_PER_PERSON {
            self.ignored.insert(person.to_owned(), now.after(GUESS_SPAN));
            self.people.remove(person);
            return Guessed::TooMany;
        }
        if of_channel.is_some_and(|n| n > GUESSES_PER_CHANNEL) { Guessed::Silence } else { Guessed::Answer }
    }

    /// Whether somebody must be alarmed: many wrong codes over the whole server.
    pub fn is_alarming(&self, now: Timestamp) -> bool {
        self.server.count(now, HOUR) >= GUESSES_PER_SERVER
    }

    /// How long new codes are: longer while there is an alarm.
    pub fn code_length(&self, now: Timestamp) -> Length {
        if self.is_alarming(now) { Length::Long } else { Length::Usual }
    }

    fn forget(&mut self, now: Timestamp) {
        self.people.retain(|_, window| !window.is_over(now, GUESS_SPAN));
        self.channels.retain(|_, window| !window.is_over(now, GUESS_SPAN));
        self.ignored.retain(|_, until| now < *until);
    }
}

/// How many confirmations may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenLimits {
    /// Of one requester.
    pub requester: usize,
    /// Asked in one channel.
    pub channel: usize,
    /// In all.
    pub total: usize,
}

impl Default for OpenLimits {
    fn default() -> OpenLimits {
        OpenLimits {
            requester: bounds::OPEN_OF_REQUESTER as usize,
            channel: bounds::OPEN_IN_CHANNEL as usize,
            total: bounds::OPEN_IN_ALL as usize,
        }
    }
}

impl OpenLimits {
    /// Whether one more fits; otherwise how many wait already, and of whom, for the text.
    pub fn fits(&self, open: OpenLimits) -> Result<(), (usize, &'static str)> {
        let checks = [
            (open.requester, self.requester, "of yours"),
            (open.channel, self.channel, "in this channel"),
            (open.total, self.total, "in all"),
        ];
        checks.into_iter().find(|(n, most, _)| n >= most).map_or(Ok(()), |(n, _, scope)| Err((n, scope)))
    }
}

/// What to do with one more question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Ask now.
    Now,
    /// Wait: not before that time.
    Later(Timestamp),
    /// Collect into one message.
    Collect,
}

/// The pace of questions in a channel.
pub fn channel_pace(asked: &Window, now: Timestamp) -> Pace {
    if asked.count(now, MINUTE) < QUESTIONS_PER_CHANNEL {
        return Pace::Now;
    }
    let oldest = asked.0.iter().find(|at| now.since(**at) < MINUTE).copied().unwrap_or(now);
    Pace::Later(oldest.after(MINUTE))
}

/// How long questions are collected for somebody who was asked too often.
pub const COLLECTED_FOR: Duration = Duration::from_secs(600);

/// When questions leave for each channel and person, and how many wait in all. In memory: a restart forgives.
#[derive(Debug, Clone, Default)]
pub struct Paces {
    asked: HashMap<String, Window>,
    people: HashMap<String, Window>,
    collecting: HashMap<String, Timestamp>,
    open: Option<(Timestamp, usize)>,
}

/// For so long the number of all that wait is counted on instead of anew: at its limit counting takes a millisecond.
const COUNTED: Duration = Duration::from_secs(1);

impl Paces {
    /// When a question for a channel may leave that is asked now; it counts as asked then.
    pub fn ask(&mut self, channel: &str, now: Timestamp) -> Timestamp {
        self.asked.retain(|_, window| !window.is_over(now, MINUTE));
        let window = self.asked.entry(channel.to_owned()).or_default();
        // Those that wait already are asked first: the tenth before this one says when there is room.
        let earlier = window.0.len().checked_sub(QUESTIONS_PER_CHANNEL).and_then(|at| window.0.get(at));
        let at = earlier.map_or(now, |at| at.after(MINUTE).max(now));
        window.0.push_back(at);
        if window.0.len() > 2 * QUESTIONS_PER_CHANNEL {
            window.0.pop_front();
        }
        at
    }

    /// Whether a question for one person, by their private channel, leaves now; otherwise when it is told along with others.
    pub fn ask_person(&mut self, channel: &str, now: Timestamp) -> Option<Timestamp> {
        self.people.retain(|_, window| !window.is_over(now, HOUR));
        self.collecting.retain(|_, until| now < *until);
        let window = self.people.entry(channel.to_owned()).or_default();
        if approver_pace(window, now) == Pace::Collect {
            return Some(*self.collecting.entry(channel.to_owned()).or_insert(now.after(COLLECTED_FOR)));
        }
        window.add(now, HOUR);
        None
    }

    /// How many wait in all before one more does.
    pub fn open<E>(&mut self, now: Timestamp, count: impl FnOnce() -> Result<usize, E>) -> Result<usize, E> {
        let known = self.open.filter(|(at, _)| now >= *at && now.since(*at) < COUNTED);
        let (at, open) = match known {
            Some(known) => known,
            None => (now, count()?),
        };
        self.open = Some((at, open + 1));
        Ok(open)
    }
}

/// The pace of questions to one approver.
pub fn approver_pace(asked: &Window, now: Timestamp) -> Pace {
    if asked.count(now, HOUR) < QUESTIONS_PER_APPROVER { Pace::Now } else { Pace::Collect }
}

/// By how much a deadline moves when its question could not leave: only when more than a fifth of the time is gone.
pub fn delay_moves_deadline(waited: Duration, timeout: Duration) -> Option<Duration> {
    (waited > timeout / 5).then_some(waited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn guess_limit() {
        let mut guesses = Guesses::default();
        for n in 0..4 {
            assert_eq!(guesses.wrong("u", Some("c"), at(n)), Guessed::Answer);
        }
        assert_eq!(guesses.wrong("u", Some("c"), at(4)), Guessed::TooMany);
        assert_eq!(guesses.wrong("u", Some("c"), at(5)), Guessed::Silence);
        assert_eq!(guesses.wrong("v", Some("c"), at(5)), Guessed::Answer);
        assert_eq!(guesses.ignored_until("u", at(603)), Some(at(604)));
        assert_eq!(guesses.ignored_until("u", at(604)), None);
        assert_eq!(guesses.wrong("u", Some("c"), at(604)), Guessed::Answer);
    }

    #[test]
    fn slow_typing_is_no_guessing() {
        let mut guesses = Guesses::default();
        for n in 0..50 {
            assert_eq!(guesses.wrong("u", None, at(n * 151)), Guessed::Answer, "{n}");
        }
    }

    #[test]
    fn a_channel_falls_silent_and_the_server_is_alarmed() {
        let mut guesses = Guesses::default();
        let said: Vec<_> = (0..100).map(|n| guesses.wrong(&format!("u{n}"), Some("c"), at(n))).collect();
        assert!(said[..20].iter().all(|g| *g == Guessed::Answer));
        assert!(said[20..].iter().all(|g| *g == Guessed::Silence));
        assert_eq!(guesses.code_length(at(100)), Length::Long);
        assert_eq!(guesses.code_length(at(3_700)), Length::Usual);
    }

    /// Names and channels that somebody makes up cost no more than so much memory.
    #[test]
    fn made_up_names_fill_no_memory() {
        let mut guesses = Guesses::default();
        for n in 0..15_000 {
            guesses.wrong(&format!("u{n}"), Some(&format!("c{n}")), at(0));
        }
        assert_eq!((guesses.people.len(), guesses.channels.len()), (10_000, 10_000));
        assert_eq!((guesses.server.0.len(), guesses.is_alarming(at(0))), (200, true));
        assert_eq!(guesses.wrong("new", Some("c1"), at(1)), Guessed::Silence);
        assert_eq!(guesses.wrong("new", Some("c1"), at(601)), Guessed::Answer);
    }

    #[test]
    fn open_limits() {
        let limits = OpenLimits::default();
        assert_eq!(limits.fits(OpenLimits { requester: 19, channel: 99, total: 99_999 }), Ok(()));
        assert_eq!(limits.fits(OpenLimits { requester: 20, channel: 0, total: 20 }), Err((20, "of yours")));
        assert_eq!(limits.fits(OpenLimits { requester: 0, channel: 100, total: 100 }), Err((100, "in this channel")));
    }

    #[test]
    fn ten_questions_a_minute_leave_for_a_channel() {
        let mut paces = Paces::default();
        let left: Vec<_> = (0..25).map(|_| paces.ask("c", at(0))).collect();
        assert!(left[..10].iter().all(|t| *t == at(0)));
        assert!(left[10..20].iter().all(|t| *t == at(60)));
        assert!(left[20..].iter().all(|t| *t == at(120)));
        assert_eq!(paces.ask("d", at(0)), at(0));
        assert_eq!(paces.ask("d", at(200)), at(200));
    }

    #[test]
    fn the_thirty_first_question_within_an_hour_is_collected() {
        let mut paces = Paces::default();
        for n in 0..30 {
            assert_eq!(paces.ask_person("@bob", at(n)), None);
        }
        assert_eq!(paces.ask_person("@bob", at(100)), Some(at(700)));
        assert_eq!(paces.ask_person("@bob", at(400)), Some(at(700)), "told along with the one before");
        assert_eq!(paces.ask_person("@carol", at(400)), None);
        assert_eq!(paces.ask_person("@bob", at(700)), Some(at(1_300)));
        assert_eq!(paces.ask_person("@bob", at(3_600)), None, "the first was an hour ago");
    }

    #[test]
    fn questions_are_paced() {
        let mut channel = Window::default();
        for n in 0..10 {
            assert_eq!(channel_pace(&channel, at(n)), Pace::Now);
            channel.add(at(n), HOUR);
        }
        assert_eq!(channel_pace(&channel, at(10)), Pace::Later(at(60)));
        assert_eq!(channel_pace(&channel, at(60)), Pace::Now);
        assert_eq!(delay_moves_deadline(Duration::from_secs(12), Duration::from_secs(60)), None);
        assert_eq!(
            delay_moves_deadline(Duration::from_secs(13), Duration::from_secs(60)),
            Some(Duration::from_secs(13))
        );
    }
}
