//! Definitions nobody would write: every option beside every other, sound or not.

use super::Dice;
use std::fmt::Write;

fn one<'t>(dice: &mut Dice, texts: &[&'t str]) -> &'t str {
    texts[dice.roll(texts.len())]
}

/// Names of tasks from `from` on, one to three of them, as a flow list.
fn targets(dice: &mut Dice, from: usize, count: usize, commands: &[&str]) -> String {
    let mut names: Vec<String> = (0..=dice.roll(3)).map(|_| format!("t{}", from + dice.roll(count.max(1)))).collect();
    if dice.roll(4) == 0 {
        names.insert(dice.roll(names.len() + 1), one(dice, commands).to_owned());
    }
    names.dedup();
    names.join(", ")
}

const YAQL: &[&str] =
    &["<% $.v %>", "<% $.n + 1 %>", "<% task().result %>", "<% $.l %>", "'{{ _.n }}'", "x", "[1, {a: 2}]"];
const YAQL_TRUTH: &[&str] = &["<% $.n > 0 %>", "<% task().result = x %>", "'{{ _.v }}'", "<% $.none %>", "<% true %>"];
const YAQL_NUMBER: &[&str] = &["0", "1", "2", "<% $.n %>", "<% $.v %>"];

/// A Mistral workflow `ops.w`.
pub fn mistral(dice: &mut Dice) -> String {
    let count = 1 + dice.roll(6);
    let mut text = String::from(
        "version: '2.0'\nops.w:\n  input: [{n: 1}, {l: [1, 2, 3]}]\n  vars: {v: <% $.n %>}\n  output: {o: <% $.get(p) %>}\n  tasks:\n",
    );
    for i in 0..count {
        let action =
            one(dice, &["core.a a=1", "core.a b=<% $.v %>", "std.fail", "std.noop", "std.echo output=1", "none"]);
        let _ = writeln!(text, "    t{i}:\n      action: {action}");
        let mut say = |key: &str, value: &str| _ = writeln!(text, "      {key}: {value}");
        if dice.roll(4) == 0 {
            say("with-items", &format!("i in {}", one(dice, &["<% $.l %>", "[1, 2]", "<% [] %>", "<% $.n %>"])));
            say("concurrency", one(dice, YAQL_NUMBER));
        }
        if dice.roll(3) == 0 {
            say("publish", &format!("{{p: {}}}", one(dice, YAQL)));
        }
        if dice.roll(4) == 0 {
            let (count, delay) = (one(dice, YAQL_NUMBER), one(dice, YAQL_NUMBER));
            let more = one(dice, &["", ", break-on: <% $.n > 0 %>", ", continue-on: <% task().result = x %>"]);
            say("retry", &format!("{{count: {count}, delay: {delay}{more}}}"));
        }
        for key in ["wait-before", "wait-after", "timeout"] {
            if dice.roll(8) == 0 {
                say(key, one(dice, YAQL_NUMBER));
            }
        }
        for key in ["pause-before", "fail-on"] {
            if dice.roll(10) == 0 {
                say(key, one(dice, YAQL_TRUTH));
            }
        }
        for key in ["on-success", "on-error", "on-complete"] {
            if i + 1 < count && dice.roll(2) == 0 {
                let names =
                    targets(dice, i + 1, count - i - 1, &["fail", "succeed", "noop", "pause", "fail(msg='no way')"]);
                say(key, &format!("[{names}]"));
            }
        }
        if i > 0 && dice.roll(3) == 0 {
            say("join", one(dice, &["all", "one", "2"]));
        }
    }
    text
}

const CTX: &[&str] =
    &["<% ctx(v) %>", "<% ctx(n) + 1 %>", "<% result() %>", "<% ctx(l) %>", "'{{ ctx().n }}'", "x", "[1, {a: 2}]"];
const CTX_TRUTH: &[&str] =
    &["<% succeeded() %>", "<% failed() %>", "<% ctx(n) > 0 %>", "<% result().x %>", "'{{ ctx().v }}'", "'false'"];
const CTX_NUMBER: &[&str] = &["0", "1", "2", "<% ctx(n) %>", "<% ctx(l) %>"];

/// An Orquesta workflow.
pub fn orquesta(dice: &mut Dice) -> String {
    let count = 1 + dice.roll(6);
    let mut text = String::from(
        "version: 1.0\nvars: [{v: 1}, {n: 1}, {l: [1, 2, 3]}]\noutput: [{o: <% ctx(v) %>}, {p: <% ctx(n).x %>}]\ntasks:\n",
    );
    for i in 0..count {
        let _ =
            writeln!(text, "  t{i}:\n    action: {}", one(dice, &["core.a a=1", "core.a b=<% ctx(v) %>", "core.noop"]));
        if dice.roll(4) == 0 {
            let items = one(dice, &["<% ctx(l) %>", "x in <% ctx(l) %>", "<% [] %>", "<% ctx(n) %>"]);
            let _ = writeln!(text, "    with: {{items: '{items}', concurrency: {}}}", one(dice, CTX_NUMBER));
        }
        if dice.roll(4) == 0 {
            let (count, delay) = (one(dice, CTX_NUMBER), one(dice, CTX_NUMBER));
            let when = one(dice, &["", ", when: <% failed() %>", ", when: <% result().x %>"]);
            let _ = writeln!(text, "    retry: {{count: {count}, delay: {delay}{when}}}");
        }
        if dice.roll(8) == 0 {
            let _ = writeln!(text, "    delay: {}", one(dice, CTX_NUMBER));
        }
        if i > 0 && dice.roll(3) == 0 {
            let _ = writeln!(text, "    join: {}", one(dice, &["all", "1", "2"]));
        }
        let _ = writeln!(text, "    next:");
        for _ in 0..=dice.roll(3) {
            // Some ways lead back: cycles are part of the language.
            let from = if dice.roll(8) == 0 { 0 } else { i + 1 };
            let names = targets(dice, from, count.saturating_sub(from), &["fail", "noop", "continue", "retry"]);
            let names = names.replace(&format!("t{count}"), "noop");
            let _ = writeln!(text, "      - when: {}\n        do: [{names}]", one(dice, CTX_TRUTH));
            if dice.roll(2) == 0 {
                let _ = writeln!(text, "        publish: [{{{}: {}}}]", one(dice, &["v", "n", "l"]), one(dice, CTX));
            }
        }
    }
    text
}

/// An action chain.
pub fn chain(dice: &mut Dice) -> String {
    let count = 1 + dice.roll(6);
    let mut text = String::from("vars: {v: '{{ n }}'}\nchain:\n");
    for i in 0..count {
        let _ = writeln!(text, "  - name: t{i}\n    ref: {}", one(dice, &["core.a", "core.b", "none"]));
        if dice.roll(2) == 0 {
            let value = one(dice, &["'{{ v }}'", "'{{ t0.stdout }}'", "[1, '{{ v }}']", "{a: '{{ none }}'}"]);
            let _ = writeln!(text, "    params: {{a: {value}}}");
        }
        if dice.roll(3) == 0 {
            let _ = writeln!(text, "    publish: {{v: '{{{{ t{i}.stdout }}}}'}}");
        }
        for key in ["on-success", "on-failure"] {
            if dice.roll(2) == 0 {
                let _ = writeln!(text, "    {key}: t{}", dice.roll(count));
            }
        }
    }
    text
}
