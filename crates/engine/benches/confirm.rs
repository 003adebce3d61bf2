//! The gate of confirmation against its measures, on SQLite with full synchronous commits: what it costs whom it does not
//! concern, how fast answers are decided, what a hundred thousand open questions take, how exact deadlines are.
//!
//! Prints one line a measure: value, target, pass or miss.
//!
//! `cargo bench -p squall-engine --profile fast --bench confirm` (arguments: directory to write in, open questions).

mod machine;

use machine::{House, house, registry};
use squall_engine::answers::Answering;
use squall_engine::confirmation::decide::{Outcome, Verdict};
use squall_engine::confirmation::declare::Way;
use squall_engine::confirmation::{Policy, Record, State, policy};
use squall_engine::{Principal, Request, Role, Via};
use squall_model::{ActionRef, ExecutionId, Map, from_json};
use squall_store::sqlite::Options;
use squall_store::{Batch, Op, Store, User};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The program itself uses as many.
const THREADS: usize = 2;

fn rules(text: &str) -> Arc<Policy> {
    let (policy, problems) = policy::read(&[("bench.yaml".into(), text.into())]);
    Arc::new(policy.unwrap_or_else(|| panic!("{problems:?}")))
}

/// As many rules as there may be, each of which has to look at the parameters to see that it is not meant.
fn two_hundred() -> String {
    let one = |n: usize| {
        format!(
            "  - {{id: r{n}, when: {{action: ['core.*', 'ops.*'], source: [api], params: [{{path: env, op: eq, value: e{n}}}, \
             {{path: hosts, op: count_gt, value: 3}}], channel: ['slack:C{n}']}}, require: [{{who: {{role: [sre]}}}}]}}\n"
        )
    };
    format!("version: 1\nrules:\n{}", (0..200).map(one).collect::<String>())
}

const ASK: &str =
    "version: 1\nrules:\n  - {id: echo, when: {action: [core.echo]}, require: [{who: requester}], timeout: TIMEOUT}\n";

/// A server whose deadlines fire, until it is dropped.
struct Running {
    house: House,
    _stop: watch::Sender<bool>,
}

