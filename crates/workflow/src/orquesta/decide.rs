//! How a run goes on: what follows from the start, a request, a report about a task, a rerun, an end.
//!
//! Each function is one verb of the reference conductor, told in its order, because the order is visible: which
//! error is logged first, which context number a publish gets, which status the workflow passes through. What
//! expressions gave stands in the facts; the next task is [`super::offer`]'s matter.
//!
//! Start reading at [`report`], the life of a task.

use super::expression::{Expr, Failure};
use super::graph::{COMMANDS, Edge};
use super::names::{Current, Names, Variables};
use super::state::{ErrorEntry, Fact, Tries};
use super::status::{self, Status};
use super::view::{self, Sum};
use super::{Definition, Front, TransitionPlan};
use crate::step::Step;
use squall_model::{Map, Str, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

pub(super) type Stage<'a> = Step<'a, Front>;

/// A verb that cannot be done now. `class` is the reference's name for it, which its clients know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The class.
    pub class: &'static str,
    /// The sentence.
    pub message: String,
}

/// A task to be run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RerunRequest {
    /// Its name.
    pub task: Str,
    /// Its route.
    pub route: u32,
    /// Whether all of its items start afresh.
    pub reset: bool,
}

const ACTION_FAILED: &str = "Execution failed. See result for details.";

/// Records a fact of our own.
pub(super) fn say(step: &mut Stage<'_>, fact: Fact) {
    step.emit(crate::Fact::Orquesta(fact));
}

/// Notes an error, unless the very same is noted already.
fn log(step: &mut Stage<'_>, error: ErrorEntry) {
    if !step.state().errors.contains(&error) {
        say(step, Fact::Logged { error });
    }
}

/// Notes an error of a whole workflow.
fn log_failure(step: &mut Stage<'_>, failure: &Failure) {
    log(step, ErrorEntry { message: failure.0.as_str().into(), ..ErrorEntry::default() });
}

/// Notes an error of a task and fails the workflow.
pub(super) fn fail_task(step: &mut Stage<'_>, node: usize, route: u32, failure: &Failure) {
    let error = ErrorEntry {
        message: failure.0.as_str().into(),
        task_id: Some(step.definition.name(node)),
        route: Some(route),
        ..ErrorEntry::default()
    };
    log(step, error);
    fail(step);
}

/// Fails the workflow where that is possible.
fn fail(step: &mut Stage<'_>) {
    // Refused only where it has ended otherwise already.
    let _ = request(step, Status::Failed);
}

/// Fails the workflow for a reason of our own.
pub(super) fn give_up(step: &mut Stage<'_>, reason: &str) {
    log_failure(step, &Failure(format!("Endless: {reason}")));
    fail(step);
}

/// What an expression sees.
fn names<'a>(step: &'a Stage<'_>, variables: Variables<'a>, current: Option<Current<'a>>) -> Names<'a> {
    Names { definition: step.definition, state: step.state(), host: step.host, variables, current, item: None }
}

// ---- the start ------------------------------------------------------------------------------------------------------

/// Renders inputs and variables over the context that was given, and stages the start tasks.
pub(super) fn open(step: &mut Stage<'_>, input: &Map, parent: &Map) {
    let definition = step.definition;
    let mut failures = Vec::new();
    let mut rolling = parent.clone();
    let mut rendered = Map::new();
    for (name, default) in &definition.input {
        let value = match (input.get(name), default) {
            (Some(value), _) if definition.habits.evaluate_data => eval_over(step, &Expr::of(value), &rolling),
            (Some(value), _) => Ok(value.clone()),
            (None, Some(default)) => eval_over(step, default, &rolling),
            (None, None) => Ok(Value::Null),
        };
        keep(name, value, &mut rolling, &mut rendered, &mut failures);
    }
    let mut context = parent.clone();
    view::merge_into(&mut context, &rendered);
    let mut rolling = context.clone();
    let mut rendered = Map::new();
    for (name, expr) in &definition.vars {
        let value = eval_over(step, expr, &rolling);
        keep(name, value, &mut rolling, &mut rendered, &mut failures);
    }
    view::merge_into(&mut context, &rendered);
    if failures.is_empty() {
        return say(step, Fact::Opened { context });
    }
    for failure in &failures {
        log_failure(step, failure);
    }
    fail(step);
}

