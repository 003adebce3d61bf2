//! One person at a prompt: what is shown of each message, where lines go, and the questions that wait.
//!
//! Shared by the threads that hear, the one that counts down and the line editor; every write to the terminal happens under its lock.

use super::layout;
use super::question::Question;
use super::screen::{Row, Screen};
use super::words::{self, Where};
use rustyline::highlight::CmdKind;
use rustyline::validate::{ValidationContext, ValidationResult};
use squall_chat::adapters::terminal::{Edited, FromServer, Shown};
use squall_model::Timestamp;
use std::borrow::Cow;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Questions that are remembered; older ones are finished long since.
const QUESTIONS: usize = 200;

/// What the threads share.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Session>>);

/// The state of one person's client.
pub struct Session {
    name: String,
    colours: bool,
    screen: Screen,
    questions: Vec<Question>,
    heads: Vec<(String, String)>,
    /// Where the line being typed goes.
    here: Where,
    /// The prompt as it is drawn.
    prompt: String,
}

impl Shared {
    /// A session of somebody.
    pub fn new(name: &str, colours: bool) -> Shared {
        Shared(Arc::new(Mutex::new(Session {
            name: name.to_owned(),
            colours,
            screen: Screen::default(),
            questions: Vec::new(),
            heads: Vec::new(),
            here: Where::Channel,
            prompt: String::new(),
        })))
    }

    /// The session.
    pub fn lock(&self) -> MutexGuard<'_, Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// The questions that were asked here, oldest first.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// The prompt for lines that go to `here`, plain and with colours; it is the one that is drawn from now on.
    pub fn prompt(&mut self, here: &Where) -> (String, String) {
        self.here = here.clone();
        let plain = words::prompt(&self.name, here, &self.questions);
        self.draw_prompt(plain)
    }

    fn draw_prompt(&mut self, plain: String) -> (String, String) {
        let styled = match (self.colours, &self.here) {
            (false, _) => plain.clone(),
            (true, Where::Channel) => format!("\x1b[1m{plain}\x1b[0m"),
            (true, Where::Thread(_) | Where::Private | Where::PrivateThread(_)) => format!("\x1b[1;35m{plain}\x1b[0m"),
        };
        self.measure();
        self.screen.set_prompt(&plain, &styled);
        self.prompt.clone_from(&styled);
        (plain, styled)
    }

    /// The thread in which somebody types is finished: their line goes where they came from, and the prompt says so. It keeps
    /// its width, because the line editor goes on counting with it.
    fn leave_finished_thread(&mut self) {
        let next = self.next_place(self.here.clone());
        if next == self.here {
            return;
        }
        let was = words::prompt(&self.name, &self.here, &self.questions);
        let plain = words::prompt(&self.name, &next, &self.questions);
        self.here = next;
        self.draw_prompt(words::as_wide_as(&plain, &was));
        let out = self.screen.say(None, Vec::new());
        send(&out);
    }

    /// Where lines go next: out of a thread whose question is finished.
    pub fn next_place(&self, here: Where) -> Where {
        match here.question(&self.questions) {
            Some(question) if question.has_ended() && question.private => Where::Private,
            Some(question) if question.has_ended() => Where::Channel,
            Some(_) | None => here,
        }
    }

    /// The line was entered (or given up).
    pub fn left_line(&mut self, whole: bool) {
        if whole { self.screen.entered() } else { self.screen.given_up() }
    }

    /// Shows what came from the server.
    pub fn hear(&mut self, news: &FromServer, private: bool, now: Timestamp) {
        match news {
            FromServer::Message(m) if m.author == self.name && !m.bot => {}
            FromServer::Message(m) => self.show(m, private, now),
            FromServer::Edit(edited) => self.edit(edited, now),
            FromServer::Error { text } => self.note(&format!("error: {text}")),
            FromServer::Welcome { .. } => {}
        }
    }

    /// Remembers a question, for clients that only print.
    pub fn remember(&mut self, message: &Shown, private: bool) {
        let Some(asks) = &message.asks else { return };
        self.questions.retain(|q| q.confirmation != asks.confirmation);
        if self.questions.len() >= QUESTIONS {
            let oldest = self.questions.remove(0);
            self.screen.let_go(&oldest.confirmation);
            self.heads.retain(|(key, _)| *key != oldest.confirmation);
        }
        self.questions.push(Question::new(asks, message.seq, private, &message.text));
    }

    /// Takes in how a question ended, for clients that only print.
    pub fn end(&mut self, edited: &Edited) {
        for question in self.questions.iter_mut().filter(|q| q.confirmation == edited.confirmation) {
            question.end(edited);
        }
    }

    fn show(&mut self, message: &Shown, private: bool, now: Timestamp) {
        self.measure();
        self.remember(message, private);
        let head = head(message, private);
        let rows = match &message.asks {
            Some(asks) => {
                self.heads.push((asks.confirmation.clone(), head.clone()));
                let text = self.questions.last().map_or_else(String::new, |q| q.text(now));
                self.question_rows(layout::block(&head, &text, self.screen.columns()), &head, false)
            }
            None => {
                let text = format!("{}{}", self.thread_mark(message, private), message.text);
                let rows = layout::block(&head, &text, self.screen.columns());
                self.rows(rows, &head, colour(message))
            }
        };
        let out = self.screen.say(message.asks.as_ref().map(|a| a.confirmation.as_str()), rows);
        send(&out);
    }

    /// `↳ K7Q-4M9 ` before what is said in the thread of a question.
    fn thread_mark(&self, message: &Shown, private: bool) -> String {
        let Some(thread) = message.thread else { return String::new() };
        match self.questions.iter().find(|q| q.thread == thread && q.private == private) {
            Some(question) => format!("↳ {} ", question.code),
            None => "↳ ".into(),
        }
    }

