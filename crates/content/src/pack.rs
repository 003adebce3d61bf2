//! Packs: the manifest, and which name the pack goes by.
//!
//! Old manifests are taken as they are: a version with two parts gains a third, a missing `email` is no
//! fault (36 of 64 packs of 2016 have the first, the pack that this product was made for has the second).

use crate::codes;
use crate::reading::{Fields, File};
use squall_model::{PackName, Str, Value};
use squall_yaml::{Kind, Node};
use std::path::PathBuf;

/// A pack.
#[derive(Clone, Debug)]
pub struct Pack {
    /// What references begin with.
    pub reference: PackName,
    /// The name that people read.
    pub name: Str,
    /// What it is for.
    pub description: Option<Str>,
    /// `X.Y.Z`; `0.0.0` where the manifest has none.
    pub version: Str,
    /// Who wrote it.
    pub author: Option<Str>,
    /// Their address.
    pub email: Option<Str>,
    /// Words to find it by.
    pub keywords: Vec<Str>,
    /// Who else wrote it.
    pub contributors: Vec<Str>,
    /// Packs that it needs: `name`, `name=version` or `<git url>=<ref>`.
    pub dependencies: Vec<Str>,
    /// Versions of StackStorm that it runs on.
    pub stackstorm_version: Option<Str>,
    /// Versions of Python that it runs on.
    pub python_versions: Vec<Str>,
    /// Free form.
    pub system: Value,
    /// Its directory; empty for a built-in pack that was not unpacked.
    pub path: PathBuf,
    /// Its `config.schema.yaml`: schemas by key.
    pub config_schema: Option<Value>,
    /// Whether it has Python actions or sensors that need an environment of its own.
    pub needs_python: bool,
    /// Whether it is part of the program.
    pub is_builtin: bool,
}

impl Pack {
    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("pack:{}", self.reference)
    }

    /// For a directory without a readable manifest: its content still counts.
    pub(crate) fn bare(reference: PackName, path: PathBuf, is_builtin: bool) -> Pack {
        Pack {
            name: reference.clone(),
            reference,
            description: None,
            version: Str::from("0.0.0"),
            author: None,
            email: None,
            keywords: Vec::new(),
            contributors: Vec::new(),
            dependencies: Vec::new(),
            stackstorm_version: None,
            python_versions: Vec::new(),
            system: Value::map(),
            path,
            config_schema: None,
            needs_python: false,
            is_builtin,
        }
    }
}

/// Whether a word can be the reference of a pack.
pub(crate) fn is_reference(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 100
        && word != "_global"
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The name that a manifest gives its pack: `ref`, else the directory's name, else `name`.
///
/// While installing nobody knows the directory's name yet, so `dir_name` is `None` then.
pub(crate) fn reference_of(manifest: &Node, dir_name: Option<&str>) -> Option<PackName> {
    let text = |key: &str| manifest.get(key).and_then(|node| node.as_str());
    text("ref")
        .or_else(|| dir_name.filter(|name| is_reference(name)))
        .or_else(|| text("name"))
        .filter(|word| is_reference(word))
        .map(PackName::from)
}

/// Reads `pack.yaml`.
pub(crate) fn read(file: &File<'_>, path: PathBuf) -> Pack {
    let fields = file.fields();
    let mut pack = Pack::bare(file.pack.clone(), path, file.is_builtin);
    if let Some(name) = fields.required_text("name") {
        pack.name = name;
    }
    pack.description = fields.text("description");
    pack.author = fields.text("author");
    pack.email = fields.text("email");
    pack.version = version(file, &fields);
    pack.keywords = fields.texts("keywords");
    pack.contributors = fields.texts("contributors");
    pack.dependencies = fields.texts("dependencies");
    pack.stackstorm_version = fields.text("stackstorm_version");
    pack.python_versions = scalars(fields.list("python_versions").unwrap_or_default());
    pack.system = fields.map("system").map_or_else(Value::map, Node::to_value);
    if let Some(word) = fields.text("ref").filter(|word| !is_reference(word)) {
        let message = format!("`{word}` cannot be the reference of a pack");
        let help = "use lower-case letters, digits and underscores; dashes are not possible";
        file.error_with_help(codes::PACK_REF, fields.span("ref"), message, "has other characters", help);
    }
    pack
}

fn scalars(items: &[Node]) -> Vec<Str> {
    items
        .iter()
        .filter_map(|item| match &item.kind {
            Kind::Scalar { text, .. } => Some(text.clone()),
            Kind::Seq(_) | Kind::Map(_) => None,
        })
        .collect()
}

/// The version in three parts. Numbers count as written: `1.10` is a version, not 1.1.
fn version(file: &File<'_>, fields: &Fields<'_>) -> Str {
    let Some(Kind::Scalar { text, .. }) = fields.get("version").map(|node| &node.kind) else {
        return Str::from("0.0.0");
    };
    if is_semver(text) {
        return text.clone();
    }
    let longer = format!("{text}.0");
    if is_semver(&longer) {
        return Str::from(longer);
    }
    let message = format!("`{text}` is no version of three parts");
    let help = Some("write it as `1.0.0`; the pack is loaded all the same".to_owned());
    file.warning(codes::PACK_VERSION, fields.span("version"), message, "not of the form X.Y.Z", help);
    text.clone()
}

/// `X.Y.Z`, optionally with `-pre` and `+build`.
fn is_semver(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3
        && parts.iter().all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'))
        })
        && text[core.len()..].bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["0.1.0", "1.10.2", "1.0.0-rc.1", "1.0.0+build5"] {
            assert!(is_semver(good), "{good}");
        }
        for bad in ["0.1", "1", "1.02.3", "v1.0.0", "1.0.0.0", "a.b.c", ""] {
            assert!(!is_semver(bad), "{bad}");
        }
    }

    #[test]
    fn references_come_from_ref_then_directory_then_name() {
        let manifest = |text: &str| squall_yaml::parse(text, &Default::default()).unwrap().root;
        let check = |text: &str, dir: Option<&str>, expected: Option<&str>| {
            assert_eq!(reference_of(&manifest(text), dir).as_deref(), expected, "{text}");
        };
        check("{name: X Y, ref: x_y}", Some("other"), Some("x_y"));
        check("{name: lower}", Some("dir"), Some("dir"));
        check("{name: lower}", Some("st2-dir"), Some("lower"));
        check("{name: Upper Case}", Some("st2-dir"), None);
        check("{name: lower}", None, Some("lower"));
        check("{name: x, ref: with-dash}", None, None);
        check("{name: _global}", None, None);
    }
}
