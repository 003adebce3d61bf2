//! Start, serve, stop.

use crate::addresses::{Endpoints, Listen};
use crate::credential::Credential;
use crate::machine::{Machine, RandomIds, SystemClock};
use crate::sink::Sink;
use futures::future;
use squall_api::Reloaded;
use squall_chat::adapters::terminal::{NETWORK, Terminal};
use squall_content::{Diagnostic, Loaded, Registry, Severity, Sources};
use squall_engine::confirmation::lint;
use squall_engine::confirmation::policy::{self, Policy};
use squall_engine::{Engine, Parts, Principal, Settings};
use squall_runners::{Config, Workers};
use squall_store::crypto::Key;
use squall_store::secrets::Secrets;
use squall_store::sqlite::{Options as StoreOptions, Sqlite};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a server is told when it starts.
#[derive(Clone)]
pub struct Options {
    /// The data directory: database, packs, configs, keys, sockets.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// How the store syncs and what it may use.
    pub store: StoreOptions,
    /// More directories of packs, searched after the built-in ones and before the installed ones.
    pub packs: Vec<PathBuf>,
    /// How long running actions may go on after a stop was asked for.
    pub drain: Duration,
    /// Whether the word of old bots confirms (see [`Settings::trust_legacy_bots`]).
    pub trust_legacy_bots: bool,
    /// What evaluating one expression may cost.
    pub expressions: squall_engine::ExpressionLimits,
}

