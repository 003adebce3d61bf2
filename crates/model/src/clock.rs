//! Time and identity as arguments.
//!
//! Nobody outside an implementation of these traits reads the machine's clock or its random source, so
//! a test can run the whole engine on a virtual clock with numbered ids.

use crate::ExecutionId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// A moment of wall-clock time: microseconds since 1970-01-01T00:00:00Z, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The moment `duration` later; stays at the end of time rather than overflow.
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(micros))
    }

    /// How long from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// `2016-01-21T17:28:39.012345Z`: StackStorm's form, always with six digits.
    pub fn to_iso(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            Err(_) => format!("{}us", self.0),
        }
    }

    /// Reads an RFC 3339 text; `None` when it is not one.
    pub fn parse_iso(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Timestamp(t.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_iso())
    }
}

/// Where `now` comes from.
pub trait Clock: Send + Sync {
    /// The wall clock: for dates that people and other systems see.
    fn now(&self) -> Timestamp;
    /// A clock that never goes back: for durations. Its zero has no meaning.
    fn monotonic(&self) -> Duration;
}

/// Where identity and randomness come from.
pub trait Ids: Send + Sync {
    /// A fresh execution id; never the same twice.
    fn execution(&self) -> ExecutionId;
    /// Fills `bytes` with unpredictable ones (predictable in a simulation).
    fn fill(&self, bytes: &mut [u8]);

    /// A random hexadecimal text of `bytes` random bytes.
    fn hex(&self, bytes: usize) -> String {
        let mut raw = vec![0u8; bytes];
        self.fill(&mut raw);
        raw.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// A random UUID (version 4) in its usual text form.
    fn uuid(&self) -> String {
        let mut b = [0u8; 16];
        self.fill(&mut b);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let h: String = b.iter().map(|x| format!("{x:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_has_six_digits_and_reads_back() {
        let t = Timestamp::from_micros(1_453_397_319_012_300);
        assert_eq!(t.to_iso(), "2016-01-21T17:28:39.012300Z");
        assert_eq!(Timestamp::parse_iso(&t.to_iso()), Some(t));
    }
}
