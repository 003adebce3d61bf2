//! Files of `confirm.d`: read whole, with every problem at its place.
//!
//! Start reading at [`reload`].

use super::when::*;
use super::*;
use crate::confirmation::looks::{Objection, TAG_IT, usable};
use squall_content::Registry;

/// Reads a new set. `Ok` with errors among the diagnostics means that the old set stays and somebody must be alarmed;
/// `Err` means that there is none and the server must not start.
///
/// `registry` are the packs whose actions rules may name.
pub fn reload(
    old: Option<Arc<Policy>>,
    files: &[(String, String)],
    registry: &Registry,
) -> Result<(Arc<Policy>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (policy, diagnostics) = read_for(files, Some(registry));
    match (policy, old) {
        (Some(policy), _) => Ok((Arc::new(policy), diagnostics)),
        (None, Some(old)) => Ok((old, diagnostics)),
        (None, None) => Err(diagnostics),
    }
}

/// Reads files, given as names and texts; `None` when one of them has an error.
pub fn read(files: &[(String, String)]) -> (Option<Policy>, Vec<Diagnostic>) {
    read_for(files, None)
}

/// The same, where the packs are known: an action that a rule has run to find something out must say that it changes nothing.
pub fn read_for(files: &[(String, String)], registry: Option<&Registry>) -> (Option<Policy>, Vec<Diagnostic>) {
    let mut policy = Policy::default();
    let mut diagnostics = Vec::new();
    for (name, text) in files {
        read_file(name, text, registry, &mut policy, &mut diagnostics);
    }
    if policy.rules.len() > MAX_RULES {
        let message = format!("{} rules are more than the {MAX_RULES} that are possible", policy.rules.len());
        diagnostics.push(Diagnostic::error(RULE_WRONG, message));
    }
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    ((!failed).then_some(policy), diagnostics)
}

fn read_file(
    name: &str,
    text: &str,
    registry: Option<&Registry>,
    policy: &mut Policy,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let document = match squall_yaml::parse(text, &Options::default()) {
        Ok(document) => document,
        Err(error) => return diagnostics.push(Diagnostic::from_yaml_error(YAML, text, &error).in_file(name)),
    };
    let twice = |w| Diagnostic::from_yaml_warning(DUPLICATE_KEY, text, w).in_file(name);
    diagnostics.extend(document.warnings.iter().map(twice));
    let value = document.root.to_value();
    let notes = Notes::default();
    let at = At { value: &value, path: Vec::new(), notes: &notes };
    if !value.is_null() {
        file(&at, policy);
    }
    let editors = notes.unknown_editors();
    let mut found: Vec<Diagnostic> = notes
        .problems
        .into_inner()
        .iter()
        .chain(&editors)
        .map(|p| diagnostic(p, &document.root, text).in_file(name))
        .collect();
    if let Some(registry) = registry {
        let looks = notes.looks.into_inner();
        found.extend(
            looks.iter().filter_map(|look| objection(look, registry, &document.root, text)).map(|d| d.in_file(name)),
        );
    }
    found.sort_by_key(|d| (d.line(), d.column()));
    diagnostics.append(&mut found);
}

/// What is wrong with an action that is to be run to find something out. One that is not there yet may come with its pack.
pub(in crate::confirmation) fn objection(
    (path, action): &(Vec<Step>, ActionRef),
    registry: &Registry,
    root: &Node,
    text: &str,
) -> Option<Diagnostic> {
    let problem = Problem { path: path.clone(), at_key: false, message: String::new(), help: None };
    Some(
        match usable(registry, action).err()? {
            Objection::Missing(why) => Diagnostic::warning(NOT_READ_ONLY, format!("{why}, so nothing is found out")),
            Objection::Dangerous(why) => Diagnostic::error(NOT_READ_ONLY, why).help(TAG_IT),
        }
        .at(text, place(&problem, root), "names it"),
    )
}

