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
            Kind::Jinja(template) => template.as_ref().map_or(Reads::NOTHING, jinja::Template::reads),
            Kind::Blocks => Reads::NOTHING,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, NoHost};
    use squall_model::{from_json, to_json};

    #[test]
    fn what_a_text_reads() {
        let reads = |text: &str| match Text::read(text).unwrap().reads() {
            Reads::Members(names) => names.join(" "),
            Reads::Everything => "*".into(),
        };
        for (text, expected) in [
            ("<% $.a %> and <% $.b + $.a %>", "a b"),
            ("<% $.a %> and <% $ %>", "*"),
            ("{{ _.host.name }}: {{ _['port'] }}", "host port"),
            ("{% for h in _.hosts %}{{ h.name }}{% endfor %}{{ task('a').result }}", "hosts"),
            ("{{ __env.user }}", "__env"),
            ("{{ _ }}", "*"),
            ("{{ _.get('a') }}", "*"),
            ("{{ 'a' in _ }}", "*"),
        ] {
            assert_eq!(reads(text), expected, "{text}");
        }
    }

    #[test]
    fn a_variable_is_no_name_of_its_own() {
        let data = from_json(r#"{"x": {"y": 1}}"#, false).unwrap();
        let scope = Scope { engine: Engine::Mistral, data: &data, host: &NoHost, limits: &Limits::default() };
        let eval = |text: &str| Text::read(text).unwrap().eval(&scope);
        assert_eq!(to_json(&eval("{{ _.x.y }}").unwrap()), "1");
        for text in ["{{ x }}", "{{ x.y }}", "{{ x['y'] == 1 }}"] {
            assert!(eval(text).unwrap_err().message.contains("'x' is undefined"), "{text}");
        }
    }
}
