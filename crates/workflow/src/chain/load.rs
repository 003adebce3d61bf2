//! Reads a chain: every fault with its place, all at once.
//!
//! Only the first node is held to the schema, because StackStorm's is positional and content with unknown keys in later
//! nodes runs today. What a later node lacks shows when the chain gets there.

use super::render::Texts;
use crate::definition::LoadOptions;
use squall_model::{Map, Str, Value};
use squall_yaml::{Diagnostic, Kind, Node as Yaml, Options, Span};
use std::collections::{HashMap, HashSet};

/// A text that is no YAML.
const NOT_YAML: &str = "SQ2301";
/// A key that is missing, unknown or of the wrong form.
const FORM: &str = "SQ2302";
/// A name that stands for no node.
const NAME: &str = "SQ2303";

/// A chain, checked, with its templates compiled.
#[derive(Debug)]
pub struct Definition {
    pub(super) start: Str,
    pub(super) vars: Texts,
    nodes: Vec<Node>,
    /// Where a name is; of several nodes of one name the first.
    places: HashMap<Str, usize>,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub name: Str,
    pub reference: Str,
    pub parameters: Texts,
    pub on_success: Option<Str>,
    pub on_failure: Option<Str>,
    pub publish: Texts,
    pub notify: Option<Value>,
    /// The node as its child's context shows it, unrendered.
    pub context: Map,
}

impl Definition {
    /// Reads the definition of an action.
    pub fn load(text: &str, options: &LoadOptions) -> Result<Definition, Vec<Diagnostic>> {
        let mut reader = Reader { text, options, problems: Vec::new() };
        match reader.definition() {
            Some(definition) if reader.problems.is_empty() => Ok(definition),
            _ => {
                reader.problems.sort_by_key(|p| (p.line(), p.column()));
                Err(reader.problems)
            }
        }
    }

    /// The node of that name; of several the first.
    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.places.get(name).map(|place| &self.nodes[*place])
    }
}

struct Reader<'t> {
    text: &'t str,
    options: &'t LoadOptions,
    problems: Vec<Diagnostic>,
}

const NODE_KEYS: [&str; 8] = ["name", "ref", "params", "parameters", "on-success", "on-failure", "publish", "notify"];

