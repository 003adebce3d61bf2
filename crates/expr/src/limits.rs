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

impl Limits {
    /// The names by which bounds are set and by which errors call them, with what each counts.
    pub const NAMES: &[(&str, &str)] = &[
        ("steps", "steps of one evaluation: nodes visited, items produced, 64 bytes copied; what bounds its time"),
        ("bytes", "bytes of values that one evaluation makes"),
        ("output", "bytes of text that one evaluation gives out"),
        ("depth", "levels of nesting, at most 200"),
        ("recursion", "calls of macros, recursive loops and functions made by `def` within each other, at most 100"),
    ];

    /// Sets the bound `name`; false when there is none of that name. Nesting has a ceiling, because a stack ends.
    pub fn set(&mut self, name: &str, most: u64) -> bool {
        let small = |ceiling: u32| u32::try_from(most).map_or(ceiling, |n| n.min(ceiling));
        match name {
            "steps" => self.steps = most,
            "bytes" => self.bytes = most,
            "output" => self.output = most,
            "depth" => self.depth = small(200),
            "recursion" => self.recursion = small(100),
            _ => return false,
        }
        true
    }

    /// The bound `name`.
    pub fn get(&self, name: &str) -> Option<u64> {
        Some(match name {
            "steps" => self.steps,
            "bytes" => self.bytes,
            "output" => self.output,
            "depth" => self.depth.into(),
            "recursion" => self.recursion.into(),
            _ => return None,
        })
    }
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
    most: (u64, u64),
}

impl Budget {
    /// A full budget.
    pub fn new(limits: &Limits) -> Budget {
        let most = (limits.steps, limits.bytes);
        Budget { steps: Cell::new(limits.steps), bytes: Cell::new(limits.bytes), most }
    }

    /// Pays for `n` steps.
    pub fn step(&self, n: u64) -> Result<(), Error> {
        match self.steps.get().checked_sub(n) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Error::bound("steps", self.most.0, "steps")),
        }
    }

    /// Pays for `n` bytes **before** they are allocated; copying counts as steps as well.
    pub fn bytes(&self, n: u64) -> Result<(), Error> {
        match self.bytes.get().checked_sub(n) {
            Some(left) => {
                self.bytes.set(left);
                self.step(n / 64)
            }
            None => Err(Error::bound("bytes", self.most.1, "bytes of values")),
        }
    }
}
