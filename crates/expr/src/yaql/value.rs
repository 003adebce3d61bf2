//! What flows inside an evaluation: plain data, and what only lives while it is evaluated.
//!
//! Data stays a [`Value`] as long as it can: taking it apart clones references, never contents. Lists,
//! dictionaries and sets get a form of their own when they hold something that is not plain (a generator) or
//! need hashing (sets, keys that are not texts).
//!
//! Invariant: nothing here nests deeper than [`DEEPEST`], because dropping recurses. Whoever builds a
//! container or a generator goes through [`super::eval::Eval`], which counts.

use super::eval::{Ctx, Eval, Lambda, Outcome};
use crate::Error;
use indexmap::{IndexMap, IndexSet};
use num_traits::ToPrimitive;
use squall_model::{Map, Special, Str, Value, member};
use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

/// How deep values made by one evaluation may nest.
pub(super) const DEEPEST: u32 = 250;

#[derive(Clone)]
pub(super) enum Val<'a> {
    Plain(Value),
    /// A tuple with a member that is not plain, or one of the few results that are no tuples.
    List(Rc<Listing<'a>>),
    /// A dictionary with keys that are not texts, or members that are not plain.
    Dict(Rc<Dict<'a>>),
    Set(Rc<Set<'a>>),
    /// What `values()` and `items()` give: can be iterated again and again.
    View(Rc<View<'a>>),
    Iter(Iter<'a>),
    Ordering(Rc<Ordering<'a>>),
    Context(Ctx<'a>),
}

pub(super) struct Listing<'a> {
    pub items: Vec<Val<'a>>,
    /// A Python list instead of a tuple: equal to no tuple, printed in brackets, in no set.
    pub is_mutable: bool,
    pub nest: u32,
}

pub(super) struct Dict<'a> {
    pub items: IndexMap<Key<'a>, Val<'a>>,
    pub nest: u32,
}

pub(super) struct Set<'a> {
    pub items: IndexSet<Key<'a>>,
    pub nest: u32,
}

pub(super) struct View<'a> {
    pub items: Vec<Val<'a>>,
    pub kind: ViewKind,
    /// The dictionary that it shows, for printing.
    pub of: Val<'a>,
    pub nest: u32,
}

/// What a view shows. Keys and items count as sets, values do not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewKind {
    Keys,
    Values,
    Items,
}

impl View<'_> {
    pub fn is_set(&self) -> bool {
        self.kind != ViewKind::Values
    }

    /// The name of Python's type.
    pub fn name(&self) -> &'static str {
        match self.kind {
            ViewKind::Keys => "KeysView",
            ViewKind::Values => "ValuesView",
            ViewKind::Items => "ItemsView",
        }
    }
}

/// The lazy result of `orderBy`, which `thenBy` refines.
pub(super) struct Ordering<'a> {
    pub source: Val<'a>,
    pub fields: RefCell<Vec<(Lambda<'a>, bool)>>,
    pub sorted: RefCell<Option<Rc<Vec<Val<'a>>>>>,
    pub nest: u32,
}

/// Produces one item after the other.
pub(super) trait Generate<'a> {
    fn next(&mut self, ev: &'a Eval<'a>) -> Result<Option<Val<'a>>, Error>;
}

impl<'a, F: FnMut(&'a Eval<'a>) -> Result<Option<Val<'a>>, Error>> Generate<'a> for F {
    fn next(&mut self, ev: &'a Eval<'a>) -> Result<Option<Val<'a>>, Error> {
        self(ev)
    }
}

/// A generator: passes once, unless memorized.
#[derive(Clone)]
pub(super) struct Iter<'a> {
    pub source: Source<'a>,
    pub nest: u32,
}

type Shared<'a> = Rc<RefCell<dyn Generate<'a> + 'a>>;

#[derive(Clone)]
pub(super) enum Source<'a> {
    Once(Shared<'a>),
    Memorized(Rc<Memory<'a>>),
}

pub(super) struct Memory<'a> {
    pub seen: RefCell<Vec<Val<'a>>>,
    pub rest: RefCell<Cursor<'a>>,
}

