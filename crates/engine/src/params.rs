//! Parameters on their way from a caller to a runner: cast, rendered, checked, completed.
//!
//! Schemas are read once for each snapshot of the content ([`Prepared`]); the rules are `expr::params`. Here is only in
//! which order they are applied and what becomes of an error.

use crate::confirmation::texts::{MASK, holds_secret};
use squall_content::Action;
use squall_expr::params::{self, Rendering, Schemas};
use squall_expr::{Error, Host};
use squall_model::{Map, Outcome, Value, to_json};
use squall_workflow::{Parameter, Parameters};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The parameters of an action, ready for use.
#[derive(Debug)]
pub struct Prepared {
    runner: Schemas,
    own: Schemas,
    merged: Schemas,
    /// Parameters that are secret, or in which something is.
    secret: Vec<String>,
    /// What a conductor wants to know of them.
    pub(crate) known: Arc<Parameters>,
}

impl Prepared {
    /// Reads the schemas of an action. What cannot be read was reported when the pack was loaded.
    pub fn new(action: &Action) -> Prepared {
        let read = |raw: &indexmap::IndexMap<squall_model::Str, Value>| {
            params::schemas(&Value::from(raw.clone())).unwrap_or_default()
        };
        let (runner, own) = (read(&action.runner.parameters), read(&action.parameters));
        let merged = params::merge(&runner, &own);
        let known = merged.iter().map(|(name, schema)| {
            let required = schema.required && schema.default.is_none();
            (name.clone(), Parameter { kind: schema.kind.map(|k| k.name().into()), required })
        });
        let known = Arc::new(Parameters { known: known.collect(), open: false });
        let secret = merged.iter().filter(|(_, schema)| holds_secret(&Value::Map(schema.raw.clone())));
        let secret = secret.map(|(name, _)| name.to_string()).collect();
        Prepared { runner, own, merged, secret, known }
    }

    /// Final parameters divided into the runner's and the action's own.
    pub(crate) fn divided(&self, all: &Map) -> (Map, Map) {
        let pairs = all.iter().map(|(name, value)| (name.clone(), value.clone()));
        pairs.partition(|(name, _)| self.runner.contains_key(name))
    }

    /// Whether a parameter is secret as a whole.
    pub fn is_secret(&self, name: &str) -> bool {
        self.merged.get(name).is_some_and(|schema| schema.secret)
    }

    /// Whether a parameter is secret, or something in it.
    pub(crate) fn holds_secret(&self, name: &str) -> bool {
        self.secret.iter().any(|secret| secret == name)
    }

    /// Whether any parameter that is not the runner's alone is secret, or something in it.
    pub(crate) fn has_own_secrets(&self) -> bool {
        self.secret.iter().any(|name| self.own.contains_key(name.as_str()))
    }

    /// The names of all parameters that are secret, or in which something is.
    pub(crate) fn secret(&self) -> Vec<String> {
        self.secret.clone()
    }

    /// Every secret text in what was given, longest first, so that one within another leaves nothing of it.
    pub(crate) fn secret_texts(&self, given: &Map) -> Vec<String> {
        let mut texts = BTreeSet::new();
        let masked = self.masked(given);
        for (name, value) in given {
            differing(value, masked.get(name).unwrap_or(&Value::Null), &mut texts);
        }
        let mut texts: Vec<String> = texts.into_iter().collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts
    }

    /// The parameters with every secret masked.
    pub fn masked(&self, given: &Map) -> Map {
        params::mask(&self.merged, given)
    }
}

/// The texts of one value that its masked form does not show.
fn differing(value: &Value, masked: &Value, texts: &mut BTreeSet<String>) {
    let text = match (value, masked) {
        (Value::Map(own), shown) => {
            return own.iter().for_each(|(key, item)| differing(item, shown.get(key).unwrap_or(&Value::Null), texts));
        }
        (Value::List(own), shown) => {
            let shown = shown.as_list().unwrap_or_default().iter().chain(std::iter::repeat(&Value::Null));
            return own.iter().zip(shown).for_each(|(item, shown)| differing(item, shown, texts));
        }
        (Value::Str(own), shown) if Some(&**own) != shown.as_str() => own.to_string(),
        (Value::Int(_) | Value::Big(_) | Value::Float(_), Value::Str(_) | Value::Null) => to_json(value),
        _ => return,
    };
    if !text.is_empty() {
        texts.insert(text);
    }
}

/// A text without the secrets of some parameters.
pub(crate) fn without(secrets: &[String], text: &str) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

/// What templates in parameters may use besides the other parameters.
pub(crate) struct Around<'a> {
    pub context: &'a Map,
    pub config: Map,
    pub host: &'a dyn Host,
}

