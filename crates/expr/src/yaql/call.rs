//! Calls: which overload is meant, and what it gets.
//!
//! The rules are the original's: arguments are matched to parameters by position and keyword, constants are
//! checked before anything is evaluated, then all but the lazy arguments are evaluated once, then types
//! decide. No overload left, two left, or no such name at all are three different errors.

use super::eval::{Ctx, Eval, Lambda, Names, Outcome};
use super::operators;
use super::table::{Entry, Group, Need, Type};
use super::tree::{Arg, Call, Node};
use super::value::Val;
use crate::{Engine, Error, functions, python};
use num_traits::ToPrimitive;
use squall_model::{Special, Str, Value};

/// One argument as it stands at the call.
#[derive(Clone)]
enum Given<'a> {
    Skipped,
    Code(&'a Node),
    Pair(&'a Node, &'a Node),
    Ready(Val<'a>),
}

/// One argument as the function gets it.
#[derive(Clone)]
pub(super) enum Slot<'a> {
    /// Not given: the function's default holds.
    Absent,
    Val(Val<'a>),
    Lazy(Lambda<'a>),
    Pair(Val<'a>, Val<'a>),
    LazyPair(Lambda<'a>, Lambda<'a>),
}

/// What a library function is called with: a slot for each parameter but the last collecting ones.
pub(super) struct Args<'a> {
    slots: Vec<Slot<'a>>,
    pub rest: Vec<Slot<'a>>,
    pub named: Vec<(Str, Val<'a>)>,
    /// Where the call stands.
    pub ctx: Ctx<'a>,
}

impl<'a> Args<'a> {
    /// A value; null when it was not given.
    pub fn val(&mut self, at: usize) -> Val<'a> {
        match self.slots.get_mut(at).map(|slot| std::mem::replace(slot, Slot::Absent)) {
            Some(Slot::Val(val)) => val,
            _ => Val::NULL,
        }
    }

    /// A value if it was given.
    pub fn given(&mut self, at: usize) -> Option<Val<'a>> {
        match self.slots.get_mut(at).map(|slot| std::mem::replace(slot, Slot::Absent)) {
            Some(Slot::Val(val)) => Some(val),
            _ => None,
        }
    }

    /// A text; the type of the parameter has made sure that it is one.
    pub fn text(&mut self, at: usize) -> Str {
        self.text_or_null(at).unwrap_or_default()
    }

    pub fn text_or_null(&mut self, at: usize) -> Option<Str> {
        match self.val(at) {
            Val::Plain(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// A whole number, `default` when absent. Numbers beyond 64 bits count as the largest.
    pub fn int(&mut self, at: usize, default: i64) -> i64 {
        self.int_or_null(at).unwrap_or(default)
    }

    pub fn int_or_null(&mut self, at: usize) -> Option<i64> {
        match self.val(at) {
            Val::Plain(Value::Int(n)) => Some(n),
            Val::Plain(Value::Bool(b)) => Some(i64::from(b)),
            Val::Plain(Value::Big(n)) => Some(if n.sign() == num_bigint::Sign::Minus { i64::MIN } else { i64::MAX }),
            Val::Plain(Value::Float(x)) => x.to_i64(),
            _ => None,
        }
    }

    pub fn flag(&mut self, at: usize, default: bool) -> bool {
        match self.given(at) {
            Some(val) => val.is_truthy(),
            None => default,
        }
    }

    pub fn timespan(&mut self, at: usize) -> Option<i64> {
        match self.val(at).as_special() {
            Some(Special::Timespan(us)) => Some(*us),
            _ => None,
        }
    }

    pub fn lambda(&mut self, at: usize) -> Option<Lambda<'a>> {
        match self.slots.get_mut(at).map(|slot| std::mem::replace(slot, Slot::Absent)) {
            Some(Slot::Lazy(lambda)) => Some(lambda),
            _ => None,
        }
    }

    /// A lambda that cannot be missing.
    pub fn code(&mut self, at: usize) -> Lambda<'a> {
        self.lambda(at).unwrap_or(Lambda::Fixed(Val::NULL))
    }

    pub fn rest_vals(&mut self) -> Vec<Val<'a>> {
        let rest = std::mem::take(&mut self.rest);
        rest.into_iter()
            .filter_map(|slot| match slot {
                Slot::Val(val) => Some(val),
                _ => None,
            })
            .collect()
    }

    pub fn rest_lambdas(&mut self) -> Vec<Lambda<'a>> {
        let rest = std::mem::take(&mut self.rest);
        rest.into_iter()
            .filter_map(|slot| match slot {
                Slot::Lazy(lambda) => Some(lambda),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn no_function(name: &str) -> Error {
    Error::new("NoMatchingFunctionException", format!("No function \"{name}\" matches supplied arguments"))
}

pub(super) fn bad_keyword() -> Error {
    Error::new("MappingTranslationException", "Cannot convert mapping to keyword argument")
}

/// A receiver in a message: short, because it may be anything.
fn shown(receiver: &Val<'_>) -> String {
    let text = match receiver {
        Val::Plain(Value::Str(text)) => text.to_string(),
        Val::Plain(value @ (Value::Null | Value::Bool(_))) => python::str(value),
        other => operators::text_of(other),
    };
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

struct Site<'s, 'a> {
    name: &'s str,
    receiver: Option<&'s Val<'a>>,
}

impl Site<'_, '_> {
    fn unknown(&self) -> Error {
        match self.receiver {
            None => Error::new("NoFunctionRegisteredException", format!("Unknown function \"{}\"", self.name)),
            Some(receiver) => Error::new(
                "NoMethodRegisteredException",
                format!("Unknown method \"{}\" for receiver {}", self.name, shown(receiver)),
            ),
        }
    }

    fn no_match(&self) -> Error {
        match self.receiver {
            None => no_function(self.name),
            Some(receiver) => Error::new(
                "NoMatchingMethodException",
                format!("No method \"{}\" for receiver {} matches supplied arguments", self.name, shown(receiver)),
            ),
        }
    }

    fn ambiguous(&self) -> Error {
        match self.receiver {
            None => Error::new("AmbiguousFunctionException", format!("Ambiguous function \"{}\"", self.name)),
            Some(receiver) => Error::new(
                "AmbiguousMethodException",
                format!("Ambiguous method \"{}\" for receiver {}", self.name, shown(receiver)),
            ),
        }
    }
}

fn given(args: &[Arg]) -> impl Iterator<Item = Given<'_>> {
    args.iter().map(|arg| match arg {
        Arg::Skipped => Given::Skipped,
        Arg::Positional(node) => Given::Code(node),
        Arg::Named(key, value) => Given::Pair(key, value),
    })
}

/// `name(…)`
pub(super) fn function<'a>(ev: &'a Eval<'a>, call: &'a Call, ctx: &Ctx<'a>) -> Outcome<'a> {
    let args = given(&call.args).collect();
    named_function(ev, &call.name, Known { group: call.group, is_pure: call.is_pure }, args, Vec::new(), ctx)
}

/// Where a function of some name may be found.
struct Known {
    group: Option<&'static Group>,
    is_pure: bool,
}

/// A member of what a function of the host gives, which need not make the whole for it: `task().result`.
pub(super) fn member_of_outside<'a>(ev: &'a Eval<'a>, left: &Node, right: &Node) -> Option<Value> {
    let (Node::Call(call), Node::Keyword(key)) = (left, right) else { return None };
    if call.group.is_some() || call.is_pure || ev.has_definitions() {
        return None;
    }
    let constant = |arg: &Arg| match arg {
        Arg::Positional(Node::Constant(value)) => Some(value.clone()),
        Arg::Positional(Node::Keyword(name)) => Some(Value::Str(name.clone())),
        _ => None,
    };
    let args: Vec<Value> = call.args.iter().map(constant).collect::<Option<_>>()?;
    ev.scope.host.member(&call.name, &args, key)
}

fn named_function<'a>(
    ev: &'a Eval<'a>,
    name: &str,
    known: Known,
    args: Vec<Given<'a>>,
    named: Vec<(Str, Given<'a>)>,
    ctx: &Ctx<'a>,
) -> Outcome<'a> {
    if let Some((body, home)) = ev.defined(ctx, name) {
        return defined(ev, body, &home, args, named, ctx);
    }
    let site = Site { name, receiver: None };
    if let Some(group) = known.group
        && group.entries.iter().any(|entry| entry.is_for(false))
    {
        return resolve(ev, &site, group, args, named, ctx);
    }
    let pure = if known.is_pure { functions::find(name, ev.scope.engine) } else { None };
    let outside = if let Some(function) = pure {
        Outside::Pure(function)
    } else if ev.scope.host.has(name) {
        Outside::Host
    } else {
        match (name, ev.scope.engine) {
            ("st2kv", _) => Outside::Datastore,
            ("uuid", Engine::Mistral) => Outside::Identifier,
            _ => return Err(site.unknown()),
        }
    };
    call_outside(ev, &site, &outside, args, named, ctx)
}

/// A function that is not of the language but of those who use it: it sees plain data only.
enum Outside {
    Pure(&'static functions::Function),
    Host,
    Datastore,
    Identifier,
}

/// `receiver.name(…)`
pub(super) fn method<'a>(ev: &'a Eval<'a>, call: &'a Call, receiver: Val<'a>, ctx: &Ctx<'a>) -> Outcome<'a> {
    let mut args = Vec::with_capacity(call.args.len() + 1);
    args.push(Given::Ready(receiver.clone()));
    args.extend(given(&call.args));
    named_method(ev, &call.name, call.group, &receiver, args, Vec::new(), ctx)
}

