//! What every store promises, run on each of them.

mod given;

use given::*;
use squall_model::{Change, Map, Special, Status, Value};
use squall_store::memory::Memory;
use squall_store::sqlite::{Options, Sqlite};
use squall_store::{Confirmation, ConfirmationFilter, DueKind, Filter, ItemScope, Op, Order, Page, Slot, Store, User};

/// Each promise becomes a test for each store.
macro_rules! promises {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(&super::Memory::new()); })*
        }
        mod in_sqlite {
            $(#[test] fn $name() {
                let dir = tempfile::tempdir().unwrap();
                super::$name(&super::Sqlite::open(dir.path(), &super::Options::default()).unwrap());
            })*
        }
    };
}

promises! {
    an_execution_comes_back_as_it_was
    an_id_is_taken_once
    a_change_is_applied_field_by_field
    a_stale_change_is_refused
    a_request_loses_its_secrets
    a_refused_batch_leaves_nothing
    facts_are_numbered_without_gaps
    a_definition_is_stored_once
    a_tree_is_its_workflows_and_what_is_not_final
    unfinished_trees_are_those_with_something_to_do
    listings_filter_sort_and_page
    children_are_oldest_first
    due_rows_are_earliest_first
    a_due_row_fires_once
    no_more_places_are_taken_than_there_are
    an_expired_item_is_invisible
    a_rewritten_item_keeps_its_expiry
    items_are_listed_by_prefix
    sweeping_removes_what_expired
    nothing_is_posted_twice
    outgoing_rows_wait_per_network
    messages_are_numbered_per_channel
    a_request_is_taken_once
    users_and_tokens
    users_are_listed_by_name
    a_change_decided_on_a_user_that_changed_is_refused
    an_identity_is_of_one_user
    a_factors_code_is_used_once
    a_deleted_user_and_its_tokens_are_gone
    a_confirmation_is_written_once_per_version
    reuse_after_24h
    an_open_code_belongs_to_one_confirmation
    equal_ones_are_open_one_at_a_time
    a_code_finds_the_open_confirmation_else_the_newest
    an_execution_finds_its_confirmation
    confirmations_filter_and_page_newest_first
    open_confirmations_are_counted
    audit_rows_are_numbered_and_chained
    a_refused_batch_leaves_no_trace_in_the_audit_log
    meta_is_replaced
    values_without_a_json_form_come_back
    what_could_not_be_read_back_is_refused
    an_empty_batch_is_fine
}

fn an_execution_comes_back_as_it_was(store: &dyn Store) {
    let e = execution_with(1, |e, request| {
        e.root = id(9);
        e.parent = Some(id(8));
        e.run = Some(3);
        e.started = Some(at(-5));
        e.spool = Some("spool/1".to_owned());
        e.result = Value::from("a\u{0}b");
        e.notes.insert("cancelled_by".into(), Value::from("bob"));
        e.version = 4;
        e.attempt = 2;
        request.definition = Some("ab".repeat(32));
        request.notify = Value::from_pairs([("on-complete", Value::map())]);
        request.reply_to = Some(squall_model::ReplyTo {
            network: "slack".to_owned(),
            channel: "C1".to_owned(),
            thread: Some("1.2".to_owned()),
            user: "ada".to_owned(),
            alias: Some("ops.restart".parse().unwrap()),
            message: None,
        });
        request.delay_ms = 1500;
    });
    given(store, [insert(e.clone())]);
    assert_eq!(store.execution(id(1)).unwrap(), Some(e));
    assert_eq!(store.execution(id(2)).unwrap(), None);
}

fn an_id_is_taken_once(store: &dyn Store) {
    given(store, [insert(execution(1))]);
    assert_eq!(refused(store, [insert(execution(1))]), format!("conflict: execution {}: it exists", id(1)));
}

fn a_change_is_applied_field_by_field(store: &dyn Store) {
    let mut e = execution(1);
    given(store, [insert(e.clone())]);
    let note = |key: &str, value: i64| Map::from_iter([(key.into(), Value::Int(value))]);
    let changes = [
        Change { statuses: vec![(at(2), Status::Scheduled), (at(3), Status::Running)], ..Change::default() },
        Change { attempt: Some(1), started: Some(at(4)), spool: Some("s".to_owned()), ..Change::default() },
        Change { notes: note("a", 1), ..Change::default() },
        Change { notes: note("b", 2), ended: Some(Some(at(9))), ..becomes(Status::Failed) },
        Change { notes: note("a", 3), result: Some(Value::from("out")), ..Change::default() },
        Change { ended: Some(None), result: Some(Value::Null), ..becomes(Status::Running) },
        Change::default(),
    ];
    for (version, change) in (0..).zip(changes) {
        given(store, [update(1, version, change.clone())]);
        e.apply(&change);
        assert_eq!(store.execution(id(1)).unwrap().as_ref(), Some(&e), "after change {version}");
    }
}

fn a_stale_change_is_refused(store: &dyn Store) {
    given(store, [insert(execution(1)), update(1, 0, becomes(Status::Running))]);
    let what = format!("conflict: version of {}: decided on 0, but it is 1 (running)", id(1));
    assert_eq!(refused(store, [update(1, 0, becomes(Status::Canceled))]), what);
    let with_note = Change { notes: Map::from_iter([("a".into(), Value::Null)]), ..Change::default() };
    assert_eq!(refused(store, [update(1, 0, with_note)]), what);
    let missing = format!("conflict: version of {}: there is no such execution", id(2));
    assert_eq!(refused(store, [update(2, 0, Change::default())]), missing);
}

