//! Actions that read records: executions, actions, rules, sensors, aliases. They change nothing.

use super::{python, python_error, text};
use crate::turn::Turn;
use crate::{limits, report, view};
use squall_content::{Pack, Registry};
use squall_model::{ActionRef, Execution, ExecutionId, Ids, Map, Outcome, Str, Value, to_json};
use squall_store::{Filter, Page};

/// Records listed when nobody says how many.
const LISTED: usize = 10;
/// Records listed at most.
const MOST: usize = 1_000;
/// Executions that are read at once.
const CHUNK: u64 = 20;

pub(super) fn uuid(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let ids: &dyn Ids = turn.around.ids;
    // Version 1 tells time and machine to whoever reads it; a random one is as unique.
    let _ = text(own, "uuid_type");
    python(ids.uuid().into())
}

/// An execution as this step knows it, or as it is stored.
fn find(turn: &Turn<'_>, id: &str) -> Result<Execution, Outcome> {
    let missing = || python_error(&format!("ActionExecution with id \"{id}\" not found."));
    let id: ExecutionId = id.parse().map_err(|_| missing())?;
    if let Some(execution) = turn.tree.executions.get(&id) {
        return Ok(execution.clone());
    }
    match turn.around.store.execution(id) {
        Ok(found) => found.ok_or_else(missing),
        Err(error) => Err(python_error(&error.to_string())),
    }
}

