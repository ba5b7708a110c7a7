//! Talos through the whole program: its secrets as openssl sees them, its machine configurations as they reach the machines.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::environment::TestEnv;

/// An adapter with two machines and a pod network of which the section says how much it does.
pub(crate) const WORLD: &str = r#"#!/usr/bin/env bash
say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
server() { printf '"%s":{"id":"%s","name":"s","architecture":"amd64","platform":"hcloud","disk":"/dev/sda","provider_id":""}' "$1" "$2"; }
while read -r line; do
    [[ $line =~ \"id\":([0-9]+) ]] && id=${BASH_REMATCH[1]}
    [[ $line =~ \"method\":\"([a-z_]+)\" ]] && method=${BASH_REMATCH[1]}
    case $method in
    initialize) say '{"protocol":"1.0","manifest":{"name":"world","version":"1.0.0","phase":"foundation","config_schema":true,"supported_versions":["v1"],"default_version":"v1","provides":[{"capability":"cloud-infrastructure","version":"1.0"},{"capability":"cni","version":"1.0"}]}}' ;;
    render)
        cni='{"provider":"","manifests":"","replaces_kube_proxy":false}'
        [[ $line == *'"network":"none"'* ]] && cni='{"provider":"none","manifests":"","replaces_kube_proxy":true}'
        [[ $line == *'"network":"masquerading"'* ]] && cni='{"provider":"none","manifests":"","replaces_kube_proxy":true,"bpf_masquerade":true}'
        servers=$(for number in 10 11 12 13 14 15; do server "203.0.113.$number" "$number"; printf ,; done)
        say '{"artifacts":[],"capabilities":{"cni":'"$cni"',"cloud-infrastructure":{"provider":"world","rescue_mode_enabled":false,"ssh":{"user":"root","identity_file":"","config_file":""},"servers":{'"${servers%,}"'}}}}' ;;
    validate) say '{"diagnostics":[]}' ;;
    scripts) say '{"scripts":[]}' ;;
    *) say '{}' ;;
    esac
done
"#;

/// A repository with one control plane and one worker; `network`: what the pod network does; the rest joins the section of talos.
pub(crate) fn repository(network: &str, talos: Value) -> TestEnv {
    let environment = TestEnv::new();
    environment.tool("ztc-adapter-world", WORLD);
    platform(&environment, network, talos);
    environment
}

fn platform(environment: &TestEnv, network: &str, talos: Value) {
    let mut section = json!({
        "version": "v1.11.5",
        "kubernetes_version": "v1.34.1",
        "cluster_name": "demo",
        "cluster_endpoint": "https://203.0.113.10:6443",
        "nodes": [
            {"name": "cp01", "ip": "203.0.113.10", "role": "controlplane"},
            {"name": "worker01", "ip": "203.0.113.11", "role": "worker"},
        ],
    });
    let changes = talos.as_object().unwrap().clone();
    section.as_object_mut().unwrap().extend(changes);
    let platform = json!({
        "apiVersion": "ztc/v1",
        "environment": "lab",
        "adapters": {"world": {"version": "v1", "network": network}, "talos": section},
    });
    // JSON is YAML.
    environment.write(
        "platform.yaml",
        serde_json::to_string_pretty(&platform).unwrap(),
    );
}

fn reference() -> Option<PathBuf> {
    std::env::var_os("ZTC_REFERENCE_DIR").map(|path| PathBuf::from(path).join("talos"))
}

fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{text}\n").as_bytes()).unwrap();
}

pub(crate) fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

pub(crate) fn bundle(environment: &TestEnv, name: &str) -> Value {
    serde_saphyr::from_str(&environment.read(&format!("secrets/lab/{name}.yaml"))).unwrap()
}

/// Runs openssl with a text as its input.
#[track_caller]
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Decodes what a bundle holds: base64 of a PEM text.
pub(crate) fn pem(value: &Value) -> String {
    openssl(&["base64", "-d", "-A"], value.as_str().unwrap().as_bytes())
}

/// What openssl says about a certificate, without what differs each time.
fn described(certificate: &str) -> String {
    let text = openssl(
        &["x509", "-noout", "-text", "-nameopt", "RFC2253"],
        certificate.as_bytes(),
    );
    let names = [
        "Issuer:",
        "Subject:",
        "Public Key Algorithm:",
        "Signature Algorithm:",
        "ASN1 OID:",
        "CA:TRUE",
        "X509v3",
        "Digital Signature",
        "TLS Web",
    ];
    let mut lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| names.iter().any(|name| line.contains(name)))
        .collect();
    lines.dedup();
    let dates = openssl(
        &["x509", "-noout", "-dates", "-dateopt", "iso_8601"],
        certificate.as_bytes(),
    );
    let year = |name: &str| {
        let line = dates.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()[1..5].parse::<u32>().unwrap()
    };
    format!(
        "{}\nyears: {}",
        lines.join("\n"),
        year("notAfter") - year("notBefore")
    )
}

