//! One line against all formats.
//!
//! Nearly every format has a text that a matching command must hold ("restart", " to prod"). One pass of a
//! multi-pattern search over the line finds which of those texts occur; only their formats, and the few
//! without such a text, are asked exactly.

use super::pairs::{self, Split};
use super::{Format, MAX_COMMAND, lower};
use crate::Error;
use aho_corasick::AhoCorasick;
use squall_model::{Map, Str};

/// After so many formats that gave up, the line is given up too (each costs up to 6 ms).
const MAX_UNDECIDED: usize = 10;

/// One representation to be matched, with what the caller knows it by.
#[derive(Debug, Clone)]
pub struct Entry<A> {
    /// The caller's name for the alias.
    pub alias: A,
    /// The text of the format.
    pub representation: Str,
    /// Whether the alias is one of `match_multiple`; those are asked only when no other matched.
    pub multiple: bool,
    /// The parameters that the action declares, for [`Options::declared_pairs`].
    pub parameters: Vec<Str>,
}

/// Kindnesses of squall's own bots; all off is StackStorm's behaviour.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Runs of blanks outside quotes count as one.
    pub collapse_blanks: bool,
    /// When nothing matched, upper and lower case of literal words do not matter.
    pub ignore_case: bool,
    /// When nothing matched, `=` in values is no pair unless its name is a declared parameter.
    pub declared_pairs: bool,
}

/// Which kindness a hit needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leniency {
    /// None: the command matches as typed.
    None,
    /// Upper and lower case differ from the format's.
    Case,
    /// Trailing `name=value` texts were read as part of a value.
    Pairs,
}

/// A format that the line matches.
#[derive(Debug, Clone)]
pub struct Hit<'a, A> {
    /// The caller's name for the alias.
    pub alias: &'a A,
    /// The representation that matched.
    pub representation: &'a Str,
    /// The parameters: one map, or for a `match_multiple` alias one for each match, all to be run.
    pub matches: Vec<Map>,
    /// Whether something was forgiven, so that the bot can say so.
    pub leniency: Leniency,
}

/// All that was found.
#[derive(Debug)]
pub struct Found<'a, A> {
    /// The hits, in the order in which the entries were given. More than one is an ambiguity.
    pub hits: Vec<Hit<'a, A>>,
    /// Formats that gave up on this line; if there are any, the line is undecided unless somebody is sure.
    pub undecided: Vec<(&'a A, &'a Str)>,
}

/// Many formats, ready to be asked about a line.
#[derive(Debug)]
pub struct Matcher<A> {
    entries: Vec<(Entry<A>, Format)>,
    options: Options,
    words: AhoCorasick,
    /// For each word of `words`, the entries that need it.
    by_word: Vec<Vec<u32>>,
    /// Entries without such a word.
    always: Vec<u32>,
}

impl<A> Matcher<A> {
    /// Prepares the entries; the invalid ones are left out and returned with their errors.
    pub fn new(entries: impl IntoIterator<Item = Entry<A>>, options: Options) -> (Matcher<A>, Vec<(Entry<A>, Error)>) {
        let mut ready = Vec::new();
        let mut refused = Vec::new();
        for entry in entries {
            match Format::parse(&entry.representation) {
                Ok(format) => ready.push((entry, format)),
                Err(error) => refused.push((entry, error)),
            }
        }
        let mut words: indexmap::IndexMap<String, Vec<u32>> = indexmap::IndexMap::new();
        let mut always = Vec::new();
        for ((_, format), index) in ready.iter().zip(0u32..) {
            match &format.literal {
                Some(word) => words.entry(word.clone()).or_default().push(index),
                None => always.push(index),
            }
        }
        let automaton = AhoCorasick::new(words.keys()).unwrap_or_else(|_| {
            // More text than the automaton can number: ask every format.
            always = (0u32..).take(ready.len()).collect();
            AhoCorasick::new([""; 0]).expect("an empty set of words always compiles")
        });
        let by_word = words.into_values().collect();
        (Matcher { entries: ready, options, words: automaton, by_word, always }, refused)
    }

