//! Overrides: switching content on and off without touching the packs' files.
//!
//! `_global.yaml` holds for all packs, `<pack>.yaml` for one. Only `enabled` can be overridden; exceptions
//! by name count only in the file of a pack, as in StackStorm.

use crate::codes;
use crate::files::read_regular;
use crate::reading::parse;
use squall_model::Value;
use squall_yaml::nearest;
use squall_yaml::{Diagnostic, Node};
use std::collections::HashMap;
use std::path::Path;

/// The kinds that can be overridden, by the names that the files use.
pub(crate) const KINDS: &[&str] = &["sensors", "actions", "rules", "aliases"];

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// `enabled` of a whole kind.
    defaults: HashMap<&'static str, bool>,
    /// `enabled` of one thing of a kind, by its name without the pack.
    exceptions: HashMap<(&'static str, String), bool>,
}

impl Overrides {
    /// What `enabled` is to be, if this file says anything about it.
    pub(crate) fn enabled(&self, kind: &'static str, name: &str) -> Option<bool> {
        self.exceptions.get(&(kind, name.to_owned())).or_else(|| self.defaults.get(kind)).copied()
    }

    /// What `enabled` of a whole kind is to be, whatever the exceptions say.
    pub(crate) fn default_of(&self, kind: &'static str) -> Option<bool> {
        self.defaults.get(kind).copied()
    }
}

/// Reads `<dir>/<name>.yaml`; a file that is not there says nothing.
pub(crate) fn read(dir: &Path, name: &str, noted: &mut Vec<Diagnostic>) -> Overrides {
    let path = dir.join(format!("{name}.yaml"));
    let mut overrides = Overrides::default();
    if !path.exists() {
        return overrides;
    }
    let shown = path.display().to_string();
    let text = match read_regular(&path) {
        Ok(text) => text,
        Err(why) => {
            noted.push(Diagnostic::error(codes::UNREADABLE, format!("the file cannot be read: {why}")).in_file(shown));
            return overrides;
        }
    };
    let Some(root) = parse(&text, &shown, noted) else { return overrides };
    let mut reading = Reading { text: &text, shown: &shown, noted };
    for (key, section) in root.as_map().unwrap_or_default() {
        let word = key.as_str().unwrap_or_default();
        match KINDS.iter().find(|kind| **kind == word) {
            Some(kind) => reading.section(kind, section, &mut overrides),
            None => reading.unknown(key, KINDS),
        }
    }
    overrides
}

struct Reading<'a> {
    text: &'a str,
    shown: &'a str,
    noted: &'a mut Vec<Diagnostic>,
}

impl Reading<'_> {
    fn section(&mut self, kind: &'static str, section: &Node, overrides: &mut Overrides) {
        for (key, value) in section.as_map().unwrap_or_default() {
            match key.as_str().unwrap_or_default() {
                "defaults" => {
                    if let Some(enabled) = self.enabled(value) {
                        overrides.defaults.insert(kind, enabled);
                    }
                }
                "exceptions" => {
                    for (name, value) in value.as_map().unwrap_or_default() {
                        if let (Some(name), Some(enabled)) = (name.as_str(), self.enabled(value)) {
                            overrides.exceptions.insert((kind, name.to_owned()), enabled);
                        }
                    }
                }
                _ => self.unknown(key, &["defaults", "exceptions"]),
            }
        }
    }

    fn enabled(&mut self, node: &Node) -> Option<bool> {
        let mut found = None;
        for (key, value) in node.as_map().unwrap_or_default() {
            match (key.as_str(), value.to_value()) {
                (Some("enabled"), Value::Bool(enabled)) => found = Some(enabled),
                _ => self.unknown(key, &["enabled"]),
            }
        }
        found
    }

    fn unknown(&mut self, key: &Node, known: &[&str]) {
        let word = key.as_str().unwrap_or_default();
        let help = match nearest(word, known.iter().copied()) {
            Some(close) if close != word => format!("did you mean `{close}`?"),
            Some(_) => "it must be true or false".to_owned(),
            None => format!("possible here: {}", known.join(", ")),
        };
        let diagnostic = Diagnostic::error(codes::OVERRIDES, format!("`{word}` cannot be overridden"))
            .at(self.text, key.span, "not possible here")
            .in_file(self.shown)
            .help(help);
        self.noted.push(diagnostic);
    }
}
