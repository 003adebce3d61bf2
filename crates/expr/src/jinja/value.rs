//! Values while a template runs: the shared [`Value`]s of the context, and what templates make on the way.
//!
//! Data from the context is looked at in place and never copied; what a template builds may hold tuples,
//! views of dictionaries, functions and undefined values, which Python prints in their own ways. All of it
//! is immutable: a method that changes its object (`x.append(1)`) gives a new one, which the interpreter
//! puts back where the object came from.
//!
//! Invariant: nothing is nested deeper than [`MAX_NESTING`], so printing and dropping need no care.

use super::ast::{For, Macro};
use crate::{Error, functions, python};
use indexmap::IndexMap;
use num_bigint::BigInt;
use squall_model::{Map, Special, Str, Value};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// How deep values made by a template may nest.
pub(super) const MAX_NESTING: u16 = 200;

/// A value of a running template.
#[derive(Clone)]
pub(super) enum V {
    Undefined(Rc<Undefined>),
    None,
    Bool(bool),
    Int(i64),
    Big(Arc<BigInt>),
    Float(f64),
    Str(Str),
    List(Seq),
    Tuple(Seq),
    Dict(Dict),
    /// Sets, dates, durations, patterns, bytes.
    Special(Arc<Special>),
    /// `keys()`, `values()` or `items()`.
    View(View, Dict),
    Range {
        start: i64,
        len: i64,
        step: i64,
    },
    /// What a lazy filter gives: only to be iterated. The name is Python's.
    Generator(&'static str, Seq),
    /// What a lazy filter gives that fails: nobody hears of it unless it is iterated.
    Broken(Rc<Error>),
    Function(Rc<Function>),
    /// The variable `loop`.
    Loop(Rc<Loop>),
    Namespace(Rc<RefCell<IndexMap<Str, V>>>),
    Cycler(Rc<Cycler>),
    Joiner(Rc<(Str, std::cell::Cell<bool>)>),
    /// `st2kv`, `st2kv.system`, `st2kv.system.a.b`: a datastore item, read when it is used.
    Item(Rc<Item>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Keys,
    Values,
    Items,
}

/// Something that is not there, and what to say about it.
pub(super) struct Undefined {
    pub(super) message: String,
    /// Whether it is an empty text even where undefined names are errors: an inline `if` without `else`.
    pub(super) silent: bool,
    /// The error that its use is.
    pub(super) class: &'static str,
}

pub(super) enum Function {
    /// Something every template knows: `range`, `dict`, `namespace`, …
    Global(&'static str),
    /// A function of the host.
    Host(Str),
    /// A function over plain values that the engine has.
    Shared(&'static functions::Function),
    Macro {
        template: Arc<Macro>,
        frame: usize,
        caller: Option<V>,
    },
    /// A method of an object, not yet called.
    Method(V, Str),
    /// `caller()` of a call block.
    Caller {
        body: Arc<Macro>,
        frame: usize,
    },
}

/// The state of a loop that templates can see.
pub(super) struct Loop {
    pub(super) index0: usize,
    pub(super) items: Rc<Vec<V>>,
    pub(super) depth0: usize,
    pub(super) changed: Rc<RefCell<Option<Vec<V>>>>,
    /// The loop itself when it is recursive.
    pub(super) again: Option<Arc<For>>,
}

pub(super) struct Cycler {
    pub(super) items: Vec<V>,
    pub(super) at: std::cell::Cell<usize>,
}

/// A place in the datastore.
#[derive(Clone)]
pub(super) struct Item {
    /// `system` or `user`; none for `st2kv` itself.
    pub(super) scope: Option<Str>,
    pub(super) key: String,
}

/// The items of a list or tuple.
#[derive(Clone)]
pub(super) enum Seq {
    Data(Arc<Vec<Value>>),
    Own(Rc<Own>),
}

#[derive(Clone)]
pub(super) struct Own {
    pub(super) items: Vec<V>,
    depth: u16,
}

impl Seq {
    pub(super) fn len(&self) -> usize {
        match self {
            Seq::Data(items) => items.len(),
            Seq::Own(own) => own.items.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<V> {
        match self {
            Seq::Data(items) => items.get(index).map(V::from),
            Seq::Own(own) => own.items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = V> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    pub(super) fn to_vec(&self) -> Vec<V> {
        self.iter().collect()
    }

    /// Adds to the end, in place when nobody else looks.
    pub(super) fn push(self, item: V) -> Result<Seq, Error> {
        let depth = deeper([&item])?;
        match self {
            Seq::Own(mut own) => {
                let inner = Rc::make_mut(&mut own);
                inner.depth = inner.depth.max(depth);
                inner.items.push(item);
                Ok(Seq::Own(own))
            }
            Seq::Data(items) => {
                let mut items: Vec<V> = items.iter().map(V::from).collect();
                items.push(item);
                Ok(Seq::Own(Rc::new(Own { items, depth })))
            }
        }
    }
}

/// Makes a sequence, refusing what would nest too deeply.
pub(super) fn seq(items: Vec<V>) -> Result<Seq, Error> {
    let depth = deeper(&items)?;
    Ok(Seq::Own(Rc::new(Own { items, depth })))
}

fn deeper<'a>(items: impl IntoIterator<Item = &'a V>) -> Result<u16, Error> {
    let depth = items.into_iter().map(V::depth).max().unwrap_or(0) + 1;
    if depth > MAX_NESTING { Err(Error::limit("values are nested too deeply")) } else { Ok(depth) }
}

/// A dictionary.
#[derive(Clone)]
pub(super) enum Dict {
    Data(Arc<Map>),
    Own(Rc<OwnDict>),
}

#[derive(Clone, Default)]
pub(super) struct OwnDict {
    /// By the canonical form of the key: equal keys of different types (1, 1.0, true) are one.
    entries: IndexMap<String, (V, V)>,
    depth: u16,
}

impl Dict {
    pub(super) fn len(&self) -> usize {
        match self {
            Dict::Data(map) => map.len(),
            Dict::Own(own) => own.entries.len(),
        }
    }

    pub(super) fn pairs(&self) -> Box<dyn Iterator<Item = (V, V)> + '_> {
        match self {
            Dict::Data(map) => Box::new(map.iter().map(|(k, v)| (V::Str(k.clone()), V::from(v)))),
            Dict::Own(own) => Box::new(own.entries.values().cloned()),
        }
    }

    pub(super) fn get_str(&self, key: &str) -> Option<V> {
        match self {
            Dict::Data(map) => map.get(key).map(V::from),
            Dict::Own(own) => own.entries.get(&text_key(key)).map(|(_, v)| v.clone()),
        }
    }

    pub(super) fn get(&self, key: &V) -> Result<Option<V>, Error> {
        match (self, key) {
            (_, V::Str(key)) => Ok(self.get_str(key)),
            (Dict::Data(_), key) => canonical(key).map(|_| None),
            (Dict::Own(own), key) => Ok(own.entries.get(&canonical(key)?).map(|(_, v)| v.clone())),
        }
    }

    /// The dictionary as one of its own kind, to be changed.
    pub(super) fn own(self) -> OwnDict {
        match self {
            Dict::Own(own) => Rc::try_unwrap(own).unwrap_or_else(|own| (*own).clone()),
            Dict::Data(map) => OwnDict {
                entries: map.iter().map(|(k, v)| (text_key(k), (V::Str(k.clone()), V::from(v)))).collect(),
                depth: 1,
            },
        }
    }
}

impl OwnDict {
    pub(super) fn insert(&mut self, key: V, value: V) -> Result<(), Error> {
        self.depth = self.depth.max(deeper([&key, &value])?);
        match self.entries.entry(canonical(&key)?) {
            indexmap::map::Entry::Occupied(mut found) => found.get_mut().1 = value,
            indexmap::map::Entry::Vacant(free) => {
                free.insert((key, value));
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &V) -> Result<Option<V>, Error> {
        Ok(self.entries.get(&canonical(key)?).map(|(_, v)| v.clone()))
    }

    pub(super) fn remove(&mut self, key: &V) -> Result<Option<V>, Error> {
        Ok(self.entries.shift_remove(&canonical(key)?).map(|(_, v)| v))
    }

    pub(super) fn pop(&mut self) -> Option<(V, V)> {
        self.entries.pop().map(|(_, pair)| pair)
    }
}

impl From<OwnDict> for V {
    fn from(own: OwnDict) -> V {
        V::Dict(Dict::Own(Rc::new(own)))
    }
}

/// A dictionary of pairs, later ones winning.
pub(super) fn dict(pairs: impl IntoIterator<Item = (V, V)>) -> Result<V, Error> {
    let mut own = OwnDict { depth: 1, ..OwnDict::default() };
    for (key, value) in pairs {
        own.insert(key, value)?;
    }
    Ok(own.into())
}

fn text_key(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 1);
    out.push('s');
    out.push_str(key);
    out
}

/// A text that is equal for keys that Python takes for equal.
pub(super) fn canonical(key: &V) -> Result<String, Error> {
    Ok(match key {
        V::Str(s) => text_key(s),
        V::Bool(b) => format!("i{}", i64::from(*b)),
        V::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => format!("i{}", *x as i64),
        V::Int(n) => format!("i{n}"),
        V::List(_) | V::Dict(_) => {
            return Err(Error::new("TypeError", format!("unhashable type: '{}'", key.type_name())));
        }
        V::Tuple(items) => {
            let mut out = String::from("(");
            for item in items.iter() {
                let inner = canonical(&item)?;
                out.push_str(&format!("{}:{inner},", inner.len()));
            }
            out
        }
        other => format!("o{}", other.repr()),
    })
}

impl From<&Value> for V {
    fn from(value: &Value) -> V {
        match value {
            Value::Null => V::None,
            Value::Bool(b) => V::Bool(*b),
            Value::Int(n) => V::Int(*n),
            Value::Big(n) => V::Big(n.clone()),
            Value::Float(x) => V::Float(*x),
            Value::Str(s) => V::Str(s.clone()),
            Value::List(items) => V::List(Seq::Data(items.clone())),
            Value::Map(map) => V::Dict(Dict::Data(map.clone())),
            Value::Special(special) => match &**special {
                Special::Dict(pairs) => dict(pairs.iter().map(|(k, v)| (V::from(k), V::from(v))))
                    .unwrap_or_else(|_| V::Special(special.clone())),
                _ => V::Special(special.clone()),
            },
        }
    }
}

impl From<Value> for V {
    fn from(value: Value) -> V {
        V::from(&value)
    }
}

impl From<&str> for V {
    fn from(text: &str) -> V {
        V::Str(text.into())
    }
}

impl From<String> for V {
    fn from(text: String) -> V {
        V::Str(text.into())
    }
}

impl From<bool> for V {
    fn from(b: bool) -> V {
        V::Bool(b)
    }
}

impl From<usize> for V {
    fn from(n: usize) -> V {
        V::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl V {
    pub(super) fn list(items: Vec<V>) -> Result<V, Error> {
        Ok(V::List(seq(items)?))
    }

    pub(super) fn tuple(items: Vec<V>) -> Result<V, Error> {
        Ok(V::Tuple(seq(items)?))
    }

    pub(super) fn generator(items: Vec<V>) -> Result<V, Error> {
        Ok(V::Generator("generator", seq(items)?))
    }

    pub(super) fn big(n: BigInt) -> V {
        V::from(Value::big(n))
    }

    /// What an inline `if` without `else` gives.
    pub(super) fn nothing() -> V {
        let message = "the inline if-expression evaluated to false and no else section was defined.".to_owned();
        V::Undefined(Rc::new(Undefined { message, silent: true, class: "UndefinedError" }))
    }

    pub(super) fn undefined(message: impl Into<String>) -> V {
        V::Undefined(Rc::new(Undefined { message: message.into(), silent: false, class: "UndefinedError" }))
    }

    /// Something that is there and may not be seen.
    pub(super) fn forbidden(message: String) -> V {
        V::Undefined(Rc::new(Undefined { message, silent: false, class: "SecurityError" }))
    }

    fn depth(&self) -> u16 {
        match self {
            V::List(Seq::Own(own)) | V::Tuple(Seq::Own(own)) | V::Generator(_, Seq::Own(own)) => own.depth,
            V::Dict(Dict::Own(own)) | V::View(_, Dict::Own(own)) => own.depth,
            V::List(_) | V::Tuple(_) | V::Dict(_) | V::Special(_) => 1,
            // A bound method or a namespace may hold anything; count it as a step of its own.
            V::Function(function) => match &**function {
                Function::Method(object, _) => object.depth() + 1,
                Function::Macro { caller: Some(caller), .. } => caller.depth() + 1,
                _ => 1,
            },
            V::Namespace(fields) => {
                fields.try_borrow().map_or(MAX_NESTING, |f| f.values().map(V::depth).max().unwrap_or(0)) + 1
            }
            _ => 0,
        }
    }

    /// The name of Python's type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            V::Undefined(_) => "Undefined",
            V::None => "NoneType",
            V::Bool(_) => "bool",
            V::Int(_) | V::Big(_) => "int",
            V::Float(_) => "float",
            V::Str(_) => "str",
            V::List(_) => "list",
            V::Tuple(_) => "tuple",
            V::Dict(_) => "dict",
            V::Special(special) => match &**special {
                Special::Set(_) => "set",
                Special::Dict(_) => "dict",
                Special::DateTime { .. } => "datetime",
                Special::Timespan(_) => "timedelta",
                Special::Regex(_) => "Pattern",
                Special::Bytes(_) => "bytes",
            },
            V::View(View::Keys, _) => "dict_keys",
            V::View(View::Values, _) => "dict_values",
            V::View(View::Items, _) => "dict_items",
            V::Range { .. } => "range",
            V::Generator(name, _) => name,
            V::Broken(_) => "generator",
            V::Function(function) => match &**function {
                Function::Macro { .. } | Function::Caller { .. } => "Macro",
                Function::Method(..) => "builtin_function_or_method",
                _ => "function",
            },
            V::Loop(_) => "LoopContext",
            V::Namespace(_) => "Namespace",
            V::Cycler(_) => "Cycler",
            V::Joiner(_) => "Joiner",
            V::Item(_) => "KeyValueLookup",
        }
    }

    /// How messages about missing attributes call it.
    pub(super) fn described(&self) -> String {
        match self {
            V::None => "None".into(),
            other => format!("{} object", other.type_name()),
        }
    }

    /// Python's truth; undefined values and datastore items are the interpreter's business.
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            V::Undefined(_) | V::None => false,
            V::Bool(b) => *b,
            V::Int(n) => *n != 0,
            V::Float(x) => *x != 0.0,
            V::Str(s) => !s.is_empty(),
            V::List(items) | V::Tuple(items) => items.len() > 0,
            V::Dict(dict) | V::View(_, dict) => dict.len() > 0,
            V::Special(special) => Value::Special(special.clone()).is_truthy(),
            V::Range { len, .. } => *len > 0,
            _ => true,
        }
    }

    /// Python's `repr`.
    pub(super) fn repr(&self) -> String {
        let mut out = String::new();
        self.write_repr(&mut out);
        out
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            V::Undefined(_) => out.push_str("Undefined"),
            V::None => out.push_str("None"),
            V::Bool(true) => out.push_str("True"),
            V::Bool(false) => out.push_str("False"),
            V::Int(n) => out.push_str(&n.to_string()),
            V::Big(n) => out.push_str(&n.to_string()),
            V::Float(x) => out.push_str(&python::float(*x)),
            V::Str(s) => python::quote(out, s),
            V::List(Seq::Data(items)) => out.push_str(&python::repr(&Value::List(items.clone()))),
            V::List(items) => write_items(out, '[', items.iter(), "]"),
            V::Tuple(items) => {
                let end = if items.len() == 1 { ",)" } else { ")" };
                write_items(out, '(', items.iter(), end);
            }
            V::Dict(Dict::Data(map)) => out.push_str(&python::repr(&Value::Map(map.clone()))),
            V::Dict(dict) => {
                out.push('{');
                for (i, (key, value)) in dict.pairs().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    key.write_repr(out);
                    out.push_str(": ");
                    value.write_repr(out);
                }
                out.push('}');
            }
            V::Special(special) => out.push_str(&python::repr(&Value::Special(special.clone()))),
            V::View(view, dict) => {
                out.push_str(self.type_name());
                out.push('(');
                write_items(out, '[', view_items(*view, dict).into_iter(), "]");
                out.push(')');
            }
            V::Range { start, len, step } => {
                let stop = start.saturating_add(len.saturating_mul(*step));
                let by = if *step == 1 { String::new() } else { format!(", {step}") };
                out.push_str(&format!("range({start}, {stop}{by})"));
            }
            V::Generator(name, _) => out.push_str(&format!("<{name} object>")),
            V::Broken(_) => out.push_str("<generator object>"),
            V::Function(function) => match &**function {
                Function::Macro { template, .. } => out.push_str(&format!("<Macro '{}'>", template.name.text)),
                Function::Caller { .. } => out.push_str("<Macro 'caller'>"),
                Function::Method(object, name) => {
                    out.push_str(&format!("<built-in method {name} of {} object>", object.type_name()));
                }
                Function::Global(name) => match *name {
                    "self" => out.push_str("<TemplateReference None>"),
                    "range" | "dict" => out.push_str(&format!("<class '{name}'>")),
                    name => out.push_str(&format!("<function {name}>")),
                },
                Function::Host(name) => out.push_str(&format!("<function {name}>")),
                Function::Shared(shared) => out.push_str(&format!("<function {}>", shared.name)),
            },
            V::Loop(state) => out.push_str(&format!("<LoopContext {}/{}>", state.index0 + 1, state.items.len())),
            V::Namespace(fields) => {
                out.push_str("<Namespace {");
                if let Ok(fields) = fields.try_borrow() {
                    for (i, (name, value)) in fields.iter().enumerate() {
                        out.push_str(if i > 0 { ", " } else { "" });
                        python::quote(out, name);
                        out.push_str(": ");
                        value.write_repr(out);
                    }
                }
                out.push_str("}>");
            }
            V::Cycler(_) => out.push_str("<Cycler object>"),
            V::Joiner(_) => out.push_str("<Joiner object>"),
            V::Item(_) => out.push_str("<KeyValueLookup object>"),
        }
    }

    /// Refuses what Python's JSON and YAML cannot write: anything that is no plain data, at any depth.
    pub(super) fn dumpable(&self) -> Result<(), Error> {
        match self {
            V::None | V::Bool(_) | V::Int(_) | V::Big(_) | V::Float(_) | V::Str(_) | V::Special(_) | V::Item(_) => {
                Ok(())
            }
            V::List(Seq::Data(_)) | V::Tuple(Seq::Data(_)) | V::Dict(Dict::Data(_)) => Ok(()),
            V::List(items) | V::Tuple(items) => items.iter().try_for_each(|item| item.dumpable()),
            V::Dict(dict) => dict.pairs().try_for_each(|(_, value)| value.dumpable()),
            other => {
                let message = format!("Object of type {} is not JSON serializable", other.type_name());
                Err(Error::new("TypeError", message))
            }
        }
    }

    /// The value as shared data: tuples, views, ranges and generators become lists.
    pub(super) fn to_value(&self) -> Value {
        let list = |items: Vec<V>| Value::from(items.iter().map(V::to_value).collect::<Vec<_>>());
        match self {
            V::None | V::Undefined(_) => Value::Null,
            V::Bool(b) => Value::Bool(*b),
            V::Int(n) => Value::Int(*n),
            V::Big(n) => Value::Big(n.clone()),
            V::Float(x) => Value::Float(*x),
            V::Str(s) => Value::Str(s.clone()),
            V::List(Seq::Data(items)) | V::Tuple(Seq::Data(items)) | V::Generator(_, Seq::Data(items)) => {
                Value::List(items.clone())
            }
            V::List(items) | V::Tuple(items) | V::Generator(_, items) => list(items.to_vec()),
            V::Dict(Dict::Data(map)) => Value::Map(map.clone()),
            V::Dict(dict) => {
                let pairs: Vec<(V, V)> = dict.pairs().collect();
                if pairs.iter().all(|(key, _)| matches!(key, V::Str(_))) {
                    let text = |key: &V| if let V::Str(s) = key { s.clone() } else { Str::from("") };
                    Value::from(pairs.iter().map(|(k, v)| (text(k), v.to_value())).collect::<Map>())
                } else {
                    Value::special(Special::Dict(pairs.iter().map(|(k, v)| (k.to_value(), v.to_value())).collect()))
                }
            }
            V::Special(special) => Value::Special(special.clone()),
            V::View(view, dict) => list(view_items(*view, dict)),
            V::Range { .. } => list(self.range_items()),
            V::Namespace(fields) => {
                let fields = fields.try_borrow().map(|f| f.clone()).unwrap_or_default();
                Value::from(fields.iter().map(|(k, v)| (k.clone(), v.to_value())).collect::<Map>())
            }
            V::Broken(_) | V::Function(_) | V::Loop(_) | V::Cycler(_) | V::Joiner(_) | V::Item(_) => {
                Value::from(self.repr())
            }
        }
    }

    /// The numbers of a range, which is never longer than the sandbox allows.
    pub(super) fn range_items(&self) -> Vec<V> {
        match self {
            V::Range { start, len, step } => {
                (0..*len).map(|i| V::Int(start.wrapping_add(i.wrapping_mul(*step)))).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What a view of a dictionary shows.
pub(super) fn view_items(view: View, dict: &Dict) -> Vec<V> {
    dict.pairs()
        .map(|(key, value)| match view {
            View::Keys => key,
            View::Values => value,
            View::Items => {
                V::Tuple(Seq::Own(Rc::new(Own { depth: key.depth().max(value.depth()) + 1, items: vec![key, value] })))
            }
        })
        .collect()
}

fn write_items(out: &mut String, open: char, items: impl Iterator<Item = V>, close: &str) {
    out.push(open);
    for (i, item) in items.enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        item.write_repr(out);
    }
    out.push_str(close);
}