impl Reader<'_> {
    fn fault(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        let problem = Diagnostic::error(code, message).in_file(self.options.path.clone());
        self.problems.push(problem.at(self.text, span, ""));
    }

    /// Notes a name that no node has, and the one that was probably meant.
    fn no_such_node(&mut self, name: &str, span: Span, message: String, places: &HashMap<Str, usize>) {
        self.fault(NAME, span, message);
        let close = squall_yaml::nearest(name, places.keys().map(|known| &**known));
        if let (Some(close), Some(problem)) = (close, self.problems.last_mut()) {
            problem.help = Some(format!("did you mean `{close}`?"));
        }
    }

    fn definition(&mut self) -> Option<Definition> {
        let root = match squall_yaml::parse(self.text, &Options::workflow()) {
            Ok(document) => document.root,
            Err(error) => {
                let mut problem = Diagnostic::from_yaml_error(NOT_YAML, self.text, &error);
                problem.file = Some(self.options.path.clone());
                let path = &self.options.path;
                problem.message =
                    format!("Failed to parse action chain definition from \"{path}\": {}", error.python());
                self.problems.push(problem);
                return None;
            }
        };
        if root.as_map().is_none() {
            let found = if root.as_seq().is_some() { "list" } else { "str" };
            let path = &self.options.path;
            let text =
                format!("Failed to parse action chain definition from \"{path}\": Expected \"dict\", got \"{found}\"");
            self.fault(FORM, root.span, text);
            return None;
        }
        self.only_keys(&root, &["chain", "default", "vars"]);
        let vars = self.texts(&root, "vars");
        let Some(chain) = root.get("chain") else {
            self.fault(FORM, root.span, "'chain' is a required property");
            return None;
        };
        let Some(items) = chain.as_seq() else {
            self.fault(FORM, chain.span, "`chain` is a list of nodes");
            return None;
        };
        let nodes: Vec<Node> =
            items.iter().enumerate().filter_map(|(place, item)| self.node(item, place == 0)).collect();
        let mut places = HashMap::with_capacity(nodes.len());
        for (place, node) in nodes.iter().enumerate() {
            places.entry(node.name.clone()).or_insert(place);
        }
        self.check_links(items, &places);
        let start = self.start(&root, &nodes, &places, chain.span)?;
        Some(Definition { start, vars, nodes, places })
    }

    fn node(&mut self, yaml: &Yaml, is_first: bool) -> Option<Node> {
        if yaml.as_map().is_none() {
            self.fault(FORM, yaml.span, "a node is a map");
            return None;
        }
        if is_first {
            self.check_first(yaml);
        }
        let text = |key: &str| yaml.get(key).and_then(Yaml::as_str).map(Str::from);
        let filled = |key: &str| yaml.get(key).filter(|y| y.as_map().is_some_and(|pairs| !pairs.is_empty()));
        if let (Some(_), Some(parameters)) = (filled("params"), filled("parameters")) {
            let message = "Either \"params\" or \"parameters\" attribute needs to be provided, but not both";
            self.fault(FORM, parameters.span, message);
        }
        let key = if filled("params").is_some() { "params" } else { "parameters" };
        let reference: Str = text("ref").unwrap_or_else(|| "".into());
        Some(Node {
            name: text("name").unwrap_or_else(|| "".into()),
            reference,
            parameters: self.texts(yaml, key),
            on_success: text("on-success").filter(|name| !name.is_empty()),
            on_failure: text("on-failure").filter(|name| !name.is_empty()),
            publish: self.texts(yaml, "publish"),
            notify: yaml.get("notify").map(Yaml::to_value).filter(Value::is_truthy).map(|notify| routes(&notify)),
            context: context(yaml),
        })
    }

    fn check_first(&mut self, yaml: &Yaml) {
        self.only_keys(yaml, &NODE_KEYS);
        for key in ["name", "ref"] {
            match yaml.get(key) {
                None => self.fault(FORM, yaml.span, format!("'{key}' is a required property")),
                Some(value) if value.as_str().is_none() => {
                    self.fault(FORM, value.span, format!("`{key}` is a text"));
                }
                Some(_) => {}
            }
        }
        for key in ["on-success", "on-failure"] {
            if let Some(value) = yaml.get(key).filter(|value| value.as_str().is_none()) {
                self.fault(FORM, value.span, format!("`{key}` is the name of a node"));
            }
        }
        if let Some(notify) = yaml.get("notify") {
            self.only_keys(notify, &["on-complete", "on-success", "on-failure"]);
            for (_, section) in notify.as_map().unwrap_or_default() {
                self.only_keys(section, &["message", "data", "routes", "channels"]);
            }
        }
    }

    fn only_keys(&mut self, yaml: &Yaml, known: &[&str]) {
        for (key, _) in yaml.as_map().unwrap_or_default() {
            let name = key_text(key);
            if !known.contains(&&*name) {
                self.fault(FORM, key.span, format!("Additional properties are not allowed ('{name}' was unexpected)"));
                let close = squall_yaml::nearest(&name, known.iter().copied());
                if let (Some(close), Some(problem)) = (close, self.problems.last_mut()) {
                    problem.help = Some(format!("did you mean `{close}`?"));
                }
            }
        }
    }

    fn texts(&mut self, yaml: &Yaml, key: &str) -> Texts {
        let Some(value) = yaml.get(key).filter(|value| !value.is_null()) else { return Texts::default() };
        match value.as_map() {
            Some(pairs) => {
                let map: Map = pairs.iter().map(|(key, value)| (key_text(key), value.to_value())).collect();
                Texts::compile(&map)
            }
            None => {
                self.fault(FORM, value.span, format!("`{key}` is a map"));
                Texts::default()
            }
        }
    }

    fn check_links(&mut self, items: &[Yaml], places: &HashMap<Str, usize>) {
        for yaml in items {
            let name = yaml.get("name").and_then(Yaml::as_str).unwrap_or("");
            for key in ["on-success", "on-failure"] {
                let Some((link, target)) = yaml.get(key).and_then(|link| Some((link, link.as_str()?))) else {
                    continue;
                };
                // A name with Jinja in it passes, and fails when it is reached.
                let known = target.is_empty() || target.contains("{{") || places.contains_key(target);
                if !known {
                    let text = format!(
                        "Unable to find node with name \"{target}\" referenced in \"{key}\" in task \"{name}\"."
                    );
                    self.no_such_node(target, link.span, text, places);
                }
            }
        }
    }

    /// `default`, else the first node that none names, else the first.
    fn start(&mut self, root: &Yaml, nodes: &[Node], places: &HashMap<Str, usize>, span: Span) -> Option<Str> {
        if let Some(default) = root.get("default")
            && let Some(name) = default.as_str().filter(|name| !name.is_empty())
        {
            if places.contains_key(name) {
                return Some(name.into());
            }
            let text = format!("Unable to find node with name \"{name}\" referenced in \"default\".");
            self.no_such_node(name, default.span, text, places);
            return None;
        }
        let named: HashSet<&Str> =
            nodes.iter().flat_map(|node| node.on_success.iter().chain(&node.on_failure)).collect();
        let start = nodes.iter().find(|node| !named.contains(&node.name)).or(nodes.first());
        if start.is_none() {
            let action = &self.options.reference;
            self.fault(FORM, span, format!("Failed to find default node in {action}."));
        }
        start.map(|node| node.name.clone())
    }
}

fn key_text(key: &Yaml) -> Str {
    match &key.kind {
        Kind::Scalar { text, .. } => text.clone(),
        Kind::Seq(_) | Kind::Map(_) => "".into(),
    }
}

/// `channels` is the old name of `routes`.
fn routes(notify: &Value) -> Value {
    let Some(sections) = notify.as_map() else { return notify.clone() };
    let renamed = sections.iter().map(|(name, section)| {
        let Some(section) = section.as_map() else { return (name.clone(), section.clone()) };
        let mut section = section.clone();
        if let Some(channels) = section.shift_remove("channels") {
            section.entry("routes".into()).or_insert(channels);
        }
        (name.clone(), Value::from(section))
    });
    Value::from(renamed.collect::<Map>())
}

/// The node with the keys under which a child's context shows it.
fn context(yaml: &Yaml) -> Map {
    const KEYS: [(&str, &str); 8] = [
        ("name", "name"),
        ("ref", "ref"),
        ("params", "params"),
        ("parameters", "parameters"),
        ("publish", "publish"),
        ("notify", "notify"),
        ("on-success", "on_success"),
        ("on-failure", "on_failure"),
    ];
    KEYS.iter().map(|(key, shown)| ((*shown).into(), yaml.get(key).map(Yaml::to_value).unwrap_or_default())).collect()
}
