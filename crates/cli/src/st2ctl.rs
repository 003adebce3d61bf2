//! The same program under the name `st2ctl`: what the original control script can be told here.

use crate::client::{Client, Target, Where, WhereFirst};
use crate::commands::reload_summary;
use crate::exit::{self, Done, Stop};
use crate::output::say;
use squall_model::Value;
use squall_server::Endpoints;
use std::process::ExitCode;

/// What each word after `reload` may be; all of them load everything, since loading is whole and takes milliseconds.
const FLAGS: &[&str] = &[
    "--register-all",
    "--register-triggers",
    "--register-sensors",
    "--register-runners",
    "--register-actions",
    "--register-rules",
    "--register-aliases",
    "--register-policies",
    "--register-configs",
    "--register-setup-virtualenvs",
    "--register-recreate-virtualenvs",
    "--register-fail-on-failure",
    "--register-no-fail-on-failure",
    "--verbose",
];

const USAGE: &str = "usage: st2ctl reload [--register-all | --register-actions | …] | status";

/// Reads the command line and carries it out.
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    exit::code(run(&words))
}

/// The server that the environment names.
pub fn target() -> Target {
    Target::of(WhereFirst::default(), Where::default())
}

fn run(words: &[String]) -> Done {
    match words.first().map(String::as_str) {
        Some("reload") => {
            if let Some(wrong) = words[1..].iter().find(|w| !FLAGS.contains(&w.as_str())) {
                return Err(Stop::Failed(format!("Invalid flag provided: {wrong}")));
            }
            let loaded = Client::connect(&target())?.post("squall/reload", &Value::map())?;
            say(&reload_summary(&loaded));
            Ok(())
        }
        Some("status") => {
            let target = target();
            match Endpoints::load(&target.data)? {
                Some(found) => {
                    say(&format!("squall is running (PID {}), API {}", found.pid, found.api));
                    Ok(())
                }
                None => Err(Stop::Failed(format!("squall is not running on {}", target.data.display()))),
            }
        }
        Some(word @ ("start" | "stop" | "restart" | "restart-component" | "reopen-log-files" | "clean")) => {
            Err(Stop::Usage(format!(
                "`{word}` has no meaning here: squall is one process, `squall up` starts it and Ctrl-C or SIGTERM stops it"
            )))
        }
        _ => Err(Stop::Usage(USAGE.into())),
    }
}
