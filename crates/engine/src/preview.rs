//! What would be asked about a request, whom, and what they would read. Nothing is stored and nobody is told.

use crate::asking::{Asker, Before, Opened, Wanted};
use crate::confirmation::lint;
use crate::confirmation::looks::Look;
use crate::confirmation::people::{Question, Requirement, Who, candidates};
use crate::confirmation::record::Record;
use crate::people::Principal;
use crate::refusal::Refusal;
use crate::request::{Final, Passed, Request};
use crate::{Engine, gates};
use squall_model::{Execution, Value};

/// Stands where the code of a question would: nothing was drawn for it.
const NO_CODE: &str = "•••-•••";

/// What came of looking.
#[derive(Debug, Clone)]
pub enum Preview {
    /// It would run at once.
    Runs,
    /// It would be refused, with these words.
    Refused(String),
    /// The same request waits already, as this confirmation.
    Joins(Box<Record>),
    /// People would be asked.
    Asks(Box<Asked>),
}

/// What people would be asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The record as it would be, with a code that is not real.
    pub record: Record,
    /// For each requirement, who could fill it now.
    pub candidates: Vec<Vec<String>>,
    /// What they would read.
    pub text: String,
    /// What would be found out first.
    pub looks: Vec<Look>,
}

impl Engine {
    /// Goes the way of a request up to the moment where it would be stored.
    pub fn preview(&self, request: &Request) -> Result<Preview, Refusal> {
        let content = self.content();
        let (requested, seen) = match gates::pass(self, &content, request) {
            Ok(gates::Verdict::Run(requested, seen)) => (requested, seen),
            Ok(gates::Verdict::Stillborn { message, .. }) => return Ok(Preview::Refused(message)),
            Err(refusal @ (Refusal::Invalid(_) | Refusal::Forbidden { .. })) => {
                return Ok(Preview::Refused(refusal.to_string()));
            }
            Err(other) => return Err(other),
        };
        let passed = Passed { execution: Execution::new(self.ids().execution(), requested, self.now()), seen };
        let Final::Known(action, params, execution, secrets) = self.final_params(&content, passed)? else {
            return Ok(Preview::Refused("its parameters cannot be rendered, so it would fail when it starts".into()));
        };
        let lookup = self.run_lookup(&execution.request.context);
        // Nobody is asked, so it takes no place in a channel.
        let nowhere = Default::default();
        let asker = Asker { paces: &nowhere, ..self.asker(&content, execution.created) };
        let wanted = [Wanted { call: &request.confirm, ..Wanted::new(&execution, &action, &params, secrets) }];
        let demanded = match asker.demand(&wanted[0], &lookup.lookup()) {
            Err(text) => return Ok(Preview::Refused(text)),
            Ok(demanded) => [demanded],
        };
        let joined = match asker.join(&wanted, &demanded) {
            Err(text) => return Ok(Preview::Refused(text)),
            Ok(None) => return Ok(Preview::Runs),
            Ok(Some(joined)) => joined,
        };
        Ok(match asker.open(&wanted, joined, &Before::default()) {
            Err(text) => Preview::Refused(text),
            Ok(Opened::Joined(record)) => Preview::Joins(record),
            Ok(Opened::Looked(first)) => {
                Preview::Refused(format!("the same request waits already as execution {first}"))
            }
            Ok(Opened::Held(decision)) => Preview::Asks(Box::new(self.asked(decision.record, Vec::new()))),
            Ok(Opened::Looks(stage, would_be)) => Preview::Asks(Box::new(self.asked(would_be.record, stage.looks))),
        })
    }

