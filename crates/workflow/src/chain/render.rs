//! What templates of a chain see, and what becomes of their texts.
//!
//! Later names hide earlier ones: the action's parameters, results of nodes by their names, variables with what was
//! published, then the fixed names. Parameters see the run's context, the pack's configuration and the system's
//! datastore; `publish` only the datastore; `vars` the user's datastore as well. A rendered text stays text; the
//! parameter's declared type makes a number or a list of it.

use super::load::Node;
use super::state::State;
use crate::{Begin, Host, Registered};
use squall_expr::jinja::Values;
use squall_expr::{Engine, Error, Scope, params};
use squall_model::{Map, Str, Timestamp, Value, to_json};
use std::collections::BTreeSet;

/// A mapping of texts with expressions, entry by entry, so that an error can name its entry.
#[derive(Debug, Default)]
pub(super) struct Texts {
    entries: Vec<(Str, Value, Option<Values>)>,
    /// Keys read as `system.<key>`, the old form of `st2kv.system.<key>`.
    system: Vec<Str>,
    /// Every word of the templates: what is not among them cannot be read by name.
    words: BTreeSet<Str>,
    /// Some template reads `__context`, which holds everything.
    reads_all: bool,
}

impl Texts {
    /// Compiles `mapping`; errors show when it is rendered.
    pub fn compile(mapping: &Map) -> Texts {
        let mut texts = Texts::default();
        for (key, value) in mapping {
            let written = shown(value);
            let dynamic = written.contains("{{") || written.contains("{%") || written.contains("{#");
            let values = dynamic.then(|| Values::compile(&Map::from_iter([(key.clone(), value.clone())])));
            if dynamic {
                texts.system.extend(system_keys(&written));
                texts.words.extend(written.split(|c: char| !c.is_alphanumeric() && c != '_').map(Str::from));
                texts.reads_all |= written.contains("__context");
            }
            texts.entries.push((key.clone(), value.clone(), values));
        }
        texts
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Renders all entries over `data`; an error comes with the entry's name and source.
    fn render(&self, mut data: Map, host: &dyn squall_expr::Host) -> Result<Map, (Str, String, Error)> {
        if !self.system.is_empty() && !data.contains_key("system") {
            let items = self.system.iter().map(|key| {
                let item = host.kv("system", key, false).ok().flatten();
                (key.clone(), item.unwrap_or_else(|| Value::from("")))
            });
            data.insert("system".into(), Value::from(items.collect::<Map>()));
        }
        let data = Value::from(data);
        let scope = Scope { engine: Engine::Stack, data: &data, host, limits: host.limits() };
        let mut rendered = Map::with_capacity(self.entries.len());
        for (key, source, values) in &self.entries {
            match values {
                None => {
                    rendered.insert(key.clone(), source.clone());
                }
                Some(values) => match values.render(&scope) {
                    Ok(entry) => rendered.extend(entry),
                    Err(error) => return Err((key.clone(), shown(source), error)),
                },
            }
        }
        Ok(rendered)
    }
}

/// The text that is rendered for a value.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| to_json(value), str::to_owned)
}

fn system_keys(text: &str) -> Vec<Str> {
    let mut keys = Vec::new();
    let mut before = "";
    for piece in text.split("system.") {
        let is_old = !before.is_empty() && !before.ends_with(['.', '_']) && !before.ends_with(char::is_alphanumeric);
        if is_old {
            let end = piece.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(piece.len());
            keys.extend(piece.get(..end).filter(|key| !key.is_empty()).map(Str::from));
        }
        before = piece;
    }
    keys
}

/// What the templates of a chain see of its run.
pub(super) struct Sight<'s> {
    state: &'s State,
    begin: &'s Begin,
}

impl<'s> Sight<'s> {
    pub fn of(state: &'s State, begin: &'s Begin) -> Sight<'s> {
        Sight { state, begin }
    }

    /// What parameters and `publish` both see, as far as `texts` read it: a chain of many nodes has many results.
    fn names(&self, texts: &Texts) -> Map {
        let layers = [&self.begin.input, &self.state.results, &self.state.vars];
        let pair = |(name, value): (&Str, &Value)| (name.clone(), value.clone());
        let mut names = Map::new();
        for layer in layers {
            match texts.reads_all {
                true => names.extend(layer.iter().map(pair)),
                false => names.extend(texts.words.iter().filter_map(|word| layer.get_key_value(word)).map(pair)),
            }
        }
        names.insert("__results".into(), Value::Map(self.state.results.clone()));
        names
    }
}

