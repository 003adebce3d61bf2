//! What stands behind a backslash in a text of Python's grammar.

/// An escape that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Escape {
    /// The character that it means; none for a line that is continued.
    pub char: Option<char>,
    /// How many bytes of the text it takes, without the backslash.
    pub length: usize,
}

/// Reads the escape at the beginning of `rest`; nothing when it is none, or means no character.
pub(crate) fn escape(rest: &str) -> Option<Escape> {
    let first = rest.chars().next()?;
    let one = |char| Some(Escape { char: Some(char), length: 1 });
    match first {
        'n' => one('\n'),
        't' => one('\t'),
        'r' => one('\r'),
        'a' => one('\x07'),
        'b' => one('\x08'),
        'f' => one('\x0c'),
        'v' => one('\x0b'),
        '\\' | '\'' | '"' => one(first),
        '\n' => Some(Escape { char: None, length: 1 }),
        'x' => number(rest, 1..3, 16),
        'u' => number(rest, 1..5, 16),
        'U' => number(rest, 1..9, 16),
        '0'..='7' => {
            let length = rest.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
            number(rest, 0..length, 8)
        }
        _ => None,
    }
}

/// The character whose number stands there, with exactly so many digits.
fn number(rest: &str, digits: std::ops::Range<usize>, radix: u32) -> Option<Escape> {
    let length = digits.end;
    let digits = rest.get(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    let char = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)?;
    Some(Escape { char: Some(char), length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rest: &str, expected: Option<(Option<char>, usize)>) {
        assert_eq!(escape(rest).map(|escape| (escape.char, escape.length)), expected, "{rest}");
    }

    #[test]
    fn letters_numbers_and_lines() {
        check("nx", Some((Some('\n'), 1)));
        check("\\", Some((Some('\\'), 1)));
        check("\nnext", Some((None, 1)));
        check("x41b", Some((Some('A'), 3)));
        check("u00e4", Some((Some('ä'), 5)));
        check("U0001F600!", Some((Some('😀'), 9)));
        check("0", Some((Some('\0'), 1)));
        check("1018", Some((Some('A'), 3)));
    }

    #[test]
    fn what_is_no_escape() {
        for text in ["", "q", "x4", "x+4", "uD800", "xä", "8"] {
            check(text, None);
        }
    }
}
