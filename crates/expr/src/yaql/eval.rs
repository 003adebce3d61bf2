//! Walking the tree.
//!
//! Names resolve through [`Ctx`], a chain of immutable frames: a lambda remembers the frame in which it was
//! written and runs in a child of it. Nothing is ever changed in a frame, so sharing them is safe.
//!
//! Start reading at [`Eval::node`].

use super::call;
use super::operators;
use super::tree::{Arg, Binary, Node, Unary, Variable};
use super::value::{DEEPEST, Val, address};
use crate::{Budget, Error, Scope};
use squall_model::{Str, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

pub(super) type Outcome<'a> = Result<Val<'a>, Error>;

/// One evaluation: what it works with and what is left of its budget.
pub(super) struct Eval<'a> {
    pub scope: &'a Scope<'a>,
    pub budget: Budget,
    depth: Cell<u32>,
    recursion: Cell<u32>,
    /// Whether `def` has been used: if not, no name needs to be looked up in frames.
    defines: Cell<bool>,
    depths: RefCell<HashMap<usize, (u32, Value)>>,
}

/// Counts a level of recursion for as long as it lives.
pub(super) struct Deeper<'e>(&'e Cell<u32>);

impl Drop for Deeper<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

pub(super) type Ctx<'a> = Rc<Frame<'a>>;

/// The names that one lambda call, `let`, `with`, `unpack` or `def` adds.
pub(super) struct Frame<'a> {
    parent: Option<Ctx<'a>>,
    names: Names<'a>,
    /// A function added by `def`; it runs in a child of this frame and so knows itself.
    function: Option<(Str, &'a Node)>,
    /// See [`Val::nest`].
    pub nest: u32,
}

pub(super) enum Names<'a> {
    None,
    /// `$`
    One(Val<'a>),
    /// `$1` and `$2`
    Two(Val<'a>, Val<'a>),
    /// By name, numbers included; later ones win.
    Many(Vec<(Str, Val<'a>)>),
}

impl<'a> Names<'a> {
    /// `$1…` from values, then names.
    pub fn new(numbered: Vec<Val<'a>>, named: Vec<(Str, Val<'a>)>) -> Names<'a> {
        let numbers = numbered.into_iter().enumerate().map(|(i, val)| (Str::from((i + 1).to_string()), val));
        Names::Many(numbers.chain(named.into_iter().map(|(name, val)| (variable_name(name), val))).collect())
    }

    fn nest(&self) -> u32 {
        match self {
            Names::None => 0,
            Names::One(val) => val.nest(),
            Names::Two(a, b) => a.nest().max(b.nest()),
            Names::Many(vals) => vals.iter().map(|(_, val)| val.nest()).max().unwrap_or(0),
        }
    }

    fn find(&self, variable: &Variable) -> Option<&Val<'a>> {
        match (self, variable.index) {
            (Names::One(val) | Names::Two(val, _), Some(1)) => Some(val),
            (Names::Two(_, val), Some(2)) => Some(val),
            (Names::Many(vals), _) => vals.iter().rev().find(|(name, _)| *name == variable.name).map(|(_, val)| val),
            _ => None,
        }
    }
}

/// The names `$`, `$name` and `name` are the same to `let` and `unpack`.
fn variable_name(name: Str) -> Str {
    match name.strip_prefix('$').unwrap_or(&name) {
        "" => "1".into(),
        short if short.len() < name.len() => short.into(),
        _ => name,
    }
}

/// An argument that a function evaluates by itself, perhaps often.
#[derive(Clone)]
pub(super) enum Lambda<'a> {
    Code(&'a Node, Ctx<'a>),
    /// What `call` was given instead of an expression: it is its own result.
    Fixed(Val<'a>),
}

