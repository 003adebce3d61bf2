//! A Mistral definition as it was read: names resolved, routes known, every expression parsed.

use crate::expressions::Expr;
use squall_model::{Map, Str, Value};
use std::collections::HashMap;

/// Workflows and ad-hoc actions that were written together, and the mode in which they run.
#[derive(Debug, Default)]
pub struct Definition {
    /// The workflows, in the order of the file.
    pub(crate) workflows: Vec<Workflow>,
    /// Their full names.
    pub(crate) names: HashMap<Str, usize>,
    /// Ad-hoc actions by full name.
    pub(crate) actions: HashMap<Str, AdHoc>,
    /// The name of the workbook, if it is one.
    pub(crate) book: Option<Str>,
    /// Whether StackStorm's layer lies on top ([`crate::mistral::stackstorm`]).
    pub(crate) stackstorm: bool,
}

/// One workflow.
#[derive(Debug)]
pub(crate) struct Workflow {
    /// Its full name, that of the workbook included.
    pub name: Str,
    /// `reverse` rather than `direct`.
    pub reverse: bool,
    /// Declared inputs with their defaults.
    pub input: Vec<(Str, Option<Value>)>,
    pub vars: Vec<(Str, Expr)>,
    pub output: Option<Expr>,
    pub output_on_error: Option<Expr>,
    pub tasks: Vec<Task>,
    pub index: HashMap<Str, TaskIndex>,
    /// Tasks that no clause leads to.
    pub start: Vec<TaskIndex>,
    /// Tasks whose result some expression reads as `$.<task>`, which Mistral allowed until 2016; ascending.
    pub read_by_name: Vec<TaskIndex>,
    /// Tasks that join.
    pub joins: Vec<TaskIndex>,
    /// As it was written: what `execution().spec` shows.
    pub spec: Value,
}

/// Where a task stands in its workflow.
pub(crate) type TaskIndex = usize;

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub name: Str,
    pub work: Work,
    pub input: Input,
    pub items: Vec<(Str, Expr)>,
    pub concurrency: Option<Expr>,
    pub publish: Option<Publish>,
    pub publish_on_error: Option<Publish>,
    pub publish_on_skip: Option<Publish>,
    pub on_success: Clause,
    pub on_error: Clause,
    pub on_complete: Clause,
    pub on_skip: Clause,
    pub join: Option<Join>,
    /// Tasks with a clause that names this one, each once, in the order of the file.
    pub inbound: Vec<TaskIndex>,
    /// Tasks that some clause of this one names, each once.
    pub outbound: Vec<TaskIndex>,
    /// It joins, or some way from it leads to a join.
    pub leads_to_join: bool,
    pub retry: Option<Retry>,
    pub wait_before: Option<Expr>,
    pub wait_after: Option<Expr>,
    pub timeout: Option<Expr>,
    pub pause_before: Option<Expr>,
    pub fail_on: Option<Expr>,
    pub keep_result: bool,
    pub target: Option<Expr>,
    /// Reverse workflows: what must have succeeded before.
    pub requires: Vec<TaskIndex>,
    /// Reverse workflows: what waits for this one.
    pub dependents: Vec<TaskIndex>,
    /// As it was written: what `task().spec` shows.
    pub spec: Value,
}

/// What a task does.
#[derive(Debug)]
pub(crate) enum Work {
    Action(Name),
    Workflow(Name),
}

/// The name of an action or workflow.
#[derive(Debug)]
pub(crate) struct Name {
    pub expr: Expr,
    /// The text itself when it is no expression.
    pub fixed: Option<Str>,
}

/// The input of a task: from `input`, then from the one-line parameters.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// A single expression that gives the whole map.
    pub whole: Option<Expr>,
    pub keys: Vec<(Str, Expr)>,
}

/// A transition clause.
#[derive(Debug, Default)]
pub(crate) struct Clause {
    pub publish: Option<Publish>,
    pub next: Vec<Target>,
    /// Tasks that bear the name of a command used here: they cannot be reached, but are led to all the same.
    pub shadowed: Vec<TaskIndex>,
}

impl Clause {
    /// Whether it leads nowhere at all.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty() && self.shadowed.is_empty()
    }
}

/// Where a clause leads, under which condition.
#[derive(Debug)]
pub(crate) struct Target {
    pub to: To,
    pub when: Option<Expr>,
}

