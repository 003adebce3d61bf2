//! What StackStorm's runner `mistral-v2` puts around the language (`mistral-v2.md` §16).
//!
//! Names must fit the action, the input is made of runner and action parameters, tasks call actions of packs, the
//! env tells who asked, and parameters that no action knows stop a workflow before its first task. The language
//! itself knows nothing of it but a flag.

use super::decide::Failure;
use super::definition::{Definition, Input, Task, Work};
use crate::{Begin, Child, Host, Registered};
use squall_model::{Map, Str, Value};

/// The action behind which Mistral knew all actions of StackStorm.
pub(crate) const PROXY: &str = "st2.action";

/// What the engine knows besides what is in [`Begin`].
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The public URL of the API with its version, without a slash at the end.
    pub api_url: String,
    /// A token for the run, if it has one.
    pub auth_token: Option<String>,
    /// Notification settings of the execution; null or empty for none.
    pub notify: Value,
}

/// Makes the beginning of a Mistral run from that of its execution: `input` holds the action's parameters, all that
/// the metadata declares, null where there is none; `runner` those of the runner. Gives the sentence with which
/// the execution fails when that is not possible.
pub fn begin(definition: &Definition, begin: Begin, given: &Given) -> Result<Begin, String> {
    let workflow = chosen(definition, begin.runner.get("workflow").and_then(Value::as_str))?;
    let mut input = match begin.runner.get("context") {
        Some(Value::Map(context)) => (**context).clone(),
        _ => Map::new(),
    };
    input.extend(begin.input.iter().map(|(k, v)| (k.clone(), v.clone())));
    let mut runner = Map::new();
    runner.insert("workflow".into(), Value::from(workflow));
    // The env holds what people typed in chat, which must never be read as an expression.
    runner.insert("evaluate_env".into(), Value::Bool(false));
    if let Some(target) = begin.runner.get("task_name").filter(|target| !target.is_null()) {
        runner.insert("task_name".into(), target.clone());
    }
    let env = env(&begin, given);
    Ok(Begin { input, runner, env, ..begin })
}

/// The full name of the workflow to run.
fn chosen(definition: &Definition, asked: Option<&str>) -> Result<Str, String> {
    let names: Vec<&Str> = definition.workflows.iter().map(|w| &w.name).collect();
    let Some(book) = &definition.book else {
        return names.first().map(|name| (*name).clone()).ok_or_else(|| "There is no workflow.".into());
    };
    match (names.as_slice(), asked) {
        ([], _) => Err("There are no workflows in the workbook.".into()),
        ([one], _) => Ok((*one).clone()),
        (_, None | Some("")) => Err("Workbook definition is detected. Default workflow cannot be determined.".into()),
        (_, Some(asked)) => {
            let last = asked.rsplit('.').next().unwrap_or(asked);
            let full = format!("{book}.{last}");
            let found = names.iter().find(|name| ****name == *full);
            found
                .map(|name| (*name).clone())
                .ok_or_else(|| format!("Unable to find the workflow \"{asked}\" in the workbook."))
        }
    }
}

/// What `env()` gives in a workflow that StackStorm started.
fn env(begin: &Begin, given: &Given) -> Map {
    let mut parent = Map::new();
    parent.insert("execution_id".into(), Value::from(begin.execution.as_str()));
    parent.extend(begin.context.iter().map(|(k, v)| (k.clone(), v.clone())));
    let skip = begin.runner.get("skip_notify").cloned().filter(|skip| !skip.is_null());
    let notify = if given.notify.is_truthy() { given.notify.clone() } else { Value::map() };
    let mut context: Map = [
        ("api_url", Value::from(given.api_url.as_str())),
        ("endpoint", Value::from(format!("{}/actionexecutions", given.api_url))),
        ("parent", Value::from(parent)),
        ("notify", notify),
        ("skip_notify_tasks", skip.unwrap_or_else(|| Value::from(Vec::new()))),
    ]
    .into_iter()
    .map(|(key, value)| (key.into(), value))
    .collect();
    if let Some(token) = &given.auth_token {
        context.insert("auth_token".into(), Value::from(token.as_str()));
    }
    let proxy = Value::from_pairs([(PROXY, Value::from_pairs([("st2_context", Value::from(context))]))]);
    let mut env = begin.env.clone();
    let own = [
        ("st2_execution_id", Value::from(begin.execution.as_str())),
        ("st2_liveaction_id", Value::from(begin.execution.as_str())),
        ("st2_action_api_url", Value::from(given.api_url.as_str())),
        ("__actions", proxy),
    ];
    env.extend(own.into_iter().map(|(key, value)| (key.into(), value)));
    env
}

