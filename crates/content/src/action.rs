//! Actions: what can be run.
//!
//! An action that does not fit is reported and left out; one whose script is missing is kept, because nine
//! files of the survey name scripts that are not there and StackStorm registers them all the same.

use crate::codes;
use crate::definition::Definition;
use crate::files::is_plain;
use crate::reading::{Fields, File, Source};
use crate::runner_type::{RunnerType, runner_type, runner_types};
use crate::schema;
use indexmap::IndexMap;
use squall_model::{ActionRef, Str, Value};
use squall_yaml::nearest;
use squall_yaml::{Node, Span};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A name and a value that somebody hung on an action or rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The name.
    pub name: Str,
    /// The value.
    pub value: Str,
}

/// What can be run.
#[derive(Clone, Debug)]
pub struct Action {
    /// Pack and name.
    pub reference: ActionRef,
    /// What it does.
    pub description: Option<Str>,
    /// Whether it may be run.
    pub enabled: bool,
    /// How it runs.
    pub runner: Arc<RunnerType>,
    /// The file that it runs, relative to `actions/` of the pack; may be empty.
    pub entry_point: Str,
    /// The directory of the pack; empty for a built-in pack that was not unpacked.
    pub pack_dir: PathBuf,
    /// Its own parameters in the order of the file; see [`Action::merged_parameters`].
    pub parameters: IndexMap<Str, Value>,
    /// Who is told about its end: a map with `on-complete`, `on-success`, `on-failure`.
    pub notify: Option<Value>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// What its result looks like.
    pub output_schema: Option<Value>,
    /// Its file relative to the pack.
    pub metadata_file: Str,
    /// Where it is defined.
    pub source: Source,
    /// The workflow, for workflow runners whose file is there.
    pub definition: Option<Arc<Definition>>,
    /// The top-level key `confirm`, as written.
    pub confirm: Option<Value>,
    /// Whether it is part of the program.
    pub is_builtin: bool,
}

impl Action {
    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("action:{}:{}", self.reference.pack, self.reference.name)
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&Str> {
        self.tags.iter().find(|tag| &*tag.name == name).map(|tag| &tag.value)
    }

    /// Where its entry point lies, if it has one.
    pub fn entry_point_path(&self) -> Option<PathBuf> {
        let path = Path::new(&*self.entry_point);
        (!self.entry_point.is_empty()).then(|| self.pack_dir.join("actions").join(path))
    }

    /// The runner's parameters with the action's merged over them key by key, then the action's own.
    pub fn merged_parameters(&self) -> IndexMap<Str, Value> {
        let mut merged = self.runner.parameters.clone();
        for (name, own) in &self.parameters {
            let value = match (merged.get(name).and_then(Value::as_map), own.as_map()) {
                (Some(runner), Some(own)) => {
                    let mut both = runner.clone();
                    both.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
                    Value::from(both)
                }
                _ => own.clone(),
            };
            merged.insert(name.clone(), value);
        }
        merged
    }
}

/// Reads one action.
pub(crate) fn read(file: &File<'_>, pack_dir: &Path) -> Option<Action> {
    let fields = file.fields();
    if is_workflow_text(file) {
        let help = "workflow files belong into `actions/workflows/`; every `.yaml` file directly in `actions/` describes an action";
        let span = fields.span("name");
        file.error_with_help(
            codes::MISSING_KEY,
            span,
            "this is a workflow, not an action",
            "has no `runner_type`",
            help,
        );
        return None;
    }
    let name = fields.required_text("name");
    let runner_name = fields.required_text("runner_type");
    fields.check_pack();
    let description = fields.text("description");
    let enabled = fields.boolean("enabled", true);
    let entry_point = fields.text("entry_point").unwrap_or_else(|| Str::from(""));
    let written = fields.map("parameters");
    let parameters = schema::parameters(file, written);
    let output_schema = fields.map("output_schema").map(Node::to_value);
    let notify = fields.map("notify").map(|node| notify(file, node));
    let tags = tags(file, &fields);
    let confirm = confirm(file, &fields);
    fields.allow(&["ref", "uid", "id", "metadata_file"]);
    fields.close();
    let runner = runner(file, &runner_name?, fields.span("runner_type"))?;
    if let Some(written) = written {
        check_overrides(file, &runner, written);
        check_positions(file, written);
        check_immutable(file, &runner, written);
    }
    let definition = entry_point_of(file, &runner, &entry_point, fields.span("entry_point"));
    let name = name?;
    (!file.has_failed()).then(|| Action {
        reference: file.reference(&name),
        description,
        enabled,
        runner,
        entry_point,
        pack_dir: pack_dir.to_owned(),
        parameters,
        notify,
        tags,
        output_schema,
        metadata_file: Str::from(file.path),
        source: file.source(fields.span("name")),
        definition,
        confirm,
        is_builtin: file.is_builtin,
    })
}

