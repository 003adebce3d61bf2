//! How an execution begins, how its task records are made, and the policies that come before an action.

use super::decide::{Conductor, Failure, RUNNING, Todo};
use super::definition::{Join, Retry, Task, TaskIndex, fill_input, invalid_input};
use super::fact::{Began, ExecutionId, Fact, Held, Policies, Retries, TaskId, TaskState, Wait};
use super::stackstorm;
use crate::expressions::{Expr, eval_pairs};
use squall_expr::{Engine, Error, python};
use squall_model::{Map, Str, Value};
use std::sync::Arc;

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
            let name = definition.short_name(&workflow.name);
            return Err(invalid_input(name, workflow.class(), &missing, &unexpected));
        }
        let env = Arc::new(begin.env.clone());
        let env = match begin.runner.get("evaluate_env") {
            Some(Value::Bool(false)) => env,
            _ => self.eval_env(env).map_err(|e| e.message)?,
        };
        let target = begin.runner.get("task_name").and_then(Value::as_str).map(Str::from);
        if workflow.reverse && target.as_ref().is_none_or(|target| !workflow.index.contains_key(target)) {
            let target = target.as_deref().unwrap_or("None");
            return Err(format!("Invalid task name [wf_spec={}, task_name={target}]", workflow.name));
        }
        let vars = self.eval_vars(workflow, 0, &input, &env).map_err(|e| e.message)?;
        let mut params = Map::new();
        params.insert("env".into(), Value::Map(env.clone()));
        params.insert("namespace".into(), Value::from(""));
        let start = START_PARAMS.iter().filter_map(|key| begin.runner.get_key_value(*key));
        params.extend(start.map(|(key, value)| (key.clone(), value.clone())));
        let target = target.filter(|_| workflow.reverse);
        let name = workflow.name.clone();
        Ok(Began { parent: None, workflow: name, input, params, env: Some(env), vars, target, at: self.at })
    }

    /// The values of an env are evaluated once, `env()` meaning the raw ones.
    fn eval_env(&self, raw: Arc<Map>) -> Result<Arc<Map>, Error> {
        let exprs: Vec<(Str, Expr)> =
            raw.iter().map(|(key, value)| (key.clone(), Expr::of(value, Engine::Mistral))).collect();
        if exprs.iter().all(|(_, expr)| expr.is_constant()) {
            return Ok(raw);
        }
        let data = Value::from_pairs([("__env", Value::Map(raw.clone()))]);
        eval_pairs(&exprs, Engine::Mistral, &data, &self.bare_place(&raw)).map(Arc::new)
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
        let made = first.into_iter().map(|index| self.make_from(execution, index, Vec::new())).collect();
        self.launch(made);
        self.queue.push_back(Todo::Check(execution));
    }

    /// Makes a task record because `by` leads there; a join only counts the arrival.
    pub fn make(&mut self, execution: ExecutionId, index: TaskIndex, by: TaskId) -> Option<TaskId> {
        match self.workflow(execution).tasks[index].join {
            Some(_) => {
                self.reach(execution, index, by);
                None
            }
            None => Some(self.make_from(execution, index, vec![by])),
        }
    }

    /// Makes a task record, to be launched.
    pub fn make_from(&mut self, execution: ExecutionId, index: TaskIndex, by: Vec<TaskId>) -> TaskId {
        let task = self.state().tasks.len() as TaskId;
        let name = self.workflow(execution).tasks[index].name.clone();
        self.emit(Fact::Made { execution, name, by, waiting: false, at: self.at });
        task
    }

    /// Starts the tasks that one event made. All exist before the first starts, and each starts whatever becomes of the
    /// execution meanwhile: when the first is at fault and ends it, the others run and nothing follows them.
    pub fn launch(&mut self, made: Vec<TaskId>) {
        for task in made {
            if self.is_prepared(task) {
                self.offer_or_fail(task);
            }
        }
    }

    /// Another inbound task leads to a join.
    fn reach(&mut self, execution: ExecutionId, index: TaskIndex, by: TaskId) {
        let Some(join) = self.execution(execution).records[index].latest else {
            let join = self.state().tasks.len() as TaskId;
            let name = self.workflow(execution).tasks[index].name.clone();
            self.emit(Fact::Made { execution, name, by: vec![by], waiting: true, at: self.at });
            return self.queue.push_back(Todo::Join(join, true));
        };
        let state = self.record(join).state;
        if state == TaskState::Waiting {
            self.emit(Fact::Arrived { join, by });
            self.queue.push_back(Todo::Join(join, false));
        } else if state.is_completed() && self.record(join).items.is_none() {
            // Late at a join that is through: Mistral looks at it once more, with the latecomer's variables. One over items has
            // none left to run, and would wait for ever.
            self.emit(Fact::Arrived { join, by });
            self.emit(Fact::Became { task: join, state: TaskState::Waiting, info: Some("Task is waiting.".into()) });
            self.queue.push_back(Todo::Join(join, true));
        }
    }

    /// Starts a task: the policies that come before its action, then the action.
    pub fn start(&mut self, task: TaskId) {
        if self.is_prepared(task) {
            self.run(task);
        }
    }

    /// Starts a join: Mistral applies no policy before its action, `concurrency` included, unless it is run again.
    pub fn start_join(&mut self, task: TaskId) {
        let spec = self.task(task);
        if !self.record(task).prepared
            && spec.has_policies()
            && let Err(error) = self.prepare(task, spec, false)
        {
            return self.fail_by_force(task, RUNNING, &error);
        }
        self.run(task);
    }

    /// Applies the policies that come before an action; answers whether it may run now.
    fn is_prepared(&mut self, task: TaskId) -> bool {
        let spec = self.task(task);
        if self.record(task).prepared || !spec.has_policies() {
            return true;
        }
        if let Err(error) = self.prepare(task, spec, true) {
            self.fail_by_force(task, RUNNING, &error);
            return false;
        }
        !self.is_held_back(task, spec)
    }

    /// Evaluates the policies of a task: those after its action, and with `before` those before it.
    fn prepare(&mut self, task: TaskId, spec: &Task, before: bool) -> Result<(), String> {
        let whole = |expr: &Option<Expr>, policy: &str, key: &str| match expr {
            None => Ok(0),
            Some(expr) => self.whole_number(task, expr, policy, key),
        };
        let first = |expr: &Option<Expr>, policy: &str, key: &str| match before {
            true => whole(expr, policy, key),
            false => Ok(0),
        };
        let retry = match &spec.retry {
            None => None,
            Some(Retry { count, delay, .. }) => Some(Retries {
                count: self.whole_number(task, count, "RetryPolicy", "count")?,
                delay: self.whole_number(task, delay, "RetryPolicy", "delay")?,
            }),
        };
        let policies = Policies {
            wait_before: first(&spec.wait_before, "WaitBeforePolicy", "delay")?,
            wait_after: whole(&spec.wait_after, "WaitAfterPolicy", "delay")?,
            retry,
            timeout: first(&spec.timeout, "TimeoutPolicy", "delay")?,
            concurrency: first(&spec.concurrency, "ConcurrencyPolicy", "concurrency")?,
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

    pub fn wait(&mut self, task: TaskId, why: Wait, seconds: u64) {
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
            _ if self.lives_on(execution) => {}
            _ => return,
        }
        self.offer_or_fail(task);
    }

    /// Offers a task whose wait is over. Its timer runs, so it is meant to run, be its execution over or not.
    pub fn go_on_with(&mut self, task: TaskId) {
        match self.execution(self.record(task).execution).state {
            TaskState::Paused => self.run(task),
            _ => self.offer_or_fail(task),
        }
    }

    fn offer_or_fail(&mut self, task: TaskId) {
        match self.offer_work(task) {
            Ok(()) => {}
            Err(Failure::Ordinary(info)) => self.queue.push_back(Todo::Settle(task, TaskState::Error, Some(info))),
            Err(Failure::Forced(error)) => self.fail_by_force(task, RUNNING, &error),
        }
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

pub(super) fn bad_policy(policy: &str, problem: &str, key: &str) -> String {
    format!("Invalid data type in {policy}: {problem} (`{key}`, after evaluation)")
}
