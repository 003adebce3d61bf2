//! Inspection: everything that can be said against a definition without running it.
//!
//! Four categories, as StackStorm shows them: `syntax` (the schema), `semantics` (names, joins), `expressions` (what
//! cannot be parsed) and `context` (variables used before anything sets them). All are gathered, whatever the others
//! found. Entries carry the path in the definition and in the schema, because tools compare those; for people,
//! [`Inspection::diagnostics`] turns them into file, line and column.
//!
//! Start reading at [`inspect`].

use super::expression;
use super::graph::{self, Graph};
use super::schema;
use super::spec::{Spec, Task};
use serde_json::json;
use squall_model::{Str, Value};
use squall_yaml::Diagnostic;
use std::collections::HashMap;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is wrong.
    pub message: String,
    /// Where in the definition; `None` for the whole.
    pub spec_path: Option<String>,
    /// Which part of the schema speaks of that place.
    pub schema_path: String,
    /// The language (`yaql`, `jinja`) and text of the expression at fault.
    pub expression: Option<(Option<&'static str>, String)>,
}

/// The findings by category, sorted by schema path and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Against the schema.
    pub syntax: Vec<Entry>,
    /// Against names and joins.
    pub semantics: Vec<Entry>,
    /// Expressions that cannot be parsed.
    pub expressions: Vec<Entry>,
    /// Variables.
    pub context: Vec<Entry>,
}

impl Inspection {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.categories().iter().all(|(_, entries)| entries.is_empty())
    }

    /// The first finding and how many there are.
    pub fn summary(&self) -> String {
        let all: Vec<&Entry> = self.categories().iter().flat_map(|(_, entries)| entries.iter()).collect();
        match all.first() {
            None => "nothing found".into(),
            Some(first) => {
                let place = first.spec_path.as_deref().unwrap_or("the workflow");
                let more = if all.len() > 1 { format!(" ({} more)", all.len() - 1) } else { String::new() };
                format!("{} at {place}{more}", first.message)
            }
        }
    }

    /// The categories by their names.
    pub fn categories(&self) -> [(&'static str, &[Entry]); 4] {
        [
            ("context", &self.context),
            ("expressions", &self.expressions),
            ("semantics", &self.semantics),
            ("syntax", &self.syntax),
        ]
    }

    /// The form of the engine: category to entries, empty ones left out.
    pub fn to_json(&self) -> serde_json::Value {
        let mut out = serde_json::Map::new();
        for (name, entries) in self.categories() {
            if !entries.is_empty() {
                let entries = entries.iter().map(|e| entry_json(e, "type")).collect();
                out.insert(name.into(), serde_json::Value::Array(entries));
            }
        }
        serde_json::Value::Object(out)
    }

    /// The form of StackStorm's API: one list, each entry with its `type`.
    pub fn to_list(&self) -> serde_json::Value {
        let kinds = ["context", "expression", "semantic", "syntax"];
        let mut list: Vec<serde_json::Value> = Vec::new();
        for ((_, entries), kind) in self.categories().iter().zip(kinds) {
            for entry in *entries {
                let mut json = entry_json(entry, "language");
                json["type"] = kind.into();
                list.push(json);
            }
        }
        serde_json::Value::Array(list)
    }

    /// For people: each finding with its place in the file.
    pub fn diagnostics(&self, spec: &Spec, file: &str) -> Vec<Diagnostic> {
        let codes = ["SQ2104", "SQ2103", "SQ2102", "SQ2101"];
        let mut told = Vec::new();
        for ((category, entries), code) in self.categories().iter().zip(codes) {
            for entry in *entries {
                let node = spec.node_at(entry.spec_path.as_deref().unwrap_or(""));
                let message = match &entry.expression {
                    Some((_, text)) => format!("`{text}`: {}", entry.message),
                    None => entry.message.clone(),
                };
                told.push((
                    node.span.start,
                    Diagnostic::error(code, message).in_file(file).at(&spec.text, node.span, *category),
                ));
            }
        }
        told.sort_by_key(|(start, _)| *start);
        told.into_iter().map(|(_, diagnostic)| diagnostic).collect()
    }
}

