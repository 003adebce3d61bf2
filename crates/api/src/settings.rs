//! What the api is told at start.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the api.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether callers must show who they are. Without it everybody is the system user with all rights, so the server
    /// offers that on loopback only.
    pub authentication: bool,
    /// What `/v1/user` says about role-based access; roles are always in force.
    pub rbac: bool,
    /// Public URL of the API without version, e.g. `http://127.0.0.1:9101`; sent with new tokens.
    pub public_url: String,
    /// Names by which clients may call this server besides loopback names; `*` takes any.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call this server.
    pub origins: Vec<String>,
    /// How long a token lives at most and by default.
    pub token_ttl: Duration,
    /// Whether the cookie goes over https only (browsers take loopback as such).
    pub secure_cookie: bool,
    /// The version that `/v1/` tells.
    pub version: String,
    /// Where installed packs live, to be named in messages.
    pub packs_dir: PathBuf,
    /// Where configurations of packs live, `<pack>.yaml` each; empty when they cannot be changed.
    pub configs_dir: PathBuf,
    /// After how much silence a stream sends a line of nothing.
    pub heartbeat: Duration,
    /// How often a stream looks whether its reader may still read it.
    pub recheck: Duration,
}

impl Settings {
    /// The usual ones, with what the engine was told: where it is reached and where its packs are.
    pub fn of(engine: &squall_engine::Settings) -> Settings {
        Settings {
            public_url: engine.api_url.trim_end_matches('/').trim_end_matches("/v1").into(),
            packs_dir: engine.packs_dir.clone(),
            ..Settings::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            authentication: true,
            rbac: true,
            public_url: "http://127.0.0.1:9101".into(),
            hosts: Vec::new(),
            origins: vec!["http://127.0.0.1:3000".into()],
            token_ttl: Duration::from_secs(86_400),
            secure_cookie: true,
            version: env!("CARGO_PKG_VERSION").into(),
            packs_dir: PathBuf::new(),
            configs_dir: PathBuf::new(),
            heartbeat: Duration::from_secs(25),
            recheck: Duration::from_secs(30),
        }
    }
}
