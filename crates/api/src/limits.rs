//! The bounds of the HTTP side, each with its reason. `limits::ALL` is what `squall limits` shows beside the engine's.

use squall_engine::limits::Limit;
use std::time::Duration;

/// Requests that are worked on at once; streams have their own bound.
pub const IN_FLIGHT: u64 = 512;
/// Open event streams.
pub const STREAMS: u64 = 2_048;
/// Open event streams of one user; administrators may have all of them.
pub const STREAMS_OF_USER: u64 = 256;
/// Requests that only wait for the end of an execution.
pub const WAITS: u64 = 2_048;
/// Bytes of a JSON body.
pub const BODY_BYTES: u64 = 4 << 20;
/// Bytes of a body that comes with a password or token.
pub const AUTH_BODY_BYTES: u64 = 8 << 10;
/// Bytes of a path with its query.
pub const URL_BYTES: u64 = 8 << 10;
/// Rows of a list without limit; beyond it clients must page.
pub const UNPAGED_ROWS: u64 = 100_000;
/// Executions that a filter without index looks at.
pub const SCANNED_ROWS: u64 = 10_000;
/// Names in `include_attributes`, `exclude_attributes` and lists of filters.
pub const LISTED_NAMES: u64 = 500;
/// Log-ins that wait while others are checked.
pub const WAITING_LOGINS: u64 = 16;
/// People whose wrong passwords are remembered.
pub const REMEMBERED_FAILURES: u64 = 10_000;

/// How long a body may take to arrive.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a request may take.
pub const REQUEST_TIME: Duration = Duration::from_secs(30);

/// The table.
pub const ALL: &[Limit] = &[
    Limit { what: "requests at once", bound: IN_FLIGHT, beyond: "refused (503)" },
    Limit { what: "event streams", bound: STREAMS, beyond: "refused (503)" },
    Limit { what: "event streams of one user", bound: STREAMS_OF_USER, beyond: "refused (429)" },
    Limit { what: "requests that wait for an end", bound: WAITS, beyond: "refused (503)" },
    Limit { what: "bytes of a request body", bound: BODY_BYTES, beyond: "refused (413)" },
    Limit { what: "bytes of a log-in", bound: AUTH_BODY_BYTES, beyond: "refused (413)" },
    Limit { what: "bytes of a URL", bound: URL_BYTES, beyond: "refused (414)" },
    Limit { what: "rows of a list without limit", bound: UNPAGED_ROWS, beyond: "refused (400)" },
    Limit {
        what: "rows that a filter without index looks at",
        bound: SCANNED_ROWS,
        beyond: "older ones are not found",
    },
    Limit { what: "names in a query parameter", bound: LISTED_NAMES, beyond: "refused (400)" },
    Limit { what: "log-ins that wait", bound: WAITING_LOGINS, beyond: "refused (429)" },
    Limit {
        what: "people with wrong passwords remembered",
        bound: REMEMBERED_FAILURES,
        beyond: "the oldest are forgotten",
    },
];
