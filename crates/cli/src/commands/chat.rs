//! `squall chat`: a terminal chat on the server, several people in one channel.
//!
//! In a terminal: line editing, history, colours, messages above the line being typed. Otherwise plain lines: what is read
//! is said, what is said is printed.

use crate::client::Target;
use crate::exit::{Done, Stop};
use crate::output::say;
use clap::Args;
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter};
use squall_chat::adapters::terminal::{FromClient, FromServer, Shown};
use squall_server::Endpoints;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Open a terminal chat on the server.
#[derive(Args)]
pub struct Chat {
    /// Who you are; your login name when it is left out.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// The channel.
    #[arg(long, default_value = "ops")]
    channel: String,
    /// Show everything from the channel's first message on.
    #[arg(long)]
    history: bool,
    /// When the input has ended, go on printing for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    linger: u64,
}

/// A connection that greeted.
struct Link {
    write: UnixStream,
    read: BufReader<UnixStream>,
    bot: String,
    prefix: String,
}

impl Chat {
    pub fn run(&self, target: &Target) -> Done {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => std::env::var("USER").unwrap_or_else(|_| "me".into()),
        };
        let link = self.connect(target, &name)?;
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            self.interactive(target, &name, link)
        } else {
            self.plain(link)
        }
    }

    fn connect(&self, target: &Target, name: &str) -> Result<Link, Stop> {
        let found = Endpoints::load(&target.data)?.ok_or_else(|| {
            Stop::Failed(format!("no server runs on {}: start one with `squall up`", target.data.display()))
        })?;
        let write = UnixStream::connect(&found.chat)
            .map_err(|e| Stop::Failed(format!("cannot open the chat socket {}: {e}", found.chat.display())))?;
        let mut read = BufReader::new(write.try_clone()?);
        let after = if self.history { Some(0) } else { None };
        send(&write, &FromClient::Hello { name: name.to_owned(), channel: self.channel.clone(), after })?;
        match receive(&mut read)? {
            Some(FromServer::Welcome { bot, prefix, .. }) => Ok(Link { write, read, bot, prefix }),
            Some(FromServer::Error { text }) => Err(Stop::Failed(text)),
            Some(FromServer::Message(_)) | None => Err(Stop::Failed("the server did not greet".into())),
        }
    }

    fn interactive(&self, target: &Target, name: &str, link: Link) -> Done {
        let history = target.data.join("chat-history");
        let config = Config::builder().auto_add_history(true).max_history_size(1_000).map_err(other)?.build();
        let mut editor = DefaultEditor::with_config(config).map_err(other)?;
        // The first start has none.
        drop(editor.load_history(&history));
        let mut printer = editor.create_external_printer().map_err(other)?;
        let colours = std::env::var_os("NO_COLOR").is_none();
        println!("{}", greeting(name, &self.channel, &link));
        let own = name.to_owned();
        let mut read = link.read;
        std::thread::spawn(move || {
            loop {
                match receive(&mut read) {
                    // What I typed stands there already.
                    Ok(Some(FromServer::Message(m))) if m.author == own && !m.bot => {}
                    Ok(Some(FromServer::Message(m))) => drop(printer.print(line(&m, colours))),
                    Ok(Some(FromServer::Error { text })) => drop(printer.print(format!("error: {text}\n"))),
                    Ok(Some(FromServer::Welcome { .. })) => {}
                    Ok(None) | Err(_) => {
                        drop(
                            printer
                                .print("the server is gone; leave with Ctrl-D and come back when it runs\n".to_owned()),
                        );
                        return;
                    }
                }
            }
        });
        let prompt = format!("{name}> ");
        let mut ids = Ids::new();
        loop {
            match editor.readline(&prompt) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => send(&link.write, &FromClient::Say { id: ids.next(), text, thread: None })?,
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(other(error)),
            }
        }
        save_history(&mut editor, &history);
        Ok(())
    }

    fn plain(&self, link: Link) -> Done {
        let (ended, end) = mpsc::channel::<()>();
        let mut read = link.read;
        let printed = Arc::new(AtomicI64::new(0));
        let last = printed.clone();
        std::thread::spawn(move || {
            while let Ok(Some(message)) = receive(&mut read) {
                match message {
                    FromServer::Message(m) => {
                        say(line(&m, false).trim_end_matches('\n'));
                        last.store(m.seq, Ordering::Release);
                    }
                    FromServer::Error { text } => eprintln!("error: {text}"),
                    FromServer::Welcome { .. } => {}
                }
            }
            drop(ended);
        });
        let mut ids = Ids::new();
        for text in std::io::stdin().lock().lines() {
            let text = text?;
            if !text.trim().is_empty() {
                send(&link.write, &FromClient::Say { id: ids.next(), text, thread: None })?;
            }
        }
        // Whoever pipes commands in wants to see what comes of them.
        let _ = end.recv_timeout(Duration::from_secs(self.linger.max(1)));
        Ok(())
    }
}

fn greeting(name: &str, channel: &str, link: &Link) -> String {
    format!(
        "You are {name} in #{channel}. Commands begin with `{}` or `{}`; `{}help` lists them; Ctrl-D leaves.",
        link.prefix, link.bot, link.prefix
    )
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

/// One message as a line; lines of one message stay together under its author.
fn line(message: &Shown, colours: bool) -> String {
    let text = message.text.replace('\n', "\n        ");
    let time = message.at.get(11..19).unwrap_or_default();
    if !colours {
        return format!("{time} {}: {text}\n", message.author);
    }
    let colour = match (message.bot, message.failed, message.kind.as_deref()) {
        (true, true, _) => "31",
        (true, false, Some("announcement")) => "33",
        (true, false, Some("result")) => "32",
        (true, false, _) => "36",
        (false, _, _) => "1",
    };
    format!("\x1b[2m{time}\x1b[0m \x1b[{colour}m{}:\x1b[0m {text}\n", message.author)
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

fn save_history(editor: &mut DefaultEditor, path: &PathBuf) {
    if let Err(error) = editor.save_history(path) {
        eprintln!("cannot keep the history in {}: {error}", path.display());
    }
}

fn other(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(error.to_string())
}
