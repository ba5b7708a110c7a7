//! Wrong `platform.yaml`: every mistake ends with a message that says what, where and what to do, exit code 2, and nothing written.

use crate::environment::{Run, TestEnv};

/// A configuration in which nothing is wrong.
pub(crate) const PLATFORM: &str = "\
apiVersion: ztc/v1
environment: production
adapters:
  hetzner:
    version: v1
    api_token: {from: env, name: HCLOUD_TOKEN}
    server_ips: [203.0.113.10, 203.0.113.11]
  cilium: {version: v1.18.5, bgp_enabled: false}
  talos:
    version: v1.11.5
    kubernetes_version: v1.33.4
    cluster_name: prod
    cluster_endpoint: https://203.0.113.10:6443
    nodes:
      - {name: cp01, ip: 203.0.113.10, role: controlplane}
      - {name: worker01, ip: 203.0.113.11, role: worker}
";

/// Renders a configuration that is expected to be refused, and makes sure that nothing was written.
#[track_caller]
fn refused(platform: impl AsRef<[u8]>) -> Run {
    let environment = TestEnv::new();
    environment.write("platform.yaml", platform);
    let before = environment.files();
    let run = environment.ztc(&["render"]);
    assert_eq!(run.code, Some(2), "{run}");
    let after: Vec<String> = environment
        .files()
        .into_keys()
        .filter(|file| !file.starts_with(".zerotouch-cache/"))
        .collect();
    assert_eq!(
        after,
        before.into_keys().collect::<Vec<_>>(),
        "something was written"
    );
    run
}

/// Renders [`PLATFORM`] with one text replaced by another.
#[track_caller]
fn changed(from: &str, to: &str) -> Run {
    assert!(PLATFORM.contains(from), "{from}");
    refused(PLATFORM.replacen(from, to, 1))
}

#[test]
fn no_platform() {
    let environment = TestEnv::new();
    insta::assert_snapshot!(environment.ztc(&["render"]), @"");
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(refused(""), @"");
}

#[test]
fn only_a_comment() {
    insta::assert_snapshot!(refused("# nothing yet\n"), @"");
}

#[test]
fn not_yaml() {
    insta::assert_snapshot!(refused("adapters: [\n  hetzner: {\n"), @"");
}

#[test]
fn a_list() {
    insta::assert_snapshot!(refused("- a\n- b\n"), @"");
}

#[test]
fn not_utf8() {
    insta::assert_snapshot!(refused(b"apiVersion: ztc/v1\nenvironment: \xff\xfe\n"), @"");
}

#[test]
fn a_yaml_bomb() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    insta::assert_snapshot!(refused(bomb), @"");
}

#[test]
fn unknown_api_version() {
    insta::assert_snapshot!(changed("ztc/v1", "ztc/v2"), @"");
}

#[test]
fn unknown_key_at_the_top() {
    insta::assert_snapshot!(changed("adapters:", "adaptors:"), @"");
}

#[test]
fn unknown_adapter() {
    insta::assert_snapshot!(changed("  hetzner:", "  hetzer:"), @"");
}

#[test]
fn unknown_key() {
    insta::assert_snapshot!(changed("kubernetes_version", "kubernets_version"), @"");
}

#[test]
fn duplicate_key() {
    insta::assert_snapshot!(changed("    cluster_name: prod\n", "    cluster_name: prod\n    cluster_name: test\n"), @"");
}

#[test]
fn wrong_type() {
    insta::assert_snapshot!(changed("bgp_enabled: false", "bgp_enabled: maybe"), @"");
}

#[test]
fn unsupported_version() {
    insta::assert_snapshot!(changed("version: v1.18.5", "version: v1.18.55"), @"");
}

#[test]
fn address_out_of_range() {
    insta::assert_snapshot!(changed("[203.0.113.10, 203.0.113.11]", "[203.0.113.10, 203.0.113.311]"), @"");
}

#[test]
fn node_address_out_of_range() {
    insta::assert_snapshot!(changed("name: worker01, ip: 203.0.113.11", "name: worker01, ip: 203.0.113.256"), @"");
}

#[test]
fn duplicate_node_name() {
    insta::assert_snapshot!(changed("name: worker01", "name: cp01"), @"");
}

#[test]
fn duplicate_node_address() {
    insta::assert_snapshot!(changed("worker01, ip: 203.0.113.11", "worker01, ip: 203.0.113.10"), @"");
}

#[test]
fn no_control_plane() {
    insta::assert_snapshot!(changed("role: controlplane", "role: worker"), @"");
}

#[test]
fn an_endpoint_without_port() {
    insta::assert_snapshot!(changed("https://203.0.113.10:6443", "https://203.0.113.10"), @"");
}

#[test]
fn an_endpoint_with_a_path() {
    insta::assert_snapshot!(changed("https://203.0.113.10:6443", "https://203.0.113.10:6443/api"), @"");
}

#[test]
fn a_secret_in_plain_text() {
    let run = changed(
        "{from: env, name: HCLOUD_TOKEN}",
        "a-real-token-in-the-file",
    );
    assert!(!run.to_string().contains("a-real-token"), "{run}");
    insta::assert_snapshot!(run, @"");
}

#[test]
fn a_secret_without_value() {
    insta::assert_snapshot!(refused(PLATFORM), @"");
}

#[test]
fn a_missing_provider() {
    insta::assert_snapshot!(changed("  cilium: {version: v1.18.5, bgp_enabled: false}\n", ""), @"");
}

#[test]
fn every_mistake_at_once() {
    let platform = PLATFORM
        .replace("bgp_enabled: false", "bgp_enabeld: false")
        .replace("cluster_name: prod", "cluster_name: 7")
        .replace("role: worker", "role: wroker");
    insta::assert_snapshot!(refused(platform), @"");
}
