//! A YAML document as a plain value beside the places of its values and keys; merging of an overlay. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Finding, Location};
use crate::foreign::{acting, block, printable};
use crate::platform::words::short;
use crate::yaml::{Content, Entry, Node};

/// A document that knows where everything stands, by JSON Pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// The whole of it.
    pub(crate) value: Value,
    /// Where to point at for a value: a mapping or list at its key, anything else at itself.
    pub(crate) values: BTreeMap<String, Location>,
    /// Where a key of a mapping stands.
    pub(crate) keys: BTreeMap<String, Location>,
}

impl Document {
    /// Takes a document in; keys that stand twice become findings.
    pub(crate) fn new(file: &str, node: &Node, findings: &mut Vec<Finding>) -> Self {
        let mut reader = Reader {
            file,
            values: BTreeMap::new(),
            keys: BTreeMap::new(),
            findings,
        };
        reader
            .values
            .insert(String::new(), reader.place(node.line, node.column));
        let value = reader.read(node, &mut String::new());
        let Reader { values, keys, .. } = reader;
        Self {
            value,
            values,
            keys,
        }
    }

    /// Lays another document over this one: mappings are merged, anything else is replaced.
    pub(crate) fn merge(&mut self, overlay: Self) {
        let Self {
            value,
            mut values,
            mut keys,
        } = overlay;
        let mut replaced = Vec::new();
        merge(&mut self.value, value, &mut String::new(), &mut replaced);
        for pointer in replaced {
            move_below(&mut self.values, &mut values, &pointer);
            move_below(&mut self.keys, &mut keys, &pointer);
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    values: BTreeMap<String, Location>,
    keys: BTreeMap<String, Location>,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn place(&self, line: usize, column: usize) -> Location {
        Location {
            file: self.file.to_owned(),
            line,
            column,
        }
    }

    fn read(&mut self, node: &Node, pointer: &mut String) -> Value {
        match &node.content {
            Content::Scalar(Value::String(text)) => {
                Value::String(self.refuse_acting(text, node.line, node.column))
            }
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.item(index, item, pointer))
                .collect(),
            Content::Mapping(entries) => {
                let mut object = Map::new();
                for entry in entries {
                    self.entry(entry, &mut object, pointer);
                }
                Value::Object(object)
            }
        }
    }

    /// What acts on a terminal is no configuration, and would act wherever it is shown. Returns the text as it may be shown.
    fn refuse_acting(&mut self, text: &str, line: usize, column: usize) -> String {
        match acting(text) {
            None => text.to_owned(),
            Some(c) => {
                let message = format!(
                    "`{}` has a character that is not for reading (U+{:04X})",
                    short(&printable(text)),
                    u32::from(c)
                );
                let finding = Finding::error(message).at(self.place(line, column));
                self.findings.push(finding.help("write it without"));
                block(text)
            }
        }
    }

    fn item(&mut self, index: usize, item: &Node, pointer: &mut String) -> Value {
        let parent = pointer.len();
        pointer.push_str(&format!("/{index}"));
        self.values
            .insert(pointer.clone(), self.place(item.line, item.column));
        let value = self.read(item, pointer);
        pointer.truncate(parent);
        value
    }

    fn entry(&mut self, entry: &Entry, object: &mut Map<String, Value>, pointer: &mut String) {
        let parent = pointer.len();
        let name = self.refuse_acting(&entry.key, entry.line, entry.column);
        push(pointer, &name);
        let key = self.place(entry.line, entry.column);
        if let Some(first) = self.keys.get(pointer.as_str()) {
            self.findings.push(
                Finding::error(format!("key `{name}` stands twice in the same mapping"))
                    .at(key.clone())
                    .help(format!("it stands at {first} already: keep one of them")),
            );
        }
        let place = match &entry.value.content {
            Content::Scalar(Value::Null) => key.clone(),
            Content::Scalar(_) => self.place(entry.value.line, entry.value.column),
            Content::List(_) | Content::Mapping(_) => key.clone(),
        };
        self.keys.insert(pointer.clone(), key);
        self.values.insert(pointer.clone(), place);
        let value = self.read(&entry.value, pointer);
        object.insert(name, value);
        pointer.truncate(parent);
    }
}

fn merge(base: &mut Value, overlay: Value, pointer: &mut String, replaced: &mut Vec<String>) {
    match (base, overlay) {
        (Value::Object(base), Value::Object(overlay)) => {
            for (key, value) in overlay {
                let parent = pointer.len();
                push(pointer, &key);
                match base.get_mut(&key) {
                    Some(known) => merge(known, value, pointer, replaced),
                    None => {
                        base.insert(key, value);
                        replaced.push(pointer.clone());
                    }
                }
                pointer.truncate(parent);
            }
        }
        (base, overlay) => {
            *base = overlay;
            replaced.push(pointer.clone());
        }
    }
}

/// Moves the places of a value and of all in it; those that stood there go.
fn move_below(
    to: &mut BTreeMap<String, Location>,
    from: &mut BTreeMap<String, Location>,
    pointer: &str,
) {
    take_below(to, pointer);
    to.extend(take_below(from, pointer));
}

fn take_below(
    places: &mut BTreeMap<String, Location>,
    pointer: &str,
) -> BTreeMap<String, Location> {
    // `0` follows `/`: what starts with the pointer and a `/` stands between these two.
    let mut taken = places.split_off(&format!("{pointer}/"));
    let mut rest = taken.split_off(&format!("{pointer}0"));
    places.append(&mut rest);
    taken.extend(places.remove_entry(pointer));
    taken
}

/// Appends a key to a JSON Pointer.
pub(crate) fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::yaml;

