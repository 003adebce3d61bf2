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
        let (day, micros) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let (year, month, day) = civil(day);
        if (0..=9999).contains(&year) {
            return iso(year, month, day, micros);
        }
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

/// Written by hand: results of workflows hold two moments for each task.
fn iso(year: i64, month: i64, day: i64, micros: i64) -> String {
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut put = |place: usize, digits: usize, mut number: i64| {
        for place in (place..place + digits).rev() {
            text[place] = b'0' + (number % 10).unsigned_abs() as u8;
            number /= 10;
        }
    };
    let second = micros / 1_000_000;
    put(0, 4, year);
    for (place, part) in [(5, month), (8, day), (11, second / 3600), (14, second / 60 % 60), (17, second % 60)] {
        put(place, 2, part);
    }
    put(20, 6, micros % 1_000_000);
    String::from_utf8_lossy(&text).into_owned()
}

/// Year, month and day of a day counted from 1970-01-01, by the calendar of eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months counted from March, so that the day that leap years add comes last.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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

    #[test]
    fn moments_are_those_of_the_calendar() {
        let micros =
            [0, -1, 951_868_799_999_999, 4_107_542_400_000_000, 1_456_790_399_000_001, -62_167_219_200_000_000];
        for micros in micros.into_iter().chain((0..2_000).map(|n| n * 86_399_123_456 * 17)) {
            let told =
                jiff::Timestamp::from_microsecond(micros).unwrap().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
            assert_eq!(Timestamp::from_micros(micros).to_iso(), told);
        }
    }
}
