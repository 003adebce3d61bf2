//! Reads a chain: every fault with its place, all at once.
//!
//! Only the first node is held to the schema, because StackStorm's is positional and content with unknown keys in later
//! nodes runs today. What a later node lacks shows when the chain gets there.

use super::render::Texts;
use crate::definition::LoadOptions;
use squall_expr::Engine;
use squall_expr::jinja::Template;
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
    /// What is wrong with a later node; its key comes first. It shows when the chain gets there.
    pub malformed: Vec<(&'static str, String)>,
    /// The node as its child's context shows it, unrendered.
    pub context: Map,
}

impl Node {
    /// What is wrong with one of these keys.
    pub fn fault(&self, keys: &[&str]) -> Option<&str> {
        self.malformed.iter().find(|(key, _)| keys.contains(key)).map(|(_, fault)| &**fault)
    }
}

impl Definition {
    /// Reads the definition of an action.
    pub fn load(text: &str, options: &LoadOptions) -> Result<Definition, Vec<Diagnostic>> {
        let mut reader = Reader { text, options, problems: Vec::new() };
        match reader.definition() {
            Some(definition) if !reader.problems.iter().any(Diagnostic::is_error) => Ok(definition),
            _ => Err(reader.sorted()),
        }
    }

    /// Everything that can be said against a definition, warnings included: what fails only when the chain gets there.
    pub(crate) fn inspect(text: &str, options: &LoadOptions) -> Vec<Diagnostic> {
        let mut reader = Reader { text, options, problems: Vec::new() };
        reader.definition();
        reader.sorted()
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

const NOTIFY_KEYS: [&str; 3] = ["on-complete", "on-success", "on-failure"];
const NODE_KEYS: [&str; 8] = ["name", "ref", "params", "parameters", "on-success", "on-failure", "publish", "notify"];

impl Reader<'_> {
    /// Notes a fault; one is enough for a place.
    fn fault(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        if self.problems.iter().any(|problem| problem.is_error() && is_at(problem, span)) {
            return;
        }
        let problem = Diagnostic::error(code, message).in_file(self.options.path.clone());
        self.problems.push(problem.at(self.text, span, ""));
    }

    /// Notes a name that no node has, and the one that was probably meant.
    fn no_such_node(&mut self, name: &str, span: Span, message: String, places: &HashMap<Str, usize>) {
        self.fault(NAME, span, message);
        self.suggest(span, name, places.keys().map(|known| &**known));
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
        self.form(&root, "default", "a text", |value| value.as_str().is_some());
        self.form(&root, "vars", "a map", |value| value.as_map().is_some());
        self.check_keys(root.get("vars"));
        let vars = texts(&root, "vars");
        let Some(chain) = root.get("chain") else {
            self.fault(FORM, root.span, "'chain' is a required property");
            return None;
        };
        let Some(items) = chain.as_seq() else {
            self.fault(FORM, chain.span, format!("`chain` is a list of nodes, not {}", chain.kind_name()));
            return None;
        };
        let nodes: Vec<Node> =
            items.iter().enumerate().filter_map(|(place, item)| self.node(item, place == 0)).collect();
        let mut places = HashMap::with_capacity(nodes.len());
        for (place, node) in nodes.iter().enumerate() {
            places.entry(node.name.clone()).or_insert(place);
        }
        for key in ["params", "parameters", "publish"] {
            items.iter().filter_map(|item| item.get(key)).for_each(|value| self.check_templates(value));
        }
        root.get("vars").into_iter().for_each(|vars| self.check_templates(vars));
        self.check_links(items, &places);
        let start = self.start(&root, items, &places, chain.span)?;
        Some(Definition { start, vars, nodes, places })
    }

    fn node(&mut self, yaml: &Yaml, is_first: bool) -> Option<Node> {
        let Some(pairs) = yaml.as_map() else {
            self.fault(FORM, yaml.span, format!("a node is a map, not {}", yaml.kind_name()));
            return None;
        };
        for (key, _) in pairs.iter().filter(|(key, _)| key.as_str().is_none()) {
            self.fault(FORM, key.span, format!("the key of a node is a text, not {}", key.kind_name()));
        }
        if is_first {
            self.check_first(yaml);
        } else {
            self.check_later(yaml);
        }
        let filled = |key: &str| yaml.get(key).filter(|y| y.to_value().is_truthy());
        if let (Some(_), Some(parameters)) = (filled("params"), filled("parameters")) {
            let message = "Either \"params\" or \"parameters\" attribute needs to be provided, but not both";
            self.fault(FORM, parameters.span, message);
        }
        let key = if filled("params").is_some() { "params" } else { "parameters" };
        Some(Node {
            name: name_of(yaml.get("name")).unwrap_or_else(|| "".into()),
            reference: name_of(yaml.get("ref")).unwrap_or_else(|| "".into()),
            parameters: texts(yaml, key),
            on_success: name_of(yaml.get("on-success")).filter(|name| !name.is_empty()),
            on_failure: name_of(yaml.get("on-failure")).filter(|name| !name.is_empty()),
            publish: texts(yaml, "publish"),
            notify: filled("notify").map(|notify| routes(&notify.to_value())),
            malformed: malformed(yaml, key),
            context: context(yaml),
        })
    }

    fn check_first(&mut self, yaml: &Yaml) {
        self.only_keys(yaml, &NODE_KEYS);
        for key in ["name", "ref"] {
            if yaml.get(key).is_none() {
                self.fault(FORM, yaml.span, format!("'{key}' is a required property"));
            }
        }
        for key in ["name", "ref", "on-success", "on-failure"] {
            self.form(yaml, key, "a text", |value| value.as_str().is_some());
        }
        for key in ["params", "parameters", "publish", "notify"] {
            self.form(yaml, key, "a map", |value| value.as_map().is_some());
        }
        self.check_keys(yaml.get("publish"));
        if let Some(notify) = yaml.get("notify").filter(|notify| notify.as_map().is_some()) {
            self.only_keys(notify, &NOTIFY_KEYS);
            for (key, section) in notify.as_map().unwrap_or_default() {
                self.form(notify, &key_text(key), "a map", |value| value.as_map().is_some());
                self.only_keys(section, &["message", "data", "routes", "channels"]);
                self.form(section, "message", "a text", |value| value.as_str().is_some());
                self.form(section, "data", "a map", |value| value.as_map().is_some());
                for key in ["routes", "channels"] {
                    self.form(section, key, "a list", |value| value.as_seq().is_some());
                }
            }
        }
    }

    /// What a later node lacks shows when the chain gets there.
    fn check_later(&mut self, yaml: &Yaml) {
        for (key, _) in yaml.as_map().unwrap_or_default() {
            let name = key_text(key);
            if !NODE_KEYS.contains(&&*name) {
                self.warn(key.span, format!("a node has no key `{name}`"), squall_yaml::nearest(&name, NODE_KEYS));
            }
        }
        for key in ["name", "ref"].into_iter().filter(|key| yaml.get(key).is_none()) {
            self.warn(yaml.span, format!("this node has no `{key}`: the chain fails when it gets here"), None);
        }
        let key = if yaml.get("params").is_some() { "params" } else { "parameters" };
        for (key, text) in malformed(yaml, key) {
            let span = yaml.get(key).map_or(yaml.span, |value| value.span);
            self.warn(span, format!("{text}: the chain fails when it gets here"), None);
        }
    }

    /// A template that cannot be read fails when it is rendered.
    fn check_templates(&mut self, yaml: &Yaml) {
        match &yaml.kind {
            Kind::Scalar { value: Value::Str(text), .. } => {
                let problem = Template::compile(text, Engine::Stack).err();
                problem.into_iter().for_each(|error| self.warn(yaml.span, error.message, None));
            }
            Kind::Scalar { .. } => {}
            Kind::Seq(items) => items.iter().for_each(|item| self.check_templates(item)),
            Kind::Map(pairs) => pairs.iter().for_each(|(_, value)| self.check_templates(value)),
        }
    }

    fn warn(&mut self, span: Span, message: impl Into<String>, near: Option<&str>) {
        let mut problem = Diagnostic::warning(FORM, message).in_file(self.options.path.clone()).at(self.text, span, "");
        problem.help = near.map(|near| format!("did you mean `{near}`?"));
        self.problems.push(problem);
    }

    fn sorted(self) -> Vec<Diagnostic> {
        let mut problems = self.problems;
        problems.sort_by_key(|p| (p.line(), p.column()));
        problems
    }

    /// Adds to the fault at `span` which of the known names was probably meant.
    fn suggest<'k>(&mut self, span: Span, name: &str, known: impl IntoIterator<Item = &'k str>) {
        let last = self.problems.last_mut().filter(|problem| is_at(problem, span));
        if let (Some(near), Some(problem)) = (squall_yaml::nearest(name, known), last) {
            problem.help = Some(format!("did you mean `{near}`?"));
        }
    }

