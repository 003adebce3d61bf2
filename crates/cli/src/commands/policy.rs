//! `squall policy`: who would be asked about a command, and whether the rules of confirmation hold together.

use crate::client::{Client, Target};
use crate::exit::{Done, Stop};
use crate::output::{Form, cell, shown};
use crate::{cast, commands};
use clap::Subcommand;
use squall_content::Sources;
use squall_engine::confirmation::{lint, policy};
use squall_model::{Map, Value};
use squall_server::rule_files;
use squall_yaml::Diagnostic;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Policy {
    /// Show who would be asked before an action runs, why, and what they would read. Nothing is stored or started.
    Test {
        /// The action: `pack.name`.
        action: String,
        /// Its parameters: `name=value`.
        params: Vec<String>,
        /// As if this user asked.
        #[arg(long = "as", value_name = "USER")]
        user: Option<String>,
        /// As if it came from there: `chat:terminal:ops`, `api`, `cli`, `web` or `mcp`.
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
    },
    /// Check the server's rules and what the installed packs declare: every problem with its place.
    Check {
        /// Files or directories of rules; `confirm.d` of the data directory when there are none.
        paths: Vec<PathBuf>,
    },
}

impl Policy {
    pub fn run(&self, client: impl Fn() -> Result<Client, Stop>, target: &Target, form: Form) -> Done {
        match self {
            Policy::Test { action, params, user, from } => {
                test(&client()?, action, params, user.as_deref(), from.as_deref(), form)
            }
            Policy::Check { paths } => check(target, paths, form),
        }
    }
}

fn test(client: &Client, action: &str, words: &[String], user: Option<&str>, from: Option<&str>, form: Form) -> Done {
    let params = cast::params(words, &commands::schemas(client, action)?)?;
    let mut body = Map::new();
    body.insert("action".into(), action.into());
    body.insert("parameters".into(), params.into());
    for (name, value) in [("user", user), ("from", from)] {
        if let Some(value) = value {
            body.insert(name.into(), value.into());
        }
    }
    let found = client.post("confirmations/preview", &body.into())?;
    form.print(&found, || told(&found));
    Ok(())
}

/// A preview for people: the outcome first, then why and who, then the question itself.
fn told(found: &Value) -> String {
    if cell(found, "outcome") != "asks" {
        return format!("{}: {}", cell(found, "outcome"), cell(found, "text"));
    }
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_list).unwrap_or_default().to_vec();
    let texts = |value: &Value, key: &str| {
        let all = list(value, key);
        all.iter().filter_map(Value::as_str).map(shown).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("asks: {} has to wait for people\n", cell(found, "requester"));
    for rule in list(found, "rules") {
        text.push_str(&format!("  because of {}: {}\n", cell(&rule, "id"), cell(&rule, "why")));
    }
    for requirement in list(found, "requirements") {
        let who = texts(&requirement, "candidates");
        let level = cell(&requirement, "min_assurance");
        text.push_str(&format!("  needs {} (at least {level}); could be: {who}\n", cell(&requirement, "needs")));
    }
    for look in list(found, "looks") {
        text.push_str(&format!(
            "  first runs {} ({}), which changes nothing\n",
            cell(&look, "action"),
            cell(&look, "what")
        ));
    }
    let places = texts(found, "asked_in");
    if !places.is_empty() {
        text.push_str(&format!("  asked in {places}\n"));
    }
    text.push_str(&format!(
        "  answered by {}, within {} s\n\nThey would read:\n{}",
        texts(found, "via"),
        cell(found, "timeout_seconds"),
        cell(found, "text")
    ));
    text
}

fn check(target: &Target, paths: &[PathBuf], form: Form) -> Done {
    let own = [target.data.join("confirm.d")];
    let paths = if paths.is_empty() { &own[..] } else { paths };
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(rule_files(path)),
            false if path.exists() => files.push((path.display().to_string(), std::fs::read_to_string(path)?)),
            // Without rules of its own a server has none.
            false if path == &own[0] => {}
            false => return Err(Stop::Usage(format!("{} does not exist", path.display()))),
        }
    }
    let sources = Sources { packs: vec![target.data.join("packs")], ..Sources::default() };
    let content = squall_content::load(&sources);
    let (rules, mut found) = policy::read_for(&files, Some(&content.registry));
    found.extend(lint::check(&content.registry, rules.as_ref(), None));
    found.extend(rules.iter().flat_map(|rules| lint::check_rules(rules, None)));
    // Who there is only the server knows; without one that part is left out.
    if let Ok(client) = Client::connect(target)
        && let Ok(more) = client.get("squall/policy/problems")
    {
        let known: Vec<String> = found.iter().map(|d| d.message.clone()).collect();
        let more = more.as_list().unwrap_or_default().to_vec();
        let new = more.into_iter().filter(|d| !known.contains(&cell(d, "message"))).collect::<Vec<_>>();
        return report(&found, &new, files.len(), form);
    }
    report(&found, &[], files.len(), form)
}

fn report(found: &[Diagnostic], of_server: &[Value], files: usize, form: Form) -> Done {
    let errors = found.iter().filter(|d| d.is_error()).count();
    let warnings = found.len() - errors + of_server.len();
    let all: Vec<Value> = found.iter().map(Diagnostic::to_value).chain(of_server.iter().cloned()).collect();
    form.print(&Value::from(all), || {
        let mut text: String = found.iter().map(|d| format!("{d}\n")).collect();
        text.extend(of_server.iter().map(|d| format!("{}\n", cell(d, "text"))));
        text.push_str(&format!("{files} files of rules; {errors} errors, {warnings} warnings"));
        text
    });
    if errors == 0 { Ok(()) } else { Err(Stop::Said) }
}
