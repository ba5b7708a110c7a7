//! Which values of a section a schema marks: secrets (which the manifest can name as well), files and roles. Pure.

use serde_json::{Map, Value};
use ztc_protocol::Manifest;

use crate::platform::document::push;

/// How many references and alternatives of a schema are followed for one value.
const MOST_HOPS: usize = 8;

/// Returns the places in a section that hold secrets, by JSON Pointer. Where there is nothing, there is nothing to hide.
pub(crate) fn secrets(config: &Map<String, Value>, manifest: &Manifest) -> Vec<String> {
    let mut pointers = Vec::new();
    for input in manifest.secrets.iter().filter(|secret| {
        config
            .get(&secret.input)
            .is_some_and(|value| !value.is_null())
    }) {
        let mut pointer = String::new();
        push(&mut pointer, &input.input);
        pointers.push(pointer);
    }
    pointers.extend(marked(config, manifest, "x-ztc-secret"));
    pointers.sort();
    pointers.dedup();
    pointers
}

/// Returns the places in a section that its schema marks with a word, by JSON Pointer.
fn marked(config: &Map<String, Value>, manifest: &Manifest, word: &'static str) -> Vec<String> {
    let mut pointers = Vec::new();
    let marked = Marked {
        root: &manifest.config_schema,
        word,
    };
    for (key, value) in config {
        let mut pointer = String::new();
        push(&mut pointer, key);
        let schema = &manifest.config_schema;
        marked.property(schema, key, value, &pointer, 0, &mut pointers);
    }
    pointers.sort();
    pointers.dedup();
    pointers
}

/// Whether the schema marks the value of a key of the section as a secret.
pub(crate) fn is_secret(manifest: &Manifest, key: &str) -> bool {
    let mut section = Map::new();
    section.insert(key.to_owned(), Value::Object(Map::new()));
    !marked(&section, manifest, "x-ztc-secret").is_empty()
}

/// Returns the text at the places that the schema marks with a word, by JSON Pointer.
pub(crate) fn texts(
    config: &Map<String, Value>,
    manifest: &Manifest,
    word: &'static str,
) -> Vec<(String, String)> {
    let whole = Value::Object(config.clone());
    marked(config, manifest, word)
        .into_iter()
        .filter_map(|pointer| {
            let text = whole.pointer(&pointer)?.as_str()?.to_owned();
            Some((pointer, text))
        })
        .collect()
}

/// Finds values that a schema marks with a word, such as `x-ztc-secret`.
struct Marked<'a> {
    root: &'a Value,
    word: &'static str,
}

impl Marked<'_> {
    fn value(
        &self,
        schema: &Value,
        value: &Value,
        pointer: &str,
        hops: usize,
        found: &mut Vec<String>,
    ) {
        if schema.get(self.word) == Some(&Value::Bool(true)) {
            if !value.is_null() {
                found.push(pointer.to_owned());
            }
            return;
        }
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let mut pointer = pointer.to_owned();
                    push(&mut pointer, key);
                    self.property(schema, key, value, &pointer, 0, found);
                }
            }
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.value(schema, item, &format!("{pointer}/{index}"), 0, found);
                    }
                }
            }
            _ => {}
        }
        self.elsewhere(schema, hops, |marked, schema, hops| {
            marked.value(schema, value, pointer, hops, found);
        });
    }

    fn property(
        &self,
        schema: &Value,
        key: &str,
        value: &Value,
        pointer: &str,
        hops: usize,
        found: &mut Vec<String>,
    ) {
        let own = schema
            .get("properties")
            .and_then(|properties| properties.get(key));
        if let Some(schema) = own.or_else(|| schema.get("additionalProperties")) {
            self.value(schema, value, pointer, 0, found);
        }
        self.elsewhere(schema, hops, |marked, schema, hops| {
            marked.property(schema, key, value, pointer, hops, found);
        });
    }

    /// Goes on in what a schema refers to and in its alternatives.
    fn elsewhere(&self, schema: &Value, hops: usize, mut go: impl FnMut(&Self, &Value, usize)) {
        if hops == MOST_HOPS {
            return;
        }
        let target = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| self.root.pointer(target.strip_prefix('#')?));
        let alternatives = ["allOf", "anyOf", "oneOf"]
            .into_iter()
            .filter_map(|word| schema.get(word)?.as_array())
            .flatten();
        for schema in target.into_iter().chain(alternatives) {
            go(self, schema, hops + 1);
        }
    }
}
