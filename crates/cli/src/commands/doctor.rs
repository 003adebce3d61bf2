//! `squall doctor`: looks at a data directory and says what is wrong with it. Changes nothing.

use crate::client::Target;
use crate::exit::{Done, Stop};
use crate::output::{Form, table};
use clap::Args;
use squall_content::{Severity, Sources};
use squall_model::Value;
use squall_server::{Credential, Endpoints};
use squall_store::sqlite::{Examined, examine};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Look for what is wrong: the data directory, the database, the packs.
#[derive(Args)]
pub struct Doctor {}

/// How bad it is.
#[derive(Clone, Copy, PartialEq)]
enum Grade {
    Ok,
    Warn,
    Bad,
}

/// One thing that was looked at.
struct Finding {
    grade: Grade,
    what: &'static str,
    told: String,
}

impl Doctor {
    pub fn run(&self, target: &Target, form: Form) -> Done {
        let data = &target.data;
        let mut findings = vec![directory(data)];
        if data.is_dir() {
            findings.extend([secrets(data), server(data)]);
            findings.extend(database(data));
            findings.push(packs(data));
        }
        let rows: Vec<Value> = findings.iter().map(Finding::row).collect();
        form.print(&rows.clone().into(), || table(&[("", "grade"), ("what", "what"), ("found", "told")], &rows));
        if findings.iter().any(|f| f.grade == Grade::Bad) { Err(Stop::Said) } else { Ok(()) }
    }
}

impl Finding {
    fn new(grade: Grade, what: &'static str, told: impl Into<String>) -> Finding {
        Finding { grade, what, told: told.into() }
    }

    fn row(&self) -> Value {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Bad => "BAD",
        };
        Value::from_pairs([("grade", grade), ("what", self.what), ("told", &self.told)])
    }
}

fn directory(data: &Path) -> Finding {
    let at = data.display();
    match std::fs::metadata(data) {
        Err(error) => Finding::new(Grade::Bad, "directory", format!("{at}: {error}; `squall up` makes it")),
        Ok(meta) if meta.mode() & 0o022 != 0 => {
            Finding::new(Grade::Bad, "directory", format!("{at} may be written by others: chmod 700 {at}"))
        }
        Ok(meta) if meta.uid() == 0 => Finding::new(
            Grade::Warn,
            "directory",
            format!("{at} belongs to root, so actions run as root: use an account of its own"),
        ),
        Ok(_) => Finding::new(Grade::Ok, "directory", format!("{at}")),
    }
}

/// Files that give away everything.
const SECRETS: &[&str] =
    &["squall.db", "squall.db-wal", "squall.db-shm", "datastore_key.json", "cli-token.json", "chat.sock"];

fn secrets(data: &Path) -> Finding {
    let all = SECRETS.iter().map(|name| data.join(name)).chain([Credential::path(data)]);
    let open = |path: &std::path::PathBuf| std::fs::metadata(path).is_ok_and(|m| m.mode() & 0o077 != 0);
    let open: Vec<String> = all.filter(open).map(|path| path.display().to_string()).collect();
    if open.is_empty() {
        return Finding::new(Grade::Ok, "secrets", "files with secrets are for their owner alone");
    }
    Finding::new(Grade::Bad, "secrets", format!("others may read {0}: chmod 600 {0}", open.join(" ")))
}

fn server(data: &Path) -> Finding {
    match Endpoints::load(data) {
        Ok(Some(found)) if Path::new("/proc").join(found.pid.to_string()).exists() => {
            Finding::new(Grade::Ok, "server", format!("runs as process {} on {}", found.pid, found.api))
        }
        Ok(Some(found)) => {
            let told =
                format!("process {} is gone without a stop; the next `squall up` goes on where it was", found.pid);
            Finding::new(Grade::Warn, "server", told)
        }
        Ok(None) => Finding::new(Grade::Ok, "server", "does not run"),
        Err(error) => Finding::new(Grade::Bad, "server", format!("endpoints.json cannot be read: {error}")),
    }
}

fn database(data: &Path) -> Vec<Finding> {
    match examine(data) {
        Err(error) => vec![Finding::new(Grade::Bad, "database", error.to_string())],
        Ok(None) => vec![Finding::new(Grade::Warn, "database", "there is none yet; `squall up` makes it")],
        Ok(Some(found)) => vec![schema(&found), pages(&found), facts(&found), audit(&found)],
    }
}

fn schema(found: &Examined) -> Finding {
    let (bytes, log) = found.bytes;
    let told = format!(
        "schema {} of {}, {} executions, {} KiB and {} KiB of log, SQLite {}",
        found.schema,
        found.known,
        found.executions,
        bytes / 1024,
        log / 1024,
        found.sqlite
    );
    let grade = if found.schema > found.known { Grade::Bad } else { Grade::Ok };
    Finding::new(grade, "database", told)
}

fn pages(found: &Examined) -> Finding {
    if found.pages.is_empty() {
        return Finding::new(Grade::Ok, "pages", "undamaged");
    }
    let told = format!("{}; stop the server, move the directory aside and restore a copy", found.pages.join("; "));
    Finding::new(Grade::Bad, "pages", told)
}

fn facts(found: &Examined) -> Finding {
    if found.facts.is_empty() {
        return Finding::new(Grade::Ok, "workflows", "every fact has its checksum");
    }
    Finding::new(Grade::Bad, "workflows", found.facts.join("; "))
}

fn audit(found: &Examined) -> Finding {
    match &found.audit {
        Ok(rows) => Finding::new(Grade::Ok, "audit", format!("{rows} entries in an unbroken chain")),
        Err(why) => Finding::new(Grade::Bad, "audit", why.clone()),
    }
}

fn packs(data: &Path) -> Finding {
    let loaded = squall_content::load(&Sources { packs: vec![data.join("packs")], ..Sources::default() });
    let count = |severity| loaded.diagnostics.iter().filter(|d| d.severity == severity).count();
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, warnings) => {
            Finding::new(Grade::Ok, "packs", format!("{} installed, {warnings} warnings", loaded.registry.packs.len()))
        }
        (errors, _) => Finding::new(
            Grade::Warn,
            "packs",
            format!("{errors} files are not loaded; `squall check` shows each with its place"),
        ),
    }
}
