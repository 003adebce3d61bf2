//! Tokens: of people, of the agents that act for them, and of runs. Only the hash of a token is stored.

use super::{Principal, Role, Via, Wish, audit_row, authorize, has_account, role_of};
use crate::Engine;
use crate::refusal::Refusal;
use squall_model::{ExecutionId, Secret, Timestamp, Value};
use squall_store::{Batch, Op, Token};
use std::time::Duration;

/// A freshly made token: the text exists only here.
pub struct Minted {
    /// The token as its owner sends it: 32 hexadecimal digits.
    pub text: Secret<String>,
    /// Not valid from then on.
    pub expires: Timestamp,
}

/// SHA-256 of a token's text, as it is stored.
pub fn token_sha(text: &str) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).into()
}

/// The data of an agent's token: `{"actor": "agent", "agent": name}`. API keys have it in their metadata.
pub(super) fn agent_data(name: &str) -> Value {
    Value::from_pairs([("actor", "agent"), ("agent", name)])
}

/// The name of the agent that a token or key is for, if it is for one.
pub(super) fn agent_of(data: &Value) -> Option<String> {
    let is_agent = data.get("actor").and_then(Value::as_str) == Some("agent");
    is_agent.then(|| data.get("agent").and_then(Value::as_str).unwrap_or("agent").to_owned())
}

impl Engine {
    /// Makes a token of `user` that lives for `ttl`.
    pub async fn mint(
        &self,
        user: &str,
        ttl: Duration,
        execution: Option<ExecutionId>,
        data: Value,
    ) -> Result<Minted, Refusal> {
        self.minted(user, ttl, execution, data, None).await
    }

    /// Makes a token for oneself, or for somebody else by whoever manages them; with `agent` one for a program of that name,
    /// which acts for the user and never answers confirmations.
    pub async fn mint_for(
        &self,
        user: &str,
        ttl: Duration,
        agent: Option<&str>,
        who: &Principal,
    ) -> Result<Minted, Refusal> {
        authorize(who, Wish::Credentials { owner: user })?;
        if self.store().user(user)?.is_none_or(|u| !u.active) {
            return Err(Refusal::Invalid(format!("Could not locate user {user}")));
        }
        let data = match agent {
            None => Value::map(),
            Some(name) if is_agent_name(name) => agent_data(name),
            Some(name) => {
                let text = format!("`{name}` cannot name an agent: 1 to 64 letters, digits, `-`, `_` and `.`");
                return Err(Refusal::Invalid(text));
            }
        };
        let told = Value::from_pairs([("user", Value::from(user)), ("agent", agent.into())]);
        let row = audit_row("token_made", who, told, self.now());
        self.minted(user, ttl, None, data, Some(row)).await
    }

    /// The token of somebody who just gave the right password; `from` is their address.
    pub async fn log_in(&self, who: &Principal, ttl: Duration, from: Option<String>) -> Result<Minted, Refusal> {
        let row = audit_row("logged_in", who, Value::from_pairs([("from", from)]), self.now());
        self.minted(&who.user, ttl, None, Value::map(), Some(row)).await
    }

    /// Writes down that somebody tried a wrong password.
    pub async fn log_in_failed(&self, name: &str, from: Option<String>) -> Result<(), Refusal> {
        let name: String = name.chars().take(64).collect();
        let data = Value::from_pairs([("user", Value::from(name)), ("from", from.into())]);
        let row = Op::Audit {
            at: self.now(),
            event: "log_in_failed".to_owned(),
            person: None,
            confirmation: None,
            execution: None,
            data,
        };
        Ok(self.store().commit(Batch::from(row)).await?)
    }

    async fn minted(
        &self,
        user: &str,
        ttl: Duration,
        execution: Option<ExecutionId>,
        data: Value,
        row: Option<Op>,
    ) -> Result<Minted, Refusal> {
        let text = self.ids().hex(16);
        let now = self.now();
        let expires = now.after(ttl);
        let token = Token { sha: token_sha(&text), user: user.to_owned(), created: now, expires, execution, data };
        let mut batch = Batch::from(Op::PutToken(Box::new(token)));
        batch.ops.extend(row);
        self.store().commit(batch).await?;
        Ok(Minted { text: Secret::new(text), expires })
    }

    /// Who a token belongs to; `None` when it is unknown, expired, or its user is gone.
    pub fn principal_of(&self, token: &str) -> Result<Option<Principal>, Refusal> {
        let Some(token) = self.store().token(&token_sha(token), self.now())? else { return Ok(None) };
        let via = match (token.execution, agent_of(&token.data)) {
            (Some(execution), _) => Via::Execution(execution),
            (None, Some(agent)) => Via::Agent(agent),
            (None, None) => Via::Token,
        };
        let user = self.store().user(&token.user)?;
        if token.execution.is_some() && user.is_none() && !has_account(&token.user) {
            // Runs of chat people and of the engine itself have no user record; their tokens can do what an operator can.
            return Ok(Some(Principal { user: token.user, role: Role::Operator, via }));
        }
        Ok(user.filter(|u| u.active).map(|u| Principal { role: role_of(&u), user: u.name, via }))
    }

    /// Ends a token.
    pub async fn revoke(&self, token: &str, who: &Principal) -> Result<(), Refusal> {
        let mut batch = Batch::from(Op::DeleteToken { sha: token_sha(token) });
        batch.push(audit_row("logged_out", who, Value::Null, self.now()));
        Ok(self.store().commit(batch).await?)
    }
}

fn is_agent_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}
