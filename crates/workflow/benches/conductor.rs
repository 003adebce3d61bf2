//! How many tasks a second the conductor takes through, in memory, with scripted results.
//!
//! `cargo bench -p squall-workflow --bench conductor` prints a table. Growth should be linear: the last column stays
//! about the same down each group. Nothing here is a test.

use squall_expr::NoHost;
use squall_model::{Map, Status, Value};
use squall_workflow::{Begin, Definition, Fact, State, Stimulus, advance, mistral};
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() {
    println!("{:<34} {:>8} {:>12} {:>12} {:>14}", "mistral", "tasks", "load ms", "run ms", "tasks/s");
    for n in [100, 1_000, 10_000] {
        report(&format!("sequence of {n}"), n, &sequence(n, false));
    }
    for n in [100, 1_000, 10_000] {
        report(&format!("sequence of {n}, publishing"), n, &sequence(n, true));
    }
    for n in [100, 1_000, 10_000] {
        report(&format!("join of {n}"), n + 2, &join(n));
    }
    for n in [100, 1_000, 10_000] {
        report(&format!("{n} items"), n, &items(n, 0));
    }
    for n in [100, 1_000, 10_000] {
        report(&format!("{n} items, 10 at a time"), n, &items(n, 10));
    }
    for n in [100, 1_000, 10_000] {
        report(&format!("loop of {n}"), n, &turns(n));
    }
}

fn sequence(n: usize, publishes: bool) -> String {
    let mut text = String::from("version: '2.0'\nw:\n  tasks:\n");
    for i in 0..n {
        let _ = writeln!(text, "    t{i}:\n      action: core.noop x=<% $.get(v, 0) %>");
        if publishes {
            let _ = writeln!(text, "      publish: {{v: <% task().result %>}}");
        }
        if i + 1 < n {
            let _ = writeln!(text, "      on-success: t{}", i + 1);
        }
    }
    text
}

fn join(n: usize) -> String {
    let mut text = String::from("version: '2.0'\nw:\n  tasks:\n    start:\n      on-success:\n");
    for i in 0..n {
        let _ = writeln!(text, "        - b{i}");
    }
    for i in 0..n {
        let _ = writeln!(text, "    b{i}: {{action: core.noop, on-success: end}}");
    }
    text + "    end: {join: all}\n"
}

fn items(n: usize, concurrency: usize) -> String {
    format!(
        "version: '2.0'\nw:\n  tasks:\n    t:\n      with-items: i in <% range({n}) %>\n      concurrency: {concurrency}\n      action: core.noop i=<% $.i %>\n      publish: {{all: <% task().result %>}}\n"
    )
}

fn turns(n: usize) -> String {
    format!(
        "version: '2.0'\nw:\n  vars: {{n: 0}}\n  tasks:\n    begin: {{on-success: step}}\n    step:\n      action: core.noop\n      publish: {{n: <% $.n + 1 %>}}\n      on-success:\n        - step: <% $.n < {n} %>\n"
    )
}

fn report(name: &str, tasks: usize, text: &str) {
    let loading = clock();
    let definition = mistral::Definition::bare(text, false, None).expect("the definitions here are sound");
    let loading = clock() - loading;
    let definition = Definition::Mistral(Arc::new(definition));
    // The clock ticks every few milliseconds: short runs are repeated.
    let times = (50_000 / tasks).max(3);
    let total = clock();
    (0..times).for_each(|_| run(&definition));
    let mean = (clock() - total) / times as u32;
    let rate = tasks as f64 / mean.as_secs_f64();
    println!("{name:<34} {tasks:>8} {:>12.2} {:>12.2} {rate:>14.0}", ms(loading), ms(mean));
}

/// Time that this thread spent on a processor, which other people's work does not stretch; wall time elsewhere.
fn clock() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = spent.and_then(|text| text.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
    spent.unwrap_or_else(|| START.elapsed())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn run(definition: &Definition) {
    let mut state = State::new(definition);
    let begin = Begin { execution: "bench".into(), action: "bench.w".into(), ..Begin::default() };
    let mut pending = VecDeque::from([Stimulus::Begin(Box::new(begin))]);
    let result = Value::from(Map::from_iter([("stdout".into(), Value::from("ok"))]));
    while let Some(stimulus) = pending.pop_front() {
        for fact in advance(definition, &mut state, stimulus, &NoHost) {
            if let Fact::Offered { offer } = fact {
                let (run, status, result) = (offer.run, Status::Succeeded, result.clone());
                pending.push_back(Stimulus::Finished { run, status, result });
            }
        }
    }
    assert_eq!(state.status(), Status::Succeeded, "{:?}", state.result());
}
