//! The stages and their scripts: apply the namespaces once, and compare the cluster with them after every run.

use serde_json::{Value, json};
use ztc_adapter_sdk::protocol::capability::{KubernetesApi, barrier};
use ztc_adapter_sdk::protocol::manifest::Tool;
use ztc_adapter_sdk::protocol::stage::{Script, Stage, StageKind};
use ztc_adapter_sdk::{script, stage_for};

use crate::manifests::FILE;
use crate::{Config, NAME};

/// Returns the stages.
pub(crate) fn stages(config: &Config, kubernetes: &KubernetesApi) -> Vec<Stage> {
    let stage = |script: &Script| Stage {
        barrier: Some(barrier::CLUSTER_ACCESSIBLE.into()),
        ..stage_for(NAME, script)
    };
    scripts(config, kubernetes).iter().map(stage).collect()
}

/// Returns their scripts.
pub(crate) fn scripts(config: &Config, kubernetes: &KubernetesApi) -> [Script; 2] {
    let names: Vec<&str> = config
        .namespaces
        .iter()
        .map(|namespace| namespace.name.as_str())
        .collect();
    let context = json!({ "kubeconfig": kubernetes.kubeconfig_path, "namespaces": names });
    let complete = |script: Script| Script {
        timeout_seconds: 120,
        context_data: match &context {
            Value::Object(context) => context.clone(),
            _ => Default::default(),
        },
        files: [(FILE.to_owned(), format!("platform/{NAME}/{FILE}"))].into(),
        tools: tools(),
        ..script
    };
    let apply = script(
        "apply-namespaces.sh",
        StageKind::PostWork,
        "Make the namespaces",
        include_str!("../scripts/apply-namespaces.sh"),
    );
    let validate = script(
        "validate-namespaces.sh",
        StageKind::Validation,
        "Check that every namespace is there and as configured",
        include_str!("../scripts/validate-namespaces.sh"),
    );
    [complete(apply), complete(validate)]
}

/// Returns the programs that the scripts start.
pub(crate) fn tools() -> Vec<Tool> {
    vec![Tool {
        name: "kubectl".into(),
        minimum_version: "1.28".into(),
        version_arguments: ["version", "--client", "-o", "json"]
            .map(str::to_owned)
            .into(),
        install_hint: "see https://kubernetes.io/docs/tasks/tools".into(),
    }]
}
