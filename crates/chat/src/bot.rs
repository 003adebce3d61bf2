//! One bot for all networks: what is for it becomes a command, what comes of it goes to the outbox.
//!
//! Everything said back about an execution was committed with the execution. Only answers that concern nothing stored
//! (help, refusals) are made here, under a key of the message that they answer, so that a message heard twice is
//! answered once.

use crate::pace::{Pace, Paced};
use crate::{address, format, help};
use squall_engine::confirmation::Identity;
use squall_engine::confirmation::record::Place;
use squall_engine::typed::{Reply, Typed};
use squall_engine::{Command, Engine, Principal, Refusal, texts};
use squall_model::{Map, ReplyTo, Timestamp, Value};
use squall_store::Outgoing;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A message as a network delivered it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// The network, e.g. `terminal`.
    pub network: String,
    /// The channel; a private conversation is `@` and the id of the person.
    pub channel: String,
    /// Whether only one person and the bot are there. Everything is for the bot then.
    pub private: bool,
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
    /// The confirmation whose question began the thread that this was said in.
    pub question: Option<String>,
    /// Whether a bot wrote it: its answers to confirmations never count.
    pub by_bot: bool,
    /// Whether it was changed after it was sent: it runs nothing and answers nothing.
    pub edited: bool,
    /// Whether it was forwarded: the words are not those of whoever sent it.
    pub forwarded: bool,
    /// When it was received.
    pub at: Timestamp,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Heed {
    /// It was for other people.
    NotForMe,
    /// What it caused, or why it caused nothing, is on disk.
    Taken,
    /// Nothing came of it, and the answer, this body, could not be kept: whoever can still be reached is to be told at once.
    Unkept(Value),
}