fn keep(name: &Str, value: Result<Value, Failure>, rolling: &mut Map, rendered: &mut Map, failures: &mut Vec<Failure>) {
    match value {
        Ok(value) => {
            rolling.insert(name.clone(), value.clone());
            rendered.insert(name.clone(), value);
        }
        Err(failure) => failures.push(failure),
    }
}

/// What an expression sees that belongs to no task.
fn eval_over(step: &Stage<'_>, expr: &Expr, variables: &Map) -> Result<Value, Failure> {
    expr.eval(&names(step, Variables::Map(variables), None))
}

/// What an expression of a task sees.
pub(super) fn seen<'a>(step: &'a Stage<'_>, sum: &Sum, current: Option<Current<'a>>) -> Names<'a> {
    static NOTHING: LazyLock<Map> = LazyLock::new(Map::new);
    names(step, Variables::View(&step.state().views, sum.clone(), &NOTHING), current)
}

// ---- requests -------------------------------------------------------------------------------------------------------

/// Somebody, or an error, asks for a status of the workflow.
pub(super) fn request(step: &mut Stage<'_>, wanted: Status) -> Result<(), Refusal> {
    let before = step.state().status;
    let moves: Vec<(u32, Status)> = step
        .state()
        .all_staged()
        .filter_map(|staged| {
            let items = staged.items.as_ref()?;
            let (index, entry) = step.state().latest(staged.node, staged.route)?;
            let new = status::task_after_request(entry.status, wanted, &items.tally)?;
            entry.status.is_active().then_some((index, new))
        })
        .collect();
    for (entry, status) in moves {
        say(step, Fact::Moved { entry, status });
    }
    if let Some(status) = status::workflow_after_request(before, wanted, step.state().outlook())
        && status != before
    {
        say(step, Fact::Became { status });
    }
    if wanted != before && step.state().status == before {
        return Err(Refusal {
            class: "InvalidWorkflowStatusTransition",
            message: format!("Unable to process event \"workflow_{wanted}\" for workflow in \"{before}\" status."),
        });
    }
    Ok(())
}

// ---- the life of a task ---------------------------------------------------------------------------------------------

/// What is told about a task or an item.
pub(super) struct Told<'a> {
    pub task: &'a str,
    pub route: u32,
    pub item: Option<u32>,
    pub status: Status,
    pub result: &'a Value,
    /// The results of all items so far, when somebody else keeps them.
    pub accumulated: Option<&'a Value>,
    /// Whether a shared fact holds the result already.
    pub heard: bool,
}

pub(super) fn no_such_task(task: &str) -> Refusal {
    Refusal { class: "InvalidTask", message: format!("Task \"{task}\" does not exist.") }
}

pub(super) fn not_started(task: &str) -> Refusal {
    let message = format!("Task \"{task}\" is not staged or has not started yet.");
    Refusal { class: "InvalidTaskStateEntry", message }
}

