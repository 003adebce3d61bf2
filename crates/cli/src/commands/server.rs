//! Small commands that speak to a running server: reload, token, limits.

use crate::client::Client;
use crate::exit::{Done, Stop};
use crate::output::{Form, say, table};
use clap::Args;
use squall_engine::limits;
use squall_model::Value;

/// Load all packs again.
#[derive(Args)]
pub struct Reload {}

impl Reload {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let loaded = client.post("squall/reload", &Value::map())?;
        form.print(&loaded, || summary(&loaded));
        if problems(&loaded, "error") == 0 { Ok(()) } else { Err(Stop::Said) }
    }
}

/// What was loaded, and what is wrong in which file.
pub fn summary(loaded: &Value) -> String {
    let count = |key: &str| loaded.at(&["counts", key]).and_then(Value::as_int).unwrap_or(0);
    let mut text = String::new();
    for problem in loaded.get("diagnostics").and_then(Value::as_list).unwrap_or_default() {
        if let Some(rendered) = problem.get("text").and_then(Value::as_str) {
            text.push_str(&format!("{rendered}\n"));
        }
    }
    text.push_str(&format!(
        "loaded {} packs, {} actions, {} aliases, {} rules; {} errors, {} warnings",
        count("packs"),
        count("actions"),
        count("aliases"),
        count("rules"),
        problems(loaded, "error"),
        problems(loaded, "warning")
    ));
    text
}

fn problems(loaded: &Value, severity: &str) -> usize {
    let all = loaded.get("diagnostics").and_then(Value::as_list).unwrap_or_default();
    all.iter().filter(|d| d.get("severity").and_then(Value::as_str) == Some(severity)).count()
}

/// Print a fresh token.
#[derive(Args)]
pub struct Token {
    /// For this user instead of yourself.
    #[arg(long)]
    user: Option<String>,
    /// Valid for so many seconds.
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,
    /// For a program of this name that acts for the user: it never answers confirmations and manages nobody.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

impl Token {
    pub fn run(&self, client: &Client) -> Done {
        let answer = client.token(self.user.as_deref(), self.ttl, self.agent.as_deref())?;
        let token = answer.get("token").and_then(Value::as_str);
        say(token.ok_or_else(|| Stop::Failed("the server gave no token".into()))?);
        Ok(())
    }
}

/// Print every bound that the server keeps.
#[derive(Args)]
pub struct Limits {}

impl Limits {
    pub fn run(&self, form: Form) -> Done {
        let row = |what: &str, bound: u64, beyond: &str, setting: Value| {
            let cells =
                [("what", what.into()), ("bound", bound.into()), ("beyond", beyond.into()), ("setting", setting)];
            Value::from_pairs::<&str, Value>(cells)
        };
        let fixed = limits::ALL.iter().map(|l| row(l.what, l.bound, l.beyond, Value::Null));
        let usual = squall_expr::Limits::usual();
        let settable = squall_expr::Limits::ALL.iter().map(|bound| {
            let setting = format!("squall up --limit {}=…", bound.name);
            let usual = usual.get(bound.name).unwrap_or_default();
            row(bound.counts, usual, "the evaluation fails with an error that names the bound", setting.into())
        });
        let rows: Vec<Value> = fixed.chain(settable).collect();
        form.print(&rows.clone().into(), || {
            table(&[("what", "what"), ("bound", "bound"), ("beyond it", "beyond"), ("set by", "setting")], &rows)
        });
        Ok(())
    }
}
