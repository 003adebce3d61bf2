//! `squall rule test` and `squall action render`: rules and parameters, tried without a server.

use super::eval::{read_file, run_batch};
use crate::exit::{Done, Stop};
use crate::output::{Form, shown};
use clap::Subcommand;
use serde_json::{Value as Line, json};
use squall_expr::batch;
use squall_expr::operators::Criteria;
use squall_model::{Map, Value, to_json};

#[derive(Subcommand)]
pub enum Rule {
    /// Hold an event against the criteria of a rule: which hold, and whether it fires.
    Test {
        /// The rule's file, or one with criteria alone.
        #[arg(required_unless_present = "batch")]
        rule: Option<String>,
        /// The event's payload, JSON or YAML; `-` reads standard input.
        #[arg(long, value_name = "FILE", required_unless_present = "batch")]
        payload: Option<String>,
        /// What `st2kv.system` holds. May be given several times.
        #[arg(long = "kv", value_name = "KEY=VALUE")]
        items: Vec<String>,
        /// Read JSON lines from standard input, write one for each.
        #[arg(long)]
        batch: bool,
    },
}

impl Rule {
    pub fn run(&self, form: Form) -> Done {
        let Rule::Test { rule, payload, items, batch } = self;
        if *batch {
            return run_batch(batch::rule_test);
        }
        let (path, payload) = (rule.as_deref().unwrap_or_default(), payload.as_deref().unwrap_or_default());
        let rule = read_file(path)?;
        let criteria = rule.get("criteria").cloned().unwrap_or_else(|| match rule.get("trigger") {
            Some(_) => Value::map(),
            None => rule.clone(),
        });
        let Some(all) = criteria.as_map() else {
            return Err(Stop::Failed(format!("{path}: criteria are a map of keys to a type and a pattern")));
        };
        if let Some(problem) = Criteria::problems(&criteria).first() {
            return Err(Stop::Failed(format!("{path}: {problem}")));
        }
        let (payload, kv) = (read_file(payload)?, Value::from(pairs(items)?));
        let ask = |criteria: &Value| {
            batch::rule_test(&json!({
                "kind": "filter", "criteria": Line::from(criteria), "payload": Line::from(&payload), "kv": Line::from(&kv),
            }))
        };
        let each: Vec<Value> = all.iter().map(|(key, criterion)| verdict(key, criterion, &ask)).collect();
        let fires = ask(&criteria).get("value") == Some(&Line::Bool(true));
        let whole = Value::from_pairs([("fires", Value::Bool(fires)), ("criteria", each.clone().into())]);
        form.print(&whole, || {
            let mut text: String = each.iter().map(line).collect();
            text.push_str(match (fires, each.is_empty()) {
                (true, true) => "the rule has no criteria: it fires on every event",
                (true, false) => "the rule fires",
                (false, _) => "the rule does not fire",
            });
            text
        });
        if fires { Ok(()) } else { Err(Stop::Said) }
    }
}

/// What one criterion says by itself.
fn verdict(key: &str, criterion: &Value, ask: &dyn Fn(&Value) -> Line) -> Value {
    let alone = Map::from_iter([(key.into(), criterion.clone())]);
    let answer = Value::from(&ask(&alone.into()));
    let reason = answer.get("reason").or(answer.get("message")).cloned().unwrap_or_default();
    Value::from_pairs([
        ("key", Value::from(key)),
        ("type", criterion.get("type").cloned().unwrap_or_default()),
        ("pattern", criterion.get("pattern").cloned().unwrap_or_default()),
        ("holds", answer.get("value").cloned().unwrap_or(Value::Bool(false))),
        ("reason", reason),
    ])
}

fn line(verdict: &Value) -> String {
    let text = |key: &str| match verdict.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::Str(text)) => shown(text),
        Some(other) => shown(&to_json(other)),
    };
    let mark = if verdict.get("holds") == Some(&Value::Bool(true)) { "holds   " } else { "does not" };
    let reason = text("reason");
    let reason = if reason.is_empty() { reason } else { format!("\n          error: {reason}") };
    format!("{mark}  {} {} {}{reason}\n", text("key"), text("type"), text("pattern"))
}

