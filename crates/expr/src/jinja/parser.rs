//! Tokens into a tree, with Jinja's precedences (filters bind tighter than any operator).
//!
//! Invariant: the tree is at most [`MAX_HEIGHT`] high, whatever the text, so that walking and dropping it
//! cannot overflow the stack.

use super::ast::{Args, CALLER, Comparison, Expr, Field, FilterCall, For, LOOP, Macro, Name, Op, Stmt, Target};
use super::lexer::{Kind, Token};
use super::symbols::{Bound, Names};
use super::{checks, filters, methods, syntax};
use crate::{Engine, Error};
use squall_model::{Str, Value};
use std::sync::Arc;

/// How deep the parser may descend; a nested expression or block counts for the stack that it takes.
const MAX_DEPTH: usize = 200;

/// How high the tree of one expression may grow.
const MAX_HEIGHT: usize = 100;

/// What an expression inside another and a block inside another count.
const NESTED: usize = 3;

/// Reads a template.
pub(super) fn template(tokens: Vec<Token<'_>>, engine: Engine) -> Result<(Vec<Stmt>, Bound), Error> {
    let mut parser = Parser::new(tokens, engine);
    let body = parser.statements(&[])?;
    Ok((body, parser.names.bound()))
}

/// Reads a bare expression.
pub(super) fn expression(tokens: Vec<Token<'_>>, engine: Engine) -> Result<Expr, Error> {
    let mut parser = Parser::new(tokens, engine);
    let expr = parser.expression()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected("chunk after expression")),
    }
}

struct Parser<'s> {
    tokens: Vec<Token<'s>>,
    at: usize,
    engine: Engine,
    /// How deep this parser has descended.
    depth: usize,
    /// How high the last expression is.
    height: usize,
    names: Names,
    /// How often `loop` was looked up so far.
    loops: usize,
    /// The names of blocks so far.
    blocks: Vec<&'s str>,
}

/// Reserved words cannot be assigned to.
const RESERVED: &[&str] = &["true", "false", "none", "True", "False", "None"];

impl<'s> Parser<'s> {
    fn new(tokens: Vec<Token<'s>>, engine: Engine) -> Parser<'s> {
        Parser { tokens, at: 0, engine, depth: 0, height: 0, names: Names::default(), loops: 0, blocks: Vec::new() }
    }

    fn peek(&self) -> Option<&Kind<'s>> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn peek_second(&self) -> Option<&Kind<'s>> {
        self.tokens.get(self.at + 1).map(|t| &t.kind)
    }

    fn next(&mut self) -> Option<Kind<'s>> {
        let kind = self.peek().cloned();
        self.at += 1;
        kind
    }

