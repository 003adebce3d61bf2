//! Every recorded run of an action chain, against squall's conductor; then the same with a crash after each step.

use serde_json::{Map, Value, json};
use squall_workflow::simulate::{Crash, chain_with};

/// The recorded cases, and those of our own that were recorded from the same runner.
fn vectors() -> Vec<Value> {
    let read = |file: &str| {
        let path = format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let text = read("action_chain.jsonl") + &read("action_chain_more.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Numbers by value, keys in order, texts without trailing blanks.
fn norm(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(text.trim_end()),
        Value::Number(n) => match n.as_f64() {
            Some(x) if n.as_i64().is_none() && x.fract() == 0.0 && x.abs() < 9e15 => json!(x as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(norm).collect(),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), norm(&map[key]))).collect())
        }
        _ => value.clone(),
    }
}

/// The entries of `list` with these fields, null ones left out.
fn picked(list: &Value, fields: &[&str]) -> Value {
    let entries = list.as_array().cloned().unwrap_or_default();
    let pick = |entry: &Value| {
        let fields = fields.iter().filter(|field| !entry[**field].is_null());
        Value::Object(fields.map(|field| ((*field).to_owned(), entry[*field].clone())).collect::<Map<_, _>>())
    };
    norm(&entries.iter().map(pick).collect())
}

/// What differs, if anything.
fn differs(vector: &Value, actual: &Value) -> Option<String> {
    let expected = &vector["expected"];
    if expected["pre_run_error"].is_string() {
        return actual["pre_run_error"].is_null().then(|| "not refused before the run".to_owned());
    }
    let fields = ["task", "ref", "parameters", "notify", "resume"];
    let (er, ar) = (&expected["result"], &actual["result"]);
    let tasks = ["name", "state", "result"];
    let pairs = [
        ("status", expected["status"].to_string(), actual["status"].to_string()),
        (
            "requests",
            picked(&expected["requests"], &fields).to_string(),
            picked(&actual["requests"], &fields).to_string(),
        ),
        ("statuses", expected["statuses"].to_string(), actual["statuses"].to_string()),
        ("published", norm(&er["published"]).to_string(), norm(&ar["published"]).to_string()),
        ("tasks", picked(&er["tasks"], &tasks).to_string(), picked(&ar["tasks"], &tasks).to_string()),
        ("error", er["error"].is_string().to_string(), ar["error"].is_string().to_string()),
    ];
    let differs = pairs.into_iter().find(|(_, expected, actual)| expected != actual)?;
    Some(format!("{} {} for {}", differs.0, differs.2, differs.1))
}

#[test]
fn recorded_runs_are_matched() {
    let vectors = vectors();
    let mut failures = Vec::new();
    for vector in &vectors {
        if let Some(difference) = differs(vector, &chain_with(vector, Crash::Never)) {
            failures.push(format!("{}: {difference}", vector["id"]));
        }
    }
    println!("action-chain: {}/{}", vectors.len() - failures.len(), vectors.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn errors_say_what_stackstorm_says() {
    let exact = ["vars", "unregistered", "undefined", "request-raises", "jinja-next-name", "publish-error", "cast"];
    for vector in vectors().iter().filter(|vector| vector["origin"] == "recorded") {
        let id = vector["id"].as_str().unwrap();
        let expected = &vector["expected"]["result"]["error"];
        if expected.is_string() && exact.iter().any(|part| id.contains(part)) {
            assert_eq!(&chain_with(vector, Crash::Never)["result"]["error"], expected, "{id}");
        }
    }
}

#[test]
fn a_crash_after_any_step_changes_nothing() {
    for vector in vectors() {
        let (alive, crashed) = (chain_with(&vector, Crash::Never), chain_with(&vector, Crash::AfterEachStep));
        assert_eq!(alive, crashed, "{}", vector["id"]);
    }
}
