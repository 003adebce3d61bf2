//! Words in, execution out: a command is matched to an alias, its parameters are cast, and the acknowledgement is
//! committed together with the execution that it speaks of.
//!
//! What people type is data: it is never rendered as a template.

use crate::confirmation::texts::{self as catalogue, Fill};
use crate::content::Content;
use crate::people::Principal;
use crate::refusal::Refusal;
use crate::request::{Asking, Held, OnHold, Passed, Request, Source, TRIES, Tried};
use crate::{Engine, asking, bots, gates, limits, report, texts, view};
use squall_content::Alias;
use squall_expr::alias::{Leniency, Matcher};
use squall_model::{ActionRef, Execution, ExecutionId, Map, ReplyTo, Value};
use squall_store::Op;
use std::sync::Arc;

/// A command that somebody typed, without the bot's prefix.
#[derive(Debug, Clone)]
pub struct Command {
    /// The words.
    pub text: String,
    /// Who typed them, by the rights that they have.
    pub who: Principal,
    /// The name that the chat network shows for them (`api_user`).
    pub speaker: String,
    /// Where they were typed (`source_channel`).
    pub channel: String,
    /// Where answers go.
    pub reply_to: Option<ReplyTo>,
    /// What the network knows about the message (`context.chat`), or null.
    pub chat: Value,
    /// A second command with the same key is the first one again: the network's message id.
    pub key: Option<String>,
    /// Forgive blanks, case and `=` as squall's own bots do.
    pub kind: bool,
    /// Notification settings in StackStorm's form (old bots), or null.
    pub notify: Value,
    /// Rather nothing than something that waits for people.
    pub reject_held: bool,
}

/// What a command became.
#[derive(Debug, Clone)]
pub struct Commanded {
    /// The execution.
    pub execution: Execution,
    /// The alias that matched.
    pub alias: Arc<Alias>,
    /// What the acknowledgement says; `None` when the alias wants none.
    pub message: Option<String>,
    /// The rendered `ack.extra`.
    pub extra: Option<Value>,
}

/// An alias that a command matched, with the parameters of each match.
struct Matched {
    alias: Arc<Alias>,
    representation: String,
    matches: Vec<Map>,
    forgiven: bool,
}

impl Engine {
    /// Carries a command out: one execution, or several for an alias with `match_multiple`.
    pub async fn command(&self, command: &Command) -> Result<Vec<Commanded>, Refusal> {
        let content = self.content();
        let matched = find(&content, command, &self.settings().prefix)?;
        let forgiven = matched.forgiven.then_some(matched.representation.as_str());
        self.run_alias(&content, &matched.alias, matched.matches, command, forgiven).await
    }

    /// Carries out a command for an alias and a format that the caller matched already (old bots).
    pub async fn command_with(&self, name: &str, format: &str, command: &Command) -> Result<Commanded, Refusal> {
        is_short(&command.text)?;
        let content = self.content();
        let alias = content
            .registry()
            .aliases
            .values()
            .find(|a| &*a.reference.name == name)
            .cloned()
            .ok_or_else(|| Refusal::Unknown(format!("Unable to identify action alias with name \"{name}\".")))?;
        if !alias.enabled {
            return Err(Refusal::Invalid(format!("Action alias with name \"{name}\" is disabled.")));
        }
        let known = squall_expr::alias::representations(&alias.formats).unwrap_or_default();
        if !known.iter().any(|r| &*r.text == format || r.display.as_deref() == Some(format)) {
            let text = format!("Format string \"{format}\" is not available on the alias \"{name}\"");
            return Err(Refusal::Invalid(text));
        }
        let params = squall_expr::alias::Format::parse(format)
            .and_then(|f| f.extract(&command.text))
            .map_err(|e| Refusal::Invalid(e.message))?;
        let mut done = self.run_alias(&content, &alias, vec![params], command, None).await?;
        done.pop().ok_or_else(|| Refusal::Broken("a command became nothing".into()))
    }

