//! An action chain: under construction, refuses to run.

use crate::step::{self, Step};
use crate::{Run, Stimulus};
use serde::{Deserialize, Serialize};

/// An action chain, checked, with its expressions parsed.
#[derive(Debug)]
pub struct Definition {}

/// What only this language says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {}

/// What a run remembers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {}

pub(crate) struct Front;

impl step::Front for Front {
    type Definition = Definition;
    type State = State;

    fn decide(step: &mut Step<'_, Self>, stimulus: Stimulus) {
        if let Stimulus::Begin(begin) = stimulus {
            step::refuse(step, begin, "this language is not available yet");
        }
    }

    fn apply(_: &Definition, _: &Run, _: &mut State, _: &crate::Fact) {}
}
