//! How fast the conductor is, and how it grows: `cargo bench -p squall-workflow --bench conductor [WORD]`.
//!
//! Scripted results, in memory, all three languages. The table has a value, a target and whether it was met. *Growth* is what
//! one task costs in a run of 10,000 compared with a run of 100: 1.00 is linear, and 1.20 is the limit. The columns of
//! other engines are what Orquesta 1.6.0 and Mistral 23.0.0 reached for the same shape on two cores. Times are of the
//! processor, which other people's work does not stretch. Nothing here is a test.

use squall_expr::NoHost;
use squall_model::{ActionRef, Map, Status, Value};
use squall_workflow::{Begin, Definition, Fact, Language, LoadOptions, State, Stimulus, advance};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Tasks a second.
const RATE: f64 = 100_000.0;
/// What a task may cost more in a run a hundred times as long.
const GROWTH: f64 = 1.2;
/// Milliseconds to load and inspect 1,000 tasks.
const LOADING: f64 = 20.0;
/// What a result of 10 MB may cost when 20 tasks hand it on, in MB.
const SHARED: f64 = 15.0;

struct Shape {
    language: Language,
    name: &'static str,
    text: fn(usize) -> String,
    /// The size that the target is for, and what the original engine reached with it.
    target: Option<(usize, Option<f64>)>,
}

const SHAPES: &[Shape] = &[
    Shape { language: Language::Mistral, name: "sequence", text: mistral_sequence, target: Some((1_000, Some(4.0))) },
    Shape { language: Language::Mistral, name: "join", text: mistral_join, target: Some((100, Some(17.0))) },
    Shape { language: Language::Mistral, name: "items", text: mistral_items, target: Some((1_000, Some(85.0))) },
    Shape { language: Language::Mistral, name: "items, 10 at once", text: mistral_few, target: None },
    Shape { language: Language::Mistral, name: "loop", text: mistral_loop, target: None },
    Shape {
        language: Language::Orquesta,
        name: "sequence",
        text: orquesta_sequence,
        target: Some((1_000, Some(19.0))),
    },
    Shape { language: Language::Orquesta, name: "join", text: orquesta_join, target: Some((100, Some(234.0))) },
    Shape { language: Language::Orquesta, name: "items", text: orquesta_items, target: Some((1_000, Some(0.4))) },
    Shape { language: Language::Orquesta, name: "items, 10 at once", text: orquesta_few, target: None },
    Shape { language: Language::Orquesta, name: "a variable each", text: orquesta_variables, target: None },
    Shape { language: Language::Chain, name: "sequence", text: chain_sequence, target: Some((1_000, None)) },
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name, count] = arguments.as_slice()
        && flag == "--kept"
    {
        let shape = SHAPES.iter().find(|shape| label(shape) == *name).expect("the parent names a shape");
        return println!("{}", kept(shape, count.parse().expect("the parent gives a number")));
    }
    let only = arguments.get(1).filter(|arg| !arg.starts_with('-'));
    let wanted = |shape: &&Shape| only.as_ref().is_none_or(|word| label(shape).contains(word.as_str()));
    println!(
        "{:<28} {:>10} {:>10} {:>6} {:>10}   {:>10} {:>8} {:>8} {:>6}",
        "tasks a second", "value", "target", "", "original", "at 10,000", "growth", "memory", ""
    );
    for shape in SHAPES.iter().filter(wanted) {
        rate(shape);
    }
    println!("\n{:<28} {:>10} {:>10}", "1,000 tasks, load and inspect", "ms", "target");
    for shape in SHAPES.iter().filter(|shape| shape.name == "sequence").filter(wanted) {
        let text = (shape.text)(1_000);
        let took = best(5, || load(shape.language, &text)) * 1e3;
        println!("{:<28} {took:>10.1} {LOADING:>10.0} {:>6}", label(shape), verdict(took <= LOADING));
    }
    println!("\n{:<28} {:>10} {:>10}", "10 MB along 20 tasks", "MB", "target");
    for (language, text) in [(Language::Mistral, mistral_hand_on()), (Language::Orquesta, orquesta_hand_on())] {
        let definition = load(language, &text);
        let before = resident();
        let state = run(&definition, &Value::from("x".repeat(10_000_000)));
        let grew = resident() - before;
        drop(state);
        println!("{:<28} {grew:>10.1} {SHARED:>10.0} {:>6}", format!("{language:?}"), verdict(grew <= SHARED));
    }
}

