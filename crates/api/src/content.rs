//! The other kinds of content, for reading: runners, rules, triggers, sensors, policies, webhooks, timers.
//!
//! They come from the packs; what changes at run time (enforcements, trigger instances, traces) is listed as empty until
//! something records it.

use crate::attributes::Rules;
use crate::clothes::{object, rule, rule_view, trigger_ref};
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::listing::{self, Shape, Shown, missing, named};
use crate::query::Query;
use crate::{State, answer};
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use sha2::{Digest, Sha256};
use squall_content::{Registry, Rule, runner_types};
use squall_engine::Content;
use squall_engine::people::{Wish, authorize};
use squall_engine::view::object_id;
use squall_model::{Value, to_json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The routes of this file.
pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/api/runnertypes", get(runners))
        .route("/api/runnertypes/{name}", get(runner))
        .route("/api/rules", get(rules))
        .route("/api/rules/{rule}", get(one_rule))
        .route("/api/rules/views", get(rule_views))
        .route("/api/rules/views/{rule}", get(one_rule_view))
        .route("/api/ruletypes", get(rule_types))
        .route("/api/sensortypes", get(sensors))
        .route("/api/sensortypes/{sensor}", get(sensor))
        .route("/api/triggertypes", get(trigger_types))
        .route("/api/triggertypes/{kind}", get(trigger_type))
        .route("/api/triggers", get(triggers))
        .route("/api/webhooks", get(webhooks))
        .route("/api/timers", get(timers))
        .route("/api/policies", get(policies))
        .route("/api/policies/{policy}", get(policy))
        .route("/api/policytypes", get(policy_types))
        .route("/api/policytypes/{name}", get(policy_type))
        .route("/api/triggerinstances", get(nothing_100))
        .route("/api/traces", get(nothing_100))
        .route("/api/ruleenforcements", get(nothing_50))
        .route("/api/ruleenforcements/views", get(nothing_50))
        .route("/api/rbac/roles", get(nothing))
        .route("/api/rbac/role_assignments", get(nothing))
        .route("/api/service_registry/groups", get(groups))
}

fn registry(api: &State, caller: &Caller) -> Result<Registry, Fault> {
    authorize(&caller.who, Wish::View)?;
    Ok(api.engine().content().registry().clone())
}

// ---- runners -------------------------------------------------------------------------------------------------------

const RUNNERS: Shape = Shape {
    limit: Some(100),
    offset: true,
    sort: true,
    whole: false,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "name",
            "description",
            "enabled",
            "runner_package",
            "runner_module",
            "query_module",
            "runner_parameters",
            "output_key",
            "output_schema",
        ],
        always: &["id"],
        excludable: &[],
        along: &[],
    },
};

async fn runners(caller: Caller, query: Query) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let mut all: Vec<_> = runner_types().to_vec();
    all.sort_by_key(|r| r.name);
    listing::page(all.into_iter(), &query, &caller, &RUNNERS)
}

async fn runner(caller: Caller, Path(name): Path<String>) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let found = runner_types().iter().find(|r| r.name == name || r.id() == name || r.aliases.contains(&name.as_str()));
    let missing = || Fault::missing(format!("Resource with a name or id \"{name}\" not found"));
    found.map(|r| answer::ok(r.show())).ok_or_else(missing)
}

// ---- rules ---------------------------------------------------------------------------------------------------------

const RULES: Shape = Shape {
    limit: None,
    offset: false,
    sort: false,
    whole: false,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "ref",
            "pack",
            "name",
            "description",
            "enabled",
            "tags",
            "metadata_file",
            "context",
            "type",
            "trigger",
            "criteria",
            "action",
        ],
        always: &["id", "ref"],
        excludable: &[],
        along: &[],
    },
};

/// A rule that shows itself with what its registry knows.
struct Dressed {
    rule: Arc<Rule>,
    content: Arc<Content>,
    view: bool,
    clear: bool,
}

impl Shown for Dressed {
    fn uid(&self) -> String {
        Shown::uid(&*self.rule)
    }
    fn pack(&self) -> &str {
        &self.rule.reference.pack
    }
    fn name(&self) -> &str {
        &self.rule.reference.name
    }
    fn show(&self) -> Value {
        match self.view {
            true => rule_view(&self.rule, &self.content),
            false => rule(&self.rule, &self.content, self.clear),
        }
    }
}

fn dressed(api: &State, caller: &Caller, view: bool, clear: bool) -> Result<Vec<Arc<Dressed>>, Fault> {
    authorize(&caller.who, Wish::View)?;
    let content = api.engine().content();
    let one = |r: &Arc<Rule>| Arc::new(Dressed { rule: r.clone(), content: content.clone(), view, clear });
    Ok(content.registry().rules.values().map(one).collect())
}

