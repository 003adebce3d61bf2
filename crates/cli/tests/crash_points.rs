//! The program dies at a named moment, is started again, and what must be true is true.
//!
//! The moments are marked in the code by `crash_point!`; those of the life of an execution follow one another here. Two of the
//! list cannot happen: a result without the step of the workflow that follows from it, and half a step, because both are
//! one commit.

mod support;

use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::{Person, Server, processes, wait, write_pack};

/// A server that dies at `point` (`NAME:passage`), with a pack whose actions write down that they ran.
struct Scene {
    server: Server,
    ran: PathBuf,
}

const WAITS: &str = "version: '2.0'\ncrash.waits:\n  tasks:\n    look:\n      action: st2.kv.get\n      input: {key: never}\n      retry: {count: 1, delay: 1}\n      on-error: done\n    done:\n      action: crash.append\n";
const MEETS: &str = "version: 1.0\ntasks:\n  a: {action: crash.append, next: [{do: c}]}\n  b: {action: crash.append, next: [{do: c}]}\n  c: {join: all, action: crash.append}\n";
const STEPS: &str =
    "chain:\n  - {name: one, ref: crash.append, on-success: two}\n  - {name: two, ref: crash.append}\ndefault: one\n";
const ANNOUNCES: &str =
    "chain:\n  - {name: only, ref: chatops.post_message, parameters: {channel: ops, message: hear hear}}\n";

fn alias(word: &str, action: &str) -> String {
    format!(
        "name: {word}\naction_ref: crash.{action}\nformats: ['{word} {{{{word}}}}']\nack: {{format: 'noted \
         {{{{execution.parameters.word}}}}', append_url: false}}\nresult: {{format: 'result of {{{{execution.parameters.word}}}}'}}\n"
    )
}

