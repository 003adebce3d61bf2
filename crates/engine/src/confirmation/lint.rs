//! What is wrong with confirmations as packs and rules declare them, found before anybody runs anything.
//!
//! Five kinds: a declaration that cannot be meant, a rule that is named and does not exist, a requirement that nobody can meet,
//! a confirmation that a pack builds itself out of the datastore, and a dry run or look-up by an action that may change something. Each is a diagnostic with its place.
//!
//! Start reading at [`check`].

use super::declare::{Declared, Origin, Problem, Rule, declared};
use super::looks::{DRY_RUN, Objection, TAG_IT, usable};
use super::people::{Directory, Question, Requester, Requirement, Who, candidates};
use super::policy::{NOT_READ_ONLY, Policy, objection, place};
use squall_content::{Action, Alias, Registry};
use squall_model::{ActionRef, Value};
use squall_yaml::{Diagnostic, Kind, Node, Options, Span};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// A declaration of confirmation that cannot be meant.
pub const DECLARATION: &str = "SQ1702";
/// A confirmation names a rule that does not exist.
pub const NO_SUCH_RULE: &str = "SQ1703";
/// A requirement that nobody can meet.
pub const NOBODY: &str = "SQ1704";
/// A confirmation that a pack builds itself.
pub const HOME_MADE: &str = "SQ1705";

/// A declaration in a file of a pack.
struct Written<'a> {
    origin: Origin<'a>,
    value: Value,
    file: PathBuf,
    /// The keys that lead to it, each way that it may be written.
    paths: &'static [&'static [&'static str]],
}

/// Looks at everything. `rules` are the server's, when they are known; `people` as well.
pub fn check(registry: &Registry, rules: Option<&Policy>, people: Option<&dyn Directory>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for written in all_written(registry) {
        found.extend(check_written(&written, registry, rules, people));
    }
    found.extend(dangerous_dry_runs(registry));
    found.extend(home_made(registry));
    found
}

fn all_written(registry: &Registry) -> Vec<Written<'_>> {
    const TOP: &[&[&str]] = &[&["confirm"]];
    const ALIAS: &[&[&str]] = &[&["extra", "squall", "confirm"], &["confirm"]];
    const PARAMETERS: &[&[&str]] = &[&["parameters"]];
    let file = |reference: &ActionRef, relative: &str| file(registry, reference, relative);
    let mut all = Vec::new();
    for action in registry.actions.values().filter(|a| !a.is_builtin) {
        let file = file(&action.reference, &action.metadata_file);
        let origin = Origin::Action(&action.reference);
        if let Some(value) = &action.confirm {
            all.push(Written { origin, value: value.clone(), file: file.clone(), paths: TOP });
        }
        if let Some(text) = action.tag("squall.confirm") {
            all.push(Written { origin, value: Value::from(text.clone()), file, paths: &[&["tags"]] });
        }
    }
    for alias in registry.aliases.values().filter(|a| !a.is_builtin) {
        if let Some(value) = &alias.confirm {
            let file = file(&alias.reference, &alias.metadata_file);
            all.push(Written { origin: Origin::Alias(&alias.reference), value: value.clone(), file, paths: ALIAS });
        }
    }
    for policy in registry.policies.values().filter(|p| &*p.policy_type == "squall.confirm") {
        let file = file(&policy.reference, &policy.metadata_file);
        let (origin, value) = (Origin::Policy(&policy.reference), policy.parameters.clone());
        all.push(Written { origin, value, file, paths: PARAMETERS });
    }
    all
}

/// A file of a pack.
fn file(registry: &Registry, reference: &ActionRef, relative: &str) -> PathBuf {
    let dir = registry.packs.iter().find(|(name, _)| ***name == *reference.pack).map(|(_, pack)| pack.path.clone());
    dir.unwrap_or_default().join(relative)
}

/// The text of a file and the node of the declaration in it.
struct Source {
    name: String,
    text: String,
    node: Option<Node>,
    root: Option<Node>,
}

fn source(written: &Written<'_>) -> Source {
    let name = written.file.display().to_string();
    let text = std::fs::read_to_string(&written.file).unwrap_or_default();
    let root = squall_yaml::parse(&text, &Options::default()).ok().map(|document| document.root);
    let node = root.as_ref().and_then(|root| written.paths.iter().find_map(|path| root.at(path).cloned()));
    Source { name, text, node, root }
}

