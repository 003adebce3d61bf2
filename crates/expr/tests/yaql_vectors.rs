//! Recorded behaviour of the original engines: every expression under Mistral's options, every text under
//! Orquesta's.

use regex::Regex;
use squall_expr::{Engine, Error, Host, Limits, Scope, python, yaql};
use squall_model::{Str, Timestamp, Value, from_json, to_json};
use std::sync::LazyLock;

/// Classes that belong to the language must be told apart; the rest only has to be an error.
const LANGUAGE: &[&str] = &[
    "YaqlGrammarException",
    "YaqlLexicalException",
    "NoFunctionRegisteredException",
    "NoMethodRegisteredException",
    "NoMatchingFunctionException",
    "NoMatchingMethodException",
    "AmbiguousFunctionException",
    "ZeroDivisionError",
    "KeyError",
    "IndexError",
    "YaqlEvaluationException",
    "ExpressionEvaluationException",
];

/// Vectors that are not met, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Orquesta's functions over a context that holds its internal records.
struct Orquesta<'d> {
    data: &'d Value,
}

fn evaluation_error(message: impl Into<String>) -> Error {
    Error::new("ExpressionEvaluationException", message)
}

impl Orquesta<'_> {
    fn ctx(&self, args: &[Value]) -> Result<Value, Error> {
        let map = self.data.as_map().expect("contexts are maps");
        match args {
            [] => Ok(map
                .iter()
                .filter(|(k, _)| !k.starts_with("__"))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect::<squall_model::Map>()
                .into()),
            [Value::Str(name), ..] if name.starts_with("__") => Err(Error::new("VariableInaccessibleError", &**name)),
            [Value::Str(name), ..] => map
                .get(name)
                .cloned()
                .ok_or_else(|| Error::new("VariableUndefinedError", format!("The variable \"{name}\" is undefined."))),
            _ => Err(Error::new("TypeError", "not a name")),
        }
    }

    fn item(&self, args: &[Value]) -> Result<Value, Error> {
        let item = self.data.get("__current_item").cloned().unwrap_or_default();
        match (args, &item) {
            ([], _) => Ok(item),
            ([Value::Str(key), ..], Value::Map(map)) => {
                map.get(key).cloned().ok_or_else(|| evaluation_error(format!("Item does not have key \"{key}\".")))
            }
            _ => Err(evaluation_error("Item is not type of collections.abc.Mapping.")),
        }
    }

    fn current_task(&self) -> Result<&Value, Error> {
        self.data.get("__current_task").ok_or_else(|| evaluation_error("The current task is not set in the context."))
    }

    fn status(&self, task: &str, route: i64) -> Option<Value> {
        let state = self.data.get("__state")?;
        let at = state.get("tasks")?.get(&format!("{task}__r{route}"))?.as_int()?;
        state.get("sequence")?.as_list()?.get(usize::try_from(at).ok()?)?.get("status").cloned()
    }

    fn current_status(&self) -> Result<String, Error> {
        let task = self.current_task()?;
        let id = task.get("id").and_then(Value::as_str).unwrap_or_default();
        let route = task.get("route").and_then(Value::as_int).unwrap_or(0);
        Ok(self.status(id, route).and_then(|s| s.as_str().map(str::to_string)).unwrap_or_default())
    }

    fn task_status(&self, args: &[Value], named: &[(Str, Value)]) -> Result<Value, Error> {
        let given = args.get(1).or(named.iter().find(|(k, _)| &**k == "route").map(|(_, v)| v));
        let current = self.data.at(&["__current_task", "route"]);
        let route = given.or(current).and_then(Value::as_int).unwrap_or(0);
        let found = args.first().and_then(Value::as_str).and_then(|task| self.status(task, route));
        Ok(found.unwrap_or_else(|| Value::from("null")))
    }
}

impl Host for Orquesta<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        let ended = ["succeeded", "failed", "timeout", "abandoned", "canceled"];
        Some(match name {
            "ctx" => self.ctx(args),
            "item" => self.item(args),
            "task_status" => self.task_status(args, named),
            "succeeded" | "failed" => self.current_status().map(|s| Value::Bool(s == name)),
            "completed" => self.current_status().map(|s| Value::Bool(ended.contains(&s.as_str()))),
            "result" => self.current_task().map(|task| task.get("result").cloned().unwrap_or_default()),
            _ => return None,
        })
    }
    fn has(&self, name: &str) -> bool {
        ["ctx", "item", "task_status", "succeeded", "failed", "completed", "result"].contains(&name)
    }
    fn kv(&self, _: &str, _: &str, _: bool) -> Result<Option<Value>, Error> {
        Ok(None)
    }
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_453_397_319_000_000)
    }
    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }
}

