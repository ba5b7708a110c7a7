//! Machine configurations as Talos 1.11 judges them: strict reading of every kind of document, then the rules between fields.
//!
//! Pure: text in, findings out, whatever the text is. `validate` of the parent checks what operators write in `platform.yaml`; this module
//! checks what a machine would get.

mod at;
mod decode;
mod document;
mod expression;
mod finding;
mod forms;
mod kinds;
mod layout;
mod patch;
mod rules;
mod runtime_spec;
mod suggest;
mod url;

pub(crate) mod command;
#[cfg(test)]
mod reference;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ztc_adapter_sdk::protocol::message::Severity;

use self::at::At;
use self::decode::{Reading, Shape};
use self::document::{Content, Node};
pub(crate) use self::finding::{Finding, Findings, Place};
use self::kinds::kinds;
pub(crate) use self::patch::{check_patch, in_patch};

/// Where a machine runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// A server that installs Talos on its own disk.
    Metal,
    /// A machine that starts from an image of its provider.
    Cloud,
}

impl Mode {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Metal => "metal",
            Self::Cloud => "cloud",
        }
    }
}

/// The minor versions of Kubernetes that Talos 1.11 runs.
pub(crate) const KUBERNETES: RangeInclusive<u64> = 29..=34;

/// How to check.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// The minor versions of Kubernetes that images may name, where that is to be checked.
    pub(crate) kubernetes: Option<RangeInclusive<u64>>,
}

impl Options {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            kubernetes: Some(KUBERNETES),
        }
    }
}

/// Checks a whole file. Findings stand in the order of their places.
pub(crate) fn check(bytes: &[u8], options: &Options) -> Vec<Finding> {
    let mut findings = Findings::default();
    match std::str::from_utf8(bytes) {
        Ok(text) => check_text(text, options, &mut findings),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            whole(
                &mut findings,
                Place { line, column: 1 },
                "the file is not text: it has bytes that are not UTF-8",
                "a machine configuration is YAML",
            );
        }
    }
    let mut findings = findings.all;
    findings.sort_by_key(|finding| (finding.document, finding.place));
    findings
}

fn check_text(text: &str, options: &Options, findings: &mut Findings) {
    let documents = match document::read(text) {
        Ok(documents) => documents,
        Err(error) => {
            let message = format!("the file is not YAML: {}", error.message);
            let help = "a machine configuration is YAML, indented with blanks";
            return whole(findings, error.place, &message, help);
        }
    };
    if documents.is_empty() {
        let message = "the file is empty, and a machine needs a configuration";
        return whole(
            findings,
            Place::default(),
            message,
            "make one with `ztc render`",
        );
    }
    let mut seen = BTreeMap::new();
    let mut read = Vec::new();
    for (index, node) in documents.iter().enumerate() {
        findings.document = index + 1;
        if let Some(kind) = judge(node, options, &mut seen, findings) {
            read.push((index + 1, kind, At::root(node)));
        }
    }
    between(&read, findings);
}

fn whole(findings: &mut Findings, place: Place, message: &str, help: &str) {
    findings.document = 0;
    findings.add(Severity::Error, "", place, message, help);
}

/// Checks a document by itself; returns its kind where its form is sound.
fn judge<'a>(
    node: &'a Node,
    options: &Options,
    seen: &mut BTreeMap<(String, String), usize>,
    findings: &mut Findings,
) -> Option<&'a str> {
    let root = At::root(node);
    let name = kind_of(node, &root, findings)?;
    let kind = kinds().find(name)?;
    let own_name = if kind.named {
        root.get("name").text()
    } else {
        ""
    };
    let id = (name.to_owned(), own_name.to_owned());
    let number = findings.document;
    match seen.get(&id) {
        Some(first) => {
            let (what, help) = match (name, own_name) {
                ("", _) => (
                    "a second machine configuration".to_owned(),
                    "merge the two; further documents have a `kind`",
                ),
                (kind, "") => (format!("a second `{kind}`"), "take one of the two out"),
                (kind, name) => (
                    format!("a second `{kind}` with the name `{name}`"),
                    "give each a name of its own",
                ),
            };
            root.error(
                findings,
                format!("{what}, after document {first}: only one is allowed"),
                help,
            );
        }
        None => {
            seen.insert(id, number);
        }
    }
    match decode::read(node, kind.fields, Reading::Configuration, findings) {
        Shape::Sound => {
            rules::check(name, &root, options, findings);
            Some(name)
        }
        Shape::Broken => None,
    }
}