    /// How many formats take part.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no format takes part.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The formats that the line matches, ordinary ones first; those of `match_multiple` aliases only when
    /// no ordinary one does.
    pub fn find(&self, line: &str) -> Vec<Hit<'_, A>> {
        self.search(line).hits
    }

    /// The same, and which formats could not decide.
    pub fn search(&self, line: &str) -> Found<'_, A> {
        let mut found = Found { hits: Vec::new(), undecided: Vec::new() };
        if line.len() > MAX_COMMAND {
            return found;
        }
        let collapsed;
        let line = if self.options.collapse_blanks {
            collapsed = collapse(line);
            &collapsed
        } else {
            line
        };
        let split = pairs::split(line);
        let candidates = self.candidates(&split.stream);
        self.ask(&candidates, Leniency::None, &mut found, |_| None, &split);
        if found.hits.is_empty() && self.options.ignore_case {
            self.ask(&candidates, Leniency::Case, &mut found, |_| None, &split);
        }
        if found.hits.is_empty() && self.options.declared_pairs && !split.pairs.is_empty() {
            let declared =
                |entry: &Entry<A>| Some(pairs::split_if(line, |name| entry.parameters.iter().any(|p| **p == *name)));
            self.ask(&self.candidates(&format!(" {line} ")), Leniency::Pairs, &mut found, declared, &split);
        }
        found
    }

    /// Entries whose word occurs in the line, in order.
    fn candidates(&self, stream: &str) -> Vec<u32> {
        let mut all = self.always.clone();
        let stream = lower(stream);
        for word in self.words.find_overlapping_iter(&stream) {
            all.extend(&self.by_word[word.pattern().as_usize()]);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn ask<'a>(
        &'a self,
        candidates: &[u32],
        leniency: Leniency,
        found: &mut Found<'a, A>,
        own_split: impl Fn(&Entry<A>) -> Option<Split>,
        split: &Split,
    ) {
        for multiple in [false, true] {
            for &index in candidates {
                let (entry, format) = &self.entries[index as usize];
                if entry.multiple != multiple || found.undecided.len() >= MAX_UNDECIDED {
                    continue;
                }
                let own = own_split(entry);
                let split = own.as_ref().unwrap_or(split);
                let matches = if multiple {
                    format.all_from(split)
                } else {
                    format.extract_from(split, leniency == Leniency::Case).map(|m| m.into_iter().collect())
                };
                match matches {
                    Ok(matches) if matches.is_empty() => {}
                    Ok(matches) => {
                        found.hits.push(Hit {
                            alias: &entry.alias,
                            representation: &entry.representation,
                            matches,
                            leniency,
                        });
                    }
                    Err(error) if error.class == "ResourceLimit" => {
                        found.undecided.push((&entry.alias, &entry.representation));
                    }
                    Err(_) => {}
                }
            }
            if !found.hits.is_empty() {
                return;
            }
        }
    }
}

/// One blank for each run of blanks outside quotes, none at the ends.
fn collapse(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut quote = None;
    let mut pending = false;
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            // An apostrophe inside a word opens nothing, nor does a quote that is never closed.
            None if matches!(c, '"' | '\'')
                && !line[..at].ends_with(char::is_alphanumeric)
                && line[at + 1..].contains(c) =>
            {
                quote = Some(c);
            }
            None if super::blank(c) => {
                pending = true;
                continue;
            }
            None => {}
        }
        if pending && !out.is_empty() {
            out.push(' ');
        }
        pending = false;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(formats: &[&str], options: Options) -> Matcher<usize> {
        let entries = formats.iter().enumerate().map(|(alias, format)| Entry {
            alias,
            representation: (*format).into(),
            multiple: format.contains("|^$"),
            parameters: vec!["host".into()],
        });
        Matcher::new(entries, options).0
    }

    fn hits(formats: &[&str], options: Options, line: &str) -> Vec<(usize, Vec<Map>, Leniency)> {
        matcher(formats, options).find(line).into_iter().map(|h| (*h.alias, h.matches, h.leniency)).collect()
    }

    const LENIENT: Options = Options { collapse_blanks: true, ignore_case: true, declared_pairs: true };

    #[test]
    fn blanks_collapse_outside_quotes() {
        assert_eq!(collapse("  a   b 'c   d'  it's   x "), "a b 'c   d' it's x");
        let found = hits(&["confirm {{id}}"], LENIENT, "confirm   56a0");
        assert_eq!(found[0].1[0]["id"].as_str(), Some("56a0"));
    }

    #[test]
    fn case_is_forgiven_only_when_nothing_matches() {
        assert!(hits(&["confirm {{id}}"], Options::default(), "Confirm x").is_empty());
        assert_eq!(hits(&["confirm {{id}}"], LENIENT, "CONFIRM X")[0].2, Leniency::Case);
        assert_eq!(hits(&["Confirm {{id}}", "confirm {{id}}"], LENIENT, "confirm x").len(), 1);
    }

    #[test]
    fn an_undeclared_pair_is_part_of_the_value() {
        let found = hits(&["bar {{v}}"], LENIENT, "bar https://a/?b=c");
        assert_eq!(found[0].1[0]["v"].as_str(), Some("https://a/?b=c"));
        assert_eq!(found[0].2, Leniency::Pairs);
    }

    #[test]
    fn multiple_formats_are_asked_last() {
        let found = hits(&[r"((?P<k>[A-Z]+-\d+)|^$)", "fix {{what}}"], Options::default(), "fix ABC-1 and DEF-2");
        assert_eq!(found.len(), 1);
        let found = hits(&[r"((?P<k>[A-Z]+-\d+)|^$)"], Options::default(), "fix ABC-1 and DEF-2");
        assert_eq!(found[0].1.len(), 2);
    }

    #[test]
    fn a_pathological_format_is_named_and_does_not_stall() {
        let line = "a".repeat(60) + "!";
        let matcher = matcher(&[r"(a|aa)+(?=x)y", "{{only}}"], Options::default());
        let found = matcher.search(&line);
        assert_eq!(found.hits.len(), 1);
        assert!(found.undecided.len() <= 1);
    }
}
