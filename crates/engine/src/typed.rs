//! What people type in chat about confirmations: answers by code, a plain yes or no to a question, `pending`, `show`.
//!
//! Finds out which record is meant and who is speaking; the decision is the one of [`crate::answers`]. Wrong codes and
//! codes of others get the same text and count the same, so that nothing is learnt by guessing.
//!
//! Start reading at [`Engine::typed`].

use crate::answers::{Speaker, record_of};
use crate::confirmation::answer::{Heard, Said, factor, is_plain, read};
use crate::confirmation::decide::{Answer as Given, Outcome, Refused, Verdict};
use crate::confirmation::declare::Way;
use crate::confirmation::limits::Guessed;
use crate::confirmation::people::{Assurance, Identity, Label, Person, PersonId};
use crate::confirmation::record::{Place, Record};
use crate::confirmation::texts::{self, Fill, text};
use crate::people::{CHAT_USER, NotProved, Role, assurance_by_factor};
use crate::refusal::Refusal;
use crate::{Engine, locked};
use squall_model::{Timestamp, Value};
use squall_store::{Batch, ConfirmationFilter, Op, Page};
use std::time::Duration;

/// Something typed in chat that may be about confirmations.
#[derive(Debug, Clone)]
pub struct Typed {
    /// The whole message.
    pub raw: String,
    /// What follows the bot's prefix or name, when it was addressed.
    pub command: Option<String>,
    /// Who, on the network.
    pub identity: Identity,
    /// The name shown for them.
    pub name: String,
    /// Where.
    pub place: Place,
    /// The message.
    pub message: String,
    /// The confirmation whose question began the thread, if there is one.
    pub at: Option<String>,
    /// When it was heard.
    pub heard_at: Timestamp,
    /// Whether a bot wrote it.
    pub is_bot: bool,
    /// Whether it was changed after it was sent.
    pub is_edited: bool,
    /// Whether it was forwarded.
    pub is_forwarded: bool,
    /// What a bot in front of squall says about whoever typed it; nobody vouches for the identity then.
    pub label: Option<Label>,
}

/// What a typed message was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing about confirmations: aliases may know it.
    Other,
    /// Done; everybody was told where the question stands.
    Done,
    /// This is to be said to whoever typed.
    Say(String),
    /// Nearly about confirmations: aliases first, and this if none knows the line.
    Perhaps(String),
    /// Nothing is said at all.
    Silence,
}

/// Open confirmations that are looked at in one read.
const PAGE: u64 = 1_000;

impl Engine {
    /// Takes in something typed in chat.
    pub async fn typed(&self, typed: &Typed) -> Result<Reply, Refusal> {
        let speaker = self.speaker_of(typed);
        let here = self.question_here(typed)?;
        let heard = Heard {
            raw: &typed.raw,
            command: typed.command.as_deref(),
            at_question: here.len() == 1,
            at_many: here.len() > 1,
            is_edited: typed.is_edited,
            is_forwarded: typed.is_forwarded,
            is_bot: typed.is_bot,
        };
        match (read(&heard), here.into_iter().next()) {
            (Said::Other, _) if typed.command.is_some() && is_plain(&heard) => self.which_question(),
            (Said::Other, _) => Ok(Reply::Other),
            (Said::WhichQuestion, _) => self.which_question(),
            (Said::SeveralCodes, _) => Ok(Reply::Say(text("two-codes", &[]).plain())),
            (Said::Typo(input), _) => self.mistyped(&speaker, &input),
            (Said::Pending { all }, _) => Ok(Reply::Say(self.pending(&speaker, all, typed)?)),
            (Said::Show(code), _) => self.show_typed(&code.compact(), &code.to_string(), speaker, typed).await,
            (Said::Plain(verdict), Some(record)) => self.speak(record, verdict, Way::Reply, None, speaker, typed).await,
            (Said::Plain(_), None) => Ok(Reply::Other),
            (Said::Answer { verdict, code, rest }, _) => match self.by_code(&code.compact())? {
                Some(record) => self.speak(record, verdict, Way::Command, rest, speaker, typed).await,
                None => self.guessed(&speaker, typed, &code.to_string()).await,
            },
        }
    }

    fn speaker_of(&self, typed: &Typed) -> Speaker {
        if let Some(label) = &typed.label {
            let person = Person { id: PersonId::label(&label.user), ..Person::user(&label.user) };
            return Speaker { person, assurance: Assurance::A0, identity: None, is_admin: false };
        }
        let (person, assurance) = self.asking(|asker| asker.chat_person(&typed.identity, &typed.name));
        let is_admin = person.active && person.roles.iter().any(|r| r == Role::Admin.as_str());
        Speaker { person, assurance, identity: Some(typed.identity.clone()), is_admin }
    }

