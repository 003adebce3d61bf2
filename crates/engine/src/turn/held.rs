//! Confirmations in a turn: what must wait, what an answer or a deadline does to it, all in the commit of the tree.
//!
//! Start reading at [`Turn::passes`], through which everything goes that starts, and [`Turn::confirm`].

use super::*;
use crate::asking::{Asker, Before, Demanded, Opened, Waiting, Wanted};
use crate::confirmation::decide::To;
use crate::confirmation::looks::Found;
use crate::confirmation::record::{Cause as Why, State as Standing};
use crate::confirmation::texts::Text;
use crate::confirmation::{Decision, Record};
use crate::inbox;
use crate::looking::Stage;
use crate::noting::{Noting, SecretVersion, Seen};
use squall_content::{Action, Alias};
use std::collections::BTreeSet;
use std::sync::Arc;

impl<'a> Turn<'a> {
    pub(super) fn asker(&self) -> Asker<'a> {
        Asker {
            content: self.around.content,
            store: self.around.store,
            ids: self.around.ids,
            settings: self.around.settings,
            now: self.around.now,
            length: self.around.length,
            paces: self.around.paces,
            opened: self.opened,
        }
    }

    // ---- before it starts --------------------------------------------------------------------------------------

    /// The last gate, through which every start goes: the final parameters, or why it does not start.
    ///
    /// What people were asked about must have been released, lately, and still be the same; its parameters are those that were
    /// shown. What nobody was asked about passed the gate in this very turn, or passes it now: a delayed start, the rest of
    /// a long turn, one that recovery found.
    pub(super) fn passes(&mut self, id: ExecutionId, action: &Arc<Action>) -> Result<(Map, Map), Outcome> {
        let prepared = self.around.content.prepared(action);
        let Some(execution) = self.tree.executions.get(&id).cloned() else { return Err(Outcome::failed("gone")) };
        if asking::is_frozen(&execution) {
            self.still_released(&execution)?;
            return Ok(prepared.divided(&execution.request.params));
        }
        if let Some(all) = self.cleared.remove(&id) {
            return Ok(prepared.divided(&all));
        }
        let (all, secrets) = self.finals(&execution, action)?;
        let demanded = self.demanded(&execution, action, &all, secrets).map_err(Outcome::failed)?;
        if !demanded.is_nothing() {
            let text = format!(
                "{} asks for a confirmation by now ({}), and nobody was asked: run it again",
                action.reference,
                demanded.ids().join(", ")
            );
            return Err(Outcome::failed(text));
        }
        self.ops.extend(demanded.exemption_ops(&execution, self.around.now));
        Ok(prepared.divided(&all))
    }

    /// Final parameters as they are now, with the secrets that they are made of.
    fn finals(&self, execution: &Execution, action: &Action) -> Result<(Map, Vec<SecretVersion>), Outcome> {
        let context = execution.context();
        let config = self.around.content.config(&action.reference.pack);
        let lookup = self.lookup(&context);
        let seen = Seen::default();
        let host = Noting { host: &lookup, seen: &seen };
        let around = params::Around { context: &context, config, host: &host };
        let prepared = self.around.content.prepared(action);
        let (runner, own) = params::finals(&prepared, &execution.request.params, &around)?;
        Ok((runner.into_iter().chain(own).collect(), seen.versions(&lookup.data, &lookup.user)))
    }

    fn demanded(
        &self,
        execution: &Execution,
        action: &Arc<Action>,
        all: &Map,
        secrets: Vec<SecretVersion>,
    ) -> Result<Demanded, String> {
        let root = self.root();
        let alias = asking::alias_of(execution, self.around.content);
        let wanted = Wanted {
            alias: alias.as_deref(),
            root: root.as_ref().unwrap_or(execution),
            covered: execution.parent.map(|parent| self.covered(parent)).unwrap_or_default(),
            ..Wanted::new(execution, action, all, secrets)
        };
        let host = self.lookup(&execution.request.context);
        self.asker().demand(&wanted, &host)
    }

    /// The topmost execution, which may be over when several stand beside each other.
    pub(super) fn root(&self) -> Option<Execution> {
        let known = self.tree.executions.get(&self.tree.root).cloned();
        known.or_else(|| self.around.store.execution(self.tree.root).ok().flatten())
    }

    /// Whether what people were asked about may start now.
    fn still_released(&self, execution: &Execution) -> Result<(), Outcome> {
        let Some(record) = self.record_of(execution.id) else {
            return Err(Outcome::failed("its confirmation cannot be found; nothing was started"));
        };
        if record.state != Standing::Released {
            return Err(Outcome::failed(format!("its confirmation is {}, not released", record.state.as_str())));
        }
        self.is_young(&record, execution)?;
        // What was released in this turn was looked at in it.
        if self.decided.contains_key(&record.id.to_string()) {
            return Ok(());
        }
        let held = self.held(&record);
        let root = self.root().unwrap_or_else(|| execution.clone());
        self.asker().recheck(&record, &held, &root).map_err(|cause| refused("void", Some(cause.text())))
    }

    /// Whether a yes is young enough for a start now.
    fn is_young(&self, record: &Record, execution: &Execution) -> Result<(), Outcome> {
        let delay = execution.request.delay_ms;
        let planned = (delay > 0).then(|| execution.created.after(Duration::from_millis(delay)));
        let young = record.may_start(self.around.now, planned);
        if young { Ok(()) } else { Err(refused("confirmation too old", Some(self.why_old(record, execution)))) }
    }

    /// What made a run wait until the yes was too old, and how to get it to run.
    fn why_old(&self, record: &Record, execution: &Execution) -> String {
        let released = record.ending.as_ref().map(|ending| ending.at);
        let has_waited = |(at, status): &(Timestamp, Status)| *status == Status::Delayed && released <= Some(*at);
        let policy = self.around.content.few(&execution.request.action).first();
        let what = match policy.filter(|_| execution.log.iter().any(has_waited)) {
            Some(policy) => {
                let most = policy.parameters.get("threshold").and_then(Value::as_int).unwrap_or(0);
                format!("it waited for its turn, because policy `{}` lets {most} of it run at once", policy.reference)
            }
            None if execution.status == Status::Scheduled => "it waited for a worker".to_owned(),
            None => "it did not start in that time".to_owned(),
        };
        let within = confirmation::texts::human(Duration::from_secs(record.start_within));
        format!("a yes counts for {within}, and {what}; run it again to be asked again")
    }

    /// The same for what has waited for a worker meanwhile; what nobody was asked about is always fresh.
    pub(super) fn is_fresh(&self, execution: &Execution) -> Result<(), Outcome> {
        if !asking::is_frozen(execution) {
            return Ok(());
        }
        let record = self.record_of(execution.id);
        let record = record.ok_or_else(|| Outcome::failed("its confirmation cannot be found; nothing was started"))?;
        self.is_young(&record, execution)
    }

    // ---- tasks -------------------------------------------------------------------------------------------------

    /// Holds a task of a workflow when somebody must be asked about it; a release further up covers its own rules.
    pub(super) fn ask_about(&mut self, mut child: Execution) -> Result<Execution, String> {
        let registry = self.around.content.registry();
        let Some(action) = registry.action(&child.request.action).cloned() else { return Ok(child) };
        // What cannot be rendered fails when it starts, in this turn or at the gate of a later one.
        let Ok((all, secrets)) = self.finals(&child, &action) else { return Ok(child) };
        let demanded = self.demanded(&child, &action, &all, secrets.clone())?;
        if demanded.is_nothing() {
            self.ops.extend(demanded.exemption_ops(&child, self.around.now));
            self.cleared.insert(child.id, all);
            return Ok(child);
        }
        let root = self.root().ok_or("its workflow cannot be found")?;
        let wanted = [Wanted { root: &root, ..Wanted::new(&child, &action, &all, secrets) }];
        let asker = self.asker();
        let Some(joined) = asker.join(&wanted, &[demanded])? else { return Ok(child) };
        match asker.open(&wanted, joined, &Before::default())? {
            Opened::Joined(record) => Err(format!("the same request is already waiting as confirmation {}", record.id)),
            Opened::Looked(first) => Err(format!("the same request is already waiting as execution {first}")),
            Opened::Held(decision) => {
                asking::hold(&mut child, &action, all, &Waiting::Asked(&decision.record), &Value::Null);
                self.take_decision(&decision, None);
                Ok(child)
            }
            Opened::Looks(stage, _) => {
                asking::hold(&mut child, &action, all, &Waiting::Looks(&stage), &Value::Null);
                self.look_first(stage);
                Ok(child)
            }
        }
    }

    /// Holds a retry, which is the root of a tree of its own, when somebody must be asked about it: a release is for one run.
    pub fn ask_about_retry(
        &mut self,
        mut next: Execution,
        action: &Arc<Action>,
        call: &Value,
    ) -> Result<Execution, String> {
        // What cannot be rendered fails when it starts.
        let Ok((all, secrets)) = self.finals(&next, action) else { return Ok(next) };
        let alias = asking::alias_of(&next, self.around.content);
        let asker = self.asker();
        let decision = {
            let wanted = [Wanted { alias: alias.as_deref(), call, ..Wanted::new(&next, action, &all, secrets) }];
            let demanded = asker.demand(&wanted[0], &self.lookup(&next.request.context))?;
            // What nobody is asked about passes the gate once more when it starts.
            let joined = if demanded.is_nothing() { None } else { asker.join(&wanted, &[demanded])? };
            let Some(joined) = joined else { return Ok(next) };
            match asker.open(&wanted, joined, &Before::default())? {
                Opened::Joined(record) => {
                    return Err(format!("the same request waits already as confirmation {}", record.id));
                }
                Opened::Looked(first) => return Err(format!("the same request waits already as execution {first}")),
                Opened::Held(decision) => decision,
                Opened::Looks(stage, _) => {
                    asking::hold(&mut next, action, all, &Waiting::Looks(&stage), call);
                    self.look_first(stage);
                    return Ok(next);
                }
            }
        };
        asking::hold(&mut next, action, all, &Waiting::Asked(&decision.record), call);
        self.tell_bot(&decision, None);
        for op in asking::ops(&decision, None, next.id, self.around.now) {
            match op {
                Op::Post(message) => self.post(*message),
                Op::SetDue(due) => self.set_due(due),
                other => self.ops.push(other),
            }
        }
        Ok(next)
    }

    /// Rules that releases of `id` and of everything above it cover.
    fn covered(&self, id: ExecutionId) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut at = Some(id);
        while let Some(execution) = at.and_then(|id| self.tree.executions.get(&id)) {
            if asking::is_frozen(execution)
                && let Some(record) = self.record_of(execution.id)
            {
                all.extend(record.covers());
            }
            at = execution.parent;
        }
        all
    }

    /// The confirmation of an execution, as this turn knows it.
    pub(super) fn record_of(&self, id: ExecutionId) -> Option<Record> {
        let is_about = |record: &&Record| record.runs.iter().any(|(run, _)| *run == id);
        // A successor is younger than what it succeeds.
        if let Some(record) = self.decided.values().filter(is_about).max_by_key(|record| record.id) {
            return Some(record.clone());
        }
        let row = self.around.store.confirmation_of(id).ok().flatten()?;
        Record::from_json(&row.json).ok()
    }

    fn held(&self, record: &Record) -> Vec<Execution> {
        let stored = |id: &ExecutionId| self.around.store.execution(*id).ok().flatten();
        let known = |id: &ExecutionId| self.tree.executions.get(id).cloned().or_else(|| stored(id));
        record.runs.iter().filter_map(|(id, _)| known(id)).collect()
    }

    // ---- while it waits ----------------------------------------------------------------------------------------

    /// Something happened to a confirmation: decide, and carry out the decision in this commit.
    pub(super) fn confirm(&mut self, id: &str, event: &Event, inbox: Option<&str>) -> Answer {
        if let Some(key) = inbox {
            self.ops.push(Op::DropEntry { list: inbox::LIST.into(), key: key.to_owned() });
        }
        let record = match self.read_record(id) {
            Ok(record) => record,
            Err(refusal) => return Answer::Refused(refusal),
        };
        // The tree may be over; whatever is said now comes too late, and is told so.
        let Some(root) = self.root() else { return Answer::Refused(Refusal::no_execution(self.tree.root)) };
        let held = self.held(&record);
        let mut decision = self.asker().decide(&record, event, &held, &root);
        let successor = decision.ask_again.then(|| self.successor(&decision.record, &held, &root));
        if let Some(Ok(_)) = &successor {
            decision.effect = None;
        }
        self.take_decision(&decision, Some(record.version));
        let untold = match successor {
            Some(Ok(next)) => {
                self.wait_for(&held, next);
                None
            }
            Some(Err(why)) => Some(why),
            None => None,
        };
        if let Event::Answer(answer) = event {
            self.once(answer, &decision.record);
        }
        if let (Event::Answer(answer), Some(until)) = (event, decision.review_until) {
            self.ops.push(crate::reviews::op(&decision.record, &answer.by.id, self.around.now, until));
        }
        self.carry_out(&decision);
        let told = match untold {
            Some(why) => Some(format!("It cannot be asked about anew: {why}.")),
            None => decision.told(),
        };
        Answer::Confirmed { outcome: decision.outcome, told }
    }

    /// Held runs wait for what they are asked about now, or for what must be found out before.
    fn wait_for(&mut self, held: &[Execution], next: Next) {
        let shown = match next {
            Next::Asked(decision) => {
                self.take_decision(&decision, None);
                decision.record.to_value()
            }
            Next::Looks(stage) => {
                let shown = stage.to_value();
                self.look_first(stage);
                shown
            }
        };
        for execution in held {
            let result = Value::from_pairs([("confirmation", shown.clone())]);
            self.change(execution.id, Change { result: Some(result), ..Change::default() });
        }
    }

    /// Something must be found out before anybody is asked. It begins after the commit.
    fn look_first(&mut self, stage: Box<Stage>) {
        self.opened += 1;
        self.ops.extend(stage.ops());
        self.effects.push(Effect::Look(stage));
    }

    /// What had to be found out is known: now people are asked, under the rules of now.
    pub(super) fn looked(&mut self, stage: &Stage, found: &Found) {
        self.ops.extend(stage.done());
        for id in &stage.runs {
            self.effects.push(Effect::Opened(*id));
        }
        let held: Vec<Execution> = stage.runs.iter().filter_map(|id| self.tree.executions.get(id).cloned()).collect();
        let waits = |execution: &Execution| execution.status == Status::Pending;
        let is_asked = stage.runs.first().and_then(|id| self.record_of(*id)).is_some_and(|r| r.id == stage.id);
        let Some(root) = self.root().filter(|_| !is_asked) else { return };
        if held.len() < stage.runs.len() || !held.iter().all(waits) {
            // One of several was canceled, and all of them are asked about together.
            for execution in held.iter().filter(|e| waits(e)) {
                self.end(execution.id, canceled(crate::people::SYSTEM_USER));
            }
            return;
        }
        match self.after_looking(stage, found, &held, &root) {
            Ok(next) => self.wait_for(&held, next),
            Err(why) => {
                for execution in &held {
                    self.end(execution.id, Outcome::failed(why.clone()));
                }
            }
        }
    }

    fn after_looking(
        &self,
        stage: &Stage,
        found: &Found,
        held: &[Execution],
        root: &Execution,
    ) -> Result<Next, String> {
        let now = self.joined_now(held, root)?;
        let (joined, actions) = now.ok_or("the rules changed meanwhile and ask nobody any more: run it again")?;
        let aliases = vec![None; held.len()];
        let mut wanted = self.wanted(held, root, &actions, &aliases);
        if let Some(first) = wanted.first_mut() {
            first.command.clone_from(&stage.command);
            first.secrets.clone_from(&stage.secrets);
        }
        let before = Before { earlier: stage.earlier, id: Some(stage.id), found: Some(found) };
        match self.asker().open(&wanted, joined, &before)? {
            Opened::Held(decision) => Ok(Next::Asked(decision)),
            Opened::Looks(stage, _) => Ok(Next::Looks(stage)),
            Opened::Joined(record) => Err(format!("the same request waits already as confirmation {}", record.id)),
            Opened::Looked(first) => Err(format!("the same request waits already as execution {first}")),
        }
    }

    /// A message on a network answers once, however often the network delivers it.
    fn once(&mut self, answer: &confirmation::decide::Answer, record: &Record) {
        // Bots in front of squall give their messages no names.
        let message = answer.message.as_ref().filter(|message| !message.is_empty());
        let (Some(place), Some(message)) = (&answer.place, message) else { return };
        let Some((execution, _)) = record.runs.first() else { return };
        let key = format!("answer/{}/{}/{message}", place.network, place.channel);
        self.ops.push(Op::Taken { key, execution: *execution, at: self.around.now });
    }

    fn read_record(&self, id: &str) -> Result<Record, Refusal> {
        if let Some(record) = self.decided.get(id) {
            return Ok(record.clone());
        }
        match self.around.store.confirmation(id)? {
            Some(row) => Record::from_json(&row.json).map_err(|error| Refusal::Broken(error.to_string())),
            None => Err(Refusal::Unknown(format!("There is no open confirmation {id}."))),
        }
    }

    /// What becomes of the executions: they start, or end.
    fn carry_out(&mut self, decision: &Decision) {
        match &decision.effect {
            Some(confirmation::decide::Effect::Release { .. }) => {
                for (run, _) in &decision.record.runs {
                    if self.become_status(*run, Status::Requested, Change::default()) {
                        self.late_acknowledgement(*run);
                        self.starts.push_back(*run);
                    }
                }
            }
            Some(confirmation::decide::Effect::End) => {
                if let Some((status, result)) = decision.record.result() {
                    for (run, _) in &decision.record.runs {
                        self.end(*run, Outcome { status, result: result.clone() });
                    }
                    self.go_on_after(decision);
                }
            }
            Some(confirmation::decide::Effect::LookAgain) => {
                self.effects.push(Effect::LookAgain(Box::new(decision.record.clone())));
            }
            None => {}
        }
    }

    /// Something has changed that open confirmations are about.
    pub(super) fn review(&mut self, id: &str) -> Answer {
        let record = match self.read_record(id) {
            Ok(record) => record,
            Err(refusal) => return Answer::Refused(refusal),
        };
        // What is over, or will be as soon as its deadline is taken, needs no look.
        if record.state.is_final() || self.around.now >= record.expires_at {
            return Answer::Done;
        }
        let held = self.held(&record);
        let Some(root) = self.root() else { return Answer::Done };
        let event = if self.asker().is_gone(&record) {
            Event::Cancel { by: String::new(), cause: Why::RequesterGone }
        } else if self.asker().recheck(&record, &held, &root).is_err() {
            Event::Recheck
        } else if self.asked_for_more(&record, &held, &root) {
            Event::Superseded
        } else {
            return Answer::Done;
        };
        self.confirm(id, &event, None)
    }

    /// What the rules of now demand of the held executions.
    fn joined_now(&self, held: &[Execution], root: &Execution) -> Result<Option<Now>, String> {
        let (mut actions, mut aliases): (Vec<Arc<Action>>, Vec<Option<Arc<Alias>>>) = Default::default();
        for execution in held {
            let action = self.around.content.registry().action(&execution.request.action);
            actions.push(action.cloned().ok_or("its action is gone")?);
            aliases.push(asking::alias_of(execution, self.around.content));
        }
        let wanted = self.wanted(held, root, &actions, &aliases);
        let asker = self.asker();
        let mut demanded = Vec::new();
        for one in &wanted {
            let host = self.lookup(&one.execution.request.context);
            demanded.push(asker.demand(one, &host)?);
        }
        Ok(asker.join(&wanted, &demanded)?.map(|joined| (joined, actions)))
    }

    fn wanted<'w>(
        &self,
        held: &'w [Execution],
        root: &'w Execution,
        actions: &'w [Arc<Action>],
        aliases: &'w [Option<Arc<Alias>>],
    ) -> Vec<Wanted<'w>> {
        let one = |((execution, action), alias): ((&'w Execution, &'w Arc<Action>), &'w Option<Arc<Alias>>)| Wanted {
            execution,
            action,
            alias: alias.as_deref(),
            root,
            params: &execution.request.params,
            secrets: Vec::new(),
            covered: execution.parent.map(|parent| self.covered(parent)).unwrap_or_default(),
            command: None,
            call: asking::call_of(execution),
        };
        held.iter().zip(actions).zip(aliases).map(one).collect()
    }

    /// Whether the rules of now want more than the record does.
    fn asked_for_more(&self, record: &Record, held: &[Execution], root: &Execution) -> bool {
        if record.kind != confirmation::record::Kind::Gate {
            return false;
        }
        match self.joined_now(held, root) {
            Ok(Some((joined, _))) => joined.wants_more_than(record),
            Ok(None) => false,
            // Rules that cannot be applied any more are more than what was asked.
            Err(_) => true,
        }
    }

    /// The same runs asked about anew, under the rules of now; votes are not carried over, what was found out is. Or why not.
    fn successor(&self, record: &Record, held: &[Execution], root: &Execution) -> Result<Next, String> {
        let asked = self.joined_now(held, root).and_then(|found| {
            let (joined, actions) = found.ok_or("nothing asks about it any more, so run it again")?;
            let aliases = vec![None; held.len()];
            let mut wanted = self.wanted(held, root, &actions, &aliases);
            if let Some(first) = wanted.first_mut() {
                first.command.clone_from(&record.command);
                first.secrets.clone_from(&record.secrets);
            }
            let before = Before { earlier: Some(record.id), id: None, found: Some(&record.found) };
            self.asker().open(&wanted, joined, &before)
        });
        let asked = match asked {
            Ok(Opened::Held(decision)) => Ok(Next::Asked(decision)),
            Ok(Opened::Looks(stage, _)) => Ok(Next::Looks(stage)),
            Ok(Opened::Joined(other)) => Err(format!("the same request waits already as confirmation {}", other.id)),
            Ok(Opened::Looked(first)) => Err(format!("the same request waits already as execution {first}")),
            Err(why) => Err(why),
        };
        asked.inspect_err(|why| tracing::warn!(confirmation = %record.id, %why, "it cannot be asked about anew"))
    }

    /// Withdraws what is open about an execution; answers whether there was anything.
    pub(super) fn withdraw(&mut self, id: ExecutionId, by: &str, cause: Why) -> bool {
        let Some(record) = self.record_of(id).filter(|record| !record.state.is_final()) else { return false };
        self.confirm(&record.id.to_string(), &Event::Cancel { by: by.to_owned(), cause }, None);
        true
    }

    /// What a decision says in the room of a bot in front of squall: where a question stands, or the question itself. A question
    /// that a turn opens answers no request, so there is no caller who would post it.
    fn tell_bot(&mut self, decision: &Decision, expected: Option<u64>) {
        let record = &decision.record;
        let Some(label) = record.requester.label.as_ref().filter(|_| self.around.heard) else { return };
        let says = decision.says.iter();
        let texts: Vec<String> = match expected {
            None => says.filter(|say| say.to == To::Caller).map(|say| self.for_bot(record, &say.text)).collect(),
            Some(_) => says.filter(|say| say.to == To::Bot).map(|say| say.text.plain()).collect(),
        };
        let events = texts.into_iter().filter_map(|text| bots::told(label, text));
        self.effects.extend(events.map(Effect::Publish));
    }

    fn for_bot(&self, record: &Record, question: &Text) -> String {
        match self.around.settings.trust_legacy_bots {
            true => question.plain(),
            false => bots::question(record),
        }
    }

    /// The alias's own acknowledgement, once what it speaks of starts; the default one would only repeat the release.
    fn late_acknowledgement(&mut self, id: ExecutionId) {
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let content = self.around.content;
        let has_format = |a: &Arc<Alias>| a.ack.as_ref().is_some_and(|ack| ack.get("format").is_some());
        let Some(alias) = asking::alias_of(execution, content).filter(has_format) else { return };
        let ack = report::acknowledgement(execution, &alias, content, self.around.settings);
        let Some(mut body) = ack else { return };
        if let Some(reply) = execution.request.reply_to.clone() {
            body.insert("user".into(), reply.user.as_str().into());
            self.post(report::outgoing(&reply, body, format!("ack/{id}"), self.around.now));
        } else if let Some(label) = asking::label(execution).filter(|_| self.around.heard) {
            let text = body.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
            self.effects.extend(bots::told(&label, text).map(Effect::Publish));
        }
    }

    /// The confirmation ended long ago: what was held keeps its parameters, but for the secret ones. What is still under way
    /// needs them, and is looked at again.
    pub(super) fn erase_secrets(&mut self, due: &Due) {
        let Some(record) = self.record_of(due.owner) else { return };
        for (id, _) in &record.runs {
            let known = self.tree.executions.get(id).cloned();
            let is_stored = known.is_none();
            let known = known.or_else(|| self.around.store.execution(*id).ok().flatten());
            let Some(execution) = known else { continue };
            if !execution.status.is_final() {
                self.set_due(Due { at: self.around.now.after(LOOK_AGAIN), ..due.clone() });
                continue;
            }
            let Some(request) = asking::erased(&execution) else { continue };
            let change = Change { erased: Some(Arc::new(request)), ..Change::default() };
            match is_stored {
                true => self.ops.push(Op::Update { id: *id, version: execution.version, change: Box::new(change) }),
                false => self.change(*id, change),
            }
        }
    }

    /// Writes what a decision says into the batch.
    pub(super) fn take_decision(&mut self, decision: &Decision, expected: Option<u64>) {
        self.write_shared();
        self.opened += usize::from(expected.is_none());
        let ops = asking::ops(decision, expected, self.tree.root, self.around.now);
        self.tell_bot(decision, expected);
        self.decided.insert(decision.record.id.to_string(), decision.record.clone());
        for op in ops {
            match op {
                Op::Post(message) => self.post(*message),
                Op::SetDue(due) => self.set_due(due),
                other => self.ops.push(other),
            }
        }
    }
}

/// What held runs wait for next.
enum Next {
    Asked(Box<Decision>),
    Looks(Box<Stage>),
}

/// When secrets of something that has not ended are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(86_400);

/// What the rules of now demand, and the actions that it is about.
type Now = (confirmation::policy::Joined, Vec<Arc<Action>>);

/// How something ends that was released and does not start after all.
fn refused(error: &str, cause: Option<String>) -> Outcome {
    let mut result = Map::new();
    result.insert("error".into(), error.into());
    if let Some(cause) = cause {
        result.insert("cause".into(), cause.into());
    }
    Outcome { status: Status::Failed, result: result.into() }
}
