//! What is found out before people are asked, and before a release: by runs that change nothing.
//!
//! A request that needs it is stored first, with an entry of the list `looks` in the same commit. Then its look-ups run as
//! executions of their own; what they say goes back to its tree, which asks people in one commit with the end of the
//! entry. A start after a crash takes up every entry again, under the same keys, so what has ended is not run twice.
//! Waiting costs no turn and no lock: it is a task of its own.
//!
//! Start reading at [`Engine::look`].

use crate::confirmation::Event;
use crate::confirmation::looks::{DryRan, Found, Look, Objection, usable};
use crate::confirmation::people::{Identity, PersonId};
use crate::confirmation::record::{ConfirmationId, Record, SecretVersion};
use crate::confirmation::texts::MASK;
use crate::confirmation::{Digest, Who};
use crate::people::{Principal, Role, Via, linked_user};
use crate::request::{OnHold, Source};
use crate::turn::Input;
use crate::{Engine, Refusal, Request, asking, params};
use futures::future;
use serde::{Deserialize, Serialize};
use squall_content::Action;
use squall_model::{Execution, ExecutionId, Map, Status, Timestamp, Value, from_json, to_json};
use squall_store::{Confirmation, Entry, Op, Slot, Store};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The list of the store that holds what is being found out.
pub(crate) const LIST: &str = "looks";
/// So long a dry run may take, and finding out who is asked.
const LONGEST: Duration = Duration::from_secs(20);
/// The same when somebody answers: a deadline waits a little longer for answers that came before it.
const LONGEST_AT_ANSWER: Duration = Duration::from_secs(8);
/// How often a look-up is begun again that a crash has cut off.
const TRIES: u32 = 3;
/// Entries that are looked at.
const MOST: usize = 1_000;

/// A request that waits for what must be found out before people are asked about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// The confirmation that it will be.
    pub id: ConfirmationId,
    /// Its tree.
    pub root: ExecutionId,
    /// What it holds back.
    pub runs: Vec<ExecutionId>,
    /// Who asked.
    pub requester: PersonId,
    /// The digest without what is found out.
    pub wish: Digest,
    /// The command as typed.
    pub command: Option<String>,
    /// The secrets that the parameters were made of.
    pub secrets: Vec<SecretVersion>,
    /// The confirmation whose place it takes.
    pub earlier: Option<ConfirmationId>,
    /// What is to be found out.
    pub looks: Vec<Look>,
    /// Since when.
    pub at: Timestamp,
}

impl Stage {
    /// The row that a start after a crash finds. Of equal requests that come at the same moment the store takes one; the others see
    /// it when they try again.
    pub fn ops(&self) -> Vec<Op> {
        let value = serde_json::to_string(self).unwrap_or_default();
        let entry = Op::PutEntry(Box::new(Entry { list: LIST.into(), key: self.id.to_string(), at: self.at, value }));
        let only = self.joinable().map(|run| {
            let name = format!("{LIST}/{}/{}", self.requester.as_str(), self.wish.hex());
            let slot = Slot { name, execution: run, root: self.root, at: self.at, taken: true };
            Op::PutSlot { slot: Box::new(slot), limit: 1 }
        });
        only.into_iter().chain([entry]).collect()
    }

    /// That it is done with.
    pub fn done(&self) -> Vec<Op> {
        let entry = Op::DropEntry { list: LIST.into(), key: self.id.to_string() };
        // Nothing that is held has a place among a few yet.
        let free = self.joinable().map(|execution| Op::FreeSlots { execution });
        free.into_iter().chain([entry]).collect()
    }

    /// The run of a request that an equal one joins. A task is a step of its own, and so is what takes the place of another.
    fn joinable(&self) -> Option<ExecutionId> {
        self.runs.first().copied().filter(|first| *first == self.root && self.earlier.is_none())
    }

    /// The stage that an entry of a list is.
    pub fn of(entry: &Entry) -> Option<Stage> {
        if entry.list != LIST {
            return None;
        }
        serde_json::from_str(&entry.value)
            .inspect_err(|error| tracing::error!(%error, "a held request cannot be read"))
            .ok()
    }

    /// What the execution shows under `confirmation` while nobody is asked yet.
    pub fn to_value(&self) -> Value {
        let what = |look: &Look| match look.run {
            Some(_) => Value::from(format!("dry run {}", look.action)),
            None => Value::from(Who::OnCall(look.action.clone()).shown()),
        };
        Value::from_pairs([
            ("id", Value::from(self.id.to_string())),
            ("state", "preparing".into()),
            ("looks", self.looks.iter().map(what).collect::<Vec<_>>().into()),
        ])
    }
}

/// Everything that is being found out.
pub(crate) fn stages(store: &dyn Store) -> Result<Vec<Stage>, String> {
    let entries = store.entries(LIST, MOST).map_err(|error| error.to_string())?;
    if entries.len() >= MOST {
        return Err("too much is being looked up at once; try again in a minute".into());
    }
    Ok(entries.iter().filter_map(Stage::of).collect())
}