    fn asked(&self, record: Record, looks: Vec<Look>) -> Asked {
        let candidates = self.with_directory(|directory| {
            let (requester, editors) = (&record.requester, &record.editors);
            let question = Question { requester, editors, trust_legacy_bots: false, directory };
            let names = |r: &Requirement| {
                let known = candidates(r, &question).into_iter().map(|(_, shown)| shown);
                let later = r.who.iter().filter(|who| matches!(who, Who::OnCall(_)));
                known.chain(later.map(|who| format!("whoever is {}", who.shown()))).collect()
            };
            record.requirements.iter().map(names).collect()
        });
        let text = self.shown(&record).replace(&record.code.to_string(), NO_CODE);
        Asked { record, candidates, text, looks }
    }

    /// What is wrong with what packs and rules declare about confirmations, with the people as they are now.
    pub fn policy_problems(&self, who: &Principal) -> Result<Vec<squall_content::Diagnostic>, Refusal> {
        crate::people::authorize(who, crate::people::Wish::ManagePeople)?;
        let content = self.content();
        let (registry, policy) = (content.registry(), content.policy());
        Ok(self.with_directory(|people| {
            let mut found = lint::check(registry, Some(policy), Some(people));
            found.extend(lint::check_rules(policy, Some(people)));
            found
        }))
    }

    /// As whom a preview is made: oneself, or another user by whoever may speak for them.
    pub fn preview_as(&self, user: &str, who: &Principal) -> Result<Principal, Refusal> {
        if user == who.user {
            return Ok(who.clone());
        }
        crate::people::authorize(who, crate::people::Wish::Impersonate)?;
        let known = self.store().user(user)?.filter(|u| u.active);
        let known = known.ok_or_else(|| Refusal::Invalid(format!("Could not locate user {user}")))?;
        Ok(Principal { role: crate::people::role_of(&known), user: known.name, via: who.via.clone() })
    }
}

/// A preview for clients.
pub fn to_value(preview: &Preview) -> Value {
    let outcome = |word: &str, text: Value| Value::from_pairs([("outcome", Value::from(word)), ("text", text)]);
    match preview {
        Preview::Runs => outcome("runs", "it would run at once: nobody is asked".into()),
        Preview::Refused(text) => outcome("refused", text.as_str().into()),
        Preview::Joins(record) => outcome(
            "joins",
            format!("the same request waits already; it needs {} until {}", record.need(), record.expires_at.to_iso())
                .into(),
        ),
        Preview::Asks(question) => asks(question),
    }
}

fn asks(question: &Asked) -> Value {
    let record = &question.record;
    let rules = record
        .rules
        .iter()
        .map(|rule| Value::from_pairs([("id", Value::from(rule.id.as_str())), ("why", rule.why.as_str().into())]));
    let requirement = |(r, who): (&crate::confirmation::Requirement, &Vec<String>)| {
        Value::from_pairs([
            ("needs", Value::from(r.shown())),
            ("count", r.count.into()),
            ("min_assurance", r.min_assurance.as_str().into()),
            ("phrase", r.phrase.clone().into()),
            ("candidates", who.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into()),
        ])
    };
    let requirements = record.requirements.iter().zip(&question.candidates).map(requirement);
    let looks = question.looks.iter().map(|look| {
        let what = if look.run.is_some() { "dry run" } else { "who is on call" };
        Value::from_pairs([("what", Value::from(what)), ("action", look.action.to_string().into())])
    });
    let places = record.copies.iter().map(|copy| Value::from(copy.place.channel_id()));
    Value::from_pairs([
        ("outcome", Value::from("asks")),
        ("text", question.text.as_str().into()),
        ("rules", rules.collect::<Vec<_>>().into()),
        ("requirements", requirements.collect::<Vec<_>>().into()),
        ("via", record.ways.iter().map(|way| Value::from(way.as_str())).collect::<Vec<_>>().into()),
        ("timeout_seconds", (record.timeout_ms / 1_000).into()),
        ("looks", looks.collect::<Vec<_>>().into()),
        ("asked_in", places.collect::<Vec<_>>().into()),
        ("requester", record.requester.shown.as_str().into()),
        ("fingerprint", record.digest.fingerprint().into()),
    ])
}
