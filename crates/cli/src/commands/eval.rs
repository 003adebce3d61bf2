//! `squall eval`: expressions without a server, once, interactively or as a batch.

use super::repl;
use crate::exit::{Done, Stop};
use crate::output::{Form, shown};
use clap::{Args, ValueEnum};
use squall_expr::{Error, Limits, batch};
use squall_model::{Value, from_json};
use std::io::{BufRead, Read, Write};

/// Evaluate an expression.
#[derive(Args)]
pub struct Eval {
    /// The expression: YAQL, Jinja or a text that holds some.
    #[arg(required_unless_present_any = ["batch", "repl"])]
    expr: Option<String>,
    /// What it is written in; a text with expressions inside when it is left out.
    #[arg(long, value_enum, default_value_t = Lang::Text)]
    lang: Lang,
    /// Whose rules it follows.
    #[arg(long, value_enum, default_value_t = Rules::Orquesta)]
    engine: Rules,
    /// A JSON or YAML file with the data that it works on; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    data: Option<String>,
    /// Bound what one evaluation may cost: steps, bytes, output, depth or recursion. May be given several times.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// Read expressions line by line, with history and completion when this is a terminal.
    #[arg(long, conflicts_with_all = ["batch", "expr"])]
    repl: bool,
    /// Read JSON lines from standard input, write one for each.
    #[arg(long)]
    batch: bool,
}

/// The languages.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    Yaql,
    Jinja,
    Text,
}

/// Whose options and functions hold.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rules {
    Mistral,
    Orquesta,
    St2,
    St2Lax,
    Values,
}

/// The name by which a choice is typed.
pub fn name_of(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|p| p.get_name().to_owned()).unwrap_or_default()
}

impl Eval {
    pub fn run(&self, form: Form) -> Done {
        let limits = limits(&self.limits)?;
        if self.batch {
            return run_batch(|line| batch::eval_within(line, &limits));
        }
        let data = match self.data.as_deref() {
            None => Value::map(),
            Some("-") if self.repl => {
                return Err(Stop::Usage("`--data -` and `--repl` both want standard input".to_owned()));
            }
            Some(path) => read_file(path)?,
        };
        if self.repl {
            return repl::Repl { lang: self.lang, engine: self.engine, data, limits }.run();
        }
        let expr = self.expr.as_deref().unwrap_or_default();
        let value =
            evaluate(self.lang, self.engine, expr, &data, &limits).map_err(|error| Stop::Failed(told(expr, &error)))?;
        form.print(&value, || match &value {
            Value::Str(text) => text.to_string(),
            other => squall_model::to_json_pretty(other),
        });
        Ok(())
    }
}

/// Evaluates one expression.
pub fn evaluate(lang: Lang, engine: Rules, expr: &str, data: &Value, limits: &Limits) -> Result<Value, Error> {
    if engine == Rules::Values {
        let wrong = |what: String| Error::new("BadLine", what);
        let mapping =
            from_json(expr, true).map_err(|e| wrong(format!("`--engine values` takes a JSON object: {e}")))?;
        let mapping = mapping.as_map().ok_or_else(|| wrong("`--engine values` takes a JSON object".to_owned()))?;
        let context = Value::from_pairs([
            ("lang", Value::from("jinja")),
            ("engine", "values".into()),
            ("expr", mapping.clone().into()),
            ("data", data.clone()),
        ]);
        let answer = Value::from(&batch::eval_within(&serde_json::Value::from(&context), limits));
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        return answer.get("value").cloned().ok_or_else(|| Error::new(text("error"), text("message")));
    }
    batch::evaluate(&name_of(lang), &name_of(engine), expr, data, limits)
}

