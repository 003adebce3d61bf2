//! One tree of executions in memory: a workflow, its children, their children; or one action alone.
//!
//! A cache, never the truth: every field can be read back from rows and logs, and is thrown away when a commit
//! fails. What is final and no workflow is not kept.

use crate::definitions::Definitions;
use crate::limits;
use crate::refusal::Refusal;
use squall_model::{Execution, ExecutionId, Status};
use squall_store::Store;
use squall_workflow::{Definition, Fact, RunId, State};
use std::collections::HashMap;

/// A tree of executions as of its last commit.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Its topmost execution.
    pub root: ExecutionId,
    /// Executions that are not final.
    pub executions: HashMap<ExecutionId, Execution>,
    /// The conductors of those of them that are workflows and have begun.
    pub flows: HashMap<ExecutionId, Flow>,
}

/// A workflow under way.
#[derive(Debug)]
pub(crate) struct Flow {
    /// What it runs.
    pub definition: Definition,
    /// The fold of its log.
    pub state: State,
    /// The number of its next fact.
    pub seq: u64,
    /// Children that have not ended, by the offer that they carry out.
    pub children: HashMap<RunId, ExecutionId>,
}

impl Tree {
    /// A tree that does not exist yet.
    pub fn empty(root: ExecutionId) -> Tree {
        Tree { root, executions: HashMap::new(), flows: HashMap::new() }
    }

    /// Reads a tree back: rows first, then the logs of its workflows, folded.
    pub fn load(store: &dyn Store, definitions: &Definitions, root: ExecutionId) -> Result<Tree, Refusal> {
        let mut tree = Tree::empty(root);
        for execution in store.tree(root)? {
            if !execution.status.is_final() {
                tree.executions.insert(execution.id, execution);
            }
        }
        let workflows: Vec<ExecutionId> =
            tree.executions.values().filter(|e| e.request.definition.is_some()).map(|e| e.id).collect();
        for id in workflows {
            tree.open_flow(store, definitions, id)?;
        }
        Ok(tree)
    }

    /// Folds the log of the workflow `id`, which must be among the executions. Nothing when it has not begun.
    pub fn open_flow(&mut self, store: &dyn Store, definitions: &Definitions, id: ExecutionId) -> Result<(), Refusal> {
        let Some(execution) = self.executions.get(&id) else { return Ok(()) };
        let Some(Folded { definition, state, seq }) = fold(store, definitions, execution)? else { return Ok(()) };
        let children = self
            .executions
            .values()
            .filter(|e| e.parent == Some(id))
            .filter_map(|e| e.run.map(|run| (run, e.id)))
            .collect();
        self.flows.insert(id, Flow { definition, state, seq, children });
        Ok(())
    }

    /// How deep `id` lies below the root.
    pub fn depth(&self, id: ExecutionId) -> u64 {
        let mut depth = 0;
        let mut at = self.executions.get(&id).and_then(|e| e.parent);
        while let Some(parent) = at {
            depth += 1;
            at = self.executions.get(&parent).and_then(|e| e.parent);
        }
        depth
    }

    /// Whether news of it are on their way, because something of it runs or is about to.
    ///
    /// What only waits for time or for people comes back after seconds or days: 50 kB a tree are better spent otherwise,
    /// and reading it back takes less than a millisecond.
    pub fn is_busy(&self) -> bool {
        let runs = |status| matches!(status, Status::Requested | Status::Scheduled | Status::Running);
        self.executions.values().any(|e| runs(e.status) && !self.flows.contains_key(&e.id))
    }
}

/// A workflow as its log says.
pub(crate) struct Folded {
    pub definition: Definition,
    pub state: State,
    /// The number of its next fact.
    pub seq: u64,
}

/// Folds the log of a workflow, after the logs of what it goes on with. Nothing when it has not begun.
pub(crate) fn fold(
    store: &dyn Store,
    definitions: &Definitions,
    execution: &Execution,
) -> Result<Option<Folded>, Refusal> {
    let own = store.facts(execution.id, 0)?;
    if own.is_empty() {
        return Ok(None);
    }
    let definition = definitions.of(store, execution)?;
    let mut state = State::new(&definition);
    for id in before(store, execution)?.into_iter().rev() {
        apply_all(&definition, &mut state, id, &store.facts(id, 0)?)?;
    }
    apply_all(&definition, &mut state, execution.id, &own)?;
    Ok(Some(Folded { definition, state, seq: own.len() as u64 }))
}

/// The executions that `execution` goes on with, the latest first.
pub(crate) fn before(store: &dyn Store, execution: &Execution) -> Result<Vec<ExecutionId>, Refusal> {
    let mut all = Vec::new();
    let mut next = execution.request.again.as_ref().map(|again| again.of);
    while let Some(id) = next {
        all.push(id);
        if all.len() as u64 > limits::AGAIN {
            let text = format!("its tasks were run again {} times already; run it as a whole", limits::AGAIN);
            return Err(Refusal::Invalid(text));
        }
        let earlier = store.execution(id)?.ok_or_else(|| Refusal::no_execution(id))?;
        next = earlier.request.again.as_ref().map(|again| again.of);
    }
    Ok(all)
}

fn apply_all(
    definition: &Definition,
    state: &mut State,
    id: ExecutionId,
    facts: &[squall_store::Fact],
) -> Result<(), Refusal> {
    for fact in facts {
        let read: Fact = serde_json::from_str(&fact.json)
            .map_err(|e| Refusal::Broken(format!("cannot read fact {} of execution {id}: {e}", fact.seq)))?;
        squall_workflow::apply(definition, state, &read);
    }
    Ok(())
}