    /// Finds fault with the member `key`, if it is there and has not the form.
    fn form(&mut self, yaml: &Yaml, key: &str, what: &str, has_it: impl Fn(&Yaml) -> bool) {
        if let Some(value) = yaml.get(key).filter(|value| !has_it(value)) {
            self.fault(FORM, value.span, format!("`{key}` is {what}, not {}", value.kind_name()));
        }
    }

    /// The names of variables are texts: StackStorm's schema matches each against a pattern and stumbles over others.
    fn check_keys(&mut self, yaml: Option<&Yaml>) {
        for (key, _) in yaml.and_then(Yaml::as_map).unwrap_or_default() {
            if key.as_str().is_none() {
                self.fault(FORM, key.span, format!("the name of a variable is a text, not {}", key.kind_name()));
            }
        }
    }

    fn only_keys(&mut self, yaml: &Yaml, known: &[&str]) {
        for (key, _) in yaml.as_map().unwrap_or_default() {
            let name = key_text(key);
            if !known.contains(&&*name) {
                self.fault(FORM, key.span, format!("Additional properties are not allowed ('{name}' was unexpected)"));
                self.suggest(key.span, &name, known.iter().copied());
            }
        }
    }

    fn check_links(&mut self, items: &[Yaml], places: &HashMap<Str, usize>) {
        for yaml in items {
            let name = name_of(yaml.get("name")).unwrap_or_else(|| "".into());
            for key in ["on-success", "on-failure"] {
                let Some(link) = yaml.get(key) else { continue };
                let Some(target) = name_of(Some(link)) else {
                    if link.to_value().is_truthy() {
                        let found = link.kind_name();
                        self.fault(NAME, link.span, format!("`{key}` in task \"{name}\" is a text, not {found}"));
                    }
                    continue;
                };
                if !target.is_empty() && !is_jinja(&target) && !places.contains_key(&target) {
                    let text = format!(
                        "Unable to find node with name \"{target}\" referenced in \"{key}\" in task \"{name}\"."
                    );
                    self.no_such_node(&target, link.span, text, places);
                }
            }
        }
    }

