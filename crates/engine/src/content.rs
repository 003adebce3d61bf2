//! The packs as they are now, with what is prepared once for each snapshot: the matcher of all aliases.

use crate::confirmation::Policy;
use crate::params::Prepared;
use squall_content::{Action, Registry};
use squall_expr::alias::{Entry, Matcher, Options, representations};
use squall_model::{ActionRef, Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// A snapshot of all content.
pub struct Content {
    registry: Registry,
    prepared: HashMap<ActionRef, Arc<Prepared>>,
    policy: Arc<Policy>,
    strict: Matcher<ActionRef>,
    kind: Matcher<ActionRef>,
    /// Policies of concurrency by the action that they hang on.
    few: HashMap<ActionRef, Vec<Arc<squall_content::Policy>>>,
    /// What workflows name, found out once for each: a snapshot never changes.
    children: Mutex<HashMap<ActionRef, Children>>,
    /// Which workflows may come to know secrets, likewise.
    touching: Mutex<HashMap<ActionRef, bool>>,
}

/// The actions that a workflow names in its text, and those that they name.
type Children = Arc<[Arc<Action>]>;

impl Content {
    /// Prepares a snapshot. Formats that cannot be read were reported when the packs were loaded.
    pub fn new(registry: Registry, policy: Arc<Policy>) -> Content {
        let entries = || {
            registry.aliases.values().filter(|a| a.enabled).flat_map(|alias| {
                let all = representations(&alias.formats).unwrap_or_default();
                // An alias with any `match_multiple` format is looked up as one of these as a whole.
                let multiple = all.iter().any(|r| r.multiple == Some(true));
                let action = alias.action_ref.parse().ok().and_then(|r| registry.action(&r));
                let parameters: Vec<squall_model::Str> =
                    action.map(|a| a.parameters.keys().cloned().collect()).unwrap_or_default();
                all.into_iter().filter(|r| !r.text.is_empty()).map(move |r| Entry {
                    alias: alias.reference.clone(),
                    representation: r.text,
                    multiple,
                    parameters: parameters.clone(),
                })
            })
        };
        let lenient = Options { collapse_blanks: true, ignore_case: true, declared_pairs: true };
        let (strict, _) = Matcher::new(entries(), Options::default());
        let (kind, _) = Matcher::new(entries(), lenient);
        let prepared = registry.actions.values().map(|a| (a.reference.clone(), Arc::new(Prepared::new(a)))).collect();
        let mut few: HashMap<ActionRef, Vec<Arc<squall_content::Policy>>> = HashMap::new();
        let concurrency =
            |p: &&Arc<squall_content::Policy>| p.enabled && p.policy_type.starts_with("action.concurrency");
        for policy in registry.policies.values().filter(concurrency) {
            if let Ok(action) = policy.resource_ref.parse() {
                few.entry(action).or_default().push(policy.clone());
            }
        }
        Content {
            registry,
            prepared,
            policy,
            strict,
            kind,
            few,
            children: Mutex::default(),
            touching: Mutex::default(),
        }
    }

    /// The packs.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The parameters of an action of this snapshot.
    pub fn prepared(&self, action: &Action) -> Arc<Prepared> {
        match self.prepared.get(&action.reference) {
            Some(prepared) => prepared.clone(),
            None => Arc::new(Prepared::new(action)),
        }
    }

    /// The actions that a workflow names in its text, and those that they name, without itself.
    pub(crate) fn children(&self, action: &Action) -> Children {
        if let Some(known) = crate::locked(&self.children).get(&action.reference) {
            return known.clone();
        }
        let found: Children = crate::closure::children(action, &self.registry).into();
        crate::locked(&self.children).insert(action.reference.clone(), found.clone());
        found
    }

    /// Whether a workflow may come to know secrets: it or something that its definition names decrypts, has a secret parameter of
    /// its own (whose value may come from a default or from the pack's configuration), or speaks of one of a runner. That a
    /// runner has one is not enough: every shell command has `sudo_password`.
    pub(crate) fn touches_secrets(&self, action: &Action) -> bool {
        if let Some(known) = crate::locked(&self.touching).get(&action.reference) {
            return *known;
        }
        let children = self.children(action);
        let texts = || {
            let all = std::iter::once(action).chain(children.iter().map(|child| &**child));
            all.filter_map(|action| action.definition.as_ref()).map(|definition| &definition.text)
        };
        let mut words: BTreeSet<String> = children.iter().flat_map(|child| self.prepared(child).secret()).collect();
        words.insert("decrypt".into());
        let found = children.iter().any(|child| self.prepared(child).has_own_secrets())
            || texts().any(|text| words.iter().any(|word| text.contains(word.as_str())));
        crate::locked(&self.touching).insert(action.reference.clone(), found);
        found
    }

    /// The server's rules of confirmation.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Policies that let only a few executions of an action run at once.
    pub(crate) fn few(&self, action: &ActionRef) -> &[Arc<squall_content::Policy>] {
        self.few.get(action).map_or(&[], Vec::as_slice)
    }

    /// Whether there is any of them.
    pub(crate) fn has_few(&self) -> bool {
        !self.few.is_empty()
    }

    /// The configuration of a pack; empty when it has none.
    pub fn config(&self, pack: &str) -> Map {
        self.registry.configs.get(pack).and_then(Value::as_map).cloned().unwrap_or_default()
    }

    /// Matches as StackStorm's API does.
    pub fn strict(&self) -> &Matcher<ActionRef> {
        &self.strict
    }

    /// Matches as squall's own bots do: blanks, case and `=` are forgiven.
    pub fn kind(&self) -> &Matcher<ActionRef> {
        &self.kind
    }
}
