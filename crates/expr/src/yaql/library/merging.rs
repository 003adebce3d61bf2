//! `mergeWith`: two dictionaries into one, level by level.

use crate::Error;
use crate::yaql::call::Args;
use crate::yaql::eval::{Eval, Lambda, Outcome};
use crate::yaql::table::{Entry, Type, method, opt, req};
use crate::yaql::value::{Key, Val};
use indexmap::IndexSet;

struct Merger<'a> {
    lists: Option<Lambda<'a>>,
    items: Option<Lambda<'a>>,
}

fn merge_with<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (dict, another) = (args.val(0), args.val(1));
    let merger = Merger { lists: args.lambda(2), items: args.lambda(3) };
    merger.dicts(ev, &dict, &another, args.int(4, 0))
}

impl<'a> Merger<'a> {
    fn dicts(&self, ev: &'a Eval<'a>, dict: &Val<'a>, another: &Val<'a>, levels: i64) -> Outcome<'a> {
        let _deeper = ev.enter()?;
        let mut pairs = Vec::new();
        for (key, mine) in dict.pairs() {
            ev.budget.step(1)?;
            let merged = match another.lookup(ev, &key)? {
                Some(other) => self.values(ev, mine, other, levels)?,
                None => mine,
            };
            pairs.push((key, merged));
        }
        for (key, other) in another.pairs() {
            if dict.lookup(ev, &key)?.is_none() {
                pairs.push((key, other));
            }
        }
        ev.dict(pairs)
    }

    fn values(&self, ev: &'a Eval<'a>, mine: Val<'a>, other: Val<'a>, levels: i64) -> Outcome<'a> {
        if levels != 1 && other.is_mapping() {
            if !mine.is_mapping() {
                return Err(cannot_merge("dictionary"));
            }
            return self.dicts(ev, &mine, &other, if levels == 0 { 0 } else { levels - 1 });
        }
        if levels != 1 && other.is_sequence() {
            if !mine.is_sequence() {
                return Err(cannot_merge("list"));
            }
            return match &self.lists {
                Some(merger) => merger.call2(ev, mine, other),
                None => {
                    let mut all: IndexSet<Key<'a>> = IndexSet::new();
                    for item in ev.collect(&mine)?.into_iter().chain(ev.collect(&other)?) {
                        all.insert(ev.key(item)?);
                    }
                    ev.list(all.into_iter().map(|key| key.0).collect())
                }
            };
        }
        match &self.items {
            Some(merger) => merger.call2(ev, mine, other),
            None => Ok(other),
        }
    }
}

fn cannot_merge(kind: &str) -> Error {
    Error::new("TypeError", format!("Cannot merge a {kind} into a value of another type"))
}

pub(super) const TABLE: &[Entry] = &[method(
    "mergeWith",
    &[
        req("dict", Type::Mapping),
        req("another", Type::Mapping),
        opt("listMerger", Type::Lambda),
        opt("itemMerger", Type::Lambda),
        opt("maxLevels", Type::Int),
    ],
    merge_with,
)];
