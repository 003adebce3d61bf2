//! What may start now: the staged tasks, rendered.
//!
//! Everything that is ready is rendered before anything is offered; one failure fails the workflow and nothing is. The
//! items of a task are found once, when it is first offered, and remembered; later its free places are filled from them.

use super::decide::{Stage, fail_task, say, seen};
use super::expression::Failure;
use super::names::{Current, Names};
use super::state::{Fact, Items, Staged};
use super::status::Status;
use super::view::Sum;
use super::{TaskPlan, WithPlan};
use squall_model::{Map, Str, Value};
use std::sync::Arc;

/// A task that may start, with all it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Offered {
    /// Its name.
    pub task: Str,
    /// Its route.
    pub route: u32,
    /// One action, or one for each item that may start.
    pub actions: Vec<Action>,
    /// Seconds to wait, for a task with a delay (never 0) or another try.
    pub delay: Option<i64>,
    /// How many items there are, for a task over items.
    pub items: Option<usize>,
    /// How many may run at once.
    pub concurrency: Option<i64>,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// An action, rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Its reference; null for a task without an action.
    pub action: Value,
    /// Its input; null when the task has none.
    pub input: Value,
    /// The index of its item.
    pub item: Option<u32>,
}

/// The tasks that may start, sorted by name and route.
pub(super) fn offers(step: &mut Stage<'_>) -> Vec<Offered> {
    let status = step.state().status;
    let open = matches!(
        status,
        Status::Requested | Status::Scheduled | Status::Delayed | Status::Running | Status::Resuming | Status::Retrying
    );
    if !open && status != Status::Failed {
        return Vec::new();
    }
    let ready: Vec<(usize, u32)> = step
        .state()
        .offerable()
        .filter(|staged| open || staged.despite_failure)
        .map(|staged| (staged.node, staged.route))
        .collect();
    let mut offers = Vec::with_capacity(ready.len());
    let mut failed = false;
    for (node, route) in ready {
        match offer(step, node, route) {
            Ok(offer) => offers.extend(offer),
            Err(failure) => {
                fail_task(step, node, route, &failure);
                failed = true;
            }
        }
    }
    if failed {
        return Vec::new();
    }
    offers.sort_by(|a, b| a.task.cmp(&b.task).then(a.route.cmp(&b.route)));
    offers
}

fn offer(step: &mut Stage<'_>, node: usize, route: u32) -> Result<Option<Offered>, Failure> {
    let definition = step.definition;
    let Some(staged) = step.state().staged(node, route) else { return Ok(None) };
    let Some(plan) = definition.plan(node) else { return Ok(None) };
    let sum = step.state().views.sum(staged.view);
    let retry_delay = staged.retry_delay;
    let is_known = staged.items.is_some();
    let tries = step.state().latest(node, route).and_then(|(_, entry)| entry.tries);
    let attempt = match retry_delay {
        Some(_) => u32::try_from(tries.map_or(0, |tries| tries.done)).unwrap_or(0).saturating_add(1),
        None => 1,
    };
    let mut offered = Offered {
        task: definition.name(node),
        route,
        actions: Vec::new(),
        delay: None,
        items: None,
        concurrency: None,
        attempt,
    };
    let at = Place { node, route, plan, sum: &sum };
    match &plan.with {
        None => offered.actions.push(at.action(step, None)?),
        Some(with) if !is_known => {
            let values = at.item_values(step, with)?;
            // All are rendered before the first is offered: a failure in any of them must show now.
            let actions: Vec<Action> =
                (0..).zip(&values).map(|(i, value)| at.action(step, Some((i, value)))).collect::<Result<_, _>>()?;
            let concurrency = at.concurrency(step, with)?;
            offered.delay = at.delay(step)?;
            let task = offered.task.clone();
            say(step, Fact::Itemized { task, route, items: values, concurrency });
            let places = known_items(step, node, route).map_or(0, Items::places);
            offered.actions = actions.into_iter().take(places).collect();
        }
        Some(_) => {
            let Some(items) = known_items(step, node, route) else { return Ok(None) };
            for i in items.next() {
                let index = u32::try_from(i).unwrap_or(u32::MAX);
                offered.actions.push(at.action(step, Some((index, &items.values[i])))?);
            }
        }
    }
    if let Some(items) = known_items(step, node, route) {
        offered.items = Some(items.statuses.len());
        offered.concurrency = items.concurrency;
    }
    offered.delay = match retry_delay {
        Some(delay) => Some(delay),
        None => at.delay(step)?,
    };
    Ok(Some(offered))
}

fn known_items<'a>(step: &'a Stage<'_>, node: usize, route: u32) -> Option<&'a Items> {
    let staged: &Staged = step.state().staged(node, route)?;
    staged.items.as_deref()
}

struct Place<'a> {
    node: usize,
    route: u32,
    plan: &'a TaskPlan,
    sum: &'a Sum,
}

impl Place<'_> {
    fn names<'n>(&self, step: &'n Stage<'_>) -> Names<'n> {
        const NOTHING: &Value = &Value::Null;
        let current = Current { node: self.node, route: self.route, result: NOTHING };
        seen(step, self.sum, Some(current))
    }

    fn action(&self, step: &Stage<'_>, item: Option<(u32, &Value)>) -> Result<Action, Failure> {
        let names = Names { item: item.map(|(_, value)| value), ..self.names(step) };
        Ok(Action {
            action: self.plan.action.eval(&names)?,
            input: self.plan.input.eval(&names)?,
            item: item.map(|(index, _)| index),
        })
    }

    /// A Boolean counts as 0 or 1 here and in the other numbers of a task, as in Python.
    fn delay(&self, step: &Stage<'_>) -> Result<Option<i64>, Failure> {
        let Some(delay) = &self.plan.delay else { return Ok(None) };
        match delay.eval(&self.names(step))? {
            Value::Int(seconds) => Ok((seconds != 0).then_some(seconds)),
            Value::Bool(b) => Ok(b.then_some(1)),
            _ => Err(Failure("TypeError: The value of task delay is not type of integer.".into())),
        }
    }

    fn concurrency(&self, step: &Stage<'_>, with: &WithPlan) -> Result<Option<i64>, Failure> {
        let Some(concurrency) = &with.concurrency else { return Ok(None) };
        match concurrency.eval(&self.names(step))? {
            Value::Null => Ok(None),
            Value::Int(n) => Ok(Some(n.max(1))),
            Value::Bool(_) => Ok(Some(1)),
            _ => Err(Failure("TypeError: The value of with items concurrency is not type of integer.".into())),
        }
    }

    fn item_values(&self, step: &Stage<'_>, with: &WithPlan) -> Result<Vec<Value>, Failure> {
        let Value::List(list) = with.items.eval(&self.names(step))? else {
            return Err(Failure(format!("TypeError: The value of \"{}\" is not type of list.", with.text)));
        };
        let Some(names) = &with.names else {
            return Ok(Arc::unwrap_or_clone(list));
        };
        Ok(list.iter().map(|value| named_item(names, value)).collect())
    }
}

/// An element under its names: a list is laid beside them, anything else belongs to a single name.
fn named_item(names: &[Str], value: &Value) -> Value {
    let map: Map = match (value, names) {
        (Value::List(parts), _) => names.iter().cloned().zip(parts.iter().cloned()).collect(),
        (_, [name]) => [(name.clone(), value.clone())].into_iter().collect(),
        _ => return value.clone(),
    };
    Value::from(map)
}
