//! What may change while people are asked: content, rules, rights, people, the clock, the server itself.
//!
//! Nothing here decides. Every open confirmation is looked at in the turn of its tree, where an answer that comes at the
//! same moment is before or after it.
//!
//! Start reading at [`Engine::review_open`].

use crate::asking::EPOCH;
use crate::confirmation::{Event, Record};
use crate::turn::Input;
use crate::{Engine, Refusal, locked};
use squall_model::{ExecutionId, Timestamp, Value};
use squall_store::{Batch, COPIED, Confirmation, ConfirmationFilter, Op, Page};
use std::time::Duration;

/// Records that are read at once.
const PAGE: u64 = 500;
/// A step back of the wall clock by more than this makes open confirmations void.
const STEP: Duration = Duration::from_secs(5);
/// How long both clocks are compared from the same moment.
const ANCHORED: Duration = Duration::from_secs(60);
/// Under this name the store keeps when the server was seen last, with [`LEFT`] behind it when it stopped then.
const SEEN: &str = "seen";
const LEFT: &str = " left";
/// How often that is written.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// A restart that was quicker is not worth a message.
const AWAY: Duration = Duration::from_secs(5);

/// The wall clock beside the one that never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    wall: Timestamp,
    steady: Duration,
}

impl Engine {
    /// Looks at every open confirmation: void when what would run is not what was asked about, withdrawn when whoever asked is gone,
    /// asked anew when the rules want more. To be called when packs, rules, users or rights have changed.
    pub async fn review_open(&self) -> Result<(), Refusal> {
        for (root, id) in self.open()? {
            self.insist(root, Input::Review { id }).await;
        }
        Ok(())
    }

    /// The same after this returns, for callers who need not know when it is done. Whatever it cannot look at now is looked at
    /// again before its release.
    pub fn review_soon(&self) {
        let engine = self.clone();
        self.inner.runtime.spawn(Box::pin(async move {
            if let Err(error) = engine.review_open().await {
                tracing::error!(%error, "cannot look at the open confirmations");
            }
        }));
    }

    /// Writes into the audit log that the rules were read, or that they are broken and the earlier ones stay.
    pub async fn log_rules(&self, rules: usize, problems: Vec<String>) {
        let event = if problems.is_empty() { "policy_loaded" } else { "policy_failed" };
        let problems: Vec<Value> = problems.into_iter().map(Value::from).collect();
        let op = Op::Audit {
            at: self.now(),
            event: event.into(),
            person: None,
            confirmation: None,
            execution: None,
            data: Value::from_pairs([("rules", Value::Int(rules as i64)), ("problems", problems.into())]),
        };
        if let Err(error) = self.inner.store.commit(op.into()).await {
            tracing::error!(%error, event, "the audit log does not take that the rules were read");
        }
    }

    /// Every open confirmation with its tree.
    fn open(&self) -> Result<Vec<(ExecutionId, String)>, Refusal> {
        let filter = ConfirmationFilter { state: Some(Confirmation::OPEN.to_owned()), ..ConfirmationFilter::default() };
        let mut all = Vec::new();
        loop {
            let page = Page { offset: all.len() as u64, limit: PAGE };
            let (rows, _) = self.store().confirmations(&filter, page)?;
            let read = rows.len() as u64;
            all.extend(rows.into_iter().map(|row| (row.root, row.id)));
            if read < PAGE {
                return Ok(all);
            }
        }
    }

    /// Compares both clocks. A wall clock that was set back makes open confirmations void: nobody can tell any more
    /// whether an answer is in time.
    pub(crate) async fn watch_clock(&self) {
        let now = Anchor { wall: self.now(), steady: self.inner.clock.monotonic() };
        let (before, step) = {
            let mut anchor = locked(&self.inner.anchor);
            let before = *anchor;
            let passed = now.steady.saturating_sub(before.steady);
            let step = before.wall.after(passed).since(now.wall);
            // Kept for a minute, so that many small steps are one large one.
            if step > STEP || passed >= ANCHORED {
                *anchor = now;
            }
            (before, step)
        };
        if step <= STEP {
            return;
        }
        tracing::error!(seconds = step.as_secs(), "the clock was set back: open confirmations are void");
        match self.open() {
            Ok(open) => {
                for (root, id) in open {
                    let event = Box::new(Event::ClockBack(step));
                    self.insist(root, Input::Confirm { id, event, inbox: None }).await;
                }
            }
            Err(error) => {
                // The step must not be forgotten.
                *locked(&self.inner.anchor) = before;
                tracing::error!(%error, "cannot read the open confirmations");
            }
        }
    }

