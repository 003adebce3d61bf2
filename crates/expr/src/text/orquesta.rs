//! Texts of Orquesta: YAQL before Jinja, and on request a text that comes out is evaluated again.

use super::holes::{self, BLOCK, JINJA, YAQL};
use super::mistral::replaced;
use crate::jinja::{self, Outcome};
use crate::{Engine, Error, Scope, python, yaql};
use squall_model::{Str, Value};

/// How often a result may be evaluated again.
const MAX_AGAIN: u32 = 50;

#[derive(Debug)]
pub(super) struct Text {
    source: Str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Yaql(Vec<Hole>),
    /// Inline expressions only.
    Inline(Vec<Inline>),
    /// The whole text is a template; inline expressions in its output are evaluated after.
    Blocks(Result<jinja::Template, Error>),
    /// A text with raw sections, set aside before and restored at the very end.
    Raw {
        outside: Box<Text>,
        sections: Vec<Str>,
    },
    /// No expression outside of the raw sections.
    Plain,
}

#[derive(Debug)]
struct Hole {
    hole: Str,
    expr: Result<yaql::Expr, Error>,
}

#[derive(Debug)]
struct Inline {
    hole: Str,
    expr: Result<jinja::Template, Error>,
}

impl Text {
    /// `None` when the text holds no expression.
    pub(super) fn read(text: &str) -> Option<Text> {
        let yaql = holes::find(text, YAQL);
        if !yaql.is_empty() {
            let holes = yaql.into_iter().map(|hole| {
                let inside = holes::inside(hole, &['<', '%', '>']);
                Hole { hole: hole.into(), expr: yaql::parse(inside).map_err(|error| error.within(text, inside)) }
            });
            return Some(Text { source: text.into(), kind: Kind::Yaql(holes.collect()) });
        }
        if !holes::any(text, JINJA) && !holes::any(text, BLOCK) {
            return None;
        }
        let sections = raw_sections(text);
        if sections.is_empty() {
            return Some(Text::jinja(text));
        }
        let mut outside = text.to_owned();
        for (at, section) in sections.iter().enumerate() {
            outside = outside.replace(&**section, &placeholder(at));
        }
        let kind = Kind::Raw { outside: Box::new(Text::jinja(&outside)), sections };
        Some(Text { source: text.into(), kind })
    }

    fn jinja(text: &str) -> Text {
        let inline = holes::find(text, JINJA);
        let kind = if holes::any(text, BLOCK) {
            Kind::Blocks(jinja::Template::compile(text, Engine::Orquesta))
        } else if inline.is_empty() {
            Kind::Plain
        } else {
            let read = |hole: &&str| {
                let inside = holes::inside(hole, &['{', '}']);
                let expr = jinja::Template::expression(inside, Engine::Orquesta);
                Inline { hole: (*hole).into(), expr: expr.map_err(|error| error.within(text, inside)) }
            };
            Kind::Inline(inline.iter().map(read).collect())
        };
        Text { source: text.into(), kind }
    }

