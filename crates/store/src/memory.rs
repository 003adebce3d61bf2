//! The store in memory: the same contract, and faults to order.
//!
//! For simulations and tests. It tells volatile from durable: a batch is *in flight* from the call of `commit` until its
//! future is first polled; then it is carried out and durable, in the order of the calls. [`Memory::crash`] gives the
//! store as it would be after a power cut: everything durable, and of what was in flight as much as the seed decides.
//!
//! Nothing here is random but by the seed, so a run can be repeated. Clones share one store.

mod confirmations;
mod people;
mod state;

use crate::{
    ApiKey, AuditFilter, AuditRow, Batch, Confirmation, ConfirmationFilter, Due, Entry, Error, Fact, Factor, Filter,
    Item, ItemScope, Linked, Message, Outgoing, Page, Result, Slot, Store, Token, User, conflict,
};
use futures::future::BoxFuture;
use squall_model::{Execution, ExecutionId, Timestamp};
use state::State;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine dies before the batch is written.
    CrashBefore,
    /// The machine dies after the batch was written, before anybody was told.
    CrashAfter,
    /// The machine dies meanwhile; the seed decides whether the batch was written.
    CrashDuring,
    /// The disk is full; nothing is written.
    Full,
    /// The queue is full; nothing is written.
    Busy,
    /// The batch was decided on stale data; nothing is written.
    Conflict,
    /// The batch is written or not, by the seed, and the caller is told that nobody knows. The store lives on.
    Lost,
}

/// A store in memory. Clones share it.
#[derive(Clone, Default)]
pub struct Memory {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    state: State,
    in_flight: VecDeque<Pending>,
    /// Answers of batches that were carried out because a later one was asked for first.
    answers: BTreeMap<u64, Result<()>>,
    submitted: u64,
    commits: u64,
    faults: BTreeMap<u64, Fault>,
    random: u64,
    dead: bool,
}

struct Pending {
    ticket: u64,
    batch: Batch,
}

/// What a store says after its crash.
const DEAD: &str = "the machine of this store has crashed";

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// An empty store whose faults are decided by `seed`.
    pub fn seeded(seed: u64) -> Memory {
        let memory = Memory::default();
        memory.lock().random = seed;
        memory
    }

    /// Orders `fault` at commit number `number`, counted from 1 in the order in which commits are carried out.
    pub fn fault_at(&self, number: u64, fault: Fault) {
        self.lock().faults.insert(number, fault);
    }

    /// Orders `fault` at the next commit.
    pub fn fault_next(&self, fault: Fault) {
        let mut shared = self.lock();
        let next = shared.commits + 1;
        shared.faults.insert(next, fault);
    }

    /// How many commits were carried out or met a fault so far.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Whether an ordered crash has happened. Every call then fails; [`Memory::crash`] gives what is left.
    pub fn crashed(&self) -> bool {
        self.lock().dead
    }

    /// Cuts the power: this handle and its clones are dead, and the result is the store as it starts again.
    /// Ordered faults do not go over, the seed's course does.
    pub fn crash(&self) -> Memory {
        let mut shared = self.lock();
        if !shared.dead {
            shared.dead = true;
            // The writer works in order, so a first part of what was in flight may have reached the disk.
            while !shared.in_flight.is_empty() && shared.coin() {
                if let Some(pending) = shared.in_flight.pop_front() {
                    let _ = shared.state.commit(&pending.batch);
                }
            }
        }
        let state = std::mem::take(&mut shared.state);
        let next = Shared { state: state.clone(), random: shared.random, ..Shared::default() };
        shared.state = state;
        Memory { shared: Arc::new(Mutex::new(next)) }
    }

    /// An independent copy of what is durable, without ordered faults.
    pub fn fork(&self) -> Memory {
        let shared = self.lock();
        let next = Shared { state: shared.state.clone(), random: shared.random, ..Shared::default() };
        Memory { shared: Arc::new(Mutex::new(next)) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T> {
        let shared = self.lock();
        if shared.dead { Err(Error::Fatal(DEAD.to_owned())) } else { Ok(read(&shared.state)) }
    }
}

impl Shared {
    /// SplitMix64: small, and good enough to toss coins.
    fn coin(&mut self) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) & 1 == 1
    }

    /// Carries out what is in flight, up to and including `ticket`.
    fn settle(&mut self, ticket: u64) -> Result<()> {
        while let Some(pending) = self.in_flight.front() {
            if pending.ticket > ticket || self.dead {
                break;
            }
            if let Some(Pending { ticket, batch }) = self.in_flight.pop_front() {
                let answer = self.carry_out(&batch);
                self.answers.insert(ticket, answer);
            }
        }
        self.answers.remove(&ticket).unwrap_or_else(|| Err(Error::Fatal(DEAD.to_owned())))
    }

    fn carry_out(&mut self, batch: &Batch) -> Result<()> {
        self.commits += 1;
        let number = self.commits;
        let Some(fault) = self.faults.remove(&number) else { return self.state.commit(batch) };
        let dead = || Err(Error::Fatal(DEAD.to_owned()));
        match fault {
            Fault::CrashBefore => {
                self.dead = true;
                dead()
            }
            Fault::CrashAfter => {
                let _ = self.state.commit(batch);
                self.dead = true;
                dead()
            }
            Fault::CrashDuring => {
                if self.coin() {
                    let _ = self.state.commit(batch);
                }
                self.dead = true;
                dead()
            }
            Fault::Full => Err(Error::Full(format!("ordered at commit {number}"))),
            Fault::Busy => Err(Error::Busy),
            Fault::Conflict => Err(conflict(|| format!("ordered at commit {number}"))),
            Fault::Lost => {
                if self.coin() {
                    let _ = self.state.commit(batch);
                }
                Err(Error::Fatal("whether this batch was written is not known".to_owned()))
            }
        }
    }
}

