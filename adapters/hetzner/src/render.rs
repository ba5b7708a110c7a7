//! Turns configuration and facts into the capability, the stages and the scripts. Pure: the same parameters give the same bytes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use ztc_adapter_sdk::AdapterError;
use ztc_adapter_sdk::protocol::capability::{
    CLOUD_INFRASTRUCTURE, CloudInfrastructure, Server, SshAccess,
};
use ztc_adapter_sdk::protocol::message::{
    Diagnostic, RenderParams, RenderResult, ScriptsResult, Severity,
};

use crate::config::Config;
use crate::facts::{self, ServerFact};
use crate::stages::{self, IDENTITY_FILE, SSH_USER};

/// The disk of every server of Hetzner Cloud.
const DISK: &str = "/dev/sda";

/// What the adapter says besides the capability.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Data {
    /// The servers' ids by IP address.
    server_ids: BTreeMap<String, String>,
    /// Whether the stages boot the servers into the rescue system.
    rescue_mode_enabled: bool,
}

/// Returns the `spec.providerID` of a server's node.
pub(crate) fn provider_id(server: &ServerFact) -> String {
    format!("hcloud://{}", server.id)
}

/// Answers `render`. There are no artifacts: the servers take their configuration from the operating system's adapter.
pub(crate) fn render(params: &RenderParams) -> Result<RenderResult, AdapterError> {
    let config = Config::read(&params.config)?;
    let servers = facts::read(&params.facts, &config)?;
    let data = Data {
        server_ids: servers
            .iter()
            .map(|(ip, server)| (ip.clone(), server.id.clone()))
            .collect(),
        rescue_mode_enabled: true,
    };
    Ok(RenderResult {
        stages: stages::stages(&config, &servers),
        capabilities: [(
            CLOUD_INFRASTRUCTURE.to_owned(),
            value(capability(&config, &servers))?,
        )]
        .into(),
        data: value(data)?,
        diagnostics: warnings(&config, &servers),
        ..RenderResult::default()
    })
}

/// Answers `scripts`.
pub(crate) fn scripts(params: &RenderParams) -> Result<ScriptsResult, AdapterError> {
    let config = Config::read(&params.config)?;
    let servers = facts::read(&params.facts, &config)?;
    Ok(ScriptsResult {
        scripts: stages::scripts(&config, &servers),
    })
}

fn capability(config: &Config, servers: &[(String, ServerFact)]) -> CloudInfrastructure {
    let servers = servers.iter().map(|(ip, server)| {
        let machine = Server {
            id: server.id.clone(),
            name: server.name.clone(),
            architecture: server.architecture.clone(),
            platform: "hcloud".into(),
            disk: DISK.into(),
            provider_id: provider_id(server),
        };
        (ip.clone(), machine)
    });
    CloudInfrastructure {
        provider: "hetzner".into(),
        servers: servers.collect(),
        rescue_mode_enabled: true,
        ssh: SshAccess {
            user: SSH_USER.into(),
            identity_file: IDENTITY_FILE.into(),
            config_file: config.ssh_config().to_owned(),
        },
    }
}

/// Says early what the stage would refuse later.
fn warnings(config: &Config, servers: &[(String, ServerFact)]) -> Vec<Diagnostic> {
    let pointers = config.server_ips.entries();
    let protected = pointers
        .into_iter()
        .zip(servers)
        .filter(|(_, (_, server))| server.protected);
    protected
        .map(|((pointer, ip), (_, server))| Diagnostic {
            pointer,
            severity: Severity::Warning,
            message: format!("server `{}` (`{ip}`) is protected against deletion or rebuild, so its disk will not be erased", server.name),
            help: Some("make sure that the address is the right server's; remove the protection only if its data may go (https://console.hetzner.cloud), then run `ztc render --refresh`".into()),
        })
        .collect()
}

