//! Reads a definition: every fault with its place, all at once.
//!
//! What counts as a fault is what Mistral refuses when a definition is registered (`mistral-v2.md` §1 to §4, §8.4); what
//! it finds only when it gets there (a nested expression that cannot be read, an unknown action) is left to the run.
//! Unknown keys of a workflow are accepted and of a task refused, as the original does.

use super::definition::{AdHoc, Definition, Input, Name, Task, TaskIndex, Work, Workflow};
use super::read_task::read_task;
use super::{inline, loose_yaml, stackstorm};
use crate::definition::LoadOptions;
use crate::expressions::Expr;
use squall_expr::Engine;
use squall_model::{Map, Str, Value};
use squall_yaml::{Diagnostic, Kind, Node, Options, Span};
use std::collections::{HashMap, HashSet};

/// A text that is no YAML.
pub(super) const NOT_YAML: &str = "SQ2201";
/// A key that is missing, unknown or of the wrong form.
pub(super) const FORM: &str = "SQ2202";
/// A name that stands for nothing, or for the wrong thing.
pub(super) const NAME: &str = "SQ2203";
/// A join that can never start.
pub(super) const JOIN: &str = "SQ2204";
/// An expression that cannot be read.
pub(super) const EXPRESSION: &str = "SQ2205";

impl Definition {
    /// Reads the definition of a StackStorm action.
    pub fn load(text: &str, options: &LoadOptions) -> Result<Definition, Vec<Diagnostic>> {
        let mut reader = Reader::new(text, Some(options));
        let definition = reader.document(text, false);
        reader.finish(definition)
    }

    /// Everything that can be said against the definition of a StackStorm action, warnings included.
    pub(crate) fn inspect(text: &str, options: &LoadOptions) -> Vec<Diagnostic> {
        let mut reader = Reader::new(text, Some(options));
        reader.document(text, false);
        reader.sorted()
    }

    /// Reads a definition of the bare language: workflows, or a workbook, and ad-hoc actions beside them.
    pub fn bare(text: &str, workbook: bool, actions: Option<&str>) -> Result<Definition, Vec<Diagnostic>> {
        let text = &loose_yaml::quoted(text);
        let mut reader = Reader::new(text, None);
        let mut definition = reader.document(text, workbook);
        if let Some(actions) = actions {
            let mut reader = Reader::new(actions, None);
            let more = reader.actions_document(actions);
            definition.actions.extend(reader.finish(more)?);
        }
        reader.finish(definition)
    }
}