/// A walk over anything iterable.
pub(super) enum Cursor<'a> {
    Plain(Arc<Vec<Value>>, usize),
    Special(Arc<Special>, usize),
    List(Rc<Listing<'a>>, usize),
    Sorted(Rc<Vec<Val<'a>>>, usize),
    Set(Rc<Set<'a>>, usize),
    View(Rc<View<'a>>, usize),
    Once(Shared<'a>),
    Memorized(Rc<Memory<'a>>, usize),
}

impl<'a> Cursor<'a> {
    /// The next item; costs one step.
    pub fn next(&mut self, ev: &'a Eval<'a>) -> Result<Option<Val<'a>>, Error> {
        ev.budget.step(1)?;
        let advance = |at: &mut usize| {
            *at += 1;
            *at - 1
        };
        Ok(match self {
            Cursor::Plain(items, at) => items.get(advance(at)).cloned().map(Val::Plain),
            Cursor::Special(special, at) => match &**special {
                Special::Set(items) => items.get(advance(at)).cloned().map(Val::Plain),
                _ => None,
            },
            Cursor::List(list, at) => list.items.get(advance(at)).cloned(),
            Cursor::Sorted(items, at) => items.get(advance(at)).cloned(),
            Cursor::Set(set, at) => set.items.get_index(advance(at)).map(|key| key.0.clone()),
            Cursor::View(view, at) => view.items.get(advance(at)).cloned(),
            Cursor::Once(source) => return pull(ev, source),
            Cursor::Memorized(memory, at) => {
                let known = memory.seen.borrow().get(*at).cloned();
                let item = match known {
                    Some(item) => Some(item),
                    None => {
                        let Ok(mut rest) = memory.rest.try_borrow_mut() else { return Err(already_running()) };
                        let item = rest.next(ev)?;
                        if let Some(item) = &item {
                            ev.budget.bytes(32)?;
                            memory.seen.borrow_mut().push(item.clone());
                        }
                        item
                    }
                };
                *at += 1;
                item
            }
        })
    }

    /// At least so many items are left, where that is known.
    pub fn size_hint(&self) -> usize {
        match self {
            Cursor::Plain(items, at) => items.len().saturating_sub(*at),
            Cursor::List(list, at) => list.items.len().saturating_sub(*at),
            Cursor::Sorted(items, at) => items.len().saturating_sub(*at),
            Cursor::Set(set, at) => set.items.len().saturating_sub(*at),
            Cursor::View(view, at) => view.items.len().saturating_sub(*at),
            _ => 0,
        }
    }
}

fn already_running() -> Error {
    Error::new("ValueError", "generator already executing")
}

fn pull<'a>(ev: &'a Eval<'a>, source: &Shared<'a>) -> Result<Option<Val<'a>>, Error> {
    let Ok(mut generator) = source.try_borrow_mut() else { return Err(already_running()) };
    let _deeper = ev.enter()?;
    generator.next(ev)
}

impl<'a> From<Value> for Val<'a> {
    fn from(value: Value) -> Val<'a> {
        Val::Plain(value)
    }
}
impl<'a> From<bool> for Val<'a> {
    fn from(b: bool) -> Val<'a> {
        Val::Plain(Value::Bool(b))
    }
}
impl<'a> From<i64> for Val<'a> {
    fn from(n: i64) -> Val<'a> {
        Val::Plain(Value::Int(n))
    }
}
impl<'a> From<usize> for Val<'a> {
    fn from(n: usize) -> Val<'a> {
        Val::Plain(Value::from(n))
    }
}
impl<'a> From<f64> for Val<'a> {
    fn from(x: f64) -> Val<'a> {
        Val::Plain(Value::Float(x))
    }
}
impl<'a> From<&str> for Val<'a> {
    fn from(text: &str) -> Val<'a> {
        Val::Plain(Value::from(text))
    }
}
impl<'a> From<String> for Val<'a> {
    fn from(text: String) -> Val<'a> {
        Val::Plain(Value::from(text))
    }
}

impl<'a> Val<'a> {
    pub const NULL: Val<'a> = Val::Plain(Value::Null);