fn label(shape: &Shape) -> String {
    format!("{:?}, {}", shape.language, shape.name)
}

fn verdict(holds: bool) -> &'static str {
    if holds { "ok" } else { "MISS" }
}

fn rate(shape: &Shape) {
    let result = Value::from(Map::from_iter([("stdout".into(), Value::from("ok"))]));
    let cost = |count: usize| {
        let definition = load(shape.language, &(shape.text)(count));
        let runs = (20_000 / count).max(1);
        best(5, || (0..runs).for_each(|_| drop(run(&definition, &result)))) / (runs * count) as f64
    };
    let (small, large) = (cost(100), cost(10_000));
    let memory = kept_alone(shape, 10_000) / kept_alone(shape, 100);
    let growth = large / small;
    let (value, target, met, original) = match shape.target {
        None => (String::new(), String::new(), "", String::new()),
        Some((count, original)) => {
            let value = 1.0 / cost(count);
            let original = original.map(|rate| format!("{rate} ×{:.0}", value / rate)).unwrap_or_default();
            (format!("{value:.0}"), format!("{RATE:.0}"), verdict(value >= RATE), original)
        }
    };
    println!(
        "{:<28} {value:>10} {target:>10} {met:>6} {original:>10}   {:>10.0} {growth:>8.2} {memory:>8.2} {:>6}",
        label(shape),
        1.0 / large,
        verdict(growth <= GROWTH && memory <= GROWTH)
    );
}

/// What [`kept`] says in a process of its own, whose memory nothing else has used before.
fn kept_alone(shape: &Shape, count: usize) -> f64 {
    let program = std::env::current_exe().expect("a running program has a file");
    let output = std::process::Command::new(program).args(["--kept", &label(shape), &count.to_string()]).output();
    let output = output.expect("this program can be started again");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("it prints a number")
}

/// Resident memory in MB that finished runs of `count` tasks keep, for each task.
fn kept(shape: &Shape, count: usize) -> f64 {
    let result = Value::from(Map::from_iter([("stdout".into(), Value::from("ok"))]));
    let definition = load(shape.language, &(shape.text)(count));
    let runs = 100_000 / count;
    let before = resident();
    let states: Vec<State> = (0..runs).map(|_| run(&definition, &result)).collect();
    let grew = resident() - before;
    drop(states);
    grew / (runs * count) as f64
}

/// The shortest of several times, in seconds.
fn best<T>(times: usize, mut f: impl FnMut() -> T) -> f64 {
    let once = |_| {
        let began = clock();
        std::hint::black_box(f());
        (clock() - began).as_secs_f64()
    };
    (0..times).map(once).fold(f64::INFINITY, f64::min)
}

/// Time that this thread spent on a processor; wall time where nobody counts it.
fn clock() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = spent.and_then(|text| text.split(' ').next()?.parse().ok()).map(Duration::from_nanos);
    spent.unwrap_or_else(|| START.elapsed())
}

/// Resident memory in MB.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4096.0 / 1e6
}

fn load(language: Language, text: &str) -> Definition {
    let options = LoadOptions { reference: ActionRef::new("bench", "w"), path: "w.yaml".into() };
    Definition::load(language, text, &options).expect("the definitions here are sound")
}

fn run(definition: &Definition, result: &Value) -> State {
    let mut state = State::new(definition);
    let begin = Begin { execution: "bench".into(), action: "bench.w".into(), ..Begin::default() };
    let mut pending = VecDeque::from([Stimulus::Begin(Box::new(begin))]);
    while let Some(stimulus) = pending.pop_front() {
        for fact in advance(definition, &mut state, stimulus, &NoHost) {
            if let Fact::Offered { offer } = fact {
                let (run, status, result) = (offer.run, Status::Succeeded, result.clone());
                pending.push_back(Stimulus::Finished { run, status, result });
            }
        }
    }
    assert_eq!(state.status(), Status::Succeeded, "{:?}", state.result());
    state
}

