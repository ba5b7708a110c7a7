//! YAML documents as trees in which every value knows its text and its place, and plain scalars mean what they mean to Talos' own reader.
//!
//! Knows nothing about machine configurations. Whatever the text is, it is read or refused; size and depth have limits.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag};
use serde_json::Value;

use super::finding::Place;
use super::layout;

/// Most values of all documents together, those of repeated aliases included.
const MAX_NODES: usize = 250_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 100;

/// Why a text is no YAML.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unreadable {
    pub(crate) message: String,
    pub(crate) place: Place,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) content: Content,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; a key that stands twice is here twice.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
    pub(crate) merge: Merge,
}

/// Whether a key takes over the entries of another mapping (`<<` without quotes).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Merge {
    No,
    /// Those of the mapping that stands there.
    Written,
    /// Those of the mapping that an alias stands for.
    Alias,
}

/// A scalar: its text, and what the text means where no type is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) meaning: Meaning,
}

/// What a scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    Null,
    Bool(bool),
    Integer(i128),
    Float,
    Text,
}

impl Scalar {
    /// What it means where `true` or `false` is asked for: the words of YAML 1.1 too.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match (self.meaning, self.text.as_str()) {
            (Meaning::Bool(value), _) => Some(value),
            (Meaning::Text, "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON") => Some(true),
            (Meaning::Text, "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF") => Some(false),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        self.text.replace('_', "").parse().ok()
    }

    pub(crate) fn has_fraction(&self) -> bool {
        self.number().is_some_and(|number| number.fract() != 0.0)
    }

    /// The number without its fraction, which is what Talos takes where it wants a whole one.
    pub(crate) fn truncated(&self) -> Option<i128> {
        match self.meaning {
            Meaning::Integer(number) => Some(number),
            Meaning::Float => format!("{:.0}", self.number()?.trunc()).parse().ok(),
            _ => None,
        }
    }
}

impl Node {
    /// The value of a key; of a key that stands twice, the last.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().rev().find(|entry| entry.key == key),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.meaning == Meaning::Null)
    }

    /// Makes a tree of a plain value; nothing in it has a place.
    pub(crate) fn from_value(value: &Value) -> Self {
        let scalar = |text: String, meaning| Content::Scalar(Scalar { text, meaning });
        let content = match value {
            Value::Null => scalar(String::new(), Meaning::Null),
            Value::Bool(value) => scalar(value.to_string(), Meaning::Bool(*value)),
            Value::Number(number) => {
                let text = number.to_string();
                let meaning = meaning(&text);
                scalar(text, meaning)
            }
            Value::String(text) => scalar(text.clone(), Meaning::Text),
            Value::Array(items) => Content::List(items.iter().map(Self::from_value).collect()),
            Value::Object(map) => Content::Mapping(
                map.iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        place: Place::default(),
                        value: Self::from_value(value),
                        merge: Merge::No,
                    })
                    .collect(),
            ),
        };
        Self {
            place: Place::default(),
            content,
        }
    }

    fn size(&self) -> usize {
        1 + match &self.content {
            Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(Self::size).sum(),
            Content::Mapping(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
        }
    }
}

/// Reads all documents of a text.
pub(crate) fn read(text: &str) -> Result<Vec<Node>, Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Breaks of lines in YAML 1.1, which Talos reads.
    let text = &text.replace(['\u{85}', '\u{2028}', '\u{2029}'], "\n");
    layout::directives(text)?;
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Unreadable {
            message: first_line(&error.to_string()),
            place: place(error.marker().line(), error.marker().col()),
        })?;
        builder.take(event, span)?;
    }
    layout::tabs(text, &builder.long)?;
    Ok(builder.documents)
}

/// A list or mapping that is not complete.
struct Open {
    node: Node,
    /// The key that waits for its value.
    key: Option<Key>,
    anchor: usize,
}

struct Key {
    text: String,
    place: Place,
    merge: Merge,
}

