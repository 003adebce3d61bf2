//! What loading gives for packs as people write them.

use squall_content::{Diagnostic, Loaded, Sources, load};
use squall_model::Value;
use std::fs;
use std::path::Path;

/// Writes files below a new directory: `path` and text, in turn.
fn packs(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(dir.path(), path, text);
    }
    dir
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn loaded(dir: &Path) -> Loaded {
    load(&Sources { packs: vec![dir.to_owned()], ..Sources::default() })
}

/// All that is said about the packs, without the temporary directory's name.
fn said(dir: &Path) -> String {
    let shown = Diagnostic::render_all(&loaded(dir).diagnostics, false);
    shown.replace(&format!("{}/", dir.display()), "")
}

const MANIFEST: &str = "name: ops\ndescription: d\nversion: 1.0.0\nauthor: a\n";

/// One action file in a pack `ops`, and everything that is said about it.
#[track_caller]
fn check_action(text: &str, expected: &str) {
    let dir = packs(&[("ops/pack.yaml", MANIFEST), ("ops/actions/a.yaml", text), ("ops/actions/run.sh", "")]);
    let said = said(dir.path());
    let said =
        said.strip_suffix("1 error, no warnings\n").or(said.strip_suffix("no errors, 1 warning\n")).unwrap_or(&said);
    assert_eq!(said.trim(), expected.trim(), "\n{said}");
}

#[test]
fn built_in_packs_load_without_a_word() {
    let Loaded { registry, diagnostics } = load(&Sources::default());
    assert!(diagnostics.is_empty(), "{}", Diagnostic::render_all(&diagnostics, false));
    for name in ["core", "chatops", "packs", "st2", "linux", "default", "examples"] {
        assert!(registry.pack(name).is_some_and(|pack| pack.is_builtin), "{name}");
    }
    let local = registry.action(&"core.local".parse().unwrap()).unwrap();
    let merged = local.merged_parameters();
    assert_eq!(merged["cmd"].get("required"), Some(&Value::Bool(true)));
    assert_eq!(merged["cmd"].get("type"), Some(&Value::from("string")));
    assert_eq!(merged["sudo"].get("default"), Some(&Value::Bool(false)));
    let drain = registry.action(&"examples.drain".parse().unwrap()).unwrap();
    assert!(drain.runner.is_workflow());
    assert_eq!(drain.definition.as_ref().unwrap().sha.len(), 64);
    assert!(registry.rule(&"chatops.notify-errbot".parse().unwrap()).unwrap().enabled);
}

#[test]
fn the_same_files_give_the_same_version() {
    let dir = packs(&[("ops/pack.yaml", MANIFEST), ("ops/actions/a.yaml", "name: a\nrunner_type: noop\n")]);
    let first = loaded(dir.path()).registry.version;
    assert_eq!(first, loaded(dir.path()).registry.version);
    write(dir.path(), "ops/actions/a.yaml", "name: a\nrunner_type: noop\nenabled: false\n");
    assert_ne!(first, loaded(dir.path()).registry.version);
}