impl Source {
    fn at(&self, span: Option<Span>, mut diagnostic: Diagnostic, label: &str) -> Diagnostic {
        if let Some(span) = span.or(self.node.as_ref().map(|n| n.span)).or(self.root.as_ref().map(|r| r.span)) {
            diagnostic = diagnostic.at(&self.text, span, label);
        }
        diagnostic.in_file(&self.name)
    }
}

fn check_written(
    written: &Written<'_>,
    registry: &Registry,
    rules: Option<&Policy>,
    people: Option<&dyn Directory>,
) -> Vec<Diagnostic> {
    let mut found = dangerous_looks(written, registry);
    found.extend(match declared(written.origin, &written.value) {
        Err(problems) => {
            let source = source(written);
            problems.iter().map(|p| problem(&source, p)).collect()
        }
        Ok(Declared::Nothing) => Vec::new(),
        Ok(Declared::Named(name)) => match rules {
            Some(rules) if rules.rule(&name).is_none() => {
                let message =
                    format!("the confirmation rule `{name}` does not exist in `confirm.d`, so the run is refused");
                vec![source(written).at(None, Diagnostic::error(NO_SUCH_RULE, message), "names it")]
            }
            _ => Vec::new(),
        },
        Ok(Declared::Rule(rule)) => {
            let lonely = unmet(&rule, people);
            if lonely.is_empty() { Vec::new() } else { told(&lonely, &source(written)) }
        }
    });
    found
}

fn problem(source: &Source, problem: &Problem) -> Diagnostic {
    let span = source.node.as_ref().map(|node| place(problem, node));
    let plain = Problem { help: None, ..problem.clone() };
    let diagnostic = source.at(span, Diagnostic::error(DECLARATION, plain.to_string()), "here");
    match &problem.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

/// Actions that a declaration has run to find something out and that may change something; editors that nobody knows.
fn dangerous_looks(written: &Written<'_>, registry: &Registry) -> Vec<Diagnostic> {
    let notes = super::declare::noted(written.origin, &written.value);
    let editors = notes.unknown_editors();
    let looks = notes.looks.into_inner();
    if looks.is_empty() && editors.is_empty() {
        return Vec::new();
    }
    let source = source(written);
    let Some(node) = &source.node else { return Vec::new() };
    let looks = looks.iter().filter_map(|look| objection(look, registry, node, &source.text));
    let mut found: Vec<Diagnostic> = looks.map(|diagnostic| diagnostic.in_file(&source.name)).collect();
    found.extend(editors.iter().map(|editor| problem(&source, editor)));
    found
}

/// Dry runs that actions name for themselves.
fn dangerous_dry_runs(registry: &Registry) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for action in registry.actions.values().filter(|a| !a.is_builtin) {
        let Some(name) = action.tag(DRY_RUN) else { continue };
        let value = Value::from(name.clone());
        let file = file(registry, &action.reference, &action.metadata_file);
        let written = Written { origin: Origin::Action(&action.reference), value, file, paths: &[&["tags"]] };
        let why = match name.parse().map(|reference| usable(registry, &reference).err()) {
            Ok(None) => continue,
            Ok(Some(Objection::Missing(why))) => {
                Diagnostic::warning(NOT_READ_ONLY, format!("{why}, so there is no dry run"))
            }
            Ok(Some(Objection::Dangerous(why))) => Diagnostic::error(NOT_READ_ONLY, why).help(TAG_IT),
            Err(_) => Diagnostic::error(NOT_READ_ONLY, format!("`{name}` is no action: expected `pack.name`")),
        };
        let source = source(&written);
        let tag = source.node.as_ref().and_then(|tags| tag_value(tags, DRY_RUN));
        found.push(source.at(tag, why, "names it"));
    }
    found
}

/// Where the value of a tag stands.
fn tag_value(tags: &Node, name: &str) -> Option<Span> {
    let Kind::Seq(items) = &tags.kind else { return None };
    let tag = items.iter().find(|item| item.get("name").and_then(Node::as_str) == Some(name))?;
    tag.get("value").map(|value| value.span)
}

fn told(lonely: &[(String, String)], source: &Source) -> Vec<Diagnostic> {
    let one = |(message, help): &(String, String)| {
        source.at(None, Diagnostic::warning(NOBODY, message.clone()), "asks for them").help(help.clone())
    };
    lonely.iter().map(one).collect()
}

