//! No input panics, hangs or overflows the stack, and nothing costs more than its limits allow.

use proptest::prelude::*;
use squall_expr::jinja::Template;
use squall_expr::{Engine, Error, Limits, NoHost, Scope, params, text};
use squall_model::{Value, from_json};

fn render(template: &str, data: &Value) -> Result<String, Error> {
    let scope = Scope { engine: Engine::Stack, data, host: &NoHost, limits: &Limits::default() };
    Template::compile(template, Engine::Stack)?.render(&scope)
}

/// Runs on a small stack, as a worker might.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let size = if cfg!(debug_assertions) { 4 << 20 } else { 512 << 10 };
    std::thread::Builder::new().stack_size(size).spawn(run).unwrap().join().unwrap();
}

#[track_caller]
fn refused(template: &str) {
    let error = render(template, &Value::map()).expect_err("must be refused");
    assert!(matches!(&*error.class, "ResourceLimit" | "OverflowError"), "{}: {}", error.class, error.message);
}

#[test]
fn what_costs_too_much_is_refused() {
    on_small_stack(costly);
}

fn costly() {
    for template in [
        "{{ 'a' * 500000000 }}",
        "{{ [0] * 500000000 }}",
        "{{ range(100001) | list }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:>1000000000}'.format('a') }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ 'a\nb' | indent(1000000000) }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ 'x' | replace('', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy' * 3000000) }}",
    ] {
        refused(template);
    }
}

#[test]
fn every_bound_is_named_by_the_error_and_set_by_that_name() {
    for (name, most, template) in [
        ("steps", 1_000, "{% for a in range(100) %}{% for b in range(100) %}{% endfor %}{% endfor %}"),
        ("time", 0, "{% for a in range(100) %}{% for b in range(100) %}{% endfor %}{% endfor %}"),
        ("bytes", 1_000, "{{ 'a' * 2000 }}"),
        ("output", 1_000, "{% for a in range(100) %}abcdefghijklmnop{% endfor %}"),
        (
            "depth",
            20,
            "{{ not not not not not not not not not not not not not not not not not not not not not not not not not true }}",
        ),
        ("recursion", 5, "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
    ] {
        let mut limits = Limits::default();
        limits.set_written(&format!("{name}={most}")).unwrap();
        assert_eq!(limits.get(name), Some(most));
        let data = Value::map();
        let scope = Scope { engine: Engine::Stack, data: &data, host: &NoHost, limits: &limits };
        let template = Template::compile(template, Engine::Stack).unwrap();
        let error = template.render(&scope).expect_err(name);
        assert!(error.message.contains(&format!("more than {most} ")), "{error}");
        assert!(error.message.contains(&format!("(limit `{name}`)")), "{error}");
        let usual = Scope { limits: Limits::usual(), ..scope };
        assert_eq!(template.render(&usual).is_ok(), name != "recursion", "{name}");
    }
    let refused = Limits::default().set_written("speed=1").unwrap_err();
    assert_eq!(refused, "there is no bound `speed`; there are steps, time, bytes, output, depth, recursion");
}

#[test]
fn deep_texts_are_refused_on_a_small_stack() {
    on_small_stack(|| {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{1:", "}"),
            ("not ", ""),
            ("-", ""),
            ("x if ", " else 1"),
            ("f(", ")"),
            ("x[", "]"),
        ] {
            let deep = format!("{{{{ {}1{} }}}}", open.repeat(100_000), close.repeat(100_000));
            assert!(render(&deep, &Value::map()).is_err());
            let near = format!("{{{{ {}1{} }}}}", open.repeat(150), close.repeat(150));
            let _ = render(&near, &Value::map());
        }
        for step in [".a", "|upper", " + 1", " ~ 1", "[0]", "()", " is defined", " if 1"] {
            let _ = render(&format!("{{{{ x{} }}}}", step.repeat(100_000)), &Value::map());
            let _ = render(&format!("{{{{ 1{} }}}}", step.repeat(150)), &Value::map());
        }
        let ifs = format!("{}x{}", "{% if 1 %}".repeat(100_000), "{% endif %}".repeat(100_000));
        assert!(render(&ifs, &Value::map()).is_err());
        let near = format!("{}x{}", "{% if 1 %}".repeat(150), "{% endif %}".repeat(150));
        let _ = render(&near, &Value::map());
        let macros = "{% macro m(n) %}{{ n }}{% if n %}{% for i in [1] %}{% if 1 %}{{ ((((m(n - 1) ~ '') ~ '') ~ '') ~ '') }}{% endif %}{% endfor %}{% endif %}{% endmacro %}{{ m(99) }}";
        let _ = render(macros, &Value::map());
        assert!(params::python_literal(&"(".repeat(100_000)).is_err());
    });
}

#[test]
fn a_context_of_ten_megabytes_costs_nothing_to_pass() {
    let rows: Vec<Value> = (0..100_000).map(|n| Value::from(format!("{n:0>100}"))).collect();
    let data = Value::from_pairs([("rows", Value::from(rows)), ("x", Value::Int(1))]);
    // What looks at the whole context, or copies it, cannot be paid for out of this.
    let limits = Limits { steps: 50, bytes: 1000, ..Limits::default() };
    for (engine, text) in [
        (Engine::Mistral, "<% $.x + $.rows.len() %>"),
        (Engine::Mistral, "{{ _.x + _.rows | length }}"),
        (Engine::Orquesta, "{{ __vars.x }}"),
    ] {
        let scope = Scope { engine, data: &data, host: &NoHost, limits: &limits };
        let value = text::Template::compile(text, engine).unwrap().eval(&scope);
        assert!(value.is_ok(), "{text}: {value:?}");
    }
    let before = data.clone();
    let scope = Scope { engine: Engine::Stack, data: &data, host: &NoHost, limits: &Limits::default() };
    Template::compile("{{ rows.append(1) }}{{ rows.pop(0) }}", Engine::Stack).unwrap().render(&scope).unwrap();
    assert_eq!(data, before, "a method that changes a list changed the context");
}

