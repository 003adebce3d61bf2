//! What inspection found, for people: each finding with its place in the file and the way out.
//!
//! [`super::inspect`] speaks the reference's sentences and paths, which tools compare; nothing here changes those.
//! A path leads to a node at best, so the name or expression at fault is looked for in the text below it.
//!
//! Start reading at [`read_sound`].

use super::graph::RESERVED;
use super::inspect::{Entry, Inspection, inspect};
use super::schema;
use super::spec::{Spec, Step};
use crate::inspection::Finding;
use squall_model::{Str, Value};
use squall_yaml::{Diagnostic, Node, Span, nearest};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

/// More names than these are not read by anybody.
const NAMES_SHOWN: usize = 10;

/// A category: how it is called among StackStorm's types, our code, and what is said below the place.
struct Category {
    kind: &'static str,
    code: &'static str,
    label: &'static str,
}

/// In the order of [`Inspection::categories`].
const CATEGORIES: [Category; 4] = [
    Category { kind: "context", code: "SQ2104", label: "nothing sets it on the way here" },
    Category { kind: "expression", code: "SQ2103", label: "in this expression" },
    Category { kind: "semantic", code: "SQ2102", label: "" },
    Category { kind: "syntax", code: "SQ2101", label: "" },
];

impl Inspection {
    /// Each finding once, by its place in the file. (The reference tells some as often as it passes there.)
    pub fn findings(&self, spec: &Spec, file: &str) -> Vec<Finding> {
        let mut told: Vec<(usize, Finding)> = Vec::new();
        let names = Names::of(spec);
        for ((_, entries), category) in self.categories().iter().zip(&CATEGORIES) {
            let mut seen = HashSet::new();
            for entry in entries.iter().filter(|entry| seen.insert(*entry)) {
                let span = place(spec, entry);
                let message = match &entry.expression {
                    Some((_, text)) => format!("`{text}`: {}", entry.message),
                    None => entry.message.clone(),
                };
                let mut diagnostic =
                    Diagnostic::error(category.code, message).in_file(file).at(&spec.text, span, category.label);
                diagnostic.help = way_out(entry, category.kind, spec, &names);
                told.push((span.start, Finding { kind: category.kind, entry: Some(entry.clone()), diagnostic }));
            }
        }
        told.sort_by_key(|(start, _)| *start);
        told.into_iter().map(|(_, finding)| finding).collect()
    }
}

/// The definition, or everything that is wrong with it, by its place; `given` are the variables that it has besides its inputs.
///
/// Where the reference's reading ends at a fault, this one goes on, and only leaves out what needs the whole: which
/// variables are known on which way.
pub fn read_sound<'a>(text: &str, file: &str, given: impl IntoIterator<Item = &'a str>) -> Result<Spec, Vec<Finding>> {
    let (spec, errors) = match Spec::read_on(text) {
        Ok(read) => read,
        Err(error) => return Err(vec![Finding::of(error.diagnostic(text, file))]),
    };
    let mut inspection = inspect(&spec, given);
    if errors.is_empty() && inspection.is_empty() {
        return Ok(spec);
    }
    if !errors.is_empty() {
        inspection.context.clear();
    }
    // What the schema says about the same place comes with a way out.
    let told: HashSet<&str> = inspection.syntax.iter().filter_map(|entry| entry.spec_path.as_deref()).collect();
    let untold = errors.iter().filter(|error| !told.contains(written(&error.path).as_str()));
    let mut findings = inspection.findings(&spec, file);
    findings.extend(untold.map(|error| Finding::of(error.diagnostic(text, file))));
    findings.sort_by_key(|finding| (finding.diagnostic.line(), finding.diagnostic.column()));
    Err(findings)
}

// ---- places ---------------------------------------------------------------------------------------------------------

/// A way as paths are written: `tasks.a.next[0]`.
fn written(path: &[Step]) -> String {
    let mut written = String::new();
    for step in path {
        let _ = match step {
            Step::Index(index) => write!(written, "[{index}]"),
            Step::Key(key) if written.is_empty() => write!(written, "{key}"),
            Step::Key(key) => write!(written, ".{key}"),
        };
    }
    written
}

/// The narrowest piece of the text that the finding is about.
fn place(spec: &Spec, entry: &Entry) -> Span {
    let path = entry.spec_path.as_deref().unwrap_or("");
    let node = written_at(spec, path);
    let wanted = match &entry.expression {
        Some((_, expression)) => Some(expression.clone()),
        None if path.ends_with(".do") => quoted(&entry.message, '"').map(str::to_string),
        None => None,
    };
    if let Some(unknown) = unknown_keys(entry).first().and_then(|key| node.entry(key)) {
        return unknown.0.span;
    }
    match wanted.and_then(|wanted| within(&spec.text, node.span, &wanted)) {
        Some(span) => span,
        None if node.as_map().is_some() => named_by(spec, path).unwrap_or(node.span),
        None => node.span,
    }
}

/// The node of a path; inline parameters stand in the text of the action.
fn written_at(spec: &Spec, path: &str) -> Node {
    match path.split_once(".input") {
        Some((task, _)) if spec.node_at(&format!("{task}.input")).span == spec.node_at(task).span => {
            spec.node_at(&format!("{task}.action"))
        }
        _ => spec.node_at(path),
    }
}