/// A task or an item has a new status.
pub(super) fn report(step: &mut Stage<'_>, told: &Told<'_>) -> Result<(), Refusal> {
    let Some(node) = step.definition.graph.by_name.get(told.task).copied() else {
        return Err(no_such_task(told.task));
    };
    stumble(step, node, told)?;
    let Some(entry) = entry_for(step, node, told)? else {
        return Ok(());
    };
    let before = step.state().entries[entry as usize].status;
    let (itemized, others) = match (told.item, step.state().staged(node, told.route).and_then(|s| s.items.as_ref())) {
        (Some(item), Some(items)) => (true, Some((item, items.others(item as usize)))),
        (_, items) => (items.is_some(), None),
    };
    if let Some((item, _)) = &others {
        let result = if told.heard { Value::Null } else { told.result.clone() };
        let task = step.definition.name(node);
        say(
            step,
            Fact::ItemMoved { task, route: told.route, item: *item, status: told.status, result, heard: told.heard },
        );
    }
    if told.status == Status::Failed {
        log_action_failure(step, node, told.result);
    }
    let next = |now| match &others {
        Some((_, others)) => status::task_after_item(now, told.status, others),
        None => status::task_after(now, told.status),
    };
    let mut after = next(before);
    if after.is_none() && !step.definition.habits.hang && told.status.is_completed() && !before.is_completed() {
        // The original does not hear an end that comes while a task is paused, and waits for ever.
        after = next(Status::Running);
    }
    if let Some(status) = after.filter(|status| *status != before) {
        say(step, Fact::Moved { entry, status });
    }
    let has_ended = after.is_some_and(|status| status != before && status.is_completed());
    let result = match told.accumulated {
        Some(results) => results.clone(),
        // Only the end needs the list; making it for each item would be quadratic.
        None if itemized && has_ended => item_results(step, node, told.route),
        None => told.result.clone(),
    };
    conclude(step, entry, before, &result)
}

/// Where the original stumbles over news that nobody should send: it raises, and the service around it fails the workflow.
fn stumble(step: &Stage<'_>, node: usize, told: &Told<'_>) -> Result<(), Refusal> {
    if !step.definition.habits.hang {
        return Ok(());
    }
    let state = step.state();
    let staged = state.staged(node, told.route);
    let status = state.latest(node, told.route).map_or(Status::Unset, |(_, entry)| entry.status);
    let starts_nothing = staged.is_none() && status.is_completed() && told.status.is_starting();
    let is_weighed = !told.status.is_starting() || told.status == Status::Pending;
    let lacks_items = match (told.item, staged) {
        (None, _) => false,
        (Some(_), Some(staged)) => staged.items.is_none(),
        (Some(_), None) => is_weighed && !status.is_abended(),
    };
    let stays_unset =
        status == Status::Unset && staged.is_some() && status::task_after(Status::Unset, told.status).is_none();
    if starts_nothing || lacks_items || stays_unset {
        let message = format!("nothing of task \"{}\" waits for \"{}\"", told.task, told.status);
        return Err(Refusal { class: "TypeError", message });
    }
    Ok(())
}

/// The original lets such a failure out of the engine.
fn raised(step: &Stage<'_>, failure: &Failure) -> Result<(), Refusal> {
    match step.definition.habits.hang {
        true => Err(Refusal { class: "ExpressionEvaluationException", message: failure.0.clone() }),
        false => Ok(()),
    }
}

fn item_results(step: &Stage<'_>, node: usize, route: u32) -> Value {
    let items = step.state().staged(node, route).and_then(|staged| staged.items.as_ref());
    items.map_or(Value::Null, |items| Value::from(items.results.clone()))
}

fn log_action_failure(step: &mut Stage<'_>, node: usize, result: &Value) {
    let error = ErrorEntry {
        message: ACTION_FAILED.into(),
        task_id: Some(step.definition.name(node)),
        result: result.clone(),
        ..ErrorEntry::default()
    };
    log(step, error);
}

