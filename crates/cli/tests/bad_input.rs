//! Bad input of every kind on a real server: a clear message where the person is, and nothing else is disturbed. After
//! each one a second person's command works as if nothing had been.

mod support;

use serde_json::{Value, json};
use support::{Person, Server, chat_answer, text, write_pack};

/// Files that are right, and one of each way to be wrong.
const PACK: &[(&str, &str)] = &[
    (
        "actions/hello.yaml",
        "name: hello\nrunner_type: local-shell-cmd\nparameters:\n  cmd: {default: echo hello, immutable: true}\n",
    ),
    (
        "aliases/hello.yaml",
        "name: hello\naction_ref: ops.hello\nformats: [hello there]\nresult: {format: '{{ execution.result.stdout }}'}\n",
    ),
    // Its parameters are more than its commands give.
    (
        "actions/count.yaml",
        "name: count\nrunner_type: noop\nparameters:\n  number: {type: integer, required: true, position: 0}\n",
    ),
    ("aliases/count.yaml", "name: count\naction_ref: ops.count\nformats: ['count to {{ number }}', 'count now']\n"),
    ("aliases/orphan.yaml", "name: orphan\naction_ref: ops.gone\nformats: [visit the orphan]\n"),
    ("aliases/twin_one.yaml", "name: twin_one\naction_ref: ops.hello\nformats: ['meet {{ a }}']\n"),
    ("aliases/twin_two.yaml", "name: twin_two\naction_ref: ops.hello\nformats: ['meet {{ a }}']\n"),
    // An expression that only fails when it runs.
    ("actions/fails.yaml", "name: fails\nrunner_type: mistral-v2\nentry_point: workflows/fails.yaml\n"),
    (
        "actions/workflows/fails.yaml",
        "version: '2.0'\nops.fails:\n  tasks:\n    one:\n      action: core.noop\n      publish:\n        x: <% $.nowhere.at.all + 1 %>\n      on-success: two\n    two:\n      action: core.noop\n",
    ),
    ("aliases/fails.yaml", "name: fails\naction_ref: ops.fails\nformats: [fail please]\n"),
];

fn server() -> Server {
    server_with(&[])
}

fn server_with(options: &'static [&'static str]) -> Server {
    let mut server = Server::prepared();
    server.options = options;
    server.up();
    write_pack(&server, "ops", PACK);
    server.run("squall", &["reload"]);
    server
}

/// A second person, whose command must work.
#[track_caller]
fn undisturbed(server: &Server) {
    let mut bob = server.person("bob", "ops");
    bob.say("!hello there");
    bob.hears("bob: hello");
}

/// What a person is told when they type something; nothing is started by it, and others are not disturbed.
#[track_caller]
fn refused(command: &str, parts: &[&str]) {
    let server = server();
    let mut alice = server.person("alice", "ops");
    alice.say(command);
    let told = alice.hears("alice:");
    for part in parts {
        assert!(told.contains(part), "no {part:?} in {told:?}");
    }
    assert_eq!(executions(&server), 0, "{told}");
    undisturbed(&server);
    alice.hears("bob: hello");
    assert_eq!(alice.said("alice:").len(), 1, "told once:\n{}", alice.transcript());
}

fn executions(server: &Server) -> usize {
    server.json(&["execution", "list", "--all", "--json"]).as_array().unwrap().len()
}

#[test]
fn an_unknown_command_gets_the_nearest() {
    refused("!helo there", &["I do not know the command `helo there`", "did you mean `!hello there`?", "`!help`"]);
}

#[test]
fn a_command_like_no_other_gets_the_way_to_help() {
    refused("!sing", &["I do not know the command `sing`; `!help` lists all commands"]);
}

#[test]
fn a_missing_parameter_is_named() {
    refused("!count now", &["not started", "number", "required"]);
}

#[test]
fn a_parameter_of_the_wrong_type_is_named() {
    refused("!count to ten", &["not started", "number", "ten"]);
}

#[test]
fn an_alias_without_its_action_says_so() {
    refused("!visit the orphan", &["alias `ops.orphan`", "action `ops.gone` does not exist"]);
}

#[test]
fn a_command_of_two_aliases_lists_both_or_takes_the_one_that_is_loaded() {
    let server = Server::start();
    write_pack(&server, "ops", PACK);
    let output = server.run("squall", &["reload"]);
    let said = text(&output.stdout);
    assert!(said.contains("SQ1302") && said.contains("twin_two.yaml:3:"), "{said}");
    undisturbed(&server);
}

#[test]
fn a_line_that_is_too_long_is_counted() {
    refused(&format!("!hello {}", "x".repeat(9_000)), &["9006 bytes", "at most 8192", "nothing was started"]);
}

