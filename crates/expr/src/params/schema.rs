//! The description of one parameter, and how a runner's and an action's are put together.

use crate::Error;
use indexmap::IndexMap;
use squall_model::{Map, Str, Value};
use std::fmt;
use std::sync::Arc;

/// Descriptions of parameters by name, in the order in which they are written.
pub type Schemas = IndexMap<Str, Schema>;

/// The types of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A list.
    Array,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// Nothing.
    Null,
    /// Any number.
    Number,
    /// A map.
    Object,
    /// A text.
    String,
}

impl Kind {
    /// The kind that metadata calls `name`.
    pub fn parse(name: &str) -> Option<Kind> {
        Some(match name {
            "array" => Kind::Array,
            "boolean" => Kind::Boolean,
            "integer" => Kind::Integer,
            "null" => Kind::Null,
            "number" => Kind::Number,
            "object" => Kind::Object,
            "string" => Kind::String,
            _ => return None,
        })
    }

    /// As metadata writes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Array => "array",
            Kind::Boolean => "boolean",
            Kind::Integer => "integer",
            Kind::Null => "null",
            Kind::Number => "number",
            Kind::Object => "object",
            Kind::String => "string",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Its type; none means any.
    pub kind: Option<Kind>,
    /// What it is without a value; a `default: null` is some null.
    pub default: Option<Value>,
    /// Whether a value must be given.
    pub required: bool,
    /// Whether its value is masked for people.
    pub secret: bool,
    /// Whether callers may not set it.
    pub immutable: bool,
    /// Its place among positional arguments.
    pub position: Option<i64>,
    /// What it is for.
    pub description: Option<Str>,
    /// All keys as written, for validation and display.
    pub raw: Arc<Map>,
}

/// The keys that a parameter may have.
const KEYS: &[&str] = &[
    "id",
    "$schema",
    "title",
    "description",
    "default",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "additionalItems",
    "items",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "secret",
    "additionalProperties",
    "definitions",
    "properties",
    "patternProperties",
    "dependencies",
    "enum",
    "type",
    "position",
    "immutable",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
];

impl Schema {
    /// Reads a parameter's description; an error names the key and what is wrong with it.
    pub fn parse(value: &Value) -> Result<Schema, Error> {
        let wrong = |what: String| Error::new("SchemaError", what);
        let raw = match value {
            Value::Map(map) => map.clone(),
            Value::Null => Arc::default(),
            other => return Err(wrong(format!("{} is not of type 'object'", crate::python::repr(other)))),
        };
        if let Some(unknown) = raw.keys().find(|key| !KEYS.contains(&&***key)) {
            let message = format!("Additional properties are not allowed ('{unknown}' was unexpected)");
            return Err(wrong(message));
        }
        let flag = |key: &str| match raw.get(key) {
            None => Ok(false),
            Some(Value::Bool(b)) => Ok(*b),
            Some(other) => Err(wrong(format!("{} is not of type 'boolean' (key `{key}`)", crate::python::repr(other)))),
        };
        let kind = match raw.get("type") {
            None => None,
            Some(Value::Str(name)) => match Kind::parse(name) {
                Some(kind) => Some(kind),
                None => {
                    return Err(wrong(format!(
                        "'{name}' is not one of ['array', 'boolean', 'integer', 'null', 'number', 'object', 'string']"
                    )));
                }
            },
            Some(other) => return Err(wrong(format!("{} is not a type name", crate::python::repr(other)))),
        };
        let position = match raw.get("position") {
            None => None,
            Some(Value::Int(n)) if *n >= 0 => Some(*n),
            Some(Value::Float(x)) if *x >= 0.0 && x.fract() == 0.0 && *x < 1e9 => Some(*x as i64),
            Some(other) => return Err(wrong(format!("{} is no position", crate::python::repr(other)))),
        };
        match raw.get("enum") {
            None => {}
            Some(Value::List(all)) if !all.is_empty() => {}
            Some(other) => {
                return Err(wrong(format!("{} is no list of values (key `enum`)", crate::python::repr(other))));
            }
        }
        for (bound, exclusive) in [("maximum", "exclusiveMaximum"), ("minimum", "exclusiveMinimum")] {
            if raw.contains_key(exclusive) && !raw.contains_key(bound) {
                return Err(wrong(format!("'{bound}' is a dependency of '{exclusive}'")));
            }
        }
        Ok(Schema {
            kind,
            default: raw.get("default").cloned(),
            required: flag("required")?,
            secret: flag("secret")?,
            immutable: flag("immutable")?,
            position,
            description: match raw.get("description") {
                Some(Value::Str(text)) => Some(text.clone()),
                _ => None,
            },
            raw,
        })
    }
}

