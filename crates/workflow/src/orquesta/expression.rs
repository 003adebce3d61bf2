//! Values of a definition with expressions in them: parsed once, when the definition is loaded.
//!
//! Which language a text speaks and what it means is the matter of `squall_expr`; here its failures get the words of the
//! reference, and the inspection learns what cannot be parsed.

use super::names::Names;
use squall_expr::text::Template;
use squall_expr::{Engine, Scope, jinja, yaql};
use squall_model::Value;

/// A value that may hold expressions at any depth.
#[derive(Debug)]
pub struct Expr(Template);

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
        Expr(Template::of(value, Engine::Orquesta))
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

/// What is wrong with the expressions in a value.
pub fn problems(value: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Str(text) => text_problems(text, &mut found),
            Value::List(items) => pending.extend(items.iter().rev()),
            Value::Map(map) => {
                map.keys().for_each(|key| text_problems(key, &mut found));
                pending.extend(map.values().rev());
            }
            _ => {}
        }
    }
    found
}

fn text_problems(text: &str, found: &mut Vec<Problem>) {
    if !has_expressions(text) {
        return;
    }
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
