//! Replacement templates of `re.sub`: `\1`, `\g<name>`, `\n`.
//!
//! A template is checked against its pattern when it is parsed, so expanding cannot fail.

use super::{Match, Pattern, bad};
use crate::Error;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Replacement {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Reads `template` for `pattern`; unknown groups and escapes of letters without a meaning are errors.
    pub fn parse(template: &str, pattern: &Pattern) -> Result<Replacement, Error> {
        let chars: Vec<char> = template.chars().collect();
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut at = 0;
        while let Some(&c) = chars.get(at) {
            at += 1;
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some(&escaped) = chars.get(at) else {
                return Err(bad(format!("bad escape (end of pattern) at position {}", at - 1)));
            };
            at += 1;
            match escaped {
                'g' => {
                    let (group, after) = named(&chars, at, pattern)?;
                    at = after;
                    flush(&mut text, &mut parts);
                    parts.push(Part::Group(group));
                }
                '0' => {
                    let (c, after) = octal(&chars, at - 1, 2);
                    text.push(c);
                    at = after;
                }
                '1'..='9' => match numbered(&chars, at - 1, pattern)? {
                    (Ok(group), after) => {
                        flush(&mut text, &mut parts);
                        parts.push(Part::Group(group));
                        at = after;
                    }
                    (Err(c), after) => {
                        text.push(c);
                        at = after;
                    }
                },
                'a' => text.push('\u{7}'),
                'b' => text.push('\u{8}'),
                'f' => text.push('\u{c}'),
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                't' => text.push('\t'),
                'v' => text.push('\u{b}'),
                c if c.is_ascii_alphabetic() => {
                    return Err(bad(format!("bad escape \\{c} at position {}", at - 2)));
                }
                c => {
                    text.push('\\');
                    if c != '\\' {
                        text.push(c);
                    }
                }
            }
        }
        flush(&mut text, &mut parts);
        Ok(Replacement { parts })
    }

    /// The template filled with the groups of one match in `text`; an unmatched group is empty.
    pub fn expand(&self, text: &str, one: &Match) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => out.push_str(literal),
                Part::Group(n) => {
                    let span = one.groups.get(*n).cloned().flatten();
                    out.push_str(span.and_then(|s| text.get(s)).unwrap_or_default());
                }
            }
        }
        out
    }
}

fn flush(text: &mut String, parts: &mut Vec<Part>) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text)));
    }
}

/// `<name>` or `<number>` after `\g`.
fn named(chars: &[char], at: usize, pattern: &Pattern) -> Result<(usize, usize), Error> {
    if chars.get(at) != Some(&'<') {
        return Err(bad(format!("missing < at position {at}")));
    }
    let rest = chars.get(at + 1..).unwrap_or_default();
    let Some(length) = rest.iter().position(|&c| c == '>') else {
        return Err(bad(format!("missing >, unterminated name at position {}", at + 1)));
    };
    let name: String = rest.iter().take(length).collect();
    let group = match name.parse::<usize>() {
        Ok(n) if n <= pattern.group_count() => n,
        Ok(n) => {
            return Err(bad(format!("invalid group reference {n} at position {}", at + 1)));
        }
        Err(_) => pattern
            .group_index(&name)
            .ok_or_else(|| Error::new("IndexError", format!("unknown group name '{name}'")))?,
    };
    Ok((group, at + 2 + length))
}

type GroupOrChar = (Result<usize, char>, usize);

/// `\1` to `\99`, or three octal digits.
fn numbered(chars: &[char], at: usize, pattern: &Pattern) -> Result<GroupOrChar, Error> {
    let digits = chars.get(at..).unwrap_or_default().iter().take(3).take_while(|c| c.is_ascii_digit()).count();
    if digits == 3 && chars.get(at..at + 3).is_some_and(|d| d.iter().all(|c| ('0'..='7').contains(c)) && d[0] <= '3') {
        let (c, after) = octal(chars, at, 3);
        return Ok((Err(c), after));
    }
    let length = digits.min(2);
    let number: usize = chars.get(at..at + length).unwrap_or_default().iter().collect::<String>().parse().unwrap_or(0);
    if number > pattern.group_count() {
        return Err(bad(format!("invalid group reference {number} at position {at}")));
    }
    Ok((Ok(number), at + length))
}

fn octal(chars: &[char], at: usize, most: usize) -> (char, usize) {
    let mut code = 0;
    let mut after = at;
    let most = if chars.get(at) == Some(&'0') { most + 1 } else { most };
    while after < at + most
        && let Some(digit) = chars.get(after).and_then(|c| c.to_digit(8))
    {
        code = code * 8 + digit;
        after += 1;
    }
    (char::from_u32(code & 0xff).unwrap_or('\0'), after)
}
