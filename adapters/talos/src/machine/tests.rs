//! A good configuration, and what is found when one thing in it is changed.

use std::io::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Mode, Options, check};
use crate::yaml;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn pem(label: &str) -> String {
    STANDARD.encode(format!(
        "-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"
    ))
}

fn authority(role: &str) -> Value {
    let key = if role == "controlplane" {
        pem("EC PRIVATE KEY")
    } else {
        String::new()
    };
    json!({"crt": pem("CERTIFICATE"), "key": key})
}

/// A configuration without a fault.
fn good(role: &str) -> Value {
    let mut config = json!({
        "version": "v1alpha1",
        "persist": true,
        "machine": {
            "type": role,
            "token": "abcdef.0123456789abcdef",
            "ca": authority(role),
            "kubelet": {"image": "ghcr.io/siderolabs/kubelet:v1.33.4"},
            "network": {"interfaces": [{"interface": "eth0", "addresses": ["10.0.0.5/24"]}]},
            "install": {"disk": "/dev/sda", "wipe": false},
            "features": {"rbac": true},
        },
        "cluster": {
            "id": "id",
            "secret": "secret",
            "controlPlane": {"endpoint": "https://203.0.113.10:6443"},
            "network": {"dnsDomain": "cluster.local", "podSubnets": ["10.244.0.0/16"], "serviceSubnets": ["10.96.0.0/12"]},
            "ca": authority(role),
            "discovery": {"enabled": true, "registries": {"kubernetes": {"disabled": true}, "service": {}}},
        },
    });
    if role == "controlplane" {
        config["cluster"]["etcd"] = json!({"ca": authority(role)});
        config["cluster"]["apiServer"] = json!({"image": "registry.k8s.io/kube-apiserver:v1.33.4"});
    }
    config
}

/// Changes a value: mappings key by key, `null` takes away, anything else stands in for what was there.
fn change(value: &mut Value, by: &Value) {
    match (value, by) {
        (Value::Object(map), Value::Object(changes)) => {
            for (key, by) in changes {
                if by.is_null() {
                    map.shift_remove(key);
                } else {
                    change(map.entry(key).or_insert(Value::Null), by);
                }
            }
        }
        (value, by) => *value = by.clone(),
    }
}

/// The text of a case: a good configuration with a change, documents behind it, or a text by itself.
fn text(role: &str, change_: &str) -> String {
    match role {
        "text" => change_.to_owned(),
        "document" => format!(
            "{}---\napiVersion: v1alpha1\n{change_}",
            yaml::document(&good("controlplane"))
        ),
        role => {
            let mut config = good(if role == "worker" {
                "worker"
            } else {
                "controlplane"
            });
            change(&mut config, &yaml::parse(change_).unwrap());
            yaml::document(&config)
        }
    }
}

fn found(role: &str, change: &str) -> String {
    let mode = if role == "cloud" {
        Mode::Cloud
    } else {
        Mode::Metal
    };
    let findings = check(text(role, change).as_bytes(), &Options::new(mode));
    let line = |finding: &super::Finding| {
        assert!(!finding.help.is_empty(), "{finding}");
        let warning = if finding.is_error() { "" } else { "warning: " };
        format!("{warning}{finding}")
    };
    findings.iter().map(line).collect::<Vec<_>>().join(" | ")
}

const ACCEPTED: &str = include_str!("tests/accepted.txt");
const REFUSED: &str = include_str!("tests/refused.txt");

/// The lines of a table: what is changed, the change, what is to be found.
fn cases(table: &str) -> Vec<(String, String, String)> {
    let case = |line: &str| {
        let mut parts = line.splitn(3, '\t');
        let mut next = || parts.next().unwrap().to_owned();
        let (role, change, expected) = (next(), next(), next());
        let change = change.replace("\\n", "\n").replace("\\t", "\t");
        (
            role,
            change,
            if expected == "-" {
                String::new()
            } else {
                expected
            },
        )
    };
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(case)
        .collect()
}

