//! The standard library, one module for each family.
//!
//! Each module ends with what it adds: a `TABLE` of entries. A function gets its arguments checked and
//! unlazied as its entry says, and pays the budget for what it makes before it makes it.

pub(super) mod branching;
pub(super) mod collections;
pub(super) mod dates;
mod math;
mod merging;
pub(super) mod ordering;
pub(super) mod queries;
mod regexes;
mod strings;
mod system;

use super::table::Entry;

/// All tables.
pub(super) const TABLES: &[&[Entry]] = &[
    branching::TABLE,
    collections::TABLE,
    dates::TABLE,
    math::TABLE,
    merging::TABLE,
    ordering::TABLE,
    queries::TABLE,
    regexes::TABLE,
    strings::TABLE,
    system::TABLE,
];
