//! Users: made, changed, deactivated, deleted; their roles and groups.
//!
//! A role is a name. Four of them say what somebody may do (`Role`); all others only mean something to rules of
//! confirmation. Somebody who may manage people is always left.

use super::{Principal, Role, Wish, audit_row, authorize};
use crate::Engine;
use crate::confirmation::decide::Event;
use crate::confirmation::people::PersonId;
use crate::confirmation::record::Cause;
use crate::refusal::Refusal;
use crate::turn::Input;
use squall_model::{Secret, Value};
use squall_store::{Batch, ConfirmationFilter, Linked, Op, Page, User};

/// What is known about a user.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user.
    pub user: User,
    /// Who they are on chat networks.
    pub linked: Vec<Linked>,
    /// Whether a second factor counts; `None` when there is none, `Some(false)` when its first code is still missing.
    pub factor: Option<bool>,
}

/// What is to change; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The hash of a new password.
    pub password: Option<Secret<String>>,
    /// Role names.
    pub roles: Option<Vec<String>>,
    /// Group names.
    pub groups: Option<Vec<String>>,
    /// How people read them; empty for the name.
    pub shown: Option<String>,
    /// Whether they may log in.
    pub active: Option<bool>,
}

/// Whether the user must be new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// It must not exist.
    New,
    /// It must exist.
    Change,
    /// Either.
    Either,
}

/// A name of a user, role or group: so plain that no two look alike.
fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if name.is_empty() || name.len() > 64 || !name.chars().all(letters) {
        let text = format!("the name of a {what} has 1 to 64 characters: ASCII letters, digits, and . - _ @");
        return Err(Refusal::Invalid(text));
    }
    Ok(())
}

fn check_user_name(name: &str) -> Result<(), Refusal> {
    check_name("user", name)?;
    let reserved = ["system", "root", super::SYSTEM_USER, super::CHAT_USER];
    if reserved.iter().any(|r| r.eq_ignore_ascii_case(name)) {
        return Err(Refusal::Invalid(format!("the name `{name}` is reserved")));
    }
    Ok(())
}

fn is_admin(user: &User) -> bool {
    user.active && user.roles.iter().any(|role| role == Role::Admin.as_str())
}

/// Sorted, without doubles.
fn names(what: &str, names: Vec<String>) -> Result<Vec<String>, Refusal> {
    names.iter().try_for_each(|name| check_name(what, name))?;
    let mut names = names;
    names.sort();
    names.dedup();
    Ok(names)
}

impl Engine {
    /// Users by name.
    pub fn users(&self, page: Page, who: &Principal) -> Result<(Vec<User>, u64), Refusal> {
        authorize(who, Wish::ManagePeople)?;
        Ok(self.store().users(page)?)
    }

    /// One user with all that belongs to them: oneself, or anybody for whoever manages people.
    pub fn account(&self, name: &str, who: &Principal) -> Result<Account, Refusal> {
        if name != who.user {
            authorize(who, Wish::ManagePeople)?;
        }
        let user = self.store().user(name)?.ok_or_else(|| no_user(name))?;
        let factor = self.store().factor(name)?.map(|factor| factor.active);
        Ok(Account { user, linked: self.store().linked_to(name)?, factor })
    }

    /// Makes or changes a user.
    pub async fn change_user(
        &self,
        name: &str,
        make: Make,
        change: UserChange,
        who: &Principal,
    ) -> Result<User, Refusal> {
        authorize(who, Wish::ManagePeople)?;
        check_user_name(name)?;
        let was = self.store().user(name)?;
        match (make, &was) {
            (Make::New, Some(_)) => return Err(Refusal::Conflict(format!("there is a user `{name}` already"))),
            (Make::Change, None) => return Err(no_user(name)),
            (Make::New | Make::Either, None) => self.unlike_others(name)?,
            _ => {}
        }
        let mut user = was.clone().unwrap_or_else(|| User::new(name, self.now()));
        let has_password = change.password.is_some();
        user.password = change.password.or(user.password);
        user.roles = change.roles.map_or(Ok(user.roles), |roles| self::names("role", roles))?;
        user.groups = change.groups.map_or(Ok(user.groups), |groups| self::names("group", groups))?;
        user.active = change.active.unwrap_or(user.active);
        if let Some(shown) = change.shown {
            user.shown = Some(self::shown(&shown)?).filter(|shown| !shown.is_empty());
        }
        if was.as_ref() == Some(&user) {
            return Ok(user);
        }
        self.put_user(was, &user, has_password, who).await?;
        Ok(user)
    }

