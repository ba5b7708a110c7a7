//! Cilium from outside: charts with a stand-in for `helm`, definitions from a file of the repository, versions that go together.

use crate::environment::{Run, TestEnv};

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

/// Writes a platform of Cilium alone, with these lines in its section.
fn section(environment: &TestEnv, lines: &[&str]) {
    let mut text = "apiVersion: ztc/v1\nenvironment: production\nadapters:\n  cilium:\n".to_owned();
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

/// A failure without the lines that only lead the way.
fn failure(run: &Run) -> String {
    run.to_string()
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
    insta::assert_snapshot!(failure(&environment.ztc(&["render", "--refresh"])), @"");
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
    insta::assert_snapshot!(failure(&environment.ztc(&["render", "--refresh"])), @"");
}

#[test]
fn what_a_chart_must_not_give_is_refused() {
    let environment = with_chart();
    let random = "printf -- '---\\nkind: Service\\nmetadata: {name: hubble, namespace: kube-system}\\nvalue: %s\\n' $BASHPID$RANDOM";
    helm(&environment, &[("EXTRA", random)]);
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
    let secret =
        "printf -- '---\\nkind: Secret\\nmetadata: {name: cilium-ca, namespace: kube-system}\\n'";
    helm(&environment, &[("EXTRA", secret)]);
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
    let job =
        "printf -- '---\\nkind: Job\\nmetadata: {name: certificates, namespace: kube-system}\\n'";
    helm(&environment, &[("EXTRA", job)]);
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
    helm(&environment, &[("RELEASE", "1.17.3")]);
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
    assert!(!environment.repo().join("platform").exists());
}

#[test]
fn helm_that_is_missing_old_or_fails_is_said() {
    let environment = with_chart();
    std::fs::remove_file(environment.bin().join("helm")).unwrap();
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
    environment.tool("helm", "#!/bin/sh\necho v3.7.2+g663a896\n");
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
    let fail = "echo 'Error: chart \"cilium\" version \"1.17.4\" not found' >\\&2; exit 1";
    helm(&environment, &[("FAIL", &fail.replace("\\&", "&"))]);
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
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
    insta::assert_snapshot!(failure(&environment.ztc(&["validate"])), @"");
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
}

/// Makes definitions as a release of the Gateway API has them, as far as they are looked at.
fn definitions(release: &str) -> String {
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
    insta::assert_snapshot!(failure(&environment.ztc(&["render"])), @"");
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
    insta::assert_snapshot!(failure(&environment.ztc(&["validate"])), @"");
    environment.write("crds/gateway-api.yaml", definitions("v1.4.0"));
    insta::assert_snapshot!(failure(&environment.ztc(&["validate"])), @"");
    let text = definitions("v1.3.0").replace("referencegrants", "tlsroutes");
    environment.write("crds/gateway-api.yaml", text);
    insta::assert_snapshot!(failure(&environment.ztc(&["validate"])), @"");
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
    insta::assert_snapshot!(failure(&environment.ztc(&["validate"])), @"");
    section(&environment, &["version: v1.21.0", "source: helm"]);
    insta::assert_snapshot!(failure(&environment.ztc(&["validate"])), @"");
}