    /// `default`, else the first node that none names, else the first.
    fn start(&mut self, root: &Yaml, items: &[Yaml], places: &HashMap<Str, usize>, span: Span) -> Option<Str> {
        if let Some(default) = root.get("default")
            && let Some(name) = default.as_str().filter(|name| !name.is_empty())
        {
            // A name with Jinja in it passes, and the chain has nothing to do.
            if places.contains_key(name) || is_jinja(name) {
                return Some(name.into());
            }
            let text = format!("Unable to find node with name \"{name}\" referenced in \"default\".");
            self.no_such_node(name, default.span, text, places);
            return None;
        }
        // A link that is left out counts as a link to the node without a name.
        let named: HashSet<Option<Str>> =
            items.iter().flat_map(|node| ["on-success", "on-failure"].map(|key| name_of(node.get(key)))).collect();
        let names: Vec<Option<Str>> = items.iter().map(|node| name_of(node.get("name"))).collect();
        let start = names.iter().find(|name| !named.contains(*name)).or(names.first());
        let Some(start) = start.cloned().flatten().filter(|name| !name.is_empty()) else {
            let action = &self.options.reference;
            self.fault(FORM, span, format!("Failed to find default node in {action}."));
            return None;
        };
        self.check_hashable(items);
        Some(start)
    }

