//! The terminal network: channels kept in the store, reached through an owner-only socket in the data directory.
//!
//! A client says who it is and how far it has read; it gets every message once, in order, and says things. The protocol is one JSON
//! object a line, see [`FromClient`] and [`FromServer`]. Posting is exactly once: the message and the end of its outbox row
//! are one commit.

mod protocol;

pub use protocol::{Asks, Edited, FromClient, FromServer, Shown};

use crate::bot::{Bot, Heard, Heed};
use crate::format;
use crate::inbox::{self, Inbox};
use squall_engine::{Engine, Refusal};
use squall_model::{Value, crash_point};
use squall_store::{Batch, Message, Op, Outgoing};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

/// The name of this network.
pub const NETWORK: &str = "terminal";
/// What a client gets at most when it joins: the newest so many messages.
const HISTORY: usize = 200;
/// How far back a question is looked for when somebody answers in its thread.
const QUESTIONS: usize = 1_000;
/// Outbox rows posted in one commit.
const POSTS: usize = 200;
/// Channels that are remembered; beyond it those in which nobody is are forgotten.
const CHANNELS: usize = 1_000;
/// The longest line that a client may send.
const LINE_BYTES: u64 = 64 * 1024;
/// How long the poster waits after the store refused it, and how often it looks for rows that were postponed.
const AGAIN: Duration = Duration::from_secs(1);

