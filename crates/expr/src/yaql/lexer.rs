//! Tokens of YAQL, one at a time.
//!
//! The parser asks for one token ahead and no more, so that of a lexical and a grammatical error the one
//! that stands first in the text is reported.

use crate::Error;
use num_bigint::BigInt;
use squall_model::Value;

/// One token; names and strings own their text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A string, number, `true`, `false` or `null`.
    Constant(Value),
    /// A bare identifier.
    Keyword(String),
    /// `name(`.
    Function(String),
    /// `$name` without the dollar.
    Variable(String),
    /// An operator or bracket.
    Symbol(&'static str),
    End,
}

/// Longest first, so that `->` is not `-`.
const SYMBOLS: &[&str] = &[
    "?.", "->", "=>", "=~", "!~", "!=", ">=", "<=", ".", "[", "]", "{", "}", "(", ")", ",", "+", "-", "*", "/", ">",
    "<", "=",
];
const WORD_OPERATORS: &[&str] = &["and", "or", "not", "in", "mod"];

pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

/// Python's `\w`.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_word_start(c: char) -> bool {
    is_word(c) && !c.is_numeric()
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Lexer { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn illegal<T>(&self) -> Result<T, Error> {
        let c = self.rest().chars().next().unwrap_or('\0');
        let position = self.text.get(..self.at).unwrap_or_default().chars().count();
        let message = format!("Lexical error: illegal character '{c}' at position {position}");
        Err(Error::new("YaqlLexicalException", message).at(self.at..self.at + c.len_utf8()))
    }

    /// The next token with the byte offset at which it starts.
    pub fn next(&mut self) -> Result<(Token, usize), Error> {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        self.at += self.rest().len() - self.rest().trim_start_matches(blank).len();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok((Token::End, start)) };
        let token = match first {
            '$' => {
                self.at += 1;
                let name = self.word();
                Token::Variable(name.to_string())
            }
            '\'' | '"' | '`' => self.string(first)?,
            c if c.is_numeric() => self.number()?,
            c if is_word_start(c) => self.name()?,
            _ => match SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) {
                Some(symbol) => {
                    self.at += symbol.len();
                    Token::Symbol(symbol)
                }
                None => return self.illegal(),
            },
        };
        Ok((token, start))
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn name(&mut self) -> Result<Token, Error> {
        let start = self.at;
        let name = self.word();
        if self.rest().starts_with('(') {
            self.at += 1;
            return Ok(Token::Function(name.to_string()));
        }
        if name.starts_with("__") {
            self.at = start;
            return self.illegal();
        }
        Ok(match name {
            "true" => Token::Constant(Value::Bool(true)),
            "false" => Token::Constant(Value::Bool(false)),
            "null" => Token::Constant(Value::Null),
            _ => match WORD_OPERATORS.iter().find(|word| **word == name) {
                Some(word) => Token::Symbol(word),
                None => Token::Keyword(name.to_string()),
            },
        })
    }

    /// Digits, perhaps with a dot and more digits; what follows must not continue the word.
    fn number(&mut self) -> Result<Token, Error> {
        let rest = self.rest();
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let ends_well = |at: usize| rest.get(at..).and_then(|r| r.chars().next()).is_none_or(|c| !is_word(c));
        let whole = digits(rest);
        let fraction = rest.get(whole..).and_then(|r| r.strip_prefix('.')).map_or(0, digits);
        if fraction > 0 && ends_well(whole + 1 + fraction) {
            let length = whole + 1 + fraction;
            self.at += length;
            let text = rest.get(..length).unwrap_or_default();
            return Ok(Token::Constant(Value::Float(text.parse().unwrap_or(f64::INFINITY))));
        }
        if whole == 0 || !ends_well(whole) {
            return self.illegal();
        }
        self.at += whole;
        let text = rest.get(..whole).unwrap_or_default();
        Ok(Token::Constant(match text.parse::<i64>() {
            Ok(n) => Value::Int(n),
            Err(_) => Value::big(text.parse::<BigInt>().unwrap_or_default()),
        }))
    }

    fn string(&mut self, quote: char) -> Result<Token, Error> {
        let mut escaped = false;
        let inside = self.rest().get(1..).unwrap_or_default();
        for (at, c) in inside.char_indices() {
            match c {
                '\n' if escaped => return self.illegal(),
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    let raw = inside.get(..at).unwrap_or_default();
                    let value = match quote {
                        '`' => raw.replace("\\`", "`"),
                        _ => unescape(raw)?,
                    };
                    self.at += at + 2;
                    return Ok(Token::Constant(Value::from(value)));
                }
                _ => {}
            }
        }
        self.illegal()
    }
}

/// Python's escapes; other pairs stay as two characters.
fn unescape(raw: &str) -> Result<String, Error> {
    if !raw.contains('\\') {
        return Ok(raw.to_string());
    }
    let chars: Vec<char> = raw.chars().collect();
    let mut out = String::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(&escaped) = chars.get(at) else {
            out.push('\\');
            break;
        };
        at += 1;
        let plain = match escaped {
            '\\' | '\'' | '"' => escaped,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                let digits: String = chars.iter().skip(at - 1).take(3).take_while(|c| c.is_digit(8)).collect();
                at += digits.len() - 1;
                char::from_u32(u32::from_str_radix(&digits, 8).unwrap_or(0)).unwrap_or('\u{fffd}')
            }
            'x' | 'u' | 'U' => {
                let length = match escaped {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                match hexadecimal(&chars, at, length)? {
                    Some(c) => {
                        at += length;
                        c
                    }
                    None => {
                        out.push('\\');
                        escaped
                    }
                }
            }
            _ => {
                out.push('\\');
                escaped
            }
        };
        out.push(plain);
    }
    Ok(out)
}

/// `None` when the text is too short for the escape, which then stands for itself; an error when it is long
/// enough but not hexadecimal.
fn hexadecimal(chars: &[char], at: usize, length: usize) -> Result<Option<char>, Error> {
    let Some(digits) = chars.get(at..at + length) else { return Ok(None) };
    let digits: String = digits.iter().collect();
    let bad = || Error::new("UnicodeDecodeError", format!("`{digits}` is no code of a character"));
    let code = u32::from_str_radix(&digits, 16).map_err(|_| bad())?;
    match char::from_u32(code) {
        Some(c) => Ok(Some(c)),
        // Half of a surrogate pair has no form here.
        None if code < 0x11_0000 => Ok(Some('\u{fffd}')),
        None => Err(bad()),
    }
}
