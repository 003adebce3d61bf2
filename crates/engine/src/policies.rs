//! Policies of packs that come after an end: `action.retry`.
//!
//! A retry is a new execution, requested in the very commit of the end that asks for it, so a crash neither loses nor
//! doubles it; its delay is a row. It passes the gate of confirmation like any other request: a release is for one run. Tasks
//! of workflows are not retried by policy, as in StackStorm: workflows have a word of their own for that.

use crate::turn::{Effect, Input, Turn};
use crate::{asking, params};
use squall_content::{Action, Policy};
use squall_model::{Execution, Status, Value};
use squall_store::Op;
use std::sync::Arc;

/// How many milliseconds a retry waits; nothing when the policy asks for none. `done` counts the retries so far.
fn wait(policy: &Policy, status: Status, done: i64) -> Option<u64> {
    let parameter = |name: &str| policy.parameters.get(name);
    let fits = match parameter("retry_on").and_then(Value::as_str)? {
        // What was lost with its machine has failed, and may be tried again because somebody said so.
        "failure" => matches!(status, Status::Failed | Status::Abandoned),
        "timeout" => status == Status::Timeout,
        _ => false,
    };
    let most = parameter("max_retry_count").and_then(Value::as_int)?;
    let seconds = match parameter("delay") {
        Some(Value::Int(n)) => *n as f64,
        Some(Value::Float(x)) => *x,
        _ => 0.0,
    };
    (fits && done < most).then_some((seconds.max(0.0) * 1_000.0) as u64)
}

/// The retry policy that applies, with its delay.
fn applying(turn: &Turn<'_>, ended: &Execution) -> Option<(Arc<Policy>, u64)> {
    let done = retries(ended);
    let policies = turn.around.content.registry().policies_of(&ended.request.action);
    let mut retrying = policies.filter(|policy| &*policy.policy_type == "action.retry");
    retrying.find_map(|policy| Some((policy.clone(), wait(policy, ended.status, done)?)))
}

/// How often an execution has been retried.
fn retries(execution: &Execution) -> i64 {
    let context = Value::from(execution.request.context.clone());
    context.at(&["policies", "retry", "retry_count"]).and_then(Value::as_int).unwrap_or(0)
}

impl Turn<'_> {
    /// Requests an execution again when a policy says so. What never ran, because people said no, is not.
    pub(crate) fn retry(&mut self, ended: &Execution) {
        if ended.parent.is_some() || ended.started.is_none() {
            return;
        }
        let Some((policy, delay_ms)) = applying(self, ended) else { return };
        let Some(action) = self.around.content.registry().action(&ended.request.action).filter(|a| a.enabled).cloned()
        else {
            return;
        };
        let next = self.next_try(ended, &action, &policy, delay_ms);
        let id = next.id;
        match self.ask_about_retry(next, &action, asking::call_of(ended)) {
            Ok(next) => {
                self.push(Op::Insert(Box::new(next)));
                self.after_commit(Effect::Elsewhere(id, Input::Start(id)));
            }
            Err(why) => tracing::warn!(execution = %ended.id, policy = %policy.reference, %why, "it is not retried"),
        }
    }

    fn next_try(&self, ended: &Execution, action: &Action, policy: &Policy, delay_ms: u64) -> Execution {
        let mut request = (*ended.request).clone();
        let retry = Value::from_pairs([
            ("applied_policy", Value::from(policy.reference.to_string())),
            ("retry_count", (retries(ended) + 1).into()),
            ("retried_liveaction_id", ended.id.to_string().into()),
        ]);
        // A release was for one run.
        if request.context.shift_remove("confirmation").is_some() {
            request.params = params::settable(&self.around.content.prepared(action), &request.params);
        }
        request.context.insert("policies".into(), Value::from_pairs([("retry", retry)]));
        request.delay_ms = delay_ms;
        request.definition = action.definition.as_ref().map(|d| d.sha.to_string());
        // A retry of a re-run begins as that did.
        if request.again.is_some() {
            request.definition = ended.request.definition.clone();
        }
        Execution::new(self.around.ids.execution(), request, self.around.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(parameters: &[(&str, Value)], status: Status, done: i64, expected: Option<u64>) {
        let yaml = "name: again\nresource_ref: core.noop\npolicy_type: action.retry\nparameters: {retry_on: failure}\n";
        let dir = tempfile::tempdir().unwrap();
        let pack = dir.path().join("p");
        std::fs::create_dir_all(pack.join("policies")).unwrap();
        let manifest = "name: p\ndescription: d\nversion: 1.0.0\nauthor: a\n";
        std::fs::write(pack.join("pack.yaml"), manifest).unwrap();
        std::fs::write(pack.join("policies/again.yaml"), yaml).unwrap();
        let sources =
            squall_content::Sources { builtin: true, packs: vec![dir.path().to_owned()], ..Default::default() };
        let registry = squall_content::load(&sources).registry;
        let mut policy = (**registry.policies.values().next().unwrap()).clone();
        policy.parameters = Value::from_pairs(parameters.iter().cloned());
        assert_eq!(wait(&policy, status, done), expected);
    }

    #[test]
    fn failures_and_time_outs_are_told_apart() {
        let on =
            |what: &str| vec![("retry_on", Value::from(what)), ("max_retry_count", 2.into()), ("delay", 1.5.into())];
        check(&on("failure"), Status::Failed, 0, Some(1_500));
        check(&on("failure"), Status::Abandoned, 1, Some(1_500));
        check(&on("failure"), Status::Failed, 2, None);
        check(&on("failure"), Status::Timeout, 0, None);
        check(&on("timeout"), Status::Timeout, 0, Some(1_500));
        check(&on("timeout"), Status::Failed, 0, None);
        check(&on("failure"), Status::Canceled, 0, None);
        check(&on("failure"), Status::Succeeded, 0, None);
    }
}
