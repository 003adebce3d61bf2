//! `squall user`, `squall role`, `squall link`: who there is, what they may, who they are in chat, what proves it.

use crate::client::{Client, Target, escaped};
use crate::exit::{Done, Stop};
use crate::output::{Form, cell, properties, say, table};
use clap::{Args, Subcommand};
use squall_model::{Map, Value};
use std::io::{BufRead, IsTerminal, Write};

/// What a user is given.
#[derive(Args)]
pub struct Given {
    /// One of `guest`, `observer`, `operator`, `admin`: what they may do.
    #[arg(long)]
    role: Option<String>,
    /// Further roles, for rules of confirmation (`sre`); separated by commas.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,
    /// Groups; separated by commas.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// The name that people read.
    #[arg(long)]
    shown: Option<String>,
    /// A password of at least eight characters; `-` reads it from standard input.
    #[arg(long)]
    password: Option<String>,
}

#[derive(Subcommand)]
pub enum User {
    /// List the users.
    List {
        /// With this role.
        #[arg(long)]
        role: Option<String>,
    },
    /// Show a user with links and second factor.
    Show {
        /// The name.
        name: String,
    },
    /// Make a user.
    Create {
        /// The name.
        name: String,
        #[command(flatten)]
        given: Given,
    },
    /// Make or change a user; what is not given stays.
    Set {
        /// The name.
        name: String,
        #[command(flatten)]
        given: Given,
        /// Whether they may log in.
        #[arg(long)]
        active: Option<bool>,
    },
    /// Delete users with their tokens, keys, links and second factors.
    Delete {
        /// The names.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Let users log in again.
    Activate {
        /// The names.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Shut users out: their tokens end, what they asked for and still waits is withdrawn.
    Deactivate {
        /// The names.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Set a password, read from standard input.
    Password {
        /// The name.
        name: String,
    },
    /// The second factor of whoever this command speaks for.
    #[command(subcommand)]
    Factor(Factor),
}

#[derive(Subcommand)]
pub enum Factor {
    /// Make one: the secret is shown once.
    Enrol {
        /// A code of the present one, when there is one.
        #[arg(long)]
        code: Option<String>,
    },
    /// Give the first code: from now on it counts.
    Confirm {
        /// Six digits.
        code: String,
    },
    /// Remove one: your own with a code, another's as an administrator.
    Remove {
        /// Whose; your own otherwise.
        name: Option<String>,
        /// A code of it.
        #[arg(long)]
        code: Option<String>,
    },
}

#[derive(Subcommand)]
pub enum Role {
    /// List the roles with their members.
    List,
    /// Give a role.
    Grant {
        /// The role: one of the four, or any name that rules of confirmation use.
        role: String,
        /// To whom.
        user: String,
    },
    /// Take a role.
    Revoke {
        /// The role.
        role: String,
        /// From whom.
        user: String,
    },
}

/// Say who somebody on a chat network is.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Link {
    #[command(subcommand)]
    what: Option<Links>,
    /// Who in chat: `network:id` or `network:workspace:id`, e.g. `terminal:alice`; or the code that `!link` gave you.
    identity: Option<String>,
    /// The squall user.
    user: Option<String>,
}

#[derive(Subcommand)]
enum Links {
    /// List who is linked.
    List,
    /// Say that somebody in chat is nobody any more.
    #[command(visible_alias = "unlink")]
    Remove {
        /// `network:id` or `network:workspace:id`.
        identity: String,
    },
}

impl Given {
    fn fields(&self) -> Result<Map, Stop> {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.into(), value);
            }
        };
        let list = |names: &[String]| {
            let given = names.iter().map(|n| Value::from(n.as_str())).collect::<Vec<_>>();
            (!given.is_empty()).then(|| Value::from(given))
        };
        set("role", self.role.as_deref().map(Value::from));
        set("roles", list(&self.roles));
        set("groups", list(&self.groups));
        set("shown", self.shown.as_deref().map(Value::from));
        let password = match self.password.as_deref() {
            Some("-") => Some(read_secret("password")?),
            other => other.map(str::to_owned),
        };
        set("password", password.map(Value::from));
        Ok(body)
    }
}

