//! The table of functions: names, kinds and parameters of the whole library.
//!
//! Each family lists its entries in a `TABLE`; everything else (which overload is meant, what a wrong
//! argument is called, which arguments are lazy) follows from the entries. To add a function, write it in the
//! module of its family and add one line there.

use super::call::Args;
use super::eval::{Eval, Outcome};
use super::library;
use super::value::Val;
use squall_model::{Special, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// How an entry can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `name(…)`
    Function,
    /// `receiver.name(…)`: the receiver is the first parameter.
    Method,
    /// Both.
    Both,
}

/// What a parameter accepts. An integer may be a Boolean, as in Python, unless it is [`Type::Number`] or
/// [`Type::Whole`]; no type accepts null unless it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Anything, null included.
    Any,
    Str,
    StrOrNull,
    Int,
    IntOrNull,
    /// An integer that is no Boolean.
    Whole,
    Number,
    NumberOrNull,
    Bool,
    BoolOrNull,
    Iterable,
    /// An iterable that is no set.
    IterableNoSet,
    Sequence,
    Generator,
    Mapping,
    Set,
    Regex,
    DateTime,
    Timespan,
    TimespanOrNull,
    Ordering,
    /// Not evaluated before the call.
    Lambda,
    /// `condition => value`, neither evaluated before the call.
    LazyPair,
    /// `key => value`, evaluated.
    Pair,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
    /// All remaining positional arguments.
    Rest,
    /// All remaining keyword arguments.
    Keywords,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Param {
    pub name: &'static str,
    pub accepts: Type,
    pub need: Need,
}

pub(super) const fn req(name: &'static str, accepts: Type) -> Param {
    Param { name, accepts, need: Need::Required }
}
pub(super) const fn opt(name: &'static str, accepts: Type) -> Param {
    Param { name, accepts, need: Need::Optional }
}
pub(super) const fn rest(name: &'static str, accepts: Type) -> Param {
    Param { name, accepts, need: Need::Rest }
}
pub(super) const fn keywords(name: &'static str) -> Param {
    Param { name, accepts: Type::Any, need: Need::Keywords }
}

pub(super) type Run = for<'a> fn(&'a Eval<'a>, Args<'a>) -> Outcome<'a>;

/// One overload.
pub(super) struct Entry {
    pub name: &'static str,
    pub kind: Kind,
    pub params: &'static [Param],
    /// `key => value` arguments are positional: the keys are expressions, not names of parameters.
    pub no_keywords: bool,
    pub run: Run,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({:?})", self.name, self.params)
    }
}

const fn entry(kind: Kind, name: &'static str, params: &'static [Param], run: Run) -> Entry {
    Entry { name, kind, params, no_keywords: false, run }
}
pub(super) const fn function(name: &'static str, params: &'static [Param], run: Run) -> Entry {
    entry(Kind::Function, name, params, run)
}
pub(super) const fn method(name: &'static str, params: &'static [Param], run: Run) -> Entry {
    entry(Kind::Method, name, params, run)
}
pub(super) const fn both(name: &'static str, params: &'static [Param], run: Run) -> Entry {
    entry(Kind::Both, name, params, run)
}

impl Entry {
    pub const fn without_keywords(self) -> Entry {
        Entry { no_keywords: true, ..self }
    }

    fn signature(&self) -> String {
        let shown = |param: &Param| {
            let lazy = if param.accepts.is_lazy() { "λ " } else { "" };
            let more = match param.need {
                Need::Required => "",
                Need::Optional => "?",
                Need::Rest | Need::Keywords => "…",
            };
            let name = match param.accepts {
                Type::Pair | Type::LazyPair => "key => value",
                _ => param.name,
            };
            format!("{lazy}{name}{more}")
        };
        let params: Vec<String> = self.params.iter().map(shown).collect();
        let as_function = format!("{}({})", self.name, params.join(", "));
        let Some(first) = self.params.first().filter(|_| self.kind != Kind::Function) else { return as_function };
        // A collecting receiver is the first of what it collects.
        let inside = params.get(usize::from(first.need != Need::Rest)..).unwrap_or_default().join(", ");
        let as_method = format!("{}.{}({inside})", first.name, self.name);
        if self.kind == Kind::Both { format!("{as_method} or {as_function}") } else { as_method }
    }

