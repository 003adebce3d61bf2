//! Workflows: a conductor hears, its facts are carried out, its offers become children.

use super::*;
use squall_model::ActionRef;

impl<'a> Turn<'a> {
    /// Lets a conductor hear something and carries out the facts that follow.
    pub(super) fn conduct(&mut self, id: ExecutionId, stimulus: Stimulus) {
        let Some(mut flow) = self.tree.flows.remove(&id) else { return };
        let context = self.tree.executions.get(&id).map(Execution::context).unwrap_or_default();
        let over = match &stimulus {
            Stimulus::Finished { run, status, .. } if status.is_final() => Some(*run),
            _ => None,
        };
        let again = matches!(stimulus, Stimulus::Rerun { .. });
        let facts = {
            let host = Lookup { children: Some(&flow.children), ..self.lookup(&context) };
            squall_workflow::advance(&flow.definition, &mut flow.state, stimulus, &host)
        };
        // Only now: the conductor may ask which execution it was that ended.
        over.and_then(|run| flow.children.remove(&run));
        let seq = flow.seq;
        flow.seq += facts.len() as u64;
        let too_long = flow.seq > limits::FACTS;
        let still_over = again && flow.state.is_final();
        self.tree.flows.insert(id, flow);
        if !facts.is_empty() {
            let texts = facts.iter().map(|f| serde_json::to_string(f).unwrap_or_default()).collect();
            let secret = self.holds_secrets(id, &facts);
            self.ops.push(Op::Append { execution: id, seq, facts: texts, at: self.around.now, secret });
        }
        if still_over {
            return self.end(id, Outcome::failed("none of the tasks can be run again"));
        }
        if too_long {
            return self.end(id, Outcome::failed(format!("the workflow has more than {} facts", limits::FACTS)));
        }
        for fact in facts {
            self.fact(id, fact);
        }
        self.end_if_done(id);
    }

    /// Whether facts may hold secrets: parameters of the workflow, or what it gives to an action; and what a workflow reads in
    /// clear, or hears of one that it gave secrets, may stand in any of its later facts.
    fn holds_secrets(&self, id: ExecutionId, facts: &[Fact]) -> bool {
        let content = &self.around.content;
        let own = |execution: &Execution| {
            let action = content.registry().action(&execution.request.action);
            !execution.request.secret.is_empty() || action.is_none_or(|action| content.touches_secrets(action))
        };
        let offered = |fact: &Fact| match fact {
            Fact::Offered { offer } => {
                offer.action.as_deref().is_some_and(|name| self.gives_secrets(name, &offer.input))
            }
            _ => false,
        };
        self.tree.executions.get(&id).is_some_and(own) || facts.iter().any(offered)
    }

    /// Whether a secret parameter of the action is among what it is given.
    fn gives_secrets(&self, action: &str, input: &Value) -> bool {
        let content = &self.around.content;
        let action = action.parse::<ActionRef>().ok().and_then(|reference| content.registry().action(&reference));
        action.is_some_and(|action| content.prepared(action).secret().iter().any(|name| input.get(name).is_some()))
    }

    pub(super) fn fact(&mut self, id: ExecutionId, fact: Fact) {
        match fact {
            Fact::Offered { offer } => self.offered(id, &offer),
            Fact::TimerSet { timer, after_ms } => {
                let at = self.around.now.after(Duration::from_millis(after_ms));
                self.set_due(Due { owner: id, root: self.tree.root, kind: DueKind::Timer, number: timer, at });
            }
            Fact::TimerCleared { timer } => {
                self.ops.push(Op::ClearDue { owner: id, kind: DueKind::Timer, number: timer });
            }
            Fact::ChildrenStopped { runs } => {
                for child in self.children(id, &runs) {
                    self.causes.push_back(Cause::Cancel { id: child, by: crate::people::SYSTEM_USER.into() });
                }
                self.stop_standard(id, &runs);
            }
            Fact::ChildrenPaused { runs } => {
                for child in self.children(id, &runs) {
                    self.causes.push_back(Cause::Pause { id: child, by: crate::people::SYSTEM_USER.into() });
                }
            }
            Fact::ChildrenResumed { runs } => {
                for child in self.children(id, &runs) {
                    self.causes.push_back(Cause::Resume { id: child, by: crate::people::SYSTEM_USER.into() });
                }
            }
            Fact::Became { status } => {
                if self.become_status(id, status, Change::default())
                    && matches!(status, Status::Paused | Status::Pending)
                {
                    self.tell_parent(id, status, &Value::Null);
                }
            }
            Fact::PauseAsked => {
                // A paused workflow asks nobody. Its tasks that waited are canceled; a retry asks anew.
                let open: Vec<ExecutionId> =
                    self.tree.flows.get(&id).map(|flow| flow.children.values().copied().collect()).unwrap_or_default();
                for child in open {
                    if self.is_pending(child) {
                        self.withdraw(child, "", confirmation::record::Cause::WorkflowEnded);
                    }
                }
            }
            Fact::Begun { .. }
            | Fact::Started { .. }
            | Fact::Refused { .. }
            | Fact::Finished { .. }
            | Fact::TimerFired { .. }
            | Fact::ResumeAsked { .. }
            | Fact::StopAsked { .. }
            | Fact::RerunAsked { .. }
            | Fact::Ended { .. }
            | Fact::Chain(_)
            | Fact::Mistral(_)
            | Fact::Orquesta(_) => {}
        }
    }

