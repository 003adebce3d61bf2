//! The criteria of a rule, compiled, and what they say about an event.

use super::compare::{NAMES, Operator};
use super::path::Path;
use crate::jinja::Template;
use crate::{Budget, Engine, Error, Host, Limits, Scope, pattern};
use squall_model::{Map, Str, Value};

/// How deep `search` may nest.
const MAX_DEPTH: u32 = 20;

/// What a rule says about an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the rule fires.
    pub fires: bool,
    /// Why a criterion could not be decided; the rule does not fire then and a failed enforcement is stored.
    pub failure: Option<Error>,
}

/// The criteria of one rule.
#[derive(Debug)]
pub struct Criteria {
    all: Vec<Criterion>,
}

#[derive(Debug)]
struct Criterion {
    path: Path,
    /// As written; none when there is no `type`, which never holds.
    operator: Option<Str>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Compare {
        operator: Operator,
        pattern: Box<Pattern>,
    },
    Search {
        condition: Option<Str>,
        children: Result<Criteria, Error>,
    },
    /// A name that no operator has, or `search` in other than lower case.
    Unknown,
    Misspelt,
}

#[derive(Debug)]
enum Pattern {
    /// As written, with its regular expression if the operator takes one.
    Literal(Value, Option<pattern::Pattern>),
    /// `{{ … }}`: first as JSON, which keeps the type, then as text.
    Typed { complex: Result<Template, Error>, plain: Result<Template, Error> },
    /// Other templates: text.
    Text(Result<Template, Error>),
}

impl Criteria {
    /// Compiles criteria; whatever is wrong with them is reported when they are tested.
    pub fn compile(criteria: &Value) -> Criteria {
        Criteria::nested(criteria.as_map(), 0)
    }

    fn nested(criteria: Option<&Map>, depth: u32) -> Criteria {
        let all = criteria.into_iter().flatten().map(|(key, criterion)| Criterion::compile(key, criterion, depth));
        Criteria { all: all.collect() }
    }

    /// What registration refuses, in StackStorm's sentences.
    pub fn problems(criteria: &Value) -> Vec<String> {
        let map = match criteria {
            Value::Map(map) => map,
            Value::Null => return Vec::new(),
            _ => return vec!["Criteria should be a dict.".to_owned()],
        };
        let mut problems = Vec::new();
        for (field, criterion) in map.iter() {
            let Some(Value::Str(name)) = criterion.get("type") else {
                problems.push(format!("Operator not specified for field: {field}"));
                continue;
            };
            if name.as_ref() != "search" && !NAMES.iter().any(|(known, _)| **known == **name) {
                let known: Vec<Value> = NAMES.iter().map(|(known, _)| Value::from(*known)).collect();
                let known = crate::python::repr(&known.into());
                problems.push(format!("For field: {field}, operator {name} not in list of allowed operators: {known}"));
            }
            if criterion.get("pattern").is_none_or(Value::is_null) {
                problems.push(format!("For field: {field}, no pattern specified for operator {name}"));
            }
        }
        problems
    }

    /// Holds an event against the criteria. No criteria: it fires; criteria and an empty payload: it does
    /// not. An error (class `Exception`) is an operator that does not exist.
    pub fn test(&self, payload: &Value, host: &dyn Host, limits: &Limits) -> Result<Verdict, Error> {
        if self.all.is_empty() {
            return Ok(Verdict { fires: true, failure: None });
        }
        if !payload.is_truthy() {
            return Ok(Verdict { fires: false, failure: None });
        }
        let mut test = Test { host, limits, failure: None };
        for criterion in &self.all {
            if !test.holds(criterion, "trigger", payload)? {
                return Ok(Verdict { fires: false, failure: test.failure });
            }
        }
        Ok(Verdict { fires: true, failure: test.failure })
    }
}

impl Criterion {
    fn compile(key: &str, criterion: &Value, depth: u32) -> Criterion {
        // What follows `#` only makes keys differ.
        let path = Path::read(key.split('#').next().unwrap_or(key));
        let operator = match criterion.get("type") {
            Some(Value::Str(name)) => Some(name.clone()),
            Some(other) if !other.is_null() => Some(crate::python::str(other).into()),
            _ => None,
        };
        let pattern = criterion.get("pattern").cloned().unwrap_or_default();
        let kind = match operator.as_deref() {
            None => Kind::Unknown,
            Some("search") => Kind::Search {
                condition: criterion.get("condition").and_then(Value::as_str).map(Str::from),
                children: children(&pattern, depth),
            },
            Some(name) => match Operator::parse(name) {
                Some(operator) => Kind::Compare { operator, pattern: Box::new(Pattern::compile(operator, pattern)) },
                None if name.to_lowercase() == "search" => Kind::Misspelt,
                None => Kind::Unknown,
            },
        };
        Criterion { path, operator, kind }
    }
}

fn children(pattern: &Value, depth: u32) -> Result<Criteria, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::limit("criteria are nested too deeply"));
    }
    match pattern {
        Value::Map(map) => Ok(Criteria::nested(Some(map), depth + 1)),
        other => {
            let message = format!("'{}' object has no attribute 'items'", crate::params::type_name(other));
            Err(Error::new("AttributeError", message))
        }
    }
}