/// The notification settings of a task's child: those of the workflow, unless the task is left out.
pub(crate) fn notify(env: &Map, task: &str, child: &mut Child) {
    let context = env.get("__actions").and_then(|actions| actions.at(&[PROXY, "st2_context"]));
    let setting = |key: &str| context.and_then(|context| context.get(key));
    let skipped = setting("skip_notify_tasks").and_then(Value::as_list).unwrap_or_default();
    child.skip_notify = skipped.iter().any(|name| name.as_str() == Some(task));
    if !child.skip_notify {
        child.notify = setting("notify").filter(|notify| notify.is_truthy()).cloned();
    }
}

/// `st2.action` written by hand: in production the action that it stands for, in the bare language an action that
/// cannot be made without the address of the API.
pub(crate) fn through_proxy(definition: &Definition, action: Str, input: Map) -> Result<(Str, Map), Failure> {
    if definition.stackstorm {
        let Some(reference) = input.get("ref").and_then(Value::as_str) else {
            return Err(Failure::Forced(format!("action `{PROXY}` needs the parameter `ref`")));
        };
        let parameters = input.get("parameters").and_then(Value::as_map).cloned().unwrap_or_default();
        return Ok((reference.into(), parameters));
    }
    let mut input = input;
    input.entry("parameters".into()).or_insert(Value::Null);
    let reachable = input.get("st2_context").and_then(|context| context.get("api_url"));
    if reachable.is_none_or(|url| !url.is_truthy()) {
        let text = format!("Failed to instantiate an action [action_desc=action [name={PROXY}]]");
        return Err(Failure::Ordinary(text.into()));
    }
    Ok((action, input))
}

/// Checks the parameters that tasks give to actions of packs, before anything runs; the sentences that
/// StackStorm gives. Names that are expressions and actions that nobody knows are left to the run.
pub fn check(definition: &Definition, host: &dyn Host) -> Vec<String> {
    let mut problems = Vec::new();
    for workflow in &definition.workflows {
        for task in &workflow.tasks {
            if let Work::Action(name) = &task.work
                && let Some(action) = &name.fixed
                && !action.is_empty()
                && definition.ad_hoc(action, definition.book.as_deref()).is_none()
            {
                problems.extend(check_call(&task.name, action, &task.input, host));
            }
        }
    }
    for ad_hoc in definition.actions.values() {
        problems.extend(check_call(&ad_hoc.name, &ad_hoc.base, &ad_hoc.base_input, host));
    }
    problems
}

fn check_call(task: &str, action: &str, input: &Input, host: &dyn Host) -> Option<String> {
    // An input that is one expression is known only when it runs, and is checked then.
    if action.starts_with("std.") || input.whole.is_some() {
        return None;
    }
    let (action, given) = match action {
        PROXY => proxied(input)?,
        _ => (action, input.keys.iter().map(|(key, _)| key.clone()).collect()),
    };
    let Registered::Yes(parameters) = host.action(action) else { return None };
    let given: Map = given.into_iter().map(|key| (key, Value::Null)).collect();
    let (missing, unexpected) = parameters.misfits(&given);
    let fits = missing.is_empty() && unexpected.is_empty();
    (!fits).then(|| misfit(task, action, &missing, &unexpected))
}

/// Action and parameters of a call of the proxy by hand, as far as they are known beforehand.
fn proxied(input: &Input) -> Option<(&str, Vec<Str>)> {
    let key = |name: &str| input.keys.iter().find(|(key, _)| &**key == name).map(|(_, expr)| expr);
    let action = key("ref")?.constant()?.as_str()?;
    let given = match key("parameters") {
        None => Vec::new(),
        Some(parameters) => parameters.keys()?,
    };
    Some((action, given))
}

/// StackStorm's sentence about parameters that do not fit.
pub(crate) fn misfit(task: &str, action: &str, missing: &[Str], unexpected: &[Str]) -> String {
    let list = |names: &[Str]| names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    if missing.is_empty() {
        format!("Unexpected parameters in \"{task}\" for action \"{action}\": {}", list(unexpected))
    } else {
        format!("Missing required parameters in \"{task}\" for action \"{action}\": {}", list(missing))
    }
}

/// Whether StackStorm itself must render `text` when the action starts, because it asks for datastore items.
pub(crate) fn is_left_to_the_action(text: &str) -> bool {
    text.split("{{").skip(1).any(|rest| {
        let inside = rest.split("}}").next().unwrap_or(rest);
        inside.contains("st2kv.")
    })
}

/// Whether a text that is left to the action also asks for variables of the workflow, which then nobody fills in.
pub(crate) fn mixes_both(text: &str) -> bool {
    is_left_to_the_action(text)
        && text.split("{{").skip(1).any(|rest| {
            let inside = rest.split("}}").next().unwrap_or(rest);
            inside.trim_start().starts_with("_.") || inside.contains(" _.") || inside.contains("(_.")
        })
}

impl Task {
    /// Whether its action may be one of a pack.
    pub(crate) fn calls_pack(action: &str) -> bool {
        action.contains('.') && !action.starts_with("std.")
    }
}
