//! A real server, real people on its chat socket, the real commands. Nothing sleeps for a fixed time: every wait is for
//! something to be seen, with a bound.

#![allow(dead_code)] // each test file uses its part

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The longest wait for anything that is to be seen soon: generous, because timing never decides a test.
pub const SOON: Duration = Duration::from_secs(60);

pub fn squall() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_squall"))
}

/// A server on a data directory of its own.
pub struct Server {
    pub data: PathBuf,
    /// Seconds that running actions get when it is stopped.
    pub drain: &'static str,
    /// More options of `squall up`.
    pub options: &'static [&'static str],
    child: Option<Child>,
    _dir: Option<tempfile::TempDir>,
}

impl Server {
    pub fn start() -> Server {
        let mut server = Server::prepared();
        server.up();
        server
    }

    /// One that was not started yet.
    pub fn prepared() -> Server {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Server { data: dir.path().join("data"), drain: "1", options: &[], child: None, _dir: Some(dir) }
    }

    /// Starts (again) on the same data and waits until it answers.
    pub fn up(&mut self) {
        self.begin(&[]);
        self.is_up();
    }

    /// Starts it with more in its environment, and does not wait.
    pub fn begin(&mut self, env: &[(&str, &str)]) {
        self.begin_as(Command::new(squall()), env);
    }

    /// Starts it with something in front of its own command line.
    pub fn begin_under(&mut self, words: &[&str]) {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(squall());
        self.begin_as(command, &[]);
    }

    fn begin_as(&mut self, mut command: Command, env: &[(&str, &str)]) {
        let _ = std::fs::remove_file(self.data.join("endpoints.json"));
        let child = command
            .args(["up", "--quiet", "--listen", "127.0.0.1:0", "--drain", self.drain, "--data"])
            .arg(&self.data)
            .args(self.options)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("squall starts");
        self.child = Some(child);
    }

    /// Waits until it answers.
    pub fn is_up(&self) {
        let endpoints = self.data.join("endpoints.json");
        wait("endpoints.json", || endpoints.exists().then_some(()));
    }

    /// Waits until it has died by a signal of its own.
    pub fn has_died(&mut self) {
        assert_eq!(self.has_ended(), None, "it died by a signal");
    }

    /// Waits until it has ended by itself; answers its exit code.
    pub fn has_ended(&mut self) -> Option<i32> {
        // Kept until then, so that a test that fails here leaves nothing behind.
        let child = self.child.as_mut().expect("it runs");
        let status = wait("its end", || child.try_wait().expect("it can be waited for"));
        self.child = None;
        status.code()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Kills it as a power switch would, as far as a process can be.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    /// Stops it as an operator would; answers its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.child.take().expect("it runs").wait().expect("it ends").code()
    }

    /// Sends the signal of an ordinary stop, and does not wait.
    pub fn ask_to_stop(&self) {
        Command::new("kill").arg(self.pid().to_string()).status().expect("kill runs");
    }

