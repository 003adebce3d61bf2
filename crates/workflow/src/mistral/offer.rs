//! How the work of a task is offered: its items, its name and input, ad-hoc actions, sub-workflows.

use super::context::overlay;
use super::decide::{Conductor, Failure, Todo};
use super::definition::{Input, Name, Task, Work, fill_input, invalid_input};
use super::fact::{Began, ExecutionId, Fact, Parent, TaskId, TaskState};
use super::stackstorm;
use super::state::action_uuid;
use crate::expressions::{Expr, eval_into, eval_pairs};
use crate::fixed_keys::{filled, keys};
use crate::standard::STANDARD;
use crate::{Child, Offer, Registered, RunId};
use squall_expr::{Engine, Error, python};
use squall_model::{Map, Str, Value};
use std::sync::LazyLock;

/// How deep sub-workflows may nest. Real content has three levels; a workflow that calls itself for ever ends here.
const MAX_DEPTH: u32 = 64;

/// How many ad-hoc actions may be based on one another.
const MAX_BASES: usize = 32;

/// What a child finds under `mistral` in its context.
static CHILD_KEYS: LazyLock<Map> = LazyLock::new(|| {
    keys(&["workflow_execution_id", "workflow_name", "task_execution_id", "task_name", "action_execution_id"])
});

impl Conductor<'_, '_> {
    pub fn offer_work(&mut self, task: TaskId) -> Result<(), Failure> {
        let spec = self.task(task);
        if spec.items.is_empty() {
            return self.offer(task, spec, None);
        }
        if self.record(task).items.is_none() {
            let items = self.list_items(task, spec)?;
            self.emit(Fact::Listed { task, items });
        }
        if self.record(task).item_count() == 0 {
            self.queue.push_back(Todo::Settle(task, TaskState::Success, None));
            return Ok(());
        }
        self.offer_items(task, spec)
    }

    /// Evaluates the lists of a task over items and checks that they fit together.
    fn list_items(&self, task: TaskId, spec: &Task) -> Result<Vec<(Str, Value)>, Failure> {
        let mut lists: Vec<(Str, Value)> = Vec::with_capacity(spec.items.len());
        for (name, expr) in &spec.items {
            let value = self.eval_inbound(task, expr, None)?;
            match iterable(&value) {
                Some(list) => lists.push((name.clone(), list)),
                None => {
                    let shown = python::repr(&Value::from_pairs(lists));
                    return Err(Failure::Forced(format!(
                        "Wrong input format for: {shown}. Iterable type is expected for each value."
                    )));
                }
            }
        }
        let mut lengths = lists.iter().map(|(_, list)| list.as_list().map_or(0, <[Value]>::len));
        let first = lengths.next();
        if lengths.any(|length| Some(length) != first) {
            let shown = python::repr(&Value::from_pairs(lists));
            let text = format!("Wrong input format for: {shown}. All arrays must have the same length.");
            return Err(Failure::Forced(text));
        }
        Ok(lists)
    }

    /// Offers items in order, as many as may run at a time.
    fn offer_items(&mut self, task: TaskId, spec: &Task) -> Result<(), Failure> {
        loop {
            let record = self.record(task);
            let limit = record.policies.concurrency;
            if limit > 0 && u64::from(record.running) >= limit {
                return Ok(());
            }
            let mut left = record.next_item..record.item_count();
            let Some(item) = left.find(|item| record.is_vacant(*item)) else { return Ok(()) };
            self.offer(task, spec, Some(item))?;
        }
    }

    fn offer(&mut self, task: TaskId, spec: &Task, item: Option<u32>) -> Result<(), Failure> {
        match &spec.work {
            Work::Workflow(name) => self.offer_workflow(task, spec, name, item),
            Work::Action(name) => self.offer_action(task, spec, name, item),
        }
    }

