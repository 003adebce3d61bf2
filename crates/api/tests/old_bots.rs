//! Bots of StackStorm in front of squall: the aliases by which they forward answers, and what those are worth.

mod house;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use futures::StreamExt;
use house::House;
use serde_json::{Value, json};
use squall_api::Settings;
use squall_engine::Role;
use std::time::Duration;
use tower::ServiceExt;

/// What a bot sends for somebody, with the alias and format that it chose.
fn chosen(name: &str, format: &str, command: &str) -> Option<Value> {
    Some(json!({
        "name": name, "format": format, "command": command, "user": "alice", "source_channel": "ops",
        "notification_route": "hubot",
    }))
}

fn words(command: &str) -> Option<Value> {
    Some(json!({"command": command, "user": "alice", "source_channel": "ops"}))
}

#[tokio::test]
async fn the_aliases_are_listed_and_fit_both_engines() {
    let house = House::new();
    let bot = house.user("bot", Role::Operator).await;
    let all = house.get(&bot, "/v1/actionalias").await.json();
    let ours: Vec<&Value> = all.as_array().unwrap().iter().filter(|a| a["pack"] == "squall").collect();
    let names: Vec<&str> = ours.iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["confirm", "deny", "pending", "show", "withdraw"]);
    for alias in ours {
        let format = &alias["formats"][0];
        assert!(format["display"].is_string(), "old bots stop at one without: {alias}");
        // A syntax error in JavaScript, which would keep the bot from loading any later alias.
        assert!(!format["representation"][0].as_str().unwrap().contains("(?P<"), "{alias}");
        assert_eq!(alias["ack"]["append_url"], false);
        assert_eq!(alias["result"]["enabled"], false);
    }
    let help = house.get(&bot, "/v1/actionalias/help?filter=confirm").await.json();
    let shown =
        help["helpstrings"].as_array().unwrap().iter().any(|h| h["display"] == "confirm <code> [phrase or note]");
    assert!(shown, "{help}");
}

#[tokio::test]
async fn they_match_codes_and_leave_everything_else_to_packs() {
    let house = House::new();
    let bot = house.user("bot", Role::Operator).await;
    let matching = async |command: &str| {
        house.call(Some(&bot), "POST", "/v1/actionalias/match", Some(json!({"command": command}))).await
    };
    assert_eq!(matching("confirm K7Q-4M9").await.json()["actionalias"]["ref"], "squall.confirm");
    assert_eq!(matching("deny k7q4m9 not today").await.json()["actionalias"]["ref"], "squall.deny");
    for other in ["confirm 56a01f4601020304ffabcdef", "confirm abc", "confirm K7Q-4M"] {
        assert_ne!(matching(other).await.json()["actionalias"]["pack"], "squall", "{other}");
    }
}

#[tokio::test]
async fn answers_are_decided_with_the_least_assurance() {
    let house = House::new();
    let (bot, admin) = (house.user("bot", Role::Operator).await, house.user("root", Role::Admin).await);
    let all = house.get(&bot, "/v1/actionalias/squall.confirm").await.json();
    let format = all["formats"][0]["representation"][0].as_str().unwrap().to_owned();
    let forward = async |command: &str| {
        let body = chosen("confirm", &format, command);
        let answer = house.call(Some(&bot), "POST", "/v1/aliasexecution", body).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
        answer.json()
    };
    let held = house
        .call(
            Some(&bot),
            "POST",
            "/v1/aliasexecution",
            chosen("examples_evacuate", "evacuate {{ host }}", "evacuate web1"),
        )
        .await;
    assert_eq!(held.json()["execution"]["status"], "pending", "{}", held.text);
    let told = held.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.starts_with("examples.evacuate waits for a confirmation, and nothing has been started."), "{told}");
    let open = house.get(&admin, "/v1/confirmations?state=open").await.json();
    let code = open[0]["code"].as_str().unwrap();
    assert!(!held.text.contains(code), "{}", held.text);
    let answered = forward(&format!("confirm {code}")).await;
    assert_eq!(answered["actionalias"]["ref"], "squall.confirm");
    assert_eq!(answered["execution"]["id"], held.json()["execution"]["id"]);
    assert!(answered["message"].as_str().is_some_and(|m| m.contains(code)), "{answered}");
    let id = held.json()["execution"]["id"].as_str().unwrap().to_owned();
    let after = house.get(&bot, &format!("/v1/executions/{id}")).await.json();
    assert_eq!(after["status"], "pending", "a name in a request confirms nothing");
    let guessed = forward("confirm BR7-KDW").await;
    assert_eq!(guessed["message"], "There is no open confirmation BR7-KDW.");
    assert_eq!(guessed["execution"], json!({}));
}

