//! Orquesta runs as the engine of squall drives them: stimuli in, facts out. After every stimulus the log is written out,
//! read back and folded from the start, and must give the very same state.

use squall_expr::NoHost;
use squall_model::{Map, Status, Value, from_json, to_json};
use squall_workflow::orquesta::Definition;
use squall_workflow::{Begin, Fact, Offer, RunId, State, Stimulus, advance, apply};
use std::sync::Arc;

struct Play {
    definition: squall_workflow::Definition,
    state: State,
    log: Vec<Fact>,
    told: Vec<String>,
    offers: Vec<Offer>,
}

fn map(json: &str) -> Map {
    from_json(json, false).unwrap().as_map().unwrap().clone()
}

impl Play {
    fn new(text: &str) -> Play {
        let definition = Definition::load(text, ["st2", "parent"]).unwrap();
        let definition = squall_workflow::Definition::Orquesta(Arc::new(definition));
        let state = State::new(&definition);
        Play { definition, state, log: Vec::new(), told: Vec::new(), offers: Vec::new() }
    }

    fn begin(&mut self, begin: Begin) -> &mut Play {
        self.tell(Stimulus::Begin(Box::new(Begin { execution: "5f00000000000000000000aa".into(), ..begin })))
    }

    fn tell(&mut self, stimulus: Stimulus) -> &mut Play {
        for fact in advance(&self.definition, &mut self.state, stimulus, &NoHost) {
            match &fact {
                Fact::Offered { offer } => {
                    let item = offer.item.map_or(String::new(), |item| format!("/{item}"));
                    let action = offer.action.as_deref().unwrap_or("-");
                    self.told.push(format!("{}{item} {action} {}", offer.task, to_json(&offer.input)));
                    self.offers.push((**offer).clone());
                }
                Fact::Became { status } => self.told.push(status.to_string()),
                Fact::Ended { status, result } => self.told.push(format!("{status} {}", to_json(result))),
                Fact::ChildrenStopped { runs } => self.told.push(format!("stop {runs:?}")),
                Fact::ChildrenPaused { runs } => self.told.push(format!("pause {runs:?}")),
                Fact::ChildrenResumed { runs } => self.told.push(format!("resume {runs:?}")),
                _ => {}
            }
            self.log.push(fact);
        }
        let text = serde_json::to_string(&self.log).unwrap();
        let mut folded = State::new(&self.definition);
        for fact in serde_json::from_str::<Vec<Fact>>(&text).unwrap() {
            apply(&self.definition, &mut folded, &fact);
        }
        assert!(folded == self.state, "the log folds to another state");
        self
    }

    fn finish(&mut self, run: RunId, status: Status, result: &str) -> &mut Play {
        let result = from_json(result, false).unwrap();
        self.tell(Stimulus::Finished { run, status, result })
    }

    fn ok(&mut self, run: RunId) -> &mut Play {
        self.finish(run, Status::Succeeded, "null")
    }

    /// What was offered and said since the last look.
    fn look(&mut self, expected: &[&str]) -> &mut Play {
        assert_eq!(std::mem::take(&mut self.told), expected);
        self
    }
}

