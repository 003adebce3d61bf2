//! Queries over whatever can be iterated. Nearly all are lazy: they give a generator that asks its source for
//! one item when it is asked for one.

use super::math::{larger, smaller};
use crate::Error;
use crate::yaql::call::Args;
use crate::yaql::eval::{Eval, Lambda, Outcome};
use crate::yaql::operators;
use crate::yaql::table::{Entry, Param, Type, both, function, keywords, method, opt, req, rest};
use crate::yaql::value::{Cursor, Iter, Key, Memory, Source, Val, ViewKind};
use indexmap::{IndexMap, IndexSet};
use num_bigint::BigInt;
use num_traits::Signed;
use squall_model::Value;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A whole number of any size; the type of the parameter has made sure that it is one.
fn whole<'a>(args: &mut Args<'a>, at: usize, default: i64) -> BigInt {
    match args.given(at) {
        Some(Val::Plain(value)) => crate::yaql::number::Number::integer(&value).unwrap_or_default(),
        _ => BigInt::from(default),
    }
}

fn filter<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let predicate = args.code(1);
    let mut cursor = ev.walk(&items)?;
    ev.generator(items.nest().max(predicate.nest()), move |ev: &'a Eval<'a>| {
        while let Some(item) = cursor.next(ev)? {
            if predicate.call(ev, item.clone())?.is_truthy() {
                return Ok(Some(item));
            }
        }
        Ok(None)
    })
}

fn select<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let selector = args.code(1);
    let mut cursor = ev.walk(&items)?;
    ev.generator(items.nest().max(selector.nest()), move |ev: &'a Eval<'a>| match cursor.next(ev)? {
        Some(item) => selector.call(ev, item).map(Some),
        None => Ok(None),
    })
}

fn select_many<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let selector = args.code(1);
    let mut cursor = ev.walk(&items)?;
    let mut inner: Option<Cursor<'a>> = None;
    ev.generator(items.nest().max(selector.nest()), move |ev: &'a Eval<'a>| {
        loop {
            if let Some(source) = &mut inner {
                match source.next(ev)? {
                    Some(item) => return Ok(Some(item)),
                    None => inner = None,
                }
            }
            let Some(item) = cursor.next(ev)? else { return Ok(None) };
            let selected = selector.call(ev, item)?;
            if !selected.is_iterable() {
                return Ok(Some(selected));
            }
            inner = Some(ev.walk(&selected)?);
        }
    })
}

fn skip<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let mut count = args.int(1, 0);
    if count < 0 {
        return Err(bad_slice("Indices for islice() must be None or an integer: 0 <= x <= sys.maxsize."));
    }
    let mut cursor = ev.walk(&items)?;
    ev.generator(items.nest(), move |ev: &'a Eval<'a>| {
        while count > 0 {
            count -= 1;
            if cursor.next(ev)?.is_none() {
                count = 0;
            }
        }
        cursor.next(ev)
    })
}

fn bad_slice(message: &str) -> Error {
    Error::new("ValueError", message)
}

fn limit<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let mut count = args.int(1, 0);
    if count < 0 {
        return Err(bad_slice("Stop argument for islice() must be None or an integer: 0 <= x <= sys.maxsize."));
    }
    let mut cursor = ev.walk(&items)?;
    ev.generator(items.nest(), move |ev: &'a Eval<'a>| {
        if count == 0 {
            return Ok(None);
        }
        count -= 1;
        cursor.next(ev)
    })
}

/// One iterable after the other.
pub(in crate::yaql) fn chain<'a>(ev: &'a Eval<'a>, parts: Vec<Val<'a>>) -> Outcome<'a> {
    let nest = parts.iter().map(Val::nest).max().unwrap_or(0);
    let mut parts = parts.into_iter();
    let mut current: Option<Cursor<'a>> = None;
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        loop {
            if let Some(cursor) = &mut current
                && let Some(item) = cursor.next(ev)?
            {
                return Ok(Some(item));
            }
            match parts.next() {
                Some(part) => current = Some(ev.walk(&part)?),
                None => return Ok(None),
            }
        }
    })
}

