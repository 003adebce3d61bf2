//! JSON paths: `people[*].first`, `a..b`, `$.x[0:2]`, `a|b`.
//!
//! The dialect is that of StackStorm's library: no filters in brackets, `[*]` of what is no list is the thing
//! itself, and the members of `..` come before those further down.

use super::Given;
use crate::{Budget, Error};
use squall_model::Value;

/// How deep parentheses and paths may nest.
const DEEPEST: usize = 64;

#[derive(Debug)]
enum Path {
    Root,
    This,
    Fields(Vec<String>),
    AllFields,
    Index(i64),
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Child(Box<Path>, Box<Path>),
    Descendants(Box<Path>, Box<Path>),
    Union(Box<Path>, Box<Path>),
    Where(Box<Path>, Box<Path>),
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
    let finder = Finder { root: value, budget };
    finder.find(&path, value)
}

fn bad(message: impl Into<String>) -> Error {
    Error::new("JsonPathLexerError", message)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    nesting: usize,
}

impl<'t> Parser<'t> {
    fn parse(text: &'t str) -> Result<Path, Error> {
        let mut parser = Parser { text, at: 0, nesting: 0 };
        let path = parser.union()?;
        match parser.peek() {
            None => Ok(path),
            Some(c) => Err(parser.unexpected(c)),
        }
    }

    fn unexpected(&self, c: char) -> Error {
        bad(format!("Error on line 1, col {}: Unexpected character: {c}", self.at))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&mut self) -> Option<char> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    fn union(&mut self) -> Result<Path, Error> {
        let mut left = self.filtered()?;
        while self.take("|") {
            left = Path::Union(Box::new(left), Box::new(self.filtered()?));
            self.count()?;
        }
        Ok(left)
    }

    fn filtered(&mut self) -> Result<Path, Error> {
        let mut left = self.steps()?;
        while self.peek() == Some('w') && self.rest().starts_with("where ") {
            self.at += "where".len();
            left = Path::Where(Box::new(left), Box::new(self.steps()?));
            self.count()?;
        }
        Ok(left)
    }

    fn count(&mut self) -> Result<(), Error> {
        self.nesting += 1;
        if self.nesting > DEEPEST { Err(bad("path too long")) } else { Ok(()) }
    }

    fn steps(&mut self) -> Result<Path, Error> {
        let mut path = self.step()?;
        loop {
            self.count()?;
            if self.take("..") {
                path = Path::Descendants(Box::new(path), Box::new(self.step()?));
            } else if self.take(".") {
                path = Path::Child(Box::new(path), Box::new(self.step()?));
            } else if self.peek() == Some('[') {
                path = Path::Child(Box::new(path), Box::new(self.bracket()?));
            } else {
                return Ok(path);
            }
        }
    }

    fn step(&mut self) -> Result<Path, Error> {
        match self.peek() {
            Some('$') => {
                self.at += 1;
                Ok(Path::Root)
            }
            Some('@') if !self.rest().get(1..).is_some_and(|r| r.starts_with(is_name)) => {
                self.at += 1;
                Ok(Path::This)
            }
            Some('`') if self.take("`this`") => Ok(Path::This),
            Some('(') => {
                self.at += 1;
                self.count()?;
                let inner = self.union()?;
                if self.take(")") { Ok(inner) } else { Err(bad("Parse error: missing )")) }
            }
            Some('[') => self.bracket(),
            Some('*') => {
                self.at += 1;
                Ok(Path::AllFields)
            }
            Some(_) => self.fields(),
            None => Err(bad("Parse error near the end of string!")),
        }
    }

    fn fields(&mut self) -> Result<Path, Error> {
        let mut names = vec![self.field()?];
        while self.take(",") {
            names.push(self.field()?);
        }
        Ok(Path::Fields(names))
    }

