//! Drives a run from a script: results of actions and commands from outside, no server, no side effects.
//!
//! [`simulate`] follows the protocol of the recorded cases: a queue of units, offers before ends, commands when so many
//! ends were reported. [`operations`] performs a plain list of the engine's verbs. Both answer in the shape in which the
//! cases were recorded.

use super::engine::{Engine, Event};
use super::offer::Offered;
use super::{Definition, ErrorEntry, Habits, Refusal, RerunRequest, Spec, State, Status, inspect};
use crate::simulate::bound::Bound;
use serde_json::{Map as Json, Value as J, json};
use squall_expr::NoHost;
use squall_model::{Map, Value, from_json, to_json};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Runs one case: `definition`, `input`, `context`, `script`, `commands`, or `ops`. With `reload` the engine is
/// written out and read back before each step.
pub fn simulate(case: &J) -> J {
    if case.get("ops").is_some() {
        return operations(case);
    }
    let reload = case.get("reload").and_then(J::as_bool).unwrap_or(false);
    match prepare(case) {
        Err(refused) => refused,
        Ok(engine) => Driver { reload, ..Driver::new(engine, case) }.drive(),
    }
}

fn value(json: &J) -> Value {
    from_json(&json.to_string(), false).unwrap_or_default()
}

fn map(json: Option<&J>) -> Map {
    json.map(value).and_then(|v| v.as_map().cloned()).unwrap_or_default()
}

fn plain(value: &Value) -> J {
    serde_json::from_str(&to_json(value)).unwrap_or(J::Null)
}

fn prepare(case: &J) -> Result<Engine<'static>, J> {
    let text = case.get("definition").and_then(J::as_str).unwrap_or_default();
    let context = map(case.get("context"));
    let spec = Spec::read(text)
        .map_err(|error| json!({"load_error": {"type": "ValueError", "message": error.to_string()}}))?;
    let inspection = inspect(&spec, context.keys().map(|name| &**name));
    if !inspection.is_empty() {
        return Err(json!({"inspection": inspection.to_json()}));
    }
    let definition = Arc::new(Definition::compile(spec, Habits::RECORDED));
    Ok(Engine::new(definition, &map(case.get("input")), &context, &NoHost))
}

/// The end of a run in the shape of the recorded cases.
fn outcome(engine: &Engine<'_>) -> Json<String, J> {
    let state = engine.state();
    let name = |node: usize| engine.definition().graph.nodes[node].name.to_string();
    let statuses: Vec<J> =
        state.entries().iter().map(|entry| json!([name(entry.node), entry.route, status_json(entry.status)])).collect();
    let mut out = Json::new();
    out.insert("status".into(), status_json(state.status()));
    out.insert("output".into(), plain(state.output()));
    out.insert("errors".into(), errors_json(state));
    out.insert("task_statuses".into(), J::Array(statuses));
    out.insert("routes".into(), json!(state.routes()));
    out
}

fn status_json(status: Status) -> J {
    match status {
        Status::Unset => J::Null,
        _ => status.as_str().into(),
    }
}

fn errors_json(state: &State) -> J {
    J::Array(state.errors().iter().map(error_json).collect())
}

fn error_json(error: &ErrorEntry) -> J {
    let mut json = serde_json::to_value(error).unwrap_or_default();
    json["type"] = "error".into();
    let message = &*error.message;
    let kind = match message.split_once(": ") {
        Some((kind, _)) if kind.chars().all(char::is_alphanumeric) => kind,
        _ => "ExecutionFailed",
    };
    json["kind"] = kind.into();
    if let Some((_, rest)) = message.split_once("Unable to evaluate expression '")
        && let Some((expression, rest)) = rest.split_once("'. ")
    {
        json["expression"] = expression.into();
        json["cause"] = rest.split(':').next().unwrap_or_default().into();
    } else if let Some((_, rest)) = message.split_once(" in expression '")
        && let Some((expression, _)) = rest.rsplit_once("' from context")
    {
        json["expression"] = expression.into();
    }
    json
}