/// Why a server did not start. Each names the thing and the way out.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] squall_store::sqlite::OpenError),
    /// Something could not be read back or written.
    #[error("cannot start: {0}")]
    Engine(#[from] squall_engine::Refusal),
    /// An address is taken or not ours.
    #[error(
        "cannot listen on {address}: {source}; another server may be running, `--listen 127.0.0.1:0` takes a free port"
    )]
    Listen {
        /// Which.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the data directory.
    #[error("{what}: {source}")]
    File {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The rules of confirmation: without them dangerous actions would run unasked.
    #[error("the rules in confirm.d are broken, and nothing is started without them:\n{0}")]
    Policy(String),
    /// The key of the datastore.
    #[error("{0}")]
    Key(String),
    /// No randomness.
    #[error("the machine gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Loads content from where it lies.
pub struct Loader {
    sources: Sources,
    rules: PathBuf,
    policy: Mutex<Option<Arc<Policy>>>,
    /// The rules as they were read last, for telling whether they changed.
    written: Mutex<Vec<(String, String)>>,
    last: Mutex<Reloaded>,
}

impl Loader {
    /// Reads all packs; what the engine has stays until that is done, and for good when it fails.
    pub async fn reload(&self, engine: &Engine) -> Result<Reloaded, String> {
        let sources = self.sources.clone();
        let loaded = tokio::task::spawn_blocking(move || squall_content::load(&sources)).await;
        let mut loaded = loaded.map_err(|e| format!("loading packs failed, the earlier content stays: {e}"))?;
        let before = loaded.diagnostics.len();
        let policy = self.policy(&loaded.registry, &mut loaded.diagnostics).unwrap_or_default();
        let found = loaded.diagnostics.split_off(before);
        self.tell(engine, &policy, &found).await;
        loaded.diagnostics.extend(found);
        loaded.diagnostics.extend(lint::check(&loaded.registry, Some(&policy), None));
        let summary = self.remember(&loaded);
        squall_model::crash_point!("K20");
        engine.swap(loaded.registry, policy);
        Ok(summary)
    }

    /// Rules that changed are told to the audit log, broken ones with what is wrong.
    async fn tell(&self, engine: &Engine, policy: &Policy, found: &[Diagnostic]) {
        let files = rule_files(&self.rules);
        let same = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *written, files.clone()) == files
        };
        if !same {
            let problems = found.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
            engine.log_rules(policy.len(), problems).await;
        }
    }

    /// Reads the rules of confirmation in `confirm.d`. A broken file keeps the earlier set; without one there is none.
    fn policy(&self, registry: &Registry, diagnostics: &mut Vec<Diagnostic>) -> Option<Arc<Policy>> {
        let mut earlier = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        match policy::reload(earlier.clone(), &rule_files(&self.rules), registry) {
            Ok((policy, found)) => {
                if found.iter().any(Diagnostic::is_error) {
                    tracing::error!("rules of confirmation are broken; the earlier set stays in force");
                }
                diagnostics.extend(found);
                *earlier = Some(policy.clone());
                Some(policy)
            }
            Err(found) => {
                diagnostics.extend(found);
                None
            }
        }
    }

    /// What the last load found.
    pub fn last(&self) -> Reloaded {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, loaded: &Loaded) -> Reloaded {
        let registry = &loaded.registry;
        let counts = [
            ("packs", registry.packs.len()),
            ("actions", registry.actions.len()),
            ("aliases", registry.aliases.len()),
            ("rules", registry.rules.len()),
            ("policies", registry.policies.len()),
            ("sensors", registry.sensors.len()),
            ("triggers", registry.trigger_types.len()),
            ("configs", registry.configs.len()),
        ];
        let counts = counts.into_iter().map(|(kind, n)| (kind.to_owned(), n as u64)).collect();
        let summary = Reloaded { counts, diagnostics: loaded.diagnostics.clone() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = summary.clone();
        summary
    }
}

/// A running server.
pub struct Server {
    engine: Engine,
    loader: Arc<Loader>,
    workers: Arc<Workers>,
    endpoints: Endpoints,
    data: PathBuf,
    drain: Duration,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    started: Duration,
    first_start: bool,
}

impl Server {
    /// Starts everything, in the order that this room's first lines tell.
    ///
    /// # Errors
    /// When something that the server cannot do without is not there; nothing is left running then.
    pub async fn start(options: Options) -> Result<Server, StartError> {
        let began = Instant::now();
        let data = &options.data;
        let store = Sqlite::open(data, &options.store)?;
        let ids = Arc::new(RandomIds::new()?);
        let key = datastore_key(data, &ids)?;
        let store = Arc::new(store.with_secrets(Secrets::new(key.clone(), ids.clone())));
        let listeners = bind(options.listen).await?;
        let endpoints = endpoints(&listeners, data)?;
        let sources = sources(data, &options.packs)?;
        let loader = Arc::new(Loader {
            sources: sources.clone(),
            rules: data.join("confirm.d"),
            policy: Mutex::default(),
            written: Mutex::default(),
            last: Mutex::default(),
        });
        let mut loaded = squall_content::load(&sources);
        let Some(policy) = loader.policy(&loaded.registry, &mut loaded.diagnostics) else {
            let broken: Vec<String> =
                loaded.diagnostics.iter().filter(|d| d.is_error()).map(|d| d.to_string()).collect();
            return Err(StartError::Policy(broken.join("\n")));
        };
        loaded.diagnostics.extend(lint::check(&loaded.registry, Some(&policy), None));
        loader.remember(&loaded);
        report(&loaded.diagnostics);
        let settings = Settings {
            trust_legacy_bots: options.trust_legacy_bots,
            expressions: options.expressions.clone(),
            ..settings(data, &endpoints, key)
        };
        let engine = Engine::new(Parts {
            store: store.clone(),
            clock: Arc::new(SystemClock::default()),
            ids,
            runtime: Arc::new(Machine::current()),
            settings,
            registry: loaded.registry,
            policy,
        });
        let sink = Arc::new(Sink { engine: engine.clone(), loader: loader.clone() });
        let workers = Workers::new(worker_config(&options), sink);
        engine.attach(workers.clone());
        let first = engine.first_admin().await?;
        if let Some(password) = &first {
            Credential::store(data, squall_engine::people::ADMIN, password)
                .map_err(file("write the admin credential"))?;
        }
        sweep_spools(&options.data, &engine, &workers)?;
        loader.tell(&engine, engine.content().policy(), &[]).await;
        let recovered = engine.recover().await?;
        if recovered != Default::default() {
            tracing::info!(?recovered, "went on with what was under way");
        }
        let terminal = Terminal::new(engine.clone());
        terminal.hear_what_is_left().await?;
        let (stop, stopped) = watch::channel(false);
        let mut server = Server {
            engine,
            loader,
            workers,
            endpoints,
            data: options.data.clone(),
            drain: options.drain,
            stop,
            tasks: Vec::new(),
            started: Duration::ZERO,
            first_start: first.is_some(),
        };
        server.serve(listeners, terminal, stopped)?;
        server.endpoints.store(&server.data).map_err(file("write endpoints.json"))?;
        server.started = began.elapsed();
        Ok(server)
    }

    fn serve(
        &mut self,
        listeners: Vec<(Part, TcpListener)>,
        terminal: Arc<Terminal>,
        stopped: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let admin = Arc::new(crate::admin::Admin { engine: self.engine.clone(), loader: self.loader.clone() });
        let usual = squall_api::Settings::of(self.engine.settings());
        let settings = squall_api::Settings { configs_dir: self.data.join("configs"), ..usual };
        let state = squall_api::State::with(self.engine.clone(), admin, settings);
        for (part, listener) in listeners {
            let app = match part {
                Part::Api => squall_api::app(state.clone()),
                Part::Auth => squall_api::auth_app(state.clone()),
                Part::Stream => squall_api::stream_app(state.clone()),
            };
            let mut stop = stopped.clone();
            let until = async move {
                let _ = stop.wait_for(|stop| *stop).await;
            };
            self.tasks.push(tokio::spawn(async move {
                let service = app.into_make_service_with_connect_info::<SocketAddr>();
                if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(until).await {
                    tracing::error!(%error, "a listener failed");
                }
            }));
        }
        let socket = private_socket(&self.endpoints.chat)?;
        self.tasks.push(tokio::spawn(terminal.clone().serve(socket, stopped.clone())));
        self.tasks.push(tokio::spawn(terminal.post(stopped.clone())));
        let engine = self.engine.clone();
        let due = stopped.clone();
        self.tasks.push(tokio::spawn(async move { engine.run_due(due).await }));
        self.tasks.push(tokio::spawn(sweep(self.engine.clone(), stopped.clone())));
        self.tasks.push(tokio::spawn(tell_head(self.engine.clone(), stopped)));
        Ok(())
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What was loaded last, and what was wrong with it.
    pub fn content(&self) -> Reloaded {
        self.loader.last()
    }

    /// The addresses in force.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// How long the start took.
    pub fn start_time(&self) -> Duration {
        self.started
    }

    /// Whether this start made the data directory's first administrator.
    pub fn is_first_start(&self) -> bool {
        self.first_start
    }

    /// Stops: nothing new, running actions may end within the drain time, then everything goes.
    pub async fn stop(self) {
        self.engine.drain();
        self.workers.shutdown(tokio::time::Instant::now() + self.drain).await;
        // The store outlives this only until its last handle is gone.
        // Nobody listening is fine: then there is nobody to stop.
        let _ = self.stop.send(true);
        let all = future::join_all(self.tasks);
        if tokio::time::timeout(STOP_PATIENCE, all).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        for gone in [Endpoints::path(&self.data), self.endpoints.chat.clone()] {
            if let Err(error) = std::fs::remove_file(&gone) {
                tracing::debug!(%error, path = %gone.display(), "cannot remove");
            }
        }
    }
}

/// How long open connections may keep a stop waiting.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often expired datastore items are removed; they are invisible from their moment on anyway.
const SWEEP: Duration = Duration::from_secs(60);

/// How often the last hash of the audit log is told: whoever keeps the log elsewhere can prove by it that nothing was cut off.
const HEAD: Duration = Duration::from_secs(86_400);

async fn tell_head(engine: Engine, mut stop: watch::Receiver<bool>) {
    loop {
        match engine.store().audit_head() {
            Ok(Some(row)) => {
                let sha: String = row.sha.iter().map(|b| format!("{b:02x}")).collect();
                tracing::info!(row = row.seq, %sha, "the head of the audit log");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "cannot read the head of the audit log"),
        }
        if let Ok(open) = engine.broken(true, &Principal::internal()) {
            let overdue = open.iter().filter(|broken| engine.now() > broken.review_until).count();
            if overdue > 0 {
                tracing::warn!(
                    overdue,
                    "broken glasses wait for their review; `squall confirmations reviews` lists them"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(HEAD) => {}
            _ = stop.changed() => return,
        }
    }
}

async fn sweep(engine: Engine, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP) => {
                if let Err(error) = engine.sweep_items().await {
                    tracing::warn!(%error, "cannot remove expired datastore items");
                }
            }
            _ = stop.changed() => return,
        }
    }
}

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Api,
    Auth,
    Stream,
}

