//! An older or newer version of a pack for one run: what `content_version` asks for.
//!
//! A git worktree in the folder for temporary files, made before the action is planned and removed after it ended; with
//! `debug` it stays for whoever wants to look. After a crash it stays as well.

use squall_model::{Value, WorkItem};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A checkout that takes longer than this is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A checked-out version of a pack.
pub(crate) struct Worktree {
    pack_dir: String,
    path: PathBuf,
    keep: bool,
}

/// Makes the worktree that `item` asks for, if it does, and points the item to it. The error is the text of the failure.
pub(crate) async fn add(item: &mut WorkItem) -> Result<Option<Worktree>, String> {
    let version = match item.runner_params.get("content_version") {
        Some(Value::Str(version)) if !version.is_empty() => version.clone(),
        _ => return Ok(None),
    };
    let failed = |reason: String| format!("Failed to create git worktree for pack \"{}\": {reason}", item.action.pack);
    if version.starts_with('-') {
        return Err(failed(format!("`{version}` is no revision; check content_version")));
    }
    let path = free_path().map_err(failed)?;
    let text = path.to_str().ok_or_else(|| failed(format!("the path {} is not UTF-8", path.display())))?.to_owned();
    git(&item.pack_dir, &["worktree", "add", "--detach", "--", &text, &version]).await.map_err(failed)?;
    let keep = item.runner_params.get("debug").is_some_and(Value::is_truthy);
    Ok(Some(Worktree { pack_dir: std::mem::replace(&mut item.pack_dir, text), path, keep }))
}

impl Worktree {
    /// Takes it away again; what cannot be removed is logged and left.
    pub(crate) async fn remove(self) {
        if self.keep {
            return;
        }
        let path = self.path.to_string_lossy();
        if let Err(error) = git(&self.pack_dir, &["worktree", "remove", "--force", "--", &path]).await {
            tracing::warn!(path = %path, error, "cannot remove a git worktree");
        }
    }
}

fn free_path() -> Result<PathBuf, String> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|e| e.to_string())?;
    Ok(std::env::temp_dir().join(format!("st2-git-worktree-{:08x}", u32::from_le_bytes(random))))
}

/// Runs git in `folder`, away from any repository that the server may have been started in. The error is what it said.
async fn git(folder: &str, args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.args(["-C", folder]).args(args).env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => Err(format!("git took longer than {} seconds", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(format!("cannot start git: {error}; is it installed?")),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
