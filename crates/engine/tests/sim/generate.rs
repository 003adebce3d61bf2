//! Random workflows in all three languages, as a pack on disk: every definition is sound, every result is a matter of dice.
//!
//! Tasks lead only forward, so a run ends; what they call lies on a lower floor, so that nesting ends too.

use super::executor::Dice;
use squall_content::{Registry, Sources};
use squall_model::ActionRef;
use squall_workflow::{Definition, Language, LoadOptions};
use std::fmt::Write;
use std::path::Path;

/// Workflows of one pack.
const WORKFLOWS: usize = 12;
/// Workflows that lie on the same floor.
const FLOOR: usize = 4;

/// The names of the actions of the pack, lowest floor first.
pub fn names(seed: u64) -> Vec<String> {
    let dice = Dice::new(seed ^ 0x6e61_6d65);
    (0..WORKFLOWS).map(|n| format!("{}{n}", ["chain", "mistral", "orquesta"][dice.below(3) as usize])).collect()
}

/// The built-in packs, the pack `sim`, and a pack `gen` that `seed` makes.
pub fn registry(seed: u64) -> Registry {
    let dir = tempfile::tempdir().unwrap();
    write_pack(&dir.path().join("gen"), seed);
    let sim = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs");
    let packs = vec![sim, dir.path().to_owned()];
    let loaded = squall_content::load(&Sources { builtin: true, packs, ..Sources::default() });
    let problems: Vec<String> = loaded.diagnostics.iter().map(|d| d.to_string()).collect();
    assert!(problems.is_empty(), "pack of seed {seed}: {}", problems.join("\n"));
    loaded.registry
}

/// Writes the pack.
pub fn write_pack(dir: &Path, seed: u64) {
    let dice = Dice::new(seed ^ 0x7061_636b);
    let actions = dir.join("actions");
    std::fs::create_dir_all(actions.join("workflows")).unwrap();
    let pack = "name: gen\ndescription: Made by dice.\nversion: 1.0.0\nauthor: squall\n";
    std::fs::write(dir.join("pack.yaml"), pack).unwrap();
    let names = names(seed);
    for (n, name) in names.iter().enumerate() {
        let below = &names[..n / FLOOR * FLOOR];
        let (runner, language) = match name.trim_end_matches(char::is_numeric) {
            "chain" => ("action-chain", Language::Chain),
            "mistral" => ("mistral-v2", Language::Mistral),
            _ => ("orquesta", Language::Orquesta),
        };
        let text = sound(&dice, below, language, name);
        std::fs::write(actions.join(format!("workflows/{name}.yaml")), text).unwrap();
        let action = format!("name: {name}\nrunner_type: {runner}\nentry_point: workflows/{name}.yaml\n");
        std::fs::write(actions.join(format!("{name}.yaml")), action).unwrap();
    }
}

/// The first definition that its language takes: not every graph is one.
fn sound(dice: &Dice, below: &[String], language: Language, name: &str) -> String {
    let options = LoadOptions { reference: ActionRef::new("gen", name), path: String::new() };
    for _ in 0..100 {
        let shape = Shape::new(dice, below);
        let text = match language {
            Language::Chain => shape.chain(),
            Language::Mistral => shape.mistral(name),
            Language::Orquesta => shape.orquesta(),
        };
        if Definition::load(language, &text, &options).is_ok() {
            return text;
        }
    }
    panic!("no definition of `{name}` can be loaded")
}

/// A workflow before it is written down: a graph with its options drawn.
struct Shape<'d> {
    dice: &'d Dice,
    below: &'d [String],
    tasks: usize,
    /// `(from, to, on failure)`; forward only.
    edges: Vec<(usize, usize, bool)>,
}

