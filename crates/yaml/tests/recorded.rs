//! Every recorded text loads to the value, or fails with the words, that StackStorm's YAML library gives.

use squall_model::{from_json, to_json};
use squall_yaml::{Options, parse};

/// Where we differ on purpose: id and reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn recorded_texts_load_the_same() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/yaml.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    let mut wrong = Vec::new();
    for line in lines.lines() {
        let row = from_json(line, false).unwrap();
        let id = row.get("id").unwrap().as_str().unwrap();
        if EXCEPTIONS.iter().any(|(exception, _)| *exception == id) {
            continue;
        }
        let text = row.get("text").unwrap().as_str().unwrap();
        let got = parse(text, &Options::default());
        let expected = match (row.get("value"), row.get("error")) {
            (Some(value), _) => format!("value {}", to_json(value)),
            (None, Some(error)) => format!("error {}", error.as_str().unwrap()),
            (None, None) => "raises".to_string(),
        };
        let got = match got {
            Ok(doc) => format!("value {}", to_json(&doc.root.to_value())),
            Err(_) if expected == "raises" => expected.clone(),
            Err(error) => format!("error {}", error.python()),
        };
        if got != expected {
            wrong.push(format!("{id} {text:?}\n  expected {expected}\n  got      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
