//! Values as YAML text, laid out as PyYAML's block style does.
//!
//! The second of the two files that may be `unsafe`: the emitter is libyaml's, which decides about quotes
//! and line folding. Values are walked with a stack of our own, so no depth of nesting can overflow.
#![allow(unsafe_code)]

use crate::resolve::Type;
use libyaml_rs as c;
use squall_model::{Map, Special, Value, to_json};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

/// How the text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Spaces per level.
    pub indent: u8,
    /// Column after which long texts are folded.
    pub width: u16,
    /// Write characters beyond ASCII as they are, rather than escaped.
    pub unicode: bool,
    /// Escape characters beyond the basic plane all the same (emoji), as libyaml does, which PyYAML writes with.
    pub narrow: bool,
    /// Sort the keys of maps.
    pub sorted: bool,
}

impl Default for Layout {
    fn default() -> Layout {
        Layout { indent: 2, width: 80, unicode: true, narrow: false, sorted: false }
    }
}

/// The value as a YAML document in block style, ending with a newline.
///
/// ```
/// let value = squall_yaml::parse("{a: [1, 'yes'], b: {}}", &Default::default())?.root.to_value();
/// assert_eq!(squall_yaml::to_yaml(&value), "a:\n- 1\n- 'yes'\nb: {}\n");
/// # Ok::<(), squall_yaml::Error>(())
/// ```
pub fn to_yaml(value: &Value) -> String {
    to_yaml_with(value, Layout::default())
}

/// The same with a [`Layout`] of one's own.
pub fn to_yaml_with(value: &Value, layout: Layout) -> String {
    let mut out: Box<Vec<u8>> = Box::default();
    let mut emitter = Emitter::new(&mut out, layout);
    let mut pending = vec![Step::Value(value)];
    while let Some(step) = pending.pop() {
        emitter.step(step, layout.sorted, &mut pending);
    }
    let escaped = emitter.finish();
    let mut text = String::from_utf8(*out).unwrap_or_default();
    if !escaped.is_empty() {
        text = with_escapes(&text, escaped);
    }
    if is_scalar(value) && !text.starts_with(['\'', '"', '|', '>']) {
        // A plain scalar alone could go on in the next line, so PyYAML marks its end.
        text.push_str("...\n");
    }
    text
}

/// Stands for a character that is to be escaped: one that no text has and that the emitter escapes by itself.
const HIDDEN: char = '\u{FFFF}';

/// Puts the characters themselves in the places of the hidden ones.
fn with_escapes(text: &str, escaped: Vec<char>) -> String {
    let mut pieces = text.split("\\uFFFF");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    let mut escaped = escaped.into_iter();
    for piece in pieces {
        match escaped.next() {
            Some(c) => out.push_str(&format!("\\U{:08X}", u32::from(c))),
            None => out.push_str("\\uFFFF"),
        }
        out.push_str(piece);
    }
    out
}

fn is_scalar(value: &Value) -> bool {
    match value {
        Value::List(_) | Value::Map(_) => false,
        Value::Special(special) => !matches!(**special, Special::Set(_) | Special::Dict(_)),
        _ => true,
    }
}

/// What is still to be written, last first.
enum Step<'a> {
    Value(&'a Value),
    Key(&'a str),
    EndSeq,
    EndMap,
}

struct Emitter<'a> {
    raw: *mut c::yaml_emitter_t,
    narrow: bool,
    /// The characters that were hidden, in their order.
    escaped: Vec<char>,
    out: std::marker::PhantomData<&'a mut Vec<u8>>,
}

/// Appends what the emitter flushes.
///
/// # Safety
/// `data` is the vector given to the emitter; `buffer` holds `size` bytes.
unsafe fn append(data: *mut c_void, buffer: *mut u8, size: u64) -> i32 {
    // SAFETY: as promised by the caller, which is the emitter set up in `Emitter::new`.
    unsafe {
        let out: &mut Vec<u8> = &mut *data.cast::<Vec<u8>>();
        out.extend_from_slice(std::slice::from_raw_parts(buffer, size as usize));
    }
    1
}