/// The entry that a report is about; a start makes a new one where the last has ended. Nothing when the tries of the task
/// could not be rendered, which fails the workflow.
fn entry_for(step: &mut Stage<'_>, node: usize, told: &Told<'_>) -> Result<Option<u32>, Refusal> {
    let state = step.state();
    let latest = state.latest(node, told.route).map(|(index, entry)| (index, entry.status));
    let staged = state.staged(node, told.route).map(|staged| (staged.view, staged.items.is_some()));
    if latest.is_none() && staged.is_none() {
        return Err(not_started(told.task));
    }
    let fresh = match latest {
        None => staged,
        Some((_, status)) if status.is_completed() && told.status.is_starting() => staged,
        Some(_) => None,
    };
    if let Some((view, _)) = fresh {
        let sum = step.state().views.sum(view);
        match render_tries(step, node, &sum) {
            Ok(tries) => {
                let task = step.definition.name(node);
                say(step, Fact::Entered { task, route: told.route, tries });
            }
            Err(failure) => {
                fail_task(step, node, told.route, &failure);
                // Staged beside `fail` it would be offered again and again, and fail each time.
                let task = step.definition.name(node);
                say(step, Fact::Unstaged { task, route: told.route });
                raised(step, &failure)?;
                return Ok(None);
            }
        }
    }
    if let Some((_, false)) = staged
        && told.status.is_starting()
    {
        let task = step.definition.name(node);
        say(step, Fact::Unstaged { task, route: told.route });
    }
    Ok(step.state().latest(node, told.route).map(|(index, _)| index))
}

fn render_tries(step: &Stage<'_>, node: usize, sum: &Sum) -> Result<Option<Tries>, Failure> {
    let Some(retry) = step.definition.plan(node).and_then(|plan| plan.retry.as_ref()) else {
        return Ok(None);
    };
    let names = seen(step, sum, None);
    let whole = |expr: &Expr, what: &str| match expr.eval(&names)? {
        Value::Int(n) => Ok(n),
        Value::Bool(b) => Ok(i64::from(b)),
        Value::Null if what == "delay" => Ok(0),
        _ => Err(Failure(format!(
            "ValueError: The retry {what} for task \"{}\" is not an integer.",
            step.definition.name(node)
        ))),
    };
    let count = whole(&retry.count, "count")?;
    let delay = retry.delay.as_ref().map_or(Ok(0), |delay| whole(delay, "delay"))?;
    Ok(Some(Tries { count, delay, done: 0 }))
}

/// What follows once a task's status is settled: another try or transitions, the workflow's status, commands.
fn conclude(step: &mut Stage<'_>, entry: u32, before: Status, result: &Value) -> Result<(), Refusal> {
    let now = step.state().entries[entry as usize].status;
    let mut commands = Vec::new();
    if now.is_completed() && now != before {
        match wants_another_try(step, entry, result) {
            Ok(true) => {
                clear(step, entry);
                say(step, Fact::Retried { entry });
            }
            Ok(false) => {
                clear(step, entry);
                commands = follow(step, entry, result);
            }
            Err(failure) => {
                let run = &step.state().entries[entry as usize];
                let (node, route) = (run.node, run.route);
                fail_task(step, node, route, &failure);
                raised(step, &failure)?;
            }
        }
    }
    weigh(step, entry);
    for (node, route) in commands {
        command(step, node, route)?;
    }
    let ended = step.state().status.is_completed();
    if ended && !step.state().entries[entry as usize].terminal {
        say(step, Fact::Terminal { entry, counts: true });
    }
    Ok(())
}

/// A task that has ended is staged no more. One over items stays staged while they run, and its items go with its entry; an
/// arrival that came while the task ran is answered by its end, as in the original.
fn clear(step: &mut Stage<'_>, entry: u32) {
    let run = &step.state().entries[entry as usize];
    let (node, route) = (run.node, run.route);
    if step.state().staged(node, route).is_some() {
        let task = step.definition.name(node);
        say(step, Fact::Unstaged { task, route });
    }
}

fn wants_another_try(step: &Stage<'_>, entry: u32, result: &Value) -> Result<bool, Failure> {
    let run = &step.state().entries[entry as usize];
    let Some(plan) = step.definition.plan(run.node).and_then(|plan| plan.retry.as_ref()) else {
        return Ok(false);
    };
    let has_tries = run.tries.is_some_and(|tries| tries.done < tries.count);
    if !has_tries || !step.state().status.is_active() || run.status == Status::Canceled {
        return Ok(false);
    }
    let Some(when) = &plan.when else {
        return Ok(run.status.is_abended());
    };
    let sum = step.state().views.sum(run.view);
    let current = Current { node: run.node, route: run.route, result };
    Ok(when.eval(&seen(step, &sum, Some(current)))?.is_truthy())
}

