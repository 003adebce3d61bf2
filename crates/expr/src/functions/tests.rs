use super::*;
use crate::Limits;
use squall_model::from_json;

/// Calls a function with arguments given as JSON.
#[track_caller]
fn check(name: &str, args: &str, named: &str, expected: &str) {
    let budget = Budget::new(&Limits::default());
    let args = from_json(args, true).unwrap();
    let named = from_json(named, true).unwrap();
    let named: Vec<(Str, Value)> = named.as_map().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let function = find(name, Engine::Orquesta).or_else(|| find(name, Engine::Stack)).unwrap();
    let result = function.call(args.as_list().unwrap(), &named, &budget);
    let shown = match result {
        None => "does not match".to_string(),
        Some(Ok(value)) => squall_model::to_json(&value),
        Some(Err(e)) => format!("{}: {}", e.class, e.message),
    };
    assert_eq!(shown, expected, "{name}");
}

#[test]
fn json_texts() {
    check("to_json_string", r#"[{"b": 1, "a": [1, "é"]}]"#, "{}", r#""{\"b\": 1,\"a\": [1,\"\\u00e9\"]}""#);
    check(
        "to_json_string",
        r#"[{"b": [], "a": 1}]"#,
        r#"{"indent": 2, "sortKeys": true}"#,
        r#""{\n  \"a\": 1,\n  \"b\": []\n}""#,
    );
    check("to_complex", r#"[{"a": [1, 2]}]"#, "{}", r#""{\"a\": [1, 2]}""#);
    check("json_escape", r#"["a\"b\n"]"#, "{}", r#""a\\\"b\\n""#);
    check("from_json_string", r#"["{\"a\": 1}"]"#, "{}", r#"{"a":1}"#);
    check("json", "[1]", "{}", "TypeError: Given object is not typeof string.");
}

#[test]
fn yaml_texts() {
    check("to_yaml_string", r#"[{"b": 1, "a": [1, "yes"]}]"#, "{}", r#""a:\n- 1\n- 'yes'\nb: 1\n""#);
    check("from_yaml_string", r#"["a: [1, yes, ~]"]"#, "{}", r#"{"a":[1,true,null]}"#);
}

#[test]
fn paths() {
    let people = r#"[{"people": [{"first": "A", "n": 1}, {"first": "B", "n": 2}]}, "#;
    check("jsonpath_query", &format!("{people}\"people[*].first\"]"), "{}", r#"["A","B"]"#);
    check("jsonpath_query", &format!("{people}\"$.people[0].first\"]"), "{}", r#"["A"]"#);
    check("jsonpath_query", &format!("{people}\"$..n\"]"), "{}", "[1,2]");
    check("jsonpath_query", &format!("{people}\"people[-1:].first\"]"), "{}", r#"["B"]"#);
    check("jsonpath_query", &format!("{people}\"zz\"]"), "{}", "null");
    check("jsonpath_query", r#"[{"a": {"b": 1, "c": {"b": 2}}}, "a..b"]"#, "{}", "[1,2]");
}

#[test]
fn versions_in_order() {
    check("version_compare", r#"["1.0.0-rc.1", "1.0.0"]"#, "{}", "-1");
    check("version_compare", r#"["1.0.0-2", "1.0.0-10"]"#, "{}", "-1");
    check("version_match", r#"["1.2.3", ">=1.2.0"]"#, "{}", "true");
    check("version_bump_minor", r#"["1.2.3"]"#, "{}", r#""1.3.0""#);
    check("version_compare", r#"["1.2", "1.0"]"#, "{}", "ValueError: 1.2 is not valid SemVer string");
}

#[test]
fn texts() {
    check("regex_substring", r#"["a12b34", "(\\w)(\\d)"]"#, "{}", r#"["a","1"]"#);
    check("regex_substring", r#"["a12b34", "\\d+"]"#, r#"{"resultIndex": -1}"#, r#""34""#);
    check("basename", r#"["/usr/local/"]"#, "{}", r#""""#);
    check("dirname", r#"["/a"]"#, "{}", r#""/""#);
    check("to_human_time_from_seconds", "[90061]", "{}", r#""1d1h1m1s""#);
    check("to_human_time_from_seconds", "[0]", "{}", r#""0s""#);
    check("regex_match", "[]", "{}", "does not match");
}

#[test]
fn rows() {
    check("zip", "[[1, 2], [3]]", r#"{"pad": 0}"#, "[[1,3],[2,0]]");
    check("zip", "[null, [1]]", "{}", "[[null,1]]");
    check("zip", r#"["ab", {"k": 0}]"#, "{}", r#"[["a","k"],["b",null]]"#);
    check("zip", "[[1]]", "{}", "[1]");
}