/// The public key of a private key, and of a certificate.
pub(crate) fn same_key(key: &str, certificate: &str) -> bool {
    // Only Talos calls it so; it is PKCS#8.
    let key = key.replace("ED25519 PRIVATE KEY", "PRIVATE KEY");
    openssl(&["pkey", "-pubout"], key.as_bytes())
        == openssl(&["x509", "-noout", "-pubkey"], certificate.as_bytes())
}

fn label(pem: &str) -> &str {
    pem.lines().next().unwrap()
}

#[test]
fn openssl_accepts_every_key_and_certificate() {
    let environment = repository("none", json!({}));
    environment.secrets();
    let talos = bundle(&environment, "talos");
    for (name, expected_label) in [
        ("etcd", "-----BEGIN EC PRIVATE KEY-----"),
        ("k8s", "-----BEGIN EC PRIVATE KEY-----"),
        ("k8saggregator", "-----BEGIN EC PRIVATE KEY-----"),
        ("os", "-----BEGIN ED25519 PRIVATE KEY-----"),
    ] {
        let (certificate, key) = (
            pem(&talos["certs"][name]["crt"]),
            pem(&talos["certs"][name]["key"]),
        );
        assert_eq!(label(&key), expected_label, "{name}");
        assert!(same_key(&key, &certificate), "{name}");
        insta::assert_snapshot!(format!("authority_{name}"), described(&certificate));
    }
    let service_account = pem(&talos["certs"]["k8sserviceaccount"]["key"]);
    assert_eq!(label(&service_account), "-----BEGIN RSA PRIVATE KEY-----");
    let checked = openssl(
        &["rsa", "-check", "-noout", "-text"],
        service_account.as_bytes(),
    );
    assert!(
        checked.contains("RSA key ok") && checked.contains("4096 bit"),
        "{}",
        checked.lines().next().unwrap()
    );

    let admin = bundle(&environment, "talos-admin");
    let certificate = pem(&admin["crt"]);
    assert!(same_key(&pem(&admin["key"]), &certificate));
    insta::assert_snapshot!("operator", described(&certificate));
    let directory = tempfile::tempdir().unwrap();
    let (ca, leaf) = (directory.path().join("ca"), directory.path().join("leaf"));
    fs::write(&ca, pem(&admin["ca"])).unwrap();
    fs::write(&leaf, &certificate).unwrap();
    let (ca, leaf) = (ca.to_str().unwrap(), leaf.to_str().unwrap());
    let verify = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslclient",
        "-CAfile",
        ca,
        leaf,
    ];
    assert_eq!(openssl(&verify, b""), format!("{leaf}: OK\n"));
}

