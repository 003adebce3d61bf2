//! The gate of confirmation: who must be asked before something runs, and what becomes of what is held.
//!
//! `confirmation` decides without I/O; here its questions are answered from content and store, and its decisions become rows. The
//! same code holds a request from anywhere and a task of a workflow. Nothing runs before a decision in the same commit says so.
//!
//! Start reading at [`Asker::demand`] (is somebody to be asked?), [`Asker::open`] (ask) and [`Asker::decide`].

use crate::closure;
use crate::confirmation::decide::{self, Decision, Event, Opening, Settings as Rules, World};
use crate::confirmation::declare::{Declared, Origin, declared};
use crate::confirmation::digest::{Asked, Digest, digest};
use crate::confirmation::limits::OpenLimits;
use crate::confirmation::people::{Assurance, Directory, Identity, Person, PersonId, Requester, Who};
use crate::confirmation::policy::{Joined, Source, Subject, join};
use crate::confirmation::record::{Cause, ConfirmationId, Kind, Place, Record};
use crate::confirmation::texts::shown_run;
use crate::confirmation::{Code, code};
use crate::people::{CHAT_USER, Role};
use crate::{Content, Settings};
use squall_content::{Action, Alias};
use squall_expr::Host;
use squall_model::{ActionRef, Execution, ExecutionId, Ids, Map, Secret, Status, Str, Timestamp, Value};
use squall_store::{Confirmation, ConfirmationFilter, Due, DueKind, Op, Outgoing, Page, Store};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What asking needs to know of the world.
pub(crate) struct Asker<'a> {
    pub content: &'a Content,
    pub store: &'a dyn Store,
    pub ids: &'a dyn Ids,
    pub settings: &'a Settings,
    pub now: Timestamp,
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
    /// Rules that a release further up covers.
    pub covered: BTreeSet<String>,
    /// The command as typed.
    pub command: Option<String>,
}

/// Users listed when a set is counted.
const USERS: u64 = 10_000;