/// The adapter: its socket, its channels, its poster.
pub struct Terminal {
    engine: Engine,
    bot: Bot,
    inbox: Inbox,
    channels: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Terminal {
    /// An adapter for `engine`.
    pub fn new(engine: Engine) -> Arc<Terminal> {
        let inbox = Inbox::new(engine.clone());
        Arc::new(Terminal { bot: Bot::new(engine.clone()), inbox, engine, channels: Mutex::default() })
    }

    /// Serves clients until `stop` becomes true.
    pub async fn serve(self: Arc<Self>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
        tokio::spawn(self.clone().tidy(stop.clone()));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.changed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (terminal, stop) = (self.clone(), stop.clone());
                    tokio::spawn(async move {
                        if let Err(error) = terminal.client(stream, stop).await {
                            tracing::debug!(%error, "a terminal client is gone");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a terminal client");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn client(&self, stream: UnixStream, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = read_lines(read);
        let hello = match lines.recv().await {
            Some(Ok(FromClient::Hello { name, channel, after })) if is_name(&name) && is_open_to(&name, &channel) => {
                (name, channel, after)
            }
            Some(Ok(FromClient::Hello { .. })) => {
                let text = "a name has 1 to 64 letters, digits, `_`, `-`, `.`, `#`; of the private channels `@NAME`, only your own is open to you".to_owned();
                return send(&mut write, &FromServer::Error { text }).await;
            }
            Some(_) => {
                let text = "the first line must be a hello".to_owned();
                return send(&mut write, &FromServer::Error { text }).await;
            }
            None => return Ok(()),
        };
        let (name, channel, after) = hello;
        let mut changed = self.listen(&channel);
        let recent = self.messages(&channel, 0, 1)?;
        let newest = recent.last().map_or(0, |m| m.seq);
        let settings = self.engine.settings();
        let welcome = FromServer::Welcome { bot: settings.bot_name.clone(), prefix: settings.prefix.clone(), newest };
        send(&mut write, &welcome).await?;
        let mut seen = after.unwrap_or(newest);
        loop {
            changed.mark_unchanged();
            seen = self.catch_up(&channel, &name, seen, &mut write).await?;
            tokio::select! {
                _ = changed.changed() => {}
                _ = stop.changed() => return Ok(()),
                line = lines.recv() => match line {
                    None => return Ok(()),
                    Some(Ok(FromClient::Say { id, text, thread })) => {
                        if let Some(body) = self.said(&name, &channel, id, text, thread).await {
                            send(&mut write, &self.unkept(body, seen)).await?;
                        }
                    }
                    Some(Ok(FromClient::Hello { .. })) => {}
                    Some(Err(text)) => return send(&mut write, &FromServer::Error { text }).await,
                },
            }
        }
    }

    /// Sends what the client has not seen.
    async fn catch_up(
        &self,
        channel: &str,
        name: &str,
        mut seen: i64,
        write: &mut (impl AsyncWriteExt + Unpin),
    ) -> std::io::Result<i64> {
        loop {
            let messages = self.messages(channel, seen, HISTORY)?;
            if messages.is_empty() {
                return Ok(seen);
            }
            for message in messages {
                seen = message.seq;
                if message.whisper.as_deref().is_none_or(|whom| whom == name || message.author == name) {
                    send(write, &FromServer::of(&message)).await?;
                }
            }
        }
    }

    fn messages(&self, channel: &str, after: i64, limit: usize) -> std::io::Result<Vec<Message>> {
        self.engine.store().messages(channel, after, limit).map_err(std::io::Error::other)
    }

    /// Somebody said something: it is kept, everybody in the channel sees it, and the bot hears it. Answers what the
    /// person is to be told at once because it cannot be kept.
    async fn said(&self, name: &str, channel: &str, id: String, text: String, thread: Option<i64>) -> Option<Value> {
        // Before anything else: an answer counts by when it was received, however long it takes to keep it.
        let received = self.engine.receive();
        let at = received.at;
        let heard = Heard {
            question: thread.and_then(|first| self.question(channel, first)),
            network: NETWORK.into(),
            channel: channel.to_owned(),
            thread: thread.map(|t| t.to_string()),
            user_id: name.to_owned(),
            user_name: name.to_owned(),
            message_id: format!("{name}/{id}"),
            text,
            private: channel.starts_with('@'),
            // A line said is said: this network knows no changed or forwarded lines, and no bots but ours.
            by_bot: false,
            edited: false,
            forwarded: false,
            at,
        };
        let message = Message {
            channel: channel.to_owned(),
            seq: 0,
            at,
            author: name.to_owned(),
            bot: false,
            whisper: None,
            thread,
            body: Value::from_pairs([("message", heard.text.as_str())]),
            dedup: Some(format!("said/{name}/{id}")),
        };
        let mut batch = Batch::from(Op::Say(Box::new(message)));
        if self.bot.concerns(&heard) {
            batch.push(Op::Post(Box::new(inbox::row(&heard))));
        }
        if let Err(error) = self.engine.store().commit(batch).await {
            tracing::error!(%error, channel, "cannot keep a message");
            return self.bot.unheard(&heard, &error.into());
        }
        crash_point!("K04-heard");
        self.touch(channel);
        self.heed(heard).await
    }

    /// The bot hears it, and its row goes when something of that is on disk.
    async fn heed(&self, heard: Heard) -> Option<Value> {
        match self.bot.hear(heard.clone()).await {
            Heed::NotForMe | Heed::Taken => {
                self.inbox.settle(&heard);
                None
            }
            Heed::Unkept(body) => {
                // The person is told now, so a start must not do it after all.
                self.inbox.settle(&heard);
                Some(body)
            }
        }
    }

    /// Hears the lines that an earlier process had taken and not dealt with, oldest first.
    ///
    /// To be awaited before anything is due and anybody is served: an answer among them counts by when it was typed, so no
    /// deadline and no later answer may come before it.
    pub async fn hear_what_is_left(&self) -> Result<(), Refusal> {
        for heard in self.inbox.left()? {
            drop(self.heed(heard).await);
        }
        Ok(())
    }

    /// Removes the rows of lines that were dealt with until `stop` becomes true, and once more then.
    async fn tidy(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let stopped = tokio::select! {
                () = self.inbox.settled() => false,
                _ = stop.changed() => true,
            };
            if let Err(error) = self.inbox.tidy().await {
                tracing::warn!(%error, "lines that were heard wait to be forgotten");
                tokio::time::sleep(AGAIN).await;
            }
            if stopped {
                return;
            }
        }
    }

    /// Something that only this client sees, and only now: it has the number of the last message, so that nothing is
    /// missed for it.
    fn unkept(&self, body: Value, seen: i64) -> FromServer {
        FromServer::of(&Message {
            channel: String::new(),
            seq: seen,
            at: self.engine.now(),
            author: self.engine.settings().bot_name.clone(),
            bot: true,
            whisper: None,
            thread: None,
            body,
            dedup: None,
        })
    }

    /// The confirmation that the message of that number asks about.
    fn question(&self, channel: &str, seq: i64) -> Option<String> {
        let messages = self.engine.store().messages(channel, seq.saturating_sub(1), QUESTIONS).ok()?;
        let first = messages.iter().find(|m| m.seq == seq)?;
        first.body.get("confirmation").and_then(Value::as_str).map(str::to_owned)
    }

    /// Posts what waits in the outbox until `stop` becomes true.
    pub async fn post(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let woken = self.engine.outbox(NETWORK);
        while !*stop.borrow() {
            let posted = self.post_some().await;
            if posted > 0 {
                continue;
            }
            tokio::select! {
                () = woken.notified() => {}
                () = tokio::time::sleep(AGAIN) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Posts what waits now; answers how many messages that were.
    pub async fn post_some(&self) -> usize {
        let rows = match self.engine.ready(NETWORK, POSTS, |_| Ok(true)) {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "cannot read the outbox");
                return 0;
            }
        };
        if rows.is_empty() {
            return 0;
        }
        for row in &rows {
            pass_crash_point(row);
        }
        let mut batch = Batch::new();
        for row in &rows {
            batch.push(Op::Say(Box::new(self.message(row))));
            batch.push(Op::Posted { id: row.id });
        }
        match self.engine.store().commit(batch).await {
            Ok(()) => {
                rows.iter().for_each(|row| self.touch(&row.channel));
                rows.len()
            }
            Err(error) => {
                tracing::warn!(%error, "messages wait in the outbox");
                0
            }
        }
    }

    fn message(&self, row: &Outgoing) -> Message {
        Message {
            channel: row.channel.clone(),
            seq: 0,
            at: self.engine.now(),
            author: self.engine.settings().bot_name.clone(),
            bot: true,
            whisper: format::parts(&row.body).whisper,
            thread: row.thread.as_ref().and_then(|t| t.parse().ok()),
            body: row.body.clone(),
            dedup: Some(row.dedup.clone()),
        }
    }

    /// Hears of what is new in a channel.
    fn listen(&self, name: &str) -> watch::Receiver<u64> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if channels.len() >= CHANNELS {
            channels.retain(|_, channel| channel.receiver_count() > 0);
        }
        channels.entry(name.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Tells everybody in a channel that there is something new.
    fn touch(&self, channel: &str) {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(channel) {
            channel.send_modify(|n| *n = n.wrapping_add(1));
        }
    }
}

/// A message is committed and not posted: where a crash must neither lose nor double it.
fn pass_crash_point(row: &Outgoing) {
    match row.body.get("kind").and_then(Value::as_str) {
        Some("result") => crash_point!("K17"),
        Some("announcement" | "question") => crash_point!("K03"),
        _ => {}
    }
}

/// A name of a person or channel that is safe to show anywhere.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && text.chars().all(|c| c.is_alphanumeric() || "_-.#".contains(c))
}

/// Whether somebody may be in a channel: `@NAME` is the private conversation of that person with the bot.
fn is_open_to(name: &str, channel: &str) -> bool {
    channel.strip_prefix('@').map_or_else(|| is_name(channel), |whose| whose == name)
}

/// Lines that wait between the socket and the bot: few, so that a client that shouts is slowed down.
const LINES_WAITING: usize = 16;

/// Reads lines in a task of its own: half a line must survive that the other side of a `select` was quicker.
fn read_lines(read: OwnedReadHalf) -> mpsc::Receiver<Result<FromClient, String>> {
    let (tell, told) = mpsc::channel(LINES_WAITING);
    tokio::spawn(async move {
        let mut lines = BufReader::new(read);
        loop {
            let mut line = String::new();
            let said = match (&mut lines).take(LINE_BYTES).read_line(&mut line).await {
                Ok(0) => return,
                Ok(count) if count as u64 == LINE_BYTES => Err(format!("a line has at most {LINE_BYTES} bytes")),
                Ok(_) => serde_json::from_str(&line).map_err(|e| format!("cannot read this line: {e}")),
                Err(error) => Err(error.to_string()),
            };
            let broken = said.is_err();
            if tell.send(said).await.is_err() || broken {
                return;
            }
        }
    });
    told
}

async fn send(write: &mut (impl AsyncWriteExt + Unpin), message: &FromServer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(std::io::Error::other)?;
    line.push(b'\n');
    write.write_all(&line).await
}
