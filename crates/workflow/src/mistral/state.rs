//! What a Mistral run remembers, and how facts change it.
//!
//! Executions (the workflow and its sub-workflows) and task records stand in two lists and know each other by
//! number. Everything that a decision needs is counted as facts come in, so that a step looks at the records it is
//! about and at nothing else: a join compares two numbers, an execution is over when its `open` is 0.
//!
//! Nothing here evaluates or decides.

use super::context::Context;
use super::definition::{Definition, TaskIndex, Workflow};
use super::fact::{Began, ExecutionId, Fact, Held, Next, Parent, Policies, TaskId, TaskState, Wait};
use super::scope::NOTHING;
use super::task_run::{Failure, FailureOf, TaskRun};
use crate::variables::Numbers;
use crate::{Offer, Run, RunId, TimerId};
use squall_model::{Map, Status, Str, Timestamp, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// No transitions; shared by all whose were not looked at.
static NOWHERE: LazyLock<Next> = LazyLock::new(Arc::default);

/// What a Mistral run remembers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub(crate) executions: Vec<Execution>,
    pub(crate) tasks: Vec<TaskRun>,
    runs: Vec<RunOf>,
    timers: BTreeMap<TimerId, Timer>,
    env: Arc<Map>,
    /// Of all variables that were published.
    numbers: Numbers,
    /// Sub-workflows that are under way.
    live: u32,
}

/// The workflow, or one of its sub-workflows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Execution {
    pub id: ExecutionId,
    /// The id that expressions and results show.
    pub uuid: Str,
    /// Which workflow of the definition.
    pub workflow: usize,
    pub parent: Option<Parent>,
    /// Which try of the parent task it belongs to; a result of an earlier try does not count.
    generation: u32,
    /// How many executions are above it.
    pub depth: u32,
    pub state: TaskState,
    pub info: Option<Str>,
    pub input: Arc<Map>,
    pub params: Arc<Map>,
    /// `vars` and global variables.
    pub layer: Arc<Map>,
    /// The lowest layers as expressions see them: input, `layer`, `__execution`, `__env`.
    pub base: Arc<Map>,
    pub output: Value,
    pub tasks: Vec<TaskId>,
    /// For each task of the workflow: its records.
    pub records: Vec<Records>,
    /// Records whose transitions were not looked at yet.
    pub open: u32,
    /// Joins among them that wait.
    pub waiting: u32,
    pub held: Vec<Held>,
    /// Timers of its tasks.
    pub timers: BTreeSet<TimerId>,
    /// Reverse workflows: how many requirements each task still misses; `None` for those that are not needed.
    pub missing: Vec<Option<u32>>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// The records of one task in one execution.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Records {
    pub latest: Option<TaskId>,
    /// How many of them are open.
    pub open: u32,
}

/// What an offer belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct RunOf {
    pub task: TaskId,
    pub slot: u32,
    generation: u32,
    index: u32,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timer {
    pub task: TaskId,
    pub why: Due,
}

/// What happens when a timer fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Due {
    /// The wait is over.
    Wait(Wait),
    /// The task is given up.
    Timeout,
}

impl State {
    /// The workflow's own execution, once it began.
    pub(crate) fn top(&self) -> Option<&Execution> {
        self.executions.first()
    }

    pub(crate) fn execution(&self, id: ExecutionId) -> &Execution {
        &self.executions[id as usize]
    }

    pub(crate) fn task(&self, id: TaskId) -> &TaskRun {
        &self.tasks[id as usize]
    }

    /// What an offer belongs to.
    pub(crate) fn run(&self, run: RunId) -> Option<RunOf> {
        self.runs.get(run as usize).copied()
    }

    /// Whether `run` belongs to the current try of its task.
    pub(crate) fn is_current(&self, run: RunId) -> bool {
        self.run(run).is_some_and(|of| self.task(of.task).generation == of.generation)
    }

    /// What a timer is for.
    pub(crate) fn timer(&self, timer: TimerId) -> Option<Timer> {
        self.timers.get(&timer).copied()
    }

    /// The numbers of variables in contexts.
    pub(crate) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The env of the run.
    pub(crate) fn env(&self) -> &Arc<Map> {
        &self.env
    }

