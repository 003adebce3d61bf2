//! Confirmations over REST: who sees what, who may answer how, and which status each refusal has.

mod house;

use futures::StreamExt;
use house::{Answer, House};
use serde_json::{Value as Json, json};
use squall_engine::Role;
use squall_engine::confirmation::Identity;
use squall_engine::confirmation::record::Place;
use squall_engine::typed::Typed;
use std::time::Duration;
use tower::ServiceExt;

const PACK: &[(&str, &str)] = &[
    ("danger/pack.yaml", "name: danger\ndescription: For tests.\nversion: 1.0.0\nauthor: squall\n"),
    (
        "danger/actions/own.yaml",
        "name: own\nrunner_type: noop\ntags: [{name: squall.confirm, value: 'true'}]\nparameters:\n  what: {type: string}\n  \
         pin: {type: string, secret: true}\n",
    ),
    ("danger/actions/eyes.yaml", "name: eyes\nrunner_type: noop\nparameters: {what: {type: string}}\n"),
    ("danger/actions/sure.yaml", "name: sure\nrunner_type: noop\nparameters: {what: {type: string}}\n"),
    ("danger/actions/critical.yaml", "name: critical\nrunner_type: noop\nparameters: {what: {type: string}}\n"),
    (
        "danger/aliases/eyes.yaml",
        "name: danger_eyes\naction_ref: danger.eyes\ndescription: Two eyes.\nformats: ['eyes {{ what }}']\n",
    ),
];

const RULES: &str = "
version: 1
rules:
  - id: two-eyes
    why: It is for good.
    when: {action: [danger.eyes]}
    require: [{who: {role: [sre]}, count: 2}]
    break_glass: {role: [commander]}
    timeout: 5m
  - id: critical
    why: Only with a factor.
    when: {action: [danger.critical]}
    require: [{who: {role: [sre]}, min_assurance: A3}]
    timeout: 20m
  - id: sure
    why: A factor and the right word.
    when: {action: [danger.sure]}
    require: [{who: {role: [sre]}, min_assurance: A3, phrase: '{{ params.what }}'}]
    timeout: 20m
";

/// Alice asks; bob, carol and dora are of role sre; mallory is of none.
struct People {
    house: House,
    admin: String,
    alice: String,
    bob: String,
    carol: String,
    mallory: String,
}

async fn people() -> People {
    let house = House::new();
    house.give(PACK, RULES);
    let person = async |name: &str, roles: &[&str]| house.person(name, Role::Operator, roles).await;
    let (alice, bob) = (person("alice", &[]).await, person("bob", &["sre"]).await);
    let (carol, mallory) = (person("carol", &["sre"]).await, person("mallory", &[]).await);
    person("dora", &["sre"]).await;
    let admin = house.user("root-admin", Role::Admin).await;
    People { house, admin, alice, bob, carol, mallory }
}

impl People {
    /// Alice asks for a run that waits; answers what she is told.
    async fn ask(&self, action: &str, what: &str) -> Answer {
        let body = json!({"action": action, "parameters": {"what": what}});
        let held = self.house.post(&self.alice, "/v1/executions", body).await;
        assert_eq!(held.status, 201, "{}", held.text);
        held
    }

    async fn record(&self, token: &str, id: &str) -> Json {
        self.house.get(token, &format!("/v1/confirmations/{id}")).await.json()
    }

    /// Says a word about a confirmation, with the digest that stands in it.
    async fn say(&self, token: &str, id: &str, word: &str, more: Json) -> Answer {
        let mut body = more;
        if matches!(word, "grant" | "breakglass") && body.get("digest").is_none() {
            body["digest"] = self.record(&self.admin, id).await["digest"].clone();
        }
        self.house.post(token, &format!("/v1/confirmations/{id}/{word}"), body).await
    }
}

fn id_of(held: &Answer) -> String {
    held.json()["confirmation"]["id"].as_str().unwrap_or_else(|| panic!("not held: {}", held.text)).to_owned()
}

#[track_caller]
fn is(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.json()["reason"].as_str().unwrap_or_default()),
        (status, reason),
        "{}",
        answer.text
    );
    assert!(answer.status.is_success() || !answer.fault().is_empty(), "no text: {}", answer.text);
}

