//! Mappings of texts with expressions, rendered value by value.
//!
//! The parameters and publish of chains, alias acknowledgements, notification data: lists and maps are
//! rendered as one JSON text and read back, so a quote that an expression inserts breaks them there as it
//! does in StackStorm; what rendering does not change keeps its type.

use super::Template;
use crate::{Engine, Error, Scope};
use squall_model::{Map, Str, Value, from_json, to_json};

/// A mapping, compiled.
#[derive(Debug)]
pub struct Values {
    entries: Vec<(Str, Entry)>,
}

#[derive(Debug)]
enum Entry {
    /// Nothing to render.
    Plain(Value),
    Text(Value, Result<Template, Error>),
    Json(Value, String, Result<Template, Error>),
}

impl Values {
    /// Compiles all entries; a syntax error is reported when the mapping is rendered.
    pub fn compile(mapping: &Map) -> Values {
        let entry = |value: &Value| match value {
            Value::Str(text) if dynamic(text) || text.ends_with(['\n', '\r']) => {
                Entry::Text(value.clone(), Template::compile(text, Engine::Stack))
            }
            Value::List(_) | Value::Map(_) => {
                let json = to_json(value);
                if dynamic(&json) {
                    let template = Template::compile(&json, Engine::Stack);
                    Entry::Json(value.clone(), json, template)
                } else {
                    Entry::Plain(value.clone())
                }
            }
            other => Entry::Plain(other.clone()),
        };
        Values { entries: mapping.iter().map(|(key, value)| (key.clone(), entry(value))).collect() }
    }

    /// Renders with the data of `scope`, which is also there as a whole under `__context`. Without any data
    /// nothing is rendered.
    pub fn render(&self, scope: &Scope) -> Result<Map, Error> {
        let context = match scope.data {
            Value::Map(context) if !context.is_empty() => context,
            _ => {
                let original = |entry: &Entry| match entry {
                    Entry::Plain(value) | Entry::Text(value, _) | Entry::Json(value, ..) => value.clone(),
                };
                return Ok(self.entries.iter().map(|(key, entry)| (key.clone(), original(entry))).collect());
            }
        };
        let mut data = (**context).clone();
        data.insert("__context".into(), scope.data.clone());
        let data = Value::from(data);
        let scope = Scope { data: &data, ..*scope };
        let mut rendered = Map::new();
        for (key, entry) in &self.entries {
            rendered.insert(key.clone(), entry.render(&scope)?);
        }
        Ok(rendered)
    }
}

impl Entry {
    fn render(&self, scope: &Scope) -> Result<Value, Error> {
        match self {
            Entry::Plain(value) => Ok(value.clone()),
            Entry::Text(value, template) => {
                let text = template.as_ref().map_err(Clone::clone)?.render(scope)?;
                Ok(if value.as_str() == Some(&text) { value.clone() } else { Value::from(text) })
            }
            Entry::Json(value, json, template) => {
                let text = template.as_ref().map_err(Clone::clone)?.render(scope)?;
                if text == *json {
                    return Ok(value.clone());
                }
                from_json(&text, false).map_err(|e| Error::new("JSONDecodeError", e.to_string()))
            }
        }
    }
}

/// Whether a text can change when it is rendered.
pub(crate) fn dynamic(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}
