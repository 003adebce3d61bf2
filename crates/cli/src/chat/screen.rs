//! What stands on the terminal: rows that were printed, and below them the line being typed, which nothing disturbs.
//!
//! The line editor owns the prompt; it tells here what is typed and where the cursor is before it draws. So a message can be put above
//! the prompt, and a row above it can be written anew, with the cursor back where it was. All of that is one write.
//!
//! A row can be changed while it is on the screen and the width is the one that it was written for; otherwise it stays as it is.
//!
//! Everything here is text in, escapes out; the caller sends them.

use super::layout;
use std::fmt::Write as _;

/// A row with its look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is written, plain.
    pub text: String,
    /// The same with colours, when there are some.
    pub styled: Option<String>,
}

impl Row {
    /// A row without colours.
    pub fn plain(text: impl Into<String>) -> Row {
        Row { text: text.into(), styled: None }
    }

    fn shown(&self) -> &str {
        self.styled.as_deref().unwrap_or(&self.text)
    }
}

/// Rows that may be written anew.
#[derive(Debug)]
struct Standing {
    key: String,
    top: u64,
    rows: Vec<Row>,
}

/// The screen.
#[derive(Debug, Default)]
pub struct Screen {
    columns: usize,
    height: usize,
    /// Rows printed so far; the prompt stands below.
    printed: u64,
    standing: Vec<Standing>,
    prompt: (String, String),
    /// What is typed and where the cursor is in it (bytes); `None` while nobody types.
    line: Option<(String, usize)>,
    /// The line is being entered: the editor writes, and nobody else.
    entering: bool,
    /// What is written meanwhile.
    waiting: Vec<(Option<String>, Vec<Row>)>,
}

impl Screen {
    /// Takes in how large the terminal is. Rows of another width stay as they are.
    pub fn size(&mut self, columns: usize, height: usize) {
        if columns != self.columns {
            self.standing.clear();
        }
        (self.columns, self.height) = (columns.max(1), height.max(1));
    }

    /// How wide it is.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Nothing that was printed is where it was: the screen was cleared.
    pub fn forget(&mut self) {
        self.standing.clear();
    }

    /// The prompt from now on, plain and with colours.
    pub fn set_prompt(&mut self, plain: &str, styled: &str) {
        self.prompt = (plain.to_owned(), styled.to_owned());
    }

    /// What is typed now; the editor is about to draw it.
    pub fn typed(&mut self, line: &str, cursor: usize) {
        self.line = Some((line.to_owned(), cursor));
        self.entering = false;
    }

    /// The editor is about to leave the line.
    pub fn entering(&mut self) {
        self.entering = true;
    }

    /// The line was entered: it is part of what was printed, and nobody types until the next prompt.
    pub fn entered(&mut self) {
        if let Some((line, _)) = self.line.take() {
            let (row, _) = layout::after(&format!("{}{line}", self.prompt.0), self.columns);
            self.printed += row as u64 + 1;
        }
    }

    /// The line was given up where the cursor stood.
    pub fn given_up(&mut self) {
        if let Some((line, cursor)) = self.line.take() {
            let (row, _) = self.cursor(&line, cursor);
            self.printed += row as u64 + 1;
        }
    }

    fn is_quiet(&self) -> bool {
        self.line.is_none() || self.entering
    }

    /// Rows above the prompt; with a key they can be written anew later. Answers what is to be sent to the terminal.
    pub fn say(&mut self, key: Option<&str>, rows: Vec<Row>) -> String {
        if self.is_quiet() {
            self.waiting.push((key.map(str::to_owned), rows));
            return String::new();
        }
        let mut out = self.clear();
        self.print(key, rows, &mut out);
        self.draw(&mut out);
        out
    }

    /// What was said while nobody typed.
    pub fn flush(&mut self) -> String {
        if self.is_quiet() || self.waiting.is_empty() {
            return String::new();
        }
        let mut out = self.clear();
        for (key, rows) in std::mem::take(&mut self.waiting) {
            self.print(key.as_deref(), rows, &mut out);
        }
        self.draw(&mut out);
        out
    }

    fn print(&mut self, key: Option<&str>, rows: Vec<Row>, out: &mut String) {
        for row in &rows {
            out.push_str(row.shown());
            out.push_str("\r\n");
        }
        let top = self.printed;
        self.printed += rows.len() as u64;
        if let Some(key) = key {
            self.standing.retain(|s| s.key != key);
            self.standing.push(Standing { key: key.to_owned(), top, rows });
        }
    }