#[test]
fn changes_to_a_good_configuration_are_judged() {
    let (accepted, refused) = (cases(ACCEPTED), cases(REFUSED));
    let mut wrong = Vec::new();
    for (role, change, expected) in accepted.iter().chain(&refused) {
        let found = found(role, change);
        if found != *expected {
            wrong.push(format!(
                "{role}\t{change:?}\n  found {found}\n  not   {expected}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    writeln!(
        std::io::stdout(),
        "own talos configs accepted: {0}/{0}, own negatives rejected: {1}/{1}",
        accepted.len(),
        refused.len()
    )
    .unwrap();
}

#[test]
fn every_refusal_has_an_error_and_no_acceptance_has() {
    let has_error = |expected: &str| {
        !expected.is_empty()
            && expected
                .split(" | ")
                .any(|finding| !finding.starts_with("warning: "))
    };
    for (_, change, expected) in cases(REFUSED) {
        assert!(has_error(&expected), "{change}");
    }
    for (_, change, expected) in cases(ACCEPTED) {
        assert!(!has_error(&expected), "{change}");
    }
}

proptest! {
    #[test]
    fn whatever_it_is_given_it_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes, &Options::new(Mode::Metal));
    }

    #[test]
    fn whatever_a_good_configuration_is_mixed_with_it_never_panics(
        at in 0_usize..1500,
        length in 0_usize..40,
        junk in "[-a-z0-9:{}\\[\\]&*!|>'\"%@#,. \n\té]{0,30}",
    ) {
        let mut text = yaml::document(&good("controlplane"));
        let at = at.min(text.len());
        text.replace_range(at..(at + length).min(text.len()), &junk);
        check(text.as_bytes(), &Options::new(Mode::Metal));
    }

    #[test]
    fn whatever_stands_at_a_field_it_never_panics(
        section in prop::sample::select(vec!["machine", "cluster"]),
        key in prop::sample::select(vec!["type", "ca", "network", "install", "kubelet", "features", "disks", "nodeTaints", "etcd", "controlPlane", "discovery", "inlineManifests", "apiServer"]),
        inner in prop::sample::select(vec!["interfaces", "endpoint", "cni", "disk", "diskSelector", "extraConfig", "crt", "kubespan", "enabled"]),
        value in prop_oneof![
            "[ -~]{0,12}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(json!([null])),
            Just(json!([{"vip": [1], "bond": {"mode": 5, "miimon": 0}}])),
            Just(json!({"": {"": []}})),
        ],
    ) {
        let mut config = good("controlplane");
        config[section][key] = json!({inner: value.clone()});
        check(yaml::document(&config).as_bytes(), &Options::new(Mode::Metal));
        config[section][key] = value;
        check(yaml::document(&config).as_bytes(), &Options::new(Mode::Cloud));
    }
}

#[test]
fn findings_know_their_lines_and_documents() {
    let text = format!(
        "{}---\napiVersion: v1alpha1\nkind: WatchdogTimerConfig\ndevice: /dev/watchdog0\ntimeout: 5s\n",
        yaml::document(&good("worker"))
    );
    let findings = check(text.as_bytes(), &Options::new(Mode::Metal));
    let line = 1 + text.lines().position(|line| line == "timeout: 5s").unwrap();
    let places: Vec<_> = findings
        .iter()
        .map(|finding| (finding.document, finding.place.line, finding.place.column))
        .collect();
    assert_eq!(places, [(2, line, 1)]);
}

#[test]
fn every_kind_of_document_is_read() {
    let documents = [
        "kind: EthernetConfig\nname: eth0\nfeatures: {rx-checksum: false}\nrings: {rx: 256, tx-push: true}\nchannels: {combined: 4}\n",
        "kind: EventSinkConfig\nendpoint: 192.168.10.3:3247\n",
        "kind: ExistingVolumeConfig\nname: my-data\ndiscovery: {volumeSelector: {match: volume.partition_label == 'MY-DATA'}}\nmount: {readOnly: true}\n",
        "kind: ExtensionServiceConfig\nname: nut-client\nconfigFiles: [{content: a, mountPath: /etc/a}]\nenvironment: [A=b]\n",
        "kind: KmsgLogConfig\nname: remote-log\nurl: tcp://192.168.3.7:3478/\n",
        "kind: KubeSpanEndpointsConfig\nextraAnnouncedEndpoints: ['192.168.13.46:52000', '[2001:db8::1]:52000']\n",
        "kind: NetworkDefaultActionConfig\ningress: block\n",
        "kind: NetworkRuleConfig\nname: apid\nportSelector: {ports: [50000, 1200-1299], protocol: tcp}\ningress: [{subnet: 10.0.0.0/8, except: 10.1.0.0/16}]\n",
        "kind: PCIDriverRebindConfig\nname: '0000:04:00.00'\ntargetDriver: vfio-pci\n",
        "kind: RawVolumeConfig\nname: raw\nprovisioning: {diskSelector: {match: '!system_disk'}, maxSize: 50GiB}\n",
        "kind: SideroLinkConfig\napiUrl: https://siderolink.api/?jointoken=secret\n",
        "kind: SwapVolumeConfig\nname: swap1\nprovisioning: {diskSelector: {match: disk.transport == \"nvme\"}, minSize: 3GiB, maxSize: 4GiB}\n",
        "kind: TrustedRootsConfig\nname: my-ca\ncertificates: |\n    -----BEGIN CERTIFICATE-----\n    AAAA\n    -----END CERTIFICATE-----\n",
        "kind: UserVolumeConfig\nname: ceph-data\nprovisioning: {diskSelector: {match: disk.size > 120u * GB}, maxSize: 50GiB}\nfilesystem: {type: xfs, projectQuotaSupport: true}\nencryption: {provider: luks2, keys: [{slot: 0, tpm: {}}, {slot: 1, static: {passphrase: a}}]}\n",
        "kind: VolumeConfig\nname: EPHEMERAL\nprovisioning: {diskSelector: {match: disk.transport == 'nvme'}, maxSize: 50GiB}\n",
        "kind: WatchdogTimerConfig\ndevice: /dev/watchdog0\ntimeout: 2m\n",
        "kind: ZswapConfig\nmaxPoolPercent: 25\nshrinkerEnabled: true\n",
    ];
    assert_eq!(documents.len(), super::kinds().names().count());
    for document in documents {
        assert_eq!(found("document", document), "", "{document}");
    }
}
