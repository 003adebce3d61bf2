//! Looking through an expression without evaluating it.

use super::tree::{Arg, Binary, Node};
use squall_model::{Str, Value};

/// A name that an expression takes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `$.name`, at the outermost level (not the `$` of a lambda, as far as the text tells).
    Data(Str),
    /// `ctx().name`, `ctx(name)` or `ctx('name')`.
    Context(Str),
    /// Any other function that the library does not know: the host's.
    Function(Str),
}

/// All of them, in the order of the text, each once.
pub(super) fn references(tree: &Node) -> Vec<Reference> {
    let mut found = Vec::new();
    visit(tree, false, &mut found);
    found
}

fn add(found: &mut Vec<Reference>, reference: Reference) {
    if !found.contains(&reference) {
        found.push(reference);
    }
}

fn visit(node: &Node, in_lambda: bool, found: &mut Vec<Reference>) {
    match node {
        Node::Constant(_) | Node::Keyword(_) | Node::Variable(_) => {}
        Node::Wrap(inner) | Node::Unary(_, inner) => visit(inner, in_lambda, found),
        Node::Call(call) => {
            match (&*call.name, &*call.args) {
                ("ctx", [Arg::Positional(Node::Keyword(name) | Node::Constant(Value::Str(name)))]) => {
                    add(found, Reference::Context(name.clone()));
                }
                ("ctx", _) => {}
                _ if call.group.is_none() => add(found, Reference::Function(call.name.clone())),
                _ => {}
            }
            visit_args(&call.args, in_lambda, found);
        }
        Node::Binary(Binary::Dot | Binary::SafeDot, sides) => {
            visit(&sides.0, in_lambda, found);
            match (&sides.0, &sides.1) {
                (Node::Variable(v), Node::Keyword(name)) if v.index == Some(1) && !in_lambda => {
                    add(found, Reference::Data(name.clone()));
                }
                (Node::Call(call), Node::Keyword(name)) if &*call.name == "ctx" && call.args.is_empty() => {
                    add(found, Reference::Context(name.clone()));
                }
                // Arguments of methods are lambdas more often than not.
                (_, Node::Call(call)) => visit_args(&call.args, true, found),
                _ => {}
            }
        }
        Node::Binary(Binary::Send, sides) => {
            visit(&sides.0, in_lambda, found);
            visit(&sides.1, true, found);
        }
        Node::Binary(_, sides) => {
            visit(&sides.0, in_lambda, found);
            visit(&sides.1, in_lambda, found);
        }
        Node::Index(value, args) => {
            visit(value, in_lambda, found);
            if let (Node::Variable(v), [Arg::Positional(Node::Constant(Value::Str(name)))]) = (&**value, &**args)
                && v.index == Some(1)
                && !in_lambda
            {
                add(found, Reference::Data(name.clone()));
            }
            visit_args(args, in_lambda, found);
        }
        Node::List(args) | Node::Map(args) => visit_args(args, in_lambda, found),
    }
}

fn visit_args(args: &[Arg], in_lambda: bool, found: &mut Vec<Reference>) {
    for arg in args {
        match arg {
            Arg::Skipped => {}
            Arg::Positional(node) => visit(node, in_lambda, found),
            Arg::Named(key, value) => {
                visit(key, in_lambda, found);
                visit(value, in_lambda, found);
            }
        }
    }
}
