//! Every command as somebody types it, on a real server: StackStorm's words under the names `st2` and `st2ctl`, squall's own,
//! exit codes, and what the data directory looks like to others.

mod support;

use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use support::{Server, processes, seed_repository, squall, text, wait, write_pack};

#[track_caller]
fn fails(output: &Output, code: i32, part: &str) {
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "no {part:?} in:\n{said}");
}

/// A command that needs no server.
fn alone(args: &[&str]) -> Output {
    Command::new(squall()).args(args).stdin(Stdio::null()).env_remove("SQUALL_DATA").output().expect("it runs")
}

#[track_caller]
fn alone_ok(args: &[&str]) -> String {
    let output = alone(args);
    assert!(output.status.success(), "{args:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_authors_commands_word_for_word() {
    let server = Server::start();
    let repo_url = format!("repo_url={}", seed_repository(server.data.parent().unwrap()));
    for spelling in [&["packs.install"][..], &["run", "packs.install"]] {
        let mut words = spelling.to_vec();
        words.extend(["packs=st2chat_confirm", "register=all", &repo_url]);
        let out = server.ok("st2", &words);
        assert!(out.contains("status: succeeded"), "{out}");
        let packs = server.json(&["pack", "list", "--json"]);
        assert!(packs.as_array().unwrap().iter().any(|p| p["ref"] == "st2chat_confirm"), "{packs}");
    }
    let out = server.ok("st2ctl", &["reload", "--register-all"]);
    assert!(out.contains("loaded ") && out.contains("; 0 errors"), "{out}");
    assert!(server.ok("st2ctl", &["status"]).contains(&server.pid().to_string()));
    let out = server.ok("st2", &["action-alias", "match", "confirm 56a01f460640fd1e4e3fca43"]);
    assert!(out.contains("confirm {{"), "{out}");
    let out = server.ok("st2", &["run", "core.local", "cmd=echo word for word"]);
    assert!(out.contains("word for word"), "{out}");
    fails(&server.run("st2ctl", &["reload", "--register-nothing"]), 1, "Invalid flag provided: --register-nothing");
    fails(&server.run("st2ctl", &["stop"]), 2, "squall is one process");
}

#[test]
fn keys_are_set_read_listed_and_deleted() {
    let server = Server::start();
    server.ok("squall", &["key", "set", "host", "web1"]);
    assert_eq!(server.ok("squall", &["key", "get", "host"]).trim(), "web1");
    server.ok("st2", &["key", "set", "host", "web2"]);
    assert_eq!(server.ok("st2", &["key", "get", "host"]).trim(), "web2");
    server.ok("squall", &["key", "set", "brief", "x", "--ttl", "3600"]);
    let brief = server.json(&["key", "get", "brief", "--json"]);
    assert!(brief["expire_timestamp"].as_str().is_some_and(|t| !t.is_empty()), "{brief}");

    server.ok("squall", &["key", "set", "password", "hunter2", "--secret"]);
    let hidden = server.json(&["key", "get", "password", "--json"]);
    assert_eq!(hidden["secret"], json!(true));
    assert!(!hidden.to_string().contains("hunter2"), "{hidden}");
    assert_eq!(server.ok("squall", &["key", "get", "password", "--decrypt"]).trim(), "hunter2");
    let files = std::fs::read(server.data.join("squall.db"));
    assert!(files.is_err() || !files.unwrap().windows(7).any(|w| w == b"hunter2"), "in clear on disk");

    let names = |args: &[&str]| -> Vec<String> {
        let list = server.json(args);
        list.as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["key", "list", "--json"]), ["brief", "host", "password"]);
    assert_eq!(names(&["key", "list", "--prefix", "ho", "--json"]), ["host"]);
    server.ok("squall", &["key", "delete", "host", "brief"]);
    assert_eq!(names(&["key", "list", "--json"]), ["password"]);
    fails(&server.run("squall", &["key", "get", "host"]), 1, "host");
    fails(&server.run("squall", &["key", "delete", "host"]), 1, "host");

    server.ok("squall", &["key", "set", "moment", "x", "--ttl", "1"]);
    wait("the end of a key", || (!server.run("squall", &["key", "get", "moment"]).status.success()).then_some(()));
}