#[tokio::test]
async fn what_is_held_says_so() {
    let p = people().await;
    let held = p.ask("danger.eyes", "db1").await;
    let confirmation = &held.json()["confirmation"];
    assert_eq!((&held.json()["status"], &confirmation["state"]), (&json!("pending"), &json!("open")), "{}", held.text);
    assert_eq!(held.headers["squall-confirmation"], confirmation["id"].as_str().unwrap());
    assert_eq!((&confirmation["need"], &confirmation["rules"]), (&json!(["2 of role sre"]), &json!(["two-eyes"])));
    assert!(confirmation["code"].is_string(), "its requester may see the code");
    assert!(confirmation["url"].as_str().unwrap().contains("/v1/confirmations/"), "{confirmation}");
    let words = json!({"command": "eyes db2", "source_channel": "c"});
    let by_alias = p.house.post(&p.alice, "/v1/aliasexecution/match_and_execute", words).await;
    assert!(by_alias.headers.contains_key("squall-confirmation"), "{}", by_alias.text);
    let plain = p.house.post(&p.alice, "/v1/executions", json!({"action": "core.noop"})).await;
    assert!(!plain.headers.contains_key("squall-confirmation") && plain.json().get("confirmation").is_none());
}

#[tokio::test]
async fn canceling_what_is_held_withdraws_it() {
    let p = people().await;
    let held = p.ask("danger.eyes", "db1").await;
    let execution = held.json()["id"].as_str().unwrap().to_owned();
    let canceled = p.house.call(Some(&p.alice), "DELETE", &format!("/v1/executions/{execution}"), None).await;
    assert_eq!((canceled.status.as_u16(), &canceled.json()["status"]), (200, &json!("canceled")), "{}", canceled.text);
    assert_eq!(p.record(&p.admin, &id_of(&held)).await["state"], "withdrawn");
    is(&p.say(&p.bob, &id_of(&held), "grant", json!({})).await, 409, "final");
}

