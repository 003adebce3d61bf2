//! Large parts of stored texts, kept once.
//!
//! A result of ten megabytes that is handed from task to task stands in facts, parameters and results dozens of times.
//! So what is large in a text (a string, a list, a map) becomes a reference `{"$blob": "SHA-256"}` to a row of its own,
//! and the same content is the same row. A text with references begins with a tab. An object of the data that looks
//! like a reference gets one more `$`, so that it comes back as what it was.

use crate::{Error, Result, crypto};
use squall_model::{Map, Value, from_json, to_json};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of text from which on a part is kept apart.
pub(crate) const LARGE: usize = 16 * 1024;

/// Begins a text with references. White space, so that it cannot begin any other text of ours.
const MARK: char = '\t';
const KEY: &str = "$blob";

/// A part that is kept apart, under the hash of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub sha: [u8; 32],
    pub text: String,
}

/// The text with its large parts taken out, which are added to `blobs`.
pub(crate) fn shrink(text: String, blobs: &mut Vec<Blob>) -> String {
    if text.len() < LARGE {
        return text;
    }
    let text = match cut_strings(text, blobs) {
        Cut::Done(text) => return text,
        Cut::NotYet(text) => text,
    };
    // Ours to begin with, so it can be read; what cannot is stored as it is.
    let Ok(value) = from_json(&text, false) else { return text };
    let mark = if text.starts_with(' ') { " " } else { "" };
    format!("{MARK}{mark}{}", to_json(&taken_out(value, blobs).0))
}

enum Cut {
    /// Nothing large is left.
    Done(String),
    /// The text as it was: there is more to it than large strings.
    NotYet(String),
}

/// Takes large strings out of the text itself, which is most of what is ever large, without reading all of it.
fn cut_strings(text: String, blobs: &mut Vec<Blob>) -> Cut {
    let bytes = text.as_bytes();
    // What looks like a reference needs an escape, and that needs the structure.
    if memchr::memmem::find(bytes, b"blob\"").is_some() {
        return Cut::NotYet(text);
    }
    let mark = if text.starts_with(' ') { " " } else { "" };
    let mut short = format!("{MARK}{mark}");
    let (mut kept, mut at, mut found) = (mark.len(), mark.len(), Vec::new());
    while let Some(begin) = memchr::memchr(b'"', &bytes[at..]).map(|n| at + n) {
        let end = end_of_string(bytes, begin);
        at = end;
        let is_key = bytes.get(end) == Some(&b':');
        if is_key || end - begin < LARGE {
            continue;
        }
        let blob = Blob::of(text[begin..end].to_owned());
        short.push_str(&text[kept..begin]);
        short.push_str(&to_json(&blob.reference()));
        kept = end;
        found.push(blob);
    }
    short.push_str(&text[kept..]);
    if found.is_empty() || short.len() >= LARGE {
        return Cut::NotYet(text);
    }
    found.into_iter().for_each(|blob| blob.add_to(blobs));
    Cut::Done(short)
}

/// Where the string that begins at `begin` ends, its quotes included.
fn end_of_string(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(n) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        if bytes[at + n] == b'"' {
            return at + n + 1;
        }
        at += n + 2;
    }
    bytes.len()
}

impl Blob {
    fn of(text: String) -> Blob {
        Blob { sha: crypto::sha256(text.as_bytes()), text }
    }

    fn reference(&self) -> Value {
        Value::from_pairs([(KEY, Value::from(hex(&self.sha)))])
    }

    fn add_to(self, blobs: &mut Vec<Blob>) {
        if !blobs.iter().any(|blob| blob.sha == self.sha) {
            blobs.push(self);
        }
    }
}

/// A value without its large parts, and about how long its text is.
fn taken_out(value: Value, blobs: &mut Vec<Blob>) -> (Value, usize) {
    let (value, size) = match value {
        Value::Str(text) => {
            let size = text.len() + 2;
            (Value::Str(text), size)
        }
        Value::List(items) => {
            let mut size = 2;
            let items: Vec<Value> = Arc::unwrap_or_clone(items)
                .into_iter()
                .map(|item| {
                    let (item, more) = taken_out(item, blobs);
                    size += more + 1;
                    item
                })
                .collect();
            (Value::from(items), size)
        }
        Value::Map(map) => {
            let mut size = 2;
            let lone = map.len() == 1;
            let map: Map = Arc::unwrap_or_clone(map)
                .into_iter()
                .map(|(key, value)| {
                    let (value, more) = taken_out(value, blobs);
                    size += key.len() + more + 4;
                    let key = if lone && is_like_key(&key) { format!("${key}").into() } else { key };
                    (key, value)
                })
                .collect();
            (Value::from(map), size)
        }
        other => (other, 8),
    };
    if size < LARGE {
        return (value, size);
    }
    let blob = Blob::of(to_json(&value));
    let reference = blob.reference();
    blob.add_to(blobs);
    (reference, 80)
}