/// The key under which the last map of a path stands: `check:` says more than the first line of its body.
fn named_by(spec: &Spec, path: &str) -> Option<Span> {
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    let above = if above.is_empty() { spec.document.clone() } else { spec.node_at(above) };
    above.entry(name).map(|(key, _)| key.span)
}

/// Where `wanted` stands first in a piece of the text, as a whole word.
fn within(text: &str, span: Span, wanted: &str) -> Option<Span> {
    let piece = text.get(span.start..span.end)?;
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let whole = |at: usize| {
        let (before, after) = (&piece[..at], &piece[at + wanted.len()..]);
        let begins = !is_word(wanted.chars().next()) || !is_word(before.chars().next_back());
        begins && (!is_word(wanted.chars().next_back()) || !is_word(after.chars().next()))
    };
    let (at, _) = piece.match_indices(wanted).find(|(at, _)| whole(*at))?;
    let before = &piece[..at];
    let line = span.line + u32::try_from(before.matches('\n').count()).ok()?;
    let column = match before.rsplit_once('\n') {
        Some((_, indent)) => 1 + u32::try_from(indent.chars().count()).ok()?,
        None => span.column + u32::try_from(before.chars().count()).ok()?,
    };
    Some(Span { start: span.start + at, end: span.start + at + wanted.len(), line, column })
}

/// The first piece of a sentence between two `mark`s.
fn quoted(sentence: &str, mark: char) -> Option<&str> {
    sentence.split(mark).nth(1)
}

/// The keys that the schema does not know, as the sentence names them.
fn unknown_keys(entry: &Entry) -> Vec<&str> {
    if !entry.schema_path.ends_with("additionalProperties") {
        return Vec::new();
    }
    let names = entry.message.split_once('(').map_or("", |(_, names)| names);
    names.split('\'').skip(1).step_by(2).collect()
}

// ---- ways out -------------------------------------------------------------------------------------------------------

/// The names of a definition.
struct Names {
    /// Tasks, in the order of the file.
    tasks: Vec<Str>,
    /// Variables, with the tasks that publish them.
    variables: BTreeMap<Str, BTreeSet<Str>>,
}

impl Names {
    fn of(spec: &Spec) -> Names {
        let mut variables: BTreeMap<Str, BTreeSet<Str>> = BTreeMap::new();
        for section in ["input", "vars"] {
            let entries = spec.root.get(section).and_then(Value::as_list).unwrap_or_default();
            for name in entries.iter().filter_map(name_of) {
                variables.entry(name).or_default();
            }
        }
        for task in &spec.tasks {
            for (name, _) in task.next.iter().flat_map(|transition| &transition.publish) {
                variables.entry(name.clone()).or_default().insert(task.name.clone());
            }
        }
        Names { tasks: spec.tasks.iter().map(|task| task.name.clone()).collect(), variables }
    }
}

/// The name of an entry of `input` or `vars`: a text, or a map of one name.
fn name_of(entry: &Value) -> Option<Str> {
    match entry {
        Value::Str(name) => Some(name.clone()),
        Value::Map(map) => map.keys().next().cloned(),
        _ => None,
    }
}

fn way_out(entry: &Entry, kind: &str, spec: &Spec, names: &Names) -> Option<String> {
    match kind {
        "context" => set_it(quoted(&entry.message, '"')?, names),
        "semantic" if entry.schema_path.ends_with(".do") => {
            let name = quoted(&entry.message, '"')?;
            let known = names.tasks.iter().map(|name| &**name).chain(RESERVED);
            Some(match nearest(name, known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("the tasks are {}", listed(names.tasks.iter().map(|name| &**name))),
            })
        }
        "syntax" => fit_in(entry, spec),
        _ => None,
    }
}

/// How a variable comes to be known.
fn set_it(name: &str, names: &Names) -> Option<String> {
    if name.starts_with("__") {
        return None;
    }
    Some(match names.variables.get(name) {
        Some(by) if !by.is_empty() => {
            let by = listed(by.iter().map(|task| &**task));
            format!("{by} publishes it, but not on every way here; give it a first value in `vars`")
        }
        Some(_) => "it is set further below; a value sees only what stands above it".into(),
        None => match nearest(name, names.variables.keys().map(|known| &**known)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "declare it in `input` or `vars`, or `publish` it on every way here".into(),
        },
    })
}

/// What the schema wants at the place.
fn fit_in(entry: &Entry, spec: &Spec) -> Option<String> {
    let path = entry.spec_path.as_deref().unwrap_or("");
    let known = schema::keys_at(path);
    let slips: Vec<String> = unknown_keys(entry)
        .into_iter()
        .filter_map(|key| nearest(key, known.iter().copied()).map(|close| (key, close)))
        .map(|(key, close)| format!("did you mean `{close}` instead of `{key}`?"))
        .collect();
    if !slips.is_empty() {
        return Some(slips.join(" "));
    }
    if unknown_keys(entry).is_empty() && spec.node_at(path).is_null() && !path.is_empty() {
        return schema::expected(path).map(|wanted| format!("nothing stands here; expected is {wanted}"));
    }
    schema::expected(path).map(|wanted| format!("expected is {wanted}"))
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN);
    let shown: Vec<String> = names.take(NAMES_SHOWN).map(|name| format!("`{name}`")).collect();
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
