//! What follows from a stimulus.

use super::Front;
use super::load::{Definition, Node};
use super::render::{self, Sight};
use super::state::{Entry, Fact, State};
use crate::fixed_keys::{fill, keys};
use crate::step::Step;
use crate::{Begin, Child, Offer, Registered, RunId, Stimulus};
use squall_model::{Map, Status, Str, Timestamp, Value};
use std::sync::{Arc, LazyLock};

/// Hears a stimulus.
pub(super) fn decide(step: &mut Step<'_, Front>, stimulus: Stimulus) {
    let at = step.host.now();
    let mut conductor = Conductor { step, at };
    match stimulus {
        Stimulus::Begin(begin) => conductor.begin(begin),
        Stimulus::Finished { run, status, result } => conductor.finished(run, status, result),
        Stimulus::Refused { run, message } => conductor.refused(run, &message),
        Stimulus::Pause => conductor.pause(),
        Stimulus::Resume { env } => conductor.resume(env),
        Stimulus::Stop { status, message } => conductor.stop(status, message),
        // Chains have no timers, do not record starts, and cannot be run again from the middle.
        Stimulus::Started { .. } | Stimulus::Due { .. } | Stimulus::Rerun { .. } => {}
    }
}

struct Conductor<'s, 'a> {
    step: &'s mut Step<'a, Front>,
    at: Timestamp,
}

