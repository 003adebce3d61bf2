//! What the engine tells to whoever listens now: the event stream. Nothing depends on an event being heard.

use squall_model::Value;
use std::sync::Arc;

/// One event, under the name that StackStorm's stream uses.
#[derive(Debug, Clone)]
pub struct Event {
    /// E.g. `st2.execution__create` or `st2.announcement__chatops`.
    pub name: String,
    /// What it tells.
    pub payload: Value,
}

/// A cheap handle on an event.
pub type Shared = Arc<Event>;

impl Event {
    /// An event.
    pub fn new(name: impl Into<String>, payload: Value) -> Event {
        Event { name: name.into(), payload }
    }
}
