//! What counts as an answer in chat, where, and from whom. The effect of each command is a key of the datastore.

mod house;

use house::House;
use squall_chat::{Heard, Heed};
use std::time::Duration;

/// A house where alice was asked about key `a`.
async fn asked() -> House {
    let house = House::new();
    house.says("alice", "!keep a 1").await;
    assert!(house.question().text.contains("please confirm"), "{:?}", house.posts());
    assert_eq!(house.key("a"), None, "nothing was started");
    house
}

#[tokio::test]
async fn a_code_in_the_channel_runs_it_once() {
    let house = asked().await;
    let code = house.question().code();
    house.says("alice", &format!("!confirm {}", code.replace('-', "").to_lowercase())).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
    assert!(house.posts().iter().any(|p| p.text.starts_with("▶ Confirmed by alice")), "{:?}", house.posts());
    house.says("alice", &format!("!confirm {code}")).await;
    assert!(house.last().text.contains("is already finished: released by alice"), "{:?}", house.last());
    assert_eq!(house.posts().iter().filter(|p| p.text == "kept a").count(), 1);
}

#[tokio::test]
async fn yes_in_thread() {
    for yes in ["yes", "Yes!", "confirm", "APPROVE."] {
        let house = asked().await;
        house.replies("alice", yes, &house.question()).await;
        assert_eq!(house.key("a").as_deref(), Some("1"), "{yes}");
    }
    let house = asked().await;
    house.replies("alice", "no", &house.question()).await;
    assert!(house.last().text.contains("was not run"), "{:?}", house.last());
    house.replies("alice", "yes", &house.question()).await;
    assert_eq!(house.key("a"), None, "finished is finished");
}

