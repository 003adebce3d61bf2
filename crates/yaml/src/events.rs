//! The scanner: a text becomes a row of events with their places.
//!
//! One of the two files that may be `unsafe`: libyaml-rs keeps the C interface of the library that it
//! translates. Everything that leaves this file is owned and safe. Invariant: the parser lives behind one
//! raw pointer from [`Events::new`] to `drop`, and the text outlives it by the lifetime `'a`.
#![allow(unsafe_code)]

use libyaml_rs as c;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// A place as the scanner counts, from 0: bytes, lines, and characters of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) index: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RawStyle {
    Plain,
    Single,
    Double,
    Literal,
    Folded,
}

/// What is said before the content of a node.
#[derive(Debug, Default)]
pub(crate) struct Props {
    pub(crate) anchor: Option<String>,
    pub(crate) tag: Option<String>,
}

#[derive(Debug)]
pub(crate) enum What {
    StreamStart,
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(String),
    Scalar { props: Props, text: String, style: RawStyle, plain: bool, quoted: bool },
    SeqStart { props: Props },
    SeqEnd,
    MapStart { props: Props, flow: bool },
    MapEnd,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) start: At,
    pub(crate) end: At,
}

/// Why the scanner stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) context: Option<(String, At)>,
    pub(crate) problem: String,
    pub(crate) at: At,
    /// For unacceptable characters: the byte offset and the character, instead of `at`.
    pub(crate) byte: Option<(usize, i32)>,
}

/// A running scanner.
pub(crate) struct Events<'a> {
    parser: *mut c::yaml_parser_t,
    text: PhantomData<&'a str>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(text: &'a str) -> Events<'a> {
        let parser = Box::into_raw(Box::new(MaybeUninit::<c::yaml_parser_t>::zeroed())).cast::<c::yaml_parser_t>();
        // SAFETY: `parser` is a fresh allocation of the right size that nobody else points to; it stays at
        // this address until `drop`, as the parser keeps a pointer to itself. The text is borrowed for `'a`.
        unsafe {
            // Initialising only allocates, and allocation failure aborts; there is no other failure.
            let _ = c::yaml_parser_initialize(parser);
            c::yaml_parser_set_encoding(parser, c::YAML_UTF8_ENCODING);
            c::yaml_parser_set_input_string(parser, text.as_ptr(), text.len() as u64);
        }
        Events { parser, text: PhantomData }
    }

    pub(crate) fn next(&mut self) -> Result<Event, Stopped> {
        let mut event = MaybeUninit::<c::yaml_event_t>::zeroed();
        // SAFETY: the parser was initialised in `new`; a zeroed event is a valid out-parameter, and it is
        // valid to read and to delete after success. Its strings are copied before they are freed.
        unsafe {
            if c::yaml_parser_parse(self.parser, event.as_mut_ptr()).fail {
                return Err(self.stopped());
            }
            let event = event.as_mut_ptr();
            let copied = Event { what: what(&*event), start: at((*event).start_mark), end: at((*event).end_mark) };
            c::yaml_event_delete(event);
            Ok(copied)
        }
    }

    fn stopped(&self) -> Stopped {
        // SAFETY: the parser is initialised; its problem and context are null or static C strings.
        unsafe {
            let parser = &*self.parser;
            let problem = text_at(parser.problem.cast()).unwrap_or_else(|| "the text cannot be scanned".to_string());
            let reader = matches!(parser.error, c::yaml_error_type_t::YAML_READER_ERROR);
            Stopped {
                context: text_at(parser.context.cast()).map(|context| (context, at(parser.context_mark))),
                problem,
                at: at(parser.problem_mark),
                byte: reader.then_some((parser.problem_offset as usize, parser.problem_value)),
            }
        }
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        // SAFETY: made in `new` by `Box::into_raw`, deleted and freed exactly here.
        unsafe {
            c::yaml_parser_delete(self.parser);
            drop(Box::from_raw(self.parser.cast::<MaybeUninit<c::yaml_parser_t>>()));
        }
    }
}

fn at(mark: c::yaml_mark_t) -> At {
    At { index: mark.index as usize, line: mark.line as usize, column: mark.column as usize }
}

/// Copies a C string; null is nothing.
///
/// # Safety
/// `pointer` is null or points to bytes that end with a zero.
unsafe fn text_at(pointer: *const u8) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, and ended by a zero as the caller promises.
    Some(unsafe { CStr::from_ptr(pointer.cast()) }.to_string_lossy().into_owned())
}

/// Copies an event.
///
/// # Safety
/// `event` was filled by the parser and not yet deleted.
unsafe fn what(event: &c::yaml_event_t) -> What {
    // SAFETY: the type says which member of the union is set; its pointers are null or C strings, except
    // the value of a scalar, which has its length beside it.
    unsafe {
        match event.type_ {
            c::YAML_ALIAS_EVENT => What::Alias(text_at(event.data.alias.anchor).unwrap_or_default()),
            c::YAML_SCALAR_EVENT => {
                let scalar = &event.data.scalar;
                let bytes = std::slice::from_raw_parts(scalar.value, scalar.length as usize);
                What::Scalar {
                    props: Props { anchor: text_at(scalar.anchor), tag: text_at(scalar.tag) },
                    text: String::from_utf8_lossy(bytes).into_owned(),
                    style: style(scalar.style),
                    plain: scalar.plain_implicit,
                    quoted: scalar.quoted_implicit,
                }
            }
            c::YAML_SEQUENCE_START_EVENT => {
                let seq = &event.data.sequence_start;
                What::SeqStart { props: Props { anchor: text_at(seq.anchor), tag: text_at(seq.tag) } }
            }
            c::YAML_MAPPING_START_EVENT => {
                let map = &event.data.mapping_start;
                let flow = matches!(map.style, c::yaml_mapping_style_t::YAML_FLOW_MAPPING_STYLE);
                What::MapStart { props: Props { anchor: text_at(map.anchor), tag: text_at(map.tag) }, flow }
            }
            c::YAML_SEQUENCE_END_EVENT => What::SeqEnd,
            c::YAML_MAPPING_END_EVENT => What::MapEnd,
            c::YAML_DOCUMENT_START_EVENT => What::DocumentStart,
            c::YAML_DOCUMENT_END_EVENT => What::DocumentEnd,
            c::YAML_STREAM_START_EVENT => What::StreamStart,
            // Nothing follows the end of the stream; the parser then keeps saying "no event".
            _ => What::StreamEnd,
        }
    }
}

fn style(style: c::yaml_scalar_style_t) -> RawStyle {
    match style {
        c::yaml_scalar_style_t::YAML_SINGLE_QUOTED_SCALAR_STYLE => RawStyle::Single,
        c::yaml_scalar_style_t::YAML_DOUBLE_QUOTED_SCALAR_STYLE => RawStyle::Double,
        c::yaml_scalar_style_t::YAML_LITERAL_SCALAR_STYLE => RawStyle::Literal,
        c::yaml_scalar_style_t::YAML_FOLDED_SCALAR_STYLE => RawStyle::Folded,
        _ => RawStyle::Plain,
    }
}
