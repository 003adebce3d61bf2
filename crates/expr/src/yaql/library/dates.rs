//! Moments with an offset, and durations, both in microseconds.

use crate::Error;
use crate::functions::moments;
use crate::python;
use crate::yaql::call::Args;
use crate::yaql::eval::{Eval, Outcome};
use crate::yaql::number::Number;
use crate::yaql::operators;
use crate::yaql::table::{Entry, Param, Type, function, method, opt, req};
use crate::yaql::value::Val;
use squall_model::Special;

/// The years 1 to 9999, which is all that Python knows, in microseconds since 1970.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A duration; `None` has left the range.
pub(in crate::yaql) fn timespan<'a>(us: Option<i64>) -> Outcome<'a> {
    match us {
        Some(us) => Ok(Val::special(Special::Timespan(us))),
        None => Err(Error::new("OverflowError", "timespan too large")),
    }
}

/// A duration from a computed number of microseconds, half to even.
pub(in crate::yaql) fn rounded<'a>(us: f64) -> Outcome<'a> {
    if us.is_nan() {
        return Err(Error::new("ValueError", "cannot convert float NaN to integer"));
    }
    let us = us.round_ties_even();
    timespan((us.abs() < 9.2e18).then_some(us as i64))
}

/// A moment; `None` or a local time outside of the years 1 to 9999 is an error.
pub(in crate::yaql) fn datetime<'a>(micros: Option<i64>, offset_seconds: i32) -> Outcome<'a> {
    let local = micros.and_then(|micros| micros.checked_add(i64::from(offset_seconds) * SECOND));
    match (micros, local) {
        (Some(micros), Some(FIRST..=LAST)) if (FIRST..=LAST).contains(&micros) => {
            Ok(Val::special(Special::DateTime { micros, offset_seconds }))
        }
        _ => Err(Error::new("OverflowError", "date value out of range")),
    }
}

/// An offset must be whole seconds within a day.
fn offset(us: i64) -> Result<i32, Error> {
    let seconds = us.div_euclid(SECOND);
    match i32::try_from(seconds) {
        Ok(seconds) if seconds.abs() < 86_400 => Ok(seconds),
        _ => Err(Error::new("ValueError", "offset must be strictly between a day back and a day ahead")),
    }
}

fn moment(val: &Val<'_>) -> (i64, i32) {
    match val.as_special() {
        Some(Special::DateTime { micros, offset_seconds }) => (*micros, *offset_seconds),
        _ => (0, 0),
    }
}

/// Year to microsecond of a local time.
type Fields = [i64; 7];

fn fields(micros: i64, offset_seconds: i32) -> Fields {
    let Some(local) = python::civil(micros, offset_seconds) else { return [1970, 1, 1, 0, 0, 0, 0] };
    [
        local.year().into(),
        local.month().into(),
        local.day().into(),
        local.hour().into(),
        local.minute().into(),
        local.second().into(),
        micros.rem_euclid(SECOND),
    ]
}

fn build<'a>(fields: Fields, offset_seconds: i32) -> Outcome<'a> {
    let [year, month, day, hour, minute, second, micro] = fields;
    let check = |what: &str, n: i64, low: i64, high: i64| {
        if (low..=high).contains(&n) {
            Ok(n)
        } else {
            Err(Error::new("ValueError", format!("{what} must be in {low}..{high}")))
        }
    };
    let year = check("year", year, 1, 9999)?;
    let month = check("month", month, 1, 12)?;
    check("hour", hour, 0, 23)?;
    check("minute", minute, 0, 59)?;
    check("second", second, 0, 59)?;
    check("microsecond", micro, 0, 999_999)?;
    let days = moments::days_from_civil(year, month, day)
        .ok_or_else(|| Error::new("ValueError", "day is out of range for month"))?;
    let local = days * DAY + hour * HOUR + minute * MINUTE + second * SECOND + micro;
    datetime(Some(local - i64::from(offset_seconds) * SECOND), offset_seconds)
}

fn from_parts<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let mut fields = [0; 7];
    for (at, field) in fields.iter_mut().enumerate() {
        *field = args.int(at, 0);
    }
    let offset_seconds = offset(args.timespan(7).unwrap_or(0))?;
    build(fields, offset_seconds)
}

fn from_timestamp<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let stamp = operators::number(&args.val(0)).unwrap_or(Number::Int(0));
    let offset_seconds = offset(args.timespan(1).unwrap_or(0))?;
    let out_of_range = || Error::new("ValueError", "year is out of range");
    let micros = match stamp {
        Number::Int(n) => n.checked_mul(SECOND).ok_or_else(out_of_range)?,
        other => {
            let us = (other.to_float()? * 1e6).round_ties_even();
            if us.is_nan() || us.abs() > 9e18 {
                return Err(out_of_range());
            }
            us as i64
        }
    };
    datetime(Some(micros), offset_seconds).map_err(|_| out_of_range())
}

fn from_string<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    let format = args.text_or_null(1).filter(|format| !format.is_empty());
    ev.budget.step(text.len() as u64 / 8)?;
    let parsed = match format {
        Some(format) => moments::parse_with(&text, &format)?,
        None => moments::parse_free(&text, ev.scope.host.now().micros())?,
    };
    build(parsed.fields, parsed.offset_seconds.unwrap_or(0))
}

fn build_timespan<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let units = [DAY, HOUR, MINUTE, SECOND, 1000, 1];
    let mut total = Some(0_i64);
    for (at, unit) in units.iter().enumerate() {
        let part = args.int(at, 0).checked_mul(*unit);
        total = total.zip(part).and_then(|(total, part)| total.checked_add(part));
    }
    timespan(total)
}

fn now<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    datetime(Some(ev.scope.host.now().micros()), offset(args.timespan(0).unwrap_or(0))?)
}

