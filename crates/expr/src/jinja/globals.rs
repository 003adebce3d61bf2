//! What every template knows by name: `range`, `dict`, `namespace`, `cycler`, `joiner`, and the host's functions.

use super::calls::{CallArgs, required};
use super::interpreter::Interpreter;
use super::value::{Cycler, Function, Item, V, View, dict};
use crate::{Engine, Error, Scope, functions};
use std::rc::Rc;

/// The longest range, as in Jinja's sandbox.
const MAX_RANGE: i64 = 100_000;

/// Names that are there in every template; dependencies of parameters do not count them.
pub(super) const NAMES: &[&str] = &["range", "dict", "lipsum", "cycler", "joiner", "namespace"];

/// The value of a global name.
pub(super) fn find(name: &str, scope: &Scope) -> Option<V> {
    let global = |name| Some(V::Function(Rc::new(Function::Global(name))));
    if let Some(name) = NAMES.iter().find(|n| **n == name) {
        return global(name);
    }
    if scope.host.has(name) {
        return Some(V::Function(Rc::new(Function::Host(name.into()))));
    }
    let stack = matches!(scope.engine, Engine::Stack | Engine::StackLax);
    if !stack && let Some(shared) = functions::find(name, scope.engine) {
        return Some(V::Function(Rc::new(Function::Shared(shared))));
    }
    match name {
        "uuid" if scope.engine == Engine::Mistral => global("uuid"),
        "st2kv" if !stack => global("st2kv"),
        "self" => global("self"),
        "six" if stack => global("six"),
        // The old name of `st2kv.system`, which rules and chains still use.
        "system" if stack => Some(V::Item(Rc::new(Item { scope: Some("system".into()), key: String::new() }))),
        "st2kv" if stack => Some(V::Item(Rc::new(Item { scope: None, key: String::new() }))),
        _ => None,
    }
}

/// Calls a global function.
pub(super) fn call(interpreter: &mut Interpreter, name: &str, args: CallArgs) -> Result<V, Error> {
    match name {
        "range" => range(interpreter, args),
        "uuid" => Ok(V::from(functions::uuid(interpreter.scope.host))),
        "st2kv" => {
            let (positional, named) = interpreter.plain(args)?;
            functions::kv(interpreter.scope.host, &positional, &named).map(V::from)
        }
        "dict" => {
            let mut pairs = Vec::new();
            for source in args.positional {
                match source {
                    V::Dict(dict) => pairs.extend(dict.pairs().collect::<Vec<_>>()),
                    other => {
                        for pair in interpreter.iterate(&other)? {
                            let pair = interpreter.iterate(&pair)?;
                            let [key, value] = <[V; 2]>::try_from(pair).map_err(|_| {
                                Error::new("ValueError", "dictionary update sequence needs pairs of two")
                            })?;
                            pairs.push((key, value));
                        }
                    }
                }
            }
            pairs.extend(args.named.into_iter().map(|(k, v)| (V::Str(k), v)));
            dict(pairs)
        }
        "namespace" => {
            let fields = dict_fields(interpreter, args)?;
            Ok(V::Namespace(Rc::new(std::cell::RefCell::new(fields))))
        }
        "cycler" => {
            if args.positional.is_empty() {
                return Err(Error::new("RuntimeError", "at least one item has to be provided"));
            }
            Ok(V::Cycler(Rc::new(Cycler { items: args.positional, at: Default::default() })))
        }
        "joiner" => {
            let [sep] = args.bind("joiner", ["sep"])?;
            let sep = match sep {
                Some(sep) => interpreter.text(&sep)?.as_ref().into(),
                None => ", ".into(),
            };
            Ok(V::Joiner(Rc::new((sep, Default::default()))))
        }
        // The helper of Python 2 days that result templates still call.
        "iteritems" | "itervalues" | "iterkeys" => {
            let [object] = args.bind(name, ["d"])?;
            let view = match name {
                "iteritems" => View::Items,
                "itervalues" => View::Values,
                _ => View::Keys,
            };
            match required(object, name, "d")? {
                V::Dict(dict) => Ok(V::View(view, dict)),
                other => Err(Error::new(
                    "AttributeError",
                    format!("'{}' object has no attribute 'items'", other.type_name()),
                )),
            }
        }
        "lipsum" => Err(Error::new("TypeError", "`lipsum()` makes up text at random, which is not available here")),
        name => Err(Error::new("TypeError", format!("'{name}' is not callable"))),
    }
}

fn dict_fields(interpreter: &Interpreter, args: CallArgs) -> Result<indexmap::IndexMap<squall_model::Str, V>, Error> {
    let mut fields = indexmap::IndexMap::new();
    for source in args.positional {
        if let V::Dict(dict) = source {
            for (key, value) in dict.pairs() {
                fields.insert(interpreter.text(&key)?.as_ref().into(), value);
            }
        }
    }
    fields.extend(args.named);
    Ok(fields)
}

fn range(interpreter: &Interpreter, args: CallArgs) -> Result<V, Error> {
    let mut numbers = Vec::new();
    for value in &args.positional {
        match value {
            V::Int(n) => numbers.push(*n),
            V::Bool(b) => numbers.push(i64::from(*b)),
            V::Undefined(_) => interpreter.check(value)?,
            other => {
                let message = format!("'{}' object cannot be interpreted as an integer", other.type_name());
                return Err(Error::new("TypeError", message));
            }
        }
    }
    let (start, stop, step) = match numbers[..] {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [start, stop, step] => (start, stop, step),
        _ => return Err(Error::new("TypeError", "range expected 1 to 3 arguments")),
    };
    if step == 0 {
        return Err(Error::new("ValueError", "range() arg 3 must not be zero"));
    }
    let span = if step > 0 { i128::from(stop) - i128::from(start) } else { i128::from(start) - i128::from(stop) };
    let by = i128::from(step).abs();
    let len = if span <= 0 { 0 } else { (span + by - 1) / by };
    if len > i128::from(MAX_RANGE) {
        let message = format!("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({MAX_RANGE}).");
        return Err(Error::new("OverflowError", message));
    }
    let len = i64::try_from(len).unwrap_or(0);
    interpreter.budget.step(len.unsigned_abs())?;
    Ok(V::Range { start, len, step })
}
