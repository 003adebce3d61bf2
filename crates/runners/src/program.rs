//! Actions that this very program carries out in a child of its own: pack jobs, which use the network and the disk.
//!
//! The child is told on standard input what to do and answers one JSON value on standard output; the last line of
//! standard error says why it failed.

use crate::job::{Ended, Finish, Job, Why};
use crate::{Setting, Streams};
use squall_model::{Outcome, Status, Value, WorkItem, from_json, to_json};
use std::time::Duration;

/// Name of the runner.
pub(crate) const NAME: &str = "native";

/// How long a pack job may take when its action does not say: a large repository over a slow line.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A job for this program: `squall __packs`.
pub(crate) fn plan(item: &WorkItem, setting: &Setting) -> Result<Job, String> {
    let known = |name: &str| {
        let value = item.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        Value::from(value.unwrap_or_default())
    };
    let told = Value::from_pairs([
        ("action", Value::from(item.action.to_string())),
        ("params", Value::from(item.action_params.clone())),
        ("packs_dir", known("SQUALL_PACKS_DIR")),
        ("user", known("SQUALL_USER")),
    ]);
    let timeout = item.timeout.max(TIMEOUT);
    Ok(Job {
        // A path that stays right when the file is replaced during an upgrade.
        program: "/proc/self/exe".into(),
        args: vec!["__packs".into()],
        env: item.env.clone(),
        cwd: None,
        stdin: Some(to_json(&told)),
        timeout,
        grace: setting.grace,
        cgroup: setting.cgroup.map(Into::into),
        detach: false,
        finish: Finish { runner: NAME.into(), seconds: timeout.as_secs(), sudo_user: None },
    })
}

/// The child's answer, or why there is none.
pub(crate) fn conclude(ended: &Ended, streams: Streams) -> Outcome {
    match (&ended.why, ended.code) {
        (Why::Exited, Some(0)) => match from_json(streams.stdout.trim(), false) {
            Ok(result) => Outcome::succeeded(result),
            Err(error) => Outcome::failed(format!("the pack job answered something that is {error}")),
        },
        (Why::NotSpawned(text), _) => Outcome::failed(text.as_str()),
        (Why::TimedOut, _) => {
            let text = format!("the pack job did not end within {} seconds", ended.finish.seconds);
            Outcome { status: Status::Timeout, ..Outcome::failed(text) }
        }
        (Why::Canceled, _) => Outcome { status: Status::Canceled, result: Value::Null },
        (Why::Orphaned, _) => Outcome { status: Status::Abandoned, ..Outcome::failed("the server stopped meanwhile") },
        (Why::Exited, code) => {
            let said = streams.stderr.trim().trim_start_matches("error: ");
            let text = if said.is_empty() { format!("the pack job ended with {code:?}") } else { said.to_owned() };
            Outcome::failed(text)
        }
    }
}