fn entry_json(entry: &Entry, language: &str) -> serde_json::Value {
    let mut json = json!({
        "message": entry.message,
        "spec_path": entry.spec_path,
        "schema_path": entry.schema_path,
    });
    if let Some((kind, expression)) = &entry.expression {
        json[language] = json!(kind);
        json["expression"] = json!(expression);
    }
    json
}

/// Inspects a definition; `known` are the variables that it is given besides its inputs (`st2`, `parent`).
pub fn inspect<'a>(spec: &Spec, known: impl IntoIterator<Item = &'a str>) -> Inspection {
    let graph = Graph::of(&spec.tasks);
    let mut inspection = Inspection {
        syntax: schema::violations(spec),
        semantics: semantics(spec, &graph),
        expressions: expressions(spec),
        context: context(spec, &graph, known),
    };
    for entries in
        [&mut inspection.syntax, &mut inspection.semantics, &mut inspection.expressions, &mut inspection.context]
    {
        entries.sort_by(|a, b| (&a.schema_path, &a.spec_path).cmp(&(&b.schema_path, &b.spec_path)));
    }
    inspection
}

const TASK: &str = r"properties.tasks.patternProperties.^\w+$";

fn task_schema(property: &str) -> String {
    format!("{TASK}.properties.{property}")
}

fn transition_schema(property: &str) -> String {
    format!("{TASK}.properties.next.items.properties.{property}")
}

// ---- semantics ------------------------------------------------------------------------------------------------------

const NO_START: &str = "Unable to identify any tasks to start the workflow. If the workflow has a loop, please add a task that serves as an entry point (or lead) into the loop.";

fn semantics(spec: &Spec, graph: &Graph) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut say = |message: String, spec_path: String, schema_path: String| {
        found.push(Entry { message, spec_path: Some(spec_path), schema_path, expression: None });
    };
    for task in spec.tasks.iter() {
        if graph::is_reserved(&task.name) {
            let message = format!("The task name \"{}\" is reserved with special function.", task.name);
            say(message, format!("tasks.{}", task.name), TASK.into());
        }
        if task.with.is_some() && task.action.is_null() {
            let message = "The action property is required for with items task.";
            say(message.into(), format!("tasks.{}", task.name), TASK.into());
        }
    }
    if graph.starts.is_empty() && !spec.tasks.is_empty() {
        say(NO_START.into(), "tasks".into(), "properties.tasks".into());
    }
    for node in graph.breadth_first() {
        let Some(task) = graph.nodes[node].task.map(|i| &spec.tasks[i]) else {
            continue;
        };
        for (i, transition) in task.next.iter().enumerate() {
            for name in &transition.targets {
                if !graph.by_name.contains_key(name) && !graph::is_reserved(name) {
                    let message = format!("The task \"{name}\" is not defined.");
                    say(message, format!("tasks.{}.next[{i}].do", task.name), transition_schema("do"));
                }
            }
        }
    }
    let splits = graph.splits();
    for (i, node) in graph.nodes.iter().enumerate() {
        let ambiguous = node.is_join && node.sources.iter().any(|s| splits[*s] != splits[i]);
        if ambiguous && node.reached {
            let message = format!(
                "The join task \"{}\" is unreachable. A join task is determined to be unreachable if there are nested forks from multi-referenced tasks that join on the said task. This is ambiguous to the workflow engine because it does not know at which level should the join occurs.",
                node.name
            );
            say(message, format!("tasks.{}", node.name), TASK.into());
        }
    }
    found
}

// ---- every value of a definition ------------------------------------------------------------------------------------

/// The values of a task that may hold expressions, with path and schema path, in the order of evaluation.
fn task_values<'a>(task: &'a Task) -> Vec<(&'a Value, String, String)> {
    let at = |property: &str| {
        (format!("tasks.{}.{property}", task.name), task_schema(&property.replace('.', ".properties.")))
    };
    let mut values = Vec::new();
    let mut add = |value: &'a Value, property: &str| {
        if !value.is_null() {
            let (spec_path, schema_path) = at(property);
            values.push((value, spec_path, schema_path));
        }
    };
    add(&task.delay, "delay");
    if let Some(with) = &task.with {
        add(&with.items, "with.items");
        add(&with.concurrency, "with.concurrency");
    }
    add(&task.action, "action");
    add(&task.input, "input");
    values
}

