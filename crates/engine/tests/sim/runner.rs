//! Processes that outlive the server: a runner on virtual time, with spools that survive a crash.

use super::executor::Dice;
use squall_engine::Runtime;
use squall_model::{
    ClaimAnswer, Future, Leftover, Outcome, Runner, Status, Value, WorkEvent, WorkItem, WorkKey, WorkSink,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is known of an attempt on disk and in the process table.
#[derive(Debug, Clone, Default)]
struct Attempt {
    started: bool,
    result: Option<Outcome>,
}

/// What survives the server: spools, processes, and what the test counts.
#[derive(Debug, Default)]
pub struct Ground {
    attempts: Mutex<BTreeMap<(WorkKey, String), Attempt>>,
    /// Every start of a process.
    pub starts: Mutex<Vec<WorkKey>>,
    canceled: Mutex<BTreeSet<WorkKey>>,
}

impl Ground {
    /// Executions whose process started more than once: nothing here declares itself safe to repeat.
    pub fn started_twice(&self) -> Vec<WorkKey> {
        let starts = self.starts.lock().unwrap();
        let mut seen = BTreeSet::new();
        starts.iter().filter(|key| !seen.insert(key.execution)).copied().collect()
    }
}

pub struct SimRunner {
    pub ground: Arc<Ground>,
    pub runtime: Arc<dyn Runtime>,
    pub sink: Mutex<Option<Arc<dyn WorkSink>>>,
    pub dice: Arc<Dice>,
}

impl Runner for SimRunner {
    fn dispatch(&self, item: WorkItem) {
        let sink = self.sink.lock().unwrap().clone().expect("attached before anything is dispatched");
        let (ground, runtime, dice) = (self.ground.clone(), self.runtime.clone(), self.dice.clone());
        let inner = self.runtime.clone();
        runtime.spawn(Box::pin(async move { attempt(item, sink, ground, inner, dice).await }));
    }

    fn cancel(&self, key: WorkKey) {
        self.ground.canceled.lock().unwrap().insert(key);
    }

    fn leftover<'a>(&'a self, key: WorkKey, spool: &'a str) -> Future<'a, Leftover> {
        let attempts = self.ground.attempts.lock().unwrap();
        let leftover = match attempts.get(&(key, spool.to_owned())) {
            None => Leftover::NeverStarted,
            Some(attempt) => match (&attempt.result, attempt.started) {
                (Some(outcome), _) => Leftover::Finished(outcome.clone()),
                (None, false) => Leftover::NeverStarted,
                (None, true) => Leftover::Lost,
            },
        };
        if std::env::var_os("SQUALL_STORY").is_some() {
            println!("{} attempt {}: left {leftover:?}", key.execution, key.attempt);
        }
        Box::pin(std::future::ready(leftover))
    }

    fn settled(&self, key: WorkKey, spool: &str) {
        self.ground.attempts.lock().unwrap().remove(&(key, spool.to_owned()));
    }
}

async fn attempt(
    item: WorkItem,
    sink: Arc<dyn WorkSink>,
    ground: Arc<Ground>,
    runtime: Arc<dyn Runtime>,
    dice: Arc<Dice>,
) {
    let key = item.key;
    runtime.sleep(Duration::from_micros(dice.below(2_000))).await;
    let spool = format!("{:016x}", dice.roll());
    let tell = |what: &str| {
        if std::env::var_os("SQUALL_STORY").is_some() {
            println!("{} attempt {}: {what}", key.execution, key.attempt);
        }
    };
    tell("claims");
    match sink.claim(key, "sim", &spool).await {
        ClaimAnswer::Granted { .. } => {}
        ClaimAnswer::Refused => return tell("is refused"),
    }
    tell("was granted");
    let at = (key, spool);
    ground.attempts.lock().unwrap().insert(at.clone(), Attempt::default());
    // The moment between the claim and the start: a crash here must run it again.
    runtime.sleep(Duration::from_micros(dice.below(500))).await;
    if let Some(attempt) = ground.attempts.lock().unwrap().get_mut(&at) {
        attempt.started = true;
    }
    ground.starts.lock().unwrap().push(key);
    tell("starts");
    sink.report(key, WorkEvent::Started { pid: 1 }).await;
    let command = item.runner_params.get("cmd").and_then(Value::as_str).unwrap_or_default();
    // Nearly a minute, for what waits for it.
    let mut left = if command == "slow" { 50_000 } else { dice.below(5_000) };
    while left > 0 && !ground.canceled.lock().unwrap().contains(&key) {
        let step = left.min(100);
        runtime.sleep(Duration::from_millis(step)).await;
        left -= step;
    }
    let outcome = outcome(&item, left > 0, &dice);
    if let Some(attempt) = ground.attempts.lock().unwrap().get_mut(&at) {
        attempt.result = Some(outcome.clone());
    }
    // The moment between the end and its report.
    runtime.sleep(Duration::from_micros(dice.below(500))).await;
    sink.report(key, WorkEvent::Finished(outcome.clone())).await;
    // A report that comes twice changes nothing.
    if dice.chance(10) {
        sink.report(key, WorkEvent::Finished(outcome)).await;
    }
}

/// `slow` takes long; `exit N` in the command says how it ends; `dice N` lets it fail so many times in a hundred, some of them by time-out.
fn outcome(item: &WorkItem, canceled: bool, dice: &Dice) -> Outcome {
    if canceled {
        return Outcome { status: Status::Canceled, result: Value::Null };
    }
    let command = item.runner_params.get("cmd").and_then(Value::as_str).unwrap_or_default();
    let percent = command.strip_prefix("dice ").and_then(|n| n.parse().ok()).unwrap_or(0);
    let failed = command.contains("exit 1") || (percent > 0 && dice.chance(percent));
    let timed_out = failed && percent > 0 && dice.chance(10);
    let result = Value::from_pairs([
        ("succeeded", Value::from(!failed)),
        ("failed", failed.into()),
        ("return_code", i64::from(failed).into()),
        ("stdout", command.into()),
        ("stderr", "".into()),
    ]);
    let status = match (failed, timed_out) {
        (_, true) => Status::Timeout,
        (true, _) => Status::Failed,
        _ => Status::Succeeded,
    };
    Outcome { status, result }
}
