//! What follows from a stimulus.
//!
//! A decision is told as a story over `emit`; what several parts of it make necessary (a task that is settled, a join to
//! look at, an execution that may be over) stands in a queue and is taken in order, so that a long chain of tasks that
//! end at once needs no deep stack. The queue is empty when the step ends: nothing of it has to be remembered.

use super::definition::{Task, Workflow};
use super::fact::{ExecutionId, Fact, Held, TaskId, TaskState, Wait};
use super::scope::Place;
use super::state::{Due, Execution, State};
use super::task_run::TaskRun;
use super::{Front, report};
use crate::expressions::{Expr, eval_pairs};
use crate::step::Step;
use crate::{Begin, RunId, Stimulus, TimerId};
use squall_expr::{Engine, Error, python};
use squall_model::{Map, Status, Str, Timestamp, Value};
use std::collections::VecDeque;
use std::sync::Arc;

/// Hears a stimulus.
pub(super) fn decide(step: &mut Step<'_, Front>, stimulus: Stimulus) {
    let at = step.host.now();
    let mut conductor = Conductor { step, at, queue: VecDeque::new() };
    match stimulus {
        Stimulus::Begin(begin) => conductor.begin(begin),
        Stimulus::Started { run } => conductor.started(run),
        Stimulus::Finished { run, status, result } => conductor.finished(run, status, result),
        Stimulus::Refused { run, message } => conductor.refused(run, message),
        Stimulus::Due { timer } => conductor.due(timer),
        Stimulus::Pause => conductor.pause_asked(),
        Stimulus::Resume { env } => conductor.resume_asked(env),
        Stimulus::Stop { status, message } => conductor.stop_asked(status, message),
        Stimulus::Rerun { tasks, reset, skip, env } => conductor.rerun_asked(tasks, reset, skip, env),
    }
    conductor.settle_queue();
    conductor.conclude();
}

/// The one who decides.
pub(super) struct Conductor<'s, 'a> {
    pub step: &'s mut Step<'a, Front>,
    pub at: Timestamp,
    pub queue: VecDeque<Todo>,
}

/// What is still to be looked at in this step.
#[derive(Debug)]
pub(super) enum Todo {
    /// A task is over.
    Settle(TaskId, TaskState, Option<Str>),
    /// An action or sub-workflow of a task is over.
    SlotDone(TaskId),
    /// The transitions of a task.
    Follow(TaskId),
    /// A join may start; with `true`, it may also have become impossible.
    Join(TaskId, bool),
    /// An execution may be over.
    Check(ExecutionId),
}

/// Why a task cannot go on.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It fails as an action fails: retries and `on-error` apply.
    Ordinary(Str),
    /// The definition is at fault: task and workflow fail at once.
    Forced(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Forced(error.message)
    }
}