#[tokio::test]
async fn on_hold_reject() {
    let p = people().await;
    let body = json!({"action": "danger.eyes", "parameters": {"what": "db1"}});
    let refused = p.house.post(&p.alice, "/v1/executions?on_hold=reject", body.clone()).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["confirmation"]["need"]), (409, &json!(["2 of role sre"])));
    let words = json!({"command": "eyes db2", "source_channel": "c"});
    let by_alias = p.house.post(&p.alice, "/v1/aliasexecution/match_and_execute?on_hold=reject", words).await;
    assert_eq!(by_alias.status, 409, "{}", by_alias.text);
    assert_eq!(p.house.get(&p.admin, "/v1/confirmations").await.json(), json!([]), "nothing was stored");
    assert_eq!(p.house.get(&p.admin, "/v1/executions").await.json(), json!([]));
    assert_eq!(p.house.post(&p.alice, "/v1/executions?on_hold=perhaps", body.clone()).await.status, 400);
    let free = p.house.post(&p.alice, "/v1/executions?on_hold=reject", json!({"action": "core.noop"})).await;
    assert_eq!(free.status, 201, "what nobody is asked about runs");
    // An equal request waits already: the same refusal, which names the one that waits.
    let id = id_of(&p.ask("danger.eyes", "db1").await);
    let joined = p.house.post(&p.alice, "/v1/executions?on_hold=reject", body).await;
    assert_eq!((joined.status.as_u16(), &joined.json()["confirmation"]["id"]), (409, &json!(id)));
    assert_eq!(p.house.get(&p.admin, "/v1/confirmations").await.json().as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_client_says_what_it_is() {
    let p = people().await;
    let rules =
        "version: 1\nrules: [{id: one, when: {action: [danger.eyes], source: [cli]}, require: [{who: requester}]}]\n";
    p.house.give(PACK, rules);
    for (client, expected) in [(None, "requested"), (Some("cli"), "pending"), (Some("web"), "requested")] {
        let body = json!({"action": "danger.eyes", "parameters": {"what": format!("db for {client:?}")}});
        let answer = p.house.post_as(client, &p.alice, "/v1/executions", body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (201, &json!(expected)), "{client:?}");
    }
    let answer = p.house.post_as(Some("chat"), &p.alice, "/v1/executions", json!({"action": "core.noop"})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("must be `cli` or `web`"), "{}", answer.text);
}

#[tokio::test]
async fn status_codes_table() {
    let p = people().await;
    let id = id_of(&p.ask("danger.eyes", "db1").await);
    is(&p.say(&p.alice, &id, "grant", json!({})).await, 403, "self");
    is(&p.say(&p.admin, &id, "grant", json!({})).await, 403, "not_eligible");
    let stranger = p.say(&p.mallory, &id, "grant", json!({})).await;
    assert_eq!(stranger.status, 404, "{}", stranger.text);
    is(&p.say(&p.bob, &id, "grant", json!({"digest": "00".repeat(32)})).await, 412, "digest");
    let blind = p.house.post(&p.bob, &format!("/v1/confirmations/{id}/grant"), json!({})).await;
    assert_eq!((blind.status.as_u16(), blind.fault()), (400, "'digest' is a required property".to_owned()));
    let counted = p.say(&p.bob, &id, "grant", json!({"note": "looks right"})).await;
    is(&counted, 200, "");
    assert_eq!(
        (&counted.json()["state"], &counted.json()["n"], &counted.json()["m"]),
        (&json!("open"), &json!(1), &json!(2))
    );
    is(&p.say(&p.bob, &id, "grant", json!({})).await, 409, "twice");
    let back = p.house.delete(&p.bob, &format!("/v1/confirmations/{id}/votes/mine")).await;
    assert_eq!((back.status.as_u16(), &back.json()["n"]), (200, &json!(0)), "{}", back.text);
    is(&p.say(&p.bob, &id, "grant", json!({"via": "cli"})).await, 200, "");
    assert_eq!(p.say(&p.bob, &id, "grant", json!({"via": "pigeon"})).await.status, 400);
    assert_eq!(p.say(&p.bob, &id, "bless", json!({})).await.status, 404);
    let released = p.say(&p.carol, &id, "grant", json!({})).await;
    assert_eq!((released.status.as_u16(), &released.json()["state"]), (200, &json!("released")), "{}", released.text);
    let done = p.say(&p.carol, &id, "deny", json!({})).await;
    is(&done, 409, "final");
    assert_eq!(
        (&done.json()["state"], &done.json()["by"]),
        (&json!("released"), &json!("bob, carol")),
        "{}",
        done.text
    );
    assert!(done.json()["at"].is_string());
    let votes = p.record(&p.alice, &id).await["votes"].clone();
    assert_eq!(votes.as_array().unwrap().len(), 3, "one was taken back: {votes}");

    let id = id_of(&p.ask("danger.eyes", "db2").await);
    let denied = p.say(&p.bob, &id, "deny", json!({"reason": "not today"})).await;
    assert_eq!(denied.json()["state"], "denied", "{}", denied.text);
    assert_eq!(p.record(&p.alice, &id).await["reason"], "not today");
    let id = id_of(&p.ask("danger.eyes", "db3").await);
    is(&p.say(&p.bob, &id, "withdraw", json!({})).await, 403, "not_eligible");
    assert_eq!(p.say(&p.alice, &id, "withdraw", json!({})).await.json()["state"], "withdrawn");
    let id = id_of(&p.ask("danger.eyes", "db4").await);
    p.house.later(Duration::from_secs(301));
    is(&p.say(&p.bob, &id, "grant", json!({})).await, 410, "late");
}

#[tokio::test]
async fn factor_and_phrase() {
    let p = people().await;
    let secret = p.house.factor(&p.bob).await;
    let id = id_of(&p.ask("danger.sure", "db1").await);
    is(&p.say(&p.bob, &id, "grant", json!({"phrase": "db1"})).await, 428, "factor_needed");
    let wrong = p.say(&p.bob, &id, "grant", json!({"phrase": "db1", "factor": "000000"})).await;
    assert_eq!(wrong.status, 428, "{}", wrong.text);
    let none = p.say(&p.carol, &id, "grant", json!({"phrase": "db1", "factor": "000000"})).await;
    assert!(none.fault().contains("no second factor"), "{}", none.text);
    // The factor is proved, the phrase is wrong: for five minutes no other code is asked for, for this very confirmation.
    let code = p.house.code(&secret);
    is(&p.say(&p.bob, &id, "grant", json!({"phrase": "db2", "factor": code})).await, 422, "phrase");
    let other = id_of(&p.ask("danger.sure", "db9").await);
    is(&p.say(&p.bob, &other, "grant", json!({"phrase": "db9"})).await, 428, "factor_needed");
    let replay = p.say(&p.bob, &other, "grant", json!({"phrase": "db9", "factor": code})).await;
    assert_eq!(replay.status, 428, "a code counts once: {}", replay.text);
    let granted = p.say(&p.bob, &id, "grant", json!({"phrase": "db1"})).await;
    assert_eq!(granted.json()["state"], "released", "{}", granted.text);
    assert_eq!(granted.json()["confirmation"]["votes"][0]["assurance"], "A3");
    // Longer ago than five minutes is too long ago.
    let third = id_of(&p.ask("danger.sure", "db3").await);
    p.house.later(Duration::from_secs(60));
    is(&p.say(&p.bob, &third, "grant", json!({"phrase": "no", "factor": p.house.code(&secret)})).await, 422, "phrase");
    p.house.later(Duration::from_secs(301));
    is(&p.say(&p.bob, &third, "grant", json!({"phrase": "db3"})).await, 428, "factor_needed");
}

fn typed(user: &str, text: &str, at: Option<String>) -> Typed {
    Typed {
        raw: text.to_owned(),
        command: at.is_none().then(|| text.to_owned()),
        identity: Identity { network: "terminal".into(), workspace: None, user_id: user.into() },
        name: user.into(),
        place: Place { network: "terminal".into(), channel: "ops".into(), thread: at.clone(), private: false },
        message: format!("m-{user}-{text}"),
        at,
        heard_at: squall_model::Timestamp::from_micros(i64::MAX / 4),
        is_bot: false,
        is_edited: false,
        is_forwarded: false,
        label: None,
    }
}

#[tokio::test]
async fn totp_in_public_burns() {
    let p = people().await;
    let secret = p.house.factor(&p.bob).await;
    let identity = Identity { network: "terminal".into(), workspace: None, user_id: "bob".into() };
    p.house.engine.link(&identity, "bob", &squall_engine::Principal::internal()).await.unwrap();
    let id = id_of(&p.ask("danger.critical", "db1").await);
    let code = p.record(&p.bob, &id).await["code"].as_str().unwrap().to_owned();
    let say = async |digits: &str, private: bool| {
        let mut said = typed("bob", &format!("confirm {code} {digits}"), None);
        said.heard_at = p.house.engine.now();
        said.place.private = private;
        format!("{:?}", p.house.engine.typed(&said).await.unwrap())
    };
    let digits = p.house.code(&secret);
    let told = say(&digits, false).await;
    assert!(told.contains("Never post factors in a channel"), "{told}");
    let told = say(&digits, true).await;
    assert!(told.contains("used before"), "what was posted is useless: {told}");
    assert_eq!(p.record(&p.admin, &id).await["state"], "open");
    p.house.later(Duration::from_secs(30));
    say(&p.house.code(&secret), true).await;
    let record = p.record(&p.admin, &id).await;
    assert_eq!((&record["state"], &record["votes"][0]["assurance"]), (&json!("released"), &json!("A3")), "{record}");
}

/// One test over every way: whoever asked cannot be one of the others, by whichever handle.
#[tokio::test]
async fn self_approval_refused_on() {
    let p = people().await;
    let admin = squall_engine::Principal::internal();
    p.house.engine.grant_role("alice", "sre", &admin).await.unwrap();
    for handle in ["alice", "alice-at-home"] {
        let identity = Identity { network: "terminal".into(), workspace: None, user_id: handle.into() };
        p.house.engine.link(&identity, "alice", &admin).await.unwrap();
    }
    let held = p.ask("danger.eyes", "db1").await;
    let (id, execution) = (id_of(&held), held.json()["id"].as_str().unwrap().to_owned());
    let code = p.record(&p.alice, &id).await["code"].as_str().unwrap().to_owned();
    for way in ["command", "command by another handle", "reply", "web", "cli", "api", "inquiry"] {
        let now = p.house.engine.now();
        let told = match way {
            "command" | "command by another handle" => {
                let user = if way == "command" { "alice" } else { "alice-at-home" };
                let said = Typed { heard_at: now, ..typed(user, &format!("confirm {code}"), None) };
                format!("{:?}", p.house.engine.typed(&said).await)
            }
            "reply" => {
                let said = Typed { heard_at: now, ..typed("alice", "yes", Some(id.clone())) };
                format!("{:?}", p.house.engine.typed(&said).await)
            }
            "inquiry" => {
                let body = json!({"id": execution, "response": {"confirm": true}});
                let answer = p.house.put(&p.alice, &format!("/v1/inquiries/{execution}"), body).await;
                assert!(!answer.status.is_success(), "{way}: {}", answer.text);
                answer.text
            }
            way => {
                let answer = p.say(&p.alice, &id, "grant", json!({"via": way})).await;
                is(&answer, 403, "self");
                answer.text
            }
        };
        let record = p.record(&p.admin, &id).await;
        assert_eq!((&record["state"], &record["votes"]), (&json!("open"), &json!([])), "{way}: {told}");
    }
    // The others still can.
    p.say(&p.bob, &id, "grant", json!({})).await;
    assert_eq!(p.say(&p.carol, &id, "grant", json!({})).await.json()["state"], "released");
}

#[tokio::test]
async fn everybody_sees_what_concerns_them() {
    let p = people().await;
    let own = p
        .house
        .post(&p.alice, "/v1/executions", json!({"action": "danger.own", "parameters": {"pin": "hunter22"}}))
        .await;
    let (own, eyes) = (id_of(&own), id_of(&p.ask("danger.eyes", "db1").await));
    let list = async |token: &str, query: &str| -> Vec<String> {
        let found = p.house.get(token, &format!("/v1/confirmations{query}")).await;
        assert!(!found.text.contains("hunter22"), "{}", found.text);
        let found = found.json();
        let mut ids: Vec<String> =
            found.as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let both = {
        let mut both = vec![own.clone(), eyes.clone()];
        both.sort();
        both
    };
    assert_eq!(list(&p.admin, "").await, both);
    assert_eq!(list(&p.alice, "?mine=true").await, both);
    assert_eq!(list(&p.bob, "").await, std::slice::from_ref(&eyes));
    assert_eq!(list(&p.bob, "?mine=true").await, [""; 0]);
    assert_eq!(list(&p.mallory, "").await, [""; 0]);
    assert_eq!(list(&p.bob, "?answerable=true").await, std::slice::from_ref(&eyes));
    assert_eq!(list(&p.alice, "?answerable=true").await, std::slice::from_ref(&own));
    assert_eq!(list(&p.alice, "?action=danger.own").await, std::slice::from_ref(&own));
    p.say(&p.bob, &eyes, "grant", json!({})).await;
    assert_eq!(list(&p.bob, "?answerable=true").await, [""; 0], "answered");
    assert_eq!(list(&p.alice, "?state=denied").await, [""; 0]);
    let masked = p.record(&p.alice, &own).await;
    assert_eq!(masked["params_shown"]["pin"], "••••••", "{masked}");
    // What somebody may not see is as what does not exist, by id and by code.
    let code = p.record(&p.admin, &eyes).await["code"].as_str().unwrap().to_owned();
    for which in [eyes.as_str(), code.as_str()] {
        for tail in ["", "/audit"] {
            let hidden = p.house.get(&p.mallory, &format!("/v1/confirmations/{which}{tail}")).await;
            assert_eq!(
                (hidden.status.as_u16(), hidden.fault()),
                (404, format!("There is no open confirmation {which}."))
            );
        }
    }
    let events = p.house.get(&p.bob, &format!("/v1/confirmations/{code}/audit")).await.json();
    let names: Vec<_> = events.as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"held"), Some(&"vote")), "{names:?}");
}

