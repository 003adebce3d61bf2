//! The digest: what exactly was asked for, in 32 bytes.
//!
//! SHA-256 over canonical JSON: sorted keys, no blanks, numbers as ECMAScript writes them (RFC 8785). Secrets go in
//! as HMACs, so that a digest tells nobody whether a guess is right. A record never changes its digest; what changes
//! one makes a new record.
//!
//! Start reading at [`digest`].

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use squall_model::{ActionRef, Map, Secret, Special, Value, to_json};
use std::fmt::{self, Write as _};

/// One run as it was asked for.
pub struct Asked<'a> {
    /// The action.
    pub action: &'a ActionRef,
    /// SHA-256 (hex) of its metadata and entry point.
    pub action_sha: &'a str,
    /// Final parameters.
    pub params: &'a Map,
    /// Which of them are secret.
    pub is_secret: &'a dyn Fn(&str) -> bool,
    /// Who it runs as.
    pub run_as: &'a str,
    /// The requester's person.
    pub requester: &'a str,
    /// `chat`, `api`, …
    pub source: &'a str,
    /// `network:channel`, when it comes from chat.
    pub channel: Option<&'a str>,
    /// SHA-256 (hex) over the files of statically named children.
    pub closure_sha: Option<&'a str>,
    /// Id and SHA-256 of each rule that asks.
    pub rules: &'a [(String, String)],
    /// SHA-256 of what the dry run showed.
    pub dry_run_sha: Option<&'a str>,
    /// Which life of the store: a restored backup begins a new one.
    pub epoch: Option<&'a str>,
}

/// A digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The digest of what one message asked for: one run, or several that are released together.
pub fn digest(runs: &[Asked<'_>], key: &Secret<Vec<u8>>) -> Digest {
    let objects: Vec<Value> = runs.iter().map(|run| object(run, key)).collect();
    let whole = match <[Value; 1]>::try_from(objects) {
        Ok([one]) => one,
        Err(several) => Value::from(several),
    };
    Digest(Sha256::digest(canonical(&whole).as_bytes()).into())
}

fn object(run: &Asked<'_>, key: &Secret<Vec<u8>>) -> Value {
    let param = |(name, value): (&squall_model::Str, &Value)| {
        let shown = if (run.is_secret)(name) { Value::from(secret(value, key)) } else { value.clone() };
        (name.clone(), shown)
    };
    let rule = |(id, sha): &(String, String)| Value::from_pairs([("id", id.as_str()), ("sha", sha.as_str())]);
    let mut object = Map::new();
    object.insert("v".into(), Value::Int(1));
    object.insert("action".into(), run.action.to_string().into());
    object.insert("action_sha".into(), run.action_sha.into());
    object.insert("params".into(), run.params.iter().map(param).collect::<Map>().into());
    object.insert("run_as".into(), run.run_as.into());
    object.insert("requester".into(), run.requester.into());
    object.insert("source".into(), run.source.into());
    object.insert("channel".into(), run.channel.into());
    object.insert("workflow_closure_sha".into(), run.closure_sha.into());
    object.insert("rules".into(), run.rules.iter().map(rule).collect::<Vec<_>>().into());
    for (name, value) in [("dry_run_sha", run.dry_run_sha), ("epoch", run.epoch)] {
        if let Some(value) = value {
            object.insert(name.into(), value.into());
        }
    }
    object.into()
}

/// A secret value as it stands in the digest: comparable by whoever has the server's key, useless to others.
fn secret(value: &Value, key: &Secret<Vec<u8>>) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose("keyed digest of a secret parameter")) else {
        // HMAC takes keys of every length.
        return "hmac-sha256:".into();
    };
    mac.update(canonical(value).as_bytes());
    format!("hmac-sha256:{}", hex(&mac.finalize().into_bytes()))
}

/// SHA-256 of a text as hexadecimal digits.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing into a String does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl Digest {
    /// Of a text.
    pub fn of(text: &str) -> Digest {
        Digest(Sha256::digest(text.as_bytes()).into())
    }

    /// What people compare: `9f2a-11c0`.
    pub fn fingerprint(&self) -> String {
        let hex = hex(&self.0[..4]);
        format!("{}-{}", &hex[..4], &hex[4..])
    }

    /// The first 16 hexadecimal digits, as buttons carry them.
    pub fn short(&self) -> String {
        hex(&self.0[..8])
    }

    /// All 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Whether `seen` (all digits, or the 16 of a button) is this digest.
    pub fn is(&self, seen: &str) -> bool {
        let all = self.hex();
        matches!(seen.len(), 16 | 64) && all.starts_with(&seen.to_ascii_lowercase())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        let bad = || serde::de::Error::custom("a digest has 64 hexadecimal digits");
        let mut bytes = [0u8; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * at..2 * at + 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Digest(bytes))
    }
}

