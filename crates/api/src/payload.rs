//! Bodies: JSON or a form, read into one value, and the checks that StackStorm's schema would make, in its words.

use crate::fault::Fault;
use crate::limits;
use crate::query::decode;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use squall_expr::python;
use squall_model::{Map, Str, Value, from_json};

/// A body as a value; an empty one is an empty map.
#[derive(Debug, Clone)]
pub(crate) struct Payload(pub Value);

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &S) -> Result<Payload, Fault> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let bytes = arrive(request, limits::BODY_BYTES).await?;
        read(kind.as_deref(), &bytes).map(Payload)
    }
}

/// The bytes of a body, within its bounds of size and time.
pub(crate) async fn arrive(request: Request, most: u64) -> Result<Vec<u8>, Fault> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let too_large = || Fault::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body here has at most {most} bytes"));
    if declared.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let bytes = axum::body::to_bytes(request.into_body(), most as usize);
    match tokio::time::timeout(limits::BODY_TIME, bytes).await {
        Err(_) => Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
        Ok(Err(_)) => Err(too_large()),
        Ok(Ok(bytes)) => Ok(bytes.into()),
    }
}

/// Reads a body by its content type; none means JSON, and plain text is taken for JSON too.
pub(crate) fn read(kind: Option<&str>, bytes: &[u8]) -> Result<Value, Fault> {
    let whole = kind.unwrap_or("application/json");
    let kind = whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let unread = |why: &str| Fault::bad(format!("Failed to parse request body: {why}"));
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::map());
    }
    let text = || std::str::from_utf8(bytes).map_err(|_| unread("the body is no UTF-8"));
    match kind.as_str() {
        "application/json" | "text/plain" | "" => from_json(text()?, false).map_err(|e| unread(&e.to_string())),
        "application/x-www-form-urlencoded" => form(text()?).ok_or_else(|| unread("the form cannot be decoded")),
        _ => Err(unread(&format!("Unsupported Content-Type: \"{kind}\""))),
    }
}

/// `a=1&b=2&b=3` → `{"a": ["1"], "b": ["2", "3"]}`.
fn form(text: &str) -> Option<Value> {
    let mut fields: Vec<(Str, Vec<Value>)> = Vec::new();
    for pair in text.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name, true)?, Value::from(decode(value, true)?));
        match fields.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, values)) => values.push(value),
            None => fields.push((name.into(), vec![value])),
        }
    }
    Some(fields.into_iter().map(|(name, values)| (name, Value::from(values))).collect::<Map>().into())
}

/// What a field of a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Text,
    Object,
    Array,
    Integer,
    Boolean,
}

impl Is {
    fn name(self) -> &'static str {
        match self {
            Is::Text => "string",
            Is::Object => "object",
            Is::Array => "array",
            Is::Integer => "integer",
            Is::Boolean => "boolean",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Is::Text => value.as_str().is_some(),
            Is::Object => value.as_map().is_some(),
            Is::Array => value.as_list().is_some(),
            Is::Integer => matches!(value, Value::Int(_) | Value::Big(_)),
            Is::Boolean => value.as_bool().is_some(),
        }
    }
}

impl Payload {
    /// The body as an object.
    pub fn object(&self) -> Result<&Map, Fault> {
        self.0.as_map().ok_or_else(|| wrong(&self.0, Is::Object))
    }

    /// Refuses fields that nobody declared.
    pub fn only(&self, allowed: &[&str]) -> Result<(), Fault> {
        match self.object()?.keys().find(|key| !allowed.contains(&&***key)) {
            Some(other) => Err(Fault::bad(format!("Additional properties are not allowed ('{other}' was unexpected)"))),
            None => Ok(()),
        }
    }

    /// A field that must be there.
    pub fn required(&self, name: &str, is: Is) -> Result<&Value, Fault> {
        let value = self.object()?.get(name).ok_or_else(|| Fault::bad(format!("'{name}' is a required property")))?;
        if is.fits(value) { Ok(value) } else { Err(wrong(value, is)) }
    }

