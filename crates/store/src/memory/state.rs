//! The tables of the memory store, and what a batch does to them.
//!
//! A batch that is refused in the middle is undone change by change, so that a commit costs what it touches and not
//! what is stored.

use super::confirmations::Confirmations;
use super::people::People;
use crate::audit::{Chain, FIRST, Link, NONE_BEFORE};
use crate::stored;
use crate::{
    AuditFilter, AuditRow, Batch, Confirmation, Due, DueKind, Entry, Error, Fact, Filter, Item, ItemScope, Message, Op,
    Order, Outgoing, Page, Result, Slot, TAKEN_KEPT, TAKEN_SWEEP, TOKEN_SWEEP, Token, User, conflict,
};
use squall_model::{Change, Execution, ExecutionId, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type DueKey = (ExecutionId, DueKind, u32);
type ItemKey = (ItemScope, String);
type SlotKey = (String, ExecutionId);

/// Everything that is stored. The maps are tables; `by_…` are indexes over them.
#[derive(Clone, Default)]
pub(super) struct State {
    executions: BTreeMap<ExecutionId, Arc<Execution>>,
    by_root: BTreeMap<ExecutionId, BTreeSet<ExecutionId>>,
    by_parent: BTreeMap<ExecutionId, BTreeSet<(Timestamp, ExecutionId)>>,
    by_created: BTreeSet<(Timestamp, ExecutionId)>,
    facts: BTreeMap<ExecutionId, Vec<Fact>>,
    definitions: BTreeMap<String, Arc<str>>,
    due: BTreeMap<DueKey, Due>,
    by_due: BTreeSet<(Timestamp, DueKey)>,
    slots: BTreeMap<SlotKey, Slot>,
    items: BTreeMap<ItemKey, Item>,
    outbox: BTreeMap<i64, Outgoing>,
    outbox_keys: BTreeSet<String>,
    outbox_last: i64,
    messages: BTreeMap<String, Vec<Message>>,
    messages_keys: BTreeSet<(String, String)>,
    taken: BTreeMap<String, (ExecutionId, Timestamp)>,
    by_taken: BTreeSet<(Timestamp, String)>,
    pub(super) people: People,
    tokens: BTreeMap<[u8; 32], Token>,
    pub(super) confirmations: Confirmations,
    audit: Vec<AuditRow>,
    entries: BTreeMap<(String, String), Entry>,
    meta: BTreeMap<String, String>,
}

/// How to take one change back.
enum Undo {
    Inserted(ExecutionId),
    Updated(Arc<Execution>),
    Appended(ExecutionId, usize),
    Definition(String),
    Due(DueKey, Option<Due>),
    Slot(SlotKey, Option<Slot>),
    Item(ItemKey, Option<Item>),
    Posted(i64),
    Outgoing(Outgoing),
    Said(String),
    Taken(String, Option<(ExecutionId, Timestamp)>),
    People(Box<People>),
    Token([u8; 32], Option<Token>),
    Confirmation(String, Option<Box<Confirmation>>),
    Audited,
    Entry((String, String), Option<Entry>),
    Meta(String, Option<String>),
}

impl State {
    /// All of `batch` or nothing.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<()> {
        batch.ops.iter().try_for_each(check)?;
        let mut undo = Vec::with_capacity(batch.ops.len());
        let outcome = batch.ops.iter().try_for_each(|op| self.apply(op, &mut undo));
        if outcome.is_err() {
            undo.into_iter().rev().for_each(|undo| self.undo(undo));
        }
        outcome
    }

    fn apply(&mut self, op: &Op, undo: &mut Vec<Undo>) -> Result<()> {
        match op {
            Op::Insert(execution) => self.insert(execution, undo)?,
            Op::Update { id, version, change } => self.update(*id, *version, change, undo)?,
            Op::Append { execution, seq, facts, at, secret: _ } => self.append(*execution, *seq, facts, *at, undo)?,
            Op::Definition { sha, text } => {
                if !self.definitions.contains_key(sha) {
                    self.definitions.insert(sha.clone(), text.as_str().into());
                    undo.push(Undo::Definition(sha.clone()));
                }
            }
            Op::SetDue(due) => self.put_due((due.owner, due.kind, due.number), Some(due.clone()), undo),
            Op::ClearDue { owner, kind, number } => self.put_due((*owner, *kind, *number), None, undo),
            Op::TakeDue { owner, kind, number } => {
                if !self.due.contains_key(&(*owner, *kind, *number)) {
                    return Err(conflict(|| format!("{kind:?} {number} of {owner}: it is gone")));
                }
                self.put_due((*owner, *kind, *number), None, undo);
            }
            Op::PutSlot { slot, limit } => {
                let others = |s: &&Slot| s.name == slot.name && s.taken && s.execution != slot.execution;
                if slot.taken && self.slots.values().filter(others).count() as u64 >= *limit {
                    return Err(conflict(|| format!("place of `{}`: all {limit} are taken", slot.name)));
                }
                let key = (slot.name.clone(), slot.execution);
                let earlier = self.slots.insert(key.clone(), (**slot).clone());
                undo.push(Undo::Slot(key, earlier));
            }
            Op::FreeSlots { execution } => {
                let gone: Vec<(SlotKey, Slot)> =
                    self.slots.extract_if(.., |_, slot| slot.execution == *execution).collect();
                undo.extend(gone.into_iter().map(|(key, slot)| Undo::Slot(key, Some(slot))));
            }
            Op::SetItem { item, now } => self.set_item(item, *now, undo),
            Op::DeleteItem { scope, name } => self.put_item((scope.clone(), name.clone()), None, undo),
            Op::SweepItems { now, limit } => self.sweep_items(*now, *limit, undo),
            Op::Post(row) => self.post(row, undo),
            Op::Posted { id } => {
                let row = self.outbox.remove(id).ok_or_else(|| conflict(|| format!("outgoing {id}: it is gone")))?;
                undo.push(Undo::Outgoing(row));
            }
            Op::PostLater { id, at } => {
                let row = self.outbox.get_mut(id).ok_or_else(|| conflict(|| format!("outgoing {id}: it is gone")))?;
                undo.push(Undo::Outgoing(row.clone()));
                row.not_before = *at;
                row.tries = row.tries.saturating_add(1);
            }
            Op::Say(message) => self.say(message, undo),
            Op::Taken { key, execution, at } => self.take(key, *execution, *at, undo)?,
            Op::PutToken(token) => self.put_token(token, undo),
            Op::DeleteToken { sha } => {
                let earlier = self.tokens.remove(sha);
                undo.push(Undo::Token(*sha, earlier));
            }
            Op::DeleteTokensOf { user } => {
                let gone: Vec<Token> = self.tokens.extract_if(.., |_, t| t.user == *user).map(|(_, t)| t).collect();
                undo.extend(gone.into_iter().map(|token| Undo::Token(token.sha, Some(token))));
            }
            Op::PutUser(_)
            | Op::SameUser { .. }
            | Op::DeleteUser { .. }
            | Op::Link(_)
            | Op::Unlink { .. }
            | Op::UnlinkAll { .. }
            | Op::PutFactor(_)
            | Op::UseFactor { .. }
            | Op::DeleteFactor { .. }
            | Op::PutApiKey(_)
            | Op::DeleteApiKey { .. }
            | Op::DeleteApiKeysOf { .. } => {
                if let Some(next) = self.people.after(op)? {
                    undo.push(Undo::People(Box::new(std::mem::replace(&mut self.people, next))));
                }
            }
            Op::PutConfirmation { row, expected } => {
                self.confirmations.check(row, *expected)?;
                let earlier = self.confirmations.put(&row.id, Some((**row).clone()));
                undo.push(Undo::Confirmation(row.id.clone(), earlier.map(Box::new)));
            }
            Op::Audit { at, event, person, confirmation, execution, data } => {
                let last = self.audit.last();
                let mut row = AuditRow {
                    seq: last.map_or(FIRST, |last| last.seq.saturating_add(1)),
                    at: *at,
                    event: event.clone(),
                    person: person.clone(),
                    confirmation: confirmation.clone(),
                    execution: *execution,
                    data: data.clone(),
                    previous: last.map_or(NONE_BEFORE, |last| last.sha),
                    sha: NONE_BEFORE,
                };
                row.sha = link(&row, &audit_text(&row)?).sha(&row.previous);
                self.audit.push(row);
                undo.push(Undo::Audited);
            }
            Op::PutEntry(entry) => {
                let key = (entry.list.clone(), entry.key.clone());
                let earlier = self.entries.insert(key.clone(), (**entry).clone());
                undo.push(Undo::Entry(key, earlier));
            }
            Op::DropEntry { list, key } => {
                let key = (list.clone(), key.clone());
                let earlier = self.entries.remove(&key);
                undo.push(Undo::Entry(key, earlier));
            }
            Op::PutMeta { name, value } => {
                let earlier = self.meta.insert(name.clone(), value.clone());
                undo.push(Undo::Meta(name.clone(), earlier));
            }
        }
        Ok(())
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Inserted(id) => self.remove_execution(id),
            Undo::Updated(earlier) => {
                self.executions.insert(earlier.id, earlier);
            }
            Undo::Appended(id, length) => match length {
                0 => drop(self.facts.remove(&id)),
                length => self.facts.entry(id).or_default().truncate(length),
            },
            Undo::Definition(sha) => drop(self.definitions.remove(&sha)),
            Undo::Due(key, earlier) => self.put_due(key, earlier, &mut Vec::new()),
            Undo::Slot(key, earlier) => put(&mut self.slots, key, earlier),
            Undo::Item(key, earlier) => self.put_item(key, earlier, &mut Vec::new()),
            Undo::Posted(id) => {
                if let Some(row) = self.outbox.remove(&id) {
                    self.outbox_keys.remove(&row.dedup);
                }
                self.outbox_last = id - 1;
            }
            Undo::Outgoing(row) => drop(self.outbox.insert(row.id, row)),
            Undo::Said(channel) => {
                let message = self.messages.get_mut(&channel).and_then(Vec::pop);
                if let Some(dedup) = message.and_then(|m| m.dedup) {
                    self.messages_keys.remove(&(channel, dedup));
                }
            }
            Undo::Taken(key, earlier) => self.put_taken(key, earlier),
            Undo::People(earlier) => self.people = *earlier,
            Undo::Token(sha, earlier) => put(&mut self.tokens, sha, earlier),
            Undo::Confirmation(id, earlier) => drop(self.confirmations.put(&id, earlier.map(|row| *row))),
            Undo::Audited => drop(self.audit.pop()),
            Undo::Entry(key, earlier) => put(&mut self.entries, key, earlier),
            Undo::Meta(name, earlier) => put(&mut self.meta, name, earlier),
        }
    }

    fn insert(&mut self, e: &Execution, undo: &mut Vec<Undo>) -> Result<()> {
        if self.executions.contains_key(&e.id) {
            return Err(conflict(|| format!("execution {}: it exists", e.id)));
        }
        self.executions.insert(e.id, Arc::new(e.clone()));
        self.by_root.entry(e.root).or_default().insert(e.id);
        self.by_created.insert((e.created, e.id));
        if let Some(parent) = e.parent {
            self.by_parent.entry(parent).or_default().insert((e.created, e.id));
        }
        undo.push(Undo::Inserted(e.id));
        Ok(())
    }

    fn remove_execution(&mut self, id: ExecutionId) {
        let Some(e) = self.executions.remove(&id) else { return };
        self.by_created.remove(&(e.created, id));
        if let Some(ids) = self.by_root.get_mut(&e.root) {
            ids.remove(&id);
        }
        if let Some(children) = e.parent.and_then(|parent| self.by_parent.get_mut(&parent)) {
            children.remove(&(e.created, id));
        }
    }

    fn update(&mut self, id: ExecutionId, version: u32, change: &Change, undo: &mut Vec<Undo>) -> Result<()> {
        let Some(execution) = self.executions.get_mut(&id) else {
            return Err(conflict(|| format!("version of {id}: there is no such execution")));
        };
        let (now, status) = (execution.version, execution.status);
        if now != version {
            let what = || format!("version of {id}: decided on {version}, but it is {now} ({status})");
            return Err(conflict(what));
        }
        undo.push(Undo::Updated(execution.clone()));
        Arc::make_mut(execution).apply(change);
        Ok(())
    }

    fn append(
        &mut self,
        execution: ExecutionId,
        seq: u64,
        facts: &[String],
        at: Timestamp,
        undo: &mut Vec<Undo>,
    ) -> Result<()> {
        let length = self.facts.get(&execution).map_or(0, Vec::len);
        if u64::try_from(length) != Ok(seq) {
            return Err(conflict(|| format!("fact {seq} of {execution}: the next one is {length}")));
        }
        let log = self.facts.entry(execution).or_default();
        log.extend((seq..).zip(facts).map(|(seq, json)| Fact { seq, at, json: json.clone() }));
        undo.push(Undo::Appended(execution, length));
        Ok(())
    }

    fn put_due(&mut self, key: DueKey, due: Option<Due>, undo: &mut Vec<Undo>) {
        let at = due.as_ref().map(|due| due.at);
        let earlier = match due {
            Some(due) => self.due.insert(key, due),
            None => self.due.remove(&key),
        };
        if let Some(earlier) = &earlier {
            self.by_due.remove(&(earlier.at, key));
        }
        if let Some(at) = at {
            self.by_due.insert((at, key));
        }
        undo.push(Undo::Due(key, earlier));
    }

    fn put_item(&mut self, key: ItemKey, item: Option<Item>, undo: &mut Vec<Undo>) {
        let earlier = match item {
            Some(item) => self.items.insert(key.clone(), item),
            None => self.items.remove(&key),
        };
        undo.push(Undo::Item(key, earlier));
    }

    fn set_item(&mut self, item: &Item, now: Timestamp, undo: &mut Vec<Undo>) {
        let key = (item.scope.clone(), item.name.clone());
        let mut item = item.clone();
        if item.expires.is_none() {
            let earlier = self.items.get(&key).and_then(|earlier| earlier.expires);
            item.expires = earlier.filter(|expires| *expires > now);
        }
        self.put_item(key, Some(item), undo);
    }

    fn sweep_items(&mut self, now: Timestamp, limit: u32, undo: &mut Vec<Undo>) {
        let mut expired: Vec<(Timestamp, ItemKey)> = self
            .items
            .iter()
            .filter_map(|(key, item)| item.expires.filter(|at| *at <= now).map(|at| (at, key.clone())))
            .collect();
        expired.sort();
        expired.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        for (_, key) in expired {
            self.put_item(key, None, undo);
        }
    }

    fn post(&mut self, row: &Outgoing, undo: &mut Vec<Undo>) {
        if self.outbox_keys.insert(row.dedup.clone()) {
            self.outbox_last += 1;
            let id = self.outbox_last;
            self.outbox.insert(id, Outgoing { id, ..row.clone() });
            undo.push(Undo::Posted(id));
        }
    }

    fn say(&mut self, message: &Message, undo: &mut Vec<Undo>) {
        let channel = &message.channel;
        if let Some(dedup) = &message.dedup
            && !self.messages_keys.insert((channel.clone(), dedup.clone()))
        {
            return;
        }
        let messages = self.messages.entry(channel.clone()).or_default();
        let seq = messages.last().map_or(1, |last| last.seq + 1);
        messages.push(Message { seq, ..message.clone() });
        undo.push(Undo::Said(channel.clone()));
    }

    fn put_taken(&mut self, key: String, row: Option<(ExecutionId, Timestamp)>) {
        let earlier = match row {
            Some(row) => {
                self.by_taken.insert((row.1, key.clone()));
                self.taken.insert(key.clone(), row)
            }
            None => self.taken.remove(&key),
        };
        if let Some((_, at)) = earlier {
            self.by_taken.remove(&(at, key));
        }
    }

    fn take(&mut self, key: &str, execution: ExecutionId, at: Timestamp, undo: &mut Vec<Undo>) -> Result<()> {
        if let Some((execution, _)) = self.taken.get(key) {
            return Err(Error::Duplicate { execution: *execution });
        }
        self.put_taken(key.to_owned(), Some((execution, at)));
        undo.push(Undo::Taken(key.to_owned(), None));
        let old = Timestamp::from_micros(at.micros().saturating_sub(TAKEN_KEPT));
        let sweep = self.by_taken.range(..(old, String::new())).take(TAKEN_SWEEP as usize).cloned();
        for (_, key) in sweep.collect::<Vec<_>>() {
            let earlier = self.taken.get(&key).copied();
            self.put_taken(key.clone(), None);
            undo.push(Undo::Taken(key, earlier));
        }
        Ok(())
    }

    fn put_token(&mut self, token: &Token, undo: &mut Vec<Undo>) {
        let earlier = self.tokens.insert(token.sha, token.clone());
        undo.push(Undo::Token(token.sha, earlier));
        let old = Timestamp::from_micros(token.created.micros().saturating_sub(TAKEN_KEPT));
        let mut expired: Vec<_> =
            self.tokens.values().filter(|t| t.expires < old).map(|t| (t.expires, t.sha)).collect();
        expired.sort_unstable();
        for (_, sha) in expired.into_iter().take(TOKEN_SWEEP as usize) {
            let earlier = self.tokens.remove(&sha);
            undo.push(Undo::Token(sha, earlier));
        }
    }

    pub(super) fn execution(&self, id: ExecutionId) -> Option<Execution> {
        self.executions.get(&id).map(|e| (**e).clone())
    }

    fn within<'s>(&'s self, root: &ExecutionId) -> impl Iterator<Item = &'s Arc<Execution>> {
        self.by_root.get(root).into_iter().flatten().filter_map(|id| self.executions.get(id))
    }

    pub(super) fn tree(&self, root: ExecutionId) -> Vec<Execution> {
        let others =
            self.within(&root).filter(|e| e.id != root && (!e.status.is_final() || e.request.definition.is_some()));
        let mut tree: Vec<Execution> =
            self.executions.get(&root).into_iter().chain(others).map(|e| (**e).clone()).collect();
        tree.sort_by_key(|e| (e.created, e.id));
        tree
    }

    pub(super) fn executions(&self, filter: &Filter, page: Page) -> (Vec<Execution>, u64) {
        let all = self.by_created.iter().filter_map(|(_, id)| self.executions.get(id)).filter(|e| passes(filter, e));
        let mut all: Vec<&Arc<Execution>> = all.collect();
        if filter.order == Order::Newest {
            all.reverse();
        }
        let count = all.len() as u64;
        (paged(all.into_iter(), page).map(|e| (**e).clone()).collect(), count)
    }

    pub(super) fn children(&self, parent: ExecutionId) -> Vec<ExecutionId> {
        self.by_parent.get(&parent).into_iter().flatten().map(|(_, id)| *id).collect()
    }

    pub(super) fn unfinished(&self, after: Option<ExecutionId>, limit: usize) -> Vec<ExecutionId> {
        self.by_root
            .keys()
            .filter(|root| after.is_none_or(|after| **root > after))
            .filter(|root| self.within(root).any(|e| stored::stage(e.status) == Some(0)))
            .take(limit)
            .copied()
            .collect()
    }

    pub(super) fn facts(&self, execution: ExecutionId, from: u64) -> Vec<Fact> {
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        self.facts.get(&execution).map_or(Vec::new(), |log| log.iter().skip(skip).cloned().collect())
    }

    pub(super) fn definition(&self, sha: &str) -> Option<String> {
        self.definitions.get(sha).map(|text| text.to_string())
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<Due> {
        let keys = self.by_due.iter().take_while(|(at, _)| *at <= now).take(limit);
        keys.filter_map(|(_, key)| self.due.get(key).cloned()).collect()
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(at, _)| *at)
    }

    pub(super) fn slots(&self, name: &str, limit: usize) -> (u64, Vec<Slot>) {
        let of_name = || self.slots.values().filter(|slot| slot.name == name);
        let taken = of_name().filter(|slot| slot.taken).count() as u64;
        let mut waiting: Vec<Slot> = of_name().filter(|slot| !slot.taken).cloned().collect();
        waiting.sort_by_key(|slot| (slot.at, slot.execution));
        waiting.truncate(limit);
        (taken, waiting)
    }

    pub(super) fn slot_names(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.slots.keys().map(|(name, _)| name.clone()).collect();
        names.into_iter().collect()
    }

    pub(super) fn item(&self, scope: &ItemScope, name: &str, now: Timestamp) -> Option<Item> {
        self.items.get(&(scope.clone(), name.to_owned())).filter(|item| is_visible(item, now)).cloned()
    }

    pub(super) fn items(&self, scope: &ItemScope, prefix: &str, now: Timestamp, page: Page) -> (Vec<Item>, u64) {
        let found = self
            .items
            .range((scope.clone(), prefix.to_owned())..)
            .map(|(_, item)| item)
            .take_while(|item| item.scope == *scope && item.name.starts_with(prefix))
            .filter(|item| is_visible(item, now));
        (paged(found.clone(), page).cloned().collect(), found.count() as u64)
    }

    pub(super) fn outgoing(&self, network: &str, after: i64, limit: usize) -> Vec<Outgoing> {
        let rows = self.outbox.iter().filter(|(id, row)| **id > after && row.network == network);
        rows.take(limit).map(|(_, row)| row.clone()).collect()
    }

    pub(super) fn messages(&self, channel: &str, after: i64, limit: usize) -> Vec<Message> {
        let Some(messages) = self.messages.get(channel) else { return Vec::new() };
        let newer = messages.partition_point(|m| m.seq <= after);
        let first = newer.max(messages.len().saturating_sub(limit));
        messages.iter().skip(first).cloned().collect()
    }

    pub(super) fn entries(&self, list: &str, limit: usize) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.entries.values().filter(|entry| entry.list == list).cloned().collect();
        all.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        all.truncate(limit);
        all
    }

    pub(super) fn audit(&self, from: u64, limit: usize) -> Vec<AuditRow> {
        self.audit.iter().filter(|row| row.seq >= from).take(limit).cloned().collect()
    }

    pub(super) fn audit_found(&self, filter: &AuditFilter, limit: usize) -> Vec<AuditRow> {
        let AuditFilter { event, person, confirmation, execution, since, until, before } = filter;
        let fits = |row: &&AuditRow| {
            event.as_ref().is_none_or(|event| *event == row.event)
                && (person.is_none() || *person == row.person)
                && (confirmation.is_none() || *confirmation == row.confirmation)
                && (execution.is_none() || *execution == row.execution)
                && since.is_none_or(|since| row.at >= since)
                && until.is_none_or(|until| row.at <= until)
                && before.is_none_or(|before| row.seq < before)
        };
        self.audit.iter().rev().filter(fits).take(limit).cloned().collect()
    }

    pub(super) fn audit_of(&self, confirmation: &str) -> Vec<AuditRow> {
        self.audit.iter().filter(|row| row.confirmation.as_deref() == Some(confirmation)).cloned().collect()
    }

    pub(super) fn verify_audit(&self) -> Result<u64> {
        let mut chain = Chain::new();
        self.audit.iter().try_for_each(|row| chain.follow(&link(row, &audit_text(row)?), &row.previous, &row.sha))?;
        Ok(chain.rows())
    }

    pub(super) fn users(&self, page: Page) -> (Vec<User>, u64) {
        (paged(self.people.users.values(), page).cloned().collect(), self.people.users.len() as u64)
    }

    pub(super) fn user(&self, name: &str) -> Option<User> {
        self.people.users.get(name).cloned()
    }

    pub(super) fn token(&self, sha: &[u8; 32], now: Timestamp) -> Option<Token> {
        self.tokens.get(sha).filter(|token| token.expires > now).cloned()
    }

    pub(super) fn meta(&self, name: &str) -> Option<String> {
        self.meta.get(name).cloned()
    }
}