/// A command is not started any more when it comes to the bot so long after it was typed: nobody expects it then.
const LATE: Duration = Duration::from_secs(300);

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

    /// Whether this may concern the bot: it is addressed to it, or said in the thread of a question. Anything else need not be remembered.
    pub fn concerns(&self, heard: &Heard) -> bool {
        !(heard.edited || heard.forwarded) && (heard.question.is_some() || self.command_in(heard).is_some())
    }

    /// Takes a message in. One that was heard before happens once.
    pub async fn hear(&self, heard: Heard) -> Heed {
        if heard.edited || heard.forwarded {
            return Heed::NotForMe;
        }
        let settings = self.engine.settings();
        let Some(text) = self.command_in(&heard) else {
            // A plain yes or no in the thread of a question.
            return match heard.question.is_some() {
                true => self.answered(&heard, None).await.unwrap_or(Heed::NotForMe),
                false => Heed::NotForMe,
            };
        };
        let person = format!("{}/{}", heard.network, heard.user_id);
        let now = self.engine.now();
        let paced = self.pace.lock().unwrap_or_else(PoisonError::into_inner).hear(&person, now);
        match paced {
            Paced::Taken => {}
            Paced::TooFast => {
                return self.answer(&heard, "error", "too fast: wait a few seconds; nothing was started").await;
            }
            Paced::Silence => return Heed::Taken,
        }
        if let Some(words) = help_wanted(&text) {
            let content = self.engine.content();
            return self.answer(&heard, "help", help::text(&content, &settings.prefix, words)).await;
        }
        let mistyped = match self.answered(&heard, Some(text.clone())).await {
            Ok(heed) => return heed,
            Err(mistyped) => mistyped,
        };
        if now.since(heard.at) > LATE {
            return self.answer(&heard, "error", texts::too_late(&text)).await;
        }
        let who = match self.engine.chat_principal(&identity(&heard)) {
            Ok(who) => who,
            Err(refusal) => return self.answer(&heard, "error", refusal_text(&refusal)).await,
        };
        let wants_link = text.trim().eq_ignore_ascii_case("link");
        match self.engine.command(&self.command(&heard, text, who)).await {
            Ok(_) => Heed::Taken,
            Err(Refusal::Duplicate(first)) => {
                tracing::info!(%first, "a message was delivered twice");
                Heed::Taken
            }
            // A pack's own `link` comes first.
            Err(Refusal::Unknown(_)) if wants_link => self.link(&heard).await,
            Err(refusal) => {
                let text = match (&refusal, mistyped) {
                    (Refusal::Unknown(_), Some(mistyped)) => mistyped,
                    _ => refusal_text(&refusal),
                };
                self.answer(&heard, "error", text).await
            }
        }
    }

    /// The command in a message; in private nobody else can be meant, so no prefix is needed there.
    fn command_in(&self, heard: &Heard) -> Option<String> {
        let settings = self.engine.settings();
        let addressed = address::command(&heard.text, &settings.prefix, &settings.bot_name);
        let whole = Some(heard.text.trim()).filter(|text| heard.private && !text.is_empty());
        addressed.or(whole).map(|text| text.trim_end().to_owned())
    }

    /// What to tell somebody whose words could not even be kept; `None` when they were not meant for the bot.
    pub fn unheard(&self, heard: &Heard, refusal: &Refusal) -> Option<Value> {
        self.command_in(heard)?;
        Some(format::remark("error", &heard.user_name, refusal_text(refusal)).into())
    }

    /// Takes what may be an answer to a confirmation. What is none comes back, with what to say of a mistyped code when no
    /// alias knows the line either.
    async fn answered(&self, heard: &Heard, command: Option<String>) -> Result<Heed, Option<String>> {
        let typed = Typed {
            raw: heard.text.clone(),
            command,
            identity: identity(heard),
            name: heard.user_name.clone(),
            place: Place {
                network: heard.network.clone(),
                channel: heard.channel.clone(),
                thread: heard.thread.clone(),
                private: heard.private,
            },
            message: heard.message_id.clone(),
            at: heard.question.clone(),
            heard_at: heard.at,
            is_bot: heard.by_bot,
            is_edited: heard.edited,
            is_forwarded: heard.forwarded,
            label: None,
        };
        match self.engine.typed(&typed).await {
            Ok(Reply::Other) => Err(None),
            Ok(Reply::Perhaps(text)) => Err(Some(text)),
            Ok(Reply::Say(text)) => Ok(self.answer(heard, "confirmation", text).await),
            Ok(Reply::Done | Reply::Silence) => Ok(Heed::Taken),
            Err(refusal) => Ok(self.answer(heard, "error", refusal_text(&refusal)).await),
        }
    }

    fn command(&self, heard: &Heard, text: String, who: Principal) -> Command {
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
            reject_held: false,
        }
    }

    /// A code by which somebody shows with their account's token that they are this person; for their eyes alone.
    async fn link(&self, heard: &Heard) -> Heed {
        let code = self.engine.link_code(&identity(heard));
        let mut body = format::remark("link", &heard.user_name, texts::link_code(&code));
        body.insert("whisper".into(), true.into());
        self.send(heard, body.into()).await
    }

    async fn answer(&self, heard: &Heard, kind: &str, text: impl Into<String>) -> Heed {
        self.send(heard, Value::from(format::remark(kind, &heard.user_name, text))).await
    }

    async fn send(&self, heard: &Heard, body: Value) -> Heed {
        let now = self.engine.now();
        let message = Outgoing {
            id: 0,
            network: heard.network.clone(),
            channel: heard.channel.clone(),
            thread: heard.thread.clone(),
            body: body.clone(),
            dedup: format!("answer/{}/{}/{}", heard.network, heard.channel, heard.message_id),
            created: now,
            not_before: now,
            tries: 0,
        };
        match self.engine.post(message).await {
            Ok(()) => Heed::Taken,
            Err(error) => {
                tracing::error!(%error, channel = heard.channel, "cannot keep an answer");
                Heed::Unkept(body)
            }
        }
    }
}

/// The words after `help`, if that is what was typed.
fn help_wanted(text: &str) -> Option<&str> {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    first.eq_ignore_ascii_case("help").then_some(rest)
}

fn identity(heard: &Heard) -> Identity {
    Identity { network: heard.network.clone(), workspace: None, user_id: heard.user_id.clone() }
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
    chat.insert("is_dm".into(), heard.private.into());
    chat.into()
}
