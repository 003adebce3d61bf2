//! Values as JSON, at the edges.
//!
//! Whole numbers keep every digit. What JSON lacks goes out as an object with one key (`{"$set": […]}`,
//! `{"$dict": [[k, v], …]}`, `{"$float": "nan"}`, `{"$datetime": …}`, `{"$timespan_us": n}`, `{"$regex": …}`,
//! `{"$bytes": hex}`) and is read back the same way by [`from_json`] with `special` on, never from
//! ordinary data: outside tests and the batch tools such an object is only an object.

use crate::{Map, Special, Str, Value};
use num_bigint::BigInt;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// How deep a document may nest: the bound of `serde_json` itself, which keeps the stack safe.
pub const MAX_DEPTH: usize = 128;

/// The name under which `serde_json` hands over a number with all its digits.
const NUMBER: &str = "$serde_json::private::Number";

/// A text that is not JSON, with line and column in the message.
#[derive(Debug, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads JSON. With `special`, the one-key forms of values without a JSON form are recognised.
pub fn from_json(text: &str, special: bool) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Seed { special }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Writes compact JSON.
pub fn to_json(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| format!("{{\"$error\":\"{e}\"}}"))
}

/// Writes JSON for people, indented by two.
pub fn to_json_pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"$error\":\"{e}\"}}"))
}

fn number(text: &str) -> Option<Value> {
    if let Ok(n) = text.parse::<i64>() {
        return Some(Value::Int(n));
    }
    if !text.contains(['.', 'e', 'E']) {
        return text.parse::<BigInt>().ok().map(Value::big);
    }
    text.parse::<f64>().ok().map(Value::Float)
}

#[derive(Clone, Copy)]
struct Seed {
    special: bool,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(Value::from(n))
    }
    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(Value::Float(x))
    }
    fn visit_str<E>(self, s: &str) -> Result<Value, E> {
        Ok(Value::from(s))
    }
    fn visit_string<E>(self, s: String) -> Result<Value, E> {
        Ok(Value::from(s))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(1024));
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::from(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.is_empty() && key == NUMBER {
                let text: String = access.next_value()?;
                return number(&text).ok_or_else(|| A::Error::custom(format!("`{text}` is no number")));
            }
            let value = access.next_value_seed(self)?;
            map.insert(Str::from(key), value);
        }
        if self.special
            && map.len() == 1
            && let Some(special) = map.first().and_then(|(key, value)| read_special(key, value))
        {
            return Ok(special);
        }
        Ok(Value::from(map))
    }
}

