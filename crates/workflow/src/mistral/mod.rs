//! Mistral v2: workflows as graphs of tasks with joins, loops, items, retries, waits and sub-workflows.
//!
//! The language is bare: it knows `std.*` and asks its host for every other action. What StackStorm put around it
//! (names, the env, checks of parameters, the shape of results) lies on top, in [`stackstorm`], so that the
//! recorded runs of the bare language and production go through the same conductor.
//!
//! Sub-workflows run inside the same state and log as executions of their own, numbered from 1; the workflow itself is
//! execution 0. Start reading at `decide`, which hears a stimulus, then `work` (how a task
//! comes to run), `offer` (what is offered), `settle` (how it ends), `route` (what follows) and `state` (what is remembered).
//!
//! Where the recorded engine and sense part, sense was chosen only for what its recorders marked as accidents: a
//! timeout is final, `wait-before` does not outlive it, a re-run without reset repeats only the failed items.

mod context;
mod decide;
mod definition;
mod fact;
mod inline;
mod load;
mod loose_yaml;
mod offer;
mod read_task;
mod report;
mod route;
mod scope;
mod settle;
pub mod stackstorm;
mod state;
mod task_run;
mod work;

pub use definition::Definition;
pub use fact::{Began, ExecutionId, Fact, Held, Next, Parent, Policies, Retries, TaskId, TaskState, Via, Wait};
pub(crate) use report::{describe, result};
pub use state::State;

use crate::step::{self, Step};
use crate::{Run, Stimulus};

/// The conductor of Mistral.
pub(crate) struct Front;

impl step::Front for Front {
    type Definition = Definition;
    type State = State;

    fn decide(step: &mut Step<'_, Self>, stimulus: Stimulus) {
        decide::decide(step, stimulus);
    }

    fn apply(definition: &Definition, run: &Run, state: &mut State, fact: &crate::Fact) {
        state.apply(definition, run, fact);
    }
}