/// What went wrong, and under the very place where it did.
pub fn told(expr: &str, error: &Error) -> String {
    let mut text = format!("{}: {}", error.class, shown(&error.message));
    if let Some(span) = &error.span
        && span.start <= expr.len()
        && expr.is_char_boundary(span.start)
    {
        let start = expr[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let line = expr[start..].lines().next().unwrap_or_default();
        let number = expr[..start].matches('\n').count() + 1;
        let before = expr[start..span.start].chars().count();
        let width = expr.get(span.clone()).map_or(1, |part| part.lines().next().unwrap_or_default().chars().count());
        let bar = " ".repeat(number.to_string().len());
        text.push_str(&format!(
            "\n {number} │ {}\n {bar} · {}{}",
            shown(line),
            " ".repeat(before),
            "^".repeat(width.max(1))
        ));
    }
    if &*error.class == "ResourceLimit" {
        text.push_str("\n  help: `--limit NAME=NUMBER` sets another bound");
    }
    text
}

/// The bounds given by `--limit`, the usual ones otherwise.
pub fn limits(given: &[String]) -> Result<Limits, Stop> {
    let mut limits = Limits::default();
    for one in given {
        limits.set_written(one).map_err(|why| Stop::Usage(format!("--limit {one}: {why}")))?;
    }
    Ok(limits)
}

/// Reads a JSON or YAML file; `-` is standard input.
pub fn read_file(path: &str) -> Result<Value, Stop> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        return read_data("standard input", &text);
    }
    let text = std::fs::read_to_string(path).map_err(|e| Stop::Failed(format!("{path}: {e}")))?;
    read_data(path, &text)
}

fn read_data(name: &str, text: &str) -> Result<Value, Stop> {
    if let Ok(value) = from_json(text, true) {
        return Ok(value);
    }
    squall_yaml::parse(text, &Default::default())
        .map(|document| document.root.to_value())
        .map_err(|e| Stop::Failed(format!("{name} is neither JSON nor YAML: {e}")))
}

/// Answers each line of standard input with one line; a line that cannot be read does not stop the rest.
pub fn run_batch(answer: impl Fn(&serde_json::Value) -> serde_json::Value) -> Done {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answered = match serde_json::from_str::<serde_json::Value>(&line) {
            Ok(question) if question.is_object() => answer(&question),
            Ok(_) => bad_line("not an object"),
            Err(error) => bad_line(&error.to_string()),
        };
        writeln!(out, "{answered}")?;
        out.flush()?;
    }
    Ok(())
}

fn bad_line(message: &str) -> serde_json::Value {
    serde_json::json!({"id": null, "error": "BadLine", "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lang: Lang, engine: Rules, expr: &str, expected: &str) {
        let error = evaluate(lang, engine, expr, &Value::map(), &Limits::default()).expect_err("must fail");
        assert_eq!(told(expr, &error), expected);
    }

    #[test]
    fn the_place_is_shown() {
        check(
            Lang::Yaql,
            Rules::Mistral,
            "$.a +",
            "YaqlGrammarException: Parse error: unexpected end of statement\n 1 │ $.a +\n   ·      ^",
        );
        check(
            Lang::Jinja,
            Rules::St2,
            "a\n{{ x | nope }}",
            "TemplateAssertionError: No filter named 'nope'.\n 2 │ {{ x | nope }}\n   ·        ^^^^",
        );
    }

    #[test]
    fn a_place_in_a_text_is_a_place_of_the_text() {
        let text = "é <% 1 %> <% 1 ! 2 %>";
        let error =
            evaluate(Lang::Text, Rules::Mistral, text, &Value::map(), &Limits::default()).expect_err("must fail");
        assert!(
            told(text, &error).ends_with(&format!("\n 1 │ {text}\n   · {}^", " ".repeat(15))),
            "{}",
            told(text, &error)
        );
    }

    #[test]
    fn bounds_are_named() {
        let bounds = limits(&["steps=1_00".to_owned()]).expect("a bound");
        let error =
            evaluate(Lang::Yaql, Rules::Mistral, "range(1000).sum()", &Value::map(), &bounds).expect_err("must fail");
        assert!(
            told("", &error)
                .starts_with("ResourceLimit: expression too expensive: more than 100 steps (limit `steps`)")
        );
        let refused = limits(&["speed=1".to_owned()]).expect_err("no such bound").to_string();
        assert_eq!(
            refused,
            "--limit speed=1: there is no bound `speed`; there are steps, time, bytes, output, depth, recursion"
        );
    }
}
