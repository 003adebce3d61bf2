//! What is committed is posted once, whatever happens between the two.

mod house;

use house::House;
use squall_chat::adapters::terminal::Terminal;
use squall_model::Value;
use squall_store::memory::Fault;

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

#[tokio::test]
async fn network_down_then_up() {
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

/// Two rules name the same place: one question there, and in another place a copy with the same code.
#[tokio::test]
async fn duplicate_send_same_code() {
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

/// A network that cannot change a message says the same in one of its own.
#[tokio::test]
async fn edit_fails() {
    let house = House::new();
    house.says("alice", "!keep a 1").await;
    house.says("alice", &format!("!deny {}", house.question().code())).await;
    let kinds: Vec<String> =
        house.posts().into_iter().filter(|p| p.text.contains("withdrew")).map(|p| p.kind).collect();
    assert_eq!(kinds, ["edit", "confirmation"]);
}