    /// The questions that a plain yes or no can mean: the one of the thread, or those open in a private conversation.
    fn question_here(&self, typed: &Typed) -> Result<Vec<Record>, Refusal> {
        if let Some(id) = &typed.at {
            return Ok(self.by_id(id)?.into_iter().collect());
        }
        let plain = Heard { raw: &typed.raw, command: typed.command.as_deref(), ..Heard::default() };
        if !typed.place.private || !is_plain(&plain) {
            return Ok(Vec::new());
        }
        let mut open = self.open_records()?;
        open.retain(|record| record.was_asked_in(&typed.place));
        Ok(open)
    }

    fn which_question(&self) -> Result<Reply, Refusal> {
        let prefix = self.settings().prefix.clone();
        Ok(Reply::Perhaps(text("no-question", &[("prefix", prefix.into())]).plain()))
    }

    fn mistyped(&self, speaker: &Speaker, input: &str) -> Result<Reply, Refusal> {
        let codes = self.codes_for(speaker)?;
        let fills = [("input", Fill::Value(input)), ("codes", Fill::Ours(codes))];
        Ok(Reply::Perhaps(text("M10", &fills).plain()))
    }

    async fn show_typed(&self, compact: &str, code: &str, speaker: Speaker, typed: &Typed) -> Result<Reply, Refusal> {
        match self.by_code(compact)?.filter(|record| self.may_look(record, typed)) {
            Some(record) => Ok(Reply::Say(self.shown(&record))),
            None => self.guessed(&speaker, typed, code).await,
        }
    }

    /// Whether somebody may look is what it is for an answer.
    pub(crate) fn may_look(&self, record: &Record, typed: &Typed) -> bool {
        let speaker = self.speaker_of(typed);
        self.is_visible(record, &given(Verdict::Grant, Way::Command, None, &speaker, typed))
    }

