//! What follows a task: transitions, commands, joins, and the end of an execution.

use super::context::Context;
use super::decide::{COMPLETING, Conductor, Todo};
use super::definition::{Clause, Target, TaskIndex, To};
use super::fact::{ExecutionId, Fact, Held, TaskId, TaskState, Via};
use super::report;
use crate::expressions::Expr;
use squall_expr::{Engine, Error, python};
use squall_model::{Map, Str, Value};
use std::collections::HashSet;

/// What a taken transition asks for.
enum Command {
    Task(TaskIndex, Via),
    Fail(Option<Str>),
    Succeed(Option<Str>),
    Pause(Option<Str>),
}

/// The transitions of a task that were taken.
#[derive(Default)]
struct Taken {
    commands: Vec<Command>,
    handled: bool,
}

impl Taken {
    /// The tasks among them, with the clause that names each.
    fn tasks(&self) -> impl Iterator<Item = (TaskIndex, Via)> {
        self.commands.iter().filter_map(|command| match command {
            Command::Task(index, via) => Some((*index, *via)),
            Command::Fail(_) | Command::Succeed(_) | Command::Pause(_) => None,
        })
    }
}

impl Conductor<'_, '_> {
    /// Looks at the transitions of a task that is over.
    pub fn follow(&mut self, task: TaskId) {
        let record = self.record(task);
        let execution = record.execution;
        match self.execution(execution).state {
            TaskState::Running => {}
            TaskState::Paused => return self.emit(Fact::Held { execution, what: Held::Follow(task) }),
            _ => return,
        }
        self.clear_timers(task);
        if self.workflow(execution).reverse {
            self.follow_reverse(task, execution);
        } else {
            match self.taken(task) {
                Ok(taken) => self.follow_direct(task, execution, taken),
                Err(error) => return self.fail_by_force(task, COMPLETING, &error.message),
            }
        }
        self.queue.push_back(Todo::Check(execution));
    }

    fn follow_direct(&mut self, task: TaskId, execution: ExecutionId, taken: Taken) {
        let workflow = self.workflow(execution);
        let next = taken.tasks().map(|(index, via)| (workflow.tasks[index].name.clone(), Some(via))).collect();
        self.emit(Fact::Followed { task, next, handled: taken.handled });
        self.dispatch(execution, task, &taken);
        self.look_at_joins(execution, task, &taken);
    }

    fn follow_reverse(&mut self, task: TaskId, execution: ExecutionId) {
        let workflow = self.workflow(execution);
        let record = self.record(task);
        let missing = &self.execution(execution).missing;
        let mut ready: Vec<TaskIndex> = Vec::new();
        if record.state == TaskState::Success {
            let dependents = workflow.tasks[record.index].dependents.iter().copied();
            ready.extend(dependents.filter(|index| missing.get(*index) == Some(&Some(1))));
        }
        let next = ready.iter().map(|index| (workflow.tasks[*index].name.clone(), None)).collect();
        self.emit(Fact::Followed { task, next, handled: false });
        let mut made = Vec::new();
        for index in ready {
            let records = &self.execution(execution).records;
            let by = workflow.tasks[index].requires.iter().filter_map(|r| records[*r].latest).collect();
            made.push(self.make_from(execution, index, by));
        }
        self.launch(made);
    }

    /// Evaluates the conditions of the clauses that the task's state calls for.
    fn taken(&self, task: TaskId) -> Result<Taken, Error> {
        let spec = self.task(task);
        let mut taken = Taken::default();
        match self.record(task).state {
            TaskState::Success => {
                self.take(task, &spec.on_success, Via::OnSuccess, &mut taken)?;
                self.take(task, &spec.on_complete, Via::OnComplete, &mut taken)?;
            }
            TaskState::Error => {
                taken.handled = self.take(task, &spec.on_error, Via::OnError, &mut taken)?;
                self.take(task, &spec.on_complete, Via::OnComplete, &mut taken)?;
            }
            TaskState::Skipped => {
                let by_skip = self.take(task, &spec.on_skip, Via::OnSkip, &mut taken)?;
                if !by_skip {
                    self.take(task, &spec.on_success, Via::OnSuccess, &mut taken)?;
                }
            }
            _ => {}
        }
        Ok(taken)
    }

