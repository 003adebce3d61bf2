//! Who somebody on a chat network is. An administrator says so, or the person proves both sides: a one-time code that is
//! asked for in chat is given with a token of the account.

use super::{CHAT_USER, Principal, Role, Via, Wish, audit_row, authorize, role_of};
use crate::confirmation::people::Identity;
use crate::refusal::Refusal;
use crate::{Engine, locked};
use squall_model::{Ids, Timestamp, Value};
use squall_store::{Batch, Linked, Op, Page, Store};
use std::collections::HashMap;
use std::time::Duration;

/// How long a code for linking is good.
const CODE_LIVES: Duration = Duration::from_secs(600);
/// Codes that wait at once; the oldest goes.
const CODES: usize = 1_000;

/// Codes that were given out in chat: in memory, because asking again is cheap.
#[derive(Debug, Default)]
pub(crate) struct LinkCodes {
    waiting: HashMap<String, (Identity, Timestamp)>,
}

impl LinkCodes {
    fn give(&mut self, identity: Identity, now: Timestamp, ids: &dyn Ids) -> String {
        self.waiting.retain(|_, (other, until)| *until > now && *other != identity);
        if self.waiting.len() >= CODES {
            let oldest = self.waiting.iter().min_by_key(|(_, (_, until))| *until).map(|(code, _)| code.clone());
            oldest.and_then(|code| self.waiting.remove(&code));
        }
        // 80 bits: nobody guesses one within ten minutes.
        let code = ids.hex(10);
        self.waiting.insert(code.clone(), (identity, now.after(CODE_LIVES)));
        code
    }

    /// A code works once.
    fn take(&mut self, code: &str, now: Timestamp) -> Option<Identity> {
        let (identity, until) = self.waiting.remove(&code.trim().to_ascii_lowercase())?;
        (until > now).then_some(identity)
    }
}

/// The user that an identity is linked to.
pub(crate) fn linked_user(store: &dyn Store, identity: &Identity) -> squall_store::Result<Option<String>> {
    let workspace = identity.workspace.as_deref().unwrap_or_default();
    Ok(store.linked(&identity.network, workspace, &identity.user_id)?.map(|row| row.user))
}

/// The identities that are linked to a user.
pub(crate) fn identities_of(store: &dyn Store, user: &str) -> squall_store::Result<Vec<Identity>> {
    Ok(store.linked_to(user)?.into_iter().map(identity_of).collect())
}

fn identity_of(row: Linked) -> Identity {
    let workspace = (!row.workspace.is_empty()).then_some(row.workspace);
    Identity { network: row.network, workspace, user_id: row.user_id }
}

fn told(identity: &Identity, user: &str) -> Value {
    Value::from_pairs([
        ("network", Value::from(identity.network.as_str())),
        ("workspace", identity.workspace.clone().into()),
        ("user_id", identity.user_id.as_str().into()),
        ("user", user.into()),
    ])
}

impl Engine {
    /// Says that an identity on a chat network is a squall user.
    pub async fn link(&self, identity: &Identity, user: &str, who: &Principal) -> Result<(), Refusal> {
        authorize(who, Wish::ManagePeople)?;
        if self.store().user(user)?.is_none() {
            return Err(Refusal::Unknown(format!("there is no user `{user}`")));
        }
        self.put_link(identity, user, "admin", who).await
    }

    async fn put_link(&self, identity: &Identity, user: &str, how: &str, who: &Principal) -> Result<(), Refusal> {
        let parts = [Some(&identity.network), identity.workspace.as_ref(), Some(&identity.user_id)];
        let wrong = |text: &String| text.is_empty() || text.len() > 256 || text.chars().any(char::is_control);
        if parts.into_iter().flatten().any(wrong) {
            return Err(Refusal::Invalid("network, workspace and id have 1 to 256 characters each".into()));
        }
        let row = Linked {
            network: identity.network.clone(),
            workspace: identity.workspace.clone().unwrap_or_default(),
            user_id: identity.user_id.clone(),
            user: user.to_owned(),
            linked: self.now(),
            how: how.to_owned(),
        };
        let mut batch = Batch::from(Op::Link(Box::new(row)));
        batch.push(audit_row("linked", who, told(identity, user), self.now()));
        Ok(self.store().commit(batch).await?)
    }

