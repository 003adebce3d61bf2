//! Templates in parameters, rendered along their dependencies.
//!
//! Parameters may refer to each other in any direction and to the contexts; they are nodes of a graph, and
//! the names that a template mentions are its edges. What arrived as data is never read as a template twice:
//! the final pass takes given values literally and renders only defaults.

use super::{Schema, Schemas, cast_parameter};
use crate::jinja::Template;
use crate::{Engine, Error, Host, Limits, Scope, python};
use indexmap::IndexMap;
use squall_model::{Map, Str, Value, from_json, to_json};
use std::sync::Arc;

/// What parameters are rendered with.
#[derive(Clone, Copy)]
pub struct Rendering<'a> {
    /// The runner's parameters.
    pub runner: &'a Schemas,
    /// The action's parameters.
    pub action: &'a Schemas,
    /// The execution's context, `action_context` to templates.
    pub context: &'a Value,
    /// The pack's resolved configuration, `config_context`.
    pub config: &'a Value,
    /// More contexts by name, such as `trigger`.
    pub additional: &'a Map,
    /// Where `st2kv` looks things up.
    pub host: &'a dyn Host,
    /// What each template may cost.
    pub limits: &'a Limits,
}

impl Rendering<'_> {
    /// Renders and casts what a caller gave, and defaults that are templates; the result is stored.
    ///
    /// Errors of dependencies and templates have class `ParamException`, those of casts their own.
    pub fn live(&self, params: &Map) -> Result<Map, Error> {
        let mut graph = self.graph();
        for (name, value) in params {
            graph.insert(name.clone(), Node::of(value));
        }
        self.add_defaults(&mut graph);
        let values = self.resolve(graph)?;
        let mut live = self.cast_all(params.keys(), &values)?;
        for schemas in [self.action, self.runner] {
            for (name, schema) in schemas {
                let template = matches!(&schema.default, Some(Value::Str(text)) if is_template(text));
                if template
                    && !schema.immutable
                    && !params.contains_key(name)
                    && let Some(value) = values.get(name)
                    && schema.default.as_ref() != Some(value)
                {
                    live.insert(name.clone(), cast_parameter(value.clone(), Some(schema))?);
                }
            }
        }
        Ok(live)
    }

    /// Completes stored parameters with rendered defaults when the action starts: the runner's parameters
    /// and the action's.
    pub fn finally(&self, params: &Map) -> Result<(Map, Map), Error> {
        let mut graph = self.graph();
        for (name, value) in params {
            graph.insert(name.clone(), Node::Value(value.clone()));
        }
        self.add_defaults(&mut graph);
        let values = self.resolve(graph)?;
        let known = |name: &&Str| self.runner.contains_key(*name) || self.action.contains_key(*name);
        let all = self.cast_all(values.keys().filter(known), &values)?;
        Ok(all.into_iter().partition(|(name, _)| self.runner.contains_key(name)))
    }

    fn graph(&self) -> IndexMap<Str, Node> {
        let mut graph = IndexMap::new();
        graph.insert(Str::from("st2kv"), Node::Host);
        graph.insert("action_context".into(), Node::Value(self.context.clone()));
        graph.insert("config_context".into(), Node::Value(self.config.clone()));
        graph.extend(self.additional.iter().map(|(name, value)| (name.clone(), Node::Value(value.clone()))));
        graph
    }

    /// Action before runner: where both have a default the action's is there first.
    fn add_defaults(&self, graph: &mut IndexMap<Str, Node>) {
        for schemas in [self.action, self.runner] {
            for (name, schema) in schemas {
                let open = matches!(graph.get(name), None | Some(Node::Value(Value::Null)));
                if open || schema.immutable {
                    graph.insert(name.clone(), Node::of(schema.default.as_ref().unwrap_or(&Value::Null)));
                }
            }
        }
    }

    fn resolve(&self, graph: IndexMap<Str, Node>) -> Result<Map, Error> {
        let order = order(&graph)?;
        let mut values = Arc::new(Map::new());
        for name in order {
            let value = match &graph[&name] {
                Node::Host => continue,
                Node::Value(value) => value.clone(),
                Node::Broken(error) => return Err(unrendered(&name, error)),
                Node::Template { template, .. } => {
                    let data = Value::Map(values.clone());
                    let scope = Scope { engine: Engine::Stack, data: &data, host: self.host, limits: self.limits };
                    template.render(&scope).map(Value::from).map_err(|e| unrendered(&name, &e))?
                }
                Node::Json { template, .. } => {
                    let data = Value::Map(values.clone());
                    let scope = Scope { engine: Engine::Stack, data: &data, host: self.host, limits: self.limits };
                    let text = template.render(&scope).map_err(|e| unrendered(&name, &e))?;
                    from_json(&text, false)
                        .map_err(|e| unrendered(&name, &Error::new("JSONDecodeError", e.to_string())))?
                }
            };
            // Nobody else holds the map between two renderings, so this is in place.
            Arc::make_mut(&mut values).insert(name, value);
        }
        Ok(Arc::unwrap_or_clone(values))
    }

    /// The last schema that knows a name decides about its cast: the runner's.
    fn schema(&self, name: &str) -> Option<&Schema> {
        self.runner.get(name).or_else(|| self.action.get(name))
    }

    fn cast_all<'n>(&self, names: impl Iterator<Item = &'n Str>, values: &Map) -> Result<Map, Error> {
        names
            .map(|name| {
                let value = values.get(name).cloned().unwrap_or_default();
                Ok((name.clone(), cast_parameter(value, self.schema(name))?))
            })
            .collect()
    }
}

