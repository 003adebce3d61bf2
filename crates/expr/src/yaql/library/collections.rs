//! Lists, dictionaries and sets.

use crate::Error;
use crate::yaql::call::{Args, Slot};
use crate::yaql::eval::{Eval, Outcome};
use crate::yaql::table::{Entry, Param, Type, both, function, method, opt, req, rest};
use crate::yaql::value::{self, Key, Val, ViewKind};
use indexmap::IndexSet;

/// Values in order, with generators among them replaced by what they give.
fn spliced<'a>(ev: &'a Eval<'a>, vals: Vec<Val<'a>>) -> Result<Vec<Val<'a>>, Error> {
    let mut out = Vec::with_capacity(vals.len());
    for val in vals {
        if matches!(val, Val::Iter(_)) {
            let _deeper = ev.enter()?;
            let items = ev.collect(&val)?;
            out.extend(spliced(ev, items)?);
        } else {
            out.push(val);
        }
    }
    Ok(out)
}

fn list<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let vals = spliced(ev, args.rest_vals())?;
    ev.list(vals)
}

fn set<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let vals = spliced(ev, args.rest_vals())?;
    ev.set(vals)
}

fn pairs<'a>(args: &mut Args<'a>) -> Vec<(Val<'a>, Val<'a>)> {
    let rest = std::mem::take(&mut args.rest);
    rest.into_iter()
        .filter_map(|slot| match slot {
            Slot::Pair(key, val) => Some((key, val)),
            _ => None,
        })
        .collect()
}

fn dict<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    ev.dict(pairs(&mut args))
}

fn dict_of_pairs<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let mut cursor = ev.walk(&items)?;
    let mut pairs = Vec::new();
    while let Some(item) = cursor.next(ev)? {
        ev.budget.bytes(48)?;
        pairs.push(first_two(ev, &item)?);
    }
    ev.dict(pairs)
}

/// The first two members; also the characters of a text and the keys of a dictionary, as Python iterates them.
fn first_two<'a>(ev: &'a Eval<'a>, item: &Val<'a>) -> Result<(Val<'a>, Val<'a>), Error> {
    let short = || Error::new("StopIteration", "a pair needs two members");
    if let Val::Plain(squall_model::Value::Str(text)) = item {
        let mut chars = text.chars().map(|c| Val::from(c.to_string()));
        return Ok((chars.next().ok_or_else(short)?, chars.next().ok_or_else(short)?));
    }
    if item.is_mapping() {
        let mut keys = item.pairs().into_iter().map(|(key, _)| key);
        return Ok((keys.next().ok_or_else(short)?, keys.next().ok_or_else(short)?));
    }
    let mut cursor = ev.walk(item)?;
    let key = cursor.next(ev)?.ok_or_else(short)?;
    let val = cursor.next(ev)?.ok_or_else(short)?;
    Ok((key, val))
}

fn to_list<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let val = args.val(0);
    if val.is_tuple() {
        return Ok(val);
    }
    let items = ev.collect(&val)?;
    ev.list(items)
}

fn to_set<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = ev.collect(&args.val(0))?;
    ev.set(items)
}

fn to_dict<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let (key, value) = (args.code(1), args.lambda(2));
    let mut cursor = ev.walk(&items)?;
    let mut pairs = Vec::with_capacity(cursor.size_hint());
    while let Some(item) = cursor.next(ev)? {
        ev.budget.bytes(48)?;
        let key = key.call(ev, item.clone())?;
        let value = match &value {
            Some(value) => value.call(ev, item)?,
            None => item,
        };
        pairs.push((key, value));
    }
    ev.dict(pairs)
}

fn flatten<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let mut stack = vec![ev.walk(&items)?];
    ev.generator(items.nest(), move |ev: &'a Eval<'a>| {
        while let Some(top) = stack.last_mut() {
            match top.next(ev)? {
                Some(item) if item.is_iterable() => {
                    ev.budget.bytes(32)?;
                    stack.push(ev.walk(&item)?);
                }
                Some(item) => return Ok(Some(item)),
                None => drop(stack.pop()),
            }
        }
        Ok(None)
    })
}

fn get<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (dict, key) = (args.val(0), args.val(1));
    Ok(match dict.lookup(ev, &key)? {
        Some(found) => found,
        None => args.val(2),
    })
}