impl<'a> Lambda<'a> {
    /// Evaluates it with nothing new.
    pub fn call0(&self, ev: &'a Eval<'a>) -> Outcome<'a> {
        match self {
            Lambda::Code(node, ctx) => ev.node(node, ctx),
            Lambda::Fixed(val) => Ok(val.clone()),
        }
    }

    /// Evaluates it with `$`.
    pub fn call(&self, ev: &'a Eval<'a>, val: Val<'a>) -> Outcome<'a> {
        self.call_with(ev, Names::One(val))
    }

    /// Evaluates it with `$1` and `$2`.
    pub fn call2(&self, ev: &'a Eval<'a>, first: Val<'a>, second: Val<'a>) -> Outcome<'a> {
        self.call_with(ev, Names::Two(first, second))
    }

    pub fn call_with(&self, ev: &'a Eval<'a>, names: Names<'a>) -> Outcome<'a> {
        match self {
            Lambda::Code(node, ctx) => match node {
                // What needs no frame is not worth making one.
                Node::Constant(_) | Node::Keyword(_) => ev.node(node, ctx),
                Node::Variable(variable) if let Some(val) = names.find(variable) => Ok(val.clone()),
                _ => ev.node(node, &ev.frame(ctx, names)?),
            },
            Lambda::Fixed(val) => Ok(val.clone()),
        }
    }

    pub fn nest(&self) -> u32 {
        match self {
            Lambda::Code(_, ctx) => ctx.nest,
            Lambda::Fixed(val) => val.nest(),
        }
    }
}

