//! What people can type: the displays of all aliases, filtered and cut into pages.

use super::representations;
use crate::Error;
use squall_model::{Str, Value};

/// Which entries are asked for.
#[derive(Debug, Clone, Default)]
pub struct HelpQuery {
    /// A regular expression searched in the display, ignoring case; empty for all.
    pub filter: String,
    /// The exact pack; empty for all.
    pub pack: String,
    /// How many; 0 for all.
    pub limit: usize,
    /// How many to leave out at the start.
    pub offset: usize,
}

/// One line of help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelpEntry {
    /// The alias's pack.
    pub pack: Str,
    /// What to type.
    pub display: Str,
    /// What it does.
    pub description: Str,
}

/// A page of help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    /// How many entries there are in all.
    pub available: usize,
    /// Those of this page.
    pub entries: Vec<HelpEntry>,
}

/// Collects help for aliases in their stored form (maps with `enabled`, `pack`, `description`, `formats`).
pub fn help<'a>(aliases: impl IntoIterator<Item = &'a Value>, query: &HelpQuery) -> Result<Help, Error> {
    let filter = regex::RegexBuilder::new(&query.filter)
        .case_insensitive(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| Error::new("error", format!("filter `{}` is no regular expression: {e}", query.filter)))?;
    let text = |alias: &Value, key: &str| match alias.get(key) {
        Some(Value::Str(text)) => text.clone(),
        _ => Str::from(""),
    };
    let mut entries = Vec::new();
    for alias in aliases {
        let pack = text(alias, "pack");
        let enabled = alias.get("enabled").is_none_or(Value::is_truthy);
        if !enabled || (!query.pack.is_empty() && *pack != *query.pack) {
            continue;
        }
        let formats = alias.get("formats").and_then(Value::as_list).unwrap_or_default();
        // One entry of `formats` is one line, however many representations it has.
        for format in formats {
            let shown = representations(std::slice::from_ref(format))?;
            let Some(display) = shown.first().and_then(|r| r.display.clone()) else {
                continue;
            };
            if !display.is_empty() && filter.is_match(&display) {
                entries.push(HelpEntry { pack: pack.clone(), display, description: text(alias, "description") });
            }
        }
    }
    let available = entries.len();
    let limit = if query.limit == 0 { usize::MAX } else { query.limit };
    let entries = entries.into_iter().skip(query.offset).take(limit).collect();
    Ok(Help { available, entries })
}