    fn position(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.at)
    }

    fn fail(&self, message: &str) -> Error {
        syntax(message, self.position())
    }

    fn unexpected(&self, expected: &str) -> Error {
        let found = match self.peek() {
            None => "end of template".to_owned(),
            Some(Kind::VariableEnd) => "end of print statement".to_owned(),
            Some(Kind::BlockEnd) => "end of statement block".to_owned(),
            Some(Kind::Name(name)) => (*name).to_owned(),
            Some(Kind::Op(op)) => (*op).to_owned(),
            Some(Kind::Text(text)) => text.to_string(),
            Some(Kind::Int(n)) => crate::python::str(n),
            Some(_) => "token".to_owned(),
        };
        self.fail(&format!("unexpected '{found}', expected {expected}"))
    }

    #[inline(always)]
    fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Kind::Op(found)) if *found == op)
    }

    #[inline(always)]
    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Kind::Name(found)) if *found == name)
    }

    #[inline(always)]
    fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    #[inline(always)]
    fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    fn expect_op(&mut self, op: &str) -> Result<(), Error> {
        if self.skip_op(op) { Ok(()) } else { Err(self.unexpected(&format!("'{op}'"))) }
    }

    fn expect_name(&mut self, name: &str) -> Result<(), Error> {
        if self.skip_name(name) { Ok(()) } else { Err(self.unexpected(&format!("'{name}'"))) }
    }

    fn identifier(&mut self) -> Result<&'s str, Error> {
        match self.peek() {
            Some(Kind::Name(name)) => {
                let name = *name;
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("name")),
        }
    }

    fn descend<T>(&mut self, by: usize, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += by;
        if self.depth > MAX_DEPTH {
            return Err(Error::limit("template is nested too deeply"));
        }
        let result = read(self);
        self.depth -= by;
        result
    }

    /// The last expression becomes the child of one that also has children as high as `other`.
    fn grow(&mut self, other: usize) -> Result<(), Error> {
        self.height = self.height.max(other) + 1;
        if self.height > MAX_HEIGHT {
            return Err(Error::limit("expression is nested too deeply"));
        }
        Ok(())
    }

    // ---- statements ----

    /// Statements up to a block tag whose name is in `ends`; that name is the next token then.
    fn statements(&mut self, ends: &[&str]) -> Result<Vec<Stmt>, Error> {
        self.descend(NESTED, |p| p.statements_here(ends))
    }

    fn statements_here(&mut self, ends: &[&str]) -> Result<Vec<Stmt>, Error> {
        let mut body = Vec::new();
        loop {
            match self.next() {
                None if ends.is_empty() => return Ok(body),
                None => {
                    return Err(self.fail(&format!(
                        "Unexpected end of template. Jinja was looking for the following tags: {}.",
                        ends.iter().map(|e| format!("'{e}'")).collect::<Vec<_>>().join(" or ")
                    )));
                }
                Some(Kind::Data(text)) => body.push(Stmt::Data(text.into())),
                Some(Kind::VariableBegin) => {
                    if self.peek() == Some(&Kind::VariableEnd) {
                        return Err(self.fail("Expected an expression, got 'end of print statement'"));
                    }
                    let expr = self.tuple()?;
                    if self.next() != Some(Kind::VariableEnd) {
                        self.at -= 1;
                        return Err(self.unexpected("'end of print statement'."));
                    }
                    body.push(Stmt::Print(expr));
                }
                Some(Kind::BlockBegin) => {
                    if let Some(Kind::Name(name)) = self.peek()
                        && ends.contains(name)
                    {
                        return Ok(body);
                    }
                    self.statement(&mut body)?;
                }
                Some(_) => {
                    self.at -= 1;
                    return Err(self.unexpected("text"));
                }
            }
        }
    }

    fn block_end(&mut self) -> Result<(), Error> {
        match self.next() {
            Some(Kind::BlockEnd) => Ok(()),
            _ => {
                self.at -= 1;
                Err(self.unexpected("'end of statement block'"))
            }
        }
    }

    /// A body up to one of `ends`, whose name is taken; the tag's end is not.
    fn body(&mut self, ends: &[&str]) -> Result<(Vec<Stmt>, &'s str), Error> {
        self.block_end()?;
        let body = self.statements(ends)?;
        Ok((body, self.identifier()?))
    }

    fn body_to(&mut self, end: &str) -> Result<Vec<Stmt>, Error> {
        let (body, _) = self.body(&[end])?;
        Ok(body)
    }

    fn statement(&mut self, into: &mut Vec<Stmt>) -> Result<(), Error> {
        let Some(Kind::Name(tag)) = self.peek().cloned() else {
            return Err(self.fail("tag name expected"));
        };
        self.at += 1;
        let stmt = match tag {
            "if" => self.if_statement()?,
            "for" => self.for_statement()?,
            "set" => self.set_statement()?,
            "with" => self.with_statement()?,
            "filter" => {
                let filters = self.filter_chain()?;
                Stmt::Filter { filters, body: self.body_to("endfilter")? }
            }
            "macro" => {
                let name = self.assignable()?;
                Stmt::Macro(Arc::new(self.macro_rest(name, "endmacro")?))
            }
            "call" => self.call_statement()?,
            "print" => {
                let expr = self.tuple()?;
                Stmt::Print(expr)
            }
            "block" => {
                let name = self.identifier()?;
                if self.blocks.contains(&name) {
                    let message = format!("block '{name}' defined twice");
                    return Err(Error::new("TemplateAssertionError", message).at(self.position()..self.position()));
                }
                self.blocks.push(name);
                self.skip_name("scoped");
                self.skip_name("required");
                let body = self.body_to("endblock")?;
                if matches!(self.peek(), Some(Kind::Name(_))) {
                    self.at += 1;
                }
                Stmt::Scope(body)
            }
            "autoescape" => {
                let on = self.expression()?;
                Stmt::Autoescape { on, body: self.body_to("endautoescape")? }
            }
            "extends" | "include" | "import" | "from" => {
                while !matches!(self.peek(), None | Some(Kind::BlockEnd)) {
                    self.at += 1;
                }
                Stmt::Load(match tag {
                    "extends" => "extends",
                    "include" => "include",
                    "import" => "import",
                    _ => "from",
                })
            }
            tag => {
                self.at -= 1;
                return Err(self.fail(&format!("Encountered unknown tag '{tag}'.")));
            }
        };
        self.block_end()?;
        into.push(stmt);
        Ok(())
    }

    fn if_statement(&mut self) -> Result<Stmt, Error> {
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        loop {
            if self.peek() == Some(&Kind::BlockEnd) {
                return Err(self.fail("Expected an expression, got 'end of statement block'"));
            }
            let test = self.tuple_without_condition()?;
            let (body, end) = self.body(&["elif", "else", "endif"])?;
            arms.push((test, body));
            match end {
                "elif" => continue,
                "else" => otherwise = self.body_to("endif")?,
                _ => {}
            }
            return Ok(Stmt::If { arms, otherwise });
        }
    }

    fn for_statement(&mut self) -> Result<Stmt, Error> {
        let target = self.target("in")?;
        self.expect_name("in")?;
        let iter = self.tuple_without_condition()?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        let loops = self.loops;
        let (body, end) = self.body(&["endfor", "else"])?;
        let uses_loop = self.loops > loops;
        let otherwise = if end == "else" { self.body_to("endfor")? } else { Vec::new() };
        Ok(Stmt::For(Arc::new(For { target, iter, test, body, otherwise, recursive, uses_loop })))
    }

    fn set_statement(&mut self) -> Result<Stmt, Error> {
        let target = self.target("=")?;
        if self.skip_op("=") {
            return Ok(Stmt::Set { target, value: self.tuple()? });
        }
        let filters = if self.skip_op("|") { self.filter_chain()? } else { Vec::new() };
        Ok(Stmt::SetBlock { target, filters, body: self.body_to("endset")? })
    }

    fn with_statement(&mut self) -> Result<Stmt, Error> {
        let mut values = Vec::new();
        while self.peek() != Some(&Kind::BlockEnd) {
            if !values.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.target("=")?;
            self.expect_op("=")?;
            values.push((target, self.expression()?));
        }
        Ok(Stmt::With { values, body: self.body_to("endwith")? })
    }

    fn call_statement(&mut self) -> Result<Stmt, Error> {
        let params = if self.is_op("(") { self.signature()? } else { Vec::new() };
        let call = self.expression()?;
        if !matches!(call, Expr::Call(..)) {
            return Err(self.fail("expected call"));
        }
        let from = self.at;
        let body = self.body_to("endcall")?;
        let caller = self.finish_macro(Name { text: "caller".into(), id: CALLER }, params, body, from);
        Ok(Stmt::CallBlock { call, caller: Arc::new(caller) })
    }

    fn macro_rest(&mut self, name: Name, end: &str) -> Result<Macro, Error> {
        let params = self.signature()?;
        let from = self.at;
        let body = self.body_to(end)?;
        Ok(self.finish_macro(name, params, body, from))
    }

    fn finish_macro(&self, name: Name, params: Vec<(Name, Option<Expr>)>, body: Vec<Stmt>, from: usize) -> Macro {
        let mentions = |word: &str| {
            self.tokens[from..self.at.min(self.tokens.len())]
                .iter()
                .any(|t| matches!(&t.kind, Kind::Name(name) if *name == word))
        };
        Macro { name, params, body, varargs: mentions("varargs"), kwargs: mentions("kwargs") }
    }

    fn signature(&mut self) -> Result<Vec<(Name, Option<Expr>)>, Error> {
        self.expect_op("(")?;
        let mut params: Vec<(Name, Option<Expr>)> = Vec::new();
        while !self.is_op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.assignable()?;
            let default = if self.skip_op("=") {
                Some(self.expression()?)
            } else if params.iter().any(|(_, default)| default.is_some()) {
                return Err(self.fail("non-default argument follows default argument"));
            } else {
                None
            };
            params.push((name, default));
        }
        self.expect_op(")")?;
        Ok(params)
    }

    fn assignable(&mut self) -> Result<Name, Error> {
        let text = self.identifier()?;
        if RESERVED.contains(&text) {
            return Err(self.fail(&format!("can't assign to '{text}'")));
        }
        let name = self.names.name(text);
        self.names.bind(&name);
        Ok(name)
    }

    /// What stands before `end`: a name, names with commas, or `namespace.attribute`.
    fn target(&mut self, end: &str) -> Result<Target, Error> {
        let first = self.one_target()?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip_op(",") {
            if self.is_op(end) || self.is_name(end) {
                break;
            }
            all.push(self.one_target()?);
        }
        Ok(Target::Tuple(all))
    }

    fn one_target(&mut self) -> Result<Target, Error> {
        if self.skip_op("(") {
            let inner = self.descend(NESTED, |p| p.target(")"))?;
            self.expect_op(")")?;
            return Ok(inner);
        }
        let name = self.assignable()?;
        if self.skip_op(".") {
            return Ok(Target::Attribute(name, self.identifier()?.into()));
        }
        Ok(Target::Name(name))
    }

    /// `upper|replace(…)`: filters without a value.
    fn filter_chain(&mut self) -> Result<Vec<FilterCall>, Error> {
        let mut all = vec![self.filter_call()?];
        while self.skip_op("|") {
            all.push(self.filter_call()?);
        }
        Ok(all)
    }

    // ---- expressions, loosest first ----

    fn tuple(&mut self) -> Result<Expr, Error> {
        self.tuple_of(Self::expression)
    }

    fn tuple_without_condition(&mut self) -> Result<Expr, Error> {
        self.tuple_of(Self::or)
    }

    fn tuple_of(&mut self, item: fn(&mut Self) -> Result<Expr, Error>) -> Result<Expr, Error> {
        let first = self.descend(1, item)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut height = self.height;
        let mut items = vec![first];
        while self.skip_op(",") {
            if matches!(self.peek(), None | Some(Kind::VariableEnd | Kind::BlockEnd | Kind::Op(")"))) {
                break;
            }
            items.push(self.descend(1, item)?);
            height = height.max(self.height);
        }
        self.grow(height)?;
        Ok(Expr::Tuple(items))
    }

    fn expression(&mut self) -> Result<Expr, Error> {
        self.descend(NESTED, Self::condition)
    }

    fn condition(&mut self) -> Result<Expr, Error> {
        let mut expr = self.or()?;
        while self.skip_name("if") {
            let mut height = self.height;
            let test = self.or()?;
            height = height.max(self.height);
            let otherwise = if self.skip_name("else") {
                let otherwise = self.expression()?;
                Some(Box::new(otherwise))
            } else {
                None
            };
            self.grow(height)?;
            expr = Expr::Cond { test: Box::new(test), then: Box::new(expr), otherwise };
        }
        Ok(expr)
    }

    fn or(&mut self) -> Result<Expr, Error> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            let height = self.height;
            let right = self.and()?;
            self.grow(height)?;
            left = Expr::Or(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, Error> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            let height = self.height;
            let right = self.not()?;
            self.grow(height)?;
            left = Expr::And(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, Error> {
        if self.is_name("not") {
            self.at += 1;
            let inner = self.descend(1, Self::not)?;
            self.grow(0)?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr, Error> {
        let left = self.sum()?;
        let mut height = self.height;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.peek() {
                Some(Kind::Op("==")) => Comparison::Eq,
                Some(Kind::Op("!=")) => Comparison::Ne,
                Some(Kind::Op("<")) => Comparison::Lt,
                Some(Kind::Op("<=")) => Comparison::Le,
                Some(Kind::Op(">")) => Comparison::Gt,
                Some(Kind::Op(">=")) => Comparison::Ge,
                Some(Kind::Name("in")) => Comparison::In,
                Some(Kind::Name("not")) if matches!(self.peek_second(), Some(Kind::Name("in"))) => {
                    self.at += 1;
                    Comparison::NotIn
                }
                _ => break,
            };
            self.at += 1;
            rest.push((comparison, self.sum()?));
            height = height.max(self.height);
        }
        if rest.is_empty() {
            return Ok(left);
        }
        self.grow(height)?;
        Ok(Expr::Compare(Box::new(left), rest))
    }

    fn binary(&mut self, ops: &[(&str, Op)], operand: fn(&mut Self) -> Result<Expr, Error>) -> Result<Expr, Error> {
        let mut left = operand(self)?;
        while let Some(op) = ops.iter().find(|(text, _)| self.is_op(text)).map(|(_, op)| *op) {
            self.at += 1;
            let height = self.height;
            let right = operand(self)?;
            self.grow(height)?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Expr, Error> {
        self.binary(&[("+", Op::Add), ("-", Op::Sub)], Self::concat)
    }

    fn concat(&mut self) -> Result<Expr, Error> {
        let first = self.product()?;
        if !self.is_op("~") {
            return Ok(first);
        }
        let mut height = self.height;
        let mut all = vec![first];
        while self.skip_op("~") {
            all.push(self.product()?);
            height = height.max(self.height);
        }
        self.grow(height)?;
        Ok(Expr::Concat(all))
    }

    fn product(&mut self) -> Result<Expr, Error> {
        let ops = [("*", Op::Mul), ("/", Op::Div), ("//", Op::FloorDiv), ("%", Op::Mod)];
        self.binary(&ops, Self::power)
    }

    fn power(&mut self) -> Result<Expr, Error> {
        self.binary(&[("**", Op::Pow)], |p| p.unary(true))
    }

    fn unary(&mut self, filters: bool) -> Result<Expr, Error> {
        let expr = if self.skip_op("-") {
            let inner = self.descend(1, |p| p.unary(false))?;
            self.grow(0)?;
            Expr::Neg(Box::new(inner))
        } else if self.skip_op("+") {
            let inner = self.descend(1, |p| p.unary(false))?;
            self.grow(0)?;
            Expr::Pos(Box::new(inner))
        } else {
            self.primary()?
        };
        let expr = self.postfix(expr)?;
        if filters { self.filters_and_tests(expr) } else { Ok(expr) }
    }

    fn primary(&mut self) -> Result<Expr, Error> {
        self.height = 1;
        let expr = match self.next() {
            Some(Kind::Name(name)) => match name {
                "true" | "True" => Expr::Const(Value::Bool(true)),
                "false" | "False" => Expr::Const(Value::Bool(false)),
                "none" | "None" => Expr::Const(Value::Null),
                _ => {
                    let name = self.names.name(name);
                    self.loops += usize::from(name.id == LOOP);
                    Expr::Name(name)
                }
            },
            Some(Kind::Text(mut text)) => {
                while let Some(Kind::Text(more)) = self.peek() {
                    text.to_mut().push_str(more);
                    self.at += 1;
                }
                Expr::Const(Value::from(&*text))
            }
            Some(Kind::Int(n)) => Expr::Const(n),
            Some(Kind::Float(x)) => Expr::Const(Value::Float(x)),
            Some(Kind::Op("(")) => {
                if self.skip_op(")") {
                    return Ok(Expr::Tuple(Vec::new()));
                }
                let inner = self.tuple()?;
                self.expect_op(")")?;
                inner
            }
            Some(Kind::Op("[")) => {
                let items = self.items("]")?;
                Expr::List(items)
            }
            Some(Kind::Op("{")) => self.dict()?,
            _ => {
                self.at -= 1;
                let error = self.unexpected("an expression");
                return Err(Error { message: error.message.replace(", expected an expression", ""), ..error });
            }
        };
        Ok(expr)
    }

    fn items(&mut self, end: &str) -> Result<Vec<Expr>, Error> {
        let mut items = Vec::new();
        let mut height = 0;
        while !self.is_op(end) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.is_op(end) {
                    break;
                }
            }
            items.push(self.expression()?);
            height = height.max(self.height);
        }
        self.expect_op(end)?;
        self.height = 0;
        self.grow(height)?;
        Ok(items)
    }

    fn dict(&mut self) -> Result<Expr, Error> {
        let mut pairs = Vec::new();
        let mut height = 0;
        while !self.is_op("}") {
            if !pairs.is_empty() {
                self.expect_op(",")?;
                if self.is_op("}") {
                    break;
                }
            }
            let key = self.expression()?;
            height = height.max(self.height);
            self.expect_op(":")?;
            pairs.push((key, self.expression()?));
            height = height.max(self.height);
        }
        self.expect_op("}")?;
        self.height = 0;
        self.grow(height)?;
        Ok(Expr::Dict(pairs))
    }

    fn postfix(&mut self, mut expr: Expr) -> Result<Expr, Error> {
        loop {
            expr = match self.peek() {
                Some(Kind::Op(".")) => self.attribute(expr)?,
                Some(Kind::Op("[")) => self.subscript(expr)?,
                Some(Kind::Op("(")) => self.call(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    fn attribute(&mut self, expr: Expr) -> Result<Expr, Error> {
        self.at += 1;
        self.grow(0)?;
        match self.next() {
            Some(Kind::Name(name)) => {
                let field = Field { name: name.into(), is_method: methods::of_dictionary(name) };
                Ok(Expr::Attribute(Box::new(expr), field))
            }
            Some(Kind::Int(n)) => Ok(Expr::Item(Box::new(expr), Box::new(Expr::Const(n)))),
            _ => {
                self.at -= 1;
                Err(self.fail("expected name or number"))
            }
        }
    }

    fn subscript(&mut self, expr: Expr) -> Result<Expr, Error> {
        self.at += 1;
        let mut height = self.height;
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut part = 0;
        let mut sliced = false;
        loop {
            if self.is_op("]") {
                break;
            }
            if self.is_op(":") {
                self.at += 1;
                sliced = true;
                part += 1;
                if part > 2 {
                    return Err(self.unexpected("']'"));
                }
                continue;
            }
            let item = if sliced { self.expression()? } else { self.tuple()? };
            height = height.max(self.height);
            match parts.get_mut(part) {
                Some(slot @ None) => *slot = Some(item),
                _ => return Err(self.unexpected("']'")),
            }
        }
        self.expect_op("]")?;
        self.grow(height)?;
        if sliced {
            return Ok(Expr::Slice(Box::new(expr), Box::new(parts)));
        }
        let [Some(index), ..] = parts else {
            return Err(self.fail("expected subscript expression"));
        };
        Ok(Expr::Item(Box::new(expr), Box::new(index)))
    }

    fn call(&mut self, expr: Expr) -> Result<Expr, Error> {
        let height = self.height;
        let args = self.args()?;
        self.grow(height)?;
        Ok(Expr::Call(Box::new(expr), args))
    }

    fn args(&mut self) -> Result<Args, Error> {
        self.expect_op("(")?;
        let mut args = Args::default();
        let mut height = 0;
        let mut first = true;
        while !self.is_op(")") {
            if !first {
                self.expect_op(",")?;
                if self.is_op(")") {
                    break;
                }
            }
            first = false;
            if self.skip_op("**") {
                args.double_star = Some(Box::new(self.expression()?));
            } else if self.skip_op("*") {
                args.star = Some(Box::new(self.expression()?));
            } else if matches!(self.peek(), Some(Kind::Name(_))) && self.peek_second() == Some(&Kind::Op("=")) {
                let name = self.identifier()?;
                if args.named.iter().any(|(known, _)| **known == *name) {
                    let message = format!("keyword argument repeated: {name}");
                    return Err(Error::new("SyntaxError", message).at(self.position()..self.position()));
                }
                self.at += 1;
                args.named.push((name.into(), self.expression()?));
            } else if args.named.is_empty() && args.double_star.is_none() {
                args.positional.push(self.expression()?);
            } else {
                return Err(self.fail("invalid syntax for function call expression"));
            }
            height = height.max(self.height);
        }
        self.expect_op(")")?;
        self.height = height;
        Ok(args)
    }

    fn filters_and_tests(&mut self, mut expr: Expr) -> Result<Expr, Error> {
        loop {
            let height = self.height;
            if self.skip_op("|") {
                let call = self.filter_call()?;
                self.grow(height)?;
                expr = Expr::Filter(Box::new(expr), call);
            } else if self.skip_name("is") {
                expr = self.test(expr, height)?;
            } else if self.is_op("(") {
                expr = self.call(expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn dotted(&mut self) -> Result<Str, Error> {
        let first = self.identifier()?;
        if !self.is_op(".") {
            return Ok(first.into());
        }
        let mut name = first.to_owned();
        while self.skip_op(".") {
            name.push('.');
            name.push_str(self.identifier()?);
        }
        Ok(name.into())
    }

    fn filter_call(&mut self) -> Result<FilterCall, Error> {
        let at = self.position();
        let name = self.dotted()?;
        self.height = 0;
        let args = if self.is_op("(") { self.args()? } else { Args::default() };
        let filter = filters::find(&name, self.engine);
        // Orquesta registers its functions as filters; which there are only the host knows.
        if filter.is_none() && self.engine != Engine::Orquesta {
            let message = format!("No filter named '{name}'.");
            return Err(Error::new("TemplateAssertionError", message).at(at..at + name.len()));
        }
        Ok(FilterCall { name, filter, args })
    }

    fn test(&mut self, value: Expr, height: usize) -> Result<Expr, Error> {
        let negated = self.skip_name("not");
        let at = self.position();
        let name = self.dotted()?;
        self.height = 0;
        let args = if self.is_op("(") {
            self.args()?
        } else if self.starts_operand() {
            if self.is_name("is") {
                return Err(self.fail("You cannot chain multiple tests with is"));
            }
            let operand = self.primary()?;
            let operand = self.postfix(operand)?;
            Args { positional: vec![operand], ..Args::default() }
        } else {
            Args::default()
        };
        self.grow(height)?;
        let Some(check) = checks::find(&name) else {
            let message = format!("No test named '{name}'.");
            return Err(Error::new("TemplateAssertionError", message).at(at..at + name.len()));
        };
        Ok(Expr::Test { value: Box::new(value), check, args, negated })
    }

    fn starts_operand(&self) -> bool {
        match self.peek() {
            // All others are taken for an operand, `if` and `in` too, which then fails: as in Jinja.
            Some(Kind::Name(name)) => !matches!(*name, "else" | "or" | "and"),
            Some(Kind::Text(_) | Kind::Int(_) | Kind::Float(_) | Kind::Op("(" | "[" | "{")) => true,
            _ => false,
        }
    }
}
