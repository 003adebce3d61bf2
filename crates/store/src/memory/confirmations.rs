//! The table of confirmations of the memory store.
//!
//! Invariant: `by_code`, `by_run` and `by_joins` say what the rows say; every change goes through [`Confirmations::put`].

use super::state::paged;
use crate::{CODE_KEPT, Confirmation, ConfirmationFilter, Page, Result, conflict};
use squall_model::ExecutionId;
use std::collections::{BTreeMap, BTreeSet};

/// The rows and their indexes.
#[derive(Clone, Default)]
pub(super) struct Confirmations {
    rows: BTreeMap<String, Confirmation>,
    by_code: BTreeMap<String, BTreeSet<String>>,
    by_run: BTreeMap<ExecutionId, BTreeSet<String>>,
    by_joins: BTreeMap<String, BTreeSet<String>>,
}

impl Confirmations {
    /// Whether `row` may be written by somebody who decided on the version `expected`.
    ///
    /// # Errors
    /// Conflict, as [`crate::Op::PutConfirmation`] says.
    pub(super) fn check(&self, row: &Confirmation, expected: Option<u64>) -> Result<()> {
        let id = &row.id;
        let old = row.held_at.micros().saturating_sub(CODE_KEPT);
        let in_use = match (self.rows.get(id), expected) {
            (None, None) => self
                .others(row)
                .any(|other| other.is_open() || other.closed_at.is_none_or(|closed_at| closed_at.micros() > old)),
            (Some(_), None) => return Err(conflict(|| format!("confirmation {id}: it exists"))),
            (None, Some(_)) => {
                return Err(conflict(|| format!("version of confirmation {id}: there is no such confirmation")));
            }
            (Some(stored), Some(expected)) if stored.version != expected => {
                let (now, state) = (stored.version, &stored.state);
                let what = || format!("version of confirmation {id}: decided on {expected}, but it is {now} ({state})");
                return Err(conflict(what));
            }
            (Some(_), Some(_)) => row.is_open() && self.others(row).any(Confirmation::is_open),
        };
        if in_use {
            return Err(conflict(|| format!("code {}: another confirmation has it", row.code)));
        }
        let equal = row.joins.as_ref().filter(|_| row.is_open()).and_then(|joins| self.by_joins.get(joins));
        if self.named(equal).any(|other| other.is_open() && other.id != *id) {
            return Err(conflict(|| format!("equal of confirmation {id}: it is open")));
        }
        Ok(())
    }

    /// Others with the same code.
    fn others<'s>(&'s self, row: &'s Confirmation) -> impl Iterator<Item = &'s Confirmation> {
        self.named(self.by_code.get(&row.code)).filter(|other| other.id != row.id)
    }

    fn named<'s>(&'s self, ids: Option<&'s BTreeSet<String>>) -> impl Iterator<Item = &'s Confirmation> {
        ids.into_iter().flatten().filter_map(|id| self.rows.get(id))
    }

    /// Puts a row in its place, or takes it away; gives the one that was there.
    pub(super) fn put(&mut self, id: &str, row: Option<Confirmation>) -> Option<Confirmation> {
        let earlier = self.rows.remove(id);
        if let Some(earlier) = &earlier {
            remove(&mut self.by_code, &earlier.code, id);
            earlier.joins.iter().for_each(|joins| remove(&mut self.by_joins, joins, id));
            earlier.executions.iter().for_each(|execution| remove(&mut self.by_run, execution, id));
        }
        if let Some(row) = row {
            self.by_code.entry(row.code.clone()).or_default().insert(id.to_owned());
            if let Some(joins) = &row.joins {
                self.by_joins.entry(joins.clone()).or_default().insert(id.to_owned());
            }
            for execution in &row.executions {
                self.by_run.entry(*execution).or_default().insert(id.to_owned());
            }
            self.rows.insert(id.to_owned(), row);
        }
        earlier
    }

    pub(super) fn by_id(&self, id: &str) -> Option<Confirmation> {
        self.rows.get(id).cloned()
    }

    pub(super) fn by_code(&self, code: &str) -> Option<Confirmation> {
        foremost(self.named(self.by_code.get(code)))
    }

    pub(super) fn of(&self, execution: ExecutionId) -> Option<Confirmation> {
        foremost(self.named(self.by_run.get(&execution)))
    }

    pub(super) fn list(&self, filter: &ConfirmationFilter, page: Page) -> (Vec<Confirmation>, u64) {
        let mut all: Vec<&Confirmation> = self.rows.values().filter(|row| passes(filter, row)).collect();
        all.sort_by(|a, b| (b.held_at, &b.id).cmp(&(a.held_at, &a.id)));
        let count = all.len() as u64;
        (paged(all.into_iter(), page).cloned().collect(), count)
    }

    pub(super) fn open(&self, requester: Option<&str>, channel: Option<(&str, &str)>) -> u64 {
        let counted = |row: &&Confirmation| {
            row.is_open() && requester.is_none_or(|name| name == row.requester) && is_in(row, channel)
        };
        self.rows.values().filter(counted).count() as u64
    }
}

fn remove<K: Ord>(index: &mut BTreeMap<K, BTreeSet<String>>, key: &K, id: &str) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

/// The open one, else the newest.
fn foremost<'r>(rows: impl Iterator<Item = &'r Confirmation>) -> Option<Confirmation> {
    rows.max_by_key(|row| (row.is_open(), row.held_at, &row.id)).cloned()
}

fn is_in(row: &Confirmation, channel: Option<(&str, &str)>) -> bool {
    channel.is_none_or(|channel| row.network.as_deref().zip(row.channel.as_deref()) == Some(channel))
}

fn passes(filter: &ConfirmationFilter, row: &Confirmation) -> bool {
    let ConfirmationFilter { state, requester, channel, root } = filter;
    state.as_ref().is_none_or(|state| *state == row.state)
        && requester.as_ref().is_none_or(|requester| *requester == row.requester)
        && is_in(row, channel.as_ref().map(|(network, channel)| (network.as_str(), channel.as_str())))
        && root.is_none_or(|root| root == row.root)
}
