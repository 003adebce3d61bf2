//! Texts as Python's `int()` and `float()` read them.

use num_bigint::BigInt;

/// Digits beyond this are refused: reading them takes quadratic time.
const MAX_DIGITS: usize = 10_000;

/// `int(text, base)`; base 0 reads the prefix. Blanks around, single underscores between digits.
pub(crate) fn int(text: &str, base: u32) -> Option<BigInt> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (base, lower.get(..2)) {
        (0 | 16, Some("0x")) => (16, &lower[2..]),
        (0 | 8, Some("0o")) => (8, &lower[2..]),
        (0 | 2, Some("0b")) => (2, &lower[2..]),
        (0, _) => (10, &*lower),
        (base, _) => (base, &*lower),
    };
    if !(2..=36).contains(&base) || digits.len() > MAX_DIGITS {
        return None;
    }
    let plain = ascii_digits(&without_underscores(digits)?)?;
    if !plain.starts_with(|c: char| c.is_digit(base)) {
        return None;
    }
    let number = BigInt::parse_bytes(plain.as_bytes(), base)?;
    Some(if negative { -number } else { number })
}

/// `float(text)`: decimal notation, `inf`, `infinity`, `nan` in any case.
pub(crate) fn float(text: &str) -> Option<f64> {
    let text = ascii_digits(&without_underscores(text.trim())?)?;
    let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    if !matches!(unsigned.as_str(), "inf" | "infinity" | "nan")
        && !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return None;
    }
    text.to_ascii_lowercase().parse().ok()
}

/// Removes underscores that stand between two digits; any other makes the text no number.
fn without_underscores(text: &str) -> Option<String> {
    if !text.contains('_') {
        return Some(text.to_owned());
    }
    let chars: Vec<char> = text.chars().collect();
    let digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_ascii_alphanumeric());
    let fine = chars.iter().enumerate().all(|(at, c)| *c != '_' || (digit(at.checked_sub(1)) && digit(Some(at + 1))));
    fine.then(|| text.replace('_', ""))
}

/// Digits of other scripts as ASCII.
fn ascii_digits(text: &str) -> Option<String> {
    if text.is_ascii() {
        return Some(text.to_owned());
    }
    const ZEROS: &[u32] = &[0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10];
    text.chars()
        .map(|c| {
            if c.is_ascii() {
                return Some(c);
            }
            let code = u32::from(c);
            let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
            char::from_digit(code - zero, 10)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, number) in
            [(" 5 ", Some(5)), ("1_000", Some(1000)), ("-3", Some(-3)), ("5\n", Some(5)), ("٣", Some(3))]
        {
            assert_eq!(int(text, 10), number.map(BigInt::from), "{text:?}");
        }
        for text in ["5.5", "", "abc", "0x10", "1__0", "_1", "1_", "+-1", "- 1"] {
            assert_eq!(int(text, 10), None, "{text:?}");
        }
        assert_eq!(int("0x1f", 16), Some(31.into()));
    }

    #[test]
    fn floats() {
        assert_eq!(float("1e3"), Some(1000.0));
        assert_eq!(float(" .5 "), Some(0.5));
        assert_eq!(float("-Infinity"), Some(f64::NEG_INFINITY));
        assert!(float("nan").unwrap().is_nan());
        for text in ["", "abc", "1,5", "0x10", "--1", "e5"] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }
}
