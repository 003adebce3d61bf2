//! The datastore and random identifiers: functions that need the host.

use crate::{Error, Host};
use squall_model::{Str, Value};

/// `st2kv(key, decrypt, default)`: `system.x` is item `x` of the system, any other key the user's own.
///
/// An absent item is an error unless a default was given (null counts).
pub fn kv(host: &dyn Host, args: &[Value], named: &[(Str, Value)]) -> Result<Value, Error> {
    let given = |at: usize, name: &str| {
        args.get(at).or_else(|| named.iter().find(|(known, _)| &**known == name).map(|(_, value)| value))
    };
    let wrong = |message: &str| Error::new("TypeError", message);
    let Some(Value::Str(key)) = given(0, "key") else { return Err(wrong("Given key is not typeof string.")) };
    let decrypt = match given(1, "decrypt") {
        None => false,
        Some(Value::Bool(decrypt)) => *decrypt,
        Some(_) => return Err(wrong("Decrypt parameter is not typeof bool.")),
    };
    let (scope, name) = match key.strip_prefix("system.") {
        Some(name) => ("system", name),
        None => ("user", key.strip_prefix("user.").unwrap_or(key)),
    };
    match (host.kv(scope, name, decrypt)?, given(2, "default")) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => Err(Error::new(
            "ExpressionEvaluationException",
            format!("Key {key} does not exist in StackStorm datastore."),
        )),
    }
}

/// A random identifier in the usual form (version 4), from the host's randomness.
pub fn uuid(host: &dyn Host) -> Value {
    let mut bytes = [0; 16];
    host.random(&mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{number:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    Value::from(format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)))
}
