//! Maps that always have the same keys: made as a copy, so that no key costs an allocation.

use squall_model::{Map, Value};

/// A map with these keys and nothing in it yet.
pub(crate) fn keys(names: &[&str]) -> Map {
    names.iter().map(|name| ((*name).into(), Value::Null)).collect()
}

/// A map with the keys of `keys` and these values, in the same order.
pub(crate) fn fill<const N: usize>(keys: &Map, values: [Value; N]) -> Value {
    Value::from(filled(keys, values))
}

/// The same, not yet shared.
pub(crate) fn filled<const N: usize>(keys: &Map, values: [Value; N]) -> Map {
    let mut map = keys.clone();
    for (slot, value) in map.values_mut().zip(values) {
        *slot = value;
    }
    map
}
