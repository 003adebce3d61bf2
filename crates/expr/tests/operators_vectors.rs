//! Rule criteria against the recorded behaviour of the original.

mod support;

#[test]
fn recorded_criteria() {
    // Lines that record a defect of the original (datastore items in patterns) are better here on purpose.
    let run = support::Run { file: "operators.jsonl", exceptions: &[], classes: false, wrapped: &[] };
    support::run(&run, |v| v.get("upstream_defect").is_none().then(|| v.clone()), squall_expr::batch::rule_test);
}

#[test]
fn datastore_items_in_patterns_work() {
    let line = serde_json::json!({
        "kind": "filter",
        "criteria": {"trigger.name": {"type": "eq", "pattern": "{{ st2kv.system.host }}"}},
        "payload": {"name": "web-01"},
        "kv": {"host": "web-01"},
    });
    assert_eq!(squall_expr::batch::rule_test(&line)["value"], true);
}