impl Asker<'_> {
    /// Everybody who must agree; nothing when it may run. An error refuses the run.
    pub fn demand(&self, wanted: &Wanted<'_>, host: &dyn Host) -> Result<Option<Joined>, String> {
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
        let mut declared = self.declared(wanted.action)?;
        if let Some(alias) = wanted.alias
            && let Some(value) = &alias.confirm
        {
            declared.push(read(Origin::Alias(&alias.reference), value)?);
        }
        let policy = self.content.policy();
        let demand = policy.demand(&subject, &declared).map_err(|e| e.to_string())?;
        for doubt in &demand.doubts {
            tracing::warn!(execution = %wanted.execution.id, %doubt, "a condition failed and therefore asks");
        }
        let mut rules = demand.rules;
        let mut pulled = Vec::new();
        if wanted.execution.parent.is_none() && wanted.action.definition.is_some() {
            pulled = self.pulled_up(wanted.action, &subject)?;
            rules.extend(pulled.iter().map(|(rule, _)| rule.clone()));
            let mut seen = BTreeSet::new();
            rules.retain(|rule| seen.insert(rule.id.clone()));
        }
        let Some(mut joined) = join(&rules, channel.is_some()) else { return Ok(None) };
        joined.include(&pulled);
        let params = Value::from_pairs([("params", Value::from(wanted.params.clone()))]);
        let frozen = joined.freeze(|phrase| {
            crate::report::render(phrase, &params, squall_expr::Engine::Stack).map_err(|e| e.message)
        })?;
        Ok(Some(frozen))
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

    fn pulled_up(
        &self,
        action: &Action,
        subject: &Subject<'_>,
    ) -> Result<Vec<(Arc<crate::confirmation::declare::Rule>, ActionRef)>, String> {
        let children = closure::children(action, self.content.registry());
        let mut known = Vec::with_capacity(children.len());
        for child in &children {
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

    /// Opens a confirmation for something that must wait; an error is what the person reads, and nothing is started.
    pub fn open(&self, wanted: &Wanted<'_>, joined: Joined) -> Result<Opened, String> {
        let (person, assurance) = self.requester(wanted.root);
        let origin = place(wanted.root);
        let identities = person.identities.clone();
        let requester = Requester {
            person: person.id.clone(),
            shown: person.shown(),
            identities,
            assurance,
            agent: None,
            label: None,
        };
        let digest =
            self.digest(wanted.execution, wanted.action, wanted.root, wanted.params, &stamps(&joined), &requester);
        if let Some(record) = self.same(&digest, &requester)? {
            return Ok(Opened::Joined(Box::new(record)));
        }
        self.fits(&requester, origin.as_ref())?;
        let show = joined.show.clone();
        let schemas = wanted.action.merged_parameters();
        // Of the runner's parameters people see those that this action speaks of.
        let speaks = |name: &Str| {
            let own = wanted.action.parameters.contains_key(name);
            own || wanted.execution.request.params.contains_key(name)
        };
        let shown: Map = wanted.params.iter().filter(|(n, _)| speaks(n)).map(|(n, v)| (n.clone(), v.clone())).collect();
        let reference = wanted.action.reference.to_string();
        let run = shown_run(&reference, wanted.action.description.as_deref(), &schemas, &shown, &show);
        let taken = |code: &Code| {
            let day = std::time::Duration::from_secs(86_400);
            match self.store.confirmation_by_code(&code.compact()) {
                Ok(Some(row)) => row.closed_at.is_none_or(|at| self.now.since(at) < day),
                Ok(None) => false,
                // Rather another code than one that two questions share; a store that is gone refuses the commit.
                Err(_) => false,
            }
        };
        let opening = Opening {
            id: ConfirmationId::draw(self.ids, self.now),
            code: Code::draw(self.ids, code::Length::Usual, taken),
            kind: Kind::Gate,
            runs: vec![(wanted.execution.id, run)],
            digest,
            requester,
            editors: Vec::new(),
            run_as: user(wanted.execution),
            source: source(wanted.root),
            origin,
            command: wanted.command.clone(),
            places: also(&joined),
            joined,
            retry_of: None,
        };
        let rules = self.rules();
        let directory = self.directory();
        let never = |_: &Record| Ok(());
        let world = self.world(&directory, &never, &rules, "");
        let mut decision = decide::hold(opening, &world).map_err(|text| text.plain())?;
        for copy in &mut decision.record.copies {
            // What the outbox holds for the network inside of this store is as good as posted.
            if copy.place.network == self.settings.network {
                copy.message = Some(decision.record.id.to_string());
            }
        }
        Ok(Opened::Held(Box::new(decision)))
    }

    /// Decides what an event does to a record. `held` are the executions that it holds, as they are now.
    pub fn decide(&self, record: &Record, event: &Event, held: &[Execution], root: &Execution) -> Decision {
        let rules = self.rules();
        let directory = self.directory();
        let recheck = |record: &Record| self.recheck(record, held, root);
        let release = self.ids.hex(16);
        decide::decide(record, event, &self.world(&directory, &recheck, &rules, &release))
    }

    /// Whether whoever answers may know that there is such a confirmation.
    pub fn may_see(&self, record: &Record, answer: &decide::Answer) -> bool {
        let rules = self.rules();
        let directory = self.directory();
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
        Rules { style, ..Rules::default() }
    }

    pub fn directory(&self) -> People<'_> {
        People { store: self.store }
    }

    /// Whether what would run is still what was asked about.
    fn recheck(&self, record: &Record, held: &[Execution], root: &Execution) -> Result<(), Cause> {
        for execution in held {
            let Some(action) = self.content.registry().action(&execution.request.action).filter(|a| a.enabled) else {
                return Err(Cause::ActionChanged);
            };
            let rules: Vec<(String, String)> = record.rules.iter().map(|r| (r.id.clone(), r.sha.clone())).collect();
            let now = self.digest(execution, action, root, &execution.request.params, &rules, &record.requester);
            if now != record.digest {
                return Err(Cause::ActionChanged);
            }
        }
        if let Some(name) = record.requester.person.user_name() {
            let active = self.directory().person(&PersonId::user(name)).is_some_and(|p| p.active);
            if !active {
                return Err(Cause::MayNotRun(record.requester.shown.clone()));
            }
        }
        Ok(())
    }

    fn digest(
        &self,
        execution: &Execution,
        action: &Arc<Action>,
        root: &Execution,
        params: &Map,
        rules: &[(String, String)],
        requester: &Requester,
    ) -> Digest {
        let prepared = self.content.prepared(action);
        let is_secret = |name: &str| prepared.is_secret(name);
        let channel = place(root).map(|p| p.channel_id());
        let closure = closure::closure_sha(action, self.content.registry());
        let asked = Asked {
            action: &action.reference,
            action_sha: &closure::action_sha(action),
            params,
            is_secret: &is_secret,
            run_as: &user(execution),
            requester: requester.person.as_str(),
            source: source(root).as_str(),
            channel: channel.as_deref(),
            closure_sha: closure.as_deref(),
            rules,
            dry_run_sha: None,
            epoch: None,
        };
        let key = self.settings.datastore_key.as_ref().map(|k| k.to_text()).unwrap_or_default();
        digest(&[asked], &Secret::new(key.into_bytes()))
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
            total: count(None, None)?,
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
        if let (Some(network), Some(id)) = (text(&["chat", "network"]), text(&["chat", "user_id"])) {
            let identity = Identity { network: network.to_owned(), workspace: None, user_id: id.to_owned() };
            let name = text(&["chat", "user_name"]).unwrap_or(id);
            return self.chat_person(&identity, name);
        }
        let name = user(root);
        (self.directory().person(&PersonId::user(&name)).unwrap_or_else(|| Person::user(&name)), Assurance::A2)
    }

    /// Somebody on a chat network: the linked user, or the bare identity.
    pub fn chat_person(&self, identity: &Identity, name: &str) -> (Person, Assurance) {
        let linked = self.store.meta(&link_name(identity)).ok().flatten();
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
}

/// Under which name the store keeps that an identity belongs to a user.
pub(crate) fn link_name(identity: &Identity) -> String {
    let parts = [&identity.network, identity.workspace.as_ref().unwrap_or(&String::new()), &identity.user_id]
        .map(|part| Value::from(part.as_str()));
    format!("link/{}", squall_model::to_json(&parts.to_vec().into()))
}

/// Turns a request into a held one: its parameters are final from now on.
pub(crate) fn hold(execution: &mut Execution, params: Map, record: &Record) {
    let mut request = (*execution.request).clone();
    request.params = params;
    request.context.insert("confirmation".into(), Value::from_pairs([("id", record.id.to_string())]));
    execution.request = Arc::new(request);
    execution.log.push((record.held_at, Status::Pending));
    execution.status = Status::Pending;
    execution.result = Value::from_pairs([("confirmation", record.to_value())]);
}

/// The rows of a decision: the record, what is due, what is said, what the audit log gets.
pub(crate) fn ops(decision: &Decision, expected: Option<u64>, root: ExecutionId, now: Timestamp) -> Vec<Op> {
    let record = &decision.record;
    let mut ops = Vec::new();
    if decision.changed || expected.is_none() {
        ops.push(Op::PutConfirmation { row: Box::new(row(record, root)), expected });
    }
    if let Some((owner, _)) = record.runs.first() {
        for (due, at) in &decision.due {
            let due = Due { owner: *owner, root, kind: DueKind::Deadline, number: due.number(), at: *at };
            ops.push(Op::SetDue(due));
        }
        if record.state.is_final() {
            let reminders = (0..record.remind.len() as u32).map(decide::Due::Remind);
            let escalations = (0..record.escalate.len() as u32).map(decide::Due::Escalate);
            for due in reminders.chain(escalations).chain([decide::Due::Expire]) {
                ops.push(Op::ClearDue { owner: *owner, kind: DueKind::Deadline, number: due.number() });
            }
        }
    }
    for audit in &decision.audit {
        ops.push(Op::Audit {
            at: now,
            event: audit.event.to_owned(),
            person: audit.person.as_ref().map(|p| p.as_str().to_owned()),
            confirmation: Some(record.id.to_string()),
            execution: record.runs.first().map(|(id, _)| *id),
            data: audit.data.clone(),
        });
    }
    ops.extend(decision.says.iter().filter_map(|say| message(say, record, now)).map(|m| Op::Post(Box::new(m))));
    ops
}

/// One message of a decision; what goes back to a caller is none.
///
/// An `edit` replaces the first line of the question of that confirmation and takes away the ways to answer it; networks that
/// cannot change a message leave it out, since the same is said in a message of its own.
fn message(say: &decide::Say, record: &Record, now: Timestamp) -> Option<Outgoing> {
    let (place, kind) = match &say.to {
        decide::To::Place(place) => (place, "confirmation"),
        decide::To::Ask(copy) => (&record.copies.get(*copy)?.place, "question"),
        decide::To::Edit(copy) => (&record.copies.get(*copy)?.place, "edit"),
        decide::To::Caller => return None,
    };
    let mut body = Map::new();
    body.insert("kind".into(), kind.into());
    body.insert("message".into(), say.text.plain().into());
    body.insert("confirmation".into(), record.id.to_string().into());
    body.insert("state".into(), record.state.as_str().into());
    if kind == "question" {
        body.insert("code".into(), record.code.to_string().into());
        body.insert("expires_at".into(), record.expires_at.to_iso().into());
    }
    if let Some((execution, _)) = record.runs.first() {
        body.insert("execution".into(), execution.to_string().into());
    }
    Some(Outgoing {
        id: 0,
        network: place.network.clone(),
        channel: place.channel.clone(),
        thread: place.thread.clone(),
        body: body.into(),
        dedup: say.dedup.clone(),
        created: now,
        not_before: now,
        tries: 0,
    })
}

/// The stored form of a record.
pub(crate) fn row(record: &Record, root: ExecutionId) -> Confirmation {
    Confirmation {
        id: record.id.to_string(),
        code: record.code.compact(),
        root,
        executions: record.runs.iter().map(|(id, _)| *id).collect(),
        state: record.state.as_str().to_owned(),
        version: record.version,
        requester: record.requester.person.as_str().to_owned(),
        network: record.origin.as_ref().map(|p| p.network.clone()),
        channel: record.origin.as_ref().map(|p| p.channel.clone()),
        held_at: record.held_at,
        expires_at: record.expires_at,
        closed_at: record.ending.as_ref().filter(|_| record.state.is_final()).map(|e| e.at),
        json: record.to_json(),
    }
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

fn stamps(joined: &Joined) -> Vec<(String, String)> {
    joined.rules.iter().map(|r| (r.id.clone(), r.sha.clone())).collect()
}

fn tags(action: &Action) -> Vec<(Str, Str)> {
    action.tags.iter().map(|t| (t.name.clone(), t.value.clone())).collect()
}

fn user(execution: &Execution) -> String {
    execution.request.context.get("user").and_then(Value::as_str).unwrap_or(CHAT_USER).to_owned()
}

/// Where a root's command was typed.
fn place(root: &Execution) -> Option<Place> {
    root.request.reply_to.as_ref().map(|reply| Place {
        network: reply.network.clone(),
        channel: reply.channel.clone(),
        thread: reply.thread.clone(),
        private: reply.channel.starts_with('@'),
    })
}

/// Where a root came from.
fn source(root: &Execution) -> Source {
    match &root.request.reply_to {
        Some(_) => Source::Chat,
        None if root.request.context.contains_key("rule") => Source::Rule,
        None => Source::Api,
    }
}

/// Places that rules name besides the origin, as `network:channel`.
fn also(joined: &Joined) -> Vec<Place> {
    let one = |text: &String| {
        let (network, channel) = text.split_once(':')?;
        Some(Place { network: network.to_owned(), channel: channel.to_owned(), thread: None, private: false })
    };
    joined.ask_also.iter().filter_map(one).collect()
}

/// Under which name the store keeps the identities of a user.
pub(crate) fn identities_name(user: &str) -> String {
    format!("identities/{user}")
}

/// The identities that are linked to a user.
pub(crate) fn identities_of(store: &dyn Store, user: &str) -> squall_store::Result<Vec<Identity>> {
    let text = store.meta(&identities_name(user))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// The people whom the store knows.
pub(crate) struct People<'a> {
    store: &'a dyn Store,
}

impl People<'_> {
    fn known(&self, user: &squall_store::User) -> Person {
        // Without its identities a person is somebody else for every answer from chat, which then does not count.
        let identities = identities_of(self.store, &user.name).unwrap_or_default();
        Person { roles: user.roles.clone(), active: user.active, identities, ..Person::user(&user.name) }
    }
}

impl Directory for People<'_> {
    fn person(&self, id: &PersonId) -> Option<Person> {
        let name = id.user_name()?;
        self.store.user(name).ok().flatten().map(|user| self.known(&user))
    }

    fn on_call(&self, action: &ActionRef) -> Vec<PersonId> {
        tracing::warn!(%action, "who is on call cannot be asked in this version, so nobody is");
        Vec::new()
    }

    fn may_run(&self, person: &Person) -> bool {
        let role = person.roles.iter().filter_map(|r| Role::parse(r)).max();
        person.active && !person.guest && role.is_some_and(|role| role >= Role::Operator)
    }

    fn members(&self, who: &Who) -> Vec<Person> {
        let all = match who {
            Who::User(name) => self.store.user(name).ok().flatten().into_iter().collect(),
            Who::Role(_) | Who::Anyone => match self.store.users(Page { offset: 0, limit: USERS }) {
                Ok((users, _)) => users,
                Err(error) => {
                    tracing::error!(%error, "cannot read the users");
                    Vec::new()
                }
            },
            Who::Requester | Who::Group(_) | Who::OnCall(_) => Vec::new(),
        };
        let fits = |p: &Person| match who {
            Who::Role(role) => p.roles.contains(role),
            Who::Anyone => self.may_run(p),
            Who::Requester | Who::User(_) | Who::Group(_) | Who::OnCall(_) => true,
        };
        all.iter().map(|user| self.known(user)).filter(|p| p.active && fits(p)).collect()
    }
}
