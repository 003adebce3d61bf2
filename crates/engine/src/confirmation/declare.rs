//! What content and callers may say about confirmation, from one word to the full form.
//!
//! `confirm: true`, `confirm: {by: "role:sre", count: 2}` and the body of a server rule become the same [`Rule`].
//! A declaration can only ask for more; there is no word here that takes a requirement away. Every problem is found,
//! with its path; whoever has the text turns paths into lines.
//!
//! Start reading at [`declared`].

mod at;

pub use at::duration;
pub(super) use at::{At, Notes};

use super::digest::{canonical, sha256_hex};
use super::people::{Assurance, Requirement, Who};
use serde::{Deserialize, Serialize};
use squall_model::{ActionRef, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long people have to confirm their own command.
pub const SELF_TIMEOUT: Duration = Duration::from_secs(60);
/// How long others have to approve.
pub const APPROVAL_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// The range of timeouts.
pub const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(7 * 86_400));
/// The most people that a requirement can name, the most requirements of a rule, the most reminders.
const MAX_COUNT: i64 = 10;
const MAX_REQUIREMENTS: usize = 5;
const MAX_REMINDERS: usize = 3;
/// The most names of a set of people, the most places and mentions, the most escalations.
const MAX_NAMES: usize = 100;
const MAX_PLACES: usize = 20;
const MAX_ESCALATIONS: usize = 10;
/// Timeouts from here on have a reminder at half time unless the rule says otherwise.
const REMIND_FROM: Duration = Duration::from_secs(300);
/// How long after its release a run may still start.
pub const START_WITHIN: Duration = Duration::from_secs(3_600);

/// A way to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// `!confirm CODE` in chat, from old bots too.
    Command,
    /// A plain yes or no in the question's thread.
    Reply,
    /// A button below the question.
    Button,
    /// A reaction on the question.
    Reaction,
    /// The web page.
    Web,
    /// The command line.
    Cli,
    /// REST, and the inquiry API.
    Api,
    /// A client of an agent that asked its user.
    Elicitation,
}

impl Way {
    /// Every way with its name in files.
    pub const ALL: [(&'static str, Way); 8] = [
        ("command", Way::Command),
        ("reply", Way::Reply),
        ("button", Way::Button),
        ("reaction", Way::Reaction),
        ("web", Way::Web),
        ("cli", Way::Cli),
        ("api", Way::Api),
        ("elicitation", Way::Elicitation),
    ];

    /// Its name in files.
    pub fn as_str(self) -> &'static str {
        Way::ALL.iter().find(|(_, way)| *way == self).map_or("", |(name, _)| name)
    }
}

/// What a rule wants beside a yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing; what is said is kept as a note.
    #[default]
    None,
    /// May be given.
    Optional,
    /// Must be given.
    Required,
}

/// When people are reminded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remind {
    /// After so many hundredths of the timeout.
    Percent(u8),
    /// So many seconds before the end.
    Left(u64),
}

/// Who is asked in addition when nobody answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Seconds after the question.
    pub after: u64,
    /// Who is mentioned: `role:lead`.
    pub mention: Vec<String>,
    /// Who may answer from then on as well.
    pub add_who: Vec<Who>,
    /// The id of the rule that says so, in a record: it speaks for its own requirements only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
}

impl Escalation {
    /// Whether it lets others fill this requirement as well: every rule that wants it would have to say so.
    pub fn widens(&self, requirement: &Requirement) -> bool {
        !requirement.is_self() && requirement.rules.iter().all(|rule| *rule == self.rule)
    }
}

/// Where the question goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Where the command was typed.
    pub origin: bool,
    /// Other places, as `network:channel`.
    pub also: Vec<String>,
    /// Who is mentioned.
    pub mention: Vec<String>,
    /// Whether each possible answerer gets it in private too.
    pub dm: bool,
}