#[test]
fn a_canceled_action_leaves_no_process() {
    let server = Server::start();
    let nap = format!("sleep 8640{}", std::process::id());
    let cmd = format!("cmd=({nap} & {nap}) ; {nap}");
    let started = server.json(&["run", "--no-wait", "--json", "core.local", &cmd]);
    let id = started["id"].as_str().unwrap();
    wait("its processes", || (processes(&nap).len() > 2).then_some(()));
    let running = server.json(&["execution", "list", "--status", "running", "--json"]);
    assert_eq!(running.as_array().unwrap().len(), 1, "{running}");
    server.ok("squall", &["execution", "cancel", id]);
    assert_eq!(server.ended(id)["status"], "canceled");
    wait("no process", || processes(&nap).is_empty().then_some(()));
    server.ok("squall", &["execution", "cancel", id]);
    let over = server.json(&["run", "--json", "core.noop"]);
    let output = server.run("squall", &["execution", "cancel", over["id"].as_str().unwrap()]);
    fails(&output, 1, "cannot be canceled. State = succeeded");
    fails(&server.run("squall", &["execution", "get", "56a01f460640fd1e4e3fca43"]), 1, "56a01f460640fd1e4e3fca43");
}

#[test]
fn executions_are_listed_newest_first() {
    let server = Server::start();
    for word in ["one", "two"] {
        server.ok("squall", &["run", "core.local", &format!("cmd=echo {word}")]);
    }
    let list = server.json(&["execution", "list", "--json"]);
    let words: Vec<&str> = list.as_array().unwrap().iter().filter_map(|e| e["parameters"]["cmd"].as_str()).collect();
    assert_eq!(words, ["echo two", "echo one"]);
    let table = server.ok("squall", &["execution", "list"]);
    assert!(table.contains("core.local") && table.contains("succeeded"), "{table}");
    let one = server.json(&["execution", "list", "-n", "1", "--json"]);
    assert_eq!(one.as_array().unwrap().len(), 1);
}

#[test]
fn exit_codes_tell_wrong_usage_from_failure() {
    let server = Server::start();
    assert_eq!(server.run("squall", &["run", "core.noop"]).status.code(), Some(0));
    for name in ["squall", "st2"] {
        fails(&server.run(name, &["run", "core.local", "cmd=exit 3"]), 1, "failed");
        fails(&server.run(name, &["run", "core.nothing"]), 1, "Action \"core.nothing\" cannot be found.");
        fails(&server.run(name, &["run", "core.local"]), 1, "cmd");
        fails(&server.run(name, &["run", "core.pause", "max_pause=soon"]), 2, "`max_pause` must be a whole number");
        fails(&server.run(name, &["run"]), 2, "ACTION");
        fails(&server.run(name, &["nonsense"]), 2, "nonsense");
        fails(&server.run(name, &["execution", "list", "--no-such-flag"]), 2, "--no-such-flag");
    }
    let failed = server.run("squall", &["run", "--json", "core.local", "cmd=exit 3"]);
    assert_eq!(failed.status.code(), Some(1));
    let result: Value = serde_json::from_slice(&failed.stdout).expect("JSON also of what failed");
    assert_eq!(result["result"]["return_code"], json!(3));
}

#[test]
fn whatever_is_printed_is_printed_as_json() {
    let server = Server::start();
    server.ok("squall", &["key", "set", "a", "b"]);
    for words in [
        &["run", "core.noop"][..],
        &["execution", "list"],
        &["key", "list"],
        &["key", "get", "a"],
        &["key", "set", "c", "d"],
        &["pack", "list"],
        &["reload"],
        &["limits"],
        &["check"],
        &["eval", "<% 1 + 1 %>"],
        &["alias", "match", "drain web1"],
    ] {
        for place in ["first", "last"] {
            let mut args = words.to_vec();
            args.insert(if place == "first" { 0 } else { args.len() }, "--json");
            server.json(&args);
        }
    }
}

