//! How answers are read from what people type or press.
//!
//! Codes decide: a word counts as an answer only when a code with a right check symbol follows, so that a pack's own
//! `confirm <execution id>` keeps working. What is quoted, in a code block, edited, forwarded or from a bot never
//! counts.
//!
//! Start reading at [`read`]; buttons are in [`Button`].

use super::code::{self, Code, Read};
use super::decide::Verdict;
use super::record::ConfirmationId;

/// How much of a message is read.
const READ: usize = 2_048;

/// Fewest characters, blanks aside, of the reason for breaking the glass.
pub const MIN_REASON: usize = 15;

/// A message, as an adapter heard it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard<'a> {
    /// The whole text as typed.
    pub raw: &'a str,
    /// What follows the prefix or mention, when the bot was addressed.
    pub command: Option<&'a str>,
    /// Whether it stands in the thread of a question, or in a private conversation with exactly one open question.
    pub at_question: bool,
    /// Whether it stands in a private conversation with several open questions.
    pub at_many: bool,
    /// Whether it was changed after it was sent.
    pub is_edited: bool,
    /// Whether it was forwarded.
    pub is_forwarded: bool,
    /// Whether a bot wrote it.
    pub is_bot: bool,
}

/// What a message means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// An answer to the confirmation of that code.
    Answer {
        /// What is wanted.
        verdict: Verdict,
        /// Which.
        code: Code,
        /// Phrase, factor, note or reason.
        rest: Option<String>,
    },
    /// A plain yes or no to the question of this thread.
    Plain(Verdict),
    /// A plain yes or no that could belong to several questions.
    WhichQuestion,
    /// What waits.
    Pending {
        /// Whether for everybody.
        all: bool,
    },
    /// Everything about one.
    Show(Code),
    /// The check symbol is wrong. Aliases are tried first; M10 when none knows the line.
    Typo(String),
    /// Several codes in one message: nothing is answered.
    SeveralCodes,
    /// Nothing of ours: aliases may understand it.
    Other,
}

const WORDS: [(&str, Verdict); 5] = [
    ("confirm", Verdict::Grant),
    ("deny", Verdict::Deny),
    ("unconfirm", Verdict::Unconfirm),
    ("withdraw", Verdict::Withdraw),
    ("breakglass", Verdict::BreakGlass),
];

const YES: [&str; 3] = ["yes", "confirm", "approve"];
const NO: [&str; 3] = ["no", "deny", "reject"];

