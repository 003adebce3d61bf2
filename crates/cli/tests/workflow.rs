//! `squall workflow`, as a pack author's CI uses it: what is printed, and the exit code.

use std::path::Path;
use std::process::Command;

/// Runs `squall workflow ARGS` in `dir`; the exit code and standard output.
fn workflow(dir: &Path, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    let output = command.current_dir(dir).arg("workflow").args(args).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn with_files(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

const DRAIN: &str = "version: 1.0
input: [host]
tasks:
  ask:
    action: ops.ask host=<% ctx(host) %>
    retry: {count: 1, delay: 3}
    next:
      - when: <% succeeded() %>
        do: drain
      - when: <% failed() %>
        do: tell
  drain: {action: ops.drain}
  tell: {action: ops.tell}
";

#[test]
fn every_fault_is_told_with_its_place() {
    let broken =
        "version: 1.0\ntasks:\n  a:\n    action: ops.a v=<% ctx(none) %>\n    next: [{do: b}]\n    joyn: all\n";
    let mistral = "version: '2.0'\nops.w:\n  tasks:\n    a: {on-success: zz}\n";
    let dir = with_files(&[("a.yaml", broken), ("m.yaml", mistral), ("drain.yaml", DRAIN)]);
    let (code, told) = workflow(dir.path(), &["inspect", "--json", "a.yaml", "m.yaml", "drain.yaml"]);
    assert_eq!(code, 1);
    let found: serde_json::Value = serde_json::from_str(&told).unwrap();
    let line =
        |f: &serde_json::Value| format!("{} {}:{} {}", f["file"].as_str().unwrap(), f["line"], f["column"], f["type"]);
    let lines: Vec<String> = found.as_array().unwrap().iter().map(line).collect();
    assert_eq!(
        lines,
        ["a.yaml 4:5 \"context\"", "a.yaml 4:5 \"syntax\"", "a.yaml 5:17 \"semantic\"", "m.yaml 4:21 \"semantic\"",]
    );
    assert_eq!(workflow(dir.path(), &["inspect", "drain.yaml"]), (0, "0 errors in 1 file\n".into()));
}

#[test]
fn a_way_through_a_workflow_is_played_and_judged() {
    let nobody = "input: {host: web1}\nscript: {ask: [{error: no answer}], tell: {result: told, delay: 1}}\nexpect: {status: succeeded}\n";
    let wrong = "script: {ask: {result: yes}}\nexpect: {result: {output: 1}}\n";
    let dir = with_files(&[("drain.yaml", DRAIN), ("nobody.yaml", nobody), ("wrong.yaml", wrong)]);
    let (code, told) = workflow(dir.path(), &["simulate", "drain.yaml", "--script", "nobody.yaml"]);
    let lines: Vec<&str> = told.lines().map(str::trim_start).collect();
    assert_eq!(code, 0, "{told}");
    assert_eq!(
        lines,
        [
            r#"0 s  offers ask (ops.ask) {"host":"web1"}"#,
            r#"0 s  ends   ask failed "no answer""#,
            r#"0 s  offers ask (ops.ask) {"host":"web1"} in 3 s"#,
            r#"3 s  ends   ask failed "no answer""#,
            "3 s  offers tell (ops.tell) null",
            r#"4 s  ends   tell succeeded "told""#,
            "4 s  is     succeeded",
            r#"succeeded: {"output":null}"#,
        ]
    );
    assert_eq!(workflow(dir.path(), &["simulate", "drain.yaml", "--script", "wrong.yaml"]).0, 1);
    assert_eq!(workflow(dir.path(), &["simulate", "drain.yaml", "--expect", "failed"]).0, 1);
}