fn append<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let more = ev.list(args.rest_vals())?;
    chain(ev, vec![items, more])
}

fn concat<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    chain(ev, args.rest_vals())
}

fn distinct<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let selector = args.lambda(1);
    let mut cursor = ev.walk(&items)?;
    let mut seen: IndexSet<Key<'a>> = IndexSet::new();
    let nest = items.nest().max(selector.as_ref().map_or(0, Lambda::nest));
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        while let Some(item) = cursor.next(ev)? {
            let key = match &selector {
                Some(selector) => selector.call(ev, item.clone())?,
                None => item.clone(),
            };
            ev.budget.bytes(48)?;
            if seen.insert(ev.key(key)?) {
                return Ok(Some(item));
            }
        }
        Ok(None)
    })
}

fn enumerate<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let start = match args.given(1) {
        Some(val) if val.is_null() => {
            return Err(Error::new("TypeError", "'NoneType' object cannot be interpreted as an integer"));
        }
        Some(Val::Plain(Value::Int(n))) => n,
        Some(val) => i64::from(val.is_truthy()),
        None => 0,
    };
    let mut cursor = ev.walk(&items)?;
    let mut i = start;
    ev.generator(items.nest(), move |ev: &'a Eval<'a>| match cursor.next(ev)? {
        Some(item) => {
            let pair = ev.mutable_list(vec![Val::from(i), item])?;
            i = i.saturating_add(1);
            Ok(Some(pair))
        }
        None => Ok(None),
    })
}

fn test<'a>(ev: &'a Eval<'a>, predicate: Option<&Lambda<'a>>, item: Val<'a>) -> Result<bool, Error> {
    match predicate {
        Some(predicate) => Ok(predicate.call(ev, item)?.is_truthy()),
        None => Ok(item.is_truthy()),
    }
}

fn any<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let predicate = args.lambda(1);
    let mut cursor = ev.walk(&items)?;
    while let Some(item) = cursor.next(ev)? {
        // Without a predicate any item will do, even a false one.
        if predicate.is_none() || test(ev, predicate.as_ref(), item)? {
            return Ok(Val::from(true));
        }
    }
    Ok(Val::from(false))
}

fn all<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let predicate = args.lambda(1);
    let mut cursor = ev.walk(&items)?;
    while let Some(item) = cursor.next(ev)? {
        if !test(ev, predicate.as_ref(), item)? {
            return Ok(Val::from(false));
        }
    }
    Ok(Val::from(true))
}

fn count<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let mut cursor = ev.walk(&items)?;
    let mut count = 0_i64;
    while cursor.next(ev)?.is_some() {
        count += 1;
    }
    Ok(Val::from(count))
}

/// A generator that can be walked again; anything else is that already.
pub(in crate::yaql) fn memorized<'a>(ev: &'a Eval<'a>, val: &Val<'a>) -> Outcome<'a> {
    let Val::Iter(iter) = val else { return Ok(val.clone()) };
    let memory = Memory { seen: RefCell::default(), rest: RefCell::new(ev.walk(val)?) };
    let nest = ev.deeper(iter.nest)?;
    Ok(Val::Iter(Iter { source: Source::Memorized(Rc::new(memory)), nest }))
}

fn memorize<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    memorized(ev, &args.val(0))
}

/// Folds from `seed`, or from the first item.
fn fold<'a>(
    ev: &'a Eval<'a>,
    items: &Val<'a>,
    seed: Option<Val<'a>>,
    mut step: impl FnMut(Val<'a>, Val<'a>) -> Outcome<'a>,
) -> Outcome<'a> {
    let mut cursor = ev.walk(items)?;
    let mut total = match seed {
        Some(seed) => seed,
        None => cursor
            .next(ev)?
            .ok_or_else(|| Error::new("TypeError", "reduce() of empty sequence with no initial value"))?,
    };
    while let Some(item) = cursor.next(ev)? {
        total = step(total, item)?;
    }
    Ok(total)
}