    /// The runs of one message: stored together, asked about together, released together or not at all.
    async fn run_alias(
        &self,
        content: &Content,
        alias: &Arc<Alias>,
        matches: Vec<Map>,
        command: &Command,
        forgiven: Option<&str>,
    ) -> Result<Vec<Commanded>, Refusal> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.run_alias_once(content, alias, &matches, command, forgiven).await? {
                Tried::Stored(done) => return Ok(done),
                Tried::Overtaken(refusal) if tries == 0 => return Err(refusal),
                Tried::Overtaken(_) => {}
            }
        }
    }

    async fn run_alias_once(
        &self,
        content: &Content,
        alias: &Arc<Alias>,
        matches: &[Map],
        command: &Command,
        forgiven: Option<&str>,
    ) -> Result<Tried<Vec<Commanded>>, Refusal> {
        let context = context(alias, command);
        let mut passed = Vec::with_capacity(matches.len());
        for params in matches {
            passed.push(self.pass_alias(content, alias, params.clone(), &context, command)?);
        }
        // As people type it in chat: what is told when nobody answered can be typed again.
        let in_chat = command.reply_to.is_some() || bots::is_listening(&command.notify);
        let prefix = if in_chat { self.settings().prefix.as_str() } else { "" };
        let typed = format!("{prefix}{}", command.text);
        let on_hold = if command.reject_held { OnHold::Reject } else { OnHold::Wait };
        let asking = Asking { alias: Some(alias), command: Some(&typed), on_hold, ..Asking::default() };
        let (requested, mut along, waits) = match self.held_or_not(content, passed, &asking)? {
            Held::Runs(requested, along) => (requested, along, false),
            Held::Waits(requested, along) => (requested, along, true),
            Held::Already(first) => return Err(Refusal::Conflict(self.waits_already(first, command)?)),
        };
        let mut done = Vec::with_capacity(requested.len());
        for one in &requested {
            // The question is the acknowledgement of what waits.
            let ack = match waits {
                true => None,
                false => report::acknowledgement(&one.execution, alias, content, self.settings()),
            };
            if let (Some(reply), Some(body)) = (&one.execution.request.reply_to, &ack) {
                along.push(self.acknowledged(&one.execution, reply, body, forgiven));
            }
            let text = |body: &Map| body.get("message").and_then(Value::as_str).map(str::to_owned);
            done.push(Commanded {
                execution: (*one.execution).clone(),
                alias: alias.clone(),
                message: ack.as_ref().and_then(text),
                extra: ack.and_then(|body| body.get("extra").cloned()),
            });
        }
        let stored = match waits {
            true => match self.store_held(requested, command.key.clone(), along).await? {
                // In chat the question is a message of its own; whoever called gets it with the answer.
                Tried::Stored(stored) if command.reply_to.is_none() => self.until_asked(stored.id).await?,
                Tried::Stored(stored) => stored,
                Tried::Overtaken(refusal) => return Ok(Tried::Overtaken(refusal)),
            },
            false => self.store_request(requested, command.key.clone(), along).await?,
        };
        if let Some(first) = done.first_mut() {
            first.execution = stored;
        }
        // Bots say nothing at all for such an alias, whatever they are answered.
        if waits && !report::is_acknowledged(alias) {
            self.announce_question(&done, &command.who);
        }
        Ok(Tried::Stored(done))
    }

    /// Asks in the room of the bot that forwarded a command.
    fn announce_question(&self, done: &[Commanded], who: &Principal) {
        let Some(first) = done.first() else { return };
        let label = asking::label(&first.execution);
        // It is stored: whatever goes wrong here, it waits, and can be looked at.
        let record = self.confirmation_of(first.execution.id).ok().flatten();
        let event = label.zip(record).and_then(|(label, record)| bots::told(&label, self.shown_to_bots(&record, who)));
        // Nobody listening is fine.
        event.into_iter().for_each(|event| drop(self.inner.events.send(Arc::new(event))));
    }

    fn acknowledged(&self, execution: &Execution, reply: &ReplyTo, body: &Map, forgiven: Option<&str>) -> Op {
        let mut body = body.clone();
        body.insert("user".into(), reply.user.as_str().into());
        if let Some(representation) = forgiven {
            body.insert("note".into(), texts::forgiven(representation).into());
        }
        Op::Post(Box::new(report::outgoing(reply, body, format!("ack/{}", execution.id), self.now())))
    }

    fn pass_alias(
        &self,
        content: &Content,
        alias: &Arc<Alias>,
        mut params: Map,
        context: &Map,
        command: &Command,
    ) -> Result<Passed, Refusal> {
        let target = self.target(content, alias)?;
        if let Some(action) = content.registry().action(&target) {
            gates::environment(&command.who, action, &params)?;
        }
        self.add_immutable(alias, &mut params, context, command)?;
        let request = Request {
            context: context.clone(),
            notify: command.notify.clone(),
            reply_to: command.reply_to.clone().map(|r| ReplyTo { alias: Some(alias.reference.clone()), ..r }),
            source: Source::Chat,
            ..Request::new(target, params, command.who.clone())
        };
        match gates::pass(self, content, &request)? {
            gates::Verdict::Run(requested, seen) => {
                Ok(Passed { execution: Execution::new(self.ids().execution(), requested, self.now()), seen })
            }
            gates::Verdict::Stillborn { message, .. } => Err(Refusal::Invalid(message)),
        }
    }

    /// M15: the same request waits already.
    fn waits_already(&self, first: ExecutionId, command: &Command) -> Result<String, Refusal> {
        let Some(record) = self.confirmation_of(first)? else {
            return Ok(format!("The same request waits already as execution {first}: nobody is asked yet."));
        };
        if command.reply_to.is_none() && (!self.settings().trust_legacy_bots || command.who.is_program()) {
            return Ok(self.shown_to_bots(&record, &command.who));
        }
        let left = catalogue::left(&record, self.now());
        let fills = [("code", Fill::Ours(record.code.to_string())), ("left", Fill::Ours(left))];
        Ok(catalogue::text("M15", &fills).plain())
    }

    /// The action of an alias, which may have gone since the alias was written.
    fn target(&self, content: &Content, alias: &Alias) -> Result<ActionRef, Refusal> {
        alias.action_ref.parse::<ActionRef>().ok().filter(|r| content.registry().action(r).is_some()).ok_or_else(|| {
            Refusal::Invalid(format!(
                "the command belongs to alias `{}`, whose action `{}` does not exist; is its pack installed?",
                alias.reference, alias.action_ref
            ))
        })
    }

    /// Adds the alias's constants; a parameter given in chat as well is refused, in StackStorm's spelling.
    fn add_immutable(&self, alias: &Alias, params: &mut Map, context: &Map, command: &Command) -> Result<(), Refusal> {
        let Some(constants) = alias.immutable_parameters.as_ref().and_then(Value::as_map) else { return Ok(()) };
        let clash: Vec<&str> = constants.keys().map(|k| &**k).filter(|k| params.contains_key(*k)).collect();
        if !clash.is_empty() {
            return Err(Refusal::Invalid(format!("Immutable arguments cannot be overriden: {}", clash.join(","))));
        }
        let lookup = self.request_lookup(&command.who);
        for (name, value) in constants {
            let rendered = crate::params::render_constant(value, context, &lookup.lookup()).map_err(|why| {
                Refusal::Invalid(format!("cannot render `{name}` of alias `{}`: {why}", alias.reference))
            })?;
            params.insert(name.clone(), rendered);
        }
        Ok(())
    }
}