#[derive(Subcommand)]
pub enum Action {
    /// Render and cast parameters as a run of the action would.
    Render {
        /// The action's metadata file.
        #[arg(required_unless_present = "batch")]
        action: Option<String>,
        /// Parameters as a caller gives them: `name=value`, templates included.
        #[arg(value_name = "NAME=VALUE")]
        params: Vec<String>,
        /// The execution's context (`action_context`), JSON or YAML.
        #[arg(long, value_name = "FILE")]
        context: Option<String>,
        /// The pack's configuration (`config_context`), JSON or YAML.
        #[arg(long, value_name = "FILE")]
        config: Option<String>,
        /// What `st2kv.system` holds. May be given several times.
        #[arg(long = "kv", value_name = "KEY=VALUE")]
        items: Vec<String>,
        /// Read JSON lines from standard input, write one for each.
        #[arg(long)]
        batch: bool,
    },
}

impl Action {
    pub fn run(&self, form: Form) -> Done {
        let Action::Render { action, params, context, config, items, batch } = self;
        if *batch {
            return run_batch(batch::action_render);
        }
        let path = action.as_deref().unwrap_or_default();
        let action = read_file(path)?;
        let name = action.get("runner_type").and_then(Value::as_str).unwrap_or_default();
        let Some(runner) = squall_content::runner_type(name) else {
            return Err(Stop::Failed(format!("{path}: no runner has the name `{name}` (key `runner_type`)")));
        };
        let optional = |path: &Option<String>| path.as_deref().map_or(Ok(Value::map()), read_file);
        let runner: Map = runner.parameters.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect();
        let own = action.get("parameters").cloned().unwrap_or_else(Value::map);
        let line = |kind: &str, runner: &Map, own: &Value| -> Result<Line, Stop> {
            Ok(json!({
                "kind": kind, "runner": Line::from(&Value::from(runner.clone())), "action": Line::from(own),
                "params": Line::from(&Value::from(pairs(params)?)), "kv": Line::from(&Value::from(pairs(items)?)),
                "context": Line::from(&optional(context)?), "config": Line::from(&optional(config)?),
            }))
        };
        let (inner, own) = merged(&runner, &own);
        if let Some(unknown) = pairs(params)?.keys().find(|name| !inner.contains_key(*name) && own.get(name).is_none())
        {
            let known: Vec<&str> =
                own.as_map().into_iter().flatten().chain(inner.iter()).map(|(name, _)| &**name).collect();
            let message = format!("{path}: the action has no parameter `{unknown}`; it has {}", known.join(", "));
            return Err(Stop::Failed(message));
        }
        let live = answered(batch::action_render(&line("live", &inner, &own)?))?;
        let last = answered(batch::action_render(&line("final", &inner, &own)?))?;
        let part = |at: usize| last.as_list().and_then(|parts| parts.get(at)).cloned().unwrap_or_default();
        let whole =
            Value::from_pairs([("stored", live), ("runner_parameters", part(0)), ("action_parameters", part(1))]);
        form.print(&whole, || squall_yaml::to_yaml(&whole));
        Ok(())
    }
}

/// An action changes single keys of the runner's parameters and has others of its own.
fn merged(runner: &Map, own: &Value) -> (Map, Value) {
    let mut inner = runner.clone();
    let mut rest = Map::new();
    for (name, schema) in own.as_map().into_iter().flatten() {
        match (inner.get(name), schema) {
            (Some(Value::Map(base)), Value::Map(changes)) => {
                let mut both = (**base).clone();
                both.extend(changes.iter().map(|(key, value)| (key.clone(), value.clone())));
                inner.insert(name.clone(), both.into());
            }
            _ => drop(rest.insert(name.clone(), schema.clone())),
        }
    }
    (inner, rest.into())
}

fn answered(answer: Line) -> Result<Value, Stop> {
    let answer = Value::from(&answer);
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    answer.get("value").cloned().ok_or_else(|| Stop::Failed(format!("{}: {}", text("error"), shown(&text("message")))))
}

/// `name=value` as texts; the casts make of them what the schema says.
fn pairs(given: &[String]) -> Result<Map, Stop> {
    let pair = |one: &String| match one.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), Value::from(value))),
        _ => Err(Stop::Usage(format!("`{one}` must have the form name=value"))),
    };
    given.iter().map(pair).collect()
}
