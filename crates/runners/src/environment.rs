//! What an action inherits of the server's environment: everything, except what is the server's own secret or
//! belongs to the one who started it.

use std::ffi::{OsStr, OsString};

/// Names that are not handed on, by how they begin.
const PREFIXES: &[&str] = &["SQUALL_", "ST2_AUTH_", "ST2_API_KEY", "ST2_ACTION_", "HUBOT_", "LISTEN_", "WATCHDOG_"];

/// Names that are not handed on.
const NAMES: &[&str] = &[
    "CREDENTIALS_DIRECTORY",
    "NOTIFY_SOCKET",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "DATABASE_URL",
    "PGPASSWORD",
    "PGPASSFILE",
    "NATS_URL",
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
    "SLACK_TOKEN",
    "MATTERMOST_ACCESS_TOKEN",
    "MATRIX_ACCESS_TOKEN",
    "TELEGRAM_TOKEN",
    "DISCORD_TOKEN",
];

fn is_private(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The server's environment as its actions may see it, with a terminal that can do nothing.
pub(crate) fn inherited(all: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<_> = all.into_iter().filter(|(name, _)| name != "TERM" && !is_private(name)).collect();
    kept.push(("TERM".into(), "dumb".into()));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e05_secrets_of_the_server_stay_behind() {
        let all = ["PATH=/bin", "SQUALL_KEY=x", "NOTIFY_SOCKET=x", "LISTEN_FDS=1", "TERM=xterm", "ST2_AUTH_TOKEN=x"];
        let pairs = all.iter().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into()));
        let kept: Vec<String> = inherited(pairs)
            .into_iter()
            .map(|(k, v)| format!("{}={}", k.to_str().unwrap(), v.to_str().unwrap()))
            .collect();
        assert_eq!(kept, ["PATH=/bin", "TERM=dumb"]);
    }
}