#[derive(Default)]
struct Builder {
    /// The lines, first and last, of scalars of several lines, and of what stands in brackets or braces.
    long: Vec<(usize, usize)>,
    /// The outermost brackets or braces that are open: how deep they stand, and their first line.
    flow: Option<(usize, usize)>,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let place = place(span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if span.end.line() > span.start.line() {
                    self.long.push((span.start.line(), span.end.line()));
                }
                let plain_merge = style == ScalarStyle::Plain && text == "<<";
                let scalar = scalar(text.into_owned(), style, tag.as_deref());
                self.count(1, place)?;
                self.add(
                    Node {
                        place,
                        content: Content::Scalar(scalar),
                    },
                    anchor,
                    if plain_merge {
                        Merge::Written
                    } else {
                        Merge::No
                    },
                )
            }
            Event::SequenceStart(style, anchor, _) => {
                self.flow_begins(style, place);
                self.begin(Content::List(Vec::new()), anchor, place)
            }
            Event::MappingStart(style, anchor, _) => {
                self.flow_begins(style, place);
                self.begin(Content::Mapping(Vec::new()), anchor, place)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) if self.flow.is_some_and(|(depth, _)| depth == self.open.len()) => {
                    let first = self.flow.take().map_or(place.line, |(_, line)| line);
                    self.long.push((first, place.line));
                    self.add(open.node, open.anchor, Merge::No)
                }
                Some(open) => self.add(open.node, open.anchor, Merge::No),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(refuse(
                        "an alias stands inside of what it stands for",
                        place,
                    ));
                };
                let (mut node, size) = (node.clone(), *size);
                node.place = place;
                self.count(size, place)?;
                self.add(node, 0, Merge::Alias)
            }
            Event::DocumentStart(explicit, _) if !explicit && !self.documents.is_empty() => Err(
                refuse("a further document begins without `---` before it", place),
            ),
            _ => Ok(()),
        }
    }

    fn flow_begins(&mut self, style: StructureStyle, place: Place) {
        if style == StructureStyle::Flow && self.flow.is_none() {
            self.flow = Some((self.open.len(), place.line));
        }
    }

    fn begin(&mut self, content: Content, anchor: usize, place: Place) -> Result<(), Unreadable> {
        self.count(1, place)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(refuse(&too_deep(), place));
        }
        self.open.push(Open {
            node: Node { place, content },
            key: None,
            anchor,
        });
        Ok(())
    }

    /// Puts a complete value where it belongs; `how` says whether it is `<<`, or came by an alias.
    fn add(&mut self, node: Node, anchor: usize, how: Merge) -> Result<(), Unreadable> {
        if anchor != 0 {
            let size = node.size();
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match (&mut open.node.content, open.key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Mapping(entries), Some(key)) => {
                if key.merge != Merge::No && !can_be_merged(&node) {
                    return Err(refuse(
                        "`<<` takes a mapping, or a list of mappings",
                        node.place,
                    ));
                }
                let merge = match key.merge {
                    Merge::Written if how == Merge::Alias => Merge::Alias,
                    merge => merge,
                };
                entries.push(Entry {
                    key: key.text,
                    place: key.place,
                    value: node,
                    merge,
                });
            }
            (Content::Mapping(_), None) => match node.content {
                Content::Scalar(scalar) => {
                    open.key = Some(Key {
                        text: scalar.text,
                        place: node.place,
                        merge: if how == Merge::Written {
                            how
                        } else {
                            Merge::No
                        },
                    });
                }
                _ => return Err(refuse("a key must be a single value", node.place)),
            },
            (Content::Scalar(_), _) => {}
        }
        Ok(())
    }

    fn count(&mut self, more: usize, place: Place) -> Result<(), Unreadable> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            let message =
                format!("there are more than {MAX_NODES} values, repeated aliases included");
            return Err(refuse(&message, place));
        }
        Ok(())
    }
}

fn can_be_merged(node: &Node) -> bool {
    let is_mapping = |node: &Node| matches!(node.content, Content::Mapping(_));
    match &node.content {
        Content::List(items) => items.iter().all(is_mapping),
        _ => is_mapping(node),
    }
}

fn refuse(message: &str, place: Place) -> Unreadable {
    Unreadable {
        message: message.to_owned(),
        place,
    }
}

fn place(line: usize, column: usize) -> Place {
    Place {
        line,
        column: column + 1,
    }
}

