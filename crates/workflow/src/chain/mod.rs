//! Action chains: one node after the other, by `on-success` and `on-failure`.
//!
//! Only one child runs at a time. What a node's template sees are the action's parameters, the results of earlier nodes
//! under their names, and variables; see `orquesta-and-chains.md` §3. Errors of the chain itself (an unregistered
//! action, a parameter that cannot be rendered) end it at once, whatever `on-failure` says; an error in `publish`
//! or a cast even loses the list of tasks, as in StackStorm.
//!
//! Start reading at `decide`; `render` says what a template sees.

mod decide;
mod load;
mod render;
mod state;

pub(crate) use decide::result;
pub use load::Definition;
pub use state::{Entry, Fact, State};

use crate::step::{self, Step};
use crate::{Run, Stimulus};

/// The conductor of chains.
pub(crate) struct Front;

impl step::Front for Front {
    type Definition = Definition;
    type State = State;

    fn decide(step: &mut Step<'_, Self>, stimulus: Stimulus) {
        decide::decide(step, stimulus);
    }

    fn apply(_: &Definition, _: &Run, state: &mut State, fact: &crate::Fact) {
        state.apply(fact);
    }
}
