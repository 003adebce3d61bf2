//! From events to a checked tree: anchors, merges, duplicate keys and budgets.
//!
//! Budgets are counted while reading, so a hostile text costs as much as its first excess. Aliases share
//! their node; what they would expand to is counted too, because whoever walks the tree pays for it.
//!
//! Start reading at [`parse`].

use crate::error::{Error, Place};
use crate::events::{At, Event, Events, Props, RawStyle, Stopped, What};
use crate::node::{Document, Kind, Node, Span, Style, Warning};
use crate::resolve::{self, Type};
use squall_model::{Special, Str, Value};
use std::collections::HashMap;

/// How a text is read, and what it may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Largest text in bytes.
    pub max_bytes: usize,
    /// Deepest nesting, after aliases are expanded.
    pub max_depth: u32,
    /// Most nodes written.
    pub max_nodes: u64,
    /// Most anchors.
    pub max_anchors: usize,
    /// Refuse duplicate keys and, as the same code in StackStorm does, merges (`<<`).
    pub refuse_duplicates: bool,
}

impl Default for Options {
    /// For metadata: 1 MiB; duplicates are warned about and the last one counts.
    fn default() -> Options {
        Options { max_bytes: 1 << 20, max_depth: 100, max_nodes: 200_000, max_anchors: 1_000, refuse_duplicates: false }
    }
}

impl Options {
    /// For workflow definitions: 4 MiB.
    pub fn workflow() -> Options {
        Options { max_bytes: 4 << 20, ..Options::default() }
    }

    /// For Orquesta definitions, which refuse duplicate keys and merges.
    pub fn orquesta() -> Options {
        Options { refuse_duplicates: true, ..Options::workflow() }
    }
}

/// Reads a text that is one document. An empty text is null.
///
/// ```
/// let doc = squall_yaml::parse("name: core\nenabled: yes\n", &Default::default())?;
/// let enabled = doc.root.get("enabled").expect("written above");
/// assert_eq!(enabled.to_value(), true.into());
/// assert_eq!((enabled.span.line, enabled.span.column), (2, 10));
/// # Ok::<(), squall_yaml::Error>(())
/// ```
pub fn parse(text: &str, options: &Options) -> Result<Document, Error> {
    let mut composer = Composer::start(text, options)?;
    let Some((first, began)) = composer.document()? else {
        return Ok(Document { root: nothing(), warnings: Vec::new() });
    };
    match composer.peek_document()? {
        None => Ok(first),
        Some(second) => Err(Error::within(
            text,
            Some(("expected a single document in the stream".to_string(), began)),
            "but found another document".to_string(),
            second,
        )),
    }
}

/// Reads all documents of a text.
pub fn parse_all(text: &str, options: &Options) -> Result<Vec<Document>, Error> {
    let mut composer = Composer::start(text, options)?;
    let mut documents = Vec::new();
    while let Some((document, _)) = composer.document()? {
        documents.push(document);
    }
    Ok(documents)
}

fn nothing() -> Node {
    let span = Span { start: 0, end: 0, line: 1, column: 1 };
    Node::new(span, Kind::Scalar { value: Value::Null, text: Str::from(""), style: Style::Plain })
}

fn place(at: At) -> Place {
    let from_one = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
    Place { line: from_one(at.line), column: from_one(at.column) }
}

fn start_of(span: Span) -> Place {
    Place { line: span.line, column: span.column }
}

/// An anchor that is being read, or has been.
enum Anchor {
    Open,
    Done(Node),
}

struct Composer<'a> {
    text: &'a str,
    /// Bytes of a byte order mark, which the scanner does not count.
    skipped: usize,
    events: Events<'a>,
    options: &'a Options,
    anchors: HashMap<String, (Anchor, Place)>,
    warnings: Vec<Warning>,
    nodes: u64,
    expanded: u64,
    pending: Option<Event>,
}

