//! The validator against what Talos itself accepts and refuses, where that is at hand: `ZTC_REFERENCE_DIR`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Finding, Mode, Options, check};

const VALID: usize = 10;
const NEGATIVES: usize = 30;

/// Where Talos sees the fault of each negative case, in the order of their numbers.
const PLACES: [&str; NEGATIVES] = [
    ".machine.ca.key",
    ".cluster.ca.key",
    ".cluster.etcd",
    ".machine.network.interfaces[0].vip",
    ".machine.ca.key",
    ".cluster.controlPlane.endpoint",
    ".cluster.controlPlane.endpoint",
    ".machine.install.disk",
    ".cluster.network.cni.name",
    ".cluster.network.cni.urls",
    ".cluster.inlineManifests[1].name",
    ".cluster.inlineManifests[0].name",
    ".machine.hostname",
    ".machine.type",
    ".persist",
    ".cluster.network.dnsDomain",
    ".cluster.externalCloudProvider.manifests",
    ".cluster.etcd.ca",
    ".machine.kubelet.nodeIP.validSubnets[0]",
    ".machine.kubelet.extraConfig.authentication",
    ".cluster.id",
    ".machine.network.interfaces[0].deviceSelector",
    ".machine.nodeLabels[\"bad label!\"]",
    ".machine.nodeTaints.a",
    ".cluster",
    ".machine.network.interfaces[0].addresses[0]",
    ".machine.ca.crt",
    ".kind",
    ".machine.install.diskSelector.size",
    "",
];

#[test]
fn the_verdicts_are_those_of_talos() {
    let Some(directory) =
        std::env::var_os("ZTC_REFERENCE_DIR").map(|path| PathBuf::from(path).join("talos"))
    else {
        writeln!(
            std::io::stdout(),
            "talos configs: {} cases skipped, ZTC_REFERENCE_DIR is not set",
            VALID + NEGATIVES
        )
        .unwrap();
        return;
    };
    let mut valid = files(&directory.join("default-v1.11.5"));
    for variant in std::fs::read_dir(directory.join("variants")).unwrap() {
        let path = variant.unwrap().path();
        if path.is_dir() {
            valid.extend(files(&path));
        }
    }
    let mut wrong = Vec::new();
    for path in &valid {
        for mode in [Mode::Metal, Mode::Cloud] {
            for finding in judge(path, mode) {
                wrong.push(format!("{}: {finding}", path.display()));
            }
        }
    }
    let accepted = valid.len();
    let negatives = files(&directory.join("negative"));
    let mut rejected = 0;
    for (path, place) in negatives.iter().zip(PLACES) {
        let findings = judge(path, Mode::Metal);
        let at_its_place = findings
            .iter()
            .any(|finding| finding.is_error() && finding.path == place && finding.place.line > 0);
        if at_its_place {
            rejected += 1;
        } else {
            wrong.push(format!(
                "{}: nothing at `{place}`: {findings:?}",
                path.display()
            ));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    writeln!(
        std::io::stdout(),
        "talos configs accepted: {accepted}/{VALID}, negatives rejected: {rejected}/{NEGATIVES}"
    )
    .unwrap();
    assert_eq!((accepted, rejected), (VALID, NEGATIVES));
}

fn judge(path: &Path, mode: Mode) -> Vec<Finding> {
    check(&std::fs::read(path).unwrap(), &Options::new(mode))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}
