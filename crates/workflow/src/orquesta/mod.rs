//! Orquesta workflows: definition, inspection and the conductor's front end.
//!
//! The way in is [`Definition::load`], which reads, inspects and compiles a text. How a run goes on is decided in
//! `decide` and `offer`, over the [`State`] that [`Fact`]s fold to; `stackstorm` ties it to the engine's stimuli, and
//! [`Engine`] shows the six verbs of the reference conductor for tools and tests.
//!
//! It has never heard of packs, stores or clocks. Semantics are those of Orquesta 1.6.0, recorded case by case; where we
//! differ on purpose ([`Habits`]), the place says so.

mod decide;
mod engine;
mod expression;
mod findings;
mod graph;
mod inline;
mod inspect;
mod known;
mod names;
mod offer;
mod schema;
mod simulate;
mod spec;
mod stackstorm;
mod state;
mod status;
mod view;

pub use decide::{Refusal, RerunRequest};
pub use engine::{Engine, Event, Report};
pub use findings::read_sound;
pub use inspect::{Entry as InspectionEntry, Inspection, inspect};
pub use offer::{Action, Offered};
pub use simulate::{operations, simulate};
pub use spec::{LoadError, Spec};
pub use stackstorm::child_context;
pub use state::{Entry, ErrorEntry, Fact, State, Tries, Unit};
pub use status::Status;

use crate::step::{self, Step};
use crate::{Run, Stimulus};
use expression::{Expr, Reader};
use graph::Graph;
use spec::Task;
use squall_model::{Str, Value};

/// Where we may differ from the original on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Texts that callers give as inputs, and texts that come out of expressions, are evaluated as expressions. The
    /// original does so always; a server must not, because what somebody typed or an action printed would become code.
    pub evaluate_data: bool,
    /// Copies the ways in which the original does not hear: an end that comes while a task or an item is paused, a
    /// failure while the workflow is paused, and a rerun with nothing to run, which stays `resuming`.
    pub hang: bool,
}

impl Habits {
    /// What a server does.
    pub const SERVER: Habits = Habits { evaluate_data: false, hang: false };
    /// What was recorded from the original.
    pub const RECORDED: Habits = Habits { evaluate_data: true, hang: true };
}

/// An Orquesta workflow, checked, with its expressions parsed.
#[derive(Debug)]
pub struct Definition {
    pub(crate) spec: Spec,
    pub(crate) graph: Graph,
    tasks: Vec<TaskPlan>,
    input: Vec<(Str, Option<Expr>)>,
    vars: Vec<(Str, Expr)>,
    output: Vec<(Str, Expr)>,
    habits: Habits,
}

/// A task, compiled.
#[derive(Debug)]
struct TaskPlan {
    action: Expr,
    input: Expr,
    with: Option<WithPlan>,
    delay: Option<Expr>,
    retry: Option<RetryPlan>,
    transitions: Vec<TransitionPlan>,
    /// How many distinct tasks must have led here.
    needed: u32,
}

#[derive(Debug)]
struct WithPlan {
    names: Option<Vec<Str>>,
    /// The expression as it is written, for messages.
    text: Str,
    items: Expr,
    concurrency: Option<Expr>,
}

#[derive(Debug)]
struct RetryPlan {
    when: Option<Expr>,
    count: Expr,
    delay: Option<Expr>,
}

#[derive(Debug)]
struct TransitionPlan {
    when: Option<Expr>,
    publish: Vec<(Str, Expr)>,
}

/// Why a definition cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DefinitionError {
    /// The text is no workflow.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The inspection found something.
    #[error("{}", .0.summary())]
    Inspection(Box<Inspection>),
}

impl Definition {
    /// Reads, inspects and compiles a text; `known` are the variables that runs are given besides their inputs.
    pub fn load<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Result<Definition, DefinitionError> {
        let spec = Spec::read(text)?;
        let inspection = inspect(&spec, known);
        if !inspection.is_empty() {
            return Err(DefinitionError::Inspection(Box::new(inspection)));
        }
        Ok(Definition::compile(spec, Habits::SERVER))
    }

