//! `squall eval --repl`: one expression after the other. In a terminal with history, completion of names, and lines that go
//! on while something is open; otherwise plain lines, so that a file of expressions can be piped in.

use super::eval::{self, Lang, Rules, name_of};
use crate::exit::{Done, Stop};
use crate::output::{say, shown};
use clap::ValueEnum;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};
use squall_expr::{Engine, Limits, jinja, yaql};
use squall_model::{Value, to_json, to_json_pretty};
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

const HELP: &str = "\
An expression gives its value. Commands begin with a colon:
  :lang yaql|jinja|text                      what is typed
  :engine orquesta|mistral|st2|st2-lax       whose rules it follows
  :data FILE                                 what it works on, JSON or YAML
  :names [PART]                              functions and filters with PART in their name
  :help  :quit                               Ctrl-D leaves too; Tab completes names
What is not closed yet (a bracket, a quote, a block) goes on in the next line; an empty line ends it.";

/// The commands, for completion.
const COMMANDS: &[&str] = &[":data", ":engine", ":help", ":lang", ":names", ":quit"];

/// A value that is longer than this on one line is printed on several.
const WIDE: usize = 78;

/// What the lines that are typed work with.
pub struct Repl {
    pub lang: Lang,
    pub engine: Rules,
    pub data: Value,
    pub limits: Limits,
}

impl Repl {
    pub fn run(mut self) -> Done {
        if self.engine == Rules::Values {
            return Err(Stop::Usage("`--engine values` renders whole objects; use another engine here".to_owned()));
        }
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb {
            return self.interactive();
        }
        for line in std::io::stdin().lock().lines() {
            if !self.answer(&line?) {
                break;
            }
        }
        Ok(())
    }

    fn interactive(&mut self) -> Done {
        let config = Config::builder().auto_add_history(true).max_history_size(1_000).map_err(failed)?.build();
        let mut editor: Editor<Names, FileHistory> = Editor::with_config(config).map_err(failed)?;
        let history = history_file();
        if let Some(path) = &history {
            // The first start has none.
            drop(editor.load_history(path));
        }
        say(&format!(
            "{} under the rules of {}. `:help` lists the commands.",
            name_of(self.lang),
            name_of(self.engine)
        ));
        loop {
            editor.set_helper(Some(Names { names: self.names(), lang: self.lang }));
            match editor.readline(&format!("{}> ", name_of(self.lang))) {
                Ok(line) if self.answer(&line) => {}
                Ok(_) | Err(ReadlineError::Eof) => break,
                Err(ReadlineError::Interrupted) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if let Some(path) = &history
            && path.parent().is_some_and(|folder| std::fs::create_dir_all(folder).is_ok())
        {
            // A history that cannot be kept is no reason to fail.
            drop(editor.save_history(path));
        }
        Ok(())
    }

    /// Answers a line; false when it was the last.
    fn answer(&mut self, line: &str) -> bool {
        let line = line.trim();
        match line.strip_prefix(':') {
            _ if line.is_empty() => {}
            Some("q" | "quit" | "exit") => return false,
            Some(command) => match self.command(command) {
                Ok(text) => say(&text),
                Err(text) => say(&format!("error: {text}")),
            },
            None => match eval::evaluate(self.lang, self.engine, line, &self.data, &self.limits) {
                Ok(value) => say(&printed(&value)),
                Err(error) => say(&format!("error: {}", eval::told(line, &error))),
            },
        }
        true
    }

    fn command(&mut self, command: &str) -> Result<String, String> {
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "lang" => {
                self.lang = Lang::from_str(rest, true).map_err(|_| "`:lang` takes yaql, jinja or text".to_owned())?;
                Ok(format!("lines are {} now", name_of(self.lang)))
            }
            "engine" => {
                let engine = Rules::from_str(rest, true).ok().filter(|engine| *engine != Rules::Values);
                self.engine = engine.ok_or("`:engine` takes orquesta, mistral, st2 or st2-lax")?;
                Ok(format!("the rules are those of {} now", name_of(self.engine)))
            }
            "data" if rest.is_empty() => Ok(printed(&self.data)),
            "data" => {
                self.data = eval::read_file(rest).map_err(|stop| stop.to_string())?;
                Ok(printed(&self.data))
            }
            "names" => {
                let names = self.names();
                let found: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.contains(rest)).collect();
                if found.is_empty() { Err(format!("no name contains `{rest}`")) } else { Ok(found.join(" ")) }
            }
            "help" | "h" | "?" => Ok(HELP.to_owned()),
            other => Err(format!("there is no command `:{other}`; `:help` lists them")),
        }
    }

