//! What an expression of a Mistral definition sees: the layers under `$`, and `task()`, `env()`, `execution()` and
//! their like.
//!
//! `$` is one flat map made of the layers from the bottom up: input, `vars` and globals, `__execution`, `__env`,
//! item variables, the context that came along the transitions, `__task_execution`. Only references are copied.

use super::context::Context;
use super::definition::{Definition, Workflow};
use super::fact::{ExecutionId, TaskId};
use super::state::{Execution, State, TaskRun, execution_uuid, task_uuid};
use crate::Run;
use squall_expr::Error;
use squall_model::{Map, Str, Timestamp, Value};

/// Where an expression stands.
pub(crate) struct Place<'a> {
    pub definition: &'a Definition,
    pub run: &'a Run,
    pub state: &'a State,
    pub host: &'a dyn crate::Host,
    /// The env, which at the start is not yet in the state.
    pub env: &'a Map,
    pub execution: Option<ExecutionId>,
    pub task: Option<TaskId>,
}

/// Functions of Mistral that need to look at the run.
const FUNCTIONS: [&str; 6] = ["env", "execution", "executions", "task", "tasks", "global"];

impl squall_expr::Host for Place<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        let arg = |place: usize, name: &str| {
            let by_name = named.iter().find(|(key, _)| &**key == name).map(|(_, value)| value);
            args.get(place).or(by_name).cloned().unwrap_or_default()
        };
        Some(Ok(match name {
            "env" => Value::from(self.env.clone()),
            "execution" => self.execution.map_or(Value::Null, |id| self.execution_map(self.state.execution(id))),
            "executions" => self.executions(&arg(0, "id"), &arg(1, "root_execution_id"), &arg(2, "state")),
            "task" => self.task_function(&arg(0, "task_name")),
            "tasks" => {
                self.tasks(&arg(0, "workflow_execution_id"), &arg(1, "recursive"), &arg(2, "state"), &arg(3, "flat"))
            }
            "global" => self.global(&arg(0, "var_name")),
            "json_pp" if self.definition.stackstorm => Value::from(json_pp(&arg(0, "data"))),
            _ => return self.host.call(name, args, named),
        }))
    }

    fn has(&self, name: &str) -> bool {
        FUNCTIONS.contains(&name) || (name == "json_pp" && self.definition.stackstorm) || self.host.has(name)
    }

    fn kv(&self, scope: &str, key: &str, decrypt: bool) -> Result<Option<Value>, Error> {
        self.host.kv(scope, key, decrypt)
    }

    fn name(&self, name: &str) -> Option<Value> {
        self.host.name(name)
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }

    fn random(&self, bytes: &mut [u8]) {
        self.host.random(bytes);
    }
}