fn diagnostic(problem: &Problem, root: &Node, text: &str) -> Diagnostic {
    let diagnostic =
        Diagnostic::error(RULE_WRONG, problem.to_string_without_help()).at(text, place(problem, root), "here");
    match &problem.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

impl Problem {
    fn to_string_without_help(&self) -> String {
        Problem { help: None, ..self.clone() }.to_string()
    }
}

/// The place of a problem, or of the closest thing around it.
pub(in crate::confirmation) fn place(problem: &Problem, root: &Node) -> Span {
    let mut node = root.clone();
    for (n, step) in problem.path.iter().enumerate() {
        let next = match (step, &node.kind) {
            (Step::Key(key), _) => match node.entry(key) {
                Some((key, _)) if problem.at_key && n + 1 == problem.path.len() => return key.span,
                Some((_, value)) => Some(value.clone()),
                None => None,
            },
            (Step::Item(at), Kind::Seq(items)) => items.get(*at).cloned(),
            (Step::Item(_), _) => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node.span
}

fn file(at: &At<'_>, policy: &mut Policy) {
    at.known(&["version", "rules", "exempt"]);
    if at.value.as_map().is_none() {
        return;
    }
    match at.key("version") {
        Some(version) if version.value.as_int() == Some(1) => {}
        Some(version) => version.problem("only version 1 is known".into()),
        None => at.problem("needs `version: 1`".into()),
    }
    for item in at.items("rules") {
        let Some(id) = identity(&item) else { continue };
        if policy.rules.iter().any(|other| other.rule.id == id) {
            item.problem(format!("another rule has the id `{id}` already"));
        }
        let rule = Arc::new(body(&item, id, None, &["id", "when"]));
        let when = item.key("when").map(|w| when(&w)).unwrap_or_default();
        policy.rules.push(ServerRule { rule, when });
    }
    for item in at.items("exempt") {
        policy.exempt.extend(exemption(&item));
    }
}

/// The id of a rule or exemption: a word, so that it cannot be taken for a declaration (`alias ops.x`).
fn identity(item: &At<'_>) -> Option<String> {
    let id = item.key("id");
    let Some(id) = id else {
        item.problem("needs the key `id`".into());
        return None;
    };
    let text = id.text()?;
    let is_word = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !is_word || text == "call" || text == "true" || text == "false" {
        id.problem(format!("`{text}` cannot be an id: use letters, digits, `-`, `_` and `.`"));
    }
    Some(text)
}

fn exemption(item: &At<'_>) -> Option<Exemption> {
    item.known(&["id", "when", "reason", "expires"]);
    let id = identity(item)?;
    let reason = item.key("reason").and_then(|r| r.text()).filter(|r| !r.trim().is_empty());
    if reason.is_none() {
        item.problem("an exemption needs a `reason`".into());
    }
    let expires = item.key("expires");
    let moment = expires.as_ref().and_then(|e| moment(e.value));
    match &expires {
        None => item.problem("an exemption needs a date in `expires`".into()),
        Some(written) if moment.is_none() => {
            written.problem("must be a date (`2027-01-31`) or a time with its zone (`2027-01-31T18:00:00Z`)".into());
        }
        Some(_) => {}
    }
    let when = item.key("when").map(|w| when(&w));
    if when.is_none() {
        item.problem("an exemption needs `when`: nobody is exempt from everything".into());
    }
    Some(Exemption { id, reason: reason?, expires: moment?, when: when? })
}

/// A date is over at its first moment (UTC): between two readings of "expires", the earlier one.
fn moment(value: &Value) -> Option<Timestamp> {
    if let Value::Special(special) = value
        && let squall_model::Special::DateTime { micros, .. } = &**special
    {
        return Some(Timestamp::from_micros(*micros));
    }
    let text = value.as_str()?;
    Timestamp::parse_iso(text).or_else(|| Timestamp::parse_iso(&format!("{text}T00:00:00Z")))
}

fn when(at: &At<'_>) -> When {
    at.known(&["action", "tag", "alias", "source", "requester", "channel", "params", "expr"]);
    let globs =
        |key: &str| -> Vec<Glob> { at.key(key).map(|k| k.texts()).unwrap_or_default().into_iter().map(Glob).collect() };
    let requester = at.key("requester");
    if let Some(requester) = &requester {
        requester.known(&["role", "not_role", "user"]);
    }
    let people = |key: &str| requester.as_ref().and_then(|r| r.key(key)).map(|k| k.texts()).unwrap_or_default();
    When {
        action: globs("action"),
        tag: globs("tag"),
        alias: globs("alias"),
        source: at.items("source").iter().filter_map(|s| s.one_of(&Source::ALL)).collect(),
        role: people("role"),
        not_role: people("not_role"),
        user: people("user"),
        channel: globs("channel"),
        params: at.items("params").iter().filter_map(param_test).collect(),
        expr: at.key("expr").and_then(|e| condition(&e)),
    }
}

fn param_test(at: &At<'_>) -> Option<ParamTest> {
    at.known(&["path", "op", "value"]);
    let (Some(path), Some(operator)) = (at.key("path"), at.key("op")) else {
        at.problem("needs `path` and `op`".into());
        return None;
    };
    let operator = operator.one_of(&OPERATORS)?;
    let value = at.key("value").map(|v| v.value.clone()).unwrap_or_default();
    let wrong = match (operator, &value) {
        (Operator::In | Operator::NotIn, Value::List(_)) => None,
        (Operator::In | Operator::NotIn, _) => Some("needs a list in `value`"),
        (Operator::Matches, Value::Str(_)) => None,
        (Operator::Matches, _) => Some("needs a regular expression in `value`"),
        (Operator::Gt | Operator::Lt | Operator::Ge | Operator::Le, Value::Int(_) | Value::Float(_)) => None,
        (Operator::Gt | Operator::Lt | Operator::Ge | Operator::Le, _) => Some("needs a number in `value`"),
        (Operator::CountGt, Value::Int(_)) => None,
        (Operator::CountGt, _) => Some("needs a whole number in `value`"),
        (Operator::Exists | Operator::Absent | Operator::IsTrue, Value::Null) => None,
        (Operator::Exists | Operator::Absent | Operator::IsTrue, _) => Some("has no `value`"),
        (Operator::Eq | Operator::Ne | Operator::Contains, _) => None,
    };
    if let Some(wrong) = wrong {
        at.problem(format!("this operator {wrong}"));
    }
    let pattern = match (operator, value.as_str()) {
        (Operator::Matches, Some(source)) => match squall_expr::pattern::compile_source(source) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                at.problem(format!("`{source}` is no regular expression: {error}"));
                None
            }
        },
        _ => None,
    };
    Some(ParamTest { path: steps(&path.text()?), operator, value, pattern })
}

/// `disks[].size` as keys, with `None` for any element.
fn steps(path: &str) -> Vec<Option<String>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let name = part.trim_end_matches("[]");
        if !name.is_empty() {
            steps.push(Some(name.to_owned()));
        }
        steps.extend(std::iter::repeat_n(None, (part.len() - name.len()) / 2));
    }
    steps
}

fn condition(at: &At<'_>) -> Option<Condition> {
    let text = at.text()?;
    let trimmed = text.trim();
    if let Some(inside) = trimmed.strip_prefix("<%").and_then(|t| t.strip_suffix("%>")) {
        return match yaql::parse(inside.trim()) {
            Ok(expression) => Some(Condition::Yaql(expression)),
            Err(error) => {
                at.problem(format!("this YAQL cannot be read: {error}"));
                None
            }
        };
    }
    if let Some(inside) = trimmed.strip_prefix("{{").and_then(|t| t.strip_suffix("}}")) {
        return match jinja::Template::expression(inside.trim(), Engine::Stack) {
            Ok(template) => Some(Condition::Jinja(template)),
            Err(error) => {
                at.problem(format!("this Jinja cannot be read: {error}"));
                None
            }
        };
    }
    at.problem_with_help("must be one expression".into(), "write `\"<% ctx().env = 'prod' %>\"`");
    None
}
