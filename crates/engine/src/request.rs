//! The one door: what wants to run comes in here, passes the gates, is stored, and only then acknowledged.

use crate::asking::{self, Asker, Before, Opened, Waiting, Wanted};
use crate::noting::{Noting, SecretVersion, Seen};
use crate::people::{Principal, Via, Wish, authorize};
use crate::refusal::Refusal;
use crate::turn::{Answer, Input, Requested};
use crate::{Content, Engine, gates, locked, params};
use squall_content::{Action, Alias};
use squall_model::{ActionRef, Again, Execution, ExecutionId, Map, ReplyTo, Status, Timestamp, Value};
use squall_store::{Filter, Op, Page};
use std::sync::Arc;

pub use crate::confirmation::policy::Source;

/// What becomes of a request about which people would have to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHold {
    /// It waits for them.
    #[default]
    Wait,
    /// It is refused, and nothing is stored.
    Reject,
}

/// Something to run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which action.
    pub action: ActionRef,
    /// What the caller gives; templates in it are rendered, except from chat.
    pub params: Map,
    /// Who asks.
    pub who: Principal,
    /// From where.
    pub source: Source,
    /// Additions to the context; keys that say who asked are the engine's and are refused.
    pub context: Map,
    /// Notification settings in StackStorm's form, or null.
    pub notify: Value,
    /// Where answers go, when it comes from chat.
    pub reply_to: Option<ReplyTo>,
    /// Start no earlier than so many milliseconds from now.
    pub delay_ms: u64,
    /// A second request with the same key gets the first one's execution.
    pub key: Option<String>,
    /// What is run again, when it was run before.
    pub earlier: Option<Earlier>,
    /// A confirmation that the caller wants in addition to what the rules ask, in the form of a declaration; or null.
    pub confirm: Value,
    /// What becomes of it when people must be asked.
    pub on_hold: OnHold,
}

/// The execution that is run again.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// Which.
    pub of: ExecutionId,
    /// Its parameters, which were rendered then and are data now; those of the request go over them.
    pub params: Map,
    /// Tasks of it to go on from, and the definition that it runs.
    pub again: Option<(Again, Option<String>)>,
}

/// What the gate of confirmation says about the runs of one message.
pub(crate) enum Held {
    /// They run.
    Runs(Vec<Requested>, Vec<Op>),
    /// They wait for people, and these are the rows that ask them.
    Waits(Vec<Requested>, Vec<Op>),
    /// The very same request waits already.
    Already(ExecutionId),
}

/// A run that passed the other gates.
pub(crate) struct Passed {
    pub execution: Execution,
    /// Secrets that its caller's templates were made of.
    pub seen: Seen,
}

impl Request {
    /// A plain request over the API; a program's is known by its token.
    pub fn new(action: ActionRef, params: Map, who: Principal) -> Request {
        let source = if matches!(who.via, Via::Agent(_)) { Source::Mcp } else { Source::Api };
        Request {
            action,
            params,
            who,
            source,
            context: Map::new(),
            notify: Value::Null,
            reply_to: None,
            delay_ms: 0,
            key: None,
            earlier: None,
            confirm: Value::Null,
            on_hold: OnHold::Wait,
        }
    }

    /// The same from a client that calls itself something; a program stays what its token says.
    pub fn from_client(self, claimed: Option<Source>) -> Request {
        let claimed = claimed.filter(|claimed| self.source == claimed.proven());
        Request { source: claimed.unwrap_or(self.source), ..self }
    }
}

/// What came of trying to store a request.
pub(crate) enum Tried<T> {
    /// It is stored.
    Stored(T),
    /// An equal one, or one that drew the same code, was stored in the same instant: now it is there to be seen.
    Overtaken(Refusal),
}

/// How often a request that is overtaken is looked at.
pub(crate) const TRIES: usize = 4;

/// What asking about a message needs to know of it.
pub(crate) struct Asking<'a> {
    pub alias: Option<&'a Alias>,
    pub command: Option<&'a str>,
    pub confirm: &'a Value,
    pub on_hold: OnHold,
}

impl Default for Asking<'_> {
    fn default() -> Self {
        Asking { alias: None, command: None, confirm: &Value::Null, on_hold: OnHold::Wait }
    }
}

