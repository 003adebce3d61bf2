//! The gate of confirmation: who must be asked before something runs, and what becomes of what is held.
//!
//! `confirmation` decides without I/O; here its questions are answered from content and store, and its decisions become rows. The
//! same code holds a request from anywhere and a task of a workflow. Nothing runs before a decision in the same commit says so.
//!
//! Start reading at [`Asker::demand`] (is somebody to be asked?), [`Asker::open`] (ask) and [`Asker::decide`].

mod rows;

pub(crate) use rows::{Waiting, call_of, erased, erased_names, hold, ops, row};

use crate::closure;
use crate::confirmation::decide::{self, Decision, Event, Opening, Settings as Rules, World};
use crate::confirmation::declare::{Declared, DryRun, Origin, Rule, Show, declared};
use crate::confirmation::digest::{Asked, Digest, digest};
use crate::confirmation::limits::{OpenLimits, Paces, delay_moves_deadline};
use crate::confirmation::looks::{self, Found, Look};
use crate::confirmation::people::{Assurance, Directory, Identity, Label, Person, PersonId, Requester, Who};
use crate::confirmation::policy::{Exempted, Joined, Source, Stamp, Subject, join};
use crate::confirmation::record::{Cause, ConfirmationId, Kind, Place, Record};
use crate::confirmation::texts::{ShownRun, shown_run};
use crate::confirmation::{Code, code};
use crate::looking::Stage;
use crate::lookup::Datastore;
use crate::noting::SecretVersion;
use crate::people::{CHAT_USER, Principal, Role, SYSTEM_USER, Via, Wish, authorize, identities_of, linked_user};
use crate::{Content, Settings};
use squall_content::{Action, Alias};
use squall_expr::Host;
use squall_model::{ActionRef, Execution, ExecutionId, Ids, Map, Secret, Str, Timestamp, Value};
use squall_store::{ConfirmationFilter, Op, Page, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What asking needs to know of the world.
pub(crate) struct Asker<'a> {
    pub content: &'a Content,
    pub store: &'a dyn Store,
    pub ids: &'a dyn Ids,
    pub settings: &'a Settings,
    pub now: Timestamp,
    /// How long new codes are.
    pub length: code::Length,
    /// When questions left for each channel.
    pub paces: &'a Mutex<Paces>,
}

/// Something that may have to wait for people.
pub(crate) struct Wanted<'a> {
    pub execution: &'a Execution,
    pub action: &'a Arc<Action>,
    pub alias: Option<&'a Alias>,
    /// The topmost execution: whose people and place count.
    pub root: &'a Execution,
    /// Final parameters, runner's and own together.
    pub params: &'a Map,
    /// The secrets that they were made of.
    pub secrets: Vec<SecretVersion>,
    /// Rules that a release further up covers.
    pub covered: BTreeSet<String>,
    /// The command as typed.
    pub command: Option<String>,
    /// What the caller wants asked in addition, or null.
    pub call: &'a Value,
}

/// Which rules ask about something.
#[derive(Debug, Default)]
pub(crate) struct Demanded {
    rules: Vec<Arc<Rule>>,
    /// Rules about children that the root's question asks as well.
    pulled: Vec<(Arc<Rule>, ActionRef)>,
    exempted: Vec<Exempted>,
}

impl Demanded {
    /// Whether nobody is to be asked.
    pub fn is_nothing(&self) -> bool {
        self.rules.is_empty()
    }

    /// Ids of the rules that ask.
    pub fn ids(&self) -> Vec<String> {
        self.rules.iter().map(|rule| rule.id.clone()).collect()
    }

    /// One row of the audit log for each exemption that let something run unasked.
    pub fn exemption_ops(&self, execution: &Execution, now: Timestamp) -> Vec<Op> {
        let one = |used: &Exempted| Op::Audit {
            at: now,
            event: "exemption_used".into(),
            person: Some(PersonId::user(&user(execution)).as_str().to_owned()),
            confirmation: None,
            execution: Some(execution.id),
            data: Value::from_pairs([
                ("exemption", Value::from(used.id.as_str())),
                ("reason", used.reason.as_str().into()),
                ("action", execution.request.action.to_string().into()),
            ]),
        };
        self.exempted.iter().map(one).collect()
    }
}

/// Under this name the store keeps how often it was restored from a backup.
pub(crate) const EPOCH: &str = "epoch";
/// What went before a question.
#[derive(Clone, Copy, Default)]
pub(crate) struct Before<'a> {
    /// The confirmation whose place it takes.
    pub earlier: Option<ConfirmationId>,
    /// The id that it was promised.
    pub id: Option<ConfirmationId>,
    /// What was found out.
    pub found: Option<&'a Found>,
}

/// People who are asked in private at most.
const MOST_ASKED: usize = 20;
/// Users listed when a set is counted.
const USERS: u64 = 10_000;

