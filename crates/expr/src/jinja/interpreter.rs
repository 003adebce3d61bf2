//! Runs a compiled template.
//!
//! Names live on one stack of locals, cut into frames; a frame knows its lexical parent, so that a macro
//! called deep inside a loop sees the names of the place where it was written. What is not found there is
//! looked up in the data, then among the functions every template knows, then with the host.

use super::ast::{Expr, FilterCall, For, LOOP, Name, Stmt, Target};
use super::place::Place;
use super::value::{Dict, Function, Item, Loop, Seq, V, dict, seq, view_items};
use super::walk::Walk;
use super::{globals, methods, names, ops, shown};
use crate::{Budget, Engine, Error, Scope};
use squall_model::{Special, Str, Value};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// How deep evaluation may nest: the height of a tree plus what macros add.
const MAX_DEPTH: u32 = 160;

pub(super) struct Interpreter<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) budget: Budget,
    /// Which names the template gives values to itself; no other can be a local.
    pub(super) bound: &'a [bool],
    pub(super) locals: Vec<(u32, V)>,
    pub(super) frames: Vec<Frame>,
    /// Data that a method changed (`x.append(1)`), in front of the data itself.
    pub(super) changed: Vec<(u32, V)>,
    pub(super) depth: u32,
    pub(super) recursion: u32,
    written: u64,
    /// Inside of `{% autoescape true %}`.
    escapes: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) start: usize,
    pub(super) parent: Option<usize>,
}

