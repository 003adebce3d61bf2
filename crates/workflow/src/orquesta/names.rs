//! What an expression of an Orquesta definition may ask: `ctx()`, `item()`, `result()`, `task_status()` and the like.
//!
//! A [`squall_expr::Host`] over the engine's own, made for one evaluation. It only looks.

use super::Definition;
use super::state::State;
use super::status::Status;
use super::view::{Sum, Views};
use squall_expr::Error;
use squall_model::{Map, Str, Timestamp, Value};

/// The task that an expression belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// The task, by its place in the graph.
    pub node: usize,
    /// Its route.
    pub route: u32,
    /// Its result; null before it has ended.
    pub result: &'a Value,
}

/// Where variables are looked up.
#[derive(Clone)]
pub enum Variables<'a> {
    /// In a map.
    Map(&'a Map),
    /// In what a task sees, under names that were set a moment ago.
    View(&'a Views, Sum, &'a Map),
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Variables::Map(map) => map.get(name),
            Variables::View(views, sum, over) => over.get(name).or_else(|| views.get(sum, name)),
        }
    }

    fn all(&self) -> Map {
        match self {
            Variables::Map(map) => (*map).clone(),
            Variables::View(views, sum, over) => {
                let mut all = views.all(sum);
                all.extend(over.iter().map(|(k, v)| (k.clone(), v.clone())));
                all
            }
        }
    }
}

/// Everything that one evaluation sees.
pub struct Names<'a> {
    /// The definition.
    pub definition: &'a Definition,
    /// The run.
    pub state: &'a State,
    /// The engine.
    pub host: &'a dyn crate::Host,
    /// The variables.
    pub variables: Variables<'a>,
    /// The task, if the expression belongs to one.
    pub current: Option<Current<'a>>,
    /// The item, if there are items.
    pub item: Option<&'a Value>,
}

const FUNCTIONS: [&str; 8] = ["ctx", "item", "task_status", "succeeded", "failed", "completed", "result", "json"];

const NO_TASK: &str = "The current task is not set in the context.";

fn failure(message: impl Into<String>) -> Error {
    Error::new("ExpressionEvaluationException", message)
}

/// The parameters of a function by their names in Jinja; YAQL writes `taskId`.
fn parameters(function: &str) -> &'static [&'static str] {
    match function {
        "ctx" | "item" => &["key"],
        "task_status" => &["task_id", "route"],
        _ => &[],
    }
}

fn is_called(name: &str, parameter: &str) -> bool {
    name == parameter || (parameter == "task_id" && name == "taskId")
}

/// Whether the arguments are those that a function takes, each once.
fn fits(function: &str, args: &[Value], named: &[(Str, Value)]) -> bool {
    let parameters = parameters(function);
    let Some(left) = parameters.get(args.len()..) else { return false };
    let known = |name: &str| left.iter().any(|parameter| is_called(name, parameter));
    let has_task = function != "task_status" || argument(args, named, 0, "task_id").is_some();
    has_task && named.iter().all(|(name, _)| known(name))
}

/// The `place`th argument or the one called `name`.
fn argument<'v>(args: &'v [Value], named: &'v [(Str, Value)], place: usize, name: &str) -> Option<&'v Value> {
    let by_name = || named.iter().find(|(key, _)| is_called(key, name)).map(|(_, value)| value);
    args.get(place).or_else(by_name)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| squall_expr::python::str(value), str::to_owned)
}

