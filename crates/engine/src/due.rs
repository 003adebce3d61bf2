//! Time: rows whose moment has come are sent to their trees. No task sleeps for a row of its own.

use crate::turn::Input;
use crate::{Engine, limits};
use futures::future::{self, Either, FutureExt};
use squall_store::DueKind;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::watch;

/// How long the loop sleeps at most: the wall clock may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long it waits after the store failed to answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

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

    /// Fires everything that is due now and waits for the commits; answers how many rows there were.
    pub async fn fire_due(&self) -> Result<usize, crate::Refusal> {
        let rows = self.store().due(self.now(), limits::DUE_PAGE as usize)?;
        if !rows.is_empty() {
            squall_model::crash_point!("K13");
        }
        let mut trees = HashSet::new();
        let mut waits = Vec::with_capacity(rows.len());
        for row in &rows {
            trees.insert(row.root);
            waits.push(async move {
                if row.kind == DueKind::Deadline {
                    let about = self.store().confirmation_of(row.owner).ok().flatten();
                    self.answers_before(row.at, about.as_ref().map_or("", |about| &about.id)).await;
                }
                self.send(row.root, Input::Due(row.clone())).await
            });
        }
        let answers = future::join_all(waits).await;
        let refused = answers.iter().filter(|a| matches!(a, crate::turn::Answer::Refused(_))).count();
        if refused > 0 {
            // Rows that could not be taken stay, and are tried again after a pause.
            self.inner.runtime.sleep(AFTER_FAILURE).await;
        }
        Ok(rows.len())
    }

    fn until_next(&self) -> Duration {
        match (self.store().next_due(), self.next_collected()) {
            (Ok(due), Ok(collected)) => {
                let next = due.into_iter().chain(collected).min();
                next.map_or(LONGEST_SLEEP, |at| at.since(self.now()).min(LONGEST_SLEEP))
            }
            (Err(_), _) | (_, Err(_)) => AFTER_FAILURE,
        }
    }
}
