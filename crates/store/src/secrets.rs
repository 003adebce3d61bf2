//! Secrets within executions: written encrypted, read back clear.
//!
//! Who makes a request says which of its parameters are secret ([`Requested::secret`]); each of them is stored as a map with the one
//! key [`MARK`]. Facts that hold secrets are encrypted as a whole and begin with [`HIDDEN`], which no JSON does. The key is
//! that of the datastore. What another key has written stays as it is stored, so that lists and records can be read without it;
//! [`is_hidden`] tells. Rows without secrets are not touched, and neither are those of programs that did not know this.

use crate::crypto::{CipherError, Key, decrypt, encrypt};
use crate::{Result, stored};
use squall_model::{Execution, Ids, Requested, Value};
use std::sync::Arc;

/// The only key of a map that stands for a secret.
pub(crate) const MARK: &str = "squall:encrypted";
/// The first character of a fact that is encrypted.
const HIDDEN: char = '!';

/// Whether a parameter is a secret that could not be decrypted.
pub fn is_hidden(value: &Value) -> bool {
    hex(value).is_some()
}

fn hex(value: &Value) -> Option<&str> {
    let map = value.as_map().filter(|map| map.len() == 1)?;
    map.get(MARK)?.as_str()
}

/// The key, and where initial vectors come from.
#[derive(Clone)]
pub struct Secrets {
    key: Key,
    ids: Arc<dyn Ids>,
}

impl Secrets {
    /// Secrets under the key of the datastore; `ids` must be unpredictable.
    pub fn new(key: Key, ids: Arc<dyn Ids>) -> Secrets {
        Secrets { key, ids }
    }

    /// The request as it is written; none when it holds no secret.
    pub(crate) fn hide(&self, request: &Requested) -> Result<Option<Requested>> {
        if request.secret.iter().all(|name| !request.params.contains_key(&**name)) {
            return Ok(None);
        }
        let mut hidden = request.clone();
        for name in &request.secret {
            if let Some(value) = hidden.params.get_mut(&**name) {
                let text = stored::value_text(value, || format!("parameter {name}"))?;
                *value = Value::from_pairs([(MARK, encrypt(&self.key, &text, &*self.ids))]);
            }
        }
        Ok(Some(hidden))
    }

    /// Puts what was hidden back in its place.
    pub(crate) fn show(&self, execution: &mut Execution) {
        if execution.request.secret.is_empty() {
            return;
        }
        let request = Arc::make_mut(&mut execution.request);
        for name in &request.secret {
            let Some(value) = request.params.get_mut(&**name) else { continue };
            let text = hex(value).and_then(|hex| decrypt(&self.key, hex).ok());
            if let Some(shown) = text.and_then(|text| stored::read_value(&text, String::new).ok()) {
                *value = shown;
            }
        }
    }

    pub(crate) fn hide_fact(&self, json: &str) -> String {
        format!("{HIDDEN}{}", encrypt(&self.key, json, &*self.ids))
    }
}

/// The text of a fact as it was before it was written.
///
/// # Errors
/// Why it cannot be decrypted.
pub(crate) fn shown_fact(secrets: Option<&Secrets>, json: String) -> std::result::Result<String, CipherError> {
    match (json.strip_prefix(HIDDEN), secrets) {
        (Some(hex), Some(secrets)) => decrypt(&secrets.key, hex),
        (Some(_), None) => Err(CipherError::BadSignature),
        (None, _) => Ok(json),
    }
}
