//! Who asks, and what they may do.
//!
//! `api` and `chat` only find out who it is and hand over a [`Principal`]; every entry of the engine passes
//! [`authorize`], the one function that decides. Display names never authorise: in chat a person is the pair
//! of network and stable id.

use crate::Engine;
use crate::refusal::Refusal;
use squall_content::Action;
use squall_model::{ExecutionId, Ids, Secret, Timestamp, Value};
use squall_store::{Batch, Op, Token, User};
use std::time::Duration;

/// What a principal may do, from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees the help.
    Guest,
    /// Sees everything that holds no secret.
    Observer,
    /// Runs actions and answers, except those that are as strong as a shell on this machine.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Its name in files and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Guest => "guest",
            Role::Observer => "observer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Role> {
        [Role::Guest, Role::Observer, Role::Operator, Role::Admin].into_iter().find(|r| r.as_str() == text)
    }
}

/// How somebody came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// With a token or password of a squall user.
    Token,
    /// Through the owner-only socket of the data directory.
    Socket,
    /// By a message on a chat network, with the stable id there.
    Chat {
        /// The network.
        network: String,
        /// The stable id of the person on it.
        user_id: String,
    },
    /// With the token of a running execution.
    Execution(ExecutionId),
    /// The engine itself: workflows for their tasks, rules, timers.
    Internal,
}

/// Somebody who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The squall user; for chat people without an account, the bot's.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// How they came in.
    pub via: Via,
}

/// The user under which commands from chat run when the person has no account of their own.
pub const CHAT_USER: &str = "chat";

/// The user of the engine itself (StackStorm's system user).
pub const SYSTEM_USER: &str = "stanley";

impl Principal {
    /// The engine itself.
    pub fn internal() -> Principal {
        Principal { user: SYSTEM_USER.into(), role: Role::Admin, via: Via::Internal }
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Wish<'a> {
    /// Run an action.
    Run(&'a Action),
    /// Look at executions, actions, aliases, packs.
    View,
    /// Pause, resume, cancel an execution that this user asked for.
    Steer {
        /// Who asked for it.
        requester: &'a str,
    },
    /// Read a datastore item of the system.
    ReadSystemItem,
    /// Read it in clear although it is secret.
    DecryptSystemItem,
    /// Write a datastore item of the system.
    WriteSystemItem,
    /// Read or write items of one user.
    UserItem {
        /// Whose.
        owner: &'a str,
    },
    /// Load, install or remove content.
    ManagePacks,
    /// Make users and tokens for others.
    ManagePeople,
    /// Act in the name of somebody else.
    Impersonate,
}

/// Whether `who` may do it. The only place that answers this question.
///
/// A shell on this machine is as strong as the server itself, so what hands its caller's text to one
/// needs [`Role::Admin`]; workflows may contain such actions, because whoever installed the pack decided so.
pub fn authorize(who: &Principal, wish: Wish<'_>) -> Result<(), Refusal> {
    let needed = match wish {
        Wish::View => Role::Observer,
        Wish::Run(action) if is_shell_strength(action) => Role::Admin,
        Wish::Run(_) => Role::Operator,
        Wish::Steer { requester } if requester == who.user => Role::Operator,
        Wish::Steer { .. } => Role::Admin,
        Wish::ReadSystemItem => Role::Observer,
        Wish::WriteSystemItem => Role::Operator,
        Wish::DecryptSystemItem => Role::Admin,
        Wish::UserItem { owner } if owner == who.user => Role::Observer,
        Wish::UserItem { .. } => Role::Admin,
        Wish::ManagePacks | Wish::ManagePeople | Wish::Impersonate => Role::Admin,
    };
    let internal = who.via == Via::Internal;
    // A run's own token works with the rights of its user, but never manages people or speaks for others.
    let bound = matches!(who.via, Via::Execution(_)) && matches!(wish, Wish::ManagePeople | Wish::Impersonate);
    if internal || (who.role >= needed && !bound) {
        return Ok(());
    }
    Err(Refusal::Forbidden { who: who.user.clone(), what: describe(wish), needed: needed.as_str() })
}

fn describe(wish: Wish<'_>) -> String {
    match wish {
        Wish::View => "look at this".into(),
        Wish::Run(action) => format!("run `{}`", action.reference),
        Wish::Steer { requester } => format!("change an execution of `{requester}`"),
        Wish::ReadSystemItem => "read system datastore items".into(),
        Wish::DecryptSystemItem => "read secret datastore items in clear".into(),
        Wish::WriteSystemItem => "write system datastore items".into(),
        Wish::UserItem { owner } => format!("use datastore items of `{owner}`"),
        Wish::ManagePacks => "install or load packs".into(),
        Wish::ManagePeople => "manage users and tokens".into(),
        Wish::Impersonate => "act for somebody else".into(),
    }
}

/// Actions that give their caller a shell, or put code on this machine.
fn is_shell_strength(action: &Action) -> bool {
    let runner = action.runner.name;
    let free_command = matches!(runner, "local-shell-cmd" | "remote-shell-cmd")
        && !action.parameters.get("cmd").is_some_and(|p| p.get("immutable").is_some_and(Value::is_truthy));
    free_command || (&*action.reference.pack == "packs" && action.is_builtin)
}

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

/// The user that the first start makes.
pub const ADMIN: &str = "admin";

/// A password of 20 characters without look-alikes: about 100 bits.
pub fn random_password(ids: &dyn Ids) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
    let mut raw = [0u8; 20];
    ids.fill(&mut raw);
    raw.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect()
}

/// Argon2id with the parameters of the hardening rules (19 MiB, two passes).
fn argon() -> argon2::Argon2<'static> {
    argon2::Argon2::default()
}

