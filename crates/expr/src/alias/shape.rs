//! Formats that are true regular expressions: their anchors, what they must hold, and the engine that runs them.
//!
//! The expression is read twice: here, to see what StackStorm looks for in the parsed expression (anchors)
//! and what the prefilter needs (literal text), and by the engine. Reading here is only a look at the shape;
//! what is valid is decided by the engine.

use super::{Groups, blank, slots};
use crate::pattern::{self, Anchor, Flags};
use crate::{Budget, Error, Limits};
use squall_model::Str;

/// Alternatives and groups nested deeper than this are not looked into.
const MAX_NESTING: u32 = 60;

/// In a format a dot matches line feeds too.
const EXACT: Flags = Flags { dot_all: true, ignore_case: false, multi_line: false, verbose: false, ascii: false };

/// What a bot's second try ignores.
const LOOSE: Flags = Flags { ignore_case: true, ..EXACT };

/// A compiled format.
#[derive(Debug)]
pub(super) struct Pattern {
    /// With anchors added where StackStorm adds them.
    source: String,
    exact: pattern::Pattern,
    names: Vec<(usize, Str)>,
    literal: Option<String>,
}

impl Pattern {
    pub(super) fn new(expression: &str) -> Result<Pattern, Error> {
        let shape = Reader::read(expression)?;
        let mut source = String::new();
        if !anchored(&shape, &Node::Start) {
            source.push_str(r"^\s*");
        }
        source.push_str(expression);
        if !anchored(&shape, &Node::End) {
            source.push_str(r"\s*$");
        }
        let exact = pattern::compile(&source, EXACT)?;
        let names = exact.group_names().iter().enumerate();
        let names: Vec<(usize, Str)> = names.filter_map(|(i, name)| Some((i + 1, name.as_deref()?.into()))).collect();
        for (_, name) in &names {
            slots::check_name(name)?;
        }
        let literal = if shape.ignores_case { None } else { longest(&shape.nodes) };
        let literal = literal.map(|l| l.trim_matches(blank).to_owned());
        Ok(Pattern { exact, source, names, literal })
    }

    pub(super) fn longest_literal(&self) -> Option<String> {
        self.literal.clone()
    }

    pub(super) fn find(&self, stream: &str, ignore_case: bool) -> Result<Option<Groups>, Error> {
        let found = if ignore_case {
            pattern::compile(&self.source, LOOSE)?.captures(stream, Anchor::Anywhere)?
        } else {
            self.exact.captures(stream, Anchor::Anywhere)?
        };
        Ok(found.map(|found| self.groups(stream, &found)))
    }

    pub(super) fn find_all(&self, stream: &str) -> Result<Vec<Groups>, Error> {
        let found = self.exact.find_all(stream, 0, &Budget::new(&Limits::default()))?;
        Ok(found.iter().map(|one| self.groups(stream, one)).collect())
    }

    fn groups(&self, stream: &str, found: &pattern::Match) -> Groups {
        let text = |i: usize| found.groups.get(i).cloned().flatten().and_then(|range| stream.get(range));
        self.names.iter().map(|(i, name)| (name.clone(), text(*i).map(str::to_owned))).collect()
    }
}

/// Whether what follows a brace is a repetition: `3}`, `1,}`, `,5}` or `1,5}`. Otherwise Python takes it literally.
fn counts(rest: &str) -> bool {
    let Some((inside, _)) = rest.split_once('}') else { return false };
    let (min, max) = inside.split_once(',').unwrap_or((inside, "0"));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    !inside.is_empty() && inside != "," && digits(min) && digits(max)
}

/// A parsed expression, as far as its shape matters.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Literal(char),
    /// One character that is not known.
    Any,
    Start,
    End,
    /// A look-around or another condition without width.
    Condition,
    Group(Vec<Node>),
    Branch(Vec<Vec<Node>>),
    Repeat {
        min: u32,
        body: Box<Node>,
    },
}

struct Shape {
    nodes: Vec<Node>,
    ignores_case: bool,
}