/// Reads nodes and collects what is wrong with them.
pub(super) struct Reader<'t> {
    text: &'t str,
    path: Option<&'t str>,
    /// The action whose definition this is, in production.
    reference: Option<String>,
    problems: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, options: Option<&'t LoadOptions>) -> Reader<'t> {
        Reader {
            text,
            path: options.map(|o| o.path.as_str()),
            reference: options.map(|o| o.reference.to_string()),
            problems: Vec::new(),
        }
    }

    /// Whether StackStorm's rewriting applies.
    pub fn is_stackstorm(&self) -> bool {
        self.reference.is_some()
    }

    fn finish<T>(self, read: T) -> Result<T, Vec<Diagnostic>> {
        if self.problems.iter().any(Diagnostic::is_error) { Err(self.sorted()) } else { Ok(read) }
    }

    fn sorted(self) -> Vec<Diagnostic> {
        let mut problems = self.problems;
        problems.sort_by_key(|p| (p.line(), p.column()));
        problems
    }

    /// Notes a fault at `span`.
    pub fn fault(&mut self, code: &'static str, span: Span, message: impl Into<String>, label: &str) {
        let mut problem = Diagnostic::error(code, message).at(self.text, span, label);
        problem.file = self.path.map(str::to_owned);
        self.problems.push(problem);
    }

    /// Notes a fault with a way out.
    pub fn fault_with_help(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: &str,
        help: &str,
    ) {
        self.fault(code, span, message, label);
        if let Some(problem) = self.problems.last_mut() {
            problem.help = Some(help.to_owned());
        }
    }

    /// Notes what runs, but hardly as it was meant.
    pub fn warn(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: &str) {
        let mut problem = Diagnostic::warning(code, message).at(self.text, span, "").help(help);
        problem.file = self.path.map(str::to_owned);
        self.problems.push(problem);
    }

    fn parse(&mut self, text: &str) -> Option<Node> {
        match squall_yaml::parse(text, &Options::workflow()) {
            Ok(document) => Some(document.root),
            Err(error) => {
                let mut problem = Diagnostic::from_yaml_error(NOT_YAML, text, &error);
                problem.file = self.path.map(str::to_owned);
                self.problems.push(problem);
                None
            }
        }
    }

    fn document(&mut self, text: &str, workbook: bool) -> Definition {
        let Some(root) = self.parse(text) else { return Definition::default() };
        let Some(pairs) = root.as_map() else {
            self.fault(FORM, root.span, "a definition is a map", "this is not one");
            return Definition::default();
        };
        let mut definition = Definition { stackstorm: self.is_stackstorm(), ..Definition::default() };
        if root.get("version").is_none() {
            let label = "no `version` here";
            let help = "write `version: '2.0'` on top";
            self.fault_with_help(FORM, first_line(root.span), "'version' is a required property", label, help);
        }
        if workbook || root.get("workflows").is_some() {
            self.workbook(&root, &mut definition);
        } else {
            let lists = pairs.iter().filter(|(key, _)| key.as_str() != Some("version"));
            let lists: Vec<&(Node, Node)> = lists.collect();
            self.check_names(&root, &lists);
            for (key, body) in lists {
                let name = key_text(key);
                self.add_workflow(&mut definition, name, body);
            }
        }
        definition
    }

    /// In production a file holds one workflow, named after its action.
    fn check_names(&mut self, root: &Node, workflows: &[&(Node, Node)]) {
        if workflows.is_empty() {
            return self.fault(FORM, first_line(root.span), "there is no workflow in this definition", "");
        }
        let Some(reference) = self.reference.clone() else { return };
        if let [_, (second, _), ..] = workflows {
            let text = "Workflow (not workbook) definition is detected. Multiple workflows is not supported.";
            return self.fault(NAME, second.span, text, "a second workflow");
        }
        if let [(key, _)] = workflows
            && *key_text(key) != *reference.as_str()
        {
            let text =
                format!("Name of the workflow must be the same as the fully qualified action name \"{reference}\".");
            self.fault(NAME, key.span, text, "another name");
        }
    }

    fn workbook(&mut self, root: &Node, definition: &mut Definition) {
        const SECTIONS: [&str; 6] = ["version", "name", "description", "tags", "actions", "workflows"];
        self.only_keys(root, &SECTIONS, "a workbook");
        if let Some(version) = root.get("version")
            && !matches!(version.to_value(), Value::Float(v) if v == 2.0)
            && !matches!(version.to_value(), Value::Int(2))
            && version.as_str() != Some("2.0")
        {
            self.fault(FORM, version.span, "the version of a workbook is '2.0'", "");
        }
        let Some(name) = root.get("name").and_then(Node::as_str).map(Str::from) else {
            return self.fault(FORM, first_line(root.span), "'name' is a required property", "a workbook has a name");
        };
        if let Some(reference) = &self.reference
            && *name != **reference
        {
            let text =
                format!("Name of the workbook must be the same as the fully qualified action name \"{reference}\".");
            let span = root.get("name").map_or(root.span, |n| n.span);
            self.fault(NAME, span, text, "another name");
        }
        definition.book = Some(name.clone());
        if let Some(actions) = root.get("actions") {
            for (key, body) in self.pairs(actions, "actions") {
                let full: Str = format!("{name}.{}", self.member_name(key)).into();
                if let Some(action) = self.ad_hoc(full.clone(), Some(name.clone()), body) {
                    definition.actions.insert(full, action);
                }
            }
        }
        if let Some(workflows) = root.get("workflows") {
            for (key, body) in self.pairs(workflows, "workflows") {
                let full: Str = format!("{name}.{}", self.member_name(key)).into();
                self.add_workflow(definition, full, body);
            }
        }
    }

    fn member_name(&mut self, key: &Node) -> Str {
        let name = key_text(key);
        let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if name.is_empty() || !plain || &*name == "version" {
            self.fault(NAME, key.span, format!("`{name}` cannot be a name inside a workbook"), "");
        }
        name
    }

    fn actions_document(&mut self, text: &str) -> HashMap<Str, AdHoc> {
        let Some(root) = self.parse(text) else { return HashMap::new() };
        let mut actions = HashMap::new();
        for (key, body) in self.pairs(&root, "a list of actions") {
            let name = key_text(key);
            if &*name != "version"
                && let Some(action) = self.ad_hoc(name.clone(), None, body)
            {
                actions.insert(name, action);
            }
        }
        actions
    }

    fn ad_hoc(&mut self, name: Str, book: Option<Str>, node: &Node) -> Option<AdHoc> {
        const KEYS: [&str; 7] = ["base", "base-input", "input", "output", "description", "tags", "name"];
        self.only_keys(node, &KEYS, "an ad-hoc action");
        let Some(base) = node.get("base").and_then(Node::as_str) else {
            self.fault(FORM, node.span, format!("'base' is a required property of action `{name}`"), "");
            return None;
        };
        let (base, one_line) = inline::split(base).map_or((base, Map::new()), |(name, params)| (name, params));
        let base_input = self.input(node.get("base-input"), one_line, base, &name);
        let output = node.get("output").map(|output| (self.expr(output), output.to_value()));
        let input = self.declared_input(node.get("input"));
        Some(AdHoc { name, base: base.into(), base_input, input, output, book })
    }

    fn add_workflow(&mut self, definition: &mut Definition, name: Str, body: &Node) {
        if let Some(workflow) = self.workflow(name.clone(), body) {
            definition.names.insert(name, definition.workflows.len());
            definition.workflows.push(workflow);
        }
    }

    fn workflow(&mut self, name: Str, node: &Node) -> Option<Workflow> {
        if node.as_map().is_none() {
            self.fault(FORM, node.span, format!("workflow `{name}` is a map"), "this is not one");
            return None;
        }
        let reverse = match node.get("type") {
            None => false,
            Some(kind) => match kind.as_str() {
                Some("direct") => false,
                Some("reverse") => true,
                _ => {
                    self.fault(FORM, kind.span, "the type of a workflow is `direct` or `reverse`", "");
                    false
                }
            },
        };
        let vars = node.get("vars").map_or_else(Vec::new, |vars| self.shallow_pairs(vars, "vars"));
        let output = node.get("output").map(|output| self.shallow_map(output, "output"));
        let output_on_error = node.get("output-on-error").map(|output| {
            self.filled_map(output, "output-on-error");
            Expr::of(&output.to_value(), Engine::Mistral)
        });
        let Some(tasks) = node.get("tasks") else {
            self.fault(FORM, node.span, "'tasks' is a required property", "this workflow has no tasks");
            return None;
        };
        let input = self.declared_input(node.get("input"));
        let names = self.task_names(tasks);
        let defaults = node.get("task-defaults");
        if let Some(defaults) = defaults {
            self.check_defaults(defaults);
        }
        let mut read = Vec::with_capacity(names.len());
        for (key, body) in self.pairs(tasks, "tasks") {
            read.push(read_task(self, key_text(key), key, body, reverse, defaults, &names));
        }
        let joins = Vec::new();
        let (index, spec) = (names, spec_of(&name, node));
        let mut workflow = Workflow {
            name,
            reverse,
            input,
            vars,
            output,
            output_on_error,
            tasks: read,
            index,
            start: Vec::new(),
            read_by_name: Vec::new(),
            joins,
            spec,
        };
        self.connect(&mut workflow, tasks);
        Some(workflow)
    }

    fn task_names(&mut self, tasks: &Node) -> HashMap<Str, TaskIndex> {
        let mut names = HashMap::new();
        for (place, (key, body)) in self.filled_map(tasks, "tasks").iter().enumerate() {
            let name = key_text(key);
            // A join's record is named after its execution and task, hence the shorter limit.
            let longest = if body.get("join").is_some() { 208 } else { 255 };
            if name.chars().count() > longest {
                self.fault(NAME, key.span, format!("a task name has at most {longest} characters"), "");
            }
            names.insert(name, place);
        }
        names
    }

    /// Fills in what follows from all tasks together: who leads where, where to start, which joins can start at all.
    fn connect(&mut self, workflow: &mut Workflow, tasks: &Node) {
        let mut inbound: Vec<Vec<TaskIndex>> = vec![Vec::new(); workflow.tasks.len()];
        let mut dependents = inbound.clone();
        for (index, task) in workflow.tasks.iter().enumerate() {
            task.outbound.iter().for_each(|to| inbound[*to].push(index));
            task.requires.iter().for_each(|to| dependents[*to].push(index));
        }
        for (index, task) in workflow.tasks.iter_mut().enumerate() {
            task.inbound = std::mem::take(&mut inbound[index]);
            task.dependents = std::mem::take(&mut dependents[index]);
        }
        workflow.joins = (0..workflow.tasks.len()).filter(|i| workflow.tasks[*i].join.is_some()).collect();
        mark_ways_to_joins(workflow);
        self.check_joins(workflow, tasks);
        workflow.start = (0..workflow.tasks.len()).filter(|i| workflow.tasks[*i].inbound.is_empty()).collect();
        if workflow.reverse {
            self.check_requirements(workflow, tasks);
        } else if workflow.start.is_empty() && !workflow.tasks.is_empty() {
            let text = "Failed to find start tasks in direct workflow. There must be at least one task without inbound transition.";
            let text = format!("{text}[workflow_name={}]", workflow.name);
            self.fault(NAME, first_line(tasks.span), text, "every task here is led to by another");
        }
        workflow.read_by_name = read_by_name(workflow);
    }

    fn check_joins(&mut self, workflow: &Workflow, tasks: &Node) {
        for index in &workflow.joins {
            let task = &workflow.tasks[*index];
            let inbound = task.inbound.len();
            let span = tasks.at(&[&task.name, "join"]).map_or(tasks.span, |join| join.span);
            let (name, needed) = (&task.name, task.needed());
            if inbound == 0 && needed == 0 {
                self.fault(JOIN, span, format!("No inbound tasks for task with 'join: all' [task_name={name}]"), "");
            } else if inbound < needed {
                let text = format!(
                    "Not enough inbound tasks for task with 'join' [task_name={name}, join={needed}, inbound_tasks={inbound}]"
                );
                self.fault(JOIN, span, text, "more than lead here");
            }
        }
    }

    /// A circle of requirements could never start.
    fn check_requirements(&mut self, workflow: &Workflow, tasks: &Node) {
        let mut missing: Vec<usize> = workflow.tasks.iter().map(|task| task.requires.len()).collect();
        let mut ready: Vec<TaskIndex> = (0..missing.len()).filter(|i| missing[*i] == 0).collect();
        while let Some(index) = ready.pop() {
            for dependent in &workflow.tasks[index].dependents {
                missing[*dependent] -= 1;
                if missing[*dependent] == 0 {
                    ready.push(*dependent);
                }
            }
        }
        for (task, _) in workflow.tasks.iter().zip(&missing).filter(|(_, missing)| **missing > 0) {
            let span = tasks.at(&[&task.name, "requires"]).map_or(tasks.span, |r| r.span);
            self.fault(NAME, span, format!("task `{}` requires itself, directly or not", task.name), "");
        }
    }

    /// Declared inputs with their defaults, which are never evaluated.
    fn declared_input(&mut self, node: Option<&Node>) -> Vec<(Str, Option<Value>)> {
        let Some(node) = node else { return Vec::new() };
        let mut declared: Vec<(Str, Option<Value>)> = Vec::new();
        let Some(items) = node.as_seq().filter(|items| !items.is_empty()) else {
            self.fault(FORM, node.span, "`input` is a list of names, at least one", "");
            return declared;
        };
        for item in items {
            let (name, default) = match &item.kind {
                Kind::Map(pairs) if pairs.len() == 1 => (key_text(&pairs[0].0), Some(pairs[0].1.to_value())),
                Kind::Scalar { value: Value::Str(name), .. } => (name.clone(), None),
                _ => {
                    self.fault(FORM, item.span, "an input is a name, or one name with its default", "");
                    continue;
                }
            };
            if declared.iter().any(|(known, _)| *known == name) {
                self.fault(FORM, item.span, format!("input `{name}` has non-unique elements"), "named before");
            }
            declared.push((name, default));
        }
        declared
    }

    /// The input of a task or base action, with the parameters that were written in one line.
    pub fn input(&mut self, node: Option<&Node>, one_line: Map, action: &str, task: &str) -> Input {
        let mut input = Input::default();
        let mut values = Map::new();
        match node {
            None => {}
            Some(node) => match &node.kind {
                Kind::Map(pairs) if !pairs.is_empty() => {
                    for (key, value) in pairs {
                        self.check_text(value);
                        self.check_left_to_action(key, value, action, task);
                        values.insert(key_text(key), value.to_value());
                    }
                }
                Kind::Scalar { value: Value::Str(text), .. } if !text.is_empty() => {
                    input.whole = Some(self.text(node, text));
                    if !one_line.is_empty() && !self.is_stackstorm() {
                        let help = "write all of the input below `input`, or all of it in one line";
                        let label = "one-line parameters cannot be added to a text";
                        self.fault_with_help(
                            FORM,
                            node.span,
                            "`input` is a text beside one-line parameters",
                            label,
                            help,
                        );
                    }
                }
                _ => self.fault(FORM, node.span, "`input` is a map, at least one entry, or an expression", ""),
            },
        }
        // StackStorm drops one-line parameters beside an `input`; Mistral lets them win.
        if node.is_none() || !self.is_stackstorm() {
            values.extend(one_line);
        }
        let left = self.is_stackstorm() && Task::calls_pack(action);
        input.keys = values
            .into_iter()
            .map(|(key, value)| match value.as_str() {
                Some(text) if left && stackstorm::is_left_to_the_action(text) => (key, Expr::Constant(value)),
                _ => (key, Expr::of(&value, Engine::Mistral)),
            })
            .collect();
        input
    }

    fn check_left_to_action(&mut self, key: &Node, value: &Node, action: &str, _task: &str) {
        if self.is_stackstorm() && value.as_str().is_some_and(stackstorm::mixes_both) {
            let text = format!(
                "Parameter \"{}\" for action \"{action}\" containing references to both local context (i.e. _.var1) and st2kv (i.e. st2kv.system.var1) is not supported.",
                key_text(key)
            );
            self.fault(EXPRESSION, value.span, text, "");
        }
    }

    /// The name of an action or workflow, with the parameters written behind it.
    pub fn name(&mut self, node: &Node) -> (Name, Map) {
        let text = match &node.kind {
            Kind::Scalar { value: Value::Str(text), .. } if !text.is_empty() => text.clone(),
            _ => {
                self.fault(FORM, node.span, "a name is a text", "");
                "".into()
            }
        };
        let (name, parameters) = match inline::split(&text) {
            Some((name, parameters)) => (Str::from(name), parameters),
            None => (text, Map::new()),
        };
        if self.is_stackstorm() && &*name == "st2.callback" {
            self.fault(NAME, node.span, "st2.callback is deprecated.", "");
        }
        let expr = self.text(node, &name);
        let fixed = expr.constant().and_then(Value::as_str).map(Str::from);
        (Name { expr, fixed }, parameters)
    }

    /// A text that may be an expression; one that cannot be read is a fault.
    pub fn text(&mut self, node: &Node, text: &Str) -> Expr {
        if mixes_languages(text) {
            let message = "The line already contains an expression of type 'jinja'. Mixing expression types in a single line is not allowed.";
            self.fault(EXPRESSION, node.span, message, "YAQL and Jinja in one text");
        }
        let expr = Expr::of(&Value::Str(text.clone()), Engine::Mistral);
        // Mistral notices an unknown filter only when it gets there.
        if let Some(error) = expr.problem().filter(|error| error.class != "TemplateAssertionError") {
            self.fault(EXPRESSION, node.span, error.message.clone(), "in this expression");
        }
        expr
    }

    /// A value with expressions at any depth; faults show when it is evaluated.
    pub fn expr(&mut self, node: &Node) -> Expr {
        Expr::of(&node.to_value(), Engine::Mistral)
    }

    /// Notes a fault if `node` is a text whose expression cannot be read. Mistral looks no deeper.
    fn check_text(&mut self, node: &Node) {
        if let Kind::Scalar { value: Value::Str(text), .. } = &node.kind {
            self.text(node, text);
        }
    }

    /// The members of a map of texts with expressions.
    pub fn shallow_pairs(&mut self, node: &Node, what: &str) -> Vec<(Str, Expr)> {
        let pairs = self.filled_map(node, what);
        pairs
            .iter()
            .map(|(key, value)| {
                self.check_text(value);
                (key_text(key), self.expr(value))
            })
            .collect()
    }

    fn shallow_map(&mut self, node: &Node, what: &str) -> Expr {
        let pairs = self.shallow_pairs(node, what);
        if pairs.iter().all(|(_, expr)| expr.is_constant()) {
            return Expr::Constant(node.to_value());
        }
        Expr::Map(pairs)
    }

    /// The pairs of a map; notes a fault when it is none.
    pub fn pairs<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Node, Node)] {
        node.as_map().unwrap_or_else(|| {
            self.fault(FORM, node.span, format!("`{what}` is a map"), "this is not one");
            &[]
        })
    }

    /// The pairs of a map that must not be empty, and whose keys are texts.
    pub fn filled_map<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Node, Node)] {
        match node.as_map() {
            Some(pairs) if !pairs.is_empty() => {
                for (key, _) in pairs.iter().filter(|(key, _)| key.as_str().is_none()) {
                    let text = format!("a key of `{what}` is a text, not {}", key.kind_name());
                    self.fault_with_help(FORM, key.span, text, "", "put it in quotes");
                }
                pairs
            }
            _ => {
                self.fault(FORM, node.span, format!("`{what}` is a map with at least one entry"), "");
                &[]
            }
        }
    }

    /// Notes keys of `node` that are not among `known`.
    pub fn only_keys(&mut self, node: &Node, known: &[&str], what: &str) {
        for (key, _) in node.as_map().unwrap_or_default() {
            let name = key_text(key);
            if known.contains(&&*name) {
                continue;
            }
            let text = format!("Additional properties are not allowed ('{name}' was unexpected)");
            let label = format!("{what} has no such key");
            match squall_yaml::nearest(&name, known.iter().copied()) {
                Some(near) => {
                    self.fault_with_help(FORM, key.span, text, &label, &format!("did you mean `{near}`?"));
                }
                None => self.fault(FORM, key.span, text, &label),
            }
        }
    }

    fn check_defaults(&mut self, node: &Node) {
        const KEYS: [&str; 13] = [
            "retry",
            "wait-before",
            "wait-after",
            "timeout",
            "pause-before",
            "concurrency",
            "fail-on",
            "on-success",
            "on-error",
            "on-complete",
            "on-skip",
            "safe-rerun",
            "requires",
        ];
        self.filled_map(node, "task-defaults");
        self.only_keys(node, &KEYS, "`task-defaults`");
    }
}

