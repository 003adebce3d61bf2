//! What people are told about confirmations: one catalogue, and what is done to values before they are shown.
//!
//! Everything that comes from people (parameters, reasons, names) may try to look like the question itself. So it is a
//! [`Piece`] of its own: neutralised here, set apart by each network's markup. Packs cannot change these texts.
//!
//! Start reading at [`CATALOGUE`]; a text is added there and nowhere else.

use super::declare::Show;
use super::digest::sha256_hex;
use super::record::Record;
use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use squall_model::{Map, Str, Timestamp, Value, to_json};
use std::fmt::Write as _;
use std::time::Duration;

/// Every text with its name. A line that is one empty placeholder is left out.
pub const CATALOGUE: &[(&str, &str)] = &[
    (
        "M1",
        "⚠ {who}, please confirm.\n{head}\n{params}\n{impact}\nRule: {rules}\nFingerprint {fp}. Nothing has been started.\n\
         Confirm: {prefix}confirm {code}{hint}     Stop: {prefix}deny {code}     ({left} left, until {time})",
    ),
    (
        "M2",
        "⚠ {requester} wants to run {action}.\n{params}\n{impact}\nRule: {rules}. Needs {need}{excluded}.\n\
         Approve: {prefix}confirm {code}{hint}     Refuse: {prefix}deny {code} <reason>     Details: {prefix}show {code}\n\
         Fingerprint {fp}. ({left} left, until {time})",
    ),
    ("M3", "✔ {by} approved {code} ({n} of {m}). {left} left."),
    ("M4", "▶ Confirmed by {by}. Started {action} as {id}. {url}"),
    ("M4-edit", "▶ Confirmed by {by} at {time}."),
    ("M5", "✖ {by} refused {code}: {reason}. {action} was not run."),
    ("M5-open", "✖ {by} refused {code}: {reason}. {n} of {m} refusals end it. {left} left."),
    ("M6", "⌛ No confirmation for {code} within {timeout}. {action} was not run. Ask again: {command}"),
    ("M6-plain", "⌛ No confirmation for {code} within {timeout}. {action} was not run."),
    (
        "M6-undelivered",
        "⌛ Nobody could be asked about {code} within {timeout}: question not delivered. {action} was not run.",
    ),
    ("M7", "↩ {by} withdrew {code}. {action} was not run."),
    ("M7-cause", "↩ {code} was withdrawn: {cause}. {action} was not run."),
    ("M7-vote", "↩ {by} took back the answer to {code} ({n} of {m}). {left} left."),
    ("M8", "⛔ {code} is void: {cause}. {action} was not run. Ask again to see the current version."),
    ("M9", "⌛ Too late: {code} ended {delta} before your answer ({state}). {action} was not run."),
    ("M10", "I do not know the code “{input}”. Codes look like K7Q-4M9. Open here: {codes}"),
    ("M11", "There is no open confirmation {code}."),
    ("M12", "{who}, you cannot approve {code}: it needs {set}."),
    ("M12-self", "{who}, you asked for it, so somebody else must approve {code}."),
    ("M12-editor", "{who}, you last edited it, so somebody else must approve {code}."),
    ("M12-withdraw", "{who}, only {requester} or an administrator can withdraw {code}."),
    ("M12-agent", "Agents cannot answer {code}: it needs {set}."),
    (
        "M12-label",
        "{who}, this bot cannot prove who you are, so your answer to {code} does not count. Use the command line, the web page or a native chat adapter.",
    ),
    ("M12-way", "{code} cannot be answered this way. It can be answered by: {ways}."),
    ("M12-reason", "A reason is needed: {prefix}{word} {code} <reason>"),
    ("M12-response", "The answer to {code} does not fit: {reason}"),
    ("M12-changed", "What you answered is not what {code} asks. Look at it again: {prefix}show {code}"),
    ("M13", "You already approved {code}. ({n} of {m})"),
    ("M13-denied", "You already refused {code}."),
    ("M13-none", "You have not answered {code}."),
    ("M13-final", "{code} is already finished: {state} by {by} at {time}."),
    ("M13-final-nobody", "{code} is already finished: {state} at {time}."),
    (
        "M14",
        "{action} needs {m} of {set}, but only {n} such people exist besides you. It was not started. Ask an administrator.",
    ),
    (
        "M14-ways",
        "{action} needs a confirmation that nobody can give: its rules allow no way to answer in common. It was not started. Ask an administrator.",
    ),
    ("M15", "The same request is already waiting as {code} ({left} left)."),
    ("M16", "⏳ {code} still waits for {missing}: {action}. {left} left."),
    ("M17", "⏫ {code} now also asks {set}: nobody answered for {delta}."),
    (
        "M18",
        "{who}, I do not know your squall account yet. Link it: {url} (or {prefix}link), then confirm {code} again. {left} left.",
    ),
    ("M19", "This needs a second factor. Open {url} or send me in private: confirm {code} <6 digits>."),
    ("M19-public", "Never post factors in a channel. That code is now useless."),
    ("M20", "Type the confirmation with the name: {prefix}confirm {code} {hint}"),
    ("M20-wrong", "That does not match. Nothing was started."),
    ("M21", "Too many wrong codes. I ignore confirmations from you for {delta}."),
    (
        "M22",
        "🚨 BREAK GLASS by {by}: {action} started as {id} without {missing}. Reason: {reason}. Review until {date}: {url}",
    ),
    ("M22-none", "{code} has no break glass."),
    ("M22-reason", "Breaking the glass needs a reason of at least {n} characters. Nothing was started."),
    ("M22-limit", "{who}, you broke the glass {n} times within a day, or a review is overdue. Nothing was started."),
    ("M23", "I was away for {delta}. {code} is still open, {left} left."),
    ("M27", "code  asked by  action  needs  left\n{rows}"),
    ("M27-none", "Nothing waits for you."),
    ("two-codes", "One code per message, please. Nothing was answered."),
    ("no-question", "I do not know which question you mean. Answer in its thread, or type {prefix}confirm CODE."),
    ("not-stored", "I could not store your answer, nothing was started."),
    ("open-limit", "Too many confirmations wait already ({n} {scope}). It was not started."),
];

