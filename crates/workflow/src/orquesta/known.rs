//! Inspection, category `context`: variables that are used before anything sets them.
//!
//! Numbers are found by pattern only, and followed along the branches as the reference follows them, so that what it lets
//! pass passes and what it refuses is refused, entry by entry.
//!
//! Start reading at [`unknown`].

use super::expression;
use super::graph::{Graph, Numbers, RESERVED};
use super::inline;
use super::inspect::{Entry, task_values, transition_schema};
use super::spec::{Spec, Task};
use squall_model::{Str, Value};
use std::collections::{HashMap, VecDeque};

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

    fn check(&mut self, value: &Value, known: &Numbers, spec_path: &str, schema_path: &str) {
        for Reference { name, language, expression } in references(value) {
            let mut say = |message: String| {
                self.found.push(Entry {
                    message,
                    spec_path: Some(spec_path.into()),
                    schema_path: schema_path.into(),
                    expression: Some((Some(language), expression.clone())),
                });
            };
            if name.starts_with("__") {
                say(format!(
                    "Variable \"{name}\" that is prefixed with double underscores is considered a private variable and cannot be referenced."
                ));
            }
            if !self.numbers.get(name.as_str()).is_some_and(|n| known.contains(*n)) {
                say(format!("Variable \"{name}\" is referenced before assignment."));
            }
        }
    }

    /// A value as it is written: a text with inline pairs and a list are looked at part by part.
    fn check_written(&mut self, value: &Value, known: &Numbers, spec_path: &str, schema_path: &str) {
        match value {
            Value::Str(text) if text.contains('=') => match inline::pairs(text).as_slice() {
                [] => self.check(value, known, spec_path, schema_path),
                pairs => (0..).zip(pairs).for_each(|(i, (_, part)): (usize, _)| {
                    self.check(part, known, &format!("{spec_path}[{i}]"), schema_path);
                }),
            },
            Value::List(parts) => (0..).zip(parts.iter()).for_each(|(i, part): (usize, _)| {
                self.check(part, known, &format!("{spec_path}[{i}]"), schema_path);
            }),
            _ => self.check(value, known, spec_path, schema_path),
        }
    }

    /// A list of `name: value`, each seeing the names before it.
    fn rolling<'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a Str, &'a Value, String)>,
        known: &mut Numbers,
        schema_path: &str,
    ) {
        for (name, value, spec_path) in entries {
            self.check(value, known, &spec_path, schema_path);
            known.insert(self.number(name));
        }
    }

    fn section(&mut self, spec: &Spec, section: &str, known: &mut Numbers) {
        let entries = section_entries(spec, section);
        let entries = entries.iter().map(|(name, value, path)| (name, value, path.clone()));
        self.rolling(entries, known, &format!("properties.{section}"));
    }

    /// A task under the names that it knows, then each of its ways to a target, once for each target; answers what
    /// is known on each way.
    fn task(&mut self, task: &Task, known: &Numbers) -> Vec<Numbers> {
        for (value, spec_path, schema_path) in task_values(task) {
            self.check_written(value, known, &spec_path, &schema_path);
        }
        let mut after = Vec::with_capacity(task.next.len());
        for (i, transition) in task.next.iter().enumerate() {
            let path = format!("tasks.{}.next[{i}]", task.name);
            let mut branch = known.clone();
            for _ in 0..transition.targets.len().max(1) {
                branch = known.clone();
                self.check_written(&transition.when, &branch, &format!("{path}.when"), &transition_schema("when"));
                let entries =
                    transition.publish.iter().enumerate().map(|(i, (k, v))| (k, v, format!("{path}.publish[{i}]")));
                self.rolling(entries, &mut branch, &transition_schema("publish"));
                let targets = &transition.targets_written;
                self.check_written(targets, &branch, &format!("{path}.do"), &transition_schema("do"));
            }
            after.push(branch);
        }
        after
    }
}

/// A walk that visits more tasks than this many times their number goes on to new ones only: the reference comes back
/// to a join for each arrival, which doubles with every join on the way.
const VISITS_PER_TASK: usize = 16;

/// Follows the branches of a definition as the reference does, because which names it takes for known depends on the way:
/// a join knows what all branches published that arrived before it was looked at, any other task what one branch did; a way
/// back to a task that was looked at is not followed.
struct Walk<'a> {
    spec: &'a Spec,
    scan: Scan,
    by_name: HashMap<&'a str, usize>,
    /// What arrived at joins so far.
    arrived: Vec<Numbers>,
    /// What the last visit of other tasks knew.
    last: Vec<Option<Numbers>>,
    seen: Vec<bool>,
    queue: VecDeque<(usize, Option<Numbers>)>,
    visits: usize,
    anywhere: Numbers,
}