/// The parser's messages end with the place, which is told apart.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = [" at byte ", " at line ", " at char "]
        .iter()
        .filter_map(|words| line.rfind(words))
        .min();
    match &line[..end.unwrap_or(line.len())] {
        "recursion limit exceeded" => too_deep(),
        message => message.to_owned(),
    }
}

fn too_deep() -> String {
    format!("the document is nested deeper than {MAX_DEPTH} levels")
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Scalar {
    let meaning = match tag.and_then(Tag::core_suffix) {
        Some("str") => Meaning::Text,
        None if style != ScalarStyle::Plain || tag.is_some() => Meaning::Text,
        _ => meaning(&text),
    };
    Scalar { text, meaning }
}

/// What a plain scalar means: the core schema of YAML 1.2, with the octal and binary numbers and the underscores of 1.1.
fn meaning(text: &str) -> Meaning {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "true" | "True" | "TRUE" => return Meaning::Bool(true),
        "false" | "False" | "FALSE" => return Meaning::Bool(false),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Meaning::Text;
    }
    let plain = text.replace('_', "");
    if let Some(number) = integer(&plain) {
        return Meaning::Integer(number);
    }
    let special = plain.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let looks_like_a_float = plain
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    if special == ".inf" || special == ".nan" || looks_like_a_float && plain.parse::<f64>().is_ok()
    {
        Meaning::Float
    } else {
        Meaning::Text
    }
}

fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let radix = |prefix: [&str; 2], radix| {
        let digits = prefix
            .iter()
            .find_map(|prefix| digits.strip_prefix(*prefix))?;
        unsigned(digits, radix)
    };
    let octal = || {
        digits
            .strip_prefix('0')
            .filter(|rest| !rest.is_empty())
            .and_then(|rest| unsigned(rest, 8))
    };
    let number = radix(["0x", "0X"], 16)
        .or_else(|| radix(["0o", "0O"], 8))
        .or_else(|| radix(["0b", "0B"], 2))
        .or_else(octal)
        .or_else(|| {
            (!digits.starts_with('0') || digits == "0")
                .then(|| unsigned(digits, 10))
                .flatten()
        })?;
    Some(sign * number)
}

fn unsigned(digits: &str, radix: u32) -> Option<i128> {
    digits
        .chars()
        .all(|c| c.is_digit(radix))
        .then(|| i128::from_str_radix(digits, radix).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_they_mean_to_talos() {
        for (text, expected) in [
            ("~", Meaning::Null),
            ("True", Meaning::Bool(true)),
            ("yes", Meaning::Text),
            ("0644", Meaning::Integer(0o644)),
            ("0o644", Meaning::Integer(0o644)),
            ("0x1F", Meaning::Integer(31)),
            ("0b11", Meaning::Integer(3)),
            ("-1_000", Meaning::Integer(-1000)),
            ("0999", Meaning::Float),
            ("1.5", Meaning::Float),
            ("-.inf", Meaning::Float),
            ("10.0.0.0", Meaning::Text),
            ("1s", Meaning::Text),
            ("-", Meaning::Text),
        ] {
            assert_eq!(meaning(text), expected, "{text}");
        }
    }

    #[test]
    fn places_quotes_tags_and_aliases_are_kept() {
        let documents = read("a: &x {b: '1', c: !!str 2}\nd: *x\n---\n- 1\n")
            .unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(documents.len(), 2);
        let entry = documents[0].get("d").unwrap();
        assert_eq!((entry.place.line, entry.place.column), (2, 1));
        assert_eq!(entry.value.place, Place { line: 2, column: 4 });
        for key in ["b", "c"] {
            let inner = &entry.value.get(key).unwrap().value;
            assert!(
                matches!(&inner.content, Content::Scalar(scalar) if scalar.meaning == Meaning::Text)
            );
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..8 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        let error = read(&text).unwrap_err();
        assert_eq!(
            error.message,
            "there are more than 250000 values, repeated aliases included"
        );
        for deep in ["[", "- ", "{a: "] {
            let error = read(&deep.repeat(3000)).unwrap_err();
            assert_eq!(
                (error.message.as_str(), error.place.line),
                ("the document is nested deeper than 100 levels", 1)
            );
        }
    }
}