impl<'a> Asker<'a> {
    /// Every rule that asks about something; none means that it may run. An error refuses the run.
    pub fn demand(&self, wanted: &Wanted<'_>, host: &dyn Host) -> Result<Demanded, String> {
        let mut declared = self.declared(wanted.action)?;
        if let Some(alias) = wanted.alias
            && let Some(value) = &alias.confirm
        {
            declared.push(read(Origin::Alias(&alias.reference), value)?);
        }
        declared.push(read(Origin::Call, wanted.call)?);
        let is_root = wanted.execution.parent.is_none() && wanted.action.definition.is_some();
        let says_nothing = declared.iter().all(|d| *d == Declared::Nothing);
        if says_nothing && self.content.policy().is_empty() && !is_root {
            return Ok(Demanded::default());
        }
        let (person, _) = self.requester(wanted.root);
        let tags: Vec<(Str, Str)> = tags(wanted.action);
        let channel = place(wanted.root).map(|p| p.channel_id());
        let prepared = self.content.prepared(wanted.action);
        let is_secret = |name: &str| prepared.is_secret(name);
        let subject = Subject {
            action: &wanted.action.reference,
            tags: &tags,
            alias: wanted.alias.map(|a| &a.reference),
            source: source(wanted.root),
            requester: &person,
            channel: channel.as_deref(),
            params: wanted.params,
            is_secret: &is_secret,
            is_task: wanted.execution.parent.is_some(),
            covered: &wanted.covered,
            host,
            now: self.now,
        };
        let policy = self.content.policy();
        let demand = policy.demand(&subject, &declared).map_err(|e| e.to_string())?;
        for doubt in &demand.doubts {
            tracing::warn!(execution = %wanted.execution.id, %doubt, "a condition failed and therefore asks");
        }
        let mut all = Demanded { rules: demand.rules, pulled: Vec::new(), exempted: demand.exempted };
        if is_root {
            all.pulled = self.pulled_up(wanted.action, &subject)?;
            for (rule, _) in &all.pulled {
                if !all.rules.iter().any(|known| known.id == rule.id) {
                    all.rules.push(rule.clone());
                }
            }
        }
        Ok(all)
    }

    /// What an action says about itself, and the policies of packs about it.
    fn declared(&self, action: &Action) -> Result<Vec<Declared>, String> {
        let mut all = Vec::new();
        let origin = Origin::Action(&action.reference);
        let tag = action.tag("squall.confirm").map(|text| Value::from(text.clone()));
        for value in action.confirm.iter().chain(&tag) {
            all.push(read(origin, value)?);
        }
        for policy in self.content.registry().policies_of(&action.reference) {
            if &*policy.policy_type == "squall.confirm" {
                let parameters = policy.parameters.clone();
                let value = if parameters.is_truthy() { parameters } else { true.into() };
                all.push(read(Origin::Policy(&policy.reference), &value)?);
            }
        }
        Ok(all)
    }

    fn pulled_up(&self, action: &Action, subject: &Subject<'_>) -> Result<Vec<(Arc<Rule>, ActionRef)>, String> {
        let children = self.content.children(action);
        let mut known = Vec::with_capacity(children.len());
        for child in children.iter() {
            known.push((child, tags(child), self.declared(child)?));
        }
        let children: Vec<_> = known
            .iter()
            .map(|(child, tags, declared)| crate::confirmation::policy::Child {
                action: &child.reference,
                tags,
                declared,
            })
            .collect();
        self.content.policy().pulled_up(subject, &children).map_err(|e| e.to_string())
    }

