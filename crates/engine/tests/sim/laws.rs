//! What must hold of a world in which nothing happens any more.

use super::World;
use squall_model::{Execution, ExecutionId, Status, Timestamp};
use squall_store::Store;
use squall_workflow::{Definition, Fact, Language, LoadOptions, Offer, State};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// All executions by id.
pub type All = BTreeMap<ExecutionId, Execution>;

/// The laws of every world.
pub fn check(world: &World) -> Result<All, String> {
    let all: All = world.executions().into_iter().map(|e| (e.id, e)).collect();
    for (number, id) in world.outside.acknowledged.lock().unwrap().iter() {
        if !all.contains_key(id) {
            return Err(format!("request {number} was acknowledged as {id}, which is gone"));
        }
    }
    let twice = world.ground.started_twice();
    if !twice.is_empty() {
        return Err(format!("started twice: {twice:?}"));
    }
    for execution in all.values() {
        legal(execution, &all)?;
        if execution.request.definition.is_some() {
            workflow(world, execution, &all)?;
        }
    }
    narrow(&all)?;
    if let [name, ..] = world.store.slot_names().map_err(|e| e.to_string())?.as_slice() {
        return Err(format!("everything is over, but somebody has or wants a place of `{name}`"));
    }
    let far = Timestamp::from_micros(i64::MAX / 2);
    match world.store.due(far, 10).map_err(|e| e.to_string())?.as_slice() {
        [] => Ok(all),
        left => Err(format!("everything is over, but there are due rows: {left:?}")),
    }
}

/// At no time more than two of the action with a policy were on their way.
fn narrow(all: &All) -> Result<(), String> {
    let mut steps: Vec<(Timestamp, i64)> = Vec::new();
    for execution in all.values().filter(|e| &*e.request.action.name == "narrow") {
        let begun = execution.log.iter().find(|(_, status)| *status == Status::Scheduled).map(|(at, _)| *at);
        if let (Some(begun), Some(ended)) = (begun, execution.ended) {
            steps.extend([(begun, 1), (ended, -1)]);
        }
    }
    // Who ends at a moment makes room for who begins at it.
    steps.sort_unstable();
    let mut running = 0;
    for (at, step) in steps {
        running += step;
        if running > 2 {
            return Err(format!("{running} executions of sim.narrow run at {}", at.micros()));
        }
    }
    Ok(())
}

/// Every execution ended once, by legal steps, and before its parent.
fn legal(execution: &Execution, all: &All) -> Result<(), String> {
    let id = execution.id;
    if !execution.status.is_final() {
        return Err(format!("{id} ({}) is stuck as {}", execution.request.action, execution.status));
    }
    for pair in execution.log.windows(2) {
        if let (Some((before, from)), Some((after, to))) = (pair.first(), pair.get(1)) {
            from.to(*to).map_err(|e| format!("{id}: {e}"))?;
            if before > after {
                return Err(format!("{id}: time goes back in its log"));
            }
        }
    }
    let finals = execution.log.iter().filter(|(_, status)| status.is_final()).count();
    if finals != 1 {
        return Err(format!("{id} has {finals} final states: {:?}", execution.log));
    }
    if execution.ended.is_none() || execution.result.is_null() {
        return Err(format!("{id} is {} without an end or a result", execution.status));
    }
    let parent = execution.parent.and_then(|parent| all.get(&parent));
    if parent.is_some_and(|parent| parent.ended < execution.ended) {
        return Err(format!("{id} ended after its parent"));
    }
    let delay = Duration::from_millis(execution.request.delay_ms);
    if execution.started.is_some_and(|at| at < execution.created.after(delay)) {
        return Err(format!("{id} started before its delay was over"));
    }
    Ok(())
}

/// The definition that an execution runs.
fn definition(world: &World, execution: &Execution) -> Result<Definition, String> {
    let action = world.registry.action(&execution.request.action).ok_or("the action is gone")?;
    let source = action.definition.as_ref().ok_or("no definition")?;
    let options = LoadOptions { reference: action.reference.clone(), path: source.path.to_string() };
    let language = match execution.request.runner.as_str() {
        "action-chain" => Language::Chain,
        "mistral-v2" => Language::Mistral,
        _ => Language::Orquesta,
    };
    Definition::load(language, &source.text, &options).map_err(|e| format!("{e:?}"))
}

/// The log of a workflow, and those that it goes on with before it.
fn log(world: &World, execution: &Execution, all: &All) -> Result<Vec<(Timestamp, Fact)>, String> {
    let mut facts = match &execution.request.again {
        Some(again) => log(world, all.get(&again.of).ok_or("what it goes on with is gone")?, all)?,
        None => Vec::new(),
    };
    let id = execution.id;
    for (number, stored) in world.store.facts(id, 0).map_err(|e| e.to_string())?.iter().enumerate() {
        if stored.seq != number as u64 {
            return Err(format!("{id}: fact {number} has number {}", stored.seq));
        }
        let fact = serde_json::from_str(&stored.json).map_err(|e| format!("{id}: fact {number}: {e}"))?;
        facts.push((stored.at, fact));
    }
    Ok(facts)
}