/// Whether somebody put a workflow where actions are described.
fn is_workflow_text(file: &File<'_>) -> bool {
    let has = |key: &str| file.root.get(key).is_some();
    !has("runner_type") && (has("chain") || (has("version") && (has("tasks") || has("workflows"))))
}

fn runner(file: &File<'_>, name: &str, span: Span) -> Option<Arc<RunnerType>> {
    match runner_type(name) {
        Some(runner) if !runner.is_internal || file.is_builtin => Some(runner.clone()),
        Some(_) => {
            let message = format!("the runner type `{name}` belongs to squall's own packs");
            file.error(codes::UNKNOWN_RUNNER, span, message, "cannot be used here");
            None
        }
        None => {
            let known = runner_types()
                .iter()
                .filter(|r| !r.is_internal)
                .flat_map(|r| r.aliases.iter().copied().chain([r.name]));
            let help = match nearest(name, known) {
                Some(close) => format!("did you mean `{close}`? The action is skipped"),
                None => "`squall runner list` shows the runner types. The action is skipped".to_owned(),
            };
            let message = format!("unknown runner type `{name}`");
            file.error_with_help(codes::UNKNOWN_RUNNER, span, message, "no runner has this name", help);
            None
        }
    }
}

/// Only these may differ from the runner's parameter of the same name.
const MAY_DIFFER: &[&str] = &["default", "description", "enum", "immutable", "required"];

fn check_overrides(file: &File<'_>, runner: &RunnerType, parameters: &Node) {
    for (key, schema) in parameters.as_map().unwrap_or_default() {
        let Some(inherited) = key.as_str().and_then(|name| runner.parameters.get(name)) else { continue };
        for (attribute, value) in schema.as_map().unwrap_or_default() {
            let Some(word) = attribute.as_str() else { continue };
            if MAY_DIFFER.contains(&word) || inherited.get(word) == Some(&value.to_value()) {
                continue;
            }
            let name = key.as_str().unwrap_or_default();
            let message = format!("`{word}` of `{name}` cannot differ from the runner's");
            let label = match inherited.get(word) {
                Some(theirs) => format!("`{}` says {theirs:?}", runner.name),
                None => format!("`{}` has no `{word}` there", runner.name),
            };
            let help = format!("a parameter of the runner may change only its {}", MAY_DIFFER.join(", "));
            file.error_with_help(codes::RUNNER_PARAMETER, value.span, message, label, help);
        }
    }
}

fn check_positions(file: &File<'_>, parameters: &Node) {
    let mut taken: Vec<(i64, &str, Span)> = Vec::new();
    for (key, schema) in parameters.as_map().unwrap_or_default() {
        let (Some(name), Some(position)) = (key.as_str(), schema.get("position")) else { continue };
        let Some(at) = position.to_value().as_int() else { continue };
        if let Some((_, other, _)) = taken.iter().find(|(taken, ..)| *taken == at) {
            let message = format!("`{other}` and `{name}` have the same position {at}");
            file.error(codes::POSITIONS, position.span, message, format!("`{other}` is there"));
        }
        taken.push((at, name, position.span));
    }
    taken.sort_by_key(|(at, ..)| *at);
    for pair in taken.windows(2) {
        if pair[1].0 > pair[0].0 + 1 {
            let positions: Vec<String> = taken.iter().map(|(at, ..)| at.to_string()).collect();
            let message = format!("positions {} leave a gap", positions.join(", "));
            let label = format!("nothing stands at {}", pair[0].0 + 1);
            file.error(codes::POSITIONS, pair[1].2, message, label);
            return;
        }
    }
}

fn check_immutable(file: &File<'_>, runner: &RunnerType, parameters: &Node) {
    for (key, schema) in parameters.as_map().unwrap_or_default() {
        let immutable = schema.get("immutable").filter(|node| node.to_value() == Value::Bool(true));
        let (Some(name), Some(immutable)) = (key.as_str(), immutable) else { continue };
        let inherited = runner.parameters.get(name);
        if schema.entry("default").is_none() && inherited.is_none_or(|theirs| theirs.get("default").is_none()) {
            let message = format!("the immutable parameter `{name}` has no default");
            let help = "nobody could ever give it a value; add `default`, or remove `immutable`";
            file.error_with_help(codes::IMMUTABLE, immutable.span, message, "needs a `default` beside it", help);
        }
    }
}

