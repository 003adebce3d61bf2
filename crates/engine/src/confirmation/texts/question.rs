//! The question: what would run, who must agree, how to answer, until when. And the list of what waits.
//!
//! Start reading at [`question`].

use super::super::record::Record;
use super::{Fill, Piece, ShownRun, Text, neutral, shown_name, shown_text, text};
use jiff::tz::TimeZone;
use squall_model::Timestamp;
use std::time::Duration;

/// Longest message; the rest is behind `show`.
pub const MESSAGE: usize = 3_000;
/// Rules that are named one by one.
const RULES: usize = 4;
/// Runs of one message that are named one by one.
const HEADS: usize = 10;

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

/// The runs of which something is shown: items that share a question are asked about once.
fn runs(record: &Record) -> impl Iterator<Item = &ShownRun> {
    record.runs.iter().map(|(_, run)| run).filter(|run| !run.action.is_empty())
}

/// `ops.restart — Restart a host.`, one line for each run.
fn head(record: &Record) -> Text {
    let mut pieces = Vec::new();
    let shown: Vec<&ShownRun> = runs(record).collect();
    for (at, run) in shown.iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::Ours("\n".into()));
        }
        if at == HEADS && shown.len() > HEADS + 1 {
            pieces.push(Piece::Ours(format!("… and {} more", shown.len() - HEADS)));
            break;
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
    let several = runs(record).nth(1).is_some();
    let mut line = |line: Vec<Piece>| {
        if !pieces.is_empty() {
            pieces.push(Piece::Ours("\n".into()));
        }
        pieces.extend(line);
    };
    for run in runs(record) {
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

/// The columns of M27.
const COLUMNS: [&str; 5] = ["code", "asked by", "action", "needs", "left"];

/// M27: what waits as a table, newest first; the caller leaves out what the person may not answer and did not ask for.
pub fn pending(records: &[Record], now: Timestamp) -> Text {
    if records.is_empty() {
        return text("M27-none", &[]);
    }
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_key(|record| std::cmp::Reverse((record.held_at, record.id)));
    let mut rows = vec![COLUMNS.map(|title| Piece::Ours(title.into()))];
    rows.extend(sorted.into_iter().map(|record| waiting(record, now)));
    let widths: Vec<usize> =
        (0..COLUMNS.len()).map(|n| rows.iter().map(|row| length(&row[n])).max().unwrap_or(0)).collect();
    let mut pieces = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::Ours("\n".into()));
        }
        for (cell, width) in row.into_iter().zip(&widths) {
            let gap = " ".repeat(width + 2 - length(&cell));
            pieces.extend([cell, Piece::Ours(gap)]);
        }
        // Nothing stands behind the last column.
        pieces.pop();
    }
    text("M27", &[("rows", Fill::Text(Text(pieces)))])
}

fn waiting(record: &Record, now: Timestamp) -> [Piece; 5] {
    [
        Piece::Ours(record.code.to_string()),
        Piece::Name(shown_name(&record.requester.shown)),
        Piece::Value(neutral(&record.action())),
        Piece::Ours(record.need()),
        Piece::Ours(left(record, now)),
    ]
}

fn length(piece: &Piece) -> usize {
    piece.text().chars().count()
}