impl<'a> Conductor<'_, 'a> {
    pub fn emit(&mut self, fact: Fact) {
        self.step.emit(crate::Fact::Mistral(fact));
    }

    pub fn state(&self) -> &State {
        self.step.state()
    }

    pub fn execution(&self, id: ExecutionId) -> &Execution {
        self.step.state().execution(id)
    }

    pub fn record(&self, id: TaskId) -> &TaskRun {
        self.step.state().task(id)
    }

    pub fn workflow(&self, execution: ExecutionId) -> &'a Workflow {
        let definition = self.step.definition;
        &definition.workflows[self.execution(execution).workflow]
    }

    pub fn task(&self, id: TaskId) -> &'a Task {
        let record = self.record(id);
        &self.workflow(record.execution).tasks[record.index]
    }

    /// Whether the tasks of an execution live on when it has ended: retries, waits, the rest of their items. They do in
    /// Mistral, where only transitions end; squall's server starts nothing more.
    pub fn lives_on(&self, execution: ExecutionId) -> bool {
        !self.execution(execution).state.is_completed() || !self.step.definition.stackstorm
    }

    /// Where an expression about `task` stands.
    pub fn place(&self, execution: ExecutionId, task: Option<TaskId>) -> Place<'_> {
        let state = self.step.state();
        Place {
            definition: self.step.definition,
            state,
            host: self.step.host,
            env: state.env(),
            execution: Some(execution),
            task,
            beginning: Value::Null,
        }
    }

    /// Evaluates an expression about a task over its inbound context.
    pub fn eval_inbound(&self, task: TaskId, expr: &Expr, item: Option<u32>) -> Result<Value, Error> {
        let record = self.record(task);
        let place = self.place(record.execution, Some(task));
        expr.eval(Engine::Mistral, &place.view(record, &record.inbound, item), &place)
    }

    /// Evaluates an expression about a task over what it hands on.
    pub fn eval_outbound(&self, task: TaskId, expr: &Expr) -> Result<Value, Error> {
        let record = self.record(task);
        let place = self.place(record.execution, Some(task));
        expr.eval(Engine::Mistral, &place.view(record, &record.outbound, None), &place)
    }

    fn settle_queue(&mut self) {
        while let Some(todo) = self.queue.pop_front() {
            if self.step.is_exhausted() {
                self.give_up();
                return;
            }
            match todo {
                Todo::Settle(task, state, info) => self.settle(task, state, info),
                Todo::SlotDone(task) => self.slot_done(task),
                Todo::Follow(task) => self.follow(task),
                Todo::Join(task, look) => self.join(task, look),
                Todo::Check(execution) => self.check(execution),
            }
        }
    }

    /// A definition that goes round without ever waiting for an action.
    fn give_up(&mut self) {
        self.queue.clear();
        let info: Str = "the workflow goes round without ever waiting for an action".into();
        let open: Vec<ExecutionId> =
            self.state().executions.iter().filter(|e| !e.state.is_completed()).map(|e| e.id).collect();
        for execution in open {
            let output = Value::from_pairs([("result", info.clone())]);
            let (state, info, at) = (TaskState::Error, Some(info.clone()), self.at);
            self.emit(Fact::ExecutionEnded { execution, state, info, output, at });
        }
        self.queue.clear();
    }

    /// Brings the run's status in line with what Mistral says, at the end of each step.
    ///
    /// StackStorm shows an execution as running while a child is, even when Mistral is done with it.
    fn conclude(&mut self) {
        let Some(top) = self.state().top() else { return };
        let status = self.step.run().status();
        let busy = !self.step.run().offers().is_empty();
        // Children that are paused or wait for an answer do not keep a workflow from being paused.
        let is_active = |status: Status| !matches!(status, Status::Paused | Status::Pending);
        let wanted = match top.state {
            TaskState::Paused if self.step.run().offers().values().any(|o| is_active(o.status)) => Status::Pausing,
            TaskState::Paused => Status::Paused,
            state if !state.is_completed() => Status::Running,
            TaskState::Cancelled if busy => Status::Canceling,
            _ if busy || self.state().is_live() => Status::Running,
            _ => return self.end(status),
        };
        if status != wanted {
            self.step.emit(crate::Fact::Became { status: wanted });
        }
    }

    fn end(&mut self, now: Status) {
        if now.is_final() {
            return;
        }
        let (status, result) = report::outcome(self.step.definition, self.state());
        self.step.emit(crate::Fact::Ended { status, result });
    }

    fn started(&mut self, run: RunId) {
        let Some(of) = self.state().run(run) else { return };
        if self.record(of.task).state != TaskState::Paused {
            return;
        }
        self.step.emit(crate::Fact::Started { run });
        self.emit(Fact::Became { task: of.task, state: TaskState::Running, info: None });
        // In StackStorm a resumed child does not resume its workflow; in Mistral itself it does.
        if !self.step.definition.stackstorm {
            self.go_on();
        }
    }

    fn finished(&mut self, run: RunId, status: Status, result: Value) {
        let shapes = self.shapes_of(run);
        self.step.emit(crate::Fact::Finished { run, status, result: result.clone() });
        let Some(of) = self.state().run(run) else { return };
        if status == Status::Paused && self.record(of.task).state == TaskState::Running {
            self.emit(Fact::Became { task: of.task, state: TaskState::Paused, info: None });
            self.pause_all(None);
        }
        if !status.is_final() || !self.state().is_current(run) {
            return;
        }
        if matches!(status, Status::Succeeded | Status::Canceled) && !shapes.is_empty() {
            match self.reshape(of.task, &shapes, result) {
                Ok(result) => self.emit(Fact::Reshaped { run, result }),
                Err(error) => return self.fail_by_force(of.task, COMPLETING, &error.message),
            }
        }
        self.queue.push_back(Todo::SlotDone(of.task));
    }

    /// The engine could not make the child: Mistral calls wrong parameters a fault of the definition.
    fn refused(&mut self, run: RunId, message: String) {
        self.step.emit(crate::Fact::Refused { run, message: message.clone() });
        let Some(of) = self.state().run(run) else { return };
        if self.state().is_current(run) && !self.record(of.task).state.is_completed() {
            self.fail_by_force(of.task, RUNNING, &message);
        }
    }

    fn due(&mut self, timer: TimerId) {
        let found = self.state().timer(timer);
        let after = found.and_then(|timer| self.record(timer.task).after.clone());
        self.step.emit(crate::Fact::TimerFired { timer });
        let Some(timer) = found else { return };
        let task = timer.task;
        match timer.why {
            // In an execution that ended meanwhile nobody cleared it.
            Due::Timeout if self.record(task).state.is_completed() => {}
            Due::Timeout => self.time_out(task),
            Due::Wait(Wait::Before) => {
                self.emit(Fact::Became { task, state: TaskState::Running, info: None });
                self.go_on_with(task);
            }
            Due::Wait(Wait::Retry) => {
                self.emit(Fact::Retried { task });
                self.go_on_with(task);
            }
            Due::Wait(Wait::After) => {
                let (state, info) = after.unwrap_or((TaskState::Success, None));
                self.emit(Fact::Settled { task, state, info, at: self.at });
                self.after(task);
            }
        }
    }

    /// The timeout is final: no retry, and whatever is still to come of its actions is ignored.
    fn time_out(&mut self, task: TaskId) {
        let record = self.record(task);
        let info: Str = format!("Task timed out [timeout(s)={}].", record.policies.timeout).into();
        self.clear_timers(task);
        self.emit(Fact::Settled { task, state: TaskState::Error, info: Some(info), at: self.at });
        if let Err(error) = self.publish(task) {
            return self.fail_by_force(task, COMPLETING, &error.message);
        }
        self.follow(task);
    }

    pub fn clear_timers(&mut self, task: TaskId) {
        let record = self.record(task);
        for timer in [record.delay, record.watch].into_iter().flatten() {
            self.step.clear_timer(timer);
        }
    }

    fn pause_asked(&mut self) {
        if self.state().top().is_none_or(|top| top.state != TaskState::Running) {
            return;
        }
        self.step.emit(crate::Fact::PauseAsked);
        self.pause_all(None);
        let runs: Vec<RunId> = self.step.run().offers().keys().copied().collect();
        if !runs.is_empty() {
            self.step.emit(crate::Fact::ChildrenPaused { runs });
        }
    }

    /// Pauses the workflow and its sub-workflows; the first of them says why.
    pub fn pause_all(&mut self, info: Option<Str>) {
        let running: Vec<ExecutionId> =
            self.state().executions.iter().filter(|e| e.state == TaskState::Running).map(|e| e.id).collect();
        for execution in running {
            self.emit(Fact::ExecutionBecame { execution, state: TaskState::Paused, info: info.clone() });
        }
    }

    fn resume_asked(&mut self, env: Map) {
        if self.state().top().is_none_or(|top| top.state != TaskState::Paused) {
            return;
        }
        self.step.emit(crate::Fact::ResumeAsked { env: Box::new(env) });
        let offers = self.step.run().offers();
        let runs: Vec<RunId> =
            offers.iter().filter(|(_, open)| open.status == Status::Paused).map(|(run, _)| *run).collect();
        if !runs.is_empty() {
            self.step.emit(crate::Fact::ChildrenResumed { runs });
        }
        self.go_on();
    }

    /// Lets all paused executions go on, sub-workflows first, with what they held.
    fn go_on(&mut self) {
        let mut paused: Vec<ExecutionId> =
            self.state().executions.iter().filter(|e| e.state == TaskState::Paused).map(|e| e.id).collect();
        paused.reverse();
        for execution in &paused {
            self.emit(Fact::ExecutionBecame { execution: *execution, state: TaskState::Running, info: None });
        }
        for execution in paused {
            let held = self.execution(execution).held.clone();
            if !held.is_empty() {
                self.emit(Fact::Released { execution });
            }
            for what in held {
                self.take_up(execution, what);
            }
            self.look_at_all_joins(execution);
            self.queue.push_back(Todo::Check(execution));
        }
    }

    fn take_up(&mut self, execution: ExecutionId, what: Held) {
        match what {
            Held::Run(task) => {
                if self.record(task).state == TaskState::Idle {
                    self.emit(Fact::Became { task, state: TaskState::Running, info: None });
                }
                self.run(task);
            }
            Held::Follow(task) => self.queue.push_back(Todo::Follow(task)),
            Held::End(state, message) => self.finish(execution, state, message),
            Held::Next(name, by) => {
                if let Some(index) = self.workflow(execution).index.get(&name) {
                    let made = self.make(execution, *index, by);
                    self.launch(made.into_iter().collect());
                }
            }
        }
    }

    fn stop_asked(&mut self, status: Status, message: Option<String>) {
        let Some(top) = self.state().top() else { return };
        // Mistral ends nothing that is paused but by cancel; squall's own server may, when the time of a run is up.
        let is_bare = !self.step.definition.stackstorm;
        let is_refused = is_bare && top.state == TaskState::Paused && status != Status::Canceled;
        if top.state.is_completed() || is_refused {
            return;
        }
        self.step.emit(crate::Fact::StopAsked { status, message: message.clone() });
        let info = message.map(Str::from);
        match status {
            Status::Succeeded => self.finish(0, TaskState::Success, info),
            Status::Canceled => self.cancel(info),
            _ => self.finish(0, TaskState::Error, info),
        }
    }

    fn cancel(&mut self, info: Option<Str>) {
        let open: Vec<ExecutionId> =
            self.state().executions.iter().filter(|e| !e.state.is_completed()).map(|e| e.id).collect();
        for execution in open {
            self.finish(execution, TaskState::Cancelled, info.clone());
        }
        let runs: Vec<RunId> = self.step.run().offers().keys().copied().collect();
        if !runs.is_empty() {
            self.step.emit(crate::Fact::ChildrenStopped { runs });
        }
    }

    fn rerun_asked(&mut self, tasks: Vec<String>, reset: Vec<String>, skip: bool, env: Map) {
        if self.state().top().is_none_or(|top| top.state != TaskState::Error) {
            return;
        }
        let Some(chosen) = self.rerunnable(&tasks) else { return };
        let afresh: Vec<bool> = chosen.iter().map(|(name, _)| reset.contains(name)).collect();
        self.step.emit(crate::Fact::RerunAsked { tasks, reset, skip, env: Box::new(env) });
        for ((_, task), reset) in chosen.into_iter().zip(afresh) {
            self.reopen(self.record(task).execution);
            if skip {
                let info = Some("Task was skipped.".into());
                self.queue.push_back(Todo::Settle(task, TaskState::Skipped, info));
            } else {
                self.emit(Fact::Restarted { task, reset });
                self.start(task);
            }
        }
    }

    /// The failed records that `names` mean, or all of them; `None` when one of the names means none.
    fn rerunnable(&self, names: &[String]) -> Option<Vec<(String, TaskId)>> {
        let failed = |record: &&TaskRun| record.state == TaskState::Error && !record.handled;
        if names.is_empty() {
            let all = self.state().tasks.iter().filter(failed).filter(|t| t.execution == 0);
            let all: Vec<(String, TaskId)> = all.map(|t| (t.name.to_string(), t.id)).collect();
            return (!all.is_empty()).then_some(all);
        }
        let find = |name: &String| {
            let mut latest_first = self.state().tasks.iter().rev();
            let record = latest_first.find(|record| self.is_named(record, name))?;
            (record.state == TaskState::Error).then(|| (name.clone(), record.id))
        };
        names.iter().map(find).collect()
    }

    /// `task` in the workflow itself; `workflow/task` or `task.subtask` anywhere.
    fn is_named(&self, record: &TaskRun, name: &str) -> bool {
        if &*record.name == name {
            return record.execution == 0 || !name.contains(['/', '.']);
        }
        let execution = self.execution(record.execution);
        let above = execution.parent.map(|parent| self.record(parent.task));
        let by_task = above
            .zip(name.strip_suffix(&*record.name))
            .is_some_and(|(above, rest)| rest.strip_suffix('.').is_some_and(|rest| self.is_named(above, rest)));
        let workflow = &self.workflow(record.execution).name;
        let by_workflow = name.rsplit_once('/').is_some_and(|(prefix, task)| {
            task == &*record.name && (prefix == &**workflow || workflow.ends_with(&format!(".{prefix}")))
        });
        by_task || by_workflow
    }

    /// Opens an execution that failed, and those above it.
    fn reopen(&mut self, execution: ExecutionId) {
        if !self.execution(execution).state.is_completed() {
            return;
        }
        self.emit(Fact::ExecutionBecame { execution, state: TaskState::Running, info: None });
        if let Some(parent) = self.execution(execution).parent {
            let above = self.record(parent.task).execution;
            self.emit(Fact::Became { task: parent.task, state: TaskState::Running, info: None });
            self.reopen(above);
        }
        self.take_up_delayed(execution);
        // What ended after the execution had failed was stored, and is followed up now.
        let waiting = self.execution(execution).tasks.iter().map(|task| self.record(*task));
        let unfollowed: Vec<TaskId> = waiting.filter(|t| t.state.is_completed() && !t.followed).map(|t| t.id).collect();
        self.queue.extend(unfollowed.into_iter().map(Todo::Follow));
    }

    /// Tasks that were waiting when their execution ended, and whose timers were cleared then: one that only waited to
    /// tell its end ends, any other starts again.
    fn take_up_delayed(&mut self, execution: ExecutionId) {
        let tasks = self.execution(execution).tasks.iter().map(|task| self.record(*task));
        let stopped = tasks.filter(|task| task.state == TaskState::Delayed && task.delay.is_none());
        let stopped: Vec<_> = stopped.map(|task| (task.id, task.after.clone())).collect();
        for (task, after) in stopped {
            match after {
                Some((state, info)) => {
                    self.emit(Fact::Settled { task, state, info, at: self.at });
                    self.queue.push_back(Todo::Follow(task));
                }
                None => {
                    self.emit(Fact::Restarted { task, reset: false });
                    self.start(task);
                }
            }
        }
    }

    fn begin(&mut self, begin: Box<Begin>) {
        self.step.emit(crate::Fact::Begun { begin });
        match self.prepare_begin() {
            Ok(began) => self.start_execution(began),
            Err(message) => {
                let result = Value::from_pairs([("error", message)]);
                self.step.emit(crate::Fact::Ended { status: Status::Failed, result });
            }
        }
    }

    /// Evaluates `vars` of a workflow that has not begun yet.
    pub fn eval_vars(
        &self,
        workflow: &Workflow,
        execution: ExecutionId,
        input: &Map,
        env: &Arc<Map>,
    ) -> Result<Map, Error> {
        if workflow.vars.is_empty() {
            return Ok(Map::new());
        }
        let run = self.step.run();
        let mut data = input.clone();
        data.insert("__env".into(), Value::Map(env.clone()));
        let id = super::state::execution_uuid(run, execution);
        data.insert("__execution".into(), Value::from_pairs([("id", id.clone())]));
        let root = (execution > 0).then(|| super::state::execution_uuid(run, 0));
        let beginning = super::scope::beginning(workflow, id, root, input, env, self.at);
        let place = Place { beginning, ..self.bare_place(env) };
        eval_pairs(&workflow.vars, Engine::Mistral, &Value::from(data), &place)
    }

    /// Where an expression stands that belongs to no execution yet.
    pub fn bare_place<'p>(&'p self, env: &'p Arc<Map>) -> Place<'p> {
        Place {
            definition: self.step.definition,
            state: self.step.state(),
            host: self.step.host,
            env,
            execution: None,
            task: None,
            beginning: Value::Null,
        }
    }

    /// Fails a task and its workflow at once: the definition is at fault.
    pub fn fail_by_force(&mut self, task: TaskId, stage: &str, error: &str) {
        let record = self.record(task);
        let (execution, name) = (record.execution, record.name.clone());
        let workflow = &self.workflow(execution).name;
        let info: Str = format!("{stage} [error={error}, wf={workflow}, task={name}]:").into();
        self.clear_timers(task);
        self.emit(Fact::Settled { task, state: TaskState::Error, info: Some(info.clone()), at: self.at });
        self.emit(Fact::Followed { task, next: Arc::default(), handled: false });
        // A paused execution stays so, and fails of this task when it goes on.
        if self.execution(execution).state != TaskState::Paused {
            self.finish(execution, TaskState::Error, Some(info));
        }
    }
}

/// What was going on when a definition turned out to be at fault.
pub(super) const RUNNING: &str = "Failed to run task";
pub(super) const COMPLETING: &str = "Failed to handle action completion";

/// A failed action's value as `state_info` shows it: nothing when it is empty.
pub(super) fn info_of(value: &Value) -> Option<Str> {
    value.is_truthy().then(|| python::str(value).into())
}