#[test]
fn without_a_server_it_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    for words in [&["run", "core.noop"][..], &["execution", "list"], &["key", "get", "a"], &["reload"], &["token"]] {
        let mut args = vec!["--data", data];
        args.extend(words);
        fails(&alone(&args), 1, &format!("no server runs on {data}: start one with `squall up`"));
    }
    fails(&alone(&["--data", data, "chat", "--as", "alice"]), 1, "squall up");
}

#[test]
fn a_killed_server_is_not_taken_for_a_running_one() {
    let mut server = Server::start();
    server.kill();
    let output = server.run("squall", &["execution", "list"]);
    fails(&output, 1, "squall up");
}

#[test]
fn packs_are_installed_from_a_directory_and_removed() {
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("tools");
    let root = dir.path();
    file(root, "tools/pack.yaml", "name: tools\ndescription: Tools.\nversion: 1.0.0\nauthor: squall\n");
    file(
        root,
        "tools/actions/hello.yaml",
        "name: hello\nrunner_type: local-shell-cmd\nparameters:\n  cmd: {default: echo hello, immutable: true}\n",
    );
    server.ok("squall", &["pack", "install", pack.to_str().unwrap()]);
    assert!(server.ok("squall", &["pack", "list"]).contains("tools"));
    assert!(server.ok("squall", &["run", "tools.hello"]).contains("hello"));
    server.ok("squall", &["pack", "remove", "tools"]);
    assert!(!server.ok("squall", &["pack", "list"]).contains("tools"));
    fails(&server.run("squall", &["run", "tools.hello"]), 1, "cannot be found");
    fails(&server.run("squall", &["pack", "install", "file:///nowhere/at/all"]), 1, "nowhere");
}

/// A pack that is unloaded keeps its files, stays away over restarts and other packs' loads, and comes back when it is loaded.
#[test]
fn a_pack_is_unloaded_and_loaded_again() {
    let mut server = Server::start();
    for pack in ["ops", "other"] {
        write_pack(&server, pack, &[("actions/a.yaml", "name: a\nrunner_type: noop\n")]);
    }
    server.ok("squall", &["reload"]);
    let has = |server: &Server| server.run("squall", &["run", "ops.a"]).status.success();
    let run = |server: &Server, args: &[&str]| server.json(&[&["run"], args, &["--json"]].concat());
    let entry = run(&server, &["packs.show", "pack=ops"])["result"]["result"]["pack"].clone();
    assert_eq!(
        (&entry["ref"], &entry["content"]["actions"]),
        (&json!("ops"), &json!({"count": 1, "resources": ["a"]}))
    );
    assert_eq!(run(&server, &["packs.show", "pack=nothing"])["result"]["result"], json!({"pack": null}));

    assert_eq!(run(&server, &["packs.unload", "packs=ops"])["status"], "succeeded");
    assert!(!has(&server) && server.data.join("packs/ops/pack.yaml").exists());
    assert!(server.run("squall", &["run", "other.a"]).status.success());
    run(&server, &["packs.load", "packs=other"]);
    server.stop();
    server.up();
    assert!(!has(&server), "neither another pack nor a restart brings it back");
    run(&server, &["packs.load", "packs=ops"]);
    assert!(has(&server));
    for bring_back in [&["squall", "reload"][..], &["st2ctl", "reload", "--register-all"]] {
        run(&server, &["packs.unload", "packs=ops"]);
        assert!(!has(&server));
        server.ok(bring_back[0], &bring_back[1..]);
        assert!(has(&server), "{bring_back:?}");
    }
    for (pack, why) in [
        ("core", "Unregister includes an unregisterable pack - core."),
        ("nothing", "Pack \"nothing\" is not installed"),
    ] {
        let refused = server.run("squall", &["run", "packs.unload", &format!("packs={pack}")]);
        let told = format!("{}{}", text(&refused.stdout), text(&refused.stderr));
        assert!(!refused.status.success() && told.contains(why), "{told}");
    }
}

#[test]
fn a_token_opens_the_api() {
    let server = Server::start();
    let token = server.ok("squall", &["token", "--ttl", "600"]).trim().to_owned();
    assert!(token.len() >= 32 && !token.contains(char::is_whitespace), "{token}");
    let with = |token: &str| {
        let mut command = server.command("squall", &["execution", "list"]);
        command.env("ST2_AUTH_TOKEN", token).output().expect("it runs")
    };
    assert!(with(&token).status.success());
    fails(&with("0123456789abcdef0123456789abcdef"), 1, "401");
}

