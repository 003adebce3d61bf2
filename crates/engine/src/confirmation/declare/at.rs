//! Reading values with the way to each, so that every problem is told with its place.

use super::{Problem, Step};
use squall_model::{ActionRef, Map, Value};
use std::cell::RefCell;
use std::time::Duration;

/// `90`, `90s`, `15m`, `1h30m`, `7d`
pub fn duration(text: &str) -> Option<Duration> {
    let mut total = 0u64;
    let mut number: Option<u64> = None;
    for c in text.trim().chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    match number {
        None if total == 0 => None,
        None => Some(Duration::from_secs(total)),
        Some(seconds) if total == 0 => Some(Duration::from_secs(seconds)),
        Some(_) => None,
    }
}

/// A value with the way to it.
pub(in crate::confirmation) struct At<'a> {
    pub(in crate::confirmation) value: &'a Value,
    pub(in crate::confirmation) path: Vec<Step>,
    pub(in crate::confirmation) notes: &'a Notes,
}

/// What is found while a declaration is read.
#[derive(Debug, Default)]
pub(in crate::confirmation) struct Notes {
    /// What cannot be meant.
    pub(in crate::confirmation) problems: RefCell<Vec<Problem>>,
    /// Actions that would be run to find something out, with the way to their names.
    pub(in crate::confirmation) looks: RefCell<Vec<(Vec<Step>, ActionRef)>>,
    /// Where the last editor is to be excluded.
    pub(in crate::confirmation) editors: RefCell<Vec<Vec<Step>>>,
}

impl<'a> At<'a> {
    pub(super) fn step(&self, step: Step, value: &'a Value) -> At<'a> {
        let mut path = self.path.clone();
        path.push(step);
        At { value, path, notes: self.notes }
    }

    pub(in crate::confirmation) fn note(&self, path: Vec<Step>, at_key: bool, message: String, help: Option<String>) {
        self.notes.problems.borrow_mut().push(Problem { path, at_key, message, help });
    }

    pub(in crate::confirmation) fn problem(&self, message: String) {
        self.note(self.path.clone(), false, message, None);
    }

    pub(in crate::confirmation) fn problem_with_help(&self, message: String, help: &str) {
        self.note(self.path.clone(), false, message, Some(help.into()));
    }

    pub(super) fn problem_at_key(&self, key: &str, message: String, help: Option<&str>) {
        let mut path = self.path.clone();
        path.push(Step::Key(key.into()));
        self.note(path, true, message, help.map(str::to_owned));
    }

    /// Notes that an action named here would be run to find something out.
    pub(super) fn looks_at(&self, action: &ActionRef) {
        self.notes.looks.borrow_mut().push((self.path.clone(), action.clone()));
    }

    /// Notes that whoever edited something last is to be excluded.
    pub(super) fn excludes_editor(&self) {
        self.notes.editors.borrow_mut().push(self.path.clone());
    }

    /// Whether something inside of this value was noted.
    pub(super) fn failed(&self) -> bool {
        self.notes.problems.borrow().iter().any(|p| p.path.starts_with(&self.path))
    }

    fn map(&self) -> Option<&'a Map> {
        self.value.as_map()
    }

    /// Notes every key that means nothing.
    pub(in crate::confirmation) fn known(&self, keys: &[&str]) {
        let Some(map) = self.map() else {
            return self.problem("must be a map of keys and values".into());
        };
        for key in map.keys().filter(|key| !keys.contains(&&***key)) {
            let close = keys.iter().find(|known| strsim::damerau_levenshtein(known, key) <= 2);
            let help = match close {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("known here: {}", keys.join(", ")),
            };
            self.problem_at_key(key, format!("`{key}` has no meaning here"), Some(&help));
        }
    }

    /// The value of a key, unless absent or null.
    pub(in crate::confirmation) fn key(&self, key: &str) -> Option<At<'a>> {
        let value = self.map()?.get(key).filter(|value| !value.is_null())?;
        Some(self.step(Step::Key(key.into()), value))
    }

    /// The items of a list; one value alone counts as a list of one.
    pub(in crate::confirmation) fn list(&self) -> Vec<At<'a>> {
        match self.value.as_list() {
            Some(items) => items.iter().enumerate().map(|(n, item)| self.step(Step::Item(n), item)).collect(),
            None => vec![At { value: self.value, path: self.path.clone(), notes: self.notes }],
        }
    }

    pub(in crate::confirmation) fn items(&self, key: &str) -> Vec<At<'a>> {
        self.key(key).map(|list| list.list()).unwrap_or_default()
    }

    pub(in crate::confirmation) fn text(&self) -> Option<String> {
        match self.value {
            Value::Str(text) => Some(text.to_string()),
            _ => {
                self.problem_with_help("must be a text".into(), "put it in quotes");
                None
            }
        }
    }

    pub(in crate::confirmation) fn texts(&self) -> Vec<String> {
        self.list().iter().filter_map(At::text).collect()
    }

    pub(super) fn places(&self) -> Vec<String> {
        let is_place = |item: &At<'_>| {
            let text = item.text()?;
            let good = text.split_once(':').is_some_and(|(network, id)| !network.is_empty() && !id.is_empty());
            if !good {
                item.problem_with_help(
                    format!("`{text}` is no channel"),
                    "write `network:channel`, e.g. `slack:C0123`",
                );
            }
            good.then_some(text)
        };
        self.list().iter().filter_map(is_place).collect()
    }

    pub(in crate::confirmation) fn boolean(&self) -> Option<bool> {
        let read = self.value.as_bool();
        if read.is_none() {
            self.problem("must be true or false".into());
        }
        read
    }

    pub(super) fn whole(&self, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let read = self.value.as_int().filter(|n| range.contains(n));
        if read.is_none() {
            self.problem(format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        read
    }

    pub(super) fn duration(&self, (least, most): (Duration, Duration)) -> Option<Duration> {
        let read = match self.value {
            Value::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Value::Str(text) => duration(text),
            _ => None,
        };
        let fits = read.filter(|d| (least..=most).contains(d));
        if fits.is_none() {
            let days = most.as_secs() / 86_400;
            self.problem_with_help(
                format!("must be a duration from {} s to {days} d", least.as_secs()),
                "write `90s`, `15m`, `1h30m` or `7d`",
            );
        }
        fits
    }

    pub(in crate::confirmation) fn one_of<T: Copy>(&self, names: &[(&str, T)]) -> Option<T> {
        let text = self.value.as_str();
        let found = text.and_then(|text| names.iter().find(|(name, _)| *name == text)).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
            self.problem(format!("must be one of {}", known.join(", ")));
        }
        found
    }
}
