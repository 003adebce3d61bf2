//! `key=value` words become parameters: by the types that the action declares, as StackStorm's client does.

use crate::exit::Stop;
use squall_model::{Map, Str, Value, from_json};

/// Words that are parameters. A word without `=` is an error that shows what was meant.
pub fn params(words: &[String], schemas: &Map) -> Result<Map, Stop> {
    let mut params = Map::new();
    let mut plain = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, text)) if !name.is_empty() => {
                params.insert(Str::from(name), value(name, text, kind(schemas, name))?);
            }
            _ => plain.push(word.clone()),
        }
    }
    // Commands of shell actions may be typed without a name, as in `run core.local -- date -u`.
    if !plain.is_empty() {
        if !schemas.contains_key("cmd") || params.contains_key("cmd") {
            return Err(Stop::Usage(format!("`{}` is no parameter: write name=value", plain.join(" "))));
        }
        params.insert("cmd".into(), plain.join(" ").into());
    }
    Ok(params)
}

fn kind<'a>(schemas: &'a Map, name: &str) -> &'a str {
    schemas.get(name).and_then(|s| s.get("type")).and_then(Value::as_str).unwrap_or("string")
}

fn value(name: &str, text: &str, kind: &str) -> Result<Value, Stop> {
    let bad = |what: &str| Stop::Usage(format!("`{name}` must be {what}, not `{text}`"));
    match kind {
        "array" if text.trim_start().starts_with('[') => from_json(text, false).map_err(|_| bad("a JSON list")),
        "array" if text.is_empty() => Ok(Value::from(Vec::new())),
        "array" => Ok(Value::from(text.split(',').map(|item| Value::from(item.trim())).collect::<Vec<_>>())),
        "object" if text.trim_start().starts_with('{') => from_json(text, false).map_err(|_| bad("a JSON object")),
        "object" => text
            .split(',')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once([':', '=']).map(|(k, v)| (Str::from(k.trim()), Value::from(v.trim()))))
            .collect::<Option<Map>>()
            .map(Value::from)
            .ok_or_else(|| bad("a JSON object or key:value pairs")),
        "integer" => text.trim().parse::<i64>().map(Value::from).map_err(|_| bad("a whole number")),
        "number" => text.trim().parse::<f64>().map(Value::from).map_err(|_| bad("a number")),
        "boolean" => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true.into()),
            "false" | "0" | "no" | "off" => Ok(false.into()),
            _ => Err(bad("true or false")),
        },
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::to_json;

    #[track_caller]
    fn check(words: &[&str], expected: &str) {
        let schemas = from_json(
            r#"{"packs":{"type":"array"},"n":{"type":"integer"},"o":{"type":"object"},"b":{"type":"boolean"},"cmd":{"type":"string"}}"#,
            false,
        )
        .unwrap();
        let words: Vec<String> = words.iter().map(|w| w.to_string()).collect();
        let got = match params(&words, schemas.as_map().unwrap()) {
            Ok(map) => to_json(&map.into()),
            Err(stop) => stop.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn by_declared_type() {
        check(&["packs=a, b", "n=5", "b=yes"], r#"{"packs":["a","b"],"n":5,"b":true}"#);
        check(&[r#"packs=["a,b"]"#, "o=k:v"], r#"{"packs":["a,b"],"o":{"k":"v"}}"#);
        check(&["other=a=b"], r#"{"other":"a=b"}"#);
        check(&["date", "-u"], r#"{"cmd":"date -u"}"#);
        check(&["n=x"], "`n` must be a whole number, not `x`");
    }
}
