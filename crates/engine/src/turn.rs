//! One turn of one tree: what waits for it goes in, one batch of changes and the effects after its commit come out.
//!
//! Nothing here does I/O beyond reads: the turn changes the [`Tree`] in memory and collects the rows; when the commit fails,
//! the tree is thrown away and read back. A turn settles causes until none is left: an end becomes news for the parent's
//! conductor, its facts become offers, offers become children, children without a process end at once. So a whole
//! workflow of native actions is one commit, and there is no moment between an end and what follows from it.
//!
//! Only starts may be left for the next commit, because a `requested` row says the same to recovery.
//!
//! The stories: `start`, `workflows`, `ends` (and attempts), `held` (confirmations), `steering` (time and people).
//!
//! Start reading at [`Turn::take`].

mod ends;
mod held;
mod questions;
mod start;
mod steering;
mod workflows;

use crate::confirmation::decide::Outcome as Decided;
use crate::confirmation::looks::Found;
use crate::confirmation::{self, Event};
use crate::definitions::Definitions;
use crate::event;
use crate::limits;
use crate::looking::Stage;
use crate::lookup::{Datastore, Lookup, Overlay};
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::slots::Place;
use crate::tree::{self, Flow, Folded, Tree};
use crate::{Content, asking, bots, calls, native, params, report, spawn, view};
use indexmap::IndexMap;
use squall_model::{
    Again, Change, Execution, ExecutionId, Ids, Map, Outcome, Status, Timestamp, Value, WorkItem, WorkKey,
};
use squall_store::{Batch, Due, DueKind, Op, Outgoing, Store};
use squall_workflow::{Fact, Offer, RunId, State, Stimulus};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Something that waits for a tree.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// A new execution that passed the gates, with what must be written along with it.
    Insert { requested: Vec<Requested>, along: Vec<Op> },
    /// A worker wants to start an attempt.
    Claim { key: WorkKey, spool: String },
    /// An attempt ended.
    Finished { key: WorkKey, outcome: Outcome },
    /// A due row's time has come.
    Due(Due),
    /// Somebody cancels.
    Cancel { id: ExecutionId, by: String },
    /// Somebody pauses a workflow.
    Pause { id: ExecutionId, by: String },
    /// Somebody lets a paused workflow go on.
    Resume { id: ExecutionId, by: String },
    /// A requested execution that is to start (the rest of a long turn, or found by recovery).
    Start(ExecutionId),
    /// A claimed attempt that recovery found never started.
    Unclaim(WorkKey),
    /// Something happened to a confirmation; `inbox` is the entry of an answer, which goes with its decision.
    Confirm { id: String, event: Box<Event>, inbox: Option<String> },
    /// Something changed that a confirmation is about.
    Review { id: String },
    /// What had to be found out before people are asked.
    Looked { stage: Box<Stage>, found: Found },
}

/// A new execution; what nobody is asked about comes with the final parameters that the gate saw.
#[derive(Debug, Clone)]
pub(crate) struct Requested {
    pub execution: Box<Execution>,
    pub finals: Option<Map>,
}

/// What the sender of an input is told when the commit is done.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// The execution as it is after the input.
    Execution(Box<Execution>),
    /// Whether the attempt may start.
    Claim(bool),
    /// What came of an event of a confirmation, and what the caller is told.
    Confirmed { outcome: Decided, told: Option<String> },
    /// Nothing to tell.
    Done,
    /// It was not done.
    Refused(Refusal),
}

/// What is to be done once the commit is on disk. All of it can be derived again from rows.
#[derive(Debug)]
pub(crate) enum Effect {
    Dispatch(Box<WorkItem>),
    StopWork(WorkKey),
    Settled(WorkKey, String),
    Publish(event::Event),
    /// Something new in the outbox of a network.
    Posted(String),
    /// A new due row, which may be the next one.
    Due,
    /// An action asks the engine for something.
    Call(Box<calls::Asked>),
    /// Something must be found out before people are asked.
    Look(Box<Stage>),
    /// The dry runs of a confirmation are to be made once more.
    LookAgain(Box<confirmation::Record>),
    /// A held run waits for people by now, or is over.
    Opened(ExecutionId),
    /// Places among a few are free again.
    Freed(Vec<String>),
    /// Something for another tree.
    Elsewhere(ExecutionId, Input),
    /// More of the same tree.
    Again(Input),
    /// The execution reached a final status.
    Ended(ExecutionId),
}

