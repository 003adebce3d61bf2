//! Votes: one of each person, each looked at again whenever it is counted.

use super::*;

impl Deciding<'_> {
    /// Adds a vote; whatever the person said before no longer counts.
    pub(super) fn vote(&mut self, answer: &Answer, ballot: Ballot, fits: Vec<usize>) {
        for vote in self.record.votes.iter_mut().filter(|vote| vote.withdrawn_at.is_none() && is_by(vote, &answer.by)) {
            vote.withdrawn_at = Some(self.world.now);
        }
        self.record.votes.push(Vote {
            person: answer.by.id.clone(),
            shown: answer.by.shown(),
            identity: answer.identity.clone(),
            assurance: answer.assurance,
            ballot,
            fits,
            note: answer.rest.as_deref().map(note).filter(|n| !n.is_empty()),
            way: answer.way,
            message: answer.message.clone(),
            received_at: answer.received_at,
            seq: answer.seq,
            withdrawn_at: None,
        });
        let latency = answer.received_at.since(self.record.held_at).as_millis() as u64;
        let data = Value::from_pairs([
            ("ballot", Value::from(if ballot == Ballot::Grant { "grant" } else { "deny" })),
            ("way", answer.way.as_str().into()),
            ("message", answer.message.clone().into()),
            ("latency_ms", latency.into()),
            ("name", answer.by.name.as_str().into()),
        ]);
        self.audit("vote", Some(answer), data);
    }

    /// Requirements that a vote still fits, with its person as they are now.
    pub(super) fn still_fits(&self, vote: &Vote) -> Vec<usize> {
        let Some(person) = self.person_of(vote) else { return Vec::new() };
        let label = if vote.assurance == Assurance::A0 { self.record.requester.label.as_ref() } else { None };
        let proof = Proof { person: &person, assurance: vote.assurance, label };
        let question = self.question();
        let fits =
            |n: &&usize| self.record.requirements.get(**n).is_some_and(|r| eligible(r, &proof, &question).is_ok());
        vote.fits.iter().filter(fits).copied().collect()
    }

    /// Who voted, as they are now; `None` when the account is gone or the identity is linked to it no more.
    pub(super) fn person_of(&self, vote: &Vote) -> Option<Person> {
        if vote.person.user_name().is_none() {
            // Without an account there is nothing that could have changed.
            let mut person = Person::user("");
            person.id = vote.person.clone();
            person.identities = vote.identity.iter().cloned().collect();
            return Some(person);
        }
        let person = self.world.directory.person(&vote.person)?;
        let linked = vote.identity.as_ref().is_none_or(|identity| person.identities.contains(identity));
        linked.then_some(person)
    }

    pub(super) fn counts(&self, vote: &Vote) -> bool {
        !self.still_fits(vote).is_empty()
    }

    pub(super) fn filled(&self) -> Vec<u32> {
        let votes: Vec<Vec<usize>> = self.record.live(Ballot::Grant).map(|vote| self.still_fits(vote)).collect();
        filled(&self.record.requirements, &votes)
    }

    /// How many votes count, of how many that are needed.
    pub(super) fn count(&self) -> (u32, u32) {
        (self.filled().iter().sum(), self.record.needed())
    }

    /// `1 of role sre and 1 of role dba`
    pub(super) fn missing(&self) -> String {
        let filled = self.filled();
        let missing = self.record.requirements.iter().zip(filled).filter(|(r, n)| *n < r.count);
        missing.map(|(r, n)| format!("{} of {}", r.count - n, shown_set(&r.who))).collect::<Vec<_>>().join(" and ")
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question {
            requester: &self.record.requester,
            editors: &self.record.editors,
            trust_legacy_bots: self.world.settings.trust_legacy_bots,
            directory: self.world.directory,
        }
    }
}

/// Whether a vote is of this human.
pub(super) fn is_by(vote: &Vote, person: &Person) -> bool {
    let identities: Vec<Identity> = vote.identity.iter().cloned().collect();
    person.is(&vote.person, &identities)
}

/// A note or reason, cut to what is kept.
pub(super) fn note(text: &str) -> String {
    let trimmed = text.trim();
    if trimmed.chars().count() <= texts::NOTE {
        return trimmed.to_owned();
    }
    trimmed.chars().take(texts::NOTE).chain(['…']).collect()
}