#[tokio::test]
async fn bots_that_pass_words_on_get_the_same() {
    let house = House::new();
    let bot = house.user("bot", Role::Operator).await;
    let execute = async |command: &str| {
        house.call(Some(&bot), "POST", "/v1/aliasexecution/match_and_execute", words(command)).await
    };
    let pending = execute("pending").await;
    assert_eq!(pending.json()["results"][0]["message"], "Nothing waits for you.", "{}", pending.text);
    let typo = execute("deny K7Q-4M8").await;
    let told = typo.json()["results"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.starts_with("I do not know the code “K7Q4M8”"), "{}", typo.text);
}

#[tokio::test]
async fn a_trusted_bot_asks_and_answers_for_who_asked() {
    let house = House::trusting_bots();
    let bot = house.user("bot", Role::Operator).await;
    let say = async |user: &str, channel: &str, command: &str| {
        let body = json!({
            "command": command, "user": user, "source_channel": channel, "notification_route": "hubot",
        });
        let answer = house.call(Some(&bot), "POST", "/v1/aliasexecution/match_and_execute", Some(body)).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
        answer.json()["results"][0].clone()
    };
    let held = say("alice", "ops", "evacuate web1").await;
    let question = held["message"].as_str().unwrap().to_owned();
    let code = question.split("!confirm ").nth(1).unwrap().split_whitespace().next().unwrap();
    let id = held["execution"]["id"].as_str().unwrap();
    let status = async || house.get(&bot, &format!("/v1/executions/{id}")).await.json()["status"].clone();
    say("bob", "ops", &format!("confirm {code}")).await;
    assert_eq!(status().await, "pending", "somebody else");
    say("alice", "dev", &format!("confirm {code}")).await;
    assert_eq!(status().await, "pending", "another channel");
    let confirmed = say("alice", "ops", &format!("confirm {code}")).await;
    assert!(confirmed["message"].as_str().unwrap().starts_with("▶ Confirmed by alice"), "{confirmed}");
    assert_ne!(status().await, "pending");
}

/// What a bot hears that listens to announcements.
async fn listening(house: &House, credential: (&str, &str), events: &str) -> BodyDataStream {
    let request =
        Request::builder().uri(format!("/stream/v1/stream?events={events}")).header(credential.0, credential.1);
    let response = house.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    response.into_body().into_data_stream()
}

