//! How fast the room is where it counts: expressions, one chat line against many aliases, one event against many rules.
//!
//! `cargo bench -p squall-expr --profile fast` prints a table and judges nothing. With `SQUALL_BENCH_JSON=1` it prints one
//! JSON object a line, `{"group", "case", "ns"}`, which `tests/bench_expr.py` sets beside the Python libraries. Every
//! figure is processor time of one call, the best of several rounds, since the machine may be busy with other work.
//! `cargo bench -p squall-expr --profile fast -- 'jinja: {% for'` measures only the lines that contain one of the arguments;
//! under `valgrind --tool=callgrind` with `SQUALL_BENCH_QUICK=1` that is a profile of one case.

use squall_expr::alias::{Entry, Matcher, Options};
use squall_expr::jinja::Template;
use squall_expr::operators::Criteria;
use squall_expr::{Engine, Limits, NoHost, Scope, yaql};
use squall_model::{Value, from_json};
use std::hint::black_box;

fn main() {
    let cases = from_json(include_str!("cases.json"), false).expect("the file beside this one");
    let rounds = if std::env::var_os("SQUALL_BENCH_QUICK").is_some() { 1 } else { 15 };
    let data = data(1000);
    yaql_cases("yaql_small", &cases, &data, rounds);
    yaql_cases("yaql_rows", &cases, &data, rounds);
    jinja_cases(&cases, &data, rounds);
    growth(rounds);
    if asked_for(&["alias_10000"]) {
        aliases(rounds);
    }
    if asked_for(&["rules_1000"]) {
        rules(rounds);
    }
}

/// Nanoseconds of processor time that this thread has used.
fn spent() -> u64 {
    // The kernel adds up a thread's time when it is scheduled, which this asks for.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|n| n.parse().ok());
    first.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_nanos()).unwrap_or(0)
    })
}

/// Processor time of one call in nanoseconds, best of several rounds.
fn best(rounds: u32, mut call: impl FnMut()) -> f64 {
    // Enough calls for a few milliseconds, so that reading the clock does not count.
    let mut calls = 1_u32;
    while calls < 1 << 24 {
        let start = spent();
        (0..calls).for_each(|_| call());
        if spent().saturating_sub(start) > 8_000_000 {
            break;
        }
        calls *= 2;
    }
    let round = |_| {
        let start = spent();
        (0..calls).for_each(|_| call());
        spent().saturating_sub(start) as f64 / f64::from(calls)
    };
    (0..rounds).map(round).fold(f64::INFINITY, f64::min)
}

/// Whether one of the texts contains an argument, or there is none.
fn asked_for(texts: &[&str]) -> bool {
    let mut wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).peekable();
    wanted.peek().is_none() || wanted.any(|part| texts.iter().any(|text| text.contains(&part)))
}

/// Measures a call and prints the line, if it is asked for.
fn measure(group: &str, case: &str, rounds: u32, call: impl FnMut()) {
    if !asked_for(&[group, case, &format!("{group}: {case}")]) {
        return;
    }
    let ns = best(rounds, call);
    if std::env::var_os("SQUALL_BENCH_JSON").is_some() {
        println!("{}", serde_json::json!({"group": group, "case": case, "ns": ns}));
    } else {
        println!("{:>12.2} µs  {group}: {case}", ns / 1e3);
    }
}

