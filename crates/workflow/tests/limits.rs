//! Definitions that would go on for ever, or grow without bound, end with an error instead.

use serde_json::{Value, json};
use squall_workflow::simulate::{chain, mistral, orquesta};

fn run(definition: &str) -> Value {
    mistral(&json!({"definition": format!("version: '2.0'\n{definition}"), "workflow": "w", "input": {}}))
}

#[test]
fn a_workflow_that_calls_itself() {
    let end = run("w:\n  tasks:\n    again: {workflow: w}\n");
    assert_eq!(end["state"], "ERROR");
    let text = end["state_info"].as_str().unwrap();
    // Each level quotes the one below twice.
    assert!(text.len() <= 65_500, "{}", text.len());
}

#[test]
fn a_loop_that_never_waits_for_an_action() {
    let end = run(
        "w:\n  tasks:\n    s: {on-success: t}\n    t: {with-items: 'i in <% [] %>', action: demo.act, on-success: t}\n",
    );
    assert_eq!(end["state"], "ERROR");
    assert_eq!(end["state_info"], "the workflow goes round without ever waiting for an action");
}

/// Recorded cases are bounded as well, in each language.
#[test]
fn a_loop_that_never_ends() {
    let mistral = run("w:\n  tasks:\n    s: {on-success: t}\n    t: {action: demo.act, on-success: t}\n");
    let orquesta = orquesta(&json!({
        "definition": "version: 1.0\ntasks:\n  s: {next: [{do: t}]}\n  t: {action: demo.act, next: [{do: t}]}\n",
    }));
    let chain = chain(&json!({"definition": "chain: [{name: t, ref: demo.act, on-success: t}]\ndefault: t\n"}));
    for end in [mistral, orquesta, chain] {
        let error = &end["engine_error"];
        assert_eq!(error["type"], "Endless", "{error}");
        let text = error["message"].as_str().unwrap();
        assert!(text.starts_with("the simulation does not come to an end; it was stopped after"), "{text}");
    }
}

#[test]
fn ad_hoc_actions_based_on_each_other() {
    let end = mistral(&json!({
        "definition": "version: '2.0'\nw:\n  tasks:\n    t: {action: a}\n",
        "actions": "version: '2.0'\na: {base: b}\nb: {base: a}\n",
        "workflow": "w",
        "input": {},
    }));
    assert_eq!(end["state"], "ERROR");
    assert!(end["state_info"].as_str().unwrap().contains("is based on itself"), "{}", end["state_info"]);
}

#[test]
fn requirements_in_a_circle() {
    let end = mistral(&json!({
        "definition": "version: '2.0'\nw:\n  type: reverse\n  tasks:\n    a: {requires: b}\n    b: {requires: a}\n",
        "workflow": "w",
        "input": {},
        "params": {"task_name": "a"},
    }));
    assert_eq!(end["phase"], "definition");
}
