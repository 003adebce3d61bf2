//! `squall confirm`, `deny`, `withdraw`, `confirmations`: answers, what waits for them, and broken glasses.

use crate::client::{Client, escaped};
use crate::exit::{Done, Stop};
use crate::output::{Form, cell, say, shown, table};
use clap::{Args, Subcommand};
use squall_model::{Map, Value};

/// Say yes to what waits under a code.
#[derive(Args)]
pub struct Confirm {
    /// The code, e.g. K7Q-4M9.
    code: String,
    /// The phrase to type, where one is asked for.
    #[arg(long)]
    phrase: Option<String>,
    /// A note that is kept with the answer.
    #[arg(long, short, visible_alias = "message", short_alias = 'm')]
    note: Option<String>,
    /// A code of your second factor, where one is asked for.
    #[arg(long, value_name = "DIGITS")]
    factor: Option<String>,
    /// Run it without the others, where a rule allows that to you; needs a reason of 15 characters or more in `-m`.
    #[arg(long)]
    break_glass: bool,
    /// Take your own yes back.
    #[arg(long, conflicts_with_all = ["break_glass", "phrase", "note", "factor"])]
    undo: bool,
}

/// Say no to what waits under a code, or withdraw what you asked for.
#[derive(Args)]
pub struct Deny {
    /// The code.
    code: String,
    /// Why.
    #[arg(long, short, visible_alias = "reason")]
    message: Option<String>,
}

/// Take back what you asked for: it is not run.
#[derive(Args)]
pub struct Withdraw {
    /// The code.
    code: String,
}

/// What waits for people.
#[derive(Args)]
pub struct Confirmations {
    #[command(subcommand)]
    what: Option<Which>,
    /// Those that you asked for.
    #[arg(long)]
    mine: bool,
    /// Those that wait for your answer.
    #[arg(long)]
    answerable: bool,
    /// Those that are finished as well.
    #[arg(long)]
    all: bool,
    /// For this action.
    #[arg(long)]
    action: Option<String>,
}

#[derive(Subcommand)]
enum Which {
    /// Show one as people are asked it.
    Show {
        /// Its code or id.
        which: String,
    },
    /// Show what the audit log says about one.
    Audit {
        /// Its code or id.
        which: String,
    },
    /// End one and ask about the same anew under the rules of now, which may ask for less. For administrators.
    Reevaluate {
        /// Its code or id.
        which: String,
    },
    /// Show broken glasses that nobody has reviewed yet.
    Reviews {
        /// Those that are reviewed as well.
        #[arg(long)]
        all: bool,
    },
    /// Review a broken glass, as somebody who had no part in it.
    Review {
        /// Its code or id.
        which: String,
        /// What is to be said about it, e.g. "it was right: the site was down".
        #[arg(long, short)]
        message: String,
    },
}

/// The fields of an answer that were given.
fn body<const N: usize>(fields: [(&str, Option<&str>); N]) -> Map {
    let given = fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into())));
    given.chain([("via".into(), "cli".into())]).collect()
}

impl Confirm {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let (note, factor) = (self.note.as_deref(), self.factor.as_deref());
        if self.undo {
            return answer(client, &self.code, "unconfirm", body([]), false, form);
        }
        if self.break_glass {
            let reason = note.ok_or_else(|| Stop::Usage("--break-glass needs a reason: -m \"…\"".into()))?;
            let body = body([("reason", Some(reason)), ("factor", factor)]);
            return answer(client, &self.code, "breakglass", body, true, form);
        }
        let body = body([("phrase", self.phrase.as_deref()), ("note", note), ("factor", factor)]);
        answer(client, &self.code, "grant", body, true, form)
    }
}

impl Deny {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        answer(client, &self.code, "deny", body([("reason", self.message.as_deref())]), false, form)
    }
}

impl Withdraw {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        answer(client, &self.code, "withdraw", body([]), false, form)
    }
}

