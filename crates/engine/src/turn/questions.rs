//! Questions that are steps of their own: `squall.confirm` and `core.ask`. The record opens in the commit that makes the
//! task pending, so no answer can come before it.
//!
//! Start reading at [`Turn::question`].

use super::*;
use crate::asking::Opened;
use crate::confirmation::code::Code;
use crate::confirmation::decide::{Decision, Opening};
use crate::confirmation::declare::{Ask, Declared, Origin, Reason, Rule, Way, declared};
use crate::confirmation::digest::{Digest, canonical, sha256_hex};
use crate::confirmation::looks::Found;
use crate::confirmation::people::{Assurance, PersonId, Requester, Requirement, Who};
use crate::confirmation::policy::join;
use crate::confirmation::record::{ConfirmationId, Kind, State as Standing, Task};
use crate::confirmation::texts::{ShownRun, shown_name, shown_text, shown_value};
use squall_content::Action;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// An inquiry without an end: a hundred years, so that its time is still a time.
const NEVER: u64 = 100 * 366 * 86_400;

/// Whether an action is a question.
fn kind(action: &Action) -> Option<Kind> {
    match action.runner.name {
        "inquirer" => Some(Kind::Inquiry),
        "native" if action.reference.to_string() == "squall.confirm" => Some(Kind::Task),
        _ => None,
    }
}

/// What a question wants, read from its parameters.
struct Wish {
    rule: Rule,
    task: Task,
    shown: ShownRun,
    inherit: bool,
    once: bool,
}

