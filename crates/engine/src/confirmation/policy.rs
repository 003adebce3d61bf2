//! The server's rules in `confirm.d`, and which of all rules ask about a request.
//!
//! Rules are read whole, with every problem at its place; a set with an error never replaces one without. Matching is a
//! plain scan: 200 rules are the bound. Doubt asks: a condition that cannot be evaluated counts as met in a rule, and
//! as not met in an exemption.
//!
//! Start reading at [`Policy::demand`], then [`join`].

use super::declare::{At, Declared, DryRun, Escalation, Problem, Reason, Remind, Rule, Show, Step, Way, body};
use super::people::{Person, Requirement, Who};
use serde::{Deserialize, Serialize};
use squall_expr::pattern::{Anchor, Pattern};
use squall_expr::{Engine, Error, Host, Limits, Scope, jinja, yaql};
use squall_model::{ActionRef, Map, Str, Timestamp, Value};
use squall_yaml::{Diagnostic, Kind, Node, Options, Span};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A rule or exemption that cannot be used.
pub const RULE_WRONG: &str = "SQ1701";
/// Not YAML that can be loaded.
const YAML: &str = "SQ1001";
/// A key written twice.
const DUPLICATE_KEY: &str = "SQ1002";

/// The most rules of all files together; a scan of so many costs less than 100 µs.
pub const MAX_RULES: usize = 200;

/// What one condition may cost: far more than any needs, far less than anybody notices.
const EXPRESSION_STEPS: u64 = 100_000;

/// Where a request comes from. A task has the source of its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Source {
    Chat,
    Api,
    Cli,
    Mcp,
    Web,
    Rule,
    Timer,
    Internal,
}

impl Source {
    /// Every source with its name in files.
    pub const ALL: [(&'static str, Source); 8] = [
        ("chat", Source::Chat),
        ("api", Source::Api),
        ("cli", Source::Cli),
        ("mcp", Source::Mcp),
        ("web", Source::Web),
        ("rule", Source::Rule),
        ("timer", Source::Timer),
        ("internal", Source::Internal),
    ];

    /// Its name in files.
    pub fn as_str(self) -> &'static str {
        Source::ALL.iter().find(|(_, source)| *source == self).map_or("", |(name, _)| name)
    }

    /// Whether requests from here are held without a rule that names it: nobody is there to answer for a timer.
    pub fn is_held(self) -> bool {
        !matches!(self, Source::Rule | Source::Timer | Source::Internal)
    }
}

/// A request, as rules look at it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The action.
    pub action: &'a ActionRef,
    /// Its tags, as name and value.
    pub tags: &'a [(Str, Str)],
    /// The alias that matched.
    pub alias: Option<&'a ActionRef>,
    /// Where it comes from.
    pub source: Source,
    /// Who asks.
    pub requester: &'a Person,
    /// `network:channel`, when it comes from chat.
    pub channel: Option<&'a str>,
    /// Final parameters.
    pub params: &'a Map,
    /// Which of them are secret.
    pub is_secret: &'a dyn Fn(&str) -> bool,
    /// Whether it is a task inside of a workflow.
    pub is_task: bool,
    /// Ids of the rules that a release further up covers.
    pub covered: &'a BTreeSet<String>,
    /// What expressions may ask for.
    pub host: &'a dyn Host,
    /// The time.
    pub now: Timestamp,
}

/// A text with `*` for anything and `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glob(String);

impl Glob {
    fn fits(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    back = Some((p, t));
                    p += 1;
                }
                Some(c) if *c == b'?' || *c == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => match &mut back {
                    Some((star, from)) => {
                        *from += 1;
                        (p, t) = (*star + 1, *from);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }
}

/// A comparison of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Eq,
    Ne,
    In,
    NotIn,
    Matches,
    Contains,
    Gt,
    Lt,
    Ge,
    Le,
    Exists,
    Absent,
    CountGt,
    IsTrue,
}

