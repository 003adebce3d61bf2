//! A host that finds everything in the data of the line.

use crate::{Engine, Error, Host};
use squall_model::{Map, Str, Timestamp, Value};

/// What the functions of an engine see when the data of a batch line is all there is: Orquesta's internal
/// records under `__state`, `__current_task`, `__current_item`, Mistral's under `__env` and `__execution`.
pub(super) struct DataHost<'a> {
    engine: Engine,
    data: &'a Value,
}

impl<'a> DataHost<'a> {
    pub(super) fn new(engine: Engine, data: &'a Value) -> DataHost<'a> {
        DataHost { engine, data }
    }

    fn names(&self) -> &'static [&'static str] {
        match self.engine {
            Engine::Orquesta => &["ctx", "item", "task_status", "succeeded", "failed", "completed", "result"],
            Engine::Mistral => &["env", "execution", "global"],
            Engine::Stack | Engine::StackLax => &[],
        }
    }

    fn ctx(&self, args: &[Value]) -> Result<Value, Error> {
        let empty = Map::new();
        let map = self.data.as_map().unwrap_or(&empty);
        match args {
            [] | [Value::Null] => {
                let own = map.iter().filter(|(key, _)| !key.starts_with("__"));
                Ok(own.map(|(k, v)| (k.clone(), v.clone())).collect::<Map>().into())
            }
            [Value::Str(name), ..] if name.starts_with("__") => Err(Error::new(
                "VariableInaccessibleError",
                format!("The variable \"{name}\" is for internal use and inaccessible."),
            )),
            [Value::Str(name), ..] => map
                .get(name)
                .cloned()
                .ok_or_else(|| Error::new("VariableUndefinedError", format!("The variable \"{name}\" is undefined."))),
            _ => Err(Error::new("TypeError", "the name of a variable is a text")),
        }
    }

    fn item(&self, args: &[Value]) -> Result<Value, Error> {
        let item = self.data.get("__current_item").cloned().unwrap_or_default();
        match (args, &item) {
            ([], _) => Ok(item),
            ([Value::Str(key), ..], Value::Map(map)) => {
                map.get(key).cloned().ok_or_else(|| unable(format!("Item does not have key \"{key}\".")))
            }
            _ => Err(unable("Item is not type of collections.abc.Mapping.")),
        }
    }

    fn current_task(&self) -> Result<&Value, Error> {
        self.data.get("__current_task").ok_or_else(|| unable("The current task is not set in the context."))
    }

    fn status(&self, task: &str, route: i64) -> Option<Value> {
        let state = self.data.get("__state")?;
        let at = state.get("tasks")?.get(&format!("{task}__r{route}"))?.as_int()?;
        state.get("sequence")?.as_list()?.get(usize::try_from(at).ok()?)?.get("status").cloned()
    }

    fn current_status(&self) -> Result<String, Error> {
        let task = self.current_task()?;
        let id = task.get("id").and_then(Value::as_str).unwrap_or_default();
        let route = task.get("route").and_then(Value::as_int).unwrap_or(0);
        Ok(self.status(id, route).and_then(|s| s.as_str().map(str::to_owned)).unwrap_or_default())
    }

    fn task_status(&self, args: &[Value], named: &[(Str, Value)]) -> Result<Value, Error> {
        let given = args.get(1).or(named.iter().find(|(k, _)| &**k == "route").map(|(_, v)| v));
        let current = self.data.at(&["__current_task", "route"]);
        let route = given.or(current).and_then(Value::as_int).unwrap_or(0);
        let found = args.first().and_then(Value::as_str).and_then(|task| self.status(task, route));
        Ok(found.unwrap_or_else(|| Value::from("null")))
    }
}

fn unable(message: impl Into<String>) -> Error {
    Error::new("ExpressionEvaluationException", message)
}

impl Host for DataHost<'_> {
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        const ENDED: &[&str] = &["succeeded", "failed", "timeout", "abandoned", "canceled"];
        if !self.has(name) {
            return None;
        }
        Some(match name {
            "ctx" => self.ctx(args),
            "item" => self.item(args),
            "task_status" => self.task_status(args, named),
            "succeeded" | "failed" => self.current_status().map(|status| Value::Bool(status == name)),
            "completed" => self.current_status().map(|status| Value::Bool(ENDED.contains(&status.as_str()))),
            "result" => self.current_task().map(|task| task.get("result").cloned().unwrap_or_default()),
            "env" => Ok(self.data.get("__env").cloned().unwrap_or_else(Value::map)),
            "execution" => Ok(self.data.get("__execution").cloned().unwrap_or_default()),
            _ => Ok(Value::Null),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    fn kv(&self, _: &str, _: &str, _: bool) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn random(&self, bytes: &mut [u8]) {
        // Good enough for a line that nobody else sees, and without a source of randomness of our own.
        let mut state = self.now().micros().unsigned_abs() | 1;
        for byte in bytes {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 24) as u8;
        }
    }
}

/// The time of day: a batch line has no other clock.
pub(super) fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap_or(0))
}