/// The shape of a chat-confirmation pack of 2016: no `email`, no `ref`, a `config.yaml` that is empty, two
/// `*.meta.yaml` actions, aliases whose names have dots and another pack's name in front.
#[test]
fn a_confirmation_pack_of_2016_loads_unmodified() {
    let dir = packs(&[
        (
            "guard/pack.yaml",
            "### About this pack.\n---\nname: guard\ndescription: Asks first\nversion: 0.1\nauthor: somebody\n",
        ),
        ("guard/config.yaml", "### Nothing to configure.\n---\n"),
        ("guard/requirements.txt", "# none\n"),
        (
            "guard/actions/yes.meta.yaml",
            "---\nname: \"yes_do\"\nrunner_type: \"action-chain\"\nenabled: true\nentry_point: \"workflows/yes.yaml\"\n\
             parameters:\n  number:\n    type: string\n    required: true\n  skip_notify:\n    default:\n      - note\n",
        ),
        (
            "guard/actions/workflows/yes.yaml",
            "---\nchain:\n    -\n        name: \"note\"\n        ref: \"st2.kv.set\"\n        params:\n            \
             key: \"{{action_context.parent.api_user}}_{{number}}\"\n            value: \"yes\"\n            ttl: 60\n",
        ),
        (
            "guard/actions/ask.meta.yaml",
            "---\n  description: \"asks\"\n  runner_type: \"mistral-v2\"\n  tags: []\n  enabled: true\n  pack: \"guard\"\n  \
             entry_point: \"workflows/ask.yaml\"\n  uid: \"action:guard:ask\"\n  parameters: \n    hosts: \n      required: true\n      \
             type: \"string\"\n    more: \n      default: \"\"\n      type: \"string\"\n  ref: \"guard.ask\"\n  name: \"ask\"\n",
        ),
        (
            "guard/actions/workflows/ask.yaml",
            "---\nversion: '2.0'\n\nguard.ask:\n  type: direct\n  input:\n    - hosts\n    - more\n  tasks:\n    only:\n      \
             # [297, 28]\n      action: core.noop\n      publish:\n        who: <% env().get('__actions').get('st2.action').st2_context.parent.api_user %>\n",
        ),
        (
            "guard/aliases/ask.yaml",
            "---\nname: guard.ask\nenabled: true\naction_ref: guard.ask\ndescription: Start here.\nformats:\n  \
             - display: \"do it on <hosts> <more>\"\n    representation:\n      - \"do it on {{hosts}} {{more}}\"\n\
             result:\n  format: |\n    Execution ID {{ execution.id }} complete.\n",
        ),
        (
            "guard/aliases/yes.yaml",
            "---\nname: test.yes_do\nenabled: true\naction_ref: guard.yes_do\nformats:\n  - display: \"yes <number>\"\n    \
             representation:\n      - \"yes {{number}}\"\nack:\n  format: \"Confirming!\"\n  append_url: false\nresult:\n  enabled: false",
        ),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    assert!(diagnostics.is_empty(), "{}", Diagnostic::render_all(&diagnostics, false));
    let pack = registry.pack("guard").unwrap();
    assert_eq!((&*pack.version, &pack.email), ("0.1.0", &None));
    assert_eq!(registry.configs.get("guard"), Some(&Value::map()));
    let ask = registry.action(&"guard.ask".parse().unwrap()).unwrap();
    assert_eq!(ask.runner.name, "mistral-v2");
    assert!(ask.definition.as_ref().unwrap().text.contains("guard.ask:"));
    let yes = registry.action(&"guard.yes_do".parse().unwrap()).unwrap();
    assert_eq!(yes.merged_parameters()["skip_notify"].get("type"), Some(&Value::from("array")));
    let alias = registry.alias(&"guard.test.yes_do".parse().unwrap()).unwrap();
    assert_eq!(alias.result.as_ref().unwrap().get("enabled"), Some(&Value::Bool(false)));
    assert_eq!(alias.ack.as_ref().unwrap().get("append_url"), Some(&Value::Bool(false)));
}

#[test]
fn runners_of_2016_are_known_by_their_old_names() {
    for (old, new) in [
        ("run-local", "local-shell-cmd"),
        ("run-local-script", "local-shell-script"),
        ("run-remote", "remote-shell-cmd"),
        ("run-remote-script", "remote-shell-script"),
        ("http-runner", "http-request"),
        ("run-python", "python-script"),
        ("orchestra", "orquesta"),
    ] {
        let text = format!("name: a\nrunner_type: {old}\n");
        let dir = packs(&[("ops/pack.yaml", MANIFEST), ("ops/actions/a.yaml", &text)]);
        let registry = loaded(dir.path()).registry;
        assert_eq!(registry.action(&"ops.a".parse().unwrap()).unwrap().runner.name, new);
    }
}

#[test]
fn one_bad_file_never_hides_the_good_ones() {
    let dir = packs(&[
        ("ops/pack.yaml", "name: [\n"),
        ("ops/actions/a.yaml", "name: a\nrunner_type: noop\n"),
        ("ops/actions/b.yaml", "name: {{ b }}\n"),
        ("ops/actions/c.yaml", "- not a map\n"),
        ("ops/actions/d.yaml", ""),
        ("ops/actions/config.yaml", "never: read\n"),
        ("ops/actions/e.yml", "name: e\nrunner_type: noop\n"),
        ("ops/actions/f.json", "{}"),
        ("ops/actions/sub/g.yaml", "name: g\n"),
    ]);
    fs::write(dir.path().join("ops/actions/x.yaml"), [0xff, 0xfe]).unwrap();
    let Loaded { registry, diagnostics } = loaded(dir.path());
    let actions: Vec<String> = registry.actions.keys().filter(|r| &*r.pack == "ops").map(ToString::to_string).collect();
    assert_eq!(actions, ["ops.a", "ops.e"]);
    let codes: Vec<&str> = diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["SQ1001", "SQ1001", "SQ1004", "SQ1004", "SQ1003"]);
}

#[test]
fn an_unknown_runner() {
    check_action(
        "name: a\nrunner_type: local-shel-cmd\n",
        "
error[SQ1203]: unknown runner type `local-shel-cmd`
   ╭─[ops/actions/a.yaml:2:14]
 2 │ runner_type: local-shel-cmd
   ·              ───────┬──────
   ·                     ╰── no runner has this name
   ╰─
  help: did you mean `local-shell-cmd`? The action is skipped",
    );
}

#[test]
fn an_unknown_key() {
    check_action(
        "name: a\nrunner_type: noop\ndiscription: d\n",
        "
error[SQ1005]: `discription` is no key of an action
   ╭─[ops/actions/a.yaml:3:1]
 3 │ discription: d
   · ─────┬─────
   ·      ╰── has no meaning here
   ╰─
  help: did you mean `description`?",
    );
}

#[test]
fn a_parameter_schema_with_a_mistake() {
    check_action(
        "name: a\nrunner_type: noop\nparameters:\n  list:\n    type: array\n    item: {type: string}\n",
        "
error[SQ1202]: `item` is no key of a parameter's schema (parameter `list`)
   ╭─[ops/actions/a.yaml:6:5]
 6 │     item: {type: string}
   ·     ──┬─
   ·       ╰── has no meaning here
   ╰─
  help: did you mean `items`?",
    );
    check_action(
        "name: a\nrunner_type: noop\nparameters:\n  x: {type: [string, boolean]}\n",
        "
error[SQ1202]: `type` of parameter `x` must be one of array, boolean, integer, null, number, object, string
   ╭─[ops/actions/a.yaml:4:13]
 4 │   x: {type: [string, boolean]}
   ·             ────────┬────────
   ·                     ╰── a list of types is not possible
   ╰─
  help: leave `type` out if several types are wanted",
    );
}

#[test]
fn positions_that_collide() {
    check_action(
        "name: a\nrunner_type: local-shell-script\nentry_point: run.sh\nparameters:\n  x: {position: 0}\n  y: {position: 0}\n",
        "
error[SQ1205]: `x` and `y` have the same position 0
   ╭─[ops/actions/a.yaml:6:17]
 6 │   y: {position: 0}
   ·                 ┬
   ·                 ╰── `x` is there
   ╰─",
    );
}

#[test]
fn a_runner_parameter_of_another_type() {
    check_action(
        "name: a\nrunner_type: local-shell-cmd\nparameters:\n  timeout: {type: string}\n",
        "
error[SQ1204]: `type` of `timeout` cannot differ from the runner's
   ╭─[ops/actions/a.yaml:4:19]
 4 │   timeout: {type: string}
   ·                   ───┬──
   ·                      ╰── `local-shell-cmd` says \"integer\"
   ╰─
  help: a parameter of the runner may change only its default, description, enum, immutable, required",
    );
}

#[test]
fn an_immutable_parameter_without_a_value() {
    check_action(
        "name: a\nrunner_type: noop\nparameters:\n  x: {immutable: true}\n",
        "
error[SQ1206]: the immutable parameter `x` has no default
   ╭─[ops/actions/a.yaml:4:18]
 4 │   x: {immutable: true}
   ·                  ──┬─
   ·                    ╰── needs a `default` beside it
   ╰─
  help: nobody could ever give it a value; add `default`, or remove `immutable`",
    );
}

#[test]
fn entry_points() {
    check_action(
        "name: a\nrunner_type: local-shell-script\nentry_point: ../../secret.sh\n",
        "
error[SQ1207]: the entry point `../../secret.sh` is outside of the pack or not written plainly
   ╭─[ops/actions/a.yaml:3:14]
 3 │ entry_point: ../../secret.sh
   ·              ───────┬───────
   ·                     ╰── cannot be used
   ╰─
  help: write a path relative to `actions/`, without `.` and `..`",
    );
    check_action(
        "name: a\nrunner_type: local-shell-script\nentry_point: gone.sh\n",
        "
warning[SQ1207]: the entry point `gone.sh` does not exist
   ╭─[ops/actions/a.yaml:3:14]
 3 │ entry_point: gone.sh
   ·              ───┬───
   ·                 ╰── running it will fail
   ╰─
  help: it is looked for at `ops/actions/gone.sh`",
    );
}

#[test]
fn an_entry_point_that_leads_out_of_the_pack() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        ("ops/actions/a.yaml", "name: a\nrunner_type: local-shell-script\nentry_point: run.sh\n"),
        ("elsewhere.sh", ""),
    ]);
    std::os::unix::fs::symlink("../../elsewhere.sh", dir.path().join("ops/actions/run.sh")).unwrap();
    assert!(said(dir.path()).contains("the entry point `run.sh` is a link that leads out of the pack"));
}

