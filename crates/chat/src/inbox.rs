//! Lines that were taken from people and not dealt with yet.
//!
//! What stands in a channel was taken, so a crash before the bot has heard it must not lose it. A line for the bot is
//! committed together with a row of the outbox that is addressed to the bot itself; when it is dealt with, the row goes. What is
//! left at a start is heard again. That is harmless for a line that was dealt with just before a crash: commands and answers
//! carry the key of their message and happen once.

use crate::bot::Heard;
use squall_engine::{Engine, Refusal};
use squall_model::{Map, Value};
use squall_store::{Batch, Op, Outgoing};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The network of these rows, which no adapter posts to.
const BOT: &str = "bot";
/// Rows that are looked at or removed at once.
const PAGE: usize = 500;

/// The rows of one adapter.
pub(crate) struct Inbox {
    engine: Engine,
    done: Mutex<HashSet<String>>,
    woken: Notify,
}

impl Inbox {
    pub fn new(engine: Engine) -> Inbox {
        Inbox { engine, done: Mutex::default(), woken: Notify::new() }
    }

    /// A line was dealt with: its row may go.
    pub fn settle(&self, heard: &Heard) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(key(heard));
        self.woken.notify_one();
    }

    /// Ends when something was settled.
    pub async fn settled(&self) {
        self.woken.notified().await;
    }

    /// Removes the rows of what was dealt with.
    pub async fn tidy(&self) -> Result<(), Refusal> {
        // A row is there before its line is settled, so what is settled now and has no row never had one.
        let done = std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner));
        let removed = self.remove(&done).await;
        if !matches!(removed, Ok(true)) {
            self.done.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
        }
        removed.map(drop)
    }

    /// Removes the rows of `done`; answers whether all rows were looked at.
    async fn remove(&self, done: &HashSet<String>) -> Result<bool, Refusal> {
        let rows = self.engine.store().outgoing(BOT, 0, PAGE)?;
        let gone = rows.iter().filter(|row| done.contains(&row.dedup));
        let ops = gone.map(|row| Op::Posted { id: row.id }).collect();
        self.engine.store().commit(Batch { ops }).await?;
        Ok(rows.len() < PAGE)
    }

    /// What an earlier process left, in the order in which it was said.
    pub fn left(&self) -> Result<Vec<Heard>, Refusal> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let rows = self.engine.store().outgoing(BOT, after, PAGE)?;
            all.extend(rows.iter().filter_map(heard));
            match rows.last() {
                Some(last) if rows.len() == PAGE => after = last.id,
                _ => return Ok(all),
            }
        }
    }
}

fn key(heard: &Heard) -> String {
    format!("heard/{}/{}/{}", heard.network, heard.channel, heard.message_id)
}

/// The row of a line.
pub(crate) fn row(heard: &Heard) -> Outgoing {
    let optional = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    let body: Map = [
        ("network", Value::from(heard.network.as_str())),
        ("user_id", heard.user_id.as_str().into()),
        ("user_name", heard.user_name.as_str().into()),
        ("message_id", heard.message_id.as_str().into()),
        ("text", heard.text.as_str().into()),
        ("question", optional(&heard.question)),
        ("private", heard.private.into()),
        ("by_bot", heard.by_bot.into()),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value))
    .collect();
    Outgoing {
        id: 0,
        network: BOT.into(),
        channel: heard.channel.clone(),
        thread: heard.thread.clone(),
        body: body.into(),
        dedup: key(heard),
        created: heard.at,
        not_before: heard.at,
        tries: 0,
    }
}

/// The line of a row.
fn heard(row: &Outgoing) -> Option<Heard> {
    let text = |name: &str| row.body.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| row.body.get(name).is_some_and(Value::is_truthy);
    Some(Heard {
        network: text("network")?,
        channel: row.channel.clone(),
        thread: row.thread.clone(),
        user_id: text("user_id")?,
        user_name: text("user_name")?,
        message_id: text("message_id")?,
        text: text("text")?,
        question: text("question"),
        private: flag("private"),
        by_bot: flag("by_bot"),
        at: row.created,
        // Such lines run nothing and are not remembered.
        edited: false,
        forwarded: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::Timestamp;

    #[test]
    fn a_line_comes_back_from_its_row() {
        for (thread, question) in [(None, None), (Some("7"), Some("abc"))] {
            let line = Heard {
                network: "terminal".into(),
                channel: "ops".into(),
                thread: thread.map(str::to_owned),
                user_id: "u1".into(),
                user_name: "alice".into(),
                message_id: "alice/1".into(),
                text: "!drain web1".into(),
                question: question.map(str::to_owned),
                private: thread.is_some(),
                by_bot: thread.is_some(),
                at: Timestamp::from_micros(5),
                ..Heard::default()
            };
            assert_eq!(heard(&row(&line)), Some(line));
        }
    }
}