const OPERATORS: [(&str, Operator); 14] = [
    ("eq", Operator::Eq),
    ("ne", Operator::Ne),
    ("in", Operator::In),
    ("not_in", Operator::NotIn),
    ("matches", Operator::Matches),
    ("contains", Operator::Contains),
    ("gt", Operator::Gt),
    ("lt", Operator::Lt),
    ("ge", Operator::Ge),
    ("le", Operator::Le),
    ("exists", Operator::Exists),
    ("absent", Operator::Absent),
    ("count_gt", Operator::CountGt),
    ("is_true", Operator::IsTrue),
];

/// A condition on a parameter.
#[derive(Debug)]
struct ParamTest {
    /// Keys; `None` is any element of a list.
    path: Vec<Option<String>>,
    operator: Operator,
    value: Value,
    pattern: Option<Pattern>,
}

/// A condition in an expression language.
#[derive(Debug)]
enum Condition {
    Yaql(yaql::Expr),
    Jinja(jinja::Template),
}

/// When a rule or exemption applies: all that is given must hold.
#[derive(Debug, Default)]
struct When {
    action: Vec<Glob>,
    tag: Vec<Glob>,
    alias: Vec<Glob>,
    source: Vec<Source>,
    role: Vec<String>,
    not_role: Vec<String>,
    user: Vec<String>,
    channel: Vec<Glob>,
    params: Vec<ParamTest>,
    expr: Option<Condition>,
}

/// Whether something holds; `Err` says why nobody can tell.
type Holds = Result<bool, String>;

#[derive(Debug)]
struct ServerRule {
    rule: Arc<Rule>,
    when: When,
}

#[derive(Debug)]
struct Exemption {
    id: String,
    reason: String,
    expires: Timestamp,
    when: When,
}

/// The server's rules.
#[derive(Debug, Default)]
pub struct Policy {
    rules: Vec<ServerRule>,
    exempt: Vec<Exemption>,
}

/// An exemption that was used; goes into the audit log each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exempted {
    /// Which.
    pub id: String,
    /// Its reason.
    pub reason: String,
}

/// What all sources together say about one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Demand {
    /// The rules that ask; none means that it may run.
    pub rules: Vec<Arc<Rule>>,
    /// Exemptions without which it would have been asked.
    pub exempted: Vec<Exempted>,
    /// Conditions that could not be evaluated and therefore asked: `rule prod: …`.
    pub doubts: Vec<String>,
}

/// A declaration names a rule that does not exist: the run is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the confirmation rule `{0}` is asked for but does not exist in `confirm.d`; nothing was started")]
pub struct NoSuchRule(pub String);

/// A child of a workflow whose name stands in the definition.
pub struct Child<'a> {
    /// Its action.
    pub action: &'a ActionRef,
    /// Its tags.
    pub tags: &'a [(Str, Str)],
    /// What it declares itself.
    pub declared: &'a [Declared],
}

/// Reads a new set. `Ok` with errors among the diagnostics means that the old set stays and somebody must be alarmed;
/// `Err` means that there is none and the server must not start.
pub fn reload(
    old: Option<Arc<Policy>>,
    files: &[(String, String)],
) -> Result<(Arc<Policy>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (policy, diagnostics) = read(files);
    match (policy, old) {
        (Some(policy), _) => Ok((Arc::new(policy), diagnostics)),
        (None, Some(old)) => Ok((old, diagnostics)),
        (None, None) => Err(diagnostics),
    }
}

/// Reads files, given as names and texts; `None` when one of them has an error.
pub fn read(files: &[(String, String)]) -> (Option<Policy>, Vec<Diagnostic>) {
    let mut policy = Policy::default();
    let mut diagnostics = Vec::new();
    for (name, text) in files {
        read_file(name, text, &mut policy, &mut diagnostics);
    }
    if policy.rules.len() > MAX_RULES {
        let message = format!("{} rules are more than the {MAX_RULES} that are possible", policy.rules.len());
        diagnostics.push(Diagnostic::error(RULE_WRONG, message));
    }
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    ((!failed).then_some(policy), diagnostics)
}