/// `{action_alias_ref, api_user, source_channel, chat}`; the gates add `user` and `pack`.
fn context(alias: &Alias, command: &Command) -> Map {
    let reference = Value::from_pairs([
        ("id", Value::from(view::object_id(&view::alias_uid(alias)))),
        ("name", (&*alias.reference.name).into()),
    ]);
    let mut context = Map::new();
    context.insert("action_alias_ref".into(), reference);
    context.insert("api_user".into(), command.speaker.as_str().into());
    context.insert("source_channel".into(), command.channel.as_str().into());
    if !command.chat.is_null() {
        context.insert("chat".into(), command.chat.clone());
    }
    context
}

/// Whether a line may be looked at at all.
pub(crate) fn is_short(text: &str) -> Result<(), Refusal> {
    match text.len() as u64 > limits::COMMAND_BYTES {
        true => Err(Refusal::Invalid(texts::too_long(text.len(), limits::COMMAND_BYTES))),
        false => Ok(()),
    }
}

fn find(content: &Content, command: &Command, prefix: &str) -> Result<Matched, Refusal> {
    let text = &command.text;
    is_short(text)?;
    let matcher: &Matcher<ActionRef> = if command.kind { content.kind() } else { content.strict() };
    let found = matcher.search(text);
    if let [(alias, format), ..] = found.undecided.as_slice()
        && found.hits.is_empty()
    {
        let why = format!("the format `{format}` of alias `{alias}` takes too long for this command");
        return Err(Refusal::Invalid(why));
    }
    let one = match found.hits.as_slice() {
        [] => return Err(Refusal::Unknown(unknown(content, text, command.kind.then_some(prefix)))),
        [one] => one,
        several => {
            let candidates: Vec<String> = several.iter().map(|h| h.representation.to_string()).collect();
            let text = if command.kind {
                texts::ambiguous(text, &candidates)
            } else {
                format!("Command '{text}' matched more than 1 pattern")
            };
            return Err(Refusal::Conflict(text));
        }
    };
    let alias = content
        .registry()
        .alias(one.alias)
        .cloned()
        .ok_or_else(|| Refusal::Broken(format!("alias `{}` matched but is not registered", one.alias)))?;
    Ok(Matched {
        alias,
        representation: one.representation.to_string(),
        matches: one.matches.clone(),
        forgiven: one.leniency == Leniency::Case,
    })
}

/// In chat, where commands begin with `prefix`, people are helped; clients get StackStorm's words.
fn unknown(content: &Content, text: &str, prefix: Option<&str>) -> String {
    match prefix {
        Some(prefix) => texts::no_such_command(prefix, text, nearest(content, text).as_deref()),
        None => format!("Command '{text}' matched no patterns"),
    }
}

/// The display of the alias whose first word is closest to the first word typed.
fn nearest(content: &Content, text: &str) -> Option<String> {
    let typed = text.split_whitespace().next()?.to_lowercase();
    let displays = content.registry().aliases.values().filter(|a| a.enabled).flat_map(|a| {
        squall_expr::alias::representations(&a.formats).unwrap_or_default().into_iter().filter_map(|r| r.display)
    });
    displays
        .filter_map(|display| {
            let first = display.split_whitespace().next()?.to_lowercase();
            Some((strsim::osa_distance(&typed, &first), display.to_string()))
        })
        .filter(|(far, _)| *far <= typed.chars().count().div_ceil(3))
        .min()
        .map(|(_, display)| display)
}