#[test]
fn an_alias_is_matched_without_a_server() {
    let out = alone_ok(&["alias", "match", "drain web1"]);
    assert!(out.contains("examples.") && out.contains("host = web1"), "{out}");
    fails(&alone(&["alias", "match", "make me a sandwich"]), 1, "no alias matches `make me a sandwich`");
}

#[test]
fn a_broken_pack_is_checked_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    file(root, "ops/pack.yaml", "name: ops\ndescription: Ops.\nversion: 1.0.0\nauthor: squall\n");
    file(root, "ops/actions/good.yaml", "name: good\nrunner_type: noop\n");
    file(root, "ops/actions/typo.yaml", "name: typo\ndescription: x\nrunner_type: remote-shel-cmd\n");
    file(root, "ops/actions/broken.yaml", "name: broken\nrunner_type: [noop\n");
    let pack = root.join("ops");
    let output = alone(&["check", pack.to_str().unwrap()]);
    fails(&output, 1, "SQ1203");
    let said = text(&output.stdout);
    assert!(said.contains("typo.yaml:3:14") && said.contains("did you mean `remote-shell-cmd`"), "{said}");
    assert!(said.contains("SQ1001") && said.contains("broken.yaml:"), "{said}");
    let output = alone(&["check", "--json", pack.to_str().unwrap()]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found.as_array().unwrap().iter().filter(|d| d["severity"] == "error").count(), 2, "{found}");
    std::fs::remove_file(root.join("ops/actions/typo.yaml")).unwrap();
    std::fs::remove_file(root.join("ops/actions/broken.yaml")).unwrap();
    assert!(alone_ok(&["check", pack.to_str().unwrap()]).contains("0 errors"));
}