fn sum<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    fold(ev, &items, args.given(1), |a, b| operators::add(ev, &a, &b))
}

fn max<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    fold(ev, &items, args.given(1), larger)
}

fn min<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    fold(ev, &items, args.given(1), smaller)
}

fn aggregate<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let selector = args.code(1);
    fold(ev, &items, args.given(2), |a, b| selector.call2(ev, a, b))
}

fn accumulate<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let selector = args.code(1);
    let seed = args.given(2);
    let mut cursor = ev.walk(&items)?;
    let nest = items.nest().max(selector.nest()).max(seed.as_ref().map_or(0, Val::nest));
    let mut seed = seed;
    let mut total: Option<Val<'a>> = None;
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        let next = match (total.take(), seed.take()) {
            (None, Some(seed)) => seed,
            (None, None) => cursor
                .next(ev)?
                .ok_or_else(|| Error::new("TypeError", "accumulate() of empty sequence with no initial value"))?,
            (Some(before), _) => match cursor.next(ev)? {
                Some(item) => selector.call2(ev, before, item)?,
                None => return Ok(None),
            },
        };
        total = Some(next.clone());
        Ok(Some(next))
    })
}

fn exhausted(message: &str) -> Error {
    Error::new("StopIteration", message)
}

fn first<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let found = ev.walk(&items)?.next(ev)?;
    found.or_else(|| args.given(1)).ok_or_else(|| exhausted(""))
}

fn last<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let found = if items.is_sequence() {
        items.length().and_then(|length| items.member(length.checked_sub(1)?))
    } else {
        let mut cursor = ev.walk(&items)?;
        let mut last = None;
        while let Some(item) = cursor.next(ev)? {
            last = Some(item);
        }
        last
    };
    found.or_else(|| args.given(1)).ok_or_else(|| exhausted(""))
}

fn single<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let mut cursor = ev.walk(&items)?;
    let only = cursor.next(ev)?.ok_or_else(|| exhausted(""))?;
    match cursor.next(ev)? {
        None => Ok(only),
        Some(_) => Err(exhausted("Collection contains more than one item")),
    }
}

fn numbers<'a>(ev: &'a Eval<'a>, from: BigInt, stop: Option<BigInt>, step: BigInt) -> Outcome<'a> {
    let mut next = from;
    let done = move |next: &BigInt, step: &BigInt| {
        stop.as_ref().is_some_and(|stop| if step.is_negative() { next <= stop } else { next >= stop })
    };
    ev.generator(0, move |ev: &'a Eval<'a>| {
        if done(&next, &step) {
            return Ok(None);
        }
        ev.budget.step(1)?;
        let item = Value::big(next.clone());
        next += &step;
        Ok(Some(Val::Plain(item)))
    })
}

fn range_to<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let stop = whole(&mut args, 0, 0);
    numbers(ev, BigInt::default(), Some(stop), BigInt::from(1))
}

fn range<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (start, stop, step) = (whole(&mut args, 0, 0), whole(&mut args, 1, 0), whole(&mut args, 2, 1));
    if step == BigInt::default() {
        return Err(Error::new("ValueError", "range() arg 3 must not be zero"));
    }
    numbers(ev, start, Some(stop), step)
}

fn sequence<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (start, step) = (whole(&mut args, 0, 0), whole(&mut args, 1, 1));
    numbers(ev, start, None, step)
}

