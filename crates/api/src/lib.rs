//! Our nouns in StackStorm's clothes: REST, log-in and event stream, as unmodified StackStorm clients expect them.
//!
//! Nothing is decided here. Handlers read a request into the engine's words, call the engine, and render what comes
//! back; what somebody may do is `engine::people::authorize`, and how a refusal looks is [`fault`] alone.
//!
//! [`app`] serves everything on one port: `/v1/…`, `/…`, and `/api`, `/auth`, `/stream` as behind StackStorm's front
//! end. [`auth_app`] and [`stream_app`] are the same rooms with the door of their own port.
//!
//! Start reading at [`app`]; to add an endpoint, add a file of its resource and a line in [`routes`].
#![warn(missing_docs)]

mod actions;
mod aliases;
mod answer;
mod apikeys;
mod attributes;
mod audit;
mod clothes;
mod confirmations;
mod content;
mod credentials;
mod doors;
mod executions;
mod fault;
mod health;
mod inquiries;
mod keys;
pub mod limits;
mod listing;
mod logins;
mod output;
mod packs;
mod payload;
mod people;
mod query;
mod runner_modules;
mod settings;
mod squall;
mod stream;
mod tokens;
mod unserved;

pub use settings::Settings;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use doors::Face;
use squall_content::Diagnostic;
use squall_engine::Engine;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What a load of the content gave.
#[derive(Debug, Clone, Default)]
pub struct Reloaded {
    /// How many of each kind are loaded now, by StackStorm's plural names (`actions`, `aliases`, …).
    pub counts: Vec<(String, u64)>,
    /// What is wrong with files, in their order.
    pub diagnostics: Vec<Diagnostic>,
}

/// What only the server can do: the api asks for it by this trait.
#[async_trait]
pub trait Admin: Send + Sync {
    /// Loads all content again and swaps it in.
    async fn reload(&self) -> Result<Reloaded, String>;
    /// What the last load gave.
    fn content(&self) -> Reloaded;
    /// Why no new work is taken (starting, draining); `None` when it is.
    fn unready(&self) -> Option<String> {
        None
    }
}

/// What every handler needs: a cheap handle.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    admin: Arc<dyn Admin>,
    settings: Settings,
    in_flight: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    readers: Arc<stream::Readers>,
    waits: Arc<Semaphore>,
    logins: logins::Logins,
}

impl State {
    /// With the usual settings of a server on loopback.
    pub fn new(engine: Engine, admin: Arc<dyn Admin>) -> State {
        let settings = Settings::of(engine.settings());
        State::with(engine, admin, settings)
    }