    /// A field that may be absent or null.
    pub fn optional(&self, name: &str, is: Is) -> Result<Option<&Value>, Fault> {
        match self.object()?.get(name).filter(|v| !v.is_null()) {
            None => Ok(None),
            Some(value) if is.fits(value) => Ok(Some(value)),
            Some(value) => Err(wrong(value, is)),
        }
    }

    /// A text that must be there.
    pub fn required_text(&self, name: &str) -> Result<&str, Fault> {
        Ok(self.required(name, Is::Text)?.as_str().unwrap_or_default())
    }

    /// A text that may be absent, null or empty.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Fault> {
        Ok(self.optional(name, Is::Text)?.and_then(Value::as_str).filter(|t| !t.is_empty()))
    }

    /// A truth value that may be absent or null.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Fault> {
        Ok(self.optional(name, Is::Boolean)?.and_then(Value::as_bool))
    }

    /// A whole number that may be absent or null.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Fault> {
        match self.optional(name, Is::Integer)? {
            None => Ok(None),
            Some(value) => value.as_int().map(Some).ok_or_else(|| Fault::bad(format!("`{name}` is too large"))),
        }
    }

    /// A map that may be absent, but not null when `strict`.
    pub fn map(&self, name: &str, strict: bool) -> Result<Map, Fault> {
        if strict && self.object()?.get(name).is_some_and(Value::is_null) {
            return Err(wrong(&Value::Null, Is::Object));
        }
        Ok(self.optional(name, Is::Object)?.and_then(Value::as_map).cloned().unwrap_or_default())
    }

    /// A list of texts that may be absent or null.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, Fault> {
        let items = self.optional(name, Is::Array)?.and_then(Value::as_list).unwrap_or_default();
        items.iter().map(|item| item.as_str().ok_or_else(|| wrong(item, Is::Text))).collect()
    }
}

fn wrong(value: &Value, is: Is) -> Fault {
    Fault::bad(format!("{} is not of type '{}'", python::repr(value), is.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::to_json;

    #[track_caller]
    fn reads(kind: Option<&str>, body: &str, expected: &str) {
        let got = read(kind, body.as_bytes()).map_or_else(|f| f.text().to_owned(), |v| to_json(&v));
        assert_eq!(got, expected);
    }

    #[test]
    fn json_is_what_nobody_names() {
        reads(None, r#"{"a": 1}"#, r#"{"a":1}"#);
        reads(Some("text/plain"), "[1]", "[1]");
        reads(Some("application/json; charset=utf-8"), "null", "null");
        reads(None, "  ", "{}");
        reads(Some("application/x-www-form-urlencoded"), "", "{}");
        reads(Some("application/x-www-form-urlencoded"), "a=1&b=2&b=x%20+y", r#"{"a":["1"],"b":["2","x  y"]}"#);
        reads(Some("text/xml"), "<a/>", "Failed to parse request body: Unsupported Content-Type: \"text/xml\"");
    }

    #[test]
    fn broken_json_says_where() {
        let fault = read(None, b"{not json").unwrap_err();
        assert_eq!(fault.status(), StatusCode::BAD_REQUEST);
        assert!(fault.text().starts_with("Failed to parse request body: "), "{}", fault.text());
        assert!(read(None, &[0xff, 0xfe]).is_err());
        assert!(read(None, "[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn wrong_types_are_told_as_python_would() {
        let body = Payload(from_json(r#"{"a": 5, "p": "notadict", "n": null}"#, false).unwrap());
        let text = |r: Result<&Value, Fault>| r.unwrap_err().text().to_owned();
        assert_eq!(text(body.required("a", Is::Text)), "5 is not of type 'string'");
        assert_eq!(text(body.required("p", Is::Object)), "'notadict' is not of type 'object'");
        assert_eq!(text(body.required("x", Is::Text)), "'x' is a required property");
        assert_eq!(body.map("n", true).unwrap_err().text(), "None is not of type 'object'");
        assert_eq!(body.text("n"), Ok(None));
    }
}