fn group_by<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let (key, value, aggregator) = (args.code(1), args.lambda(2), args.lambda(3));
    let mut groups: IndexMap<Key<'a>, Vec<Val<'a>>> = IndexMap::new();
    let mut cursor = ev.walk(&items)?;
    while let Some(item) = cursor.next(ev)? {
        ev.budget.bytes(48)?;
        let val = match &value {
            Some(value) => value.call(ev, item.clone())?,
            None => item.clone(),
        };
        let key = ev.key(key.call(ev, item)?)?;
        groups.entry(key).or_default().push(val);
    }
    let nest = groups.iter().flat_map(|(key, vals)| std::iter::once(&key.0).chain(vals)).map(Val::nest).max();
    let nest = nest.unwrap_or(0).max(aggregator.as_ref().map_or(0, Lambda::nest));
    let mut aggregation = Aggregation { aggregator, may_fall_back: true, failed: None };
    let mut left = groups.into_iter();
    ev.generator(nest, move |ev: &'a Eval<'a>| match left.next() {
        Some((key, vals)) => aggregation.apply(ev, key.0, vals).map(Some),
        None => Ok(None),
    })
}

/// How groups are put together. Before version 1.1.2 of the language the aggregator got `[key, values]` and
/// gave a pair; that form is tried when the present one fails on the first groups in the way it then would.
struct Aggregation<'a> {
    aggregator: Option<Lambda<'a>>,
    may_fall_back: bool,
    failed: Option<Error>,
}

impl<'a> Aggregation<'a> {
    fn apply(&mut self, ev: &'a Eval<'a>, key: Val<'a>, vals: Vec<Val<'a>>) -> Outcome<'a> {
        let first = vals.first().cloned();
        let count = vals.len();
        let vals = ev.list(vals)?;
        let Some(aggregator) = &self.aggregator else { return ev.list(vec![key, vals]) };
        if self.failed.is_none() {
            match aggregator.call(ev, vals.clone()) {
                Ok(result) => {
                    let may_be_old = count == 2
                        && result.is_sequence()
                        && result.length() == Some(2)
                        && match (result.member(0), first) {
                            (Some(a), Some(b)) => ev.equal(&a, &b)?,
                            _ => false,
                        };
                    self.may_fall_back &= may_be_old;
                    return ev.list(vec![key, result]);
                }
                Err(e) if falls_back(&e) => self.failed = Some(e),
                Err(e) => return Err(e),
            }
        }
        if self.may_fall_back {
            let pair = ev.list(vec![key, vals])?;
            if let Ok(result) = aggregator.call(ev, pair)
                && (result.length() == Some(2)
                    || matches!(&result, Val::Plain(Value::Str(s)) if s.chars().count() == 2))
            {
                return Ok(result);
            }
        }
        Err(self.failed.clone().unwrap_or_else(|| exhausted("")))
    }
}

fn falls_back(error: &Error) -> bool {
    matches!(&*error.class, "NoMatchingMethodException" | "NoMatchingFunctionException" | "IndexError")
}

fn walks<'a>(ev: &'a Eval<'a>, vals: &[Val<'a>]) -> Result<Vec<Cursor<'a>>, Error> {
    vals.iter().map(|val| ev.walk(val)).collect()
}

fn nest_of(vals: &[Val<'_>]) -> u32 {
    vals.iter().map(Val::nest).max().unwrap_or(0)
}

fn zip<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let vals = args.rest_vals();
    let mut cursors = walks(ev, &vals)?;
    ev.generator(nest_of(&vals), move |ev: &'a Eval<'a>| {
        let mut row = Vec::with_capacity(cursors.len());
        for cursor in &mut cursors {
            match cursor.next(ev)? {
                Some(item) => row.push(item),
                None => return Ok(None),
            }
        }
        ev.list(row).map(Some)
    })
}