#[test]
fn a_template_of_an_alias() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        (
            "ops/aliases/a.yaml",
            "name: a\naction_ref: core.noop\nformats: [a]\nresult:\n  format: \"{{ execution.id \"\n",
        ),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    assert!(registry.alias(&"ops.a".parse().unwrap()).is_some());
    assert_eq!(diagnostics.iter().map(|d| (d.code, d.line(), d.column())).collect::<Vec<_>>(), [("SQ1308", 5, 11)]);
}

#[test]
fn empty_keys_of_a_schema_are_none() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        (
            "ops/actions/a.yaml",
            "name: a\nrunner_type: noop\nparameters:\n  x: {type: string, required: , default: , enum: ~}\n  y:\n",
        ),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    assert!(diagnostics.is_empty());
    let action = registry.action(&"ops.a".parse().unwrap()).unwrap();
    assert_eq!(format!("{:?}", action.parameters), r#"{"x": {"type": "string", "default": null}, "y": {}}"#);
    check_action(
        "name: a\nrunner_type: noop\nparameters:\n  x: {position: 1.5}\n",
        "
error[SQ1202]: the schema of `x` cannot be used
   ╭─[ops/actions/a.yaml:4:6]
 4 │   x: {position: 1.5}
   ·      ───────┬───────
   ·             ╰── 1.5 is no position
   ╰─",
    );
}