/// Whether a text holds expressions of both languages.
fn mixes_languages(text: &str) -> bool {
    let holds = |open: &str, close: &str| {
        text.lines().any(|line| line.split_once(open).is_some_and(|(_, rest)| rest.contains(close)))
    };
    holds("<%", "%>") && (holds("{{", "}}") || holds("{%", "%}"))
}

/// The text of a key, whatever YAML made of it (`on`, `12`).
pub(super) fn key_text(key: &Node) -> Str {
    match &key.kind {
        Kind::Scalar { text, .. } => text.clone(),
        Kind::Seq(_) | Kind::Map(_) => "".into(),
    }
}

/// Points at the beginning of a large node rather than underline all of it.
fn first_line(span: Span) -> Span {
    Span { end: span.start, ..span }
}

/// What `execution().spec` shows: the workflow as written, with its name and version.
fn spec_of(name: &str, node: &Node) -> Value {
    let mut spec = node.to_value().as_map().cloned().unwrap_or_default();
    spec.insert("name".into(), Value::from(name));
    spec.insert("version".into(), Value::from("2.0"));
    Value::from(spec)
}

fn mark_ways_to_joins(workflow: &mut Workflow) {
    let mut pending = workflow.joins.clone();
    while let Some(index) = pending.pop() {
        if !std::mem::replace(&mut workflow.tasks[index].leads_to_join, true) {
            pending.extend(&workflow.tasks[index].inbound);
        }
    }
}