#[test]
fn expressions_are_evaluated() {
    assert_eq!(alone_ok(&["eval", "--lang", "yaql", "[1, 2, 3].sum() * 7"]).trim(), "42");
    assert_eq!(alone_ok(&["eval", "{{ 'a' | upper }} and {{ 1 + 1 }}"]).trim(), "A and 2");
    let mut child = Command::new(squall())
        .args(["eval", "--lang", "yaql", "--engine", "mistral", "$.hosts.len()", "--data", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hosts: [a, b]").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout).trim(), "2");
    let output = alone(&["eval", "--lang", "yaql", "$.nothing("]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).is_empty() && !output.stderr.is_empty());
}

#[test]
fn a_workflow_is_simulated() {
    let dir = tempfile::tempdir().unwrap();
    let flow = file(
        dir.path(),
        "flow.yaml",
        "version: '2.0'\nops.flow:\n  input: [host]\n  output: {said: <% $.said %>}\n  tasks:\n    greet:\n      action: core.local cmd=\"echo <% $.host %>\"\n      publish: {said: <% task(greet).result.stdout %>}\n",
    );
    let script = file(
        dir.path(),
        "script.yaml",
        "input: {host: web1}\nscript:\n  greet: [{status: succeeded, result: {stdout: hello}}]\n",
    );
    let args = ["workflow", "simulate", &flow, "--script", &script, "--engine", "mistral", "--json"];
    let out: Value = serde_json::from_str(&alone_ok(&args)).expect("JSON");
    assert!(out.to_string().contains("hello"), "{out}");
    fails(&alone(&["workflow", "simulate", "/no/such/file", "--engine", "mistral"]), 1, "/no/such/file");
}

#[test]
fn a_code_is_explained() {
    let page = alone_ok(&["explain", "sq1203"]);
    assert!(page.starts_with("# SQ1203: a runner type does not exist"), "{page}");
    assert!(alone_ok(&["explain"]).lines().count() > 20);
    fails(&alone(&["explain", "SQ9999"]), 2, "there is no code `SQ9999`");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    let data = server.data.to_str().unwrap();
    let output = alone(&["up", "--quiet", "--listen", "127.0.0.1:0", "--data", data]);
    fails(&output, 1, &format!("is in use by process {}", server.pid()));
    // The first one is not disturbed, neither its addresses nor its chat.
    server.ok("squall", &["run", "core.noop"]);
    let mut alice = server.person("alice", "ops");
    alice.say("!help");
    alice.hears("help");
}

#[test]
fn nobody_else_reads_the_data() {
    let server = Server::start();
    write_pack(&server, "tools", &[]);
    server.ok("squall", &["key", "set", "a", "b", "--secret"]);
    server.ok("squall", &["run", "core.local", "cmd=echo hi"]);
    let mut secrets = 0;
    for name in std::fs::read_dir(&server.data).unwrap().flatten() {
        let (path, meta) = (name.path(), name.metadata().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        let private = [".db", ".db-wal", ".db-shm", ".sock", "credential", "key.json", "token.json"];
        if !meta.is_dir() && private.iter().any(|end| name.contains(end)) {
            secrets += 1;
            assert_eq!(meta.permissions().mode() & 0o077, 0, "{} is open to others", path.display());
        }
    }
    let all: Vec<_> = std::fs::read_dir(&server.data).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(secrets >= 5, "only {secrets} of {all:?}");
}

#[test]
fn a_place_that_may_not_be_written_is_named_with_whose_it_is() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    let (place, program) = (dir.path().join("place"), dir.path().join("squall"));
    std::fs::create_dir(&place).unwrap();
    std::fs::copy(support::squall(), &program).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = Command::new(&program);
    command.arg("--data").arg(place.join("data")).args(["up", "--listen", "127.0.0.1:0"]);
    let own = std::fs::metadata(&place).unwrap().uid();
    // Modes do not bind root.
    let user = if own == 0 { 65_534 } else { own };
    if own == 0 {
        command.uid(user).gid(65_534);
    }
    let output = command.output().unwrap();
    let told = format!("this is user {user}; {} belongs to user {own} with mode 0555", place.display());
    fails(&output, 1, &told);
}

#[test]
fn what_can_be_looked_at_is_listed_under_stackstorms_words() {
    let server = Server::start();
    for (kind, one) in [
        ("rule", "chatops.notify"),
        ("trigger", "core.st2.webhook"),
        ("policy-type", "action.retry"),
        ("runner", "action-chain"),
        ("action-alias", "examples.examples_greet"),
    ] {
        let list = server.ok("st2", &[kind, "list"]);
        assert!(list.contains(one), "{kind}: {list}");
        let record = server.ok("st2", &[kind, "get", one]);
        assert!(record.contains(one.rsplit('.').next().unwrap()), "{kind}: {record}");
    }
    assert!(server.ok("st2", &["whoami"]).contains("username: admin"));
}

#[test]
fn a_doctor_looks_at_the_data_and_changes_nothing() {
    let mut server = Server::start();
    server.ok("squall", &["run", "core.noop"]);
    let healthy = server.ok("squall", &["doctor"]);
    assert!(healthy.contains("1 executions") && healthy.contains("undamaged"), "{healthy}");
    assert!(healthy.contains(&format!("runs as process {}", server.pid())), "{healthy}");
    server.kill();
    assert!(server.ok("squall", &["doctor"]).contains("is gone without a stop"));
    server.up();
    server.stop();
    assert!(server.ok("squall", &["doctor"]).contains("does not run"));
    let database = server.data.join("squall.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    fails(&server.run("squall", &["doctor"]), 1, "others may read");
    // Every page but the first.
    let mut bytes = std::fs::read(&database).unwrap();
    bytes[4096..].fill(0x5a);
    std::fs::write(&database, bytes).unwrap();
    fails(&server.run("squall", &["doctor"]), 1, "BAD");
    fails(&alone(&["--data", "/nowhere", "doctor"]), 1, "`squall up` makes it");
}

#[test]
fn a_copy_is_taken_while_it_runs_and_works_elsewhere() {
    let server = Server::start();
    let hi = "name: hi\nrunner_type: local-shell-cmd\nparameters:\n  cmd: {immutable: true, default: echo hi}\n";
    write_pack(&server, "tools", &[("actions/hi.yaml", hi)]);
    server.ok("squall", &["reload"]);
    server.ok("squall", &["key", "set", "pin", "1234", "--secret"]);
    let ran = server.json(&["run", "--json", "tools.hi"])["id"].as_str().unwrap().to_owned();
    let copy = server.data.parent().unwrap().join("copy");
    let copy = copy.to_str().unwrap();
    server.ok("squall", &["backup", "create", copy]);
    fails(&server.run("squall", &["backup", "create", copy]), 1, "is there already");
    // What is written after the copy is not in it.
    server.ok("squall", &["key", "set", "later", "x"]);
    let mut other = Server::prepared();
    fails(&server.run("squall", &["backup", "restore", copy]), 1, "is there already");
    other.ok("squall", &["backup", "restore", copy]);
    other.up();
    assert_eq!(other.ended(&ran)["status"], "succeeded");
    assert_eq!(other.ok("squall", &["key", "get", "pin", "--decrypt"]).trim(), "1234");
    fails(&other.run("squall", &["key", "get", "later"]), 1, "does not exist");
    assert_eq!(other.json(&["run", "--json", "tools.hi"])["result"]["stdout"], "hi");
}

/// Files below a directory that hold a text.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("it can be read").map(|entry| entry.expect("an entry").path());
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    };
    entries.fold(Vec::new(), |mut found, path| {
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if holds(&path) {
            found.push(path.display().to_string());
        }
        found
    })
}

