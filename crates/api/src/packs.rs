//! `/v1/packs`, `/v1/configs`, `/v1/config_schemas`: what is installed. Installing is an execution like any other.

use crate::attributes::Rules;
use crate::clothes::{file_names, object};
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::listing::{self, Shape, Shown};
use crate::payload::Payload;
use crate::query::Query;
use crate::{Reloaded, State, answer};
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use squall_content::{Pack, check_config};
use squall_engine::people::{Wish, authorize};
use squall_engine::view::object_id;
use squall_engine::{Engine, Request};
use squall_model::{ActionRef, MASK, Map, Str, Value};
use std::path::PathBuf;
use std::sync::Arc;

const SHAPE: Shape = Shape {
    limit: Some(100),
    offset: true,
    sort: true,
    whole: false,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "ref",
            "name",
            "description",
            "keywords",
            "version",
            "python_versions",
            "author",
            "email",
            "contributors",
            "files",
            "path",
            "dependencies",
            "system",
            "stackstorm_version",
        ],
        always: &["id"],
        excludable: &[],
        along: &[],
    },
};

/// The largest file of a pack that is shown.
const FILE_BYTES: u64 = 500_000;

fn all(api: &State, caller: &Caller) -> Result<Vec<Arc<Pack>>, Fault> {
    authorize(&caller.who, Wish::View)?;
    Ok(api.engine().content().registry().packs.values().cloned().collect())
}

fn find(api: &State, caller: &Caller, named: &str) -> Result<Arc<Pack>, Fault> {
    let fits = |pack: &Arc<Pack>| *pack.reference == *named || pack.id() == named;
    let missing = || Fault::missing(format!("Resource with a ref or id \"{named}\" not found"));
    all(api, caller)?.into_iter().find(fits).ok_or_else(missing)
}

/// `GET /v1/packs`.
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let wanted = query.filled("ref");
    let found = all(&api, &caller)?.into_iter().filter(|p| wanted.is_none_or(|r| *p.reference == *r));
    listing::page(found, &query, &caller, &SHAPE)
}

/// `GET /v1/packs/{pack}`.
pub(crate) async fn one(api: State, caller: Caller, Path(pack): Path<String>) -> Result<Response, Fault> {
    Ok(answer::ok(find(&api, &caller, &pack)?.show()))
}

/// `POST /v1/packs/install`: an execution of `packs.install`.
pub(crate) async fn install(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    let packs = body.required("packs", crate::payload::Is::Array)?.clone();
    let mut params = Map::new();
    params.insert("packs".into(), packs);
    for name in ["force", "skip_dependencies"] {
        if let Some(set) = body.boolean(name)?.filter(|set| *set) {
            params.insert(name.into(), set.into());
        }
    }
    start(&api, &caller, "install", params).await
}

/// `POST /v1/packs/uninstall`: an execution of `packs.uninstall`.
pub(crate) async fn uninstall(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    let mut params = Map::new();
    params.insert("packs".into(), body.required("packs", crate::payload::Is::Array)?.clone());
    start(&api, &caller, "uninstall", params).await
}

async fn start(api: &State, caller: &Caller, action: &str, params: Map) -> Result<Response, Fault> {
    let request = Request::new(ActionRef::new("packs", action), params, caller.who.clone()).from_client(caller.claimed);
    let execution = api.engine().request(request).await?;
    let id = execution.id.to_string();
    Ok(answer::json(StatusCode::ACCEPTED, &object([("execution_id", id.into())])))
}

// ---- registering ---------------------------------------------------------------------------------------------------

/// The names by which a kind of content can be asked for, and the one that its count has.
const KINDS: &[(&[&str], &str)] = &[
    (&["runner"], "runners"),
    (&["rule_type", "rule_types"], "rule_types"),
    (&["policy_type", "policy_types"], "policy_types"),
    (&["trigger", "triggers"], "triggers"),
    (&["sensor", "sensors"], "sensors"),
    (&["action", "actions"], "actions"),
    (&["rule", "rules"], "rules"),
    (&["alias", "aliases"], "aliases"),
    (&["policy", "policies"], "policies"),
    (&["config", "configs"], "configs"),
];

/// What StackStorm's schema lists, in its order.
const TYPES: &str = "'all', 'runner', 'action', 'actions', 'trigger', 'triggers', 'sensor', 'sensors', 'rule', 'rules', \
    'rule_type', 'rule_types', 'alias', 'aliases', 'policy_type', 'policy_types', 'policy', 'policies', 'config', 'configs'";