    pub(crate) fn apply(&mut self, definition: &Definition, run: &Run, fact: &crate::Fact) {
        match fact {
            crate::Fact::Offered { offer } => self.offered(offer),
            crate::Fact::Finished { run, status, result } => self.finished(*run, *status, result),
            crate::Fact::Refused { run, message } => {
                self.finished(*run, Status::Failed, &Value::from(message.as_str()));
            }
            crate::Fact::TimerFired { timer } | crate::Fact::TimerCleared { timer } => self.stopped(*timer),
            crate::Fact::ResumeAsked { env } | crate::Fact::RerunAsked { env, .. } => self.merge_env(env),
            crate::Fact::Mistral(fact) => self.own(definition, run, fact),
            _ => {}
        }
    }

    /// Whether everything that a fact is about exists. A log that was written for another definition must not panic.
    fn knows(&self, definition: &Definition, fact: &Fact) -> bool {
        let task = |task: &TaskId| (*task as usize) < self.tasks.len();
        let execution = |execution: &ExecutionId| (*execution as usize) < self.executions.len();
        match fact {
            Fact::Began(began) => {
                !definition.workflows.is_empty() && began.parent.is_none_or(|parent| task(&parent.task))
            }
            Fact::Made { execution: above, by, .. } => execution(above) && by.iter().all(task),
            Fact::Arrived { join, by } => task(join) && task(by),
            Fact::Prepared { task: id, .. }
            | Fact::Waits { task: id, .. }
            | Fact::Watched { task: id, .. }
            | Fact::Became { task: id, .. }
            | Fact::Listed { task: id, .. }
            | Fact::Settled { task: id, .. }
            | Fact::Published { task: id, .. }
            | Fact::Forgot { task: id }
            | Fact::Retried { task: id }
            | Fact::Followed { task: id, .. }
            | Fact::Restarted { task: id, .. } => task(id),
            Fact::Held { execution: id, .. }
            | Fact::Released { execution: id }
            | Fact::ExecutionBecame { execution: id, .. }
            | Fact::ExecutionEnded { execution: id, .. } => execution(id),
            Fact::Reshaped { .. } => true,
        }
    }

    fn own(&mut self, definition: &Definition, run: &Run, fact: &Fact) {
        if !self.knows(definition, fact) {
            return;
        }
        match fact {
            Fact::Began(began) => self.began(definition, run, began),
            Fact::Made { execution, name, by, waiting, at } => {
                self.made(definition, run, *execution, name, by, *waiting, *at);
            }
            Fact::Arrived { join, by } => self.arrived(*join, *by),
            Fact::Prepared { task, policies } => {
                if let Some(record) = self.tasks.get_mut(*task as usize) {
                    record.policies = policies.clone();
                    record.prepared = true;
                }
            }
            Fact::Waits { task, timer, why, info } => self.waits(*task, *timer, *why, info),
            Fact::Watched { task, timer } => self.start_timer(*task, *timer, Due::Timeout),
            Fact::Became { task, state, info } => {
                self.enter(*task, *state, info.clone());
                self.tasks[*task as usize].after = None;
            }
            Fact::Listed { task, items } => self.tasks[*task as usize].list(items),
            Fact::Reshaped { run, result } => self.reshaped(*run, result),
            Fact::Settled { task, state, info, at } => self.settled(*task, *state, info, *at),
            Fact::Published { task, branch, global, nothing } => {
                self.tasks[*task as usize].published_nothing = *nothing;
                self.published(*task, branch, global);
            }
            Fact::Forgot { task } => self.tasks[*task as usize].forget(),
            Fact::Retried { task } => {
                self.enter(*task, TaskState::Running, None);
                self.tasks[*task as usize].retry();
            }
            Fact::Followed { task, next, handled } => self.followed(definition, *task, next, *handled),
            Fact::Held { execution, what } => self.executions[*execution as usize].held.push(what.clone()),
            Fact::Released { execution } => self.executions[*execution as usize].held.clear(),
            Fact::Restarted { task, reset } => {
                self.enter(*task, TaskState::Running, None);
                let record = &mut self.tasks[*task as usize];
                record.restart(*reset);
                (record.prepared, record.waited_after, record.retries) = (false, false, None);
            }
            Fact::ExecutionBecame { execution, state, info } => self.execution_became(*execution, *state, info),
            Fact::ExecutionEnded { execution, state, info, output, at } => {
                self.ended(*execution, *state, info, output, *at);
            }
        }
    }

