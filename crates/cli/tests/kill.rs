//! `kill -9` at random moments under a mixed load: what was acknowledged ends, nothing runs twice, nothing is said twice,
//! and no process is left behind. And the ordinary stop, which loses nothing either.
//!
//! `SQUALL_KILLS=n` sets how often it is killed (6 without it), `SQUALL_SEED=n` when.

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Person, Server, processes, wait, write_pack};

/// Kills of an ordinary test run.
const KILLS: u64 = 6;
/// The longest that a server lives between two kills, in milliseconds.
const LIFE: u64 = 1_500;
/// Callers of the API at once.
const CALLERS: usize = 3;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A server with the pack of the load, and the file to which every action that runs adds its id.
struct Scene {
    server: Server,
    ran: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        let server = Server::start();
        let ran = server.data.parent().unwrap().join("ran.txt");
        let add = format!("sleep 0.0$(( $$ % 9 )); echo $ST2_ACTION_EXECUTION_ID >> {}", ran.display());
        let append = format!(
            "name: append\nrunner_type: local-shell-cmd\nparameters:\n  word: {{type: string, default: x}}\n  cmd: {{default: '{add}', immutable: true}}\n"
        );
        let files = [
            ("actions/append.yaml", append.as_str()),
            ("actions/steps.yaml", "name: steps\nrunner_type: action-chain\nentry_point: workflows/steps.yaml\n"),
            (
                "actions/workflows/steps.yaml",
                "chain:\n  - {name: one, ref: load.append, on-success: two}\n  - {name: two, ref: load.append}\ndefault: one\n",
            ),
            ("actions/waits.yaml", "name: waits\nrunner_type: mistral-v2\nentry_point: workflows/waits.yaml\n"),
            (
                "actions/workflows/waits.yaml",
                "version: '2.0'\nload.waits:\n  tasks:\n    look:\n      action: st2.kv.get\n      input: {key: never}\n      retry: {count: 3, delay: 1}\n      on-error: done\n    done:\n      action: load.append\n",
            ),
            (
                "aliases/note.yaml",
                "name: note\naction_ref: load.append\nformats: ['note {{word}}']\nack: {format: 'noted {{execution.parameters.word}}', append_url: false}\nresult: {format: 'result of {{execution.parameters.word}}'}\n",
            ),
        ];
        write_pack(&server, "load", &files);
        server.ok("squall", &["reload"]);
        Scene { server, ran }
    }

    /// Every execution that there is.
    fn all(&self) -> Vec<Value> {
        let list = self.server.json(&["execution", "list", "--all", "-n", "4000000", "--json"]);
        list.as_array().expect("a list").clone()
    }

    /// Waits until nothing is under way.
    fn settled(&self) -> BTreeMap<String, Value> {
        let over = ["succeeded", "failed", "canceled", "timeout", "abandoned"];
        let is_over = |e: &Value| over.contains(&e["status"].as_str().unwrap_or_default());
        wait("the end of everything", || {
            let all = self.all();
            all.iter()
                .all(is_over)
                .then(|| all.into_iter().map(|e| (e["id"].as_str().unwrap().to_owned(), e)).collect())
        })
    }

    /// Ids in the order in which their processes ran.
    fn ran(&self) -> Vec<String> {
        std::fs::read_to_string(&self.ran).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Nothing ran twice, what succeeded ran, and no process is left.
    fn kept_its_promises(&self, acknowledged: &BTreeSet<String>) {
        let all = self.settled();
        for id in acknowledged {
            assert!(all.contains_key(id), "{id} was acknowledged and is gone");
        }
        let ran = self.ran();
        let unique: BTreeSet<&String> = ran.iter().collect();
        let twice: Vec<_> = unique.iter().filter(|id| ran.iter().filter(|r| r == *id).count() > 1).collect();
        assert!(twice.is_empty(), "ran twice: {twice:?}");
        for (id, execution) in &all {
            if execution["action"]["ref"] == "load.append" && execution["status"] == "succeeded" {
                assert!(unique.contains(id), "{id} succeeded and never ran");
            }
        }
        let left = || processes(self.ran.to_str().unwrap());
        wait("no process left behind", || left().is_empty().then_some(()));
        let count = |status: &str| all.values().filter(|e| e["status"] == status).count();
        println!(
            "{} executions, {} acknowledged to callers, {} processes; {} succeeded, {} failed, {} abandoned",
            all.len(),
            acknowledged.len(),
            ran.len(),
            count("succeeded"),
            count("failed"),
            count("abandoned")
        );
    }
}