fn set_pair<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (dict, key, val) = (args.val(0), args.val(1), args.val(2));
    with_pairs(ev, &dict, vec![(key, val)])
}

fn set_dict<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (dict, more) = (args.val(0), args.val(1));
    with_pairs(ev, &dict, more.pairs())
}

fn set_inline<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let dict = args.val(0);
    let more = pairs(&mut args);
    with_pairs(ev, &dict, more)
}

fn with_pairs<'a>(ev: &'a Eval<'a>, dict: &Val<'a>, more: Vec<(Val<'a>, Val<'a>)>) -> Outcome<'a> {
    ev.dict(dict.pairs().into_iter().chain(more))
}

fn keys<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let dict = args.val(0);
    ev.view(dict.pairs().into_iter().map(|(key, _)| key).collect(), ViewKind::Keys, dict)
}

fn values<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let dict = args.val(0);
    ev.view(dict.pairs().into_iter().map(|(_, val)| val).collect(), ViewKind::Values, dict)
}

fn items<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let dict = args.val(0);
    let pairs = dict.pairs().into_iter().map(|(key, val)| ev.list(vec![key, val]));
    let pairs = pairs.collect::<Result<_, _>>()?;
    ev.view(pairs, ViewKind::Items, dict)
}

/// Refuses a view of a dictionary: it counts as a set, but has none of a set's methods.
pub(in crate::yaql) fn real_set(set: &Val<'_>) -> Result<(), Error> {
    match set {
        Val::View(view) => {
            let message = format!("'{}' has no such method: turn it into a set by `toSet()` first", view.name());
            Err(Error::new("AttributeError", message))
        }
        _ => Ok(()),
    }
}

fn contains<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (items, item) = (args.val(0), args.val(1));
    super::queries::has(ev, &items, &item).map(Val::from)
}

fn contains_key<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (dict, key) = (args.val(0), args.val(1));
    Ok(Val::from(dict.lookup(ev, &key)?.is_some()))
}

fn contains_value<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (dict, wanted) = (args.val(0), args.val(1));
    for (_, val) in dict.pairs() {
        ev.budget.step(1)?;
        if ev.equal(&val, &wanted)? {
            return Ok(Val::from(true));
        }
    }
    Ok(Val::from(false))
}

fn delete_keys<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let dict = args.val(0);
    let gone = args.rest_vals();
    without_keys(ev, &dict, gone)
}

fn delete_all<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let dict = args.val(0);
    let gone = ev.collect(&args.val(1))?;
    without_keys(ev, &dict, gone)
}

fn without_keys<'a>(ev: &'a Eval<'a>, dict: &Val<'a>, gone: Vec<Val<'a>>) -> Outcome<'a> {
    let gone: IndexSet<Key<'a>> = gone.into_iter().map(|key| ev.key(key)).collect::<Result<_, _>>()?;
    ev.dict(dict.pairs().into_iter().filter(|(key, _)| !gone.contains(&Key(key.clone()))))
}

/// Whether index `i` lies in `count` places from `position`; a negative count has no end.
fn within(i: i64, position: i64, count: i64) -> bool {
    if count >= 0 { position <= i && i < position.saturating_add(count) } else { i >= position }
}

fn delete_at<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let (position, count) = (args.int(1, 0), args.int(2, 1));
    let mut cursor = ev.walk(&items)?;
    let mut i = -1;
    ev.generator(items.nest(), move |ev: &'a Eval<'a>| {
        while let Some(item) = cursor.next(ev)? {
            i += 1;
            if !within(i, position, count) {
                return Ok(Some(item));
            }
        }
        Ok(None)
    })
}

fn replace<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let position = args.int(1, 0);
    let with = args.val(2);
    let count = args.int(3, 1);
    let mut cursor = ev.walk(&items)?;
    let (mut i, mut done) = (-1, false);
    ev.generator(items.nest().max(with.nest()), move |ev: &'a Eval<'a>| {
        while let Some(item) = cursor.next(ev)? {
            i += 1;
            if !within(i, position, count) {
                return Ok(Some(item));
            }
            if !done {
                done = true;
                return Ok(Some(with.clone()));
            }
        }
        Ok(None)
    })
}

