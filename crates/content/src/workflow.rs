//! Workflows of actions, checked when content is loaded.
//!
//! The languages live in the room `workflow`; here is only which of them an action speaks. An action whose
//! workflow is wrong stays: StackStorm finds such mistakes only at run time, and people look at what they
//! have.

use crate::Action;
use crate::codes;
use crate::definition::Definition;
use squall_workflow::{Language, LoadOptions};
use squall_yaml::{Diagnostic, Options};

/// The language of a workflow runner.
fn language(runner: &str) -> Option<Language> {
    match runner {
        "action-chain" => Some(Language::Chain),
        "mistral-v2" => Some(Language::Mistral),
        "orquesta" => Some(Language::Orquesta),
        _ => None,
    }
}

/// What tells one check from another: several actions may share a file, and then it is checked once, but
/// the names in a Mistral definition depend on the action.
pub(crate) fn key(action: &Action, definition: &Definition) -> String {
    match action.runner.name {
        "mistral-v2" => format!("{} {}", action.reference, definition.path),
        _ => definition.path.clone(),
    }
}

/// What is wrong with the workflow of an action.
pub(crate) fn problems(action: &Action, definition: &Definition) -> Vec<Diagnostic> {
    let Some(language) = language(action.runner.name) else { return Vec::new() };
    let options = if language == Language::Orquesta { Options::orquesta() } else { Options::workflow() };
    let (text, path) = (&*definition.text, &definition.path);
    let document = match squall_yaml::parse(text, &options) {
        Ok(document) => document,
        Err(error) => return vec![Diagnostic::from_yaml_error(codes::YAML, text, &error).in_file(path.clone())],
    };
    let warnings = document.warnings.iter();
    let mut found: Vec<Diagnostic> = warnings
        .map(|warning| Diagnostic::from_yaml_warning(codes::DUPLICATE_KEY, text, warning).in_file(path.clone()))
        .collect();
    let options = LoadOptions { reference: action.reference.clone(), path: path.clone() };
    if let Err(problems) = squall_workflow::Definition::load(language, text, &options) {
        found.extend(problems);
    }
    found
}
