//! A disk without space below a real database: requests are refused with the reason, people in chat are told, reading
//! and cancelling go on, and when there is space again everything works without a restart.

use serde_json::{Value as Json, json};
use squall_chat::adapters::terminal::Terminal;
use squall_content::Sources;
use squall_engine::{Engine, Parts, Principal, Refusal, Request, Role, Settings, Via};
use squall_model::{Execution, Map, Status, Value};
use squall_server::{Machine, RandomIds, SystemClock};
use squall_store::sqlite::{Options, Sqlite};
use squall_store::{Filter, Page};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine with its chat on a database of its own.
struct Place {
    store: Arc<Sqlite>,
    engine: Engine,
    dir: tempfile::TempDir,
    stop: watch::Sender<bool>,
}

impl Place {
    async fn open() -> Place {
        let dir = tempfile::tempdir().unwrap();
        write_pack(&dir.path().join("notes"));
        let store = Arc::new(Sqlite::open(dir.path().join("data"), &Options::default()).unwrap());
        let sources = Sources { builtin: true, single: vec![dir.path().join("notes")], ..Sources::default() };
        let engine = Engine::new(Parts {
            store: store.clone(),
            clock: Arc::new(SystemClock::default()),
            ids: Arc::new(RandomIds::new().unwrap()),
            runtime: Arc::new(Machine::current()),
            settings: Settings { network: "terminal".into(), ..Settings::default() },
            registry: squall_content::load(&sources).registry,
            policy: Default::default(),
        });
        engine.recover().await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let terminal = Terminal::new(engine.clone());
        let listener = UnixListener::bind(dir.path().join("chat")).unwrap();
        tokio::spawn(terminal.clone().serve(listener, stopped.clone()));
        tokio::spawn(terminal.post(stopped));
        Place { store, engine, dir, stop }
    }

    async fn request(&self, action: &str, params: &[(&str, String)]) -> Result<Execution, Refusal> {
        let params: Map = params.iter().map(|(k, v)| ((*k).into(), Value::from(v.as_str()))).collect();
        self.engine.request(Request::new(action.parse().unwrap(), params, admin())).await
    }

    /// Takes the space: from here on the file may not grow, and what is left inside it is used up, but for crumbs of
    /// less than `crumbs` bytes.
    async fn fill(&self, crumbs: usize) {
        self.store.tamper("PRAGMA max_page_count = 1").unwrap();
        for size in [1_000_000, 100_000, 10_000, 1_000, 100, 1].into_iter().filter(|size| *size >= crumbs) {
            let mut tries = 0;
            while self.request("st2.kv.set", &note(tries, size)).await.is_ok() {
                tries += 1;
                assert!(tries < 2_000, "the disk does not fill");
            }
        }
    }

    fn space(&self) {
        self.store.tamper("PRAGMA max_page_count = 1000000").unwrap();
    }

    fn total(&self) -> u64 {
        self.engine.executions(&Filter::default(), Page { offset: 0, limit: 1 }, &admin()).unwrap().1
    }

    async fn person(&self, name: &str) -> Person {
        let (read, write) = UnixStream::connect(self.dir.path().join("chat")).await.unwrap().into_split();
        let mut person = Person { lines: BufReader::new(read).lines(), write };
        person.send(&json!({"hello": {"name": name, "channel": "ops"}})).await;
        person.next("welcome").await;
        person
    }
}

struct Person {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Person {
    async fn send(&mut self, line: &Json) {
        self.write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn say(&mut self, id: &str, text: &str) {
        self.send(&json!({"say": {"id": id, "text": text}})).await;
    }

    async fn next(&mut self, kind: &str) -> Json {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("in time").unwrap().unwrap();
        let line: Json = serde_json::from_str(&line).unwrap();
        line.get(kind).cloned().unwrap_or_else(|| panic!("no {kind}: {line}"))
    }

    /// The next thing that the bot says.
    async fn hears(&mut self) -> String {
        loop {
            let message = self.next("message").await;
            if message["bot"] == json!(true) {
                return message["text"].as_str().unwrap().to_owned();
            }
        }
    }
}

fn admin() -> Principal {
    Principal { user: "admin".into(), role: Role::Admin, via: Via::Token }
}

fn note(number: u32, size: usize) -> Vec<(&'static str, String)> {
    vec![("key", format!("note{size}_{number}")), ("value", "x".repeat(size))]
}

fn write_pack(dir: &Path) {
    std::fs::create_dir_all(dir.join("aliases")).unwrap();
    std::fs::write(dir.join("pack.yaml"), "name: notes\ndescription: Notes.\nversion: 1.0.0\nauthor: squall\n")
        .unwrap();
    let alias = "name: note\naction_ref: st2.kv.set\ndescription: Note something.\nformats: ['note {{key}} {{value}}']\n\
                 ack: {format: noted, append_url: false}\nresult: {enabled: false}\n";
    std::fs::write(dir.join("aliases/note.yaml"), alias).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_is_new_and_nothing_else() {
    let place = Place::open().await;
    let mut alice = place.person("alice").await;
    alice.say("1", "!note before yes").await;
    assert_eq!(alice.hears().await, "alice: noted");
    // Nobody runs processes here, so this one waits.
    let waiting = place.request("core.local", &[("cmd", "true".into())]).await.unwrap();
    let other = place.request("core.local", &[("cmd", "true".into())]).await.unwrap();

    // Little fits, and that is for what ends things.
    place.fill(100_000).await;
    let refusal = place.request("core.local", &[("cmd", "#".repeat(100_000))]).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Full(_)), "{refusal:?}");
    let canceled = place.engine.cancel(other.id, &admin()).await;
    assert_eq!(canceled.map(|e| e.status).map_err(|e| e.to_string()), Ok(Status::Canceled));

    // Nothing fits.
    place.fill(1).await;
    let total = place.total();
    let refusal = place.request("core.local", &[("cmd", "#".repeat(100_000))]).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Full(_)), "{refusal:?}");
    let text = refusal.to_string();
    assert!(text.starts_with("disk full: ") && text.ends_with("; nothing was started"), "{text}");
    assert_eq!(place.total(), total, "nothing of it is there");

    // In chat: whoever asks is told, every time, although not even the words can be kept.
    for number in 2..5 {
        alice.say(&number.to_string(), &format!("!note key{number} {}", "y".repeat(7_000))).await;
        let told = alice.hears().await;
        assert!(told.starts_with("alice: not started: disk full"), "{told}");
    }
    alice.say("talk", &"to nobody in particular ".repeat(300)).await;
    assert_eq!(place.total(), total);

    // Looking goes on; what cannot be written is refused and not half done.
    let status = |of: &Execution| place.engine.execution(of.id, &admin()).unwrap().status;
    match place.engine.cancel(waiting.id, &admin()).await {
        Ok(_) => assert_eq!(status(&waiting), Status::Canceled),
        Err(refusal) => {
            assert!(matches!(refusal, Refusal::Full(_)), "{refusal:?}");
            assert_eq!(status(&waiting), Status::Scheduled);
        }
    }

    place.space();
    let noted = place.request("st2.kv.set", &note(0, 100_000)).await.unwrap();
    assert_eq!(place.engine.wait(noted.id, PATIENCE).await.unwrap().status, Status::Succeeded);
    alice.say("9", "!note after yes").await;
    assert_eq!(alice.hears().await, "alice: noted");
    let late = place.request("core.local", &[("cmd", "true".into())]).await.unwrap();
    assert_eq!(place.engine.cancel(late.id, &admin()).await.unwrap().status, Status::Canceled);
    assert_eq!(place.store.fatal(), None);
    let _ = place.stop.send(true);
}
