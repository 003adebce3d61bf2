//! Random orders against a small model.

use super::*;
use proptest::prelude::*;

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