#[test]
fn a_workflow_where_actions_are_described() {
    check_action(
        "version: 1.0\ntasks: {}\n",
        "
error[SQ1006]: this is a workflow, not an action
   ╭─[ops/actions/a.yaml:1:1]
 1 │ version: 1.0
   · ┬
   · ╰── has no `runner_type`
   ╰─
  help: workflow files belong into `actions/workflows/`; every `.yaml` file directly in `actions/` describes an action",
    );
}

#[test]
fn another_packs_name_and_our_own_runner() {
    check_action(
        "name: a\npack: dev\nrunner_type: noop\n",
        "
error[SQ1009]: an action lies in pack `ops` and says that it belongs to `dev`
   ╭─[ops/actions/a.yaml:2:7]
 2 │ pack: dev
   ·       ─┬─
   ·        ╰── another pack
   ╰─
  help: remove the key, or write `pack: ops`",
    );
    check_action(
        "name: a\nrunner_type: native\n",
        "
error[SQ1203]: the runner type `native` belongs to squall's own packs
   ╭─[ops/actions/a.yaml:2:14]
 2 │ runner_type: native
   ·              ───┬──
   ·                 ╰── cannot be used here
   ╰─",
    );
}

#[test]
fn notify_sections() {
    check_action(
        "name: a\nrunner_type: noop\nnotify:\n  on_complete: {routes: [x]}\n",
        "
error[SQ1208]: `on_complete` is no section of `notify`
   ╭─[ops/actions/a.yaml:4:3]
 4 │   on_complete: {routes: [x]}
   ·   ─────┬─────
   ·        ╰── has no meaning here
   ╰─
  help: did you mean `on-complete`?",
    );
}

