//! The audit log: its rows about people, and reading it.

use super::{Principal, Via, Wish, authorize};
use crate::Engine;
use crate::refusal::Refusal;
use squall_model::{Timestamp, Value};
use squall_store::{AuditFilter, AuditRow, Batch, Op};

/// A row about something that `who` did, for the commit that does it.
pub(crate) fn row(event: &str, who: &Principal, data: Value, at: Timestamp) -> Op {
    let execution = match &who.via {
        Via::Execution(id) => Some(*id),
        _ => None,
    };
    let data = match &who.via {
        Via::Agent(name) => Value::from_pairs([("agent", Value::from(name.as_str())), ("what", data)]),
        _ => data,
    };
    let person = (who.via != Via::Internal).then(|| who.person().as_str().to_owned());
    Op::Audit { at, event: event.to_owned(), person, confirmation: None, execution, data }
}

/// Which part of the audit log to read.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// What must hold.
    pub filter: AuditFilter,
    /// At most so many.
    pub limit: usize,
}

impl Engine {
    /// Newest first. Whoever reads is written down, too.
    pub async fn audit(&self, query: &AuditQuery, who: &Principal) -> Result<Vec<AuditRow>, Refusal> {
        authorize(who, Wish::ReadAudit)?;
        let found = self.store().audit_found(&query.filter, query.limit)?;
        // The first page tells of the others.
        if query.filter.before.is_none() {
            self.note("audit_read", who, Value::from_pairs([("rows", found.len() as i64)])).await?;
        }
        Ok(found)
    }

    /// Oldest first from row `from` on, for copies.
    pub async fn audit_from(&self, from: u64, limit: usize, who: &Principal) -> Result<Vec<AuditRow>, Refusal> {
        authorize(who, Wish::ReadAudit)?;
        if from <= 1 {
            self.note("audit_read", who, Value::from_pairs([("from", from)])).await?;
        }
        Ok(self.store().audit(from, limit)?)
    }

    /// Follows the hash chain: how many rows, and the last one's hash. Damage is told with its row.
    pub fn verify_audit(&self, who: &Principal) -> Result<Result<(u64, Option<AuditRow>), String>, Refusal> {
        authorize(who, Wish::ReadAudit)?;
        match self.store().verify_audit() {
            Ok(rows) => Ok(Ok((rows, self.store().audit_head()?))),
            Err(squall_store::Error::Damaged { what, why }) => Ok(Err(format!("{what}: {why}"))),
            Err(other) => Err(other.into()),
        }
    }

    /// Writes something down that has no other effect.
    pub async fn note(&self, event: &str, who: &Principal, data: Value) -> Result<(), Refusal> {
        Ok(self.store().commit(Batch::from(row(event, who, data, self.now()))).await?)
    }
}