/// The kind of a document; nothing where it is none of Talos' own.
fn kind_of<'a>(node: &'a Node, root: &At<'a>, findings: &mut Findings) -> Option<&'a str> {
    if node.is_null() {
        let message = "the document is empty";
        root.error(findings, message, "take out the `---` before or after it");
        return None;
    }
    let Content::Mapping(_) = &node.content else {
        root.error(
            findings,
            "the document is not a mapping, so it is not a machine configuration",
            "a machine configuration begins with `version: v1alpha1`",
        );
        return None;
    };
    let (kind, version) = (root.get("kind"), root.get("apiVersion"));
    let is_configuration = ["machine", "cluster", "debug", "persist"]
        .iter()
        .any(|key| node.get(key).is_some());
    if !kind.has_text() {
        let is_bundle = root.get("secrets").is_set() && root.get("trustdinfo").is_set();
        if is_configuration && !is_bundle && (!version.is_set() || version.text() == "v1alpha1") {
            return Some("");
        }
        let (message, help) = without_kind(root);
        root.error(findings, message, help);
        return None;
    }
    let text = kind.text();
    let known = kinds().find(text).is_some();
    if version.text() != "v1alpha1" && (known || version.has_text()) && !is_configuration {
        let message = if version.has_text() {
            format!(
                "`{}` is not a version of documents that Talos 1.11 knows",
                version.text()
            )
        } else {
            "the version of the document is missing".to_owned()
        };
        version.error(findings, message, "write `apiVersion: v1alpha1`");
    }
    if !known {
        kind.error(
            findings,
            format!("Talos 1.11 does not know documents of kind `{text}`"),
            kind_help(text),
        );
        return None;
    }
    Some(text)
}

fn without_kind(root: &At<'_>) -> (&'static str, &'static str) {
    let has = |key: &str| root.get(key).is_set();
    if has("contexts") && (has("context") || !has("clusters")) {
        return (
            "this is a talosconfig, which is for `talosctl`, and not the configuration of a machine",
            "give the file of a machine, such as `nodes/cp01/config.yaml`",
        );
    }
    if has("secrets") && has("trustdinfo") {
        return (
            "this is a bundle of secrets, and not the configuration of a machine",
            "check it with `ztc secrets check talos`",
        );
    }
    (
        "the document has no `kind` and no section `machine`",
        "a machine configuration has the sections `machine` and `cluster`; further documents have `apiVersion` and `kind`",
    )
}

/// A text of YAML with the places of its values.
#[derive(Debug)]
pub(crate) struct Places(Vec<Node>);

impl Places {
    /// Reads a text; nothing where it is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut documents = document::read(text).ok()?;
        documents.retain(|node| !node.is_null());
        Some(Self(documents))
    }

    /// Where a value stands, or the nearest one around it. `pointer` is a JSON Pointer into the document with this index.
    pub(crate) fn find(&self, document: usize, pointer: &str) -> Option<Place> {
        let mut node = self.0.get(document)?;
        let mut place = node.place;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.content {
                Content::Mapping(_) => node.get(&step).map(|entry| (&entry.value, entry.place)),
                Content::List(items) => step
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item, item.place)),
                Content::Scalar(_) => None,
            };
            let Some((inner, at)) = next else { break };
            (node, place) = (inner, at);
        }
        Some(place)
    }
}

/// Kinds that come only with later releases, and what serves instead.
const LATER: [(&str, &str); 19] = [
    ("BondConfig", "use `.machine.network.interfaces[].bond`"),
    ("BridgeConfig", "use `.machine.network.interfaces[].bridge`"),
    ("DHCPv4Config", "use `.machine.network.interfaces[].dhcp`"),
    (
        "DHCPv6Config",
        "use `.machine.network.interfaces[].dhcpOptions`",
    ),
    (
        "DummyLinkConfig",
        "use `.machine.network.interfaces[].dummy`",
    ),
    (
        "LinkAliasConfig",
        "use `.machine.network.interfaces[].deviceSelector`",
    ),
    ("OOMConfig", "1.11 has nothing like it"),
    ("RegistryAuthConfig", "use `.machine.registries.config`"),
    ("RegistryTLSConfig", "use `.machine.registries.config`"),
    ("VLANConfig", "use `.machine.network.interfaces[].vlans`"),
    (
        "WireguardConfig",
        "use `.machine.network.interfaces[].wireguard`",
    ),
    ("HostnameConfig", "use `.machine.network.hostname`"),
    ("LinkConfig", "use `.machine.network.interfaces`"),
    ("ResolverConfig", "use `.machine.network.nameservers`"),
    (
        "StaticHostConfig",
        "use `.machine.network.extraHostEntries`",
    ),
    ("TimeSyncConfig", "use `.machine.time`"),
    ("HCloudVIPConfig", "use `.machine.network.interfaces[].vip`"),
    ("Layer2VIPConfig", "use `.machine.network.interfaces[].vip`"),
    ("RegistryMirrorConfig", "use `.machine.registries`"),
];

pub(crate) fn kind_help(kind: &str) -> String {
    if let Some((_, instead)) = LATER.iter().find(|(later, _)| *later == kind) {
        return format!("it comes with Talos 1.12; {instead}");
    }
    match suggest::nearest(kind, kinds().names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "the kinds are {}",
            kinds().names().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Checks documents against each other.
fn between(read: &[(usize, &str, At<'_>)], findings: &mut Findings) {
    let of_kind = |kind: &'static str| read.iter().filter(move |(_, found, _)| *found == kind);
    for (_, _, configuration) in of_kind("").take(1) {
        for (number, _, volume) in of_kind("VolumeConfig") {
            findings.document = *number;
            rules::encrypted_twice(configuration, volume, findings);
        }
    }
    for (_, _, user) in of_kind("UserVolumeConfig") {
        for (number, _, existing) in of_kind("ExistingVolumeConfig") {
            let name = existing.get("name");
            if name.text() == user.get("name").text() {
                findings.document = *number;
                let message = format!(
                    "`{}` is a user volume as well, and can be one of the two",
                    name.text()
                );
                name.error(findings, message, "give each a name of its own");
            }
        }
    }
}
