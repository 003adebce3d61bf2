//! Calls: arguments, filters, functions, methods, macros, and putting back what a method changed.

use super::ast::{Args, CALLER, Expr, Field, FilterCall, KWARGS, Macro, VARARGS};
use super::interpreter::{Frame, Interpreter, position};
use super::value::{Function, Item, V, dict, seq};
use super::{filters, globals, methods};
use crate::Error;
use crate::functions::{self, Subject};
use squall_model::{Str, Value};
use std::rc::Rc;
use std::sync::Arc;

/// Arguments of a call, evaluated.
#[derive(Default, Clone)]
pub(super) struct CallArgs {
    pub(super) positional: Vec<V>,
    pub(super) named: Vec<(Str, V)>,
}

/// The same as plain data: positional ones, then those with names.
type PlainArgs = (Vec<Value>, Vec<(Str, Value)>);

impl CallArgs {
    pub(super) fn of(positional: Vec<V>) -> CallArgs {
        CallArgs { positional, named: Vec::new() }
    }

    /// Binds to parameter names; `None` where nothing was given.
    pub(super) fn bind<const N: usize>(self, function: &str, names: [&str; N]) -> Result<[Option<V>; N], Error> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            let message = format!("{function}() takes {N} arguments but {} were given", self.positional.len());
            return Err(Error::new("TypeError", message));
        }
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let Some(at) = names.iter().position(|n| **n == *name) else {
                let message = format!("{function}() got an unexpected keyword argument '{name}'");
                return Err(Error::new("TypeError", message));
            };
            if bound[at].replace(value).is_some() {
                return Err(Error::new("TypeError", format!("{function}() got multiple values for argument '{name}'")));
            }
        }
        Ok(bound)
    }
}

/// What a required argument is.
pub(super) fn required(value: Option<V>, function: &str, name: &str) -> Result<V, Error> {
    value.ok_or_else(|| Error::new("TypeError", format!("{function}() missing required argument: '{name}'")))
}