impl Names<'_> {
    fn ctx(&self, key: Option<&Value>) -> Result<Value, Error> {
        let Some(key) = key else {
            let mut all = self.variables.all();
            if all.keys().any(|name| name.starts_with("__")) {
                all.retain(|name, _| !name.starts_with("__"));
            }
            return Ok(Value::from(all));
        };
        let key = text(key);
        match self.variables.get(key.as_str()) {
            Some(_) if key.starts_with("__") => Err(Error::new(
                "VariableInaccessibleError",
                format!("The variable \"{key}\" is for internal use and inaccessible."),
            )),
            Some(value) => Ok(value.clone()),
            None => Err(Error::new("VariableUndefinedError", format!("The variable \"{key}\" is undefined."))),
        }
    }

    fn item(&self, key: Option<&Value>) -> Result<Value, Error> {
        let item = self.item.cloned().unwrap_or_default();
        let Some(key) = key else { return Ok(item) };
        let Value::Map(map) = &item else {
            return Err(failure("Item is not type of collections.abc.Mapping."));
        };
        let key = text(key);
        map.get(key.as_str()).cloned().ok_or_else(|| failure(format!("Item does not have key \"{key}\".")))
    }

    /// The status of a task as seen from `route`: its run there, else on the newest route that leads here.
    fn status_of(&self, node: usize, route: u32) -> Status {
        if let Some((_, entry)) = self.state.latest(node, route) {
            return entry.status;
        }
        let Some(mine) = self.state.routes().get(route as usize) else {
            return Status::Unset;
        };
        (0..route)
            .rev()
            .filter(|earlier| self.state.routes()[*earlier as usize].iter().all(|step| mine.contains(step)))
            .find_map(|earlier| self.state.latest(node, earlier))
            .map_or(Status::Unset, |(_, entry)| entry.status)
    }

    fn task_status(&self, args: &[Value], named: &[(Str, Value)]) -> Result<Value, Error> {
        let name = argument(args, named, 0, "task_id").map(text).unwrap_or_default();
        let route = match argument(args, named, 1, "route") {
            None | Some(Value::Null) => self.current.map_or(0, |current| i64::from(current.route)),
            Some(Value::Bool(b)) => i64::from(*b),
            Some(Value::Int(n)) => *n,
            Some(_) => return Err(Error::new("TypeError", "the route is not a number")),
        };
        let Ok(route) = u32::try_from(route) else { return Ok(Status::Unset.as_str().into()) };
        if self.state.routes().len() <= route as usize && route > 0 {
            return Err(Error::new("IndexError", format!("there is no route {route}")));
        }
        let status = match self.definition.graph.by_name.get(name.as_str()) {
            Some(node) => self.status_of(*node, route),
            None => Status::Unset,
        };
        Ok(Value::from(status.as_str()))
    }

    fn mine(&self, is: impl Fn(Status) -> bool) -> Result<Value, Error> {
        let current = self.current.ok_or_else(|| failure(NO_TASK))?;
        Ok(Value::Bool(is(self.status_of(current.node, current.route))))
    }
}

/// The document in a text; a map stays as it is.
fn json(value: Option<&Value>) -> Result<Value, Error> {
    match value {
        Some(Value::Str(text)) => {
            squall_model::from_json(text, false).map_err(|error| Error::new("JSONDecodeError", error.to_string()))
        }
        Some(map @ Value::Map(_)) => Ok(map.clone()),
        _ => Err(Error::new("TypeError", "Given object is not typeof string.")),
    }
}

impl squall_expr::Host for Names<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        if FUNCTIONS.contains(&name) && name != "json" && !fits(name, args, named) {
            return None;
        }
        // Whatever counts as false to Python is no key.
        let key = || argument(args, named, 0, "key").filter(|key| key.is_truthy());
        Some(match name {
            "ctx" => self.ctx(key()),
            "item" => self.item(key()),
            "task_status" => self.task_status(args, named),
            "succeeded" => self.mine(|status| status == Status::Succeeded),
            "failed" => self.mine(|status| status == Status::Failed),
            "completed" => self.mine(Status::is_completed),
            "result" => self.current.map(|current| current.result.clone()).ok_or_else(|| failure(NO_TASK)),
            "json" => json(args.first()),
            "task" => return self.host.call("task", &self.task_arguments(args, named), named),
            _ => return self.host.call(name, args, named),
        })
    }

    /// `ctx().name` needs the one variable only. Private ones are left out of `ctx()`, and are not here either.
    fn member(&self, name: &str, args: &[Value], key: &str) -> Option<Value> {
        match (name, args) {
            ("ctx", []) if !key.starts_with("__") => self.variables.get(key).cloned(),
            _ => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        FUNCTIONS.contains(&name) || self.host.has(name)
    }

    fn kv(&self, scope: &str, key: &str, decrypt: bool) -> Result<Option<Value>, Error> {
        self.host.kv(scope, key, decrypt)
    }

    fn name(&self, name: &str) -> Option<Value> {
        self.host.name(name)
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }

    fn random(&self, bytes: &mut [u8]) {
        self.host.random(bytes);
    }

    fn limits(&self) -> &squall_expr::Limits {
        self.host.limits()
    }
}

impl Names<'_> {
    /// `task()` without arguments speaks of the current task on its route.
    fn task_arguments(&self, args: &[Value], named: &[(Str, Value)]) -> Vec<Value> {
        let mut full = args.to_vec();
        let is_named = |name: &str| named.iter().any(|(key, _)| &**key == name);
        if let Some(current) = self.current {
            if full.is_empty() && !is_named("task_id") {
                full.push(Value::Str(self.definition.graph.nodes[current.node].name.clone()));
            }
            if full.len() == 1 && !is_named("route") {
                full.push(Value::from(current.route));
            }
        }
        full
    }
}
