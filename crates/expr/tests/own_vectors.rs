//! Cases of our own, recorded from the original engines where squall once differed or was likely to.
//!
//! yaql 3.2.0 with Mistral's options, Orquesta 1.6.0, Jinja2 3.1.6 in StackStorm's environment, CPython 3.11.

mod support;

#[test]
fn recorded_by_us() {
    let run = support::Run {
        file: "expressions-own.jsonl",
        exceptions: &[],
        classes: true,
        wrapped: &["YaqlEvaluationException", "ExpressionEvaluationException", "JinjaEvaluationException"],
    };
    support::run(&run, |v| Some(v.clone()), squall_expr::batch::eval);
}
