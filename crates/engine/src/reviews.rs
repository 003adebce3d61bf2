//! Broken glasses and their reviews: counted for each person, closed by somebody who had no part in it.
//!
//! Start reading at [`Broken`].

use crate::confirmation::people::{Directory, Person, PersonId};
use crate::confirmation::record::Record;
use crate::people::{Principal, Wish, authorize};
use crate::{Engine, Refusal};
use serde::{Deserialize, Serialize};
use squall_model::{Timestamp, Value};
use squall_store::{Batch, Entry, Op, Store};
use std::time::Duration;

/// The list of the store that holds them, by the id of the confirmation.
const LIST: &str = "breaks";
/// Kept at most this many: with three a day and person far more than anybody looks at.
const MOST: usize = 100_000;
const DAY: Duration = Duration::from_secs(86_400);
/// A review that is overdue for so long takes the right away.
const BARRED_AFTER: Duration = Duration::from_secs(14 * 86_400);

/// A glass that was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// The confirmation that was bypassed.
    pub confirmation: String,
    /// By whom.
    pub person: String,
    /// When.
    pub at: Timestamp,
    /// Until when it must have been reviewed.
    pub review_until: Timestamp,
    /// What came of the review.
    pub verdict: Option<String>,
    /// Who reviewed it.
    pub reviewer: Option<String>,
}

/// What somebody did before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Glasses broken within a day.
    pub today: u32,
    /// Whether a review is overdue for more than 14 days.
    pub is_barred: bool,
}

impl Past {
    pub fn of(store: &dyn Store, person: &str, now: Timestamp) -> Past {
        // Who cannot be counted has broken too many: doubt means no.
        let Ok(all) = read(store) else { return Past { today: u32::MAX, is_barred: true } };
        let own = || all.iter().filter(|broken| broken.person == person);
        Past {
            today: own().filter(|broken| now.since(broken.at) < DAY).count() as u32,
            is_barred: own().any(|b| b.verdict.is_none() && now >= b.review_until.after(BARRED_AFTER)),
        }
    }
}

fn read(store: &dyn Store) -> squall_store::Result<Vec<Broken>> {
    let entries = store.entries(LIST, MOST)?;
    Ok(entries.iter().filter_map(|entry| serde_json::from_str(&entry.value).ok()).collect())
}

/// The row of a glass broken just now.
pub(crate) fn op(record: &Record, person: &PersonId, at: Timestamp, review_until: Timestamp) -> Op {
    put(&Broken {
        confirmation: record.id.to_string(),
        person: person.as_str().to_owned(),
        at,
        review_until,
        verdict: None,
        reviewer: None,
    })
}

fn put(broken: &Broken) -> Op {
    // Texts and numbers alone: nothing that could fail to become JSON.
    let value = serde_json::to_string(broken).unwrap_or_default();
    Op::PutEntry(Box::new(Entry { list: LIST.into(), key: broken.confirmation.clone(), at: broken.at, value }))
}

impl Engine {
    /// Broken glasses, oldest first; only those without a review when `open`.
    pub fn broken(&self, open: bool, who: &Principal) -> Result<Vec<Broken>, Refusal> {
        authorize(who, Wish::View)?;
        Ok(read(self.store())?.into_iter().filter(|broken| !open || broken.verdict.is_none()).collect())
    }

    /// Closes the review of a broken glass. Only a member of the set that was passed over, who had no part in it.
    pub async fn review(&self, confirmation: &str, verdict: &str, who: &Principal) -> Result<Broken, Refusal> {
        let record = self.confirmation(confirmation, who).await?;
        let found = read(self.store())?.into_iter().find(|b| b.confirmation == record.id.to_string());
        let Some(mut broken) = found else {
            return Err(Refusal::Unknown(format!("{} was not released by break glass", record.code)));
        };
        if broken.verdict.is_some() {
            return Err(Refusal::Conflict(format!("{} was reviewed already", record.code)));
        }
        if verdict.trim().is_empty() {
            return Err(Refusal::Invalid("a review needs a verdict in words".into()));
        }
        let person = PersonId::user(&who.user);
        let reviewer = self.with_directory(|people| people.person(&person)).unwrap_or_else(|| Person::user(&who.user));
        let took_part = broken.person == person.as_str()
            || record.requester.is(&reviewer)
            || record.requester.through.as_ref() == Some(&person)
            || record.votes.iter().any(|vote| reviewer.is(&vote.person, &[]));
        if took_part || !self.is_of_the_set(&record, &person) {
            let text = "a review is closed by a member of the set that was passed over, who had no part in it";
            return Err(Refusal::NotAllowed(text.into()));
        }
        (broken.verdict, broken.reviewer) = (Some(verdict.trim().to_owned()), Some(who.user.clone()));
        let mut batch = Batch::from(put(&broken));
        batch.push(Op::Audit {
            at: self.now(),
            event: "review_closed".into(),
            person: Some(person.as_str().to_owned()),
            confirmation: Some(record.id.to_string()),
            execution: record.runs.first().map(|(id, _)| *id),
            data: Value::from_pairs([("verdict", verdict.trim())]),
        });
        self.inner.store.commit(batch).await?;
        Ok(broken)
    }

    fn is_of_the_set(&self, record: &Record, person: &PersonId) -> bool {
        self.asking(|asker| {
            let directory = asker.directory();
            let sets = record.requirements.iter().flat_map(|r| &r.who);
            sets.into_iter().any(|who| directory.members(who).iter().any(|member| member.id == *person))
        })
    }
}
