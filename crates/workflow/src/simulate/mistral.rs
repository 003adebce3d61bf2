//! Recorded Mistral cases: scripted results on a virtual clock.

use super::machine::{Crash, Machine, Scripted, closed, json, map, open, value};
use crate::mistral::{self, TaskState};
use crate::{Begin, Definition, Fact, Offer, Registered, RunId, Stimulus, standard};
use serde_json::{Value as Json, json};
use squall_model::{Map, Status, Value};
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

/// What squall does with a line of `mistral.jsonl`, in the shape of its `expected`.
pub fn mistral(vector: &Json) -> Json {
    mistral_with(vector, Crash::Never)
}

/// The same, crashing or not; `broken` in the answer says what a crash changed.
pub fn mistral_with(vector: &Json, crash: Crash) -> Json {
    let text = |key: &str| vector.get(key).and_then(Json::as_str);
    let workbook = text("kind") == Some("workbook");
    let definition = match mistral::Definition::bare(text("definition").unwrap_or_default(), workbook, text("actions"))
    {
        Ok(definition) => Definition::Mistral(Arc::new(definition)),
        Err(problems) => {
            let errors: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return json!({"phase": "definition", "error": errors.join("\n")});
        }
    };
    let mut play = Play::new(Machine::new(definition, crash), vector);
    play.begin(vector, text("workflow").unwrap_or_default());
    if play.is_refused() {
        let error = play.machine.state.result().get("error").and_then(Value::as_str).unwrap_or_default();
        return json!({"phase": "start", "error": error});
    }
    play.play_out();
    play.answer()
}

/// Milliseconds of virtual time.
type Moment = u64;

/// Something that comes at its time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Due(u32),
    Result(RunId),
}

struct Play {
    machine: Machine,
    host: Scripted,
    now: Moment,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    sequence: u64,
    outcomes: HashMap<RunId, (Status, Value)>,
    script: Json,
    used: HashMap<(String, String, u32), usize>,
    ops: Vec<Json>,
    calls: Vec<Json>,
    order: Vec<Json>,
    trace: Vec<Json>,
    shown: Shown,
    snapshots: Vec<Json>,
}

/// Names and last states, to tell changes from facts.
#[derive(Default)]
struct Shown {
    tasks: Vec<(String, TaskState)>,
    executions: Vec<(String, TaskState)>,
}

impl Play {
    fn new(machine: Machine, vector: &Json) -> Play {
        let host = Scripted {
            kv: map(vector.get("st2kv")),
            actions: Box::new(registered),
            now: Cell::new(EPOCH),
            draws: Cell::new(1),
        };
        let ops = vector.get("ops").and_then(Json::as_array).cloned().unwrap_or_default();
        Play {
            machine,
            host,
            now: 0,
            events: BinaryHeap::new(),
            sequence: 0,
            outcomes: HashMap::new(),
            script: vector.get("script").cloned().unwrap_or_default(),
            used: HashMap::new(),
            ops: ops.into_iter().rev().collect(),
            calls: Vec::new(),
            order: Vec::new(),
            trace: Vec::new(),
            shown: Shown::default(),
            snapshots: Vec::new(),
        }
    }

    fn begin(&mut self, vector: &Json, workflow: &str) {
        let mut runner = map(vector.get("params"));
        runner.insert("workflow".into(), Value::from(workflow));
        let begin = Begin {
            execution: "simulation".into(),
            action: workflow.into(),
            input: map(vector.get("input")),
            env: map(vector.get("env")),
            runner,
            ..Begin::default()
        };
        self.step(Stimulus::Begin(Box::new(begin)));
    }

    fn is_refused(&self) -> bool {
        self.machine.state.mistral().is_none_or(|state| state.top().is_none())
    }