// ---- transitions ----------------------------------------------------------------------------------------------------

/// What a transition gave; several edges share it.
enum Verdict {
    Pass { view: u32 },
    No,
    Broken(Vec<Failure>),
}

/// Takes the transitions of a task that has ended; answers the commands among their targets.
fn follow(step: &mut Stage<'_>, entry: u32, result: &Value) -> Vec<(usize, u32)> {
    let definition = step.definition;
    let run = &step.state().entries[entry as usize];
    let (node, route, view) = (run.node, run.route, run.view);
    let edges = &definition.graph.nodes[node].edges;
    if edges.is_empty() {
        say(step, Fact::Terminal { entry, counts: true });
        return Vec::new();
    }
    let Some(plan) = definition.plan(node) else { return Vec::new() };
    let sum = step.state().views.sum(view);
    let current = (node, route, result);
    let mut verdicts: HashMap<usize, Verdict> = HashMap::new();
    let mut staged: Vec<(usize, u32)> = Vec::new();
    let mut commands = Vec::new();
    for (i, edge) in edges.iter().enumerate() {
        let verdict = match verdicts.remove(&edge.transition) {
            Some(verdict) => verdict,
            None => judge(step, entry, &plan.transitions[edge.transition], &sum, current),
        };
        match &verdict {
            Verdict::No => {}
            Verdict::Broken(failures) => fail_transition(step, current, edge, failures),
            Verdict::Pass { view } => {
                let to = route_of(step, node, route, edge);
                let index = u32::try_from(i).unwrap_or(u32::MAX);
                say(step, Fact::Taken { entry, edge: index, route: to, view: *view });
                make_ready(step, edge.target, to, route);
                if COMMANDS.contains(&&*definition.name(edge.target)) {
                    commands.push((edge.target, to));
                } else {
                    staged.push((edge.target, to));
                }
            }
        }
        verdicts.insert(edge.transition, verdict);
    }
    if commands.iter().any(|(target, _)| &*definition.name(*target) == "fail") {
        keep_despite_failure(step, &staged);
    }
    commands
}

fn judge(
    step: &mut Stage<'_>,
    entry: u32,
    plan: &TransitionPlan,
    sum: &Sum,
    (node, route, result): (usize, u32, &Value),
) -> Verdict {
    let current = Current { node, route, result };
    if let Some(when) = &plan.when {
        match when.eval(&seen(step, sum, Some(current))) {
            Ok(value) if value.is_truthy() => {}
            Ok(_) => return Verdict::No,
            Err(failure) => return Verdict::Broken(vec![failure]),
        }
    }
    if plan.publish.is_empty() {
        return Verdict::Pass { view: step.state().entries[entry as usize].view };
    }
    let (values, failures) = publish(step, plan, sum, current);
    if !failures.is_empty() {
        return Verdict::Broken(failures);
    }
    let view = step.state().views.next();
    say(step, Fact::Published { entry, values });
    Verdict::Pass { view }
}

fn publish(step: &Stage<'_>, plan: &TransitionPlan, sum: &Sum, current: Current<'_>) -> (Map, Vec<Failure>) {
    let mut values = Map::new();
    let mut failures = Vec::new();
    for (name, expr) in &plan.publish {
        let variables = Variables::View(&step.state().views, sum.clone(), &values);
        match expr.eval(&names(step, variables, Some(current))) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(failure) => failures.push(failure),
        }
    }
    (values, failures)
}

