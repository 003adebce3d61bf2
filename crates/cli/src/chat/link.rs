//! The connection to the chat socket: greets, says, hears, and comes back when the server was away.

use crate::exit::Stop;
use squall_chat::adapters::terminal::{FromClient, FromServer};
use squall_server::Endpoints;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a server that is gone is looked for.
const AGAIN: Duration = Duration::from_millis(300);

/// What a link tells.
pub enum News {
    /// Something from the server.
    Server(FromServer),
    /// The server is gone; it is looked for.
    Gone,
    /// It is back.
    Back,
    /// The server does not want this client any more.
    Refused(String),
}

/// One channel on the server.
pub struct Link {
    data: PathBuf,
    name: String,
    channel: String,
    write: Mutex<Option<UnixStream>>,
    ids: Mutex<Ids>,
}

/// What the server answered to the greeting.
pub struct Greeting {
    /// The bot's name.
    pub bot: String,
    /// What makes a line a command.
    pub prefix: String,
    newest: i64,
}

impl Link {
    /// Connects and greets. `after` is the last message that was seen; without it only what is said from now on comes.
    pub fn open(
        data: &Path,
        name: &str,
        channel: &str,
        after: Option<i64>,
    ) -> Result<(Arc<Link>, BufReader<UnixStream>, Greeting), Stop> {
        let link = Link {
            data: data.to_owned(),
            name: name.to_owned(),
            channel: channel.to_owned(),
            write: Mutex::new(None),
            ids: Mutex::new(Ids::new()),
        };
        let (read, greeting) = link.connect(after)?;
        Ok((Arc::new(link), read, greeting))
    }

    fn connect(&self, after: Option<i64>) -> Result<(BufReader<UnixStream>, Greeting), Stop> {
        let found = Endpoints::load(&self.data)?.ok_or_else(|| {
            Stop::Failed(format!("no server runs on {}: start one with `squall up`", self.data.display()))
        })?;
        let write = UnixStream::connect(&found.chat)
            .map_err(|e| Stop::Failed(format!("cannot open the chat socket {}: {e}", found.chat.display())))?;
        let mut read = BufReader::new(write.try_clone()?);
        send(&write, &FromClient::Hello { name: self.name.clone(), channel: self.channel.clone(), after })?;
        match receive(&mut read)? {
            Some(FromServer::Welcome { bot, prefix, newest }) => {
                *self.write.lock().unwrap_or_else(PoisonError::into_inner) = Some(write);
                Ok((read, Greeting { bot, prefix, newest }))
            }
            Some(FromServer::Error { text }) => Err(Stop::Failed(text)),
            Some(FromServer::Message(_) | FromServer::Edit(_)) | None => {
                Err(Stop::Failed("the server did not greet".into()))
            }
        }
    }

    /// Says something.
    pub fn say(&self, text: String, thread: Option<i64>) -> Result<(), Stop> {
        let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next();
        let write = self.write.lock().unwrap_or_else(PoisonError::into_inner);
        let away = || Stop::Failed("the server is gone, so this was not said".into());
        send(write.as_ref().ok_or_else(away)?, &FromClient::Say { id, text, thread }).map_err(|_| away())
    }

    /// Hears until `tell` answers that it wants no more. With `forever` a server that goes away is waited for.
    pub fn hear(
        &self,
        mut read: BufReader<UnixStream>,
        greeting: &Greeting,
        after: Option<i64>,
        forever: bool,
        mut tell: impl FnMut(News) -> bool,
    ) {
        let mut seen = after.unwrap_or(greeting.newest);
        loop {
            match receive(&mut read) {
                Ok(Some(FromServer::Error { text })) => {
                    tell(News::Refused(text));
                    return;
                }
                Ok(Some(message)) => {
                    seen = number(&message).unwrap_or(seen).max(seen);
                    if !tell(News::Server(message)) {
                        return;
                    }
                }
                Ok(None) | Err(_) => {
                    *self.write.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    if !tell(News::Gone) || !forever {
                        return;
                    }
                    read = self.come_back(seen);
                    if !tell(News::Back) {
                        return;
                    }
                }
            }
        }
    }

    fn come_back(&self, seen: i64) -> BufReader<UnixStream> {
        loop {
            std::thread::sleep(AGAIN);
            if let Ok((read, _)) = self.connect(Some(seen)) {
                return read;
            }
        }
    }
}

fn number(message: &FromServer) -> Option<i64> {
    match message {
        FromServer::Message(shown) => Some(shown.seq),
        FromServer::Edit(edited) => Some(edited.seq),
        FromServer::Welcome { .. } | FromServer::Error { .. } => None,
    }
}

/// Ids of what this client says: different for every client.
struct Ids {
    start: String,
    next: u64,
}

impl Ids {
    fn new() -> Ids {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ids { start: format!("{:x}-{:x}", since.as_micros(), std::process::id()), next: 0 }
    }

    fn next(&mut self) -> String {
        self.next += 1;
        format!("{}-{}", self.start, self.next)
    }
}

fn send(mut write: &UnixStream, message: &FromClient) -> Result<(), Stop> {
    let mut text = serde_json::to_string(message).map_err(other)?;
    text.push('\n');
    write.write_all(text.as_bytes()).map_err(|e| Stop::Failed(format!("the server is gone: {e}")))
}

fn receive(read: &mut BufReader<UnixStream>) -> Result<Option<FromServer>, Stop> {
    let mut text = String::new();
    if read.read_line(&mut text)? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&text).map(Some).map_err(other)
}

fn other(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(error.to_string())
}