fn read_special(key: &str, value: &Value) -> Option<Value> {
    Some(Value::special(match (key, value) {
        ("$set", Value::List(items)) => Special::Set(items.to_vec()),
        ("$dict", Value::List(pairs)) => Special::Dict(
            pairs
                .iter()
                .map(|pair| match pair.as_list() {
                    Some([k, v]) => Some((k.clone(), v.clone())),
                    _ => None,
                })
                .collect::<Option<_>>()?,
        ),
        ("$float", Value::Str(name)) => {
            return Some(Value::Float(match &**name {
                "nan" => f64::NAN,
                "inf" => f64::INFINITY,
                "-inf" => f64::NEG_INFINITY,
                _ => return None,
            }));
        }
        ("$datetime", Value::Str(text)) => {
            let pieces = jiff::fmt::temporal::DateTimeParser::new();
            let moment = pieces.parse_timestamp(text.as_bytes()).ok()?;
            let parsed = jiff::fmt::temporal::Pieces::parse(&**text).ok()?;
            let offset = parsed.to_numeric_offset().map_or(0, |o| o.seconds());
            Special::DateTime { micros: moment.as_microsecond(), offset_seconds: offset }
        }
        ("$timespan_us", Value::Int(us)) => Special::Timespan(*us),
        ("$regex", Value::Str(text)) => Special::Regex(text.clone()),
        ("$bytes", Value::Str(hex)) => Special::Bytes(
            (0..hex.len())
                .step_by(2)
                .map(|i| hex.get(i..i + 2).and_then(|h| u8::from_str_radix(h, 16).ok()))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    }))
}

/// `2016-01-21T00:00:00+00:00`, with microseconds only when there are some: Python's `isoformat`.
fn datetime_text(micros: i64, offset_seconds: i32) -> String {
    let offset = jiff::tz::Offset::from_seconds(offset_seconds).unwrap_or(jiff::tz::Offset::UTC);
    let Ok(moment) = jiff::Timestamp::from_microsecond(micros) else {
        return format!("{micros}us");
    };
    let local = offset.to_datetime(moment);
    let date = local.strftime("%Y-%m-%dT%H:%M:%S");
    let part = micros.rem_euclid(1_000_000);
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let east = offset_seconds.unsigned_abs();
    let zone = format!("{sign}{:02}:{:02}", east / 3600, east / 60 % 60);
    if part == 0 { format!("{date}{zone}") } else { format!("{date}.{part:06}{zone}") }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        fn one<S: Serializer, T: Serialize + ?Sized>(s: S, key: &str, value: &T) -> Result<S::Ok, S::Error> {
            let mut map = s.serialize_map(Some(1))?;
            map.serialize_entry(key, value)?;
            map.end()
        }
        match self {
            Value::Null => s.serialize_unit(),
            Value::Bool(b) => s.serialize_bool(*b),
            Value::Int(n) => s.serialize_i64(*n),
            Value::Big(n) => serde_json::Number::from_string_unchecked(n.to_string()).serialize(s),
            Value::Float(x) if x.is_nan() => one(s, "$float", "nan"),
            Value::Float(x) if x.is_infinite() => one(s, "$float", if *x > 0.0 { "inf" } else { "-inf" }),
            Value::Float(x) => s.serialize_f64(*x),
            Value::Str(text) => s.serialize_str(text),
            Value::List(list) => {
                let mut seq = s.serialize_seq(Some(list.len()))?;
                for item in list.iter() {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Value::Map(map) => {
                let mut out = s.serialize_map(Some(map.len()))?;
                for (key, value) in map.iter() {
                    out.serialize_entry(&**key, value)?;
                }
                out.end()
            }
            Value::Special(special) => match &**special {
                Special::Set(items) => one(s, "$set", items),
                Special::Dict(pairs) => one(s, "$dict", pairs),
                Special::DateTime { micros, offset_seconds } => {
                    one(s, "$datetime", &datetime_text(*micros, *offset_seconds))
                }
                Special::Timespan(us) => one(s, "$timespan_us", us),
                Special::Regex(text) => one(s, "$regex", &**text),
                Special::Bytes(bytes) => {
                    one(s, "$bytes", &bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
                }
            },
        }
    }
}

/// Reads the special one-key forms too: this is the stored form, which [`Value`]'s `Serialize` wrote.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Seed { special: true }.deserialize(d)
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => number(n.as_str()).unwrap_or(Value::Null),
            serde_json::Value::String(s) => Value::from(s.as_str()),
            serde_json::Value::Array(items) => Value::from(items.iter().map(Value::from).collect::<Vec<_>>()),
            serde_json::Value::Object(map) => {
                Value::from(map.iter().map(|(k, v)| (Str::from(k.as_str()), Value::from(v))).collect::<Map>())
            }
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> serde_json::Value {
        serde_json::to_value(value).unwrap_or(serde_json::Value::Null)
    }
}

impl From<&Arc<Map>> for Value {
    fn from(map: &Arc<Map>) -> Value {
        Value::Map(map.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same(text: &str) {
        assert_eq!(to_json(&from_json(text, true).unwrap()), text);
    }

    #[test]
    fn round_trips() {
        same(r#"{"a":[1,2.5,null,true,"x"],"b":{}}"#);
        same("123456789012345678901234567890");
        same("-9223372036854775808");
        same("1.0");
        same(r#"{"$set":[1]}"#);
        same(r#"{"$dict":[[1,"a"]]}"#);
        same(r#"{"$float":"-inf"}"#);
        same(r#"{"$datetime":"2016-01-21T00:00:00+05:30"}"#);
        same(r#"{"$datetime":"2016-01-21T00:00:00.000120+00:00"}"#);
        same(r#"{"$bytes":"00ff"}"#);
    }

    #[test]
    fn ordinary_data_keeps_its_dollar_keys() {
        let value = from_json(r#"{"$set": [1]}"#, false).unwrap();
        assert!(value.as_map().is_some());
    }

    #[test]
    fn deep_nesting_is_an_error() {
        assert!(from_json(&"[".repeat(100_000), false).is_err());
    }
}
