//! Where a simulation stops that does not come to an end.
//!
//! A loop that adds to a list each time keeps all of those lists, because a real run keeps them too; so it is not enough to
//! count reports. The bounds leave room for the largest workflows that the server is made for.

use crate::weight::weight;
use serde::Serialize;

/// Ends of actions and timers that are heard.
const REPORTS: usize = 50_000;

/// What results, variables and the trace may weigh together. The process takes a little less than that with numbers, and up to
/// twice as much with small maps.
const BYTES: usize = 512 << 20;

/// What a simulation has cost so far.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    reports: usize,
    bytes: usize,
}

impl Bound {
    /// One more report is heard.
    pub fn hear(&mut self) {
        self.reports += 1;
    }

    /// Something is kept.
    pub fn keep(&mut self, what: &impl Serialize) {
        self.bytes += weight(what);
    }

    /// Why it stops here, if it does.
    pub fn exceeded(&self) -> Option<String> {
        let what = match () {
            () if self.reports > REPORTS => format!("{REPORTS} reports"),
            () if self.bytes > BYTES => {
                format!("{} reports and {} MiB of variables and results", self.reports, BYTES >> 20)
            }
            () => return None,
        };
        Some(format!("the simulation does not come to an end; it was stopped after {what}"))
    }
}
