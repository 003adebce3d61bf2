//! From `requested` to under way: a workflow begins, a native action is done, a process is scheduled.

use super::*;

const UNREADABLE: &str =
    "its secret parameters were encrypted with another key than that of datastore_key.json: ask for it again";

impl<'a> Turn<'a> {
    /// Starts a requested execution: begins a workflow, runs a native action, or schedules a process.
    pub(super) fn start(&mut self, id: ExecutionId) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let status = execution.status;
        if !matches!(status, Status::Requested | Status::Scheduled | Status::Delayed) {
            return;
        }
        let delay = execution.request.delay_ms;
        let at = execution.created.after(Duration::from_millis(delay));
        if at > self.around.now {
            // A start may be heard twice; the one of the due row is the one that counts.
            if status == Status::Requested {
                self.set_due(Due { owner: id, root: self.tree.root, kind: DueKind::Start, number: 0, at });
                self.become_status(id, Status::Delayed, Change::default());
            }
            return;
        }
        let request = execution.request.clone();
        if request.params.values().any(squall_store::secrets::is_hidden) {
            return self.end(id, Outcome::failed(UNREADABLE));
        }
        let Some(action) = self.around.content.registry().action(&request.action).cloned() else {
            let text = format!("Action \"{}\" cannot be found.", request.action);
            return self.end(id, Outcome::failed(text));
        };
        if self.take_places(id, &action) == Place::HasNot {
            return;
        }
        let (runner, own) = match self.passes(id, &action) {
            Ok(pair) => pair,
            Err(failure) => return self.end(id, failure),
        };
        if action.runner.is_workflow() {
            return match &request.again {
                Some(again) => self.begin_again(id, &action, runner, own, again),
                None => self.begin(id, &action, runner, own),
            };
        }
        if self.question(id, &action, &runner, &own) {
            return;
        }
        if let Some(native) = native::find(&action) {
            self.become_status(id, Status::Running, Change { attempt: Some(1), ..Change::default() });
            let outcome = native(self, id, &runner, &own);
            return self.end(id, outcome);
        }
        if let Some(call) = calls::find(&action) {
            self.become_status(id, Status::Running, Change { attempt: Some(1), ..Change::default() });
            let Some(execution) = self.tree.executions.get(&id) else { return };
            return self.effects.push(Effect::Call(Box::new(calls::Asked::new(execution, call, own))));
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

    /// Goes on with the log of an ended workflow, from some of its tasks.
    pub(super) fn begin_again(
        &mut self,
        id: ExecutionId,
        action: &squall_content::Action,
        runner: Map,
        own: Map,
        again: &Again,
    ) {
        let folded = self.around.store.execution(again.of).map_err(Refusal::from).and_then(|old| {
            let old = old.ok_or_else(|| Refusal::no_execution(again.of))?;
            let folded = tree::fold(self.around.store, self.around.definitions, &old)?;
            folded.ok_or_else(|| Refusal::Invalid(format!("execution {} has not begun", again.of)))
        });
        let Folded { definition, state, .. } = match folded {
            Ok(folded) => folded,
            Err(refusal) => return self.end(id, Outcome::failed(refusal.to_string())),
        };
        self.become_status(id, Status::Running, Change { attempt: Some(1), ..Change::default() });
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let begin = match spawn::begin(execution, action, runner, own, &definition, self.around) {
            Ok(begin) => begin,
            Err(why) => return self.end(id, Outcome::failed(why)),
        };
        self.tree.flows.insert(id, Flow { definition, state, seq: 0, children: Default::default() });
        let (tasks, reset) = (again.tasks.clone(), again.reset.clone());
        let stimulus = Stimulus::Rerun { tasks, reset, skip: false, env: begin.env };
        self.causes.push_back(Cause::Hear { flow: id, stimulus });
    }
}