impl Pattern {
    fn compile(operator: Operator, pattern: Value) -> Pattern {
        let Value::Str(text) = &pattern else { return Pattern::Literal(pattern, None) };
        if !crate::jinja::dynamic(text) && !text.ends_with('\n') {
            let compiled = operator.compile(text).and_then(Result::ok);
            return Pattern::Literal(pattern, compiled);
        }
        let plain = Template::compile(text, Engine::Stack);
        match complex(text) {
            Some(complex) => Pattern::Typed { complex: Template::compile(&complex, Engine::Stack), plain },
            None => Pattern::Text(plain),
        }
    }
}

/// The text with what stands between the first `{{` and the last `}}` of each line piped to `to_complex`.
fn complex(text: &str) -> Option<String> {
    let mut found = false;
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| match (line.find("{{"), line.rfind("}}")) {
            (Some(open), Some(close)) if open + 2 <= close => {
                found = true;
                format!("{} | to_complex{}", &line[..close], &line[close..])
            }
            _ => line.to_owned(),
        })
        .collect();
    found.then(|| lines.join("\n"))
}

/// One event against one rule.
struct Test<'a> {
    host: &'a dyn Host,
    limits: &'a Limits,
    failure: Option<Error>,
}

impl Test<'_> {
    /// Notes a failure; what failed does not hold.
    fn fail(&mut self, error: Error) -> bool {
        self.failure.get_or_insert(error);
        false
    }

    fn holds(&mut self, criterion: &Criterion, root: &'static str, payload: &Value) -> Result<bool, Error> {
        let Some(name) = &criterion.operator else { return Ok(false) };
        let pattern = match &criterion.kind {
            Kind::Compare { pattern, .. } => match self.rendered(pattern, root, payload) {
                Ok(pattern) => pattern,
                Err(error) => return Ok(self.fail(error)),
            },
            _ => None,
        };
        let value = match criterion.path.first(root, payload, &Budget::new(self.limits)) {
            Ok(value) => value,
            Err(error) => return Ok(self.fail(error)),
        };
        match &criterion.kind {
            Kind::Compare { operator, pattern: written } => {
                let now = self.host.now();
                let matched = match (&**written, &pattern) {
                    (Pattern::Literal(pattern, compiled), _) => {
                        operator.apply_with(&value, pattern, compiled.as_ref(), now)
                    }
                    (_, rendered) => operator.apply(&value, rendered.as_ref().unwrap_or(&Value::Null), now),
                };
                Ok(matched.unwrap_or_else(|error| self.fail(error)))
            }
            Kind::Search { condition, children } => match children {
                Ok(children) => self.search(&value, condition.as_deref(), children),
                Err(error) => Ok(self.fail(error.clone())),
            },
            Kind::Misspelt => {
                let error = Error::new("TypeError", format!("operator `{name}` must be written `search`"));
                Ok(self.fail(error))
            }
            Kind::Unknown => Err(Error::new("Exception", format!("Invalid operator: {name}"))),
        }
    }

    /// The pattern, or nothing when it is as written.
    fn rendered(&self, pattern: &Pattern, root: &str, payload: &Value) -> Result<Option<Value>, Error> {
        let data = || Value::from_pairs([(root, payload.clone())]);
        let render = |template: &Result<Template, Error>, data: &Value| {
            let scope = Scope { engine: Engine::Stack, data, host: self.host, limits: self.limits };
            template.as_ref().map_err(Clone::clone)?.render(&scope)
        };
        match pattern {
            Pattern::Literal(..) => Ok(None),
            Pattern::Text(template) => render(template, &data()).map(|text| Some(text.into())),
            Pattern::Typed { complex, plain } => {
                let data = data();
                match render(complex, &data) {
                    Ok(text) => {
                        if let Ok(value) = squall_model::from_json(&text, false) {
                            return Ok(Some(value));
                        }
                    }
                    // Only bad values fall back to text; everything else is a mistake in the pattern.
                    Err(error) if matches!(&*error.class, "ValueError" | "JSONDecodeError") => {}
                    Err(error) => return Err(error),
                }
                render(plain, &data).map(|text| Some(text.into()))
            }
        }
    }

    fn search(&mut self, value: &Value, condition: Option<&str>, children: &Criteria) -> Result<bool, Error> {
        let (every_item, every_child) = match condition {
            Some("any") => (false, true),
            Some("all") => (true, true),
            Some("any2any") => (false, false),
            Some("all2any") => (true, false),
            other => {
                let message = format!(
                    "The '{}' condition is not recognized for type search, 'any', 'all', 'any2any' and 'all2any' are allowed",
                    other.unwrap_or("None")
                );
                return Ok(self.fail(Error::new("UnrecognizedConditionError", message)));
            }
        };
        let one;
        let items = match value {
            Value::List(items) => &**items,
            Value::Map(_) => {
                one = vec![value.clone()];
                &one
            }
            other => {
                let message = format!("'{}' object is not iterable", crate::params::type_name(other));
                return Ok(self.fail(Error::new("TypeError", message)));
            }
        };
        let mut matched = 0;
        for item in items {
            let mut held = 0;
            for child in &children.all {
                held += usize::from(self.holds(child, "item", item)?);
            }
            let holds = if every_child { held == children.all.len() } else { held > 0 };
            matched += usize::from(holds);
        }
        Ok(if every_item { matched == items.len() } else { matched > 0 })
    }
}