async fn bind(listen: Listen) -> Result<Vec<(Part, TcpListener)>, StartError> {
    let parts = [Part::Api, Part::Auth, Part::Stream];
    let count = if listen == Listen::StackStorm { 3 } else { 1 };
    let mut listeners = Vec::with_capacity(count);
    for (part, address) in parts.into_iter().zip(listen.addresses()).take(count) {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address: address.to_string(), source })?;
        listeners.push((part, listener));
    }
    Ok(listeners)
}

fn endpoints(listeners: &[(Part, TcpListener)], data: &Path) -> Result<Endpoints, StartError> {
    let url = |wanted: Part, path: &str| -> std::io::Result<String> {
        let own = listeners.iter().find(|(part, _)| *part == wanted);
        let (_, listener) = own.or(listeners.first()).ok_or_else(|| std::io::Error::other("no listener"))?;
        let address = listener.local_addr()?;
        Ok(if own.is_some() { format!("http://{address}") } else { format!("http://{address}{path}") })
    };
    let all = || {
        let data = std::path::absolute(data)?;
        Ok(Endpoints {
            api: url(Part::Api, "/api")?,
            auth: url(Part::Auth, "/auth")?,
            stream: url(Part::Stream, "/stream")?,
            chat: data.join("chat.sock"),
            pid: std::process::id(),
        })
    };
    all().map_err(file("find the addresses in force"))
}

