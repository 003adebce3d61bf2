//! How fast the conductor is, and how it grows: `cargo bench -p squall-workflow --bench conductor [WORD]`.
//!
//! Scripted results, in memory, all three languages. The table has a value, a target and whether it was met. *Growth* is what
//! one task costs in a run of 10,000 compared with a task of 100 runs of 100, which are under way at the same time: the same
//! amount of work over the same amount of memory. 1.00 is linear, and 1.20 is the limit. *Memory* compares the bytes in use
//! at most, for each task, of one run of 10,000 and one of 100. *Cached* compares the time with that of a single run of 100, played
//! again and again, whose definition and state never leave the second-level cache; it says what main memory costs, and is
//! reported only. Instructions for each task tell the two apart: `valgrind --tool=callgrind conductor --play 'Mistral, join' 100 10`.
//! The columns of other engines are what Orquesta 1.6.0 and Mistral 23.0.0 reached for the same shape on two cores. Times
//! are of the processor, which other people's work does not stretch. Nothing here is a test.

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
/// How often each of them is measured; the shortest time counts.
const ROUNDS: usize = 12;
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
    Shape { language: Language::Mistral, name: "a variable each", text: mistral_variables, target: None },
    Shape { language: Language::Mistral, name: "join of variables", text: mistral_join_of_variables, target: None },
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
    Shape { language: Language::Orquesta, name: "join of variables", text: orquesta_join_of_variables, target: None },
    Shape { language: Language::Chain, name: "sequence", text: chain_sequence, target: Some((1_000, None)) },
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name, count, runs] = arguments.as_slice()
        && flag == "--play"
    {
        let shape = SHAPES.iter().find(|shape| label(shape) == *name).expect("a label of the table");
        let runs = runs.parse().expect("a number of runs");
        if runs == 0 {
            return println!("{}", peak(shape, count.parse().expect("a number of tasks")));
        }
        return play(shape, count.parse().expect("a number of tasks"), runs);
    }
    if let [_, flag, name, count, ..] = arguments.as_slice()
        && flag == "--say"
    {
        let shape = SHAPES.iter().find(|shape| label(shape) == *name).expect("a label of the table");
        return say(shape, count.parse().expect("a number of tasks"));
    }
    let only = arguments.get(1).filter(|arg| !arg.starts_with('-'));
    let wanted = |shape: &&Shape| only.as_ref().is_none_or(|word| label(shape).contains(word.as_str()));
    println!(
        "{:<28} {:>10} {:>10} {:>6} {:>10}   {:>10} {:>8} {:>8} {:>6} {:>8}",
        "tasks a second", "value", "target", "", "original", "at 10,000", "growth", "memory", "", "cached"
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
        let definition = [load(language, &text)];
        let before = heap::restart();
        let result = Value::from("x".repeat(10_000_000));
        heap::restart();
        drop(run(&definition, &result));
        let grew = (heap::peak() - before) as f64 / 1e6;
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
    let mut cached = Work::new(shape, 1, 100, 100);
    let mut small = Work::new(shape, 100, 100, 1);
    let mut large = Work::new(shape, 1, 10_000, 1);
    let mut target = shape.target.map(|(count, _)| Work::new(shape, 1, count, 10_000 / count));
    // In turn, so that a busy moment of the machine meets all of them.
    for _ in 0..ROUNDS {
        for work in [&mut cached, &mut small, &mut large].into_iter().chain(&mut target) {
            work.measure();
        }
    }
    let memory = peak(shape, 10_000) / peak(shape, 100);
    let (growth, hot) = (large.best / small.best, large.best / cached.best);
    let (value, mark, met, original) = match (target, shape.target) {
        (Some(work), Some((_, original))) => {
            let value = 1.0 / work.best;
            let original = original.map(|rate| format!("{rate} ×{:.0}", value / rate)).unwrap_or_default();
            (format!("{value:.0}"), format!("{RATE:.0}"), verdict(value >= RATE), original)
        }
        _ => (String::new(), String::new(), "", String::new()),
    };
    println!(
        "{:<28} {value:>10} {mark:>10} {met:>6} {original:>10}   {:>10.0} {growth:>8.2} {memory:>8.2} {:>6} {hot:>8.2}",
        label(shape),
        1.0 / large.best,
        verdict(growth <= GROWTH && memory <= GROWTH)
    );
}

/// Runs that are measured: so many side by side, each of a definition of its own, one set after the other.
struct Work {
    definitions: Vec<Definition>,
    sets: usize,
    tasks: usize,
    /// The shortest time so far, in seconds for each task.
    best: f64,
}

impl Work {
    fn new(shape: &Shape, side_by_side: usize, count: usize, sets: usize) -> Work {
        let text = (shape.text)(count);
        let definitions = (0..side_by_side).map(|_| load(shape.language, &text)).collect();
        Work { definitions, sets, tasks: side_by_side * count * sets, best: f64::INFINITY }
    }

