//! What one evaluation may cost.

use crate::Error;
use std::cell::Cell;

/// Bounds of one evaluation. The defaults are far above what real content needs.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Steps: one for each node visited, item produced or 64 bytes copied.
    pub steps: u64,
    /// Bytes of values that an evaluation makes.
    pub bytes: u64,
    /// Bytes of text that it gives out.
    pub output: u64,
    /// Nesting of parser and evaluator.
    pub depth: u32,
    /// Nesting of macros, `def` and `generate`.
    pub recursion: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 5_000_000, bytes: 64 << 20, output: 16 << 20, depth: 200, recursion: 100 }
    }
}

/// What is left of [`Limits`] during one evaluation.
#[derive(Debug)]
pub struct Budget {
    steps: Cell<u64>,
    bytes: Cell<u64>,
}

impl Budget {
    /// A full budget.
    pub fn new(limits: &Limits) -> Budget {
        Budget { steps: Cell::new(limits.steps), bytes: Cell::new(limits.bytes) }
    }

    /// Pays for `n` steps.
    pub fn step(&self, n: u64) -> Result<(), Error> {
        match self.steps.get().checked_sub(n) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Error::limit("too many steps")),
        }
    }

    /// Pays for `n` bytes **before** they are allocated; copying counts as steps as well.
    pub fn bytes(&self, n: u64) -> Result<(), Error> {
        match self.bytes.get().checked_sub(n) {
            Some(left) => {
                self.bytes.set(left);
                self.step(n / 64)
            }
            None => Err(Error::limit("too much memory")),
        }
    }
}
