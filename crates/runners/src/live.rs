//! Live output in pieces that are worth a message: at most 64 KiB, whole lines where possible, never half a character.
//!
//! Pure; the clock is the caller's.

/// The largest piece.
pub(crate) const PIECE: usize = 64 << 10;

/// One stream's output on its way.
#[derive(Debug, Default)]
pub(crate) struct Live {
    waiting: Vec<u8>,
}

impl Live {
    /// Takes more bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Whether something waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A full piece, if there is one.
    pub(crate) fn full(&mut self) -> Option<String> {
        if self.waiting.len() < PIECE {
            return None;
        }
        let at = after_last_line(&self.waiting[..PIECE]).unwrap_or_else(|| whole_characters(&self.waiting[..PIECE]));
        Some(self.cut(at))
    }

    /// What is worth showing now that the time is up: whole lines, or else the unfinished one.
    pub(crate) fn due(&mut self) -> Option<String> {
        let at = after_last_line(&self.waiting).unwrap_or_else(|| whole_characters(&self.waiting));
        (at > 0).then(|| self.cut(at))
    }

    /// Everything, at the end.
    pub(crate) fn rest(&mut self) -> Option<String> {
        self.full().or_else(|| (!self.is_empty()).then(|| self.cut(self.waiting.len())))
    }

    fn cut(&mut self, at: usize) -> String {
        let rest = self.waiting.split_off(at);
        let piece = std::mem::replace(&mut self.waiting, rest);
        String::from_utf8(piece).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

fn after_last_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1)
}

/// The length without a character that has only begun.
fn whole_characters(bytes: &[u8]) -> usize {
    let begun = bytes.iter().rev().take(3).position(|byte| *byte >= 0xc0);
    match begun {
        Some(back) => {
            let at = bytes.len() - 1 - back;
            let needs = match bytes[at] {
                0xf0.. => 4,
                0xe0.. => 3,
                _ => 2,
            };
            if back + 1 < needs { at } else { bytes.len() }
        }
        None => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn o02_lines_stay_whole() {
        let mut live = Live::default();
        live.push(b"one\ntwo\nthr");
        assert_eq!(live.full(), None);
        assert_eq!(live.due().as_deref(), Some("one\ntwo\n"));
        assert_eq!(live.due().as_deref(), Some("thr"));
        assert_eq!(live.due(), None);
    }

    #[test]
    fn o03_half_a_character_waits_for_its_other_half() {
        let mut live = Live::default();
        live.push(&"a€".as_bytes()[..3]);
        assert_eq!(live.due().as_deref(), Some("a"));
        assert_eq!(live.due(), None);
        live.push(&"€".as_bytes()[2..]);
        assert_eq!(live.due().as_deref(), Some("€"));
        live.push(b"\xff");
        assert_eq!(live.rest().as_deref(), Some("\u{fffd}"));
    }

    proptest! {
        #[test]
        fn o03_text_comes_out_as_it_went_in(text in "[a€😀\n]{0,200}", cuts in proptest::collection::vec(1usize..7, 1..40)) {
            let mut live = Live::default();
            let mut out = String::new();
            let mut bytes = text.as_bytes();
            for cut in cuts {
                let (now, later) = bytes.split_at(cut.min(bytes.len()));
                live.push(now);
                bytes = later;
                out.extend(live.due());
            }
            live.push(bytes);
            while let Some(piece) = live.rest() {
                out.push_str(&piece);
            }
            prop_assert_eq!(out, text);
        }
    }
}
