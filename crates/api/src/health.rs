//! Is it there, does it take work, what version is it, how much does it do.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::limits::{IN_FLIGHT, STREAMS};
use crate::{State, answer};
use axum::http::StatusCode;
use axum::response::Response;
use squall_engine::people::{Wish, authorize};
use squall_model::{Status, Value};
use squall_store::{Filter, Page};
use std::fmt::Write;

/// `GET /health/live`: the process answers; nothing else is said.
pub(crate) async fn live() -> Response {
    answer::ok(object([("status", "ok".into())]))
}

/// `GET /health/ready`: whether new work is taken.
pub(crate) async fn ready(api: State) -> Response {
    match api.admin().unready() {
        None => answer::ok(object([("status", "ready".into())])),
        Some(why) => {
            let body = object([("status", "unready".into()), ("reason", why.into())]);
            answer::json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

/// `GET /v1/`: bots check their key with it.
pub(crate) async fn index(api: State, _: Caller) -> Response {
    let version = Value::from(api.settings().version.as_str());
    answer::ok(object([("version", version), ("docs_url", "https://docs.stackstorm.com/".into())]))
}

/// The states that are worth a number: those that something is to come of.
const COUNTED: [Status; 8] = [
    Status::Requested,
    Status::Scheduled,
    Status::Delayed,
    Status::Running,
    Status::Pending,
    Status::Paused,
    Status::Pausing,
    Status::Canceling,
];

/// `GET /v1/squall/metrics`, in the text form of Prometheus.
pub(crate) async fn metrics(api: State, caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let mut text = String::new();
    let head = |text: &mut String, name: &str, help: &str| {
        // Writing to a text cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    };
    head(&mut text, "squall_executions", "Executions that are not over, by status.");
    for status in COUNTED {
        let filter = Filter { status: vec![status], ..Filter::default() };
        let (_, count) = api.engine().executions(&filter, Page { offset: 0, limit: 1 }, &caller.who)?;
        let _ = writeln!(text, "squall_executions{{status=\"{status}\"}} {count}");
    }
    head(&mut text, "squall_api_requests_in_flight", "Requests that are worked on.");
    let _ =
        writeln!(text, "squall_api_requests_in_flight {}", IN_FLIGHT - api.inner.in_flight.available_permits() as u64);
    head(&mut text, "squall_api_streams", "Open event streams.");
    let _ = writeln!(text, "squall_api_streams {}", STREAMS - api.inner.streams.available_permits() as u64);
    head(&mut text, "squall_actions", "Actions that are loaded.");
    let _ = writeln!(text, "squall_actions {}", api.engine().content().registry().actions.len());
    Ok(answer::text(StatusCode::OK, "text/plain; version=0.0.4", text))
}
