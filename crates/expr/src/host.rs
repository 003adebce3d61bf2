//! What expressions may ask for: a trait that the caller implements.

use crate::{Error, Limits};
use squall_model::{Str, Timestamp, Value};

/// Functions and facts that come from outside of an expression: `task()`, `ctx()`, `env()`, `st2kv()`,
/// the time. Both languages call the same ones. Implementations must be pure for one evaluation: the same
/// call gives the same answer, so that what was rendered can be recorded as a fact.
pub trait Host {
    /// Calls a host function; `None` when there is none of that name, or it does not take these arguments.
    fn call(&self, name: &str, args: &[Value], named: &[(Str, Value)]) -> Option<Result<Value, Error>>;

    /// The member `key` of the map that [`Host::call`] would give for these arguments, for hosts that know it without making
    /// the map; `None` when they do not, or there is no such member.
    fn member(&self, name: &str, args: &[Value], key: &str) -> Option<Value> {
        let _ = (name, args, key);
        None
    }

    /// Whether a function of that name exists (for messages and for Jinja, which looks names up first).
    fn has(&self, name: &str) -> bool;

    /// A datastore item of scope `system` or `user`; `None` when there is none. `decrypt` asks for the clear
    /// text of a secret, which the host refuses to those who may not see it.
    fn kv(&self, scope: &str, key: &str, decrypt: bool) -> Result<Option<Value>, Error>;

    /// A pure function over the value that is the top-level name `name` in Jinja and is not part of the data
    /// (e.g. lazily loaded contexts); `None` when there is none.
    fn name(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// The time of this evaluation.
    fn now(&self) -> Timestamp;

    /// Fills `bytes` with random ones (recorded by the caller through the result).
    fn random(&self, bytes: &mut [u8]);

    /// What one evaluation may cost here. A host around another one hands this on.
    fn limits(&self) -> &Limits {
        Limits::usual()
    }
}

/// A host without functions, keys, time or randomness: for pure expressions and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn call(&self, _: &str, _: &[Value], _: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        None
    }
    fn has(&self, _: &str) -> bool {
        false
    }
    fn kv(&self, _: &str, _: &str, _: bool) -> Result<Option<Value>, Error> {
        Ok(None)
    }
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }
    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}
