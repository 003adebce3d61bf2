//! `squall alias match`: which alias a command reaches, and with what.

use super::eval;
use crate::client::Target;
use crate::exit::{Done, Stop};
use crate::output::{Form, shown};
use clap::Subcommand;
use squall_content::Sources;
use squall_engine::Content;
use squall_expr::alias::Format;
use squall_model::{Map, Value};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Alias {
    /// Match a command against the aliases of packs, or against one format.
    Match {
        /// The command, without the bot's prefix.
        #[arg(required_unless_present = "batch")]
        text: Option<String>,
        /// A pack directory; the installed packs and the built-in ones when there is none.
        #[arg(long = "pack", value_name = "DIR", conflicts_with = "format")]
        packs: Vec<PathBuf>,
        /// A format to try, as it would stand in an alias: `restart {{ host }} {{ env=prod }}`.
        #[arg(long)]
        format: Option<String>,
        /// Read JSON lines from standard input, write one for each.
        #[arg(long)]
        batch: bool,
    },
}

impl Alias {
    pub fn run(&self, target: &Target, form: Form) -> Done {
        let Alias::Match { text, packs, format, batch } = self;
        if *batch {
            return eval::run_batch(squall_expr::batch::alias_match);
        }
        let text = text.as_deref().unwrap_or_default();
        match format {
            Some(format) => one_format(format, text, form),
            None => all_aliases(packs, target, text, form),
        }
    }
}

/// One format against the command, by the exact grammar of StackStorm's server.
fn one_format(format: &str, text: &str, form: Form) -> Done {
    let parsed = Format::parse(format).map_err(|error| {
        // Python quotes what it does not like; that is the place.
        let quoted = error.message.split('\'').nth(1).filter(|part| !part.is_empty());
        let start = quoted.and_then(|part| format.find(part));
        let span = error.span.clone().or(start.zip(quoted).map(|(start, part)| start..start + part.len()));
        let class = "invalid format".into();
        Stop::Failed(eval::told(format, &squall_expr::Error { class, span, ..error }))
    })?;
    let parameters = parsed.extract(text).map_err(|error| {
        let help = "literal words must stand as written, blanks count, and a format is a regular expression";
        Stop::Failed(format!("{}\n  help: {help}", shown(&error.message)))
    })?;
    let value = Value::from(parameters);
    form.print(&value, || properties(&[&value]));
    Ok(())
}

fn all_aliases(packs: &[PathBuf], target: &Target, text: &str, form: Form) -> Done {
    let registry = if packs.is_empty() {
        let sources = Sources { packs: vec![target.data.join("packs")], builtin: true, ..Sources::default() };
        squall_content::load(&sources).registry
    } else {
        squall_content::load(&Sources { single: packs.to_vec(), ..Sources::default() }).registry
    };
    let content = Content::new(registry, Default::default());
    let hits: Vec<Value> = content
        .kind()
        .find(text)
        .into_iter()
        .map(|hit| {
            Value::from_pairs([
                ("alias", Value::from(hit.alias.to_string())),
                ("representation", hit.representation.clone().into()),
                ("parameters", Value::from(hit.matches.into_iter().map(Value::from).collect::<Vec<_>>())),
            ])
        })
        .collect();
    if hits.is_empty() {
        let help = "`--format FORMAT` tries one format by itself";
        return Err(Stop::Failed(format!("no alias matches `{}`\n  help: {help}", shown(text))));
    }
    form.print(&hits.clone().into(), || hits.iter().map(hit).collect::<Vec<_>>().join("\n"));
    if hits.len() == 1 { Ok(()) } else { Err(Stop::Failed(format!("{} aliases match", hits.len()))) }
}

fn hit(hit: &Value) -> String {
    let text = |key: &str| hit.get(key).and_then(Value::as_str).map(shown).unwrap_or_default();
    let matches: Vec<&Value> = hit.get("parameters").and_then(Value::as_list).into_iter().flatten().collect();
    format!("{}   by `{}`\n{}", text("alias"), text("representation"), properties(&matches))
}

/// A parameter a line; several matches with a line between them.
fn properties(matches: &[&Value]) -> String {
    let empty = Map::new();
    let one = |parameters: &&Value| {
        let map = parameters.as_map().unwrap_or(&empty);
        let width = map.keys().map(|key| key.chars().count()).max().unwrap_or(0);
        let line = |(key, value): (&squall_model::Str, &Value)| {
            let value = match value {
                Value::Str(text) => shown(text),
                other => squall_model::to_json(other),
            };
            format!("  {} = {value}\n", format_args!("{key:width$}"))
        };
        if map.is_empty() { "  no parameters\n".to_owned() } else { map.iter().map(line).collect() }
    };
    matches.iter().map(one).collect::<Vec<_>>().join("  and\n")
}
