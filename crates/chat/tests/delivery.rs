//! What is committed is posted once, whatever happens between the two.

mod house;

use house::House;
use squall_chat::adapters::terminal::Terminal;
use squall_engine::confirmation::{Record, State};
use squall_model::Value;
use squall_store::memory::Fault;
use squall_store::{AuditFilter, Page};
use std::time::Duration;

/// A network outside of this program, in which anything may fail. Its messages are numbered.
#[derive(Default)]
struct Network {
    is_down: bool,
    /// It posts, and nobody hears that it did.
    loses_answers: bool,
    refuses_edits: bool,
    posts: Vec<String>,
    kinds: Vec<String>,
}

impl Network {
    /// What an adapter does when it is woken.
    async fn carry(&mut self, house: &House) {
        for row in house.engine.to_post("test", 100).await.unwrap() {
            let text = |key: &str| row.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            if self.is_down || (self.refuses_edits && text("kind") == "edit") {
                house.engine.not_posted(&row, "connection refused").await.unwrap();
                continue;
            }
            let number = self.posts.len().to_string();
            self.posts.push(text("message"));
            self.kinds.push(text("kind"));
            match self.loses_answers {
                true => house.engine.not_posted(&row, "timed out").await.unwrap(),
                false => house.engine.posted(&row, &number).await.unwrap(),
            }
        }
    }

    fn of(&self, kind: &str) -> Vec<String> {
        let is_it = |(_, known): &(&String, &String)| *known == kind;
        self.posts.iter().zip(&self.kinds).filter(is_it).map(|(text, _)| text.clone()).collect()
    }
}

/// The only confirmation.
fn record(house: &House) -> Record {
    let (rows, _) = house.engine.store().confirmations(&Default::default(), Page { offset: 0, limit: 10 }).unwrap();
    assert_eq!(rows.len(), 1);
    Record::from_json(&rows[0].json).unwrap()
}

fn events(house: &House, name: &str) -> usize {
    let filter = AuditFilter { event: Some(name.into()), ..AuditFilter::default() };
    house.engine.store().audit_found(&filter, 100).unwrap().len()
}

/// What stands in #ops of the terminal network, by kind.
fn posted(house: &House, kind: &str) -> Vec<String> {
    let all = house.engine.store().messages("ops", 0, 1_000).unwrap();
    let text = |body: &Value, key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    all.iter().filter(|m| text(&m.body, "kind") == kind).map(|m| text(&m.body, "message")).collect()
}

#[tokio::test]
async fn outbox_crash() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        let house = House::new();
        house.says_in_terminal("alice", "!keep a 1").await;
        assert!(posted(&house, "question").is_empty(), "not before somebody posts it");
        house.store.fault_next(fault);
        Terminal::new(house.engine.clone()).post_some().await;
        let again = house.after_a_crash();
        let terminal = Terminal::new(again.engine.clone());
        while terminal.post_some().await > 0 {}
        assert_eq!(posted(&again, "question").len(), 1, "{fault:?}");
        let code = posted(&again, "question")[0].split("!confirm ").nth(1).unwrap()[..7].to_owned();
        again.says_in_terminal("alice", &format!("!confirm {code}")).await;
        assert_eq!(again.key("a").as_deref(), Some("1"));
    }
}

/// A full or busy store keeps the message until it takes what was posted.
#[tokio::test]
async fn the_store_refuses_for_a_while() {
    let house = House::new();
    house.says_in_terminal("alice", "!keep a 1").await;
    let terminal = Terminal::new(house.engine.clone());
    for fault in [Fault::Busy, Fault::Full] {
        house.store.fault_next(fault);
        assert_eq!(terminal.post_some().await, 0);
        assert!(posted(&house, "question").is_empty());
    }
    assert_eq!(terminal.post_some().await, 1);
    assert_eq!(posted(&house, "question").len(), 1);
    assert_eq!(terminal.post_some().await, 0, "nothing is left to post");
}

#[tokio::test]
async fn network_down_then_up() {
    let house = House::new();
    let mut network = Network { is_down: true, ..Network::default() };
    house.says("alice", "!keep a 1").await;
    for _ in 0..3 {
        network.carry(&house).await;
        house.clock.forward(Duration::from_secs(5));
    }
    assert!(network.posts.is_empty());
    assert!(record(&house).copies[0].failed, "the record knows that nobody could read it");
    assert_eq!(events(&house, "question_failed"), 1, "told once, however often it is tried");
    network.is_down = false;
    network.carry(&house).await;
    house.clock.forward(Duration::from_secs(60));
    network.carry(&house).await;
    assert_eq!(network.of("question").len(), 1);
    let copy = record(&house).copies.remove(0);
    assert_eq!((copy.failed, copy.message.as_deref()), (false, Some("0")));
    assert_eq!(events(&house, "question_sent"), 1);
}

