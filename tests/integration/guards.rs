//! Configurations that must not reach a machine, and calls of `talosctl` that do not end as they should: each with its exact ending.

use std::fs;

use serde_json::Value;

use crate::environment::{Lab, Run, TestEnv};
use crate::talos::openssl;

const BOOTSTRAP: [&str; 3] = ["bootstrap", "--confirm", "lab"];

fn rendered(options: &[&str]) -> (TestEnv, Lab) {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, options);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    environment.ztc_ok(&["render"]);
    (environment, lab)
}

/// Everything that the stages of all runs printed.
fn logs(environment: &TestEnv) -> String {
    let mut text = String::new();
    let mut directories = vec![environment.repo().join(".zerotouch-cache/runs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// The causes that a failed run gives, with the world's names.
fn causes(lab: &Lab, run: &Run) -> Vec<String> {
    assert_eq!(run.code, Some(1), "{run}");
    let text = lab.filtered(&run.stderr);
    let causes = text.lines().map(str::trim);
    let mut causes: Vec<String> = causes
        .filter(|line| line.contains("likely cause"))
        .map(str::to_owned)
        .collect();
    causes.sort();
    causes.dedup();
    causes
}

#[test]
fn hanging_and_early_calls_end_well_and_say_why_they_waited() {
    let (environment, lab) = rendered(&[]);
    let kube = environment.root().join("home/.kube/config");
    fs::create_dir_all(kube.parent().unwrap()).unwrap();
    fs::write(&kube, "# mine\n").unwrap();
    for fault in ["apply-hangs=1", "bootstrap-early=2", "crds-late"] {
        lab.fault(fault);
    }
    environment.ztc_ok(&BOOTSTRAP);
    let logs = lab.filtered(&logs(&environment));
    for sentence in [
        "not yet: `talosctl apply-config` gave no answer within 30 s\n",
        "not yet: error executing bootstrap: rpc error: code = FailedPrecondition desc = bootstrap is not available yet\n",
        "the kubeconfig is in secrets/lab/kubeconfig\n",
    ] {
        assert_eq!(logs.matches(sentence).count(), 1, "{sentence}{logs}");
    }
    let state = lab.state();
    assert_eq!(state["ready"].as_array().unwrap().len(), 3, "{state:#}");
    assert_eq!(state["violations"], serde_json::json!([]));
    assert_eq!(fs::read_to_string(&kube).unwrap(), "# mine\n");

    // Done is done: etcd that runs already is not started again, whatever ztc remembers.
    environment.ztc_ok(&["bootstrap", "--only", "bootstrap_talos"]);
}

#[test]
fn a_wiped_control_plane_of_a_living_cluster_joins_it() {
    let (environment, lab) = rendered(&["--nodes", "3", "--control-planes", "3"]);
    environment.ztc_ok(&BOOTSTRAP);
    // The endpoint is cp01 itself, so nothing answers there until it has joined.
    lab.power_off("cp01");
    lab.fault("join-late=6");
    let kubeconfig = environment.repo().join("secrets/lab/kubeconfig");
    fs::rename(&kubeconfig, kubeconfig.with_extension("gone")).unwrap();
    environment.ztc_ok(&[
        "bootstrap",
        "--only",
        "enable_rescue_mode[cp01]",
        "--confirm",
        "lab",
    ]);
    environment.ztc_ok(&BOOTSTRAP);
    let state = lab.state();
    assert_eq!(state["violations"], serde_json::json!([]), "{state:#}");
    let nodes = state["nodes"].as_array().unwrap();
    let seen: Vec<_> = nodes
        .iter()
        .map(|node| (&node["etcd"], &node["installs"]))
        .collect();
    assert_eq!(
        serde_json::json!(seen),
        serde_json::json!([[true, 2], [true, 1], [true, 1]])
    );
    let logs = lab.filtered(&logs(&environment));
    for sentence in [
        "etcd of this cluster was started before; its data are on: [IP CP02] [IP CP03]\n",
        "[IP CP01] holds none of them and joins; etcd is not started on it\n",
    ] {
        assert_eq!(logs.matches(sentence).count(), 1, "{sentence}{logs}");
    }
}

#[test]
fn control_planes_that_reboot_for_their_configuration_do_so_one_after_the_other() {
    let (environment, lab) = rendered(&["--nodes", "3", "--control-planes", "3"]);
    environment.ztc_ok(&BOOTSTRAP);
    let platform = environment.read("platform.yaml").replace(
        "cluster_name: lab",
        "cluster_name: lab\n    patches: [{patch: {machine: {env: {GRPC_GO_LOG_SEVERITY_LEVEL: error}}}}]",
    );
    environment.write("platform.yaml", &platform);
    environment.ztc_ok(&["render"]);
    environment.ztc_ok(&BOOTSTRAP);
    let state = lab.state();
    assert_eq!(state["violations"], serde_json::json!([]), "{state:#}");
    assert_eq!(state["ready"].as_array().unwrap().len(), 3, "{state:#}");
    let logs = lab.filtered(&logs(&environment));
    for node in ["cp01", "cp02", "cp03"] {
        let ip = format!("[IP {}]", node.to_uppercase());
        for sentence in [
            format!("{node} ({ip}) reboots for its configuration\n"),
            format!("{node} ({ip}) has its changed configuration and is well\n"),
        ] {
            assert_eq!(logs.matches(&sentence).count(), 1, "{sentence}{logs}");
        }
    }
}

#[test]
fn a_living_cluster_goes_up_one_minor_after_the_other_and_its_talos_not_by_itself() {
    let (environment, lab) = rendered(&["--nodes", "2"]);
    let platform = environment.read("platform.yaml");
    let with = |kubernetes: &str, talos: &str| {
        let text = platform
            .replace("v1.33.4", kubernetes)
            .replace("v1.11.5", talos);
        environment.write("platform.yaml", &text);
        environment.ztc_ok(&["render"]);
        environment.ztc(&BOOTSTRAP)
    };
    let first = with("v1.31.13", "v1.11.5");
    assert_eq!(first.code, Some(0), "{first}");
    let before = lab.state();
    let skipped = with("v1.33.4", "v1.11.5");
    insta::assert_debug_snapshot!(causes(&lab, &skipped), @r#"
    [
        "likely cause: cp01 ([IP CP01]) runs Kubernetes v1.31.13, and platform.yaml says v1.33.4: a cluster goes up by one minor at a time. Put a version of 1.32 into platform.yaml, then ztc render and ztc bootstrap; nothing was sent to it",
    ]
    "#);
    assert_eq!(lab.state()["nodes"], before["nodes"]);
    let next = with("v1.32.9", "v1.11.5");
    assert_eq!(next.code, Some(0), "{next}");
    let before = lab.state();
    let back = with("v1.31.13", "v1.11.5");
    insta::assert_debug_snapshot!(causes(&lab, &back), @r#"
    [
        "likely cause: cp01 ([IP CP01]) runs Kubernetes v1.32.9, and platform.yaml says v1.31.13: a cluster cannot go back to an older minor, since its data in etcd stay those of the newer one. Put v1.32.9 back into platform.yaml, then ztc render and ztc bootstrap; nothing was sent to it",
    ]
    "#);
    let newer = with("v1.32.9", "v1.11.6");
    insta::assert_debug_snapshot!(causes(&lab, &newer), @r#"
    [
        "likely cause: platform.yaml says Talos v1.11.6, and a bootstrap upgrades no running node. Upgrade one after the other (ztc secrets talosconfig writes what talosctl needs), then ztc bootstrap; or put the version back: cp01 runs Talos v1.11.5: talosctl upgrade -n [IP CP01] -e [IP CP01] --talosconfig secrets/lab/talosconfig --image [FACTORY]/hcloud-installer/[SHA256]:v1.11.6; worker01 runs Talos v1.11.5: talosctl upgrade -n [IP WORKER01] …",
    ]
    "#);
    assert_eq!(lab.state()["nodes"], before["nodes"]);
    let good = with("v1.32.9", "v1.11.5");
    assert_eq!(good.code, Some(0), "{good}");
    assert!(
        logs(&environment).contains("2 nodes are ready with Kubernetes v1.32.9 on Talos v1.11.5\n"),
        "{good}"
    );
    assert_eq!(lab.state()["violations"], serde_json::json!([]));
}

#[test]
fn a_kubectl_that_hangs_ends_in_time_and_is_named() {
    let (environment, lab) = rendered(&["--nodes", "1"]);
    let kubectl = format!("{}/kubectl", lab.bin());
    fs::remove_file(&kubectl).unwrap();
    fs::write(&kubectl, "#!/bin/sh\ntrap '' TERM\nsleep 1000\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&kubectl, mode).unwrap();
    environment.write(
        "context.sh",
        "CTX_KUBECONFIG=k CTX_WAIT_SECONDS=2 CTX_DAEMON_SETS=(cilium) CTX_DEFINITIONS=(a) CTX_GATEWAY_API_VERSION=v1.3.0\n",
    );
    for script in ["wait-cilium.sh", "wait-gateway-api.sh", "validate-cni.sh"] {
        let path = format!("platform/generated/debug/scripts/cilium/{script}");
        let mut command = std::process::Command::new("timeout");
        command.args(["-s", "KILL", "30", "bash", &path]);
        let ztc = environment.command(&[]);
        for (name, value) in ztc.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let output = command
            .current_dir(environment.repo())
            .env("ZTC_CONTEXT_SH", "context.sh")
            .env("ZTC_REPO", environment.repo())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{script}: {said}");
        for part in [
            ": kubectl gave no answer within 2 s (timeout)\n",
            "ZTC_CAUSE: the Kubernetes API does not answer; check the control plane's machines and the firewall before port 6443\n",
        ] {
            assert!(said.contains(part), "{script}: {said}");
        }
    }
}

#[test]
fn a_machine_keeps_its_role_and_its_cluster() {
    let (environment, lab) = rendered(&["--nodes", "2"]);
    environment.ztc_ok(&BOOTSTRAP);
    let before = lab.state();

    // The roles exchanged: the worker's configuration would break the only control plane.
    let platform = environment.read("platform.yaml");
    let nodes = before["nodes"].as_array().unwrap();
    let ip = |name: &str| -> String {
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        node["ip"].as_str().unwrap().to_owned()
    };
    let exchanged = platform
        .replace("role: controlplane", "role: other")
        .replace("role: worker", "role: controlplane")
        .replace("role: other", "role: worker")
        .replace(
            &format!("https://{}:", ip("cp01")),
            &format!("https://{}:", ip("worker01")),
        );
    assert_ne!(exchanged, platform);
    environment.write("platform.yaml", &exchanged);
    environment.ztc_ok(&["render"]);
    let worker = environment.ztc(&["bootstrap", "--only", "add_worker_nodes"]);
    insta::assert_debug_snapshot!(causes(&lab, &worker), @r#"
    [
        "likely cause: cp01 ([IP CP01]) is a controlplane of this cluster, and a worker configuration would destroy it, so it was not sent. Change its role back in platform.yaml. To give it the other role on purpose, take it out of the cluster (`kubectl drain cp01 --ignore-daemonsets`, `talosctl -n [IP CP01] reset`, `kubectl delete node cp01`) and install it anew: ztc bootstrap --only 'enable_rescue_mode[[IP CP01]]', then ztc bootstrap",
    ]
    "#);
    let control_plane = environment.ztc(&["bootstrap", "--only", "apply_control_plane"]);
    insta::assert_debug_snapshot!(causes(&lab, &control_plane), @r#"
    [
        "likely cause: worker01 ([IP WORKER01]) is a worker of this cluster, and a controlplane configuration would destroy it, so it was not sent. Change its role back in platform.yaml. To give it the other role on purpose, take it out of the cluster (`kubectl drain worker01 --ignore-daemonsets`, `talosctl -n [IP WORKER01] reset`, `kubectl delete node worker01`) and install it anew: ztc bootstrap --only 'enable_rescue_mode[[IP WORKER01]]', then ztc bootstrap",
    ]
    "#);

    // Other secrets: these machines are of another cluster then.
    environment.write("platform.yaml", &platform);
    let bundle: Value =
        serde_saphyr::from_str(&environment.read("secrets/lab/talos.yaml")).unwrap();
    let mut other = bundle.clone();
    other["certs"]["os"] = foreign_authority();
    environment.write("other.yaml", other.to_string());
    let own = environment.read("secrets/lab/talos.yaml");
    let import = ["secrets", "import", "talos", "other.yaml", "--replace"];
    let refused = environment.ztc(&import);
    insta::assert_snapshot!(lab.filtered(&refused.to_string()), @"
    exit: 5
    --- stderr
    error: the file is not the secret bundle `talos` that the lock knows
      --> other.yaml
      the lock says: sha256:[SHA256]
      the file has:  sha256:[SHA256]
      the cluster that was made with the old one cannot be reached with another one
      help: where that cluster is gone and a new one is meant: `ztc secrets import talos other.yaml --replace --new-cluster`
    ");
    assert_eq!(environment.read("secrets/lab/talos.yaml"), own);
    // What is exchanged by hand is refused everywhere, with a command that goes on.
    environment.write("secrets/lab/talos.yaml", other.to_string());
    let refused = environment.ztc(&["render"]);
    insta::assert_snapshot!(lab.filtered(&refused.to_string()), @"
    exit: 5
    --- stderr
    error: the secret bundle `talos` is not the one that the lock knows
      --> secrets/lab/talos.yaml
      the lock says: sha256:[SHA256]
      the file has:  sha256:[SHA256]
      help: restore `secrets/lab/talos.yaml` from its backup; where its cluster is gone and the new one is meant, `ztc secrets import talos secrets/lab/talos.yaml --replace --new-cluster`
    ");
    environment.write("secrets/lab/talos.yaml", &own);
    let import = [&import[..], &["--new-cluster"]].concat();
    let said = environment.ztc_ok(&import).stderr;
    assert!(
        said.contains("the bundle that it was before is in secrets/lab/talos.yaml.before-ztc-1")
            && said.contains("the lock no longer knows a secret bundle `talos`"),
        "{said}"
    );
    assert_eq!(environment.read("secrets/lab/talos.yaml.before-ztc-1"), own);
    environment.ztc_ok(&["render"]);
    let foreign = environment.ztc(&["bootstrap", "--only", "apply_control_plane"]);
    insta::assert_debug_snapshot!(causes(&lab, &foreign), @r#"
    [
        "likely cause: [IP CP01] runs Talos with a configuration of another cluster, or with other secrets than secrets/lab/talos.yaml; nothing was sent to it. Restore that file from its backup, or take the machine out of its cluster, switch it off and install it anew: ztc bootstrap --only 'enable_rescue_mode[[IP CP01]]', then ztc bootstrap; last error: rpc error: code = Unavailable desc = connection error: desc = \"error reading server preface: remote error: tls: certificate required\"",
    ]
    "#);

    let after = lab.state();
    assert_eq!(after["nodes"], before["nodes"]);
    assert_eq!(after["violations"], serde_json::json!([]));
}

/// An authority of the Talos API that no machine of the lab knows.
fn foreign_authority() -> Value {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (key, certificate) = (path("key"), path("crt"));
    let new = "req -x509 -newkey ed25519 -nodes -days 30 -subj /O=talos -keyout";
    let arguments: Vec<&str> = new
        .split(' ')
        .chain([key.as_str(), "-out", &certificate])
        .collect();
    openssl(&arguments, b"");
    let encoded = |path: &str| {
        let text = fs::read_to_string(path).unwrap();
        let text = text.replace("PRIVATE KEY", "ED25519 PRIVATE KEY");
        openssl(&["base64", "-A"], text.as_bytes())
    };
    serde_json::json!({"crt": encoded(&certificate), "key": encoded(&key)})
}

#[test]
fn a_schematic_of_extensions_is_registered_at_the_factory() {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &[]);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    let platform = environment.read("platform.yaml").replace(
        "cluster_name: lab",
        "cluster_name: lab\n    extensions: [siderolabs/qemu-guest-agent]\n    kernel_args: [\"console=ttyS0,115200\"]",
    );
    environment.write("platform.yaml", &platform);
    environment.ztc_ok(&["render"]);
    environment.ztc_ok(&["bootstrap", "--only", "register_schematics"]);
    // The lab computes the id as the factory does: from what it is sent.
    let said = logs(&environment);
    let (_, id) = said.trim_end().rsplit_once(' ').unwrap();
    assert_eq!(
        said,
        format!("the image factory knows the schematic {id}\n")
    );
    let config = environment.read("platform/generated/os/talos/nodes/cp01/config.yaml");
    assert!(
        config.contains(&format!("/hcloud-installer/{id}:v1.11.5\n")),
        "{id}\n{config}"
    );
    // There are images of it from then on, and of nothing that nobody registered.
    environment.ztc_ok(&BOOTSTRAP);
    let disk = &lab.state()["nodes"][0]["disk"];
    assert_eq!(disk["talos"]["schematic"], *id, "{disk}");
}

#[test]
fn the_factory_has_no_image_of_a_schematic_that_nobody_registered() {
    let mut environment = TestEnv::new();
    let lab = Lab::start(&mut environment, &["--nodes", "1"]);
    environment.ztc_ok(&["init", "--answers", &lab.answers()]);
    environment.secrets();
    let id = "0123456789abcdef".repeat(4);
    let platform = environment.read("platform.yaml").replace(
        "cluster_name: lab",
        &format!("cluster_name: lab\n    schematic_id: {id}"),
    );
    environment.write("platform.yaml", &platform);
    environment.ztc_ok(&["render"]);
    let run = environment.ztc(&BOOTSTRAP);
    insta::assert_debug_snapshot!(causes(&lab, &run));
    assert_eq!(lab.installs().values().sum::<u64>(), 0);
}