    /// Answers whether any entry of the clause was taken.
    fn take(&self, task: TaskId, clause: &Clause, via: Via, taken: &mut Taken) -> Result<bool, Error> {
        if clause.next.is_empty() {
            return Ok(false);
        }
        let record = self.record(task);
        let place = self.place(record.execution, Some(task));
        let view = place.view(record, &record.outbound, None);
        let eval = |expr: &Expr| expr.eval(Engine::Mistral, &view, &place);
        let mut any = false;
        for Target { to, when } in &clause.next {
            if let Some(when) = when
                && !eval(when)?.is_truthy()
            {
                continue;
            }
            any = true;
            let text = |message: &Option<Expr>| match message {
                None => Ok::<Option<Str>, Error>(None),
                Some(message) => Ok(Some(python::str(&eval(message)?).into())),
            };
            match to {
                To::Noop => {}
                To::Task(index) => taken.commands.push(Command::Task(*index, via)),
                To::Fail(message) => taken.commands.push(Command::Fail(text(message)?)),
                To::Succeed(message) => taken.commands.push(Command::Succeed(text(message)?)),
                To::Pause(message) => taken.commands.push(Command::Pause(text(message)?)),
            }
        }
        Ok(any)
    }

    /// Carries the commands out in order, then starts the tasks that they made; `fail` and `succeed` end the list.
    fn dispatch(&mut self, execution: ExecutionId, by: TaskId, taken: &Taken) {
        let mut made = Vec::new();
        for command in &taken.commands {
            match command {
                Command::Task(index, _) if self.execution(execution).state == TaskState::Paused => {
                    let name = self.workflow(execution).tasks[*index].name.clone();
                    self.emit(Fact::Held { execution, what: Held::Next(name, by) });
                }
                Command::Task(index, _) => made.extend(self.make(execution, *index, by)),
                Command::Fail(message) => {
                    self.end_by_command(execution, TaskState::Error, message.clone());
                    break;
                }
                Command::Succeed(message) => {
                    self.end_by_command(execution, TaskState::Success, message.clone());
                    break;
                }
                Command::Pause(message) => self.pause_all(message.clone()),
            }
        }
        self.launch(made);
    }

    /// `fail` and `succeed`; behind a `pause` they wait until the execution goes on.
    fn end_by_command(&mut self, execution: ExecutionId, state: TaskState, message: Option<Str>) {
        match self.execution(execution).state {
            TaskState::Paused => self.emit(Fact::Held { execution, what: Held::End(state, message) }),
            _ => self.finish(execution, state, message),
        }
    }

    /// Joins that may have become impossible because `task` did not lead where it could have.
    fn look_at_joins(&mut self, execution: ExecutionId, task: TaskId, taken: &Taken) {
        if self.execution(execution).waiting == 0 {
            return;
        }
        let spec = self.task(task);
        let workflow = self.workflow(execution);
        let leads_to_join = |index: &TaskIndex| workflow.tasks[*index].leads_to_join;
        let dead = spec.outbound.iter().filter(|index| !taken.tasks().any(|(taken, _)| taken == **index));
        if dead.into_iter().any(leads_to_join) {
            self.look_at_all_joins(execution);
        }
    }

    pub fn look_at_all_joins(&mut self, execution: ExecutionId) {
        let joins: Vec<TaskId> = self.waiting_joins(execution);
        self.queue.extend(joins.into_iter().map(|join| Todo::Join(join, true)));
    }

    fn waiting_joins(&self, execution: ExecutionId) -> Vec<TaskId> {
        let workflow = self.workflow(execution);
        let records = &self.execution(execution).records;
        let latest = workflow.joins.iter().filter_map(|index| records[*index].latest);
        latest.filter(|id| self.record(*id).state == TaskState::Waiting).collect()
    }

