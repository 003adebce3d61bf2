//! Filters of lists and dictionaries.

use super::super::calls::{CallArgs, required};
use super::super::interpreter::{Interpreter, sequence};
use super::super::value::{Dict, V};
use super::super::{checks, ops};
use super::{Own, flag, numbers, whole};
use crate::Error;
use squall_model::{Special, Str, Value};
use std::cmp::Ordering;

pub(super) fn find(name: &str) -> Option<Own> {
    Some(match name {
        "length" | "count" => |i, v, _| length(i, &v).map(V::from),
        "list" => |i, v, _| V::list(i.iterate(&v)?),
        "first" => |i, v, _| end(i, &v, "first"),
        "last" => |i, v, _| end(i, &v, "last"),
        "random" => random,
        "join" => join,
        "reverse" => reverse,
        "sort" => sort,
        "dictsort" => dictsort,
        "unique" => unique,
        "min" => |i, v, args| extreme(i, v, args, Ordering::Less),
        "max" => |i, v, args| extreme(i, v, args, Ordering::Greater),
        "sum" => sum,
        "map" => map,
        "select" => |i, v, args| choose(i, v, args, true, false),
        "reject" => |i, v, args| choose(i, v, args, false, false),
        "selectattr" => |i, v, args| choose(i, v, args, true, true),
        "rejectattr" => |i, v, args| choose(i, v, args, false, true),
        "groupby" => groupby,
        "batch" => batch,
        "slice" => slice,
        "items" => items,
        "attr" => attr,
        _ => return None,
    })
}

pub(super) fn length(i: &Interpreter, value: &V) -> Result<usize, Error> {
    match value {
        V::Str(text) => Ok(text.chars().count()),
        V::List(items) | V::Tuple(items) => Ok(items.len()),
        V::Dict(dict) | V::View(_, dict) => Ok(dict.len()),
        V::Range { len, .. } => Ok(usize::try_from(*len).unwrap_or(0)),
        V::Special(special) => match &**special {
            Special::Set(items) => Ok(items.len()),
            Special::Bytes(bytes) => Ok(bytes.len()),
            _ => Err(no_length(value)),
        },
        V::Undefined(_) => i.truth(value).map(|_| 0),
        V::Item(item) => Ok(i.read(item)?.chars().count()),
        _ => Err(no_length(value)),
    }
}

fn no_length(value: &V) -> Error {
    Error::new("TypeError", format!("object of type '{}' has no len()", value.type_name()))
}

fn end(i: &mut Interpreter, value: &V, which: &str) -> Result<V, Error> {
    let found = match sequence(value) {
        Some(items) if which == "first" => items.get(0),
        Some(_) if matches!(value, V::Generator(..)) => {
            let message = format!("'{}' object is not reversible", value.type_name());
            return Err(Error::new("TypeError", message));
        }
        Some(items) => items.len().checked_sub(1).and_then(|at| items.get(at)),
        None => {
            let items = i.iterate(value)?;
            if which == "first" { items.first().cloned() } else { items.last().cloned() }
        }
    };
    Ok(found.unwrap_or_else(|| V::undefined(format!("No {which} item, sequence was empty."))))
}

fn random(i: &mut Interpreter, value: V, _: CallArgs) -> Result<V, Error> {
    let items = i.iterate(&value)?;
    if items.is_empty() {
        return Ok(V::undefined("No random item, sequence was empty."));
    }
    let mut bytes = [0; 8];
    i.scope.host.random(&mut bytes);
    let at = u64::from_le_bytes(bytes) % (items.len() as u64);
    Ok(items[usize::try_from(at).unwrap_or(0)].clone())
}

fn join(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [separator, attribute] = args.bind("join", ["d", "attribute"])?;
    let separator = match &separator {
        Some(separator) => i.text(separator)?.into_owned(),
        None => String::new(),
    };
    let mut out = String::new();
    for (at, item) in i.iterate(&value)?.into_iter().enumerate() {
        let item = match &attribute {
            Some(attribute) => lookup(i, &item, attribute)?,
            None => item,
        };
        let text = i.text(&item)?;
        i.budget.bytes((text.len() + separator.len()) as u64)?;
        if at > 0 {
            out.push_str(&separator);
        }
        out.push_str(&text);
    }
    Ok(V::from(out))
}

