//! Pure functions that StackStorm and the workflow engines add to both languages.
//!
//! [`TABLE`] lists them with the names of their parameters; [`find`] gives the one of a name for an engine and
//! [`Function::call`] binds positional and keyword arguments (`sort_keys` and `sortKeys` alike) and runs it.
//! What is there: JSON (`json`), YAML (`yaml`), JSON paths (`jsonpath`), versions (`versions`), regular
//! expressions, file names and times for people (`texts`), lists (`lists`). Beside the table, [`kv`] is
//! `st2kv` over a [`crate::Host`] and `moments` reads and prints dates.
//!
//! Nothing here knows an expression language; arguments and results are plain values.

pub mod json;
pub mod jsonpath;
mod kv;
mod lists;
pub mod moments;
mod texts;
mod versions;
mod yaml;

pub use kv::{kv, uuid};

use crate::{Budget, Engine, Error};
use squall_model::{Str, Value};

/// What a function is called with: one value for each parameter, the default where none was given.
pub struct Given<'g> {
    /// In the order of the function's parameters; `None` was not given.
    values: Vec<Option<Value>>,
    /// Positional arguments beyond the parameters, for functions that take any number.
    pub rest: Vec<Value>,
    /// What it may cost.
    pub budget: &'g Budget,
}

impl Given<'_> {
    fn value(&self, at: usize) -> Value {
        self.values.get(at).cloned().flatten().unwrap_or_default()
    }

    fn is_given(&self, at: usize) -> bool {
        self.values.get(at).is_some_and(Option::is_some)
    }

    /// A text; other values as Python prints them.
    fn text(&self, at: usize) -> Str {
        match self.value(at) {
            Value::Str(text) => text,
            Value::Null if !self.is_given(at) => Str::default(),
            other => crate::python::str(&other).into(),
        }
    }

    fn flag(&self, at: usize) -> bool {
        self.value(at).is_truthy()
    }
}

/// One function.
pub struct Function {
    /// As content writes it.
    pub name: &'static str,
    /// Names of parameters; those from `required` on may be left out.
    pub params: &'static [&'static str],
    required: usize,
    takes_rest: bool,
    engines: &'static [Engine],
    run: fn(&Given<'_>) -> Result<Value, Error>,
}

/// What a function does with its first argument when that is no plain data (a view, a range, a macro).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Python's `str()` of it is what counts.
    Printed,
    /// It is written as JSON or YAML, which only plain data can be.
    Dumped,
    /// It is a value like any other.
    Value,
}

impl Function {
    /// What it does with its first argument.
    pub fn subject(&self) -> Subject {
        match self.name {
            "from_json_string" | "from_yaml_string" | "regex_match" | "regex_search" | "regex_replace"
            | "regex_substring" => Subject::Printed,
            "json_parse" | "yaml_parse" if self.engines == OTHERS => Subject::Printed,
            "to_complex" | "to_json_string" | "to_yaml_string" | "json_dump" | "yaml_dump" | "json_escape"
            | "basename" | "dirname" => Subject::Dumped,
            _ => Subject::Value,
        }
    }

    /// Calls it; `None` when the arguments do not fit the parameters.
    pub fn call(&self, args: &[Value], named: &[(Str, Value)], budget: &Budget) -> Option<Result<Value, Error>> {
        let given = self.bind(args, named, budget)?;
        Some((self.run)(&given))
    }

    fn bind<'g>(&self, args: &[Value], named: &[(Str, Value)], budget: &'g Budget) -> Option<Given<'g>> {
        let positional = if self.takes_rest { 0 } else { args.len() };
        if positional > self.params.len() {
            return None;
        }
        let mut values: Vec<Option<Value>> = args.iter().take(positional).cloned().map(Some).collect();
        values.resize(self.params.len(), None);
        for (name, value) in named {
            let at = self.params.iter().position(|param| same_name(param, name))?;
            let place = values.get_mut(at)?;
            if place.replace(value.clone()).is_some() {
                return None;
            }
        }
        if values.iter().take(self.required).any(Option::is_none) {
            return None;
        }
        let rest = if self.takes_rest { args.to_vec() } else { Vec::new() };
        Some(Given { values, rest, budget })
    }
}

/// `sort_keys` and `sortKeys` are the same parameter: YAQL shows names in camel case.
fn same_name(param: &str, name: &str) -> bool {
    let plain = |text: &str| text.chars().filter(|c| *c != '_').collect::<String>().to_ascii_lowercase();
    param == name || (name.contains(|c: char| c.is_ascii_uppercase()) && plain(param) == plain(name))
}