/// What a masked value looks like; the length tells nothing.
pub const MASK: &str = "••••••";
/// Longest note or reason.
pub const NOTE: usize = 500;
/// Longest message; the rest is behind `show`.
pub const MESSAGE: usize = 3_000;
/// Longest name of a person.
const NAME: usize = 80;
/// Rules that are named one by one.
const RULES: usize = 4;
/// Longest dry run.
const DRY_RUN: usize = 1_500;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Piece {
    /// Our own words.
    Ours(String),
    /// Somebody's value, neutralised; shown in monospace.
    Value(String),
    /// Somebody's name, neutralised.
    Name(String),
}

/// A text for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub Vec<Piece>);

/// How a network marks up text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// Not at all: terminals, IRC.
    None,
    /// Slack's: `&`, `<` and `>` are entities.
    Slack,
    /// Markdown: Mattermost, Discord, Matrix.
    Markdown,
}

impl Text {
    /// The text as it stands in the catalogue.
    pub fn plain(&self) -> String {
        self.marked_up(Markup::None)
    }

    /// The text for a network, with values in monospace.
    pub fn marked_up(&self, markup: Markup) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            let (text, is_value) = match piece {
                Piece::Ours(text) | Piece::Name(text) => (text, false),
                Piece::Value(text) => (text, true),
            };
            match (markup, is_value) {
                (Markup::None, _) => out.push_str(text),
                // Neutralised values hold no backtick, so nothing breaks out.
                (Markup::Slack, true) if !text.is_empty() => drop(write!(out, "`{}`", entities(text))),
                (Markup::Markdown, true) if !text.is_empty() => drop(write!(out, "`{text}`")),
                (_, true) => {}
                (Markup::Slack, false) => out.push_str(&entities(text)),
                (Markup::Markdown, false) => out.push_str(&backslashed(text)),
            }
        }
        out
    }

    /// How many characters it has.
    fn length(&self) -> usize {
        self.0.iter().map(|p| p.text().chars().count()).sum()
    }

    /// The text cut to a length, with a pointer to the rest.
    fn cut(self, length: usize, pointer: &str) -> Text {
        if self.length() <= length {
            return self;
        }
        let mut left = length.saturating_sub(pointer.chars().count() + 4);
        let mut pieces = Vec::new();
        for mut piece in self.0 {
            let count = piece.text().chars().count();
            if count <= left {
                left -= count;
                pieces.push(piece);
                continue;
            }
            let text = piece.text_mut();
            *text = text.chars().take(left).collect();
            pieces.push(piece);
            break;
        }
        pieces.push(Piece::Ours(format!("…\n  {pointer}")));
        Text(pieces)
    }
}

