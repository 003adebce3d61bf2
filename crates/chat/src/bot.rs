//! One bot for all networks: what is for it becomes a command, what comes of it goes to the outbox.
//!
//! Everything said back about an execution was committed with the execution. Only answers that concern nothing stored
//! (help, refusals) are made here, under a key of the message that they answer, so that a message heard twice is
//! answered once.

use crate::pace::Pace;
use crate::{address, format, help};
use squall_engine::people::CHAT_USER;
use squall_engine::{Command, Engine, Principal, Refusal, Role, Via, texts};
use squall_model::{Map, ReplyTo, Value};
use squall_store::Outgoing;
use std::sync::{Mutex, PoisonError};

/// A message as a network delivered it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The network, e.g. `terminal`.
    pub network: String,
    /// The channel.
    pub channel: String,
    /// The thread, where the network has them.
    pub thread: Option<String>,
    /// The stable id of whoever said it.
    pub user_id: String,
    /// The name shown for them.
    pub user_name: String,
    /// The network's number of the message.
    pub message_id: String,
    /// What was said.
    pub text: String,
}

/// The bot.
pub struct Bot {
    engine: Engine,
    pace: Mutex<Pace>,
}

impl Bot {
    /// A bot for `engine`.
    pub fn new(engine: Engine) -> Bot {
        Bot { engine, pace: Mutex::default() }
    }

    /// Takes a message in. Answers whether it was for the bot; by then what it caused, or why it caused nothing, is on disk.
    pub async fn hear(&self, heard: Heard) -> bool {
        let settings = self.engine.settings();
        let Some(text) = address::command(&heard.text, &settings.prefix, &settings.bot_name) else { return false };
        let text = text.trim_end().to_owned();
        if let Some(words) = help_wanted(&text) {
            let content = self.engine.content();
            self.answer(&heard, "help", help::text(&content, &settings.prefix, words)).await;
            return true;
        }
        let person = format!("{}/{}", heard.network, heard.user_id);
        let now = self.engine.now();
        if !self.pace.lock().unwrap_or_else(PoisonError::into_inner).allows(&person, now) {
            self.answer(&heard, "error", "too fast: wait a few seconds; nothing was started").await;
            return true;
        }
        match self.engine.command(&self.command(&heard, text)).await {
            Ok(_) => {}
            Err(Refusal::Duplicate(first)) => tracing::info!(%first, "a message was delivered twice"),
            Err(refusal) => self.answer(&heard, "error", refusal_text(&refusal)).await,
        }
        true
    }

    fn command(&self, heard: &Heard, text: String) -> Command {
        let who = Principal {
            user: CHAT_USER.into(),
            role: Role::Operator,
            via: Via::Chat { network: heard.network.clone(), user_id: heard.user_id.clone() },
        };
        Command {
            text,
            who,
            speaker: heard.user_name.clone(),
            channel: heard.channel.clone(),
            reply_to: Some(reply_to(heard)),
            chat: chat_context(heard),
            key: Some(format!("{}/{}/{}", heard.network, heard.channel, heard.message_id)),
            kind: true,
            notify: squall_model::Value::Null,
        }
    }

    async fn answer(&self, heard: &Heard, kind: &str, text: impl Into<String>) {
        let now = self.engine.now();
        let message = Outgoing {
            id: 0,
            network: heard.network.clone(),
            channel: heard.channel.clone(),
            thread: heard.thread.clone(),
            body: format::remark(kind, &heard.user_name, text).into(),
            dedup: format!("answer/{}/{}/{}", heard.network, heard.channel, heard.message_id),
            created: now,
            not_before: now,
            tries: 0,
        };
        if let Err(error) = self.engine.post(message).await {
            tracing::error!(%error, channel = heard.channel, "cannot answer a message");
        }
    }
}

/// The words after `help`, if that is what was typed.
fn help_wanted(text: &str) -> Option<&str> {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    first.eq_ignore_ascii_case("help").then_some(rest)
}

fn refusal_text(refusal: &Refusal) -> String {
    match refusal {
        // These texts stand for themselves.
        Refusal::Unknown(text) | Refusal::Conflict(text) => text.clone(),
        other => texts::refused(&other.to_string()),
    }
}

fn reply_to(heard: &Heard) -> ReplyTo {
    ReplyTo {
        network: heard.network.clone(),
        channel: heard.channel.clone(),
        thread: heard.thread.clone(),
        user: heard.user_name.clone(),
        alias: None,
        message: Some(heard.message_id.clone()),
    }
}

fn chat_context(heard: &Heard) -> Value {
    let mut chat = Map::new();
    let mut set = |key: &str, value: &str| chat.insert(key.into(), value.into());
    set("network", &heard.network);
    set("user_id", &heard.user_id);
    set("user_name", &heard.user_name);
    set("channel_id", &heard.channel);
    set("channel_name", &heard.channel);
    set("message_id", &heard.message_id);
    if let Some(thread) = &heard.thread {
        set("thread_id", thread);
    }
    chat.into()
}
