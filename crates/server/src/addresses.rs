//! Where the server listens, and the file that tells other commands.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listen {
    /// Loopback at StackStorm's own ports: 9101 API (and everything else by path), 9100 authentication, 9102 stream.
    #[default]
    StackStorm,
    /// One address for everything; port 0 takes a free one.
    One(SocketAddr),
}

/// StackStorm's ports.
const PORTS: [u16; 3] = [9101, 9100, 9102];

impl Listen {
    /// The addresses in the order API, authentication, stream; the same one three times when there is only one.
    pub(crate) fn addresses(self) -> [SocketAddr; 3] {
        match self {
            Listen::StackStorm => PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            Listen::One(address) => [address; 3],
        }
    }
}

/// The addresses in force, as `endpoints.json` in the data directory tells them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Base URL of the API, without version.
    pub api: String,
    /// Base URL of authentication.
    pub auth: String,
    /// Base URL of the stream.
    pub stream: String,
    /// The socket of the terminal chat.
    pub chat: PathBuf,
    /// The process.
    pub pid: u32,
}

impl Endpoints {
    /// The file.
    pub fn path(data: &Path) -> PathBuf {
        data.join("endpoints.json")
    }

    /// Reads the file; `None` when no server has written it.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(data: &Path) -> std::io::Result<Option<Endpoints>> {
        match std::fs::read_to_string(Endpoints::path(data)) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(std::io::Error::other),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn store(&self, data: &Path) -> std::io::Result<()> {
        crate::credential::write_private(&Endpoints::path(data), &serde_json::to_string_pretty(self)?)
    }
}
