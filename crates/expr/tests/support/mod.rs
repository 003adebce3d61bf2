//! Runs a file of recorded vectors through a batch function and names what differs.

use serde_json::Value;
use std::path::Path;

/// Error classes that belong to the languages themselves and must be told apart; any other expected
/// error only has to be an error.
const LANGUAGE: &[&str] = &[
    "YaqlGrammarException",
    "YaqlLexicalException",
    "NoFunctionRegisteredException",
    "NoMethodRegisteredException",
    "NoMatchingFunctionException",
    "NoMatchingMethodException",
    "AmbiguousFunctionException",
    "UndefinedError",
    "TemplateSyntaxError",
    "TemplateAssertionError",
    "ParseException",
    "ParamException",
    "ZeroDivisionError",
    "KeyError",
    "IndexError",
    "JinjaEvaluationException",
    "YaqlEvaluationException",
    "ExpressionEvaluationException",
];

pub struct Run<'a> {
    pub file: &'a str,
    /// Ids that are allowed to differ, each with the reason.
    pub exceptions: &'a [(&'a str, &'a str)],
    /// Whether error classes count.
    pub classes: bool,
    /// A class that stands for all classes of the language.
    pub wrapped: &'a [&'a str],
}

/// Fails, with the names of the lines, when a line differs that is no exception.
pub fn run(run: &Run, input: impl Fn(&Value) -> Option<Value>, batch: impl Fn(&Value) -> Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(run.file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut total, mut passed, mut failed) = (0, 0, Vec::new());
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let vector: Value = serde_json::from_str(line).unwrap();
        let Some(input) = input(&vector) else {
            continue;
        };
        total += 1;
        let got = batch(&input);
        match differs(run, input.get("expect").unwrap_or(&vector["expect"]), &got) {
            None => passed += 1,
            Some(why) => {
                let id = vector["id"].as_str().unwrap_or_default().to_owned();
                let excused = run.exceptions.iter().any(|(name, _)| *name == id);
                println!(
                    "{}{id}: {why}\n    {}",
                    if excused { "excused " } else { "" },
                    line.chars().take(300).collect::<String>()
                );
                if !excused {
                    failed.push(id);
                }
            }
        }
    }
    println!("{}: {passed}/{total}", run.file);
    assert!(total > 0, "no vectors in {}", run.file);
    assert!(failed.is_empty(), "{}: {passed}/{total}, differing: {failed:?}", run.file);
}

fn differs(run: &Run, expect: &Value, got: &Value) -> Option<String> {
    let shown = || got.to_string().chars().take(300).collect::<String>();
    if let Some(class) = expect.get("error").and_then(Value::as_str) {
        let Some(mine) = got.get("error").and_then(Value::as_str) else {
            return Some(format!("want error {class}, got {}", shown()));
        };
        let told_apart = run.classes && LANGUAGE.contains(&class) && !run.wrapped.contains(&mine);
        return (told_apart && mine != class).then(|| format!("want error {class}, got {}", shown()));
    }
    let want = &expect["value"];
    if got.get("value").is_none_or(|value| canon(want) != canon(value)) {
        return Some(format!("want {want}, got {}", shown()));
    }
    if let Some(flag) = expect.get("enforcement_failed") {
        let mine = got.get("enforcement_failed").and_then(Value::as_bool).unwrap_or(false);
        if flag.as_bool() != Some(mine) {
            return Some(format!("want enforcement_failed {flag}, got {mine}"));
        }
    }
    None
}

/// Typed canonical text: 2 is not 2.0, true is not 1; sets and `$dict` without order.
fn canon(value: &Value) -> String {
    let sorted = |mut items: Vec<String>| {
        items.sort();
        items.join(",")
    };
    match value {
        Value::Number(n) if n.to_string().contains(['.', 'e', 'E']) => format!("f{:?}", n.as_f64()),
        Value::Number(n) => format!("i{n}"),
        Value::Array(items) => format!("[{}]", items.iter().map(canon).collect::<Vec<_>>().join(",")),
        Value::Object(map) => match (map.len(), map.iter().next()) {
            (1, Some((key, Value::Array(items)))) if key == "$set" => {
                format!("set({})", sorted(items.iter().map(canon).collect()))
            }
            (1, Some((key, Value::Array(items)))) if key == "$dict" => {
                format!("{{{}}}", sorted(items.iter().map(|p| format!("{}:{}", canon(&p[0]), canon(&p[1]))).collect()))
            }
            _ => format!(
                "{{{}}}",
                sorted(map.iter().map(|(k, v)| format!("{}:{}", canon(&k.as_str().into()), canon(v))).collect())
            ),
        },
        other => other.to_string(),
    }
}
