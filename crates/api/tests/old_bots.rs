//! Bots of StackStorm in front of squall: the aliases by which they forward answers, and what those are worth.

mod house;

use house::House;
use serde_json::{Value, json};
use squall_engine::Role;

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