/// Reads a message.
pub fn read(heard: &Heard<'_>) -> Said {
    if heard.is_bot || heard.is_edited || heard.is_forwarded || is_quoted(heard.raw) {
        return Said::Other;
    }
    match heard.command.map(|text| command(cut(text))) {
        None | Some(Said::Other) => plain(heard),
        Some(said) => said,
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(READ);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// A code block, a quotation, or a line that as a whole is code.
fn is_quoted(raw: &str) -> bool {
    let text = raw.trim_start();
    text.contains("```") || text.lines().any(|line| line.trim_start().starts_with('>')) || text.starts_with('`')
}

fn command(text: &str) -> Said {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim_start();
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if is("pending") && (rest.is_empty() || rest.eq_ignore_ascii_case("all")) {
        return Said::Pending { all: !rest.is_empty() };
    }
    let verdict = WORDS.iter().find(|(known, _)| is(known)).map(|(_, verdict)| *verdict);
    if verdict.is_none() && !is("show") {
        return Said::Other;
    }
    let (found, rest) = leading_code(rest);
    let code = match found {
        Read::Code(code) => code,
        Read::Typo(input) => return Said::Typo(input),
        Read::NotACode => return Said::Other,
    };
    let has_another =
        rest.split_whitespace().any(|token| matches!(code::read(token), Read::Code(other) if other != code));
    match verdict {
        Some(_) if has_another => Said::SeveralCodes,
        Some(verdict) => {
            let rest = rest.trim();
            Said::Answer { verdict, code, rest: (!rest.is_empty()).then(|| rest.to_owned()) }
        }
        None if rest.trim().is_empty() => Said::Show(code),
        None => Said::Other,
    }
}

/// The code at the start of a text, which may be typed in two groups, and what follows.
fn leading_code(text: &str) -> (Read, &str) {
    let split = |text: &'_ str| -> usize { text.find(char::is_whitespace).unwrap_or(text.len()) };
    let at = split(text);
    let (first, rest) = text.split_at(at);
    let one = code::read(first);
    if matches!(one, Read::Code(_)) {
        return (one, rest);
    }
    let trimmed = rest.trim_start();
    let gap = rest.len() - trimmed.len();
    let both = text.get(..at + gap + split(trimmed)).unwrap_or(text);
    // `K7Q 4M9`, but not `confirm abc def` of an alias: only groups of three make a code.
    let groups: Vec<usize> =
        both.split_whitespace().map(|g| g.trim_matches(['`', '"', '.', ',', '!']).chars().count()).collect();
    if groups == [3, 3] {
        let two = code::read(both);
        if two != Read::NotACode {
            return (two, text.get(both.len()..).unwrap_or_default());
        }
    }
    (one, rest)
}

/// Whether a message is a plain yes or no, wherever it stands.
pub fn is_plain(heard: &Heard<'_>) -> bool {
    yes_or_no(heard).is_some()
}

fn yes_or_no(heard: &Heard<'_>) -> Option<Verdict> {
    let text = heard.command.unwrap_or(heard.raw).trim().trim_end_matches(['.', '!']).trim_end();
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is(&YES) {
        return Some(Verdict::Grant);
    }
    is(&NO).then_some(Verdict::Deny)
}

fn plain(heard: &Heard<'_>) -> Said {
    let Some(verdict) = yes_or_no(heard) else { return Said::Other };
    match (heard.at_question, heard.at_many) {
        (true, _) => Said::Plain(verdict),
        (false, true) => Said::WhichQuestion,
        (false, false) => Said::Other,
    }
}

/// A second factor among what follows a code: six digits alone.
pub fn factor(rest: &str) -> Option<&str> {
    let text = rest.trim();
    (text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// What a button below a question carries: `sq1:<id>:<first 16 digits of the digest>:<g|d>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// Which confirmation.
    pub id: ConfirmationId,
    /// The digest that was shown beside the button.
    pub digest: String,
    /// Yes or no.
    pub verdict: Verdict,
}

impl Button {
    /// As the network carries it.
    pub fn payload(&self) -> String {
        let letter = if self.verdict == Verdict::Grant { 'g' } else { 'd' };
        format!("sq1:{}:{}:{letter}", self.id, self.digest)
    }

    /// Reads it back.
    pub fn parse(payload: &str) -> Option<Button> {
        let mut parts = payload.strip_prefix("sq1:")?.split(':');
        let (id, digest, letter) = (parts.next()?, parts.next()?, parts.next()?);
        let verdict = match letter {
            "g" => Verdict::Grant,
            "d" => Verdict::Deny,
            _ => return None,
        };
        let whole = parts.next().is_none() && digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        Some(Button { id: ConfirmationId::parse(id)?, digest: digest.to_ascii_lowercase(), verdict }).filter(|_| whole)
    }
}

/// Formats of the aliases that old bots load, so that they forward answers. They fit codes only, in JavaScript and in
/// Python, or they would shadow a pack's own `confirm {{ exec_id }}`.
pub fn legacy_formats() -> Vec<(&'static str, String)> {
    let symbols = "[2-9BCDFGHJKMNPQRSTVWXZbcdfghjkmnpqrstvwxz]{3}";
    let ahead = format!("(?={symbols}-?{symbols}(?:\\s|$))");
    vec![
        ("confirm", format!("[Cc]onfirm {ahead}{{{{ code }}}} {{{{ rest= }}}}")),
        ("deny", format!("[Dd]eny {ahead}{{{{ code }}}} {{{{ rest= }}}}")),
        ("withdraw", format!("[Ww]ithdraw {ahead}{{{{ code }}}}")),
        ("show", format!("[Ss]how {ahead}{{{{ code }}}}")),
        ("pending", "[Pp]ending".into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(command: &str, expected: &str) {
        let said = read(&Heard { raw: command, command: Some(command), ..Heard::default() });
        let shown = match said {
            Said::Answer { verdict, code, rest } => {
                format!("{verdict:?} {code} {}", rest.unwrap_or_default()).trim_end().to_owned()
            }
            other => format!("{other:?}"),
        };
        assert_eq!(shown, expected, "{command}");
    }

    #[test]
    fn commands() {
        check("confirm K7Q-4M9", "Grant K7Q-4M9");
        check("Confirm  k7q4m9 because I say so", "Grant K7Q-4M9 because I say so");
        check("confirm k7q 4m9 prod", "Grant K7Q-4M9 prod");
        check("confirm `K7Q-4M9`", "Grant K7Q-4M9");
        check("deny K7Q-4M9 too late today", "Deny K7Q-4M9 too late today");
        check("unconfirm K7Q-4M9", "Unconfirm K7Q-4M9");
        check("withdraw K7Q-4M9.", "Withdraw K7Q-4M9");
        check(
            "breakglass K7Q-4M9 the site is down and nobody answers",
            "BreakGlass K7Q-4M9 the site is down and nobody answers",
        );
        check("pending", "Pending { all: false }");
        check("pending ALL", "Pending { all: true }");
        check("show K7Q-4M9", "Show(K7Q-4M9)");
        check("confirm K7Q-4M8", "Typo(\"K7Q4M8\")");
    }

    #[test]
    fn seed_alias_not_shadowed() {
        for text in [
            "confirm 56a01f4601020304ffabcdef",
            "confirm  56a01f4601020304ffabcdef",
            "confirm abc",
            "confirm K7Q-4M",
            "confirm",
            "pending deploys",
            "show me",
            "confirmed K7Q-4M9",
        ] {
            check(text, "Other");
        }
    }

    #[test]
    fn two_codes_refused() {
        check("confirm K7Q-4M9 BR7KDW", "SeveralCodes");
        check("confirm K7Q-4M9 K7Q-4M9", "Grant K7Q-4M9 K7Q-4M9");
    }

    #[test]
    fn edited_quoted_forwarded_code_block_and_bots_are_ignored() {
        let line = "!confirm K7Q-4M9";
        let heard = Heard { raw: line, command: Some("confirm K7Q-4M9"), ..Heard::default() };
        assert!(matches!(read(&heard), Said::Answer { .. }));
        for ignored in [
            Heard { is_edited: true, ..heard },
            Heard { is_forwarded: true, ..heard },
            Heard { is_bot: true, ..heard },
            Heard { raw: "```!confirm K7Q-4M9```", ..heard },
            Heard { raw: "`!confirm K7Q-4M9`", ..heard },
            Heard { raw: "> !confirm K7Q-4M9", ..heard },
            Heard { raw: "look:\n> !confirm K7Q-4M9", ..heard },
        ] {
            assert_eq!(read(&ignored), Said::Other, "{ignored:?}");
        }
    }

    #[test]
    fn yes_in_thread() {
        let at = |raw, at_question, at_many| read(&Heard { raw, at_question, at_many, ..Heard::default() });
        for yes in ["yes", "Yes!", " CONFIRM ", "approve."] {
            assert_eq!(at(yes, true, false), Said::Plain(Verdict::Grant), "{yes}");
            assert_eq!(at(yes, false, false), Said::Other, "in the channel: {yes}");
            assert_eq!(at(yes, false, true), Said::WhichQuestion, "two questions: {yes}");
        }
        assert_eq!(at("no.", true, false), Said::Plain(Verdict::Deny));
        for text in ["ok", "+1", "👍", "yes please", "y", ""] {
            assert_eq!(at(text, true, false), Said::Other, "{text}");
        }
    }

    #[test]
    fn buttons_read_back() {
        let id = ConfirmationId::parse("01HF7YAT3200000000000000AB").unwrap();
        let button = Button { id, digest: "9f2a11c000112233".into(), verdict: Verdict::Grant };
        assert_eq!(Button::parse(&button.payload()), Some(button.clone()));
        for bad in [
            "",
            "sq1:",
            "sq1:x:9f2a11c000112233:g",
            "sq2:01HF7YAT3200000000000000AB:9f2a11c000112233:g",
            "sq1:01HF7YAT3200000000000000AB:9f2a11c000112233:x",
            "sq1:01HF7YAT3200000000000000AB:9f2a:g",
            "sq1:01HF7YAT3200000000000000AB:9f2a11c000112233:g:g",
        ] {
            assert_eq!(Button::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn factors_are_six_digits() {
        assert_eq!(factor(" 123456 "), Some("123456"));
        assert_eq!(factor("12345"), None);
        assert_eq!(factor("prod"), None);
    }

    proptest! {
        #[test]
        fn never_panics(raw in ".{0,60}", at_question: bool) {
            read(&Heard { raw: &raw, command: Some(&raw), at_question, ..Heard::default() });
            Button::parse(&raw);
        }
    }
}
