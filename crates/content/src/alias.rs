//! Aliases: what people type, and the action that it means.
//!
//! Formats stay as written; `expr::alias` reads and matches them. What is checked here is that each can be
//! matched at all, since a format that cannot would be a command that silently does not exist.

use crate::action::confirm;
use crate::codes;
use crate::reading::{Fields, File, Source};
use crate::schema::is_word;
use squall_expr::Engine;
use squall_expr::alias::{Format, representations};
use squall_expr::jinja::Template;
use squall_model::{ActionRef, Str, Value};
use squall_yaml::{Node, Span};

/// What people type.
#[derive(Clone, Debug)]
pub struct Alias {
    /// Pack and name.
    pub reference: ActionRef,
    /// What help says.
    pub description: Option<Str>,
    /// Whether it is matched.
    pub enabled: bool,
    /// The action that it runs, as written; it may not exist.
    pub action_ref: Str,
    /// The entries of `formats` as written: texts, or maps of `display`, `representation`, `match_multiple`.
    pub formats: Vec<Value>,
    /// How the command is acknowledged: `enabled`, `format`, `extra`, `append_url`.
    pub ack: Option<Value>,
    /// How the result is reported: `enabled`, `format`, `extra`.
    pub result: Option<Value>,
    /// Anything; `extra.squall.confirm` asks for a confirmation.
    pub extra: Option<Value>,
    /// Parameters that nobody can type.
    pub immutable_parameters: Option<Value>,
    /// `extra.squall.confirm`, or else the top-level key `confirm`, as written.
    pub confirm: Option<Value>,
    /// Its file relative to the pack.
    pub metadata_file: Str,
    /// Where it is defined.
    pub source: Source,
    /// Whether it is part of the program.
    pub is_builtin: bool,
    /// Each text that is matched with the place where it stands.
    pub(crate) matched: Vec<(Str, Span)>,
    pub(crate) action_span: Span,
    pub(crate) name_span: Span,
}

impl Alias {
    /// An alias that no file defines, because the program itself answers what it matches.
    pub fn of_program(reference: ActionRef, description: &str, display: &str, representation: &str) -> Alias {
        let format = [("display", display.into()), ("representation", Value::from(vec![representation.into()]))];
        Alias {
            action_ref: Str::from(reference.to_string().as_str()),
            reference,
            description: Some(description.into()),
            enabled: true,
            formats: vec![Value::from_pairs(format)],
            ack: Some(Value::from_pairs([("append_url", false)])),
            result: Some(Value::from_pairs([("enabled", false)])),
            extra: None,
            immutable_parameters: None,
            confirm: None,
            metadata_file: "".into(),
            source: Source { file: "squall".into(), line: 1 },
            is_builtin: true,
            matched: Vec::new(),
            action_span: Span::default(),
            name_span: Span::default(),
        }
    }

    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("action_alias:{}:{}", self.reference.pack, self.reference.name)
    }

    /// The action that it runs, if its reference can be read.
    pub fn action(&self) -> Option<ActionRef> {
        self.action_ref.parse().ok()
    }

    /// As StackStorm stores it, which is also what `expr::alias::help` reads. Empty keys are left out.
    pub fn to_value(&self) -> Value {
        let formats = Value::from(self.formats.clone());
        let all = [
            ("name", Value::from(self.reference.name.clone())),
            ("pack", self.reference.pack.clone().into()),
            ("ref", self.reference.to_string().into()),
            ("uid", self.uid().into()),
            ("description", self.description.clone().into()),
            ("enabled", self.enabled.into()),
            ("action_ref", self.action_ref.clone().into()),
            ("formats", formats),
            ("ack", self.ack.clone().into()),
            ("result", self.result.clone().into()),
            ("extra", self.extra.clone().into()),
            ("immutable_parameters", self.immutable_parameters.clone().into()),
            ("metadata_file", self.metadata_file.clone().into()),
        ];
        Value::from_pairs(all.into_iter().filter(|(_, value)| !value.is_null()))
    }
}