fn value(of: impl Serialize) -> Result<Value, AdapterError> {
    serde_json::to_value(of).map_err(|error| AdapterError::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ztc_adapter_sdk::protocol::ErrorCode;
    use ztc_adapter_sdk::{Adapter, CallContext};

    use super::*;
    use crate::Hetzner;

    fn params(server_ips: Value) -> RenderParams {
        let config = json!({
            "api_token": {"from": "env", "name": "HCLOUD_TOKEN"},
            "server_ips": server_ips,
            "ssh_config": "ssh/config",
        });
        let servers = json!({
            "203.0.113.10": {
                "id": "4711", "name": "cp01", "type": "cpx21", "architecture": "amd64", "location": "fsn1", "disk_gb": 80, "protected": false,
            },
            "203.0.113.11": {
                "id": "4712", "name": "worker01", "type": "cax21", "architecture": "arm64", "location": "hel1", "protected": true,
            },
            "203.0.113.12": {"id": "4713", "name": "former", "type": "cx22", "architecture": "amd64"},
        });
        RenderParams {
            config: config.as_object().unwrap().clone(),
            facts: [("servers".to_owned(), servers)].into(),
            ..RenderParams::default()
        }
    }

    fn both() -> RenderParams {
        params(json!(["203.0.113.11", "203.0.113.10"]))
    }

    #[test]
    fn the_result_is_that_of_the_listed_servers() {
        let result = Hetzner.render(both(), &CallContext::detached()).unwrap();
        let item = |ip: &str, id: &str, name: &str| {
            let mut context = json!({"server_id": id, "server_ip": ip, "server_name": name});
            if name == "cp01" {
                // The other server's facts are older than the size of the disk.
                context["machine"] = json!("cpx21 with a disk of 80 GB");
            }
            json!({"key": ip, "name": name, "context": context})
        };
        let stage = |name: &str, script: &str, description: &str| {
            json!({
                "name": name, "description": description, "script": script, "kind": "pre_work", "cache_key": name, "required": true,
                "args": [], "skip_if_empty": null, "barrier": null, "needs": [], "reaches": [], "for_each": null, "retry": null,
            })
        };
        let mut rescue = stage(
            "enable_rescue_mode",
            "hetzner://enable-rescue-mode.sh",
            "Boot every server into its rescue system",
        );
        let each = json!({
            "item": "server",
            "items": [item("203.0.113.11", "4712", "worker01"), item("203.0.113.10", "4711", "cp01")],
        });
        rescue["reaches"] = json!(["rescue_ready"]);
        rescue["for_each"] = each.clone();
        let mut check = stage(
            "check_servers",
            "hetzner://check-servers.sh",
            "Look at every server before any of them is switched off",
        );
        check["for_each"] = each;
        let mut join = stage(
            "await_checks",
            "hetzner://await-checks.sh",
            "Wait until every server is checked",
        );
        join["cache_key"] = Value::Null;
        let mut ids = stage(
            "validate_server_ids",
            "hetzner://validate-server-ids.sh",
            "Check that every node belongs to the server that was configured",
        );
        ids["kind"] = json!("validation");
        ids["cache_key"] = Value::Null;
        let machine = |id: &str, name: &str, architecture: &str| {
            json!({
                "id": id, "name": name, "architecture": architecture,
                "platform": "hcloud", "disk": "/dev/sda", "provider_id": format!("hcloud://{id}"),
            })
        };
        let message = "server `worker01` (`203.0.113.11`) is protected against deletion or rebuild, so its disk will not be erased";
        let expected = json!({
            "artifacts": [],
            "stages": [check, join, rescue, ids],
            "env_vars": {},
            "capabilities": {
                "cloud-infrastructure": {
                    "provider": "hetzner",
                    "servers": {
                        "203.0.113.10": machine("4711", "cp01", "amd64"),
                        "203.0.113.11": machine("4712", "worker01", "arm64"),
                    },
                    "rescue_mode_enabled": true,
                    "ssh": {"user": "root", "identity_file": "rescue/{ip}/id_ed25519", "config_file": "ssh/config"},
                },
            },
            "data": {
                "server_ids": {"203.0.113.10": "4711", "203.0.113.11": "4712"},
                "rescue_mode_enabled": true,
            },
            "diagnostics": [{
                "pointer": "/server_ips/0", "severity": "warning", "message": message,
                "help": "make sure that the address is the right server's; remove the protection only if its data may go (https://console.hetzner.cloud), then run `ztc render --refresh`",
            }],
        });
        assert_eq!(serde_json::to_value(result).unwrap(), expected);
    }

    #[test]
    fn the_same_parameters_give_the_same_bytes() {
        let bytes = || {
            let call = CallContext::detached();
            let result = Hetzner.render(both(), &call).unwrap();
            let scripts = Hetzner.scripts(both(), &call).unwrap();
            (
                serde_json::to_string(&result).unwrap(),
                serde_json::to_string(&scripts).unwrap(),
            )
        };
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn a_server_without_facts_is_named_with_the_command_that_finds_it() {
        let check = |params: RenderParams| {
            let error = Hetzner
                .render(params.clone(), &CallContext::detached())
                .unwrap_err();
            let also = Hetzner
                .scripts(params, &CallContext::detached())
                .unwrap_err();
            assert_eq!(error.message, also.message);
            assert_eq!(error.code, ErrorCode::InvalidInputs);
            assert_eq!(
                error.data.help.as_deref(),
                Some("run `ztc render --refresh`")
            );
            (
                error.message,
                error
                    .data
                    .diagnostics
                    .into_iter()
                    .map(|d| d.pointer)
                    .collect::<Vec<_>>(),
            )
        };
        let (message, pointers) = check(params(json!(["203.0.113.10", "203.0.113.99"])));
        assert_eq!(
            message,
            "nothing is known yet about `203.0.113.99`: run `ztc render --refresh`"
        );
        assert_eq!(pointers, ["/server_ips/1"]);
        let mut broken = both();
        broken
            .facts
            .insert("servers".into(), json!({"203.0.113.10": {"id": 4711}}));
        let (message, _) = check(broken);
        assert!(
            message
                .starts_with("the facts about the servers in `platform/lock.json` cannot be read"),
            "{message}"
        );
    }

    #[test]
    fn stages_name_their_scripts_and_scripts_their_needs() {
        let call = CallContext::detached();
        let stages = Hetzner.render(both(), &call).unwrap().stages;
        let scripts = Hetzner.scripts(both(), &call).unwrap().scripts;
        let named: Vec<_> = stages
            .iter()
            .map(|stage| stage.script.trim_start_matches("hetzner://"))
            .collect();
        let given: Vec<_> = scripts.iter().map(|script| script.name.as_str()).collect();
        assert_eq!(named, given);
        let declared = Hetzner.manifest().tools;
        assert!(
            scripts
                .iter()
                .flat_map(|script| &script.tools)
                .all(|tool| declared.contains(tool))
        );
        let [check, join, rescue, ids] = scripts.as_slice() else {
            panic!("four scripts")
        };
        let destructive = [check, join, rescue, ids].map(|script| script.destructive);
        assert_eq!(destructive, [false, false, true, false]);
        assert!(
            scripts
                .iter()
                .all(|script| !script.content.contains("\n. api.sh\n")
                    && !script.content.contains("\n. server.sh\n"))
        );
        assert_eq!((rescue.timeout_seconds, ids.timeout_seconds), (900, 120));
        assert_eq!(
            rescue
                .secrets
                .iter()
                .map(|s| (s.variable.as_str(), s.input.as_str()))
                .collect::<Vec<_>>(),
            [("HCLOUD_TOKEN", "api_token")]
        );
        assert_eq!(
            Value::Object(rescue.context_data.clone()),
            json!({
                "ssh_user": "root",
                "ssh_config": "ssh/config",
                "kubeconfig": "secrets/${ZTC_ENVIRONMENT}/kubeconfig",
            })
        );
        let expected = json!({
            "kubeconfig": "secrets/${ZTC_ENVIRONMENT}/kubeconfig",
            "servers": [
                {"ip": "203.0.113.11", "name": "worker01", "provider_id": "hcloud://4712"},
                {"ip": "203.0.113.10", "name": "cp01", "provider_id": "hcloud://4711"},
            ],
        });
        assert_eq!(Value::Object(ids.context_data.clone()), expected);
        assert!(
            scripts
                .iter()
                .all(|script| script.content.starts_with("#!/usr/bin/env bash\n"))
        );
    }

    #[test]
    fn the_answer_keeps_to_the_contract() {
        let manifest = Hetzner.manifest();
        let result = Hetzner.render(both(), &CallContext::detached()).unwrap();
        assert_eq!(
            manifest
                .provides
                .iter()
                .map(|p| p.capability.as_str())
                .collect::<Vec<_>>(),
            ["cloud-infrastructure"]
        );
        let read: CloudInfrastructure =
            serde_json::from_value(result.capabilities[CLOUD_INFRASTRUCTURE].clone()).unwrap();
        assert_eq!(
            serde_json::to_value(&read).unwrap(),
            result.capabilities[CLOUD_INFRASTRUCTURE]
        );
        assert!(manifest.discovers && manifest.secrets.iter().all(|secret| secret.discover));
        assert!(
            manifest
                .supported_versions
                .contains(&manifest.default_version)
        );
    }
}
