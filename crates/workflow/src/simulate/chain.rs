//! Recorded cases of action chains: scripted children, one at a time.

use super::machine::{Crash, Machine, Scripted, closed, json, map, open, value};
use crate::definition::LoadOptions;
use crate::{Begin, Definition, Fact, Offer, Registered, RunId, Stimulus, chain};
use serde_json::{Value as Json, json};
use squall_model::{ActionRef, Map, Status, Str, Value};
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What squall does with a line of `action_chain.jsonl`, in the shape of its `expected`.
pub fn chain(vector: &Json) -> Json {
    chain_with(vector, Crash::Never)
}

/// The same, crashing or not; `broken` in the answer says what a crash changed.
pub fn chain_with(vector: &Json, crash: Crash) -> Json {
    let text = vector.get("definition").and_then(Json::as_str).unwrap_or_default();
    let options = LoadOptions { reference: ActionRef::new("demo", "chain"), path: "<file>".into() };
    let definition = match chain::Definition::load(text, &options) {
        Ok(definition) => Definition::Chain(Arc::new(definition)),
        Err(problems) => {
            let text = problems.first().map(|problem| problem.message.clone()).unwrap_or_default();
            return json!({"pre_run_error": text.lines().next().unwrap_or_default()});
        }
    };
    let mut play = Play::new(Machine::new(definition, crash), vector);
    play.begin(vector);
    play.play_out();
    play.answer()
}

struct Play {
    machine: Machine,
    host: Scripted,
    script: Json,
    used: HashMap<String, usize>,
    commands: VecDeque<Json>,
    /// The child that runs, with its outcome.
    child: Option<(RunId, Outcome)>,
    /// The last child; commands finish it while the chain is paused.
    last: Option<(RunId, Str)>,
    ended: u64,
    requests: Vec<Json>,
    statuses: Vec<String>,
    /// The status of the present attempt is among them.
    noted: bool,
    was_paused: bool,
}

enum Outcome {
    Ends(Status, Value),
    Refused(String),
}

impl Play {
    fn new(machine: Machine, vector: &Json) -> Play {
        let mut kv = Map::new();
        for scope in ["system", "user"] {
            let items = map(vector.get("datastore").and_then(|d| d.get(scope)));
            kv.extend(items.into_iter().map(|(key, value)| (format!("{scope}.{key}").into(), value)));
        }
        let actions = vector.get("actions").cloned().unwrap_or_default();
        let host = Scripted {
            kv,
            actions: Box::new(move |reference| registered(&actions, reference)),
            now: Cell::new(0),
            draws: Cell::new(1),
        };
        Play {
            machine,
            host,
            script: vector.get("script").cloned().unwrap_or_default(),
            used: HashMap::new(),
            commands: vector.get("commands").and_then(Json::as_array).cloned().unwrap_or_default().into(),
            child: None,
            last: None,
            ended: 0,
            requests: Vec::new(),
            statuses: Vec::new(),
            noted: false,
            was_paused: false,
        }
    }

    fn begin(&mut self, vector: &Json) {
        let mut env = Map::new();
        if let Some(notify) = vector.get("chain_notify") {
            env.insert("notify".into(), value(notify));
        }
        let begin = Begin {
            execution: "root".into(),
            action: "demo.chain".into(),
            input: map(vector.get("params")),
            runner: map(vector.get("runner")),
            context: map(vector.get("context")),
            config: map(vector.get("config")),
            env,
        };
        self.step(Stimulus::Begin(Box::new(begin)));
    }

    fn step(&mut self, stimulus: Stimulus) {
        for fact in self.machine.step(stimulus, &self.host) {
            match fact {
                Fact::Offered { offer } => self.offered(&offer),
                Fact::ChildrenResumed { runs } => self.resumed(&runs),
                _ => {}
            }
        }
    }

    fn offered(&mut self, offer: &Offer) {
        let (task, reference) = (&*offer.task, offer.action.as_deref().unwrap_or_default());
        let mut request = json!({"task": task, "ref": reference, "parameters": json(&offer.input)});
        if let Some(notify) = &offer.child.notify {
            request["notify"] = json(notify);
        }
        self.requests.push(request);
        self.last = Some((offer.run, offer.task.clone()));
        self.child = Some((offer.run, self.outcome(&offer.task.clone())));
    }

    fn resumed(&mut self, runs: &[RunId]) {
        for run in runs {
            let Some((_, task)) = self.last.clone().filter(|(last, _)| last == run) else { continue };
            self.requests.push(json!({"task": &*task, "resume": true}));
            self.child = Some((*run, self.outcome(&task)));
        }
    }

