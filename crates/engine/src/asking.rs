//! The gate of confirmation: who must be asked before something runs, and what becomes of what is held.
//!
//! `confirmation` decides without I/O; here its questions are answered from content and store, and its decisions become rows. The
//! same code holds a request from anywhere and a task of a workflow. Nothing runs before a decision in the same commit says so.
//!
//! Start reading at [`Asker::demand`] (is somebody to be asked?), [`Asker::open`] (ask) and [`Asker::decide`].

mod open;
mod origin;
mod rows;
mod settle;
mod who;

pub(crate) use open::{Before, Opened};
pub(crate) use origin::{agent, alias_of, is_frozen, label, place, source, user};
pub(crate) use rows::{Waiting, call_of, erased, erased_names, hold, ops, row};

use crate::confirmation::code;
use crate::confirmation::declare::{Declared, Origin, Rule, declared};
use crate::confirmation::limits::Paces;
use crate::confirmation::people::PersonId;
use crate::confirmation::policy::{Exempted, Joined, Subject, join};
use crate::noting::SecretVersion;
use crate::{Content, Settings};
use squall_content::{Action, Alias};
use squall_expr::Host;
use squall_model::{ActionRef, Execution, Ids, Map, Str, Timestamp, Value};
use squall_store::{Op, Store};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What asking needs to know of the world.
pub(crate) struct Asker<'a> {
    pub content: &'a Content,
    pub store: &'a dyn Store,
    pub ids: &'a dyn Ids,
    pub settings: &'a Settings,
    pub now: Timestamp,
    /// How long new codes are.
    pub length: code::Length,
    /// When questions left for each channel.
    pub paces: &'a Mutex<Paces>,
    /// How many are asked in the same commit already, for the same requester in the same place.
    pub opened: usize,
}

/// Something that may have to wait for people.
pub(crate) struct Wanted<'a> {
    pub execution: &'a Execution,
    pub action: &'a Arc<Action>,
    pub alias: Option<&'a Alias>,
    /// The topmost execution: whose people and place count.
    pub root: &'a Execution,
    /// Final parameters, runner's and own together.
    pub params: &'a Map,
    /// The secrets that they were made of.
    pub secrets: Vec<SecretVersion>,
    /// Rules that a release further up covers.
    pub covered: BTreeSet<String>,
    /// The command as typed.
    pub command: Option<String>,
    /// What the caller wants asked in addition, or null.
    pub call: &'a Value,
}

impl<'a> Wanted<'a> {
    /// A run that stands alone: the root of its tree, or a task of which nothing above is covered.
    pub fn new(
        execution: &'a Execution,
        action: &'a Arc<Action>,
        params: &'a Map,
        secrets: Vec<SecretVersion>,
    ) -> Wanted<'a> {
        static NOTHING: Value = Value::Null;
        Wanted {
            execution,
            action,
            alias: None,
            root: execution,
            params,
            secrets,
            covered: BTreeSet::new(),
            command: None,
            call: &NOTHING,
        }
    }
}

/// Which rules ask about something.
#[derive(Debug, Default)]
pub(crate) struct Demanded {
    rules: Vec<Arc<Rule>>,
    /// Rules about children that the root's question asks as well.
    pulled: Vec<(Arc<Rule>, ActionRef)>,
    exempted: Vec<Exempted>,
}

impl Demanded {
    /// Whether nobody is to be asked.
    pub fn is_nothing(&self) -> bool {
        self.rules.is_empty()
    }

    /// Ids of the rules that ask.
    pub fn ids(&self) -> Vec<String> {
        self.rules.iter().map(|rule| rule.id.clone()).collect()
    }

    /// One row of the audit log for each exemption that let something run unasked.
    pub fn exemption_ops(&self, execution: &Execution, now: Timestamp) -> Vec<Op> {
        let one = |used: &Exempted| Op::Audit {
            at: now,
            event: "exemption_used".into(),
            person: Some(PersonId::user(&user(execution)).as_str().to_owned()),
            confirmation: None,
            execution: Some(execution.id),
            data: Value::from_pairs([
                ("exemption", Value::from(used.id.as_str())),
                ("reason", used.reason.as_str().into()),
                ("action", execution.request.action.to_string().into()),
            ]),
        };
        self.exempted.iter().map(one).collect()
    }
}

/// Under this name the store keeps how often it was restored from a backup.
pub(crate) const EPOCH: &str = "epoch";

