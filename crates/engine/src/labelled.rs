//! Bots in front of squall: they forward only the aliases that they loaded, and what they say of people proves nothing.
//!
//! So that they forward answers at all, there are aliases that no pack defines. What they match is decided as any other answer, with the
//! least assurance; whether that counts is a setting. Their formats fit codes only, so a pack's own `confirm …` is not shadowed.

use crate::bots::NETWORK;
use crate::confirmation::answer::{Heard, Said, legacy_formats, read};
use crate::confirmation::people::{Identity, Label};
use crate::confirmation::record::Place;
use crate::people::{Principal, Wish, authorize};
use crate::refusal::Refusal;
use crate::typed::{Reply, Typed};
use crate::{Engine, alias};
use squall_content::Alias;
use squall_expr::alias::Format;
use squall_model::{ActionRef, Execution};
use std::sync::{Arc, LazyLock};

/// The pack that these aliases seem to belong to.
const PACK: &str = "squall";

/// What became of a line that a bot forwarded.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// The alias that it fits.
    pub alias: Arc<Alias>,
    /// The execution that is held, when the line is about one.
    pub execution: Option<Execution>,
    /// What the bot is to say.
    pub message: String,
    /// Whether it certainly is about confirmations; a mistyped code may be the word of a pack.
    pub is_sure: bool,
}

/// Aliases that the program itself answers: `confirm`, `deny`, `withdraw`, `show`, `pending`.
pub fn aliases() -> &'static [Arc<Alias>] {
    static ALIASES: LazyLock<Vec<Arc<Alias>>> = LazyLock::new(|| {
        let made = legacy_formats().into_iter().filter_map(|(name, format)| {
            let (display, description) = words(name);
            let reference: ActionRef = format!("{PACK}.{name}").parse().ok()?;
            Some(Arc::new(Alias::of_program(reference, description, display, &format)))
        });
        made.collect()
    });
    &ALIASES
}

/// How help shows them.
fn words(name: &str) -> (&'static str, &'static str) {
    match name {
        "confirm" => ("confirm <code> [phrase or note]", "Say yes to what waits under a code."),
        "deny" => ("deny <code> [reason]", "Say no to what waits under a code."),
        "withdraw" => ("withdraw <code>", "Give up what you asked for."),
        "show" => ("show <code>", "Show the question again."),
        _ => ("pending", "What waits for you."),
    }
}

/// The text that an alias of the program matches, and the alias with it.
pub fn matching(text: &str) -> Option<(&'static Arc<Alias>, &'static str)> {
    static FORMATS: LazyLock<Vec<(usize, String, Format)>> = LazyLock::new(|| {
        let all = legacy_formats().into_iter().enumerate();
        all.filter_map(|(n, (_, text))| Format::parse(&text).ok().map(|format| (n, text, format))).collect()
    });
    let (n, format, _) = FORMATS.iter().find(|(_, _, format)| format.extract(text).is_ok())?;
    aliases().get(*n).map(|alias| (alias, format.as_str()))
}

/// Whether a line names a code, or nothing that could be mistyped.
pub fn is_sure(text: &str) -> bool {
    !matches!(read(&Heard { raw: text, command: Some(text), ..Heard::default() }), Said::Typo(_) | Said::Other)
}

fn no_bot(text: &str, who: &Principal) -> String {
    format!(
        "`{text}` was not taken: a program that acts for `{}` neither answers confirmations nor brings answers of others; a \
         person must do it",
        who.user
    )
}

impl Engine {
    /// Takes a line that a bot forwarded for somebody whom only the bot knows; nothing when it is not about confirmations.
    ///
    /// A program that acts for somebody brings no words of people.
    pub async fn forwarded(&self, text: &str, label: Label, who: &Principal) -> Result<Option<Forwarded>, Refusal> {
        let short = alias::is_short(text).is_ok();
        let Some((alias, _)) = matching(text).filter(|_| short) else { return Ok(None) };
        authorize(who, Wish::View)?;
        if who.is_program() {
            return if is_sure(text) { Err(Refusal::NotAllowed(no_bot(text, who))) } else { Ok(None) };
        }
        let typed = Typed {
            raw: text.to_owned(),
            command: Some(text.to_owned()),
            // Wrong codes are counted for the account that brings them: a channel is only what it says.
            place: Place { network: NETWORK.into(), channel: who.user.clone(), thread: None, private: false },
            identity: Identity { network: String::new(), workspace: None, user_id: label.user.clone() },
            name: label.user.clone(),
            message: String::new(),
            at: None,
            heard_at: self.now(),
            is_bot: false,
            is_edited: false,
            is_forwarded: false,
            label: Some(label),
        };
        let (message, is_sure) = match self.typed(&typed).await? {
            Reply::Other => return Ok(None),
            Reply::Say(text) => (text, true),
            Reply::Perhaps(text) => (text, false),
            Reply::Done | Reply::Silence => (String::new(), true),
        };
        Ok(Some(Forwarded { alias: alias.clone(), execution: self.meant(text, &typed)?, message, is_sure }))
    }

    /// The execution that the code in a line holds back, for somebody who may know of it.
    fn meant(&self, text: &str, typed: &Typed) -> Result<Option<Execution>, Refusal> {
        let heard = Heard { raw: text, command: Some(text), ..Heard::default() };
        let (Said::Answer { code, .. } | Said::Show(code)) = read(&heard) else { return Ok(None) };
        let record = self.by_code(&code.compact())?.filter(|record| self.may_look(record, typed));
        let Some(record) = record else { return Ok(None) };
        let Some((id, _)) = record.runs.first() else { return Ok(None) };
        Ok(self.store().execution(*id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(matching(text).map(|(alias, _)| &*alias.reference.name), expected, "{text}");
    }

    #[test]
    fn codes_are_matched_and_nothing_else_is() {
        check("confirm K7Q-4M9", Some("confirm"));
        check("Confirm k7q4m9 because", Some("confirm"));
        check("deny K7Q-4M9 too late", Some("deny"));
        check("withdraw K7Q-4M9", Some("withdraw"));
        check("show K7Q-4M9", Some("show"));
        check("pending", Some("pending"));
        for other in ["confirm 56a01f4601020304ffabcdef", "confirm abc", "confirm K7Q-4M", "show me", "pending deploys"]
        {
            check(other, None);
        }
    }
}
