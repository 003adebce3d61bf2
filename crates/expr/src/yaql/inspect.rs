//! What an expression reads of `$`, seen without evaluating it: whoever makes the data can leave the rest out.
//!
//! The answer is never too small, but may be too large: the `$` of a lambda counts as that of the whole expression,
//! because which of the two is meant shows only when it runs.

use super::tree::{Arg, Binary, Call, Node};
use squall_model::{Str, Value};

/// The part of `$` that an expression reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reads {
    /// Members of these names at most, each by its name; no name for an expression that reads nothing.
    Members(Vec<Str>),
    /// Perhaps all of it, or its size, or what it prints as.
    Everything,
}

impl Reads {
    /// None of it.
    pub const NOTHING: Reads = Reads::Members(Vec::new());

    /// What both read together.
    pub fn and(self, other: Reads) -> Reads {
        match (self, other) {
            (Reads::Members(mut mine), Reads::Members(theirs)) => {
                theirs.iter().for_each(|name| add(name, &mut mine));
                Reads::Members(mine)
            }
            _ => Reads::Everything,
        }
    }
}

/// What `tree` reads.
pub(super) fn reads(tree: &Node) -> Reads {
    let mut names = Vec::new();
    match visit(tree, &mut names) {
        Some(()) => Reads::Members(names),
        None => Reads::Everything,
    }
}

fn add(name: &Str, names: &mut Vec<Str>) {
    if !names.contains(name) {
        names.push(name.clone());
    }
}

/// Collects names; nothing once `$` itself is used.
fn visit(node: &Node, names: &mut Vec<Str>) -> Option<()> {
    match node {
        Node::Constant(_) | Node::Keyword(_) => Some(()),
        Node::Variable(variable) => (variable.index != Some(1)).then_some(()),
        Node::Wrap(inner) | Node::Unary(_, inner) => visit(inner, names),
        Node::Call(call) => visit_args(&call.args, names),
        Node::Binary(operator, sides) => match member_of_data(*operator, &sides.0, &sides.1) {
            Some((name, others)) => {
                add(name, names);
                visit_args(others, names)
            }
            None => visit(&sides.0, names).and_then(|()| visit(&sides.1, names)),
        },
        Node::Index(value, args) => match (is_data(value), &**args) {
            (true, [name, others @ ..]) if others.len() < 2 => {
                add(text(name)?, names);
                visit_args(others, names)
            }
            _ => visit(value, names).and_then(|()| visit_args(args, names)),
        },
        Node::List(args) | Node::Map(args) => visit_args(args, names),
    }
}

/// `$.name`, and `$.get(name, default)` in a form that cannot fail, since its failure would show all of `$`.
fn member_of_data<'t>(operator: Binary, left: &Node, right: &'t Node) -> Option<(&'t Str, &'t [Arg])> {
    if !matches!(operator, Binary::Dot | Binary::SafeDot) || !is_data(left) {
        return None;
    }
    match right {
        Node::Keyword(name) => Some((name, &[])),
        Node::Call(Call { name, args, .. }) if &**name == "get" => match &**args {
            [key] => Some((text(key)?, &[])),
            [key, Arg::Positional(_)] => Some((text(key)?, args.get(1..)?)),
            _ => None,
        },
        _ => None,
    }
}

fn is_data(node: &Node) -> bool {
    matches!(node, Node::Variable(variable) if variable.index == Some(1))
}

fn text(arg: &Arg) -> Option<&Str> {
    match arg {
        Arg::Positional(Node::Keyword(name) | Node::Constant(Value::Str(name))) => Some(name),
        _ => None,
    }
}

fn visit_args(args: &[Arg], names: &mut Vec<Str>) -> Option<()> {
    args.iter().try_for_each(|arg| match arg {
        Arg::Skipped => Some(()),
        Arg::Positional(node) => visit(node, names),
        Arg::Named(key, value) => visit(key, names).and_then(|()| visit(value, names)),
    })
}
