//! What only the SQLite store promises: files, locks, faults, damage, sudden death.

mod given;

use futures::executor::block_on;
use futures::future::join_all;
use given::*;
use squall_model::{Change, ExecutionId, Status, Timestamp, Value};
use squall_store::crypto::Key;
use squall_store::secrets::{Secrets, is_hidden};
use squall_store::sqlite::{OpenError, Options, Sqlite, Synchronous};
use squall_store::{Batch, DueKind, Error, Filter, Op, Page, Store};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn open(dir: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(dir.path(), &Options::default()).unwrap()
}

fn refusal(dir: &Path) -> String {
    match Sqlite::open(dir, &Options::default()) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}

fn total(store: &dyn Store) -> u64 {
    store.executions(&Filter::default(), Page { offset: 0, limit: 0 }).unwrap().1
}

#[test]
fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    given(&store, [insert(execution(1)), append(1, 0, &["{}", "{}"])]);
    given(&store, [update(1, 0, Change { result: Some(Value::Int(1)), ..Change::default() })]);
    let (before, facts) = (store.execution(id(1)).unwrap(), store.facts(id(1), 0).unwrap());
    drop(store);
    let store = open(&dir);
    assert_eq!(store.execution(id(1)).unwrap(), before);
    assert_eq!(store.facts(id(1), 0).unwrap(), facts);
}

#[test]
fn what_waits_is_written_before_the_store_closes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    // The futures are dropped at once: a batch is on its way when `commit` returns.
    (0..500).for_each(|n| drop(store.commit(Batch::from(insert(execution(n))))));
    drop(store);
    assert_eq!(total(&open(&dir)), 500);
}

#[test]
fn files_are_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/data");
    let store = Sqlite::open(&data, &Options::default()).unwrap();
    given(&store, [insert(execution(1))]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    files.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{}", file.display()));
}

#[test]
fn s05_a_second_process_is_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let refused = refusal(dir.path());
    let (pid, year) = (std::process::id(), "since 20");
    assert!(refused.contains(&format!("in use by process {pid} {year}")), "{refused}");
    drop(store);
    open(&dir);
}

#[test]
fn l04_a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir).tamper("PRAGMA user_version = 99").unwrap();
    let refused = refusal(dir.path());
    assert!(
        refused.ends_with("has schema 99, this program knows 6: use a newer squall or restore a backup"),
        "{refused}"
    );
}

/// Data that earlier versions wrote: everything is there, and what came later works.
#[test]
fn l01_older_schemas_are_brought_up_to_date() {
    for sample in [include_str!("samples/0001.sql"), include_str!("samples/0002.sql")] {
        is_brought_up_to_date(sample);
    }
}

/// The first version kept links of chat identities among the settings.
#[test]
fn l01_links_of_the_first_version_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let sample = rusqlite::Connection::open(dir.path().join("squall.db")).unwrap();
    sample.execute_batch(include_str!("samples/0002.sql")).unwrap();
    drop(sample);
    let store = open(&dir);
    assert_eq!(store.linked("terminal", "", "bob").unwrap().map(|row| row.user).as_deref(), Some("ada"));
    assert_eq!(store.meta("identities/ada").unwrap(), None);
}

