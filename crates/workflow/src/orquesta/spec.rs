//! A definition as it is written: short forms written out, places kept, nothing judged yet.
//!
//! [`Spec::read`] fails only where the reference cannot even look at the text; everything else becomes a lenient
//! model that [`super::inspect`] can report on as a whole. [`super::Definition`] is made of a spec that passed.

use super::inline;
use squall_model::{Map, Special, Str, Value};
use squall_yaml::{Diagnostic, Kind, Node, Options, Span, Style};
use std::collections::HashSet;
use std::sync::Arc;

/// A text that is no workflow at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// What is wrong.
    pub message: String,
    /// Where, by the keys and indexes that lead there.
    pub path: Vec<Step>,
    /// The place, where there is one.
    pub span: Option<Span>,
    /// What the YAML reader said, if it was that.
    pub yaml: Option<Box<squall_yaml::Error>>,
    /// What else is wrong, in the order of the file.
    pub others: Vec<LoadError>,
}

impl LoadError {
    /// The same for people, with its place in `text`.
    pub fn diagnostic(&self, text: &str, file: &str) -> Diagnostic {
        const CODE: &str = "SQ2105";
        let told = match (&self.yaml, self.span) {
            (Some(error), _) => Diagnostic::from_yaml_error(CODE, text, error),
            (None, Some(span)) => Diagnostic::error(CODE, self.message.clone()).at(text, span, "here"),
            (None, None) => Diagnostic::error(CODE, self.message.clone()),
        };
        told.in_file(file)
    }
}

/// One step of a way through a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a map.
    Key(Str),
    /// Into a list.
    Index(usize),
}

/// A workflow as it is written.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The text, for pointing at it.
    pub text: Arc<str>,
    /// The nodes with their places.
    pub document: Node,
    /// The whole as a value; `with: EXPR` is written out, the rest is untouched.
    pub root: Map,
    /// The tasks, in the order of the file.
    pub tasks: Vec<Task>,
    /// Paths of values that YAML reads as dates, which the schema refuses.
    pub dates: HashSet<String>,
}

/// A task as it is written.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// Its name.
    pub name: Str,
    /// The action, without inline parameters.
    pub action: Value,
    /// Its input: the block, or the inline parameters.
    pub input: Value,
    /// `with`, if there is one.
    pub with: Option<With>,
    /// `join`.
    pub join: Value,
    /// `delay`.
    pub delay: Value,
    /// `retry`, if there is one.
    pub retry: Option<Retry>,
    /// `next`.
    pub next: Vec<Transition>,
}

/// `with` of a task.
#[derive(Debug, Clone, Default)]
pub struct With {
    /// `items`.
    pub items: Value,
    /// `concurrency`.
    pub concurrency: Value,
}

/// `retry` of a task.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    /// `when`.
    pub when: Value,
    /// `count`.
    pub count: Value,
    /// `delay`.
    pub delay: Value,
}

/// One entry of `next`.
#[derive(Debug, Clone, Default)]
pub struct Transition {
    /// `when`.
    pub when: Value,
    /// `publish`, in order.
    pub publish: Vec<(Str, Value)>,
    /// The names in `do`, as often as they stand there; `continue` when there are none.
    pub targets: Vec<Str>,
    /// `do`, as it is written.
    pub targets_written: Value,
}

fn fail<T>(message: impl Into<String>, path: &[Step]) -> Result<T, LoadError> {
    Err(LoadError { message: message.into(), path: path.to_vec(), span: None, yaml: None, others: Vec::new() })
}

fn key(name: &str) -> Step {
    Step::Key(name.into())
}

impl Spec {
    /// Reads a definition that the reference can look at.
    pub fn read(text: &str) -> Result<Spec, LoadError> {
        let (spec, mut errors) = Spec::read_on(text)?;
        if errors.is_empty() {
            return Ok(spec);
        }
        let first = errors.remove(0);
        Err(LoadError { others: errors, ..first })
    }

    /// Reads on after faults that end the reference's reading: they come beside what could be read, in which a part at
    /// fault is left out.
    pub fn read_on(text: &str) -> Result<(Spec, Vec<LoadError>), LoadError> {
        let document = squall_yaml::parse(text, &Options::orquesta()).map_err(|error| LoadError {
            message: format!("Failed to load workflow definition because {}.", error.message),
            path: Vec::new(),
            span: None,
            yaml: Some(Box::new(error)),
            others: Vec::new(),
        })?;
        let root = document.root;
        let at_its_place = |error: LoadError| LoadError { span: Some(nearest(&root, &error.path).span), ..error };
        let (spec, errors) = Spec::of(text, root.clone()).map_err(at_its_place)?;
        Ok((spec, errors.into_iter().map(at_its_place).collect()))
    }