impl Piece {
    fn text(&self) -> &str {
        match self {
            Piece::Ours(text) | Piece::Value(text) | Piece::Name(text) => text,
        }
    }

    fn text_mut(&mut self) -> &mut String {
        match self {
            Piece::Ours(text) | Piece::Value(text) | Piece::Name(text) => text,
        }
    }
}

fn entities(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn backslashed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '~' | '|' | '[' | ']' | '<' | '>' | '`' | '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Something that fills a placeholder.
#[derive(Debug, Clone)]
pub enum Fill<'a> {
    /// Our own words.
    Ours(String),
    /// A value that was neutralised already.
    Shown(&'a str),
    /// Somebody's value.
    Value(&'a str),
    /// Somebody's name.
    Name(&'a str),
    /// A text made before.
    Text(Text),
}

impl From<String> for Fill<'_> {
    fn from(text: String) -> Self {
        Fill::Ours(text)
    }
}
impl From<&'static str> for Fill<'_> {
    fn from(text: &'static str) -> Self {
        Fill::Ours(text.into())
    }
}
impl From<u32> for Fill<'_> {
    fn from(n: u32) -> Self {
        Fill::Ours(n.to_string())
    }
}

impl Fill<'_> {
    fn pieces(&self) -> Vec<Piece> {
        match self {
            Fill::Ours(text) => vec![Piece::Ours(text.clone())],
            Fill::Shown(text) => vec![Piece::Value((*text).to_owned())],
            Fill::Value(text) => vec![Piece::Value(shown_text(text))],
            Fill::Name(text) => vec![Piece::Name(shown_name(text))],
            Fill::Text(text) => text.0.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Fill::Ours(text) => text.is_empty(),
            Fill::Shown(text) | Fill::Value(text) | Fill::Name(text) => text.is_empty(),
            Fill::Text(text) => text.0.iter().all(|p| p.text().is_empty()),
        }
    }
}

/// The text of that name with its placeholders filled. A placeholder that nobody fills stays empty; a test fills all.
pub fn text(name: &str, fills: &[(&str, Fill<'_>)]) -> Text {
    let template = CATALOGUE.iter().find(|(known, _)| *known == name).map_or("", |(_, template)| *template);
    let find = |key: &str| fills.iter().find(|(known, _)| *known == key).map(|(_, fill)| fill);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut ours = String::new();
    for line in template.split('\n') {
        let only = line.strip_prefix('{').and_then(|l| l.strip_suffix('}')).filter(|key| !key.contains('{'));
        if only.is_some_and(|key| find(key).is_none_or(Fill::is_empty)) {
            continue;
        }
        if !(pieces.is_empty() && ours.is_empty()) {
            ours.push('\n');
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((key, behind)) = after.split_once('}') else { break };
            ours.push_str(before);
            for piece in find(key).map(Fill::pieces).unwrap_or_default() {
                match piece {
                    Piece::Ours(text) => ours.push_str(&text),
                    other => {
                        if !ours.is_empty() {
                            pieces.push(Piece::Ours(std::mem::take(&mut ours)));
                        }
                        pieces.push(other);
                    }
                }
            }
            rest = behind;
        }
        ours.push_str(rest);
    }
    let ours = ours.trim_end().to_owned();
    if !ours.is_empty() {
        pieces.push(Piece::Ours(ours));
    }
    Text(pieces)
}

/// Words behind an `@` that call everybody on some network.
const EVERYBODY: [&str; 4] = ["here", "channel", "everyone", "all"];

/// A value made harmless: what cannot be seen, what reorders text and what networks act on is written out.
pub fn neutral(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
        match c {
            '\n' => out.push('⏎'),
            '\t' => out.push('⇥'),
            '`' => out.push_str("\\u{60}"),
            '@' if calls_everybody(rest) => out.push_str("\\u{40}"),
            '<' if rest.starts_with(['!', '@', '#']) => out.push_str("\\u{3C}"),
            '(' if before == ']' => out.push_str("\\u{28}"),
            c if is_unseen(c) => drop(write!(out, "\\u{{{:X}}}", c as u32)),
            c => out.push(c),
        }
        before = c;
    }
    out
}

fn calls_everybody(rest: &str) -> bool {
    EVERYBODY.iter().any(|word| {
        let (Some(head), tail) = (rest.get(..word.len()), rest.get(word.len()..)) else { return false };
        head.eq_ignore_ascii_case(word) && !tail.unwrap_or_default().starts_with(|c: char| c.is_alphanumeric())
    })
}

/// Control characters, bidirectional and zero-width ones, fillers and tags.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A text value as it is shown: harmless, and cut in the middle when long.
pub fn shown_text(text: &str) -> String {
    let count = text.chars().count();
    if count <= 200 {
        return neutral(text);
    }
    let head: String = text.chars().take(160).collect();
    let tail: String = text.chars().skip(count - 20).collect();
    let sha = sha256_hex(text);
    let sha = sha.get(..8).unwrap_or_default();
    format!("{} … {} ({count} characters, sha256 {sha})", neutral(&head), neutral(&tail))
}

/// A name as it is shown: harmless, short, on one line, and calling nobody.
pub fn shown_name(text: &str) -> String {
    let short: String = text.chars().take(NAME).collect();
    neutral(&short)
}

/// A parameter's value as it is shown.
pub fn shown_value(value: &Value) -> String {
    match value {
        Value::Str(text) if text.is_empty() => "\"\"".into(),
        Value::Str(text) => shown_text(text),
        Value::List(items) if items.iter().all(|i| !matches!(i, Value::List(_) | Value::Map(_))) => {
            let cut = if items.len() > 10 { 8 } else { items.len() };
            let shown: Vec<String> = items.iter().take(cut).map(shown_value).collect();
            let more = items.len() - cut;
            let rest = if more > 0 { format!(", … and {more} more") } else { String::new() };
            if items.is_empty() { "[]".into() } else { format!("{}{rest}", shown.join(", ")) }
        }
        other => shown_text(&to_json(other)),
    }
}

/// What people are shown of one run; made when it is held and stored, so that every copy says the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRun {
    /// The action's reference.
    pub action: String,
    /// Its description.
    #[serde(default)]
    pub description: Option<String>,
    /// Parameters, each with its neutralised value.
    pub params: Vec<(String, String)>,
    /// How many more are as their defaults.
    #[serde(default)]
    pub defaults: u32,
    /// How many the rule hides.
    #[serde(default)]
    pub hidden: u32,
    /// `hosts: 12 (web1 … web12)`, `Dry run (3.1 s): …`
    #[serde(default)]
    pub impact: Vec<String>,
}