impl<'a> Eval<'a> {
    pub fn new(scope: &'a Scope<'a>) -> Eval<'a> {
        Eval {
            scope,
            budget: Budget::new(scope.limits),
            depth: Cell::new(0),
            recursion: Cell::new(0),
            defines: Cell::new(false),
            depths: RefCell::default(),
        }
    }

    /// The outermost frame; `root` is what `$` is there.
    pub fn root(root: Option<Value>) -> Ctx<'a> {
        let names = root.map_or(Names::None, |value| Names::One(Val::Plain(value)));
        Rc::new(Frame { parent: None, names, function: None, nest: 0 })
    }

    /// A child of `parent`.
    pub fn frame(&self, parent: &Ctx<'a>, names: Names<'a>) -> Result<Ctx<'a>, Error> {
        self.budget.bytes(96)?;
        let nest = self.deeper(parent.nest.max(names.nest()))?;
        Ok(Rc::new(Frame { parent: Some(parent.clone()), names, function: None, nest }))
    }

    /// A child of `parent` that knows the function `name`.
    pub fn define(&self, parent: &Ctx<'a>, name: Str, body: &'a Node) -> Result<Ctx<'a>, Error> {
        self.budget.bytes(96)?;
        self.defines.set(true);
        let nest = self.deeper(parent.nest)?;
        let function = Some((name, body));
        Ok(Rc::new(Frame { parent: Some(parent.clone()), names: Names::None, function, nest }))
    }

    /// Whether `def` has given a meaning to any name.
    pub fn has_definitions(&self) -> bool {
        self.defines.get()
    }

    /// The body of a function that `def` added, with the frame that knows it.
    pub fn defined(&self, ctx: &Ctx<'a>, name: &str) -> Option<(&'a Node, Ctx<'a>)> {
        if !self.has_definitions() {
            return None;
        }
        let mut frame = Some(ctx);
        while let Some(here) = frame {
            if let Some((known, body)) = &here.function
                && &**known == name
            {
                return Some((body, here.clone()));
            }
            frame = here.parent.as_ref();
        }
        None
    }

    /// One level down; an error when that is too deep for the stack.
    pub fn enter(&self) -> Result<Deeper<'_>, Error> {
        Self::count(&self.depth, self.scope.limits.depth, "depth", "levels of nesting")
    }

    /// One more call of a function that may call itself.
    pub fn recurse(&self) -> Result<Deeper<'_>, Error> {
        Self::count(&self.recursion, self.scope.limits.recursion, "recursion", "calls within each other")
    }

    fn count<'c>(cell: &'c Cell<u32>, most: u32, name: &str, unit: &str) -> Result<Deeper<'c>, Error> {
        if cell.get() >= most {
            return Err(Error::bound(name, most.into(), unit));
        }
        cell.set(cell.get() + 1);
        Ok(Deeper(cell))
    }

    pub fn known_depth(&self, value: &Value) -> Option<u32> {
        let depths = self.depths.borrow();
        if depths.is_empty() {
            return None;
        }
        depths.get(&address(value)?).map(|(depth, _)| *depth)
    }

    /// Remembers how deep a container nests; flat ones are measured again faster than looked up.
    pub fn remember(&self, value: &Value, depth: u32) {
        if depth > 1
            && let Some(at) = address(value)
        {
            self.depths.borrow_mut().insert(at, (depth.min(DEEPEST), value.clone()));
        }
    }

    /// What `$name` is here; nothing is null, not an error.
    pub fn variable(&self, variable: &Variable, ctx: &Ctx<'a>) -> Val<'a> {
        let mut frame = Some(ctx);
        while let Some(here) = frame {
            if let Some(val) = here.names.find(variable) {
                return val.clone();
            }
            frame = here.parent.as_ref();
        }
        Val::NULL
    }

    /// Evaluates one node.
    pub fn node(&'a self, node: &'a Node, ctx: &Ctx<'a>) -> Outcome<'a> {
        self.budget.step(1)?;
        match node {
            Node::Constant(value) => Ok(Val::Plain(value.clone())),
            Node::Keyword(name) => Ok(Val::Plain(Value::Str(name.clone()))),
            Node::Variable(variable) => Ok(self.variable(variable, ctx)),
            _ => {
                let _deeper = self.enter()?;
                self.inner(node, ctx)
            }
        }
    }

    fn inner(&'a self, node: &'a Node, ctx: &Ctx<'a>) -> Outcome<'a> {
        match node {
            Node::Wrap(inner) => self.node(inner, ctx),
            Node::Call(call) => call::function(self, call, ctx),
            Node::Unary(operator, operand) => {
                let operand = self.node(operand, ctx)?;
                self.unary(*operator, &operand)
            }
            Node::Binary(operator, sides) => self.binary(*operator, &sides.0, &sides.1, ctx),
            Node::Index(value, args) => call::index(self, value, args, ctx),
            Node::List(args) => self.list_literal(args, ctx),
            Node::Map(args) => self.map_literal(args, ctx),
            Node::Constant(_) | Node::Keyword(_) | Node::Variable(_) => Ok(Val::NULL),
        }
    }

    fn unary(&self, operator: Unary, operand: &Val<'a>) -> Outcome<'a> {
        match operator {
            Unary::Not => Ok(Val::from(!operand.is_truthy())),
            Unary::Plus => operators::plus(operand),
            Unary::Minus => operators::minus(operand),
        }
    }

    fn binary(&'a self, operator: Binary, left: &'a Node, right: &'a Node, ctx: &Ctx<'a>) -> Outcome<'a> {
        match operator {
            Binary::Dot if !matches!(right, Node::Keyword(_) | Node::Call(_)) => Err(operators::no_match(operator)),
            Binary::Dot => {
                if let Some(member) = call::member_of_outside(self, left, right) {
                    return Ok(Val::Plain(member));
                }
                let receiver = self.node(left, ctx)?;
                self.dot(receiver, right, ctx)
            }
            Binary::SafeDot => match self.node(left, ctx)? {
                receiver if receiver.is_null() => Ok(Val::NULL),
                receiver => self.dot(receiver, right, ctx),
            },
            Binary::And => match self.node(left, ctx)? {
                val if val.is_truthy() => self.node(right, ctx),
                val => Ok(val),
            },
            Binary::Or => match self.node(left, ctx)? {
                val if val.is_truthy() => Ok(val),
                _ => self.node(right, ctx),
            },
            Binary::Send => match self.node(left, ctx)? {
                Val::Context(inner) => self.node(right, &inner),
                _ => Err(operators::no_match(operator)),
            },
            _ => {
                let values = self.node(left, ctx).and_then(|left| Ok((left, self.node(right, ctx)?)));
                match values {
                    Ok((left, right)) => operators::binary(self, operator, &left, &right),
                    // The original looks at constants before it evaluates anything.
                    Err(_) if !operators::constants_fit(operator, left, right) => Err(operators::no_match(operator)),
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn dot(&'a self, receiver: Val<'a>, right: &'a Node, ctx: &Ctx<'a>) -> Outcome<'a> {
        match right {
            Node::Keyword(name) => operators::property(self, receiver, name),
            Node::Call(call) => call::method(self, call, receiver, ctx),
            _ => Err(operators::no_match(Binary::Dot)),
        }
    }

    fn list_literal(&'a self, args: &'a [Arg], ctx: &Ctx<'a>) -> Outcome<'a> {
        let mut items = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                Arg::Positional(node) => items.push(self.node(node, ctx)?),
                Arg::Skipped => return Err(call::no_function("#list")),
                Arg::Named(Node::Keyword(_), _) => return Err(call::no_function("#list")),
                Arg::Named(..) => return Err(call::bad_keyword()),
            }
        }
        self.list(items)
    }

    fn map_literal(&'a self, args: &'a [Arg], ctx: &Ctx<'a>) -> Outcome<'a> {
        let mut pairs = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                Arg::Named(key, value) => pairs.push((self.node(key, ctx)?, self.node(value, ctx)?)),
                _ => return Err(call::no_function("#map")),
            }
        }
        self.dict(pairs)
    }
}
