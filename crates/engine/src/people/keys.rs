//! API keys, as StackStorm has them: they do not expire, can be switched off, and only their hash is stored.

use super::tokens::agent_of;
use super::{Principal, Via, Wish, audit_row, authorize, role_of};
use crate::Engine;
use crate::refusal::Refusal;
use squall_model::{Secret, Value};
use squall_store::{ApiKey, Batch, Op, Page};

/// A key as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// Whose.
    pub user: String,
    /// Whether it works.
    pub enabled: bool,
    /// Free data; `{"actor": "agent", "agent": name}` makes it an agent's.
    pub metadata: Value,
    /// The hash of a key that exists elsewhere already; the text stays unknown then.
    pub hash: Option<String>,
}

/// The hash by which StackStorm names a key: SHA-512 over a fixed prefix and the key.
pub fn key_hash(key: &str) -> String {
    use sha2::Digest;
    let mut hash = sha2::Sha512::new();
    hash.update(b"saltnpepper");
    hash.update(key.as_bytes());
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

impl Engine {
    /// Makes an API key; its text is answered once, unless the hash was given.
    pub async fn make_key(&self, new: NewKey, who: &Principal) -> Result<(ApiKey, Option<Secret<String>>), Refusal> {
        authorize(who, Wish::Credentials { owner: &new.user })?;
        if self.store().user(&new.user)?.is_none() {
            return Err(Refusal::Invalid(format!("Could not locate user {}", new.user)));
        }
        let text = match new.hash {
            Some(_) => None,
            None => Some(self.random_key()),
        };
        let hash = new.hash.or_else(|| text.as_deref().map(key_hash)).unwrap_or_default();
        if hash.len() != 128 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Refusal::Invalid("`key_hash` must be the SHA-512 of a key, 128 hexadecimal digits".into()));
        }
        let key = ApiKey {
            id: self.ids().execution().to_string(),
            hash,
            user: new.user,
            enabled: new.enabled,
            created: self.now(),
            metadata: new.metadata,
        };
        self.put_key(&key, "api_key_made", who).await?;
        Ok((key, text.map(Secret::new)))
    }

    /// 516 random bits in the letters that URLs take.
    fn random_key(&self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut raw = [0u8; 86];
        self.ids().fill(&mut raw);
        raw.iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])).collect()
    }

    async fn put_key(&self, key: &ApiKey, event: &str, who: &Principal) -> Result<(), Refusal> {
        let told = Value::from_pairs([
            ("key", Value::from(key.id.as_str())),
            ("user", key.user.as_str().into()),
            ("enabled", key.enabled.into()),
        ]);
        let mut batch = Batch::from(Op::PutApiKey(Box::new(key.clone())));
        batch.push(audit_row(event, who, told, self.now()));
        match self.store().commit(batch).await {
            Err(squall_store::Error::Conflict { .. }) => {
                Err(Refusal::Conflict("there is an API key with this hash already".into()))
            }
            other => Ok(other?),
        }
    }

    /// Keys of the caller, or everybody's for whoever manages people.
    pub fn keys(&self, who: &Principal) -> Result<Vec<ApiKey>, Refusal> {
        let (all, _) = self.store().api_keys(Page { offset: 0, limit: 10_000 })?;
        let others = authorize(who, Wish::ManagePeople).is_ok();
        Ok(all.into_iter().filter(|key| others || key.user == who.user).collect())
    }

    /// A key by its id or hash that the caller may see.
    pub fn key(&self, which: &str, who: &Principal) -> Result<Option<ApiKey>, Refusal> {
        Ok(self.keys(who)?.into_iter().find(|key| key.id == which || key.hash == which))
    }

    /// Changes a key.
    pub async fn change_key(&self, key: &ApiKey, who: &Principal) -> Result<(), Refusal> {
        authorize(who, Wish::Credentials { owner: &key.user })?;
        self.put_key(key, "api_key_changed", who).await
    }

    /// Deletes a key.
    pub async fn delete_key(&self, key: &ApiKey, who: &Principal) -> Result<(), Refusal> {
        authorize(who, Wish::Credentials { owner: &key.user })?;
        let told = Value::from_pairs([("key", key.id.as_str()), ("user", &key.user)]);
        let mut batch = Batch::from(Op::DeleteApiKey { id: key.id.clone() });
        batch.push(audit_row("api_key_deleted", who, told, self.now()));
        Ok(self.store().commit(batch).await?)
    }

    /// Whom an API key belongs to: `Ok(Err(key))` when it is switched off, `None` when it is unknown or its user is gone.
    pub fn principal_of_key(&self, text: &str) -> Result<Option<Result<Principal, ApiKey>>, Refusal> {
        let Some(key) = self.store().api_key(&key_hash(text))? else { return Ok(None) };
        if !key.enabled {
            return Ok(Some(Err(key)));
        }
        let via = agent_of(&key.metadata).map_or(Via::Token, Via::Agent);
        let user = self.store().user(&key.user)?.filter(|u| u.active);
        Ok(user.map(|u| Ok(Principal { role: role_of(&u), user: u.name, via })))
    }
}
