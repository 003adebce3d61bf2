//! What exactly would run: hashes of an action and of everything that it names.
//!
//! A confirmation is bound to these, so a file that changes between the question and the answer makes it void.

use crate::confirmation::digest::{canonical, sha256_hex};
use squall_content::{Action, Registry};
use squall_model::{ActionRef, Map, Requested, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Actions that are followed at most: deeper nesting is named to people as it is.
const MOST: usize = 500;

/// SHA-256 over what an action is: its metadata and the bytes that it runs.
pub(crate) fn action_sha(action: &Action) -> String {
    let mut whole = Map::new();
    whole.insert("ref".into(), action.reference.to_string().into());
    whole.insert("enabled".into(), action.enabled.into());
    whole.insert("runner".into(), action.runner.name.into());
    whole.insert("entry_point".into(), action.entry_point.clone().into());
    whole.insert("parameters".into(), Value::from(action.parameters.clone()));
    whole.insert("code".into(), code_sha(action).into());
    sha256_hex(&canonical(&whole.into()))
}

/// The same for a request, which may go on with an ended workflow: from which tasks, and with which definition.
pub(crate) fn request_sha(action: &Action, request: &Requested) -> String {
    let own = action_sha(action);
    let Some(again) = &request.again else { return own };
    let tasks = |names: &[String]| Value::from(names.iter().map(|n| Value::from(n.as_str())).collect::<Vec<_>>());
    let mut whole = Map::new();
    whole.insert("action".into(), own.into());
    whole.insert("of".into(), again.of.to_string().into());
    whole.insert("tasks".into(), tasks(&again.tasks));
    whole.insert("reset".into(), tasks(&again.reset));
    whole.insert("definition".into(), request.definition.clone().into());
    sha256_hex(&canonical(&whole.into()))
}

/// SHA-256 of the file that an action runs; nothing for actions without one. A file that cannot be read has a hash of its
/// own, so that it never equals one that can.
fn code_sha(action: &Action) -> Option<String> {
    if let Some(definition) = &action.definition {
        return Some(definition.sha.clone());
    }
    let path = action.entry_point_path()?;
    Some(match std::fs::read(&path) {
        Ok(bytes) => squall_store::crypto::sha256_hex(&bytes),
        Err(error) => format!("unreadable: {error}"),
    })
}

/// SHA-256 of the script that an action runs, if it runs one.
pub(crate) fn script_sha(action: &Action) -> Option<String> {
    if action.definition.is_some() || action.runner.name != "local-shell-script" { None } else { code_sha(action) }
}

/// The revision that a script is to be taken from, when its name may mean other bytes by the time it runs: all but the full id of
/// a commit.
pub(crate) fn moving_revision<'p>(action: &Action, params: &'p Map) -> Option<&'p str> {
    let is_script = matches!(action.runner.name, "local-shell-script" | "python-script");
    let revision = params.get("content_version").and_then(Value::as_str).filter(|r| is_script && !r.is_empty())?;
    let is_commit = matches!(revision.len(), 40 | 64) && revision.bytes().all(|b| b.is_ascii_hexdigit());
    (!is_commit).then_some(revision)
}

/// The actions that a workflow names in its text, and those that they name, without itself.
///
/// Names that are computed at run time are not among them; their tasks are checked when they start.
pub(crate) fn children(action: &Action, registry: &Registry) -> Vec<Arc<Action>> {
    let mut seen: BTreeSet<ActionRef> = BTreeSet::from([action.reference.clone()]);
    let mut found = Vec::new();
    let mut texts: Vec<String> = action.definition.iter().map(|d| d.text.to_string()).collect();
    while let Some(text) = texts.pop() {
        let words = text.split(|c: char| !(c.is_alphanumeric() || "._-".contains(c)));
        for reference in words.filter_map(|word| word.trim_matches('.').parse::<ActionRef>().ok()) {
            if seen.len() >= MOST || seen.contains(&reference) {
                continue;
            }
            if let Some(child) = registry.action(&reference) {
                seen.insert(reference);
                texts.extend(child.definition.iter().map(|d| d.text.to_string()));
                found.push(child.clone());
            }
        }
    }
    found.sort_by(|a, b| a.reference.cmp(&b.reference));
    found
}

/// Names of actions that a workflow computes when it runs, as they are written.
pub(crate) fn computed(action: &Action, children: &[Arc<Action>]) -> Vec<String> {
    let own = action.definition.iter().map(|d| d.text.to_string());
    let below = children.iter().flat_map(|c| c.definition.clone()).map(|d| d.text.to_string());
    let mut found: Vec<String> =
        own.chain(below).flat_map(|text| text.lines().filter_map(computed_name).collect::<Vec<_>>()).collect();
    found.sort();
    found.dedup();
    found
}

/// `action: <% ctx().name %>`
fn computed_name(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("- ").trim_start();
    let name = ["action:", "ref:", "workflow:"].iter().find_map(|key| line.strip_prefix(key))?;
    let name = name.trim().trim_matches(['"', '\'']);
    (name.starts_with("<%") || name.starts_with("{{")).then(|| name.to_owned())
}

/// SHA-256 over the children of a workflow; nothing when it has none.
pub(crate) fn closure_sha(children: &[Arc<Action>]) -> Option<String> {
    if children.is_empty() {
        return None;
    }
    let lines: String = children.iter().map(|child| format!("{} {}\n", child.reference, action_sha(child))).collect();
    Some(sha256_hex(&lines))
}
