//! The commands of `squall`. One module for each; a line in [`Command`] adds one.

mod alias;
mod audit;
mod backup;
mod chat;
mod confirm;
mod doctor;
mod eval;
mod execution;
mod explain;
mod history;
mod key;
mod pack;
mod packs_job;
mod people;
mod policy;
mod repl;
mod rerun;
mod run;
mod server;
mod simulate;
mod trial;
mod up;

pub use execution::{Execution, print as print_execution};
pub use key::Key;
pub use pack::Pack;
pub use run::{People, execute, schemas};
pub use server::summary as reload_summary;

use crate::client::{Client, Target, Where, WhereFirst};
use crate::exit::{self, Done};
use crate::output::Form;
use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;

/// An automation and ChatOps server: type a command in chat, confirm it, see what happened.
#[derive(Parser)]
#[command(name = "squall", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    first: WhereFirst,
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    command: Command,
}

/// A command about a server.
#[derive(Args)]
struct On<T: Args> {
    #[command(flatten)]
    after: Where,
    #[command(flatten)]
    what: T,
}

/// A group of commands about a server.
#[derive(Args)]
struct Of<T: Subcommand> {
    #[command(flatten)]
    after: Where,
    #[command(subcommand)]
    what: T,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server: everything in one process, until it is interrupted.
    Up(On<up::Up>),
    /// Open a terminal chat on the server.
    Chat(On<chat::Chat>),
    /// Run an action and wait for its result.
    Run(On<run::Run>),
    /// Say yes to what waits under a code.
    Confirm(On<confirm::Confirm>),
    /// Say no to what waits under a code, or withdraw what you asked for.
    Deny(On<confirm::Deny>),
    /// Take back what you asked for and what still waits.
    Withdraw(On<confirm::Withdraw>),
    /// What waits for people.
    Confirmations(On<confirm::Confirmations>),
    /// Who would be asked about a command; whether the rules of confirmation hold together.
    Policy(Of<policy::Policy>),
    /// Make, change, show and delete users, their passwords and second factors.
    #[command(visible_alias = "users")]
    User(Of<people::User>),
    /// Give and take roles.
    #[command(visible_alias = "roles")]
    Role(Of<people::Role>),
    /// Say who somebody on a chat network is; without arguments, list who is linked.
    Link(On<people::Link>),
    /// What happened around people and confirmations, and whether the log of it is whole.
    Audit(Of<audit::Audit>),
    /// Look at executions, cancel, pause and resume them.
    #[command(visible_alias = "executions")]
    Execution(Of<Execution>),
    /// Read and write the datastore.
    #[command(visible_alias = "keys")]
    Key(Of<Key>),
    /// Install, remove and list packs.
    #[command(visible_alias = "packs")]
    Pack(Of<Pack>),
    /// Load all packs again.
    Reload(On<server::Reload>),
    /// Check packs without a server: every problem with its place.
    Check(On<pack::Check>),
    /// Copy everything that a server needs, and put it back.
    Backup(Of<backup::Backup>),
    /// Look for what is wrong: the data directory, the database, the packs.
    Doctor(On<doctor::Doctor>),
    /// Evaluate an expression.
    Eval(eval::Eval),
    /// Try workflows without a server.
    #[command(subcommand)]
    Workflow(simulate::Workflow),
    /// Try chat commands without a server.
    Alias(Of<alias::Alias>),
    /// Try rules without a server.
    #[command(subcommand)]
    Rule(trial::Rule),
    /// Try the rendering of parameters without a server.
    #[command(subcommand)]
    Action(trial::Action),
    /// Print a fresh token, for scripts and for other clients.
    Token(On<server::Token>),
    /// Print every bound that the server keeps, and what happens beyond it.
    Limits(server::Limits),
    /// Say what an error code means.
    Explain(explain::Explain),
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
    let Cli { first, form, command } = cli;
    let client = |after: Where| Client::connect(&Target::of(first.clone(), after));
    match command {
        Command::Up(On { after, what }) => what.run(&Target::of(first, after)),
        Command::Chat(On { after, what }) => what.run(&Target::of(first, after)),
        Command::Run(On { after, what }) => what.run(&client(after)?, form),
        Command::Confirm(On { after, what }) => what.run(&client(after)?, form),
        Command::Deny(On { after, what }) => what.run(&client(after)?, form),
        Command::Withdraw(On { after, what }) => what.run(&client(after)?, form),
        Command::Confirmations(On { after, what }) => what.run(&client(after)?, form),
        Command::Policy(Of { after, what }) => {
            let target = Target::of(first, after);
            what.run(|| Client::connect(&target), &target, form)
        }
        Command::User(Of { after, what }) => {
            let target = Target::of(first, after);
            what.run(&Client::connect(&target)?, &target, form)
        }
        Command::Role(Of { after, what }) => what.run(&client(after)?, form),
        Command::Audit(Of { after, what }) => what.run(&client(after)?, form),
        Command::Link(On { after, what }) => what.run(&client(after)?, form),
        Command::Execution(Of { after, what }) => what.run(&client(after)?, form),
        Command::Key(Of { after, what }) => what.run(&client(after)?, form),
        Command::Pack(Of { after, what }) => what.run(&client(after)?, form),
        Command::Reload(On { after, what }) => what.run(&client(after)?, form),
        Command::Check(On { after, what }) => what.run(&Target::of(first, after), form),
        Command::Backup(Of { after, what }) => what.run(&Target::of(first, after)),
        Command::Doctor(On { after, what }) => what.run(&Target::of(first, after), form),
        Command::Eval(eval) => eval.run(form),
        Command::Workflow(workflow) => workflow.run(form),
        Command::Alias(Of { after, what }) => what.run(&Target::of(first, after), form),
        Command::Rule(rule) => rule.run(form),
        Command::Action(action) => action.run(form),
        Command::Token(On { after, what }) => what.run(&client(after)?),
        Command::Limits(limits) => limits.run(form),
        Command::Explain(explain) => explain.run(),
        Command::PackJob => packs_job::run(),
    }
}