/// Shows a run: parameters in the order required, position, alphabet; secrets masked; defaults counted.
pub fn shown_run(
    action: &str,
    description: Option<&str>,
    schemas: &IndexMap<Str, Value>,
    params: &Map,
    show: &Show,
) -> ShownRun {
    let mut run =
        ShownRun { action: action.to_owned(), description: description.map(shown_text), ..ShownRun::default() };
    let is = |schema: Option<&Value>, key: &str| schema.and_then(|s| s.get(key)).is_some_and(Value::is_truthy);
    let mut names: Vec<&Str> = params.keys().collect();
    names.sort_by_key(|name| {
        let schema = schemas.get(*name);
        let position = schema.and_then(|s| s.get("position")).and_then(Value::as_int).unwrap_or(i64::MAX);
        (!is(schema, "required"), position, (*name).clone())
    });
    for name in names {
        let (schema, value) = (schemas.get(name), &params[name]);
        let chosen = show.params.is_empty() || show.params.iter().any(|p| **p == **name);
        if !chosen || show.hide.iter().any(|p| **p == **name) {
            run.hidden += 1;
        } else if value.is_null() || schema.and_then(|s| s.get("default")) == Some(value) {
            run.defaults += 1;
        } else if schema.is_some_and(holds_secret) {
            run.params.push((shown_name(name), MASK.into()));
        } else {
            run.params.push((shown_name(name), shown_value(value)));
            run.impact.extend(list_impact(name, value));
        }
    }
    run
}

/// Whether a schema, or any schema inside of it, is marked secret.
pub fn holds_secret(schema: &Value) -> bool {
    match schema {
        // Schemas are at most as deep as the loader lets them be.
        Value::Map(map) => map.get("secret").is_some_and(Value::is_truthy) || map.values().any(holds_secret),
        Value::List(items) => items.iter().any(holds_secret),
        _ => false,
    }
}

