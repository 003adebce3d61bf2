//! The one value that flows through expressions, workflows and results.
//!
//! Immutable and shared: cloning costs a reference count, whatever the size, so a 10 MB result can be
//! passed to twenty tasks and be in memory once. Collections are changed by making new ones;
//! [`Arc::make_mut`] does so in place when nobody else looks.

use indexmap::IndexMap;
use num_bigint::BigInt;
use std::fmt;
use std::sync::Arc;

/// A shared text.
pub type Str = Arc<str>;

/// A map with text keys that remembers the order of insertion.
pub type Map = IndexMap<Str, Value>;

/// The member `key`. In a small map comparing the keys one by one is several times faster than hashing.
pub fn member<'m>(map: &'m Map, key: &str) -> Option<&'m Value> {
    if map.len() <= 8 { map.iter().find(|(k, _)| ***k == *key).map(|(_, value)| value) } else { map.get(key) }
}

/// A value of the expression languages.
///
/// Equality is typed (`1` is neither `1.0` nor `true`), and maps compare without order; the laxer
/// comparisons of YAQL and Jinja live with those languages.
#[derive(Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits in 64 bits.
    Int(i64),
    /// A whole number that does not. Invariant: never holds what [`Value::Int`] could.
    Big(Arc<BigInt>),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Str(Str),
    /// A list.
    List(Arc<Vec<Value>>),
    /// A map with text keys.
    Map(Arc<Map>),
    /// What JSON has no form for.
    Special(Arc<Special>),
}

/// Values of the expression languages that JSON has no form for.
#[derive(Clone, Debug)]
pub enum Special {
    /// A set: unique members; compared without order.
    Set(Vec<Value>),
    /// A dictionary with a key that is no text; compared without order.
    Dict(Vec<(Value, Value)>),
    /// A date and time with its offset from UTC: `micros` since the epoch, `offset_seconds` east.
    DateTime {
        /// Microseconds since 1970-01-01T00:00:00Z.
        micros: i64,
        /// Offset of local time from UTC in seconds, east positive.
        offset_seconds: i32,
    },
    /// A duration in microseconds.
    Timespan(i64),
    /// A compiled regular expression, kept as its source text (flags inside the text).
    Regex(Str),
    /// Raw bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// An empty map.
    pub fn map() -> Value {
        Value::Map(Arc::new(Map::new()))
    }

    /// A whole number of any size, in its one right variant.
    pub fn big(n: BigInt) -> Value {
        match i64::try_from(&n) {
            Ok(small) => Value::Int(small),
            Err(_) => Value::Big(Arc::new(n)),
        }
    }

    /// One of the values without a JSON form.
    pub fn special(special: Special) -> Value {
        Value::Special(Arc::new(special))
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The truth value, if it is a Boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The whole number, if it is one of 64 bits.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(l) => Some(l),
            _ => None,
        }
    }

    /// The map, if it is one with text keys.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(m) => Some(m),
            _ => None,
        }
    }

    /// Whether it is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The member `key` of a map with text keys.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map().and_then(|m| member(m, key))
    }

    /// Follows `path` through maps.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Truth as Python sees it: null, false, zero and everything empty are false.
    pub fn is_truthy(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Big(_) => true,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) => !s.is_empty(),
            Value::List(l) => !l.is_empty(),
            Value::Map(m) => !m.is_empty(),
            Value::Special(s) => match &**s {
                Special::Set(items) => !items.is_empty(),
                Special::Dict(items) => !items.is_empty(),
                Special::Timespan(us) => *us != 0,
                Special::Bytes(b) => !b.is_empty(),
                Special::DateTime { .. } | Special::Regex(_) => true,
            },
        }
    }

    /// A map from pairs, later ones winning.
    pub fn from_pairs<K: Into<Str>, V: Into<Value>>(pairs: impl IntoIterator<Item = (K, V)>) -> Value {
        Value::Map(Arc::new(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect()))
    }
}

/// Takes collections apart without recursion, so that a value nested a million deep cannot overflow the stack.
impl Drop for Special {
    fn drop(&mut self) {
        let mut pending = Vec::new();
        match self {
            Special::Set(items) => pending.append(items),
            Special::Dict(items) => pending.extend(items.drain(..).flat_map(|(k, v)| [k, v])),
            _ => return,
        }
        drop_flat(pending);
    }
}

fn drop_flat(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(list) => {
                if let Some(mut list) = Arc::into_inner(list) {
                    pending.append(&mut list);
                }
            }
            Value::Map(map) => {
                if let Some(map) = Arc::into_inner(map) {
                    pending.extend(map.into_values());
                }
            }
            _ => {}
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Big(a), Value::Big(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::List(a), Value::List(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::Map(a), Value::Map(b)) => Arc::ptr_eq(a, b) || a == b,
            (Value::Special(a), Value::Special(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl PartialEq for Special {
    fn eq(&self, other: &Special) -> bool {
        match (self, other) {
            (Special::Set(a), Special::Set(b)) => a.len() == b.len() && a.iter().all(|x| b.contains(x)),
            (Special::Dict(a), Special::Dict(b)) => a.len() == b.len() && a.iter().all(|x| b.contains(x)),
            (
                Special::DateTime { micros: a, offset_seconds: x },
                Special::DateTime { micros: b, offset_seconds: y },
            ) => a == b && x == y,
            (Special::Timespan(a), Special::Timespan(b)) => a == b,
            (Special::Regex(a), Special::Regex(b)) => a == b,
            (Special::Bytes(a), Special::Bytes(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Big(n) => write!(f, "{n}"),
            Value::Float(x) => write!(f, "{x:?}"),
            Value::Str(s) => write!(f, "{s:?}"),
            Value::List(l) => f.debug_list().entries(l.iter()).finish(),
            Value::Map(m) => f.debug_map().entries(m.iter()).finish(),
            Value::Special(s) => write!(f, "{s:?}"),
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Value {
        Value::Bool(b)
    }
}
impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}
impl From<i32> for Value {
    fn from(n: i32) -> Value {
        Value::Int(i64::from(n))
    }
}
impl From<u32> for Value {
    fn from(n: u32) -> Value {
        Value::Int(i64::from(n))
    }
}
impl From<u64> for Value {
    fn from(n: u64) -> Value {
        Value::big(BigInt::from(n))
    }
}
impl From<usize> for Value {
    fn from(n: usize) -> Value {
        Value::big(BigInt::from(n))
    }
}
impl From<f64> for Value {
    fn from(x: f64) -> Value {
        Value::Float(x)
    }
}
impl From<&str> for Value {
    fn from(s: &str) -> Value {
        Value::Str(s.into())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Value {
        Value::Str(s.into())
    }
}
impl From<Str> for Value {
    fn from(s: Str) -> Value {
        Value::Str(s)
    }
}
impl From<Vec<Value>> for Value {
    fn from(l: Vec<Value>) -> Value {
        Value::List(Arc::new(l))
    }
}
impl From<Map> for Value {
    fn from(m: Map) -> Value {
        Value::Map(Arc::new(m))
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(o: Option<T>) -> Value {
        o.map_or(Value::Null, Into::into)
    }
}
