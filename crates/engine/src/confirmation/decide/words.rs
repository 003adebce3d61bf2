//! To whom something is said, and what goes into the audit log.

use super::*;

impl Deciding<'_> {
    pub(super) fn execution_ids(&self) -> String {
        self.record.runs.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// A text with what every text may name.
    pub(super) fn said(&self, name: &str, fills: &[(&str, Fill<'_>)]) -> Text {
        let action = self.record.action();
        let mut all: Vec<(&str, Fill<'_>)> = fills.to_vec();
        all.push(("code", self.record.code.to_string().into()));
        all.push(("action", Fill::Value(&action)));
        all.push(("left", texts::left(&self.record, self.world.now).into()));
        all.push(("prefix", self.world.settings.style.prefix.clone().into()));
        text(name, &all)
    }

    /// Says something where the question stands, where the command was typed, and to whoever answered; in copies of the
    /// question too when it is the end.
    pub(super) fn tell_everybody(&mut self, answer: Option<&Answer>, name: &str, fills: &[(&str, Fill<'_>)]) {
        if self.record.state.is_final() {
            let edit = self.said(name, fills);
            for copy in 0..self.record.copies.len() {
                self.says.push((To::Edit(copy), edit.clone()));
            }
        }
        self.say_everywhere(answer, name, fills);
    }

    pub(super) fn say_everywhere(&mut self, answer: Option<&Answer>, name: &str, fills: &[(&str, Fill<'_>)]) {
        let said = self.said(name, fills);
        let mut places: Vec<Place> = Vec::new();
        // Whoever gets too many messages is not told each step of what was one line among others.
        let all = self.record.copies.iter().filter(|copy| !copy.collected).map(|copy| &copy.place);
        for place in all.chain(&self.record.origin).chain(answer.and_then(|a| a.place.as_ref())) {
            if !places.iter().any(|known| known.channel_id() == place.channel_id()) {
                places.push(place.clone());
            }
        }
        self.says.extend(places.into_iter().map(|place| (To::Place(place), said.clone())));
        // In that very room the bot posts what its caller is told.
        let is_answered_there = answer.and_then(|a| a.label.as_ref()).is_some_and(|l| self.record.was_asked_beside(l));
        if self.record.requester.label.is_some() && !is_answered_there {
            self.says.push((To::Bot, said.clone()));
        }
        if answer.is_some_and(|a| a.place.is_none()) {
            self.says.push((To::Caller, said));
        }
    }

    /// Tells the answerer alone why nothing changed.
    pub(super) fn refuse(&mut self, answer: &Answer, why: Refused, name: &str, fills: &[(&str, Fill<'_>)]) -> Outcome {
        let shown = answer.by.shown();
        let mut all = fills.to_vec();
        all.push(("who", Fill::Name(&shown)));
        let said = self.said(name, &all);
        let to = answer.place.clone().map_or(To::Caller, To::Place);
        self.says.push((to, said));
        Outcome::Refused(why)
    }

    pub(super) fn audit(&mut self, event: &'static str, by: Option<&Answer>, data: Value) {
        self.audits.push(Audit {
            event,
            person: by.map(|a| a.by.id.clone()),
            identity: by.and_then(|a| a.identity.clone()),
            assurance: by.map(|a| a.assurance),
            data,
        });
    }
}
