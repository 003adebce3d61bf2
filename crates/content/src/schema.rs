//! Schemas of parameters: which keys they may have, as StackStorm's closed schema says.
//!
//! The schema itself stays a value; casting and validation of what people supply are the business of
//! `expr`. Defaults of the wrong type pass, since 13 packs of the survey have some.

use crate::codes;
use crate::reading::File;
use squall_expr::params::Schema;
use squall_model::{Str, Value};
use squall_yaml::nearest;
use squall_yaml::{Kind, Node};

/// The types that a schema can name.
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

/// What the value of a key must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Any,
    Text,
    Number,
    Boolean,
    List,
    Map,
    SchemaOrBoolean,
    SchemaOrList,
    Schemas,
    Type,
    Enum,
}

const KEYS: &[(&str, Form)] = &[
    ("id", Form::Text),
    ("$schema", Form::Text),
    ("title", Form::Text),
    ("description", Form::Text),
    ("default", Form::Any),
    ("multipleOf", Form::Number),
    ("maximum", Form::Number),
    ("exclusiveMaximum", Form::Boolean),
    ("minimum", Form::Number),
    ("exclusiveMinimum", Form::Boolean),
    ("maxLength", Form::Number),
    ("minLength", Form::Number),
    ("pattern", Form::Text),
    ("additionalItems", Form::SchemaOrBoolean),
    ("items", Form::SchemaOrList),
    ("maxItems", Form::Number),
    ("minItems", Form::Number),
    ("uniqueItems", Form::Boolean),
    ("maxProperties", Form::Number),
    ("minProperties", Form::Number),
    ("required", Form::Boolean),
    ("secret", Form::Boolean),
    ("additionalProperties", Form::SchemaOrBoolean),
    ("definitions", Form::Map),
    ("properties", Form::Schemas),
    ("patternProperties", Form::Schemas),
    ("dependencies", Form::Map),
    ("enum", Form::Enum),
    ("type", Form::Type),
    ("position", Form::Number),
    ("immutable", Form::Boolean),
    ("allOf", Form::List),
    ("anyOf", Form::List),
    ("oneOf", Form::List),
    ("not", Form::Map),
];

/// Checks the schema of a parameter; problems are noted in the file.
pub(crate) fn check(file: &File<'_>, name: &str, schema: &Node) {
    if schema.is_null() {
        return;
    }
    let Some(pairs) = schema.as_map() else {
        let label = format!("this is {}", schema.kind_name());
        let help = format!("write `{name}: {{type: string, default: …}}`");
        file.error_with_help(
            codes::PARAMETER_SCHEMA,
            schema.span,
            format!("the schema of `{name}` must be a map"),
            label,
            help,
        );
        return;
    };
    for (key, value) in pairs {
        let Some(word) = key.as_str() else { continue };
        match KEYS.iter().find(|(known, _)| *known == word) {
            Some((_, form)) => check_value(file, name, word, *form, value),
            None => unknown(file, name, word, key),
        }
    }
    let word = |key: &str| schema.get(key).is_some();
    for (key, needed) in [("exclusiveMaximum", "maximum"), ("exclusiveMinimum", "minimum")] {
        if word(key) && !word(needed) {
            let span = schema.entry(key).map_or(schema.span, |(key, _)| key.span);
            let message = format!("`{key}` of `{name}` needs `{needed}` beside it");
            file.error(codes::PARAMETER_SCHEMA, span, message, "means nothing alone");
        }
    }
}

fn unknown(file: &File<'_>, name: &str, word: &str, key: &Node) {
    let help = match (word, nearest(word, KEYS.iter().map(|(known, _)| *known))) {
        ("format", _) => "StackStorm has no formats in parameters; use `pattern`".to_owned(),
        (_, Some(known)) => format!("did you mean `{known}`?"),
        (_, None) => "see the parameters reference for the keys of a schema".to_owned(),
    };
    let message = format!("`{word}` is no key of a parameter's schema (parameter `{name}`)");
    file.error_with_help(codes::PARAMETER_SCHEMA, key.span, message, "has no meaning here", help);
}

