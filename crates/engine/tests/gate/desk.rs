//! One server on virtual time, its packs in a directory of their own, and the people around it.

use crate::sim::executor::{CountedIds, Dice, Executor, VirtualClock};
use crate::sim::runner::{Ground, SimRunner};
use squall_content::{Registry, Sources};
use squall_engine::answers::{Answered, Answering};
use squall_engine::confirmation::decide::Verdict;
use squall_engine::confirmation::declare::Way;
use squall_engine::confirmation::record::Place;
use squall_engine::confirmation::{Identity, Policy, Record, State, policy};
use squall_engine::people::CHAT_USER;
use squall_engine::typed::{Reply, Typed};
use squall_engine::{Command, Engine, Parts, Principal, Refusal, Request, Role, Runtime, Settings, Via};
use squall_model::{ActionRef, Clock, Execution, ExecutionId, ReplyTo, Timestamp, Value, from_json};
use squall_store::crypto::Key;
use squall_store::memory::Memory;
use squall_store::{Batch, Filter, Op, Page, Store, User};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// The server of a test.
pub struct Desk {
    pub clock: Arc<VirtualClock>,
    pub store: Memory,
    pub ground: Arc<Ground>,
    pub packs: tempfile::TempDir,
    pub engine: Engine,
    pub executor: Executor,
    pub rules: String,
    ids: Arc<CountedIds>,
    dice: Arc<Dice>,
    stop: watch::Sender<bool>,
    runner: Arc<SimRunner>,
    messages: u64,
    seed: u64,
    lives: u64,
}

/// The built-in packs and those of this folder, read once.
pub fn usual() -> Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| load(&here())).clone()
}

/// The same packs, in which `danger.wipe` does something else.
pub fn changed() -> Registry {
    static REGISTRY: OnceLock<(tempfile::TempDir, Registry)> = OnceLock::new();
    let make = || {
        let packs = tempfile::tempdir().expect("a directory for packs");
        copy(&here(), packs.path());
        let file = packs.path().join("danger/actions/wipe.yaml");
        let text = std::fs::read_to_string(&file).expect("the action");
        std::fs::write(&file, text.replace("echo", "echo really")).expect("written");
        let registry = load(packs.path());
        (packs, registry)
    };
    REGISTRY.get_or_init(make).1.clone()
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate/packs")
}

/// Reads the packs of a directory, whatever is wrong with one of them.
pub fn load(packs: &Path) -> Registry {
    let sources = Sources { builtin: true, packs: vec![packs.to_owned()], ..Sources::default() };
    squall_content::load(&sources).registry
}

/// Rules as they stand in a file.
pub fn rules(text: &str) -> Arc<Policy> {
    if text.is_empty() {
        return Arc::default();
    }
    let (policy, diagnostics) = policy::read(&[("rules.yaml".to_owned(), text.to_owned())]);
    let problems: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    Arc::new(policy.unwrap_or_else(|| panic!("{}", problems.join("\n"))))
}

/// A rule about one action: `{who}` twice as strict as needed is one word away.
pub fn rule(id: &str, action: &str, require: &str) -> String {
    format!(
        "version: 1\nrules:\n  - {{id: {id}, why: because, when: {{action: [\"{action}\"]}}, require: [{require}]}}\n"
    )
}

impl Desk {
    pub fn new() -> Desk {
        Desk::with("")
    }

    pub fn with(rules_text: &str) -> Desk {
        Desk::seeded(rules_text, 7)
    }

    pub fn seeded(rules_text: &str, seed: u64) -> Desk {
        let clock = VirtualClock::new();
        let store = Memory::seeded(seed);
        let (ids, dice) = (CountedIds::new(seed ^ 1), Arc::new(Dice::new(seed ^ 2)));
        let ground = Arc::<Ground>::default();
        let packs = tempfile::tempdir().expect("a directory for packs");
        let registry = usual();
        let (executor, engine, stop, runner) =
            start(&clock, &store, &ids, &dice, &ground, registry, rules(rules_text), seed);
        let rules = rules_text.to_owned();
        let mut desk = Desk {
            clock,
            store,
            ground,
            packs,
            engine,
            executor,
            rules,
            ids,
            dice,
            stop,
            runner,
            messages: 0,
            seed,
            lives: 0,
        };
        for (name, roles) in [
            ("admin", &["admin"][..]),
            ("alice", &["operator"]),
            ("bob", &["operator", "sre"]),
            ("carol", &["operator", "sre"]),
            ("dora", &["operator", "sre"]),
            ("erin", &["operator", "lead"]),
            ("mallory", &["operator"]),
        ] {
            desk.user(name, roles, true);
            if name != "mallory" && name != "admin" {
                desk.link(name);
            }
        }
        desk.settle();
        desk
    }

