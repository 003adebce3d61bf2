//! One story per test: who answers what, at which second, and what comes of it.

use super::*;
use crate::confirmation::code::{self, Read};
use crate::confirmation::declare::{Declared, Origin, declared};
use crate::confirmation::policy::join;
use crate::confirmation::testing::{Dice, People, slack};
use proptest::prelude::*;
use squall_model::{Status, from_json};
use std::cell::RefCell;
use std::collections::BTreeSet;

const START: i64 = 1_700_000_000_000_000;

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(START + ms * 1_000)
}

fn channel(name: &str) -> Place {
    Place { network: "slack".into(), channel: name.into(), thread: None, private: false }
}

/// A table around one record: people, clock, what the recheck says.
struct Table {
    people: People,
    record: Record,
    now: Timestamp,
    recheck: RefCell<Result<(), Cause>>,
    settings: Settings,
    breaks_today: u32,
    seq: u64,
    /// Audit events so far.
    audit: Vec<&'static str>,
    effects: Vec<Effect>,
}

impl Table {
    /// A record as `confirm` (JSON) declares it, asked for by alice in `#ops`.
    fn new(confirm: &str) -> Table {
        Table::try_new(confirm, People::usual()).unwrap_or_else(|text| panic!("{}", text.plain()))
    }

    fn try_new(confirm: &str, people: People) -> Result<Table, Text> {
        let alice = people.get("alice");
        let action = "ops.something".parse().unwrap();
        let Ok(Declared::Rule(rule)) = declared(Origin::Alias(&action), &from_json(confirm, false).unwrap()) else {
            panic!("{confirm}")
        };
        let Read::Code(code) = code::read("K7Q4M9") else { panic!() };
        let settings = Settings { has_factors: true, ..Settings::default() };
        let run = ShownRun {
            action: "ops.something".into(),
            description: Some("Do something to a list of hosts.".into()),
            params: vec![("hostlist".into(), "web1,web2".into()), ("param1".into(), "x".into())],
            ..ShownRun::default()
        };
        let dice = Dice::new(1);
        let opening = Opening {
            id: ConfirmationId::draw(&dice, at_ms(0)),
            code,
            kind: Kind::Gate,
            runs: vec![(squall_model::Ids::execution(&dice), run)],
            digest: Digest([0x9f; 32]),
            requester: Requester {
                person: alice.id.clone(),
                shown: alice.shown(),
                identities: alice.identities.clone(),
                assurance: Assurance::A2,
                agent: None,
                through: None,
                label: None,
            },
            editors: vec![PersonId::user("dora")],
            run_as: "alice".into(),
            source: Source::Chat,
            origin: Some(channel("#ops")),
            command: Some("!do_something with web1,web2 x".into()),
            joined: join(&[rule], true).unwrap().freeze(|text| Ok(text.replace("{{ params.env }}", "prod"))).unwrap(),
            places: Vec::new(),
            secrets: Vec::new(),
            epoch: None,
            task: None,
            retry_of: None,
            found: Default::default(),
            wish: None,
        };
        let world = World {
            now: at_ms(0),
            directory: &people,
            recheck: &|_| Ok(()),
            release_id: "release",
            breaks_today: 0,
            is_barred: false,
            settings: &settings,
        };
        let decision = hold(opening, &world)?;
        let mut record = decision.record;
        record.copies[0].message = Some("m1".into());
        Ok(Table {
            people,
            record,
            now: at_ms(0),
            recheck: RefCell::new(Ok(())),
            settings,
            breaks_today: 0,
            seq: 0,
            audit: vec!["held"],
            effects: Vec::new(),
        })
    }

    fn happens(&mut self, event: &Event) -> Decision {
        let recheck = |_: &Record| self.recheck.borrow().clone();
        let world = World {
            now: self.now,
            directory: &self.people,
            recheck: &recheck,
            release_id: "release",
            breaks_today: self.breaks_today,
            is_barred: false,
            settings: &self.settings,
        };
        let decision = decide(&self.record, event, &world);
        // What is stored can be read back, whatever happened.
        if decision.changed {
            assert_eq!(Record::from_json(&decision.record.to_json()).unwrap(), decision.record);
        }
        self.record = decision.record.clone();
        self.audit.extend(decision.audit.iter().map(|a| a.event));
        self.effects.extend(decision.effect.clone());
        decision
    }