/// The log folds to what the execution says, timers fire in time, and no task is lost on the way to its child and back.
fn workflow(world: &World, execution: &Execution, all: &All) -> Result<(), String> {
    let id = execution.id;
    let own = world.store.facts(id, 0).map_err(|e| e.to_string())?.len();
    if own == 0 {
        return Ok(());
    }
    let definition = definition(world, execution)?;
    let facts = log(world, execution, all)?;
    let mut state = State::new(&definition);
    let mut set: BTreeMap<u32, (Timestamp, u64)> = BTreeMap::new();
    for (at, fact) in &facts {
        match fact {
            Fact::TimerSet { timer, after_ms } => drop(set.insert(*timer, (*at, *after_ms))),
            Fact::TimerFired { timer } => {
                let (begun, after) = set.get(timer).copied().ok_or("a timer fired that nobody set")?;
                if *at < begun.after(Duration::from_millis(after)) {
                    return Err(format!("{id}: timer {timer} fired early"));
                }
            }
            _ => {}
        }
        squall_workflow::apply(&definition, &mut state, fact);
    }
    if state.status() != execution.status || state.result() != &execution.result {
        let told = format!("the log says {} {:?}", state.status(), state.result());
        return Err(format!("{id} is {} {:?}, but {told}", execution.status, execution.result));
    }
    tasks(execution, &facts[facts.len() - own..], all)
}

/// Every offer of a log has one child or an answer; every child's end was heard, and truly.
fn tasks(execution: &Execution, facts: &[(Timestamp, Fact)], all: &All) -> Result<(), String> {
    let id = execution.id;
    let mut offers: BTreeMap<u32, (&Offer, Timestamp)> = BTreeMap::new();
    let mut ends: BTreeMap<u32, (Status, Timestamp)> = BTreeMap::new();
    let mut refused = BTreeSet::new();
    for (at, fact) in facts {
        match fact {
            Fact::Offered { offer } => drop(offers.insert(offer.run, (offer, *at))),
            Fact::Refused { run, .. } => drop(refused.insert(*run)),
            Fact::Finished { run, status, .. } if status.is_final() && ends.insert(*run, (*status, *at)).is_some() => {
                return Err(format!("{id}: run {run} ended twice"));
            }
            _ => {}
        }
    }
    let children = all.values().filter(|e| e.parent == Some(id));
    let mut by_run: BTreeMap<u32, &Execution> = BTreeMap::new();
    for child in children {
        let run = child.run.ok_or("a child without a run")?;
        if by_run.insert(run, child).is_some() {
            return Err(format!("{id}: run {run} has two children"));
        }
    }
    for (run, (offer, at)) in &offers {
        if let Some(answer) = squall_workflow::standard(offer) {
            let early = ends.get(run).is_some_and(|(status, end)| {
                *status != Status::Canceled && *end < at.after(Duration::from_millis(answer.after_ms))
            });
            if early {
                return Err(format!("{id}: run {run} ({:?}) ended early", offer.action));
            }
            continue;
        }
        let Some(child) = by_run.get(run) else {
            if refused.contains(run) {
                continue;
            }
            // A language without a word for it hears that the child has failed.
            match ends.get(run) {
                Some((Status::Failed, _)) => continue,
                other => return Err(format!("{id}: run {run} of `{}` has no child, ended {other:?}", offer.task)),
            }
        };
        match ends.get(run) {
            Some((status, _)) if *status == child.status => {}
            other => return Err(format!("{id}: child {} is {}, the log says {other:?}", child.id, child.status)),
        }
    }
    match by_run.keys().find(|run| !offers.contains_key(run)) {
        Some(run) => Err(format!("{id}: run {run} has a child that nobody offered")),
        None => Ok(()),
    }
}

/// Everything that happened in a world, for whoever plays a failing seed again.
pub fn story(world: &World) -> String {
    let mut out = String::new();
    for execution in world.executions().into_iter().rev() {
        let above = execution.parent.map_or_else(String::new, |id| format!(" of {id} run {:?}", execution.run));
        let steps: Vec<String> = execution.log.iter().map(|(at, s)| format!("{s}@{}", at.micros())).collect();
        out.push_str(&format!("{} {}{above}: {}\n", execution.id, execution.request.action, steps.join(" ")));
        let definition = world.registry.action(&execution.request.action).and_then(|a| a.definition.clone());
        if let Some(definition) = definition {
            out.push_str(&definition.text);
        }
        for fact in world.store.facts(execution.id, 0).unwrap_or_default() {
            let json: String = fact.json.chars().take(400).collect();
            out.push_str(&format!("    {} {} {json}\n", fact.seq, fact.at.micros()));
        }
    }
    out
}
