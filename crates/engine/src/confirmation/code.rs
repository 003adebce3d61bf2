//! Short codes: what people type to name one confirmation.
//!
//! A code selects and proves intent; it is no credential. Five random symbols and a check symbol, so that every
//! single wrong symbol and every swap of two neighbours is a typo instead of somebody else's confirmation. It is
//! never made from ids, parameters or time.
//!
//! Start reading at [`read`].

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use squall_model::Ids;
use std::fmt;

/// The symbols: no vowels, so that no words come out; no 0, 1, I, L, O, U, Y, which look or sound alike.
pub const ALPHABET: &[u8; 27] = b"23456789BCDFGHJKMNPQRSTVWXZ";

/// Weights of the random symbols. Each is prime to 27, and so is each difference of neighbours (the check symbol
/// included, whose weight is −1): that is what catches single errors and swaps.
const WEIGHTS: [u32; 5] = [1, 2, 4, 5, 7];

/// The weight of the symbol that long codes have in front.
const LONG_WEIGHT: u32 = 8;

/// A byte below this is one symbol without bias: 9 · 27.
const UNBIASED: u8 = 243;

/// A code whose check symbol is right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// Symbols as upper-case letters; only the first `len` count.
    symbols: [u8; 7],
    len: u8,
}

/// What a typed text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A code; whether there is a confirmation of that name is another question.
    Code(Code),
    /// It looks like one, but its check symbol is wrong: nobody guessed, somebody mistyped.
    Typo(String),
    /// Something else, which aliases may understand.
    NotACode,
}

/// How long new codes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Length {
    /// Five symbols and the check symbol.
    #[default]
    Usual,
    /// Six and the check symbol: after many wrong codes in an hour.
    Long,
}

/// Reads what a person typed: any case, with blanks, dashes, backticks, quotes and a final `.`, `,` or `!`.
pub fn read(text: &str) -> Read {
    let mut symbols = [0u8; 7];
    let mut len = 0;
    for c in text.trim_end_matches(['.', ',', '!', ' ', '`', '"', '\'']).chars() {
        if matches!(c, ' ' | '\t' | '-' | '`' | '"' | '\'' | '“' | '”' | '‘' | '’') {
            continue;
        }
        let upper = c.to_ascii_uppercase();
        let Some(byte) = u8::try_from(upper).ok().filter(|b| ALPHABET.contains(b)) else { return Read::NotACode };
        let Some(slot) = symbols.get_mut(len) else { return Read::NotACode };
        *slot = byte;
        len += 1;
    }
    match len {
        6 | 7 if is_checked(&symbols[..len]) => Read::Code(Code { symbols, len: len as u8 }),
        6 => Read::Typo(symbols[..6].iter().map(|b| char::from(*b)).collect()),
        // Seven symbols with a wrong check are rather a word than a long code: those are rare.
        _ => Read::NotACode,
    }
}

impl Code {
    /// Draws a code that `is_taken` does not know: not open, and not closed within the last 24 hours.
    pub fn draw(ids: &dyn Ids, length: Length, mut is_taken: impl FnMut(&Code) -> bool) -> Code {
        // Among the 100,000 open records that are allowed, a draw is free in 99 of 100 cases.
        loop {
            let code = Code::random(ids, length);
            if !is_taken(&code) {
                return code;
            }
        }
    }

    fn random(ids: &dyn Ids, length: Length) -> Code {
        let count = match length {
            Length::Usual => 5,
            Length::Long => 6,
        };
        let mut symbols = [0u8; 7];
        let mut filled = 0;
        while filled < count {
            let mut bytes = [0u8; 8];
            ids.fill(&mut bytes);
            for byte in bytes.into_iter().filter(|b| *b < UNBIASED) {
                if filled < count {
                    symbols[filled] = ALPHABET[usize::from(byte % 27)];
                    filled += 1;
                }
            }
        }
        symbols[count] = check(&symbols[..count]);
        Code { symbols, len: count as u8 + 1 }
    }

    /// Without the dash, as it is stored.
    pub fn compact(&self) -> String {
        self.bytes().iter().map(|b| char::from(*b)).collect()
    }

    fn bytes(&self) -> &[u8] {
        self.symbols.get(..usize::from(self.len)).unwrap_or(&self.symbols)
    }
}

fn value(symbol: u8) -> u32 {
    ALPHABET.iter().position(|s| *s == symbol).unwrap_or(0) as u32
}

