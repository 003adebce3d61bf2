//! By which way an answer comes, with which proof, and the broken glass.

use super::*;

#[test]
fn button_with_old_digest_412() {
    let mut table = Table::new("true");
    let answer = Answer { way: Way::Button, digest: Some("0".repeat(16)), ..table.answer("alice", Verdict::Grant) };
    let decision = table.happens(&Event::Answer(Box::new(answer)));
    assert_eq!(decision.outcome.http(), 412);
    let answer =
        Answer { way: Way::Button, digest: Some(table.record.digest.short()), ..table.answer("alice", Verdict::Grant) };
    table.happens(&Event::Answer(Box::new(answer)));
    assert_eq!(table.record.state, State::Released);
}

#[test]
fn button_replay() {
    let mut table = Table::new("true");
    let digest = Some(table.record.digest.short());
    let answer = Answer { way: Way::Button, digest, ..table.answer("alice", Verdict::Grant) };
    table.happens(&Event::Answer(Box::new(answer.clone())));
    assert_eq!(table.record.state, State::Released);
    assert_eq!(table.happens(&Event::Answer(Box::new(answer))).outcome.http(), 409);
}

#[test]
fn phrase_wrong_and_right() {
    let mut table = Table::new(r#"{"by": "requester", "phrase": "{{ params.env }}"}"#);
    assert_eq!(table.says("alice", Verdict::Grant), "Type the confirmation with the name: !confirm K7Q-4M9 <env>");
    let typed =
        |table: &mut Table, text: &str| Answer { rest: Some(text.into()), ..table.answer("alice", Verdict::Grant) };
    let answer = typed(&mut table, "stage");
    assert_eq!(table.hears(answer), "That does not match. Nothing was started.");
    let answer = typed(&mut table, " prod ");
    table.hears(answer);
    assert_eq!(table.record.state, State::Released);
}

#[test]
fn links_and_factors_are_asked_for() {
    let mut table = Table::new(r#"{"by": "role:sre", "min_assurance": "A3"}"#);
    assert_eq!(
        table.says("bob", Verdict::Grant),
        "This needs a second factor. Send me in private: confirm K7Q-4M9 <6 digits>."
    );
    let answer = Answer { assurance: Assurance::A1, ..table.answer("bob", Verdict::Grant) };
    assert!(table.hears(answer).starts_with("Bob (@bob), I do not know your squall account yet. Type !link,"));
    // Stopping needs no factor.
    table.says("bob", Verdict::Deny);
    assert_eq!(table.record.state, State::Denied);
}

/// An answer by a way that the rules do not list decides nothing.
#[track_caller]
fn is_no_way(way: Way) {
    for verdict in [Verdict::Grant, Verdict::Deny] {
        let mut table = Table::new("true");
        let answer = Answer { way, ..table.answer("alice", verdict) };
        let told = table.hears(answer);
        assert_eq!(told, "K7Q-4M9 cannot be answered this way. It can be answered by: command, reply, button.");
        assert_eq!(table.record.state, State::Open);
    }
}

#[test]
fn reaction_off() {
    is_no_way(Way::Reaction);
}

#[test]
fn elicitation_is_off() {
    is_no_way(Way::Elicitation);
}

#[test]
fn an_editor_who_is_excluded() {
    let mut table = Table::new(r#"{"by": "role:sre", "exclude_editor": true}"#);
    assert_eq!(
        table.says("dora", Verdict::Grant),
        "Dora (@dora), you last edited it, so somebody else must approve K7Q-4M9."
    );
}

const GLASS: &str = r#"{"by": "role:sre", "count": 2, "break_glass": {"role": ["incident-commander"]}}"#;

#[test]
fn break_glass() {
    let mut table = Table::new(GLASS);
    let wants = |table: &mut Table, name: &str, reason: &str, assurance| Answer {
        rest: Some(reason.into()),
        assurance,
        ..table.answer(name, Verdict::BreakGlass)
    };
    let why = "the site is down and nobody answers";
    let answer = wants(&mut table, "bob", why, Assurance::A3);
    assert!(table.hears(answer).contains("you cannot approve"));
    let answer = wants(&mut table, "erin", why, Assurance::A2);
    assert!(table.hears(answer).contains("second factor"));
    let answer = wants(&mut table, "erin", "a  b  c  d   e   f   g", Assurance::A3);
    assert!(table.hears(answer).contains("at least 15 characters"));
    table.breaks_today = 3;
    let answer = wants(&mut table, "erin", why, Assurance::A3);
    assert!(table.hears(answer).contains("3 times within a day"));
    table.breaks_today = 0;
    *table.recheck.borrow_mut() = Ok(());
    let answer = wants(&mut table, "erin", why, Assurance::A3);
    let decision = table.happens(&Event::Answer(Box::new(answer)));
    let id = table.record.runs[0].0;
    assert_eq!(
        told(&decision),
        format!(
            "🚨 BREAK GLASS by Erin (@erin): ops.something started as {id} without 2 of role sre. \
             Reason: the site is down and nobody answers. Review until 2023-11-17 22:13:20 UTC: the web page"
        )
    );
    assert!(table.record.bypassed && decision.review_until.is_some());
    assert_eq!(table.audit.last(), Some(&"bypassed"));
}

#[test]
fn break_glass_cannot_skip_the_digest() {
    let mut table = Table::new(GLASS);
    *table.recheck.borrow_mut() = Err(Cause::ActionChanged);
    let answer = Answer {
        rest: Some("the site is down and nobody answers".into()),
        assurance: Assurance::A3,
        ..table.answer("erin", Verdict::BreakGlass)
    };
    table.hears(answer);
    assert_eq!(table.record.state, State::Void);
    let mut table = Table::new("true");
    assert_eq!(table.says("alice", Verdict::BreakGlass), "K7Q-4M9 has no break glass.");
}
