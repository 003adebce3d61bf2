//! Real processes under real supervisors: what an operator relies on when an action misbehaves or the server dies.
//!
//! Every test has a bound and waits for conditions, never for a fixed time. The processes of an attempt are found by the
//! tag in their environment.

use sha2::Digest as _;
use squall_model::{
    ClaimAnswer, ExecutionId, Future, Leftover, Map, Outcome, Runner, Status, Stream, Value, WorkEvent, WorkItem,
    WorkKey, WorkSink, from_json, to_json,
};
use squall_runners::{Config, Workers};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Everything here ends within this, on a busy machine too.
const BOUND: Duration = Duration::from_secs(40);

#[derive(Default)]
struct Seen {
    spools: BTreeMap<WorkKey, String>,
    events: BTreeMap<WorkKey, Vec<WorkEvent>>,
}

/// An engine that grants every claim and writes down what it hears.
#[derive(Default)]
struct Engine {
    seen: Mutex<Seen>,
    refuses: bool,
    token: Vec<(String, String)>,
}

impl WorkSink for Engine {
    fn claim<'a>(&'a self, key: WorkKey, _worker: &'a str, spool: &'a str) -> Future<'a, ClaimAnswer> {
        self.seen.lock().unwrap().spools.insert(key, spool.to_owned());
        let env = self.token.clone();
        let answer = if self.refuses { ClaimAnswer::Refused } else { ClaimAnswer::Granted { env } };
        Box::pin(async move { answer })
    }

    fn report(&self, key: WorkKey, event: WorkEvent) -> Future<'_, ()> {
        self.seen.lock().unwrap().events.entry(key).or_default().push(event);
        Box::pin(async {})
    }
}

impl Engine {
    fn finished(&self, key: WorkKey) -> Option<Outcome> {
        self.seen.lock().unwrap().events.get(&key)?.iter().find_map(|event| match event {
            WorkEvent::Finished(outcome) => Some(outcome.clone()),
            _ => None,
        })
    }

    fn pid(&self, key: WorkKey) -> Option<u32> {
        self.seen.lock().unwrap().events.get(&key)?.iter().find_map(|event| match event {
            WorkEvent::Started { pid } => Some(*pid),
            _ => None,
        })
    }

