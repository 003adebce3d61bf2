//! What a start finds: requested work is started, claimed attempts are looked up in their spools, the rest waits on.
//!
//! Waiting things need nothing: they are rows with a due time. Workflows need nothing either: an end and what follows
//! from it were one commit.

use crate::turn::Input;
use crate::{Engine, Refusal};
use squall_model::{Execution, ExecutionId, Leftover, Outcome, Status, Timestamp, Value, WorkKey};
use std::collections::HashSet;

/// Trees that are read at once.
const PAGE: usize = 500;

/// What recovery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Executions that were started (again).
    pub started: u64,
    /// Attempts whose true outcome was found.
    pub finished: u64,
    /// Attempts that are gone.
    pub abandoned: u64,
}

/// What was under way when the server stopped.
struct Found {
    id: ExecutionId,
    root: ExecutionId,
    status: Status,
    is_workflow: bool,
    attempt: u32,
    spool: Option<String>,
    seen: Timestamp,
}

impl Engine {
    /// Brings everything that was under way to where it can go on. Call it once, after [`Engine::attach`], before anything is requested.
    ///
    /// All is looked at before anything is done: what the first steps start is not taken for something left behind.
    pub async fn recover(&self) -> Result<Recovered, Refusal> {
        let mut done = Recovered::default();
        let left_behind = self.left_behind()?;
        self.notice_restore().await?;
        for found in left_behind {
            self.recover_one(&found, &mut done).await?;
        }
        self.recover_confirmations().await?;
        self.wake_all();
        Ok(done)
    }

    fn left_behind(&self) -> Result<Vec<Found>, Refusal> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let roots = self.store().unfinished(after, PAGE)?;
            for root in &roots {
                all.extend(self.store().tree(*root)?.iter().filter(|e| !e.status.is_final()).map(Found::of));
            }
            match roots.last() {
                Some(last) if roots.len() == PAGE => after = Some(*last),
                _ => return Ok(all),
            }
        }
    }

    /// The spools that claims of attempts under way name. Any other is left over.
    pub fn claimed_spools(&self) -> Result<HashSet<String>, Refusal> {
        let mut claimed = HashSet::new();
        let mut after = None;
        loop {
            let roots = self.store().unfinished(after, PAGE)?;
            for root in &roots {
                claimed.extend(self.store().tree(*root)?.into_iter().filter_map(|e| e.spool));
            }
            match roots.last() {
                Some(last) if roots.len() == PAGE => after = Some(*last),
                _ => return Ok(claimed),
            }
        }
    }

    async fn recover_one(&self, found: &Found, done: &mut Recovered) -> Result<(), Refusal> {
        squall_model::crash_point!("R1");
        match found.status {
            Status::Requested | Status::Scheduled => {
                done.started += 1;
                self.insist(found.root, Input::Start(found.id)).await;
            }
            Status::Running if !found.is_workflow && self.calls_again(found)? => done.started += 1,
            Status::Running | Status::Canceling if !found.is_workflow => self.recover_attempt(found, done).await,
            _ => {}
        }
        Ok(())
    }

    /// Whether it had asked the engine for something, which it does once more.
    fn calls_again(&self, found: &Found) -> Result<bool, Refusal> {
        if found.spool.is_some() {
            return Ok(false);
        }
        Ok(self.store().execution(found.id)?.is_some_and(|execution| self.call_again(&execution)))
    }

    async fn recover_attempt(&self, found: &Found, done: &mut Recovered) {
        let key = WorkKey { execution: found.id, attempt: found.attempt };
        let leftover = match (self.runner(), &found.spool) {
            (Some(runner), Some(spool)) => runner.leftover(key, spool).await,
            _ => Leftover::Lost,
        };
        let input = match leftover {
            // Its supervisor ended it when the server died, and somebody had asked for just that.
            Leftover::Finished(Outcome { status: Status::Abandoned, result }) if found.status == Status::Canceling => {
                done.finished += 1;
                Input::Finished { key, outcome: Outcome { status: Status::Canceled, result } }
            }
            Leftover::Finished(outcome) => {
                done.finished += 1;
                Input::Finished { key, outcome }
            }
            Leftover::NeverStarted if found.status == Status::Running => {
                done.started += 1;
                Input::Unclaim(key)
            }
            Leftover::NeverStarted | Leftover::Lost => {
                done.abandoned += 1;
                Input::Finished { key, outcome: found.lost() }
            }
        };
        self.insist(found.root, input).await;
    }
}

impl Found {
    fn of(execution: &Execution) -> Found {
        Found {
            id: execution.id,
            root: execution.root,
            status: execution.status,
            is_workflow: execution.request.definition.is_some(),
            attempt: execution.attempt,
            spool: execution.spool.clone(),
            seen: execution.started.unwrap_or(execution.created),
        }
    }

    /// What is said of a run whose end nobody saw.
    fn lost(&self) -> Outcome {
        if self.status == Status::Canceling {
            return Outcome { status: Status::Canceled, result: Value::Null };
        }
        let text = format!(
            "the server stopped while this was running; it was last seen at {} and is not run again by itself",
            self.seen
        );
        Outcome { status: Status::Abandoned, result: Value::from_pairs([("error", text)]) }
    }
}
