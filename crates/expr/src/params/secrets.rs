//! Masking by schema: what is marked `secret` is not shown.

use super::Schemas;
use squall_model::{MASK, Map, Value};

/// Nested deeper than this nothing is marked secret any more; whole values are masked instead.
const DEEPEST: u32 = 100;

/// The parameters with every secret masked: whole parameters, properties and items alike.
pub fn mask(schemas: &Schemas, params: &Map) -> Map {
    params
        .iter()
        .map(|(name, value)| {
            let masked = match schemas.get(name) {
                Some(schema) if schema.secret => Value::from(MASK),
                Some(schema) => mask_value(&Value::Map(schema.raw.clone()), value),
                None => value.clone(),
            };
            (name.clone(), masked)
        })
        .collect()
}

/// One value masked by its schema in raw form (also that of an output).
pub fn mask_value(schema: &Value, value: &Value) -> Value {
    masked(schema, value, 0)
}

fn masked(schema: &Value, value: &Value, depth: u32) -> Value {
    if schema.get("secret").is_some_and(Value::is_truthy) || depth > DEEPEST {
        return Value::from(MASK);
    }
    match value {
        Value::Map(map) => {
            let by_name = schema.get("properties");
            let rest = schema.get("additionalProperties");
            let patterns = schema.get("patternProperties").and_then(Value::as_map);
            let of = |key: &str| {
                by_name.and_then(|p| p.get(key)).or_else(|| patterns.and_then(|p| matching(p, key))).or(rest)
            };
            if by_name.is_none() && patterns.is_none() && rest.is_none() {
                return value.clone();
            }
            map.iter()
                .map(|(key, item)| {
                    let item = of(key).map_or_else(|| item.clone(), |schema| masked(schema, item, depth + 1));
                    (key.clone(), item)
                })
                .collect::<Map>()
                .into()
        }
        Value::List(items) => match schema.get("items") {
            Some(Value::List(by_place)) => items
                .iter()
                .enumerate()
                .map(|(at, item)| match by_place.get(at).or(schema.get("additionalItems")) {
                    Some(schema) => masked(schema, item, depth + 1),
                    None => item.clone(),
                })
                .collect::<Vec<_>>()
                .into(),
            Some(schema) => items.iter().map(|item| masked(schema, item, depth + 1)).collect::<Vec<_>>().into(),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

fn matching<'p>(patterns: &'p Map, key: &str) -> Option<&'p Value> {
    use crate::pattern::{Anchor, Flags, compile};
    patterns
        .iter()
        .find(|(pattern, _)| {
            // A pattern that cannot be decided masks: better too much than too little.
            compile(pattern, Flags::default()).and_then(|p| p.is_match(key, Anchor::Anywhere)).unwrap_or(true)
        })
        .map(|(_, schema)| schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::{from_json, to_json};

    #[test]
    fn secrets_at_any_depth() {
        let schemas = super::super::schemas(
            &from_json(
                r#"{"p": {"secret": true}, "o": {"properties": {"k": {"secret": true}}}, "l": {"items": {"secret": true}}, "x": {}}"#,
                false,
            )
            .unwrap(),
        )
        .unwrap();
        let params = from_json(r#"{"p": [1], "o": {"k": 1, "j": 2}, "l": [1, 2], "x": 5}"#, false).unwrap();
        assert_eq!(
            to_json(&mask(&schemas, params.as_map().unwrap()).into()),
            r#"{"p":"********","o":{"k":"********","j":2},"l":["********","********"],"x":5}"#
        );
    }
}
