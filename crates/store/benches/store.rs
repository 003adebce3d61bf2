//! How fast the SQLite store commits and reads. Prints a table.
//!
//! `cargo bench -p squall-store --profile fast` (arguments: directory to write in, number of executions).

use futures::executor::block_on;
use futures::future::join_all;
use squall_model::{ActionRef, Change, Execution, ExecutionId, Map, Requested, Status, Timestamp, Value};
use squall_store::sqlite::{Options, Sqlite, Synchronous};
use squall_store::{Batch, Filter, Op, Page, Store};
use std::time::{Duration, Instant};

/// Callers that wait for an answer at the same time.
const CALLERS: u32 = 512;

fn id(n: u32) -> ExecutionId {
    ExecutionId::compose(1_700_000_000 + n / 5000, [1, 2, 3, 4, 5], n)
}

fn execution(n: u32) -> Execution {
    let text = |t: &str| Value::from(t);
    let request = Requested {
        action: ActionRef::new("core", "noop"),
        runner: "noop".to_owned(),
        params: Map::from_iter([("message".into(), text("a parameter of ordinary length, as people write them"))]),
        context: Map::from_iter([
            ("user".into(), text("ada")),
            ("pack".into(), text("core")),
            ("api_user".into(), text("ada")),
            ("source_channel".into(), text("ops")),
        ]),
        notify: Value::Null,
        definition: None,
        reply_to: None,
        delay_ms: 0,
        source: String::new(),
        again: None,
        secret: Vec::new(),
    };
    Execution::new(id(n), request, Timestamp::from_micros(1_700_000_000_000_000 + i64::from(n)))
}

fn insert(n: u32) -> Batch {
    Batch::from(Op::Insert(Box::new(execution(n))))
}

fn update(n: u32, version: u32, change: Change) -> Batch {
    Batch::from(Op::Update { id: id(n), version, change: Box::new(change) })
}

fn running() -> Change {
    let now = Timestamp::from_micros(1_700_000_000_500_000);
    Change { statuses: vec![(now, Status::Running)], attempt: Some(1), started: Some(now), ..Change::default() }
}

fn succeeded() -> Change {
    let now = Timestamp::from_micros(1_700_000_000_900_000);
    let result = Value::from_pairs([("stdout", Value::from("some output")), ("return_code", Value::Int(0))]);
    Change {
        statuses: vec![(now, Status::Succeeded)],
        ended: Some(Some(now)),
        result: Some(result),
        ..Change::default()
    }
}

fn append(n: u32) -> Batch {
    let fact = r#"{"offered":{"task":"restart","run":7,"input":{"host":"web1","env":"prod"}}}"#.to_owned();
    let at = Timestamp::from_micros(1_700_000_000_000_000);
    Batch::from(Op::Append { execution: id(n), seq: 0, facts: vec![fact; 3], at, secret: false })
}

/// Measured times, sorted when asked for.
struct Times(Vec<Duration>);

impl Times {
    fn at(&mut self, share: f64) -> Duration {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).copied().unwrap_or_default()
    }
}

fn report(name: &str, ops: u32, took: Duration, mut times: Times) {
    println!(
        "{name:<44} {:>10.0} /s   p50 {:>9.3} ms   p99 {:>9.3} ms",
        f64::from(ops) / took.as_secs_f64(),
        times.at(0.5).as_secs_f64() * 1e3,
        times.at(0.99).as_secs_f64() * 1e3,
    );
}

/// Every caller commits its share one after the other.
fn concurrent(store: &Sqlite, name: &str, total: u32, per_step: u32, steps: impl Fn(u32) -> Vec<Batch>) {
    let (steps, start) = (&steps, Instant::now());
    let callers = (0..CALLERS).map(|caller| async move {
        let mut times = Vec::new();
        for n in (caller..total).step_by(CALLERS as usize) {
            for batch in steps(n) {
                let asked = Instant::now();
                store.commit(batch).await.expect("commits");
                times.push(asked.elapsed());
            }
        }
        times
    });
    let times = block_on(join_all(callers)).concat();
    report(name, total * per_step, start.elapsed(), Times(times));
}

fn repeated(name: &str, count: u32, mut step: impl FnMut(u32)) {
    let start = Instant::now();
    let mut times = Vec::new();
    for n in 0..count {
        let asked = Instant::now();
        step(n);
        times.push(asked.elapsed());
    }
    report(name, count, start.elapsed(), Times(times));
}

fn measure(dir: &std::path::Path, synchronous: Synchronous, total: u32) {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let store = Sqlite::open(dir.path(), &Options { synchronous, ..Options::default() }).expect("opens");
    println!("\nsynchronous={synchronous:?}, {CALLERS} callers, {total} executions");
    concurrent(&store, "Insert, one a batch", total, 1, |n| vec![insert(n)]);
    concurrent(&store, "Update to running, one a batch", total, 1, |n| vec![update(n, 0, running())]);
    concurrent(&store, "Update to succeeded with result", total, 1, |n| vec![update(n, 1, succeeded())]);
    concurrent(&store, "Append of 3 facts", total, 1, |n| vec![append(n)]);
    concurrent(&store, "whole executions (Insert, Update, Update)", total, 1, |n| {
        let n = n + total;
        vec![insert(n), update(n, 0, running()), update(n, 1, succeeded())]
    });
    repeated("single caller: Insert", 1000.min(total), |n| {
        block_on(store.commit(insert(n + 2 * total))).expect("commits");
    });
    repeated("read: execution by id", total, |n| {
        assert!(store.execution(id(n)).expect("reads").is_some());
    });
    let filter = Filter { action: Some("core.noop".to_owned()), ..Filter::default() };
    repeated("read: newest 50 of an action, and their number", 50, |_| {
        let (rows, _) = store.executions(&filter, Page { offset: 0, limit: 50 }).expect("reads");
        assert_eq!(rows.len(), 50);
    });
    println!("log {:.1} MiB", store.wal_bytes() as f64 / f64::from(1 << 20));
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let dir = args.next().map_or_else(std::env::temp_dir, Into::into);
    let total = args.next().and_then(|n| n.parse().ok()).unwrap_or(50_000);
    measure(&dir, Synchronous::Full, total);
    measure(&dir, Synchronous::Normal, total);
}