/// A record without the fields that the caller does not want.
fn without(record: Value, own: &Map) -> Value {
    let excluded: Vec<&str> =
        own.get("exclude").and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    match record {
        Value::Map(map) => map
            .iter()
            .filter(|(key, _)| !excluded.contains(&&***key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<Map>()
            .into(),
        other => other,
    }
}

pub(super) fn execution(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    match find(turn, text(own, "id")) {
        Ok(found) => python(without(view::execution(&found, turn.around.content, turn.around.settings), own)),
        Err(outcome) => outcome,
    }
}

pub(super) fn root(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let found = find(turn, text(own, "id")).and_then(|e| find(turn, &e.root.to_string()));
    match found {
        Ok(found) => python(without(view::execution(&found, turn.around.content, turn.around.settings), own)),
        Err(outcome) => outcome,
    }
}

pub(super) fn executions(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let some = |name: &str| Some(text(own, name)).filter(|t| !t.is_empty()).map(str::to_owned);
    let status = match some("status").map(|s| s.parse::<squall_model::Status>()).transpose() {
        Ok(status) => status,
        Err(why) => return python_error(&why),
    };
    let filter = Filter { action: some("action"), status: status.into_iter().collect(), ..Filter::default() };
    match some_executions(turn, &filter, own) {
        Ok(shown) => python(shown.into()),
        Err(why) => python_error(&why),
    }
}

/// Few at a time, since each may have a large result, and no more than a result may have.
fn some_executions(turn: &Turn<'_>, filter: &Filter, own: &Map) -> Result<Vec<Value>, String> {
    let limit = limit(own) as u64;
    let (mut all, mut bytes) = (Vec::new(), 0);
    for offset in (0..limit).step_by(CHUNK as usize) {
        let page = Page { offset, limit: CHUNK.min(limit - offset) };
        let (found, _) = turn.around.store.executions(filter, page).map_err(|error| error.to_string())?;
        for execution in &found {
            let shown = without(view::execution(execution, turn.around.content, turn.around.settings), own);
            bytes += to_json(&shown).len() as u64;
            if bytes > limits::RESULT_BYTES {
                return Err(format!(
                    "the newest {} of {limit} executions have more than {} bytes: give a smaller `limit`, or leave fields out \
                     (`exclude: [result]`)",
                    all.len() + 1,
                    limits::RESULT_BYTES
                ));
            }
            all.push(shown);
        }
        if (found.len() as u64) < CHUNK {
            break;
        }
    }
    Ok(all)
}

fn limit(own: &Map) -> usize {
    let asked = own.get("limit").and_then(Value::as_int).and_then(|n| usize::try_from(n).ok());
    asked.unwrap_or(LISTED).min(MOST)
}

/// The first records of a pack (or of all), each a map made by `show`.
fn listed<'a, T: 'a>(
    own: &Map,
    all: impl Iterator<Item = (&'a squall_model::ActionRef, &'a T)>,
    show: impl Fn(&T) -> Vec<(&'static str, Value)>,
) -> Outcome {
    let pack = text(own, "pack");
    let records = all.filter(|(reference, _)| pack.is_empty() || &*reference.pack == pack).take(limit(own));
    let shown = records.map(|(reference, record)| {
        let mut map = Map::new();
        map.insert("ref".into(), reference.to_string().into());
        map.insert("pack".into(), (&*reference.pack).into());
        map.insert("name".into(), (&*reference.name).into());
        map.extend(show(record).into_iter().map(|(key, value)| (Str::from(key), value)));
        without(map.into(), own)
    });
    python(shown.collect::<Vec<_>>().into())
}

pub(super) fn actions(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    listed(own, turn.around.content.registry().actions.iter(), |action| {
        vec![
            ("description", action.description.clone().into()),
            ("enabled", action.enabled.into()),
            ("runner_type", action.runner.name.into()),
            ("entry_point", action.entry_point.clone().into()),
        ]
    })
}

pub(super) fn rules(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    listed(own, turn.around.content.registry().rules.iter(), |rule| vec![("enabled", rule.enabled.into())])
}

pub(super) fn sensors(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    listed(own, turn.around.content.registry().sensors.iter(), |sensor| vec![("enabled", sensor.enabled.into())])
}

/// What would be posted about an execution: `{enabled, message?, extra?}`.
pub(super) fn format_result(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let found = match find(turn, text(own, "execution_id")) {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let alias = found.request.reply_to.as_ref().and_then(|r| r.alias.as_ref());
    let alias = alias.and_then(|r| turn.around.content.registry().alias(r));
    let body = report::result_body(&found, alias.map(|a| &**a), turn.around.content, turn.around.settings);
    let mut result = Map::new();
    result.insert("enabled".into(), body.is_some().into());
    for key in ["message", "extra"] {
        if let Some(value) = body.as_ref().and_then(|b| b.get(key)) {
            result.insert(key.into(), value.clone());
        }
    }
    python(result.into())
}

/// The alias that a text means: `{alias: {name, pack, action_ref}, representation}`.
pub(super) fn match_alias(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let typed = text(own, "text");
    let hits = turn.around.content.strict().find(typed);
    let [hit] = hits.as_slice() else {
        return python_error(&match hits.len() {
            0 => format!("Command '{typed}' matched no patterns"),
            _ => format!("Command '{typed}' matched more than 1 pattern"),
        });
    };
    let action = turn.around.content.registry().alias(hit.alias).map(|a| a.action_ref.clone());
    let alias = Value::from_pairs([
        ("name", Value::from(&*hit.alias.name)),
        ("pack", (&*hit.alias.pack).into()),
        ("action_ref", action.into()),
    ]);
    python(Value::from_pairs([("alias", alias), ("representation", hit.representation.clone().into())]))
}

/// `{pack: manifest, git_status}` of a pack that is loaded. What its repository has that the server has not would take the
/// network, so the status only says how it was installed.
pub(super) fn pack(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let name = text(own, "pack");
    let Some(pack) = turn.around.content.registry().pack(name) else {
        return python_error(&format!("Pack \"{name}\" is not installed."));
    };
    let mut manifest = known_of(pack);
    manifest.extend([
        ("contributors".into(), texts(&pack.contributors)),
        ("dependencies".into(), texts(&pack.dependencies)),
        ("stackstorm_version".into(), pack.stackstorm_version.clone().into()),
        ("python_versions".into(), texts(&pack.python_versions)),
    ]);
    python(Value::from_pairs([("pack", Value::from(manifest)), ("git_status", installed(pack).into())]))
}

/// `{pack: entry}` as an index of packs has it, of a pack that is loaded; null for one that is not, as StackStorm answers for what its
/// index does not know. There is no index on the network.
pub(super) fn pack_entry(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let registry = turn.around.content.registry();
    let entry = registry.pack(text(own, "pack")).map(|pack| {
        let mut entry = known_of(pack);
        entry.insert("content".into(), contents(registry, &pack.reference));
        Value::from(entry)
    });
    python(Value::from_pairs([("pack", entry.unwrap_or_default())]))
}

/// What every list of packs tells of one.
fn known_of(pack: &Pack) -> Map {
    let fields = [
        ("ref", Value::from(&*pack.reference)),
        ("name", pack.name.clone().into()),
        ("description", pack.description.clone().into()),
        ("version", pack.version.clone().into()),
        ("author", pack.author.clone().into()),
        ("email", pack.email.clone().into()),
        ("keywords", texts(&pack.keywords)),
    ];
    fields.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn texts(all: &[Str]) -> Value {
    all.iter().map(|text| Value::from(text.clone())).collect::<Vec<_>>().into()
}

/// How many things of each kind a pack has, and their names; kinds that it does not have are left out.
fn contents(registry: &Registry, pack: &str) -> Value {
    fn names<'r>(all: impl Iterator<Item = &'r ActionRef>, pack: &str) -> Vec<Value> {
        all.filter(|reference| *reference.pack == *pack).map(|reference| (&*reference.name).into()).collect()
    }
    let kinds = [
        ("actions", names(registry.actions.keys(), pack)),
        ("aliases", names(registry.aliases.keys(), pack)),
        ("policies", names(registry.policies.keys(), pack)),
        ("rules", names(registry.rules.keys(), pack)),
        ("sensors", names(registry.sensors.keys(), pack)),
        ("triggers", names(registry.trigger_types.keys(), pack)),
    ];
    let kinds = kinds.into_iter().filter(|(_, names)| !names.is_empty());
    Value::from_pairs(kinds.map(|(kind, names)| {
        let count = names.len() as u64;
        (kind, Value::from_pairs([("count", Value::from(count)), ("resources", names.into())]))
    }))
}

/// Where a pack came from, in one line for each.
pub(super) fn pack_origin(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let name = text(own, "pack");
    match turn.around.content.registry().pack(name) {
        Some(pack) => python(installed(pack).into()),
        None => python_error(&format!("Pack \"{name}\" is not installed.")),
    }
}

fn installed(pack: &Pack) -> String {
    match pack.is_builtin {
        true => format!("`{}` {} is part of squall", pack.reference, pack.version),
        false => format!("`{}` {} is installed in {}", pack.reference, pack.version, pack.path.display()),
    }
}