#[test]
fn an_expression_that_fails_is_told_with_its_text() {
    let server = server();
    let mut alice = server.person("alice", "ops");
    alice.say("!fail please");
    alice.hears("started `ops.fails`");
    let list = server.json(&["execution", "list", "--json"]);
    let execution = server.ended(list[0]["id"].as_str().unwrap());
    assert_eq!(execution["status"], "failed", "{execution}");
    assert!(execution["result"].to_string().contains("nowhere"), "{}", execution["result"]);
    let told = alice.hears("failed");
    assert!(told.contains("nowhere"), "{told}");
    undisturbed(&server);
}

#[test]
fn broken_files_are_told_by_place_and_the_good_ones_work() {
    let server = Server::start();
    write_pack(&server, "ops", PACK);
    let wrong = [
        ("actions/broken.yaml", "name: broken\nrunner_type: noop\nparameters: {a: [1\n"),
        ("actions/typo.yaml", "name: typo\nrunner_type: nop\n"),
        ("actions/lost.yaml", "name: lost\nrunner_type: mistral-v2\nentry_point: workflows/lost.yaml\n"),
        (
            "actions/workflows/lost.yaml",
            "version: '2.0'\nops.lost:\n  tasks:\n    one:\n      action: core.noop\n      on-success: nobody\n",
        ),
        ("aliases/tabs.yaml", "name: tabs\n\taction_ref: ops.hello\n"),
    ];
    write_pack(&server, "ops", &wrong);
    let output = server.run("squall", &["reload"]);
    assert_eq!(output.status.code(), Some(1), "errors are a failure");
    let said = text(&output.stdout);
    for place in ["broken.yaml:", "typo.yaml:2:14", "lost.yaml:6:19", "tabs.yaml:2:1"] {
        assert!(said.contains(place), "no {place} in\n{said}");
    }
    assert!(said.contains("Task 'nobody' not found") && said.contains("did you mean `noop`"), "{said}");
    undisturbed(&server);
    // What is not loaded is not there, and says so.
    let output = server.run("squall", &["run", "ops.typo"]);
    assert_eq!((output.status.code(), output.stderr.is_empty()), (Some(1), false));
    let output = server.run("squall", &["run", "ops.lost"]);
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody") || said.contains("cannot be found"), "{said}");
}

#[test]
fn names_with_control_characters_are_refused() {
    let server = server();
    for (name, channel) in [("ali\u{1b}ce", "ops"), ("alice", "o\nps"), ("", "ops"), ("alice", &"x".repeat(65))] {
        let hello = json!({"hello": {"name": name, "channel": channel}}).to_string();
        let answer = chat_answer(&server.data, &hello);
        assert!(answer["error"]["text"].as_str().is_some_and(|t| t.contains("1 to 64 letters")), "{answer}");
    }
    undisturbed(&server);
}

#[test]
fn what_a_terminal_would_obey_is_shown_instead() {
    let server = server();
    let mut alice = server.person("alice", "ops");
    alice.say("!\u{1b}]0;owned\u{7}\u{202e}");
    let told = alice.hears("I do not know");
    assert!(!told.contains('\u{1b}') && !told.contains('\u{202e}') && told.contains("\\u{1B}"), "{told:?}");
    undisturbed(&server);
}

