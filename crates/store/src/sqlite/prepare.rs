//! A batch made ready for the writer: every text is made here, on the caller's thread.

use crate::blobs::{Blob, shrink};
use crate::secrets::Secrets;
use crate::stored::{self, NewTexts};
use crate::{Batch, Op, Result};
use squall_model::{Change, Execution, ExecutionId, Map};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// One change with its texts.
pub(super) enum Write {
    Insert(Box<Execution>, NewTexts),
    Update {
        id: ExecutionId,
        version: u32,
        delta: Box<Delta>,
    },
    /// A row with one value that is stored as text.
    WithBody(Op, String),
    /// A large part of a text, unless it is there already.
    Blob(Blob),
    Other(Op),
}

impl Write {
    /// Whether one statement carries it out, so that it changes all or nothing without a savepoint.
    pub(super) fn is_one_statement(&self) -> bool {
        match self {
            Write::Insert(..) | Write::Update { .. } | Write::Blob(_) => true,
            Write::WithBody(op, _) => matches!(op, Op::Say(_) | Op::Audit { .. }),
            Write::Other(Op::Append { facts, .. }) => facts.len() < 2,
            Write::Other(op) => !matches!(op, Op::Taken { .. } | Op::PutConfirmation { .. } | Op::PutSlot { .. }),
        }
    }
}

/// A change of an execution, with its texts.
pub(super) struct Delta {
    pub(super) change: Change,
    /// `Some(None)` stores null.
    pub(super) result: Option<Option<String>>,
    pub(super) request: Option<Erased>,
    /// Notes are merged by the writer, which alone knows the earlier ones.
    pub(super) notes: Map,
}

/// A request that has lost secrets.
pub(super) struct Erased {
    pub(super) text: String,
    /// Parameters that are secret still.
    pub(super) secret: Vec<String>,
}

/// The changes of a batch and about how many bytes they hold.
pub(super) struct Prepared {
    pub(super) writes: Vec<Write>,
    pub(super) bytes: usize,
    /// Blobs among them.
    pub(super) shas: Vec<[u8; 32]>,
}

/// What a row costs beside its texts.
const ROW_BYTES: usize = 256;

/// Makes a batch ready.
///
/// # Errors
/// When something in it is nested too deep to be read back.
pub(super) fn prepare(batch: Batch, known: &Known, secrets: Option<&Secrets>) -> Result<Prepared> {
    let mut bytes = 0;
    let mut writes = Vec::with_capacity(batch.ops.len());
    let mut shas = Vec::new();
    for op in batch.ops {
        let mut blobs = Vec::new();
        let write = write(op, &mut blobs, secrets)?;
        for blob in blobs {
            if !known.has(&blob.sha) && !shas.contains(&blob.sha) {
                shas.push(blob.sha);
                bytes += ROW_BYTES + blob.text.len();
                writes.push(Write::Blob(blob));
            }
        }
        bytes += size(&write);
        writes.push(write);
    }
    Ok(Prepared { writes, bytes, shas })
}

/// Blobs that are known to be stored, so that their texts need not be handed to the writer again.
#[derive(Default)]
pub(super) struct Known(Mutex<HashSet<[u8; 32]>>);

/// How many are remembered; beyond it the memory starts afresh, which only costs time.
const KNOWN: usize = 16_384;

impl Known {
    fn has(&self, sha: &[u8; 32]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(sha)
    }

    /// After the commit of the batch that held them.
    pub(super) fn remember(&self, shas: &[[u8; 32]]) {
        if shas.is_empty() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.extend(shas);
    }
}

fn write(op: Op, blobs: &mut Vec<Blob>, secrets: Option<&Secrets>) -> Result<Write> {
    Ok(match op {
        Op::Insert(execution) => {
            let texts = NewTexts::of(&execution, secrets)?;
            let request = shrink(texts.request, blobs);
            let result = texts.result.map(|text| shrink(text, blobs));
            Write::Insert(execution, NewTexts { request, result, ..texts })
        }
        Op::Append { execution, seq, facts, at, secret } => {
            let kept = |fact: String| match secrets.filter(|_| secret) {
                Some(secrets) => secrets.hide_fact(&fact),
                None => shrink(fact, blobs),
            };
            let facts = facts.into_iter().map(kept).collect();
            Write::Other(Op::Append { execution, seq, facts, at, secret })
        }
        Op::Update { id, version, change } => {
            let mut change = *change;
            stored::check_change(id, &change)?;
            let result = match change.result.take() {
                Some(result) => Some(stored::result_text(id, &result)?.map(|text| shrink(text, blobs))),
                None => None,
            };
            let request = match change.erased.take() {
                Some(request) => {
                    let hidden = secrets.map(|secrets| secrets.hide(&request)).transpose()?.flatten();
                    let text = stored::request_text(id, hidden.as_ref().unwrap_or(&request))?;
                    Some(Erased { text: shrink(text, blobs), secret: request.secret.clone() })
                }
                None => None,
            };
            let notes = std::mem::take(&mut change.notes);
            Write::Update { id, version, delta: Box::new(Delta { change, result, request, notes }) }
        }
        Op::Post(ref row) => {
            let body = stored::value_text(&row.body, || format!("outgoing {}", row.dedup))?;
            Write::WithBody(op, body)
        }
        Op::Say(ref message) => {
            let body = stored::value_text(&message.body, || format!("message in {}", message.channel))?;
            Write::WithBody(op, body)
        }
        Op::PutToken(ref token) => {
            let data = stored::value_text(&token.data, || format!("token of {}", token.user))?;
            Write::WithBody(op, data)
        }
        Op::Audit { ref data, ref event, .. } => {
            let data = stored::value_text(data, || format!("audit row `{event}`"))?;
            Write::WithBody(op, data)
        }
        Op::PutConfirmation { ref row, .. } => {
            stored::check_confirmation(row)?;
            Write::Other(op)
        }
        op => Write::Other(op),
    })
}

fn size(write: &Write) -> usize {
    ROW_BYTES
        + match write {
            Write::Insert(_, texts) => texts.request.len() + texts.result.as_ref().map_or(0, String::len),
            Write::Update { delta, .. } => delta.result.iter().flatten().map(String::len).sum(),
            Write::WithBody(_, body) => body.len(),
            Write::Blob(blob) => blob.text.len(),
            Write::Other(Op::Append { facts, .. }) => facts.iter().map(|f| f.len() + ROW_BYTES).sum(),
            Write::Other(Op::Definition { text, .. }) => text.len(),
            Write::Other(Op::PutConfirmation { row, .. }) => row.json.len() + row.executions.len() * ROW_BYTES,
            Write::Other(Op::SetItem { item, .. }) => item.value.len(),
            Write::Other(Op::PutEntry(entry)) => entry.value.len(),
            Write::Other(_) => 0,
        }
}