impl Interpreter<'_> {
    pub(super) fn args(&mut self, args: &Args) -> Result<CallArgs, Error> {
        let mut positional = self.all(&args.positional)?;
        let mut named = Vec::with_capacity(args.named.len());
        for (name, value) in &args.named {
            named.push((name.clone(), self.eval(value)?));
        }
        if let Some(star) = &args.star {
            let star = self.eval(star)?;
            positional.extend(self.iterate(&star)?);
        }
        if let Some(star) = &args.double_star {
            let V::Dict(dict) = self.eval(star)? else {
                return Err(Error::new("TypeError", "argument after ** must be a mapping"));
            };
            for (key, value) in dict.pairs() {
                named.push((self.text(&key)?.as_ref().into(), value));
            }
        }
        Ok(CallArgs { positional, named })
    }

    pub(super) fn filter(&mut self, value: V, call: &FilterCall) -> Result<V, Error> {
        let args = self.args(&call.args)?;
        match call.filter {
            Some(filter) => match filter.apply(self, value, args) {
                // Python makes the items when they are asked for, and only then looks at what it was given; but for how many
                // arguments there are.
                Err(error)
                    if filters::LAZY.contains(&&*call.name)
                        && error.class != "ResourceLimit"
                        && !error.message.starts_with(&format!("{}()", call.name)) =>
                {
                    Ok(V::Broken(Rc::new(error)))
                }
                result => result,
            },
            None => {
                let mut args = args;
                args.positional.insert(0, value);
                if !self.scope.host.has(&call.name) {
                    let message = format!("No filter named '{}'.", call.name);
                    return Err(Error::new("TemplateAssertionError", message));
                }
                self.call_host(&call.name, args)
            }
        }
    }

    pub(super) fn call_expression(&mut self, callee: &Expr, args: &Args) -> Result<V, Error> {
        if let Expr::Attribute(object, Field { name, .. }) = callee {
            return if methods::changes(name) {
                self.call_changing(object, name, args)
            } else {
                self.call_method(object, name, args)
            };
        }
        let function = self.eval(callee)?;
        let args = self.args(args)?;
        self.call(&function, args)
    }

    /// `object.name(…)`: a method is called without being made a value first.
    fn call_method(&mut self, object: &Expr, name: &Str, args: &Args) -> Result<V, Error> {
        let object = self.eval(object)?;
        if matches!(object, V::Str(_) | V::Dict(_) | V::List(_)) && methods::exists(&object, name) {
            let args = self.args(args)?;
            self.budget.step(1)?;
            return methods::call(self, &object, name, args);
        }
        let function = self.attribute(&object, name)?;
        let args = self.args(args)?;
        self.call(&function, args)
    }

    /// A method that changes its object: the changed object goes back to where it came from.
    fn call_changing(&mut self, object: &Expr, name: &Str, args: &Args) -> Result<V, Error> {
        let args = self.args(args)?;
        let current = self.eval(object)?;
        if !methods::exists(&current, name) {
            let function = self.attribute(&current, name)?;
            return self.call(&function, args);
        }
        drop(current);
        // Taken out of its place, so that nobody else looks and it is changed without a copy.
        let current = match object {
            Expr::Name(name) => match self.local(name) {
                Some(at) => std::mem::replace(&mut self.locals[at].1, V::None),
                None => match self.changed.iter_mut().find(|(id, _)| *id == name.id) {
                    Some(slot) => std::mem::replace(&mut slot.1, V::None),
                    None => self.lookup(name),
                },
            },
            other => self.eval(other)?,
        };
        let (changed, result) = methods::change(self, current, name, args)?;
        self.store(object, changed)?;
        Ok(result)
    }

    fn store(&mut self, place: &Expr, value: V) -> Result<(), Error> {
        match place {
            Expr::Name(name) => {
                if let Some(at) = self.local(name) {
                    self.locals[at].1 = value;
                } else if let Some(slot) = self.changed.iter_mut().find(|(id, _)| *id == name.id) {
                    slot.1 = value;
                } else {
                    self.changed.push((name.id, value));
                }
                Ok(())
            }
            Expr::Attribute(object, field) => self.store_in(object, V::Str(field.name.clone()), value),
            Expr::Item(object, index) => {
                let index = self.eval(index)?;
                self.store_in(object, index, value)
            }
            _ => Ok(()),
        }
    }

    fn store_in(&mut self, place: &Expr, index: V, value: V) -> Result<(), Error> {
        match (self.eval(place)?, index) {
            (V::Namespace(fields), V::Str(name)) => {
                seq(vec![value.clone()])?;
                fields.borrow_mut().insert(name, value);
                Ok(())
            }
            (V::Dict(dict), key) => {
                let mut own = dict.own();
                own.insert(key, value)?;
                self.store(place, own.into())
            }
            (V::List(items), V::Int(n)) => {
                let mut items = items.to_vec();
                if let Some(at) = position(n, items.len()) {
                    items[at] = value;
                }
                let list = V::list(items)?;
                self.store(place, list)
            }
            _ => Ok(()),
        }
    }

    /// Calls whatever can be called.
    pub(super) fn call(&mut self, function: &V, args: CallArgs) -> Result<V, Error> {
        self.budget.step(1)?;
        match function {
            V::Undefined(_) => {
                self.check(function)?;
                Ok(V::None)
            }
            V::Function(function) => match &**function {
                Function::Global(name) => globals::call(self, name, args),
                Function::Host(name) => self.call_host(name, args),
                Function::Shared(shared) => self.call_shared(shared, args),
                Function::Method(object, name) => methods::call(self, object, name, args),
                Function::Macro { template, frame, caller } => self.call_macro(template, *frame, caller.clone(), args),
                Function::Caller { body, frame } => self.call_macro(body, *frame, None, args),
            },
            V::Item(item) => self.call_item(item, args),
            V::Joiner(state) => {
                let first = !state.1.replace(true);
                Ok(if first { V::from("") } else { V::Str(state.0.clone()) })
            }
            V::Loop(state) => {
                let Some(again) = state.again.clone() else {
                    let message = "The loop must have the 'recursive' marker to be called recursively.";
                    return Err(Error::new("TypeError", message));
                };
                let [items] = args.bind("loop", ["iterable"])?;
                let items = required(items, "loop", "iterable")?;
                self.recurse()?;
                let mut text = String::new();
                self.run_loop(&again, items, state.depth0 + 1, &mut text)?;
                self.recursion -= 1;
                self.depth -= 1;
                Ok(V::from(text))
            }
            other => Err(Error::new("TypeError", format!("'{}' object is not callable", other.type_name()))),
        }
    }

    /// `st2kv.system.hosts.split(',')`: the last step was meant as a method of the text.
    fn call_item(&mut self, item: &Item, args: CallArgs) -> Result<V, Error> {
        if let Some((key, method)) = item.key.rsplit_once('.') {
            let text = V::Str(self.read(&Item { scope: item.scope.clone(), key: key.into() })?);
            if methods::exists(&text, method) {
                return methods::call(self, &text, method, args);
            }
        }
        Err(Error::new("TypeError", "'KeyValueLookup' object is not callable"))
    }

    /// Arguments as plain data; undefined ones are refused.
    pub(super) fn plain(&self, args: CallArgs) -> Result<PlainArgs, Error> {
        let positional = args.positional.iter().map(|v| self.argument(v)).collect::<Result<_, _>>()?;
        let mut named = Vec::with_capacity(args.named.len());
        for (name, value) in &args.named {
            named.push((name.clone(), self.argument(value)?));
        }
        Ok((positional, named))
    }

    pub(super) fn call_host(&mut self, name: &str, args: CallArgs) -> Result<V, Error> {
        let (positional, named) = self.plain(args)?;
        match self.scope.host.call(name, &positional, &named) {
            Some(result) => result.map(V::from),
            None if self.scope.host.has(name) => {
                Err(Error::new("TypeError", format!("{name}() does not take these arguments")))
            }
            None => Err(Error::new("UndefinedError", format!("'{name}' is undefined"))),
        }
    }

    pub(super) fn call_shared(&mut self, function: &functions::Function, mut args: CallArgs) -> Result<V, Error> {
        if let Some(subject) = args.positional.first_mut() {
            match function.subject() {
                Subject::Printed if !matches!(subject, V::Str(_)) => *subject = V::from(self.text(subject)?.as_ref()),
                Subject::Dumped => {
                    self.check(subject)?;
                    subject.dumpable()?
                }
                _ => {}
            }
        }
        let (positional, named) = self.plain(args)?;
        match function.call(&positional, &named, &self.budget) {
            // Python's `zip` gives tuples.
            Some(Ok(Value::List(rows))) if function.name == "zip" && positional.len() != 1 => {
                let row = |row: &Value| match V::from(row) {
                    V::List(items) => V::Tuple(items),
                    other => other,
                };
                V::list(rows.iter().map(row).collect())
            }
            Some(result) => result.map(V::from),
            None => {
                let message = format!("{}() does not take these arguments", function.name);
                Err(Error::new("TypeError", message))
            }
        }
    }

    fn argument(&self, value: &V) -> Result<Value, Error> {
        self.check(value)?;
        self.native(value)
    }

    fn call_macro(&mut self, body: &Arc<Macro>, frame: usize, caller: Option<V>, args: CallArgs) -> Result<V, Error> {
        self.recurse()?;
        let mut positional = args.positional.into_iter();
        let mut named = args.named;
        // The macro sees the frame in which it was written, if that still exists.
        let parent = Some(frame.min(self.frames.len() - 1));
        self.frames.push(Frame { start: self.locals.len(), parent });
        let mut missing = Vec::new();
        for (name, default) in &body.params {
            let given = match positional.next() {
                Some(value) => Some(value),
                None => named.iter().position(|(n, _)| *n == name.text).map(|at| named.remove(at).1),
            };
            if let (None, Some(default)) = (&given, default) {
                missing.push((self.locals.len(), default));
            }
            let nothing = || V::undefined(format!("parameter '{}' was not provided", name.text));
            self.locals.push((name.id, given.unwrap_or_else(nothing)));
        }
        // A default sees the other parameters, and itself as undefined.
        for (at, default) in missing {
            let value = self.eval(default)?;
            self.locals[at].1 = value;
        }
        let rest: Vec<V> = positional.collect();
        if !rest.is_empty() && !body.varargs {
            let message = format!("macro '{}' takes not more than {} argument(s)", body.name.text, body.params.len());
            return Err(Error::new("TypeError", message));
        }
        let passed = named.iter().position(|(n, _)| &**n == "caller").map(|at| named.remove(at).1);
        if !named.is_empty() && !body.kwargs {
            let message = format!("macro '{}' takes no keyword argument '{}'", body.name.text, named[0].0);
            return Err(Error::new("TypeError", message));
        }
        if body.varargs {
            self.locals.push((VARARGS, V::tuple(rest)?));
        }
        if body.kwargs {
            self.locals.push((KWARGS, dict(named.into_iter().map(|(k, v)| (V::Str(k), v)))?));
        }
        if let Some(caller) = caller.or(passed) {
            self.locals.push((CALLER, caller));
        }
        let mut out = String::new();
        self.run(&body.body, &mut out)?;
        self.leave();
        self.recursion -= 1;
        self.depth -= 1;
        Ok(V::from(out))
    }

    pub(super) fn call_block(&mut self, call: &Expr, body: &Arc<Macro>, out: &mut String) -> Result<(), Error> {
        let Expr::Call(callee, args) = call else { return Ok(()) };
        let function = self.eval(callee)?;
        let mut args = self.args(args)?;
        let frame = self.frames.len() - 1;
        let caller = V::Function(Rc::new(Function::Caller { body: body.clone(), frame }));
        let function = match &function {
            V::Function(f) => match &**f {
                Function::Macro { template, frame, .. } => V::Function(Rc::new(Function::Macro {
                    template: template.clone(),
                    frame: *frame,
                    caller: Some(caller),
                })),
                _ => {
                    args.named.push(("caller".into(), caller));
                    function.clone()
                }
            },
            _ => function.clone(),
        };
        let value = self.call(&function, args)?;
        let text = self.text(&value)?;
        self.write(out, &text)
    }
}
