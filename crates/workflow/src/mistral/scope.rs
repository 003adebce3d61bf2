//! What an expression of a Mistral definition sees: the layers under `$`, and `task()`, `env()`, `execution()` and
//! their like.
//!
//! `$` is one flat map made of the layers from the bottom up: input, `vars` and globals, `__execution`, `__env`,
//! item variables, the context that came along the transitions, `__task_execution`. Only references are copied, and an
//! expression that reads single members of `$` or of `task()` is given those without the rest: see [`View`].

use super::context::Context;
use super::definition::{Definition, Workflow};
use super::fact::{ExecutionId, TaskId};
use super::state::{Execution, State};
use super::task_run::TaskRun;
use crate::expressions::Data;
use crate::fixed_keys::{fill, keys};
use squall_expr::Error;
use squall_expr::yaql::Reads;
use squall_model::{Map, Str, Timestamp, Value, member};
use std::array;
use std::cell::OnceCell;
use std::sync::{Arc, LazyLock};

/// Where an expression stands.
pub(crate) struct Place<'a> {
    pub definition: &'a Definition,
    pub state: &'a State,
    pub host: &'a dyn crate::Host,
    /// The env, which at the start is not yet in the state.
    pub env: &'a Arc<Map>,
    pub execution: Option<ExecutionId>,
    pub task: Option<TaskId>,
    /// What `execution()` gives while the execution is not there yet.
    pub beginning: Value,
}

/// What `execution()` and `task()` give. Maps are filled from copies of one, so that keys cost no allocation.
const EXECUTION_FIELDS: [&str; 8] =
    ["id", "name", "spec", "input", "params", "created_at", "updated_at", "root_execution_id"];
const TASK_FIELDS: [&str; 11] = [
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
];
static EXECUTION_KEYS: LazyLock<Map> = LazyLock::new(|| keys(&EXECUTION_FIELDS));
static TASK_KEYS: LazyLock<Map> = LazyLock::new(|| keys(&TASK_FIELDS));

/// The variable that tells which task an expression is about.
const CURRENT: &str = "__task_execution";
static CURRENT_KEY: LazyLock<Str> = LazyLock::new(|| CURRENT.into());
static MARKER_KEYS: LazyLock<Map> = LazyLock::new(|| keys(&["id", "name"]));

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
            "env" => Value::Map(self.env.clone()),
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

    fn member(&self, name: &str, args: &[Value], key: &str) -> Option<Value> {
        let field = |fields: &[&str]| fields.iter().position(|field| *field == key);
        match (name, args) {
            ("env", []) => member(self.env, key).cloned(),
            ("execution", []) => {
                Some(self.execution_field(self.state.execution(self.execution?), field(&EXECUTION_FIELDS)?))
            }
            ("task", []) => Some(self.task_field(self.state.task(self.task?), field(&TASK_FIELDS)?)),
            ("task", [name]) => Some(self.task_field(self.record(name.as_str()?)?, field(&TASK_FIELDS)?)),
            _ => None,
        }
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
        let fields: [Value; EXECUTION_FIELDS.len()] = array::from_fn(|field| self.execution_field(execution, field));
        fill(&EXECUTION_KEYS, fields)
    }

    /// One of [`EXECUTION_FIELDS`].
    fn execution_field(&self, execution: &Execution, field: usize) -> Value {
        let workflow = &self.definition.workflows[execution.workflow];
        match field {
            0 => Value::from(execution.uuid.clone()),
            1 => Value::from(workflow.name.clone()),
            2 => workflow.spec.clone(),
            3 => Value::Map(execution.input.clone()),
            4 => Value::Map(execution.params.clone()),
            5 => Value::from(moment(execution.created)),
            6 => Value::from(moment(execution.updated)),
            _ => Value::from(execution.parent.map(|_| self.state.execution(0).uuid.clone())),
        }
    }

    fn task_map(&self, record: &TaskRun) -> Value {
        let fields: [Value; TASK_FIELDS.len()] = array::from_fn(|field| self.task_field(record, field));
        fill(&TASK_KEYS, fields)
    }

    /// One of [`TASK_FIELDS`].
    fn task_field(&self, record: &TaskRun, field: usize) -> Value {
        let task = &self.workflow(record).tasks[record.index];
        match field {
            0 => Value::from(record.uuid.clone()),
            1 => Value::from(record.name.clone()),
            2 => task.spec.clone(),
            3 => Value::from(record.state.shown()),
            4 => Value::from(record.info.clone()),
            5 => record.result(),
            6 => record.shown_published(),
            7 => Value::from(task.kind()),
            8 => Value::from(self.state.execution(record.execution).uuid.clone()),
            9 => Value::from(moment(record.created)),
            _ => Value::from(moment(record.updated)),
        }
    }

    /// `$` for an expression about `record` with `context`, and with the variables of an item.
    pub fn view<'v>(&'v self, record: &'v TaskRun, context: &'v Context, item: Option<u32>) -> View<'v> {
        let execution = self.state.execution(record.execution);
        let about = Some((record, item));
        View { place: self, execution, context, about, over: None, whole: OnceCell::new() }
    }

    /// `$` for an expression about a whole execution.
    pub fn final_view<'v>(&'v self, execution: &'v Execution, context: &'v Context) -> View<'v> {
        View { place: self, execution, context, about: None, over: None, whole: OnceCell::new() }
    }
}

