//! Dates and times as text: `strftime`, `strptime`, and reading what people write without a format.
//!
//! All are Python's ways (names in English, unknown parts of a date taken from today); times of day are local
//! to whatever offset stands beside them, and nothing here knows time zones by name but UTC.

use crate::Error;
use std::fmt::Write;

/// Year, month, day, hour, minute, second, microsecond.
pub type Fields = [i64; 7];

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// The local time.
    pub fields: Fields,
    /// Its offset from UTC in seconds, if the text has one.
    pub offset_seconds: Option<i32>,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01; `None` when there is no such day.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    // Years from March, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn day_number(fields: &Fields) -> i64 {
    days_from_civil(fields[0], fields[1], fields[2]).unwrap_or(0)
}

fn weekday(fields: &Fields) -> i64 {
    (day_number(fields) + 3).rem_euclid(7)
}

fn day_of_year(fields: &Fields) -> i64 {
    day_number(fields) - days_from_civil(fields[0], 1, 1).unwrap_or(0) + 1
}

fn name<'n>(names: &[&'n str], at: i64) -> &'n str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
}

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// Python's `strftime` in the C locale; an unknown directive stays as it is.
pub fn format(fields: &Fields, offset_seconds: i32, format: &str) -> String {
    let mut out = String::with_capacity(format.len() * 2);
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(directive) => write_directive(&mut out, fields, offset_seconds, directive),
            None => out.push('%'),
        }
    }
    out
}

fn write_directive(out: &mut String, fields: &Fields, offset_seconds: i32, directive: char) {
    let [year, month, day, hour, minute, second, micro] = *fields;
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let nested = |text: &str| self::format(fields, offset_seconds, text);
    // Writing to a String cannot fail.
    let _ = match directive {
        'Y' => write!(out, "{year}"),
        'y' => write!(out, "{:02}", year.rem_euclid(100)),
        'C' => write!(out, "{:02}", year.div_euclid(100)),
        'm' => write!(out, "{month:02}"),
        'd' => write!(out, "{day:02}"),
        'e' => write!(out, "{day:2}"),
        'H' => write!(out, "{hour:02}"),
        'k' => write!(out, "{hour:2}"),
        'I' => write!(out, "{twelve:02}"),
        'l' => write!(out, "{twelve:2}"),
        'M' => write!(out, "{minute:02}"),
        'S' => write!(out, "{second:02}"),
        'f' => write!(out, "{micro:06}"),
        'p' => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
        'P' => write!(out, "{}", if hour < 12 { "am" } else { "pm" }),
        'B' => write!(out, "{}", name(&MONTHS, month - 1)),
        'b' | 'h' => write!(out, "{}", short(name(&MONTHS, month - 1))),
        'A' => write!(out, "{}", name(&DAYS, weekday(fields))),
        'a' => write!(out, "{}", short(name(&DAYS, weekday(fields)))),
        'w' => write!(out, "{}", (weekday(fields) + 1) % 7),
        'u' => write!(out, "{}", weekday(fields) + 1),
        'j' => write!(out, "{:03}", day_of_year(fields)),
        'U' => write!(out, "{:02}", (day_of_year(fields) + 6 - (weekday(fields) + 1) % 7) / 7),
        'W' => write!(out, "{:02}", (day_of_year(fields) + 6 - weekday(fields)) / 7),
        'G' => write!(out, "{}", iso_week(fields).0),
        'V' => write!(out, "{:02}", iso_week(fields).1),
        'z' => write!(out, "{}", offset_text(offset_seconds)),
        'Z' if offset_seconds == 0 => write!(out, "UTC"),
        'Z' => Ok(()),
        's' => write!(out, "{}", day_number(fields) * 86_400 + hour * 3600 + minute * 60 + second),
        'c' => write!(out, "{}", nested("%a %b %e %H:%M:%S %Y")),
        'x' | 'D' => write!(out, "{}", nested("%m/%d/%y")),
        'X' | 'T' => write!(out, "{}", nested("%H:%M:%S")),
        'r' => write!(out, "{}", nested("%I:%M:%S %p")),
        'R' => write!(out, "{}", nested("%H:%M")),
        'F' => write!(out, "{}", nested("%Y-%m-%d")),
        'n' => writeln!(out),
        't' => write!(out, "\t"),
        '%' => write!(out, "%"),
        other => write!(out, "%{other}"),
    };
}

