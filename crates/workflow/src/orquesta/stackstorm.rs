//! Orquesta inside of the engine: stimuli become verbs, offers become children, ends become results.
//!
//! What StackStorm adds around the conductor stands here: the child's context, notifications only for named tasks, the
//! form of the result, and the rounds in which tasks are started until none is left to start.

use super::decide::{self, RerunRequest, Stage, Told};
use super::offer::{self, Action, Offered};
use super::state::{Fact as Own, State, Unit};
use super::status::Status;
use crate::{Begin, Child, Fact, Offer, RunId, Stimulus};
use squall_model::{Map, Status as Known, Str, Value};
use std::collections::BTreeSet;

/// Says what follows from a stimulus.
pub(super) fn decide(step: &mut Stage<'_>, stimulus: Stimulus) {
    match stimulus {
        Stimulus::Begin(begin) => start(step, begin),
        Stimulus::Started { run } => {
            step.emit(Fact::Started { run });
            resumed(step, run);
            go_on(step);
        }
        // A child that could not be made has failed.
        Stimulus::Refused { run, message } => {
            let result = Value::from_pairs([("error", message)]);
            decide(step, Stimulus::Finished { run, status: Known::Failed, result });
        }
        Stimulus::Finished { run, status, result } => {
            step.emit(Fact::Finished { run, status, result: result.clone() });
            finished(step, run, status, &result);
            go_on(step);
        }
        Stimulus::Due { timer } => step.emit(Fact::TimerFired { timer }),
        Stimulus::Pause => pause(step),
        Stimulus::Resume { env } => resume(step, env),
        Stimulus::Stop { status, message } => stop(step, status, message),
        Stimulus::Rerun { tasks, reset, skip, env } => rerun(step, tasks, reset, skip, env),
    }
}

// ---- the start ------------------------------------------------------------------------------------------------------

fn start(step: &mut Stage<'_>, begin: Box<Begin>) {
    let (input, context) = (begin.input.clone(), begin.env.clone());
    let strangers = unknown_in_notify(step, &begin.runner);
    step.emit(Fact::Begun { begin });
    if !strangers.is_empty() {
        let message = format!(
            "The following tasks in the notify parameter do not exist in the workflow definition: {}.",
            strangers.join(", ")
        );
        let errors = Value::from(vec![Value::from_pairs([("message", message)])]);
        let result = Value::from_pairs([("output", Value::Null), ("errors", errors)]);
        return step.emit(Fact::Ended { status: Known::Failed, result });
    }
    decide::open(step, &input, &context);
    if !step.state().status().is_completed() {
        // Neither can be refused at the start.
        let _ = decide::request(step, Status::Requested);
        let _ = decide::request(step, Status::Running);
    }
    go_on(step);
}

fn unknown_in_notify(step: &Stage<'_>, runner: &Map) -> Vec<String> {
    let names = runner.get("notify").and_then(Value::as_list).unwrap_or_default();
    let names = names.iter().filter_map(Value::as_str);
    names.filter(|name| !step.definition.has_task(name)).map(str::to_owned).collect()
}

// ---- rounds ---------------------------------------------------------------------------------------------------------

/// Starts what may start, round after round, and tells the engine where the workflow stands.
fn go_on(step: &mut Stage<'_>) {
    loop {
        if step.state().status().is_completed() {
            decide::render(step);
        }
        let offers = offer::offers(step);
        if offers.is_empty() {
            break;
        }
        if step.is_exhausted() {
            decide::give_up(step, "the workflow goes round and round without running anything");
            continue;
        }
        round(step, &offers);
    }
    if step.state().status().is_completed() {
        decide::render(step);
    }
    announce(step);
}

/// All tasks of a round run before the first is requested; one over no items ends at once.
fn round(step: &mut Stage<'_>, offers: &[Offered]) {
    let mut empty = Vec::new();
    for offered in offers {
        if offered.actions.is_empty() {
            tell(step, &offered.task, offered.route, None, Status::Running);
            empty.push(offered);
        }
        for action in &offered.actions {
            tell(step, &offered.task, offered.route, action.item, Status::Running);
        }
    }
    for offered in empty {
        tell(step, &offered.task, offered.route, None, Status::Succeeded);
    }
    for offered in offers {
        for action in &offered.actions {
            let offer = child(step, offered, action);
            step.offer(offer);
        }
    }
}

