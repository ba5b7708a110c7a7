//! Labels, annotations and taints of the Kubernetes node.

use super::super::at::At;
use super::super::finding::Findings;

const RESERVED: [&str; 3] = [
    "talos.dev/owned-annotations",
    "talos.dev/owned-labels",
    "talos.dev/owned-taints",
];

/// All annotations of a node together, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

pub(super) fn check(machine: &At<'_>, findings: &mut Findings) {
    for (key, at) in machine.get("nodeLabels").entries() {
        name(key, &at, "a label", findings);
        value(at.text(), &at, findings);
    }
    let annotations = machine.get("nodeAnnotations");
    let mut size = 0;
    for (key, at) in annotations.entries() {
        name(key, &at, "an annotation", findings);
        if RESERVED.contains(&key) {
            at.error(
                findings,
                format!("the annotation `{key}` belongs to Talos"),
                "take it out",
            );
        }
        size += key.len() + at.text().len();
    }
    if size > MAX_ANNOTATIONS {
        let message =
            format!("the annotations have {size} bytes, and a node can have {MAX_ANNOTATIONS}");
        annotations.error(findings, message, "take some out");
    }
    for (key, at) in machine.get("nodeTaints").entries() {
        taint(key, &at, findings);
    }
}

fn taint(key: &str, at: &At<'_>, findings: &mut Findings) {
    if !name(key, at, "a taint", findings) {
        return;
    }
    let (label, effect) = match at.text().split_once(':') {
        Some((label, effect)) => (label, effect),
        None => ("", at.text()),
    };
    let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if effects.contains(&effect) {
        value(label, at, findings);
    } else {
        let help = match super::super::suggest::nearest(effect, effects) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "write it as `value:Effect`; the effects are {}",
                effects.join(", ")
            ),
        };
        at.error(
            findings,
            format!("`{effect}` is not an effect of a taint"),
            help,
        );
    }
}

/// Checks a key: `name` or `prefix/name`.
fn name(key: &str, at: &At<'_>, what: &str, findings: &mut Findings) -> bool {
    let Err(why) = qualified(key) else {
        return true;
    };
    let message = format!("`{key}` is not the name of {what}: {why}");
    at.error(
        findings,
        message,
        "write it as `rack` or `example.com/rack`",
    );
    false
}

fn value(text: &str, at: &At<'_>, findings: &mut Findings) {
    if !text.is_empty() && simple(text).is_err() {
        let message = format!(
            "`{}` is not a value of a label",
            super::super::decode::short(text)
        );
        let help =
            "use at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
        at.error(findings, message, help);
    }
}

fn qualified(key: &str) -> Result<(), &'static str> {
    match key.split_once('/') {
        None => simple(key),
        Some((_, name)) if name.contains('/') => Err("it has several slashes"),
        Some(("", _)) => Err("the part before the slash is empty"),
        Some((prefix, _)) if prefix.len() > 253 || !prefix.split('.').all(is_label) => {
            Err("the part before the slash is not a DNS name in lower case")
        }
        Some((_, name)) => simple(name),
    }
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn simple(name: &str) -> Result<(), &'static str> {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() {
        Err("it is empty")
    } else if name.len() > 63 {
        Err("it is longer than 63 characters")
    } else if !name.chars().all(inner) {
        Err("it has characters other than letters, digits, `-`, `_` and `.`")
    } else if !name.starts_with(edge) || !name.ends_with(edge) {
        Err("it does not begin and end with a letter or digit")
    } else {
        Ok(())
    }
}