fn fail_transition(step: &mut Stage<'_>, (node, route, _): (usize, u32, &Value), edge: &Edge, failures: &[Failure]) {
    let transition = format!("{}__t{}", step.definition.name(edge.target), edge.number);
    for failure in failures {
        let error = ErrorEntry {
            message: failure.0.as_str().into(),
            task_id: Some(step.definition.name(node)),
            route: Some(route),
            task_transition_id: Some(transition.as_str().into()),
            result: Value::Null,
        };
        log(step, error);
    }
    fail(step);
}

/// The route of a target: a new one for each arrival at a task that several transitions name.
fn route_of(step: &mut Stage<'_>, node: usize, route: u32, edge: &Edge) -> u32 {
    let target = &step.definition.graph.nodes[edge.target];
    if !target.is_split() || target.in_cycle {
        return route;
    }
    let arrival: Str = format!("{}__t{}", step.definition.name(node), edge.number).into();
    let Some(mine) = step.state().routes.get(route as usize) else { return route };
    if mine.contains(&arrival) {
        return route;
    }
    let mut transitions = mine.to_vec();
    transitions.push(arrival);
    let new = u32::try_from(step.state().routes.len()).unwrap_or(u32::MAX);
    say(step, Fact::Routed { transitions });
    new
}

/// A join is ready once enough of its sources have led to it.
fn make_ready(step: &mut Stage<'_>, node: usize, to: u32, from: u32) {
    if !step.definition.graph.nodes[node].is_join {
        return;
    }
    let ready = step.state().staged(node, to).is_some_and(|staged| staged.ready);
    if !ready && step.state().arrivals(node, from) >= step.definition.needed(node) {
        let task = step.definition.name(node);
        say(step, Fact::Ready { task, route: to, despite_failure: false });
    }
}

/// What was staged beside a `fail` still runs.
fn keep_despite_failure(step: &mut Stage<'_>, staged: &[(usize, u32)]) {
    for (node, route) in staged {
        if step.state().staged(*node, *route).is_some_and(|staged| staged.ready) {
            let task = step.definition.name(*node);
            say(step, Fact::Ready { task, route: *route, despite_failure: true });
        }
    }
}

/// A command of the engine runs in the moment in which it is reached.
fn command(step: &mut Stage<'_>, node: usize, route: u32) -> Result<(), Refusal> {
    let task = step.definition.name(node);
    let is_fail = &*task == "fail";
    say(step, Fact::Entered { task: task.clone(), route, tries: None });
    say(step, Fact::Unstaged { task, route });
    let Some((entry, _)) = step.state().latest(node, route) else { return Ok(()) };
    if is_fail {
        log_action_failure(step, node, &Value::Null);
    }
    let status = if is_fail { Status::Failed } else { Status::Succeeded };
    say(step, Fact::Moved { entry, status });
    conclude(step, entry, Status::Unset, &Value::Null)
}

// ---- the workflow's status ------------------------------------------------------------------------------------------

/// What the status of a task makes of the workflow.
fn weigh(step: &mut Stage<'_>, entry: u32) {
    let state = step.state();
    let run = &state.entries[entry as usize];
    let remediated = run.status.is_abended() && is_remediated(step, entry);
    let mut new = status::workflow_after_task(state.status, run.status, remediated, state.outlook());
    let is_bad_end = run.status == Status::Canceled || (run.status.is_abended() && !remediated);
    if new.is_none() && state.status == Status::Paused && is_bad_end && !step.definition.habits.hang {
        // The original ignores it, and a resume would then succeed.
        new = status::workflow_after_task(Status::Pausing, run.status, remediated, state.outlook());
    }
    let Some(status) = new.filter(|status| *status != state.status) else { return };
    say(step, Fact::Became { status });
    if status == Status::Canceling && !step.definition.habits.hang {
        // A task whose other items are never offered now would stay active for ever: it is canceled as by a request.
        let _ = request(step, Status::Canceled);
    }
    if !status.is_completed() {
        return;
    }
    let lost = lost_joins(step);
    for (node, route) in &lost {
        let task = step.definition.name(*node);
        let error = ErrorEntry {
            message: format!(
                "UnreachableJoinError: The join task|route \"{task}|{route}\" is partially satisfied but unreachable."
            )
            .into(),
            task_id: Some(task),
            route: Some(*route),
            ..ErrorEntry::default()
        };
        log(step, error);
    }
    if !lost.is_empty() && step.state().status != Status::Failed {
        // Whatever it ended as: a branch is lost, and that shows.
        say(step, Fact::Became { status: Status::Failed });
    }
}

