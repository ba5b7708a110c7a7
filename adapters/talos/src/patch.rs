//! The documents of a patch, however it is written: a mapping, a list of mappings, a text of YAML, or a file. Judges only their form.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};
use ztc_adapter_sdk::protocol::message::InputFile;
use ztc_adapter_sdk::{AdapterError, file_text};

use crate::config::{Config, Patch};
use crate::machine::{Place, Places};
use crate::problem::Problem;
use crate::yaml;

/// One document of a patch.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) content: Map<String, Value>,
    /// Where it begins, as a JSON Pointer into the section.
    place: String,
    /// Whether its keys are keys of the section too, so that a place within it can be named.
    is_open: bool,
    /// What names the place of something within it in a message, where the section's own places do not.
    text: Option<Text>,
}

/// A text that documents were read from.
#[derive(Debug)]
struct Text {
    /// The file; nothing where the text stands in the section.
    file: Option<String>,
    places: Rc<Option<Places>>,
    /// The document's number among those of the text, from 0.
    index: usize,
}

impl Text {
    /// Names a place in it: file, line and column.
    fn name(&self, below: &str) -> String {
        let found = self.places.as_ref().as_ref();
        match found.and_then(|places| places.find(self.index, below)) {
            Some(Place { line, column }) if line > 0 => match &self.file {
                Some(file) => format!("{file}:{line}:{column}: "),
                None => format!("line {line}, column {column} of the text: "),
            },
            _ => format!("document {}: ", self.index + 1),
        }
    }
}

impl Document {
    /// The place of something within it.
    pub(crate) fn at(&self, below: &str) -> String {
        if self.is_open {
            format!("{}{below}", self.place)
        } else {
            self.place.clone()
        }
    }

    /// A message about something within it with the path there, where that is not part of `at`.
    pub(crate) fn name(&self, below: &str, message: &str) -> String {
        let path = below.split('/').skip(1).collect::<Vec<_>>().join(".");
        if self.is_open || path.is_empty() {
            return self.say(below, message);
        }
        let path = path.replace("~1", "/").replace("~0", "~");
        self.say(below, &format!("`{path}`: {message}"))
    }

    /// A message about something within it, which says where that is if `at` cannot.
    pub(crate) fn say(&self, below: &str, message: &str) -> String {
        let place = self.text.as_ref().map(|text| text.name(below));
        format!("{}{message}", place.unwrap_or_default())
    }
}

/// Puts the texts of files in the place of their names, so that a section holds everything. A file that was not handed over is left: the host
/// says why.
pub(crate) fn take_files(
    config: &mut Config,
    files: &BTreeMap<String, InputFile>,
) -> Result<(), AdapterError> {
    for patch in &mut config.patches {
        if let Some(file) = patch.file.as_ref().filter(|file| files.contains_key(*file))
            && patch.patch.is_null()
        {
            patch.patch = file_text(files, file)?.into();
        }
    }
    Ok(())
}

