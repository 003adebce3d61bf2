//! What a template is made of.

use super::checks::Check;
use super::filters::Filter;
use squall_model::{Str, Value};

/// A name that a template looks up, with the number by which it knows it.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) text: Str,
    pub(super) id: u32,
}

/// Names that templates are given rather than give themselves.
pub(super) const LOOP: u32 = 0;
pub(super) const VARARGS: u32 = 1;
pub(super) const KWARGS: u32 = 2;
pub(super) const CALLER: u32 = 3;
pub(super) const GIVEN: &[&str] = &["loop", "varargs", "kwargs", "caller"];

/// The name behind a dot.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Str,
    /// Whether dictionaries have a method of this name, which comes before a member.
    pub(super) is_method: bool,
}

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
    /// `{% block %}`: a body with a scope of its own.
    Scope(Vec<Stmt>),
    /// `{% autoescape %}`: the same, and whether what it prints is escaped for HTML.
    Autoescape {
        on: Expr,
        body: Vec<Stmt>,
    },
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
    /// Whether the body mentions `loop`: most do not, and then its state need not be kept.
    pub(super) uses_loop: bool,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub(super) name: Name,
    pub(super) params: Vec<(Name, Option<Expr>)>,
    pub(super) body: Vec<Stmt>,
    /// Whether the body mentions `varargs`, `kwargs`, `caller`: Jinja refuses surplus arguments otherwise.
    pub(super) varargs: bool,
    pub(super) kwargs: bool,
}

/// What can be assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Name),
    Tuple(Vec<Target>),
    /// `namespace.attribute`.
    Attribute(Name, Str),
}

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    Const(Value),
    Name(Name),
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
    Attribute(Box<Expr>, Field),
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