/// The socket of the terminal chat: for the owner of the data directory alone.
fn private_socket(path: &Path) -> Result<UnixListener, StartError> {
    use std::os::unix::fs::PermissionsExt;
    let made = || {
        if path.exists() {
            // The store's lock is ours, so nobody else listens here.
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    made().map_err(file(&format!("cannot make the chat socket {}", path.display())))
}

fn sources(data: &Path, more: &[PathBuf]) -> Result<Sources, StartError> {
    let (packs, configs, builtin) = (data.join("packs"), data.join("configs"), data.join("builtin"));
    for dir in [&packs, &configs] {
        std::fs::create_dir_all(dir).map_err(file(&format!("cannot make {}", dir.display())))?;
    }
    squall_content::unpack_builtin(&builtin).map_err(file("unpack the built-in packs"))?;
    let mut dirs = more.to_vec();
    dirs.push(packs);
    Ok(Sources { builtin: true, builtin_dir: Some(builtin), packs: dirs, configs: Some(configs), ..Sources::default() })
}

fn datastore_key(data: &Path, ids: &RandomIds) -> Result<Key, StartError> {
    let path = data.join("datastore_key.json");
    if !path.exists() {
        Key::generate(ids).create(&path).map_err(|e| StartError::Key(e.to_string()))?;
    }
    Key::load(&path).map_err(|e| StartError::Key(e.to_string()))
}

fn settings(data: &Path, endpoints: &Endpoints, key: Key) -> Settings {
    Settings {
        api_url: format!("{}/v1", endpoints.api),
        network: NETWORK.into(),
        datastore_key: Some(key),
        packs_dir: data.join("packs"),
        ..Settings::default()
    }
}

fn worker_config(options: &Options) -> Config {
    Config {
        slots: squall_engine::limits::RUNNING_ACTIONS as usize,
        queue: squall_engine::limits::WAITING_EXECUTIONS as usize,
        cgroup: squall_runners::cgroup::delegated().ok(),
        ..Config::new(options.data.join("spool"))
    }
}

/// Removes the folders of attempts that a crash left between their making and the claim, or after their end: the
/// claims are read only when there is a folder at all.
fn sweep_spools(data: &Path, engine: &Engine, workers: &Workers) -> Result<(), StartError> {
    if std::fs::read_dir(data.join("spool")).is_ok_and(|mut found| found.next().is_some()) {
        let claimed = engine.claimed_spools()?;
        let swept = workers.sweep(&|spool| claimed.contains(spool));
        if swept > 0 {
            tracing::info!(swept, "removed folders of attempts that are over");
        }
    }
    Ok(())
}

/// The files of a directory of rules with their texts, by name. One that cannot be read is read as nothing that parses.
pub fn rule_files(dir: &Path) -> Vec<(String, String)> {
    // What cannot be read is broken, never empty: no rules would mean that nothing is asked.
    let unread = |path: &Path, error: &std::io::Error| (path.display().to_string(), format!("cannot be read: {error}"));
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![unread(dir, &error)],
    };
    let (mut paths, mut files) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => files.push(unread(dir, &error)),
        }
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"));
    paths.sort();
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((path.display().to_string(), text)),
            Err(error) => files.push(unread(&path, &error)),
        }
    }
    files
}

fn report(diagnostics: &[Diagnostic]) {
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 0 {
        tracing::warn!(errors, "some files of packs are not loaded; `squall check` shows them");
    }
}

fn file(what: &str) -> impl Fn(std::io::Error) -> StartError + use<> {
    let what = what.to_owned();
    move |source| StartError::File { what: what.clone(), source }
}