#[test]
fn a_secret_lies_nowhere_in_clear_and_is_there_when_it_is_needed() {
    let mut server = Server::start();
    let log_in = |name: &str, tags: &str| {
        format!(
            "name: {name}\nrunner_type: local-shell-cmd\n{tags}parameters:\n  password: {{type: string, secret: true, required: \
             true}}\n  cmd: {{immutable: true, default: 'echo {{{{ password | length }}}} letters'}}\n"
        )
    };
    let flow = "name: flow\nrunner_type: orquesta\nentry_point: workflows/flow.yaml\nparameters:\n  pw: {type: string, secret: true}\n";
    let text = "version: 1.0\ninput: [pw]\ntasks:\n  first:\n    action: tools.log_in\n    input: {password: <% ctx().pw %>}\n    next:\n      - publish: [again: <% ctx().pw %>]\n        do: second\n  second:\n    action: tools.asks\n    input: {password: <% ctx().again %>}\n";
    let (plain, asks) = (log_in("log_in", ""), log_in("asks", "tags: [{name: squall.confirm, value: \"true\"}]\n"));
    let files = [
        ("actions/log_in.yaml", &*plain),
        ("actions/asks.yaml", &asks),
        ("actions/flow.yaml", flow),
        ("actions/workflows/flow.yaml", text),
    ];
    write_pack(&server, "tools", &files);
    server.ok("squall", &["reload"]);
    let secret = "correct-horse-battery";
    let one = server.json(&["run", "--json", "tools.log_in", &format!("password={secret}")]);
    assert_eq!(one["result"]["stdout"], "21 letters");
    let held = server.run("squall", &["run", "--no-wait", "--json", "tools.flow", &format!("pw={secret}")]);
    let held: serde_json::Value = serde_json::from_slice(&held.stdout).expect("JSON");
    let code = server.json(&["confirmations", "--json"])[0]["code"].as_str().expect("one is open").to_owned();
    server.stop();
    assert_eq!(holding(&server.data, secret), Vec::<String>::new());

    server.up();
    server.ok("squall", &["confirm", &code]);
    let ended = server.ended(held["id"].as_str().expect("an id"));
    assert_eq!(ended["status"], "succeeded", "{ended:#}");
    let asked = server.json(&["execution", "list", "--all", "--action", "tools.asks", "--json"]);
    assert_eq!(asked[0]["result"]["stdout"], "21 letters", "{asked:#}");
    server.stop();
    assert_eq!(holding(&server.data, secret), Vec::<String>::new());

    // With another key what it was asked with is lost, and it says so.
    server.up();
    let held = server.run("squall", &["run", "--no-wait", "--json", "tools.asks", &format!("password={secret}")]);
    let held: serde_json::Value = serde_json::from_slice(&held.stdout).expect("JSON");
    let code = server.json(&["confirmations", "--json"])[0]["code"].as_str().expect("one is open").to_owned();
    server.stop();
    std::fs::remove_file(server.data.join("datastore_key.json")).expect("it is there");
    server.up();
    let confirmed = server.run("squall", &["confirm", &code]);
    let ended = server.ended(held["id"].as_str().expect("an id"));
    assert_eq!(ended["status"], "failed", "{confirmed:?} {ended:#}");
}

