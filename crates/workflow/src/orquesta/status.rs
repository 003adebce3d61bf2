//! The two state machines of Orquesta, as tables: a task's status and the workflow's.
//!
//! Everything here is a pure function of statuses and counts. A request or event that has no entry is ignored; whether
//! that is worth an error is for the caller to say. The rows are those of the reference conductor, release 1.6.0.

use serde::{Deserialize, Serialize};
use squall_model::Status as Known;
use std::fmt;

/// Where a task, an item or the workflow stands. Orquesta knows two more than the rest of squall: a task that was
/// entered and never started, and one that will be tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Status {
    /// Not started; reads as the text `null`.
    #[default]
    Unset,
    Requested,
    Scheduled,
    Delayed,
    Running,
    Pending,
    Pausing,
    Paused,
    Resuming,
    Succeeded,
    Failed,
    Timeout,
    Abandoned,
    /// Ended, and will be tried again.
    Retrying,
    Canceling,
    Canceled,
}

use Status::*;

impl Status {
    /// Every status.
    pub const ALL: [Status; 16] = [
        Unset, Requested, Scheduled, Delayed, Running, Pending, Pausing, Paused, Resuming, Succeeded, Failed, Timeout,
        Abandoned, Retrying, Canceling, Canceled,
    ];

    /// Requested to pending: what a start may report, in order.
    pub fn is_starting(self) -> bool {
        matches!(self, Requested | Scheduled | Delayed | Running | Pending)
    }

    /// Something is going on.
    pub fn is_active(self) -> bool {
        matches!(self, Requested | Scheduled | Delayed | Running | Resuming | Pausing | Canceling)
    }

    /// Nothing more happens to it, reruns aside.
    pub fn is_completed(self) -> bool {
        matches!(self, Succeeded | Failed | Timeout | Abandoned | Canceled)
    }

    /// It ended badly.
    pub fn is_abended(self) -> bool {
        matches!(self, Failed | Timeout | Abandoned)
    }

    /// It waits for somebody.
    pub fn is_paused(self) -> bool {
        matches!(self, Paused | Pending)
    }

    /// The name on the wire; a task that has not started has the text `null`.
    pub fn as_str(self) -> &'static str {
        match self {
            Unset => "null",
            Requested => "requested",
            Scheduled => "scheduled",
            Delayed => "delayed",
            Running => "running",
            Pending => "pending",
            Pausing => "pausing",
            Paused => "paused",
            Resuming => "resuming",
            Succeeded => "succeeded",
            Failed => "failed",
            Timeout => "timeout",
            Abandoned => "abandoned",
            Retrying => "retrying",
            Canceling => "canceling",
            Canceled => "canceled",
        }
    }

    /// The status of that name.
    pub fn named(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// The status of the whole of squall that is nearest.
    pub fn known(self) -> Known {
        match self {
            Unset | Requested => Known::Requested,
            Scheduled => Known::Scheduled,
            Delayed => Known::Delayed,
            Running | Retrying => Known::Running,
            Pending => Known::Pending,
            Pausing => Known::Pausing,
            Paused => Known::Paused,
            Resuming => Known::Resuming,
            Succeeded => Known::Succeeded,
            Failed => Known::Failed,
            Timeout => Known::Timeout,
            Abandoned => Known::Abandoned,
            Canceling => Known::Canceling,
            Canceled => Known::Canceled,
        }
    }
}

