//! Versions that go together, from outside: the adapters of Talos and of Cilium know each other only by what one hands to the other.

use crate::cilium::definitions;
use crate::environment::TestEnv;
use crate::talos::WORLD;

/// A repository in which Talos gets its pod network from Cilium.
fn repository() -> TestEnv {
    let environment = TestEnv::new();
    let servers_only = WORLD
        .replace(r#",{"capability":"cni","version":"1.0"}"#, "")
        .replace(r#""cni":'"$cni"',"#, "");
    environment.tool("ztc-adapter-world", &servers_only);
    environment
}

fn platform(environment: &TestEnv, kubernetes: &str, cilium: &str) {
    environment.write(
        "platform.yaml",
        format!(
            "\
apiVersion: ztc/v1
environment: lab
adapters:
  world: {{version: v1}}
  cilium: {{{cilium}}}
  talos:
    version: v1.11.5
    kubernetes_version: {kubernetes}
    cluster_name: demo
    cluster_endpoint: https://203.0.113.10:6443
    allow_scheduling_on_control_planes: true
    nodes: [{{name: cp01, ip: 203.0.113.10, role: controlplane}}]
"
        ),
    );
}

const CILIUM: &str = "version: v1.18.5";

#[test]
fn a_kubernetes_that_cilium_is_not_tested_with_is_a_warning_with_the_allowed_versions() {
    let environment = repository();
    // What is generated belongs to a platform.
    platform(&environment, "v1.33.4", CILIUM);
    environment.secrets();
    platform(&environment, "v1.33.4", CILIUM);
    assert!(!environment.ztc_ok(&["render"]).stderr.contains("warning"));
    platform(&environment, "v1.34.1", CILIUM);
    insta::assert_snapshot!(environment.ztc_ok(&["render"]));
    insta::assert_snapshot!(
        environment
            .ztc_ok(&["validate"])
            .stderr
            .lines()
            .take(2)
            .collect::<Vec<_>>()
            .join("\n")
    );
}

#[test]
fn a_kubernetes_that_talos_does_not_run_is_refused_with_the_allowed_versions() {
    let environment = repository();
    // What is generated belongs to a platform.
    platform(&environment, "v1.33.4", CILIUM);
    environment.secrets();
    for kubernetes in ["v1.35.0", "v1.28.9"] {
        platform(&environment, kubernetes, CILIUM);
        let rendered = environment.ztc(&["render"]).to_string();
        assert_eq!(rendered, environment.ztc(&["validate"]).to_string());
        assert!(!environment.repo().join("platform/lock.json").exists());
        insta::assert_snapshot!(kubernetes, rendered);
    }
}

#[test]
fn other_releases_of_the_gateway_api_and_of_both_adapters_are_refused_with_the_allowed_ones() {
    let environment = repository();
    // What is generated belongs to a platform.
    platform(&environment, "v1.33.4", CILIUM);
    environment.secrets();
    environment.write("crds.yaml", definitions("v1.6.1"));
    platform(
        &environment,
        "v1.33.4",
        &format!("{CILIUM}, gateway_api: {{manifest: crds.yaml}}"),
    );
    let gateway = environment.ztc(&["render"]);
    assert_eq!(
        gateway.to_string(),
        environment.ztc(&["validate"]).to_string()
    );
    platform(&environment, "v1.33.4", "version: v1.99.0");
    let cilium = environment.ztc(&["render"]);
    insta::assert_snapshot!(format!("{gateway}\n{cilium}"));
}