    fn began(&mut self, definition: &Definition, run: &Run, began: &Began) {
        let id = self.executions.len() as ExecutionId;
        if let Some(env) = &began.env {
            self.env = env.clone();
        }
        let index = definition.names.get(&began.workflow).copied().unwrap_or_default();
        let workflow = &definition.workflows[index];
        let mut execution = Execution {
            id,
            uuid: execution_uuid(run, id),
            workflow: index,
            parent: began.parent,
            generation: 0,
            depth: 0,
            state: TaskState::Running,
            info: None,
            input: Arc::new(began.input.clone()),
            params: Arc::new(began.params.clone()),
            layer: Arc::new(began.vars.clone()),
            base: Arc::default(),
            output: Value::Null,
            tasks: Vec::new(),
            records: vec![Records::default(); workflow.tasks.len()],
            open: 0,
            waiting: 0,
            held: Vec::new(),
            timers: BTreeSet::new(),
            missing: began.target.as_ref().map_or_else(Vec::new, |target| workflow.needed_for(target)),
            created: began.at,
            updated: began.at,
        };
        if let Some(parent) = began.parent {
            let above = self.task(parent.task).execution;
            execution.depth = self.execution(above).depth + 1;
            // Every sub-workflow shows the env of the run; its fact does not repeat it.
            Arc::make_mut(&mut execution.params).insert("env".into(), Value::Map(self.env.clone()));
            let task = &mut self.tasks[parent.task as usize];
            execution.generation = task.generation;
            task.open_slot(parent.item);
            task.children.push(id);
        }
        execution.rebuild(&self.env);
        self.live += u32::from(execution.is_live());
        self.executions.push(execution);
    }

    #[allow(clippy::too_many_arguments)] // the fields of one fact, and what it is folded with
    fn made(
        &mut self,
        definition: &Definition,
        run: &Run,
        execution: ExecutionId,
        name: &Str,
        by: &[TaskId],
        waiting: bool,
        at: Timestamp,
    ) {
        let id = self.tasks.len() as TaskId;
        let above = self.execution(execution);
        let Some(&index) = definition.workflows[above.workflow].index.get(name) else { return };
        let mut inbound = Context::default();
        let mut arrived = BTreeSet::new();
        for parent in by {
            let parent = self.task(*parent);
            inbound.merge(&parent.outbound);
            if waiting {
                arrived.insert(parent.index);
            }
        }
        let state = if waiting { TaskState::Waiting } else { TaskState::Running };
        let above = &mut self.executions[execution as usize];
        above.tasks.push(id);
        above.open += 1;
        above.waiting += u32::from(waiting);
        above.records[index].latest = Some(id);
        above.records[index].open += 1;
        let uuid = task_uuid(run, id);
        self.tasks.push(TaskRun {
            id,
            uuid,
            execution,
            index,
            name: name.clone(),
            state,
            info: waiting.then(|| "Task is waiting.".into()),
            outbound: inbound.clone(),
            inbound,
            published: NOTHING.clone(),
            published_nothing: false,
            policies: Policies::default(),
            prepared: false,
            items: None,
            input: Value::Null,
            slots: Vec::new(),
            next_item: 0,
            running: 0,
            failed: 0,
            cancelled: 0,
            result: None,
            forgot: false,
            attempts: 0,
            generation: 0,
            retries: None,
            failures: Vec::new(),
            children: Vec::new(),
            arrived,
            next: NOWHERE.clone(),
            handled: false,
            followed: false,
            delay: None,
            watch: None,
            after: None,
            waited_after: false,
            created: at,
            updated: at,
        });
    }

    fn arrived(&mut self, join: TaskId, by: TaskId) {
        let parent = self.task(by);
        let (index, context) = (parent.index, parent.outbound.clone());
        let task = &mut self.tasks[join as usize];
        task.inbound.merge(&context);
        task.outbound = task.inbound.with(&mut self.numbers, &task.published);
        task.arrived.insert(index);
    }

    /// Changes a task's state and what its execution counts.
    fn enter(&mut self, task: TaskId, state: TaskState, info: Option<Str>) {
        let record = &mut self.tasks[task as usize];
        let execution = &mut self.executions[record.execution as usize];
        if record.followed && !state.is_completed() {
            record.followed = false;
            execution.open += 1;
            execution.records[record.index].open += 1;
        }
        execution.waiting -= u32::from(record.state == TaskState::Waiting);
        execution.waiting += u32::from(state == TaskState::Waiting);
        (record.state, record.info) = (state, info);
    }