    fn edit(&mut self, edited: &Edited, now: Timestamp) {
        self.end(edited);
        self.redraw(&edited.confirmation, now);
        self.screen.let_go(&edited.confirmation);
        self.leave_finished_thread();
    }

    /// Writes what changed in the questions that stand on the screen.
    pub fn tick(&mut self, now: Timestamp) {
        self.measure();
        send(&self.screen.flush());
        let open: Vec<String> =
            self.questions.iter().filter(|q| !q.has_ended()).map(|q| q.confirmation.clone()).collect();
        for key in open {
            self.redraw(&key, now);
        }
    }

    fn redraw(&mut self, key: &str, now: Timestamp) {
        let Some(count) = self.screen.count(key) else { return };
        let Some(question) = self.questions.iter().find(|q| q.confirmation == key) else { return };
        let Some((_, head)) = self.heads.iter().find(|(known, _)| known == key) else { return };
        let rows = layout::block_of(head, &question.text(now), self.screen.columns(), count);
        let rows = self.question_rows(rows, head, question.has_ended());
        let out = self.screen.rewrite(key, rows);
        send(&out);
    }

    /// Tells this person alone.
    pub fn note(&mut self, text: &str) {
        self.measure();
        let rows = layout::rows(text, self.screen.columns());
        let rows = rows.into_iter().map(|text| self.row(text.clone(), format!("\x1b[2m{text}\x1b[0m"))).collect();
        let out = self.screen.say(None, rows);
        send(&out);
    }

    fn rows(&self, rows: Vec<String>, head: &str, colour: &str) -> Vec<Row> {
        let styled = |(n, text): (usize, String)| {
            let styled = if n == 0 { styled_head(&text, head, colour) } else { text.clone() };
            self.row(text, styled)
        };
        rows.into_iter().enumerate().map(styled).collect()
    }

    /// A question stands out while it waits, and steps back when it is finished.
    fn question_rows(&self, rows: Vec<String>, head: &str, ended: bool) -> Vec<Row> {
        let styled = |(n, text): (usize, String)| {
            let styled = match (n, ended) {
                (0, false) => {
                    format!("{}\x1b[0m", styled_head(&text, head, "36").replacen("\x1b[0m", "\x1b[0m\x1b[1;33m", 2))
                }
                (0, true) => styled_head(&text, head, "36"),
                (_, true) => format!("\x1b[2m{text}\x1b[0m"),
                (_, false) if text.trim_start().starts_with("Or in its thread") => format!("\x1b[2m{text}\x1b[0m"),
                (_, false) => text.clone(),
            };
            self.row(text, styled)
        };
        rows.into_iter().enumerate().map(styled).collect()
    }

    fn row(&self, text: String, styled: String) -> Row {
        if self.colours { Row { text, styled: Some(styled) } } else { Row::plain(text) }
    }

    /// The size may change at any time.
    fn measure(&mut self) {
        let (columns, height) = terminal_size::terminal_size().map_or((80, 24), |(w, h)| (w.0, h.0));
        self.screen.size(usize::from(columns), usize::from(height));
    }
}

/// `12:00:40 squall: `
pub fn head(message: &Shown, private: bool) -> String {
    let time = message.at.get(11..19).unwrap_or_default();
    let mark = if private { " (private)" } else { "" };
    format!("{time} {}{mark}: ", message.author)
}

fn styled_head(text: &str, head: &str, colour: &str) -> String {
    match text.strip_prefix(head).zip(head.split_once(' ')) {
        Some((rest, (time, author))) => format!("\x1b[2m{time}\x1b[0m \x1b[{colour}m{author}\x1b[0m{rest}"),
        None => text.to_owned(),
    }
}

fn colour(message: &Shown) -> &'static str {
    match (message.bot, message.failed, message.kind.as_deref()) {
        (true, true, _) => "31",
        (true, false, Some("announcement")) => "33",
        (true, false, Some("result")) => "32",
        (true, false, _) => "36",
        (false, _, _) => "1",
    }
}

/// One write, so that nothing comes in between. A terminal that is gone ends the editor, not this.
fn send(out: &str) {
    if !out.is_empty() {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// What the line editor tells about the line being typed.
pub struct Watcher(pub Shared);

impl rustyline::completion::Completer for Watcher {
    type Candidate = String;
}

impl rustyline::hint::Hinter for Watcher {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _: &rustyline::Context<'_>) -> Option<String> {
        self.0.lock().screen.typed(line, pos);
        None
    }
}

impl rustyline::highlight::Highlighter for Watcher {
    /// The prompt as it is by now, which may have changed since the line was begun.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        if default { Cow::Owned(self.0.lock().prompt.clone()) } else { Cow::Borrowed(prompt) }
    }

    /// Always a full refresh, so that the row is right whoever wrote last.
    fn highlight_char(&self, line: &str, pos: usize, kind: CmdKind) -> bool {
        if kind != CmdKind::ForcedRefresh {
            self.0.lock().screen.typed(line, pos);
        }
        true
    }
}

impl rustyline::validate::Validator for Watcher {
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.0.lock().screen.entering();
        Ok(ValidationResult::Valid(None))
    }
}

impl rustyline::Helper for Watcher {}

/// Clearing the screen moves everything, so nothing on it is written anew.
pub struct Cleared(pub Shared);

impl rustyline::ConditionalEventHandler for Cleared {
    fn handle(
        &self,
        _: &rustyline::Event,
        _: rustyline::RepeatCount,
        _: bool,
        _: &rustyline::EventContext<'_>,
    ) -> Option<rustyline::Cmd> {
        self.0.lock().screen.forget();
        Some(rustyline::Cmd::ClearScreen)
    }
}