fn read_file(name: &str, text: &str, policy: &mut Policy, diagnostics: &mut Vec<Diagnostic>) {
    let document = match squall_yaml::parse(text, &Options::default()) {
        Ok(document) => document,
        Err(error) => return diagnostics.push(Diagnostic::from_yaml_error(YAML, text, &error).in_file(name)),
    };
    let twice = |w| Diagnostic::from_yaml_warning(DUPLICATE_KEY, text, w).in_file(name);
    diagnostics.extend(document.warnings.iter().map(twice));
    let value = document.root.to_value();
    let problems = RefCell::default();
    let at = At { value: &value, path: Vec::new(), problems: &problems };
    if !value.is_null() {
        file(&at, policy);
    }
    let mut found: Vec<Diagnostic> =
        problems.into_inner().iter().map(|p| diagnostic(p, &document.root, text).in_file(name)).collect();
    found.sort_by_key(|d| (d.line(), d.column()));
    diagnostics.append(&mut found);
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
fn place(problem: &Problem, root: &Node) -> Span {
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

impl When {
    /// Whether it holds. What cannot be evaluated is noted in `doubts` and counts as `in_doubt`.
    fn holds(&self, subject: &Subject<'_>, in_doubt: bool, doubts: &mut Vec<String>) -> bool {
        let any = |globs: &[Glob], text: &str| globs.iter().any(|g| g.fits(text));
        let sources =
            if self.source.is_empty() { subject.source.is_held() } else { self.source.contains(&subject.source) };
        if !sources {
            return false;
        }
        if !self.action.is_empty() && !any(&self.action, &subject.action.to_string()) {
            return false;
        }
        if !self.tag.is_empty()
            && !subject.tags.iter().any(|(n, v)| any(&self.tag, n) || any(&self.tag, &format!("{n}={v}")))
        {
            return false;
        }
        if !self.alias.is_empty() && !subject.alias.is_some_and(|alias| any(&self.alias, &alias.to_string())) {
            return false;
        }
        if !self.channel.is_empty() && !subject.channel.is_some_and(|channel| any(&self.channel, channel)) {
            return false;
        }
        if !self.requester_fits(subject.requester) {
            return false;
        }
        let mut settle = |holds: Holds| match holds {
            Ok(holds) => holds,
            Err(why) => {
                doubts.push(why);
                in_doubt
            }
        };
        self.params.iter().all(|test| settle(test.holds(subject)))
            && self.expr.as_ref().is_none_or(|condition| settle(condition.holds(subject)))
    }

    fn requester_fits(&self, person: &Person) -> bool {
        let has = |roles: &[String]| roles.iter().any(|role| person.roles.contains(role));
        (self.role.is_empty() || has(&self.role))
            && !has(&self.not_role)
            && (self.user.is_empty() || person.id.user_name().is_some_and(|name| self.user.iter().any(|u| u == name)))
    }

    /// Whether it can be told from the name of a child alone.
    fn is_static(&self) -> bool {
        self.params.is_empty() && self.expr.is_none()
    }
}

impl ParamTest {
    fn holds(&self, subject: &Subject<'_>) -> Holds {
        let Some(Some(name)) = self.path.first() else { return Err("the path of a parameter is empty".into()) };
        let is_secret = (subject.is_secret)(name);
        if is_secret && !matches!(self.operator, Operator::Exists | Operator::Absent) {
            return Err(format!("`{name}` is secret, so rules cannot look at it"));
        }
        let first = subject.params.get(name.as_str());
        let mut found: Vec<&Value> = Vec::new();
        if let Some(first) = first {
            collect(first, self.path.get(1..).unwrap_or_default(), &mut found)
                .map_err(|what| format!("`{name}` is {what} where a list was expected"))?;
        }
        found.retain(|value| !value.is_null());
        match self.operator {
            Operator::Exists => return Ok(!found.is_empty()),
            Operator::Absent => return Ok(found.is_empty()),
            Operator::Ne | Operator::NotIn if found.is_empty() => return Ok(true),
            _ => {}
        }
        let mut any = false;
        for value in found {
            any |= self.compare(value).map_err(|why| format!("`{name}` {why}"))?;
        }
        Ok(any)
    }

    fn compare(&self, found: &Value) -> Holds {
        let equal = |a: &Value, b: &Value| a == b || number(a).zip(number(b)).is_some_and(|(a, b)| a == b);
        let listed = || self.value.as_list().unwrap_or_default().iter().any(|item| equal(item, found));
        let order = |wanted: &[Ordering]| match number(found).zip(number(&self.value)) {
            Some((a, b)) => Ok(a.partial_cmp(&b).is_some_and(|o| wanted.contains(&o))),
            None => Err("is no number".to_owned()),
        };
        match self.operator {
            Operator::Eq => Ok(equal(found, &self.value)),
            Operator::Ne => Ok(!equal(found, &self.value)),
            Operator::In => Ok(listed()),
            Operator::NotIn => Ok(!listed()),
            Operator::Matches => match (found.as_str(), &self.pattern) {
                (Some(text), Some(pattern)) => pattern.is_match(text, Anchor::Anywhere).map_err(|e| e.to_string()),
                _ => Err("is no text".into()),
            },
            Operator::Contains => match found {
                Value::Str(text) => match self.value.as_str() {
                    Some(part) => Ok(text.contains(part)),
                    None => Err("is a text, which contains only texts".into()),
                },
                Value::List(items) => Ok(items.iter().any(|item| equal(item, &self.value))),
                Value::Map(map) => Ok(self.value.as_str().is_some_and(|key| map.contains_key(key))),
                _ => Err("contains nothing".into()),
            },
            Operator::Gt => order(&[Ordering::Greater]),
            Operator::Lt => order(&[Ordering::Less]),
            Operator::Ge => order(&[Ordering::Greater, Ordering::Equal]),
            Operator::Le => order(&[Ordering::Less, Ordering::Equal]),
            Operator::CountGt => {
                let count = match found {
                    Value::List(items) => items.len(),
                    Value::Map(map) => map.len(),
                    _ => return Err("is neither list nor map".into()),
                };
                Ok(self.value.as_int().is_some_and(|n| i64::try_from(count).unwrap_or(i64::MAX) > n))
            }
            Operator::IsTrue => found.as_bool().ok_or_else(|| "is neither true nor false".to_owned()),
            Operator::Exists | Operator::Absent => Ok(true),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

/// Everything that a path leads to. Recursion is bounded by the length of the path.
fn collect<'v>(value: &'v Value, path: &[Option<String>], found: &mut Vec<&'v Value>) -> Result<(), &'static str> {
    let Some((first, rest)) = path.split_first() else {
        found.push(value);
        return Ok(());
    };
    match first {
        Some(key) => value.get(key).map_or(Ok(()), |inner| collect(inner, rest, found)),
        None => match value {
            Value::List(items) => items.iter().try_for_each(|item| collect(item, rest, found)),
            Value::Null => Ok(()),
            Value::Map(_) => Err("a map"),
            Value::Str(_) => Err("a text"),
            _ => Err("a single value"),
        },
    }
}

/// What conditions see: parameters by name and through `ctx()`; everything else from the engine's host.
struct Facts<'a> {
    data: &'a Value,
    host: &'a dyn Host,
}

impl Host for Facts<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        match (name, args) {
            ("ctx", []) => Some(Ok(self.data.clone())),
            ("ctx", [Value::Str(key)]) => Some(Ok(self.data.get(key).cloned().unwrap_or_default())),
            _ => self.host.call(name, args, named),
        }
    }
    fn has(&self, name: &str) -> bool {
        name == "ctx" || self.host.has(name)
    }
    fn kv(&self, scope: &str, key: &str, _: bool) -> Result<Option<Value>, Error> {
        // Rules never see secrets in clear.
        self.host.kv(scope, key, false)
    }
    fn name(&self, name: &str) -> Option<Value> {
        self.host.name(name)
    }
    fn now(&self) -> Timestamp {
        self.host.now()
    }
    fn random(&self, bytes: &mut [u8]) {
        self.host.random(bytes);
    }
}

impl Condition {
    fn holds(&self, subject: &Subject<'_>) -> Holds {
        let visible = subject.params.iter().filter(|(name, _)| !(subject.is_secret)(name));
        let data = Value::from(visible.map(|(k, v)| (k.clone(), v.clone())).collect::<Map>());
        let facts = Facts { data: &data, host: subject.host };
        let limits = Limits { steps: EXPRESSION_STEPS, ..Limits::default() };
        let scope = |engine| Scope { engine, data: &data, host: &facts, limits: &limits };
        let value = match self {
            Condition::Yaql(expression) => expression.eval(&scope(Engine::Mistral)).map_err(|e| e.to_string())?,
            Condition::Jinja(template) => match template.value(&scope(Engine::Stack)).map_err(|e| e.to_string())? {
                jinja::Outcome::Value(value) => value,
                jinja::Outcome::Undefined(why) => return Err(why.to_string()),
            },
        };
        value.as_bool().ok_or_else(|| "the expression gives neither true nor false".to_owned())
    }
}

impl Policy {
    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// A rule by its id.
    pub fn rule(&self, id: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().map(|r| &r.rule).find(|rule| rule.id == id)
    }

    /// Everything that asks about a request: server rules that match and what content and caller declare, less what a
    /// release further up covers and what is exempt.
    pub fn demand(&self, subject: &Subject<'_>, declared: &[Declared]) -> Result<Demand, NoSuchRule> {
        let mut demand = Demand::default();
        for server in &self.rules {
            let mut doubts = Vec::new();
            let applies = (!subject.is_task || server.rule.deep) && !subject.covered.contains(&server.rule.id);
            if applies && server.when.holds(subject, true, &mut doubts) {
                demand.doubts.extend(doubts.iter().map(|why| format!("rule {}: {why}", server.rule.id)));
                demand.add(&server.rule);
            }
        }
        if subject.source.is_held() {
            self.add_declared(&mut demand, subject, declared)?;
        }
        if !demand.rules.is_empty() {
            self.exempt(&mut demand, subject);
        }
        Ok(demand)
    }

    fn add_declared(
        &self,
        demand: &mut Demand,
        subject: &Subject<'_>,
        declared: &[Declared],
    ) -> Result<(), NoSuchRule> {
        for declaration in declared {
            let rule = match declaration {
                Declared::Nothing => continue,
                Declared::Rule(rule) => rule,
                Declared::Named(id) => self.rule(id).ok_or_else(|| NoSuchRule(id.clone()))?,
            };
            if (!subject.is_task || rule.deep) && !subject.covered.contains(&rule.id) {
                demand.add(rule);
            }
        }
        Ok(())
    }

    /// Takes away what the server's exemptions allow. What the caller asked for stays.
    fn exempt(&self, demand: &mut Demand, subject: &Subject<'_>) {
        for exemption in self.exempt.iter().filter(|e| subject.now < e.expires) {
            // Whoever cannot be shown to be exempt is not.
            if exemption.when.holds(subject, false, &mut Vec::new()) {
                demand.rules.retain(|rule| rule.id == "call");
                demand.exempted.push(Exempted { id: exemption.id.clone(), reason: exemption.reason.clone() });
            }
        }
    }

    /// Rules about statically named children that the root's question can ask at once, each with the child: those that
    /// look at nothing that is known only when the task starts.
    pub fn pulled_up(
        &self,
        root: &Subject<'_>,
        children: &[Child<'_>],
    ) -> Result<Vec<(Arc<Rule>, ActionRef)>, NoSuchRule> {
        let nothing = Map::new();
        let mut pulled = Vec::new();
        for child in children {
            let subject = Subject {
                action: child.action,
                tags: child.tags,
                alias: None,
                params: &nothing,
                is_task: true,
                ..*root
            };
            let demand = self.demand(&subject, child.declared)?;
            let is_static = |rule: &Arc<Rule>| {
                self.rules.iter().find(|s| s.rule.id == rule.id).is_none_or(|server| server.when.is_static())
            };
            pulled.extend(demand.rules.into_iter().filter(is_static).map(|rule| (rule, child.action.clone())));
        }
        Ok(pulled)
    }
}

impl Demand {
    fn add(&mut self, rule: &Arc<Rule>) {
        if !self.rules.iter().any(|known| known.id == rule.id) {
            self.rules.push(rule.clone());
        }
    }
}

/// A rule as it stands in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its id.
    pub id: String,
    /// Why, for people.
    pub why: String,
    /// SHA-256 (hex) of what it said.
    pub sha: String,
    /// The children that it asks about, when it was pulled up to their root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<String>,
}

/// All rules that ask, as one: every requirement, the shortest timeout, only the ways that all allow.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined {
    /// The rules.
    pub rules: Vec<Stamp>,
    /// Who must agree; phrases are templates until [`Joined::freeze`].
    pub requirements: Vec<Requirement>,
    /// How it can be answered.
    pub ways: BTreeSet<Way>,
    /// Seconds.
    pub timeout: u64,
    /// Reminders.
    pub remind: Vec<Remind>,
    /// Escalations.
    pub escalate: Vec<Escalation>,
    /// Sets of which somebody must be a member, of each, to break the glass; empty means that nobody may.
    pub break_glass: Vec<Vec<Who>>,
    /// How many refusals end it.
    pub deny_count: u32,
    /// Whether a no needs a reason.
    pub deny_reason: Reason,
    /// Whether a yes needs one.
    pub grant_reason: Reason,
    /// Whether it is asked where the command was typed.
    pub ask_origin: bool,
    /// Other places, as `network:channel`.
    pub ask_also: Vec<String>,
    /// Who is mentioned.
    pub mention: Vec<String>,
    /// Whether possible answerers are asked in private too.
    pub dm: bool,
    /// What is shown.
    pub show: Show,
    /// Seconds after the release within which the run must start.
    pub start_within: u64,
}

/// Joins rules; `None` when there are none. `in_chat` says whether the request came from a channel: where it did not,
/// rules that name no ways can be answered by command line, web and REST as well.
pub fn join(rules: &[Arc<Rule>], in_chat: bool) -> Option<Joined> {
    let (first, rest) = rules.split_first()?;
    let mut joined = Joined::of(first, in_chat);
    for rule in rest {
        joined.tighten(Joined::of(rule, in_chat));
    }
    joined.escalate.retain(|e| e.after < joined.timeout);
    // Whoever asked for an approval by others and offers no way around leaves none.
    let guarded: Vec<_> = rules.iter().filter(|r| !r.require.iter().all(Requirement::is_self)).collect();
    joined.break_glass = guarded.iter().map(|r| r.break_glass.clone()).collect();
    if joined.break_glass.iter().any(Vec::is_empty) {
        joined.break_glass.clear();
    }
    Some(joined)
}

impl Joined {
    fn of(rule: &Rule, in_chat: bool) -> Joined {
        let mut ways = rule.ways.clone();
        if !in_chat && !rule.ways_written {
            ways.extend([Way::Web, Way::Cli, Way::Api]);
        }
        Joined {
            rules: vec![Stamp {
                id: rule.id.clone(),
                why: rule.why.clone(),
                sha: rule.sha.clone(),
                includes: Vec::new(),
            }],
            requirements: rule.require.clone(),
            ways,
            timeout: rule.timeout,
            remind: rule.remind.clone(),
            escalate: rule.escalate.clone(),
            break_glass: Vec::new(),
            deny_count: rule.deny_count,
            deny_reason: rule.deny_reason,
            grant_reason: rule.grant_reason,
            ask_origin: rule.ask.origin,
            ask_also: rule.ask.also.clone(),
            mention: rule.ask.mention.clone(),
            dm: rule.ask.dm,
            show: rule.show.clone(),
            start_within: rule.start_within,
        }
    }

    fn tighten(&mut self, other: Joined) {
        self.rules.extend(other.rules);
        for requirement in other.requirements {
            match self.requirements.iter_mut().find(|own| own.who == requirement.who) {
                Some(own) => tighten_requirement(own, requirement),
                None => self.requirements.push(requirement),
            }
        }
        self.ways = self.ways.intersection(&other.ways).copied().collect();
        if other.timeout < self.timeout {
            self.timeout = other.timeout;
            self.remind = other.remind;
        }
        self.escalate.extend(other.escalate);
        self.deny_count = self.deny_count.min(other.deny_count);
        self.deny_reason = self.deny_reason.max(other.deny_reason);
        self.grant_reason = self.grant_reason.max(other.grant_reason);
        self.ask_origin |= other.ask_origin;
        self.dm |= other.dm;
        for (own, others) in [(&mut self.ask_also, other.ask_also), (&mut self.mention, other.mention)] {
            own.extend(others);
            own.sort();
            own.dedup();
        }
        self.show.tighten(other.show);
        self.start_within = self.start_within.min(other.start_within);
    }

    /// Notes that rules of the root's question are about children.
    pub fn include(&mut self, pulled: &[(Arc<Rule>, ActionRef)]) {
        for (rule, child) in pulled {
            if let Some(stamp) = self.rules.iter_mut().find(|stamp| stamp.id == rule.id) {
                stamp.includes.push(child.to_string());
                stamp.includes.sort();
                stamp.includes.dedup();
            }
        }
    }

    /// Renders the phrases; an error refuses the run.
    pub fn freeze(mut self, mut render: impl FnMut(&str) -> Result<String, String>) -> Result<Joined, String> {
        for requirement in &mut self.requirements {
            if let Some(phrase) = &mut requirement.phrase {
                *phrase = render(phrase)?.split_whitespace().collect::<Vec<_>>().join(" ");
                if phrase.is_empty() {
                    return Err("the phrase to type is empty".into());
                }
            }
        }
        Ok(self)
    }
}

/// The same people asked by two rules are asked once, for the stricter of both.
fn tighten_requirement(own: &mut Requirement, other: Requirement) {
    own.count = own.count.max(other.count);
    own.exclude_requester |= other.exclude_requester;
    own.exclude_editor |= other.exclude_editor;
    own.min_assurance = own.min_assurance.max(other.min_assurance);
    if own.phrase != other.phrase {
        let both = |a: Option<String>, b: Option<String>| match (a, b) {
            (Some(a), Some(b)) => Some(format!("{a} {b}")),
            (a, b) => a.or(b),
        };
        own.phrase = both(own.phrase.take(), other.phrase);
        own.phrase_hint = both(own.phrase_hint.take(), other.phrase_hint);
    }
}

impl Show {
    /// Shows whatever one of both shows.
    fn tighten(&mut self, other: Show) {
        self.hide.retain(|name| other.hide.contains(name));
        if self.params.is_empty() || other.params.is_empty() {
            self.params.clear();
        } else {
            self.params.extend(other.params);
        }
        self.dry_run = self.dry_run.max(other.dry_run);
        self.recheck_dry_run |= other.recheck_dry_run;
    }

    /// Whether a dry run is wanted at all.
    pub fn wants_dry_run(&self) -> bool {
        self.dry_run != DryRun::Off
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