/// The next announcement: its name, and what a bot posts.
async fn announced(stream: &mut BodyDataStream) -> (String, Value) {
    let reading = async {
        loop {
            let piece = stream.next().await.expect("the stream goes on").unwrap();
            let text = String::from_utf8_lossy(&piece).into_owned();
            if let Some((event, data)) = text.trim().split_once('\n') {
                let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                return (event.strip_prefix("event: ").unwrap().to_owned(), data["payload"].clone());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("an announcement")
}

fn typed(route: &str, command: &str) -> Option<Value> {
    Some(json!({
        "command": command, "user": "alice", "source_channel": "ops", "notification_route": route,
        "source_context": {"id": "m1"},
    }))
}

#[tokio::test]
async fn results_are_announced_on_the_route_of_the_bot() {
    let house = House::new();
    let bot = house.user("bot", Role::Operator).await;
    let execute = "/v1/aliasexecution/match_and_execute";
    for (route, event) in [("hubot", "st2.announcement__chatops"), ("errbot", "st2.announcement__errbot")] {
        let mut heard = listening(&house, ("x-auth-token", &bot), "st2.announcement__*").await;
        let done = house.call(Some(&bot), "POST", execute, typed(route, "do nothing")).await;
        let id = done.json()["results"][0]["execution"]["id"].as_str().unwrap().to_owned();
        let (name, said) = announced(&mut heard).await;
        assert_eq!(name, event);
        assert_eq!((&said["user"], &said["channel"]), (&json!("alice"), &json!("ops")));
        assert_eq!((&said["whisper"], &said["context"]["id"]), (&json!(false), &json!("m1")));
        let text = said["message"].as_str().unwrap();
        assert!(
            text.starts_with("\nAction core.noop completed.\nstatus : succeeded\n") && text.contains(&id),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_becomes_of_a_question_is_announced_where_it_was_asked() {
    let house = House::trusting_bots();
    let (bot, carol) = (house.user("bot", Role::Operator).await, house.person("carol", Role::Operator, &["sre"]).await);
    let alias = "name: drop\naction_ref: core.noop\nformats: [drop it]\nack: {enabled: false}\nextra: {squall: {confirm: \
                 {by: 'role:sre'}}}\nresult: {format: dropped}\n";
    house.give(&[("lab/aliases/drop.yaml", alias)], "version: 1\nrules: []\n");
    let mut heard = listening(&house, ("x-auth-token", &bot), "st2.announcement__*").await;
    let execute = "/v1/aliasexecution/match_and_execute";
    let held = house.call(Some(&bot), "POST", execute, typed("hubot", "drop it")).await.json();
    // Bots post no acknowledgement of such an alias, so the question is announced.
    let (name, question) = announced(&mut heard).await;
    assert_eq!((name.as_str(), &question["channel"]), ("st2.announcement__chatops", &json!("ops")));
    let question = question["message"].as_str().unwrap().to_owned();
    assert_eq!(held["results"][0]["message"], question.as_str());
    let open = house.get(&carol, "/v1/confirmations?state=open").await.json();
    let (id, code) = (open[0]["id"].as_str().unwrap(), open[0]["code"].as_str().unwrap());
    assert!(question.contains(code), "{question}");
    let grant = json!({"digest": open[0]["digest"]});
    let granted = house.call(Some(&carol), "POST", &format!("/v1/confirmations/{id}/grant"), Some(grant)).await;
    assert_eq!(granted.status.as_u16(), 200, "{}", granted.text);
    let (_, told) = announced(&mut heard).await;
    assert!(told["message"].as_str().unwrap().starts_with("▶ Confirmed by carol"), "{told}");
    assert_eq!(announced(&mut heard).await.1["message"], "dropped");
}

#[tokio::test]
async fn a_question_is_an_acknowledgement_without_an_address() {
    let house = House::trusting_bots();
    let bot = house.user("bot", Role::Operator).await;
    let execute = "/v1/aliasexecution/match_and_execute";
    let held = house.call(Some(&bot), "POST", execute, typed("hubot", "evacuate web1")).await.json();
    assert_eq!(held["results"][0]["actionalias"]["ack"]["append_url"], false, "{held}");
}

#[tokio::test]
async fn a_linked_account_answers_what_an_untrusted_bot_asked() {
    let house = House::new();
    let (bot, alice) = (house.user("bot", Role::Operator).await, house.user("alice", Role::Operator).await);
    let admin = house.user("root", Role::Admin).await;
    let link = json!({"network": "bot", "workspace": "hubot", "user_id": "alice", "user": "alice"});
    let linked = house.call(Some(&admin), "PUT", "/v1/squall/links", Some(link)).await;
    assert!(linked.status.is_success(), "{}", linked.text);
    let execute = "/v1/aliasexecution/match_and_execute";
    let held = house.call(Some(&bot), "POST", execute, typed("hubot", "evacuate web1")).await.json();
    let told = held["results"][0]["message"].as_str().unwrap();
    assert!(told.contains("an account that was linked before: `squall link bot:hubot:alice ACCOUNT`"), "{told}");
    let open = house.get(&alice, "/v1/confirmations?answerable=true").await.json();
    let id = open[0]["id"].as_str().unwrap_or_else(|| panic!("{open}"));
    let grant = json!({"digest": open[0]["digest"]});
    let refused = house.call(Some(&bot), "POST", &format!("/v1/confirmations/{id}/grant"), Some(grant.clone())).await;
    assert_eq!(refused.status.as_u16(), 404, "the bot itself may not even know: {}", refused.text);
    let granted = house.call(Some(&alice), "POST", &format!("/v1/confirmations/{id}/grant"), Some(grant)).await;
    assert_eq!(granted.json()["state"], "released", "{}", granted.text);
}

#[tokio::test]
async fn bots_load_all_aliases_without_being_administrators() {
    let house = House::new();
    let bot = house.user("bot", Role::Operator).await;
    let all = house.get(&bot, "/v1/actionalias?limit=-1").await;
    assert_eq!(all.status.as_u16(), 200, "{}", all.text);
    assert_eq!(house.get(&bot, "/v1/actions?limit=-1").await.status.as_u16(), 403);
}

#[tokio::test]
async fn a_stream_that_was_opened_with_an_api_key_goes_on_until_the_key_is_gone() {
    let settings = Settings { recheck: Duration::ZERO, heartbeat: Duration::from_millis(10), ..Settings::default() };
    let house = House::with(settings);
    house.user("bot", Role::Operator).await;
    let admin = house.user("root", Role::Admin).await;
    let made = house.call(Some(&admin), "POST", "/v1/apikeys", Some(json!({"user": "bot"}))).await.json();
    let mut heard = listening(&house, ("st2-api-key", made["key"].as_str().unwrap()), "").await;
    for _ in 0..5 {
        assert!(heard.next().await.is_some(), "it was cut off");
    }
    let gone = house.call(Some(&admin), "DELETE", &format!("/v1/apikeys/{}", made["id"].as_str().unwrap()), None).await;
    assert!(gone.status.is_success(), "{}", gone.text);
    let end = async { while heard.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("it ends");
}

/// Whatever it says whose words they are: wrong codes count for the account that brings them.
#[tokio::test]
async fn wrong_codes_of_made_up_people_count_together() {
    let house = House::new();
    let bot = house.user("bot", Role::Operator).await;
    let mut told = 0;
    for n in 0..40 {
        let body = json!({
            "command": "confirm BR7-KDW", "user": format!("user{n}"), "source_channel": format!("channel{n}"),
        });
        let answer = house.call(Some(&bot), "POST", "/v1/aliasexecution/match_and_execute", Some(body)).await;
        assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
        told += usize::from(answer.json()["results"][0]["message"] != "");
    }
    assert_eq!(told, 20);
}

/// What a bot says is kept, counted and told, so it has an end.
#[tokio::test]
async fn names_without_end_are_refused() {
    let house = House::new();
    let bot = house.user("bot", Role::Operator).await;
    let long = "x".repeat(2_000);
    for field in ["user", "source_channel", "notification_route"] {
        let mut body = words("pending").unwrap();
        body[field] = long.as_str().into();
        let answer = house.call(Some(&bot), "POST", "/v1/aliasexecution/match_and_execute", Some(body)).await;
        assert_eq!(answer.status.as_u16(), 400, "{field}");
        assert!(answer.text.contains(&format!("`{field}` has 2000 bytes; 1024 are the most")), "{}", answer.text);
    }
    let command = format!("confirm BR7-KDW {}", "x".repeat(10_000));
    for (path, body) in [
        ("/v1/actionalias/match", json!({"command": command})),
        ("/v1/aliasexecution/match_and_execute", words(&command).unwrap()),
    ] {
        let answer = house.call(Some(&bot), "POST", path, Some(body)).await;
        assert_eq!(answer.status.as_u16(), 400, "{path}: {}", answer.text);
    }
}

/// A program that has an account's token is no bot that people speak through.
#[tokio::test]
async fn a_program_brings_no_answers_of_people() {
    let house = House::trusting_bots();
    let alice = house.user("alice", Role::Operator).await;
    let agent = house.post(&alice, "/v1/squall/tokens", json!({"agent": "helper"})).await.json()["token"].clone();
    let agent = agent.as_str().unwrap().to_owned();
    let say = async |who: &str, command: &str| {
        house.call(Some(who), "POST", "/v1/aliasexecution/match_and_execute", words(command)).await
    };
    let held = say(&agent, "evacuate web1").await;
    assert_eq!(held.status.as_u16(), 201, "{}", held.text);
    let open = house.get(&alice, "/v1/confirmations?state=open").await.json();
    let code = open[0]["code"].as_str().unwrap();
    assert!(!held.text.contains(code), "{}", held.text);
    assert_eq!(open[0]["agent"], "helper");
    for line in [format!("confirm {code}"), format!("show {code}"), "pending".into()] {
        let answer = say(&agent, &line).await;
        assert_eq!(answer.status.as_u16(), 403, "{line}: {}", answer.text);
        assert!(answer.text.contains("a person must do it") && !answer.text.contains("K7Q"), "{}", answer.text);
    }
    let id = held.json()["results"][0]["execution"]["id"].as_str().unwrap().to_owned();
    assert_eq!(house.get(&alice, &format!("/v1/executions/{id}")).await.json()["status"], "pending");
}
