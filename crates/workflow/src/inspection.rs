//! What can be said against a definition without running it, for a pack author's checks.
//!
//! Everything at once, in StackStorm's categories (`syntax`, `semantic`, `expression`, `context`) and with our places. What
//! needs a catalogue of actions (StackStorm's category `content`) is the matter of `squall_content`, which has one.

use crate::definition::ORQUESTA_GIVEN;
use crate::{Language, LoadOptions, chain, mistral, orquesta};
use squall_yaml::Diagnostic;

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// StackStorm's category.
    pub kind: &'static str,
    /// Paths and expression, where the language has them: Orquesta.
    pub entry: Option<orquesta::InspectionEntry>,
    /// The same for people, with its place.
    pub diagnostic: Diagnostic,
}

impl Finding {
    pub(crate) fn of(diagnostic: Diagnostic) -> Finding {
        Finding { kind: kind_of(diagnostic.code), entry: None, diagnostic }
    }

    /// For programs: the keys of StackStorm's inspection, and `code`, `file`, `line`, `column`, `help`.
    pub fn to_json(&self) -> serde_json::Value {
        let Diagnostic { code, message, file, help, .. } = &self.diagnostic;
        let mut json = match &self.entry {
            Some(entry) => entry.to_json(self.kind),
            None => serde_json::json!({"type": self.kind, "message": message}),
        };
        json["severity"] = if self.diagnostic.is_error() { "error" } else { "warning" }.into();
        json["code"] = (*code).into();
        json["file"] = file.as_deref().into();
        json["line"] = self.diagnostic.line().into();
        json["column"] = self.diagnostic.column().into();
        json["help"] = help.as_deref().into();
        json
    }
}

/// The category of a code of this room.
fn kind_of(code: &str) -> &'static str {
    match code {
        "SQ2104" => "context",
        "SQ2103" | "SQ2205" => "expression",
        "SQ2102" | "SQ2203" | "SQ2204" | "SQ2303" => "semantic",
        _ => "syntax",
    }
}

/// Inspects a definition; nothing but perhaps warnings is found in one that can be loaded. `known` are variables that an Orquesta workflow is given
/// besides its inputs and what StackStorm gives to every workflow.
pub fn inspect(language: Language, text: &str, options: &LoadOptions, known: &[String]) -> Vec<Finding> {
    let problems = match language {
        Language::Chain => chain::Definition::inspect(text, options),
        Language::Mistral => mistral::Definition::inspect(text, options),
        Language::Orquesta => {
            let given = ORQUESTA_GIVEN.into_iter().chain(known.iter().map(String::as_str));
            return orquesta::read_sound(text, &options.path, given).err().unwrap_or_default();
        }
    };
    problems.into_iter().map(Finding::of).collect()
}

/// Which language a text looks like, by its top-level keys.
pub fn recognize(text: &str) -> Option<Language> {
    let document = squall_yaml::parse(text, &squall_yaml::Options::workflow()).ok()?;
    let has = |key: &str| document.root.get(key).is_some();
    if has("chain") {
        Some(Language::Chain)
    } else if has("tasks") {
        Some(Language::Orquesta)
    } else {
        // A map with tasks below a name is a workflow of Mistral, even if its version was forgotten.
        let pairs = document.root.as_map().unwrap_or_default();
        let is_mistral =
            has("version") || has("workflows") || pairs.iter().any(|(_, body)| body.get("tasks").is_some());
        is_mistral.then_some(Language::Mistral)
    }
}
