//! Hostile texts are refused quickly and without a crash; each names the limit that it met.

use squall_yaml::{Options, parse};

fn check(text: &str, expected: &str) {
    let error = parse(text, &Options::default()).unwrap_err();
    assert!(error.message.contains(expected), "{}", error.message);
}

#[test]
fn a_file_of_many_megabytes() {
    check(&"a: b\n".repeat(1_000_000), "the limit is 1048576");
}

#[test]
fn a_million_brackets() {
    check(&"[".repeat(1_000_000), "nested more than 100 deep");
    check(&"{a: ".repeat(200_000), "nested more than 100 deep");
    check(&"- ".repeat(500_000), "nested more than 100 deep");
}

#[test]
fn too_many_nodes() {
    check(&"- a\n".repeat(250_000), "more than 200000 nodes");
}

#[test]
fn too_many_anchors() {
    let text: String = (0..100_000).map(|n| format!("- &a{n} x\n")).collect();
    check(&text[..1 << 20], "more than 1000 anchors");
}

#[test]
fn a_billion_laughs() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_string();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    check(&text, "aliases expand to far more nodes");
}

#[test]
fn a_quadratic_blow_up() {
    let big = vec!["x"; 5_000].join(", ");
    let aliases = "- *a\n".repeat(5_000);
    check(&format!("- &a [{big}]\n{aliases}"), "aliases expand to far more nodes");
}

#[test]
fn merges_count_too() {
    let keys: String = (0..2_000).map(|n| format!("  k{n}: v\n")).collect();
    let merges: String = (0..2_000).map(|n| format!("m{n}: {{<<: *base}}\n")).collect();
    check(&format!("base: &base\n{keys}{merges}"), "aliases expand to far more nodes");
}

#[test]
fn a_chain_of_aliases_is_as_deep_as_it_unrolls() {
    let text: String =
        (1..900).fold("a0: &a0 [x]\n".to_string(), |text, n| text + &format!("a{n}: &a{n} [*a{}]\n", n - 1));
    check(&text, "aliases");
}

#[test]
fn a_node_inside_itself() {
    check("- &a [*a]", "stands inside the node that it names");
    check("a: &b\n  <<: *b", "stands inside the node that it names");
}

#[test]
fn orquesta_refuses_duplicates_and_merges() {
    let text = "tasks:\n  a: 1\n  a: 2\n";
    let error = parse(text, &Options::orquesta()).unwrap_err();
    assert_eq!(error.python(), "found duplicate key \"a\"");
    assert_eq!(error.hint.as_deref(), Some("it is already written in line 2"));
    let error = parse("x: &b {a: 1}\ny:\n  <<: *b\n", &Options::orquesta()).unwrap_err();
    assert_eq!(
        error.python(),
        "could not determine a constructor for the tag 'tag:yaml.org,2002:merge'\n  in \"<unicode string>\", line 3, column 3"
    );
}
