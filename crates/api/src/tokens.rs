//! Log-in: `/auth/v1/tokens`, `/v1/user`. Whether a password is right is the engine's business.

use crate::clothes::object;
use crate::credentials::{Caller, Kind, Place};
use crate::fault::Fault;
use crate::payload::{Payload, arrive, read};
use crate::{State, answer, limits};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use squall_engine::Role;
use squall_engine::people::token_sha;
use squall_engine::view::object_id;
use squall_model::{Timestamp, Value};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const API_URL: HeaderName = HeaderName::from_static("x-api-url");

/// `POST /auth/v1/tokens` with basic authentication: 201.
pub(crate) async fn create(api: State, request: Request) -> Result<Response, Fault> {
    let wrong = || Fault::unauthorized("Invalid or missing credentials");
    let (user, password) = basic(request.headers()).ok_or_else(wrong)?;
    let from = peer(&request);
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = Payload(read(kind.as_deref(), &arrive(request, limits::AUTH_BODY_BYTES).await?)?);
    let ttl = ttl(&api, &body)?;
    let address = from.map(|from| from.to_string());
    let Some(who) = api.inner.logins.check(api.engine(), &user, &password, from).await? else {
        api.engine().log_in_failed(&user, address).await?;
        return Err(wrong());
    };
    if body.text("user")?.is_some_and(|other| other != who.user) || body.text("impersonate_user")?.is_some() {
        return Err(Fault::bad("Current user is not a service and cannot request impersonated tokens"));
    }
    let minted = api.engine().log_in(&who, ttl, address).await?;
    let token = minted.text.expose("handed to its owner");
    let mut response = answer::json(StatusCode::CREATED, &shown(&who.user, token, minted.expires));
    if let Ok(url) = HeaderValue::try_from(api.settings().public_url.as_str()) {
        response.headers_mut().insert(API_URL, url);
    }
    Ok(response)
}

/// A new token as its owner sees it, this once.
pub(crate) fn shown(user: &str, token: &str, expires: Timestamp) -> Value {
    let sha: String = token_sha(token).iter().map(|b| format!("{b:02x}")).collect();
    object([
        ("id", object_id(&format!("token:{sha}")).into()),
        ("user", user.into()),
        ("token", token.into()),
        ("expiry", expires.to_iso().into()),
        ("metadata", Value::map()),
        ("service", false.into()),
    ])
}

/// How long the token in question shall live.
pub(crate) fn ttl(api: &State, body: &Payload) -> Result<Duration, Fault> {
    let most = api.settings().token_ttl;
    match body.integer("ttl")? {
        None => Ok(most),
        Some(seconds) if seconds < 1 => Err(Fault::bad(format!("{seconds} is less than the minimum of 1"))),
        Some(seconds) if seconds as u64 > most.as_secs() => {
            let most = most.as_secs();
            Err(Fault::bad(format!("TTL specified {seconds} is greater than max allowed {most}.")))
        }
        Some(seconds) => Ok(Duration::from_secs(seconds as u64)),
    }
}

/// Name and password of basic authentication; the password may contain colons.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    let decoded = String::from_utf8(base64(rest.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"))?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    (!user.is_empty()).then(|| (user.to_owned(), password.to_owned()))
}

/// Decodes base64, standard alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in digits.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = ((bits << 6) | u32::from(value)) & 0xff_ffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

/// `POST /auth/v1/tokens/validate`.
pub(crate) async fn validate(api: State, _: Caller, body: Payload) -> Result<Response, Fault> {
    let token = body.text("token")?.ok_or_else(|| Fault::bad("Token is not provided."))?;
    let valid = api.engine().principal_of(token)?.is_some();
    Ok(answer::ok(object([("valid", valid.into())])))
}

/// `GET /auth/sso`: there is none.
pub(crate) async fn sso() -> Response {
    answer::ok(object([("enabled", false.into())]))
}

/// `GET /v1/user`.
pub(crate) async fn user(api: State, caller: Caller) -> Result<Response, Fault> {
    let how = match &caller.credential {
        None => object([("method", "none".into()), ("location", "".into())]),
        Some(credential) => {
            let place = if credential.place == Place::Query { "query" } else { "header" };
            match (credential.kind, caller.expires) {
                (Kind::Token, Some(expires)) => object([
                    ("method", "authentication token".into()),
                    ("location", place.into()),
                    ("token_expire", whole_seconds(expires).into()),
                ]),
                _ => object([("method", "API key".into()), ("location", place.into())]),
            }
        }
    };
    let roles = if api.settings().rbac { vec![Value::from(caller.who.role.as_str())] } else { Vec::new() };
    let rbac = object([
        ("enabled", api.settings().rbac.into()),
        ("roles", roles.into()),
        ("is_admin", (caller.who.role == Role::Admin).into()),
    ]);
    Ok(answer::ok(object([("username", caller.who.user.as_str().into()), ("authentication", how), ("rbac", rbac)])))
}

/// The only time on the wire without a fraction.
fn whole_seconds(at: Timestamp) -> String {
    let iso = at.to_iso();
    iso.split_once('.').map_or(iso.clone(), |(whole, _)| format!("{whole}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expected: Option<(&str, &str)>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::try_from(header).unwrap());
        let expected = expected.map(|(u, p)| (u.to_owned(), p.to_owned()));
        assert_eq!(basic(&headers), expected, "{header}");
    }

    #[test]
    fn basic_authentication_is_read() {
        check("Basic b3BzOmE6Yg==", Some(("ops", "a:b")));
        check("basic b3BzOmE6Yg", Some(("ops", "a:b")));
        check("Basic b3BzOg==", Some(("ops", "")));
        check("Basic OmE=", None);
        check("Basic b3Bz", None);
        check("Basic !!", None);
        check("Bearer b3BzOmE6Yg==", None);
        check("Basic", None);
    }

    #[test]
    fn seconds_have_no_fraction() {
        assert_eq!(whole_seconds(Timestamp::from_micros(1_453_397_319_012_300)), "2016-01-21T17:28:39Z");
    }
}
