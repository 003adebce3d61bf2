//! People, audit and policy on a real server, as an operator types them.

mod support;

use serde_json::{Value, json};
use std::process::{Output, Stdio};
use support::{Server, text, wait, write_pack};

const WIPE: &str = "name: wipe\nrunner_type: local-shell-cmd\ntags: [{name: squall.confirm, value: 'true'}]\nparameters:\n  \
                    what: {type: string, required: true}\n  cmd: {immutable: true, default: 'true'}\n";

/// Runs a command with somebody's token; what it printed, with its exit code.
fn as_user(server: &Server, token: &str, args: &[&str]) -> Output {
    server.command("squall", args).env("ST2_AUTH_TOKEN", token).output().expect("it runs")
}

fn token(server: &Server, user: &str) -> String {
    server.ok("squall", &["token", "--user", user]).trim().to_owned()
}

fn danger(server: &Server) {
    write_pack(server, "danger", &[("actions/wipe.yaml", WIPE)]);
    server.ok("squall", &["reload"]);
}

#[test]
fn users_roles_and_links() {
    let server = Server::start();
    let made = server
        .json(&["user", "create", "bob", "--role", "operator", "--roles", "sre,dba", "--shown", "Bob B.", "--json"]);
    assert_eq!(made["roles"], json!(["dba", "operator", "sre"]));
    server.ok("squall", &["role", "grant", "lead", "bob"]);
    let again = server.ok("squall", &["role", "grant", "lead", "bob"]);
    assert!(again.contains("already"), "{again}");
    server.ok("squall", &["role", "revoke", "dba", "bob"]);
    let roles = server.json(&["role", "list", "--json"]);
    let lead = roles.as_array().expect("a list").iter().find(|r| r["name"] == "lead").expect("there");
    assert_eq!(lead["members"], json!(["bob"]));
    server.ok("squall", &["link", "terminal:bob", "bob"]);
    server.ok("squall", &["link", "slack:T1:U1", "bob"]);
    let shown = server.json(&["user", "show", "bob", "--json"]);
    assert_eq!((shown["links"].as_array().expect("a list").len(), &shown["factor"]), (2, &json!("none")), "{shown}");
    server.ok("squall", &["link", "remove", "slack:T1:U1"]);
    let links = server.json(&["link", "list", "--json"]);
    assert_eq!((links[0]["user_id"].as_str(), links.as_array().expect("a list").len()), (Some("bob"), 1));
    let table = server.ok("squall", &["user", "list"]);
    assert!(table.contains("Bob B.") && table.contains("admin"), "{table}");
    // Somebody in chat shows by a code that the account is theirs.
    server.ok("squall", &["user", "create", "carol", "--role", "operator"]);
    let mut carol = server.person("carol", "ops");
    carol.say("!link");
    let told = carol.hears("squall link");
    let code = told.split("squall link ").nth(1).expect("a code").trim_matches('`').to_owned();
    let linked = as_user(&server, &token(&server, "carol"), &["link", &code]);
    assert!(text(&linked.stdout).contains("terminal:carol is `carol`"), "{}", text(&linked.stderr));
    // From now on her commands run with her rights and under her name.
    server.ok("squall", &["user", "deactivate", "carol"]);
    carol.say("!greet Ada");
    carol.hears("may not run");
    server.ok("squall", &["user", "delete", "bob"]);
    assert!(!server.run("squall", &["user", "show", "bob"]).status.success());
}

#[test]
fn a_held_run_waits_and_tells() {
    let server = Server::start();
    danger(&server);
    let held = |args: &[&str]| {
        let child =
            server.command("squall", args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let code = wait("the question", || {
            let open = server.json(&["confirmations", "--json"]);
            open[0]["code"].as_str().map(str::to_owned)
        });
        (child, code)
    };
    let (child, code) = held(&["run", "danger.wipe", "what=one"]);
    let shown = server.ok("squall", &["confirmations", "show", &code]);
    assert!(shown.contains("please confirm") && shown.contains("one"), "{shown}");
    server.ok("squall", &["confirm", &code, "--note", "fine"]);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("confirmed by admin"), "{}", text(&output.stderr));

    let (child, code) = held(&["run", "danger.wipe", "what=two"]);
    server.ok("squall", &["withdraw", &code]);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("withdrawn by admin"), "{}", text(&output.stderr));

    // Whoever stops waiting is told that it still waits.
    let (child, code) = held(&["run", "danger.wipe", "what=three"]);
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("is still held"), "{}", text(&output.stderr));
    assert_eq!(server.json(&["confirmations", "--mine", "--json"])[0]["code"], json!(code));
    server.ok("squall", &["deny", &code]);
    assert!(server.ok("squall", &["confirmations"]).contains("nothing waits"));
    assert_eq!(server.json(&["confirmations", "--all", "--json"]).as_array().expect("a list").len(), 3);
    let none = server.run("squall", &["confirm", "K7Q-4M9"]);
    assert!(text(&none.stderr).contains("There is no open confirmation K7Q-4M9."), "{}", text(&none.stderr));
}