/// One line of standard input.
fn read_secret(what: &str) -> Result<String, Stop> {
    if std::io::stdin().is_terminal() {
        eprint!("{what}: ");
        std::io::stderr().flush()?;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let line = line.trim_end_matches(['\n', '\r']).to_owned();
    if line.is_empty() { Err(Stop::Usage(format!("no {what} on standard input"))) } else { Ok(line) }
}

fn path(name: &str) -> String {
    format!("squall/users/{}", escaped(name))
}

impl User {
    pub fn run(&self, client: &Client, target: &Target, form: Form) -> Done {
        match self {
            User::List { role } => list(client, role.as_deref(), form),
            User::Show { name } => {
                let user = client.get(&path(name))?;
                form.print(&user, || {
                    let at = |key: &str| user.get(key).cloned().unwrap_or_default();
                    let fields = ["name", "shown", "roles", "groups", "active", "factor", "links", "created"];
                    properties(&fields.map(|field| (field, at(field))))
                });
                Ok(())
            }
            User::Create { name, given } => {
                let mut body = given.fields()?;
                body.insert("name".into(), name.as_str().into());
                let user = client.post("squall/users", &body.into())?;
                form.print(&user, || format!("user `{name}` is made"));
                Ok(())
            }
            User::Set { name, given, active } => {
                let mut body = given.fields()?;
                if let Some(active) = active {
                    body.insert("active".into(), (*active).into());
                }
                let user = client.put(&path(name), &body.into())?;
                form.print(&user, || format!("user `{name}` is stored"));
                Ok(())
            }
            User::Delete { names } => each(names, form, "is deleted", |name| client.delete(&path(name))),
            User::Activate { names } => activate(client, names, true, form),
            User::Deactivate { names } => activate(client, names, false, form),
            User::Password { name } => {
                let password = read_secret("new password")?;
                let body = Value::from_pairs([("password", password.as_str())]);
                let told = client.post(&format!("{}/password", path(name)), &body)?;
                target.keep_credential(name, &password)?;
                form.print(&told, || format!("the password of `{name}` is set, and their tokens ended"));
                Ok(())
            }
            User::Factor(factor) => factor.run(client, form),
        }
    }
}

fn list(client: &Client, role: Option<&str>, form: Form) -> Done {
    let filter = role.map_or_else(String::new, |role| format!("&role={}", escaped(role)));
    let users = client.get(&format!("squall/users?limit=-1{filter}"))?;
    form.print(&users, || {
        let rows: Vec<Value> =
            users.as_list().unwrap_or_default().iter().map(|u| joined(u, &["roles", "groups"])).collect();
        let columns =
            [("name", "name"), ("shown", "shown"), ("roles", "roles"), ("groups", "groups"), ("active", "active")];
        table(&columns, &rows)
    });
    Ok(())
}

/// A row whose lists are texts, for a table.
fn joined(row: &Value, fields: &[&str]) -> Value {
    let mut map = row.as_map().cloned().unwrap_or_default();
    for field in fields {
        let items = row.get(field).and_then(Value::as_list).unwrap_or_default();
        let text = items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
        map.insert((*field).into(), text.into());
    }
    map.into()
}

fn activate(client: &Client, names: &[String], active: bool, form: Form) -> Done {
    let body = Value::from_pairs([("active", active)]);
    let done = if active { "may log in" } else { "is shut out" };
    each(names, form, done, |name| {
        // Nobody is made by being activated.
        client.get(&path(name))?;
        client.put(&path(name), &body)
    })
}

/// Does something to each; one failure does not keep the others from it.
fn each(names: &[String], form: Form, done: &str, run: impl Fn(&str) -> Result<Value, Stop>) -> Done {
    let mut results = Vec::new();
    let mut failed = false;
    for name in names {
        match run(name) {
            Ok(_) => results.push(Value::from_pairs([("name", Value::from(name.as_str())), ("done", true.into())])),
            Err(stop) => {
                eprintln!("{name}: {stop}");
                failed = true;
            }
        }
    }
    let all = Value::from(results);
    form.print(&all, || {
        let names = all.as_list().unwrap_or_default().iter().map(|r| format!("{} {done}\n", cell(r, "name")));
        names.collect()
    });
    if failed { Err(Stop::Said) } else { Ok(()) }
}

impl Factor {
    fn run(&self, client: &Client, form: Form) -> Done {
        let with_code = |code: &Option<String>| -> Map {
            code.iter().map(|code| ("code".into(), Value::from(code.as_str()))).collect()
        };
        match self {
            Factor::Enrol { code } => {
                let made = client.post("squall/factor", &with_code(code).into())?;
                form.print(&made, || {
                    format!(
                        "secret of `{}`, shown this once: {}\n{}\nGive its first code: squall user factor confirm DIGITS",
                        cell(&made, "user"),
                        cell(&made, "secret"),
                        cell(&made, "uri")
                    )
                });
            }
            Factor::Confirm { code } => {
                let told = client.put("squall/factor", &Value::from_pairs([("code", code.as_str())]))?;
                form.print(&told, || format!("the second factor of `{}` counts from now on", cell(&told, "user")));
            }
            Factor::Remove { name, code } => {
                let mut body = with_code(code);
                if let Some(name) = name {
                    body.insert("user".into(), name.as_str().into());
                }
                let told = client.post("squall/factor/removal", &body.into())?;
                form.print(&told, || "the second factor is removed".into());
            }
        }
        Ok(())
    }
}

impl Role {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let of = |role: &str, user: &str| format!("{}/roles/{}", path(user), escaped(role));
        match self {
            Role::List => {
                let roles = client.get("squall/roles")?;
                form.print(&roles, || {
                    let rows: Vec<Value> =
                        roles.as_list().unwrap_or_default().iter().map(|r| joined(r, &["members"])).collect();
                    table(&[("role", "name"), ("built in", "built_in"), ("members", "members")], &rows)
                });
            }
            Role::Grant { role, user } => {
                let told = client.put(&of(role, user), &Value::map())?;
                form.print(&told, || match cell(&told, "changed").as_str() {
                    "true" => format!("`{user}` has the role `{role}` now"),
                    _ => format!("`{user}` had the role `{role}` already"),
                });
            }
            Role::Revoke { role, user } => {
                let told = client.delete(&of(role, user))?;
                form.print(&told, || match cell(&told, "changed").as_str() {
                    "true" => format!("`{user}` has the role `{role}` no more"),
                    _ => format!("`{user}` did not have the role `{role}`"),
                });
            }
        }
        Ok(())
    }
}