    async fn speak(
        &self,
        record: Record,
        verdict: Verdict,
        way: Way,
        rest: Option<String>,
        speaker: Speaker,
        typed: &Typed,
    ) -> Result<Reply, Refusal> {
        let now = self.now();
        if locked(&self.inner.guesses).ignored_until(speaker.person.id.as_str(), now).is_some() {
            return Ok(Reply::Silence);
        }
        let posted_factor = !typed.place.private && wants_factor(&record) && rest.as_deref().and_then(factor).is_some();
        if posted_factor {
            self.burn_factor(&typed.identity, rest.as_deref().unwrap_or_default()).await?;
            return Ok(Reply::Say(text("M19-public", &[]).plain()));
        }
        let (mut speaker, mut rest) = (speaker, rest);
        if let Some(code) = rest.as_deref().and_then(factor).filter(|_| wants_factor(&record)).map(str::to_owned) {
            if let Some(told) = self.prove_typed(&typed.identity, &code, &record).await? {
                return Ok(Reply::Say(told));
            }
            rest = None;
        }
        if let (Assurance::A2, Some(user)) = (speaker.assurance, speaker.person.id.user_name()) {
            speaker.assurance = assurance_by_factor(self.store(), user, &record.digest.hex(), self.now())?;
        }
        let given = given(verdict, way, rest, &speaker, typed);
        if !self.is_visible(&record, &given) {
            return self.guessed(&speaker, typed, &record.code.to_string()).await;
        }
        let received = self.receive();
        let given = Given { seq: received.seq, ..given };
        match self.give(&record.id.to_string(), given, received).await {
            Ok((Outcome::Refused(Refused::Unknown), _)) => {
                self.guessed(&speaker, typed, &record.code.to_string()).await
            }
            Ok((_, told)) => Ok(told.map_or(Reply::Done, Reply::Say)),
            // The network delivered it twice.
            Err(Refusal::Duplicate(_)) => Ok(Reply::Silence),
            Err(Refusal::Full(_) | Refusal::Unavailable(_) | Refusal::Broken(_)) => {
                Ok(Reply::Say(text("not-stored", &[]).plain()))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// A second factor that everybody in the channel could read is used up, right or wrong.
    async fn burn_factor(&self, identity: &Identity, code: &str) -> Result<(), Refusal> {
        let who = self.chat_principal(identity)?;
        match self.prove(&who, code, "").await {
            Err(NotProved::Refused(refusal)) => Err(refusal),
            Ok(()) | Err(NotProved::None | NotProved::Wrong | NotProved::TooMany(_)) => Ok(()),
        }
    }

    /// A second factor that was sent in private; what to say when it proves nothing. Of somebody without an account it is
    /// nothing, and the decision asks for the link.
    async fn prove_typed(&self, identity: &Identity, code: &str, record: &Record) -> Result<Option<String>, Refusal> {
        let who = self.chat_principal(identity)?;
        if who.user == CHAT_USER {
            return Ok(None);
        }
        match self.prove(&who, code, &record.digest.hex()).await {
            Ok(()) => Ok(None),
            Err(NotProved::Refused(refusal)) => Err(refusal),
            Err(why) => Ok(Some(why.to_string())),
        }
    }

    /// A code that nobody may know of: the same text whether it does not exist or is not theirs, and not too often.
    async fn guessed(&self, speaker: &Speaker, typed: &Typed, code: &str) -> Result<Reply, Refusal> {
        let channel = typed.place.channel_id();
        let now = self.now();
        let (guessed, until) = {
            let mut guesses = locked(&self.inner.guesses);
            let person = speaker.person.id.as_str();
            (guesses.wrong(person, Some(&channel), now), guesses.ignored_until(person, now))
        };
        self.store().commit(Batch::from(wrong_code(speaker, &channel, code, now))).await?;
        Ok(match guessed {
            Guessed::Answer => Reply::Say(text("M11", &[("code", Fill::Value(code))]).plain()),
            Guessed::TooMany => {
                let delta = texts::human(until.map_or(Duration::ZERO, |at| at.since(now)));
                Reply::Say(text("M21", &[("delta", Fill::Ours(delta))]).plain())
            }
            Guessed::Silence => Reply::Silence,
        })
    }

    /// What waits and concerns somebody, or everything that they may know of.
    fn pending(&self, speaker: &Speaker, all: bool, typed: &Typed) -> Result<String, Refusal> {
        let looks = given(Verdict::Grant, Way::Command, None, speaker, typed);
        let fits = |record: &Record| if all { self.is_visible(record, &looks) } else { self.concerns(record, speaker) };
        let open: Vec<Record> = self.open_records()?.into_iter().filter(fits).collect();
        Ok(texts::pending(&open, self.now()).plain())
    }

    fn codes_for(&self, speaker: &Speaker) -> Result<String, Refusal> {
        let open = self.open_records()?;
        let codes: Vec<String> =
            open.iter().filter(|r| self.concerns(r, speaker)).map(|r| r.code.to_string()).collect();
        Ok(if codes.is_empty() { "none".into() } else { codes.join(", ") })
    }

    /// Whether somebody asked for it or may answer it.
    fn concerns(&self, record: &Record, speaker: &Speaker) -> bool {
        record.requester.is(&speaker.person) || self.is_answerable(record, speaker)
    }

    fn open_records(&self) -> Result<Vec<Record>, Refusal> {
        let filter = ConfirmationFilter { state: Some("open".into()), ..ConfirmationFilter::default() };
        let (rows, _) = self.store().confirmations(&filter, Page { offset: 0, limit: PAGE })?;
        rows.iter().map(record_of).collect()
    }

    fn is_visible(&self, record: &Record, answer: &Given) -> bool {
        self.asking(|asker| asker.may_see(record, answer))
    }
}

/// The row of a wrong code: who, where and what, so that guessing is seen.
fn wrong_code(speaker: &Speaker, channel: &str, code: &str, at: Timestamp) -> Op {
    let data = Value::from_pairs([("code", code), ("channel", channel), ("name", &speaker.person.name)]);
    let person = Some(speaker.person.id.as_str().to_owned());
    Op::Audit { at, event: "wrong_code".into(), person, confirmation: None, execution: None, data }
}

fn wants_factor(record: &Record) -> bool {
    record.requirements.iter().any(|r| r.min_assurance >= Assurance::A3 && r.phrase.is_none())
}

fn given(verdict: Verdict, way: Way, rest: Option<String>, speaker: &Speaker, typed: &Typed) -> Given {
    Given {
        verdict,
        by: speaker.person.clone(),
        assurance: speaker.assurance,
        identity: speaker.identity.clone(),
        is_admin: speaker.is_admin,
        way,
        // What a bot forwarded is answered to the bot.
        place: typed.label.is_none().then(|| typed.place.clone()),
        message: Some(typed.message.clone()).filter(|m| !m.is_empty()),
        label: typed.label.clone(),
        received_at: typed.heard_at,
        seq: 0,
        digest: None,
        rest,
        response: None,
    }
}
