//! A log as a story: each fact as a sentence, and where the run stood after it.
//!
//! A [`Narrator`] folds facts one by one and says what each of them means, with the names that people gave instead of
//! numbers. It evaluates nothing and never shows a value of the run in a sentence but the error of an action: values may
//! hold secrets, names do not.

use crate::chain::Fact as Chain;
use crate::mistral::{Fact as Mistral, Held, TaskState, Wait};
use crate::orquesta::Fact as Orquesta;
use crate::{Definition, Fact, Offer, RunId, State, TimerId};
use squall_model::{Map, Status, Str, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Tells a log, fact by fact.
#[derive(Debug)]
pub struct Narrator {
    definition: Definition,
    state: State,
    /// Every offer so far: facts about a run come after its offer is closed, too.
    offers: HashMap<RunId, Arc<Offer>>,
    waits: HashMap<TimerId, u64>,
    /// The task whose only run has just ended, and whether well: that the task ends the same way is no news.
    ended: Option<(Str, bool)>,
}

/// What a fact means to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// A sentence without a full stop.
    pub text: String,
    /// Whether it is bookkeeping: true, but not part of the story.
    pub minor: bool,
}

fn line(text: impl Into<String>) -> Line {
    Line { text: text.into(), minor: false }
}

fn minor(text: impl Into<String>) -> Line {
    Line { text: text.into(), minor: true }
}

impl Narrator {
    /// Before the first fact.
    pub fn new(definition: Definition) -> Narrator {
        let state = State::new(&definition);
        Narrator { definition, state, offers: HashMap::new(), waits: HashMap::new(), ended: None }
    }

    /// Where the run stands after the facts so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What an offer of the run was.
    pub fn offer(&self, run: RunId) -> Option<&Offer> {
        self.offers.get(&run).map(|offer| &**offer)
    }

    /// Says what the next fact of the log means, and folds it.
    pub fn tell(&mut self, fact: &Fact) -> Line {
        if let Fact::Offered { offer } = fact {
            self.offers.insert(offer.run, Arc::new((**offer).clone()));
        }
        if let Fact::TimerSet { timer, after_ms } = fact {
            self.waits.insert(*timer, *after_ms);
        }
        let line = self.sentence(fact);
        if let Fact::Finished { run, status, .. } = fact {
            let offer = self.offers.get(run).filter(|offer| offer.item.is_none());
            self.ended = offer.map(|offer| (offer.task.clone(), *status == Status::Succeeded));
        }
        crate::apply(&self.definition, &mut self.state, fact);
        line
    }

    fn sentence(&self, fact: &Fact) -> Line {
        match fact {
            Fact::Begun { .. } => line("the workflow begins"),
            Fact::Offered { offer } => line(offered(offer)),
            Fact::Started { run } => minor(format!("{}: runs", self.run(*run))),
            Fact::Finished { run, status, result } => line(self.finished(*run, *status, result)),
            Fact::Refused { run, message } => line(format!("{}: cannot be run: {message}", self.run(*run))),
            Fact::TimerSet { timer, after_ms } => minor(format!("timer {timer} is set for {}", time(*after_ms))),
            Fact::TimerFired { timer } => line(format!("{} is over", self.wait(*timer))),
            Fact::TimerCleared { timer } => minor(format!("{} is not needed any more", self.wait(*timer))),
            Fact::ChildrenStopped { runs } => line(format!("what runs is canceled: {}", self.runs(runs))),
            Fact::ChildrenPaused { runs } if runs.is_empty() => minor("nothing runs that could be paused"),
            Fact::ChildrenPaused { runs } => line(format!("workflows among these are paused: {}", self.runs(runs))),
            Fact::ChildrenResumed { runs } => line(format!("these go on: {}", self.runs(runs))),
            Fact::PauseAsked => line("somebody asks for a pause"),
            Fact::ResumeAsked { .. } => line("somebody asks to go on"),
            Fact::StopAsked { status, message } => line(match message {
                Some(message) => format!("somebody ends it as {status}: {message}"),
                None => format!("somebody ends it as {status}"),
            }),
            Fact::RerunAsked { tasks, skip, .. } => line(rerun(tasks, *skip)),
            Fact::Became { status } => line(format!("the workflow is {status}")),
            Fact::Ended { status, .. } => {
                let why = self.state.mistral().and_then(|m| m.top()?.info.as_deref()).map(short);
                line(with_reason(format!("the workflow ends: {status}"), why.filter(|_| status.is_failure())))
            }
            Fact::Chain(fact) => self.chain(fact),
            Fact::Mistral(fact) => self.mistral(fact),
            Fact::Orquesta(fact) => self.orquesta(fact),
        }
    }

