//! Filters: Jinja's own and StackStorm's.
//!
//! To add one: a function in the file of its family, its line in that file's `find`.

mod markup;
mod numbers;
mod sequences;
mod stack;
mod texts;

use super::calls::CallArgs;
use super::interpreter::Interpreter;
use super::value::V;
use crate::functions::{self, Function};
use crate::{Engine, Error};

pub(super) use markup::escaped;
pub(super) use sequences::sorted;
pub(crate) use stack::NONE_TEXT;

/// Makes a value of a value.
type Own = for<'i> fn(&mut Interpreter<'i>, V, CallArgs) -> Result<V, Error>;

/// A filter: one that knows templates' values, or a function over plain ones.
#[derive(Clone, Copy)]
pub(super) enum Filter {
    Own(Own),
    /// One without parameters.
    Bare(Own),
    Shared(&'static Function),
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Filter::Own(_) => f.write_str("Own"),
            Filter::Bare(_) => f.write_str("Bare"),
            Filter::Shared(function) => f.write_str(function.name),
        }
    }
}

impl Filter {
    /// Applies it to a value.
    pub(super) fn apply(self, i: &mut Interpreter, value: V, mut args: CallArgs) -> Result<V, Error> {
        match self {
            Filter::Own(own) => own(i, value, args),
            Filter::Bare(own) => {
                args.bind::<0>("filter", [])?;
                own(i, value, CallArgs::default())
            }
            Filter::Shared(function) => {
                args.positional.insert(0, value);
                i.call_shared(function, args)
            }
        }
    }
}

/// Functions of Mistral that are no filters there: the value would arrive as their hidden context.
const ONLY_FUNCTIONS: &[&str] = &["json_dump", "json_parse", "json_pp", "yaml_dump", "yaml_parse"];

/// All filters of this folder, for people who look for one; those of [`functions::TABLE`] come on top.
pub(super) const NAMES: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "decrypt_kv",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "regex_substring",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "use_none",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

/// Filters that give their items one by one.
pub(super) const LAZY: &[&str] =
    &["batch", "items", "map", "reject", "rejectattr", "select", "selectattr", "slice", "unique"];

/// Filters of Jinja that take nothing but their value.
const BARE: &[&str] = &[
    "abs",
    "capitalize",
    "count",
    "e",
    "escape",
    "first",
    "forceescape",
    "items",
    "last",
    "length",
    "list",
    "lower",
    "pprint",
    "random",
    "reverse",
    "safe",
    "string",
    "striptags",
    "title",
    "upper",
    "urlencode",
    "use_none",
    "wordcount",
    "decrypt_kv",
];

/// The filter of a name.
pub(super) fn find(name: &str, engine: Engine) -> Option<Filter> {
    let own = texts::find(name)
        .or_else(|| sequences::find(name))
        .or_else(|| numbers::find(name))
        .or_else(|| markup::find(name))
        .or_else(|| stack::find(name));
    if let Some(own) = own {
        return Some(if BARE.contains(&name) { Filter::Bare(own) } else { Filter::Own(own) });
    }
    if engine == Engine::Mistral && ONLY_FUNCTIONS.contains(&name) {
        return None;
    }
    functions::find(name, engine).map(Filter::Shared)
}

/// An argument that must be a whole number.
fn whole(value: Option<V>, default: i64) -> Result<i64, Error> {
    match value {
        None | Some(V::None) => Ok(default),
        Some(V::Int(n)) => Ok(n),
        Some(V::Bool(b)) => Ok(i64::from(b)),
        Some(V::Float(x)) if x.fract() == 0.0 && x.abs() < 9e15 => Ok(x as i64),
        Some(other) => Err(Error::new("TypeError", format!("an integer is required, not {}", other.type_name()))),
    }
}

/// An argument that is tested for truth.
fn flag(i: &Interpreter, value: Option<V>, default: bool) -> Result<bool, Error> {
    value.map_or(Ok(default), |v| i.truth(&v))
}
