//! Rules: which trigger runs which action, and when.
//!
//! Criteria are checked for their shape only; what an operator means is the business of `expr`.

use crate::action::{Tag, tags};
use crate::codes;
use crate::reading::{Fields, File, Source};
use squall_model::{ActionRef, Str, Value};
use squall_yaml::nearest;
use squall_yaml::{Node, Span};

/// When a rule is considered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Always.
    Standard,
    /// Only if no standard rule matched.
    Backstop,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Pack and name.
    pub reference: ActionRef,
    /// What it is for.
    pub description: Option<Str>,
    /// Whether it is considered; rules are disabled unless they say otherwise.
    pub enabled: bool,
    /// When it is considered.
    pub kind: RuleKind,
    /// Reference of the trigger type.
    pub trigger: Str,
    /// Parameters of the trigger: an empty map if none.
    pub trigger_parameters: Value,
    /// Conditions by key: an empty map if none.
    pub criteria: Value,
    /// Reference of the action that it runs.
    pub action: Str,
    /// Parameters of the action, with Jinja: an empty map if none.
    pub action_parameters: Value,
    /// Additional context of its executions.
    pub context: Option<Value>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Its file relative to the pack.
    pub metadata_file: Str,
    /// Where it is defined.
    pub source: Source,
    pub(crate) trigger_span: Span,
    pub(crate) action_span: Span,
    pub(crate) name_span: Span,
}

impl Rule {
    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("rule:{}:{}", self.reference.pack, self.reference.name)
    }
}

/// The operators of criteria, all their names.
const OPERATORS: &[&str] = &[
    "equals",
    "eq",
    "nequals",
    "neq",
    "iequals",
    "ieq",
    "contains",
    "ncontains",
    "icontains",
    "incontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "lessthan",
    "lt",
    "greaterthan",
    "gt",
    "matchwildcard",
    "matchregex",
    "regex",
    "iregex",
    "timediff_lt",
    "td_lt",
    "timediff_gt",
    "td_gt",
    "exists",
    "nexists",
    "inside",
    "in",
    "ninside",
    "nin",
    "search",
];

/// Reads one rule.
pub(crate) fn read(file: &File<'_>) -> Option<Rule> {
    let fields = file.fields();
    let name = fields.required_text("name");
    let trigger = fields.required("trigger").and_then(|_| fields.map("trigger"));
    let action = fields.required("action").and_then(|_| fields.map("action"));
    fields.check_pack();
    let description = fields.text("description");
    let enabled = fields.boolean("enabled", false);
    let kind = kind(file, fields.map("type"));
    let criteria = fields.map("criteria");
    criteria.into_iter().for_each(|node| check_criteria(file, node));
    let context = fields.map("context").map(Node::to_value);
    let tags = tags(file, &fields);
    fields.allow(&["ref", "uid", "id", "metadata_file"]);
    fields.close();
    let (trigger, action) = (target(file, trigger?, "trigger", "type"), target(file, action?, "action", "ref"));
    let (trigger, action, name) = (trigger?, action?, name?);
    (!file.has_failed()).then(|| Rule {
        reference: file.reference(&name),
        description,
        enabled,
        kind,
        trigger: trigger.0,
        trigger_parameters: trigger.1,
        criteria: criteria.map_or_else(Value::map, Node::to_value),
        action: action.0,
        action_parameters: action.1,
        context,
        tags,
        metadata_file: Str::from(file.path),
        source: file.source(fields.span("name")),
        trigger_span: trigger.2,
        action_span: action.2,
        name_span: fields.span("name"),
    })
}

fn kind(file: &File<'_>, node: Option<&Node>) -> RuleKind {
    let Some(node) = node else { return RuleKind::Standard };
    let fields = Fields::of(file, node, "`type` of a rule");
    let word = fields.required_text("ref");
    fields.map("parameters");
    match word.as_deref() {
        Some("backstop") => RuleKind::Backstop,
        Some("standard") | None => RuleKind::Standard,
        Some(other) => {
            let message = format!("`{other}` is no type of rule");
            file.error(codes::WRONG_TYPE, fields.span("ref"), message, "`standard` or `backstop`");
            RuleKind::Standard
        }
    }
}

/// `trigger` and `action`: a reference under `key`, and parameters.
fn target(file: &File<'_>, node: &Node, what: &'static str, key: &'static str) -> Option<(Str, Value, Span)> {
    let words = format!("`{what}` of a rule");
    let fields = Fields::of(file, node, &words);
    let reference = fields.required_text(key);
    let parameters = fields.map("parameters").map_or_else(Value::map, Node::to_value);
    fields.text("description");
    if what == "trigger" {
        fields.allow(&["ref"]);
    }
    fields.close();
    Some((reference?, parameters, fields.span(key)))
}

fn check_criteria(file: &File<'_>, criteria: &Node) {
    for (key, criterion) in criteria.as_map().unwrap_or_default() {
        let name = key.as_str().unwrap_or_default();
        if criterion.as_map().is_none() {
            let help = "write `{type: equals, pattern: …}`";
            let label = format!("this is {}", criterion.kind_name());
            file.error_with_help(
                codes::CRITERIA,
                criterion.span,
                format!("the criterion `{name}` must be a map"),
                label,
                help,
            );
            continue;
        }
        let Some(operator) = criterion.get("type") else {
            file.error(
                codes::CRITERIA,
                key.span,
                format!("the criterion `{name}` has no operator"),
                "`type` is missing",
            );
            continue;
        };
        let word = operator.as_str().unwrap_or_default();
        if !OPERATORS.contains(&word) {
            let message = format!("`{word}` is no operator of criteria");
            match nearest(word, OPERATORS.iter().copied()) {
                Some(close) => {
                    let help = format!("did you mean `{close}`?");
                    file.error_with_help(codes::CRITERIA, operator.span, message, "no such operator", help);
                }
                None => file.error(codes::CRITERIA, operator.span, message, "no such operator"),
            }
        }
        if criterion.get("pattern").is_none_or(Node::is_null) {
            // StackStorm wants one even where the operator does not look at it.
            let message = format!("the criterion `{name}` has no pattern");
            let help = "every operator needs a `pattern`, even `exists`; any value will do there";
            file.error_with_help(codes::CRITERIA, key.span, message, "`pattern` is missing", help);
        }
    }
}
