//! Values of a definition with expressions in them, parsed once when the definition is loaded.
//!
//! A text without an expression is a constant, and so is everything made of constants: evaluating those
//! costs nothing. Keys of maps are never evaluated.
//!
//! What a text reads of `$` is known as well, so that nobody need make the rest of it: see [`Data`].

use squall_expr::text::Template;
use squall_expr::yaql::Reads;
use squall_expr::{Engine, Error, Host, Scope};
use squall_model::{Map, Special, Str, Value};
use std::sync::Arc;

/// A value that may hold expressions at any depth.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// Nothing to evaluate.
    Constant(Value),
    /// A text with expressions.
    Text(Arc<Text>),
    /// A list of which some member is no constant.
    List(Vec<Expr>),
    /// A map of which some member is no constant.
    Map(Vec<(Str, Expr)>),
}

/// A text with expressions, and what they read.
#[derive(Debug)]
pub(crate) struct Text {
    template: Template,
    reads: Reads,
}

/// What `$` is for an expression, made as far as it is read.
pub(crate) trait Data {
    /// `$` with at least what `reads` says.
    fn part(&self, reads: &Reads) -> Value;
}

impl Data for Value {
    fn part(&self, _: &Reads) -> Value {
        self.clone()
    }
}

impl Expr {
    /// Reads `value` for `engine`. A text that cannot be read fails when it is evaluated: Mistral looks only one level
    /// deep when it reads a definition.
    pub fn of(value: &Value, engine: Engine) -> Expr {
        match value {
            Value::Str(text) if !is_dynamic(text) => Expr::Constant(value.clone()),
            Value::Str(_) => {
                let template = Template::of(value, engine);
                let literal = template.literal().cloned();
                literal.map_or_else(
                    || {
                        let reads = template.reads();
                        Expr::Text(Arc::new(Text { template, reads }))
                    },
                    Expr::Constant,
                )
            }
            Value::List(items) => {
                let items: Vec<Expr> = items.iter().map(|item| Expr::of(item, engine)).collect();
                if items.iter().all(Expr::is_constant) { Expr::Constant(value.clone()) } else { Expr::List(items) }
            }
            Value::Map(map) => {
                let pairs: Vec<(Str, Expr)> = map.iter().map(|(k, v)| (k.clone(), Expr::of(v, engine))).collect();
                let constant = pairs.iter().all(|(_, expr)| expr.is_constant());
                if constant { Expr::Constant(value.clone()) } else { Expr::Map(pairs) }
            }
            _ => Expr::Constant(value.clone()),
        }
    }

    /// What cannot be read in a text, found without evaluating it.
    pub fn problem(&self) -> Option<&Error> {
        match self {
            Expr::Text(text) => text.template.problems().into_iter().next(),
            Expr::Constant(_) | Expr::List(_) | Expr::Map(_) => None,
        }
    }

    /// Whether it needs no evaluation.
    pub fn is_constant(&self) -> bool {
        matches!(self, Expr::Constant(_))
    }

    /// The value of a constant.
    pub fn constant(&self) -> Option<&Value> {
        match self {
            Expr::Constant(value) => Some(value),
            Expr::Text(_) | Expr::List(_) | Expr::Map(_) => None,
        }
    }

    /// The keys of a map, known without evaluating it; `None` for anything else.
    pub fn keys(&self) -> Option<Vec<Str>> {
        match self {
            Expr::Map(pairs) => Some(pairs.iter().map(|(key, _)| key.clone()).collect()),
            Expr::Constant(value) => value.as_map().map(|map| map.keys().cloned().collect()),
            Expr::Text(_) | Expr::List(_) => None,
        }
    }

    /// Evaluates it over `data`.
    pub fn eval(&self, engine: Engine, data: &dyn Data, host: &dyn Host) -> Result<Value, Error> {
        match self {
            Expr::Constant(value) => Ok(value.clone()),
            Expr::Text(text) => {
                let data = &data.part(&text.reads);
                text.template.eval(&Scope { engine, data, host, limits: host.limits() }).map(storable)
            }
            Expr::List(items) => {
                let items: Result<Vec<Value>, Error> = items.iter().map(|item| item.eval(engine, data, host)).collect();
                Ok(Value::from(items?))
            }
            Expr::Map(pairs) => eval_pairs(pairs, engine, data, host).map(Value::from),
        }
    }
}

/// Whether a text may hold an expression.
fn is_dynamic(text: &str) -> bool {
    text.contains("<%") || text.contains("{{") || text.contains("{%")
}

/// Evaluates each of `pairs`; they do not see one another.
pub(crate) fn eval_pairs(
    pairs: &[(Str, Expr)],
    engine: Engine,
    data: &dyn Data,
    host: &dyn Host,
) -> Result<Map, Error> {
    let mut map = Map::new();
    eval_into(&mut map, pairs, engine, data, host)?;
    Ok(map)
}

/// The same into a map, over what is in it.
pub(crate) fn eval_into(
    map: &mut Map,
    pairs: &[(Str, Expr)],
    engine: Engine,
    data: &dyn Data,
    host: &dyn Host,
) -> Result<(), Error> {
    map.reserve(pairs.len());
    for (key, expr) in pairs {
        map.insert(key.clone(), expr.eval(engine, data, host)?);
    }
    Ok(())
}

/// Results are stored as JSON, which has no sets: they become lists.
fn storable(value: Value) -> Value {
    match &value {
        Value::Special(special) => match &**special {
            Special::Set(items) => Value::from(items.iter().cloned().map(storable).collect::<Vec<_>>()),
            _ => value,
        },
        _ => value,
    }
}