    /// StackStorm puts all names into sets to find the start, so a list or a map as a name is refused there.
    fn check_hashable(&mut self, items: &[Yaml]) {
        for yaml in items {
            for key in ["name", "on-success", "on-failure"] {
                self.form(yaml, key, "a text", |value| matches!(value.kind, Kind::Scalar { .. }));
            }
        }
    }
}

fn is_at(problem: &Diagnostic, span: Span) -> bool {
    (problem.line(), problem.column()) == (span.line, span.column)
}

/// Whether StackStorm leaves a name unchecked because it might be rendered, which it never is.
fn is_jinja(name: &str) -> bool {
    name.contains("{{") || name.contains("{%")
}

/// The name that a value gives: its text. Nothing for what is left out, null, a list or a map.
fn name_of(yaml: Option<&Yaml>) -> Option<Str> {
    match &yaml?.kind {
        Kind::Scalar { value: Value::Null, .. } | Kind::Seq(_) | Kind::Map(_) => None,
        Kind::Scalar { value, text, .. } => Some(value.as_str().map_or_else(|| text.clone(), Str::from)),
    }
}

fn texts(yaml: &Yaml, key: &str) -> Texts {
    let pairs = yaml.get(key).and_then(Yaml::as_map).unwrap_or_default();
    Texts::compile(&pairs.iter().map(|(key, value)| (key_text(key), value.to_value())).collect())
}

/// What StackStorm finds wrong with a node only when the chain gets there.
fn malformed(yaml: &Yaml, parameters: &'static str) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    for key in [parameters, "publish", "notify"] {
        let value = yaml.get(key).filter(|value| value.as_map().is_none() && value.to_value().is_truthy());
        faults.extend(value.map(|value| (key, format!("`{key}` is a map, not {}", value.kind_name()))));
    }
    let notify = yaml.get("notify").and_then(Yaml::as_map).unwrap_or_default();
    for (key, section) in notify.iter().filter(|(key, _)| key.as_str().is_some_and(|key| NOTIFY_KEYS.contains(&key))) {
        if section.as_map().is_none() && section.to_value().is_truthy() {
            let text = format!("`{}` of `notify` is a map, not {}", key_text(key), section.kind_name());
            faults.push(("notify", text));
        }
    }
    faults
}

fn key_text(key: &Yaml) -> Str {
    match &key.kind {
        Kind::Scalar { text, .. } => text.clone(),
        Kind::Seq(_) | Kind::Map(_) => "".into(),
    }
}

/// The settings as StackStorm's model keeps them: unknown keys go, `channels` is the old name of `routes`, and who names
/// none of them means `notify.default`.
fn routes(notify: &Value) -> Value {
    let section = |name: &&str| {
        let given = notify.as_map()?.get(*name)?.as_map().filter(|section| !section.is_empty())?;
        let filled = |key: &str| given.get(key).filter(|value| value.is_truthy()).cloned();
        let routes = filled("routes").or_else(|| filled("channels"));
        let routes = routes.unwrap_or_else(|| Value::from(vec![Value::from(DEFAULT_ROUTE)]));
        let entries = [("message", filled("message")), ("data", filled("data")), ("routes", Some(routes))];
        let kept = entries.into_iter().filter_map(|(key, value)| Some((Str::from(key), value?)));
        Some(((*name).into(), Value::from(kept.collect::<Map>())))
    };
    Value::from(NOTIFY_KEYS.iter().filter_map(section).collect::<Map>())
}

/// Where notifications go that name no route.
const DEFAULT_ROUTE: &str = "notify.default";

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
