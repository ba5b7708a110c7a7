//! Patches before they are merged: what would make any machine configuration wrong, and where in the patch a finding comes from.

use serde_json::{Map, Value, json};

use super::at::At;
use super::decode::{self, Reading, Shape};
use super::document::Node;
use super::finding::{Finding, Findings};
use super::kinds::{FieldsId, kinds};
use super::{Mode, Options, kind_help, rules};
use crate::config::Role;
use crate::merge::{Documents, is_further};

/// Checks a document of a patch for machines of a role. A further document is read strictly; a part is also merged into a small good
/// configuration, so that the rules between fields can speak. Each finding comes with its place in the document, as a JSON Pointer.
pub(crate) fn check_patch(patch: &Map<String, Value>, role: Role) -> Vec<(String, Finding)> {
    let mut findings = Findings {
        document: 1,
        ..Findings::default()
    };
    let whole = Value::Object(patch.clone());
    let node = Node::from_value(&whole);
    let shape = if is_further(patch) {
        document(&node, &At::root(&node), &mut findings);
        Shape::Broken
    } else {
        decode::read(&node, configuration(), Reading::Patch, &mut findings)
    };
    let placed = |finding: Finding| (pointer(&finding.path), finding);
    let mut found: Vec<_> = findings.all.into_iter().map(placed).collect();
    if shape == Shape::Sound {
        let caused = |finding: Finding| Some((in_patch(&finding.path, &whole)?, finding));
        found.extend(merged(patch, role).into_iter().filter_map(caused));
    }
    found
}

fn configuration() -> FieldsId {
    let kind = kinds().find("");
    kind.expect("the table has it").fields
}

/// What the rules say of a small configuration with the patch.
fn merged(patch: &Map<String, Value>, role: Role) -> Vec<Finding> {
    let mut documents = Documents {
        main: small(role),
        further: Vec::new(),
    };
    // What a patch deletes need not be there.
    if documents.merge(patch).is_err() {
        return Vec::new();
    }
    let node = Node::from_value(&Value::Object(documents.main));
    let mut findings = Findings {
        document: 1,
        ..Findings::default()
    };
    let shape = decode::read(
        &node,
        configuration(),
        Reading::Configuration,
        &mut findings,
    );
    findings.all.clear();
    if shape == Shape::Sound {
        let options = Options {
            mode: Mode::Cloud,
            kubernetes: None,
        };
        rules::check("", &At::root(&node), &options, &mut findings);
    }
    findings.all
}

fn document(node: &Node, root: &At<'_>, findings: &mut Findings) {
    let (kind, version) = (root.get("kind"), root.get("apiVersion"));
    if version.text() != "v1alpha1" {
        version.error(
            findings,
            "a document of its own needs a version that Talos knows",
            "add `apiVersion: v1alpha1`",
        );
    }
    if !kind.has_text() {
        return kind.error(
            findings,
            "a document of its own needs a kind",
            "write it as `kind: NetworkRuleConfig`",
        );
    }
    match kinds().find(kind.text()) {
        Some(known) => {
            decode::read(node, known.fields, Reading::Patch, findings);
        }
        None => {
            let message = format!(
                "Talos 1.11 does not know documents of kind `{}`",
                kind.text()
            );
            kind.error(findings, message, kind_help(kind.text()));
        }
    }
}

/// A configuration without a fault, as small as can be.
fn small(role: Role) -> Map<String, Value> {
    let placeholder = |path: &str| format!("{}{path}", super::forms::PLACEHOLDER);
    let authority = |path: &str| {
        let key = if role == Role::ControlPlane {
            placeholder(path)
        } else {
            String::new()
        };
        json!({"crt": placeholder(path), "key": key})
    };
    let mut config = json!({
        "version": "v1alpha1",
        "machine": {"type": role.word(), "ca": authority("os"), "features": {"rbac": true}},
        "cluster": {
            "id": "id",
            "secret": "secret",
            "controlPlane": {"endpoint": "https://203.0.113.10:6443"},
            "ca": authority("k8s"),
            "discovery": {"enabled": true},
        },
    });
    if role == Role::ControlPlane {
        config["cluster"]["etcd"] = json!({"ca": authority("etcd")});
    }
    match config {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Finds the place of a path in a patch, as a JSON Pointer to the nearest thing that the patch says there. Nothing where the patch says
/// nothing about it, or only something far around it.
pub(crate) fn in_patch(path: &str, patch: &Value) -> Option<String> {
    let steps = steps(path);
    let mut pointer = String::new();
    let mut value = patch;
    for (index, step) in steps.iter().enumerate() {
        let next = match (step, value) {
            (Step::Key(key), Value::Object(map)) => map.get(key).map(|value| (key.clone(), value)),
            // A patch's item can have moved while it was merged.
            (Step::Index(_), Value::Array(items)) if items.len() == 1 => {
                Some(("0".into(), &items[0]))
            }
            (Step::Index(_), Value::Array(_)) => return Some(pointer),
            _ => None,
        };
        let Some((step, next)) = next else {
            // Whoever opens the section in which something is missing has caused that; the top sections are too wide for that.
            return (index > 1 && index + 1 >= steps.len()).then_some(pointer);
        };
        push(&mut pointer, &step);
        value = next;
    }
    Some(pointer)
}

/// Writes a path as a JSON Pointer.
fn pointer(path: &str) -> String {
    let mut pointer = String::new();
    for step in steps(path) {
        match step {
            Step::Key(key) => push(&mut pointer, &key),
            Step::Index(index) => push(&mut pointer, &index.to_string()),
        }
    }
    pointer
}

fn push(pointer: &mut String, step: &str) {
    pointer.push('/');
    pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
}

enum Step {
    Key(String),
    Index(usize),
}

/// Takes a path apart.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            steps.push(Step::Key(after[..end].to_owned()));
            rest = &after[end..];
            continue;
        }
        let Some(inner) = rest.strip_prefix('[') else {
            break;
        };
        let mut texts = serde_json::Deserializer::from_str(inner).into_iter::<Value>();
        let step = match texts.next() {
            Some(Ok(Value::String(key))) => Step::Key(key),
            Some(Ok(Value::Number(index))) => {
                Step::Index(usize::try_from(index.as_u64().unwrap_or(0)).unwrap_or(0))
            }
            _ => break,
        };
        steps.push(step);
        let end = texts.byte_offset();
        rest = inner[end..].strip_prefix(']').unwrap_or_default();
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_patches() {
        let patch = json!({"machine": {"nodeLabels": {"bad label/!": "x"}, "network": {"interfaces": [{"vip": {}}]}}});
        for (path, pointer) in [
            (
                ".machine.nodeLabels[\"bad label/!\"]",
                Some("/machine/nodeLabels/bad label~1!"),
            ),
            (
                ".machine.network.interfaces[3].vip.ip",
                Some("/machine/network/interfaces/0/vip"),
            ),
            (".machine.install.disk", None),
            (".cluster.etcd", None),
        ] {
            assert_eq!(in_patch(path, &patch).as_deref(), pointer, "{path}");
        }
    }
}
