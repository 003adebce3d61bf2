//! Random batches: both stores give the same answers and the same rows, whatever shares a transaction.

mod given;

use futures::executor::block_on;
use futures::future::join_all;
use given::*;
use proptest::prelude::*;
use squall_model::{Change, Map, Status, Value};
use squall_store::memory::Memory;
use squall_store::sqlite::{Options, Sqlite};
use squall_store::{
    AuditFilter, Batch, Confirmation, ConfirmationFilter, DueKind, Filter, ItemScope, Op, Order, Page, Store,
};

/// Few ids, keys and times, so that batches meet each other.
const IDS: u32 = 5;

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(&Status::ALL)
}

fn change() -> impl Strategy<Value = Change> {
    let parts = (
        prop::collection::vec((0..9i64, status()), 0..3),
        prop::option::of(0..3u32),
        prop::option::of(0..9i64),
        prop::option::of(prop::option::of(0..9i64)),
        prop::option::of("[a-z]{0,3}"),
        prop::collection::vec(("[ab]", 0..9i64), 0..2),
    );
    parts.prop_map(|(statuses, attempt, started, ended, result, notes)| Change {
        statuses: statuses.into_iter().map(|(when, status)| (at(when), status)).collect(),
        attempt,
        started: started.map(at),
        ended: ended.map(|e| e.map(at)),
        result: result.map(|text| Value::from(text.as_str())),
        spool: None,
        // A request is rewritten whole, and whose it is must not change: the contract looks at it.
        erased: None,
        notes: notes.into_iter().map(|(key, n)| (key.as_str().into(), Value::Int(n))).collect::<Map>(),
    })
}

fn kind() -> impl Strategy<Value = DueKind> {
    prop::sample::select(&DueKind::ALL)
}

fn scope() -> impl Strategy<Value = ItemScope> {
    prop_oneof![Just(ItemScope::System), "[ab]".prop_map(ItemScope::User)]
}

