//! Policies: limits and retries that hang on an action.
//!
//! The types are a table; `squall.confirm` is ours, and StackStorm skips it.

use crate::codes;
use crate::reading::{Fields, File, Source};
use squall_model::{ActionRef, Str, Value};
use squall_yaml::nearest;
use squall_yaml::{Node, Span};

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Pack and name.
    pub reference: ActionRef,
    /// What it is for.
    pub description: Option<Str>,
    /// Whether it applies.
    pub enabled: bool,
    /// Reference of the action that it hangs on.
    pub resource_ref: Str,
    /// `action.concurrency`, `action.concurrency.attr`, `action.retry` or `squall.confirm`.
    pub policy_type: Str,
    /// Its parameters with defaults filled in.
    pub parameters: Value,
    /// Its file relative to the pack.
    pub metadata_file: Str,
    /// Where it is defined.
    pub source: Source,
    pub(crate) name_span: Span,
    pub(crate) resource_span: Span,
}

impl Policy {
    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("policy:{}:{}", self.reference.pack, self.reference.name)
    }
}

const TYPES: &[&str] = &["action.concurrency", "action.concurrency.attr", "action.retry", "squall.confirm"];

/// Reads one policy.
pub(crate) fn read(file: &File<'_>) -> Option<Policy> {
    let fields = file.fields();
    let name = fields.required_text("name");
    let resource_ref = fields.required_text("resource_ref");
    let policy_type = fields.required_text("policy_type");
    fields.check_pack();
    let description = fields.text("description");
    let enabled = fields.boolean("enabled", true);
    let parameters = fields.map("parameters");
    fields.allow(&["ref", "uid", "id", "metadata_file"]);
    fields.close();
    let policy_type = policy_type?;
    if !TYPES.contains(&&*policy_type) {
        let message = format!("`{policy_type}` is no type of policy");
        let help = match nearest(&policy_type, TYPES.iter().copied()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("the types are {}", TYPES.join(", ")),
        };
        file.error_with_help(codes::POLICY_TYPE, fields.span("policy_type"), message, "no such type", help);
        return None;
    }
    let parameters = parameters_of(file, &policy_type, parameters.unwrap_or(&file.root), parameters.is_some());
    let (name, resource_ref) = (name?, resource_ref?);
    (!file.has_failed()).then(|| Policy {
        reference: file.reference(&name),
        description,
        enabled,
        resource_ref,
        policy_type,
        parameters,
        metadata_file: Str::from(file.path),
        source: file.source(fields.span("name")),
        name_span: fields.span("name"),
        resource_span: fields.span("resource_ref"),
    })
}

/// Checks the parameters against the type and fills defaults.
fn parameters_of(file: &File<'_>, policy_type: &str, node: &Node, given: bool) -> Value {
    if policy_type == "squall.confirm" {
        return if given { node.to_value() } else { Value::map() };
    }
    let fields = Fields::of(file, node, "`parameters` of the policy");
    let mut filled = if given { node.to_value().as_map().cloned().unwrap_or_default() } else { Default::default() };
    let wrong = |key: &str, wanted: &str| {
        let message = format!("`{key}` of policy type `{policy_type}` must be {wanted}");
        file.error(codes::POLICY_PARAMETERS, fields.span(key), message, "not possible");
    };
    let known: &[&'static str] = match policy_type {
        "action.retry" => &["retry_on", "max_retry_count", "delay"],
        "action.concurrency" => &["threshold", "action"],
        _ => &["threshold", "action", "attributes"],
    };
    if policy_type == "action.retry" {
        filled.entry("max_retry_count".into()).or_insert(Value::Int(2));
        if !matches!(filled.get("retry_on").and_then(Value::as_str), Some("failure" | "timeout")) {
            wrong("retry_on", "`failure` or `timeout`");
        }
        if !filled.get("max_retry_count").and_then(Value::as_int).is_some_and(|n| (1..=5).contains(&n)) {
            wrong("max_retry_count", "a whole number from 1 to 5");
        }
        let delay = match filled.get("delay") {
            None | Some(Value::Null) => Some(0.0),
            Some(Value::Int(n)) => Some(*n as f64),
            Some(Value::Float(x)) => Some(*x),
            Some(_) => None,
        };
        if !delay.is_some_and(|seconds| (0.0..=120.0).contains(&seconds)) {
            wrong("delay", "a number of seconds from 0 to 120");
        }
    } else {
        filled.entry("action".into()).or_insert(Value::from("delay"));
        if filled.get("threshold").and_then(Value::as_int).is_none() {
            wrong("threshold", "a whole number");
        }
        if !matches!(filled.get("action").and_then(Value::as_str), Some("delay" | "cancel")) {
            wrong("action", "`delay` or `cancel`");
        }
        if known.contains(&"attributes") && filled.get("attributes").and_then(Value::as_list).is_none() {
            wrong("attributes", "a list of parameter names");
        }
    }
    if given {
        fields.allow(known);
        fields.close();
    }
    Value::from(filled)
}