    /// Names that can be completed: functions of the language and keys of the data.
    fn names(&self) -> Vec<String> {
        let engine = match self.engine {
            Rules::Mistral => Engine::Mistral,
            Rules::Orquesta => Engine::Orquesta,
            Rules::St2Lax => Engine::StackLax,
            Rules::St2 | Rules::Values => Engine::Stack,
        };
        let mut names: Vec<String> = Vec::new();
        if self.lang != Lang::Jinja {
            names.extend(yaql::names().into_iter().filter(|n| !n.starts_with('#')).map(str::to_owned));
        }
        if self.lang != Lang::Yaql {
            names.extend(jinja::vocabulary(engine).into_iter().map(str::to_owned));
        }
        let shared = squall_expr::functions::TABLE.iter().map(|f| f.name);
        names.extend(shared.filter(|n| squall_expr::functions::find(n, engine).is_some()).map(str::to_owned));
        if engine == Engine::Orquesta {
            names.extend(
                ["ctx", "item", "task_status", "succeeded", "failed", "completed", "result"].map(str::to_owned),
            );
        }
        keys(&self.data, &mut names, 0);
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Keys of the data that can be written as names, down to a few levels.
fn keys(value: &Value, names: &mut Vec<String>, depth: u32) {
    let plain = |key: &str| key.chars().all(|c| c == '_' || c.is_alphanumeric());
    match value {
        Value::Map(map) if depth < 4 && names.len() < 10_000 => {
            for (key, value) in map.iter() {
                if plain(key) {
                    names.push(key.to_string());
                }
                keys(value, names, depth + 1);
            }
        }
        Value::List(items) if depth < 4 => items.iter().take(3).for_each(|item| keys(item, names, depth + 1)),
        _ => {}
    }
}

/// A value as JSON, so that the text `1` and the number 1 look different; on one line where it fits.
fn printed(value: &Value) -> String {
    let flat = to_json(value);
    let text = if flat.chars().count() <= WIDE { flat } else { to_json_pretty(value) };
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

fn failed(error: impl std::fmt::Display) -> Stop {
    Stop::Failed(error.to_string())
}

/// `$XDG_STATE_HOME/squall/eval-history`, where programs keep such things.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    state.map(|folder| folder.join("squall/eval-history"))
}

/// Completes the name that is being typed.
struct Names {
    names: Vec<String>,
    lang: Lang,
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let head = &line[..at];
        let pair = |name: &str| Pair { display: name.to_owned(), replacement: name.to_owned() };
        if head.starts_with(':') && !head.contains(' ') {
            return Ok((0, COMMANDS.iter().filter(|name| name.starts_with(head)).map(|name| pair(name)).collect()));
        }
        let start = head
            .rfind(|c: char| c != '_' && !c.is_alphanumeric())
            .map_or(0, |i| i + head[i..].chars().next().map_or(1, char::len_utf8));
        let word = &head[start..];
        let fits = |name: &&String| !word.is_empty() && name.starts_with(word);
        Ok((start, self.names.iter().filter(fits).map(|name| pair(name)).collect()))
    }
}

impl Hinter for Names {
    type Hint = String;
}

impl Highlighter for Names {}

impl Validator for Names {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let goes_on = goes_on(self.lang, context.input());
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

/// Whether something is still open at the end of what was typed.
fn goes_on(lang: Lang, text: &str) -> bool {
    if text.trim_start().starts_with(':') || text.ends_with('\n') {
        return false;
    }
    if lang == Lang::Yaql {
        return is_open(text);
    }
    let error = jinja::Template::compile(text, Engine::Stack).err();
    error.is_some_and(|e| e.message.contains("nexpected end of template") || e.message.starts_with("Missing end of"))
}

/// Whether a bracket or a quote of an expression is open.
fn is_open(text: &str) -> bool {
    let (mut depth, mut quote, mut chars) = (0_i64, None, text.chars());
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, _) => {}
        }
    }
    depth > 0 || quote.is_some()
}

impl Helper for Names {}

#[cfg(test)]
mod tests {
    use super::*;

    fn repl() -> Repl {
        let data = squall_model::from_json(r#"{"hosts": [{"name": "web1"}], "n": 1}"#, false).expect("JSON");
        Repl { lang: Lang::Yaql, engine: Rules::Mistral, data, limits: Limits::default() }
    }

    #[track_caller]
    fn completed(line: &str, expected: &[&str]) {
        let names = Names { names: repl().names(), lang: Lang::Yaql };
        let history = rustyline::history::DefaultHistory::new();
        let (_, found) = names.complete(line, line.len(), &Context::new(&history)).expect("no terminal is needed");
        let found: Vec<String> = found.into_iter().map(|pair| pair.replacement).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_of_functions_and_data_are_completed() {
        completed("$.hosts.selectM", &["selectMany"]);
        completed("$.ho", &["hosts"]);
        completed("é.groupB", &["groupBy"]);
        completed("$.", &[]);
    }

    #[test]
    fn commands_say_what_holds_now() {
        let mut repl = repl();
        assert_eq!(repl.command("lang jinja"), Ok("lines are jinja now".to_owned()));
        assert_eq!(repl.command("engine st2"), Ok("the rules are those of st2 now".to_owned()));
        assert_eq!(repl.command("engine values"), Err("`:engine` takes orquesta, mistral, st2 or st2-lax".to_owned()));
        assert_eq!(repl.command("names regex_s"), Ok("regex_search regex_substring".to_owned()));
        assert_eq!(repl.command("what"), Err("there is no command `:what`; `:help` lists them".to_owned()));
        assert!(repl.answer(":help") && !repl.answer(":quit"));
    }

    #[test]
    fn what_is_open_goes_on() {
        for (lang, open) in [
            (Lang::Yaql, "$.hosts.select("),
            (Lang::Yaql, "{a => 'x"),
            (Lang::Jinja, "{% for h in hosts %}"),
            (Lang::Jinja, "{{ hosts |"),
            (Lang::Jinja, "{# a note"),
        ] {
            assert!(goes_on(lang, open), "{open}");
            assert!(!goes_on(lang, &format!("{open}\n")), "an empty line ends it");
        }
        for (lang, closed) in [
            (Lang::Yaql, "$.hosts.len()"),
            (Lang::Yaql, "'(' + \"[\""),
            (Lang::Yaql, "1)"),
            (Lang::Jinja, "{{ a }} {"),
            (Lang::Jinja, "{{ a b }}"),
            (Lang::Text, "up: <% $.up %>"),
            (Lang::Yaql, ":names ("),
        ] {
            assert!(!goes_on(lang, closed), "{closed}");
        }
    }
}
