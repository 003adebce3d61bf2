//! Booleans and choices. What is not chosen is not evaluated.

use crate::yaql::call::{Args, Slot};
use crate::yaql::eval::{Eval, Lambda, Outcome};
use crate::yaql::table::{Entry, Type, function, method, req, rest};
use crate::yaql::value::Val;
use squall_model::Value;

fn to_bool<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(args.val(0).is_truthy()))
}

fn is_boolean<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(matches!(args.val(0), Val::Plain(Value::Bool(_)))))
}

fn switch<'a>(ev: &'a Eval<'a>, args: Args<'a>) -> Outcome<'a> {
    for slot in args.rest {
        if let Slot::LazyPair(condition, value) = slot
            && condition.call0(ev)?.is_truthy()
        {
            return value.call0(ev);
        }
    }
    Ok(Val::NULL)
}

fn select_case<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let cases = args.rest_lambdas();
    for (i, case) in cases.iter().enumerate() {
        if case.call0(ev)?.is_truthy() {
            return Ok(Val::from(i));
        }
    }
    Ok(Val::from(cases.len()))
}

fn deepest(lambdas: &[Lambda<'_>]) -> u32 {
    lambdas.iter().map(Lambda::nest).max().unwrap_or(0)
}

fn select_all_cases<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let cases = args.rest_lambdas();
    let nest = deepest(&cases);
    let mut left = cases.into_iter().enumerate();
    ev.generator(nest, move |ev: &'a Eval<'a>| {
        for (i, case) in left.by_ref() {
            if case.call0(ev)?.is_truthy() {
                return Ok(Some(Val::from(i)));
            }
        }
        Ok(None)
    })
}

fn examine<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let cases = args.rest_lambdas();
    let nest = deepest(&cases);
    let mut left = cases.into_iter();
    ev.generator(nest, move |ev: &'a Eval<'a>| match left.next() {
        Some(case) => Ok(Some(Val::from(case.call0(ev)?.is_truthy()))),
        None => Ok(None),
    })
}

fn switch_case<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let case = usize::try_from(args.int(0, 0)).ok();
    let cases = args.rest_lambdas();
    match case.and_then(|at| cases.get(at)).or(cases.last()) {
        Some(chosen) => chosen.call0(ev),
        None => Ok(Val::NULL),
    }
}

fn coalesce<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    for case in args.rest_lambdas() {
        let val = case.call0(ev)?;
        if !val.is_null() {
            return Ok(val);
        }
    }
    Ok(Val::NULL)
}

pub(in crate::yaql) const TABLE: &[Entry] = &[
    function("bool", &[req("value", Type::Any)], to_bool),
    function("isBoolean", &[req("value", Type::Any)], is_boolean),
    function("switch", &[rest("args", Type::LazyPair)], switch).without_keywords(),
    function("selectCase", &[rest("args", Type::Lambda)], select_case),
    function("selectAllCases", &[rest("args", Type::Lambda)], select_all_cases),
    function("examine", &[rest("args", Type::Lambda)], examine),
    method("switchCase", &[req("case", Type::Int), rest("args", Type::Lambda)], switch_case),
    function("coalesce", &[rest("args", Type::Lambda)], coalesce),
];