fn zip_longest<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let vals = args.rest_vals();
    let mut filler = Val::NULL;
    for (name, val) in std::mem::take(&mut args.named) {
        if &*name == "default" {
            filler = val;
        }
    }
    let nest = nest_of(&vals).max(filler.nest());
    let mut cursors: Vec<Option<Cursor<'a>>> = walks(ev, &vals)?.into_iter().map(Some).collect();
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        let mut row = Vec::with_capacity(cursors.len());
        for cursor in &mut cursors {
            let item = match cursor {
                Some(source) => source.next(ev)?,
                None => None,
            };
            if item.is_none() {
                *cursor = None;
            }
            row.push(item.unwrap_or_else(|| filler.clone()));
        }
        if cursors.iter().all(Option::is_none) { Ok(None) } else { ev.list(row).map(Some) }
    })
}

fn join<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (left, right) = (args.val(0), memorized(ev, &args.val(1))?);
    let (predicate, selector) = (args.code(2), args.code(3));
    let nest = left.nest().max(right.nest()).max(predicate.nest()).max(selector.nest());
    let mut outer = ev.walk(&left)?;
    let mut current: Option<(Val<'a>, Cursor<'a>)> = None;
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        loop {
            if let Some((mine, others)) = &mut current {
                while let Some(other) = others.next(ev)? {
                    if predicate.call2(ev, mine.clone(), other.clone())?.is_truthy() {
                        return selector.call2(ev, mine.clone(), other).map(Some);
                    }
                }
            }
            match outer.next(ev)? {
                Some(item) => current = Some((item, ev.walk(&right)?)),
                None => return Ok(None),
            }
        }
    })
}

fn repeat<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let val = args.val(0);
    let mut left = args.int(1, -1);
    ev.generator(val.nest(), move |ev: &'a Eval<'a>| {
        ev.budget.step(1)?;
        if left == 0 {
            return Ok(None);
        }
        left -= i64::from(left > 0);
        Ok(Some(val.clone()))
    })
}

fn cycle<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = memorized(ev, &args.val(0))?;
    let mut cursor = ev.walk(&items)?;
    ev.generator(items.nest(), move |ev: &'a Eval<'a>| {
        if let Some(item) = cursor.next(ev)? {
            return Ok(Some(item));
        }
        cursor = ev.walk(&items)?;
        cursor.next(ev)
    })
}

fn take_while<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let predicate = args.code(1);
    let mut cursor = ev.walk(&items)?;
    let mut done = false;
    ev.generator(items.nest().max(predicate.nest()), move |ev: &'a Eval<'a>| {
        if done {
            return Ok(None);
        }
        match cursor.next(ev)? {
            Some(item) if predicate.call(ev, item.clone())?.is_truthy() => Ok(Some(item)),
            _ => {
                done = true;
                Ok(None)
            }
        }
    })
}

fn skip_while<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let predicate = args.code(1);
    let mut cursor = ev.walk(&items)?;
    let mut skipping = true;
    ev.generator(items.nest().max(predicate.nest()), move |ev: &'a Eval<'a>| {
        while let Some(item) = cursor.next(ev)? {
            if !skipping || !predicate.call(ev, item.clone())?.is_truthy() {
                skipping = false;
                return Ok(Some(item));
            }
        }
        Ok(None)
    })
}

/// Whether an item equals `wanted`; a generator is walked up to it.
pub(in crate::yaql) fn has<'a>(ev: &'a Eval<'a>, items: &Val<'a>, wanted: &Val<'a>) -> Result<bool, Error> {
    if let Val::Set(set) = items {
        return Ok(set.items.contains(&ev.key(wanted.clone())?));
    }
    if let Val::View(view) = items {
        match view.kind {
            ViewKind::Keys => drop(ev.key(wanted.clone())?),
            // Python takes what is looked for apart into a key and a value first.
            ViewKind::Items if wanted.is_iterable() && wanted.length() == Some(2) => {}
            ViewKind::Items => {
                return Err(Error::new("ValueError", "what is looked for must be a pair of key and value"));
            }
            ViewKind::Values => {}
        }
    }
    Ok(position(ev, items, false, |item| ev.equal(&item, wanted))? >= 0)
}

