//! Whether what was rendered fits into a platform: the host's own code makes a pipeline of it, alone and beside a second section. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;
use ztc_protocol::Manifest;
use ztc_protocol::capability::{CLOUD_INFRASTRUCTURE, barrier};
use ztc_protocol::message::RenderResult;
use ztc_protocol::stage::{Script, Stage};

use crate::conformance::checks::fault;
use crate::conformance::report::{Fault, Outcome};
use crate::error::{Failure, did_you_mean};
use crate::pipeline::file::{AdapterStages, compose};

/// Who does for the kit what other adapters do in a platform.
const OTHERS: &str = "others";

/// The barriers that the adapters of ztc reach.
const KNOWN: [&str; 4] = [
    barrier::RESCUE_READY,
    barrier::CLUSTER_INSTALLED,
    barrier::CLUSTER_ACCESSIBLE,
    barrier::CNI_READY,
];

/// Makes the pipeline of this one adapter.
pub(super) fn pipeline(manifest: &Manifest, result: &RenderResult, scripts: &[Script]) -> Outcome {
    let mut own = contribution(&manifest.name, manifest, result, scripts);
    let barriers = foreign_barriers(&own.stages);
    let needs = foreign_needs(&mut own.stages);
    let count = own.stages.len();
    let mut faults = infrastructure(result);
    if let Err(failure) = compose(&[others(&barriers), own]) {
        faults.extend(faults_of(failure));
    }
    let mut notes = vec![match count {
        1 => "1 stage fits".to_owned(),
        _ => format!("{count} stages fit together"),
    }];
    let words = |names: &BTreeSet<String>| -> String {
        let words: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        words.join(", ")
    };
    if !barriers.is_empty() {
        notes.push(format!("another adapter must reach {}", words(&barriers)));
    }
    let strange: BTreeSet<String> = barriers
        .into_iter()
        .filter(|name| !KNOWN.contains(&name.as_str()))
        .collect();
    if !strange.is_empty() {
        notes.push(format!("no adapter of ztc reaches {}", words(&strange)));
    }
    if !needs.is_empty() {
        notes.push(format!("another adapter must have {}", words(&needs)));
    }
    Outcome::of(faults, notes.join("; "))
}

/// Puts what two sections rendered into one pipeline. The error says what gets into whose way.
pub(super) fn beside(
    manifest: &Manifest,
    first: (&str, &RenderResult, &[Script]),
    second: (&str, &RenderResult, &[Script]),
) -> Result<(), Failure> {
    let of = |(section, result, scripts): (&str, &RenderResult, &[Script])| {
        let mut own = contribution(section, manifest, result, scripts);
        foreign_needs(&mut own.stages);
        own
    };
    let both = [of(first), of(second)];
    let all: Vec<Stage> = both.iter().flat_map(|own| own.stages.clone()).collect();
    let [first, second] = both;
    compose(&[others(&foreign_barriers(&all)), first, second]).map(drop)
}

fn contribution(
    section: &str,
    manifest: &Manifest,
    result: &RenderResult,
    scripts: &[Script],
) -> AdapterStages {
    AdapterStages {
        section: section.to_owned(),
        manifest: manifest.clone(),
        stages: result.stages.clone(),
        scripts: scripts.to_vec(),
        env_vars: result.env_vars.clone(),
    }
}

/// An adapter that reaches what this one waits for.
fn others(barriers: &BTreeSet<String>) -> AdapterStages {
    AdapterStages {
        section: OTHERS.to_owned(),
        manifest: Manifest {
            name: OTHERS.to_owned(),
            ..Manifest::default()
        },
        stages: vec![Stage {
            name: "ztc_kit_others".to_owned(),
            script: format!("{OTHERS}://others.sh"),
            reaches: barriers.iter().cloned().collect(),
            ..Stage::default()
        }],
        scripts: vec![Script {
            name: "others.sh".to_owned(),
            ..Script::default()
        }],
        ..AdapterStages::default()
    }
}