/// Year and week by ISO 8601: a week belongs to the year that has its Thursday.
fn iso_week(fields: &Fields) -> (i64, i64) {
    let thursday = day_number(fields) - weekday(fields) + 3;
    let mut year = fields[0];
    for candidate in [year - 1, year, year + 1] {
        if days_from_civil(candidate, 1, 1).is_some_and(|first| first <= thursday) {
            year = candidate;
        }
    }
    (year, (thursday - days_from_civil(year, 1, 1).unwrap_or(0)) / 7 + 1)
}

fn offset_text(offset_seconds: i32) -> String {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let east = offset_seconds.unsigned_abs();
    format!("{sign}{:02}{:02}", east / 3600, east / 60 % 60)
}

/// Python's `strptime`.
pub fn parse_with(text: &str, format: &str) -> Result<Parsed, Error> {
    let mismatch = || {
        let (mut shown, mut wanted) = (String::new(), String::new());
        crate::python::quote(&mut shown, text);
        crate::python::quote(&mut wanted, format);
        Error::new("ValueError", format!("time data {shown} does not match format {wanted}"))
    };
    let mut reader =
        Reader { text, at: 0, fields: [1900, 1, 1, 0, 0, 0, 0], offset: None, pm: None, day_of_year: None };
    reader.read(format).ok_or_else(mismatch)?;
    if reader.at < text.len() {
        let rest = text.get(reader.at..).unwrap_or_default();
        return Err(Error::new("ValueError", format!("unconverted data remains: {rest}")));
    }
    if let Some(pm) = reader.pm {
        reader.fields[3] = reader.fields[3] % 12 + if pm { 12 } else { 0 };
    }
    if let Some(day) = reader.day_of_year {
        let (mut month, mut left) = (1, day);
        while left > days_in_month(reader.fields[0], month) && month < 12 {
            left -= days_in_month(reader.fields[0], month);
            month += 1;
        }
        (reader.fields[1], reader.fields[2]) = (month, left);
    }
    let [year, month, day, ..] = reader.fields;
    if days_from_civil(year, month, day).is_none() {
        return Err(Error::new("ValueError", "day is out of range for month"));
    }
    Ok(Parsed { fields: reader.fields, offset_seconds: reader.offset })
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    fields: Fields,
    offset: Option<i32>,
    pm: Option<bool>,
    day_of_year: Option<i64>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn read(&mut self, format: &str) -> Option<()> {
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c.is_whitespace() {
                let trimmed = self.rest().trim_start();
                let blanks = self.rest().len() - trimmed.len();
                if blanks == 0 {
                    return None;
                }
                self.at += blanks;
                // A run of blanks in the format is one.
                while chars.clone().next().is_some_and(char::is_whitespace) {
                    chars.next();
                }
            } else if c == '%' {
                self.directive(chars.next()?)?;
            } else {
                let found = self.rest().chars().next()?;
                if !found.to_lowercase().eq(c.to_lowercase()) {
                    return None;
                }
                self.at += found.len_utf8();
            }
        }
        Some(())
    }

    /// A number of one to `most` digits within bounds.
    fn number(&mut self, most: usize, low: i64, high: i64) -> Option<i64> {
        let digits = self.rest().bytes().take(most).take_while(u8::is_ascii_digit).count();
        // Fewer digits, when all of them are too many: `%m%d` reads `131` as 1 and 31.
        for length in (1..=digits).rev() {
            let number: i64 = self.rest().get(..length)?.parse().ok()?;
            if (low..=high).contains(&number) {
                self.at += length;
                return Some(number);
            }
        }
        None
    }

    fn named(&mut self, names: &[&str], shortened: bool) -> Option<i64> {
        let rest = self.rest().to_lowercase();
        for (at, name) in names.iter().enumerate() {
            let name = if shortened { short(name) } else { name };
            if rest.starts_with(&name.to_lowercase()) {
                self.at += name.len();
                return i64::try_from(at).ok();
            }
        }
        None
    }

    fn directive(&mut self, directive: char) -> Option<()> {
        match directive {
            'Y' => {
                let year = self.rest().get(..4).filter(|y| y.bytes().all(|b| b.is_ascii_digit()))?;
                self.fields[0] = year.parse().ok()?;
                self.at += 4;
            }
            'y' => {
                let year = self.number(2, 0, 99)?;
                self.fields[0] = if year < 69 { 2000 + year } else { 1900 + year };
            }
            'm' => self.fields[1] = self.number(2, 1, 12)?,
            'd' => self.fields[2] = self.number(2, 1, 31)?,
            'H' => self.fields[3] = self.number(2, 0, 23)?,
            'I' => self.fields[3] = self.number(2, 1, 12)?,
            'M' => self.fields[4] = self.number(2, 0, 59)?,
            'S' => self.fields[5] = self.number(2, 0, 61)?.min(59),
            'f' => {
                let digits: String = self.rest().chars().take(6).take_while(char::is_ascii_digit).collect();
                self.at += digits.len();
                self.fields[6] = format!("{digits:0<6}").parse().ok().filter(|_| !digits.is_empty())?;
            }
            'b' | 'h' => self.fields[1] = self.named(&MONTHS, true)? + 1,
            'B' => self.fields[1] = self.named(&MONTHS, false)? + 1,
            'a' => drop(self.named(&DAYS, true)?),
            'A' => drop(self.named(&DAYS, false)?),
            'w' => drop(self.number(1, 0, 6)?),
            'U' | 'W' => drop(self.number(2, 0, 53)?),
            'j' => self.day_of_year = Some(self.number(3, 1, 366)?),
            'p' => self.pm = Some(self.named(&["AM", "PM"], false)? == 1),
            'z' => self.offset = Some(self.zone()?),
            'Z' => {
                self.named(&["UTC", "GMT"], false)?;
            }
            'c' => self.read("%a %b %d %H:%M:%S %Y")?,
            'x' => self.read("%m/%d/%y")?,
            'X' => self.read("%H:%M:%S")?,
            '%' => {
                self.rest().strip_prefix('%')?;
                self.at += 1;
            }
            _ => return None,
        }
        Some(())
    }

    fn zone(&mut self) -> Option<i32> {
        if self.rest().starts_with('Z') {
            self.at += 1;
            return Some(0);
        }
        let sign = match self.rest().chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.at += 1;
        let two = |reader: &mut Self| {
            let digits = reader.rest().get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
            let number: i32 = digits.parse().ok()?;
            reader.at += 2;
            Some(number)
        };
        let hours = two(self)?;
        if self.rest().starts_with(':') {
            self.at += 1;
        }
        let minutes = two(self)?;
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Number(String),
    Word(String),
    Mark(char),
    Blank,
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = |test: fn(char) -> bool| rest.find(|c| !test(c)).unwrap_or(rest.len());
        let length = if c.is_ascii_digit() {
            run(|c| c.is_ascii_digit())
        } else if c.is_alphabetic() {
            run(char::is_alphabetic)
        } else if c.is_whitespace() {
            run(char::is_whitespace)
        } else {
            c.len_utf8()
        };
        let (piece, after) = rest.split_at(length);
        out.push(match c {
            c if c.is_ascii_digit() => Piece::Number(piece.to_string()),
            c if c.is_alphabetic() => Piece::Word(piece.to_lowercase()),
            c if c.is_whitespace() => Piece::Blank,
            c => Piece::Mark(c),
        });
        rest = after;
    }
    out
}