// ---- expressions ----------------------------------------------------------------------------------------------------

fn expressions(spec: &Spec) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut check = |value: &Value, spec_path: &dyn Fn() -> String, schema_path: &dyn Fn() -> String| {
        for problem in expression::problems(value) {
            found.push(Entry {
                message: problem.message,
                spec_path: Some(spec_path()),
                schema_path: schema_path(),
                expression: Some((problem.language, problem.expression)),
            });
        }
    };
    for section in ["input", "vars", "output"] {
        if let Some(value) = spec.root.get(section) {
            check(value, &|| section.into(), &|| format!("properties.{section}"));
        }
    }
    for task in &spec.tasks {
        for (value, spec_path, schema_path) in task_values(task) {
            check(value, &|| spec_path.clone(), &|| schema_path.clone());
        }
        if let Some(retry) = &task.retry {
            for (value, name) in [(&retry.when, "when"), (&retry.count, "count"), (&retry.delay, "delay")] {
                check(value, &|| format!("tasks.{}.retry.{name}", task.name), &|| {
                    task_schema(&format!("retry.properties.{name}"))
                });
            }
        }
        for (i, transition) in task.next.iter().enumerate() {
            let spec_path = |name: &str| format!("tasks.{}.next[{i}].{name}", task.name);
            check(&transition.when, &|| spec_path("when"), &|| transition_schema("when"));
            for (name, value) in &transition.publish {
                check(&Value::Str(name.clone()), &|| spec_path("publish"), &|| transition_schema("publish"));
                check(value, &|| spec_path("publish"), &|| transition_schema("publish"));
            }
            check(&transition.targets_written, &|| spec_path("do"), &|| transition_schema("do"));
        }
    }
    found
}

// ---- context --------------------------------------------------------------------------------------------------------

/// A set of variables, by number.
#[derive(Debug, Clone, Default, PartialEq)]
struct Names(Vec<u64>);

impl Names {
    fn insert(&mut self, name: usize) {
        if self.0.len() <= name / 64 {
            self.0.resize(name / 64 + 1, 0);
        }
        self.0[name / 64] |= 1 << (name % 64);
    }

    fn contains(&self, name: usize) -> bool {
        self.0.get(name / 64).is_some_and(|word| word >> (name % 64) & 1 == 1)
    }

    fn join(&mut self, other: &Names) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }
}

#[derive(Default)]
struct Scan {
    numbers: HashMap<Str, usize>,
    found: Vec<Entry>,
}

impl Scan {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.numbers.len();
        self.numbers.insert(name.into(), number);
        number
    }

    fn check(&mut self, value: &Value, known: &Names, spec_path: &str, schema_path: &str) {
        for reference in references(value) {
            let name = &reference.name;
            let message = if name.starts_with("__") {
                format!(
                    "Variable \"{name}\" that is prefixed with double underscores is considered a private variable and cannot be referenced."
                )
            } else if self.numbers.get(name.as_str()).is_some_and(|n| known.contains(*n)) {
                continue;
            } else {
                format!("Variable \"{name}\" is referenced before assignment.")
            };
            self.found.push(Entry {
                message,
                spec_path: Some(spec_path.into()),
                schema_path: schema_path.into(),
                expression: Some((Some(reference.language), reference.expression)),
            });
        }
    }

    /// A list of `name: value`, each seeing the names before it.
    fn rolling<'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a Str, &'a Value, String)>,
        known: &mut Names,
        schema_path: &str,
    ) {
        for (name, value, spec_path) in entries {
            self.check(value, known, &spec_path, schema_path);
            known.insert(self.number(name));
        }
    }
}

