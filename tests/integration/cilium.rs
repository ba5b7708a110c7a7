//! Cilium from outside: charts with a stand-in for `helm`, definitions from a file of the repository, versions that go together.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment::TestEnv;

/// Behaves as helm does, as far as it is asked. CHART is the archive's content, EXTRA another document that the chart gives.
const HELM: &str = r#"#!/usr/bin/env bash
set -eu
command=$1
case $command in
version) echo v3.14.4+g81c902a; exit ;;
show) printf 'apiVersion: v2\nname: NAME\nversion: %s\n' RELEASE; exit ;;
esac
while (($#)); do
    case $1 in
    --destination) into=$2 ;;
    --version) version=$2 ;;
    --values) values=$2 ;;
    --kube-version) kubernetes=$2 ;;
    esac
    shift
done
case $command in
pull)
    FAIL
    printf 'CHART' >"$into/cilium-$version.tgz" ;;
template)
    printf -- '---\n# Source: cilium/templates/configmap.yaml\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: values, namespace: kube-system}\n'
    printf 'data:\n  kubernetes: "%s"\n  values: |\n    %s\n' "${kubernetes:-}" "$(cat "$values")"
    printf -- '---\nkind: DaemonSet\napiVersion: apps/v1\nmetadata: {name: cilium, namespace: kube-system}\n'
    EXTRA ;;
esac
"#;

/// An adapter that stands for the one that makes the cluster: its only stage reaches what Cilium's stages wait for.
const CLUSTER: &str = r#"#!/usr/bin/env bash
say() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
while read -r line; do
    [[ $line =~ \"id\":([0-9]+) ]] && id=${BASH_REMATCH[1]}
    [[ $line =~ \"method\":\"([a-z_]+)\" ]] && method=${BASH_REMATCH[1]}
    case $method in
    initialize) say '"result":{"protocol":"1.0","manifest":{"name":"cluster","version":"1.0.0","phase":"services","config_schema":true,"supported_versions":["v1"],"default_version":"v1","requires":[{"capability":"cni","version":"^1.0"}]}}' ;;
    validate) say '"result":{"diagnostics":[]}' ;;
    render) say '"result":{"stages":[{"name":"up","script":"cluster://up.sh","kind":"pre_work","reaches":["cluster_accessible"]}]}' ;;
    scripts) say '"result":{"scripts":[{"name":"up.sh","kind":"pre_work","content":"true\n","sha256":"SHA256"}]}' ;;
    *) say '"result":{}' ;;
    esac
done
"#;

/// Puts a stand-in at the front of PATH, with replacements in its text.
fn helm(environment: &TestEnv, replacements: &[(&str, &str)]) {
    let mut script = HELM.to_owned();
    let defaults = [
        ("NAME", "cilium"),
        ("RELEASE", "1.17.4"),
        ("CHART", "one"),
        ("FAIL", ":"),
        ("EXTRA", ":"),
    ];
    for (from, to) in replacements.iter().chain(&defaults) {
        script = script.replace(from, to);
    }
    environment.tool("helm", &script);
}

/// Writes a platform of Cilium and a cluster that is there, with these lines in Cilium's section.
pub(crate) fn section(environment: &TestEnv, lines: &[&str]) {
    let mut text = "apiVersion: ztc/v1\nenvironment: production\nadapters:\n  cluster: {version: v1}\n  cilium:\n".to_owned();
    let digest = ztc_protocol::sha256_hex(b"true\n");
    environment.tool("ztc-adapter-cluster", &CLUSTER.replace("SHA256", &digest));
    for line in lines {
        text += &format!("    {line}\n");
    }
    environment.write("platform.yaml", text);
}

const CHART: [&str; 2] = ["version: v1.17.4", "source: helm"];

fn with_chart() -> TestEnv {
    let environment = TestEnv::new();
    helm(&environment, &[]);
    section(&environment, &CHART);
    environment
}

const MANIFESTS: &str = "platform/generated/network/cilium/manifests.yaml";

