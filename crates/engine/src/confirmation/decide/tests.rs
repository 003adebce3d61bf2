//! One story per test: who answers what, at which second, and what comes of it.

mod answers;
mod changes;
mod model;
mod states;
mod stored;
mod time;
mod ways;

use super::*;
use crate::confirmation::code::{self, Read};
use crate::confirmation::declare::{Declared, Origin, declared};
use crate::confirmation::policy::join;
use crate::confirmation::testing::{Dice, People, slack};
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