    /// How many rows stand under that key.
    pub fn count(&self, key: &str) -> Option<usize> {
        self.standing.iter().find(|s| s.key == key).map(|s| s.rows.len())
    }

    /// Nothing more will be written under that key.
    pub fn let_go(&mut self, key: &str) {
        self.standing.retain(|s| s.key != key);
    }

    /// Writes rows anew where they stand, as far as they can be seen. The line being typed stays as it is.
    pub fn rewrite(&mut self, key: &str, rows: Vec<Row>) -> String {
        let Some((line, cursor)) = self.line.clone().filter(|_| !self.entering) else { return String::new() };
        let (row, column) = self.cursor(&line, cursor);
        let (printed, height) = (self.printed, self.height as u64);
        let Some(standing) = self.standing.iter_mut().find(|s| s.key == key) else { return String::new() };
        let mut out = String::new();
        for (at, (old, new)) in standing.rows.iter_mut().zip(rows).enumerate() {
            let up = printed - (standing.top + at as u64) + row as u64;
            if *old == new || up >= height {
                continue;
            }
            let _ = write!(out, "\x1b[{up}A\r\x1b[2K{}\x1b[{up}B\r", new.shown());
            *old = new;
        }
        if out.is_empty() {
            return out;
        }
        if column > 0 {
            let _ = write!(out, "\x1b[{column}C");
        }
        format!("\x1b[?25l{out}\x1b[?25h")
    }

    fn cursor(&self, line: &str, cursor: usize) -> (usize, usize) {
        let before = line.get(..cursor).unwrap_or(line);
        layout::after(&format!("{}{before}", self.prompt.0), self.columns)
    }

    /// Takes the prompt and the line away; the cursor stands where the prompt began.
    fn clear(&self) -> String {
        let Some((line, cursor)) = &self.line else { return String::new() };
        let (row, _) = self.cursor(line, *cursor);
        if row > 0 { format!("\x1b[{row}A\r\x1b[J") } else { "\r\x1b[J".into() }
    }

