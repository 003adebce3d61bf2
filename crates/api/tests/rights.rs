//! Who gets in where: every route against every kind of caller.

mod house;

use house::House;
use serde_json::{Value as Json, json};
use squall_engine::Role;

/// A body that is enough to get past reading it.
fn body(method: &str, path: &str) -> Option<Json> {
    match (method, path) {
        ("POST", "/v1/executions") => Some(json!({"action": "core.noop"})),
        ("POST", "/v1/actionalias/match") => Some(json!({"command": "do nothing"})),
        ("POST", p) if p.ends_with("match_and_execute") => {
            Some(json!({"command": "do nothing", "source_channel": "c"}))
        }
        ("POST", "/v1/aliasexecution") => {
            Some(json!({"name": "noop_chat", "format": "do nothing", "command": "do nothing", "source_channel": "c"}))
        }
        ("PUT", p) if p.starts_with("/v1/keys") => Some(json!({"value": "v"})),
        ("POST", "/v1/confirmations/preview") => Some(json!({"action": "core.noop"})),
        ("POST", p) if p.ends_with("/grant") || p.ends_with("/breakglass") => Some(json!({"digest": "x"})),
        ("PUT", "/v1/configs/lab") => Some(json!({"endpoint": "x"})),
        ("PUT", p) if p.starts_with("/v1/squall/users") => Some(json!({"role": "guest"})),
        ("POST", "/v1/packs/register") => Some(json!({"packs": ["lab"]})),
        ("POST", "/v1/packs/install" | "/v1/packs/uninstall") => Some(json!({"packs": ["x"]})),
        ("POST", p) if p.ends_with("tokens/validate") => Some(json!({"token": "x"})),
        ("POST" | "PUT", _) => Some(json!({})),
        _ => None,
    }
}