/// Whether a task that ended badly has led to anything but `continue`.
fn is_remediated(step: &Stage<'_>, entry: u32) -> bool {
    let run = &step.state().entries[entry as usize];
    let edges = &step.definition.graph.nodes[run.node].edges;
    run.taken
        .iter()
        .filter_map(|i| edges.get(*i as usize))
        .any(|edge| &*step.definition.graph.nodes[edge.target].name != "continue")
}

/// Joins that some branch has reached and that can no longer be met.
fn lost_joins(step: &Stage<'_>) -> Vec<(usize, u32)> {
    let state = step.state();
    let outlook = state.outlook();
    let moving = outlook.active || outlook.staged;
    state
        .all_staged()
        .filter(|staged| !staged.ready && step.definition.graph.nodes[staged.node].is_join)
        .filter(|staged| {
            let sources = &step.definition.graph.nodes[staged.node].sources;
            let awaited = sources.iter().any(|source| state.latest(*source, staged.route).is_none());
            !(awaited && moving)
        })
        .map(|staged| (staged.node, staged.route))
        .collect()
}

// ---- the end --------------------------------------------------------------------------------------------------------

/// Renders the output of a workflow that has ended, once.
pub(super) fn render(step: &mut Stage<'_>) {
    let definition = step.definition;
    let state = step.state();
    let status = state.status;
    if !status.is_completed() || !state.output.is_null() || definition.output.is_empty() {
        return;
    }
    let mut rolling = state.final_context();
    let (mut output, mut failures) = (Map::new(), Vec::new());
    for (name, expr) in &definition.output {
        let value = eval_over(step, expr, &rolling);
        keep(name, value, &mut rolling, &mut output, &mut failures);
    }
    if !output.is_empty() {
        say(step, Fact::Rendered { output: Value::from(output) });
    }
    for failure in &failures {
        log_failure(step, failure);
    }
    if !failures.is_empty() && !matches!(status, Status::Canceled | Status::Timeout | Status::Abandoned) {
        fail(step);
    }
}

// ---- again ----------------------------------------------------------------------------------------------------------

/// Runs tasks of a workflow that has ended again; without requests those whose failure ended it.
pub(super) fn rerun(step: &mut Stage<'_>, requests: Option<&[RerunRequest]>) -> Result<(), Refusal> {
    if !step.state().status.is_completed() {
        return Err(Refusal {
            class: "WorkflowIsActiveAndNotRerunableError",
            message: "Unable to rerun workflow because it is not in a completed state.".into(),
        });
    }
    let chosen = match requests {
        Some(requests) => requested(step, requests)?,
        None => failed_ends(step)?,
    };
    if chosen.is_empty() && !step.definition.habits.hang {
        return Ok(());
    }
    for (entry, reset) in &chosen {
        reenter(step, *entry, *reset)?;
    }
    for entry in moved_on(step) {
        say(step, Fact::Terminal { entry, counts: false });
    }
    if !step.state().output.is_null() {
        say(step, Fact::OutputForgotten);
    }
    say(step, Fact::Became { status: Status::Resuming });
    Ok(())
}

