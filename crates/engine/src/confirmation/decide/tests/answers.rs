//! Who answers what: people, roles, and who counts.

use super::*;

#[test]
fn the_requester_confirms() {
    let mut table = Table::new("true");
    let id = table.record.runs[0].0;
    assert_eq!(
        table.says("alice", Verdict::Grant),
        format!("▶ Confirmed by Alice (@alice). Started ops.something as {id}.")
    );
    assert_eq!(table.effects, [Effect::Release { release_id: "release".into() }]);
    assert_eq!(table.audit, ["held", "vote", "released"]);
    assert_eq!(table.record.covers(), BTreeSet::from(["alias ops.something".to_owned()]));
    assert_eq!(table.record.result(), None);
}

#[test]
fn others_do_not_confirm_for_the_requester() {
    let mut table = Table::new("true");
    assert_eq!(table.says("bob", Verdict::Grant), "Bob (@bob), you cannot approve K7Q-4M9: it needs Alice (@alice).");
    assert_eq!(table.record.state, State::Open);
}

#[test]
fn two_of_a_role() {
    let mut table = Table::new(SRE2);
    assert_eq!(
        table.says("alice", Verdict::Grant),
        "Alice (@alice), you asked for it, so somebody else must approve K7Q-4M9."
    );
    assert_eq!(
        table.says("mallory", Verdict::Grant),
        "Mallory (@mallory), you cannot approve K7Q-4M9: it needs 2 of role sre."
    );
    assert_eq!(table.says("bob", Verdict::Grant), "✔ Bob (@bob) approved K7Q-4M9 (1 of 2). 15 min left.");
    assert_eq!(table.says("bob", Verdict::Grant), "You already approved K7Q-4M9. (1 of 2)");
    assert!(table.says("carol", Verdict::Grant).starts_with("▶ Confirmed by Bob (@bob), Carol (@carol). Started"));
}

#[test]
fn linked_second_handle_is_same_person() {
    let mut table = Table::new(SRE2);
    table.says("bob", Verdict::Grant);
    let mut other = table.answer("bob", Verdict::Grant);
    other.by.identities.push(slack("U-other"));
    other.identity = Some(slack("U-other"));
    assert_eq!(table.hears(other), "You already approved K7Q-4M9. (1 of 2)");
}

#[test]
fn self_approval_refused_on_every_way() {
    for (name, way) in Way::ALL {
        let mut table = Table::new(
            r#"{"by": "role:sre", "answer": {"via": ["command", "reply", "button", "reaction", "web", "cli", "api", "elicitation"]}}"#,
        );
        table.people.edit("alice").roles.push("sre".into());
        let answer = Answer { way, assurance: Assurance::A3, ..table.answer("alice", Verdict::Grant) };
        assert!(table.hears(answer).contains("you asked for it"), "{name}");
        assert_eq!(table.record.state, State::Open, "{name}");
    }
}

#[test]
fn agents_never_answer() {
    let mut table = Table::new("true");
    let mut answer = table.answer("alice", Verdict::Grant);
    answer.by.agent = true;
    answer.assurance = Assurance::A3;
    assert_eq!(table.hears(answer), "Agents cannot answer this confirmation: it needs 1 of the requester.");
}

#[test]
fn denied_with_a_reason() {
    let mut table = Table::new(SRE2);
    let answer = Answer { rest: Some("not @here today".into()), ..table.answer("carol", Verdict::Deny) };
    assert_eq!(
        table.hears(answer),
        "✖ Carol (@carol) refused K7Q-4M9: not \\u{40}here today. ops.something was not run."
    );
    let (status, result) = table.record.result().unwrap();
    assert_eq!(status, Status::Failed);
    assert_eq!(
        squall_model::to_json(&result),
        r#"{"error":"denied","by":"Carol (@carol)","reason":"not @here today"}"#
    );
}

#[test]
fn deny_after_one_of_two() {
    let mut table = Table::new(SRE2);
    table.says("bob", Verdict::Grant);
    assert!(table.says("carol", Verdict::Deny).starts_with("✖ Carol (@carol) refused K7Q-4M9: no reason given."));
    assert_eq!(table.record.state, State::Denied);
    assert!(
        table.says("dora", Verdict::Grant).starts_with("K7Q-4M9 is already finished: denied by Carol (@carol) at ")
    );
}

#[test]
fn several_refusals_where_a_rule_wants_them() {
    let mut table = Table::new(r#"{"by": "role:sre", "count": 2, "deny_count": 2}"#);
    assert_eq!(
        table.says("bob", Verdict::Deny),
        "✖ Bob (@bob) refused K7Q-4M9: no reason given. 1 of 2 refusals end it. 15 min left."
    );
    assert_eq!(table.says("bob", Verdict::Deny), "You already refused K7Q-4M9.");
    assert_eq!(table.record.state, State::Open);
    table.says("carol", Verdict::Deny);
    assert_eq!(table.record.state, State::Denied);
}

#[test]
fn a_no_of_the_requester_withdraws() {
    let mut table = Table::new(SRE2);
    assert_eq!(table.says("alice", Verdict::Deny), "↩ Alice (@alice) withdrew K7Q-4M9. ops.something was not run.");
    assert_eq!(table.record.result().unwrap().0, Status::Canceled);
    let mut table = Table::new(SRE2);
    assert_eq!(
        table.says("bob", Verdict::Withdraw),
        "Bob (@bob), only Alice (@alice) or an administrator can withdraw K7Q-4M9."
    );
}

#[test]
fn unconfirm_then_confirm() {
    let mut table = Table::new(SRE2);
    table.says("bob", Verdict::Grant);
    assert_eq!(
        table.says("bob", Verdict::Unconfirm),
        "↩ Bob (@bob) took back the answer to K7Q-4M9 (0 of 2). 15 min left."
    );
    assert_eq!(table.says("bob", Verdict::Unconfirm), "You have not answered K7Q-4M9.");
    table.says("carol", Verdict::Grant);
    assert_eq!(table.record.state, State::Open);
    table.says("bob", Verdict::Grant);
    assert_eq!(table.record.state, State::Released);
}

#[test]
fn strangers_learn_nothing() {
    let mut table = Table::new(SRE2);
    let outside =
        |table: &mut Table| Answer { place: Some(channel("#random")), ..table.answer("mallory", Verdict::Grant) };
    let answer = outside(&mut table);
    assert_eq!(table.hears(answer), "There is no open confirmation K7Q-4M9.");
    table.says("alice", Verdict::Withdraw);
    let answer = outside(&mut table);
    assert_eq!(table.hears(answer), "There is no open confirmation K7Q-4M9.", "M11_same_text");
}
