use super::*;
use crate::Limits;

fn flags(letters: &str) -> Flags {
    Flags {
        ignore_case: letters.contains('i'),
        multi_line: letters.contains('m'),
        dot_all: letters.contains('s'),
        verbose: letters.contains('x'),
        ascii: letters.contains('a'),
    }
}

/// All matches of a pattern in a text, joined by `|`, or the error.
fn all(pattern: &str, letters: &str, text: &str) -> String {
    let budget = Budget::new(&Limits::default());
    let found = compile(pattern, flags(letters)).and_then(|p| p.find_all(text, 0, &budget));
    match found {
        Ok(found) => found.iter().map(|m| text[m.span()].to_string()).collect::<Vec<_>>().join("|"),
        Err(e) => format!("{}: {}", e.class, e.message),
    }
}

#[track_caller]
fn check(pattern: &str, letters: &str, text: &str, expected: &str) {
    assert_eq!(all(pattern, letters, text), expected, "{pattern}");
}

#[test]
fn python_dialect() {
    check(r"\d+", "", "ab12cd34", "12|34");
    check("b$", "", "ab\n", "b");
    check("a$", "", "a\nb", "");
    check("a$", "m", "a\nb", "a");
    check(r"b\Z", "", "ab\n", "");
    check("a.b", "", "a\nb", "");
    check("a.b", "s", "a\nb", "a\nb");
    check("A", "i", "aA", "a|A");
    check("(?i)a", "", "aA", "a|A");
    check("x(?i)A", "", "Xa", "Xa");
    check("(?i:a)b", "", "AB Ab", "Ab");
    check("a b # c", "x", "ab", "ab");
    check(r"(a)\1", "", "aab", "aa");
    check(r"(?P<q>['x]).*?(?P=q)", "", "'a' 'b'", "'a'|'b'");
    check(r"foo(?!bar)", "", "foobar foobaz", "foo");
    check(r"(?<=a)b", "", "ab cb", "b");
    check(r"(a)?b(?(1)c|d)", "", "abc bd", "abc|bd");
    check("a{,2}", "", "aaa", "aa|a|");
    check("x{", "", "x{", "x{");
    check("[]a]", "", "]a", "]|a");
    check("[[a]", "", "[a", "[|a");
    check("[a&&b]", "", "a&b", "a|&|b");
    check(r"[\w-]+", "", "a-b é", "a-b|é");
    check(r"[^\W\d]+", "", "ab1é", "ab|é");
    check(r"\w+", "a", "abé", "ab");
    check(r"\x41\u0042\103", "", "ABC", "ABC");
    check("(?#comment)a", "", "a", "a");
}

#[test]
fn empty_matches_as_in_python() {
    check("", "", "ab", "||");
    check("x*", "", "axb", "|x||");
    check("a*?", "", "aa", "|a||a|");
    check("|b", "", "ab", "||b|");
    check("b*$", "", "b\n", "b||");
}

#[test]
fn refusals_in_the_words_of_python() {
    check("(", "", "", "error: missing ), unterminated subpattern at position 0");
    check(")", "", "", "error: unbalanced parenthesis at position 0");
    check("*a", "", "", "error: nothing to repeat at position 0");
    check("a**", "", "", "error: multiple repeat at position 2");
    check("^*", "", "", "error: nothing to repeat at position 1");
    check("a++", "", "", "error: multiple repeat at position 2");
    check("[a", "", "", "error: unterminated character set at position 0");
    check("[b-a]", "", "", "error: bad character range at position 1");
    check(r"\q", "", "", r"error: bad escape \q at position 0");
    check(r"(a)\2", "", "", "error: invalid group reference 2 at position 4");
}

#[test]
fn anchors() {
    let p = compile("a|ab", Flags::default()).unwrap();
    assert!(p.is_match("xab", Anchor::Anywhere).unwrap());
    assert!(!p.is_match("xab", Anchor::Start).unwrap());
    assert!(p.is_match("ab", Anchor::Whole).unwrap());
    assert!(!p.is_match("abc", Anchor::Whole).unwrap());
}

#[track_caller]
fn check_replace(pattern: &str, text: &str, template: &str, expected: &str) {
    let budget = Budget::new(&Limits::default());
    let out = compile(pattern, Flags::default()).and_then(|p| p.replace(text, template, 0, &budget));
    assert_eq!(out.unwrap_or_else(|e| e.message), expected);
}

#[test]
fn replacements() {
    check_replace("b", "abcb", "X", "aXcX");
    check_replace("(b)", "abc", r"[\1]", "a[b]c");
    check_replace("(?P<n>b)", "abc", r"<\g<n>\g<0>\g<1>>", "a<bbb>c");
    check_replace("b", "abc", r"\n\\", "a\n\\c");
    check_replace("b", "abc", r"\q", r"bad escape \q at position 0");
    check_replace("b", "abc", "\\", "bad escape (end of pattern) at position 0");
    check_replace("b", "abc", r"\2", "invalid group reference 2 at position 1");
    check_replace("x*", "abxd", "-", "-a-b--d-");
}

#[test]
fn splits_keep_groups() {
    let budget = Budget::new(&Limits::default());
    let split = |pattern: &str, text: &str| {
        let parts = compile(pattern, Flags::default()).unwrap().split(text, 0, &budget).unwrap();
        parts.iter().map(|p| p.as_deref().unwrap_or("None").to_string()).collect::<Vec<_>>().join("|")
    };
    assert_eq!(split(",", "a,b,c"), "a|b|c");
    assert_eq!(split("(,)|(;)", "a,b"), "a|,|None|b");
}

#[test]
fn expensive_patterns_end() {
    check(r"(\w{1000}){1000}", "", "a", &all(r"(\w{1000}){1000}", "", "a"));
    let text = "a".repeat(5000) + "!";
    assert!(all(r"(?=(a+)+$)x|(a|aa)+\2$", "", &text).starts_with("ResourceLimit"));
}