    fn name_of(&self, task: TaskId, name: &Name, item: Option<u32>) -> Result<Str, Failure> {
        if let Some(fixed) = &name.fixed {
            return Ok(fixed.clone());
        }
        match self.eval_inbound(task, &name.expr, item)? {
            Value::Str(name) => Ok(name),
            Value::Null => Ok("".into()),
            other => Ok(python::str(&other).into()),
        }
    }

    /// The input of a task, evaluated.
    fn input_of(&self, task: TaskId, input: &Input, item: Option<u32>) -> Result<Map, Failure> {
        let constant = |(key, expr): &(Str, Expr)| Some((key.clone(), expr.constant()?.clone()));
        if input.whole.is_none()
            && let Some(map) = input.keys.iter().map(constant).collect::<Option<Map>>()
        {
            return Ok(map);
        }
        let record = self.record(task);
        let place = self.place(record.execution, Some(task));
        let view = place.view(record, &record.inbound, item);
        let mut map = Map::new();
        if let Some(whole) = &input.whole {
            let value = whole.eval(Engine::Mistral, &view, &place)?;
            let Value::Map(given) = &value else {
                return Err(Failure::Forced(format!(
                    "Wrong dynamic input for task: {}. Dict type is expected. Actual type: {}. Actual value: {}",
                    record.name,
                    class_of(&value),
                    python::str(&value)
                )));
            };
            map.clone_from(given);
        }
        eval_into(&mut map, &input.keys, Engine::Mistral, &view, &place)?;
        Ok(map)
    }

    fn offer_action(&mut self, task: TaskId, spec: &Task, name: &Name, item: Option<u32>) -> Result<(), Failure> {
        let mut action = self.name_of(task, name, item)?;
        if action.is_empty() {
            action = "std.noop".into();
        }
        let mut input = self.input_of(task, &spec.input, item)?;
        if let Some(fixed) = &name.fixed
            && let Some(defaults) = self.state().env().get("__actions").and_then(|actions| actions.get(fixed))
            && let Value::Map(merged) = overlay(defaults, &Value::from(input.clone()))
        {
            input = (*merged).clone();
        }
        let mut context = Map::new();
        let (action, input) = self.base_of(task, action, input, item, &mut context)?;
        let (action, input) = self.check_action(task, action, input)?;
        if let Some(target) = &spec.target {
            context.insert("target".into(), self.eval_inbound(task, target, item)?);
        }
        let record = self.record(task);
        let attempt = record.retries.unwrap_or(0) + 1;
        let mut child = Child { context, ..Child::default() };
        if self.step.definition.stackstorm {
            self.add_child_context(task, &mut child);
        }
        let (name, input) = (spec.name.clone(), Value::from(input));
        self.step.offer(Offer {
            task: name,
            route: task,
            item,
            attempt,
            action: Some(action),
            input,
            child,
            ..Offer::default()
        });
        Ok(())
    }

    /// What StackStorm gives to the child of a Mistral task.
    fn add_child_context(&self, task: TaskId, child: &mut Child) {
        let run = self.step.run();
        let record = self.record(task);
        let workflow = &self.workflow(record.execution).name;
        let own = [
            Value::from(self.execution(record.execution).uuid.clone()),
            Value::from(workflow.clone()),
            Value::from(record.uuid.clone()),
            Value::from(record.name.clone()),
            Value::from(action_uuid(run, run.next_run())),
        ];
        if child.context.is_empty() {
            child.context = filled(&CHILD_KEYS, own);
        } else {
            child.context.extend(CHILD_KEYS.keys().cloned().zip(own));
        }
        stackstorm::notify(self.state().env(), &record.name, child);
    }