    fn document(file: &str, text: &str) -> (Document, Vec<Finding>) {
        let mut findings = Vec::new();
        let document = Document::new(file, &yaml::parse_located(text).unwrap(), &mut findings);
        (document, findings)
    }

    fn places(places: &BTreeMap<String, Location>) -> Vec<String> {
        places
            .iter()
            .map(|(pointer, place)| format!("{pointer} {place}"))
            .collect()
    }

    #[test]
    fn an_overlay_merges_mappings_and_replaces_all_else_with_its_places() {
        let (mut base, _) = document("base", "a: {b: 1, c: [1, 2], c-x: 5}\na-z: 3\n");
        let (overlay, _) = document("over", "a:\n  c: [9]\n  d~/: {e: 4}\n");
        base.merge(overlay);
        assert_eq!(
            base.value,
            json!({"a": {"b": 1, "c": [9], "c-x": 5, "d~/": {"e": 4}}, "a-z": 3})
        );
        assert_eq!(
            places(&base.values),
            [
                " base:1:1",
                "/a base:1:1",
                "/a-z base:2:6",
                "/a/b base:1:8",
                "/a/c over:2:3",
                "/a/c-x base:1:27",
                "/a/c/0 over:2:7",
                "/a/d~0~1 over:3:3",
                "/a/d~0~1/e over:3:12",
            ]
        );
        assert_eq!(
            places(&base.keys)[1..6],
            [
                "/a-z base:2:1",
                "/a/b base:1:5",
                "/a/c over:2:3",
                "/a/c-x base:1:22",
                "/a/d~0~1 over:3:3"
            ]
        );
    }

    #[test]
    fn every_key_that_stands_twice_is_found() {
        let (_, findings) = document("f", "a: 1\nb: {x: 1, x: 2}\na: 2\nc: [{y: 1}, {y: 1}]\n");
        let found: Vec<_> = findings
            .iter()
            .map(|finding| (finding.message.as_str(), finding.help.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "key `x` stands twice in the same mapping",
                    Some("it stands at f:2:5 already: keep one of them")
                ),
                (
                    "key `a` stands twice in the same mapping",
                    Some("it stands at f:1:1 already: keep one of them")
                ),
            ]
        );
        assert_eq!(
            findings[1].location,
            Some(Location {
                file: "f".into(),
                line: 3,
                column: 1
            })
        );
    }
}
