//! Users, roles, links, second factors, keys, agents: who may do what with them, and that each change is written down.

mod house;

use house::House;
use serde_json::{Value as Json, json};
use squall_engine::Role;
use squall_engine::confirmation::Identity;
use std::time::Duration;

/// The newest events of the audit log, newest first, reading it aside.
async fn events(house: &House, admin: &str) -> Vec<String> {
    let rows = house.get(admin, "/v1/squall/audit").await.json();
    let name = |row: &Json| row["event"].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(name).filter(|event| event != "audit_read").collect()
}

#[tokio::test]
async fn a_user_is_made_changed_and_deleted() {
    let house = House::new();
    let admin = house.user("root-admin", Role::Admin).await;
    let made = house
        .post(
            &admin,
            "/v1/squall/users",
            json!({"name": "bob", "roles": ["operator", "sre"], "groups": ["night"], "shown": "Bob B.", "password": "long enough"}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["roles"], json!(["operator", "sre"]));
    assert!(!made.text.contains("argon"), "no hash is told: {}", made.text);
    let again = house.post(&admin, "/v1/squall/users", json!({"name": "bob"})).await;
    assert_eq!((again.status.as_u16(), again.fault()), (409, "there is a user `bob` already".to_owned()));
    let alike = house.post(&admin, "/v1/squall/users", json!({"name": "BOB"})).await;
    assert_eq!((alike.status.as_u16(), alike.fault()), (409, "`BOB` looks like the user `bob`".to_owned()));
    for wrong in [json!({"name": "a:b"}), json!({"name": "root"}), json!({"name": "x", "roles": ["a b"]})] {
        assert_eq!(house.post(&admin, "/v1/squall/users", wrong.clone()).await.status, 400, "{wrong}");
    }
    // The word `role` changes which of the four somebody has; free roles stay.
    let put = house.put(&admin, "/v1/squall/users/bob", json!({"role": "observer"})).await;
    assert_eq!(put.json()["roles"], json!(["observer", "sre"]), "{}", put.text);
    let granted = house.put(&admin, "/v1/squall/users/bob/roles/dba", json!({})).await;
    assert_eq!(granted.json()["changed"], true);
    assert_eq!(house.put(&admin, "/v1/squall/users/bob/roles/dba", json!({})).await.json()["changed"], false);
    assert_eq!(house.delete(&admin, "/v1/squall/users/bob/roles/sre").await.json()["changed"], true);
    let roles = house.get(&admin, "/v1/squall/roles").await.json();
    let dba = roles.as_array().unwrap().iter().find(|r| r["name"] == "dba").unwrap();
    assert_eq!((&dba["members"], &dba["built_in"]), (&json!(["bob"]), &json!(false)));
    let listed = house.get(&admin, "/v1/squall/users?role=dba").await.json();
    assert_eq!(listed[0]["name"], "bob");
    assert_eq!(house.delete(&admin, "/v1/squall/users/bob").await.status, 204);
    let gone = house.get(&admin, "/v1/squall/users/bob").await;
    assert_eq!((gone.status.as_u16(), gone.fault()), (404, "there is no user `bob`".to_owned()));
    let expected = ["user_deleted", "role_revoked", "role_granted", "role_revoked", "role_granted", "user_created"];
    assert_eq!(events(&house, &admin).await[..6], expected);
    assert_eq!(house.get(&admin, "/v1/squall/audit/verify").await.json()["whole"], true);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let house = House::new();
    let admin = house.user("ann", Role::Admin).await;
    for answer in [
        house.put(&admin, "/v1/squall/users/ann", json!({"active": false})).await,
        house.put(&admin, "/v1/squall/users/ann", json!({"role": "operator"})).await,
        house.delete(&admin, "/v1/squall/users/ann/roles/admin").await,
        house.delete(&admin, "/v1/squall/users/ann").await,
    ] {
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(answer.fault().contains("last active administrator"), "{}", answer.fault());
    }
    house.user("eve", Role::Admin).await;
    assert_eq!(house.delete(&admin, "/v1/squall/users/ann").await.status, 204);
}

#[tokio::test]
async fn whoever_is_shut_out_has_no_token_any_more() {
    let house = House::new();
    let admin = house.user("ann", Role::Admin).await;
    let bob = house.user("bob", Role::Operator).await;
    let carol = house.user("carol", Role::Operator).await;
    house.put(&admin, "/v1/squall/users/bob", json!({"active": false})).await;
    assert_eq!(house.get(&bob, "/v1/user").await.status, 401);
    house.put(&admin, "/v1/squall/users/bob", json!({"active": true})).await;
    assert_eq!(house.get(&bob, "/v1/user").await.status, 401, "a token that ended does not come back");
    let changed = house.post(&admin, "/v1/squall/users/carol/password", json!({"password": "another one"})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(house.get(&carol, "/v1/user").await.status, 401, "a new password ends the tokens");
    // A lost role counts at the next request.
    let dora = house.user("dora", Role::Operator).await;
    assert_eq!(house.post(&dora, "/v1/executions", json!({"action": "core.noop"})).await.status, 201);
    house.delete(&admin, "/v1/squall/users/dora/roles/operator").await;
    assert_eq!(house.post(&dora, "/v1/executions", json!({"action": "core.noop"})).await.status, 403);
}

#[tokio::test]
async fn ones_own_password_needs_the_old_one() {
    let house = House::new();
    let bob = house.user("bob", Role::Observer).await;
    let path = "/v1/squall/users/bob/password";
    assert_eq!(house.post(&bob, path, json!({"password": "new password"})).await.status, 403);
    let wrong = house.post(&bob, path, json!({"password": "new password", "old": "not it"})).await;
    assert_eq!((wrong.status.as_u16(), wrong.fault()), (403, "the old password is wrong".to_owned()));
    let short = house.post(&bob, path, json!({"password": "short", "old": "correct horse"})).await;
    assert_eq!(short.status, 400);
    let right = house.post(&bob, path, json!({"password": "new password", "old": "correct horse"})).await;
    assert_eq!(right.status, 200, "{}", right.text);
    assert_eq!(house.get(&bob, "/v1/user").await.status, 401);
}

#[tokio::test]
async fn people_see_and_change_themselves_and_nobody_else() {
    let house = House::new();
    let (bob, _) = (house.user("bob", Role::Operator).await, house.user("carol", Role::Operator).await);
    assert_eq!(house.get(&bob, "/v1/squall/users/bob").await.status, 200);
    for (method, path, body) in [
        ("GET", "/v1/squall/users", None),
        ("GET", "/v1/squall/users/carol", None),
        ("GET", "/v1/squall/roles", None),
        ("POST", "/v1/squall/users", Some(json!({"name": "x"}))),
        ("PUT", "/v1/squall/users/bob", Some(json!({"role": "admin"}))),
        ("PUT", "/v1/squall/users/bob/roles/admin", Some(json!({}))),
        ("DELETE", "/v1/squall/users/carol", None),
        ("PUT", "/v1/squall/links", Some(json!({"network": "n", "user_id": "u", "user": "bob"}))),
        ("POST", "/v1/squall/factor/removal", Some(json!({"user": "carol"}))),
        ("POST", "/v1/squall/tokens", Some(json!({"user": "carol"}))),
        ("POST", "/v1/apikeys", Some(json!({"user": "carol"}))),
        ("GET", "/v1/squall/audit", None),
        ("GET", "/v1/squall/audit/verify", None),
    ] {
        let answer = house.call(Some(&bob), method, path, body).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn links_by_an_administrator_and_by_a_code() {
    let house = House::new();
    let admin = house.user("ann", Role::Admin).await;
    let bob = house.user("bob", Role::Operator).await;
    let link = |workspace: Json| json!({"network": "slack", "workspace": workspace, "user_id": "U1", "user": "bob"});
    assert_eq!(house.put(&admin, "/v1/squall/links", link(json!("T1"))).await.status, 200);
    let unknown = json!({"network": "slack", "user_id": "U1", "user": "nobody"});
    assert_eq!(house.put(&admin, "/v1/squall/links", unknown).await.status, 404);
    let own = house.get(&bob, "/v1/squall/links").await.json();
    assert_eq!((&own[0]["workspace"], own.as_array().unwrap().len()), (&json!("T1"), 1), "{own}");
    // The same id in another workspace is somebody else.
    let here = Identity { network: "slack".into(), workspace: Some("T1".into()), user_id: "U1".into() };
    let there = Identity { workspace: Some("T2".into()), ..here.clone() };
    assert_eq!(house.engine.chat_principal(&here).unwrap().user, "bob");
    assert_eq!(house.engine.chat_principal(&there).unwrap().user, "chat");
    // A code from chat, given with the token of an account: once, and not after ten minutes.
    let code = house.engine.link_code(&there);
    assert_eq!(house.post(&bob, "/v1/squall/links", json!({"code": "0000"})).await.status, 404);
    let linked = house.post(&bob, "/v1/squall/links", json!({"code": code})).await;
    assert_eq!((linked.status.as_u16(), &linked.json()["user"]), (201, &json!("bob")), "{}", linked.text);
    assert_eq!(house.post(&bob, "/v1/squall/links", json!({"code": code})).await.status, 404);
    let old = house.engine.link_code(&Identity { user_id: "U9".into(), ..here.clone() });
    house.later(Duration::from_secs(601));
    assert_eq!(house.post(&bob, "/v1/squall/links", json!({"code": old})).await.status, 404);
    // Somebody who was deactivated keeps the name and loses the rights.
    house.put(&admin, "/v1/squall/users/bob", json!({"active": false})).await;
    assert_eq!(house.engine.chat_principal(&here).unwrap().role, Role::Guest);
    let carol = house.user("carol", Role::Operator).await;
    let path = "/v1/squall/links?network=slack&workspace=T1&user_id=U1";
    assert_eq!(house.delete(&carol, path).await.status, 404, "not hers, so not there");
    assert_eq!(house.delete(&admin, path).await.status, 200);
    assert_eq!(house.engine.chat_principal(&here).unwrap().user, "chat");
    assert!(events(&house, &admin).await.starts_with(&["unlinked".to_owned()]));
}

#[tokio::test]
async fn a_second_factor_is_shown_once_and_a_code_counts_once() {
    let house = House::new();
    let admin = house.user("ann", Role::Admin).await;
    let bob = house.user("bob", Role::Operator).await;
    let made = house.post(&bob, "/v1/squall/factor", json!({})).await.json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(made["uri"], format!("otpauth://totp/squall:bob?secret={secret}&issuer=squall"));
    assert_eq!(secret.len(), 32);
    let own = house.get(&bob, "/v1/squall/users/bob").await;
    assert_eq!(own.json()["factor"], "waits for its first code");
    assert!(!own.text.contains(&secret));
    assert_eq!(house.put(&bob, "/v1/squall/factor", json!({"code": "000000"})).await.status, 428);
    let code = house.code(&secret);
    assert_eq!(house.put(&bob, "/v1/squall/factor", json!({"code": code})).await.status, 200);
    assert_eq!(house.put(&bob, "/v1/squall/factor", json!({"code": code})).await.status, 428, "a replay");
    assert_eq!(house.get(&bob, "/v1/squall/users/bob").await.json()["factor"], "active");
    // With a stolen token nobody gets another factor, or none.
    assert_eq!(house.post(&bob, "/v1/squall/factor", json!({})).await.status, 428);
    assert_eq!(house.post(&bob, "/v1/squall/factor/removal", json!({})).await.status, 428);
    house.later(Duration::from_secs(30));
    let removal = json!({"code": house.code(&secret)});
    assert_eq!(house.post(&bob, "/v1/squall/factor/removal", removal).await.status, 204);
    // An administrator removes another's, which is written down.
    house.factor(&bob).await;
    assert_eq!(house.post(&admin, "/v1/squall/factor/removal", json!({"user": "bob"})).await.status, 204);
    assert_eq!(events(&house, &admin).await[0], "factor_removed");
}

#[tokio::test]
async fn wrong_factors_are_not_looked_at_for_a_while() {
    let house = House::new();
    let (bob, carol) = (house.user("bob", Role::Operator).await, house.user("carol", Role::Operator).await);
    let secret = house.factor(&bob).await;
    let other = house.factor(&carol).await;
    let try_code = async |code: String| house.post(&bob, "/v1/squall/factor/removal", json!({"code": code})).await;
    for _ in 0..5 {
        assert_eq!(try_code("000000".into()).await.status, 428);
    }
    let limited = try_code(house.code(&secret)).await;
    assert_eq!(limited.status, 429, "even a right one: {}", limited.text);
    assert!(limited.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 500);
    let free = house.post(&carol, "/v1/squall/factor/removal", json!({"code": house.code(&other)})).await;
    assert_eq!(free.status, 204, "nobody else is locked out: {}", free.text);
    house.later(Duration::from_secs(601));
    assert_eq!(try_code(house.code(&secret)).await.status, 204);
}

#[tokio::test]
async fn api_keys_work_until_they_are_switched_off() {
    let house = House::new();
    let bob = house.user("bob", Role::Operator).await;
    let made = house.post(&bob, "/v1/apikeys", json!({"metadata": {"for": "ci"}})).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert_eq!((made.status.as_u16(), key.len(), made.json().get("key_hash")), (201, 86, None), "{}", made.text);
    let with_key = async |key: &str| {
        let request = axum::http::Request::builder().uri("/v1/user").header("st2-api-key", key);
        house.send(request.body(axum::body::Body::empty()).unwrap()).await
    };
    assert_eq!(with_key(&key).await.json()["authentication"]["method"], "API key");
    assert!(with_key("nonsense").await.fault().starts_with("Unauthorized - ApiKey with key_hash="));
    let list = house.get(&bob, "/v1/apikeys?show_secrets=true").await.json();
    assert_eq!((&list[0]["key_hash"], &list[0]["metadata"]["for"]), (&json!("********"), &json!("ci")), "{list}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // The client sends the masked object back with one field flipped.
    let mut masked = list[0].clone();
    masked["enabled"] = json!(false);
    assert_eq!(house.put(&bob, &format!("/v1/apikeys/{id}"), masked).await.status, 200);
    assert_eq!(with_key(&key).await.fault(), "Unauthorized - API key is disabled.");
    let other = house.user("carol", Role::Operator).await;
    let missing = house.get(&other, &format!("/v1/apikeys/{id}")).await;
    assert_eq!(missing.fault(), format!("ApiKey matching {id} for reference and id not found."));
    assert_eq!(house.delete(&bob, &format!("/v1/apikeys/{id}")).await.status, 204);
    let gone = house.delete(&bob, &format!("/v1/apikeys/{id}")).await;
    assert_eq!(gone.fault(), format!("ApiKey with key or id={id} not found."));
    // A key that exists elsewhere comes by its hash.
    let hash = squall_engine::people::key_hash("a key of another server");
    let imported = house.post(&bob, "/v1/apikeys", json!({"key_hash": hash})).await;
    assert_eq!((imported.status.as_u16(), &imported.json()["key"]), (201, &Json::Null), "{}", imported.text);
    assert_eq!(with_key("a key of another server").await.status, 200);
}

#[tokio::test]
async fn an_agent_works_and_gets_no_other_proof() {
    let house = House::new();
    let admin = house.user("ann", Role::Admin).await;
    let made = house.post(&admin, "/v1/squall/tokens", json!({"agent": "helper"})).await;
    let agent = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(house.post(&agent, "/v1/executions", json!({"action": "core.noop"})).await.status, 201);
    for (method, path, body) in [
        ("POST", "/v1/squall/tokens", json!({})),
        ("POST", "/v1/apikeys", json!({})),
        ("POST", "/v1/squall/factor", json!({})),
        ("POST", "/v1/squall/links", json!({"code": "x"})),
        ("PUT", "/v1/squall/users/ann", json!({"password": "another password"})),
        ("POST", "/v1/squall/users/ann/password", json!({"password": "another password", "old": "correct horse"})),
    ] {
        let answer = house.call(Some(&agent), method, path, Some(body)).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
        assert!(answer.fault().contains("a person must do it"), "{}", answer.fault());
    }
    assert_eq!(house.post(&admin, "/v1/squall/tokens", json!({"agent": "a b"})).await.status, 400);
    // The same as a key.
    let key = house.post(&admin, "/v1/apikeys", json!({"metadata": {"actor": "agent", "agent": "helper"}})).await;
    let request = axum::http::Request::builder().method("POST").uri("/v1/squall/tokens");
    let request = request.header("st2-api-key", key.json()["key"].as_str().unwrap());
    assert_eq!(house.send(request.body(axum::body::Body::from("{}")).unwrap()).await.status, 403);
}

#[tokio::test]
async fn the_log_is_filtered_paged_and_chained() {
    let house = House::new();
    let admin = house.user("ann", Role::Admin).await;
    for name in ["bob", "carol", "dora"] {
        house.post(&admin, "/v1/squall/users", json!({"name": name})).await;
    }
    house.put(&admin, "/v1/squall/users/bob/roles/sre", json!({})).await;
    let made = house.get(&admin, "/v1/squall/audit?event=user_created&person=ann&limit=2").await.json();
    let names: Vec<_> = made.as_array().unwrap().iter().map(|row| row["data"]["user"].as_str().unwrap()).collect();
    assert_eq!(names, ["dora", "carol"]);
    let before = made[1]["seq"].as_i64().unwrap();
    let older = house.get(&admin, &format!("/v1/squall/audit?event=user_created&before={before}")).await.json();
    assert_eq!(older[0]["data"]["user"], "bob");
    assert_eq!(house.get(&admin, "/v1/squall/audit?person=nobody").await.json(), json!([]));
    let all = house.get(&admin, "/v1/squall/audit?from=1&limit=1000").await.json();
    for pair in all.as_array().unwrap().windows(2) {
        assert_eq!(pair[1]["previous"], pair[0]["sha"]);
    }
    let told = house.get(&admin, "/v1/squall/audit/verify").await.json();
    assert_eq!((&told["whole"], &told["problem"]), (&json!(true), &Json::Null));
    assert_eq!(told["head"].as_str().unwrap().len(), 64);
}
