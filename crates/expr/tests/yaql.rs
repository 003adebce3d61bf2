//! YAQL as its users see it: what holds for every expression, and what it may not do to the server.

use proptest::prelude::*;
use squall_expr::{Engine, Error, Limits, NoHost, Scope, yaql};
use squall_model::{Value, from_json, to_json};

fn evaluate(text: &str, data: &Value) -> Result<Value, Error> {
    let limits = Limits::default();
    yaql::parse(text)?.eval(&Scope { engine: Engine::Mistral, data, host: &NoHost, limits: &limits })
}

/// An expression over `data` and its value as JSON, or the class of its error.
#[track_caller]
fn check_over(data: &str, text: &str, expected: &str) {
    let data = from_json(data, true).unwrap();
    let shown = match evaluate(text, &data) {
        Ok(value) => to_json(&value),
        Err(e) => e.class.into_owned(),
    };
    assert_eq!(shown, expected, "{text}");
}

#[track_caller]
fn check(text: &str, expected: &str) {
    check_over("{}", text, expected);
}

#[test]
fn lists_of_python_are_no_tuples() {
    check("str('a b'.split())", r#""['a', 'b']""#);
    check("'a b'.split() = [a, b]", "false");
    check("'a b'.split().toList() = [a, b]", "true");
    check("['a b'.split()].distinct()", "TypeError");
}

/// Runs on the smallest stack that a thread of the server has; unoptimised frames are many times as large.
fn on_a_small_stack(work: fn()) {
    let size = if cfg!(debug_assertions) { 16 << 20 } else { 512 << 10 };
    std::thread::Builder::new().stack_size(size).spawn(work).unwrap().join().unwrap();
}

#[test]
fn definitions_recurse_until_they_must_not() {
    on_a_small_stack(recursion);
}

fn recursion() {
    check("def(fact, switch($ <= 1 => 1, true => $ * fact($ - 1))) -> fact(20)", "2432902008176640000");
    check("def(f, f($)) -> f(1)", "ResourceLimit");
    check("def(f, $x + 1) -> f(x => 4)", "5");
    check("[1, 2].select(def(f, $ * 2) -> f($))", "[2,4]");
}

#[test]
fn what_never_ends_ends() {
    on_a_small_stack(endless);
}

fn endless() {
    for text in [
        "sequence()",
        "[1].cycle()",
        "1.repeat()",
        "sequence().sum()",
        "generate(0, true, $ + 1)",
        "generateMany(0, [$, $])",
        "range(10000000000).len()",
        "sequence().select(1).where(false)",
        "'ab' * 100000000000",
        "[1] * 100000000000",
        "pow(10, 100000000)",
        "shiftBitsLeft(1, 100000000000)",
        "range(1000).aggregate($1 + $1, 'abcdefghij')",
        "range(1000).aggregate($1 + $1, [1])",
        "range(100000).aggregate($1 * $1, 3)",
        "range(1000000).aggregate([$1], 1)",
        "range(1000000).aggregate({a => $1}, 1)",
        "range(1000000).aggregate({1 => $1}, 1)",
        "range(1000000).aggregate(set($1), 1)",
        "range(1000000).aggregate($1.select($), [1])",
        "range(1000000).aggregate([1].where($1), 0)",
        "range(1000000).aggregate($1.memorize().append(1), [1])",
        "range(1000000).aggregate([1].orderBy($1), 0)",
        "let(x => range(3)) -> call(call, [call, [call, [call, []]]], {}) -> sequence()",
    ] {
        let limits = Limits { steps: 1_000_000, ..Limits::default() };
        let scope = Scope { engine: Engine::Mistral, data: &Value::map(), host: &NoHost, limits: &limits };
        let outcome = yaql::parse(text).and_then(|expression| expression.eval(&scope));
        let class = outcome.map_err(|e| e.class.into_owned());
        assert!(class.is_err(), "{text}");
        assert!(["ResourceLimit", "NoMatchingFunctionException"].contains(&class.unwrap_err().as_str()), "{text}");
    }
}

#[test]
fn deep_texts_are_refused() {
    on_a_small_stack(deep_texts);
}

fn deep_texts() {
    for (open, close) in [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("f(", ")"), ("{a => ", "}"), ("$.a[", "]")]
    {
        let text = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(yaql::parse(&text).unwrap_err().class, "ResourceLimit", "{open}");
        let text = format!("{}1{}", open.repeat(150), close.repeat(150));
        let expression = yaql::parse(&text).unwrap();
        let limits = Limits::default();
        let _ =
            expression.eval(&Scope { engine: Engine::Mistral, data: &Value::map(), host: &NoHost, limits: &limits });
    }
    assert_eq!(yaql::parse(&"1+".repeat(10_000)).unwrap_err().class, "ResourceLimit");
    assert_eq!(yaql::parse(&("$".to_string() + &".a".repeat(10_000))).unwrap_err().class, "ResourceLimit");
}

#[test]
fn deep_data_is_no_danger() {
    on_a_small_stack(deep_data);
}

fn deep_data() {
    let mut data = Value::from(1);
    for _ in 0..200 {
        data = Value::from(vec![data]);
    }
    let data = Value::from_pairs([("x", data)]);
    for text in ["[$.x, 1]", "str($.x)", "$.x = $.x", "$.x.flatten()", "set($.x).len()", "$.x.select($).distinct()"] {
        let _ = evaluate(text, &data);
    }
}

#[test]
fn sets_of_numbers_have_an_order() {
    check("set(3, 1, 2).toList()", "[1,2,3]");
    check("[33, 1, 9, 17, 25].toSet().toList()", "[33,1,9,17,25]");
    check("set(b, a).toList()", r#"["b","a"]"#);
    check("{3 => a, 1 => b}.keys().toList()", "[3,1]");
}

#[test]
fn later_fields_of_an_order_are_asked_only_on_a_tie() {
    check("[3, 1, 2].orderBy($).thenBy($.nothing)", "[1,2,3]");
    check("[3, 1, 1].orderBy($).thenBy($.nothing)", "NoFunctionRegisteredException");
    check("[[1, a], [2, b], [1, c]].orderBy($[0]).thenByDescending($[1]).select($[1])", r#"["c","a","b"]"#);
}

#[test]
fn generators_pass_once() {
    check("let(range(4)) -> $.sum() + $.len()", "6");
    check("let(x => range(3).memorize()) -> [$x.len(), $x.len()]", "[3,3]");
}

#[test]
fn what_an_expression_reads() {
    let reads = |text: &str| match yaql::parse(text).unwrap().reads() {
        yaql::Reads::Members(names) => names.join(" "),
        yaql::Reads::Everything => "*".into(),
    };
    for (text, expected) in [
        ("task(t).result", ""),
        ("$.hosts.where($.up).len() + $?.more", "hosts up more"),
        ("$.get(v, $.other) + $[w] + $['x', 0]", "v other w x"),
        ("let(a => 1) -> $a + $2", ""),
        ("$", "*"),
        ("$.len()", "*"),
        ("$.hosts.where($ = 1)", "*"),
        ("f(x => $)", "*"),
        // Their errors show all of it.
        ("$.get()", "*"),
        ("$.get(v, 0, 1)", "*"),
        ("$.get($.name)", "*"),
    ] {
        assert_eq!(reads(text), expected, "{text}");
    }
}

#[test]
fn errors_know_their_place() {
    let error = yaql::parse("$.é + %").unwrap_err();
    assert_eq!((error.class.as_ref(), error.span), ("YaqlLexicalException", Some(7..8)));
    let error = yaql::parse("[1, ]").unwrap_err();
    assert_eq!(error.span, Some(4..5));
}

/// The list of functions in the documentation is written by this test when `UPDATE_DOCS` is set.
#[test]
fn documentation_lists_every_function() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/yaql.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (start, end) = ("<!-- functions -->\n", "<!-- end -->");
    let (head, rest) = page.split_once(start).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    let list: String = yaql::signatures().iter().map(|signature| format!("- `{signature}`\n")).collect();
    let wanted = format!("{head}{start}{list}{end}{tail}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    assert!(page == wanted || std::env::var_os("UPDATE_DOCS").is_some(), "run this test with UPDATE_DOCS=1");
}

/// What the page shows is what happens: `> expression` lines of its transcripts, each followed by the value.
#[test]
fn documentation_tells_the_truth() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/yaql.md")).unwrap();
    let data = page.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    let mut lines = page.lines();
    let mut shown = 0;
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("> ") {
            check_over(data, text, lines.next().unwrap());
            shown += 1;
        }
    }
    assert!(shown > 20);
}

/// Texts that are mostly expressions.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("$".to_string()),
        Just("$.a".to_string()),
        Just("$.l".to_string()),
        Just("null".to_string()),
        Just("'x\\n'".to_string()),
        Just("range(3)".to_string()),
        "[0-9]{1,25}(\\.[0-9]{1,3})?",
        "[a-z]{1,3}",
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (
                pair.clone(),
                prop::sample::select(vec!["+", "-", "*", "/", " mod ", "=", "<", " in ", "=~", " and ", "->"])
            )
                .prop_map(|((a, b), operator)| format!("{a} {operator} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("not {a}")),
            pair.clone().prop_map(|(a, b)| format!("[{a}, {b}]")),
            pair.clone().prop_map(|(a, b)| format!("{{{a} => {b}}}")),
            pair.clone().prop_map(|(a, b)| format!("{a}[{b}]")),
            (pair.clone(), prop::sample::select(METHODS.to_vec())).prop_map(|((a, b), m)| format!("{a}.{m}({b})")),
            (pair, prop::sample::select(FUNCTIONS.to_vec())).prop_map(|((a, b), f)| format!("{f}({a}, {b})")),
        ]
    })
}

