//! What an event does to a question, and whether what would run is still what was asked about.

use super::open::stamps;
use super::who::People;
use super::{Asker, EPOCH};
use crate::confirmation::decide::{self, Decision, Event, Settings as Rules, World};
use crate::confirmation::people::{Directory, PersonId};
use crate::confirmation::record::{Cause, Kind, Record};
use crate::lookup::Datastore;
use crate::people::{Principal, Role, Via, Wish, authorize, has_account};
use squall_content::Action;
use squall_model::Execution;
use std::sync::Arc;

impl Asker<'_> {
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

    pub(super) fn world<'b>(
        &self,
        directory: &'b People<'b>,
        recheck: &'b dyn Fn(&Record) -> Result<(), Cause>,
        rules: &'b Rules,
        release_id: &'b str,
    ) -> World<'b> {
        World { now: self.now, directory, recheck, release_id, breaks_today: 0, is_barred: false, settings: rules }
    }

    pub(super) fn rules(&self) -> Rules {
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
        let Some(name) = record.requester.account().filter(|name| has_account(name)) else { return false };
        // An account that cannot be read is looked at again before the release.
        self.store.user(name).is_ok_and(|user| user.is_none_or(|user| !user.active))
    }

    /// Whether the requester is still there and may run `actions`. Tasks are run by right of who installed the pack.
    fn requester_may(&self, record: &Record, actions: &[&Arc<Action>]) -> Result<(), Cause> {
        let Some(name) = record.requester.account().filter(|name| has_account(name)) else { return Ok(()) };
        let gone = || Cause::MayNotRun(record.requester.shown.clone());
        let person = self.directory().person(&PersonId::user(name)).filter(|p| p.active).ok_or_else(gone)?;
        let role = person.roles.iter().filter_map(|r| Role::parse(r)).max().unwrap_or(Role::Guest);
        let who = Principal { user: name.to_owned(), role, via: Via::Token };
        let may = |action: &&Arc<Action>| authorize(&who, Wish::Run(action)).is_ok();
        if actions.iter().all(may) { Ok(()) } else { Err(gone()) }
    }
}