#[track_caller]
fn is_brought_up_to_date(sample: &str) {
    let dir = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(dir.path().join("squall.db")).unwrap();
    old.execute_batch(sample).unwrap();
    drop(old);
    for _ in 0..2 {
        let store = open(&dir);
        let mut succeeded = execution(1);
        succeeded.apply(&Change { result: Some(Value::Int(7)), ..becomes(Status::Succeeded) });
        assert_eq!(store.execution(id(1)).unwrap(), Some(succeeded));
        assert_eq!(store.execution(id(2)).unwrap().unwrap().status, Status::Pending);
        assert_eq!(store.facts(id(1), 0).unwrap().len(), 2);
        assert_eq!(store.due(at(60), 9).unwrap(), [due(1, DueKind::Timer, 2, 50)]);
        assert_eq!(store.users(Page::default()).unwrap(), (vec![user("ada", &["admin"])], 1));
        assert_eq!(store.token(&[1; 32], at(99)).unwrap(), Some(token(1, 100)));
        assert_eq!(store.messages("ops", 0, 9).unwrap().len(), 1);
        assert_eq!(store.outgoing("slack", 0, 9).unwrap().len(), 1);
    }
    let store = open(&dir);
    given(&store, [hold(&confirmation("a", "K7Q4M9", 2, 5)), audit("held", Some("a"), 5)]);
    given(&store, [Op::DeleteTokensOf { user: "ada".to_owned() }]);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.confirmation_of(id(2)).unwrap(), Some(confirmation("a", "K7Q4M9", 2, 5)));
    assert_eq!(store.token(&[1; 32], at(99)).unwrap(), None);
    assert_eq!(store.verify_audit().unwrap(), 1);
}

#[test]
fn the_audit_log_is_only_ever_added_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    given(&store, (0..5).map(|n| audit("vote", Some("a"), n)));
    for (sql, why) in [
        ("UPDATE audit SET person = 'bob' WHERE seq = 2", "the audit log is never changed"),
        ("DELETE FROM audit WHERE seq = 5", "the audit log is never shortened"),
        ("INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 3", "the audit log has no gaps"),
        (
            "INSERT INTO audit SELECT 7, at, event, person, confirmation, execution, data, previous, sha FROM audit",
            "the audit log has no gaps",
        ),
    ] {
        let refused = store.tamper(sql).unwrap_err().to_string();
        assert!(refused.contains(why), "{sql}: {refused}");
    }
    assert_eq!(store.verify_audit().unwrap(), 5);
    given(&store, [audit("vote", None, 9)]);
    assert_eq!(store.verify_audit().unwrap(), 6);
    assert_eq!(store.fatal(), None);
}

#[test]
fn what_breaks_the_audit_chain_is_named() {
    for (damage, expected) in [
        (
            "UPDATE audit SET person = 'bob' WHERE seq = 3",
            "damaged audit row 3: its hash does not fit, so it was changed",
        ),
        (
            "UPDATE audit SET confirmation = NULL WHERE seq = 3",
            "damaged audit row 3: its hash does not fit, so it was changed",
        ),
        ("UPDATE audit SET previous = zeroblob(32) WHERE seq = 3", "damaged audit row 3: it does not follow row 2"),
        (
            "UPDATE audit SET sha = zeroblob(7) WHERE seq = 3",
            "damaged audit row 3: its hash does not fit, so it was changed",
        ),
        ("DELETE FROM audit WHERE seq = 1", "damaged audit row 1: it is missing"),
        ("DELETE FROM audit WHERE seq = 3", "damaged audit row 3: it is missing"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        given(&store, (0..5).map(|n| audit("vote", Some("a"), n)));
        store.tamper("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;").unwrap();
        store.tamper(damage).unwrap();
        assert_eq!(store.verify_audit().unwrap_err().to_string(), expected, "{damage}");
    }
}

#[test]
fn databases_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("squall.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(refusal(dir.path()).ends_with("is a database of another program"));
    std::fs::write(&file, "this is a diary, not a database; it is longer than a header. ".repeat(20)).unwrap();
    let refused = refusal(dir.path());
    assert!(refused.contains("squall.db: file is not a database"), "{refused}");
}

#[test]
fn s02_a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = refusal(&file.join("data"));
    assert!(refused.starts_with("cannot write in the data directory ") && refused.contains("file/data"), "{refused}");
    assert!(matches!(Sqlite::open(&file, &Options::default()), Err(OpenError::Directory { .. })));
}

