//! The tables about people of the memory store. They are small: a change is undone by putting the earlier tables back.

use crate::{ApiKey, Factor, Linked, Op, Result, User, conflict, stored};
use std::collections::BTreeMap;

/// Network, workspace, stable id.
type Identity = (String, String, String);

/// The rows.
#[derive(Clone, Default)]
pub(super) struct People {
    pub(super) users: BTreeMap<String, User>,
    pub(super) identities: BTreeMap<Identity, Linked>,
    pub(super) factors: BTreeMap<String, Factor>,
    pub(super) keys: BTreeMap<String, ApiKey>,
}

impl People {
    /// The tables after a change; `None` when it is not about people.
    pub(super) fn after(&self, op: &Op) -> Result<Option<People>> {
        let mut next = self.clone();
        Ok(next.change(op)?.then_some(next))
    }

    fn change(&mut self, op: &Op) -> Result<bool> {
        match op {
            Op::PutUser(user) => drop(self.users.insert(user.name.clone(), (**user).clone())),
            Op::SameUser { name, was } if self.users.get(name) == was.as_deref() => {}
            Op::SameUser { name, .. } => return Err(conflict(|| format!("user {name}: it was changed"))),
            Op::DeleteUser { name } => drop(self.users.remove(name)),
            Op::Link(row) => drop(self.identities.insert(key(row), (**row).clone())),
            Op::Unlink { network, workspace, user_id, user } => {
                let identity = (network.clone(), workspace.clone(), user_id.clone());
                if self.identities.get(&identity).is_none_or(|row| row.user != *user) {
                    return Err(conflict(|| format!("identity {network}:{user_id}: it is not of {user}")));
                }
                self.identities.remove(&identity);
            }
            Op::UnlinkAll { user } => self.identities.retain(|_, row| row.user != *user),
            Op::PutFactor(factor) => drop(self.factors.insert(factor.user.clone(), (**factor).clone())),
            Op::UseFactor { user, step, proof } => match self.factors.get_mut(user).filter(|f| f.step < *step) {
                Some(factor) => {
                    (factor.active, factor.step, factor.proof) = (true, *step, proof.clone());
                }
                None => return Err(conflict(|| format!("factor of {user}: that code was used"))),
            },
            Op::DeleteFactor { user } => drop(self.factors.remove(user)),
            Op::PutApiKey(key) => {
                stored::check_value(&key.metadata, || format!("API key {}", key.id))?;
                if self.keys.values().any(|other| other.hash == key.hash && other.id != key.id) {
                    return Err(conflict(|| format!("API key {}: another one has its hash", key.id)));
                }
                self.keys.insert(key.id.clone(), (**key).clone());
            }
            Op::DeleteApiKey { id } => drop(self.keys.remove(id)),
            Op::DeleteApiKeysOf { user } => self.keys.retain(|_, key| key.user != *user),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn linked(&self, network: &str, workspace: &str, user_id: &str) -> Option<Linked> {
        self.identities.get(&(network.to_owned(), workspace.to_owned(), user_id.to_owned())).cloned()
    }

    pub(super) fn linked_to(&self, user: &str) -> Vec<Linked> {
        self.identities.values().filter(|row| row.user == user).cloned().collect()
    }
}

fn key(row: &Linked) -> Identity {
    (row.network.clone(), row.workspace.clone(), row.user_id.clone())
}
