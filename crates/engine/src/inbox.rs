//! Answers on their way to a decision: stamped when they are received, on disk before they are decided.
//!
//! An answer counts if it was received before the deadline, however slow the machine is. So its time is taken at the door, a
//! deadline waits for answers that were received before it, and a start decides what a crash left undecided. An entry of
//! the inbox goes in the same commit as the decision about it.
//!
//! Start reading at [`Engine::receive`].

use crate::confirmation::Event;
use crate::confirmation::decide::{Answer as Given, Due, Outcome};
use crate::refusal::Refusal;
use crate::turn::{Answer, Input};
use crate::{Engine, locked};
use serde::{Deserialize, Serialize};
use squall_model::Timestamp;
use squall_store::{Entry, Op};
use std::collections::BTreeMap;
use std::time::Duration;

/// The list of the store that holds it.
pub(crate) const LIST: &str = "inbox";
/// Entries that a start reads at once.
const PAGE: usize = 1_000;
/// How often a deadline looks whether earlier answers are decided, and how long it waits at most: longer than any disk
/// that still works takes, and than it takes to find out who is on call.
const LOOK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers that were received and are not decided.
#[derive(Default)]
pub(crate) struct InFlight {
    next: u64,
    since: BTreeMap<u64, Flying>,
}

/// One of them.
struct Flying {
    at: Timestamp,
    /// The confirmation that it is about, once that is known.
    about: Option<String>,
}

/// That something was received, and when. Deadlines of that moment and later wait until this is dropped.
pub struct Received {
    engine: Engine,
    /// When it was handed over, by squall's clock.
    pub at: Timestamp,
    /// Counts what is received.
    pub seq: u64,
}

impl Drop for Received {
    fn drop(&mut self) {
        locked(&self.engine.inner.in_flight).since.remove(&self.seq);
    }
}

/// What an entry says.
#[derive(Serialize, Deserialize)]
struct Waiting {
    confirmation: String,
    answer: Given,
}

impl Engine {
    /// Notes that something was received now. Adapters call it before they do anything else with what may be an answer.
    pub fn receive(&self) -> Received {
        let at = self.now();
        let mut flying = locked(&self.inner.in_flight);
        flying.next += 1;
        let seq = flying.next;
        flying.since.insert(seq, Flying { at, about: None });
        Received { engine: self.clone(), at, seq }
    }

    /// The one way from an answer to its decision: kept, decided, told.
    pub(crate) async fn give(
        &self,
        confirmation: &str,
        answer: Given,
        received: Received,
    ) -> Result<(Outcome, Option<String>), Refusal> {
        if let Some(flying) = locked(&self.inner.in_flight).since.get_mut(&received.seq) {
            flying.about = Some(confirmation.to_owned());
        }
        self.watch_clock().await;
        let key = format!("{:020}/{:020}", answer.received_at.micros(), answer.seq);
        let waiting = Waiting { confirmation: confirmation.to_owned(), answer };
        let value = serde_json::to_string(&waiting).map_err(|e| Refusal::Broken(e.to_string()))?;
        let entry = Entry { list: LIST.into(), key: key.clone(), at: waiting.answer.received_at, value };
        self.inner.store.commit(Op::PutEntry(Box::new(entry)).into()).await.map_err(not_stored)?;
        self.decide_answer(waiting, key).await
    }

    async fn decide_answer(&self, waiting: Waiting, key: String) -> Result<(Outcome, Option<String>), Refusal> {
        let id = waiting.confirmation;
        let Some(row) = self.store().confirmation(&id)? else {
            self.inner.store.commit(Op::DropEntry { list: LIST.into(), key }.into()).await?;
            return Err(Refusal::Unknown(format!("There is no open confirmation {id}.")));
        };
        if row.is_open() && waiting.answer.received_at >= row.expires_at {
            // Too late. Who is told so is told the truth: first it ends, whatever it is that ends it.
            self.answers_before(row.expires_at, &id).await;
            let event = Box::new(Event::Due(Due::Expire));
            self.insist(row.root, Input::Confirm { id: id.clone(), event, inbox: None }).await;
        }
        self.look_before_answer(&row, waiting.answer.seq).await;
        let event = Box::new(Event::Answer(Box::new(waiting.answer)));
        match self.insist(row.root, Input::Confirm { id, event, inbox: Some(key.clone()) }).await {
            Answer::Confirmed { outcome, told } => Ok((outcome, told)),
            Answer::Refused(refusal) => {
                // Nothing was decided, and trying again would not change that.
                self.inner.store.commit(Op::DropEntry { list: LIST.into(), key }.into()).await?;
                Err(refusal)
            }
            Answer::Execution(_) | Answer::Claim(_) | Answer::Done => {
                Err(Refusal::Broken("an answer was answered with something else".into()))
            }
        }
    }

    /// Decides what a crash left in the inbox, oldest first. Before any deadline fires.
    pub(crate) async fn empty_inbox(&self) -> Result<u64, Refusal> {
        let mut decided = 0;
        loop {
            let entries = self.store().entries(LIST, PAGE)?;
            if entries.is_empty() {
                return Ok(decided);
            }
            for entry in entries {
                match serde_json::from_str::<Waiting>(&entry.value) {
                    Ok(waiting) => {
                        if let Err(refusal) = self.decide_answer(waiting, entry.key.clone()).await {
                            tracing::warn!(%refusal, "an answer from before the restart was not taken");
                        }
                    }
                    Err(error) => tracing::error!(%error, "an answer from before the restart cannot be read"),
                }
                // Gone already when it was decided; never twice.
                self.inner.store.commit(Op::DropEntry { list: LIST.into(), key: entry.key }.into()).await?;
                decided += 1;
            }
        }
    }

    /// Waits until every answer about a confirmation that was received before `deadline` is decided, and all of which nobody
    /// knows yet what they are about.
    pub(crate) async fn answers_before(&self, deadline: Timestamp, confirmation: &str) {
        let mut waited = Duration::ZERO;
        while waited < PATIENCE && self.has_answers_before(deadline, confirmation) {
            self.inner.runtime.sleep(LOOK).await;
            waited += LOOK;
        }
    }

    /// Whether anything was received that is not decided.
    pub(crate) fn has_answers(&self) -> bool {
        !locked(&self.inner.in_flight).since.is_empty()
    }

    /// Whether there are answers that this deadline waits for.
    pub(crate) fn has_answers_before(&self, deadline: Timestamp, confirmation: &str) -> bool {
        let matters = |flying: &Flying| {
            flying.at < deadline && flying.about.as_ref().is_none_or(|about| about.eq_ignore_ascii_case(confirmation))
        };
        locked(&self.inner.in_flight).since.values().any(matters)
    }
}

/// What the answerer reads when the inbox cannot be written.
fn not_stored(error: squall_store::Error) -> Refusal {
    tracing::error!(%error, "an answer could not be stored");
    Refusal::Unavailable(crate::confirmation::texts::text("not-stored", &[]).plain())
}
