//! What clients see: log-in, executions, lists, streams, bounds.

mod house;

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use house::House;
use serde_json::json;
use squall_api::Settings;
use squall_engine::Role;
use std::time::Duration;
use tower::ServiceExt;

fn basic(pair: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method("POST").uri("/auth/v1/tokens");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.header("authorization", format!("Basic {pair}")).body(Body::from(body.to_owned())).unwrap()
}

/// `ann:correct horse`.
const ANN: &str = "YW5uOmNvcnJlY3QgaG9yc2U=";

#[tokio::test]
async fn a_password_becomes_a_token() {
    let house = House::new();
    house.user("ann", Role::Operator).await;
    let answer = house.send(basic(ANN, "")).await;
    assert_eq!((answer.status.as_u16(), answer.headers["x-api-url"].to_str().unwrap()), (201, "http://127.0.0.1:9101"));
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    assert_eq!((token.len(), answer.json()["user"].as_str()), (32, Some("ann")));
    let user = house.get(&token, "/v1/user").await.json();
    assert_eq!(user["username"], "ann");
    assert_eq!(user["authentication"]["method"], "authentication token");
    let valid = house.call(Some(&token), "POST", "/auth/tokens/validate", Some(json!({"token": token}))).await;
    assert_eq!(valid.json(), json!({"valid": true}));
    assert_eq!(house.call(Some(&token), "DELETE", "/v1/squall/tokens/current", None).await.status, 204);
    assert_eq!(house.get(&token, "/v1/user").await.status, 401);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_told_so() {
    let house = House::new();
    house.user("ann", Role::Operator).await;
    for _ in 0..5 {
        let wrong = house.send(basic("YW5uOng=", "")).await;
        assert_eq!((wrong.status.as_u16(), wrong.fault().as_str()), (401, "Invalid or missing credentials"));
    }
    let slowed = house.send(basic(ANN, "")).await;
    assert_eq!(slowed.status.as_u16(), 429);
    assert_eq!(slowed.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_run_is_asked_for_seen_and_listed() {
    let house = House::new();
    let token = house.user("ann", Role::Operator).await;
    let made = house.call(Some(&token), "POST", "/v1/executions", Some(json!({"action": "core.noop"}))).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let done = house.get(&token, &format!("/v1/squall/executions/{id}/wait")).await.json();
    assert_eq!((done["status"].as_str(), done["context"]["user"].as_str()), (Some("succeeded"), Some("ann")), "{done}");
    assert_eq!(done["web_url"], format!("http://127.0.0.1:9101/#/history/{id}/general"));
    assert!(done.get("parameters").is_none(), "empty parameters are left out");
    assert_eq!(house.get(&token, "/v1/executions/last").await.json()["id"], id.as_str());
    let list = house.get(&token, "/v1/executions?limit=1&parent=null&include_attributes=id,action.ref").await;
    assert_eq!(
        (list.headers["x-total-count"].to_str().unwrap(), list.headers["x-limit"].to_str().unwrap()),
        ("1", "1")
    );
    assert_eq!(list.json()[0]["action"]["ref"], "core.noop");
    assert!(list.json()[0].get("status").is_none());
    assert_eq!(house.get(&token, "/v1/executions?status=bogus").await.json(), json!([]));
    assert_eq!(house.get(&token, "/v1/executions?filter=action.name:noop").await.json()[0]["id"], id.as_str());
    assert_eq!(house.get(&token, "/v1/executions?filter=action.name:echo").await.json(), json!([]));
    let again = house.call(Some(&token), "POST", &format!("/v1/executions/{id}/re_run"), Some(json!({}))).await;
    assert_eq!(again.json()["context"]["re-run"]["ref"], id.as_str(), "{}", again.text);
}

#[tokio::test]
async fn an_endless_list_is_whole_and_valid() {
    let house = House::open();
    for _ in 0..450 {
        let made = house.call(None, "POST", "/v1/executions", Some(json!({"action": "core.noop"}))).await;
        assert_eq!(made.status.as_u16(), 201, "{}", made.text);
    }
    let all = house.call(None, "GET", "/v1/executions?limit=-1&include_attributes=id", None).await;
    assert_eq!(all.headers["x-total-count"], "450");
    assert!(all.headers.get("x-limit").is_none());
    let all = all.json();
    let mut ids: Vec<&str> = all.as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 450);
    assert_eq!(house.call(None, "GET", "/v1/executions?limit=-1&status=failed", None).await.json(), json!([]));
}

#[tokio::test]
async fn the_same_request_twice_is_one_run() {
    let house = House::new();
    let token = house.user("ann", Role::Operator).await;
    let ask = || {
        let request = Request::builder().method("POST").uri("/v1/executions").header("x-auth-token", &token);
        request.header("idempotency-key", "k1").body(Body::from(r#"{"action": "core.noop"}"#)).unwrap()
    };
    let (one, two) = (house.send(ask()).await, house.send(ask()).await);
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (201, 201));
    assert_eq!(one.json()["id"], two.json()["id"]);
}

#[tokio::test]
async fn every_name_of_a_path_answers() {
    let house = House::open();
    for path in [
        "/v1/runnertypes/?name=noop",
        "/runnertypes?name=noop",
        "/api/v1/runnertypes/?name=noop",
        "/api/runnertypes?name=noop",
    ] {
        let answer = house.call(None, "GET", path, None).await;
        assert_eq!((answer.status.as_u16(), answer.json().as_array().map(Vec::len)), (200, Some(1)), "{path}");
    }
    assert_eq!(house.call(None, "GET", "/v1/keys/a%2Fb", None).await.status, 404);
    assert_eq!(house.call(None, "GET", "/v1/keys/%zz", None).await.status.as_u16(), 400);
}

#[tokio::test]
async fn every_answer_carries_its_headers() {
    let house = House::new();
    let request = Request::builder()
        .uri("/v1/nosuchthing")
        .header("x-request-id", "abc")
        .header("origin", "https://evil.example");
    let answer = house.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.headers["x-request-id"].to_str().unwrap()), (404, "abc"));
    assert_eq!(answer.headers["access-control-allow-origin"], "http://127.0.0.1:3000");
    assert_eq!(answer.headers["access-control-expose-headers"], "Content-Type,X-Limit,X-Total-Count,X-Request-ID");
    let options = Request::builder().method("OPTIONS").uri("/v1/executions").body(Body::empty()).unwrap();
    let answer = house.send(options).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    let stranger = Request::builder().uri("/health/live").header("host", "evil.example").body(Body::empty()).unwrap();
    assert_eq!(house.send(stranger).await.status.as_u16(), 421);
}

#[tokio::test]
async fn too_much_is_refused_by_name() {
    let house = House::open();
    let large =
        Request::builder().method("POST").uri("/v1/executions").body(Body::from(vec![b' '; (4 << 20) + 1])).unwrap();
    assert_eq!(house.send(large).await.status.as_u16(), 413);
    let login = Request::builder().method("POST").uri("/auth/tokens").header("authorization", format!("Basic {ANN}"));
    assert_eq!(house.send(login.body(Body::from(vec![b' '; 9 << 10])).unwrap()).await.status.as_u16(), 413);
    let long = format!("/v1/executions?action={}", "x".repeat(9 << 10));
    assert_eq!(house.call(None, "GET", &long, None).await.status.as_u16(), 414);
    let xml = Request::builder().method("POST").uri("/v1/executions").header("content-type", "text/xml");
    let answer = house.send(xml.body(Body::from("<a/>")).unwrap()).await;
    assert_eq!(answer.fault(), "Failed to parse request body: Unsupported Content-Type: \"text/xml\"");
}

#[tokio::test]
async fn pack_files_stay_in_their_pack() {
    let house = House::open();
    std::fs::write(house.packs.path().join("outside.txt"), "no").unwrap();
    std::os::unix::fs::symlink(house.packs.path().join("outside.txt"), house.packs.path().join("lab/link.txt"))
        .unwrap();
    for path in [
        "../outside.txt",
        "actions/../../outside.txt",
        "link.txt",
        "%2e%2e/outside.txt",
        "..%2Foutside.txt",
        "/etc/passwd",
    ] {
        let answer = house.call(None, "GET", &format!("/v1/packs/views/file/lab/{path}"), None).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {} {}", answer.status, answer.text);
    }
}

/// Reads a stream until `done` says so, at most a few seconds.
async fn read(house: &House, path: &str, meanwhile: impl Future<Output = ()>, done: impl Fn(&str) -> bool) -> String {
    let response = house.app.clone().oneshot(Request::builder().uri(path).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=UTF-8");
    let mut chunks = response.into_body().into_data_stream();
    meanwhile.await;
    let mut text = String::new();
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
            if done(&text) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .expect("the stream went on without what was waited for");
    text
}

fn names(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

#[tokio::test]
async fn a_stream_tells_the_life_of_a_run() {
    let house = House::open();
    let run = async {
        house.call(None, "POST", "/v1/executions", Some(json!({"action": "core.noop"}))).await;
    };
    let text = read(&house, "/v1/stream", run, |t| t.matches("\"status\":\"succeeded\"").count() >= 2).await;
    assert!(text.starts_with('\n'), "one line end at once");
    let names = names(&text);
    assert_eq!(names[..2], ["st2.liveaction__create", "st2.execution__create"]);
    assert_eq!(names[names.len() - 2..], ["st2.liveaction__update", "st2.execution__update"]);
    assert!(text.contains(r#""result":"{\"failed\":false,\"succeeded\":true,\"return_code\":0}""#), "{text}");
}

#[tokio::test]
async fn a_stream_for_a_run_that_is_over_ends_at_once() {
    let house = House::open();
    let made = house.call(None, "POST", "/v1/executions", Some(json!({"action": "core.noop"}))).await.json();
    let id = made["id"].as_str().unwrap();
    house.call(None, "GET", &format!("/v1/squall/executions/{id}/wait"), None).await;
    let path =
        format!("/stream/v1/stream?events=st2.execution__update&end_event=st2.execution__update&end_execution_id={id}");
    let text = read(&house, &path, async {}, |_| false).await;
    assert_eq!(names(&text), ["st2.execution__update"]);
    let text = read(&house, &format!("/stream/v1/executions/{id}/output"), async {}, |_| false).await;
    assert!(text.ends_with("event: EOF\ndata: ''\n\n"), "{text}");
}

#[tokio::test]
async fn silence_is_filled() {
    let house =
        House::with(Settings { authentication: false, heartbeat: Duration::from_millis(10), ..Settings::default() });
    let text = read(&house, "/v1/stream", async {}, |t| t.len() >= 3).await;
    assert_eq!(text, "\n\n\n");
}

#[tokio::test]
async fn content_is_loaded_again() {
    let house = House::open();
    let before = house.call(None, "GET", "/v1/actions/lab.fresh", None).await;
    assert_eq!(before.fault(), "Resource with a reference or id \"lab.fresh\" not found");
    let file = house.packs.path().join("lab/actions/fresh.yaml");
    std::fs::write(file, "name: fresh\nrunner_type: noop\n").unwrap();
    let answer = house.call(None, "POST", "/v1/squall/reload", None).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    assert_eq!(house.call(None, "GET", "/v1/actions/lab.fresh", None).await.status, 200);
    let broken = house.packs.path().join("lab/actions/broken.yaml");
    std::fs::write(broken, "name: broken\nrunner_type: remote-shel-cmd\n").unwrap();
    let found = house.call(None, "POST", "/v1/squall/reload", None).await.json();
    let texts: Vec<&str> =
        found["diagnostics"].as_array().unwrap().iter().filter_map(|d| d["message"].as_str()).collect();
    assert!(texts.iter().any(|t| t.contains("remote-shel-cmd")), "{texts:?}");
}