    pub fn special(special: Special) -> Val<'a> {
        Val::Plain(Value::special(special))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Val::Plain(Value::Null))
    }

    pub fn as_special(&self) -> Option<&Special> {
        match self {
            Val::Plain(Value::Special(special)) => Some(special),
            _ => None,
        }
    }

    /// Truth as Python sees it; a generator is always true.
    pub fn is_truthy(&self) -> bool {
        match self {
            Val::Plain(value) => value.is_truthy(),
            Val::List(list) => !list.items.is_empty(),
            Val::Dict(dict) => !dict.items.is_empty(),
            Val::Set(set) => !set.items.is_empty(),
            Val::View(view) => !view.items.is_empty(),
            Val::Iter(_) | Val::Ordering(_) | Val::Context(_) => true,
        }
    }

    /// How many layers that are not plain data hang together here.
    pub fn nest(&self) -> u32 {
        match self {
            Val::Plain(_) => 0,
            Val::List(list) => list.nest,
            Val::Dict(dict) => dict.nest,
            Val::Set(set) => set.nest,
            Val::View(view) => view.nest,
            Val::Iter(iter) => iter.nest,
            Val::Ordering(ordering) => ordering.nest,
            Val::Context(ctx) => ctx.nest,
        }
    }

    /// A list or tuple: can be indexed.
    pub fn is_sequence(&self) -> bool {
        matches!(self, Val::Plain(Value::List(_)) | Val::List(_))
    }

    /// A sequence that is no Python list.
    pub fn is_tuple(&self) -> bool {
        self.is_sequence() && !is_mutable(self)
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self, Val::Plain(Value::Map(_)) | Val::Dict(_)) || matches!(self.as_special(), Some(Special::Dict(_)))
    }

    pub fn is_set(&self) -> bool {
        match self {
            Val::Set(_) => true,
            Val::View(view) => view.is_set(),
            _ => matches!(self.as_special(), Some(Special::Set(_))),
        }
    }

    /// Everything that `where` accepts: neither text nor dictionary.
    pub fn is_iterable(&self) -> bool {
        match self {
            Val::Plain(Value::List(_))
            | Val::List(_)
            | Val::Set(_)
            | Val::View(_)
            | Val::Iter(_)
            | Val::Ordering(_) => true,
            _ => matches!(self.as_special(), Some(Special::Set(_))),
        }
    }

    /// The length of what has one.
    pub fn length(&self) -> Option<usize> {
        match self {
            Val::Plain(Value::List(items)) => Some(items.len()),
            Val::Plain(Value::Map(map)) => Some(map.len()),
            Val::Plain(Value::Special(special)) => match &**special {
                Special::Set(items) => Some(items.len()),
                Special::Dict(items) => Some(items.len()),
                _ => None,
            },
            Val::List(list) => Some(list.items.len()),
            Val::Dict(dict) => Some(dict.items.len()),
            Val::Set(set) => Some(set.items.len()),
            Val::View(view) if view.is_set() => Some(view.items.len()),
            _ => None,
        }
    }

    /// A member of a list by index from the front.
    pub fn member(&self, at: usize) -> Option<Val<'a>> {
        match self {
            Val::Plain(Value::List(items)) => items.get(at).cloned().map(Val::Plain),
            Val::List(list) => list.items.get(at).cloned(),
            _ => None,
        }
    }

    /// The member of a dictionary; `None` when there is none or this is no dictionary.
    pub fn lookup(&self, ev: &Eval<'a>, key: &Val<'a>) -> Result<Option<Val<'a>>, Error> {
        Ok(match self {
            Val::Plain(Value::Map(map)) => match key {
                Val::Plain(Value::Str(name)) => member(map, name).cloned().map(Val::Plain),
                _ => None,
            },
            Val::Plain(Value::Special(special)) => match &**special {
                Special::Dict(pairs) => {
                    let key = ev.key(key.clone())?;
                    ev.budget.step(pairs.len() as u64)?;
                    let found = pairs.iter().find(|(k, _)| same_plain(k, &key));
                    found.map(|(_, value)| Val::Plain(value.clone()))
                }
                _ => None,
            },
            Val::Dict(dict) => dict.items.get(&ev.key(key.clone())?).cloned(),
            _ => None,
        })
    }

    /// The pairs of a dictionary, in order.
    pub fn pairs(&self) -> Vec<(Val<'a>, Val<'a>)> {
        match self {
            Val::Plain(Value::Map(map)) => {
                map.iter().map(|(k, v)| (Val::Plain(Value::Str(k.clone())), Val::Plain(v.clone()))).collect()
            }
            Val::Plain(Value::Special(special)) => match &**special {
                Special::Dict(pairs) => {
                    pairs.iter().map(|(k, v)| (Val::Plain(k.clone()), Val::Plain(v.clone()))).collect()
                }
                _ => Vec::new(),
            },
            Val::Dict(dict) => dict.items.iter().map(|(k, v)| (k.0.clone(), v.clone())).collect(),
            _ => Vec::new(),
        }
    }
}

