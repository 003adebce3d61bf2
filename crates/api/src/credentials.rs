//! Who asks: finding the one credential of a request, and whom it belongs to.
//!
//! The first credential that is present decides; a bad one is not followed by the next. A cookie authorises reading
//! only, because browsers send it along with what other pages ask them to do.
//!
//! Nothing here decides what somebody may do: that is `engine::people::authorize`.

use crate::State;
use crate::fault::Fault;
use crate::query::Query;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use squall_engine::people::{SYSTEM_USER, key_hash, token_sha};
use squall_engine::{Principal, Role, Source, Via};
use squall_model::Timestamp;

/// What a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A token, which expires.
    Token,
    /// An API key.
    Key,
}

/// Where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a header of its own.
    Header,
    /// In the query string.
    Query,
    /// In the cookie.
    Cookie,
}

/// A credential as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub kind: Kind,
    pub place: Place,
    pub text: String,
}

/// The name of the cookie.
const COOKIE: &str = "auth-token";

/// The credential that decides, if there is any.
pub(crate) fn find(method: &Method, headers: &HeaderMap, query: &Query) -> Option<Credential> {
    let header = |name: &str| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let found = |kind, place| move |text| Credential { kind, place, text };
    header("x-auth-token")
        .map(found(Kind::Token, Place::Header))
        .or_else(|| header("st2-api-key").map(found(Kind::Key, Place::Header)))
        .or_else(|| query.get("x-auth-token").map(str::to_owned).map(found(Kind::Token, Place::Query)))
        .or_else(|| query.get("st2-api-key").map(str::to_owned).map(found(Kind::Key, Place::Query)))
        .or_else(|| {
            let reads = matches!(*method, Method::GET | Method::HEAD);
            reads.then(|| cookie(headers))?.map(found(Kind::Token, Place::Cookie))
        })
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// Who a request comes from, and how that is known. Handlers take it as an argument.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub who: Principal,
    /// What they showed; `None` where authentication is off.
    pub credential: Option<Credential>,
    /// When the token ends.
    pub expires: Option<Timestamp>,
    /// What the client calls itself, which makes it asked more at most.
    pub claimed: Option<Source>,
}

impl Caller {
    /// Whether limits for ordinary people do not hold.
    pub fn is_admin(&self) -> bool {
        self.who.role == Role::Admin
    }
}

/// By this header a client says what it is.
const CLIENT: &str = "squall-client";

fn claimed(headers: &HeaderMap) -> Result<Option<Source>, Fault> {
    match headers.get(CLIENT).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"cli") => Ok(Some(Source::Cli)),
        Some(b"web") => Ok(Some(Source::Web)),
        Some(_) => Err(Fault::bad("the header Squall-Client must be `cli` or `web`; leave it out in other clients")),
    }
}

/// Finds out who asks, or says why not.
pub(crate) fn identify(api: &State, method: &Method, headers: &HeaderMap, query: &Query) -> Result<Caller, Fault> {
    let claimed = claimed(headers)?;
    let Some(credential) = find(method, headers, query) else {
        if !api.settings().authentication {
            let who = Principal { user: SYSTEM_USER.into(), role: Role::Admin, via: Via::Token };
            return Ok(Caller { who, credential: None, expires: None, claimed });
        }
        return Err(Fault::unauthorized("Unauthorized - One of Token or API key required."));
    };
    let who = owner(api, &credential)?;
    let expires = match credential.kind {
        Kind::Key => None,
        Kind::Token => api.engine().store().token(&token_sha(&credential.text), api.engine().now())?.map(|t| t.expires),
    };
    Ok(Caller { who, credential: Some(credential), expires, claimed })
}

/// Whom a credential belongs to by now.
pub(crate) fn owner(api: &State, credential: &Credential) -> Result<Principal, Fault> {
    let found = match credential.kind {
        Kind::Token => api.engine().principal_of(&credential.text)?,
        Kind::Key => match api.engine().principal_of_key(&credential.text)? {
            Some(Err(_)) => return Err(Fault::unauthorized("Unauthorized - API key is disabled.")),
            Some(Ok(who)) => Some(who),
            None => None,
        },
    };
    found.ok_or_else(|| Fault::unauthorized(unknown(credential)))
}

fn unknown(credential: &Credential) -> String {
    match credential.kind {
        Kind::Token => "Unauthorized".into(),
        Kind::Key => format!("Unauthorized - ApiKey with key_hash={} not found.", key_hash(&credential.text)),
    }
}

/// The layer in front of everything that needs somebody: identifies the caller and sets the cookie of the web interface.
pub(crate) async fn require(api: State, mut request: Request, next: Next) -> Response {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let caller = match identify(&api, request.method(), request.headers(), &query) {
        Ok(caller) => caller,
        Err(fault) => return fault.into_response(),
    };
    let cookie = cookie_for(&caller, api.engine().now(), api.settings().secure_cookie);
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie
        && response.status().is_success()
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The cookie for somebody who showed a token in a header or in the query.
fn cookie_for(caller: &Caller, now: Timestamp, secure: bool) -> Option<HeaderValue> {
    let credential = caller.credential.as_ref().filter(|c| c.kind == Kind::Token && c.place != Place::Cookie)?;
    let left = caller.expires?.since(now).as_secs();
    let secure = if secure { "; secure" } else { "" };
    let text = format!("{COOKIE}={}; Max-Age={left}; Path=/{secure}; HttpOnly; SameSite=lax", credential.text);
    HeaderValue::try_from(text).ok()
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Fault> {
        let missing = || Fault::broken("a route that needs a caller is not behind `credentials::require`");
        parts.extensions.get::<Caller>().cloned().ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of `headers` and `query` decides.
    #[track_caller]
    fn check(
        method: Method,
        headers: &[(&'static str, &'static str)],
        query: &str,
        expected: Option<(Kind, Place, &str)>,
    ) {
        let headers = headers.iter().map(|(n, v)| ((*n).parse().unwrap(), HeaderValue::from_static(v))).collect();
        let found = find(&method, &headers, &Query::parse(query));
        assert_eq!(found.as_ref().map(|c| (c.kind, c.place, c.text.as_str())), expected);
    }

    #[test]
    fn the_first_that_is_there_decides() {
        check(Method::GET, &[], "", None);
        check(
            Method::GET,
            &[("x-auth-token", "a"), ("st2-api-key", "b")],
            "x-auth-token=c",
            Some((Kind::Token, Place::Header, "a")),
        );
        check(Method::GET, &[("st2-api-key", "b")], "x-auth-token=c", Some((Kind::Key, Place::Header, "b")));
        check(Method::GET, &[], "st2-api-key=d&x-auth-token=c", Some((Kind::Token, Place::Query, "c")));
        check(Method::GET, &[], "st2-api-key=d", Some((Kind::Key, Place::Query, "d")));
        check(Method::GET, &[("x-auth-token", "")], "st2-api-key=d", Some((Kind::Token, Place::Header, "")));
    }

    #[test]
    fn a_cookie_reads_and_never_writes() {
        let cookie = [("cookie", "a=b; auth-token=t; c=d")];
        check(Method::GET, &cookie, "", Some((Kind::Token, Place::Cookie, "t")));
        check(Method::HEAD, &cookie, "", Some((Kind::Token, Place::Cookie, "t")));
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            check(method, &cookie, "", None);
        }
    }
}
