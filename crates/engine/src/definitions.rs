//! Workflow definitions, parsed once and shared by their runs; a run keeps the version that it started with.

use crate::refusal::Refusal;
use squall_content::Action;
use squall_model::{ActionRef, Execution};
use squall_store::Store;
use squall_workflow::{Definition, Language, LoadOptions};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Parsed definitions by action and SHA-256 of their text.
///
/// Two actions may share a file, and Mistral's names depend on the action, hence both in the key.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    parsed: Mutex<HashMap<(ActionRef, String), Definition>>,
}

/// How many parsed definitions are kept; beyond it the cache starts afresh, since content is small.
const KEPT: usize = 4_096;

impl Definitions {
    /// The definition that `action` has now.
    pub fn current(&self, action: &Action) -> Result<Definition, Refusal> {
        let Some(source) = &action.definition else {
            return Err(Refusal::Invalid(format!("action `{}` has no workflow definition", action.reference)));
        };
        self.parse(&action.reference, action.runner.name, &source.sha, || Ok(source.text.to_string()), &source.path)
    }

    /// The definition that `execution` started with.
    pub fn of(&self, store: &dyn Store, execution: &Execution) -> Result<Definition, Refusal> {
        let request = &execution.request;
        let Some(sha) = &request.definition else {
            return Err(Refusal::Broken(format!("execution {} is no workflow", execution.id)));
        };
        let text = || {
            store.definition(sha)?.ok_or_else(|| {
                Refusal::Broken(format!("the definition {sha} of execution {} is not stored", execution.id))
            })
        };
        self.parse(&request.action, &request.runner, sha, text, "stored definition")
    }

    fn parse(
        &self,
        reference: &ActionRef,
        runner: &str,
        sha: &str,
        text: impl FnOnce() -> Result<String, Refusal>,
        path: &str,
    ) -> Result<Definition, Refusal> {
        let key = (reference.clone(), sha.to_owned());
        if let Some(found) = self.lock().get(&key) {
            return Ok(found.clone());
        }
        let options = LoadOptions { reference: reference.clone(), path: path.to_owned() };
        let definition = Definition::load(language(runner)?, &text()?, &options).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(|p| p.to_string()).collect();
            Refusal::Invalid(all.join("\n"))
        })?;
        let mut parsed = self.lock();
        if parsed.len() >= KEPT {
            parsed.clear();
        }
        parsed.insert(key, definition.clone());
        Ok(definition)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(ActionRef, String), Definition>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workflow language of a runner.
pub(crate) fn language(runner: &str) -> Result<Language, Refusal> {
    match runner {
        "action-chain" => Ok(Language::Chain),
        "mistral-v2" => Ok(Language::Mistral),
        "orquesta" => Ok(Language::Orquesta),
        other => Err(Refusal::Broken(format!("`{other}` is no workflow runner"))),
    }
}