/// `$` in its layers: put together, once, for expressions that may read anything of it.
pub(crate) struct View<'v> {
    place: &'v Place<'v>,
    execution: &'v Execution,
    context: &'v Context,
    /// The task, and the item of it, that the expression is about.
    about: Option<(&'v TaskRun, Option<u32>)>,
    /// What lies over everything: the input of an ad-hoc action.
    over: Option<&'v Map>,
    whole: OnceCell<Value>,
}

impl Data for View<'_> {
    fn part(&self, reads: &Reads) -> Value {
        match reads {
            Reads::Members(names) if names.is_empty() => Value::Null,
            Reads::Members(names) if self.whole.get().is_none() => {
                let found = names.iter().filter_map(|name| Some((name.clone(), self.member(name)?)));
                Value::from(found.collect::<Map>())
            }
            Reads::Members(_) | Reads::Everything => self.whole.get_or_init(|| Value::from(self.all())).clone(),
        }
    }
}

impl<'v> View<'v> {
    /// The same with the given input of an ad-hoc action over it.
    pub fn under(self, over: &'v Map) -> View<'v> {
        View { over: Some(over), whole: OnceCell::new(), ..self }
    }

    /// One member, from the highest layer that has it.
    fn member(&self, name: &Str) -> Option<Value> {
        if let Some(value) = self.over.and_then(|over| member(over, name)) {
            return Some(value.clone());
        }
        if let Some((record, _)) = self.about.filter(|_| **name == *CURRENT) {
            return Some(marker(record));
        }
        let context = self.context.get(self.place.state.numbers(), name).cloned();
        let item = || self.about.and_then(|(record, item)| item_variable(record, item?, name));
        let below = || member(&self.execution.base, name).cloned();
        context.or_else(item).or_else(below).or_else(|| self.result_by_name(name))
    }

    /// All layers together.
    fn all(&self) -> Map {
        let mut all = (*self.execution.base).clone();
        if let Some((record, Some(item))) = self.about {
            all.extend(item_variables(record, item));
        }
        all.extend(self.context.all(self.place.state.numbers()));
        if let Some((record, _)) = self.about {
            all.insert(CURRENT_KEY.clone(), marker(record));
        }
        let workflow = self.workflow();
        for name in workflow.read_by_name.iter().map(|index| &workflow.tasks[*index].name) {
            if !all.contains_key(name)
                && let Some(result) = self.result_by_name(name)
            {
                all.insert(name.clone(), result);
            }
        }
        all.extend(self.over.into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        all
    }

    /// The result of a task as `$.<task>`: content of early 2016 reads it so, as a last resort.
    fn result_by_name(&self, name: &Str) -> Option<Value> {
        let workflow = self.workflow();
        let index = workflow.index.get(name).filter(|index| workflow.read_by_name.binary_search(index).is_ok())?;
        let current = self.about.map(|(record, _)| record).filter(|record| record.index == *index);
        let latest = self.execution.records[*index].latest.map(|id| self.place.state.task(id));
        current.or(latest).filter(|record| record.state.is_completed()).map(TaskRun::result)
    }

    fn workflow(&self) -> &'v Workflow {
        &self.place.definition.workflows[self.execution.workflow]
    }
}

/// A task as expressions see it in `$.__task_execution`.
fn marker(record: &TaskRun) -> Value {
    fill(&MARKER_KEYS, [Value::from(record.uuid.clone()), Value::from(record.name.clone())])
}

/// An execution that is about to begin, as `execution()` shows it to `vars`.
pub(crate) fn beginning(
    workflow: &Workflow,
    uuid: Str,
    root: Option<Str>,
    input: &Map,
    env: &Arc<Map>,
    at: Timestamp,
) -> Value {
    let params = Value::from_pairs([("env", Value::Map(env.clone())), ("namespace", "".into())]);
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

/// One of them.
fn item_variable(record: &TaskRun, item: u32, name: &Str) -> Option<Value> {
    let (_, list) = record.items.as_ref()?.iter().find(|(known, _)| known == name)?;
    Some(list.as_list().and_then(|list| list.get(item as usize)).cloned().unwrap_or_default())
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
    let mut text = at.to_iso();
    text.truncate(text.find('.').unwrap_or(text.len()));
    if let Some(middle) = text.find('T') {
        text.replace_range(middle..=middle, " ");
    }
    text.into()
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