/// Whether StackStorm sees the anchor: it enters groups, but no repetitions or look-arounds, and of a branch
/// only the second alternative (Python moves a common beginning of all alternatives out of the branch).
fn anchored(shape: &Shape, anchor: &Node) -> bool {
    fn search(nodes: &[Node], anchor: &Node) -> bool {
        nodes.iter().any(|node| match node {
            Node::Group(inner) => search(inner, anchor),
            Node::Branch(alternatives) => {
                let common = (0..)
                    .take_while(|&i| {
                        let first = alternatives[0].get(i);
                        first.is_some() && alternatives.iter().all(|a| a.get(i) == first)
                    })
                    .count();
                search(&alternatives[0][..common], anchor)
                    || alternatives.get(1).is_some_and(|second| search(&second[common..], anchor))
            }
            node => node == anchor,
        })
    }
    search(&shape.nodes, anchor)
}

/// The longest run of literal characters that every match holds.
fn longest(nodes: &[Node]) -> Option<String> {
    fn walk(nodes: &[Node], run: &mut String, best: &mut String) {
        for node in nodes {
            match node {
                Node::Literal(c) => run.push(*c),
                Node::Start | Node::End | Node::Condition => {}
                Node::Group(inner) => walk(inner, run, best),
                Node::Any | Node::Branch(_) => settle(run, best),
                Node::Repeat { min, body } => {
                    if *min > 0 {
                        walk(std::slice::from_ref(body), run, best);
                    }
                    settle(run, best);
                }
            }
        }
    }
    fn settle(run: &mut String, best: &mut String) {
        if run.len() > best.len() {
            std::mem::swap(run, best);
        }
        run.clear();
    }
    let (mut run, mut best) = (String::new(), String::new());
    walk(nodes, &mut run, &mut best);
    settle(&mut run, &mut best);
    Some(best).filter(|best| !best.is_empty())
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    ignores_case: bool,
}

