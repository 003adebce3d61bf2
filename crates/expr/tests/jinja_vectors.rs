//! Jinja against the recorded behaviour of the originals.

mod support;

use serde_json::json;

#[test]
fn recorded_templates() {
    let run =
        support::Run { file: "jinja.jsonl", exceptions: &[], classes: true, wrapped: &["JinjaEvaluationException"] };
    support::run(
        &run,
        |v| {
            Some(
                json!({"id": v["id"], "lang": "jinja", "engine": v["engine"], "expr": v["template"], "data": v["context"]}),
            )
        },
        squall_expr::batch::eval,
    );
}