impl<'a> Interpreter<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, bound: &'a [bool]) -> Interpreter<'a> {
        Interpreter {
            scope,
            budget: Budget::new(scope.limits),
            bound,
            locals: Vec::new(),
            frames: vec![Frame { start: 0, parent: None }],
            changed: Vec::new(),
            depth: 0,
            recursion: 0,
            written: 0,
            escapes: false,
        }
    }

    pub(super) fn lax(&self) -> bool {
        self.scope.engine == Engine::StackLax
    }

    // ---- statements ----

    pub(super) fn render(&mut self, body: &[Stmt]) -> Result<String, Error> {
        let mut out = String::new();
        self.run(body, &mut out)?;
        Ok(out)
    }

    pub(super) fn run(&mut self, body: &[Stmt], out: &mut String) -> Result<(), Error> {
        self.deeper()?;
        for stmt in body {
            self.budget.step(1)?;
            self.statement(stmt, out)?;
        }
        self.depth -= 1;
        Ok(())
    }

    pub(super) fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        let most = MAX_DEPTH.min(self.scope.limits.depth);
        if self.depth > most {
            return Err(Error::bound("depth", most.into(), "levels of nesting"));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, out: &mut String, text: &str) -> Result<(), Error> {
        self.written += text.len() as u64;
        if self.written > self.scope.limits.output {
            return Err(Error::bound("output", self.scope.limits.output, "bytes of output"));
        }
        self.budget.step(text.len() as u64 / 64)?;
        out.push_str(text);
        Ok(())
    }

    fn statement(&mut self, stmt: &Stmt, out: &mut String) -> Result<(), Error> {
        match stmt {
            Stmt::Data(text) => self.write(out, text),
            Stmt::Print(expr) => self.print(expr, out),
            Stmt::If { arms, otherwise } => {
                for (test, body) in arms {
                    if self.test(test)? {
                        return self.run(body, out);
                    }
                }
                self.run(otherwise, out)
            }
            Stmt::For(inner) => {
                let items = self.eval(&inner.iter)?;
                self.run_loop(inner, items, 0, out)
            }
            Stmt::Set { target, value } => {
                let value = self.eval(value)?;
                self.assign(target, value)
            }
            Stmt::SetBlock { target, filters, body } => {
                let text = self.captured(body)?;
                let value = self.filtered(V::from(text), filters)?;
                self.assign(target, value)
            }
            Stmt::With { values, body } => {
                // Every value is evaluated outside of the new scope.
                let values: Vec<V> = values.iter().map(|(_, value)| self.eval(value)).collect::<Result<_, _>>()?;
                self.enter();
                let Stmt::With { values: targets, .. } = stmt else { return Ok(()) };
                for ((target, _), value) in targets.iter().zip(values) {
                    self.assign(target, value)?;
                }
                self.run(body, out)?;
                self.leave();
                Ok(())
            }
            Stmt::Filter { filters, body } => {
                let text = self.captured(body)?;
                match self.filtered(V::from(text), filters)? {
                    V::Str(text) => self.write(out, &text),
                    // Jinja puts the pieces of its output together without asking what they are.
                    other => {
                        let message = format!("sequence item 0: expected str instance, {} found", other.type_name());
                        Err(Error::new("TypeError", message))
                    }
                }
            }
            Stmt::Macro(template) => {
                let frame = self.frames.len() - 1;
                let value = Function::Macro { template: template.clone(), frame, caller: None };
                self.set(&template.name, V::Function(Rc::new(value)));
                Ok(())
            }
            Stmt::CallBlock { call, caller } => self.call_block(call, caller, out),
            Stmt::Scope(body) => {
                self.enter();
                self.run(body, out)?;
                self.leave();
                Ok(())
            }
            Stmt::Autoescape { on, body } => {
                let on = self.test(on)?;
                let before = std::mem::replace(&mut self.escapes, on);
                self.enter();
                self.run(body, out)?;
                self.leave();
                self.escapes = before;
                Ok(())
            }
            Stmt::Load(tag) => {
                Err(Error::new("TypeError", format!("no loader for this environment specified: `{tag}` cannot work")))
            }
        }
    }

    fn captured(&mut self, body: &[Stmt]) -> Result<String, Error> {
        self.enter();
        let mut text = String::new();
        self.run(body, &mut text)?;
        self.leave();
        Ok(text)
    }

    fn filtered(&mut self, mut value: V, filters: &[FilterCall]) -> Result<V, Error> {
        for call in filters {
            value = self.filter(value, call)?;
        }
        Ok(value)
    }

    pub(super) fn enter(&mut self) {
        let parent = Some(self.frames.len() - 1);
        self.frames.push(Frame { start: self.locals.len(), parent });
    }

    pub(super) fn leave(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.locals.truncate(frame.start);
        }
    }

    fn print(&mut self, expr: &Expr, out: &mut String) -> Result<(), Error> {
        if let (Some(Place::Data(Value::Str(text)) | Place::Own(V::Str(text))), false) =
            (self.find(expr)?, self.escapes)
        {
            // Only the reference is copied.
            let text = text.clone();
            return self.write(out, &text);
        }
        let value = self.eval(expr)?;
        let text = self.text(&value)?;
        if self.escapes && !self.is_markup(expr) {
            return self.write(out, &super::filters::escaped(&text));
        }
        self.write(out, &text)
    }

    /// Whether an expression gives what Jinja takes for safe already, so that escaping it changes nothing.
    fn is_markup(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Filter(_, call) => {
                matches!(&*call.name, "e" | "escape" | "forceescape" | "safe" | "tojson" | "urlize" | "xmlattr")
            }
            Expr::Call(callee, _) => match &**callee {
                Expr::Name(name) => matches!(self.lookup(name), V::Function(function)
                    if matches!(&*function, Function::Macro { .. } | Function::Caller { .. })),
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn run_loop(
        &mut self,
        inner: &Arc<For>,
        items: V,
        depth0: usize,
        out: &mut String,
    ) -> Result<(), Error> {
        if inner.uses_loop || inner.recursive {
            return self.run_counted_loop(inner, &items, depth0, out);
        }
        let mut walk = self.walk(items)?;
        let mut ran = false;
        while let Some(item) = walk.next() {
            self.budget.step(2)?;
            self.enter();
            self.assign(&inner.target, item)?;
            let kept = match &inner.test {
                Some(test) => self.test(test)?,
                None => true,
            };
            if kept {
                ran = true;
                self.run(&inner.body, out)?;
            }
            self.leave();
        }
        if ran { Ok(()) } else { self.run_otherwise(inner, out) }
    }

    /// A loop whose body looks at `loop`, which knows how many items there are and the neighbours of each.
    fn run_counted_loop(&mut self, inner: &Arc<For>, items: &V, depth0: usize, out: &mut String) -> Result<(), Error> {
        let mut items = self.iterate(items)?;
        if let Some(test) = &inner.test {
            let mut kept = Vec::new();
            for item in items {
                self.enter();
                self.assign(&inner.target, item.clone())?;
                if self.test(test)? {
                    kept.push(item);
                }
                self.leave();
            }
            items = kept;
        }
        if items.is_empty() {
            return self.run_otherwise(inner, out);
        }
        let items = Rc::new(items);
        let changed = Rc::new(RefCell::new(None));
        let again = inner.recursive.then(|| inner.clone());
        self.enter();
        let at = self.locals.len();
        self.locals.push((LOOP, V::None));
        for index0 in 0..items.len() {
            self.budget.step(1)?;
            let kept = match &mut self.locals[at].1 {
                V::Loop(state) => Rc::get_mut(state).map(|state| state.index0 = index0),
                _ => None,
            };
            if kept.is_none() {
                // The first time, and when the template has put the last one by.
                let again = again.clone();
                let state = Loop { index0, items: items.clone(), depth0, changed: changed.clone(), again };
                self.locals[at].1 = V::Loop(Rc::new(state));
            }
            self.enter();
            self.assign(&inner.target, items[index0].clone())?;
            self.run(&inner.body, out)?;
            self.leave();
        }
        self.leave();
        Ok(())
    }

    fn run_otherwise(&mut self, inner: &For, out: &mut String) -> Result<(), Error> {
        self.enter();
        self.run(&inner.otherwise, out)?;
        self.leave();
        Ok(())
    }

    /// A macro or loop calls itself: that takes more of the stack than other nesting.
    pub(super) fn recurse(&mut self) -> Result<(), Error> {
        self.deeper()?;
        self.recursion += 1;
        if self.recursion > self.scope.limits.recursion {
            return Err(Error::bound(
                "recursion",
                self.scope.limits.recursion.into(),
                "calls of macros or loops within each other",
            ));
        }
        Ok(())
    }

    fn assign(&mut self, target: &Target, value: V) -> Result<(), Error> {
        match target {
            Target::Name(name) => {
                self.set(name, value);
                Ok(())
            }
            Target::Tuple(targets) => {
                let items = self.iterate(&value)?;
                if items.len() != targets.len() {
                    let message = if items.len() > targets.len() {
                        format!("too many values to unpack (expected {})", targets.len())
                    } else {
                        format!("not enough values to unpack (expected {}, got {})", targets.len(), items.len())
                    };
                    return Err(Error::new("ValueError", message));
                }
                targets.iter().zip(items).try_for_each(|(target, item)| self.assign(target, item))
            }
            Target::Attribute(name, field) => match self.lookup(name) {
                V::Namespace(fields) => {
                    // Depth is checked by way of a list around it.
                    seq(vec![value.clone()])?;
                    let own = matches!(&value, V::Namespace(other) if Rc::ptr_eq(other, &fields));
                    if own {
                        return Err(Error::limit("a namespace cannot hold itself"));
                    }
                    fields.borrow_mut().insert(field.clone(), value);
                    Ok(())
                }
                _ => Err(Error::new("TemplateRuntimeError", "cannot assign attribute on non-namespace object")),
            },
        }
    }

    /// Sets a name in the innermost frame.
    pub(super) fn set(&mut self, name: &Name, value: V) {
        let start = self.frames.last().map_or(0, |f| f.start);
        match self.locals[start..].iter_mut().rev().find(|(id, _)| *id == name.id) {
            Some(slot) => slot.1 = value,
            None => self.locals.push((name.id, value)),
        }
    }

    // ---- names ----

    /// Where the value of a name is among the locals, if it is there.
    pub(super) fn local(&self, name: &Name) -> Option<usize> {
        if !self.bound.get(name.id as usize).is_some_and(|bound| *bound) {
            return None;
        }
        let mut frame = self.frames.len().checked_sub(1);
        while let Some(index) = frame {
            let Frame { start, parent } = self.frames[index];
            let end = self.frames.get(index + 1).map_or(self.locals.len(), |next| next.start);
            if let Some(at) = self.locals[start..end].iter().rposition(|(id, _)| *id == name.id) {
                return Some(start + at);
            }
            frame = parent;
        }
        None
    }

    pub(super) fn lookup(&self, name: &Name) -> V {
        if let Some(at) = self.local(name) {
            return self.locals[at].1.clone();
        }
        if let Some((_, value)) = self.changed.iter().find(|(id, _)| *id == name.id) {
            return value.clone();
        }
        let name = &*name.text;
        if let Some(value) = self.data(name) {
            return value;
        }
        if let Some(value) = globals::find(name, self.scope) {
            return value;
        }
        V::undefined(format!("'{name}' is undefined"))
    }

    fn data(&self, name: &str) -> Option<V> {
        let data = self.scope.data;
        match self.scope.engine {
            Engine::Mistral if name == names::DATA => return Some(V::from(data)),
            Engine::Orquesta if name == "__vars" => {
                let map = data.as_map()?;
                let own = map.iter().filter(|(key, _)| !key.starts_with("__"));
                return Some(V::from(Value::from(
                    own.map(|(k, v)| (k.clone(), v.clone())).collect::<squall_model::Map>(),
                )));
            }
            // Orquesta's records are null where there are none.
            Engine::Orquesta if matches!(name, "__state" | "__current_task" | "__current_item") => {
                return Some(data.get(name).map_or(V::None, V::from));
            }
            Engine::Mistral | Engine::Orquesta if !name.starts_with("__") => {}
            _ => {
                if let Some(value) = data.get(name) {
                    return Some(V::from(value));
                }
            }
        }
        self.scope.host.name(name).map(V::from)
    }

    // ---- expressions ----

    pub(super) fn eval(&mut self, expr: &Expr) -> Result<V, Error> {
        self.budget.step(1)?;
        match expr {
            Expr::Const(value) => Ok(V::from(value)),
            Expr::Name(name) => Ok(self.lookup(name)),
            Expr::Attribute(..) | Expr::Item(..) if let Some(place) = self.find(expr)? => Ok(place.value()),
            _ => {
                self.deeper()?;
                let value = self.compound(expr)?;
                self.depth -= 1;
                Ok(value)
            }
        }
    }

    fn compound(&mut self, expr: &Expr) -> Result<V, Error> {
        match expr {
            Expr::Const(value) => Ok(V::from(value)),
            Expr::Name(name) => Ok(self.lookup(name)),
            Expr::Tuple(items) => V::tuple(self.all(items)?),
            Expr::List(items) => V::list(self.all(items)?),
            Expr::Dict(pairs) => {
                let mut entries = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    entries.push((self.eval(key)?, self.eval(value)?));
                }
                dict(entries)
            }
            Expr::Not(inner) => Ok(V::Bool(!self.test(inner)?)),
            Expr::Neg(inner) => {
                let value = self.defined(inner)?;
                ops::sign(&value, true)
            }
            Expr::Pos(inner) => {
                let value = self.defined(inner)?;
                ops::sign(&value, false)
            }
            Expr::Binary(op, left, right) => {
                let left = self.defined(left)?;
                let right = self.eval(right)?;
                let right = match right {
                    // Formatting decides by the conversion; printed it is an empty text where names may be missing.
                    V::Undefined(_) if matches!(left, V::Str(_)) && *op == super::ast::Op::Mod => {
                        if self.lax() {
                            V::nothing()
                        } else {
                            right
                        }
                    }
                    right => {
                        self.check(&right)?;
                        right
                    }
                };
                let (left, right) = (self.settled(left)?, self.settled(right)?);
                ops::binary(*op, &left, &right, &self.budget)
            }
            Expr::And(left, right) => {
                let left = self.eval(left)?;
                if self.truth(&left)? { self.eval(right) } else { Ok(left) }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left)?;
                if self.truth(&left)? { Ok(left) } else { self.eval(right) }
            }
            Expr::Concat(items) => {
                let mut out = String::new();
                for item in items {
                    let value = self.eval(item)?;
                    let text = self.text(&value)?;
                    self.budget.bytes(text.len() as u64)?;
                    out.push_str(&text);
                }
                Ok(V::from(out))
            }
            Expr::Compare(first, rest) => self.comparison(first, rest).map(V::Bool),
            Expr::Cond { test, then, otherwise } => {
                match (self.test(test)?, otherwise) {
                    (true, _) => self.eval(then),
                    (false, Some(otherwise)) => self.eval(otherwise),
                    // Printed by itself it is an empty text, even where undefined names are errors.
                    (false, None) => Ok(V::nothing()),
                }
            }
            Expr::Filter(inner, call) if matches!(&*call.name, "e" | "escape") && self.is_markup(inner) => {
                self.eval(inner)
            }
            Expr::Filter(value, call) => {
                let value = self.eval(value)?;
                self.filter(value, call)
            }
            Expr::Test { value, check, args, negated, .. } => {
                let value = self.eval(value)?;
                let args = self.args(args)?;
                Ok(V::Bool(check(self, &value, args)? != *negated))
            }
            Expr::Attribute(object, field) => {
                let object = self.eval(object)?;
                self.attribute(&object, &field.name)
            }
            Expr::Item(object, index) => {
                let object = self.eval(object)?;
                let index = self.eval(index)?;
                self.item(&object, &index)
            }
            Expr::Slice(object, parts) => {
                let object = self.defined(object)?;
                let mut values = [const { None }; 3];
                for (slot, part) in values.iter_mut().zip(parts.iter()) {
                    *slot = part.as_ref().map(|p| self.eval(p)).transpose()?;
                }
                let object = self.settled(object)?;
                ops::slice(&object, values, &self.budget)
            }
            Expr::Call(callee, args) => self.call_expression(callee, args),
        }
    }

    /// Whether an expression is true, without making a value of it where that can be avoided.
    fn test(&mut self, expr: &Expr) -> Result<bool, Error> {
        self.budget.step(1)?;
        let simple = match expr {
            Expr::Not(_) | Expr::And(..) | Expr::Or(..) | Expr::Compare(..) => false,
            _ => match self.find(expr)? {
                Some(Place::Data(value)) => return Ok(value.is_truthy()),
                Some(Place::Own(value)) => return self.truth(value),
                None => true,
            },
        };
        if simple {
            let value = self.eval(expr)?;
            return self.truth(&value);
        }
        self.deeper()?;
        let truth = match expr {
            Expr::Not(inner) => !self.test(inner)?,
            Expr::And(left, right) => self.test(left)? && self.test(right)?,
            Expr::Or(left, right) => self.test(left)? || self.test(right)?,
            Expr::Compare(first, rest) => self.comparison(first, rest)?,
            _ => false,
        };
        self.depth -= 1;
        Ok(truth)
    }

    fn comparison(&mut self, first: &Expr, rest: &[(super::ast::Comparison, Expr)]) -> Result<bool, Error> {
        if let [(comparison, right)] = rest
            && let Some(left) = self.find(first)?
            && let Some(right) = self.find(right)?
            && let Some(quick) = left.compared(*comparison, right)
        {
            return Ok(quick);
        }
        let mut left = self.eval(first)?;
        for (comparison, right) in rest {
            let right = self.eval(right)?;
            if !self.compared(*comparison, &left, &right)? {
                return Ok(false);
            }
            left = right;
        }
        Ok(true)
    }

    pub(super) fn all(&mut self, items: &[Expr]) -> Result<Vec<V>, Error> {
        items.iter().map(|item| self.eval(item)).collect()
    }

    pub(super) fn defined(&mut self, expr: &Expr) -> Result<V, Error> {
        let value = self.eval(expr)?;
        self.check(&value)?;
        Ok(value)
    }

    /// Refuses an undefined value, in every engine.
    pub(super) fn check(&self, value: &V) -> Result<(), Error> {
        match value {
            V::Undefined(undefined) => Err(Error::new(undefined.class, undefined.message.clone())),
            _ => Ok(()),
        }
    }

    /// Refuses an undefined value where the engine is strict.
    fn lenient(&self, value: &V) -> Result<(), Error> {
        match value {
            V::Undefined(undefined) if undefined.silent => Ok(()),
            _ if self.lax() => Ok(()),
            value => self.check(value),
        }
    }

    pub(super) fn compared(&self, comparison: super::ast::Comparison, left: &V, right: &V) -> Result<bool, Error> {
        use super::ast::Comparison::{Eq, In, Ne, NotIn};
        for side in [left, right] {
            match comparison {
                Eq | Ne => self.lenient(side)?,
                In | NotIn => self.lenient(side)?,
                _ => self.check(side)?,
            }
        }
        if matches!(comparison, In | NotIn) {
            if matches!(right, V::Undefined(_)) {
                return Ok(comparison == NotIn);
            }
            // Members are compared one after the other, and an undefined one cannot be.
            if let Some(Seq::Own(items)) = sequence(right)
                && let Some(at) = items.items.iter().position(|item| matches!(item, V::Undefined(_)))
                && !items.items[..at].iter().any(|item| ops::equal(item, left))
            {
                self.lenient(&items.items[at])?;
            }
        }
        match (left, right) {
            (V::Item(_), _) | (_, V::Item(_)) => {
                ops::compare(comparison, &self.settled(left.clone())?, &self.settled(right.clone())?)
            }
            _ => ops::compare(comparison, left, right),
        }
    }

    pub(super) fn truth(&self, value: &V) -> Result<bool, Error> {
        self.lenient(value)?;
        Ok(value.is_truthy())
    }

    /// Python's `str()`.
    pub(super) fn text<'v>(&self, value: &'v V) -> Result<Cow<'v, str>, Error> {
        match value {
            V::Str(text) => Ok(Cow::Borrowed(text)),
            V::Undefined(_) => {
                self.lenient(value)?;
                Ok(Cow::Borrowed(""))
            }
            V::Item(item) => Ok(Cow::Owned(self.read(item)?.to_string())),
            other => {
                let text = shown(other);
                self.budget.bytes(text.len() as u64)?;
                Ok(Cow::Owned(text))
            }
        }
    }

    /// The text of a datastore item; a missing one is empty.
    pub(super) fn read(&self, item: &Item) -> Result<Str, Error> {
        let Some(scope) = &item.scope else { return Ok("".into()) };
        match self.scope.host.kv(scope, &item.key, false)? {
            None | Some(Value::Null) => Ok("".into()),
            Some(Value::Str(text)) => Ok(text),
            Some(other) => Ok(crate::python::str(&other).into()),
        }
    }

    /// The value itself, or the text of a datastore item.
    pub(super) fn settled(&self, value: V) -> Result<V, Error> {
        match value {
            V::Item(item) => Ok(V::Str(self.read(&item)?)),
            other => Ok(other),
        }
    }

    /// The value as shared data.
    pub(super) fn native(&self, value: &V) -> Result<Value, Error> {
        match value {
            V::Item(item) => Ok(Value::Str(self.read(item)?)),
            V::Broken(error) => Err((**error).clone()),
            other => Ok(other.to_value()),
        }
    }

    pub(super) fn iterate(&self, value: &V) -> Result<Vec<V>, Error> {
        let items = match value {
            V::Undefined(_) => {
                self.lenient(value)?;
                Vec::new()
            }
            V::Broken(error) => return Err((**error).clone()),
            V::Str(text) => {
                self.budget.bytes(text.len() as u64)?;
                text.chars().map(|c| V::from(c.encode_utf8(&mut [0; 4]) as &str)).collect()
            }
            V::Item(item) => return self.iterate(&V::Str(self.read(item)?)),
            V::List(items) | V::Tuple(items) | V::Generator(_, items) => items.to_vec(),
            V::Dict(dict) => dict.pairs().map(|(key, _)| key).collect(),
            V::View(view, dict) => view_items(*view, dict),
            V::Range { .. } => value.range_items(),
            V::Special(special) => match &**special {
                Special::Set(items) => items.iter().map(V::from).collect(),
                Special::Bytes(bytes) => bytes.iter().map(|b| V::Int(i64::from(*b))).collect(),
                _ => return Err(not_iterable(value)),
            },
            _ => return Err(not_iterable(value)),
        };
        self.budget.step(items.len() as u64)?;
        Ok(items)
    }

    /// What there is to iterate, item by item, without a list of it where that can be avoided.
    fn walk(&self, value: V) -> Result<Walk, Error> {
        Ok(match value {
            V::List(items) | V::Tuple(items) | V::Generator(_, items) => Walk::of(items),
            value => Walk::Items(self.iterate(&value)?.into_iter()),
        })
    }

    pub(super) fn attribute(&mut self, object: &V, name: &Str) -> Result<V, Error> {
        self.check(object)?;
        if let V::Item(item) = object {
            return Ok(deeper_item(item, name));
        }
        if let Some(value) = methods::field(object, name) {
            return Ok(value);
        }
        if methods::exists(object, name) {
            return Ok(V::Function(Rc::new(Function::Method(object.clone(), name.clone()))));
        }
        if let V::Dict(dict) = object
            && let Some(value) = dict.get_str(name)
        {
            return Ok(value);
        }
        self.no_attribute(object, name)
    }

    fn no_attribute(&self, object: &V, name: &str) -> Result<V, Error> {
        if name.starts_with("__") && name.ends_with("__") && name.len() > 4 {
            let message = format!("access to attribute '{name}' of '{}' object is unsafe.", object.type_name());
            return Ok(V::forbidden(message));
        }
        Ok(V::undefined(format!("'{}' has no attribute '{name}'", object.described())))
    }

    pub(super) fn item(&mut self, object: &V, index: &V) -> Result<V, Error> {
        self.check(object)?;
        self.check(index)?;
        let index = &match (self.settled(index.clone())?, object) {
            // True and false are the numbers 1 and 0, but for keys of a dictionary that is looked up.
            (V::Bool(b), V::Str(_) | V::List(_) | V::Tuple(_) | V::Range { .. }) => V::Int(i64::from(b)),
            (index, _) => index,
        };
        if let V::Item(item) = object {
            return Ok(deeper_item(item, &self.text(index)?));
        }
        let found = match (object, index) {
            (V::Dict(dict), key) => dict.get(key).unwrap_or(None),
            (V::List(items) | V::Tuple(items), V::Int(n)) => position(*n, items.len()).and_then(|i| items.get(i)),
            (V::Str(text), V::Int(n)) => {
                let len = text.chars().count();
                position(*n, len).and_then(|i| text.chars().nth(i)).map(|c| V::from(c.to_string()))
            }
            (V::Range { .. }, V::Int(n)) => {
                let items = object.range_items();
                position(*n, items.len()).map(|i| items[i].clone())
            }
            (V::Special(special), V::Int(n)) => match &**special {
                Special::Bytes(bytes) => position(*n, bytes.len()).map(|i| V::Int(i64::from(bytes[i]))),
                _ => None,
            },
            _ => None,
        };
        match (found, index) {
            (Some(value), _) => Ok(value),
            (None, V::Str(name)) => match object {
                // Items were tried; what is left is a method or a field.
                V::Dict(_) if methods::exists(object, name) => {
                    Ok(V::Function(Rc::new(Function::Method(object.clone(), name.clone()))))
                }
                V::Dict(_) => self.no_attribute(object, name),
                _ => self.attribute(object, name),
            },
            (None, other) => Ok(V::undefined(format!("{} has no element {}", object.described(), other.repr()))),
        }
    }
}

fn not_iterable(value: &V) -> Error {
    Error::new("TypeError", format!("'{}' object is not iterable", value.type_name()))
}

/// `st2kv.system.a` and then `.b`: the key `a.b`.
fn deeper_item(item: &Item, name: &str) -> V {
    V::Item(Rc::new(match &item.scope {
        None => Item { scope: Some(name.into()), key: String::new() },
        Some(scope) if item.key.is_empty() => Item { scope: Some(scope.clone()), key: name.to_owned() },
        Some(scope) => Item { scope: Some(scope.clone()), key: format!("{}.{name}", item.key) },
    }))
}

/// The position that Python means by an index.
pub(super) fn position(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    let at = if index < 0 { index.checked_add(len)? } else { index };
    usize::try_from(at).ok().filter(|_| at < len)
}

/// Items of a list, tuple or generator without copying them.
pub(super) fn sequence(value: &V) -> Option<&Seq> {
    match value {
        V::List(items) | V::Tuple(items) | V::Generator(_, items) => Some(items),
        _ => None,
    }
}

/// The dictionary, if it is one.
pub(super) fn mapping(value: &V) -> Option<&Dict> {
    match value {
        V::Dict(dict) => Some(dict),
        _ => None,
    }
}
