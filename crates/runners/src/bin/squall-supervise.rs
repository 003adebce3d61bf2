//! The supervisor alone, for this room's tests; the product re-executes itself as `squall __run SPOOL`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args_os().nth(2) {
        Some(spool) => squall_runners::supervise::main(Path::new(&spool)),
        None => {
            eprintln!("usage: squall-supervise __run SPOOL");
            ExitCode::FAILURE
        }
    }
}