    /// A run as people know it: its task, with the item and the try where there are several.
    fn run(&self, run: RunId) -> String {
        self.offers.get(&run).map_or_else(|| format!("run {run}"), |offer| named(offer))
    }

    fn runs(&self, runs: &[RunId]) -> String {
        runs.iter().map(|run| self.run(*run)).collect::<Vec<_>>().join(", ")
    }

    fn finished(&self, run: RunId, status: Status, result: &Value) -> String {
        with_reason(format!("{}: {status}", self.run(run)), complaint(result).filter(|_| status.is_failure()))
    }

    /// Whether a task ends as its only run did, just before.
    fn is_no_news(&self, quoted_task: &str, well: bool) -> bool {
        self.ended.as_ref().is_some_and(|(ended, how)| quoted(ended) == quoted_task && *how == well)
    }

    fn wait(&self, timer: TimerId) -> String {
        let length = self.waits.get(&timer).map_or_else(String::new, |ms| format!("{} ", time(*ms)));
        let task = self.state.mistral().and_then(|m| m.timer(timer).map(|t| m.task(t.task).name.clone()));
        match task {
            Some(task) => format!("the wait of {length}for `{task}`"),
            None => format!("the wait of {length}(timer {timer})"),
        }
    }

    fn chain(&self, fact: &Chain) -> Line {
        match fact {
            Chain::VarsSet { vars } if vars.is_empty() => minor("there are no variables"),
            Chain::VarsSet { vars } => line(format!("variables are set: {}", names(vars))),
            Chain::Reached { node, .. } => minor(format!("`{node}` is next")),
            Chain::Listed { run, state, .. } => minor(format!("{}: is listed as {state}", self.run(*run))),
            Chain::Published { vars } => line(format!("published: {}", names(vars))),
            Chain::Held => line("the chain waits until somebody lets it go on"),
            Chain::Released => line("the chain goes on"),
        }
    }

