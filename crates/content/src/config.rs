//! Configurations of packs and their schemas.
//!
//! Values are kept as written: Jinja in them is rendered when they are used, and defaults are filled in
//! then. Schemas are taken leniently, since 14 packs of the survey have `$ref` in theirs, which StackStorm
//! refuses and which says exactly what is meant.

use crate::codes;
use crate::files::{PackFiles, read_regular};
use crate::reading::{File, parse};
use squall_model::{PackName, Value};
use squall_yaml::{Diagnostic, Kind, Node};
use std::path::Path;

/// Reads `config.schema.yaml`, if there is one.
pub(crate) fn read_schema(
    pack: &PackName,
    dir_name: &str,
    files: &PackFiles,
    noted: &mut Vec<Diagnostic>,
) -> Option<Value> {
    const NAME: &str = "config.schema.yaml";
    if !files.exists(NAME) {
        return None;
    }
    let file = File::open(pack, dir_name, files, "a configuration schema", NAME, noted)?;
    for (key, schema) in file.root.as_map().unwrap_or_default() {
        let name = key.as_str().unwrap_or_default();
        if schema.as_map().is_none() && !schema.is_null() {
            let message = format!("the schema of `{name}` is no map");
            file.warning(codes::CONFIG_SCHEMA, schema.span, message, format!("this is {}", schema.kind_name()), None);
        }
    }
    let schema = file.root.to_value();
    noted.extend(file.finish());
    Some(schema)
}

/// Reads the live configuration that packs of 2016 carry themselves. One that is empty is an empty map.
pub(crate) fn read_legacy(files: &PackFiles, noted: &mut Vec<Diagnostic>) -> Option<Value> {
    const NAME: &str = "config.yaml";
    if !files.exists(NAME) {
        return None;
    }
    let text = files.read(NAME).ok()?;
    let root = parse(&text, &files.shown(NAME), noted)?;
    if root.is_null() {
        return Some(Value::map());
    }
    root.as_map().map(|_| root.to_value())
}

/// Reads `<configs>/<pack>.yaml`, if there is one, and checks it against the schema.
pub(crate) fn read_values(
    dir: &Path,
    pack: &PackName,
    schema: Option<&Value>,
    noted: &mut Vec<Diagnostic>,
) -> Option<Value> {
    let path = dir.join(format!("{pack}.yaml"));
    if !path.exists() {
        return None;
    }
    let shown = path.display().to_string();
    let text = match read_regular(&path) {
        Ok(text) => text,
        Err(why) => {
            noted.push(Diagnostic::error(codes::UNREADABLE, format!("the file cannot be read: {why}")).in_file(shown));
            return None;
        }
    };
    check_text(&text, &shown, pack, schema, noted)
}

/// What is wrong with a configuration that is about to be written as `shown`.
pub fn check_config(text: &str, shown: &str, pack: &PackName, schema: Option<&Value>) -> Vec<Diagnostic> {
    let mut noted = Vec::new();
    check_text(text, shown, pack, schema, &mut noted);
    noted
}

fn check_text(
    text: &str,
    shown: &str,
    pack: &PackName,
    schema: Option<&Value>,
    noted: &mut Vec<Diagnostic>,
) -> Option<Value> {
    let root = parse(text, shown, noted)?;
    if root.is_null() {
        return Some(Value::map());
    }
    if root.as_map().is_none() {
        let diagnostic = Diagnostic::error(codes::NOT_A_MAP, "a configuration is a map of keys and values").at(
            text,
            root.span,
            format!("this is {}", root.kind_name()),
        );
        noted.push(diagnostic.in_file(shown));
        return None;
    }
    let before = noted.len();
    let mut check = Check { text, shown, pack, noted };
    check.map(&root, schema.unwrap_or(&Value::Null), "");
    let sound = noted.len() == before;
    sound.then(|| root.to_value())
}

struct Check<'a> {
    text: &'a str,
    shown: &'a str,
    pack: &'a PackName,
    noted: &'a mut Vec<Diagnostic>,
}

impl Check<'_> {
    /// The members of a map against schemas by key; keys without a schema are free.
    fn map(&mut self, node: &Node, schemas: &Value, path: &str) {
        for (name, schema) in schemas.as_map().into_iter().flatten() {
            let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
            match node.get(name).filter(|value| !value.is_null()) {
                Some(value) => self.value(value, schema, &path),
                None => self.absent(node, schema, &path),
            }
        }
    }

    fn absent(&mut self, node: &Node, schema: &Value, path: &str) {
        let required = schema.get("required").and_then(Value::as_bool) == Some(true);
        if required && schema.get("default").is_none() {
            let start = squall_yaml::Span { end: node.span.start + 1, ..node.span };
            self.note(start, format!("`{path}` is a required property"), path);
        }
    }

    fn value(&mut self, node: &Node, schema: &Value, path: &str) {
        if let Some(wanted) = schema.get("type").and_then(Value::as_str)
            && !is_of_type(node, wanted)
        {
            self.note(node.span, format!("{} is not of type `{wanted}`", node.kind_name()), path);
            return;
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_list)
            && !allowed.contains(&node.to_value())
        {
            self.note(node.span, "not one of the values that are allowed".to_owned(), path);
        }
        if let (Some(properties), Some(_)) = (schema.get("properties"), node.as_map()) {
            self.map(node, properties, path);
        }
        if let (Some(item), Some(items)) = (schema.get("items").filter(|item| item.as_map().is_some()), node.as_seq()) {
            for (at, value) in items.iter().enumerate() {
                self.value(value, item, &format!("{path}[{at}]"));
            }
        }
    }

    fn note(&mut self, span: squall_yaml::Span, label: String, path: &str) {
        let message = format!("`{path}` in the configuration of pack `{}` does not fit its schema", self.pack);
        let help = format!("the pack runs without this configuration until `{}` is mended", self.shown);
        self.noted
            .push(Diagnostic::error(codes::CONFIG, message).at(self.text, span, label).in_file(self.shown).help(help));
    }
}

fn is_of_type(node: &Node, wanted: &str) -> bool {
    match &node.kind {
        Kind::Seq(_) => wanted == "array",
        Kind::Map(_) => wanted == "object",
        Kind::Scalar { value, .. } => match wanted {
            "string" => matches!(value, Value::Str(_)),
            "integer" => matches!(value, Value::Int(_) | Value::Big(_)),
            "number" => matches!(value, Value::Int(_) | Value::Big(_) | Value::Float(_)),
            "boolean" => matches!(value, Value::Bool(_)),
            "array" | "object" => false,
            _ => true,
        },
    }
}
