//! Reading one metadata file: keys are taken one by one, and every problem is noted with its place.
//!
//! [`Fields`] is how each kind of content reads its map. It remembers which keys it was asked for, so that
//! [`Fields::close`] can name those that mean nothing. Nothing here decides what a key means.

use crate::codes;
use crate::files::PackFiles;
use squall_model::{ActionRef, PackName, Str, Value};
use squall_yaml::nearest;
use squall_yaml::{Diagnostic, Kind, Node, Options, Span};
use std::cell::{Cell, RefCell};

/// Where something was defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file as people know it.
    pub file: String,
    /// The line of its name, from 1.
    pub line: u32,
}

/// A metadata file that is a map.
pub(crate) struct File<'a> {
    /// The pack that it belongs to.
    pub(crate) pack: &'a PackName,
    /// The directory's name, which `pack:` may also say.
    pub(crate) dir_name: &'a str,
    /// Whether it is part of the program.
    pub(crate) is_builtin: bool,
    /// What it describes, with its article: `an action`.
    pub(crate) what: &'static str,
    /// Relative to the pack, e.g. `actions/restart.yaml`.
    pub(crate) path: &'a str,
    pub(crate) shown: String,
    pub(crate) text: String,
    pub(crate) root: Node,
    pub(crate) files: &'a PackFiles,
    noted: RefCell<Vec<Diagnostic>>,
    failed: Cell<bool>,
}

impl<'a> File<'a> {
    /// Reads and parses; what makes the file useless is added to `noted`.
    pub(crate) fn open(
        pack: &'a PackName,
        dir_name: &'a str,
        files: &'a PackFiles,
        what: &'static str,
        path: &'a str,
        noted: &mut Vec<Diagnostic>,
    ) -> Option<File<'a>> {
        let shown = files.shown(path);
        let text = match files.read(path) {
            Ok(text) => text,
            Err(why) => {
                noted.push(
                    Diagnostic::error(codes::UNREADABLE, format!("the file cannot be read: {why}")).in_file(shown),
                );
                return None;
            }
        };
        let root = parse(&text, &shown, noted)?;
        let is_builtin = matches!(files, PackFiles::Builtin { .. });
        let file = File {
            pack,
            dir_name,
            is_builtin,
            what,
            path,
            shown,
            text,
            root,
            files,
            noted: RefCell::default(),
            failed: Cell::new(false),
        };
        if file.root.as_map().is_none() {
            let found = file.root.kind_name();
            file.error(
                codes::NOT_A_MAP,
                file.root.span,
                format!("{what} is a map of keys and values"),
                format!("this is {found}"),
            );
            noted.extend(file.finish());
            return None;
        }
        Some(file)
    }

    /// Notes an error at `span`; what the file defines is then not loaded.
    pub(crate) fn error(&self, code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.note(Diagnostic::error(code, message).at(&self.text, span, label));
    }

    /// Notes an error with a way out.
    pub(crate) fn error_with_help(
        &self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Diagnostic::error(code, message).at(&self.text, span, label).help(help));
    }

    pub(crate) fn warning(
        &self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        let mut diagnostic = Diagnostic::warning(code, message).at(&self.text, span, label);
        diagnostic.help = help;
        self.note(diagnostic);
    }

    pub(crate) fn note(&self, diagnostic: Diagnostic) {
        self.failed.set(self.failed.get() || diagnostic.is_error());
        self.noted.borrow_mut().push(diagnostic.in_file(self.shown.clone()));
    }

    /// Whether an error was noted.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// What was noted, in the order of the file.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut noted = self.noted.into_inner();
        noted.sort_by_key(|diagnostic| (diagnostic.line(), diagnostic.column()));
        noted
    }

    /// The keys of the file.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::of(self, &self.root, self.what)
    }

    /// The reference of what the file defines.
    pub(crate) fn reference(&self, name: &Str) -> ActionRef {
        ActionRef::new(self.pack.clone(), name.clone())
    }

    pub(crate) fn source(&self, span: Span) -> Source {
        Source { file: self.shown.clone(), line: span.line }
    }
}

/// Parses a text; duplicate keys are warned about.
pub(crate) fn parse(text: &str, shown: &str, noted: &mut Vec<Diagnostic>) -> Option<Node> {
    match squall_yaml::parse(text, &Options::default()) {
        Ok(document) => {
            let warnings = document.warnings.iter();
            noted.extend(warnings.map(|w| Diagnostic::from_yaml_warning(codes::DUPLICATE_KEY, text, w).in_file(shown)));
            Some(document.root)
        }
        Err(error) => {
            noted.push(Diagnostic::from_yaml_error(codes::YAML, text, &error).in_file(shown));
            None
        }
    }
}

