//! YAML in and out: the one module that knows the YAML library.
//!
//! Reading is strict: duplicate keys are errors, only `true` and `false` are booleans, `0755` is text, and aliases cannot blow the document up.
//! [`parse_located`] is for files that operators write: every value knows its line and column, and duplicate keys are kept so that all of them can be named.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

/// Most values that one document may have, those of repeated aliases included.
const MAX_NODES: usize = 250_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// A stack that holds [`MAX_DEPTH`] levels of a build without optimization, whatever thread asks.
const STACK: usize = 16 * 1024 * 1024;

/// Why a text is not the YAML that was expected.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// For people; may quote the text.
    pub message: String,
    /// From 1; 0: unknown.
    pub line: usize,
    /// From 1; 0: unknown.
    pub column: usize,
}

/// A value that knows where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The value.
    pub content: Content,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Nothing, a boolean, a number or text.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file. A key that stands twice is here twice.
    Mapping(Vec<Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's line, from 1.
    pub line: usize,
    /// The key's column, from 1.
    pub column: usize,
    /// Its value.
    pub value: Node,
}

/// Reads one document.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::Error))
        .map_err(|error| yaml_error(&error))
}

/// Reads one document with the place of every value.
pub fn parse_located(text: &str) -> Result<Node, YamlError> {
    let read = || {
        serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::PassThrough))
            .map_err(|error| yaml_error(&error))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, read);
        thread
            .map_err(|error| error.to_string())
            .and_then(|thread| thread.join().map_err(|_| "the reader broke".to_owned()))
    })
    .unwrap_or_else(|message| {
        Err(YamlError {
            message,
            line: 0,
            column: 0,
        })
    })
}

/// Writes one document.
pub fn write(value: &impl Serialize) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError {
        message: error.to_string(),
        line: 0,
        column: 0,
    })
}

fn options(duplicate_keys: DuplicateKeyPolicy) -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
        duplicate_keys: duplicate_keys,
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_depth: MAX_DEPTH,
        },
    }
}

fn yaml_error(error: &serde_saphyr::Error) -> YamlError {
    use serde_saphyr::Error;
    let location = error.location();
    let mut cause = error.without_snippet();
    while let Error::AliasError { error, .. } = cause {
        cause = error;
    }
    let message = match cause {
        Error::MultipleDocuments { .. } => {
            "a second document starts here (after `---`), and one is expected".to_owned()
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => too_large(),
        other => match without_place(&other.to_string()) {
            message if message == "recursion limit exceeded" => too_large(),
            message => message,
        },
    };
    YamlError {
        message,
        line: location.map_or(0, |location| location.line() as usize),
        column: location.map_or(0, |location| location.column() as usize),
    }
}

fn too_large() -> String {
    format!(
        "the document is too large or nested too deeply: at most {MAX_NODES} values, repeated aliases included, and {MAX_DEPTH} levels"
    )
}

/// Takes the place off the end of a message: it is told apart.
fn without_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    match first.rfind(" at line ") {
        Some(end) => first[..end].to_owned(),
        None => first.to_owned(),
    }
}

impl Node {
    /// Returns the plain value; of a key that stands twice, the last.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::to_value).collect(),
            Content::Mapping(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_value()))
                .collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        // The place where an alias is used says more to its reader than the one where it was defined.
        let place = spanned.referenced;
        Ok(Self {
            line: place.line() as usize,
            column: place.column() as usize,
            content: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Content, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Content::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Node>()? {
            let value = access.next_value()?;
            entries.push(Entry {
                key: key_text(&key),
                line: key.line,
                column: key.column,
                value,
            });
        }
        Ok(Content::Mapping(entries))
    }
}

/// A key that is no text is kept as its JSON, so that whoever checks the keys can name it with its place.
fn key_text(key: &Node) -> String {
    match &key.content {
        Content::Scalar(Value::String(text)) => text.clone(),
        _ => key.to_value().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(node: &Node, path: &str, into: &mut Vec<String>) {
        into.push(format!("{path} {}:{}", node.line, node.column));
        match &node.content {
            Content::Scalar(_) => {}
            Content::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    places(item, &format!("{path}/{index}"), into);
                }
            }
            Content::Mapping(entries) => {
                for entry in entries {
                    into.push(format!(
                        "{path}/{} key {}:{}",
                        entry.key, entry.line, entry.column
                    ));
                    places(&entry.value, &format!("{path}/{}", entry.key), into);
                }
            }
        }
    }

    #[track_caller]
    fn refused(text: &str, line: usize, column: usize, message: &str) {
        let error = parse_located(text).unwrap_err();
        assert_eq!(
            (error.line, error.column, error.message.as_str()),
            (line, column, message),
            "{text}"
        );
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let node = parse_located(
            "\u{feff}a: 1\r\nb:\r\n  - {c: ü, d: yes}\r\n  - 0755\r\na: &x 2.5\r\n1: *x\r\n",
        )
        .unwrap();
        assert_eq!(
            node.to_value(),
            json!({"a": 2.5, "b": [{"c": "ü", "d": "yes"}, "0755"], "1": 2.5})
        );
        let mut found = Vec::new();
        places(&node, "", &mut found);
        assert_eq!(
            found,
            [
                " 1:1",
                "/a key 1:1",
                "/a 1:4",
                "/b key 2:1",
                "/b 3:3",
                "/b/0 3:5",
                "/b/0/c key 3:6",
                "/b/0/c 3:9",
                "/b/0/d key 3:12",
                "/b/0/d 3:15",
                "/b/1 4:5",
                "/a key 5:1",
                "/a 5:7",
                "/1 key 6:1",
                "/1 6:4",
            ]
        );
    }

    #[test]
    fn what_is_not_one_document_is_refused_with_its_place() {
        refused(
            "a: 1\n---\nb: 2\n",
            3,
            1,
            "a second document starts here (after `---`), and one is expected",
        );
        refused(
            "a: [1, 2\nb: 3\n",
            2,
            2,
            "illegal placement of ':' indicator",
        );
        refused(
            "a:\n\t- 1\n",
            2,
            2,
            "tabs disallowed within this context (block indentation)",
        );
        refused("a: *x\n", 1, 4, "alias references unknown anchor");
        refused(
            "a: b: c\n",
            1,
            5,
            "mapping values are not allowed in this context",
        );
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        for text in [
            bomb,
            "[".repeat(50_000),
            format!("a: {}", "{b: ".repeat(300)),
        ] {
            let error = parse_located(&text).unwrap_err();
            assert!(
                error
                    .message
                    .starts_with("the document is too large or nested too deeply"),
                "{}",
                error.message
            );
        }
    }

    #[test]
    fn what_is_written_is_read_back_as_the_same() {
        let value = json!({"a": "yes", "b": "0755", "c": "1.10", "d": "x\ny\n", "e": [1, null, true, {}], "f": ["2026-02-12", "a: b", ""]});
        assert_eq!(parse::<Value>(&write(&value).unwrap()).unwrap(), value);
        assert_eq!(
            parse_located(&write(&value).unwrap()).unwrap().to_value(),
            value
        );
    }
}
