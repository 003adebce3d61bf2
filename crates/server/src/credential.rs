//! The credential that the first start makes, in a file that only its owner can read.

use serde::{Deserialize, Serialize};
use squall_model::Secret;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name and password of the first administrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Credential {
    /// The user.
    pub user: String,
    /// The password; this file is its only copy in clear.
    pub password: String,
}

impl Credential {
    /// Where it lies in a data directory.
    pub fn path(data: &Path) -> PathBuf {
        data.join("admin-credential.json")
    }

    /// Reads it; `None` when there is none (somebody deleted it after changing the password).
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(data: &Path) -> std::io::Result<Option<Credential>> {
        let path = Credential::path(data);
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| std::io::Error::other(format!("{}: {e}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        }
    }

    /// Writes it, readable by its owner alone.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn store(data: &Path, user: &str, password: &Secret<String>) -> std::io::Result<()> {
        let password = password.expose("the credential file of the first start").clone();
        let text = serde_json::to_string_pretty(&Credential { user: user.to_owned(), password })?;
        write_private(&Credential::path(data), &text)
    }
}

/// Writes a file of mode 0600 in place of an older one: whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
