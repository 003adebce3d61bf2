//! Reads one task: its keys, policies, items and transition clauses.

use super::definition::{Clause, Join, Publish, Retry, Target, Task, TaskIndex, To, Work};
use super::inline;
use super::load::{FORM, NAME, Reader, key_text, work_of};
use crate::expressions::Expr;
use indexmap::IndexSet;
use squall_expr::Engine;
use squall_model::{Str, Value, from_json, to_json};
use squall_yaml::{Kind, Node, Span};
use std::collections::{HashMap, HashSet};

/// Keys that tasks of both kinds of workflow have.
const COMMON: [&str; 20] = [
    "action",
    "workflow",
    "input",
    "with-items",
    "concurrency",
    "publish",
    "publish-on-error",
    "publish-on-skip",
    "retry",
    "wait-before",
    "wait-after",
    "timeout",
    "pause-before",
    "fail-on",
    "keep-result",
    "safe-rerun",
    "target",
    "description",
    "tags",
    "name",
];
const DIRECT: [&str; 5] = ["on-success", "on-error", "on-complete", "on-skip", "join"];
const REVERSE: [&str; 1] = ["requires"];

type Names = HashMap<Str, TaskIndex>;

/// Reads a task; `defaults` are those of its workflow.
pub(super) fn read_task(
    reader: &mut Reader<'_>,
    name: Str,
    key: &Node,
    node: &Node,
    reverse: bool,
    defaults: Option<&Node>,
    names: &Names,
) -> Task {
    if node.as_map().is_none_or(<[_]>::is_empty) {
        reader.fault(FORM, key.span, format!("task `{name}` is a map with at least one entry"), "");
    }
    let known: Vec<&str> = match reverse {
        true => COMMON.iter().chain(&REVERSE).copied().collect(),
        false => COMMON.iter().chain(&DIRECT).copied().collect(),
    };
    reader.only_keys(node, &known, "a task");
    let (work, one_line) = work_of(reader, node);
    let fixed = match &work {
        Work::Action(name) => name.fixed.clone(),
        Work::Workflow(_) => None,
    };
    let input = reader.input(node.get("input"), one_line, fixed.as_deref().unwrap_or(""), &name);
    let own = Fields { node, defaults };
    let clause = |reader: &mut Reader<'_>, key: &str| {
        let clause = node.get(key).filter(|_| !reverse);
        let mut clause = clause.map_or_else(Clause::default, |clause| read_clause(reader, clause, key, names, None));
        // Where a task leads nowhere by itself the default says where to; what a default publishes is never looked at.
        if let Some(default) = defaults.and_then(|defaults| defaults.get(key)).filter(|_| !reverse && clause.is_empty())
        {
            let default = read_clause(reader, default, key, names, Some(&name));
            (clause.next, clause.shadowed) = (default.next, default.shadowed);
        }
        clause
    };
    let on_success = clause(reader, "on-success");
    let on_error = clause(reader, "on-error");
    let on_complete = clause(reader, "on-complete");
    let on_skip = clause(reader, "on-skip");
    let outbound = targets([&on_success, &on_error, &on_complete, &on_skip]);
    check_small_print(reader, node);
    let mut spec = node.to_value().as_map().cloned().unwrap_or_default();
    spec.insert("name".into(), Value::from(name.clone()));
    spec.insert("version".into(), Value::from("2.0"));
    spec.insert("type".into(), Value::from(if reverse { "reverse" } else { "direct" }));
    let requires = if reverse { read_requires(reader, &name, &own, names) } else { Vec::new() };
    Task {
        work,
        input,
        items: node.get("with-items").map_or_else(Vec::new, |items| read_items(reader, items)),
        concurrency: own.get("concurrency").and_then(|n| whole_number(reader, n, "concurrency")),
        publish: read_publish(reader, node, "publish"),
        publish_on_error: read_publish(reader, node, "publish-on-error"),
        publish_on_skip: read_publish(reader, node, "publish-on-skip"),
        on_success,
        on_error,
        on_complete,
        on_skip,
        join: node.get("join").filter(|_| !reverse).and_then(|join| read_join(reader, join)),
        inbound: Vec::new(),
        outbound,
        leads_to_join: false,
        retry: own.get("retry").and_then(|retry| read_retry(reader, retry)),
        wait_before: own.get("wait-before").and_then(|n| whole_number(reader, n, "wait-before")),
        wait_after: own.get("wait-after").and_then(|n| whole_number(reader, n, "wait-after")),
        timeout: own.get("timeout").and_then(|n| whole_number(reader, n, "timeout")),
        pause_before: own.get("pause-before").and_then(|n| truth(reader, n, "pause-before")),
        fail_on: own.get("fail-on").and_then(|n| truth(reader, n, "fail-on")),
        // An expression here is tested for truth without being evaluated, so it always counts as true.
        keep_result: node.get("keep-result").is_none_or(|keep| keep.to_value().as_bool() != Some(false)),
        target: node.get("target").map(|target| reader.expr(target)),
        requires,
        dependents: Vec::new(),
        spec: Value::from(spec),
        name,
    }
}