#[test]
fn s10_no_read_walks_a_whole_table() {
    let dir = tempfile::tempdir().unwrap();
    let plans = open(&dir).explain().unwrap();
    assert!(plans.len() > 60);
    for (sql, line) in plans {
        // Listings without a narrower filter walk the index of their order, up to the page; their count walks it all.
        let in_order =
            ["executions_all", "executions_tops", "confirmations_all"].iter().any(|index| line.ends_with(index));
        // People are few; their listings walk a key up to the page.
        let people = ["SCAN users", "SCAN identities", "SCAN api_keys", "SCAN factors"];
        let all_users = people.iter().any(|table| line.starts_with(table));
        // The last row of the audit log: one step from its end.
        let last = line == "SCAN audit" && sql.ends_with("ORDER BY seq DESC LIMIT 1");
        let smallest =
            line == "SCAN due USING COVERING INDEX due_at" || line == "SEARCH due USING COVERING INDEX due_at";
        assert!(
            line.starts_with("SEARCH ") || !line.contains("SCAN ") || in_order || smallest || all_users || last,
            "{line}\n{sql}"
        );
    }
}

/// Bytes of the database with its log.
fn bytes(dir: &tempfile::TempDir) -> u64 {
    ["squall.db", "squall.db-wal"].iter().map(|f| std::fs::metadata(dir.path().join(f)).map_or(0, |m| m.len())).sum()
}

#[test]
fn a_large_result_handed_on_is_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let large = Value::from("x".repeat(1_000_000));
    let result = Value::from_pairs([("stdout", large.clone()), ("return_code", 0.into())]);
    for n in 0..20 {
        let whole = execution_with(n, |execution, request| {
            request.params.insert("text".into(), large.clone());
            execution.result = result.clone();
        });
        let fact =
            format!(r#"{{"finished":{{"run":{n},"status":"succeeded","result":{}}}}}"#, squall_model::to_json(&result));
        let append =
            Op::Append { execution: id(n), seq: 0, facts: vec![fact], at: Timestamp::from_micros(1), secret: false };
        given(&store, [insert(whole), append]);
    }
    assert!(bytes(&dir) < 4_000_000, "{} bytes", bytes(&dir));
    drop(store);
    let store = open(&dir);
    for n in 0..20 {
        let found = store.execution(id(n)).unwrap().unwrap();
        assert_eq!((&found.result, &found.request.params["text"]), (&result, &large));
        let facts = store.facts(id(n), 0).unwrap();
        let fact: serde_json::Value = serde_json::from_str(&facts[0].json).unwrap();
        assert_eq!(fact["finished"]["result"]["stdout"].as_str().unwrap().len(), 1_000_000);
    }
    store.tamper("DELETE FROM blobs").unwrap();
    let refused = store.execution(id(0)).unwrap_err().to_string();
    assert!(refused.contains("it is missing"), "{refused}");
}

/// Initial vectors that differ.
struct Counted(std::sync::atomic::AtomicU8);

impl squall_model::Ids for Counted {
    fn execution(&self) -> squall_model::ExecutionId {
        id(0)
    }
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    }
}

fn secrets(key: &Key) -> Secrets {
    Secrets::new(key.clone(), std::sync::Arc::new(Counted(0.into())))
}

