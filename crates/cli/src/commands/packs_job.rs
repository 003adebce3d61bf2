//! `squall __packs`: one pack job, told on standard input, its result as JSON on standard output.

use crate::exit::{Done, Stop};
use crate::output::say;
use std::io::Read;

/// The longest job description that is read.
const JOB_BYTES: u64 = 1 << 20;

pub fn run() -> Done {
    let mut text = String::new();
    std::io::stdin().lock().take(JOB_BYTES).read_to_string(&mut text)?;
    let job = serde_json::from_str(&text).map_err(|e| Stop::Usage(format!("cannot read the pack job: {e}")))?;
    match squall_server::run_pack_job(&job) {
        Ok(result) => {
            say(&squall_model::to_json(&result));
            Ok(())
        }
        Err(error) => Err(Stop::Failed(error)),
    }
}
