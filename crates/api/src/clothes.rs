//! Content and executions as objects on the wire. Shapes are StackStorm's; every field it has that squall can fill is here.

use crate::listing::Shown;
use crate::runner_modules;
use squall_content::{Action, Alias, Pack, Policy, Registry, Rule, RuleKind, RunnerType, Sensor, Tag, TriggerType};
use squall_engine::Content;
use squall_engine::view::{self, object_id};
use squall_model::{ActionRef, Execution, MASK, Map, Str, Value, to_json};
use std::path::Path;
use std::sync::Arc;

/// An object from its fields, in their order.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    fields.into_iter().map(|(name, value)| (Str::from(name), value)).collect::<Map>().into()
}

fn schemas<'a>(all: impl IntoIterator<Item = (&'a Str, &'a Value)>) -> Value {
    all.into_iter().map(|(name, schema)| (name.clone(), schema.clone())).collect::<Map>().into()
}

fn tags(tags: &[Tag]) -> Value {
    let one = |tag: &Tag| object([("name", tag.name.clone().into()), ("value", tag.value.clone().into())]);
    tags.iter().map(one).collect::<Vec<_>>().into()
}

fn texts(texts: &[Str]) -> Value {
    texts.iter().cloned().map(Value::from).collect::<Vec<_>>().into()
}

fn or_empty(value: &Option<Value>) -> Value {
    value.clone().unwrap_or_else(Value::map)
}

/// Descriptions are texts even where a file has none, because clients print them unguarded.
fn described(text: &Option<Str>) -> Value {
    text.clone().unwrap_or_else(|| "".into()).into()
}

impl Shown for Action {
    fn uid(&self) -> String {
        Action::uid(self)
    }
    fn pack(&self) -> &str {
        &self.reference.pack
    }
    fn name(&self) -> &str {
        &self.reference.name
    }
    fn show(&self) -> Value {
        object([
            ("id", self.id().into()),
            ("uid", Action::uid(self).into()),
            ("ref", self.reference.to_string().into()),
            ("pack", self.reference.pack.clone().into()),
            ("name", self.reference.name.clone().into()),
            ("description", described(&self.description)),
            ("enabled", self.enabled.into()),
            ("entry_point", self.entry_point.clone().into()),
            ("runner_type", self.runner.name.into()),
            ("parameters", schemas(&self.parameters)),
            ("output_schema", or_empty(&self.output_schema)),
            ("notify", or_empty(&self.notify)),
            ("tags", tags(&self.tags)),
            ("metadata_file", self.metadata_file.clone().into()),
        ])
    }
}

/// Runner parameters with the action's over them, attribute by attribute; what either says is immutable stays so.
pub(crate) fn merged_parameters(action: &Action) -> Value {
    let merged = action.merged_parameters();
    let held = |name: &str| {
        let says = |schema: Option<&Value>| schema.and_then(|s| s.get("immutable")).is_some_and(Value::is_truthy);
        says(action.runner.parameters.get(name)) || says(action.parameters.get(name))
    };
    let one = |(name, schema): (&Str, &Value)| {
        let mut schema = schema.as_map().cloned().unwrap_or_default();
        if held(name) {
            schema.insert("immutable".into(), true.into());
        }
        (name.clone(), Value::from(schema))
    };
    merged.iter().map(one).collect::<Map>().into()
}

/// The action with its merged parameters.
pub(crate) fn overview(action: &Action) -> Value {
    let mut shown = action.show().as_map().cloned().unwrap_or_default();
    shown.insert("parameters".into(), merged_parameters(action));
    shown.into()
}

