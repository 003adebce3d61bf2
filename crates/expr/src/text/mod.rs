//! Texts that mix expressions with literal characters, and the maps and lists that hold them.
//!
//! A text that is exactly one expression keeps the type of its value; everything else becomes text, with
//! values as Python prints them. Which language a text is in, and the many small rules around that, differ
//! between [`Engine::Mistral`] and [`Engine::Orquesta`]: see `mistral` and `orquesta`.
//!
//! Values that come out of an expression are data. Orquesta evaluates a text result again, which lets data
//! from outside become code; [`Template::eval`] does not. [`Template::eval_again`] does, for comparing with
//! the original and for simulations.

mod holes;
mod mistral;
mod orquesta;

use crate::yaql::Reads;
use crate::{Engine, Error, Scope};
use squall_model::{Map, Str, Value};

/// How deep maps and lists of a definition may nest.
const MAX_DEPTH: u32 = 128;

/// A value of a definition with its expressions compiled.
#[derive(Debug)]
pub struct Template {
    node: Node,
}

#[derive(Debug)]
enum Node {
    /// Nothing to evaluate.
    Literal(Value),
    Mistral(mistral::Text),
    Orquesta(orquesta::Text),
    List(Vec<Node>),
    /// Keys are evaluated by Orquesta only.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug)]
enum Key {
    Literal(Str),
    Text(orquesta::Text),
}

impl Key {
    fn reads(&self) -> Reads {
        match self {
            Key::Literal(_) => Reads::NOTHING,
            Key::Text(_) => Reads::Everything,
        }
    }
}

impl Template {
    /// Compiles a text. An expression that cannot be read is an error here, with the class of its language
    /// (`YaqlGrammarException`, `YaqlLexicalException`, `TemplateSyntaxError`, `TemplateAssertionError`).
    ///
    /// ```
    /// use squall_expr::{Engine, Limits, NoHost, Scope, text::Template};
    /// let template = Template::compile("up: <% $.up %>", Engine::Mistral).unwrap();
    /// let data = squall_model::from_json(r#"{"up": [true, null]}"#, false).unwrap();
    /// let scope = Scope { engine: Engine::Mistral, data: &data, host: &NoHost, limits: &Limits::default() };
    /// assert_eq!(template.eval(&scope).unwrap().as_str(), Some("up: [True, None]"));
    /// ```
    pub fn compile(text: &str, engine: Engine) -> Result<Template, Error> {
        let node = Node::text(text, engine);
        let problem = node.problems().next().cloned();
        problem.map_or(Ok(Template { node }), Err)
    }

    /// Compiles a value of a definition with all texts in it. What cannot be read is reported when it is
    /// evaluated, as the originals do; [`Template::problems`] lists it now.
    pub fn of(value: &Value, engine: Engine) -> Template {
        Template { node: Node::of(value, engine, 0) }
    }

    /// Expressions that cannot be read.
    pub fn problems(&self) -> Vec<&Error> {
        self.node.problems().collect()
    }

    /// The value, if there is nothing to evaluate.
    pub fn literal(&self) -> Option<&Value> {
        match &self.node {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// What it reads of the scope's data: of no use in Orquesta, where there is none.
    pub fn reads(&self) -> Reads {
        self.node.reads()
    }

    /// Evaluates. Errors have class `YaqlEvaluationException` or `JinjaEvaluationException` with the
    /// original's sentence; `ResourceLimit` is passed on.
    pub fn eval(&self, scope: &Scope) -> Result<Value, Error> {
        self.node.eval(scope, false)
    }

    /// Evaluates as the original Orquesta does: a text that an expression gives is evaluated in turn.
    pub fn eval_again(&self, scope: &Scope) -> Result<Value, Error> {
        self.node.eval(scope, true)
    }
}

impl Node {
    fn text(text: &str, engine: Engine) -> Node {
        let node = match engine {
            Engine::Orquesta => orquesta::Text::read(text).map(Node::Orquesta),
            _ => mistral::Text::read(text).map(Node::Mistral),
        };
        node.unwrap_or_else(|| Node::Literal(text.into()))
    }

    fn of(value: &Value, engine: Engine, depth: u32) -> Node {
        if depth > MAX_DEPTH {
            return Node::Literal(value.clone());
        }
        match value {
            Value::Str(text) => match Node::text(text, engine) {
                Node::Literal(_) => Node::Literal(value.clone()),
                node => node,
            },
            Value::List(items) => {
                let items: Vec<Node> = items.iter().map(|item| Node::of(item, engine, depth + 1)).collect();
                if items.iter().all(Node::is_literal) { Node::Literal(value.clone()) } else { Node::List(items) }
            }
            Value::Map(map) => {
                let key = |key: &Str| match (engine, orquesta::Text::read(key)) {
                    (Engine::Orquesta, Some(text)) => Key::Text(text),
                    _ => Key::Literal(key.clone()),
                };
                let pairs: Vec<(Key, Node)> =
                    map.iter().map(|(k, v)| (key(k), Node::of(v, engine, depth + 1))).collect();
                let plain = pairs.iter().all(|(key, node)| matches!(key, Key::Literal(_)) && node.is_literal());
                if plain { Node::Literal(value.clone()) } else { Node::Map(pairs) }
            }
            other => Node::Literal(other.clone()),
        }
    }

    fn is_literal(&self) -> bool {
        matches!(self, Node::Literal(_))
    }

    fn reads(&self) -> Reads {
        match self {
            Node::Literal(_) => Reads::NOTHING,
            Node::Mistral(text) => text.reads(),
            Node::Orquesta(_) => Reads::Everything,
            Node::List(items) => items.iter().map(Node::reads).fold(Reads::NOTHING, Reads::and),
            Node::Map(pairs) => {
                pairs.iter().fold(Reads::NOTHING, |reads, (key, node)| reads.and(key.reads()).and(node.reads()))
            }
        }
    }

    fn problems(&self) -> Box<dyn Iterator<Item = &Error> + '_> {
        match self {
            Node::Literal(_) => Box::new(std::iter::empty()),
            Node::Mistral(text) => Box::new(text.problems()),
            Node::Orquesta(text) => Box::new(text.problems()),
            Node::List(items) => Box::new(items.iter().flat_map(Node::problems)),
            Node::Map(pairs) => Box::new(pairs.iter().flat_map(|(key, node)| {
                let in_key: Box<dyn Iterator<Item = &Error>> = match key {
                    Key::Literal(_) => Box::new(std::iter::empty()),
                    Key::Text(text) => Box::new(text.problems()),
                };
                in_key.chain(node.problems())
            })),
        }
    }

    fn eval(&self, scope: &Scope, again: bool) -> Result<Value, Error> {
        match self {
            Node::Literal(value) => Ok(value.clone()),
            Node::Mistral(text) => text.eval(scope),
            Node::Orquesta(text) => text.eval(scope, again),
            Node::List(items) => {
                Ok(items.iter().map(|item| item.eval(scope, again)).collect::<Result<Vec<_>, _>>()?.into())
            }
            Node::Map(pairs) => {
                let mut map = Map::with_capacity(pairs.len());
                for (key, node) in pairs {
                    let key = match key {
                        Key::Literal(key) => key.clone(),
                        Key::Text(text) => match text.eval(scope, again)? {
                            Value::Str(key) => key,
                            other => crate::python::str(&other).into(),
                        },
                    };
                    map.insert(key, node.eval(scope, again)?);
                }
                Ok(map.into())
            }
        }
    }
}
