//! What you can type: `squall`, and the same program under the names `st2` and `st2ctl`.
//!
//! The supervisor of an attempt is this program too (`squall __run SPOOL`). It branches off before anything else is set
//! up, because it starts once for every action that runs.

mod cast;
mod chat;
mod client;
mod commands;
mod exit;
mod notify;
mod output;
mod resource;
mod st2;
mod st2ctl;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    if args.next().is_some_and(|first| first == "__run") {
        return match args.next() {
            Some(spool) => squall_runners::supervise::main(Path::new(&spool)),
            None => ExitCode::from(exit::USAGE),
        };
    }
    let name = Path::new(&program).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    match name.as_str() {
        "st2" => st2::main(),
        "st2ctl" => st2ctl::main(),
        _ => commands::main(),
    }
}