/// Fields of a task, or of the defaults where the task has none of its own.
struct Fields<'n> {
    node: &'n Node,
    defaults: Option<&'n Node>,
}

impl<'n> Fields<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.get(key).or_else(|| self.defaults?.get(key))
    }
}

fn targets(clauses: [&Clause; 4]) -> Vec<TaskIndex> {
    let mut targets = IndexSet::new();
    for clause in clauses {
        let named = clause.next.iter().filter_map(|target| match target.to {
            To::Task(index) => Some(index),
            To::Noop | To::Fail(_) | To::Succeed(_) | To::Pause(_) => None,
        });
        targets.extend(named.chain(clause.shadowed.iter().copied()));
    }
    targets.into_iter().collect()
}

/// Keys that have a form but no meaning here.
fn check_small_print(reader: &mut Reader<'_>, node: &Node) {
    for key in ["keep-result", "safe-rerun"] {
        if let Some(node) = node.get(key) {
            truth(reader, node, key);
        }
    }
    if let Some(description) = node.get("description")
        && description.as_str().is_none_or(str::is_empty)
    {
        reader.fault(FORM, description.span, "a description is a text", "");
    }
    if let Some(tags) = node.get("tags")
        && tags.as_seq().is_none_or(|tags| tags.is_empty() || tags.iter().any(|tag| tag.as_str().is_none()))
    {
        reader.fault(FORM, tags.span, "`tags` is a list of texts, at least one", "");
    }
}

/// Whether a text begins and ends as an expression does, on one line: Mistral's schema asks for no more.
fn is_expression(text: &str) -> bool {
    let text = text.trim_end();
    let encloses = |open: &str, close: &str| text.len() >= 4 && text.starts_with(open) && text.ends_with(close);
    (encloses("<%", "%>") || encloses("{{", "}}")) && !text.contains('\n')
}

