//! Values of a definition with expressions in them: parsed once, when the definition is loaded.
//!
//! Which language a text speaks and what it means is the matter of `squall_expr`; here its failures get the words of the
//! reference, and the inspection learns what cannot be parsed.

use super::names::Names;
use squall_expr::text::Template;
use squall_expr::{Engine, Scope, jinja, yaql};
use squall_model::{Str, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A value that may hold expressions at any depth.
#[derive(Debug, Clone)]
pub struct Expr(Arc<Template>);

/// Reads the values of one definition; what stands in it several times is read, and kept, once.
#[derive(Debug, Default)]
pub struct Reader {
    texts: HashMap<Str, Expr>,
}

impl Reader {
    /// Reads a value, as [`Expr::of`].
    pub fn read(&mut self, value: &Value) -> Expr {
        match value {
            Value::Str(text) => self.texts.entry(text.clone()).or_insert_with(|| Expr::of(value)).clone(),
            _ => Expr::of(value),
        }
    }

    /// The same for what may be absent.
    pub fn given(&mut self, value: &Value) -> Option<Expr> {
        (!value.is_null()).then(|| self.read(value))
    }
}

/// An expression that failed, in the reference's words: class, colon, sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    fn of(error: squall_expr::Error) -> Failure {
        Failure(format!("{}: {}", error.class, error.message))
    }
}

/// Whether a text may hold an expression.
fn has_expressions(text: &str) -> bool {
    text.contains("<%") || text.contains("{{") || text.contains("{%")
}

impl Expr {
    /// Reads a value. What cannot be read fails when it is evaluated.
    pub fn of(value: &Value) -> Expr {
        Expr(Arc::new(Template::of(value, Engine::Orquesta)))
    }

    /// Evaluates it.
    pub fn eval(&self, names: &Names<'_>) -> Result<Value, Failure> {
        if let Some(value) = self.0.literal() {
            return Ok(value.clone());
        }
        let scope = Scope { engine: Engine::Orquesta, data: &Value::Null, host: names, limits: names.host.limits() };
        let value = match names.definition.habits.evaluate_data {
            true => self.0.eval_again(&scope),
            false => self.0.eval(&scope),
        };
        value.map_err(Failure::of)
    }
}

/// An expression that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `yaql`, `jinja`, or nothing for a text with both.
    pub language: Option<&'static str>,
    /// The expression, delimiters included.
    pub expression: String,
    /// What is wrong.
    pub message: String,
}

/// What is wrong with the expressions in a value. Texts in `sound` are known to be right: the same few conditions stand
/// in many tasks.
pub fn problems(value: &Value, sound: &mut HashSet<Str>) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Str(text) => note_problems(text, sound, &mut found),
            Value::List(items) => pending.extend(items.iter().rev()),
            Value::Map(map) => {
                map.keys().for_each(|key| note_problems(key, sound, &mut found));
                pending.extend(map.values().rev());
            }
            _ => {}
        }
    }
    found
}

fn note_problems(text: &Str, sound: &mut HashSet<Str>, found: &mut Vec<Problem>) {
    if !has_expressions(text) || sound.contains(text) {
        return;
    }
    let before = found.len();
    text_problems(text, found);
    if found.len() == before {
        sound.insert(text.clone());
    }
}

fn text_problems(text: &str, found: &mut Vec<Problem>) {
    let yaql = pieces(text, "<%", "%>");
    let jinja = pieces(text, "{{", "}}");
    let has_blocks = !pieces(text, "{%", "%}").is_empty();
    if !yaql.is_empty() && (!jinja.is_empty() || has_blocks) {
        found.push(Problem {
            language: None,
            expression: text.into(),
            message: "Expression with multiple types is not supported.".into(),
        });
        return;
    }
    let mut note = |language, expression: &str, error: squall_expr::Error| {
        found.push(Problem { language: Some(language), expression: expression.into(), message: error.message });
    };
    for expression in yaql {
        let inner = expression.trim_matches(['<', '%', '>']).trim();
        if let Err(error) = yaql::parse(inner) {
            note("yaql", expression, error);
        }
    }
    // A text with blocks is one template; the expressions in it are part of that.
    for expression in if has_blocks { vec![text] } else { jinja } {
        // Unknown filters show only when they are used.
        if let Err(error) = jinja::Template::compile(expression, Engine::Orquesta)
            && error.class != "TemplateAssertionError"
        {
            note("jinja", expression, error);
        }
    }
}

/// The shortest texts from `open` to `close` that stay on one line.
pub fn pieces<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text.get(from..).and_then(|rest| rest.find(open)).map(|at| from + at) {
        let inner = start + open.len();
        let Some(rest) = text.get(inner..) else { break };
        let line = rest.split('\n').next().unwrap_or_default();
        match line.find(close) {
            Some(end) => {
                let end = inner + end + close.len();
                found.extend(text.get(start..end));
                from = end;
            }
            None => from = start + 1,
        }
    }
    found
}
