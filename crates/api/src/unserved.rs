//! What StackStorm serves and squall does not yet: it says so, instead of pretending that there is no such thing.

use crate::State;
use crate::credentials;
use crate::fault::Fault;
use crate::query::Query;
use axum::extract::Request;
use axum::http::Method;

/// Path, whether asking is served, what a request there is about, and the way out.
const UNSERVED: &[(&str, bool, &str, &str)] = &[
    ("/api/actions", true, "changing actions", PACK),
    ("/api/actionalias", true, "changing aliases", PACK),
    ("/api/rules", true, "changing rules", PACK),
    ("/api/policies", true, "changing policies", PACK),
    ("/api/sensortypes", true, "changing sensors", PACK),
    ("/api/triggertypes", true, "changing trigger types", PACK),
    ("/api/runnertypes", true, "changing runners", "they are part of the program"),
    ("/api/triggerinstances", true, "emitting a trigger again", "run the action itself"),
    ("/api/inquiries", true, "answering inquiries", "a pack can ask by a workflow of its own"),
    ("/api/webhooks", true, "webhooks", "run the action over the API"),
    ("/api/workflows/inspect", false, "inspecting workflows", "`squall check` does it for packs on disk"),
];

const PACK: &str = "edit the file in its pack and `squall reload`";

/// The answer to what no route serves, for those who may know.
pub(crate) async fn answer(api: State, request: Request) -> Fault {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let (method, path) = (request.method(), request.uri().path());
    let Some(text) = told(method, path) else { return Fault::no_route() };
    match credentials::identify(&api, method, request.headers(), &query) {
        Ok(_) => Fault::not_yet(&text),
        Err(fault) => fault,
    }
}

fn told(method: &Method, path: &str) -> Option<String> {
    let below = |base: &str| path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let asks = matches!(*method, Method::GET | Method::HEAD);
    let (_, _, what, instead) = UNSERVED.iter().find(|(base, served, ..)| below(base) && !(asks && *served))?;
    Some(format!("{what} over the API ({instead})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, path: &str, expected: Option<&str>) {
        assert_eq!(told(&method, path).as_deref(), expected);
    }

    #[test]
    fn what_is_missing_is_said_and_what_is_nowhere_is_not() {
        let rules = "changing rules over the API (edit the file in its pack and `squall reload`)";
        check(Method::PUT, "/api/rules/a.b", Some(rules));
        check(Method::POST, "/api/rules", Some(rules));
        check(Method::GET, "/api/rules/a/b/c", None);
        check(Method::GET, "/api/rulesets", None);
        let inspect = "inspecting workflows over the API (`squall check` does it for packs on disk)";
        check(Method::GET, "/api/workflows/inspect", Some(inspect));
        check(Method::PUT, "/api/nowhere", None);
    }
}
