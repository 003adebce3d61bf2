//! What only the SQLite store promises: files, settings, faults, damage.

use futures::executor::block_on;
use squall_model::{ActionRef, Execution, ExecutionId, Map, Requested, Timestamp, Value};
use squall_store::sqlite::{Options, Sqlite};
use squall_store::{Batch, Op, Store};

fn id(n: u32) -> ExecutionId {
    ExecutionId::compose(1_700_000_000, [1, 2, 3, 4, 5], n)
}

fn execution(n: u32) -> Execution {
    let request = Requested {
        action: ActionRef::new("core", "noop"),
        runner: "noop".to_owned(),
        params: Map::new(),
        context: Map::from_iter([("user".into(), Value::from("ada"))]),
        notify: Value::Null,
        definition: None,
        reply_to: None,
        delay_ms: 0,
    };
    Execution::new(id(n), request, Timestamp::from_micros(i64::from(n)))
}

fn open(dir: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(dir.path().join("data"), &Options::default()).unwrap()
}

#[test]
fn comes_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    block_on(store.commit(Batch::from(Op::Insert(Box::new(execution(1)))))).unwrap();
    assert_eq!(store.execution(id(1)).unwrap(), Some(execution(1)));
    drop(store);
    assert_eq!(open(&dir).execution(id(1)).unwrap(), Some(execution(1)));
}

#[test]
fn no_read_walks_a_whole_table() {
    let dir = tempfile::tempdir().unwrap();
    for (sql, line) in open(&dir).explain().unwrap() {
        // Listings without a filter walk the index of their order, from its end, up to the page.
        let walks_in_order = line.contains("USING INDEX executions_") || line.contains("USING COVERING INDEX");
        assert!(!line.starts_with("SCAN ") || walks_in_order, "{line}\n{sql}");
    }
}
