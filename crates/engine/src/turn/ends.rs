//! Ends and attempts: claims, late reports, what is told to parents.

use super::*;

impl<'a> Turn<'a> {
    /// An execution reached a final status: record it, tell the parent, report it.
    pub fn end(&mut self, id: ExecutionId, outcome: Outcome) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        if execution.status.is_final() {
            return;
        }
        let outcome = spawn::final_outcome(execution, outcome);
        if outcome.status.is_final() && execution.status == Status::Requested && outcome.status != Status::Canceled {
            // Every run that ended has run, as far as readers of the log are concerned.
            self.become_status(id, Status::Running, Change::default());
        }
        let ended = outcome.status.is_final().then_some(Some(self.around.now));
        let change = Change { ended, result: Some(outcome.result.clone()), ..Change::default() };
        if !self.become_status(id, outcome.status, change) {
            return;
        }
        self.tell_parent(id, outcome.status, &outcome.result);
        if !outcome.status.is_final() {
            return;
        }
        let Some(execution) = self.tree.executions.get(&id) else { return };
        if let Some(spool) = &execution.spool {
            let key = WorkKey { execution: id, attempt: execution.attempt };
            self.effects.push(Effect::Settled(key, spool.clone()));
        }
        let announced = bots::results(execution, self);
        if let Some(message) = report::result(execution, self) {
            self.post(message);
        }
        self.effects.extend(announced.into_iter().map(Effect::Publish));
        if outcome.status.is_failure()
            && let Some(ended) = self.tree.executions.get(&id).filter(|e| e.parent.is_none()).cloned()
        {
            self.retry(&ended);
        }
        self.give_places_back(id);
        self.effects.push(Effect::Ended(id));
        self.gone.push(id);
    }

    pub(super) fn tell_parent(&mut self, id: ExecutionId, status: Status, result: &Value) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let (Some(parent), Some(run)) = (execution.parent, execution.run) else { return };
        self.hear_end(parent, run, status, result.clone());
    }

    // ---- attempts --------------------------------------------------------------------------------------------

    /// Grants an attempt once: the row says `running` before any process starts.
    pub(super) fn claim(&mut self, key: WorkKey, spool: &str) -> bool {
        let Some(execution) = self.tree.executions.get(&key.execution) else { return false };
        if execution.status != Status::Scheduled || key.attempt != execution.attempt + 1 {
            return false;
        }
        if let Err(too_late) = self.is_fresh(execution) {
            self.end(key.execution, too_late);
            return false;
        }
        let change = Change { attempt: Some(key.attempt), spool: Some(spool.to_owned()), ..Change::default() };
        let (parent, run) = (execution.parent, execution.run);
        let granted = self.become_status(key.execution, Status::Running, change);
        if granted && let (Some(flow), Some(run)) = (parent, run) {
            self.causes.push_back(Cause::Hear { flow, stimulus: Stimulus::Started { run } });
        }
        granted
    }

    pub(super) fn attempt_ended(&mut self, key: WorkKey, outcome: &Outcome) {
        match self.tree.executions.get(&key.execution) {
            Some(execution) if execution.attempt == key.attempt => self.end(key.execution, outcome.clone()),
            // An item that could not be started (no such runner, no such program) was never claimed.
            Some(execution) if execution.status == Status::Scheduled => self.end(key.execution, outcome.clone()),
            _ => tracing::info!(execution = %key.execution, attempt = key.attempt, "a late report changes nothing"),
        }
    }

    /// Recovery is certain that the claimed attempt never started: it may be claimed again.
    pub(super) fn unclaim(&mut self, key: WorkKey) {
        let Some(execution) = self.tree.executions.get(&key.execution) else { return };
        if execution.status != Status::Running || execution.attempt != key.attempt {
            return;
        }
        let change = Change { attempt: Some(key.attempt - 1), ..Change::default() };
        if self.become_status(key.execution, Status::Scheduled, change) {
            self.starts.push_back(key.execution);
        }
    }
}
