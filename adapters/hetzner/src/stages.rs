//! The steps that the adapter contributes to a bootstrap, with their scripts, programs and secrets. The work itself is in `scripts/`.

use serde_json::{Map, Value, json};
use ztc_adapter_sdk::protocol::capability::barrier::RESCUE_READY;
use ztc_adapter_sdk::protocol::manifest::Tool;
use ztc_adapter_sdk::protocol::stage::{ForEach, Item, Script, ScriptSecret, Stage, StageKind};
use ztc_adapter_sdk::{script, stage_for};

use crate::config::Config;
use crate::facts::ServerFact;
use crate::render::provider_id;

/// Who logs in to a rescue system.
pub(crate) const SSH_USER: &str = "root";

/// Where the stage leaves the key of a server's rescue system, below the stages' state directory.
pub(crate) const IDENTITY_FILE: &str = "rescue/{ip}/id_ed25519";

/// The lines with which a script takes shared functions in, and these.
const INCLUDES: [(&str, &str); 2] = [
    (
        "# shellcheck source=server.sh\n. server.sh\n",
        include_str!("../scripts/server.sh"),
    ),
    (
        "# shellcheck source=api.sh\n. api.sh\n",
        include_str!("../scripts/api.sh"),
    ),
];

/// Where the operating system's adapter leaves the kubeconfig.
const KUBECONFIG: &str = "secrets/${ZTC_ENVIRONMENT}/kubeconfig";

/// Returns the stages. Servers go their own ways from stage to stage; the one without servers in between makes sure that none is switched
/// off before all are checked. It always runs, so that nothing behind it runs again because of it.
pub(crate) fn stages(config: &Config, servers: &[(String, ServerFact)]) -> Vec<Stage> {
    let [check, join, rescue, ids] = all_scripts(config, servers);
    let each = || ForEach {
        item: "server".into(),
        items: servers.iter().map(item).collect(),
    };
    let check = Stage {
        for_each: Some(each()),
        ..stage_for("hetzner", &check)
    };
    let join = Stage {
        cache_key: None,
        ..stage_for("hetzner", &join)
    };
    let rescue = Stage {
        reaches: vec![RESCUE_READY.into()],
        for_each: Some(each()),
        ..stage_for("hetzner", &rescue)
    };
    vec![check, join, rescue, stage_for("hetzner", &ids)]
}

/// Returns the scripts of the stages.
pub(crate) fn scripts(config: &Config, servers: &[(String, ServerFact)]) -> Vec<Script> {
    all_scripts(config, servers).into()
}

/// Returns every program that the scripts start.
pub(crate) fn tools() -> Vec<Tool> {
    rescue_tools()
}

/// Makes the item of a server. Its context holds what the script needs, and what the operator should see before he confirms. A change of the
/// latter makes no server boot into its rescue system: what destroys data is not repeated because it looks different.
fn item((ip, server): &(String, ServerFact)) -> Item {
    let mut context =
        json!({ "server_id": server.id, "server_ip": ip, "server_name": server.name });
    if !server.machine().is_empty() {
        context["machine"] = server.machine().into();
    }
    Item {
        key: ip.clone(),
        name: server.name.clone(),
        context: map(context),
        ..Item::default()
    }
}

fn all_scripts(config: &Config, servers: &[(String, ServerFact)]) -> [Script; 4] {
    let token = || {
        vec![ScriptSecret {
            variable: "HCLOUD_TOKEN".into(),
            input: "api_token".into(),
        }]
    };
    let check = Script {
        timeout_seconds: 420,
        context_data: map(json!({ "kubeconfig": KUBECONFIG })),
        tools: vec![curl(), jq(), kubectl()],
        secrets: token(),
        ..script(
            "check-servers.sh",
            StageKind::PreWork,
            "Look at every server before any of them is switched off",
            &whole(include_str!("../scripts/check-servers.sh")),
        )
    };
    let join = Script {
        timeout_seconds: 30,
        context_data: map(json!({ "servers": servers.len() })),
        ..script(
            "await-checks.sh",
            StageKind::PreWork,
            "Wait until every server is checked",
            include_str!("../scripts/await-checks.sh"),
        )
    };
    let rescue = Script {
        timeout_seconds: 900,
        context_data: map(json!({
            "ssh_user": SSH_USER,
            "ssh_config": config.ssh_config(),
            "kubeconfig": KUBECONFIG,
        })),
        tools: rescue_tools(),
        secrets: token(),
        destructive: true,
        ..script(
            "enable-rescue-mode.sh",
            StageKind::PreWork,
            "Boot every server into its rescue system",
            &whole(include_str!("../scripts/enable-rescue-mode.sh")),
        )
    };
    let expected: Vec<Value> = servers
        .iter()
        .map(|(ip, server)| json!({ "ip": ip, "name": server.name, "provider_id": provider_id(server) }))
        .collect();
    let ids = Script {
        timeout_seconds: 120,
        context_data: map(json!({ "kubeconfig": KUBECONFIG, "servers": expected })),
        tools: vec![jq(), kubectl()],
        ..script(
            "validate-server-ids.sh",
            StageKind::Validation,
            "Check that every node belongs to the server that was configured",
            include_str!("../scripts/validate-server-ids.sh"),
        )
    };
    [check, join, rescue, ids]
}

/// Puts the shared functions into a script.
fn whole(text: &str) -> String {
    INCLUDES
        .iter()
        .fold(text.to_owned(), |text, (line, library)| {
            text.replace(line, library)
        })
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn rescue_tools() -> Vec<Tool> {
    vec![
        curl(),
        jq(),
        tool(
            "ssh",
            "7.6",
            &["-V"],
            "install the package `openssh-client` (Debian, Ubuntu) or `openssh`",
        ),
        // It has no option that prints a version; it comes with `ssh`.
        tool(
            "ssh-keygen",
            "",
            &[],
            "install the package `openssh-client` (Debian, Ubuntu) or `openssh`",
        ),
        kubectl(),
    ]
}

fn curl() -> Tool {
    tool(
        "curl",
        "7.58",
        &["--version"],
        "install the package `curl`, or see https://curl.se/download.html",
    )
}

fn jq() -> Tool {
    tool(
        "jq",
        "1.5",
        &["--version"],
        "install the package `jq`, or see https://jqlang.org/download",
    )
}

fn kubectl() -> Tool {
    let version = ["version", "--client", "-o", "json"];
    tool(
        "kubectl",
        "1.28",
        &version,
        "see https://kubernetes.io/docs/tasks/tools",
    )
}

fn tool(name: &str, minimum_version: &str, version_arguments: &[&str], install_hint: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        minimum_version: minimum_version.to_owned(),
        version_arguments: version_arguments
            .iter()
            .map(|argument| (*argument).to_owned())
            .collect(),
        install_hint: install_hint.to_owned(),
    }
}