impl<'a> Conductor<'_, 'a> {
    fn emit(&mut self, fact: Fact) {
        self.step.emit(crate::Fact::Chain(fact));
    }

    fn state(&self) -> &State {
        self.step.state()
    }

    fn definition(&self) -> &'a Definition {
        self.step.definition
    }

    fn began(&self) -> Arc<Begin> {
        self.step.run().begin().cloned().unwrap_or_default()
    }

    fn begin(&mut self, begin: Box<Begin>) {
        self.step.emit(crate::Fact::Begun { begin });
        let begin = self.began();
        match render::vars(&self.definition().vars, &begin, self.step.host) {
            Ok(vars) => self.emit(Fact::VarsSet { vars }),
            Err(error) => return self.fail("Failed initializing ``vars`` in chain.", &error),
        }
        match self.definition().node(&self.definition().start) {
            Some(_) => self.reach(self.definition().start.clone()),
            None => self.end(Status::Succeeded),
        }
    }

    /// Goes to the node of that name.
    fn reach(&mut self, name: Str) {
        let Some(node) = self.definition().node(&name) else { return self.lost(&name) };
        self.emit(Fact::Reached { node: name, at: self.at });
        self.offer(node);
    }

    /// There is no node of the name that comes next.
    fn lost(&mut self, name: &str) {
        let present = self.state().node.clone().unwrap_or_default();
        let summary = format!("Failed to get next node \"{present}\".");
        self.fail(&summary, &not_found(name));
    }

    fn offer(&mut self, node: &Node) {
        let (name, reference) = (&node.name, &node.reference);
        let registered = self.step.host.action(reference);
        if matches!(registered, Registered::No) {
            let reference = if reference.is_empty() { "None" } else { reference };
            let summary =
                format!("Failed to run task \"{name}\". Action with reference \"{reference}\" doesn't exist.");
            let detail = format!("Task :: {name} - Action with ref {reference} not registered.");
            return self.fail(&summary, &detail);
        }
        if let Some(fault) = node.fault(&["params", "parameters"]) {
            return self.escape(fault);
        }
        let begin = self.began();
        let sight = Sight::of(self.state(), &begin);
        let rendered = match render::parameters(node, &sight, self.step.host) {
            Ok(rendered) => rendered,
            Err(render::Failure::Text(detail)) => {
                let summary = format!("Failed to run task \"{name}\". Parameter rendering failed.");
                return self.fail(&summary, &detail);
            }
            Err(render::Failure::Structure(text)) => return self.escape(&text),
        };
        let input = match render::cast(rendered, &registered) {
            Ok(input) => input,
            Err(text) => return self.escape(&text),
        };
        if let Some(fault) = node.fault(&["notify"]) {
            return self.escape(fault);
        }
        let skip_notify = names(begin.runner.get("skip_notify")).any(|skipped| skipped == &**name);
        let notify = match &node.notify {
            _ if skip_notify => None,
            Some(notify) => Some(notify.clone()),
            None => begin.env.get("notify").filter(|notify| notify.is_truthy()).cloned(),
        };
        let child = Child { context: node.context.clone(), notify, skip_notify, delay_ms: 0 };
        self.step.offer(Offer {
            task: name.clone(),
            action: Some(reference.clone()),
            input: Value::from(input),
            child,
            ..Offer::default()
        });
    }

    fn finished(&mut self, run: RunId, status: Status, result: Value) {
        self.step.emit(crate::Fact::Finished { run, status, result: result.clone() });
        if self.state().run != Some(run) {
            return; // A pending child that a resume left behind.
        }
        let execution = self.step.host.child(run);
        self.emit(Fact::Listed { run, execution, state: status, result, at: self.at });
        if self.state().held {
            // Heard while the chain is paused: what follows waits for the resume.
            if let Some(status) = self.state().asked.filter(|status| status.is_final()) {
                self.end(status);
            }
            return;
        }
        if let Err(text) = self.publish() {
            // StackStorm forgets this error when it finds no next node either.
            return match self.next() {
                Next::Lost(name) => self.lost(&name),
                Next::Node(_) | Next::End(_) | Next::Hold => self.escape(&text),
            };
        }
        self.go_on();
    }

    fn refused(&mut self, run: RunId, message: &str) {
        self.step.emit(crate::Fact::Refused { run, message: message.to_owned() });
        let name = self.state().node.clone().unwrap_or_default();
        let error = format!("Failed running task \"{name}\".. {message}");
        let result = Value::from_pairs([("error", error.as_str()), ("traceback", "")]);
        self.emit(Fact::Listed { run, execution: None, state: Status::Failed, result, at: self.at });
        self.go_on();
    }

    /// The present node publishes, however it ended.
    fn publish(&mut self) -> Result<(), String> {
        let Some(node) = self.present() else { return Ok(()) };
        if let Some(fault) = node.fault(&["publish"]) {
            return Err(fault.to_owned());
        }
        if !node.publish.is_empty() {
            let begin = self.began();
            let vars = render::publish(node, &Sight::of(self.state(), &begin), self.step.host)?;
            self.emit(Fact::Published { vars });
        }
        Ok(())
    }

    fn present(&self) -> Option<&'a Node> {
        self.definition().node(&self.state().entries().last()?.node)
    }

    /// What follows the present node, which is over. That there is no such node comes before pause and cancel.
    fn go_on(&mut self) {
        let next = self.next();
        match (next, self.state().asked) {
            (Next::Lost(name), _) => self.lost(&name),
            (_, Some(Status::Paused)) => self.hold(),
            (_, Some(status)) => self.end(status),
            (Next::Hold, None) => self.hold(),
            (Next::Node(name), None) => self.reach(name),
            (Next::End(status), None) => self.end(status),
        }
    }

    fn next(&self) -> Next {
        let Some(entry) = self.state().entries().last() else { return Next::End(Status::Failed) };
        let node = self.present();
        let link = match entry.state {
            Status::Succeeded => node.and_then(|node| node.on_success.clone()),
            Status::Failed | Status::Timeout | Status::Abandoned => node.and_then(|node| node.on_failure.clone()),
            Status::Paused | Status::Pending => return Next::Hold,
            _ => return Next::End(Status::Canceled),
        };
        match (link, entry.state) {
            (Some(name), _) if self.definition().node(&name).is_none() => Next::Lost(name),
            (Some(name), _) => Next::Node(name),
            (None, Status::Abandoned) => Next::End(Status::Failed),
            (None, status) => Next::End(status),
        }
    }

    fn hold(&mut self) {
        self.emit(Fact::Held);
        self.become_status(Status::Paused);
    }

    fn become_status(&mut self, status: Status) {
        if self.step.run().status() != status {
            self.step.emit(crate::Fact::Became { status });
        }
    }

    fn is_over(&self) -> bool {
        self.step.run().status().is_final()
    }

    fn open_runs(&self) -> Vec<RunId> {
        self.step.run().offers().keys().copied().collect()
    }

    fn pause(&mut self) {
        if self.is_over() || self.state().asked.is_some() || self.state().held {
            return;
        }
        self.step.emit(crate::Fact::PauseAsked);
        let runs = self.open_runs();
        self.become_status(Status::Pausing);
        self.step.emit(crate::Fact::ChildrenPaused { runs });
    }

    fn resume(&mut self, env: Map) {
        if self.is_over() || !(self.state().held || self.state().asked == Some(Status::Paused)) {
            return;
        }
        let held = self.state().held;
        self.step.emit(crate::Fact::ResumeAsked { env: Box::new(env) });
        self.become_status(Status::Running);
        if !held {
            return;
        }
        self.emit(Fact::Released);
        match (self.next(), self.state().entries().last().map(|entry| (entry.state, entry.node.clone()))) {
            // StackStorm asks anew when what it waits for is still pending.
            (Next::Hold, Some((Status::Pending, name))) => self.reach(name),
            (Next::Hold, _) => {
                let runs = self.state().run.into_iter().collect();
                self.step.emit(crate::Fact::ChildrenResumed { runs });
            }
            (Next::Node(name), _) => self.reach(name),
            (Next::Lost(name), _) => self.escape(&not_found(&name)),
            // A child that timed out while the chain was paused counts as failed.
            (Next::End(Status::Timeout), _) => self.end(Status::Failed),
            (Next::End(status), _) => self.end(status),
        }
    }

    fn stop(&mut self, status: Status, message: Option<String>) {
        if self.is_over() {
            return;
        }
        let status = if status.is_final() { status } else { Status::Canceled };
        self.step.emit(crate::Fact::StopAsked { status, message });
        let runs = self.open_runs();
        if runs.is_empty() {
            return self.end(status);
        }
        self.become_status(Status::Canceling);
        self.step.emit(crate::Fact::ChildrenStopped { runs });
    }

    fn end(&mut self, status: Status) {
        let result = Value::from(self.result());
        self.step.emit(crate::Fact::Ended { status, result });
    }

    /// An error of the chain itself, which `on-failure` does not see.
    fn fail(&mut self, summary: &str, detail: &str) {
        let mut result = self.result();
        result.insert("error".into(), Value::from(format!("{summary}. {detail}")));
        result.insert("traceback".into(), Value::from(""));
        self.step.emit(crate::Fact::Ended { status: Status::Failed, result: Value::from(result) });
    }

    /// An error that in StackStorm leaves the runner: the list of tasks is lost.
    fn escape(&mut self, error: &str) {
        let result = Value::from_pairs([("error", error), ("traceback", "")]);
        self.step.emit(crate::Fact::Ended { status: Status::Failed, result });
    }

    fn result(&self) -> Map {
        let begin = self.step.run().begin();
        let hidden = begin.is_some_and(|b| b.runner.get("display_published") == Some(&Value::Bool(false)));
        result(self.state(), !hidden)
    }
}

