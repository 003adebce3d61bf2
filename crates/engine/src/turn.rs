//! One turn of one tree: what waits for it goes in, one batch of changes and the effects after its commit come out.
//!
//! Nothing here does I/O beyond reads: the turn changes the [`Tree`] in memory and collects the rows; when the commit fails,
//! the tree is thrown away and read back. A turn settles causes until none is left: an end becomes news for the parent's
//! conductor, its facts become offers, offers become children, children without a process end at once. So a whole
//! workflow of native actions is one commit, and there is no moment between an end and what follows from it.
//!
//! Only starts may be left for the next commit, because a `requested` row says the same to recovery.
//!
//! Start reading at [`Turn::take`].

use crate::confirmation::decide::Outcome as Decided;
use crate::confirmation::{self, Event};
use crate::definitions::Definitions;
use crate::event;
use crate::limits;
use crate::lookup::{Datastore, Lookup, Overlay};
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::tree::{Flow, Tree};
use crate::{Content, asking, native, params, report, spawn, view};
use indexmap::IndexMap;
use squall_model::{Change, Execution, ExecutionId, Ids, Map, Outcome, Status, Timestamp, Value, WorkItem, WorkKey};
use squall_store::{Batch, Due, DueKind, Op, Outgoing, Store};
use squall_workflow::{Fact, Offer, RunId, State, Stimulus};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

