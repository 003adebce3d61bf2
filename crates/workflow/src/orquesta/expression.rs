//! Values of a definition with expressions in them: parsed once, when the definition is loaded.
//!
//! A text without an expression is a constant, and so is everything made of constants. Keys of maps are
//! evaluated, as the reference does. Which language a text speaks, and what it means, is `squall_expr`'s matter.

use super::leaf::Template;
use super::names::Names;
use squall_expr::{Engine, Limits, Scope};
use squall_model::{Map, Str, Value};
use std::sync::{Arc, LazyLock};

static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

/// How deep values nest; deeper ones are taken as they are.
const MAX_DEPTH: u32 = 200;

/// A value that may hold expressions at any depth.
#[derive(Debug, Clone)]
pub enum Expr {
    /// Nothing to evaluate.
    Constant(Value),
    /// A text with expressions.
    Text(Arc<Template>),
    /// A text that cannot be read; it fails when it is evaluated.
    Broken(Failure),
    /// A list of which some member is no constant.
    List(Vec<Expr>),
    /// A map of which some key or member is no constant.
    Map(Vec<(Expr, Expr)>),
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
    /// Reads a value.
    pub fn of(value: &Value) -> Expr {
        Expr::within(value, 0)
    }

    fn within(value: &Value, depth: u32) -> Expr {
        match value {
            _ if depth > MAX_DEPTH => Expr::Constant(value.clone()),
            Value::Str(text) => Expr::text(text),
            Value::List(items) => {
                let items: Vec<Expr> = items.iter().map(|item| Expr::within(item, depth + 1)).collect();
                match items.iter().all(Expr::is_constant) {
                    true => Expr::Constant(value.clone()),
                    false => Expr::List(items),
                }
            }
            Value::Map(map) => {
                let pair = |(k, v): (&Str, &Value)| (Expr::text(k), Expr::within(v, depth + 1));
                let pairs: Vec<(Expr, Expr)> = map.iter().map(pair).collect();
                match pairs.iter().all(|(k, v)| k.is_constant() && v.is_constant()) {
                    true => Expr::Constant(value.clone()),
                    false => Expr::Map(pairs),
                }
            }
            _ => Expr::Constant(value.clone()),
        }
    }

    fn text(text: &Str) -> Expr {
        if !has_expressions(text) {
            return Expr::Constant(Value::Str(text.clone()));
        }
        match Template::compile(text, Engine::Orquesta) {
            Ok(template) => Expr::Text(Arc::new(template)),
            Err(error) => Expr::Broken(Failure::of(error)),
        }
    }

    fn is_constant(&self) -> bool {
        matches!(self, Expr::Constant(_))
    }

    /// Evaluates it.
    pub fn eval(&self, names: &Names<'_>) -> Result<Value, Failure> {
        match self {
            Expr::Constant(value) => Ok(value.clone()),
            Expr::Broken(failure) => Err(failure.clone()),
            Expr::Text(template) => {
                let scope = Scope { engine: Engine::Orquesta, data: &Value::Null, host: names, limits: &LIMITS };
                template.eval(&scope).map_err(Failure::of)
            }
            Expr::List(items) => {
                let items: Result<Vec<Value>, Failure> = items.iter().map(|item| item.eval(names)).collect();
                Ok(Value::from(items?))
            }
            Expr::Map(pairs) => {
                let mut map = Map::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let key = match key.eval(names)? {
                        Value::Str(key) => key,
                        other => squall_expr::python::str(&other).into(),
                    };
                    map.insert(key, value.eval(names)?);
                }
                Ok(Value::from(map))
            }
        }
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
        if let Err(error) = super::leaf::parse(inner) {
            note("yaql", expression, error);
        }
    }
    // A text with blocks is one template; the expressions in it are part of that.
    for expression in if has_blocks { vec![text] } else { jinja } {
        if let Err(error) = super::leaf::check(expression) {
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
