//! `squall pack` and `squall check`.

use super::execution;
use super::run::{People, execute};
use crate::client::{Client, Target};
use crate::exit::{Done, Stop};
use crate::output::{Form, table};
use clap::{Args, Subcommand};
use squall_content::{Diagnostic, Loaded, Severity, Sources};
use squall_engine::confirmation::{lint, policy};
use squall_model::{Value, to_json};
use squall_server::rule_files;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Subcommand)]
pub enum Pack {
    /// List the packs that are loaded.
    List,
    /// Install packs from git repositories or directories.
    Install {
        /// `https://…`, `ssh://…`, `file://…` or a directory; `=VERSION` may follow.
        #[arg(required = true)]
        packs: Vec<String>,
        /// Replace what is there although it came from elsewhere.
        #[arg(long)]
        force: bool,
    },
    /// Remove packs from disk.
    #[command(visible_alias = "uninstall")]
    Remove {
        /// Their names.
        #[arg(required = true)]
        packs: Vec<String>,
    },
}

/// The longest that an installation may take.
const PATIENCE: Duration = Duration::from_secs(900);

impl Pack {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        match self {
            Pack::List => {
                let packs = client.get("packs?limit=-1")?;
                form.print(&packs, || {
                    let columns =
                        [("pack", "ref"), ("version", "version"), ("author", "author"), ("description", "description")];
                    table(&columns, packs.as_list().unwrap_or_default())
                });
                Ok(())
            }
            Pack::Install { packs, force } => {
                let packs: Vec<Value> = packs.iter().map(|p| Value::from(absolute(p))).collect();
                let words = vec![format!("packs={}", to_json(&packs.into())), format!("force={force}")];
                job(client, "packs.install", &words, form)
            }
            Pack::Remove { packs } => {
                let packs: Vec<Value> = packs.iter().map(|p| Value::from(p.as_str())).collect();
                job(client, "packs.uninstall", &[format!("packs={}", to_json(&packs.into()))], form)
            }
        }
    }
}

/// A directory is named from the server's point of view, whose working directory is another.
fn absolute(pack: &str) -> String {
    let path = PathBuf::from(pack);
    match path.is_dir().then(|| std::fs::canonicalize(&path)) {
        Some(Ok(path)) => format!("file://{}", path.display()),
        Some(Err(_)) | None => pack.to_owned(),
    }
}

fn job(client: &Client, action: &str, words: &[String], form: Form) -> Done {
    let ended = execute(client, action, words)?.wait(client, PATIENCE, People::WaitFor)?;
    let succeeded = execution::text(&ended, "status") == "succeeded";
    let result = ended.get("result").cloned().unwrap_or_default();
    form.print(&ended, || {
        let message = result.at(&["output", "message"]).or(result.get("error")).and_then(Value::as_str);
        message.map_or_else(|| squall_yaml::to_yaml(&result), str::to_owned)
    });
    if succeeded { Ok(()) } else { Err(Stop::Said) }
}

/// What is wrong with packs, and with the confirmations that they declare.
fn checked(loaded: Loaded, rules: Option<&policy::Policy>) -> Vec<Diagnostic> {
    let of_confirmations = lint::check(&loaded.registry, rules, None);
    loaded.diagnostics.into_iter().chain(of_confirmations).collect()
}

/// Check packs without a server.
#[derive(Args)]
pub struct Check {
    /// Pack directories; the installed packs when there are none.
    paths: Vec<PathBuf>,
}

impl Check {
    pub fn run(&self, target: &Target, form: Form) -> Done {
        let diagnostics = if self.paths.is_empty() {
            let sources = Sources { packs: vec![target.data.join("packs")], ..Sources::default() };
            let (rules, _) = policy::read(&rule_files(&target.data.join("confirm.d")));
            checked(squall_content::load(&sources), rules.as_ref())
        } else {
            self.paths.iter().flat_map(|path| checked(squall_content::check_pack(path), None)).collect()
        };
        let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        let all = Value::from(diagnostics.iter().map(|d| d.to_value()).collect::<Vec<_>>());
        form.print(&all, || {
            let mut text: String = diagnostics.iter().map(|d| format!("{d}\n")).collect();
            text.push_str(&format!("{errors} errors, {} warnings", diagnostics.len() - errors));
            text
        });
        if errors == 0 { Ok(()) } else { Err(Stop::Said) }
    }
}
