//! What is found out before people are asked, by running actions that change nothing: dry runs, and who is on call.
//!
//! Only what carries the tag `read_only` is ever run for that. Whatever fails finds nothing: a dry run is shown as failed, nobody is on
//! call.
//!
//! Start reading at [`Found`].

use super::people::PersonId;
use super::texts;
use serde::{Deserialize, Serialize};
use squall_content::{Action, Registry};
use squall_model::{ActionRef, ExecutionId};
use std::collections::BTreeMap;
use std::time::Duration;

/// The tag without which an action is not run to find something out.
pub const READ_ONLY: &str = "read_only";
/// The tag by which an action names the one that shows what it would do.
pub const DRY_RUN: &str = "squall.dry_run";

/// Something to find out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Look {
    /// The run whose dry run this is; nothing for who is on call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<ExecutionId>,
    /// The action that is run for it.
    pub action: ActionRef,
}

/// What a dry run showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRan {
    /// Of which run.
    pub run: ExecutionId,
    /// The action that showed it.
    pub action: ActionRef,
    /// SHA-256 (hex) of all that it said; nothing when it failed.
    pub sha: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What people read of it.
    pub line: String,
}

impl DryRan {
    /// One that told something.
    pub fn told(run: ExecutionId, action: ActionRef, output: &str, took: Duration) -> DryRan {
        let sha = Some(super::digest::sha256_hex(output));
        DryRan { run, action, sha, failed: None, line: texts::dry_run(Ok((output, took))) }
    }

    /// One that failed.
    pub fn failed(run: ExecutionId, action: ActionRef, why: &str) -> DryRan {
        DryRan { run, action, sha: None, failed: Some(why.to_owned()), line: texts::dry_run(Err(why)) }
    }
}

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What the dry runs showed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_runs: Vec<DryRan>,
    /// Who is on call, by the action that was asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on_call: BTreeMap<ActionRef, Vec<PersonId>>,
}

impl Found {
    /// Whether nothing was looked for.
    pub fn is_empty(&self) -> bool {
        self.dry_runs.is_empty() && self.on_call.is_empty()
    }

    /// Whether this answers all that is looked for.
    pub fn covers(&self, looks: &[Look]) -> bool {
        looks.iter().all(|look| match look.run {
            Some(run) => self.dry_runs.iter().any(|dry| dry.run == run && dry.action == look.action),
            None => self.on_call.contains_key(&look.action),
        })
    }

    /// SHA-256 (hex) of what the dry runs of a run showed; nothing when none showed anything.
    pub fn sha_of(&self, run: ExecutionId) -> Option<String> {
        let told = self.dry_runs.iter().filter(|dry| dry.run == run);
        let lines: String = told.filter_map(|dry| Some(format!("{} {}\n", dry.action, dry.sha.as_ref()?))).collect();
        (!lines.is_empty()).then(|| super::digest::sha256_hex(&lines))
    }

    /// Whether every dry run that told something tells the same now.
    pub fn is_told_again_by(&self, now: &[DryRan]) -> bool {
        self.dry_runs.iter().filter(|dry| dry.sha.is_some()).all(|dry| {
            now.iter().any(|other| other.run == dry.run && other.action == dry.action && other.sha == dry.sha)
        })
    }

    /// Whether any dry run told something that could be compared.
    pub fn has_told(&self) -> bool {
        self.dry_runs.iter().any(|dry| dry.sha.is_some())
    }
}

/// Whether an action says that it changes nothing.
pub fn is_read_only(action: &Action) -> bool {
    action.tag(READ_ONLY).is_some_and(|value| !value.eq_ignore_ascii_case("false"))
}

/// Why an action cannot be run to find something out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// It does not exist, or is disabled.
    Missing(String),
    /// It does not say that it changes nothing.
    Dangerous(String),
}

impl Objection {
    /// In words.
    pub fn text(&self) -> &str {
        match self {
            Objection::Missing(text) | Objection::Dangerous(text) => text,
        }
    }
}

/// The action to run, or why not.
pub fn usable<'r>(registry: &'r Registry, action: &ActionRef) -> Result<&'r std::sync::Arc<Action>, Objection> {
    let found = registry.action(action).filter(|action| action.enabled);
    let found = found.ok_or_else(|| Objection::Missing(format!("the action `{action}` does not exist")))?;
    if is_read_only(found) {
        return Ok(found);
    }
    let text =
        format!("the action `{action}` does not carry the tag `{READ_ONLY}`, so it is not run to find anything out");
    Err(Objection::Dangerous(text))
}

/// What helps against [`Objection::Dangerous`].
pub const TAG_IT: &str = "if it changes nothing, add to its metadata: `tags: [{name: read_only, value: \"true\"}]`";

#[cfg(test)]
mod tests {
    use super::*;

    fn dry(action: &str, output: Option<&str>) -> DryRan {
        let (run, action) = (ExecutionId([0; 12]), action.parse().unwrap());
        match output {
            Some(output) => DryRan::told(run, action, output, Duration::from_secs(1)),
            None => DryRan::failed(run, action, "no"),
        }
    }

    #[test]
    fn what_failed_is_not_compared_and_what_told_must_tell_the_same() {
        let found = Found { dry_runs: vec![dry("a.b", Some("x")), dry("a.c", None)], ..Found::default() };
        assert!(found.is_told_again_by(&[dry("a.b", Some("x"))]));
        assert!(!found.is_told_again_by(&[dry("a.b", Some("y"))]));
        assert!(!found.is_told_again_by(&[dry("a.b", None)]));
        assert!(!found.is_told_again_by(&[]));
    }

    #[test]
    fn only_what_was_told_is_in_the_digest() {
        let of = |dry_runs| Found { dry_runs, ..Found::default() }.sha_of(ExecutionId([0; 12]));
        assert_eq!(of(vec![dry("a.b", None)]), None);
        assert_ne!(of(vec![dry("a.b", Some("x"))]), of(vec![dry("a.b", Some("y"))]));
        assert_eq!(of(vec![dry("a.b", Some("x"))]), of(vec![dry("a.b", Some("x")), dry("a.c", None)]));
    }
}
