//! What expressions may ask of the engine: the datastore, the time, randomness.
//!
//! Answers come from the store as of now, with the writes of the running step over it, and with the rights of the
//! run's user.

use crate::Content;
use squall_expr::{Error, Host};
use squall_model::{ExecutionId, Ids, Map, Str, Timestamp, Value};
use squall_store::{Item, ItemScope, Store};
use squall_workflow::{Registered, RunId};
use std::cell::RefCell;
use std::collections::HashMap;

/// Datastore items written in a step that is not committed yet; `None` for deleted ones.
pub(crate) type Overlay = HashMap<(ItemScope, String), Option<Item>>;

/// A read view of the datastore for one step.
pub(crate) struct Datastore<'a> {
    pub store: &'a dyn Store,
    pub overlay: &'a RefCell<Overlay>,
    pub now: Timestamp,
    pub key: Option<&'a squall_store::crypto::Key>,
}

impl Datastore<'_> {
    /// An item that has not expired.
    pub fn item(&self, scope: &ItemScope, name: &str) -> squall_store::Result<Option<Item>> {
        if let Some(written) = self.overlay.borrow().get(&(scope.clone(), name.to_owned())) {
            return Ok(written.clone().filter(|i| i.expires.is_none_or(|at| at > self.now)));
        }
        self.store.item(scope, name, self.now)
    }

    /// Its text in clear.
    pub fn clear_text(&self, item: &Item) -> Result<String, String> {
        if !item.secret {
            return Ok(item.value.clone());
        }
        let key = self.key.ok_or("no datastore key is loaded")?;
        squall_store::crypto::decrypt(key, &item.value).map_err(|e| format!("cannot decrypt key `{}`: {e}", item.name))
    }
}

/// The host of one evaluation.
pub(crate) struct Lookup<'a> {
    pub data: Datastore<'a>,
    pub ids: &'a dyn Ids,
    pub content: &'a Content,
    /// The open children of the workflow that is being decided.
    pub children: Option<&'a HashMap<RunId, ExecutionId>>,
    /// Whose user scope `st2kv.user` means.
    pub user: String,
    /// Whether that is the account of the run, and not only a name that a chat network or a bot gave.
    pub is_proven: bool,
    /// Whether secrets of the system may be seen in clear.
    pub may_decrypt: bool,
    /// What one evaluation may cost.
    pub limits: &'a squall_expr::Limits,
}

/// Whose user scope a run means, and whether that is its account: the name in chat comes first, as in StackStorm.
pub(crate) fn scope_of(context: &Map) -> (String, bool) {
    let name = |key: &str| context.get(key).and_then(Value::as_str);
    let (shown, account) = (name("api_user"), name("user"));
    let user = shown.or(account).unwrap_or(crate::people::SYSTEM_USER).to_owned();
    (user, shown.is_none() || shown == account)
}

impl Lookup<'_> {
    fn denied(&self, scope: &ItemScope, key: &str) -> String {
        let user = &self.user;
        match scope {
            ItemScope::System => {
                format!("`{user}` may not see the secret datastore item `{key}` in clear: this needs the role `admin`")
            }
            ItemScope::User(_) => format!(
                "the secret datastore item `{key}` of `{user}` is not shown: that name is what chat says and no proof; link the \
                 account and give it the same name"
            ),
        }
    }
}

impl Host for Lookup<'_> {
    fn call(&self, _: &str, _: &[Value], _: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        None
    }

    fn has(&self, _: &str) -> bool {
        false
    }

    fn kv(&self, scope: &str, key: &str, decrypt: bool) -> Result<Option<Value>, Error> {
        let scope = match scope {
            "user" => ItemScope::User(self.user.clone()),
            _ => ItemScope::System,
        };
        let found = self.data.item(&scope, key).map_err(|e| Error::new("StoreError", e.to_string()))?;
        let Some(item) = found else { return Ok(None) };
        if !decrypt {
            return Ok(Some(Value::from(item.value)));
        }
        let may = if scope == ItemScope::System { self.may_decrypt } else { self.is_proven };
        if item.secret && !may {
            return Err(Error::new("AccessDeniedError", self.denied(&scope, key)));
        }
        self.data.clear_text(&item).map(|text| Some(Value::from(text))).map_err(|e| Error::new("CryptoError", e))
    }

    fn now(&self) -> Timestamp {
        self.data.now
    }

    fn random(&self, bytes: &mut [u8]) {
        self.ids.fill(bytes);
    }

    fn limits(&self) -> &squall_expr::Limits {
        self.limits
    }
}

impl squall_workflow::Host for Lookup<'_> {
    fn child(&self, run: RunId) -> Option<String> {
        self.children?.get(&run).map(ToString::to_string)
    }

    fn action(&self, reference: &str) -> Registered {
        match reference.parse().ok().and_then(|r| self.content.registry().action(&r)) {
            Some(action) => Registered::Yes(self.content.prepared(action).known.clone()),
            None => Registered::No,
        }
    }
}