    /// A command under one of the program's names.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.named(name));
        command.args(args).env("SQUALL_DATA", &self.data).env_remove("ST2_AUTH_TOKEN").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, name: &str, args: &[&str]) -> Output {
        self.command(name, args).output().expect("the command runs")
    }

    /// Runs a command that must succeed; answers what it printed.
    #[track_caller]
    pub fn ok(&self, name: &str, args: &[&str]) -> String {
        let output = self.run(name, args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{name} {args:?} failed\n{out}\n{err}");
        out
    }

    /// Runs a command that must succeed; reads the JSON that it printed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let out = self.ok("squall", args);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{args:?} did not print JSON: {e}\n{out}"))
    }

    /// The program under another name, as a link beside its data.
    fn named(&self, name: &str) -> PathBuf {
        if name == "squall" {
            return squall().to_owned();
        }
        let link = self.data.parent().expect("a parent").join(name);
        if !link.exists() {
            let _ = std::os::unix::fs::symlink(squall(), &link);
        }
        link
    }

    /// Somebody in a channel.
    pub fn person(&self, name: &str, channel: &str) -> Person {
        Person::join(&self.data, name, channel, None)
    }

    /// An execution that is to be final soon.
    pub fn ended(&self, id: &str) -> Value {
        wait(&format!("the end of {id}"), || {
            let execution = self.json(&["execution", "get", id, "--json"]);
            let status = execution["status"].as_str().unwrap_or_default().to_owned();
            matches!(status.as_str(), "succeeded" | "failed" | "canceled" | "timeout" | "abandoned")
                .then_some(execution)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Looks until there is something to see.
#[track_caller]
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < SOON, "never saw {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Somebody on the chat socket.
pub struct Person {
    pub name: String,
    write: UnixStream,
    heard: Receiver<Value>,
    pub log: Vec<Value>,
    /// Changes of questions.
    pub edits: Vec<Value>,
    data: PathBuf,
    channel: String,
}

/// Where the chat of the server on `data` listens.
pub fn chat_socket(data: &Path) -> PathBuf {
    let text = std::fs::read_to_string(data.join("endpoints.json")).expect("the server runs");
    let endpoints: Value = serde_json::from_str(&text).expect("JSON");
    endpoints["chat"].as_str().expect("a socket").into()
}

/// What the server answers to one raw line on a new connection.
pub fn chat_answer(data: &Path, line: &str) -> Value {
    let mut stream = UnixStream::connect(chat_socket(data)).expect("the chat socket answers");
    stream.set_read_timeout(Some(SOON)).expect("a bound");
    // The other side may hang up before it has read everything.
    let _ = writeln!(stream, "{line}");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

/// Command lines of this machine's processes that hold `part`.
pub fn processes(part: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").expect("a process table").flatten();
    let lines = entries.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    lines.map(|line| text(&line).replace('\0', " ")).filter(|line| line.contains(part)).collect()
}

static SAID: AtomicU32 = AtomicU32::new(0);

impl Person {
    pub fn join(data: &Path, name: &str, channel: &str, after: Option<i64>) -> Person {
        let mut write = UnixStream::connect(chat_socket(data)).expect("the chat socket answers");
        let hello = json!({"hello": {"name": name, "channel": channel, "after": after}});
        writeln!(write, "{hello}").expect("it hears");
        let read = BufReader::new(write.try_clone().expect("a second handle"));
        let (tell, heard) = channel_of();
        std::thread::spawn(move || {
            for line in read.lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).expect("JSON");
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let greeting = heard.recv_timeout(SOON).expect("a greeting");
        assert!(greeting.get("welcome").is_some(), "{greeting}");
        Person {
            name: name.into(),
            write,
            heard,
            log: Vec::new(),
            edits: Vec::new(),
            data: data.into(),
            channel: channel.into(),
        }
    }

    /// Comes back after the server was away; hears what was said meanwhile.
    pub fn again(&self) -> Person {
        let seen = self.log.iter().filter_map(|m| m["seq"].as_i64()).max().unwrap_or(0);
        let mut person = Person::join(&self.data, &self.name, &self.channel, Some(seen));
        person.log = self.log.clone();
        person
    }

    pub fn say(&mut self, text: &str) {
        let id = format!("t{}-{}", std::process::id(), SAID.fetch_add(1, Ordering::Relaxed));
        self.say_as(&id, text).expect("it hears");
    }

    /// Says something in the thread that the message of that number began.
    pub fn reply(&mut self, text: &str, thread: i64) {
        let id = format!("t{}-{}", std::process::id(), SAID.fetch_add(1, Ordering::Relaxed));
        let say = json!({"say": {"id": id, "text": text, "thread": thread}});
        writeln!(self.write, "{say}").expect("it hears");
    }

    /// Says something under an id of one's own choice; whoever got no answer says it again under the same id.
    pub fn say_as(&mut self, id: &str, text: &str) -> std::io::Result<()> {
        writeln!(self.write, "{}", json!({"say": {"id": id, "text": text}}))
    }

    /// Whether the server has hung up; what it said before that is taken in.
    pub fn hung_up(&mut self) -> bool {
        use std::sync::mpsc::TryRecvError;
        loop {
            match self.heard.try_recv() {
                Ok(line) => self.note(line),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    /// Waits for the bot to say something that holds `part`; answers the text. What was heard before counts as well.
    #[track_caller]
    pub fn hears(&mut self, part: &str) -> String {
        self.hears_within(part, SOON)
    }

    #[track_caller]
    pub fn hears_within(&mut self, part: &str, patience: Duration) -> String {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.said(part).first() {
                return found.clone();
            }
            let left = patience.saturating_sub(begun.elapsed());
            match self.heard.recv_timeout(left) {
                Ok(line) => self.note(line),
                Err(_) => panic!("{} never heard {part:?}, only:\n{}", self.name, self.transcript()),
            }
        }
    }

    /// Takes in what has arrived.
    pub fn listen(&mut self) {
        while let Ok(line) = self.heard.try_recv() {
            self.note(line);
        }
    }

    fn note(&mut self, line: Value) {
        if let Some(message) = line.get("message") {
            self.log.push(message.clone());
        }
        if let Some(edit) = line.get("edit") {
            self.edits.push(edit.clone());
        }
    }

    /// What the bot said so far that holds `part`.
    pub fn said(&self, part: &str) -> Vec<String> {
        let bots = self.log.iter().filter(|m| m["bot"] == json!(true));
        bots.filter_map(|m| m["text"].as_str()).filter(|t| t.contains(part)).map(str::to_owned).collect()
    }

    pub fn transcript(&self) -> String {
        self.log
            .iter()
            .map(|m| format!("{}: {}\n", m["author"].as_str().unwrap_or("?"), m["text"].as_str().unwrap_or("?")))
            .collect()
    }
}

fn channel_of() -> (std::sync::mpsc::Sender<Value>, Receiver<Value>) {
    channel()
}

/// The first 24-digit id in a text.
pub fn id_in(text: &str) -> String {
    let digits = |w: &&str| w.len() == 24 && w.chars().all(|c| c.is_ascii_hexdigit());
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words.iter().copied().find(|w| digits(w)).unwrap_or_else(|| panic!("no id in {text:?}")).to_owned()
}

/// The pack that the story began with, in a git repository of its own: the author's files where they are at hand, and files
/// of the same shape otherwise.
pub fn seed_repository(dir: &Path) -> String {
    let repository = dir.join("st2chat_confirm");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/packs/st2chat_confirm");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs/st2chat_confirm");
    copy(if shared.join("pack.yaml").exists() { &shared } else { &own }, &repository);
    let git = |args: &[&str]| {
        let status = Command::new("git")
            .arg("-C")
            .arg(&repository)
            .args(["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=master"])
            .args(args)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("git runs").success(), "git {args:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "pack"]);
    format!("file://{}", repository.display())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a pack") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).expect("a file")).expect("a copy");
        }
    }
}

/// Writes the files of a pack where the server looks for packs, and nothing more.
pub fn write_pack(server: &Server, name: &str, files: &[(&str, &str)]) {
    let dir = server.data.join("packs").join(name);
    let manifest = format!("name: {name}\ndescription: For a test.\nversion: 1.0.0\nauthor: squall\n");
    for (path, text) in [("pack.yaml", manifest.as_str())].iter().chain(files) {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, text).expect("a file");
    }
}

/// Installs the seed pack as its author did.
pub fn install_seed(server: &Server) {
    let url = seed_repository(server.data.parent().expect("a parent"));
    let repo = format!("repo_url={url}");
    let out = server.ok("st2", &["packs.install", "packs=st2chat_confirm", "register=all", &repo]);
    assert!(out.contains("succeeded"), "{out}");
}