impl Store for Memory {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        if batch.is_empty() {
            return Box::pin(std::future::ready(Ok(())));
        }
        let ticket = {
            let mut shared = self.lock();
            shared.submitted += 1;
            let ticket = shared.submitted;
            shared.in_flight.push_back(Pending { ticket, batch });
            ticket
        };
        Box::pin(async move { self.lock().settle(ticket) })
    }

    fn execution(&self, id: ExecutionId) -> Result<Option<Execution>> {
        self.read(|s| s.execution(id))
    }
    fn tree(&self, root: ExecutionId) -> Result<Vec<Execution>> {
        self.read(|s| s.tree(root))
    }
    fn executions(&self, filter: &Filter, page: Page) -> Result<(Vec<Execution>, u64)> {
        self.read(|s| s.executions(filter, page))
    }
    fn children(&self, parent: ExecutionId) -> Result<Vec<ExecutionId>> {
        self.read(|s| s.children(parent))
    }
    fn unfinished(&self, after: Option<ExecutionId>, limit: usize) -> Result<Vec<ExecutionId>> {
        self.read(|s| s.unfinished(after, limit))
    }
    fn facts(&self, execution: ExecutionId, from: u64) -> Result<Vec<Fact>> {
        self.read(|s| s.facts(execution, from))
    }
    fn definition(&self, sha: &str) -> Result<Option<String>> {
        self.read(|s| s.definition(sha))
    }
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
        self.read(|s| s.due(now, limit))
    }
    fn next_due(&self) -> Result<Option<Timestamp>> {
        self.read(State::next_due)
    }
    fn slots(&self, name: &str, limit: usize) -> Result<(u64, Vec<Slot>)> {
        self.read(|s| s.slots(name, limit))
    }
    fn slot_names(&self) -> Result<Vec<String>> {
        self.read(State::slot_names)
    }
    fn item(&self, scope: &ItemScope, name: &str, now: Timestamp) -> Result<Option<Item>> {
        self.read(|s| s.item(scope, name, now))
    }
    fn items(&self, scope: &ItemScope, prefix: &str, now: Timestamp, page: Page) -> Result<(Vec<Item>, u64)> {
        self.read(|s| s.items(scope, prefix, now, page))
    }
    fn outgoing(&self, network: &str, after: i64, limit: usize) -> Result<Vec<Outgoing>> {
        self.read(|s| s.outgoing(network, after, limit))
    }
    fn messages(&self, channel: &str, after: i64, limit: usize) -> Result<Vec<Message>> {
        self.read(|s| s.messages(channel, after, limit))
    }
    fn confirmation(&self, id: &str) -> Result<Option<Confirmation>> {
        self.read(|s| s.confirmations.by_id(id))
    }
    fn confirmation_by_code(&self, code: &str) -> Result<Option<Confirmation>> {
        self.read(|s| s.confirmations.by_code(code))
    }
    fn confirmation_of(&self, execution: ExecutionId) -> Result<Option<Confirmation>> {
        self.read(|s| s.confirmations.of(execution))
    }
    fn confirmations(&self, filter: &ConfirmationFilter, page: Page) -> Result<(Vec<Confirmation>, u64)> {
        self.read(|s| s.confirmations.list(filter, page))
    }
    fn open_confirmations(&self, requester: Option<&str>, channel: Option<(&str, &str)>) -> Result<u64> {
        self.read(|s| s.confirmations.open(requester, channel))
    }
    fn entries(&self, list: &str, limit: usize) -> Result<Vec<Entry>> {
        self.read(|s| s.entries(list, limit))
    }
    fn audit(&self, from: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(|s| s.audit(from, limit))
    }
    fn audit_found(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(|s| s.audit_found(filter, limit))
    }
    fn audit_head(&self) -> Result<Option<AuditRow>> {
        self.read(|s| s.audit_found(&AuditFilter::default(), 1).pop())
    }
    fn audit_of(&self, confirmation: &str) -> Result<Vec<AuditRow>> {
        self.read(|s| s.audit_of(confirmation))
    }
    fn verify_audit(&self) -> Result<u64> {
        self.read(State::verify_audit)?
    }
    fn users(&self, page: Page) -> Result<(Vec<User>, u64)> {
        self.read(|s| s.users(page))
    }
    fn user(&self, name: &str) -> Result<Option<User>> {
        self.read(|s| s.user(name))
    }
    fn linked(&self, network: &str, workspace: &str, user_id: &str) -> Result<Option<Linked>> {
        self.read(|s| s.people.linked(network, workspace, user_id))
    }
    fn linked_to(&self, user: &str) -> Result<Vec<Linked>> {
        self.read(|s| s.people.linked_to(user))
    }
    fn all_linked(&self, page: Page) -> Result<(Vec<Linked>, u64)> {
        self.read(|s| listed(&s.people.identities, page))
    }
    fn factor(&self, user: &str) -> Result<Option<Factor>> {
        self.read(|s| s.people.factors.get(user).cloned())
    }
    fn has_factors(&self) -> Result<bool> {
        self.read(|s| s.people.factors.values().any(|factor| factor.active))
    }
    fn api_key(&self, hash: &str) -> Result<Option<ApiKey>> {
        self.read(|s| s.people.keys.values().find(|key| key.hash == hash).cloned())
    }
    fn api_keys(&self, page: Page) -> Result<(Vec<ApiKey>, u64)> {
        self.read(|s| listed(&s.people.keys, page))
    }
    fn token(&self, sha: &[u8; 32], now: Timestamp) -> Result<Option<Token>> {
        self.read(|s| s.token(sha, now))
    }
    fn meta(&self, name: &str) -> Result<Option<String>> {
        self.read(|s| s.meta(name))
    }
}

/// A page of a table and the number of all its rows.
fn listed<K, V: Clone>(table: &BTreeMap<K, V>, page: Page) -> (Vec<V>, u64) {
    (state::paged(table.values(), page).cloned().collect(), table.len() as u64)
}
