//! Actions that ask the engine for something, as a caller would from outside: run, run again, cancel, pause, resume.
//!
//! They pass every gate with the rights of the user of their execution, so a workflow can do by them what its user may do and
//! nothing more, and what must be confirmed is held. They begin after the commit that says so, and each of them can be
//! begun again after a crash: what starts something does so under a key, and the rest changes nothing the second time.
//!
//! To add one: a line in [`find`].

use crate::native::{python, python_error, text};
use crate::people::{CHAT_USER, SYSTEM_USER, has_account};
use crate::turn::Input;
use crate::{Command, Engine, Principal, Refusal, Request, Rerun, Role, Via, view};
use squall_content::Action;
use squall_model::{Execution, ExecutionId, Map, Outcome, Status, Value, WorkKey};
use std::time::Duration;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Rerun,
    Cancel,
    Pause,
    Resume,
    /// Runs what a text means in chat, and waits for its end.
    MatchAndExecute,
}

/// The call that an action makes, if it makes one.
pub(crate) fn find(action: &Action) -> Option<Call> {
    if action.runner.name != "native" {
        return None;
    }
    Some(match &*action.reference.to_string() {
        "chatops.match_and_execute" => Call::MatchAndExecute,
        "st2.executions.cancel" => Call::Cancel,
        "st2.executions.create" => Call::Create,
        "st2.executions.pause" => Call::Pause,
        "st2.executions.re_run" => Call::Rerun,
        "st2.executions.resume" => Call::Resume,
        _ => return None,
    })
}

/// How often it is looked whether the wait was canceled.
const LOOK: Duration = Duration::from_secs(1);

/// Everything about an execution that makes a call.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub id: ExecutionId,
    pub root: ExecutionId,
    pub call: Call,
    pub own: Map,
    pub user: String,
}

impl Engine {
    /// Makes the call in the background, and reports its end as that of attempt 1.
    pub(crate) fn make_call(&self, asked: Asked) {
        let engine = self.clone();
        self.inner.runtime.spawn(Box::pin(async move {
            let outcome = engine.call(&asked).await.unwrap_or_else(|refusal| python_error(&refusal.to_string()));
            let key = WorkKey { execution: asked.id, attempt: 1 };
            engine.insist(asked.root, Input::Finished { key, outcome }).await;
        }));
    }

    /// What recovery does about a call that was under way: the same once more.
    pub(crate) fn call_again(&self, execution: &Execution) -> bool {
        let content = self.content();
        let action = content.registry().action(&execution.request.action);
        let Some((action, call)) = action.and_then(|action| Some((action, find(action)?))) else { return false };
        let (_, own) = content.prepared(action).divided(&execution.request.params);
        self.make_call(Asked::new(execution, call, own));
        true
    }

    async fn call(&self, asked: &Asked) -> Result<Outcome, Refusal> {
        let who = self.principal_for(asked)?;
        let own = &asked.own;
        match asked.call {
            Call::Create => {
                let action = text(own, "action");
                let action = action.parse().map_err(|_| Refusal::no_action(action))?;
                let who = match text(own, "user") {
                    "" => who,
                    user => self.speak_for(&who, user)?,
                };
                let mut request = Request::new(action, map(own, "parameters"), who);
                request.delay_ms = text(own, "delay").parse::<u64>().unwrap_or(0).saturating_mul(1_000);
                request.key = Some(asked.key());
                self.record(&self.request(request).await?)
            }
            Call::Rerun => {
                let tasks = own.get("tasks").and_then(Value::as_list).unwrap_or_default();
                let tasks: Vec<String> = tasks.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                let wish = Rerun {
                    params: map(own, "parameters"),
                    reset: tasks.clone(),
                    tasks: (!tasks.is_empty()).then_some(tasks),
                    key: Some(asked.key()),
                    ..Rerun::default()
                };
                self.record(&self.rerun(id(text(own, "id"))?, wish, &who).await?)
            }
            Call::Cancel | Call::Pause | Call::Resume => self.steer_all(asked, &who).await,
            Call::MatchAndExecute => self.match_and_execute(asked, who).await,
        }
    }

    /// The user of the execution, with the role that it has now.
    fn principal_for(&self, asked: &Asked) -> Result<Principal, Refusal> {
        let via = Via::Execution(asked.id);
        let known = self.store().user(&asked.user)?;
        match known {
            Some(user) if !user.active => {
                Err(Refusal::Invalid(format!("user `{}` is not active any more", asked.user)))
            }
            Some(user) => {
                let role = user.roles.iter().filter_map(|r| Role::parse(r)).max().unwrap_or(Role::Guest);
                Ok(Principal { user: user.name, role, via })
            }
            None if has_account(&asked.user) => {
                Err(Refusal::Invalid(format!("user `{}` has no account any more", asked.user)))
            }
            // Chat people without an account, and the engine itself: as the tokens of their runs.
            None => Ok(Principal { user: asked.user.clone(), role: Role::Operator, via }),
        }
    }

