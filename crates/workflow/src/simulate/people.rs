//! A simulation for people: what a workflow would do with these answers, line by line.
//!
//! The script is small on purpose: inputs, what each task's action answers, and what the datastore holds. Actions that
//! the script does not name succeed with their own parameters as the result.

use super::machine::{Crash, Machine, Scripted, map, open, value};
use crate::mistral::stackstorm::{self, Given};
use crate::{Begin, Definition, Fact, Offer, RunId, Stimulus, TimerId, standard};
use serde_json::Value as Json;
use squall_model::{Map, Status, Value, to_json};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What a simulated run is given.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Parameters of the action.
    pub input: Map,
    /// Parameters of the runner.
    pub runner: Map,
    /// The execution's context (`user`, `api_user`, …).
    pub context: Map,
    /// Datastore: `system.<key>` and `user.<key>`.
    pub kv: Map,
    /// For each task the answers in order, the last repeating: `{"result": …}`, `{"error": …}` or `{"cancel": true}`, or
    /// `{"status": …, "result": …}`, each with `"delay": seconds` if it takes time. `task#1` (or `task/1`) is item 1 of a
    /// task, `task/*` any item.
    pub answers: HashMap<String, Vec<Json>>,
    /// What people do meanwhile, by virtual milliseconds: pause, resume, cancel, re-run.
    pub commands: Vec<(u64, Stimulus)>,
}

impl Script {
    /// Reads `{"input", "runner", "context", "kv", "script": {task: [answer, …]}, "commands": [{"at": seconds, "do": verb}]}`;
    /// whatever is missing is empty.
    ///
    /// # Errors
    /// A command whose `do` is not `pause`, `resume`, `cancel` or `rerun`.
    pub fn from_json(text: &Json) -> Result<Script, String> {
        let answers = text.get("script").and_then(Json::as_object).cloned().unwrap_or_default();
        let listed = answers.into_iter().map(|(task, answers)| match answers {
            Json::Array(answers) => (task, answers),
            answer => (task, vec![answer]),
        });
        let commands = text.get("commands").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(Script {
            input: map(text.get("input")),
            runner: map(text.get("runner")),
            context: map(text.get("context")),
            kv: map(text.get("kv")),
            answers: listed.collect(),
            commands: commands.iter().map(command).collect::<Result<_, _>>()?,
        })
    }
}

fn command(json: &Json) -> Result<(u64, Stimulus), String> {
    let texts = |key: &str| {
        let list = json.get(key).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Json::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let message = json.get("message").and_then(Json::as_str).map(str::to_owned);
    let stimulus = match json.get("do").and_then(Json::as_str).unwrap_or_default() {
        "pause" => Stimulus::Pause,
        "resume" => Stimulus::Resume { env: map(json.get("env")) },
        "cancel" => Stimulus::Stop { status: Status::Canceled, message },
        "rerun" => Stimulus::Rerun { tasks: texts("tasks"), reset: texts("reset"), skip: false, env: Map::new() },
        other => return Err(format!("`{other}` is no command: use `pause`, `resume`, `cancel` or `rerun`")),
    };
    Ok((milliseconds(json.get("at")), stimulus))
}

/// Seconds as milliseconds; nothing and nonsense are 0.
fn milliseconds(seconds: Option<&Json>) -> u64 {
    (seconds.and_then(Json::as_f64).unwrap_or(0.0).max(0.0) * 1000.0) as u64
}

/// How a simulated run went.
#[derive(Debug, Clone)]
pub struct Report {
    /// What happened, one line each: `3 s  offers t (core.local) {"cmd": "date"}`.
    pub trace: Vec<String>,
    /// Its status at the end; not final when it waits for something that never comes.
    pub status: Status,
    /// Its result.
    pub result: Value,
    /// Why it was stopped before it came to an end by itself, if it was.
    pub stopped: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}: {}", self.status, to_json(&self.result))
    }
}

/// Lines of the trace that are kept of what does not come to an end: enough to see how it goes round.
const SHOWN: usize = 1_000;

/// Runs `definition` on a virtual clock with the answers of `script`.
pub fn run(definition: &Definition, script: &Script) -> Report {
    let mut stage = Stage::new(definition, script);
    match stage.beginning() {
        Ok(begin) => {
            for (at, stimulus) in &script.commands {
                stage.at(*at, stimulus.clone());
            }
            stage.hear(Stimulus::Begin(Box::new(begin)));
        }
        Err(why) => {
            let result = Value::from_pairs([("error", why)]);
            return Report { trace: stage.trace, status: Status::Failed, result, stopped: None };
        }
    }
    let mut stopped = None;
    while let Some(((at, _), stimulus)) = stage.events.pop_first() {
        stopped = stage.machine.bound.exceeded();
        if stopped.is_some() {
            break;
        }
        stage.now = at;
        stage.host.now.set(at as i64 * 1000);
        stage.hear(stimulus);
    }
    let state = &stage.machine.state;
    let (status, mut trace) = (state.status(), stage.trace);
    if let Some(why) = &stopped {
        // What it has gathered is of use to nobody, and would be copied for the report.
        trace.truncate(SHOWN);
        return Report { status, result: Value::from_pairs([("error", why.as_str())]), trace, stopped };
    }
    Report { status, result: state.progress(definition), trace, stopped }
}