/// The server has no time zone of its own: content must not depend on where it runs.
fn utc_offset<'a>(_: &'a Eval<'a>, _: Args<'a>) -> Outcome<'a> {
    timespan(Some(0))
}

fn replace<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (micros, mut offset_seconds) = moment(&args.val(0));
    let mut fields = fields(micros, offset_seconds);
    for (at, field) in fields.iter_mut().enumerate() {
        if let Some(new) = args.int_or_null(at + 1) {
            *field = new;
        }
    }
    if let Some(us) = args.timespan(8) {
        offset_seconds = offset(us)?;
    }
    build(fields, offset_seconds)
}

fn format<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (micros, offset_seconds) = moment(&args.val(0));
    let format = args.text(1);
    // No directive gives more than about 30 characters.
    ev.budget.bytes(format.len() as u64 * 16)?;
    Ok(Val::from(moments::format(&fields(micros, offset_seconds), offset_seconds, &format)))
}

fn is_datetime<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(matches!(args.val(0).as_special(), Some(Special::DateTime { .. }))))
}

fn is_timespan<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(matches!(args.val(0).as_special(), Some(Special::Timespan(_)))))
}

const DATETIME_PROPERTIES: &[&str] = &[
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "microsecond",
    "date",
    "time",
    "weekday",
    "utc",
    "offset",
    "timestamp",
];
const TIMESPAN_PROPERTIES: &[&str] = &["days", "hours", "minutes", "seconds", "milliseconds", "microseconds"];

/// `.year` and the like; what is no property is an unknown function of that name.
pub(in crate::yaql) fn property<'a>(receiver: &Val<'a>, name: &str) -> Outcome<'a> {
    let of_datetime = DATETIME_PROPERTIES.iter().position(|known| *known == name);
    let of_timespan = TIMESPAN_PROPERTIES.iter().position(|known| *known == name);
    match (receiver.as_special(), of_datetime, of_timespan) {
        (Some(Special::DateTime { micros, offset_seconds }), Some(at), _) => {
            datetime_property(*micros, *offset_seconds, at)
        }
        (Some(Special::Timespan(us)), _, Some(at)) => Ok(match at {
            0 => Val::from(*us as f64 / DAY as f64),
            1 => Val::from(*us as f64 / HOUR as f64),
            2 => Val::from(*us as f64 / MINUTE as f64),
            3 => Val::from(*us as f64 / SECOND as f64),
            4 => Val::from(*us as f64 / 1000.0),
            _ => Val::from(*us),
        }),
        (_, None, None) => {
            let message = format!("Unknown function \"#property#{name}\"");
            Err(Error::new("NoFunctionRegisteredException", message))
        }
        _ => Err(crate::yaql::call::no_function(&format!("#property#{name}"))),
    }
}

fn datetime_property<'a>(micros: i64, offset_seconds: i32, at: usize) -> Outcome<'a> {
    let fields = fields(micros, offset_seconds);
    let local = micros + i64::from(offset_seconds) * SECOND;
    let midnight = local.div_euclid(DAY) * DAY;
    match at {
        0..=6 => Ok(Val::from(fields.get(at).copied().unwrap_or(0))),
        7 => datetime(Some(midnight - i64::from(offset_seconds) * SECOND), offset_seconds),
        8 => timespan(Some(local - midnight)),
        // Day 0 was a Thursday, which is 3.
        9 => Ok(Val::from((local.div_euclid(DAY) + 3).rem_euclid(7))),
        // Moves the clock by the offset and keeps the label, as the original does.
        10 => datetime(micros.checked_sub(i64::from(offset_seconds) * SECOND), offset_seconds),
        11 => timespan(Some(i64::from(offset_seconds) * SECOND)),
        _ => {
            // The same quirk: seconds of what `utc` gives.
            let shifted = micros - i64::from(offset_seconds) * SECOND;
            Ok(Val::from(shifted as f64 / 1e6))
        }
    }
}

const OFFSET: Param = opt("offset", Type::Timespan);

pub(in crate::yaql) const TABLE: &[Entry] = &[
    function(
        "datetime",
        &[
            req("year", Type::Int),
            req("month", Type::Int),
            req("day", Type::Int),
            opt("hour", Type::Int),
            opt("minute", Type::Int),
            opt("second", Type::Int),
            opt("microsecond", Type::Int),
            OFFSET,
        ],
        from_parts,
    ),
    function("datetime", &[req("timestamp", Type::Number), OFFSET], from_timestamp),
    function("datetime", &[req("string", Type::Str), opt("format", Type::StrOrNull)], from_string),
    function(
        "timespan",
        &[
            opt("days", Type::Int),
            opt("hours", Type::Int),
            opt("minutes", Type::Int),
            opt("seconds", Type::Whole),
            opt("milliseconds", Type::Whole),
            opt("microseconds", Type::Whole),
        ],
        build_timespan,
    ),
    function("now", &[opt("offset", Type::TimespanOrNull)], now),
    function("localtz", &[], utc_offset),
    function("utctz", &[], utc_offset),
    method(
        "replace",
        &[
            req("dt", Type::DateTime),
            opt("year", Type::IntOrNull),
            opt("month", Type::IntOrNull),
            opt("day", Type::IntOrNull),
            opt("hour", Type::IntOrNull),
            opt("minute", Type::IntOrNull),
            opt("second", Type::IntOrNull),
            opt("microsecond", Type::IntOrNull),
            opt("offset", Type::TimespanOrNull),
        ],
        replace,
    ),
    method("format", &[req("dt", Type::DateTime), req("format", Type::Str)], format),
    function("isDatetime", &[req("value", Type::Any)], is_datetime),
    function("isTimespan", &[req("value", Type::Any)], is_timespan),
];
