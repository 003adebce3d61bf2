//! YAML as StackStorm's loader reads it, with the place of every node.
//!
//! The scanner is libyaml's, so what it accepts and refuses is what StackStorm accepts and refuses; the
//! meaning of plain scalars is PyYAML's (`yes` is true, `0777` is 511, `1:30` is 90). What a file may
//! cost is bounded before it is read: size, depth, nodes, anchors, and nodes after aliases are expanded.
//!
//! It has never heard of packs, actions or workflows. All `unsafe` of the workspace's own code lives in
//! the files `events.rs` and `emit.rs`, which wrap the scanner's and the emitter's C-like interfaces.
//!
//! Start reading at [`parse`], then [`Node`]; what people are told is in [`Error`] and [`Diagnostic`].
#![warn(missing_docs)]

mod compose;
mod diagnostic;
mod emit;
mod error;
mod events;
mod hint;
mod nearest;
mod node;
mod resolve;

pub use compose::{Options, parse, parse_all};
pub use diagnostic::{Diagnostic, Mark, Severity};
pub use emit::{Layout, to_yaml, to_yaml_with};
pub use error::{Error, Place};
pub use nearest::nearest;
pub use node::{Document, Kind, Node, Span, Style, Warning};