fn month_number(word: &str) -> Option<i64> {
    let known = |month: &str| {
        let month = month.to_lowercase();
        word == month || word == short(&month) || (word == "sept" && month == "september")
    };
    MONTHS.iter().position(|month| known(month)).and_then(|at| i64::try_from(at + 1).ok())
}

fn is_weekday(word: &str) -> bool {
    DAYS.iter().any(|day| {
        let day = day.to_lowercase();
        word.len() >= 3 && day.starts_with(word)
    })
}

/// Reads a date or time as people write them; what is missing comes from the day of `now_micros`.
///
/// Month comes before day where both would do, as in `01/02/2016`.
pub fn parse_free(text: &str, now_micros: i64) -> Result<Parsed, Error> {
    let unknown = |what: &str| Error::new("ParserError", format!("{what}: {text}"));
    if text.len() > 200 {
        return Err(unknown("Unknown string format"));
    }
    let pieces = pieces(text.trim());
    if pieces.is_empty() {
        return Err(unknown("String does not contain a date"));
    }
    let mut free = Free { pieces: &pieces, at: 0, parts: Vec::new(), month: None, time: None, micro: 0, offset: None };
    free.read().ok_or_else(|| unknown("Unknown string format"))?;
    if free.parts.is_empty() && free.time.is_none() && free.offset.is_none() && !free.saw_weekday() {
        return Err(unknown("String does not contain a date"));
    }
    free.resolve(now_micros).ok_or_else(|| unknown("day is out of range for month"))
}