impl Shown for RunnerType {
    fn uid(&self) -> String {
        RunnerType::uid(self)
    }
    fn pack(&self) -> &str {
        ""
    }
    fn name(&self) -> &str {
        self.name
    }
    fn show(&self) -> Value {
        let module = runner_modules::of(self.name);
        let mut shown = Map::new();
        let mut set = |name: &str, value: Value| drop(shown.insert(name.into(), value));
        set("id", self.id().into());
        set("uid", RunnerType::uid(self).into());
        set("name", self.name.into());
        set("description", self.description.into());
        set("enabled", true.into());
        set("runner_package", module.package.into());
        set("runner_module", module.module.into());
        set("runner_parameters", schemas(&self.parameters));
        if let Some(key) = self.output_key {
            set("output_key", key.into());
        }
        set("output_schema", module.output_schema());
        shown.into()
    }
}

impl Shown for Alias {
    fn uid(&self) -> String {
        view::alias_uid(self)
    }
    fn pack(&self) -> &str {
        &self.reference.pack
    }
    fn name(&self) -> &str {
        &self.reference.name
    }
    fn show(&self) -> Value {
        let mut shown = view::alias(self).as_map().cloned().unwrap_or_default();
        shown.insert("description".into(), described(&self.description));
        shown.into()
    }
}

impl Shown for Pack {
    fn uid(&self) -> String {
        Pack::uid(self)
    }
    fn pack(&self) -> &str {
        &self.reference
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn show(&self) -> Value {
        let mut shown = Map::new();
        let mut set = |name: &str, value: Value| drop(shown.insert(name.into(), value));
        set("id", self.id().into());
        set("uid", Pack::uid(self).into());
        set("ref", self.reference.clone().into());
        set("name", self.name.clone().into());
        set("description", described(&self.description));
        set("keywords", texts(&self.keywords));
        set("version", self.version.clone().into());
        set("python_versions", texts(&self.python_versions));
        set("author", described(&self.author));
        set("email", described(&self.email));
        set("contributors", texts(&self.contributors));
        set("files", files(&self.path));
        set("path", self.path.display().to_string().into());
        set("dependencies", texts(&self.dependencies));
        set("system", if self.system.is_null() { Value::map() } else { self.system.clone() });
        if let Some(version) = &self.stackstorm_version {
            set("stackstorm_version", version.clone().into());
        }
        shown.into()
    }
}

/// How many files of a pack are named.
const FILES: usize = 10_000;
/// How deep folders of a pack are looked into.
const FILES_DEPTH: usize = 16;

/// The files of a pack, relative to its folder; hidden ones and links are left out.
pub(crate) fn file_names(base: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![(base.to_owned(), 0)];
    while let Some((folder, depth)) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
            if name.to_string_lossy().starts_with('.') || found.len() >= FILES {
                continue;
            }
            if kind.is_dir() && depth < FILES_DEPTH && name != "__pycache__" {
                pending.push((entry.path(), depth + 1));
            } else if kind.is_file()
                && let Some(inside) = entry.path().strip_prefix(base).ok().and_then(Path::to_str)
            {
                found.push(inside.to_owned());
            }
        }
    }
    found.sort();
    found
}

fn files(base: &Path) -> Value {
    if base.as_os_str().is_empty() {
        return Value::from(Vec::new());
    }
    file_names(base).into_iter().map(Value::from).collect::<Vec<_>>().into()
}

impl Shown for Rule {
    fn uid(&self) -> String {
        Rule::uid(self)
    }
    fn pack(&self) -> &str {
        &self.reference.pack
    }
    fn name(&self) -> &str {
        &self.reference.name
    }
    fn show(&self) -> Value {
        let kind = match self.kind {
            RuleKind::Standard => "standard",
            RuleKind::Backstop => "backstop",
        };
        let trigger = object([
            ("type", self.trigger.clone().into()),
            ("parameters", self.trigger_parameters.clone()),
            ("ref", trigger_ref(&self.trigger, &self.trigger_parameters).into()),
        ]);
        let action = object([("ref", self.action.clone().into()), ("parameters", self.action_parameters.clone())]);
        object([
            ("id", self.id().into()),
            ("uid", Rule::uid(self).into()),
            ("ref", self.reference.to_string().into()),
            ("pack", self.reference.pack.clone().into()),
            ("name", self.reference.name.clone().into()),
            ("description", described(&self.description)),
            ("enabled", self.enabled.into()),
            ("tags", tags(&self.tags)),
            ("metadata_file", self.metadata_file.clone().into()),
            ("context", or_empty(&self.context)),
            ("type", object([("ref", kind.into()), ("parameters", Value::map())])),
            ("trigger", trigger),
            ("criteria", self.criteria.clone()),
            ("action", action),
        ])
    }
}