    /// The clocks as they are at the start.
    pub(crate) fn anchor(clock: &dyn squall_model::Clock) -> Anchor {
        Anchor { wall: clock.now(), steady: clock.monotonic() }
    }

    /// Writes down that the server is alive, at most once a minute and only while somebody is asked.
    pub(crate) async fn seen(&self) {
        let now = self.now();
        {
            let mut last = locked(&self.inner.seen);
            if now.since(*last) < SEEN_EVERY && *last <= now {
                return;
            }
            *last = now;
        }
        self.note_seen(now.micros().to_string()).await;
    }

    /// Writes down that it stops now, so that a start knows for how long it was away.
    pub(crate) async fn leave(&self) {
        self.note_seen(format!("{}{LEFT}", self.now().micros())).await;
    }

    async fn note_seen(&self, value: String) {
        if self.store().open_confirmations(None, None).unwrap_or(0) == 0 {
            return;
        }
        if let Err(error) = self.inner.store.commit(Op::PutMeta { name: SEEN.into(), value }.into()).await {
            tracing::warn!(%error, "cannot write down that the server is alive");
        }
    }

    /// Whether the store is a copy from a backup: what was asked before it was made can no longer be answered, and what was released
    /// and has not started does not start, because both may have happened elsewhere since.
    pub(crate) async fn notice_restore(&self) -> Result<(), Refusal> {
        if self.store().meta(COPIED)?.is_none_or(|text| text.is_empty()) {
            return Ok(());
        }
        for (root, id) in self.open()? {
            self.insist(root, Input::Confirm { id, event: Box::new(Event::Restored), inbox: None }).await;
        }
        let lives = self.store().meta(EPOCH)?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let epoch = lives.saturating_add(1).to_string();
        tracing::warn!(%epoch, "this store was restored from a backup: what was asked before is void");
        let data = Value::from_pairs([("epoch", epoch.as_str())]);
        let ops = vec![
            Op::PutMeta { name: EPOCH.into(), value: epoch },
            Op::PutMeta { name: COPIED.into(), value: String::new() },
            Op::Audit {
                at: self.now(),
                event: "restored".into(),
                person: None,
                confirmation: None,
                execution: None,
                data,
            },
        ];
        self.inner.store.commit(Batch { ops }).await?;
        Ok(())
    }

    /// After a start: answers that were received before, then every open confirmation hears that the server was away.
    pub(crate) async fn recover_confirmations(&self) -> Result<(), Refusal> {
        self.recover_looks()?;
        self.empty_inbox().await?;
        let now = self.now();
        let (last, left) = self.last_trace()?;
        for (root, id) in self.open()? {
            let Some(row) = self.store().confirmation(&id)? else { continue };
            if let Some(record) = Record::from_json(&row.json).ok().filter(|record| record.looking) {
                self.look_again(record, root);
            }
            let last = last.max(row.held_at);
            let away = now.since(last);
            if now < row.held_at || (away >= AWAY && now < row.expires_at) {
                let event = Box::new(Event::Restarted { away, at_most: left != Some(last) });
                self.insist(root, Input::Confirm { id, event, inbox: None }).await;
            }
        }
        self.review_soon();
        Ok(())
    }

    /// When the server is known to have been alive last, and when it stopped, if it did not die.
    fn last_trace(&self) -> Result<(Timestamp, Option<Timestamp>), Refusal> {
        let seen = self.store().meta(SEEN)?.unwrap_or_default();
        let time = |text: &str| text.parse().ok().map(Timestamp::from_micros);
        let left = seen.strip_suffix(LEFT).and_then(time);
        let logged = self.store().audit_head()?.map(|row| row.at);
        let last = [left, time(&seen), logged].into_iter().flatten().max();
        Ok((last.unwrap_or_default(), left))
    }
}