#[test]
fn a_client_that_speaks_nonsense_is_told_and_let_go() {
    let server = server();
    let first = |answer: Value| answer["error"]["text"].as_str().unwrap_or_default().to_owned();
    assert!(first(chat_answer(&server.data, "GET / HTTP/1.1")).contains("hello"));
    assert!(first(chat_answer(&server.data, r#"{"say": {"id": "1", "text": "!hello there"}}"#)).contains("hello"));
    let endless = json!({"say": {"id": "1", "text": "x".repeat(70_000)}}).to_string();
    let mut alice: Person = server.person("alice", "ops");
    // It may be hung up on before everything is said.
    let _ = alice.say_as("endless", &endless);
    support::wait("the end of the connection", || alice.hung_up().then_some(()));
    undisturbed(&server);
}

#[test]
fn a_flood_is_slowed_down() {
    let server = server();
    let mut alice = server.person("alice", "ops");
    for _ in 0..40 {
        alice.say("!count to 1");
    }
    alice.hears("too fast: wait a few seconds");
    undisturbed(&server);
}

#[test]
fn requests_that_make_no_sense_are_refused_by_the_api() {
    let server = server();
    for (words, part) in [
        (&["run", "ops.count"][..], "number"),
        (&["run", "ops.count", "number=1", "other=2"], "other"),
        (&["run", "ops.hello", "cmd=rm -rf /"], "immutable"),
        (&["run", "no-reference"], "cannot be found"),
        (&["run", "ops.count", "number={{ nothing.here }}"], "number"),
        (&["execution", "get", "not-an-id"], "not-an-id"),
    ] {
        let output = server.run("squall", words);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "{words:?}: {said}");
    }
    assert_eq!(executions(&server), 0);
    undisturbed(&server);
}

/// Bounds so small that a short expression reaches them, and a pack that works within them.
const TIGHT: &[&str] = &[
    "--limit=steps=20_000",
    "--limit=bytes=100_000",
    "--limit=output=2_000",
    "--limit=depth=40",
    "--limit=recursion=5",
];

/// An expression for each bound that goes beyond it.
fn hostile() -> [(&'static str, String); 5] {
    [
        ("steps", "{% for a in range(100) %}{% for b in range(1000) %}{% endfor %}{% endfor %}".into()),
        ("bytes", "{{ ('a' * 500000) | length }}".into()),
        ("output", "{% for a in range(1000) %}abcdefgh{% endfor %}".into()),
        ("depth", format!("{{{{ {}true }}}}", "not ".repeat(60))),
        ("recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".into()),
    ]
}

#[track_caller]
fn names_the_bound(said: &str, bound: &str) {
    assert!(said.contains(&format!("limit `{bound}`")), "{bound}: {said}");
}

/// Writes files into the pack and loads it again.
fn rewrite(server: &Server, files: &[(&str, &str)]) {
    write_pack(server, "ops", files);
    server.run("squall", &["reload"]);
}

#[test]
fn a_hostile_parameter_ends_in_an_error_that_names_the_bound() {
    let server = server_with(TIGHT);
    for (bound, expression) in hostile() {
        let action = format!(
            "name: greedy\nrunner_type: noop\nparameters:\n  text: {{type: string, default: \"{expression}\"}}\n"
        );
        rewrite(&server, &[("actions/greedy.yaml", &action)]);
        let output = server.run("squall", &["run", "ops.greedy"]);
        assert!(!output.status.success());
        names_the_bound(&format!("{}{}", text(&output.stdout), text(&output.stderr)), bound);
        undisturbed(&server);
    }
}

#[test]
fn a_hostile_workflow_ends_in_an_error_that_names_the_bound() {
    let server = server_with(TIGHT);
    for (bound, expression) in [
        ("steps", "range(1000000).sum()".to_owned()),
        ("bytes", "'a' * 500000".into()),
        ("output", "range(1000).join(' ')".into()),
        ("depth", format!("{}true", "not ".repeat(60))),
        ("recursion", "def(f, f()) -> f()".into()),
    ] {
        let workflow = format!(
            "version: '2.0'\nops.greedy:\n  tasks:\n    one:\n      action: core.noop\n      publish:\n        x: \"<% {expression} %>\"\n"
        );
        let action = "name: greedy\nrunner_type: mistral-v2\nentry_point: workflows/greedy.yaml\n";
        rewrite(&server, &[("actions/greedy.yaml", action), ("actions/workflows/greedy.yaml", &workflow)]);
        let output = server.run("squall", &["run", "ops.greedy", "--json"]);
        let said = text(&output.stdout);
        assert!(said.contains(r#""status": "failed""#), "{said}");
        names_the_bound(&said, bound);
        undisturbed(&server);
    }
}

#[test]
fn a_hostile_answer_in_chat_is_an_error_that_names_the_bound() {
    let server = server_with(TIGHT);
    for (bound, expression) in hostile() {
        let alias = format!(
            "name: greedy\naction_ref: ops.hello\nformats: [be greedy]\nresult: {{format: \"{expression}\"}}\n"
        );
        rewrite(&server, &[("aliases/greedy.yaml", &alias)]);
        let mut alice = server.person("alice", "ops");
        alice.say("!be greedy");
        names_the_bound(&alice.hears("the result format of the alias failed"), bound);
        undisturbed(&server);
    }
}

#[test]
fn what_the_clock_ended_stays_ended_after_a_restart() {
    // No time at all: whatever takes more than two portions of steps is over.
    let mut server = server_with(&["--limit=time=0"]);
    let workflow = "version: '2.0'\nops.slow:\n  tasks:\n    one:\n      action: core.noop\n      publish:\n        x: <% range(20000).sum() %>\n";
    let files = [
        ("actions/slow.yaml", "name: slow\nrunner_type: mistral-v2\nentry_point: workflows/slow.yaml\n"),
        ("actions/workflows/slow.yaml", workflow),
    ];
    write_pack(&server, "ops", &files);
    server.run("squall", &["reload"]);
    let ran = |server: &Server| -> Value {
        let output = server.run("squall", &["run", "ops.slow", "--json"]);
        serde_json::from_slice(&output.stdout).expect("an execution")
    };
    let said = ran(&server);
    let id = said["id"].as_str().expect("an id").to_owned();
    assert_eq!(said["status"], "failed", "{said}");
    assert!(said["result"].to_string().contains("more than 0 milliseconds (limit `time`)"), "{said}");
    let history = |server: &Server| server.ok("squall", &["execution", "history", &id]);
    let before = history(&server);
    // With all the time in the world the error is still what was recorded: nothing is evaluated again.
    server.kill();
    server.options = &[];
    server.up();
    assert_eq!(history(&server), before);
    assert_eq!(server.json(&["execution", "get", &id, "--json"])["status"], "failed");
    let again = ran(&server);
    assert_eq!(again["status"], "succeeded", "{again}");
}