    /// All demands about the runs of one message as one, with phrases rendered; nothing when there is none.
    pub fn join(&self, wanted: &[Wanted<'_>], demanded: &[Demanded]) -> Result<Option<Joined>, String> {
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for rule in demanded.iter().flat_map(|d| &d.rules) {
            if !rules.iter().any(|known| known.id == rule.id) {
                rules.push(rule.clone());
            }
        }
        let in_chat = wanted.first().is_some_and(|first| place(first.root).is_some());
        let Some(mut joined) = join(&rules, in_chat) else { return Ok(None) };
        for one in demanded {
            joined.include(&one.pulled);
        }
        joined.freeze(|phrase| phrases(phrase, wanted, &self.settings.expressions)).map(Some)
    }

    /// Opens a confirmation for the runs of one message; an error is what the person reads, and nothing is started. Where
    /// something must be found out before and was not, the answer is what to look for.
    pub fn open(&self, wanted: &[Wanted<'_>], joined: Joined, before: &Before<'_>) -> Result<Opened, String> {
        let &Before { earlier, id, found } = before;
        let Some(first) = wanted.first() else { return Err("there is nothing to ask about".into()) };
        let looks = self.looks(wanted, &joined)?;
        let found = found.filter(|found| found.covers(&looks));
        if joined.requirements.iter().any(|requirement| requirement.exclude_editor) {
            return Err(format!(
                "{} must not be approved by whoever last edited it, and who that is nobody knows: it comes from files. It was not started",
                first.action.reference
            ));
        }
        if joined.show.dry_run == DryRun::Required
            && let Some(why) = found.and_then(|found| found.dry_runs.iter().find_map(|dry| dry.failed.as_ref()))
        {
            let action = &first.action.reference;
            return Err(format!(
                "{action} needs a dry run before anybody is asked, and it failed: {why}. It was not started"
            ));
        }
        for one in wanted {
            if let Some(revision) = closure::moving_revision(one.action, one.params) {
                return Err(format!(
                    "{} is to be confirmed, and `{revision}` may be something else by the time it runs: give the full id of a \
                     commit as content_version. It was not started",
                    one.action.reference
                ));
            }
        }
        let requester = self.frozen_requester(first.root);
        let origin = place(first.root);
        let stamped = stamps(&joined.rules);
        let asked: Vec<_> = wanted.iter().map(|w| (w.execution, w.action, w.params)).collect();
        let wish = self.digest(&asked, first.root, &stamped, &requester, &Found::default());
        // A task is a step of its own, however equal: only requests join.
        if first.execution.parent.is_none()
            && let Some(record) = self.same(&wish, &requester)?.filter(|record| Some(record.id) != earlier)
        {
            return Ok(Opened::Joined(Box::new(record)));
        }
        // What takes the place of another does not make more of them.
        if earlier.is_none() {
            self.fits(&requester, origin.as_ref())?;
        }
        let digest = match found {
            Some(found) => self.digest(&asked, first.root, &stamped, &requester, found),
            None => wish,
        };
        let runs = wanted.iter().map(|w| (w.execution.id, self.shown(w, &joined.show, &looks, found))).collect();
        let opening = Opening {
            id: id.unwrap_or_else(|| ConfirmationId::draw_after(earlier, self.ids, self.now)),
            code: Code::draw(self.ids, self.length, |code| self.is_taken(code)),
            kind: Kind::Gate,
            runs,
            digest,
            requester,
            editors: Vec::new(),
            run_as: user(first.execution),
            source: source(first.root),
            origin,
            command: first.command.clone(),
            places: self.places(&joined, first.root, found),
            joined,
            secrets: wanted.iter().flat_map(|w| w.secrets.clone()).collect(),
            epoch: self.epoch(),
            task: None,
            retry_of: earlier,
            found: found.cloned().unwrap_or_default(),
            wish: (digest != wish).then_some(wish),
        };
        if looks.is_empty() || found.is_some() {
            return self.hold(opening);
        }
        // Whether it could be asked at all is known before anything is run for it.
        let (requester, id) = (opening.requester.person.clone(), opening.id);
        let would_be = self.decide_to_hold(opening)?;
        if first.execution.parent.is_none() {
            let stages = crate::looking::stages(self.store)?;
            let of_requester = || stages.iter().filter(|stage| stage.requester == requester && stage.id != id);
            if let Some(same) = of_requester().find(|stage| stage.wish == wish && stage.earlier.is_none()) {
                return Ok(Opened::Looked(same.runs.first().copied().unwrap_or(first.execution.id)));
            }
            if of_requester().count() >= OpenLimits::default().requester {
                return Err("so much is being looked up for you that this must wait; try again in a minute".into());
            }
        }
        let stage = Stage {
            id,
            root: first.execution.root,
            runs: wanted.iter().map(|w| w.execution.id).collect(),
            requester,
            wish,
            command: first.command.clone(),
            secrets: wanted.iter().flat_map(|w| w.secrets.clone()).collect(),
            earlier,
            looks,
            at: self.now,
        };
        Ok(Opened::Looks(Box::new(stage), Box::new(would_be)))
    }

    /// What must be found out before anybody is asked.
    fn looks(&self, wanted: &[Wanted<'_>], joined: &Joined) -> Result<Vec<Look>, String> {
        let mut looks = Vec::new();
        for one in wanted.iter().filter(|_| joined.show.dry_run != DryRun::Off) {
            let own = one.action.tag(looks::DRY_RUN).and_then(|name| name.parse().ok());
            let named =
                if joined.show.dry_runs.is_empty() { own.into_iter().collect() } else { joined.show.dry_runs.clone() };
            if named.is_empty() && joined.show.dry_run == DryRun::Required {
                return Err(format!(
                    "{} needs a dry run before anybody is asked, and neither the rule nor a tag `{}` of the action names one. It was not started",
                    one.action.reference,
                    looks::DRY_RUN
                ));
            }
            looks.extend(named.into_iter().map(|action| Look { run: Some(one.execution.id), action }));
        }
        let asked = joined.requirements.iter().flat_map(|requirement| &requirement.who);
        let later = joined.escalate.iter().flat_map(|escalation| &escalation.add_who);
        let on_call = asked.chain(later).chain(joined.break_glass.iter().flatten()).filter_map(|who| match who {
            Who::OnCall(action) => Some(Look { run: None, action: action.clone() }),
            _ => None,
        });
        looks.extend(on_call);
        looks.sort();
        looks.dedup();
        Ok(looks)
    }

    /// Where else it is asked: what rules name, in private where they want that, and to the requester when there is no
    /// other place.
    pub fn places(&self, joined: &Joined, root: &Execution, found: Option<&Found>) -> Vec<Place> {
        let mut places = also(joined);
        let directory = self.directory_with(found);
        if joined.dm {
            let asked = joined.requirements.iter().flat_map(|r| &r.who).flat_map(|who| directory.members(who));
            let identities = asked.take(MOST_ASKED).flat_map(|person| person.identities);
            places.extend(identities.filter_map(|own| direct(&own)));
        }
        let in_chat = place(root).is_some_and(|_| joined.ask_origin);
        if places.is_empty() && !in_chat {
            let (person, _) = self.requester(root);
            places.extend(person.identities.iter().filter_map(direct));
        }
        places
    }

    fn decide_to_hold(&self, opening: Opening) -> Result<Decision, String> {
        let rules = self.rules();
        let directory =
            People { store: self.store, on_call: Some(opening.found.on_call.clone()).filter(|f| !f.is_empty()) };
        let never = |_: &Record| Ok(());
        decide::hold(opening, &self.world(&directory, &never, &rules, "")).map_err(|text| text.plain())
    }

    /// Asks, if anybody can answer.
    pub fn hold(&self, opening: Opening) -> Result<Opened, String> {
        let mut decision = self.decide_to_hold(opening)?;
        self.pace(&mut decision);
        for copy in &mut decision.record.copies {
            // What the outbox holds for the network inside of this store is as good as posted.
            if copy.place.network == self.settings.network && !copy.collected {
                copy.message = Some(decision.record.id.to_string());
            }
        }
        Ok(Opened::Held(Box::new(decision)))
    }

    /// Ten questions a minute and channel, thirty an hour and person; the rest wait or are told together, and when even the first
    /// copy waits long, so does the deadline.
    fn pace(&self, decision: &mut Decision) {
        let mut paces = crate::locked(self.paces);
        let record = &mut decision.record;
        for copy in &mut record.copies {
            let channel = copy.place.channel_id();
            let is_origin = record.origin.as_ref().is_some_and(|origin| origin.channel_id() == channel);
            if copy.place.private
                && !is_origin
                && let Some(at) = paces.ask_person(&channel, self.now)
            {
                (copy.collected, copy.not_before) = (true, Some(at));
                continue;
            }
            let at = paces.ask(&channel, self.now);
            copy.not_before = (at > self.now).then_some(at);
        }
        let is_collected = |to: &decide::To| match to {
            decide::To::Ask(n) => record.copies.get(*n).is_some_and(|copy| copy.collected),
            _ => false,
        };
        decision.says.retain(|say| !is_collected(&say.to));
        let first = record.copies.iter().map(|copy| copy.not_before.unwrap_or(self.now)).min();
        let waits = first.map_or(Duration::ZERO, |at| at.since(self.now));
        if let Some(delay) = delay_moves_deadline(waits, Duration::from_millis(record.timeout_ms)) {
            record.expires_at = record.expires_at.after(delay);
            record.moved = true;
            decision.due.retain(|(due, _)| *due != decide::Due::Expire);
            decision.due.push((decide::Due::Expire, record.expires_at));
        }
    }

    /// What people see of a run. Of the runner's parameters those that the action or its caller speaks of.
    fn shown(&self, wanted: &Wanted<'_>, show: &Show, looks: &[Look], found: Option<&Found>) -> ShownRun {
        let speaks = |name: &Str| {
            let own = wanted.action.parameters.contains_key(name);
            own || wanted.execution.request.params.contains_key(name)
        };
        let mut params: Map =
            wanted.params.iter().filter(|(n, _)| speaks(n)).map(|(n, v)| (n.clone(), v.clone())).collect();
        if let Some(again) = &wanted.execution.request.again {
            let tasks: Vec<Value> = again.tasks.iter().map(|task| Value::from(task.as_str())).collect();
            params.insert("tasks run again".into(), tasks.into());
        }
        let reference = wanted.action.reference.to_string();
        let schemas = wanted.action.merged_parameters();
        let mut run = shown_run(&reference, wanted.action.description.as_deref(), &schemas, &params, show);
        let computed = closure::computed(wanted.action, &self.content.children(wanted.action));
        if !computed.is_empty() {
            run.impact.push(format!("decided at run time: {}", computed.join(", ")));
        }
        let own = wanted.execution.id;
        match found {
            Some(found) => {
                run.impact.extend(found.dry_runs.iter().filter(|dry| dry.run == own).map(|dry| dry.line.clone()));
            }
            None => run.impact.extend(
                looks
                    .iter()
                    .filter(|look| look.run == Some(own))
                    .map(|look| format!("Dry run: {} would be run first", look.action)),
            ),
        }
        run
    }

    /// Whether a code is open, or was closed less than a day ago.
    pub fn is_taken(&self, code: &Code) -> bool {
        let day = Duration::from_secs(86_400);
        match self.store.confirmation_by_code(&code.compact()) {
            Ok(Some(row)) => row.closed_at.is_none_or(|at| self.now.since(at) < day),
            // A store that is gone refuses the commit.
            Ok(None) | Err(_) => false,
        }
    }

    /// Decides what an event does to a record. `held` are the executions that it holds, as they are now.
    pub fn decide(&self, record: &Record, event: &Event, held: &[Execution], root: &Execution) -> Decision {
        let rules = self.rules();
        let directory = self.directory_of(record);
        let recheck = |record: &Record| self.recheck(record, held, root);
        let release = self.ids.hex(16);
        let mut world = self.world(&directory, &recheck, &rules, &release);
        if let Event::Answer(answer) = event
            && answer.verdict == decide::Verdict::BreakGlass
        {
            let past = crate::reviews::Past::of(self.store, answer.by.id.as_str(), self.now);
            (world.breaks_today, world.is_barred) = (past.today, past.is_barred);
        }
        decide::decide(record, event, &world)
    }

    /// Whether whoever answers may know that there is such a confirmation.
    pub fn may_see(&self, record: &Record, answer: &decide::Answer) -> bool {
        let rules = self.rules();
        let directory = self.directory_of(record);
        decide::may_see(record, answer, &self.world(&directory, &|_| Ok(()), &rules, ""))
    }

    fn world<'b>(
        &self,
        directory: &'b People<'b>,
        recheck: &'b dyn Fn(&Record) -> Result<(), Cause>,
        rules: &'b Rules,
        release_id: &'b str,
    ) -> World<'b> {
        World { now: self.now, directory, recheck, release_id, breaks_today: 0, is_barred: false, settings: rules }
    }

    fn rules(&self) -> Rules {
        let style = crate::confirmation::texts::Style {
            prefix: self.settings.prefix.clone(),
            web_url: self.settings.web_url.clone(),
            ..Default::default()
        };
        // When nobody can tell, more is asked for.
        let has_factors = self.store.has_factors().unwrap_or(true);
        let trust_legacy_bots = self.settings.trust_legacy_bots;
        Rules { style, has_factors, trust_legacy_bots, ..Rules::default() }
    }

    pub fn directory(&self) -> People<'a> {
        self.directory_with(None)
    }