/// The concrete trigger of a type and its parameters: the type itself when it takes none, else a UUID made from both.
pub(crate) fn trigger_ref(kind: &str, parameters: &Value) -> String {
    if !parameters.is_truthy() {
        return kind.to_owned();
    }
    let pack = kind.split('.').next().unwrap_or_default();
    let digits = object_id(&format!("{kind} {}", to_json(parameters)));
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("{pack}.{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(12, 24))
}

/// The action of a name. One that cannot be read, as a rule may hold it, is one of nothing that is registered.
fn named<'c>(registry: &'c Registry, name: &str) -> Option<&'c Arc<Action>> {
    name.parse().ok().and_then(|reference| registry.action(&reference))
}

/// Masks the parameters of a rule that its action calls secret.
pub(crate) fn rule(rule: &Rule, content: &Content, show_secrets: bool) -> Value {
    let action = named(content.registry(), &rule.action);
    let mut shown = rule.show().as_map().cloned().unwrap_or_default();
    if let Some(parameters) = rule.action_parameters.as_map().filter(|_| !show_secrets) {
        let masked = view::masked(parameters, action.map(|a| &**a), content);
        shown.insert("action".into(), object([("ref", rule.action.clone().into()), ("parameters", masked)]));
    }
    shown.into()
}

/// The rule with what its trigger and its action say about themselves.
pub(crate) fn rule_view(of: &Rule, content: &Content) -> Value {
    let mut shown = rule(of, content, false).as_map().cloned().unwrap_or_default();
    let registry = content.registry();
    // A name that cannot be read is one of nothing that is registered, as in `named`.
    let trigger: Option<ActionRef> = of.trigger.parse().ok();
    let trigger = trigger.and_then(|r| registry.trigger_types.get(&r)).and_then(|t| t.description.clone());
    let action = named(registry, &of.action).and_then(|a| a.description.clone());
    for (field, text) in [("trigger", trigger), ("action", action)] {
        let mut part = shown.get(field).and_then(Value::as_map).cloned().unwrap_or_default();
        part.insert("description".into(), described(&text));
        shown.insert(field.into(), part.into());
    }
    shown.into()
}

impl Shown for TriggerType {
    fn uid(&self) -> String {
        TriggerType::uid(self)
    }
    fn pack(&self) -> &str {
        &self.reference.pack
    }
    fn name(&self) -> &str {
        &self.reference.name
    }
    fn show(&self) -> Value {
        object([
            ("id", self.id().into()),
            ("uid", TriggerType::uid(self).into()),
            ("ref", self.reference.to_string().into()),
            ("pack", self.reference.pack.clone().into()),
            ("name", self.reference.name.clone().into()),
            ("description", described(&self.description)),
            ("tags", Value::from(Vec::new())),
            ("payload_schema", self.payload_schema.clone()),
            ("parameters_schema", self.parameters_schema.clone()),
            ("metadata_file", self.metadata_file.clone().into()),
        ])
    }
}