    /// Starts a join that has its inbound tasks; with `look`, fails one that can no longer get them.
    pub fn join(&mut self, join: TaskId, look: bool) {
        let record = self.record(join);
        if record.state != TaskState::Waiting {
            return;
        }
        let execution = record.execution;
        match self.execution(execution).state {
            TaskState::Running => {}
            // Looked at again when the execution goes on.
            TaskState::Paused => return,
            _ => return,
        }
        let spec = self.task(join);
        let needed = spec.needed();
        if record.arrived.len() >= needed {
            self.emit(Fact::Became { task: join, state: TaskState::Running, info: None });
            return self.start_join(join);
        }
        if !look {
            return;
        }
        let lost: Vec<TaskIndex> = spec.inbound.iter().copied().filter(|i| self.is_lost(join, *i)).collect();
        if spec.inbound.len() - lost.len() < needed {
            self.fail_join(join, &lost);
        }
    }

    fn fail_join(&mut self, join: TaskId, lost: &[TaskIndex]) {
        let workflow = self.workflow(self.record(join).execution);
        let names = lost.iter().map(|index| Value::from(workflow.tasks[*index].name.clone())).collect::<Vec<_>>();
        let info = format!("Failed by tasks: {}", python::repr(&Value::from(names)));
        self.settle(join, TaskState::Error, Some(info.into()));
    }

    /// Whether an inbound task of a join did not lead there and never will.
    fn is_lost(&self, join: TaskId, inbound: TaskIndex) -> bool {
        let record = self.record(join);
        if record.arrived.contains(&inbound) {
            return false;
        }
        let execution = self.execution(record.execution);
        let records = execution.records[inbound];
        if records.open > 0 {
            return false;
        }
        records.latest.is_some() || !self.may_still_run(record.execution, inbound)
    }

    /// Whether a task that was never reached may still be: some open task lies upstream of it.
    fn may_still_run(&self, execution: ExecutionId, task: TaskIndex) -> bool {
        let workflow = self.workflow(execution);
        let execution = self.execution(execution);
        let held = |index: TaskIndex| {
            let name = &workflow.tasks[index].name;
            execution.held.iter().any(|held| matches!(held, Held::Next(next, _) if next == name))
        };
        let mut seen: HashSet<TaskIndex> = HashSet::from([task]);
        let mut pending = vec![task];
        while let Some(index) = pending.pop() {
            if execution.records[index].open > 0 || held(index) {
                return true;
            }
            pending.extend(workflow.tasks[index].inbound.iter().filter(|inbound| seen.insert(**inbound)));
        }
        false
    }

    /// Ends an execution that has nothing left to do.
    pub fn check(&mut self, execution: ExecutionId) {
        let found = self.execution(execution);
        if found.state != TaskState::Running || !found.held.is_empty() {
            return;
        }
        if found.open > 0 {
            if found.open == found.waiting {
                self.break_deadlock(execution);
            }
            return;
        }
        let records = || self.execution(execution).tasks.iter().map(|task| self.record(*task));
        let cancelled: Vec<&str> = records().filter(|t| t.state == TaskState::Cancelled).map(|t| &*t.name).collect();
        if !cancelled.is_empty() {
            let info = format!("Cancelled tasks: {}", cancelled.join(", "));
            return self.finish(execution, TaskState::Cancelled, Some(info.into()));
        }
        if records().any(|t| t.state == TaskState::Error && !t.handled) {
            let text = report::failure(self.step.definition, self.step.run(), self.state(), execution);
            return self.finish(execution, TaskState::Error, Some(text.into()));
        }
        self.finish(execution, TaskState::Success, None);
    }

    /// Only joins are left, and they wait for one another: fails those that cannot start.
    fn break_deadlock(&mut self, execution: ExecutionId) {
        let joins = self.waiting_joins(execution);
        for join in joins {
            let record = self.record(join);
            let spec = self.task(join);
            if record.arrived.len() >= spec.needed() {
                self.queue.push_back(Todo::Join(join, false));
                continue;
            }
            let absent: Vec<TaskIndex> =
                spec.inbound.iter().copied().filter(|inbound| !record.arrived.contains(inbound)).collect();
            self.fail_join(join, &absent);
        }
    }

