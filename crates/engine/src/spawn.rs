//! From an offer to a child execution, from an execution to what its runner or conductor gets.

use crate::turn::Surroundings;
use crate::{limits, params};
use squall_content::Action;
use squall_expr::Host;
use squall_model::{
    ActionRef, Execution, MAX_DEPTH, Map, Outcome, ReplyTo, Requested, Special, Status, Str, Value, WorkItem, WorkKey,
};
use squall_workflow::{Begin, Definition, Offer, mistral};
use std::sync::Arc;
use std::time::Duration;

/// The child execution that carries out an offer; or why there cannot be one.
///
/// No permission is asked here: whoever installed the pack decided what its workflows contain.
pub(crate) fn child(
    parent: &Execution,
    offer: &Offer,
    around: &Surroundings<'_>,
    host: &dyn Host,
) -> Result<Execution, String> {
    let name = offer.action.as_deref().unwrap_or_default();
    let action = name
        .parse::<ActionRef>()
        .ok()
        .and_then(|r| around.content.registry().action(&r).cloned())
        .ok_or_else(|| format!("Action \"{name}\" cannot be found."))?;
    if !action.enabled {
        return Err(format!("Unable to execute. Action \"{name}\" is disabled."));
    }
    let given = match &offer.input {
        Value::Map(map) => (**map).clone(),
        Value::Null => Map::new(),
        other => return Err(format!("the input of `{name}` is no map: {other:?}")),
    };
    let context = child_context(parent, offer, &action);
    let prepared = around.content.prepared(&action);
    params::refuse_immutable(&prepared, &given)?;
    let params = if parent.request.runner == "action-chain" {
        params::cast(&prepared, given)?
    } else {
        let config = around.content.config(&action.reference.pack);
        params::live(&prepared, &given, &params::Around { context: &context, config, host }).map_err(|failure| {
            match failure {
                params::Failure::Cast(why) => why,
                params::Failure::Template(outcome) => params::error_text(&outcome),
            }
        })?
    };
    params::check(&prepared, &params)?;
    let request = Requested {
        action: action.reference.clone(),
        runner: action.runner.name.to_owned(),
        params,
        context,
        notify: offer.child.notify.clone().unwrap_or_default(),
        definition: action.definition.as_ref().map(|d| d.sha.to_string()),
        reply_to: inherited_reply(parent, offer, &action, around),
        delay_ms: offer.child.delay_ms,
        source: parent.request.source.clone(),
        again: None,
        secret: prepared.secret(),
    };
    let mut child = Execution::new(around.ids.execution(), request, around.now);
    child.root = parent.root;
    child.parent = Some(parent.id);
    child.run = Some(offer.run);
    Ok(child)
}

/// `{parent: {execution_id, …the parent's context}, user, pack, chain|mistral|orquesta: …}`
fn child_context(parent: &Execution, offer: &Offer, action: &Action) -> Map {
    let own = parent.context();
    let mut above = Map::new();
    above.insert("execution_id".into(), parent.id.to_string().into());
    for (key, value) in &own {
        above.insert(key.clone(), value.clone());
    }
    let mut context = Map::new();
    context.insert("parent".into(), above.into());
    if let Some(user) = own.get("user") {
        context.insert("user".into(), user.clone());
    }
    context.insert("pack".into(), (&*action.reference.pack).into());
    if !offer.child.context.is_empty() {
        context.insert(language_key(&parent.request.runner).into(), offer.child.context.clone().into());
    }
    context
}

/// Where clients look for what a language tells about a task: they name children by `orquesta.task_name` or `chain.name`.
fn language_key(runner: &str) -> &str {
    match runner {
        "action-chain" => "chain",
        "mistral-v2" => "mistral",
        other => other,
    }
}

