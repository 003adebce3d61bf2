//! A batch made ready for the writer: every text is made here, on the caller's thread.

use crate::stored::{self, NewTexts};
use crate::{Batch, Op, Result};
use squall_model::{Change, Execution, ExecutionId, Map};

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
    Other(Op),
}

impl Write {
    /// Whether one statement carries it out, so that it changes all or nothing without a savepoint.
    pub(super) fn is_one_statement(&self) -> bool {
        match self {
            Write::Insert(..) | Write::Update { .. } => true,
            Write::WithBody(op, _) => matches!(op, Op::Say(_) | Op::Audit { .. }),
            Write::Other(Op::Append { facts, .. }) => facts.len() < 2,
            Write::Other(op) => !matches!(op, Op::Taken { .. } | Op::PutConfirmation { .. }),
        }
    }
}

/// A change of an execution, with its texts.
pub(super) struct Delta {
    pub(super) change: Change,
    /// `Some(None)` stores null.
    pub(super) result: Option<Option<String>>,
    /// Notes are merged by the writer, which alone knows the earlier ones.
    pub(super) notes: Map,
}

/// The changes of a batch and about how many bytes they hold.
pub(super) struct Prepared {
    pub(super) writes: Vec<Write>,
    pub(super) bytes: usize,
}

/// What a row costs beside its texts.
const ROW_BYTES: usize = 256;

/// Makes a batch ready.
///
/// # Errors
/// When something in it is nested too deep to be read back.
pub(super) fn prepare(batch: Batch) -> Result<Prepared> {
    let mut bytes = 0;
    let writes = batch
        .ops
        .into_iter()
        .map(|op| {
            let write = write(op)?;
            bytes += size(&write);
            Ok(write)
        })
        .collect::<Result<_>>()?;
    Ok(Prepared { writes, bytes })
}

fn write(op: Op) -> Result<Write> {
    Ok(match op {
        Op::Insert(execution) => {
            let texts = NewTexts::of(&execution)?;
            Write::Insert(execution, texts)
        }
        Op::Update { id, version, change } => {
            let mut change = *change;
            stored::check_change(id, &change)?;
            let result = match change.result.take() {
                Some(result) => Some(stored::result_text(id, &result)?),
                None => None,
            };
            let notes = std::mem::take(&mut change.notes);
            Write::Update { id, version, delta: Box::new(Delta { change, result, notes }) }
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
            Write::Other(Op::Append { facts, .. }) => facts.iter().map(|f| f.len() + ROW_BYTES).sum(),
            Write::Other(Op::Definition { text, .. }) => text.len(),
            Write::Other(Op::PutConfirmation { row, .. }) => row.json.len() + row.executions.len() * ROW_BYTES,
            Write::Other(Op::SetItem { item, .. }) => item.value.len(),
            Write::Other(Op::PutEntry(entry)) => entry.value.len(),
            Write::Other(_) => 0,
        }
}
