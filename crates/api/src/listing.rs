//! Lists of content: filters that all of them share, order, paging, attributes, counts.

use crate::answer;
use crate::attributes::{Attributes, Rules};
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::limits::LISTED_NAMES;
use crate::query::Query;
use axum::response::Response;
use squall_engine::view::object_id;
use squall_model::Value;
use std::sync::Arc;

/// Something of the content that has a place on the wire.
pub(crate) trait Shown {
    /// StackStorm's unique id.
    fn uid(&self) -> String;
    /// The pack; empty for what belongs to none.
    fn pack(&self) -> &str;
    /// The name inside of the pack.
    fn name(&self) -> &str;
    /// The whole object.
    fn show(&self) -> Value;

    /// The 24-digit id.
    fn id(&self) -> String {
        object_id(&self.uid())
    }
}

/// How a list behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// The limit when the client names none.
    pub limit: Option<u64>,
    /// Whether `offset` counts.
    pub offset: bool,
    /// Whether `sort` counts.
    pub sort: bool,
    /// Whether everybody may have all of it at once. Bots ask for all aliases when they start, and know no command without them;
    /// no bot should be an administrator for that.
    pub whole: bool,
    /// Which fields may be chosen.
    pub rules: Rules,
}

/// One page of `items`, which come in the list's own order.
pub(crate) fn page<T: Shown>(
    items: impl Iterator<Item = Arc<T>>,
    query: &Query,
    caller: &Caller,
    shape: &Shape,
) -> Result<Response, Fault> {
    let attributes = Attributes::of(query, &shape.rules)?;
    let mut paging = query.paging(shape.limit, shape.whole || caller.is_admin())?;
    if !shape.offset {
        paging.offset = 0;
    }
    let ids = ids(query)?;
    let fits = |item: &T| {
        query.filled("name").is_none_or(|name| item.name() == name)
            && query.filled("pack").is_none_or(|pack| item.pack() == pack)
            && (ids.is_empty() || ids.contains(&item.id().as_str()))
    };
    let mut found: Vec<Arc<T>> = items.filter(|item| fits(item)).collect();
    if shape.sort {
        sort(&mut found, query);
    }
    let total = found.len() as u64;
    let take = paging.limit.unwrap_or(u64::MAX);
    let rows = found.iter().skip(paging.offset as usize).take(usize::try_from(take).unwrap_or(usize::MAX));
    let shown = rows.map(|item| attributes.trim(item.show(), &shape.rules)).collect();
    Ok(answer::list(shown, total, paging.limit))
}

/// The ids that a list is narrowed to.
pub(crate) fn ids(query: &Query) -> Result<Vec<&str>, Fault> {
    let ids = query.list("id");
    if ids.len() as u64 > LISTED_NAMES {
        return Err(Fault::bad(format!("more than {LISTED_NAMES} ids are named")));
    }
    match ids.iter().find(|id| !is_id(id)) {
        Some(bad) => Err(Fault::bad(format!("'{bad}' is not a valid id: it must be a 24-character hex string"))),
        None => Ok(ids),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Sorts by the names that are known; the last name first, because the sort is stable.
fn sort<T: Shown>(items: &mut [Arc<T>], query: &Query) {
    for wish in query.list("sort").into_iter().rev() {
        let (down, name) = match wish.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, wish.strip_prefix('+').unwrap_or(wish)),
        };
        let key: fn(&T) -> String = match name {
            "name" => |item| item.name().to_owned(),
            "pack" => |item| item.pack().to_owned(),
            "ref" => |item| format!("{}.{}", item.pack(), item.name()),
            "id" => T::id,
            _ => continue,
        };
        items.sort_by_cached_key(|item| key(item));
        if down {
            items.reverse();
        }
    }
}

/// The item that a path names by reference (it has a dot) or by id.
pub(crate) fn named<T: Shown>(items: impl Iterator<Item = Arc<T>>, named: &str) -> Option<Arc<T>> {
    let mut items = items;
    match named.split_once('.') {
        Some((pack, name)) => items.find(|item| item.pack() == pack && item.name() == name),
        None if is_id(named) => items.find(|item| item.id() == named),
        None => None,
    }
}

/// 404 for content, in StackStorm's words.
pub(crate) fn missing(named: &str) -> Fault {
    Fault::missing(format!("Resource with a reference or id \"{named}\" not found"))
}
