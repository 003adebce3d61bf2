//! What somebody's answer does to a record.

use super::*;

impl Deciding<'_> {
    pub(super) fn answered(&mut self, answer: &Answer) -> Outcome {
        if !self.may_see(answer) {
            return self.refuse(answer, Refused::Unknown, "M11", &[]);
        }
        if answer.by.agent {
            let need = self.record.need();
            return self.refuse(answer, Refused::Agent, "M12-agent", &[("set", need.into())]);
        }
        if self.record.state.is_final() {
            return self.finished(answer);
        }
        if self.world.now.after(CLOCK_STEP) < self.record.held_at {
            return self.void(Some(answer), Cause::Clock);
        }
        if answer.received_at >= self.record.expires_at {
            return self.late(answer);
        }
        if answer.digest.as_ref().is_some_and(|seen| !self.record.digest.is(seen)) {
            return self.refuse(answer, Refused::DigestDiffers, "M12-changed", &[]);
        }
        if !self.is_way_open(answer) {
            let ways: Vec<_> = self.record.ways.iter().map(|way| way.as_str()).collect();
            return self.refuse(answer, Refused::WrongWay, "M12-way", &[("ways", ways.join(", ").into())]);
        }
        match answer.verdict {
            Verdict::Grant => self.granted(answer),
            Verdict::Deny => self.denied(answer),
            Verdict::Unconfirm => self.taken_back(answer),
            Verdict::Withdraw => self.withdrawn(answer),
            Verdict::BreakGlass => self.broken(answer),
        }
    }

    /// Whether the person may know that there is such a confirmation: who asked, who can answer, who was there when it
    /// was asked.
    pub(super) fn may_see(&self, answer: &Answer) -> bool {
        let sure = Proof { person: &answer.by, assurance: Assurance::A3, label: None };
        answer.is_admin
            || self.record.requester.is(&answer.by)
            || answer.place.as_ref().is_some_and(|place| self.record.was_asked_in(place))
            || answer.label.as_ref().is_some_and(|label| self.record.was_asked_beside(label))
            || self.record.requirements.iter().any(|r| eligible(r, &sure, &self.question()).is_ok())
            || self.record.votes.iter().any(|vote| is_by(vote, &answer.by))
            || self.may_break(answer, Assurance::A3).is_ok()
    }

    /// Stopping is possible by every way that people use; reactions and agents' clients only where a rule lists them.
    pub(super) fn is_way_open(&self, answer: &Answer) -> bool {
        let stops = matches!(answer.verdict, Verdict::Deny | Verdict::Unconfirm | Verdict::Withdraw);
        self.record.ways.contains(&answer.way)
            || (!matches!(answer.way, Way::Reaction | Way::Elicitation)
                && (stops || answer.verdict == Verdict::BreakGlass))
    }

    pub(super) fn granted(&mut self, answer: &Answer) -> Outcome {
        let fits = match self.fits(answer) {
            Ok(fits) => fits,
            Err(why) => return self.not_eligible(answer, why),
        };
        let typed = answer.rest.as_deref().map(|rest| rest.split_whitespace().collect::<Vec<_>>().join(" "));
        let is_typed = |n: &usize| {
            let phrase = self.record.requirements.get(*n).and_then(|r| r.phrase.as_ref());
            phrase.is_none_or(|phrase| typed.as_ref() == Some(phrase))
        };
        let fits: Vec<usize> = fits.into_iter().filter(is_typed).collect();
        if fits.is_empty() {
            let hint = self.record.requirements.iter().find_map(|r| r.phrase_hint.clone()).unwrap_or_default();
            let name = if typed.is_some() { "M20-wrong" } else { "M20" };
            return self.refuse(answer, Refused::Phrase, name, &[("hint", hint.into())]);
        }
        if let Err(why) = self.response_fits(answer) {
            return self.refuse(answer, Refused::BadResponse, "M12-response", &[("reason", Fill::Value(&why))]);
        }
        if self.record.grant_reason == Reason::Required && typed.is_none_or(|t| t.is_empty()) {
            return self.refuse(answer, Refused::NeedsReason, "M12-reason", &[("word", "confirm".into())]);
        }
        let before = self.record.live(Ballot::Grant).find(|vote| is_by(vote, &answer.by));
        if before.is_some_and(|vote| fits.iter().all(|n| vote.fits.contains(n)) && self.counts(vote)) {
            let (n, m) = self.count();
            // Enough by now, because somebody whose vote did not count got a role or an account back.
            if n >= m {
                return self.complete(Some(answer));
            }
            return self.refuse(answer, Refused::Twice, "M13", &[("n", n.into()), ("m", m.into())]);
        }
        self.vote(answer, Ballot::Grant, fits);
        let (n, m) = self.count();
        if n >= m {
            return self.complete(Some(answer));
        }
        let fills = [("by", Fill::Name(&answer.by.shown())), ("n", n.into()), ("m", m.into())];
        self.tell_everybody(Some(answer), "M3", &fills);
        Outcome::Counted { n, m }
    }

    /// Whether an answer holds what the question wants to know.
    fn response_fits(&self, answer: &Answer) -> Result<(), String> {
        let Some(task) = &self.record.task else { return Ok(()) };
        let response = answer.response.clone().unwrap_or_else(Value::map);
        squall_expr::params::validate_value(&Value::from(&task.schema), &response).map_err(|error| error.message)
    }

    /// Numbers of the requirements that the answer can count for.
    pub(super) fn fits(&self, answer: &Answer) -> Result<Vec<usize>, Ineligible> {
        // An inquiry with users and roles wants both.
        let roles = self.record.task.as_ref().map(|task| task.roles.as_slice()).unwrap_or_default();
        if !roles.is_empty() && !roles.iter().any(|role| answer.by.roles.contains(role)) {
            return Err(Ineligible::NotOfSet);
        }
        let proof = Proof { person: &answer.by, assurance: answer.assurance, label: answer.label.as_ref() };
        let question = self.question();
        let checked: Vec<_> = self.record.requirements.iter().map(|r| eligible(r, &proof, &question)).collect();
        let fits: Vec<usize> = checked.iter().enumerate().filter(|(_, c)| c.is_ok()).map(|(n, _)| n).collect();
        match checked.into_iter().filter_map(Result::err).min() {
            Some(closest) if fits.is_empty() => Err(closest),
            _ => Ok(fits),
        }
    }

    pub(super) fn not_eligible(&mut self, answer: &Answer, why: Ineligible) -> Outcome {
        self.audit("ineligible", Some(answer), Value::from_pairs([("why", format!("{why:?}"))]));
        let url = self.world.settings.style.url(&self.record);
        let set = self.record.need();
        let has_page = self.world.settings.style.web_url.is_some();
        let (refused, name) = match why {
            Ineligible::NeedsFactor => (Refused::NeedsFactor, if has_page { "M19" } else { "M19-plain" }),
            Ineligible::NeedsLink => (Refused::NeedsLink, if has_page { "M18" } else { "M18-plain" }),
            Ineligible::OnlyLabel => (Refused::NeedsLink, "M12-label"),
            Ineligible::IsRequester => (Refused::IsRequester, "M12-self"),
            Ineligible::IsEditor => (Refused::NotEligible, "M12-editor"),
            Ineligible::NotOfSet | Ineligible::NotTrusted => (Refused::NotEligible, "M12"),
            Ineligible::Agent => (Refused::Agent, "M12-agent"),
        };
        // Whoever is asked for by name reads the name: `it needs Alice (@alice)`.
        let requester = self.record.requester.shown.clone();
        let own = self.record.requirements.iter().all(Requirement::is_self);
        let set = if own { Fill::Name(&requester) } else { set.into() };
        self.refuse(answer, refused, name, &[("url", url.into()), ("set", set)])
    }

    pub(super) fn denied(&mut self, answer: &Answer) -> Outcome {
        if self.is_requester(answer) {
            return self.withdrawn(answer);
        }
        if let Err(why) = self.may_deny(answer) {
            return self.not_eligible(answer, why);
        }
        let reason = answer.rest.as_deref().map(note).filter(|r| !r.is_empty());
        if self.record.deny_reason == Reason::Required && reason.is_none() {
            return self.refuse(answer, Refused::NeedsReason, "M12-reason", &[("word", "deny".into())]);
        }
        if self.record.live(Ballot::Deny).any(|vote| is_by(vote, &answer.by)) {
            return self.refuse(answer, Refused::Twice, "M13-denied", &[]);
        }
        self.vote(answer, Ballot::Deny, Vec::new());
        let (n, m) = (self.record.live(Ballot::Deny).count() as u32, self.record.deny_count);
        let by = answer.by.shown();
        let reason_fill = reason.as_deref().map_or(Fill::from("no reason given"), Fill::Value);
        if n < m {
            let fills = [("by", Fill::Name(&by)), ("reason", reason_fill), ("n", n.into()), ("m", m.into())];
            self.tell_everybody(Some(answer), "M5-open", &fills);
            return Outcome::Counted { n, m };
        }
        let ending = self.ending(by.clone(), reason.clone(), None, answer.seq);
        self.settle(Happening::Refusal, ending);
        self.tell_everybody(Some(answer), "M5", &[("by", Fill::Name(&by)), ("reason", reason_fill)]);
        self.audit("denied", Some(answer), Value::from_pairs([("reason", Value::from(reason))]));
        Outcome::Ended(State::Denied)
    }

    /// Whoever may grant may refuse; for that no second factor is asked, since stopping needs less proof than starting.
    pub(super) fn may_deny(&self, answer: &Answer) -> Result<(), Ineligible> {
        let proof = Proof { person: &answer.by, assurance: answer.assurance, label: answer.label.as_ref() };
        let question = self.question();
        let check = |requirement: &Requirement| {
            let softer =
                Requirement { min_assurance: requirement.min_assurance.min(Assurance::A2), ..requirement.clone() };
            eligible(&softer, &proof, &question)
        };
        let mut closest = Ineligible::NotOfSet;
        for requirement in &self.record.requirements {
            match check(requirement) {
                Ok(()) => return Ok(()),
                Err(why) => closest = closest.min(why),
            }
        }
        Err(closest)
    }

    pub(super) fn taken_back(&mut self, answer: &Answer) -> Outcome {
        let at = self.world.now;
        let own = self.record.votes.iter_mut().filter(|vote| vote.withdrawn_at.is_none() && is_by(vote, &answer.by));
        let taken = own.map(|vote| vote.withdrawn_at = Some(at)).count();
        if taken == 0 {
            return self.refuse(answer, Refused::Nothing, "M13-none", &[]);
        }
        let (n, m) = self.count();
        self.tell_everybody(
            Some(answer),
            "M7-vote",
            &[("by", Fill::Name(&answer.by.shown())), ("n", n.into()), ("m", m.into())],
        );
        self.audit("vote_withdrawn", Some(answer), Value::Null);
        Outcome::Counted { n, m }
    }

    pub(super) fn is_requester(&self, answer: &Answer) -> bool {
        let labelled = self.world.settings.trust_legacy_bots
            && answer.label.is_some()
            && answer.label == self.record.requester.label;
        self.record.requester.is(&answer.by) && (answer.assurance >= Assurance::A1 || labelled)
    }

    pub(super) fn withdrawn(&mut self, answer: &Answer) -> Outcome {
        if !self.is_requester(answer) && !answer.is_admin {
            let requester = self.record.requester.shown.clone();
            return self.refuse(answer, Refused::NotEligible, "M12-withdraw", &[("requester", Fill::Name(&requester))]);
        }
        let by = answer.by.shown();
        let ending = self.ending(by.clone(), answer.rest.as_deref().map(note), None, answer.seq);
        self.settle(Happening::Withdrawal, ending);
        self.tell_everybody(Some(answer), "M7", &[("by", Fill::Name(&by))]);
        self.audit("withdrawn", Some(answer), Value::Null);
        Outcome::Ended(State::Withdrawn)
    }

    pub(super) fn may_break(&self, answer: &Answer, assurance: Assurance) -> Result<(), Ineligible> {
        let needed = if self.world.settings.has_factors { Assurance::A3 } else { Assurance::A2 };
        if self.record.break_glass.is_empty() {
            return Err(Ineligible::NotOfSet);
        }
        let proof = Proof { person: &answer.by, assurance, label: None };
        for set in &self.record.break_glass {
            let requirement = Requirement {
                who: set.clone(),
                count: 1,
                exclude_requester: false,
                exclude_editor: false,
                min_assurance: needed,
                phrase: None,
                phrase_hint: None,
                rules: Vec::new(),
            };
            eligible(&requirement, &proof, &self.question())?;
        }
        Ok(())
    }

    pub(super) fn broken(&mut self, answer: &Answer) -> Outcome {
        if self.record.break_glass.is_empty() {
            return self.refuse(answer, Refused::NotEligible, "M22-none", &[]);
        }
        if let Err(why) = self.may_break(answer, answer.assurance) {
            return self.not_eligible(answer, why);
        }
        let reason = answer.rest.as_deref().map(note).unwrap_or_default();
        if reason.chars().filter(|c| !c.is_whitespace()).count() < MIN_REASON {
            let n = MIN_REASON.to_string();
            return self.refuse(answer, Refused::NeedsReason, "M22-reason", &[("n", n.into())]);
        }
        if self.world.is_barred || self.world.breaks_today >= BREAKS_PER_DAY {
            let n = self.world.breaks_today;
            return self.refuse(answer, Refused::Limited, "M22-limit", &[("n", n.into())]);
        }
        if let Err(cause) = (self.world.recheck)(&self.record) {
            return self.void(Some(answer), cause);
        }
        let by = answer.by.shown();
        let missing = self.missing();
        let until = self.world.now.after(REVIEW_WITHIN);
        let ending = self.ending(by.clone(), Some(reason.clone()), None, answer.seq);
        self.settle(Happening::BrokenGlass, ending);
        self.record.bypassed = true;
        self.review_until = Some(until);
        let date = texts::clock(until, self.world.now, &self.world.settings.style.zone);
        let ids = self.execution_ids();
        let url = self.world.settings.style.url(&self.record);
        let fills = [
            ("by", Fill::Name(&by)),
            ("missing", missing.into()),
            ("reason", Fill::Value(&reason)),
            ("date", date.into()),
            ("id", ids.into()),
            ("url", url.into()),
        ];
        self.tell_everybody(Some(answer), "M22", &fills);
        if let Some(place) = &self.world.settings.audit_place
            && !self.says.iter().any(|(to, _)| *to == To::Place(place.clone()))
        {
            let said = self.said("M22", &fills);
            self.says.push((To::Place(place.clone()), said));
        }
        self.audit("bypassed", Some(answer), Value::from_pairs([("reason", reason)]));
        Outcome::Ended(State::Released)
    }

    pub(super) fn finished(&mut self, answer: &Answer) -> Outcome {
        let late = answer.received_at >= self.record.expires_at;
        if self.record.state == State::Expired && late {
            return self.late(answer);
        }
        let ending = self.record.ending.clone();
        let (at, by) = ending.map_or((self.world.now, String::new()), |e| (e.at, e.by));
        let time = texts::clock(at, self.world.now, &self.world.settings.style.zone);
        let name = if by.is_empty() { "M13-final-nobody" } else { "M13-final" };
        self.refuse(
            answer,
            Refused::Final,
            name,
            &[("state", self.record.state.as_str().into()), ("by", Fill::Name(&by)), ("time", time.into())],
        )
    }

    pub(super) fn late(&mut self, answer: &Answer) -> Outcome {
        let delta = texts::human(answer.received_at.since(self.record.expires_at));
        self.refuse(answer, Refused::Late, "M9", &[("delta", delta.into()), ("state", "expired".into())])
    }
}