/// Reads the documents of the patch with this index; a finding with its place where it has none.
pub(crate) fn documents(patch: &Patch, index: usize) -> Result<Vec<Document>, (String, Problem)> {
    let written = match &patch.file {
        Some(_) => format!("/patches/{index}/file"),
        None => format!("/patches/{index}/patch"),
    };
    let wrong = |message: String, help: &str| Err((written.clone(), Problem::new(message, help)));
    let values = match &patch.patch {
        Value::Object(_) => vec![patch.patch.clone()],
        Value::Array(items) => items.clone(),
        Value::String(text) => match yaml::parse_all(text) {
            Ok(values) => values
                .into_iter()
                .filter(|value| !value.is_null())
                .collect(),
            Err(why) => {
                return wrong(
                    match &patch.file {
                        Some(file) => format!("`{file}` is not YAML: {why}"),
                        None => format!("it is not YAML: {why}"),
                    },
                    "write it as a patch of Talos: documents with `---` between them",
                );
            }
        },
        _ => Vec::new(),
    };
    if values.iter().any(|value| value.get("op").is_some()) {
        return wrong(
            "it is a JSON patch, and only strategic merge patches are known".into(),
            "write what changes as a part of the machine configuration, such as `machine: {sysctls: {...}}`",
        );
    }
    let mut found = Vec::with_capacity(values.len());
    let places = Rc::new(patch.patch.as_str().and_then(Places::read));
    for (number, value) in values.into_iter().enumerate() {
        let Value::Object(content) = value else {
            return wrong(
                "it is neither a mapping nor several".into(),
                "say what to change, such as `machine: {sysctls: {...}}`",
            );
        };
        let is_text = patch.patch.is_string();
        let in_list = patch.patch.is_array();
        found.push(Document {
            content,
            place: if in_list {
                format!("{written}/{number}")
            } else {
                written.clone()
            },
            is_open: !is_text,
            text: is_text.then(|| Text {
                file: patch.file.clone(),
                places: places.clone(),
                index: number,
            }),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(patch: Value) -> Result<Vec<(Value, String)>, String> {
        let patch: Patch = serde_json::from_value(json!({ "patch": patch })).unwrap();
        match documents(&patch, 3) {
            Ok(documents) => Ok(documents
                .into_iter()
                .map(|document| {
                    let place = document.at("/machine");
                    let place = document.say("/machine", &place);
                    (document.content.into(), place)
                })
                .collect()),
            Err((place, problem)) => Err(format!("{place}: {}", problem.message)),
        }
    }

    #[test]
    fn a_patch_is_a_mapping_a_list_or_a_text() {
        let one = json!({"machine": {"a": 1}});
        let two = json!({"apiVersion": "v1alpha1", "kind": "X"});
        assert_eq!(
            read(one.clone()),
            Ok(vec![(one.clone(), "/patches/3/patch/machine".into())])
        );
        assert_eq!(
            read(json!([one, two])),
            Ok(vec![
                (one.clone(), "/patches/3/patch/0/machine".into()),
                (two.clone(), "/patches/3/patch/1/machine".into())
            ])
        );
        assert_eq!(
            read(json!(
                "---\nmachine: {a: 1}\n---\napiVersion: v1alpha1\nkind: X\n"
            )),
            Ok(vec![
                (one, "line 2, column 1 of the text: /patches/3/patch".into()),
                (two, "line 4, column 1 of the text: /patches/3/patch".into())
            ])
        );
        assert_eq!(read(json!("# nothing\n")), Ok(vec![]));
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for (patch, message) in [
            (
                json!([{"op": "add", "path": "/a"}]),
                "it is a JSON patch, and only strategic merge patches are known",
            ),
            (json!("text"), "it is neither a mapping nor several"),
            (json!([1]), "it is neither a mapping nor several"),
        ] {
            assert_eq!(read(patch), Err(format!("/patches/3/patch: {message}")));
        }
        assert!(
            read(json!("a: ["))
                .unwrap_err()
                .starts_with("/patches/3/patch: it is not YAML: "),
        );
    }

    #[test]
    fn a_file_stands_for_its_text() {
        let mut config: Config = serde_json::from_value(json!({
            "cluster_name": "demo", "cluster_endpoint": "https://203.0.113.10:6443",
            "nodes": [{"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"}],
            "patches": [{"file": "a.yaml"}, {"file": "b.yaml"}],
        }))
        .unwrap();
        let file = InputFile {
            content: "machine: {}\n".into(),
            ..InputFile::default()
        };
        take_files(&mut config, &[("a.yaml".to_owned(), file)].into()).unwrap();
        let found = documents(&config.patches[0], 0).unwrap();
        assert_eq!(found[0].at("/machine"), "/patches/0/file");
        assert_eq!(
            found[0].name("/machine/a", "no"),
            "a.yaml:1:1: `machine.a`: no"
        );
        assert!(config.patches[1].patch.is_null());
    }
}