/// `$blob`, `$$blob`, …
fn is_like_key(key: &str) -> bool {
    key.trim_start_matches('$') == "blob" && key.starts_with('$')
}

fn hex(sha: &[u8; 32]) -> String {
    sha.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// Whether a text has references.
pub(crate) fn is_shrunk(text: &str) -> bool {
    text.starts_with(MARK)
}

/// The text as it was before it was shrunk; `fetch` finds blobs. Texts that were not shrunk must not come here.
///
/// # Errors
/// When a blob is missing or is not what its name says.
pub(crate) fn expand(text: &str, fetch: &mut dyn FnMut(&[u8; 32]) -> Result<Option<String>>) -> Result<String> {
    let rest = text.strip_prefix(MARK).unwrap_or(text);
    let mark = if rest.starts_with(' ') { " " } else { "" };
    let mut whole = Whole { fetch, known: HashMap::new() };
    let value = from_json(rest, false).map_err(|e| damaged("text with references", &e.to_string()))?;
    Ok(format!("{mark}{}", to_json(&whole.put_back(value)?)))
}

/// The blobs that are passed on the way to the part of a text that stands under these keys, its own included; none where it is not
/// there.
///
/// # Errors
/// When a blob on the way is missing or cannot be read.
pub(crate) fn on_the_way(
    text: &str,
    keys: &[&str],
    fetch: &mut dyn FnMut(&[u8; 32]) -> Result<Option<String>>,
) -> Result<Vec<[u8; 32]>> {
    let text = text.strip_prefix(MARK).unwrap_or(text);
    let mut value = from_json(text, false).map_err(|e| damaged("text with references", &e.to_string()))?;
    let (mut passed, mut keys) = (Vec::new(), keys.iter());
    loop {
        while let Some(sha) = referred(&value) {
            let text = fetch(&sha)?.ok_or_else(|| damaged(&format!("blob {}", hex(&sha)), "it is missing"))?;
            value = from_json(&text, false).map_err(|e| damaged(&format!("blob {}", hex(&sha)), &e.to_string()))?;
            passed.push(sha);
        }
        let Some(key) = keys.next() else { return Ok(passed) };
        let Some(part) = value.get(key) else { return Ok(Vec::new()) };
        value = part.clone();
    }
}

/// The blob that a value refers to, if it is a reference.
fn referred(value: &Value) -> Option<[u8; 32]> {
    let map = value.as_map().filter(|map| map.len() == 1)?;
    unhex(map.get(KEY)?.as_str()?)
}

struct Whole<'f> {
    fetch: &'f mut dyn FnMut(&[u8; 32]) -> Result<Option<String>>,
    known: HashMap<[u8; 32], Value>,
}

impl Whole<'_> {
    fn put_back(&mut self, value: Value) -> Result<Value> {
        Ok(match value {
            Value::List(items) => {
                let items = Arc::unwrap_or_clone(items).into_iter().map(|item| self.put_back(item));
                items.collect::<Result<Vec<_>>>()?.into()
            }
            Value::Map(map) if map.len() == 1 => match map.first() {
                Some((key, Value::Str(sha))) if &**key == KEY => self.blob(sha)?,
                Some((key, _)) if is_like_key(key) => {
                    let (key, value) = Arc::unwrap_or_clone(map).pop().unwrap_or_default();
                    Value::from_pairs([(&key[1..], self.put_back(value)?)])
                }
                _ => self.fields(map)?,
            },
            Value::Map(map) => self.fields(map)?,
            other => other,
        })
    }

    fn fields(&mut self, map: Arc<Map>) -> Result<Value> {
        let fields = Arc::unwrap_or_clone(map).into_iter().map(|(key, value)| Ok((key, self.put_back(value)?)));
        Ok(fields.collect::<Result<Map>>()?.into())
    }

    fn blob(&mut self, name: &str) -> Result<Value> {
        let sha = unhex(name).ok_or_else(|| damaged(&format!("reference `{name}`"), "it is no SHA-256"))?;
        if let Some(known) = self.known.get(&sha) {
            return Ok(known.clone());
        }
        let what = || format!("blob {name}");
        let text = (self.fetch)(&sha)?.ok_or_else(|| damaged(&what(), "it is missing"))?;
        if crypto::sha256(text.as_bytes()) != sha {
            return Err(damaged(&what(), "its hash does not fit"));
        }
        let value = from_json(&text, false).map_err(|e| damaged(&what(), &e.to_string()))?;
        let value = self.put_back(value)?;
        self.known.insert(sha, value.clone());
        Ok(value)
    }
}