fn offer_json(offered: &Offered, id: &str) -> Json<String, J> {
    let actions: Vec<J> = offered
        .actions
        .iter()
        .map(|action| {
            let mut json = json!({"action": plain(&action.action), "input": plain(&action.input)});
            if let Some(item) = action.item {
                json["item_id"] = item.into();
            }
            json
        })
        .collect();
    let mut out = Json::new();
    out.insert(id.into(), offered.task.to_string().into());
    out.insert("route".into(), offered.route.into());
    out.insert("actions".into(), J::Array(actions));
    if let Some(delay) = offered.delay {
        out.insert("delay".into(), delay.into());
    }
    if let Some(count) = offered.items {
        out.insert("items_count".into(), count.into());
        out.insert("concurrency".into(), json!(offered.concurrency));
    }
    out
}

/// A task, or one item of a task.
#[derive(Debug, Clone)]
struct Unit {
    task: String,
    route: u32,
    item: Option<u32>,
}

impl Unit {
    fn named(name: &str, route: u32) -> Unit {
        match name.split_once('/') {
            Some((task, item)) => Unit { task: task.into(), route, item: item.parse().ok() },
            None => Unit { task: name.into(), route, item: None },
        }
    }

    fn name(&self) -> String {
        match self.item {
            Some(item) => format!("{}/{item}", self.task),
            None => self.task.clone(),
        }
    }

    fn event(&self, status: Status, result: Value) -> Event {
        Event { task: self.task.clone(), route: self.route, item: self.item, status, result, accumulated: None }
    }
}

struct Driver<'c> {
    engine: Engine<'static>,
    script: Option<&'c Json<String, J>>,
    cursors: HashMap<String, usize>,
    commands: VecDeque<&'c J>,
    queue: VecDeque<Unit>,
    done: usize,
    order: Vec<J>,
    trace: Vec<J>,
    reload: bool,
    bound: Bound,
    /// Facts and entries of the trace that are counted already.
    counted: (usize, usize),
}

/// An engine call that failed: what the reference raises.
struct Raised(String, String);

impl From<Refusal> for Raised {
    fn from(refusal: Refusal) -> Raised {
        Raised(refusal.class.into(), refusal.message)
    }
}

