//! Every state and every event.

use super::*;

/// A record of alice that needs one of role sre, brought into a state by the shortest way.
fn in_state(state: State) -> Table {
    let mut table = Table::new(r#"{"by": "role:sre", "timeout": "60s", "break_glass": {"role": "lead"}}"#);
    match state {
        State::Open => {}
        State::Released => drop(table.says("bob", Verdict::Grant)),
        State::Denied => drop(table.says("bob", Verdict::Deny)),
        State::Expired => drop(table.at(60_000).due(Due::Expire)),
        State::Withdrawn => drop(table.says("alice", Verdict::Withdraw)),
        State::Void => drop(table.happens(&Event::ClockBack(Duration::from_secs(6)))),
    }
    table.now = at_ms(if state == State::Expired { 61_000 } else { 1_000 });
    assert_eq!(table.record.state, state);
    table
}

/// What happens, by name, and the state after it when it happens to an open record one second old.
type Happens = (&'static str, fn(&mut Table) -> Event, State);

const EVENTS: &[Happens] = &[
    ("a yes of somebody who may", |t| answered(t, "carol", Verdict::Grant, Assurance::A2), State::Released),
    ("a yes of somebody who may not", |t| answered(t, "mallory", Verdict::Grant, Assurance::A2), State::Open),
    ("a yes of the requester", |t| answered(t, "alice", Verdict::Grant, Assurance::A2), State::Open),
    ("a yes without a linked account", |t| answered(t, "carol", Verdict::Grant, Assurance::A1), State::Open),
    ("a label's yes", |t| answered(t, "carol", Verdict::Grant, Assurance::A0), State::Open),
    ("a no", |t| answered(t, "carol", Verdict::Deny, Assurance::A2), State::Denied),
    ("a no of somebody who may not", |t| answered(t, "mallory", Verdict::Deny, Assurance::A2), State::Open),
    ("a no of the requester", |t| answered(t, "alice", Verdict::Deny, Assurance::A2), State::Withdrawn),
    ("an answer taken back", |t| answered(t, "carol", Verdict::Unconfirm, Assurance::A2), State::Open),
    ("withdrawn by the requester", |t| answered(t, "alice", Verdict::Withdraw, Assurance::A2), State::Withdrawn),
    ("withdrawn by somebody else", |t| answered(t, "carol", Verdict::Withdraw, Assurance::A2), State::Open),
    ("a broken glass", |t| answered(t, "erin", Verdict::BreakGlass, Assurance::A3), State::Released),
    ("a broken glass without a factor", |t| answered(t, "erin", Verdict::BreakGlass, Assurance::A2), State::Open),
    ("a deadline that fires early", |_| Event::Due(Due::Expire), State::Open),
    ("a reminder", |_| Event::Due(Due::Remind(0)), State::Open),
    ("an escalation that there is none of", |_| Event::Due(Due::Escalate(0)), State::Open),
    ("a cancel", |_| Event::Cancel { by: "Admin".into(), cause: Cause::Canceled }, State::Withdrawn),
    ("the end of the workflow", |_| Event::Cancel { by: String::new(), cause: Cause::WorkflowEnded }, State::Withdrawn),
    ("a look that finds nothing", |_| Event::Recheck, State::Open),
    ("a look that finds a change", |t| drifted(t), State::Void),
    ("stricter rules", |_| Event::Superseded, State::Void),
    ("a wish to ask anew", |_| Event::Reevaluated { by: "Admin".into() }, State::Withdrawn),
    ("a restart", |_| Event::Restarted { away: Duration::from_secs(9), at_most: true }, State::Open),
    ("a store restored from a backup", |_| Event::Restored, State::Void),
    ("a clock corrected by four seconds", |_| Event::ClockBack(Duration::from_secs(4)), State::Open),
    ("a clock set back by six", |_| Event::ClockBack(Duration::from_secs(6)), State::Void),
    ("a question that is there", |_| Event::Delivered { copy: 0, message: "m2".into() }, State::Open),
    ("a question that could not be posted", |_| Event::NotDelivered { copy: 0 }, State::Open),
    ("a network that was slow", |_| Event::Delayed(Duration::from_secs(20)), State::Open),
];

fn answered(table: &mut Table, name: &str, verdict: Verdict, assurance: Assurance) -> Event {
    let rest = Some("nobody answers and it burns".to_owned());
    Event::Answer(Box::new(Answer { assurance, rest, ..table.answer(name, verdict) }))
}

fn drifted(table: &mut Table) -> Event {
    *table.recheck.borrow_mut() = Err(Cause::ActionChanged);
    Event::Recheck
}

#[test]
fn every_state_and_every_event() {
    for state in State::ALL {
        for (name, make, from_open) in EVENTS {
            let mut table = in_state(state);
            let event = make(&mut table);
            let before = table.record.clone();
            let decision = table.happens(&event);
            let expected = if state == State::Open { *from_open } else { state };
            let at = format!("{}, then {name}", state.as_str());
            assert_eq!(decision.record.state, expected, "{at}");
            if state.is_final() {
                // Where a copy of the question stands is still written down; nothing else can change.
                let traces = matches!(event, Event::Delivered { .. } | Event::NotDelivered { .. });
                assert!(traces || decision.record == before, "{at}");
                assert_eq!((decision.effect.clone(), decision.ask_again), (None, false), "{at}");
                let told =
                    matches!(event, Event::Answer(_)) == decision.says.iter().any(|say| !say.text.plain().is_empty());
                assert!(told, "{at}: {:?}", decision.says);
            }
            let ends = state == State::Open && expected.is_final();
            assert_eq!(decision.effect.is_some(), ends, "{at}");
        }
    }
}
