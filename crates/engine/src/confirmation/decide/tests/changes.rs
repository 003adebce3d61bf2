//! What changes while people are asked, and what makes asking impossible.

use super::*;

#[test]
fn pack_reload_voids() {
    let mut table = Table::new("true");
    *table.recheck.borrow_mut() = Err(Cause::ActionChanged);
    let expected = "⛔ K7Q-4M9 is void: the action changed since you were asked. ops.something was not run. Ask again to see the current version.";
    assert_eq!(told(&table.happens(&Event::Recheck)), expected);
    let mut table = Table::new("true");
    *table.recheck.borrow_mut() = Err(Cause::ActionChanged);
    assert_eq!(table.says("alice", Verdict::Grant), expected);
    assert_eq!(table.record.state, State::Void);
    assert_eq!(table.effects, [Effect::End]);
}

#[test]
fn stricter_rules_ask_again() {
    let mut table = Table::new("true");
    let decision = table.happens(&Event::Superseded);
    assert!(decision.ask_again && decision.record.state == State::Void);
    assert!(!table.happens(&Event::Superseded).ask_again);
}

#[test]
fn role_lost_vote_ignored() {
    let mut table = Table::new(SRE2);
    table.says("bob", Verdict::Grant);
    table.people.edit("bob").roles.clear();
    assert_eq!(table.says("carol", Verdict::Grant), "✔ Carol (@carol) approved K7Q-4M9 (1 of 2). 15 min left.");
    table.people.edit("bob").roles.push("sre".into());
    table.says("dora", Verdict::Grant);
    assert_eq!(table.record.state, State::Released);
}

#[test]
fn votes_of_the_deactivated_and_of_unlinked_identities_are_ignored() {
    let mut table = Table::new(SRE2);
    table.says("bob", Verdict::Grant);
    table.people.edit("bob").active = false;
    table.says("carol", Verdict::Grant);
    assert_eq!(table.record.state, State::Open);
    table.people.edit("carol").identities.clear();
    assert!(table.says("dora", Verdict::Grant).contains("(1 of 2)"));
}

#[test]
fn cancel_execution_withdraws() {
    let mut table = Table::new(SRE2);
    let cancel = Event::Cancel { by: "Alice".into(), cause: Cause::Canceled };
    assert_eq!(told(&table.happens(&cancel)), "↩ Alice withdrew K7Q-4M9. ops.something was not run.");
    assert!(!table.happens(&cancel).changed);
}

#[test]
fn workflow_end_withdraws() {
    let mut table = Table::new(SRE2);
    let cancel = Event::Cancel { by: String::new(), cause: Cause::WorkflowEnded };
    assert_eq!(
        told(&table.happens(&cancel)),
        "↩ K7Q-4M9 was withdrawn: its workflow ended. ops.something was not run."
    );
}

#[test]
fn clock_back_6_s_voids() {
    let mut table = Table::new("true");
    assert!(!table.happens(&Event::ClockBack(Duration::from_secs(5))).changed);
    assert!(told(&table.happens(&Event::ClockBack(Duration::from_secs(6)))).contains("the server clock was set back"));
    let mut table = Table::new("true");
    table.at(-1).happens(&Event::Restarted { away: Duration::from_secs(9), at_most: true });
    assert_eq!(table.record.state, State::Void);
}

#[test]
fn impossible_set_refused() {
    let refused = Table::try_new(r#"{"by": "role:sre", "count": 4}"#, People::usual()).err().unwrap();
    assert_eq!(
        refused.plain(),
        "ops.something needs 4 of role sre, but only 3 such people exist besides you. It was not started. Ask an administrator."
    );
}

#[test]
fn yes_too_old_not_started() {
    let mut table = Table::new("true");
    assert!(!table.record.may_start(at_ms(0), None));
    table.says("alice", Verdict::Grant);
    assert!(table.record.may_start(at_ms(3_600_000), None));
    assert!(!table.record.may_start(at_ms(3_600_001), None));
    assert!(table.record.may_start(at_ms(7_200_000), Some(at_ms(7_000_000))));
}
