//! What every request passes before it is routed: where it leads, whether it may come in, and what every answer carries.
//!
//! Paths have many names in StackStorm (`/v1/x`, `/x`, `/api/v1/x`, a slash at the end); [`place`] gives each its one
//! name, without redirects, because a redirect breaks POST.

use crate::fault::Fault;
use crate::query::decode;
use crate::{State, limits};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, StreamExt};
use std::panic::AssertUnwindSafe;
use std::time::Instant;
use tower::ServiceExt;

/// Which port a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Everything, with and without the prefixes of the front end.
    Main,
    /// Log-in alone.
    Auth,
    /// Streams alone.
    Stream,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const METHODS: &str = "GET,POST,PUT,DELETE,OPTIONS";
const HEADERS: &str = "Content-Type,Authorization,X-Auth-Token,St2-Api-Key,X-Request-ID";
const EXPOSED: &str = "Content-Type,X-Limit,X-Total-Count,X-Request-ID";

/// Puts the doors in front of `inner`, whose paths begin with `/api`, `/auth` or `/stream`.
pub(crate) fn guarded(api: State, face: Face, inner: Router) -> Router {
    Router::new().fallback(move |request: Request| {
        let (api, inner) = (api.clone(), inner.clone());
        async move { pass(&api, face, inner, request).await }
    })
}

async fn pass(api: &State, face: Face, inner: Router, request: Request) -> Response {
    let began = Instant::now();
    let id = request.headers().get(REQUEST_ID).cloned().unwrap_or_else(|| fresh_id(api));
    let origin = request.headers().get(header::ORIGIN).cloned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match admit(api, face, request) {
        Ok(request) => carry_out(api, inner, request).await,
        Err(early) => early.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    share(headers, origin.as_ref(), &api.settings().origins);
    // Never the query: tokens may stand in it.
    tracing::debug!(%method, %path, status = response.status().as_u16(), took = ?began.elapsed(), "request");
    response
}

/// Checks that need no route; gives the request its one path.
fn admit(api: &State, face: Face, mut request: Request) -> Result<Request, Early> {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok());
    if !is_ours(host.or(request.uri().authority().map(|a| a.as_str())), &api.settings().hosts) {
        let text = "this server does not answer to that host name";
        return Err(Fault::new(StatusCode::MISDIRECTED_REQUEST, text).into());
    }
    if request.method() == Method::OPTIONS {
        return Err(Early::Preflight);
    }
    let uri = request.uri();
    let length = uri.path_and_query().map_or(0, |p| p.as_str().len());
    if length as u64 > limits::URL_BYTES {
        let text = format!("the URL has {length} bytes, at most {} are taken", limits::URL_BYTES);
        return Err(Fault::new(StatusCode::URI_TOO_LONG, text).into());
    }
    let path = place(face, uri.path())?;
    let target = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    *request.uri_mut() = target.parse::<Uri>().map_err(|_| Fault::bad("the path cannot be read"))?;
    Ok(request)
}

/// An answer before anything was routed.
enum Early {
    /// A browser asks what it may do.
    Preflight,
    /// It may not come in.
    Refused(Fault),
}

impl From<Fault> for Early {
    fn from(fault: Fault) -> Early {
        Early::Refused(fault)
    }
}

impl IntoResponse for Early {
    fn into_response(self) -> Response {
        match self {
            Early::Preflight => crate::answer::text(StatusCode::OK, "text/html; charset=UTF-8", Body::empty()),
            Early::Refused(fault) => fault.into_response(),
        }
    }
}

/// Routes it, within the bounds of time and number; a panic is an answer like any other.
async fn carry_out(api: &State, inner: Router, request: Request) -> Response {
    let streams = is_stream(request.uri().path());
    // Whoever only waits takes no place from those who ask for something.
    let pool = match request.uri().path() {
        _ if streams => &api.inner.streams,
        path if path.ends_with("/wait") => &api.inner.waits,
        _ => &api.inner.in_flight,
    };
    let Ok(permit) = pool.clone().try_acquire_owned() else {
        let text = "too many requests at once, try again in a second";
        return Fault::later(StatusCode::SERVICE_UNAVAILABLE, 1, text).into_response();
    };
    let work = AssertUnwindSafe(inner.oneshot(request)).catch_unwind();
    let done = tokio::time::timeout(limits::REQUEST_TIME, work).await;
    let response = match done {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_)) => Fault::broken("a handler panicked").into_response(),
        Err(_) => Fault::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    };
    if streams {
        // The place is given back when the stream ends, with its body.
        return response.map(|body| Body::from_stream(body.into_data_stream().inspect(move |_| _ = &permit)));
    }
    response
}

fn is_stream(path: &str) -> bool {
    path == "/api/stream" || path.starts_with("/stream/")
}

fn fresh_id(api: &State) -> HeaderValue {
    HeaderValue::try_from(api.engine().ids().uuid()).unwrap_or(HeaderValue::from_static("-"))
}