    /// The people, with those on call as they were found out last for a record.
    pub fn directory_of(&self, record: &Record) -> People<'a> {
        self.directory_with(Some(&record.found))
    }

    fn directory_with(&self, found: Option<&Found>) -> People<'a> {
        People { store: self.store, on_call: found.map(|found| found.on_call.clone()) }
    }

    /// The life of the store: none before it was ever restored from a backup.
    pub fn epoch(&self) -> Option<String> {
        self.store.meta(EPOCH).unwrap_or_else(|error| {
            // In doubt it is another one, so nothing is released.
            tracing::error!(%error, "cannot read which life of the store this is");
            Some("unknown".into())
        })
    }

    /// Whether what would run is still what was asked about, and whether its requester may still run it.
    pub fn recheck(&self, record: &Record, held: &[Execution], root: &Execution) -> Result<(), Cause> {
        if record.epoch != self.epoch() {
            return Err(Cause::Restore);
        }
        if record.kind != Kind::Gate {
            return self.requester_may(record, &[]);
        }
        let mut actions = Vec::with_capacity(held.len());
        for execution in held {
            let action = self.content.registry().action(&execution.request.action).filter(|a| a.enabled);
            actions.push(action.ok_or(Cause::ActionChanged)?);
        }
        let overlay = Default::default();
        let data = Datastore {
            store: self.store,
            overlay: &overlay,
            now: self.now,
            key: self.settings.datastore_key.as_ref(),
        };
        if !record.secrets.iter().all(|secret| secret.is_current(&data)) {
            return Err(Cause::SecretChanged);
        }
        let asked: Vec<_> = held.iter().zip(&actions).map(|(e, action)| (e, *action, &e.request.params)).collect();
        if self.digest(&asked, root, &stamps(&record.rules), &record.requester, &record.found) != record.digest {
            return Err(Cause::ActionChanged);
        }
        self.requester_may(record, if root.id == held.first().map_or(root.id, |e| e.id) { &actions } else { &[] })
    }

    /// Whether the account of whoever asked is gone or was deactivated.
    pub fn is_gone(&self, record: &Record) -> bool {
        let account = record.requester.person.user_name().or_else(|| record.requester.through.as_ref()?.user_name());
        let Some(name) = account.filter(|name| has_account(name)) else { return false };
        // An account that cannot be read is looked at again before the release.
        self.store.user(name).is_ok_and(|user| user.is_none_or(|user| !user.active))
    }

    /// Whether the requester is still there and may run `actions`. Tasks are run by right of who installed the pack.
    fn requester_may(&self, record: &Record, actions: &[&Arc<Action>]) -> Result<(), Cause> {
        let Some(name) = record.requester.person.user_name().filter(|name| has_account(name)) else { return Ok(()) };
        let gone = || Cause::MayNotRun(record.requester.shown.clone());
        let person = self.directory().person(&PersonId::user(name)).filter(|p| p.active).ok_or_else(gone)?;
        let role = person.roles.iter().filter_map(|r| Role::parse(r)).max().unwrap_or(Role::Guest);
        let who = Principal { user: name.to_owned(), role, via: Via::Token };
        let may = |action: &&Arc<Action>| authorize(&who, Wish::Run(action)).is_ok();
        if actions.iter().all(may) { Ok(()) } else { Err(gone()) }
    }

    /// The digest of the runs of one message, in their order.
    fn digest(
        &self,
        runs: &[(&Execution, &Arc<Action>, &Map)],
        root: &Execution,
        rules: &[(String, String)],
        requester: &Requester,
        found: &Found,
    ) -> Digest {
        let (channel, epoch) = (place(root).map(|p| p.channel_id()), self.epoch());
        let known: Vec<_> = runs
            .iter()
            .map(|(execution, action, params)| {
                let children = self.content.children(action);
                let action_sha = closure::request_sha(action, &execution.request);
                let closure_sha = closure::closure_sha(&children);
                let dry_run_sha = found.sha_of(execution.id);
                (*action, *params, user(execution), action_sha, closure_sha, self.content.prepared(action), dry_run_sha)
            })
            .collect();
        let secrets: Vec<_> = known.iter().map(|k| move |name: &str| k.5.is_secret(name)).collect();
        let asked: Vec<Asked<'_>> = known
            .iter()
            .zip(&secrets)
            .map(|((action, params, run_as, action_sha, closure_sha, _, dry_run_sha), is_secret)| Asked {
                action: &action.reference,
                action_sha,
                params,
                is_secret,
                run_as,
                requester: requester.person.as_str(),
                source: source(root).as_str(),
                channel: channel.as_deref(),
                closure_sha: closure_sha.as_deref(),
                rules,
                dry_run_sha: dry_run_sha.as_deref(),
                epoch: epoch.as_deref(),
            })
            .collect();
        let key = self.settings.datastore_key.as_ref().map(|k| k.to_text()).unwrap_or_default();
        digest(&asked, &Secret::new(key.into_bytes()))
    }

    /// An open record about the very same thing of the same person.
    fn same(&self, digest: &Digest, requester: &Requester) -> Result<Option<Record>, String> {
        let filter = ConfirmationFilter {
            state: Some("open".into()),
            requester: Some(requester.person.as_str().to_owned()),
            ..ConfirmationFilter::default()
        };
        let (rows, _) = self.store.confirmations(&filter, Page::default()).map_err(|e| e.to_string())?;
        for row in rows {
            let record = Record::from_json(&row.json).map_err(|e| e.to_string())?;
            if record.is_joined_by(digest, requester) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn fits(&self, requester: &Requester, origin: Option<&Place>) -> Result<(), String> {
        let count = |of: Option<&str>, channel: Option<(&str, &str)>| {
            self.store.open_confirmations(of, channel).map(|n| n as usize).map_err(|e| e.to_string())
        };
        let open = OpenLimits {
            requester: count(Some(requester.person.as_str()), None)?,
            channel: match origin {
                Some(place) => count(None, Some((&place.network, &place.channel)))?,
                None => 0,
            },
            total: crate::locked(self.paces).open(self.now, || count(None, None))?,
        };
        OpenLimits::default().fits(open).map_err(|(n, what)| {
            format!("{n} confirmations {what} wait already; answer or withdraw some first. Nothing was started")
        })
    }

    /// The person behind an execution, and how sure that is.
    fn requester(&self, root: &Execution) -> (Person, Assurance) {
        let text = |path: &[&str]| {
            root.request
                .context
                .get(path[0])
                .and_then(|v| if path.len() == 1 { Some(v) } else { v.at(&path[1..]) })
                .and_then(Value::as_str)
        };
        // Only what squall's own adapter heard: a bot in front of squall can write whatever it likes into its context.
        if root.request.reply_to.is_some()
            && let (Some(network), Some(id)) = (text(&["chat", "network"]), text(&["chat", "user_id"]))
        {
            let workspace = text(&["chat", "workspace"]).map(str::to_owned);
            let identity = Identity { network: network.to_owned(), workspace, user_id: id.to_owned() };
            let name = text(&["chat", "user_name"]).unwrap_or(id);
            return self.chat_person(&identity, name);
        }
        let name = user(root);
        if let Some(label) = label(root) {
            let person = Person { id: PersonId::label(&label.user), name: label.user, ..Person::user(&name) };
            return (person, Assurance::A0);
        }
        (self.directory().person(&PersonId::user(&name)).unwrap_or_else(|| Person::user(&name)), Assurance::A2)
    }

    /// The person behind an execution as a record keeps them.
    pub fn frozen_requester(&self, root: &Execution) -> Requester {
        let (person, assurance) = self.requester(root);
        let label = label(root);
        // So that the account which is linked to it can answer what it asked for, and cannot be the other one.
        let labelled = label.as_ref().and_then(Label::identity);
        let identities = person.identities.iter().cloned().chain(labelled).collect();
        Requester {
            shown: person.shown(),
            identities,
            assurance,
            agent: agent(root),
            through: label.as_ref().map(|_| PersonId::user(&user(root))),
            label,
            person: person.id,
        }
    }

    /// Somebody on a chat network: the linked user, or the bare identity.
    pub fn chat_person(&self, identity: &Identity, name: &str) -> (Person, Assurance) {
        let linked = linked_user(self.store, identity).unwrap_or_else(|error| {
            // Without its link a person is somebody without an account, who may do less.
            tracing::error!(%error, "cannot read who somebody in chat is");
            None
        });
        if let Some(mut person) = linked.and_then(|user| self.directory().person(&PersonId::user(&user))) {
            person.handle = Some(name.to_owned());
            return (person, Assurance::A2);
        }
        let person = Person {
            id: PersonId::unlinked(identity),
            name: name.to_owned(),
            handle: Some(name.to_owned()),
            identities: vec![identity.clone()],
            ..Person::user(name)
        };
        (person, Assurance::A1)
    }
}

/// What came of asking.
pub(crate) enum Opened {
    /// A record was opened.
    Held(Box<Decision>),
    /// The same request waits already.
    Joined(Box<Record>),
    /// Something must be found out first. The decision is what it would be without.
    Looks(Box<Stage>, Box<Decision>),
    /// The same is being found out already, for this run.
    Looked(ExecutionId),
}

/// The engine itself and people in chat without an account run things under names that have no record.
fn has_account(name: &str) -> bool {
    name != CHAT_USER && name != SYSTEM_USER
}

/// The alias through which an execution was asked for, if it is still there.
pub(crate) fn alias_of(execution: &Execution, content: &Content) -> Option<Arc<Alias>> {
    if let Some(reference) = execution.request.reply_to.as_ref().and_then(|reply| reply.alias.as_ref()) {
        return content.registry().alias(reference).cloned();
    }
    let id = execution.request.context.get("action_alias_ref")?.get("id")?.as_str()?;
    let is_it = |alias: &&Arc<Alias>| crate::view::object_id(&crate::view::alias_uid(alias)) == id;
    content.registry().aliases.values().find(is_it).cloned()
}

/// Whether people were asked about an execution: its stored parameters are final then, and nothing is rendered again.
pub(crate) fn is_frozen(execution: &Execution) -> bool {
    execution.request.context.contains_key("confirmation")
}

fn read(origin: Origin<'_>, value: &Value) -> Result<Declared, String> {
    declared(origin, value).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("what is said about its confirmation cannot be meant, so it was not started: {}", texts.join("; "))
    })
}

