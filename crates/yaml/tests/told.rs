//! What people are told: errors, hints and duplicate keys, as they are printed.

use squall_yaml::{Diagnostic, Options, parse};

/// The text as a file, and everything that is said about it.
fn check(text: &str, expected: &str) {
    let told = match parse(text, &Options::default()) {
        Ok(doc) => doc.warnings.iter().map(|w| Diagnostic::from_yaml_warning("SQ1002", text, w)).collect(),
        Err(error) => vec![Diagnostic::from_yaml_error("SQ1001", text, &error)],
    };
    let told: String = told.into_iter().map(|d| d.in_file("a.yaml").to_string()).collect();
    assert_eq!(told.trim(), expected.trim(), "\n{told}");
}

#[test]
fn jinja_without_quotes() {
    check(
        "name: x\ncmd: {{ host }}\n",
        "
error[SQ1001]: this is not YAML that can be loaded
   ╭─[a.yaml:2:7]
 2 │ cmd: {{ host }}
   ·       ┬
   ·       ╰── found unhashable key
   ╰─
  help: a value that begins with `{{` is read as a map; put the whole value in quotes: `\"{{ … }}\"`",
    );
}

#[test]
fn tabs() {
    check(
        "a:\n\t- b\n",
        "
error[SQ1001]: this is not YAML that can be loaded
   ╭─[a.yaml:2:1]
 2 │  - b
   · ┬
   · ╰── found character that cannot start any token
   ╰─
  help: indent with spaces; YAML does not allow tabs for indentation",
    );
}

#[test]
fn a_key_written_twice() {
    check(
        "pack: x\nname: a\nname: b\n",
        "
warning[SQ1002]: the key `name` is written twice, only the second counts
   ╭─[a.yaml:3:1]
 3 │ name: b
   · ──┬─
   ·   ╰── this one counts
 2 │ name: a
   · ──┬─
   ·   ╰── first written here
   ╰─",
    );
}

#[test]
fn hints() {
    let hint = |text: &str| parse(text, &Options::default()).unwrap_err().hint.unwrap_or_default();
    assert_eq!(hint("formats:\n  - @bot x"), "a value that begins with `@` must be put in quotes");
    assert_eq!(hint("a: `x`"), "a value that begins with ``` must be put in quotes");
    assert_eq!(hint("a: {% if x %}y{% endif %}"), "a value that begins with `%` or `{%` must be put in quotes");
    assert!(hint("a: {{ x }} and more").contains("begins with `{{`"));
    assert!(hint("a: {{ x | y }}").contains("begins with `{{`"));
    assert!(hint("- {{x}}/b").contains("begins with `{{`"));
    assert_eq!(hint("cmd: \"{{a}}\" more"), "the closing quote ends the value; put quotes around the whole value");
    assert_eq!(hint("a: *x"), "a value that begins with `*` must be put in quotes");
    assert_eq!(hint("b: 1\na: 'x\n\n"), "the quote opened in line 2 is never closed");
    assert!(hint("description: note: this").contains("`: ` must be put in quotes"));
    assert!(hint("a: !foo x").contains("begins with `!`"));
    assert_eq!(hint("a:\n  b: 1\n c: 2"), "this line is indented differently from its neighbours");
}

#[test]
fn places_are_bytes_and_characters() {
    let text = "\u{feff}é: ünü\nlist:\n  - ☃\n  - {a: b}\n\n# end\nlast: x\n";
    let root = parse(text, &Options::default()).unwrap().root;
    let at = |path: &[&str]| root.at(path).unwrap().span;
    assert_eq!(&text[at(&["é"]).start..at(&["é"]).end], "ünü");
    assert_eq!((at(&["é"]).line, at(&["é"]).column), (1, 4));
    let list = root.get("list").unwrap();
    assert_eq!(&text[list.span.start..list.span.end], "- ☃\n  - {a: b}");
    let item = &list.as_seq().unwrap()[1];
    assert_eq!(&text[item.span.start..item.span.end], "{a: b}");
    assert_eq!((item.span.line, item.span.column), (4, 5));
}

proptest::proptest! {
    #[test]
    fn any_text_gives_an_answer_and_places_inside_it(text in "[a-c:\\-{}\\[\\] \n\t'\"&*!|>%@#?,<~é0-9.]{0,60}") {
        if let Ok(doc) = parse(&text, &Options::default()) {
            inside(&doc.root, &text);
        }
    }
}

fn inside(node: &squall_yaml::Node, text: &str) {
    assert!(text.get(node.span.start..node.span.end).is_some(), "{:?} of {text:?}", node.span);
    match &node.kind {
        squall_yaml::Kind::Scalar { .. } => {}
        squall_yaml::Kind::Seq(items) => items.iter().for_each(|item| inside(item, text)),
        squall_yaml::Kind::Map(pairs) => pairs.iter().for_each(|(k, v)| {
            inside(k, text);
            inside(v, text);
        }),
    }
}
