//! The rows about people: who they are elsewhere, what proves that it is them, and what they have to look at again.

use squall_model::{Secret, Timestamp, Value};

/// A person or service that may log in.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The name.
    pub name: String,
    /// Argon2id in PHC text form; none for those who log in otherwise.
    pub password: Option<Secret<String>>,
    /// Role names.
    pub roles: Vec<String>,
    /// Group names.
    pub groups: Vec<String>,
    /// How people read them; none when it is the name.
    pub shown: Option<String>,
    /// Whether it may log in.
    pub active: bool,
    /// When it was made.
    pub created: Timestamp,
}

impl User {
    /// A user without password, roles and groups.
    pub fn new(name: impl Into<String>, created: Timestamp) -> User {
        User {
            name: name.into(),
            password: None,
            roles: Vec::new(),
            groups: Vec::new(),
            shown: None,
            active: true,
            created,
        }
    }
}

/// Somebody on a chat network who is a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Linked {
    /// The network.
    pub network: String,
    /// The workspace, where a network has several; empty otherwise.
    pub workspace: String,
    /// The stable id there.
    pub user_id: String,
    /// Whose it is.
    pub user: String,
    /// Since when.
    pub linked: Timestamp,
    /// How that is known: a word that the store never reads.
    pub how: String,
}

/// The second factor of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Whose.
    pub user: String,
    /// What codes are made of, encrypted by the caller.
    pub secret: String,
    /// Whether it counts: false until a first code was right.
    pub active: bool,
    /// When it was made.
    pub created: Timestamp,
    /// The last time step of which a code was taken.
    pub step: u64,
    /// What the last code was given for, and when.
    pub proof: Option<(String, Timestamp)>,
}

/// A key of the API: does not expire, can be switched off. Only its hash is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Its id.
    pub id: String,
    /// The hash of its text.
    pub hash: String,
    /// Whose.
    pub user: String,
    /// Whether it works.
    pub enabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Free data.
    pub metadata: Value,
}
