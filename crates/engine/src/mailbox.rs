//! How a step is committed: each tree takes one turn at a time, and a turn takes everything that waits.
//!
//! What arrives while a commit is on its way waits in the tree's mailbox and becomes the next turn, so a busy
//! workflow groups its own commits. A failed commit throws the tree away: a conflict reads it back and decides
//! again, anything else is told to the sender. Turns run in tasks of their own, so a caller that goes away in
//! the middle stops nothing.

use crate::limits;
use crate::refusal::Refusal;
use crate::tree::Tree;
use crate::turn::{Answer, Effect, Input, Surroundings, Turn};
use crate::{Engine, locked};
use squall_model::{ExecutionId, crash_point};
use squall_store as store;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What waits for each tree, and the trees that are kept in memory.
#[derive(Default)]
pub(crate) struct Trees {
    boxes: HashMap<ExecutionId, Mailbox>,
    cached: u64,
}

#[derive(Default)]
struct Mailbox {
    queue: VecDeque<Letter>,
    busy: bool,
    tree: Option<Tree>,
}

struct Letter {
    input: Input,
    answer: oneshot::Sender<Answer>,
}

/// How often a turn is decided again after conflicts, before its sender is told.
const RETRIES: u32 = 5;

/// How long internal news wait before they are tried again when the store takes nothing.
const BACK_OFF: Duration = Duration::from_millis(500);

