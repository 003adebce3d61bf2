//! `squall backup`: a copy of everything that a server needs, taken while it runs, and the way back.

use crate::client::Target;
use crate::exit::{Done, Stop};
use crate::output::say;
use clap::Subcommand;
use squall_store::sqlite::{Examined, copy, examine};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Copy everything that a server needs, and put it back.
#[derive(Subcommand)]
pub enum Backup {
    /// Copy the data directory, also while the server runs. The copy holds keys and passwords: keep it as safe.
    Create {
        /// A new directory for the copy.
        to: PathBuf,
    },
    /// Make a data directory of a copy.
    Restore {
        /// The copy.
        from: PathBuf,
    },
}

/// What lies beside the database: keys, packs, their configurations, rules. The rest is made anew.
const BESIDE: &[&str] = &["datastore_key.json", "admin-credential.json", "packs", "configs", "confirm.d"];

impl Backup {
    pub fn run(&self, target: &Target) -> Done {
        let (from, to, done) = match self {
            Backup::Create { to } => (&target.data, to, "copied to"),
            Backup::Restore { from } => (from, &target.data, "restored in"),
        };
        let found = transfer(from, to)?;
        say(&format!("{} executions {done} {}", found.executions, to.display()));
        Ok(())
    }
}

/// Copies under another name and checks the copy; its right name says that it is whole.
fn transfer(from: &Path, to: &Path) -> Result<Examined, Stop> {
    let Some(_) = examine(from).map_err(|e| Stop::Failed(e.to_string()))? else {
        return Err(Stop::Failed(format!("there is no database in {}", from.display())));
    };
    if to.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || to.is_file() {
        return Err(Stop::Failed(format!("{} is there already and not empty; nothing was changed", to.display())));
    }
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    match filled(from, &partial) {
        Ok(found) => {
            // An empty directory of this name is replaced.
            fs::rename(&partial, to).map_err(told("put in place", to))?;
            Ok(found)
        }
        Err(stop) => {
            // What cannot be removed is named as what it is.
            drop(fs::remove_dir_all(&partial));
            Err(stop)
        }
    }
}

fn filled(from: &Path, partial: &Path) -> Result<Examined, Stop> {
    if partial.exists() {
        fs::remove_dir_all(partial).map_err(told("remove what an earlier try left:", partial))?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(partial).map_err(told("make", partial))?;
    copy(from, partial).map_err(|e| Stop::Failed(e.to_string()))?;
    for name in BESIDE {
        let source = from.join(name);
        if source.exists() {
            copy_all(&source, &partial.join(name)).map_err(told("copy", &source))?;
        }
    }
    let found = examine(partial).map_err(|e| Stop::Failed(e.to_string()))?;
    let found = found.ok_or_else(|| Stop::Failed("the copy holds no database".into()))?;
    let damage: Vec<&String> = found.pages.iter().chain(&found.facts).chain(found.audit.as_ref().err()).collect();
    match damage.first() {
        None => Ok(found),
        Some(first) => Err(Stop::Failed(format!("{} is damaged: {first}; `squall doctor` lists all", from.display()))),
    }
}

/// Files with their modes, folders with what is in them, each on disk before the next. Links are copied as what they point to.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return File::open(to)?.sync_all();
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    File::open(to)?.sync_all()
}

fn told(what: &str, path: &Path) -> impl Fn(io::Error) -> Stop {
    let text = format!("cannot {what} {}", path.display());
    move |error| Stop::Failed(format!("{text}: {error}"))
}