/// Answers. A yes carries the digest of what is shown now, so that nothing else than that is agreed to.
fn answer(client: &Client, which: &str, word: &str, mut body: Map, with_digest: bool, form: Form) -> Done {
    let record = client.get(&format!("confirmations/{}", escaped(which)))?;
    if with_digest {
        body.insert("digest".into(), cell(&record, "digest").into());
    }
    let id = cell(&record, "id");
    let answered = client.post(&format!("confirmations/{}/{word}", escaped(&id)), &body.into())?;
    form.print(&answered, || cell(&answered, "told"));
    Ok(())
}

impl Confirmations {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        match &self.what {
            None => self.list(client, form),
            Some(Which::Show { which }) => {
                let record = client.get(&format!("confirmations/{}", escaped(which)))?;
                form.print(&record, || whole(&record));
                Ok(())
            }
            Some(Which::Audit { which }) => {
                let rows = client.get(&format!("confirmations/{}/audit", escaped(which)))?;
                form.print(&rows, || super::audit::rows(rows.as_list().unwrap_or_default()));
                Ok(())
            }
            Some(Which::Reevaluate { which }) => {
                let path = format!("confirmations/{}/reevaluate", escaped(which));
                let done = client.post(&path, &Value::map())?;
                form.print(&done, || cell(&done, "told"));
                Ok(())
            }
            Some(Which::Reviews { all }) => reviews(client, *all, form),
            Some(Which::Review { which, message }) => {
                let body = Value::from_pairs([("verdict", message.as_str())]);
                let closed = client.post(&format!("confirmations/{}/review", escaped(which)), &body)?;
                form.print(&closed, || format!("reviewed by {}", cell(&closed, "closed_by")));
                Ok(())
            }
        }
    }

    fn list(&self, client: &Client, form: Form) -> Done {
        let mut path = format!("confirmations?mine={}&answerable={}", self.mine, self.answerable);
        if !self.all {
            path.push_str("&state=open");
        }
        if let Some(action) = &self.action {
            path.push_str(&format!("&action={}", escaped(action)));
        }
        let found = client.get(&path)?;
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
            table(&columns, &rows.iter().map(flat).collect::<Vec<_>>())
        });
        Ok(())
    }
}

/// The needs of a record as one text, for a table.
fn flat(record: &Value) -> Value {
    let mut map = record.as_map().cloned().unwrap_or_default();
    let needs: Vec<&str> =
        record.get("need").and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    map.insert("need".into(), needs.join(" and ").into());
    map.into()
}

/// The question, who answered it and how it ended.
fn whole(record: &Value) -> String {
    let mut text = cell(record, "question");
    for vote in record.get("votes").and_then(Value::as_list).unwrap_or_default() {
        let (by, note) = (cell(vote, "by"), cell(vote, "note"));
        let word = if cell(vote, "ballot") == "grant" { "yes" } else { "no" };
        let gone = if cell(vote, "withdrawn_at").is_empty() { "" } else { ", taken back" };
        let note = if note.is_empty() { String::new() } else { format!(": {}", shown(&note)) };
        text.push_str(&format!("\n{word} of {by} at {} ({}{gone}){note}", cell(vote, "at"), cell(vote, "via")));
    }
    let (by, at) = (cell(record, "by"), cell(record, "decided_at"));
    if !at.is_empty() {
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        text.push_str(&format!("\n{}{by} at {at}", cell(record, "state")));
    }
    text
}

fn reviews(client: &Client, all: bool, form: Form) -> Done {
    let found = client.get(&format!("confirmations/reviews?all={all}"))?;
    let rows = found.as_list().unwrap_or_default();
    if rows.is_empty() && !form.json && !form.yaml {
        say("no broken glass waits for a review");
        return Ok(());
    }
    form.print(&found, || {
        let columns = [
            ("confirmation", "confirmation"),
            ("broken by", "person"),
            ("at", "broken"),
            ("review until", "due"),
            ("verdict", "verdict"),
            ("reviewed by", "closed_by"),
        ];
        table(&columns, rows)
    });
    Ok(())
}