fn named_method<'a>(
    ev: &'a Eval<'a>,
    name: &str,
    group: Option<&'static Group>,
    receiver: &Val<'a>,
    args: Vec<Given<'a>>,
    named: Vec<(Str, Given<'a>)>,
    ctx: &Ctx<'a>,
) -> Outcome<'a> {
    let site = Site { name, receiver: Some(receiver) };
    match group {
        Some(group) if group.entries.iter().any(|entry| entry.is_for(true)) => {
            resolve(ev, &site, group, args, named, ctx)
        }
        _ => Err(site.unknown()),
    }
}

/// The function `call`: a name, a list of arguments and a dictionary of keyword arguments.
pub(super) fn by_name<'a>(
    ev: &'a Eval<'a>,
    name: &str,
    args: Vec<Val<'a>>,
    named: Vec<(Str, Val<'a>)>,
    receiver: Option<Val<'a>>,
    ctx: &Ctx<'a>,
) -> Outcome<'a> {
    if let Some(result) = operators::by_name(ev, name, &args, ctx) {
        return result;
    }
    let group = super::table::find(name);
    let named = named.into_iter().map(|(key, val)| (key, Given::Ready(val))).collect();
    let args = args.into_iter().map(Given::Ready);
    match receiver {
        None => {
            let known = Known { group, is_pure: functions::is_known(name) };
            named_function(ev, name, known, args.collect(), named, ctx)
        }
        Some(receiver) => {
            let all = std::iter::once(Given::Ready(receiver.clone())).chain(args).collect();
            named_method(ev, name, group, &receiver, all, named, ctx)
        }
    }
}

