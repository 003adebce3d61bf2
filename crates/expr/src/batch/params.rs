//! `squall action render --batch`.

use super::{answer, bad, field, text, value};
use crate::params::{self, Rendering};
use crate::{Error, Host, Limits};
use serde_json::Value as Line;
use squall_model::{Map, Str, Timestamp, Value};

/// Answers a line of kind `cast`, `alias-cast`, `live` or `final`.
pub fn render_line(line: &Line) -> Line {
    let outcome = match line.get("kind").and_then(Line::as_str) {
        Some("cast") => cast(line),
        Some("alias-cast") => {
            text(line, "type").and_then(|kind| params::cast_from_chat(&field(line, "value"), kind, false))
        }
        Some("live") => render(line, false),
        Some("final") => render(line, true),
        _ => Err(bad("`kind`: cast, alias-cast, live or final")),
    };
    answer(line, outcome.map(|v| value(&v)))
}

fn cast(line: &Line) -> Result<Value, Error> {
    let kind = text(line, "type")?;
    if !matches!(kind, "array" | "boolean" | "integer" | "number" | "object" | "string") {
        return Err(Error::new("NoCast", format!("there is no cast to `{kind}`; the value stays as it is")));
    }
    params::cast(&field(line, "value"), kind)
}

/// The final pass follows the live one, as in the life of an execution.
fn render(line: &Line, finally: bool) -> Result<Value, Error> {
    let map = |name: &str| match field(line, name) {
        Value::Map(map) => Ok((*map).clone()),
        Value::Null => Ok(Map::new()),
        _ => Err(bad(&format!("an object as `{name}`"))),
    };
    let (runner, action) = (params::schemas(&field(line, "runner"))?, params::schemas(&field(line, "action"))?);
    let context = Value::from(map("context")?);
    let kv = Datastore { items: map("kv")?, user: user(&context) };
    let additional = map("additional")?;
    let config = Value::from(map("config")?);
    let rendering = Rendering {
        runner: &runner,
        action: &action,
        context: &context,
        config: &config,
        additional: &additional,
        host: &kv,
        limits: &Limits::default(),
    };
    let live = rendering.live(&map("params")?)?;
    if !finally {
        return Ok(live.into());
    }
    let (of_runner, of_action) = rendering.finally(&live)?;
    Ok(vec![Value::from(of_runner), Value::from(of_action)].into())
}

/// Whose items `st2kv.user` means.
fn user(context: &Value) -> Str {
    let named = |key: &str| match context.get(key) {
        Some(Value::Str(name)) if !name.is_empty() => Some(name.clone()),
        _ => None,
    };
    named("api_user").or_else(|| named("user")).unwrap_or_else(|| "stanley".into())
}

/// A datastore in a line: keys of users are `user:name`.
pub(super) struct Datastore {
    pub(super) items: Map,
    pub(super) user: Str,
}

impl Host for Datastore {
    fn call(&self, _: &str, _: &[Value], _: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        None
    }
    fn has(&self, _: &str) -> bool {
        false
    }
    fn kv(&self, scope: &str, key: &str, _decrypt: bool) -> Result<Option<Value>, Error> {
        Ok(match scope {
            "user" => self.items.get(format!("{}:{key}", self.user).as_str()).cloned(),
            _ => self.items.get(key).cloned(),
        })
    }
    fn now(&self) -> Timestamp {
        super::host::now()
    }
    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}