#[test]
fn secrets_are_nowhere_in_the_files_and_come_back_with_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let (right, wrong) = (Key::generate(&Counted(1.into())), Key::generate(&Counted(2.into())));
    let store = open(&dir).with_secrets(secrets(&right));
    let password = Value::from_pairs([("is", Value::from("hunter2-in-clear")), ("times", 3.into())]);
    let whole = execution_with(1, |_, request| {
        request.params.insert("password".into(), password.clone());
        request.params.insert("host".into(), "web1".into());
        request.secret = vec!["password".to_owned(), "not_given".to_owned()];
    });
    let fact = |secret| {
        let facts = vec![format!(r#"{{"offered":"{}"}}"#, if secret { "hunter2-in-clear" } else { "web1" })];
        Op::Append { execution: id(1), seq: u64::from(!secret), facts, at: Timestamp::from_micros(1), secret }
    };
    given(&store, [insert(whole.clone()), fact(true), fact(false)]);
    drop(store);

    let clear = |text: &str| {
        let files = ["squall.db", "squall.db-wal"].map(|file| std::fs::read(dir.path().join(file)).unwrap_or_default());
        files.iter().any(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
    };
    assert!(clear("web1") && !clear("hunter2-in-clear"));

    let store = open(&dir).with_secrets(secrets(&right));
    let found = store.execution(id(1)).unwrap().unwrap();
    assert_eq!(found.request, whole.request);
    assert_eq!(store.tree(id(1)).unwrap(), std::slice::from_ref(&found));
    assert_eq!(store.executions(&Filter::default(), Page::default()).unwrap().0, [found]);
    let facts = store.facts(id(1), 0).unwrap();
    assert_eq!(facts[0].json, r#"{"offered":"hunter2-in-clear"}"#);
    assert_eq!(facts[1].json, r#"{"offered":"web1"}"#);
    drop(store);

    // Somebody put another key in its place: what is no secret can still be looked at.
    let store = open(&dir).with_secrets(secrets(&wrong));
    let found = store.execution(id(1)).unwrap().unwrap();
    assert!(is_hidden(&found.request.params["password"]));
    assert_eq!(found.request.params["host"], Value::from("web1"));
    let refused = store.facts(id(1), 0).unwrap_err().to_string();
    assert!(refused.contains("fact 0") && refused.contains("another key"), "{refused}");
}

/// A large secret is kept apart like everything large, and goes with the request that it belongs to; what others have as well stays.
#[test]
fn large_secrets_are_erased_from_the_files_and_shared_parts_stay() {
    for (secret, sharing) in [("s".repeat(40_000), 1), ("hush".to_owned(), 400)] {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::generate(&Counted(1.into()));
        let store = open(&dir).with_secrets(secrets(&key));
        let plan = Value::from("p".repeat(20_000));
        let with = |n: u32| {
            execution_with(n, |_, request| {
                request.params.insert("token".into(), secret.as_str().into());
                request.params.insert("plan".into(), plan.clone());
                // So many that all of them together are kept apart.
                request.params.extend((0..sharing).map(|n| (format!("k{n}").into(), "x".repeat(60).into())));
                request.secret = vec!["token".to_owned()];
            })
        };
        given(&store, [insert(with(1)), insert(with(2)), update(1, 0, becomes(Status::Succeeded))]);
        let blobs = || {
            let c = rusqlite::Connection::open(dir.path().join("squall.db")).unwrap();
            c.query_row("SELECT count(*) FROM blobs", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let before = blobs();
        let mut request = (*with(1).request).clone();
        request.params.insert("token".into(), "••••••".into());
        request.secret.clear();
        let erased = Change { erased: Some(std::sync::Arc::new(request.clone())), ..Change::default() };
        let refused = block_on(store.commit(update(1, 0, erased.clone()).into()));
        assert!(refused.is_err() && blobs() == before, "refused, and nothing is gone");
        given(&store, [update(1, 1, erased)]);
        // All parameters together are another part by now.
        assert_eq!(blobs(), if sharing > 1 { before } else { before - 1 });
        drop(store);
        let store = open(&dir).with_secrets(secrets(&key));
        assert_eq!(*store.execution(id(1)).unwrap().unwrap().request, request);
        assert_eq!(store.execution(id(2)).unwrap().unwrap().request, with(2).request);
    }
}

/// Without a key nothing says whose a large part is: it stays, since others may have the same.
#[test]
fn what_was_never_encrypted_is_left_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let with = |n: u32| {
        execution_with(n, |_, request| {
            request.params.insert("token".into(), "s".repeat(40_000).into());
            request.secret = vec!["token".to_owned()];
        })
    };
    given(&store, [insert(with(1)), insert(with(2))]);
    let mut request = (*with(1).request).clone();
    request.params.insert("token".into(), "••••••".into());
    given(&store, [update(1, 0, Change { erased: Some(std::sync::Arc::new(request)), ..Change::default() })]);
    assert_eq!(store.execution(id(2)).unwrap().unwrap().request, with(2).request);
}

#[test]
fn d07_a_full_disk_refuses_writes_until_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    given(&store, [insert(execution(0))]);
    store.tamper("PRAGMA max_page_count = 200").unwrap();
    let large = |n: u32| {
        Batch::from(insert(execution_with(n, |_, request| {
            // Texts of their own: equal ones would be kept once.
            request.params.insert("text".into(), Value::from(format!("{n} {}", "x".repeat(300_000))));
        })))
    };
    let small = |n: u32| Batch::from(insert(execution(n)));
    // In one group: the small ones fit, whatever the large ones do.
    let batches = (1..20).map(|n| if n % 2 == 1 { large(n) } else { small(n) });
    let answers = block_on(join_all(batches.map(|b| store.commit(b))));
    let full = answers.iter().filter(|a| matches!(a, Err(Error::Full(_)))).count();
    assert!(full >= 7, "{answers:?}");
    assert!(answers.iter().skip(1).step_by(2).all(Result::is_ok), "{answers:?}");
    assert_eq!(store.execution(id(0)).unwrap(), Some(execution(0)));
    assert_eq!(total(&store), 20 - full as u64);
    assert_eq!(store.fatal(), None);

    store.tamper("PRAGMA max_page_count = 100000").unwrap();
    block_on(store.commit(large(100))).unwrap();
}

#[test]
fn d11_a_changed_fact_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    given(&store, [append(1, 0, &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]), append(2, 0, &["{}"])]);
    store.tamper("UPDATE facts SET json = '{\"a\":4}' WHERE seq = 1").unwrap();
    let why = |from| store.facts(id(1), from).unwrap_err().to_string();
    assert_eq!(why(0), format!("damaged fact 1 of execution {}: its checksum does not fit", id(1)));
    assert_eq!(store.facts(id(1), 2).unwrap().len(), 1);
    assert_eq!(store.facts(id(2), 0).unwrap().len(), 1);
    // Whoever looks from outside, while it is open, finds the same.
    let found = squall_store::sqlite::examine(dir.path()).unwrap().unwrap();
    assert_eq!(found.facts, [why(0)]);
    assert_eq!((found.pages.len(), found.audit, found.schema), (0, Ok(0), found.known));
    store.tamper("DELETE FROM facts WHERE seq = 1").unwrap();
    assert_eq!(why(0), format!("damaged fact 1 of execution {}: it is missing", id(1)));
}

#[test]
fn a_damaged_execution_is_named_and_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    given(&store, [insert(execution(1)), insert(execution(2))]);
    store.tamper("UPDATE executions SET request = '{' WHERE created = 1").unwrap();
    let why = store.execution(id(1)).unwrap_err().to_string();
    assert!(why.starts_with(&format!("damaged request of {}: not JSON", id(1))), "{why}");
    assert_eq!(store.execution(id(2)).unwrap(), Some(execution(2)));
    assert_eq!(store.fatal(), None);
}

#[test]
fn a_full_queue_says_busy_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for options in [Options { queue: 10, ..Options::default() }, Options { queue_bytes: 10_000, ..Options::default() }]
    {
        let store = Sqlite::open(dir.path(), &options).unwrap();
        // Somebody else's transaction holds the writer up.
        let other = rusqlite::Connection::open(dir.path().join("squall.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let before = total(&store);
        let answers: Vec<_> =
            (0..100).map(|n| store.commit(Batch::from(insert(execution(n + 1000 * options.queue as u32))))).collect();
        other.execute_batch("ROLLBACK").unwrap();
        let answers = block_on(join_all(answers));
        let written = answers.iter().filter(|a| a.is_ok()).count();
        assert!((10..40).contains(&written), "{written}");
        assert!(answers.iter().all(|a| matches!(a, Ok(()) | Err(Error::Busy))));
        assert_eq!(total(&store), before + written as u64);
    }
}

#[test]
fn k12_half_a_batch_is_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path(), &Options { synchronous: Synchronous::Normal, ..Options::default() }).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            loop {
                let seen = total(&store);
                assert_eq!(seen % 3, 0);
                if seen == 900 {
                    break;
                }
            }
        });
        for n in 0..300 {
            given(&store, (0..3).map(|part| insert(execution(3 * n + part))));
        }
        reader.join().unwrap();
    });
}