    /// Ends an execution with what it gives.
    pub fn finish(&mut self, execution: ExecutionId, state: TaskState, info: Option<Str>) {
        if self.execution(execution).state.is_completed() {
            return;
        }
        let (state, info, output) = self.outcome(execution, state, info);
        if self.step.definition.stackstorm {
            let timers: Vec<_> = self.execution(execution).timers.iter().copied().collect();
            for timer in timers {
                self.step.clear_timer(timer);
            }
        }
        self.emit(Fact::ExecutionEnded { execution, state, info, output, at: self.at });
        if let Some(parent) = self.execution(execution).parent {
            self.queue.push_back(Todo::SlotDone(parent.task));
        }
    }

    fn outcome(&self, execution: ExecutionId, state: TaskState, info: Option<Str>) -> (TaskState, Option<Str>, Value) {
        match state {
            TaskState::Success => match self.output(execution) {
                Ok(output) => (state, info, output),
                Err(error) => {
                    let id = &self.execution(execution).uuid;
                    let name = &self.workflow(execution).name;
                    let text =
                        format!("Failed to check and complete [wf_ex_id={id}, wf_name={name}]: {}", error.message);
                    let output = Value::from_pairs([("result", text.clone())]);
                    (TaskState::Error, Some(text.into()), output)
                }
            },
            TaskState::Error => self.error_output(execution, info),
            _ => {
                let output = Value::from_pairs([("result", Value::from(info.clone()))]);
                (state, info, output)
            }
        }
    }

    /// The declared output, or the whole final context when there is none.
    fn output(&self, execution: ExecutionId) -> Result<Value, Error> {
        let context = self.final_context(execution);
        if let Some(expr) = &self.workflow(execution).output {
            let output = self.eval_final(execution, &context, expr)?;
            if output.as_map().is_none_or(|map| !map.is_empty()) {
                return Ok(output);
            }
        }
        Ok(Value::from(context.all(self.state().numbers())))
    }

    fn error_output(&self, execution: ExecutionId, info: Option<Str>) -> (TaskState, Option<Str>, Value) {
        let context = self.final_context(execution);
        let mut output = Map::new();
        output.insert("result".into(), Value::from(info.clone()));
        match &self.workflow(execution).output_on_error {
            None => output.extend(context.all(self.state().numbers())),
            Some(expr) => match self.eval_final(execution, &context, expr) {
                Ok(Value::Map(declared)) => output.extend(declared.iter().map(|(k, v)| (k.clone(), v.clone()))),
                Ok(_) => {}
                Err(error) => {
                    let text: Str = error.message.into();
                    let output = Value::from_pairs([("result", text.clone())]);
                    return (TaskState::Error, Some(text), output);
                }
            },
        }
        (TaskState::Error, info, Value::from(output))
    }

    fn eval_final(&self, execution: ExecutionId, context: &Context, expr: &Expr) -> Result<Value, Error> {
        if let Some(value) = expr.constant() {
            return Ok(value.clone());
        }
        let place = self.place(execution, None);
        expr.eval(Engine::Mistral, &place.final_view(self.execution(execution), context), &place)
    }

    /// What the end tasks hand on, together; of a reverse workflow what its target does.
    fn final_context(&self, execution: ExecutionId) -> Context {
        let reverse = self.workflow(execution).reverse;
        let mut context = Context::default();
        for task in &self.execution(execution).tasks {
            let record = self.record(*task);
            let is_end = if reverse {
                self.task(*task).dependents.iter().all(|d| self.execution(execution).missing[*d].is_none())
            } else {
                record.next.is_empty()
            };
            if record.state.is_completed() && is_end {
                context.merge(&record.outbound);
            }
        }
        context
    }
}
