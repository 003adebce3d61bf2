//! What can only be looked at, under the name `st2`: lists and single records, each described by one line.

use crate::client::{Client, escaped};
use crate::exit::Done;
use crate::output::{Form, table};
use crate::st2::fields;
use clap::Subcommand;

/// A kind of record: where the API has it, and what a list shows.
pub struct Resource {
    path: &'static str,
    columns: &'static [(&'static str, &'static str)],
}

const CONTENT: &[(&str, &str)] =
    &[("ref", "ref"), ("pack", "pack"), ("enabled", "enabled"), ("description", "description")];

pub const RULES: Resource = Resource { path: "rules", columns: CONTENT };
pub const SENSORS: Resource = Resource { path: "sensortypes", columns: CONTENT };
pub const TRIGGERS: Resource =
    Resource { path: "triggertypes", columns: &[("ref", "ref"), ("pack", "pack"), ("description", "description")] };
pub const POLICIES: Resource = Resource {
    path: "policies",
    columns: &[("ref", "ref"), ("resource", "resource_ref"), ("type", "policy_type"), ("enabled", "enabled")],
};
pub const POLICY_TYPES: Resource =
    Resource { path: "policytypes", columns: &[("ref", "ref"), ("description", "description")] };
pub const RUNNERS: Resource =
    Resource { path: "runnertypes", columns: &[("name", "name"), ("description", "description")] };

#[derive(Subcommand)]
pub enum Looking {
    /// List them.
    List {
        /// Of this pack.
        #[arg(long, short)]
        pack: Option<String>,
    },
    /// Show one.
    Get {
        /// Its reference or name.
        reference: String,
    },
}

impl Looking {
    pub fn run(&self, client: &Client, form: Form, resource: &Resource) -> Done {
        match self {
            Looking::List { pack } => {
                let filter = pack.as_ref().map_or_else(String::new, |p| format!("&pack={}", escaped(p)));
                let found = client.get(&format!("{}?limit=-1{filter}", resource.path))?;
                form.print(&found, || table(resource.columns, found.as_list().unwrap_or_default()));
            }
            Looking::Get { reference } => {
                let found = client.get(&format!("{}/{}", resource.path, escaped(reference)))?;
                form.print(&found, || fields(&found));
            }
        }
        Ok(())
    }
}