/// Requirements of the server's rules that nobody can meet.
pub fn check_rules(policy: &Policy, people: Option<&dyn Directory>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for rule in policy.rules() {
        for (message, help) in unmet(rule, people) {
            found.push(Diagnostic::warning(NOBODY, format!("rule `{}`: {message}", rule.id)).help(help));
        }
    }
    found
}

/// Requirements of a rule that too few people could meet, each with its way out.
fn unmet(rule: &Arc<Rule>, people: Option<&dyn Directory>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for requirement in rule.require.iter().filter(|r| !r.is_self()) {
        if let Some(most) = at_most(requirement)
            && most < requirement.count as usize
        {
            let message = format!("{} people are needed of {most} that are named", requirement.count);
            found.push((message, "name more people, or lower `count`".into()));
        } else if let Some(people) = people.filter(|people| requirement.who.iter().all(|who| people.knows(who))) {
            let n = candidates(requirement, &for_anybody(people)).len();
            if n < requirement.count as usize {
                let message =
                    format!("{} people are needed ({}), and there are {n}", requirement.count, requirement.shown());
                found.push((message, way_out(requirement)));
            }
        }
    }
    found
}

/// How many people a set can have whoever exists: only sets of named users are bounded.
fn at_most(requirement: &Requirement) -> Option<usize> {
    let names: Option<BTreeSet<&str>> = requirement
        .who
        .iter()
        .map(|who| match who {
            Who::User(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    names.map(|names| names.len())
}

fn way_out(requirement: &Requirement) -> String {
    let of = |who: &Who| match who {
        Who::Role(role) => Some(format!("`squall role grant {role} USER`")),
        Who::User(name) => Some(format!("`squall user create {name}`")),
        Who::Group(group) => Some(format!("`squall user set NAME --groups {group}`")),
        Who::Requester | Who::Anyone | Who::OnCall(_) => None,
    };
    let all: Vec<String> = requirement.who.iter().filter_map(of).collect();
    if all.is_empty() { "make more users".into() } else { all.join(" or ") }
}

/// A requester who is none of the people: whoever asks, one of the set may be missing.
fn for_anybody(people: &dyn Directory) -> Question<'_> {
    use std::sync::OnceLock;
    static NOBODY: OnceLock<Requester> = OnceLock::new();
    let requester = NOBODY.get_or_init(|| Requester {
        person: super::people::PersonId::label("nobody"),
        shown: String::new(),
        identities: Vec::new(),
        assurance: super::people::Assurance::A2,
        agent: None,
        label: None,
        through: None,
    });
    Question { requester, editors: &[], trust_legacy_bots: false, directory: people }
}

// ---- confirmations that packs build themselves ---------------------------------------------------------------------

/// A pair of commands of a pack: one waits for an item of the datastore under a name made of a person and a run, the other
/// writes it.
fn home_made(registry: &Registry) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for alias in registry.aliases.values().filter(|a| !a.is_builtin && a.confirm.is_none()) {
        let Some(action) = target(registry, alias).filter(|action| waits_for_an_item(action)) else { continue };
        let writes = |other: &&Arc<Alias>| {
            other.reference.pack == alias.reference.pack
                && other.reference != alias.reference
                && target(registry, other).is_some_and(writes_an_item)
        };
        if let Some(other) = registry.aliases.values().find(writes) {
            found.push(suggestion(registry, alias, action, other));
        }
    }
    found
}

fn target<'r>(registry: &'r Registry, alias: &Alias) -> Option<&'r Arc<Action>> {
    registry.action(&alias.action()?)
}

fn suggestion(registry: &Registry, alias: &Alias, action: &Action, other: &Alias) -> Diagnostic {
    let dir =
        registry.packs.iter().find(|(name, _)| ***name == *alias.reference.pack).map(|(_, pack)| pack.path.clone());
    let file = dir.unwrap_or_default().join(&*alias.metadata_file);
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let message = format!(
        "`{}` asks for its own confirmation: `{}` waits for an item of the datastore that `{}` writes",
        alias.reference, action.reference, other.reference
    );
    let help = "one line in this file asks natively, shows what will run and lets nobody else answer: \
                `extra: {squall: {confirm: true}}`; let the command run the dangerous action itself then";
    let mut diagnostic = Diagnostic::warning(HOME_MADE, message);
    let root = squall_yaml::parse(&text, &Options::default()).ok().map(|d| d.root);
    if let Some(node) = root.as_ref().and_then(|root| root.get("action_ref")) {
        diagnostic = diagnostic.at(&text, node.span, "this workflow");
    }
    diagnostic.in_file(file.display().to_string()).help(help)
}

