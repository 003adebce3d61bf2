use super::*;
use crate::job::{Captured, VERSION};
use squall_model::{ExecutionId, Map, WorkKey, to_json};
use std::time::Duration;

fn item(runner: &str, runner_params: &str, action_params: &str) -> WorkItem {
    let map = |json: &str| from_json(json, false).unwrap().as_map().cloned().unwrap_or_else(Map::new);
    WorkItem {
        key: WorkKey { execution: ExecutionId([1; 12]), attempt: 1 },
        runner: runner.into(),
        action: "lab.do".parse().unwrap(),
        pack_dir: "/no such/lab".into(),
        entry_point: if runner == SCRIPT { "my script.sh".into() } else { String::new() },
        runner_params: map(runner_params),
        action_params: map(action_params),
        positional: Vec::new(),
        types: Vec::new(),
        env: vec![("ST2_ACTION_PACK_NAME".into(), "lab".into())],
        timeout: Duration::from_secs(60),
        sealed: None,
    }
}

fn setting(system_user: Option<&str>) -> Setting<'_> {
    Setting { grace: Duration::from_secs(10), system_user, cgroup: None }
}

#[track_caller]
fn check_command(params: &str, system_user: Option<&str>, expected: &str) {
    let item = item(COMMAND, params, "{}");
    let line = plan_command(&item, &setting(system_user)).map_or_else(|e| e, |job| job.args.join(" "));
    assert_eq!(line, expected);
}