/// Reads one alias.
pub(crate) fn read(file: &File<'_>) -> Option<Alias> {
    let fields = file.fields();
    let name = fields.required_text("name");
    let action_ref = fields.required_text("action_ref");
    fields.check_pack();
    let description = fields.text("description");
    let enabled = fields.boolean("enabled", true);
    let listed = fields.list("formats").unwrap_or_default();
    let ack = fields.map("ack").map(|node| report(file, node, "`ack`"));
    let result = fields.map("result").map(|node| report(file, node, "`result`"));
    let extra = fields.map("extra").map(Node::to_value);
    let immutable_parameters = fields.map("immutable_parameters").map(Node::to_value);
    let top = confirm(file, &fields);
    fields.allow(&["ref", "uid", "id", "metadata_file"]);
    fields.close();
    let matched = formats(file, listed);
    let (name, action_ref) = (name?, action_ref?);
    let inner = extra.as_ref().and_then(|extra| extra.at(&["squall", "confirm"])).cloned();
    (!file.has_failed()).then(|| Alias {
        reference: file.reference(&name),
        description,
        enabled,
        action_ref,
        formats: listed.iter().map(Node::to_value).collect(),
        ack,
        result,
        extra,
        immutable_parameters,
        confirm: inner.or(top),
        metadata_file: Str::from(file.path),
        source: file.source(fields.span("name")),
        is_builtin: file.is_builtin,
        matched,
        action_span: fields.span("action_ref"),
        name_span: fields.span("name"),
    })
}

/// `ack` and `result`: the known keys have their types, others are nobody's business.
fn report(file: &File<'_>, node: &Node, what: &'static str) -> Value {
    let fields = Fields::of(file, node, what);
    fields.boolean("enabled", true);
    fields.boolean("append_url", true);
    if let Some(template) = fields.text("format")
        && let Err(error) = Template::compile(&template, Engine::Stack)
    {
        let help = Some("the default text is posted instead".to_owned());
        let message = format!("the template in {what} cannot be read");
        file.warning(codes::TEMPLATE, fields.span("format"), message, error.message, help);
    }
    fields.map("extra");
    node.to_value()
}

/// The texts that are matched, each checked.
fn formats(file: &File<'_>, entries: &[Node]) -> Vec<(Str, Span)> {
    let mut matched = Vec::new();
    for entry in entries {
        if let Some(fields) = entry.as_map().map(|_| Fields::of(file, entry, "a format")) {
            fields.text("display");
            fields.boolean("match_multiple", false);
            if let Some(text) = entry.get("representation").filter(|node| node.as_str().is_some()) {
                let help = "write a list: `representation: [\"…\"]`";
                file.error_with_help(
                    codes::FORMAT,
                    text.span,
                    "`representation` of a format must be a list",
                    "this is a text",
                    help,
                );
                continue;
            }
            fields.texts("representation");
        }
        let texts = match representations(&[entry.to_value()]) {
            Ok(texts) => texts,
            Err(_) => {
                let label = format!("this is {}", entry.kind_name());
                file.error(codes::FORMAT, entry.span, "a format is a text or a map with `representation`", label);
                continue;
            }
        };
        for text in texts.into_iter().filter(|text| !text.text.is_empty()) {
            let span = place_of(entry, &text.text);
            match Format::parse(&text.text) {
                Ok(_) => matched.push((text.text, span)),
                Err(error) => {
                    let help = "every format is a regular expression with `{{ placeholders }}`; escape `( ) [ ] ? * + . |` with a backslash";
                    file.error_with_help(
                        codes::FORMAT,
                        span,
                        "this format can never be matched",
                        error.to_string(),
                        help,
                    );
                }
            }
        }
    }
    matched
}

/// The names of the placeholders of a format, in order.
pub(crate) fn placeholders(format: &str) -> Vec<&str> {
    let inside = format.split("{{").skip(1).filter_map(|rest| rest.split_once("}}").map(|(inside, _)| inside));
    inside.map(|text| text.split('=').next().unwrap_or_default().trim()).filter(|name| is_word(name)).collect()
}

/// Where a representation stands inside its entry.
fn place_of(entry: &Node, text: &str) -> Span {
    let inside = entry.get("representation").and_then(|node| node.as_seq()).unwrap_or_default();
    inside.iter().find(|node| node.as_str() == Some(text)).map_or(entry.span, |node| node.span)
}

#[cfg(test)]
mod tests {
    use super::placeholders;

    #[test]
    fn placeholders_by_name() {
        assert_eq!(placeholders("a {{ b }} {{c=1}} {{ d = x y }}{{"), ["b", "c", "d"]);
        assert_eq!(placeholders("plain (?P<x>.+)"), Vec::<&str>::new());
    }
}