fn reverse(i: &mut Interpreter, value: V, _: CallArgs) -> Result<V, Error> {
    if let V::Str(text) = &value {
        return Ok(V::from(text.chars().rev().collect::<String>()));
    }
    let mut items = i.iterate(&value)?;
    items.reverse();
    if matches!(value, V::Generator(..)) {
        // What cannot be walked backwards is made a list first.
        return V::list(items);
    }
    Ok(V::Generator("list_reverseiterator", super::super::value::seq(items)?))
}

/// `a.b.0`: an attribute of an attribute; a number is an index.
fn lookup(i: &mut Interpreter, item: &V, attribute: &V) -> Result<V, Error> {
    let V::Str(path) = attribute else { return i.item(item, attribute) };
    let mut value = item.clone();
    for step in path.split('.') {
        let index = match step.parse::<i64>() {
            Ok(n) if step.bytes().all(|b| b.is_ascii_digit()) => V::Int(n),
            _ => V::from(step),
        };
        value = i.item(&value, &index)?;
    }
    Ok(value)
}

/// Lower case for texts, so that case does not matter.
fn folded(value: V) -> V {
    match value {
        V::Str(text) => V::from(text.to_lowercase()),
        other => other,
    }
}

/// Sorts by a key, stably; what cannot be compared is an error.
pub(in super::super) fn sorted(
    i: &mut Interpreter,
    items: Vec<V>,
    mut key: impl FnMut(&V) -> Result<V, Error>,
    reverse: bool,
) -> Result<Vec<V>, Error> {
    let count = items.len() as u64;
    i.budget.step(count.saturating_mul(u64::from(count.max(1).ilog2()) + 1))?;
    let mut keyed: Vec<(V, V)> = Vec::with_capacity(items.len());
    for item in items {
        let key = key(&item)?;
        // A single item is compared with nothing.
        if count > 1 {
            defined(i, &key)?;
        }
        keyed.push((key, item));
    }
    let mut failed = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let (a, b) = if reverse { (b, a) } else { (a, b) };
        ops::order(a, b, "<")
            .unwrap_or_else(|error| {
                failed.get_or_insert(error);
                None
            })
            .unwrap_or(Ordering::Equal)
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

/// Refuses an undefined key, also as one of several.
fn defined(i: &Interpreter, key: &V) -> Result<(), Error> {
    match key {
        V::List(keys) => keys.iter().try_for_each(|key| i.check(&key)),
        key => i.check(key),
    }
}

/// The key of an item for sorting and grouping: its attributes, in lower case unless case matters.
fn sort_key(i: &mut Interpreter, item: &V, attribute: Option<&V>, case: bool) -> Result<V, Error> {
    let fold = |value: V| if case { value } else { folded(value) };
    match attribute {
        None | Some(V::None) => Ok(fold(item.clone())),
        Some(V::Str(paths)) if paths.contains(',') => {
            let mut keys = Vec::new();
            for path in paths.split(',') {
                keys.push(fold(lookup(i, item, &V::from(path))?));
            }
            V::list(keys)
        }
        Some(attribute) => Ok(fold(lookup(i, item, attribute)?)),
    }
}

fn sort(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [reverse, case, attribute] = args.bind("sort", ["reverse", "case_sensitive", "attribute"])?;
    let (reverse, case) = (flag(i, reverse, false)?, flag(i, case, false)?);
    let items = i.iterate(&value)?;
    let mut keys = Vec::with_capacity(items.len());
    for item in &items {
        keys.push(sort_key(i, item, attribute.as_ref(), case)?);
    }
    let mut keys = keys.into_iter();
    V::list(sorted(i, items, |_| Ok(keys.next().unwrap_or(V::None)), reverse)?)
}

fn dictsort(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [case, by, reverse] = args.bind("dictsort", ["case_sensitive", "by", "reverse"])?;
    let (case, reverse) = (flag(i, case, false)?, flag(i, reverse, false)?);
    let at = match &by {
        None => 0,
        Some(by) => match &*i.text(by)? {
            "key" => 0,
            "value" => 1,
            _ => {
                return Err(Error::new("FilterArgumentError", "You can only sort by either \"key\" or \"value\""));
            }
        },
    };
    let V::Dict(dict) = &value else {
        i.check(&value)?;
        return Err(Error::new("AttributeError", format!("'{}' object has no attribute 'items'", value.type_name())));
    };
    let pairs = dict.pairs().map(|(k, v)| V::tuple(vec![k, v])).collect::<Result<Vec<_>, _>>()?;
    let key = |pair: &V| {
        let part = sequence(pair).and_then(|p| p.get(at)).unwrap_or(V::None);
        Ok(if case { part } else { folded(part) })
    };
    V::list(sorted(i, pairs, key, reverse)?)
}

fn unique(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [case, attribute] = args.bind("unique", ["case_sensitive", "attribute"])?;
    let case = flag(i, case, false)?;
    let mut seen: indexmap::IndexMap<String, ()> = indexmap::IndexMap::new();
    let mut kept = Vec::new();
    for item in i.iterate(&value)? {
        let key = sort_key(i, &item, attribute.as_ref(), case)?;
        i.check(&key)?;
        if seen.insert(super::super::value::canonical(&key)?, ()).is_none() {
            kept.push(item);
        }
    }
    V::generator(kept)
}

fn extreme(i: &mut Interpreter, value: V, args: CallArgs, wanted: Ordering) -> Result<V, Error> {
    let [case, attribute] = args.bind("min", ["case_sensitive", "attribute"])?;
    let case = flag(i, case, false)?;
    let sign = if wanted == Ordering::Less { "<" } else { ">" };
    let mut best: Option<(V, V)> = None;
    for item in i.iterate(&value)? {
        let key = sort_key(i, &item, attribute.as_ref(), case)?;
        let better = match &best {
            None => true,
            Some((top, _)) => {
                i.check(&key)?;
                ops::order(&key, top, sign)? == Some(wanted)
            }
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(|| V::undefined("No aggregated item, sequence was empty."), |(_, item)| item))
}

fn sum(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [attribute, start] = args.bind("sum", ["attribute", "start"])?;
    let mut total = start.unwrap_or(V::Int(0));
    if matches!(total, V::Str(_)) {
        return Err(Error::new("TypeError", "sum() can't sum strings [use ''.join(seq) instead]"));
    }
    for item in i.iterate(&value)? {
        let item = match &attribute {
            Some(attribute) if !matches!(attribute, V::None) => lookup(i, &item, attribute)?,
            _ => item,
        };
        total = numbers::add(i, &total, &item)?;
    }
    Ok(total)
}

fn map(i: &mut Interpreter, value: V, mut args: CallArgs) -> Result<V, Error> {
    // Whatever is false has no items, be it iterable or not.
    if !i.truth(&value)? {
        return V::generator(Vec::new());
    }
    let mut mapped = Vec::new();
    if args.positional.is_empty() {
        let [attribute, default] = args.bind("map", ["attribute", "default"])?;
        let Some(attribute) = attribute else {
            return Err(Error::new("FilterArgumentError", "map requires a filter argument"));
        };
        for item in i.iterate(&value)? {
            mapped.push(match (lookup(i, &item, &attribute)?, &default) {
                (V::Undefined(_), Some(default)) => default.clone(),
                (value, _) => value,
            });
        }
    } else {
        let name = args.positional.remove(0);
        let name = i.text(&name)?.into_owned();
        let filter = super::find(&name, i.scope.engine);
        for item in i.iterate(&value)? {
            i.budget.step(1)?;
            mapped.push(match filter {
                Some(filter) => filter.apply(i, item, args.clone())?,
                None if i.scope.host.has(&name) => {
                    let mut args = args.clone();
                    args.positional.insert(0, item);
                    i.call_host(&name, args)?
                }
                None => return Err(Error::new("TemplateRuntimeError", format!("No filter named '{name}'."))),
            });
        }
    }
    V::generator(mapped)
}

fn choose(i: &mut Interpreter, value: V, mut args: CallArgs, wanted: bool, by_attribute: bool) -> Result<V, Error> {
    if !i.truth(&value)? {
        return V::generator(Vec::new());
    }
    let attribute = if by_attribute {
        if args.positional.is_empty() {
            return Err(Error::new("FilterArgumentError", "Missing parameter for attribute name"));
        }
        Some(args.positional.remove(0))
    } else {
        None
    };
    let check = match args.positional.is_empty() {
        true => None,
        false => {
            let name = args.positional.remove(0);
            let name = i.text(&name)?.into_owned();
            let missing = || Error::new("TemplateRuntimeError", format!("No test named '{name}'."));
            Some(checks::find(&name).ok_or_else(missing)?)
        }
    };
    let mut kept = Vec::new();
    for item in i.iterate(&value)? {
        let subject = match &attribute {
            Some(attribute) => lookup(i, &item, attribute)?,
            None => item.clone(),
        };
        let holds = match check {
            Some(check) => check(i, &subject, args.clone())?,
            None => i.truth(&subject)?,
        };
        if holds == wanted {
            kept.push(item);
        }
    }
    V::generator(kept)
}

fn groupby(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [attribute, default, case] = args.bind("groupby", ["attribute", "default", "case_sensitive"])?;
    let attribute = required(attribute, "groupby", "attribute")?;
    let case = flag(i, case, false)?;
    let items = i.iterate(&value)?;
    let mut keys = Vec::with_capacity(items.len());
    for item in &items {
        let key = match (lookup(i, item, &attribute)?, &default) {
            (V::Undefined(_), Some(default)) => default.clone(),
            (key, _) => key,
        };
        keys.push(V::tuple(vec![if case { key.clone() } else { folded(key.clone()) }, key, item.clone()])?);
    }
    let part = |entry: &V, at: usize| sequence(entry).and_then(|p| p.get(at)).unwrap_or(V::None);
    let mut groups: Vec<(V, V, Vec<V>)> = Vec::new();
    for entry in sorted(i, keys, |entry| Ok(part(entry, 0)), false)? {
        let (key, real, item) = (part(&entry, 0), part(&entry, 1), part(&entry, 2));
        match groups.last_mut() {
            Some((last, _, members)) if ops::equal(last, &key) => members.push(item),
            _ => groups.push((key, real, vec![item])),
        }
    }
    let pairs = groups.into_iter().map(|(_, real, members)| V::tuple(vec![real, V::list(members)?]));
    V::list(pairs.collect::<Result<_, Error>>()?)
}

fn batch(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [size, fill] = args.bind("batch", ["linecount", "fill_with"])?;
    let size = usize::try_from(whole(Some(required(size, "batch", "linecount")?), 1)?).unwrap_or(0);
    let items = i.iterate(&value)?;
    if size == 0 {
        // Python never sees a full batch then: everything is one.
        return V::generator(if items.is_empty() { Vec::new() } else { vec![V::list(items)?] });
    }
    let mut batches = Vec::new();
    for chunk in items.chunks(size) {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = fill.as_ref().filter(|f| !matches!(f, V::None)) {
            i.budget.bytes(((size - chunk.len()) * size_of::<V>()) as u64)?;
            chunk.resize(size, fill.clone());
        }
        batches.push(V::list(chunk)?);
    }
    V::generator(batches)
}

fn slice(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [count, fill] = args.bind("slice", ["slices", "fill_with"])?;
    let count = usize::try_from(whole(Some(required(count, "slice", "slices")?), 1)?).unwrap_or(0);
    if count == 0 {
        return Err(Error::new("ZeroDivisionError", "integer division or modulo by zero"));
    }
    i.budget.bytes((count as u64).saturating_mul(64))?;
    let items = i.iterate(&value)?;
    let (each, extra) = (items.len() / count, items.len() % count);
    let mut start = 0;
    let mut slices = Vec::new();
    for number in 0..count {
        let end = start + each + usize::from(number < extra);
        let mut part = items[start..end].to_vec();
        if number >= extra
            && let Some(fill) = fill.as_ref().filter(|f| !matches!(f, V::None))
        {
            part.push(fill.clone());
        }
        slices.push(V::list(part)?);
        start = end;
    }
    V::generator(slices)
}

fn items(i: &mut Interpreter, value: V, _: CallArgs) -> Result<V, Error> {
    match &value {
        V::Undefined(_) => V::generator(Vec::new()),
        V::Dict(dict) => {
            let dict: &Dict = dict;
            V::generator(dict.pairs().map(|(k, v)| V::tuple(vec![k, v])).collect::<Result<_, _>>()?)
        }
        other => {
            i.check(other)?;
            Err(Error::new("TypeError", "Can only get item pairs from a mapping."))
        }
    }
}

/// The attribute of an object, never an item of it.
fn attr(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [name] = args.bind("attr", ["name"])?;
    let name = required(name, "attr", "name")?;
    if !matches!(name, V::Str(_) | V::Undefined(_) | V::Item(_)) {
        let message = format!("attribute name must be string, not '{}'", name.type_name());
        return Err(Error::new("TypeError", message));
    }
    let name: Str = i.text(&name)?.as_ref().into();
    match &value {
        V::Dict(_) if !super::super::methods::exists(&value, &name) => {
            // An empty dictionary of the same type has the same attributes and no items.
            i.attribute(&V::from(Value::map()), &name)
        }
        other => i.attribute(other, &name),
    }
}
