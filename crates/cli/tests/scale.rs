//! Large workflows on a real server: what they take grows with their size, and a large result is kept once.
//!
//! Sizes decide, never times: memory from `/proc`, bytes from the data directory.

mod support;

use std::time::{Duration, Instant};
use support::{Server, write_pack};

/// Longer than any of these takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn workflow(name: &str, runner: &str) -> String {
    format!("name: {name}\nrunner_type: {runner}\nentry_point: workflows/{name}.yaml\n")
}

/// `count` tasks, one after the other.
fn sequence(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for n in 0..count {
        text.push_str(&format!("  t{n}:\n    action: core.noop\n"));
        if n + 1 < count {
            text.push_str(&format!("    next:\n      - do: t{}\n", n + 1));
        }
    }
    text
}

fn items(count: usize) -> String {
    format!("version: 1.0\ntasks:\n  all:\n    with: i in <% range(0, {count}) %>\n    action: core.noop\n")
}

/// `count` tasks, each of which publishes a variable of its own.
fn variables(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for n in 0..count {
        text.push_str(&format!("  t{n}:\n    action: core.noop\n"));
        if n + 1 < count {
            text.push_str(&format!("    next:\n      - publish: [{{v{n}: <% result() %>}}]\n        do: t{}\n", n + 1));
        }
    }
    text
}

/// The same in Mistral.
fn mistral_variables(count: usize) -> String {
    let mut text = String::from("version: '2.0'\nscale.w:\n  tasks:\n");
    for n in 0..count {
        text.push_str(&format!("    t{n}:\n      action: core.noop\n      publish: {{v{n}: <% task().result %>}}\n"));
        if n + 1 < count {
            text.push_str(&format!("      on-success: t{}\n", n + 1));
        }
    }
    text
}

/// Peak memory of a process in kilobytes.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// Bytes of the database with its log.
fn stored(server: &Server) -> u64 {
    let size = |name: &str| std::fs::metadata(server.data.join(name)).map_or(0, |m| m.len());
    size("squall.db") + size("squall.db-wal")
}

/// Runs a workflow to its end; answers how many children it had.
fn run(server: &Server, action: &str) -> u64 {
    let started = server.json(&["run", action, "--no-wait", "--json"]);
    let id = started["id"].as_str().expect("an id").to_owned();
    let begun = Instant::now();
    loop {
        let now = server.json(&["execution", "get", &id, "--json"]);
        match now["status"].as_str().expect("a status") {
            "succeeded" => return now["children"].as_array().map_or(0, |all| all.len() as u64),
            "running" | "requested" => assert!(begun.elapsed() < PATIENCE, "{action} does not end"),
            other => panic!("{action} is {other}: {}", now["result"]),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Memory that a workflow of `count` tasks takes on a fresh server beyond what the server takes idle, and the bytes of its
/// database once the log is carried over into it.
fn cost(runner: &str, definition: &str, count: u64) -> (u64, u64) {
    let mut server = Server::start();
    let action = workflow("w", runner);
    write_pack(&server, "scale", &[("actions/w.yaml", &action), ("actions/workflows/w.yaml", definition)]);
    server.ok("squall", &["reload"]);
    server.ok("squall", &["run", "core.noop"]);
    let memory = peak(&server);
    assert_eq!(run(&server, "scale.w"), count, "every task ran");
    let grown = peak(&server) - memory;
    server.stop();
    (grown, stored(&server))
}

fn grows_with_its_size(runner: &str, definition: impl Fn(usize) -> String) {
    let small = cost(runner, &definition(1_000), 1_000);
    let large = cost(runner, &definition(10_000), 10_000);
    println!("1,000: {} kB of memory, {} bytes; 10,000: {} kB, {} bytes", small.0, small.1, large.0, large.1);
    assert!(large.0 < 13 * small.0.max(20_000), "memory: {} kB for 1,000, {} kB for 10,000", small.0, large.0);
    assert!(large.1 < 13 * small.1, "database: {} bytes for 1,000, {} for 10,000", small.1, large.1);
}

#[test]
fn ten_thousand_tasks_take_ten_times_a_thousand() {
    grows_with_its_size("orquesta", sequence);
}

#[test]
fn ten_thousand_items_take_ten_times_a_thousand() {
    grows_with_its_size("orquesta", items);
}

#[test]
fn ten_thousand_variables_take_ten_times_a_thousand() {
    grows_with_its_size("orquesta", variables);
}

#[test]
fn ten_thousand_variables_of_mistral_take_ten_times_a_thousand() {
    grows_with_its_size("mistral-v2", mistral_variables);
}

/// Ten megabytes from one action, handed to twenty others.
#[test]
fn a_large_result_is_stored_once() {
    let server = Server::start();
    let half = 5_000_000;
    let fill = format!("head -c {half} /dev/zero | tr '\\\\0' x; head -c {half} /dev/zero | tr '\\\\0' y >&2");
    let make = format!(
        "name: make\nrunner_type: local-shell-cmd\nparameters:\n  cmd: {{immutable: true, default: \"{fill}\"}}\n"
    );
    let take = "name: take\nrunner_type: noop\nparameters:\n  data: {type: object, required: true}\n";
    let mut text = String::from(
        "version: 1.0\ntasks:\n  make:\n    action: scale.make\n    next:\n      - publish: [big: <% result() %>]\n        do: t0\n",
    );
    for n in 0..20 {
        text.push_str(&format!("  t{n}:\n    action: scale.take\n    input: {{data: <% ctx().big %>}}\n"));
        if n < 19 {
            text.push_str(&format!("    next:\n      - publish: [p{n}: <% ctx().big %>]\n        do: t{}\n", n + 1));
        }
    }
    write_pack(
        &server,
        "scale",
        &[
            ("actions/make.yaml", make.as_str()),
            ("actions/take.yaml", take),
            ("actions/hand_on.yaml", &workflow("hand_on", "orquesta")),
            ("actions/workflows/hand_on.yaml", &text),
        ],
    );
    server.ok("squall", &["reload"]);
    let before = stored(&server);
    assert_eq!(run(&server, "scale.hand_on"), 21);
    let grown = stored(&server) - before;
    println!("{grown} bytes for a result of {} handed to 20 tasks", 2 * half);
    // Once in the database, and at most once more in its log.
    assert!(grown < 25_000_000, "{grown} bytes");
}