    pub(super) fn problems(&self) -> Box<dyn Iterator<Item = &Error> + '_> {
        match &self.kind {
            Kind::Yaql(holes) => Box::new(holes.iter().filter_map(|h| h.expr.as_ref().err())),
            Kind::Inline(holes) => Box::new(holes.iter().filter_map(|h| h.expr.as_ref().err())),
            Kind::Blocks(template) => Box::new(template.as_ref().err().into_iter()),
            Kind::Raw { outside, .. } => outside.problems(),
            Kind::Plain => Box::new(std::iter::empty()),
        }
    }

    pub(super) fn eval(&self, scope: &Scope, again: bool) -> Result<Value, Error> {
        let depth = if again { MAX_AGAIN } else { 0 };
        match &self.kind {
            Kind::Yaql(holes) => self.eval_yaql(holes, scope, depth),
            // Nothing of it comes from data: the whole is rendered once more, as the original does with all of them.
            Kind::Raw { outside, .. } if matches!(outside.kind, Kind::Plain) => {
                Ok(jinja::Template::compile(&self.source, Engine::Orquesta)?.render(scope)?.into())
            }
            Kind::Raw { outside, sections } => {
                let Value::Str(text) = outside.eval_jinja(scope, depth)? else {
                    // Nothing but a placeholder gives no other value.
                    return Ok(self.source.clone().into());
                };
                let mut text = text.to_string();
                if again {
                    for (at, section) in sections.iter().enumerate() {
                        text = replaced(&text, &placeholder(at), section, scope)?;
                    }
                    return Ok(jinja::Template::compile(&text, Engine::Orquesta)?.render(scope)?.into());
                }
                for (at, section) in sections.iter().enumerate() {
                    let rendered = jinja::Template::compile(section, Engine::Orquesta)?.render(scope)?;
                    text = replaced(&text, &placeholder(at), &rendered, scope)?;
                }
                Ok(text.into())
            }
            _ => {
                let value = self.eval_jinja(scope, depth)?;
                match &value {
                    // The original looks for expressions in what came out, wherever they came from.
                    Value::Str(text) if again && holes::any(text, JINJA) => Err(unresolved(
                        holes::find(text, JINJA).iter().map(|hole| holes::inside(hole, &['{', '}'])).collect(),
                    )),
                    _ => Ok(value),
                }
            }
        }
    }

    fn eval_yaql(&self, holes: &[Hole], scope: &Scope, depth: u32) -> Result<Value, Error> {
        let mut out = self.source.to_string();
        for hole in holes {
            let result = hole.expr.as_ref().map_err(Clone::clone).and_then(|expr| expr.eval(scope));
            let mut value = result.map_err(|error| yaql_error(&hole.hole, error))?;
            if let Value::Str(text) = &value
                && depth > 0
            {
                // Only the same language is looked for in a result.
                let inner = holes::find(text, YAQL);
                if !inner.is_empty()
                    && let Some(inner) = Text::read(text)
                    && let Kind::Yaql(holes) = &inner.kind
                {
                    let again = inner.eval_yaql(holes, scope, deeper(depth)?);
                    value = again.map_err(|error| yaql_error(&hole.hole, error))?;
                }
            }
            if *hole.hole == *self.source {
                return Ok(value);
            }
            out = replaced(&out, &hole.hole, &python::str(&value), scope)?;
        }
        Ok(out.into())
    }

    fn eval_jinja(&self, scope: &Scope, depth: u32) -> Result<Value, Error> {
        let value = match &self.kind {
            Kind::Inline(holes) => self.eval_inline(holes, scope, depth)?,
            Kind::Blocks(template) => {
                let rendered = template.as_ref().map_err(Clone::clone).and_then(|t| t.render(scope));
                let text = rendered.map_err(|error| jinja_error(&self.source, error))?;
                // What the blocks printed counts as a result: it is evaluated only where results are.
                if depth > 0 && (holes::any(&text, JINJA) || holes::any(&text, BLOCK)) {
                    let again = Text::jinja(&text).eval_jinja(scope, deeper(depth)?);
                    return again.map_err(|error| again_error(&self.source, error));
                }
                return Ok(text.into());
            }
            _ => Value::Str(self.source.clone()),
        };
        Ok(value)
    }

    fn eval_inline(&self, holes: &[Inline], scope: &Scope, depth: u32) -> Result<Value, Error> {
        let mut out = self.source.to_string();
        let mut names = Vec::new();
        for hole in holes {
            let failed = |error| jinja_error(&hole.hole, error);
            let template = hole.expr.as_ref().map_err(|error| failed(error.clone()))?;
            let (outcome, printed) = template.both(scope).map_err(failed)?;
            let mut value = match outcome {
                Outcome::Value(value) => value,
                Outcome::Undefined(_) => {
                    names.push(holes::inside(&hole.hole, &['{', '}']));
                    continue;
                }
            };
            let mut text = printed;
            if let Value::Str(result) = &value
                && depth > 0
                && (holes::any(result, JINJA) || holes::any(result, BLOCK))
            {
                let again = Text::jinja(result).eval_jinja(scope, deeper(depth)?);
                value = again.map_err(|error| again_error(&hole.hole, error))?;
                text = python::str(&value);
            }
            if *hole.hole == *self.source {
                return Ok(value);
            }
            out = replaced(&out, &hole.hole, &text, scope)?;
        }
        if !names.is_empty() {
            return Err(unresolved(names));
        }
        Ok(out.into())
    }
}

const UNRESOLVED: &str = "There are unresolved variables: ";

fn unresolved(names: Vec<&str>) -> Error {
    Error::new("JinjaEvaluationException", format!("{UNRESOLVED}{}", names.join(", ")))
}

/// A failure in what came out of `hole`; what stays unresolved shows only at the very end.
fn again_error(hole: &str, error: Error) -> Error {
    if error.message.starts_with(UNRESOLVED) { error } else { jinja_error(hole, error) }
}

fn deeper(depth: u32) -> Result<u32, Error> {
    match depth {
        1 => Err(Error::limit("a result is evaluated again too often")),
        depth => Ok(depth - 1),
    }
}

fn yaql_error(hole: &str, error: Error) -> Error {
    if error.class == "ResourceLimit" {
        return error;
    }
    let message = match &*error.class {
        "KeyError" => format!("Unable to resolve key {} in expression '{hole}' from context.", quoted(&error.message)),
        class => format!("Unable to evaluate expression '{hole}'. {class}: {}", error.message.trim_matches('\'')),
    };
    Error { span: error.span, ..Error::new("YaqlEvaluationException", message) }
}

/// The missing key in quotes, whether the message already has them or not.
fn quoted(key: &str) -> String {
    format!("'{}'", key.trim_matches('\''))
}

fn jinja_error(hole: &str, error: Error) -> Error {
    if error.class == "ResourceLimit" {
        return error;
    }
    let message = format!("Unable to evaluate expression '{hole}'. {}: {}", error.class, error.message);
    Error { span: error.span, ..Error::new("JinjaEvaluationException", message) }
}

/// Stands for a raw section while the rest is evaluated; nothing that people type.
fn placeholder(at: usize) -> String {
    format!("\u{e000}raw {at}\u{e001}")
}

/// `{% raw %}…{% endraw %}` on one line.
fn raw_sections(text: &str) -> Vec<Str> {
    let mut sections = Vec::new();
    for line in text.split('\n') {
        let mut at = 0;
        while let Some(start) = line[at..].find("{%").map(|i| at + i) {
            let opening = line[start + 2..].trim_start_matches(['-', '+']).trim_start().strip_prefix("raw");
            at = start + 2;
            if opening.is_none_or(|rest| !rest.trim_start().trim_start_matches(['-', '+']).starts_with("%}")) {
                continue;
            }
            let Some(end) = line[at..].find("endraw").map(|i| at + i) else { break };
            let Some(close) = line[end..].find("%}").map(|i| end + i + 2) else { break };
            sections.push(line[start..close].into());
            at = close;
        }
    }
    sections
}
