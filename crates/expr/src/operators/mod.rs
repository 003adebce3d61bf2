//! Rule criteria: which events a rule is for.
//!
//! [`Operator::apply`] compares one value with one pattern, with Python's meaning of equality, order and
//! membership and without any conversion. [`Criteria`] is the whole `criteria` of a rule, compiled once:
//! paths are split, literal regular expressions and templates are compiled, so that one event can be held
//! against a thousand rules.
//!
//! A comparison that cannot be made does not fire the rule and is reported in [`Verdict::failure`]; nothing
//! here stores it.

mod compare;
mod criteria;
mod path;
mod wildcard;

pub use compare::Operator;
pub use criteria::{Criteria, Verdict};