impl From<Known> for Status {
    fn from(status: Known) -> Status {
        match status {
            Known::Requested => Requested,
            Known::Scheduled => Scheduled,
            Known::Delayed => Delayed,
            Known::Running => Running,
            Known::Succeeded => Succeeded,
            Known::Failed => Failed,
            Known::Timeout => Timeout,
            Known::Abandoned => Abandoned,
            Known::Canceling => Canceling,
            Known::Canceled => Canceled,
            Known::Pending => Pending,
            Known::Pausing => Pausing,
            Known::Paused => Paused,
            Known::Resuming => Resuming,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a start has come.
fn start_rank(status: Status) -> Option<u8> {
    match status {
        Requested => Some(0),
        Scheduled => Some(1),
        Delayed => Some(2),
        Running => Some(3),
        Pending => Some(4),
        _ => None,
    }
}

/// What an action's `event` makes of a task without items.
pub fn task_after(now: Status, event: Status) -> Option<Status> {
    match now {
        Unset => event.is_starting().then_some(event),
        Requested | Scheduled | Delayed => match event {
            Pausing | Paused | Canceling | Canceled | Failed | Timeout | Abandoned => Some(event),
            _ => (start_rank(event)? > start_rank(now)?).then_some(event),
        },
        Running => match event {
            Succeeded | Pending | Pausing | Paused | Canceling | Canceled => Some(event),
            _ => event.is_abended().then_some(Failed),
        },
        Pending => match event {
            Succeeded | Canceled => Some(event),
            _ => event.is_abended().then_some(Failed),
        },
        Pausing => match event {
            Paused | Resuming | Canceling | Canceled => Some(event),
            _ => event.is_abended().then_some(Failed),
        },
        Paused => matches!(event, Running | Resuming | Canceling | Canceled).then_some(event),
        Resuming | Retrying => matches!(event, Running | Canceling | Canceled).then_some(event),
        Canceling => match event {
            Canceled | Paused => Some(Canceled),
            _ => event.is_abended().then_some(Failed),
        },
        Succeeded | Failed | Timeout | Abandoned | Canceled => None,
    }
}

/// How the items of a task stand, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requested to running, pausing, canceling.
    pub active: u32,
    /// Paused or pending.
    pub paused: u32,
    /// Canceled.
    pub canceled: u32,
    /// Failed, timed out or abandoned.
    pub failed: u32,
    /// Not started.
    pub waiting: u32,
    /// Succeeded.
    pub succeeded: u32,
}

impl Tally {
    /// The count that a status belongs to.
    pub fn of(&mut self, status: Status) -> &mut u32 {
        match status {
            Unset | Retrying => &mut self.waiting,
            Requested | Scheduled | Delayed | Running | Resuming | Pausing | Canceling => &mut self.active,
            Paused | Pending => &mut self.paused,
            Canceled => &mut self.canceled,
            Failed | Timeout | Abandoned => &mut self.failed,
            Succeeded => &mut self.succeeded,
        }
    }
}

/// What the `event` of one item makes of its task; `others` counts the other items.
pub fn task_after_item(now: Status, event: Status, others: &Tally) -> Option<Status> {
    if !matches!(now, Running | Pausing | Canceling) {
        return task_after(now, event);
    }
    let row = match event {
        Succeeded => [Running, Paused, Canceled, Failed, Running, Succeeded],
        Failed | Timeout | Abandoned => [Unset, Failed, Canceled, Failed, Failed, Failed],
        Canceled => [Canceling, Canceled, Canceled, Canceled, Canceled, Canceled],
        Paused | Pending => [Pausing, Paused, Canceled, Failed, Paused, Paused],
        _ => return None,
    };
    let column = [others.active, others.paused, others.canceled, others.failed, others.waiting]
        .iter()
        .position(|count| *count > 0)
        .unwrap_or(5);
    let new = match (now, column) {
        (Pausing | Canceling, 0) => return None,
        (Pausing, 4) if event == Succeeded => Paused,
        (Canceling, 5) if event == Succeeded => Succeeded,
        (Canceling, _) => Canceled,
        _ => row[column],
    };
    (new != Unset && new != now).then_some(new)
}

/// What a request for the workflow (`pausing`/`paused`, `canceling`/`canceled`) makes of an active task over items.
pub fn task_after_request(now: Status, request: Status, items: &Tally) -> Option<Status> {
    let incomplete = items.active + items.paused + items.waiting > 0;
    let new = match request {
        Pausing | Paused if matches!(now, Canceling | Pausing) => return None,
        Pausing | Paused if items.active > 0 => Pausing,
        Pausing | Paused if incomplete => Paused,
        Canceling | Canceled if items.active > 0 => Canceling,
        Canceling | Canceled if incomplete => Canceled,
        _ => return None,
    };
    (new != now).then_some(new)
}

/// What the workflow's status depends on besides itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Tasks that are active.
    pub active: bool,
    /// Tasks that are paused or pending.
    pub paused: bool,
    /// Tasks that were canceled.
    pub canceled: bool,
    /// Tasks that are staged and may be offered.
    pub staged: bool,
}

/// What a request makes of the workflow.
pub fn workflow_after_request(now: Status, request: Status, outlook: Outlook) -> Option<Status> {
    let open = !now.is_completed();
    match request {
        Requested | Scheduled | Delayed => match now {
            Unset => Some(request),
            Requested | Scheduled | Delayed => (start_rank(request)? > start_rank(now)?).then_some(request),
            _ => None,
        },
        Running => {
            matches!(now, Unset | Requested | Scheduled | Delayed | Pausing | Paused | Resuming).then_some(Running)
        }
        Pausing | Paused => matches!(now, Requested | Scheduled | Delayed | Running | Resuming | Pausing)
            .then_some(if outlook.active { Pausing } else { Paused }),
        Resuming => match now {
            Paused if !outlook.active && !outlook.staged && !outlook.paused => Some(Succeeded),
            Pausing | Paused => Some(Resuming),
            _ => None,
        },
        Canceling | Canceled => open.then_some(if outlook.active { Canceling } else { Canceled }),
        Failed => (open || now == Succeeded).then_some(Failed),
        Unset | Pending | Succeeded | Timeout | Abandoned | Retrying => None,
    }
}

/// What a task that is now `task` makes of the workflow. An abended task is `remediated` when it has a satisfied
/// transition to anything but `continue`.
pub fn workflow_after_task(now: Status, task: Status, remediated: bool, outlook: Outlook) -> Option<Status> {
    let active = |yes, no| Some(if outlook.active { yes } else { no });
    match now {
        Paused | Resuming if matches!(task, Running | Resuming) => Some(Running),
        Running | Pausing | Resuming | Canceling => match task {
            Succeeded => after_success(now, false, outlook),
            Failed | Timeout | Abandoned if remediated => after_success(now, true, outlook),
            Failed | Timeout | Abandoned if now == Canceling => active(Canceling, Canceled),
            Failed | Timeout | Abandoned => Some(Failed),
            Canceling | Canceled => active(Canceling, Canceled),
            Pending if now == Canceling => active(Canceling, Canceled),
            Pending => active(Pausing, Paused),
            Paused | Retrying => match now {
                Running if task == Paused => active(Running, Paused),
                Pausing => active(Pausing, Paused),
                Canceling => active(Canceling, Canceled),
                _ => None,
            },
            Unset | Requested | Scheduled | Delayed | Running | Pausing | Resuming => None,
        },
        _ => None,
    }
}

fn after_success(now: Status, remediated: bool, outlook: Outlook) -> Option<Status> {
    if outlook.active {
        return match now {
            Running if outlook.canceled => Some(Canceling),
            Running if outlook.paused => Some(Pausing),
            Pausing if remediated && outlook.canceled => Some(Canceling),
            Resuming if outlook.paused || outlook.canceled => None,
            Resuming => Some(Running),
            _ => None,
        };
    }
    if outlook.canceled || now == Canceling {
        return Some(Canceled);
    }
    if outlook.paused || now == Pausing {
        return Some(Paused);
    }
    Some(if outlook.staged { Running } else { Succeeded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_a_running_task_is_a_failure_but_of_a_scheduled_one_a_timeout() {
        assert_eq!(task_after(Running, Timeout), Some(Failed));
        assert_eq!(task_after(Scheduled, Timeout), Some(Timeout));
        assert_eq!(task_after(Scheduled, Succeeded), None);
    }

    #[test]
    fn the_rest_of_the_items_decides() {
        let others = |active, waiting| Tally { active, waiting, ..Tally::default() };
        assert_eq!(task_after_item(Running, Failed, &others(1, 5)), None);
        assert_eq!(task_after_item(Running, Failed, &others(0, 5)), Some(Failed));
        assert_eq!(task_after_item(Pausing, Succeeded, &others(0, 5)), Some(Paused));
        assert_eq!(task_after_item(Running, Succeeded, &others(0, 0)), Some(Succeeded));
    }

    #[test]
    fn names_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::named(status.as_str()), Some(status));
        }
    }
}