/// The workflow's text, if it is one; a missing script is worth a warning only.
fn entry_point_of(file: &File<'_>, runner: &RunnerType, path: &str, span: Span) -> Option<Arc<Definition>> {
    if path.is_empty() {
        if runner.needs_entry_point() {
            let message = format!("an action of runner type `{}` needs an entry point", runner.name);
            file.warning(codes::ENTRY_POINT, span, message, "running it will fail", None);
        }
        return None;
    }
    let inside = inside_actions(file, path, span)?;
    if runner.refuses_entry_point() {
        let message = format!("an action of runner type `{}` has no entry point", runner.name);
        let help = Some("use the `-script` runner to run a file".to_owned());
        file.warning(codes::ENTRY_POINT, span, message, "running it will fail", help);
        return None;
    }
    if !file.files.exists(&inside) {
        let message = format!("the entry point `{path}` does not exist");
        let help = Some(format!("it is looked for at `{}`", file.files.shown(&inside)));
        file.warning(codes::ENTRY_POINT, span, message, "running it will fail", help);
        return None;
    }
    if file.files.leads_out(&inside) {
        let message = format!("the entry point `{path}` is a link that leads out of the pack");
        let help = "copy the file into the pack";
        file.error_with_help(codes::ENTRY_POINT, span, message, "cannot be used", help);
        return None;
    }
    if !runner.is_workflow() {
        return None;
    }
    match file.files.read(&inside) {
        Ok(text) => Some(Arc::new(Definition::new(&text, file.files.shown(&inside)))),
        Err(why) => {
            file.error(codes::ENTRY_POINT, span, format!("the workflow cannot be read: {why}"), "this file");
            None
        }
    }
}

/// The entry point relative to the pack.
fn inside_actions(file: &File<'_>, path: &str, span: Span) -> Option<String> {
    if let crate::files::PackFiles::Disk { shown, root } = file.files
        && path.starts_with('/')
    {
        let relative = [shown, root].into_iter().find_map(|base| Path::new(path).strip_prefix(base).ok());
        if let Some(relative) = relative.and_then(Path::to_str).filter(|p| is_plain(p)) {
            return Some(relative.to_owned());
        }
    } else if is_plain(path) {
        return Some(format!("actions/{path}"));
    }
    let message = format!("the entry point `{path}` is outside of the pack or not written plainly");
    let help = "write a path relative to `actions/`, without `.` and `..`";
    file.error_with_help(codes::ENTRY_POINT, span, message, "cannot be used", help);
    None
}

/// Checks who is told; `channels` is the old word for `routes`.
pub(crate) fn notify(file: &File<'_>, node: &Node) -> Value {
    for (key, section) in node.as_map().unwrap_or_default() {
        let word = key.as_str().unwrap_or_default();
        if !matches!(word, "on-complete" | "on-success" | "on-failure") {
            let help = match word.replace('_', "-").as_str() {
                known @ ("on-complete" | "on-success" | "on-failure") => format!("did you mean `{known}`?"),
                _ => "the sections are `on-complete`, `on-success` and `on-failure`".to_owned(),
            };
            file.error_with_help(
                codes::NOTIFY,
                key.span,
                format!("`{word}` is no section of `notify`"),
                "has no meaning here",
                help,
            );
            continue;
        }
        if section.is_null() {
            continue;
        }
        let fields = Fields::of(file, section, "a section of `notify`");
        if section.as_map().is_none() {
            file.error(
                codes::NOTIFY,
                section.span,
                "a section of `notify` must be a map",
                format!("this is {}", section.kind_name()),
            );
            continue;
        }
        fields.text("message");
        fields.map("data");
        fields.texts("routes");
        fields.texts("channels");
        fields.close();
    }
    node.to_value()
}

/// Tags are maps of `name` and `value`.
pub(crate) fn tags(file: &File<'_>, fields: &Fields<'_>) -> Vec<Tag> {
    let mut tags = Vec::new();
    for item in fields.list("tags").unwrap_or_default() {
        let text = |key: &str| {
            item.get(key).map(Node::to_value).map(|value| match value {
                Value::Str(text) => text,
                other => Str::from(format!("{other:?}")),
            })
        };
        match text("name") {
            Some(name) => tags.push(Tag { name, value: text("value").unwrap_or_else(|| Str::from("")) }),
            None => {
                let help = "write `tags: [{name: …, value: …}]`";
                file.error_with_help(
                    codes::WRONG_TYPE,
                    item.span,
                    "a tag is a map with `name` and `value`",
                    format!("this is {}", item.kind_name()),
                    help,
                );
            }
        }
    }
    tags
}

/// The top-level `confirm`, which works here and which StackStorm would refuse.
pub(crate) fn confirm(file: &File<'_>, fields: &Fields<'_>) -> Option<Value> {
    let node = fields.get("confirm")?;
    if !file.is_builtin {
        let help = match file.what {
            "an alias" => "`extra: {squall: {confirm: …}}` works in both",
            _ => "`tags: [{name: squall.confirm, value: \"true\"}]` works in both",
        };
        let message = "StackStorm refuses files with the key `confirm`";
        file.warning(codes::CONFIRM_KEY, fields.span("confirm"), message, "squall's own key", Some(help.to_owned()));
    }
    Some(node.to_value())
}