/// `value[…]`: a member of a list or dictionary.
pub(super) fn index<'a>(ev: &'a Eval<'a>, value: &'a Node, args: &'a [Arg], ctx: &Ctx<'a>) -> Outcome<'a> {
    if matches!(value, Node::Constant(_) | Node::Keyword(_)) {
        return Err(no_function("#indexer"));
    }
    let (key, default) = match args {
        [Arg::Positional(key)] => (key, None),
        [Arg::Positional(key), Arg::Positional(default)] => (key, Some(default)),
        [Arg::Positional(key), Arg::Named(Node::Keyword(name), default)] if &**name == "default" => {
            (key, Some(default))
        }
        _ => return Err(no_function("#indexer")),
    };
    let value = ev.node(value, ctx)?;
    let key = ev.node(key, ctx)?;
    let default = default.map(|default| ev.node(default, ctx)).transpose()?;
    operators::index(ev, &value, &key, default)
}

fn evaluate<'a>(ev: &'a Eval<'a>, given: &Given<'a>, ctx: &Ctx<'a>) -> Result<Slot<'a>, Error> {
    Ok(match given {
        Given::Skipped => Slot::Absent,
        Given::Code(node) => Slot::Val(ev.node(node, ctx)?),
        Given::Pair(key, value) => Slot::Pair(ev.node(key, ctx)?, ev.node(value, ctx)?),
        Given::Ready(val) => Slot::Val(val.clone()),
    })
}

