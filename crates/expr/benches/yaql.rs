//! What expressions cost: `cargo bench -p squall-expr --bench yaql`.
//!
//! Prints the best of several rounds for each expression, since the machine may be busy with other work.

use squall_expr::{Engine, Limits, NoHost, Scope, yaql};
use squall_model::{Value, from_json};
use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds for one call, best of 20 rounds.
fn best(mut call: impl FnMut()) -> f64 {
    let rounds = (0..20).map(|_| {
        let started = Instant::now();
        let mut calls = 0_u32;
        while started.elapsed().as_millis() < 10 {
            call();
            calls += 1;
        }
        started.elapsed().as_nanos() as f64 / f64::from(calls)
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn data() -> Value {
    let rows: Vec<String> = (0..1000)
        .map(|i| {
            format!(r#"{{"name": "vm{i}", "ram": {}, "host": "h{}", "up": {}}}"#, i % 64 * 512, i % 10, i % 3 == 0)
        })
        .collect();
    let text = format!(r#"{{"name": "web-01", "code": 200, "a": {{"b": {{"c": 7}}}}, "rows": [{}]}}"#, rows.join(","));
    from_json(&text, false).expect("the text above is JSON")
}

fn main() {
    let data = data();
    let limits = Limits::default();
    let scope = Scope { engine: Engine::Mistral, data: &data, host: &NoHost, limits: &limits };
    for text in [
        "$.name",
        "$.a.b.c + 1",
        "$.code in [200, 201] and $.name = 'web-01'",
        "$.code >= 200 and $.code < 300",
        "$.name.split('-')[1]",
        "concat('host: ', $.name, ' code: ', str($.code))",
        "{name => $.name, upper => $.name.toUpper(), n => $.code + 1}",
        "$.name.matches('^web-\\\\d+$')",
        "$.rows.where($.up).len()",
        "$.rows.where($.ram > 1024 and $.up).select($.name)",
        "$.rows.select({name => $.name, gb => $.ram / 1024})",
        "$.rows.groupBy($.host, $.ram, $.sum())",
        "$.rows.orderBy($.ram).thenBy($.name).name",
        "$.rows.name.join(', ')",
        "$.rows.toDict($.name, $.ram)",
        "range(1000).aggregate($1 + $2, 0)",
    ] {
        let parse = best(|| drop(black_box(yaql::parse(black_box(text)))));
        let expression = yaql::parse(text).expect("every expression above is well-formed");
        expression.eval(&scope).expect("and fits the data");
        let eval = best(|| drop(black_box(expression.eval(black_box(&scope)))));
        println!("{eval:>10.0} ns evaluated, {parse:>8.0} ns parsed: {text}");
    }
}