/// The kinds that `types` means. Actions bring the runners along that they need.
fn kinds(types: &[&str]) -> Result<Vec<&'static str>, Fault> {
    let known = |t: &&str| *t == "all" || KINDS.iter().any(|(names, _)| names.contains(t));
    if let Some(bad) = types.iter().find(|t| !known(t)) {
        return Err(Fault::bad(format!("'{bad}' is not one of [{TYPES}]")));
    }
    let everything = types.is_empty() || types.contains(&"all");
    let wanted = |names: &[&str]| everything || names.iter().any(|n| types.contains(n));
    let brings = |kind: &str| kind == "runners" && types.iter().any(|t| t.starts_with("action"));
    Ok(KINDS.iter().filter(|(names, kind)| wanted(names) || brings(kind)).map(|(_, kind)| *kind).collect())
}

/// `POST /v1/packs/register`: everything is loaded again; the counts are those of the packs that were named.
pub(crate) async fn register(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePacks)?;
    let kinds = kinds(&body.texts("types")?)?;
    let packs = body.texts("packs")?;
    bring_back(&api, &packs)?;
    api.admin().reload().await.map_err(Fault::bad)?;
    let content = api.engine().content();
    let registry = content.registry();
    if let Some(pack) = packs.iter().find(|pack| registry.pack(pack).is_none()) {
        let dir = api.settings().packs_dir.join(pack);
        let text = format!("Pack \"{pack}\" not found on disk: Directory \"{}\" doesn't exist", dir.display());
        return Err(Fault::bad(text));
    }
    let chosen = |pack: &str| packs.is_empty() || packs.contains(&pack);
    let counts = kinds.into_iter().map(|kind| (kind, Value::from(count(api.engine(), kind, chosen))));
    Ok(answer::ok(Value::from_pairs(counts)))
}

/// What `packs.unload` took out of service comes back: these packs, or all when none is named.
pub(crate) fn bring_back(api: &State, packs: &[&str]) -> Result<(), Fault> {
    squall_content::load_again(packs, &api.settings().packs_dir).map_err(|error| Fault::broken(&error.to_string()))
}

fn count(engine: &Engine, kind: &str, chosen: impl Fn(&str) -> bool) -> u64 {
    let content = engine.content();
    let of = content.registry();
    let number = match kind {
        "runners" => squall_content::runner_types().len(),
        "rule_types" => 2,
        "policy_types" => crate::content::POLICY_TYPES.len(),
        "triggers" => of.trigger_types.keys().filter(|r| chosen(&r.pack)).count(),
        "sensors" => of.sensors.keys().filter(|r| chosen(&r.pack)).count(),
        "actions" => of.actions.keys().filter(|r| chosen(&r.pack)).count(),
        "rules" => of.rules.keys().filter(|r| chosen(&r.pack)).count(),
        "aliases" => of.aliases.keys().filter(|r| chosen(&r.pack)).count(),
        "policies" => of.policies.keys().filter(|r| chosen(&r.pack)).count(),
        _ => of.configs.keys().filter(|pack| chosen(pack)).count(),
    };
    number as u64
}

/// The counts of everything, for `squall reload`.
pub(crate) fn counted(reloaded: &Reloaded) -> Value {
    Value::from_pairs(reloaded.counts.iter().map(|(kind, number)| (kind.as_str(), Value::from(*number))))
}

// ---- index ---------------------------------------------------------------------------------------------------------
// There is no index on the network. Answering empty keeps the packs page of the web interface alive.

/// `GET /v1/packs/index`.
pub(crate) async fn index(caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    Ok(answer::ok(object([("status", Vec::new().into()), ("index", Value::map())])))
}

/// `GET /v1/packs/index/health`.
pub(crate) async fn index_health(caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let none = object([
        ("count", 0.into()),
        ("valid", 0.into()),
        ("invalid", 0.into()),
        ("errors", Value::map()),
        ("status", Vec::new().into()),
    ]);
    Ok(answer::ok(object([("indexes", none), ("packs", object([("count", 0.into())]))])))
}

/// `POST /v1/packs/index/search`.
pub(crate) async fn index_search(caller: Caller, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    body.object()?;
    Ok(answer::ok(Vec::new()))
}

// ---- files ---------------------------------------------------------------------------------------------------------

/// `GET /v1/packs/views/files/{pack}`: the text files with their content.
pub(crate) async fn files(api: State, caller: Caller, Path(pack): Path<String>) -> Result<Response, Fault> {
    let found = find(&api, &caller, &pack)?;
    let mut files = Vec::new();
    for name in file_names(&found.path) {
        let path = found.path.join(&name);
        if std::fs::metadata(&path).is_ok_and(|m| m.len() <= FILE_BYTES)
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            files.push(object([("file_path", name.into()), ("content", text.into())]));
        }
    }
    Ok(answer::ok(files))
}