impl Shown for Sensor {
    fn uid(&self) -> String {
        Sensor::uid(self)
    }
    fn pack(&self) -> &str {
        &self.reference.pack
    }
    fn name(&self) -> &str {
        &self.reference.name
    }
    fn show(&self) -> Value {
        let mut shown = Map::new();
        let mut set = |name: &str, value: Value| drop(shown.insert(name.into(), value));
        set("id", self.id().into());
        set("uid", Sensor::uid(self).into());
        set("ref", self.reference.to_string().into());
        set("pack", self.reference.pack.clone().into());
        set("name", self.reference.name.clone().into());
        set("description", described(&self.description));
        set("enabled", self.enabled.into());
        set("entry_point", format!("{}.{}", self.entry_point.trim_end_matches(".py"), self.class_name).into());
        set("artifact_uri", format!("file://{}", self.source.file).into());
        let kinds = self.trigger_types.iter().map(|t| Value::from(t.to_string())).collect::<Vec<_>>();
        set("trigger_types", kinds.into());
        if let Some(seconds) = self.poll_interval {
            set("poll_interval", seconds.into());
        }
        set("metadata_file", self.metadata_file.clone().into());
        shown.into()
    }
}

impl Shown for Policy {
    fn uid(&self) -> String {
        Policy::uid(self)
    }
    fn pack(&self) -> &str {
        &self.reference.pack
    }
    fn name(&self) -> &str {
        &self.reference.name
    }
    fn show(&self) -> Value {
        object([
            ("id", self.id().into()),
            ("uid", Policy::uid(self).into()),
            ("ref", self.reference.to_string().into()),
            ("pack", self.reference.pack.clone().into()),
            ("name", self.reference.name.clone().into()),
            ("description", described(&self.description)),
            ("enabled", self.enabled.into()),
            ("resource_ref", self.resource_ref.clone().into()),
            ("policy_type", self.policy_type.clone().into()),
            ("parameters", self.parameters.clone()),
            ("metadata_file", self.metadata_file.clone().into()),
        ])
    }
}

// ---- executions ----------------------------------------------------------------------------------------------------

/// What stands around an execution on the wire.
pub(crate) struct Wardrobe<'a> {
    pub registry: &'a Registry,
    /// What `web_url` begins with.
    pub web: &'a str,
    /// The machine that runs it.
    pub host: &'a str,
}

impl Wardrobe<'_> {
    /// An execution with its children, masked; `clear` shows parameters and result as they are.
    pub fn execution(&self, of: &Execution, children: Vec<Value>, clear: bool, plain: &Value) -> Value {
        let mut shown = self.dress(plain, children, clear).as_map().cloned().unwrap_or_default();
        if clear && !of.request.params.is_empty() {
            let params = Value::from(of.request.params.clone());
            shown.insert("parameters".into(), params.clone());
            if let Some(live) = shown.get("liveaction").and_then(Value::as_map) {
                let mut live = live.clone();
                live.insert("parameters".into(), params);
                shown.insert("liveaction".into(), live.into());
            }
        }
        shown.into()
    }

    /// Completes the engine's view of an execution: full action and runner, what is empty left out.
    pub fn dress(&self, plain: &Value, children: Vec<Value>, clear: bool) -> Value {
        let text = |path: &[&str]| plain.at(path).and_then(Value::as_str).unwrap_or_default();
        let action = named(self.registry, text(&["action", "ref"]));
        let runner = self.registry.runner(text(&["runner", "name"]));
        let status = text(&["status"]);
        let mut shown = Map::new();
        let mut set = |name: &str, value: Value| drop(shown.insert(name.into(), value));
        set("id", plain.get("id").cloned().unwrap_or_default());
        set("status", status.into());
        for name in ["start_timestamp", "end_timestamp", "elapsed_seconds"] {
            if let Some(value) = plain.get(name) {
                set(name, value.clone());
            }
        }
        set("action", action.map_or_else(|| plain.get("action").cloned().unwrap_or_else(Value::map), |a| a.show()));
        set("runner", runner.map_or_else(|| plain.get("runner").cloned().unwrap_or_else(Value::map), |r| r.show()));
        set("liveaction", self.live(plain, runner.is_some_and(|r| r.is_workflow()), status));
        for name in ["parameters", "parent", "delay"] {
            if let Some(value) = plain.get(name).filter(|v| v.is_truthy()) {
                set(name, value.clone());
            }
        }
        set("context", worn_context(plain, runner.map(|r| r.name), status));
        for (name, from) in [("workflow_execution", "workflow_execution_id"), ("task_execution", "task_execution_id")] {
            if let Some(id) = plain.at(&["context", "orquesta", from]) {
                set(name, id.clone());
            }
        }
        if !children.is_empty() {
            set("children", children.into());
        }
        if let Some(result) = plain.get("result").filter(|r| r.is_truthy()) {
            let shown = if clear { result.clone() } else { masked_result(result, action.map(|a| &**a)) };
            set("result", shown);
        }
        if let Some(result) = plain.get("result").filter(|_| plain.get("end_timestamp").is_some()) {
            set("result_size", json_size(result).into());
        }
        set("log", worn_log(plain.get("log").and_then(Value::as_list).unwrap_or_default()));
        let url = || format!("{}/#/history/{}/general", self.web.trim_end_matches('/'), text(&["id"]));
        set("web_url", plain.get("web_url").cloned().unwrap_or_else(|| url().into()));
        shown.into()
    }

    fn live(&self, plain: &Value, is_workflow: bool, status: &str) -> Value {
        let of = plain.get("liveaction").and_then(Value::as_map).cloned().unwrap_or_default();
        let runs_on = if began(status) {
            object([("hostname", self.host.into()), ("pid", std::process::id().into())])
        } else {
            Value::map()
        };
        let mut live = of;
        live.insert("action_is_workflow".into(), is_workflow.into());
        live.insert("parameters".into(), plain.get("parameters").cloned().unwrap_or_else(Value::map));
        live.insert("callback".into(), Value::map());
        live.insert("runner_info".into(), runs_on);
        live.into()
    }
}

