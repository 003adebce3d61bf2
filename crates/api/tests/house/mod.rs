//! A whole server without sockets: an engine on the store in memory, the built-in packs and the pack of the recordings.
#![allow(dead_code)]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value as Json, json};
use squall_api::{Admin, Reloaded, Settings, State};
use squall_content::{Sources, load};
use squall_engine::confirmation::policy;
use squall_engine::people::{hash_password, shown_by_authenticator};
use squall_engine::{Engine, Parts, Principal, Role, Runtime};
use squall_model::{Clock, ExecutionId, Future, Ids, Secret, Timestamp};
use squall_store::memory::Memory;
use squall_store::{Batch, Op, User, crypto};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tower::ServiceExt;

pub struct House {
    pub engine: Engine,
    pub app: Router,
    pub packs: TempDir,
    sources: Sources,
    /// Microseconds that the clock goes ahead.
    ahead: Arc<AtomicI64>,
}

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or(Json::Null)
    }
    pub fn fault(&self) -> String {
        self.json()["faultstring"].as_str().unwrap_or_default().to_owned()
    }
}

impl House {
    pub fn new() -> House {
        House::with(Settings::default())
    }

    /// Everybody is the system user.
    pub fn open() -> House {
        House::with(Settings { authentication: false, rbac: false, ..Settings::default() })
    }

    pub fn with(settings: Settings) -> House {
        House::of(settings, squall_engine::Settings::default())
    }

    /// The word of old bots counts.
    pub fn trusting_bots() -> House {
        let engine = squall_engine::Settings { trust_legacy_bots: true, ..Default::default() };
        House::of(Settings::default(), engine)
    }

    fn of(settings: Settings, engine: squall_engine::Settings) -> House {
        let packs = tempfile::tempdir().unwrap();
        unpack_lab(packs.path());
        let configs = packs.path().join(".configs");
        squall_content::unpack_builtin(&packs.path().join(".builtin")).unwrap();
        let sources = Sources {
            packs: vec![packs.path().to_owned()],
            builtin_dir: Some(packs.path().join(".builtin")),
            configs: Some(configs.clone()),
            ..Sources::default()
        };
        let ahead = Arc::new(AtomicI64::new(0));
        let engine = Engine::new(Parts {
            store: Arc::new(Memory::new()),
            clock: Arc::new(Machine(ahead.clone())),
            ids: Arc::new(Counted(AtomicU32::new(1))),
            runtime: Arc::new(Tokio),
            settings: squall_engine::Settings { datastore_key: Some(key()), ..engine },
            registry: load(&sources).registry,
            policy: Default::default(),
        });
        let admin = Arc::new(Reloads { engine: engine.clone(), sources: sources.clone() });
        let settings = Settings { packs_dir: packs.path().to_owned(), configs_dir: configs, ..settings };
        let app = squall_api::app(State::with(engine.clone(), admin, settings));
        House { engine, app, packs, sources, ahead }
    }

    /// Moves the clock on.
    pub fn later(&self, by: Duration) {
        self.ahead.fetch_add(by.as_micros() as i64, Ordering::Relaxed);
    }

    /// Writes files of packs and puts them in force with these rules of confirmation.
    pub fn give(&self, files: &[(&str, &str)], rules: &str) {
        for (path, text) in files {
            let path = self.packs.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (policy, found) = policy::read(&[("rules.yaml".to_owned(), rules.to_owned())]);
        assert!(found.is_empty(), "{found:?}");
        self.engine.swap(load(&self.sources).registry, Arc::new(policy.unwrap()));
    }

    /// A user with further roles; answers a token.
    pub async fn person(&self, name: &str, role: Role, roles: &[&str]) -> String {
        let token = self.user(name, role).await;
        for role in roles {
            self.engine.grant_role(name, role, &Principal::internal()).await.unwrap();
        }
        token
    }

    pub async fn post(&self, token: &str, path: &str, body: Json) -> Answer {
        self.call(Some(token), "POST", path, Some(body)).await
    }

    pub async fn put(&self, token: &str, path: &str, body: Json) -> Answer {
        self.call(Some(token), "PUT", path, Some(body)).await
    }

    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        self.call(Some(token), "DELETE", path, None).await
    }

