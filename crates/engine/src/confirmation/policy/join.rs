//! All rules that ask, as one: what a record freezes.
//!
//! Start reading at [`join`].

use super::*;
use crate::confirmation::people::matched;
use crate::confirmation::record::Record;

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
    // Whoever asked for an approval by others and offers no way around leaves none. What the requester has to type or to prove
    // for themselves nobody can pass over for them.
    let (own, guarded): (Vec<_>, Vec<_>) = rules.iter().partition(|r| r.require.iter().all(Requirement::is_self));
    joined.break_glass = guarded.iter().map(|r| r.break_glass.clone()).collect();
    let is_strict = own.iter().flat_map(|r| &r.require).any(|requirement| !requirement.is_plain());
    if is_strict || joined.break_glass.iter().any(Vec::is_empty) {
        joined.break_glass.clear();
    }
    Some(joined)
}

impl Joined {
    fn of(rule: &Rule, in_chat: bool) -> Joined {
        let id = || vec![rule.id.clone()];
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
            requirements: rule.require.iter().map(|wanted| Requirement { rules: id(), ..wanted.clone() }).collect(),
            ways,
            timeout: rule.timeout,
            remind: rule.remind.clone(),
            escalate: rule.escalate.iter().map(|one| Escalation { rule: rule.id.clone(), ..one.clone() }).collect(),
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

    /// Whether this asks for more than a record froze. What a record asks beyond that stays asked, and its times stay.
    pub fn wants_more_than(&self, record: &Record) -> bool {
        let happened: Vec<&Escalation> = record.escalate.iter().take(record.escalated as usize).collect();
        let meets = |frozen: &Requirement| -> Vec<usize> {
            let met = |at: &usize| is_at_least(frozen, &self.requirements[*at], &happened);
            (0..self.requirements.len()).filter(met).collect()
        };
        // Each frozen requirement stands for one that is wanted, not for two: otherwise one answer would do for both.
        let offers: Vec<Vec<usize>> = record.requirements.iter().map(meets).collect();
        matched(&vec![1; self.requirements.len()], &offers).contains(&0)
            || !record.ways.is_subset(&self.ways)
            || self.deny_count < record.deny_count
            || self.deny_reason > record.deny_reason
            || self.grant_reason > record.grant_reason
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

/// Whether one requirement asks for everything that another does. A larger set is less, not more, unless it grew by
/// escalation.
fn is_at_least(frozen: &Requirement, wanted: &Requirement, happened: &[&Escalation]) -> bool {
    let grew_by = |who: &Who| happened.iter().any(|one| one.widens(frozen) && one.add_who.contains(who));
    frozen.who.iter().all(|who| wanted.who.contains(who) || grew_by(who))
        && frozen.count >= wanted.count
        && (frozen.exclude_requester || !wanted.exclude_requester)
        && (frozen.exclude_editor || !wanted.exclude_editor)
        && frozen.min_assurance >= wanted.min_assurance
        && (wanted.phrase.is_none() || frozen.phrase == wanted.phrase)
}

/// The same people asked by two rules are asked once, for the stricter of both.
fn tighten_requirement(own: &mut Requirement, other: Requirement) {
    own.rules.extend(other.rules);
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
        self.dry_runs.extend(other.dry_runs);
        self.dry_runs.sort();
        self.dry_runs.dedup();
        self.recheck_dry_run |= other.recheck_dry_run;
    }
}
