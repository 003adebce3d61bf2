//! `squall eval --batch`.

use super::host::DataHost;
use super::{answer, bad, field, text, value};
use crate::jinja::{Template, Values};
use crate::{Engine, Error, Limits, Scope};
use serde_json::Value as Line;
use squall_model::Value;

/// Answers a line with `lang`, `engine`, `expr` and `data`.
pub fn eval(line: &Line) -> Line {
    answer(line, outcome(line).map(|v| value(&v)))
}

fn outcome(line: &Line) -> Result<Value, Error> {
    let data = field(line, "data");
    let lang = text(line, "lang")?;
    let engine = line.get("engine").and_then(Line::as_str).unwrap_or("st2");
    if engine == "values" {
        let mapping = field(line, "expr");
        let mapping = mapping.as_map().ok_or_else(|| bad("an object as `expr`"))?;
        let host = DataHost::new(Engine::Stack, &data);
        let scope = Scope { engine: Engine::Stack, data: &data, host: &host, limits: &Limits::default() };
        return Ok(Values::compile(mapping).render(&scope)?.into());
    }
    let engine = match engine {
        "mistral" => Engine::Mistral,
        "orquesta" => Engine::Orquesta,
        "st2" => Engine::Stack,
        "st2-lax" => Engine::StackLax,
        _ => return Err(bad("`engine`: mistral, orquesta, st2, st2-lax or values")),
    };
    let host = DataHost::new(engine, &data);
    let scope = Scope { engine, data: &data, host: &host, limits: &Limits::default() };
    let expr = text(line, "expr")?;
    match (lang, engine) {
        ("jinja", Engine::Stack | Engine::StackLax) => Ok(Template::compile(expr, engine)?.render(&scope)?.into()),
        ("yaql", _) => crate::yaql::parse(expr)?.eval(&scope),
        // A workflow engine's Jinja is a text too, evaluated again as the original does.
        ("jinja" | "text", _) => crate::text::Template::of(&expr.into(), engine).eval_again(&scope),
        _ => Err(bad("`lang`: yaql, jinja or text")),
    }
}