    fn field(&mut self) -> Result<String, Error> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                let inside = self.rest().get(1..).unwrap_or_default();
                let Some(end) = inside.find(quote) else { return Err(bad("unterminated string")) };
                self.at += end + 2;
                Ok(inside.get(..end).unwrap_or_default().to_string())
            }
            Some(c) if is_name(c) && !c.is_ascii_digit() && c != '-' => {
                let rest = self.rest();
                let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                self.at += length;
                Ok(rest.get(..length).unwrap_or_default().to_string())
            }
            Some(c) => Err(self.unexpected(c)),
            None => Err(bad("Parse error near the end of string!")),
        }
    }

    fn number(&mut self) -> Option<i64> {
        self.peek();
        let rest = self.rest();
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest.get(sign..)?.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - sign);
        let number = rest.get(..sign + digits)?.parse().ok()?;
        self.at += sign + digits;
        Some(number)
    }

    fn bracket(&mut self) -> Result<Path, Error> {
        self.take("[");
        let path = if self.take("*") {
            Path::Slice(None, None, None)
        } else if let Some('\'' | '"') = self.peek() {
            self.fields()?
        } else {
            let first = self.number();
            if self.take(":") {
                let end = self.number();
                let step = if self.take(":") { self.number() } else { None };
                Path::Slice(first, end, step)
            } else {
                match first {
                    Some(index) => Path::Index(index),
                    None => self.fields()?,
                }
            }
        };
        match self.peek() {
            Some(']') => {
                self.at += 1;
                Ok(path)
            }
            Some(c) => Err(self.unexpected(c)),
            None => Err(bad("Parse error near the end of string!")),
        }
    }
}

fn is_name(c: char) -> bool {
    c == '_' || c == '@' || c == '-' || c.is_alphanumeric()
}

struct Finder<'f> {
    root: &'f Value,
    budget: &'f Budget,
}

impl Finder<'_> {
    fn find(&self, path: &Path, value: &Value) -> Result<Vec<Value>, Error> {
        self.budget.step(1)?;
        let found = match path {
            Path::Root => vec![self.root.clone()],
            Path::This => vec![value.clone()],
            Path::Fields(names) => names.iter().filter_map(|name| value.get(name).cloned()).collect(),
            Path::AllFields => value.as_map().map(|map| map.values().cloned().collect()).unwrap_or_default(),
            Path::Index(index) => self.slot(value, *index).into_iter().collect(),
            Path::Slice(start, end, step) => self.slice(value, *start, *end, step.unwrap_or(1))?,
            Path::Child(left, right) => {
                let mut all = Vec::new();
                for one in self.find(left, value)? {
                    all.extend(self.find(right, &one)?);
                }
                all
            }
            Path::Descendants(left, right) => {
                let mut all = Vec::new();
                for one in self.find(left, value)? {
                    self.descend(right, &one, 0, &mut all)?;
                }
                all
            }
            Path::Union(left, right) => {
                let mut all = self.find(left, value)?;
                all.extend(self.find(right, value)?);
                all
            }
            Path::Where(left, right) => {
                let mut all = Vec::new();
                for one in self.find(left, value)? {
                    if !self.find(right, &one)?.is_empty() {
                        all.push(one);
                    }
                }
                all
            }
        };
        self.budget.bytes(24 * found.len() as u64)?;
        Ok(found)
    }

    fn slot(&self, value: &Value, index: i64) -> Option<Value> {
        let items = value.as_list()?;
        let length = i64::try_from(items.len()).ok()?;
        let at = if index < 0 { index + length } else { index };
        items.get(usize::try_from(at).ok()?).cloned()
    }

    fn slice(&self, value: &Value, start: Option<i64>, end: Option<i64>, step: i64) -> Result<Vec<Value>, Error> {
        let single = [value.clone()];
        let items = value.as_list().unwrap_or(&single);
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if step < 1 {
            return Err(bad("a slice needs a positive step"));
        }
        let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at.min(length) };
        let (start, end) = (start.map_or(0, place), end.map_or(length, place));
        let mut found = Vec::new();
        let mut at = start;
        while at < end {
            self.budget.step(1)?;
            found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)).cloned());
            at = at.saturating_add(step);
        }
        Ok(found)
    }

    fn descend(&self, path: &Path, value: &Value, depth: usize, all: &mut Vec<Value>) -> Result<(), Error> {
        if depth > crate::python::DEEPEST {
            return Err(Error::limit("values nested too deeply"));
        }
        let found = match (path, value) {
            // `..*` on a list means its members.
            (Path::AllFields, Value::List(items)) => items.to_vec(),
            _ => self.find(path, value)?,
        };
        all.extend(found);
        match value {
            Value::List(items) => items.iter().try_for_each(|item| self.descend(path, item, depth + 1, all)),
            Value::Map(map) => map.values().try_for_each(|item| self.descend(path, item, depth + 1, all)),
            _ => Ok(()),
        }
    }
}
