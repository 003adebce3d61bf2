//! Query strings: typed reading, paging, times, with StackStorm's texts when something does not fit.
//!
//! Unknown parameters are ignored; of repeated ones the last counts.

use crate::fault::Fault;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use squall_model::Timestamp;
use std::convert::Infallible;

/// The largest page that somebody who is no admin may ask for.
pub(crate) const MAX_PAGE: u64 = 100;

/// The most rows that may be skipped.
const MAX_OFFSET: i64 = i32::MAX as i64;

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// Which part of a list; `limit` is `None` for all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paging {
    /// How many at most.
    pub limit: Option<u64>,
    /// How many to leave out.
    pub offset: u64,
}

impl Query {
    /// Reads `a=1&b=2`; pairs that are no UTF-8 are left out.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|p| !p.is_empty()).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        });
        Query { pairs: pairs.collect() }
    }

    /// The last value of `name`, as it was sent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The value of `name` if it is not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Fault> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::bad(format!("Parameter \"{name}\" is not of type integer")));
        }
        // More digits than 64 bits hold are as large as can be; every use has a bound below that.
        let far = if text.starts_with('-') { i64::MIN } else { i64::MAX };
        Ok(Some(text.parse().unwrap_or(far)))
    }

    /// A truth value.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Fault> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" => Ok(Some(true)),
            "false" | "0" | "no" | "n" => Ok(Some(false)),
            _ => Err(Fault::bad(format!("Parameter \"{name}\" is not of type boolean"))),
        }
    }

    /// Whether a truth value is given and true.
    pub fn is_set(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.boolean(name)?.unwrap_or(false))
    }

    /// Parts separated by commas; empty ones are left out.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.get(name).unwrap_or_default().split(',').map(str::trim).filter(|p| !p.is_empty()).collect()
    }

    /// Which part of a list is wanted. `default` is the endpoint's own limit; only admins may go beyond [`MAX_PAGE`].
    pub fn paging(&self, default: Option<u64>, is_admin: bool) -> Result<Paging, Fault> {
        let offset = self.integer("offset")?.unwrap_or(0);
        if offset > MAX_OFFSET {
            return Err(Fault::bad(format!("Offset \"{offset}\" specified is more than 32-bit int")));
        }
        let offset = u64::try_from(offset)
            .map_err(|_| Fault::bad(format!("Offset, \"{offset}\" specified, must be a positive number.")))?;
        let limit = match self.integer("limit")? {
            None => default,
            Some(0) => {
                let text = "Limit, \"0\" specified, must be a positive number or -1 for full result set.";
                return Err(Fault::bad(text));
            }
            Some(-1) if is_admin => None,
            Some(-1) => return Err(too_much(-1)),
            Some(n) => {
                let limit = u64::try_from(n)
                    .map_err(|_| Fault::bad(format!("Limit, \"{n}\" specified, must be a positive number.")))?;
                if limit > MAX_PAGE && !is_admin {
                    return Err(too_much(n));
                }
                Some(limit)
            }
        };
        Ok(Paging { limit, offset })
    }

    /// A moment, in the one form that StackStorm takes: UTC, with seconds and an optional fraction.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Fault> {
        self.filled(name).map(time).transpose()
    }
}

fn too_much(limit: i64) -> Fault {
    Fault::forbidden(format!("Limit \"{limit}\" specified, maximum value is \"{MAX_PAGE}\""))
}

/// Reads `2016-01-21T17:28:39.012345Z` and its few variants.
pub(crate) fn time(text: &str) -> Result<Timestamp, Fault> {
    let bad = || Fault::bad("Datetime value does not match expected format.");
    let zone = ["Z", "+00:00", "+0000", "+00"].iter().find_map(|zone| text.strip_suffix(zone)).ok_or_else(bad)?;
    let (whole, fraction) = zone.split_once('.').map_or((zone, None), |(w, f)| (w, Some(f)));
    let is_shaped = whole.len() == 19
        && whole.bytes().zip(b"dddd-dd-dd?dd:dd:dd").all(|(b, shape)| match shape {
            b'd' => b.is_ascii_digit(),
            b'?' => matches!(b, b'T' | b' '),
            other => b == *other,
        });
    let is_fraction = |f: &str| (3..=6).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit());
    if !is_shaped || !fraction.is_none_or(is_fraction) {
        return Err(bad());
    }
    Timestamp::parse_iso(&format!("{}Z", zone.replacen(' ', "T", 1))).ok_or_else(bad)
}