/// The barriers that stages wait for and none of them reaches.
fn foreign_barriers(stages: &[Stage]) -> BTreeSet<String> {
    let reached: BTreeSet<&String> = stages.iter().flat_map(|stage| &stage.reaches).collect();
    let awaited = stages.iter().filter_map(|stage| stage.barrier.as_ref());
    awaited
        .filter(|name| !reached.contains(name))
        // One that cannot be a name stays where it is, and is refused.
        .filter(|name| {
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .cloned()
        .collect()
}

/// Takes the needs out that only another adapter's stages can meet, and returns them. One that is nearly the name of an own stage stays.
fn foreign_needs(stages: &mut [Stage]) -> BTreeSet<String> {
    let own: Vec<String> = stages.iter().map(|stage| stage.name.clone()).collect();
    let mut foreign = BTreeSet::new();
    for need in stages.iter_mut().flat_map(|stage| {
        let needs = std::mem::take(&mut stage.needs);
        let (kept, taken): (Vec<String>, Vec<String>) = needs.into_iter().partition(|need| {
            own.contains(need) || did_you_mean(need, own.iter().map(String::as_str)).is_some()
        });
        stage.needs = kept;
        taken
    }) {
        foreign.insert(need);
    }
    foreign
}

/// What the schema of `cloud-infrastructure` cannot say.
fn infrastructure(result: &RenderResult) -> Vec<Fault> {
    let Some(data) = result.capabilities.get(CLOUD_INFRASTRUCTURE) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let reached = result
        .stages
        .iter()
        .flat_map(|stage| &stage.reaches)
        .any(|name| name == barrier::RESCUE_READY);
    if data["rescue_mode_enabled"] == true && !reached {
        faults.push(fault(
            "`rescue_mode_enabled`",
            "is true and no stage of the adapter reaches `rescue_ready`, for which the stages that install wait",
        ));
    }
    let servers = data["servers"].as_object().into_iter().flatten();
    let strange = servers.filter(|(address, _)| address.parse::<IpAddr>().is_err());
    faults.extend(strange.map(|(address, _): (&String, &Value)| {
        fault(
            format!("the server `{address}`"),
            "its key is not its IP address",
        )
    }));
    faults
}

fn faults_of(failure: Failure) -> Vec<Fault> {
    if failure.findings.is_empty() {
        return vec![fault("the pipeline", failure.message)];
    }
    let findings = failure.findings.into_iter();
    findings
        .map(|finding| {
            let help = finding
                .help
                .map_or_else(String::new, |help| format!(": {help}"));
            fault("the pipeline", format!("{}{help}", finding.message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(change: impl Fn(&mut RenderResult), expected: &[&str]) {
        let stage = |name: &str| Stage {
            name: name.into(),
            script: "rack://a.sh".into(),
            ..Stage::default()
        };
        let mut result = RenderResult {
            stages: vec![stage("rack_power_on"), stage("rack_look")],
            ..RenderResult::default()
        };
        result.stages[0].reaches = vec!["rescue_ready".into()];
        let capability = json!({ "rescue_mode_enabled": true, "servers": { "192.0.2.1": {} } });
        result.capabilities = [(CLOUD_INFRASTRUCTURE.to_owned(), capability)].into();
        change(&mut result);
        let manifest = Manifest {
            name: "rack".into(),
            ..Manifest::default()
        };
        let script = Script {
            name: "a.sh".into(),
            ..Script::default()
        };
        let told: Vec<String> = match pipeline(&manifest, &result, &[script]) {
            Outcome::Ok { note } => vec![note],
            Outcome::Skipped { why } => vec![why],
            Outcome::Failed { faults } => faults
                .into_iter()
                .map(|fault| format!("{}: {}", fault.place, fault.why))
                .collect(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn what_a_render_would_refuse_is_found_before() {
        check(|_| {}, &["2 stages fit together"]);
        check(
            |result| {
                result.stages[1].barrier = Some("clusters_accessible".into());
                result.stages[1].needs = vec!["install_talos".into()];
            },
            &[
                "2 stages fit together; another adapter must reach `clusters_accessible`; no adapter of ztc reaches \
               `clusters_accessible`; another adapter must have `install_talos`",
            ],
        );
        check(
            |result| result.stages[1].needs = vec!["rack_power".into()],
            &[
                "the pipeline: stage `rack_look` of adapter `rack` needs the unknown stage `rack_power`: did you mean `rack_power_on`?",
            ],
        );
        check(
            |result| result.stages[0].needs = vec!["rack_look".into()],
            &[
                "the pipeline: stages wait for each other in a circle, `rack_power_on` → `rack_look` → `rack_power_on`: `rack_power_on` waits for `rack_look` (it says so), \
               `rack_look` waits for `rack_power_on` (stages of one adapter follow each other)",
            ],
        );
        check(
            |result| result.env_vars = [("ZTC_USER".to_owned(), "x".to_owned())].into(),
            &[
                "the pipeline: adapter `rack`: the pipeline's environment: the variable `ZTC_USER` is not the adapter's to set",
            ],
        );
        check(
            |result| {
                result.stages[0].reaches.clear();
                let servers = json!({ "rescue_mode_enabled": true, "servers": { "cp01": {} } });
                result
                    .capabilities
                    .insert(CLOUD_INFRASTRUCTURE.to_owned(), servers);
            },
            &[
                "`rescue_mode_enabled`: is true and no stage of the adapter reaches `rescue_ready`, for which the stages that install wait",
                "the server `cp01`: its key is not its IP address",
            ],
        );
    }
}
