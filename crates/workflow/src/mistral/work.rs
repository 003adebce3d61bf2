//! How an execution begins and how a task comes to run, ends, and is tried again.

use super::context::overlay;
use super::decide::{COMPLETING, Conductor, Failure, RUNNING, Todo, info_of};
use super::definition::{Input, Join, Name, Publish, Retry, Task, TaskIndex, Work, fill_input, invalid_input};
use super::fact::{Began, ExecutionId, Fact, Held, Parent, Policies, Retries, TaskId, TaskState, Wait};
use super::stackstorm;
use super::state::action_uuid;
use crate::expressions::{Expr, eval_pairs};
use crate::standard::STANDARD;
use crate::{Child, Offer, Registered, RunId};
use squall_expr::{Engine, Error, python};
use squall_model::{Map, Str, Value};

/// How deep sub-workflows may nest. Real content has three levels; a workflow that calls itself for ever ends here.
const MAX_DEPTH: u32 = 64;

/// How many ad-hoc actions may be based on one another.
const MAX_BASES: usize = 32;

/// Start parameters that are no input: they come with the runner parameters.
const START_PARAMS: [&str; 2] = ["task_name", "evaluate_env"];

impl Conductor<'_, '_> {
    /// Everything that can go wrong before there is an execution.
    pub fn prepare_begin(&self) -> Result<Began, String> {
        let definition = self.step.definition;
        let Some(begin) = self.step.run().begin() else { return Err("the run has no beginning".into()) };
        let named = begin.runner.get("workflow").and_then(Value::as_str);
        let index = match named {
            Some(name) => definition.names.get(name).copied(),
            None => (!definition.workflows.is_empty()).then_some(0),
        };
        let Some(index) = index else {
            return Err(format!("Failed to find workflow [name={}] [namespace=]", named.unwrap_or("")));
        };
        if definition.stackstorm
            && let Some(problem) = stackstorm::check(definition, self.step.host).into_iter().next()
        {
            return Err(problem);
        }
        let workflow = &definition.workflows[index];
        let (input, missing, unexpected) = fill_input(&workflow.input, &begin.input);
        if !missing.is_empty() || !unexpected.is_empty() {
            return Err(invalid_input(&workflow.name, workflow.class(), &missing, &unexpected));
        }
        let env = match begin.runner.get("evaluate_env") {
            Some(Value::Bool(false)) => begin.env.clone(),
            _ => self.eval_env(&begin.env).map_err(|e| e.message)?,
        };
        let target = begin.runner.get("task_name").and_then(Value::as_str).map(Str::from);
        if workflow.reverse && target.as_ref().is_none_or(|target| !workflow.index.contains_key(target)) {
            let target = target.as_deref().unwrap_or("None");
            return Err(format!("Invalid task name [wf_spec={}, task_name={target}]", workflow.name));
        }
        let vars = self.eval_vars(workflow, 0, &input, &env).map_err(|e| e.message)?;
        let mut params = Map::new();
        params.insert("env".into(), Value::from(env.clone()));
        params.insert("namespace".into(), Value::from(""));
        let start = START_PARAMS.iter().filter_map(|key| begin.runner.get_key_value(*key));
        params.extend(start.map(|(key, value)| (key.clone(), value.clone())));
        let target = target.filter(|_| workflow.reverse);
        let name = workflow.name.clone();
        Ok(Began { parent: None, workflow: name, input, params, env: Some(env), vars, target, at: self.at })
    }

    /// The values of an env are evaluated once, `env()` meaning the raw ones.
    fn eval_env(&self, raw: &Map) -> Result<Map, Error> {
        let exprs: Vec<(Str, Expr)> =
            raw.iter().map(|(key, value)| (key.clone(), Expr::of(value, Engine::Mistral))).collect();
        if exprs.iter().all(|(_, expr)| expr.is_constant()) {
            return Ok(raw.clone());
        }
        let data = Value::from_pairs([("__env", Value::from(raw.clone()))]);
        eval_pairs(&exprs, Engine::Mistral, &data, &self.bare_place(raw))
    }

    /// Begins an execution and makes its first tasks.
    pub fn start_execution(&mut self, began: Began) {
        let execution = self.state().executions.len() as ExecutionId;
        self.emit(Fact::Began(Box::new(began)));
        let workflow = self.workflow(execution);
        let first: Vec<TaskIndex> = if workflow.reverse {
            let missing = &self.execution(execution).missing;
            (0..workflow.tasks.len()).filter(|task| missing.get(*task) == Some(&Some(0))).collect()
        } else {
            workflow.start.clone()
        };
        for index in first {
            self.make_from(execution, index, Vec::new());
        }
        self.queue.push_back(Todo::Check(execution));
    }