fn same_plain(plain: &Value, key: &Key<'_>) -> bool {
    Key(Val::Plain(plain.clone())) == Key(key.0.clone())
}

/// A value as member of a set or key of a dictionary: equal as Python sees it (`1`, `1.0` and `true` are one).
#[derive(Clone)]
pub(super) struct Key<'a>(pub Val<'a>);

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        equal(&self.0, &other.0)
    }
}
impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

/// Equal values must hash alike, so numbers hash by their value and collections by their kind and members.
fn hash<H: Hasher>(val: &Val<'_>, state: &mut H) {
    match val {
        Val::Plain(value) => hash_plain(value, state),
        Val::List(list) => {
            state.write_u8(5);
            list.items.iter().for_each(|item| hash(item, state));
        }
        Val::Dict(dict) => hash_unordered(6, dict.items.len(), state),
        Val::Set(set) => hash_unordered(7, set.items.len(), state),
        Val::View(view) => hash_unordered(7, view.items.len(), state),
        Val::Iter(_) | Val::Ordering(_) | Val::Context(_) => state.write_u8(8),
    }
}

fn hash_unordered<H: Hasher>(kind: u8, length: usize, state: &mut H) {
    state.write_u8(kind);
    state.write_usize(length);
}

fn hash_plain<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Null => state.write_u8(1),
        Value::Bool(b) => state.write_i64(i64::from(*b)),
        Value::Int(n) => state.write_i64(*n),
        Value::Big(n) => state.write_u64(n.to_f64().unwrap_or(f64::INFINITY).to_bits()),
        Value::Float(x) => match whole(*x) {
            Some(n) => state.write_i64(n),
            None => state.write_u64(x.to_bits()),
        },
        Value::Str(text) => text.hash(state),
        Value::List(items) => {
            state.write_u8(5);
            items.iter().for_each(|item| hash_plain(item, state));
        }
        Value::Map(map) => hash_unordered(6, map.len(), state),
        Value::Special(special) => match &**special {
            Special::Set(items) => hash_unordered(7, items.len(), state),
            Special::Dict(items) => hash_unordered(6, items.len(), state),
            Special::DateTime { micros, .. } => state.write_i64(*micros),
            Special::Timespan(us) => state.write_i64(*us),
            Special::Regex(source) => source.hash(state),
            Special::Bytes(bytes) => bytes.hash(state),
        },
    }
}

/// The float as the 64-bit integer that it equals.
fn whole(x: f64) -> Option<i64> {
    let fits = x.fract() == 0.0 && (-9.2e18..9.2e18).contains(&x);
    fits.then_some(x as i64)
}

fn is_mutable(val: &Val<'_>) -> bool {
    matches!(val, Val::List(list) if list.is_mutable)
}

/// Whether a Python list is in it, at whatever depth.
fn is_unhashable(val: &Val<'_>) -> bool {
    match val {
        Val::List(list) => list.is_mutable || list.items.iter().any(is_unhashable),
        Val::View(view) => view.is_set(),
        _ => false,
    }
}

/// Python's `==`: never an error, numbers by value, everything else only within its kind.
pub(super) fn equal<'v>(a: &Val<'v>, b: &Val<'v>) -> bool {
    match (a, b) {
        (Val::Plain(a), Val::Plain(b)) => equal_plain(a, b),
        (Val::Iter(a), Val::Iter(b)) => match (&a.source, &b.source) {
            (Source::Once(a), Source::Once(b)) => Rc::ptr_eq(a, b),
            (Source::Memorized(a), Source::Memorized(b)) => Rc::ptr_eq(a, b),
            _ => false,
        },
        (Val::Context(a), Val::Context(b)) => Rc::ptr_eq(a, b),
        (Val::Ordering(a), Val::Ordering(b)) => Rc::ptr_eq(a, b),
        _ if a.is_sequence() && b.is_sequence() => {
            a.length() == b.length()
                && is_mutable(a) == is_mutable(b)
                && (0..a.length().unwrap_or(0)).all(|i| match (a.member(i), b.member(i)) {
                    (Some(x), Some(y)) => equal(&x, &y),
                    _ => false,
                })
        }
        _ if a.is_mapping() && b.is_mapping() => {
            let find = hashed(b);
            a.length() == b.length()
                && a.pairs().into_iter().all(|(k, x)| find.get(&Key(k)).is_some_and(|y| equal(&x, y)))
        }
        _ if a.is_set() && b.is_set() => {
            let members: IndexSet<Key<'v>> = members(a).into_iter().map(Key).collect();
            a.length() == b.length() && self::members(b).into_iter().all(|item| members.contains(&Key(item)))
        }
        _ => false,
    }
}