impl Engine {
    /// Finds out what a held request needs, and goes on with it.
    pub(crate) fn look(&self, stage: Stage) {
        let engine = self.clone();
        self.inner.runtime.spawn(Box::pin(async move {
            let found = engine.look_up(&stage.looks, &stage.id.to_string(), LONGEST).await;
            engine.insist(stage.root, Input::Looked { stage: Box::new(stage), found }).await;
        }));
    }

    /// Makes the dry runs of a confirmation once more, for its release.
    pub(crate) fn look_again(&self, record: Record, root: ExecutionId) {
        let engine = self.clone();
        self.inner.runtime.spawn(Box::pin(async move {
            let dry = |dry: &DryRan| Look { run: Some(dry.run), action: dry.action.clone() };
            let looks: Vec<Look> = record.found.dry_runs.iter().filter(|dry| dry.sha.is_some()).map(dry).collect();
            let found = engine.look_up(&looks, &format!("{}/{}", record.id, record.version), LONGEST).await;
            let event = Box::new(Event::Looked(found.dry_runs));
            engine.insist(root, Input::Confirm { id: record.id.to_string(), event, inbox: None }).await;
        }));
    }

    /// After a start: what was being found out when the server stopped.
    pub(crate) fn recover_looks(&self) -> Result<(), Refusal> {
        for stage in self.store().entries(LIST, MOST)?.iter().filter_map(Stage::of) {
            self.look(stage);
        }
        Ok(())
    }

    /// Who is on call changes: they are found out anew for every answer, and stay empty when that fails.
    pub(crate) async fn look_before_answer(&self, row: &Confirmation, seq: u64) {
        let Ok(record) = Record::from_json(&row.json) else { return };
        if record.state.is_final() || record.found.on_call.is_empty() {
            return;
        }
        let look = |action: &squall_model::ActionRef| Look { run: None, action: action.clone() };
        let looks: Vec<Look> = record.found.on_call.keys().map(look).collect();
        // Each answer asks for itself; nothing that one found out is taken for another.
        let key = format!("{}/answer/{}/{seq}", record.id, self.now().micros());
        let found = self.look_up(&looks, &key, LONGEST_AT_ANSWER).await;
        if found.on_call != record.found.on_call {
            let event = Box::new(Event::OnCall(found.on_call));
            self.insist(row.root, Input::Confirm { id: row.id.clone(), event, inbox: None }).await;
        }
    }

    /// Waits until people are asked about a held request, or it is over; the execution as it is then.
    pub async fn until_asked(&self, id: ExecutionId) -> Result<Execution, Refusal> {
        let until = self.now().after(LONGEST * 2);
        loop {
            let (tell, told) = tokio::sync::oneshot::channel();
            crate::locked(&self.inner.waiting).entry(id).or_default().push(tell);
            let execution = self.store().execution(id)?.ok_or_else(|| Refusal::no_execution(id))?;
            let left = until.since(self.now());
            let waits = execution.status == Status::Pending && self.store().confirmation_of(id)?.is_none();
            if !waits || left.is_zero() {
                return Ok(execution);
            }
            let _ = future::select(told, self.inner.runtime.sleep(left)).await;
        }
    }

    async fn look_up(&self, looks: &[Look], key: &str, longest: Duration) -> Found {
        let one = |look: Look| async move {
            let output = self.look_at(&look, key, longest).await;
            (look, output)
        };
        let mut found = Found { dry_runs: Vec::new(), on_call: BTreeMap::new() };
        for (look, output) in future::join_all(looks.iter().cloned().map(one)).await {
            let Look { run, action } = look;
            match (run, output) {
                (Some(run), Ok((output, took))) => {
                    let told = self.masked(run, &text(&output));
                    found.dry_runs.push(DryRan::told(run, action, &told, took));
                }
                (Some(run), Err(why)) => {
                    found.dry_runs.push(DryRan::failed(run, action, &self.masked(run, &why)));
                }
                (None, Ok((output, _))) => drop(found.on_call.insert(action, self.people(&output))),
                (None, Err(why)) => {
                    tracing::warn!(%action, %why, "who is on call cannot be found out, so nobody is");
                    found.on_call.insert(action, Vec::new());
                }
            }
        }
        found
    }

