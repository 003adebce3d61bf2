//! `orderBy` and what refines it: lazy, stable, and by the comparisons of the language.

use super::queries::{ITEMS, SELECTOR};
use crate::Error;
use crate::yaql::call::Args;
use crate::yaql::eval::{Eval, Lambda, Outcome};
use crate::yaql::operators;
use crate::yaql::table::{Entry, Type, method, req};
use crate::yaql::tree::Binary;
use crate::yaql::value::{Ordering, Val};
use std::cell::RefCell;
use std::rc::Rc;

fn order<'a>(ev: &'a Eval<'a>, mut args: Args<'a>, ascending: bool) -> Outcome<'a> {
    let source = args.val(0);
    let selector = args.code(1);
    let nest = ev.deeper(source.nest().max(selector.nest()))?;
    let fields = RefCell::new(vec![(selector, ascending)]);
    Ok(Val::Ordering(Rc::new(Ordering { source, fields, sorted: RefCell::default(), nest })))
}

fn order_by<'a>(ev: &'a Eval<'a>, args: Args<'a>) -> Outcome<'a> {
    order(ev, args, true)
}

fn order_by_descending<'a>(ev: &'a Eval<'a>, args: Args<'a>) -> Outcome<'a> {
    order(ev, args, false)
}

fn then<'a>(ev: &'a Eval<'a>, mut args: Args<'a>, ascending: bool) -> Outcome<'a> {
    let Val::Ordering(before) = args.val(0) else { return Ok(Val::NULL) };
    let selector = args.code(1);
    let nest = ev.deeper(before.nest.max(selector.nest()))?;
    let mut fields = before.fields.borrow().clone();
    fields.push((selector, ascending));
    let source = before.source.clone();
    Ok(Val::Ordering(Rc::new(Ordering { source, fields: RefCell::new(fields), sorted: RefCell::default(), nest })))
}

fn then_by<'a>(ev: &'a Eval<'a>, args: Args<'a>) -> Outcome<'a> {
    then(ev, args, true)
}

fn then_by_descending<'a>(ev: &'a Eval<'a>, args: Args<'a>) -> Outcome<'a> {
    then(ev, args, false)
}

/// The items of an ordering in order. A selector is asked at most once for each item, and only when what
/// stands before it does not decide.
pub(in crate::yaql) fn sorted<'a>(ev: &'a Eval<'a>, ordering: &Ordering<'a>) -> Result<Rc<Vec<Val<'a>>>, Error> {
    if let Some(done) = &*ordering.sorted.borrow() {
        return Ok(done.clone());
    }
    let items = ev.collect(&ordering.source)?;
    let fields = ordering.fields.borrow().clone();
    let done = if items.len() < 2 { items } else { sort(ev, items, &fields)? };
    let done = Rc::new(done);
    *ordering.sorted.borrow_mut() = Some(done.clone());
    Ok(done)
}

/// An item with what the selectors said of it so far.
struct Keyed<'a> {
    keys: RefCell<Vec<Val<'a>>>,
    item: Val<'a>,
}

impl<'a> Keyed<'a> {
    fn key(&self, ev: &'a Eval<'a>, fields: &[(Lambda<'a>, bool)], at: usize) -> Outcome<'a> {
        if let Some(known) = self.keys.borrow().get(at) {
            return Ok(known.clone());
        }
        let Some((selector, _)) = fields.get(at) else { return Ok(Val::NULL) };
        let key = selector.call(ev, self.item.clone())?;
        ev.budget.bytes(24)?;
        self.keys.borrow_mut().push(key.clone());
        Ok(key)
    }
}

fn sort<'a>(ev: &'a Eval<'a>, items: Vec<Val<'a>>, fields: &[(Lambda<'a>, bool)]) -> Result<Vec<Val<'a>>, Error> {
    ev.budget.bytes(64 * items.len() as u64)?;
    let keyed = items.into_iter().map(|item| Keyed { keys: RefCell::default(), item }).collect();
    let before = |a: &Keyed<'a>, b: &Keyed<'a>| -> Result<bool, Error> {
        ev.budget.step(1)?;
        for (at, (_, ascending)) in fields.iter().enumerate() {
            let (x, y) = (&a.key(ev, fields, at)?, &b.key(ev, fields, at)?);
            match operators::plain_order(x, y) {
                Some(order) if order.is_ne() => return Ok(order.is_lt() == *ascending),
                Some(_) => continue,
                None => {}
            }
            if operators::compare(Binary::Less, x, y)? {
                return Ok(*ascending);
            }
            if operators::compare(Binary::Greater, x, y)? {
                return Ok(!ascending);
            }
        }
        Ok(false)
    };
    Ok(merge_sort(keyed, &before)?.into_iter().map(|keyed| keyed.item).collect())
}

/// Stable, and content with any `before`, also one that contradicts itself or fails.
fn merge_sort<T>(items: Vec<T>, before: &impl Fn(&T, &T) -> Result<bool, Error>) -> Result<Vec<T>, Error> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    let mut merged = Vec::with_capacity(order.len());
    let mut width = 1;
    while width < order.len() {
        for pair in order.chunks(width * 2) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([a, rest_left @ ..], [b, rest_right @ ..]) = (left, right) {
                let swap = match (items.get(*a), items.get(*b)) {
                    (Some(x), Some(y)) => before(y, x)?,
                    _ => false,
                };
                if swap {
                    merged.push(*b);
                    right = rest_right;
                } else {
                    merged.push(*a);
                    left = rest_left;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut order, &mut merged);
        merged.clear();
        width *= 2;
    }
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| items.get_mut(at).and_then(Option::take)).collect())
}

pub(super) const TABLE: &[Entry] = &[
    method("orderBy", &[ITEMS, SELECTOR], order_by),
    method("orderByDescending", &[ITEMS, SELECTOR], order_by_descending),
    method("thenBy", &[req("collection", Type::Ordering), SELECTOR], then_by),
    method("thenByDescending", &[req("collection", Type::Ordering), SELECTOR], then_by_descending),
];
