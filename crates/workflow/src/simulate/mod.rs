//! Workflows driven by a script instead of actions: no server, no clock, no side effects.
//!
//! [`mistral()`] takes one recorded case and answers what squall does with it, in the shape of the recording. It can crash
//! on purpose ([`Crash`]): after each step the state is thrown away and folded again from the facts as they were
//! written, which must change nothing.

mod machine;
mod mistral;

pub use machine::Crash;
pub use mistral::{mistral, mistral_with};
