//! From `requested` to under way: a workflow begins, a native action is done, a process is scheduled.

use super::*;

impl<'a> Turn<'a> {
    /// Starts a requested execution: begins a workflow, runs a native action, or schedules a process.
    pub(super) fn start(&mut self, id: ExecutionId) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let status = execution.status;
        if !matches!(status, Status::Requested | Status::Scheduled | Status::Delayed) {
            return;
        }
        let delay = execution.request.delay_ms;
        if delay > 0 && status == Status::Requested {
            let at = execution.created.after(Duration::from_millis(delay));
            if at > self.around.now {
                self.set_due(Due { owner: id, root: self.tree.root, kind: DueKind::Start, number: 0, at });
                self.become_status(id, Status::Delayed, Change::default());
                return;
            }
        }
        let request = execution.request.clone();
        let Some(action) = self.around.content.registry().action(&request.action).cloned() else {
            let text = format!("Action \"{}\" cannot be found.", request.action);
            return self.end(id, Outcome::failed(text));
        };
        let (runner, own) = match self.passes(id, &action) {
            Ok(pair) => pair,
            Err(failure) => return self.end(id, failure),
        };
        if action.runner.is_workflow() {
            return self.begin(id, &action, runner, own);
        }
        if self.question(id, &action, &runner, &own) {
            return;
        }
        if let Some(native) = native::find(&action) {
            self.become_status(id, Status::Running, Change { attempt: Some(1), ..Change::default() });
            let outcome = native(self, id, &runner, &own);
            return self.end(id, outcome);
        }
        let item = spawn::work_item(self.tree.executions.get(&id), &action, runner, own, self.around);
        if let Some(item) = item
            && self.become_status(id, Status::Scheduled, Change::default())
        {
            self.effects.push(Effect::Dispatch(Box::new(item)));
        }
    }

    /// Begins a workflow.
    pub(super) fn begin(&mut self, id: ExecutionId, action: &squall_content::Action, runner: Map, own: Map) {
        let definition = match self.around.definitions.current(action) {
            Ok(definition) => definition,
            Err(refusal) => return self.end(id, Outcome::failed(refusal.to_string())),
        };
        if self.tree.depth(id) >= limits::WORKFLOW_DEPTH {
            let text = format!("workflows are nested deeper than {}", limits::WORKFLOW_DEPTH);
            return self.end(id, Outcome::failed(text));
        }
        if let Some(source) = &action.definition
            && self.definitions_written.insert(source.sha.to_string())
        {
            self.ops.push(Op::Definition { sha: source.sha.to_string(), text: source.text.to_string() });
        }
        self.become_status(id, Status::Running, Change { attempt: Some(1), ..Change::default() });
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let begin = match spawn::begin(execution, action, runner, own, &definition, self.around) {
            Ok(begin) => begin,
            Err(why) => return self.end(id, Outcome::failed(why)),
        };
        let state = State::new(&definition);
        self.tree.flows.insert(id, Flow { definition, state, seq: 0, children: Default::default() });
        self.causes.push_back(Cause::Hear { flow: id, stimulus: Stimulus::Begin(Box::new(begin)) });
    }
}