fn clear(query: &Query, caller: &Caller) -> Result<bool, Fault> {
    Ok(query.is_set("show_secrets")? && authorize(&caller.who, Wish::DecryptSystemItem).is_ok())
}

/// The truth values of `enabled` filters, which are fewer than elsewhere.
fn enabled(query: &Query) -> Result<Option<bool>, Fault> {
    match query.filled("enabled") {
        None => Ok(None),
        Some("1" | "true" | "True") => Ok(Some(true)),
        Some("0" | "false" | "False") => Ok(Some(false)),
        Some(other) => Err(Fault::bad(format!("Invalid bool representation \"{other}\" provided."))),
    }
}

async fn rules(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let (wanted, enabled) = (|name| query.filled(name), enabled(&query)?);
    let found = dressed(&api, &caller, false, clear(&query, &caller)?)?.into_iter().filter(|d| {
        wanted("action").is_none_or(|a| *d.rule.action == *a)
            && wanted("trigger")
                .is_none_or(|t| *d.rule.trigger == *t || trigger_ref(&d.rule.trigger, &d.rule.trigger_parameters) == t)
            && enabled.is_none_or(|e| d.rule.enabled == e)
    });
    listing::page(found, &query, &caller, &RULES)
}

async fn one_rule(api: State, caller: Caller, query: Query, Path(of): Path<String>) -> Result<Response, Fault> {
    let all = dressed(&api, &caller, false, clear(&query, &caller)?)?;
    Ok(answer::ok(named(all.into_iter(), &of).ok_or_else(|| missing(&of))?.show()))
}

async fn rule_views(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    listing::page(dressed(&api, &caller, true, false)?.into_iter(), &query, &caller, &RULES)
}

async fn one_rule_view(api: State, caller: Caller, Path(of): Path<String>) -> Result<Response, Fault> {
    let all = dressed(&api, &caller, true, false)?;
    Ok(answer::ok(named(all.into_iter(), &of).ok_or_else(|| missing(&of))?.show()))
}

async fn rule_types(caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let one = |(name, text): (&str, &str)| {
        object([
            ("id", object_id(&format!("rule_type:{name}")).into()),
            ("name", name.into()),
            ("description", text.into()),
            ("enabled", true.into()),
            ("parameters", Value::map()),
        ])
    };
    let all =
        [("standard", "Considered for every trigger."), ("backstop", "Considered when no standard rule matched.")];
    Ok(answer::ok(all.map(one).to_vec()))
}

// ---- triggers and sensors ------------------------------------------------------------------------------------------

const TRIGGER_TYPES: Shape = Shape {
    limit: Some(100),
    offset: true,
    sort: true,
    whole: false,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "ref",
            "pack",
            "name",
            "description",
            "tags",
            "payload_schema",
            "parameters_schema",
            "metadata_file",
        ],
        always: &["id", "ref"],
        excludable: &[],
        along: &[],
    },
};

async fn trigger_types(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    listing::page(registry(&api, &caller)?.trigger_types.values().cloned(), &query, &caller, &TRIGGER_TYPES)
}

async fn trigger_type(api: State, caller: Caller, Path(kind): Path<String>) -> Result<Response, Fault> {
    let found = named(registry(&api, &caller)?.trigger_types.values().cloned(), &kind);
    Ok(answer::ok(found.ok_or_else(|| missing(&kind))?.show()))
}

const SENSORS: Shape = Shape {
    limit: None,
    offset: false,
    sort: false,
    whole: false,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "ref",
            "pack",
            "name",
            "description",
            "enabled",
            "entry_point",
            "artifact_uri",
            "trigger_types",
            "poll_interval",
            "metadata_file",
        ],
        always: &["id", "ref"],
        excludable: &[],
        along: &[],
    },
};

async fn sensors(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let (registry, enabled) = (registry(&api, &caller)?, enabled(&query)?);
    let found = registry.sensors.values().filter(|s| {
        enabled.is_none_or(|e| s.enabled == e)
            && query.filled("trigger").is_none_or(|t| s.trigger_types.iter().any(|kind| kind.to_string() == t))
    });
    listing::page(found.cloned(), &query, &caller, &SENSORS)
}

async fn sensor(api: State, caller: Caller, Path(sensor): Path<String>) -> Result<Response, Fault> {
    let found = named(registry(&api, &caller)?.sensors.values().cloned(), &sensor);
    Ok(answer::ok(found.ok_or_else(|| missing(&sensor))?.show()))
}

