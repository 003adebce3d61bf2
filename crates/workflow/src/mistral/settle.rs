//! How a task ends: its result, what it publishes, and the policies that have their say afterwards.

use super::decide::{COMPLETING, Conductor, info_of};
use super::definition::{Publish, Task};
use super::fact::{Fact, Retries, TaskId, TaskState, Wait};
use super::scope::NOTHING;
use crate::expressions::Expr;
use indexmap::IndexMap;
use squall_expr::{Engine, Error};
use squall_model::{Map, Str};
use std::sync::Arc;

type Pairs = [(Str, Expr)];

/// What a task publishes in a state, the later over the earlier.
struct Sources<'s> {
    branch: Vec<&'s Pairs>,
    global: Vec<&'s Pairs>,
}

impl<'s> Sources<'s> {
    /// Mistral adds one source to another only where the other has that scope: beside `publish`, which is for the branch,
    /// global variables of `on-complete` are lost; and a clause of the state loses what it has no scope for.
    fn of(
        clause: &'s Option<Publish>,
        plain: &'s Option<Publish>,
        complete: &'s Option<Publish>,
    ) -> Option<Sources<'s>> {
        let filled = |pairs: &'s Vec<(Str, Expr)>| Some(&**pairs).filter(|pairs| !pairs.is_empty());
        let branch = |publish: &'s Option<Publish>| publish.as_ref().and_then(|publish| filled(&publish.branch));
        let global = |publish: &'s Option<Publish>| publish.as_ref().and_then(|publish| filled(&publish.global));
        let mut sources = Sources {
            branch: [branch(plain), branch(complete)].into_iter().flatten().collect(),
            global: global(complete).filter(|_| plain.is_none()).into_iter().collect(),
        };
        if clause.is_some() {
            let under = |own: Option<&'s Pairs>, over: Vec<&'s Pairs>| match own {
                Some(own) => [vec![own], over].concat(),
                None => Vec::new(),
            };
            sources.branch = under(branch(clause), sources.branch);
            sources.global = under(global(clause), sources.global);
        }
        [clause, plain, complete].into_iter().any(Option::is_some).then_some(sources)
    }
}

impl Conductor<'_, '_> {
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
        if left && self.lives_on(execution) {
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
        // What a sub-workflow gave stays: Mistral empties the records of actions only.
        if !self.task(task).keep_result && !self.task(task).is_workflow() {
            self.emit(Fact::Forgot { task });
        }
        self.after(task);
    }

    /// Publishes what the task's state calls for. `publish` hides that of `on-success`, and that of `on-complete` both.
    pub fn publish(&mut self, task: TaskId) -> Result<(), Error> {
        let spec = self.task(task);
        let record = self.record(task);
        let complete = &spec.on_complete.publish;
        let sources = match record.state {
            TaskState::Success => Sources::of(&spec.on_success.publish, &spec.publish, complete),
            TaskState::Error => Sources::of(&spec.on_error.publish, &spec.publish_on_error, complete),
            TaskState::Skipped => Sources::of(&spec.on_skip.publish, &spec.publish_on_skip, complete),
            _ => return Ok(()),
        };
        let Some(sources) = sources else {
            if !record.published.is_empty() || record.published_nothing {
                self.emit(Fact::Published { task, branch: NOTHING.clone(), global: NOTHING.clone(), nothing: false });
            }
            return Ok(());
        };
        let nothing = sources.branch.iter().all(|pairs| pairs.is_empty());
        if nothing {
            self.emit(Fact::Published { task, branch: NOTHING.clone(), global: NOTHING.clone(), nothing });
        }
        let record = self.record(task);
        let place = self.place(record.execution, Some(task));
        let view = place.view(record, &record.inbound, None);
        // What another source hides is not even evaluated.
        let evaluated = |scope: Vec<&Pairs>| {
            let merged: IndexMap<&Str, &Expr> = scope.into_iter().flatten().map(|(name, expr)| (name, expr)).collect();
            let eval = |(name, expr): (&Str, &Expr)| {
                Ok::<_, Error>((name.clone(), expr.eval(Engine::Mistral, &view, &place)?))
            };
            merged.into_iter().map(eval).collect::<Result<Map, Error>>()
        };
        let (branch, global) = (evaluated(sources.branch)?, evaluated(sources.global)?);
        let shared = |map: Map| if map.is_empty() { NOTHING.clone() } else { Arc::new(map) };
        self.emit(Fact::Published { task, branch: shared(branch), global: shared(global), nothing });
        Ok(())
    }

    /// `wait-after`, `fail-on` and `retry`, in this order; then what follows.
    pub fn after(&mut self, task: TaskId) {
        let spec = self.task(task);
        let record = self.record(task);
        if !self.lives_on(record.execution) {
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
        // Whatever counts as true: Mistral checks the type of no other policy so little.
        let fails = self.eval_outbound(task, expr).map_err(|e| e.message)?.is_truthy();
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