fn damaged(what: &str, why: &str) -> Error {
    Error::Damaged { what: what.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shrinks, expands, and answers the shrunk text with the number of blobs.
    #[track_caller]
    fn there_and_back(text: &str) -> (String, usize) {
        let mut blobs = Vec::new();
        let shrunk = shrink(text.to_owned(), &mut blobs);
        if !is_shrunk(&shrunk) {
            assert_eq!(shrunk, text);
            return (shrunk, 0);
        }
        let mut fetch = |sha: &[u8; 32]| Ok(blobs.iter().find(|b| b.sha == *sha).map(|b| b.text.clone()));
        assert_eq!(expand(&shrunk, &mut fetch).unwrap(), text);
        (shrunk, blobs.len())
    }

    fn long(letter: &str) -> String {
        format!("\"{}\"", letter.repeat(LARGE))
    }

    #[test]
    fn small_texts_stay_as_they_are() {
        assert_eq!(there_and_back(r#"{"$blob":"x","a":[1]}"#).1, 0);
    }

    #[test]
    fn the_same_content_is_kept_once() {
        let (shrunk, blobs) = there_and_back(&format!(r#"{{"a":{0},"b":[{0},{{"c":{0}}}]}}"#, long("x")));
        assert_eq!(blobs, 1);
        assert!(shrunk.len() < 400, "{shrunk}");
    }

    #[test]
    fn many_small_parts_are_a_large_one() {
        let rows: Vec<String> = (0..2_000).map(|n| format!(r#"{{"n":{n}}}"#)).collect();
        let (shrunk, blobs) = there_and_back(&format!(r#"{{"rows":[{}],"more":{}}}"#, rows.join(","), long("y")));
        assert_eq!(blobs, 2);
        assert!(shrunk.len() < 400, "{shrunk}");
    }

    #[test]
    fn quotes_and_escapes_end_no_string() {
        let inner = r#"a\"b\\c\\\" \u0000 é"#.repeat(LARGE / 8);
        let (shrunk, blobs) = there_and_back(&format!(r#"{{"k":"{inner}","l":["{inner}","\\"],"m":"x"}}"#));
        assert_eq!(blobs, 1, "{shrunk}");
        let key = "k".repeat(LARGE);
        there_and_back(&format!(r#"{{"{key}":"{key}","a":1}}"#));
    }

    #[test]
    fn data_that_looks_like_a_reference_stays_data() {
        there_and_back(&format!(r#"[{{"$blob":"00"}},{{"$$blob":{{"$blob":7}}}},{{"$blob":1,"b":2}},{}]"#, long("z")));
        there_and_back(&format!(r#" {{"$set":[{},1.5,123456789012345678901234567890]}}"#, long("z")));
    }

    #[test]
    fn what_is_passed_on_the_way_to_a_part_is_found() {
        let many = (0..2_000).map(|n| format!(r#""k{n}":{n}"#)).collect::<Vec<_>>().join(",");
        let text = format!(
            r#"{{"params":{{{many},"large":{},"in":{{"it":{}}},"other":{}}}}}"#,
            long("a"),
            long("b"),
            long("c")
        );
        let mut blobs = Vec::new();
        let shrunk = shrink(text, &mut blobs);
        let passed = |keys: &[&str]| {
            let mut fetch = |sha: &[u8; 32]| Ok(blobs.iter().find(|b| b.sha == *sha).map(|b| b.text.clone()));
            let found = on_the_way(&shrunk, keys, &mut fetch).unwrap();
            let text = |sha: &[u8; 32]| blobs.iter().find(|b| b.sha == *sha).map(|b| b.text[..4].to_owned()).unwrap();
            found.iter().map(text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            passed(&["params", "in", "it"]),
            r#"{"k0 "bbb"#,
            "all parameters together are large, and the one alone"
        );
        assert_eq!(passed(&["params", "k7"]), r#"{"k0"#);
        assert_eq!(passed(&["params", "nothing"]), "");
    }

    #[test]
    fn a_missing_or_changed_blob_is_named() {
        let mut blobs = Vec::new();
        let shrunk = shrink(format!("[{}]", long("x")), &mut blobs);
        let missing = expand(&shrunk, &mut |_| Ok(None)).unwrap_err().to_string();
        assert!(missing.contains("it is missing"), "{missing}");
        let changed = expand(&shrunk, &mut |_| Ok(Some("1".into()))).unwrap_err().to_string();
        assert!(changed.contains("its hash does not fit"), "{changed}");
    }
}
