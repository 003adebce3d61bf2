//! A workflow as it was read: checked, with every expression parsed. Immutable and shared by its runs.

use crate::{Language, chain, mistral, orquesta};
use squall_model::ActionRef;
use squall_yaml::Diagnostic;
use std::sync::Arc;

/// Where a definition comes from.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The action that it belongs to.
    pub reference: ActionRef,
    /// Its file, for messages.
    pub path: String,
}

/// A workflow of one of the three languages.
#[derive(Debug, Clone)]
pub enum Definition {
    /// An action chain.
    Chain(Arc<chain::Definition>),
    /// A Mistral workflow or workbook.
    Mistral(Arc<mistral::Definition>),
    /// An Orquesta workflow.
    Orquesta(Arc<orquesta::Definition>),
}

/// Names that an Orquesta workflow may read besides its inputs.
pub(crate) const ORQUESTA_GIVEN: [&str; 2] = ["st2", "parent"];

impl Definition {
    /// Reads a definition: all faults at once, in the order of the file.
    pub fn load(language: Language, text: &str, options: &LoadOptions) -> Result<Definition, Vec<Diagnostic>> {
        match language {
            Language::Chain => chain::Definition::load(text, options).map(|d| Definition::Chain(Arc::new(d))),
            Language::Mistral => mistral::Definition::load(text, options).map(|d| Definition::Mistral(Arc::new(d))),
            Language::Orquesta => load_orquesta(text, options),
        }
    }

    /// Its language.
    pub fn language(&self) -> Language {
        match self {
            Definition::Chain(_) => Language::Chain,
            Definition::Mistral(_) => Language::Mistral,
            Definition::Orquesta(_) => Language::Orquesta,
        }
    }
}

fn load_orquesta(text: &str, options: &LoadOptions) -> Result<Definition, Vec<Diagnostic>> {
    let spec = orquesta::read_sound(text, &options.path, ORQUESTA_GIVEN)
        .map_err(|findings| findings.into_iter().map(|finding| finding.diagnostic).collect::<Vec<_>>())?;
    Ok(Definition::Orquesta(Arc::new(orquesta::Definition::compile(spec, orquesta::Habits::SERVER))))
}