/// A run with its action, final parameters and the secrets that they were made of.
type Known = (Arc<Action>, Map, Box<Execution>, Vec<SecretVersion>);

pub(crate) enum Final {
    Known(Arc<Action>, Map, Box<Execution>, Vec<SecretVersion>),
    Fails(Box<Execution>, String),
}

impl Engine {
    /// Requests an execution. The answer comes after the commit, with the execution as it was requested; it may have ended by then.
    pub async fn request(&self, request: Request) -> Result<Execution, Refusal> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.request_once(&request).await? {
                Tried::Stored(execution) => return Ok(execution),
                Tried::Overtaken(refusal) if tries == 0 => return Err(refusal),
                Tried::Overtaken(_) => {}
            }
        }
    }

    async fn request_once(&self, request: &Request) -> Result<Tried<Execution>, Refusal> {
        let content = self.content();
        let id = self.ids().execution();
        match gates::pass(self, &content, request)? {
            gates::Verdict::Run(requested, seen) => {
                let passed = Passed { execution: Execution::new(id, requested, self.now()), seen };
                let asking = Asking { confirm: &request.confirm, on_hold: request.on_hold, ..Asking::default() };
                match self.held_or_not(&content, vec![passed], &asking)? {
                    Held::Already(first) => self.until_asked(first).await.map(Tried::Stored),
                    Held::Waits(requested, along) => {
                        match self.store_held(requested, request.key.clone(), along).await? {
                            Tried::Stored(stored) => self.until_asked(stored.id).await.map(Tried::Stored),
                            overtaken => Ok(overtaken),
                        }
                    }
                    Held::Runs(requested, along) => {
                        self.store_request(requested, request.key.clone(), along).await.map(Tried::Stored)
                    }
                }
            }
            gates::Verdict::Stillborn { requested, outcome, message } => {
                // StackStorm stores a request whose templates fail, so that its history shows it.
                let now = self.now();
                let mut execution = Execution::new(id, requested, now);
                execution.log.push((now, Status::Failed));
                execution.status = Status::Failed;
                execution.ended = Some(now);
                execution.result = outcome.result;
                self.inner.store.commit(Op::Insert(Box::new(execution)).into()).await?;
                Err(Refusal::Stillborn { execution: id, message })
            }
        }
    }

    /// The last gate: whether people must be asked before the runs of one message start. All wait when one must.
    pub(crate) fn held_or_not(
        &self,
        content: &Content,
        mut passed: Vec<Passed>,
        asking: &Asking<'_>,
    ) -> Result<Held, Refusal> {
        // Runs of one message stand in one tree, so that one commit releases all of them.
        if let Some(root) = passed.first().map(|first| first.execution.id) {
            passed.iter_mut().for_each(|one| one.execution.root = root);
        }
        let count = passed.len();
        let mut known = Vec::with_capacity(count);
        for one in passed {
            match self.final_params(content, one)? {
                Final::Known(action, all, execution, secrets) => known.push((action, all, execution, secrets)),
                // It fails when it starts, in the turn that inserts it, or at the gate of a later one.
                // All of one message run, or none does.
                Final::Fails(_, why) if count > 1 => {
                    return Err(Refusal::Invalid(format!(
                        "the parameters of one of {count} runs cannot be made: {why}"
                    )));
                }
                Final::Fails(execution, _) => {
                    let requested = vec![Requested { execution, finals: None }];
                    return Ok(Held::Runs(requested, Vec::new()));
                }
            }
        }
        self.ask(content, known, asking)
    }

    pub(crate) fn final_params(&self, content: &Content, passed: Passed) -> Result<Final, Refusal> {
        let Passed { execution, seen } = passed;
        let reference = &execution.request.action;
        let action = content.registry().action(reference).cloned();
        let action = action.ok_or_else(|| Refusal::no_action(&reference.to_string()))?;
        let context = execution.request.context.clone();
        let lookup = self.run_lookup(&context);
        let lookup = lookup.lookup();
        let host = Noting { host: &lookup, seen: &seen };
        let around = params::Around { context: &context, config: content.config(&action.reference.pack), host: &host };
        let finals = params::finals(&content.prepared(&action), &execution.request.params, &around);
        let secrets = seen.versions(&lookup.data, &lookup.user);
        Ok(match finals {
            Ok((runner, own)) => {
                Final::Known(action, runner.into_iter().chain(own).collect(), Box::new(execution), secrets)
            }
            Err(outcome) => Final::Fails(Box::new(execution), params::error_text(&outcome)),
        })
    }

    fn ask(&self, content: &Content, known: Vec<Known>, asking: &Asking<'_>) -> Result<Held, Refusal> {
        let now = known.first().map_or_else(|| self.now(), |(_, _, execution, _)| execution.created);
        let nowhere = Default::default();
        let mut asker = self.asker(content, now);
        if asking.on_hold == OnHold::Reject {
            // Nobody is asked, so it takes no place in a channel.
            asker.paces = &nowhere;
        }
        let wanted: Vec<Wanted<'_>> = known
            .iter()
            .map(|(action, params, execution, secrets)| Wanted {
                alias: asking.alias,
                command: asking.command.map(str::to_owned),
                call: asking.confirm,
                ..Wanted::new(execution, action, params, secrets.clone())
            })
            .collect();
        let mut demanded = Vec::with_capacity(wanted.len());
        for one in &wanted {
            let lookup = self.run_lookup(&one.execution.request.context);
            demanded.push(asker.demand(one, &lookup.lookup()).map_err(Refusal::Invalid)?);
        }
        let mut along: Vec<Op> =
            wanted.iter().zip(&demanded).flat_map(|(w, d)| d.exemption_ops(w.execution, now)).collect();
        let joined = asker.join(&wanted, &demanded).map_err(Refusal::Invalid)?;
        let Some(joined) = joined else {
            drop(wanted);
            let cleared = |(_, params, execution, _): Known| Requested { execution, finals: Some(params) };
            return Ok(Held::Runs(known.into_iter().map(cleared).collect(), along));
        };
        let (decision, stage) = match asker.open(&wanted, joined, &Before::default()).map_err(Refusal::Invalid)? {
            Opened::Joined(record) if asking.on_hold == OnHold::Reject => {
                return Err(Refusal::Held(Box::new(record.to_value())));
            }
            Opened::Joined(record) => {
                let first = record.runs.first().map(|(id, _)| *id);
                return first.map(Held::Already).ok_or_else(|| Refusal::Broken("a confirmation holds nothing".into()));
            }
            Opened::Looked(_) if asking.on_hold == OnHold::Reject => {
                return Err(Refusal::Held(Box::new(Value::from_pairs([("state", "preparing")]))));
            }
            Opened::Looked(first) => return Ok(Held::Already(first)),
            Opened::Held(decision) => (decision, None),
            Opened::Looks(stage, would_be) => (would_be, Some(stage)),
        };
        drop(wanted);
        if asking.on_hold == OnHold::Reject {
            return Err(Refusal::Held(Box::new(decision.record.to_value())));
        }
        let root = known.first().map_or(ExecutionId([0; 12]), |(_, _, execution, _)| execution.root);
        let waiting = match &stage {
            Some(stage) => {
                along.extend(stage.ops());
                Waiting::Looks(stage)
            }
            None => {
                along.extend(asking::ops(&decision, None, root, now));
                Waiting::Asked(&decision.record)
            }
        };
        let held = |(action, params, mut execution, _): Known| {
            asking::hold(&mut execution, &action, params, &waiting, asking.confirm);
            Requested { execution, finals: None }
        };
        Ok(Held::Waits(known.into_iter().map(held).collect(), along))
    }

    /// Passes a request through every gate and stores nothing; answers the ids of the rules that would ask.
    pub fn would_ask(&self, request: &Request) -> Result<Vec<String>, Refusal> {
        let content = self.content();
        let (requested, seen) = match gates::pass(self, &content, request)? {
            gates::Verdict::Run(requested, seen) => (requested, seen),
            gates::Verdict::Stillborn { message, .. } => return Err(Refusal::Invalid(message)),
        };
        let passed = Passed { execution: Execution::new(self.ids().execution(), requested, self.now()), seen };
        let Final::Known(action, params, execution, secrets) = self.final_params(&content, passed)? else {
            return Ok(Vec::new());
        };
        let wanted = Wanted { call: &request.confirm, ..Wanted::new(&execution, &action, &params, secrets) };
        let lookup = self.run_lookup(&execution.request.context);
        let asker = self.asker(&content, execution.created);
        let demanded = asker.demand(&wanted, &lookup.lookup()).map_err(Refusal::Invalid)?;
        Ok(demanded.ids())
    }

    pub(crate) fn asker<'a>(&'a self, content: &'a Content, now: Timestamp) -> Asker<'a> {
        Asker {
            content,
            store: self.store(),
            ids: self.ids(),
            settings: self.settings(),
            now,
            paces: &self.inner.paces,
            length: locked(&self.inner.guesses).code_length(now),
            opened: 0,
        }
    }

    /// Commits runs that passed the gates, with what belongs to them; answers the first.
    pub(crate) async fn store_request(
        &self,
        requested: Vec<Requested>,
        key: Option<String>,
        mut along: Vec<Op>,
    ) -> Result<Execution, Refusal> {
        if let Some(why) = self.unready() {
            return Err(Refusal::Unavailable(why.into()));
        }
        let Some(first) = requested.first() else { return Err(Refusal::Invalid("there is nothing to run".into())) };
        let (id, created) = (first.execution.id, first.execution.created);
        if let Some(key) = key {
            along.insert(0, Op::Taken { key, execution: id, at: created });
        }
        let input = Input::Insert { requested, along };
        match self.send(id, input).await {
            Answer::Execution(execution) => Ok(*execution),
            Answer::Refused(Refusal::Duplicate(first)) => {
                self.store().execution(first)?.ok_or_else(|| Refusal::no_execution(first))
            }
            Answer::Refused(refusal) => Err(refusal),
            Answer::Claim(_) | Answer::Confirmed { .. } | Answer::Done => {
                Err(Refusal::Broken("a request was answered with something else".into()))
            }
        }
    }

    /// The same for runs that wait, which an equal request may overtake.
    pub(crate) async fn store_held(
        &self,
        requested: Vec<Requested>,
        key: Option<String>,
        along: Vec<Op>,
    ) -> Result<Tried<Execution>, Refusal> {
        match self.store_request(requested, key, along).await {
            Err(refusal @ Refusal::Conflict(_)) => Ok(Tried::Overtaken(refusal)),
            done => done.map(Tried::Stored),
        }
    }

    /// One execution, for somebody who may look.
    pub fn execution(&self, id: ExecutionId, who: &Principal) -> Result<Execution, Refusal> {
        authorize(who, Wish::View)?;
        self.store().execution(id)?.ok_or_else(|| Refusal::no_execution(id))
    }

    /// A page of executions and the number of all that the filter lets through.
    pub fn executions(&self, filter: &Filter, page: Page, who: &Principal) -> Result<(Vec<Execution>, u64), Refusal> {
        authorize(who, Wish::View)?;
        Ok(self.store().executions(filter, page)?)
    }

    /// Cancels an execution.
    pub async fn cancel(&self, id: ExecutionId, who: &Principal) -> Result<Execution, Refusal> {
        self.steer(id, who, |by| Input::Cancel { id, by }).await
    }

    /// Pauses a workflow.
    pub async fn pause(&self, id: ExecutionId, who: &Principal) -> Result<Execution, Refusal> {
        self.steer(id, who, |by| Input::Pause { id, by }).await
    }

    /// Lets a paused workflow go on.
    pub async fn resume(&self, id: ExecutionId, who: &Principal) -> Result<Execution, Refusal> {
        self.steer(id, who, |by| Input::Resume { id, by }).await
    }

    async fn steer(
        &self,
        id: ExecutionId,
        who: &Principal,
        input: impl FnOnce(String) -> Input,
    ) -> Result<Execution, Refusal> {
        let execution = self.execution(id, who)?;
        let requester = execution.request.context.get("user").and_then(Value::as_str).unwrap_or_default();
        authorize(who, Wish::Steer { requester })?;
        match self.send(execution.root, input(who.user.clone())).await {
            Answer::Refused(refusal) => Err(refusal),
            // As it is after the commit, which may be more than the input alone did.
            Answer::Execution(_) | Answer::Confirmed { .. } | Answer::Done | Answer::Claim(_) => {
                self.store().execution(id)?.ok_or_else(|| Refusal::no_execution(id))
            }
        }
    }
}
