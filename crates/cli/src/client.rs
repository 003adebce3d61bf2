//! Talking to a server: which one, as whom, and what it says when it refuses.
//!
//! Without settings the server is the one of the data directory, and the credential is the file that its first start made. A
//! token is kept beside it (mode 0600), so that not every command pays for checking a password.

use crate::exit::Stop;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use serde::{Deserialize, Serialize};
use squall_model::{Timestamp, Value, from_json, to_json};
use squall_server::{Credential, Endpoints};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which server, as it may be said after a command.
#[derive(Debug, Clone, Default, Args)]
pub struct Where {
    /// The data directory of the server: `SQUALL_DATA`, or `./squall-data`.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The base URL of the server's API: `SQUALL_URL`; the data directory tells it otherwise.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
}

/// The same in front of the command. Not one global option, because `eval --data` names a file.
#[derive(Debug, Clone, Default, Args)]
pub struct WhereFirst {
    /// The data directory of the server: `SQUALL_DATA`, or `./squall-data`.
    #[arg(long = "data", id = "data_first", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The base URL of the server's API: `SQUALL_URL`; the data directory tells it otherwise.
    #[arg(long = "url", id = "url_first", value_name = "URL")]
    url: Option<String>,
}

/// Which server.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its data directory.
    pub data: PathBuf,
    /// The base URL of its API, when it was named.
    pub url: Option<String>,
}

impl Target {
    /// What was said after the command counts before what was said in front of it, and that before the environment.
    pub fn of(first: WhereFirst, after: Where) -> Target {
        let data = after.data.or(first.data).or_else(|| std::env::var_os("SQUALL_DATA").map(PathBuf::from));
        let url = after.url.or(first.url).or_else(|| std::env::var("SQUALL_URL").ok());
        Target { data: data.unwrap_or_else(|| PathBuf::from("./squall-data")), url }
    }
}

impl Target {
    /// The credential of the data directory follows a password that was changed with it.
    pub fn keep_credential(&self, user: &str, password: &str) -> Result<(), Stop> {
        if self.url.is_none() && Credential::load(&self.data)?.is_some_and(|known| known.user == user) {
            Credential::store(&self.data, user, &squall_model::Secret::new(password.to_owned()))?;
        }
        let kept = kept_token(&self.data);
        if kept.exists() {
            // It ended with the password, or is somebody else's and made again.
            std::fs::remove_file(kept)?;
        }
        Ok(())
    }
}

/// Where the token between commands is kept.
fn kept_token(data: &Path) -> PathBuf {
    data.join("cli-token.json")
}

/// A client of one server.
pub struct Client {
    agent: ureq::Agent,
    api: String,
    auth: String,
    header: (&'static str, String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    token: String,
    expires: Timestamp,
    api: String,
}

/// How long before its end a kept token is not used any more.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest that a call may take; waiting for executions is many calls.
const PATIENCE: Duration = Duration::from_secs(120);

impl Client {
    /// Finds the server and the credential.
    pub fn connect(target: &Target) -> Result<Client, Stop> {
        let own = std::env::var("ST2_API_URL").ok();
        let base = target.url.clone().or(own);
        let (api, auth) = match base {
            Some(url) => {
                let url = url.trim_end_matches('/').trim_end_matches("/v1").to_owned();
                let auth = std::env::var("ST2_AUTH_URL").ok().map(|a| a.trim_end_matches('/').to_owned());
                let auth = auth.unwrap_or_else(|| format!("{}/auth", url.trim_end_matches("/api")));
                (url, auth)
            }
            None => {
                let found = Endpoints::load(&target.data)?.ok_or_else(|| no_server(&target.data))?;
                (found.api, found.auth)
            }
        };
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        let agent = config.new_agent();
        let mut client = Client { agent, api, auth, header: ("X-Auth-Token", String::new()) };
        client.header = client.credential(target)?;
        Ok(client)
    }

    /// Token or key from the environment, a kept token, or the password of the credential file.
    fn credential(&self, target: &Target) -> Result<(&'static str, String), Stop> {
        if let Ok(key) = std::env::var("ST2_API_KEY") {
            return Ok(("St2-Api-Key", key));
        }
        if let Ok(token) = std::env::var("ST2_AUTH_TOKEN") {
            return Ok(("X-Auth-Token", token));
        }
        let kept = kept_token(&target.data);
        if let Some(token) = read_kept(&kept, &self.api) {
            return Ok(("X-Auth-Token", token));
        }
        let credential = Credential::load(&target.data)?.ok_or_else(|| {
            Stop::Failed(format!(
                "no credential: {} is missing; set ST2_AUTH_TOKEN",
                Credential::path(&target.data).display()
            ))
        })?;
        let (token, expires) = self.log_in(&credential.user, &credential.password, None)?;
        // A token that cannot be kept only costs time.
        drop(write_kept(&kept, &Kept { token: token.clone(), expires, api: self.api.clone() }));
        Ok(("X-Auth-Token", token))
    }

