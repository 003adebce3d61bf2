//! YAQL, as Mistral and Orquesta use it: queries over data, strings, numbers, times.
//!
//! [`parse`] reads an expression once; [`Expr::eval`] evaluates it as often as wanted and gives plain data.
//! Which functions exist depends on the scope's engine, and what the library does not know is asked of the
//! scope's host (`ctx()`, `task()`, …).
//!
//! ```
//! use squall_expr::{Engine, Limits, NoHost, Scope, yaql};
//!
//! let expression = yaql::parse("$.hosts.where($.up).select($.name)")?;
//! let data = squall_model::from_json(
//!     r#"{"hosts": [{"name": "a", "up": true}, {"name": "b", "up": false}]}"#, false).unwrap();
//! let scope = Scope { engine: Engine::Mistral, data: &data, host: &NoHost, limits: &Limits::default() };
//! assert_eq!(squall_model::to_json(&expression.eval(&scope)?), r#"["a"]"#);
//! # Ok::<(), squall_expr::Error>(())
//! ```
//!
//! How it works, in the order of reading: `lexer` and `parser` make a `tree`; `eval` walks it; `call` finds
//! out which entry of `table` a call means; `library` holds the entries; `value` is what flows inside and
//! `output` turns it into data again.

mod call;
mod eval;
mod inspect;
mod lexer;
mod library;
mod number;
mod operators;
mod output;
mod parser;
mod table;
mod tree;
mod value;

pub use inspect::Reads;
pub use table::{names, signatures};

use crate::{Engine, Error, Scope};
use squall_model::Value;
use std::fmt;
use std::sync::Arc;

/// A parsed expression; cheap to clone. Printing it gives a text that parses to the same tree.
#[derive(Clone)]
pub struct Expr {
    tree: Arc<tree::Node>,
}

/// Reads an expression, without delimiters around it.
///
/// Errors are of class `YaqlLexicalException` or `YaqlGrammarException`, with the place in the text; those of
/// class `ResourceLimit` mean that it is too long or too deep.
pub fn parse(text: &str) -> Result<Expr, Error> {
    Ok(Expr { tree: Arc::new(parser::parse(text)?) })
}

impl Expr {
    /// Evaluates it. In Mistral's language `$` is the scope's data; in Orquesta's it is null.
    ///
    /// Errors have the class of the original (`NoMatchingFunctionException`, `KeyError`, …); `ResourceLimit`
    /// means that one of the scope's limits was reached.
    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value, Error> {
        let root = (scope.engine != Engine::Orquesta).then(|| scope.data.clone());
        evaluate(&self.tree, scope, root)
    }

    /// What it reads of the scope's data, where `$` means that.
    pub fn reads(&self) -> Reads {
        inspect::reads(&self.tree)
    }
}

fn evaluate<'a>(tree: &'a tree::Node, scope: &'a Scope<'a>, root: Option<Value>) -> Result<Value, Error> {
    let ev = eval::Eval::new(scope);
    run(&ev, tree, root)
}

fn run<'a>(ev: &'a eval::Eval<'a>, tree: &'a tree::Node, root: Option<Value>) -> Result<Value, Error> {
    let val = ev.node(tree, &eval::Eval::root(root))?;
    ev.scope.limits.given_out(output::convert(ev, val)?)
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.fmt(f)
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({})", self.tree)
    }
}