fn stamps(rules: &[Stamp]) -> Vec<(String, String)> {
    rules.iter().map(|r| (r.id.clone(), r.sha.clone())).collect()
}

/// A phrase with the parameters of each run; different ones are typed one after the other.
fn phrases(phrase: &str, wanted: &[Wanted<'_>], limits: &squall_expr::Limits) -> Result<String, String> {
    let mut all: Vec<String> = Vec::new();
    for one in wanted {
        let params = Value::from_pairs([("params", Value::from(one.params.clone()))]);
        let text = crate::report::render(phrase, &params, squall_expr::Engine::Stack, limits).map_err(|e| e.message)?;
        if !all.contains(&text) {
            all.push(text);
        }
    }
    Ok(all.join(" "))
}

fn tags(action: &Action) -> Vec<(Str, Str)> {
    action.tags.iter().map(|t| (t.name.clone(), t.value.clone())).collect()
}

pub(crate) fn user(execution: &Execution) -> String {
    execution.request.context.get("user").and_then(Value::as_str).unwrap_or(CHAT_USER).to_owned()
}

/// What a bot in front of squall says about whoever typed a command; proves nothing.
pub(crate) fn label(root: &Execution) -> Option<Label> {
    if source(root) != Source::Chat || root.request.reply_to.is_some() {
        return None;
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let context = &root.request.context;
    Some(Label {
        user: text(context.get("api_user")),
        channel: text(context.get("source_channel")),
        route: text(root.request.notify.at(&["on-complete", "routes"]).and_then(Value::as_list).and_then(<[_]>::first)),
    })
}

/// Where a root's command was typed.
pub(crate) fn place(root: &Execution) -> Option<Place> {
    root.request.reply_to.as_ref().map(|reply| Place {
        network: reply.network.clone(),
        channel: reply.channel.clone(),
        thread: reply.thread.clone(),
        private: reply.channel.starts_with('@'),
    })
}

/// Where somebody is asked in private; bots in front of squall take no such messages.
fn direct(own: &Identity) -> Option<Place> {
    (own.network != crate::bots::NETWORK).then(|| Place::direct(&own.network, &own.user_id))
}

/// The program that asked in its owner's name.
pub(crate) fn agent(root: &Execution) -> Option<String> {
    root.request.context.get("agent").and_then(Value::as_str).map(str::to_owned)
}

/// Through which door a root came.
pub(crate) fn source(root: &Execution) -> Source {
    let known = Source::ALL.iter().find(|(name, _)| *name == root.request.source);
    match (known, &root.request.reply_to) {
        (Some((_, source)), _) => *source,
        // Rows of older programs.
        (None, Some(_)) => Source::Chat,
        (None, None) => Source::Api,
    }
}

/// Places that rules name besides the origin, as `network:channel`.
pub(crate) fn also(joined: &Joined) -> Vec<Place> {
    let one = |text: &String| {
        let (network, channel) = text.split_once(':')?;
        Some(Place { network: network.to_owned(), channel: channel.to_owned(), thread: None, private: false })
    };
    joined.ask_also.iter().filter_map(one).collect()
}

/// The people whom the store knows.
pub(crate) struct People<'a> {
    store: &'a dyn Store,
    /// Who is on call, by the action that was asked; nothing while nobody asked.
    on_call: Option<BTreeMap<ActionRef, Vec<PersonId>>>,
}

impl People<'_> {
    fn known(&self, user: &squall_store::User) -> Person {
        // Without its identities a person is somebody else for every answer from chat, which then does not count.
        let identities = identities_of(self.store, &user.name).unwrap_or_default();
        Person {
            name: user.shown.clone().unwrap_or_else(|| user.name.clone()),
            // Two people may be shown alike; the handle tells them apart.
            handle: user.shown.as_ref().map(|_| user.name.clone()),
            roles: user.roles.clone(),
            groups: user.groups.clone(),
            active: user.active,
            identities,
            ..Person::user(&user.name)
        }
    }
}

