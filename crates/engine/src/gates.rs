//! What a request must pass before anything is stored. Pure decisions in a fixed order; the first objection wins.
//!
//! To add a gate: a function here and a line in [`pass`], with the reason for its place.

use crate::noting::{Noting, Seen};
use crate::params::Prepared;
use crate::people::{Principal, Via, Wish, authorize};
use crate::refusal::Refusal;
use crate::request::{Earlier, Request, Source};
use crate::{Content, Engine, asking, params};
use squall_content::{Action, Registry};
use squall_model::{Map, Outcome, Requested, Value};
use std::sync::Arc;

/// What the gates decided.
pub(crate) enum Verdict {
    /// It may run, unless people must be asked first, which [`crate::Engine::held_or_not`] finds out.
    /// The secrets are those that its caller's templates were made of.
    Run(Requested, Seen),
    /// Its templates fail: it is stored as failed, and the caller is told.
    Stillborn { requested: Requested, outcome: Outcome, message: String },
}

/// Keys of the context that say who asked and how: the engine's alone.
const OWN_KEYS: &[&str] = &[
    "user",
    "agent",
    "api_user",
    "source_channel",
    "chat",
    "action_alias_ref",
    "confirmation",
    "policies",
    "parent",
    "pack",
    "rbac",
    "rule",
    "trigger_instance",
    "mistral",
    "orquesta",
    "chain",
    "re-run",
];

/// Passes a request through all gates.
///
/// Existence comes before permission because packs are no secret; permission before parameters, so that
/// nobody learns about the datastore by templates that they may not run.
pub(crate) fn pass(engine: &Engine, content: &Content, request: &Request) -> Result<Verdict, Refusal> {
    let action = existing(content.registry(), request)?;
    let prepared = content.prepared(&action);
    authorize(&request.who, Wish::Run(&action))?;
    // What an alias adds itself is not its user's: that one was looked at before.
    if request.source != Source::Chat {
        environment(&request.who, &action, &request.params)?;
    }
    let program = program(engine, &request.who)?;
    let context = context(request, &action, program.as_deref())?;
    let seen = Seen::default();
    let params = match rendered(engine, content, request, &action, &context, &seen) {
        Ok(params) => params,
        Err(Failed::Refused(refusal)) => return Err(refusal),
        Err(Failed::Template(outcome)) => {
            let message = params::error_text(&outcome);
            let requested = requested(request, &action, &prepared, request.params.clone(), context);
            return Ok(Verdict::Stillborn { requested, outcome, message });
        }
    };
    params::check(&prepared, &params).map_err(Refusal::Invalid)?;
    Ok(Verdict::Run(requested(request, &action, &prepared, params, context), seen))
}

fn requested(request: &Request, action: &Action, prepared: &Prepared, params: Map, context: Map) -> Requested {
    Requested {
        action: action.reference.clone(),
        runner: action.runner.name.to_owned(),
        params,
        notify: request.notify.clone(),
        definition: definition(request, action),
        reply_to: request.reply_to.clone(),
        delay_ms: request.delay_ms,
        source: source(request, &context).as_str().to_owned(),
        again: request.earlier.as_ref().and_then(|e| e.again.as_ref()).map(|(again, _)| again.clone()),
        secret: prepared.secret(),
        context,
    }
}

/// The environment of processes, unless it is a parameter that the action declares itself.
pub(crate) fn environment(who: &Principal, action: &Action, params: &Map) -> Result<(), Refusal> {
    let is_given = params.get("env").is_some_and(Value::is_truthy);
    let is_of_runner = action.runner.parameters.contains_key("env") && !action.parameters.contains_key("env");
    let is_process = !matches!(action.runner.name, "mistral-v2" | "orquesta" | "action-chain");
    if is_given && is_of_runner && is_process { authorize(who, Wish::Environment(action)) } else { Ok(()) }
}

/// The program in whose name somebody's account asks: by its token, or because it had the run started that asks now.
fn program(engine: &Engine, who: &Principal) -> Result<Option<String>, Refusal> {
    let run = match &who.via {
        Via::Agent(name) => return Ok(Some(name.clone())),
        Via::Execution(run) => *run,
        _ => return Ok(None),
    };
    let execution = |id| engine.store().execution(id);
    let root = execution(run)?.map(|run| execution(run.root)).transpose()?.flatten();
    Ok(root.as_ref().and_then(asking::agent))
}