fn a_refused_batch_leaves_nothing(store: &dyn Store) {
    given(store, [insert(execution(1)), append(1, 0, &["0"])]);
    given(store, [Op::SetDue(due(1, DueKind::Timer, 1, 10)), set_item(item(ItemScope::System, "k", "v", None), 0)]);
    let before = store.execution(id(1)).unwrap();
    let ops = [
        insert(execution(2)),
        update(1, 0, becomes(Status::Running)),
        append(1, 1, &["1", "2"]),
        Op::Definition { sha: "d".to_owned(), text: "t".to_owned() },
        Op::SetDue(due(1, DueKind::Timer, 1, 20)),
        Op::SetDue(due(1, DueKind::Timer, 2, 5)),
        set_item(item(ItemScope::System, "k", "w", None), 0),
        Op::DeleteItem { scope: ItemScope::System, name: "k".to_owned() },
        Op::Post(Box::new(outgoing("slack", "one"))),
        Op::Say(Box::new(message("ops", "hi", Some("m")))),
        Op::PutUser(Box::new(user("ada", &[]))),
        Op::PutToken(Box::new(token(1, 100))),
        Op::PutMeta { name: "m".to_owned(), value: "1".to_owned() },
        Op::Taken { key: "k".to_owned(), execution: id(2), at: at(1) },
        insert(execution(1)),
    ];
    refused(store, ops);
    assert_eq!(store.execution(id(1)).unwrap(), before);
    assert_eq!(store.execution(id(2)).unwrap(), None);
    assert_eq!(store.facts(id(1), 0).unwrap().len(), 1);
    assert_eq!(store.definition("d").unwrap(), None);
    assert_eq!(store.due(at(100), 9).unwrap(), [due(1, DueKind::Timer, 1, 10)]);
    assert_eq!(store.item(&ItemScope::System, "k", at(0)).unwrap().unwrap().value, "v");
    assert!(store.outgoing("slack", 0, 9).unwrap().is_empty());
    assert!(store.messages("ops", 0, 9).unwrap().is_empty());
    assert_eq!(store.user("ada").unwrap(), None);
    assert_eq!(store.token(&[1; 32], at(0)).unwrap(), None);
    assert_eq!(store.meta("m").unwrap(), None);
    // Keys and numbers are free again.
    given(store, [Op::Post(Box::new(outgoing("slack", "one"))), Op::Say(Box::new(message("ops", "hi", Some("m"))))]);
    given(store, [Op::Taken { key: "k".to_owned(), execution: id(3), at: at(1) }, append(1, 1, &["1"])]);
    assert_eq!(store.outgoing("slack", 0, 9).unwrap()[0].id, 1);
    assert_eq!(store.messages("ops", 0, 9).unwrap()[0].seq, 1);
}

fn facts_are_numbered_without_gaps(store: &dyn Store) {
    given(store, [append(1, 0, &["\"a\"", "\"b\""]), append(1, 2, &["\"c\""])]);
    let texts = |from| store.facts(id(1), from).unwrap().into_iter().map(|f| (f.seq, f.json)).collect::<Vec<_>>();
    assert_eq!(texts(0), [(0, "\"a\"".to_owned()), (1, "\"b\"".to_owned()), (2, "\"c\"".to_owned())]);
    assert_eq!(texts(2), [(2, "\"c\"".to_owned())]);
    assert_eq!(texts(3), []);
    assert_eq!(texts(u64::MAX), []);
    assert_eq!(refused(store, [append(1, 2, &["x"])]), format!("conflict: fact 2 of {}: the next one is 3", id(1)));
    assert_eq!(refused(store, [append(1, 4, &["x"])]), format!("conflict: fact 4 of {}: the next one is 3", id(1)));
    assert_eq!(refused(store, [append(2, 1, &["x"])]), format!("conflict: fact 1 of {}: the next one is 0", id(2)));
}

fn a_definition_is_stored_once(store: &dyn Store) {
    let definition = |text: &str| Op::Definition { sha: "ab".to_owned(), text: text.to_owned() };
    given(store, [definition("version: 1.0"), definition("version: 1.0")]);
    given(store, [definition("version: 1.0")]);
    assert_eq!(store.definition("ab").unwrap().as_deref(), Some("version: 1.0"));
    assert_eq!(store.definition("cd").unwrap(), None);
}

fn a_tree_is_its_workflows_and_what_is_not_final(store: &dyn Store) {
    let node = |n: u32, status: Status, workflow: bool| {
        insert(execution_with(n, |e, request| {
            e.root = id(1);
            e.parent = (n != 1).then(|| id(1));
            e.status = status;
            request.definition = workflow.then(|| "ab".to_owned());
        }))
    };
    given(store, [node(1, Status::Succeeded, false), node(5, Status::Running, false)]);
    given(store, [node(4, Status::Succeeded, true), node(3, Status::Failed, false), node(2, Status::Pending, true)]);
    given(store, [insert(execution(9))]);
    let ids = |root| store.tree(id(root)).unwrap().into_iter().map(|e| e.id).collect::<Vec<_>>();
    assert_eq!(ids(1), [id(1), id(2), id(4), id(5)]);
    assert_eq!(ids(9), [id(9)]);
    assert_eq!(ids(7), []);
}

fn unfinished_trees_are_those_with_something_to_do(store: &dyn Store) {
    let status = |n: u32, root: u32, status: Status| {
        insert(execution_with(n, |e, _| {
            e.root = id(root);
            e.status = status;
        }))
    };
    given(store, [status(1, 1, Status::Pending), status(2, 2, Status::Running), status(3, 2, Status::Running)]);
    given(store, [status(4, 4, Status::Succeeded), status(5, 4, Status::Canceling), status(6, 6, Status::Delayed)]);
    given(store, [status(7, 7, Status::Paused), status(8, 8, Status::Requested)]);
    assert_eq!(store.unfinished(None, 9).unwrap(), [id(2), id(4), id(8)]);
    assert_eq!(store.unfinished(None, 2).unwrap(), [id(2), id(4)]);
    assert_eq!(store.unfinished(Some(id(4)), 9).unwrap(), [id(8)]);
    given(store, [update(1, 0, becomes(Status::Scheduled)), update(8, 0, becomes(Status::Failed))]);
    assert_eq!(store.unfinished(None, 9).unwrap(), [id(1), id(2), id(4)]);
}