fn hashed<'a>(dict: &Val<'a>) -> IndexMap<Key<'a>, Val<'a>> {
    dict.pairs().into_iter().map(|(k, v)| (Key(k), v)).collect()
}

/// The members of a set.
pub(super) fn members<'a>(set: &Val<'a>) -> Vec<Val<'a>> {
    match set {
        Val::Set(set) => set.items.iter().map(|key| key.0.clone()).collect(),
        Val::View(view) => view.items.clone(),
        _ => match set.as_special() {
            Some(Special::Set(items)) => items.iter().cloned().map(Val::Plain).collect(),
            _ => Vec::new(),
        },
    }
}

fn equal_plain(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Big(a), Value::Big(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Int(n), Value::Bool(b)) | (Value::Bool(b), Value::Int(n)) => *n == i64::from(*b),
        (Value::Float(x), Value::Bool(b)) | (Value::Bool(b), Value::Float(x)) => *x == f64::from(u8::from(*b)),
        (Value::Float(x), Value::Int(n)) | (Value::Int(n), Value::Float(x)) => whole(*x) == Some(*n),
        (Value::Float(x), Value::Big(n)) | (Value::Big(n), Value::Float(x)) => {
            x.fract() == 0.0 && num_bigint::BigInt::try_from(ExactFloat(*x)).is_ok_and(|x| x == **n)
        }
        (Value::List(a), Value::List(b)) => {
            Arc::ptr_eq(a, b) || (a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| equal_plain(x, y)))
        }
        (Value::Map(a), Value::Map(b)) => {
            Arc::ptr_eq(a, b)
                || (a.len() == b.len() && a.iter().all(|(k, x)| b.get(k).is_some_and(|y| equal_plain(x, y))))
        }
        (Value::Special(x), Value::Special(y)) => match (&**x, &**y) {
            (Special::DateTime { micros: a, .. }, Special::DateTime { micros: b, .. }) => a == b,
            (Special::Timespan(a), Special::Timespan(b)) => a == b,
            (Special::Regex(a), Special::Regex(b)) => a == b,
            (Special::Bytes(a), Special::Bytes(b)) => a == b,
            (Special::Set(_), Special::Set(_)) => {
                let (a, b) = (Val::Plain(a.clone()), Val::Plain(b.clone()));
                let known: IndexSet<Key<'_>> = members(&a).into_iter().map(Key).collect();
                let others = members(&b);
                known.len() == others.len() && others.into_iter().all(|item| known.contains(&Key(item)))
            }
            (Special::Dict(a), Special::Dict(b)) => {
                let known: IndexMap<Key<'_>, &Value> = b.iter().map(|(k, v)| (Key(Val::Plain(k.clone())), v)).collect();
                a.len() == b.len()
                    && a.iter().all(|(k, x)| known.get(&Key(Val::Plain(k.clone()))).is_some_and(|y| equal_plain(x, y)))
            }
            _ => false,
        },
        (Value::Map(map), Value::Special(_)) | (Value::Special(_), Value::Map(map)) if map.is_empty() => {
            let special = if matches!(a, Value::Special(_)) { a } else { b };
            matches!(special, Value::Special(s) if matches!(&**s, Special::Dict(pairs) if pairs.is_empty()))
        }
        _ => false,
    }
}

/// A finite whole float, for exact comparison with big integers.
struct ExactFloat(f64);

impl TryFrom<ExactFloat> for num_bigint::BigInt {
    type Error = ();
    fn try_from(x: ExactFloat) -> Result<Self, ()> {
        num_traits::FromPrimitive::from_f64(x.0).ok_or(())
    }
}

impl<'a> Eval<'a> {
    /// Checks the depth of a container whose members are not all plain.
    pub fn nest_of<'v>(&self, members: impl IntoIterator<Item = &'v Val<'a>>) -> Result<u32, Error>
    where
        'a: 'v,
    {
        self.deeper(members.into_iter().map(Val::nest).max().unwrap_or(0))
    }

