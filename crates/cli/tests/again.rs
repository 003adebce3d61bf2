//! Running again from the tasks that failed, and the history of a workflow, on a real server that is killed in between.

mod support;

use std::path::PathBuf;
use support::{Server, write_pack};

/// `first` leaves a trace, `second` fails until there is a flag, `third` follows.
fn pack(server: &Server) -> (PathBuf, PathBuf) {
    let home = server.data.parent().expect("a parent");
    let (trace, flag) = (home.join("trace"), home.join("flag"));
    let step = format!(
        "name: step\nrunner_type: local-shell-cmd\nparameters:\n  name: {{type: string, required: true}}\n  cmd: \
         {{immutable: true, default: 'echo {{{{ name }}}} >> {}; test {{{{ name }}}} != second || test -e {}'}}\n",
        trace.display(),
        flag.display()
    );
    let workflow =
        |name: &str, runner: &str| format!("name: {name}\nrunner_type: {runner}\nentry_point: workflows/{name}.yaml\n");
    let orquesta = "version: 1.0\ntasks:\n  first:\n    action: again.step name=\"first\"\n    next:\n      - when: <% succeeded() %>\n        do: second\n  \
                    second:\n    action: again.step name=\"second\"\n    next:\n      - when: <% succeeded() %>\n        do: third\n  third:\n    \
                    action: again.step name=\"third\"\n";
    let mistral = "version: '2.0'\nagain.mistral:\n  tasks:\n    first:\n      action: again.step name=\"first\"\n      on-success: second\n    \
                   second:\n      action: again.step name=\"second\"\n      on-success: third\n    third:\n      action: again.step name=\"third\"\n";
    let chain = "chain:\n  - {name: only, ref: again.step, parameters: {name: second}}\n";
    write_pack(
        server,
        "again",
        &[
            ("actions/step.yaml", &step),
            ("actions/orquesta.yaml", &workflow("orquesta", "orquesta")),
            ("actions/mistral.yaml", &workflow("mistral", "mistral-v2")),
            ("actions/chain.yaml", &workflow("chain", "action-chain")),
            ("actions/workflows/orquesta.yaml", orquesta),
            ("actions/workflows/mistral.yaml", mistral),
            ("actions/workflows/chain.yaml", chain),
        ],
    );
    server.ok("squall", &["reload"]);
    (trace, flag)
}