/// Something that waits for a tree.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// A new execution that passed the gates, with what must be written along with it.
    Insert { execution: Box<Execution>, along: Vec<Op> },
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
    /// Something happened to a confirmation.
    Confirm { id: String, event: Box<Event> },
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
    /// Confirmations decided in this turn, which the store does not know yet.
    decided: BTreeMap<String, confirmation::Record>,
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
            decided: BTreeMap::new(),
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
            Input::Insert { execution, along } => self.insert((**execution).clone(), along),
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
            Input::Confirm { id, event } => return self.confirm(id, event),
        };
        let id = match input {
            Input::Insert { execution, .. } => execution.id,
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
        let mut batch = Batch::new();
        for (id, dirty) in std::mem::take(&mut self.dirty) {
            let Some(execution) = self.tree.executions.get(&id) else { continue };
            match dirty {
                Dirty::New => batch.push(Op::Insert(Box::new(execution.clone()))),
                Dirty::Changed { version, change } => batch.push(Op::Update { id, version, change }),
            }
        }
        batch.ops.append(&mut self.ops);
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

    /// Remembers something to do after the commit.
    pub fn after_commit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Puts a message into the outbox.
    pub fn post(&mut self, message: Outgoing) {
        self.effects.push(Effect::Posted(message.network.clone()));
        self.ops.push(Op::Post(Box::new(message)));
    }

    fn insert(&mut self, execution: Execution, along: &[Op]) -> Result<(), Refusal> {
        let id = execution.id;
        for op in along {
            match op {
                Op::Post(message) => self.effects.push(Effect::Posted(message.network.clone())),
                Op::SetDue(_) => self.effects.push(Effect::Due),
                _ => {}
            }
            self.ops.push(op.clone());
        }
        self.publish("st2.execution__create", &execution);
        self.tree.executions.insert(id, execution);
        self.dirty.insert(id, Dirty::New);
        self.starts.push_back(id);
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
        let name = |key: &str| context.get(key).and_then(Value::as_str);
        Lookup {
            data: self.datastore(),
            ids: self.around.ids,
            content: self.around.content,
            children: None,
            user: name("api_user").or_else(|| name("user")).unwrap_or(crate::people::SYSTEM_USER).to_owned(),
            // What a definition decrypts was decided by whoever installed the pack.
            may_decrypt: true,
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

    // ---- start -----------------------------------------------------------------------------------------------

    /// Starts a requested execution: begins a workflow, runs a native action, or schedules a process.
    fn start(&mut self, id: ExecutionId) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let status = execution.status;
        if !matches!(status, Status::Requested | Status::Scheduled | Status::Delayed) {
            return;
        }
        let delay = execution.request.delay_ms;
        if delay > 0 && status == Status::Requested {
            let at = execution.created.after(Duration::from_millis(delay));
            if at > self.around.now {
                self.set_due(Due { owner: id, root: self.tree.root, kind: DueKind::Start, number: 0, at });
                self.become_status(id, Status::Delayed, Change::default());
                return;
            }
        }
        let request = execution.request.clone();
        let Some(action) = self.around.content.registry().action(&request.action).cloned() else {
            let text = format!("Action \"{}\" cannot be found.", request.action);
            return self.end(id, Outcome::failed(text));
        };
        let context = execution.context();
        let prepared = self.around.content.prepared(&action);
        let finals = if asking::is_frozen(execution) {
            Ok(prepared.divided(&request.params))
        } else {
            let host = self.lookup(&context);
            let config = self.around.content.config(&action.reference.pack);
            let around = params::Around { context: &context, config, host: &host };
            params::finals(&prepared, &request.params, &around)
        };
        let (runner, own) = match finals {
            Ok(pair) => pair,
            Err(failure) => return self.end(id, failure),
        };
        if action.runner.is_workflow() {
            return self.begin(id, &action, runner, own);
        }
        if let Some(native) = native::find(&action) {
            self.become_status(id, Status::Running, Change { attempt: Some(1), ..Change::default() });
            let outcome = native(self, id, &runner, &own);
            return self.end(id, outcome);
        }
        let item = spawn::work_item(self.tree.executions.get(&id), &action, runner, own, self.around);
        if let Some(item) = item
            && self.become_status(id, Status::Scheduled, Change::default())
        {
            self.effects.push(Effect::Dispatch(Box::new(item)));
        }
    }

    /// Begins a workflow.
    fn begin(&mut self, id: ExecutionId, action: &squall_content::Action, runner: Map, own: Map) {
        let definition = match self.around.definitions.current(action) {
            Ok(definition) => definition,
            Err(refusal) => return self.end(id, Outcome::failed(refusal.to_string())),
        };
        if self.tree.depth(id) >= limits::WORKFLOW_DEPTH {
            let text = format!("workflows are nested deeper than {}", limits::WORKFLOW_DEPTH);
            return self.end(id, Outcome::failed(text));
        }
        if let Some(source) = &action.definition
            && self.definitions_written.insert(source.sha.to_string())
        {
            self.ops.push(Op::Definition { sha: source.sha.to_string(), text: source.text.to_string() });
        }
        self.become_status(id, Status::Running, Change { attempt: Some(1), ..Change::default() });
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let begin = match spawn::begin(execution, action, runner, own, &definition, self.around) {
            Ok(begin) => begin,
            Err(why) => return self.end(id, Outcome::failed(why)),
        };
        let state = State::new(&definition);
        self.tree.flows.insert(id, Flow { definition, state, seq: 0, children: Default::default() });
        self.causes.push_back(Cause::Hear { flow: id, stimulus: Stimulus::Begin(Box::new(begin)) });
    }

    // ---- workflows -------------------------------------------------------------------------------------------

    /// Lets a conductor hear something and carries out the facts that follow.
    fn conduct(&mut self, id: ExecutionId, stimulus: Stimulus) {
        let Some(mut flow) = self.tree.flows.remove(&id) else { return };
        let context = self.tree.executions.get(&id).map(Execution::context).unwrap_or_default();
        let over = match &stimulus {
            Stimulus::Finished { run, status, .. } if status.is_final() => Some(*run),
            _ => None,
        };
        let facts = {
            let host = Lookup { children: Some(&flow.children), ..self.lookup(&context) };
            squall_workflow::advance(&flow.definition, &mut flow.state, stimulus, &host)
        };
        // Only now: the conductor may ask which execution it was that ended.
        over.and_then(|run| flow.children.remove(&run));
        let seq = flow.seq;
        flow.seq += facts.len() as u64;
        let too_long = flow.seq > limits::FACTS;
        self.tree.flows.insert(id, flow);
        if !facts.is_empty() {
            let texts = facts.iter().map(|f| serde_json::to_string(f).unwrap_or_default()).collect();
            self.ops.push(Op::Append { execution: id, seq, facts: texts, at: self.around.now });
        }
        if too_long {
            return self.end(id, Outcome::failed(format!("the workflow has more than {} facts", limits::FACTS)));
        }
        for fact in facts {
            self.fact(id, fact);
        }
        self.end_if_done(id);
    }

    fn fact(&mut self, id: ExecutionId, fact: Fact) {
        match fact {
            Fact::Offered { offer } => self.offered(id, &offer),
            Fact::TimerSet { timer, after_ms } => {
                let at = self.around.now.after(Duration::from_millis(after_ms));
                self.set_due(Due { owner: id, root: self.tree.root, kind: DueKind::Timer, number: timer, at });
            }
            Fact::TimerCleared { timer } => {
                self.ops.push(Op::ClearDue { owner: id, kind: DueKind::Timer, number: timer });
            }
            Fact::ChildrenStopped { runs } => {
                for child in self.children(id, &runs) {
                    self.causes.push_back(Cause::Cancel { id: child, by: crate::people::SYSTEM_USER.into() });
                }
                self.stop_standard(id, &runs);
            }
            Fact::ChildrenPaused { runs } => {
                for child in self.children(id, &runs) {
                    self.causes.push_back(Cause::Pause { id: child, by: crate::people::SYSTEM_USER.into() });
                }
            }
            Fact::ChildrenResumed { runs } => {
                for child in self.children(id, &runs) {
                    self.causes.push_back(Cause::Resume { id: child, by: crate::people::SYSTEM_USER.into() });
                }
            }
            Fact::Became { status } => {
                if self.become_status(id, status, Change::default())
                    && matches!(status, Status::Paused | Status::Pending)
                {
                    self.tell_parent(id, status, &Value::Null);
                }
            }
            Fact::Begun { .. }
            | Fact::Started { .. }
            | Fact::Refused { .. }
            | Fact::Finished { .. }
            | Fact::TimerFired { .. }
            | Fact::PauseAsked
            | Fact::ResumeAsked { .. }
            | Fact::StopAsked { .. }
            | Fact::RerunAsked { .. }
            | Fact::Ended { .. }
            | Fact::Chain(_)
            | Fact::Mistral(_)
            | Fact::Orquesta(_) => {}
        }
    }

    fn children(&self, id: ExecutionId, runs: &[RunId]) -> Vec<ExecutionId> {
        let Some(flow) = self.tree.flows.get(&id) else { return Vec::new() };
        runs.iter().filter_map(|run| flow.children.get(run).copied()).collect()
    }

    /// Standard actions that take time have a due row instead of a child.
    fn stop_standard(&mut self, id: ExecutionId, runs: &[RunId]) {
        let standard: Vec<RunId> = match self.tree.flows.get(&id) {
            Some(flow) => runs.iter().filter(|run| !flow.children.contains_key(run)).copied().collect(),
            None => return,
        };
        for run in standard {
            self.ops.push(Op::ClearDue { owner: id, kind: DueKind::Finish, number: run });
            let stimulus = Stimulus::Finished { run, status: Status::Canceled, result: Value::Null };
            self.causes.push_back(Cause::Hear { flow: id, stimulus });
        }
    }

    /// Makes a child execution of an offer, or answers it at once.
    fn offered(&mut self, id: ExecutionId, offer: &Offer) {
        if let Some(answer) = squall_workflow::standard(offer) {
            match (answer.outcome, answer.after_ms) {
                (Some(outcome), 0) => self.hear_end(id, offer.run, outcome.status, outcome.result),
                (Some(_), after) => {
                    let at = self.around.now.after(Duration::from_millis(after));
                    let kind = DueKind::Finish;
                    self.set_due(Due { owner: id, root: self.tree.root, kind, number: offer.run, at });
                }
                (None, _) => {}
            }
            return;
        }
        let Some(parent) = self.tree.executions.get(&id) else { return };
        let made = {
            let host = self.lookup(&parent.request.context);
            spawn::child(parent, offer, self.around, &host)
        };
        match made {
            Ok(child) => {
                let child = match self.ask_about(id, child) {
                    Ok(child) => child,
                    Err(message) => {
                        let stimulus = Stimulus::Refused { run: offer.run, message };
                        self.causes.push_back(Cause::Hear { flow: id, stimulus });
                        return;
                    }
                };
                let child_id = child.id;
                if let Some(flow) = self.tree.flows.get_mut(&id) {
                    flow.children.insert(offer.run, child_id);
                }
                self.publish("st2.execution__create", &child);
                self.tree.executions.insert(child_id, child);
                self.dirty.insert(child_id, Dirty::New);
                self.starts.push_back(child_id);
            }
            Err(message) => {
                let stimulus = Stimulus::Refused { run: offer.run, message };
                self.causes.push_back(Cause::Hear { flow: id, stimulus });
            }
        }
    }

    fn hear_end(&mut self, flow: ExecutionId, run: RunId, status: Status, result: Value) {
        self.causes.push_back(Cause::Hear { flow, stimulus: Stimulus::Finished { run, status, result } });
    }

    /// A workflow is over when its conductor has ended and no child is left.
    fn end_if_done(&mut self, id: ExecutionId) {
        let Some(flow) = self.tree.flows.get(&id) else { return };
        if !flow.state.is_final() || !flow.children.is_empty() {
            return;
        }
        let outcome = Outcome { status: flow.state.status(), result: flow.state.result().clone() };
        self.end(id, outcome);
    }

    // ---- ends ------------------------------------------------------------------------------------------------

    /// An execution reached a final status: record it, tell the parent, report it.
    pub fn end(&mut self, id: ExecutionId, outcome: Outcome) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        if execution.status.is_final() {
            return;
        }
        let outcome = spawn::final_outcome(execution, outcome);
        if outcome.status.is_final() && execution.status == Status::Requested && outcome.status != Status::Canceled {
            // Every run that ended has run, as far as readers of the log are concerned.
            self.become_status(id, Status::Running, Change::default());
        }
        let ended = outcome.status.is_final().then_some(Some(self.around.now));
        let change = Change { ended, result: Some(outcome.result.clone()), ..Change::default() };
        if !self.become_status(id, outcome.status, change) {
            return;
        }
        self.tell_parent(id, outcome.status, &outcome.result);
        if !outcome.status.is_final() {
            return;
        }
        let Some(execution) = self.tree.executions.get(&id) else { return };
        if let Some(spool) = &execution.spool {
            let key = WorkKey { execution: id, attempt: execution.attempt };
            self.effects.push(Effect::Settled(key, spool.clone()));
        }
        if let Some(message) = report::result(execution, self) {
            self.post(message);
        }
        self.effects.push(Effect::Ended(id));
        self.gone.push(id);
    }

    fn tell_parent(&mut self, id: ExecutionId, status: Status, result: &Value) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let (Some(parent), Some(run)) = (execution.parent, execution.run) else { return };
        self.hear_end(parent, run, status, result.clone());
    }

    // ---- attempts --------------------------------------------------------------------------------------------

    /// Grants an attempt once: the row says `running` before any process starts.
    fn claim(&mut self, key: WorkKey, spool: &str) -> bool {
        let Some(execution) = self.tree.executions.get(&key.execution) else { return false };
        if execution.status != Status::Scheduled || key.attempt != execution.attempt + 1 {
            return false;
        }
        let change = Change { attempt: Some(key.attempt), spool: Some(spool.to_owned()), ..Change::default() };
        let (parent, run) = (execution.parent, execution.run);
        let granted = self.become_status(key.execution, Status::Running, change);
        if granted && let (Some(flow), Some(run)) = (parent, run) {
            self.causes.push_back(Cause::Hear { flow, stimulus: Stimulus::Started { run } });
        }
        granted
    }

    fn attempt_ended(&mut self, key: WorkKey, outcome: &Outcome) {
        match self.tree.executions.get(&key.execution) {
            Some(execution) if execution.attempt == key.attempt => self.end(key.execution, outcome.clone()),
            // An item that could not be started (no such runner, no such program) was never claimed.
            Some(execution) if execution.status == Status::Scheduled => self.end(key.execution, outcome.clone()),
            _ => tracing::info!(execution = %key.execution, attempt = key.attempt, "a late report changes nothing"),
        }
    }

    /// Recovery is certain that the claimed attempt never started: it may be claimed again.
    fn unclaim(&mut self, key: WorkKey) {
        let Some(execution) = self.tree.executions.get(&key.execution) else { return };
        if execution.status != Status::Running || execution.attempt != key.attempt {
            return;
        }
        let change = Change { attempt: Some(key.attempt - 1), ..Change::default() };
        if self.become_status(key.execution, Status::Scheduled, change) {
            self.starts.push_back(key.execution);
        }
    }

    // ---- confirmations ---------------------------------------------------------------------------------------

    fn asker(&self) -> asking::Asker<'a> {
        asking::Asker {
            content: self.around.content,
            store: self.around.store,
            ids: self.around.ids,
            settings: self.around.settings,
            now: self.around.now,
        }
    }

    /// Holds a task of a workflow when somebody must be asked about it; a release further up covers its own rules.
    fn ask_about(&mut self, parent: ExecutionId, mut child: Execution) -> Result<Execution, String> {
        let registry = self.around.content.registry();
        let Some(action) = registry.action(&child.request.action).cloned() else { return Ok(child) };
        let Some(root) = self.tree.executions.get(&self.tree.root).cloned() else { return Ok(child) };
        let config = self.around.content.config(&action.reference.pack);
        let prepared = self.around.content.prepared(&action);
        let context = child.context();
        let finals = {
            let host = self.lookup(&context);
            params::finals(&prepared, &child.request.params, &params::Around { context: &context, config, host: &host })
        };
        // What cannot be rendered fails when it starts, and does not start by being asked about.
        let Ok((runner, own)) = finals else { return Ok(child) };
        let all: Map = runner.into_iter().chain(own).collect();
        let asker = self.asker();
        let covered = self.covered(parent);
        let opened = {
            let host = self.lookup(&context);
            let wanted = asking::Wanted {
                execution: &child,
                action: &action,
                alias: None,
                root: &root,
                params: &all,
                covered,
                command: None,
            };
            match asker.demand(&wanted, &host)? {
                None => return Ok(child),
                Some(joined) => asker.open(&wanted, joined)?,
            }
        };
        match opened {
            asking::Opened::Joined(record) => Err(format!("the same request is already waiting as {}", record.code)),
            asking::Opened::Held(decision) => {
                asking::hold(&mut child, all, &decision.record);
                self.take_decision(&decision, None, self.tree.root);
                Ok(child)
            }
        }
    }

    /// Rules that releases of `id` and of everything above it cover.
    fn covered(&self, id: ExecutionId) -> std::collections::BTreeSet<String> {
        let mut all = std::collections::BTreeSet::new();
        let mut at = Some(id);
        while let Some(execution) = at.and_then(|id| self.tree.executions.get(&id)) {
            if asking::is_frozen(execution)
                && let Some(record) = self.record_of(execution.id)
            {
                all.extend(record.covers());
            }
            at = execution.parent;
        }
        all
    }

    /// The confirmation of an execution, as this turn knows it.
    fn record_of(&self, id: ExecutionId) -> Option<confirmation::Record> {
        let decided = self.decided.values().find(|record| record.runs.iter().any(|(run, _)| *run == id));
        if let Some(record) = decided {
            return Some(record.clone());
        }
        let row = self.around.store.confirmation_of(id).ok().flatten()?;
        confirmation::Record::from_json(&row.json).ok()
    }

    /// Something happened to a confirmation: decide, and carry out the decision in this commit.
    fn confirm(&mut self, id: &str, event: &Event) -> Answer {
        let found = match self.around.store.confirmation(id) {
            Ok(found) => found,
            Err(error) => return Answer::Refused(error.into()),
        };
        let read = match self.decided.get(id) {
            Some(record) => Some(Ok(record.clone())),
            None => found.as_ref().map(|row| confirmation::Record::from_json(&row.json)),
        };
        let record = match read {
            Some(Ok(record)) => record,
            Some(Err(error)) => return Answer::Refused(Refusal::Broken(error.to_string())),
            None => return Answer::Refused(Refusal::Unknown(format!("There is no open confirmation {id}."))),
        };
        let held: Vec<Execution> =
            record.runs.iter().filter_map(|(id, _)| self.tree.executions.get(id).cloned()).collect();
        let root = match self.tree.executions.get(&self.tree.root).cloned() {
            Some(root) => root,
            // The tree is over; whatever is said now comes too late, and is told so.
            None => match self.around.store.execution(self.tree.root) {
                Ok(Some(root)) => root,
                Ok(None) | Err(_) => return Answer::Refused(Refusal::no_execution(self.tree.root)),
            },
        };
        let decision = self.asker().decide(&record, event, &held, &root);
        let version = record.version;
        self.take_decision(&decision, Some(version), self.tree.root);
        match &decision.effect {
            Some(confirmation::decide::Effect::Release { .. }) => {
                for (run, _) in &decision.record.runs {
                    if self.become_status(*run, Status::Requested, Change::default()) {
                        self.late_acknowledgement(*run);
                        self.starts.push_back(*run);
                    }
                }
            }
            Some(confirmation::decide::Effect::End) => {
                if let Some((status, result)) = decision.record.result() {
                    for (run, _) in &decision.record.runs {
                        self.end(*run, Outcome { status, result: result.clone() });
                    }
                }
            }
            None => {}
        }
        Answer::Confirmed { outcome: decision.outcome, told: decision.told() }
    }

    /// The alias's own acknowledgement, once what it speaks of starts; the default one would only repeat the release.
    fn late_acknowledgement(&mut self, id: ExecutionId) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let Some(reply) = execution.request.reply_to.clone() else { return };
        let content = self.around.content;
        let alias = reply.alias.as_ref().and_then(|r| content.registry().alias(r));
        let Some(alias) = alias.filter(|a| a.ack.as_ref().is_some_and(|ack| ack.get("format").is_some())) else {
            return;
        };
        if let Some(mut body) = report::acknowledgement(execution, alias, content, self.around.settings) {
            body.insert("user".into(), reply.user.as_str().into());
            self.post(report::outgoing(&reply, body, format!("ack/{id}"), self.around.now));
        }
    }

    /// Writes what a decision says into the batch.
    fn take_decision(&mut self, decision: &confirmation::Decision, expected: Option<u64>, root: ExecutionId) {
        let ops = asking::ops(decision, expected, root, self.around.now);
        self.decided.insert(decision.record.id.to_string(), decision.record.clone());
        for op in ops {
            match op {
                Op::Post(message) => self.post(*message),
                Op::SetDue(due) => self.set_due(due),
                other => self.ops.push(other),
            }
        }
    }

    // ---- time ------------------------------------------------------------------------------------------------

    fn set_due(&mut self, due: Due) {
        self.effects.push(Effect::Due);
        self.ops.push(Op::SetDue(due));
    }

    /// A due row's time has come: it is taken in the same commit as what follows from it.
    fn due(&mut self, due: &Due) {
        self.ops.push(Op::TakeDue { owner: due.owner, kind: due.kind, number: due.number });
        match due.kind {
            DueKind::Timer => {
                let stimulus = Stimulus::Due { timer: due.number };
                self.causes.push_back(Cause::Hear { flow: due.owner, stimulus });
            }
            DueKind::Start => {
                if self.tree.executions.get(&due.owner).is_some_and(|e| e.status == Status::Delayed)
                    && self.become_status(due.owner, Status::Requested, Change::default())
                {
                    self.starts.push_back(due.owner);
                }
            }
            DueKind::Finish => {
                let open = self.tree.flows.get(&due.owner).and_then(|flow| {
                    flow.state.open_offers().find(|o| o.offer.run == due.number).map(|o| o.offer.clone())
                });
                if let Some(outcome) = open.and_then(|o| squall_workflow::standard(&o)).and_then(|a| a.outcome) {
                    self.hear_end(due.owner, due.number, outcome.status, outcome.result);
                }
            }
            DueKind::Deadline => {
                let found = self.around.store.confirmation_of(due.owner);
                if let Ok(Some(row)) = found {
                    let event = Event::Due(confirmation::decide::Due::from_number(due.number));
                    self.confirm(&row.id, &event);
                }
            }
        }
    }

    // ---- steering --------------------------------------------------------------------------------------------

    fn asked(&self, id: ExecutionId, wish: &str, fits: impl Fn(Status) -> bool) -> Result<(), Refusal> {
        let Some(execution) = self.tree.executions.get(&id) else {
            let found = self.around.store.execution(id)?;
            return Err(found.map_or_else(|| Refusal::no_execution(id), |e| Refusal::status(id, wish, e.status)));
        };
        let workflow = execution.request.definition.is_some();
        if wish != "cancel" && !workflow {
            return Err(Refusal::Invalid(format!(
                "cannot {wish} execution {id}: runner `{}` runs to its end, only workflows can be paused",
                execution.request.runner
            )));
        }
        if fits(execution.status) { Ok(()) } else { Err(Refusal::status(id, wish, execution.status)) }
    }

    fn cancel(&mut self, id: ExecutionId, by: &str) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let status = execution.status;
        if !status.is_cancelable() {
            return;
        }
        if status == Status::Pending
            && let Ok(Some(row)) = self.around.store.confirmation_of(id)
        {
            let event = Event::Cancel { by: by.to_owned(), cause: confirmation::record::Cause::Canceled };
            self.confirm(&row.id, &event);
            return;
        }
        let mut notes = Map::new();
        notes.insert("cancelled_by".into(), by.into());
        let key = WorkKey { execution: id, attempt: execution.attempt.max(1) };
        if self.tree.flows.contains_key(&id) {
            self.become_status(id, Status::Canceling, Change { notes, ..Change::default() });
            let stimulus =
                Stimulus::Stop { status: Status::Canceled, message: Some("Action canceled by user.".into()) };
            self.causes.push_back(Cause::Hear { flow: id, stimulus });
            return;
        }
        if status == Status::Running {
            self.become_status(id, Status::Canceling, Change { notes, ..Change::default() });
            self.effects.push(Effect::StopWork(key));
            return;
        }
        if status == Status::Delayed {
            self.ops.push(Op::ClearDue { owner: id, kind: DueKind::Start, number: 0 });
        }
        if status == Status::Scheduled {
            self.effects.push(Effect::StopWork(WorkKey { execution: id, attempt: execution.attempt + 1 }));
        }
        self.change(id, Change { notes, ..Change::default() });
        self.end(id, canceled(by));
    }

    fn steer(&mut self, id: ExecutionId, stimulus: Stimulus, note: (&str, &str)) {
        if !self.tree.flows.contains_key(&id) {
            return;
        }
        let notes = [(note.0.into(), note.1.into())].into_iter().collect();
        self.change(id, Change { notes, ..Change::default() });
        self.causes.push_back(Cause::Hear { flow: id, stimulus });
    }
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
    sum.notes.extend(later.notes);
}