impl Around<'_> {
    fn with<T>(&self, prepared: &Prepared, run: impl FnOnce(&Rendering<'_>) -> T) -> T {
        let (context, config) = (Value::from(self.context.clone()), Value::from(self.config.clone()));
        run(&Rendering {
            runner: &prepared.runner,
            action: &prepared.own,
            context: &context,
            config: &config,
            additional: &Map::new(),
            host: self.host,
            limits: self.host.limits(),
        })
    }
}

/// Why parameters could not be made.
pub(crate) enum Failure {
    /// A value does not fit its type: the request is wrong.
    Cast(String),
    /// A template failed: the execution fails.
    Template(Outcome),
}

/// The live pass: what the caller gave, rendered and cast; this is what is stored.
pub(crate) fn live(prepared: &Prepared, given: &Map, around: &Around<'_>) -> Result<Map, Failure> {
    around.with(prepared, |rendering| rendering.live(given)).map_err(|error| match &*error.class {
        "ParamException" => Failure::Template(failed(&error)),
        _ => Failure::Cast(error.message),
    })
}

/// What a caller gave, cast alone: for callers whose text is data.
pub(crate) fn cast(prepared: &Prepared, given: Map) -> Result<Map, String> {
    convert(prepared, given, |value, schema| params::cast_parameter(value, Some(schema)))
}

/// What was typed in chat: lists are written with commas, and a JSON list is one.
pub(crate) fn cast_alias(prepared: &Prepared, given: Map) -> Result<Map, String> {
    convert(prepared, given, |value, schema| match schema.kind {
        Some(kind) if !value.is_null() => params::cast_from_chat(&value, kind.name(), true),
        _ => Ok(value),
    })
}

fn convert(
    prepared: &Prepared,
    given: Map,
    run: impl Fn(Value, &params::Schema) -> Result<Value, Error>,
) -> Result<Map, String> {
    let one = |(name, value): (squall_model::Str, Value)| match prepared.merged.get(&name) {
        Some(schema) => match run(value, schema) {
            Ok(value) => Ok((name, value)),
            Err(error) => Err(format!("parameter `{name}`: {}", error.message)),
        },
        None => Ok((name, value)),
    };
    given.into_iter().map(one).collect()
}

/// Checks parameters against the schemas, in StackStorm's words.
pub(crate) fn check(prepared: &Prepared, given: &Map) -> Result<(), String> {
    params::validate(&prepared.merged, given).map_err(|e| e.message)
}

/// Refuses parameters that nobody may set.
pub(crate) fn refuse_immutable(prepared: &Prepared, given: &Map) -> Result<(), String> {
    params::refuse_immutable(&prepared.merged, given).map_err(|e| e.message)
}

/// The parameters without those that nobody may set: a run that was held has them all, and they keep their fixed values.
pub(crate) fn settable(prepared: &Prepared, given: &Map) -> Map {
    let one = |name: &squall_model::Str, value: &Value| Map::from_iter([(name.clone(), value.clone())]);
    let all = given.iter().filter(|(name, value)| refuse_immutable(prepared, &one(name, value)).is_ok());
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The final pass, when the runner starts: stored values as they are, defaults rendered. Runner parameters first.
pub(crate) fn finals(prepared: &Prepared, stored: &Map, around: &Around<'_>) -> Result<(Map, Map), Outcome> {
    around.with(prepared, |rendering| rendering.finally(stored)).map_err(|error| failed(&error))
}

fn failed(error: &Error) -> Outcome {
    let result = Value::from_pairs([
        ("error", Value::from(error.message.as_str())),
        ("traceback", format!("{}: {}", error.class, error.message).into()),
    ]);
    Outcome { status: squall_model::Status::Failed, result }
}

/// The sentence of a failed outcome.
pub(crate) fn error_text(outcome: &Outcome) -> String {
    outcome.result.get("error").and_then(Value::as_str).unwrap_or("failed").to_owned()
}

/// A constant of an alias, rendered with `st2kv` and the context's own keys. Values that render unchanged keep their type.
pub(crate) fn render_constant(value: &Value, context: &Map, host: &dyn Host) -> Result<Value, String> {
    let Value::Str(text) = value else {
        if !matches!(value, Value::List(_) | Value::Map(_)) {
            return Ok(value.clone());
        }
        let text = squall_model::to_json(value);
        if !has_template(&text) {
            return Ok(value.clone());
        }
        let rendered = render(&text, context, host)?;
        return squall_model::from_json(&rendered, false).map_err(|e| e.to_string());
    };
    if has_template(text) { render(text, context, host).map(Value::from) } else { Ok(value.clone()) }
}

fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn render(text: &str, context: &Map, host: &dyn Host) -> Result<String, String> {
    use squall_expr::{Engine, Scope, jinja};
    let data = Value::from(context.clone());
    let scope = Scope { engine: Engine::Stack, data: &data, host, limits: host.limits() };
    let compiled = jinja::Template::compile(text, Engine::Stack).map_err(|e| e.message)?;
    compiled.render(&scope).map_err(|e| e.message)
}