/// Refuses what the other stores could not read back.
fn check(op: &Op) -> Result<()> {
    match op {
        Op::Insert(execution) => stored::check_new(execution),
        Op::Update { id, change, .. } => stored::check_change(*id, change),
        Op::Post(row) => stored::check_value(&row.body, || format!("outgoing {}", row.dedup)),
        Op::Say(message) => stored::check_value(&message.body, || format!("message in {}", message.channel)),
        Op::PutToken(token) => stored::check_value(&token.data, || format!("token of {}", token.user)),
        Op::Audit { data, event, .. } => stored::check_value(data, || format!("audit row `{event}`")),
        Op::PutConfirmation { row, .. } => stored::check_confirmation(row),
        _ => Ok(()),
    }
}

fn audit_text(row: &AuditRow) -> Result<String> {
    stored::value_text(&row.data, || format!("audit row `{}`", row.event))
}

/// What the hash of a row covers; `data` is the text of its value.
fn link<'r>(row: &'r AuditRow, data: &'r str) -> Link<'r> {
    Link {
        seq: row.seq,
        at: row.at,
        event: &row.event,
        person: row.person.as_deref(),
        confirmation: row.confirmation.as_deref(),
        execution: row.execution,
        data,
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn is_visible(item: &Item, now: Timestamp) -> bool {
    item.expires.is_none_or(|expires| expires > now)
}

pub(super) fn paged<I: Iterator>(rows: I, page: Page) -> impl Iterator<Item = I::Item> {
    let (skip, take) = (usize::try_from(page.offset), usize::try_from(page.limit));
    rows.skip(skip.unwrap_or(usize::MAX)).take(take.unwrap_or(usize::MAX))
}

fn passes(filter: &Filter, e: &Execution) -> bool {
    let Filter { action, status, user, runner, parent, ids, since, until, order: _ } = filter;
    action.as_ref().is_none_or(|action| *action == e.request.action.to_string())
        && (status.is_empty() || status.contains(&e.status))
        && user.as_deref().is_none_or(|user| stored::user_of(&e.request) == Some(user))
        && runner.as_ref().is_none_or(|runner| *runner == e.request.runner)
        && parent.is_none_or(|parent| parent == e.parent)
        && (ids.is_empty() || ids.contains(&e.id))
        && since.is_none_or(|since| e.created >= since)
        && until.is_none_or(|until| e.created <= until)
}