#[test]
fn a_restored_backup_voids_what_was_asked_before_it() {
    let server = Server::start();
    let hi = "name: hi\nrunner_type: local-shell-cmd\ntags: [{name: squall.confirm, value: \"true\"}]\n\
              parameters:\n  cmd: {immutable: true, default: echo hi}\n";
    write_pack(&server, "tools", &[("actions/hi.yaml", hi)]);
    server.ok("squall", &["reload"]);
    let out = server.run("squall", &["run", "--no-wait", "--json", "tools.hi"]);
    assert_eq!(out.status.code(), Some(3), "it is held");
    let state_on = |server: &Server| {
        let all = server.json(&["confirmations", "--all", "--json"]);
        assert_eq!(all.as_array().map(Vec::len), Some(1), "{all:#}");
        (all[0]["state"].as_str().unwrap_or_default().to_owned(), all[0]["cause"].clone())
    };
    let copy = server.data.parent().unwrap().join("copy");
    let copy = copy.to_str().unwrap();
    server.ok("squall", &["backup", "create", copy]);
    let mut other = Server::prepared();
    other.ok("squall", &["backup", "restore", copy]);
    other.up();
    assert_eq!(state_on(&other), ("void".into(), "the server was restored from a backup".into()));
    assert_eq!(state_on(&server), ("open".into(), serde_json::Value::Null), "where it came from goes on");
    // The copy itself, started as a data directory, is one as well.
    let mut third = Server::prepared();
    std::fs::rename(copy, &third.data).unwrap();
    third.up();
    assert_eq!(state_on(&third).0, "void");
    third.stop();
    third.up();
    let again = third.run("squall", &["run", "--no-wait", "--json", "tools.hi"]);
    assert_eq!(again.status.code(), Some(3), "it can be asked anew");
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let mut server = Server::prepared();
    let socket = server.data.parent().unwrap().join("notify");
    let told = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    told.set_read_timeout(Some(support::SOON)).unwrap();
    let next = || {
        let mut text = [0; 64];
        let length = told.recv(&mut text).expect("it is told");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    server.begin(&[("NOTIFY_SOCKET", socket.to_str().unwrap())]);
    assert_eq!(next(), "READY=1");
    server.is_up();
    server.stop();
    assert_eq!(next(), "STOPPING=1");
}

/// What a terminal shows when `keys` are typed into `squall eval --repl`. `script` is the terminal.
fn typed(keys: &str, home: &Path) -> String {
    let facts = file(home, "facts.json", r#"{"hosts": [{"name": "web1"}, {"name": "db"}]}"#);
    let command = format!("{} eval --repl --lang yaql --engine mistral --data {facts}", squall().display());
    let mut script = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .envs([("TERM", "xterm"), ("XDG_STATE_HOME", home.to_str().expect("UTF-8"))])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script, of util-linux");
    script.stdin.take().expect("a pipe").write_all(keys.as_bytes()).expect("it reads");
    // The end of the keys is Ctrl-D.
    text(&script.wait_with_output().expect("it ends").stdout)
}

#[test]
fn in_a_terminal_names_are_completed_and_open_brackets_go_on() {
    let home = tempfile::tempdir().expect("a directory");
    let shown = typed("$.hos\t.selectM\t(\r[$.na\t,\r'x'])\r", home.path());
    assert!(shown.contains(r#"["web1","x","db","x"]"#), "{shown}");
    let history = std::fs::read_to_string(home.path().join("squall/eval-history")).expect("a history");
    assert!(history.contains("$.hosts.selectMany("), "{history}");
}
