//! The datastore for people and clients: scopes, rights, secrets, exact expiry.

use crate::lookup::{Datastore, Lookup, Overlay};
use crate::people::{Principal, Wish, authorize};
use crate::refusal::Refusal;
use crate::{Content, Engine};
use squall_store::{Item, ItemScope, Op, Page};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// An item to be written.
#[derive(Debug, Clone)]
pub struct ItemWrite {
    /// Whose.
    pub scope: ItemScope,
    /// Its key.
    pub name: String,
    /// Its text, in clear.
    pub value: String,
    /// Whether it is to be encrypted.
    pub secret: bool,
    /// Seconds until it expires.
    pub ttl: Option<u64>,
    /// Free text.
    pub description: Option<String>,
}

/// A lookup that owns what it borrows from, for one request.
pub(crate) struct RequestLookup<'a> {
    engine: &'a Engine,
    content: Arc<Content>,
    overlay: RefCell<Overlay>,
    user: String,
    is_proven: bool,
    may_decrypt: bool,
}

impl RequestLookup<'_> {
    /// The host for expressions that the caller sent.
    pub fn lookup(&self) -> Lookup<'_> {
        let inner = &*self.engine.inner;
        Lookup {
            data: Datastore {
                store: &*inner.store,
                overlay: &self.overlay,
                now: self.engine.now(),
                key: inner.settings.datastore_key.as_ref(),
            },
            ids: &*inner.ids,
            content: &self.content,
            children: None,
            user: self.user.clone(),
            is_proven: self.is_proven,
            may_decrypt: self.may_decrypt,
            limits: &inner.settings.expressions,
        }
    }
}

impl Engine {
    pub(crate) fn request_lookup(&self, who: &Principal) -> RequestLookup<'_> {
        let may_decrypt = crate::gates::may_decrypt(who);
        RequestLookup {
            engine: self,
            content: self.content(),
            overlay: RefCell::default(),
            user: who.user.clone(),
            is_proven: true,
            may_decrypt,
        }
    }

    /// The host for what a definition says, with the rights of the run: what it decrypts was decided by whoever installed
    /// the pack.
    pub(crate) fn run_lookup(&self, context: &squall_model::Map) -> RequestLookup<'_> {
        let (user, is_proven) = crate::lookup::scope_of(context);
        RequestLookup {
            engine: self,
            content: self.content(),
            overlay: RefCell::default(),
            user,
            is_proven,
            may_decrypt: true,
        }
    }

    /// An item; in clear when `decrypt` is set and the caller may.
    pub fn item(&self, scope: &ItemScope, name: &str, decrypt: bool, who: &Principal) -> Result<Option<Item>, Refusal> {
        authorize(who, read_wish(scope))?;
        let Some(item) = self.store().item(scope, name, self.now())? else { return Ok(None) };
        if decrypt { self.in_clear(item, who).map(Some) } else { Ok(Some(item)) }
    }

    /// Items whose name starts with `prefix`, by name, and how many there are.
    pub fn items(
        &self,
        scope: &ItemScope,
        prefix: &str,
        decrypt: bool,
        page: Page,
        who: &Principal,
    ) -> Result<(Vec<Item>, u64), Refusal> {
        authorize(who, read_wish(scope))?;
        let (items, all) = self.store().items(scope, prefix, self.now(), page)?;
        if !decrypt {
            return Ok((items, all));
        }
        let items = items.into_iter().map(|i| self.in_clear(i, who)).collect::<Result<_, _>>()?;
        Ok((items, all))
    }

    fn in_clear(&self, item: Item, who: &Principal) -> Result<Item, Refusal> {
        if !item.secret {
            return Ok(item);
        }
        if item.scope == ItemScope::System {
            authorize(who, Wish::DecryptSystemItem)?;
        }
        let lookup = self.request_lookup(who);
        let value = lookup.lookup().data.clear_text(&item).map_err(Refusal::Broken)?;
        Ok(Item { value, ..item })
    }

    /// Writes an item and answers it as it is stored.
    pub async fn put_item(&self, write: ItemWrite, who: &Principal) -> Result<Item, Refusal> {
        authorize(who, write_wish(&write.scope))?;
        if write.name.is_empty() {
            return Err(Refusal::Invalid("a datastore key has at least one character".into()));
        }
        let now = self.now();
        let value = if write.secret { self.encrypted(&write)? } else { write.value };
        let earlier = self.store().item(&write.scope, &write.name, now)?;
        let item = Item {
            created: earlier.map_or(now, |e| e.created),
            scope: write.scope,
            name: write.name,
            value,
            secret: write.secret,
            description: write.description,
            expires: write.ttl.map(|seconds| now.after(Duration::from_secs(seconds))),
        };
        self.inner.store.commit(Op::SetItem { item: Box::new(item.clone()), now }.into()).await?;
        Ok(self.store().item(&item.scope, &item.name, now)?.unwrap_or(item))
    }

    fn encrypted(&self, write: &ItemWrite) -> Result<String, Refusal> {
        let key = self.inner.settings.datastore_key.as_ref().ok_or_else(|| {
            Refusal::Unavailable(format!("no datastore key is loaded, so `{}` cannot be encrypted", write.name))
        })?;
        Ok(squall_store::crypto::encrypt(key, &write.value, self.ids()))
    }

    /// Deletes an item; answers whether there was one.
    pub async fn delete_item(&self, scope: &ItemScope, name: &str, who: &Principal) -> Result<bool, Refusal> {
        authorize(who, write_wish(scope))?;
        let there = self.store().item(scope, name, self.now())?.is_some();
        if there {
            self.inner.store.commit(Op::DeleteItem { scope: scope.clone(), name: name.to_owned() }.into()).await?;
        }
        Ok(there)
    }

    /// Removes expired items, which nobody can see any more.
    pub async fn sweep_items(&self) -> Result<(), Refusal> {
        Ok(self.inner.store.commit(Op::SweepItems { now: self.now(), limit: 1_000 }.into()).await?)
    }
}

fn read_wish(scope: &ItemScope) -> Wish<'_> {
    match scope {
        ItemScope::System => Wish::ReadSystemItem,
        ItemScope::User(owner) => Wish::UserItem { owner },
    }
}

fn write_wish(scope: &ItemScope) -> Wish<'_> {
    match scope {
        ItemScope::System => Wish::WriteSystemItem,
        ItemScope::User(owner) => Wish::UserItem { owner },
    }
}