/// Canonical JSON of a value.
///
/// Whole numbers keep all their digits even beyond 2^53, where RFC 8785 would round: two different parameters must
/// never look the same.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        // Writing into a String does not fail.
        Value::Int(n) => drop(write!(out, "{n}")),
        Value::Big(n) => drop(write!(out, "{n}")),
        Value::Float(x) => number(out, *x),
        Value::Str(text) => string(out, text),
        Value::List(items) => list(out, items),
        Value::Map(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            // By UTF-16 code units, as RFC 8785 wants; the same as by bytes below U+D800.
            pairs.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (at, (key, value)) in pairs.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                string(out, key);
                out.push(':');
                write(out, value);
            }
            out.push('}');
        }
        Value::Special(special) => match &**special {
            Special::Set(items) => unordered(out, "$set", items.iter().map(canonical).collect()),
            Special::Dict(pairs) => {
                let pair = |(k, v): &(Value, Value)| format!("[{},{}]", canonical(k), canonical(v));
                unordered(out, "$dict", pairs.iter().map(pair).collect());
            }
            Special::DateTime { .. } | Special::Timespan(_) | Special::Regex(_) | Special::Bytes(_) => {
                out.push_str(&to_json(value));
            }
        },
    }
}

fn list(out: &mut String, items: &[Value]) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn unordered(out: &mut String, key: &str, mut items: Vec<String>) {
    items.sort();
    let _ = write!(out, "{{\"{key}\":[{}]}}", items.join(","));
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{9}' => out.push_str("\\t"),
            '\u{a}' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\u{d}' => out.push_str("\\r"),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number as ECMAScript writes it: shortest digits that read back, exponents outside of 1e-7 … 1e21.
fn number(out: &mut String, x: f64) {
    if !x.is_finite() {
        let name = if x.is_nan() {
            "nan"
        } else if x > 0.0 {
            "inf"
        } else {
            "-inf"
        };
        let _ = write!(out, "{{\"$float\":\"{name}\"}}");
        return;
    }
    if x == 0.0 {
        return out.push('0');
    }
    if x < 0.0 {
        out.push('-');
    }
    let scientific = format!("{:e}", x.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (count, point) = (digits.len() as i32, exponent + 1);
    match point {
        _ if !(-5..=21).contains(&point) => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{first}{dot}{rest}e{sign}{}", exponent.abs());
        }
        _ if point <= 0 => drop(write!(out, "0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))),
        _ if count <= point => drop(write!(out, "{digits}{}", "0".repeat((point - count) as usize))),
        _ => {
            let (whole, part) = digits.split_at(point as usize);
            let _ = write!(out, "{whole}.{part}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(canonical(&from_json(json, false).unwrap()), expected);
    }

    #[test]
    fn canonical_json_vectors() {
        check(r#"{"b": [1, 2.0, true], "a": null}"#, r#"{"a":null,"b":[1,2,true]}"#);
        check(
            r#"[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001]"#,
            "[333333333.3333333,1e+30,4.5,0.002,1e-27]",
        );
        check(
            "[1e21, 1e20, 123456.789e3, 1e-6, 1e-7, -0.0, -1.5]",
            "[1e+21,100000000000000000000,123456789,0.000001,1e-7,0,-1.5]",
        );
        check("[5e-324, 1.7976931348623157e308]", "[5e-324,1.7976931348623157e+308]");
        check(r#""\u20ac$\u000f\nA'B\"\\\\\"\/""#, "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"");
        check(
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}",
        );
    }

    #[test]
    fn whole_numbers_keep_their_digits() {
        check(
            "[9007199254740993, 123456789012345678901234567890]",
            "[9007199254740993,123456789012345678901234567890]",
        );
    }

    fn of(params: &str, secrets: &[&str], key: &str) -> Digest {
        let params = from_json(params, false).unwrap();
        let action: ActionRef = "ops.something".parse().unwrap();
        let run = Asked {
            action: &action,
            action_sha: "aa",
            params: params.as_map().unwrap(),
            is_secret: &|name| secrets.contains(&name),
            run_as: "alice",
            requester: "user:alice",
            source: "chat",
            channel: Some("slack:C1"),
            closure_sha: None,
            rules: &[],
            dry_run_sha: None,
            epoch: None,
        };
        digest(&[run], &Secret::new(key.as_bytes().to_vec()))
    }

    #[test]
    fn param_change_new_digest() {
        let one = of(r#"{"a": 1, "b": "x"}"#, &[], "k");
        assert_eq!(one, of(r#"{"b": "x", "a": 1}"#, &[], "k"));
        assert_ne!(one, of(r#"{"a": 2, "b": "x"}"#, &[], "k"));
        assert_ne!(one, of(r#"{"a": "1", "b": "x"}"#, &[], "k"));
    }

    #[test]
    fn the_digest_of_version_one_stays() {
        // Changing this breaks every open question at an upgrade.
        assert_eq!(of(r#"{"a": 1}"#, &[], "k").fingerprint(), FIRST);
    }
    const FIRST: &str = "0096-1417";

    #[test]
    fn secrets_go_in_with_a_key() {
        let one = of(r#"{"p": "hunter2"}"#, &["p"], "k");
        assert_ne!(one, of(r#"{"p": "hunter2"}"#, &["p"], "other"));
        assert_ne!(one, of(r#"{"p": "hunter3"}"#, &["p"], "k"));
        assert_ne!(one, of(r#"{"p": "hunter2"}"#, &[], "k"));
    }

    #[test]
    fn what_buttons_carry() {
        let one = of("{}", &[], "k");
        assert!(one.is(&one.short()) && one.is(&one.hex()));
        assert!(!one.is("") && !one.is(&one.hex()[..15]) && !one.is("0000000000000000"));
        assert_eq!(serde_json::from_str::<Digest>(&serde_json::to_string(&one).unwrap()).unwrap(), one);
    }
}
