//! Time: rows whose moment has come are sent to their trees. No task sleeps for a row of its own.
//!
//! A deadline whose time has come waits for answers that were received before it. It waits apart, so that a look-up of some
//! seconds for one answer makes nothing else late; the loop leaves out what waits so.

use crate::turn::{Answer, Input};
use crate::{Engine, limits, locked};
use futures::future::{self, Either, FutureExt};
use squall_model::{ExecutionId, Timestamp};
use squall_store::{Due, DueKind};
use std::time::Duration;
use tokio::sync::watch;

/// How long the loop sleeps at most: the wall clock may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long it waits after the store failed to answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Which row.
pub(crate) type Key = (ExecutionId, DueKind, u32);

fn key(row: &Due) -> Key {
    (row.owner, row.kind, row.number)
}

/// A deadline that waits for answers. When this goes, the loop looks at its row again, if it is still there.
struct Held {
    engine: Engine,
    key: Key,
}

impl Drop for Held {
    fn drop(&mut self) {
        locked(&self.engine.inner.held).remove(&self.key);
        self.engine.inner.due.notify_one();
    }
}

impl Engine {
    /// Fires what is due until `stop` becomes true.
    pub async fn run_due(&self, stop: watch::Receiver<bool>) {
        self.fire_until(stop).await;
        self.leave().await;
    }

    async fn fire_until(&self, mut stop: watch::Receiver<bool>) {
        loop {
            self.watch_clock().await;
            self.seen().await;
            if let Err(error) = self.tell_collected().await {
                tracing::warn!(%error, "cannot tell what was collected for people who are asked often");
            }
            let fired = self.fire_due().await;
            let pause = match fired {
                Ok(0) => self.until_next(),
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(%error, "cannot read what is due");
                    AFTER_FAILURE
                }
            };
            if *stop.borrow() {
                return;
            }
            if pause.is_zero() {
                continue;
            }
            let woken = self.inner.due.notified().boxed();
            let slept = self.inner.runtime.sleep(pause);
            let stopped = stop.changed().boxed();
            if let Either::Right(_) = future::select(future::select(woken, slept), stopped).await {
                return;
            }
        }
    }

    /// Fires everything that is due now and waits for the commits, but not for answers that a deadline waits for; answers how
    /// many rows there were.
    pub async fn fire_due(&self) -> Result<usize, crate::Refusal> {
        let rows = self.due_by(self.now(), limits::DUE_PAGE as usize)?;
        if !rows.is_empty() {
            squall_model::crash_point!("K13");
        }
        let count = rows.len();
        let (waiting, ready): (Vec<Due>, Vec<Due>) = rows.into_iter().partition(|row| self.waits_for_answers(row));
        waiting.into_iter().for_each(|row| self.fire_after_answers(row));
        let sent = ready.into_iter().map(|row| self.send(row.root, Input::Due(row)));
        if future::join_all(sent).await.iter().any(|answer| matches!(answer, Answer::Refused(_))) {
            // Rows that could not be taken stay, and are tried again after a pause.
            self.inner.runtime.sleep(AFTER_FAILURE).await;
        }
        Ok(count)
    }

    /// Rows that are due at `now` and wait for nothing, oldest first.
    fn due_by(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>, crate::Refusal> {
        let held = locked(&self.inner.held).clone();
        let mut rows = self.store().due(now, limit + held.len())?;
        rows.retain(|row| !held.contains(&key(row)));
        Ok(rows)
    }

    fn waits_for_answers(&self, row: &Due) -> bool {
        row.kind == DueKind::Deadline
            && self.has_answers()
            && self.has_answers_before(row.at, &self.confirmation_due(row))
    }

    /// The confirmation whose deadline it is.
    fn confirmation_due(&self, row: &Due) -> String {
        let about = self.store().confirmation_of(row.owner).ok().flatten();
        about.map(|about| about.id).unwrap_or_default()
    }

    fn fire_after_answers(&self, row: Due) {
        locked(&self.inner.held).insert(key(&row));
        let held = Held { engine: self.clone(), key: key(&row) };
        self.inner.runtime.spawn(Box::pin(async move {
            let engine = &held.engine;
            engine.answers_before(row.at, &engine.confirmation_due(&row)).await;
            if let Answer::Refused(_) = engine.send(row.root, Input::Due(row)).await {
                engine.inner.runtime.sleep(AFTER_FAILURE).await;
            }
        }));
    }

    fn until_next(&self) -> Duration {
        let none_held = locked(&self.inner.held).is_empty();
        let next_due = match none_held {
            true => self.store().next_due().map_err(crate::Refusal::from),
            // What waits is due already, and the next one stands behind it.
            false => self.due_by(Timestamp::from_micros(i64::MAX), 1).map(|rows| rows.first().map(|row| row.at)),
        };
        match (next_due, self.next_collected()) {
            (Ok(due), Ok(collected)) => {
                let next = due.into_iter().chain(collected).min();
                next.map_or(LONGEST_SLEEP, |at| at.since(self.now()).min(LONGEST_SLEEP))
            }
            (Err(_), _) | (_, Err(_)) => AFTER_FAILURE,
        }
    }
}
