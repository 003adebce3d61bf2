//! The registry: one immutable snapshot of all content.
//!
//! Swapped whole when content is loaded again; whoever holds one goes on with what it holds. Everything
//! in it is sound: what was not has a diagnostic instead.

use crate::{Action, Alias, Pack, Policy, Rule, RunnerType, Sensor, TriggerType, runner_type};
use squall_model::{ActionRef, PackName, Value};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// A snapshot; cloning costs a reference count.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<Contents>);

/// What a [`Registry`] derefs to.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Changes with the content: a hash of every file that was read.
    pub version: u64,
    /// Packs by reference.
    pub packs: BTreeMap<PackName, Arc<Pack>>,
    /// Actions.
    pub actions: BTreeMap<ActionRef, Arc<Action>>,
    /// Aliases, disabled ones included.
    pub aliases: BTreeMap<ActionRef, Arc<Alias>>,
    /// Rules, disabled ones included.
    pub rules: BTreeMap<ActionRef, Arc<Rule>>,
    /// Policies, disabled ones included.
    pub policies: BTreeMap<ActionRef, Arc<Policy>>,
    /// Trigger types.
    pub trigger_types: BTreeMap<ActionRef, Arc<TriggerType>>,
    /// Sensors, disabled ones included.
    pub sensors: BTreeMap<ActionRef, Arc<Sensor>>,
    /// Configurations by pack, as written: without defaults, Jinja not rendered.
    pub configs: BTreeMap<PackName, Value>,
}

impl Deref for Registry {
    type Target = Contents;
    fn deref(&self) -> &Contents {
        &self.0
    }
}

impl From<Contents> for Registry {
    fn from(contents: Contents) -> Registry {
        Registry(Arc::new(contents))
    }
}

impl Contents {
    /// The action of this reference.
    pub fn action(&self, reference: &ActionRef) -> Option<&Arc<Action>> {
        self.actions.get(reference)
    }

    /// The alias of this reference.
    pub fn alias(&self, reference: &ActionRef) -> Option<&Arc<Alias>> {
        self.aliases.get(reference)
    }

    /// The rule of this reference.
    pub fn rule(&self, reference: &ActionRef) -> Option<&Arc<Rule>> {
        self.rules.get(reference)
    }

    /// The pack of this reference.
    pub fn pack(&self, reference: &str) -> Option<&Arc<Pack>> {
        self.packs.get(reference)
    }

    /// The runner type of this name, old names included.
    pub fn runner(&self, name: &str) -> Option<&'static Arc<RunnerType>> {
        runner_type(name)
    }

    /// The enabled policies that hang on an action, in the order of their references.
    pub fn policies_of(&self, action: &ActionRef) -> impl Iterator<Item = &Arc<Policy>> {
        let wanted = action.to_string();
        self.policies.values().filter(move |policy| policy.enabled && *policy.resource_ref == *wanted)
    }
}