fn tell(step: &mut Stage<'_>, task: &str, route: u32, item: Option<u32>, status: Status) {
    let told = Told { task, route, item, status, result: &Value::Null, accumulated: None, heard: false };
    // Only tasks that nobody has staged are refused.
    let _ = decide::report(step, &told);
}

fn child(step: &Stage<'_>, offered: &Offered, action: &Action) -> Offer {
    let begin = step.run().begin();
    let notify = begin.and_then(|begin| begin.runner.get("notify")).and_then(Value::as_list).unwrap_or_default();
    let waits = match (action.item, offered.concurrency) {
        // The delay holds the first batch back; the items after it follow one another.
        (Some(item), Some(limit)) => i64::from(item) < limit,
        _ => true,
    };
    let seconds = offered.delay.filter(|_| waits).unwrap_or(0);
    let node = step.definition.graph.by_name.get(&offered.task).copied();
    let entry = node.and_then(|node| step.state().latest(node, offered.route)).map_or(0, |(index, _)| index);
    let execution = begin.map(|begin| begin.execution.as_str()).unwrap_or_default();
    Offer {
        task: offered.task.clone(),
        route: offered.route,
        item: action.item,
        attempt: offered.attempt,
        action: match &action.action {
            Value::Null => None,
            Value::Str(reference) => Some(reference.clone()),
            other => Some(squall_expr::python::str(other).into()),
        },
        input: action.input.clone(),
        child: Child {
            context: child_context(execution, entry, &offered.task, offered.route, action.item),
            notify: None,
            skip_notify: !notify.iter().any(|name| name.as_str() == Some(&offered.task)),
            delay_ms: u64::try_from(seconds).unwrap_or(0).saturating_mul(1000),
        },
        ..Offer::default()
    }
}

/// What a child finds under `orquesta` in its context. The id of the task's run is made of the workflow's and the
/// number of its entry, so that it is the same after a recovery.
pub fn child_context(execution: &str, entry: u32, task: &Str, route: u32, item: Option<u32>) -> Map {
    let head: String = execution.chars().take(16).collect();
    let mut context = Map::new();
    context.insert("workflow_execution_id".into(), execution.into());
    context.insert("task_execution_id".into(), format!("{head}{entry:08x}").into());
    context.insert("task_id".into(), task.clone().into());
    context.insert("task_name".into(), task.clone().into());
    context.insert("task_route".into(), route.into());
    if let Some(item) = item {
        context.insert("item_id".into(), item.into());
    }
    context
}

/// Tells the engine of a change of the workflow's status.
fn announce(step: &mut Stage<'_>) {
    let status = step.state().status().known();
    if status == step.run().status() {
        return;
    }
    if status.is_final() {
        let result = result(step.state());
        step.emit(Fact::Ended { status, result });
    } else {
        step.emit(Fact::Became { status });
    }
}

/// The result of the execution: the output, and the errors of a run that ended badly.
fn result(state: &State) -> Value {
    let mut result = Map::new();
    result.insert("output".into(), state.output().clone());
    if state.status().is_abended() {
        let errors = state.errors().iter().map(|error| {
            let mut map = Map::new();
            map.insert("type".into(), "error".into());
            map.insert("message".into(), error.message.clone().into());
            let mut add = |name: &str, value: Value| {
                if !value.is_null() {
                    map.insert(name.into(), value);
                }
            };
            add("task_id", error.task_id.clone().into());
            add("route", error.route.into());
            add("task_transition_id", error.task_transition_id.clone().into());
            add("result", error.result.clone());
            Value::from(map)
        });
        result.insert("errors".into(), Value::from(errors.collect::<Vec<_>>()));
    }
    Value::from(result)
}

// ---- news of children -----------------------------------------------------------------------------------------------

fn unit(step: &Stage<'_>, run: RunId) -> Option<Unit> {
    step.state().units.get(run as usize).cloned()
}

