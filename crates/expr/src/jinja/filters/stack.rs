//! StackStorm's filters that need more than plain values; the others are [`crate::functions`].

use super::super::calls::{CallArgs, required};
use super::super::interpreter::{Interpreter, position};
use super::super::value::{V, seq};
use super::{Own, flag, whole};
use crate::Error;
use crate::pattern::{self, Flags};
use squall_model::Value;

/// The text by which a filter says "no value"; casts turn it into null.
pub(crate) const NONE_TEXT: &str = "%*****__%NONE%__*****%";

pub(super) fn find(name: &str) -> Option<Own> {
    Some(match name {
        "regex_substring" => regex_substring,
        "use_none" => |_, v, _| Ok(if matches!(v, V::None) { V::from(NONE_TEXT) } else { v }),
        "decrypt_kv" => decrypt_kv,
        _ => return None,
    })
}

/// The n-th of Python's `findall`: the whole match, its one group, or a tuple of its groups.
fn regex_substring(i: &mut Interpreter, value: V, args: CallArgs) -> Result<V, Error> {
    let [pattern, index, ignore_case] = args.bind("regex_substring", ["pattern", "result_index", "ignorecase"])?;
    let ignore_case = flag(i, ignore_case, false)?;
    let pattern = required(pattern, "regex_substring", "pattern")?;
    i.check(&pattern)?;
    let pattern = pattern::compile(&i.text(&pattern)?, Flags { ignore_case, ..Flags::default() })?;
    let index = whole(index, 0)?;
    let text = i.text(&value)?;
    let all = pattern.find_all(&text, 0, &i.budget)?;
    let Some(found) = position(index, all.len()).map(|at| &all[at]) else {
        return Err(Error::new("IndexError", "list index out of range"));
    };
    let group = |at: usize| {
        let span = found.groups.get(at).cloned().flatten();
        V::from(span.and_then(|span| text.get(span)).unwrap_or_default())
    };
    match pattern.group_count() {
        0 => Ok(group(0)),
        1 => Ok(group(1)),
        n => Ok(V::Tuple(seq((1..=n).map(group).collect())?)),
    }
}

fn decrypt_kv(i: &mut Interpreter, value: V, _: CallArgs) -> Result<V, Error> {
    let V::Item(item) = &value else {
        let message = "decrypt_kv takes a datastore item such as st2kv.system.name".to_owned();
        return Err(Error::new("ValueError", message));
    };
    let scope = item.scope.as_deref().unwrap_or_default();
    let found = i.scope.host.kv(scope, &item.key, true)?;
    match found {
        Some(Value::Str(text)) if !text.is_empty() => Ok(V::Str(text)),
        _ => {
            let message = format!(
                "Referenced datastore item \"st2kv.{scope}.{}\" doesn't exist or it contains an empty string",
                item.key
            );
            Err(Error::new("ValueError", message))
        }
    }
}
