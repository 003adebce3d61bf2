//! `squall key`: the datastore.

use crate::client::{Client, escaped};
use crate::exit::{Done, Stop};
use crate::output::{Form, cell, say, table};
use clap::Subcommand;
use squall_model::{Map, Value};

#[derive(Subcommand)]
pub enum Key {
    /// List items.
    List {
        /// Only keys that begin with this.
        #[arg(long)]
        prefix: Option<String>,
        /// `system`, `user` or `all`.
        #[arg(long, default_value = "system")]
        scope: String,
        /// Show secrets in clear.
        #[arg(long)]
        decrypt: bool,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: u32,
    },
    /// Print the value of an item.
    Get {
        /// Its key.
        name: String,
        /// `system` or `user`.
        #[arg(long, default_value = "system")]
        scope: String,
        /// Show a secret in clear.
        #[arg(long)]
        decrypt: bool,
    },
    /// Write an item.
    Set {
        /// Its key.
        name: String,
        /// Its value.
        value: String,
        /// `system` or `user`.
        #[arg(long, default_value = "system")]
        scope: String,
        /// Forget it after so many seconds.
        #[arg(long, short = 'l', value_name = "SECONDS")]
        ttl: Option<u64>,
        /// Encrypt it.
        #[arg(long, short = 'e', visible_alias = "encrypt")]
        secret: bool,
    },
    /// Delete items.
    Delete {
        /// Their keys.
        #[arg(required = true)]
        names: Vec<String>,
        /// `system` or `user`.
        #[arg(long, default_value = "system")]
        scope: String,
    },
}

impl Key {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        match self {
            Key::List { prefix, scope, decrypt, limit } => {
                let mut path = format!("keys?scope={}&limit={limit}", escaped(scope));
                if let Some(prefix) = prefix {
                    path.push_str(&format!("&prefix={}", escaped(prefix)));
                }
                if *decrypt {
                    path.push_str("&decrypt=true");
                }
                let items = client.get(&path)?;
                form.print(&items, || {
                    let columns = [
                        ("name", "name"),
                        ("value", "value"),
                        ("expires (UTC)", "expire_timestamp"),
                        ("scope", "scope"),
                        ("user", "user"),
                        ("secret", "secret"),
                    ];
                    table(&columns, items.as_list().unwrap_or_default())
                });
            }
            Key::Get { name, scope, decrypt } => {
                let path = format!("keys/{}?scope={}&decrypt={decrypt}", escaped(name), escaped(scope));
                let item = client.get(&path)?;
                form.print(&item, || cell(&item, "value"));
            }
            Key::Set { name, value, scope, ttl, secret } => {
                let mut body = Map::new();
                body.insert("name".into(), name.as_str().into());
                body.insert("value".into(), value.as_str().into());
                body.insert("scope".into(), scope.as_str().into());
                body.insert("secret".into(), (*secret).into());
                if let Some(ttl) = ttl {
                    body.insert("ttl".into(), Value::from(*ttl));
                }
                let item = client.put(&format!("keys/{}", escaped(name)), &body.into())?;
                form.print(&item, || format!("{name} is set"));
            }
            Key::Delete { names, scope } => {
                let mut failed = false;
                for name in names {
                    match client.delete(&format!("keys/{}?scope={}", escaped(name), escaped(scope))) {
                        Ok(_) => say(&format!("{name} is deleted")),
                        Err(stop) => {
                            eprintln!("{name}: {stop}");
                            failed = true;
                        }
                    }
                }
                if failed {
                    return Err(Stop::Said);
                }
            }
        }
        Ok(())
    }
}