impl<'c> Driver<'c> {
    fn new(engine: Engine<'static>, case: &'c J) -> Driver<'c> {
        let commands = case.get("commands").and_then(J::as_array);
        Driver {
            engine,
            script: case.get("script").and_then(J::as_object),
            cursors: HashMap::new(),
            commands: commands.map(|all| all.iter().collect()).unwrap_or_default(),
            queue: VecDeque::new(),
            done: 0,
            order: Vec::new(),
            trace: Vec::new(),
            reload: false,
            bound: Bound::default(),
            counted: (0, 0),
        }
    }

    fn drive(mut self) -> J {
        let raised = self.run().err();
        let mut out = outcome(&self.engine);
        out.insert("inspection".into(), json!({}));
        out.insert("task_order".into(), J::Array(std::mem::take(&mut self.order)));
        out.insert("trace".into(), J::Array(std::mem::take(&mut self.trace)));
        if self.engine.state().status().is_completed() {
            let context = Value::from(self.engine.state().final_context());
            out.insert("final_context".into(), plain(&context));
        }
        if let Some(Raised(class, message)) = raised {
            out.insert("engine_error".into(), json!({"type": class, "message": message}));
        }
        J::Object(out)
    }

    fn step(&mut self) -> Result<(), Raised> {
        if self.reload {
            self.engine.reload().map_err(|message| Raised("Reload".into(), message))?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), Raised> {
        self.step()?;
        if !self.engine.state().status().is_completed() {
            self.engine.request(Status::Requested)?;
            self.step()?;
            self.engine.request(Status::Running)?;
        }
        loop {
            while let Some(command) = self.commands.front()
                && command["after"].as_u64().is_some_and(|after| self.done as u64 >= after)
            {
                self.command()?;
            }
            let offered = self.offer()?;
            self.is_bounded()?;
            if let Some(unit) = self.queue.pop_front() {
                let (status, result) = self.scripted(&unit);
                self.report(&unit, status, result)?;
            } else if !offered {
                if self.commands.is_empty() {
                    return Ok(());
                }
                self.command()?;
            }
        }
    }

    /// Counts what was kept since the last time; one that does not come to an end is stopped.
    fn is_bounded(&mut self) -> Result<(), Raised> {
        let (facts, told) = self.counted;
        self.engine.log().iter().skip(facts).for_each(|fact| self.bound.keep(fact));
        self.trace.iter().skip(told).for_each(|entry| self.bound.keep(entry));
        self.counted = (self.engine.log().len(), self.trace.len());
        match self.bound.exceeded() {
            Some(why) => Err(Raised("Endless".into(), why)),
            None => Ok(()),
        }
    }

    /// Offers what may start; whether there was anything.
    fn offer(&mut self) -> Result<bool, Raised> {
        self.step()?;
        let offers = self.engine.offers();
        if offers.is_empty() {
            self.render()?;
            return Ok(false);
        }
        let mut immediate = Vec::new();
        for offered in &offers {
            let mut entry = offer_json(offered, "task");
            entry.insert("ev".into(), "offer".into());
            self.trace.push(J::Object(entry));
            let task = Unit { task: offered.task.to_string(), route: offered.route, item: None };
            if offered.items.is_none() || offered.actions.is_empty() {
                let has_action = offered.actions.first().is_some_and(|action| !action.action.is_null());
                self.start(&task)?;
                if has_action {
                    self.queue.push_back(task)
                } else {
                    immediate.push(task)
                }
                continue;
            }
            for action in &offered.actions {
                let unit = Unit { item: action.item, ..task.clone() };
                self.start(&unit)?;
                self.queue.push_back(unit);
            }
        }
        for unit in immediate {
            self.report(&unit, Status::Succeeded, Value::Null)?;
        }
        Ok(true)
    }

    fn start(&mut self, unit: &Unit) -> Result<(), Raised> {
        self.step()?;
        self.order.push(json!([unit.name(), unit.route, "running"]));
        self.engine.report(&unit.event(Status::Running, Value::Null))?;
        Ok(())
    }

    fn scripted(&mut self, unit: &Unit) -> (Status, Value) {
        let name = unit.name();
        let keys = [format!("{name}@{}", unit.route), name, format!("{}/*", unit.task)];
        let keys = if unit.item.is_some() { &keys[..] } else { &keys[..2] };
        let found = keys.iter().find_map(|key| Some((key, self.script?.get(key)?.as_array()?)));
        let Some((key, entries)) = found else { return (Status::Succeeded, Value::Null) };
        let cursor = self.cursors.entry(key.clone()).or_default();
        let entry = entries.get(*cursor).or(entries.last());
        *cursor += 1;
        let status = entry.and_then(|e| e["status"].as_str()).and_then(Status::named).unwrap_or(Status::Succeeded);
        (status, entry.and_then(|e| e.get("result")).map(value).unwrap_or_default())
    }

    fn report(&mut self, unit: &Unit, status: Status, result: Value) -> Result<(), Raised> {
        self.step()?;
        let report = self.engine.report(&unit.event(status, result))?;
        self.render()?;
        self.order.push(json!([unit.name(), unit.route, status.as_str()]));
        self.trace.push(json!({
            "ev": "done", "unit": unit.name(), "route": unit.route, "sent": status.as_str(),
            "task_status": status_json(report.task),
            "workflow_status": status_json(self.engine.state().status()),
        }));
        self.done += 1;
        self.bound.hear();
        Ok(())
    }

    fn render(&mut self) -> Result<(), Raised> {
        if self.engine.state().status().is_completed() {
            self.step()?;
            self.engine.render();
        }
        Ok(())
    }

    fn command(&mut self) -> Result<(), Raised> {
        let Some(command) = self.commands.pop_front() else { return Ok(()) };
        let verb = command["do"].as_str().unwrap_or_default();
        self.step()?;
        let refused = match verb {
            "pause" => self.engine.request(Status::Paused).err(),
            "resume" => self.engine.request(Status::Resuming).err(),
            "cancel" => self.engine.request(Status::Canceled).err(),
            "rerun" => self.rerun(command).err(),
            _ => self.send(command)?,
        };
        let mut entry = json!({"ev": "command", "do": verb});
        if let Some(refusal) = refused {
            entry["refused"] = json!({"type": refusal.class, "message": refusal.message});
        }
        entry["workflow_status"] = status_json(self.engine.state().status());
        self.trace.push(entry);
        self.render()
    }

    fn rerun(&mut self, command: &J) -> Result<(), Refusal> {
        let Some(tasks) = command.get("tasks").and_then(J::as_array) else {
            return self.engine.rerun(None);
        };
        let names = |list: &[J]| list.iter().filter_map(J::as_str).map(str::to_owned).collect::<Vec<_>>();
        let reset = command.get("reset").and_then(J::as_array).map(|list| names(list)).unwrap_or_default();
        let requests = every_route(&self.engine, &names(tasks), &reset);
        self.engine.rerun(Some(&requests))
    }

    /// News of a unit that somebody else tells; what the engine does not know of is refused.
    fn send(&mut self, command: &J) -> Result<Option<Refusal>, Raised> {
        let route = command["route"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let unit = Unit::named(command["unit"].as_str().unwrap_or_default(), route);
        let status = command["status"].as_str().and_then(Status::named).unwrap_or_default();
        if let Err(refusal) = self.engine.knows(&unit.task, unit.route) {
            return Ok(Some(refusal));
        }
        if status == Status::Running {
            self.start(&unit)?;
            self.queue.push_back(unit);
        } else {
            self.report(&unit, status, command.get("result").map(value).unwrap_or_default())?;
        }
        Ok(None)
    }
}

/// Requests for every route on which the tasks have run.
fn every_route(engine: &Engine<'_>, tasks: &[String], reset: &[String]) -> Vec<RerunRequest> {
    let mut requests = Vec::new();
    for task in tasks {
        let node = engine.definition().graph.by_name.get(task.as_str()).copied();
        let routes = super::stackstorm::routes_of(engine.state(), node);
        let request = |route| RerunRequest { task: task.as_str().into(), route, reset: reset.contains(task) };
        match routes.is_empty() {
            true => requests.push(request(0)),
            false => requests.extend(routes.into_iter().map(request)),
        }
    }
    requests
}

/// Performs a plain list of verbs (`request`, `next`, `event`, `rerun`, `render`, `reload`): answers each with
/// what the engine said and the workflow's status after it.
pub fn operations(case: &J) -> J {
    let mut engine = match prepare(case) {
        Ok(engine) => engine,
        Err(refused) => return refused,
    };
    let no_ops = Vec::new();
    let mut answers = Vec::new();
    for op in case.get("ops").and_then(J::as_array).unwrap_or(&no_ops) {
        let mut answer = op.as_object().cloned().unwrap_or_default();
        for told in ["tasks", "task_status", "raises", "workflow_status"] {
            if told != "tasks" || op["op"] == "next" {
                answer.remove(told);
            }
        }
        if let Err(Raised(class, _)) = perform(&mut engine, op, &mut answer) {
            answer.insert("raises".into(), class.into());
        }
        answer.insert("workflow_status".into(), status_json(engine.state().status()));
        answers.push(J::Object(answer));
    }
    let mut out = outcome(&engine);
    out.insert("inspection".into(), json!({}));
    out.insert("ops".into(), J::Array(answers));
    J::Object(out)
}

fn perform(engine: &mut Engine<'_>, op: &J, answer: &mut Json<String, J>) -> Result<(), Raised> {
    let text = |name: &str| op.get(name).and_then(J::as_str);
    let status = || text("status").and_then(Status::named).unwrap_or_default();
    let number = |json: &J| json.as_u64().and_then(|n| u32::try_from(n).ok());
    match text("op").unwrap_or_default() {
        "request" => engine.request(status())?,
        "next" => {
            let offers = engine.offers();
            let tasks = offers.iter().map(|offered| J::Object(offer_json(offered, "id"))).collect();
            answer.insert("tasks".into(), J::Array(tasks));
        }
        "event" => {
            let event = Event {
                task: text("task").unwrap_or_default().into(),
                route: number(&op["route"]).unwrap_or(0),
                item: op.get("item").and_then(number),
                status: status(),
                result: op.get("result").map(value).unwrap_or_default(),
                accumulated: op.get("accumulated").filter(|list| !list.is_null()).map(value),
            };
            let report = engine.report(&event)?;
            answer.insert("task_status".into(), status_json(report.task));
        }
        "rerun" => {
            let requests: Option<Vec<RerunRequest>> = op.get("tasks").and_then(J::as_array).map(|tasks| {
                let read = |task: &J| RerunRequest {
                    task: task["task"].as_str().unwrap_or_default().into(),
                    route: number(&task["route"]).unwrap_or(0),
                    reset: task["reset"].as_bool().unwrap_or(false),
                };
                tasks.iter().map(read).collect()
            });
            engine.rerun(requests.as_deref())?;
        }
        "render" => engine.render(),
        "reload" => engine.reload().map_err(|message| Raised("Reload".into(), message))?,
        _ => {}
    }
    Ok(())
}
