//! Results for people (tables that fit the terminal) and for programs (`--json`, `--yaml`).

use clap::Args;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
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

/// A table of the given columns, the most telling ones first; each cell is read from a row by its path (`action.ref`).
///
/// In a narrow terminal long cells are wrapped, and columns are left out from the right: an id that is broken over two lines
/// cannot be copied.
pub fn table(columns: &[(&str, &str)], rows: &[Value]) -> String {
    fitted(columns, rows, Table::new().width().map(usize::from))
}

/// Cells up to this width are never broken: ids and times.
const WHOLE: usize = 26;
/// Less than this is no place for the words of a longer cell.
const NARROWEST: usize = 16;
/// Between two columns.
const GAP: usize = 2;

fn fitted(columns: &[(&str, &str)], rows: &[Value], width: Option<usize>) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|(_, path)| short(cell(row, path))).collect()).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|n| cells.iter().map(|row| breadth(&row[n])).chain([breadth(columns[n].0)]).max().unwrap_or(0))
        .collect();
    let shown = width
        .map_or(columns.len(), |width| (1..=columns.len()).rev().find(|n| fits(&widths[..*n], width)).unwrap_or(1));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(width) = width {
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    table.set_header(columns[..shown].iter().map(|(title, _)| *title));
    for row in &cells {
        table.add_row(&row[..shown]);
    }
    for (column, own) in table.column_iter_mut().zip(&widths) {
        column.set_padding((0, GAP as u16));
        if *own <= WHOLE {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let left_out: Vec<&str> = columns[shown..].iter().map(|(title, _)| *title).collect();
    let mut text = table.trim_fmt();
    if !left_out.is_empty() {
        text.push_str(&format!("\n(no room for: {}; --json has everything)", left_out.join(", ")));
    }
    text
}

/// Whether columns of these widths have a place in `width`, when the long ones are wrapped.
fn fits(widths: &[usize], width: usize) -> bool {
    let gaps = GAP * widths.len();
    let least: usize = widths.iter().map(|own| if *own <= WHOLE { *own } else { NARROWEST }).sum();
    least + gaps <= width
}

fn breadth(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

/// A moment of the wire to the second, which is what people compare; all of these are UTC.
fn short(text: String) -> String {
    let moment = text.len() == 27 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    if moment && text.is_ascii() { text[..19].replace('T', " ") } else { text }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Value> {
        let row = |id: &str, action: &str| {
            Value::from_pairs([("id", id), ("action", action), ("at", "2026-11-29T05:15:35.809316Z"), ("user", "chat")])
        };
        vec![
            row("6b0bb4f76c8f35f9dcc0647b", "st2chat_confirm.confirm_exec"),
            row("6b0bb4f26c8f35f9dcc06474", "core.noop"),
        ]
    }

    fn check(width: Option<usize>, expected: &str) {
        let columns = [("id", "id"), ("action", "action"), ("start (UTC)", "at"), ("user", "user")];
        let found: Vec<String> =
            fitted(&columns, &rows(), width).lines().map(|l| format!("{}\n", l.trim_end())).collect();
        assert_eq!(found.concat(), expected);
    }

    #[test]
    fn without_a_terminal_a_row_is_a_line() {
        check(
            None,
            "id                        action                        start (UTC)          user\n\
             6b0bb4f76c8f35f9dcc0647b  st2chat_confirm.confirm_exec  2026-11-29 05:15:35  chat\n\
             6b0bb4f26c8f35f9dcc06474  core.noop                     2026-11-29 05:15:35  chat\n",
        );
    }

    #[test]
    fn a_narrow_terminal_breaks_no_id() {
        check(
            Some(60),
            "id                        action\n\
             6b0bb4f76c8f35f9dcc0647b  st2chat_confirm.confirm_exec\n\
             6b0bb4f26c8f35f9dcc06474  core.noop\n\
             (no room for: start (UTC), user; --json has everything)\n",
        );
    }
}