/// Somebody who calls the API without a pause until told to stop; keeps what was acknowledged.
struct Caller {
    data: PathBuf,
    token: String,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
}

impl Caller {
    fn call(&self) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let kinds = ["load.append", "load.steps", "load.append", "load.waits", "core.noop"];
        for kind in kinds.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let id = self.request(&agent, kind);
            match id {
                Some(id) => drop(self.acknowledged.lock().unwrap().insert(id)),
                // The server is away.
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// The id, if the server acknowledged.
    fn request(&self, agent: &ureq::Agent, action: &str) -> Option<String> {
        let endpoints: Value = serde_json::from_str(&read(&self.data.join("endpoints.json"))?).ok()?;
        let url = format!("{}/v1/executions", endpoints["api"].as_str()?);
        let body = json!({"action": action, "parameters": {}}).to_string();
        let call = agent.post(&url).header("X-Auth-Token", &self.token).content_type("application/json");
        let mut answer = call.send(body).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        assert_eq!(answer.status(), 201, "{text}");
        let body: Value = serde_json::from_str(&text).ok()?;
        Some(body["id"].as_str()?.to_owned())
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Somebody in chat who repeats what was not answered, as a client does after a broken connection.
struct Talker {
    person: Person,
    said: Vec<(String, String)>,
}

impl Talker {
    fn say(&mut self, word: String) {
        let text = format!("!note {word}");
        // A server that has just died is no news here.
        let _ = self.person.say_as(&word, &text);
        self.said.push((word, text));
    }

    fn comes_back(&mut self) {
        self.person.listen();
        self.person = self.person.again();
        for (id, text) in &self.said {
            if self.person.said(&format!("noted {id}")).is_empty() {
                self.person.say_as(id, text).expect("it hears");
            }
        }
    }

    /// Everything said was acknowledged and answered, once.
    fn was_answered(&mut self) {
        for (word, _) in &self.said {
            for answer in [format!("noted {word}"), format!("result of {word}")] {
                self.person.hears(&answer);
            }
        }
        self.person.listen();
        for (word, _) in &self.said {
            for answer in [format!("noted {word}"), format!("result of {word}")] {
                assert_eq!(self.person.said(&answer).len(), 1, "{answer} in\n{}", self.person.transcript());
            }
            let own = self.person.log.iter().filter(|m| m["bot"] != json!(true));
            let own = own.filter(|m| m["text"].as_str().is_some_and(|t| t.ends_with(&format!(" {word}"))));
            assert_eq!(own.count(), 1, "{word} in\n{}", self.person.transcript());
        }
    }
}

#[test]
fn kill_9_at_random_moments() {
    let (kills, seed) = (number("SQUALL_KILLS", KILLS), number("SQUALL_SEED", u64::from(std::process::id())));
    println!("SQUALL_SEED={seed}");
    let mut dice = Dice(seed);
    let mut scene = Scene::new();
    let token = scene.server.ok("squall", &["token", "--ttl", "86000"]).trim().to_owned();
    let (acknowledged, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| Caller {
            data: scene.server.data.clone(),
            token: token.clone(),
            acknowledged: acknowledged.clone(),
            stop: stop.clone(),
        })
        .map(|caller| std::thread::spawn(move || caller.call()))
        .collect();
    let mut talker = Talker { person: scene.server.person("alice", "ops"), said: Vec::new() };
    let mut nights = BTreeSet::new();
    for round in 0..kills {
        // Something that would outlive everything, were it not looked for.
        let night = format!("cmd=sleep 86400 # {}", scene.ran.display());
        let started = scene.server.json(&["run", "--no-wait", "--json", "core.local", &night]);
        nights.insert(started["id"].as_str().unwrap().to_owned());
        let die = Instant::now() + Duration::from_millis(dice.below(LIFE));
        let mut word = 0;
        while Instant::now() < die {
            if word < 4 {
                talker.say(format!("w{round}-{word}."));
                word += 1;
            }
            std::thread::sleep(
                Duration::from_millis(dice.below(60)).min(die.saturating_duration_since(Instant::now())),
            );
        }
        scene.server.kill();
        scene.server.up();
        talker.comes_back();
    }
    stop.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|c| c.join().expect("no caller saw an error"));
    let mut acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() as u64 > kills, "hardly any load: {}", acknowledged.len());
    acknowledged.extend(nights.iter().cloned());
    scene.kept_its_promises(&acknowledged);
    talker.was_answered();
    for id in nights {
        assert_eq!(scene.server.ended(&id)["status"], "abandoned");
    }
}

#[test]
fn sigterm_stops_in_time_and_loses_nothing() {
    let mut scene = Scene::new();
    let start = |scene: &Scene, words: &[&str]| {
        let mut all = vec!["run", "--no-wait", "--json"];
        all.extend(words);
        scene.server.json(&all)["id"].as_str().unwrap().to_owned()
    };
    let waits = start(&scene, &["load.waits"]);
    let night = start(&scene, &["core.local", &format!("cmd=sleep 86400 # {}", scene.ran.display())]);
    let short: Vec<String> = (0..20).map(|_| start(&scene, &["load.append"])).collect();
    wait("the long one", || (!processes(scene.ran.to_str().unwrap()).is_empty()).then_some(()));
    let begun = Instant::now();
    assert_eq!(scene.server.stop(), Some(0));
    // One second to drain, five for connections, the rest for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(20), "stopped after {:?}", begun.elapsed());
    assert!(!scene.server.data.join("endpoints.json").exists(), "the addresses are gone with the server");
    wait("no process left behind", || processes(scene.ran.to_str().unwrap()).is_empty().then_some(()));
    scene.server.up();
    let all: BTreeSet<String> = short.iter().chain([&waits, &night]).cloned().collect();
    scene.kept_its_promises(&all);
    assert_eq!(scene.server.ended(&waits)["status"], "succeeded", "what waited went on waiting");
    assert_ne!(scene.server.ended(&night)["status"], "succeeded");
    for id in &short {
        assert_eq!(scene.server.ended(id)["status"], "succeeded", "{id}");
    }
}

#[test]
fn while_it_drains_nothing_new_is_taken() {
    let mut server = Server::prepared();
    server.drain = "600";
    server.up();
    let mut alice = server.person("alice", "ops");
    let long = server.json(&["run", "--no-wait", "--json", "core.local", "cmd=sleep 86400"]);
    let long = long["id"].as_str().unwrap().to_owned();
    let status = |id: &str| server.json(&["execution", "get", id, "--json"])["status"].clone();
    wait("it to run", || (status(&long) == "running").then_some(()));
    server.ask_to_stop();
    let refused = wait("a refusal", || {
        let output = server.run("squall", &["run", "core.noop"]);
        (!output.status.success()).then(|| support::text(&output.stderr))
    });
    assert!(refused.contains("the server is stopping"), "{refused}");
    alice.say("!greet Ada");
    alice.hears("the server is stopping");
    // What runs may go on, and may be canceled.
    assert_eq!(status(&long), "running");
    server.ok("squall", &["execution", "cancel", &long]);
    assert_eq!(server.has_ended(), Some(0));
}
