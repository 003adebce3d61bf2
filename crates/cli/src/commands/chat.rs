//! `squall chat`: a terminal chat on the server, several people in one channel.
//!
//! In a terminal: line editing, history, colours, messages above the line being typed, questions that count down where they stand.
//! Otherwise plain lines: what is read is said, what is said is printed, nothing that was printed changes.

use crate::chat::link::{Greeting, Link, News};
use crate::chat::session::{Cleared, Shared, Watcher, head};
use crate::chat::words::{self, Meaning, Where};
use crate::client::Target;
use crate::exit::{Done, Stop};
use crate::output::say;
use clap::Args;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, Config, Editor, EventHandler, KeyEvent};
use squall_chat::adapters::terminal::{FromServer, Shown};
use squall_model::Timestamp;
use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// How often the countdown is looked at; it changes once a second.
const TICK: Duration = Duration::from_millis(200);

/// The channel and the private conversation of one person.
struct Links {
    channel: Arc<Link>,
    private: Arc<Link>,
}

/// One of them with what it reads.
struct Ear {
    link: Arc<Link>,
    read: BufReader<UnixStream>,
    greeting: Greeting,
    after: Option<i64>,
    private: bool,
}

impl Chat {
    pub fn run(&self, target: &Target) -> Done {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => std::env::var("USER").unwrap_or_else(|_| "me".into()),
        };
        let after = if self.history { Some(0) } else { None };
        let open = |channel: &str, private: bool| {
            let after = if private { None } else { after };
            let (link, read, greeting) = Link::open(&target.data, &name, channel, after)?;
            Ok::<Ear, Stop>(Ear { link, read, greeting, after, private })
        };
        let ears = [open(&self.channel, false)?, open(&format!("@{name}"), true)?];
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb {
            self.interactive(target, &name, ears)
        } else {
            self.plain(&name, ears)
        }
    }

    fn interactive(&self, target: &Target, name: &str, ears: [Ear; 2]) -> Done {
        let history = target.data.join("chat-history");
        let colours = std::env::var_os("NO_COLOR").is_none();
        let shared = Shared::new(name, colours);
        let mut editor = editor(&shared, &history)?;
        println!("{}", greeting(name, &self.channel, &ears[0].greeting));
        let links = links(&ears);
        for ear in ears {
            let shared = shared.clone();
            std::thread::spawn(move || listen(ear, &shared));
        }
        let ticking = shared.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICK);
                ticking.lock().tick(now());
            }
        });
        let mut here = Where::Channel;
        loop {
            let prompt = shared.lock().prompt(&here);
            let typed = editor.readline(&prompt);
            shared.lock().left_line(typed.is_ok());
            // The thread may have been finished while the line was typed.
            here = shared.lock().next_place(here);
            match typed {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => here = act(&text, here, &links, &shared),
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(other(error)),
            }
            here = shared.lock().next_place(here);
        }
        save_history(&mut editor, &history);
        Ok(())
    }

    fn plain(&self, name: &str, ears: [Ear; 2]) -> Done {
        let shared = Shared::new(name, false);
        let links = links(&ears);
        let (ended, end) = mpsc::channel::<()>();
        for ear in ears {
            let (shared, ended) = (shared.clone(), ended.clone());
            std::thread::spawn(move || {
                print(ear, &shared);
                // Nobody waits any more when the input goes on.
                let _ = ended.send(());
            });
        }
        let mut here = Where::Channel;
        for text in std::io::stdin().lock().lines() {
            let text = text?;
            if text.trim().is_empty() {
                continue;
            }
            let meaning = words::read(&text, &here, shared.lock().questions(), now());
            match meaning {
                Meaning::Say(to, text) => links.say(to, text)?,
                Meaning::Go(to) => here = to,
                Meaning::Tell(text) => eprintln!("{text}"),
            }
        }
        // Whoever pipes commands in wants to see what comes of them.
        let _ = end.recv_timeout(Duration::from_secs(self.linger.max(1)));
        Ok(())
    }
}