/// The check symbol of five or six symbols.
fn check(symbols: &[u8]) -> u8 {
    let (front, usual) = symbols.split_at(symbols.len().saturating_sub(WEIGHTS.len()));
    let sum: u32 = front.iter().map(|s| LONG_WEIGHT * value(*s)).sum::<u32>()
        + usual.iter().zip(WEIGHTS).map(|(s, w)| w * value(*s)).sum::<u32>();
    ALPHABET[(sum % 27) as usize]
}

fn is_checked(symbols: &[u8]) -> bool {
    symbols.split_last().is_some_and(|(last, rest)| check(rest) == *last)
}

/// `K7Q-4M9`
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.bytes().iter().enumerate() {
            if at == 3 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.compact())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        match read(&text) {
            Read::Code(code) => Ok(code),
            Read::Typo(_) | Read::NotACode => Err(serde::de::Error::custom("not a code")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confirmation::testing::Dice;
    use proptest::prelude::*;

    fn code(text: &str) -> Code {
        match read(text) {
            Read::Code(code) => code,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn alphabet() {
        assert_eq!(ALPHABET.len(), 27);
        assert!(ALPHABET.is_sorted());
        assert!(b"01AEIOULY".iter().all(|b| !ALPHABET.contains(b)));
    }

    #[test]
    fn the_check_symbol_of_the_reference() {
        for text in ["K7Q4M9", "T4KQ72", "9FHXRT", "BR7KDW", "W3N8P9"] {
            assert_eq!(code(text).compact(), text);
        }
        assert_eq!(code("k7q4m9").to_string(), "K7Q-4M9");
    }

    #[test]
    fn normalise() {
        for text in ["K7Q-4M9", "k7q4m9", " k7q 4m9 ", "`K7Q-4M9`", "\"K7Q-4M9\".", "K7Q-4M9!", "“k7q-4m9”,"] {
            assert_eq!(code(text).compact(), "K7Q4M9", "{text}");
        }
        for text in ["", "abc", "K7Q-4M", "56a01f4601020304ffabcdef", "K7Q4M9K7Q4M9", "confirm", "K7Q4M9é"] {
            assert_eq!(read(text), Read::NotACode, "{text}");
        }
        assert_eq!(read("k7q-4m8"), Read::Typo("K7Q4M8".into()));
    }

    #[test]
    fn collision_retry() {
        let dice = Dice::new(7);
        let first = Code::draw(&dice, Length::Usual, |_| false);
        let mut tries = 0;
        let second = Code::draw(&Dice::new(7), Length::Usual, |drawn| {
            tries += 1;
            *drawn == first
        });
        assert_ne!(first, second);
        assert_eq!(tries, 2);
    }

    #[test]
    fn draws_every_symbol_about_equally() {
        let dice = Dice::new(1);
        let mut seen = [0u32; 27];
        for _ in 0..2_700 {
            for byte in &Code::draw(&dice, Length::Usual, |_| false).bytes()[..5] {
                seen[value(*byte) as usize] += 1;
            }
        }
        assert!(seen.iter().all(|n| (380..640).contains(n)), "{seen:?}");
    }

    #[test]
    fn long_codes_are_read_back() {
        let drawn = Code::draw(&Dice::new(3), Length::Long, |_| false);
        assert_eq!(drawn.compact().len(), 7);
        assert_eq!(code(&drawn.to_string().to_lowercase()), drawn);
        assert_eq!(serde_json::from_str::<Code>(&serde_json::to_string(&drawn).unwrap()).unwrap(), drawn);
    }

    fn drawn(seed: u64, long: bool) -> Code {
        Code::draw(&Dice::new(seed), if long { Length::Long } else { Length::Usual }, |_| false)
    }

    proptest! {
        #[test]
        fn checksum_single_error(seed: u64, long: bool) {
            let right = drawn(seed, long).bytes().to_vec();
            for at in 0..right.len() {
                for symbol in ALPHABET.iter().filter(|s| **s != right[at]) {
                    let mut wrong = right.clone();
                    wrong[at] = *symbol;
                    prop_assert!(!is_checked(&wrong), "{} for {} at {at}", char::from(*symbol), char::from(right[at]));
                }
            }
        }

        #[test]
        fn checksum_swap(seed: u64, long: bool) {
            let right = drawn(seed, long).bytes().to_vec();
            for at in (1..right.len()).filter(|at| right[at - 1] != right[*at]) {
                let mut swapped = right.clone();
                swapped.swap(at - 1, at);
                prop_assert!(!is_checked(&swapped), "at {at}");
            }
        }

        #[test]
        fn reads_what_it_prints(seed: u64) {
            let drawn = Code::draw(&Dice::new(seed), Length::Usual, |_| false);
            prop_assert_eq!(read(&drawn.to_string()), Read::Code(drawn));
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            read(&text);
        }
    }
}