    fn play_out(&mut self) {
        while self.machine.bound.exceeded().is_none() {
            let next = self.events.peek().map(|Reverse((at, ..))| *at);
            let op_at = self.ops.last().and_then(|op| op.get("at")).and_then(Json::as_f64).map(|s| (s * 1e3) as u64);
            if let Some(at) = op_at
                && next.is_none_or(|next| at <= next)
            {
                self.move_to(at);
                self.operate();
            } else if let Some(Reverse((at, _, event))) = self.events.pop() {
                self.move_to(at);
                self.happen(event);
            } else if !self.ops.is_empty() {
                self.snapshot();
                self.operate();
            } else {
                return;
            }
        }
    }

    fn move_to(&mut self, at: Moment) {
        self.now = self.now.max(at);
        self.host.now.set(EPOCH + self.now as i64 * 1000);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Due(timer) => self.step(Stimulus::Due { timer }),
            Event::Result(run) => {
                if let Some((status, result)) = self.outcomes.remove(&run) {
                    self.step(Stimulus::Finished { run, status, result });
                }
            }
        }
    }

    fn at(&mut self, at: Moment, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn step(&mut self, stimulus: Stimulus) {
        let facts = self.machine.step(stimulus, &self.host);
        for fact in facts {
            match fact {
                Fact::Offered { offer } => self.offered(&offer),
                Fact::TimerSet { timer, after_ms } => {
                    let at = self.now.saturating_add(after_ms);
                    self.at(at, Event::Due(timer));
                }
                Fact::Mistral(fact) => self.note(&fact),
                // A timer that no longer runs is told apart by the conductor; dropping it here keeps time from passing.
                Fact::TimerCleared { timer } => {
                    self.events.retain(|Reverse((_, _, event))| *event != Event::Due(timer))
                }
                _ => {}
            }
        }
    }

    fn seconds(&self) -> Json {
        if self.now.is_multiple_of(1000) { json!(self.now / 1000) } else { json!(self.now as f64 / 1000.0) }
    }

    fn offered(&mut self, offer: &Offer) {
        let context = &offer.child.context;
        let ad_hoc = context.get("ad_hoc").and_then(Value::as_list).and_then(<[Value]>::first);
        let action = ad_hoc.and_then(Value::as_str).or(offer.action.as_deref()).unwrap_or("std.noop");
        let mut input = context.get("given").unwrap_or(&offer.input).clone();
        if action == "demo.strict" {
            input = strict(&input);
        }
        let input = &input;
        let mut call = json!({"at": self.seconds(), "task": &*offer.task, "action": action, "input": json(input)});
        if let Some(item) = offer.item {
            call["index"] = json!(item);
        }
        if let Some(target) = context.get("target") {
            call["target"] = json(target);
        }
        self.calls.push(call);
        if let Some((delay, status, result)) = self.outcome(offer) {
            self.outcomes.insert(offer.run, (status, result));
            self.at(self.now.saturating_add(delay), Event::Result(offer.run));
        }
    }

    /// When and how a run ends; `None` when it does not end by itself.
    fn outcome(&mut self, offer: &Offer) -> Option<(Moment, Status, Value)> {
        if let Some(entry) = self.scripted(offer) {
            let delay = (entry.get("delay").and_then(Json::as_f64).unwrap_or(0.0) * 1000.0) as Moment;
            return Some(match (entry.get("result"), entry.get("error")) {
                (Some(result), _) => (delay, Status::Succeeded, value(result)),
                // An error of null is none: Mistral tells success and failure by it.
                (None, Some(error)) if error.is_null() => (delay, Status::Succeeded, Value::Null),
                (None, Some(error)) => (delay, Status::Failed, value(error)),
                (None, None) => (delay, Status::Canceled, Value::Null),
            });
        }
        if let Some(answer) = standard(offer) {
            return answer.outcome.map(|outcome| (answer.after_ms, outcome.status, outcome.result));
        }
        match offer.action.as_deref() {
            Some("demo.async") => None,
            Some("st2.action") => Some((0, Status::Succeeded, Value::Null)),
            Some("demo.strict") => Some((0, Status::Succeeded, strict(&offer.input))),
            _ => Some((0, Status::Succeeded, offer.input.clone())),
        }
    }

    fn scripted(&mut self, offer: &Offer) -> Option<Json> {
        let workflow = self.workflow_of(offer);
        let item = offer.item.unwrap_or(0);
        let task = &*offer.task;
        let used = self.used.entry((workflow.clone(), task.to_owned(), item)).or_default();
        let turn = *used;
        *used += 1;
        let keys =
            [format!("{workflow}/{task}#{item}"), format!("{task}#{item}"), format!("{workflow}/{task}"), task.into()];
        let entries = keys.iter().find_map(|key| self.script.get(key.as_str()))?.as_array()?;
        entries.get(turn).or(entries.last()).cloned()
    }

    fn workflow_of(&self, offer: &Offer) -> String {
        let state = self.machine.state.mistral();
        let execution = state.map_or(0, |state| state.task(offer.route).execution);
        self.shown.executions.get(execution as usize).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    /// Writes down what a fact changes, as people see it.
    fn note(&mut self, fact: &mistral::Fact) {
        use mistral::Fact as F;
        match fact {
            F::Began(began) => {
                let name = began.workflow.to_string();
                self.trace.push(json!([self.seconds(), "workflow", name, "IDLE", "RUNNING"]));
                self.shown.executions.push((name, TaskState::Running));
            }
            F::Made { name, waiting, .. } => {
                let state = if *waiting { TaskState::Waiting } else { TaskState::Idle };
                self.shown.tasks.push((name.to_string(), state));
                if !waiting {
                    self.task_is(self.shown.tasks.len() - 1, TaskState::Running);
                }
            }
            F::Became { task, state, .. } | F::Settled { task, state, .. } => self.task_is(*task as usize, *state),
            F::Waits { task, .. } => self.task_is(*task as usize, TaskState::Delayed),
            F::Retried { task } | F::Restarted { task, .. } => self.task_is(*task as usize, TaskState::Running),
            F::ExecutionBecame { execution, state, .. } | F::ExecutionEnded { execution, state, .. } => {
                let seconds = self.seconds();
                let Some((name, shown)) = self.shown.executions.get_mut(*execution as usize) else { return };
                self.trace.push(json!([seconds, "workflow", name, shown.as_str(), state.as_str()]));
                *shown = *state;
            }
            _ => {}
        }
    }

    fn task_is(&mut self, task: usize, state: TaskState) {
        let seconds = self.seconds();
        let Some((name, shown)) = self.shown.tasks.get_mut(task) else { return };
        if *shown == state {
            return;
        }
        self.trace.push(json!([seconds, "task", name, shown.as_str(), state.as_str()]));
        *shown = state;
        if state == TaskState::Running {
            self.order.push(json!([seconds, name]));
        }
    }

    fn snapshot(&mut self) {
        let described = self.describe();
        let tasks = described["tasks"].as_array().cloned().unwrap_or_default();
        let tasks: Vec<Json> = tasks.iter().map(|t| json!([t["name"], t["state"]])).collect();
        self.snapshots
            .push(json!({"state": described["state"], "state_info": described["state_info"], "tasks": tasks}));
    }

    fn operate(&mut self) {
        let Some(op) = self.ops.pop() else { return };
        let text = |key: &str| op.get(key).and_then(Json::as_str).map(str::to_owned);
        let env: Map = map(op.get("env"));
        let task = text("task").unwrap_or_default();
        let flag = |key: &str, default: bool| op.get(key).and_then(Json::as_bool).unwrap_or(default);
        match op.get("do").and_then(Json::as_str) {
            Some("pause") => self.step(Stimulus::Pause),
            Some("resume") => self.step(Stimulus::Resume { env }),
            Some("cancel") => self.step(Stimulus::Stop { status: Status::Canceled, message: text("message") }),
            Some("stop") => {
                let success = text("state").as_deref() == Some("SUCCESS");
                let status = if success { Status::Succeeded } else { Status::Failed };
                self.step(Stimulus::Stop { status, message: text("message") });
            }
            Some("rerun") => {
                let reset = if flag("reset", true) { vec![task.clone()] } else { Vec::new() };
                self.step(Stimulus::Rerun { tasks: vec![task], reset, skip: flag("skip", false), env });
            }
            Some("complete") => self.complete(&op, &task),
            Some("update") => {
                let Some(run) = self.open_run(&task, 0) else { return };
                self.step(match text("state").as_deref() {
                    Some("PAUSED") => Stimulus::Finished { run, status: Status::Paused, result: Value::Null },
                    _ => Stimulus::Started { run },
                });
            }
            _ => {}
        }
    }

    fn complete(&mut self, op: &Json, task: &str) {
        let index = op.get("index").and_then(Json::as_u64).unwrap_or(0);
        let Some(run) = self.open_run(task, index as u32) else { return };
        let (status, result) = match (op.get("error"), op.get("cancel")) {
            (Some(error), _) => (Status::Failed, value(error)),
            (None, Some(_)) => (Status::Canceled, Value::Null),
            (None, None) => (Status::Succeeded, op.get("result").map(value).unwrap_or_default()),
        };
        self.step(Stimulus::Finished { run, status, result });
    }

    fn open_run(&self, task: &str, index: u32) -> Option<RunId> {
        let name = task.rsplit('/').next().unwrap_or(task);
        let open = self.machine.state.open_offers();
        open.filter(|o| &*o.offer.task == name && o.offer.item.unwrap_or(0) == index).map(|o| o.offer.run).last()
    }

    fn describe(&self) -> Json {
        match (&self.machine.definition, self.machine.state.mistral()) {
            (Definition::Mistral(definition), Some(state)) => json(&mistral::describe(definition, state, 0)),
            _ => Json::Null,
        }
    }

    fn answer(self) -> Json {
        let stopped = self.machine.bound.exceeded();
        let mut answer = if stopped.is_some() { json!({}) } else { with_tracebacks_marked(self.describe()) };
        answer["phase"] = json!("run");
        answer["finished_at"] = self.seconds();
        answer["calls"] = Json::Array(self.calls);
        answer["order"] = Json::Array(self.order);
        answer["trace"] = Json::Array(self.trace);
        if !self.snapshots.is_empty() {
            answer["idle_snapshots"] = Json::Array(self.snapshots);
        }
        if let Some(why) = stopped {
            answer["engine_error"] = json!({"type": "Endless", "message": why});
        }
        if let Some(broken) = self.machine.broken {
            answer["broken"] = json!(broken);
        }
        answer
    }
}

/// The recorded form has a mark where Mistral shows a Python traceback, and nothing behind it.
fn with_tracebacks_marked(mut json: Json) -> Json {
    match &mut json {
        Json::String(text) => {
            let starts = ["Failed to run task [error=", "Failed to handle action completion [error="];
            let start = starts.iter().filter_map(|start| text.find(start)).min();
            let end = start.and_then(|start| {
                let inside = text[start..].find("]:\n").map(|at| start + at);
                inside.or_else(|| text.strip_suffix("]:").map(str::len))
            });
            if let Some(end) = end {
                text.truncate(end);
                text.push_str("]:\n<traceback>");
            }
        }
        Json::Object(map) => map.values_mut().for_each(|value| *value = with_tracebacks_marked(value.take())),
        Json::Array(items) => items.iter_mut().for_each(|item| *item = with_tracebacks_marked(item.take())),
        _ => {}
    }
    json
}

/// The parameters of `demo.strict` with its default.
fn strict(input: &Value) -> Value {
    let mut input = input.as_map().cloned().unwrap_or_default();
    input.entry("b".into()).or_insert(Value::Int(7));
    Value::from(input)
}

/// 2016-01-21T00:00:00Z in microseconds: where virtual time begins.
const EPOCH: i64 = 1_453_334_400_000_000;

/// The actions that a driver of recorded cases must offer.
fn registered(reference: &str) -> Registered {
    match reference {
        "demo.strict" => closed([("a".into(), None, true), ("b".into(), None, false)]),
        "demo.act"
        | "demo.async"
        | "core.noop"
        | "core.local"
        | "chatops.post_message"
        | "st2.kv.get"
        | "st2.kv.set" => open(),
        _ => Registered::No,
    }
}
