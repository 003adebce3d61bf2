//! `squall alias match`: which alias a command reaches, and with what.

use super::eval;
use crate::client::Target;
use crate::exit::{Done, Stop};
use crate::output::Form;
use clap::Subcommand;
use squall_content::Sources;
use squall_engine::Content;
use squall_model::Value;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Alias {
    /// Match a command against the aliases of packs.
    Match {
        /// The command, without the bot's prefix.
        #[arg(required_unless_present = "batch")]
        text: Option<String>,
        /// A pack directory; the installed packs and the built-in ones when there is none.
        #[arg(long = "pack", value_name = "DIR")]
        packs: Vec<PathBuf>,
        /// Read JSON lines from standard input, write one for each.
        #[arg(long)]
        batch: bool,
    },
}

impl Alias {
    pub fn run(&self, target: &Target, form: Form) -> Done {
        let Alias::Match { text, packs, batch } = self;
        if *batch {
            return eval::batch(squall_expr::batch::alias_match);
        }
        let registry = if packs.is_empty() {
            let sources = Sources { packs: vec![target.data.join("packs")], builtin: true, ..Sources::default() };
            squall_content::load(&sources).registry
        } else {
            squall_content::load(&Sources { single: packs.clone(), ..Sources::default() }).registry
        };
        let text = text.as_deref().unwrap_or_default();
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
            return Err(Stop::Failed(format!("no alias matches `{text}`")));
        }
        form.print(&hits.clone().into(), || hits.iter().map(squall_yaml::to_yaml).collect());
        if hits.len() == 1 { Ok(()) } else { Err(Stop::Failed(format!("{} aliases match", hits.len()))) }
    }
}
