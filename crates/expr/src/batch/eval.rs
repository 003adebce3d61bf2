//! `squall eval`: one expression under the rules of one engine, its data being all there is.

use super::host::DataHost;
use super::{answer, bad, field, text, value};
use crate::jinja::{Template, Values};
use crate::{Engine, Error, Limits, Scope};
use serde_json::Value as Line;
use squall_model::Value;

/// Answers a line with `lang`, `engine`, `expr` and `data`.
pub fn eval(line: &Line) -> Line {
    answer(line, outcome(line, &Limits::default()).map(|v| value(&v)))
}

/// The same with bounds.
pub fn eval_within(line: &Line, limits: &Limits) -> Line {
    answer(line, outcome(line, limits).map(|v| value(&v)))
}

fn outcome(line: &Line, limits: &Limits) -> Result<Value, Error> {
    let data = field(line, "data");
    let lang = text(line, "lang")?;
    let engine = line.get("engine").and_then(Line::as_str).unwrap_or("st2");
    if engine == "values" {
        let mapping = field(line, "expr");
        let mapping = mapping.as_map().ok_or_else(|| bad("an object as `expr`"))?;
        let host = DataHost::new(Engine::Stack, &data);
        let scope = Scope { engine: Engine::Stack, data: &data, host: &host, limits };
        return Ok(Values::compile(mapping).render(&scope)?.into());
    }
    evaluate(lang, engine, text(line, "expr")?, &data, limits)
}

/// Evaluates `expr`, which is `yaql`, `jinja` or `text` (with expressions inside), as `mistral`, `orquesta`, `st2` or
/// `st2-lax` does. What the engine's functions look up is taken from `data`. An error has its place in `expr` where
/// it is known.
pub fn evaluate(lang: &str, engine: &str, expr: &str, data: &Value, limits: &Limits) -> Result<Value, Error> {
    let engine = match engine {
        "mistral" => Engine::Mistral,
        "orquesta" => Engine::Orquesta,
        "st2" => Engine::Stack,
        "st2-lax" => Engine::StackLax,
        _ => return Err(bad("`engine`: mistral, orquesta, st2, st2-lax or values")),
    };
    let host = DataHost::new(engine, data);
    let scope = Scope { engine, data, host: &host, limits };
    match (lang, engine) {
        ("jinja", Engine::Stack | Engine::StackLax) => Ok(Template::compile(expr, engine)?.render(&scope)?.into()),
        ("yaql", _) => crate::yaql::parse(expr)?.eval(&scope),
        // A workflow engine's Jinja is a text too, evaluated again as the original does.
        ("jinja" | "text", _) => crate::text::Template::of(&expr.into(), engine).eval_again(&scope),
        _ => Err(bad("`lang`: yaql, jinja or text")),
    }
}