const ALIAS: &str = "action_ref: core.noop\nformats:\n  - ";

#[test]
fn an_alias_name_in_two_packs() {
    let dir = packs(&[
        ("dev/pack.yaml", &MANIFEST.replace("ops", "dev")),
        ("dev/aliases/x.yaml", &format!("name: restart\n{ALIAS}restart dev\n")),
        ("ops/pack.yaml", MANIFEST),
        ("ops/aliases/x.yaml", &format!("name: restart\n{ALIAS}restart ops\n")),
    ]);
    assert_eq!(
        said(dir.path()),
        "error[SQ1301]: the alias name `restart` is taken by `dev.restart`
   ╭─[ops/aliases/x.yaml:1:7]
 1 │ name: restart
   ·       ───┬───
   ·          ╰── used a second time
   ╰─
  help: StackStorm would replace that one; rename one of them. The other is in dev/aliases/x.yaml

1 error, no warnings
"
    );
}

#[test]
fn a_format_in_two_aliases() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        ("ops/aliases/x.yaml", &format!("name: one\n{ALIAS}restart {{{{ host }}}}\n")),
        ("ops/aliases/y.yaml", &format!("name: two\n{ALIAS}restart {{{{ host }}}}\n")),
        ("ops/aliases/z.yaml", &format!("name: \"off\"\nenabled: false\n{ALIAS}restart {{{{ host }}}}\n")),
    ]);
    assert_eq!(
        said(dir.path()),
        "error[SQ1302]: `ops.one` and `ops.two` have the same format
   ╭─[ops/aliases/y.yaml:4:5]
 4 │   - restart {{ host }}
   ·     ─────────┬────────
   ·              ╰── nobody could tell them apart
   ╰─
  help: change or disable one of them; the other is in ops/aliases/x.yaml

1 error, no warnings
"
    );
}

#[test]
fn an_alias_without_its_action() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        ("ops/actions/a.yaml", "name: stop_all\nrunner_type: noop\n"),
        ("ops/aliases/x.yaml", "name: one\naction_ref: ops.stopall\nformats: [stop]\n"),
    ]);
    assert_eq!(
        said(dir.path()),
        "warning[SQ1303]: the action `ops.stopall` does not exist
   ╭─[ops/aliases/x.yaml:2:13]
 2 │ action_ref: ops.stopall
   ·             ─────┬─────
   ·                  ╰── typing it will fail
   ╰─
  help: did you mean `ops.stop_all`?

no errors, 1 warning
"
    );
}

#[test]
fn alias_confirm_does_not_guard_action_lint() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        ("ops/actions/a.yaml", "name: stop_all\nrunner_type: noop\n"),
        (
            "ops/aliases/y.yaml",
            "name: two\naction_ref: ops.stop_all\nformats: [stop all]\nextra: {squall: {confirm: true}}\n",
        ),
    ]);
    assert_eq!(
        said(dir.path()),
        "warning[SQ1306]: `ops.two` asks for a confirmation, but its action can be run without
   ╭─[ops/aliases/y.yaml:2:13]
 2 │ action_ref: ops.stop_all
   ·             ──────┬─────
   ·                   ╰── this action
   ╰─
  help: other aliases, the API and workflows reach `ops.stop_all` unasked; give the action `tags: [{name: squall.confirm, value: \"true\"}]` too

no errors, 1 warning
"
    );
}

