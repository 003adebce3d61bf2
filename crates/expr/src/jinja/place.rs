//! Looking at values where they are: a name, and the way from it through dictionaries and lists.
//!
//! Most of what templates say is `{{ a.b.c }}`, `if a.b` or `a.b == 'c'`. None of that needs a value of its own.

use super::ast::{Comparison, Expr, Name};
use super::interpreter::{Interpreter, position};
use super::names;
use super::value::{Dict, Seq, V};
use crate::{Engine, Error};
use squall_model::{Value, member};

/// Where a value is.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// Among what the template made.
    Own(&'p V),
    /// In the data, or written in the template.
    Data(&'p Value),
}

impl Place<'_> {
    /// The value, shared.
    pub(super) fn value(self) -> V {
        match self {
            Place::Own(value) => value.clone(),
            Place::Data(value) => V::from(value),
        }
    }

    /// The usual comparisons of texts and small whole numbers; `None` for all others.
    pub(super) fn compared(self, comparison: Comparison, other: Place) -> Option<bool> {
        let order = match (self.number(), other.number()) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, None) => self.text()?.cmp(other.text()?),
            _ => return None,
        };
        Some(match comparison {
            Comparison::Eq => order.is_eq(),
            Comparison::Ne => order.is_ne(),
            Comparison::Lt => order.is_lt(),
            Comparison::Le => order.is_le(),
            Comparison::Gt => order.is_gt(),
            Comparison::Ge => order.is_ge(),
            Comparison::In | Comparison::NotIn => return None,
        })
    }

    fn number(&self) -> Option<i64> {
        match self {
            Place::Own(V::Int(n)) | Place::Data(Value::Int(n)) => Some(*n),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Place::Own(V::Str(text)) | Place::Data(Value::Str(text)) => Some(text),
            _ => None,
        }
    }
}

impl Interpreter<'_> {
    /// Where the value of an expression is; `None` when it has to be evaluated. Costs a step for each part.
    pub(super) fn find<'p>(&'p self, expr: &'p Expr) -> Result<Option<Place<'p>>, Error> {
        let mut parts = 0;
        let found = self.follow(expr, &mut parts);
        if found.is_some() {
            self.budget.step(parts)?;
        }
        Ok(found)
    }

    fn follow<'p>(&'p self, expr: &'p Expr, parts: &mut u64) -> Option<Place<'p>> {
        *parts += 1;
        match expr {
            Expr::Const(value) => Some(Place::Data(value)),
            Expr::Name(name) => self.named(name),
            Expr::Attribute(object, field) if !field.is_method => in_dict(self.follow(object, parts)?, &field.name),
            Expr::Item(object, index) => match &**index {
                Expr::Const(Value::Str(key)) => in_dict(self.follow(object, parts)?, key),
                Expr::Const(Value::Int(n)) => in_list(self.follow(object, parts)?, *n),
                _ => None,
            },
            _ => None,
        }
    }

    fn named<'p>(&'p self, name: &Name) -> Option<Place<'p>> {
        if let Some(at) = self.local(name) {
            return Some(Place::Own(&self.locals[at].1));
        }
        if let Some((_, value)) = self.changed.iter().find(|(id, _)| *id == name.id) {
            return Some(Place::Own(value));
        }
        match self.scope.engine {
            Engine::Mistral if &*name.text == names::DATA => Some(Place::Data(self.scope.data)),
            // Variables are no names there.
            Engine::Mistral | Engine::Orquesta => None,
            Engine::Stack | Engine::StackLax => self.scope.data.get(&name.text).map(Place::Data),
        }
    }
}

fn in_dict<'p>(object: Place<'p>, key: &str) -> Option<Place<'p>> {
    match object {
        Place::Data(Value::Map(map)) | Place::Own(V::Dict(Dict::Data(map))) => member(map, key).map(Place::Data),
        _ => None,
    }
}

fn in_list(object: Place<'_>, index: i64) -> Option<Place<'_>> {
    match object {
        Place::Data(Value::List(items)) | Place::Own(V::List(Seq::Data(items))) => {
            position(index, items.len()).map(|at| Place::Data(&items[at]))
        }
        _ => None,
    }
}
