//! What becomes of messages on networks outside of this program: posted, not posted, deleted there.
//!
//! An adapter takes what waits from [`Engine::to_post`] and tells what came of each row. A question whose copies never arrive ends as
//! not delivered; one that is over is not asked any more. A message may be posted twice when its answer is lost; it has the
//! same code then.

use crate::confirmation::{Event, Record, State};
use crate::turn::Input;
use crate::{Engine, Refusal};
use squall_model::Value;
use squall_store::{Confirmation, ConfirmationFilter, Op, Outgoing, Page};
use std::time::Duration;

/// How long after a failure a message is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Records that are read at once.
const PAGE: u64 = 500;
/// Rows of the outbox that are read at once.
const OUTBOX: usize = 200;

impl Engine {
    /// Rows of the outbox of `network` that may be posted now, oldest first. Questions and changes of questions that nobody needs
    /// any more are taken out of it.
    pub async fn to_post(&self, network: &str, limit: usize) -> Result<Vec<Outgoing>, Refusal> {
        let mut outdated = Vec::new();
        let rows = self.ready(network, limit, |row| {
            let is_outdated = self.is_outdated(row)?;
            outdated.extend(is_outdated.then(|| row.clone()));
            Ok(!is_outdated)
        })?;
        for row in &outdated {
            self.taken(row).await?;
        }
        Ok(rows)
    }

    /// Rows of the outbox of `network` whose time has come, oldest first: what must wait is no reason for others to wait.
    pub fn ready(
        &self,
        network: &str,
        limit: usize,
        mut wants: impl FnMut(&Outgoing) -> Result<bool, Refusal>,
    ) -> Result<Vec<Outgoing>, Refusal> {
        let (now, mut after, mut rows) = (self.now(), 0, Vec::new());
        loop {
            let page = self.store().outgoing(network, after, OUTBOX)?;
            let (count, last) = (page.len(), page.last().map(|row| row.id));
            for row in page {
                if wants(&row)? && row.not_before <= now {
                    rows.push(row);
                }
                if rows.len() >= limit {
                    return Ok(rows);
                }
            }
            match last {
                Some(last) if count == OUTBOX => after = last,
                _ => return Ok(rows),
            }
        }
    }

    /// A message is there, under this id of the network.
    pub async fn posted(&self, row: &Outgoing, message: &str) -> Result<(), Refusal> {
        if let Some((copy, about)) = self.asked_by(row)? {
            let event = Box::new(Event::Delivered { copy, message: message.to_owned() });
            self.insist(about.root, Input::Confirm { id: about.id, event, inbox: None }).await;
        }
        self.taken(row).await
    }

    /// A message could not be posted, or nobody knows whether it was. It is tried again after a while, longer each time; a change of
    /// a message is not, since the same is said in a message of its own.
    pub async fn not_posted(&self, row: &Outgoing, why: &str) -> Result<(), Refusal> {
        tracing::warn!(
            network = row.network,
            channel = row.channel,
            tries = row.tries,
            why,
            "a message was not posted"
        );
        if kind(row) == "edit" {
            return self.taken(row).await;
        }
        if let Some((copy, about)) = self.asked_by(row)?.filter(|_| row.tries == 0) {
            let event = Box::new(Event::NotDelivered { copy });
            self.insist(about.root, Input::Confirm { id: about.id, event, inbox: None }).await;
        }
        let pause = AGAIN.0.saturating_mul(1 << row.tries.min(6)).min(AGAIN.1);
        let op = Op::PostLater { id: row.id, at: self.now().after(pause) };
        self.unless_gone(op).await
    }

    /// Somebody deleted a message on the network. A question that is open is asked there once more, and only once.
    pub async fn deleted(&self, network: &str, channel: &str, message: &str) -> Result<(), Refusal> {
        let filter = ConfirmationFilter { state: Some(Confirmation::OPEN.to_owned()), ..ConfirmationFilter::default() };
        for offset in (0..).step_by(PAGE as usize) {
            let (rows, _) = self.store().confirmations(&filter, Page { offset, limit: PAGE })?;
            for row in &rows {
                let record = crate::answers::record_of(row)?;
                let is_it = |copy: &crate::confirmation::record::Copy| {
                    let place = &copy.place;
                    place.network == network && place.channel == channel && copy.message.as_deref() == Some(message)
                };
                if let Some(copy) = record.copies.iter().position(is_it) {
                    let event = Box::new(Event::Deleted { copy });
                    self.insist(row.root, Input::Confirm { id: row.id.clone(), event, inbox: None }).await;
                    return Ok(());
                }
            }
            if (rows.len() as u64) < PAGE {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes a row out of the outbox; whoever was faster did the same.
    async fn taken(&self, row: &Outgoing) -> Result<(), Refusal> {
        self.unless_gone(Op::Posted { id: row.id }).await
    }

    async fn unless_gone(&self, op: Op) -> Result<(), Refusal> {
        match self.inner.store.commit(op.into()).await {
            Ok(()) | Err(squall_store::Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The copy of a question that a row is.
    fn asked_by(&self, row: &Outgoing) -> Result<Option<(usize, Confirmation)>, Refusal> {
        if kind(row) != "question" {
            return Ok(None);
        }
        let Some(copy) = row.body.get("copy").and_then(Value::as_int) else { return Ok(None) };
        let about = self.about(row)?;
        Ok(about.map(|about| (usize::try_from(copy).unwrap_or(usize::MAX), about)))
    }

    fn about(&self, row: &Outgoing) -> Result<Option<Confirmation>, Refusal> {
        let id = row.body.get("confirmation").and_then(Value::as_str).unwrap_or_default();
        Ok(self.store().confirmation(id)?)
    }

    /// A question that is over, or a change of one that never arrived.
    fn is_outdated(&self, row: &Outgoing) -> Result<bool, Refusal> {
        let is_of_question = matches!(kind(row), "question" | "edit");
        let Some(about) = self.about(row)?.filter(|_| is_of_question) else { return Ok(false) };
        let Ok(record) = Record::from_json(&about.json) else { return Ok(false) };
        let copy =
            row.body.get("copy").and_then(Value::as_int).and_then(|n| record.copies.get(usize::try_from(n).ok()?));
        Ok(match kind(row) {
            "question" => record.state != State::Open,
            _ => copy.is_some_and(|copy| copy.message.is_none()),
        })
    }
}

fn kind(row: &Outgoing) -> &str {
    row.body.get("kind").and_then(Value::as_str).unwrap_or_default()
}
