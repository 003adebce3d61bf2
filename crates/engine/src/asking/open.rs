//! Asking: the record of a question, or what must be found out before there can be one.
//!
//! An equal request joins the question that is open. Nothing is written here: what comes out is a decision for the commit.
//!
//! Start reading at [`Asker::open`].

use super::origin::{place, source, user};
use super::who::People;
use super::{Asker, Wanted};
use crate::confirmation::Code;
use crate::confirmation::decide::{self, Decision, Opening};
use crate::confirmation::declare::{DryRun, Show};
use crate::confirmation::digest::{Asked, Digest, digest};
use crate::confirmation::limits::{OpenLimits, delay_moves_deadline};
use crate::confirmation::looks::{self, Found, Look};
use crate::confirmation::people::{Directory, Identity, Requester, Who};
use crate::confirmation::policy::{Joined, Stamp};
use crate::confirmation::record::{ConfirmationId, Kind, Place, Record};
use crate::confirmation::texts::{ShownRun, shown_run};
use crate::looking::Stage;
use crate::{closure, params};
use squall_content::Action;
use squall_model::{Execution, ExecutionId, Map, Secret, Str, Value};
use squall_store::{ConfirmationFilter, Page};
use std::sync::Arc;
use std::time::Duration;

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

/// People who are asked in private at most.
const MOST_ASKED: usize = 20;

impl Asker<'_> {
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
            self.fits(Some(&requester), origin.as_ref())?;
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
            command: self.typed(wanted),
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
        let stages = crate::looking::stages(self.store)?;
        let of_requester = || stages.iter().filter(|stage| stage.requester == requester && stage.id != id);
        let looking = of_requester().count();
        if first.execution.parent.is_none()
            && let Some(same) = of_requester().find(|stage| stage.wish == wish && stage.earlier.is_none())
        {
            return Ok(Opened::Looked(same.runs.first().copied().unwrap_or(first.execution.id)));
        }
        if looking + self.opened >= OpenLimits::default().requester {
            return Err(format!(
                "for {looking} requests of yours is being looked up already; try again in a minute. Nothing was started"
            ));
        }
        let stage = Stage {
            id,
            root: first.execution.root,
            runs: wanted.iter().map(|w| w.execution.id).collect(),
            requester,
            wish,
            command: self.typed(wanted),
            secrets: wanted.iter().flat_map(|w| w.secrets.clone()).collect(),
            earlier,
            looks,
            at: self.now,
        };
        Ok(Opened::Looks(Box::new(stage), Box::new(would_be)))
    }

    /// The command as typed, for people: it may be told in other places than the one where it was typed.
    fn typed(&self, wanted: &[Wanted<'_>]) -> Option<String> {
        let typed = wanted.first()?.command.clone()?;
        let without = |text: String, one: &Wanted<'_>| {
            params::without(&self.content.prepared(one.action).secret_texts(one.params), &text)
        };
        Some(wanted.iter().fold(typed, without))
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

    /// The digest of the runs of one message, in their order.
    pub(super) fn digest(
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
        let secrets: Vec<_> = known.iter().map(|k| move |name: &str| k.5.holds_secret(name)).collect();
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

    /// Whether one more may wait, of somebody and in a place.
    pub fn fits(&self, requester: Option<&Requester>, origin: Option<&Place>) -> Result<(), String> {
        let count = |of: Option<&str>, channel: Option<(&str, &str)>| {
            self.store.open_confirmations(of, channel).map(|n| n as usize).map_err(|e| e.to_string())
        };
        let open = OpenLimits {
            requester: match requester {
                Some(requester) => self.opened + count(Some(requester.person.as_str()), None)?,
                None => 0,
            },
            channel: match origin {
                Some(place) => self.opened + count(None, Some((&place.network, &place.channel)))?,
                None => 0,
            },
            total: crate::locked(self.paces).open(self.now, || count(None, None))?,
        };
        OpenLimits::default().fits(open).map_err(|(n, what)| {
            format!("{n} confirmations {what} wait already; answer or withdraw some first. Nothing was started")
        })
    }
}

pub(super) fn stamps(rules: &[Stamp]) -> Vec<(String, String)> {
    rules.iter().map(|r| (r.id.clone(), r.sha.clone())).collect()
}

/// Places that rules name besides the origin, as `network:channel`.
pub(crate) fn also(joined: &Joined) -> Vec<Place> {
    let one = |text: &String| {
        let (network, channel) = text.split_once(':')?;
        Some(Place { network: network.to_owned(), channel: channel.to_owned(), thread: None, private: false })
    };
    joined.ask_also.iter().filter_map(one).collect()
}

/// Where somebody is asked in private; bots in front of squall take no such messages.
fn direct(own: &Identity) -> Option<Place> {
    (own.network != crate::bots::NETWORK).then(|| Place::direct(&own.network, &own.user_id))
}
