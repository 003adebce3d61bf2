//! `local-shell-cmd` and `local-shell-script`: a command line, run by `/bin/sh` on this machine.
//!
//! Which words the shell gets is decided here and nowhere else, and every word that is not the author's own command is
//! quoted. A sudo password goes to standard input, never into an argument.
//!
//! Start reading at [`plan_command`] and [`conclude`].

mod arguments;
mod python_text;
mod quote;

use crate::job::{Ended, Finish, Job, Why};
use crate::{Setting, Streams};
use quote::quote;
use squall_model::{Outcome, Status, Value, WorkItem, from_json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Name of the runner for a command.
pub(crate) const COMMAND: &str = "local-shell-cmd";
/// Name of the runner for a file of the pack.
pub(crate) const SCRIPT: &str = "local-shell-script";

/// A job for the command in `cmd`.
pub(crate) fn plan_command(item: &WorkItem, setting: &Setting) -> Result<Job, String> {
    if !item.entry_point.is_empty() {
        return Err("entry_point is only valid for local-shell-script runner".into());
    }
    match parameter(item, "cmd") {
        Some(cmd) => plan(item, setting, &python_text::text(cmd)),
        None => Err(format!("{} has no command: the parameter `cmd` is missing", item.action)),
    }
}

/// A job for the action's entry point, with its parameters as arguments.
pub(crate) fn plan_script(item: &WorkItem, setting: &Setting) -> Result<Job, String> {
    if item.entry_point.is_empty() {
        return Err("Missing entry_point action metadata attribute".into());
    }
    let script = script_path(item);
    make_executable(&script);
    let path = script.to_str().ok_or_else(|| format!("the path {} is not UTF-8", script.display()))?;
    let line = arguments::command_line(path, item).map_err(|e| e.to_string())?;
    plan(item, setting, &line)
}

/// Below the pack's `actions` folder; an absolute entry point stays what it is.
fn script_path(item: &WorkItem) -> PathBuf {
    Path::new(&item.pack_dir).join("actions").join(&item.entry_point)
}

/// Packs from archives often lack the bit. On a read-only file system the shell will say what is wrong.
fn make_executable(script: &Path) {
    let Ok(metadata) = fs::metadata(script) else { return };
    let mode = metadata.permissions().mode();
    if mode & 0o111 != 0o111 {
        let _ = fs::set_permissions(script, fs::Permissions::from_mode(mode | 0o111));
    }
}

/// A parameter of the runner that is there and not null.
fn parameter<'a>(item: &'a WorkItem, name: &str) -> Option<&'a Value> {
    item.runner_params.get(name).filter(|value| !value.is_null())
}

fn plan(item: &WorkItem, setting: &Setting, line: &str) -> Result<Job, String> {
    let sudo = item.runner_params.get("sudo").is_some_and(Value::is_truthy);
    let password = parameter(item, "sudo_password").filter(|value| sudo && value.is_truthy());
    let line = as_user(line, sudo, password.is_some(), setting.system_user).map_err(|e| e.to_string())?;
    let user = || setting.system_user.map_or_else(service_user, str::to_owned);
    Ok(Job {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), line],
        env: environment(item)?,
        cwd: parameter(item, "cwd").map(python_text::text).filter(|cwd| !cwd.is_empty()),
        stdin: password.map(|password| python_text::text(password) + "\n"),
        timeout: item.timeout,
        grace: setting.grace,
        cgroup: setting.cgroup.map(Path::to_owned),
        detach: item.runner_params.get("detach").is_some_and(Value::is_truthy),
        finish: Finish { runner: item.runner.clone(), seconds: item.timeout.as_secs(), sudo_user: sudo.then(user) },
    })
}