/// The concrete triggers that rules wait for: one for each type and set of parameters.
fn all_triggers(registry: &Registry) -> BTreeMap<String, Value> {
    let waited = registry.rules.values().map(|r| (r.trigger.to_string(), r.trigger_parameters.clone()));
    let free = registry
        .trigger_types
        .values()
        .filter(|t| !t.is_parametrised())
        .map(|t| (t.reference.to_string(), Value::map()));
    let one = |(kind, parameters): (String, Value)| {
        let reference = trigger_ref(&kind, &parameters);
        let (pack, name) = reference.split_once('.').unwrap_or(("", &reference));
        let digest: String =
            Sha256::digest(to_json(&parameters).as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
        let uid = format!("trigger:{pack}:{name}:{digest}");
        let shown = object([
            ("id", object_id(&uid).into()),
            ("uid", uid.into()),
            ("ref", reference.as_str().into()),
            ("pack", pack.into()),
            ("name", name.into()),
            ("type", kind.into()),
            ("parameters", parameters),
        ]);
        (reference.clone(), shown)
    };
    waited.chain(free).map(one).collect()
}

async fn triggers(api: State, caller: Caller) -> Result<Response, Fault> {
    Ok(answer::ok(all_triggers(&registry(&api, &caller)?).into_values().collect::<Vec<_>>()))
}

fn of_type(registry: &Registry, fits: impl Fn(&str) -> bool) -> Vec<Value> {
    let kind = |t: &Value| t.get("type").and_then(Value::as_str).is_some_and(&fits);
    all_triggers(registry)
        .into_values()
        .filter(|t| kind(t) && t.get("parameters").is_some_and(Value::is_truthy))
        .collect()
}

async fn webhooks(api: State, caller: Caller) -> Result<Response, Fault> {
    Ok(answer::ok(of_type(&registry(&api, &caller)?, |kind| kind == "core.st2.webhook")))
}

/// The trigger types of timers.
const TIMERS: [&str; 3] = ["core.st2.IntervalTimer", "core.st2.CronTimer", "core.st2.DateTimer"];

async fn timers(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let wanted = query.filled("timer_type");
    let found = of_type(&registry(&api, &caller)?, |kind| TIMERS.contains(&kind) && wanted.is_none_or(|w| w == kind));
    Ok(answer::ok(found))
}

// ---- policies ------------------------------------------------------------------------------------------------------

const POLICIES: Shape = Shape {
    limit: Some(100),
    offset: true,
    sort: false,
    whole: false,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "ref",
            "pack",
            "name",
            "description",
            "enabled",
            "resource_ref",
            "policy_type",
            "parameters",
            "metadata_file",
        ],
        always: &["id", "ref"],
        excludable: &[],
        along: &[],
    },
};

async fn policies(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    listing::page(registry(&api, &caller)?.policies.values().cloned(), &query, &caller, &POLICIES)
}

async fn policy(api: State, caller: Caller, Path(policy): Path<String>) -> Result<Response, Fault> {
    let found = named(registry(&api, &caller)?.policies.values().cloned(), &policy);
    Ok(answer::ok(found.ok_or_else(|| missing(&policy))?.show()))
}

/// The types of policies, with what each does.
pub(crate) const POLICY_TYPES: [(&str, &str); 4] = [
    ("action.concurrency", "Limits how many executions of an action run at once."),
    ("action.concurrency.attr", "Limits how many executions of an action run at once with the same parameters."),
    ("action.retry", "Runs an action again that failed or timed out."),
    ("squall.confirm", "Holds an action until somebody confirms it."),
];

async fn policy_types(caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let rows: Vec<Value> = POLICY_TYPES.map(shown_policy_type).to_vec();
    let total = rows.len() as u64;
    Ok(answer::list(rows, total, Some(100)))
}

async fn policy_type(caller: Caller, Path(name): Path<String>) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let found = POLICY_TYPES.into_iter().find(|(reference, _)| *reference == name);
    Ok(answer::ok(shown_policy_type(found.ok_or_else(|| missing(&name))?)))
}

fn shown_policy_type((reference, text): (&str, &str)) -> Value {
    let (resource, name) = reference.split_once('.').unwrap_or(("action", reference));
    let uid = format!("policy_type:{resource}:{name}");
    object([
        ("id", object_id(&uid).into()),
        ("uid", uid.into()),
        ("ref", reference.into()),
        ("name", name.into()),
        ("resource_type", resource.into()),
        ("description", text.into()),
        ("enabled", true.into()),
        ("module", reference.into()),
        ("parameters", Value::map()),
    ])
}

// ---- what nothing records yet --------------------------------------------------------------------------------------

fn empty(caller: &Caller, query: &Query, default: Option<u64>) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let paging = query.paging(default, caller.is_admin())?;
    Ok(answer::list(Vec::new(), 0, paging.limit))
}

async fn nothing_100(caller: Caller, query: Query) -> Result<Response, Fault> {
    empty(&caller, &query, Some(100))
}

async fn nothing_50(caller: Caller, query: Query) -> Result<Response, Fault> {
    empty(&caller, &query, Some(50))
}

async fn nothing(caller: Caller, query: Query) -> Result<Response, Fault> {
    empty(&caller, &query, None)
}

async fn groups(caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePeople)?;
    Ok(answer::ok(object([("groups", Vec::new().into())])))
}