    /// Puts packs of its own in place of the usual ones, so that they can be changed.
    pub fn own_packs(mut self) -> Desk {
        copy(&here(), self.packs.path());
        self.reload();
        self
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.packs.path().join("danger").join(path)
    }

    /// Changes a text of a file of the pack.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.file(path)).expect("a file of the pack");
        assert!(text.contains(from), "{path} has no `{from}`");
        std::fs::write(self.file(path), text.replace(from, to)).expect("the pack can be written");
    }

    /// `st2ctl reload`
    pub fn reload(&mut self) {
        self.engine.swap(load(self.packs.path()), rules(&self.rules));
        self.settle();
    }

    /// Other rules, the same packs.
    pub fn new_rules(&mut self, text: &str) {
        self.rules = text.to_owned();
        let registry = self.engine.content().registry().clone();
        self.engine.swap(registry, rules(text));
        self.settle();
    }

    pub fn user(&mut self, name: &str, roles: &[&str], active: bool) {
        let user = User {
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
            active,
            ..User::new(name, self.clock.now())
        };
        self.commit(Op::PutUser(Box::new(user)).into());
    }

    pub fn link(&mut self, name: &str) {
        let (engine, name) = (self.engine.clone(), name.to_owned());
        self.wait(async move { engine.link(&identity(&name), &name, &Principal::internal()).await }).expect("linked");
    }

    pub fn commit(&mut self, batch: Batch) {
        let store = self.store.clone();
        self.wait(async move { store.commit(batch).await }).expect("the store takes it");
    }

    /// Runs a future and everything that it needs, at this moment or the few that it takes.
    pub fn wait<T: Send + 'static>(&mut self, future: impl Future<Output = T> + Send + 'static) -> T {
        let (slot, filled) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(false)));
        let (inside, done) = (slot.clone(), filled.clone());
        self.executor.handle().spawn(Box::pin(async move {
            let value = future.await;
            *inside.lock().unwrap() = Some(value);
            *done.lock().unwrap() = true;
        }));
        let until = self.clock.now().after(Duration::from_secs(30));
        self.executor.run(until, || *filled.lock().unwrap());
        slot.lock().unwrap().take().expect("an answer within half a minute")
    }

    /// Everything that can happen now.
    pub fn settle(&mut self) {
        self.executor.run(self.clock.now(), || false);
    }

    /// Time passes, and what is due happens.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.clock.now().after(duration);
        self.executor.run(until, || false);
        self.clock.set(until);
        self.settle();
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
    }

    /// The server stops as it should and is started again after a while.
    pub fn stop_for(&mut self, away: Duration) {
        // Nobody listening is fine.
        let _ = self.stop.send(true);
        self.settle();
        self.restart_after(away);
    }

    /// The server dies where it is and is started again after a while.
    pub fn restart_after(&mut self, away: Duration) {
        self.lives += 1;
        self.store = self.store.crash();
        self.clock.pass(away);
        let content = self.engine.content();
        let seed = self.seed ^ (self.lives << 32);
        let registry = content.registry().clone();
        let (executor, engine, stop, runner) = start(
            &self.clock,
            &self.store,
            &self.ids,
            &self.dice,
            &self.ground,
            registry,
            content.policy().clone(),
            seed,
        );
        forget(&self.runner);
        (self.executor, self.engine, self.stop, self.runner) = (executor, engine, stop, runner);
        self.settle();
    }

    // ---- people ------------------------------------------------------------------------------------------------

    pub fn command(&self, person: &str, text: &str, message: &str) -> Command {
        Command {
            text: text.to_owned(),
            who: Principal { user: CHAT_USER.into(), role: Role::Operator, via: Via::Chat(identity(person)) },
            speaker: person.to_owned(),
            channel: "ops".into(),
            reply_to: Some(ReplyTo {
                network: "terminal".into(),
                channel: "ops".into(),
                thread: None,
                user: person.to_owned(),
                alias: None,
                message: Some(message.to_owned()),
            }),
            chat: Value::from_pairs([
                ("network", Value::from("terminal")),
                ("user_id", person.into()),
                ("user_name", person.into()),
            ]),
            key: Some(format!("terminal/ops/{message}")),
            kind: true,
            notify: Value::Null,
            reject_held: false,
        }
    }

    /// Types a command; the executions that it became.
    pub fn try_say(&mut self, person: &str, text: &str) -> Result<Vec<ExecutionId>, Refusal> {
        self.messages += 1;
        let command = self.command(person, text, &format!("m{}", self.messages));
        let engine = self.engine.clone();
        let done = self.wait(async move { engine.command(&command).await })?;
        Ok(done.into_iter().map(|c| c.execution.id).collect())
    }

    #[track_caller]
    pub fn say(&mut self, person: &str, text: &str) -> ExecutionId {
        match self.try_say(person, text) {
            Ok(ids) => ids[0],
            Err(refusal) => panic!("{person}: {text}: {refusal}"),
        }
    }

    /// Types something that may be an answer.
    pub fn answers(&mut self, person: &str, text: &str) -> Reply {
        self.messages += 1;
        let message = format!("m{}", self.messages);
        self.answers_as(person, text, &message)
    }

    /// The same in a message of that number.
    pub fn answers_as(&mut self, person: &str, text: &str, message: &str) -> Reply {
        let typed = Typed {
            raw: format!("!{text}"),
            command: Some(text.to_owned()),
            identity: identity(person),
            name: person.to_owned(),
            place: Place { network: "terminal".into(), channel: "ops".into(), thread: None, private: false },
            message: message.to_owned(),
            at: None,
            heard_at: self.clock.now(),
            is_bot: false,
            is_edited: false,
            is_forwarded: false,
            label: None,
        };
        let engine = self.engine.clone();
        let reply = self.wait(async move { engine.typed(&typed).await }).expect("an answer is taken");
        self.settle();
        reply
    }

    pub fn request(&mut self, user: &str, action: &str, params: &str) -> Result<Execution, Refusal> {
        let request = self.requested(user, action, params);
        self.send(request)
    }

    pub fn requested(&self, user: &str, action: &str, params: &str) -> Request {
        let reference: ActionRef = action.parse().expect("a reference");
        let params = from_json(params, false).expect("JSON").as_map().cloned().unwrap_or_default();
        Request::new(reference, params, token(user))
    }

    pub fn send(&mut self, request: Request) -> Result<Execution, Refusal> {
        let engine = self.engine.clone();
        let done = self.wait(async move { engine.request(request).await });
        self.settle();
        done
    }

    /// Answers over the API.
    pub fn answer(&mut self, user: &str, record: &Record, verdict: Verdict) -> Result<Answered, Refusal> {
        let given = Answering { verdict, rest: None, digest: None, response: None, way: Way::Api };
        self.answer_with(user, record, given)
    }

    pub fn answer_with(&mut self, user: &str, record: &Record, given: Answering) -> Result<Answered, Refusal> {
        let (engine, who, id) = (self.engine.clone(), token(user), record.id.to_string());
        let done = self.wait(async move { engine.answer_by(&id, given, &who).await });
        self.settle();
        done
    }

    /// Says yes where it can be said, in chat or over the API; what is told.
    pub fn grant(&mut self, user: &str, record: &Record) -> String {
        self.says(user, record, "confirm", Verdict::Grant)
    }

    pub fn deny(&mut self, user: &str, record: &Record) -> String {
        self.says(user, record, "deny", Verdict::Deny)
    }

    fn says(&mut self, user: &str, record: &Record, word: &str, verdict: Verdict) -> String {
        if record.ways.contains(&Way::Api) {
            return self.answer(user, record, verdict).map_or_else(|refusal| refusal.to_string(), |a| a.told);
        }
        let before = self.texts().len();
        match self.answers(user, &format!("{word} {}", record.code)) {
            Reply::Say(text) | Reply::Perhaps(text) => text,
            Reply::Done => self.texts().split_off(before).join("\n"),
            Reply::Other | Reply::Silence => String::new(),
        }
    }

    pub fn cancel(&mut self, id: ExecutionId) {
        let engine = self.engine.clone();
        self.wait(async move { engine.cancel(id, &token("admin")).await }).expect("canceled");
        self.settle();
    }

    // ---- looking -----------------------------------------------------------------------------------------------

    pub fn execution(&self, id: ExecutionId) -> Execution {
        self.store.execution(id).unwrap().expect("it is stored")
    }

    pub fn executions(&self) -> Vec<Execution> {
        self.store.executions(&Filter::default(), Page { offset: 0, limit: 100_000 }).unwrap().0
    }

    /// What came out, as JSON.
    pub fn result(&self, id: ExecutionId) -> String {
        squall_model::to_json(&self.execution(id).result)
    }

    pub fn status(&self, id: ExecutionId) -> String {
        self.execution(id).status.to_string()
    }

    /// The confirmation of an execution, which there must be.
    #[track_caller]
    pub fn record_of(&self, id: ExecutionId) -> Record {
        self.engine.confirmation_of(id).unwrap().expect("it is asked about")
    }

    pub fn records(&self) -> Vec<Record> {
        let page = Page { offset: 0, limit: 100_000 };
        let (rows, _) = self.store.confirmations(&Default::default(), page).unwrap();
        rows.iter().map(|row| Record::from_json(&row.json).expect("it reads back")).collect()
    }

    pub fn open(&self) -> Vec<Record> {
        self.records().into_iter().filter(|r| r.state == State::Open).collect()
    }

    /// The only open one.
    #[track_caller]
    pub fn one_open(&self) -> Record {
        let open = self.open();
        assert_eq!(open.len(), 1, "{} open", open.len());
        open.into_iter().next().expect("one")
    }

    /// How many processes were started.
    pub fn effects(&self) -> usize {
        self.ground.starts.lock().unwrap().len()
    }

    /// What was posted in the channel, in order.
    pub fn texts(&self) -> Vec<String> {
        let text = |body: &Value| body.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        let rows = self.store.outgoing("terminal", 0, 1_000_000).unwrap();
        let is_edit = |body: &Value| body.get("kind").and_then(Value::as_str) == Some("edit");
        rows.iter().filter(|row| !is_edit(&row.body)).map(|row| text(&row.body)).collect()
    }

    /// What was posted in one channel, in order.
    pub fn texts_in(&self, channel: &str) -> Vec<String> {
        let rows = self.store.outgoing("terminal", 0, 1_000_000).unwrap();
        let text = |body: &Value| body.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        rows.iter().filter(|row| row.channel == channel).map(|row| text(&row.body)).collect()
    }

    pub fn said(&self, part: &str) -> usize {
        self.texts().iter().filter(|text| text.contains(part)).count()
    }

    pub fn events(&self, name: &str) -> usize {
        self.store.audit(1, 1_000_000).unwrap().iter().filter(|row| row.event == name).count()
    }

    /// What the newest row of the audit log of that name says.
    #[track_caller]
    pub fn store_row(&self, event: &str) -> Value {
        let rows = self.store.audit(1, 1_000_000).unwrap();
        rows.into_iter().rev().find(|row| row.event == event).expect("it was logged").data
    }

    pub fn store_confirmation(&self, id: &str) -> squall_store::Confirmation {
        self.store.confirmation(id).unwrap().expect("it is stored")
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Nobody listening is fine.
        let _ = self.stop.send(true);
        forget(&self.runner);
    }
}