    /// One more layer around something `nest` layers deep.
    pub fn deeper(&self, nest: u32) -> Result<u32, Error> {
        if nest >= DEEPEST { Err(Error::limit("values nested too deeply")) } else { Ok(nest + 1) }
    }

    /// A tuple.
    pub fn list(&self, items: Vec<Val<'a>>) -> Outcome<'a> {
        self.budget.bytes(24 + 24 * items.len() as u64)?;
        if items.iter().all(|item| matches!(item, Val::Plain(_))) {
            let plain = items.into_iter().filter_map(|item| match item {
                Val::Plain(value) => Some(value),
                _ => None,
            });
            return self.plain_list(plain.collect());
        }
        let nest = self.nest_of(&items)?;
        Ok(Val::List(Rc::new(Listing { items, is_mutable: false, nest })))
    }

    /// A Python list, which is what a few functions give instead of a tuple.
    pub fn mutable_list(&self, items: Vec<Val<'a>>) -> Outcome<'a> {
        self.budget.bytes(24 + 24 * items.len() as u64)?;
        let nest = self.nest_of(&items)?;
        self.plain_depth(items.iter().filter_map(|item| match item {
            Val::Plain(value) => Some(value),
            _ => None,
        }))?;
        Ok(Val::List(Rc::new(Listing { items, is_mutable: true, nest })))
    }

    /// A tuple of plain members.
    pub fn plain_list(&self, items: Vec<Value>) -> Outcome<'a> {
        let depth = self.plain_depth(items.iter())?;
        let value = Value::List(Arc::new(items));
        self.remember(&value, depth);
        Ok(Val::Plain(value))
    }

    /// A dictionary; of equal keys the first stays and the last value wins.
    pub fn dict(&self, pairs: impl IntoIterator<Item = (Val<'a>, Val<'a>)>) -> Outcome<'a> {
        let mut pairs = pairs.into_iter();
        let mut map = Map::with_capacity(pairs.size_hint().0.min(1024));
        while let Some((key, value)) = pairs.next() {
            self.budget.bytes(48)?;
            match (key, value) {
                (Val::Plain(Value::Str(key)), Val::Plain(value)) => {
                    map.insert(key, value);
                }
                other => return self.general_dict(map, std::iter::once(other).chain(pairs)),
            }
        }
        self.plain_map(map)
    }