fn listings_filter_sort_and_page(store: &dyn Store) {
    for n in 0..12 {
        let e = execution_with(n, |e, request| {
            // Two of each time, so that the id decides.
            e.created = at(i64::from(n / 2));
            e.parent = (n % 3 == 0).then(|| id(100));
            e.status = if n % 4 == 0 { Status::Failed } else { Status::Running };
            if n % 2 == 0 {
                request.action = "ops.restart".parse().unwrap();
                request.runner = "python-script".to_owned();
                request.context.insert("user".into(), Value::from("bob"));
            }
        });
        given(store, [insert(e)]);
    }
    let check = |filter: &Filter, expected: &[u32]| {
        let expected: Vec<_> = expected.iter().map(|n| id(*n)).collect();
        let (rows, count) = store.executions(filter, Page::default()).unwrap();
        assert_eq!(rows.iter().map(|e| e.id).collect::<Vec<_>>(), expected, "{filter:?}");
        assert_eq!(count, expected.len() as u64, "{filter:?}");
        let (rows, count) = store.executions(filter, Page { offset: 1, limit: 2 }).unwrap();
        let page: Vec<_> = expected.iter().skip(1).take(2).copied().collect();
        assert_eq!(rows.iter().map(|e| e.id).collect::<Vec<_>>(), page, "{filter:?}");
        assert_eq!(count, expected.len() as u64, "{filter:?}");
    };
    let none = Filter::default();
    check(&none, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    check(&Filter { order: Order::Oldest, ..none.clone() }, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    check(&Filter { action: Some("ops.restart".to_owned()), ..none.clone() }, &[10, 8, 6, 4, 2, 0]);
    check(&Filter { runner: Some("noop".to_owned()), ..none.clone() }, &[11, 9, 7, 5, 3, 1]);
    check(&Filter { user: Some("bob".to_owned()), ..none.clone() }, &[10, 8, 6, 4, 2, 0]);
    check(&Filter { status: vec![Status::Failed], ..none.clone() }, &[8, 4, 0]);
    check(&Filter { status: vec![Status::Running, Status::Paused], ..none.clone() }, &[11, 10, 9, 7, 6, 5, 3, 2, 1]);
    check(&Filter { status: vec![Status::Succeeded, Status::Failed], ..none.clone() }, &[8, 4, 0]);
    check(&Filter { parent: Some(None), ..none.clone() }, &[11, 10, 8, 7, 5, 4, 2, 1]);
    check(&Filter { parent: Some(Some(id(100))), ..none.clone() }, &[9, 6, 3, 0]);
    check(&Filter { ids: vec![id(3), id(50), id(7)], ..none.clone() }, &[7, 3]);
    check(&Filter { since: Some(at(2)), until: Some(at(3)), ..none.clone() }, &[7, 6, 5, 4]);
    let action = Some("ops.restart".to_owned());
    check(&Filter { action: action.clone(), status: vec![Status::Running], ..none.clone() }, &[10, 6, 2]);
    check(&Filter { action, user: Some("ada".to_owned()), ..none }, &[]);
}

fn children_are_oldest_first(store: &dyn Store) {
    let child = |n: u32, created: i64| {
        insert(execution_with(n, |e, _| {
            e.parent = Some(id(1));
            e.created = at(created);
        }))
    };
    given(store, [insert(execution(1)), child(2, 30), child(3, 20), child(4, 20)]);
    assert_eq!(store.children(id(1)).unwrap(), [id(3), id(4), id(2)]);
    assert_eq!(store.children(id(2)).unwrap(), []);
}

fn due_rows_are_earliest_first(store: &dyn Store) {
    assert_eq!(store.next_due().unwrap(), None);
    let rows = [
        due(1, DueKind::Timer, 2, 30),
        due(1, DueKind::Start, 0, 10),
        due(2, DueKind::Deadline, 0, 10),
        due(3, DueKind::Finish, 1, 20),
    ];
    given(store, rows.iter().cloned().map(Op::SetDue));
    assert_eq!(store.next_due().unwrap(), Some(at(10)));
    assert_eq!(store.due(at(9), 9).unwrap(), []);
    assert_eq!(store.due(at(20), 9).unwrap(), [rows[1].clone(), rows[2].clone(), rows[3].clone()]);
    assert_eq!(store.due(at(99), 1).unwrap(), [rows[1].clone()]);
    // The same key again moves it.
    given(store, [Op::SetDue(due(1, DueKind::Timer, 2, 5))]);
    assert_eq!(store.next_due().unwrap(), Some(at(5)));
    assert_eq!(store.due(at(99), 9).unwrap().len(), 4);
}

fn no_more_places_are_taken_than_there_are(store: &dyn Store) {
    let slot = |n: u32, taken: bool| Op::PutSlot {
        slot: Box::new(Slot { name: "few".into(), execution: id(n), root: id(9), at: at(i64::from(n)), taken }),
        limit: 2,
    };
    given(store, [slot(1, true), slot(2, true), slot(4, false), slot(3, false)]);
    let why = refused(store, [slot(3, true)]);
    assert!(why.contains("all 2 are taken"), "{why}");
    given(store, [slot(2, true)]);
    let (taken, waiting) = store.slots("few", 1).unwrap();
    assert_eq!((taken, waiting.len(), waiting[0].execution), (2, 1, id(3)), "the first who waits");
    given(store, [Op::FreeSlots { execution: id(1) }, slot(3, true)]);
    let (taken, waiting) = store.slots("few", 9).unwrap();
    assert_eq!((taken, waiting.len()), (2, 1));
    assert_eq!(store.slot_names().unwrap(), ["few"]);
    given(store, [2, 3, 4].map(|n| Op::FreeSlots { execution: id(n) }));
    assert!(store.slot_names().unwrap().is_empty());
}

fn a_due_row_fires_once(store: &dyn Store) {
    let take = || Op::TakeDue { owner: id(1), kind: DueKind::Timer, number: 1 };
    let clear = || Op::ClearDue { owner: id(1), kind: DueKind::Timer, number: 1 };
    given(store, [Op::SetDue(due(1, DueKind::Timer, 1, 10))]);
    given(store, [take()]);
    assert_eq!(refused(store, [take()]), format!("conflict: Timer 1 of {}: it is gone", id(1)));
    given(store, [clear()]);
    assert_eq!(store.next_due().unwrap(), None);
}

fn an_expired_item_is_invisible(store: &dyn Store) {
    given(store, [set_item(item(ItemScope::System, "k", "v", Some(1000)), 0)]);
    let visible = |now| store.item(&ItemScope::System, "k", at(now)).unwrap().is_some();
    assert!(visible(999));
    assert!(!visible(1000));
    let listed = |now| store.items(&ItemScope::System, "", at(now), Page::default()).unwrap();
    assert_eq!((listed(999).1, listed(1000).1), (1, 0));
}

fn a_rewritten_item_keeps_its_expiry(store: &dyn Store) {
    let set = |value: &str, expires, now| set_item(item(ItemScope::System, "k", value, expires), now);
    let expiry = || store.item(&ItemScope::System, "k", at(0)).unwrap().unwrap().expires;
    given(store, [set("a", Some(100), 0)]);
    given(store, [set("b", None, 99)]);
    assert_eq!(expiry(), Some(at(100)));
    given(store, [set("c", Some(50), 99)]);
    assert_eq!(expiry(), Some(at(50)));
    given(store, [set("d", None, 50)]);
    assert_eq!(expiry(), None, "an expiry that has passed is not taken over");
}

fn items_are_listed_by_prefix(store: &dyn Store) {
    let bob = ItemScope::User("bob".to_owned());
    for name in ["web:1", "web:2", "web", "wec", "we", "web\u{10ffff}", "web\u{10ffff}x", "ä", "%"] {
        given(store, [set_item(item(ItemScope::System, name, "v", None), 0)]);
    }
    given(store, [set_item(item(bob.clone(), "web:3", "v", None), 0)]);
    let names = |scope: &ItemScope, prefix: &str| {
        let (items, count) = store.items(scope, prefix, at(0), Page::default()).unwrap();
        assert_eq!(count, items.len() as u64);
        items.into_iter().map(|i| i.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&ItemScope::System, "web:"), ["web:1", "web:2"]);
    assert_eq!(names(&ItemScope::System, "web"), ["web", "web:1", "web:2", "web\u{10ffff}", "web\u{10ffff}x"]);
    assert_eq!(names(&ItemScope::System, "web\u{10ffff}"), ["web\u{10ffff}", "web\u{10ffff}x"]);
    assert_eq!(names(&ItemScope::System, "%"), ["%"]);
    assert_eq!(names(&ItemScope::System, "").len(), 9);
    assert_eq!(names(&bob, ""), ["web:3"]);
    assert_eq!(names(&ItemScope::User("bo".to_owned()), "").len(), 0);
    let (page, count) = store.items(&ItemScope::System, "web", at(0), Page { offset: 1, limit: 2 }).unwrap();
    assert_eq!((page.len(), page[0].name.as_str(), count), (2, "web:1", 5));
}

fn sweeping_removes_what_expired(store: &dyn Store) {
    for (name, expires) in [("a", Some(10)), ("b", Some(20)), ("c", Some(30)), ("d", None)] {
        given(store, [set_item(item(ItemScope::System, name, "v", expires), 0)]);
    }
    let left = || store.items(&ItemScope::System, "", at(0), Page::default()).unwrap().1;
    given(store, [Op::SweepItems { now: at(20), limit: 1 }]);
    assert_eq!(left(), 3);
    given(store, [Op::SweepItems { now: at(20), limit: 10 }]);
    assert_eq!(left(), 2);
    given(store, [Op::DeleteItem { scope: ItemScope::System, name: "d".to_owned() }]);
    given(store, [Op::DeleteItem { scope: ItemScope::System, name: "d".to_owned() }]);
    assert_eq!(left(), 1);
}

fn nothing_is_posted_twice(store: &dyn Store) {
    let post = || Op::Post(Box::new(outgoing("slack", "result of 1")));
    given(store, [post(), post()]);
    given(store, [post()]);
    let waiting = store.outgoing("slack", 0, 9).unwrap();
    assert_eq!(waiting.len(), 1);
    given(store, [Op::Posted { id: waiting[0].id }]);
    given(store, [post()]);
    assert!(store.outgoing("slack", 0, 9).unwrap().is_empty(), "a key that was posted stays used");
    let gone = format!("conflict: outgoing {}: it is gone", waiting[0].id);
    assert_eq!(refused(store, [Op::Posted { id: waiting[0].id }]), gone);
    assert_eq!(refused(store, [Op::PostLater { id: waiting[0].id, at: at(5) }]), gone);
}

fn outgoing_rows_wait_per_network(store: &dyn Store) {
    for (network, dedup) in [("slack", "a"), ("irc", "b"), ("slack", "c"), ("slack", "d")] {
        given(store, [Op::Post(Box::new(outgoing(network, dedup)))]);
    }
    let keys = |network: &str, after, limit| {
        store.outgoing(network, after, limit).unwrap().into_iter().map(|o| o.dedup).collect::<Vec<_>>()
    };
    assert_eq!(keys("slack", 0, 9), ["a", "c", "d"]);
    assert_eq!(keys("slack", 0, 2), ["a", "c"]);
    let first = store.outgoing("slack", 0, 1).unwrap().remove(0);
    assert_eq!(keys("slack", first.id, 9), ["c", "d"]);
    given(store, [Op::PostLater { id: first.id, at: at(500) }]);
    let later = store.outgoing("slack", 0, 1).unwrap().remove(0);
    assert_eq!((later.tries, later.not_before), (1, at(500)));
    assert_eq!((later.body, later.thread), (first.body, first.thread));
}

fn messages_are_numbered_per_channel(store: &dyn Store) {
    for (channel, text, dedup) in
        [("ops", "one", None), ("dev", "other", None), ("ops", "two", Some("x")), ("ops", "again", Some("x"))]
    {
        given(store, [Op::Say(Box::new(message(channel, text, dedup)))]);
    }
    given(store, [Op::Say(Box::new(message("ops", "three", None)))]);
    given(store, [Op::Say(Box::new(message("dev", "same key, other channel", Some("x"))))]);
    let texts = |channel: &str, after, limit| {
        let messages = store.messages(channel, after, limit).unwrap();
        messages.into_iter().map(|m| (m.seq, m.body.get("text").unwrap().clone())).collect::<Vec<_>>()
    };
    let text = |seq: i64, text: &str| (seq, Value::from(text));
    assert_eq!(texts("ops", 0, 9), [text(1, "one"), text(2, "two"), text(3, "three")]);
    assert_eq!(texts("ops", 0, 2), [text(2, "two"), text(3, "three")], "the newest, in order");
    assert_eq!(texts("ops", 2, 9), [text(3, "three")]);
    assert_eq!(texts("dev", 0, 9).len(), 2);
    assert_eq!(texts("none", 0, 9), []);
}

fn a_request_is_taken_once(store: &dyn Store) {
    let day = 86_400_000_000;
    let taken = |key: &str, n, when| Op::Taken { key: key.to_owned(), execution: id(n), at: at(when) };
    given(store, [taken("slack/C1/1", 1, 0)]);
    assert_eq!(refused(store, [taken("slack/C1/1", 2, day)]), format!("already taken as {}", id(1)));
    given(store, [taken("slack/C1/2", 2, day + 1)]);
    given(store, [taken("slack/C1/1", 3, day + 2)]);
}

fn users_and_tokens(store: &dyn Store) {
    given(store, [Op::PutUser(Box::new(user("ada", &["admin"])))]);
    assert_eq!(store.user("ada").unwrap(), Some(user("ada", &["admin"])));
    let shown = User { shown: Some("Ada L.".to_owned()), groups: vec!["night".to_owned()], ..user("ada", &[]) };
    given(store, [Op::PutUser(Box::new(shown.clone()))]);
    assert_eq!(store.user("ada").unwrap(), Some(shown));
    assert_eq!(store.user("bob").unwrap(), None);

    given(store, [Op::PutToken(Box::new(token(1, 100)))]);
    assert_eq!(store.token(&[1; 32], at(99)).unwrap(), Some(token(1, 100)));
    assert_eq!(store.token(&[1; 32], at(100)).unwrap(), None);
    assert_eq!(store.token(&[2; 32], at(0)).unwrap(), None);
    given(store, [Op::DeleteToken { sha: [1; 32] }, Op::DeleteToken { sha: [2; 32] }]);
    assert_eq!(store.token(&[1; 32], at(0)).unwrap(), None);
}

fn users_are_listed_by_name(store: &dyn Store) {
    assert_eq!(store.users(Page::default()).unwrap(), (vec![], 0));
    given(store, ["dora", "ada", "bob"].map(|name| Op::PutUser(Box::new(user(name, &[])))));
    let (page, count) = store.users(Page { offset: 1, limit: 5 }).unwrap();
    assert_eq!((page, count), (vec![user("bob", &[]), user("dora", &[])], 3));
}

fn a_deleted_user_and_its_tokens_are_gone(store: &dyn Store) {
    let of = |name: &str, n: u8| {
        let mut token = token(n, 100);
        token.user = name.to_owned();
        Op::PutToken(Box::new(token))
    };
    given(store, [Op::PutUser(Box::new(user("ada", &[]))), of("ada", 1), of("ada", 2), of("bob", 3)]);
    let delete = || [Op::DeleteTokensOf { user: "ada".to_owned() }, Op::DeleteUser { name: "ada".to_owned() }];
    refused(store, delete().into_iter().chain([append(9, 7, &["{}"])]));
    assert!(store.user("ada").unwrap().is_some() && store.token(&[2; 32], at(0)).unwrap().is_some());
    given(store, delete());
    given(store, delete());
    assert_eq!(store.user("ada").unwrap(), None);
    let left = [1, 2, 3].map(|n| store.token(&[n; 32], at(0)).unwrap().is_some());
    assert_eq!(left, [false, false, true]);
}

fn a_change_decided_on_a_user_that_changed_is_refused(store: &dyn Store) {
    let same = |was: Option<User>| Op::SameUser { name: "ada".to_owned(), was: was.map(Box::new) };
    given(store, [same(None), Op::PutUser(Box::new(user("ada", &["a"])))]);
    assert_eq!(refused(store, [same(None)]), "conflict: user ada: it was changed");
    assert_eq!(refused(store, [same(Some(user("ada", &[])))]), "conflict: user ada: it was changed");
    given(store, [same(Some(user("ada", &["a"]))), Op::PutUser(Box::new(user("ada", &["b"])))]);
    assert_eq!(store.user("ada").unwrap(), Some(user("ada", &["b"])));
}

fn an_identity_is_of_one_user(store: &dyn Store) {
    given(store, [Op::Link(Box::new(linked("U1", "ada"))), Op::Link(Box::new(linked("U2", "ada")))]);
    assert_eq!(store.linked("slack", "T1", "U1").unwrap(), Some(linked("U1", "ada")));
    assert_eq!(store.linked("slack", "", "U1").unwrap(), None);
    given(store, [Op::Link(Box::new(linked("U1", "bob")))]);
    assert_eq!(store.linked_to("ada").unwrap(), [linked("U2", "ada")]);
    let unlink = |user: &str| Op::Unlink {
        network: "slack".to_owned(),
        workspace: "T1".to_owned(),
        user_id: "U1".to_owned(),
        user: user.to_owned(),
    };
    assert_eq!(refused(store, [unlink("ada")]), "conflict: identity slack:U1: it is not of ada");
    given(store, [unlink("bob"), Op::UnlinkAll { user: "ada".to_owned() }]);
    assert_eq!(store.all_linked(Page::default()).unwrap(), (vec![], 0));
}

fn a_factors_code_is_used_once(store: &dyn Store) {
    let of = |step| Op::UseFactor { user: "ada".to_owned(), step, proof: Some(("d".to_owned(), at(5))) };
    assert_eq!(refused(store, [of(1)]), "conflict: factor of ada: that code was used");
    given(store, [Op::PutFactor(Box::new(factor("ada", 0)))]);
    assert!(!store.has_factors().unwrap(), "it counts only after a first code");
    given(store, [of(3)]);
    assert!(store.has_factors().unwrap());
    for again in [3, 2] {
        assert_eq!(refused(store, [of(again)]), "conflict: factor of ada: that code was used");
    }
    given(store, [of(4)]);
    let known = store.factor("ada").unwrap().unwrap();
    assert_eq!((known.active, known.step, known.proof), (true, 4, Some(("d".to_owned(), at(5)))));
    given(store, [Op::DeleteFactor { user: "ada".to_owned() }]);
    assert_eq!(store.factor("ada").unwrap(), None);
}

const A: &str = "01HF0000000000000000000001";
const B: &str = "01HF0000000000000000000002";
const C: &str = "01HF0000000000000000000003";

fn a_request_loses_its_secrets(store: &dyn Store) {
    let mut old = execution(1);
    let request = std::sync::Arc::make_mut(&mut old.request);
    request.params.insert("pin".into(), "hush".into());
    given(store, [Op::Insert(Box::new(old.clone())), update(1, 0, becomes(Status::Succeeded))]);
    let mut request = (*old.request).clone();
    request.params.insert("pin".into(), "********".into());
    let erased = Change { erased: Some(std::sync::Arc::new(request.clone())), ..Change::default() };
    assert!(refused(store, [update(1, 0, erased.clone())]).starts_with("conflict: version of"), "decided on what was");
    given(store, [update(1, 1, erased)]);
    let now = store.execution(id(1)).unwrap().expect("it is there");
    assert_eq!((&*now.request, now.status, now.version), (&request, Status::Succeeded, 2));
}

fn a_confirmation_is_written_once_per_version(store: &dyn Store) {
    let row = confirmation(A, "K7Q4M9", 1, 10);
    given(store, [hold(&row)]);
    assert_eq!(store.confirmation(A).unwrap(), Some(row.clone()));
    assert_eq!(store.confirmation(B).unwrap(), None);
    let again = Confirmation { code: "ZZZZZZ".to_owned(), ..row.clone() };
    assert_eq!(refused(store, [hold(&again)]), format!("conflict: confirmation {A}: it exists"));

    let granted = closed(&row, "released", 20);
    given(store, [change(&granted, 1)]);
    assert_eq!(store.confirmation(A).unwrap(), Some(granted.clone()));
    let late = closed(&row, "denied", 21);
    let stale = format!("conflict: version of confirmation {A}: decided on 1, but it is 2 (released)");
    assert_eq!(refused(store, [change(&late, 1)]), stale);
    assert_eq!(store.confirmation(A).unwrap(), Some(granted));
    let none = format!("conflict: version of confirmation {B}: there is no such confirmation");
    assert_eq!(refused(store, [change(&confirmation(B, "AAAAAA", 2, 1), 1)]), none);
    let large = Confirmation { version: u64::MAX, ..confirmation(B, "AAAAAA", 2, 1) };
    assert!(refused(store, [hold(&large)]).starts_with(&format!("damaged version of confirmation {B}")));
}

fn reuse_after_24h(store: &dyn Store) {
    let day = 86_400_000_000;
    let first = confirmation(A, "K7Q4M9", 1, 10);
    given(store, [hold(&first)]);
    let taken = "conflict: code K7Q4M9: another confirmation has it";
    assert_eq!(refused(store, [hold(&confirmation(B, "K7Q4M9", 2, 50 * day))]), taken, "it is open");
    given(store, [change(&closed(&first, "expired", 20), 1)]);
    assert_eq!(refused(store, [hold(&confirmation(B, "K7Q4M9", 2, 19 + day))]), taken, "it was closed of late");
    given(store, [hold(&confirmation(B, "K7Q4M9", 2, 20 + day))]);
}

fn an_open_code_belongs_to_one_confirmation(store: &dyn Store) {
    let (first, second) = (confirmation(A, "K7Q4M9", 1, 10), confirmation(B, "H2H2H2", 2, 10));
    given(store, [hold(&first), hold(&second)]);
    let other = Confirmation { code: "K7Q4M9".to_owned(), version: 2, ..second.clone() };
    assert_eq!(refused(store, [change(&other, 1)]), "conflict: code K7Q4M9: another confirmation has it");
    let both = [hold(&confirmation(C, "333333", 3, 1)), change(&closed(&first, "denied", 20), 1), change(&other, 7)];
    refused(store, both);
    assert_eq!(store.confirmation(A).unwrap(), Some(first.clone()), "nothing of a refused batch is left");
    assert_eq!(store.confirmation_by_code("333333").unwrap(), None);
    assert_eq!(store.confirmation_of(id(3)).unwrap(), None);
    given(store, [change(&closed(&first, "denied", 20), 1), change(&other, 1)]);
    assert_eq!(store.confirmation_by_code("H2H2H2").unwrap(), None);
}

fn equal_ones_are_open_one_at_a_time(store: &dyn Store) {
    let equal = |name, code, n| Confirmation { joins: Some("ada/9f2a".to_owned()), ..confirmation(name, code, n, 10) };
    let (first, second) = (equal(A, "K7Q4M9", 1), equal(B, "H2H2H2", 2));
    given(store, [hold(&first)]);
    let is_open = format!("conflict: equal of confirmation {B}: it is open");
    assert_eq!(refused(store, [hold(&second)]), is_open);
    given(store, [hold(&Confirmation { joins: Some("bob/9f2a".to_owned()), ..second.clone() })]);
    assert_eq!(refused(store, [change(&Confirmation { version: 2, ..second.clone() }, 1)]), is_open);
    given(store, [change(&closed(&first, "denied", 20), 1), change(&Confirmation { version: 2, ..second }, 1)]);
    let again = Confirmation { joins: first.joins.clone(), version: 3, ..first };
    let is_open = format!("conflict: equal of confirmation {A}: it is open");
    assert_eq!(refused(store, [change(&again, 2)]), is_open);
}

fn a_code_finds_the_open_confirmation_else_the_newest(store: &dyn Store) {
    let day = 86_400_000_000;
    let rows =
        [confirmation(B, "K7Q4M9", 1, 0), confirmation(A, "K7Q4M9", 2, 2 * day), confirmation(C, "K7Q4M9", 3, day)];
    let found = |code| store.confirmation_by_code(code).unwrap().map(|row| row.id);
    given(store, [hold(&rows[0]), change(&closed(&rows[0], "denied", 0), 1)]);
    assert_eq!(found("K7Q4M9").as_deref(), Some(B));
    given(store, [hold(&rows[1]), change(&closed(&rows[1], "denied", 2 * day), 1)]);
    assert_eq!(found("K7Q4M9").as_deref(), Some(A));
    assert_eq!(found("k7q4m9"), None, "codes are compared as they are");
    // Held back with a code whose other owner is long closed, though that was held back later.
    let old = closed(&rows[1], "denied", 0);
    given(store, [change(&Confirmation { version: 3, ..old }, 2), hold(&rows[2])]);
    assert_eq!(found("K7Q4M9").as_deref(), Some(C));
}

fn an_execution_finds_its_confirmation(store: &dyn Store) {
    let first = Confirmation { executions: vec![id(3), id(1), id(2)], ..confirmation(A, "K7Q4M9", 9, 10) };
    given(store, [hold(&first)]);
    let found = |n| store.confirmation_of(id(n)).unwrap().map(|row| row.id);
    assert_eq!(store.confirmation_of(id(2)).unwrap(), Some(first.clone()), "the list keeps its order");
    assert_eq!(found(9), None, "a tree is not held back as such");
    let fewer = Confirmation { executions: vec![id(4), id(1)], version: 2, ..first.clone() };
    given(store, [change(&fewer, 1)]);
    assert_eq!([1, 2, 3, 4].map(|n| found(n).is_some()), [true, false, false, true]);
    given(store, [change(&Confirmation { version: 3, ..closed(&fewer, "void", 30) }, 2)]);
    given(store, [hold(&confirmation(B, "H2H2H2", 1, 5))]);
    assert_eq!(found(1).as_deref(), Some(B), "the open one, though the other is newer");
    assert_eq!(found(4).as_deref(), Some(A));
}

/// Five confirmations: two requesters, two channels and none, two trees, one closed.
fn some_confirmations(store: &dyn Store) {
    let names = ["1", "2", "3", "4", "5"];
    let mut rows = names.map(|n| confirmation(n, n, 1, n.parse().unwrap()));
    rows[1].requester = "bob".to_owned();
    rows[2].channel = Some("dev".to_owned());
    (rows[3].network, rows[3].channel, rows[3].root) = (None, None, id(2));
    rows[4].held_at = rows[3].held_at;
    given(store, rows.iter().map(hold));
    given(store, [change(&closed(&rows[0], "denied", 9), 1)]);
}

fn confirmations_filter_and_page_newest_first(store: &dyn Store) {
    some_confirmations(store);
    let all = ConfirmationFilter::default();
    let list = |filter: &ConfirmationFilter, page| {
        let (rows, count) = store.confirmations(filter, page).unwrap();
        (rows.into_iter().map(|row| row.id).collect::<String>(), count)
    };
    let ids = |filter: ConfirmationFilter| list(&filter, Page::default()).0;
    assert_eq!(ids(all.clone()), "54321", "of the same time, the greater id first");
    assert_eq!(list(&all, Page { offset: 1, limit: 2 }), ("43".to_owned(), 5));
    let text = |text: &str| Some(text.to_owned());
    let channel = |network: &str, channel: &str| Some((network.to_owned(), channel.to_owned()));
    assert_eq!(ids(ConfirmationFilter { state: text("open"), ..all.clone() }), "5432");
    assert_eq!(ids(ConfirmationFilter { state: text("denied"), ..all.clone() }), "1");
    assert_eq!(ids(ConfirmationFilter { requester: text("ada"), ..all.clone() }), "5431");
    assert_eq!(ids(ConfirmationFilter { channel: channel("slack", "ops"), ..all.clone() }), "521");
    assert_eq!(ids(ConfirmationFilter { channel: channel("irc", "ops"), ..all.clone() }), "");
    assert_eq!(ids(ConfirmationFilter { root: Some(id(2)), ..all.clone() }), "4");
    let narrow =
        ConfirmationFilter { state: text("open"), requester: text("ada"), channel: channel("slack", "ops"), ..all };
    assert_eq!(list(&narrow, Page { offset: 0, limit: 0 }), (String::new(), 1));
    assert_eq!(ids(ConfirmationFilter { root: Some(id(1)), ..narrow }), "5");
}

fn open_confirmations_are_counted(store: &dyn Store) {
    some_confirmations(store);
    let count = |requester, channel| store.open_confirmations(requester, channel).unwrap();
    assert_eq!(count(None, None), 4);
    assert_eq!((count(Some("ada"), None), count(Some("bob"), None), count(Some("eve"), None)), (3, 1, 0));
    assert_eq!((count(None, Some(("slack", "ops"))), count(None, Some(("slack", "dev")))), (2, 1));
    assert_eq!(count(Some("ada"), Some(("slack", "ops"))), 1);
}

fn audit_rows_are_numbered_and_chained(store: &dyn Store) {
    assert_eq!(store.verify_audit().unwrap(), 0);
    given(store, [audit("held", Some(A), 1), audit("vote", Some(B), 2)]);
    given(store, [audit("released", Some(A), 3)]);
    let bare = Op::Audit {
        at: at(4),
        event: "policy_loaded".to_owned(),
        person: None,
        confirmation: None,
        execution: None,
        data: Value::special(Special::Set(vec![Value::Int(1)])),
    };
    given(store, [bare]);
    let rows = store.audit(0, 99).unwrap();
    let events: Vec<_> = rows.iter().map(|row| (row.seq, row.event.as_str())).collect();
    assert_eq!(events, [(1, "held"), (2, "vote"), (3, "released"), (4, "policy_loaded")]);
    assert_eq!(rows[0].previous, [0; 32]);
    assert!(rows.windows(2).all(|pair| pair[1].previous == pair[0].sha && pair[1].sha != pair[0].sha));
    assert_eq!((rows[2].person.as_deref(), rows[2].execution, rows[2].at), (Some("ada"), Some(id(1)), at(3)));
    assert_eq!(rows[3].data, Value::special(Special::Set(vec![Value::Int(1)])));
    assert_eq!(store.audit(2, 2).unwrap(), rows[1..3]);
    assert_eq!(store.audit(5, 9).unwrap(), []);
    assert_eq!(store.audit(u64::MAX, 9).unwrap(), []);
    assert_eq!(store.audit_of(A).unwrap(), [rows[0].clone(), rows[2].clone()]);
    assert_eq!(store.audit_of(C).unwrap(), []);
    assert_eq!(store.verify_audit().unwrap(), 4);
}

fn a_refused_batch_leaves_no_trace_in_the_audit_log(store: &dyn Store) {
    given(store, [audit("held", None, 1)]);
    refused(store, [audit("vote", None, 2), append(9, 7, &["{}"])]);
    given(store, [audit("released", None, 3)]);
    let events: Vec<_> = store.audit(1, 9).unwrap().into_iter().map(|row| (row.seq, row.event)).collect();
    assert_eq!(events, [(1, "held".to_owned()), (2, "released".to_owned())]);
    assert_eq!(store.verify_audit().unwrap(), 2);
    let deep = (0..1000).fold(Value::Null, |inner, _| Value::from(vec![inner]));
    let Op::Audit { at, event, person, confirmation, execution, data: _ } = audit("vote", None, 2) else { return };
    let refusal = refused(store, [Op::Audit { at, event, person, confirmation, execution, data: deep }]);
    assert_eq!(refusal, "damaged audit row `vote`: nested deeper than 120 levels");
}

fn meta_is_replaced(store: &dyn Store) {
    let put = |value: &str| Op::PutMeta { name: "epoch".to_owned(), value: value.to_owned() };
    given(store, [put("1")]);
    given(store, [put("2")]);
    assert_eq!(store.meta("epoch").unwrap().as_deref(), Some("2"));
    assert_eq!(store.meta("boot").unwrap(), None);
}

fn values_without_a_json_form_come_back(store: &dyn Store) {
    let mut e = execution_with(1, |_, request| {
        request.params.insert("set".into(), Value::special(Special::Set(vec![Value::Int(1)])));
        request.params.insert("wait".into(), Value::special(Special::Timespan(5)));
    });
    // Ordinary data of a document store, which must not be taken for a special value.
    e.result = squall_model::from_json(r#"{"$set": [1], "x": {"$regex": "^web"}}"#, false).unwrap();
    given(store, [insert(e.clone())]);
    assert_eq!(store.execution(id(1)).unwrap(), Some(e));
}

fn what_could_not_be_read_back_is_refused(store: &dyn Store) {
    let deep = (0..1000).fold(Value::Null, |inner, _| Value::from(vec![inner]));
    given(store, [insert(execution(1))]);
    let change = Change { result: Some(deep.clone()), ..Change::default() };
    let refusal = refused(store, [update(1, 0, change)]);
    assert_eq!(refusal, format!("damaged result of {}: nested deeper than 120 levels", id(1)));
    let e = execution_with(2, |_, request| drop(request.params.insert("p".into(), deep)));
    refused(store, [insert(e)]);
    assert_eq!(store.execution(id(2)).unwrap(), None);
}

fn an_empty_batch_is_fine(store: &dyn Store) {
    given(store, []);
}