fn op() -> impl Strategy<Value = Op> {
    let execution = (0..IDS, 0..IDS, status(), any::<bool>(), prop::option::of(0..IDS)).prop_map(
        |(n, root, status, workflow, parent)| {
            insert(execution_with(n, |e, request| {
                e.root = id(root);
                e.parent = parent.map(id);
                e.status = status;
                e.created = at(i64::from(n / 2));
                request.definition = workflow.then(|| "ab".to_owned());
                if n % 2 == 0 {
                    request.action = "ops.restart".parse().unwrap();
                }
            }))
        },
    );
    let confirmation = (
        ("[ab]{1,2}", "[xy]", 0..3i64, 1..4u64),
        prop::sample::select(vec!["open", "open", "denied"]),
        prop::option::of(0..3i64),
        prop::option::of("[ab]"),
        prop::collection::vec(0..IDS, 0..3),
        (prop::option::of(1..4u64), prop::option::of("[xy]")),
    )
        .prop_map(|((name, code, day, version), state, closed_at, channel, runs, (expected, joins))| {
            let days = |n: i64| 50_000_000_000 * n;
            let row = Confirmation {
                state: state.to_owned(),
                version,
                closed_at: closed_at.map(|day| at(days(day))),
                requester: if day == 0 { "bob" } else { "ada" }.to_owned(),
                channel,
                executions: runs.into_iter().map(id).collect(),
                joins,
                ..confirmation(&name, &code, u32::from(day == 1), days(day))
            };
            Op::PutConfirmation { row: Box::new(row), expected }
        });
    let key = || (0..IDS, kind(), 0..2u32);
    prop_oneof![
        4 => execution,
        6 => (0..IDS, 0..4u32, change()).prop_map(|(n, version, change)| update(n, version, change)),
        3 => (0..IDS, 0..4u64, 0..3usize).prop_map(|(n, seq, count)| append(n, seq, &["{}"; 3][..count])),
        1 => "[ab]".prop_map(|sha| Op::Definition { text: sha.clone(), sha }),
        2 => (key(), 0..9i64).prop_map(|((n, kind, number), when)| Op::SetDue(due(n, kind, number, when))),
        1 => key().prop_map(|(n, kind, number)| Op::ClearDue { owner: id(n), kind, number }),
        2 => key().prop_map(|(n, kind, number)| Op::TakeDue { owner: id(n), kind, number }),
        2 => (scope(), "[abc]{1,2}", "[a-z]", prop::option::of(0..9i64), 0..9i64)
            .prop_map(|(scope, name, value, expires, now)| set_item(item(scope, &name, &value, expires), now)),
        1 => (scope(), "[abc]{1,2}").prop_map(|(scope, name)| Op::DeleteItem { scope, name }),
        1 => (0..9i64, 0..3u32).prop_map(|(now, limit)| Op::SweepItems { now: at(now), limit }),
        2 => ("[ab]", "[a-d]").prop_map(|(network, dedup)| Op::Post(Box::new(outgoing(&network, &dedup)))),
        1 => (1..4i64).prop_map(|id| Op::Posted { id }),
        1 => (1..4i64, 0..9i64).prop_map(|(id, when)| Op::PostLater { id, at: at(when) }),
        2 => ("[ab]", "[a-z]", prop::option::of("[ab]"))
            .prop_map(|(channel, text, dedup)| Op::Say(Box::new(message(&channel, &text, dedup.as_deref())))),
        1 => ("[a-c]", 0..IDS, 0..3i64)
            .prop_map(|(key, n, day)| Op::Taken { key, execution: id(n), at: at(day * 80_000_000_000) }),
        1 => "[ab]".prop_map(|name| Op::PutUser(Box::new(user(&name, &["r"])))),
        1 => (0..3u8, 0..9i64).prop_map(|(n, expires)| Op::PutToken(Box::new(token(n, expires)))),
        1 => (0..3u8).prop_map(|n| Op::DeleteToken { sha: [n; 32] }),
        1 => "ada|bob".prop_map(|user| Op::DeleteTokensOf { user }),
        1 => "[ab]".prop_map(|name| Op::DeleteUser { name }),
        1 => ("[ab]", any::<bool>()).prop_map(|(name, there)| {
            Op::SameUser { was: there.then(|| Box::new(user(&name, &["r"]))), name }
        }),
        2 => ("[xy]", "[ab]").prop_map(|(user_id, user)| Op::Link(Box::new(linked(&user_id, &user)))),
        1 => ("[xy]", "[ab]").prop_map(|(user_id, user)| {
            Op::Unlink { network: "slack".to_owned(), workspace: "T1".to_owned(), user_id, user }
        }),
        1 => "[ab]".prop_map(|user| Op::UnlinkAll { user }),
        1 => ("[ab]", 0..9u64).prop_map(|(user, step)| Op::PutFactor(Box::new(factor(&user, step)))),
        1 => ("[ab]", 0..9u64, any::<bool>()).prop_map(|(user, step, proof)| {
            Op::UseFactor { user, step, proof: proof.then(|| ("d".to_owned(), at(4))) }
        }),
        1 => "[ab]".prop_map(|user| Op::DeleteFactor { user }),
        2 => ("[ab]", "[hi]").prop_map(|(id, hash)| Op::PutApiKey(Box::new(api_key(&id, &hash)))),
        1 => "[ab]".prop_map(|id| Op::DeleteApiKey { id }),
        1 => "ada|bob".prop_map(|user| Op::DeleteApiKeysOf { user }),
        6 => confirmation,
        2 => (prop::option::of("[ab]"), 0..9i64).prop_map(|(of, when)| audit("vote", of.as_deref(), when)),
        1 => ("[ab]", "[a-z]").prop_map(|(name, value)| Op::PutMeta { name, value }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let sometimes = |n: u32| prop::option::weighted(0.3, 0..n);
    let parts = (
        prop::collection::vec(status(), 0..3),
        sometimes(2),
        sometimes(2),
        sometimes(2),
        sometimes(IDS + 1),
        prop::collection::vec(0..IDS, 0..2),
        (sometimes(3), sometimes(3)),
        any::<bool>(),
    );
    parts.prop_map(|(status, action, user, runner, parent, ids, (since, until), oldest)| Filter {
        action: action.map(|n| ["core.noop", "ops.restart"][n as usize].to_owned()),
        status,
        user: user.map(|n| ["ada", "bob"][n as usize].to_owned()),
        runner: runner.map(|n| ["noop", "other"][n as usize].to_owned()),
        parent: parent.map(|n| (n < IDS).then(|| id(n))),
        ids: ids.into_iter().map(id).collect(),
        since: since.map(|n| at(n.into())),
        until: until.map(|n| at(n.into())),
        order: if oldest { Order::Oldest } else { Order::Newest },
    })
}

/// Everything that can be read, as text.
fn everything(store: &dyn Store) -> String {
    let mut out = String::new();
    let mut line = |what: &dyn std::fmt::Debug| out.push_str(&format!("{what:?}\n"));
    let page = Page { offset: 0, limit: 3 };
    for n in 0..IDS {
        line(&store.execution(id(n)).unwrap());
        line(&store.tree(id(n)).unwrap());
        line(&store.children(id(n)).unwrap());
        line(&store.facts(id(n), 0).unwrap());
        line(&store.facts(id(n), 2).unwrap());
        line(&store.executions(&Filter { parent: Some(Some(id(n))), ..Filter::default() }, page).unwrap());
    }
    for status in Status::ALL {
        line(&store.executions(&Filter { status: vec![status], ..Filter::default() }, page).unwrap());
    }
    let action = Some("ops.restart".to_owned());
    line(&store.executions(&Filter { action, order: Order::Oldest, ..Filter::default() }, page).unwrap());
    line(&store.executions(&Filter { parent: Some(None), ..Filter::default() }, page).unwrap());
    line(&store.unfinished(None, 9).unwrap());
    line(&store.unfinished(Some(id(1)), 2).unwrap());
    for now in 0..9 {
        line(&store.due(at(now), 3).unwrap());
    }
    line(&store.next_due().unwrap());
    for scope in [ItemScope::System, ItemScope::User("a".to_owned()), ItemScope::User("b".to_owned())] {
        for (prefix, now) in [("", 0), ("a", 4), ("b", 8)] {
            line(&store.items(&scope, prefix, at(now), page).unwrap());
        }
    }
    for name in ["a", "b"] {
        line(&store.definition(name).unwrap());
        line(&store.outgoing(name, 0, 9).unwrap());
        line(&store.messages(name, 0, 9).unwrap());
        line(&store.user(name).unwrap());
        line(&store.meta(name).unwrap());
    }
    line(&store.users(page).unwrap());
    line(&store.all_linked(page).unwrap());
    line(&store.has_factors().unwrap());
    line(&store.api_keys(page).unwrap());
    for name in ["a", "b"] {
        line(&store.linked_to(name).unwrap());
        line(&store.factor(name).unwrap());
    }
    for name in ["h", "i", "x", "y", "p", "q"] {
        line(&store.api_key(name).unwrap());
        line(&store.linked("slack", "T1", name).unwrap());
    }
    line(&store.audit_head().unwrap());
    let votes =
        AuditFilter { event: Some("vote".to_owned()), confirmation: Some("a".to_owned()), ..Default::default() };
    line(&store.audit_found(&votes, 2).unwrap());
    let late = AuditFilter { since: Some(at(3)), until: Some(at(7)), before: Some(3), ..Default::default() };
    line(&store.audit_found(&late, 9).unwrap());
    for name in ["a", "b", "aa", "ab", "ba", "bb"] {
        line(&store.confirmation(name).unwrap());
        line(&store.audit_of(name).unwrap());
    }
    for code in ["x", "y"] {
        line(&store.confirmation_by_code(code).unwrap());
    }
    for n in 0..IDS {
        line(&store.confirmation_of(id(n)).unwrap());
    }
    for bits in 0..16 {
        let given = |bit: u32| bits >> bit & 1 == 1;
        let filter = ConfirmationFilter {
            state: given(0).then(|| "open".to_owned()),
            requester: given(1).then(|| "ada".to_owned()),
            channel: given(2).then(|| ("slack".to_owned(), "a".to_owned())),
            root: given(3).then(|| id(1)),
        };
        line(&store.confirmations(&filter, page).unwrap());
        let channel = given(2).then_some(("slack", "a"));
        line(&store.open_confirmations(given(1).then_some("ada"), channel).unwrap());
    }
    line(&store.audit(0, 99).unwrap());
    line(&store.audit(2, 1).unwrap());
    line(&store.verify_audit().unwrap());
    for n in 0..3 {
        line(&store.token(&[n; 32], at(4)).unwrap());
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// SQLite gets all batches at once, so that they share transactions; memory one by one.
    #[test]
    fn both_stores_agree(
        batches in prop::collection::vec(prop::collection::vec(op(), 1..5), 1..40),
        filters in prop::collection::vec(filter(), 20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        // No power is cut here: without syncs it is ten times as fast.
        let options = Options { synchronous: squall_store::sqlite::Synchronous::Off, ..Options::default() };
        let sqlite = Sqlite::open(dir.path(), &options).unwrap();
        let memory = Memory::new();
        let batches: Vec<Batch> = batches.into_iter().map(|ops| Batch { ops }).collect();
        let answers = |outcomes: Vec<squall_store::Result<()>>| -> Vec<String> {
            outcomes.into_iter().map(|o| o.map_or_else(|e| e.to_string(), |()| "ok".to_owned())).collect()
        };
        let grouped = answers(block_on(join_all(batches.iter().cloned().map(|b| sqlite.commit(b)))));
        let single = answers(batches.into_iter().map(|b| block_on(memory.commit(b))).collect());
        prop_assert_eq!(grouped, single);
        prop_assert_eq!(everything(&sqlite), everything(&memory));
        for filter in &filters {
            for page in [Page::default(), Page { offset: 1, limit: 2 }] {
                let (rows, expected) = (sqlite.executions(filter, page), memory.executions(filter, page));
                prop_assert_eq!(rows.unwrap(), expected.unwrap(), "{:?}", filter);
            }
        }
        drop(sqlite);
        let again = Sqlite::open(dir.path(), &options).unwrap();
        prop_assert_eq!(everything(&again), everything(&memory));
    }
}
