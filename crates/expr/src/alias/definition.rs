//! The `formats` of an alias file, in their two spellings, as one list.

use crate::Error;
use squall_model::{Str, Value};

/// One pattern of an alias.
#[derive(Debug, Clone, PartialEq)]
pub struct Representation {
    /// The entry of `formats` it comes from, as written.
    pub format: Value,
    /// What help shows; null for none.
    pub display: Option<Str>,
    /// What commands are matched against; empty for an entry that is only displayed.
    pub text: Str,
    /// Whether one command may match several times; `None` when the entry has no pattern of its own.
    pub multiple: Option<bool>,
}

/// All patterns of an alias in order. An entry that is neither a text nor a map is class `TypeError`.
pub fn representations(formats: &[Value]) -> Result<Vec<Representation>, Error> {
    let mut all = Vec::new();
    for format in formats {
        match format {
            Value::Str(text) => all.push(Representation {
                format: format.clone(),
                display: Some(text.clone()),
                text: text.clone(),
                multiple: Some(false),
            }),
            Value::Map(map) => {
                let display = match map.get("display") {
                    Some(Value::Str(text)) => Some(text.clone()),
                    _ => None,
                };
                let multiple = Some(map.get("match_multiple").is_some_and(Value::is_truthy));
                let texts: Vec<Str> = match map.get("representation") {
                    Some(Value::Str(text)) if !text.is_empty() => vec![text.clone()],
                    Some(Value::List(list)) => list
                        .iter()
                        .filter_map(|text| match text {
                            Value::Str(text) => Some(text.clone()),
                            _ => None,
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                if texts.is_empty() && display.is_some() {
                    all.push(Representation { format: format.clone(), display, text: "".into(), multiple: None });
                    continue;
                }
                all.extend(texts.into_iter().map(|text| Representation {
                    format: format.clone(),
                    display: display.clone(),
                    text,
                    multiple,
                }));
            }
            other => {
                let shown = if other.is_null() { "None".to_owned() } else { format!("{other:?}") };
                let message = format!("alias_format '{shown}' is neither a dictionary or string type.");
                return Err(Error::new("TypeError", message));
            }
        }
    }
    Ok(all)
}
