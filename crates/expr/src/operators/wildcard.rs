//! Shell wildcards: `*`, `?`, `[seq]`, `[!seq]` over a whole text.

/// Whether `text` matches; every character counts, `*` passes `/` and line feeds too.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern = parse(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how much it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Part::Star) => {
                star = Some((p, t));
                p += 1;
            }
            Some(part) if part.takes(text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|part| matches!(part, Part::Star))
}

enum Part {
    Star,
    Any,
    One(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Part::Star => false,
            Part::Any => true,
            Part::One(one) => *one == c,
            Part::Class { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
        }
    }
}

fn parse(pattern: &str) -> Vec<Part> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        parts.push(match c {
            '*' => Part::Star,
            '?' => Part::Any,
            '[' => match class(&chars, at) {
                Some((part, end)) => {
                    at = end;
                    part
                }
                None => Part::One('['),
            },
            c => Part::One(c),
        });
    }
    parts
}

/// The class that begins at `start`, behind its bracket; `None` when it is never closed.
fn class(chars: &[char], start: usize) -> Option<(Part, usize)> {
    let negated = chars.get(start) == Some(&'!');
    let from = start + usize::from(negated);
    // A bracket that comes first is a member.
    let close = (from + 1..chars.len()).find(|&at| chars[at] == ']')?;
    let members = &chars[from..close];
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < members.len() {
        if at + 2 < members.len() && members[at + 1] == '-' {
            ranges.push((members[at], members[at + 2]));
            at += 3;
        } else {
            ranges.push((members[at], members[at]));
            at += 1;
        }
    }
    Some((Part::Class { negated, ranges }, close + 1))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards() {
        for (pattern, text) in [
            ("t?st1", "test1"),
            ("*", ""),
            ("*", "a/b\nc"),
            ("web-*.prod", "web-01.prod"),
            ("[]a]]", "a]"),
            ("[a-c]x", "bx"),
            ("a[", "a["),
            ("*a*b", "xaxaxb"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("tes[!t]", "test"), ("b", "abc"), ("[a-c]", "d"), ("A", "a"), ("a?", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
    }
}