/// Route, then the status for nobody, guest, observer, operator, admin.
const TABLE: &[(&str, &str, [u16; 5])] = &[
    ("GET", "/health/live", [200, 200, 200, 200, 200]),
    ("GET", "/health/ready", [200, 200, 200, 200, 200]),
    ("GET", "/auth/sso", [200, 200, 200, 200, 200]),
    ("POST", "/auth/tokens", [401, 401, 401, 401, 401]),
    ("POST", "/auth/tokens/validate", [401, 200, 200, 200, 200]),
    ("GET", "/v1/", [401, 200, 200, 200, 200]),
    ("GET", "/v1/user", [401, 200, 200, 200, 200]),
    ("GET", "/v1/executions", [401, 403, 200, 200, 200]),
    ("POST", "/v1/executions", [401, 403, 403, 201, 201]),
    ("GET", "/v1/executions/views/filters", [401, 403, 200, 200, 200]),
    ("GET", "/v1/executions/000000000000000000000000", [401, 403, 404, 404, 404]),
    ("PUT", "/v1/executions/000000000000000000000000", [401, 400, 400, 400, 400]),
    ("DELETE", "/v1/executions/000000000000000000000000", [401, 403, 404, 404, 404]),
    ("POST", "/v1/executions/000000000000000000000000/re_run", [401, 403, 404, 404, 404]),
    ("GET", "/v1/executions/000000000000000000000000/output", [401, 403, 404, 404, 404]),
    ("GET", "/v1/executions/000000000000000000000000/result", [401, 403, 404, 404, 404]),
    ("GET", "/v1/executions/000000000000000000000000/children", [401, 403, 404, 404, 404]),
    ("GET", "/v1/executions/000000000000000000000000/attribute/status", [401, 403, 404, 404, 404]),
    ("GET", "/v1/actions", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actions/core.noop", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actions/views/overview", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actions/views/overview/core.noop", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actions/views/parameters/core.noop", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actions/views/entry_point/lab.wf1", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actionalias", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actionalias/lab.add", [401, 403, 200, 200, 200]),
    ("GET", "/v1/actionalias/help", [401, 403, 200, 200, 200]),
    ("POST", "/v1/actionalias/match", [401, 403, 200, 200, 200]),
    ("POST", "/v1/aliasexecution", [401, 403, 403, 201, 201]),
    ("POST", "/v1/aliasexecution/match_and_execute", [401, 403, 403, 201, 201]),
    ("PUT", "/v1/keys/k", [401, 403, 403, 200, 200]),
    ("GET", "/v1/keys", [401, 403, 200, 200, 200]),
    ("GET", "/v1/keys/k", [401, 403, 200, 200, 200]),
    ("GET", "/v1/keys/secret?decrypt=true", [401, 403, 403, 403, 200]),
    ("GET", "/v1/keys?decrypt=true", [401, 403, 403, 403, 200]),
    ("GET", "/v1/keys/k?scope=user&user=somebody", [401, 403, 403, 403, 403]),
    ("DELETE", "/v1/keys/nope", [401, 403, 403, 404, 404]),
    ("GET", "/v1/packs", [401, 403, 200, 200, 200]),
    ("GET", "/v1/packs/lab", [401, 403, 200, 200, 200]),
    ("GET", "/v1/packs/index", [401, 403, 200, 200, 200]),
    ("GET", "/v1/packs/index/health", [401, 403, 200, 200, 200]),
    ("POST", "/v1/packs/index/search", [401, 403, 200, 200, 200]),
    ("GET", "/v1/packs/views/files/lab", [401, 403, 200, 200, 200]),
    ("GET", "/v1/packs/views/file/lab/pack.yaml", [401, 403, 200, 200, 200]),
    ("POST", "/v1/packs/register", [401, 403, 403, 403, 200]),
    ("POST", "/v1/packs/install", [401, 403, 403, 403, 202]),
    ("POST", "/v1/packs/uninstall", [401, 403, 403, 403, 202]),
    ("GET", "/v1/configs", [401, 403, 200, 200, 200]),
    ("GET", "/v1/configs/lab", [401, 403, 200, 200, 200]),
    ("PUT", "/v1/configs/lab", [401, 403, 403, 403, 200]),
    ("GET", "/v1/config_schemas", [401, 403, 200, 200, 200]),
    ("GET", "/v1/config_schemas/lab", [401, 403, 200, 200, 200]),
    ("GET", "/v1/runnertypes", [401, 403, 200, 200, 200]),
    ("GET", "/v1/runnertypes/noop", [401, 403, 200, 200, 200]),
    ("GET", "/v1/rules", [401, 403, 200, 200, 200]),
    ("GET", "/v1/rules/views", [401, 403, 200, 200, 200]),
    ("GET", "/v1/ruletypes", [401, 403, 200, 200, 200]),
    ("GET", "/v1/sensortypes", [401, 403, 200, 200, 200]),
    ("GET", "/v1/triggertypes", [401, 403, 200, 200, 200]),
    ("GET", "/v1/triggers", [401, 403, 200, 200, 200]),
    ("GET", "/v1/webhooks", [401, 403, 200, 200, 200]),
    ("GET", "/v1/timers", [401, 403, 200, 200, 200]),
    ("GET", "/v1/policies", [401, 403, 200, 200, 200]),
    ("GET", "/v1/policytypes", [401, 403, 200, 200, 200]),
    ("GET", "/v1/triggerinstances", [401, 403, 200, 200, 200]),
    ("GET", "/v1/ruleenforcements", [401, 403, 200, 200, 200]),
    ("GET", "/v1/traces", [401, 403, 200, 200, 200]),
    ("GET", "/v1/service_registry/groups", [401, 403, 403, 403, 200]),
    ("GET", "/stream/v1/executions/000000000000000000000000/output", [401, 403, 404, 404, 404]),
    ("POST", "/v1/squall/reload", [401, 403, 403, 403, 200]),
    ("GET", "/v1/squall/diagnostics", [401, 403, 200, 200, 200]),
    ("GET", "/v1/squall/limits", [401, 403, 200, 200, 200]),
    ("GET", "/v1/squall/metrics", [401, 403, 200, 200, 200]),
    ("GET", "/v1/squall/executions/000000000000000000000000/facts", [401, 403, 404, 404, 404]),
    ("GET", "/v1/squall/executions/000000000000000000000000/wait", [401, 403, 404, 404, 404]),
    ("POST", "/v1/squall/tokens", [401, 201, 201, 201, 201]),
    ("PUT", "/v1/squall/users/newcomer", [401, 403, 403, 403, 200]),
    ("POST", "/v1/squall/users", [401, 403, 403, 403, 400]),
    ("GET", "/v1/squall/users", [401, 403, 403, 403, 200]),
    ("GET", "/v1/squall/users/newcomer", [401, 403, 403, 403, 200]),
    ("GET", "/v1/squall/users/the-observer", [401, 403, 200, 403, 200]),
    ("DELETE", "/v1/squall/users/nobody", [401, 403, 403, 403, 404]),
    ("POST", "/v1/squall/users/newcomer/password", [401, 400, 400, 400, 400]),
    ("PUT", "/v1/squall/users/newcomer/roles/sre", [401, 403, 403, 403, 200]),
    ("DELETE", "/v1/squall/users/newcomer/roles/sre", [401, 403, 403, 403, 200]),
    ("GET", "/v1/squall/roles", [401, 403, 403, 403, 200]),
    ("PUT", "/v1/squall/factor", [401, 400, 400, 400, 400]),
    ("POST", "/v1/squall/factor/removal", [401, 404, 404, 404, 404]),
    ("GET", "/v1/squall/links", [401, 200, 200, 200, 200]),
    ("PUT", "/v1/squall/links", [401, 403, 403, 403, 400]),
    ("POST", "/v1/squall/links", [401, 400, 400, 400, 400]),
    ("DELETE", "/v1/squall/links?network=n&user_id=u", [401, 404, 404, 404, 404]),
    ("GET", "/v1/apikeys", [401, 200, 200, 200, 200]),
    ("GET", "/v1/apikeys/none", [401, 404, 404, 404, 404]),
    ("PUT", "/v1/apikeys/none", [401, 404, 404, 404, 404]),
    ("DELETE", "/v1/apikeys/none", [401, 404, 404, 404, 404]),
    ("POST", "/v1/apikeys", [401, 201, 201, 201, 201]),
    ("GET", "/v1/squall/audit", [401, 403, 403, 403, 200]),
    ("GET", "/v1/squall/audit/verify", [401, 403, 403, 403, 200]),
    ("GET", "/v1/squall/policy/problems", [401, 403, 403, 403, 200]),
    ("GET", "/v1/confirmations", [401, 200, 200, 200, 200]),
    ("GET", "/v1/confirmations/none", [401, 404, 404, 404, 404]),
    ("GET", "/v1/confirmations/none/audit", [401, 404, 404, 404, 404]),
    ("GET", "/v1/confirmations/reviews", [401, 403, 200, 200, 200]),
    ("POST", "/v1/confirmations/none/grant", [401, 404, 404, 404, 404]),
    ("POST", "/v1/confirmations/none/deny", [401, 404, 404, 404, 404]),
    ("POST", "/v1/confirmations/none/withdraw", [401, 404, 404, 404, 404]),
    ("POST", "/v1/confirmations/none/breakglass", [401, 404, 404, 404, 404]),
    ("DELETE", "/v1/confirmations/none/votes/mine", [401, 404, 404, 404, 404]),
    ("POST", "/v1/confirmations/none/review", [401, 400, 400, 400, 400]),
    ("POST", "/v1/confirmations/preview", [401, 403, 200, 200, 200]),
    ("GET", "/v1/nosuchthing", [404, 404, 404, 404, 404]),
    ("PUT", "/v1/executions", [404, 404, 404, 404, 404]),
];

#[tokio::test]
async fn every_route_lets_in_whom_it_should() {
    let house = House::new();
    let mut tokens = vec![None];
    for role in [Role::Guest, Role::Observer, Role::Operator, Role::Admin] {
        tokens.push(Some(house.user(&format!("the-{}", role.as_str()), role).await));
    }
    let admin = tokens[4].as_deref();
    let secret = json!({"value": "s", "secret": true});
    assert_eq!(house.call(admin, "PUT", "/v1/keys/secret", Some(secret)).await.status, 200);
    assert_eq!(house.call(admin, "PUT", "/v1/keys/k", Some(json!({"value": "v"}))).await.status, 200);
    let mut wrong = Vec::new();
    for (method, path, expected) in TABLE {
        let mut got = [0; 5];
        for (caller, token) in tokens.iter().enumerate() {
            let answer = house.call(token.as_deref(), method, path, body(method, path)).await;
            got[caller] = answer.status.as_u16();
            if answer.status.is_client_error() && answer.fault().is_empty() {
                wrong.push(format!("{method} {path}: {} without a faultstring: {}", answer.status, answer.text));
            }
        }
        if got != *expected {
            wrong.push(format!("{method} {path}: {got:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn nobody_gets_in_with_what_is_not_a_credential() {
    let house = House::new();
    let token = house.user("ann", Role::Admin).await;
    let path = "/v1/actions/core.noop";
    let text = house.call(None, "GET", path, None).await.fault();
    assert_eq!(text, "Unauthorized - One of Token or API key required.");
    assert_eq!(house.call(Some("bogus"), "GET", path, None).await.fault(), "Unauthorized");
    let key = house.call(None, "GET", &format!("{path}?st2-api-key=bogus"), None).await.fault();
    assert!(key.starts_with("Unauthorized - ApiKey with key_hash=") && key.ends_with(" not found."), "{key}");
    assert_eq!(house.call(None, "GET", &format!("{path}?x-auth-token={token}"), None).await.status, 200);
    // A bad one is not followed by a good one.
    assert_eq!(house.call(Some("bogus"), "GET", &format!("{path}?x-auth-token={token}"), None).await.status, 401);
}

#[tokio::test]
async fn a_cookie_reads_and_never_writes() {
    let house = House::new();
    let token = house.user("ann", Role::Admin).await;
    let set = house.get(&token, "/v1/actions/core.noop").await;
    let cookie = set.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with(&format!("auth-token={token}; Max-Age=")) && cookie.contains("HttpOnly"), "{cookie}");
    let with = |method: &str, path: &str| {
        let request = axum::http::Request::builder().method(method).uri(path);
        request.header("cookie", format!("auth-token={token}")).body(axum::body::Body::from("{}")).unwrap()
    };
    assert_eq!(house.send(with("GET", "/v1/actions/core.noop")).await.status, 200);
    assert_eq!(house.send(with("POST", "/v1/executions")).await.status, 401);
    assert_eq!(house.send(with("DELETE", "/v1/keys/k")).await.status, 401);
    assert!(house.send(with("GET", "/v1/user")).await.headers.get("set-cookie").is_none());
}

#[tokio::test]
async fn nobody_becomes_somebody_else() {
    let house = House::new();
    let (admin, operator) = (house.user("ann", Role::Admin).await, house.user("bob", Role::Operator).await);
    let as_ann = json!({"action": "core.noop", "user": "ann"});
    assert_eq!(house.call(Some(&operator), "POST", "/v1/executions", Some(as_ann)).await.status, 403);
    let as_bob = json!({"action": "core.noop", "user": "bob"});
    let done = house.call(Some(&admin), "POST", "/v1/executions", Some(as_bob)).await;
    assert_eq!(done.json()["context"]["user"], "bob", "{}", done.text);
    let as_nobody = json!({"action": "core.noop", "user": "carl"});
    let fault = house.call(Some(&admin), "POST", "/v1/executions", Some(as_nobody)).await.fault();
    assert_eq!(fault, "Could not locate user carl");
    let token = json!({"user": "ann"});
    assert_eq!(house.call(Some(&operator), "POST", "/v1/squall/tokens", Some(token)).await.status, 403);
}