#[derive(Debug)]
pub(crate) enum To {
    Task(TaskIndex),
    Noop,
    Fail(Option<Expr>),
    Succeed(Option<Expr>),
    Pause(Option<Expr>),
}

/// Variables that a clause publishes.
#[derive(Debug, Default)]
pub(crate) struct Publish {
    pub branch: Vec<(Str, Expr)>,
    pub global: Vec<(Str, Expr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    All,
    Count(usize),
}

impl Join {
    /// How many inbound tasks must have led here.
    pub fn needed(self, inbound: usize) -> usize {
        match self {
            Join::All => inbound,
            Join::Count(n) => n,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Retry {
    pub count: Expr,
    pub delay: Expr,
    pub break_on: Option<Expr>,
    pub continue_on: Option<Expr>,
}

/// An action made of another one.
#[derive(Debug)]
pub(crate) struct AdHoc {
    pub name: Str,
    pub base: Str,
    pub base_input: Input,
    pub input: Vec<(Str, Option<Value>)>,
    pub output: Option<(Expr, Value)>,
    /// The workbook that it belongs to.
    pub book: Option<Str>,
}

impl Definition {
    /// The name of a workflow as it is written: without that of the workbook.
    pub(crate) fn short_name<'n>(&self, name: &'n str) -> &'n str {
        let inside = |book: &Str| name.strip_prefix(&**book)?.strip_prefix('.');
        self.book.as_ref().and_then(inside).unwrap_or(name)
    }

    /// The workflow that `name` means inside the workbook `book`.
    pub(crate) fn workflow(&self, name: &str, book: Option<&str>) -> Option<usize> {
        let short = book.and_then(|book| self.names.get(format!("{book}.{name}").as_str()));
        short.or_else(|| self.names.get(name)).copied()
    }

    /// The ad-hoc action that `name` means inside the workbook `book`.
    pub(crate) fn ad_hoc(&self, name: &str, book: Option<&str>) -> Option<&AdHoc> {
        if self.actions.is_empty() {
            return None;
        }
        let short = book.and_then(|book| self.actions.get(format!("{book}.{name}").as_str()));
        short.or_else(|| self.actions.get(name))
    }

    /// The full names of the workflows, in the order of the file.
    pub fn workflows(&self) -> impl Iterator<Item = &str> {
        self.workflows.iter().map(|w| &*w.name)
    }
}

impl Workflow {
    /// What Mistral calls the kind of workflow in its messages.
    pub fn class(&self) -> &'static str {
        if self.reverse { "ReverseWorkflowSpec" } else { "DirectWorkflowSpec" }
    }
}

impl Task {
    /// Whether it runs a sub-workflow.
    pub fn is_workflow(&self) -> bool {
        matches!(self.work, Work::Workflow(_))
    }

    /// What Mistral calls its kind.
    pub fn kind(&self) -> &'static str {
        if self.is_workflow() { "WORKFLOW" } else { "ACTION" }
    }
}

/// Fills the declared inputs from `given`; an explicit null counts as given.
///
/// Answers the complete input and what was given besides, or Mistral's sentence about what is missing; what
/// is unexpected is the caller's to judge, since sub-workflows take it as start parameters.
pub(crate) fn fill_input(declared: &[(Str, Option<Value>)], given: &Map) -> (Map, Vec<Str>, Vec<Str>) {
    let mut input = Map::with_capacity(declared.len());
    let mut missing = Vec::new();
    for (name, default) in declared {
        match (given.get(name), default) {
            (Some(value), _) => {
                input.insert(name.clone(), value.clone());
            }
            (None, Some(default)) => {
                input.insert(name.clone(), default.clone());
            }
            (None, None) => missing.push(name.clone()),
        }
    }
    let unexpected = given.keys().filter(|key| !declared.iter().any(|(name, _)| name == *key)).cloned().collect();
    (input, missing, unexpected)
}

/// Mistral's sentence about input that does not fit.
pub(crate) fn invalid_input(name: &str, class: &str, missing: &[Str], unexpected: &[Str]) -> String {
    let list = |names: &[Str]| {
        let names: Vec<Value> = names.iter().map(|n| Value::from(n.clone())).collect();
        squall_expr::python::repr(&Value::from(names))
    };
    let mut text = format!("Invalid input [name={name}, class={class}");
    if !missing.is_empty() {
        text += &format!(", missing={}", list(missing));
    }
    if !unexpected.is_empty() {
        text += &format!(", unexpected={}", list(unexpected));
    }
    text + "]"
}
