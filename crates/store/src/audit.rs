//! The hash chain of the audit log: which bytes a row's hash covers, and what is found when it is followed.
//!
//! SHA-256 over the hash of the row before (32 zeros for the first), then each field with its length in front of it:
//! eight bytes, big-endian; a missing field is the length of all ones alone. The fields are `seq` and `at` (eight bytes,
//! big-endian), `event`, `person`, `confirmation`, `execution` (its twelve bytes) and `data` as it is stored.
//!
//! The chain tells of changes to what it covers. It cannot tell of rows that are cut off at its end: for that the last
//! hash has to be kept somewhere else. Never change these bytes: chains like it exist.
//!
//! Start reading at [`Link::sha`], then [`Chain::follow`].

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use squall_model::{ExecutionId, Timestamp};

/// Number of the first row.
pub(crate) const FIRST: u64 = 1;
/// What the first row gives as the hash before it.
pub(crate) const NONE_BEFORE: [u8; 32] = [0; 32];

/// What a hash covers, beside the hash before it.
pub(crate) struct Link<'r> {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    pub(crate) event: &'r str,
    pub(crate) person: Option<&'r str>,
    pub(crate) confirmation: Option<&'r str>,
    pub(crate) execution: Option<ExecutionId>,
    /// The stored text.
    pub(crate) data: &'r str,
}

impl Link<'_> {
    /// The hash of this row when it follows one with the hash `previous`.
    pub(crate) fn sha(&self, previous: &[u8; 32]) -> [u8; 32] {
        let (seq, at) = (self.seq.to_be_bytes(), self.at.micros().to_be_bytes());
        let fields = [
            Some(seq.as_slice()),
            Some(at.as_slice()),
            Some(self.event.as_bytes()),
            self.person.map(str::as_bytes),
            self.confirmation.map(str::as_bytes),
            self.execution.as_ref().map(|id| id.0.as_slice()),
            Some(self.data.as_bytes()),
        ];
        let mut sha = Sha256::new();
        sha.update(previous);
        for field in fields {
            // A slice is never that long.
            sha.update(field.map_or(u64::MAX, |bytes| bytes.len() as u64).to_be_bytes());
            sha.update(field.unwrap_or_default());
        }
        sha.finalize().into()
    }
}

/// How far a chain was followed.
pub(crate) struct Chain {
    next: u64,
    last: [u8; 32],
}

impl Chain {
    pub(crate) fn new() -> Chain {
        Chain { next: FIRST, last: NONE_BEFORE }
    }

    /// Takes the next row, which says that it follows `previous` and has the hash `sha`.
    ///
    /// # Errors
    /// `Damaged` with the first row that is missing, changed or out of its place.
    pub(crate) fn follow(&mut self, row: &Link, previous: &[u8], sha: &[u8]) -> Result<()> {
        let broken = |seq: u64, why: String| Err(Error::Damaged { what: format!("audit row {seq}"), why });
        let (next, before) = (self.next, self.next.saturating_sub(1));
        if row.seq != next {
            return broken(next, "it is missing".to_owned());
        }
        if previous != self.last {
            return broken(next, format!("it does not follow row {before}"));
        }
        let found = row.sha(&self.last);
        if sha != found {
            return broken(next, "its hash does not fit, so it was changed".to_owned());
        }
        *self = Chain { next: next.saturating_add(1), last: found };
        Ok(())
    }

    /// How many rows were followed.
    pub(crate) fn rows(&self) -> u64 {
        self.next.saturating_sub(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes are promised in docs/reference/store.md: computed once by another program, never to change.
    #[test]
    fn the_bytes_of_a_row_are_fixed() {
        let row = Link {
            seq: 1,
            at: Timestamp::from_micros(1_700_000_000_000_000),
            event: "held",
            person: Some("ada"),
            confirmation: None,
            execution: Some(ExecutionId([7; 12])),
            data: "{\"n\":1}",
        };
        let hex: String = row.sha(&NONE_BEFORE).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "9a60045f62df66a6ec8abae8a7c9033595db696e1f56ef58ceebcd35f56905bf");
    }

    #[test]
    fn no_two_rows_have_the_same_bytes() {
        let row = |person, confirmation| Link {
            seq: 1,
            at: Timestamp::from_micros(0),
            event: "held",
            person,
            confirmation,
            execution: None,
            data: "null",
        };
        let hashes = [
            row(None, None),
            row(Some(""), None),
            row(None, Some("")),
            row(Some("ab"), None),
            row(Some("a"), Some("b")),
        ]
        .map(|row| row.sha(&NONE_BEFORE));
        let different: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(different.len(), hashes.len());
    }
}