    /// Whether it can be called in this way.
    pub fn is_for(&self, is_method: bool) -> bool {
        match self.kind {
            Kind::Both => true,
            Kind::Function => !is_method,
            Kind::Method => is_method,
        }
    }
}

/// All overloads of a name.
#[derive(Debug)]
pub(super) struct Group {
    pub entries: Vec<&'static Entry>,
}

static GROUPS: LazyLock<HashMap<&'static str, Group>> = LazyLock::new(|| {
    let mut groups: HashMap<&'static str, Group> = HashMap::new();
    for entry in library::TABLES.iter().copied().flatten() {
        groups.entry(entry.name).or_insert_with(|| Group { entries: Vec::new() }).entries.push(entry);
    }
    groups
});

/// How each entry of the library is called, sorted: `collection.where(predicate)`. A lazy argument has a `λ`,
/// an optional one a `?`, and `…` stands for any number.
pub fn signatures() -> Vec<String> {
    let mut all: Vec<String> = library::TABLES.iter().copied().flatten().map(Entry::signature).collect();
    all.sort_by_key(|signature| {
        let name = signature.split('(').next().unwrap_or_default();
        (name.rsplit('.').next().unwrap_or_default().to_lowercase(), signature.clone())
    });
    all
}

/// The names of the library's functions and methods, sorted: for completion.
pub fn names() -> Vec<&'static str> {
    let mut all: Vec<&str> = GROUPS.keys().map(|name| &**name).collect();
    all.sort_unstable();
    all
}

/// The library's entries of that name.
pub(super) fn find(name: &str) -> Option<&'static Group> {
    GROUPS.get(name)
}

impl Type {
    pub fn is_lazy(self) -> bool {
        matches!(self, Type::Lambda | Type::LazyPair)
    }

    /// Whether `self` is the more special of two types that both accept a value.
    pub fn narrower_than(self, other: Type) -> bool {
        self == Type::Sequence && matches!(other, Type::Iterable | Type::IterableNoSet)
    }

    pub fn accepts(self, val: &Val<'_>) -> bool {
        if let Val::Plain(value) = val {
            return self.accepts_plain(value);
        }
        match self {
            Type::Any | Type::Lambda => true,
            Type::Iterable => val.is_iterable(),
            Type::IterableNoSet => val.is_iterable() && !val.is_set(),
            Type::Sequence => val.is_sequence(),
            Type::Generator => matches!(val, Val::Iter(_)),
            Type::Mapping => val.is_mapping(),
            Type::Set => val.is_set(),
            Type::Ordering => matches!(val, Val::Ordering(_)),
            _ => false,
        }
    }

    pub fn accepts_plain(self, value: &Value) -> bool {
        let special = match value {
            Value::Special(special) => Some(&**special),
            _ => None,
        };
        let is_set = matches!(special, Some(Special::Set(_)));
        let is_number = matches!(value, Value::Int(_) | Value::Big(_) | Value::Float(_));
        let is_int = matches!(value, Value::Int(_) | Value::Big(_) | Value::Bool(_));
        match self {
            Type::Any | Type::Lambda => true,
            Type::Str => matches!(value, Value::Str(_)),
            Type::StrOrNull => matches!(value, Value::Str(_) | Value::Null),
            Type::Int => is_int,
            Type::IntOrNull => is_int || value.is_null(),
            Type::Whole => matches!(value, Value::Int(_) | Value::Big(_)),
            Type::Number => is_number,
            Type::NumberOrNull => is_number || value.is_null(),
            Type::Bool => matches!(value, Value::Bool(_)),
            Type::BoolOrNull => matches!(value, Value::Bool(_) | Value::Null),
            Type::Iterable => matches!(value, Value::List(_)) || is_set,
            Type::IterableNoSet | Type::Sequence => matches!(value, Value::List(_)),
            Type::Mapping => matches!(value, Value::Map(_)) || matches!(special, Some(Special::Dict(_))),
            Type::Set => is_set,
            Type::Regex => matches!(special, Some(Special::Regex(_))),
            Type::DateTime => matches!(special, Some(Special::DateTime { .. })),
            Type::Timespan => matches!(special, Some(Special::Timespan(_))),
            Type::TimespanOrNull => value.is_null() || matches!(special, Some(Special::Timespan(_))),
            Type::Generator | Type::Ordering | Type::LazyPair | Type::Pair => false,
        }
    }
}
