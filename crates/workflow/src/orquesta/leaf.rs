//! Texts with expressions, as Orquesta reads them: one expression alone keeps its type, others become text, and a text
//! that comes out is read again.
//!
//! YAQL only: a text with Jinja is refused when it is evaluated, until that language is at hand.

use super::expression::pieces;
use squall_expr::{Engine, Error, Scope, python, yaql};
use squall_model::{Str, Value};

/// How often a text that comes out of a text is read again.
const MAX_ROUNDS: u32 = 50;

/// A text with expressions.
#[derive(Debug, Clone)]
pub struct Template {
    text: Str,
    parts: Vec<(Str, yaql::Expr)>,
}

impl Template {
    pub fn compile(text: &str, _: Engine) -> Result<Template, Error> {
        let written = pieces(text, "<%", "%>");
        if written.is_empty() && (text.contains("{{") || text.contains("{%")) {
            return Err(Error::new("JinjaEvaluationException", "Jinja is not available yet"));
        }
        let mut parts = Vec::with_capacity(written.len());
        for whole in written {
            let inner = whole.trim_matches(['<', '%', '>']).trim();
            let expr = yaql::parse(inner).map_err(|error| told(whole, error))?;
            parts.push((Str::from(whole), expr));
        }
        Ok(Template { text: text.into(), parts })
    }

    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        self.round(scope, 0)
    }

    fn round(&self, scope: &Scope<'_>, depth: u32) -> Result<Value, Error> {
        if depth > MAX_ROUNDS {
            return Err(Error::limit("a text that holds itself"));
        }
        let value = |whole: &Str, expr: &yaql::Expr| -> Result<Value, Error> {
            let value = expr.eval(scope).map_err(|error| told(whole, error))?;
            match &value {
                Value::Str(text) if text.contains("<%") => {
                    let again = Template::compile(text, scope.engine).and_then(|again| again.round(scope, depth + 1));
                    again.map_err(|error| told(whole, error))
                }
                _ => Ok(value),
            }
        };
        if let [(whole, expr)] = &self.parts[..]
            && *whole == self.text
        {
            return value(whole, expr);
        }
        let mut text = self.text.to_string();
        for (whole, expr) in &self.parts {
            text = text.replace(&**whole, &python::str(&value(whole, expr)?));
        }
        Ok(Value::from(text))
    }
}

fn told(whole: &str, error: Error) -> Error {
    let message = if error.class == "KeyError" {
        format!("Unable to resolve key '{}' in expression '{whole}' from context.", error.message)
    } else {
        format!("Unable to evaluate expression '{whole}'. {}: {}", error.class, error.message)
    };
    Error::new("YaqlEvaluationException", message)
}

pub fn parse(text: &str) -> Result<(), Error> {
    yaql::parse(text).map(|_| ())
}

pub fn check(_: &str) -> Result<(), Error> {
    Ok(())
}
