//! The engine's side of the work boundary: claims and reports become news for trees.

use crate::people::SYSTEM_USER;
use crate::turn::{Answer, Input};
use crate::{Engine, Event};
use squall_model::{ClaimAnswer, ExecutionId, Future, Outcome, Stream, Value, WorkEvent, WorkKey, WorkSink};
use std::sync::Arc;
use std::time::Duration;

impl Engine {
    /// The tree that an execution belongs to.
    fn root_of(&self, id: ExecutionId) -> Option<ExecutionId> {
        match self.store().execution(id) {
            Ok(found) => found.map(|e| e.root),
            Err(error) => {
                tracing::error!(execution = %id, %error, "cannot read an execution that a worker speaks of");
                None
            }
        }
    }

    async fn grant(&self, key: WorkKey, spool: &str) -> ClaimAnswer {
        let Some(root) = self.root_of(key.execution) else { return ClaimAnswer::Refused };
        match self.insist(root, Input::Claim { key, spool: spool.to_owned() }).await {
            Answer::Claim(true) => ClaimAnswer::Granted { env: self.token_env(key.execution).await },
            Answer::Claim(false)
            | Answer::Execution(_)
            | Answer::Confirmed { .. }
            | Answer::Done
            | Answer::Refused(_) => ClaimAnswer::Refused,
        }
    }

    /// The run's own token: lives in the answer to the claim, never in a stored item.
    async fn token_env(&self, id: ExecutionId) -> Vec<(String, String)> {
        let user = match self.store().execution(id) {
            Ok(Some(e)) => e.request.context.get("user").and_then(Value::as_str).unwrap_or(SYSTEM_USER).to_owned(),
            Ok(None) | Err(_) => return Vec::new(),
        };
        let ttl = Duration::from_secs(self.settings().service_token_ttl);
        match self.mint(&user, ttl, Some(id), Value::Null).await {
            Ok(minted) => {
                let text = minted.text.expose("environment of the run it was minted for").clone();
                vec![("ST2_ACTION_AUTH_TOKEN".into(), text)]
            }
            Err(error) => {
                tracing::warn!(execution = %id, %error, "no token for this run");
                Vec::new()
            }
        }
    }

    async fn attempt_ended(&self, key: WorkKey, outcome: Outcome) {
        if let Some(root) = self.root_of(key.execution) {
            self.insist(root, Input::Finished { key, outcome }).await;
        }
    }

    fn output(&self, key: WorkKey, stream: Stream, text: String) {
        if self.inner.events.receiver_count() == 0 {
            return;
        }
        let kind = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let payload = Value::from_pairs([
            ("execution_id", Value::from(key.execution.to_string())),
            ("output_type", kind.into()),
            ("data", text.into()),
            ("timestamp", self.now().to_iso().into()),
        ]);
        drop(self.inner.events.send(Arc::new(Event::new("st2.execution.output__create", payload))));
    }
}

impl WorkSink for Engine {
    fn claim<'a>(&'a self, key: WorkKey, _worker: &'a str, spool: &'a str) -> Future<'a, ClaimAnswer> {
        Box::pin(self.grant(key, spool))
    }

    fn report(&self, key: WorkKey, event: WorkEvent) -> Future<'_, ()> {
        Box::pin(async move {
            match event {
                WorkEvent::Started { pid } => tracing::debug!(execution = %key.execution, pid, "started"),
                WorkEvent::Output { stream, text } => self.output(key, stream, text),
                WorkEvent::Finished(outcome) => self.attempt_ended(key, outcome).await,
            }
        })
    }
}