/// Engine and runner know each other; one of both must let go, or no server of a hundred thousand is ever freed.
fn forget(runner: &SimRunner) {
    *runner.sink.lock().unwrap() = None;
}

#[allow(clippy::too_many_arguments)] // the parts of a world
fn start(
    clock: &Arc<VirtualClock>,
    store: &Memory,
    ids: &Arc<CountedIds>,
    dice: &Arc<Dice>,
    ground: &Arc<Ground>,
    registry: Registry,
    policy: Arc<Policy>,
    seed: u64,
) -> (Executor, Engine, watch::Sender<bool>, Arc<SimRunner>) {
    let executor = Executor::new(clock.clone(), seed ^ 3);
    let runtime = executor.handle();
    let engine = Engine::new(Parts {
        store: Arc::new(store.clone()),
        clock: clock.clone(),
        ids: ids.clone(),
        runtime: runtime.clone(),
        settings: Settings { datastore_key: Some(key()), ..Settings::default() },
        registry,
        policy,
    });
    let runner = Arc::new(SimRunner {
        ground: ground.clone(),
        runtime: runtime.clone(),
        sink: Mutex::default(),
        dice: dice.clone(),
    });
    *runner.sink.lock().unwrap() = Some(Arc::new(engine.clone()));
    engine.attach(runner.clone());
    let (stop, stopped) = watch::channel(false);
    let started = engine.clone();
    runtime.spawn(Box::pin(async move {
        if started.recover().await.is_ok() {
            started.run_due(stopped).await;
        }
    }));
    (executor, engine, stop, runner)
}

/// One key for all lives of a server.
fn key() -> Key {
    Key::generate(&*CountedIds::new(99))
}

pub fn identity(person: &str) -> Identity {
    Identity { network: "terminal".into(), workspace: None, user_id: person.to_owned() }
}

pub fn token(user: &str) -> Principal {
    let role = if user == "admin" { Role::Admin } else { Role::Operator };
    Principal { user: user.to_owned(), role, via: Via::Token }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("packs of the tests") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("copied")),
        }
    }
}