/// The chart as the lock has it.
fn pinned(environment: &TestEnv) -> serde_json::Value {
    let lock: serde_json::Value =
        serde_json::from_str(&environment.read("platform/lock.json")).unwrap();
    lock["adapters"]["cilium"]["facts"]["chart"].clone()
}

#[test]
fn a_chart_is_rendered_once_and_pinned() {
    let environment = with_chart();
    environment.ztc_ok(&["render"]);
    let sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    assert_eq!(
        pinned(&environment),
        serde_json::json!({"from": "https://helm.cilium.io", "version": "1.17.4", "sha256": sha256})
    );
    let manifests = environment.read(MANIFESTS);
    assert!(manifests.starts_with(&format!(
        "# Cilium v1.17.4, rendered by ztc from the chart 1.17.4 of \"https://helm.cilium.io\", sha256 {sha256}."
    )));
    for part in [
        "\"kubeProxyReplacement\":true",
        "\"create\":\"true\"",
        "name: cilium, namespace",
    ] {
        assert!(manifests.contains(part), "{part}\n{manifests}");
    }
    // From here on neither helm nor the network is needed, and the waiting knows what the chart gives.
    environment.tool("helm", "#!/bin/sh\nexit 9\n");
    environment.ztc_ok(&["render", "--check"]);
    environment.ztc_ok(&["validate"]);
    let context =
        environment.read("platform/generated/debug/scripts/cilium/wait-cilium.sh.context.json");
    let context: serde_json::Value = serde_json::from_str(&context).unwrap();
    assert_eq!(context["daemon_sets"], serde_json::json!(["cilium"]));
}

/// Puts the real helm on PATH, where `.ci/run` got one.
fn real_helm(environment: &TestEnv) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/helm");
    let why = "is not in target/python, where .ci/run puts it";
    if !crate::needs::there_is(found.exists(), "helm", why) {
        crate::bootstrap::say("charts rendered by helm: 1 skipped");
        return None;
    }
    let helm = environment.bin().join("helm");
    std::fs::hard_link(&found, &helm)
        .or_else(|_| std::fs::copy(&found, &helm).map(drop))
        .unwrap();
    Some(helm)
}

#[test]
fn the_real_helm_renders_a_chart_of_the_repository() {
    let environment = TestEnv::new();
    let Some(helm) = real_helm(&environment) else {
        return;
    };
    for (name, content) in [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: cilium\nversion: 1.17.9\n",
        ),
        (
            "values.yaml",
            "kubeProxyReplacement: null\noperator: {replicas: 7}\n",
        ),
        ("templates/NOTES.txt", "not an object\n"),
        (
            "templates/objects.yaml",
            "kind: ConfigMap\napiVersion: v1\nmetadata: {name: values, namespace: {{ .Release.Namespace }}}\ndata:\n  \
             replacement: {{ .Values.kubeProxyReplacement | quote }}\n  kubernetes: {{ .Capabilities.KubeVersion.Version }}\n---\n\
             kind: Deployment\napiVersion: apps/v1\nmetadata: {name: cilium-operator, namespace: {{ .Release.Namespace }}}\n\
             spec: {replicas: {{ .Values.operator.replicas }}}\n",
        ),
    ] {
        environment.write(&format!("chart/{name}"), content);
    }
    let packed = Command::new(&helm)
        .args(["package", "chart", "--destination", "charts"])
        .current_dir(environment.repo())
        .output()
        .unwrap();
    assert!(packed.status.success(), "{packed:?}");
    section(
        &environment,
        &[
            "version: v1.17.9",
            "source: helm",
            "chart: charts/cilium-1.17.9.tgz",
            "operator_replicas: 3",
        ],
    );
    environment.ztc_ok(&["render"]);
    let manifests = environment.read(MANIFESTS);
    let (_, objects) = manifests.split_once("---\n").unwrap();
    insta::assert_snapshot!(objects, @r#"
    # Source: cilium/templates/objects.yaml
    kind: ConfigMap
    apiVersion: v1
    metadata: {name: values, namespace: kube-system}
    data:
      replacement: "true"
      kubernetes: v1.32.0
    ---
    # Source: cilium/templates/objects.yaml
    kind: Deployment
    apiVersion: apps/v1
    metadata: {name: cilium-operator, namespace: kube-system}
    spec: {replicas: 3}
    "#);
    // A second render asks no helm; one that is asked to gives the same bytes.
    environment.ztc_ok(&["render", "--check"]);
    environment.ztc_ok(&["render", "--refresh"]);
    assert_eq!(environment.read(MANIFESTS), manifests);
    crate::bootstrap::say("charts rendered by helm: 1/1");
}