impl Deref for Running {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

fn running(dir: &Path, policy: Arc<Policy>) -> Running {
    let house = house(dir, &Options::default(), policy);
    let (stop, stopped) = watch::channel(false);
    let due = house.engine.clone();
    tokio::spawn(async move { due.run_due(stopped).await });
    Running { house, _stop: stop }
}

fn who(user: &str) -> Principal {
    Principal { user: user.to_owned(), role: Role::Operator, via: Via::Token }
}

fn request(action: &str, params: &str, user: &str) -> Request {
    let params: Map = from_json(params, false).expect("JSON").as_map().cloned().unwrap_or_default();
    let name = action.split_once('.').expect("a reference");
    Request::new(ActionRef::new(name.0, name.1), params, who(user))
}

fn at(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get((last as f64 * share) as usize).map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

fn line(what: &str, value: f64, target: f64, unit: &str) {
    let verdict = if value <= target { "pass" } else { "MISS" };
    println!("{what:<68}{value:>12.3} {unit:<4} target {target:>9.3} {unit:<4} {verdict}");
}

/// The time of a run that no rule is about, with and without two hundred rules; in one server each, one after the other.
async fn gate_cost(dir: &Path) {
    const RUNS: usize = 3_000;
    let mut medians = Vec::new();
    for text in ["version: 1\nrules: []\n".to_owned(), two_hundred()] {
        let house = running(dir, rules(&text));
        let mut times = Vec::with_capacity(RUNS);
        for n in 0..RUNS {
            let asked = Instant::now();
            // The decision alone: nothing is stored, so that no disk is in the figure.
            let asks = house.engine.would_ask(&request("core.echo", &format!(r#"{{"message": "m{n}"}}"#), "alice"));
            times.push(asked.elapsed());
            assert_eq!(asks.expect("passes"), Vec::<String>::new());
        }
        medians.push((at(&mut times, 0.5), at(&mut times, 0.99)));
    }
    let added = |pick: fn(&(f64, f64)) -> f64| (pick(&medians[1]) - pick(&medians[0])) * 1e3;
    line("the gate with 200 rules, added to a run that none matches, p50", added(|m| m.0), 100.0, "us");
    line("the gate with 200 rules, added to a run that none matches, p99", added(|m| m.1), 100.0, "us");
}

fn yes() -> Answering {
    Answering { verdict: Verdict::Grant, rest: None, digest: None, response: None, way: Way::Api }
}

async fn user(house: &House, name: &str) {
    let user = User { roles: vec!["operator".into()], ..User::new(name, house.engine.now()) };
    house.store.commit(Batch::from(Op::PutUser(Box::new(user)))).await.expect("stored");
}

/// Opens so many questions, twenty of each person.
async fn open(house: &House, total: usize) -> Vec<(String, ExecutionId)> {
    let callers = 64;
    let tasks = (0..callers).map(|caller| {
        let engine = house.engine.clone();
        tokio::spawn(async move {
            let mut asked = Vec::new();
            for n in (caller..total).step_by(callers) {
                let user = format!("u{}", n / 20);
                let params = format!(r#"{{"message": "question {n}"}}"#);
                let done = engine.request(request("core.echo", &params, &user)).await.expect("held");
                asked.push((user, done.id));
            }
            asked
        })
    });
    let mut all = Vec::with_capacity(total);
    for task in tasks.collect::<Vec<_>>() {
        all.extend(task.await.expect("no caller panics"));
    }
    all
}

/// Two hundred answers a second for ten seconds.
async fn answers(dir: &Path) {
    const RATE: usize = 200;
    const TOTAL: usize = 2_000;
    let house = running(dir, rules(&ASK.replace("TIMEOUT", "1h")));
    for n in 0..TOTAL / 20 {
        user(&house, &format!("u{n}")).await;
    }
    let asked = open(&house, TOTAL).await;
    let mut every = tokio::time::interval(Duration::from_secs(1) / RATE as u32);
    let mut tasks = Vec::with_capacity(TOTAL);
    for (user, id) in asked {
        every.tick().await;
        let engine = house.engine.clone();
        tasks.push(tokio::spawn(async move {
            let record = engine.confirmation_of(id).expect("reads").expect("asked");
            let began = Instant::now();
            let answered = engine.answer_by(&record.id.to_string(), yes(), &who(&user)).await;
            let took = began.elapsed();
            let outcome = answered.expect("is taken").outcome;
            assert_eq!(outcome, Outcome::Ended(State::Released));
            took
        }));
    }
    let mut times = Vec::with_capacity(TOTAL);
    for task in tasks {
        times.push(task.await.expect("no answerer panics"));
    }
    line("an answer decided and on disk, 200 a second, p50", at(&mut times, 0.5), 20.0, "ms");
    line("an answer decided and on disk, 200 a second, p99", at(&mut times, 0.99), 20.0, "ms");
}

fn resident_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    pages * 4_096.0 / 1e6
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Many open questions: memory, idleness, deadlines among them.
async fn many(dir: &Path, total: usize) {
    const ENDING: usize = 2_000;
    let house = running(dir, rules(&ASK.replace("TIMEOUT", "6d")));
    for n in 0..total / 20 {
        user(&house, &format!("u{n}")).await;
    }
    for n in 0..ENDING / 20 {
        user(&house, &format!("v{n}")).await;
    }
    // What the first ones cost once (caches, statements) is not theirs.
    open(&house, 20).await;
    let before = resident_mb();
    let began = Instant::now();
    open(&house, total - ENDING).await;
    println!("{:<68}{:>12.0} /s", "  questions opened", (total - ENDING) as f64 / began.elapsed().as_secs_f64());
    line(&format!("{total} open questions, more resident memory"), resident_mb() - before, 100.0, "MB");
    let used = processor();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let busy = (processor() - used).as_secs_f64() * 1e3;
    line("processor time of five seconds in which only questions wait", busy, 50.0, "ms");
    house.engine.swap(registry(), rules(&ASK.replace("TIMEOUT", "10s")));
    // A change of rules looks at every open question once; deadlines are measured when that is over.
    house.engine.review_open().await.expect("looks");
    let mut every = tokio::time::interval(Duration::from_millis(4));
    let mut asked = Vec::with_capacity(ENDING);
    for n in 0..ENDING - 20 {
        every.tick().await;
        let params = format!(r#"{{"message": "ending {n}"}}"#);
        let done = house.engine.request(request("core.echo", &params, &format!("v{}", n / 20))).await;
        asked.push(done.expect("held").id);
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    let mut late = Vec::with_capacity(asked.len());
    for id in asked {
        let record: Record = house.engine.confirmation_of(id).expect("reads").expect("asked");
        let ending = record.ending.as_ref().expect("it ended");
        assert_eq!(record.state, State::Expired);
        late.push(ending.at.since(record.expires_at));
    }
    line("a deadline kept, among them, p50", at(&mut late, 0.5), 50.0, "ms");
    line("a deadline kept, among them, p99", at(&mut late, 0.99), 50.0, "ms");
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let dir = args.next().map_or_else(std::env::temp_dir, Into::into);
    let total = args.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.expect("threads").block_on(async {
        gate_cost(&dir).await;
        answers(&dir).await;
        many(&dir, total).await;
    });
}
