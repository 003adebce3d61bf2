//! One module for each chat network.

pub mod terminal;
