//! Histories as people read them: the story of a run in each language, without saying anything twice.

use squall_expr::NoHost;
use squall_model::{ActionRef, Status, from_json};
use squall_workflow::history::Narrator;
use squall_workflow::{Begin, Definition, Fact, Language, LoadOptions, State, Stimulus, advance};
use std::collections::VecDeque;

/// The lines of a run in which `bad` fails with exit code 3 and everything else succeeds; timers end at once.
fn story(language: Language, text: &str) -> Vec<String> {
    let options = LoadOptions { reference: ActionRef::new("ops", "roll"), path: "roll.yaml".into() };
    let definition = Definition::load(language, text, &options).unwrap();
    let (mut state, mut narrator) = (State::new(&definition), Narrator::new(definition.clone()));
    let begin = Begin { execution: "5f00000000000000000000aa".into(), ..Begin::default() };
    let mut events = VecDeque::from([Stimulus::Begin(Box::new(begin))]);
    let mut told = Vec::new();
    while let Some(event) = events.pop_front() {
        for fact in advance(&definition, &mut state, event, &NoHost) {
            let line = narrator.tell(&fact);
            told.extend((!line.minor).then_some(line.text));
            match fact {
                Fact::Offered { offer } if &*offer.task == "bad" => {
                    let result = from_json(r#"{"return_code": 3, "stderr": "", "failed": true}"#, false).unwrap();
                    events.push_back(Stimulus::Finished { run: offer.run, status: Status::Failed, result });
                }
                Fact::Offered { offer } => {
                    let result = from_json(r#"{"stdout": "x"}"#, false).unwrap();
                    events.push_back(Stimulus::Finished { run: offer.run, status: Status::Succeeded, result });
                }
                Fact::TimerSet { timer, .. } => events.push_back(Stimulus::Due { timer }),
                _ => {}
            }
        }
    }
    told
}

#[test]
fn an_orquesta_run_is_told_once() {
    let text = "version: 1.0
tasks:
  good:
    with: i in <% [1, 2] %>
    action: core.noop
    next: [{publish: [{v: 1}], do: bad}]
  bad: {action: core.local}
";
    assert_eq!(
        story(Language::Orquesta, text),
        [
            "the workflow begins",
            "`good` has 2 items",
            "`good` item 0: runs `core.noop`",
            "`good` item 1: runs `core.noop`",
            "`good` item 0: succeeded",
            "`good` item 1: succeeded",
            "`good`: succeeded",
            "`good` publishes `v`",
            "`good` leads to `bad`",
            "`bad`: runs `core.local`",
            "`bad`: failed: exit code 3",
            "error of `bad`: Execution failed. See result for details.",
            "the workflow ends: failed",
        ]
    );
}

#[test]
fn a_mistral_run_says_why_it_ends() {
    let text = "version: '2.0'
ops.roll:
  tasks:
    good: {action: std.noop, on-success: bad}
    bad:
      action: std.noop
      retry: {count: 1, delay: 1}
      on-error:
        - fail msg=\"giving up\"
";
    assert_eq!(
        story(Language::Mistral, text),
        [
            "the workflow begins",
            "`good`: runs `std.noop`",
            "`good`: succeeded",
            "`good` leads to `bad` (on-success)",
            "`bad`: runs `std.noop`",
            "`bad`: failed: exit code 3",
            "`bad` waits 1 s before the next try",
            "the wait of 1 s for `bad` is over",
            "`bad` is tried again",
            "`bad` (try 2): runs `std.noop`",
            "`bad` (try 2): failed: exit code 3",
            "the workflow ends: failed: giving up",
        ]
    );
}

#[test]
fn a_chain_is_told_once() {
    let text = "chain:
  - {name: good, ref: core.noop, on-success: bad}
  - {name: bad, ref: core.local}
";
    assert_eq!(
        story(Language::Chain, text),
        [
            "the workflow begins",
            "`good`: runs `core.noop`",
            "`good`: succeeded",
            "`bad`: runs `core.local`",
            "`bad`: failed: exit code 3",
            "the workflow ends: failed",
        ]
    );
}
