//! Which names a template looks up outside of itself: the edges of the graph of parameters.

use super::ast::{Args, Expr, FilterCall, GIVEN, Macro, Stmt, Target};
use super::globals;
use squall_model::Str;

/// Free names of a template.
pub(super) fn free(body: &[Stmt]) -> Vec<Str> {
    let mut walk = Walk { bound: vec![Vec::new()], free: Vec::new() };
    walk.body(body);
    walk.free
}

/// Free names of an expression.
pub(super) fn free_in_expression(expr: &Expr) -> Vec<Str> {
    let mut walk = Walk { bound: vec![Vec::new()], free: Vec::new() };
    walk.expr(expr);
    walk.free
}

struct Walk {
    bound: Vec<Vec<Str>>,
    free: Vec<Str>,
}

impl Walk {
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
            Expr::Not(inner) | Expr::Neg(inner) | Expr::Pos(inner) | Expr::Attribute(inner, _) => self.expr(inner),
            Expr::Binary(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) | Expr::Item(a, b) => {
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
