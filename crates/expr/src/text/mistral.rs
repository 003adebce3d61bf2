//! Texts of Mistral: Jinja is tried before YAQL, and results are never evaluated again.

use super::holes::{self, BLOCK, JINJA, YAQL};
use crate::jinja::{self, Outcome};
use crate::yaql::Reads;
use crate::{Engine, Error, Scope, python, yaql};
use squall_model::{Str, Value};

#[derive(Debug)]
pub(super) struct Text {
    source: Str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Exactly one `<% … %>`.
    Yaql(Hole),
    /// YAQL among other characters.
    YaqlMixed(Vec<(Str, Hole)>),
    /// Exactly one `{{ … }}`, or a whole template.
    Jinja(Result<jinja::Template, Error>),
    /// Blocks without any `{{ … }}`, which Mistral trips over.
    Blocks,
}

/// An expression as it stands in messages, and what became of it.
#[derive(Debug)]
struct Hole {
    inside: Str,
    expr: Result<yaql::Expr, Error>,
}

impl Hole {
    fn read(text: &str, hole: &str) -> Hole {
        let inside = holes::inside(hole, &['<', '%', '>']);
        Hole { inside: inside.into(), expr: yaql::parse(inside).map_err(|error| error.within(text, inside)) }
    }

    fn reads(&self) -> Reads {
        self.expr.as_ref().map_or(Reads::NOTHING, yaql::Expr::reads)
    }

    fn eval(&self, scope: &Scope) -> Result<Value, Error> {
        let result = self.expr.as_ref().map_err(Clone::clone).and_then(|expr| expr.eval(scope));
        result.map_err(|error| {
            let what =
                format!("Can not evaluate YAQL expression [expression={}, error={}]", self.inside, error.message);
            wrapped(error, "YaqlEvaluationException", what)
        })
    }
}

fn wrapped(error: Error, class: &'static str, message: String) -> Error {
    if error.class == "ResourceLimit" { error } else { Error { span: error.span, ..Error::new(class, message) } }
}

impl Text {
    /// `None` when the text holds no expression.
    pub(super) fn read(text: &str) -> Option<Text> {
        let holes = holes::find(text, JINJA);
        let kind = if let Some(first) = holes.first() {
            Kind::Jinja(if *first == text {
                let inside = &text[2..text.len() - 2];
                jinja::Template::expression(inside, Engine::Mistral).map_err(|error| error.within(text, inside))
            } else {
                jinja::Template::compile(text, Engine::Mistral)
            })
        } else if holes::any(text, BLOCK) {
            Kind::Blocks
        } else {
            let holes = holes::find(text, YAQL);
            match holes[..] {
                [] => return None,
                [only] if only == text => Kind::Yaql(Hole::read(text, only)),
                _ => Kind::YaqlMixed(holes.iter().map(|hole| (Str::from(*hole), Hole::read(text, hole))).collect()),
            }
        };
        Some(Text { source: text.into(), kind })
    }

    pub(super) fn problems(&self) -> Box<dyn Iterator<Item = &Error> + '_> {
        match &self.kind {
            Kind::Yaql(hole) => Box::new(hole.expr.as_ref().err().into_iter()),
            Kind::YaqlMixed(holes) => Box::new(holes.iter().filter_map(|(_, hole)| hole.expr.as_ref().err())),
            Kind::Jinja(template) => Box::new(template.as_ref().err().into_iter()),
            Kind::Blocks => Box::new(std::iter::empty()),
        }
    }

    pub(super) fn reads(&self) -> Reads {
        match &self.kind {
            Kind::Yaql(hole) => hole.reads(),
            Kind::YaqlMixed(holes) => holes.iter().map(|(_, hole)| hole.reads()).fold(Reads::NOTHING, Reads::and),
            Kind::Jinja(_) | Kind::Blocks => Reads::Everything,
        }
    }

    pub(super) fn eval(&self, scope: &Scope) -> Result<Value, Error> {
        match &self.kind {
            Kind::Yaql(hole) => hole.eval(scope),
            Kind::YaqlMixed(holes) => {
                let mut out = self.source.to_string();
                for (hole, expr) in holes {
                    // Each replaces all its occurrences, also those that an earlier value brought in.
                    out = replaced(&out, hole, &python::str(&expr.eval(scope)?), scope)?;
                }
                Ok(out.into())
            }
            Kind::Jinja(template) => {
                let value =
                    template.as_ref().map_err(Clone::clone).and_then(|template| match template.value(scope)? {
                        Outcome::Value(value) => Ok(value),
                        Outcome::Undefined(message) => Err(Error::new("UndefinedError", message)),
                    });
                value.map_err(|error| self.failed(error))
            }
            Kind::Blocks => Err(self.failed(Error::new("IndexError", "list index out of range"))),
        }
    }

    fn failed(&self, error: Error) -> Error {
        let what = format!("Can not evaluate Jinja expression [expression={}, error={}]", self.source, error.message);
        wrapped(error, "JinjaEvaluationException", what)
    }
}

/// Replaces all occurrences, within the limit of output.
pub(super) fn replaced(text: &str, from: &str, to: &str, scope: &Scope) -> Result<String, Error> {
    let count = text.matches(from).count() as u64;
    let size = (text.len() as u64).saturating_add(count.saturating_mul(to.len() as u64));
    if size > scope.limits.output {
        return Err(Error::bound("output", scope.limits.output, "bytes of output"));
    }
    Ok(text.replace(from, to))
}