struct Free<'p> {
    pieces: &'p [Piece],
    at: usize,
    /// Numbers of the date in the order in which they stand, with the count of their digits.
    parts: Vec<(i64, usize)>,
    /// Which of them is a month by name.
    month: Option<usize>,
    time: Option<(i64, i64, i64)>,
    micro: i64,
    offset: Option<i32>,
}

impl Free<'_> {
    fn piece(&self, ahead: usize) -> Option<&Piece> {
        self.pieces.get(self.at + ahead)
    }

    fn mark(&self, ahead: usize, c: char) -> bool {
        self.piece(ahead) == Some(&Piece::Mark(c))
    }

    fn saw_weekday(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Word(word) if is_weekday(word)))
    }

    fn read(&mut self) -> Option<()> {
        while let Some(piece) = self.piece(0).cloned() {
            match piece {
                Piece::Blank => self.at += 1,
                Piece::Number(digits) => self.number(&digits)?,
                Piece::Word(word) => self.word(&word)?,
                Piece::Mark(sign @ ('+' | '-')) if self.time.is_some() && self.offset.is_none() => self.zone(sign)?,
                Piece::Mark('.' | ',' | ';' | '-' | '/' | '\'') => self.at += 1,
                Piece::Mark(_) => return None,
            }
        }
        (self.parts.len() <= 3).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.at += 1;
        if let Some(month) = month_number(word) {
            if self.month.is_some() {
                return None;
            }
            self.month = Some(self.parts.len());
            self.parts.push((month, 2));
        } else if matches!(word, "z" | "utc" | "gmt") {
            self.offset = Some(0);
        } else if let "am" | "pm" | "a" | "p" = word
            && let Some((hour, ..)) = &mut self.time
            && (1..=12).contains(hour)
        {
            *hour = *hour % 12 + if word.starts_with('p') { 12 } else { 0 };
        } else {
            let filler = ["t", "at", "on", "and", "ad", "m", "of", "st", "nd", "rd", "th"];
            let zone_name = self.time.is_some() && (3..=5).contains(&word.len());
            if !filler.contains(&word) && !is_weekday(word) && !zone_name {
                return None;
            }
        }
        Some(())
    }

    fn number(&mut self, digits: &str) -> Option<()> {
        self.at += 1;
        let value: i64 = digits.parse().ok()?;
        let field = |from: usize, to: usize| digits.get(from..to).and_then(|d| d.parse::<i64>().ok());
        if self.mark(0, ':') {
            return self.clock(value);
        }
        if let Some(Piece::Word(word)) = self.piece(0)
            && matches!(word.as_str(), "am" | "pm")
            && value <= 12
        {
            self.time = Some((value, 0, 0));
            return Some(());
        }
        if let Some(unit) = self.unit() {
            let (hour, minute, second) = self.time.unwrap_or_default();
            self.time = Some(match unit {
                'h' => (value, minute, second),
                'm' => (hour, value, second),
                _ => (hour, minute, value),
            });
            return Some(());
        }
        match (digits.len(), self.parts.len()) {
            (4 | 6, 3) if self.time.is_none() => {
                self.time = Some((field(0, 2)?, field(2, 4)?, if digits.len() == 6 { field(4, 6)? } else { 0 }));
                self.fraction();
            }
            (8 | 12 | 14, 0) => {
                self.parts = vec![(field(0, 4)?, 4), (field(4, 6)?, 2), (field(6, 8)?, 2)];
                if digits.len() > 8 {
                    self.time = Some((field(8, 10)?, field(10, 12)?, field(12, 14).unwrap_or(0)));
                }
            }
            (6, 0) => self.parts = vec![(field(0, 2)?, 2), (field(2, 4)?, 2), (field(4, 6)?, 2)],
            _ => self.parts.push((value, digits.len())),
        }
        Some(())
    }

    /// `h`, `m` or `s` after a number, as in `10h 36m`.
    fn unit(&mut self) -> Option<char> {
        let ahead = usize::from(self.piece(0) == Some(&Piece::Blank));
        let Some(Piece::Word(word)) = self.piece(ahead) else { return None };
        let unit = match word.as_str() {
            "h" | "hour" | "hours" => 'h',
            "min" | "minute" | "minutes" => 'm',
            "m" if self.time.is_some() => 'm',
            "s" | "second" | "seconds" => 's',
            _ => return None,
        };
        self.at += ahead + 1;
        Some(unit)
    }

    fn clock(&mut self, hour: i64) -> Option<()> {
        let next = |free: &mut Self| match free.piece(1) {
            Some(Piece::Number(digits)) => {
                let value = digits.parse().ok();
                free.at += 2;
                value
            }
            _ => None,
        };
        let minute = next(self)?;
        let second = if self.mark(0, ':') { next(self)? } else { 0 };
        self.time = Some((hour, minute, second));
        self.fraction();
        Some(())
    }

    fn fraction(&mut self) {
        if (self.mark(0, '.') || self.mark(0, ','))
            && let Some(Piece::Number(digits)) = self.piece(1)
        {
            let six: String = format!("{digits:0<6}").chars().take(6).collect();
            self.micro = six.parse().unwrap_or(0);
            self.at += 2;
        }
    }

    fn zone(&mut self, sign: char) -> Option<()> {
        let Some(Piece::Number(digits)) = self.piece(1).cloned() else { return None };
        self.at += 2;
        let field = |from: usize, to: usize| digits.get(from..to).and_then(|d| d.parse::<i32>().ok());
        let (hours, mut minutes) = match digits.len() {
            4 => (field(0, 2)?, field(2, 4)?),
            1 | 2 => (digits.parse().ok()?, 0),
            _ => return None,
        };
        if digits.len() <= 2
            && self.mark(0, ':')
            && let Some(Piece::Number(more)) = self.piece(1)
        {
            minutes = more.parse().ok()?;
            self.at += 2;
        }
        if hours > 23 || minutes > 59 {
            return None;
        }
        self.offset = Some((hours * 3600 + minutes * 60) * if sign == '-' { -1 } else { 1 });
        Some(())
    }

    /// Year, month and day out of the numbers: by size, by a month's name, else month first.
    fn date(&self) -> (Option<(i64, usize)>, Option<i64>, Option<i64>) {
        let part = |at: usize| self.parts.get(at).copied().unwrap_or((0, 0));
        let is_year = |at: usize| part(at).0 > 31 || part(at).1 > 2;
        let pick = |year: Option<usize>, month: Option<usize>, day: Option<usize>| {
            (year.map(part), month.map(|at| part(at).0), day.map(|at| part(at).0))
        };
        match (self.parts.len(), self.month) {
            (0, _) => (None, None, None),
            (1, Some(_)) => pick(None, Some(0), None),
            (1, None) if is_year(0) => pick(Some(0), None, None),
            (1, None) => pick(None, None, Some(0)),
            (2, Some(0)) if is_year(1) => pick(Some(1), Some(0), None),
            (2, Some(0)) => pick(None, Some(0), Some(1)),
            (2, Some(_)) if is_year(0) => pick(Some(0), Some(1), None),
            (2, Some(_)) => pick(None, Some(1), Some(0)),
            (2, None) if is_year(0) => pick(Some(0), Some(1), None),
            (2, None) if is_year(1) => pick(Some(1), Some(0), None),
            (2, None) => pick(None, Some(0), Some(1)),
            (_, Some(0)) if is_year(1) => pick(Some(1), Some(0), Some(2)),
            (_, Some(0)) => pick(Some(2), Some(0), Some(1)),
            (_, Some(1)) if is_year(0) => pick(Some(0), Some(1), Some(2)),
            (_, Some(1)) => pick(Some(2), Some(1), Some(0)),
            (_, Some(_)) if is_year(1) => pick(Some(1), Some(2), Some(0)),
            (_, Some(_)) => pick(Some(0), Some(2), Some(1)),
            (_, None) if is_year(0) => pick(Some(0), Some(1), Some(2)),
            (_, None) if part(0).0 > 12 => pick(Some(2), Some(1), Some(0)),
            (_, None) => pick(Some(2), Some(0), Some(1)),
        }
    }

    fn resolve(&self, now_micros: i64) -> Option<Parsed> {
        let today = crate::python::civil(now_micros, 0)?;
        let (year, month, day) = self.date();
        let this_year = i64::from(today.year());
        let year = match year {
            None => this_year,
            Some((short, digits)) if short < 100 && digits <= 2 => {
                let guess = this_year.div_euclid(100) * 100 + short;
                match guess - this_year {
                    50.. => guess - 100,
                    ..-50 => guess + 100,
                    _ => guess,
                }
            }
            Some((year, _)) => year,
        };
        let month = month.unwrap_or(i64::from(today.month()));
        // Today's day may be too late for the month that the text names.
        let day = day.unwrap_or_else(|| i64::from(today.day()).min(days_in_month(year, month)));
        let (hour, minute, second) = self.time.unwrap_or_default();
        let in_range = (1..=9999).contains(&year)
            && days_from_civil(year, month, day).is_some()
            && hour < 24
            && minute < 60
            && second < 60;
        let fields = [year, month, day, hour, minute, second, self.micro];
        in_range.then_some(Parsed { fields, offset_seconds: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2016-01-21T17:28:39Z
    const NOW: i64 = 1_453_397_319_000_000;

    #[track_caller]
    fn free(text: &str, expected: &str) {
        let shown = match parse_free(text, NOW) {
            Ok(parsed) => {
                let zone = parsed.offset_seconds.map(|o| format!(" {o}")).unwrap_or_default();
                format(&parsed.fields, 0, "%Y-%m-%d %H:%M:%S.%f") + &zone
            }
            Err(e) => e.message,
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn what_people_write() {
        free("2016-01-21T17:28:39Z", "2016-01-21 17:28:39.000000 0");
        free("2016-01-21 17:28:39.5+05:30", "2016-01-21 17:28:39.500000 19800");
        free("Thu, 21 Jan 2016 17:28:39 GMT", "2016-01-21 17:28:39.000000 0");
        free("Jan 21, 2016 5:30 PM", "2016-01-21 17:30:00.000000");
        free("01/02/2016", "2016-01-02 00:00:00.000000");
        free("21.01.2016", "2016-01-21 00:00:00.000000");
        free("20160121T172839", "2016-01-21 17:28:39.000000");
        free("10:30", "2016-01-21 10:30:00.000000");
        free("Feb 2016", "2016-02-21 00:00:00.000000");
        free("nonsense", "Unknown string format: nonsense");
        free("2016-13-45", "day is out of range for month: 2016-13-45");
    }

    #[test]
    fn formats() {
        let fields = [2016, 1, 21, 17, 28, 39, 5];
        assert_eq!(
            format(&fields, 7200, "%a %A %b %d %y %j %I%p %f %z %% %q"),
            "Thu Thursday Jan 21 16 021 05PM 000005 +0200 % %q"
        );
        assert_eq!(format(&[2021, 1, 3, 0, 0, 0, 0], 0, "%G-W%V %U %W %Z"), "2020-W53 01 00 UTC");
    }

    #[test]
    fn templates() {
        let parsed = |text: &str, format: &str| parse_with(text, format).map(|p| p.fields).map_err(|e| e.message);
        assert_eq!(parsed("2016-01-21 17:28", "%Y-%m-%d %H:%M"), Ok([2016, 1, 21, 17, 28, 0, 0]));
        assert_eq!(parsed("21 jan 16 05 pm", "%d %b %y %I %p"), Ok([2016, 1, 21, 17, 0, 0, 0]));
        assert_eq!(
            parsed("2016-01-21", "%d/%m/%Y"),
            Err("time data '2016-01-21' does not match format '%d/%m/%Y'".into())
        );
        assert_eq!(parsed("2016-01-21x", "%Y-%m-%d"), Err("unconverted data remains: x".into()));
    }

    #[test]
    fn no_such_day() {
        assert_eq!(days_from_civil(2015, 2, 29), None);
        assert_eq!(days_from_civil(1970, 1, 1), Some(0));
        assert_eq!(days_from_civil(2000, 3, 1), Some(11_017));
    }
}
