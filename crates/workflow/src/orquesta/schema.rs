//! The schema of a definition, and as much of JSON Schema as it needs.
//!
//! Paths and the choice of the failing keyword are those of the reference's validator, because tools compare them;
//! the sentences are close to its own.

use super::inspect::Entry;
use super::spec::Spec;
use squall_model::{Map, Value};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// What a value must look like.
enum Rule {
    Object {
        required: &'static [&'static str],
        known: Vec<(&'static str, Rule)>,
        words: Option<Box<Rule>>,
        others: bool,
        min: usize,
        max: usize,
    },
    /// A strict one has members, all different.
    List {
        items: Box<Rule>,
        strict: bool,
    },
    Text,
    Items,
    Integer,
    All,
    Version,
    OneOf(Vec<Rule>),
    /// Anything that JSON has; dates are not.
    Json,
}

const WORDS: &str = r"patternProperties.^\w+$";
const ITEMS_PATTERN: &str =
    r"^(\s+)?({{.*?}}|<%.*?%>)(\s+)?$|^(\s+)?((\w+,\s?|\s+)+)?(\w+)\s+in\s+({{.*?}}|<%.*?%>)(\s+)?$";

static WORKFLOW: LazyLock<Rule> = LazyLock::new(|| {
    let one = || Rule::Object {
        required: &[],
        known: Vec::new(),
        words: Some(Box::new(Rule::Json)),
        others: true,
        min: 1,
        max: 1,
    };
    let list = |items| Rule::List { items: Box::new(items), strict: true };
    let closed =
        |required, known| Rule::Object { required, known, words: None, others: false, min: 0, max: usize::MAX };
    let count = || Rule::OneOf(vec![Rule::Text, Rule::Integer]);
    let free = Rule::Object { required: &[], known: Vec::new(), words: None, others: true, min: 1, max: usize::MAX };
    let transition = closed(
        &[],
        vec![
            ("when", Rule::Text),
            ("publish", Rule::OneOf(vec![Rule::Text, list(one())])),
            ("do", Rule::OneOf(vec![Rule::Text, list(Rule::Text)])),
        ],
    );
    let with = closed(&[], vec![("items", Rule::Items), ("concurrency", count())]);
    let retry = closed(&["count"], vec![("when", Rule::Text), ("count", count()), ("delay", count())]);
    let task = closed(
        &[],
        vec![
            ("delay", count()),
            ("join", Rule::OneOf(vec![Rule::All, Rule::Integer])),
            ("with", with),
            ("action", Rule::Text),
            ("input", Rule::OneOf(vec![Rule::Text, free])),
            ("retry", retry),
            ("next", Rule::List { items: Box::new(transition), strict: false }),
        ],
    );
    let tasks = Rule::Object {
        required: &[],
        known: Vec::new(),
        words: Some(Box::new(task)),
        others: true,
        min: 1,
        max: usize::MAX,
    };
    closed(
        &["tasks"],
        vec![
            ("name", Rule::Text),
            ("version", Rule::Version),
            ("description", Rule::Text),
            ("tags", list(Rule::Text)),
            ("input", list(Rule::OneOf(vec![Rule::Text, one()]))),
            ("vars", list(one())),
            ("output", list(one())),
            ("tasks", tasks),
        ],
    )
});

/// The keys that a map at a written path (`tasks.a.next[0]`) may have; none where any may stand.
pub fn keys_at(path: &str) -> Vec<&'static str> {
    match rule_at(path) {
        Some(Rule::Object { known, .. }) => known.iter().map(|(name, _)| *name).collect(),
        _ => Vec::new(),
    }
}

/// What the schema wants at a written path, for people.
pub fn expected(path: &str) -> Option<String> {
    rule_at(path).map(Rule::in_words)
}

fn rule_at(path: &str) -> Option<&'static Rule> {
    let mut steps = path.split(['.', '[']).filter(|step| !step.is_empty());
    steps.try_fold(&*WORKFLOW, |rule, step| rule.member(step.trim_end_matches(']')))
}

impl Rule {
    /// What holds for a member of a map, or an element of a list.
    fn member(&self, name: &str) -> Option<&Rule> {
        match self {
            Rule::Object { known, words, .. } => {
                known.iter().find(|(key, _)| *key == name).map(|(_, rule)| rule).or(words.as_deref())
            }
            Rule::List { items, .. } => Some(items),
            Rule::OneOf(options) => options.iter().find_map(|option| option.member(name)),
            _ => None,
        }
    }