#[tokio::test]
async fn get_never_decides() {
    let p = people().await;
    let id = id_of(&p.ask("danger.eyes", "db1").await);
    for word in ["grant", "deny", "withdraw", "unconfirm", "breakglass", "review", "votes/mine", "audit"] {
        p.house.get(&p.bob, &format!("/v1/confirmations/{id}/{word}?digest=x")).await;
    }
    let record = p.record(&p.admin, &id).await;
    assert_eq!((&record["state"], &record["votes"]), (&json!("open"), &json!([])));
}

#[tokio::test]
async fn ten_thousand_guesses_lock_nobody_else() {
    let p = people().await;
    let id = id_of(&p.ask("danger.eyes", "db1").await);
    // Well-formed codes, their check symbol made as the reference says.
    const SYMBOLS: &[u8] = b"23456789BCDFGHJKMNPQRSTVWXZ";
    let code = |n: usize| {
        let digits: Vec<usize> = (0..5).map(|place| n / 27usize.pow(place) % 27).collect();
        let check = digits.iter().zip([1, 2, 4, 5, 7]).map(|(d, w)| d * w).sum::<usize>() % 27;
        digits.into_iter().chain([check]).map(|d| char::from(SYMBOLS[d])).collect::<String>()
    };
    let mut told = std::collections::BTreeMap::new();
    for n in 0..10_000 {
        let which = code(n * 97 + 11);
        let answer = match n % 2 {
            0 => p.house.get(&p.mallory, &format!("/v1/confirmations/{which}")).await,
            _ => p.house.post(&p.mallory, &format!("/v1/confirmations/{which}/grant"), json!({"digest": "x"})).await,
        };
        *told.entry(answer.status.as_u16()).or_insert(0) += 1;
    }
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [(404, 4), (429, 9_996)]);
    let guesses = p.house.get(&p.admin, "/v1/squall/audit?event=wrong_code&limit=1000").await.json();
    assert_eq!(guesses.as_array().unwrap().len(), 5, "what is not looked at fills no log");
    let code = p.record(&p.admin, &id).await["code"].as_str().unwrap().to_owned();
    p.say(&p.bob, &code, "grant", json!({})).await;
    assert_eq!(p.say(&p.carol, &code, "grant", json!({})).await.json()["state"], "released");
    p.house.later(Duration::from_secs(601));
    let again = p.house.get(&p.mallory, "/v1/confirmations/K7Q4M9").await;
    assert_eq!(again.status, 404, "after ten minutes they are looked at again");
}