/// Positional arguments and keyword arguments.
type Split<'a> = (Vec<Given<'a>>, Vec<(Str, Given<'a>)>);

/// Takes `name => value` out of the arguments.
fn split_keywords<'a>(args: Vec<Given<'a>>, mut named: Vec<(Str, Given<'a>)>) -> Result<Split<'a>, Error> {
    let mut positional = Vec::with_capacity(args.len());
    for arg in args {
        match arg {
            Given::Pair(Node::Keyword(key), value) => {
                named.retain(|(known, _)| known != key);
                named.push((key.clone(), Given::Code(value)));
            }
            Given::Pair(..) => return Err(bad_keyword()),
            other => positional.push(other),
        }
    }
    Ok((positional, named))
}

/// A function that `def` made takes any arguments: `$1`, `$2`, … and names.
fn defined<'a>(
    ev: &'a Eval<'a>,
    body: &'a Node,
    home: &Ctx<'a>,
    args: Vec<Given<'a>>,
    named: Vec<(Str, Given<'a>)>,
    ctx: &Ctx<'a>,
) -> Outcome<'a> {
    let _deeper = ev.recurse()?;
    let (args, named) = split_keywords(args, named)?;
    let mut numbered = Vec::with_capacity(args.len());
    for arg in &args {
        if let Slot::Val(val) = evaluate(ev, arg, ctx)? {
            numbered.push(val);
        }
    }
    let mut names = Vec::with_capacity(named.len());
    for (name, arg) in &named {
        if let Slot::Val(val) = evaluate(ev, arg, ctx)? {
            names.push((name.clone(), val));
        }
    }
    let frame = ev.frame(home, Names::new(numbered, names))?;
    ev.node(body, &frame)
}

fn call_outside<'a>(
    ev: &'a Eval<'a>,
    site: &Site<'_, 'a>,
    outside: &Outside,
    args: Vec<Given<'a>>,
    named: Vec<(Str, Given<'a>)>,
    ctx: &Ctx<'a>,
) -> Outcome<'a> {
    let (args, named) = split_keywords(args, named)?;
    let mut plain = Vec::with_capacity(args.len());
    for arg in &args {
        match evaluate(ev, arg, ctx)? {
            Slot::Val(val) => plain.push(super::output::convert(ev, val)?),
            _ => return Err(site.no_match()),
        }
    }
    let mut keywords = Vec::with_capacity(named.len());
    for (name, arg) in &named {
        if let Slot::Val(val) = evaluate(ev, arg, ctx)? {
            keywords.push((name.clone(), super::output::convert(ev, val)?));
        }
    }
    let host = ev.scope.host;
    // YAQL knows parameters of Python functions by their camel case names alone.
    if keywords.iter().any(|(name, _)| name.contains('_')) {
        return Err(site.no_match());
    }
    let result = match outside {
        // What YAQL hands over is never the kind of dictionary that `json` lets pass.
        Outside::Pure(function) if function.name == "json" && matches!(plain.first(), Some(Value::Map(_))) => {
            return Err(Error::new("TypeError", "Given object is not typeof string."));
        }
        Outside::Pure(function) => function.call(&plain, &keywords, &ev.budget).ok_or_else(|| site.no_match())?,
        Outside::Host => host.call(site.name, &plain, &keywords).ok_or_else(|| match host.has(site.name) {
            true => site.no_match(),
            false => site.unknown(),
        })?,
        Outside::Datastore => functions::kv(host, &plain, &keywords),
        Outside::Identifier if plain.is_empty() && keywords.is_empty() => Ok(functions::uuid(host)),
        Outside::Identifier => return Err(site.no_match()),
    };
    result.map(Val::Plain)
}

/// For each argument the parameter it goes to; `None` when the overload cannot be meant.
struct Mapping {
    entry: &'static Entry,
    /// Parameter of each positional argument.
    positional: Vec<usize>,
    /// Parameter of each keyword argument.
    named: Vec<usize>,
}