/// What a turn needs to know besides its tree.
pub(crate) struct Surroundings<'a> {
    pub content: &'a Content,
    pub store: &'a dyn Store,
    pub definitions: &'a Definitions,
    pub ids: &'a dyn Ids,
    pub settings: &'a Settings,
    pub now: Timestamp,
    /// Whether somebody listens to the event stream: nobody pays for events that nobody hears.
    pub heard: bool,
    /// Whether places among a few are in use.
    pub few: bool,
    /// How long codes of new confirmations are.
    pub length: confirmation::code::Length,
    /// When questions left for each channel.
    pub paces: &'a std::sync::Mutex<confirmation::limits::Paces>,
}

/// What must be settled in this turn.
enum Cause {
    /// For a workflow's conductor.
    Hear {
        flow: ExecutionId,
        stimulus: Stimulus,
    },
    Cancel {
        id: ExecutionId,
        by: String,
    },
    Pause {
        id: ExecutionId,
        by: String,
    },
    Resume {
        id: ExecutionId,
        by: String,
    },
}

/// An execution that this turn made or changed.
enum Dirty {
    New,
    Changed { version: u32, change: Box<Change> },
}

/// A turn under way.
pub(crate) struct Turn<'a> {
    pub around: &'a Surroundings<'a>,
    pub tree: &'a mut Tree,
    pub overlay: RefCell<Overlay>,
    dirty: IndexMap<ExecutionId, Dirty>,
    ops: Vec<Op>,
    effects: Vec<Effect>,
    causes: VecDeque<Cause>,
    starts: VecDeque<ExecutionId>,
    settled: u64,
    gone: Vec<ExecutionId>,
    definitions_written: HashSet<String>,
    /// Places taken in this turn, which the store does not know yet.
    places: HashMap<String, u64>,
    /// Confirmations decided in this turn, which the store does not know yet.
    decided: BTreeMap<String, confirmation::Record>,
    /// Those of them that more items of a task share by now, with the version that the store knows: written once for all.
    shared: BTreeMap<String, u64>,
    /// How many questions this turn asks, or is to find something out for; the store does not count them yet.
    opened: usize,
    /// Final parameters of what passed the gate in this turn and has not started.
    cleared: HashMap<ExecutionId, Map>,
}

/// A finished turn.
pub(crate) struct Outcomes {
    pub batch: Batch,
    pub effects: Vec<Effect>,
    pub answers: Vec<Answer>,
}

impl<'a> Turn<'a> {
    /// Takes in everything that waits, in order.
    pub fn take(around: &'a Surroundings<'a>, tree: &'a mut Tree, inputs: &[Input]) -> Outcomes {
        let mut turn = Turn {
            around,
            tree,
            overlay: RefCell::default(),
            dirty: IndexMap::new(),
            ops: Vec::new(),
            effects: Vec::new(),
            causes: VecDeque::new(),
            starts: VecDeque::new(),
            settled: 0,
            gone: Vec::new(),
            definitions_written: HashSet::new(),
            places: HashMap::new(),
            decided: BTreeMap::new(),
            shared: BTreeMap::new(),
            opened: 0,
            cleared: HashMap::new(),
        };
        let mut answers = Vec::with_capacity(inputs.len());
        for input in inputs {
            let answer = turn.input(input);
            turn.settle();
            answers.push(answer);
        }
        turn.finish(answers)
    }

