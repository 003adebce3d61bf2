//! References: `pack.name`, split at the first dot because names may hold dots (`st2.kv.set`).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a pack, e.g. `core`.
pub type PackName = Arc<str>;

/// The reference of an action, alias, rule or policy: `<pack>.<name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionRef {
    /// The pack: everything before the first dot.
    pub pack: PackName,
    /// The name: everything after it, further dots included.
    pub name: Arc<str>,
}

/// A text that is no reference.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a reference: expected `pack.name`")]
pub struct BadRef(pub String);

impl ActionRef {
    /// From its two parts.
    pub fn new(pack: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        ActionRef { pack: pack.into(), name: name.into() }
    }
}

impl fmt::Display for ActionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pack, self.name)
    }
}

impl fmt::Debug for ActionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ActionRef {
    type Err = BadRef;

    fn from_str(text: &str) -> Result<Self, BadRef> {
        match text.split_once('.') {
            Some((pack, name)) if !pack.is_empty() && !name.is_empty() => Ok(ActionRef::new(pack, name)),
            _ => Err(BadRef(text.chars().take(200).collect())),
        }
    }
}

impl Serialize for ActionRef {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActionRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_dot() {
        let r: ActionRef = "st2.kv.set".parse().unwrap();
        assert_eq!((&*r.pack, &*r.name), ("st2", "kv.set"));
        assert!("core".parse::<ActionRef>().is_err());
        assert!(".x".parse::<ActionRef>().is_err());
    }
}