    /// Makes a task record because `by` leads there; a join only counts the arrival.
    pub fn make(&mut self, execution: ExecutionId, index: TaskIndex, by: TaskId) {
        match self.workflow(execution).tasks[index].join {
            Some(_) => self.reach(execution, index, by),
            None => self.make_from(execution, index, vec![by]),
        }
    }

    /// Makes a task record and starts it.
    pub fn make_from(&mut self, execution: ExecutionId, index: TaskIndex, by: Vec<TaskId>) {
        let task = self.state().tasks.len() as TaskId;
        let name = self.workflow(execution).tasks[index].name.clone();
        self.emit(Fact::Made { execution, name, by, waiting: false, at: self.at });
        self.start(task);
    }

    /// Another inbound task leads to a join.
    fn reach(&mut self, execution: ExecutionId, index: TaskIndex, by: TaskId) {
        let Some(join) = self.execution(execution).records[index].latest else {
            let join = self.state().tasks.len() as TaskId;
            let name = self.workflow(execution).tasks[index].name.clone();
            self.emit(Fact::Made { execution, name, by: vec![by], waiting: true, at: self.at });
            return self.queue.push_back(Todo::Join(join, true));
        };
        let record = self.record(join);
        let (state, ran) = (record.state, record.attempts > 0 || !record.failures.is_empty());
        if state == TaskState::Waiting {
            self.emit(Fact::Arrived { join, by });
            self.queue.push_back(Todo::Join(join, false));
        } else if state.is_completed() && (ran || state == TaskState::Success) {
            // Late at a join that is through: Mistral runs it once more, with the latecomer's variables.
            self.emit(Fact::Arrived { join, by });
            self.emit(Fact::Became { task: join, state: TaskState::Waiting, info: Some("Task is waiting.".into()) });
            self.queue.push_back(Todo::Join(join, false));
        }
    }

    /// Starts a task: the policies that come before its action, then the action.
    pub fn start(&mut self, task: TaskId) {
        let spec = self.task(task);
        if !self.record(task).prepared && spec.has_policies() {
            if let Err(error) = self.prepare(task, spec) {
                return self.fail_by_force(task, RUNNING, &error);
            }
            if self.is_held_back(task, spec) {
                return;
            }
        }
        self.run(task);
    }

    /// Evaluates the policies of a task.
    fn prepare(&mut self, task: TaskId, spec: &Task) -> Result<(), String> {
        let whole = |expr: &Option<Expr>, policy: &str, key: &str| match expr {
            None => Ok(0),
            Some(expr) => self.whole_number(task, expr, policy, key),
        };
        let retry = match &spec.retry {
            None => None,
            Some(Retry { count, delay, .. }) => Some(Retries {
                count: self.whole_number(task, count, "RetryPolicy", "count")?,
                delay: self.whole_number(task, delay, "RetryPolicy", "delay")?,
            }),
        };
        let policies = Policies {
            wait_before: whole(&spec.wait_before, "WaitBeforePolicy", "delay")?,
            wait_after: whole(&spec.wait_after, "WaitAfterPolicy", "delay")?,
            retry,
            timeout: whole(&spec.timeout, "TimeoutPolicy", "delay")?,
            concurrency: whole(&spec.concurrency, "ConcurrencyPolicy", "concurrency")?,
        };
        self.emit(Fact::Prepared { task, policies });
        Ok(())
    }

    /// Applies the policies that may keep a task from running at once; answers whether one does.
    fn is_held_back(&mut self, task: TaskId, spec: &Task) -> bool {
        let execution = self.record(task).execution;
        let pause = match &spec.pause_before {
            None => Ok(false),
            Some(expr) => self.truth(task, expr, "PauseBeforePolicy"),
        };
        match pause {
            Err(error) => {
                self.fail_by_force(task, RUNNING, &error);
                return true;
            }
            Ok(true) => {
                let info: Option<Str> = Some("Set by 'pause-before' policy".into());
                self.emit(Fact::Became { task, state: TaskState::Idle, info: info.clone() });
                self.pause_all(info);
                self.emit(Fact::Held { execution, what: Held::Run(task) });
                return true;
            }
            Ok(false) => {}
        }
        let Policies { wait_before, timeout, .. } = self.record(task).policies;
        if timeout > 0 {
            let timer = self.step.set_timer(timeout.saturating_mul(1000));
            self.emit(Fact::Watched { task, timer });
        }
        if wait_before > 0 {
            self.wait(task, Wait::Before, wait_before);
        }
        wait_before > 0
    }

    fn wait(&mut self, task: TaskId, why: Wait, seconds: u64) {
        let timer = self.step.set_timer(seconds.saturating_mul(1000));
        let policy = match why {
            Wait::Before => "wait-before",
            Wait::After => "wait-after",
            Wait::Retry => "retry",
        };
        let info = Some(format!("Delayed by '{policy}' policy [delay={seconds}]").into());
        self.emit(Fact::Waits { task, timer, why, info });
    }