fn evaluate(text: &str, engine: Engine, data: &Value) -> Result<Value, Error> {
    let expression = yaql::parse(text)?;
    assert_eq!(yaql::parse(&expression.to_string()).unwrap().to_string(), expression.to_string());
    expression.eval(&Scope { engine, data, host: &Orquesta { data }, limits: &Limits::default() })
}

static HOLES: LazyLock<Regex> = LazyLock::new(|| Regex::new("<%.*?%>").unwrap());

/// A text with holes, by Orquesta's rules.
fn text(text: &str, data: &Value) -> Result<Value, Error> {
    let holes: Vec<&str> = HOLES.find_iter(text).map(|m| m.as_str()).collect();
    let hole = |hole: &str| {
        let inside = hole.trim_matches(['<', '%', '>']).trim();
        let value = evaluate(inside, Engine::Orquesta, data)?;
        match &value {
            Value::Str(again) if HOLES.is_match(again) => self::text(again, data),
            _ => Ok(value),
        }
    };
    if let [only] = holes.as_slice()
        && *only == text
    {
        return hole(only);
    }
    let mut out = text.to_string();
    for one in holes {
        out = out.replace(one, &python::str(&hole(one)?));
    }
    Ok(Value::from(out))
}

/// What differs from the expectation, if anything.
fn verdict(expected: &Value, got: &Result<Value, Error>, wrapped: &[&str]) -> Option<String> {
    match (expected.get("error").and_then(Value::as_str), got) {
        (Some(class), Err(error)) => {
            let told_apart = LANGUAGE.contains(&class) && error.class != class && !wrapped.contains(&&*error.class);
            told_apart.then(|| format!("want class {class}, got {}: {}", error.class, error.message))
        }
        (Some(class), Ok(value)) => Some(format!("want error {class}, got {}", to_json(value))),
        (None, Ok(value)) if expected.get("value") == Some(value) => None,
        (None, Ok(value)) => Some(format!("want {}, got {}", to_json(expected), to_json(value))),
        (None, Err(e)) => Some(format!("want {}, got {}: {}", to_json(expected), e.class, e.message)),
    }
}

fn vectors() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/yaql.jsonl");
    let lines = std::fs::read_to_string(path).unwrap();
    lines.lines().map(|line| from_json(line, true).unwrap()).collect()
}

fn report(what: &str, results: Vec<(String, Option<String>)>) {
    let total = results.len();
    let failed: Vec<&(String, Option<String>)> = results.iter().filter(|(_, verdict)| verdict.is_some()).collect();
    println!("{what}: {}/{total}", total - failed.len());
    let mut unexpected = 0;
    for (id, verdict) in failed {
        println!("  {id}: {}", verdict.as_deref().unwrap_or_default());
        unexpected += usize::from(!EXCEPTIONS.iter().any(|(known, _)| id.starts_with(known)));
    }
    assert_eq!(unexpected, 0, "{what}");
}

#[test]
fn expressions_of_mistral() {
    let mut results = Vec::new();
    for vector in vectors() {
        let (Some(text), Some(expected)) = (vector.get("expr").and_then(Value::as_str), vector.get("expect")) else {
            continue;
        };
        let got = evaluate(text, Engine::Mistral, vector.get("data").unwrap());
        let id = vector.get("id").and_then(Value::as_str).unwrap();
        results.push((format!("{id} {text}"), verdict(expected, &got, &[])));
    }
    report("mistral", results);
}

#[test]
fn texts_of_orquesta() {
    let mut results = Vec::new();
    for vector in vectors() {
        let Some(source) = vector.get("orquesta_text").and_then(Value::as_str) else { continue };
        let expected = vector.get("orquesta_expect").or(vector.get("expect")).unwrap();
        let got = text(source, vector.get("data").unwrap());
        let id = vector.get("id").and_then(Value::as_str).unwrap();
        let wrapped = ["YaqlEvaluationException", "ExpressionEvaluationException"];
        results.push((format!("{id} {source}"), verdict(expected, &got, &wrapped)));
    }
    report("orquesta", results);
}