/// The index of the first or last item that passes; -1 when none does.
fn position<'a>(
    ev: &'a Eval<'a>,
    items: &Val<'a>,
    last: bool,
    mut passes: impl FnMut(Val<'a>) -> Result<bool, Error>,
) -> Result<i64, Error> {
    let mut cursor = ev.walk(items)?;
    let (mut i, mut found) = (0, -1);
    while let Some(item) = cursor.next(ev)? {
        if passes(item)? {
            found = i;
            if !last {
                break;
            }
        }
        i += 1;
    }
    Ok(found)
}

fn index_of<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (items, wanted) = (args.val(0), args.val(1));
    position(ev, &items, false, |item| ev.equal(&item, &wanted)).map(Val::from)
}

fn last_index_of<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (items, wanted) = (args.val(0), args.val(1));
    position(ev, &items, true, |item| ev.equal(&item, &wanted)).map(Val::from)
}

fn index_where<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (items, predicate) = (args.val(0), args.code(1));
    position(ev, &items, false, |item| Ok(predicate.call(ev, item)?.is_truthy())).map(Val::from)
}

fn last_index_where<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (items, predicate) = (args.val(0), args.code(1));
    position(ev, &items, true, |item| Ok(predicate.call(ev, item)?.is_truthy())).map(Val::from)
}

fn slice<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let length = args.int(1, 0);
    let mut cursor = ev.walk(&items)?;
    ev.generator(items.nest(), move |ev: &'a Eval<'a>| {
        if length < 0 {
            return Err(bad_slice("Stop argument for islice() must be None or an integer: 0 <= x <= sys.maxsize."));
        }
        let mut part = Vec::new();
        while (part.len() as u64) < length.unsigned_abs() {
            let Some(item) = cursor.next(ev)? else { break };
            part.push(item);
        }
        if part.is_empty() { Ok(None) } else { ev.list(part).map(Some) }
    })
}

fn split_where<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let predicate = args.code(1);
    let mut cursor = ev.walk(&items)?;
    let mut done = false;
    ev.generator(items.nest().max(predicate.nest()), move |ev: &'a Eval<'a>| {
        let mut part = Vec::new();
        while !done {
            match cursor.next(ev)? {
                Some(item) if predicate.call(ev, item.clone())?.is_truthy() => return ev.list(part).map(Some),
                Some(item) => part.push(item),
                None => done = true,
            }
        }
        if part.is_empty() { Ok(None) } else { ev.list(part).map(Some) }
    })
}

fn slice_where<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let predicate = args.code(1);
    let mut cursor = ev.walk(&items)?;
    // The first item of the next part, with what the predicate said of it.
    let mut held: Option<(Val<'a>, Val<'a>)> = None;
    ev.generator(items.nest().max(predicate.nest()), move |ev: &'a Eval<'a>| {
        let mut part = Vec::new();
        let mut verdict = held.take().map(|(item, verdict)| {
            part.push(item);
            verdict
        });
        while let Some(item) = cursor.next(ev)? {
            let new = predicate.call(ev, item.clone())?;
            if let Some(old) = &verdict
                && !ev.equal(old, &new)?
            {
                held = Some((item, new));
                return ev.list(part).map(Some);
            }
            verdict = Some(new);
            part.push(item);
        }
        if part.is_empty() { Ok(None) } else { ev.list(part).map(Some) }
    })
}

fn split_at<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let mut items = ev.collect(&args.val(0))?;
    let index = args.int(1, 0);
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let at = if index < 0 { index.saturating_add(length).max(0) } else { index.min(length) };
    let tail = items.split_off(usize::try_from(at).unwrap_or(0));
    let parts = vec![ev.list(items)?, ev.list(tail)?];
    ev.mutable_list(parts)
}

fn reverse<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let mut all = ev.collect(&items)?;
    ev.generator(nest_of(&all).max(items.nest()), move |_: &'a Eval<'a>| Ok(all.pop()))
}

