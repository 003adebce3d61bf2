//! Where a run stands: the fold of its facts.
//!
//! [`Run`] is what the three languages share; each language adds a state of its own. Only [`crate::apply`] changes them.

use crate::{Begin, Definition, Fact, Offer, RunId, TimerId, chain, mistral, orquesta};
use squall_model::{Status, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A run, as far as all languages agree.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    begin: Option<Arc<Begin>>,
    status: Status,
    result: Value,
    offers: BTreeMap<RunId, OpenOffer>,
    timers: BTreeSet<TimerId>,
    next_run: RunId,
    next_timer: TimerId,
}

/// An offer whose child has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenOffer {
    /// What was offered.
    pub offer: Arc<Offer>,
    /// What is known of the child: `requested`, then `running`, `paused` or `pending`.
    pub status: Status,
}

impl Default for Run {
    fn default() -> Run {
        Run {
            begin: None,
            status: Status::Requested,
            result: Value::Null,
            offers: BTreeMap::new(),
            timers: BTreeSet::new(),
            next_run: 0,
            next_timer: 0,
        }
    }
}

impl Run {
    /// What it began with; `None` before it did.
    pub fn begin(&self) -> Option<&Arc<Begin>> {
        self.begin.as_ref()
    }

    /// The workflow's status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The result, once it has ended.
    pub fn result(&self) -> &Value {
        &self.result
    }

    /// Offers whose children have not ended, by number.
    pub fn offers(&self) -> &BTreeMap<RunId, OpenOffer> {
        &self.offers
    }

    /// Timers that run.
    pub fn timers(&self) -> &BTreeSet<TimerId> {
        &self.timers
    }

    /// The number that the next offer gets.
    pub fn next_run(&self) -> RunId {
        self.next_run
    }

    /// The number that the next timer gets.
    pub fn next_timer(&self) -> TimerId {
        self.next_timer
    }

    pub(crate) fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Begun { begin } => {
                self.begin = Some(Arc::new((**begin).clone()));
                self.status = Status::Running;
            }
            Fact::Offered { offer } => {
                self.next_run = self.next_run.max(offer.run.saturating_add(1));
                let open = OpenOffer { offer: offer.clone(), status: Status::Requested };
                self.offers.insert(offer.run, open);
            }
            Fact::Started { run } => self.child(*run, Status::Running),
            Fact::Finished { run, status, .. } if status.is_final() => {
                self.offers.remove(run);
            }
            Fact::Refused { run, .. } => {
                self.offers.remove(run);
            }
            Fact::Finished { run, status, .. } => self.child(*run, *status),
            Fact::TimerSet { timer, .. } => {
                self.next_timer = self.next_timer.max(timer.saturating_add(1));
                self.timers.insert(*timer);
            }
            Fact::TimerFired { timer } | Fact::TimerCleared { timer } => {
                self.timers.remove(timer);
            }
            Fact::Became { status } => self.status = *status,
            Fact::Ended { status, result } => {
                self.status = *status;
                self.result = result.clone();
            }
            Fact::ChildrenStopped { .. }
            | Fact::ChildrenPaused { .. }
            | Fact::ChildrenResumed { .. }
            | Fact::PauseAsked
            | Fact::ResumeAsked { .. }
            | Fact::StopAsked { .. }
            | Fact::RerunAsked { .. }
            | Fact::Chain(_)
            | Fact::Mistral(_)
            | Fact::Orquesta(_) => {}
        }
    }

    fn child(&mut self, run: RunId, status: Status) {
        if let Some(open) = self.offers.get_mut(&run) {
            open.status = status;
        }
    }
}

/// A run with what its language remembers besides.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub(crate) run: Run,
    pub(crate) own: Own,
}

/// What one language remembers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Own {
    Chain(Box<chain::State>),
    Mistral(Box<mistral::State>),
    Orquesta(Box<orquesta::State>),
}

impl State {
    /// A run of `definition` to which nothing has happened.
    pub fn new(definition: &Definition) -> State {
        let own = match definition {
            Definition::Chain(_) => Own::Chain(Box::default()),
            Definition::Mistral(_) => Own::Mistral(Box::default()),
            Definition::Orquesta(_) => Own::Orquesta(Box::default()),
        };
        State { run: Run::default(), own }
    }

    /// What all languages share.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The workflow's status.
    pub fn status(&self) -> Status {
        self.run.status
    }

    /// Whether it has ended. Children may still run; a re-run may open it again.
    pub fn is_final(&self) -> bool {
        self.run.status.is_final()
    }

    /// The result, null until it has ended.
    pub fn result(&self) -> &Value {
        &self.run.result
    }

    /// The result so far, in the form that StackStorm shows while a workflow runs: the tasks of chains and Mistral
    /// workflows, nothing for Orquesta, which shows none before the end.
    pub fn progress(&self, definition: &Definition) -> Value {
        if self.is_final() {
            return self.run.result.clone();
        }
        match (definition, &self.own) {
            (Definition::Chain(_), Own::Chain(own)) => {
                let begin = self.run.begin();
                let hidden = begin.is_some_and(|b| b.runner.get("display_published") == Some(&Value::Bool(false)));
                Value::from(chain::result(own, !hidden))
            }
            (Definition::Mistral(definition), Own::Mistral(own)) => mistral::result(definition, own),
            (Definition::Chain(_) | Definition::Mistral(_) | Definition::Orquesta(_), _) => Value::Null,
        }
    }

    /// Offers whose children have not ended.
    pub fn open_offers(&self) -> impl Iterator<Item = &OpenOffer> {
        self.run.offers.values()
    }

    /// Timers that run.
    pub fn open_timers(&self) -> impl Iterator<Item = TimerId> + '_ {
        self.run.timers.iter().copied()
    }

    /// The state of an action chain.
    pub fn chain(&self) -> Option<&chain::State> {
        match &self.own {
            Own::Chain(own) => Some(own),
            Own::Mistral(_) | Own::Orquesta(_) => None,
        }
    }

    /// The state of a Mistral workflow.
    pub fn mistral(&self) -> Option<&mistral::State> {
        match &self.own {
            Own::Mistral(own) => Some(own),
            Own::Chain(_) | Own::Orquesta(_) => None,
        }
    }

    /// The state of an Orquesta workflow.
    pub fn orquesta(&self) -> Option<&orquesta::State> {
        match &self.own {
            Own::Orquesta(own) => Some(own),
            Own::Chain(_) | Own::Mistral(_) => None,
        }
    }
}