#[test]
fn a_run_ends_with_its_output() {
    Play::new("{input: [n], vars: [{d: 2}], output: [{r: <% ctx(r) %>}], tasks: {a: {action: core.a n=<% ctx(n) %>, next: [{when: <% succeeded() %>, publish: [{r: '<% result().x * ctx(d) %>'}], do: b}]}, b: {action: core.b}}}")
        .begin(Begin { input: map(r#"{"n": 5}"#), ..Begin::default() })
        .look(&[r#"a core.a {"n":5}"#])
        .finish(0, Status::Succeeded, r#"{"x": 21}"#)
        .look(&["b core.b null"])
        .ok(1)
        .look(&[r#"succeeded {"output":{"r":42}}"#]);
}

#[test]
fn a_failure_is_told_with_its_result() {
    Play::new("{tasks: {a: {action: core.a}}}")
        .begin(Begin::default())
        .look(&["a core.a null"])
        .finish(0, Status::Failed, r#"{"stderr": "boom"}"#)
        .look(&[r#"failed {"output":null,"errors":[{"type":"error","message":"Execution failed. See result for details.","task_id":"a","result":{"stderr":"boom"}}]}"#]);
}

#[test]
fn what_a_caller_typed_stays_text() {
    Play::new("{input: [t], output: [{t: <% ctx(t) %>}], tasks: {a: {action: core.a, input: {t: <% ctx(t) %>}}}}")
        .begin(Begin { input: map(r#"{"t": "<% 1 / 0 %>"}"#), ..Begin::default() })
        .look(&[r#"a core.a {"t":"<% 1 / 0 %>"}"#])
        .ok(0)
        .look(&[r#"succeeded {"output":{"t":"<% 1 / 0 %>"}}"#]);
}

#[test]
fn items_fill_free_places_and_only_the_first_batch_is_delayed() {
    let mut play = Play::new(
        "{tasks: {a: {with: {items: 'i in <% [1, 2, 3] %>', concurrency: 2}, delay: 6, action: core.a i=<% item(i) %>, next: [{publish: [{r: <% result() %>}]}]}}, output: [{r: <% ctx(r) %>}]}",
    );
    play.begin(Begin::default()).look(&[r#"a/0 core.a {"i":1}"#, r#"a/1 core.a {"i":2}"#]);
    play.finish(0, Status::Succeeded, r#""x""#).look(&[r#"a/2 core.a {"i":3}"#]);
    let delays: Vec<u64> = play.offers.iter().map(|offer| offer.child.delay_ms).collect();
    assert_eq!(delays, [6000, 6000, 0]);
    play.finish(2, Status::Succeeded, r#""z""#).look(&[]);
    play.finish(1, Status::Succeeded, r#""y""#).look(&[r#"succeeded {"output":{"r":["x","y","z"]}}"#]);
}

#[test]
fn no_items_end_at_once() {
    Play::new("{tasks: {a: {with: '<% [] %>', action: core.a, next: [{do: b}]}, b: {action: core.b}}}")
        .begin(Begin::default())
        .look(&["b core.b null"]);
}

#[test]
fn children_know_where_they_belong_and_only_named_ones_notify() {
    let mut play = Play::new("{tasks: {a: {action: core.a}, b: {action: core.b}}}");
    play.begin(Begin { runner: map(r#"{"notify": ["b"]}"#), ..Begin::default() });
    let context = Value::from(play.offers[1].child.context.clone());
    assert_eq!(
        to_json(&context),
        r#"{"workflow_execution_id":"5f00000000000000000000aa","task_execution_id":"5f0000000000000000000001","task_id":"b","task_name":"b","task_route":0}"#
    );
    let silent: Vec<bool> = play.offers.iter().map(|offer| offer.child.skip_notify).collect();
    assert_eq!(silent, [true, false]);
    Play::new("{tasks: {a: {action: core.a}}}")
        .begin(Begin { runner: map(r#"{"notify": ["x", "y"]}"#), ..Begin::default() })
        .look(&[r#"failed {"output":null,"errors":[{"message":"The following tasks in the notify parameter do not exist in the workflow definition: x, y."}]}"#]);
}

#[test]
fn a_pause_waits_for_what_runs_and_a_resume_goes_on() {
    Play::new("{tasks: {a: {action: core.a, next: [{do: b}]}, b: {action: core.b}}}")
        .begin(Begin::default())
        .tell(Stimulus::Pause)
        .look(&["a core.a null", "pause [0]", "pausing"])
        .ok(0)
        .look(&["paused"])
        .tell(Stimulus::Resume { env: Map::new() })
        .look(&["b core.b null", "running"])
        .ok(1)
        .look(&[r#"succeeded {"output":null}"#]);
}

#[test]
fn a_question_pauses_the_run_until_it_is_answered() {
    Play::new("{tasks: {ask: {action: core.ask, next: [{do: go}]}, go: {action: core.go}}}")
        .begin(Begin::default())
        .finish(0, Status::Pending, "null")
        .look(&["ask core.ask null", "paused"])
        .ok(0)
        .look(&[])
        .tell(Stimulus::Resume { env: Map::new() })
        .look(&["go core.go null", "running"]);
}

#[test]
fn a_question_for_each_item_is_answered_too() {
    Play::new("{tasks: {ask: {with: '<% [1, 2] %>', action: core.ask}}}")
        .begin(Begin::default())
        .finish(0, Status::Pending, "null")
        .ok(1)
        .look(&["ask/0 core.ask null", "ask/1 core.ask null", "paused"])
        .ok(0)
        .tell(Stimulus::Resume { env: Map::new() })
        .look(&[r#"succeeded {"output":null}"#]);
}

#[test]
fn a_paused_child_workflow_pauses_and_resumes_its_parent() {
    Play::new("{tasks: {sub: {action: core.sub, next: [{do: b}]}, b: {action: core.b}}}")
        .begin(Begin::default())
        .finish(0, Status::Paused, "null")
        .look(&["sub core.sub null", "paused"])
        .tell(Stimulus::Started { run: 0 })
        .look(&["running"])
        .ok(0)
        .look(&["b core.b null"]);
}

#[test]
fn a_cancel_stops_children_and_waits_for_them() {
    Play::new("{tasks: {a: {action: core.a, next: [{do: b}]}, b: {action: core.b}}}")
        .begin(Begin::default())
        .tell(Stimulus::Stop { status: Status::Canceled, message: None })
        .look(&["a core.a null", "stop [0]", "canceling"])
        .finish(0, Status::Canceled, "null")
        .look(&[r#"canceled {"output":null}"#])
        .tell(Stimulus::Stop { status: Status::Canceled, message: None })
        .look(&[]);
}

#[test]
fn a_rerun_goes_on_from_the_named_task_with_a_new_context() {
    let rerun = |tasks: &[&str], env: &str| Stimulus::Rerun {
        tasks: tasks.iter().map(|task| task.to_string()).collect(),
        reset: Vec::new(),
        skip: false,
        env: map(env),
    };
    Play::new("{tasks: {a: {action: core.a, next: [{when: <% succeeded() %>, do: b}]}, b: {action: core.b u=<% ctx(st2).user %>}}}")
        .begin(Begin { env: map(r#"{"st2": {"user": "ann"}}"#), ..Begin::default() })
        .ok(0)
        .look(&["a core.a null", r#"b core.b {"u":"ann"}"#])
        .tell(rerun(&["b"], "{}"))
        .look(&[])
        .finish(1, Status::Failed, "null")
        .look(&[r#"failed {"output":null,"errors":[{"type":"error","message":"Execution failed. See result for details.","task_id":"b"}]}"#])
        .tell(rerun(&["nobody"], "{}"))
        .look(&[])
        .tell(rerun(&["b"], r#"{"st2": {"user": "bob"}}"#))
        .look(&[r#"b core.b {"u":"bob"}"#, "running"])
        .ok(2)
        .look(&[r#"succeeded {"output":null}"#]);
}

#[test]
fn late_and_repeated_news_change_nothing() {
    let mut play = Play::new("{tasks: {a: {action: core.a, next: [{do: b}]}, b: {action: core.b}}}");
    play.begin(Begin::default()).ok(0).look(&["a core.a null", "b core.b null"]);
    let facts = play.log.len();
    play.ok(0).finish(0, Status::Failed, "null").finish(77, Status::Succeeded, "null").begin(Begin::default());
    assert_eq!(play.log.len(), facts);
}

#[test]
fn a_loop_over_nothing_comes_to_an_end() {
    let mut play = Play::new(
        "{tasks: {s: {action: core.s, next: [{do: a}]}, a: {with: '<% [] %>', action: core.a, next: [{do: a}]}}}",
    );
    play.begin(Begin::default());
    let facts = advance(
        &play.definition,
        &mut play.state,
        Stimulus::Finished { run: 0, status: Status::Succeeded, result: Value::Null },
        &NoHost,
    );
    assert_eq!(play.state.status(), Status::Failed);
    assert!(facts.len() < 1_100_000);
}

#[test]
fn findings_point_into_the_file() {
    let text = "version: 1.0\ntasks:\n  a:\n    action: core.a\n    input:\n      x: <% ctx(nope) %>\n    next:\n      - do: b\n";
    let found = squall_workflow::orquesta::read_sound(text, "a.yaml", []).unwrap_err();
    let found = found.iter().map(|finding| &finding.diagnostic);
    let places: Vec<_> = found.map(|d| (d.line(), d.column(), d.message.as_str())).collect();
    assert_eq!(
        places,
        [
            (6, 10, "`<% ctx(nope) %>`: Variable \"nope\" is referenced before assignment."),
            (8, 13, "The task \"b\" is not defined."),
        ]
    );
}

#[test]
fn a_text_that_does_not_load_is_pointed_at_too() {
    let place = |text: &str| {
        let found = squall_workflow::orquesta::read_sound(text, "a.yaml", []).unwrap_err();
        (found[0].diagnostic.line(), found[0].diagnostic.column())
    };
    assert_eq!(place("tasks:\n  a:\n    action: core.a\n    next:\n      do: b\n"), (4, 5));
    assert_eq!(place("tasks:\n  a: {action: core.a}\n  a: {action: core.b}\n"), (3, 3));
    assert_eq!(place("vars:\n  - on: 1\ntasks: {a: {action: core.a}}\n"), (2, 5));
}
