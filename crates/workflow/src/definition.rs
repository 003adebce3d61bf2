//! A workflow as it was read: checked, with every expression parsed. Immutable and shared by its runs.

use crate::{Language, chain, mistral, orquesta};
use squall_model::ActionRef;
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

impl Definition {
    /// Its language.
    pub fn language(&self) -> Language {
        match self {
            Definition::Chain(_) => Language::Chain,
            Definition::Mistral(_) => Language::Mistral,
            Definition::Orquesta(_) => Language::Orquesta,
        }
    }
}
