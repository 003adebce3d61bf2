//! Jinja with Python's semantics, as StackStorm, Orquesta and Mistral use it.
//!
//! A template is compiled once ([`Template::compile`]) and rendered often ([`Template::render`]); a bare
//! expression gives its native value ([`Template::value`]). The engine is our own: what content relies on
//! is Python's behaviour of values (tuples, views, methods that change lists, printf formatting, whole
//! numbers of any size, the very texts of `repr`), which no engine on other values can give.
//!
//! What templates can reach is the data, the functions below and the host's functions; there is no file,
//! no environment, no attribute beyond these. Every evaluation pays from a [`Budget`](crate::Budget).

mod ast;
mod calls;
mod checks;
mod filters;
mod globals;
mod interpreter;
mod lexer;
mod methods;
mod names;
mod ops;
mod parser;
mod place;
mod printf;
mod strformat;
mod symbols;
mod value;
mod values;
mod walk;

use crate::yaql::Reads;
use crate::{Engine, Error, Scope};
use ast::{Expr, Stmt};
pub(crate) use filters::NONE_TEXT;
use interpreter::Interpreter;
use squall_model::{Special, Str, Value};
use std::sync::OnceLock;
use value::V;
pub use values::Values;
pub(crate) use values::dynamic;

/// A compiled template or expression.
#[derive(Debug)]
pub struct Template {
    body: Body,
    /// Which names it gives values to itself.
    bound: symbols::Bound,
    /// The names that it looks up, once somebody asks.
    names: OnceLock<Vec<Str>>,
}

#[derive(Debug)]
enum Body {
    Template(Vec<Stmt>),
    Expression(Expr),
}

/// What an expression came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A value.
    Value(Value),
    /// Something that is not there, with what Jinja says about it.
    Undefined(String),
}

impl Template {
    /// Compiles a template. Errors have class `TemplateSyntaxError`, or `TemplateAssertionError` for an
    /// unknown filter or test.
    ///
    /// ```
    /// use squall_expr::{Engine, Limits, NoHost, Scope, jinja::Template};
    /// let template = Template::compile("{{ hosts | join(', ') }}: {{ up }}", Engine::Stack).unwrap();
    /// let data = squall_model::from_json(r#"{"hosts": ["a", "b"], "up": true}"#, false).unwrap();
    /// let scope = Scope { engine: Engine::Stack, data: &data, host: &NoHost, limits: &Limits::default() };
    /// assert_eq!(template.render(&scope).unwrap(), "a, b: True");
    /// ```
    pub fn compile(text: &str, engine: Engine) -> Result<Template, Error> {
        let text = lexer::normalized(text);
        let (body, bound) = parser::template(lexer::template(&text)?, engine)?;
        Ok(Template { body: Body::Template(body), bound, names: OnceLock::new() })
    }

    /// Compiles a bare expression, as between `{{` and `}}`.
    pub fn expression(text: &str, engine: Engine) -> Result<Template, Error> {
        let expr = parser::expression(lexer::expression(text)?, engine)?;
        Ok(Template { body: Body::Expression(expr), bound: Vec::new(), names: OnceLock::new() })
    }

    /// The names that the template looks up outside of itself, in the order of their appearance.
    pub fn names(&self) -> &[Str] {
        self.names.get_or_init(|| names::free(&self.body))
    }

    /// What it reads of the scope's data, which is `_` in Mistral.
    pub(crate) fn reads(&self) -> Reads {
        names::reads(&self.body)
    }

    /// Renders to text.
    pub fn render(&self, scope: &Scope) -> Result<String, Error> {
        let mut interpreter = Interpreter::new(scope, &self.bound);
        match &self.body {
            Body::Template(body) => interpreter.render(body),
            Body::Expression(expr) => {
                let value = interpreter.eval(expr)?;
                interpreter.text(&value).map(|text| text.to_string())
            }
        }
    }

    /// The native value of an expression, and how Python prints it (a tuple, say, is a list as a value).
    pub(crate) fn both(&self, scope: &Scope) -> Result<(Outcome, String), Error> {
        let mut interpreter = Interpreter::new(scope, &self.bound);
        match &self.body {
            Body::Template(body) => {
                let text = interpreter.render(body)?;
                Ok((Outcome::Value(text.as_str().into()), text))
            }
            Body::Expression(expr) => match interpreter.eval(expr)? {
                V::Undefined(undefined) if !undefined.silent => {
                    Ok((Outcome::Undefined(undefined.message.clone()), String::new()))
                }
                value => {
                    // Orquesta makes a list of what a lazy filter gives before it prints it.
                    let value = match value {
                        V::Generator("generator", items) => V::List(items),
                        value => value,
                    };
                    let text = interpreter.text(&value)?.into_owned();
                    Ok((Outcome::Value(scope.limits.given_out(interpreter.native(&value)?)?), text))
                }
            },
        }
    }

    /// The native value of an expression; a template gives its text.
    pub fn value(&self, scope: &Scope) -> Result<Outcome, Error> {
        let mut interpreter = Interpreter::new(scope, &self.bound);
        match &self.body {
            Body::Template(body) => Ok(Outcome::Value(interpreter.render(body)?.into())),
            Body::Expression(expr) => match interpreter.eval(expr)? {
                V::Undefined(undefined) => Ok(Outcome::Undefined(undefined.message.clone())),
                value => scope.limits.given_out(interpreter.native(&value)?).map(Outcome::Value),
            },
        }
    }
}

/// The names of filters, tests and functions that templates of `engine` can use, sorted: for completion and help.
pub fn vocabulary(engine: Engine) -> Vec<&'static str> {
    let shared = crate::functions::TABLE.iter().map(|f| f.name);
    let shared = shared.filter(|name| filters::find(name, engine).is_some());
    let own = filters::NAMES.iter().chain(checks::NAMES).chain(globals::NAMES).copied();
    let mut all: Vec<&str> = own.chain(shared).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A syntax error at a place in the text.
fn syntax(message: &str, at: usize) -> Error {
    Error::new("TemplateSyntaxError", message).at(at..at)
}

/// Python's `str()` of anything that is defined.
fn shown(value: &V) -> String {
    match value {
        V::Str(text) => text.to_string(),
        V::Special(special) if matches!(**special, Special::DateTime { .. } | Special::Timespan(_)) => {
            crate::python::str(&Value::Special(special.clone()))
        }
        V::Undefined(_) => String::new(),
        other => other.repr(),
    }
}

/// Python's `==`.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    ops::equal(&V::from(a), &V::from(b))
}

/// The order of two values of one kind; `sign` is for the message about others.
pub(crate) fn order(a: &Value, b: &Value, sign: &str) -> Result<Option<std::cmp::Ordering>, Error> {
    ops::order(&V::from(a), &V::from(b), sign)
}

/// `item in container`.
pub(crate) fn contains(container: &Value, item: &Value) -> Result<bool, Error> {
    ops::contains(&V::from(container), &V::from(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_lists_is_one() {
        for name in filters::NAMES {
            assert!(filters::find(name, Engine::Stack).is_some(), "{name}");
        }
        for name in checks::NAMES {
            assert!(checks::find(name).is_some(), "{name}");
        }
        assert!(vocabulary(Engine::Orquesta).contains(&"regex_match"));
    }
}