#[test]
fn confirmations_reevaluate() {
    let server = Server::start();
    let clean = "name: clean\nrunner_type: local-shell-cmd\nparameters:\n  what: {type: string}\n  cmd: {immutable: true, default: 'true'}\n";
    write_pack(&server, "danger", &[("actions/clean.yaml", clean)]);
    let rules = server.data.join("confirm.d");
    std::fs::create_dir_all(&rules).expect("a folder");
    let asks = |people: u32| {
        let rule = format!(
            "version: 1\nrules:\n  - {{id: eyes, when: {{action: [danger.clean]}}, require: [{{who: {{role: [sre]}}, count: {people}}}]}}\n"
        );
        std::fs::write(rules.join("rules.yaml"), rule).expect("written");
        server.ok("squall", &["reload"]);
    };
    for name in ["bob", "carol"] {
        server.ok("squall", &["user", "create", name, "--role", "operator", "--roles", "sre"]);
    }
    asks(2);
    let held = server.run("squall", &["run", "danger.clean", "what=db1", "--no-wait", "--json"]);
    assert_eq!(held.status.code(), Some(3), "{}", text(&held.stderr));
    let code = || {
        let open = server.json(&["confirmations", "--json"]);
        open[0]["code"].as_str().expect("one is open").to_owned()
    };
    let (old, bob) = (code(), token(&server, "bob"));
    let refused = as_user(&server, &bob, &["confirmations", "reevaluate", &old]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    assert!(!text(&refused.stderr).is_empty() && code() == old, "{}", text(&refused.stderr));
    asks(1);
    assert_eq!(code(), old, "rules that ask for less change nothing by themselves");
    let told = server.ok("squall", &["confirmations", "reevaluate", &old]);
    let new = code();
    assert_eq!(told.trim(), format!("It is asked anew as {new}, and needs 1 of role sre."));
    let finished = server.run("squall", &["confirmations", "reevaluate", &old]);
    assert!(text(&finished.stderr).contains("already finished"), "{}", text(&finished.stderr));
    let confirmed = as_user(&server, &bob, &["confirm", &new]);
    assert!(confirmed.status.success(), "{}", text(&confirmed.stderr));
    // Where nothing asks any more, nothing is started behind anybody's back.
    asks(2);
    server.run("squall", &["run", "danger.clean", "what=db2", "--no-wait"]);
    let last = code();
    std::fs::write(rules.join("rules.yaml"), "version: 1\nrules: []\n").expect("written");
    server.ok("squall", &["reload"]);
    let told = server.json(&["confirmations", "reevaluate", &last, "--json"]);
    assert_eq!(told["state"], "withdrawn");
    assert!(told["told"].as_str().is_some_and(|told| told.contains("run it again")), "{told}");
}

#[test]
fn policy_test_and_check() {
    let server = Server::start();
    danger(&server);
    let told = server.ok("squall", &["policy", "test", "danger.wipe", "what=db1", "--from", "chat:terminal:ops"]);
    for part in ["asks: admin", "action danger.wipe", "could be: admin", "terminal:ops", "They would read:", "db1"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(server.json(&["confirmations", "--all", "--json"]), json!([]), "nothing is stored");
    assert!(server.ok("squall", &["policy", "test", "core.noop"]).starts_with("runs"));
    let rules = server.data.join("confirm.d");
    std::fs::create_dir_all(&rules).expect("a folder");
    let write = |text: &str| std::fs::write(rules.join("rules.yaml"), text).expect("written");
    write(
        "version: 1\nrules:\n  - id: a\n    when: {action: [danger.*]}\n    require: [{who: {role: [ghost]}, count: 2}]\n",
    );
    assert!(server.ok("squall", &["policy", "check"]).contains("0 errors"));
    server.ok("squall", &["reload"]);
    let lonely = server.ok("squall", &["policy", "check"]);
    assert!(lonely.contains("SQ1704") && lonely.contains("squall role grant ghost USER"), "{lonely}");
    let refused = server.ok("squall", &["policy", "test", "danger.wipe", "what=x"]);
    assert!(refused.starts_with("refused:") && refused.contains("2 of role ghost"), "{refused}");
    write("version: 1\nrules:\n  - id: a\n    require: [{who: nonsense}]\n");
    let broken = server.run("squall", &["policy", "check"]);
    assert_eq!(broken.status.code(), Some(1));
    let broken = text(&broken.stdout);
    assert!(broken.contains("SQ1701") && broken.contains("rules.yaml:4:"), "{broken}");
}

#[test]
fn check_finds_what_is_wrong_with_confirmations() {
    let server = Server::start();
    write_pack(
        &server,
        "wrong",
        &[
            ("actions/a.yaml", "name: a\nrunner_type: noop\nconfirm: {by: 'role:sre', count: 99}\n"),
            (
                "actions/b.yaml",
                "name: b\nrunner_type: noop\ntags: [{name: squall.confirm, value: nobody-wrote-this}]\n",
            ),
            ("actions/c.yaml", "name: c\nrunner_type: noop\n"),
            (
                "aliases/c.yaml",
                "name: c\naction_ref: wrong.c\nformats: ['c it']\nextra: {squall: {confirm: {require: [{who: {user: [bob]}, count: 2}]}}}\n",
            ),
        ],
    );
    let found = server.run("squall", &["check", "--json"]);
    let found: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    let of = |code: &str| -> Vec<String> {
        let all = found.as_array().expect("a list").iter().filter(|d| d["code"] == code);
        all.map(|d| format!("{}:{}:{}", d["file"].as_str().unwrap_or_default(), d["line"], d["column"])).collect()
    };
    for (code, place) in [
        ("SQ1305", "actions/a.yaml:3:10"),
        ("SQ1306", "aliases/c.yaml:2:13"),
        ("SQ1702", "actions/a.yaml:3:34"),
        ("SQ1703", "actions/b.yaml:3:7"),
        ("SQ1704", "aliases/c.yaml:4:27"),
    ] {
        assert!(of(code).iter().any(|at| at.ends_with(place)), "{code} at {place}: {found:#}");
    }
    // The pattern that packs build themselves, with the native form as suggestion.
    let dir = server.data.parent().expect("a parent");
    support::seed_repository(dir);
    let seed = server.run("squall", &["check", &dir.join("st2chat_confirm").display().to_string()]);
    let seed = text(&seed.stdout);
    assert!(seed.contains("SQ1705") && seed.contains("extra: {squall: {confirm: true}}"), "{seed}");
    assert!(seed.contains("aliases/test.yaml:4:13"), "{seed}");
}

#[test]
fn the_audit_log_is_listed_exported_and_verified() {
    let mut server = Server::start();
    let rules = server.data.join("confirm.d");
    std::fs::create_dir_all(&rules).expect("a folder");
    std::fs::write(rules.join("rules.yaml"), "version: 1\n").expect("written");
    danger(&server);
    server.ok("squall", &["user", "create", "bob"]);
    server.run("squall", &["run", "danger.wipe", "what=x", "--no-wait"]);
    let code = server.json(&["confirmations", "--json"])[0]["code"].as_str().expect("a code").to_owned();
    server.ok("squall", &["deny", &code, "-m", "no"]);
    let rows = server.json(&["audit", "list", "--json"]);
    let events: Vec<&str> =
        rows.as_array().expect("a list").iter().map(|r| r["event"].as_str().expect("a word")).collect();
    for event in ["withdrawn", "held", "user_created", "policy_loaded", "logged_in"] {
        assert!(events.contains(&event), "{event}: {events:?}");
    }
    let table = server.ok("squall", &["audit", "list", "--event", "user_created", "--person", "admin"]);
    assert!(table.contains("user: bob"), "{table}");
    let file = server.data.parent().expect("a parent").join("audit.jsonl");
    server.ok("squall", &["audit", "export", "-o", &file.display().to_string()]);
    let lines = std::fs::read_to_string(&file).expect("written");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.windows(2).all(|pair| pair[1]["previous"] == pair[0]["sha"]));
    assert!(server.ok("squall", &["audit", "verify"]).contains("whole"));
    // Somebody edits the file behind the server's back.
    server.stop();
    {
        let store = squall_store::sqlite::Sqlite::open(&server.data, &Default::default()).expect("it opens");
        store.tamper("DROP TRIGGER audit_no_update").expect("done");
        store
            .tamper("UPDATE audit SET person = 'user:bob' WHERE event = 'user_created' AND person IS NOT NULL")
            .expect("done");
    }
    server.up();
    let row =
        lines.iter().find(|row| row["event"] == "user_created" && !row["person"].is_null()).expect("there")["seq"]
            .clone();
    let found = server.run("squall", &["audit", "verify"]);
    let said = text(&found.stdout);
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("damaged audit row {row}")) || said.contains(&format!("audit row {row}: ")),
        "{said}"
    );
}

#[test]
fn a_changed_password_keeps_this_machine_in() {
    let server = Server::start();
    let mut child = server
        .command("squall", &["user", "password", "admin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"a better password\n").expect("it reads");
    assert!(child.wait().expect("it ends").success());
    server.ok("squall", &["user", "list"]);
    let agent = server.ok("squall", &["token", "--agent", "helper"]);
    let held = as_user(&server, agent.trim(), &["user", "create", "x"]);
    assert!(text(&held.stderr).contains("a person must do it"), "{}", text(&held.stderr));
}