    /// With these settings.
    pub fn with(engine: Engine, admin: Arc<dyn Admin>, settings: Settings) -> State {
        State {
            inner: Arc::new(Inner {
                engine,
                admin,
                settings,
                in_flight: Arc::new(Semaphore::new(limits::IN_FLIGHT as usize)),
                streams: Arc::new(Semaphore::new(limits::STREAMS as usize)),
                readers: Arc::default(),
                waits: Arc::new(Semaphore::new(limits::WAITS as usize)),
                logins: logins::Logins::default(),
            }),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn admin(&self) -> &dyn Admin {
        &*self.inner.admin
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }
}

impl FromRequestParts<State> for State {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &State) -> Result<State, Infallible> {
        Ok(state.clone())
    }
}

/// Everything on one port.
///
/// The address of a peer is taken from axum's `ConnectInfo<SocketAddr>` when the server provides it.
pub fn app(state: State) -> Router {
    doors::guarded(state.clone(), Face::Main, routes(state))
}

/// Log-in on a port of its own.
pub fn auth_app(state: State) -> Router {
    doors::guarded(state.clone(), Face::Auth, routes(state))
}

/// Streams on a port of their own.
pub fn stream_app(state: State) -> Router {
    doors::guarded(state.clone(), Face::Stream, routes(state))
}

/// Every endpoint, under the one name that [`doors`] gives it.
fn routes(state: State) -> Router {
    let open = Router::new()
        .route("/auth/tokens", post(tokens::create))
        .route("/auth/sso", get(tokens::sso))
        .route("/api/health/live", get(health::live))
        .route("/api/health/ready", get(health::ready));
    let guarded = Router::new()
        .merge(api())
        .route("/auth/tokens/validate", post(tokens::validate))
        .route("/api/stream", get(stream::events))
        .route("/stream/stream", get(stream::events))
        .route("/stream/executions/{id}/output", get(stream::output))
        .route_layer(from_fn_with_state(state.clone(), credentials::require));
    let api = state.clone();
    let missing = move |request: Request| unserved::answer(api.clone(), request);
    open.merge(guarded).fallback(missing.clone()).method_not_allowed_fallback(missing).with_state(state)
}

fn api() -> Router<State> {
    Router::new()
        .route("/api/", get(health::index))
        .route("/api/user", get(tokens::user))
        .merge(executions("/api/executions"))
        .merge(executions("/api/actionexecutions"))
        .route("/api/actions", get(actions::list))
        .route("/api/actions/{action}", get(actions::one))
        .route("/api/actions/views/overview", get(actions::overviews))
        .route("/api/actions/views/overview/{action}", get(actions::overview))
        .route("/api/actions/views/parameters/{action}", get(actions::parameters))
        .route("/api/actions/views/entry_point/{action}", get(actions::entry_point))
        .route("/api/actionalias", get(aliases::list))
        .route("/api/actionalias/match", post(aliases::matching))
        .route("/api/actionalias/help", get(aliases::help))
        .route("/api/actionalias/{alias}", get(aliases::one))
        .route("/api/aliasexecution", post(aliases::execute))
        .route("/api/aliasexecution/match_and_execute", post(aliases::match_and_execute))
        .route("/api/inquiries", get(inquiries::list))
        .route("/api/inquiries/{id}", get(inquiries::one).put(inquiries::respond).post(inquiries::respond))
        .route("/api/keys", get(keys::list))
        .route("/api/keys/{name}", get(keys::one).put(keys::put).delete(keys::delete))
        .route("/api/packs", get(packs::list))
        .route("/api/packs/install", post(packs::install))
        .route("/api/packs/uninstall", post(packs::uninstall))
        .route("/api/packs/register", post(packs::register))
        .route("/api/packs/index", get(packs::index))
        .route("/api/packs/index/health", get(packs::index_health))
        .route("/api/packs/index/search", post(packs::index_search))
        .route("/api/packs/views/files/{pack}", get(packs::files))
        .route("/api/packs/views/file/{pack}/{*path}", get(packs::file))
        .route("/api/packs/{pack}", get(packs::one))
        .route("/api/configs", get(packs::configs))
        .route("/api/configs/{pack}", get(packs::config).put(packs::put_config))
        .route("/api/config_schemas", get(packs::config_schemas))
        .route("/api/config_schemas/{pack}", get(packs::config_schema))
        .merge(content::routes())
        .merge(squall_routes())
}

fn executions(base: &str) -> Router<State> {
    Router::new()
        .route(base, get(executions::list).post(executions::create))
        .route(&format!("{base}/views/filters"), get(executions::filters))
        .route(&format!("{base}/{{id}}"), get(executions::one).put(executions::change).delete(executions::cancel))
        .route(&format!("{base}/{{id}}/attribute/{{name}}"), get(executions::attribute))
        .route(&format!("{base}/{{id}}/result"), get(executions::result))
        .route(&format!("{base}/{{id}}/children"), get(executions::children))
        .route(&format!("{base}/{{id}}/output"), get(output::text))
        .route(&format!("{base}/{{id}}/re_run"), post(executions::re_run))
        .route(&format!("{base}/{{id}}/history"), get(executions::history))
}

/// What StackStorm has no word for.
fn squall_routes() -> Router<State> {
    Router::new()
        .route("/api/squall/reload", post(squall::reload))
        .route("/api/squall/diagnostics", get(squall::diagnostics))
        .route("/api/squall/limits", get(squall::limits))
        .route("/api/squall/policy/problems", get(squall::policy_problems))
        .route("/api/squall/metrics", get(health::metrics))
        .route("/api/squall/executions/{id}/facts", get(squall::facts))
        .route("/api/squall/executions/{id}/wait", get(squall::wait))
        .route("/api/squall/tokens", post(squall::mint))
        .route("/api/squall/tokens/current", delete(squall::log_out))
        .merge(people::routes())
        .merge(apikeys::routes())
        .route("/api/squall/audit", get(audit::list))
        .route("/api/squall/audit/verify", get(audit::verify))
        .merge(confirmations::routes())
}
