//! Execution ids: 12 bytes shown as 24 hexadecimal digits, as StackStorm's clients expect them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The id of an execution: 4 bytes of seconds, 5 random, 3 counting, so that ids sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(pub [u8; 12]);

/// A text that is no id.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an execution id: expected 24 hexadecimal digits")]
pub struct BadId(pub String);

impl ExecutionId {
    /// Puts an id together from seconds since the epoch, a per-process random part and a counter.
    pub fn compose(seconds: u32, process: [u8; 5], counter: u32) -> Self {
        let mut bytes = [0u8; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..9].copy_from_slice(&process);
        bytes[9..].copy_from_slice(&counter.to_be_bytes()[1..]);
        ExecutionId(bytes)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ExecutionId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId(text.chars().take(64).collect());
        if text.len() != 24 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0u8; 12];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        // `from_str_radix` takes a sign, an id has none.
        if text.bytes().any(|b| !b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        Ok(ExecutionId(bytes))
    }
}

impl Serialize for ExecutionId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExecutionId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let id = ExecutionId::compose(0x56a0_1f46, [1, 2, 3, 4, 255], 0x00ab_cdef);
        assert_eq!(id.to_string(), "56a01f4601020304ffabcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn refuses_other_texts() {
        for text in ["", "56a0", "zz a01f4601020304ffabcde", "+6a01f4601020304ffabcdef", "56a01f4601020304ffabcdef0"] {
            assert!(text.parse::<ExecutionId>().is_err(), "{text}");
        }
    }
}