/// Whether the task reports to the chat of its workflow as well.
///
/// StackStorm lets tasks of chains and Mistral workflows inherit the notification settings unless they are in
/// `skip_notify`. Posting is its own message, so announcements never report; Mistral's tasks only with
/// `compat.mistral_notify`, because a retry would report every try.
fn inherited_reply(parent: &Execution, offer: &Offer, action: &Action, around: &Surroundings<'_>) -> Option<ReplyTo> {
    let reply = parent.request.reply_to.as_ref()?;
    let silent = offer.child.skip_notify
        || action.runner.name == "announcement"
        || (parent.request.runner == "mistral-v2" && !around.settings.mistral_notify);
    (!silent).then(|| ReplyTo { alias: None, ..reply.clone() })
}

/// What a workflow's conductor begins with.
pub(crate) fn begin(
    execution: &Execution,
    action: &Action,
    runner: Map,
    own: Map,
    definition: &Definition,
    around: &Surroundings<'_>,
) -> Result<Begin, String> {
    let begin = Begin {
        execution: execution.id.to_string(),
        action: action.reference.to_string(),
        input: own,
        runner,
        context: execution.context(),
        config: around.content.config(&action.reference.pack),
        env: Map::new(),
    };
    match definition {
        Definition::Mistral(definition) => {
            let given = mistral::stackstorm::Given {
                api_url: around.settings.api_url.clone(),
                auth_token: None,
                notify: execution.request.notify.clone(),
            };
            mistral::stackstorm::begin(definition, begin, &given)
        }
        Definition::Orquesta(_) => Ok(Begin { env: orquesta_env(execution, action, around), ..begin }),
        Definition::Chain(_) => {
            // The nodes of a chain inherit its notification settings.
            let notify = execution.request.notify.clone();
            Ok(Begin { env: [("notify".into(), notify)].into_iter().collect(), ..begin })
        }
    }
}

/// The context that an Orquesta workflow starts with: `ctx(st2)` and `ctx(parent)`.
fn orquesta_env(execution: &Execution, action: &Action, around: &Surroundings<'_>) -> Map {
    let context = execution.context();
    let id = execution.id.to_string();
    let mut st2 = Map::new();
    st2.insert("action_execution_id".into(), id.as_str().into());
    st2.insert("workflow_execution_id".into(), id.into());
    st2.insert("api_url".into(), around.settings.api_url.as_str().into());
    st2.insert("pack".into(), (&*action.reference.pack).into());
    st2.insert("action".into(), action.reference.to_string().into());
    st2.insert("runner".into(), execution.request.runner.as_str().into());
    for key in ["user", "api_user", "source_channel"] {
        if let Some(value) = context.get(key) {
            st2.insert(key.into(), value.clone());
        }
    }
    let mut env = Map::new();
    env.insert("st2".into(), st2.into());
    if let Some(parent) = context.get("parent") {
        env.insert("parent".into(), parent.clone());
    }
    env
}

/// How long an action may run when neither it nor its runner says: StackStorm's default for shell commands.
const DEFAULT_TIMEOUT: u64 = 60;
/// Nothing runs longer than a week.
const MAX_TIMEOUT: u64 = 7 * 86_400;

/// The next attempt of an execution, complete.
pub(crate) fn work_item(
    execution: Option<&Execution>,
    action: &Arc<Action>,
    runner: Map,
    own: Map,
    around: &Surroundings<'_>,
) -> Option<WorkItem> {
    let execution = execution?;
    let seconds = match runner.get("timeout").and_then(Value::as_int) {
        Some(n) if n > 0 => (n as u64).min(MAX_TIMEOUT),
        _ => DEFAULT_TIMEOUT,
    };
    let mut env = vec![
        ("ST2_ACTION_PACK_NAME".to_owned(), action.reference.pack.to_string()),
        ("ST2_ACTION_EXECUTION_ID".to_owned(), execution.id.to_string()),
        ("ST2_ACTION_API_URL".to_owned(), around.settings.api_url.clone()),
        ("ST2_ACTION_DEBUG".to_owned(), "False".to_owned()),
    ];
    if action.runner.is_internal {
        let user = execution.request.context.get("user").and_then(Value::as_str).unwrap_or_default();
        env.push(("SQUALL_PACKS_DIR".to_owned(), around.settings.packs_dir.to_string_lossy().into_owned()));
        env.push(("SQUALL_USER".to_owned(), user.to_owned()));
    }
    let mut positional: Vec<(i64, Str)> = action
        .parameters
        .iter()
        .filter_map(|(name, schema)| Some((schema.get("position")?.as_int()?, name.clone())))
        .collect();
    positional.sort();
    let declared = |(name, schema): (&Str, &Value)| Some((name.to_string(), schema.get("type")?.as_str()?.to_owned()));
    Some(WorkItem {
        key: WorkKey { execution: execution.id, attempt: execution.attempt + 1 },
        runner: execution.request.runner.clone(),
        action: action.reference.clone(),
        pack_dir: action.pack_dir.to_string_lossy().into_owned(),
        entry_point: action.entry_point.to_string(),
        runner_params: runner,
        action_params: own,
        positional: positional.into_iter().map(|(_, name)| name.to_string()).collect(),
        types: action.parameters.iter().filter_map(declared).collect(),
        env,
        timeout: Duration::from_secs(seconds),
        sealed: crate::asking::is_frozen(execution).then(|| crate::closure::script_sha(action)).flatten(),
    })
}

