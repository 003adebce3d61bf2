//! People, as the store knows them: who asked, who may answer, who is on call.

use super::Asker;
use super::origin::{agent, label, user};
use crate::confirmation::looks::Found;
use crate::confirmation::people::{Assurance, Directory, Identity, Label, Person, PersonId, Requester, Who};
use crate::confirmation::record::Record;
use crate::people::{Role, identities_of, linked_user};
use squall_model::{ActionRef, Execution, Value};
use squall_store::{Page, Store};
use std::collections::BTreeMap;

/// Users listed when a set is counted.
const USERS: u64 = 10_000;

impl<'a> Asker<'a> {
    pub fn directory(&self) -> People<'a> {
        self.directory_with(None)
    }

    /// The people, with those on call as they were found out last for a record.
    pub fn directory_of(&self, record: &Record) -> People<'a> {
        self.directory_with(Some(&record.found))
    }

    pub(super) fn directory_with(&self, found: Option<&Found>) -> People<'a> {
        People { store: self.store, on_call: found.map(|found| found.on_call.clone()) }
    }

    /// The person behind an execution, and how sure that is.
    pub(super) fn requester(&self, root: &Execution) -> (Person, Assurance) {
        let text = |path: &[&str]| {
            root.request
                .context
                .get(path[0])
                .and_then(|v| if path.len() == 1 { Some(v) } else { v.at(&path[1..]) })
                .and_then(Value::as_str)
        };
        // Only what squall's own adapter heard: a bot in front of squall can write whatever it likes into its context.
        if root.request.reply_to.is_some()
            && let (Some(network), Some(id)) = (text(&["chat", "network"]), text(&["chat", "user_id"]))
        {
            let workspace = text(&["chat", "workspace"]).map(str::to_owned);
            let identity = Identity { network: network.to_owned(), workspace, user_id: id.to_owned() };
            let name = text(&["chat", "user_name"]).unwrap_or(id);
            return self.chat_person(&identity, name);
        }
        let name = user(root);
        if let Some(label) = label(root) {
            let person = Person { id: PersonId::label(&label.user), name: label.user, ..Person::user(&name) };
            return (person, Assurance::A0);
        }
        (self.directory().person(&PersonId::user(&name)).unwrap_or_else(|| Person::user(&name)), Assurance::A2)
    }

    /// The person behind an execution as a record keeps them.
    pub fn frozen_requester(&self, root: &Execution) -> Requester {
        let (person, assurance) = self.requester(root);
        let label = label(root);
        // So that the account which is linked to it can answer what it asked for, and cannot be the other one.
        let labelled = label.as_ref().and_then(Label::identity);
        let identities = person.identities.iter().cloned().chain(labelled).collect();
        Requester {
            shown: person.shown(),
            identities,
            assurance,
            agent: agent(root),
            through: label.as_ref().map(|_| PersonId::user(&user(root))),
            label,
            person: person.id,
        }
    }

    /// Somebody on a chat network: the linked user, or the bare identity.
    pub fn chat_person(&self, identity: &Identity, name: &str) -> (Person, Assurance) {
        let linked = linked_user(self.store, identity).unwrap_or_else(|error| {
            // Without its link a person is somebody without an account, who may do less.
            tracing::error!(%error, "cannot read who somebody in chat is");
            None
        });
        if let Some(mut person) = linked.and_then(|user| self.directory().person(&PersonId::user(&user))) {
            person.handle = Some(name.to_owned());
            return (person, Assurance::A2);
        }
        let person = Person {
            id: PersonId::unlinked(identity),
            name: name.to_owned(),
            handle: Some(name.to_owned()),
            identities: vec![identity.clone()],
            ..Person::user(name)
        };
        (person, Assurance::A1)
    }
}

/// The people whom the store knows.
pub(crate) struct People<'a> {
    pub(super) store: &'a dyn Store,
    /// Who is on call, by the action that was asked; nothing while nobody asked.
    pub(super) on_call: Option<BTreeMap<ActionRef, Vec<PersonId>>>,
}

impl People<'_> {
    fn known(&self, user: &squall_store::User) -> Person {
        // Without its identities a person is somebody else for every answer from chat, which then does not count.
        let identities = identities_of(self.store, &user.name).unwrap_or_default();
        Person {
            name: user.shown.clone().unwrap_or_else(|| user.name.clone()),
            // Two people may be shown alike; the handle tells them apart.
            handle: user.shown.as_ref().map(|_| user.name.clone()),
            roles: user.roles.clone(),
            groups: user.groups.clone(),
            active: user.active,
            identities,
            ..Person::user(&user.name)
        }
    }
}

impl Directory for People<'_> {
    fn person(&self, id: &PersonId) -> Option<Person> {
        let name = id.user_name()?;
        self.store.user(name).ok().flatten().map(|user| self.known(&user))
    }

    fn on_call(&self, action: &ActionRef) -> Vec<PersonId> {
        self.on_call.as_ref().and_then(|found| found.get(action)).cloned().unwrap_or_default()
    }

    fn knows(&self, who: &Who) -> bool {
        self.on_call.is_some() || !matches!(who, Who::OnCall(_))
    }

    fn may_run(&self, person: &Person) -> bool {
        let role = person.roles.iter().filter_map(|r| Role::parse(r)).max();
        person.active && !person.guest && role.is_some_and(|role| role >= Role::Operator)
    }

    fn members(&self, who: &Who) -> Vec<Person> {
        let all = match who {
            Who::User(name) => self.store.user(name).ok().flatten().into_iter().collect(),
            Who::Role(_) | Who::Group(_) | Who::Anyone => match self.store.users(Page { offset: 0, limit: USERS }) {
                Ok((users, _)) => users,
                Err(error) => {
                    tracing::error!(%error, "cannot read the users");
                    Vec::new()
                }
            },
            Who::OnCall(action) => {
                let names = self.on_call(action);
                names.iter().filter_map(|id| self.store.user(id.user_name()?).ok().flatten()).collect()
            }
            Who::Requester => Vec::new(),
        };
        // Before anything more is read of them: of many users few are of a set.
        let fits = |user: &&squall_store::User| match who {
            Who::Role(role) => user.roles.contains(role),
            Who::Group(group) => user.groups.contains(group),
            Who::Anyone => crate::people::role_of(user) >= Role::Operator,
            Who::Requester | Who::User(_) | Who::OnCall(_) => true,
        };
        all.iter().filter(|user| user.active).filter(fits).map(|user| self.known(user)).collect()
    }
}
