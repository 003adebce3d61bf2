//! Names and contexts: `let`, `with`, `unpack`, `def`, `call`, `assert`.

use crate::Error;
use crate::yaql::call::{self, Args};
use crate::yaql::eval::{Eval, Lambda, Names, Outcome};
use crate::yaql::table::{Entry, Type, function, keywords, method, opt, req, rest};
use crate::yaql::value::Val;
use squall_model::{Str, Value};

fn let_names<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let numbered = args.rest_vals();
    Ok(Val::Context(ev.frame(&args.ctx, Names::new(numbered, args.named))?))
}

fn unpack<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    let names = args.rest_vals();
    let mut cursor = ev.walk(&items)?;
    let mut vals = Vec::new();
    while names.is_empty() || vals.len() <= names.len() {
        let Some(item) = cursor.next(ev)? else { break };
        ev.budget.bytes(32)?;
        vals.push(item);
    }
    if names.is_empty() {
        return Ok(Val::Context(ev.frame(&args.ctx, Names::new(vals, Vec::new()))?));
    }
    if vals.len() != names.len() {
        let message = format!("Cannot unpack {} elements into {}", vals.len(), names.len());
        return Err(Error::new("ValueError", message));
    }
    let named = names.into_iter().zip(vals).filter_map(|(name, val)| match name {
        Val::Plain(Value::Str(name)) => Some((name, val)),
        _ => None,
    });
    Ok(Val::Context(ev.frame(&args.ctx, Names::new(Vec::new(), named.collect()))?))
}

fn define<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let name = args.text(0);
    match args.code(1) {
        Lambda::Code(body, _) => Ok(Val::Context(ev.define(&args.ctx, name, body)?)),
        Lambda::Fixed(_) => Err(call::no_function("def")),
    }
}

fn assert<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let mut val = args.val(0);
    let condition = args.code(1);
    let message = args.text_or_null(2);
    if matches!(val, Val::Iter(_)) {
        val = super::queries::memorized(ev, &val)?;
    }
    if condition.call(ev, val.clone())?.is_truthy() {
        return Ok(val);
    }
    Err(Error::new("AssertionError", message.as_deref().unwrap_or("Assertion failed")))
}

fn call_by_name<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let _deeper = ev.recurse()?;
    let name = args.text(0);
    let positional = ev.collect(&args.val(1))?;
    let named = args.val(2).pairs().into_iter().filter_map(|(key, val)| match key {
        Val::Plain(Value::Str(key)) => Some((key, val)),
        _ => None,
    });
    let named: Vec<(Str, Val<'a>)> = named.collect();
    let receiver = args.given(3);
    call::by_name(ev, &name, positional, named, receiver, &args.ctx)
}

pub(in crate::yaql) const TABLE: &[Entry] = &[
    function("let", &[rest("args", Type::Any), keywords("kwargs")], let_names),
    function("with", &[rest("args", Type::Any)], let_names),
    method("unpack", &[req("sequence", Type::Iterable), rest("args", Type::Str)], unpack),
    function("def", &[req("name", Type::Str), req("func", Type::Lambda)], define),
    method("assert", &[req("obj", Type::Any), req("condition", Type::Lambda), opt("message", Type::Str)], assert),
    function(
        "call",
        &[
            req("name", Type::Str),
            req("args", Type::Sequence),
            req("kwargs", Type::Mapping),
            opt("receiver", Type::Any),
        ],
        call_by_name,
    ),
];
