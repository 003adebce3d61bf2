//! What a start finds: requested work is started, claimed attempts are looked up in their spools, the rest waits on.
//!
//! Waiting things need nothing: they are rows with a due time. Workflows need nothing either: an end and what follows
//! from it were one commit.

use crate::turn::Input;
use crate::{Engine, Refusal};
use squall_model::{Execution, Leftover, Outcome, Status, Value, WorkKey};
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

impl Engine {
    /// Brings everything that was under way to where it can go on. Call it once, after [`Engine::attach`], before anything is requested.
    pub async fn recover(&self) -> Result<Recovered, Refusal> {
        let mut done = Recovered::default();
        let mut after = None;
        loop {
            let roots = self.store().unfinished(after, PAGE)?;
            for root in &roots {
                for execution in self.store().tree(*root)? {
                    self.recover_one(&execution, &mut done).await;
                }
            }
            match roots.last() {
                Some(last) if roots.len() == PAGE => after = Some(*last),
                _ => break,
            }
        }
        self.recover_confirmations().await?;
        Ok(done)
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

    async fn recover_one(&self, execution: &Execution, done: &mut Recovered) {
        squall_model::crash_point!("R1");
        let workflow = execution.request.definition.is_some();
        match execution.status {
            Status::Requested | Status::Scheduled => {
                done.started += 1;
                self.insist(execution.root, Input::Start(execution.id)).await;
            }
            Status::Running | Status::Canceling if !workflow => self.recover_attempt(execution, done).await,
            _ => {}
        }
    }

    async fn recover_attempt(&self, execution: &Execution, done: &mut Recovered) {
        let key = WorkKey { execution: execution.id, attempt: execution.attempt };
        let leftover = match (self.runner(), &execution.spool) {
            (Some(runner), Some(spool)) => runner.leftover(key, spool).await,
            _ => Leftover::Lost,
        };
        let input = match leftover {
            // Its supervisor ended it when the server died, and somebody had asked for just that.
            Leftover::Finished(Outcome { status: Status::Abandoned, result })
                if execution.status == Status::Canceling =>
            {
                done.finished += 1;
                Input::Finished { key, outcome: Outcome { status: Status::Canceled, result } }
            }
            Leftover::Finished(outcome) => {
                done.finished += 1;
                Input::Finished { key, outcome }
            }
            Leftover::NeverStarted if execution.status == Status::Running => {
                done.started += 1;
                Input::Unclaim(key)
            }
            Leftover::NeverStarted | Leftover::Lost => {
                done.abandoned += 1;
                Input::Finished { key, outcome: lost(execution) }
            }
        };
        self.insist(execution.root, input).await;
    }
}

/// What is said of a run whose end nobody saw.
fn lost(execution: &Execution) -> Outcome {
    if execution.status == Status::Canceling {
        return Outcome { status: Status::Canceled, result: Value::Null };
    }
    let seen = execution.started.unwrap_or(execution.created);
    let text =
        format!("the server stopped while this was running; it was last seen at {seen} and is not run again by itself");
    Outcome { status: Status::Abandoned, result: Value::from_pairs([("error", text)]) }
}
