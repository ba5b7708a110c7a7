//! The example adapters as a stranger would have them: published into a signed tree, installed from it, and used in the lab until every node is
//! ready. And the three commands of the README that show the same.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::bootstrap::say;
use crate::distribution::{Lie, serve};
use crate::distribution_authors::typed;
use crate::distribution_oci::Registry;
use crate::environment::{Lab, TestEnv, programs};
use crate::kit::{examples, has};

/// Publishes the examples as their authors would, and returns the tree.
fn published(environment: &TestEnv) -> std::path::PathBuf {
    let tree = environment.root().join("tree");
    environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
    let namespaces = programs().join("ztc-adapter-namespaces");
    let programs = [
        examples().join("adapter-python/ztc-adapter-static-inventory"),
        examples().join("adapter-sh/ztc-adapter-endpoint-check"),
        examples().join("adapter-node/ztc-adapter-hetzner-ccm"),
        namespaces,
    ];
    let mut arguments = ["plugins", "publish", "../tree", "--key", "../key"]
        .map(str::to_owned)
        .to_vec();
    for program in programs {
        arguments.extend(["--add".to_owned(), program.display().to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    environment.ztc_ok(&arguments);
    environment.ztc_ok(&["plugins", "publish-check", "../tree"]);
    tree
}

/// Pushes the tree into a registry and returns its source.
fn pushed(environment: &TestEnv, registry: &Registry) -> String {
    let source = format!("oci://{}/acme/adapters", registry.address);
    environment.ztc_ok(&["plugins", "push", "../tree", &source]);
    source
}

/// A platform whose machines come from one adapter of somebody else; others check it, make namespaces and give it a cloud controller manager.
fn platform(lab: &Lab, sources: &[(&str, &str)]) -> String {
    let answers = fs::read_to_string(lab.answers()).unwrap();
    let mut platform: Value = serde_saphyr::from_str(&answers).unwrap();
    let adapters = platform["adapters"].as_object_mut().unwrap();
    let hetzner = adapters.remove("hetzner").unwrap();
    let nodes = adapters["talos"]["nodes"].as_array().unwrap();
    let machines: Vec<Value> = nodes
        .iter()
        .map(|node| json!({ "ip": node["ip"], "name": node["name"] }))
        .collect();
    let factory = adapters["talos"]["factory_url"].as_str().unwrap();
    let factory = factory.trim_start_matches("http://").to_owned();
    adapters.insert(
        "static-inventory".to_owned(),
        json!({ "ssh_key": "../rescue-key", "ssh_config": hetzner["ssh_config"], "machines": machines }),
    );
    adapters.insert(
        "endpoint-check".to_owned(),
        json!({ "endpoints": [factory] }),
    );
    adapters.insert(
        "namespaces".to_owned(),
        json!({ "namespaces": [{ "name": "team-a", "memory": "16Gi" }] }),
    );
    adapters.insert(
        "hetzner-ccm".to_owned(),
        json!({ "api_token": { "from": "env", "name": "HCLOUD_TOKEN" } }),
    );
    for (name, source) in sources {
        platform["plugins"][name] = json!({ "source": source, "version": "^0.1" });
    }
    // JSON is YAML.
    format!("{platform:#}\n")
}

#[test]
fn published_examples_are_installed_and_bring_up_the_lab() {
    if !has("python3") || !has("jq") || !has("node") {
        return;
    }
    let mut environment = TestEnv::new();
    let tree = published(&environment);
    let web = serve(tree.clone(), Arc::new(Mutex::new(Lie::Nothing)));
    let key = environment.root().join("rescue-key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success(), "no key was made");
    let public = key.with_extension("pub").display().to_string();
    let lab = Lab::start(&mut environment, &["--nodes", "2", "--in-rescue", &public]);
    environment.unset("HCLOUD_ENDPOINT");
    let registry = Registry::beside(&environment, "");
    let oci = registry
        .as_ref()
        .map(|registry| pushed(&environment, registry));
    // In CI there is a registry, or the test has failed by now.
    let oci = oci.as_deref().unwrap_or_else(|| {
        say("what should come from a registry comes over HTTP: there is none");
        &web
    });
    let sources = [
        ("static-inventory", web.as_str()),
        ("endpoint-check", "../tree"),
        ("namespaces", oci),
        ("hetzner-ccm", oci),
    ];
    environment.write("platform.yaml", platform(&lab, &sources));
    assert_eq!(environment.ztc(&["render"]).code, Some(4));
    environment.ztc_ok(&["plugins", "install"]);
    environment.secrets();
    // From here on the tree may be away: what is installed is all there is.
    fs::rename(&tree, tree.with_extension("away")).unwrap();
    drop(registry);
    let said = environment.ztc_ok(&["render"]).stderr + &environment.ztc_ok(&["plan"]).stderr;
    let notes: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("outside"))
        .collect();
    insta::assert_snapshot!(notes.join("\n"), @"
    read what is new in platform/generated/debug/scripts/endpoint-check: `ztc bootstrap` runs it as you, outside of the sandbox
    read what is new in platform/generated/debug/scripts/hetzner-ccm: `ztc bootstrap` runs it as you, outside of the sandbox
    read what is new in platform/generated/debug/scripts/namespaces: `ztc bootstrap` runs it as you, outside of the sandbox
    read what is new in platform/generated/debug/scripts/static-inventory: `ztc bootstrap` runs it as you, outside of the sandbox
    `endpoint-check` is no part of ztc, and its stages run as you, outside of the sandbox: platform/generated/debug/scripts/endpoint-check
    `hetzner-ccm` is no part of ztc, and its stages run as you, outside of the sandbox: platform/generated/debug/scripts/hetzner-ccm
    `namespaces` is no part of ztc, and its stages run as you, outside of the sandbox: platform/generated/debug/scripts/namespaces
    `static-inventory` is no part of ztc, and its stages run as you, outside of the sandbox: platform/generated/debug/scripts/static-inventory
    ");
    environment.ztc_ok(&["validate"]);
    let run = environment.ztc_ok(&["bootstrap", "--confirm", "lab"]);
    for stage in [
        "check_endpoints",
        "apply_namespaces",
        "validate_namespaces",
        "install_hetzner_ccm",
    ] {
        assert!(run.stderr.contains(stage), "{stage}\n{run}");
    }
    let state = lab.state();
    let mut ready: Vec<&str> = state["ready"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    ready.sort_unstable();
    let mut nodes = lab.nodes();
    nodes.sort_unstable();
    assert_eq!(
        (ready, &state["violations"]),
        (nodes.iter().map(String::as_str).collect(), &json!([])),
        "{state:#}"
    );
}

#[test]
fn each_example_is_installed_from_a_file_over_http_and_from_a_registry() {
    if !has("python3") || !has("jq") || !has("node") {
        return;
    }
    let publisher = TestEnv::new();
    let tree = published(&publisher);
    let web = serve(tree.clone(), Arc::new(Mutex::new(Lie::Nothing)));
    let file = format!("file://{}", tree.display());
    let registry = Registry::beside(&publisher, "");
    let oci = registry
        .as_ref()
        .map(|registry| pushed(&publisher, registry));
    for source in [file, web].into_iter().chain(oci) {
        let operator = TestEnv::new();
        for name in [
            "static-inventory",
            "endpoint-check",
            "hetzner-ccm",
            "namespaces",
        ] {
            operator.ztc_ok(&["plugins", "install", name, "--source", &source]);
            let info = operator.ztc_ok(&["plugins", "info", name, "--json"]).json();
            assert_eq!(info["source"], "installed", "{info:#}");
        }
        operator.ztc_ok(&["plugins", "verify"]);
    }
}

#[test]
fn the_readme_leads_from_nothing_to_a_lab_with_an_adapter_of_somebody_else() {
    if !has("jq") {
        return;
    }
    let environment = TestEnv::new();
    let commands = typed("README.md", "An adapter of somebody else: three commands");
    assert_eq!(commands.len(), 3, "{commands:?}");
    let typed = |command: &String| {
        // The test has built the programs already.
        let here = command
            .replace("cargo run --release -p ztc-lab --", "ztc-lab")
            .replace("cargo run --release -p ztc --", "ztc");
        assert_ne!(here, *command);
        let run = environment.shell("repo", &here);
        assert_eq!(run.code, Some(0), "{command}\n{run}");
        run
    };
    // Twice as they are, and once more when `cargo clean` has taken key and tree away.
    commands[..2]
        .iter()
        .for_each(|command| drop(typed(command)));
    commands[..2]
        .iter()
        .for_each(|command| drop(typed(command)));
    // The example changed under its version, as it does between two states of this repository.
    let index = environment.read("target/tree/index.json");
    let other = index.replace("\"sha256\": \"", "\"sha256\": \"0");
    assert_ne!(other, index);
    environment.write("target/tree/index.json", other);
    let anew = typed(&commands[0]).to_string();
    assert!(
        anew.contains("The tree begins anew; the old one is target/tree.before-1."),
        "{anew}"
    );
    typed(&commands[1]);
    fs::remove_dir_all(environment.repo().join("target")).unwrap();
    let runs: Vec<_> = commands.iter().map(typed).collect();
    let last = runs[2].to_string();
    for part in ["check_endpoints", "A cluster from nothing"] {
        assert!(last.contains(part), "{last}");
    }
}

#[test]
fn the_lab_builds_ztc_as_a_person_would() {
    let environment = TestEnv::new();
    let bin = environment.root().join("built");
    fs::create_dir(&bin).unwrap();
    let stand_in = "#!/bin/sh\nset -eu\nprintf '%s\\n' \"$*\" >\"$CARGO_HOME/words\"\n\
        env | sed -n 's/^\\(CARGO_[A-Z_]*\\)=.*/\\1/p' | sort >\"$CARGO_HOME/variables\"\n\
        ln -s \"$(command -v ztc)\" \"$CARGO_HOME/built/ztc\"\n";
    fs::write(bin.join("cargo"), stand_in).unwrap();
    fs::copy(programs().join("ztc-lab"), bin.join("ztc-lab")).unwrap();
    let root = environment.root().display();
    // What `cargo run` says to the program that it runs, and what a person sets for cargo.
    let said = "CARGO_PKG_NAME=ztc-lab CARGO_PKG_VERSION_PRE= CARGO_MANIFEST_DIR=/lab CARGO_MANIFEST_PATH=/lab/Cargo.toml";
    let set = format!("CARGO_HOME='{root}' CARGO_TERM_COLOR=never");
    let run = environment.shell(
        "repo",
        &format!("chmod +x '{root}/built/cargo'; PATH='{root}/built':$PATH {said} {set} '{root}/built/ztc-lab' publish ../tree"),
    );
    assert_eq!(run.code, Some(0), "{run}");
    let read = |name: &str| fs::read_to_string(environment.root().join(name)).unwrap();
    assert_eq!(read("words"), "build -p ztc --bin ztc\n");
    assert_eq!(read("variables"), "CARGO_HOME\nCARGO_TERM_COLOR\n");
}