fn unrendered(name: &str, error: &Error) -> Error {
    if error.class == "ResourceLimit" {
        return error.clone();
    }
    Error::new("ParamException", format!("Failed to render parameter \"{name}\": {}", error.message))
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

enum Node {
    /// Looked up by the host.
    Host,
    Value(Value),
    Template {
        template: Template,
    },
    /// A list or map, rendered as JSON text; `names` as they appear in its Python notation.
    Json {
        names: Vec<Str>,
        template: Template,
    },
    /// A template that fails whenever it is rendered.
    Broken(Error),
}

impl Node {
    fn of(value: &Value) -> Node {
        match value {
            Value::Str(text) if is_template(text) => match Template::compile(text, Engine::Stack) {
                Ok(template) => Node::Template { template },
                Err(error) if error.class == "TemplateSyntaxError" => Node::Value(value.clone()),
                Err(error) => Node::Broken(error),
            },
            Value::List(_) | Value::Map(_) => {
                let json = to_json(value);
                if !is_template(&json) {
                    return Node::Value(value.clone());
                }
                let names = match Template::compile(&python::repr(value), Engine::Stack) {
                    Ok(template) => template.names().to_vec(),
                    Err(error) if error.class == "TemplateSyntaxError" => return Node::Value(value.clone()),
                    Err(error) => return Node::Broken(error),
                };
                match Template::compile(&typed(&json), Engine::Stack) {
                    Ok(template) => Node::Json { names, template },
                    Err(error) => Node::Broken(error),
                }
            }
            other => Node::Value(other.clone()),
        }
    }

    fn names(&self) -> &[Str] {
        match self {
            Node::Template { template } => template.names(),
            Node::Json { names, .. } => names,
            Node::Host | Node::Value(_) | Node::Broken(_) => &[],
        }
    }
}

/// `"{{name}}"` alone in a list or map keeps the type of its value.
fn typed(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find("\"{{") {
        out.push_str(&rest[..at]);
        let inside = &rest[at + 3..];
        let len = inside.find(|c: char| !(c.is_ascii_alphanumeric() || "_-[]\\^`".contains(c))).unwrap_or(inside.len());
        match inside[len..].strip_prefix("}}\"") {
            Some(after) if len > 0 => {
                out.push_str(&format!("{{{{{} | to_complex}}}}", &inside[..len]));
                rest = after;
            }
            _ => {
                out.push_str(&rest[at..at + 3]);
                rest = inside;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Names so that each comes after those it mentions.
fn order(graph: &IndexMap<Str, Node>) -> Result<Vec<Str>, Error> {
    let mut waiting: Vec<usize> = Vec::with_capacity(graph.len());
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); graph.len()];
    for (at, node) in graph.values().enumerate() {
        for name in node.names() {
            let Some(from) = graph.get_index_of(name) else {
                return Err(Error::new("ParamException", format!("Dependency unsatisfied in variable \"{name}\"")));
            };
            followers[from].push(at);
        }
        waiting.push(node.names().len());
    }
    let mut ready: Vec<usize> = (0..graph.len()).rev().filter(|at| waiting[*at] == 0).collect();
    let mut order = Vec::with_capacity(graph.len());
    while let Some(at) = ready.pop() {
        order.extend(graph.get_index(at).map(|(name, _)| name.clone()));
        for &follower in &followers[at] {
            waiting[follower] -= 1;
            if waiting[follower] == 0 {
                ready.push(follower);
            }
        }
    }
    if order.len() < graph.len() {
        return Err(cyclic(graph, &waiting));
    }
    Ok(order)
}

/// Names one member of each cycle.
fn cyclic(graph: &IndexMap<Str, Node>, waiting: &[usize]) -> Error {
    let mut members: Vec<&str> = Vec::new();
    let mut seen = vec![false; graph.len()];
    for start in (0..graph.len()).filter(|at| waiting[*at] > 0) {
        // Follow what is waited for until something comes twice: that lies on a cycle.
        let mut at = start;
        while !seen[at] {
            seen[at] = true;
            let next = graph[at].names().iter().filter_map(|n| graph.get_index_of(n)).find(|n| waiting[*n] > 0);
            match next {
                Some(next) => at = next,
                None => break,
            }
            if at == start || seen[at] {
                members.extend(graph.get_index(at).map(|(name, _)| &**name).filter(|n| !members.contains(n)));
                break;
            }
        }
    }
    members.sort_unstable();
    let message = format!(
        "Cyclic dependency found in the following variables: {}. Likely the variable is referencing itself",
        members.join(", ")
    );
    Error::new("ParamException", message)
}
