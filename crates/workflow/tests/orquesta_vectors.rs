//! Every recorded Orquesta case, run as it was recorded: once straight through, once with the engine written out and read
//! back before each step. Each failure is named.

use serde_json::{Map, Value, json};

/// Cases that may differ, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[(
    "orq-expr-internal-names",
    "`__vars` and its like show through in the original by accident; they are its own, not the content's",
)];

/// The recorded cases, and those that were generated at random and recorded from Orquesta 1.6.0 in the same way.
fn vectors() -> Vec<Value> {
    let read = |file: &str| {
        let path = format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let text = read("orquesta.jsonl") + &read("orquesta_more.jsonl");
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Numbers by value, texts without trailing blanks.
fn norm(value: &Value) -> Value {
    match value {
        Value::Number(n) => match n.as_f64() {
            Some(x) if x.fract() == 0.0 && x.abs() < 9e15 => json!(x as i64),
            _ => value.clone(),
        },
        Value::String(text) => json!(text.trim_end()),
        Value::Array(items) => items.iter().map(norm).collect(),
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().map(|(k, v)| (k.clone(), norm(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        _ => value.clone(),
    }
}

fn pick(value: &Value, names: &[&str]) -> Value {
    let found = |name: &&str| value.get(*name).filter(|v| !v.is_null()).map(|v| (name.to_string(), norm(v)));
    Value::Object(names.iter().filter_map(found).collect())
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], |items| items)
}

fn differs(what: &str, got: &Value, want: &Value) -> Result<(), String> {
    if norm(got) == norm(want) { Ok(()) } else { Err(format!("{what}: {got} for {want}")) }
}

/// Entries of the trace, each without its nulls.
fn bare(entry: &Value) -> Value {
    let map = entry.as_object().unwrap();
    let kept: Map<String, Value> =
        map.iter().filter(|(k, v)| !v.is_null() && *k != "refused").map(|(k, v)| (k.clone(), v.clone())).collect();
    norm(&Value::Object(kept))
}

fn judge(want: &Value, got: &Value) -> Result<(), String> {
    if want.get("load_error").is_some() || want.get("inspection_crash").is_some() {
        let refused = got.get("load_error").is_some() || got.get("inspection").is_some_and(|i| i != &json!({}));
        return if refused { Ok(()) } else { Err("not refused".into()) };
    }
    let none = Map::new();
    let categories = |v: &Value| v.get("inspection").and_then(Value::as_object).unwrap_or(&none).clone();
    let (want_i, got_i) = (categories(want), categories(got));
    if !want_i.is_empty() || !got_i.is_empty() || got.get("load_error").is_some() {
        if got.get("load_error").is_some() {
            return Err(format!("does not load: {}", got["load_error"]));
        }
        for name in ["syntax", "semantics", "expressions", "context"] {
            let fields: &[&str] = match name {
                "syntax" | "expressions" => &["schema_path", "spec_path"],
                _ => &["message", "schema_path", "spec_path"],
            };
            let entries = |i: &Map<String, Value>| {
                Value::Array(list(i.get(name)).iter().map(|entry| pick(entry, fields)).collect())
            };
            differs(name, &entries(&got_i), &entries(&want_i))?;
        }
        return Ok(());
    }
    if want.get("engine_error").is_some() {
        let refused = got["status"] == "failed" || got.get("engine_error").is_some();
        return if refused { Ok(()) } else { Err("the original raised here; must fail".into()) };
    }
    for field in ["status", "output", "task_order", "task_statuses", "routes"] {
        differs(field, &got[field], &want[field])?;
    }
    let errors = |v: &Value| {
        let fields = ["kind", "expression", "task_id", "route", "task_transition_id", "result"];
        Value::Array(list(v.get("errors")).iter().map(|e| pick(e, &fields)).collect())
    };
    differs("errors", &errors(got), &errors(want))?;
    let (got_trace, want_trace) = (list(got.get("trace")), list(want.get("trace")));
    for (g, w) in got_trace.iter().zip(want_trace) {
        differs("trace", &bare(g), &bare(w))?;
    }
    differs("length of trace", &json!(got_trace.len()), &json!(want_trace.len()))?;
    let mine = |v: &Value| {
        let context = v.get("final_context").and_then(Value::as_object).unwrap_or(&none);
        Value::Object(
            context.iter().filter(|(k, _)| !k.starts_with("__")).map(|(k, v)| (k.clone(), v.clone())).collect(),
        )
    };
    differs("final_context", &mine(got), &mine(want))
}

fn run(reload: bool) {
    let vectors = vectors();
    let mut failures = Vec::new();
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        let mut case = vector.clone();
        case["reload"] = json!(reload);
        let want = match vector.get("expected_after_reload") {
            Some(other) if reload => other,
            _ => &vector["expected"],
        };
        if let Err(why) = judge(want, &squall_workflow::orquesta::simulate(&case)) {
            let excused = EXCEPTIONS.iter().any(|(name, _)| *name == id);
            if !excused {
                failures.push(format!("{id}: {}", why.chars().take(600).collect::<String>()));
            }
        }
    }
    let passed = vectors.len() - failures.len();
    assert!(EXCEPTIONS.len() * 100 <= vectors.len(), "more than one case in a hundred is excused");
    assert!(failures.is_empty(), "{passed} of {} cases pass; failing:\n{}", vectors.len(), failures.join("\n"));
}

#[test]
fn recorded_cases_run_as_recorded() {
    run(false);
}

#[test]
fn recorded_cases_survive_a_reload_before_every_step() {
    run(true);
}

/// The six verbs, one by one, each with what the engine answers.
#[test]
fn the_verbs_can_be_called_by_hand() {
    let case = json!({
        "definition": "tasks: {a: {with: {items: '<% [1, 2] %>', concurrency: 1}, action: core.a v=<% item() %>}}\noutput: [{n: 1}]",
        "ops": [
            {"op": "request", "status": "running"},
            {"op": "next"},
            {"op": "event", "task": "a", "route": 0, "item": 0, "status": "running"},
            {"op": "next"},
            {"op": "reload"},
            {"op": "event", "task": "a", "route": 0, "item": 0, "status": "failed", "result": "x", "accumulated": ["x", null]},
            {"op": "event", "task": "zz", "route": 0, "status": "running"},
            {"op": "request", "status": "paused"},
            {"op": "render"},
            {"op": "reload"},
            {"op": "rerun", "tasks": [{"task": "a", "route": 0, "reset": true}]},
            {"op": "next"},
        ],
    });
    let got = squall_workflow::orquesta::simulate(&case);
    let offer = |item: u32| {
        json!([{"id": "a", "route": 0, "items_count": 2, "concurrency": 1,
            "actions": [{"action": "core.a", "input": {"v": item + 1}, "item_id": item}]}])
    };
    let answers: Vec<Value> = list(got.get("ops"))
        .iter()
        .map(|op| pick(op, &["op", "tasks", "task_status", "raises", "workflow_status"]))
        .collect();
    let want = json!([
        {"op": "request", "workflow_status": "running"},
        {"op": "next", "workflow_status": "running", "tasks": offer(0)},
        {"op": "event", "workflow_status": "running", "task_status": "running"},
        {"op": "next", "workflow_status": "running", "tasks": []},
        {"op": "reload", "workflow_status": "running"},
        {"op": "event", "workflow_status": "failed", "task_status": "failed"},
        {"op": "event", "workflow_status": "failed", "raises": "InvalidTask"},
        {"op": "request", "workflow_status": "failed", "raises": "InvalidWorkflowStatusTransition"},
        {"op": "render", "workflow_status": "failed"},
        {"op": "reload", "workflow_status": "failed"},
        {"op": "rerun", "workflow_status": "resuming", "tasks": [{"task": "a", "route": 0, "reset": true}]},
        {"op": "next", "workflow_status": "resuming", "tasks": offer(0)},
    ]);
    assert_eq!(norm(&Value::from(answers)), norm(&want));
    // A task over items is entered again only when it starts.
    assert_eq!(got["task_statuses"], json!([["a", 0, "failed"]]));
}