    /// Goes down from an ad-hoc action to what it is based on; `context` remembers the way back up.
    fn base_of(
        &self,
        task: TaskId,
        action: Str,
        input: Map,
        item: Option<u32>,
        context: &mut Map,
    ) -> Result<(Str, Map), Failure> {
        let definition = self.step.definition;
        let book = self.book_of(task);
        let mut way = Vec::new();
        let (mut action, mut input) = (action, input);
        let mut book = book.cloned();
        while let Some(ad_hoc) = definition.ad_hoc(&action, book.as_deref()) {
            if way.len() == MAX_BASES {
                return Err(Failure::Forced(format!("ad-hoc action `{action}` is based on itself")));
            }
            let (filled, missing, unexpected) = fill_input(&ad_hoc.input, &input);
            if !missing.is_empty() || !unexpected.is_empty() {
                return Err(Failure::Forced(invalid_input(&ad_hoc.name, "AdHocAction", &missing, &unexpected)));
            }
            if way.is_empty() {
                context.insert("given".into(), Value::from(filled.clone()));
            }
            way.push(Value::from(ad_hoc.name.clone()));
            input = self.base_input(task, &ad_hoc.base_input, &filled, item)?;
            action = ad_hoc.base.clone();
            book.clone_from(&ad_hoc.book);
        }
        if !way.is_empty() {
            context.insert("ad_hoc".into(), Value::from(way));
        }
        Ok((action, input))
    }

    fn base_input(&self, task: TaskId, base: &Input, given: &Map, item: Option<u32>) -> Result<Map, Failure> {
        let record = self.record(task);
        let place = self.place(record.execution, Some(task));
        let view = place.view(record, &record.inbound, item).under(given);
        Ok(eval_pairs(&base.keys, Engine::Mistral, &view, &place)?)
    }

    fn book_of(&self, task: TaskId) -> Option<&Str> {
        let name = &self.workflow(self.record(task).execution).name;
        self.step.definition.book.as_ref().filter(|book| name.starts_with(&***book))
    }

    /// Whether there is such an action and takes such parameters.
    fn check_action(&self, task: TaskId, action: Str, input: Map) -> Result<(Str, Map), Failure> {
        if &*action == stackstorm::PROXY {
            return stackstorm::through_proxy(self.step.definition, action, input);
        }
        if let Some((_, required, optional)) = STANDARD.iter().find(|(name, ..)| *name == &*action) {
            let missing: Vec<Str> =
                required.iter().filter(|p| !input.contains_key(**p)).map(|p| Str::from(*p)).collect();
            let unexpected: Vec<Str> = input
                .keys()
                .filter(|key| !required.contains(&&***key) && !optional.contains(&&***key))
                .cloned()
                .collect();
            return match missing.is_empty() && unexpected.is_empty() {
                true => Ok((action, input)),
                false => Err(Failure::Forced(invalid_input(&action, "Action", &missing, &unexpected))),
            };
        }
        match self.step.host.action(&action) {
            Registered::Unchecked => Ok((action, input)),
            Registered::No => Err(Failure::Forced(format!("Failed to find action [action_name={action}, namespace=]"))),
            Registered::Yes(parameters) => {
                let (missing, unexpected) = parameters.misfits(&input);
                if missing.is_empty() && unexpected.is_empty() {
                    return Ok((action, input));
                }
                let task = &self.record(task).name;
                Err(Failure::Forced(match self.step.definition.stackstorm {
                    true => stackstorm::misfit(task, &action, &missing, &unexpected),
                    false => invalid_input(&action, "Action", &missing, &unexpected),
                }))
            }
        }
    }