#[test]
fn a_bundle_of_talosctl_is_taken_and_one_with_faults_is_not() {
    let environment = repository("none", json!({}));
    environment.secrets();
    let own = environment.read("secrets/lab/talos.yaml");
    let mut broken: Value = serde_saphyr::from_str(&own).unwrap();
    let remove = |value: &mut Value, key: &str| {
        value.as_object_mut().unwrap().remove(key).unwrap();
    };
    remove(&mut broken["cluster"], "secret");
    remove(&mut broken["secrets"], "secretboxencryptionsecret");
    remove(&mut broken, "trustdinfo");
    remove(&mut broken["certs"]["etcd"], "key");
    remove(&mut broken["certs"], "k8saggregator");
    let certificate = broken["certs"]["os"]["crt"].take();
    broken["certs"]["os"]["key"] = certificate;
    environment.write("broken.yaml", broken.to_string());
    insta::assert_snapshot!(environment.ztc(&["secrets", "import", "talos", "broken.yaml", "--replace"]), @"
    exit: 2
    --- stderr
    error: secret bundle `talos` is not valid
      --> broken.yaml
      error: cluster.secret: it is missing
        help: restore the bundle from a backup; a new one is only right for a cluster that does not exist yet
      error: secrets.secretboxencryptionsecret: it is missing
        help: restore the bundle from a backup; a new one is only right for a cluster that does not exist yet
      error: trustdinfo: it is missing
        help: restore the bundle from a backup; a new one is only right for a cluster that does not exist yet
      error: certs.etcd.key: it is missing
        help: restore the bundle from a backup; a new one is only right for a cluster that does not exist yet
      error: certs.k8saggregator: it is missing
        help: restore the bundle from a backup; a new one is only right for a cluster that does not exist yet
      error: certs.os: `crt`: it is missing; `key`: not a private key of the kind that belongs here
        help: restore the bundle from a backup; a new one is only right for a cluster that does not exist yet
    ");
    assert_eq!(environment.read("secrets/lab/talos.yaml"), own);

    let Some(reference) = reference() else {
        say("skipped 3 bundles of talosctl: ZTC_REFERENCE_DIR is not set");
        return;
    };
    let path = |name: &str| reference.join(name).display().to_string();
    let refused = environment.ztc(&[
        "secrets",
        "import",
        "talos",
        &path("invalid-secrets.yaml"),
        "--replace",
    ]);
    let found: Vec<&str> = refused
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("  error: "))
        .collect();
    assert_eq!(
        found,
        [
            "cluster.secret: it is missing",
            "secrets.secretboxencryptionsecret: it is missing",
            "trustdinfo: it is missing",
            "certs.etcd.key: it is missing",
            "certs.k8saggregator: it is missing",
            "certs.os: `crt`: it is missing; `key`: not a private key of the kind that belongs here",
        ]
    );
    for name in ["secrets.yaml", "secrets-v1.11.yaml"] {
        environment.ztc_ok(&["secrets", "import", "talos", &path(name), "--replace"]);
        let mode = fs::metadata(environment.repo().join("secrets/lab/talos.yaml"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        environment.ztc_ok(&["secrets", "check"]);
    }
    say("talos bundles checked: 3/3");
}

/// The machine configurations with their placeholders filled in, as `ztc eject` gives them away, by node.
fn filled(environment: &TestEnv) -> BTreeMap<String, String> {
    environment.ztc_ok(&["render"]);
    let _ = fs::remove_dir_all(environment.repo().join("ejected"));
    environment.ztc_ok(&["eject", "--with-secrets", "--output", "ejected"]);
    let mut found = BTreeMap::new();
    collect(&environment.repo().join("ejected"), &mut found);
    found
}

/// Takes every `<stage>.<node>/config.yaml` below a directory.
fn collect(directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.file_name().is_some_and(|name| name == "config.yaml") {
            let directory = path.parent().unwrap().file_name().unwrap();
            let (_, node) = directory.to_str().unwrap().rsplit_once('.').unwrap();
            found.insert(node.to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
}

/// The reference's documents with what ours have by intention: a host name, and the installer of the platform.
fn intended(text: &str, node: &str) -> Vec<Value> {
    let mut documents = documents(text);
    documents[0]["machine"]["network"]["hostname"] = node.into();
    documents[0]["machine"]["install"]["image"] = "factory.talos.dev/hcloud-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:v1.11.5".into();
    documents
}

#[test]
fn machine_configurations_equal_those_of_talos() {
    const VARIANTS: [&str; 8] = [
        "disk-selector",
        "dualstack",
        "extra-manifests",
        "hcloud-vip",
        "hostdns-off",
        "multidoc-firewall",
        "provider-id",
        "schedule-on-cp",
    ];
    let by_inputs = [
        (
            "disk-selector",
            json!({"disk_selector": {"size": ">= 100GB", "type": "ssd"}}),
        ),
        (
            "dualstack",
            json!({
                "pod_subnets": ["10.244.0.0/16", "fd00:10:244::/56"],
                "service_subnets": ["10.96.0.0/12", "fd00:10:96::/112"],
            }),
        ),
        ("hostdns-off", json!({})),
        (
            "provider-id",
            json!({
                "node_ip_subnets": ["10.0.0.0/8"],
                "nodes": [{
                    "name": "cp01", "ip": "203.0.113.10", "role": "controlplane", "provider_id": "hcloud://4711",
                    "labels": {"rack": "rack0"}, "taints": {"dedicated": "gpu:NoSchedule"},
                }],
            }),
        ),
        (
            "schedule-on-cp",
            json!({"allow_scheduling_on_control_planes": true}),
        ),
    ];
    let count = 2 + 2 * VARIANTS.len() + by_inputs.len();
    let Some(reference) = reference() else {
        say(&format!(
            "skipped {count} machine configurations of Talos: ZTC_REFERENCE_DIR is not set"
        ));
        return;
    };
    let read = |path: String| fs::read_to_string(reference.join(path)).unwrap();
    let environment = repository("default", json!({}));
    let secrets = reference.join("secrets.yaml").display().to_string();
    environment.ztc_ok(&["secrets", "import", "talos", &secrets]);
    environment.ztc_ok(&["secrets", "generate"]);
    environment.write("secrets/vip-token", "REPLACE-ME\n");
    let mut equal = 0;
    let mut check = |what: &str, made: &str, expected: Vec<Value>| {
        assert_eq!(documents(made), expected, "{what}");
        equal += 1;
    };
    let made = filled(&environment);
    for (file, node) in [("controlplane", "cp01"), ("worker", "worker01")] {
        let theirs = read(format!("default-v1.11.5/{file}.yaml"));
        check(file, &made[node], intended(&theirs, node));
    }
    let theirs = |variant: &str| {
        let text = read(format!("variants/{variant}/controlplane.yaml"));
        intended(&text, "cp01")
    };
    for variant in VARIANTS {
        // Patches hold no tokens here: the value comes from the store.
        let patch = read(format!("variants/{variant}.patch.yaml"))
            .replace("REPLACE-ME", "ztc-secret:store/vip-token");
        let file = format!("patches/{variant}.yaml");
        environment.write(&file, &patch);
        for (how, patch) in [
            ("a patch", json!({"target": "controlplane", "patch": patch})),
            ("a file", json!({"target": "controlplane", "file": file})),
        ] {
            platform(&environment, "none", json!({ "patches": [patch] }));
            let made = filled(&environment);
            let what = format!("{variant} by {how}");
            check(&what, &made["cp01"], theirs(variant));
        }
    }
    for (variant, inputs) in by_inputs {
        let network = if variant == "hostdns-off" {
            "masquerading"
        } else {
            "none"
        };
        platform(&environment, network, inputs);
        let made = filled(&environment);
        let what = format!("{variant} by inputs");
        check(&what, &made["cp01"], theirs(variant));
    }
    assert_eq!(equal, count);
    say(&format!("talos configs equal: {equal}/{count}"));
}

#[test]
fn all_control_planes_have_the_same_manifests() {
    let environment = repository("none", json!({}));
    for count in [1, 3, 5] {
        let node = |number: usize| json!({"name": format!("cp{number}"), "ip": format!("203.0.113.1{number}"), "role": "controlplane"});
        let nodes: Vec<Value> = (0..count).map(node).collect();
        let manifests = json!([{"name": "own", "contents": "kind: ConfigMap\n"}]);
        platform(
            &environment,
            "none",
            json!({
                "nodes": nodes,
                "allow_scheduling_on_control_planes": true,
                "patches": [{"target": "controlplane", "patch": {"cluster": {"inlineManifests": manifests}}}],
            }),
        );
        environment.ztc_ok(&["render"]);
        let made: Vec<Value> = (0..count)
            .map(|number| {
                let path = format!("platform/generated/os/talos/nodes/cp{number}/config.yaml");
                documents(&environment.read(&path))[0]["cluster"]["inlineManifests"].clone()
            })
            .collect();
        assert_eq!(made, vec![manifests; count]);
        let talosconfig = documents(&environment.read("platform/generated/os/talos/talosconfig"));
        let endpoints: Vec<String> = (0..count)
            .map(|number| format!("203.0.113.1{number}"))
            .collect();
        assert_eq!(
            talosconfig[0]["contexts"]["demo"]["endpoints"],
            json!(endpoints)
        );
    }
    let nodes = json!([
        {"name": "cp0", "ip": "203.0.113.10", "role": "controlplane"},
        {"name": "cp1", "ip": "203.0.113.11", "role": "controlplane"},
    ]);
    platform(
        &environment,
        "none",
        json!({"nodes": nodes, "allow_scheduling_on_control_planes": true}),
    );
    insta::assert_snapshot!(environment.ztc(&["render", "--check"]).stderr.lines().take(2).collect::<Vec<_>>().join("\n"), @"
    platform.yaml:14:7: error: `talos.nodes`: 2 control planes survive the loss of no more nodes than 1 would, and one node more can fail: etcd needs more than half of them
      help: use 1 or 3 control planes
    ");
}

#[test]
fn a_patch_that_cannot_be_merged_names_its_place() {
    let environment = repository("none", json!({}));
    platform(
        &environment,
        "none",
        json!({"patches": [
            {"target": "worker", "patch": [{"machine": {"sysctls": {"a": "1"}}}, {"machine": {"sysctls": {"b": {"$patch": "delete"}}}}]},
        ]}),
    );
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: adapter `talos`: a patch cannot be merged
      platform.yaml:37:13: error: `talos.patches[0].patch[1]`: it deletes `machine.sysctls.b`, which is not there
        help: take the deletion out, or check how the place is written: Talos refuses to delete what does not exist
    ");
}