    fn whole_number(&self, task: TaskId, expr: &Expr, policy: &str, key: &str) -> Result<u64, String> {
        let value = self.eval_inbound(task, expr, None).map_err(|e| e.message)?;
        match &value {
            Value::Int(n) if *n >= 0 => Ok(n.unsigned_abs()),
            Value::Int(n) => Err(bad_policy(policy, &format!("{n} is less than the minimum of 0"), key)),
            other => Err(bad_policy(policy, &format!("{} is not of type 'integer'", python::repr(other)), key)),
        }
    }

    fn truth(&self, task: TaskId, expr: &Expr, policy: &str) -> Result<bool, String> {
        let value = self.eval_inbound(task, expr, None).map_err(|e| e.message)?;
        value
            .as_bool()
            .ok_or_else(|| bad_policy(policy, &format!("{} is not of type 'boolean'", python::repr(&value)), "expr"))
    }

    /// Offers the action of a task, or as many of its items as may run; a paused execution holds it.
    pub fn run(&mut self, task: TaskId) {
        let execution = self.record(task).execution;
        match self.execution(execution).state {
            TaskState::Running => {}
            TaskState::Paused => {
                if !self.execution(execution).held.contains(&Held::Run(task)) {
                    self.emit(Fact::Held { execution, what: Held::Run(task) });
                }
                return;
            }
            _ => return,
        }
        match self.offer_work(task) {
            Ok(()) => {}
            Err(Failure::Ordinary(info)) => self.queue.push_back(Todo::Settle(task, TaskState::Error, Some(info))),
            Err(Failure::Forced(error)) => self.fail_by_force(task, RUNNING, &error),
        }
    }