fn check_value(file: &File<'_>, name: &str, word: &str, form: Form, value: &Node) {
    let wrong = |wanted: &str| {
        let message = format!("`{word}` of parameter `{name}` must be {wanted}");
        file.error(codes::PARAMETER_SCHEMA, value.span, message, format!("this is {}", value.kind_name()));
    };
    if value.is_null() {
        // An empty key is as good as none; only `default: null` means something.
        return;
    }
    let scalar = match &value.kind {
        Kind::Scalar { value, .. } => Some(value),
        Kind::Seq(_) | Kind::Map(_) => None,
    };
    match form {
        Form::Any => {}
        Form::Text if value.as_str().is_none() => wrong("a text"),
        Form::Number if !matches!(scalar, Some(Value::Int(_) | Value::Float(_))) => wrong("a number"),
        Form::Boolean if !matches!(scalar, Some(Value::Bool(_))) && word == "required" && value.as_seq().is_some() => {
            let message = format!("`required` of parameter `{name}` must be true or false");
            let help = "write `required: true` inside each property instead of a list beside them";
            file.error_with_help(codes::PARAMETER_SCHEMA, value.span, message, "this is a list", help);
        }
        Form::Boolean if !matches!(scalar, Some(Value::Bool(_))) => wrong("true or false"),
        Form::List if value.as_seq().is_none() => wrong("a list"),
        Form::Map if value.as_map().is_none() => wrong("a map"),
        Form::Text | Form::Number | Form::Boolean | Form::List | Form::Map => {}
        Form::SchemaOrBoolean if matches!(scalar, Some(Value::Bool(_))) => {}
        Form::SchemaOrBoolean => check(file, name, value),
        Form::SchemaOrList => match value.as_seq() {
            Some(items) => items.iter().for_each(|item| check(file, name, item)),
            None => check(file, name, value),
        },
        Form::Schemas => match value.as_map() {
            Some(pairs) => pairs.iter().for_each(|(key, schema)| check(file, key.as_str().unwrap_or(name), schema)),
            None => wrong("a map of schemas"),
        },
        Form::Type => check_type(file, name, value),
        Form::Enum => check_enum(file, name, value),
    }
}

fn check_type(file: &File<'_>, name: &str, value: &Node) {
    let message = format!("`type` of parameter `{name}` must be one of {}", TYPES.join(", "));
    match value.as_str() {
        Some(word) if TYPES.contains(&word) => {}
        Some(word) => {
            let alias = match word {
                "str" | "text" => Some("string"),
                "int" => Some("integer"),
                "bool" => Some("boolean"),
                "float" => Some("number"),
                "list" => Some("array"),
                "dict" | "map" | "hash" => Some("object"),
                _ => nearest(word, TYPES.iter().copied()),
            };
            match alias {
                Some(known) => {
                    let help = format!("did you mean `{known}`?");
                    file.error_with_help(codes::PARAMETER_SCHEMA, value.span, message, "no such type", help);
                }
                None => file.error(codes::PARAMETER_SCHEMA, value.span, message, "no such type"),
            }
        }
        None if value.as_seq().is_some() => {
            let help = "leave `type` out if several types are wanted";
            file.error_with_help(codes::PARAMETER_SCHEMA, value.span, message, "a list of types is not possible", help);
        }
        None => file.error(codes::PARAMETER_SCHEMA, value.span, message, format!("this is {}", value.kind_name())),
    }
}

fn check_enum(file: &File<'_>, name: &str, value: &Node) {
    let items = value.as_seq().unwrap_or_default();
    if items.is_empty() {
        let message = format!("`enum` of parameter `{name}` must be a list with at least one value");
        file.error(codes::PARAMETER_SCHEMA, value.span, message, format!("this is {}", value.kind_name()));
        return;
    }
    let values: Vec<Value> = items.iter().map(Node::to_value).collect();
    for (at, value) in values.iter().enumerate() {
        if values[..at].contains(value) {
            let message = format!("`enum` of parameter `{name}` has a value twice");
            file.error(codes::PARAMETER_SCHEMA, items[at].span, message, "already in the list");
        }
    }
}

/// Whether a name may be that of a parameter: letters, digits and underscores.
pub(crate) fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// An empty key is as good as none; only an empty default means something.
fn without_nulls(schema: Value) -> Value {
    match schema {
        Value::Map(map) => {
            let said = map.iter().filter(|(key, value)| !value.is_null() || &***key == "default");
            Value::from(said.map(|(key, value)| (key.clone(), value.clone())).collect::<squall_model::Map>())
        }
        Value::Null => Value::map(),
        other => other,
    }
}

/// The schemas of `parameters`, each checked; every one of them is one that `expr` can read.
pub(crate) fn parameters(file: &File<'_>, node: Option<&Node>) -> indexmap::IndexMap<Str, Value> {
    let mut parameters = indexmap::IndexMap::new();
    for (key, schema) in node.and_then(|node| node.as_map()).unwrap_or_default() {
        let name = match &key.kind {
            Kind::Scalar { text, .. } => text.clone(),
            Kind::Seq(_) | Kind::Map(_) => continue,
        };
        if !is_word(&name) {
            let message = format!("`{name}` cannot be the name of a parameter");
            file.error(codes::BAD_NAME, key.span, message, "letters, digits and underscores only");
        }
        check(file, &name, schema);
        let value = without_nulls(schema.to_value());
        if let Err(error) = Schema::parse(&value)
            && !file.has_failed()
        {
            let message = format!("the schema of `{name}` cannot be used");
            file.error(codes::PARAMETER_SCHEMA, schema.span, message, error.message);
        }
        parameters.insert(name, value);
    }
    parameters
}