    /// Two names that differ only in case would be one for people.
    fn unlike_others(&self, name: &str) -> Result<(), Refusal> {
        let (all, _) = self.store().users(Page { offset: 0, limit: 10_000 })?;
        match all.iter().find(|other| other.name.eq_ignore_ascii_case(name)) {
            Some(other) => Err(Refusal::Conflict(format!("`{name}` looks like the user `{}`", other.name))),
            None => Ok(()),
        }
    }

    /// Writes a user with what follows: rows of the audit log for each kind of change, and the end of old tokens.
    async fn put_user(
        &self,
        was: Option<User>,
        user: &User,
        new_password: bool,
        who: &Principal,
    ) -> Result<(), Refusal> {
        let name = &user.name;
        let (before, now) = (was.clone(), self.now());
        if before.as_ref().is_some_and(is_admin) && !is_admin(user) {
            self.others_manage(name)?;
        }
        let was_active = before.as_ref().is_none_or(|u| u.active);
        let mut batch = Batch::from(Op::SameUser { name: name.clone(), was: was.map(Box::new) });
        batch.push(Op::PutUser(Box::new(user.clone())));
        if before.is_some() && (new_password || (was_active && !user.active)) {
            batch.push(Op::DeleteTokensOf { user: name.clone() });
        }
        for (event, data) in changes(before.as_ref(), user, new_password) {
            batch.push(audit_row(event, who, data, now));
        }
        self.store().commit(batch).await?;
        if was_active && !user.active {
            self.withdraw_all_of(name).await?;
        }
        Ok(())
    }

    /// Refuses to lose the last one who may manage people.
    fn others_manage(&self, name: &str) -> Result<(), Refusal> {
        let (all, _) = self.store().users(Page { offset: 0, limit: 10_000 })?;
        if all.iter().any(|other| other.name != name && is_admin(other)) {
            return Ok(());
        }
        Err(Refusal::Conflict(format!("`{name}` is the last active administrator; make another one first")))
    }

    /// Gives a role; answers whether it is new.
    pub async fn grant_role(&self, name: &str, role: &str, who: &Principal) -> Result<bool, Refusal> {
        authorize(who, Wish::ManagePeople)?;
        let was = self.store().user(name)?.ok_or_else(|| no_user(name))?;
        if was.roles.iter().any(|known| known == role) {
            return Ok(false);
        }
        let roles = was.roles.iter().cloned().chain([role.to_owned()]).collect();
        let user = User { roles: names("role", roles)?, ..was.clone() };
        self.put_user(Some(was), &user, false, who).await?;
        Ok(true)
    }

    /// Takes a role; answers whether they had it.
    pub async fn revoke_role(&self, name: &str, role: &str, who: &Principal) -> Result<bool, Refusal> {
        authorize(who, Wish::ManagePeople)?;
        let was = self.store().user(name)?.ok_or_else(|| no_user(name))?;
        if !was.roles.iter().any(|known| known == role) {
            return Ok(false);
        }
        let roles = was.roles.iter().filter(|known| *known != role).cloned().collect();
        let user = User { roles, ..was.clone() };
        self.put_user(Some(was), &user, false, who).await?;
        Ok(true)
    }

    /// Deletes a user with tokens, keys, links and second factor.
    pub async fn delete_user(&self, name: &str, who: &Principal) -> Result<(), Refusal> {
        authorize(who, Wish::ManagePeople)?;
        let was = self.store().user(name)?.ok_or_else(|| no_user(name))?;
        if is_admin(&was) {
            self.others_manage(name)?;
        }
        let user = || name.to_owned();
        let mut batch = Batch::from(Op::SameUser { name: user(), was: Some(Box::new(was)) });
        batch.ops.extend([
            Op::DeleteTokensOf { user: user() },
            Op::DeleteApiKeysOf { user: user() },
            Op::UnlinkAll { user: user() },
            Op::DeleteFactor { user: user() },
            Op::DeleteUser { name: user() },
            audit_row("user_deleted", who, Value::from_pairs([("user", name)]), self.now()),
        ]);
        self.store().commit(batch).await?;
        self.withdraw_all_of(name).await
    }

