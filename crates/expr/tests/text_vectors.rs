//! Mixed texts against the recorded behaviour of the originals.

mod support;

use serde_json::json;

#[test]
fn recorded_mistral_texts() {
    let run = support::Run { file: "mistral-text.jsonl", exceptions: &[], classes: true, wrapped: &[] };
    support::run(
        &run,
        |v| Some(json!({"id": v["id"], "lang": "text", "engine": "mistral", "expr": v["text"], "data": v["data"]})),
        squall_expr::batch::eval,
    );
}

#[test]
fn recorded_orquesta_texts() {
    let wrapped = &["YaqlEvaluationException", "ExpressionEvaluationException"];
    let run = support::Run { file: "yaql.jsonl", exceptions: &[], classes: true, wrapped };
    support::run(
        &run,
        |v| {
            let expect = v.get("orquesta_expect").or(v.get("expect"))?;
            let text = v.get("orquesta_text")?;
            Some(
                json!({"id": v["id"], "lang": "text", "engine": "orquesta", "expr": text, "data": v["data"], "expect": expect}),
            )
        },
        squall_expr::batch::eval,
    );
}