impl<'a> Walk<'a> {
    fn new(spec: &'a Spec, scan: Scan, known: &Numbers) -> Walk<'a> {
        let count = spec.tasks.len() + RESERVED.len();
        let names = spec.tasks.iter().map(|task| &*task.name).chain(RESERVED);
        Walk {
            spec,
            scan,
            // A task of a reserved name is another finding; the command hides it here.
            by_name: names.enumerate().map(|(i, name)| (name, i)).collect(),
            arrived: vec![Numbers::default(); count],
            last: vec![None; count],
            seen: vec![false; count],
            queue: VecDeque::new(),
            visits: 0,
            anywhere: known.clone(),
        }
    }

    fn run(&mut self, starts: &[usize], known: &Numbers) {
        let starts = starts.iter().filter_map(|start| self.by_name.get(&*self.spec.tasks[*start].name));
        self.queue.extend(starts.map(|start| (*start, Some(known.clone()))));
        let limit = (self.seen.len() * VISITS_PER_TASK).max(1000);
        while let Some((place, known)) = self.queue.pop_front() {
            self.visits += 1;
            if self.visits > limit && self.seen[place] {
                continue;
            }
            self.seen[place] = true;
            let known = known.unwrap_or_else(|| self.arrived[place].clone());
            self.anywhere.join(&known);
            let Some(task) = self.spec.tasks.get(place) else { continue };
            let after = self.scan.task(task, &known);
            for (transition, branch) in task.next.iter().zip(after) {
                for name in &transition.targets {
                    self.follow(name, &branch);
                }
            }
        }
    }

    fn follow(&mut self, name: &str, branch: &Numbers) {
        let Some(place) = self.by_name.get(name).copied().filter(|place| !self.seen[*place]) else { return };
        if self.spec.tasks.get(place).is_some_and(|task| task.join.is_truthy()) {
            self.arrived[place].join(branch);
            self.queue.push_back((place, None));
        } else if self.last[place].as_ref() != Some(branch) {
            self.last[place] = Some(branch.clone());
            self.queue.push_back((place, Some(branch.clone())));
        }
    }
}

/// What is said about the variables of a definition; `given` are known from the start.
pub(super) fn unknown<'a>(spec: &Spec, graph: &Graph, given: impl IntoIterator<Item = &'a str>) -> Vec<Entry> {
    let mut scan = Scan::default();
    let mut known = Numbers::default();
    for name in given {
        known.insert(scan.number(name));
    }
    scan.section(spec, "input", &mut known);
    scan.section(spec, "vars", &mut known);
    let mut walk = Walk::new(spec, scan, &known);
    walk.run(&graph.starts, &known);
    let Walk { mut scan, mut anywhere, .. } = walk;
    scan.section(spec, "output", &mut anywhere);
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

/// A variable that a text names.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    name: String,
    language: &'static str,
    expression: String,
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
    if !text.contains("ctx(") {
        return;
    }
    for (language, open, close) in [("yaql", "<%", "%>"), ("jinja", "{{", "}}")] {
        for expression in expression::pieces(text, open, close) {
            for name in variables(expression) {
                found.push(Reference { language, expression: text.into(), name: name.into() });
            }
        }
    }
}

/// The names in `ctx().x`, `ctx(x)`, `ctx('x')` and `ctx("x")`; a method such as `ctx().get(…)` is none.
///
/// As the reference, it first takes whatever is written together (`ctx(a)[ctx(b)].c`), and of that the first name in
/// each of the four forms.
fn variables(expression: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(start) = find_call(expression, at) {
        let run = &expression[start..];
        let inner = &run["ctx(".len()..];
        let length = inner.find(|c| !is_together(c)).unwrap_or(inner.len());
        if !inner[..length].contains(')') {
            at = start + "ctx(".len();
            continue;
        }
        let run = &run[.."ctx(".len() + length];
        at = start + run.len();
        let forms: [fn(&str) -> Option<&str>; 4] = [dotted, bare, |text| quoted(text, '\''), |text| quoted(text, '"')];
        names.extend(forms.iter().filter_map(|form| first(run, *form)));
    }
    names
}

/// Where the next `ctx(` begins that is not the end of another word.
fn find_call(text: &str, from: usize) -> Option<usize> {
    text[from..].match_indices("ctx(").map(|(at, _)| from + at).find(|at| !text[..*at].ends_with(is_word))
}

/// What `form` finds after the first `ctx(` that it fits.
fn first<'t>(run: &'t str, form: fn(&'t str) -> Option<&'t str>) -> Option<&'t str> {
    let calls = run.match_indices("ctx(").filter(|(at, _)| !run[..*at].ends_with(is_word));
    calls.map(|(at, call)| &run[at + call.len()..]).find_map(form)
}

fn dotted(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix(").")?;
    let name = ascii_word(rest);
    (!name.is_empty() && !rest[name.len()..].starts_with('(')).then_some(name)
}

fn bare(rest: &str) -> Option<&str> {
    let name = ascii_word(rest);
    (!name.is_empty() && rest[name.len()..].starts_with(')')).then_some(name)
}

fn quoted(rest: &str, quote: char) -> Option<&str> {
    let rest = rest.strip_prefix(quote)?;
    let name = ascii_word(rest);
    let closed = rest[name.len()..].strip_prefix(quote)?.starts_with(')');
    (!name.is_empty() && closed).then_some(name)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Characters that hold a reference together.
fn is_together(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_[]'\".()".contains(c)
}

fn ascii_word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}
