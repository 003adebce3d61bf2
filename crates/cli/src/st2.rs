//! The same program under the name `st2`: the original client's grammar for what squall serves.
//!
//! A first word that is an action reference runs that action, as early clients did: `st2 packs.install packs=…`.

use crate::client::{Client, escaped};
use crate::commands::{self, People, execute, print_execution};
use crate::exit::{self, Done, Stop};
use crate::output::{Form, properties, say, table};
use crate::resource::{self, Looking};
use crate::st2ctl::target;
use clap::{Args, Parser, Subcommand};
use squall_model::Value;
use std::process::ExitCode;
use std::time::Duration;

/// StackStorm's client, served by squall.
#[derive(Parser)]
#[command(name = "st2", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    form: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an action.
    Run(Run),
    /// Actions: list, get, execute.
    #[command(subcommand)]
    Action(Action),
    /// Action aliases: list, get, match, execute.
    #[command(subcommand, name = "action-alias")]
    ActionAlias(Alias),
    /// Executions: list, get, cancel, pause, resume.
    #[command(subcommand)]
    Execution(commands::Execution),
    /// The datastore: list, get, set, delete.
    #[command(subcommand)]
    Key(commands::Key),
    /// Packs: list, install, remove.
    #[command(subcommand)]
    Pack(commands::Pack),
    /// Rules: list, get.
    #[command(subcommand)]
    Rule(Looking),
    /// Trigger types: list, get.
    #[command(subcommand)]
    Trigger(Looking),
    /// Sensors: list, get.
    #[command(subcommand)]
    Sensor(Looking),
    /// Policies: list, get.
    #[command(subcommand)]
    Policy(Looking),
    /// Types of policies: list, get.
    #[command(subcommand, name = "policy-type")]
    PolicyType(Looking),
    /// Runners: list, get.
    #[command(subcommand)]
    Runner(Looking),
    /// Get a token.
    Auth(Auth),
    /// Who I am for the server.
    Whoami,
    /// Load all packs again.
    Reload,
}

#[derive(Args)]
struct Run {
    /// The action.
    action: String,
    /// Its parameters.
    params: Vec<String>,
    /// Do not wait for the end.
    #[arg(long = "async", short = 'a')]
    no_wait: bool,
}

#[derive(Subcommand)]
enum Action {
    /// List actions.
    List {
        /// Of this pack.
        #[arg(long, short)]
        pack: Option<String>,
    },
    /// Show an action.
    Get {
        /// Its reference.
        reference: String,
    },
    /// Run an action.
    Execute(Run),
}

#[derive(Subcommand)]
enum Alias {
    /// List aliases.
    List,
    /// Show an alias.
    Get {
        /// Its reference.
        reference: String,
    },
    /// Which alias a command reaches.
    Match {
        /// The command.
        text: String,
    },
    /// Run a command.
    Execute {
        /// The command.
        text: String,
        /// For this user.
        #[arg(long, short)]
        user: Option<String>,
    },
}

#[derive(Args)]
struct Auth {
    /// The user.
    username: String,
    /// The password.
    #[arg(long, short)]
    password: String,
    /// Print the token alone.
    #[arg(long, short)]
    token_only: bool,
    /// Seconds.
    #[arg(long, short = 'l')]
    ttl: Option<u64>,
}

/// The longest that a client waits for an execution.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// Reads the command line and carries it out.
pub fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|first| is_reference(first)) {
        words.insert(1, "run".into());
    }
    let cli = Cli::parse_from(words);
    exit::code(run(cli))
}

/// `pack.name`, and no option, path or file.
fn is_reference(word: &str) -> bool {
    word.parse::<squall_model::ActionRef>().is_ok_and(|r| {
        let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
        plain(&r.pack) && plain(&r.name) && !word.starts_with('-')
    })
}