    fn waits(&mut self, task: TaskId, timer: TimerId, why: Wait, info: &Option<Str>) {
        let record = self.task(task);
        let after = (record.state, record.info.clone());
        self.enter(task, TaskState::Delayed, info.clone());
        self.start_timer(task, timer, Due::Wait(why));
        if why == Wait::After {
            let record = &mut self.tasks[task as usize];
            record.after = Some(after);
            record.waited_after = true;
        }
    }

    fn start_timer(&mut self, task: TaskId, timer: TimerId, why: Due) {
        let record = &mut self.tasks[task as usize];
        match why {
            Due::Timeout => record.watch = Some(timer),
            Due::Wait(_) => record.delay = Some(timer),
        }
        self.executions[record.execution as usize].timers.insert(timer);
        self.timers.insert(timer, Timer { task, why });
    }

    fn stopped(&mut self, timer: TimerId) {
        let Some(Timer { task, .. }) = self.timers.remove(&timer) else { return };
        let record = &mut self.tasks[task as usize];
        record.delay = record.delay.filter(|t| *t != timer);
        record.watch = record.watch.filter(|t| *t != timer);
        self.executions[record.execution as usize].timers.remove(&timer);
    }

    fn settled(&mut self, task: TaskId, state: TaskState, info: &Option<Str>, at: Timestamp) {
        let record = &mut self.tasks[task as usize];
        if record.followed {
            let execution = &mut self.executions[record.execution as usize];
            record.followed = false;
            execution.open += 1;
            execution.records[record.index].open += 1;
        }
        self.enter(task, state, info.clone());
        let record = &mut self.tasks[task as usize];
        record.updated = at;
        record.after = None;
        record.result = Some(record.compute_result());
    }

    fn published(&mut self, task: TaskId, branch: &Arc<Map>, global: &Map) {
        let record = &mut self.tasks[task as usize];
        record.published = branch.clone();
        record.outbound = record.inbound.with(&mut self.numbers, branch);
        if !global.is_empty() {
            let execution = &mut self.executions[record.execution as usize];
            let layer = Arc::make_mut(&mut execution.layer);
            layer.extend(global.iter().map(|(k, v)| (k.clone(), v.clone())));
            execution.rebuild(&self.env);
        }
    }

    fn followed(&mut self, definition: &Definition, task: TaskId, next: &Next, handled: bool) {
        let record = &mut self.tasks[task as usize];
        record.next = next.clone();
        record.handled = handled;
        let execution = &mut self.executions[record.execution as usize];
        if !record.followed {
            record.followed = true;
            execution.open -= 1;
            execution.records[record.index].open -= 1;
        }
        let workflow = &definition.workflows[execution.workflow];
        if workflow.reverse && record.state == TaskState::Success {
            for dependent in &workflow.tasks[record.index].dependents {
                if let Some(Some(missing)) = execution.missing.get_mut(*dependent) {
                    *missing = missing.saturating_sub(1);
                }
            }
        }
    }

    fn offered(&mut self, offer: &Offer) {
        let Some(task) = self.tasks.get_mut(offer.route as usize) else { return };
        let slot = task.open_slot(offer.item.unwrap_or(task.next_slot()));
        task.input = offer.input.clone();
        let of = RunOf { task: task.id, slot, generation: task.generation, index: task.attempts - 1 };
        let place = offer.run as usize;
        if self.runs.len() <= place {
            self.runs.resize(place + 1, RunOf::default());
        }
        self.runs[place] = of;
    }

    fn finished(&mut self, run: RunId, status: Status, result: &Value) {
        let (Some(of), Some(state)) = (self.run(run), TaskState::of(status)) else { return };
        let task = &mut self.tasks[of.task as usize];
        if state == TaskState::Error {
            task.failures.push(Failure { index: of.index, of: FailureOf::Run(run), error: result.clone() });
        }
        if task.generation == of.generation {
            task.close_slot(of.slot, state, result.clone());
        }
    }

    fn reshaped(&mut self, run: RunId, result: &Value) {
        let Some(of) = self.run(run) else { return };
        if let Some(slot) = self.tasks[of.task as usize].slots.get_mut(of.slot as usize) {
            slot.value = result.clone();
        }
    }