impl<'a> Composer<'a> {
    fn start(full: &'a str, options: &'a Options) -> Result<Composer<'a>, Error> {
        if full.len() > options.max_bytes {
            let message = format!("the text has {} bytes, the limit is {}", full.len(), options.max_bytes);
            return Err(Error::bare(message, Place { line: 1, column: 1 }));
        }
        let text = full.strip_prefix('\u{feff}').unwrap_or(full);
        Ok(Composer {
            text,
            skipped: full.len() - text.len(),
            events: Events::new(text),
            options,
            anchors: HashMap::new(),
            warnings: Vec::new(),
            nodes: 0,
            expanded: 0,
            pending: None,
        })
    }

    fn next(&mut self) -> Result<Event, Error> {
        if let Some(event) = self.pending.take() {
            return Ok(event);
        }
        self.events.next().map_err(|stopped| self.scan_error(stopped))
    }

    fn scan_error(&self, stopped: Stopped) -> Error {
        if let Some((byte, character)) = stopped.byte {
            let before = self.text.get(..byte).unwrap_or(self.text);
            let line = before.matches('\n').count();
            let column = before.chars().rev().take_while(|c| *c != '\n').count();
            let message = format!("unacceptable character #x{character:04x}: {}", stopped.problem);
            let at = At { index: 0, line, column };
            return Error::character(message, place(at), before.chars().count());
        }
        let context = stopped.context.map(|(context, at)| (context, place(at)));
        Error::within(self.text, context, stopped.problem, place(stopped.at))
    }

    /// The next document and the place where its content begins.
    fn document(&mut self) -> Result<Option<(Document, Place)>, Error> {
        if self.peek_document()?.is_none() {
            return Ok(None);
        }
        self.pending = None;
        self.anchors.clear();
        let first = self.next()?;
        let began = place(first.start);
        let root = self.node(first, 1).and_then(|root| self.refuse_bare(&root).map(|()| root));
        let root = root.map_err(|error| self.earlier(error))?;
        self.next()?;
        Ok(Some((Document { root, warnings: std::mem::take(&mut self.warnings) }, began)))
    }

    /// PyYAML reads the whole text before it makes values, so what is wrong with the text further down is
    /// what it reports. Reads on within the budgets to find that.
    fn earlier(&mut self, error: Error) -> Error {
        if !error.is_late() {
            return error;
        }
        let mut depth = 0_u32;
        for _ in self.nodes..self.options.max_nodes {
            let event = match self.events.next() {
                Err(stopped) => return self.scan_error(stopped),
                Ok(event) => event,
            };
            let at = place(event.start);
            let props = match &event.what {
                // What follows a document must be able to begin another.
                What::DocumentEnd => match self.events.next() {
                    Err(stopped) => return self.scan_error(stopped),
                    Ok(_) => break,
                },
                What::StreamEnd => break,
                What::Alias(name) if !self.anchors.contains_key(name) => {
                    return Error::new(self.text, "found undefined alias", at);
                }
                What::SeqEnd | What::MapEnd => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                What::SeqStart { props } | What::MapStart { props, .. } => {
                    depth += 1;
                    props
                }
                What::Scalar { props, .. } => props,
                _ => continue,
            };
            if depth > self.options.max_depth {
                break;
            }
            if let Err(earlier) = self.open(props.anchor.as_ref(), at) {
                return earlier;
            }
        }
        error
    }

    /// Where the next document starts, without taking it.
    fn peek_document(&mut self) -> Result<Option<Place>, Error> {
        loop {
            let event = self.next()?;
            match event.what {
                What::StreamEnd => {
                    self.pending = Some(event);
                    return Ok(None);
                }
                What::DocumentStart => {
                    let at = place(event.start);
                    self.pending = Some(event);
                    return Ok(Some(at));
                }
                _ => {}
            }
        }
    }

    fn span(&self, start: At, end: usize) -> Span {
        let Place { line, column } = place(start);
        let start = start.index.min(self.text.len()) + self.skipped;
        Span { start, end: end.max(start), line, column }
    }

    fn end(&self, at: At) -> usize {
        at.index.min(self.text.len()) + self.skipped
    }

    fn node(&mut self, event: Event, depth: u32) -> Result<Node, Error> {
        let at = place(event.start);
        self.nodes += 1;
        self.expanded += 1;
        if self.nodes > self.options.max_nodes {
            return Err(self.excess(format!("more than {} nodes", self.options.max_nodes), at));
        }
        if depth > self.options.max_depth {
            return Err(self.excess(format!("nested more than {} deep", self.options.max_depth), at));
        }
        match event.what {
            What::Alias(name) => self.alias(&name, at, depth),
            What::Scalar { props, text, style, plain, quoted } => {
                let span = self.span(event.start, self.end(event.end));
                let node = self.scalar(span, &props, text, style, (plain, quoted))?;
                self.settle(props.anchor, at, node)
            }
            What::SeqStart { props } => self.seq(event.start, props, depth),
            What::MapStart { props, flow } => self.map(event.start, props, flow, depth),
            // Inside a document nothing else can come.
            _ => Err(Error::new(self.text, "expected a node", at)),
        }
    }

    fn excess(&self, message: String, at: Place) -> Error {
        Error::bare(message, at)
    }

    fn alias(&mut self, name: &str, at: Place, depth: u32) -> Result<Node, Error> {
        let node = match self.anchors.get(name) {
            None => return Err(Error::new(self.text, "found undefined alias", at)),
            Some((Anchor::Open, _)) => {
                return Err(Error::bare(format!("`*{name}` stands inside the node that it names"), at));
            }
            Some((Anchor::Done(node), _)) => node.clone(),
        };
        self.expanded = self.expanded.saturating_add(node.size);
        if self.expanded > self.nodes.saturating_mul(10).saturating_add(10_000) {
            return Err(self.excess("aliases expand to far more nodes than are written".to_string(), at));
        }
        if depth - 1 + node.height > self.options.max_depth {
            return Err(self.excess(format!("aliases nest more than {} deep", self.options.max_depth), at));
        }
        Ok(node)
    }

    fn open(&mut self, anchor: Option<&String>, at: Place) -> Result<(), Error> {
        let Some(name) = anchor else { return Ok(()) };
        if self.anchors.len() >= self.options.max_anchors {
            return Err(self.excess(format!("more than {} anchors", self.options.max_anchors), at));
        }
        match self.anchors.insert(name.clone(), (Anchor::Open, at)) {
            None => Ok(()),
            Some((_, first)) => Err(Error::within(
                self.text,
                Some(("found duplicate anchor; first occurrence".to_string(), first)),
                "second occurrence".to_string(),
                at,
            )),
        }
    }

    fn settle(&mut self, anchor: Option<String>, at: Place, node: Node) -> Result<Node, Error> {
        if let Some(name) = anchor {
            if !matches!(self.anchors.get(&name), Some((Anchor::Open, place)) if *place == at) {
                self.open(Some(&name), at)?;
            }
            self.anchors.insert(name, (Anchor::Done(node.clone()), at));
        }
        Ok(node)
    }

    fn scalar(
        &self,
        span: Span,
        props: &Props,
        text: String,
        style: RawStyle,
        (plain, quoted): (bool, bool),
    ) -> Result<Node, Error> {
        let at = start_of(span);
        let kind = match props.tag.as_deref() {
            None | Some("!") if plain => Type::of_plain(&text),
            None | Some("!") => Type::Str,
            Some(tag) if plain || quoted => Type::of_tag(tag).unwrap_or(Type::Str),
            Some(tag) => self.scalar_tag(tag, at)?,
        };
        // A plain `<<` becomes a merge where it is a key, a plain `=` a text; elsewhere they are errors,
        // which the caller finds.
        let value = match kind {
            Type::Merge => Value::from("<<"),
            Type::DefaultValue => Value::from("="),
            _ => resolve::construct(kind, &text).map_err(|problem| Error::bare(problem, at).late())?,
        };
        let text = match &value {
            Value::Str(same) if **same == *text => same.clone(),
            _ => Str::from(text),
        };
        let style = match style {
            RawStyle::Plain => Style::Plain,
            RawStyle::Single | RawStyle::Double => Style::Quoted,
            RawStyle::Literal | RawStyle::Folded => Style::Block,
        };
        Ok(Node::new(span, Kind::Scalar { value, text, style }))
    }

    fn scalar_tag(&self, tag: &str, at: Place) -> Result<Type, Error> {
        match Type::of_tag(tag) {
            Some(Type::Merge | Type::DefaultValue) | None => {}
            Some(kind) => return Ok(kind),
        }
        match tag.strip_prefix("tag:yaml.org,2002:") {
            Some("seq" | "omap" | "pairs") => {
                Err(Error::new(self.text, "expected a sequence node, but found scalar", at).late())
            }
            Some("map" | "set") => Err(Error::new(self.text, "expected a mapping node, but found scalar", at).late()),
            _ => Err(self.unknown_tag(tag, at)),
        }
    }

    fn unknown_tag(&self, tag: &str, at: Place) -> Error {
        Error::new(self.text, format!("could not determine a constructor for the tag '{tag}'"), at).late()
    }

    fn seq(&mut self, start: At, props: Props, depth: u32) -> Result<Node, Error> {
        let at = place(start);
        self.open(props.anchor.as_ref(), at)?;
        let shape = match props.tag.as_deref() {
            None | Some("!" | "tag:yaml.org,2002:seq") => None,
            Some("tag:yaml.org,2002:omap") => Some("while constructing an ordered map"),
            Some("tag:yaml.org,2002:pairs") => Some("while constructing pairs"),
            Some("tag:yaml.org,2002:map" | "tag:yaml.org,2002:set") => {
                return Err(Error::new(self.text, "expected a mapping node, but found sequence", at).late());
            }
            Some(tag) if Type::of_tag(tag).is_some_and(|t| !matches!(t, Type::Merge | Type::DefaultValue)) => {
                return Err(Error::new(self.text, "expected a scalar node, but found sequence", at).late());
            }
            Some(tag) => return Err(self.unknown_tag(tag, at)),
        };
        let mut items = Vec::new();
        let end = loop {
            let event = self.next()?;
            if matches!(event.what, What::SeqEnd) {
                break self.collection_end(event.end, items.last());
            }
            let item = self.node(event, depth + 1)?;
            self.refuse_bare(&item)?;
            items.push(match shape {
                None => item,
                Some(what) => self.pair((what.to_string(), at), &item)?,
            });
        };
        let node = Node::new(self.span(start, end), Kind::Seq(items));
        self.settle(props.anchor, at, node)
    }

    /// `!!omap` and `!!pairs`: each item is a map of one pair and becomes a list of two.
    fn pair(&self, context: (String, Place), item: &Node) -> Result<Node, Error> {
        let problem = match &item.kind {
            Kind::Map(pairs) => match &pairs[..] {
                [(key, value)] => {
                    return Ok(Node::new(item.span, Kind::Seq(vec![key.clone(), value.clone()])));
                }
                _ => format!("expected a single mapping item, but found {} items", pairs.len()),
            },
            other => format!("expected a mapping of length 1, but found {}", other.python_name()),
        };
        Err(Error::within(self.text, Some(context), problem, start_of(item.span)).late())
    }

    /// Block collections end where their last child does: the scanner's mark is already on the next token.
    fn collection_end(&self, mark: At, last: Option<&Node>) -> usize {
        let end = self.end(mark);
        let in_flow = end > self.skipped
            && matches!(self.text.as_bytes().get(end - self.skipped - 1), Some(b']' | b'}'))
            && last.is_none_or(|last| last.span.end < end);
        match last {
            Some(last) if !in_flow => last.span.end.min(end),
            _ => end,
        }
    }

    /// A `<<` or `=` that is no key of a map has no meaning.
    fn refuse_bare(&self, node: &Node) -> Result<(), Error> {
        for (word, tag) in [("<<", "tag:yaml.org,2002:merge"), ("=", "tag:yaml.org,2002:value")] {
            if self.is_plain(node, word) {
                return Err(self.unknown_tag(tag, start_of(node.span)));
            }
        }
        Ok(())
    }

    /// Whether a node is exactly `word` without quotes and tags.
    fn is_plain(&self, node: &Node, word: &str) -> bool {
        let Kind::Scalar { value: Value::Str(value), style: Style::Plain, .. } = &node.kind else { return false };
        let written = node.span.start.checked_sub(self.skipped).and_then(|start| self.text.get(start..));
        &**value == word && written.is_some_and(|text| text.starts_with(word))
    }

    fn map(&mut self, start: At, props: Props, flow: bool, depth: u32) -> Result<Node, Error> {
        let at = place(start);
        self.open(props.anchor.as_ref(), at)?;
        let as_set = match props.tag.as_deref() {
            None | Some("!" | "tag:yaml.org,2002:map") => false,
            Some("tag:yaml.org,2002:set") => true,
            Some(tag @ ("tag:yaml.org,2002:omap" | "tag:yaml.org,2002:pairs")) => {
                let what = if tag.ends_with("omap") {
                    "while constructing an ordered map"
                } else {
                    "while constructing pairs"
                };
                let problem = "expected a sequence, but found mapping".to_string();
                return Err(Error::within(self.text, Some((what.to_string(), at)), problem, at).late());
            }
            Some("tag:yaml.org,2002:seq") => {
                return Err(Error::new(self.text, "expected a sequence node, but found mapping", at).late());
            }
            Some(tag) if Type::of_tag(tag).is_some_and(|t| !matches!(t, Type::Merge | Type::DefaultValue)) => {
                return Err(Error::new(self.text, "expected a scalar node, but found mapping", at).late());
            }
            Some(tag) => return Err(self.unknown_tag(tag, at)),
        };
        let mut pairs = Pairs::default();
        let mut merged: Vec<Node> = Vec::new();
        let end = loop {
            let event = self.next()?;
            if matches!(event.what, What::MapEnd) {
                let last = pairs.written.last().map(|(_, value)| value);
                break if flow { self.end(event.end) } else { self.collection_end(event.end, last) };
            }
            let key = self.node(event, depth + 1)?;
            if self.is_plain(&key, "<<") {
                if self.options.refuse_duplicates {
                    return Err(self.unknown_tag("tag:yaml.org,2002:merge", start_of(key.span)));
                }
                let event = self.next()?;
                let value = self.node(event, depth + 1)?;
                self.gather(&value, at, &mut merged)?;
                continue;
            }
            let id = Id::of(&key).ok_or_else(|| {
                Error::within(
                    self.text,
                    Some(("while constructing a mapping".to_string(), at)),
                    "found unhashable key".to_string(),
                    start_of(key.span),
                )
                .late()
            })?;
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            self.refuse_bare(&value)?;
            self.add(&mut pairs, id, key, value)?;
        };
        let pairs = if merged.is_empty() { pairs.written } else { self.merge(&merged, pairs)? };
        let span = self.span(start, end);
        let node = if as_set {
            let members = pairs.iter().map(|(key, _)| key.to_value()).collect();
            let value = Value::special(Special::Set(members));
            Node::new(span, Kind::Scalar { value, text: Str::from(""), style: Style::Plain })
        } else {
            Node::new(span, Kind::Map(pairs))
        };
        self.settle(props.anchor, at, node)
    }

    /// Adds a pair; of duplicates the last value counts, in the place of the first, as in Python's dict.
    fn add(&mut self, pairs: &mut Pairs, id: Id, key: Node, value: Node) -> Result<(), Error> {
        let Some(&first) = pairs.places.get(&id) else {
            pairs.places.insert(id, pairs.written.len());
            pairs.written.push((key, value));
            return Ok(());
        };
        let name = match &key.kind {
            Kind::Scalar { text, .. } => text.clone(),
            Kind::Seq(_) | Kind::Map(_) => Str::from("?"),
        };
        if self.options.refuse_duplicates {
            return Err(Error::bare(format!("found duplicate key \"{name}\""), start_of(key.span))
                .with_hint(format!("it is already written in line {}", pairs.written[first].0.span.line)));
        }
        self.warnings.push(Warning {
            message: format!("the key `{name}` is written twice, only the second counts"),
            span: key.span,
            other: pairs.written[first].0.span,
        });
        pairs.written[first].1 = value;
        Ok(())
    }

    /// Collects the maps that a merge names.
    fn gather(&self, value: &Node, at: Place, merged: &mut Vec<Node>) -> Result<(), Error> {
        let wrong = |found: &Node, expected: &str| {
            Error::within(
                self.text,
                Some(("while constructing a mapping".to_string(), at)),
                format!("expected a {expected} for merging, but found {}", found.kind.python_name()),
                start_of(found.span),
            )
            .late()
        };
        match &value.kind {
            Kind::Map(_) => merged.push(value.clone()),
            Kind::Seq(items) => {
                if let Some(odd) = items.iter().find(|item| item.as_map().is_none()) {
                    return Err(wrong(odd, "mapping"));
                }
                // The first map of the list wins, so it comes last.
                merged.extend(items.iter().rev().cloned());
            }
            Kind::Scalar { .. } => return Err(wrong(value, "mapping or list of mappings")),
        }
        Ok(())
    }

    /// The merged maps first, then what is written: later ones win, first places stay.
    fn merge(&mut self, merged: &[Node], own: Pairs) -> Result<Vec<(Node, Node)>, Error> {
        let mut all = Pairs::default();
        let inherited = merged.iter().filter_map(|map| map.as_map()).flatten();
        for (key, value) in inherited.chain(&own.written) {
            self.expanded = self.expanded.saturating_add(1);
            // Keys of maps are hashable, or they would not be there.
            let Some(id) = Id::of(key) else { continue };
            match all.places.get(&id) {
                Some(&first) => all.written[first].1 = value.clone(),
                None => {
                    all.places.insert(id, all.written.len());
                    all.written.push((key.clone(), value.clone()));
                }
            }
        }
        Ok(all.written)
    }
}

/// The pairs of a map while it is read.
#[derive(Default)]
struct Pairs {
    written: Vec<(Node, Node)>,
    places: HashMap<Id, usize>,
}

/// What Python's dict compares keys by: `1`, `1.0` and `true` are the same key.
#[derive(PartialEq, Eq, Hash)]
enum Id {
    Text(Str),
    Number(i64),
    Other(String),
}

impl Id {
    fn of(key: &Node) -> Option<Id> {
        let Kind::Scalar { value, .. } = &key.kind else {
            return None;
        };
        Some(match value {
            Value::Str(text) => Id::Text(text.clone()),
            Value::Int(n) => Id::Number(*n),
            Value::Bool(b) => Id::Number(i64::from(*b)),
            Value::Float(x) if x.fract() == 0.0 && x.abs() < 9e15 => Id::Number(*x as i64),
            Value::Special(s) if matches!(**s, Special::Set(_)) => return None,
            other => Id::Other(format!("{other:?}")),
        })
    }
}