impl<'d> Shape<'d> {
    fn new(dice: &'d Dice, below: &'d [String]) -> Shape<'d> {
        let tasks = 2 + dice.below(4) as usize;
        let mut edges = Vec::new();
        for from in 0..tasks - 1 {
            for _ in 0..=dice.below(2) {
                let to = from + 1 + dice.below((tasks - from - 1) as u64) as usize;
                let edge = (from, to, dice.chance(25));
                if !edges.contains(&edge) {
                    edges.push(edge);
                }
            }
        }
        Shape { dice, below, tasks, edges }
    }

    fn below(&self) -> Option<&str> {
        let index = self.dice.below(self.below.len() as u64) as usize;
        self.below.get(index).filter(|_| self.dice.chance(30)).map(String::as_str)
    }

    fn targets(&self, from: usize, on_failure: bool) -> Vec<usize> {
        self.edges.iter().filter(|(f, _, bad)| *f == from && *bad == on_failure).map(|(_, to, _)| *to).collect()
    }

    /// How many tasks lead to one.
    fn sources(&self, to: usize) -> usize {
        (0..self.tasks).filter(|from| self.edges.iter().any(|(f, t, _)| f == from && *t == to)).count()
    }

    /// `pack.action` and its one parameter.
    fn action(&self) -> (String, Option<String>) {
        if let Some(name) = self.below() {
            return (format!("gen.{name}"), None);
        }
        match self.dice.below(5) {
            0 => ("core.noop".into(), None),
            4 => ("sim.narrow".into(), Some("dice 20".into())),
            1 => ("sim.shell".into(), Some("echo fine".into())),
            _ => ("sim.shell".into(), Some(format!("dice {}", [10, 30, 60][self.dice.below(3) as usize]))),
        }
    }

    fn join(&self, task: usize) -> Option<String> {
        let sources = self.sources(task);
        if sources < 2 || self.dice.chance(15) {
            return None;
        }
        Some(match self.dice.below(3) {
            0 => (1 + self.dice.below(sources as u64)).to_string(),
            _ => "all".into(),
        })
    }

    // ---- the languages ---------------------------------------------------------------------------------------

    fn chain(&self) -> String {
        let mut text = String::from("chain:\n");
        for task in 0..self.tasks {
            let (action, cmd) = self.action();
            let _ = writeln!(text, "  - name: t{task}\n    ref: {action}");
            if let Some(cmd) = cmd {
                let _ = writeln!(text, "    parameters:\n      cmd: {cmd}");
                if self.dice.chance(40) {
                    let _ = writeln!(text, "    publish:\n      p{task}: '{{{{ t{task}.stdout }}}}'");
                }
            }
            for (key, on_failure) in [("on-success", false), ("on-failure", true)] {
                if let Some(to) = self.targets(task, on_failure).first() {
                    let _ = writeln!(text, "    {key}: t{to}");
                }
            }
        }
        text + "default: t0\n"
    }

    fn mistral(&self, name: &str) -> String {
        let mut text = format!("version: '2.0'\ngen.{name}:\n  tasks:\n");
        for task in 0..self.tasks {
            let _ = writeln!(text, "    t{task}:");
            self.mistral_action(&mut text);
            if let Some(join) = self.join(task) {
                let _ = writeln!(text, "      join: {join}");
            }
            self.mistral_policies(&mut text);
            if self.dice.chance(40) {
                let _ = writeln!(text, "      publish:\n        p{task}: <% task(t{task}).result %>");
            }
            for (key, on_failure) in [("on-success", false), ("on-error", true)] {
                let mut next: Vec<String> = self.targets(task, on_failure).iter().map(|to| format!("t{to}")).collect();
                if self.dice.chance(4) {
                    next.push(["fail", "succeed", "pause"][self.dice.below(3) as usize].into());
                }
                if !next.is_empty() {
                    let _ = writeln!(text, "      {key}: [{}]", next.join(", "));
                }
            }
        }
        text
    }

    fn mistral_action(&self, text: &mut String) {
        let standard = match self.dice.below(12) {
            0 => Some("std.sleep seconds=2"),
            1 => Some("std.echo output=\"here\""),
            2 => Some("std.noop"),
            3 => Some("std.fail"),
            _ => None,
        };
        let action = standard.map_or_else(
            || match self.action() {
                (action, Some(cmd)) => format!("{action} cmd=\"{cmd}\""),
                (action, None) => action,
            },
            str::to_owned,
        );
        let _ = writeln!(text, "      action: {action}");
        if self.dice.chance(20) {
            let _ = writeln!(text, "      with-items: i in <% range(0, {}) %>", self.dice.below(4));
            if self.dice.chance(50) {
                let _ = writeln!(text, "      concurrency: {}", 1 + self.dice.below(2));
            }
        }
    }

    fn mistral_policies(&self, text: &mut String) {
        if self.dice.chance(25) {
            let (count, delay) = (1 + self.dice.below(3), self.dice.below(3));
            let _ = writeln!(text, "      retry:\n        count: {count}\n        delay: {delay}");
        }
        for (key, percent) in [("wait-before", 10), ("wait-after", 10), ("timeout", 10)] {
            if self.dice.chance(percent) {
                let _ = writeln!(text, "      {key}: {}", 1 + self.dice.below(4));
            }
        }
        if self.dice.chance(5) {
            text.push_str("      pause-before: true\n");
        }
    }

    fn orquesta(&self) -> String {
        let mut text = String::from("version: 1.0\ntasks:\n");
        for task in 0..self.tasks {
            let _ = writeln!(text, "  t{task}:");
            match self.action() {
                (action, Some(cmd)) => drop(writeln!(text, "    action: {action} cmd=\"{cmd}\"")),
                (action, None) => drop(writeln!(text, "    action: {action}")),
            }
            if let Some(join) = self.join(task) {
                let _ = writeln!(text, "    join: {join}");
            }
            if self.dice.chance(20) {
                let items: Vec<String> = (0..self.dice.below(4)).map(|n| n.to_string()).collect();
                let _ = writeln!(text, "    with:\n      items: i in <% list({}) %>", items.join(", "));
                if self.dice.chance(50) {
                    let _ = writeln!(text, "      concurrency: {}", 1 + self.dice.below(2));
                }
            }
            if self.dice.chance(20) {
                let (count, delay) = (1 + self.dice.below(3), self.dice.below(3));
                let _ = writeln!(text, "    retry:\n      count: {count}\n      delay: {delay}");
            }
            if self.dice.chance(10) {
                let _ = writeln!(text, "    delay: {}", 1 + self.dice.below(3));
            }
            self.orquesta_next(&mut text, task);
        }
        text
    }

    fn orquesta_next(&self, text: &mut String, task: usize) {
        let mut begun = false;
        for (when, on_failure) in [("succeeded()", false), ("failed()", true)] {
            let mut next: Vec<String> = self.targets(task, on_failure).iter().map(|to| format!("t{to}")).collect();
            if next.is_empty() && on_failure && self.dice.chance(20) {
                next.push(["fail", "noop", "continue"][self.dice.below(3) as usize].into());
            }
            if next.is_empty() {
                continue;
            }
            if !std::mem::replace(&mut begun, true) {
                text.push_str("    next:\n");
            }
            let _ = writeln!(text, "      - when: <% {when} %>");
            if self.dice.chance(40) {
                let _ = writeln!(text, "        publish:\n          - p{task}: <% result() %>");
            }
            let _ = writeln!(text, "        do: [{}]", next.join(", "));
        }
    }
}
