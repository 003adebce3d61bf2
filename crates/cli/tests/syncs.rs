//! What was acknowledged is on the disk, not only in the page cache: the order of system calls, and a disk that fails.
//!
//! `kill -9` cannot tell these from luck, because the page cache survives it. They need `strace`, which `make test` installs.

mod support;

use serde_json::Value;
use std::process::{Command, Stdio};
use support::{Server, wait};

/// A test that looked at nothing would pass for one that found nothing.
fn needs_strace() {
    let mut tried = Command::new("strace");
    let tried = tried.args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let works = tried.is_ok_and(|status| status.success());
    assert!(works, "`strace` is not installed, or may not trace here: `make tools` installs it");
}

/// The file descriptor that a call is about.
fn descriptor(call: &str) -> Option<&str> {
    call.split_once('(')?.1.split([',', ')', ' ']).next()
}

/// Whether `word` was written to the log, the log was synced after that, and only then `word` was sent.
fn synced_before_sent(trace: &str, word: &str) -> Result<(), String> {
    let lines: Vec<(&str, &str)> = trace.lines().filter_map(|l| l.split_once(char::is_whitespace)).collect();
    let has = |call: &str, name: &str| call.trim_start().starts_with(name) && call.contains(word);
    let written = lines.iter().position(|(_, call)| has(call, "pwrite64("));
    let written = written.ok_or_else(|| format!("{word} was never written"))?;
    let (thread, call) = lines[written];
    let log = descriptor(call).ok_or("a call without a descriptor")?;
    let ends = |(pid, call): &(&str, &str)| {
        let whole = call.trim_start().starts_with(&format!("fsync({log})")) && call.ends_with("= 0");
        let whole = whole || call.trim_start().starts_with(&format!("fdatasync({log})")) && call.ends_with("= 0");
        *pid == thread && (whole || call.contains("sync resumed") && call.ends_with("= 0"))
    };
    let synced = lines[written..].iter().position(ends).ok_or_else(|| format!("{word} was never synced"))?;
    let sent = ["sendto(", "writev("];
    let sent = lines.iter().position(|(_, call)| sent.iter().any(|name| has(call, name)));
    match sent {
        Some(sent) if sent > written + synced => Ok(()),
        Some(sent) => Err(format!("{word} was sent in line {sent}, synced in line {}", written + synced)),
        None => Err(format!("{word} was never sent")),
    }
}

#[test]
fn d03_nobody_is_told_before_the_sync() {
    needs_strace();
    let mut server = Server::prepared();
    let trace = server.data.parent().expect("a parent").join("trace");
    let file = trace.to_str().expect("text");
    let calls = "trace=fdatasync,fsync,pwrite64,sendto,write,writev";
    server.begin_under(&["strace", "-D", "-f", "-qq", "-s", "9000", "-e", calls, "-o", file]);
    server.is_up();
    let mut alice = server.person("alice", "ops");
    alice.say("!greet Nebuchadnezzar");
    alice.hears("Hello, Nebuchadnezzar!");
    server.json(&["run", "--json", "core.announcement", "message={\"word\": \"Semiramis\"}"]);
    let told = || std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("Semiramis"));
    wait("the trace", || told().then_some(()));
    server.stop();
    let trace = std::fs::read_to_string(&trace).expect("a trace");
    for word in ["!greet Nebuchadnezzar", "Hello, Nebuchadnezzar!", "Semiramis"] {
        if let Err(wrong) = synced_before_sent(&trace, word) {
            panic!("{wrong}");
        }
    }
}

#[test]
fn d06_a_failed_sync_ends_the_server_and_loses_nothing() {
    needs_strace();
    let mut server = Server::prepared();
    // Only the writer syncs so often; its count is its own.
    let fails = "inject=fsync,fdatasync:error=EIO:when=60";
    server.begin_under(&["strace", "-D", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", fails, "-o", "/dev/null"]);
    server.is_up();
    let mut acknowledged = Vec::new();
    let refused = wait("a refusal", || {
        let output = server.run("squall", &["run", "--no-wait", "--json", "core.noop"]);
        let started: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        match started.as_ref().and_then(|e| e["id"].as_str()) {
            Some(id) => {
                acknowledged.push(id.to_owned());
                None
            }
            None => Some(support::text(&output.stderr)),
        }
    });
    assert_eq!(server.has_ended(), Some(74), "{refused}");
    server.up();
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    for id in acknowledged {
        assert_eq!(server.ended(&id)["status"], "succeeded", "{id}");
    }
}