impl Mapping {
    fn of<'v>(entry: &'static Entry, args: &[Given<'v>], named: &[(Str, Given<'v>)]) -> Option<Mapping> {
        let params = entry.params;
        let fixed = params.iter().take_while(|p| matches!(p.need, Need::Required | Need::Optional)).count();
        let rest = params.iter().position(|p| p.need == Need::Rest);
        let keywords = params.iter().position(|p| p.need == Need::Keywords);
        let mut positional = Vec::with_capacity(args.len());
        for at in 0..args.len() {
            positional.push(if at < fixed { at } else { rest? });
        }
        let mut by_name = Vec::with_capacity(named.len());
        for (name, _) in named {
            match params.iter().take(fixed).position(|p| p.name == &**name) {
                Some(at) if at < args.len() && !matches!(args.get(at), Some(Given::Skipped)) => return None,
                Some(at) => by_name.push(at),
                None => by_name.push(keywords?),
            }
        }
        for (at, param) in params.iter().enumerate().take(fixed) {
            let is_given = args.get(at).is_some_and(|a| !matches!(a, Given::Skipped)) || by_name.contains(&at);
            if param.need == Need::Required && !is_given {
                return None;
            }
        }
        let mapping = Mapping { entry, positional, named: by_name };
        mapping.constants_fit(args, named).then_some(mapping)
    }

    fn param(&self, at: usize) -> Type {
        self.entry.params.get(at).map_or(Type::Any, |p| p.accepts)
    }

    /// What is known before evaluation must have the right type already.
    fn constants_fit<'v>(&self, args: &[Given<'v>], named: &[(Str, Given<'v>)]) -> bool {
        let positional = self.positional.iter().zip(args);
        let by_name = self.named.iter().zip(named.iter().map(|(_, arg)| arg));
        positional.chain(by_name).all(|(param, arg)| {
            let accepts = self.param(*param);
            match arg {
                Given::Code(_) | Given::Ready(_) if accepts == Type::LazyPair => false,
                Given::Pair(..) if accepts == Type::LazyPair => true,
                Given::Skipped => self.entry.params.get(*param).is_some_and(|p| p.need == Need::Optional),
                Given::Code(Node::Constant(value)) => accepts.accepts(&Val::Plain(value.clone())),
                Given::Code(Node::Keyword(name)) => accepts.accepts(&Val::Plain(Value::Str(name.clone()))),
                Given::Ready(val) => accepts.accepts(val),
                Given::Code(_) | Given::Pair(..) => true,
            }
        })
    }

    fn laziness(&self) -> impl Iterator<Item = bool> + '_ {
        self.positional.iter().chain(&self.named).map(|param| self.param(*param).is_lazy())
    }

    fn fits<'v>(&self, args: &[Slot<'v>], named: &[(Str, Slot<'v>)]) -> bool {
        let positional = self.positional.iter().zip(args);
        let by_name = self.named.iter().zip(named.iter().map(|(_, arg)| arg));
        positional.chain(by_name).all(|(param, slot)| match slot {
            Slot::Val(val) => self.param(*param).accepts(val),
            Slot::Pair(..) => self.param(*param) == Type::Pair,
            Slot::Absent | Slot::Lazy(_) | Slot::LazyPair(..) => true,
        })
    }

    fn narrower_than(&self, other: &Mapping) -> bool {
        let pairs = || self.positional.iter().zip(&other.positional);
        pairs().any(|(a, b)| self.param(*a).narrower_than(other.param(*b)))
            && !pairs().any(|(a, b)| other.param(*b).narrower_than(self.param(*a)))
    }

    fn args<'a>(&self, args: Vec<Slot<'a>>, named: Vec<(Str, Slot<'a>)>, ctx: &Ctx<'a>) -> Args<'a> {
        let params = self.entry.params;
        let fixed = params.iter().take_while(|p| matches!(p.need, Need::Required | Need::Optional)).count();
        let mut slots = args;
        let rest = if slots.len() > fixed { slots.split_off(fixed) } else { Vec::new() };
        slots.resize(fixed, Slot::Absent);
        let mut others = Vec::new();
        for (at, (name, slot)) in self.named.iter().zip(named) {
            match (slots.get_mut(*at), slot) {
                (Some(place), slot) => *place = slot,
                (None, Slot::Val(val)) => others.push((name, val)),
                _ => {}
            }
        }
        Args { slots, rest, named: others, ctx: ctx.clone() }
    }
}

fn resolve<'a>(
    ev: &'a Eval<'a>,
    site: &Site<'_, 'a>,
    group: &'static Group,
    args: Vec<Given<'a>>,
    named: Vec<(Str, Given<'a>)>,
    ctx: &Ctx<'a>,
) -> Outcome<'a> {
    // A call takes more stack than an operator: it counts twice.
    let _deeper = ev.enter()?;
    let is_method = site.receiver.is_some();
    let candidates = || group.entries.iter().filter(|entry| entry.is_for(is_method));
    let mut each = candidates();
    if let (Some(only), None) = (each.next(), each.next())
        && let Some(result) = call_only(ev, site, only, &args, &named, ctx)
    {
        return result;
    }
    let no_keywords = candidates().next().is_some_and(|entry| entry.no_keywords);
    if candidates().any(|entry| entry.no_keywords != no_keywords) {
        return Err(site.ambiguous());
    }
    let (args, named) = if no_keywords {
        if let Some((name, _)) = named.first() {
            return Err(Error::new("ArgumentException", format!("Invalid argument \"{name}\"")));
        }
        (args, named)
    } else {
        split_keywords(args, named)?
    };
    let mut mappings: Vec<Mapping> = candidates().filter_map(|entry| Mapping::of(entry, &args, &named)).collect();
    let Some(first) = mappings.first() else { return Err(site.no_match()) };
    if mappings.iter().skip(1).any(|other| !other.laziness().eq(first.laziness())) {
        return Err(site.ambiguous());
    }
    let slots = ready(ev, &args, first.positional.iter().map(|p| first.param(*p)), ctx)?;
    let values: Vec<Given<'a>> = named.iter().map(|(_, arg)| arg.clone()).collect();
    let by_name = ready(ev, &values, first.named.iter().map(|p| first.param(*p)), ctx)?;
    let by_name: Vec<(Str, Slot<'a>)> = named.into_iter().map(|(name, _)| name).zip(by_name).collect();
    mappings.retain(|mapping| mapping.fits(&slots, &by_name));
    let mut winner: Option<Mapping> = None;
    for mapping in mappings {
        winner = match winner {
            None => Some(mapping),
            Some(best) if best.narrower_than(&mapping) => Some(best),
            Some(best) if mapping.narrower_than(&best) => Some(mapping),
            Some(_) => return Err(site.ambiguous()),
        };
    }
    let Some(winner) = winner else { return Err(site.no_match()) };
    let args = winner.args(slots, by_name, ctx);
    (winner.entry.run)(ev, args)
}