/// An Orquesta workflow that began names its run, which here is the execution itself.
fn worn_context(plain: &Value, runner: Option<&str>, status: &str) -> Value {
    let mut context = plain.get("context").and_then(Value::as_map).cloned().unwrap_or_default();
    if runner == Some("orquesta") && began(status) {
        context.insert("workflow_execution".into(), plain.get("id").cloned().unwrap_or_default());
    }
    context.into()
}

/// Whether something of it ran.
fn began(status: &str) -> bool {
    !matches!(status, "requested" | "scheduled" | "delayed")
}

/// StackStorm schedules everything; what squall starts without a wait was scheduled in the moment it ran.
fn worn_log(log: &[Value]) -> Value {
    let mut worn: Vec<Value> = log.to_vec();
    if let [first, second, ..] = log
        && jumps(first, second)
    {
        worn.insert(1, scheduled_at(second));
    }
    worn.into()
}

fn status_of(entry: &Value) -> &str {
    entry.get("status").and_then(Value::as_str).unwrap_or_default()
}

fn jumps(first: &Value, second: &Value) -> bool {
    status_of(first) == "requested" && status_of(second) == "running"
}

fn scheduled_at(entry: &Value) -> Value {
    object([("timestamp", entry.get("timestamp").cloned().unwrap_or_default()), ("status", "scheduled".into())])
}

/// The view of an execution as it was `scheduled`, when it has just begun to run without a wait.
pub(crate) fn scheduled_before(plain: &Value) -> Option<Value> {
    let Some([first, second]) = plain.get("log").and_then(Value::as_list) else { return None };
    if !jumps(first, second) {
        return None;
    }
    let mut earlier = plain.as_map().cloned()?;
    earlier.insert("status".into(), "scheduled".into());
    earlier.insert("log".into(), vec![first.clone(), scheduled_at(second)].into());
    Some(earlier.into())
}