#[test]
fn d08_the_log_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { synchronous: Synchronous::Off, checkpoint_pages: 50, ..Options::default() };
    let store = Sqlite::open(dir.path(), &options).unwrap();
    for n in 0..2000 {
        given(&store, [insert(execution(n))]);
    }
    let bytes = store.wal_bytes();
    assert!(bytes > 0 && bytes < 1 << 20, "{bytes}");
}

#[test]
fn one_refused_batch_does_not_disturb_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let batch = |n: u32| Batch { ops: vec![insert(execution(2 * n)), insert(execution(2 * (n % 10) + 1))] };
    let answers = block_on(join_all((0..100).map(|n| store.commit(batch(n)))));
    let expected: Vec<bool> = (0..100).map(|n| n < 10).collect();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), expected);
    assert_eq!(total(&store), 20);
}

#[test]
fn s06_damaged_files_are_refused_or_read_but_never_a_panic() {
    let origin = tempfile::tempdir().unwrap();
    let store = open(&origin);
    (0..300).for_each(|n| given(&store, [insert(execution(n)), append(n, 0, &["{}", "{}"])]));
    drop(store);
    let whole = std::fs::read(origin.path().join("squall.db")).unwrap();
    let (mut refused, mut random) = (0, 7u64);
    let mut below = |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    for round in 0..150 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => (0..8).for_each(|_| bytes[below(whole.len())] ^= 1 << below(8)),
            1 => bytes.truncate(below(whole.len())),
            _ => {
                let page = below(whole.len() / 4096) * 4096;
                bytes[page..page + 4096].fill(below(256) as u8);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("squall.db"), &bytes).unwrap();
        // As after a stop that was not clean, or as if nobody had noticed.
        std::fs::write(dir.path().join("squall.lock"), ["1", ""][round % 2]).unwrap();
        match Sqlite::open(dir.path(), &Options { synchronous: Synchronous::Off, ..Options::default() }) {
            Err(error) => {
                assert!(error.to_string().contains("squall.db"), "{error}");
                refused += 1;
            }
            Ok(store) => {
                (0..300).for_each(|n| drop((store.execution(id(n)), store.facts(id(n), 0), store.tree(id(n)))));
                let _ = store.executions(&Filter::default(), Page { offset: 0, limit: 1000 });
                let _ = (store.unfinished(None, 1000), store.due(at(i64::MAX), 9), store.meta("x"));
                let _ = commit(&store, [insert(execution(1000)), append(5, 2, &["{}"])]);
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn s06_damage_is_named_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    (0..300).for_each(|n| given(&store, [insert(execution(n))]));
    drop(store);
    let file = dir.path().join("squall.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0x55);
    std::fs::write(&file, &bytes).unwrap();
    std::fs::write(dir.path().join("squall.lock"), "1").unwrap();
    let refused = refusal(dir.path());
    assert!(refused.contains("squall.db is damaged (") && refused.contains("restore a backup"), "{refused}");
    assert_eq!(refusal(dir.path()), refused, "trying again does not help");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "nothing is repaired in silence");
}

/// Runs an ignored test of this file in a process of its own, by a shell that runs `before` first.
fn child(test: &str, dir: &Path, before: &str) -> std::process::Child {
    let exe = std::env::current_exe().unwrap();
    Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
        .arg(exe)
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env("SQUALL_TEST_STORE", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Numbers of the batches that a child was told are on disk. The line of the test's name may stand before the first one.
fn acknowledged(line: &str) -> Option<u32> {
    line.split_once("ack ")?.1.trim().parse().ok()
}

/// Two executions and a fact per batch: all are there, or none.
fn batch_of(n: u32) -> Batch {
    Batch { ops: vec![insert(execution(2 * n)), append(2 * n, 0, &["{}"]), insert(execution(2 * n + 1))] }
}

fn check_batches(dir: &Path, acknowledged: &[u32]) {
    let store = Sqlite::open(dir, &Options::default()).unwrap();
    let is_there = |id: ExecutionId| store.execution(id).unwrap().is_some();
    for n in acknowledged {
        assert!(is_there(id(2 * n)), "batch {n} was acknowledged and is gone");
    }
    for n in 0..2 * acknowledged.len() as u32 + 10_000 {
        let whole = is_there(id(2 * n));
        assert_eq!(is_there(id(2 * n + 1)), whole, "half of batch {n}");
        assert_eq!(store.facts(id(2 * n), 0).unwrap().len(), usize::from(whole), "half of batch {n}");
    }
}

#[test]
#[ignore = "a child process of the tests below"]
fn child_that_commits_until_it_fails() {
    let Some(dir) = std::env::var_os("SQUALL_TEST_STORE") else { return };
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let on_fatal: squall_store::sqlite::OnFatal = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let store = Sqlite::open(dir, &Options { on_fatal: Some(on_fatal), ..Options::default() }).unwrap();
    for first in (0..1_000_000).step_by(4) {
        let answers = block_on(join_all((first..first + 4).map(|n| store.commit(batch_of(n)))));
        for (n, answer) in (first..).zip(answers) {
            match answer {
                Ok(()) => println!("ack {n}"),
                Err(Error::Fatal(_)) => {
                    // Nothing is acknowledged any more, and the server hears of it once.
                    assert!(matches!(block_on(store.commit(batch_of(999_999))), Err(Error::Fatal(_))));
                    assert!(store.fatal().is_some());
                    assert_eq!(calls.load(Ordering::Relaxed), 1);
                    println!("fatal");
                    return;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    for enough in [1, 40, 400] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = child("child_that_commits_until_it_fails", dir.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen: Vec<u32> = lines.by_ref().filter_map(|line| acknowledged(&line.unwrap())).take(enough).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        seen.extend(lines.map_while(Result::ok).filter_map(|line| acknowledged(&line)));
        assert!(seen.len() >= enough);
        check_batches(dir.path(), &seen);
    }
}

#[test]
fn d06_a_failed_write_is_fatal_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // A limit on the size of files makes the log's write fail with an error that is not "disk full".
    let child = child("child_that_commits_until_it_fails", dir.path(), "trap '' XFSZ; ulimit -f 2000;");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("fatal"), "{text}");
    let seen: Vec<u32> = text.lines().filter_map(acknowledged).collect();
    assert!(seen.len() > 20, "{text}");
    check_batches(dir.path(), &seen);
}

#[test]
fn busy_writers_from_outside_do_not_reach_the_callers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = rusqlite::Connection::open(dir.path().join("squall.db")).unwrap();
            other.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            while !done.load(Ordering::Relaxed) {
                other.execute_batch("BEGIN IMMEDIATE; INSERT OR REPLACE INTO meta VALUES ('x', 'y'); COMMIT").unwrap();
            }
        });
        for n in 0..200 {
            given(&store, [insert(execution(n)), Op::PutMeta { name: "a".to_owned(), value: n.to_string() }]);
            assert!(store.execution(id(n)).unwrap().is_some());
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn s05_a_lock_that_a_dead_holder_has_not_let_go_yet_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir));
    let path = dir.path().join("squall.lock");
    let child = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    child.try_lock().unwrap();
    // No process has this id: it is beyond the largest.
    std::fs::write(&path, "99999999").unwrap();
    let next = std::thread::scope(|threads| {
        let next = threads.spawn(|| Sqlite::open(dir.path(), &Options::default()).map(|_| ()));
        drop(child);
        next.join().unwrap()
    });
    assert!(next.is_ok(), "{next:?}");
}