fn context<'a>(spec: &Spec, graph: &Graph, given: impl IntoIterator<Item = &'a str>) -> Vec<Entry> {
    let mut scan = Scan::default();
    let mut known = Names::default();
    for name in given {
        known.insert(scan.number(name));
    }
    for section in ["input", "vars"] {
        scan.rolling(
            section_entries(spec, section).iter().map(|(k, v, p)| (k, v, p.clone())),
            &mut known,
            &format!("properties.{section}"),
        );
    }
    let mut anywhere = known.clone();
    let mut seen: Vec<Option<Names>> = vec![None; graph.nodes.len()];
    let mut queue: Vec<usize> = graph.starts.clone();
    for start in &graph.starts {
        seen[*start] = Some(known.clone());
    }
    let mut next = 0;
    while let Some(node) = queue.get(next).copied() {
        next += 1;
        let Some(task) = graph.nodes[node].task.map(|i| &spec.tasks[i]) else {
            continue;
        };
        let known = seen[node].clone().unwrap_or_default();
        for (value, spec_path, schema_path) in task_values(task) {
            scan.check(value, &known, &spec_path, &schema_path);
        }
        let after: Vec<Names> = task
            .next
            .iter()
            .enumerate()
            .map(|(i, transition)| {
                let path = format!("tasks.{}.next[{i}]", task.name);
                let mut known = known.clone();
                scan.check(&transition.when, &known, &format!("{path}.when"), &transition_schema("when"));
                let entries =
                    transition.publish.iter().enumerate().map(|(i, (k, v))| (k, v, format!("{path}.publish[{i}]")));
                scan.rolling(entries, &mut known, &transition_schema("publish"));
                scan.check(&transition.targets_written, &known, &format!("{path}.do"), &transition_schema("do"));
                anywhere.join(&known);
                known
            })
            .collect();
        for edge in &graph.nodes[node].edges {
            match &mut seen[edge.target] {
                Some(names) => names.join(&after[edge.transition]),
                slot => {
                    *slot = Some(after[edge.transition].clone());
                    queue.push(edge.target);
                }
            }
        }
    }
    scan.rolling(
        section_entries(spec, "output").iter().map(|(k, v, p)| (k, v, p.clone())),
        &mut anywhere,
        "properties.output",
    );
    scan.found
}

/// The entries of `input`, `vars` or `output` with their paths; an input without default has the value null.
fn section_entries(spec: &Spec, section: &str) -> Vec<(Str, Value, String)> {
    let mut entries = Vec::new();
    for (i, entry) in spec.root.get(section).and_then(Value::as_list).unwrap_or_default().iter().enumerate() {
        let path = format!("{section}[{i}]");
        match entry {
            Value::Str(name) => entries.push((name.clone(), Value::Null, path)),
            Value::Map(map) => entries.extend(map.iter().map(|(k, v)| (k.clone(), v.clone(), path.clone()))),
            _ => {}
        }
    }
    entries
}

/// A variable that an expression names.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    language: &'static str,
    expression: String,
    name: String,
}

fn references(value: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Str(text) => text_references(text, &mut found),
            Value::List(items) => pending.extend(items.iter()),
            Value::Map(map) => {
                map.keys().for_each(|key| text_references(key, &mut found));
                pending.extend(map.values());
            }
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

fn text_references(text: &str, found: &mut Vec<Reference>) {
    for (language, open, close) in [("yaql", "<%", "%>"), ("jinja", "{{", "}}")] {
        for expression in expression::pieces(text, open, close) {
            for name in variables(expression) {
                found.push(Reference { language, expression: expression.into(), name: name.into() });
            }
        }
    }
}

/// The names in `ctx().x`, `ctx(x)`, `ctx('x')` and `ctx("x")`; a method such as `ctx().get(…)` is none.
fn variables(expression: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, found) in expression.match_indices("ctx(") {
        if expression[..at].ends_with(is_word) {
            continue;
        }
        let rest = &expression[at + found.len()..];
        if let Some(rest) = rest.strip_prefix(").") {
            let name = word(rest);
            if !name.is_empty() && !rest[name.len()..].starts_with('(') {
                names.push(name);
            }
            continue;
        }
        let rest = rest.trim_start().trim_start_matches(['\'', '"']);
        let name = word(rest);
        let after = rest[name.len()..].trim_start_matches(['\'', '"']).trim_start();
        if !name.is_empty() && after.starts_with(')') {
            names.push(name);
        }
    }
    names
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}