    fn outcome(&mut self, task: &str) -> Outcome {
        let turn = self.used.entry(task.to_owned()).or_default();
        let entries = self.script.get(task).and_then(Json::as_array);
        let entry = entries.and_then(|entries| entries.get(*turn).or(entries.last()));
        *turn += 1;
        let Some(entry) = entry else { return Outcome::Ends(Status::Succeeded, Value::map()) };
        if let Some(text) = entry.get("raise").and_then(Json::as_str) {
            return Outcome::Refused(text.to_owned());
        }
        let (status, result) = ended(entry);
        Outcome::Ends(status, result)
    }

    fn play_out(&mut self) {
        while self.machine.bound.exceeded().is_none() {
            if let Some((run, outcome)) = self.child.take() {
                self.ended += 1;
                self.commands_before_end();
                self.step(match outcome {
                    Outcome::Ends(status, result) => Stimulus::Finished { run, status, result },
                    Outcome::Refused(message) => Stimulus::Refused { run, message },
                });
                self.note_rest();
                continue;
            }
            let Some(command) = self.commands.pop_front() else { return };
            self.obey(&command);
            self.note_rest();
        }
    }

    /// A pause or cancel takes effect when so many children have ended: asked for while the last of them runs.
    fn commands_before_end(&mut self) {
        while let Some(command) = self.commands.front().cloned()
            && command.get("after_tasks").and_then(Json::as_u64).is_some_and(|n| self.ended >= n)
        {
            self.commands.pop_front();
            self.obey(&command);
        }
    }

    fn obey(&mut self, command: &Json) {
        match command.get("do").and_then(Json::as_str) {
            Some("pause") => self.step(Stimulus::Pause),
            Some("cancel") => self.step(Stimulus::Stop { status: Status::Canceled, message: None }),
            Some("resume") => {
                self.noted &= self.machine.state.status() != Status::Paused;
                self.step(Stimulus::Resume { env: Map::new() });
            }
            Some("finish") => {
                let Some((run, _)) = self.last.clone() else { return };
                let (status, result) = ended(command);
                self.step(Stimulus::Finished { run, status, result });
            }
            _ => {}
        }
    }

    /// Writes the status down each time the chain comes to rest.
    fn note_rest(&mut self) {
        let status = self.machine.state.status();
        let resting = self.child.is_none() && (status.is_final() || status == Status::Paused);
        let text = status.as_str();
        self.was_paused |= status == Status::Paused;
        if resting && !std::mem::replace(&mut self.noted, true) {
            self.statuses.push(text.to_owned());
        }
    }

    fn answer(mut self) -> Json {
        self.note_rest();
        let mut answer = json!({
            "status": self.machine.state.status().as_str(),
            "result": with_tracebacks_marked(json(&self.machine.state.progress(&self.machine.definition))),
            "requests": self.requests,
            "statuses": self.statuses,
        });
        if self.was_paused {
            answer["context_vars_saved"] = json!(true);
        }
        if let Some(why) = self.machine.bound.exceeded() {
            answer["engine_error"] = json!({"type": "Endless", "message": why});
        }
        if let Some(broken) = self.machine.broken {
            answer["broken"] = json!(broken);
        }
        answer
    }
}

/// The recorded form has a mark where StackStorm shows a Python traceback, of which squall has none.
fn with_tracebacks_marked(mut json: Json) -> Json {
    match &mut json {
        Json::Object(map) => {
            for (key, value) in map.iter_mut() {
                let is_empty = key == "traceback" && value.as_str() == Some("");
                *value = if is_empty { json!("<traceback>") } else { with_tracebacks_marked(value.take()) };
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| *item = with_tracebacks_marked(item.take())),
        _ => {}
    }
    json
}

fn ended(entry: &Json) -> (Status, Value) {
    let status = entry.get("status").and_then(Json::as_str).and_then(|s| s.parse().ok());
    (status.unwrap_or(Status::Succeeded), entry.get("result").map_or_else(Value::map, value))
}

fn registered(actions: &Json, reference: &str) -> Registered {
    if reference.is_empty() || reference.starts_with("missing.") {
        return Registered::No;
    }
    match actions.get(reference).and_then(Json::as_object) {
        None => open(),
        Some(schema) => closed(schema.iter().map(|(name, parameter)| {
            let kind = parameter.get("type").and_then(Json::as_str).map(Str::from);
            (name.as_str().into(), kind, false)
        })),
    }
}
