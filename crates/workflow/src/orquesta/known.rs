//! Inspection, category `context`: variables that are used before anything sets them.
//!
//! Numbers are found by pattern only, and followed along the branches as the reference follows them, so that what it lets
//! pass passes and what it refuses is refused, entry by entry.
//!
//! Start reading at [`unknown`].

use super::expression;
use super::graph::{Graph, Numbers, RESERVED};
use super::inline;
use super::inspect::{Entry, task_values, transition_schema, value_place};
use super::spec::{Spec, Task};
use squall_model::{Str, Value};
use std::collections::{HashMap, VecDeque};

/// Path in the definition, and in the schema.
type Place<'a> = &'a dyn Fn() -> (String, String);

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

    /// Paths are only written where something is found.
    fn check(&mut self, value: &Value, known: &Numbers, place: Place<'_>) {
        for Reference { name, language, expression } in references(value) {
            let mut say = |message: String| {
                let (spec_path, schema_path) = place();
                self.found.push(Entry {
                    message,
                    spec_path: Some(spec_path),
                    schema_path,
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
    fn check_written(&mut self, value: &Value, known: &Numbers, place: Place<'_>) {
        let part_of = |i: usize| {
            let (spec_path, schema_path) = place();
            (format!("{spec_path}[{i}]"), schema_path)
        };
        match value {
            Value::Str(text) if text.contains('=') => match inline::pairs(text).as_slice() {
                [] => self.check(value, known, place),
                pairs => (0..).zip(pairs).for_each(|(i, (_, part))| self.check(part, known, &|| part_of(i))),
            },
            Value::List(parts) => {
                (0..).zip(parts.iter()).for_each(|(i, part)| self.check(part, known, &|| part_of(i)));
            }
            _ => self.check(value, known, place),
        }
    }

    /// A list of `name: value`, each seeing the names before it.
    fn rolling<'a>(
        &mut self,
        entries: impl Iterator<Item = (usize, &'a Str, &'a Value)>,
        known: &mut Numbers,
        place: &dyn Fn(usize) -> (String, String),
    ) {
        for (i, name, value) in entries {
            self.check(value, known, &|| place(i));
            known.insert(self.number(name));
        }
    }

    fn section(&mut self, spec: &Spec, section: &str, known: &mut Numbers) {
        let entries = section_entries(spec, section);
        let entries = entries.iter().map(|(i, name, value)| (*i, name, value));
        self.rolling(entries, known, &|i| (format!("{section}[{i}]"), format!("properties.{section}")));
    }

    /// A task under the names that it knows, then each of its ways to a target, once for each target; answers what
    /// is known on each way.
    fn task(&mut self, task: &Task, known: &Numbers) -> Vec<Numbers> {
        for (value, property) in task_values(task) {
            self.check_written(value, known, &|| value_place(task, property));
        }
        let mut after = Vec::with_capacity(task.next.len());
        for (i, transition) in task.next.iter().enumerate() {
            let path = |property: &str| format!("tasks.{}.next[{i}].{property}", task.name);
            let place = |property: &str| (path(property), transition_schema(property));
            let mut branch = known.clone();
            for _ in 0..transition.targets.len().max(1) {
                branch = known.clone();
                self.check_written(&transition.when, &branch, &|| place("when"));
                let entries = transition.publish.iter().enumerate().map(|(i, (name, value))| (i, name, value));
                let published = |i: usize| (path(&format!("publish[{i}]")), transition_schema("publish"));
                self.rolling(entries, &mut branch, &published);
                self.check_written(&transition.targets_written, &branch, &|| place("do"));
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

/// The entries of `input`, `vars` or `output` with their indexes; an input without default has the value null.
fn section_entries(spec: &Spec, section: &str) -> Vec<(usize, Str, Value)> {
    let mut entries = Vec::new();
    for (i, entry) in spec.root.get(section).and_then(Value::as_list).unwrap_or_default().iter().enumerate() {
        match entry {
            Value::Str(name) => entries.push((i, name.clone(), Value::Null)),
            Value::Map(map) => entries.extend(map.iter().map(|(k, v)| (i, k.clone(), v.clone()))),
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
