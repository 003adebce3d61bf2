//! Every bound of the engine in one place, with what happens beyond it. `squall limits` prints this table.

/// A bound: what it is for, how much, and what happens beyond.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// What is bounded.
    pub what: &'static str,
    /// How much.
    pub bound: u64,
    /// What happens beyond it.
    pub beyond: &'static str,
}

/// Executions that are requested or scheduled and have not started.
pub const WAITING_EXECUTIONS: u64 = 100_000;
/// Actions that run at once on this machine.
pub const RUNNING_ACTIONS: u64 = 60;
/// Trees that are kept in memory between their steps; others are read back when something happens to them.
pub const CACHED_TREES: u64 = 1_024;
/// Things that may wait for one tree; the next one waits for a place.
pub const TREE_MAILBOX: u64 = 100_000;
/// Causes that one commit of a tree may settle before the rest goes into the next commit.
pub const CAUSES_PER_COMMIT: u64 = 512;
/// Facts of one workflow.
pub const FACTS: u64 = 1_000_000;
/// Depth of workflows within workflows.
pub const WORKFLOW_DEPTH: u64 = 32;
/// How often tasks of one workflow are run again, each time going on with the log of the last.
pub const AGAIN: u64 = 100;
/// Bytes of a chat line or alias command.
pub const COMMAND_BYTES: u64 = 8 * 1024;
/// Events that a stream subscriber may be behind.
pub const STREAM_EVENTS: u64 = 1_024;
/// Due rows that are read at once.
pub const DUE_PAGE: u64 = 256;
/// Bytes of a result.
pub const RESULT_BYTES: u64 = 64 << 20;
/// Open confirmations of one requester, in one channel, in all (`confirmation::limits`).
pub const OPEN_OF_REQUESTER: u64 = 20;
/// In one channel.
pub const OPEN_IN_CHANNEL: u64 = 100;
/// In all.
pub const OPEN_IN_ALL: u64 = 100_000;
/// Passwords that are hashed at once.
pub const PASSWORD_HASHES: u64 = 2;

/// The table.
pub const ALL: &[Limit] = &[
    Limit {
        what: "executions that wait to start",
        bound: WAITING_EXECUTIONS,
        beyond: "new requests are refused (429)",
    },
    Limit { what: "actions running at once", bound: RUNNING_ACTIONS, beyond: "others wait as `scheduled`" },
    Limit { what: "workflow trees kept in memory", bound: CACHED_TREES, beyond: "read back from the log" },
    Limit { what: "news waiting for one workflow tree", bound: TREE_MAILBOX, beyond: "the sender is refused (503)" },
    Limit { what: "steps of one tree in one commit", bound: CAUSES_PER_COMMIT, beyond: "the rest is the next commit" },
    Limit { what: "facts of one workflow", bound: FACTS, beyond: "the workflow fails with the number" },
    Limit { what: "workflows within workflows", bound: WORKFLOW_DEPTH, beyond: "the child fails with the number" },
    Limit { what: "re-runs that go on with one another", bound: AGAIN, beyond: "refused: run it as a whole" },
    Limit { what: "bytes of a chat command", bound: COMMAND_BYTES, beyond: "refused with a text" },
    Limit { what: "events a stream reader may be behind", bound: STREAM_EVENTS, beyond: "the stream is closed" },
    Limit { what: "due rows read at once", bound: DUE_PAGE, beyond: "the rest is read next" },
    Limit { what: "bytes of a result", bound: RESULT_BYTES, beyond: "the execution fails with the number" },
    Limit {
        what: "open confirmations of one requester",
        bound: OPEN_OF_REQUESTER,
        beyond: "the run is refused with a text",
    },
    Limit { what: "open confirmations asked in one channel", bound: OPEN_IN_CHANNEL, beyond: "the same" },
    Limit { what: "open confirmations", bound: OPEN_IN_ALL, beyond: "the same" },
    Limit { what: "passwords hashed at once", bound: PASSWORD_HASHES, beyond: "others wait" },
];