/// `GET /v1/packs/views/file/{pack}/{path}`: one file as it is.
pub(crate) async fn file(
    api: State,
    caller: Caller,
    headers: HeaderMap,
    Path((pack, path)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let found = find(&api, &caller, &pack)?;
    let inside = inside(&found, &path)?;
    let missing = || Fault::missing(format!("File \"{path}\" not found"));
    let length = std::fs::metadata(&inside).ok().filter(|m| m.is_file()).ok_or_else(missing)?.len();
    if length > FILE_BYTES {
        return Err(Fault::bad(format!("File \"{path}\" exceeds maximum allowed file size ({FILE_BYTES} bytes)")));
    }
    let bytes = std::fs::read(&inside).map_err(|_| missing())?;
    let tag = format!("\"{}\"", Sha256::digest(&bytes).iter().take(16).map(|b| format!("{b:02x}")).collect::<String>());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        answer::text(StatusCode::OK, kind(&path, &bytes), bytes)
    };
    let set = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        set.insert(header::ETAG, tag);
    }
    // What a pack brings is shown, never run by a browser.
    set.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(response)
}

/// The file that a path means; it has to lie below the pack, links followed.
fn inside(pack: &Pack, path: &str) -> Result<PathBuf, Fault> {
    let outside = || {
        Fault::bad(format!(
            "Invalid file path: \"{path}\". File path needs to be relative to the pack directory ({}). For example \"my_action.py\".",
            pack.path.display()
        ))
    };
    if path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| part == "..") {
        return Err(outside());
    }
    let whole = pack.path.join(path);
    match (pack.path.canonicalize(), whole.canonicalize()) {
        (Ok(base), Ok(real)) if real.starts_with(&base) => Ok(real),
        (Ok(_), Ok(_)) => Err(outside()),
        _ => Err(Fault::missing(format!("File \"{path}\" not found"))),
    }
}

/// Types are guessed by name; icons only when they are what they say.
fn kind(path: &str, bytes: &[u8]) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        // No type is registered for YAML, and StackStorm guesses by what is.
        Some("yaml" | "yml") => "application/octet-stream",
        Some("json") => "application/json",
        Some("py") => "text/x-python",
        Some("png") if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => "image/png",
        _ if std::str::from_utf8(bytes).is_ok() => "text/plain",
        _ => "application/octet-stream",
    }
}

// ---- configurations ------------------------------------------------------------------------------------------------

fn config_shown(pack: &str, values: &Value, schema: Option<&Value>, clear: bool) -> Value {
    let values = if clear { values.clone() } else { masked(values, schema, 0) };
    object([("id", object_id(&format!("config:{pack}")).into()), ("pack", pack.into()), ("values", values)])
}

/// How deep a configuration is followed.
const DEPTH: usize = 32;

/// Masks what the schema (schemas by key) calls secret.
fn masked(values: &Value, schema: Option<&Value>, depth: usize) -> Value {
    let (Some(map), Some(schema)) = (values.as_map(), schema) else { return values.clone() };
    let one = |(name, value): (&Str, &Value)| {
        let rule = schema.get(name);
        let shown = match rule {
            Some(rule) if rule.get("secret").is_some_and(Value::is_truthy) && !value.is_null() => MASK.into(),
            Some(rule) if depth < DEPTH => masked(value, rule.get("properties"), depth + 1),
            _ => value.clone(),
        };
        (name.clone(), shown)
    };
    map.iter().map(one).collect::<Map>().into()
}

fn clear(query: &Query, caller: &Caller) -> Result<bool, Fault> {
    Ok(query.is_set("show_secrets")? && authorize(&caller.who, Wish::DecryptSystemItem).is_ok())
}

/// `GET /v1/configs`.
pub(crate) async fn configs(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let packs = all(&api, &caller)?;
    let content = api.engine().content();
    let clear = clear(&query, &caller)?;
    let rows = packs.iter().filter_map(|pack| {
        let values = content.registry().configs.get(&pack.reference)?;
        Some(config_shown(&pack.reference, values, pack.config_schema.as_ref(), clear))
    });
    plain_page(rows.collect(), &query, &caller)
}

/// `GET /v1/configs/{pack}`.
pub(crate) async fn config(
    api: State,
    caller: Caller,
    query: Query,
    Path(pack): Path<String>,
) -> Result<Response, Fault> {
    let missing = || Fault::missing(format!("Unable to identify resource with pack_ref \"{pack}\"."));
    let found = find(&api, &caller, &pack).map_err(|fault| match fault.status() {
        StatusCode::NOT_FOUND => missing(),
        _ => fault,
    })?;
    let content = api.engine().content();
    let values = content.registry().configs.get(&found.reference).ok_or_else(missing)?;
    Ok(answer::ok(config_shown(&pack, values, found.config_schema.as_ref(), clear(&query, &caller)?)))
}