/// Through which door it came: what a program asks for stays that, whichever command or run it takes for it.
fn source(request: &Request, context: &Map) -> Source {
    match context.contains_key("agent") {
        true if request.source != Source::Internal => Source::Mcp,
        _ => request.source,
    }
}

/// The definition that runs: the present one, unless a workflow goes on that has begun with another.
fn definition(request: &Request, action: &Action) -> Option<String> {
    match request.earlier.as_ref().and_then(|e| e.again.as_ref()) {
        Some((_, begun_with)) => begun_with.clone(),
        None => action.definition.as_ref().map(|d| d.sha.to_string()),
    }
}

/// The action must exist and be enabled.
fn existing(registry: &Registry, request: &Request) -> Result<Arc<Action>, Refusal> {
    let reference = request.action.to_string();
    let action = registry.action(&request.action).ok_or_else(|| Refusal::no_action(&reference))?;
    if !action.enabled {
        return Err(Refusal::Invalid(format!("Unable to execute. Action \"{reference}\" is disabled.")));
    }
    Ok(action.clone())
}

/// The context: what the caller adds, under what only the engine says.
fn context(request: &Request, action: &Action, program: Option<&str>) -> Result<Map, Refusal> {
    let by_us = matches!(request.source, Source::Chat | Source::Rule | Source::Timer | Source::Internal);
    let trusted = by_us || request.who.via == Via::Internal;
    let mut context = Map::new();
    for (key, value) in &request.context {
        if !trusted && OWN_KEYS.contains(&&**key) {
            return Err(Refusal::Invalid(format!("the context key `{key}` cannot be set by a caller")));
        }
        context.insert(key.clone(), value.clone());
    }
    if let Some(earlier) = &request.earlier {
        context.insert("re-run".into(), origin(earlier));
    }
    context.insert("user".into(), request.who.user.as_str().into());
    if let Some(name) = program {
        context.insert("agent".into(), name.into());
    }
    context.insert("pack".into(), (&*action.reference.pack).into());
    Ok(context)
}

/// What clients find out about a re-run.
fn origin(earlier: &Earlier) -> Value {
    let texts = |names: &[String]| Value::from(names.iter().map(|n| Value::from(n.as_str())).collect::<Vec<_>>());
    let (tasks, reset) = match &earlier.again {
        Some((again, _)) => (texts(&again.tasks), texts(&again.reset)),
        None => (texts(&[]), texts(&[])),
    };
    Value::from_pairs([("ref", Value::from(earlier.of.to_string())), ("tasks", tasks), ("reset", reset)])
}

enum Failed {
    Refused(Refusal),
    Template(Outcome),
}

/// The parameters: cast, and rendered unless they were typed by people in chat.
fn rendered(
    engine: &Engine,
    content: &Content,
    request: &Request,
    action: &Action,
    context: &Map,
    seen: &Seen,
) -> Result<Map, Failed> {
    let prepared = content.prepared(action);
    let invalid = |why| Failed::Refused(Refusal::Invalid(why));
    params::refuse_immutable(&prepared, &request.params).map_err(invalid)?;
    if request.source == Source::Chat {
        return params::cast_alias(&prepared, request.params.clone()).map_err(invalid);
    }
    // What the engine hands on was typed or rendered by somebody else before, and is data.
    if request.source == Source::Internal {
        return params::cast(&prepared, request.params.clone()).map_err(invalid);
    }
    let lookup = engine.request_lookup(&request.who);
    let lookup = lookup.lookup();
    let host = Noting { host: &lookup, seen };
    let around = params::Around { context, config: content.config(&action.reference.pack), host: &host };
    let given = params::live(&prepared, &request.params, &around).map_err(|failure| match failure {
        params::Failure::Cast(text) => Failed::Refused(Refusal::Invalid(text)),
        params::Failure::Template(outcome) => Failed::Template(outcome),
    })?;
    let Some(earlier) = &request.earlier else { return Ok(given) };
    // What was typed or rendered for the first run is data: it is not rendered once more.
    let mut all = params::cast(&prepared, params::settable(&prepared, &earlier.params)).map_err(invalid)?;
    all.extend(given);
    Ok(all)
}

/// The rights with which a caller's own templates are rendered.
pub(crate) fn may_decrypt(who: &Principal) -> bool {
    authorize(who, Wish::DecryptSystemItem).is_ok()
}