impl<'a> Emitter<'a> {
    fn new(out: &'a mut Vec<u8>, layout: Layout) -> Emitter<'a> {
        let raw = Box::into_raw(Box::new(MaybeUninit::<c::yaml_emitter_t>::zeroed())).cast::<c::yaml_emitter_t>();
        // SAFETY: a fresh allocation that stays at its address until `drop`; `out` is borrowed for `'a`.
        unsafe {
            // Initialising only allocates; there is no other failure.
            let _ = c::yaml_emitter_initialize(raw);
            c::yaml_emitter_set_output(raw, append, std::ptr::from_mut(out).cast());
            c::yaml_emitter_set_indent(raw, i32::from(layout.indent));
            c::yaml_emitter_set_width(raw, i32::from(layout.width));
            c::yaml_emitter_set_unicode(raw, layout.unicode);
        }
        let mut emitter = Emitter {
            raw,
            narrow: layout.unicode && layout.narrow,
            escaped: Vec::new(),
            out: std::marker::PhantomData,
        };
        // SAFETY: each closure fills a zeroed event; null means "none" for directives.
        unsafe {
            emitter.emit(|event| c::yaml_stream_start_event_initialize(event, c::YAML_UTF8_ENCODING).ok);
            emitter.emit(|event| {
                c::yaml_document_start_event_initialize(event, null_mut(), null_mut(), null_mut(), true).ok
            });
        }
        emitter
    }

    /// Fills an event and hands it to the emitter, which then owns and frees it.
    ///
    /// # Safety
    /// `fill` initialises the event that it is given.
    unsafe fn emit(&mut self, fill: impl FnOnce(*mut c::yaml_event_t) -> bool) {
        let mut event = MaybeUninit::<c::yaml_event_t>::zeroed();
        // SAFETY: the emitter is initialised, and the event if `fill` says so. The order of events is right
        // by construction of `step`, so a refusal cannot come from there.
        unsafe {
            if fill(event.as_mut_ptr()) {
                let _ = c::yaml_emitter_emit(self.raw, event.as_mut_ptr());
            }
        }
    }

    fn step<'v>(&mut self, step: Step<'v>, sorted: bool, pending: &mut Vec<Step<'v>>) {
        match step {
            Step::Key(key) => self.text(key),
            // SAFETY: each closure fills the event.
            Step::EndSeq => unsafe { self.emit(|event| c::yaml_sequence_end_event_initialize(event).ok) },
            // SAFETY: as above.
            Step::EndMap => unsafe { self.emit(|event| c::yaml_mapping_end_event_initialize(event).ok) },
            Step::Value(value) => self.value(value, sorted, pending),
        }
    }

    fn value<'v>(&mut self, value: &'v Value, sorted: bool, pending: &mut Vec<Step<'v>>) {
        match value {
            Value::Null => self.plain("null"),
            Value::Bool(b) => self.plain(if *b { "true" } else { "false" }),
            Value::Int(n) => self.plain(&n.to_string()),
            Value::Big(n) => self.plain(&n.to_string()),
            Value::Float(x) => self.plain(&float(*x)),
            Value::Str(text) => self.text(text),
            Value::List(items) => self.seq(items, pending),
            Value::Map(map) => self.map(map, sorted, pending),
            Value::Special(special) => self.special(special, pending),
        }
    }

    fn special<'v>(&mut self, special: &'v Special, pending: &mut Vec<Step<'v>>) {
        match special {
            Special::Set(items) => self.seq(items, pending),
            Special::Dict(pairs) => {
                self.start_map();
                pending.push(Step::EndMap);
                for (key, value) in pairs.iter().rev() {
                    pending.extend([Step::Value(value), Step::Value(key)]);
                }
            }
            Special::DateTime { micros, offset_seconds } => self.plain(&date(*micros, *offset_seconds)),
            Special::Regex(text) => self.text(text),
            Special::Timespan(micros) => self.plain(&float(*micros as f64 / 1e6)),
            Special::Bytes(bytes) => self.text(&String::from_utf8_lossy(bytes)),
        }
    }

    fn seq<'v>(&mut self, items: &'v [Value], pending: &mut Vec<Step<'v>>) {
        let style = c::yaml_sequence_style_t::YAML_BLOCK_SEQUENCE_STYLE;
        // SAFETY: fills the event; no anchor and no tag.
        unsafe { self.emit(|event| c::yaml_sequence_start_event_initialize(event, null(), null(), true, style).ok) };
        pending.push(Step::EndSeq);
        pending.extend(items.iter().rev().map(Step::Value));
    }

    fn start_map(&mut self) {
        let style = c::yaml_mapping_style_t::YAML_BLOCK_MAPPING_STYLE;
        // SAFETY: fills the event; no anchor and no tag.
        unsafe { self.emit(|event| c::yaml_mapping_start_event_initialize(event, null(), null(), true, style).ok) };
    }

    fn map<'v>(&mut self, map: &'v Map, sorted: bool, pending: &mut Vec<Step<'v>>) {
        self.start_map();
        pending.push(Step::EndMap);
        let mut pairs: Vec<_> = map.iter().collect();
        if sorted {
            pairs.sort_by(|a, b| a.0.cmp(b.0));
        }
        for (key, value) in pairs.into_iter().rev() {
            pending.extend([Step::Value(value), Step::Key(key)]);
        }
    }

    fn plain(&mut self, text: &str) {
        self.scalar(text, true);
    }

    /// A text: quoted where a plain one would be read as something else.
    fn text(&mut self, text: &str) {
        self.scalar(text, Type::of_plain(text) == Type::Str);
    }

    fn scalar(&mut self, text: &str, plain: bool) {
        let is_wide = |c: char| u32::from(c) > 0xFFFF || c == HIDDEN;
        if self.narrow && text.contains(is_wide) {
            self.escaped.extend(text.chars().filter(|c| is_wide(*c)));
            let hidden = text.replace(is_wide, HIDDEN.encode_utf8(&mut [0; 4]));
            return self.write(&hidden, false);
        }
        self.write(text, plain);
    }

    fn write(&mut self, text: &str, plain: bool) {
        let style = c::yaml_scalar_style_t::YAML_ANY_SCALAR_STYLE;
        let len = i32::try_from(text.len()).unwrap_or(0);
        // SAFETY: pointer and length come from one text; the emitter copies it.
        unsafe {
            self.emit(|event| {
                c::yaml_scalar_event_initialize(event, null(), null(), text.as_ptr(), len, plain, true, style).ok
            });
        }
    }

    fn finish(mut self) -> Vec<char> {
        // SAFETY: each closure fills the event.
        unsafe {
            self.emit(|event| c::yaml_document_end_event_initialize(event, true).ok);
            self.emit(|event| c::yaml_stream_end_event_initialize(event).ok);
            let _ = c::yaml_emitter_flush(self.raw);
        }
        std::mem::take(&mut self.escaped)
    }
}

