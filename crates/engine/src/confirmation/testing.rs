//! What the tests of this folder share: dice that fall the same every time, and a handful of people.

use super::people::{Directory, Identity, Person, PersonId, Who};
use squall_model::{ActionRef, ExecutionId, Ids};
use std::sync::atomic::{AtomicU64, Ordering};

/// Reproducible ids.
pub(crate) struct Dice(AtomicU64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed))
    }

    fn roll(&self) -> u64 {
        // SplitMix64.
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Ids for Dice {
    fn execution(&self) -> ExecutionId {
        let mut bytes = [0; 12];
        self.fill(&mut bytes);
        ExecutionId(bytes)
    }

    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.roll().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Somebody on Slack.
pub(crate) fn slack(user_id: &str) -> Identity {
    Identity { network: "slack".into(), workspace: Some("T1".into()), user_id: user_id.into() }
}

/// People in memory.
#[derive(Default, Clone)]
pub(crate) struct People {
    pub(crate) all: Vec<Person>,
    pub(crate) on_call: Vec<PersonId>,
}

impl People {
    /// `alice` asks; `bob`, `carol`, `dora` are of role sre; `erin` of role lead; `mallory` of none.
    pub(crate) fn usual() -> People {
        let person = |name: &str, roles: &[&str]| {
            let (first, rest) = name.split_at(1);
            Person {
                name: format!("{}{rest}", first.to_uppercase()),
                handle: Some(name.into()),
                identities: vec![slack(&format!("U-{name}"))],
                roles: roles.iter().map(|r| (*r).to_owned()).collect(),
                ..Person::user(name)
            }
        };
        let all = vec![
            person("alice", &["operator"]),
            person("bob", &["sre"]),
            person("carol", &["sre"]),
            person("dora", &["sre"]),
            person("erin", &["lead", "incident-commander"]),
            person("mallory", &[]),
        ];
        People { all, on_call: Vec::new() }
    }

    pub(crate) fn get(&self, name: &str) -> Person {
        self.person(&PersonId::user(name)).unwrap()
    }

    pub(crate) fn edit(&mut self, name: &str) -> &mut Person {
        self.all.iter_mut().find(|p| p.id == PersonId::user(name)).unwrap()
    }
}

impl Directory for People {
    fn person(&self, id: &PersonId) -> Option<Person> {
        self.all.iter().find(|p| p.id == *id).cloned()
    }
    fn on_call(&self, _: &ActionRef) -> Vec<PersonId> {
        self.on_call.clone()
    }
    fn may_run(&self, person: &Person) -> bool {
        person.active && !person.guest
    }
    fn members(&self, who: &Who) -> Vec<Person> {
        let is_of = |p: &&Person| match who {
            Who::Requester => false,
            Who::Anyone => true,
            Who::User(name) => p.id.user_name() == Some(name),
            Who::Role(name) => p.roles.contains(name),
            Who::Group(name) => p.groups.contains(name),
            Who::OnCall(_) => self.on_call.contains(&p.id),
        };
        self.all.iter().filter(|p| p.active).filter(is_of).cloned().collect()
    }
}