    fn offer_workflow(&mut self, task: TaskId, spec: &Task, name: &Name, item: Option<u32>) -> Result<(), Failure> {
        let definition = self.step.definition;
        let name = self.name_of(task, name, item)?;
        let given = self.input_of(task, &spec.input, item)?;
        let above = self.record(task).execution;
        let index = definition.workflow(&name, self.book_of(task).map(|book| &**book));
        let Some(index) = index else {
            return Err(Failure::Ordinary(format!("Failed to find workflow [name={name}] [namespace=]").into()));
        };
        if self.execution(above).depth >= MAX_DEPTH {
            let text = format!("sub-workflows nest deeper than {MAX_DEPTH} levels at `{name}`");
            return Err(Failure::Ordinary(text.into()));
        }
        let workflow = &definition.workflows[index];
        let (input, missing, extra) = fill_input(&workflow.input, &given);
        if !missing.is_empty() {
            let name = definition.short_name(&workflow.name);
            return Err(Failure::Ordinary(invalid_input(name, workflow.class(), &missing, &[]).into()));
        }
        let env = self.state().env().clone();
        let execution = self.state().executions.len() as ExecutionId;
        let vars =
            self.eval_vars(workflow, execution, &input, &env).map_err(|e| Failure::Ordinary(e.message.into()))?;
        let target = given.get("task_name").and_then(Value::as_str).map(Str::from).filter(|_| workflow.reverse);
        if workflow.reverse && target.as_ref().is_none_or(|target| !workflow.index.contains_key(target)) {
            let target = target.as_deref().unwrap_or("None");
            let text = format!("Invalid task name [wf_spec={}, task_name={target}]", workflow.name);
            return Err(Failure::Ordinary(text.into()));
        }
        let mut params: Map = extra.iter().filter_map(|key| Some((key.clone(), given.get(key)?.clone()))).collect();
        let own = [
            ("root_execution_id", Value::from(self.execution(0).uuid.clone())),
            ("task_execution_id", Value::from(self.record(task).uuid.clone())),
            ("index", Value::from(item.unwrap_or(0))),
            ("namespace", Value::from("")),
        ];
        params.extend(own.into_iter().map(|(key, value)| (key.into(), value)));
        let parent = Some(Parent { task, item: item.unwrap_or_else(|| self.record(task).next_slot()) });
        let (workflow, at) = (workflow.name.clone(), self.at);
        self.start_execution(Began { parent, workflow, input, params, env: None, vars, target, at });
        Ok(())
    }

    /// The ad-hoc actions above a run, from the outside in.
    pub fn shapes_of(&self, run: RunId) -> Vec<Str> {
        let open = self.step.run().offers().get(&run);
        let way = open.and_then(|open| open.offer.child.context.get("ad_hoc")).and_then(Value::as_list);
        way.unwrap_or_default().iter().filter_map(|name| name.as_str().map(Str::from)).collect()
    }

    /// Gives the result of a base action the form of the ad-hoc actions above it.
    pub fn reshape(&self, task: TaskId, shapes: &[Str], result: Value) -> Result<Value, Error> {
        let place = self.place(self.record(task).execution, Some(task));
        let outputs = shapes.iter().rev().filter_map(|name| self.step.definition.actions.get(name)?.output.as_ref());
        // Over a result that counts as false Mistral evaluates nothing: the text of `output` is the result.
        outputs.clone().try_fold(result, |result, (output, written)| match result.is_truthy() {
            true => output.eval(Engine::Mistral, &result, &place),
            false => Ok(written.clone()),
        })
    }
}

/// What `with-items` walks over: a list, the keys of a map, the characters of a text.
fn iterable(value: &Value) -> Option<Value> {
    match value {
        Value::List(_) => Some(value.clone()),
        Value::Map(map) => Some(Value::from(map.keys().map(|key| Value::from(key.clone())).collect::<Vec<_>>())),
        Value::Str(text) => Some(Value::from(text.chars().map(|c| Value::from(c.to_string())).collect::<Vec<_>>())),
        _ => None,
    }
}

/// A value's class as Python names it in messages.
fn class_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<class 'NoneType'>",
        Value::Bool(_) => "<class 'bool'>",
        Value::Int(_) | Value::Big(_) => "<class 'int'>",
        Value::Float(_) => "<class 'float'>",
        Value::Str(_) => "<class 'str'>",
        Value::List(_) => "<class 'list'>",
        Value::Map(_) | Value::Special(_) => "<class 'dict'>",
    }
}