/// Undoes percent-encoding; `plus` makes a blank of `+` as forms do. `None` for what cannot be decoded.
pub(crate) fn decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Infallible> {
        Ok(Query::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses<T: std::fmt::Debug>(what: Result<T, Fault>, status: u16, text: &str) {
        let fault = what.expect_err("it was taken");
        assert_eq!((fault.status().as_u16(), fault.text()), (status, text));
    }

    #[test]
    fn the_last_repetition_counts() {
        let q = Query::parse("a=1&a=2&b=x%2Cy&c=a+b&d");
        assert_eq!((q.get("a"), q.get("c"), q.get("d"), q.get("e")), (Some("2"), Some("a b"), Some(""), None));
        assert_eq!(q.list("b"), ["x", "y"]);
    }

    #[test]
    fn limits_have_the_texts_of_the_contract() {
        let paging = |q: &str, admin| Query::parse(q).paging(Some(50), admin);
        assert_eq!(paging("", false), Ok(Paging { limit: Some(50), offset: 0 }));
        assert_eq!(paging("limit=7&offset=3", false), Ok(Paging { limit: Some(7), offset: 3 }));
        assert_eq!(paging("limit=-1", true), Ok(Paging { limit: None, offset: 0 }));
        assert_eq!(paging("limit=1000", true), Ok(Paging { limit: Some(1000), offset: 0 }));
        refuses(
            paging("limit=0", true),
            400,
            "Limit, \"0\" specified, must be a positive number or -1 for full result set.",
        );
        refuses(paging("limit=-2", true), 400, "Limit, \"-2\" specified, must be a positive number.");
        refuses(paging("limit=101", false), 403, "Limit \"101\" specified, maximum value is \"100\"");
        refuses(paging("limit=-1", false), 403, "Limit \"-1\" specified, maximum value is \"100\"");
        refuses(paging("limit=x", true), 400, "Parameter \"limit\" is not of type integer");
        refuses(paging("offset=2147483648", true), 400, "Offset \"2147483648\" specified is more than 32-bit int");
        refuses(paging("offset=-1", true), 400, "Offset, \"-1\" specified, must be a positive number.");
    }

    #[test]
    fn truth_has_many_words() {
        let q = Query::parse("a=YES&b=0&c=maybe");
        assert_eq!((q.boolean("a"), q.boolean("b"), q.boolean("x")), (Ok(Some(true)), Ok(Some(false)), Ok(None)));
        refuses(q.boolean("c"), 400, "Parameter \"c\" is not of type boolean");
    }

    #[test]
    fn times_come_in_one_form() {
        for text in [
            "2016-01-21T17:28:39Z",
            "2016-01-21 17:28:39.012Z",
            "2016-01-21T17:28:39.012345+00:00",
            "2016-01-21T17:28:39+00",
        ] {
            assert!(time(text).is_ok(), "{text}");
        }
        for text in [
            "2016-01-21",
            "2016-01-21T17:28:39",
            "2016-01-21T17:28:39.1Z",
            "2016-13-21T17:28:39Z",
            "ü016-01-21T17:28:39Z",
        ] {
            refuses(time(text), 400, "Datetime value does not match expected format.");
        }
    }

    #[test]
    fn broken_escapes_are_no_text() {
        assert_eq!(decode("%zz", false), None);
        assert_eq!(decode("%e2%82", false), None);
        assert_eq!(decode("%E2%82%AC+", false).as_deref(), Some("€+"));
    }
}