    pub fn plain_map(&self, map: Map) -> Outcome<'a> {
        let depth = self.plain_depth(map.values())?;
        let value = Value::Map(Arc::new(map));
        self.remember(&value, depth);
        Ok(Val::Plain(value))
    }

    fn general_dict(&self, start: Map, pairs: impl Iterator<Item = (Val<'a>, Val<'a>)>) -> Outcome<'a> {
        let mut items: IndexMap<Key<'a>, Val<'a>> =
            start.into_iter().map(|(k, v)| (Key(Val::Plain(Value::Str(k))), Val::Plain(v))).collect();
        for (key, value) in pairs {
            self.budget.bytes(64)?;
            items.insert(self.key(key)?, value);
        }
        let nest = self.nest_of(items.keys().map(|k| &k.0).chain(items.values()))?;
        self.plain_depth(items.keys().map(|k| &k.0).chain(items.values()).filter_map(|v| match v {
            Val::Plain(value) => Some(value),
            _ => None,
        }))?;
        Ok(Val::Dict(Rc::new(Dict { items, nest })))
    }

    /// A set. Texts stay in the order in which they came; whole numbers take the places that they have in a
    /// set of Python, since there the order can be relied on.
    pub fn set(&self, items: impl IntoIterator<Item = Val<'a>>) -> Outcome<'a> {
        let members = self.unique(items)?;
        let hashes: Option<Vec<u64>> = members.iter().map(|key: &Key<'a>| number_hash(&key.0)).collect();
        match hashes {
            Some(hashes) if hashes.len() > 1 => {
                self.budget.step(hashes.len() as u64)?;
                let order = hash_order(&hashes);
                self.set_of(order.into_iter().filter_map(|at| members.get_index(at).cloned()).collect())
            }
            _ => self.set_of(members),
        }
    }

    fn unique(&self, items: impl IntoIterator<Item = Val<'a>>) -> Result<IndexSet<Key<'a>>, Error> {
        let mut members = IndexSet::new();
        for item in items {
            self.budget.bytes(48)?;
            members.insert(self.key(item)?);
        }
        Ok(members)
    }

    fn set_of(&self, members: IndexSet<Key<'a>>) -> Outcome<'a> {
        let nest = self.nest_of(members.iter().map(|k: &Key<'a>| &k.0))?;
        Ok(Val::Set(Rc::new(Set { items: members, nest })))
    }

    /// A value to be hashed; pays for the hashing.
    pub fn key(&self, val: Val<'a>) -> Result<Key<'a>, Error> {
        self.budget.step(match &val {
            Val::Plain(Value::Str(text)) => 1 + text.len() as u64 / 64,
            Val::Plain(Value::List(items)) => 1 + items.len() as u64,
            Val::Plain(Value::Map(map)) => 1 + map.len() as u64,
            _ => 1,
        })?;
        if is_unhashable(&val) {
            return Err(Error::new("TypeError", "unhashable type: 'list'"));
        }
        Ok(Key(val))
    }

    /// Python's `==`, paid for by the size of the smaller side's top level.
    pub fn equal(&self, a: &Val<'a>, b: &Val<'a>) -> Result<bool, Error> {
        if let (Val::Plain(x), Val::Plain(y)) = (a, b) {
            let cost = match (x, y) {
                (Value::Str(x), Value::Str(y)) => x.len().min(y.len()) as u64 / 64,
                (Value::List(_) | Value::Map(_), Value::List(_) | Value::Map(_)) => weight(x).min(weight(y)),
                _ => 0,
            };
            self.budget.step(cost)?;
            return Ok(equal_plain(x, y));
        }
        self.budget.step(a.length().unwrap_or(0).min(b.length().unwrap_or(0)) as u64)?;
        Ok(equal(a, b))
    }

    /// A generator over `source` items and captured `lambdas`.
    pub fn generator(
        &self,
        nest: u32,
        next: impl FnMut(&'a Eval<'a>) -> Result<Option<Val<'a>>, Error> + 'a,
    ) -> Outcome<'a> {
        self.budget.bytes(64)?;
        let nest = self.deeper(nest)?;
        Ok(Val::Iter(Iter { source: Source::Once(Rc::new(RefCell::new(next))), nest }))
    }

    /// A walk over `val`; `TypeError` when it is not iterable.
    pub fn walk(&'a self, val: &Val<'a>) -> Result<Cursor<'a>, Error> {
        Ok(match val {
            Val::Plain(Value::List(items)) => Cursor::Plain(items.clone(), 0),
            Val::Plain(Value::Special(special)) if matches!(**special, Special::Set(_)) => {
                Cursor::Special(special.clone(), 0)
            }
            Val::List(list) => Cursor::List(list.clone(), 0),
            Val::Set(set) => Cursor::Set(set.clone(), 0),
            Val::View(view) => Cursor::View(view.clone(), 0),
            Val::Iter(iter) => match &iter.source {
                Source::Once(source) => Cursor::Once(source.clone()),
                Source::Memorized(memory) => Cursor::Memorized(memory.clone(), 0),
            },
            Val::Ordering(ordering) => Cursor::Sorted(super::library::ordering::sorted(self, ordering)?, 0),
            _ => return Err(Error::new("TypeError", "object is not iterable")),
        })
    }

    /// All items.
    pub fn collect(&'a self, val: &Val<'a>) -> Result<Vec<Val<'a>>, Error> {
        let mut cursor = self.walk(val)?;
        let hint = cursor.size_hint();
        self.budget.bytes(24 * hint as u64)?;
        let mut items = Vec::with_capacity(hint);
        while let Some(item) = cursor.next(self)? {
            if items.len() >= hint {
                self.budget.bytes(24)?;
            }
            items.push(item);
        }
        Ok(items)
    }

    /// A view of a dictionary's keys, values or pairs.
    pub fn view(&self, items: Vec<Val<'a>>, kind: ViewKind, of: Val<'a>) -> Outcome<'a> {
        self.budget.bytes(24 * items.len() as u64)?;
        let nest = self.nest_of(&items)?.max(self.nest_of([&of])?);
        Ok(Val::View(Rc::new(View { items, kind, of, nest })))
    }

    /// The depth of a plain container of these members.
    fn plain_depth<'v>(&self, members: impl Iterator<Item = &'v Value>) -> Result<u32, Error> {
        let deepest = self.deepest(members, 0)?;
        self.deeper(deepest)
    }

    /// How deep plain data nests. Containers made or measured before are remembered by address; they are
    /// kept alive for that, so that no other container can come to have the same one.
    fn depth_of(&self, value: &Value, above: u32) -> Result<u32, Error> {
        if above > DEEPEST {
            return Err(Error::limit("values nested too deeply"));
        }
        if let Some(known) = self.known_depth(value) {
            return Ok(known);
        }
        let (deepest, count) = match value {
            Value::List(items) => (self.deepest(items.iter(), above)?, items.len()),
            Value::Map(map) => (self.deepest(map.values(), above)?, map.len()),
            Value::Special(special) => match &**special {
                Special::Set(items) => (self.deepest(items.iter(), above)?, items.len()),
                Special::Dict(pairs) => (self.deepest(pairs.iter().flat_map(|(k, v)| [k, v]), above)?, pairs.len()),
                _ => return Ok(0),
            },
            _ => return Ok(0),
        };
        if deepest > 0 || count > 16 {
            self.remember(value, deepest + 1);
        }
        Ok(deepest + 1)
    }

    fn deepest<'v>(&self, members: impl Iterator<Item = &'v Value>, above: u32) -> Result<u32, Error> {
        let mut deepest = 0;
        for member in members {
            if matches!(member, Value::List(_) | Value::Map(_) | Value::Special(_)) {
                deepest = deepest.max(self.depth_of(member, above + 1)?);
            }
        }
        Ok(deepest)
    }
}

