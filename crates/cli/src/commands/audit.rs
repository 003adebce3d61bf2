//! `squall audit`: what happened around people and confirmations, and whether the log of it is whole.

use crate::client::{Client, escaped};
use crate::exit::{Done, Stop};
use crate::output::{Form, cell, say, table};
use clap::Subcommand;
use squall_model::{Value, to_json};
use std::io::Write;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Audit {
    /// List rows, newest first.
    List {
        /// With this event: `vote`, `released`, `role_granted`, …
        #[arg(long)]
        event: Option<String>,
        /// Done by this user.
        #[arg(long)]
        person: Option<String>,
        /// About this confirmation, by id.
        #[arg(long)]
        confirmation: Option<String>,
        /// About this execution.
        #[arg(long)]
        execution: Option<String>,
        /// Not before this time, e.g. `2027-01-31T18:00:00Z`.
        #[arg(long)]
        since: Option<String>,
        /// Not after this time.
        #[arg(long)]
        until: Option<String>,
        /// At most so many rows.
        #[arg(long, short = 'n', default_value_t = 50)]
        last: u64,
    },
    /// Follow the hash chain: every row that was changed, removed or put elsewhere is found.
    Verify,
    /// Write all rows, oldest first, as JSON Lines.
    Export {
        /// From this row on.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Into this file instead of standard output.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

/// Rows of one call.
const CHUNK: u64 = 1_000;

impl Audit {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        match self {
            Audit::List { event, person, confirmation, execution, since, until, last } => {
                let filters = [
                    ("event", event),
                    ("person", person),
                    ("confirmation", confirmation),
                    ("execution", execution),
                    ("since", since),
                    ("until", until),
                ];
                let given = filters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
                let query: String = given.map(|(name, value)| format!("&{name}={}", escaped(value))).collect();
                let found = Value::from(newest(client, &query, *last)?);
                form.print(&found, || rows(found.as_list().unwrap_or_default()));
                Ok(())
            }
            Audit::Verify => verify(client, form),
            Audit::Export { from, output } => export(client, *from, output.as_ref()),
        }
    }
}

fn newest(client: &Client, query: &str, last: u64) -> Result<Vec<Value>, Stop> {
    let mut found: Vec<Value> = Vec::new();
    while (found.len() as u64) < last {
        let limit = (last - found.len() as u64).min(CHUNK);
        let before = found.last().map_or_else(String::new, |row| format!("&before={}", cell(row, "seq")));
        let page = client.get(&format!("squall/audit?limit={limit}{query}{before}"))?;
        let page = page.as_list().unwrap_or_default();
        found.extend(page.iter().cloned());
        if (page.len() as u64) < limit {
            break;
        }
    }
    Ok(found)
}

/// Rows as a table.
pub fn rows(rows: &[Value]) -> String {
    let columns = [
        ("row", "seq"),
        ("at", "at"),
        ("event", "event"),
        ("who", "person"),
        ("confirmation", "confirmation"),
        ("what", "data"),
    ];
    // The texts of questions are for the export.
    let short = |row: &Value| {
        let mut map = row.as_map().cloned().unwrap_or_default();
        if let Some(Value::Map(data)) = map.get("data") {
            let kept = data.iter().filter(|(k, v)| &***k != "shown" && !v.is_null());
            let text: Vec<String> =
                kept.map(|(k, v)| format!("{k}: {}", v.as_str().map_or_else(|| to_json(v), str::to_owned))).collect();
            map.insert("data".into(), text.join(", ").into());
        }
        Value::from(map)
    };
    table(&columns, &rows.iter().map(short).collect::<Vec<_>>())
}

fn verify(client: &Client, form: Form) -> Done {
    let told = client.get("squall/audit/verify")?;
    let is_whole = told.get("whole").and_then(Value::as_bool) == Some(true);
    form.print(&told, || match is_whole {
        true => format!(
            "the audit log is whole: {} rows\nhead: {}\nKeep the head elsewhere: only it tells of rows that are cut off at the end.",
            cell(&told, "rows"),
            cell(&told, "head")
        ),
        false => format!("the audit log is damaged: {}", cell(&told, "problem")),
    });
    if is_whole { Ok(()) } else { Err(Stop::Said) }
}

fn export(client: &Client, from: u64, output: Option<&PathBuf>) -> Done {
    let mut file = match output {
        None => None,
        Some(path) => Some(std::io::BufWriter::new(std::fs::File::create(path)?)),
    };
    let mut next = from.max(1);
    loop {
        let page = client.get(&format!("squall/audit?from={next}&limit={CHUNK}"))?;
        let page = page.as_list().unwrap_or_default();
        for row in page {
            match &mut file {
                Some(file) => writeln!(file, "{}", to_json(row))?,
                None => say(&to_json(row)),
            }
        }
        let last = page.last().and_then(|row| row.get("seq")).and_then(Value::as_int);
        match last.and_then(|seq| u64::try_from(seq).ok()) {
            Some(seq) if page.len() as u64 == CHUNK => next = seq + 1,
            _ => break,
        }
    }
    if let Some(mut file) = file {
        file.flush()?;
    }
    Ok(())
}