/// Whether the question shows a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DryRun {
    /// No.
    #[default]
    Off,
    /// If the action has one.
    Auto,
    /// Without one nothing is asked and nothing is run.
    Required,
}

/// What the question shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// Names of parameters; empty means all.
    pub params: Vec<String>,
    /// Parameters that are left out.
    pub hide: Vec<String>,
    /// Whether a dry run is shown.
    pub dry_run: DryRun,
    /// Actions that make it; none means the one that the action itself names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dry_runs: Vec<ActionRef>,
    /// Whether it must give the same at the release.
    pub recheck_dry_run: bool,
}

/// What one source asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id; for declarations where it stands: `alias ops.restart`.
    pub id: String,
    /// Why, for people.
    pub why: String,
    /// Who must agree. Phrases are templates here.
    pub require: Vec<Requirement>,
    /// Where it is asked.
    pub ask: Ask,
    /// What is shown.
    pub show: Show,
    /// How it can be answered.
    pub ways: BTreeSet<Way>,
    /// Whether the ways were written down; otherwise requests from outside of chat may be answered there too.
    pub ways_written: bool,
    /// Whether a no needs a reason.
    pub deny_reason: Reason,
    /// Whether a yes needs one.
    pub grant_reason: Reason,
    /// Seconds.
    pub timeout: u64,
    /// Reminders.
    pub remind: Vec<Remind>,
    /// Escalations.
    pub escalate: Vec<Escalation>,
    /// Who may break the glass; empty means nobody.
    pub break_glass: Vec<Who>,
    /// How many refusals end it.
    pub deny_count: u32,
    /// Whether tasks inside of workflows are asked about as well.
    pub deep: bool,
    /// Seconds after the release within which the run must start.
    pub start_within: u64,
    /// SHA-256 (hex) of all the above.
    pub sha: String,
}

/// Where a declaration stands.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// On an alias: guards that command only.
    Alias(&'a ActionRef),
    /// On an action: guards it wherever it is called from.
    Action(&'a ActionRef),
    /// In a pack's policy for an action.
    Policy(&'a ActionRef),
    /// With the request itself.
    Call,
    /// In the parameters of a task that asks.
    Task,
}

impl Origin<'_> {
    fn id(&self) -> String {
        match self {
            Origin::Alias(reference) => format!("alias {reference}"),
            Origin::Action(reference) => format!("action {reference}"),
            Origin::Policy(reference) => format!("policy {reference}"),
            Origin::Call => "call".into(),
            Origin::Task => "task".into(),
        }
    }

    fn why(&self) -> &'static str {
        match self {
            Origin::Alias(_) => "asked by the command itself",
            Origin::Action(_) => "asked by the action itself",
            Origin::Policy(_) => "asked by a policy of the pack",
            Origin::Call => "asked by the caller",
            Origin::Task => "asked by the workflow",
        }
    }
}

/// What a declaration says.
#[derive(Debug, Clone, PartialEq)]
pub enum Declared {
    /// Nothing: null or `false`.
    Nothing,
    /// A rule of its own.
    Rule(Arc<Rule>),
    /// A server rule by its id; a name that no rule has stops the run.
    Named(String),
}

/// A step of the way to a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a map.
    Key(String),
    /// Into a list.
    Item(usize),
}

/// Something that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: Vec<Step>,
    /// Whether it is about the last key itself instead of its value.
    pub at_key: bool,
    /// What.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