impl Scene {
    fn dies_at(point: &str) -> Scene {
        let mut server = Server::prepared();
        let ran = server.data.parent().expect("a parent").join("ran.txt");
        let shell = |script: &str| {
            format!(
                "runner_type: local-shell-cmd\nparameters:\n  word: {{type: string, default: x}}\n  cmd: {{default: '{script}', \
                 immutable: true}}\n"
            )
        };
        let note = format!("echo $ST2_ACTION_EXECUTION_ID >> {}", ran.display());
        let workflow = |name: &str, runner: &str| {
            format!(
                "name: {name}\nrunner_type: {runner}\nentry_point: workflows/{name}.yaml\nparameters:\n  word: {{type: string, \
                 default: x}}\n"
            )
        };
        let files = [
            ("actions/append.yaml", format!("name: append\n{}", shell(&note))),
            ("actions/talks.yaml", format!("name: talks\n{}", shell(&format!("{note}; echo one; exec sleep 86400")))),
            (
                "actions/asks.yaml",
                format!("name: asks\ntags: [{{name: squall.confirm, value: \"true\"}}]\n{}", shell(&note)),
            ),
            (
                "actions/hurries.yaml",
                format!("name: hurries\nconfirm: {{require: [{{who: requester}}], timeout: 10s}}\n{}", shell(&note)),
            ),
            ("actions/waits.yaml", "name: waits\nrunner_type: mistral-v2\nentry_point: workflows/waits.yaml\n".into()),
            ("actions/workflows/waits.yaml", WAITS.into()),
            ("actions/meets.yaml", "name: meets\nrunner_type: orquesta\nentry_point: workflows/meets.yaml\n".into()),
            ("actions/workflows/meets.yaml", MEETS.into()),
            ("actions/steps.yaml", workflow("steps", "action-chain")),
            ("actions/workflows/steps.yaml", STEPS.into()),
            ("actions/announces.yaml", workflow("announces", "action-chain")),
            ("actions/workflows/announces.yaml", ANNOUNCES.into()),
            ("aliases/note.yaml", alias("note", "append")),
            ("aliases/ask.yaml", alias("ask", "asks")),
            ("aliases/hurry.yaml", alias("hurry", "hurries")),
            ("aliases/announce.yaml", alias("announce", "announces")),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        write_pack(&server, "crash", &files);
        server.begin(&[("SQUALL_CRASH_AT", point)]);
        Scene { server, ran }
    }

    /// Up, and alice in the channel.
    fn begun(point: &str) -> (Scene, Person) {
        let scene = Scene::dies_at(point);
        scene.server.is_up();
        let alice = scene.server.person("alice", "ops");
        (scene, alice)
    }

    fn dies_and_comes_back(&mut self) {
        self.server.has_died();
        self.server.up();
    }

    /// Requests an action without waiting for it.
    fn request(&self, action: &str) -> String {
        let started = self.server.json(&["run", "--no-wait", "--json", action]);
        started["id"].as_str().expect("an id").to_owned()
    }

    /// Requests an action over the API and does not mind that the server may be gone before it answers.
    fn request_into_the_dark(&self, action: &str) {
        let _ = self.server.run("squall", &["run", "--no-wait", action]);
    }

    /// Requests an action over the API under a key; answers its id if the server did.
    fn call(&self, token: &str, key: &str) -> Option<String> {
        let endpoints = std::fs::read_to_string(self.server.data.join("endpoints.json")).ok()?;
        let endpoints: Value = serde_json::from_str(&endpoints).ok()?;
        let url = format!("{}/v1/executions", endpoints["api"].as_str()?);
        let call = ureq::post(&url).header("X-Auth-Token", token).header("Idempotency-Key", key);
        let mut answer = call.content_type("application/json").send(r#"{"action": "crash.append"}"#).ok()?;
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
        Some(answer["id"].as_str()?.to_owned())
    }

    /// A server that dies at `point` while it runs one action, and has come back.
    fn ran(point: &str, action: &str) -> Scene {
        let mut scene = Scene::dies_at(point);
        scene.server.is_up();
        scene.request_into_the_dark(action);
        scene.dies_and_comes_back();
        scene
    }

    /// How often the process of an action ran.
    fn runs(&self) -> usize {
        std::fs::read_to_string(&self.ran).unwrap_or_default().lines().count()
    }

    fn executions(&self, action: &str) -> Vec<Value> {
        let list = self.server.json(&["execution", "list", "--all", "--action", action, "--json"]);
        list.as_array().expect("a list").clone()
    }

    /// The only execution of an action, at its end.
    fn only(&self, action: &str) -> Value {
        let all = self.executions(action);
        assert_eq!(all.len(), 1, "{all:#?}");
        self.server.ended(all[0]["id"].as_str().expect("an id"))
    }

    fn no_process_is_left(&self) {
        let mark = self.ran.to_str().expect("text");
        wait("no process left behind", || processes(mark).is_empty().then_some(()));
    }
}

/// What alice said once was noted once and answered once.
#[track_caller]
fn once(alice: &mut Person, word: &str) {
    for answer in [format!("noted {word}"), format!("result of {word}")] {
        alice.hears(&answer);
        alice.listen();
        assert_eq!(alice.said(&answer).len(), 1, "{}", alice.transcript());
    }
}

/// Alice reads the question and answers it with its code.
#[track_caller]
fn confirms(alice: &mut Person) {
    let question = alice.hears("please confirm");
    let code = question.split("!confirm ").nth(1).and_then(|rest| rest.split_whitespace().next());
    alice.say(&format!("!confirm {}", code.expect("a code")));
}

/// Alice says something, the server dies at `point`, comes back, and alice says it again as her client does.
fn said_and_repeated(point: &str) {
    let (mut scene, mut alice) = Scene::begun(point);
    let say = |alice: &mut Person| alice.say_as("first", "!note w1").expect("it hears");
    say(&mut alice);
    scene.dies_and_comes_back();
    let mut alice = alice.again();
    say(&mut alice);
    once(&mut alice, "w1");
    assert_eq!(scene.only("crash.append")["status"], "succeeded");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k01_before_the_request_is_committed() {
    said_and_repeated("K01");
}

#[test]
fn k02_before_the_request_is_acknowledged() {
    said_and_repeated("K02");
}

#[test]
fn k01_and_k02_a_repeated_call_makes_one_execution() {
    for point in ["K01", "K02"] {
        let mut scene = Scene::dies_at(point);
        scene.server.is_up();
        let token = scene.server.ok("squall", &["token", "--ttl", "600"]).trim().to_owned();
        assert_eq!(scene.call(&token, "once"), None, "it died before it could answer");
        scene.dies_and_comes_back();
        let id = scene.call(&token, "once").expect("an answer");
        assert_eq!(scene.only("crash.append")["id"], id.as_str(), "{point}");
        assert_eq!(scene.runs(), 1, "{point}");
    }
}

#[test]
fn k01_a_line_that_was_heard_is_not_forgotten() {
    // Nobody repeats it: what stands in the channel was taken, by the bot as well.
    let (mut scene, mut alice) = Scene::begun("K01");
    alice.say("!note w1");
    scene.dies_and_comes_back();
    let mut alice = alice.again();
    once(&mut alice, "w1");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k03_before_an_announcement_is_posted() {
    let (mut scene, mut alice) = Scene::begun("K03");
    alice.say("!announce w1");
    scene.dies_and_comes_back();
    let mut alice = alice.again();
    alice.hears("hear hear");
    once(&mut alice, "w1");
    assert_eq!(alice.said("hear hear").len(), 1, "{}", alice.transcript());
}

#[test]
fn k03_before_the_question_is_posted() {
    let (mut scene, mut alice) = Scene::begun("K03");
    alice.say("!ask w1");
    scene.dies_and_comes_back();
    let mut alice = alice.again();
    confirms(&mut alice);
    assert_eq!(alice.said("please confirm").len(), 1, "{}", alice.transcript());
    alice.hears("result of w1");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k04_before_an_answer_is_decided() {
    let (mut scene, mut alice) = Scene::begun("K04");
    alice.say("!ask w1");
    confirms(&mut alice);
    scene.dies_and_comes_back();
    let mut alice = alice.again();
    alice.hears("result of w1");
    assert_eq!(scene.runs(), 1);
}

/// Nobody had looked at the answer when the server died, and the deadline passed while it was away.
#[test]
fn k04_an_answer_that_was_kept_in_time_wins_over_its_deadline() {
    // The command is the first line that is kept, the answer the second.
    let (mut scene, mut alice) = Scene::begun("K04-heard:2");
    alice.say("!hurry w1");
    let question = alice.hears("please confirm");
    let asked = Instant::now();
    let code = question.split("!confirm ").nth(1).and_then(|rest| rest.split_whitespace().next());
    alice.say(&format!("!confirm {}", code.expect("a code")));
    scene.server.has_died();
    wait("the deadline", || (asked.elapsed() > Duration::from_secs(10)).then_some(()));
    scene.server.up();
    let mut alice = alice.again();
    alice.hears("result of w1");
    alice.listen();
    assert!(alice.said("No confirmation for").is_empty(), "{}", alice.transcript());
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k05_before_it_is_dispatched() {
    let scene = Scene::ran("K05", "crash.append");
    assert_eq!(scene.only("crash.append")["status"], "succeeded");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k06_claimed_and_not_started() {
    let scene = Scene::ran("K06", "crash.append");
    assert_eq!(scene.only("crash.append")["status"], "succeeded", "it had not started, so it is started");
    assert_eq!(scene.runs(), 1);
}

/// The process runs when the server dies: it is stopped, and is not run again.
fn abandoned_at(point: &str) {
    let scene = Scene::ran(point, "crash.talks");
    let ended = scene.only("crash.talks");
    assert_eq!(ended["status"], "abandoned");
    let text = ended["result"]["error"].as_str().unwrap_or_default();
    assert!(text.contains("not run again by itself") || text.contains("server"), "{ended:#}");
    assert!(scene.runs() <= 1);
    scene.no_process_is_left();
}

#[test]
fn k07_started_without_output() {
    abandoned_at("K07");
}

#[test]
fn k08_in_the_middle_of_its_output() {
    abandoned_at("K08");
}

#[test]
fn k09_ended_and_not_reported() {
    let scene = Scene::ran("K09", "crash.append");
    assert_eq!(scene.only("crash.append")["status"], "succeeded", "the true result");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k11_committed_and_nothing_done() {
    // The dispatch of the first task, what follows from its end, and what follows from the end of the second.
    for passage in 1..=3 {
        let scene = Scene::ran(&format!("K11:{passage}"), "crash.steps");
        assert_eq!(scene.only("crash.steps")["status"], "succeeded", "passage {passage}");
        assert_eq!(scene.executions("crash.append").len(), 2, "passage {passage}");
        assert_eq!(scene.runs(), 2, "passage {passage}: nothing ran twice");
    }
}

#[test]
fn k13_due_and_not_fired() {
    let mut scene = Scene::dies_at("K13");
    scene.server.is_up();
    let id = scene.request("crash.waits");
    scene.dies_and_comes_back();
    assert_eq!(scene.server.ended(&id)["status"], "succeeded");
    assert_eq!(scene.executions("st2.kv.get").len(), 2, "one try, and one again");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k14_one_branch_of_a_join_is_missing() {
    let mut scene = Scene::dies_at("K09:2");
    scene.server.is_up();
    let id = scene.request("crash.meets");
    scene.dies_and_comes_back();
    assert_eq!(scene.server.ended(&id)["status"], "succeeded");
    assert_eq!(scene.runs(), 3);
    assert_eq!(scene.executions("crash.append").len(), 3);
}

#[test]
fn k15_canceled_and_still_running() {
    let mut scene = Scene::dies_at("K15");
    scene.server.is_up();
    let id = scene.request("crash.talks");
    wait("it to run", || (scene.runs() > 0).then_some(()));
    let _ = scene.server.run("squall", &["execution", "cancel", &id]);
    scene.dies_and_comes_back();
    assert_eq!(scene.server.ended(&id)["status"], "canceled");
    scene.no_process_is_left();
}

#[test]
fn k17_ended_and_not_told() {
    let (mut scene, mut alice) = Scene::begun("K17");
    alice.say("!note w1");
    scene.dies_and_comes_back();
    let mut alice = alice.again();
    once(&mut alice, "w1");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn k20_in_the_middle_of_a_reload() {
    let (mut scene, mut alice) = Scene::begun("K20");
    let _ = scene.server.run("squall", &["reload"]);
    scene.dies_and_comes_back();
    let mut alice = {
        alice.listen();
        alice.again()
    };
    alice.say("!note w1");
    once(&mut alice, "w1");
}

#[test]
fn k21_in_the_middle_of_a_change_of_the_schema() {
    for passage in 1..=2 {
        let mut scene = Scene::dies_at(&format!("K21:{passage}"));
        scene.dies_and_comes_back();
        scene.request("crash.append");
        assert_eq!(scene.only("crash.append")["status"], "succeeded");
    }
}

#[test]
fn a_crash_while_it_recovers_from_a_crash() {
    // One attempt at a time, so that none is in the middle of its work (and rightly abandoned) when the server dies.
    let (mut scene, mut alice) = Scene::begun("K09:2");
    alice.say("!ask w1");
    alice.hears("please confirm");
    let steps = scene.request("crash.steps");
    scene.server.has_died();
    for _ in 0..5 {
        scene.server.begin(&[("SQUALL_CRASH_AT", "R1")]);
        scene.server.has_died();
    }
    scene.server.up();
    assert_eq!(scene.server.ended(&steps)["status"], "succeeded");
    assert_eq!(scene.runs(), 2, "both steps, once each, and nothing of what waits");
    let mut alice = alice.again();
    confirms(&mut alice);
    alice.hears("result of w1");
    assert_eq!(scene.runs(), 3);
}
