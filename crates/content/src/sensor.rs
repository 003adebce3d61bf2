//! Trigger types and the sensors that fire them.
//!
//! StackStorm does not apply its sensor schema when it registers one, so neither do we: 24 of 126 sensor
//! files of the survey carry the old key `payload_info`.

use crate::codes;
use crate::reading::{Fields, File, Source};
use crate::schema::is_word;
use squall_model::{ActionRef, Str, Value};
use squall_yaml::{Node, Span};

/// A kind of event that rules can wait for.
#[derive(Clone, Debug)]
pub struct TriggerType {
    /// Pack and name.
    pub reference: ActionRef,
    /// What it means.
    pub description: Option<Str>,
    /// Schema of what it carries: an empty map if anything.
    pub payload_schema: Value,
    /// Schema of what a rule has to say about it: an empty map if nothing.
    pub parameters_schema: Value,
    /// Its file relative to the pack.
    pub metadata_file: Str,
    /// Where it is defined.
    pub source: Source,
}

impl TriggerType {
    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("trigger_type:{}:{}", self.reference.pack, self.reference.name)
    }

    /// Whether rules have to give parameters, so that each set of parameters is a trigger of its own.
    pub fn is_parametrised(&self) -> bool {
        self.parameters_schema.is_truthy()
    }
}

/// A process that watches something and fires triggers.
#[derive(Clone, Debug)]
pub struct Sensor {
    /// Pack and class name.
    pub reference: ActionRef,
    /// The Python class.
    pub class_name: Str,
    /// The file with the class, relative to `sensors/` of the pack.
    pub entry_point: Str,
    /// Whether it is started.
    pub enabled: bool,
    /// What it watches.
    pub description: Option<Str>,
    /// Seconds between two polls, for sensors that poll.
    pub poll_interval: Option<f64>,
    /// The trigger types that it declares.
    pub trigger_types: Vec<ActionRef>,
    /// Its file relative to the pack.
    pub metadata_file: Str,
    /// Where it is defined.
    pub source: Source,
    pub(crate) name_span: Span,
}

impl Sensor {
    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("sensor_type:{}:{}", self.reference.pack, self.class_name)
    }
}

/// Reads a file of `triggers/`.
pub(crate) fn read_trigger(file: &File<'_>) -> Option<TriggerType> {
    let trigger = trigger(file, &file.fields());
    trigger.filter(|_| !file.has_failed())
}

/// Reads a sensor and the trigger types that it declares.
pub(crate) fn read_sensor(file: &File<'_>) -> Option<(Sensor, Vec<TriggerType>)> {
    let fields = file.fields();
    let class_name = fields.required_text("class_name");
    let entry_point = fields.required_text("entry_point");
    let enabled = fields.boolean("enabled", true);
    let description = fields.text("description");
    let poll_interval = poll_interval(file, &fields);
    fields.check_pack();
    let mut triggers = Vec::new();
    for node in fields.list("trigger_types").unwrap_or_default() {
        triggers.extend(trigger(file, &Fields::of(file, node, "a trigger type")));
    }
    let (class_name, entry_point) = (class_name?, entry_point?);
    if !crate::files::is_plain(&entry_point) {
        let message = format!("the entry point `{entry_point}` is not a plain path inside `sensors/`");
        file.error(codes::ENTRY_POINT, fields.span("entry_point"), message, "cannot be used");
    } else if !file.files.exists(&format!("sensors/{entry_point}")) {
        let message = format!("the entry point `{entry_point}` does not exist");
        file.warning(codes::ENTRY_POINT, fields.span("entry_point"), message, "the sensor cannot start", None);
    }
    if file.has_failed() {
        return None;
    }
    let sensor = Sensor {
        reference: file.reference(&class_name),
        class_name,
        entry_point,
        enabled,
        description,
        poll_interval,
        trigger_types: triggers.iter().map(|trigger| trigger.reference.clone()).collect(),
        metadata_file: Str::from(file.path),
        source: file.source(fields.span("class_name")),
        name_span: fields.span("class_name"),
    };
    Some((sensor, triggers))
}

fn poll_interval(file: &File<'_>, fields: &Fields<'_>) -> Option<f64> {
    let node = fields.get("poll_interval")?;
    let seconds = match node.to_value() {
        Value::Int(n) => n as f64,
        Value::Float(x) => x,
        _ => f64::NAN,
    };
    if seconds >= 4.0 {
        return Some(seconds);
    }
    let message = "`poll_interval` must be a number of at least 4 seconds";
    file.error(codes::POLL_INTERVAL, node.span, message, "less, or no number");
    None
}

/// A trigger type, in a file of its own or in a sensor; keys without a meaning are left alone.
fn trigger(file: &File<'_>, fields: &Fields<'_>) -> Option<TriggerType> {
    let name = fields.required_text("name");
    fields.check_pack();
    let description = fields.text("description");
    let schema = |key| fields.map(key).map_or_else(Value::map, Node::to_value);
    let (payload_schema, parameters_schema) = (schema("payload_schema"), schema("parameters_schema"));
    let name = name?;
    if !name.split('.').all(|part| part.split('-').all(is_word)) {
        let help = Some("rules can still name it; letters, digits, `_`, `-` and `.` are safe".to_owned());
        file.warning(
            codes::BAD_NAME,
            fields.span("name"),
            format!("`{name}` is an odd name for a trigger type"),
            "odd characters",
            help,
        );
    }
    Some(TriggerType {
        reference: file.reference(&name),
        description,
        payload_schema,
        parameters_schema,
        metadata_file: Str::from(file.path),
        source: file.source(fields.span("name")),
    })
}