    fn answer(&mut self, name: &str, verdict: Verdict) -> Answer {
        self.seq += 1;
        let by = self.people.get(name);
        Answer {
            verdict,
            identity: by.identities.first().cloned(),
            by,
            assurance: Assurance::A2,
            label: None,
            is_admin: false,
            way: Way::Command,
            place: Some(channel("#ops")),
            message: Some(format!("answer-{}", self.seq)),
            received_at: self.now,
            seq: self.seq,
            digest: None,
            rest: None,
            response: None,
        }
    }

    fn says(&mut self, name: &str, verdict: Verdict) -> String {
        let answer = self.answer(name, verdict);
        self.hears(answer)
    }

    /// What is said in `#ops` about an answer.
    fn hears(&mut self, answer: Answer) -> String {
        told(&self.happens(&Event::Answer(Box::new(answer))))
    }

    fn at(&mut self, ms: i64) -> &mut Table {
        self.now = at_ms(ms);
        self
    }

    fn due(&mut self, due: Due) -> String {
        told(&self.happens(&Event::Due(due)))
    }
}

/// What is said in places and to callers, without edits.
fn told(decision: &Decision) -> String {
    let is_said = |say: &&Say| matches!(say.to, To::Place(_) | To::Caller);
    decision.says.iter().filter(is_said).map(|say| say.text.plain()).collect::<Vec<_>>().join("\n")
}

const SRE2: &str = r#"{"by": "role:sre", "count": 2}"#;

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

#[test]
fn the_api_shows_no_code() {
    let table = Table::new("true");
    let json = squall_model::to_json(&table.record.to_value());
    assert!(!json.contains("K7Q") && json.contains(r#""state":"open""#), "{json}");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let table = Table::new("true");
    let newer = table.record.to_json().replacen("\"v\":2", "\"v\":3", 1);
    assert_eq!(
        Record::from_json(&newer).unwrap_err().to_string(),
        "the confirmation was written by a newer squall (format 3, known is 2)"
    );
}

/// An open question as the version before wrote it is answered by this one.
#[test]
fn record_of_version_1_is_answered_by_2() {
    let mut table = Table::new("true");
    let old = include_str!("record_v1.json").trim_end();
    table.record = Record::from_json(old).unwrap();
    assert_eq!((table.record.v, table.record.state), (1, State::Open));
    table.says("alice", Verdict::Grant);
    assert_eq!(table.record.state, State::Released);
}

// ---- every state and every event ---------------------------------------------------------------------------------

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

// ---- random orders against a small model -----------------------------------------------------------------------

/// Something at a time; times go up.
#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    Say(usize, Verdict),
    /// Received that many milliseconds ago.
    Late(usize, Verdict, i64),
    Expire,
    Cancel,
    Drift(bool),
    Deactivate(usize, bool),
    Restart,
    Remind,
}

const NAMES: [&str; 6] = ["alice", "bob", "carol", "dora", "erin", "mallory"];

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        6 => Just(Verdict::Grant), 1 => Just(Verdict::Deny), 2 => Just(Verdict::Unconfirm), 1 => Just(Verdict::Withdraw)
    ];
    let verdict2 = prop_oneof![4 => Just(Verdict::Grant), 1 => Just(Verdict::Deny)];
    prop_oneof![
        4 => prop_oneof![Just(1i64), Just(100), Just(20_000), Just(40_000)].prop_map(Step::Wait),
        10 => (0usize..6, verdict).prop_map(|(who, verdict)| Step::Say(who, verdict)),
        2 => (0usize..6, verdict2, 0i64..30_000).prop_map(|(who, verdict, ago)| Step::Late(who, verdict, ago)),
        2 => Just(Step::Expire),
        1 => Just(Step::Cancel),
        1 => any::<bool>().prop_map(Step::Drift),
        2 => (1usize..6, any::<bool>()).prop_map(|(who, active)| Step::Deactivate(who, active)),
        1 => Just(Step::Restart),
        1 => Just(Step::Remind),
    ]
}