#[tokio::test]
async fn yes_in_channel_ignored() {
    let house = asked().await;
    let before = house.posts().len();
    assert_eq!(house.says("alice", "yes").await, Heed::NotForMe);
    assert_eq!(house.posts().len(), before);
    house.says("alice", "!yes").await;
    assert!(house.last().text.starts_with("I do not know which question you mean."), "{:?}", house.last());
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn ok_ignored() {
    let house = asked().await;
    let question = house.question();
    for word in ["ok", "+1", "👍", "y", "yes please", "sure"] {
        house.replies("alice", word, &question).await;
    }
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn another_persons_yes_does_not_count() {
    let house = asked().await;
    house.replies("bob", "yes", &house.question()).await;
    assert!(house.last().text.contains("you cannot approve"), "{:?}", house.last());
    assert!(house.last().thread.is_some(), "told where it was said");
    house.says("bob", &format!("!deny {}", house.question().code())).await;
    assert!(house.last().text.contains("you cannot approve"), "{:?}", house.last());
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn yes_in_private_counts_when_one_question_is_open_there() {
    let house = House::new();
    house.says_in_private("alice", "keep a 1").await;
    assert_eq!(house.question().channel, "@U-alice");
    house.says_in_private("alice", "yes").await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn yes_in_dm_two_open_asks() {
    let house = House::new();
    house.says_in_private("alice", "keep a 1").await;
    house.says_in_private("alice", "keep b 2").await;
    house.says_in_private("alice", "yes").await;
    assert!(house.last().text.starts_with("I do not know which question you mean."), "{:?}", house.last());
    assert_eq!((house.key("a"), house.key("b")), (None, None));
    house.says_in_private("alice", &format!("confirm {}", house.question().code())).await;
    assert_eq!((house.key("a"), house.key("b").as_deref()), (None, Some("2")));
}

#[tokio::test]
async fn edited_ignored() {
    let house = asked().await;
    let heard = house.heard("alice", &format!("!confirm {}", house.question().code()));
    assert_eq!(house.bot.hear(Heard { edited: true, ..heard }).await, Heed::NotForMe);
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn forwarded_ignored() {
    let house = asked().await;
    let heard = house.heard("alice", &format!("!confirm {}", house.question().code()));
    assert_eq!(house.bot.hear(Heard { forwarded: true, ..heard }).await, Heed::NotForMe);
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn bot_message_refused() {
    let house = asked().await;
    let heard = house.heard("alice", &format!("!confirm {}", house.question().code()));
    house.bot.hear(Heard { by_bot: true, ..heard }).await;
    let plain = house.heard("alice", "yes");
    let question = Some(house.question().confirmation());
    house.bot.hear(Heard { by_bot: true, question, thread: Some("7".into()), ..plain }).await;
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn quoted_ignored() {
    let house = asked().await;
    let code = house.question().code();
    for text in [format!("> !confirm {code}"), format!("!confirm {code}\n> as bob said")] {
        house.says("alice", &text).await;
        assert_eq!(house.key("a"), None, "{text}");
    }
}

#[tokio::test]
async fn code_block_ignored() {
    let house = asked().await;
    let code = house.question().code();
    for text in [format!("```\n!confirm {code}\n```"), format!("`!confirm {code}`"), format!("!confirm {code} ```x```")]
    {
        house.says("alice", &text).await;
        assert_eq!(house.key("a"), None, "{text}");
    }
}

#[tokio::test]
async fn two_codes_refused() {
    let house = asked().await;
    let first = house.question().code();
    house.says("alice", "!keep b 2").await;
    let second = house.question().code();
    house.says("alice", &format!("!confirm {first} {second}")).await;
    assert_eq!(house.last().text, "One code per message, please. Nothing was answered.");
    assert_eq!((house.key("a"), house.key("b")), (None, None));
}

#[tokio::test]
async fn phrase_wrong() {
    let house = House::new();
    house.says("alice", "!name prod 1").await;
    let code = house.question().code();
    house.says("alice", &format!("!confirm {code}")).await;
    assert!(house.last().text.starts_with("Type the confirmation with the name: !confirm"), "{:?}", house.last());
    house.says("alice", &format!("!confirm {code} staging")).await;
    assert_eq!(house.last().text, "That does not match. Nothing was started.");
    assert_eq!(house.key("prod"), None);
    house.says("alice", &format!("!confirm {code} prod")).await;
    assert_eq!(house.key("prod").as_deref(), Some("1"));
}

#[tokio::test]
async fn seed_alias_not_shadowed() {
    let house = asked().await;
    house.says("alice", "!confirm 56a01f4601020304ffabcdef").await;
    assert!(house.posts().iter().any(|p| p.text == "the pack heard it"), "{:?}", house.posts());
    house.says("alice", &format!("!confirm {}", house.question().code())).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_typo_is_told_with_the_codes_that_are_open() {
    let house = asked().await;
    let code = house.question().code();
    // The pack's own `confirm` would take it, so the word is another one.
    house.says("alice", "!deny K7Q-4M8").await;
    let expected = format!("I do not know the code “K7Q4M8”. Codes look like K7Q-4M9. Open here: {code}");
    assert_eq!(house.last().text, expected);
    house.says("bob", "!deny K7Q-4M8").await;
    assert!(house.last().text.ends_with("Open here: none"), "{:?}", house.last());
}

#[tokio::test]
async fn m11_same_text() {
    let house = House::new();
    house.says_in_private("alice", "keep a 1").await;
    let code = house.question().code();
    // Bob was not asked and was not there: for him it does not exist, whatever he does.
    house.says("bob", &format!("!confirm {code}")).await;
    assert_eq!(house.last().text, format!("There is no open confirmation {code}."));
    house.says("bob", &format!("!show {code}")).await;
    assert_eq!(house.last().text, format!("There is no open confirmation {code}."));
    house.says("bob", "!confirm BR7-KDW").await;
    assert_eq!(house.last().text, "There is no open confirmation BR7-KDW.");
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn guess_limit() {
    let house = asked().await;
    let code = house.question().code();
    for _ in 0..4 {
        house.says("alice", "!confirm BR7-KDW").await;
        assert_eq!(house.last().text, "There is no open confirmation BR7-KDW.");
    }
    house.says("alice", "!confirm BR7-KDW").await;
    assert_eq!(house.last().text, "Too many wrong codes. I ignore confirmations from you for 10 min.");
    let before = house.posts().len();
    house.says("alice", &format!("!confirm {code}")).await;
    assert_eq!(house.posts().len(), before, "ignored without a word");
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn limit_does_not_lock_record() {
    let house = asked().await;
    let code = house.question().code();
    for _ in 0..9 {
        house.says("bob", "!confirm BR7-KDW").await;
    }
    house.says("alice", &format!("!confirm {code}")).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn same_name_other_network_refused() {
    let house = asked().await;
    let heard = house.heard("alice", &format!("!confirm {}", house.question().code()));
    house.bot.hear(Heard { network: "elsewhere".into(), ..heard }).await;
    assert_eq!(house.key("a"), None);
}

#[tokio::test]
async fn name_change_keeps_requester() {
    let house = asked().await;
    let code = house.question().code();
    let heard = house.heard("bob", &format!("!confirm {code}"));
    house.bot.hear(Heard { user_name: "alice".into(), ..heard }).await;
    assert_eq!(house.key("a"), None, "a name proves nothing");
    let heard = house.heard("alice", &format!("!confirm {code}"));
    house.bot.hear(Heard { user_name: "alice_at_home".into(), ..heard }).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn two_others_agree_and_everybody_is_told() {
    let house = House::new();
    for name in ["bob", "carol"] {
        house.person(name, "operator").await;
    }
    house.says("alice", "!share a 1").await;
    let question = house.question();
    assert!(question.text.contains("Needs 2 of role operator"), "{}", question.text);
    house.replies("alice", "yes", &question).await;
    assert_eq!(house.key("a"), None, "whoever asks does not count");
    house.replies("bob", "yes", &question).await;
    assert!(house.last().text.starts_with("✔ bob (@bob) approved"), "{:?}", house.last());
    house.replies("bob", "yes", &question).await;
    assert!(house.last().text.starts_with("You already approved"), "{:?}", house.last());
    house.says("bob", &format!("!unconfirm {}", question.code())).await;
    house.replies("carol", "yes", &question).await;
    assert!(house.last().text.contains("(1 of 2)"), "{:?}", house.last());
    house.says("bob", "!pending").await;
    assert!(house.last().text.contains(&question.code()), "{:?}", house.last());
    house.replies("bob", "yes", &question).await;
    assert_eq!(house.key("a").as_deref(), Some("1"));
    let edit = house.posts().into_iter().find(|p| p.kind == "edit").expect("the question is edited");
    assert!(edit.text.starts_with("▶ Confirmed by"), "{edit:?}");
    house.says("bob", "!pending").await;
    assert_eq!(house.last().text, "Nothing waits for you.");
}

#[tokio::test]
async fn a_late_answer_is_told_so() {
    let house = asked().await;
    house.clock.forward(Duration::from_secs(60));
    house.replies("alice", "yes", &house.question()).await;
    assert!(house.last().text.starts_with("⌛ Too late:"), "{:?}", house.last());
    assert_eq!(house.key("a"), None);
}