    fn offer_work(&mut self, task: TaskId) -> Result<(), Failure> {
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
        map.extend(eval_pairs(&input.keys, Engine::Mistral, &view, &place)?);
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
            ("workflow_execution_id", Value::from(self.execution(record.execution).uuid.clone())),
            ("workflow_name", Value::from(workflow.clone())),
            ("task_execution_id", Value::from(record.uuid.clone())),
            ("task_name", Value::from(record.name.clone())),
            ("action_execution_id", Value::from(action_uuid(run, run.next_run()))),
        ];
        child.context.extend(own.into_iter().map(|(key, value)| (key.into(), value)));
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
        let mut view = match place.view(record, &record.inbound, item) {
            Value::Map(map) => (*map).clone(),
            _ => Map::new(),
        };
        view.extend(given.iter().map(|(k, v)| (k.clone(), v.clone())));
        Ok(eval_pairs(&base.keys, Engine::Mistral, &Value::from(view), &place)?)
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
            return Err(Failure::Ordinary(invalid_input(&workflow.name, workflow.class(), &missing, &[]).into()));
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
        outputs.clone().try_fold(result, |result, output| output.eval(Engine::Mistral, &result, &place))
    }

    /// An action or sub-workflow of a task is over.
    pub fn slot_done(&mut self, task: TaskId) {
        let record = self.record(task);
        if record.state.is_completed() || record.state == TaskState::Delayed {
            return;
        }
        let (execution, running) = (record.execution, record.running);
        let spec = self.task(task);
        if spec.items.is_empty() {
            if running == 0 {
                let (state, info) = self.end_of_plain(task);
                self.settle(task, state, info);
            }
            return;
        }
        let left = (record.next_item..record.item_count()).any(|item| record.is_vacant(item));
        if left && !self.execution(execution).state.is_completed() {
            return self.run(task);
        }
        if running == 0 {
            let (state, info) = match (record.cancelled, record.failed) {
                (0, 0) => (TaskState::Success, None),
                (0, _) => (TaskState::Error, Some("One or more actions had failed.".into())),
                _ => (TaskState::Cancelled, Some("One or more actions was cancelled.".into())),
            };
            self.settle(task, state, info);
        }
    }

    fn end_of_plain(&self, task: TaskId) -> (TaskState, Option<Str>) {
        let record = self.record(task);
        if record.cancelled > 0 {
            return (TaskState::Cancelled, None);
        }
        if record.failed == 0 {
            return (TaskState::Success, None);
        }
        let info = match record.children.last() {
            Some(child) if self.task(task).is_workflow() => self.execution(*child).info.clone(),
            _ => info_of(&record.last_value()),
        };
        (TaskState::Error, info)
    }

    /// A task has its result: it publishes, then the policies that come after an action have their say.
    pub fn settle(&mut self, task: TaskId, state: TaskState, info: Option<Str>) {
        self.emit(Fact::Settled { task, state, info, at: self.at });
        if let Err(error) = self.publish(task) {
            return self.fail_by_force(task, COMPLETING, &error.message);
        }
        if !self.task(task).keep_result {
            self.emit(Fact::Forgot { task });
        }
        self.after(task);
    }

    /// Publishes what the task's state calls for. `publish` hides that of `on-success`, and that of `on-complete` both.
    pub fn publish(&mut self, task: TaskId) -> Result<(), Error> {
        let spec = self.task(task);
        let record = self.record(task);
        let sources: [&Option<Publish>; 3] = match record.state {
            TaskState::Success => [&spec.on_success.publish, &spec.publish, &spec.on_complete.publish],
            TaskState::Error => [&spec.on_error.publish, &spec.publish_on_error, &spec.on_complete.publish],
            TaskState::Skipped => [&spec.on_skip.publish, &spec.publish_on_skip, &None],
            _ => return Ok(()),
        };
        if sources.iter().all(|source| source.is_none()) {
            if !record.published.is_empty() {
                self.emit(Fact::Published { task, branch: Map::new(), global: Map::new() });
            }
            return Ok(());
        }
        let place = self.place(record.execution, Some(task));
        let view = place.view(record, &record.inbound, None);
        let (mut branch, mut global) = (Map::new(), Map::new());
        for source in sources.into_iter().flatten() {
            branch.extend(eval_pairs(&source.branch, Engine::Mistral, &view, &place)?);
            global.extend(eval_pairs(&source.global, Engine::Mistral, &view, &place)?);
        }
        self.emit(Fact::Published { task, branch, global });
        Ok(())
    }

    /// `wait-after`, `fail-on` and `retry`, in this order; then what follows.
    pub fn after(&mut self, task: TaskId) {
        let spec = self.task(task);
        let record = self.record(task);
        if self.execution(record.execution).state.is_completed() {
            return;
        }
        if record.prepared && !matches!(record.state, TaskState::Cancelled | TaskState::Skipped) {
            let wait = record.policies.wait_after;
            if wait > 0 && !record.waited_after {
                return self.wait(task, Wait::After, wait);
            }
            match self.fails_on(task, spec).and_then(|()| self.retries(task, spec)) {
                Err(error) => return self.fail_by_force(task, COMPLETING, &error),
                Ok(Some(delay)) => return self.wait(task, Wait::Retry, delay),
                Ok(None) => {}
            }
        }
        self.follow(task);
    }

    fn fails_on(&mut self, task: TaskId, spec: &Task) -> Result<(), String> {
        let Some(expr) = &spec.fail_on else { return Ok(()) };
        if self.record(task).state != TaskState::Success {
            return Ok(());
        }
        let value = self.eval_outbound(task, expr).map_err(|e| e.message)?;
        let Some(fails) = value.as_bool() else {
            let text = format!("{} is not of type 'boolean'", python::repr(&value));
            return Err(bad_policy("FailOnPolicy", &text, "fail-on"));
        };
        if fails {
            let info = Some("Failed by 'fail-on' policy".into());
            self.emit(Fact::Settled { task, state: TaskState::Error, info, at: self.at });
        }
        Ok(())
    }

    /// The seconds until the next try, if there is to be one.
    fn retries(&self, task: TaskId, spec: &Task) -> Result<Option<u64>, String> {
        let record = self.record(task);
        let (Some(Retries { count, delay }), Some(retry)) = (record.policies.retry, &spec.retry) else {
            return Ok(None);
        };
        if u64::from(record.retries.unwrap_or(0)) >= count {
            return Ok(None);
        }
        let holds = |expr: &Expr| {
            let value = self.eval_outbound(task, expr).map_err(|e| e.message)?;
            Ok::<bool, String>(value.is_truthy())
        };
        if record.state == TaskState::Error
            && let Some(break_on) = &retry.break_on
            && holds(break_on)?
        {
            return Ok(None);
        }
        let again = match &retry.continue_on {
            Some(continue_on) => holds(continue_on)?,
            None => record.state == TaskState::Error,
        };
        Ok(again.then_some(delay))
    }
}

impl Task {
    fn has_policies(&self) -> bool {
        let waits = self.wait_before.is_some() || self.wait_after.is_some() || self.timeout.is_some();
        let gates = self.pause_before.is_some() || self.fail_on.is_some() || self.concurrency.is_some();
        waits || gates || self.retry.is_some()
    }

    /// How many inbound tasks must have led to this join.
    pub fn needed(&self) -> usize {
        self.join.map_or(1, |join: Join| join.needed(self.inbound.len()))
    }
}

fn bad_policy(policy: &str, problem: &str, key: &str) -> String {
    format!("Invalid data type in {policy}: {problem} (`{key}`, after evaluation)")
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
