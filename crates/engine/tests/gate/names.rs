//! The tests that the design of confirmation asks for by name are there, each under its name.

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_named_test_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut there = BTreeSet::new();
    functions(&root.join("crates"), &mut there);
    let list = std::fs::read_to_string(root.join("tests/confirmation_names.txt")).expect("the list of names");
    let lines = || list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert!(lines().count() > 80, "the list is cut off");
    let wanted = lines().filter(|line| !line.contains(':'));
    let missing: Vec<&str> = wanted.filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "no test of this name, and no reason why: {missing:?}");
    let done: Vec<&str> = lines().filter(|line| line.split_once(':').is_some_and(|(n, _)| there.contains(n))).collect();
    assert!(done.is_empty(), "there is a test now, so there is no reason any more: {done:?}");
}

/// Names of all functions below a directory, tests or not.
fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let names = text.lines().filter_map(|line| line.split("fn ").nth(1)?.split('(').next());
            found.extend(names.map(|name| name.trim().to_owned()));
        }
    }
}