    /// Runs one action that changes nothing, and answers what it said and how long it took.
    async fn look_at(&self, look: &Look, key: &str, longest: Duration) -> Result<(Value, Duration), String> {
        let until = self.now().after(longest);
        let content = self.content();
        let action =
            usable(content.registry(), &look.action).map_err(|objection: Objection| objection.text().to_owned())?;
        let (given, user) = match look.run {
            Some(run) => self.handed_on(run, action)?,
            None => (Map::new(), crate::people::SYSTEM_USER.to_owned()),
        };
        let run = look.run.map(|run| run.to_string()).unwrap_or_default();
        for attempt in 0..TRIES {
            let mut request = Request::new(look.action.clone(), given.clone(), principal(&user));
            request.source = Source::Internal;
            request.on_hold = OnHold::Reject;
            request.key = Some(format!("look/{key}/{run}/{}/{attempt}", look.action));
            request.context = look.run.map(|run| ("dry_run_of".into(), run.to_string().into())).into_iter().collect();
            let started = self.request(request).await.map_err(|refusal| refusal.to_string())?;
            let mut now = started;
            while !now.status.is_final() {
                let left = until.since(self.now());
                if left.is_zero() {
                    let _ = self.cancel(now.id, &Principal::internal()).await;
                    return Err(format!("{} took longer than {} s", look.action, longest.as_secs()));
                }
                now = self.wait(now.id, left).await.map_err(|refusal| refusal.to_string())?;
            }
            match now.status {
                // A crash has cut it off. It changes nothing, so it may be run again.
                Status::Abandoned => {}
                Status::Succeeded => {
                    let from = now.started.unwrap_or(now.created);
                    let took = now.ended.map_or(Duration::ZERO, |ended| ended.since(from));
                    return Ok((output(&now.result), took));
                }
                status => return Err(format!("{} is {status}: {}", look.action, reason(&now.result))),
            }
        }
        Err(format!("{} was cut off {TRIES} times", look.action))
    }

    /// The parameters of a held run that its dry run takes as well, and the user that it runs as. A secret goes only where it is
    /// one too.
    fn handed_on(&self, run: ExecutionId, dry: &Arc<Action>) -> Result<(Map, String), String> {
        let held = self.store().execution(run).map_err(|e| e.to_string())?.ok_or("the run is gone")?;
        let content = self.content();
        let registry = content.registry();
        let action = registry.action(&held.request.action).ok_or("its action is gone")?;
        let (from, to) = (content.prepared(action), content.prepared(dry));
        let may_know = |name: &str| match (from.is_secret(name), from.holds_secret(name)) {
            (true, _) => to.is_secret(name),
            (false, true) => to.holds_secret(name),
            (false, false) => true,
        };
        let fits = |name: &str| dry.parameters.contains_key(name) && may_know(name);
        let given = held.request.params.iter().filter(|(name, value)| fits(name) && !value.is_null());
        let given: Map = given.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok((params::settable(&to, &given), asking::user(&held)))
    }

    /// What a dry run said, without the secrets of the run that it is about.
    fn masked(&self, run: ExecutionId, text: &str) -> String {
        let content = self.content();
        let Ok(Some(held)) = self.store().execution(run) else { return MASK.into() };
        let Some(action) = content.registry().action(&held.request.action) else { return MASK.into() };
        params::without(&content.prepared(action).secret_texts(&held.request.params), text)
    }

    /// The people whom an action named: a list, `{users: […]}`, or words. `network:id` means whoever has that identity.
    fn people(&self, output: &Value) -> Vec<PersonId> {
        let mut found: Vec<PersonId> = names(output).iter().filter_map(|name| self.person_named(name)).collect();
        found.sort();
        found.dedup();
        found
    }

    fn person_named(&self, name: &str) -> Option<PersonId> {
        if self.store().user(name).ok().flatten().is_some() {
            return Some(PersonId::user(name));
        }
        let (network, id) = name.split_once(':')?;
        let identity = Identity { network: network.to_owned(), workspace: None, user_id: id.to_owned() };
        let user = linked_user(self.store(), &identity).ok().flatten();
        if user.is_none() {
            tracing::warn!(name, "somebody on call has no account and cannot be asked");
        }
        user.map(|user| PersonId::user(&user))
    }
}

/// Whoever wrote the rule or installed the pack decided that it runs, as for the tasks of a workflow.
fn principal(user: &str) -> Principal {
    Principal { user: user.to_owned(), role: Role::Admin, via: Via::Internal }
}

/// What of a result is the answer: of a Python action its result, of a command what it printed, of a workflow its output.
fn output(result: &Value) -> Value {
    let is_something = |value: &&Value| !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty());
    let keys = ["result", "stdout", "output"];
    keys.iter().find_map(|key| result.get(key).filter(is_something)).unwrap_or(result).clone()
}

fn text(output: &Value) -> String {
    output.as_str().map_or_else(|| to_json(output), |text| text.trim_end().to_owned())
}

/// Why a run failed, in a line.
fn reason(result: &Value) -> String {
    let said = |key: &&str| result.get(key)?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let code = || ["return_code", "exit_code"].iter().find_map(|key| result.get(key)?.as_int());
    let said = ["error", "stderr"].iter().find_map(said).or_else(|| code().map(|code| format!("it returned {code}")));
    let said = said.unwrap_or_else(|| to_json(result));
    said.lines().next().unwrap_or_default().to_owned()
}

fn names(output: &Value) -> Vec<String> {
    match output {
        Value::List(items) => items.iter().flat_map(names).collect(),
        Value::Map(map) => {
            ["users", "on_call", "people"].iter().find_map(|key| map.get(*key)).map(names).unwrap_or_default()
        }
        Value::Str(text) => match from_json(text, false) {
            Ok(value @ (Value::List(_) | Value::Map(_))) => names(&value),
            _ => {
                let words = text.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
                words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
            }
        },
        _ => Vec::new(),
    }
}