/// A whole number, or an expression that gives one.
fn whole_number(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Expr> {
    match &node.kind {
        Kind::Scalar { value: value @ Value::Int(n), .. } if *n >= 0 => Some(Expr::Constant(value.clone())),
        Kind::Scalar { value: Value::Str(text), .. } if is_expression(text) => Some(reader.text(node, text)),
        _ => {
            reader.fault(FORM, node.span, format!("`{what}` is a whole number from 0, or an expression"), "");
            None
        }
    }
}

/// True or false, or an expression that gives one.
fn truth(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Expr> {
    match &node.kind {
        Kind::Scalar { value: value @ Value::Bool(_), .. } => Some(Expr::Constant(value.clone())),
        Kind::Scalar { value: Value::Str(text), .. } if is_expression(text) => Some(reader.text(node, text)),
        _ => {
            reader.fault(FORM, node.span, format!("`{what}` is true, false or an expression"), "");
            None
        }
    }
}

fn read_join(reader: &mut Reader<'_>, node: &Node) -> Option<Join> {
    match &node.kind {
        Kind::Scalar { value: Value::Str(text), .. } if &**text == "all" => Some(Join::All),
        Kind::Scalar { value: Value::Str(text), .. } if &**text == "one" => Some(Join::Count(1)),
        // No join at all, for Mistral.
        Kind::Scalar { value: Value::Int(0), .. } => None,
        Kind::Scalar { value: Value::Int(n), .. } if *n > 0 => Some(Join::Count(usize::try_from(*n).ok()?)),
        _ => {
            reader.fault(FORM, node.span, "`join` is `all`, `one` or a whole number", "");
            None
        }
    }
}

fn read_retry(reader: &mut Reader<'_>, node: &Node) -> Option<Retry> {
    if let Some(text) = node.as_str() {
        return read_retry_line(reader, node, text);
    }
    let pairs = reader.filled_map(node, "retry");
    if pairs.is_empty() {
        return None;
    }
    reader.only_keys(node, &["count", "delay", "break-on", "continue-on"], "`retry`");
    let mut number = |key: &str| match node.get(key) {
        Some(value) => whole_number(reader, value, key),
        None => {
            reader.fault(FORM, node.span, format!("'{key}' is a required property"), "`retry` lacks it");
            None
        }
    };
    let (count, delay) = (number("count"), number("delay"));
    let mut condition = |key: &str| {
        let node = node.get(key)?;
        match node.as_str().filter(|text| is_expression(text)) {
            Some(text) => Some(reader.text(node, &text.into())),
            None => {
                reader.fault(FORM, node.span, format!("`{key}` is an expression"), "");
                None
            }
        }
    };
    let (break_on, continue_on) = (condition("break-on"), condition("continue-on"));
    Some(Retry { count: count?, delay: delay?, break_on, continue_on })
}

/// `count=2 delay=1 break-on=<%...%>`
fn read_retry_line(reader: &mut Reader<'_>, node: &Node, text: &str) -> Option<Retry> {
    // Without a blank Mistral sees no parameters in it.
    let line = format!("retry {text}");
    let parameters = inline::split(&line).filter(|_| text.contains(' ')).map(|(_, found)| found).unwrap_or_default();
    let is_number = |value: &Value| matches!(value, Value::Int(n) if *n >= 0);
    for (key, value) in &parameters {
        let is_condition = ["break-on", "continue-on"].contains(&&**key);
        if !is_condition && !["count", "delay"].contains(&&**key) {
            let text = format!("Additional properties are not allowed ('{key}' was unexpected)");
            reader.fault(FORM, node.span, text, "`retry` has no such key");
        } else if !value.as_str().is_some_and(is_expression) && (is_condition || !is_number(value)) {
            let what = if is_condition { "an expression" } else { "a whole number from 0, or an expression" };
            reader.fault(FORM, node.span, format!("`{key}` is {what}"), "");
        }
    }
    let expr = |key: &str| parameters.get(key).map(|value| Expr::of(value, Engine::Mistral));
    let (count, delay) = (expr("count"), expr("delay"));
    let (break_on, continue_on) = (expr("break-on"), expr("continue-on"));
    if count.is_none() || delay.is_none() {
        reader.fault(FORM, node.span, "`retry` needs `count` and `delay`", "");
    }
    Some(Retry { count: count?, delay: delay?, break_on, continue_on })
}

fn read_items(reader: &mut Reader<'_>, node: &Node) -> Vec<(Str, Expr)> {
    let texts: Vec<&Node> = match &node.kind {
        Kind::Seq(items) if !items.is_empty() => items.iter().collect(),
        _ => vec![node],
    };
    let mut items: Vec<(Str, Expr)> = Vec::with_capacity(texts.len());
    for node in texts {
        let read = node.as_str().and_then(inline::item).and_then(|(name, list)| {
            let expr = if list.starts_with('[') {
                Expr::of(&from_json(list, false).ok()?, Engine::Mistral)
            } else {
                reader.text(node, &list.into())
            };
            Some((Str::from(name), expr))
        });
        match read {
            // A name that is given twice means the later list.
            Some((name, list)) => match items.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = list,
                None => items.push((name, list)),
            },
            None => reader.fault_with_help(
                FORM,
                node.span,
                "Wrong format of 'with-items' property",
                "",
                "write `var in <% $.list %>` or `var in [\"a\", \"b\"]`",
            ),
        }
    }
    items
}

fn read_publish(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Publish> {
    let branch = reader.shallow_pairs(node.get(key)?, key);
    Some(Publish { branch, global: Vec::new() })
}

fn read_requires(reader: &mut Reader<'_>, task: &str, own: &Fields<'_>, names: &Names) -> Vec<TaskIndex> {
    let mut requires = Vec::new();
    let defaults = own.defaults.and_then(|defaults| defaults.get("requires"));
    // Requirements of the defaults are united with those of the task.
    for (node, is_default) in
        own.node.get("requires").map(|n| (n, false)).into_iter().chain(defaults.map(|n| (n, true)))
    {
        let texts: Vec<&Node> = match &node.kind {
            Kind::Seq(items) if items.is_empty() => {
                reader.fault(FORM, node.span, "`requires` is empty", "name a task, or leave it out");
                Vec::new()
            }
            Kind::Seq(items) => items.iter().collect(),
            _ => vec![node],
        };
        for node in texts {
            match node.as_str().and_then(|name| names.get(name)) {
                Some(_) if is_default && node.as_str() == Some(task) => {}
                Some(index) if requires.contains(index) => {}
                Some(index) => requires.push(*index),
                None => {
                    let name = node.as_str().unwrap_or("");
                    no_such_task(reader, name, node.span, "required here", names);
                }
            }
        }
    }
    requires
}

/// Reads a transition clause; `owner` is the task when the clause is a default, in which it itself is left out.
fn read_clause(reader: &mut Reader<'_>, node: &Node, key: &str, names: &Names, owner: Option<&str>) -> Clause {
    let mut clause = Clause::default();
    let is_advanced = node.get("publish").is_some() || node.get("next").is_some();
    if let Some(pairs) = node.as_map().filter(|_| !is_advanced) {
        check_ignored(reader, node, pairs, key);
        return clause;
    }
    if !is_advanced {
        clause.next = read_targets(reader, node, key, names, owner);
        clause.shadowed = shadowed(node, names);
        return clause;
    }
    reader.only_keys(node, &["publish", "next"], "a clause");
    if let Some(publish) = node.get("publish") {
        reader.only_keys(publish, &["branch", "global", "atomic"], "`publish`");
        reader.filled_map(publish, "publish");
        let mut scope = |key: &str| publish.get(key).map_or_else(Vec::new, |node| reader.shallow_pairs(node, key));
        clause.publish = Some(Publish { branch: scope("branch"), global: scope("global") });
        scope("atomic");
    }
    if let Some(next) = node.get("next") {
        clause.next = read_targets(reader, next, key, names, owner);
        clause.shadowed = shadowed(next, names);
        if next.as_map().is_some() {
            // Of a single map behind `next` Mistral reads the name and not the condition.
            clause.next.iter_mut().for_each(|target| target.when = None);
            let text = "the condition is not looked at: of a single map behind `next` Mistral reads the name alone";
            reader.warn(NAME, next.span, text, "make it a list: put `- ` before it");
        }
    }
    clause
}

/// A clause that is one map `target: condition` is held to its form and then ignored: Mistral takes it for the form with
/// `publish` and `next`, of which it has neither. Not even its target has to exist.
fn check_ignored(reader: &mut Reader<'_>, node: &Node, pairs: &[(Node, Node)], key: &str) {
    match pairs {
        [(target, when)] => {
            check_condition(reader, when);
            let text = format!("`{key}` leads nowhere: of a single map Mistral ignores the target");
            reader.warn(NAME, target.span, text, "make it a list: put `- ` before it");
        }
        _ => {
            let help = "write a list of targets, each with its condition";
            reader.fault_with_help(FORM, node.span, format!("`{key}` is a map of several entries"), "", help);
        }
    }
}

fn check_condition(reader: &mut Reader<'_>, when: &Node) {
    if !when.as_str().is_some_and(is_expression) {
        let text = format!("a condition is an expression, not {}", when.kind_name());
        let help = "write `name: <% ... %>` or `name: \"{{ ... }}\"`, with nothing around the expression";
        reader.fault_with_help(FORM, when.span, text, "", help);
    }
}

/// Tasks named like the commands that a clause uses.
fn shadowed(node: &Node, names: &Names) -> Vec<TaskIndex> {
    let entries = node.as_seq().unwrap_or(std::slice::from_ref(node));
    let texts = entries.iter().filter_map(|entry| match entry.as_map() {
        Some(pairs) => pairs.first().map(|(key, _)| key_text(key)),
        None => entry.as_str().map(Str::from),
    });
    let commands = texts.filter(|text| !matches!(inline::target(text), inline::Target::Task(_)));
    commands.filter_map(|text| names.get(&text).copied()).collect()
}

fn read_targets(reader: &mut Reader<'_>, node: &Node, key: &str, names: &Names, owner: Option<&str>) -> Vec<Target> {
    let entries: Vec<&Node> = match &node.kind {
        Kind::Seq(items) if items.is_empty() => {
            reader.fault(FORM, node.span, format!("`{key}` is empty"), "name a task or a command");
            Vec::new()
        }
        Kind::Seq(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut seen: HashSet<String> = HashSet::new();
    let mut targets = Vec::new();
    for entry in entries {
        if !seen.insert(to_json(&entry.to_value())) {
            reader.fault(FORM, entry.span, format!("`{key}` has non-unique elements"), "named before");
        }
        targets.extend(read_target(reader, entry, names, owner));
    }
    targets
}

fn read_target(reader: &mut Reader<'_>, node: &Node, names: &Names, owner: Option<&str>) -> Option<Target> {
    let (name, text, when) = match &node.kind {
        Kind::Map(pairs) if pairs.len() == 1 => (&pairs[0].0, key_text(&pairs[0].0), Some(&pairs[0].1)),
        Kind::Scalar { value: Value::Str(text), .. } if !text.is_empty() => (node, text.clone(), None),
        _ => {
            reader.fault(FORM, node.span, "a transition is a name, or one name with its condition", "");
            return None;
        }
    };
    if when.is_none() && !inline::is_target(&text) {
        let help = "a message is written `fail msg=\"text\"`; the name of a task has no blanks here";
        reader.fault_with_help(FORM, node.span, format!("`{text}` is no transition"), "", help);
        return None;
    }
    when.into_iter().for_each(|when| check_condition(reader, when));
    let when = when.map(|when| match &when.kind {
        Kind::Scalar { value: Value::Str(text), .. } => reader.text(when, text),
        _ => reader.expr(when),
    });
    // Mistral looks at a message only when it gets there.
    let message = |message: Option<Value>| message.map(|message| Expr::of(&message, Engine::Mistral));
    let to = match inline::target(&text) {
        inline::Target::Noop => To::Noop,
        inline::Target::Fail(text) => To::Fail(message(text)),
        inline::Target::Succeed(text) => To::Succeed(message(text)),
        inline::Target::Pause(text) => To::Pause(message(text)),
        inline::Target::Task(task) if owner == Some(task) => return None,
        inline::Target::Task(task) => match names.get(task) {
            Some(index) => To::Task(*index),
            None => {
                no_such_task(reader, task, name.span, "no task has this name", names);
                return None;
            }
        },
    };
    Some(Target { to, when })
}

/// Notes a name that no task has, and the one that was probably meant.
fn no_such_task(reader: &mut Reader<'_>, name: &str, span: Span, label: &str, names: &Names) {
    let message = format!("Task '{name}' not found.");
    let known = names.keys().map(|known| &**known).chain(["fail", "noop", "pause", "succeed"]);
    match squall_yaml::nearest(name, known) {
        Some(close) => reader.fault_with_help(NAME, span, message, label, &format!("did you mean `{close}`?")),
        None => reader.fault(NAME, span, message, label),
    }
}