    /// In words that fit after "expected is".
    fn in_words(&self) -> String {
        match self {
            Rule::Object { known, max: 1, .. } if known.is_empty() => "`NAME: VALUE`, one name alone".into(),
            Rule::Object { known, required, .. } if !known.is_empty() => {
                let keys: Vec<String> = known.iter().map(|(key, _)| format!("`{key}`")).collect();
                let must: Vec<String> = required.iter().map(|key| format!("`{key}`")).collect();
                let must = if must.is_empty() { String::new() } else { format!(" ({} at least)", must.join(", ")) };
                format!("a map of {}{must}", keys.join(", "))
            }
            Rule::Object { .. } => "a map with at least one key".into(),
            Rule::List { items, .. } => format!("a list; each element is {}", items.in_words()),
            Rule::Text => "text".into(),
            Rule::Items => "an expression, or `NAME in <% EXPRESSION %>`".into(),
            Rule::Integer => "a whole number from 0".into(),
            Rule::All => "`all`".into(),
            Rule::Version => "`1.0`".into(),
            Rule::OneOf(options) => {
                let options: Vec<String> = options.iter().map(Rule::in_words).collect();
                options.join(", or ")
            }
            Rule::Json => "what JSON can hold (a date needs quotes)".into(),
        }
    }
}

/// What the schema has against a definition.
pub fn violations(spec: &Spec) -> Vec<Entry> {
    let mut check = Check { dates: &spec.dates, at: String::new(), rule: String::new(), found: Vec::new() };
    check.value(&WORKFLOW, &Value::from(spec.root.clone()));
    check.found
}

struct Check<'a> {
    dates: &'a HashSet<String>,
    at: String,
    rule: String,
    found: Vec<Entry>,
}

fn push(path: &mut String, part: &str) {
    if !path.is_empty() && !part.starts_with('[') {
        path.push('.');
    }
    path.push_str(part);
}

impl Check<'_> {
    fn refuse(&mut self, keyword: &str, message: String) {
        let mut schema_path = self.rule.clone();
        push(&mut schema_path, keyword);
        self.found.push(Entry {
            message,
            spec_path: (!self.at.is_empty()).then(|| self.at.clone()),
            schema_path,
            expression: None,
        });
    }

    fn within(&mut self, at: &str, rule: &str, f: impl FnOnce(&mut Self)) {
        let lengths = (self.at.len(), self.rule.len());
        push(&mut self.at, at);
        push(&mut self.rule, rule);
        f(self);
        self.at.truncate(lengths.0);
        self.rule.truncate(lengths.1);
    }

    fn accepts(&self, rule: &Rule, value: &Value) -> bool {
        let mut check = Check { dates: self.dates, at: self.at.clone(), rule: String::new(), found: Vec::new() };
        check.value(rule, value);
        check.found.is_empty()
    }

    fn value(&mut self, rule: &Rule, value: &Value) {
        let wrong_type = |name: &str| format!("{} is not of type '{name}'", repr(value));
        match rule {
            Rule::Object { .. } => match value {
                Value::Map(map) => self.object(rule, map),
                _ => self.refuse("type", wrong_type("object")),
            },
            Rule::List { items, strict } => match value {
                Value::List(list) => {
                    if *strict && list.is_empty() {
                        self.refuse("minItems", "[] should be non-empty".into());
                    }
                    if *strict && has_twins(list) {
                        self.refuse("uniqueItems", format!("{} has non-unique elements", repr(value)));
                    }
                    self.items(items, list);
                }
                _ => self.refuse("type", wrong_type("array")),
            },
            Rule::Text | Rule::Items => match value {
                Value::Str(text) if text.is_empty() => {
                    self.refuse("minLength", "'' should be non-empty".into());
                }
                Value::Str(text) => {
                    if matches!(rule, Rule::Items) && !is_items(text) {
                        self.refuse("pattern", format!("{} does not match '{ITEMS_PATTERN}'", repr(value)));
                    }
                }
                _ => self.refuse("type", wrong_type("string")),
            },
            Rule::Integer => match value {
                Value::Int(n) if *n < 0 => {
                    self.refuse("minimum", format!("{n} is less than the minimum of 0"));
                }
                Value::Int(_) | Value::Big(_) => {}
                _ => self.refuse("type", wrong_type("integer")),
            },
            Rule::All => {
                if value.as_str() != Some("all") {
                    self.refuse("enum", format!("{} is not one of ['all']", repr(value)));
                }
            }
            Rule::Version => {
                let possible = match value {
                    Value::Str(text) => !text.is_empty(),
                    Value::Int(n) => *n >= 0,
                    Value::Float(x) => *x >= 0.0,
                    Value::Big(_) => true,
                    _ => false,
                };
                if !possible {
                    self.refuse("anyOf", not_valid(value));
                }
                let known = match value {
                    Value::Str(text) => &**text == "1.0",
                    Value::Int(n) => *n == 1,
                    Value::Float(x) => *x == 1.0,
                    _ => false,
                };
                if !known {
                    self.refuse("enum", format!("{} is not one of ['1.0', 1.0]", repr(value)));
                }
            }
            Rule::OneOf(options) => {
                let fitting = options.iter().filter(|o| self.accepts(o, value)).count();
                if fitting != 1 {
                    self.refuse("oneOf", not_valid(value));
                }
            }
            Rule::Json => {
                if matches!(value, Value::Special(s) if matches!(**s, squall_model::Special::DateTime { .. }))
                    || self.dates.contains(&self.at)
                {
                    self.refuse("anyOf", not_valid(value));
                }
            }
        }
    }

    fn items(&mut self, rule: &Rule, list: &[Value]) {
        for (i, item) in list.iter().enumerate() {
            self.within(&format!("[{i}]"), "items", |check| check.value(rule, item));
        }
    }

    fn object(&mut self, rule: &Rule, map: &Map) {
        let Rule::Object { required, known, words, others, min, max } = rule else {
            return;
        };
        for name in required.iter().filter(|name| !map.contains_key(**name)) {
            self.refuse("required", format!("'{name}' is a required property"));
        }
        if map.len() < *min {
            self.refuse("minProperties", "{} should be non-empty".into());
        }
        if map.len() > *max {
            let value = repr(&Value::from(map.clone()));
            self.refuse("maxProperties", format!("{value} has too many properties"));
        }
        let unknown: Vec<String> = map
            .keys()
            .filter(|name| !known.iter().any(|(k, _)| *k == &***name))
            .map(|name| format!("'{name}'"))
            .collect();
        if !others && !unknown.is_empty() {
            let verb = if unknown.len() == 1 { "was" } else { "were" };
            let names = unknown.join(", ");
            let message = format!("Additional properties are not allowed ({names} {verb} unexpected)");
            self.refuse("additionalProperties", message);
        }
        for (name, rule) in known {
            if let Some(value) = map.get(*name) {
                self.within(name, &format!("properties.{name}"), |check| check.value(rule, value));
            }
        }
        let Some(rule) = words else { return };
        for (name, value) in map {
            if name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                self.within(name, WORDS, |check| check.value(rule, value));
            }
        }
    }
}