    /// Makes a second factor that counts; answers its secret.
    pub async fn factor(&self, token: &str) -> String {
        let made = self.post(token, "/v1/squall/factor", json!({})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let secret = made.json()["secret"].as_str().unwrap().to_owned();
        let first = self.put(token, "/v1/squall/factor", json!({"code": self.code(&secret)})).await;
        assert_eq!(first.status, 200, "{}", first.text);
        // The same code counts once, so the next one is for later.
        self.later(Duration::from_secs(30));
        secret
    }

    /// What an authenticator shows now.
    pub fn code(&self, secret: &str) -> String {
        shown_by_authenticator(secret, self.engine.now())
    }

    /// A user of this role; answers a token.
    pub async fn user(&self, name: &str, role: Role) -> String {
        let user = User {
            password: Some(Secret::new(hash_password("correct horse", self.engine.ids()).unwrap())),
            roles: vec![role.as_str().into()],
            ..User::new(name, self.engine.now())
        };
        self.engine.store().commit(Batch::from(Op::PutUser(Box::new(user)))).await.unwrap();
        let minted =
            self.engine.mint(name, Duration::from_secs(86_400), None, squall_model::Value::map()).await.unwrap();
        minted.text.expose("a test sends it").clone()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// The same from a client that says what it is.
    pub async fn post_as(&self, client: Option<&str>, token: &str, path: &str, body: Json) -> Answer {
        let request = Request::builder().method("POST").uri(path).header("x-auth-token", token);
        let request = client.into_iter().fold(request, |request, client| request.header("squall-client", client));
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    pub async fn call(&self, token: Option<&str>, method: &str, path: &str, body: Option<Json>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("x-auth-token", token);
        }
        let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    /// As a browser sends it that has the cookie, for whatever page.
    pub async fn by_cookie(&self, token: &str, method: &str, path: &str, body: Option<Json>) -> Answer {
        let request = Request::builder().method(method).uri(path).header("cookie", format!("auth-token={token}"));
        let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        self.send(request.body(body).unwrap()).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.call(Some(token), "GET", path, None).await
    }
}

/// The lines of the recording.
pub fn recorded() -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/api_recorded.jsonl");
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn unpack_lab(packs: &Path) {
    let meta = &recorded()[0]["meta"];
    std::fs::create_dir_all(packs.join(".configs")).unwrap();
    std::fs::write(packs.join(".configs/lab.yaml"), meta["config_file_for_pack_lab"].as_str().unwrap()).unwrap();
    for (name, text) in meta["pack_lab_files"].as_object().unwrap() {
        let path = packs.join("lab").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.as_str().unwrap()).unwrap();
    }
}

fn key() -> crypto::Key {
    crypto::Key::generate(&Counted(AtomicU32::new(1)))
}

struct Reloads {
    engine: Engine,
    sources: Sources,
}

#[async_trait::async_trait]
impl Admin for Reloads {
    async fn reload(&self) -> Result<Reloaded, String> {
        let loaded = load(&self.sources);
        self.engine.swap(loaded.registry, Default::default());
        Ok(self.content())
    }
    fn content(&self) -> Reloaded {
        let loaded = load(&self.sources);
        let counts = vec![("actions".to_owned(), loaded.registry.actions.len() as u64)];
        Reloaded { counts, diagnostics: loaded.diagnostics }
    }
}

struct Machine(Arc<AtomicI64>);

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_micros(since.as_micros() as i64 + self.0.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
    }
}

struct Counted(AtomicU32);

impl Ids for Counted {
    fn execution(&self) -> ExecutionId {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        ExecutionId::compose(seconds as u32, [1, 2, 3, 4, 5], self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (number.wrapping_mul(2_654_435_761).rotate_left(at as u32 * 5) >> 8) as u8 ^ at as u8;
        }
    }
}

struct Tokio;

impl Runtime for Tokio {
    fn spawn(&self, task: Future<'static, ()>) {
        tokio::spawn(task);
    }
    fn sleep(&self, duration: Duration) -> Future<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