impl Engine {
    /// Sends something to a tree and waits for the commit.
    pub(crate) async fn send(&self, root: ExecutionId, input: Input) -> Answer {
        match self.deliver(root, input) {
            Ok(answer) => answer.await.unwrap_or_else(|_| Answer::Refused(lost())),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// The same for news that must not be lost: tries again until the store takes it.
    pub(crate) async fn insist(&self, root: ExecutionId, input: Input) -> Answer {
        loop {
            match self.send(root, input.clone()).await {
                Answer::Refused(Refusal::Full(_) | Refusal::Unavailable(_)) => {
                    self.inner.runtime.sleep(BACK_OFF).await;
                }
                answer => return answer,
            }
        }
    }

    fn deliver(&self, root: ExecutionId, input: Input) -> Result<oneshot::Receiver<Answer>, Refusal> {
        let (answer, told) = oneshot::channel();
        let start = {
            let mut trees = locked(&self.inner.trees);
            let mailbox = trees.boxes.entry(root).or_default();
            if mailbox.queue.len() as u64 >= limits::TREE_MAILBOX {
                return Err(Refusal::Unavailable(format!("too much waits for execution {root}, try again later")));
            }
            mailbox.queue.push_back(Letter { input, answer });
            !std::mem::replace(&mut mailbox.busy, true)
        };
        if start {
            let engine = self.clone();
            self.inner.runtime.spawn(Box::pin(async move { engine.work_off(root).await }));
        }
        Ok(told)
    }

    /// Takes turns until the mailbox is empty.
    async fn work_off(&self, root: ExecutionId) {
        let mut tree = None;
        loop {
            let letters: Vec<Letter> = {
                let mut trees = locked(&self.inner.trees);
                let Some(mailbox) = trees.boxes.get_mut(&root) else { return };
                if mailbox.queue.is_empty() {
                    trees.put_away(root, tree);
                    return;
                }
                let kept = mailbox.tree.take();
                let take = mailbox.queue.len().min(limits::CAUSES_PER_COMMIT as usize);
                let letters = mailbox.queue.drain(..take).collect();
                if kept.is_some() {
                    trees.cached -= 1;
                    tree = kept;
                }
                letters
            };
            tree = self.turn(root, tree, letters).await;
        }
    }

    /// One turn: decide, commit, answer, carry out. Answers the tree when it is still true.
    async fn turn(&self, root: ExecutionId, mut tree: Option<Tree>, letters: Vec<Letter>) -> Option<Tree> {
        let (inputs, answers): (Vec<Input>, Vec<oneshot::Sender<Answer>>) =
            letters.into_iter().map(|l| (l.input, l.answer)).unzip();
        for attempt in 0.. {
            match self.decide(root, tree.take(), &inputs).await {
                Ok((kept, told, effects)) => {
                    for (sender, answer) in answers.into_iter().zip(told) {
                        let _ = sender.send(answer);
                    }
                    self.carry_out(root, effects);
                    return Some(kept);
                }
                Err(store::Error::Conflict { what }) if attempt < RETRIES => {
                    tracing::debug!(%root, %what, "decided on stale data, deciding again");
                }
                Err(error) if inputs.len() > 1 => {
                    tracing::debug!(%root, %error, "a turn of several failed, taking them one by one");
                    return self.one_by_one(root, inputs, answers).await;
                }
                Err(error) => {
                    self.refuse(root, inputs, answers, &error);
                    return None;
                }
            }
        }
        None
    }

    async fn one_by_one(
        &self,
        root: ExecutionId,
        inputs: Vec<Input>,
        answers: Vec<oneshot::Sender<Answer>>,
    ) -> Option<Tree> {
        let mut tree = None;
        for (input, answer) in inputs.into_iter().zip(answers) {
            let letters = vec![Letter { input, answer }];
            tree = Box::pin(self.turn(root, tree, letters)).await;
        }
        tree
    }

    /// Decides on `inputs` and commits; on failure nothing has happened.
    async fn decide(
        &self,
        root: ExecutionId,
        tree: Option<Tree>,
        inputs: &[Input],
    ) -> Result<(Tree, Vec<Answer>, Vec<Effect>), store::Error> {
        let inner = &*self.inner;
        let content = self.content();
        let around = Surroundings {
            content: &content,
            store: &*inner.store,
            definitions: &inner.definitions,
            ids: &*inner.ids,
            settings: &inner.settings,
            now: inner.clock.now(),
            heard: inner.events.receiver_count() > 0,
            few: self.has_few(),
            paces: &inner.paces,
            length: locked(&inner.guesses).code_length(inner.clock.now()),
        };
        let fresh = matches!(inputs.first(), Some(Input::Insert { requested, .. }) if requested.first().is_some_and(|r| r.execution.id == root));
        let mut tree = match tree {
            Some(tree) => tree,
            None if fresh => Tree::empty(root),
            None => Tree::load(&*inner.store, &inner.definitions, root)
                .map_err(|e| store::Error::Damaged { what: format!("execution {root}"), why: e.to_string() })?,
        };
        // A bug in one step must not take the tree's mailbox, let alone the process, with it.
        let decided = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let outcomes = Turn::take(&around, &mut tree, inputs);
            (tree, outcomes)
        }));
        let Ok((tree, outcomes)) = decided else {
            tracing::error!(%root, "a step of this execution panicked: please report this");
            let why = "a step panicked; this is a bug, please report it".to_owned();
            return Err(store::Error::Damaged { what: format!("execution {root}"), why });
        };
        let answered = inputs.iter().any(|input| matches!(input, Input::Confirm { .. }));
        if fresh {
            crash_point!("K01");
        }
        if answered {
            crash_point!("K04");
        }
        if !outcomes.batch.is_empty() {
            inner.store.commit(outcomes.batch).await?;
        }
        if fresh {
            crash_point!("K02");
        }
        Ok((tree, outcomes.answers, outcomes.effects))
    }

    fn refuse(
        &self,
        root: ExecutionId,
        inputs: Vec<Input>,
        answers: Vec<oneshot::Sender<Answer>>,
        error: &store::Error,
    ) {
        tracing::warn!(%root, %error, "a step was not committed");
        for (input, answer) in inputs.into_iter().zip(answers) {
            let heard = answer.send(Answer::Refused(error.clone().into())).is_ok();
            if heard {
                continue;
            }
            if let (Input::Start(_), store::Error::Full(_) | store::Error::Busy) = (&input, error) {
                // Nobody waits for this start of a stored execution, so it is on us to try again.
                let engine = self.clone();
                self.inner.runtime.spawn(Box::pin(async move {
                    engine.inner.runtime.sleep(BACK_OFF).await;
                    engine.insist(root, input).await;
                }));
            }
        }
    }

    fn carry_out(&self, root: ExecutionId, effects: Vec<Effect>) {
        if !effects.is_empty() {
            crash_point!("K11");
        }
        for effect in effects {
            match effect {
                Effect::Dispatch(item) => match self.runner() {
                    Some(runner) => {
                        crash_point!("K05");
                        runner.dispatch(*item);
                    }
                    None => tracing::warn!(execution = %item.key.execution, "no runner yet: recovery will dispatch it"),
                },
                Effect::StopWork(key) => {
                    if let Some(runner) = self.runner() {
                        crash_point!("K15");
                        runner.cancel(key);
                    }
                }
                Effect::Settled(key, spool) => {
                    if let Some(runner) = self.runner() {
                        runner.settled(key, &spool);
                    }
                }
                // Nobody listening is fine.
                Effect::Publish(event) => drop(self.inner.events.send(Arc::new(event))),
                Effect::Posted(network) => self.outbox(&network).notify_one(),
                Effect::Due => self.inner.due.notify_one(),
                Effect::Call(asked) => self.make_call(*asked),
                Effect::Look(stage) => self.look(*stage),
                Effect::LookAgain(record) => self.look_again(*record, root),
                Effect::Opened(id) => self.tell_waiting(id),
                Effect::Freed(names) => self.wake(&names),
                Effect::Elsewhere(other, input) => drop(self.deliver(other, input)),
                Effect::Again(input) => drop(self.deliver(root, input)),
                Effect::Ended(id) => self.tell_waiting(id),
            }
        }
    }
}

impl Trees {
    /// A mailbox is empty: keep its tree if there is room for it and something to come soon.
    fn put_away(&mut self, root: ExecutionId, tree: Option<Tree>) {
        match tree {
            Some(tree) if tree.is_busy() && self.cached < limits::CACHED_TREES => {
                self.cached += 1;
                let mailbox = self.boxes.entry(root).or_default();
                mailbox.tree = Some(tree);
                mailbox.busy = false;
            }
            Some(_) | None => {
                self.boxes.remove(&root);
            }
        }
    }
}

fn lost() -> Refusal {
    Refusal::Broken("the step was lost; this is a bug, please report it".into())
}
