//! JSON paths: `people[*].first`, `a..b`, `$.x[0:2]`, `a|b`.
//!
//! The dialect is that of StackStorm's library, with its habits: `[*]` of what is no list is the thing itself; of the
//! signs `..` binds loosest, then `.`, `|`, `&` and `where`; and a bracket takes all that stands before it, so that
//! `a.b|c[0]` is the first of what `a.b|c` finds. There are no filters in brackets and no steps in slices.

use super::Given;
use crate::{Budget, Error};
use squall_model::Value;
use std::rc::Rc;

/// How deep parentheses and paths may nest.
const DEEPEST: usize = 64;

#[derive(Debug)]
enum Path {
    Root,
    This,
    Parent,
    Fields(Vec<String>),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Both(Sign, Box<Path>, Box<Path>),
}

/// What stands between two paths, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Descendants,
    Child,
    Union,
    Intersect,
    Where,
}

/// `jsonpath_query`: what matches, or null when nothing does.
pub(super) fn query(given: &Given<'_>) -> Result<Value, Error> {
    let Value::Str(text) = given.value(1) else { return Err(bad("the query must be a string")) };
    let found = select(&given.value(0), &text, given.budget)?;
    Ok(if found.is_empty() { Value::Null } else { Value::from(found) })
}

/// All values in `value` that the path `text` matches.
pub fn select(value: &Value, text: &str, budget: &Budget) -> Result<Vec<Value>, Error> {
    let path = Parser::parse(text)?;
    let root = Rc::new(Datum { value: value.clone(), context: None });
    let found = Finder { budget }.find(&path, &root)?;
    Ok(found.into_iter().map(|datum| datum.value.clone()).collect())
}

fn bad(message: impl Into<String>) -> Error {
    Error::new("JsonPathLexerError", message)
}

// ---- reading ----

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Sign(Sign),
    Symbol(char),
    Name(String),
    /// A word in back quotes.
    Operator(String),
    Number(i64),
}

fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let rest = &text[at..];
        let mut take = |len: usize| {
            while chars.next_if(|(next, _)| *next < at + len).is_some() {}
        };
        tokens.push(match c {
            ' ' | '\t' | '\n' => continue,
            '.' if rest.starts_with("..") => {
                take(2);
                Token::Sign(Sign::Descendants)
            }
            '.' => Token::Sign(Sign::Child),
            '|' => Token::Sign(Sign::Union),
            '&' => Token::Sign(Sign::Intersect),
            '*' | '[' | ']' | '(' | ')' | '$' | ',' | ':' => Token::Symbol(c),
            '\'' | '"' | '`' => {
                let (inside, len) = quoted(rest, c)?;
                take(len);
                if c == '`' { Token::Operator(inside) } else { Token::Name(inside) }
            }
            c if c == '_' || c == '@' || c.is_ascii_alphabetic() => {
                let is_name = |c: char| matches!(c, '_' | '@' | '-') || c.is_ascii_alphanumeric();
                let len = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                take(len);
                if &rest[..len] == "where" { Token::Sign(Sign::Where) } else { Token::Name(rest[..len].to_owned()) }
            }
            c if c == '-' || c.is_ascii_digit() => {
                let len = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |len| len + 1);
                take(len);
                Token::Number(rest[..len].parse().map_err(|_| unexpected(at, c))?)
            }
            c => return Err(unexpected(at, c)),
        });
    }
    Ok(tokens)
}

fn unexpected(at: usize, c: char) -> Error {
    bad(format!("Error on line 1, col {at}: Unexpected character: {c}"))
}

/// What stands between quotes, and how many bytes it takes with them.
fn quoted(text: &str, quote: char) -> Result<(String, usize), Error> {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => inside.extend(chars.next().map(|(_, c)| c)),
            c if c == quote => return Ok((inside, at + c.len_utf8())),
            c => inside.push(c),
        }
    }
    Err(bad("Unexpected EOF in string literal or identifier"))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    nesting: usize,
}

