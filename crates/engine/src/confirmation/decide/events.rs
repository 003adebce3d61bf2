//! What time, the engine and the networks do to a record.

use super::*;

impl Deciding<'_> {
    pub(super) fn due(&mut self, due: Due) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        match due {
            // Those who agreed in time were enough; what the dry runs show now decides.
            Due::Expire if self.record.looking => Outcome::Noted,
            Due::Expire if self.world.now >= self.record.expires_at => self.expired(),
            Due::Remind(n) if n >= self.record.reminded && self.world.now < self.record.expires_at => {
                self.record.reminded = n + 1;
                let missing = self.missing();
                self.tell_everybody(None, "M16", &[("missing", missing.into())]);
                self.audit("reminded", None, Value::Null);
                Outcome::Noted
            }
            Due::Escalate(n) if n >= self.record.escalated && self.world.now < self.record.expires_at => {
                self.escalated(n)
            }
            // A deadline that was moved: the row fired too early and is written again.
            Due::Expire => {
                self.due = vec![(Due::Expire, self.record.expires_at)];
                Outcome::Refused(Refused::Nothing)
            }
            Due::Remind(_) | Due::Escalate(_) => Outcome::Refused(Refused::Nothing),
        }
    }

    pub(super) fn expired(&mut self) -> Outcome {
        let copies = &self.record.copies;
        let never = |copy: &Copy| copy.message.is_none() && !copy.collected && !copy.reposted;
        let undelivered = !copies.is_empty() && copies.iter().all(never);
        let cause = undelivered.then_some(Cause::NotDelivered);
        let ending = self.ending(String::new(), None, cause, 0);
        let timeout = texts::human(Duration::from_millis(self.record.timeout_ms));
        self.settle(Happening::Deadline, ending);
        let command = self.record.command.clone();
        let name = match &command {
            _ if undelivered => "M6-undelivered",
            Some(_) => "M6",
            None => "M6-plain",
        };
        let command = command.unwrap_or_default();
        self.tell_everybody(None, name, &[("timeout", timeout.into()), ("command", Fill::Value(&command))]);
        self.audit("expired", None, Value::from_pairs([("delivered", !undelivered)]));
        Outcome::Ended(State::Expired)
    }

    pub(super) fn escalated(&mut self, n: u32) -> Outcome {
        self.record.escalated = n + 1;
        let Some(escalation) = self.record.escalate.get(n as usize).cloned() else {
            return Outcome::Refused(Refused::Nothing);
        };
        for requirement in self.record.requirements.iter_mut().filter(|r| escalation.widens(r)) {
            for who in &escalation.add_who {
                if !requirement.who.contains(who) {
                    requirement.who.push(who.clone());
                }
            }
        }
        let set = match escalation.add_who.as_slice() {
            [] => escalation.mention.join(", "),
            added => shown_set(added),
        };
        let delta = texts::human(Duration::from_secs(escalation.after));
        self.tell_everybody(None, "M17", &[("set", set.into()), ("delta", delta.into())]);
        self.audit("escalated", None, Value::from_pairs([("number", Value::from(n))]));
        Outcome::Noted
    }

    pub(super) fn cancelled(&mut self, by: &str, cause: &Cause) -> Outcome {
        let ending = self.ending(by.to_owned(), None, Some(cause.clone()), 0);
        if !self.settle(Happening::Withdrawal, ending) {
            return Outcome::Refused(Refused::Nothing);
        }
        if by.is_empty() {
            self.tell_everybody(None, "M7-cause", &[("cause", cause.text().into())]);
        } else {
            self.tell_everybody(None, "M7", &[("by", Fill::Name(by))]);
        }
        self.audit("withdrawn", None, Value::from_pairs([("by", by.to_owned()), ("cause", cause.text())]));
        Outcome::Ended(State::Withdrawn)
    }

    pub(super) fn rechecked(&mut self) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        match (self.world.recheck)(&self.record) {
            Ok(()) => Outcome::Noted,
            Err(cause) => self.void(None, cause),
        }
    }

    pub(super) fn superseded(&mut self) -> Outcome {
        let outcome = self.void(None, Cause::Policy);
        self.ask_again = outcome == Outcome::Ended(State::Void);
        outcome
    }

    pub(super) fn reevaluated(&mut self, by: &str) -> Outcome {
        let outcome = self.cancelled(by, &Cause::Reevaluated);
        self.ask_again = outcome == Outcome::Ended(State::Withdrawn);
        outcome
    }

    pub(super) fn restarted(&mut self, away: Duration, at_most: bool) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        if self.world.now < self.record.held_at {
            return self.void(None, Cause::Clock);
        }
        if self.world.now < self.record.expires_at {
            let away = texts::human(away);
            let delta = if at_most { format!("at most {away}") } else { away };
            self.tell_everybody(None, "M23", &[("delta", delta.into())]);
        }
        // A deadline that has passed meanwhile is a due row like any other, after the answers that came in time.
        Outcome::Noted
    }

    /// What happened after the backup was made, nobody knows here: a yes may have been given, and used, elsewhere.
    pub(super) fn restored(&mut self) -> Outcome {
        match self.record.state.is_final() {
            true => Outcome::Refused(Refused::Nothing),
            false if self.world.now >= self.record.expires_at => self.expired(),
            false => self.void(None, Cause::Restore),
        }
    }

    pub(super) fn clock_back(&mut self, step: Duration) -> Outcome {
        if step > CLOCK_STEP { self.void(None, Cause::Clock) } else { Outcome::Refused(Refused::Nothing) }
    }

    pub(super) fn delivered(&mut self, copy: usize, message: Option<&String>) -> Outcome {
        let Some(copy) = self.record.copies.get_mut(copy) else { return Outcome::Refused(Refused::Nothing) };
        copy.failed = message.is_none();
        if message.is_some() {
            copy.message = message.cloned();
        }
        self.audit(if message.is_some() { "question_sent" } else { "question_failed" }, None, Value::Null);
        Outcome::Noted
    }

    /// Posted once more; whoever deletes it again finds it under `pending`.
    pub(super) fn deleted(&mut self, copy: usize) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        let Some(known) = self.record.copies.get_mut(copy) else { return Outcome::Refused(Refused::Nothing) };
        known.message = None;
        let again = !std::mem::replace(&mut known.reposted, true);
        if again {
            let asked = texts::question(&self.record, self.world.now, &self.world.settings.style);
            self.says.push((To::Ask(copy), asked));
        }
        self.audit("question_deleted", None, Value::from_pairs([("posted_again", again)]));
        Outcome::Noted
    }

    pub(super) fn on_call(&mut self, found: &BTreeMap<ActionRef, Vec<PersonId>>) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        self.record.found.on_call.clone_from(found);
        Outcome::Noted
    }

    pub(super) fn looked(&mut self, now: &[DryRan]) -> Outcome {
        if self.record.state.is_final() || !std::mem::replace(&mut self.record.looking, false) {
            return Outcome::Refused(Refused::Nothing);
        }
        if !self.record.found.is_told_again_by(now) {
            return self.void(None, Cause::DryRunDiffers);
        }
        self.is_looked = true;
        let (n, m) = self.count();
        match n >= m {
            true => self.complete(None),
            // Somebody took their yes back meanwhile.
            false if self.world.now >= self.record.expires_at => self.expired(),
            false => Outcome::Counted { n, m },
        }
    }

    pub(super) fn delayed(&mut self, delay: Duration) -> Outcome {
        let was_sent = self.record.copies.iter().any(|copy| copy.message.is_some());
        if self.record.state.is_final() || self.record.moved || was_sent || self.world.now >= self.record.expires_at {
            return Outcome::Refused(Refused::Nothing);
        }
        self.record.moved = true;
        self.record.expires_at = self.record.expires_at.after(delay);
        self.due = vec![(Due::Expire, self.record.expires_at)];
        Outcome::Noted
    }
}
