//! The confirmation workflow of chat packs, as an execution in production sees it: a guarded action asks in the room,
//! then looks for the answer in the datastore eleven times, three seconds apart.

use squall_expr::Error;
use squall_model::{ActionRef, Map, Status, Str, Timestamp, Value, from_json};
use squall_workflow::mistral::stackstorm::{self, Given};
use squall_workflow::{
    Begin, Definition, Fact, Host, Language, LoadOptions, Offer, Parameter, Parameters, Registered, State, Stimulus,
    advance, apply,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const GUARDED: &str = "
version: '2.0'
chat_guard.wipe:
  type: direct
  input:
    - hosts
    - reason
  tasks:
    remember:
      action: core.noop
      publish:
        person: <% env().get('__actions').get('st2.action').st2_context.parent.api_user %>
        room: <% env().get('__actions').get('st2.action').st2_context.parent.source_channel %>
        ticket: <% env().get('__actions').get('st2.action').st2_context.parent.execution_id %>
      on-success:
        - ask
    ask:
      action: chatops.post_message
      input:
        channel: '<% $.room %>'
        message: '@<% $.person %>, this wipes <% $.hosts %>; say \"! confirm <% $.ticket %>\" within 30 s.'
      on-success:
        - listen
    listen:
      action: st2.kv.get
      input:
        key: '<% $.person %>_<% $.ticket %>'
      retry:
        count: 10
        delay: 3
      on-error:
        - give_up
      on-success:
        - go_on
    give_up:
      action: chatops.post_message
      input: {channel: <% $.room %>, message: '@<% $.person %>, nothing was done.'}
    go_on:
      action: chatops.post_message
      input: {channel: <% $.room %>, message: '@<% $.person %>, going on.'}
";

struct Catalogue;

impl squall_expr::Host for Catalogue {
    fn call(&self, _: &str, _: &[Value], _: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        None
    }
    fn has(&self, _: &str) -> bool {
        false
    }
    fn kv(&self, _: &str, _: &str, _: bool) -> Result<Option<Value>, Error> {
        Ok(None)
    }
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

impl Host for Catalogue {
    fn action(&self, reference: &str) -> Registered {
        let names: &[(&str, bool)] = match reference {
            "core.noop" => &[],
            "chatops.post_message" => &[("channel", true), ("message", true), ("user", false)],
            "st2.kv.get" => &[("key", true), ("decrypt", false)],
            _ => return Registered::No,
        };
        let known = names.iter().map(|(name, required)| {
            let kind = Some(Str::from("string"));
            (Str::from(*name), Parameter { kind, required: *required })
        });
        Registered::Yes(Arc::new(Parameters { known: known.collect(), open: false }))
    }
}

fn load(text: &str) -> Result<Definition, String> {
    let options = LoadOptions { reference: ActionRef::new("chat_guard", "wipe"), path: "wipe.yaml".into() };
    Definition::load(Language::Mistral, text, &options)
        .map_err(|problems| problems.iter().map(|p| p.to_string()).collect::<Vec<_>>().join("\n"))
}

fn begin(definition: &Definition) -> Begin {
    let Definition::Mistral(mistral) = definition else { panic!("it is Mistral") };
    let map = |text: &str| from_json(text, false).unwrap().as_map().cloned().unwrap();
    let execution = Begin {
        execution: "56a01f468e326f6c51a3d4a9".into(),
        action: "chat_guard.wipe".into(),
        input: map(r#"{"hosts": "web1", "reason": ""}"#),
        context: map(r#"{"user": "bot", "api_user": "ann", "source_channel": "ops", "pack": "chat_guard"}"#),
        ..Begin::default()
    };
    let given = Given { api_url: "https://squall.example/api/v1".into(), ..Given::default() };
    stackstorm::begin(mistral, execution, &given).unwrap()
}

/// What happened: each call as `second task parameters`, then the end.
struct Story {
    calls: Vec<String>,
    state: State,
}

/// Runs on a virtual clock; `answer` says how each look at the datastore ends, by its number from 1. After each step the
/// state is folded afresh from the facts as they were written.
fn play(definition: &Definition, answer: impl Fn(usize) -> bool) -> Story {
    let mut log: Vec<String> = Vec::new();
    let mut story = Story { calls: Vec::new(), state: State::new(definition) };
    let mut events: BTreeMap<(u64, u64), Stimulus> = BTreeMap::new();
    let mut number = 0;
    events.insert((0, 0), Stimulus::Begin(Box::new(begin(definition))));
    let mut looks = 0;
    while let Some(((now, _), stimulus)) = events.pop_first() {
        for fact in advance(definition, &mut story.state, stimulus, &Catalogue) {
            log.push(serde_json::to_string(&fact).unwrap());
            number += 1;
            match fact {
                Fact::Offered { offer } => {
                    story.calls.push(call(now, &offer));
                    looks += usize::from(&*offer.task == "listen");
                    let missing = &*offer.task == "listen" && !answer(looks);
                    let (status, result) = match missing {
                        true => (Status::Failed, r#"{"result": "None", "exit_code": 1}"#),
                        false => (Status::Succeeded, r#"{"result": "confirmed", "exit_code": 0}"#),
                    };
                    let result = from_json(result, false).unwrap();
                    events.insert((now, number), Stimulus::Finished { run: offer.run, status, result });
                }
                Fact::TimerSet { timer, after_ms } => {
                    events.insert((now + after_ms, number), Stimulus::Due { timer });
                }
                _ => {}
            }
        }
        let mut recovered = State::new(definition);
        for line in &log {
            apply(definition, &mut recovered, &serde_json::from_str::<Fact>(line).unwrap());
        }
        assert_eq!(recovered, story.state);
        story.state = recovered;
    }
    story
}

fn call(now: u64, offer: &Offer) -> String {
    let action = offer.action.as_deref().unwrap_or_default();
    format!("{} s {} {action} {}", now / 1000, offer.task, squall_model::to_json(&offer.input))
}

fn result(story: &Story, path: &[&str]) -> Value {
    story.state.result().at(path).cloned().unwrap_or_default()
}

#[test]
fn eleven_looks_three_seconds_apart_then_it_gives_up() {
    let definition = load(GUARDED).unwrap();
    let story = play(&definition, |_| false);
    assert_eq!(story.calls[0], "0 s remember core.noop {}");
    assert_eq!(
        story.calls[1],
        r#"0 s ask chatops.post_message {"channel":"ops","message":"@ann, this wipes web1; say \"! confirm 56a01f468e326f6c51a3d4a9\" within 30 s."}"#
    );
    let looks = &story.calls[2..13];
    for (i, look) in looks.iter().enumerate() {
        assert_eq!(*look, format!(r#"{} s listen st2.kv.get {{"key":"ann_56a01f468e326f6c51a3d4a9"}}"#, i * 3));
    }
    let last = r#"30 s give_up chatops.post_message {"channel":"ops","message":"@ann, nothing was done."}"#;
    assert_eq!(story.calls[13..], [last]);
    // The error was taken care of, so the execution succeeds although nothing was done.
    assert_eq!(story.state.status(), Status::Succeeded);
    assert_eq!(result(&story, &["person"]), Value::from("ann"));
    assert_eq!(result(&story, &["extra", "state"]), Value::from("SUCCESS"));
    let tasks = result(&story, &["tasks"]);
    let names: Vec<&str> = tasks.as_list().unwrap().iter().map(|t| t.get("name").unwrap().as_str().unwrap()).collect();
    assert_eq!(names, ["remember", "ask", "listen", "give_up"]);
}

#[test]
fn an_answer_found_at_the_fourth_look_goes_on_after_nine_seconds() {
    let definition = load(GUARDED).unwrap();
    let story = play(&definition, |look| look == 4);
    assert_eq!(story.calls.len(), 2 + 4 + 1);
    assert_eq!(story.calls[6], r#"9 s go_on chatops.post_message {"channel":"ops","message":"@ann, going on."}"#);
    assert_eq!(story.state.status(), Status::Succeeded);
}

#[test]
fn children_know_their_task_and_nobody_is_notified_twice() {
    let definition = load(GUARDED).unwrap();
    let mut state = State::new(&definition);
    let facts = advance(&definition, &mut state, Stimulus::Begin(Box::new(begin(&definition))), &Catalogue);
    let offer = facts.iter().find_map(|fact| match fact {
        Fact::Offered { offer } => Some(offer),
        _ => None,
    });
    let context: &Map = &offer.unwrap().child.context;
    assert_eq!(context["task_name"], Value::from("remember"));
    assert_eq!(context["workflow_name"], Value::from("chat_guard.wipe"));
    assert_eq!(offer.unwrap().child.notify, None);
}

#[test]
fn parameters_that_no_action_knows_stop_it_before_its_first_task() {
    let text = GUARDED.replace("key: '<% $.person", "kee: '<% $.person");
    let definition = load(&text).unwrap();
    let story = play(&definition, |_| true);
    assert_eq!(story.calls, Vec::<String>::new());
    assert_eq!(story.state.status(), Status::Failed);
    let missing = "Missing required parameters in \"listen\" for action \"st2.kv.get\": \"key\"";
    assert_eq!(result(&story, &["error"]), Value::from(missing));
}

#[test]
fn the_name_must_be_that_of_the_action_and_the_place_is_shown() {
    let error = load(&GUARDED.replace("chat_guard.wipe:", "other.name:")).unwrap_err();
    assert!(error.contains("wipe.yaml:3:1"), "{error}");
    assert!(
        error.contains("Name of the workflow must be the same as the fully qualified action name \"chat_guard.wipe\"."),
        "{error}"
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let text = GUARDED
        .replace("      on-success:\n        - ask", "      on-sucess:\n        - ask")
        .replace("        - give_up\n", "        - give_upp\n")
        .replace("count: 10", "count: -1");
    let error = load(&text).unwrap_err();
    for part in ["'on-sucess' was unexpected", "did you mean `on-success`", "Task 'give_upp' not found.", "`count`"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}