/// Tasks whose name some text of the workflow reads as a variable: `$.name` or `_.name`.
fn read_by_name(workflow: &Workflow) -> Vec<TaskIndex> {
    let mut read: HashSet<&str> = HashSet::new();
    let mut pending = vec![&workflow.spec];
    while let Some(value) = pending.pop() {
        match value {
            Value::Str(text) => collect_names(text, &mut read),
            Value::List(items) => pending.extend(items.iter()),
            Value::Map(map) => pending.extend(map.values()),
            _ => {}
        }
    }
    (0..workflow.tasks.len()).filter(|index| read.contains(&*workflow.tasks[*index].name)).collect()
}

fn collect_names<'t>(text: &'t str, into: &mut HashSet<&'t str>) {
    if !text.contains("<%") && !text.contains("{{") && !text.contains("{%") {
        return;
    }
    for sigil in ["$.", "_."] {
        for after in text.split(sigil).skip(1) {
            let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
            into.extend(after.get(..end));
        }
    }
}

/// What a task does, from `action` and `workflow`.
pub(super) fn work_of(reader: &mut Reader<'_>, node: &Node) -> (Work, Map) {
    match (node.get("action"), node.get("workflow")) {
        (Some(_), Some(workflow)) => {
            reader.fault(FORM, workflow.span, "a task has `action` or `workflow`, not both", "");
            (Work::Action(noop()), Map::new())
        }
        (Some(action), None) => {
            let (name, parameters) = reader.name(action);
            (Work::Action(name), parameters)
        }
        (None, Some(workflow)) => {
            let (name, parameters) = reader.name(workflow);
            (Work::Workflow(name), parameters)
        }
        (None, None) => (Work::Action(noop()), Map::new()),
    }
}

/// A task without action or workflow runs this.
fn noop() -> Name {
    Name { expr: Expr::Constant(Value::from("std.noop")), fixed: Some("std.noop".into()) }
}
