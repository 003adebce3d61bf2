//! Workflows of actions, checked when content is loaded.
//!
//! The languages live in the room `workflow`; here is only which of them an action speaks, and how what
//! they find becomes diagnostics. An action whose workflow is wrong stays: StackStorm finds such mistakes
//! only at run time, and people look at what they have.

use crate::codes;
use crate::definition::Definition;
use squall_workflow::orquesta::{LoadError, Spec, inspect};
use squall_yaml::{Diagnostic, Mark, Options};

/// The variables that an Orquesta workflow is given besides its inputs.
const ORQUESTA_GIVEN: [&str; 2] = ["st2", "parent"];

/// What is wrong with the workflow of an action of this runner type.
pub(crate) fn problems(runner: &str, definition: &Definition) -> Vec<Diagnostic> {
    let options = if runner == "orquesta" { Options::orquesta() } else { Options::workflow() };
    let document = match squall_yaml::parse(&definition.text, &options) {
        Ok(document) => document,
        Err(error) => {
            let diagnostic = Diagnostic::from_yaml_error(codes::YAML, &definition.text, &error);
            return vec![diagnostic.in_file(definition.path.clone())];
        }
    };
    let mut found: Vec<Diagnostic> = document
        .warnings
        .iter()
        .map(|warning| Diagnostic::from_yaml_warning(codes::DUPLICATE_KEY, &definition.text, warning))
        .map(|diagnostic| diagnostic.in_file(definition.path.clone()))
        .collect();
    if runner == "orquesta" {
        match Spec::read(&definition.text) {
            Ok(spec) => found.extend(inspect(&spec, ORQUESTA_GIVEN).diagnostics(&spec, &definition.path)),
            Err(error) => found.push(no_workflow(definition, &error)),
        }
    }
    found
}

/// A text that is no workflow at all.
fn no_workflow(definition: &Definition, error: &LoadError) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(codes::WORKFLOW, error.message.clone()).in_file(definition.path.clone());
    if let Some((line, column)) = error.place {
        let source = definition.text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default().to_owned();
        diagnostic.marks.push(Mark { line, column, width: 1, source, label: String::new() });
    }
    diagnostic
}
