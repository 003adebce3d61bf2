//! What one evaluation may cost.
//!
//! All bounds but the time depend on the expression and its data alone: the same evaluation reaches them always or
//! never. The time is the last resort, for a machine that is too slow for the steps, and reaching it depends on the
//! machine. That does no harm to what is replayed: what an evaluation gave, an error included, is recorded with the step
//! that asked for it, and nothing recorded is evaluated again.

use crate::Error;
use squall_model::Value;
use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A bound that can be set.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// The name by which it is set and by which errors call it.
    pub name: &'static str,
    /// What it counts.
    pub counts: &'static str,
    /// The most that it can be set to: a stack ends, whatever is wished.
    pub ceiling: u64,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

/// Bounds of one evaluation. The defaults are far above what real content needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Steps: one for each node visited, item produced or 64 bytes copied.
    pub steps: u64,
    /// Milliseconds, by the clock.
    pub time: u64,
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
    /// Every bound. To add one: a field, its line here, its default.
    pub const ALL: &[Bound] = &[
        Bound {
            name: "steps",
            counts: "steps of one evaluation: nodes visited, items produced, 64 bytes copied",
            ceiling: u64::MAX,
            get: |l| l.steps,
            set: |l, n| l.steps = n,
        },
        Bound {
            name: "time",
            counts: "milliseconds of one evaluation by the clock, looked at every 4,096 steps",
            ceiling: u64::MAX,
            get: |l| l.time,
            set: |l, n| l.time = n,
        },
        Bound {
            name: "bytes",
            counts: "bytes of values that one evaluation makes",
            ceiling: u64::MAX,
            get: |l| l.bytes,
            set: |l, n| l.bytes = n,
        },
        Bound {
            name: "output",
            counts: "bytes of text that one evaluation gives out",
            ceiling: u64::MAX,
            get: |l| l.output,
            set: |l, n| l.output = n,
        },
        Bound {
            name: "depth",
            counts: "levels of nesting",
            ceiling: 200,
            get: |l| l.depth.into(),
            set: |l, n| l.depth = n as u32,
        },
        Bound {
            name: "recursion",
            counts: "calls of macros, recursive loops and functions made by `def` within each other",
            ceiling: 100,
            get: |l| l.recursion.into(),
            set: |l, n| l.recursion = n as u32,
        },
    ];

    /// What holds where nobody has set anything else.
    pub fn usual() -> &'static Limits {
        static USUAL: LazyLock<Limits> = LazyLock::new(Limits::default);
        &USUAL
    }

    /// Sets the bound `name`; false when there is none of that name.
    pub fn set(&mut self, name: &str, most: u64) -> bool {
        match Limits::ALL.iter().find(|bound| bound.name == name) {
            Some(bound) => {
                (bound.set)(self, most.min(bound.ceiling));
                true
            }
            None => false,
        }
    }

    /// Sets a bound as it is written on a command line: `steps=100_000`. The error says what is there to choose from.
    pub fn set_written(&mut self, written: &str) -> Result<(), String> {
        let (name, most) = written.split_once('=').ok_or_else(|| format!("`{written}` is not NAME=NUMBER"))?;
        let number = most.replace('_', "").parse().map_err(|_| format!("`{most}` is no whole number"))?;
        if self.set(name, number) {
            return Ok(());
        }
        let names: Vec<&str> = Limits::ALL.iter().map(|bound| bound.name).collect();
        Err(format!("there is no bound `{name}`; there are {}", names.join(", ")))
    }

    /// A result, unless it is a text that is too long.
    pub(crate) fn given_out(&self, value: Value) -> Result<Value, Error> {
        match &value {
            Value::Str(text) if text.len() as u64 > self.output => {
                Err(Error::bound("output", self.output, "bytes of output"))
            }
            _ => Ok(value),
        }
    }

    /// The bound `name`.
    pub fn get(&self, name: &str) -> Option<u64> {
        Limits::ALL.iter().find(|bound| bound.name == name).map(|bound| (bound.get)(self))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 5_000_000, time: 10_000, bytes: 64 << 20, output: 16 << 20, depth: 200, recursion: 100 }
    }
}

/// How many steps are given out at once; between them nobody looks at the clock.
const PORTION: u64 = 4_096;

/// What is left of [`Limits`] during one evaluation.
#[derive(Debug)]
pub struct Budget {
    /// Steps of the current portion.
    steps: Cell<u64>,
    /// Steps beyond the current portion.
    rest: Cell<u64>,
    bytes: Cell<u64>,
    /// When the time is up; set after the first portion, so that a small evaluation never asks for the time.
    until: Cell<Option<Instant>>,
    most: (u64, u64, u64),
}

impl Budget {
    /// A full budget.
    pub fn new(limits: &Limits) -> Budget {
        let portion = limits.steps.min(PORTION);
        Budget {
            steps: Cell::new(portion),
            rest: Cell::new(limits.steps - portion),
            bytes: Cell::new(limits.bytes),
            until: Cell::new(None),
            most: (limits.steps, limits.bytes, limits.time),
        }
    }

    /// Pays for `n` steps.
    #[inline]
    pub fn step(&self, n: u64) -> Result<(), Error> {
        match self.steps.get().checked_sub(n) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => self.refill(n),
        }
    }

    #[cold]
    fn refill(&self, n: u64) -> Result<(), Error> {
        let missing = n - self.steps.get();
        let Some(rest) = self.rest.get().checked_sub(missing) else {
            return Err(Error::bound("steps", self.most.0, "steps"));
        };
        let portion = rest.min(PORTION);
        self.steps.set(portion);
        self.rest.set(rest - portion);
        let now = Instant::now();
        match self.until.get() {
            None => self.until.set(now.checked_add(Duration::from_millis(self.most.2))),
            Some(until) if now >= until => return Err(Error::bound("time", self.most.2, "milliseconds")),
            Some(_) => {}
        }
        Ok(())
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
