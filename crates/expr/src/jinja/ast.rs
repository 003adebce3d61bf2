//! What a template is made of.

use super::checks::Check;
use super::filters::Filter;
use squall_model::{Str, Value};

/// A statement.
#[derive(Debug)]
pub(super) enum Stmt {
    Data(Str),
    Print(Expr),
    If {
        arms: Vec<(Expr, Vec<Stmt>)>,
        otherwise: Vec<Stmt>,
    },
    For(std::sync::Arc<For>),
    Set {
        target: Target,
        value: Expr,
    },
    SetBlock {
        target: Target,
        filters: Vec<FilterCall>,
        body: Vec<Stmt>,
    },
    With {
        values: Vec<(Target, Expr)>,
        body: Vec<Stmt>,
    },
    Filter {
        filters: Vec<FilterCall>,
        body: Vec<Stmt>,
    },
    Macro(std::sync::Arc<Macro>),
    CallBlock {
        call: Expr,
        caller: std::sync::Arc<Macro>,
    },
    /// `{% block %}` and `{% autoescape %}`: a body with a scope of its own.
    Scope(Vec<Stmt>),
    /// Something that needs a loader, which there is none of: the tag's name.
    Load(&'static str),
}

#[derive(Debug)]
pub(super) struct For {
    pub(super) target: Target,
    pub(super) iter: Expr,
    pub(super) test: Option<Expr>,
    pub(super) body: Vec<Stmt>,
    pub(super) otherwise: Vec<Stmt>,
    pub(super) recursive: bool,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Str,
    pub(super) params: Vec<(Str, Option<Expr>)>,
    pub(super) body: Vec<Stmt>,
    /// Whether the body mentions `varargs`, `kwargs`, `caller`: Jinja refuses surplus arguments otherwise.
    pub(super) varargs: bool,
    pub(super) kwargs: bool,
}

/// What can be assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Str),
    Tuple(Vec<Target>),
    /// `namespace.attribute`.
    Attribute(Str, Str),
}

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    Const(Value),
    Name(Str),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    Pos(Box<Expr>),
    Binary(Op, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    Cond { test: Box<Expr>, then: Box<Expr>, otherwise: Option<Box<Expr>> },
    Filter(Box<Expr>, FilterCall),
    Test { value: Box<Expr>, check: Check, args: Args, negated: bool },
    Attribute(Box<Expr>, Str),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Args),
}

/// A filter with its arguments; `filter` is `None` for a host function used as a filter.
#[derive(Debug)]
pub(super) struct FilterCall {
    pub(super) name: Str,
    pub(super) filter: Option<Filter>,
    pub(super) args: Args,
}

#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) positional: Vec<Expr>,
    pub(super) named: Vec<(Str, Expr)>,
    pub(super) star: Option<Box<Expr>>,
    pub(super) double_star: Option<Box<Expr>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}
