//! What an execution wrote: `/v1/executions/{id}/output`.
//!
//! It comes from the result, so there is nothing before the end; who wants to watch listens to the stream.

use crate::credentials::Caller;
use crate::executions::find;
use crate::fault::Fault;
use crate::query::Query;
use crate::{State, answer};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use squall_model::Value;

/// `GET /v1/executions/{id}/output`.
pub(crate) async fn text(api: State, caller: Caller, query: Query, Path(id): Path<String>) -> Result<Response, Fault> {
    let execution = find(&api, &id, &caller, true)?;
    let pieces = pieces(&execution.result, query.filled("output_type"));
    let text: String = pieces.into_iter().map(|(_, text)| text).collect();
    Ok(answer::text(StatusCode::OK, "text/plain; charset=UTF-8", text))
}

/// The output in a result, by its type. Results lack the last line end of what was written, so it is put back.
pub(crate) fn pieces(result: &Value, kind: Option<&str>) -> Vec<(&'static str, String)> {
    let wanted = |name: &str| kind.is_none_or(|kind| kind == "all" || kind == name);
    let mut found = Vec::new();
    for name in ["stdout", "stderr"].into_iter().filter(|name| wanted(name)) {
        for text in texts(result, name).into_iter().filter(|t| !t.is_empty()) {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            found.push((name, format!("{text}{end}")));
        }
    }
    found
}

/// The texts under `name`: one for a result of this machine, one for each host otherwise. Output that was JSON was read as
/// such and is written again.
fn texts(result: &Value, name: &str) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::Str(text) => text.to_string(),
        Value::Null => String::new(),
        other => squall_model::to_json(other),
    };
    match result.get(name) {
        Some(value) => vec![text(value)],
        None => {
            let hosts = result.as_map().into_iter().flat_map(|map| map.values());
            hosts.filter_map(|host| host.get(name)).map(text).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: &str, kind: Option<&str>, expected: &str) {
        let result = squall_model::from_json(result, false).unwrap();
        assert_eq!(pieces(&result, kind).into_iter().map(|(_, t)| t).collect::<String>(), expected);
    }

    #[test]
    fn output_comes_with_its_line_ends() {
        check(r#"{"stdout": "a\nb", "stderr": "e"}"#, None, "a\nb\ne\n");
        check(r#"{"stdout": "a\nb", "stderr": ""}"#, Some("stderr"), "");
        check(r#"{"stdout": "a\n", "stderr": "e"}"#, Some("stdout"), "a\n");
        check(r#"{"h1": {"stdout": "a"}, "h2": {"stdout": "b"}}"#, Some("all"), "a\nb\n");
        check(r#"{"stdout": {"a": 1}}"#, None, "{\"a\":1}\n");
        check("null", None, "");
    }
}