/// Why parameters could not be rendered.
pub(super) enum Failure {
    /// A sentence about the entry.
    Text(String),
    /// A list or map was broken by what was filled in: StackStorm stumbles over its own error there.
    Structure(String),
}

/// Renders the chain's `vars`; they do not see one another.
pub(super) fn vars(vars: &Texts, begin: &Begin, host: &dyn Host) -> Result<Map, String> {
    let mut names = begin.input.clone();
    // Without any name nothing is rendered, as StackStorm does for alias texts; here there is always the datastore.
    names.insert(" ".into(), Value::Null);
    vars.render(names, host).map_err(|(_, _, error)| error.message)
}

/// Renders the parameters of a node.
pub(super) fn parameters(node: &Node, sight: &Sight<'_>, host: &dyn Host) -> Result<Map, Failure> {
    let begin = sight.begin;
    let mut names = sight.names(&node.parameters);
    let mut parent = Map::new();
    parent.insert("execution_id".into(), Value::from(begin.execution.as_str()));
    parent.extend(begin.context.iter().map(|(k, v)| (k.clone(), v.clone())));
    names.insert("action_context".into(), Value::from_pairs([("parent", Value::from(parent))]));
    names.insert("config_context".into(), Value::from(begin.config.clone()));
    node.parameters.render(names, &SystemOnly(host)).map_err(|(key, source, error)| {
        if error.class == "JSONDecodeError" {
            return Failure::Structure(BROKEN_STRUCTURE.to_owned());
        }
        Failure::Text(format!(
            "Failed rendering value for action parameter \"{key}\" in task \"{}\" (template string={source}): {}",
            node.name, error.message
        ))
    })
}

/// What StackStorm says when a quote broke a list or map.
const BROKEN_STRUCTURE: &str = "'JSONDecodeError' object has no attribute 'key'";

/// Renders what a node publishes.
pub(super) fn publish(node: &Node, sight: &Sight<'_>, host: &dyn Host) -> Result<Map, String> {
    node.publish.render(sight.names(&node.publish), &SystemOnly(host)).map_err(|(key, source, error)| {
        if error.class == "JSONDecodeError" {
            return BROKEN_STRUCTURE.to_owned();
        }
        format!(
            "Failed rendering value for publish parameter \"{key}\" in task \"{}\" (template string={source}): {}",
            node.name, error.message
        )
    })
}

/// Casts rendered parameters to the types that the action declares; names that it does not know stay.
pub(super) fn cast(mut given: Map, action: &Registered) -> Result<Map, String> {
    let Registered::Yes(known) = action else { return Ok(given) };
    for (name, value) in &mut given {
        let Some(kind) = known.known.get(name).and_then(|parameter| parameter.kind.as_deref()) else { continue };
        *value = params::cast(value, kind).map_err(|error| {
            format!(
                "Failed to cast value \"{}\" (type: {}) for parameter \"{name}\" of type \"{kind}\": {}. Perhaps the value is of an invalid type?",
                squall_expr::python::str(value),
                type_of(value),
                error.message
            )
        })?;
    }
    Ok(given)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Big(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) => "str",
        Value::List(_) => "list",
        Value::Map(_) | Value::Special(_) => "dict",
    }
}

/// A host whose user's datastore is out of sight: only `vars` see it.
struct SystemOnly<'h>(&'h dyn Host);

impl squall_expr::Host for SystemOnly<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        self.0.call(name, args, named)
    }
    fn has(&self, name: &str) -> bool {
        self.0.has(name)
    }
    fn kv(&self, scope: &str, key: &str, decrypt: bool) -> Result<Option<Value>, Error> {
        if scope != "system" {
            return Err(Error::new("UndefinedError", format!("'dict object' has no attribute '{scope}'")));
        }
        self.0.kv(scope, key, decrypt)
    }
    fn name(&self, name: &str) -> Option<Value> {
        self.0.name(name)
    }
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn random(&self, bytes: &mut [u8]) {
        self.0.random(bytes);
    }
    fn limits(&self) -> &squall_expr::Limits {
        self.0.limits()
    }
}

#[cfg(test)]
mod tests {
    use super::system_keys;

    #[test]
    fn the_old_form_of_the_datastore_is_told_from_the_new_one() {
        assert_eq!(system_keys("{{ system.city }}/{{ st2kv.system.town }}/{{ my_system.x }}"), ["city".into()]);
    }
}
