//! The stages that wait for Cilium and check it, and the scripts that they run.
//!
//! The scripts only look, with one exception: an operator that came up before the Gateway API's definitions is restarted once.

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::capability::{KubernetesRange, barrier};
use ztc_adapter_sdk::protocol::manifest::Tool;
use ztc_adapter_sdk::protocol::stage::{Script, Stage, StageKind};
use ztc_adapter_sdk::{script, stage_for};

use crate::versions::table;

/// Where stages find the kubeconfig: this adapter renders before the one that provides the cluster, so it cannot ask.
const KUBECONFIG: &str = "secrets/${ZTC_ENVIRONMENT}/kubeconfig";

/// The line of a script that stands for the functions that all of them use.
const COMMON_MARK: &str = "# ztc: common.sh\n";
const COMMON: &str = include_str!("../scripts/common.sh");

const WAIT_CILIUM: &str = include_str!("../scripts/wait-cilium.sh");
const WAIT_GATEWAY_API: &str = include_str!("../scripts/wait-gateway-api.sh");
const VALIDATE_CNI: &str = include_str!("../scripts/validate-cni.sh");

/// The margin between a script's own limit, after which it says why, and the moment when it is stopped.
const MARGIN_SECONDS: u32 = 60;

/// The program that the scripts start.
pub(crate) fn kubectl() -> Tool {
    Tool {
        name: "kubectl".into(),
        minimum_version: "1.28".into(),
        version_arguments: ["version", "--client", "-o", "json"]
            .map(String::from)
            .to_vec(),
        install_hint: "https://kubernetes.io/docs/tasks/tools/".into(),
    }
}

/// What the scripts have to know about what was rendered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    /// How many operators there are.
    pub(crate) operators: u8,
    /// The daemon sets in `kube-system`.
    pub(crate) daemon_sets: Vec<String>,
    /// The release of the Gateway API; empty: it is off.
    pub(crate) gateway_api: String,
    /// The Kubernetes minors of Cilium's tests, where they are known.
    pub(crate) kubernetes: Option<KubernetesRange>,
}

/// Lists the stages.
pub(crate) fn stages(subject: &Subject) -> Vec<Stage> {
    scripts(subject)
        .iter()
        .map(|script| connect(stage_for("cilium", script)))
        .collect()
}

fn connect(stage: Stage) -> Stage {
    let one = |name: &str| vec![name.to_owned()];
    match stage.name.as_str() {
        "wait_cilium" => Stage {
            barrier: Some(barrier::CLUSTER_ACCESSIBLE.into()),
            reaches: one(barrier::CNI_READY),
            ..stage
        },
        "wait_gateway_api" => Stage {
            barrier: Some(barrier::CNI_READY.into()),
            ..stage
        },
        _ => stage,
    }
}

/// Lists the scripts, in the order of their stages.
pub(crate) fn scripts(subject: &Subject) -> Vec<Script> {
    let mut scripts = vec![wait_cilium(subject)];
    if !subject.gateway_api.is_empty() {
        scripts.push(wait_gateway_api(subject));
    }
    scripts.push(validate_cni(subject));
    scripts
}

fn wait_cilium(subject: &Subject) -> Script {
    make(
        "wait-cilium.sh",
        StageKind::PostWork,
        "Wait until Cilium runs on every node",
        WAIT_CILIUM,
        600,
        json!({"operator_replicas": subject.operators, "daemon_sets": subject.daemon_sets}),
    )
}

fn wait_gateway_api(subject: &Subject) -> Script {
    make(
        "wait-gateway-api.sh",
        StageKind::PostWork,
        "Wait until Cilium accepts its GatewayClass",
        WAIT_GATEWAY_API,
        300,
        json!({"gateway_api_version": subject.gateway_api, "definitions": table().definitions()}),
    )
}

fn validate_cni(subject: &Subject) -> Script {
    let range = subject.kubernetes.clone().unwrap_or_default();
    make(
        "validate-cni.sh",
        StageKind::Validation,
        "Check that pods have a network",
        VALIDATE_CNI,
        120,
        json!({"kubernetes_minimum": range.minimum, "kubernetes_maximum": range.maximum}),
    )
}

fn make(
    name: &str,
    kind: StageKind,
    description: &str,
    text: &str,
    wait_seconds: u32,
    context: Value,
) -> Script {
    let common = COMMON
        .split_once("\n\n")
        .map_or(COMMON, |(_header, functions)| functions);
    let mut context_data = Map::from_iter([
        ("kubeconfig".to_owned(), json!(KUBECONFIG)),
        ("wait_seconds".to_owned(), json!(wait_seconds)),
    ]);
    if let Value::Object(more) = context {
        context_data.extend(more);
    }
    Script {
        timeout_seconds: wait_seconds + MARGIN_SECONDS,
        context_data,
        tools: vec![kubectl()],
        ..script(
            name,
            kind,
            description,
            &text.replacen(COMMON_MARK, common, 1),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(gateway_api: &str) -> Subject {
        Subject {
            operators: 2,
            daemon_sets: vec!["cilium".into()],
            gateway_api: gateway_api.into(),
            kubernetes: None,
        }
    }

    #[test]
    fn stages_follow_the_barriers() {
        let stages = stages(&subject("v1.3.0"));
        let summary: Vec<_> = stages
            .iter()
            .map(|stage| {
                let cached = stage.cache_key.is_some();
                (
                    stage.name.as_str(),
                    stage.kind,
                    stage.barrier.as_deref(),
                    stage.reaches.clone(),
                    cached,
                )
            })
            .collect();
        assert_eq!(
            summary,
            [
                (
                    "wait_cilium",
                    StageKind::PostWork,
                    Some("cluster_accessible"),
                    vec!["cni_ready".to_owned()],
                    true
                ),
                (
                    "wait_gateway_api",
                    StageKind::PostWork,
                    Some("cni_ready"),
                    vec![],
                    true
                ),
                ("validate_cni", StageKind::Validation, None, vec![], false),
            ]
        );
        assert_eq!(stages[0].script, "cilium://wait-cilium.sh");
    }

    #[test]
    fn without_the_gateway_api_nothing_waits_for_it() {
        let names: Vec<_> = scripts(&subject(""))
            .into_iter()
            .map(|script| script.name)
            .collect();
        assert_eq!(names, ["wait-cilium.sh", "validate-cni.sh"]);
    }

    #[test]
    fn scripts_are_whole() {
        for script in scripts(&subject("v1.3.0")) {
            let text = &script.content;
            assert!(text.starts_with("#!/usr/bin/env bash\n"), "{}", script.name);
            assert!(text.contains(
                "set -euo pipefail\n# shellcheck source=/dev/null\n. \"$ZTC_CONTEXT_SH\"\n"
            ));
            assert!(
                text.contains("\nwait_until() {\n"),
                "{} lacks the common functions",
                script.name
            );
            assert!(
                !text.contains(COMMON_MARK),
                "{} has the mark twice",
                script.name
            );
            assert_eq!(text.matches("#!/").count(), 1, "{}", script.name);
            assert!(!script.destructive && script.secrets.is_empty());
            assert_eq!(
                script.context_data["kubeconfig"],
                "secrets/${ZTC_ENVIRONMENT}/kubeconfig"
            );
            let limit = script.context_data["wait_seconds"].as_u64().unwrap();
            assert!(
                u64::from(script.timeout_seconds) > limit,
                "{} is stopped before it can say why",
                script.name
            );
        }
    }
}