    fn of(text: &str, document: Node) -> Result<(Spec, Vec<LoadError>), LoadError> {
        let mut root = match document.to_value() {
            Value::Map(root) => Arc::unwrap_or_clone(root),
            Value::Null => return fail("The spec cannot be type of None.", &[]),
            Value::Special(_) => return fail("a key of the workflow is not a text", &[]),
            _ => return fail("The spec is not type of json or yaml.", &[]),
        };
        let mut errors = odd_keys(&root);
        let tasks = match root.get("tasks") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Map(tasks)) => tasks.iter().map(|(name, body)| Task::read(name, body, &mut errors)).collect(),
            Some(_) => return fail("`tasks` is not a map of task names", &[key("tasks")]),
        };
        write_out_with(&mut root);
        let mut dates = HashSet::new();
        find_dates(&document, &mut dates);
        Ok((Spec { text: text.into(), document, root, tasks, dates }, errors))
    }

    /// The node that a written path such as `tasks.a.next[0].do` leads to, or the nearest one above it.
    pub fn node_at(&self, path: &str) -> Node {
        let mut node = self.document.clone();
        for part in path.split('.') {
            let (name, indexes) = part.split_once('[').unwrap_or((part, ""));
            // The name of a date or a task stands at its key, which is easier to find than its body.
            match node.get(name) {
                Some(next) => node = next.clone(),
                None => return node,
            }
            for index in indexes.split(['[', ']']).filter(|i| !i.is_empty()) {
                let item = index.parse::<usize>().ok().and_then(|i| node.as_seq()?.get(i).cloned());
                match item {
                    Some(next) => node = next,
                    None => return node,
                }
            }
        }
        node
    }
}