    fn input(&mut self, input: &Input) -> Answer {
        let done = match input {
            Input::Insert { requested, along } => self.insert(requested, along),
            Input::Claim { key, spool } => return Answer::Claim(self.claim(*key, spool)),
            Input::Finished { key, outcome } => {
                self.attempt_ended(*key, outcome);
                return Answer::Done;
            }
            Input::Due(due) => {
                self.due(due);
                return Answer::Done;
            }
            Input::Cancel { id, by } => {
                self.asked(*id, "cancel", |s| s.is_cancelable() || s == Status::Canceling).inspect(|()| {
                    self.causes.push_back(Cause::Cancel { id: *id, by: by.clone() });
                })
            }
            Input::Pause { id, by } => self
                .asked(*id, "pause", |s| matches!(s, Status::Running | Status::Pausing | Status::Paused))
                .inspect(|()| self.causes.push_back(Cause::Pause { id: *id, by: by.clone() })),
            Input::Resume { id, by } => self
                .asked(*id, "resume", |s| matches!(s, Status::Paused | Status::Running | Status::Resuming))
                .inspect(|()| self.causes.push_back(Cause::Resume { id: *id, by: by.clone() })),
            Input::Start(id) => {
                self.starts.push_back(*id);
                return Answer::Done;
            }
            Input::Unclaim(key) => {
                self.unclaim(*key);
                return Answer::Done;
            }
            Input::Confirm { id, event, inbox } => return self.confirm(id, event, inbox.as_deref()),
            Input::Review { id } => return self.review(id),
            Input::Looked { stage, found } => {
                self.looked(stage, found);
                return Answer::Done;
            }
        };
        let id = match input {
            Input::Insert { requested, .. } => requested.first().map_or(self.tree.root, |first| first.execution.id),
            Input::Cancel { id, .. } | Input::Pause { id, .. } | Input::Resume { id, .. } => *id,
            _ => self.tree.root,
        };
        match (done, self.tree.executions.get(&id)) {
            (Err(refusal), _) => Answer::Refused(refusal),
            (Ok(()), Some(execution)) => Answer::Execution(Box::new(execution.clone())),
            (Ok(()), None) => Answer::Done,
        }
    }

    /// Settles causes, then starts, until nothing is left or the commit is large enough.
    fn settle(&mut self) {
        loop {
            if let Some(cause) = self.causes.pop_front() {
                self.settled += 1;
                self.cause(cause);
            } else if self.settled < limits::CAUSES_PER_COMMIT {
                let Some(id) = self.starts.pop_front() else { break };
                self.settled += 1;
                self.start(id);
            } else {
                break;
            }
        }
    }

    fn finish(mut self, answers: Vec<Answer>) -> Outcomes {
        for id in std::mem::take(&mut self.starts) {
            self.effects.push(Effect::Again(Input::Start(id)));
        }
        self.write_shared();
        let mut batch = Batch::new();
        for (id, dirty) in std::mem::take(&mut self.dirty) {
            let Some(execution) = self.tree.executions.get(&id) else { continue };
            match dirty {
                Dirty::New => batch.push(Op::Insert(Box::new(execution.clone()))),
                Dirty::Changed { version, change } => batch.push(Op::Update { id, version, change }),
            }
        }
        batch.ops.append(&mut self.ops);
        if self.around.heard {
            let told = batch.ops.iter().filter_map(confirmation_event).map(Effect::Publish);
            self.effects.extend(told);
        }
        for id in std::mem::take(&mut self.gone) {
            self.tree.executions.remove(&id);
            self.tree.flows.remove(&id);
        }
        Outcomes { batch, effects: self.effects, answers }
    }

    fn cause(&mut self, cause: Cause) {
        match cause {
            Cause::Hear { flow, stimulus } => self.conduct(flow, stimulus),
            Cause::Cancel { id, by } => self.cancel(id, &by),
            Cause::Pause { id, by } => self.steer(id, Stimulus::Pause, ("paused_by", &by)),
            Cause::Resume { id, by } => {
                self.steer(id, Stimulus::Resume { env: Map::new() }, ("resumed_by", &by));
            }
        }
    }

    // ---- rows ------------------------------------------------------------------------------------------------

    /// Adds a row to the batch.
    pub fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// How many places of that name are taken, as this turn sees it.
    pub fn places_taken(&self, name: &str) -> squall_store::Result<u64> {
        let (taken, _) = self.around.store.slots(name, 0)?;
        Ok(taken + self.places.get(name).copied().unwrap_or(0))
    }

    /// Counts a place that was taken in this turn.
    pub fn note_place(&mut self, name: &str) {
        *self.places.entry(name.to_owned()).or_default() += 1;
    }

    /// Remembers something to do after the commit.
    pub fn after_commit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Puts a message into the outbox.
    pub fn post(&mut self, message: Outgoing) {
        self.effects.push(Effect::Posted(message.network.clone()));
        self.ops.push(Op::Post(Box::new(message)));
    }

