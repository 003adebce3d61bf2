//! Running again what has ended: as a whole, or from some tasks of a workflow.
//!
//! Either way it is a new execution, which passes every gate anew; nothing of an old release is copied. One that runs
//! tasks again goes on with the log of the old execution, whose facts are never changed: it folds them first, then its
//! own. So what succeeded is not run again and costs nothing.

use crate::people::{Principal, Wish, authorize};
use crate::refusal::Refusal;
use crate::request::{Earlier, Request, Source};
use crate::tree::{self, Folded};
use crate::{Engine, asking, limits};
use squall_model::{Again, Execution, ExecutionId, Map};
use squall_workflow::{Definition, Stimulus};

/// How to run an execution again.
#[derive(Debug, Clone, Default)]
pub struct Rerun {
    /// Parameters over the old ones; none when tasks are named.
    pub params: Map,
    /// Leave the old parameters out.
    pub afresh: bool,
    /// Tasks to go on from: `Some` of none means all that failed; `None` runs it as a whole.
    pub tasks: Option<Vec<String>>,
    /// Those tasks whose items all start afresh.
    pub reset: Vec<String>,
    /// Start no earlier than so many milliseconds from now.
    pub delay_ms: u64,
    /// A second wish with the same key gets the first one's execution.
    pub key: Option<String>,
    /// What the client calls itself.
    pub claimed: Option<Source>,
}

impl Engine {
    /// Runs an execution again for `who`: a new one, which is answered.
    ///
    /// # Errors
    /// In StackStorm's words where it has some; nothing is started then.
    pub async fn rerun(&self, id: ExecutionId, wish: Rerun, who: &Principal) -> Result<Execution, Refusal> {
        authorize(who, Wish::View)?;
        let old = self.store().execution(id)?.ok_or_else(|| Refusal::no_execution(id))?;
        let lost: Vec<String> = asking::erased_names(&old);
        let lost: Vec<&str> = lost.iter().map(String::as_str).filter(|n| !wish.params.contains_key(*n)).collect();
        if !lost.is_empty() && !wish.afresh {
            return Err(Refusal::Invalid(format!(
                "the secret parameters {} of execution {id} were erased, since its confirmation ended more than 30 days ago: give \
                 them again",
                lost.join(", ")
            )));
        }
        let again = match &wish.tasks {
            Some(tasks) => Some(self.again(&old, tasks, &wish)?),
            None if !wish.reset.is_empty() => return Err(Refusal::Invalid(RESET.into())),
            None => None,
        };
        let params = if wish.afresh && again.is_none() { Map::new() } else { old.request.params.clone() };
        let mut request = Request::new(old.request.action.clone(), wish.params, who.clone()).from_client(wish.claimed);
        request.delay_ms = wish.delay_ms;
        request.key = wish.key;
        request.earlier = Some(Earlier { of: id, params, again: again.map(|a| (a, old.request.definition.clone())) });
        self.request(request).await
    }

    /// What goes on with `old`, when that is possible.
    fn again(&self, old: &Execution, tasks: &[String], wish: &Rerun) -> Result<Again, Refusal> {
        let invalid = |text: String| Err(Refusal::Invalid(text));
        if !matches!(old.request.runner.as_str(), "orquesta" | "mistral-v2") {
            return invalid("Task option is only supported for Orquesta workflows.".into());
        }
        if !wish.params.is_empty() {
            return invalid("Parameters override is not supported when re-running task(s) for a workflow.".into());
        }
        if wish.reset.iter().any(|task| !tasks.contains(task)) {
            return invalid(RESET.into());
        }
        if !old.status.is_final() {
            let text = format!(
                "Unable to rerun workflow because it is not in a completed state. Execution {} is {}.",
                old.id, old.status
            );
            return Err(Refusal::Conflict(text));
        }
        if tree::before(self.store(), old)?.len() as u64 >= limits::AGAIN {
            return invalid(format!("its tasks were run again {} times already; run it as a whole", limits::AGAIN));
        }
        let Some(folded) = tree::fold(self.store(), &self.inner.definitions, old)? else {
            return invalid(format!("Execution {} ended before its first task; run it as a whole.", old.id));
        };
        self.can_go_on(&folded, tasks, &wish.reset)?;
        Ok(Again { of: old.id, tasks: tasks.to_vec(), reset: wish.reset.clone() })
    }

    /// Asks the conductor what it would do, so that a wish that leads nowhere is refused before anything is stored.
    fn can_go_on(&self, folded: &Folded, tasks: &[String], reset: &[String]) -> Result<(), Refusal> {
        let Folded { definition, state, .. } = folded;
        if let (Definition::Orquesta(of), Some(orquesta)) = (definition, state.orquesta()) {
            let missing: Vec<&str> = tasks.iter().map(String::as_str).filter(|t| !of.has_run(orquesta, t)).collect();
            if !missing.is_empty() {
                let text = "Unable to rerun workflow because one or more tasks is not found: ";
                return Err(Refusal::Invalid(format!("{text}{}", missing.join(","))));
            }
        }
        let lookup = self.request_lookup(&Principal::internal());
        let (tasks, reset) = (tasks.to_vec(), reset.to_vec());
        let stimulus = Stimulus::Rerun { tasks: tasks.clone(), reset, skip: false, env: Map::new() };
        let mut state = state.clone();
        squall_workflow::advance(definition, &mut state, stimulus, &lookup.lookup());
        if !state.is_final() {
            return Ok(());
        }
        let named = if tasks.is_empty() { "none has failed".to_owned() } else { tasks.join(", ") };
        Err(Refusal::Invalid(format!(
            "Only tasks in error state can be rerun. Unable to identify rerunable tasks: {named}."
        )))
    }
}

const RESET: &str = "List of tasks to reset does not match the tasks to rerun.";
