//! Which secrets a rendering looked at, so that a confirmation can be void when one of them changes.

use crate::lookup::Datastore;
use serde::{Deserialize, Serialize};
use squall_expr::{Error, Host};
use squall_model::{Str, Timestamp, Value};
use squall_store::ItemScope;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Items that were asked for in clear: whether of the user, and their names.
#[derive(Debug, Default)]
pub(crate) struct Seen(RefCell<BTreeSet<(bool, String)>>);

/// A secret as it was when people were asked. Its text is nowhere, only the hash of its encrypted form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// The user whose item it is; none for the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its key.
    pub name: String,
    /// SHA-256 (hex) of the stored text; empty when there was none.
    pub sha: String,
}

impl Seen {
    /// The items as they are now, those of `user` where a template said `user`.
    pub fn versions(&self, data: &Datastore<'_>, user: &str) -> Vec<SecretVersion> {
        let one = |(own, name): &(bool, String)| {
            let user = own.then(|| user.to_owned());
            SecretVersion { sha: version(data, user.as_deref(), name), user, name: name.clone() }
        };
        self.0.borrow().iter().map(one).collect()
    }
}

impl SecretVersion {
    /// Whether the item is still the one that was looked at.
    pub(crate) fn is_current(&self, data: &Datastore<'_>) -> bool {
        version(data, self.user.as_deref(), &self.name) == self.sha
    }
}

fn version(data: &Datastore<'_>, user: Option<&str>, name: &str) -> String {
    let scope = user.map_or(ItemScope::System, |user| ItemScope::User(user.to_owned()));
    match data.item(&scope, name) {
        Ok(Some(item)) => crate::confirmation::digest::sha256_hex(&item.value),
        Ok(None) => String::new(),
        // What cannot be read equals nothing, so it voids.
        Err(error) => error.to_string(),
    }
}

/// A host that writes down which items were asked for in clear.
pub(crate) struct Noting<'a> {
    pub host: &'a dyn Host,
    pub seen: &'a Seen,
}

impl Host for Noting<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        self.host.call(name, args, named)
    }
    fn has(&self, name: &str) -> bool {
        self.host.has(name)
    }
    fn kv(&self, scope: &str, key: &str, decrypt: bool) -> Result<Option<Value>, Error> {
        if decrypt {
            self.seen.0.borrow_mut().insert((scope == "user", key.to_owned()));
        }
        self.host.kv(scope, key, decrypt)
    }
    fn name(&self, name: &str) -> Option<Value> {
        self.host.name(name)
    }
    fn now(&self) -> Timestamp {
        self.host.now()
    }
    fn random(&self, bytes: &mut [u8]) {
        self.host.random(bytes);
    }
    fn limits(&self) -> &squall_expr::Limits {
        self.host.limits()
    }
}