impl Turn<'_> {
    /// Asks, when the action is a question; answers whether it was.
    pub(super) fn question(&mut self, id: ExecutionId, action: &Arc<Action>, runner: &Map, own: &Map) -> bool {
        let Some(kind) = kind(action) else { return false };
        let wish = match kind {
            Kind::Inquiry => Ok(inquiry(action, runner)),
            // Run by itself, its parameters are words of whoever asks, not of a workflow's author.
            Kind::Task | Kind::Gate => {
                let is_root = self.tree.executions.get(&id).is_none_or(|execution| execution.parent.is_none());
                task(if is_root { Origin::Call } else { Origin::Task }, action, own)
            }
        };
        let asked = wish.and_then(|wish| self.put(id, kind, wish));
        if let Err(why) = asked {
            self.end(id, Outcome::failed(why));
        }
        true
    }

    fn put(&mut self, id: ExecutionId, kind: Kind, wish: Wish) -> Result<(), String> {
        let digest = self.digest_of(id, kind, &wish);
        if wish.once
            && let Some(record) = self.equal_question(id, &digest)
        {
            self.share(id, &record);
            return Ok(());
        }
        let execution = self.tree.executions.get(&id).cloned().ok_or("gone")?;
        let root = self.root().ok_or("its workflow cannot be found")?;
        let asker = self.asker();
        let mut requester = asker.frozen_requester(&root);
        if !wish.inherit {
            requester = Requester {
                person: PersonId::label(&format!("workflow {}", root.id)),
                shown: root.request.action.to_string(),
                identities: Vec::new(),
                assurance: Assurance::A0,
                agent: None,
                through: None,
                label: None,
            };
        }
        let origin = asking::place(&root);
        // How many inquiries somebody has open StackStorm does not mind.
        match kind {
            Kind::Inquiry => asker.fits(None, None)?,
            Kind::Task | Kind::Gate => asker.fits(Some(&requester), origin.as_ref())?,
        }
        let joined = join(&[Arc::new(wish.rule)], origin.is_some()).ok_or("nobody is asked")?;
        let opening = Opening {
            id: ConfirmationId::draw(self.around.ids, self.around.now),
            code: Code::draw(self.around.ids, self.around.length, |code| asker.is_taken(code)),
            kind,
            runs: vec![(id, wish.shown)],
            digest,
            requester,
            editors: Vec::new(),
            run_as: asking::user(&execution),
            source: asking::source(&root),
            origin,
            command: None,
            places: if kind == Kind::Inquiry { Vec::new() } else { asker.places(&joined, &root, None) },
            joined,
            secrets: Vec::new(),
            epoch: asker.epoch(),
            task: Some(wish.task),
            retry_of: None,
            found: Found::default(),
            wish: None,
        };
        let Opened::Held(decision) = asker.hold(opening)? else { return Err("it is asked already".into()) };
        self.take_decision(&decision, None);
        let waiting = waiting(&decision.record);
        let change = Change { result: Some(waiting), ..Change::default() };
        self.become_status(id, Status::Pending, change);
        if kind == Kind::Inquiry {
            // Languages pause a workflow that waits for an inquiry; a confirmation lets the other branches go on.
            self.tell_parent(id, Status::Pending, &Value::Null);
        }
        Ok(())
    }

    /// What exactly is asked: words, values and people. Equal questions are equal here.
    fn digest_of(&self, id: ExecutionId, kind: Kind, wish: &Wish) -> Digest {
        let parent = self.tree.executions.get(&id).and_then(|e| e.parent);
        let own = if wish.once { String::new() } else { id.to_string() };
        let shown = wish.shown.params.iter().map(|(k, v)| Value::from(vec![k.as_str().into(), v.as_str().into()]));
        let whole = Value::from_pairs([
            ("v", Value::Int(1)),
            ("kind", (if kind == Kind::Inquiry { "inquiry" } else { "task" }).into()),
            ("execution", own.into()),
            ("parent", parent.map(|p| p.to_string()).into()),
            ("message", wish.task.message.as_str().into()),
            ("show", shown.collect::<Vec<_>>().into()),
            ("schema", Value::from(&wish.task.schema)),
            ("rule", wish.rule.sha.as_str().into()),
        ]);
        Digest::of(&canonical(&whole))
    }

    /// The id of a question of the same workflow that is the same, and waits or was granted; this turn knows it then.
    fn equal_question(&mut self, id: ExecutionId, digest: &Digest) -> Option<String> {
        self.tree.executions.get(&id)?.parent?;
        let fits = |r: &confirmation::Record| {
            r.kind == Kind::Task && r.digest == *digest && matches!(r.state, Standing::Open | Standing::Released)
        };
        if let Some((id, _)) = self.decided.iter().rev().find(|(_, record)| fits(record)) {
            return Some(id.clone());
        }
        let filter = squall_store::ConfirmationFilter { root: Some(self.tree.root), ..Default::default() };
        let page = squall_store::Page { offset: 0, limit: 1_000 };
        let (rows, _) = self.around.store.confirmations(&filter, page).ok()?;
        let unknown = rows.iter().filter(|row| !self.decided.contains_key(&row.id));
        let stored = unknown.filter_map(|row| confirmation::Record::from_json(&row.json).ok());
        let record = stored.filter(fits).max_by_key(|record| record.id)?;
        let id = record.id.to_string();
        self.decided.insert(id.clone(), record);
        Some(id)
    }

    /// One more item that waits for the same answer, or has it already.
    fn share(&mut self, id: ExecutionId, which: &str) {
        let Some(record) = self.decided.get_mut(which) else { return };
        if let Some((status, result)) = record.result() {
            return self.end(id, Outcome { status, result });
        }
        // Nothing is shown of it: the question is that of the first.
        record.runs.push((id, ShownRun::default()));
        if let Entry::Vacant(first) = self.shared.entry(which.to_owned()) {
            first.insert(record.version);
            record.version += 1;
        }
        let change = Change { result: Some(waiting(record)), ..Change::default() };
        self.become_status(id, Status::Pending, change);
    }

    /// Writes the questions that more items share by now, before anything else is written of them.
    pub(super) fn write_shared(&mut self) {
        for (id, expected) in std::mem::take(&mut self.shared) {
            let Some(record) = self.decided.get(&id) else { continue };
            let row = asking::row(record, self.tree.root);
            self.ops.push(Op::PutConfirmation { row: Box::new(row), expected: Some(expected) });
        }
    }

    /// After an inquiry: what paused for it goes on.
    pub(super) fn go_on_after(&mut self, decision: &Decision) {
        if decision.record.kind != Kind::Inquiry {
            return;
        }
        let parent = decision.record.runs.first().and_then(|(id, _)| self.tree.executions.get(id)?.parent);
        let waits = |status| matches!(status, Status::Pausing | Status::Paused);
        let by = || crate::people::SYSTEM_USER.to_owned();
        for id in [Some(self.tree.root), parent].into_iter().flatten() {
            if self.tree.executions.get(&id).is_some_and(|e| waits(e.status)) {
                self.causes.push_back(Cause::Resume { id, by: by() });
                return;
            }
        }
    }
}