#[tokio::test]
async fn preview_stores_nothing() {
    let p = people().await;
    let rows = async || p.house.engine.store().audit_head().unwrap().map(|row| row.seq);
    let before = rows().await;
    let preview = async |body: Json| p.house.post(&p.admin, "/v1/confirmations/preview", body).await;
    let asks = preview(json!({"action": "danger.eyes", "parameters": {"what": "db1"}, "user": "alice"})).await.json();
    assert_eq!((&asks["outcome"], &asks["requester"]), (&json!("asks"), &json!("alice")), "{asks}");
    assert_eq!(asks["rules"][0], json!({"id": "two-eyes", "why": "It is for good."}));
    assert_eq!(asks["requirements"][0]["candidates"], json!(["bob", "carol", "dora"]));
    let text = asks["text"].as_str().unwrap();
    assert!(text.contains("db1") && text.contains("•••-•••") && text.contains("2 of role sre"), "{text}");
    let own = preview(
        json!({"action": "danger.eyes", "parameters": {"what": "x"}, "user": "bob", "from": "chat:terminal:ops"}),
    )
    .await;
    let own = own.json();
    assert_eq!(own["requirements"][0]["candidates"], json!(["carol", "dora"]), "the requester does not count: {own}");
    assert_eq!(own["asked_in"], json!(["terminal:ops"]));
    assert_eq!(preview(json!({"action": "core.noop"})).await.json()["outcome"], "runs");
    assert_eq!(
        preview(json!({"action": "core.local", "parameters": {"cmd": "x"}, "user": "alice"})).await.json()["outcome"],
        "refused"
    );
    assert_eq!(preview(json!({"action": "danger.eyes", "from": "moon"})).await.status, 400);
    let other = json!({"action": "danger.eyes", "user": "bob"});
    assert_eq!(p.house.post(&p.alice, "/v1/confirmations/preview", other).await.status, 403, "for oneself alone");
    assert_eq!(rows().await, before);
    assert_eq!(p.house.get(&p.admin, "/v1/confirmations").await.json(), json!([]));
    assert_eq!(p.house.get(&p.admin, "/v1/executions").await.json(), json!([]));
}