/// Python's hash of a whole number of moderate size.
fn number_hash(val: &Val<'_>) -> Option<u64> {
    match val {
        Val::Plain(Value::Bool(b)) => Some(u64::from(*b)),
        Val::Plain(Value::Int(-1)) => Some(-2_i64 as u64),
        // Beyond, the hash is a remainder; sets of such numbers have no order worth keeping.
        Val::Plain(Value::Int(n)) if n.unsigned_abs() < 1 << 60 => Some(*n as u64),
        _ => None,
    }
}

/// The order in which Python walks a set of members with these hashes, added one after the other: open
/// addressing that looks at ten neighbours before it jumps, in a table that grows fourfold at three fifths.
fn hash_order(hashes: &[u64]) -> Vec<usize> {
    const NEIGHBOURS: u64 = 9;
    fn place(table: &mut [Option<usize>], hash: u64, member: usize) {
        let mask = table.len() as u64 - 1;
        let (mut at, mut perturb) = (hash & mask, hash);
        loop {
            let last = if at + NEIGHBOURS <= mask { at + NEIGHBOURS } else { at };
            for slot in at..=last {
                if let Some(free @ None) = table.get_mut(slot as usize) {
                    *free = Some(member);
                    return;
                }
            }
            perturb >>= 5;
            at = (at.wrapping_mul(5).wrapping_add(1).wrapping_add(perturb)) & mask;
        }
    }
    let mut table: Vec<Option<usize>> = vec![None; 8];
    for (member, hash) in hashes.iter().enumerate() {
        place(&mut table, *hash, member);
        let used = member + 1;
        if used * 5 >= (table.len() - 1) * 3 {
            let wanted = used * if used > 50_000 { 2 } else { 4 };
            let mut larger = vec![None; (wanted + 1).next_power_of_two().max(8)];
            for member in table.into_iter().flatten() {
                place(&mut larger, hashes.get(member).copied().unwrap_or(0), member);
            }
            table = larger;
        }
    }
    table.into_iter().flatten().collect()
}

/// Roughly how many scalars a plain value holds, up to a few thousand.
fn weight(value: &Value) -> u64 {
    fn add(value: &Value, total: &mut u64) {
        *total += 1;
        if *total > 4096 {
            return;
        }
        match value {
            Value::List(items) => items.iter().take(4096).for_each(|item| add(item, total)),
            Value::Map(map) => map.values().take(4096).for_each(|item| add(item, total)),
            _ => {}
        }
    }
    let mut total = 0;
    add(value, &mut total);
    total
}

/// The address of a container.
pub(super) fn address(value: &Value) -> Option<usize> {
    match value {
        Value::List(items) => Some(Arc::as_ptr(items) as usize),
        Value::Map(map) => Some(Arc::as_ptr(map) as usize),
        Value::Special(special) => Some(Arc::as_ptr(special) as usize),
        _ => None,
    }
}

/// A text of one evaluation.
pub(super) fn text<'a>(text: Str) -> Val<'a> {
    Val::Plain(Value::Str(text))
}