impl Directory for People<'_> {
    fn person(&self, id: &PersonId) -> Option<Person> {
        let name = id.user_name()?;
        self.store.user(name).ok().flatten().map(|user| self.known(&user))
    }

    fn on_call(&self, action: &ActionRef) -> Vec<PersonId> {
        self.on_call.as_ref().and_then(|found| found.get(action)).cloned().unwrap_or_default()
    }

    fn knows(&self, who: &Who) -> bool {
        self.on_call.is_some() || !matches!(who, Who::OnCall(_))
    }

    fn may_run(&self, person: &Person) -> bool {
        let role = person.roles.iter().filter_map(|r| Role::parse(r)).max();
        person.active && !person.guest && role.is_some_and(|role| role >= Role::Operator)
    }

    fn members(&self, who: &Who) -> Vec<Person> {
        let all = match who {
            Who::User(name) => self.store.user(name).ok().flatten().into_iter().collect(),
            Who::Role(_) | Who::Group(_) | Who::Anyone => match self.store.users(Page { offset: 0, limit: USERS }) {
                Ok((users, _)) => users,
                Err(error) => {
                    tracing::error!(%error, "cannot read the users");
                    Vec::new()
                }
            },
            Who::OnCall(action) => {
                let names = self.on_call(action);
                names.iter().filter_map(|id| self.store.user(id.user_name()?).ok().flatten()).collect()
            }
            Who::Requester => Vec::new(),
        };
        // Before anything more is read of them: of many users few are of a set.
        let fits = |user: &&squall_store::User| match who {
            Who::Role(role) => user.roles.contains(role),
            Who::Group(group) => user.groups.contains(group),
            Who::Anyone => crate::people::role_of(user) >= Role::Operator,
            Who::Requester | Who::User(_) | Who::OnCall(_) => true,
        };
        all.iter().filter(|user| user.active).filter(fits).map(|user| self.known(user)).collect()
    }
}