    fn mistral(&self, fact: &Mistral) -> Line {
        let Some(state) = self.state.mistral() else { return minor("a fact of another language") };
        let task = |id: &u32| state.tasks.get(*id as usize).map_or_else(|| format!("task {id}"), |t| quoted(&t.name));
        let execution = |id: &u32| match (*id, state.executions.get(*id as usize)) {
            (0, _) | (_, None) => "the workflow".to_owned(),
            (_, Some(found)) => match &self.definition {
                Definition::Mistral(of) => format!("sub-workflow `{}`", of.workflows[found.workflow].name),
                Definition::Chain(_) | Definition::Orquesta(_) => format!("sub-workflow {id}"),
            },
        };
        match fact {
            Mistral::Began(began) => match &began.parent {
                None => minor(format!("`{}` begins", began.workflow)),
                Some(parent) => line(format!("{} begins sub-workflow `{}`", task(&parent.task), began.workflow)),
            },
            Mistral::Made { name, waiting: true, .. } => line(format!("`{name}` waits for all that lead to it")),
            Mistral::Made { name, by, .. } if by.is_empty() => minor(format!("`{name}` is next")),
            Mistral::Made { name, by, .. } => minor(format!("`{name}` follows {}", list(by.iter().map(task)))),
            Mistral::Arrived { join, by } => line(format!("{} has reached {}", task(by), task(join))),
            Mistral::Prepared { task: id, .. } => minor(format!("the policies of {} are known", task(id))),
            Mistral::Waits { task: id, timer, why, .. } => {
                let length = self.waits.get(timer).map_or_else(|| "a while".to_owned(), |ms| time(*ms));
                let what = match why {
                    Wait::Before => "before it starts",
                    Wait::After => "before what follows",
                    Wait::Retry => "before the next try",
                };
                line(format!("{} waits {length} {what}", task(id)))
            }
            Mistral::Watched { task: id, timer } => {
                let length = self.waits.get(timer).map_or_else(|| "a while".to_owned(), |ms| time(*ms));
                line(format!("{} is given up after {length}", task(id)))
            }
            Mistral::Became { task: id, state, .. } => minor(format!("{}: {}", task(id), state.as_str())),
            Mistral::Listed { task: id, items } => {
                let count = items.first().and_then(|(_, values)| values.as_list()).map_or(0, <[Value]>::len);
                line(format!("{} has {count} items", task(id)))
            }
            Mistral::Reshaped { run, .. } => minor(format!("{}: its ad-hoc action shapes the result", self.run(*run))),
            Mistral::Settled { task: id, state, info, .. } => {
                let text = with_reason(format!("{}: {}", task(id), state.as_str()), info.as_deref().map(short));
                // A reason that is a result has been told with the run.
                let plain = info.as_ref().is_none_or(|info| info.starts_with('{'));
                Line { text, minor: plain && self.is_no_news(&task(id), *state == TaskState::Success) }
            }
            Mistral::Published { task: id, branch, global, .. } => {
                let all: Vec<&Str> = branch.keys().chain(global.keys()).collect();
                if all.is_empty() {
                    return minor(format!("{} publishes nothing", task(id)));
                }
                line(format!("{} publishes {}", task(id), list(all.into_iter().map(|name| quoted(name)))))
            }
            Mistral::Forgot { task: id } => minor(format!("{} forgets its result", task(id))),
            Mistral::Retried { task: id } => line(format!("{} is tried again", task(id))),
            Mistral::Followed { task: id, next, .. } if next.is_empty() => {
                minor(format!("nothing follows {}", task(id)))
            }
            Mistral::Followed { task: id, next, .. } => {
                let next = next.iter().map(|(name, via)| match via {
                    Some(via) => format!("`{name}` ({})", via.as_str()),
                    None => quoted(name),
                });
                line(format!("{} leads to {}", task(id), list(next)))
            }
            Mistral::Held { what, .. } => line(match what {
                Held::Run(id) => format!("{} waits until the workflow goes on", task(id)),
                Held::Follow(id) => format!("what follows {} waits until the workflow goes on", task(id)),
                Held::Next(name, _) => format!("`{name}` waits until the workflow goes on"),
                Held::End(state, _) => format!("the end ({}) waits until the workflow goes on", state.as_str()),
            }),
            Mistral::Released { .. } => minor("what waited goes on"),
            Mistral::Restarted { task: id, reset } => line(match reset {
                true => format!("{} starts afresh", task(id)),
                false => format!("{} starts again where it failed", task(id)),
            }),
            Mistral::ExecutionBecame { execution: id, state, .. } => {
                line(format!("{} is {}", execution(id), state.as_str()))
            }
            Mistral::ExecutionEnded { execution: 0, state, .. } => minor(format!("its state is {}", state.as_str())),
            Mistral::ExecutionEnded { execution: id, state, info, .. } => {
                line(with_reason(format!("{} ends: {}", execution(id), state.as_str()), info.as_deref().map(short)))
            }
        }
    }