#[test]
fn the_values_are_the_section_s_and_the_operator_s() {
    let environment = TestEnv::new();
    helm(&environment, &[("RELEASE", "1.18.9")]);
    section(
        &environment,
        &[
            "version: v1.18.9",
            "source: helm",
            "chart_repository: oci://quay.io/cilium/charts/cilium",
            "kube_proxy_replacement: false",
            "load_balancer_cidrs: [198.51.100.0/28]",
            "helm_values: {envoy: {enabled: false}, hubble: {enabled: true}}",
        ],
    );
    environment.ztc_ok(&["render"]);
    let manifests = environment.read(MANIFESTS);
    for part in [
        "kubernetes: \"v1.33.0\"",
        "\"kubeProxyReplacement\":false",
        "\"envoy\":{\"enabled\":false}",
        "\"hubble\":{\"enabled\":true}",
        "kind: CiliumLoadBalancerIPPool",
    ] {
        assert!(manifests.contains(part), "{part}\n{manifests}");
    }
}

#[test]
fn a_chart_that_changed_under_its_version_is_refused() {
    let environment = with_chart();
    environment.ztc_ok(&["render"]);
    let before = environment.files();
    helm(&environment, &[("CHART", "another")]);
    insta::assert_snapshot!(environment.ztc(&["render", "--refresh"]), @"
    exit: 2
    --- stderr
    error: adapter `cilium` refuses its section of platform.yaml
      platform.yaml:6:14: error: `cilium.version`: the chart 1.17.4 changed under the same version: its digest is `[SHA256]`, and the lock has pinned `[SHA256]`
        help: find out why; if it is right, set `chart_sha256: [SHA256]`
    ");
    section(&environment, &[CHART[0], CHART[1], "mtu: 1400"]);
    assert_eq!(environment.ztc(&["render"]).code, Some(2));
    section(&environment, &CHART);
    assert_eq!(environment.files(), before);
    let sha256 = "ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5";
    section(
        &environment,
        &[CHART[0], CHART[1], &format!("chart_sha256: {sha256}")],
    );
    environment.ztc_ok(&["render"]);
    assert_eq!(pinned(&environment)["sha256"], sha256);
    helm(&environment, &[]);
    insta::assert_snapshot!(environment.ztc(&["render", "--refresh"]), @"
    exit: 2
    --- stderr
    error: adapter `cilium` refuses its section of platform.yaml
      platform.yaml:8:19: error: `cilium.chart_sha256`: the chart has the digest `[SHA256]`
        help: find out why it is another chart before you change `chart_sha256`
    ");
}

#[test]
fn what_a_chart_must_not_give_is_refused() {
    let environment = with_chart();
    let random = "echo i >>$values.runs; printf -- '---\\nkind: Service\\nmetadata: {name: hubble, namespace: kube-system}\\nvalue: %s\\n' $(wc -l <$values.runs)";
    helm(&environment, &[("EXTRA", random)]);
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: adapter `cilium` refuses its section of platform.yaml
      platform.yaml:5:3: error: `cilium.helm_values`: the chart gives something else each time: `Service kube-system/hubble`
        help: switch off what makes keys and certificates, such as `hubble.tls.auto.enabled: false`, or have cert-manager make them
    ");
    let secret =
        "printf -- '---\\nkind: Secret\\nmetadata: {name: cilium-ca, namespace: kube-system}\\n'";
    helm(&environment, &[("EXTRA", secret)]);
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: adapter `cilium` refuses its section of platform.yaml
      platform.yaml:5:3: error: `cilium.helm_values`: the chart gives secrets, which would end up in git: `Secret kube-system/cilium-ca`
        help: switch them off, or create them in the cluster and name them in `helm_values`
    ");
    let job =
        "printf -- '---\\nkind: Job\\nmetadata: {name: certificates, namespace: kube-system}\\n'";
    helm(&environment, &[("EXTRA", job)]);
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: adapter `cilium` refuses its section of platform.yaml
      platform.yaml:5:3: error: `cilium.helm_values`: the chart gives jobs, which nothing runs a second time: `Job kube-system/certificates`
        help: switch them off, such as `hubble.tls.auto.enabled: false`
    ");
    helm(&environment, &[("RELEASE", "1.17.3")]);
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: adapter `cilium` refuses its section of platform.yaml
      platform.yaml:6:14: error: `cilium.version`: the chart is version `1.17.3`, but `version` is `v1.17.4`
        help: take the chart of that release, or change `version`
    ");
    assert!(!environment.repo().join("platform").exists());
}

#[test]
fn helm_that_is_missing_old_or_fails_is_said() {
    let environment = with_chart();
    std::fs::remove_file(environment.bin().join("helm")).unwrap();
    insta::assert_snapshot!(environment.ztc(&["render"]), @r#"
    exit: 4
    --- stderr
    error: adapter `cilium`: `helm` is not on PATH
      help: install helm 3.8 or newer (https://helm.sh/docs/intro/install/), or use `source: templates`
    "#);
    environment.tool("helm", "#!/bin/sh\necho v3.7.2+g663a896\n");
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 4
    --- stderr
    error: adapter `cilium`: `[ROOT]/bin/helm` is version 3.7.2, but 3.8 or newer is needed
      help: install helm 3.8 or newer (https://helm.sh/docs/intro/install/), or use `source: templates`
    ");
    let fail = "echo 'Error: chart \"cilium\" version \"1.17.4\" not found' >\\&2; exit 1";
    helm(&environment, &[("FAIL", &fail.replace("\\&", "&"))]);
    insta::assert_snapshot!(environment.ztc(&["render"]), @r#"
    exit: 1
    --- stderr
    error: adapter `cilium`: `helm pull` failed: Error: chart "cilium" version "1.17.4" not found
      help: check version and `chart_repository`; without this network, `helm pull` the chart elsewhere and name the file in `chart`
    "#);
}

#[test]
fn a_copy_of_the_chart_needs_no_network() {
    let environment = with_chart();
    helm(&environment, &[("FAIL", "exit 9")]);
    environment.write("charts/cilium.tgz", [0x1f, 0x8b, 0xff]);
    section(
        &environment,
        &[CHART[0], CHART[1], "chart: charts/cilium.tgz"],
    );
    environment.ztc_ok(&["render"]);
    assert_eq!(pinned(&environment)["from"], "charts/cilium.tgz");
    environment.write("charts/cilium.tgz", [0x1f, 0x8b, 0xfe]);
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 3
    --- stderr
    error: what was rendered is older than its inputs
      changed: charts/cilium.tgz, which `adapters.cilium` names
      help: run `ztc render`, and read what changes with `git diff`
    ");
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: adapter `cilium` refuses its section of platform.yaml
      platform.yaml:8:12: error: `cilium.chart`: the chart 1.17.4 changed under the same version: its digest is `[SHA256]`, and the lock has pinned `[SHA256]`
        help: find out why; if it is right, set `chart_sha256: [SHA256]`
    ");
}

/// Makes definitions as a release of the Gateway API has them, as far as they are looked at.
pub(crate) fn definitions(release: &str) -> String {
    let group = "gateway.networking.k8s.io";
    let resources = [
        ("gatewayclasses", "v1"),
        ("gateways", "v1"),
        ("grpcroutes", "v1"),
        ("httproutes", "v1"),
        ("referencegrants", "v1beta1"),
    ];
    let one = |(resource, version)| {
        format!(
            "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: {resource}.{group}\n  annotations:\n    \
             {group}/bundle-version: {release}\n    {group}/channel: standard\nspec:\n  group: {group}\n  versions:\n  - name: {version}\n    served: true\n"
        )
    };
    resources.map(one).concat()
}

#[test]
fn definitions_come_from_a_file_and_the_lock_knows_it() {
    let environment = TestEnv::new();
    section(
        &environment,
        &[
            "version: v1.18.5",
            "gateway_api: {manifest: crds/gateway-api.yaml}",
        ],
    );
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:7:29: error: the file `crds/gateway-api.yaml` cannot be read: No such file or directory (os error 2)
        help: paths are relative to the directory of platform.yaml
    ");
    environment.write("crds/gateway-api.yaml", definitions("v1.3.0"));
    environment.ztc_ok(&["render"]);
    let lock: serde_json::Value =
        serde_json::from_str(&environment.read("platform/lock.json")).unwrap();
    let files = lock["adapters"]["cilium"]["files"].as_object().unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["crds/gateway-api.yaml"]);
    environment.ztc_ok(&["validate"]);

    environment.write(
        "crds/gateway-api.yaml",
        definitions("v1.3.0") + "# edited\n",
    );
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 3
    --- stderr
    error: what was rendered is older than its inputs
      changed: crds/gateway-api.yaml, which `adapters.cilium` names
      help: run `ztc render`, and read what changes with `git diff`
    ");
    environment.write("crds/gateway-api.yaml", definitions("v1.4.0"));
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:7:29: error: `cilium.gateway_api.manifest`: `crds/gateway-api.yaml` has the Gateway API `v1.4.0`, but this Cilium goes with `v1.3.0` only
        help: take `standard-install.yaml` of the Gateway API v1.3.0
    ");
    let text = definitions("v1.3.0").replace("referencegrants", "tlsroutes");
    environment.write("crds/gateway-api.yaml", text);
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:7:29: error: `cilium.gateway_api.manifest`: `crds/gateway-api.yaml` lacks the definitions `referencegrants.gateway.networking.k8s.io`
        help: take `standard-install.yaml` of the Gateway API v1.3.0
    ");
}

#[test]
fn files_outside_of_the_repository_are_refused() {
    let environment = TestEnv::new();
    environment.write("secrets/token", "a secret\n");
    std::fs::write(
        environment.root().join("outside.yaml"),
        definitions("v1.3.0"),
    )
    .unwrap();
    for (path, why) in [
        (
            "../outside.yaml",
            "`../outside.yaml` is not a path inside the repository",
        ),
        ("secrets/token", "`secrets/token` is not handed to adapters"),
    ] {
        section(
            &environment,
            &[
                "version: v1.18.5",
                &format!("gateway_api: {{manifest: {path}}}"),
            ],
        );
        let run = environment.ztc(&["render"]);
        assert!(run.code == Some(2) && run.stderr.contains(why), "{run}");
    }
}

#[test]
fn a_version_without_templates_names_what_there_is() {
    let environment = TestEnv::new();
    section(&environment, &["version: v1.17.0"]);
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:6:14: error: `cilium.version`: this adapter has no templates for Cilium `v1.17.0`
        help: use `v1.18.5`, or `source: helm` for any other release
    ");
    section(&environment, &["version: v1.21.0", "source: helm"]);
    insta::assert_snapshot!(environment.ztc(&["validate"]), @"
    exit: 2
    --- stderr
    error: `platform.yaml` is not valid
      platform.yaml:6:14: warning: `cilium.version`: it is not known here with which versions of Kubernetes Cilium `v1.21.0` was tested
        help: its documentation says so under Kubernetes Compatibility; compare with `kubernetes_version` of the section `talos`
      platform.yaml:5:3: error: `cilium.gateway_api`: it is not known which Gateway API goes with Cilium `v1.21.0`
        help: give the definitions that its documentation names, `gateway_api: {manifest: FILE}`, or set it to `false`
    ");
}