impl Parser {
    fn parse(text: &str) -> Result<Path, Error> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, nesting: 0 };
        let path = parser.path()?;
        if parser.at < parser.tokens.len() { Err(parser.wrong()) } else { Ok(path) }
    }

    fn wrong(&self) -> Error {
        match self.tokens.get(self.at) {
            Some(token) => bad(format!("Parse error near token {token:?}")),
            None => bad("Parse error near the end of string!"),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: char) -> Result<(), Error> {
        if self.take(symbol) { Ok(()) } else { Err(self.wrong()) }
    }

    fn count(&mut self) -> Result<(), Error> {
        self.nesting += 1;
        if self.nesting > DEEPEST { Err(bad("path too long")) } else { Ok(()) }
    }

    /// A whole path: brackets apply to all of it so far.
    fn path(&mut self) -> Result<Path, Error> {
        let first = self.one()?;
        let mut left = self.signs(first, Sign::Descendants)?;
        while self.peek() == Some(&Token::Symbol('[')) {
            self.count()?;
            let inside = self.bracket()?;
            let child = Path::Both(Sign::Child, Box::new(left), Box::new(inside));
            left = self.signs(child, Sign::Descendants)?;
        }
        Ok(left)
    }

    /// What follows `left` with signs that bind at least as tight as `loosest`.
    fn signs(&mut self, mut left: Path, loosest: Sign) -> Result<Path, Error> {
        while let Some(Token::Sign(sign)) = self.peek().cloned()
            && sign >= loosest
        {
            self.at += 1;
            self.count()?;
            let mut right = self.one()?;
            while let Some(Token::Sign(next)) = self.peek()
                && *next > sign
            {
                let next = *next;
                right = self.signs(right, next)?;
            }
            left = Path::Both(sign, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Path, Error> {
        let token = self.peek().cloned();
        match token {
            Some(Token::Symbol('$')) => {
                self.at += 1;
                Ok(Path::Root)
            }
            Some(Token::Symbol('*')) => {
                self.at += 1;
                Ok(Path::Fields(vec!["*".to_owned()]))
            }
            Some(Token::Symbol('(')) => {
                self.at += 1;
                self.count()?;
                let inner = self.path()?;
                self.expect(')')?;
                Ok(inner)
            }
            Some(Token::Symbol('[')) => self.bracket(),
            Some(Token::Operator(name)) => {
                self.at += 1;
                match name.as_str() {
                    "this" => Ok(Path::This),
                    "parent" => Ok(Path::Parent),
                    name => Err(bad(format!("Unknown named operator `{name}`"))),
                }
            }
            _ => self.fields(),
        }
    }

    fn fields(&mut self) -> Result<Path, Error> {
        let mut names = Vec::new();
        loop {
            match self.peek().cloned() {
                Some(Token::Name(name)) => names.push(name),
                _ => return Err(self.wrong()),
            }
            self.at += 1;
            if !self.take(',') {
                return Ok(Path::Fields(names));
            }
        }
    }

    fn number(&mut self) -> Option<i64> {
        match self.peek() {
            Some(Token::Number(n)) => {
                let n = *n;
                self.at += 1;
                Some(n)
            }
            _ => None,
        }
    }

    fn bracket(&mut self) -> Result<Path, Error> {
        self.expect('[')?;
        let path = if self.take('*') {
            Path::Slice(None, None)
        } else if let Some(Token::Name(_)) = self.peek() {
            self.fields()?
        } else {
            match (self.number(), self.take(':')) {
                (first, true) => Path::Slice(first, self.number()),
                (Some(index), false) => Path::Index(index),
                (None, false) => return Err(self.wrong()),
            }
        };
        self.expect(']')?;
        Ok(path)
    }
}

// ---- finding ----

/// A value, and the one in which it was found.
struct Datum {
    value: Value,
    context: Option<Rc<Datum>>,
}

type Found = Vec<Rc<Datum>>;

struct Finder<'f> {
    budget: &'f Budget,
}

impl Finder<'_> {
    fn find(&self, path: &Path, datum: &Rc<Datum>) -> Result<Found, Error> {
        self.budget.step(1)?;
        let found = match path {
            Path::Root => {
                let mut root = datum;
                while let Some(context) = &root.context {
                    root = context;
                }
                vec![root.clone()]
            }
            Path::This => vec![datum.clone()],
            Path::Parent => match &datum.context {
                Some(context) => vec![context.clone()],
                None => return Err(Error::new("AttributeError", "the root has no parent")),
            },
            Path::Fields(names) if names.iter().any(|name| name == "*") => {
                datum.value.as_map().into_iter().flat_map(|map| map.values()).map(|v| inside(datum, v)).collect()
            }
            Path::Fields(names) => {
                names.iter().filter_map(|name| datum.value.get(name)).map(|v| inside(datum, v)).collect()
            }
            Path::Index(index) => self.slot(datum, *index)?.iter().map(|v| inside(datum, v)).collect(),
            Path::Slice(start, end) => self.slice(datum, *start, *end)?,
            Path::Both(sign, left, right) => self.both(*sign, left, right, datum)?,
        };
        self.budget.bytes(48 * found.len() as u64)?;
        Ok(found)
    }

    fn both(&self, sign: Sign, left: &Path, right: &Path, datum: &Rc<Datum>) -> Result<Found, Error> {
        let mut all = Vec::new();
        match sign {
            Sign::Union => {
                all = self.find(left, datum)?;
                all.extend(self.find(right, datum)?);
            }
            Sign::Intersect => return Err(Error::new("NotImplementedError", "`&` of paths is not implemented")),
            Sign::Child => {
                for one in self.find(left, datum)? {
                    all.extend(self.find(right, &one)?);
                }
            }
            Sign::Descendants => {
                for one in self.find(left, datum)? {
                    self.descend(right, &one, 0, &mut all)?;
                }
            }
            Sign::Where => {
                for one in self.find(left, datum)? {
                    if !self.find(right, &one)?.is_empty() {
                        all.push(one);
                    }
                }
            }
        }
        Ok(all)
    }

    /// The member `index` as Python sees it, who asks for the length first.
    fn slot(&self, datum: &Datum, index: i64) -> Result<Option<Value>, Error> {
        let length = match &datum.value {
            Value::List(items) => items.len(),
            Value::Map(map) => map.len(),
            Value::Str(text) => text.chars().count(),
            other => return Err(no_length(other)),
        };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        if length <= index {
            return Ok(None);
        }
        let at = if index < 0 { index + length } else { index };
        let at = usize::try_from(at).map_err(|_| Error::new("IndexError", "list index out of range"));
        match &datum.value {
            Value::List(items) => Ok(items.get(at?).cloned()),
            Value::Str(text) => Ok(text.chars().nth(at?).map(|c| Value::from(c.to_string()))),
            _ => Err(Error::new("KeyError", index.to_string())),
        }
    }

    fn slice(&self, datum: &Rc<Datum>, start: Option<i64>, end: Option<i64>) -> Result<Found, Error> {
        let whole = match &datum.value {
            Value::List(_) => datum.clone(),
            Value::Null | Value::Float(_) | Value::Special(_) => return Err(no_length(&datum.value)),
            single => Rc::new(Datum { value: Value::from(vec![single.clone()]), context: datum.context.clone() }),
        };
        let items = whole.value.as_list().unwrap_or_default();
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let place = |at: i64| {
            let at = if at < 0 { at.saturating_add(length).max(0) } else { at.min(length) };
            usize::try_from(at).unwrap_or(0)
        };
        let (start, end) = (start.map_or(0, place), end.map_or(items.len(), place));
        self.budget.step(end.saturating_sub(start) as u64)?;
        Ok(items.get(start..end).unwrap_or_default().iter().map(|v| inside(&whole, v)).collect())
    }

    fn descend(&self, path: &Path, datum: &Rc<Datum>, depth: usize, all: &mut Found) -> Result<(), Error> {
        if depth > crate::python::DEEPEST {
            return Err(Error::limit("values nested too deeply"));
        }
        all.extend(self.find(path, datum)?);
        let mut each = |value: &Value| self.descend(path, &inside(datum, value), depth + 1, all);
        match &datum.value {
            Value::List(items) => items.iter().try_for_each(&mut each),
            Value::Map(map) => map.values().try_for_each(&mut each),
            _ => Ok(()),
        }
    }
}

fn inside(context: &Rc<Datum>, value: &Value) -> Rc<Datum> {
    Rc::new(Datum { value: value.clone(), context: Some(context.clone()) })
}

fn no_length(value: &Value) -> Error {
    let name = match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Float(_) => "float",
        _ => "int",
    };
    Error::new("TypeError", format!("object of type '{name}' has no len()"))
}