/// What the execution shows while it waits.
fn waiting(record: &confirmation::Record) -> Value {
    let mut result = match record.inquiry() {
        Value::Map(map) => (*map).clone(),
        _ => Map::new(),
    };
    result.insert("confirmation".into(), record.to_value());
    result.into()
}

/// `squall.confirm`
fn task(origin: Origin<'_>, action: &Action, own: &Map) -> Result<Wish, String> {
    let get = |name: &str| own.get(name).filter(|value| !value.is_null());
    let mut declaration = Map::new();
    for name in ["require", "timeout", "ask"] {
        if let Some(value) = get(name) {
            declaration.insert(name.into(), value.clone());
        }
    }
    // One requirement or a list of them, as people write it.
    if let Some(one @ Value::Map(_)) = declaration.get("require").cloned() {
        declaration.insert("require".into(), vec![one].into());
    } else if let Some(Value::Str(who)) = declaration.get("require").cloned() {
        declaration.shift_remove("require");
        declaration.insert("by".into(), who.into());
    }
    let rule = match declared(origin, &declaration.into()) {
        Ok(Declared::Rule(rule)) => (*rule).clone(),
        Ok(Declared::Nothing | Declared::Named(_)) => return Err("`require` names nobody".into()),
        Err(problems) => {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(format!("squall.confirm cannot ask: {}", texts.join("; ")));
        }
    };
    let text = get("message").and_then(Value::as_str).unwrap_or_default();
    let message: String = text.chars().take(MESSAGE).collect();
    let shown = get("show").and_then(Value::as_map).cloned().unwrap_or_default();
    let truthy = |name: &str| get(name).map(Value::is_truthy);
    Ok(Wish {
        rule,
        shown: ShownRun {
            action: action.reference.to_string(),
            impact: vec![shown_text(&message)],
            params: shown.iter().map(|(name, value)| (shown_name(name), shown_value(value))).collect(),
            ..ShownRun::default()
        },
        task: Task { message, schema: get("schema").map(json).unwrap_or_default(), ..Task::default() },
        inherit: truthy("inherit_requester").unwrap_or(true),
        once: truthy("once").unwrap_or(false),
    })
}

/// The longest message of a question.
const MESSAGE: usize = 1_000;

/// `core.ask`: users and roles must both fit; without any, everybody who may run things.
fn inquiry(action: &Action, runner: &Map) -> Wish {
    let texts = |name: &str| -> Vec<String> {
        let items = runner.get(name).and_then(Value::as_list).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (users, roles) = (texts("users"), texts("roles"));
    let ttl = runner.get("ttl").and_then(Value::as_int).unwrap_or(1_440);
    let timeout =
        u64::try_from(ttl).ok().filter(|minutes| *minutes > 0).map_or(NEVER, |m| m.saturating_mul(60).min(NEVER));
    let who: Vec<Who> = match (users.is_empty(), roles.is_empty()) {
        (false, _) => users.iter().cloned().map(Who::User).collect(),
        (true, false) => roles.iter().cloned().map(Who::Role).collect(),
        (true, true) => vec![Who::Anyone],
    };
    let rule = Rule {
        id: "inquiry".into(),
        why: "asked by a workflow".into(),
        require: vec![Requirement {
            who,
            count: 1,
            exclude_requester: false,
            exclude_editor: false,
            min_assurance: Assurance::A2,
            phrase: None,
            phrase_hint: None,
            rules: Vec::new(),
        }],
        ask: Ask { origin: false, also: Vec::new(), mention: Vec::new(), dm: false },
        show: Default::default(),
        ways: [Way::Api, Way::Cli, Way::Web].into(),
        ways_written: true,
        deny_reason: Reason::Optional,
        grant_reason: Reason::None,
        timeout,
        remind: Vec::new(),
        escalate: Vec::new(),
        break_glass: Vec::new(),
        deny_count: 1,
        deep: true,
        start_within: timeout,
        sha: sha256_hex(&canonical(&runner.clone().into())),
    };
    let route = runner.get("route").and_then(Value::as_str).unwrap_or_default().to_owned();
    Wish {
        rule,
        shown: ShownRun { action: action.reference.to_string(), ..ShownRun::default() },
        task: Task {
            schema: runner.get("schema").map(json).unwrap_or_default(),
            route,
            users,
            roles,
            ttl,
            ..Task::default()
        },
        inherit: true,
        once: false,
    }
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}
