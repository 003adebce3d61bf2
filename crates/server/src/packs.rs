//! Pack jobs: `packs.install`, `packs.uninstall`, `packs.load` and their kin, run by this program as a supervised child.
//!
//! They touch the network and the disk, so they do not run inside the engine; the child prints one JSON
//! value, and its success makes the server load the packs before anybody hears of it.

use serde::Deserialize;
use squall_content::{Install, InstallError, install, load_again, uninstall, unload};
use squall_model::{ActionRef, Map, Str, Timestamp, Value};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the child is told on standard input.
#[derive(Debug, Clone, Deserialize)]
pub struct PackJob {
    /// The action.
    pub action: ActionRef,
    /// Its parameters.
    pub params: Map,
    /// Where packs are installed.
    pub packs_dir: PathBuf,
    /// Who asked.
    pub user: String,
}

/// Whether an action changes packs on disk or what is loaded of them.
pub(crate) fn is_pack_job(action: &ActionRef) -> bool {
    &*action.pack == "packs"
        && matches!(&*action.name, "install" | "uninstall" | "load" | "unload" | "download" | "delete")
}

/// Does the job; the text of an error is what the person reads.
///
/// # Errors
/// When nothing could be done.
pub fn run_pack_job(job: &PackJob) -> Result<Value, String> {
    match &*job.action.name {
        "install" => install_packs(job).map(|(result, _)| result),
        "download" => install_packs(job).map(|(_, results)| results),
        "uninstall" | "delete" => each(job, "Removed", uninstall),
        "unload" => each(job, "Unloaded", unload),
        // Loading is what the server does after every pack job.
        "load" => {
            load_again(&names(job), &job.packs_dir).map_err(|e| e.to_string())?;
            Ok(Value::from_pairs([("message", "All packs are loaded.")]))
        }
        _ => Err(format!("`{}` is not available in this version", job.action)),
    }
}

fn names(job: &PackJob) -> Vec<String> {
    let listed = job.params.get("packs").and_then(Value::as_list).unwrap_or_default();
    listed.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The results of an installation, in today's form and as `packs.download` gave them in 2016.
fn install_packs(job: &PackJob) -> Result<(Value, Value), String> {
    let text = |name: &str| job.params.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    let flag = |name: &str| job.params.get(name).is_some_and(Value::is_truthy);
    let env = job.params.get("env").and_then(Value::as_map).into_iter().flatten();
    let request = Install {
        packs: names(job),
        repo_url: text("repo_url"),
        branch: text("branch"),
        subtree: flag("subtree"),
        force: flag("force"),
        replace_origin: flag("force"),
        // Whoever may run this action is an administrator of the server.
        allow_local: true,
        env: env.filter_map(|(k, v)| Some((k.to_string(), v.as_str()?.to_owned()))).collect(),
        installed_by: job.user.clone(),
        installed_at: now().to_iso(),
        ..Install::default()
    };
    let installed = install(&request, &job.packs_dir).map_err(|e| e.to_string())?;
    let list: Vec<Value> = installed.packs.iter().map(|p| Value::from(&*p.name)).collect();
    let warnings: Vec<Value> =
        installed.packs.iter().flat_map(|p| &p.diagnostics).map(|d| Value::from(d.to_string())).collect();
    let failed: Vec<String> = installed
        .results
        .iter()
        .filter(|(_, result)| !result.starts_with("Success"))
        .map(|(name, result)| format!("{name}: {result}"))
        .collect();
    let message = if failed.is_empty() {
        "Successfully installed packs".to_owned()
    } else {
        format!("Installed what could be installed; {}", failed.join("; "))
    };
    let output = Value::from_pairs([
        ("packs_list", Value::from(list)),
        ("message", message.into()),
        ("conflict_list", Vec::new().into()),
        ("warning_list", warnings.into()),
    ]);
    let results = installed.results.into_iter().map(|(k, v)| (Str::from(k), Value::from(v))).collect::<Map>();
    Ok((Value::from_pairs([("output", output)]), results.into()))
}

/// Does the same to every pack that is named.
fn each(job: &PackJob, done: &str, change: fn(&str, &Path) -> Result<(), InstallError>) -> Result<Value, String> {
    let names = names(job);
    if names.is_empty() {
        return Err("no packs are named".into());
    }
    for name in &names {
        change(name, &job.packs_dir).map_err(|e| e.to_string())?;
    }
    Ok(Value::from_pairs([("message", format!("{done} {}", names.join(", ")))]))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
