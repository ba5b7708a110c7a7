//! Compares the manifests with what Cilium's own chart makes of the same settings, where that is at hand: `ZTC_REFERENCE_DIR` names the
//! directory that has it.

mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;

use common::{manifests, objects};
use serde_json::json;

/// How many objects the comparison covers.
const OBJECTS: usize = 25;

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a skipped comparison must be visible in the test's output"
)]
fn objects_equal_those_of_the_chart() {
    let Some(directory) = std::env::var_os("ZTC_REFERENCE_DIR").map(PathBuf::from) else {
        println!("cilium objects: {OBJECTS} comparisons skipped, ZTC_REFERENCE_DIR is not set");
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
    println!("cilium objects equal: {equal}/{}", expected.len());
    assert_eq!(differing, Vec::<&String>::new());
    assert_eq!(expected.len(), OBJECTS);
}