#[test]
fn placeholders_are_parameters_of_the_action() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        (
            "ops/actions/a.yaml",
            "name: a\nrunner_type: noop\nparameters: {host: {type: string}, fixed: {default: 1, immutable: true}}\n",
        ),
        (
            "ops/aliases/a.yaml",
            "name: a\naction_ref: ops.a\nformats:\n  - fix {{ hots }}\n  - set {{ fixed=2 }} {{ host }}\n",
        ),
    ]);
    assert_eq!(
        said(dir.path()),
        "warning[SQ1307]: the placeholder `hots` of `ops.a` is nothing that `ops.a` takes
   ╭─[ops/aliases/a.yaml:4:5]
 4 │   - fix {{ hots }}
   ·     ───────┬──────
   ·            ╰── not a parameter
   ╰─
  help: did you mean `host`?

warning[SQ1307]: the placeholder `fixed` of `ops.a` is nothing that `ops.a` takes
   ╭─[ops/aliases/a.yaml:5:5]
 5 │   - set {{ fixed=2 }} {{ host }}
   ·     ──────────────┬─────────────
   ·                   ╰── cannot be given, it is immutable
   ╰─

no errors, 2 warnings
"
    );
}

#[test]
fn a_workflow_with_a_mistake_keeps_its_action() {
    let action = "name: a\nrunner_type: orquesta\nentry_point: sub/w.yaml\n";
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        ("ops/actions/a.yaml", action),
        ("ops/actions/b.yaml", &action.replace("name: a", "name: b").replace("w.yaml", "v.yaml")),
        ("ops/actions/sub/w.yaml", "version: 1.0\ntasks:\n  a:\n    action: core.noop\n    next:\n      - do: gone\n"),
        ("ops/actions/d.yaml", "name: d\nrunner_type: action-chain\nentry_point: sub/c.yaml\n"),
        ("ops/actions/sub/c.yaml", "chain:\n  - name: a\n    ref: core.noop\n    on-success: gone\n"),
        ("ops/actions/c.yaml", "name: c\nrunner_type: mistral-v2\nentry_point: sub/m.yaml\n"),
        (
            "ops/actions/sub/m.yaml",
            "version: '2.0'\nops.c:\n  tasks:\n    a:\n      action: core.noop\n      on-success: [gone]\n",
        ),
        (
            "ops/actions/sub/v.yaml",
            "version: 1.0\ntasks:\n  a:\n    action: core.echo message={{ x }}\n    input: {{ x }}\n",
        ),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    assert!(registry.action(&"ops.a".parse().unwrap()).unwrap().definition.is_some());
    let said: Vec<String> = diagnostics
        .iter()
        .map(|d| {
            format!("{}:{}:{} {}", d.file.as_deref().unwrap().rsplit('/').next().unwrap(), d.line(), d.column(), d.code)
        })
        .collect();
    assert!(said.contains(&"w.yaml:6:13 SQ2102".to_owned()), "{said:?}");
    assert!(said.contains(&"v.yaml:5:13 SQ1001".to_owned()), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("c.yaml:4:17 SQ23")), "{said:?}");
    assert!(said.contains(&"m.yaml:6:20 SQ2203".to_owned()), "{said:?}");
}

#[test]
fn a_name_that_yaml_takes_for_something_else() {
    check_action(
        "name: off\nrunner_type: noop\n",
        "
error[SQ1007]: `name` of an action must be a text
   ╭─[ops/actions/a.yaml:1:7]
 1 │ name: off
   ·       ─┬─
   ·        ╰── this is true or false
   ╰─
  help: without quotes YAML reads true or false here; write `name: \"off\"`",
    );
}