/// The line as the one who is to run it: root by sudo, the system user if that is somebody else, or ourselves.
fn as_user(line: &str, sudo: bool, password: bool, system_user: Option<&str>) -> Result<String, quote::HasNul> {
    Ok(match (sudo, system_user) {
        (true, _) if password => format!("sudo -S -E -- bash -c {}", quote(line)?),
        (true, _) => format!("sudo -E -- bash -c {}", quote(line)?),
        (false, Some(user)) => format!("sudo -E -H -u {} -- bash -c {}", quote(user)?, quote(line)?),
        (false, None) => line.to_owned(),
    })
}

/// The `env` parameter, then what the engine sets, which wins.
fn environment(item: &WorkItem) -> Result<Vec<(String, String)>, String> {
    let mut env = Vec::new();
    let given = item.runner_params.get("env").and_then(Value::as_map);
    for (name, value) in given.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("`{name}` cannot be the name of an environment variable; check the parameter `env`"));
        }
        env.push((name.to_string(), python_text::text(value)));
    }
    env.extend(item.env.iter().cloned());
    Ok(env)
}

/// Who runs the server, by name if the machine knows one.
fn service_user() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or(uid)
}

/// The outcome in StackStorm's shape.
pub(crate) fn conclude(ended: &Ended, streams: Streams) -> Outcome {
    let refused = wrong_password(ended, &streams.stderr);
    let (status, code, error) = match &ended.why {
        Why::NotSpawned(text) => return Outcome::failed(text.as_str()),
        Why::TimedOut => (Status::Timeout, -9, Some(timed_out(ended))),
        Why::Canceled => (Status::Canceled, ended.code.unwrap_or(-15), None),
        Why::Orphaned => (Status::Abandoned, ended.code.unwrap_or(-15), Some(orphaned(ended))),
        Why::Exited if refused.is_some() => (Status::Failed, -1, refused),
        Why::Exited => match ended.code.unwrap_or(-1) {
            0 => (Status::Succeeded, 0, None),
            // Like StackStorm, which cannot tell a stranger's SIGKILL from its own.
            -9 => (Status::Timeout, -9, Some(timed_out(ended))),
            -15 => (Status::Abandoned, -15, None),
            code => (Status::Failed, code, None),
        },
    };
    let succeeded = status == Status::Succeeded;
    let mut pairs = vec![
        ("failed", Value::from(!succeeded)),
        ("succeeded", Value::from(succeeded)),
        ("return_code", Value::from(code)),
        ("stdout", stream_value(streams.stdout)),
        ("stderr", stream_value(streams.stderr)),
    ];
    pairs.extend(error.map(|text| ("error", Value::from(text))));
    Outcome { status, result: Value::from_pairs(pairs) }
}

fn timed_out(ended: &Ended) -> String {
    format!("Action failed to complete in {} seconds", ended.finish.seconds)
}

fn orphaned(ended: &Ended) -> String {
    let seen = jiff::Timestamp::from_microsecond(ended.ended).map_or_else(|_| "?".into(), |at| at.to_string());
    format!("the server stopped while this ran; every process of it was ended at {seen}")
}

/// What to say when sudo refused the password.
fn wrong_password(ended: &Ended, stderr: &str) -> Option<String> {
    let user = ended.finish.sudo_user.as_ref()?;
    let says_so = |line: &str| {
        let rest = line.split_once("sudo: ")?.1.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.starts_with(" incorrect password attempt").then_some(())
    };
    stderr.lines().find_map(says_so)?;
    Some(format!("Invalid sudo password provided or sudo is not configured for this user ({user})"))
}

/// One trailing newline and one carriage return less, and what is JSON as what it says.
fn stream_value(mut text: String) -> Value {
    for end in ['\n', '\r'] {
        if text.ends_with(end) {
            text.pop();
        }
    }
    match from_json(&text, false) {
        Ok(value) if is_finite(&value) => value,
        _ => Value::from(text),
    }
}

/// `1e400` is a number to some readers of JSON, not to StackStorm's. Depth is bounded by the reader.
fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float(x) => x.is_finite(),
        Value::List(items) => items.iter().all(is_finite),
        Value::Map(map) => map.values().all(is_finite),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