/// The token of an agent of somebody.
async fn agent_of(p: &People, owner: &str) -> String {
    let made = p.house.post(owner, "/v1/squall/tokens", json!({"agent": "helper"})).await;
    made.json()["token"].as_str().unwrap().to_owned()
}

fn eyes() -> Json {
    json!({"action": "danger.eyes", "parameters": {"what": "db1"}})
}

/// Agents retry errors, so what is held is none.
#[tokio::test]
async fn held_is_success() {
    let p = people().await;
    let agent = agent_of(&p, &p.alice).await;
    let held = p.house.post(&agent, "/v1/executions", eyes()).await;
    assert_eq!((held.status.as_u16(), &held.json()["status"]), (201, &json!("pending")), "{}", held.text);
    let id = id_of(&held);
    let question = p.record(&p.bob, &id).await["question"].as_str().unwrap().to_owned();
    assert!(question.contains("alice via helper"), "{question}");
    assert_eq!(p.record(&agent, &id).await["state"], "open", "it can look what became of it");
}

#[tokio::test]
async fn join_repeated_calls() {
    let p = people().await;
    let agent = agent_of(&p, &p.alice).await;
    let id = id_of(&p.house.post(&agent, "/v1/executions", eyes()).await);
    for _ in 0..5 {
        assert_eq!(id_of(&p.house.post(&agent, "/v1/executions", eyes()).await), id);
    }
    assert_eq!(p.house.get(&p.admin, "/v1/confirmations").await.json().as_array().map(Vec::len), Some(1));
}

/// Nothing that an agent can read holds the code.
#[tokio::test]
async fn no_code_leak() {
    let p = people().await;
    let agent = agent_of(&p, &p.alice).await;
    let held = p.house.post(&agent, "/v1/executions", eyes()).await;
    let id = id_of(&held);
    let code = p.record(&p.bob, &id).await["code"].as_str().unwrap().to_owned();
    let execution = held.json()["id"].as_str().unwrap().to_owned();
    let mut seen = vec![held.text];
    for path in [
        format!("/v1/confirmations/{id}"),
        format!("/v1/confirmations/{id}/audit"),
        "/v1/confirmations".to_owned(),
        format!("/v1/executions/{execution}"),
        format!("/v1/executions/{execution}/attribute/context"),
        format!("/v1/inquiries/{execution}"),
        "/v1/inquiries?all=1".to_owned(),
        "/v1/executions".to_owned(),
        "/v1/squall/audit".to_owned(),
    ] {
        seen.push(p.house.get(&agent, &path).await.text);
    }
    seen.push(p.house.post(&agent, "/v1/confirmations/preview", eyes()).await.text);
    seen.push(p.house.post(&agent, "/v1/executions", eyes()).await.text);
    let words = json!({"command": "eyes db1", "source_channel": "c"});
    seen.push(p.house.post(&agent, "/v1/aliasexecution/match_and_execute", words).await.text);
    for word in ["grant", "deny", "withdraw"] {
        seen.push(p.say(&agent, &id, word, json!({})).await.text);
    }
    let compact = code.replace('-', "");
    for text in &seen {
        assert!(!text.contains(&code) && !text.contains(&compact), "{text}");
    }
}