/// `PUT /v1/configs/{pack}`: the body is the values. A masked secret that comes back keeps what is stored.
pub(crate) async fn put_config(
    api: State,
    caller: Caller,
    query: Query,
    Path(pack): Path<String>,
    body: Payload,
) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePacks)?;
    let found = find(&api, &caller, &pack)?;
    let base = &api.settings().configs_dir;
    if base.as_os_str().is_empty() {
        return Err(Fault::not_yet("changing configurations of packs over the network"));
    }
    let schema = found.config_schema.as_ref();
    body.object()?;
    let values = {
        let content = api.engine().content();
        unmasked(&body.0, content.registry().configs.get(&found.reference), 0)
    };
    let text = squall_yaml::to_yaml(&values);
    let path = base.join(format!("{}.yaml", found.reference));
    let shown = path.display().to_string();
    if let Some(wrong) = check_config(&text, &shown, &found.reference, schema).first() {
        let why = wrong.marks.first().map_or(wrong.message.as_str(), |mark| mark.label.as_str());
        return Err(Fault::bad(format!(
            "Failed validating config for pack \"{pack}\" ({shown}): {}: {why}",
            wrong.message
        )));
    }
    write_whole(&path, &text).map_err(|e| Fault::broken(&format!("cannot write {shown}: {e}")))?;
    api.admin().reload().await.map_err(Fault::bad)?;
    Ok(answer::ok(config_shown(&found.reference, &values, schema, clear(&query, &caller)?)))
}

/// Puts stored values where a client sent a mask back.
fn unmasked(sent: &Value, stored: Option<&Value>, depth: usize) -> Value {
    match (sent, stored) {
        (Value::Str(text), Some(stored)) if **text == *MASK => stored.clone(),
        (Value::Map(map), Some(stored)) if depth < DEPTH => {
            map.iter().map(|(k, v)| (k.clone(), unmasked(v, stored.get(k), depth + 1))).collect::<Map>().into()
        }
        _ => sent.clone(),
    }
}

/// A file that is there whole or not at all, for its owner only because secrets may be in it.
fn write_whole(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("yaml.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

fn schema_shown(pack: &Pack) -> Option<Value> {
    let attributes = pack.config_schema.clone()?;
    let id = object_id(&format!("config_schema:{}", pack.reference));
    Some(object([("id", id.into()), ("pack", pack.reference.clone().into()), ("attributes", attributes)]))
}

/// `GET /v1/config_schemas`.
pub(crate) async fn config_schemas(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let rows = all(&api, &caller)?.iter().filter_map(|pack| schema_shown(pack)).collect();
    plain_page(rows, &query, &caller)
}

/// `GET /v1/config_schemas/{pack}`.
pub(crate) async fn config_schema(api: State, caller: Caller, Path(pack): Path<String>) -> Result<Response, Fault> {
    let missing = || Fault::missing(format!("Unable to identify resource with pack_ref \"{pack}\"."));
    let found = all(&api, &caller)?.into_iter().find(|p| *p.reference == *pack).ok_or_else(missing)?;
    schema_shown(&found).map(answer::ok).ok_or_else(missing)
}

fn plain_page(rows: Vec<Value>, query: &Query, caller: &Caller) -> Result<Response, Fault> {
    let paging = query.paging(Some(100), caller.is_admin())?;
    let total = rows.len() as u64;
    let take = paging.limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(usize::MAX);
    let page = rows.into_iter().skip(paging.offset as usize).take(take).collect();
    Ok(answer::list(page, total, paging.limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_the_ones_of_the_contract() {
        assert_eq!(kinds(&["action", "alias"]), Ok(vec!["runners", "actions", "aliases"]));
        assert_eq!(kinds(&["all"]).map(|k| k.len()), Ok(KINDS.len()));
        assert_eq!(kinds(&[]).map(|k| k.len()), Ok(KINDS.len()));
        let text = kinds(&["bogus"]).unwrap_err().text().to_owned();
        assert!(text.starts_with("'bogus' is not one of ['all', 'runner', 'action', 'actions', 'trigger',"), "{text}");
    }

    #[test]
    fn configured_secrets_are_masked() {
        let read = |text| squall_model::from_json(text, false).unwrap();
        let schema = read(r#"{"token": {"secret": true}, "db": {"properties": {"password": {"secret": true}}}}"#);
        let values = read(r#"{"token": "t", "db": {"password": "p", "host": "h"}, "free": 1}"#);
        let shown = squall_model::to_json(&masked(&values, Some(&schema), 0));
        assert_eq!(shown, r#"{"token":"********","db":{"password":"********","host":"h"},"free":1}"#);
    }

    #[test]
    fn a_picture_is_one_only_if_it_begins_like_one() {
        assert_eq!(kind("icon.png", b"<svg onload=alert(1)>"), "text/plain");
        assert_eq!(kind("icon.png", b"\x89PNG\r\n\x1a\n..."), "image/png");
        assert_eq!(kind("page.html", b"<script>"), "text/plain");
    }
}