fn replace_many<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let position = args.int(1, 0);
    let with = args.val(2);
    let count = args.int(3, 1);
    let nest = items.nest().max(with.nest());
    let mut cursor = ev.walk(&items)?;
    let mut inserting = None;
    let (mut i, mut done) = (-1, false);
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        loop {
            if let Some(source) = &mut inserting {
                let source: &mut value::Cursor<'a> = source;
                match source.next(ev)? {
                    Some(item) => return Ok(Some(item)),
                    None => inserting = None,
                }
            }
            let Some(item) = cursor.next(ev)? else { return Ok(None) };
            i += 1;
            if !within(i, position, count) {
                return Ok(Some(item));
            }
            if !done {
                done = true;
                inserting = Some(ev.walk(&with)?);
            }
        }
    })
}

/// Into a list: Python's `list.insert`, negative positions from the end.
fn insert_into_list<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let mut items = ev.collect(&args.val(0))?;
    let position = args.int(1, 0);
    let item = args.val(2);
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let at = if position < 0 { position.saturating_add(length).max(0) } else { position.min(length) };
    items.insert(usize::try_from(at).unwrap_or(0), item);
    ev.mutable_list(items)
}

fn insert<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let position = args.int(1, 0);
    let item = args.val(2);
    let single = ev.list(vec![item])?;
    inserted(ev, &items, position, single, false)
}

fn insert_many<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let position = args.int(1, 0);
    let more = args.val(2);
    inserted(ev, &items, position, more, true)
}

/// Items with others before index `position`, or at the end if that lies beyond; before everything when it is
/// negative and `front` says so.
fn inserted<'a>(ev: &'a Eval<'a>, items: &Val<'a>, position: i64, more: Val<'a>, front: bool) -> Outcome<'a> {
    let nest = items.nest().max(more.nest());
    let mut cursor = ev.walk(items)?;
    let mut inserting: Option<value::Cursor<'a>> = None;
    let mut held = None;
    let mut i: i64 = -1;
    let mut started = false;
    let mut ended = false;
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        if !started {
            started = true;
            if front && position < 0 {
                inserting = Some(ev.walk(&more)?);
            }
        }
        loop {
            if let Some(source) = &mut inserting {
                match source.next(ev)? {
                    Some(item) => return Ok(Some(item)),
                    None => inserting = None,
                }
            }
            if let Some(item) = held.take() {
                return Ok(Some(item));
            }
            if ended {
                return Ok(None);
            }
            match cursor.next(ev)? {
                Some(item) => {
                    i += 1;
                    if i != position {
                        return Ok(Some(item));
                    }
                    held = Some(item);
                    inserting = Some(ev.walk(&more)?);
                }
                None => {
                    ended = true;
                    if position > i {
                        inserting = Some(ev.walk(&more)?);
                    }
                }
            }
        }
    })
}

fn len<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(args.val(0).length().unwrap_or(0)))
}

fn union<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (a, b) = (args.val(0), args.val(1));
    real_set(&a)?;
    ev.set(value::members(&a).into_iter().chain(value::members(&b)))
}

fn known<'a>(ev: &'a Eval<'a>, set: &Val<'a>) -> Result<IndexSet<Key<'a>>, Error> {
    value::members(set).into_iter().map(|item| ev.key(item)).collect()
}

fn intersect<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (a, b) = (args.val(0), args.val(1));
    real_set(&a)?;
    let b = known(ev, &b)?;
    ev.set(value::members(&a).into_iter().filter(|item| b.contains(&Key(item.clone()))))
}

/// The members of one set that are not in another.
pub(in crate::yaql) fn without<'a>(ev: &'a Eval<'a>, a: &Val<'a>, b: &Val<'a>) -> Outcome<'a> {
    let b = known(ev, b)?;
    ev.set(value::members(a).into_iter().filter(|item| !b.contains(&Key(item.clone()))))
}

fn difference<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (a, b) = (args.val(0), args.val(1));
    real_set(&a)?;
    without(ev, &a, &b)
}

fn symmetric_difference<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (a, b) = (args.val(0), args.val(1));
    real_set(&a)?;
    let (in_a, in_b) = (known(ev, &a)?, known(ev, &b)?);
    let only_a = value::members(&a).into_iter().filter(|item| !in_b.contains(&Key(item.clone())));
    let only_b = value::members(&b).into_iter().filter(|item| !in_a.contains(&Key(item.clone())));
    ev.set(only_a.chain(only_b))
}