fn finished(step: &mut Stage<'_>, run: RunId, status: Known, result: &Value) {
    let is_news = status.is_final() || matches!(status, Known::Paused | Known::Pending);
    let Some(unit) = unit(step, run).filter(|_| is_news) else { return };
    let told = Told {
        task: &unit.task,
        route: unit.route,
        item: unit.item,
        status: status.into(),
        result,
        accumulated: None,
        heard: true,
    };
    // Refused only for tasks that were never offered.
    let _ = decide::report(step, &told);
}

/// A child workflow that was paused goes on.
fn resumed(step: &mut Stage<'_>, run: RunId) {
    let Some(unit) = unit(step, run) else { return };
    let node = step.definition.graph.by_name.get(&unit.task).copied();
    let entry = node.and_then(|node| step.state().latest(node, unit.route));
    if entry.is_some_and(|(_, entry)| entry.status == Status::Paused) {
        tell(step, &unit.task, unit.route, unit.item, Status::Running);
    }
}

fn open_runs(step: &Stage<'_>, wanted: impl Fn(Known) -> bool) -> Vec<RunId> {
    let open = step.run().offers().iter().filter(|(_, open)| wanted(open.status));
    open.map(|(run, _)| *run).collect()
}

// ---- requests -------------------------------------------------------------------------------------------------------

fn pause(step: &mut Stage<'_>) {
    let status = step.state().status();
    if status.is_completed() || matches!(status, Status::Pausing | Status::Paused | Status::Canceling) {
        return;
    }
    step.emit(Fact::PauseAsked);
    let _ = decide::request(step, Status::Paused);
    let runs = open_runs(step, |status| !matches!(status, Known::Paused | Known::Pending));
    if !runs.is_empty() {
        step.emit(Fact::ChildrenPaused { runs });
    }
    announce(step);
}

fn resume(step: &mut Stage<'_>, env: Map) {
    if !matches!(step.state().status(), Status::Pausing | Status::Paused) {
        return;
    }
    step.emit(Fact::ResumeAsked { env: Box::new(env) });
    let _ = decide::request(step, Status::Resuming);
    if !step.state().status().is_completed() {
        let _ = decide::request(step, Status::Running);
    }
    let runs = open_runs(step, |status| status == Known::Paused);
    if !runs.is_empty() {
        step.emit(Fact::ChildrenResumed { runs });
    }
    go_on(step);
}

fn stop(step: &mut Stage<'_>, status: Known, message: Option<String>) {
    let wanted = match status {
        Known::Failed => Status::Failed,
        _ => Status::Canceled,
    };
    let now = step.state().status();
    if now.is_completed() || (now == Status::Canceling && wanted == Status::Canceled) {
        return;
    }
    step.emit(Fact::StopAsked { status, message });
    let _ = decide::request(step, wanted);
    let runs = open_runs(step, |_| true);
    if !runs.is_empty() {
        step.emit(Fact::ChildrenStopped { runs });
    }
    go_on(step);
}

fn rerun(step: &mut Stage<'_>, tasks: Vec<String>, reset: Vec<String>, skip: bool, env: Map) {
    let mut requests = Vec::new();
    for task in &tasks {
        let node = step.definition.graph.by_name.get(task.as_str()).copied();
        for route in routes_of(step.state(), node) {
            requests.push(RerunRequest { task: task.as_str().into(), route, reset: reset.contains(task) });
        }
    }
    let names_nothing = !tasks.is_empty() && requests.is_empty();
    if !step.state().status().is_completed() || names_nothing {
        return;
    }
    step.emit(Fact::RerunAsked { tasks: tasks.clone(), reset, skip, env: Box::new(env.clone()) });
    if !env.is_empty() {
        step.emit(Fact::Orquesta(Own::Recontexted { context: env }));
    }
    let requests = (!tasks.is_empty()).then_some(&requests[..]);
    if decide::rerun(step, requests).is_ok() && !step.state().status().is_completed() {
        let _ = decide::request(step, Status::Running);
        go_on(step);
    }
}

/// The routes on which a task has run.
pub(super) fn routes_of(state: &State, node: Option<usize>) -> BTreeSet<u32> {
    let mine = |entry: &&super::Entry| Some(entry.node) == node;
    state.entries().iter().filter(mine).map(|entry| entry.route).collect()
}