#[test]
fn rules_need_their_trigger_and_sound_criteria() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        ("ops/rules/a.yaml", "name: a\ntrigger: {type: core.st2.webhok}\naction: {ref: core.noop}\n"),
        (
            "ops/rules/b.yaml",
            "name: b\ntrigger: {type: core.st2.webhook, parameters: {url: x}}\ncriteria:\n  trigger.body.x: {type: equal, pattern: 1}\n  \
             trigger.body.y: {type: exists}\naction: {ref: core.noop}\n",
        ),
        (
            "ops/rules/c.yaml",
            "name: c\ntrigger: {type: core.st2.webhook, parameters: {url: x}}\naction: {ref: core.noop}\nenabled: true\n",
        ),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    let rules: Vec<String> = registry.rules.keys().filter(|r| &*r.pack == "ops").map(ToString::to_string).collect();
    assert_eq!(rules, ["ops.c"]);
    let said: Vec<String> = diagnostics
        .iter()
        .map(|d| {
            format!("{} {}:{} {} | {}", d.code, d.line(), d.column(), d.message, d.help.as_deref().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        said,
        [
            "SQ1401 4:26 `equal` is no operator of criteria | did you mean `equals`?",
            "SQ1401 5:3 the criterion `trigger.body.y` has no pattern | every operator needs a `pattern`, even `exists`; any value will do there",
            "SQ1402 2:17 unknown trigger type `core.st2.webhok` | did you mean `core.st2.webhook`? The rule is skipped",
        ]
    );
}

#[test]
fn sensors_bring_their_triggers_and_old_keys() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        (
            "ops/sensors/s.yaml",
            "class_name: Watch\nentry_point: watch.py\npoll_interval: 30\ntrigger_types:\n  - name: seen\n    payload_info: [a, b]\n    \
             payload_schema: {type: object}\n",
        ),
        ("ops/sensors/watch.py", ""),
        ("ops/sensors/t.yaml", "class_name: Fast\nentry_point: watch.py\npoll_interval: 1\n"),
        ("ops/rules/r.yaml", "name: r\ntrigger: {type: ops.seen}\naction: {ref: core.noop}\n"),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    let sensor = &registry.sensors[&"ops.Watch".parse().unwrap()];
    assert_eq!((sensor.poll_interval, sensor.trigger_types.len()), (Some(30.0), 1));
    assert!(registry.rule(&"ops.r".parse().unwrap()).is_some());
    assert!(registry.pack("ops").unwrap().needs_python);
    assert_eq!(diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["SQ1601"]);
}