/// Neither the agent of the requester nor one of somebody who could answer; what the latter asked for nothing of, it does not
/// even see.
#[tokio::test]
async fn agents_never_answer() {
    let p = people().await;
    let agent = agent_of(&p, &p.alice).await;
    let id = id_of(&p.house.post(&agent, "/v1/executions", eyes()).await);
    for (agent, expected) in [(agent, 403), (agent_of(&p, &p.bob).await, 404)] {
        for word in ["grant", "deny", "withdraw"] {
            let answer = p.say(&agent, &id, word, json!({})).await;
            assert_eq!(answer.status, expected, "{word}: {}", answer.text);
        }
    }
    let record = p.record(&p.admin, &id).await;
    assert_eq!((&record["state"], &record["votes"], &record["agent"]), (&json!("open"), &json!([]), &json!("helper")));
}

/// Rules that ask for less leave what is open as it was asked; an administrator may have it asked anew.
#[tokio::test]
async fn reevaluate_asks_anew() {
    let p = people().await;
    let old = id_of(&p.ask("danger.eyes", "db1").await);
    let again =
        async |who: &str, id: &str| p.house.post(who, &format!("/v1/confirmations/{id}/reevaluate"), json!({})).await;
    is(&p.say(&p.bob, &old, "grant", json!({})).await, 200, "");
    is(&again(&p.bob, &old).await, 403, "");
    is(&again(&p.admin, "01HF7YAT3200000000000000AB").await, 404, "");
    p.house.give(PACK, &RULES.replace("count: 2", "count: 1"));
    assert_eq!(p.record(&p.admin, &old).await["need"], json!(["2 of role sre"]), "it stays as it was asked");
    let answer = again(&p.admin, &old).await;
    is(&answer, 200, "");
    let anew = answer.json()["confirmation"].clone();
    let (code, new) = (anew["code"].as_str().unwrap(), anew["id"].as_str().unwrap());
    assert_eq!(answer.json()["state"], "open");
    assert_eq!(answer.json()["told"], format!("It is asked anew as {code}, and needs 1 of role sre."));
    assert_eq!(
        (&anew["votes"], &anew["need"]),
        (&json!([]), &json!(["1 of role sre"])),
        "answers are not carried over"
    );
    assert_eq!(p.record(&p.admin, &old).await["state"], "withdrawn");
    is(&again(&p.admin, &old).await, 409, "");
    let release = p.say(&p.carol, new, "grant", json!({})).await;
    assert_eq!((release.status.as_u16(), &release.json()["state"]), (200, &json!("released")), "{}", release.text);
}

/// A page of somebody else can make a browser send its cookie, and nothing more: a write by a cookie alone is refused. It counts as
/// nobody's, so the answer is 401. A 403 for a missing token of a form is for pages of squall's own, of which there are none.
#[tokio::test]
async fn csrf_missing_403() {
    let p = people().await;
    let id = id_of(&p.ask("danger.eyes", "db1").await);
    let digest = p.record(&p.bob, &id).await["digest"].clone();
    for word in ["grant", "deny", "withdraw", "breakglass"] {
        let body = json!({"digest": digest, "reason": "because it must be so"});
        let answer = p.house.by_cookie(&p.bob, "POST", &format!("/v1/confirmations/{id}/{word}"), Some(body)).await;
        assert_eq!(answer.status, 401, "{word}: it counts as nobody's: {}", answer.text);
    }
    let read = p.house.by_cookie(&p.bob, "GET", &format!("/v1/confirmations/{id}"), None).await;
    assert_eq!((read.status.as_u16(), &read.json()["state"], &read.json()["votes"]), (200, &json!("open"), &json!([])));
}

