//! The life of an execution, as a table.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where an execution stands. The names are StackStorm's and go out on the wire as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Status {
    Requested,
    Scheduled,
    Delayed,
    Running,
    Succeeded,
    Failed,
    Timeout,
    Abandoned,
    Canceling,
    Canceled,
    Pending,
    Pausing,
    Paused,
    Resuming,
}

use Status::*;

/// Who may follow whom. Everything else is a bug or a late message, and is refused by name.
///
/// `Pending` is an execution held for a confirmation or an inquiry that waits for its answer.
const NEXT: &[(Status, &[Status])] = &[
    (Requested, &[Pending, Delayed, Scheduled, Running, Succeeded, Failed, Timeout, Canceling, Canceled]),
    (Pending, &[Requested, Scheduled, Running, Succeeded, Failed, Timeout, Canceling, Canceled]),
    (Delayed, &[Requested, Scheduled, Failed, Canceling, Canceled]),
    (Scheduled, &[Running, Requested, Delayed, Succeeded, Failed, Timeout, Canceling, Canceled, Abandoned]),
    // Back to scheduled: recovery found that the claimed attempt certainly never started.
    (Running, &[Scheduled, Pending, Pausing, Paused, Succeeded, Failed, Timeout, Canceling, Canceled, Abandoned]),
    (Pausing, &[Paused, Running, Succeeded, Failed, Timeout, Canceling, Canceled, Abandoned]),
    (Paused, &[Resuming, Running, Succeeded, Failed, Timeout, Canceling, Canceled, Abandoned]),
    (Resuming, &[Running, Pausing, Paused, Succeeded, Failed, Timeout, Canceling, Canceled, Abandoned]),
    (Canceling, &[Canceled, Succeeded, Failed, Timeout, Abandoned]),
    (Succeeded, &[]),
    // A workflow that failed can be run again from its failed tasks.
    (Failed, &[Running]),
    (Timeout, &[Running]),
    (Abandoned, &[Running]),
    (Canceled, &[]),
];

/// A change of status that the table does not allow.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("an execution that is {from} cannot become {to}")]
pub struct RefusedTransition {
    /// What it is.
    pub from: Status,
    /// What somebody wanted it to be.
    pub to: Status,
}

impl Status {
    /// Every status, in the order of the table.
    pub const ALL: [Status; 14] = [
        Requested, Scheduled, Delayed, Running, Succeeded, Failed, Timeout, Abandoned, Canceling, Canceled, Pending,
        Pausing, Paused, Resuming,
    ];

    /// Whether nothing more happens to it (re-runs aside).
    pub fn is_final(self) -> bool {
        matches!(self, Succeeded | Failed | Timeout | Abandoned | Canceled)
    }

    /// Whether it ended badly: what workflows treat as a failure.
    pub fn is_failure(self) -> bool {
        matches!(self, Failed | Timeout | Abandoned)
    }

    /// Whether a cancel request makes sense.
    pub fn is_cancelable(self) -> bool {
        !self.is_final() && self != Canceling
    }

    /// What may follow.
    pub fn next(self) -> &'static [Status] {
        NEXT.iter().find(|(from, _)| *from == self).map_or(&[], |(_, to)| to)
    }

    /// Checks a change against the table.
    pub fn to(self, to: Status) -> Result<Status, RefusedTransition> {
        if self.next().contains(&to) { Ok(to) } else { Err(RefusedTransition { from: self, to }) }
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Requested => "requested",
            Scheduled => "scheduled",
            Delayed => "delayed",
            Running => "running",
            Succeeded => "succeeded",
            Failed => "failed",
            Timeout => "timeout",
            Abandoned => "abandoned",
            Canceling => "canceling",
            Canceled => "canceled",
            Pending => "pending",
            Pausing => "pausing",
            Paused => "paused",
            Resuming => "resuming",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Status::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| format!("`{text}` is not a status"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_row_and_reads_back() {
        for status in Status::ALL {
            assert!(NEXT.iter().any(|(from, _)| *from == status), "{status}");
            assert_eq!(status.as_str().parse(), Ok(status));
        }
    }

    #[test]
    fn canceled_and_succeeded_are_forever() {
        assert!(Canceled.next().is_empty() && Succeeded.next().is_empty());
        assert_eq!(Succeeded.to(Running), Err(RefusedTransition { from: Succeeded, to: Running }));
    }
}