#[test]
fn data_is_not_copied_to_be_looked_at() {
    let big = Value::from((0..200_000).map(|n| Value::from(format!("item {n}"))).collect::<Vec<_>>());
    let data = Value::from_pairs([("big", big), ("x", Value::Int(1))]);
    // A budget that could not pay for a copy.
    let limits = Limits { steps: 1000, bytes: 1000, ..Limits::default() };
    let scope = Scope { engine: Engine::Stack, data: &data, host: &NoHost, limits: &limits };
    let template =
        Template::compile("{{ x }} {{ big[5] }} {{ big | length }} {{ big | last }}", Engine::Stack).unwrap();
    assert_eq!(template.render(&scope).unwrap(), "1 item 5 200000 item 199999");
}

#[test]
fn the_inside_of_python_is_out_of_reach() {
    let data = from_json(r#"{"x": "a", "l": [1], "d": {"k": 1}}"#, false).unwrap();
    for escape in [
        "{{ x.__class__ }}",
        "{{ x['__class__'] }}",
        "{{ l.__class__.__mro__ }}",
        "{{ d.__init__ }}",
        "{{ x | attr('__class__') }}",
        "{{ '{0.__class__}'.format(x) }}",
        "{{ ''.__class__.__subclasses__() }}",
        "{{ self.__init__ }}",
        "{{ range.__globals__ }}",
        "{{ cycler.__init__ }}",
        "{{ (1).__class__ }}",
        "{{ [x] | map(attribute='__class__') | list | first }}",
        "{% include 'x' %}",
        "{% import 'os' as os %}",
        "{{ config }}",
        "{{ request }}",
        "{{ os }}",
        "{{ lipsum() }}",
    ] {
        let outcome = render(escape, &data);
        assert!(outcome.is_err(), "{escape} gave {outcome:?}");
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{{", "}}", "{%", "%}", "{#", "#}", "x", "y.z", "1", "2.5", "'a'", "\"b\"", "(", ")", "[", "]", "{", "}", ":",
        ",", "|", "+", "-", "*", "**", "/", "//", "%", "~", "==", "<", "is", "in", "not", "and", "or", "if", "else",
        "endif", "for", "endfor", "set", "=", "macro", "endmacro", "upper", "join", "map", "default", "sort", "loop",
        "range", "raw", "endraw", " ", "\n", "é", "_", "split", "format", "append", ".", "items()", "[::-1]", "true",
        "none", "defined", "%s", "<%", "%>", "$", "ctx()",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn no_template_panics(template in pieces()) {
        let data = from_json(r#"{"x": [1, "a", null], "y": {"z": 2.5}}"#, false).unwrap();
        let _ = render(&template, &data);
        let _ = render(&format!("{{{{ {template} }}}}"), &data);
        for engine in [Engine::Mistral, Engine::Orquesta] {
            let scope = Scope { engine, data: &data, host: &NoHost, limits: &Limits::default() };
            let _ = text::Template::of(&template.as_str().into(), engine).eval_again(&scope);
        }
    }

    #[test]
    fn no_literal_panics(text in r#"[\[\](){},:'"0-9a-zA-Z_.+\-\\ é]{0,24}"#) {
        let _ = params::python_literal(&text);
        for kind in ["integer", "number", "boolean", "array", "object"] {
            let _ = params::cast(&text.as_str().into(), kind);
        }
    }

    /// What Jinja prints, casts read back.
    #[test]
    fn printed_values_read_back(numbers in prop::collection::vec(any::<i64>(), 0..4), word in "[a-z'\"\\\\é\n]{0,6}", x in -1e9f64..1e9) {
        let value = Value::from_pairs([
            ("l", Value::from(numbers.into_iter().map(Value::Int).collect::<Vec<_>>())),
            ("s", word.as_str().into()),
            ("x", Value::Float(x)),
            ("n", Value::Null),
            ("b", Value::Bool(true)),
        ]);
        let data = Value::from_pairs([("v", value.clone())]);
        let printed = render("{{ v }}", &data).unwrap();
        prop_assert_eq!(params::cast(&printed.into(), "object").unwrap(), value);
    }

    #[test]
    fn no_criteria_panic(pattern in "[*?a-c\\[\\]!{}|.]{0,12}", value in "[a-c\\[\\]]{0,12}", path in "trigger[.a-c'\\[\\]*0-9]{0,12}") {
        for operator in ["eq", "matchwildcard", "regex", "matchregex", "iregex", "contains", "in", "lt", "td_lt", "search"] {
            let line = serde_json::json!({
                "kind": "filter",
                "criteria": {&path: {"type": operator, "pattern": &pattern, "condition": "any"}},
                "payload": {"a": &value, "b": [1, &value], "c": {"a": null}},
            });
            let _ = squall_expr::batch::rule_test(&line);
        }
    }
}