fn add<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let set = args.val(0);
    real_set(&set)?;
    ev.set(value::members(&set).into_iter().chain(args.rest_vals()))
}

fn remove<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let set = args.val(0);
    real_set(&set)?;
    let gone: IndexSet<Key<'a>> = args.rest_vals().into_iter().map(|key| ev.key(key)).collect::<Result<_, _>>()?;
    ev.set(value::members(&set).into_iter().filter(|item| !gone.contains(&Key(item.clone()))))
}

fn is_list<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(args.val(0).is_sequence()))
}

fn is_dict<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(args.val(0).is_mapping()))
}

fn is_set<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(args.val(0).is_set()))
}

fn is_iterable<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(args.val(0).is_iterable()))
}

const ITEMS: Param = req("collection", Type::Iterable);
const DICT: Param = req("dict", Type::Mapping);
const SET: Param = req("set", Type::Set);
const LEFT: Param = req("left", Type::Set);
const RIGHT: Param = req("right", Type::Set);
const POSITION: Param = req("position", Type::Int);

pub(in crate::yaql) const TABLE: &[Entry] = &[
    function("list", &[rest("args", Type::Any)], list),
    function("dict", &[rest("args", Type::Pair)], dict).without_keywords(),
    function("dict", &[req("items", Type::Iterable)], dict_of_pairs).without_keywords(),
    function("set", &[rest("args", Type::Any)], set),
    method("toList", &[ITEMS], to_list),
    method("toSet", &[ITEMS], to_set),
    method("toDict", &[ITEMS, req("keySelector", Type::Lambda), opt("valueSelector", Type::Lambda)], to_dict),
    method("flatten", &[ITEMS], flatten),
    method("get", &[DICT, req("key", Type::Any), opt("default", Type::Any)], get),
    method("set", &[DICT, req("key", Type::Any), req("value", Type::Any)], set_pair).without_keywords(),
    method("set", &[DICT, req("replacements", Type::Mapping)], set_dict).without_keywords(),
    method("set", &[DICT, rest("args", Type::Pair)], set_inline).without_keywords(),
    method("keys", &[DICT], keys),
    method("values", &[DICT], values),
    method("items", &[DICT], items),
    method("contains", &[ITEMS, req("value", Type::Any)], contains),
    method("containsKey", &[DICT, req("key", Type::Any)], contains_key),
    method("containsValue", &[DICT, req("value", Type::Any)], contains_value),
    method("delete", &[DICT, rest("keys", Type::Any)], delete_keys),
    method("delete", &[ITEMS, POSITION, opt("count", Type::Int)], delete_at),
    method("deleteAll", &[DICT, req("keys", Type::Iterable)], delete_all),
    method("replace", &[ITEMS, POSITION, req("value", Type::Any), opt("count", Type::Int)], replace),
    method("replaceMany", &[ITEMS, POSITION, req("values", Type::Iterable), opt("count", Type::Int)], replace_many),
    method("insert", &[req("collection", Type::IterableNoSet), POSITION, req("value", Type::Any)], insert),
    method("insert", &[req("collection", Type::Sequence), POSITION, req("value", Type::Any)], insert_into_list),
    method("insertMany", &[ITEMS, POSITION, req("values", Type::Iterable)], insert_many),
    both("len", &[DICT], len),
    both("len", &[req("sequence", Type::Sequence)], len),
    both("len", &[SET], len),
    method("union", &[LEFT, RIGHT], union),
    method("intersect", &[LEFT, RIGHT], intersect),
    method("difference", &[LEFT, RIGHT], difference),
    method("symmetricDifference", &[LEFT, RIGHT], symmetric_difference),
    method("add", &[SET, rest("values", Type::Any)], add),
    method("remove", &[SET, rest("values", Type::Any)], remove),
    function("isList", &[req("arg", Type::Any)], is_list),
    function("isDict", &[req("arg", Type::Any)], is_dict),
    function("isSet", &[req("arg", Type::Any)], is_set),
    function("isIterable", &[req("value", Type::Any)], is_iterable),
];