struct Stage<'s> {
    machine: Machine,
    host: Scripted,
    script: &'s Script,
    now: u64,
    number: u64,
    events: BTreeMap<(u64, u64), Stimulus>,
    timers: HashMap<TimerId, (u64, u64)>,
    names: HashMap<RunId, String>,
    used: HashMap<String, usize>,
    trace: Vec<String>,
}

impl<'s> Stage<'s> {
    fn new(definition: &Definition, script: &'s Script) -> Stage<'s> {
        let host =
            Scripted { kv: script.kv.clone(), actions: Box::new(|_| open()), now: Cell::new(0), draws: Cell::new(1) };
        Stage {
            machine: Machine::new(definition.clone(), Crash::Never),
            host,
            script,
            now: 0,
            number: 0,
            events: BTreeMap::new(),
            timers: HashMap::new(),
            names: HashMap::new(),
            used: HashMap::new(),
            trace: Vec::new(),
        }
    }

    fn beginning(&self) -> Result<Begin, String> {
        let begin = Begin {
            execution: "simulation".into(),
            input: self.script.input.clone(),
            runner: self.script.runner.clone(),
            context: self.script.context.clone(),
            ..Begin::default()
        };
        match &self.machine.definition {
            Definition::Mistral(definition) => stackstorm::begin(definition, begin, &Given::default()),
            Definition::Chain(_) | Definition::Orquesta(_) => Ok(begin),
        }
    }

    fn hear(&mut self, stimulus: Stimulus) {
        for fact in self.machine.step(stimulus, &self.host) {
            self.note(&fact);
        }
    }

    fn say(&mut self, text: &str) {
        let seconds = self.now as f64 / 1000.0;
        let line = format!("{seconds:>7} s  {text}");
        self.machine.bound.keep(&line);
        self.trace.push(line);
    }

    fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Offered { offer } => self.offered(offer),
            Fact::Finished { run, status, result } => {
                let name = self.names.get(run).cloned().unwrap_or_default();
                self.say(&format!("ends   {name} {status} {}", to_json(result)));
            }
            Fact::TimerSet { timer, after_ms } => {
                self.say(&format!("waits  {} s", *after_ms as f64 / 1000.0));
                let key = self.at(*after_ms, Stimulus::Due { timer: *timer });
                self.timers.insert(*timer, key);
            }
            Fact::TimerCleared { timer } => {
                if let Some(key) = self.timers.remove(timer) {
                    self.events.remove(&key);
                }
            }
            Fact::Became { status } => self.say(&format!("is     {status}")),
            Fact::Ended { status, .. } => self.say(&format!("is     {status}")),
            _ => {}
        }
    }

    fn at(&mut self, after: u64, stimulus: Stimulus) -> (u64, u64) {
        self.number += 1;
        let key = (self.now.saturating_add(after), self.number);
        self.events.insert(key, stimulus);
        key
    }

    fn offered(&mut self, offer: &Offer) {
        let name = match offer.item {
            Some(item) => format!("{}#{item}", offer.task),
            None => offer.task.to_string(),
        };
        let action = offer.action.as_deref().unwrap_or("nothing");
        let later = match offer.child.delay_ms {
            0 => String::new(),
            delay => format!(" in {} s", delay as f64 / 1000.0),
        };
        self.say(&format!("offers {name} ({action}) {}{later}", to_json(&offer.input)));
        self.names.insert(offer.run, name.clone());
        let Some((delay, status, result)) = self.answer(&name, offer) else { return };
        let delay = delay.saturating_add(offer.child.delay_ms);
        self.at(delay, Stimulus::Finished { run: offer.run, status, result });
    }

    fn answer(&mut self, name: &str, offer: &Offer) -> Option<(u64, Status, Value)> {
        let item = offer.item.map_or(String::new(), |item| format!("{}/{item}", offer.task));
        let any = if offer.item.is_some() { format!("{}/*", offer.task) } else { String::new() };
        let keys = [name, &item, &any, &offer.task];
        let Some(key) = keys.into_iter().find(|key| self.script.answers.contains_key(*key)) else {
            return match standard(offer) {
                Some(answer) => answer.outcome.map(|o| (answer.after_ms, o.status, o.result)),
                None => Some((0, Status::Succeeded, offer.input.clone())),
            };
        };
        let used = self.used.entry(key.to_owned()).or_default();
        let answers = &self.script.answers[key];
        let answer = answers.get(*used).or(answers.last()).cloned().unwrap_or_default();
        *used += 1;
        let delay = milliseconds(answer.get("delay"));
        let field = |key: &str| answer.get(key).map(value);
        let status = field("status").and_then(|status| status.as_str()?.parse().ok());
        let (status, result) = match (status, field("error"), field("cancel")) {
            (Some(status), ..) => (status, field("result").unwrap_or_default()),
            (None, Some(error), _) => (Status::Failed, error),
            (None, None, Some(_)) => (Status::Canceled, Value::Null),
            (None, None, None) => (Status::Succeeded, field("result").unwrap_or_default()),
        };
        Some((delay, status, result))
    }
}

/// The report for programs: `{"status", "result", "trace"}`, and `stopped` where it did not come to an end.
impl From<&Report> for Value {
    fn from(report: &Report) -> Value {
        let trace: Vec<Value> = report.trace.iter().map(|line| line.as_str().into()).collect();
        let told = [
            ("status", Value::from(report.status.as_str())),
            ("result", report.result.clone()),
            ("trace", trace.into()),
        ];
        let stopped = report.stopped.iter().map(|why| ("stopped", why.as_str().into()));
        Value::from_pairs(told.into_iter().chain(stopped))
    }
}