fn generate<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let initial = args.val(0);
    let (predicate, producer, selector) = (args.code(1), args.code(2), args.lambda(3));
    let mut past: Option<IndexSet<Key<'a>>> = args.flag(4, false).then(IndexSet::new);
    let nest = initial.nest().max(predicate.nest()).max(producer.nest());
    let nest = nest.max(selector.as_ref().map_or(0, Lambda::nest));
    let mut next = Some(initial);
    let mut last: Option<Val<'a>> = None;
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        ev.budget.step(1)?;
        if let Some(before) = last.take() {
            next = Some(producer.call(ev, before)?);
        }
        let Some(item) = next.take() else { return Ok(None) };
        if !predicate.call(ev, item.clone())?.is_truthy() {
            return Ok(None);
        }
        if let Some(past) = &mut past {
            ev.budget.bytes(48)?;
            if !past.insert(ev.key(item.clone())?) {
                return Ok(None);
            }
        }
        last = Some(item.clone());
        match &selector {
            Some(selector) => selector.call(ev, item).map(Some),
            None => Ok(Some(item)),
        }
    })
}

fn generate_many<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let initial = args.val(0);
    let (producer, selector) = (args.code(1), args.lambda(2));
    let mut past: Option<IndexSet<Key<'a>>> = args.flag(3, false).then(IndexSet::new);
    let depth_first = args.flag(4, false);
    let nest = initial.nest().max(producer.nest()).max(selector.as_ref().map_or(0, Lambda::nest));
    let mut queue = VecDeque::from([initial]);
    // What was given out last is asked for more only when the next one is wanted.
    let mut last: Option<Val<'a>> = None;
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        if let Some(before) = last.take() {
            let produced = producer.call(ev, before)?;
            let produced = children(ev, &produced)?;
            ev.budget.bytes(24 * produced.len() as u64)?;
            if depth_first {
                produced.into_iter().rev().for_each(|item| queue.push_front(item));
            } else {
                queue.extend(produced);
            }
        }
        while let Some(item) = queue.pop_front() {
            ev.budget.step(1)?;
            if let Some(past) = &mut past {
                ev.budget.bytes(48)?;
                if !past.insert(ev.key(item.clone())?) {
                    continue;
                }
            }
            last = Some(item.clone());
            return match &selector {
                Some(selector) => selector.call(ev, item).map(Some),
                None => Ok(Some(item)),
            };
        }
        Ok(None)
    })
}

/// What Python iterates: also the characters of a text and the keys of a dictionary.
fn children<'a>(ev: &'a Eval<'a>, val: &Val<'a>) -> Result<Vec<Val<'a>>, Error> {
    if let Val::Plain(Value::Str(text)) = val {
        ev.budget.bytes(text.len() as u64 * 40)?;
        return Ok(text.chars().map(|c| Val::from(c.to_string())).collect());
    }
    if val.is_mapping() {
        return Ok(val.pairs().into_iter().map(|(key, _)| key).collect());
    }
    ev.collect(val)
}

fn default_if_empty<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let default = args.val(1);
    if let Some(length) = items.length() {
        return Ok(if length == 0 { default } else { items });
    }
    let items = memorized(ev, &items)?;
    let is_empty = ev.walk(&items)?.next(ev)?.is_none();
    Ok(if is_empty { default } else { items })
}

pub(super) const ITEMS: Param = req("collection", Type::Iterable);
const PREDICATE: Param = req("predicate", Type::Lambda);
pub(super) const SELECTOR: Param = req("selector", Type::Lambda);
const INT_COUNT: Param = req("count", Type::Int);

