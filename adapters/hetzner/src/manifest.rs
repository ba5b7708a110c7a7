//! Who the adapter is: what it provides, what it may touch, what it needs. Only declares; other modules do.

use ztc_adapter_sdk::protocol::Manifest;
use ztc_adapter_sdk::protocol::capability::CLOUD_INFRASTRUCTURE;
use ztc_adapter_sdk::protocol::manifest::{
    EnvironmentVariable, NetworkEndpoint, Provision, SecretInput,
};

use crate::render::Data;
use crate::versions::versions;
use crate::{config, endpoint, stages};

/// Returns the manifest.
pub(crate) fn manifest() -> Manifest {
    Manifest {
        name: "hetzner".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        description: "Servers of Hetzner Cloud: finds them and boots them into the rescue system"
            .into(),
        homepage: Some(env!("CARGO_PKG_REPOSITORY").into()),
        license: Some(env!("CARGO_PKG_LICENSE").into()),
        phase: "foundation".into(),
        selection_group: "cloud_provider".into(),
        is_default: true,
        group_prompt: "Where do the servers come from?".into(),
        group_help:
            "The provider that owns the machines, powers them and boots their rescue system.".into(),
        provides: vec![Provision {
            capability: CLOUD_INFRASTRUCTURE.into(),
            version: "1.0".into(),
            schema: None,
        }],
        supported_versions: versions().supported.clone(),
        default_version: versions().default.clone(),
        config_schema: config::schema(),
        output_schema: schemars::schema_for!(Data).to_value(),
        environment: vec![EnvironmentVariable {
            name: endpoint::VARIABLE.into(),
            why: "the address of the API, where it is not https://api.hetzner.cloud/v1".into(),
        }],
        secrets: vec![SecretInput {
            input: "api_token".into(),
            variable: "HCLOUD_TOKEN".into(),
            why: "finds the servers, switches them off and on, and enables their rescue system"
                .into(),
            discover: true,
        }],
        network: vec![NetworkEndpoint {
            host: "api.hetzner.cloud".into(),
            port: 443,
            why: "looks up ids, types and architectures of the servers".into(),
        }],
        tools: stages::tools(),
        discovers: true,
        ..Manifest::default()
    }
}