const fn all(
    name: &'static str,
    params: &'static [&'static str],
    required: usize,
    run: fn(&Given<'_>) -> Result<Value, Error>,
) -> Function {
    Function { name, params, required, takes_rest: false, engines: &[], run }
}

const MISTRAL: &[Engine] = &[Engine::Mistral];
const ORQUESTA: &[Engine] = &[Engine::Orquesta];
const NOT_ORQUESTA: &[Engine] = &[Engine::Mistral, Engine::Stack, Engine::StackLax];
const OTHERS: &[Engine] = &[Engine::Orquesta, Engine::Stack, Engine::StackLax];

/// All functions. To add one, write it in the module of its kind and add its line here.
pub const TABLE: &[Function] = &[
    all("basename", &["value"], 1, texts::basename),
    all("dirname", &["value"], 1, texts::dirname),
    all("from_json_string", &["value"], 1, json::parse_text),
    all("from_yaml_string", &["value"], 1, yaml::parse),
    all("json_escape", &["value"], 1, json::escape),
    all("jsonpath_query", &["value", "query"], 2, jsonpath::query),
    all("regex_match", &["value", "pattern", "ignorecase"], 2, texts::regex_match),
    all("regex_replace", &["value", "pattern", "replacement", "ignorecase"], 3, texts::regex_replace),
    all("regex_search", &["value", "pattern", "ignorecase"], 2, texts::regex_search),
    all("regex_substring", &["value", "pattern", "result_index", "ignorecase"], 2, texts::regex_substring),
    Function { engines: NOT_ORQUESTA, ..all("to_complex", &["value"], 1, json::complex) },
    all("to_human_time_from_seconds", &["seconds"], 1, texts::human_time),
    // StackStorm's functions for Mistral have other defaults than its filters; the first of a name counts.
    Function {
        engines: MISTRAL,
        ..all("to_json_string", &["value", "indent", "sort_keys", "separators"], 1, json::dump_tight)
    },
    Function { engines: MISTRAL, ..all("to_yaml_string", &["value", "indent", "allow_unicode"], 1, yaml::dump_wide) },
    all("to_json_string", &["value", "indent", "sort_keys", "separators"], 1, json::dump),
    all("to_yaml_string", &["value", "indent", "allow_unicode"], 1, yaml::dump),
    all("use_none", &["value"], 1, texts::use_none),
    all("version_compare", &["value", "pattern"], 2, versions::compare),
    all("version_more_than", &["value", "pattern"], 2, versions::more_than),
    all("version_less_than", &["value", "pattern"], 2, versions::less_than),
    all("version_equal", &["value", "pattern"], 2, versions::equal),
    all("version_match", &["value", "pattern"], 2, versions::matches),
    all("version_bump_major", &["value"], 1, versions::bump_major),
    all("version_bump_minor", &["value"], 1, versions::bump_minor),
    all("version_bump_patch", &["value"], 1, versions::bump_patch),
    all("version_strip_patch", &["value"], 1, versions::strip_patch),
    Function { engines: MISTRAL, ..all("json_dump", &["data"], 1, json::dump_indented) },
    Function { engines: MISTRAL, ..all("json_parse", &["data"], 1, json::parse) },
    Function { engines: MISTRAL, ..all("json_pp", &["data"], 1, json::pretty) },
    Function { engines: MISTRAL, ..all("yaml_dump", &["data"], 1, yaml::dump_document) },
    Function { engines: MISTRAL, ..all("yaml_parse", &["data"], 1, yaml::parse) },
    Function { engines: OTHERS, ..all("json_dump", &["value", "indent", "sort_keys", "separators"], 1, json::dump) },
    Function { engines: OTHERS, ..all("json_parse", &["value"], 1, json::parse_text) },
    Function { engines: OTHERS, ..all("yaml_dump", &["value", "indent", "allow_unicode"], 1, yaml::dump) },
    Function { engines: OTHERS, ..all("yaml_parse", &["value"], 1, yaml::parse) },
    Function { engines: ORQUESTA, ..all("json", &["value"], 1, json::read) },
    Function { engines: ORQUESTA, takes_rest: true, ..all("zip", &["pad"], 0, lists::zip) },
];

/// Whether any engine has a function called `name`.
pub fn is_known(name: &str) -> bool {
    TABLE.iter().any(|f| f.name == name)
}

/// The function called `name` for `engine`.
pub fn find(name: &str, engine: Engine) -> Option<&'static Function> {
    TABLE.iter().find(|f| f.name == name && (f.engines.is_empty() || f.engines.contains(&engine)))
}

#[cfg(test)]
mod tests;
