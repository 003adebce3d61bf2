//! Questions and answers through the terminal chat, with the real program: threads, private conversations, silence, the client in a pipe.

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;
use support::{Person, Server, chat_answer, wait, write_pack};

/// A command that writes a line to a file, and asks first for ten seconds, which is as short as it may be.
fn pack(server: &Server) -> PathBuf {
    let effect = server.data.parent().expect("a parent").join("effect");
    let cmd = format!("echo \"{{{{ what }}}}\" >> {}", effect.display());
    let action = format!(
        "name: wipe\nrunner_type: local-shell-cmd\nparameters:\n  what: {{type: string, required: true}}\n  \
         cmd: {{immutable: true, default: '{cmd}'}}\n"
    );
    let alias = |word: &str, confirm: &str| {
        format!(
            "name: danger_{word}\naction_ref: danger.wipe\nformats: ['{word} {{{{ what }}}}']\nresult: {{format: 'wiped \
             {{{{ execution.parameters.what }}}}'}}\nextra: {{squall: {{confirm: {confirm}}}}}\n"
        )
    };
    let (wipe, hasty) = (alias("wipe", "true"), alias("hasty", "{timeout: 10s}"));
    let files = [("actions/wipe.yaml", action.as_str()), ("aliases/wipe.yaml", &wipe), ("aliases/hasty.yaml", &hasty)];
    write_pack(server, "danger", &files);
    server.ok("squall", &["reload"]);
    effect
}

fn effects(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The question that somebody was shown.
#[track_caller]
fn question(person: &mut Person) -> Value {
    person.hears("please confirm");
    let asked = person.log.iter().rfind(|m| m.get("asks").is_some());
    asked.cloned().unwrap_or_else(|| panic!("no question:\n{}", person.transcript()))
}

#[test]
fn a_plain_yes_counts_in_the_thread_of_the_question_and_nowhere_else() {
    let server = Server::start();
    let effect = pack(&server);
    let (mut alice, mut bob) = (server.person("alice", "ops"), server.person("bob", "ops"));
    alice.say("!wipe db1");
    let asked = question(&mut alice);
    let thread = asked["seq"].as_i64().expect("a number");
    assert!(asked["asks"]["expires_at"].is_string(), "{asked}");
    alice.say("yes");
    bob.hears("please confirm");
    bob.reply("yes", thread);
    let refused = bob.hears("you cannot approve");
    assert!(refused.contains("it needs alice"), "{refused}");
    assert_eq!(effects(&effect), "", "a yes in the channel, and one of somebody else");
    alice.reply("yes", thread);
    alice.hears("wiped db1");
    assert_eq!(effects(&effect), "db1\n");
    let edit = alice.edits.first().expect("the question is edited").clone();
    assert_eq!(edit["confirmation"], asked["asks"]["confirmation"]);
    assert_eq!(edit["state"], "released");
    assert!(edit["text"].as_str().is_some_and(|t| t.starts_with("▶ Confirmed by alice")), "{edit}");
    alice.reply("yes", thread);
    alice.hears("is already finished");
    assert_eq!(effects(&effect), "db1\n", "it ran once");
}

#[test]
fn silence_means_no() {
    let server = Server::start();
    let effect = pack(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!hasty db1");
    let asked = question(&mut alice);
    let execution = asked["execution"].as_str().expect("an execution").to_owned();
    let told = alice.hears("No confirmation for");
    assert!(told.contains("within 10 s") && told.contains("was not run"), "{told}");
    assert_eq!(server.ended(&execution)["status"], "timeout");
    let thread = asked["seq"].as_i64().expect("a number");
    alice.reply("yes", thread);
    alice.hears("Too late");
    assert_eq!(effects(&effect), "");
    assert_eq!(alice.edits.first().map(|e| e["state"].clone()), Some(json!("expired")));
}

#[test]
fn a_private_conversation_is_between_two() {
    let server = Server::start();
    let effect = pack(&server);
    let refused = chat_answer(&server.data, r#"{"hello": {"name": "bob", "channel": "@alice"}}"#);
    assert!(refused["error"]["text"].as_str().is_some_and(|t| t.contains("only your own")), "{refused}");
    let mut alice = server.person("alice", "@alice");
    alice.say("wipe db1");
    question(&mut alice);
    alice.say("Yes.");
    alice.hears("wiped db1");
    assert_eq!(effects(&effect), "db1\n");
}

#[test]
fn an_answer_in_the_thread_counts_after_a_kill() {
    let mut server = Server::start();
    let effect = pack(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!wipe db1");
    let thread = question(&mut alice)["seq"].as_i64().expect("a number");
    server.kill();
    server.up();
    let mut alice = alice.again();
    alice.reply("yes", thread);
    alice.hears("wiped db1");
    assert_eq!(effects(&effect), "db1\n");
    assert_eq!(alice.said("please confirm").len(), 1, "asked once:\n{}", alice.transcript());
}

#[test]
fn the_client_in_a_pipe_replies_in_the_thread() {
    let server = Server::start();
    let effect = pack(&server);
    let mut chat = server
        .command("squall", &["chat", "--as", "alice"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = chat.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(chat.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut see = |part: &str| {
        let found = lines.by_ref().find(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("the chat ended before {part:?}"))
    };
    writeln!(input, "/reply yes\n!wipe db1").expect("it reads");
    see("please confirm");
    let ways = see("Confirm: !confirm");
    assert!(ways.contains("60 s left"), "nothing counts down in a pipe: {ways}");
    writeln!(input, "/reply yes").expect("it reads");
    see("▶ Confirmed by alice");
    wait("the effect", || (effects(&effect) == "db1\n").then_some(()));
    drop(input);
    let output = chat.wait_with_output().expect("it ends");
    let told = support::text(&output.stderr);
    assert!(told.contains("no question is open here"), "{told}");
}
