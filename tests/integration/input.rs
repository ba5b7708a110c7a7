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
    refused_with(2, platform)
}

/// The same with another exit code.
#[track_caller]
fn refused_with(code: i32, platform: impl AsRef<[u8]>) -> Run {
    let environment = TestEnv::new();
    environment.write("platform.yaml", platform);
    let before = environment.files();
    let run = environment.ztc(&["render"]);
    assert_eq!(run.code, Some(code), "{run}");
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
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: there is no `platform.yaml` in `[REPO]`
      help: write one with `ztc init`, or name the directory that holds it with `--directory DIR`
    ");
}

#[test]
fn an_empty_file() {
    insta::assert_snapshot!(refused(""), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is empty
      --> platform.yaml
      help: write a new one with `ztc init --force`
    ");
}

#[test]
fn only_a_comment() {
    insta::assert_snapshot!(refused("# nothing yet\n"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is empty
      --> platform.yaml
      help: write a new one with `ztc init --force`
    ");
}

#[test]
fn not_yaml() {
    insta::assert_snapshot!(refused("adapters: [\n  hetzner: {\n"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not YAML that can be read: unclosed bracket '{'
      --> platform.yaml:2:12
      help: correct the place, or the lines just before it: brackets, quotes, colons and indentation
    ");
}

#[test]
fn a_list() {
    insta::assert_snapshot!(refused("- a\n- b\n"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:1:1: error: expected a mapping with the keys `apiVersion`, `environment`, or `adapters`, found a list
        help: write a new one with `ztc init`
    ");
}

#[test]
fn not_utf8() {
    insta::assert_snapshot!(refused(b"apiVersion: ztc/v1\nenvironment: \xff\xfe\n"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not UTF-8 text
      --> platform.yaml:2:14
      help: save it as UTF-8, such as with `iconv -f ISO-8859-1 -t UTF-8 platform.yaml`
    ");
}

#[test]
fn a_yaml_bomb() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    insta::assert_snapshot!(refused(bomb), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not YAML that can be read: the document is too large or nested too deeply: at most 250000 values, repeated aliases included, and 64 levels
      --> platform.yaml:6:15
      help: correct the place, or the lines just before it: brackets, quotes, colons and indentation
    ");
}

#[test]
fn unknown_api_version() {
    insta::assert_snapshot!(changed("ztc/v1", "ztc/v2"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:1:13: error: this program reads `apiVersion: ztc/v1`, not `ztc/v2`
        help: write `apiVersion: ztc/v1`
    ");
}

#[test]
fn unknown_key_at_the_top() {
    insta::assert_snapshot!(changed("adapters:", "adaptors:"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:1:1: error: key `adapters` is missing
        help: name the adapters of the platform under `adapters:`, or write a new file with `ztc init`
      platform.yaml:3:1: error: unknown key `adaptors`
        help: did you mean `adapters`?
    ");
}

#[test]
fn unknown_adapter() {
    insta::assert_snapshot!(refused_with(4, PLATFORM.replace("  hetzner:", "  hetzer:")), @"
    exit: 4
    --- stderr
    error: there is no adapter `hetzer`
      --> platform.yaml:4:3
      known are `cilium`, `hetzner`, and `talos`
      help: did you mean `hetzner`?
    ");
}

#[test]
fn unknown_key() {
    insta::assert_snapshot!(changed("kubernetes_version", "kubernets_version"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:11:5: error: unknown key `kubernets_version` in `talos`
        help: did you mean `kubernetes_version`?
    ");
}

#[test]
fn duplicate_key() {
    insta::assert_snapshot!(changed("    cluster_name: prod\n", "    cluster_name: prod\n    cluster_name: test\n"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:13:5: error: key `cluster_name` stands twice in the same mapping
        help: it stands at platform.yaml:12:5 already: keep one of them
    ");
}

#[test]
fn wrong_type() {
    insta::assert_snapshot!(changed("bgp_enabled: false", "bgp_enabled: maybe"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:8:43: error: `cilium.bgp_enabled`: expected `true` or `false`, found text `maybe`
    ");
}

#[test]
fn unsupported_version() {
    insta::assert_snapshot!(changed("version: v1.18.5", "version: v1.18.55"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:8:21: error: `cilium.version`: this adapter has no templates for Cilium `v1.18.55`
        help: use `v1.18.5`, or `source: helm` for any other release
    ");
}

#[test]
fn address_out_of_range() {
    insta::assert_snapshot!(changed("[203.0.113.10, 203.0.113.11]", "[203.0.113.10, 203.0.113.311]"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:7:32: error: `hetzner.server_ips[1]`: `203.0.113.311` is not an IPv4 address: `311` is above 255
        help: write the server's public IPv4 address, such as `203.0.113.10`
    ");
}

#[test]
fn node_address_out_of_range() {
    insta::assert_snapshot!(changed("name: worker01, ip: 203.0.113.11", "name: worker01, ip: 203.0.113.256"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:16:30: error: `talos.nodes[1].ip`: `203.0.113.256` is not an IP address
        help: write it as `203.0.113.10` or `2001:db8::10`, without a port or a network
    ");
}

#[test]
fn duplicate_node_name() {
    insta::assert_snapshot!(changed("name: worker01", "name: cp01"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:16:16: error: `talos.nodes[1].name`: `cp01` is the name of node 1 already
        help: give every node a name of its own
    ");
}

#[test]
fn duplicate_node_address() {
    insta::assert_snapshot!(changed("worker01, ip: 203.0.113.11", "worker01, ip: 203.0.113.10"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:16:30: error: `talos.nodes[1].ip`: `203.0.113.10` is the address of `cp01` already
        help: give every node the address of its own machine
    ");
}

#[test]
fn no_control_plane() {
    insta::assert_snapshot!(changed("role: controlplane", "role: worker"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:14:5: error: `talos.nodes`: no node has the role `controlplane`, so nothing would run the Kubernetes API
        help: give one node, or three for a cluster that survives the loss of one, the role `controlplane`
      platform.yaml:13:23: error: `talos.cluster_endpoint`: `203.0.113.10` is the worker `cp01`, and workers do not run the Kubernetes API
        help: use the address of a control plane
    ");
}

#[test]
fn an_endpoint_without_port() {
    insta::assert_snapshot!(changed("https://203.0.113.10:6443", "https://203.0.113.10"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:13:23: error: `talos.cluster_endpoint`: `https://203.0.113.10` is not an endpoint: it has no port
        help: write it as `https://host:port`, such as `https://203.0.113.10:6443`, `https://[2001:db8::10]:6443` or `https://api.example.com:6443`
    ");
}

#[test]
fn an_endpoint_with_a_path() {
    insta::assert_snapshot!(changed("https://203.0.113.10:6443", "https://203.0.113.10:6443/api"), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:13:23: error: `talos.cluster_endpoint`: `https://203.0.113.10:6443/api` is not an endpoint: it has a path, and nothing may follow the port
        help: write it as `https://host:port`, such as `https://203.0.113.10:6443`, `https://[2001:db8::10]:6443` or `https://api.example.com:6443`
    ");
}

#[test]
fn a_secret_in_plain_text() {
    let run = changed(
        "{from: env, name: HCLOUD_TOKEN}",
        "a-real-token-in-the-file",
    );
    assert!(!run.to_string().contains("a-real-token"), "{run}");
    insta::assert_snapshot!(run, @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:6:16: error: `hetzner.api_token`: a secret never stands in platform.yaml itself; write a reference such as `{from: env, name: HCLOUD_TOKEN}`
    ");
}

#[test]
fn a_secret_without_value() {
    insta::assert_snapshot!(refused(PLATFORM), @"
    exit: 2
    --- stderr
    error: secret `hetzner.api_token` has no value: environment variable `HCLOUD_TOKEN`: it is not set
      --> platform.yaml:6:5
      help: set it without leaving a trace in the shell's history: `read -rs HCLOUD_TOKEN && export HCLOUD_TOKEN`
    ");
}

#[test]
fn a_missing_provider() {
    insta::assert_snapshot!(changed("  cilium: {version: v1.18.5, bgp_enabled: false}\n", ""), @"
    exit: 2
    --- stderr
    error: adapter `talos` requires the capability `cni`, which no adapter in platform.yaml provides
      --> platform.yaml:8:3
      help: add `cilium` to `adapters` in platform.yaml (`ztc init --resume` asks for its inputs)
    ");
}

#[test]
fn every_mistake_at_once() {
    let platform = PLATFORM
        .replace("bgp_enabled: false", "bgp_enabeld: false")
        .replace("cluster_name: prod", "cluster_name: 7")
        .replace("role: worker", "role: wroker");
    insta::assert_snapshot!(refused(platform), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:8:30: error: unknown key `bgp_enabeld` in `cilium`
        help: did you mean `bgp_enabled`?
      platform.yaml:12:19: error: `talos.cluster_name`: expected text, found the number `7`
        help: put it in quotes, as it stands in the file
      platform.yaml:16:50: error: `talos.nodes[1].role`: expected `controlplane` or `worker`, found text `wroker`
        help: did you mean `worker`?
    ");
}

#[test]
fn what_acts_on_a_terminal_is_no_configuration() {
    let text = "apiVersion: ztc/v1\nenvironment: \"\\e[31mlab\"\nadapters: {}\n\"a\\u202Eb\": 1\nplugins:\n  bgp: {source: \"https://\\x9b2J\"}\n";
    insta::assert_snapshot!(refused(text), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:2:14: error: `�[31mlab` has a character that is not for reading (U+001B)
        help: write it without
      platform.yaml:2:14: error: `�[31mlab` is not the name of an environment: lower-case letters, digits and hyphens, a letter or digit at both ends, at most 63 in all
        help: write a name such as `environment: production`
      platform.yaml:3:1: error: `adapters` is empty: a platform needs at least one adapter
        help: name the adapters of the platform under `adapters:`, or write a new file with `ztc init`
      platform.yaml:4:1: error: `a�b` has a character that is not for reading (U+202E)
        help: write it without
      platform.yaml:4:1: error: unknown key `a�b`
        help: the keys here are `apiVersion`, `environment`, `adapters`, or `plugins`
      platform.yaml:6:17: error: `https://�2J` has a character that is not for reading (U+009B)
        help: write it without
    ");
    let environment = TestEnv::new();
    environment.write(
        "platform.yaml",
        "apiVersion: ztc/v1\nenvironment: lab\nadapters: {talos: {}}\n",
    );
    environment.write(
        "platform/lock.json",
        r#"{"format": 2, "timestamp": "\u001b[2Jthen", "plugins": {}}"#,
    );
    insta::assert_snapshot!(environment.ztc(&["plugins", "install"]), @"
    exit: 2
    --- stderr
    error: the lock was edited: `/timestamp` has a character that is not for reading (U+001B)
      --> platform/lock.json
      help: put it back with `git checkout -- platform/lock.json`, or remove it and run `ztc render`
    ");
}