/// The outcome as it is stored: a canceled run without a result says so, and one that nobody could keep or read back ends as
/// a failure that tells how large it was.
pub(crate) fn final_outcome(execution: &Execution, outcome: Outcome) -> Outcome {
    let outcome = match too_large(&outcome.result) {
        Some(why) => Outcome { status: failed_at_least(outcome.status), result: Value::from_pairs([("error", why)]) },
        None => outcome,
    };
    if outcome.status == Status::Canceled && outcome.result.is_null() {
        let by = execution.notes.get("cancelled_by").cloned().unwrap_or_default();
        let result = Value::from_pairs([("message", Value::from("Action canceled by user.")), ("user", by)]);
        return Outcome { status: Status::Canceled, result };
    }
    outcome
}

/// A success whose result is lost is none.
fn failed_at_least(status: Status) -> Status {
    if status == Status::Succeeded { Status::Failed } else { status }
}

/// Why a result cannot be kept, if it cannot.
fn too_large(result: &Value) -> Option<String> {
    let (mut bytes, mut is_deep) = (0, false);
    weigh(result, MAX_DEPTH - DEPTH_AROUND, &mut bytes, &mut is_deep);
    if is_deep {
        return Some(format!("result nested deeper than {} levels", MAX_DEPTH - DEPTH_AROUND));
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let most = limits::RESULT_BYTES;
    (bytes > most).then(|| {
        format!("result too large ({} MiB > {} MiB): write it to a file, and return where", mib(bytes), mib(most))
    })
}

/// Levels that a record puts around a result, and some to spare.
const DEPTH_AROUND: usize = 8;

/// Adds about the bytes that a value takes as JSON; texts are counted without their escapes.
fn weigh(value: &Value, levels: usize, bytes: &mut u64, is_deep: &mut bool) {
    let Some(levels) = levels.checked_sub(1) else {
        *is_deep = true;
        return;
    };
    *bytes += match value {
        Value::Str(text) => text.len() as u64 + 2,
        Value::Special(special) => match &**special {
            Special::Bytes(raw) => 2 * raw.len() as u64,
            _ => 32,
        },
        _ => 8,
    };
    match value {
        Value::List(items) => items.iter().for_each(|item| weigh(item, levels, bytes, is_deep)),
        Value::Map(map) => map.iter().for_each(|(key, item)| {
            *bytes += key.len() as u64 + 4;
            weigh(item, levels, bytes, is_deep);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_nobody_could_keep_is_told_apart() {
        let part = Value::from("x".repeat(10 << 20));
        assert_eq!(too_large(&Value::from(vec![part.clone(); 6])), None);
        let why = too_large(&Value::from_pairs([("all", Value::from(vec![part; 7]))]));
        assert_eq!(why.as_deref(), Some("result too large (71 MiB > 64 MiB): write it to a file, and return where"));
        let deep = |levels: usize| (0..levels).fold(Value::Null, |inner, _| Value::from(vec![inner]));
        assert_eq!(too_large(&deep(119)), None);
        assert_eq!(too_large(&deep(120)).as_deref(), Some("result nested deeper than 120 levels"));
    }
}