/// `require[0].count: must be a whole number from 1 to 10`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.path.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(n) => write!(f, "[{n}]")?,
            }
        }
        let separator = if self.path.is_empty() { "" } else { ": " };
        write!(f, "{separator}{}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

/// Reads what stands under `confirm`, in a tag's value, in a policy's parameters or in a call.
pub fn declared(origin: Origin<'_>, value: &Value) -> Result<Declared, Vec<Problem>> {
    let plain = |requirement| Declared::Rule(Arc::new(own(origin, requirement)));
    match value {
        Value::Null | Value::Bool(false) => Ok(Declared::Nothing),
        Value::Bool(true) => Ok(plain(self_confirm())),
        Value::Str(text) => match text.trim() {
            t if t.eq_ignore_ascii_case("true") => Ok(plain(self_confirm())),
            t if t.eq_ignore_ascii_case("false") || t.is_empty() => Ok(Declared::Nothing),
            t => Ok(Declared::Named(t.to_owned())),
        },
        // A policy without parameters asks for the usual.
        Value::Map(map) if map.is_empty() => Ok(plain(self_confirm())),
        Value::Map(map) => {
            let notes = Notes::default();
            let at = At { value, path: Vec::new(), notes: &notes };
            if let Some(Value::Str(name)) = map.get("rule") {
                at.known(&["rule"]);
                return settled(notes, Declared::Named(name.to_string()));
            }
            let rule = body(&at, origin.id(), Some(origin.why()), &[]);
            if matches!(origin, Origin::Call) {
                notes.refuse_looks();
            }
            settled(notes, Declared::Rule(Arc::new(rule)))
        }
        _ => Err(vec![Problem {
            path: Vec::new(),
            at_key: false,
            message: "must be `true`, the id of a rule, or a map".into(),
            help: Some("`true` asks the requester; `{by: \"role:sre\", count: 2}` asks two others".into()),
        }]),
    }
}

fn settled<T>(notes: Notes, value: T) -> Result<T, Vec<Problem>> {
    let problems = notes.problems.into_inner();
    if problems.is_empty() { Ok(value) } else { Err(problems) }
}

/// What else is found in a declaration: the actions that it would run, and where it excludes editors.
pub(super) fn noted(origin: Origin<'_>, value: &Value) -> Notes {
    let notes = Notes::default();
    if value.as_map().is_some() {
        let at = At { value, path: Vec::new(), notes: &notes };
        body(&at, origin.id(), Some(origin.why()), &[]);
    }
    notes
}

impl Notes {
    /// What is found out runs unasked and with all rights, so rules and packs decide about it, not whoever asks for a run.
    fn refuse_looks(&self) {
        let message = "a caller cannot have an action run to find something out";
        let help = "rules of the server and packs can";
        let one = |(path, _): &(Vec<Step>, ActionRef)| Problem {
            path: path.clone(),
            at_key: false,
            message: message.into(),
            help: Some(help.into()),
        };
        let refused: Vec<Problem> = self.looks.borrow().iter().map(one).collect();
        self.problems.borrow_mut().extend(refused);
    }

    /// Requirements that can never be met as they are meant: nobody knows who edited what.
    pub(super) fn unknown_editors(&self) -> Vec<Problem> {
        let message = "who last edited an action, an alias or a rule is not known: they come from files, and squall sees \
                       the files, not who wrote them";
        let help = "leave it out, and let the repository of the pack want a second pair of eyes for every change";
        let one = |path: &Vec<Step>| Problem {
            path: path.clone(),
            at_key: true,
            message: message.into(),
            help: Some(help.into()),
        };
        self.editors.borrow().iter().map(one).collect()
    }
}

fn self_confirm() -> Requirement {
    requirement(vec![Who::Requester])
}

fn requirement(who: Vec<Who>) -> Requirement {
    let own = who == [Who::Requester];
    Requirement {
        who,
        count: 1,
        exclude_requester: !own,
        exclude_editor: false,
        min_assurance: if own { Assurance::A1 } else { Assurance::A2 },
        phrase: None,
        phrase_hint: None,
        rules: Vec::new(),
    }
}

/// `confirm: true`
fn own(origin: Origin<'_>, requirement: Requirement) -> Rule {
    Rule {
        id: origin.id(),
        why: origin.why().into(),
        require: vec![requirement],
        ask: Ask { origin: true, also: Vec::new(), mention: Vec::new(), dm: false },
        show: Show::default(),
        ways: [Way::Command, Way::Reply, Way::Button].into(),
        ways_written: false,
        deny_reason: Reason::Optional,
        grant_reason: Reason::None,
        timeout: SELF_TIMEOUT.as_secs(),
        remind: Vec::new(),
        escalate: Vec::new(),
        break_glass: Vec::new(),
        deny_count: 1,
        deep: true,
        start_within: START_WITHIN.as_secs(),
        sha: String::new(),
    }
    .sealed()
}

impl Rule {
    /// Puts in the hash of everything else.
    fn sealed(mut self) -> Rule {
        self.sha = String::new();
        let json = serde_json::to_value(&self).unwrap_or_default();
        self.sha = sha256_hex(&canonical(&Value::from(&json)));
        self
    }
}

/// Keys of a rule's body.
const BODY: &[&str] = &[
    "why",
    "require",
    "by",
    "count",
    "phrase",
    "exclude_requester",
    "exclude_editor",
    "min_assurance",
    "ask",
    "show",
    "answer",
    "timeout",
    "remind",
    "escalate",
    "break_glass",
    "deny_count",
    "deep",
    "start_within",
];

/// Keys of the short form, which is one requirement.
const SHORT: &[&str] = &["by", "count", "phrase", "exclude_requester", "exclude_editor", "min_assurance"];

/// Reads the body of a rule; `more` are keys that somebody else reads.
pub(super) fn body(at: &At<'_>, id: String, why: Option<&str>, more: &[&str]) -> Rule {
    at.known(&[BODY, more].concat());
    let require = requirements(at);
    let only_self = require.iter().all(Requirement::is_self);
    let usual = if only_self { SELF_TIMEOUT } else { APPROVAL_TIMEOUT };
    let timeout = at.key("timeout").and_then(|t| t.duration(TIMEOUTS)).unwrap_or(usual);
    let answer = at.key("answer");
    if let Some(answer) = &answer {
        answer.known(&["via", "reason"]);
    }
    let written = answer.as_ref().and_then(|a| a.key("via")).map(|via| ways(&via));
    let reason = answer.as_ref().and_then(|a| a.key("reason"));
    if let Some(reason) = &reason {
        reason.known(&["deny", "grant"]);
    }
    let wanted = |key: &str, default| {
        let names = [("none", Reason::None), ("optional", Reason::Optional), ("required", Reason::Required)];
        reason.as_ref().and_then(|r| r.key(key)).and_then(|r| r.one_of(&names)).unwrap_or(default)
    };
    Rule {
        id,
        why: at.key("why").and_then(|w| w.text()).or(why.map(str::to_owned)).unwrap_or_default(),
        require,
        ask: ask(at),
        show: show(at),
        ways_written: written.is_some(),
        ways: written.unwrap_or_else(usual_ways),
        deny_reason: wanted("deny", Reason::Optional),
        grant_reason: wanted("grant", Reason::None),
        timeout: timeout.as_secs(),
        remind: reminders(at, timeout),
        escalate: escalations(at),
        break_glass: at.key("break_glass").map(|b| who(&b)).unwrap_or_default(),
        deny_count: at.key("deny_count").and_then(|d| d.whole(1..=MAX_COUNT)).unwrap_or(1) as u32,
        deep: at.key("deep").and_then(|d| d.boolean()).unwrap_or(true),
        start_within: at
            .key("start_within")
            .and_then(|s| s.duration((Duration::from_secs(1), TIMEOUTS.1)))
            .unwrap_or(START_WITHIN)
            .as_secs(),
        sha: String::new(),
    }
    .sealed()
}

fn usual_ways() -> BTreeSet<Way> {
    [Way::Command, Way::Reply, Way::Button, Way::Web, Way::Cli, Way::Api].into()
}

fn requirements(at: &At<'_>) -> Vec<Requirement> {
    let Some(list) = at.key("require") else {
        let short = SHORT.iter().any(|key| at.value.get(key).is_some());
        return if short { vec![one_requirement(at, "by")] } else { vec![self_confirm()] };
    };
    for key in SHORT.iter().filter(|key| at.value.get(key).is_some()) {
        at.problem_at_key(key, format!("`{key}` beside `require` has no place"), Some("write it inside of `require`"));
    }
    let items = at.items("require");
    if items.is_empty() || items.len() > MAX_REQUIREMENTS {
        list.problem(format!("must be a list of 1 to {MAX_REQUIREMENTS} requirements"));
    }
    items
        .iter()
        .map(|item| {
            let keys = ["who", "count", "phrase", "exclude_requester", "exclude_editor", "min_assurance"];
            item.known(&keys);
            one_requirement(item, "who")
        })
        .collect()
}

fn one_requirement(at: &At<'_>, who_key: &'static str) -> Requirement {
    let set = match at.key(who_key) {
        Some(named) => who(&named),
        None if who_key == "who" => {
            at.problem("needs the key `who`".into());
            Vec::new()
        }
        None => vec![Who::Requester],
    };
    let usual = requirement(set);
    let exclude_requester = at.key("exclude_requester").and_then(|e| e.boolean()).unwrap_or(usual.exclude_requester);
    if exclude_requester && usual.is_self() {
        at.problem("`exclude_requester` leaves nobody: the requester is the only one asked".into());
    }
    let levels = ["A1", "A2", "A3"].map(|name| (name, Assurance::parse(name).unwrap_or(Assurance::A3)));
    let count = at.key("count").and_then(|c| c.whole(1..=MAX_COUNT)).unwrap_or(1) as u32;
    if count > 1 && usual.is_self() {
        at.problem("the requester is one person, so `count` can only be 1".into());
    }
    let phrase = at.key("phrase").and_then(|p| p.text());
    let editor = at.key("exclude_editor");
    let exclude_editor = editor.as_ref().and_then(|e| e.boolean()).unwrap_or(false);
    if let Some(editor) = editor.filter(|_| exclude_editor) {
        editor.excludes_editor();
    }
    Requirement {
        count,
        exclude_requester,
        exclude_editor,
        min_assurance: at.key("min_assurance").and_then(|m| m.one_of(&levels)).unwrap_or(usual.min_assurance),
        phrase_hint: phrase.as_deref().map(hint),
        phrase,
        ..usual
    }
}

/// `{{ params.env }}` is hinted at as `<env>`; anything else as it stands, since typing it is the point.
fn hint(phrase: &str) -> String {
    let inside = phrase.trim().strip_prefix("{{").and_then(|p| p.strip_suffix("}}")).map(str::trim);
    match inside {
        Some(path) if !path.contains("{{") => format!("<{}>", path.rsplit('.').next().unwrap_or(path)),
        _ => phrase.to_owned(),
    }
}

/// `requester`, `role:sre`, `{role: [sre]}`, or a list of these.
pub(super) fn who(at: &At<'_>) -> Vec<Who> {
    let mut set = match at.value {
        Value::Str(text) => who_text(at, text).into_iter().collect(),
        Value::List(_) => at.list().iter().flat_map(who).collect(),
        Value::Map(_) => {
            at.known(&["user", "role", "group", "on_call"]);
            let texts = |key: &str| at.key(key).map(|k| k.texts()).unwrap_or_default();
            let mut set: Vec<Who> = texts("user").into_iter().map(Who::User).collect();
            set.extend(texts("role").into_iter().map(Who::Role));
            set.extend(texts("group").into_iter().map(Who::Group));
            set.extend(at.items("on_call").iter().filter_map(|item| look(item, &item.text()?)).map(Who::OnCall));
            set
        }
        _ => {
            at.problem("must be `requester`, `anyone`, or `{user: […], role: […], group: […], on_call: …}`".into());
            return Vec::new();
        }
    };
    if set.is_empty() && !at.failed() {
        at.problem("names nobody".into());
    }
    set.sort();
    set.dedup();
    if set.len() > MAX_NAMES {
        at.problem(format!("names more than {MAX_NAMES} users, roles and groups: give them a role of their own"));
    }
    set
}

fn who_text(at: &At<'_>, text: &str) -> Option<Who> {
    match text.split_once(':') {
        None if text == "requester" => Some(Who::Requester),
        None if text == "anyone" => Some(Who::Anyone),
        Some(("user", name)) if !name.is_empty() => Some(Who::User(name.into())),
        Some(("role", name)) if !name.is_empty() => Some(Who::Role(name.into())),
        Some(("group", name)) if !name.is_empty() => Some(Who::Group(name.into())),
        Some(("on_call", name)) => look(at, name).map(Who::OnCall),
        _ => {
            let help = "`requester`, `anyone`, `user:…`, `role:…`, `group:…` and `on_call:pack.action` are known";
            at.problem_with_help(format!("`{text}` names nobody"), help);
            None
        }
    }
}

/// An action that is run to find something out.
fn look(at: &At<'_>, name: &str) -> Option<ActionRef> {
    match name.parse() {
        Ok(action) => {
            at.looks_at(&action);
            Some(action)
        }
        Err(_) => {
            at.problem(format!("`{name}` is no action: expected `pack.name`"));
            None
        }
    }
}

fn ways(at: &At<'_>) -> BTreeSet<Way> {
    let items = at.list();
    if items.is_empty() {
        at.problem("must list at least one way to answer".into());
    }
    items.iter().filter_map(|item| item.one_of(&Way::ALL)).collect()
}

fn ask(at: &At<'_>) -> Ask {
    let usual = Ask { origin: true, also: Vec::new(), mention: Vec::new(), dm: false };
    let Some(ask) = at.key("ask") else { return usual };
    ask.known(&["in", "also", "mention", "dm"]);
    let mut also: Vec<String> = ask.key("also").map(|a| a.places()).unwrap_or_default();
    let origin = match ask.key("in") {
        None => true,
        Some(place) if place.value.as_str() == Some("origin") => true,
        Some(place) => {
            also.extend(place.places());
            false
        }
    };
    let mention = ask.key("mention").map(|m| m.texts()).unwrap_or_default();
    if also.len() > MAX_PLACES || mention.len() > MAX_PLACES {
        ask.problem(format!("at most {MAX_PLACES} places and {MAX_PLACES} mentions"));
    }
    Ask { origin, also, mention, dm: ask.key("dm").and_then(|d| d.boolean()).unwrap_or(false) }
}

fn show(at: &At<'_>) -> Show {
    let Some(show) = at.key("show") else { return Show::default() };
    show.known(&["params", "hide", "dry_run", "recheck_dry_run"]);
    let params = match show.key("params") {
        Some(params) if params.value.as_str() == Some("all") => Vec::new(),
        Some(params) => params.texts(),
        None => Vec::new(),
    };
    let (dry_run, dry_runs) = show.key("dry_run").map(|named| dry_run(&named)).unwrap_or_default();
    Show {
        params,
        hide: show.key("hide").map(|h| h.texts()).unwrap_or_default(),
        dry_run,
        dry_runs,
        recheck_dry_run: show.key("recheck_dry_run").and_then(|r| r.boolean()).unwrap_or(false),
    }
}

/// `auto`, `required`, `off`, `pack.action`, or `{action: pack.action, required: true}`.
fn dry_run(at: &At<'_>) -> (DryRun, Vec<ActionRef>) {
    match at.value {
        Value::Bool(false) => (DryRun::Off, Vec::new()),
        Value::Str(text) if text.contains('.') => (DryRun::Auto, look(at, text).into_iter().collect()),
        Value::Map(_) => {
            at.known(&["action", "required"]);
            let named = at.items("action");
            if named.is_empty() {
                at.problem("needs the key `action`".into());
            }
            let actions = named.iter().filter_map(|item| look(item, &item.text()?)).collect();
            let is_required = at.key("required").and_then(|r| r.boolean()).unwrap_or(false);
            (if is_required { DryRun::Required } else { DryRun::Auto }, actions)
        }
        _ => {
            let names = [("auto", DryRun::Auto), ("required", DryRun::Required), ("off", DryRun::Off)];
            (at.one_of(&names).unwrap_or_default(), Vec::new())
        }
    }
}

fn reminders(at: &At<'_>, timeout: Duration) -> Vec<Remind> {
    let Some(list) = at.key("remind") else {
        return if timeout >= REMIND_FROM { vec![Remind::Percent(50)] } else { Vec::new() };
    };
    let items = list.list();
    if items.len() > MAX_REMINDERS {
        list.problem(format!("at most {MAX_REMINDERS} reminders"));
    }
    items.iter().filter_map(|item| reminder(item, timeout)).collect()
}

fn reminder(at: &At<'_>, timeout: Duration) -> Option<Remind> {
    let read = |text: &str| {
        if let Some(percent) = text.strip_suffix('%') {
            return percent.parse::<u8>().ok().filter(|p| (1..=99).contains(p)).map(Remind::Percent);
        }
        let left = duration(text.strip_suffix("-left")?)?;
        (left < timeout && !left.is_zero()).then_some(Remind::Left(left.as_secs()))
    };
    let read = at.value.as_str().and_then(read);
    if read.is_none() {
        at.problem("must be a share of the timeout (`50%`) or a time before its end (`2m-left`)".into());
    }
    read
}

fn escalations(at: &At<'_>) -> Vec<Escalation> {
    let items = at.items("escalate");
    if items.len() > MAX_ESCALATIONS {
        at.problem(format!("at most {MAX_ESCALATIONS} escalations"));
    }
    items.iter().map(escalation).collect()
}

fn escalation(at: &At<'_>) -> Escalation {
    at.known(&["after", "mention", "add_who"]);
    let after = at.key("after").and_then(|a| a.duration((Duration::from_secs(1), TIMEOUTS.1)));
    if after.is_none() && !at.failed() {
        at.problem("needs the key `after`".into());
    }
    Escalation {
        after: after.unwrap_or(TIMEOUTS.1).as_secs(),
        mention: at.key("mention").map(|m| m.texts()).unwrap_or_default(),
        add_who: at.key("add_who").map(|a| who(&a)).unwrap_or_default(),
        rule: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    fn read(json: &str) -> Result<Declared, Vec<Problem>> {
        let alias: ActionRef = "ops.restart".parse().unwrap();
        declared(Origin::Alias(&alias), &from_json(json, false).unwrap())
    }

    #[track_caller]
    fn rule(json: &str) -> Arc<Rule> {
        match read(json) {
            Ok(Declared::Rule(rule)) => rule,
            other => panic!("{json}: {other:?}"),
        }
    }

    /// All problems, one a line.
    #[track_caller]
    fn wrong(json: &str, expected: &str) {
        let problems = read(json).expect_err("read");
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn true_shorthand() {
        for json in ["true", "\"true\"", "\"True\"", "{}"] {
            let rule = rule(json);
            assert_eq!(rule.id, "alias ops.restart");
            assert_eq!((rule.require[0].shown(), rule.timeout), ("1 of the requester".to_owned(), 60));
            assert_eq!(rule.ways, [Way::Command, Way::Reply, Way::Button].into());
            assert!(rule.ask.origin && rule.remind.is_empty());
        }
        for json in ["false", "null", "\"\""] {
            assert_eq!(read(json), Ok(Declared::Nothing));
        }
        assert_eq!(read("\"prod-terminate\""), Ok(Declared::Named("prod-terminate".into())));
    }

    #[test]
    fn role_shorthand() {
        let rule = rule(r#"{"by": "role:sre", "count": 2}"#);
        let requirement = &rule.require[0];
        assert_eq!((requirement.shown(), rule.timeout), ("2 of role sre".to_owned(), 900));
        assert!(requirement.exclude_requester);
        assert_eq!(requirement.min_assurance, Assurance::A2);
        assert_eq!(rule.remind, [Remind::Percent(50)]);
    }

    #[test]
    fn the_full_form() {
        let rule = rule(
            r#"{"why": "x", "require": [{"who": "requester", "phrase": "{{ params.env }}"},
                {"who": {"role": ["sre", "lead"], "user": "ann"}, "count": 3, "min_assurance": "A3"}],
                "timeout": "1h30m", "remind": ["25%", "2m-left"], "answer": {"via": ["web"]}, "deny_count": 2,
                "escalate": [{"after": "5m", "add_who": {"role": ["boss"]}}], "break_glass": {"role": ["ic"]},
                "ask": {"in": "slack:C1", "also": ["irc:\u0023ops"]}}"#,
        );
        assert_eq!(rule.require[0].phrase_hint.as_deref(), Some("<env>"));
        assert_eq!(rule.require[1].shown(), "3 of ann or role lead or role sre");
        assert_eq!((rule.timeout, rule.deny_count), (5_400, 2));
        assert_eq!(rule.remind, [Remind::Percent(25), Remind::Left(120)]);
        assert_eq!(rule.ask.also, ["irc:#ops", "slack:C1"]);
        assert!(!rule.ask.origin && rule.ways_written);
    }

    #[test]
    fn another_word_is_another_hash() {
        let one = rule(r#"{"by": "role:sre"}"#);
        assert_eq!(one.sha, rule(r#"{"by": {"role": "sre"}}"#).sha);
        assert_ne!(one.sha, rule(r#"{"by": "role:dba"}"#).sha);
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        wrong(
            "3",
            "must be `true`, the id of a rule, or a map (`true` asks the requester; `{by: \"role:sre\", count: 2}` asks two others)",
        );
        wrong(
            r#"{"by": "sre", "coutn": 2, "timeout": "8d"}"#,
            "coutn: `coutn` has no meaning here (did you mean `count`?)\n\
             by: `sre` names nobody (`requester`, `anyone`, `user:…`, `role:…`, `group:…` and `on_call:pack.action` are known)\n\
             timeout: must be a duration from 10 s to 7 d (write `90s`, `15m`, `1h30m` or `7d`)",
        );
        wrong(
            r#"{"require": [{"who": "requester", "count": 11}, {"count": 1}]}"#,
            "require[0].count: must be a whole number from 1 to 10\nrequire[1]: needs the key `who`",
        );
        wrong(
            r#"{"by": "requester", "exclude_requester": true}"#,
            "`exclude_requester` leaves nobody: the requester is the only one asked",
        );
    }

    /// What callers send has an end, like everything else.
    #[test]
    fn lists_have_an_end() {
        let many = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
        let roles = many(101, &|n| format!("\"r{n}\""));
        wrong(
            &format!(r#"{{"by": {{"role": [{roles}]}}}}"#),
            "by: names more than 100 users, roles and groups: give them a role of their own",
        );
        let places = many(21, &|n| format!("\"irc:#c{n}\""));
        wrong(&format!(r#"{{"ask": {{"also": [{places}]}}}}"#), "ask: at most 20 places and 20 mentions");
        let escalations = many(11, &|n| format!(r#"{{"after": "{}s"}}"#, n + 1));
        wrong(&format!(r#"{{"escalate": [{escalations}]}}"#), "at most 10 escalations");
    }

    #[test]
    fn durations() {
        let table = [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5_400), ("7d", 604_800)];
        for (text, seconds) in table {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "m", "1x", "1h30", "99999999999999999999d", "-5m", "5 m"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
