//! Durable executions a second: `core.noop` through the engine's own door, on SQLite with full synchronous commits, many callers at once.
//!
//! No HTTP and no client process share the machine with it, so this is what the engine and its store can do. Prints one line a run.
//!
//! `cargo bench -p squall-engine --profile fast --bench noop` (arguments: directory to write in, executions, callers).

mod machine;

use machine::{House, house};
use squall_engine::{Engine, Principal, Request, Role, Via};
use squall_model::{ActionRef, Map, Status};
use squall_store::sqlite::{Options, Synchronous};
use squall_store::{Filter, Page, Store};
use std::path::Path;
use std::time::{Duration, Instant};

/// The program itself uses as many.
const THREADS: usize = 2;

fn request() -> Request {
    let who = Principal { user: "admin".into(), role: Role::Admin, via: Via::Token };
    Request::new(ActionRef::new("core", "noop"), Map::new(), who)
}

/// Measured times and where in them a share of all lies, in milliseconds.
struct Times(Vec<Duration>);

impl Times {
    fn at(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).map_or(0.0, |t| t.as_secs_f64() * 1e3)
    }
}

/// Every caller requests its share one after the other; answers how long each took.
async fn call(engine: &Engine, total: usize, callers: usize) -> Times {
    let tasks = (0..callers).map(|caller| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            for _ in (caller..total).step_by(callers) {
                let asked = Instant::now();
                engine.request(request()).await.expect("is accepted");
                times.push(asked.elapsed());
            }
            times
        })
    });
    let mut all = Vec::with_capacity(total);
    for task in tasks.collect::<Vec<_>>() {
        all.extend(task.await.expect("no caller panics"));
    }
    Times(all)
}

async fn measure(dir: &Path, synchronous: Synchronous, total: usize, callers: usize) {
    let options = Options { synchronous, ..Options::default() };
    let house = house(dir, &options, Default::default());
    let House { engine, store, .. } = &house;
    call(engine, total / 20, callers).await;
    let start = Instant::now();
    let mut times = call(engine, total, callers).await;
    let rate = total as f64 / start.elapsed().as_secs_f64();
    let (p50, p99) = (times.at(0.5), times.at(0.99));
    println!(
        "core.noop, synchronous={synchronous:?}, {callers} callers{:>14.0} /s   p50 {p50:>9.3} ms   p99 {p99:>9.3} ms",
        rate
    );
    let filter = Filter { status: vec![Status::Succeeded], ..Filter::default() };
    let (_, succeeded) = store.executions(&filter, Page { offset: 0, limit: 1 }).expect("reads");
    assert_eq!(succeeded, (total + total / 20) as u64, "every acknowledged execution is stored as succeeded");
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let dir = args.next().map_or_else(std::env::temp_dir, Into::into);
    let total = args.next().and_then(|n| n.parse().ok()).unwrap_or(40_000);
    let callers = args.next().and_then(|n| n.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    runtime.expect("threads").block_on(async {
        for callers in callers.map_or_else(|| vec![64, 512], |n| vec![n]) {
            measure(&dir, Synchronous::Full, total, callers).await;
        }
        measure(&dir, Synchronous::Normal, total, callers.unwrap_or(512)).await;
    });
}