/// The common case made short: one overload, positional arguments, as many as there are parameters or fewer, or a last
/// parameter that takes all the others.
/// `None` when it is not the common case.
fn call_only<'a>(
    ev: &'a Eval<'a>,
    site: &Site<'_, 'a>,
    entry: &'static Entry,
    args: &[Given<'a>],
    named: &[(Str, Given<'a>)],
    ctx: &Ctx<'a>,
) -> Option<Outcome<'a>> {
    let (params, rest) = match entry.params {
        [params @ .., last] if last.need == Need::Rest => (params, Some(last)),
        params => (params, None),
    };
    let is_plain = named.is_empty()
        && !entry.no_keywords
        && params.last().is_none_or(|last| matches!(last.need, Need::Required | Need::Optional))
        && rest.is_none_or(|rest| !matches!(rest.accepts, Type::Lambda | Type::LazyPair | Type::Pair))
        && args.iter().all(|arg| matches!(arg, Given::Code(_) | Given::Ready(_)));
    if !is_plain {
        return None;
    }
    // The parameter of each argument.
    let each = || params.iter().chain(rest.into_iter().cycle());
    let fits = (args.len() <= params.len() || rest.is_some())
        && params.iter().skip(args.len()).all(|param| param.need == Need::Optional)
        && args.iter().zip(each()).all(|(arg, param)| match arg {
            Given::Code(Node::Constant(value)) => param.accepts.accepts_plain(value),
            Given::Ready(val) => param.accepts.accepts(val),
            _ => true,
        });
    if !fits {
        return Some(Err(site.no_match()));
    }
    let mut slots = match ready(ev, args, each().map(|param| param.accepts), ctx) {
        Ok(slots) => slots,
        Err(error) => return Some(Err(error)),
    };
    let mut checked = slots.iter().zip(each());
    if !checked.all(|(slot, param)| !matches!(slot, Slot::Val(val) if !param.accepts.accepts(val))) {
        return Some(Err(site.no_match()));
    }
    let rest = if slots.len() > params.len() { slots.split_off(params.len()) } else { Vec::new() };
    slots.resize(params.len(), Slot::Absent);
    Some((entry.run)(ev, Args { slots, rest, named: Vec::new(), ctx: ctx.clone() }))
}

/// Evaluates what is not lazy.
fn ready<'a>(
    ev: &'a Eval<'a>,
    args: &[Given<'a>],
    types: impl Iterator<Item = Type>,
    ctx: &Ctx<'a>,
) -> Result<Vec<Slot<'a>>, Error> {
    let mut slots = Vec::with_capacity(args.len());
    for (arg, accepts) in args.iter().zip(types) {
        slots.push(match (arg, accepts) {
            (Given::Code(node), Type::Lambda) => Slot::Lazy(Lambda::Code(node, ctx.clone())),
            (Given::Ready(val), Type::Lambda) if val.is_null() => Slot::Absent,
            (Given::Ready(val), Type::Lambda) => Slot::Lazy(Lambda::Fixed(val.clone())),
            (Given::Pair(key, value), Type::LazyPair) => {
                Slot::LazyPair(Lambda::Code(key, ctx.clone()), Lambda::Code(value, ctx.clone()))
            }
            _ => evaluate(ev, arg, ctx)?,
        });
    }
    Ok(slots)
}