    fn insert(&mut self, requested: &[Requested], along: &[Op]) -> Result<(), Refusal> {
        for op in along {
            match op {
                Op::Post(message) => self.effects.push(Effect::Posted(message.network.clone())),
                Op::SetDue(_) => self.effects.push(Effect::Due),
                Op::PutEntry(entry) => self.effects.extend(Stage::of(entry).map(|stage| Effect::Look(Box::new(stage)))),
                _ => {}
            }
            self.ops.push(op.clone());
        }
        for Requested { execution, finals } in requested {
            let id = execution.id;
            self.publish("st2.execution__create", execution);
            self.tree.executions.insert(id, (**execution).clone());
            self.dirty.insert(id, Dirty::New);
            self.cleared.extend(finals.clone().map(|finals| (id, finals)));
            self.starts.push_back(id);
        }
        Ok(())
    }

    /// Changes an execution of the tree. All changes of one turn become one row.
    pub fn change(&mut self, id: ExecutionId, change: Change) {
        let Some(execution) = self.tree.executions.get_mut(&id) else { return };
        let version = execution.version;
        execution.apply(&change);
        match self.dirty.entry(id).or_insert_with(|| Dirty::Changed { version, change: Box::default() }) {
            // The row is written whole; its version starts where the turn ends.
            Dirty::New => execution.version = 0,
            Dirty::Changed { version, change: sum } => {
                merge(sum, change);
                execution.version = version.wrapping_add(1);
            }
        }
        if self.around.heard
            && let Some(execution) = self.tree.executions.get(&id)
        {
            let event = view::event("st2.execution__update", execution, self.around);
            self.effects.push(Effect::Publish(event));
        }
    }

    /// Changes the status if the table allows it; answers whether it did.
    pub fn become_status(&mut self, id: ExecutionId, status: Status, mut change: Change) -> bool {
        let Some(execution) = self.tree.executions.get(&id) else { return false };
        if execution.status == status {
            return true;
        }
        if let Err(refused) = execution.status.to(status) {
            tracing::debug!(execution = %id, %refused, "late news changes nothing");
            return false;
        }
        change.statuses.push((self.around.now, status));
        if status == Status::Running && execution.started.is_none() {
            change.started = Some(self.around.now);
        }
        self.change(id, change);
        true
    }

    fn publish(&mut self, name: &str, execution: &Execution) {
        if self.around.heard {
            self.effects.push(Effect::Publish(view::event(name, execution, self.around)));
        }
    }

    /// A host for expressions evaluated for `execution`.
    pub fn lookup<'b>(&'b self, context: &Map) -> Lookup<'b> {
        let (user, is_proven) = crate::lookup::scope_of(context);
        Lookup {
            data: self.datastore(),
            ids: self.around.ids,
            content: self.around.content,
            children: None,
            user,
            is_proven,
            // What a definition decrypts was decided by whoever installed the pack.
            may_decrypt: true,
            limits: &self.around.settings.expressions,
        }
    }

    /// The datastore as this step sees it.
    pub fn datastore(&self) -> Datastore<'_> {
        Datastore {
            store: self.around.store,
            overlay: &self.overlay,
            now: self.around.now,
            key: self.around.settings.datastore_key.as_ref(),
        }
    }
}

/// What the event stream tells of a confirmation that is written; each reader gets those that they may see.
fn confirmation_event(op: &Op) -> Option<event::Event> {
    let Op::PutConfirmation { row, expected } = op else { return None };
    let record = confirmation::Record::from_json(&row.json).ok()?;
    let name = match (expected, record.state.is_final()) {
        (_, true) => "squall.confirmation__final",
        (None, false) => "squall.confirmation__open",
        (Some(_), false) => "squall.confirmation__vote",
    };
    Some(event::Event::new(name, crate::answers::to_value(&record, false)))
}

/// The result of a run that somebody canceled before it did anything.
fn canceled(by: &str) -> Outcome {
    let result = Value::from_pairs([("message", Value::from("Action canceled by user.")), ("user", by.into())]);
    Outcome { status: Status::Canceled, result }
}

/// Adds a later change to an earlier one of the same turn.
///
/// The row gets one status; the log keeps them all, because the later ones are notes of the sum.
fn merge(sum: &mut Change, later: Change) {
    sum.statuses.extend(later.statuses);
    if later.attempt.is_some() {
        sum.attempt = later.attempt;
    }
    if later.started.is_some() {
        sum.started = later.started;
    }
    if later.ended.is_some() {
        sum.ended = later.ended;
    }
    if later.result.is_some() {
        sum.result = later.result;
    }
    if later.spool.is_some() {
        sum.spool = later.spool;
    }
    if later.erased.is_some() {
        sum.erased = later.erased;
    }
    sum.notes.extend(later.notes);
}
