//! Named moments at which a test ends the process as a power switch would.
//!
//! Only builds with the feature `testing` look at them, which are those that `cargo test` makes of the whole program: there
//! `SQUALL_CRASH_AT=K05:3` aborts at the third passage of the point `K05`. Any other build passes without a trace.
//! The points and what must be true after each stand in `crates/cli/tests/crash_points.rs`.

/// Marks a moment between two durable steps, by name.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash::passed($name)
    };
}

/// Ends the process when this is the passage that was asked for.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub fn passed(_: &'static str) {}

/// Ends the process when this is the passage that was asked for.
#[cfg(feature = "testing")]
pub fn passed(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| parse(&std::env::var("SQUALL_CRASH_AT").ok()?));
    if let Some((_, left)) = wanted.as_ref().filter(|(wanted, _)| wanted == name)
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        eprintln!("crash point {name}");
        std::process::abort();
    }
}

/// `NAME` or `NAME:PASSAGE`; passages count from one.
#[cfg(feature = "testing")]
fn parse(text: &str) -> Option<(String, std::sync::atomic::AtomicU64)> {
    let (name, passage) = text.split_once(':').unwrap_or((text, "1"));
    Some((name.to_owned(), passage.parse::<u64>().ok()?.into()))
}
