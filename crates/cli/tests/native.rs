//! Confirmation by squall itself, on a real server: one word in a file makes a command ask first.

mod support;

use serde_json::json;
use std::path::Path;
use support::{Server, id_in, wait};

/// A pack whose action writes to a file, so that a test sees whether it ran, and how often.
fn pack(server: &Server) -> std::path::PathBuf {
    let effect = server.data.parent().expect("a parent").join("effect");
    let dir = server.data.join("packs/danger");
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    };
    write("pack.yaml", "name: danger\ndescription: Writes to a file.\nversion: 1.0.0\nauthor: squall\n");
    let cmd = format!("echo \"{{{{ what }}}}\" >> {}", effect.display());
    let action = format!(
        "name: wipe\nrunner_type: local-shell-cmd\ntags: [{{name: squall.confirm, value: 'true'}}]\nparameters:\n  what: \
         {{type: string, required: true}}\n  cmd: {{immutable: true, default: '{cmd}'}}\n"
    );
    write("actions/wipe.yaml", &action);
    write(
        "aliases/wipe.yaml",
        "name: danger_wipe\naction_ref: danger.wipe\ndescription: Wipe it.\nformats: ['wipe {{ what }}']\nresult: \
         {format: 'wiped {{ execution.parameters.what }}'}\n",
    );
    write("actions/chain.yaml", "name: chain\nrunner_type: action-chain\nentry_point: workflows/chain.yaml\n");
    write("actions/workflows/chain.yaml", "chain:\n  - {name: only, ref: danger.wipe, parameters: {what: chained}}\n");
    server.ok("squall", &["reload"]);
    effect
}