    /// Changes one's own password; the old one must have been checked.
    pub async fn change_own_password(&self, hash: Secret<String>, who: &Principal) -> Result<(), Refusal> {
        authorize(who, Wish::Credentials { owner: &who.user })?;
        let was = self.store().user(&who.user)?.ok_or_else(|| no_user(&who.user))?;
        let user = User { password: Some(hash), ..was.clone() };
        self.put_user(Some(was), &user, true, who).await
    }

    /// Everything that waits at the wish of somebody who is gone is withdrawn. What a crash leaves over is void at its
    /// release, because that looks at the requester again.
    async fn withdraw_all_of(&self, name: &str) -> Result<(), Refusal> {
        let requester = PersonId::user(name);
        let filter = ConfirmationFilter {
            state: Some("open".into()),
            requester: Some(requester.as_str().to_owned()),
            ..ConfirmationFilter::default()
        };
        let (open, _) = self.store().confirmations(&filter, Page { offset: 0, limit: 1_000 })?;
        for row in open {
            let event = Box::new(Event::Cancel { by: String::new(), cause: Cause::RequesterGone });
            let answer = self.insist(row.root, Input::Confirm { id: row.id.clone(), event, inbox: None }).await;
            tracing::info!(confirmation = row.id, ?answer, "withdrawn, because its requester is gone");
        }
        Ok(())
    }
}

fn no_user(name: &str) -> Refusal {
    Refusal::Unknown(format!("there is no user `{name}`"))
}

/// A name for people: short, on one line.
fn shown(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.chars().count() > 64 || text.chars().any(char::is_control) {
        return Err(Refusal::Invalid("a shown name has at most 64 characters, on one line".into()));
    }
    Ok(text.to_owned())
}

/// What a change is, as rows of the audit log.
fn changes(was: Option<&User>, user: &User, new_password: bool) -> Vec<(&'static str, Value)> {
    let name = || ("user", Value::from(user.name.as_str()));
    let list = |names: &[String]| Value::from(names.iter().map(|n| Value::from(n.as_str())).collect::<Vec<_>>());
    let Some(was) = was else {
        let roles = list(&user.roles);
        return vec![("user_created", Value::from_pairs([name(), ("roles", roles), ("groups", list(&user.groups))]))];
    };
    let mut all = Vec::new();
    let mut each = |event, has: &[String], had: &[String], key: &'static str| {
        for one in has.iter().filter(|one| !had.contains(one)) {
            all.push((event, Value::from_pairs([name(), (key, one.as_str().into())])));
        }
    };
    each("role_granted", &user.roles, &was.roles, "role");
    each("role_revoked", &was.roles, &user.roles, "role");
    each("group_joined", &user.groups, &was.groups, "group");
    each("group_left", &was.groups, &user.groups, "group");
    if user.active != was.active {
        let event = if user.active { "user_activated" } else { "user_deactivated" };
        all.push((event, Value::from_pairs([name()])));
    }
    if new_password {
        all.push(("password_changed", Value::from_pairs([name()])));
    }
    if user.shown != was.shown {
        all.push(("user_renamed", Value::from_pairs([name(), ("shown", user.shown.clone().into())])));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::Timestamp;

    #[test]
    fn names_of_people_are_plain() {
        for name in ["ann", "ann.b", "ops-1", "a@b.example"] {
            assert!(check_user_name(name).is_ok(), "{name}");
        }
        for name in ["", "a:b", "Stanley", "root", "a b", "ａnn", "a\u{0}", &"x".repeat(65)] {
            assert!(check_user_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_change_has_its_row() {
        let was = User { roles: vec!["operator".into(), "sre".into()], ..User::new("ann", Timestamp::default()) };
        let user = User {
            roles: vec!["dba".into(), "operator".into()],
            groups: vec!["night".into()],
            active: false,
            ..was.clone()
        };
        let events: Vec<_> = changes(Some(&was), &user, true).into_iter().map(|(event, _)| event).collect();
        assert_eq!(events, ["role_granted", "role_revoked", "group_joined", "user_deactivated", "password_changed"]);
        assert_eq!(changes(None, &user, true)[0].0, "user_created");
    }
}
