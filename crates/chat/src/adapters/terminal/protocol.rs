//! What goes over the socket of the terminal network: one JSON object a line, both ways.

use crate::format;
use serde::{Deserialize, Serialize};
use squall_model::Value;
use squall_store::Message;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromClient {
    /// First: who and where.
    Hello {
        /// The name.
        name: String,
        /// The channel.
        channel: String,
        /// The last message that it has seen; `None` for what is said from now on.
        #[serde(default)]
        after: Option<i64>,
    },
    /// Something said.
    Say {
        /// Chosen by the client; a second message with the same id is the first one again.
        id: String,
        /// The words.
        text: String,
        /// The number of the message whose thread it belongs to.
        #[serde(default)]
        thread: Option<i64>,
    },
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromServer {
    /// The answer to a hello.
    Welcome {
        /// The bot's name.
        bot: String,
        /// What makes a line a command.
        prefix: String,
        /// The number of the newest message.
        newest: i64,
    },
    /// A message of the channel.
    Message(Shown),
    /// A question is finished: its first line is to be replaced, and the ways to answer it go.
    Edit(Edited),
    /// The client did something wrong; it is disconnected.
    Error {
        /// What.
        text: String,
    },
}

/// A message as clients show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Its number in the channel.
    pub seq: i64,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub author: String,
    /// Whether the author is the bot.
    #[serde(default)]
    pub bot: bool,
    /// The text, safe for a terminal.
    pub text: String,
    /// The thread's first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<i64>,
    /// `ack`, `result`, `announcement`, `question`, `confirmation`, `error`, `help` or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether it tells of a failure.
    #[serde(default)]
    pub failed: bool,
    /// The execution that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// What it asks, when it is the question of a confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Asks>,
}

/// What a question is about, for clients that help to answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asks {
    /// The confirmation.
    pub confirmation: String,
    /// Its code.
    pub code: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
}

/// A change of a question that was shown before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edited {
    /// Its number in the channel: a change is a message like any other, so that nobody misses one.
    pub seq: i64,
    /// The confirmation whose question it is.
    pub confirmation: String,
    /// What replaces the first line.
    pub text: String,
    /// The state that it reached.
    pub state: String,
}

impl FromServer {
    /// A message as it is sent.
    pub(super) fn of(message: &Message) -> FromServer {
        let text = |key: &str| message.body.get(key).and_then(Value::as_str).map(str::to_owned);
        if text("kind").as_deref() == Some("edit") {
            return FromServer::Edit(Edited {
                seq: message.seq,
                confirmation: text("confirmation").unwrap_or_default(),
                text: format::neutral(&text("message").unwrap_or_default()),
                state: text("state").unwrap_or_default(),
            });
        }
        let asks =
            || Some(Asks { confirmation: text("confirmation")?, code: text("code")?, expires_at: text("expires_at")? });
        let parts = format::parts(&message.body);
        FromServer::Message(Shown {
            seq: message.seq,
            at: message.at.to_iso(),
            author: message.author.clone(),
            bot: message.bot,
            text: format::plain(&parts),
            thread: message.thread,
            kind: text("kind"),
            failed: parts.failed,
            execution: text("execution"),
            asks: asks(),
        })
    }
}