    /// An identity is nobody's any more: its votes do not count from now on.
    pub async fn unlink(&self, identity: &Identity, who: &Principal) -> Result<String, Refusal> {
        let unknown = || Refusal::Unknown(format!("{}:{} is not linked", identity.network, identity.user_id));
        let user = linked_user(self.store(), identity)?;
        let Some(user) = user.filter(|user| authorize(who, Wish::Credentials { owner: user }).is_ok()) else {
            authorize(who, Wish::Credentials { owner: &who.user })?;
            return Err(unknown());
        };
        let mut batch = Batch::from(Op::Unlink {
            network: identity.network.clone(),
            workspace: identity.workspace.clone().unwrap_or_default(),
            user_id: identity.user_id.clone(),
            user: user.clone(),
        });
        batch.push(audit_row("unlinked", who, told(identity, &user), self.now()));
        self.store().commit(batch).await?;
        Ok(user)
    }

    /// Identities of the caller, or everybody's for whoever manages people.
    pub fn links(&self, page: Page, who: &Principal) -> Result<(Vec<Linked>, u64), Refusal> {
        if authorize(who, Wish::ManagePeople).is_ok() {
            return Ok(self.store().all_linked(page)?);
        }
        let own = self.store().linked_to(&who.user)?;
        let total = own.len() as u64;
        Ok((own, total))
    }

    /// A code for linking that somebody asked for in chat, to be shown to them alone. It works once, for ten minutes.
    pub fn link_code(&self, identity: &Identity) -> String {
        locked(&self.inner.link_codes).give(identity.clone(), self.now(), self.ids())
    }

    /// Gives a code back with the token of an account: whoever does both is the same person.
    pub async fn link_by_code(&self, code: &str, who: &Principal) -> Result<Identity, Refusal> {
        authorize(who, Wish::Credentials { owner: &who.user })?;
        if self.store().user(&who.user)?.is_none() {
            return Err(Refusal::Invalid(format!("`{}` has no account to link", who.user)));
        }
        let taken = locked(&self.inner.link_codes).take(code, self.now());
        let identity = taken.ok_or_else(|| {
            Refusal::Unknown("this code is not known, used, or older than ten minutes: ask for one with `!link`".into())
        })?;
        self.put_link(&identity, &who.user, "code", who).await?;
        Ok(identity)
    }

    /// With which rights somebody in chat speaks: those of their account, when one is linked; an operator's otherwise.
    pub fn chat_principal(&self, identity: &Identity) -> Result<Principal, Refusal> {
        let via = Via::Chat(identity.clone());
        let Some(name) = linked_user(self.store(), identity)? else {
            return Ok(Principal { user: CHAT_USER.into(), role: Role::Operator, via });
        };
        match self.store().user(&name)?.filter(|user| user.active) {
            Some(user) => Ok(Principal { role: role_of(&user), user: user.name, via }),
            // Deactivated: known, and without any right.
            None => Ok(Principal { user: name, role: Role::Guest, via }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confirmation::testing::{Dice, slack};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_code_works_once_and_for_ten_minutes() {
        let mut codes = LinkCodes::default();
        let dice = Dice::new(1);
        let code = codes.give(slack("U1"), at(0), &dice);
        assert_eq!(codes.take("something else", at(1)), None);
        assert_eq!(codes.take(&format!(" {} ", code.to_uppercase()), at(1)), Some(slack("U1")));
        assert_eq!(codes.take(&code, at(1)), None);
        let late = codes.give(slack("U1"), at(0), &dice);
        assert_eq!(codes.take(&late, at(600)), None);
    }

    #[test]
    fn a_new_code_replaces_the_old_one_and_their_number_is_bounded() {
        let mut codes = LinkCodes::default();
        let dice = Dice::new(1);
        let first = codes.give(slack("U1"), at(0), &dice);
        codes.give(slack("U1"), at(1), &dice);
        assert_eq!(codes.take(&first, at(2)), None);
        for n in 0..2 * CODES as i64 {
            codes.give(slack(&format!("V{n}")), at(n / 10), &dice);
        }
        assert!(codes.waiting.len() <= CODES);
    }
}
