//! A simulation as people see it: text in, text out.

use serde_json::json;
use squall_model::ActionRef;
use squall_workflow::simulate::{Script, run};
use squall_workflow::{Definition, Language, LoadOptions};

fn check(language: Language, definition: &str, script: serde_json::Value, expected: &[&str]) {
    let options = LoadOptions { reference: ActionRef::new("ops", "w"), path: "w.yaml".into() };
    let definition = Definition::load(language, definition, &options).unwrap();
    let report = run(&definition, &Script::from_json(&script).unwrap()).to_string();
    let lines: Vec<&str> = report.lines().map(str::trim_start).collect();
    assert_eq!(lines[..expected.len().min(lines.len())], *expected, "{report}");
}

#[test]
fn a_retry_shows_its_wait() {
    check(
        Language::Mistral,
        "version: '2.0'\nops.w:\n  input: [host]\n  tasks:\n    look:\n      action: core.ping host=<% $.host %>\n      retry: {count: 2, delay: 3}\n",
        json!({"input": {"host": "web1"}, "script": {"look": [{"error": "down"}, {"result": "up"}]}}),
        &[
            r#"0 s  offers look (core.ping) {"host":"web1"}"#,
            r#"0 s  ends   look failed "down""#,
            "0 s  waits  3 s",
            r#"3 s  offers look (core.ping) {"host":"web1"}"#,
            r#"3 s  ends   look succeeded "up""#,
            "3 s  is     succeeded",
        ],
    );
}

#[test]
fn a_chain_takes_its_failure_path() {
    check(
        Language::Chain,
        "chain:\n- {name: a, ref: ops.a, on-failure: b}\n- {name: b, ref: ops.b, params: {why: '{{ a.stderr }}'}}\n",
        json!({"script": {"a": {"status": "failed", "result": {"stderr": "disk full"}, "delay": 2}}}),
        &[
            "0 s  offers a (ops.a) {}",
            r#"2 s  ends   a failed {"stderr":"disk full"}"#,
            r#"2 s  offers b (ops.b) {"why":"disk full"}"#,
            r#"2 s  ends   b succeeded {"why":"disk full"}"#,
            "2 s  is     succeeded",
        ],
    );
}

#[test]
fn orquesta_runs_by_the_same_script() {
    check(
        Language::Orquesta,
        "version: 1.0\ninput: [n]\ntasks:\n  a:\n    action: ops.a n=<% ctx(n) %>\n",
        json!({"input": {"n": 4}, "script": {"a": {"result": 5}}}),
        &[r#"0 s  offers a (ops.a) {"n":4}"#],
    );
}

#[test]
fn people_may_stop_it() {
    check(
        Language::Orquesta,
        "version: 1.0\ntasks:\n  a:\n    action: ops.a\n    next: [{do: b}]\n  b: {action: ops.b}\n",
        json!({"script": {"a": {"result": 1, "delay": 5}}, "commands": [{"at": 2, "do": "cancel"}]}),
        &["0 s  offers a (ops.a) null", "2 s  is     canceling", "5 s  ends   a succeeded 1", "5 s  is     canceled"],
    );
}

#[test]
fn every_fault_of_a_definition_is_told_at_once() {
    let text = "version: 1.0\nvars: [{on: 1}]\ntasks:\n  a:\n  b: {next: {do: a}}\n  c-d: {action: ops.c}\n";
    let options = LoadOptions { reference: ActionRef::new("ops", "w"), path: "w.yaml".into() };
    let problems = Definition::load(Language::Orquesta, text, &options).unwrap_err();
    let places: Vec<String> = problems.iter().map(|p| format!("{}:{}", p.line(), p.column())).collect();
    assert_eq!(places.len(), 4, "{problems:?}");
    assert_eq!(places[0], "2:8");
}