/// Hashes a password. Takes tens of milliseconds: call it where blocking is fine.
pub fn hash_password(password: &str, ids: &dyn Ids) -> Result<String, Refusal> {
    use argon2::password_hash::PasswordHasher;
    let mut salt = [0u8; 16];
    ids.fill(&mut salt);
    argon()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|e| Refusal::Broken(format!("cannot hash a password: {e}")))
}

/// Whether `password` is the one that was hashed.
pub fn verify_password(password: &str, hash: &str) -> bool {
    use argon2::password_hash::PasswordVerifier;
    argon2::PasswordHash::new(hash).is_ok_and(|hash| argon().verify_password(password.as_bytes(), &hash).is_ok())
}

impl Engine {
    /// Makes the first user when there is none yet, with a random password that is answered once.
    pub async fn first_admin(&self) -> Result<Option<Secret<String>>, Refusal> {
        if self.store().user(ADMIN)?.is_some() {
            return Ok(None);
        }
        let password = random_password(self.ids());
        let user = User {
            name: ADMIN.into(),
            password: Some(Secret::new(hash_password(&password, self.ids())?)),
            roles: vec![Role::Admin.as_str().into()],
            active: true,
            created: self.now(),
        };
        self.store().commit(Batch::from(Op::PutUser(Box::new(user)))).await?;
        Ok(Some(Secret::new(password)))
    }

    /// Whether name and password belong together; costs the same for unknown names.
    pub fn check_password(&self, name: &str, password: &str) -> Result<Option<Principal>, Refusal> {
        const NOBODY: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let user = self.store().user(name)?;
        let hash = user.as_ref().and_then(|u| u.password.as_ref()).map_or(NOBODY, |h| h.expose("comparison"));
        let fits = verify_password(password, hash);
        Ok(user.filter(|u| fits && u.active).map(|u| Principal { role: role_of(&u), user: u.name, via: Via::Token }))
    }

    /// Makes a token of `user` that lives for `ttl`.
    pub async fn mint(
        &self,
        user: &str,
        ttl: Duration,
        execution: Option<ExecutionId>,
        data: Value,
    ) -> Result<Minted, Refusal> {
        let text = self.ids().hex(16);
        let now = self.now();
        let expires = now.after(ttl);
        let token = Token { sha: token_sha(&text), user: user.to_owned(), created: now, expires, execution, data };
        self.store().commit(Batch::from(Op::PutToken(Box::new(token)))).await?;
        Ok(Minted { text: Secret::new(text), expires })
    }

    /// Who a token belongs to; `None` when it is unknown, expired, or its user is gone.
    pub fn principal_of(&self, token: &str) -> Result<Option<Principal>, Refusal> {
        let Some(token) = self.store().token(&token_sha(token), self.now())? else { return Ok(None) };
        let via = token.execution.map_or(Via::Token, Via::Execution);
        if token.execution.is_some() && self.store().user(&token.user)?.is_none() {
            // Runs of chat people and of the engine itself have no user record; their tokens can do what an operator can.
            return Ok(Some(Principal { user: token.user, role: Role::Operator, via }));
        }
        let user = self.store().user(&token.user)?.filter(|u| u.active);
        Ok(user.map(|u| Principal { role: role_of(&u), user: u.name, via }))
    }

    /// Ends a token.
    pub async fn revoke(&self, token: &str) -> Result<(), Refusal> {
        Ok(self.store().commit(Batch::from(Op::DeleteToken { sha: token_sha(token) })).await?)
    }
}

/// The strongest of a user's roles; none means guest.
fn role_of(user: &User) -> Role {
    user.roles.iter().filter_map(|r| Role::parse(r)).max().unwrap_or(Role::Guest)
}
