//! Deadlines, reminders, restarts and what comes late.

use super::*;

#[test]
fn the_deadline_to_the_millisecond() {
    for (ms, state) in [(59_999, State::Released), (60_000, State::Open), (60_001, State::Open)] {
        let mut table = Table::new("true");
        table.at(ms).says("alice", Verdict::Grant);
        assert_eq!(table.record.state, state, "{ms}");
    }
}

#[test]
fn received_before_processed_after_wins() {
    let mut table = Table::new("true");
    table.at(59_999);
    let answer = table.answer("alice", Verdict::Grant);
    table.at(70_000);
    table.hears(answer);
    assert_eq!(table.record.state, State::Released);
}

#[test]
fn sweeper_late_answer_after_the_deadline_loses() {
    let mut table = Table::new("true");
    assert_eq!(
        table.at(63_000).says("alice", Verdict::Grant),
        "⌛ Too late: K7Q-4M9 ended 3 s before your answer (expired). ops.something was not run."
    );
    assert_eq!(
        table.due(Due::Expire),
        "⌛ No confirmation for K7Q-4M9 within 60 s. ops.something was not run. Ask again: !do_something with web1,web2 x"
    );
    assert_eq!(table.record.result().unwrap().0, Status::Timeout);
    assert!(table.says("alice", Verdict::Grant).starts_with("⌛ Too late"));
}

#[test]
fn a_deadline_that_fires_early_is_written_again() {
    let mut table = Table::new("true");
    let decision = table.at(59_999).happens(&Event::Due(Due::Expire));
    assert_eq!(decision.due, [(Due::Expire, at_ms(60_000))]);
    assert!(!decision.changed);
}

#[test]
fn undelivered_expires_with_cause() {
    let mut table = Table::new("true");
    table.record.copies[0].message = None;
    assert!(table.at(60_000).due(Due::Expire).contains("question not delivered"));
    assert_eq!(table.record.ending.unwrap().cause, Some(Cause::NotDelivered));
}

#[test]
fn restart_m23() {
    let mut table = Table::new(SRE2);
    let event = Event::Restarted { away: Duration::from_secs(90), at_most: false };
    assert_eq!(
        told(&table.at(100_000).happens(&event)),
        "I was away for 90 s. K7Q-4M9 is still open, 13 min 20 s left."
    );
    let crashed = Event::Restarted { away: Duration::from_secs(90), at_most: true };
    assert_eq!(
        told(&table.at(200_000).happens(&crashed)),
        "I was away for at most 90 s. K7Q-4M9 is still open, 11 min 40 s left."
    );
    assert_eq!(told(&table.at(900_000).happens(&event)), "");
    assert_eq!(table.record.state, State::Open, "the due row ends it, after answers that came in time");
}

#[test]
fn reminders_and_escalations() {
    let mut table = Table::new(r#"{"by": "role:sre", "escalate": [{"after": "5m", "add_who": {"role": ["lead"]}}]}"#);
    assert_eq!(
        table.at(450_000).due(Due::Remind(0)),
        "⏳ K7Q-4M9 still waits for 1 of role sre: ops.something. 7 min 30 s left."
    );
    assert_eq!(table.due(Due::Remind(0)), "", "a row that fires twice reminds once");
    assert!(table.says("erin", Verdict::Grant).contains("you cannot approve"));
    assert_eq!(table.due(Due::Escalate(0)), "⏫ K7Q-4M9 now also asks role lead: nobody answered for 5 min.");
    table.says("erin", Verdict::Grant);
    assert_eq!(table.record.state, State::Released);
}

#[test]
fn rows_have_numbers() {
    for due in [Due::Expire, Due::Remind(0), Due::Remind(2), Due::Escalate(0), Due::Escalate(7)] {
        assert_eq!(Due::from_number(due.number()), due);
    }
}

#[test]
fn a_delayed_question_moves_the_deadline_once() {
    let mut table = Table::new("true");
    table.record.copies[0].message = None;
    let decision = table.happens(&Event::Delayed(Duration::from_secs(20)));
    assert_eq!(decision.due, [(Due::Expire, at_ms(80_000))]);
    assert!(!table.happens(&Event::Delayed(Duration::from_secs(20))).changed);
    let mut table = Table::new("true");
    assert!(!table.happens(&Event::Delayed(Duration::from_secs(20))).changed, "a copy was sent already");
}