/// The live action inside of a dressed execution, as the stream tells it: with `result` as a JSON text.
pub(crate) fn live_action(execution: &Value) -> Value {
    let mut live = execution.get("liveaction").and_then(Value::as_map).cloned().unwrap_or_default();
    for name in ["status", "start_timestamp", "end_timestamp", "context"] {
        if let Some(value) = execution.get(name) {
            live.insert(name.into(), value.clone());
        }
    }
    let result = execution.get("result").map_or_else(|| "{}".to_owned(), to_json);
    live.insert("result".into(), result.into());
    live.into()
}

/// Masks what the action's output schema calls secret, below the runner's output key.
fn masked_result(result: &Value, action: Option<&Action>) -> Value {
    let Some((action, schema)) = action.and_then(|a| Some((a, a.output_schema.as_ref()?))) else {
        return result.clone();
    };
    match action.runner.output_key {
        None => masked_by(result, schema, 0),
        Some(key) => match result.as_map() {
            Some(map) if map.contains_key(key) => {
                let mut map = map.clone();
                if let Some(part) = map.get_mut(key) {
                    *part = masked_by(part, schema, 0);
                }
                map.into()
            }
            _ => result.clone(),
        },
    }
}

/// How deep a schema is followed.
const SCHEMA_DEPTH: usize = 32;

fn masked_by(value: &Value, schema: &Value, depth: usize) -> Value {
    if schema.get("secret").is_some_and(Value::is_truthy) && !value.is_null() {
        return MASK.into();
    }
    if depth >= SCHEMA_DEPTH {
        return value.clone();
    }
    match (value, schema.get("properties").and_then(Value::as_map), schema.get("items")) {
        (Value::Map(map), Some(properties), _) => {
            let one = |(name, value): (&Str, &Value)| {
                let shown = properties.get(name).map_or_else(|| value.clone(), |s| masked_by(value, s, depth + 1));
                (name.clone(), shown)
            };
            map.iter().map(one).collect::<Map>().into()
        }
        (Value::List(list), _, Some(items)) => {
            list.iter().map(|item| masked_by(item, items, depth + 1)).collect::<Vec<_>>().into()
        }
        // Schemas of old name the properties at the top.
        (Value::Map(map), None, _) if depth == 0 => {
            let one = |(name, value): (&Str, &Value)| {
                let shown = schema.get(name).map_or_else(|| value.clone(), |s| masked_by(value, s, depth + 1));
                (name.clone(), shown)
            };
            map.iter().map(one).collect::<Map>().into()
        }
        _ => value.clone(),
    }
}

/// Bytes of a value as JSON, counted without being kept.
pub(crate) fn json_size(value: &Value) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    fn value(text: &str) -> Value {
        from_json(text, false).unwrap()
    }

    #[test]
    fn secrets_of_a_result_are_masked_where_the_schema_says() {
        let schema = value(
            r#"{"type": "object", "properties": {"sum": {"secret": true}, "list": {"items": {"secret": true}}}}"#,
        );
        let shown = masked_by(&value(r#"{"sum": 3, "list": [1, null], "x": 1}"#), &schema, 0);
        assert_eq!(to_json(&shown), r#"{"sum":"********","list":["********",null],"x":1}"#);
    }

    #[test]
    fn a_trigger_with_parameters_has_a_name_of_its_own() {
        assert_eq!(trigger_ref("core.st2.x", &Value::map()), "core.st2.x");
        let one = trigger_ref("core.st2.webhook", &value(r#"{"url": "a"}"#));
        assert_eq!(one, trigger_ref("core.st2.webhook", &value(r#"{"url": "a"}"#)));
        assert_ne!(one, trigger_ref("core.st2.webhook", &value(r#"{"url": "b"}"#)));
        let uuid = one.strip_prefix("core.").unwrap();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
    }

    #[test]
    fn size_is_that_of_the_text() {
        let v = value(r#"{"a": [1, 2.5, "é"]}"#);
        assert_eq!(json_size(&v), to_json(&v).len() as u64);
    }
}