    /// Compiles a spec that passed the inspection.
    pub fn compile(spec: Spec, habits: Habits) -> Definition {
        let graph = Graph::of(&spec.tasks);
        let mut reader = Reader::default();
        let tasks = spec.tasks.iter().enumerate();
        let tasks = tasks.map(|(i, task)| TaskPlan::of(task, graph.nodes[i].sources.len(), &mut reader));
        let named = |section: &str| {
            let written = spec.root.get(section).cloned().unwrap_or_default();
            spec::named_values(&written).iter().map(|(k, v)| (k.clone(), Expr::of(v))).collect()
        };
        Definition {
            tasks: tasks.collect(),
            input: inputs(&spec),
            vars: named("vars"),
            output: named("output"),
            graph,
            spec,
            habits,
        }
    }

    /// The definition as it is written.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The names of its tasks, in the order of the file.
    pub fn task_names(&self) -> impl Iterator<Item = &Str> {
        self.spec.tasks.iter().map(|task| &task.name)
    }

    fn plan(&self, node: usize) -> Option<&TaskPlan> {
        self.tasks.get(self.graph.nodes.get(node)?.task?)
    }

    fn name(&self, node: usize) -> Str {
        self.graph.nodes[node].name.clone()
    }

    /// How many distinct tasks must have led to a node before it may start.
    fn needed(&self, node: usize) -> u32 {
        self.plan(node).map_or(1, |plan| plan.needed)
    }
}

fn inputs(spec: &Spec) -> Vec<(Str, Option<Expr>)> {
    let mut inputs = Vec::new();
    for entry in spec.root.get("input").and_then(Value::as_list).unwrap_or_default() {
        match entry {
            Value::Str(name) => inputs.push((name.clone(), None)),
            Value::Map(map) => inputs.extend(map.iter().map(|(k, v)| (k.clone(), Some(Expr::of(v))))),
            _ => {}
        }
    }
    inputs
}

impl TaskPlan {
    fn of(task: &Task, sources: usize, reader: &mut Reader) -> TaskPlan {
        let retry = task.retry.as_ref().map(|retry| RetryPlan {
            when: reader.given(&retry.when),
            count: reader.read(&retry.count),
            delay: reader.given(&retry.delay),
        });
        let by_command =
            task.next.iter().rfind(|t| t.targets.iter().any(|name| &**name == "retry")).map(|t| RetryPlan {
                when: Some(reader.given(&t.when).unwrap_or_else(|| Expr::of(&Value::from("<% completed() %>")))),
                count: Expr::of(&Value::Int(3)),
                delay: None,
            });
        let needed = match &task.join {
            Value::Null => 1,
            Value::Int(n) => u32::try_from(*n).unwrap_or(1).max(1),
            _ => u32::try_from(sources).unwrap_or(u32::MAX),
        };
        TaskPlan {
            action: reader.read(&task.action),
            input: reader.read(&task.input),
            with: task.with.as_ref().map(|with| WithPlan::of(&with.items, &with.concurrency)),
            delay: reader.given(&task.delay),
            retry: by_command.or(retry),
            transitions: task
                .next
                .iter()
                .map(|t| TransitionPlan {
                    when: reader.given(&t.when),
                    publish: t.publish.iter().map(|(k, v)| (k.clone(), reader.read(v))).collect(),
                })
                .collect(),
            needed,
        }
    }
}

impl WithPlan {
    /// The split is at the first ` in ` of the whole text, even inside of an expression without names.
    fn of(items: &Value, concurrency: &Value) -> WithPlan {
        let text = items.as_str().unwrap_or_default();
        let (names, list) = match text.split_once(" in ") {
            Some((names, list)) => (Some(names), list),
            None => (None, text),
        };
        let names =
            names.map(|names| names.replace(' ', "").split(',').filter(|n| !n.is_empty()).map(Str::from).collect());
        let list = Str::from(list.trim());
        WithPlan {
            names,
            items: Expr::of(&Value::Str(list.clone())),
            text: list,
            concurrency: Reader::default().given(concurrency),
        }
    }
}

pub(crate) struct Front;

impl step::Front for Front {
    type Definition = Definition;
    type State = State;

    fn decide(step: &mut Step<'_, Self>, stimulus: Stimulus) {
        stackstorm::decide(step, stimulus);
    }

    fn apply(definition: &Definition, _: &Run, state: &mut State, fact: &crate::Fact) {
        match fact {
            crate::Fact::Orquesta(fact) => state.apply(definition, fact),
            crate::Fact::Finished { result, .. } => state.hear(result),
            crate::Fact::Offered { offer } => state.offered(offer),
            _ => {}
        }
    }
}