    fn is_pending(&self, id: ExecutionId) -> bool {
        self.tree.executions.get(&id).is_some_and(|e| e.status == Status::Pending)
    }

    pub(super) fn children(&self, id: ExecutionId, runs: &[RunId]) -> Vec<ExecutionId> {
        let Some(flow) = self.tree.flows.get(&id) else { return Vec::new() };
        runs.iter().filter_map(|run| flow.children.get(run).copied()).collect()
    }

    /// Standard actions that take time have a due row instead of a child.
    pub(super) fn stop_standard(&mut self, id: ExecutionId, runs: &[RunId]) {
        let standard: Vec<RunId> = match self.tree.flows.get(&id) {
            Some(flow) => runs.iter().filter(|run| !flow.children.contains_key(run)).copied().collect(),
            None => return,
        };
        for run in standard {
            self.ops.push(Op::ClearDue { owner: id, kind: DueKind::Finish, number: run });
            let stimulus = Stimulus::Finished { run, status: Status::Canceled, result: Value::Null };
            self.causes.push_back(Cause::Hear { flow: id, stimulus });
        }
    }

    /// Makes a child execution of an offer, or answers it at once.
    pub(super) fn offered(&mut self, id: ExecutionId, offer: &Offer) {
        if let Some(answer) = squall_workflow::standard(offer) {
            match (answer.outcome, answer.after_ms) {
                (Some(outcome), 0) => self.hear_end(id, offer.run, outcome.status, outcome.result),
                (Some(_), after) => {
                    let at = self.around.now.after(Duration::from_millis(after));
                    let kind = DueKind::Finish;
                    self.set_due(Due { owner: id, root: self.tree.root, kind, number: offer.run, at });
                }
                (None, _) => {}
            }
            return;
        }
        let Some(parent) = self.tree.executions.get(&id) else { return };
        let made = {
            let host = self.lookup(&parent.request.context);
            spawn::child(parent, offer, self.around, &host)
        };
        match made {
            Ok(child) => {
                let child = match self.ask_about(child) {
                    Ok(child) => child,
                    Err(message) => {
                        let stimulus = Stimulus::Refused { run: offer.run, message };
                        self.causes.push_back(Cause::Hear { flow: id, stimulus });
                        return;
                    }
                };
                let child_id = child.id;
                if let Some(flow) = self.tree.flows.get_mut(&id) {
                    flow.children.insert(offer.run, child_id);
                }
                self.publish("st2.execution__create", &child);
                self.tree.executions.insert(child_id, child);
                self.dirty.insert(child_id, Dirty::New);
                self.starts.push_back(child_id);
            }
            Err(message) => {
                let stimulus = Stimulus::Refused { run: offer.run, message };
                self.causes.push_back(Cause::Hear { flow: id, stimulus });
            }
        }
    }

    pub(super) fn hear_end(&mut self, flow: ExecutionId, run: RunId, status: Status, result: Value) {
        self.causes.push_back(Cause::Hear { flow, stimulus: Stimulus::Finished { run, status, result } });
    }

    /// A workflow is over when its conductor has ended and no child is left.
    pub(super) fn end_if_done(&mut self, id: ExecutionId) {
        let Some(flow) = self.tree.flows.get(&id) else { return };
        if !flow.state.is_final() || !flow.children.is_empty() {
            return;
        }
        let outcome = Outcome { status: flow.state.status(), result: flow.state.result().clone() };
        self.end(id, outcome);
    }
}
