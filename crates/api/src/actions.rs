//! `/v1/actions`: what can be run. Read-only: actions are files of packs, and change with them.

use crate::answer;
use crate::attributes::Rules;
use crate::clothes;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::listing::{self, Shape, Shown, missing, named};
use crate::query::Query;
use crate::{State, attributes::Attributes};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use squall_content::Action;
use squall_engine::people::{Wish, authorize};
use squall_model::Value;
use std::sync::Arc;

const SHAPE: Shape = Shape {
    limit: None,
    offset: true,
    sort: false,
    whole: false,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "ref",
            "pack",
            "name",
            "description",
            "enabled",
            "entry_point",
            "runner_type",
            "parameters",
            "output_schema",
            "notify",
            "tags",
            "metadata_file",
        ],
        always: &["id", "ref"],
        excludable: &["parameters", "notify"],
        along: &[],
    },
};

fn all(api: &State, caller: &Caller) -> Result<Vec<Arc<Action>>, Fault> {
    authorize(&caller.who, Wish::View)?;
    Ok(api.engine().content().registry().actions.values().cloned().collect())
}

fn find(api: &State, caller: &Caller, action: &str) -> Result<Arc<Action>, Fault> {
    named(all(api, caller)?.into_iter(), action).ok_or_else(|| missing(action))
}

/// `GET /v1/actions`.
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let tag = query.filled("tags");
    let tagged = |a: &Arc<Action>| tag.is_none_or(|tag| a.tags.iter().any(|t| &*t.name == tag));
    listing::page(all(&api, &caller)?.into_iter().filter(tagged), &query, &caller, &SHAPE)
}

/// `GET /v1/actions/{action}`: always whole.
pub(crate) async fn one(api: State, caller: Caller, Path(action): Path<String>) -> Result<Response, Fault> {
    Ok(answer::ok(find(&api, &caller, &action)?.show()))
}

/// An action that shows its merged parameters.
struct Overview(Arc<Action>);

impl Shown for Overview {
    fn uid(&self) -> String {
        Shown::uid(&*self.0)
    }
    fn pack(&self) -> &str {
        self.0.pack()
    }
    fn name(&self) -> &str {
        self.0.name()
    }
    fn show(&self) -> Value {
        clothes::overview(&self.0)
    }
}

/// `GET /v1/actions/views/overview`.
pub(crate) async fn overviews(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let all = all(&api, &caller)?.into_iter().map(|a| Arc::new(Overview(a)));
    listing::page(all, &query, &caller, &SHAPE)
}

/// `GET /v1/actions/views/overview/{action}`.
pub(crate) async fn overview(
    api: State,
    caller: Caller,
    query: Query,
    Path(action): Path<String>,
) -> Result<Response, Fault> {
    let attributes = Attributes::of(&query, &SHAPE.rules)?;
    let shown = clothes::overview(&*find(&api, &caller, &action)?);
    Ok(answer::ok(attributes.trim(shown, &SHAPE.rules)))
}

/// `GET /v1/actions/views/parameters/{action}`.
pub(crate) async fn parameters(api: State, caller: Caller, Path(action): Path<String>) -> Result<Response, Fault> {
    let merged = clothes::merged_parameters(&*find(&api, &caller, &action)?);
    Ok(answer::ok(clothes::object([("parameters", merged)])))
}

/// `GET /v1/actions/views/entry_point/{action}`: the text of its file.
pub(crate) async fn entry_point(api: State, caller: Caller, Path(action): Path<String>) -> Result<Response, Fault> {
    let found = find(&api, &caller, &action)?;
    let none = || Fault::missing(format!("Action ref_or_id={action} has no entry_point to output"));
    let text = match &found.definition {
        Some(definition) => definition.text.to_string(),
        None => {
            let path = found.entry_point_path().ok_or_else(none)?;
            // A link may lead out of the pack; what it leads to is nobody's business.
            let (base, path) = (found.pack_dir.canonicalize(), path.canonicalize());
            let (Ok(base), Ok(path)) = (base, path) else { return Err(none()) };
            if !path.starts_with(base) {
                return Err(none());
            }
            std::fs::read_to_string(path).map_err(|_| none())?
        }
    };
    let kind = match found.entry_point.rsplit('.').next() {
        Some("yaml" | "yml") => "application/x-yaml",
        Some("py") => "text/x-python",
        Some("sh") => "text/x-sh",
        _ => "text/plain",
    };
    Ok(answer::text(StatusCode::OK, kind, text))
}
