//! The machine that the engine is measured on: tokio, the wall clock, cheap ids; and a server on it.

use squall_content::{Registry, Sources};
use squall_engine::confirmation::Policy;
use squall_engine::{Engine, Parts, Runtime, Settings};
use squall_model::{Clock, ExecutionId, Future, Ids, Timestamp};
use squall_store::sqlite::{Options, Sqlite};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A server with the built-in packs, on a store of its own that goes when it does.
pub struct House {
    pub engine: Engine,
    pub store: Arc<Sqlite>,
    _dir: tempfile::TempDir,
}

/// The built-in packs, read once.
pub fn registry() -> Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    let read = || squall_content::load(&Sources { builtin: true, ..Sources::default() }).registry;
    REGISTRY.get_or_init(read).clone()
}

/// Must be called inside of tokio.
pub fn house(dir: &Path, options: &Options, policy: Arc<Policy>) -> House {
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let store = Arc::new(Sqlite::open(dir.path(), options).expect("opens"));
    let engine = Engine::new(Parts {
        store: store.clone(),
        clock: Arc::new(WallClock(Instant::now())),
        ids: Arc::new(Counted::default()),
        runtime: Arc::new(Tokio(tokio::runtime::Handle::current())),
        settings: Settings::default(),
        registry: registry(),
        policy,
    });
    House { engine, store, _dir: dir }
}

struct Tokio(tokio::runtime::Handle);

impl Runtime for Tokio {
    fn spawn(&self, task: Future<'static, ()>) {
        self.0.spawn(task);
    }

    fn sleep(&self, duration: Duration) -> Future<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

struct WallClock(Instant);

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(since_epoch().as_micros() as i64)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Ids that differ and look like real ones; nothing here needs to be unpredictable.
#[derive(Default)]
struct Counted(AtomicU32, AtomicU64);

impl Ids for Counted {
    fn execution(&self) -> ExecutionId {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        ExecutionId::compose(since_epoch().as_secs() as u32, [1, 2, 3, 4, 5], n)
    }

    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            // SplitMix64: codes must be spread evenly.
            let mut z = self.1.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (z ^ (z >> 31)) as u8;
        }
    }
}
