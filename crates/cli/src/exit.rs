//! Exit codes, and the one error that commands end with.

use std::process::ExitCode;

/// Done.
pub const DONE: u8 = 0;
/// The thing asked for failed.
pub const FAILED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// Held for confirmation, and not waited for.
pub const HELD: u8 = 3;
/// A confirmation was denied.
pub const DENIED: u8 = 4;
/// A confirmation expired.
pub const EXPIRED: u8 = 5;
/// A confirmation is void.
pub const VOID: u8 = 6;

/// Stopped by Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The person typed something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
    /// It failed and everything is said already.
    #[error("")]
    Said,
    /// A confirmation decided otherwise; everything is said already.
    #[error("")]
    Code(u8),
}

impl Stop {
    /// Says it on standard error and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let text = self.to_string();
        if !text.is_empty() {
            eprintln!("error: {text}");
        }
        ExitCode::from(match self {
            Stop::Usage(_) => USAGE,
            Stop::Failed(_) | Stop::Said => FAILED,
            Stop::Code(code) => *code,
        })
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Stop {
        Stop::Failed(error.to_string())
    }
}

/// What a command gives back.
pub type Done = Result<(), Stop>;

/// The exit code of a command.
pub fn code(done: Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::from(DONE),
        Err(stop) => stop.report(),
    }
}
