//! `squall execution history`: a workflow's log as a story, and where it stood after a fact.

use crate::client::{Client, escaped};
use crate::exit::Done;
use crate::output::{Form, properties, shown};
use clap::Args;
use squall_model::{Timestamp, Value};

/// Tell what happened in a workflow, step by step.
#[derive(Args)]
pub struct History {
    /// The execution, or `last`.
    id: String,
    /// Show where it stood after this fact.
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with_all = ["all", "from"])]
    at: Option<i64>,
    /// Bookkeeping as well: every fact.
    #[arg(long)]
    all: bool,
    /// From this fact on.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    from: Option<i64>,
    /// At most so many lines.
    #[arg(long, short = 'n', default_value_t = 1_000)]
    limit: u32,
}

impl History {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let mut path = format!("executions/{}/history?limit={}&all={}", escaped(&self.id), self.limit, self.all);
        for (name, number) in [("at", self.at), ("from", self.from)] {
            if let Some(number) = number {
                path.push_str(&format!("&{name}={number}"));
            }
        }
        let history = client.get(&path)?;
        form.print(&history, || match self.at {
            Some(_) => standing(&history),
            None => story(&history),
        });
        Ok(())
    }
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn story(history: &Value) -> String {
    let mut out =
        format!("{} {}, now {}\n", text(history, "execution"), text(history, "action"), text(history, "status"));
    let lines = history.get("lines").and_then(Value::as_list).unwrap_or_default();
    let width = lines.iter().map(|l| seq(l).len()).max().unwrap_or(1);
    let mut day = "";
    for line in lines {
        let at = text(line, "at");
        // The day stands once, where it begins.
        if let Some((date, _)) = at.split_once('T').filter(|(date, _)| *date != day) {
            out.push_str(&format!("{date}\n"));
            day = date;
        }
        let time = at.split_once('T').map_or(at, |(_, time)| time).trim_end_matches('Z');
        let time = time.get(..12).unwrap_or(time);
        out.push_str(&format!("{:>width$}  {time:<12}  {}\n", seq(line), shown(text(line, "text"))));
    }
    if lines.is_empty() {
        out.push_str("nothing has happened in it yet\n");
    }
    if history.get("more").is_some_and(Value::is_truthy) {
        let next = lines.last().and_then(|l| l.get("seq")).and_then(Value::as_int).unwrap_or(0) + 1;
        out.push_str(&format!("there is more: --from {next}, or a greater --limit\n"));
    }
    out
}

fn seq(line: &Value) -> String {
    line.get("seq").map(squall_model::to_json).unwrap_or_default()
}

fn standing(history: &Value) -> String {
    let state = |key: &str| history.at(&["state", key]).cloned().unwrap_or_default();
    let at = Timestamp::parse_iso(text(history, "at")).map_or_else(String::new, |at| at.to_iso());
    let pairs = [
        ("execution", Value::from(text(history, "execution"))),
        ("after fact", format!("{}: {}", seq(history), text(history, "text")).into()),
        ("at", at.into()),
        ("status", state("status")),
        ("open", state("open")),
        ("timers", state("timers")),
        ("tasks", state("tasks")),
        ("variables", state("variables")),
        ("result", state("result")),
    ];
    properties(&pairs)
}