    fn execution_became(&mut self, id: ExecutionId, state: TaskState, info: &Option<Str>) {
        let execution = &mut self.executions[id as usize];
        let reopened = execution.state.is_completed();
        self.live -= u32::from(execution.is_live());
        (execution.state, execution.info) = (state, info.clone());
        self.live += u32::from(execution.is_live());
        if let Some(parent) = execution.parent.filter(|_| reopened) {
            let generation = execution.generation;
            let task = &mut self.tasks[parent.task as usize];
            if task.generation == generation {
                task.reopen_slot(parent.item);
            }
        }
    }

    /// Whether some sub-workflow is under way.
    pub(crate) fn is_live(&self) -> bool {
        self.live > 0
    }

    fn ended(&mut self, id: ExecutionId, state: TaskState, info: &Option<Str>, output: &Value, at: Timestamp) {
        let execution = &mut self.executions[id as usize];
        self.live -= u32::from(execution.is_live());
        (execution.state, execution.info, execution.output) = (state, info.clone(), output.clone());
        execution.updated = at;
        execution.held.clear();
        let Some(parent) = execution.parent else { return };
        let generation = execution.generation;
        let task = &mut self.tasks[parent.task as usize];
        if state == TaskState::Error {
            let index = task.children.iter().position(|child| *child == id).unwrap_or_default() as u32;
            let error = Value::from(info.clone());
            task.failures.push(Failure { index, of: FailureOf::Execution(id), error });
        }
        if task.generation == generation {
            task.close_slot(parent.item, state, output.clone());
        }
    }

    fn merge_env(&mut self, env: &Map) {
        if env.is_empty() {
            return;
        }
        let merged = Arc::make_mut(&mut self.env);
        merged.extend(env.iter().map(|(k, v)| (k.clone(), v.clone())));
        for execution in &mut self.executions {
            execution.rebuild(&self.env);
        }
    }
}

impl Execution {
    fn is_live(&self) -> bool {
        self.parent.is_some() && self.state == TaskState::Running
    }

    fn rebuild(&mut self, env: &Arc<Map>) {
        let mut base = (*self.input).clone();
        base.extend(self.layer.iter().map(|(k, v)| (k.clone(), v.clone())));
        base.insert("__env".into(), Value::Map(env.clone()));
        base.insert("__execution".into(), Value::from_pairs([("id", self.uuid.clone())]));
        self.base = Arc::new(base);
    }
}

impl Workflow {
    /// For a reverse workflow with `target`: how many requirements each needed task has.
    fn needed_for(&self, target: &str) -> Vec<Option<u32>> {
        let mut missing = vec![None; self.tasks.len()];
        let mut pending: Vec<TaskIndex> = self.index.get(target).copied().into_iter().collect();
        while let Some(task) = pending.pop() {
            if missing[task].is_none() {
                missing[task] = Some(self.tasks[task].requires.len() as u32);
                pending.extend(&self.tasks[task].requires);
            }
        }
        missing
    }
}

/// The id under which expressions and results know an execution: fixed by the run's own id.
pub(crate) fn execution_uuid(run: &Run, execution: ExecutionId) -> Str {
    uuid(run, "execution", execution)
}

/// The same for a task record.
pub(crate) fn task_uuid(run: &Run, task: TaskId) -> Str {
    uuid(run, "task", task)
}

/// The same for an action run.
pub(crate) fn action_uuid(run: &Run, action: RunId) -> Str {
    uuid(run, "action", action)
}

/// A UUID made of the run's id, a kind and a number: two rounds of FNV-1a. It names, it does not protect.
fn uuid(run: &Run, kind: &str, number: u32) -> Str {
    let execution = run.begin().map_or("", |begin| begin.execution.as_str());
    let (mut high, mut low) = (0xcbf2_9ce4_8422_2325_u64, 0x6c62_272e_07bb_0142_u64);
    for part in [execution.as_bytes(), kind.as_bytes(), &number.to_le_bytes()] {
        for byte in part {
            high = (high ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            low = (low ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    let bits = (u128::from(high) << 64) | u128::from(low);
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    for (place, byte) in UUID_PLACES.into_iter().zip(bits.to_be_bytes()) {
        text[place] = HEX[usize::from(byte >> 4)];
        text[place + 1] = HEX[usize::from(byte & 0xf)];
    }
    std::str::from_utf8(&text).unwrap_or_default().into()
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Where the bytes of a UUID stand in its text.
const UUID_PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