#[test]
fn policies_are_checked_and_filled() {
    let dir = packs(&[
        ("ops/pack.yaml", MANIFEST),
        (
            "ops/policies/a.yaml",
            "name: a\nresource_ref: core.noop\npolicy_type: action.concurrency\nparameters: {threshold: 2}\n",
        ),
        (
            "ops/policies/b.yaml",
            "name: b\nresource_ref: core.noop\npolicy_type: action.retry\nparameters: {retry_on: always}\n",
        ),
        ("ops/policies/c.yaml", "name: c\nresource_ref: core.noop\npolicy_type: action.conc\n"),
        (
            "ops/policies/d.yaml",
            "name: d\nresource_ref: core.noop\npolicy_type: squall.confirm\nparameters: {count: 2}\n",
        ),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    let of: Vec<String> = registry
        .policies_of(&"core.noop".parse().unwrap())
        .map(|p| format!("{} {:?}", p.reference, p.parameters))
        .collect();
    assert_eq!(of, ["ops.a {\"threshold\": 2, \"action\": \"delay\"}", "ops.d {\"count\": 2}"]);
    assert_eq!(diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["SQ1502", "SQ1501"]);
}

#[test]
fn configurations_are_checked_against_their_schema() {
    let dir = packs(&[
        ("packs/ops/pack.yaml", MANIFEST),
        (
            "packs/ops/config.schema.yaml",
            "token: {type: string, secret: true, required: true}\nport: {type: integer, default: 80}\n",
        ),
        ("packs/old/pack.yaml", &MANIFEST.replace("ops", "old")),
        ("packs/old/config.yaml", "key: value\n"),
        ("configs/ops.yaml", "token: \"{{ st2kv.system.token }}\"\nport: eighty\n"),
    ]);
    let sources = Sources {
        packs: vec![dir.path().join("packs")],
        configs: Some(dir.path().join("configs")),
        ..Sources::default()
    };
    let Loaded { registry, diagnostics } = load(&sources);
    assert_eq!(registry.configs["old"].get("key"), Some(&Value::from("value")));
    assert!(!registry.configs.contains_key("ops"));
    assert_eq!(
        diagnostics.iter().map(|d| (d.code, d.line(), d.label())).collect::<Vec<_>>(),
        [("SQ1106", 2, "a text is not of type `integer`")]
    );
    write(dir.path(), "configs/ops.yaml", "token: \"{{ st2kv.system.token }}\"\nmore: free\n");
    let registry = load(&sources).registry;
    assert_eq!(registry.configs["ops"].get("more"), Some(&Value::from("free")));
}

#[test]
fn overrides_switch_content_off_and_on() {
    let dir = packs(&[
        ("packs/ops/pack.yaml", MANIFEST),
        ("packs/ops/actions/a.yaml", "name: a\nrunner_type: noop\n"),
        ("packs/ops/actions/b.yaml", "name: b\nrunner_type: noop\n"),
        ("packs/ops/aliases/a.yaml", &format!("name: x\n{ALIAS}x\n")),
        ("overrides/_global.yaml", "aliases: {defaults: {enabled: false}}\n"),
        (
            "overrides/ops.yaml",
            "actions:\n  defaults: {enabled: false}\n  exceptions: {b: {enabled: true, runner: x}}\nrule: {}\n",
        ),
    ]);
    let sources = Sources {
        packs: vec![dir.path().join("packs")],
        overrides: Some(dir.path().join("overrides")),
        ..Sources::default()
    };
    let Loaded { registry, diagnostics } = load(&sources);
    let enabled = |reference: &str| registry.action(&reference.parse().unwrap()).unwrap().enabled;
    assert_eq!((enabled("ops.a"), enabled("ops.b"), enabled("core.noop")), (false, true, true));
    assert!(registry.aliases.values().all(|alias| !alias.enabled));
    let said: Vec<String> = diagnostics.iter().map(|d| format!("{} {} {}", d.code, d.line(), d.message)).collect();
    assert_eq!(said, ["SQ1107 3 `runner` cannot be overridden", "SQ1107 4 `rule` cannot be overridden"]);
    assert_ne!(registry.version, load(&Sources { overrides: None, ..sources }).registry.version);
}

#[test]
fn names_of_packs() {
    let dir = packs(&[
        ("st2-clone/pack.yaml", "name: X\nref: ops\nversion: 2\n"),
        ("st2-clone/actions/a.yaml", "name: a\npack: st2-clone\nrunner_type: noop\n"),
        ("core/pack.yaml", "name: core\n"),
        ("examples/pack.yaml", "name: examples\nversion: 1.0.0\n"),
        ("No-Way/pack.yaml", "name: No Way\n"),
        ("loose/actions/b.yaml", "name: b\nrunner_type: noop\n"),
        ("notes/README.md", "no pack"),
        (".git/actions/c.yaml", "name: c\n"),
    ]);
    let Loaded { registry, diagnostics } = loaded(dir.path());
    assert!(registry.action(&"ops.a".parse().unwrap()).is_some());
    assert!(registry.action(&"loose.b".parse().unwrap()).is_some());
    assert!(registry.action(&"core.noop".parse().unwrap()).is_some(), "the built-in pack stays");
    assert!(registry.action(&"examples.greet".parse().unwrap()).is_none(), "examples can be replaced");
    let said: Vec<String> = diagnostics.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    assert_eq!(
        said,
        [
            "SQ1103 no reference can be made from the name of pack `No-Way`",
            "SQ1104 the pack `core` is loaded from elsewhere; this one is left out",
            "SQ1101 `loose` has no manifest",
            "SQ1102 `2` is no version of three parts",
        ]
    );
}

#[test]
fn thousands_of_bad_files_do_not_hide_a_good_one() {
    let dir = packs(&[("ops/pack.yaml", MANIFEST), ("ops/actions/good.yaml", "name: good\nrunner_type: noop\n")]);
    for n in 0..2_000 {
        write(dir.path(), &format!("ops/actions/bad{n}.yaml"), "a: {{ b }}\n");
    }
    let Loaded { registry, diagnostics } = loaded(dir.path());
    assert!(registry.action(&"ops.good".parse().unwrap()).is_some());
    assert_eq!(diagnostics.len(), 2_000);
}
