//! Alias formats against the recorded behaviour of the original.

mod support;

use serde_json::json;
use squall_expr::alias::Format;

#[test]
fn recorded_aliases() {
    let run = support::Run { file: "alias.jsonl", exceptions: &[], classes: true, wrapped: &[] };
    support::run(&run, |v| Some(v.clone()), squall_expr::batch::alias_match);
}

/// The table of the normative parser: format, command, parameters (null: does not match).
#[test]
fn normative_table() {
    let dosomething = "do_something with {{hostlist}} {{param1}}";
    let execute = r"(run|execute) {{cmd}}( on {{hosts=localhost}})?[!.]?";
    let table = [
        ("confirm {{exec_id}}", "confirm   56a0", json!({"exec_id": "  56a0"})),
        ("confirm {{exec_id}}", "confirm \"a b\"", json!({"exec_id": "a b"})),
        ("confirm {{exec_id}}", "Confirm 56a0", json!(null)),
        ("confirm {{exec_id}}", "confirm exec_id=z", json!(null)),
        ("confirm {{exec_id}}", "confirm abc exec_id=z", json!({"exec_id": "z"})),
        (dosomething, "do_something with h1 h2 x y", json!({"hostlist": "h1", "param1": "h2 x y"})),
        (dosomething, "do_something with h1,h2 param1=z", json!(null)),
        (
            "run {{cmd}} on {{hosts}}",
            "run date on localhost timeout=120",
            json!({"cmd": "date", "hosts": "localhost", "timeout": "120"}),
        ),
        ("run {{cmd}} on {{hosts}}", "run echo on on h1 on h2", json!({"cmd": "echo", "hosts": "on h1 on h2"})),
        ("run {{cmd}} on {{hosts}}", "run 'a on b' on h", json!({"cmd": "a on b", "hosts": "h"})),
        ("run {{cmd}} {{hosts=localhost}}", "run date -u", json!({"cmd": "date", "hosts": "-u"})),
        ("run {{thing={'key': 'value'}}}", "run", json!({"thing": "{'key': 'value'}"})),
        (execute, "execute date on h1!", json!({"cmd": "date", "hosts": "h1"})),
        (execute, "run date!", json!({"cmd": "date", "hosts": "localhost"})),
        ("bar {{ v }}", "bar http://x/?a=b", json!(null)),
        ("bar {{ v }}", "bar x a=b tail", json!({"v": "x a=b tail"})),
        ("kitten pic", "kitten pic count=3", json!({"count": "3"})),
        ("kitten pic", "kitten pics", json!(null)),
        ("say {{a}} in {{b}}", "say l1\nl2 in red", json!({"a": "l1\nl2", "b": "red"})),
        ("run {{a=1}} {{b=2}}", "run", json!({"a": "1", "b": "2"})),
        ("run {{a=1}} {{b=2}}", "run b=9", json!({"a": "1", "b": "9"})),
        ("run {{a=1}} {{b=2}}", "run 5 6 7", json!({"a": "5", "b": "6 7"})),
        ("run {{cmd=\"\"}}", "run", json!({"cmd": ""})),
        ("google {{q}} {{count=10}}", "google test more", json!({"q": "test", "count": "more"})),
        ("lookup {{k}}", "lookup ", json!({"k": " "})),
        ("a {{b}} c", "a it's c", json!({"b": "it's"})),
        ("run {{cmd}}", "run  \"x\"  y", json!({"cmd": " \"x\"  y"})),
        ("deploy {{app}} to {{env}}", "deploy x y=1 to prod", json!({"app": "x y=1", "env": "prod"})),
        ("deploy {{app}} to {{env}}", "deploy web to prod env=dev", json!({"app": "web", "env": "dev"})),
        (r"(?P<n>\d+)$", "see #12", json!(null)),
    ];
    for (format, command, expected) in table {
        let found = Format::parse(format).unwrap().extract(command).ok().map(squall_model::Value::from);
        let found = found.map_or(json!(null), |v| serde_json::Value::from(&v));
        assert_eq!(found, expected, "{format} ← {command}");
    }
    let see = "see #12 and #13";
    assert_eq!(Format::parse(r"(?:\s+|^)#(?P<n>\d+)(?:\s+|$)").unwrap().extract_all(see).unwrap().len(), 2);
    assert_eq!(Format::parse(r"(?:^|\s+)#(?P<n>\d+)(?:$|\s+)").unwrap().extract_all(see).unwrap().len(), 0);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..proptest::test_runner::Config::with_cases(400) })]

    /// Words and placeholders are matched by hand; a harmless group forces the regular expression engine.
    /// Both must agree.
    #[test]
    fn both_engines_agree(
        format in r#"[ab'" ]{0,3}(\{\{(x|x=1|x=\{a\})\}\})?[ab ']{0,3}(\{\{y\}\}|\{\{y="q"\}\})?[ab"]{0,2}"#,
        command in r#"[ab{}'"= ]{0,14}"#,
    ) {
        // An empty format has a rule of its own, which the group would take it out of.
        proptest::prop_assume!(!format.is_empty());
        // Two placeholders that touch are read as one with an impossible name.
        let Ok(by_hand) = Format::parse(&format) else { return Ok(()) };
        let by_regex = Format::parse(&format!("(?:){format}")).unwrap();
        let same = |f: &Format| f.extract(&command).map_err(|e| e.class);
        proptest::prop_assert_eq!(same(&by_hand), same(&by_regex));
    }

    #[test]
    fn nothing_panics(format in r#"[ -~é]{0,40}"#, command in "[ -~é\n]{0,60}") {
        if let Ok(format) = Format::parse(&format) {
            let _ = format.extract(&command);
            let _ = format.extract_all(&command);
        }
    }
}