#[tokio::test]
async fn break_glass() {
    let p = people().await;
    let boss = p.house.person("boss", Role::Operator, &["commander"]).await;
    let id = id_of(&p.ask("danger.eyes", "db1").await);
    let reason = "the site is down and nobody answers";
    is(&p.say(&p.bob, &id, "breakglass", json!({"reason": reason})).await, 403, "not_eligible");
    let secret = p.house.factor(&boss).await;
    is(&p.say(&boss, &id, "breakglass", json!({"reason": reason})).await, 428, "factor_needed");
    let short = p.say(&boss, &id, "breakglass", json!({"reason": "now", "factor": p.house.code(&secret)})).await;
    is(&short, 422, "reason_needed");
    let digest = "00".repeat(32);
    is(&p.say(&boss, &id, "breakglass", json!({"reason": reason, "digest": digest})).await, 412, "digest");
    let broken = p.say(&boss, &id, "breakglass", json!({"reason": reason})).await;
    assert_eq!(broken.json()["state"], "released", "{}", broken.text);
    let record = p.record(&p.admin, &id).await;
    assert_eq!((&record["bypassed"], &record["by"]), (&json!(true), &json!("boss")));
    // Somebody else looks at it afterwards: no one who had a part in it.
    let open = p.house.get(&p.bob, "/v1/confirmations/reviews").await.json();
    assert_eq!((&open[0]["confirmation"], &open[0]["person"]), (&json!(id), &json!("user:boss")), "{open}");
    let review = async |token: &str| {
        let body = json!({"verdict": "justified: it was down"});
        p.house.post(token, &format!("/v1/confirmations/{id}/review"), body).await
    };
    assert_eq!(review(&boss).await.status, 403);
    assert_eq!(review(&p.alice).await.status, 403);
    let closed = review(&p.bob).await;
    assert_eq!(
        (&closed.json()["verdict"], &closed.json()["closed_by"]),
        (&json!("justified: it was down"), &json!("bob")),
        "{}",
        closed.text
    );
    assert_eq!(review(&p.carol).await.status, 409, "once");
    assert_eq!(p.house.get(&p.bob, "/v1/confirmations/reviews").await.json(), json!([]));
    // Three a day.
    for (n, expected) in [(2, 200), (3, 200), (4, 429)] {
        let id = id_of(&p.ask("danger.eyes", &format!("db{n}")).await);
        p.house.later(Duration::from_secs(30));
        let more = json!({"reason": reason, "factor": p.house.code(&secret)});
        let answer = p.say(&boss, &id, "breakglass", more).await;
        assert_eq!(answer.status, expected, "{n}: {}", answer.text);
    }
    let events = p.house.get(&p.admin, "/v1/squall/audit?event=bypassed&person=boss").await.json();
    assert_eq!(events.as_array().unwrap().len(), 3);
    let reviewed = p.house.get(&p.admin, "/v1/squall/audit?event=review_closed").await.json();
    assert_eq!((&reviewed[0]["person"], &reviewed[0]["confirmation"]), (&json!("user:bob"), &json!(id)), "{reviewed}");
}

#[tokio::test]
async fn whoever_is_gone_asks_for_nothing() {
    let p = people().await;
    let id = id_of(&p.ask("danger.eyes", "db1").await);
    p.house.put(&p.admin, "/v1/squall/users/alice", json!({"active": false})).await;
    let record = p.record(&p.admin, &id).await;
    assert_eq!(
        (&record["state"], &record["cause"]),
        (&json!("withdrawn"), &json!("the requester's account was deactivated"))
    );
}

#[tokio::test]
async fn the_stream_is_filtered_per_reader() {
    let p = people().await;
    let open = async |token: &str| {
        let request = axum::http::Request::builder().uri("/v1/stream?events=squall.confirmation__*");
        let request = request.header("x-auth-token", token).body(axum::body::Body::empty()).unwrap();
        p.house.app.clone().oneshot(request).await.unwrap().into_body().into_data_stream()
    };
    let (mut bob, mut mallory, mut admin) = (open(&p.bob).await, open(&p.mallory).await, open(&p.admin).await);
    let eyes = id_of(&p.ask("danger.eyes", "db1").await);
    p.say(&p.bob, &eyes, "grant", json!({})).await;
    let own = p.house.post(&p.mallory, "/v1/executions", json!({"action": "danger.own"})).await;
    let own = id_of(&own);
    p.say(&p.mallory, &own, "withdraw", json!({})).await;
    /// Frames until so many events were heard.
    async fn heard(stream: &mut axum::body::BodyDataStream, count: usize) -> Vec<(String, String)> {
        let mut text = String::new();
        while text.matches("event: ").count() < count {
            let piece = tokio::time::timeout(Duration::from_secs(60), stream.next()).await.expect("an event");
            text.push_str(&String::from_utf8_lossy(&piece.unwrap().unwrap()));
        }
        let frames = text.split("event: ").skip(1).map(|frame| {
            let (name, rest) = frame.split_once('\n').unwrap();
            let data: Json = serde_json::from_str(rest.trim().trim_start_matches("data: ")).unwrap();
            assert!(data.get("code").is_none(), "{data}");
            (name.trim_start_matches("squall.confirmation__").to_owned(), data["id"].as_str().unwrap().to_owned())
        });
        frames.collect()
    }
    let pair = |name: &str, id: &str| (name.to_owned(), id.to_owned());
    let all = heard(&mut admin, 4).await;
    assert_eq!(all, [pair("open", &eyes), pair("vote", &eyes), pair("open", &own), pair("final", &own)]);
    assert_eq!(heard(&mut bob, 2).await, all[..2]);
    assert_eq!(heard(&mut mallory, 2).await, all[2..]);
}