impl Reader<'_> {
    fn read(expression: &str) -> Result<Shape, Error> {
        let mut reader = Reader { chars: expression.chars().peekable(), ignores_case: false };
        let nodes = reader.alternatives(0)?;
        if reader.chars.next().is_some() {
            return Err(Error::new("error", "unbalanced parenthesis"));
        }
        Ok(Shape { nodes, ignores_case: reader.ignores_case })
    }

    fn alternatives(&mut self, depth: u32) -> Result<Vec<Node>, Error> {
        if depth > MAX_NESTING {
            return Err(Error::limit("alias format is nested too deeply"));
        }
        let mut all = vec![Vec::new()];
        loop {
            match self.chars.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.chars.next();
                    all.push(Vec::new());
                }
                Some(_) => {
                    let node = self.item(depth)?;
                    let current = all.last_mut().expect("starts with one");
                    self.repeated(node, current);
                }
            }
        }
        if all.len() == 1 { Ok(all.swap_remove(0)) } else { Ok(vec![Node::Branch(all)]) }
    }

    /// Wraps `node` in the repetition that follows, if any.
    fn repeated(&mut self, node: Node, into: &mut Vec<Node>) {
        let mut node = node;
        loop {
            let rest: String = match self.chars.peek() {
                Some('{') => self.chars.clone().skip(1).collect(),
                _ => String::new(),
            };
            let min = match self.chars.peek() {
                Some('*' | '?') => 0,
                Some('+') => 1,
                Some('{') if counts(&rest) => {
                    let inside = rest.split('}').next().unwrap_or_default();
                    self.chars.nth(inside.chars().count());
                    inside.split(',').next().and_then(|min| min.parse().ok()).unwrap_or(0)
                }
                _ => break,
            };
            self.chars.next();
            node = Node::Repeat { min, body: Box::new(node) };
        }
        into.push(node);
    }

    fn item(&mut self, depth: u32) -> Result<Node, Error> {
        Ok(match self.chars.next() {
            Some('^') => Node::Start,
            Some('$') => Node::End,
            Some('.') => Node::Any,
            Some('[') => self.class()?,
            Some('(') => self.group(depth)?,
            Some('\\') => self.escape()?,
            Some(c) => Node::Literal(c),
            None => Node::Condition,
        })
    }

    fn escape(&mut self) -> Result<Node, Error> {
        let Some(c) = self.chars.next() else {
            return Err(Error::new("error", "bad escape (end of pattern)"));
        };
        Ok(match c {
            'A' => Node::Start,
            'Z' => Node::End,
            'b' | 'B' => Node::Condition,
            c if c.is_ascii_alphanumeric() => {
                // Escapes of several characters (`\x41`, `\u0041`, `\12`) leave their digits to be read as
                // literals, which would be wrong for the prefilter; take them here.
                let digits = match c {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    '0'..='9' => 2,
                    _ => 0,
                };
                for _ in 0..digits {
                    if self.chars.peek().is_some_and(char::is_ascii_hexdigit) {
                        self.chars.next();
                    }
                }
                Node::Any
            }
            c => Node::Literal(c),
        })
    }

    fn class(&mut self) -> Result<Node, Error> {
        let mut first = true;
        if self.chars.peek() == Some(&'^') {
            self.chars.next();
        }
        loop {
            match self.chars.next() {
                Some(']') if !first => return Ok(Node::Any),
                Some('\\') => {
                    self.chars.next();
                }
                Some(_) => {}
                None => return Err(Error::new("error", "unterminated character set")),
            }
            first = false;
        }
    }

    fn group(&mut self, depth: u32) -> Result<Node, Error> {
        let mut look = false;
        if self.chars.peek() == Some(&'?') {
            self.chars.next();
            match self.chars.next() {
                Some('P') => match self.chars.next() {
                    Some('<') => self.skip_past('>'),
                    _ => {
                        self.skip_to_close();
                        return self.close(Node::Condition);
                    }
                },
                Some('<') => match self.chars.next() {
                    Some('=' | '!') => look = true,
                    _ => return Err(Error::new("error", "unknown extension ?<")),
                },
                Some('=' | '!') => look = true,
                Some(':' | '>') => {}
                Some('#' | '(') => {
                    self.skip_to_close();
                    return self.close(Node::Condition);
                }
                Some(flag) => {
                    let mut on = true;
                    let mut next = Some(flag);
                    loop {
                        match next {
                            Some('i') if on => self.ignores_case = true,
                            Some('-') => on = false,
                            Some(')') => return Ok(Node::Condition),
                            Some(':') => break,
                            None => return Err(Error::new("error", "missing -, : or )")),
                            Some(_) => {}
                        }
                        next = self.chars.next();
                    }
                }
                None => return Err(Error::new("error", "unexpected end of pattern")),
            }
        }
        let inner = self.alternatives(depth + 1)?;
        self.close(if look { Node::Condition } else { Node::Group(inner) })
    }

    fn close(&mut self, node: Node) -> Result<Node, Error> {
        match self.chars.next() {
            Some(')') => Ok(node),
            _ => Err(Error::new("error", "missing ), unterminated subpattern")),
        }
    }

    fn skip_past(&mut self, end: char) {
        for c in self.chars.by_ref() {
            if c == end {
                break;
            }
        }
    }

    fn skip_to_close(&mut self) {
        while self.chars.peek().is_some_and(|&c| c != ')') {
            self.chars.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn anchors(expression: &str, start: bool, end: bool) {
        let shape = Reader::read(expression).unwrap();
        assert_eq!((anchored(&shape, &Node::Start), anchored(&shape, &Node::End)), (start, end), "{expression}");
    }

    #[test]
    fn anchors_are_seen_as_the_original_sees_them() {
        anchors(r"(?:\s+|^)x", true, false);
        anchors(r"(?:^|\s+)x(?:$|\s+)", false, false);
        anchors(r"((?P<k>[A-Z]+-\d+)|^$)", true, true);
        anchors(r"(^a)?b\$", false, false);
        anchors(r"\Aa\Z", true, true);
        anchors(r"[^$]x", false, false);
        anchors(r"(?:^a|^b)", true, false);
    }

    #[track_caller]
    fn literal(expression: &str, expected: Option<&str>) {
        assert_eq!(longest(&Reader::read(expression).unwrap().nodes).as_deref(), expected, "{expression}");
    }

    #[test]
    fn literals_that_must_occur() {
        literal("(show|list) thing17 x?", Some(" thing17 "));
        literal(r"a\.b+c", Some("a.b"));
        literal("(?:please )?go", Some("go"));
        literal(r"\x41bc{2,}d", Some("bc"));
        literal("a|b", None);
    }
}
