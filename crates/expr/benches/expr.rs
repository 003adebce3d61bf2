//! How fast the room is where it counts: one chat line against many aliases, one event against many rules,
//! a template. Run by `cargo bench -p squall-expr --profile fast`; prints microseconds, judges nothing.

use squall_expr::alias::{Entry, Matcher, Options};
use squall_expr::jinja::Template;
use squall_expr::operators::Criteria;
use squall_expr::{Engine, Limits, NoHost, Scope};
use squall_model::from_json;
use std::hint::black_box;
use std::time::Instant;

fn main() {
    aliases();
    rules();
    templates();
}

fn measure(what: &str, times: u32, mut run: impl FnMut()) {
    run();
    let start = Instant::now();
    for _ in 0..times {
        run();
    }
    println!("{what:50} {:10.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(times));
}

/// Ten thousand aliases, one in ten starting with a placeholder or a regular expression.
fn aliases() {
    let format = |n: u32| match n % 20 {
        0 => format!("{{{{who}}}} please handle task{n} {{{{when=now}}}}"),
        10 => format!("(show|list) report{n} {{{{what}}}}"),
        _ => format!("service{n} restart {{{{host}}}} in {{{{env=prod}}}}"),
    };
    let entry = |n| Entry { alias: n, representation: format(n).into(), multiple: false, parameters: Vec::new() };
    let start = Instant::now();
    let (matcher, refused) = Matcher::new((0..10_000).map(entry), Options::default());
    assert!(refused.is_empty());
    println!("{:50} {:10.2} ms", "10,000 aliases prepared", start.elapsed().as_secs_f64() * 1e3);
    for line in [
        "service4711 restart web1 in staging",
        "bob please handle task5000 tomorrow",
        "list report10 disks x=1",
        "nothing matches this",
    ] {
        println!("    `{line}`: {} hits", matcher.find(line).len());
        measure("one line against 10,000 aliases", 2000, || drop(black_box(matcher.find(line))));
    }
}

fn rules() {
    let rule = |n: u32| {
        let text = format!(
            r#"{{"trigger.body.repository": {{"type": "eq", "pattern": "repo{n}"}}, "trigger.body.branch": {{"type": "regex", "pattern": "^release-\\d+$"}}}}"#
        );
        Criteria::compile(&from_json(&text, false).expect("written above"))
    };
    let rules: Vec<Criteria> = (0..1000).map(rule).collect();
    let event = from_json(r#"{"body": {"repository": "repo500", "branch": "release-7", "commits": [1, 2, 3]}}"#, false);
    let event = event.expect("written above");
    let limits = Limits::default();
    measure("one event against 1,000 rules", 200, || {
        let fired = rules.iter().filter(|r| r.test(&event, &NoHost, &limits).is_ok_and(|v| v.fires)).count();
        assert_eq!(black_box(fired), 1);
    });
}

fn templates() {
    let data =
        from_json(r#"{"x": 5, "host": {"name": "web1"}, "items": ["a", "b", "c"]}"#, false).expect("written above");
    let limits = Limits::default();
    let scope = Scope { engine: Engine::Stack, data: &data, host: &NoHost, limits: &limits };
    for text in [
        "{{ x }}",
        "{{ host.name | upper }}: {{ items | join(', ') }}",
        "{% for i in items %}{{ loop.index }}={{ i }};{% endfor %}",
    ] {
        let template = Template::compile(text, Engine::Stack).expect("written above");
        measure(&format!("render {text}").chars().take(50).collect::<String>(), 20_000, || {
            drop(black_box(template.render(&scope)))
        });
        measure("    compile and render", 5000, || {
            drop(black_box(Template::compile(text, Engine::Stack).and_then(|t| t.render(&scope))))
        });
    }
}
