//! Checks what is rendered against what nobody here wrote: the objects of Cilium's own chart for the same settings and
//! the schemas of its resources, where `ZTC_REFERENCE_DIR` names the directory that has them, and the schemas of Kubernetes, from the package
//! `kubernetes-validate` in `target/python` (`.ci/run` puts it there).

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{manifests, objects, variants};
use serde_json::{Value, json};

/// Reads YAML documents from stdin, prints what is wrong with each, and at last `valid/all`. Kinds that Kubernetes does not define are not counted.
const VALIDATOR: &str = r#"
import sys, yaml, kubernetes_validate
valid = checked = 0
for document in yaml.safe_load_all(sys.stdin):
    if document is None:
        continue
    try:
        kubernetes_validate.validate(document, sys.argv[1], strict=True)
        valid += 1
        checked += 1
    except kubernetes_validate.SchemaNotFoundError:
        if "cilium.io/" not in document["apiVersion"] and "gateway.networking.k8s.io/" not in document["apiVersion"]:
            raise
    except kubernetes_validate.ValidationError as error:
        checked += 1
        print(document["kind"], document["metadata"]["name"], list(error.path), error.message[:300])
print(f"{valid}/{checked}")
"#;

fn validate(python: &Path, version: &str, documents: &str) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test that asks a program of others"
    )]
    let mut command = Command::new("python3");
    let mut child = command
        .args(["-c", VALIDATOR, version])
        .env("PYTHONPATH", python)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin
        .write_all(documents.as_bytes())
        .expect("the validator reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the validator ends");
    assert!(output.status.success(), "the validator failed");
    String::from_utf8(output.stdout).expect("Python writes UTF-8")
}

/// Says a count that is to be seen even where the test succeeds and its output is kept back.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn objects_satisfy_the_schemas_of_kubernetes() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python");
    if !python.join("kubernetes_validate").is_dir() {
        say(&format!(
            "kubernetes objects: {} renderings skipped, target/python has no kubernetes-validate",
            variants().len()
        ));
        assert!(
            std::env::var_os("CI").is_none(),
            "the check must not be skipped in CI"
        );
        return;
    }
    let texts: Vec<_> = variants().iter().map(manifests).collect();
    let broken = texts[0].replacen("replicas: 2", "replicas: two", 1);
    assert!(validate(&python, "1.33", &broken).contains("'two' is not of type 'integer'"));
    for version in ["1.30", "1.33"] {
        let said = validate(&python, version, &texts.join("\n"));
        say(&format!(
            "kubernetes objects valid: {} (Kubernetes {version})",
            said.trim()
        ));
        let (valid, checked) = said.trim().split_once('/').expect("nothing but the counts");
        assert_eq!(valid, checked);
        assert!(checked.parse::<usize>().unwrap() > 100, "{checked}");
    }
}

#[test]
fn resources_of_cilium_satisfy_their_schemas() {
    let resources: Vec<(String, Value)> = variants()
        .iter()
        .flat_map(|section| objects(&manifests(section)))
        .filter(|(_, object)| object["apiVersion"] == "cilium.io/v2")
        .collect();
    let Some(directory) = std::env::var_os("ZTC_REFERENCE_DIR").map(PathBuf::from) else {
        say(&format!(
            "cilium BGP objects: {} checks skipped, ZTC_REFERENCE_DIR is not set",
            resources.len()
        ));
        return;
    };
    let schema = |kind: &str| -> Value {
        let file = format!("cilium/crd-json-schemas/{}_v2.json", kind.to_lowercase());
        serde_json::from_str(&std::fs::read_to_string(directory.join(file)).unwrap()).unwrap()
    };
    let mut wrong = Vec::new();
    for (key, object) in &resources {
        let validator =
            jsonschema::validator_for(&schema(object["kind"].as_str().unwrap())).unwrap();
        wrong.extend(
            validator
                .iter_errors(object)
                .map(|error| format!("{key}: {error}")),
        );
    }
    say(&format!(
        "cilium BGP objects valid: {}/{}",
        resources.len() - wrong.len(),
        resources.len()
    ));
    assert_eq!(wrong, Vec::<String>::new());
    assert!(resources.len() >= 8, "{}", resources.len());
    let mut broken = resources[0].1.clone();
    broken["spec"]["unknown"] = Value::Bool(true);
    let validator = jsonschema::validator_for(&schema(broken["kind"].as_str().unwrap())).unwrap();
    assert!(!validator.is_valid(&broken), "the schemas refuse nothing");
}

/// How many objects the comparison covers.
const OBJECTS: usize = 25;

#[test]
fn objects_equal_those_of_the_chart() {
    let Some(directory) = std::env::var_os("ZTC_REFERENCE_DIR").map(PathBuf::from) else {
        say(&format!(
            "cilium objects: {OBJECTS} comparisons skipped, ZTC_REFERENCE_DIR is not set"
        ));
        return;
    };
    let file = directory.join("cilium/talos-gateway-deterministic.yaml");
    let expected = objects(&std::fs::read_to_string(&file).unwrap());
    let ours = objects(&manifests(&json!({})));
    let keys: BTreeSet<_> = expected.keys().chain(ours.keys()).collect();
    let differing: Vec<_> = keys
        .into_iter()
        .filter(|key| expected.get(*key) != ours.get(*key))
        .collect();
    let equal = expected
        .iter()
        .filter(|(key, object)| ours.get(*key) == Some(*object))
        .count();
    say(&format!("cilium objects equal: {equal}/{}", expected.len()));
    assert_eq!(differing, Vec::<&String>::new());
    assert_eq!(expected.len(), OBJECTS);
}
