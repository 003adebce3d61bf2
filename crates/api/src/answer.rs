//! Answers: JSON, lists with their counts, nothing at all.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use squall_model::{Value, to_json};

/// How many there are before paging.
pub(crate) const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
/// The limit that was applied; absent when there was none.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("x-limit");

/// Compact JSON.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    text(status, "application/json", to_json(value))
}

/// 200 with JSON.
pub(crate) fn ok(value: impl Into<Value>) -> Response {
    json(StatusCode::OK, &value.into())
}

/// 201 with JSON.
pub(crate) fn created(value: impl Into<Value>) -> Response {
    json(StatusCode::CREATED, &value.into())
}

/// 204.
pub(crate) fn deleted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Any text.
pub(crate) fn text(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A page of a list: a bare array with the counts in headers.
pub(crate) fn list(items: Vec<Value>, total: u64, limit: Option<u64>) -> Response {
    with_counts(ok(items), total, limit)
}

/// Adds the counts of a list.
pub(crate) fn with_counts(mut response: Response, total: u64, limit: Option<u64>) -> Response {
    response.headers_mut().insert(TOTAL, HeaderValue::from(total));
    if let Some(limit) = limit {
        response.headers_mut().insert(LIMIT, HeaderValue::from(limit));
    }
    response
}