/// The model: sets and a clock, in as few words as possible. Two of bob, carol, dora; alice asks.
struct Model {
    state: State,
    yes: BTreeSet<usize>,
    inactive: BTreeSet<usize>,
    drift: bool,
}

impl Model {
    fn answer(&mut self, who: usize, verdict: Verdict, received: i64, expires: i64) {
        let approver = (1..=3).contains(&who) && !self.inactive.contains(&who);
        if self.state != State::Open || received >= expires {
            return;
        }
        match verdict {
            Verdict::Grant if approver => {
                self.yes.insert(who);
                let counted = self.yes.iter().filter(|w| !self.inactive.contains(w)).count();
                if counted >= 2 {
                    self.state = if self.drift { State::Void } else { State::Released };
                }
            }
            Verdict::Deny if who == 0 => self.state = State::Withdrawn,
            Verdict::Deny if approver => self.state = State::Denied,
            Verdict::Withdraw if who == 0 => self.state = State::Withdrawn,
            Verdict::Unconfirm => drop(self.yes.remove(&who)),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn random_orders_end_once_and_never_without_the_right_people(steps in prop::collection::vec(step(), 1..24)) {
        let mut table = Table::new(r#"{"by": "role:sre", "count": 2, "timeout": "60s"}"#);
        let mut model = Model { state: State::Open, yes: BTreeSet::new(), inactive: BTreeSet::new(), drift: false };
        let mut now = 0;
        let mut finals = 0;
        for step in steps {
            let before = table.record.clone();
            table.at(now);
            match step {
                Step::Wait(ms) => {
                    now += ms;
                    table.at(now);
                    continue;
                }
                Step::Say(who, verdict) => {
                    table.says(NAMES[who], verdict);
                    model.answer(who, verdict, now, 60_000);
                }
                Step::Late(who, verdict, ago) => {
                    let received = (now - ago).max(0);
                    let answer = Answer { received_at: at_ms(received), ..table.answer(NAMES[who], verdict) };
                    table.hears(answer);
                    model.answer(who, verdict, received, 60_000);
                }
                Step::Expire => {
                    table.due(Due::Expire);
                    if model.state == State::Open && now >= 60_000 {
                        model.state = State::Expired;
                    }
                }
                Step::Cancel => {
                    table.happens(&Event::Cancel { by: String::new(), cause: Cause::Canceled });
                    if model.state == State::Open {
                        model.state = State::Withdrawn;
                    }
                }
                Step::Drift(drift) => {
                    *table.recheck.borrow_mut() = if drift { Err(Cause::ActionChanged) } else { Ok(()) };
                    model.drift = drift;
                }
                Step::Deactivate(who, active) => {
                    table.people.edit(NAMES[who]).active = active;
                    if active { model.inactive.remove(&who); } else { model.inactive.insert(who); }
                }
                Step::Restart => drop(table.happens(&Event::Restarted { away: Duration::from_secs(1), at_most: false })),
                Step::Remind => drop(table.due(Due::Remind(0))),
            }
            let after = &table.record;
            prop_assert_eq!(after.state, model.state);
            if before.state.is_final() {
                prop_assert_eq!(&before, after, "final is final");
            } else if after.state.is_final() {
                finals += 1;
            }
            if after.state == State::Released && before.state == State::Open {
                let people: BTreeSet<_> = after
                    .live(Ballot::Grant)
                    .filter(|v| v.received_at < after.expires_at)
                    .filter(|v| table.people.all.iter().any(|p| p.id == v.person && p.active && p.roles.contains(&"sre".into())))
                    .map(|v| v.person.clone())
                    .collect();
                prop_assert!(people.len() >= 2, "{:?}", people);
                prop_assert!(!people.contains(&after.requester.person));
            }
        }
        prop_assert!(finals <= 1 && table.effects.len() == finals);
    }
}
