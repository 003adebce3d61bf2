//! The grammar: operators by strength over a handful of primaries.
//!
//! Recursion is bounded by [`DEEPEST`], and so is the depth of the tree that comes out, because evaluating,
//! printing and dropping it recurse too.

use super::lexer::{Lexer, Token};
use super::table;
use super::tree::{Arg, BINARY, Binary, Call, INDEX, Node, UNARY, Variable};
use crate::{Error, functions};
use squall_model::Value;

/// How deep a tree may be.
pub(super) const DEEPEST: u32 = 200;
/// The longest text that is read, in bytes.
const LONGEST: usize = 1 << 20;

struct Parser<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    token: Token,
    at: usize,
    nesting: u32,
}

/// A node and the depth of its tree.
type Deep = (Node, u32);

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    if text.len() > LONGEST {
        return Err(Error::limit("text longer than 1 MiB"));
    }
    let mut lexer = Lexer::new(text);
    let (token, at) = lexer.next()?;
    let mut parser = Parser { text, lexer, token, at, nesting: 0 };
    let (node, _) = parser.expression(0)?;
    match parser.token {
        Token::End => Ok(node),
        _ => parser.unexpected(),
    }
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<Token, Error> {
        let (token, at) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(s) if s == symbol)
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Error> {
        if !self.is(symbol) {
            return self.unexpected();
        }
        self.advance().map(drop)
    }

    fn unexpected<T>(&self) -> Result<T, Error> {
        let token = match &self.token {
            Token::End => {
                let end = self.text.len();
                let error = Error::new("YaqlGrammarException", "Parse error: unexpected end of statement");
                return Err(error.at(end..end));
            }
            Token::Constant(value) => crate::python::str(value),
            Token::Keyword(name) | Token::Function(name) => name.clone(),
            Token::Variable(name) => format!("${name}"),
            Token::Symbol(symbol) => (*symbol).to_string(),
        };
        let position = self.text.get(..self.at).unwrap_or_default().chars().count();
        let message = format!("Parse error: unexpected '{token}' at position {position} of expression '{}'", self.text);
        let width = self.text.get(self.at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Err(Error::new("YaqlGrammarException", message).at(self.at..self.at + width))
    }

    fn deeper(depth: u32) -> Result<u32, Error> {
        if depth >= DEEPEST { Err(Error::limit("nested too deeply")) } else { Ok(depth + 1) }
    }

    fn expression(&mut self, least: u8) -> Result<Deep, Error> {
        self.nesting = Self::deeper(self.nesting)?;
        let mut left = self.primary()?;
        loop {
            let Token::Symbol(symbol) = self.token else { break };
            if symbol == "[" && INDEX >= least {
                self.advance()?;
                let (args, depth) = self.args("]")?;
                let depth = Self::deeper(left.1.max(depth))?;
                left = (Node::Index(Box::new(left.0), args), depth);
                continue;
            }
            let Some(&(_, operator, strength)) = BINARY.iter().find(|(s, ..)| *s == symbol) else { break };
            if strength < least {
                break;
            }
            self.advance()?;
            let right = self.expression(if operator == Binary::Send { strength } else { strength + 1 })?;
            let depth = Self::deeper(left.1.max(right.1))?;
            left = (Node::Binary(operator, Box::new((left.0, right.0))), depth);
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn primary(&mut self) -> Result<Deep, Error> {
        if let Token::Symbol(symbol) = self.token {
            return self.bracketed_or_prefixed(symbol);
        }
        if self.token == Token::End {
            return self.unexpected();
        }
        let node = match self.advance()? {
            Token::Constant(value) => Node::Constant(value),
            Token::Keyword(name) => Node::Keyword(name.into()),
            Token::Variable(name) => Node::Variable(Variable::new(&name)),
            Token::Function(name) => {
                let (args, depth) = self.args(")")?;
                let group = table::find(&name);
                let is_pure = functions::is_known(&name);
                return Ok((Node::Call(Call { name: name.into(), group, is_pure, args }), Self::deeper(depth)?));
            }
            Token::Symbol(_) | Token::End => Node::Constant(Value::Null),
        };
        Ok((node, 1))
    }

    fn bracketed_or_prefixed(&mut self, symbol: &'static str) -> Result<Deep, Error> {
        if let Some(&(_, operator, strength)) = UNARY.iter().find(|(s, ..)| *s == symbol) {
            self.advance()?;
            let (operand, depth) = self.expression(strength)?;
            return Ok((Node::Unary(operator, Box::new(operand)), Self::deeper(depth)?));
        }
        match symbol {
            "(" => {
                self.advance()?;
                let (inner, depth) = self.expression(0)?;
                self.expect(")")?;
                Ok((Node::Wrap(Box::new(inner)), Self::deeper(depth)?))
            }
            "[" => {
                self.advance()?;
                let (args, depth) = self.args("]")?;
                Ok((Node::List(args), Self::deeper(depth)?))
            }
            "{" => {
                self.advance()?;
                let (args, depth) = self.args("}")?;
                Ok((Node::Map(args), Self::deeper(depth)?))
            }
            _ => self.unexpected(),
        }
    }

    /// Arguments up to and with `end`: positional ones, which may be skipped, then `key => value`.
    fn args(&mut self, end: &'static str) -> Result<(Box<[Arg]>, u32), Error> {
        let mut args = Vec::new();
        let mut deepest = 0;
        let mut named = false;
        if self.is(end) {
            self.advance()?;
            return Ok((args.into(), 0));
        }
        loop {
            if self.is(",") && !named {
                self.advance()?;
                args.push(Arg::Skipped);
                continue;
            }
            let (value, depth) = self.expression(0)?;
            deepest = deepest.max(depth);
            if self.is("=>") {
                // Only skipped arguments cannot stand directly before a named one without a positional.
                if args.iter().all(|a| matches!(a, Arg::Skipped)) && !args.is_empty() {
                    return self.unexpected();
                }
                self.advance()?;
                let (target, depth) = self.expression(0)?;
                deepest = deepest.max(depth);
                args.push(Arg::Named(value, target));
                named = true;
            } else if named {
                return self.unexpected();
            } else {
                args.push(Arg::Positional(value));
            }
            if self.is(end) {
                self.advance()?;
                return Ok((args.into(), deepest));
            }
            self.expect(",")?;
        }
    }
}
