//! One step: a stimulus in, facts out, the state folded along.
//!
//! A language implements [`Front`]. Its `decide` gets a [`Step`], which shows the state and changes it only through
//! [`Step::emit`]; its `apply` folds. The facts of a step are what must be committed together; folding them from the
//! state before gives the state after, which the tests demand after every step of every vector.
//!
//! Late and repeated news are settled here for all languages: the end of a run that is not open, a timer that does
//! not run, and a second beginning give no facts.

use crate::state::Own;
use crate::weight::weight;
use crate::{Definition, Fact, Host, Offer, Run, RunId, State, Stimulus, TimerId, chain, mistral, orquesta};
use squall_model::{Status, Value};
use std::sync::Arc;

/// How many facts one stimulus may cause. Definitions that turn round without ever waiting for an action (a loop over
/// an empty list) end here instead of filling the disk.
pub const MAX_FACTS: usize = 250_000;

/// What the facts of one stimulus may weigh, in bytes of memory, once there are [`WEIGHED`] of them: such a loop may also add to
/// a list each time, and every one of those lists is kept.
pub const MAX_WEIGHT: usize = 256 << 20;

/// So many facts are not weighed, since nearly every step has fewer.
const WEIGHED: usize = 1_000;

/// The facts of most steps: an end, what it published, what follows and the next offer.
const FACTS: usize = 8;

/// A language: how it decides and what it remembers.
pub(crate) trait Front: Sized {
    /// Its definition.
    type Definition;
    /// What it remembers.
    type State;

    /// Says what follows from `stimulus`, by [`Step::emit`] and its relatives.
    fn decide(step: &mut Step<'_, Self>, stimulus: Stimulus);

    /// Folds a fact; `run` has folded it already. Evaluates nothing, decides nothing.
    fn apply(definition: &Self::Definition, run: &Run, state: &mut Self::State, fact: &Fact);
}

/// What a language holds while it decides.
pub(crate) struct Step<'a, F: Front> {
    /// The definition.
    pub definition: &'a F::Definition,
    /// What expressions may ask for.
    pub host: &'a dyn Host,
    run: &'a mut Run,
    state: &'a mut F::State,
    facts: Vec<Fact>,
    weight: usize,
}

impl<'a, F: Front> Step<'a, F> {
    /// What all languages share, as it is now.
    pub fn run(&self) -> &Run {
        self.run
    }

    /// What the language remembers, as it is now.
    pub fn state(&self) -> &F::State {
        self.state
    }

    /// Records a fact and folds it.
    pub fn emit(&mut self, fact: Fact) {
        self.run.apply(&fact);
        F::apply(self.definition, self.run, self.state, &fact);
        if self.facts.len() >= WEIGHED {
            self.weight += weight(&fact);
        }
        self.facts.push(fact);
    }

    /// Offers an action under the next number, which is answered.
    pub fn offer(&mut self, offer: Offer) -> RunId {
        let run = self.run.next_run();
        self.emit(Fact::Offered { offer: Arc::new(Offer { run, ..offer }) });
        run
    }

    /// Starts a timer under the next number, which is answered.
    pub fn set_timer(&mut self, after_ms: u64) -> TimerId {
        let timer = self.run.next_timer();
        self.emit(Fact::TimerSet { timer, after_ms });
        timer
    }

    /// Stops a timer, if it runs.
    pub fn clear_timer(&mut self, timer: TimerId) {
        if self.run.timers().contains(&timer) {
            self.emit(Fact::TimerCleared { timer });
        }
    }

    /// Whether this step has said more than a sane definition makes it say; the language then fails the run.
    pub fn is_exhausted(&self) -> bool {
        self.facts.len() >= MAX_FACTS || self.weight >= MAX_WEIGHT
    }
}

/// Takes `stimulus` in: answers the facts that follow, which are folded into `state` already and must be committed
/// together. No facts means that nothing follows and nothing changed.
pub fn advance(definition: &Definition, state: &mut State, stimulus: Stimulus, host: &dyn Host) -> Vec<Fact> {
    if is_stale(&state.run, &stimulus) {
        return Vec::new();
    }
    let stimulus = match stimulus {
        // Only chains tell a refusal from a failure, and Mistral only by its text.
        Stimulus::Refused { run, message } if matches!(definition, Definition::Orquesta(_)) => {
            let result = Value::from_pairs([("error", message)]);
            Stimulus::Finished { run, status: Status::Failed, result }
        }
        stimulus => stimulus,
    };
    let run = &mut state.run;
    match (definition, &mut state.own) {
        (Definition::Chain(d), Own::Chain(own)) => turn::<chain::Front>(d, run, own, stimulus, host),
        (Definition::Mistral(d), Own::Mistral(own)) => turn::<mistral::Front>(d, run, own, stimulus, host),
        (Definition::Orquesta(d), Own::Orquesta(own)) => turn::<orquesta::Front>(d, run, own, stimulus, host),
        // A state of another language: the caller mixed up two executions, and nothing sensible follows.
        (Definition::Chain(_) | Definition::Mistral(_) | Definition::Orquesta(_), _) => Vec::new(),
    }
}

fn turn<F: Front>(
    definition: &F::Definition,
    run: &mut Run,
    state: &mut F::State,
    stimulus: Stimulus,
    host: &dyn Host,
) -> Vec<Fact> {
    drive::<F, ()>(definition, run, state, host, |step| F::decide(step, stimulus)).0
}

/// Lets a language decide something of its own; answers the facts besides.
pub(crate) fn drive<F: Front, R>(
    definition: &F::Definition,
    run: &mut Run,
    state: &mut F::State,
    host: &dyn Host,
    decide: impl FnOnce(&mut Step<'_, F>) -> R,
) -> (Vec<Fact>, R) {
    let mut step = Step::<F> { definition, host, run, state, facts: Vec::with_capacity(FACTS), weight: 0 };
    let answer = decide(&mut step);
    (step.facts, answer)
}

/// The same without touching `state`: what would follow. Copies the state; the engine uses [`advance`].
pub fn decide(definition: &Definition, state: &State, stimulus: &Stimulus, host: &dyn Host) -> Vec<Fact> {
    advance(definition, &mut state.clone(), stimulus.clone(), host)
}

/// Folds one fact of the log.
pub fn apply(definition: &Definition, state: &mut State, fact: &Fact) {
    state.run.apply(fact);
    match (definition, &mut state.own) {
        (Definition::Chain(d), Own::Chain(own)) => chain::Front::apply(d, &state.run, own, fact),
        (Definition::Mistral(d), Own::Mistral(own)) => mistral::Front::apply(d, &state.run, own, fact),
        (Definition::Orquesta(d), Own::Orquesta(own)) => orquesta::Front::apply(d, &state.run, own, fact),
        (Definition::Chain(_) | Definition::Mistral(_) | Definition::Orquesta(_), _) => {}
    }
}

/// News that came twice or too late.
fn is_stale(run: &Run, stimulus: &Stimulus) -> bool {
    match stimulus {
        Stimulus::Begin(_) => run.begin().is_some(),
        Stimulus::Started { run: id } => run.offers().get(id).is_none_or(|open| open.status == Status::Running),
        Stimulus::Finished { run: id, .. } | Stimulus::Refused { run: id, .. } => !run.offers().contains_key(id),
        Stimulus::Due { timer } => !run.timers().contains(timer),
        Stimulus::Pause | Stimulus::Resume { .. } | Stimulus::Stop { .. } | Stimulus::Rerun { .. } => {
            run.begin().is_none()
        }
    }
}