// ---- the definitions ------------------------------------------------------------------------------------------------

fn mistral(tasks: &str) -> String {
    format!("version: '2.0'\nbench.w:\n  tasks:\n{tasks}")
}

fn mistral_sequence(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let _ = writeln!(text, "    t{i}:\n      action: core.noop x=<% $.get(v, 0) %>");
        let _ = writeln!(text, "      publish: {{v: <% task().result %>}}");
        if i + 1 < count {
            let _ = writeln!(text, "      on-success: t{}", i + 1);
        }
    }
    mistral(&text)
}

fn mistral_join(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let _ = writeln!(text, "    b{i}: {{action: core.noop, on-success: end}}");
    }
    mistral(&(text + "    end: {join: all}\n"))
}

fn mistral_items(count: usize) -> String {
    mistral(&format!(
        "    t:\n      with-items: i in <% range({count}) %>\n      action: core.noop i=<% $.i %>\n      publish: {{all: <% task().result %>}}\n"
    ))
}

fn mistral_few(count: usize) -> String {
    mistral_items(count) + "      concurrency: 10\n"
}

fn mistral_loop(count: usize) -> String {
    mistral(&format!(
        "    begin: {{publish: {{n: 0}}, on-success: step}}\n    step:\n      action: core.noop\n      publish: {{n: <% $.n + 1 %>}}\n      on-success:\n        - step: <% $.n < {count} %>\n"
    ))
}

fn mistral_hand_on() -> String {
    let mut text = String::new();
    for i in 0..20 {
        let _ = writeln!(text, "    t{i}:\n      action: core.noop x=<% $.get(v, 0) %>");
        let _ = writeln!(text, "      publish: {{v: <% task().result %>}}");
        if i < 19 {
            let _ = writeln!(text, "      on-success: t{}", i + 1);
        }
    }
    mistral(&text)
}

fn orquesta_sequence(count: usize) -> String {
    let mut text = String::from("version: 1.0\nvars: [{n: 0}]\ntasks:\n");
    for i in 0..count {
        let _ = writeln!(text, "  t{i}:\n    action: core.noop\n    input: {{n: <% ctx(n) %>}}");
        if i + 1 < count {
            let next = i + 1;
            let _ = writeln!(
                text,
                "    next:\n      - when: <% succeeded() %>\n        publish: [{{n: <% result() %>}}]\n        do: t{next}"
            );
        }
    }
    text
}

/// Every task publishes a variable of its own.
fn orquesta_variables(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for i in 0..count {
        let _ = writeln!(text, "  t{i}:\n    action: core.noop");
        if i + 1 < count {
            let _ = writeln!(text, "    next:\n      - publish: [{{v{i}: <% result() %>}}]\n        do: t{}", i + 1);
        }
    }
    text
}

fn orquesta_join(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for i in 0..count {
        let _ = writeln!(text, "  b{i}: {{action: core.noop, next: [{{do: j}}]}}");
    }
    text + "  j: {join: all, action: core.noop}\n"
}

fn orquesta_items(count: usize) -> String {
    format!(
        "version: 1.0\ntasks:\n  t:\n    action: core.noop\n    input: {{i: <% item(i) %>}}\n    with:\n      items: i in <% range({count}).toList() %>\n"
    )
}

fn orquesta_few(count: usize) -> String {
    orquesta_items(count) + "      concurrency: 10\n"
}

fn orquesta_hand_on() -> String {
    orquesta_sequence(20)
}

fn chain_sequence(count: usize) -> String {
    let mut text = String::from("chain:\n");
    for i in 0..count {
        let _ = writeln!(text, "  - name: t{i}\n    ref: core.noop\n    params: {{n: '{{{{ n }}}}'}}");
        if i + 1 < count {
            let _ = writeln!(text, "    publish: {{n: '{{{{ t{i}.stdout }}}}'}}\n    on-success: t{}", i + 1);
        }
    }
    text + "vars: {n: '0'}\n"
}
