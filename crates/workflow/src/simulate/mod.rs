//! Workflows driven by a script instead of actions: no server, no clock, no side effects.
//!
//! [`mistral()`] and [`chain()`] take one recorded case and answer what squall does with it, in the shape of the
//! recording; [`run()`] is for people. They can crash on purpose ([`Crash`]): after each step the state is thrown away and folded again from the facts as they were
//! written, which must change nothing.

pub(crate) mod bound;
mod chain;
mod machine;
mod mistral;
mod people;

pub use crate::orquesta::simulate as orquesta;
pub use chain::{chain, chain_with};
pub use machine::Crash;
pub use mistral::{mistral, mistral_with};
pub use people::{Report, Script, run};
