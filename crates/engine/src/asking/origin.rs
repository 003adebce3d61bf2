//! Where a run came from, as its request tells: door, person, place, alias.

use crate::Content;
use crate::confirmation::people::Label;
use crate::confirmation::policy::Source;
use crate::confirmation::record::Place;
use crate::people::CHAT_USER;
use squall_content::Alias;
use squall_model::{Execution, Value};
use std::sync::Arc;

/// The alias through which an execution was asked for, if it is still there.
pub(crate) fn alias_of(execution: &Execution, content: &Content) -> Option<Arc<Alias>> {
    if let Some(reference) = execution.request.reply_to.as_ref().and_then(|reply| reply.alias.as_ref()) {
        return content.registry().alias(reference).cloned();
    }
    let id = execution.request.context.get("action_alias_ref")?.get("id")?.as_str()?;
    let is_it = |alias: &&Arc<Alias>| crate::view::object_id(&crate::view::alias_uid(alias)) == id;
    content.registry().aliases.values().find(is_it).cloned()
}

/// Whether people were asked about an execution: its stored parameters are final then, and nothing is rendered again.
pub(crate) fn is_frozen(execution: &Execution) -> bool {
    execution.request.context.contains_key("confirmation")
}

pub(crate) fn user(execution: &Execution) -> String {
    execution.request.context.get("user").and_then(Value::as_str).unwrap_or(CHAT_USER).to_owned()
}

/// What a bot in front of squall says about whoever typed a command; proves nothing.
pub(crate) fn label(root: &Execution) -> Option<Label> {
    if source(root) != Source::Chat || root.request.reply_to.is_some() {
        return None;
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let context = &root.request.context;
    Some(Label {
        user: text(context.get("api_user")),
        channel: text(context.get("source_channel")),
        route: text(root.request.notify.at(&["on-complete", "routes"]).and_then(Value::as_list).and_then(<[_]>::first)),
    })
}

/// Where a root's command was typed.
pub(crate) fn place(root: &Execution) -> Option<Place> {
    root.request.reply_to.as_ref().map(|reply| Place {
        network: reply.network.clone(),
        channel: reply.channel.clone(),
        thread: reply.thread.clone(),
        private: reply.channel.starts_with('@'),
    })
}

/// The program that asked in its owner's name.
pub(crate) fn agent(root: &Execution) -> Option<String> {
    root.request.context.get("agent").and_then(Value::as_str).map(str::to_owned)
}

/// Through which door a root came.
pub(crate) fn source(root: &Execution) -> Source {
    let known = Source::ALL.iter().find(|(name, _)| *name == root.request.source);
    match (known, &root.request.reply_to) {
        (Some((_, source)), _) => *source,
        // Rows of older programs.
        (None, Some(_)) => Source::Chat,
        (None, None) => Source::Api,
    }
}