/// `hosts: 12 (web1 … web12)`
fn list_impact(name: &str, value: &Value) -> Option<String> {
    let items = value.as_list().filter(|items| items.len() > 1)?;
    let (first, last) = (items.first()?, items.last()?);
    Some(format!("{}: {} ({} … {})", shown_name(name), items.len(), shown_value(first), shown_value(last)))
}

/// The line about a dry run.
pub fn dry_run(result: Result<(&str, Duration), &str>) -> String {
    match result {
        Ok((output, took)) => {
            let short: String = output.chars().take(DRY_RUN).collect();
            let cut = if short.len() < output.len() { "…" } else { "" };
            format!("Dry run ({:.1} s): {}{cut}", took.as_secs_f64(), neutral(short.trim_end()))
        }
        Err(why) => format!("Dry run failed: {} — you decide without it.", shown_text(why)),
    }
}

/// A duration as people say it: `60 s`, `15 min`, `1 h 5 min`, `2 d 3 h`.
pub fn human(duration: Duration) -> String {
    // Half a second still is something, so it is rounded up.
    let seconds = duration.as_millis().div_ceil(1_000);
    let pair = |a: u128, big: &str, b: u128, small: &str| match b {
        0 => format!("{a} {big}"),
        b => format!("{a} {big} {b} {small}"),
    };
    match seconds {
        0..120 => format!("{seconds} s"),
        120..3_600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// A time with its zone, and the date when it is another day than `now`.
pub fn clock(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let zoned = |t: Timestamp| jiff::Timestamp::from_microsecond(t.micros()).ok().map(|t| t.to_zoned(zone.clone()));
    match (zoned(at), zoned(now)) {
        (Some(at), Some(now)) if at.date() == now.date() => at.strftime("%H:%M:%S %Z").to_string(),
        (Some(at), _) => at.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        (None, _) => at.to_iso(),
    }
}

/// How texts are written for this server.
#[derive(Debug, Clone)]
pub struct Style {
    /// What commands begin with.
    pub prefix: String,
    /// The zone of times.
    pub zone: TimeZone,
    /// Where the web pages are, without a slash at the end.
    pub web_url: Option<String>,
}

impl Default for Style {
    fn default() -> Style {
        Style { prefix: "!".into(), zone: TimeZone::UTC, web_url: None }
    }
}

impl Style {
    /// The page of a confirmation.
    pub fn url(&self, record: &Record) -> String {
        self.web_url
            .as_ref()
            .map_or_else(|| "the web page".into(), |base| format!("{base}/#/confirmations/{}", record.id))
    }
}

/// The time that is left.
pub fn left(record: &Record, now: Timestamp) -> String {
    human(record.expires_at.since(now))
}

/// The question: M1 when only the requester is asked, else M2.
pub fn question(record: &Record, now: Timestamp, style: &Style) -> Text {
    let whole = written(record, params(record), now, style);
    let over = whole.length().saturating_sub(MESSAGE);
    if over == 0 {
        return whole;
    }
    // What is cut are parameters, never the way to answer.
    let pointer = format!("{}show {}", style.prefix, record.code);
    let listed = params(record);
    let left = listed.length().saturating_sub(over);
    written(record, listed.cut(left, &pointer), now, style)
}

fn written(record: &Record, params: Text, now: Timestamp, style: &Style) -> Text {
    let own = record.requirements.iter().all(|r| r.is_self());
    let common = |name: &str, more: Vec<(&str, Fill<'_>)>| {
        let hint = record.requirements.iter().find_map(|r| r.phrase_hint.as_deref());
        let hint = hint.map(|h| format!(" {}", neutral(h))).unwrap_or_default();
        let mut fills: Vec<(&str, Fill<'_>)> = vec![
            ("params", Fill::Text(params.clone())),
            ("impact", Fill::Text(impact(record))),
            ("rules", Fill::Text(rules(record))),
            ("fp", record.digest.fingerprint().into()),
            ("code", record.code.to_string().into()),
            ("hint", hint.into()),
            ("prefix", style.prefix.clone().into()),
            ("left", left(record, now).into()),
            ("time", clock(record.expires_at, now, &style.zone).into()),
        ];
        fills.extend(more);
        text(name, &fills)
    };
    let who = asked_by(record);
    if own {
        common("M1", vec![("who", Fill::Name(&who)), ("head", Fill::Text(head(record)))])
    } else {
        let excluded = record.requirements.iter().any(|r| r.exclude_requester);
        let excluded = if excluded {
            vec![
                Piece::Ours("; ".into()),
                Piece::Name(shown_name(&record.requester.shown)),
                Piece::Ours(" does not count".into()),
            ]
        } else {
            Vec::new()
        };
        common(
            "M2",
            vec![
                ("requester", Fill::Name(&who)),
                ("action", Fill::Value(&record.action())),
                ("need", record.need().into()),
                ("excluded", Fill::Text(Text(excluded))),
            ],
        )
    }
}

/// `Alice (@alice)`, or `Alice (@alice) via helper` for an agent.
fn asked_by(record: &Record) -> String {
    match &record.requester.agent {
        Some(agent) => format!("{} via {agent}", record.requester.shown),
        None => record.requester.shown.clone(),
    }
}

/// `ops.restart — Restart a host.`, one line for each run.
fn head(record: &Record) -> Text {
    let mut pieces = Vec::new();
    for (at, (_, run)) in record.runs.iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::Ours("\n".into()));
        }
        pieces.push(Piece::Value(neutral(&run.action)));
        if let Some(description) = &run.description {
            pieces.push(Piece::Ours(" — ".into()));
            pieces.push(Piece::Value(description.clone()));
        }
    }
    Text(pieces)
}