/// The one name of a path: `/api/…`, `/auth/…` or `/stream/…`, without version and without slash at the end.
fn place(face: Face, path: &str) -> Result<String, Fault> {
    let decoded = decode(path, false).ok_or_else(|| Fault::bad("the path cannot be decoded"))?;
    // An encoded slash would be a separator after decoding, so such a name does not exist.
    if decoded.contains('\0') || decoded.matches('/').count() != path.matches('/').count() {
        return Err(Fault::no_route());
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let (room, rest) = match face {
        Face::Auth => ("auth", path),
        Face::Stream => ("stream", path),
        Face::Main => {
            if let Some(rest) = below(path, "/api") {
                ("api", rest)
            } else if let Some(rest) = below(path, "/auth").filter(|r| !r.is_empty()) {
                ("auth", rest)
            } else if let Some(rest) = below(path, "/stream").filter(|r| !r.is_empty()) {
                ("stream", rest)
            } else {
                ("api", path)
            }
        }
    };
    let rest = below(rest, "/v1").unwrap_or(rest);
    Ok(if rest.is_empty() { format!("/{room}/") } else { format!("/{room}{rest}") })
}

/// What follows `prefix` if `path` is that or lies below it.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a `Host` header names this server: stops pages that point a name of theirs at a loopback address.
fn is_ours(host: Option<&str>, names: &[String]) -> bool {
    // No host: HTTP/1.0 and in-process callers; a browser always sends one.
    let Some(host) = host else { return true };
    if names.iter().any(|name| name == "*") {
        return true;
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => {
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |h| h.0)
        }
    };
    let is_loopback = match name.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    };
    is_loopback || names.iter().any(|own| own.eq_ignore_ascii_case(name) || own.eq_ignore_ascii_case(host))
}

/// The headers by which a browser decides whether a page may read the answer.
///
/// An unknown origin is never echoed; it gets the first known one, which its browser takes for a no. Without origin there
/// is no browser to decide, and `*` is what StackStorm's clients see.
fn share(headers: &mut HeaderMap, origin: Option<&HeaderValue>, known: &[String]) {
    let fixed = |text: &str| HeaderValue::try_from(text).ok();
    let anybody = known.iter().any(|k| k == "*");
    let allowed = match origin {
        _ if anybody => fixed("*"),
        None => fixed("*"),
        Some(origin) if known.iter().any(|k| k.as_bytes() == origin.as_bytes()) => Some(origin.clone()),
        Some(_) => known.first().and_then(|first| fixed(first)),
    };
    if let Some(allowed) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    }
    if !anybody || origin.is_none() {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn leads(face: Face, path: &str, to: &str) {
        assert_eq!(place(face, path).as_deref(), Ok(to), "{path}");
    }

    #[test]
    fn every_name_of_a_path_leads_to_one_place() {
        for path in ["/v1/executions", "/executions", "/api/v1/executions", "/api/executions", "/v1/executions/"] {
            leads(Face::Main, path, "/api/executions");
        }
        for path in ["/v1", "/v1/", "/", "/api", "/api/v1/"] {
            leads(Face::Main, path, "/api/");
        }
        for path in ["/auth/v1/tokens", "/auth/tokens"] {
            leads(Face::Main, path, "/auth/tokens");
        }
        for path in ["/v1/tokens", "/tokens"] {
            leads(Face::Auth, path, "/auth/tokens");
            leads(Face::Main, path, "/api/tokens");
        }
        for path in ["/stream/v1/stream", "/stream/stream"] {
            leads(Face::Main, path, "/stream/stream");
        }
        for path in ["/v1/stream", "/stream"] {
            leads(Face::Stream, path, "/stream/stream");
            leads(Face::Main, path, "/api/stream");
        }
        leads(Face::Main, "/v1/keys/a%20b", "/api/keys/a%20b");
        leads(Face::Main, "/v1stuff", "/api/v1stuff");
    }

    #[test]
    fn hidden_slashes_and_broken_escapes_lead_nowhere() {
        assert_eq!(place(Face::Main, "/v1/keys/a%2Fb"), Err(Fault::no_route()));
        assert_eq!(place(Face::Main, "/v1/keys/a%00b"), Err(Fault::no_route()));
        assert_eq!(place(Face::Main, "/v1/keys/%zz").map_err(|f| f.status().as_u16()), Err(400));
    }

    #[test]
    fn only_our_names_are_answered_to() {
        let names = ["bot.example.com".to_owned()];
        for host in ["127.0.0.1:9101", "localhost", "LOCALHOST:9101", "[::1]:9101", "127.0.0.2", "bot.example.com:443"]
        {
            assert!(is_ours(Some(host), &names), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1", "", "bot.example.com.", "[::2]"]
        {
            assert!(!is_ours(Some(host), &names), "{host}");
        }
        assert!(is_ours(Some("evil.example"), &["*".to_owned()]));
    }

    #[track_caller]
    fn shared(origin: Option<&'static str>, known: &[&str], expected: (&str, bool)) {
        let mut headers = HeaderMap::new();
        let known: Vec<String> = known.iter().map(|k| (*k).to_owned()).collect();
        share(&mut headers, origin.map(HeaderValue::from_static).as_ref(), &known);
        let got = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map_or("", |v| v.to_str().unwrap());
        assert_eq!((got, headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS)), expected);
    }

    #[test]
    fn unknown_origins_are_never_echoed() {
        let known = ["https://good.example", "http://127.0.0.1:3000"];
        shared(Some("http://127.0.0.1:3000"), &known, ("http://127.0.0.1:3000", true));
        for origin in [
            "null",
            "https://good.example.evil",
            "https://good.example:8443",
            "HTTPS://GOOD.EXAMPLE",
            "https://good.example.",
        ] {
            shared(Some(origin), &known, ("https://good.example", true));
        }
        shared(None, &known, ("*", true));
        shared(Some("https://evil.example"), &["*"], ("*", false));
    }
}
