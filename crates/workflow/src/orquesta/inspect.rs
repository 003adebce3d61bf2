//! Inspection: everything that can be said against a definition without running it.
//!
//! Four categories, as StackStorm shows them: `syntax` (the schema), `semantics` (names, joins), `expressions` (what
//! cannot be parsed) and `context` (variables used before anything sets them). All are gathered, whatever the others
//! found. Entries carry the path in the definition and in the schema, because tools compare those; for people,
//! `findings` turns them into file, line and column.
//!
//! Start reading at [`inspect`].

use super::expression;
use super::graph::{self, Graph};
use super::known;
use super::schema;
use super::spec::{Spec, Task};
use serde_json::json;
use squall_model::Value;
use std::collections::HashSet;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
                list.push(entry.to_json(kind));
            }
        }
        serde_json::Value::Array(list)
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

impl Entry {
    /// The entry as StackStorm's API shows it, under its `type`.
    pub fn to_json(&self, kind: &str) -> serde_json::Value {
        let mut json = entry_json(self, "language");
        json["type"] = kind.into();
        json
    }
}

/// Inspects a definition; `given` are the variables that it has besides its inputs (`st2`, `parent`).
pub fn inspect<'a>(spec: &Spec, given: impl IntoIterator<Item = &'a str>) -> Inspection {
    let graph = Graph::of(&spec.tasks);
    let mut inspection = Inspection {
        syntax: schema::violations(spec),
        semantics: semantics(spec, &graph),
        expressions: expressions(spec),
        context: known::unknown(spec, &graph, given),
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

pub(super) fn transition_schema(property: &str) -> String {
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
    for node in graph.ambiguous_joins() {
        let name = &graph.nodes[node].name;
        let message = format!(
            "The join task \"{name}\" is unreachable. A join task is determined to be unreachable if there are nested forks from multi-referenced tasks that join on the said task. This is ambiguous to the workflow engine because it does not know at which level should the join occurs."
        );
        say(message, format!("tasks.{name}"), TASK.into());
    }
    found
}

// ---- every value of a definition ------------------------------------------------------------------------------------

/// Path and schema path of a value of a task.
pub(super) fn value_place(task: &Task, property: &str) -> (String, String) {
    (format!("tasks.{}.{property}", task.name), task_schema(&property.replace('.', ".properties.")))
}

/// The values of a task that may hold expressions, with their properties, in the order of evaluation.
pub(super) fn task_values<'a>(task: &'a Task) -> Vec<(&'a Value, &'static str)> {
    let mut values = Vec::new();
    let mut add = |value: &'a Value, property: &'static str| {
        if !value.is_null() {
            values.push((value, property));
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
    let mut sound = HashSet::new();
    let mut check = |value: &Value, spec_path: &dyn Fn() -> String, schema_path: &dyn Fn() -> String| {
        for problem in expression::problems(value, &mut sound) {
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
        for (value, property) in task_values(task) {
            check(value, &|| value_place(task, property).0, &|| value_place(task, property).1);
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
