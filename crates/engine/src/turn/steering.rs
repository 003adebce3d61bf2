//! Time and people: due rows, cancel, pause, resume.

use super::*;

/// When something is tried again that could not be read.
const LATER: Duration = Duration::from_secs(60);

impl<'a> Turn<'a> {
    pub(super) fn set_due(&mut self, due: Due) {
        self.effects.push(Effect::Due);
        self.ops.push(Op::SetDue(due));
    }

    /// A due row's time has come: it is taken in the same commit as what follows from it.
    pub(super) fn due(&mut self, due: &Due) {
        self.ops.push(Op::TakeDue { owner: due.owner, kind: due.kind, number: due.number });
        match due.kind {
            DueKind::Timer => {
                let stimulus = Stimulus::Due { timer: due.number };
                self.causes.push_back(Cause::Hear { flow: due.owner, stimulus });
            }
            DueKind::Start => {
                if self.tree.executions.get(&due.owner).is_some_and(|e| e.status == Status::Delayed)
                    && self.become_status(due.owner, Status::Requested, Change::default())
                {
                    self.starts.push_back(due.owner);
                }
            }
            DueKind::Finish => {
                let open = self.tree.flows.get(&due.owner).and_then(|flow| {
                    flow.state.open_offers().find(|o| o.offer.run == due.number).map(|o| o.offer.clone())
                });
                if let Some(outcome) = open.and_then(|o| squall_workflow::standard(&o)).and_then(|a| a.outcome) {
                    self.hear_end(due.owner, due.number, outcome.status, outcome.result);
                }
            }
            DueKind::Erase => self.erase_secrets(due),
            DueKind::Deadline => match self.around.store.confirmation_of(due.owner) {
                Ok(Some(row)) => {
                    let event = Event::Due(confirmation::decide::Due::from_number(due.number));
                    self.confirm(&row.id, &event, None);
                }
                Ok(None) => {}
                // What cannot be read now is looked at again: without its deadline a question would wait for ever.
                Err(error) => {
                    tracing::error!(%error, execution = %due.owner, "cannot read a confirmation whose time has come");
                    self.set_due(Due { at: self.around.now.after(LATER), ..due.clone() });
                }
            },
        }
    }

    // ---- steering --------------------------------------------------------------------------------------------

    pub(super) fn asked(&self, id: ExecutionId, wish: &str, fits: impl Fn(Status) -> bool) -> Result<(), Refusal> {
        let Some(execution) = self.tree.executions.get(&id) else {
            let found = self.around.store.execution(id)?;
            return Err(found.map_or_else(|| Refusal::no_execution(id), |e| Refusal::status(id, wish, e.status)));
        };
        let workflow = execution.request.definition.is_some();
        if wish != "cancel" && !workflow {
            return Err(Refusal::Invalid(format!(
                "cannot {wish} execution {id}: runner `{}` runs to its end, only workflows can be paused",
                execution.request.runner
            )));
        }
        if fits(execution.status) { Ok(()) } else { Err(Refusal::status(id, wish, execution.status)) }
    }

    pub(super) fn cancel(&mut self, id: ExecutionId, by: &str) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let status = execution.status;
        if !status.is_cancelable() {
            return;
        }
        let attempt = execution.attempt;
        if status == Status::Pending {
            let (by, cause) = match by {
                crate::people::SYSTEM_USER => ("", confirmation::record::Cause::WorkflowEnded),
                person => (person, confirmation::record::Cause::Canceled),
            };
            if self.withdraw(id, by, cause) {
                return;
            }
        }
        let mut notes = Map::new();
        notes.insert("cancelled_by".into(), by.into());
        let key = WorkKey { execution: id, attempt: attempt.max(1) };
        if self.tree.flows.contains_key(&id) {
            self.become_status(id, Status::Canceling, Change { notes, ..Change::default() });
            let stimulus =
                Stimulus::Stop { status: Status::Canceled, message: Some("Action canceled by user.".into()) };
            self.causes.push_back(Cause::Hear { flow: id, stimulus });
            // A conductor that is through does not hear it; what it left running must end all the same.
            for child in self.left_behind(id) {
                self.causes.push_back(Cause::Cancel { id: child, by: by.to_owned() });
            }
            return;
        }
        if status == Status::Running {
            self.become_status(id, Status::Canceling, Change { notes, ..Change::default() });
            self.effects.push(Effect::StopWork(key));
            return;
        }
        if status == Status::Delayed {
            self.ops.push(Op::ClearDue { owner: id, kind: DueKind::Start, number: 0 });
        }
        if status == Status::Scheduled {
            self.effects.push(Effect::StopWork(WorkKey { execution: id, attempt: attempt + 1 }));
        }
        self.change(id, Change { notes, ..Change::default() });
        self.end(id, canceled(by));
    }

    /// Children that a workflow whose conductor has ended still waits for.
    fn left_behind(&self, id: ExecutionId) -> Vec<ExecutionId> {
        let flow = self.tree.flows.get(&id).filter(|flow| flow.state.is_final());
        flow.map(|flow| flow.children.values().copied().collect()).unwrap_or_default()
    }

    pub(super) fn steer(&mut self, id: ExecutionId, stimulus: Stimulus, note: (&str, &str)) {
        if !self.tree.flows.contains_key(&id) {
            return;
        }
        let notes = [(note.0.into(), note.1.into())].into_iter().collect();
        self.change(id, Change { notes, ..Change::default() });
        self.causes.push_back(Cause::Hear { flow: id, stimulus });
    }
}
