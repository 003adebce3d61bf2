//! What a run looks like from outside: why it failed, its result, and all of it for a simulation.

use super::definition::Definition;
use super::fact::{ExecutionId, TaskId, TaskState};
use super::scope::moments;
use super::state::{State, action_uuid};
use super::task_run::{FailureOf, TaskRun};
use crate::Run;
use crate::fixed_keys::{fill, keys};
use squall_expr::python;
use squall_model::{Map, Status, Str, Value};
use std::fmt::Write;
use std::sync::LazyLock;

/// Mistral's sentence about unhandled failures: the tasks by name, each with the runs that failed.
pub(crate) fn failure(definition: &Definition, run: &Run, state: &State, execution: ExecutionId) -> String {
    let execution = state.execution(execution);
    let workflow = &definition.workflows[execution.workflow];
    let records = execution.tasks.iter().map(|task| state.task(*task));
    // Tasks with an `on-error` that was not taken are left out, as Mistral does.
    let mut failed: Vec<&TaskRun> = records
        .filter(|t| t.state == TaskState::Error && !t.handled)
        .filter(|t| workflow.tasks[t.index].on_error.next.is_empty())
        .collect();
    failed.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = failed.iter().map(|t| &*t.name).collect();
    let mut text = format!("Failure caused by error in tasks: {}\n", names.join(", "));
    for task in failed {
        let info = task.info.as_deref().unwrap_or("None");
        // Writing into a String does not fail.
        let _ = writeln!(text, "\n  {} [task_ex_id={}] -> {info}", task.name, task.uuid);
        for failure in &task.failures {
            let what = match failure.of {
                FailureOf::Run(action) => format!("action_ex_id={}", action_uuid(run, action)),
                FailureOf::Execution(child) => format!("wf_ex_id={}", state.execution(child).uuid),
            };
            let _ = writeln!(text, "    [{what}, idx={}]: {}", failure.index, python::str(&failure.error));
        }
        if text.len() > MAX_TEXT {
            break;
        }
    }
    shortened(text)
}

/// The longest text that explains a failure, as in Mistral. A sub-workflow's text stands in that of its parent twice,
/// so without a bound it would double with each level.
const MAX_TEXT: usize = 65_500;

fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// Status and result of the StackStorm execution: the output with `extra` and `tasks` beside it.
pub(crate) fn outcome(definition: &Definition, state: &State) -> (Status, Value) {
    let status = match state.top().map(|top| top.state) {
        Some(TaskState::Success) => Status::Succeeded,
        Some(TaskState::Cancelled) => Status::Canceled,
        _ => Status::Failed,
    };
    (status, result(definition, state))
}

/// The result as far as it is known: before the end only `extra` and `tasks`.
pub(crate) fn result(definition: &Definition, state: &State) -> Value {
    let Some(top) = state.top() else { return Value::map() };
    let mut result = top.output.as_map().cloned().unwrap_or_default();
    let info = Value::from(top.info.clone());
    let extra = [("state", Value::from(top.state.as_str())), ("state_info", info)];
    result.insert("extra".into(), Value::from_pairs(extra));
    let name = &definition.workflows[top.workflow].name;
    let tasks = top.tasks.iter().map(|task| task_entry(state.task(*task), &top.uuid, name));
    result.insert("tasks".into(), Value::from(tasks.collect::<Vec<_>>()));
    Value::from(result)
}

static ENTRY_KEYS: LazyLock<Map> = LazyLock::new(|| {
    keys(&[
        "id",
        "name",
        "workflow_execution_id",
        "workflow_name",
        "created_at",
        "updated_at",
        "state",
        "state_info",
        "input",
        "published",
        "result",
    ])
});

fn task_entry(task: &TaskRun, execution: &Str, workflow: &Str) -> Value {
    let [created, updated] = moments(task.created, task.updated);
    fill(
        &ENTRY_KEYS,
        [
            Value::from(task.uuid.clone()),
            Value::from(task.name.clone()),
            Value::from(execution.clone()),
            Value::from(workflow.clone()),
            created,
            updated,
            Value::from(task.state.shown()),
            Value::from(task.info.clone()),
            task.input.clone(),
            task.shown_published(),
            task.result(),
        ],
    )
}

/// An execution with its tasks and, below them, its sub-workflows.
pub(crate) fn describe(definition: &Definition, state: &State, execution: ExecutionId) -> Value {
    let found = state.execution(execution);
    let workflow = &definition.workflows[found.workflow];
    let tasks: Vec<Value> = found.tasks.iter().map(|task| describe_task(definition, state, *task)).collect();
    Value::from_pairs([
        ("name", Value::from(workflow.name.clone())),
        ("state", Value::from(found.state.as_str())),
        ("state_info", Value::from(found.info.clone())),
        ("input", Value::Map(found.input.clone())),
        (
            "output",
            if found.output.is_null() && !found.state.is_completed() { Value::map() } else { found.output.clone() },
        ),
        ("tasks", Value::from(tasks)),
    ])
}

fn describe_task(definition: &Definition, state: &State, task: TaskId) -> Value {
    let record = state.task(task);
    let workflow = &definition.workflows[state.execution(record.execution).workflow];
    let next = record.next.iter().map(|(name, via)| {
        let via = via.map_or(Value::Null, |via| Value::from(via.as_str()));
        Value::from(vec![Value::from(name.clone()), via])
    });
    let mut entry: Map = [
        ("name", Value::from(record.name.clone())),
        ("state", Value::from(record.state.as_str())),
        ("state_info", Value::from(record.info.clone())),
        ("published", record.shown_published()),
        ("type", Value::from(workflow.tasks[record.index].kind())),
        ("result", record.result()),
    ]
    .into_iter()
    .map(|(key, value)| (key.into(), value))
    .collect();
    if let Some(retries) = record.retries_made() {
        entry.insert("retries".into(), Value::from(retries));
    }
    let actions = record.attempts - (record.children.len() as u32).min(record.attempts);
    if actions > 0 {
        entry.insert("action_runs".into(), Value::from(actions));
    }
    entry.insert("next_tasks".into(), Value::from(next.collect::<Vec<_>>()));
    if record.state == TaskState::Error {
        entry.insert("error_handled".into(), Value::Bool(record.handled));
    }
    if !record.children.is_empty() {
        let mut children: Vec<ExecutionId> = record.children.clone();
        children.sort_by_key(|child| state.execution(*child).parent.map(|parent| parent.item));
        let children = children.into_iter().map(|child| describe(definition, state, child));
        entry.insert("workflows".into(), Value::from(children.collect::<Vec<_>>()));
    }
    Value::from(entry)
}