fn run(cli: Cli) -> Done {
    let client = Client::connect(&target())?;
    let form = cli.form;
    match cli.command {
        Command::Run(run) | Command::Action(Action::Execute(run)) => run.run(&client, form),
        Command::Action(Action::List { pack }) => {
            let filter = pack.map_or_else(String::new, |p| format!("&pack={}", escaped(&p)));
            let actions = client.get(&format!("actions?limit=-1{filter}"))?;
            form.print(&actions, || {
                let columns = [("ref", "ref"), ("pack", "pack"), ("description", "description")];
                table(&columns, actions.as_list().unwrap_or_default())
            });
            Ok(())
        }
        Command::Action(Action::Get { reference }) => {
            let action = client.get(&format!("actions/{}", escaped(&reference)))?;
            form.print(&action, || fields(&action));
            Ok(())
        }
        Command::ActionAlias(alias) => alias.run(&client, form),
        Command::Execution(execution) => execution.run(&client, form),
        Command::Key(key) => key.run(&client, form),
        Command::Pack(pack) => pack.run(&client, form),
        Command::Rule(what) => what.run(&client, form, &resource::RULES),
        Command::Trigger(what) => what.run(&client, form, &resource::TRIGGERS),
        Command::Sensor(what) => what.run(&client, form, &resource::SENSORS),
        Command::Policy(what) => what.run(&client, form, &resource::POLICIES),
        Command::PolicyType(what) => what.run(&client, form, &resource::POLICY_TYPES),
        Command::Runner(what) => what.run(&client, form, &resource::RUNNERS),
        Command::Auth(auth) => auth.run(&client),
        Command::Whoami => {
            let me = client.get("user")?;
            form.print(&me, || fields(&me));
            Ok(())
        }
        Command::Reload => {
            let loaded = client.post("squall/reload", &Value::map())?;
            say(&commands::reload_summary(&loaded));
            Ok(())
        }
    }
}

/// Every field of a record.
pub fn fields(record: &Value) -> String {
    let pairs: Vec<(&str, Value)> =
        record.as_map().into_iter().flatten().map(|(key, value)| (&**key, value.clone())).collect();
    properties(&pairs)
}

impl Run {
    fn run(&self, client: &Client, form: Form) -> Done {
        let started = execute(client, &self.action, &self.params)?;
        if self.no_wait {
            let id = started.execution.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            form.print(&started.execution, || format!("To get the results, execute:\n st2 execution get {id}"));
            return Ok(());
        }
        started.question(client)?;
        let ended = started.wait(client, PATIENCE, People::LeaveAlone)?;
        print_execution(&ended, form);
        // The original client ends with 0 whatever became of the execution, except for a failure.
        match ended.get("status").and_then(Value::as_str) {
            Some("failed" | "timeout" | "abandoned" | "canceled") => Err(Stop::Said),
            _ => Ok(()),
        }
    }
}

impl Alias {
    fn run(&self, client: &Client, form: Form) -> Done {
        match self {
            Alias::List => {
                let aliases = client.get("actionalias?limit=-1")?;
                form.print(&aliases, || {
                    let columns = [("ref", "ref"), ("action", "action_ref"), ("description", "description")];
                    table(&columns, aliases.as_list().unwrap_or_default())
                });
            }
            Alias::Get { reference } => {
                let alias = client.get(&format!("actionalias/{}", escaped(reference)))?;
                form.print(&alias, || fields(&alias));
            }
            Alias::Match { text } => {
                let body = Value::from_pairs([("command", text.as_str())]);
                let found = client.post("actionalias/match", &body)?;
                form.print(&found, || fields(&found));
            }
            Alias::Execute { text, user } => {
                let body = Value::from_pairs([
                    ("command", text.as_str()),
                    ("user", user.as_deref().unwrap_or_default()),
                    ("source_channel", "cli"),
                ]);
                let started = client.post("aliasexecution/match_and_execute", &body)?;
                form.print(&started, || {
                    let ids = started.get("results").and_then(Value::as_list).unwrap_or_default().iter();
                    let id =
                        |r: &Value| r.at(&["execution", "id"]).and_then(Value::as_str).unwrap_or_default().to_owned();
                    ids.map(|r| format!("To get the results, execute:\n st2 execution get {}\n", id(r))).collect()
                });
            }
        }
        Ok(())
    }
}

impl Auth {
    fn run(&self, client: &Client) -> Done {
        let (token, expires) = client.log_in(&self.username, &self.password, self.ttl)?;
        say(&if self.token_only { token } else { format!("token: {token}\nexpiry: {expires}") });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_run() {
        assert!(is_reference("packs.install") && is_reference("st2.kv.set"));
        assert!(!is_reference("run") && !is_reference("--version") && !is_reference("./x.y") && !is_reference("a.b=c"));
    }
}