    fn measure(&mut self) {
        let took = best(1, || (0..self.sets).for_each(|_| drop(run(&self.definitions, &answer()))));
        self.best = self.best.min(took / self.tasks as f64);
    }
}

/// What each script answers.
fn answer() -> Value {
    Value::from(Map::from_iter([("stdout".into(), Value::from("ok"))]))
}

/// Seconds for each task of a run of `count`, then the definition: for `tests/bench_workflow.py`, which has other engines play it.
fn say(shape: &Shape, count: usize) {
    let mut work = Work::new(shape, 1, count, 10_000_usize.div_ceil(count));
    (0..ROUNDS).for_each(|_| work.measure());
    println!("{}\n{}", work.best, (shape.text)(count));
}

/// Runs a shape of `count` tasks so often and says nothing: for a profiler. The difference between two numbers of runs
/// leaves out what loading costs.
fn play(shape: &Shape, count: usize, runs: usize) {
    let definition = [load(shape.language, &(shape.text)(count))];
    (0..runs).for_each(|_| drop(run(&definition, &answer())));
}

/// Bytes of the heap that a run of `count` tasks has in use at most, for each task.
fn peak(shape: &Shape, count: usize) -> f64 {
    let definition = [load(shape.language, &(shape.text)(count))];
    let before = heap::restart();
    drop(run(&definition, &answer()));
    (heap::peak() - before) as f64 / count as f64
}

/// Counts the bytes that are in use, since resident memory is rounded, kept back and cut up by the allocator.
#[allow(unsafe_code)] // the trait is unsafe; everything is handed on to the system's allocator
mod heap {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    struct Counting;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;
    static USED: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    /// Bytes in use now, which is the highest number from here on.
    pub fn restart() -> usize {
        PEAK.store(USED.load(Relaxed), Relaxed);
        USED.load(Relaxed)
    }

    /// The highest number of bytes in use since then.
    pub fn peak() -> usize {
        PEAK.load(Relaxed)
    }

    fn count(more: usize, less: usize) {
        // One thread: two relaxed steps are as good as one, and cheaper.
        let used = USED.load(Relaxed) + more - less;
        USED.store(used, Relaxed);
        if used > PEAK.load(Relaxed) {
            PEAK.store(used, Relaxed);
        }
    }

    // SAFETY: every call is handed on unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout.size(), 0);
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            count(0, layout.size());
            unsafe { System.dealloc(at, layout) }
        }

        unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            count(size, layout.size());
            unsafe { System.realloc(at, layout, size) }
        }
    }
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

fn load(language: Language, text: &str) -> Definition {
    let options = LoadOptions { reference: ActionRef::new("bench", "w"), path: "w.yaml".into() };
    Definition::load(language, text, &options).expect("the definitions here are sound")
}

/// Runs the definitions side by side, one event of each in turn; answers the states at the end.
fn run(definitions: &[Definition], result: &Value) -> Vec<State> {
    let mut states: Vec<State> = definitions.iter().map(State::new).collect();
    let begin = Begin { execution: "bench".into(), action: "bench.w".into(), ..Begin::default() };
    let begin = |at| (at, Stimulus::Begin(Box::new(begin.clone())));
    let mut pending: VecDeque<(usize, Stimulus)> = (0..definitions.len()).map(begin).collect();
    while let Some((at, stimulus)) = pending.pop_front() {
        for fact in advance(&definitions[at], &mut states[at], stimulus, &NoHost) {
            if let Fact::Offered { offer } = fact {
                let (run, status, result) = (offer.run, Status::Succeeded, result.clone());
                pending.push_back((at, Stimulus::Finished { run, status, result }));
            }
        }
    }
    for state in &states {
        assert_eq!(state.status(), Status::Succeeded, "{:?}", state.result());
    }
    states
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

/// Every task publishes a variable of its own.
fn mistral_variables(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let _ = writeln!(text, "    t{i}:\n      action: core.noop\n      publish: {{v{i}: <% task().result %>}}");
        if i + 1 < count {
            let _ = writeln!(text, "      on-success: t{}", i + 1);
        }
    }
    mistral(&text)
}

/// Every branch brings a variable of its own.
fn mistral_join_of_variables(count: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let _ = writeln!(text, "    b{i}: {{publish: {{v{i}: <% task().result %>}}, on-success: end}}");
    }
    mistral(&(text + "    end: {join: all}\n"))
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

/// Every branch brings a variable of its own.
fn orquesta_join_of_variables(count: usize) -> String {
    let mut text = String::from("version: 1.0\ntasks:\n");
    for i in 0..count {
        let _ = writeln!(text, "  b{i}:\n    action: core.noop");
        let _ = writeln!(text, "    next:\n      - publish: [{{v{i}: <% result() %>}}]\n        do: j");
    }
    text + "  j: {join: all, action: core.noop}\n"
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
