//! What a decision says: the record after, what everybody is told, what the audit log gets, what becomes of the run.

use super::super::people::{Identity, PersonId};
use super::super::record::{Place, Record};
use super::super::texts::Text;
use super::{Assurance, Due, Outcome};
use squall_model::{Timestamp, Value};

/// Where something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// To a place in chat.
    Place(Place),
    /// To the room in which a bot in front of squall heard the command.
    Bot,
    /// Back to whoever called, when they are not in chat.
    Caller,
    /// Into the copy of the question of that number: its first line is replaced and its buttons go. When that fails, as
    /// a new message.
    Edit(usize),
    /// The question itself, as the copy of that number.
    Ask(usize),
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Say {
    /// Where.
    pub to: To,
    /// What.
    pub text: Text,
    /// The key under which the outbox takes it once.
    pub dedup: String,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// What: `held`, `vote`, `released`, …
    pub event: &'static str,
    /// Who, if anybody.
    pub person: Option<PersonId>,
    /// Through which identity.
    pub identity: Option<Identity>,
    /// How sure.
    pub assurance: Option<Assurance>,
    /// Everything else.
    pub data: Value,
}

/// What becomes of the held executions.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// They are requested now; the scheduler takes them by this id.
    Release {
        /// Unique for ever.
        release_id: String,
    },
    /// They end, or the task does: see [`Record::result`].
    End,
    /// They wait a little longer: the dry runs are made once more, and [`super::Event::Looked`] tells what they show.
    LookAgain,
}

/// What is to be committed, all of it or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The record after.
    pub record: Record,
    /// Whether it is another than before; its version counted on then.
    pub changed: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// What is said.
    pub says: Vec<Say>,
    /// What the audit log gets.
    pub audit: Vec<Audit>,
    /// Rows to write: what is due, and when. When the record is final, all its rows go.
    pub due: Vec<(Due, Timestamp)>,
    /// What becomes of the held executions.
    pub effect: Option<Effect>,
    /// Whether the request is to be asked about anew.
    pub ask_again: bool,
    /// Until when a broken glass must be reviewed.
    pub review_until: Option<Timestamp>,
}

impl Decision {
    /// What the answerer is told, when that goes back to a caller.
    pub fn told(&self) -> Option<String> {
        self.says.iter().find(|say| say.to == To::Caller).map(|say| say.text.plain())
    }
}
