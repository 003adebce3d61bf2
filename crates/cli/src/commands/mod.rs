//! The commands of `squall`. One module for each; a line in [`Command`] adds one.

mod alias;
mod chat;
mod eval;
mod execution;
mod key;
mod pack;
mod packs_job;
mod run;
mod server;
mod simulate;
mod up;

pub use execution::{Execution, print as print_execution};
pub use key::Key;
pub use pack::Pack;
pub use run::execute;
pub use server::summary as reload_summary;

use crate::client::{Client, Target};
use crate::exit::{self, Done};
use crate::output::Form;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// An automation and ChatOps server: type a command in chat, confirm it, see what happened.
#[derive(Parser)]
#[command(name = "squall", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server: everything in one process, until it is interrupted.
    Up(up::Up),
    /// Open a terminal chat on the server.
    Chat(chat::Chat),
    /// Run an action and wait for its result.
    Run(run::Run),
    /// Look at executions, cancel, pause and resume them.
    #[command(subcommand, visible_alias = "executions")]
    Execution(Execution),
    /// Read and write the datastore.
    #[command(subcommand, visible_alias = "keys")]
    Key(Key),
    /// Install, remove and list packs.
    #[command(subcommand, visible_alias = "packs")]
    Pack(Pack),
    /// Load all packs again.
    Reload(server::Reload),
    /// Check packs without a server: every problem with its place.
    Check(pack::Check),
    /// Evaluate an expression.
    Eval(eval::Eval),
    /// Try workflows without a server.
    #[command(subcommand)]
    Workflow(simulate::Workflow),
    /// Try chat commands without a server.
    #[command(subcommand)]
    Alias(alias::Alias),
    /// Try rules without a server.
    #[command(subcommand)]
    Rule(eval::Rule),
    /// Try the rendering of parameters without a server.
    #[command(subcommand)]
    Action(eval::Action),
    /// Print a fresh token, for scripts and for other clients.
    Token(server::Token),
    /// Print every bound that the server keeps, and what happens beyond it.
    Limits(server::Limits),
    /// Run a pack job told on standard input; the server starts it.
    #[command(name = "__packs", hide = true)]
    PackJob,
}

/// Reads the command line and carries it out.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    exit::code(run(cli))
}

fn run(cli: Cli) -> Done {
    let Cli { target, form, command } = cli;
    match command {
        Command::Up(up) => up.run(&target),
        Command::Chat(chat) => chat.run(&target),
        Command::Run(run) => run.run(&Client::connect(&target)?, form),
        Command::Execution(execution) => execution.run(&Client::connect(&target)?, form),
        Command::Key(key) => key.run(&Client::connect(&target)?, form),
        Command::Pack(pack) => pack.run(&Client::connect(&target)?, form),
        Command::Reload(reload) => reload.run(&Client::connect(&target)?, form),
        Command::Check(check) => check.run(&target, form),
        Command::Eval(eval) => eval.run(form),
        Command::Workflow(workflow) => workflow.run(form),
        Command::Alias(alias) => alias.run(&target, form),
        Command::Rule(rule) => rule.run(),
        Command::Action(action) => action.run(),
        Command::Token(token) => token.run(&Client::connect(&target)?),
        Command::Limits(limits) => limits.run(form),
        Command::PackJob => packs_job::run(),
    }
}
