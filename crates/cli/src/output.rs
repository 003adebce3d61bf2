//! Results for people (tables that fit the terminal) and for programs (`--json`, `--yaml`).

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use squall_model::{Value, to_json_pretty};
use std::io::Write;

/// In which form results are printed.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Form {
    /// Print one JSON document.
    #[arg(long, short = 'j', global = true, conflicts_with = "yaml")]
    pub json: bool,
    /// Print YAML.
    #[arg(long, short = 'y', global = true)]
    pub yaml: bool,
}

impl Form {
    /// Prints `value` for programs, or lets `human` print it for people.
    pub fn print(self, value: &Value, human: impl FnOnce() -> String) {
        let text = if self.json {
            to_json_pretty(value)
        } else if self.yaml {
            squall_yaml::to_yaml(value)
        } else {
            human()
        };
        say(text.trim_end_matches('\n'));
    }
}

/// Prints a line to standard output. A closed pipe ends the program quietly, as it does for every well-behaved filter.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// A table of the given columns; each cell is read from a row by its path (`action.ref`).
pub fn table(columns: &[(&str, &str)], rows: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(title, _)| *title));
    for row in rows {
        table.add_row(columns.iter().map(|(_, path)| cell(row, path)));
    }
    table.to_string()
}

/// One value as a short text; empty for what is missing.
pub fn cell(row: &Value, path: &str) -> String {
    let keys: Vec<&str> = path.split('.').collect();
    match row.at(&keys) {
        None | Some(Value::Null) => String::new(),
        Some(Value::Str(text)) => shown(text),
        Some(other) => squall_model::to_json(other),
    }
}

/// A text without what a terminal would obey.
pub fn shown(text: &str) -> String {
    squall_chat::format::neutral(text)
}

/// `name: value` lines; maps and lists follow as indented YAML.
pub fn properties(pairs: &[(&str, Value)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        match value {
            Value::Null => {}
            Value::Map(map) if !map.is_empty() => out.push_str(&format!("{name}:\n{}", indented(value))),
            Value::List(list) if !list.is_empty() => out.push_str(&format!("{name}:\n{}", indented(value))),
            Value::Str(text) => out.push_str(&format!("{name}: {}\n", shown(text))),
            other => out.push_str(&format!("{name}: {}\n", squall_model::to_json(other))),
        }
    }
    out
}

fn indented(value: &Value) -> String {
    squall_yaml::to_yaml(value).lines().map(|line| format!("  {}\n", shown(line))).collect()
}