fn effects(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The code in a question.
fn code_in(question: &str) -> String {
    let at = question.find("!confirm ").expect("a way to answer");
    question[at + 9..].split_whitespace().next().expect("a code").to_owned()
}

#[test]
fn asked_confirmed_and_run_once() {
    let server = Server::start();
    let effect = pack(&server);
    let (mut alice, mut bob) = (server.person("alice", "ops"), server.person("bob", "ops"));
    alice.say("!wipe db1");
    let question = alice.hears("please confirm");
    assert!(question.contains("danger.wipe") && question.contains("db1"), "{question}");
    assert!(question.contains("Nothing has been started"), "{question}");
    let code = code_in(&question);
    bob.say(&format!("!confirm {code}"));
    bob.hears("you cannot approve");
    assert_eq!(effects(&effect), "", "nothing ran");
    // A wrong check symbol is a typo, not a guess.
    alice.say("!confirm K7Q-4M8");
    alice.hears("I do not know the code");
    // Lower case, without the dash: people type on phones.
    alice.say(&format!("!confirm {}", code.replace('-', "").to_lowercase()));
    let started = alice.hears("Confirmed by");
    alice.hears("wiped db1");
    assert_eq!(server.ended(&id_in(&started))["status"], "succeeded");
    alice.say(&format!("!confirm {code}"));
    alice.hears("already finished");
    assert_eq!(effects(&effect), "db1\n", "it ran once");
}

#[test]
fn a_no_ends_it() {
    let server = Server::start();
    let effect = pack(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!wipe db2");
    let code = code_in(&alice.hears("please confirm"));
    alice.say(&format!("!deny {code} wrong host"));
    alice.hears("was not run");
    alice.say(&format!("!confirm {code}"));
    alice.hears("already finished");
    assert_eq!(effects(&effect), "");
}

#[test]
fn it_waits_across_a_kill() {
    let mut server = Server::start();
    let effect = pack(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!wipe db3");
    let code = code_in(&alice.hears("please confirm"));
    server.kill();
    server.up();
    let mut alice = alice.again();
    alice.say(&format!("!confirm {code}"));
    alice.hears("wiped db3");
    assert_eq!(effects(&effect), "db3\n");
    assert_eq!(alice.said("please confirm").len(), 1, "asked once:\n{}", alice.transcript());
}

#[test]
fn a_changed_action_is_not_run() {
    let server = Server::start();
    let effect = pack(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!wipe db4");
    let code = code_in(&alice.hears("please confirm"));
    let path = server.data.join("packs/danger/actions/wipe.yaml");
    let text = std::fs::read_to_string(&path).expect("it is there").replace("echo", "echo other");
    std::fs::write(&path, text).expect("it can be written");
    server.ok("squall", &["reload"]);
    alice.say(&format!("!confirm {code}"));
    alice.hears("is void");
    assert_eq!(effects(&effect), "");
}

/// Every way to start the action is held: none goes around the question.
#[test]
fn nobody_gets_around_it() {
    let server = Server::start();
    let effect = pack(&server);
    let body = |action: &str| {
        let held = server.run("squall", &["run", action, "--no-wait", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&held.stdout).expect("JSON")
    };
    let direct = server.run("squall", &["run", "danger.wipe", "what=x", "--no-wait", "--json"]);
    assert_eq!(direct.status.code(), Some(3), "held: {}", support::text(&direct.stderr));
    let direct: serde_json::Value = serde_json::from_slice(&direct.stdout).expect("JSON");
    assert_eq!(direct["status"], "pending");
    assert_eq!(
        server.json(&["execution", "get", direct["id"].as_str().expect("an id"), "--json"])["status"],
        "pending"
    );
    // A workflow that calls it: its own start is held, because the rule is pulled up to the root's question.
    assert_eq!(body("danger.chain")["status"], "pending");
    server.ok("st2", &["danger.wipe", "what=y"]);
    // The words over the API, as an old bot sends them.
    let words = server.ok("st2", &["action-alias", "execute", "wipe z"]);
    assert!(words.contains("execution get"), "{words}");
    // Writing the keys of a home-made confirmation moves nothing.
    let id = direct["id"].as_str().expect("an id").to_owned();
    server.ok("squall", &["key", "set", &format!("admin_{id}"), "confirmed"]);
    let open = server.json(&["confirmations", "--json"]);
    assert_eq!(open.as_array().expect("a list").len(), 4, "{open}");
    assert_eq!(effects(&effect), "");
    // A run's yes covers the rule for its tasks, and nothing else.
    let chain = open.as_array().expect("a list").iter().find(|c| c["action"] == json!("danger.chain")).expect("asked");
    server.ok("squall", &["confirm", chain["code"].as_str().expect("a code")]);
    wait("the chain's effect", || (effects(&effect) == "chained\n").then_some(()));
}

/// StackStorm's command line comes back at once and succeeds, as it does for inquiries.
#[test]
fn st2_cli_pending() {
    let server = Server::start();
    let effect = pack(&server);
    for words in [&["danger.wipe", "what=y"][..], &["run", "danger.wipe", "what=z"]] {
        let out = server.run("st2", words);
        let (told, asked) = (support::text(&out.stdout), support::text(&out.stderr));
        assert!(out.status.success() && told.contains("pending"), "{told}");
        assert!(asked.contains("danger.wipe") && asked.contains("!confirm "), "what it waits for is told: {asked}");
    }
    assert_eq!(effects(&effect), "");
}

/// A held `squall run` ends with a code that says how it ended.
#[test]
fn exit_codes_of_a_held_run() {
    let server = Server::start();
    let effect = pack(&server);
    let rules = server.data.join("confirm.d");
    std::fs::create_dir_all(&rules).expect("a folder");
    let text = "version: 1\nrules:\n  - {id: brief, when: {action: [danger.wipe], params: [{path: what, op: eq, value: brief}]}, require: [{who: requester}], timeout: 10s}\n";
    std::fs::write(rules.join("brief.yaml"), text).expect("it can be written");
    server.ok("squall", &["reload"]);
    let held = server.run("squall", &["run", "danger.wipe", "what=x", "--no-wait"]);
    assert_eq!(held.status.code(), Some(3), "{}", support::text(&held.stderr));
    let started = |what: &str| {
        let mut command = server.command("squall", &["run", "danger.wipe", &format!("what={what}")]);
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
        let child = child.expect("it runs");
        let code = wait("the question", || {
            let open = server.json(&["confirmations", "--json"]);
            let mine = open.as_array()?.iter().find(|c| c["params_shown"]["what"] == what)?.clone();
            mine["code"].as_str().map(str::to_owned)
        });
        (child, code)
    };
    let (denied, code) = started("denied");
    server.ok("squall", &["deny", &code]);
    let (expired, _) = started("brief");
    let (released, code) = started("released");
    server.ok("squall", &["confirm", &code]);
    let (void, _) = started("void");
    let end = |child: std::process::Child| {
        let output = child.wait_with_output().expect("it ends");
        (output.status.code(), support::text(&output.stderr).to_owned())
    };
    assert_eq!(end(released).0, Some(0));
    let (code, told) = end(denied);
    assert_eq!(code, Some(4), "{told}");
    let (code, told) = end(expired);
    assert_eq!(code, Some(5), "{told}");
    let path = server.data.join("packs/danger/actions/wipe.yaml");
    let text = std::fs::read_to_string(&path).expect("it is there").replace("echo", "echo other");
    std::fs::write(&path, text).expect("it can be written");
    server.ok("squall", &["reload"]);
    let (code, told) = end(void);
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("the action changed since you were asked"), "{told}");
    assert_eq!(effects(&effect), "released\n");
}

/// A dry run and whoever is on call, on a real server with real processes.
#[test]
fn a_dry_run_and_people_on_call() {
    let server = Server::start();
    let effect = pack(&server);
    let write = |path: &str, text: &str| std::fs::write(server.data.join(path), text).expect("it can be written");
    for (name, cmd) in [("plan", "echo would wipe {{ what }}"), ("rota", "echo bob")] {
        let what = if name == "plan" { "  what: {type: string, required: true}\n" } else { "" };
        let text = format!(
            "name: {name}\nrunner_type: local-shell-cmd\ntags: [{{name: read_only, value: 'true'}}]\nparameters:\n{what}  cmd: {{immutable: true, default: '{cmd}'}}\n"
        );
        write(&format!("packs/danger/actions/{name}.yaml"), &text);
    }
    std::fs::create_dir_all(server.data.join("confirm.d")).expect("a folder");
    let rule = "version: 1\nrules:\n  - {id: r, when: {action: [danger.wipe]}, require: [{who: {on_call: danger.rota}}], show: {dry_run: danger.plan}}\n";
    write("confirm.d/r.yaml", rule);
    server.ok("squall", &["user", "set", "bob", "--role", "operator", "--password", "long enough"]);
    server.ok("squall", &["link", "terminal:bob", "bob"]);
    server.ok("squall", &["reload"]);
    let told = server.ok("squall", &["policy", "test", "danger.wipe", "what=db1"]);
    assert!(told.contains("first runs danger.plan (dry run)") && told.contains("whoever is on call"), "{told}");
    let (mut alice, mut bob) = (server.person("alice", "ops"), server.person("bob", "ops"));
    alice.say("!wipe db1");
    let question = bob.hears("Dry run (");
    assert!(question.contains("would wipe db1"), "{question}");
    let code = code_in(&question);
    alice.say(&format!("!confirm {code}"));
    bob.say(&format!("!confirm {code}"));
    alice.hears("wiped db1");
    assert_eq!(effects(&effect), "db1\n");
}

#[test]
fn the_command_line_waits_and_tells() {
    let server = Server::start();
    let effect = pack(&server);
    let child = server
        .command("squall", &["run", "danger.wipe", "what=cli"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let code = wait("the question", || {
        let open = server.json(&["confirmations", "--json"]);
        open[0]["code"].as_str().map(str::to_owned)
    });
    server.ok("squall", &["deny", &code, "-m", "not today"]);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(4), "denied: {}", support::text(&output.stderr));
    assert!(support::text(&output.stderr).contains("please confirm"));
    assert_eq!(effects(&effect), "");
}

/// The seed's own `confirm <execution id>` still reaches the pack beside it.
#[test]
fn the_packs_own_confirm_is_not_shadowed() {
    let server = Server::start();
    support::install_seed(&server);
    pack(&server);
    let mut alice = server.person("alice", "ops");
    alice.say("!do_something with web1 x");
    let id = id_in(&alice.hears("confirm"));
    alice.say("!wipe db5");
    let code = code_in(&alice.hears("Nothing has been started"));
    alice.say(&format!("!confirm {id}"));
    alice.hears("Proceeding");
    alice.say(&format!("!confirm {code}"));
    alice.hears("wiped db5");
}

/// Two of a role, not the requester: rules of the server, people with accounts.
#[test]
fn two_people_of_a_role() {
    let server = Server::start();
    let effect = pack(&server);
    let rules = server.data.join("confirm.d");
    std::fs::create_dir_all(&rules).expect("a folder");
    std::fs::write(
        rules.join("wipe.yaml"),
        "version: 1\nrules:\n  - id: two-eyes\n    why: Wiping is for good.\n    when: {action: [danger.wipe]}\n    \
         require: [{who: {role: [operator]}, count: 2}]\n    timeout: 5m\n",
    )
    .expect("it can be written");
    for name in ["bob", "carol"] {
        server.ok("squall", &["user", "set", name, "--role", "operator", "--password", "long enough"]);
        server.ok("squall", &["link", &format!("terminal:{name}"), name]);
    }
    server.ok("squall", &["reload"]);
    let mut alice = server.person("alice", "ops");
    let (mut bob, mut carol) = (server.person("bob", "ops"), server.person("carol", "ops"));
    alice.say("!wipe db6");
    let question = alice.hears("Wiping is for good");
    let code = code_in(&question);
    // The action's own rule asks whoever typed it, the server's rule asks two others.
    alice.say(&format!("!confirm {code}"));
    bob.say(&format!("!confirm {code}"));
    bob.hears("(2 of 3)");
    assert_eq!(effects(&effect), "");
    carol.say(&format!("!confirm {code}"));
    carol.hears("Started danger.wipe");
    carol.hears("wiped db6");
    assert_eq!(effects(&effect), "db6\n");
}
