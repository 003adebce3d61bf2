//! The names of a template, each with a number: comparing numbers is cheaper than comparing texts.

use super::ast::{GIVEN, Name};
use squall_model::Str;
use std::collections::HashMap;

/// Which names a template gives values to itself, by their numbers; all others are looked up outside.
pub(super) type Bound = Vec<bool>;

/// The names of a template and their numbers: those of [`GIVEN`] come first.
pub(super) struct Names {
    seen: Vec<Str>,
    /// Where names are in `seen`, once they are too many to look through.
    places: HashMap<Str, usize>,
    bound: Bound,
}

impl Names {
    /// So many names are compared one by one.
    const FEW: usize = 16;

    /// The name, with the number that it has from now on.
    pub(super) fn name(&mut self, text: &str) -> Name {
        if let Some(id) = GIVEN.iter().position(|given| *given == text) {
            return Name { text: text.into(), id: id as u32 };
        }
        let known = if self.seen.len() <= Names::FEW {
            self.seen.iter().position(|seen| **seen == *text)
        } else {
            self.places.get(text).copied()
        };
        let at = known.unwrap_or_else(|| {
            let at = self.seen.len();
            self.seen.push(text.into());
            self.bound.push(false);
            if at == Names::FEW {
                self.places = self.seen.iter().cloned().zip(0..).collect();
            } else if at > Names::FEW {
                self.places.insert(self.seen[at].clone(), at);
            }
            at
        });
        Name { text: self.seen[at].clone(), id: (GIVEN.len() + at) as u32 }
    }

    /// The template gives a value to it.
    pub(super) fn bind(&mut self, name: &Name) {
        self.bound[name.id as usize] = true;
    }

    pub(super) fn bound(self) -> Bound {
        self.bound
    }
}

impl Default for Names {
    fn default() -> Names {
        Names { seen: Vec::new(), places: HashMap::new(), bound: vec![true; GIVEN.len()] }
    }
}
