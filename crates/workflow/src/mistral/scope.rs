//! What an expression of a Mistral definition sees: the layers under `$`, and `task()`, `env()`, `execution()` and
//! their like.
//!
//! `$` is one flat map made of the layers from the bottom up: input, `vars` and globals, `__execution`, `__env`,
//! item variables, the context that came along the transitions, `__task_execution`. Only references are copied.

use super::context::Context;
use super::definition::{Definition, Workflow};
use super::fact::{ExecutionId, TaskId};
use super::state::{Execution, State};
use super::task_run::TaskRun;
use crate::fixed_keys::{fill, keys};
use squall_expr::Error;
use squall_model::{Map, Str, Timestamp, Value};
use std::sync::{Arc, LazyLock};

/// Where an expression stands.
pub(crate) struct Place<'a> {
    pub definition: &'a Definition,
    pub state: &'a State,
    pub host: &'a dyn crate::Host,
    /// The env, which at the start is not yet in the state.
    pub env: &'a Map,
    pub execution: Option<ExecutionId>,
    pub task: Option<TaskId>,
    /// What `execution()` gives while the execution is not there yet.
    pub beginning: Value,
}

/// The keys of what `execution()` and `task()` give: maps are filled from these, so that keys cost no allocation.
static EXECUTION_KEYS: LazyLock<Map> =
    LazyLock::new(|| keys(&["id", "name", "spec", "input", "params", "created_at", "updated_at", "root_execution_id"]));
static TASK_KEYS: LazyLock<Map> = LazyLock::new(|| {
    keys(&[
        "id",
        "name",
        "spec",
        "state",
        "state_info",
        "result",
        "published",
        "type",
        "workflow_execution_id",
        "created_at",
        "updated_at",
    ])
});
static CURRENT: LazyLock<Str> = LazyLock::new(|| "__task_execution".into());

/// No variables; shared by all who have none.
pub(super) static NOTHING: LazyLock<Arc<Map>> = LazyLock::new(Arc::default);

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
            "execution" => match self.execution {
                Some(id) => self.execution_map(self.state.execution(id)),
                None => self.beginning.clone(),
            },
            "executions" => self.executions(&arg(0, "id"), &arg(1, "root_execution_id"), &arg(2, "state")),
            "task" => self.task_function(&arg(0, "task_name")),
            "tasks" => {
                self.tasks(&arg(0, "workflow_execution_id"), &arg(1, "recursive"), &arg(2, "state"), &arg(3, "flat"))
            }
            "global" => self.global(&arg(0, "var_name")),
            _ => return self.host.call(name, args, named),
        }))
    }

    fn has(&self, name: &str) -> bool {
        FUNCTIONS.contains(&name) || self.host.has(name)
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

    fn limits(&self) -> &squall_expr::Limits {
        self.host.limits()
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
            inside[id] |= execution.as_str() == Some(&execution_record.uuid)
                || (recursive.is_truthy() && above.is_some_and(|above| inside[above]));
        }
        let records = self.state.tasks.iter().filter(|t| inside[t.execution as usize]).filter(wanted);
        // `flat` leaves the tasks out that only hold sub-workflows.
        let records = records.filter(|t| !flat.is_truthy() || !self.workflow(t).tasks[t.index].is_workflow());
        Value::from(records.map(|t| self.task_map(t)).collect::<Vec<_>>())
    }

    fn executions(&self, id: &Value, root: &Value, state: &Value) -> Value {
        let top = self.state.top().map_or("", |top| &*top.uuid);
        let chosen = self.state.executions.iter().filter(|execution| {
            id.as_str().is_none_or(|id| *execution.uuid == *id)
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
        let root = execution.parent.map(|_| self.state.execution(0).uuid.clone());
        let [created, updated] = moments(execution.created, execution.updated);
        fill(
            &EXECUTION_KEYS,
            [
                Value::from(execution.uuid.clone()),
                Value::from(workflow.name.clone()),
                workflow.spec.clone(),
                Value::Map(execution.input.clone()),
                Value::Map(execution.params.clone()),
                created,
                updated,
                Value::from(root),
            ],
        )
    }

    fn task_map(&self, record: &TaskRun) -> Value {
        let task = &self.workflow(record).tasks[record.index];
        let [created, updated] = moments(record.created, record.updated);
        fill(
            &TASK_KEYS,
            [
                Value::from(record.uuid.clone()),
                Value::from(record.name.clone()),
                task.spec.clone(),
                Value::from(record.state.shown()),
                Value::from(record.info.clone()),
                record.result(),
                record.shown_published(),
                Value::from(task.kind()),
                Value::from(self.state.execution(record.execution).uuid.clone()),
                created,
                updated,
            ],
        )
    }

    /// `$` for an expression about `record` with `context`, and with the variables of an item.
    pub fn view(&self, record: &TaskRun, context: &Context, item: Option<u32>) -> Value {
        let execution = self.state.execution(record.execution);
        let mut view = Map::with_capacity(execution.base.len() + context.vars().len() + 4);
        view.extend(execution.base.iter().map(|(k, v)| (k.clone(), v.clone())));
        if let Some(item) = item {
            view.extend(item_variables(record, item));
        }
        view.extend(context.vars().iter().map(|(k, v)| (k.clone(), v.clone())));
        view.insert(CURRENT.clone(), record.marker.clone());
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

/// An execution that is about to begin, as `execution()` shows it to `vars`.
pub(crate) fn beginning(
    workflow: &Workflow,
    uuid: Str,
    root: Option<Str>,
    input: &Map,
    env: &Map,
    at: Timestamp,
) -> Value {
    let params = Value::from_pairs([("env", Value::from(env.clone())), ("namespace", "".into())]);
    let [created, updated] = moments(at, at);
    fill(
        &EXECUTION_KEYS,
        [
            Value::from(uuid),
            Value::from(workflow.name.clone()),
            workflow.spec.clone(),
            Value::from(input.clone()),
            params,
            created,
            updated,
            Value::from(root),
        ],
    )
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
fn moment(at: Timestamp) -> Str {
    let iso = at.to_iso();
    let (date, time) = iso.split_at(iso.find('T').unwrap_or(iso.len()));
    let time = time.split('.').next().unwrap_or_default();
    format!("{date}{}", time.replace('T', " ")).into()
}

/// Two moments, which are often the same.
pub(crate) fn moments(created: Timestamp, updated: Timestamp) -> [Value; 2] {
    let first = Value::from(moment(created));
    let second = if created == updated { first.clone() } else { Value::from(moment(updated)) };
    [first, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_to_the_second() {
        let at = Timestamp::parse_iso("2016-02-29T23:59:59.5Z").unwrap();
        assert_eq!(&*moment(at), "2016-02-29 23:59:59");
    }
}
