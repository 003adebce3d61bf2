//! Definitions that would go on for ever, or grow without bound, end with an error instead.

use serde_json::{Value, json};
use squall_workflow::simulate::mistral;

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
