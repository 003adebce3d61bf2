//! Tasks per second of the Orquesta conductor, in memory: `cargo bench -p squall-workflow --bench orquesta`.
//!
//! Each shape runs with 1,000 and with 10,000 tasks; what one task costs must not grow with the run.

use squall_expr::NoHost;
use squall_model::{Status, Value};
use squall_workflow::orquesta::{Definition, Spec, inspect};
use squall_workflow::{Begin, Fact, State, Stimulus, advance};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn sequence(count: usize) -> String {
    let mut text = String::from("version: 1.0\nvars: [{n: 0}]\ntasks:\n");
    for i in 0..count {
        let _ = writeln!(text, "  t{i}:\n    action: core.noop\n    input: {{n: <% ctx(n) %>}}");
        if i + 1 < count {
            let _ = writeln!(
                text,
                "    next:\n      - when: <% succeeded() %>\n        publish: [{{n: <% ctx(n) + 1 %>}}]\n        do: t{}",
                i + 1
            );
        }
    }
    text
}

/// Every task publishes a variable of its own.
fn memory(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for i in 0..count {
        let _ = writeln!(text, "  t{i}:\n    action: core.noop");
        if i + 1 < count {
            let _ = writeln!(text, "    next:\n      - publish: [{{v{i}: <% result() %>}}]\n        do: t{}", i + 1);
        }
    }
    text
}

/// `count / 100` times: a fork into 99 tasks and the join behind it.
fn joins(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for block in 0..count / 100 {
        for i in 0..99 {
            let _ = writeln!(
                text,
                "  b{block}x{i}: {{action: core.noop, next: [{{publish: [{{x{i}: {i}}}], do: j{block}}}]}}"
            );
        }
        let _ = writeln!(text, "  j{block}:\n    join: all\n    action: core.noop");
        if block + 1 < count / 100 {
            let names: Vec<String> = (0..99).map(|i| format!("b{}x{i}", block + 1)).collect();
            let _ = writeln!(text, "    next: [{{do: [{}]}}]", names.join(", "));
        }
    }
    text
}

fn items(count: usize, concurrency: usize) -> String {
    let limit = if concurrency == 0 { String::new() } else { format!("\n      concurrency: {concurrency}") };
    format!(
        "version: 1.0\ntasks:\n  t:\n    with:\n      items: i in <% range({count}).toList() %>{limit}\n    action: core.noop\n    input: {{i: <% item(i) %>}}\n"
    )
}

/// One big join: `count` branches at once.
fn fan(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for i in 0..count {
        let _ = writeln!(text, "  b{i}: {{action: core.noop, next: [{{do: j}}]}}");
    }
    text.push_str("  j: {join: all, action: core.noop}\n");
    text
}

/// Runs to the end; answers the number of offers and facts, and the time.
fn run(text: &str) -> (usize, usize, Duration) {
    let definition = Definition::load(text, []).expect("a sound definition");
    let definition = squall_workflow::Definition::Orquesta(Arc::new(definition));
    let mut state = State::new(&definition);
    let (mut offers, mut count, mut facts) = (std::collections::VecDeque::new(), 0, 0);
    let began = Instant::now();
    let mut stimulus = Some(Stimulus::Begin(Box::<Begin>::default()));
    while let Some(next) = stimulus {
        for fact in advance(&definition, &mut state, next, &NoHost) {
            facts += 1;
            if let Fact::Offered { offer } = fact {
                count += 1;
                offers.push_back(offer.run);
            }
        }
        stimulus =
            offers.pop_front().map(|run| Stimulus::Finished { run, status: Status::Succeeded, result: Value::Int(1) });
    }
    assert_eq!(state.status(), Status::Succeeded);
    (count, facts, began.elapsed())
}

fn main() {
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let shapes: [(&str, &dyn Fn(usize) -> String); 6] = [
        ("sequence", &sequence),
        ("a variable each", &memory),
        ("joins of 99", &joins),
        ("one join", &fan),
        ("items", &|n| items(n, 0)),
        ("items, 10 at once", &|n| items(n, 10)),
    ];
    for (name, shape) in shapes.iter().filter(|(name, _)| only.as_ref().is_none_or(|o| name.contains(o.as_str()))) {
        for count in [1_000, 10_000] {
            let text = shape(count);
            let (tasks, facts, took) = (0..3).map(|_| run(&text)).min_by_key(|r| r.2).expect("three runs");
            let rate = tasks as f64 / took.as_secs_f64();
            println!(
                "{name:20} {tasks:6} tasks {facts:7} facts {:8.1} ms {rate:10.0} tasks/s",
                took.as_secs_f64() * 1e3
            );
        }
    }
    for count in [1_000, 10_000] {
        let text = sequence(count);
        let began = Instant::now();
        let spec = Spec::read(&text).expect("a sound definition");
        let read = began.elapsed();
        assert!(inspect(&spec, []).is_empty());
        println!(
            "inspect {count:6} tasks: {:.1} ms, of which reading {:.1} ms",
            began.elapsed().as_secs_f64() * 1e3,
            read.as_secs_f64() * 1e3
        );
    }
}