/// Stages a task again. What it led to before does not end the workflow any more.
fn reenter(step: &mut Stage<'_>, entry: u32, reset: bool) -> Result<(), Refusal> {
    let state = step.state();
    let run = &state.entries[entry as usize];
    let has_items = step.definition.plan(run.node).is_some_and(|plan| plan.with.is_some());
    let is_kept = run.status.is_abended() || state.staged(run.node, run.route).is_some();
    if has_items && !is_kept && step.definition.habits.hang {
        let message = format!("the items of task \"{}\" are not known any more", step.definition.name(run.node));
        return Err(Refusal { class: "AttributeError", message });
    }
    let led_to: Vec<u32> = state.led_to(entry).filter(|i| state.entries[*i as usize].terminal).collect();
    say(step, Fact::Reentered { entry, reset });
    for entry in led_to {
        say(step, Fact::Terminal { entry, counts: false });
    }
    Ok(())
}

/// Ends of the workflow that led on; of the runs of one task the last.
fn moved_on(step: &Stage<'_>) -> Vec<u32> {
    let ends = (0..).zip(&step.state().entries).filter(|(_, run)| run.terminal && !run.taken.is_empty());
    let last: BTreeMap<(usize, u32), u32> = ends.map(|(i, run)| ((run.node, run.route), i)).collect();
    last.into_values().collect()
}

fn requested(step: &Stage<'_>, requests: &[RerunRequest]) -> Result<Vec<(u32, bool)>, Refusal> {
    let state = step.state();
    let mut chosen = BTreeMap::new();
    let mut missing = Vec::new();
    for request in requests {
        let node = step.definition.graph.by_name.get(&request.task);
        match node.and_then(|node| state.latest(*node, request.route)) {
            Some((entry, _)) => {
                chosen.insert(entry, request.reset);
            }
            None => missing.push(format!("{}|{}", request.task, request.route)),
        }
    }
    if !missing.is_empty() {
        return Err(Refusal {
            class: "InvalidTaskRerunRequest",
            message: format!(
                "Unable to rerun task|route(s) because it doesn't exist or isn't rerunnable: {}",
                missing.join(", ")
            ),
        });
    }
    // What runs again anyway after each of the others is left out.
    let with_next = |entry: u32| state.led_to(entry).chain([entry]).collect::<BTreeSet<u32>>();
    let all: Vec<BTreeSet<u32>> = chosen.keys().map(|entry| with_next(*entry)).collect();
    let mine = chosen.into_iter().zip(&all);
    let kept = mine.filter(|(_, mine)| all.len() == 1 || all.iter().any(|other| !mine.is_subset(other)));
    Ok(by_name(step, kept.map(|(chosen, _)| chosen).collect()))
}

fn failed_ends(step: &Stage<'_>) -> Result<Vec<(u32, bool)>, Refusal> {
    let mut chosen = BTreeMap::new();
    for run in &step.state().entries {
        if !run.terminal || !run.status.is_abended() {
            continue;
        }
        if step.definition.plan(run.node).is_none() {
            if !step.definition.habits.hang {
                continue;
            }
            let name = step.definition.name(run.node);
            return Err(Refusal {
                class: "TypeError",
                message: format!("the command `{name}` ended the workflow and cannot run again; name the tasks to run"),
            });
        }
        chosen.extend(step.state().latest(run.node, run.route).map(|(last, _)| (last, false)));
    }
    Ok(by_name(step, chosen.into_iter().collect()))
}

/// In the order in which the tasks are entered again: by name and route.
fn by_name(step: &Stage<'_>, mut chosen: Vec<(u32, bool)>) -> Vec<(u32, bool)> {
    let entries = &step.state().entries;
    chosen.sort_by_key(|(entry, _)| {
        let run = &entries[*entry as usize];
        (step.definition.name(run.node), run.route)
    });
    chosen
}

impl Definition {
    /// Whether a name is a task of this workflow.
    pub fn has_task(&self, name: &str) -> bool {
        self.graph.by_name.get(name).is_some_and(|node| self.plan(*node).is_some())
    }

    /// Whether a task of that name has run.
    pub fn has_run(&self, state: &super::State, name: &str) -> bool {
        self.graph.by_name.get(name).is_some_and(|node| state.entries().iter().any(|entry| entry.node == *node))
    }
}
