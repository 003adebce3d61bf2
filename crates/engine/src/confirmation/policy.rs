//! The server's rules in `confirm.d`, and which of all rules ask about a request.
//!
//! Rules are read whole, with every problem at its place; a set with an error never replaces one without. Matching is a
//! plain scan: 200 rules are the bound. Doubt asks: a condition that cannot be evaluated counts as met in a rule, and
//! as not met in an exemption.
//!
//! Start reading at [`Policy::demand`], then [`join`].

mod file;
mod join;
mod when;

pub(super) use file::{objection, place};
pub use file::{read, read_for, reload};
pub use join::{Joined, Stamp, join};
use when::When;

use super::declare::{At, Declared, Escalation, Notes, Problem, Reason, Remind, Rule, Show, Step, Way, body};
use super::people::{Person, Requirement, Who};
use serde::{Deserialize, Serialize};
use squall_expr::pattern::{Anchor, Pattern};
use squall_expr::{Engine, Error, Host, Limits, Scope, jinja, yaql};
use squall_model::{ActionRef, Map, Str, Timestamp, Value};
use squall_yaml::{Diagnostic, Kind, Node, Options, Span};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A rule or exemption that cannot be used.
pub const RULE_WRONG: &str = "SQ1701";
/// Not YAML that can be loaded.
const YAML: &str = "SQ1001";
/// A key written twice.
const DUPLICATE_KEY: &str = "SQ1002";

/// An action that would be run to find something out and does not say that it changes nothing.
pub const NOT_READ_ONLY: &str = "SQ1706";

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

    /// The source that is sure: what a client calls itself proves nothing.
    pub fn proven(self) -> Source {
        match self {
            Source::Cli | Source::Web => Source::Api,
            sure => sure,
        }
    }

    /// Whether it is REST under some name.
    pub fn is_rest(self) -> bool {
        matches!(self, Source::Api | Source::Cli | Source::Web | Source::Mcp)
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
        self.rules().find(|rule| rule.id == id)
    }

    /// Every rule, in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.iter().map(|rule| &rule.rule)
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

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
