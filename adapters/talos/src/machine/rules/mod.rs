//! What Talos 1.11 demands of documents beyond their form, one module for each area. Every rule looks at places and says what it finds there.

mod bond;
mod cluster;
mod documents;
mod install;
mod kubelet;
mod machine;
mod network;
mod node;
mod volumes;

use super::at::At;
use super::finding::Findings;
use super::{Mode, Options};

pub(super) use volumes::encrypted_twice;

/// What a machine does, as far as rules differ.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    ControlPlane,
    Worker,
    Unknown,
}

impl Role {
    fn of(machine: &At<'_>) -> Self {
        match machine.get("type").text() {
            "controlplane" | "init" => Self::ControlPlane,
            "worker" | "join" | "" => Self::Worker,
            _ => Self::Unknown,
        }
    }
}

/// Checks a document of a kind; the machine configuration itself has the empty one.
pub(super) fn check(kind: &str, root: &At<'_>, options: &Options, findings: &mut Findings) {
    match kind {
        "" => configuration(root, options, findings),
        "VolumeConfig" => volumes::system(root, findings),
        "UserVolumeConfig" => volumes::user(root, findings),
        "RawVolumeConfig" | "SwapVolumeConfig" => volumes::raw(root, findings),
        "ExistingVolumeConfig" => volumes::existing(root, findings),
        other => documents::check(other, root, findings),
    }
}

fn configuration(root: &At<'_>, options: &Options, findings: &mut Findings) {
    let version = root.get("version");
    if version.is_set() && version.text() != "v1alpha1" {
        let message = format!(
            "`{}` is not a version of the configuration, and Talos does not look at it",
            version.text()
        );
        version.warn(findings, message, "write `version: v1alpha1`");
    }
    if root.get("persist").boolean() == Some(false) {
        root.get("persist").error(
            findings,
            "a configuration must be kept: `persist: false` is refused",
            "take it out",
        );
    }
    let (machine, cluster) = (root.get("machine"), root.get("cluster"));
    if !machine.is_set() {
        machine.error(
            findings,
            "the section about the machine is missing",
            "a configuration has the sections `machine` and `cluster`",
        );
        return;
    }
    let role = Role::of(&machine);
    machine::check(&machine, &cluster, role, findings);
    install::check(&machine, options.mode, findings);
    kubelet::check(&machine.get("kubelet"), findings);
    network::check(&machine.get("network"), &cluster, role, findings);
    node::check(&machine, findings);
    volumes::legacy(&machine, findings);
    cluster::check(&cluster, role, findings);
    if let Some(range) = &options.kubernetes {
        kubelet::versions(&machine, &cluster, role, range, findings);
    }
}

/// Checks each item against a form, in one sentence.
fn each(
    list: &At<'_>,
    good: impl Fn(&str) -> bool,
    what: &str,
    help: &str,
    findings: &mut Findings,
) {
    for item in list.items().iter().filter(|item| !good(item.text())) {
        item.error(findings, format!("`{}` is not {what}", item.text()), help);
    }
}

const SUBNET_FILTER: (&str, &str) = (
    "a network or an address",
    "write it as `10.0.0.0/8`, or `!10.0.0.5/32` to leave it out",
);

fn subnet_filters(list: &At<'_>, findings: &mut Findings) {
    let (what, help) = SUBNET_FILTER;
    each(list, super::forms::is_subnet_filter, what, help, findings);
}

/// Checks a text against its choices; empty is a choice as well.
fn choice(at: &At<'_>, choices: &[&str], findings: &mut Findings) {
    let text = at.text();
    if text.is_empty() || choices.contains(&text) {
        return;
    }
    let help = match super::suggest::nearest(text, choices.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the choices are {}", choices.join(", ")),
    };
    at.error(
        findings,
        format!("`{text}` is not one of {}", choices.join(", ")),
        help,
    );
}

fn requires_install(mode: Mode) -> bool {
    mode == Mode::Metal
}
