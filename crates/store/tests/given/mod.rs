//! What the tests of the store write.
#![allow(dead_code)]

use futures::executor::block_on;
use squall_model::{ActionRef, Change, Execution, ExecutionId, Map, Requested, Status, Timestamp, Value};
use squall_store::{
    ApiKey, Batch, Confirmation, Due, DueKind, Factor, Item, ItemScope, Linked, Message, Op, Outgoing, Result, Store,
    Token, User,
};

pub fn id(n: u32) -> ExecutionId {
    ExecutionId::compose(1_700_000_000, [1, 2, 3, 4, 5], n)
}

pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// An execution that was asked for by `ada` at microsecond `n`.
pub fn execution(n: u32) -> Execution {
    let request = Requested {
        action: ActionRef::new("core", "noop"),
        runner: "noop".to_owned(),
        params: Map::from_iter([("message".into(), Value::from("hello"))]),
        context: Map::from_iter([("user".into(), Value::from("ada"))]),
        notify: Value::Null,
        definition: None,
        reply_to: None,
        delay_ms: 0,
        source: String::new(),
        again: None,
        secret: Vec::new(),
    };
    Execution::new(id(n), request, at(i64::from(n)))
}

/// The same, changed.
pub fn execution_with(n: u32, change: impl FnOnce(&mut Execution, &mut Requested)) -> Execution {
    let mut e = execution(n);
    let mut request = (*e.request).clone();
    change(&mut e, &mut request);
    e.request = request.into();
    e
}

pub fn insert(e: Execution) -> Op {
    Op::Insert(Box::new(e))
}

pub fn update(n: u32, version: u32, change: Change) -> Op {
    Op::Update { id: id(n), version, change: Box::new(change) }
}

pub fn becomes(status: Status) -> Change {
    Change { statuses: vec![(at(77), status)], ..Change::default() }
}

pub fn append(n: u32, seq: u64, facts: &[&str]) -> Op {
    Op::Append {
        execution: id(n),
        seq,
        facts: facts.iter().map(|f| (*f).to_owned()).collect(),
        at: at(5),
        secret: false,
    }
}

pub fn due(n: u32, kind: DueKind, number: u32, when: i64) -> Due {
    Due { owner: id(n), root: id(0), kind, number, at: at(when) }
}

pub fn item(scope: ItemScope, name: &str, value: &str, expires: Option<i64>) -> Item {
    Item {
        scope,
        name: name.to_owned(),
        value: value.to_owned(),
        secret: false,
        description: None,
        created: at(1),
        expires: expires.map(at),
    }
}

pub fn set_item(item: Item, now: i64) -> Op {
    Op::SetItem { item: Box::new(item), now: at(now) }
}

pub fn outgoing(network: &str, dedup: &str) -> Outgoing {
    Outgoing {
        id: 0,
        network: network.to_owned(),
        channel: "ops".to_owned(),
        thread: Some("7".to_owned()),
        body: Value::from_pairs([("text", Value::from("done"))]),
        dedup: dedup.to_owned(),
        created: at(1),
        not_before: at(1),
        tries: 0,
    }
}

pub fn message(channel: &str, text: &str, dedup: Option<&str>) -> Message {
    Message {
        channel: channel.to_owned(),
        seq: 0,
        at: at(1),
        author: "ada".to_owned(),
        bot: false,
        whisper: None,
        thread: None,
        body: Value::from_pairs([("text", Value::from(text))]),
        dedup: dedup.map(str::to_owned),
    }
}

pub fn token(n: u8, expires: i64) -> Token {
    Token {
        sha: [n; 32],
        user: "ada".to_owned(),
        created: at(1),
        expires: at(expires),
        execution: Some(id(u32::from(n))),
        data: Value::from_pairs([("service", Value::from("st2client"))]),
    }
}

pub fn user(name: &str, roles: &[&str]) -> User {
    User {
        name: name.to_owned(),
        password: Some(squall_model::Secret::new("$argon2id$…".to_owned())),
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        ..User::new(name, at(1))
    }
}

pub fn linked(user_id: &str, user: &str) -> Linked {
    Linked {
        network: "slack".to_owned(),
        workspace: "T1".to_owned(),
        user_id: user_id.to_owned(),
        user: user.to_owned(),
        linked: at(3),
        how: "admin".to_owned(),
    }
}

pub fn factor(user: &str, step: u64) -> Factor {
    let proof = (step > 5).then(|| ("digest".to_owned(), at(7)));
    Factor { user: user.to_owned(), secret: "C0FFEE".to_owned(), active: step > 5, created: at(1), step, proof }
}

pub fn api_key(id: &str, hash: &str) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        hash: hash.to_owned(),
        user: "ada".to_owned(),
        enabled: true,
        created: at(1),
        metadata: Value::from_pairs([("for", Value::from("ci"))]),
    }
}

/// An open confirmation of execution `n`, asked for by `ada` in `slack/ops` and held back at `held_at`.
pub fn confirmation(name: &str, code: &str, n: u32, held_at: i64) -> Confirmation {
    Confirmation {
        id: name.to_owned(),
        code: code.to_owned(),
        root: id(n),
        executions: vec![id(n)],
        state: Confirmation::OPEN.to_owned(),
        version: 1,
        requester: "ada".to_owned(),
        joins: None,
        network: Some("slack".to_owned()),
        channel: Some("ops".to_owned()),
        held_at: at(held_at),
        expires_at: at(held_at + 100),
        closed_at: None,
        json: format!("{{\"of\":\"{name}\"}}"),
    }
}

/// The next version of a confirmation: closed as `state` at `closed_at`.
pub fn closed(row: &Confirmation, state: &str, closed_at: i64) -> Confirmation {
    Confirmation { state: state.to_owned(), version: row.version + 1, closed_at: Some(at(closed_at)), ..row.clone() }
}

pub fn hold(row: &Confirmation) -> Op {
    Op::PutConfirmation { row: Box::new(row.clone()), expected: None }
}

pub fn change(row: &Confirmation, expected: u64) -> Op {
    Op::PutConfirmation { row: Box::new(row.clone()), expected: Some(expected) }
}

pub fn audit(event: &str, confirmation: Option<&str>, when: i64) -> Op {
    Op::Audit {
        at: at(when),
        event: event.to_owned(),
        person: Some("ada".to_owned()),
        confirmation: confirmation.map(str::to_owned),
        execution: Some(id(1)),
        data: Value::from_pairs([("via", Value::from("terminal"))]),
    }
}

/// Commits a batch and waits.
pub fn commit(store: &dyn Store, ops: impl IntoIterator<Item = Op>) -> Result<()> {
    block_on(store.commit(Batch { ops: ops.into_iter().collect() }))
}

/// Commits a batch that must go through.
#[track_caller]
pub fn given(store: &dyn Store, ops: impl IntoIterator<Item = Op>) {
    commit(store, ops).unwrap();
}

/// What a refused batch says.
#[track_caller]
pub fn refused(store: &dyn Store, ops: impl IntoIterator<Item = Op>) -> String {
    commit(store, ops).unwrap_err().to_string()
}