/// The keys of one map.
pub(crate) struct Fields<'a> {
    file: &'a File<'a>,
    node: &'a Node,
    what: &'a str,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(file: &'a File<'a>, node: &'a Node, what: &'a str) -> Fields<'a> {
        Fields { file, node, what, known: RefCell::default() }
    }

    /// The value of `key`, unless absent or null.
    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().push(key);
        self.node.get(key).filter(|node| !node.is_null())
    }

    /// A text.
    pub(crate) fn text(&self, key: &'static str) -> Option<Str> {
        let node = self.get(key)?;
        match &node.kind {
            Kind::Scalar { value: Value::Str(text), .. } => Some(text.clone()),
            Kind::Scalar { text, .. } => {
                let message = format!("`{key}` of {} must be a text", self.what);
                let help = format!("without quotes YAML reads {} here; write `{key}: \"{text}\"`", node.kind_name());
                let label = format!("this is {}", node.kind_name());
                self.file.error_with_help(codes::WRONG_TYPE, node.span, message, label, help);
                None
            }
            Kind::Seq(_) | Kind::Map(_) => {
                self.wrong(node.span, &format!("`{key}`"), "a text", node.kind_name());
                None
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required_text(&self, key: &'static str) -> Option<Str> {
        self.required(key)?;
        self.text(key).filter(|text| {
            if text.is_empty() {
                let span = self.span(key);
                self.file.error(codes::WRONG_TYPE, span, format!("`{key}` of {} is empty", self.what), "needs a text");
            }
            !text.is_empty()
        })
    }

    /// Notes its absence.
    pub(crate) fn required(&self, key: &'static str) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            self.known.borrow_mut().push(key);
            let message = format!("{} needs the key `{key}`", self.what);
            let close = self.unknown().into_iter().find(|(name, _)| nearest(name, [key]).is_some());
            match close {
                Some((name, span)) => self.file.error_with_help(
                    codes::MISSING_KEY,
                    span,
                    message,
                    "this key has no meaning",
                    format!("did you mean `{key}` instead of `{name}`?"),
                ),
                None => self.file.error(codes::MISSING_KEY, self.start(), message, "it is missing here"),
            }
        }
        found
    }

    pub(crate) fn boolean(&self, key: &'static str, default: bool) -> bool {
        self.expect(key, "true or false", |node| match &node.kind {
            Kind::Scalar { value: Value::Bool(b), .. } => Some(*b),
            _ => None,
        })
        .unwrap_or(default)
    }

    /// A map.
    pub(crate) fn map(&self, key: &'static str) -> Option<&'a Node> {
        self.expect(key, "a map", |node| node.as_map().map(|_| node))
    }

    /// A list.
    pub(crate) fn list(&self, key: &'static str) -> Option<&'a [Node]> {
        self.expect(key, "a list", |node| node.as_seq())
    }

    /// A list of texts.
    pub(crate) fn texts(&self, key: &'static str) -> Vec<Str> {
        let mut texts = Vec::new();
        for item in self.list(key).unwrap_or_default() {
            match item.as_str() {
                Some(text) => texts.push(Str::from(text)),
                None => self.wrong(item.span, &format!("an item of `{key}`"), "a text", item.kind_name()),
            }
        }
        texts
    }

    fn expect<T>(&self, key: &'static str, wanted: &str, read: impl Fn(&'a Node) -> Option<T>) -> Option<T> {
        let node = self.get(key)?;
        let read = read(node);
        if read.is_none() {
            self.wrong(node.span, &format!("`{key}`"), wanted, node.kind_name());
        }
        read
    }

    fn wrong(&self, span: Span, thing: &str, wanted: &str, found: &str) {
        self.file.error(
            codes::WRONG_TYPE,
            span,
            format!("{thing} of {} must be {wanted}", self.what),
            format!("this is {found}"),
        );
    }

    /// Keys that may be there and are ignored, e.g. because they are computed.
    pub(crate) fn allow(&self, keys: &[&'static str]) {
        self.known.borrow_mut().extend(keys);
    }

    /// The place of the value of `key`, or of the map.
    pub(crate) fn span(&self, key: &str) -> Span {
        self.node.get(key).map_or(self.start(), |node| node.span)
    }

    /// Where the map begins, one character wide.
    fn start(&self) -> Span {
        Span { end: self.node.span.start + 1, ..self.node.span }
    }

    /// Notes the keys that nobody asked for, as errors.
    pub(crate) fn close(&self) {
        for (name, span) in self.unknown() {
            let known = self.known.borrow();
            let help = match nearest(&name, known.iter().copied()) {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("the keys of {} are {}", self.what, listed(&known)),
            };
            let message = format!("`{name}` is no key of {}", self.what);
            self.file.error_with_help(codes::UNKNOWN_KEY, span, message, "has no meaning here", help);
        }
    }

    fn unknown(&self) -> Vec<(String, Span)> {
        let known = self.known.borrow();
        self.node
            .as_map()
            .unwrap_or_default()
            .iter()
            .filter_map(|(key, _)| {
                let name = match &key.kind {
                    Kind::Scalar { text, .. } => text.to_string(),
                    Kind::Seq(_) | Kind::Map(_) => return None,
                };
                (!known.contains(&name.as_str())).then_some((name, key.span))
            })
            .collect()
    }

    /// `pack:` may repeat the pack or its directory, and nothing else.
    pub(crate) fn check_pack(&self) {
        let Some(pack) = self.text("pack") else { return };
        if pack.is_empty() || *pack == **self.file.pack || *pack == *self.file.dir_name {
            return;
        }
        let message = format!("{} lies in pack `{}` and says that it belongs to `{pack}`", self.what, self.file.pack);
        let help = format!("remove the key, or write `pack: {}`", self.file.pack);
        self.file.error_with_help(codes::OTHER_PACK, self.span("pack"), message, "another pack", help);
    }
}

fn listed(keys: &[&'static str]) -> String {
    let mut keys: Vec<_> = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}