/// The answer to the posting is lost: it is posted again under the same code, and one yes starts one run.
#[tokio::test]
async fn duplicate_send_same_code() {
    let house = House::new();
    let mut network = Network { loses_answers: true, ..Network::default() };
    house.says("alice", "!keep a 1").await;
    network.carry(&house).await;
    network.loses_answers = false;
    house.clock.forward(Duration::from_secs(2));
    network.carry(&house).await;
    let asked = network.of("question");
    assert_eq!((asked.len(), &asked[0]), (2, &asked[1]));
    assert_eq!(record(&house).copies[0].message.as_deref(), Some("1"), "changes go to the one that is known");
    let code = record(&house).code.to_string();
    house.says("alice", &format!("!confirm {code}")).await;
    house.says("alice", &format!("!confirm {code}")).await;
    network.carry(&house).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
    assert_eq!(network.posts.iter().filter(|post| post.contains("Started st2.kv.set")).count(), 1);
}

#[tokio::test]
async fn edit_fails() {
    let house = House::new();
    let mut network = Network { refuses_edits: true, ..Network::default() };
    house.says("alice", "!keep a 1").await;
    network.carry(&house).await;
    house.says("alice", &format!("!deny {}", record(&house).code)).await;
    network.carry(&house).await;
    house.clock.forward(Duration::from_secs(120));
    network.carry(&house).await;
    assert_eq!(network.posts.iter().filter(|post| post.contains("withdrew")).count(), 1, "in a message of its own");
    assert!(house.posts().is_empty(), "what cannot be changed is not tried for ever: {:?}", house.posts());
}

#[tokio::test]
async fn undelivered_expires_with_cause() {
    let house = House::new();
    let mut network = Network { is_down: true, ..Network::default() };
    house.says("alice", "!keep a 1").await;
    network.carry(&house).await;
    house.clock.forward(Duration::from_secs(61));
    house.engine.fire_due().await.unwrap();
    let ended = record(&house);
    assert_eq!(ended.state, State::Expired);
    assert_eq!(ended.ending.unwrap().cause.map(|cause| cause.text()).as_deref(), Some("question not delivered"));
    network.is_down = false;
    house.clock.forward(Duration::from_secs(60));
    network.carry(&house).await;
    assert!(network.of("question").is_empty(), "what is over is not asked any more");
    let told = network.posts.iter().filter(|post| post.contains("question not delivered. st2.kv.set was not run"));
    assert_eq!(told.count(), 1, "{:?}", network.posts);
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn question_deleted_reposts_once() {
    let house = House::new();
    let mut network = Network::default();
    house.says("alice", "!keep a 1").await;
    network.carry(&house).await;
    house.engine.deleted("test", "ops", "0").await.unwrap();
    network.carry(&house).await;
    assert_eq!(network.of("question").len(), 2, "it is there again");
    house.engine.deleted("test", "ops", "1").await.unwrap();
    house.engine.deleted("test", "ops", "77").await.unwrap();
    network.carry(&house).await;
    assert_eq!(network.of("question").len(), 2, "and only once");
    assert_eq!(events(&house, "question_deleted"), 2);
    // Deleting decides nothing.
    house.says("alice", &format!("!confirm {}", record(&house).code)).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
}

/// A question that is deleted and nobody answers was delivered all the same.
#[tokio::test]
async fn a_deleted_question_expires_as_any_other() {
    let house = House::new();
    let mut network = Network::default();
    house.says("alice", "!keep a 1").await;
    network.carry(&house).await;
    for message in ["0", "1"] {
        house.engine.deleted("test", "ops", message).await.unwrap();
        network.carry(&house).await;
    }
    house.clock.forward(Duration::from_secs(61));
    house.engine.fire_due().await.unwrap();
    assert_eq!(record(&house).ending.unwrap().cause, None);
}

/// Two rules name the same place: one question there, and in another place a copy with the same code.
#[tokio::test]
async fn one_question_in_each_place_with_the_same_code() {
    let house = House::new();
    house.says("alice", "!tell a 1").await;
    let asked: Vec<_> = house.posts().into_iter().filter(|p| p.kind == "question").collect();
    let channels: Vec<&str> = asked.iter().map(|p| p.channel.as_str()).collect();
    assert_eq!(channels, ["ops", "approvals"]);
    assert_eq!(asked[0].code(), asked[1].code());
    assert_eq!(asked[0].text, asked[1].text);
    house.says("alice", &format!("!confirm {}", asked[0].code())).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
    let told: Vec<String> =
        house.posts().into_iter().filter(|p| p.text.contains("Started st2.kv.set")).map(|p| p.channel).collect();
    assert_eq!(told, ["ops", "approvals"], "everybody who was asked is told");
}