/// The node that a way leads to, or the last one on it.
fn nearest(root: &Node, path: &[Step]) -> Node {
    let mut node = root.clone();
    for step in path {
        let next = match step {
            Step::Key(key) => node.get(key).cloned(),
            Step::Index(index) => node.as_seq().and_then(|items| items.get(*index)).cloned(),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

/// Keys such as `on:` are Booleans to YAML; the reference stumbles over them, we say so.
fn odd_keys(root: &Map) -> Vec<LoadError> {
    let mut found = Vec::new();
    for section in ["input", "vars", "output"] {
        let entries = root.get(section).and_then(Value::as_list).unwrap_or_default();
        let odd = entries.iter().enumerate().filter(|(_, entry)| is_odd(entry));
        found.extend(odd.filter_map(|(i, _)| fail::<()>(ODD_KEY, &[key(section), Step::Index(i)]).err()));
    }
    found
}

const ODD_KEY: &str = "a name is not a text to YAML (`on`, `yes` and numbers are not): put it into quotes";

fn is_odd(entry: &Value) -> bool {
    matches!(entry, Value::Special(special) if matches!(**special, Special::Dict(_)))
}

fn write_out_with(root: &mut Map) {
    let Some(Value::Map(tasks)) = root.get_mut("tasks") else {
        return;
    };
    for body in Arc::make_mut(tasks).values_mut() {
        let Value::Map(body) = body else { continue };
        if let Some(with @ Value::Str(_)) = body.get("with") {
            let items = Value::from_pairs([("items", with.clone())]);
            Arc::make_mut(body).insert("with".into(), items);
        }
    }
}

impl Task {
    /// The task, without the parts at fault.
    fn read(name: &Str, body: &Value, errors: &mut Vec<LoadError>) -> Task {
        let path = [key("tasks"), Step::Key(name.clone())];
        let mut refuse = |message: String| errors.extend(fail::<()>(message, &path).err());
        let none = Task { name: name.clone(), ..Task::default() };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            refuse(format!("the task name `{name}` has characters other than letters, digits and `_`"));
            return none;
        }
        let body = match body {
            Value::Map(body) if !body.is_empty() => body,
            Value::Map(_) | Value::Null => {
                refuse(format!("the task `{name}` has no body"));
                return none;
            }
            _ => {
                refuse(format!("the task `{name}` is not a map"));
                return none;
            }
        };
        let field = |name: &str| body.get(name).cloned().unwrap_or_default();
        let (action, input) = action_and_input(field("action"), field("input"));
        let with = read_with(field("with"), name).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        Task {
            action,
            input,
            with,
            join: field("join"),
            delay: field("delay"),
            retry: body.get("retry").and_then(Value::as_map).map(|retry| {
                let field = |name: &str| retry.get(name).cloned().unwrap_or_default();
                Retry { when: field("when"), count: field("count"), delay: field("delay") }
            }),
            next: read_next(field("next"), name, errors),
            ..none
        }
    }
}

/// Inline parameters replace the block; the action is then what stands before the first blank.
fn action_and_input(action: Value, input: Value) -> (Value, Value) {
    let Some(text) = action.as_str() else {
        return (action, input);
    };
    let pairs = inline::pairs(text);
    if pairs.is_empty() {
        return (action, input);
    }
    let name = text.split(' ').next().unwrap_or_default();
    (Value::from(name), Value::from_pairs(pairs))
}

fn read_with(with: Value, task: &Str) -> Result<Option<With>, LoadError> {
    Ok(Some(match with {
        Value::Null => return Ok(None),
        Value::Str(_) => With { items: with, concurrency: Value::Null },
        Value::Map(with) => With {
            items: with.get("items").cloned().unwrap_or_default(),
            concurrency: with.get("concurrency").cloned().unwrap_or_default(),
        },
        _ => {
            let path = [key("tasks"), Step::Key(task.clone()), key("with")];
            return fail("`with` is neither an expression nor a map", &path);
        }
    }))
}

/// The transitions, without those at fault.
fn read_next(next: Value, task: &Str, errors: &mut Vec<LoadError>) -> Vec<Transition> {
    let path = [key("tasks"), Step::Key(task.clone()), key("next")];
    let entries = match next {
        Value::Null => return Vec::new(),
        Value::List(entries) => entries,
        _ => {
            errors.extend(fail::<()>("The spec is not type of list.", &path).err());
            return Vec::new();
        }
    };
    let mut transitions = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        let path = [path.as_slice(), &[Step::Index(i)]].concat();
        match read_transition(entry, &path) {
            Ok(transition) => transitions.push(transition),
            Err(error) => errors.push(error),
        }
    }
    transitions
}

fn read_transition(entry: &Value, path: &[Step]) -> Result<Transition, LoadError> {
    let entry = match entry {
        Value::Map(entry) if !entry.is_empty() => entry,
        Value::Map(_) | Value::Null => return fail("The spec cannot be type of None.", path),
        _ => return fail("The spec is not type of json or yaml.", path),
    };
    let field = |name: &str| entry.get(name).cloned().unwrap_or_default();
    let publish = match field("publish") {
        Value::List(items) if items.iter().any(is_odd) => return fail(ODD_KEY, path),
        publish => named_values(&publish),
    };
    Ok(Transition { when: field("when"), publish, targets: targets(&field("do")), targets_written: field("do") })
}

/// `publish`, `vars`, `output`: a list of maps with one key, or inline pairs.
pub fn named_values(written: &Value) -> Vec<(Str, Value)> {
    match written {
        Value::Str(text) => inline::pairs(text),
        Value::List(entries) => entries
            .iter()
            .filter_map(Value::as_map)
            .flat_map(|entry| entry.iter().map(|(k, v)| (k.clone(), v.clone())))
            .collect(),
        _ => Vec::new(),
    }
}

fn targets(written: &Value) -> Vec<Str> {
    let names: Vec<Str> = match written {
        // A name may be empty (`a,,b`): there is no such task, which the inspection says.
        Value::Str(text) if !text.is_empty() => text.split(',').map(|name| name.trim().into()).collect(),
        Value::List(names) => names.iter().map(|name| squall_expr::python::str(name).into()).collect(),
        _ => Vec::new(),
    };
    if names.is_empty() { vec!["continue".into()] } else { names }
}

/// Notes the direct values of `input`, `vars`, `output` and `publish` that YAML reads as dates.
fn find_dates(root: &Node, dates: &mut HashSet<String>) {
    for section in ["input", "vars", "output"] {
        if let Some(list) = root.get(section) {
            dates_of_list(list, section, dates);
        }
    }
    for (name, body) in root.get("tasks").and_then(|t| t.as_map()).unwrap_or_default() {
        let next = body.get("next").and_then(|next| next.as_seq());
        for (i, entry) in next.unwrap_or_default().iter().enumerate() {
            if let (Some(name), Some(list)) = (name.as_str(), entry.get("publish")) {
                dates_of_list(list, &format!("tasks.{name}.next[{i}].publish"), dates);
            }
        }
    }
}

fn dates_of_list(list: &Node, path: &str, dates: &mut HashSet<String>) {
    for (i, entry) in list.as_seq().unwrap_or_default().iter().enumerate() {
        for (name, value) in entry.as_map().unwrap_or_default() {
            if let (Some(name), true) = (name.as_str(), is_date(value)) {
                dates.insert(format!("{path}[{i}].{name}"));
            }
        }
    }
}

fn is_date(node: &Node) -> bool {
    let Kind::Scalar { value, text, style } = &node.kind else {
        return false;
    };
    match value {
        Value::Special(special) => matches!(**special, Special::DateTime { .. }),
        Value::Str(_) => *style == Style::Plain && looks_like_date(text),
        _ => false,
    }
}

fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        })
}