    /// A fresh token for a user by password.
    pub fn log_in(&self, user: &str, password: &str, ttl: Option<u64>) -> Result<(String, Timestamp), Stop> {
        let body = ttl.map_or_else(Value::map, |ttl| Value::from_pairs([("ttl", Value::from(ttl))]));
        let url = format!("{}/v1/tokens", self.auth);
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let call = self.agent.post(&url).header("Authorization", &basic).content_type("application/json");
        let answer = self.read(&url, call.send(to_json(&body)))?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let expires = text("expiry").and_then(|t| Timestamp::parse_iso(&t)).unwrap_or_default();
        match text("token") {
            Some(token) => Ok((token, expires)),
            None => Err(Stop::Failed(format!("{url} gave no token"))),
        }
    }

    /// A token for whoever this client is, or for `user` when it may.
    pub fn token(&self, user: Option<&str>, ttl: Option<u64>, agent: Option<&str>) -> Result<Value, Stop> {
        let mut body = squall_model::Map::new();
        if let Some(agent) = agent {
            body.insert("agent".into(), agent.into());
        }
        if let Some(user) = user {
            body.insert("user".into(), user.into());
        }
        if let Some(ttl) = ttl {
            body.insert("ttl".into(), Value::from(ttl));
        }
        self.post("squall/tokens", &body.into())
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Result<Value, Stop> {
        let url = self.at(path);
        self.read(&url, self.agent.get(&url).header(self.header.0, &self.header.1).call())
    }

    /// `GET`, with `None` for 404.
    pub fn find(&self, path: &str) -> Result<Option<Value>, Stop> {
        let url = self.at(path);
        let answer = self.agent.get(&url).header(self.header.0, &self.header.1).call();
        match answer {
            Ok(answer) if answer.status() == 404 => Ok(None),
            other => self.read(&url, other).map(Some),
        }
    }

    /// `POST`.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Stop> {
        let url = self.at(path);
        let call = self
            .agent
            .post(&url)
            .header(self.header.0, &self.header.1)
            .header("Squall-Client", "cli")
            .content_type("application/json");
        self.read(&url, call.send(to_json(body)))
    }

    /// `PUT`.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, Stop> {
        let url = self.at(path);
        let call = self
            .agent
            .put(&url)
            .header(self.header.0, &self.header.1)
            .header("Squall-Client", "cli")
            .content_type("application/json");
        self.read(&url, call.send(to_json(body)))
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Result<Value, Stop> {
        let url = self.at(path);
        self.read(&url, self.agent.delete(&url).header(self.header.0, &self.header.1).call())
    }

    fn at(&self, path: &str) -> String {
        format!("{}/v1/{}", self.api, path.trim_start_matches('/'))
    }

    fn read(&self, url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Stop> {
        let mut answer =
            answer.map_err(|e| Stop::Failed(format!("cannot reach {url}: {e}; is `squall up` running?")))?;
        let status = answer.status();
        let text = answer.body_mut().with_config().limit(256 << 20).read_to_string();
        let text = text.map_err(|e| Stop::Failed(format!("{url} broke off: {e}")))?;
        let body = from_json(&text, false).unwrap_or_default();
        let told = body.get("faultstring").and_then(Value::as_str);
        // Some refusals come with 200, because StackStorm's clients expect it so.
        if status.is_success() && told.is_none() {
            return Ok(body);
        }
        let fault = told.map_or_else(|| text.trim().to_owned(), str::to_owned);
        Err(Stop::Failed(match status.as_u16() {
            401 => format!("{fault} (401: the token is not valid; set ST2_AUTH_TOKEN or use --data)"),
            _ => fault,
        }))
    }
}

/// Text as a part of a path or query.
pub fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn no_server(data: &Path) -> Stop {
    Stop::Failed(format!(
        "no server runs on {}: start one with `squall up`, or name one with --data or --url",
        data.display()
    ))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn read_kept(path: &Path, api: &str) -> Option<String> {
    let kept: Kept = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    (kept.api == api && kept.expires > now().after(MARGIN)).then_some(kept.token)
}

fn write_kept(path: &Path, kept: &Kept) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(serde_json::to_string(kept)?.as_bytes())
}