fn waits_for_an_item(action: &Arc<Action>) -> bool {
    let Some(definition) = &action.definition else { return false };
    let speaks_of_a_run =
        ["execution_id", "exec_id", "st2().action_execution_id"].iter().any(|w| definition.text.contains(w));
    let is_tried_again = definition.text.contains("retry") || definition.text.contains("delay");
    speaks_of_a_run && is_tried_again && has_task(&definition.text, &["st2.kv.get", "st2.kv.get_object"])
}

fn writes_an_item(action: &Arc<Action>) -> bool {
    action
        .definition
        .as_ref()
        .is_some_and(|definition| has_task(&definition.text, &["st2.kv.set", "st2.kv.set_object"]))
}

/// Whether a definition has a task of one of these actions with a key that is put together from two values or more.
fn has_task(text: &str, actions: &[&str]) -> bool {
    squall_yaml::parse(text, &Options::default()).is_ok_and(|document| is_in(&document.root, actions))
}

fn is_in(node: &Node, actions: &[&str]) -> bool {
    match &node.kind {
        Kind::Map(entries) => is_task(node, actions) || entries.iter().any(|(_, value)| is_in(value, actions)),
        Kind::Seq(items) => items.iter().any(|item| is_in(item, actions)),
        _ => false,
    }
}

fn is_task(node: &Node, actions: &[&str]) -> bool {
    let Some(called) = node.get("action").or_else(|| node.get("ref")).and_then(Node::as_str) else { return false };
    let (name, inline) = called.trim().split_once(char::is_whitespace).unwrap_or((called.trim(), ""));
    if !actions.contains(&name) {
        return false;
    }
    let given = ["input", "parameters", "params"].iter().find_map(|key| node.get(key)?.get("key")?.as_str());
    let key = given.or_else(|| inline.split_once("key=").map(|(_, rest)| rest)).unwrap_or_default();
    key.matches("{{").count() + key.matches("<%").count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confirmation::testing::People;

    #[track_caller]
    fn task(text: &str, expected: bool) {
        assert_eq!(has_task(text, &["st2.kv.get"]), expected, "{text}");
    }

    #[test]
    fn a_key_of_two_values_is_the_sign() {
        task("tasks: {w: {action: st2.kv.get, input: {key: '<% $.user %>_<% $.id %>'}}}", true);
        task("tasks: {w: {action: 'st2.kv.get key={{ user }}_{{ id }}'}}", true);
        task("chain: [{name: w, ref: st2.kv.get, params: {key: '{{ user }}_{{ id }}'}}]", true);
        task("tasks: {w: {action: st2.kv.get, input: {key: 'version_<% $.app %>'}}}", false);
        task("tasks: {w: {action: st2.kv.set, input: {key: '<% $.user %>_<% $.id %>'}}}", false);
        task("tasks: [", false);
    }

    #[track_caller]
    fn lonely(confirm: &str, expected: &[&str]) {
        let action = "ops.x".parse().unwrap();
        let value = squall_model::from_json(confirm, false).unwrap();
        let Ok(Declared::Rule(rule)) = declared(Origin::Alias(&action), &value) else { panic!("{confirm}") };
        let people = People::usual();
        let found: Vec<String> = unmet(&rule, Some(&people)).into_iter().map(|(message, _)| message).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn who_cannot_be_found_is_told() {
        lonely("true", &[]);
        lonely(r#"{"by": "role:sre", "count": 3}"#, &[]);
        lonely(r#"{"by": "role:sre", "count": 4}"#, &["4 people are needed (4 of role sre), and there are 3"]);
        lonely(r#"{"by": "role:ghost"}"#, &["1 people are needed (1 of role ghost), and there are 0"]);
        lonely(
            r#"{"require": [{"who": {"user": ["bob"]}, "count": 2}]}"#,
            &["2 people are needed of 1 that are named"],
        );
    }
}