    fn output(&self, key: WorkKey, of: Stream) -> String {
        let seen = self.seen.lock().unwrap();
        let texts = seen.events.get(&key).into_iter().flatten().filter_map(|event| match event {
            WorkEvent::Output { stream, text } if *stream == of => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn spool(&self, key: WorkKey) -> String {
        self.seen.lock().unwrap().spools[&key].clone()
    }
}

struct House {
    root: tempfile::TempDir,
    engine: Arc<Engine>,
    workers: Arc<Workers>,
}

fn config(root: &Path, grace: Duration) -> Config {
    Config {
        supervisor: env!("CARGO_BIN_EXE_squall-supervise").into(),
        grace,
        worker: "test".into(),
        ..Config::new(root.join("spool"))
    }
}

fn house_with(grace: Duration, engine: Engine) -> House {
    let root = tempfile::tempdir().unwrap();
    let engine = Arc::new(engine);
    let workers = Workers::new(config(root.path(), grace), engine.clone());
    House { root, engine, workers }
}

fn house() -> House {
    house_with(Duration::from_millis(300), Engine::default())
}

fn item(runner: &str, params: &str) -> WorkItem {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let id = ExecutionId::compose(0, [0; 5], NEXT.fetch_add(1, Ordering::Relaxed));
    WorkItem {
        key: WorkKey { execution: id, attempt: 1 },
        runner: runner.into(),
        action: "lab.do".parse().unwrap(),
        pack_dir: String::new(),
        entry_point: String::new(),
        runner_params: from_json(params, false).unwrap().as_map().cloned().unwrap(),
        action_params: Map::new(),
        positional: Vec::new(),
        types: Vec::new(),
        env: Vec::new(),
        timeout: Duration::from_secs(60),
        sealed: None,
    }
}

fn command(cmd: &str) -> WorkItem {
    let mut item = item("local-shell-cmd", "{}");
    item.runner_params.insert("cmd".into(), Value::from(cmd));
    item
}

#[track_caller]
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < BOUND, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl House {
    #[track_caller]
    fn start(&self, item: WorkItem) -> WorkKey {
        let key = item.key;
        self.workers.dispatch(item);
        key
    }

    #[track_caller]
    fn end(&self, key: WorkKey) -> Outcome {
        until("the end", || self.engine.finished(key))
    }

    #[track_caller]
    fn run(&self, item: WorkItem) -> Outcome {
        self.end(self.start(item))
    }

    /// Runs a command; the outcome as text.
    #[track_caller]
    fn check(&self, cmd: &str, expected: &str) {
        assert_eq!(show(&self.run(command(cmd))), expected, "{cmd}");
    }
}

fn show(outcome: &Outcome) -> String {
    format!("{} {}", outcome.status, to_json(&outcome.result))
}

/// The processes in whose file `name` below `/proc/PID` the spool's id stands.
fn naming(spool: &str, name: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let says = |pid: &u32| {
        fs::read(format!("/proc/{pid}/{name}")).is_ok_and(|text| String::from_utf8_lossy(&text).contains(spool))
    };
    pids.filter(says).collect()
}

/// The supervisor of an attempt.
fn supervisor(spool: &str) -> u32 {
    naming(spool, "cmdline")[0]
}

/// The processes of an attempt: every one inherits its tag.
fn alive(spool: &str) -> Vec<u32> {
    naming(spool, "environ")
}

#[track_caller]
fn nobody(spool: &str) {
    assert_eq!((alive(spool), naming(spool, "cmdline")), (vec![], vec![]), "processes of {spool} are left");
}

impl House {
    /// Asserts that no process of any attempt here is left.
    #[track_caller]
    fn nobody_left(&self) {
        self.engine.seen.lock().unwrap().spools.values().for_each(|spool| nobody(spool));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_end_as_stackstorm_tells_it() {
    let house = house();
    house.check(
        "echo out; echo err >&2",
        r#"succeeded {"failed":false,"succeeded":true,"return_code":0,"stdout":"out","stderr":"err"}"#,
    );
    house.check("exit 3", r#"failed {"failed":true,"succeeded":false,"return_code":3,"stdout":"","stderr":""}"#);
    house.check(
        "echo '{\"n\": 3}'",
        r#"succeeded {"failed":false,"succeeded":true,"return_code":0,"stdout":{"n":3},"stderr":""}"#,
    );
    house.check(
        "kill -9 $$",
        r#"timeout {"failed":true,"succeeded":false,"return_code":-9,"stdout":"","stderr":"","error":"Action failed to complete in 60 seconds"}"#,
    );
    house.check(
        "kill -15 $$",
        r#"abandoned {"failed":true,"succeeded":false,"return_code":-15,"stdout":"","stderr":""}"#,
    );
    house.check("kill -11 $$", r#"failed {"failed":true,"succeeded":false,"return_code":-11,"stdout":"","stderr":""}"#);
    let gone = house.run(command("no-such-program-anywhere"));
    assert_eq!(gone.result.get("return_code"), Some(&Value::from(127)));
    let mut noop = item("noop", "{}");
    assert_eq!(show(&house.run(noop.clone())), r#"succeeded {"failed":false,"succeeded":true,"return_code":0}"#);
    noop.key.attempt = 2;
    noop.runner = "remote-shel-cmd".into();
    assert_eq!(
        show(&house.run(noop)),
        r#"failed {"error":"no runner has the name `remote-shel-cmd` here; there are noop, local-shell-cmd, local-shell-script"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c08_a_time_out_keeps_what_was_written() {
    let house = house();
    let mut item = command("echo before; exec sleep 7001");
    item.timeout = Duration::from_secs(1);
    assert_eq!(
        show(&house.run(item)),
        r#"timeout {"failed":true,"succeeded":false,"return_code":-9,"stdout":"before","stderr":"","error":"Action failed to complete in 1 seconds"}"#
    );
    house.nobody_left();
}

/// Starts `cmd`, waits until it says `ready`, cancels it, and looks whether anything is left.
async fn stubborn(cmd: &str) {
    let house = house();
    let key = house.start(command(cmd));
    until("the action to be ready", || house.engine.output(key, Stream::Stdout).contains("ready").then_some(()));
    house.workers.cancel(key);
    let outcome = house.end(key);
    assert_eq!(outcome.status, Status::Canceled, "{outcome:?}");
    house.nobody_left();
}

macro_rules! stubborn {
    ($($name:ident: $cmd:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            stubborn($cmd).await;
        })*
    };
}

stubborn! {
    c02_ignores_sigterm: "trap '' TERM; echo ready; while :; do sleep 7011; done";
    c02_double_fork: "(sh -c 'sleep 7012 & sleep 7012 &' &) ; echo ready; wait; sleep 7012";
    c02_own_session: "setsid sh -c 'sleep 7013 & sleep 7013' & echo ready; sleep 7013";
    c02_own_session_and_ignores_sigterm: "setsid sh -c 'trap \"\" TERM; while :; do sleep 7014; done' & echo ready; sleep 7014";
    c02_nohup: "nohup sleep 7015 >/dev/null 2>&1 & echo ready; wait";
    c02_stopped: "sleep 7016 & kill -STOP $!; echo ready; wait";
    c02_stops_itself: "echo ready; kill -STOP $$; sleep 7017";
    c02_forks_in_a_loop: "trap '' TERM; echo ready; while :; do setsid sleep 7018 & sleep 0.01; done";
    c02_blocked_on_a_fifo: "d=$(mktemp -d); mkfifo $d/7019-fifo; echo ready; cat $d/7019-fifo";
    c02_reparented_grandchild: "sh -c 'setsid sh -c \"sleep 7020 & exit\" & exit'; echo ready; sleep 7020";
    c02_changes_its_name: "exec -a harmless sleep 7021 & printf x > /proc/self/comm; echo ready; sleep 7021";
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_thousand_zombies() {
    let house = house();
    let script = "import os, sys, time\nfor i in range(1000):\n  if os.fork() == 0: os._exit(0)\nprint('ready 7022', flush=True)\ntime.sleep(7022)";
    let key = house.start(command(&format!("exec python3 -c \"{script}\"")));
    until("a thousand zombies", || house.engine.output(key, Stream::Stdout).contains("ready").then_some(()));
    house.workers.cancel(key);
    assert_eq!(house.end(key).status, Status::Canceled);
    house.nobody_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn c07_orphans_are_reaped_while_the_action_runs() {
    let house = house();
    let key = house.start(command("for i in 1 2 3 4 5; do (setsid true &); done; echo ready; exec sleep 7023"));
    until("the action to be ready", || house.engine.output(key, Stream::Stdout).contains("ready").then_some(()));
    let pid = house.engine.pid(key).unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let supervisor = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().to_owned();
    until("the orphans to be gone", || {
        let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
        (children.split_whitespace().collect::<Vec<_>>() == [pid.to_string()]).then_some(())
    });
    house.workers.cancel(key);
    house.end(key);
}

#[tokio::test(flavor = "multi_thread")]
async fn c04_a_background_process_does_not_hold_the_result_up() {
    let house = house();
    let start = Instant::now();
    house.check(
        "sleep 7031 & echo done",
        r#"succeeded {"failed":false,"succeeded":true,"return_code":0,"stdout":"done","stderr":""}"#,
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    house.nobody_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn c04_a_detached_one_lives_on() {
    let house = house();
    let mut item = command("sleep 7032 >/dev/null 2>&1 & echo done");
    item.runner_params.insert("detach".into(), Value::from(true));
    assert_eq!(house.run(item).status, Status::Succeeded);
    let spool = house.engine.seen.lock().unwrap().spools.values().next().unwrap().clone();
    let left = alive(&spool);
    assert_eq!(left.len(), 1);
    Command::new("kill").args(["-9", &left[0].to_string()]).status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn c05_what_an_action_sees_of_its_surroundings() {
    let house =
        house_with(Duration::from_secs(1), Engine { token: vec![("TOKEN".into(), "t".into())], ..Engine::default() });
    let mut item = command(
        // Read by the shell itself, since some shells clear the mask of what they start.
        "while read a b; do case $a in SigBlk:|SigIgn:) echo $a $b;; esac; done < /proc/$$/status; \
         cd /; umask; ulimit -Sn; ulimit -c; cat /proc/self/oom_score_adj; echo $TERM $TOKEN $PWD; \
         readlink /proc/self/fd/0; ls /proc/$$/fd; \
         [ $(ps -o sid= -p $$) = $$ ] && echo leader; \
         env | cut -d= -f1 | grep -E 'SQUALL|NOTIFY' ; cat",
    );
    item.env.push(("A".into(), "1".into()));
    let outcome = house.run(item);
    let text = outcome.result.get("stdout").and_then(Value::as_str).unwrap().to_owned();
    // The C library's `posix_spawn`, by which the supervisor was started, ignores its two internal signals.
    let text = text.replace("SigIgn: 0000000180000000", "SigIgn: 0000000000000000");
    assert_eq!(
        text,
        "SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n0022\n1024\n0\n500\ndumb t /\n/dev/null\n0\n1\n2\n\
         leader\nSQUALL_ATTEMPT"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_why_something_could_not_start() {
    let house = house();
    let mut item = command("echo x");
    item.runner_params.insert("cwd".into(), Value::from("/no/such/folder"));
    assert_eq!(
        show(&house.run(item)),
        r#"failed {"error":"cannot run in the folder /no/such/folder: there is no such folder; check `cwd`"}"#
    );
    let large = command(&format!("true {}", "x".repeat(200_000)));
    assert_eq!(
        show(&house.run(large)),
        r#"failed {"error":"cannot start /bin/sh: its arguments and environment are too large (128 KiB each, 2 MiB in all); pass large values in a file"}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_get_their_arguments() {
    let house = house();
    let pack = house.root.path().join("my pack");
    fs::create_dir_all(pack.join("actions")).unwrap();
    let script = "#!/bin/sh\nfor word in \"$@\"; do printf '<%s>' \"$word\"; done\n";
    fs::write(pack.join("actions/print it.sh"), script).unwrap();
    let mut item = item("local-shell-script", "{}");
    item.pack_dir = pack.to_str().unwrap().into();
    item.entry_point = "print it.sh".into();
    item.action_params =
        from_json(r#"{"a": "x 'y'", "flag": true, "p": "$HOME"}"#, false).unwrap().as_map().unwrap().clone();
    item.positional = vec!["p".into(), "missing".into()];
    let outcome = house.run(item);
    assert_eq!(outcome.result.get("stdout"), Some(&Value::from("<--a=x 'y'><--flag><$HOME><>")), "{outcome:?}");
}

/// What people agreed to runs, or nothing: another script that is put in its place by a rename never does.
#[tokio::test(flavor = "multi_thread")]
async fn f05_only_the_bytes_that_were_confirmed_run() {
    let house = house();
    let actions = house.root.path().join("sealed/actions");
    fs::create_dir_all(&actions).unwrap();
    let (good, bad) = ("#!/bin/sh\necho confirmed\n", "#!/bin/sh\necho foreign\n");
    let put = |text: &str, n: usize| {
        let next = actions.join(format!("next{n}"));
        fs::write(&next, text).unwrap();
        fs::rename(next, actions.join("do.sh")).unwrap();
    };
    put(good, 0);
    let mut sealed = item("local-shell-script", "{}");
    sealed.pack_dir = actions.parent().unwrap().to_str().unwrap().into();
    sealed.entry_point = "do.sh".into();
    // SHA-256 of the good one.
    sealed.sealed = Some("04d441a0f5fabd159d75016ac4bc216da48b6a64017720f131cd124077d46c28".into());
    let swapping = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (stop, other) = (swapping.clone(), actions.clone());
    let swapper = std::thread::spawn(move || {
        let mut n = 1;
        while stop.load(Ordering::Relaxed) {
            for text in [bad, good] {
                let next = other.join(format!("next{n}"));
                fs::write(&next, text).unwrap();
                fs::rename(next, other.join("do.sh")).unwrap();
                n += 1;
            }
        }
    });
    let (mut ran, mut void) = (0, 0);
    for n in 0..60 {
        let mut item = sealed.clone();
        item.key.execution = ExecutionId::compose(9, [0; 5], n);
        let outcome = house.run(item);
        match outcome.status {
            Status::Succeeded => {
                assert_eq!(outcome.result.get("stdout"), Some(&Value::from("confirmed")), "{outcome:?}");
                ran += 1;
            }
            _ => {
                assert_eq!(outcome.result.get("error"), Some(&Value::from("void")), "{outcome:?}");
                void += 1;
            }
        }
    }
    swapping.store(false, Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(ran + void, 60);
    put(bad, 0);
    assert_eq!(house.run(sealed).result.get("error"), Some(&Value::from("void")));
}

/// A confirmed script runs from a private copy, and finds beside itself and above what it finds in the pack.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_script_finds_its_neighbours() {
    let house = house();
    let pack = house.root.path().join("neat");
    let script = "#!/bin/bash\nhere=$(dirname \"$0\")\n. \"$here/lib.sh\"\ncat \"$here/../../etc/motd\"\n\
                  cd \"$(dirname \"${BASH_SOURCE[0]}\")/..\" && ls && cat tools/do.sh | head -1\n";
    for (path, text) in [
        ("actions/tools/do.sh", script),
        ("actions/tools/lib.sh", "echo sourced\n"),
        ("etc/motd", "hello\n"),
        ("actions/do.yaml", ""),
    ] {
        let path = pack.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let digest = sha2::Sha256::digest(script.as_bytes());
    for entry_point in ["tools/do.sh", pack.join("actions/tools/do.sh").to_str().unwrap()] {
        let mut item = item("local-shell-script", "{}");
        item.pack_dir = pack.to_str().unwrap().into();
        item.entry_point = entry_point.into();
        item.sealed = Some(digest.iter().map(|byte| format!("{byte:02x}")).collect());
        let outcome = house.run(item);
        let stdout = outcome.result.get("stdout").and_then(Value::as_str).unwrap_or_default().to_owned();
        match entry_point.starts_with('/') {
            false => assert_eq!(stdout, "sourced\nhello\ndo.yaml\ntools\n#!/bin/bash", "{outcome:?}"),
            // One that was named by its whole path has the neighbours in its folder.
            true => assert!(stdout.starts_with("sourced\n"), "{outcome:?}"),
        }
    }
    assert_eq!(fs::read_to_string(pack.join("actions/tools/do.sh")).unwrap(), script, "the pack is as it was");
    assert_eq!(fs::read_dir(pack.join("actions/tools")).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_run_in_the_version_that_was_asked_for() {
    let house = house();
    let pack = house.root.path().join("pack");
    fs::create_dir_all(pack.join("actions")).unwrap();
    let git = |args: &str| {
        let args: Vec<&str> = args.split(' ').collect();
        let output = Command::new("git").arg("-C").arg(&pack).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git("init -q");
    for version in ["one", "two"] {
        fs::write(pack.join("actions/say.sh"), format!("echo {version} $PWD; echo $0\n")).unwrap();
        git("add -A");
        git(&format!("-c user.name=x -c user.email=x@localhost commit -q -m {version}"));
        git(&format!("tag {version}"));
    }
    let script = |version: &str| {
        let mut item = item("local-shell-script", "{}");
        item.pack_dir = pack.to_str().unwrap().into();
        item.entry_point = "say.sh".into();
        item.runner_params.insert("content_version".into(), Value::from(version));
        house.run(item)
    };
    let outcome = script("one");
    let text = outcome.result.get("stdout").and_then(Value::as_str).unwrap().to_owned();
    assert!(text.starts_with("one "), "{text}");
    let path = text.lines().last().unwrap().to_owned();
    assert!(path.contains("/st2-git-worktree-") && !Path::new(&path).exists(), "{path}");
    for (version, expected) in
        [("three", "invalid reference: three"), ("-f", "`-f` is no revision; check content_version")]
    {
        let text = show(&script(version));
        assert!(text.contains("Failed to create git worktree for pack \\\"lab\\\": "), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn o01_output_without_end_is_bounded() {
    let house = house();
    let key = house.start(command("head -c 30000000 /dev/zero | tr '\\0' 'x'; echo END"));
    let outcome = house.end(key);
    let text = outcome.result.get("stdout").and_then(Value::as_str).unwrap().to_owned();
    let missing = 30_000_004 - 2 * (5 << 20);
    assert!(text.contains(&format!("x\n[{missing} bytes of output left out here]\nx")));
    assert!(text.ends_with("xEND"));
    assert!(text.len() < (10 << 20) + 100);
    let live = house.engine.output(key, Stream::Stdout);
    assert!(live.len() < (5 << 20) + 100 && live.contains("live output ends here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn o03_bytes_that_are_no_text() {
    let house = house();
    let outcome = house.run(command("printf 'a\\377b\\342\\202\\254'"));
    assert_eq!(outcome.result.get("stdout"), Some(&Value::from("a\u{fffd}b€")));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_comes_live_and_in_order() {
    let house = house();
    let key = house.start(command("echo one; echo two; echo bad >&2; read x < /dev/zero; exec sleep 7041"));
    until("the lines", || (house.engine.output(key, Stream::Stdout) == "one\ntwo\n").then_some(()));
    until("the other", || (house.engine.output(key, Stream::Stderr) == "bad\n").then_some(()));
    assert!(house.engine.finished(key).is_none());
    house.workers.cancel(key);
    house.end(key);
}

#[tokio::test(flavor = "multi_thread")]
async fn r04_passwords_are_in_no_command_line_and_no_file() {
    let house = house();
    let bin = house.root.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // A sudo double that reads the password as `sudo -S` does and shows what anybody could have seen meanwhile.
    let double = "#!/bin/sh\nread password\necho \"$@\"\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'hunter-7051-[2]'\n\
                  grep -rc 'hunter-7051-2' $SPOOLS | grep -v ':0' | wc -l\n[ \"$password\" = hunter-7051-2 ] && echo right\n";
    fs::write(bin.join("sudo"), double).unwrap();
    Command::new("chmod").arg("+x").arg(bin.join("sudo")).status().unwrap();
    let mut item = item("local-shell-cmd", r#"{"cmd": "id", "sudo": true, "sudo_password": "hunter-7051-2"}"#);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    item.env = vec![("PATH".into(), path), ("SPOOLS".into(), house.root.path().join("spool").display().to_string())];
    let outcome = house.run(item);
    let text = outcome.result.get("stdout").and_then(Value::as_str).map(str::to_owned);
    assert_eq!(text.as_deref(), Some("-S -E -- bash -c id\n0\n0\nright"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_claim_starts_nothing_and_leaves_nothing() {
    let house = house_with(Duration::from_secs(1), Engine { refuses: true, ..Engine::default() });
    let key = house.start(command("echo x"));
    until("the end of the attempt", || (house.workers.busy() == 0).then_some(()));
    assert!(house.engine.finished(key).is_none() && house.engine.pid(key).is_none());
    assert_eq!(fs::read_dir(house.root.path().join("spool")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_items_than_the_queue_holds_all_run() {
    let root = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::default());
    let config = Config { slots: 2, queue: 1, ..config(root.path(), Duration::from_secs(1)) };
    let house = House { workers: Workers::new(config, engine.clone()), root, engine };
    let keys: Vec<WorkKey> = (0..20).map(|n| house.start(command(&format!("echo {n}")))).collect();
    for key in keys {
        assert_eq!(house.end(key).status, Status::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_its_spool_an_attempt_fails_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::default());
    fs::write(root.path().join("spool"), "a file where the folder should be").unwrap();
    let config = Config { spool_patience: Duration::ZERO, ..config(root.path(), Duration::from_secs(1)) };
    let house = House { workers: Workers::new(config, engine.clone()), root, engine };
    let key = house.start(command("echo x"));
    let told = house.end(key);
    assert_eq!(told.status, Status::Failed);
    let text = told.result.get("error").and_then(Value::as_str).unwrap().to_owned();
    assert!(text.starts_with("not started: cannot write in ") && text.contains("Not a directory"), "{text}");
    assert!(house.engine.pid(key).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_goes_when_its_end_is_settled() {
    let house = house();
    let key = house.start(command("echo x"));
    house.end(key);
    let spool = house.engine.spool(key);
    assert!(house.root.path().join("spool").join(&spool).is_dir());
    house.workers.settled(key, &spool);
    assert!(!house.root.path().join("spool").join(&spool).exists());
    assert_eq!(house.workers.leftover(key, &spool).await, Leftover::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn k09_the_true_result_is_taken_in_after_a_restart() {
    let house = house();
    let key = house.start(command("echo kept; exit 4"));
    let told = house.end(key);
    let again = Workers::new(config(house.root.path(), Duration::from_secs(1)), house.engine.clone());
    assert_eq!(again.leftover(key, &house.engine.spool(key)).await, Leftover::Finished(told));
}

#[tokio::test(flavor = "multi_thread")]
async fn k06_claimed_and_never_spawned_may_be_dispatched_again() {
    let house = house();
    let spool = house.root.path().join("spool/0123456789abcdef0123456789abcdef");
    fs::create_dir_all(&spool).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(spool.join("supervisor.log"), boot).unwrap();
    let key = command("x").key;
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(house.workers.leftover(key, id).await, Leftover::NeverStarted);
    // Asked again, because recovery crashed as well.
    assert_eq!(house.workers.leftover(key, id).await, Leftover::NeverStarted);
    fs::write(spool.join("supervisor.log"), "another boot\n").unwrap();
    assert_eq!(house.workers.leftover(key, id).await, Leftover::Lost);
    assert_eq!(house.workers.leftover(key, "../../etc").await, Leftover::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_leaves_nobody_behind() {
    let house = house();
    let key = house.start(command("trap '' TERM; setsid sleep 7061 & echo ready; while :; do sleep 7061; done"));
    until("the action to be ready", || house.engine.output(key, Stream::Stdout).contains("ready").then_some(()));
    let supervisor = supervisor(&house.engine.spool(key));
    Command::new("kill").arg("-9").arg(supervisor.to_string()).status().unwrap();
    let outcome = house.end(key);
    assert_eq!(
        show(&outcome),
        r#"abandoned {"error":"the supervision of this action failed: the supervisor of local-shell-cmd was killed by signal 9"}"#
    );
    house.nobody_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn l02_a_drain_waits_and_then_stops_what_is_left() {
    let house = house();
    let short = house.start(command("echo short"));
    let long = house.start(command("echo ready; sleep 7062"));
    until("the action to be ready", || house.engine.output(long, Stream::Stdout).contains("ready").then_some(()));
    house.workers.shutdown(tokio::time::Instant::now() + Duration::from_millis(500)).await;
    assert_eq!(house.end(short).status, Status::Succeeded);
    assert_eq!(house.end(long).status, Status::Abandoned);
    house.start(command("echo never"));
    assert_eq!(house.workers.busy(), 0);
    house.nobody_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_canceled_while_it_waits_never_starts() {
    let root = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::default());
    let config = Config { slots: 1, ..config(root.path(), Duration::from_millis(300)) };
    let house = House { workers: Workers::new(config, engine.clone()), root, engine };
    let first = house.start(command("echo ready; sleep 7063"));
    let second = house.start(command("echo never"));
    until("the first", || house.engine.output(first, Stream::Stdout).contains("ready").then_some(()));
    house.workers.cancel(second);
    house.workers.cancel(first);
    assert_eq!(show(&house.end(second)), r#"canceled {"error":"canceled before it started"}"#);
    assert_eq!(house.engine.pid(second), None);
    house.end(first);
}

/// A control group to make others in, where this machine and user may have one.
fn cgroup(name: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let point = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?.split(' ').nth(1)?.to_owned();
    let path = Path::new(&point).join(name);
    fs::create_dir(&path).ok()?;
    Some(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn c03_an_attempt_has_a_group_of_its_own_and_takes_it_away() {
    let Some(parent) = cgroup(&format!("squall-test-{}", std::process::id())) else {
        eprintln!("no control groups v2 for this user: nothing tested");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::default());
    let config = Config { cgroup: Some(parent.clone()), ..config(root.path(), Duration::from_millis(100)) };
    let house = House { workers: Workers::new(config, engine.clone()), root, engine };
    let key = house
        .start(command("trap '' TERM; grep ^0 /proc/self/cgroup; setsid sleep 7081 & while :; do sleep 7081; done"));
    until("the action", || house.engine.output(key, Stream::Stdout).contains("/attempt-").then_some(()));
    house.workers.cancel(key);
    assert_eq!(house.end(key).status, Status::Canceled);
    house.nobody_left();
    // Fails when a group is left in it.
    fs::remove_dir(&parent).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_comes_twice_runs_once() {
    let house = house();
    let item = command("echo ready; sleep 0.3");
    house.workers.dispatch(item.clone());
    house.workers.dispatch(item.clone());
    house.end(item.key);
    until("the end of the attempt", || (house.workers.busy() == 0).then_some(()));
    let seen = house.engine.seen.lock().unwrap();
    let starts = seen.events[&item.key].iter().filter(|event| matches!(event, WorkEvent::Started { .. })).count();
    assert_eq!(starts, 1);
}

/// Not a test: the server that [`c01_a_killed_server_leaves_nobody_behind`] kills.
#[test]
#[ignore = "a double that another test starts"]
fn server_double() {
    let Some(root) = std::env::var_os("DOUBLE_ROOT").map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(Engine::default());
        let workers = Workers::new(config(&root, Duration::from_millis(300)), engine.clone());
        let item = command(&std::env::var("DOUBLE_COMMAND").unwrap());
        workers.dispatch(item.clone());
        until("the action", || engine.output(item.key, Stream::Stdout).contains("ready").then_some(()));
        fs::write(root.join("spool-id"), engine.spool(item.key)).unwrap();
        std::future::pending::<()>().await;
    });
}

/// Kills a server with `kill -9` while `cmd` runs; then what the next one finds.
async fn after_kill_9(cmd: &str) -> (String, Leftover) {
    let house = house();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "server_double"])
        .env("DOUBLE_ROOT", house.root.path())
        .env("DOUBLE_COMMAND", cmd)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let spool =
        until("the server", || fs::read_to_string(house.root.path().join("spool-id")).ok().filter(|id| id.len() == 32));
    server.kill().unwrap();
    server.wait().unwrap();
    let leftover = house.workers.leftover(command("x").key, &spool).await;
    (spool, leftover)
}

#[tokio::test(flavor = "multi_thread")]
async fn c01_a_killed_server_leaves_nobody_behind() {
    let (spool, leftover) =
        after_kill_9("trap '' TERM; echo ready; setsid sleep 7071 & while :; do sleep 7071; done").await;
    nobody(&spool);
    let Leftover::Finished(outcome) = leftover else { panic!("{leftover:?}") };
    assert_eq!(outcome.status, Status::Abandoned);
    let error = outcome.result.get("error").and_then(Value::as_str).unwrap();
    assert!(error.starts_with("the server stopped while this ran; every process of it was ended at 20"), "{error}");
    assert_eq!(outcome.result.get("stdout"), Some(&Value::from("ready")));
}

#[tokio::test(flavor = "multi_thread")]
async fn c01_a_supervisor_killed_with_its_server_leaves_nobody_either() {
    let root = tempfile::tempdir().unwrap();
    let cmd = "echo ready; setsid sh -c 'trap \"\" TERM; while :; do sleep 7072; done' & sleep 7072";
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "server_double"])
        .env("DOUBLE_ROOT", root.path())
        .env("DOUBLE_COMMAND", cmd)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let spool =
        until("the server", || fs::read_to_string(root.path().join("spool-id")).ok().filter(|id| id.len() == 32));
    // Stopped first, so that it cannot act on the other's death.
    Command::new("kill").args(["-STOP", &server.id().to_string()]).status().unwrap();
    Command::new("kill").args(["-9", &supervisor(&spool).to_string()]).status().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let workers = Workers::new(config(root.path(), Duration::from_secs(1)), Arc::new(Engine::default()));
    assert_eq!(workers.leftover(command("x").key, &spool).await, Leftover::Lost);
    nobody(&spool);
}

/// Prints how long attempts take, one after the other and 60 at a time: `cargo test --profile fast -- --ignored how_long`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn how_long_an_attempt_takes() {
    let house = house();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            let item = command("exit 0");
            let key = house.start(item);
            while house.engine.finished(key).is_none() {
                std::thread::sleep(Duration::from_micros(100));
            }
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("one at a time: p50 {:?}, p99 {:?}", times[100], times[198]);
    let start = Instant::now();
    let keys: Vec<WorkKey> = (0..1000).map(|_| house.start(command("exit 0"))).collect();
    keys.iter().for_each(|key| _ = house.end(*key));
    println!("60 at a time: {:.0} per second", 1000.0 / start.elapsed().as_secs_f64());
}
