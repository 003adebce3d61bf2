//! The node tree: what a document says, and where.
//!
//! Nodes are shared, so an alias costs a reference count and a document with many aliases stays as small
//! as its text. Invariant: the tree is finite and at most [`Options::max_depth`](crate::Options) deep after
//! expansion, therefore plain recursion over it is safe.

use squall_model::{Map, Special, Str, Value};
use std::ops::Deref;
use std::sync::Arc;

/// Where a node stands: bytes `start..end` of the text; line and column of its first character, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character in characters, from 1.
    pub column: u32,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// As a block, `|` or `>`.
    Block,
}

/// A node, shared: cloning costs a reference count.
#[derive(Clone, Debug)]
pub struct Node(Arc<Inner>);

/// What a [`Node`] derefs to.
#[derive(Debug)]
pub struct Inner {
    /// Where it stands. For a node reached by an alias: where its anchor stands.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
    pub(crate) size: u64,
    pub(crate) height: u32,
}

/// The three kinds of node.
#[derive(Debug)]
pub enum Kind {
    /// A single value, and the text that it was made from.
    Scalar {
        /// The value as PyYAML makes it. Tagged collections (`!!set`) also come here, as their value.
        value: Value,
        /// The text after quotes and folding were undone.
        text: Str,
        /// How it was written.
        style: Style,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A map in the order of the file. Keys are unique, merges (`<<`) are already made.
    Map(Vec<(Node, Node)>),
}

impl Kind {
    pub(crate) fn python_name(&self) -> &'static str {
        match self {
            Kind::Scalar { .. } => "scalar",
            Kind::Seq(_) => "sequence",
            Kind::Map(_) => "mapping",
        }
    }
}

impl Deref for Node {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Node {
    pub(crate) fn new(span: Span, kind: Kind) -> Node {
        let (mut size, mut height) = (1_u64, 0);
        let mut add = |child: &Node| {
            size = size.saturating_add(child.size);
            height = height.max(child.height);
        };
        match &kind {
            Kind::Scalar { .. } => {}
            Kind::Seq(items) => items.iter().for_each(add),
            Kind::Map(pairs) => pairs.iter().for_each(|(key, value)| {
                add(key);
                add(value);
            }),
        }
        Node(Arc::new(Inner { span, kind, size, height: height + 1 }))
    }

    /// The member of a map under the text `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key and the member of a map under the text `key`; for pointing at the key.
    pub fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        let pair = self.as_map()?.iter().find(|(k, _)| k.as_str() == Some(key))?;
        Some((&pair.0, &pair.1))
    }

    /// Follows `path` through maps.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The text, if its value is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { value, .. } => value.as_str(),
            Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    /// The pairs of a map.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            Kind::Map(pairs) => Some(pairs),
            Kind::Scalar { .. } | Kind::Seq(_) => None,
        }
    }

    /// The items of a list.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Seq(items) => Some(items),
            Kind::Scalar { .. } | Kind::Map(_) => None,
        }
    }

    /// Whether it is null: written so, or left empty.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { value: Value::Null, .. })
    }

    /// What people call its type: `a text`, `a number`, `a list`, ….
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Scalar { value, .. } => match value {
                Value::Null => "nothing",
                Value::Bool(_) => "true or false",
                Value::Int(_) | Value::Big(_) | Value::Float(_) => "a number",
                Value::Str(_) => "a text",
                Value::List(_) => "a list",
                Value::Map(_) => "a map",
                Value::Special(_) => "a date, a set or bytes",
            },
        }
    }

    /// The value without places.
    ///
    /// A map all of whose keys are texts becomes [`Value::Map`], any other [`Special::Dict`]. A date
    /// without a time stays its text (`2016-01-21`), which is what it becomes in StackStorm's JSON; a date
    /// with a time is [`Special::DateTime`].
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar { value, .. } => value.clone(),
            Kind::Seq(items) => Value::from(items.iter().map(Node::to_value).collect::<Vec<_>>()),
            Kind::Map(pairs) => map_value(pairs),
        }
    }
}

fn map_value(pairs: &[(Node, Node)]) -> Value {
    let mut map = Map::with_capacity(pairs.len());
    for (key, value) in pairs {
        let Kind::Scalar { value: Value::Str(key), .. } = &key.kind else {
            return Value::special(Special::Dict(pairs.iter().map(|(k, v)| (k.to_value(), v.to_value())).collect()));
        };
        map.insert(key.clone(), value.to_value());
    }
    Value::from(map)
}

/// Something worth telling about a document that loads all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is.
    pub message: String,
    /// The place that counts.
    pub span: Span,
    /// The other place, which it is in conflict with.
    pub other: Span,
}

/// One document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its content; an empty document is null.
    pub root: Node,
    /// Duplicate keys.
    pub warnings: Vec<Warning>,
}