pub(in crate::yaql) const TABLE: &[Entry] = &[
    method("where", &[ITEMS, PREDICATE], filter),
    method("filter", &[ITEMS, PREDICATE], filter),
    method("select", &[ITEMS, SELECTOR], select),
    method("map", &[ITEMS, SELECTOR], select),
    method("selectMany", &[ITEMS, SELECTOR], select_many),
    method("skip", &[ITEMS, INT_COUNT], skip),
    method("limit", &[ITEMS, INT_COUNT], limit),
    method("take", &[ITEMS, INT_COUNT], limit),
    both("append", &[ITEMS, rest("args", Type::Any)], append),
    both("concat", &[rest("collections", Type::Iterable)], concat),
    both("distinct", &[ITEMS, opt("keySelector", Type::Lambda)], distinct),
    both("enumerate", &[ITEMS, opt("start", Type::IntOrNull)], enumerate),
    both("any", &[ITEMS, opt("predicate", Type::Lambda)], any),
    both("all", &[ITEMS, opt("predicate", Type::Lambda)], all),
    both("len", &[req("collection", Type::Generator)], count),
    method("count", &[ITEMS], count),
    method("memorize", &[ITEMS], memorize),
    method("sum", &[ITEMS, opt("initial", Type::Any)], sum),
    method("max", &[ITEMS, opt("initial", Type::Any)], max),
    method("min", &[ITEMS, opt("initial", Type::Any)], min),
    method("first", &[ITEMS, opt("default", Type::Any)], first),
    method("last", &[ITEMS, opt("default", Type::Any)], last),
    method("single", &[ITEMS], single),
    function("range", &[req("stop", Type::Int)], range_to),
    function("range", &[req("start", Type::Int), req("stop", Type::Int), opt("step", Type::Int)], range),
    function("sequence", &[opt("start", Type::Int), opt("step", Type::Int)], sequence),
    method(
        "groupBy",
        &[ITEMS, req("keySelector", Type::Lambda), opt("valueSelector", Type::Lambda), opt("aggregator", Type::Lambda)],
        group_by,
    ),
    method("zip", &[rest("collections", Type::Iterable)], zip),
    method("zipLongest", &[rest("collections", Type::Iterable), keywords("kwargs")], zip_longest),
    method(
        "join",
        &[req("collection1", Type::Iterable), req("collection2", Type::Iterable), PREDICATE, SELECTOR],
        join,
    ),
    method("repeat", &[req("value", Type::Any), opt("times", Type::Int)], repeat),
    method("cycle", &[ITEMS], cycle),
    method("takeWhile", &[ITEMS, PREDICATE], take_while),
    method("skipWhile", &[ITEMS, PREDICATE], skip_while),
    method("indexOf", &[ITEMS, req("item", Type::Any)], index_of),
    method("lastIndexOf", &[ITEMS, req("item", Type::Any)], last_index_of),
    method("indexWhere", &[ITEMS, PREDICATE], index_where),
    method("lastIndexWhere", &[ITEMS, PREDICATE], last_index_where),
    method("slice", &[ITEMS, req("length", Type::Int)], slice),
    method("splitWhere", &[ITEMS, PREDICATE], split_where),
    method("sliceWhere", &[ITEMS, PREDICATE], slice_where),
    method("splitAt", &[ITEMS, req("index", Type::Int)], split_at),
    method("aggregate", &[ITEMS, SELECTOR, opt("seed", Type::Any)], aggregate),
    method("reduce", &[ITEMS, SELECTOR, opt("seed", Type::Any)], aggregate),
    method("accumulate", &[ITEMS, SELECTOR, opt("seed", Type::Any)], accumulate),
    method("reverse", &[ITEMS], reverse),
    function(
        "generate",
        &[
            req("initial", Type::Any),
            PREDICATE,
            req("producer", Type::Lambda),
            opt("selector", Type::Lambda),
            opt("decycle", Type::Bool),
        ],
        generate,
    ),
    function(
        "generateMany",
        &[
            req("initial", Type::Any),
            req("producer", Type::Lambda),
            opt("selector", Type::Lambda),
            opt("decycle", Type::Bool),
            opt("depthFirst", Type::Bool),
        ],
        generate_many,
    ),
    method("defaultIfEmpty", &[ITEMS, req("default", Type::Iterable)], default_if_empty),
];