fn failed(server: &Server, action: &str) -> String {
    let output = server.run("squall", &["run", action, "--json"]);
    assert!(!output.status.success(), "it was to fail");
    let execution: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(execution["status"], "failed", "{execution}");
    execution["id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn refused(server: &Server, args: &[&str], why: &str) {
    let output = server.run("squall", args);
    let told = support::text(&output.stderr);
    assert!(!output.status.success() && told.contains(why), "{told}");
}

fn runs_again(action: &str) {
    let mut server = Server::start();
    let (trace, flag) = pack(&server);
    let old = failed(&server, action);
    let traced = || std::fs::read_to_string(&trace).unwrap_or_default();
    assert_eq!(traced(), "first\nsecond\n");
    refused(&server, &["execution", "re-run", &old, "--tasks", "zz"], "zz");
    server.kill();
    std::fs::write(&flag, "").expect("a flag");
    server.up();
    let new = server.ok("st2", &["execution", "re-run", &old, "--tasks", "second", "--json"]);
    let new: serde_json::Value = serde_json::from_str(&new).expect("JSON");
    assert_eq!(new["status"], "succeeded", "{new}");
    assert_eq!(new["context"]["re-run"]["ref"], old.as_str());
    assert_eq!(traced(), "first\nsecond\nsecond\nthird\n", "what had succeeded did not run again");
    assert_eq!(server.ended(&old)["status"], "failed", "the old execution stays as it was");

    let id = new["id"].as_str().expect("an id");
    let story = server.ok("squall", &["execution", "history", id]);
    for part in [
        "`first`: runs `again.step`",
        "somebody runs again `second`",
        "`third`: succeeded",
        "the workflow ends: succeeded",
    ] {
        assert!(story.contains(part), "{part} is not in\n{story}");
    }
    let history = server.json(&["execution", "history", id, "--json", "--all"]);
    let lines = history["lines"].as_array().expect("lines");
    assert!(lines[0]["seq"].as_i64() < Some(0), "the story begins with the old run: {}", lines[0]);
    let first = server.json(&["execution", "history", id, "--json", "--at", "0"]);
    assert!(first["text"].as_str().expect("a text").contains("runs again"), "{first}");
    let last = lines.last().expect("a line")["seq"].to_string();
    let last = server.json(&["execution", "history", id, "--json", "--at", &last]);
    assert_eq!(last["state"]["status"], "succeeded", "{last}");
    assert_eq!(last["state"]["open"], serde_json::json!([]));
    refused(&server, &["execution", "history", id, "--at", "99999"], "has facts");
}

#[test]
fn orquesta_from_a_failed_task() {
    runs_again("again.orquesta");
}

#[test]
fn mistral_from_a_failed_task() {
    runs_again("again.mistral");
}

#[test]
fn all_that_failed_and_what_cannot() {
    let server = Server::start();
    let (trace, flag) = pack(&server);
    let (flow, chain) = (failed(&server, "again.orquesta"), failed(&server, "again.chain"));
    refused(&server, &["execution", "re-run", &chain, "--tasks", "only"], "only supported for Orquesta");
    refused(&server, &["execution", "re-run", &flow, "name=x", "--tasks", "second"], "Parameters override");
    refused(&server, &["execution", "history", "no-id"], "no-id");
    std::fs::write(&flag, "").expect("a flag");
    let new = server.json(&["execution", "re-run", &flow, "--failed", "--json"]);
    assert_eq!(new["status"], "succeeded", "{new}");
    let again = server.json(&["execution", "re-run", &chain, "--json"]);
    assert_eq!(again["status"], "succeeded", "as a whole: {again}");
    let id = new["id"].as_str().expect("an id");
    refused(&server, &["execution", "re-run", id, "--failed"], "none has failed");
    assert_eq!(std::fs::read_to_string(&trace).unwrap_or_default(), "first\nsecond\nsecond\nsecond\nthird\nsecond\n");
}

/// Actions that ask the engine: with the rights of their user, exactly once, and held like everything else.
#[test]
fn actions_run_pause_cancel_and_run_again() {
    let server = Server::start();
    pack(&server);
    let made = server.json(&["run", "st2.executions.create", "action=core.noop", "--json"]);
    let id = made["result"]["result"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.ended(&id)["status"], "succeeded");
    let again = server.json(&["run", "st2.executions.re_run", &format!("id={id}"), "--json"]);
    let new = again["result"]["result"]["id"].as_str().expect("an id");
    assert_eq!(server.ended(new)["context"]["re-run"]["ref"], id.as_str());
    let greeted = server.json(&["run", "chatops.match_and_execute", "text=greet Ada", "source_channel=ops", "--json"]);
    let greeted = server.ended(greeted["result"]["result"].as_str().expect("an id"));
    assert_eq!((&greeted["action"]["ref"], &greeted["status"]), (&"examples.greet".into(), &"succeeded".into()));
    let mut alice = server.person("alice", "ops");
    server.ok("squall", &["run", "chatops.run", "text=greet Bob", "channel=ops", "user=alice"]);
    alice.hears("Hello, Bob");
    refused_result(
        &server,
        &["run", "chatops.match_and_execute", "text=no such thing", "--json"],
        "matched no patterns",
    );
    refused_result(&server, &["run", "st2.executions.cancel", &format!("ids={id}"), "--json"], "it is succeeded");
    let waits = server.json(&["run", "--no-wait", "core.local", "cmd=sleep 600", "--json"]);
    let waits = waits["id"].as_str().expect("an id").to_owned();
    let canceled = server.json(&["run", "st2.executions.cancel", &format!("ids={waits}"), "--json"]);
    assert_eq!(canceled["status"], "succeeded", "{canceled}");
    assert_eq!(server.ended(&waits)["status"], "canceled");
    let info = server.json(&["run", "packs.get", "pack=again", "--json"]);
    assert_eq!(info["result"]["result"]["pack"]["version"], "1.0.0", "{info}");
}

#[track_caller]
fn refused_result(server: &Server, args: &[&str], why: &str) {
    let output = server.run("squall", args);
    let told = support::text(&output.stdout);
    assert!(!output.status.success() && told.contains(why), "{told}");
}

/// The policy of a pack runs a failed action again, later, as an execution of its own.
#[test]
fn a_retry_policy_tries_again() {
    let server = Server::start();
    let (trace, _) = pack(&server);
    let policy = "name: again\nresource_ref: again.step\npolicy_type: action.retry\nparameters: {retry_on: failure, max_retry_count: 2, delay: 0.2}\n";
    write_pack(&server, "again", &[("policies/again.yaml", policy)]);
    server.ok("squall", &["reload"]);
    let first = server.run("squall", &["run", "again.step", "name=second", "--json"]);
    assert!(!first.status.success());
    let tries = support::wait("three tries", || {
        let all = server.json(&["execution", "list", "--action", "again.step", "--status", "failed", "--json"]);
        let all = all.as_array().expect("a list").clone();
        (all.len() == 3).then_some(all)
    });
    assert_eq!(tries[0]["context"]["policies"]["retry"]["retry_count"], 2, "{}", tries[0]);
    assert_eq!(std::fs::read_to_string(&trace).unwrap_or_default(), "second\nsecond\nsecond\n");
    // A success is not tried again.
    server.ok("squall", &["run", "again.step", "name=first"]);
    let all = server.json(&["execution", "list", "--action", "again.step", "--json"]);
    assert_eq!(all.as_array().expect("a list").len(), 4);
}

/// Of those with the same values of some parameters one runs at a time; others wait, or are canceled.
#[test]
fn a_policy_of_concurrency_looks_at_parameters() {
    let server = Server::start();
    let doors = server.data.parent().expect("a parent").join("doors");
    std::fs::create_dir(&doors).expect("a folder");
    let walk = |name: &str| {
        format!(
            "name: {name}\nrunner_type: local-shell-cmd\nparameters:\n  door: {{type: string, required: true}}\n  note: {{type: string}}\n  cmd: \
             {{immutable: true, default: 'until test -e {}/{{{{ door }}}}; do sleep 0.02; done'}}\n",
            doors.display()
        )
    };
    let policy = |action: &str, then: &str| {
        format!(
            "name: {action}\nresource_ref: doors.{action}\npolicy_type: action.concurrency.attr\nparameters: {{threshold: 1, action: {then}, \
             attributes: [door]}}\n"
        )
    };
    let files = [
        ("actions/waits.yaml", walk("waits")),
        ("actions/gives_up.yaml", walk("gives_up")),
        ("policies/waits.yaml", policy("waits", "delay")),
        ("policies/gives_up.yaml", policy("gives_up", "cancel")),
    ];
    write_pack(&server, "doors", &files.each_ref().map(|(path, text)| (*path, text.as_str())));
    server.ok("squall", &["reload"]);
    let begin = |action: &str, door: &str, note: &str| {
        let params = [format!("door={door}"), format!("note={note}")];
        let started = server.json(&["run", "--no-wait", "--json", action, &params[0], &params[1]]);
        started["id"].as_str().expect("an id").to_owned()
    };
    let status =
        |id: &str| server.json(&["execution", "get", id, "--json"])["status"].as_str().unwrap_or("").to_owned();
    let becomes = |id: &str, wanted: &str| support::wait(wanted, || (status(id) == wanted).then_some(()));

    let (first, other) = (begin("doors.waits", "north", "1"), begin("doors.waits", "south", "1"));
    becomes(&first, "running");
    becomes(&other, "running");
    let second = begin("doors.waits", "north", "2");
    becomes(&second, "delayed");
    let (only, refused) = (begin("doors.gives_up", "north", "1"), begin("doors.gives_up", "north", "2"));
    becomes(&only, "running");
    let refused = server.ended(&refused);
    assert_eq!(refused["status"], "canceled");
    assert_eq!(refused["result"]["message"], "Policy `doors.gives_up` lets 1 of it run at once.");
    assert_eq!(status(&second), "delayed", "the place is taken");
    std::fs::write(doors.join("north"), "").expect("it opens");
    for id in [first, second, only] {
        assert_eq!(server.ended(&id)["status"], "succeeded");
    }
    assert_eq!(status(&other), "running", "nobody opened the south");
    std::fs::write(doors.join("south"), "").expect("it opens");
    assert_eq!(server.ended(&other)["status"], "succeeded");
}
