//! The one place where a refusal becomes a status and a `faultstring`.
//!
//! What went wrong inside (a broken row, a panic) stays inside: the client gets an id, the log gets the rest.

use crate::answer;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use squall_engine::Refusal;
use squall_model::{Map, Value};
use std::sync::atomic::{AtomicU64, Ordering};

/// An answer that says no, in StackStorm's form: `{"faultstring": text}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    status: StatusCode,
    text: String,
    /// What else clients read of it.
    more: Map,
    retry_after: Option<u64>,
}

impl Fault {
    /// A fault with this status.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Fault {
        Fault { status, text: text.into(), more: Map::new(), retry_after: None }
    }

    /// 400.
    pub fn bad(text: impl Into<String>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, text)
    }

    /// 401.
    pub fn unauthorized(text: impl Into<String>) -> Fault {
        Fault::new(StatusCode::UNAUTHORIZED, text)
    }

    /// 403.
    pub fn forbidden(text: impl Into<String>) -> Fault {
        Fault::new(StatusCode::FORBIDDEN, text)
    }

    /// 404.
    pub fn missing(text: impl Into<String>) -> Fault {
        Fault::new(StatusCode::NOT_FOUND, text)
    }

    /// 404 for a path that leads nowhere, or not with this method.
    pub fn no_route() -> Fault {
        Fault::missing("The resource could not be found.")
    }

    /// 501: StackStorm has it, squall does not yet.
    pub fn not_yet(what: &str) -> Fault {
        Fault::new(StatusCode::NOT_IMPLEMENTED, format!("{what} is not supported by this version of squall"))
    }

    /// 503 or 429 with the number of seconds after which to try again.
    pub fn later(status: StatusCode, seconds: u64, text: impl Into<String>) -> Fault {
        Fault { retry_after: Some(seconds), ..Fault::new(status, text) }
    }

    /// 500 with an id that the log has as well; `what` is for the log only.
    pub fn broken(what: &str) -> Fault {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let id = format!("{:x}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        tracing::error!(fault = %id, "{what}");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, format!("Internal Server Error (fault {id})"))
    }

    /// The same with another status: some routes say 400 where others say 404.
    pub fn with_status(self, status: StatusCode) -> Fault {
        Fault { status, ..self }
    }

    /// The same with a field beside the text.
    pub fn with(mut self, name: &str, value: Value) -> Fault {
        self.more.insert(name.into(), value);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The text.
    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        let text = refusal.to_string();
        match refusal {
            Refusal::Invalid(_) | Refusal::Stillborn { .. } => Fault::bad(text),
            Refusal::Unknown(_) => Fault::missing(text),
            Refusal::Forbidden { .. } | Refusal::NotAllowed(_) | Refusal::MayNotRespond(_) => Fault::forbidden(text),
            Refusal::Conflict(_) => Fault::new(StatusCode::CONFLICT, text),
            Refusal::Duplicate(id) => Fault::new(StatusCode::CONFLICT, text).with("conflict-id", id.to_string().into()),
            Refusal::Held(confirmation) => Fault::new(StatusCode::CONFLICT, text).with("confirmation", *confirmation),
            Refusal::Limited { seconds, .. } => Fault::later(StatusCode::TOO_MANY_REQUESTS, seconds.max(1), text),
            Refusal::TooMany(_) => Fault::later(StatusCode::TOO_MANY_REQUESTS, 1, text),
            Refusal::Unavailable(_) => Fault::later(StatusCode::SERVICE_UNAVAILABLE, 1, text),
            Refusal::Full(_) => Fault::new(StatusCode::INSUFFICIENT_STORAGE, text),
            Refusal::Broken(_) => Fault::broken(&text),
        }
    }
}

impl From<squall_store::Error> for Fault {
    fn from(error: squall_store::Error) -> Fault {
        Refusal::from(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("faultstring".into(), self.text.into());
        body.extend(self.more);
        let mut response = answer::json(self.status, &body.into());
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(refusal: Refusal, status: u16, text: &str) {
        let fault = Fault::from(refusal);
        assert_eq!((fault.status().as_u16(), fault.text()), (status, text));
    }

    #[test]
    fn every_refusal_has_its_status() {
        check(Refusal::no_action("core.nope"), 400, "Action \"core.nope\" cannot be found.");
        check(Refusal::Unknown("no".into()), 404, "no");
        let forbidden = Refusal::Forbidden { who: "ann".into(), what: "run `core.local`".into(), needed: "admin" };
        check(forbidden, 403, "`ann` may not run `core.local`: this needs the role `admin`");
        check(Refusal::Conflict("taken".into()), 409, "taken");
        check(Refusal::TooMany("executions".into()), 429, "too many: executions");
        check(Refusal::Unavailable("draining".into()), 503, "draining");
        check(Refusal::Full("/data".into()), 507, "disk full: /data; nothing was started");
    }

    #[test]
    fn a_bug_tells_nothing_but_its_number() {
        let fault = Fault::from(Refusal::Broken("no such table: secrets".into()));
        assert_eq!(fault.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(fault.text().starts_with("Internal Server Error (fault "), "{}", fault.text());
        assert!(!fault.text().contains("secrets"));
    }

    #[test]
    fn come_back_later_says_when() {
        let response = Fault::from(Refusal::TooMany("executions".into())).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
