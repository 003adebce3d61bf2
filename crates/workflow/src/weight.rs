//! About how much memory something keeps. It is counted in its JSON, so no figure depends on a machine or an allocator.
//!
//! A value takes memory for its text and for what holds it together. Each piece that is written (a bracket, a comma, a quote, a
//! number) counts for a part of that; measured on lists, maps and texts, the sum lies between half and twice of what is kept.
//! What several values share counts for each of them.

use serde::Serialize;
use std::io::{self, Write};

/// Bytes for each piece beside its text.
const PIECE: usize = 16;

/// About how many bytes of memory this keeps.
pub(crate) fn weight(what: &impl Serialize) -> usize {
    let mut scale = Scale(0);
    match serde_json::to_writer(&mut scale, what) {
        // What cannot be written weighs as much as was written of it.
        Ok(()) | Err(_) => scale.0,
    }
}

struct Scale(usize);

impl Write for Scale {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0 += piece.len() + PIECE;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::Value;

    #[test]
    fn lists_maps_and_texts_weigh_about_what_they_keep() {
        let numbers: Value = (0..1_000).map(|n| Value::Int(n % 10)).collect::<Vec<_>>().into();
        assert!((16_000..64_000).contains(&weight(&numbers)), "{}", weight(&numbers));
        let text = Value::from("x".repeat(10_000));
        assert!((10_000..11_000).contains(&weight(&text)), "{}", weight(&text));
        assert_eq!(weight(&Value::Null), 20);
    }
}
