//! Texts with YAQL in them, until the room of expressions offers texts itself. Jinja is refused when a definition is read.

use squall_expr::{Engine, Error, Scope, python, yaql};
use squall_model::Value;

/// A text with expressions, compiled.
#[derive(Debug)]
pub(crate) struct Template {
    text: String,
    exprs: Vec<(String, yaql::Expr)>,
}

impl Template {
    /// Reads a text.
    pub fn compile(text: &str, _: Engine) -> Result<Template, Error> {
        if text.contains("{{") || text.contains("{%") {
            return Err(Error::new("JinjaGrammarException", "Jinja is not available here yet"));
        }
        let mut exprs = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("<%") {
            let Some(end) = rest.get(start..).and_then(|tail| tail.find("%>")) else { break };
            let whole = rest.get(start..start + end + 2).unwrap_or_default();
            if !whole.contains('\n') {
                let inner = whole.trim_start_matches("<%").trim_end_matches("%>").trim();
                exprs.push((whole.to_owned(), yaql::parse(inner)?));
            }
            rest = rest.get(start + end + 2..).unwrap_or_default();
        }
        Ok(Template { text: text.to_owned(), exprs })
    }

    /// Whether there is nothing to evaluate.
    pub fn is_literal(&self) -> bool {
        self.exprs.is_empty()
    }

    /// Its value.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        if let [(whole, expr)] = self.exprs.as_slice()
            && *whole == self.text
        {
            return eval(expr, whole, scope);
        }
        let mut text = self.text.clone();
        for (whole, expr) in &self.exprs {
            text = text.replace(whole, &python::str(&eval(expr, whole, scope)?));
        }
        Ok(Value::from(text))
    }
}

fn eval(expr: &yaql::Expr, whole: &str, scope: &Scope<'_>) -> Result<Value, Error> {
    expr.eval(scope).map_err(|error| {
        let inner = whole.trim_matches(['<', '%', '>']).trim();
        let message = format!("Can not evaluate YAQL expression [expression={inner}, error={}]", error.message);
        Error::new("YaqlEvaluationException", message)
    })
}
