//! Which names a template looks up outside of itself: the edges of the graph of parameters; and what it reads of the
//! data that Mistral calls `_`.

use super::ast::{Args, Expr, FilterCall, GIVEN, Macro, Name, Stmt, Target};
use super::{Body, globals, methods};
use crate::yaql::Reads;
use squall_model::{Str, Value};

/// The name of the data in Mistral.
pub(super) const DATA: &str = "_";

/// Free names of a template.
pub(super) fn free(body: &Body) -> Vec<Str> {
    Walk::over(body).free
}

/// What a template reads of Mistral's data, whose private variables are names of their own as well.
pub(super) fn reads(body: &Body) -> Reads {
    let mut walk = Walk::over(body);
    if walk.reads_all {
        return Reads::Everything;
    }
    walk.members.extend(walk.free.into_iter().filter(|name| name.starts_with("__")));
    Reads::Members(walk.members)
}

#[derive(Default)]
struct Walk {
    bound: Vec<Vec<Str>>,
    free: Vec<Str>,
    /// What is read of `_` member by member.
    members: Vec<Str>,
    /// Whether `_` is used otherwise.
    reads_all: bool,
}

impl Walk {
    fn over(body: &Body) -> Walk {
        let mut walk = Walk { bound: vec![Vec::new()], ..Walk::default() };
        match body {
            Body::Template(body) => walk.body(body),
            Body::Expression(expr) => walk.expr(expr),
        }
        walk
    }

    fn scoped(&mut self, inside: impl FnOnce(&mut Walk)) {
        self.bound.push(Vec::new());
        inside(self);
        self.bound.pop();
    }

    fn bind(&mut self, name: &Str) {
        if let Some(scope) = self.bound.last_mut() {
            scope.push(name.clone());
        }
    }

    fn look_up(&mut self, name: &Str) {
        self.reads_all |= &**name == DATA;
        self.note(name);
    }

    /// `_.name`, unless that is a method.
    fn member(&mut self, name: &Name, member: &Str) {
        if !self.members.contains(member) {
            self.members.push(member.clone());
        }
        self.note(&name.text);
    }

    fn note(&mut self, name: &Str) {
        let known = self.bound.iter().flatten().any(|n| n == name)
            || self.free.contains(name)
            || globals::NAMES.contains(&&**name)
            || &**name == "self";
        if !known {
            self.free.push(name.clone());
        }
    }

    fn body(&mut self, body: &[Stmt]) {
        body.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Data(_) | Stmt::Load(_) => {}
            Stmt::Print(expr) => self.expr(expr),
            Stmt::If { arms, otherwise } => {
                for (test, body) in arms {
                    self.expr(test);
                    self.body(body);
                }
                self.body(otherwise);
            }
            Stmt::For(inner) => {
                self.expr(&inner.iter);
                self.scoped(|walk| {
                    GIVEN[..1].iter().for_each(|name| walk.bind(&Str::from(*name)));
                    walk.target(&inner.target);
                    inner.test.iter().for_each(|test| walk.expr(test));
                    walk.body(&inner.body);
                });
                self.scoped(|walk| walk.body(&inner.otherwise));
            }
            Stmt::Set { target, value } => {
                self.expr(value);
                self.target(target);
            }
            Stmt::SetBlock { target, filters, body } => {
                self.filters(filters);
                self.scoped(|walk| walk.body(body));
                self.target(target);
            }
            Stmt::With { values, body } => {
                values.iter().for_each(|(_, value)| self.expr(value));
                self.scoped(|walk| {
                    values.iter().for_each(|(target, _)| walk.target(target));
                    walk.body(body);
                });
            }
            Stmt::Filter { filters, body } => {
                self.filters(filters);
                self.scoped(|walk| walk.body(body));
            }
            Stmt::Macro(inner) => {
                self.bind(&inner.name.text);
                self.call_body(inner);
            }
            Stmt::CallBlock { call, caller } => {
                self.expr(call);
                self.call_body(caller);
            }
            Stmt::Scope(body) => self.scoped(|walk| walk.body(body)),
            Stmt::Autoescape { on, body } => {
                self.expr(on);
                self.scoped(|walk| walk.body(body));
            }
        }
    }

    fn call_body(&mut self, inner: &Macro) {
        for default in inner.params.iter().filter_map(|(_, default)| default.as_ref()) {
            self.expr(default);
        }
        self.scoped(|walk| {
            GIVEN[1..].iter().for_each(|name| walk.bind(&Str::from(*name)));
            inner.params.iter().for_each(|(name, _)| walk.bind(&name.text));
            walk.body(&inner.body);
        });
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.bind(&name.text),
            Target::Tuple(all) => all.iter().for_each(|target| self.target(target)),
            Target::Attribute(name, _) => self.look_up(&name.text),
        }
    }

    fn filters(&mut self, filters: &[FilterCall]) {
        filters.iter().for_each(|call| self.args(&call.args));
    }

    fn args(&mut self, args: &Args) {
        args.positional.iter().for_each(|e| self.expr(e));
        args.named.iter().for_each(|(_, e)| self.expr(e));
        args.star.iter().for_each(|e| self.expr(e));
        args.double_star.iter().for_each(|e| self.expr(e));
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Const(_) => {}
            Expr::Name(name) => self.look_up(&name.text),
            Expr::Tuple(items) | Expr::List(items) | Expr::Concat(items) => items.iter().for_each(|e| self.expr(e)),
            Expr::Dict(pairs) => pairs.iter().for_each(|(k, v)| {
                self.expr(k);
                self.expr(v);
            }),
            Expr::Not(inner) | Expr::Neg(inner) | Expr::Pos(inner) => self.expr(inner),
            Expr::Attribute(object, field) => match &**object {
                Expr::Name(name) if &*name.text == DATA && !field.is_method => self.member(name, &field.name),
                object => self.expr(object),
            },
            Expr::Item(object, key) => match (&**object, &**key) {
                (Expr::Name(name), Expr::Const(Value::Str(key)))
                    if &*name.text == DATA && !methods::of_dictionary(key) =>
                {
                    self.member(name, key);
                }
                (object, key) => {
                    self.expr(object);
                    self.expr(key);
                }
            },
            Expr::Binary(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            Expr::Compare(first, rest) => {
                self.expr(first);
                rest.iter().for_each(|(_, e)| self.expr(e));
            }
            Expr::Cond { test, then, otherwise } => {
                self.expr(test);
                self.expr(then);
                otherwise.iter().for_each(|e| self.expr(e));
            }
            Expr::Filter(value, call) => {
                self.expr(value);
                self.args(&call.args);
            }
            Expr::Test { value, args, .. } => {
                self.expr(value);
                self.args(args);
            }
            Expr::Slice(value, parts) => {
                self.expr(value);
                parts.iter().flatten().for_each(|e| self.expr(e));
            }
            Expr::Call(callee, args) => {
                self.expr(callee);
                self.args(args);
            }
        }
    }
}