/// What comes after a node.
enum Next {
    /// A node.
    Node(Str),
    /// A name that no node has.
    Lost(Str),
    /// Nothing before the child goes on.
    Hold,
    /// Nothing: the chain ends like this.
    End(Status),
}

fn not_found(name: &str) -> String {
    format!("Unable to find node with name \"{name}\".")
}

/// The result of a chain: its tasks, and what was published unless that is hidden.
pub(crate) fn result(state: &State, display_published: bool) -> Map {
    let mut result = Map::new();
    result.insert("tasks".into(), Value::from(state.entries().iter().map(listed).collect::<Vec<_>>()));
    if display_published {
        result.insert("published".into(), Value::Map(state.published.clone()));
    }
    result
}

static ENTRY_KEYS: LazyLock<Map> = LazyLock::new(|| {
    keys(&["id", "name", "execution_id", "liveaction_id", "workflow", "created_at", "updated_at", "state", "result"])
});

fn listed(entry: &Entry) -> Value {
    let execution = Value::from(entry.execution.clone());
    // StackStorm writes the id of a child that was never made as the text of Python's None.
    let live = if execution.is_null() { Value::from("None") } else { execution.clone() };
    let created = Value::from(moment(entry.created));
    let updated = if entry.updated == entry.created { created.clone() } else { Value::from(moment(entry.updated)) };
    let (node, state) = (Value::from(entry.node.clone()), Value::from(entry.state.as_str()));
    fill(&ENTRY_KEYS, [node.clone(), node, execution, live, Value::Null, created, updated, state, entry.result.clone()])
}

/// StackStorm stores these as Python writes them, unlike every other moment of its API.
fn moment(at: Timestamp) -> String {
    at.to_iso().replace('Z', "+00:00")
}

fn names(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_tell_their_times_with_an_offset() {
        assert_eq!(moment(Timestamp::from_micros(0)), "1970-01-01T00:00:00.000000+00:00");
    }
}