impl Links {
    fn say(&self, to: Where, text: String) -> Result<(), Stop> {
        match to {
            Where::Channel => self.channel.say(text, None),
            Where::Thread(thread) => self.channel.say(text, Some(thread)),
            Where::Private => self.private.say(text, None),
            Where::PrivateThread(thread) => self.private.say(text, Some(thread)),
        }
    }
}

fn links(ears: &[Ear; 2]) -> Links {
    Links { channel: ears[0].link.clone(), private: ears[1].link.clone() }
}

/// Does what a line means; answers where the next one goes.
fn act(text: &str, here: Where, links: &Links, shared: &Shared) -> Where {
    let meaning = words::read(text, &here, shared.lock().questions(), now());
    match meaning {
        Meaning::Say(to, text) => {
            if let Err(error) = links.say(to, text) {
                shared.lock().note(&error.to_string());
            }
            here
        }
        Meaning::Go(to) => to,
        Meaning::Tell(text) => {
            shared.lock().note(&text);
            here
        }
    }
}

fn listen(ear: Ear, shared: &Shared) {
    let Ear { link, read, greeting, after, private } = ear;
    link.hear(read, &greeting, after, true, |news| {
        let mut session = shared.lock();
        match news {
            News::Server(news) => session.hear(&news, private, now()),
            // One of the two tells it.
            News::Gone | News::Back if private => {}
            News::Gone => session.note("the server is gone; waiting for it to come back (Ctrl-D leaves)"),
            News::Back => session.note("the server is back"),
            News::Refused(text) => session.note(&format!("error: {text}; leave with Ctrl-D")),
        }
        true
    });
}

/// Prints plain lines until the server is gone.
fn print(ear: Ear, shared: &Shared) {
    let Ear { link, read, greeting, after, private } = ear;
    link.hear(read, &greeting, after, false, |news| {
        match news {
            News::Server(FromServer::Message(message)) => {
                shared.lock().remember(&message, private);
                say(&line(&message, private));
            }
            News::Server(FromServer::Edit(edited)) => shared.lock().end(&edited),
            News::Server(FromServer::Error { text }) | News::Refused(text) => eprintln!("error: {text}"),
            News::Server(FromServer::Welcome { .. }) | News::Gone | News::Back => {}
        }
        true
    });
}

fn editor(shared: &Shared, history: &PathBuf) -> Result<Editor<Watcher, FileHistory>, Stop> {
    // Colours are ours to leave out; the editor must ask its helper before it draws, which it only does with them.
    let config = Config::builder().color_mode(ColorMode::Forced).auto_add_history(true);
    let config = config.max_history_size(1_000).map_err(other)?.build();
    let mut editor: Editor<Watcher, FileHistory> = Editor::with_config(config).map_err(other)?;
    editor.set_helper(Some(Watcher(shared.clone())));
    editor.bind_sequence(KeyEvent::ctrl('L'), EventHandler::Conditional(Box::new(Cleared(shared.clone()))));
    // The first start has none.
    drop(editor.load_history(history));
    Ok(editor)
}

fn greeting(name: &str, channel: &str, server: &Greeting) -> String {
    format!(
        "You are {name} in #{channel}. Commands begin with `{}` or `{}`: `{}help` lists them.\n\
         `/help` lists what this chat itself knows, such as `/reply yes`. Ctrl-D leaves.",
        server.prefix, server.bot, server.prefix
    )
}

/// One message as a line; lines of one message stay together under its author.
fn line(message: &Shown, private: bool) -> String {
    let mark = if message.thread.is_some() { "↳ " } else { "" };
    format!("{}{mark}{}", head(message, private), message.text.replace('\n', "\n        "))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn save_history(editor: &mut Editor<Watcher, FileHistory>, path: &PathBuf) {
    if let Err(error) = editor.save_history(path) {
        eprintln!("cannot keep the history in {}: {error}", path.display());
    }
}

fn other(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(error.to_string())
}