    /// Draws the prompt and the line as the editor does.
    fn draw(&self, out: &mut String) {
        let Some((line, cursor)) = &self.line else { return };
        out.push_str(&self.prompt.1);
        out.push_str(&line.replace('\n', "\r\n"));
        let end = layout::after(&format!("{}{line}", self.prompt.0), self.columns);
        if end.1 == 0 && end.0 > 0 && !line.ends_with('\n') {
            out.push_str("\r\n");
        }
        let (row, column) = self.cursor(line, *cursor);
        if end.0 > row {
            let _ = write!(out, "\x1b[{}A", end.0 - row);
        }
        out.push('\r');
        if column > 0 {
            let _ = write!(out, "\x1b[{column}C");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal as far as these escapes need one.
    struct Terminal {
        rows: Vec<Vec<char>>,
        at: (usize, usize),
        columns: usize,
    }

    impl Terminal {
        fn new(columns: usize, height: usize) -> Terminal {
            Terminal { rows: vec![vec![' '; columns]; height], at: (0, 0), columns }
        }

        fn feed(&mut self, text: &str) {
            let mut rest = text.chars().peekable();
            while let Some(c) = rest.next() {
                match c {
                    '\r' => self.at.1 = 0,
                    '\n' if self.at.0 + 1 == self.rows.len() => {
                        self.rows.remove(0);
                        self.rows.push(vec![' '; self.columns]);
                    }
                    '\n' => self.at.0 += 1,
                    '\x1b' => {
                        assert_eq!(rest.next(), Some('['));
                        let mut number = String::new();
                        let end = loop {
                            match rest.next().unwrap() {
                                c if c.is_ascii_alphabetic() => break c,
                                c => number.push(c),
                            }
                        };
                        let n = number.parse().unwrap_or(1);
                        match end {
                            'A' => self.at.0 = self.at.0.saturating_sub(n),
                            'B' => self.at.0 = (self.at.0 + n).min(self.rows.len() - 1),
                            'C' => self.at.1 += n,
                            'K' => self.rows[self.at.0].fill(' '),
                            'J' => {
                                self.rows[self.at.0][self.at.1..].fill(' ');
                                self.rows.iter_mut().skip(self.at.0 + 1).for_each(|r| r.fill(' '));
                            }
                            'h' | 'l' => {}
                            other => panic!("{other}"),
                        }
                    }
                    c => {
                        if self.at.1 == self.columns {
                            self.feed("\r\n");
                        }
                        self.rows[self.at.0][self.at.1] = c;
                        self.at.1 += 1;
                    }
                }
            }
        }

        fn shown(&self) -> String {
            let lines: Vec<String> =
                self.rows.iter().map(|r| r.iter().collect::<String>().trim_end().to_owned()).collect();
            format!("{} @{},{}", lines.join("\n").trim_end(), self.at.0, self.at.1)
        }
    }

    fn rows(texts: &[&str]) -> Vec<Row> {
        texts.iter().map(|t| Row::plain(*t)).collect()
    }

    /// A screen on a terminal with a line being typed.
    fn typing(columns: usize, height: usize, line: &str, cursor: usize) -> (Screen, Terminal) {
        let (mut screen, mut terminal) = (Screen::default(), Terminal::new(columns, height));
        screen.size(columns, height);
        screen.set_prompt("al> ", "al> ");
        screen.typed(line, cursor);
        let mut out = String::new();
        screen.draw(&mut out);
        terminal.feed(&out);
        (screen, terminal)
    }

    #[test]
    fn a_message_stands_above_the_line_being_typed() {
        let (mut screen, mut terminal) = typing(20, 6, "hello", 2);
        terminal.feed(&screen.say(None, rows(&["one", "two"])));
        assert_eq!(terminal.shown(), "one\ntwo\nal> hello @2,6");
    }

    #[test]
    fn a_countdown_does_not_touch_the_line_being_typed() {
        let (mut screen, mut terminal) = typing(20, 8, "", 0);
        terminal.feed(&screen.say(Some("q"), rows(&["question", "60 s"])));
        terminal.feed(&screen.say(None, rows(&["other"])));
        let mut out = screen.clear();
        screen.typed("long words that wrap here", 25);
        screen.draw(&mut out);
        terminal.feed(&out);
        let before = terminal.shown();
        terminal.feed(&screen.rewrite("q", rows(&["question", "59 s"])));
        assert_eq!(terminal.shown(), before.replace("60 s", "59 s"));
        assert_eq!(screen.rewrite("q", rows(&["question", "59 s"])), "", "nothing changed, nothing is written");
    }

    #[test]
    fn what_scrolled_out_stays_as_it_was() {
        let (mut screen, mut terminal) = typing(20, 4, "x", 1);
        terminal.feed(&screen.say(Some("q"), rows(&["question", "60 s"])));
        terminal.feed(&screen.say(None, rows(&["a", "b"])));
        terminal.feed(&screen.rewrite("q", rows(&["done", "59 s"])));
        assert_eq!(terminal.shown(), "59 s\na\nb\nal> x @3,5");
    }

    #[test]
    fn what_is_said_while_nobody_types_waits_for_the_next_prompt() {
        let (mut screen, mut terminal) = typing(20, 8, "hi", 2);
        terminal.feed(&screen.say(Some("q"), rows(&["question"])));
        screen.entered();
        terminal.feed("\r\n");
        assert_eq!(screen.say(None, rows(&["late"])), "");
        screen.typed("", 0);
        let mut out = String::new();
        screen.draw(&mut out);
        terminal.feed(&out);
        terminal.feed(&screen.flush());
        terminal.feed(&screen.rewrite("q", rows(&["finished"])));
        assert_eq!(terminal.shown(), "finished\nal> hi\nlate\nal> @3,4");
    }

    #[test]
    fn a_full_row_is_left_as_the_editor_leaves_it() {
        let (mut screen, mut terminal) = typing(10, 6, "123456", 6);
        terminal.feed(&screen.say(None, rows(&["above"])));
        assert_eq!(terminal.shown(), "above\nal> 123456 @2,0");
    }

    #[test]
    fn another_width_forgets_what_stands() {
        let (mut screen, mut terminal) = typing(20, 6, "", 0);
        terminal.feed(&screen.say(Some("q"), rows(&["question"])));
        screen.size(30, 6);
        assert_eq!(screen.rewrite("q", rows(&["changed"])), "");
    }
}