impl<'a> Asker<'a> {
    /// Every rule that asks about something; none means that it may run. An error refuses the run.
    pub fn demand(&self, wanted: &Wanted<'_>, host: &dyn Host) -> Result<Demanded, String> {
        let mut declared = self.declared(wanted.action)?;
        if let Some(alias) = wanted.alias
            && let Some(value) = &alias.confirm
        {
            declared.push(read(Origin::Alias(&alias.reference), value)?);
        }
        declared.push(read(Origin::Call, wanted.call)?);
        let is_root = wanted.execution.parent.is_none() && wanted.action.definition.is_some();
        let says_nothing = declared.iter().all(|d| *d == Declared::Nothing);
        if says_nothing && self.content.policy().is_empty() && !is_root {
            return Ok(Demanded::default());
        }
        let (person, _) = self.requester(wanted.root);
        let tags: Vec<(Str, Str)> = tags(wanted.action);
        let channel = place(wanted.root).map(|p| p.channel_id());
        let prepared = self.content.prepared(wanted.action);
        let is_secret = |name: &str| prepared.is_secret(name);
        let subject = Subject {
            action: &wanted.action.reference,
            tags: &tags,
            alias: wanted.alias.map(|a| &a.reference),
            source: source(wanted.root),
            requester: &person,
            channel: channel.as_deref(),
            params: wanted.params,
            is_secret: &is_secret,
            is_task: wanted.execution.parent.is_some(),
            covered: &wanted.covered,
            host,
            now: self.now,
        };
        let policy = self.content.policy();
        let demand = policy.demand(&subject, &declared).map_err(|e| e.to_string())?;
        for doubt in &demand.doubts {
            tracing::warn!(execution = %wanted.execution.id, %doubt, "a condition failed and therefore asks");
        }
        let mut all = Demanded { rules: demand.rules, pulled: Vec::new(), exempted: demand.exempted };
        if is_root {
            all.pulled = self.pulled_up(wanted.action, &subject)?;
            for (rule, _) in &all.pulled {
                if !all.rules.iter().any(|known| known.id == rule.id) {
                    all.rules.push(rule.clone());
                }
            }
        }
        Ok(all)
    }

    /// What an action says about itself, and the policies of packs about it.
    fn declared(&self, action: &Action) -> Result<Vec<Declared>, String> {
        let mut all = Vec::new();
        let origin = Origin::Action(&action.reference);
        let tag = action.tag("squall.confirm").map(|text| Value::from(text.clone()));
        for value in action.confirm.iter().chain(&tag) {
            all.push(read(origin, value)?);
        }
        for policy in self.content.registry().policies_of(&action.reference) {
            if &*policy.policy_type == "squall.confirm" {
                let parameters = policy.parameters.clone();
                let value = if parameters.is_truthy() { parameters } else { true.into() };
                all.push(read(Origin::Policy(&policy.reference), &value)?);
            }
        }
        Ok(all)
    }

    fn pulled_up(&self, action: &Action, subject: &Subject<'_>) -> Result<Vec<(Arc<Rule>, ActionRef)>, String> {
        let children = self.content.children(action);
        let mut known = Vec::with_capacity(children.len());
        for child in children.iter() {
            known.push((child, tags(child), self.declared(child)?));
        }
        let children: Vec<_> = known
            .iter()
            .map(|(child, tags, declared)| crate::confirmation::policy::Child {
                action: &child.reference,
                tags,
                declared,
            })
            .collect();
        self.content.policy().pulled_up(subject, &children).map_err(|e| e.to_string())
    }

    /// All demands about the runs of one message as one, with phrases rendered; nothing when there is none.
    pub fn join(&self, wanted: &[Wanted<'_>], demanded: &[Demanded]) -> Result<Option<Joined>, String> {
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for rule in demanded.iter().flat_map(|d| &d.rules) {
            if !rules.iter().any(|known| known.id == rule.id) {
                rules.push(rule.clone());
            }
        }
        let in_chat = wanted.first().is_some_and(|first| place(first.root).is_some());
        let Some(mut joined) = join(&rules, in_chat) else { return Ok(None) };
        for one in demanded {
            joined.include(&one.pulled);
        }
        joined.freeze(|phrase| phrases(phrase, wanted, &self.settings.expressions)).map(Some)
    }
}

fn read(origin: Origin<'_>, value: &Value) -> Result<Declared, String> {
    declared(origin, value).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("what is said about its confirmation cannot be meant, so it was not started: {}", texts.join("; "))
    })
}

/// A phrase with the parameters of each run; different ones are typed one after the other.
fn phrases(phrase: &str, wanted: &[Wanted<'_>], limits: &squall_expr::Limits) -> Result<String, String> {
    let mut all: Vec<String> = Vec::new();
    for one in wanted {
        let params = Value::from_pairs([("params", Value::from(one.params.clone()))]);
        let text = crate::report::render(phrase, &params, squall_expr::Engine::Stack, limits).map_err(|e| e.message)?;
        if !all.contains(&text) {
            all.push(text);
        }
    }
    Ok(all.join(" "))
}

fn tags(action: &Action) -> Vec<(Str, Str)> {
    action.tags.iter().map(|t| (t.name.clone(), t.value.clone())).collect()
}