#[test]
fn a_command_is_run_as_it_stands_or_through_sudo() {
    check_command(r#"{"cmd": "echo $X"}"#, None, "-c echo $X");
    check_command(
        r#"{"cmd": "echo 'a'"}"#,
        Some("stanley"),
        r#"-c sudo -E -H -u stanley -- bash -c 'echo '"'"'a'"'"''"#,
    );
    check_command(r#"{"cmd": "echo a", "sudo": true}"#, Some("stanley"), "-c sudo -E -- bash -c 'echo a'");
    check_command(r#"{"cmd": "id", "sudo": true, "sudo_password": "pw"}"#, None, "-c sudo -S -E -- bash -c id");
    check_command("{}", None, "lab.do has no command: the parameter `cmd` is missing");
}

#[test]
fn r04_the_password_goes_to_standard_input_only() {
    let item = item(COMMAND, r#"{"cmd": "id", "sudo": true, "sudo_password": "pass-1234"}"#, "{}");
    let job = plan_command(&item, &setting(None)).unwrap();
    assert_eq!(job.stdin.as_deref(), Some("pass-1234\n"));
    assert!(!job.args.concat().contains("pass-1234") && !format!("{job:?}").contains("pass-1234"));
}

#[test]
fn a_command_has_no_entry_point() {
    let mut item = item(COMMAND, r#"{"cmd": "id"}"#, "{}");
    item.entry_point = "x.sh".into();
    let error = plan_command(&item, &setting(None)).unwrap_err();
    assert_eq!(error, "entry_point is only valid for local-shell-script runner");
}

#[test]
fn the_engines_environment_wins() {
    let params = r#"{"cmd": "id", "env": {"ST2_ACTION_PACK_NAME": "mine", "N": 5, "NOTHING": null}}"#;
    let env = plan_command(&item(COMMAND, params, "{}"), &setting(None)).unwrap().env;
    let env: Vec<String> = env.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["ST2_ACTION_PACK_NAME=mine", "N=5", "ST2_ACTION_PACK_NAME=lab"]);
    let error = plan_command(&item(COMMAND, r#"{"cmd": "id", "env": {"A=B": 1}}"#, "{}"), &setting(None)).unwrap_err();
    assert_eq!(error, "`A=B` cannot be the name of an environment variable; check the parameter `env`");
}

/// Named parameters as JSON, and `name type value` for the positional ones; then the words behind the script's path.
#[track_caller]
fn check_script(runner_params: &str, named: &str, positional: &[(&str, &str, &str)], expected: &str) {
    let mut item = item(SCRIPT, runner_params, named);
    for (name, kind, value) in positional {
        item.positional.push((*name).into());
        item.types.push(((*name).into(), (*kind).into()));
        if !value.is_empty() {
            item.action_params.insert((*name).into(), from_json(value, false).unwrap());
        }
    }
    let line = plan_script(&item, &setting(None)).map_or_else(|e| e, |job| job.args[1].clone());
    assert_eq!(line.replace("'/no such/lab/actions/my script.sh'", "SCRIPT"), expected);
}

#[test]
fn named_arguments() {
    check_script(
        "{}",
        r#"{"a": "x y", "t": true, "f": false, "n": null, "e": "", "i": 0}"#,
        &[],
        "SCRIPT --a='x y' --t --i=0",
    );
    check_script("{}", r#"{"f": [1, "q"]}"#, &[], r#"SCRIPT --f='[1, '"'"'q'"'"']'"#);
    check_script("{}", r#"{"m": {"k": 1.5}, "z": 1.5}"#, &[], r#"SCRIPT --m='{'"'"'k'"'"': 1.5}' --z=1.5"#);
    check_script(r#"{"kwarg_op": "-"}"#, r#"{"a b": 1}"#, &[], "SCRIPT '-a b'=1");
}

#[test]
fn positional_arguments_by_type() {
    let pos = [("b", "string", r#""pos 0""#), ("c", "string", r#""pos1""#)];
    check_script("{}", r#"{"a": "x y"}"#, &pos, "SCRIPT --a='x y' 'pos 0' pos1");
    for (kind, value, expected) in [
        ("string", "null", "''"),
        ("string", "", "''"),
        ("number", "1.5", "1.5"),
        ("number", "0", "0"),
        ("boolean", "true", "1"),
        ("boolean", "false", "0"),
        ("boolean", "null", "''"),
        ("array", r#"[1, "a", true, null]"#, "1,a,True,None"),
        ("array", "[]", "''"),
        ("object", r#"{"k": [1]}"#, r#"'{"k":[1]}'"#),
        ("object", "{}", "''"),
        ("null", "null", "''"),
        ("integer", "5", "5"),
        ("integer", "0", "''"),
        ("", "false", "''"),
    ] {
        check_script("{}", "{}", &[("p", kind, value)], &format!("SCRIPT {expected}"));
    }
}

#[test]
fn a_script_through_sudo_is_quoted_twice() {
    let mut item = item(SCRIPT, r#"{"sudo": true}"#, r#"{"a": "x y"}"#);
    item.pack_dir = "/p".into();
    item.entry_point = "it's.sh".into();
    let line = plan_script(&item, &setting(None)).unwrap().args[1].clone();
    let inner = r#"'/p/actions/it'"'"'s.sh' --a='x y'"#;
    assert_eq!(line, format!("sudo -E -- bash -c {}", quote(inner).unwrap()));
}

#[test]
fn a_script_needs_a_file() {
    let mut item = item(SCRIPT, "{}", "{}");
    item.entry_point.clear();
    assert_eq!(plan_script(&item, &setting(None)).unwrap_err(), "Missing entry_point action metadata attribute");
}

#[track_caller]
fn check_end(why: Why, code: i32, out: &str, err: &str, expected: &str) {
    let captured = Captured { total: 0, text: None };
    let ended = Ended {
        version: VERSION,
        why,
        code: Some(code),
        stdout: captured.clone(),
        stderr: captured,
        ended: 1_453_334_400_000_000,
        took: 0,
        stragglers: 0,
        finish: Finish { runner: COMMAND.into(), seconds: 60, sudo_user: Some("stanley".into()) },
    };
    let outcome = conclude(&ended, Streams { stdout: out.into(), stderr: err.into() });
    assert_eq!(format!("{} {}", outcome.status, to_json(&outcome.result)), expected);
}

#[test]
fn statuses_and_shapes() {
    let shape = |failed: bool, code: i32, rest: &str| {
        format!(r#"{{"failed":{failed},"succeeded":{},"return_code":{code},"stdout":"","stderr":""{rest}}}"#, !failed)
    };
    let late = r#","error":"Action failed to complete in 60 seconds""#;
    let gone = r#","error":"the server stopped while this ran; every process of it was ended at 2016-01-21T00:00:00Z""#;
    check_end(Why::Exited, 0, "", "", &format!("succeeded {}", shape(false, 0, "")));
    check_end(Why::Exited, 1, "", "", &format!("failed {}", shape(true, 1, "")));
    check_end(Why::Exited, 127, "", "", &format!("failed {}", shape(true, 127, "")));
    check_end(Why::Exited, -9, "", "", &format!("timeout {}", shape(true, -9, late)));
    check_end(Why::Exited, -15, "", "", &format!("abandoned {}", shape(true, -15, "")));
    check_end(Why::Exited, -11, "", "", &format!("failed {}", shape(true, -11, "")));
    check_end(Why::TimedOut, -15, "", "", &format!("timeout {}", shape(true, -9, late)));
    check_end(Why::Canceled, -15, "", "", &format!("canceled {}", shape(true, -15, "")));
    check_end(Why::Orphaned, -15, "", "", &format!("abandoned {}", shape(true, -15, gone)));
    check_end(Why::NotSpawned("no".into()), 0, "", "", r#"failed {"error":"no"}"#);
}

#[test]
fn a_refused_sudo_password_is_said_plainly() {
    let said = "sudo: 3 incorrect password attempts";
    let expected = format!(
        r#"failed {{"failed":true,"succeeded":false,"return_code":-1,"stdout":"","stderr":"{said}","error":"Invalid sudo password provided or sudo is not configured for this user (stanley)"}}"#
    );
    check_end(Why::Exited, 1, "", said, &expected);
}

#[test]
fn streams_lose_one_line_end_and_may_be_json() {
    for (text, expected) in [
        ("a\n", r#""a""#),
        ("a\n\n", r#""a\n""#),
        ("a\r\n", r#""a""#),
        ("5\n", "5"),
        ("007\n", r#""007""#),
        (" true ", "true"),
        ("null\n", "null"),
        ("\"q\"", r#""q""#),
        ("{\"k\": [1]}\n", r#"{"k":[1]}"#),
        ("", r#""""#),
        ("NaN", r#""NaN""#),
        ("1e400", r#""1e400""#),
        ("[1e400]", r#""[1e400]""#),
        ("{'a': 1}", r#""{'a': 1}""#),
    ] {
        assert_eq!(to_json(&stream_value(text.into())), expected, "{text:?}");
    }
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert!(stream_value(deep).as_str().is_some());
}
