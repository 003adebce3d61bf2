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
        ["a.yaml 4:21 \"context\"", "a.yaml 5:17 \"semantic\"", "a.yaml 6:5 \"syntax\"", "m.yaml 4:21 \"semantic\"",]
    );
    assert_eq!(workflow(dir.path(), &["inspect", "drain.yaml"]), (0, "0 errors in 1 file\n".into()));
}

/// `line:column` of a fault, and the way out that is told with it.
fn ways_out(text: &str) -> Vec<String> {
    let dir = with_files(&[("w.yaml", text)]);
    let (_, told) = workflow(dir.path(), &["inspect", "--json", "w.yaml"]);
    let found: serde_json::Value = serde_json::from_str(&told).unwrap();
    let line = |f: &serde_json::Value| format!("{}:{} {}", f["line"], f["column"], f["help"].as_str().unwrap_or("-"));
    found.as_array().unwrap().iter().map(line).collect()
}

#[test]
fn a_slip_is_told_with_the_way_out() {
    let orquesta = "version: 1.0
input: [host]
tasks:
  check:
    action: core.local cmd=\"ping <% ctx(hots) %>\" note=<% ctx(out %>
    join: two
    retry: 3
    next:
      - when: <% succeeded() %>
        publish: out=1
        do: drian, noop
      - when: <% failed() %>
        do: [nowhere]
        pubish: x=1
  drain:
    action: core.noop
    with: now
output:
  - first: <% ctx(out) %>
  - second: <% ctx(zebra) %>
";
    assert_eq!(
        ways_out(orquesta),
        [
            "5:29 did you mean `host`?",
            "5:56 -",
            "6:11 expected is `all`, or a whole number from 0",
            "7:12 expected is a map of `when`, `count`, `delay` (`count` at least)",
            "11:13 did you mean `drain`?",
            "13:14 the tasks are `check`, `drain`",
            "14:9 did you mean `publish` instead of `pubish`?",
            "17:11 expected is an expression, or `NAME in <% EXPRESSION %>`",
            "20:13 declare it in `input` or `vars`, or `publish` it on every way here",
        ]
    );
    // A part that the original cannot read hides nothing but what needs the whole.
    assert_eq!(
        ways_out(
            "version: 1.0\ntasks:\n  a:\n    action: core.noop\n    with: 7\n    joyn: all\n    next:\n      do: b\n  b: []\n"
        ),
        [
            "5:11 expected is a map of `items`, `concurrency`",
            "6:5 did you mean `join` instead of `joyn`?",
            "7:5 expected is a list; each element is a map of `when`, `publish`, `do`",
            "9:6 expected is a map of `delay`, `join`, `with`, `action`, `input`, `retry`, `next`",
        ]
    );
    let mistral = "version: '2.0'\nops.w:\n  tasks:\n    drain:\n      acton: std.noop\n      on-success: [drian]\n";
    assert_eq!(ways_out(mistral), ["5:7 did you mean `action`?", "6:20 did you mean `drain`?"]);
    let chain = "chain:\n  - name: one\n    ref: core.noop\n    on-sucess: two\n    on-failure: tow\n  - {name: two, ref: core.noop}\n";
    assert_eq!(ways_out(chain), ["4:5 did you mean `on-success`?", "5:17 did you mean `two`?"]);
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

/// What never ends and what grows each time it goes round stops with a sentence, in bounded memory.
#[test]
fn a_simulation_without_end_is_stopped_within_its_bounds() {
    let orquesta = "version: 1.0\nvars: [{l: []}]\ntasks:\n  begin: {next: [{do: a}]}\n  a: {action: core.noop, next: [{publish: [{l: '<% ctx(l) + [1] %>'}], do: a}]}\n";
    let mistral = |action: &str| {
        format!(
            "version: '2.0'\nops.w:\n  input: [{{l: []}}]\n  tasks:\n    begin: {{on-success: a}}\n    a: {{{action}publish: {{l: '<% $.l + [1] %>'}}, on-success: a}}\n"
        )
    };
    let chain = |publish: &str| {
        format!("chain:\n  - {{name: a, ref: core.noop, {publish}on-success: a}}\nvars: {{l: 'x'}}\ndefault: a\n")
    };
    let files = [
        ("orquesta.yaml", orquesta.to_owned(), "MiB of variables and results"),
        ("mistral.yaml", mistral("action: core.noop, "), "MiB of variables and results"),
        ("chain.yaml", chain("publish: {l: \"{{ l }}{{ 'x' * 5000 }}\"}, "), "MiB of variables and results"),
        ("reports.yaml", chain(""), "it was stopped after 50000 reports"),
        ("no_action.yaml", mistral(""), "MiB of variables and results"),
    ];
    for (name, text, expected) in files {
        let dir = with_files(&[(name, &text)]);
        // Beyond two gigabytes of addresses the program would be ended by the system.
        let limited =
            format!("ulimit -v 2000000; exec '{}' workflow simulate {name} > played", env!("CARGO_BIN_EXE_squall"));
        let output = Command::new("sh").current_dir(dir.path()).args(["-c", &limited]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {told}");
        assert!(told.contains(expected), "{name}: {told}");
    }
}
