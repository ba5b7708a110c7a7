//! Volumes: the documents that describe them, and the older sections about the system's own disk.

use super::super::at::At;
use super::super::finding::Findings;
use super::super::forms;

const SYSTEM: [&str; 3] = ["STATE", "EPHEMERAL", "IMAGECACHE"];

/// A partition's label has 36 characters, two of them for its prefix.
const MAX_NAME: usize = 34;

/// Whether a volume has to say where it lies and how large it is.
#[derive(Clone, Copy, PartialEq)]
enum Provisioning {
    Needed,
    Optional,
}

pub(super) fn system(volume: &At<'_>, findings: &mut Findings) {
    let name = volume.get("name");
    if !SYSTEM.contains(&name.text()) {
        let help = match super::super::suggest::nearest(name.text(), SYSTEM) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "make a volume of your own with `kind: UserVolumeConfig`".into(),
        };
        let message = format!(
            "`{}` is not a volume of the system: {}",
            name.text(),
            SYSTEM.join(", ")
        );
        name.error(findings, message, help);
        return;
    }
    if name.text() == "STATE" {
        let provisioning = volume.get("provisioning");
        let keys = ["grow", "minSize", "maxSize"];
        if keys.iter().any(|key| provisioning.get(key).is_set())
            || provisioning.walk(&["diskSelector", "match"]).has_text()
        {
            provisioning.error(
                findings,
                "where the volume `STATE` lies is not to be chosen",
                "take `provisioning` out",
            );
        }
        for key in volume.walk(&["encryption", "keys"]).items() {
            let lock = key.get("lockToState");
            if lock.is_on() {
                lock.error(
                    findings,
                    "a key of the volume `STATE` cannot be locked to that volume",
                    "take it out",
                );
            }
        }
    }
    provisioning(volume, Provisioning::Optional, findings);
    encryption(&volume.get("encryption"), findings);
}

pub(super) fn user(volume: &At<'_>, findings: &mut Findings) {
    raw(volume, findings);
    let filesystem = volume.get("filesystem");
    let quota = filesystem.get("projectQuotaSupport");
    if quota.is_on() && filesystem.get("type").text().eq_ignore_ascii_case("ext4") {
        quota.error(
            findings,
            "project quotas need the file system xfs",
            "write `type: xfs`, or take it out",
        );
    }
}

pub(super) fn raw(volume: &At<'_>, findings: &mut Findings) {
    let name = volume.get("name");
    if name.text().len() > MAX_NAME {
        let message = format!(
            "the name has {} characters and can have {MAX_NAME}",
            name.text().len()
        );
        name.error(findings, message, "take a shorter one");
    }
    self::name(&name, findings);
    provisioning(volume, Provisioning::Needed, findings);
    encryption(&volume.get("encryption"), findings);
}

pub(super) fn existing(volume: &At<'_>, findings: &mut Findings) {
    name(&volume.get("name"), findings);
    let selector = volume.walk(&["discovery", "volumeSelector", "match"]);
    if !selector.has_text() {
        selector.error(
            findings,
            "nothing says which volume this is",
            "write it as `volume.partition_label == \"DATA\"`",
        );
    }
}

fn name(name: &At<'_>, findings: &mut Findings) {
    let text = name.text();
    if text.is_empty() {
        name.error(
            findings,
            "the name of the volume is missing",
            "give it a name",
        );
    } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let message = format!("`{text}` is not a name of a volume");
        name.error(findings, message, "use letters, digits and hyphens");
    }
}

fn provisioning(volume: &At<'_>, need: Provisioning, findings: &mut Findings) {
    let provisioning = volume.get("provisioning");
    let selector = provisioning.walk(&["diskSelector", "match"]);
    if need == Provisioning::Needed && !selector.has_text() {
        selector.error(
            findings,
            "nothing says which disk the volume lies on",
            "write it as `disk.transport == \"nvme\"`",
        );
    }
    let (low, high) = (provisioning.get("minSize"), provisioning.get("maxSize"));
    match (forms::size(low.text()), forms::size(high.text())) {
        (Some(least), Some(most)) if least > most => {
            let message = format!(
                "the least size, `{}`, is more than the most, `{}`",
                low.text(),
                high.text()
            );
            low.error(findings, message, "swap them");
        }
        (None, None) if need == Provisioning::Needed => {
            low.error(
                findings,
                "nothing says how large the volume is",
                "give `minSize` or `maxSize`",
            );
        }
        _ => {}
    }
}

fn encryption(encryption: &At<'_>, findings: &mut Findings) {
    let keys = encryption.get("keys");
    let provider = encryption.get("provider");
    let without = ["", "none"].contains(&provider.text().to_lowercase().as_str());
    if without && !keys.has_items() {
        return;
    }
    if without {
        provider.error(
            findings,
            "there are keys, and nothing says what encrypts",
            "write `provider: luks2`",
        );
    }
    check_keys(&keys, "the volume", findings);
}

/// Checks keys: there are some, each has a slot and a source of its own.
fn check_keys(keys: &At<'_>, what: &str, findings: &mut Findings) {
    let items = keys.items();
    if items.is_empty() {
        keys.error(
            findings,
            format!("{what} is to be encrypted and has no keys"),
            "write it as `[{slot: 0, nodeID: {}}]`",
        );
    }
    for (index, key) in items.iter().enumerate() {
        let slot = key.get("slot");
        if items[..index]
            .iter()
            .any(|other| other.get("slot").number() == slot.number())
        {
            let message = format!("two keys of {what} have the slot {}", slot.number());
            slot.error(findings, message, "give each a slot of its own");
        }
        if !["static", "nodeID", "kms", "tpm"]
            .iter()
            .any(|source| key.get(source).is_set())
        {
            let message = format!(
                "the key in slot {} does not say where it comes from",
                slot.number()
            );
            key.error(findings, message, "give one of static, nodeID, kms, tpm");
        }
    }
}

/// The older section about encryption of the system's disk.
pub(super) fn legacy(machine: &At<'_>, findings: &mut Findings) {
    for (key, label) in LEGACY {
        let at = machine.walk(&["systemDiskEncryption", key]);
        if at.is_set() {
            check_keys(&at.get("keys"), &format!("the volume `{label}`"), findings);
        }
    }
}

const LEGACY: [(&str, &str); 2] = [("state", "STATE"), ("ephemeral", "EPHEMERAL")];

/// Finds system volumes whose encryption is set in two documents.
pub(crate) fn encrypted_twice(configuration: &At<'_>, volume: &At<'_>, findings: &mut Findings) {
    for (key, label) in LEGACY {
        let old = configuration.walk(&["machine", "systemDiskEncryption", key]);
        let new = volume.get("encryption");
        let provider = new.get("provider").text().to_lowercase();
        if old.is_set()
            && volume.get("name").text() == label
            && !["", "none"].contains(&provider.as_str())
        {
            let message = format!(
                "the encryption of the volume `{label}` is set here and in `{}`",
                old.path()
            );
            new.error(findings, message, "take one of the two out");
        }
    }
}
