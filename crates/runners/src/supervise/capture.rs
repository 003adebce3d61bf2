//! One stream of output within its bounds: the first part, the last part, and a line that says what is missing.
//!
//! Pure. The bound holds for any input, and every byte is counted.

/// Kept of each end of a stream: 5 MiB.
pub(crate) const KEEP: usize = 5 << 20;

/// Collects one stream.
#[derive(Debug)]
pub(crate) struct Capture {
    keep: usize,
    total: u64,
    head: Vec<u8>,
    /// A ring once it is full: the oldest byte is at `oldest`.
    tail: Vec<u8>,
    oldest: usize,
}

impl Capture {
    pub(crate) fn new(keep: usize) -> Capture {
        Capture { keep, total: 0, head: Vec::new(), tail: Vec::new(), oldest: 0 }
    }

    /// Takes the next bytes; answers how many of them belong to the first part.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        self.total += bytes.len() as u64;
        let fits = bytes.len().min(self.keep - self.head.len());
        let (first, rest) = bytes.split_at(fits);
        self.head.extend_from_slice(first);
        self.push_tail(rest);
        fits
    }

    fn push_tail(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.keep)..];
        let (grow, wrap) = bytes.split_at(bytes.len().min(self.keep - self.tail.len()));
        self.tail.extend_from_slice(grow);
        let (first, second) = wrap.split_at(wrap.len().min(self.tail.len() - self.oldest));
        self.tail[self.oldest..self.oldest + first.len()].copy_from_slice(first);
        self.tail[..second.len()].copy_from_slice(second);
        if !self.tail.is_empty() {
            self.oldest = (self.oldest + wrap.len()) % self.tail.len();
        }
    }

    /// Bytes seen.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// What is kept, with a marker line where bytes are missing.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let missing = self.total - self.head.len() as u64 - self.tail.len() as u64;
        self.tail.rotate_left(self.oldest);
        let mut all = self.head;
        if missing > 0 {
            all.extend_from_slice(format!("\n[{missing} bytes of output left out here]\n").as_bytes());
        }
        all.append(&mut self.tail);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(keep: usize, pieces: &[&str], expected: &str) {
        let mut capture = Capture::new(keep);
        for piece in pieces {
            capture.push(piece.as_bytes());
        }
        assert_eq!(String::from_utf8(capture.finish()).unwrap(), expected);
    }

    #[test]
    fn o01_short_output_is_whole() {
        check(3, &["abc", "de", "f"], "abcdef");
        check(3, &[], "");
    }

    #[test]
    fn o01_long_output_keeps_both_ends_and_says_so() {
        check(3, &["abcdefghi"], "abc\n[3 bytes of output left out here]\nghi");
        check(3, &["ab", "cdef", "ghij"], "abc\n[4 bytes of output left out here]\nhij");
    }

    proptest! {
        #[test]
        fn o01_however_it_is_cut(pieces in proptest::collection::vec("[a-z]{0,9}", 0..20), keep in 1usize..8) {
            let whole = pieces.concat();
            let mut cut = Capture::new(keep);
            for piece in &pieces {
                cut.push(piece.as_bytes());
            }
            let mut once = Capture::new(keep);
            once.push(whole.as_bytes());
            prop_assert_eq!(cut.total(), whole.len() as u64);
            let text = cut.finish();
            prop_assert_eq!(&text, &once.finish());
            prop_assert!(text.ends_with(&whole.as_bytes()[whole.len().saturating_sub(keep)..]));
        }
    }
}