impl Drop for Emitter<'_> {
    fn drop(&mut self) {
        // SAFETY: made in `new` by `Box::into_raw`, deleted and freed exactly here.
        unsafe {
            c::yaml_emitter_delete(self.raw);
            drop(Box::from_raw(self.raw.cast::<MaybeUninit<c::yaml_emitter_t>>()));
        }
    }
}

/// A float that YAML 1.1 reads back as one: with a point, and a sign in the exponent.
fn float(x: f64) -> String {
    if x.is_nan() {
        return ".nan".to_string();
    }
    if x.is_infinite() {
        return if x > 0.0 { ".inf" } else { "-.inf" }.to_string();
    }
    let text = format!("{x:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}{point}e{sign}{digits:0>2}")
}

fn date(micros: i64, offset_seconds: i32) -> String {
    let zoned = jiff::Timestamp::from_microsecond(micros).ok().zip(jiff::tz::Offset::from_seconds(offset_seconds).ok());
    match zoned {
        Some((at, offset)) => at.to_zoned(offset.to_time_zone()).strftime("%Y-%m-%d %H:%M:%S%.f%:z").to_string(),
        None => to_json(&Value::Int(micros)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, parse};
    use proptest::prelude::*;

    fn check(yaml: &str, expected: &str) {
        let value = parse(yaml, &Options::default()).unwrap().root.to_value();
        assert_eq!(to_yaml(&value), expected, "{yaml}");
    }

    #[test]
    fn block_style_with_quotes_where_needed() {
        check(
            "{a: 'yes', b: '1', c: '', d: 'x: y', e: null, f: 1.5}",
            "a: 'yes'\nb: '1'\nc: ''\nd: 'x: y'\ne: null\nf: 1.5\n",
        );
        check("[[1, 2], {a: []}]", "- - 1\n  - 2\n- a: []\n");
        check(
            "{t: 2016-01-21T17:28:39Z, x: 1.0e+20, n: -.inf}",
            "t: 2016-01-21 17:28:39+00:00\nx: 1.0e+20\nn: -.inf\n",
        );
        check("a: \"two\\nlines\"", "a: 'two\n\n  lines'\n");
        check("yes", "true\n...\n");
        check("'yes'", "'yes'\n");
        check("{1: one, é: ü}", "1: one\né: ü\n");
    }

    #[test]
    fn depth_is_no_trouble() {
        let deep = (0..1_000).fold(Value::Null, |inner, _| Value::from(vec![inner]));
        assert!(to_yaml_with(&deep, Layout { indent: 2, ..Layout::default() }).ends_with("null\n"));
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e30..1e30_f64).prop_map(Value::from),
            "[ -~é☃\n\t]{0,30}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[ -~]{0,8}", inner), 0..5).prop_map(Value::from_pairs),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_the_same(value in anything()) {
            let text = to_yaml(&value);
            let read = parse(&text, &Options::default()).map(|doc| doc.root.to_value());
            prop_assert_eq!(read, Ok(value), "{}", text);
        }
    }
}