    fn orquesta(&self, fact: &Orquesta) -> Line {
        let state = self.state.orquesta();
        let node = |entry: &u32| state.and_then(|s| s.entries().get(*entry as usize)).map(|entry| entry.node);
        let task = |entry: &u32| node(entry).map_or_else(|| format!("entry {entry}"), |node| self.node(node));
        match fact {
            Orquesta::Opened { .. } => minor("inputs and variables are known"),
            Orquesta::Logged { error } => line(match &error.task_id {
                Some(id) => format!("error of `{id}`: {}", error.message),
                None => format!("error: {}", error.message),
            }),
            Orquesta::Became { status } => minor(format!("the conductor is {status}")),
            Orquesta::Entered { task, .. } => minor(format!("`{task}` starts")),
            Orquesta::Unstaged { task, .. } => minor(format!("`{task}` does not wait any more")),
            Orquesta::Itemized { task, items, .. } => line(format!("`{task}` has {} items", items.len())),
            Orquesta::Moved { entry, status } if status.is_completed() => {
                let no_news = self.is_no_news(&task(entry), *status == crate::orquesta::Status::Succeeded);
                Line { text: format!("{}: {status}", task(entry)), minor: no_news }
            }
            Orquesta::Moved { entry, status } => minor(format!("{}: {status}", task(entry))),
            Orquesta::ItemMoved { task, item, status, .. } => minor(format!("item {item} of `{task}`: {status}")),
            Orquesta::Published { entry, values } => line(format!("{} publishes {}", task(entry), names(values))),
            Orquesta::Routed { .. } => minor("a new route begins"),
            Orquesta::Taken { entry, edge, .. } => {
                line(format!("{} leads to {}", task(entry), self.target(node(entry), *edge)))
            }
            Orquesta::Ready { task, .. } => minor(format!("`{task}` may start")),
            Orquesta::Retried { entry } => line(format!("{} is tried again", task(entry))),
            Orquesta::Terminal { entry, counts: true } => minor(format!("nothing follows {}", task(entry))),
            Orquesta::Terminal { entry, .. } => minor(format!("{} does not count as an end any more", task(entry))),
            Orquesta::Reentered { entry, reset: true } => line(format!("{} starts afresh", task(entry))),
            Orquesta::Reentered { entry, .. } => line(format!("{} starts again where it failed", task(entry))),
            Orquesta::OutputForgotten => minor("the output of the run before is forgotten"),
            Orquesta::Rendered { .. } => minor("the output is known"),
            Orquesta::Recontexted { .. } => minor("`st2` and `parent` are those of the new execution"),
        }
    }

    fn node(&self, node: usize) -> String {
        match &self.definition {
            Definition::Orquesta(of) => {
                of.graph.nodes.get(node).map_or_else(|| format!("task {node}"), |n| quoted(&n.name))
            }
            Definition::Chain(_) | Definition::Mistral(_) => format!("task {node}"),
        }
    }

    fn target(&self, node: Option<usize>, edge: u32) -> String {
        let Definition::Orquesta(of) = &self.definition else { return "a task".into() };
        let edges = node.and_then(|node| of.graph.nodes.get(node)).map(|node| &node.edges);
        match edges.and_then(|edges| edges.get(edge as usize)) {
            Some(edge) => self.node(edge.target),
            None => "a task".into(),
        }
    }

    /// Where the run stands: `{status, open: [{task, run, …}], timers: […], tasks: [{task, status, …}]}`; with `values` also
    /// what its variables hold and what it gave.
    pub fn standing(&self, values: bool) -> Value {
        let open = self.state.open_offers().map(|open| {
            Value::from_pairs([
                ("run", Value::from(open.offer.run)),
                ("task", open.offer.task.clone().into()),
                ("item", open.offer.item.into()),
                ("attempt", open.offer.attempt.into()),
                ("action", open.offer.action.clone().into()),
                ("status", open.status.as_str().into()),
            ])
        });
        let timers = self.state.open_timers().map(|timer| {
            let after = self.waits.get(&timer).copied();
            Value::from_pairs([("timer", Value::from(timer)), ("after_ms", after.into())])
        });
        let mut all = Map::new();
        all.insert("status".into(), self.state.status().as_str().into());
        all.insert("open".into(), open.collect::<Vec<_>>().into());
        all.insert("timers".into(), timers.collect::<Vec<_>>().into());
        all.insert("tasks".into(), self.tasks().into());
        if values {
            all.insert("variables".into(), self.variables().into());
            all.insert("result".into(), self.state.progress(&self.definition));
        }
        all.into()
    }