/// Reads a map of parameters; the error names the parameter.
pub fn schemas(parameters: &Value) -> Result<Schemas, Error> {
    let map = match parameters {
        Value::Map(map) => map,
        Value::Null => return Ok(Schemas::new()),
        other => {
            return Err(Error::new("SchemaError", format!("{} is not of type 'object'", crate::python::repr(other))));
        }
    };
    map.iter()
        .map(|(name, value)| match Schema::parse(value) {
            Ok(schema) => Ok((name.clone(), schema)),
            Err(error) => Err(Error { message: format!("parameter `{name}`: {}", error.message), ..error }),
        })
        .collect()
}

/// The parameters of an action with those of its runner: key by key the action's word counts.
pub fn merge(runner: &Schemas, action: &Schemas) -> Schemas {
    let mut merged = runner.clone();
    for (name, schema) in action {
        match merged.get_mut(name) {
            None => {
                merged.insert(name.clone(), schema.clone());
            }
            Some(below) => {
                let raw = overlay(&Value::Map(below.raw.clone()), &Value::Map(schema.raw.clone()));
                *below = Schema::parse(&raw).unwrap_or_else(|_| schema.clone());
            }
        }
    }
    merged
}

fn overlay(below: &Value, above: &Value) -> Value {
    match (below, above) {
        (Value::Map(below), Value::Map(above)) => {
            let mut merged = (**below).clone();
            for (key, value) in above.iter() {
                let value = match merged.get(key) {
                    Some(under) => overlay(under, value),
                    None => value.clone(),
                };
                merged.insert(key.clone(), value);
            }
            merged.into()
        }
        (_, above) => above.clone(),
    }
}

/// Keys that an action may set anew for a parameter of its runner.
const OVERRIDABLE: &[&str] = &["default", "description", "enum", "immutable", "required"];

/// Everything that is wrong with an action's parameters at registration, in StackStorm's sentences.
pub fn registration_problems(reference: &str, runner: &Schemas, action: &Schemas) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, schema) in action {
        let below = runner.get(name);
        if let Some(below) = below {
            for (key, value) in schema.raw.iter() {
                if !OVERRIDABLE.contains(&&**key) && below.raw.get(key) != Some(value) {
                    problems.push(format!(
                        "The attribute \"{key}\" for the runner parameter \"{name}\" in action \"{reference}\" cannot be overridden."
                    ));
                }
            }
            if schema.raw.contains_key("immutable") && below.raw.contains_key("immutable") {
                problems.push(format!("Param {name} is declared immutable in runner. Cannot override in action."));
            }
        }
        let has_default = schema.raw.contains_key("default") || below.is_some_and(|b| b.raw.contains_key("default"));
        if schema.raw.contains_key("immutable") && !has_default {
            problems.push(format!("Immutable param {name} requires a default value."));
        }
    }
    problems.extend(position_problems(&merge(runner, action)));
    problems
}

fn position_problems(merged: &Schemas) -> Vec<String> {
    let mut problems = Vec::new();
    let mut taken: IndexMap<i64, &Str> = IndexMap::new();
    for (name, schema) in merged {
        let Some(position) = schema.position else { continue };
        if let Some(other) = taken.insert(position, name) {
            problems.push(format!(
                "Parameters {other} and {name} have same position {position}. Position values have to be unique."
            ));
        }
    }
    let mut positions: Vec<i64> = taken.into_keys().collect();
    positions.sort_unstable();
    if positions.windows(2).any(|pair| pair[1] != pair[0] + 1) {
        problems.push(format!("Positions supplied {positions:?} for parameters are not contiguous."));
    }
    problems
}
