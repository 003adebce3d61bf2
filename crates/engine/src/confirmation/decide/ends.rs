//! How a record ends: released after the last look, void, or whatever else the table allows; once.

use super::*;

impl Deciding<'_> {
    /// Every requirement is met: the last look, then the release.
    pub(super) fn complete(&mut self, answer: Option<&Answer>) -> Outcome {
        if let Err(cause) = (self.world.recheck)(&self.record) {
            return self.void(answer, cause);
        }
        if self.record.recheck_dry_run && !self.is_looked {
            return self.look_again(answer);
        }
        if let (Some(task), Some(response)) = (&mut self.record.task, answer.and_then(|a| a.response.as_ref())) {
            task.response = serde_json::to_value(response).unwrap_or_default();
        }
        let counted: Vec<String> =
            self.record.live(Ballot::Grant).filter(|v| self.counts(v)).map(|v| v.shown.clone()).collect();
        let by = counted.join(", ");
        let last = self.record.live(Ballot::Grant).last().map(|vote| (vote.note.clone(), vote.seq));
        let (said, seq) = match answer {
            Some(answer) => (answer.rest.as_deref().map(note), answer.seq),
            None => last.unwrap_or_default(),
        };
        let ending = self.ending(by.clone(), said, None, seq);
        self.settle(Happening::Complete, ending);
        let ids = self.execution_ids();
        let url = self.world.settings.style.web_url.as_ref().and_then(|base| {
            let (id, _) = self.record.runs.first()?;
            Some(format!("{base}/#/history/{id}/general"))
        });
        let names = Text(vec![texts::Piece::Name(
            counted.iter().map(|name| texts::shown_name(name)).collect::<Vec<_>>().join(", "),
        )]);
        let time = texts::clock(self.world.now, self.world.now, &self.world.settings.style.zone);
        let edit = self.said("M4-edit", &[("by", Fill::Text(names.clone())), ("time", time.into())]);
        for copy in 0..self.record.copies.len() {
            self.says.push((To::Edit(copy), edit.clone()));
        }
        let fills = [("by", Fill::Text(names)), ("id", ids.into()), ("url", url.unwrap_or_default().into())];
        self.say_everywhere(answer, "M4", &fills);
        self.audit("released", answer, Value::from_pairs([("by", by)]));
        Outcome::Ended(State::Released)
    }

    /// Enough people agree: before anything runs, the dry runs must tell the same once more.
    fn look_again(&mut self, answer: Option<&Answer>) -> Outcome {
        let (n, m) = self.count();
        if !std::mem::replace(&mut self.record.looking, true) {
            self.effect = Some(Effect::LookAgain);
        }
        let by = answer.map(|answer| answer.by.shown()).unwrap_or_default();
        self.tell_everybody(answer, "M3-look", &[("by", Fill::Name(&by)), ("n", n.into()), ("m", m.into())]);
        Outcome::Counted { n, m }
    }

    pub(super) fn void(&mut self, answer: Option<&Answer>, cause: Cause) -> Outcome {
        let said = cause.text();
        let ending = self.ending(String::new(), None, Some(cause), answer.map_or(0, |a| a.seq));
        if !self.settle(Happening::Drift, ending) {
            return Outcome::Refused(Refused::Nothing);
        }
        self.tell_everybody(answer, "M8", &[("cause", Fill::Ours(texts::neutral(&said)))]);
        self.audit("void", answer, Value::from_pairs([("cause", said)]));
        Outcome::Ended(State::Void)
    }

    pub(super) fn ending(&self, by: String, reason: Option<String>, cause: Option<Cause>, seq: u64) -> Ending {
        Ending { at: self.world.now, by, reason: reason.filter(|r| !r.is_empty()), cause, seq }
    }

    /// The only place where the state changes; answers whether it did.
    pub(super) fn settle(&mut self, happening: Happening, ending: Ending) -> bool {
        let Some(state) = self.record.state.after(happening) else { return false };
        self.record.state = state;
        self.record.ending = Some(ending);
        self.effect = Some(match (state, self.record.kind) {
            (State::Released, Kind::Gate) => {
                self.record.release_id = Some(self.world.release_id.to_owned());
                Effect::Release { release_id: self.world.release_id.to_owned() }
            }
            _ => Effect::End,
        });
        true
    }
}
