//! Fifty machines at once, in the lab: what ztc itself costs, in time and in memory.

use std::collections::BTreeSet;

use super::*;
use crate::pipeline::memory;

/// The time that the run could not be shorter than: the longest way through its tasks, each as long as it was. A task waits for that of its
/// own item in every stage before its own, near or far, else for all of that stage.
fn critical_path(report: &Value) -> f64 {
    let mut ends: BTreeMap<(&str, Option<&str>), f64> = BTreeMap::new();
    let mut before: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for stage in report["stages"].as_array().unwrap() {
        let name = stage["stage"].as_str().unwrap();
        let needs = stage["needs"].as_array().unwrap().iter();
        let all: BTreeSet<&str> = needs
            .map(|need| need.as_str().unwrap())
            .flat_map(|need| before[need].iter().copied().chain([need]))
            .collect();
        for task in stage["tasks"].as_array().unwrap() {
            let item = task["item"].as_str();
            let begin = all.iter().flat_map(|need| match item {
                Some(_) if ends.contains_key(&(*need, item)) => vec![ends[&(*need, item)]],
                _ => {
                    let of_stage = ends.iter().filter(|((stage, _), _)| stage == need);
                    of_stage.map(|(_, end)| *end).collect()
                }
            });
            let begin = begin.fold(0.0, f64::max);
            let attempts = task["attempts"].as_array().unwrap();
            let took = attempts.last().map_or(0.0, |last| {
                last["end"].as_f64().unwrap() - attempts[0]["start"].as_f64().unwrap()
            });
            ends.insert((name, item), begin + took);
        }
        before.insert(name, all);
    }
    ends.into_values().fold(0.0, f64::max)
}

#[test]
fn fifty_machines_take_hardly_longer_than_the_longest_way() {
    let (environment, lab) = rendered(&["--nodes", "50", "--control-planes", "3", "--speed", "20"]);
    let mut command = environment.command(&BOOTSTRAP);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let memory = memory(child.id());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_installed_once(&lab);
    let memory = memory.join().unwrap();
    let report = environment.ztc_ok(&["report", "--format", "json"]).json();
    let (took, least) = (report["seconds"].as_f64().unwrap(), critical_path(&report));
    let figures = format!("{took:.1} s, the longest way {least:.1} s, {memory} kB");
    assert!(took <= 1.2 * least && took >= least - 0.1, "{figures}");
    assert!(memory < 100_000, "{figures}");
}