    fn tasks(&self) -> Vec<Value> {
        let one = |name: &Str, status: &str, more: Vec<(&str, Value)>| {
            let pairs = [("task", Value::from(name.clone())), ("status", status.into())];
            Value::from_pairs(pairs.into_iter().chain(more.into_iter().filter(|(_, value)| !value.is_null())))
        };
        if let Some(chain) = self.state.chain() {
            let listed = chain.entries().iter().map(|e| one(&e.node, e.state.as_str(), Vec::new()));
            let open = self.state.open_offers().map(|o| one(&o.offer.task, o.status.as_str(), Vec::new()));
            return listed.chain(open).collect();
        }
        if let Some(mistral) = self.state.mistral() {
            let info = |info: &Option<Str>| vec![("info", Value::from(info.clone()))];
            return mistral.tasks.iter().map(|t| one(&t.name, t.state.as_str(), info(&t.info))).collect();
        }
        let (Some(orquesta), Definition::Orquesta(of)) = (self.state.orquesta(), &self.definition) else {
            return Vec::new();
        };
        let name = |node: usize| of.graph.nodes.get(node).map_or_else(|| "?".into(), |n| n.name.clone());
        let route = |route: u32| vec![("route", Value::from(route))];
        let ran = orquesta.entries().iter().map(|e| one(&name(e.node), e.status.as_str(), route(e.route)));
        let waiting = orquesta.all_staged().filter(|s| s.items.is_none());
        ran.chain(waiting.map(|s| one(&name(s.node), "staged", route(s.route)))).collect()
    }

    fn variables(&self) -> Map {
        if let Some(chain) = self.state.chain() {
            return (*chain.vars).clone();
        }
        if let Some(mistral) = self.state.mistral() {
            return mistral.top().map(|top| (*top.layer).clone()).unwrap_or_default();
        }
        self.state.orquesta().map(crate::orquesta::State::whole_context).unwrap_or_default()
    }
}

fn offered(offer: &Offer) -> String {
    let name = named(offer);
    let delay = match offer.child.delay_ms {
        0 => String::new(),
        ms => format!(" in {}", time(ms)),
    };
    match &offer.action {
        Some(action) => format!("{name}: runs `{action}`{delay}"),
        None => format!("{name}: has no action{delay}"),
    }
}

fn named(offer: &Offer) -> String {
    let mut name = quoted(&offer.task);
    if let Some(item) = offer.item {
        name.push_str(&format!(" item {item}"));
    }
    if offer.attempt > 1 {
        name.push_str(&format!(" (try {})", offer.attempt));
    }
    name
}

fn rerun(tasks: &[String], skip: bool) -> String {
    let verb = if skip { "passes over" } else { "runs again" };
    match tasks {
        [] => format!("somebody {verb} what failed"),
        tasks => format!("somebody {verb} {}", list(tasks.iter().map(|task| quoted(task)))),
    }
}

fn with_reason(text: String, why: Option<String>) -> String {
    match why.filter(|why| !why.is_empty()) {
        Some(why) => format!("{text}: {why}"),
        None => text,
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

fn names(map: &Map) -> String {
    list(map.keys().map(|name| quoted(name)))
}

fn list(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

/// What a failed action says for itself, in one line.
fn complaint(result: &Value) -> Option<String> {
    let text = |key: &str| result.get(key).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let code = || match result.get("return_code") {
        Some(Value::Int(code)) if *code != 0 => Some(format!("exit code {code}")),
        _ => None,
    };
    text("error").or_else(|| text("stderr")).or_else(|| result.as_str()).map(short).or_else(code)
}

/// Characters of an error that a line shows.
const SHORT: usize = 200;

fn short(text: &str) -> String {
    let first = text.trim().lines().next().unwrap_or_default();
    match first.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &first[..end]),
        None => first.to_owned(),
    }
}

fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms => format!("{:.1} s", ms as f64 / 1_000.0),
    }
}
