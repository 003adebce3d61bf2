//! Going through what a loop iterates, one item at a time.

use super::value::{Seq, V};

pub(super) enum Walk {
    /// A sequence, shared with whoever holds it.
    Seq(Seq, usize),
    Items(std::vec::IntoIter<V>),
}

impl Walk {
    pub(super) fn of(items: Seq) -> Walk {
        Walk::Seq(items, 0)
    }

    pub(super) fn next(&mut self) -> Option<V> {
        match self {
            Walk::Seq(items, at) => {
                let item = items.get(*at);
                *at += 1;
                item
            }
            Walk::Items(items) => items.next(),
        }
    }
}
