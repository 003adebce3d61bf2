//! `squall confirm`, `squall deny`, `squall confirmations`: answers, and what waits for them.

use crate::client::{Client, escaped};
use crate::exit::Done;
use crate::output::{Form, cell, say, table};
use clap::{Args, Subcommand};
use squall_model::{Map, Value};

/// Say yes to what waits under a code.
#[derive(Args)]
pub struct Confirm {
    /// The code, e.g. K7Q-4M9.
    code: String,
    /// The phrase to type where one is asked for, or a note.
    rest: Vec<String>,
    /// Run it without the others, where the rule allows that to you; needs a reason of 15 characters or more.
    #[arg(long)]
    break_glass: bool,
    /// Take your own yes back.
    #[arg(long, conflicts_with = "break_glass")]
    undo: bool,
    /// Why.
    #[arg(long, short)]
    message: Option<String>,
}

/// Say no to what waits under a code, or withdraw what you asked for.
#[derive(Args)]
pub struct Deny {
    /// The code.
    code: String,
    /// Why.
    #[arg(long, short)]
    message: Option<String>,
}

/// What waits for people.
#[derive(Args)]
pub struct Confirmations {
    #[command(subcommand)]
    what: Option<Which>,
    /// Those that are finished as well.
    #[arg(long)]
    all: bool,
}

#[derive(Subcommand)]
enum Which {
    /// Show one as people are asked it.
    Show {
        /// Its code or id.
        which: String,
    },
}

impl Confirm {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let word = match (self.break_glass, self.undo) {
            (true, _) => "breakglass",
            (false, true) => "unconfirm",
            (false, false) => "grant",
        };
        let rest = self.message.clone().or_else(|| (!self.rest.is_empty()).then(|| self.rest.join(" ")));
        answer(client, &self.code, word, rest, form)
    }
}

impl Deny {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        answer(client, &self.code, "deny", self.message.clone(), form)
    }
}

/// Answers with the digest of what is shown now, so that nothing else than that is agreed to.
fn answer(client: &Client, which: &str, word: &str, rest: Option<String>, form: Form) -> Done {
    let record = client.get(&format!("confirmations/{}", escaped(which)))?;
    let mut body = Map::new();
    body.insert("digest".into(), cell(&record, "digest").into());
    if let Some(rest) = rest {
        body.insert("note".into(), rest.into());
    }
    let id = cell(&record, "id");
    let answered = client.post(&format!("confirmations/{}/{word}", escaped(&id)), &body.into())?;
    form.print(&answered, || cell(&answered, "told"));
    Ok(())
}

impl Confirmations {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        if let Some(Which::Show { which }) = &self.what {
            let record = client.get(&format!("confirmations/{}", escaped(which)))?;
            form.print(&record, || cell(&record, "question"));
            return Ok(());
        }
        let state = if self.all { "" } else { "?state=open" };
        let found = client.get(&format!("confirmations{state}"))?;
        let rows = found.as_list().unwrap_or_default();
        if rows.is_empty() && !form.json && !form.yaml {
            say("nothing waits for an answer");
            return Ok(());
        }
        form.print(&found, || {
            let columns = [
                ("code", "code"),
                ("state", "state"),
                ("asked by", "requester"),
                ("action", "action"),
                ("needs", "need"),
                ("until (UTC)", "expires_at"),
            ];
            table(&columns, rows)
        });
        Ok(())
    }
}

/// Say that somebody on a chat network is a squall user.
#[derive(Args)]
pub struct Link {
    /// The network and the stable id there: `terminal:alice`.
    identity: String,
    /// The squall user.
    user: String,
}

impl Link {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let (network, user_id) = self.identity.split_once(':').ok_or_else(|| {
            crate::exit::Stop::Usage(format!("`{}` must be network:id, e.g. terminal:alice", self.identity))
        })?;
        let body = Value::from_pairs([("network", network), ("user_id", user_id), ("user", self.user.as_str())]);
        let linked = client.put("squall/links", &body)?;
        form.print(&linked, || format!("{} is `{}` from now on", self.identity, self.user));
        Ok(())
    }
}

#[derive(Subcommand)]
pub enum User {
    /// Make or change a user.
    Set {
        /// The name.
        name: String,
        /// `guest`, `observer`, `operator` or `admin`.
        #[arg(long)]
        role: Option<String>,
        /// A password of at least eight characters.
        #[arg(long)]
        password: Option<String>,
        /// Whether they may log in.
        #[arg(long)]
        active: Option<bool>,
    },
}

impl User {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let User::Set { name, role, password, active } = self;
        let mut body = Map::new();
        if let Some(role) = role {
            body.insert("role".into(), role.as_str().into());
        }
        if let Some(password) = password {
            body.insert("password".into(), password.as_str().into());
        }
        if let Some(active) = active {
            body.insert("active".into(), (*active).into());
        }
        let user = client.put(&format!("squall/users/{}", escaped(name)), &body.into())?;
        form.print(&user, || format!("user `{name}` is stored"));
        Ok(())
    }
}
