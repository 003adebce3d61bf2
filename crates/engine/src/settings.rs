//! What the engine is told at start and never changes while it runs.

use squall_store::crypto::Key;
use std::path::PathBuf;

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Public URL of the API with its version, e.g. `http://127.0.0.1:9101/v1`.
    pub api_url: String,
    /// Where people look at executions; `None` leaves links out of messages.
    pub web_url: Option<String>,
    /// The name that the bot answers to besides its prefix.
    pub bot_name: String,
    /// What makes a line a command.
    pub prefix: String,
    /// The network that announcements go to when nothing says otherwise.
    pub network: String,
    /// Where packs are installed.
    pub packs_dir: PathBuf,
    /// Names this process in claims.
    pub worker: String,
    /// Encrypts secret datastore items.
    pub datastore_key: Option<Key>,
    /// How long a run's own token lives at most, in seconds.
    pub service_token_ttl: u64,
    /// Every Mistral task reports to the channel of its workflow, as StackStorm does (`compat.mistral_notify`).
    pub mistral_notify: bool,
    /// Old bots may say who confirms: only the requester, by the same name from the same channel and route
    /// (`confirm.trust_legacy_bots`). Whoever holds the bot's token can then confirm for anybody.
    pub trust_legacy_bots: bool,
    /// What evaluating one expression may cost: in parameters, aliases, conditions and workflows.
    pub expressions: squall_expr::Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            api_url: "http://127.0.0.1:9101/v1".into(),
            web_url: None,
            bot_name: "squall".into(),
            prefix: "!".into(),
            network: "terminal".into(),
            packs_dir: PathBuf::new(),
            worker: "local".into(),
            datastore_key: None,
            service_token_ttl: 86_400,
            mistral_notify: false,
            trust_legacy_bots: false,
            expressions: squall_expr::Limits::default(),
        }
    }
}
