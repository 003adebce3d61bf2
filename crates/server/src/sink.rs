//! Between the workers and the engine: a finished pack job loads the packs before anybody hears that it is done.

use crate::start::Loader;
use squall_engine::Engine;
use squall_model::{ClaimAnswer, Future, Status, WorkEvent, WorkKey, WorkSink};
use std::sync::Arc;

/// The engine, as workers see it.
pub(crate) struct Sink {
    pub engine: Engine,
    pub loader: Arc<Loader>,
}

impl Sink {
    /// Whether this attempt changed packs on disk.
    fn is_pack_job(&self, key: WorkKey) -> bool {
        match self.engine.store().execution(key.execution) {
            Ok(Some(execution)) => crate::packs::is_pack_job(&execution.request.action),
            Ok(None) | Err(_) => false,
        }
    }
}

impl WorkSink for Sink {
    fn claim<'a>(&'a self, key: WorkKey, worker: &'a str, spool: &'a str) -> Future<'a, ClaimAnswer> {
        self.engine.claim(key, worker, spool)
    }

    fn report(&self, key: WorkKey, event: WorkEvent) -> Future<'_, ()> {
        Box::pin(async move {
            let succeeded = matches!(&event, WorkEvent::Finished(outcome) if outcome.status == Status::Succeeded);
            if succeeded && self.is_pack_job(key) {
                match self.loader.reload(&self.engine).await {
                    Ok(loaded) => tracing::info!(counts = ?loaded.counts, "packs are loaded"),
                    Err(error) => tracing::error!(%error, "packs are not loaded"),
                }
            }
            self.engine.report(key, event).await;
        })
    }
}