fn not_valid(value: &Value) -> String {
    format!("{} is not valid under any of the given schemas", repr(value))
}

fn repr(value: &Value) -> String {
    let mut text = squall_expr::python::repr(value);
    if text.len() > 2000 {
        let cut = text.floor_char_boundary(2000);
        text.truncate(cut);
        let _ = write!(text, "…");
    }
    text
}

/// Lists here are short (names, variables); a set would need hashable values.
fn has_twins(list: &[Value]) -> bool {
    if list.len() > 64 {
        let mut seen = HashSet::new();
        return !list.iter().all(|v| seen.insert(squall_model::to_json(v)));
    }
    list.iter().enumerate().any(|(i, a)| list.iter().take(i).any(|b| a == b))
}

/// Whether a text is one expression, or names and `in` before one.
fn is_items(text: &str) -> bool {
    if text.contains('\n') {
        // Blanks may be newlines, an expression may not hold one.
        let inner = text.trim_matches(|c: char| c.is_whitespace());
        return !inner.contains('\n') && is_items(inner);
    }
    let text = text.trim();
    let is_expression = |t: &str| {
        (t.starts_with("<%") && t.ends_with("%>") && t.len() >= 4)
            || (t.starts_with("{{") && t.ends_with("}}") && t.len() >= 4)
    };
    if is_expression(text) {
        return true;
    }
    let starts = text.find("<%").into_iter().chain(text.find("{{")).min();
    let Some(start) = starts else { return false };
    let (head, expression) = text.split_at(start);
    let Some(names) = head.trim_end().strip_suffix("in") else {
        return false;
    };
    // A comma stands right behind its name; blanks alone do not part two names.
    let is_word = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    head.ends_with(char::is_whitespace)
        && names.ends_with(char::is_whitespace)
        && is_expression(expression)
        && names.trim_end().split(',').all(|name| is_word(name.trim_start()))
}
