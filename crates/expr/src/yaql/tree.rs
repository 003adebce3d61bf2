//! What an expression is once it is read, and how it prints.
//!
//! Parentheses are nodes of their own, so that printing needs no precedence: what was parsed prints as a
//! text that parses to the same tree.

use super::table::Group;
use crate::python;
use squall_model::{Str, Value};
use std::fmt;

#[derive(Debug, Clone)]
pub(super) enum Node {
    Constant(Value),
    /// A bare identifier: the string of its name, or the name of a key after a dot.
    Keyword(Str),
    Variable(Variable),
    Wrap(Box<Node>),
    Call(Call),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<(Node, Node)>),
    Index(Box<Node>, Box<[Arg]>),
    List(Box<[Arg]>),
    Map(Box<[Arg]>),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub name: Str,
    /// The library's entries of that name, looked up once.
    pub group: Option<&'static Group>,
    /// Whether some engine has a pure function of that name.
    pub is_pure: bool,
    pub args: Box<[Arg]>,
}

#[derive(Debug, Clone)]
pub(super) enum Arg {
    Skipped,
    Positional(Node),
    /// `key => value`
    Named(Node, Node),
}

/// `$` is `$1`; only numbered ones have an index.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variable {
    pub name: Str,
    pub index: Option<usize>,
}

impl Variable {
    pub fn new(name: &str) -> Variable {
        let name = if name.is_empty() { "1" } else { name };
        let index = name.parse().ok().filter(|n: &usize| *n > 0 && !name.starts_with('0'));
        Variable { name: name.into(), index }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Plus,
    Minus,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Dot,
    SafeDot,
    Matches,
    NotMatches,
    Multiply,
    Divide,
    Mod,
    Add,
    Subtract,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    NotEqual,
    Equal,
    In,
    And,
    Or,
    Send,
}

/// Symbol, operator, strength; `->` alone groups to the right. Tightest first, as in the language's own table.
pub(super) const BINARY: &[(&str, Binary, u8)] = &[
    (".", Binary::Dot, 110),
    ("?.", Binary::SafeDot, 110),
    ("=~", Binary::Matches, 80),
    ("!~", Binary::NotMatches, 80),
    ("*", Binary::Multiply, 70),
    ("/", Binary::Divide, 70),
    ("mod", Binary::Mod, 70),
    ("+", Binary::Add, 60),
    ("-", Binary::Subtract, 60),
    (">", Binary::Greater, 50),
    ("<", Binary::Less, 50),
    (">=", Binary::GreaterEqual, 50),
    ("<=", Binary::LessEqual, 50),
    ("!=", Binary::NotEqual, 50),
    ("=", Binary::Equal, 50),
    ("in", Binary::In, 50),
    ("and", Binary::And, 30),
    ("or", Binary::Or, 20),
    ("->", Binary::Send, 10),
];
/// Strength of `x[…]`.
pub(super) const INDEX: u8 = 100;
/// Prefix operators with the strength with which they hold their operand.
pub(super) const UNARY: &[(&str, Unary, u8)] =
    &[("+", Unary::Plus, 90), ("-", Unary::Minus, 90), ("not", Unary::Not, 40)];

impl Binary {
    pub fn symbol(self) -> &'static str {
        BINARY.iter().find(|(_, operator, _)| *operator == self).map_or("", |(symbol, ..)| symbol)
    }

    /// The name under which errors and `call` know it.
    pub fn function_name(self) -> String {
        match self {
            Binary::Equal => "*equal".into(),
            Binary::NotEqual => "*not_equal".into(),
            _ => format!("#operator_{}", self.symbol()),
        }
    }
}

impl Unary {
    pub fn symbol(self) -> &'static str {
        UNARY.iter().find(|(_, operator, _)| *operator == self).map_or("", |(symbol, ..)| symbol)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Constant(value) => write_constant(f, value),
            Node::Keyword(name) => f.write_str(name),
            Node::Variable(v) if &*v.name == "1" => f.write_str("$"),
            Node::Variable(v) => write!(f, "${}", v.name),
            Node::Wrap(inner) => write!(f, "({inner})"),
            Node::Call(call) => {
                write!(f, "{}(", call.name)?;
                write_args(f, &call.args)?;
                f.write_str(")")
            }
            Node::Unary(Unary::Not, operand) => write!(f, "not {operand}"),
            Node::Unary(operator, operand) => write!(f, "{}{operand}", operator.symbol()),
            Node::Binary(operator @ (Binary::Dot | Binary::SafeDot), sides) => match &sides.1 {
                Node::Keyword(_) | Node::Call(_) => write!(f, "{}{}{}", sides.0, operator.symbol(), sides.1),
                // `1 . 2` must not become a number.
                _ => write!(f, "{} {} {}", sides.0, operator.symbol(), sides.1),
            },
            Node::Binary(operator, sides) => write!(f, "{} {} {}", sides.0, operator.symbol(), sides.1),
            Node::Index(value, args) => {
                write!(f, "{value}[")?;
                write_args(f, args)?;
                f.write_str("]")
            }
            Node::List(args) => {
                f.write_str("[")?;
                write_args(f, args)?;
                f.write_str("]")
            }
            Node::Map(args) => {
                f.write_str("{")?;
                write_args(f, args)?;
                f.write_str("}")
            }
        }
    }
}

fn write_args(f: &mut fmt::Formatter<'_>, args: &[Arg]) -> fmt::Result {
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        match arg {
            Arg::Skipped => {}
            Arg::Positional(node) => write!(f, "{node}")?,
            Arg::Named(key, value) => write!(f, "{key} => {value}")?,
        }
    }
    Ok(())
}

fn write_constant(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Null => f.write_str("null"),
        Value::Str(text) => write!(f, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        // There is no exponent in the language: a literal too large for a float is written as one.
        Value::Float(x) if x.is_infinite() => write!(f, "1{}.0", "0".repeat(400)),
        Value::Float(x) if x.fract() == 0.0 => write!(f, "{x:.1}"),
        Value::Float(x) => write!(f, "{x}"),
        Value::Bool(b) => write!(f, "{b}"),
        other => f.write_str(&python::repr(other)),
    }
}
