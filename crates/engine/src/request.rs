//! The one door: what wants to run comes in here, passes the gates, is stored, and only then acknowledged.

use crate::asking::{self, Asker, Opened, Wanted};
use crate::people::{Principal, Wish, authorize};
use crate::refusal::Refusal;
use crate::turn::{Answer, Input};
use crate::{Content, Engine, gates, params};
use squall_content::Alias;
use squall_model::{ActionRef, Execution, ExecutionId, Map, ReplyTo, Status, Value};
use squall_store::{Filter, Op, Page};

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The REST API, or a client that uses it.
    Api,
    /// Chat, by an alias: what was typed is data and never rendered.
    Chat,
    /// A rule.
    Rule,
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
}

/// What the gate of confirmation says.
pub(crate) enum Held {
    /// It runs.
    Runs(Box<Execution>, Vec<Op>),
    /// It waits for people, and these are the rows that ask them.
    Waits(Box<Execution>, Vec<Op>),
    /// The very same request waits already.
    Already(ExecutionId),
}

impl Request {
    /// A plain request over the API.
    pub fn new(action: ActionRef, params: Map, who: Principal) -> Request {
        Request {
            action,
            params,
            who,
            source: Source::Api,
            context: Map::new(),
            notify: Value::Null,
            reply_to: None,
            delay_ms: 0,
            key: None,
        }
    }
}

impl Engine {
    /// Requests an execution. The answer comes after the commit, with the execution as it was requested; it may have ended by then.
    pub async fn request(&self, request: Request) -> Result<Execution, Refusal> {
        let content = self.content();
        let id = self.ids().execution();
        match gates::pass(self, &content, &request)? {
            gates::Verdict::Run(requested) => {
                let execution = Execution::new(id, requested, self.now());
                let held = self.held_or_not(&content, execution, None, None, &request.who)?;
                match held {
                    Held::Already(first) => self.stored(first),
                    Held::Waits(execution, along) | Held::Runs(execution, along) => {
                        self.store_request(*execution, request.key, along).await
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

    fn stored(&self, id: ExecutionId) -> Result<Execution, Refusal> {
        self.store().execution(id)?.ok_or_else(|| Refusal::no_execution(id))
    }

    /// The last gate: whether people must be asked before this runs. What must wait comes back with its question.
    pub(crate) fn held_or_not(
        &self,
        content: &Content,
        mut execution: Execution,
        alias: Option<&Alias>,
        command: Option<String>,
        who: &Principal,
    ) -> Result<Held, Refusal> {
        let reference = &execution.request.action;
        let action = content.registry().action(reference).cloned();
        let action = action.ok_or_else(|| Refusal::no_action(&reference.to_string()))?;
        let asker =
            Asker { content, store: self.store(), ids: self.ids(), settings: self.settings(), now: execution.created };
        let lookup = self.request_lookup(who);
        let host = lookup.lookup();
        let context = execution.request.context.clone();
        let config = content.config(&action.reference.pack);
        let around = params::Around { context: &context, config, host: &host };
        // Parameters that cannot be rendered fail when it starts: nothing is hidden by asking first.
        let finals = params::finals(&content.prepared(&action), &execution.request.params, &around);
        let all: Map = match finals {
            Ok((runner, own)) => runner.into_iter().chain(own).collect(),
            Err(_) => execution.request.params.clone(),
        };
        let wanted = Wanted {
            execution: &execution,
            action: &action,
            alias,
            root: &execution,
            params: &all,
            covered: Default::default(),
            command,
        };
        let joined = match asker.demand(&wanted, &host).map_err(Refusal::Invalid)? {
            None => return Ok(Held::Runs(Box::new(execution), Vec::new())),
            Some(joined) => joined,
        };
        match asker.open(&wanted, joined).map_err(Refusal::Invalid)? {
            Opened::Joined(record) => match record.runs.first() {
                Some((id, _)) => Ok(Held::Already(*id)),
                None => Err(Refusal::Broken("a confirmation holds nothing".into())),
            },
            Opened::Held(decision) => {
                asking::hold(&mut execution, all, &decision.record);
                let along = asking::ops(&decision, None, execution.id, execution.created);
                Ok(Held::Waits(Box::new(execution), along))
            }
        }
    }

    /// Commits a request that passed the gates, with what belongs to it.
    pub(crate) async fn store_request(
        &self,
        execution: Execution,
        key: Option<String>,
        mut along: Vec<Op>,
    ) -> Result<Execution, Refusal> {
        if let Some(why) = self.unready() {
            return Err(Refusal::Unavailable(why.into()));
        }
        let id = execution.id;
        if let Some(key) = key {
            along.insert(0, Op::Taken { key, execution: id, at: execution.created });
        }
        let input = Input::Insert { execution: Box::new(execution), along };
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