/// A line for each parameter, values under each other; for several runs under the name of each.
fn params(record: &Record) -> Text {
    let mut pieces: Vec<Piece> = Vec::new();
    let several = record.runs.len() > 1;
    let mut line = |line: Vec<Piece>| {
        if !pieces.is_empty() {
            pieces.push(Piece::Ours("\n".into()));
        }
        pieces.extend(line);
    };
    for (_, run) in &record.runs {
        if several {
            line(vec![Piece::Ours("• ".into()), Piece::Value(neutral(&run.action))]);
        }
        let width = run.params.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &run.params {
            let gap = " ".repeat(width - name.chars().count() + 2);
            line(vec![
                Piece::Ours("  ".into()),
                Piece::Value(name.clone()),
                Piece::Ours(gap),
                Piece::Value(value.clone()),
            ]);
        }
        for (count, what) in [(run.defaults, "defaults"), (run.hidden, "hidden")] {
            if count > 0 {
                line(vec![Piece::Ours(format!("  + {count} {what}"))]);
            }
        }
    }
    Text(pieces)
}

fn impact(record: &Record) -> Text {
    let lines: Vec<&str> = record.runs.iter().flat_map(|(_, run)| &run.impact).map(String::as_str).collect();
    if lines.is_empty() { Text::default() } else { Text(vec![Piece::Value(lines.join("\n"))]) }
}

/// `prod-terminate — Deletes machines for good`, with children that it was pulled up for.
fn rules(record: &Record) -> Text {
    let mut pieces = Vec::new();
    for (at, rule) in record.rules.iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::Ours("; ".into()));
        }
        if at == RULES && record.rules.len() > RULES + 1 {
            pieces.push(Piece::Ours(format!("… and {} more", record.rules.len() - RULES)));
            break;
        }
        pieces.push(Piece::Ours(neutral(&rule.id)));
        if !rule.why.is_empty() {
            pieces.push(Piece::Ours(format!(" — {}", shown_text(rule.why.trim_end_matches('.')))));
        }
        if !rule.includes.is_empty() {
            pieces.push(Piece::Ours(format!(" (includes {})", neutral(&rule.includes.join(", ")))));
        }
    }
    Text(pieces)
}

/// M27: what waits, newest first; the caller leaves out what the person may not answer and did not ask for.
pub fn pending(records: &[Record], now: Timestamp) -> Text {
    if records.is_empty() {
        return text("M27-none", &[]);
    }
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_key(|record| std::cmp::Reverse((record.held_at, record.id)));
    let mut pieces = Vec::new();
    for (at, record) in sorted.iter().enumerate() {
        let end = if at > 0 { "\n" } else { "" };
        pieces.push(Piece::Ours(format!("{end}{}  ", record.code)));
        pieces.push(Piece::Name(shown_name(&record.requester.shown)));
        pieces.push(Piece::Ours("  ".into()));
        pieces.push(Piece::Value(neutral(&record.action())));
        pieces.push(Piece::Ours(format!("  {}  {}", record.need(), left(record, now))));
    }
    text("M27", &[("rows", Fill::Text(Text(pieces)))])
}

#[cfg(test)]
#[path = "texts_tests.rs"]
mod tests;
