//! Who asks, and what they may do.
//!
//! `api` and `chat` only find out who it is and hand over a [`Principal`]; every entry of the engine passes
//! [`authorize`], the one function that decides. Display names never authorise: in chat a person is the triple of
//! network, workspace and stable id.
//!
//! Every change about people is one commit with its row of the audit log.
//!
//! - `passwords`, `tokens`, `keys`: what proves who somebody is.
//! - `accounts`, `links`, `factor`: users, who they are on chat networks, second factors.
//! - `log`: the rows of the audit log, and who may read them.
//!
//! Start reading at [`authorize`].

mod accounts;
mod factor;
mod keys;
mod links;
mod log;
mod passwords;
mod tokens;

pub use accounts::{Account, Make, UserChange};
pub use factor::{Enrolled, NotProved, shown_by_authenticator};
pub(crate) use factor::{Wrong as WrongFactors, assurance_by_factor};
pub use keys::{NewKey, key_hash};
pub(crate) use links::{LinkCodes, identities_of, linked_user};
pub use log::AuditQuery;
pub(crate) use log::row as audit_row;
pub use passwords::{hash_password, random_password, verify_password};
pub use tokens::{Minted, token_sha};

use crate::confirmation::people::{Identity, PersonId};
use crate::refusal::Refusal;
use squall_content::Action;
use squall_model::{ExecutionId, Value};
use squall_store::User;

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
    /// By a message on a chat network.
    Chat(Identity),
    /// With a token of an agent: a program that acts for its owner, under this name. It never answers a confirmation.
    Agent(String),
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

    /// The human that this is, or acts for.
    pub fn person(&self) -> PersonId {
        match &self.via {
            Via::Chat(identity) if self.user == CHAT_USER => PersonId::unlinked(identity),
            _ => PersonId::user(&self.user),
        }
    }

    /// Whether it is a program that acts for somebody: it has their rights, but never speaks or answers as them.
    pub fn is_program(&self) -> bool {
        matches!(self.via, Via::Execution(_) | Via::Agent(_))
    }
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub enum Wish<'a> {
    /// Run an action.
    Run(&'a Action),
    /// Give the processes of an action variables of their environment.
    Environment(&'a Action),
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
    /// Read the audit log.
    ReadAudit,
    /// Have an open confirmation asked anew under the rules of now.
    Reevaluate,
    /// Change what proves that somebody is this user: tokens, keys, second factor, linked identities.
    Credentials {
        /// Whose.
        owner: &'a str,
    },
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
        // Shells and loaders run code that variables name.
        Wish::Environment(_) => Role::Admin,
        Wish::Steer { requester } if requester == who.user => Role::Operator,
        Wish::Steer { .. } => Role::Admin,
        Wish::ReadSystemItem => Role::Observer,
        Wish::WriteSystemItem => Role::Operator,
        Wish::DecryptSystemItem => Role::Admin,
        Wish::UserItem { owner } if owner == who.user => Role::Observer,
        Wish::UserItem { .. } => Role::Admin,
        Wish::Credentials { owner } if owner == who.user => Role::Guest,
        Wish::ManagePacks | Wish::ManagePeople | Wish::Impersonate => Role::Admin,
        Wish::ReadAudit | Wish::Reevaluate | Wish::Credentials { .. } => Role::Admin,
    };
    let internal = who.via == Via::Internal;
    // The token of a run or of an agent works with the rights of its user, but never manages people, speaks for others, has
    // less asked or makes another proof of who it is: that one would not be bound any more.
    let own = matches!(wish, Wish::ManagePeople | Wish::Impersonate | Wish::Reevaluate | Wish::Credentials { .. });
    let bound = who.is_program() && own;
    if bound {
        let text = format!("a program that acts for `{}` may not {}: a person must do it", who.user, describe(wish));
        return Err(Refusal::NotAllowed(text));
    }
    if internal || who.role >= needed {
        return Ok(());
    }
    Err(Refusal::Forbidden { who: who.user.clone(), what: describe(wish), needed: needed.as_str() })
}

fn describe(wish: Wish<'_>) -> String {
    match wish {
        Wish::View => "look at this".into(),
        Wish::Run(action) => format!("run `{}`", action.reference),
        Wish::Environment(action) => {
            format!("give `{}` an environment by its runner's parameter `env`", action.reference)
        }
        Wish::Steer { requester } => format!("change an execution of `{requester}`"),
        Wish::ReadSystemItem => "read system datastore items".into(),
        Wish::DecryptSystemItem => "read secret datastore items in clear".into(),
        Wish::WriteSystemItem => "write system datastore items".into(),
        Wish::UserItem { owner } => format!("use datastore items of `{owner}`"),
        Wish::ManagePacks => "install or load packs".into(),
        Wish::ManagePeople => "manage users and tokens".into(),
        Wish::Impersonate => "act for somebody else".into(),
        Wish::ReadAudit => "read the audit log".into(),
        Wish::Reevaluate => "have a confirmation asked anew".into(),
        Wish::Credentials { owner } => format!("change tokens, keys, links or the second factor of `{owner}`"),
    }
}

/// Actions that give their caller a shell, or put code on this machine.
fn is_shell_strength(action: &Action) -> bool {
    let runner = action.runner.name;
    let free_command = matches!(runner, "local-shell-cmd" | "remote-shell-cmd")
        && !action.parameters.get("cmd").is_some_and(|p| p.get("immutable").is_some_and(Value::is_truthy));
    free_command || (&*action.reference.pack == "packs" && action.is_builtin)
}

/// The user that the first start makes.
pub const ADMIN: &str = "admin";

/// Whether a name is that of somebody with a record: the engine itself and people in chat without an account run things
/// under names that have none.
pub(crate) fn has_account(name: &str) -> bool {
    name != CHAT_USER && name != SYSTEM_USER
}

/// The strongest of a user's roles; none means guest.
pub(crate) fn role_of(user: &User) -> Role {
    user.roles.iter().filter_map(|r| Role::parse(r)).max().unwrap_or(Role::Guest)
}