/// A context of some size; `tests/bench_expr.py` makes the same.
fn data(rows: usize) -> Value {
    let rows: Vec<String> = (0..rows)
        .map(|i| {
            format!(r#"{{"name": "vm{i}", "ram": {}, "host": "h{}", "up": {}}}"#, i % 64 * 512, i % 10, i % 3 == 0)
        })
        .collect();
    let head = r#""name": "web-01", "code": 200, "a": {"b": {"c": 7}}, "tags": ["a", "b", "c"]"#;
    from_json(&format!(r#"{{{head}, "rows": [{}]}}"#, rows.join(",")), false).expect("the text above is JSON")
}

fn texts<'v>(cases: &'v Value, group: &str) -> impl Iterator<Item = &'v str> {
    cases.get(group).and_then(Value::as_list).into_iter().flatten().filter_map(Value::as_str)
}

fn yaql_cases(group: &str, cases: &Value, data: &Value, rounds: u32) {
    let limits = Limits::default();
    let scope = Scope { engine: Engine::Mistral, data, host: &NoHost, limits: &limits };
    for text in texts(cases, group) {
        let expression = yaql::parse(text).expect("every expression of the file is well-formed");
        expression.eval(&scope).expect("and fits the data");
        measure(group, text, rounds, || drop(black_box(expression.eval(black_box(&scope)))));
        let whole = || drop(black_box(yaql::parse(black_box(text)).and_then(|e| e.eval(&scope))));
        measure(&format!("{group}_parsed"), text, rounds, whole);
    }
}

fn jinja_cases(cases: &Value, data: &Value, rounds: u32) {
    let limits = Limits::default();
    let scope = Scope { engine: Engine::Stack, data, host: &NoHost, limits: &limits };
    for text in texts(cases, "jinja") {
        let template = Template::compile(text, Engine::Stack).expect("every template of the file is well-formed");
        template.render(&scope).expect("and fits the data");
        measure("jinja", text, rounds, || drop(black_box(template.render(black_box(&scope)))));
        let whole =
            || drop(black_box(Template::compile(black_box(text), Engine::Stack).and_then(|t| t.render(&scope))));
        measure("jinja_new", text, rounds, whole);
    }
}

/// The same over ten times the rows: growth is linear when the figure is ten times as large.
fn growth(rounds: u32) {
    let limits = Limits::default();
    for text in ["$.rows.where($.up).select($.name)", "$.rows.groupBy($.host, $.ram, $.sum())"] {
        let expression = yaql::parse(text).expect("written above");
        for rows in [1_000, 10_000] {
            let data = data(rows);
            let scope = Scope { engine: Engine::Mistral, data: &data, host: &NoHost, limits: &limits };
            expression.eval(&scope).expect("fits the data");
            measure(&format!("growth_{rows}"), text, rounds, || drop(black_box(expression.eval(black_box(&scope)))));
        }
    }
}

/// Ten thousand aliases, one in ten starting with a placeholder or a regular expression.
fn aliases(rounds: u32) {
    let format = |n: u32| match n % 20 {
        0 => format!("{{{{who}}}} please handle task{n} {{{{when=now}}}}"),
        10 => format!("(show|list) report{n} {{{{what}}}}"),
        _ => format!("service{n} restart {{{{host}}}} in {{{{env=prod}}}}"),
    };
    let entry = |n| Entry { alias: n, representation: format(n).into(), multiple: false, parameters: Vec::new() };
    let (matcher, refused) = Matcher::new((0..10_000).map(entry), Options::default());
    assert!(refused.is_empty());
    for (line, hits) in [
        ("service4711 restart web1 in staging", 1),
        ("bob please handle task5000 tomorrow", 1),
        ("list report10 disks x=1", 1),
        ("nothing matches this", 0),
    ] {
        assert_eq!(matcher.find(line).len(), hits, "{line}");
        measure("alias_10000", line, rounds, || drop(black_box(matcher.find(black_box(line)))));
    }
}

fn rules(rounds: u32) {
    let rule = |n: u32| {
        let text = format!(
            r#"{{"trigger.body.repository": {{"type": "eq", "pattern": "repo{n}"}}, "trigger.body.branch": {{"type": "regex", "pattern": "^release-\\d+$"}}}}"#
        );
        Criteria::compile(&from_json(&text, false).expect("written above"))
    };
    let rules: Vec<Criteria> = (0..1000).map(rule).collect();
    let event = from_json(r#"{"body": {"repository": "repo500", "branch": "release-7", "commits": [1, 2, 3]}}"#, false);
    let event = event.expect("written above");
    let limits = Limits::default();
    let fired = || rules.iter().filter(|r| r.test(&event, &NoHost, &limits).is_ok_and(|v| v.fires)).count();
    assert_eq!(fired(), 1);
    measure("rules_1000", "repository and branch of an event", rounds, || {
        black_box(fired());
    });
}