const METHODS: &[&str] = &[
    "where",
    "select",
    "orderBy",
    "groupBy",
    "join",
    "len",
    "toDict",
    "repeat",
    "zip",
    "aggregate",
    "get",
    "replace",
    "split",
    "matches",
    "skip",
    "insert",
    "delete",
    "unpack",
    "mergeWith",
    "slice",
    "reverse",
    "flatten",
    "set",
];
const FUNCTIONS: &[&str] = &[
    "let",
    "list",
    "dict",
    "set",
    "max",
    "switch",
    "range",
    "regex",
    "datetime",
    "timespan",
    "pow",
    "str",
    "call",
    "def",
    "coalesce",
    "bitwiseXor",
    "shiftBitsLeft",
    "round",
    "generate",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn printing_and_parsing_are_inverse(text in expressions()) {
        if let Ok(expression) = yaql::parse(&text) {
            let printed = expression.to_string();
            let again = yaql::parse(&printed);
            prop_assert!(again.is_ok(), "{} printed as {}", text, printed);
            prop_assert_eq!(again.unwrap().to_string(), printed);
        }
    }

    #[test]
    fn nothing_panics_and_data_stays(text in expressions()) {
        let data = from_json(r#"{"a": {"b": [1, "x"]}, "l": [3, 1, 2]}"#, false).unwrap();
        let before = to_json(&data);
        let limits = Limits { steps: 20_000, ..Limits::default() };
        if let Ok(expression) = yaql::parse(&text) {
            let scope = Scope { engine: Engine::Mistral, data: &data, host: &NoHost, limits: &limits };
            let once = expression.eval(&scope).map(|v| to_json(&v)).map_err(|e| e.class);
            let twice = expression.eval(&scope).map(|v| to_json(&v)).map_err(|e| e.class);
            prop_assert_eq!(once, twice);
        }
        prop_assert_eq!(to_json(&data), before);
    }

    #[test]
    fn any_text_can_be_read_or_refused(text in "[-$.,+*/=<>!~?()\\[\\]{}'\"`\\\\a-c0-2é ]{0,40}") {
        match yaql::parse(&text) {
            Ok(expression) => {
                let _ = evaluate(&text, &Value::map());
                let printed = expression.to_string();
                prop_assert_eq!(yaql::parse(&printed).unwrap().to_string(), printed);
            }
            Err(error) => {
                let span = error.span.unwrap_or(0..0);
                prop_assert!(text.get(span).is_some());
            }
        }
    }
}