impl Place<'_> {
    fn task_function(&self, name: &Value) -> Value {
        let Some(name) = name.as_str() else {
            return self.task.map_or(Value::Null, |id| self.task_map(self.state.task(id)));
        };
        self.record(name).map_or(Value::Null, |record| self.task_map(record))
    }

    /// The current record if it has that name, else the latest one.
    fn record(&self, name: &str) -> Option<&TaskRun> {
        if let Some(current) = self.task.map(|id| self.state.task(id))
            && &*current.name == name
        {
            return Some(current);
        }
        latest(self.definition, self.state, self.execution?, name)
    }

    fn global(&self, name: &Value) -> Value {
        let layer = self.execution.map(|id| &self.state.execution(id).layer);
        layer.zip(name.as_str()).and_then(|(layer, name)| layer.get(name)).cloned().unwrap_or_default()
    }

    fn tasks(&self, execution: &Value, recursive: &Value, state: &Value, flat: &Value) -> Value {
        let wanted = |record: &&TaskRun| state.as_str().is_none_or(|state| record.state.as_str() == state);
        let mut inside = vec![execution.is_null(); self.state.executions.len()];
        for execution_record in &self.state.executions {
            let id = execution_record.id as usize;
            let above = execution_record.parent.map(|p| self.state.task(p.task).execution as usize);
            inside[id] |= execution.as_str() == Some(&execution_uuid(self.run, execution_record.id))
                || (recursive.is_truthy() && above.is_some_and(|above| inside[above]));
        }
        let records = self.state.tasks.iter().filter(|t| inside[t.execution as usize]).filter(wanted);
        // `flat` leaves the tasks out that only hold sub-workflows.
        let records = records.filter(|t| !flat.is_truthy() || !self.workflow(t).tasks[t.index].is_workflow());
        Value::from(records.map(|t| self.task_map(t)).collect::<Vec<_>>())
    }

    fn executions(&self, id: &Value, root: &Value, state: &Value) -> Value {
        let top = execution_uuid(self.run, 0);
        let chosen = self.state.executions.iter().filter(|execution| {
            id.as_str().is_none_or(|id| execution_uuid(self.run, execution.id) == id)
                && root.as_str().is_none_or(|root| execution.parent.is_some() && root == top)
                && state.as_str().is_none_or(|state| execution.state.as_str() == state)
        });
        Value::from(chosen.map(|execution| self.execution_map(execution)).collect::<Vec<_>>())
    }

    fn workflow(&self, record: &TaskRun) -> &Workflow {
        &self.definition.workflows[self.state.execution(record.execution).workflow]
    }

    fn execution_map(&self, execution: &Execution) -> Value {
        let workflow = &self.definition.workflows[execution.workflow];
        let root = execution.parent.map(|_| execution_uuid(self.run, 0));
        Value::from_pairs([
            ("id", Value::from(execution_uuid(self.run, execution.id))),
            ("name", Value::from(workflow.name.clone())),
            ("spec", workflow.spec.clone()),
            ("input", Value::Map(execution.input.clone())),
            ("params", Value::Map(execution.params.clone())),
            ("created_at", Value::from(moment(execution.created))),
            ("updated_at", Value::from(moment(execution.updated))),
            ("root_execution_id", Value::from(root)),
        ])
    }

    fn task_map(&self, record: &TaskRun) -> Value {
        let task = &self.workflow(record).tasks[record.index];
        Value::from_pairs([
            ("id", Value::from(task_uuid(self.run, record.id))),
            ("name", Value::from(record.name.clone())),
            ("spec", task.spec.clone()),
            ("state", Value::from(record.state.as_str())),
            ("state_info", Value::from(record.info.clone())),
            ("result", record.result()),
            ("published", Value::Map(record.published.clone())),
            ("type", Value::from(task.kind())),
            ("workflow_execution_id", Value::from(execution_uuid(self.run, record.execution))),
            ("created_at", Value::from(moment(record.created))),
            ("updated_at", Value::from(moment(record.updated))),
        ])
    }

    /// `$` for an expression about `record` with `context`, and with the variables of an item.
    pub fn view(&self, record: &TaskRun, context: &Context, item: Option<u32>) -> Value {
        let execution = self.state.execution(record.execution);
        let mut view = Map::with_capacity(execution.base.len() + context.vars().len() + 2);
        view.extend(execution.base.iter().map(|(k, v)| (k.clone(), v.clone())));
        if let Some(item) = item {
            view.extend(item_variables(record, item));
        }
        view.extend(context.vars().iter().map(|(k, v)| (k.clone(), v.clone())));
        let current = [("id", task_uuid(self.run, record.id)), ("name", record.name.to_string())];
        view.insert("__task_execution".into(), Value::from_pairs(current));
        self.add_results(&mut view, execution, Some(record));
        Value::from(view)
    }

    /// `$` for an expression about a whole execution.
    pub fn final_view(&self, execution: &Execution, context: &Context) -> Value {
        let mut view = (*execution.base).clone();
        view.extend(context.vars().iter().map(|(k, v)| (k.clone(), v.clone())));
        self.add_results(&mut view, execution, None);
        Value::from(view)
    }

    /// The result of a task as `$.<task>`: content of early 2016 reads it so, as a last resort.
    fn add_results(&self, view: &mut Map, execution: &Execution, current: Option<&TaskRun>) {
        let workflow = &self.definition.workflows[execution.workflow];
        for index in &workflow.read_by_name {
            let name = &workflow.tasks[*index].name;
            if view.contains_key(name) {
                continue;
            }
            let record = current.filter(|record| record.index == *index);
            let latest = execution.records[*index].latest.map(|id| self.state.task(id));
            if let Some(record) = record.or(latest).filter(|r| r.state.is_completed()) {
                view.insert(name.clone(), record.result());
            }
        }
    }
}

/// The variables of an item, in the order in which they were declared.
pub(crate) fn item_variables(record: &TaskRun, item: u32) -> Vec<(Str, Value)> {
    let lists = record.items.iter().flat_map(|lists| lists.iter());
    lists
        .map(|(name, list)| {
            let value = list.as_list().and_then(|list| list.get(item as usize)).cloned();
            (name.clone(), value.unwrap_or_default())
        })
        .collect()
}

/// The latest record of a task.
pub(crate) fn latest<'a>(
    definition: &Definition,
    state: &'a State,
    execution: ExecutionId,
    name: &str,
) -> Option<&'a TaskRun> {
    let execution = state.execution(execution);
    let index = definition.workflows[execution.workflow].index.get(name)?;
    execution.records[*index].latest.map(|id| state.task(id))
}

/// A moment as Mistral writes it: to the second, without a zone.
pub(crate) fn moment(at: Timestamp) -> String {
    at.to_iso().get(..19).map_or_else(String::new, |text| text.replace('T', " "))
}

/// The name by which the Mistral of StackStorm's years knew `json_dump`, with line feeds made real.
fn json_pp(data: &Value) -> String {
    // Four blanks for a level, which is what serde_json's pretty form has two of.
    let text = squall_model::to_json_pretty(data);
    let indented: Vec<String> = text
        .lines()
        .map(|line| {
            let level = line.len() - line.trim_start_matches(' ').len();
            format!("{}{}", " ".repeat(level), line)
        })
        .collect();
    indented.join("\n").replace("\\n", "\n").replace(" \n", "\n")
}