    /// A run never speaks for others; naming its own user is no more than it is.
    fn speak_for(&self, who: &Principal, user: &str) -> Result<Principal, Refusal> {
        if user == who.user {
            return Ok(who.clone());
        }
        crate::authorize(who, crate::Wish::Impersonate)?;
        Err(Refusal::Invalid(format!("a run cannot act as `{user}`")))
    }

    fn record(&self, execution: &Execution) -> Result<Outcome, Refusal> {
        Ok(python(view::execution(execution, &self.content(), self.settings())))
    }

    /// `{id: result}`: one that cannot be changed does not keep the others from it.
    async fn steer_all(&self, asked: &Asked, who: &Principal) -> Result<Outcome, Refusal> {
        let ids = asked.own.get("ids").and_then(Value::as_list).unwrap_or_default();
        let (mut all, mut failed) = (Map::new(), None);
        for name in ids.iter().filter_map(Value::as_str) {
            let changed = match (id(name), asked.call) {
                (Err(refusal), _) => Err(refusal),
                (Ok(id), Call::Pause) => self.pause(id, who).await,
                (Ok(id), Call::Resume) => self.resume(id, who).await,
                (Ok(id), _) => self.cancel(id, who).await,
            };
            let told = match changed {
                Ok(execution) => view::execution(&execution, &self.content(), self.settings()),
                Err(refusal) => {
                    failed = Some(refusal.to_string());
                    Value::from_pairs([("error", refusal.to_string())])
                }
            };
            all.insert(name.into(), told);
        }
        match failed {
            Some(why) if all.len() == 1 => Ok(python_error(&why)),
            _ => Ok(python(all.into())),
        }
    }

    /// Answers the id of what was run, once it is over.
    async fn match_and_execute(&self, asked: &Asked, who: Principal) -> Result<Outcome, Refusal> {
        let own = &asked.own;
        let speaker = Some(text(own, "user")).filter(|user| !user.is_empty()).unwrap_or(&who.user).to_owned();
        let command = Command {
            text: text(own, "text").to_owned(),
            who,
            speaker,
            channel: text(own, "source_channel").to_owned(),
            reply_to: None,
            chat: Value::Null,
            key: Some(asked.key()),
            kind: false,
            notify: Value::Null,
            reject_held: false,
        };
        let started = self.command(&command).await?;
        for one in &started {
            let mut now = one.execution.clone();
            while !now.status.is_final() {
                if self.is_canceled(asked.id)? {
                    return Ok(Outcome { status: Status::Canceled, result: Value::Null });
                }
                now = self.wait(now.id, LOOK).await?;
            }
            if now.status != Status::Succeeded {
                let text = format!("execution {} of `{}` is {}", now.id, now.request.action, now.status);
                let Outcome { status, result } = python_error(&text);
                let mut result = result.as_map().cloned().unwrap_or_default();
                result.insert("result".into(), now.id.to_string().into());
                return Ok(Outcome { status, result: result.into() });
            }
        }
        let ids: Vec<Value> = started.iter().map(|one| one.execution.id.to_string().into()).collect();
        Ok(python(match ids.as_slice() {
            [one] => one.clone(),
            _ => ids.into(),
        }))
    }

    fn is_canceled(&self, id: ExecutionId) -> Result<bool, Refusal> {
        Ok(self.store().execution(id)?.is_none_or(|e| e.status != Status::Running))
    }
}

impl Asked {
    pub fn new(execution: &Execution, call: Call, own: Map) -> Asked {
        let user = execution.request.context.get("user").and_then(Value::as_str);
        let default = if execution.request.reply_to.is_some() { CHAT_USER } else { SYSTEM_USER };
        let user = user.unwrap_or(default).to_owned();
        Asked { id: execution.id, root: execution.root, call, own, user }
    }

    /// What it starts is started once, however often it is asked for.
    fn key(&self) -> String {
        format!("call/{}", self.id)
    }
}

fn id(text: &str) -> Result<ExecutionId, Refusal> {
    text.parse().map_err(|_| Refusal::no_execution(text))
}

fn map(own: &Map, name: &str) -> Map {
    own.get(name).and_then(Value::as_map).cloned().unwrap_or_default()
}
