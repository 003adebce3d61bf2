//! `squall eval`, `squall rule test`, `squall action render`: expressions and matchers without a server.

use crate::exit::{Done, Stop};
use crate::output::Form;
use clap::{Args, Subcommand, ValueEnum};
use squall_model::{Value, from_json};
use std::io::{BufRead, Read, Write};

/// Evaluate an expression.
#[derive(Args)]
pub struct Eval {
    /// The expression: YAQL, Jinja or a text that holds some.
    #[arg(required_unless_present = "batch")]
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
    /// Read JSON lines from standard input, write one for each.
    #[arg(long)]
    batch: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Lang {
    Yaql,
    Jinja,
    Text,
}

#[derive(Clone, Copy, ValueEnum)]
enum Rules {
    Mistral,
    Orquesta,
    St2,
    St2Lax,
    Values,
}

impl Eval {
    pub fn run(&self, form: Form) -> Done {
        if self.batch {
            return batch(squall_expr::batch::eval);
        }
        let data = match self.data.as_deref() {
            None => Value::map(),
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text)?;
                read_data("standard input", &text)?
            }
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| Stop::Failed(format!("{path}: {e}")))?;
                read_data(path, &text)?
            }
        };
        let name = |v: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            v().map(|p| p.get_name().to_owned()).unwrap_or_default()
        };
        let line = Value::from_pairs([
            ("lang", Value::from(name(&|| self.lang.to_possible_value()))),
            ("engine", name(&|| self.engine.to_possible_value()).into()),
            ("expr", self.expr.clone().into()),
            ("data", data),
        ]);
        let answer = Value::from(&squall_expr::batch::eval(&serde_json::Value::from(&line)));
        match answer.get("value") {
            Some(value) => {
                form.print(value, || match value {
                    Value::Str(text) => text.to_string(),
                    other => squall_model::to_json_pretty(other),
                });
                Ok(())
            }
            None => {
                let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                Err(Stop::Failed(format!("{}: {}", text("error"), text("message"))))
            }
        }
    }
}

fn read_data(name: &str, text: &str) -> Result<Value, Stop> {
    if let Ok(value) = from_json(text, true) {
        return Ok(value);
    }
    squall_yaml::parse(text, &Default::default())
        .map(|document| document.root.to_value())
        .map_err(|e| Stop::Failed(format!("{name} is neither JSON nor YAML: {e}")))
}

#[derive(Subcommand)]
pub enum Rule {
    /// Test operators and criteria of rules.
    Test {
        /// Read JSON lines from standard input, write one for each.
        #[arg(long, required = true)]
        batch: bool,
    },
}

impl Rule {
    pub fn run(&self) -> Done {
        batch(squall_expr::batch::rule_test)
    }
}

#[derive(Subcommand)]
pub enum Action {
    /// Render and cast parameters.
    Render {
        /// Read JSON lines from standard input, write one for each.
        #[arg(long, required = true)]
        batch: bool,
    },
}

impl Action {
    pub fn run(&self) -> Done {
        batch(squall_expr::batch::action_render)
    }
}

/// Answers each line of standard input with one line; a line that cannot be read does not stop the rest.
pub fn batch(answer: impl Fn(&serde_json::Value) -> serde_json::Value) -> Done {
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