/// `network:id` or `network:workspace:id`.
struct Identity<'a> {
    network: &'a str,
    workspace: Option<&'a str>,
    user_id: &'a str,
}

fn identity(text: &str) -> Result<Identity<'_>, Stop> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [network, user_id] => Ok(Identity { network, workspace: None, user_id }),
        [network, workspace, user_id] => Ok(Identity { network, workspace: Some(workspace), user_id }),
        _ => Err(Stop::Usage(format!("`{text}` must be network:id or network:workspace:id, e.g. terminal:alice"))),
    }
}

impl Link {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        match (&self.what, &self.identity, &self.user) {
            (Some(Links::List), _, _) | (None, None, _) => links(client, form),
            (Some(Links::Remove { identity: text }), _, _) => {
                let who = identity(text)?;
                let workspace = who.workspace.map_or_else(String::new, |w| format!("&workspace={}", escaped(w)));
                let (network, user_id) = (escaped(who.network), escaped(who.user_id));
                let told = client.delete(&format!("squall/links?network={network}&user_id={user_id}{workspace}"))?;
                form.print(&told, || format!("{text} is `{}` no more", cell(&told, "user")));
                Ok(())
            }
            (None, Some(text), Some(user)) => {
                let who = identity(text)?;
                let mut body = Map::new();
                body.insert("network".into(), who.network.into());
                body.insert("workspace".into(), who.workspace.into());
                body.insert("user_id".into(), who.user_id.into());
                body.insert("user".into(), user.as_str().into());
                let told = client.put("squall/links", &body.into())?;
                form.print(&told, || format!("{text} is `{user}` from now on"));
                Ok(())
            }
            (None, Some(code), None) => {
                let told = client.post("squall/links", &Value::from_pairs([("code", code.as_str())]))?;
                let (network, id) = (cell(&told, "network"), cell(&told, "user_id"));
                form.print(&told, || format!("{network}:{id} is `{}` from now on", cell(&told, "user")));
                Ok(())
            }
        }
    }
}

fn links(client: &Client, form: Form) -> Done {
    let found = client.get("squall/links?limit=-1")?;
    let rows = found.as_list().unwrap_or_default();
    if rows.is_empty() && !form.json && !form.yaml {
        say("nobody in chat is linked to a user");
        return Ok(());
    }
    form.print(&found, || {
        let columns = [
            ("network", "network"),
            ("workspace", "workspace"),
            ("id", "user_id"),
            ("user", "user"),
            ("since", "linked"),
            ("by", "how"),
        ];
        table(&columns, rows)
    });
    Ok(())
}
