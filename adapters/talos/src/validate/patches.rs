//! Checks patches for what would surely fail on the machine: a target that is not there, a part that no configuration has, secrets in the clear.

use serde_json::{Map, Value};

use ztc_adapter_sdk::protocol::message::Diagnostic;

use super::escaped;
use crate::config::{Config, Patch, Role};
use crate::deletion;
use crate::machine::check_patch;
use crate::merge::is_further;
use crate::patch::{Document, documents};
use crate::problem::{Findings, Problem};
use crate::syntax::has_credentials;
use crate::versions::table;

/// Where Talos' own secrets stand; a patch there would put a secret into git and cut the node off from the cluster.
const SECRETS: [&str; 11] = [
    "/machine/token",
    "/machine/ca",
    "/cluster/id",
    "/cluster/secret",
    "/cluster/token",
    "/cluster/secretboxEncryptionSecret",
    "/cluster/aescbcEncryptionSecret",
    "/cluster/ca",
    "/cluster/aggregatorCA",
    "/cluster/serviceAccount",
    "/cluster/etcd/ca",
];

/// The kinds of documents that Talos 1.10 does not know: v1.10.7 registers 13 kinds, v1.11.0 these beside them.
const SINCE_1_11: [&str; 4] = [
    "ExistingVolumeConfig",
    "RawVolumeConfig",
    "SwapVolumeConfig",
    "ZswapConfig",
];

/// The fields that Talos 1.10 does not know, of documents that it knows: its schema of v1.10.7 against that of v1.11.5. `*` is each item of a list.
const FIELDS_SINCE_1_11: [(&str, &[&str]); 3] = [
    ("VolumeConfig", &["encryption"]),
    ("UserVolumeConfig", &["filesystem", "projectQuotaSupport"]),
    (
        "UserVolumeConfig",
        &["encryption", "keys", "*", "lockToState"],
    ),
];

/// How a placeholder begins for what the operator stored himself.
const STORED: &str = "ztc-secret:store/";

pub(super) fn check(config: &Config, findings: &mut Findings) {
    for (index, patch) in config.patches.iter().enumerate() {
        let place = format!("/patches/{index}");
        target(config, patch, &place, findings);
        if !is_written_once(patch, &place, findings) {
            continue;
        }
        match documents(patch, index) {
            Ok(found) if found.is_empty() => findings.error(
                format!(
                    "{place}/{}",
                    if patch.file.is_some() {
                        "file"
                    } else {
                        "patch"
                    }
                ),
                "the patch is empty",
                EMPTY_HELP,
            ),
            Ok(found) => {
                for (number, one) in found.iter().enumerate() {
                    judge(config, patch, one, findings);
                    twice(&found[..number], one, findings);
                }
            }
            Err((place, problem)) => findings.error(place, problem.message, problem.help),
        }
    }
}

const EMPTY_HELP: &str = "say what to change, such as `machine: {sysctls: {...}}`";

/// Whether there is something to read: in the section or in a file, and not in both.
fn is_written_once(patch: &Patch, place: &str, findings: &mut Findings) -> bool {
    match (&patch.file, &patch.patch) {
        (None, Value::Null) => {
            findings.error(place, "the patch is empty", EMPTY_HELP);
            false
        }
        // The host says what is wrong with a file that it cannot hand over.
        (Some(_), Value::Null) => false,
        (Some(_), Value::Object(_) | Value::Array(_)) => {
            let help = "keep one of them; a patch of its own can hold the other";
            findings.error(place, "the patch has both `patch` and `file`", help);
            false
        }
        _ => true,
    }
}

fn judge(config: &Config, patch: &Patch, one: &Document, findings: &mut Findings) {
    let mut found = Findings::default();
    if one.content.is_empty() {
        found.error("", "the patch is empty", EMPTY_HELP);
    } else {
        rules(config, patch, &one.content, &mut found);
    }
    if let Err(problem) = deletion::split(&one.content) {
        found.error("", problem.message, problem.help);
    }
    findings
        .0
        .extend(found.0.into_iter().map(|finding| Diagnostic {
            pointer: one.at(&finding.pointer),
            message: one.name(&finding.pointer, &finding.message),
            ..finding
        }));
}

/// Talos takes a document once in a patch, told by its kind and name.
fn twice(before: &[Document], one: &Document, findings: &mut Findings) {
    let name = |document: &Document| {
        ["apiVersion", "kind", "name"].map(|key| document.content.get(key).cloned())
    };
    if is_further(&one.content) && before.iter().any(|other| name(other) == name(one)) {
        findings.error(
            one.at(""),
            one.say("", "the patch has this document already"),
            "join the two, or put the second one into a patch of its own",
        );
    }
}

fn target(config: &Config, patch: &Patch, place: &str, findings: &mut Findings) {
    let target = &patch.target;
    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    if !["all", "controlplane", "worker"].contains(&target.as_str())
        && !names.contains(&target.as_str())
    {
        let message = format!("`{target}` is neither a group nor a node");
        let help = format!(
            "use `all`, `controlplane`, `worker` or a node: {}",
            names.join(", ")
        );
        findings.error(format!("{place}/target"), message, help);
    }
}

/// What a patch must not touch, and then whatever the validator of machine configurations says.
fn rules(config: &Config, patch: &Patch, content: &Map<String, Value>, findings: &mut Findings) {
    let whole = Value::Object(content.clone());
    for pointer in SECRETS
        .iter()
        .filter(|pointer| !is_further(content) && whole.pointer(pointer).is_some())
    {
        let help = "take it out: `ztc secrets import` is the way to bring the secrets of a cluster";
        findings.error(
            *pointer,
            "a patch cannot change the secrets of the cluster",
            help,
        );
    }
    later(config, content, findings);
    in_clear(&whole, "", findings);
    if let Some(kind) = whole.pointer("/machine/type") {
        let message = format!("a patch cannot make a machine a {kind}");
        findings.error("/machine/type", message, "change the node's `role` instead");
    }
    let workers = reached(config, patch).contains(&Role::Worker);
    if workers && whole.pointer("/machine/nodeTaints").is_some() {
        findings.warn(
            "/machine/nodeTaints",
            "Kubernetes does not let a worker change its taints, so workers do not get these",
            "give the nodes `taints`, with which they register",
        );
    }
    let control_planes = || {
        config
            .nodes
            .iter()
            .filter(|node| node.role == Role::ControlPlane)
    };
    if whole.pointer("/cluster/inlineManifests").is_some()
        && control_planes().count() > 1
        && control_planes().any(|node| node.name == patch.target)
    {
        findings.error(
            "/cluster/inlineManifests",
            "inline manifests are the same on all control planes, and this patch is for one of them",
            "give the patch `target: controlplane`",
        );
    }
    for role in reached(config, patch) {
        for (pointer, finding) in check_patch(content, role) {
            let known = |one: &Diagnostic| {
                SECRETS.contains(&one.pointer.as_str())
                    && format!("{pointer}/").starts_with(&format!("{}/", one.pointer))
                    || one.pointer == pointer
                        && (one.message == finding.message || pointer == "/machine/type")
            };
            if !findings.0.iter().any(known) {
                findings.0.push(
                    Problem::new(finding.message, finding.help).at(pointer, finding.severity),
                );
            }
        }
    }
}

/// Finds kinds of documents that came after the Talos version of the section.
fn later(config: &Config, content: &Map<String, Value>, findings: &mut Findings) {
    if !config.version.starts_with("v1.10.") {
        return;
    }
    let kind = content
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    for (of, way) in FIELDS_SINCE_1_11 {
        if of == kind {
            later_field(config, content, way, findings);
        }
    }
    if SINCE_1_11.contains(&kind) {
        findings.error(
            "/kind",
            format!(
                "Talos `{}` does not know documents of kind `{kind}`: they come with 1.11",
                config.version
            ),
            format!(
                "take `version: {}`, or take the document out",
                table().default
            ),
        );
    }
}

/// Finds a field, if the way leads to one, and refuses it.
fn later_field(
    config: &Config,
    content: &Map<String, Value>,
    way: &[&str],
    findings: &mut Findings,
) {
    let document = Value::Object(content.clone());
    let mut places = vec![String::new()];
    for step in way {
        let next = |place: &String| -> Vec<String> {
            let value = document.pointer(place);
            match *step {
                "*" => (0..value.and_then(Value::as_array).map_or(0, Vec::len))
                    .map(|index| format!("{place}/{index}"))
                    .collect(),
                key => value
                    .and_then(|value| value.get(key))
                    .map(|_| format!("{place}/{key}"))
                    .into_iter()
                    .collect(),
            }
        };
        places = places.iter().flat_map(next).collect();
    }
    for place in places {
        let field = place.trim_start_matches('/').replace('/', ".");
        findings.error(
            place,
            format!(
                "Talos `{}` does not know the field `{field}`: it comes with 1.11",
                config.version
            ),
            format!("take `version: {}`, or take the field out", table().default),
        );
    }
}

/// Finds secrets of others in the clear: a patch and what is rendered from it are in git.
fn in_clear(value: &Value, place: &str, findings: &mut Findings) {
    let of_key = |key: &str| match key {
        "apiToken" | "password" | "identityToken" | "passphrase" | "privateKey" | "uniqueToken"
        | "auth" => true,
        "key" => place.ends_with("/clientIdentity"),
        _ => false,
    };
    match value {
        Value::String(text) if has_password(text) => secret_in_clear(place, findings),
        // What is stored is one line, so no placeholder can stand for it.
        Value::String(text) if text.contains("PRIVATE KEY-----") => findings.error(
            place,
            "a private key stands here in the clear, and git would keep it",
            "take it out, and bring it to the cluster by other means, such as a Secret of Kubernetes that is not in git",
        ),
        Value::Object(map) => {
            for (key, value) in map {
                let place = format!("{place}/{}", escaped(key));
                match value {
                    // What a header says may be public, so this is no error.
                    Value::String(text)
                        if parent_is_headers(&place) && is_credential(key) =>
                    {
                        if !text.starts_with(STORED) {
                            findings.warn(
                                place,
                                "the header looks like a secret in the clear, and git would keep it",
                                format!("store it as a file below `secrets/` and write `{STORED}NAME` here, NAME being that of the file"),
                            );
                        }
                    }
                    Value::String(text) if of_key(key) => {
                        if !text.is_empty() && !text.starts_with(STORED) {
                            secret_in_clear(&place, findings);
                        }
                    }
                    _ => in_clear(value, &place, findings),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                in_clear(item, &format!("{place}/{index}"), findings);
            }
        }
        _ => {}
    }
}

fn secret_in_clear(place: &str, findings: &mut Findings) {
    findings.error(
        place,
        "a secret stands here in the clear, and git would keep it",
        format!("store it as a file below `secrets/` and write `{STORED}NAME` here, NAME being that of the file"),
    );
}

/// Whether a place is a header for the manifests that Talos fetches.
fn parent_is_headers(place: &str) -> bool {
    place
        .rsplit_once('/')
        .is_some_and(|(parent, _)| parent.ends_with("/extraManifestHeaders"))
}

/// Whether a header of a request says who asks.
fn is_credential(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    ["auth", "token", "key", "cookie", "secret"]
        .iter()
        .any(|word| header.contains(word))
}

/// Whether a text is a URL with a password in front of its host, as proxies have them.
fn has_password(text: &str) -> bool {
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    is_url && !text.contains(char::is_whitespace) && has_credentials(text)
}

/// The roles of the machines that a patch is for; a patch for nobody is read all the same.
fn reached(config: &Config, patch: &Patch) -> Vec<Role> {
    let has = |role: Role| {
        config
            .nodes
            .iter()
            .filter(|node| node.role == role)
            .any(|node| ["all", role.word(), &node.name].contains(&patch.target.as_str()))
    };
    let mut roles = vec![Role::ControlPlane, Role::Worker];
    roles.retain(|role| has(*role));
    if roles.is_empty() {
        roles.push(Role::ControlPlane);
    }
    roles
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::found;

    fn patches(patches: Value) -> Vec<String> {
        found(json!({ "patches": patches }))
    }

    #[test]
    fn good_patches_have_no_findings() {
        assert_eq!(
            patches(json!([
                {"patch": {"machine": {"sysctls": {"vm.max_map_count": "262144"}}}},
                {"target": "controlplane", "patch": {"cluster": {"etcd": {"extraArgs": {"a": "b"}}}}},
                {"target": "worker01", "patch": {"apiVersion": "v1alpha1", "kind": "NetworkDefaultActionConfig", "ingress": "block"}},
            ])),
            Vec::<String>::new()
        );
    }

    #[test]
    fn kinds_belong_to_a_version() {
        let zswap = json!([{"patch": {"apiVersion": "v1alpha1", "kind": "ZswapConfig"}}]);
        assert_eq!(patches(zswap.clone()), Vec::<String>::new());
        assert_eq!(
            found(json!({"version": "v1.10.7", "patches": zswap})),
            [
                "error /patches/0/patch/kind: Talos `v1.10.7` does not know documents of kind `ZswapConfig`: they come with 1.11"
            ]
        );
    }

    #[test]
    fn fields_belong_to_a_version() {
        let documents = json!([
            {"patch": {"apiVersion": "v1alpha1", "kind": "VolumeConfig", "name": "EPHEMERAL", "encryption": {"provider": "luks2", "keys": [{"slot": 0, "nodeID": {}}]}}},
            {"patch": {"apiVersion": "v1alpha1", "kind": "UserVolumeConfig", "name": "a", "provisioning": {"diskSelector": {"match": "system_disk"}, "minSize": "1GB"}, "filesystem": {"projectQuotaSupport": true}, "encryption": {"provider": "luks2", "keys": [{"slot": 0, "nodeID": {}}, {"slot": 1, "tpm": {}, "lockToState": true}]}}},
        ]);
        assert_eq!(patches(documents.clone()), Vec::<String>::new());
        assert_eq!(
            found(json!({"version": "v1.10.7", "patches": documents})),
            [
                "error /patches/0/patch/encryption: Talos `v1.10.7` does not know the field `encryption`: it comes with 1.11",
                "error /patches/1/patch/filesystem/projectQuotaSupport: Talos `v1.10.7` does not know the field `filesystem.projectQuotaSupport`: it comes with 1.11",
                "error /patches/1/patch/encryption/keys/1/lockToState: Talos `v1.10.7` does not know the field `encryption.keys.1.lockToState`: it comes with 1.11",
            ]
        );
    }

    #[test]
    fn taints_by_patch_do_not_reach_workers() {
        let taints = json!({"machine": {"nodeTaints": {"a": "NoSchedule"}}});
        assert_eq!(
            patches(json!([{"target": "controlplane", "patch": taints}, {"patch": taints}])),
            [
                "warning /patches/1/patch/machine/nodeTaints: Kubernetes does not let a worker change its taints, so workers do not get these"
            ]
        );
    }

    #[test]
    fn secrets_are_found_by_what_they_look_like_too() {
        let in_clear = "a secret stands here in the clear, and git would keep it";
        let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(
            patches(json!([{"patch": {
                "machine": {
                    "env": {"http_proxy": "http://me:password@proxy:3128", "no_proxy": "a@b"},
                    "files": [{"path": "/var/etc/a.pem", "op": "create", "permissions": 0o600, "content": key}],
                },
                "cluster": {
                    "extraManifestHeaders": {"Authorization": "Bearer abc", "Accept": "text/yaml", "X-Token": "ztc-secret:store/manifests"},
                },
            }}])),
            [
                format!("error /patches/0/patch/machine/env/http_proxy: {in_clear}"),
                "error /patches/0/patch/machine/files/0/content: a private key stands here in the clear, and git would keep it".to_owned(),
                "warning /patches/0/patch/cluster/extraManifestHeaders/Authorization: the header looks like a secret in the clear, and git would keep it".to_owned(),
            ]
        );
    }

    #[test]
    fn secrets_do_not_stand_in_patches() {
        let with = |token: &str| {
            json!([
                {"target": "cp01", "patch": {"machine": {"network": {"interfaces": [{"interface": "eth0", "vip": {"ip": "10.0.1.100", "hcloud": {"apiToken": token}}}]}}}},
                {"patch": {"machine": {"registries": {"config": {"ghcr.io": {"auth": {"username": "me", "password": token}}}}}}},
                {"target": "worker", "patch": format!("machine: {{}}\n---\napiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nencryption: {{provider: luks2, keys: [{{slot: 0, static: {{passphrase: \"{token}\"}}}}]}}\n")},
            ])
        };
        assert_eq!(
            patches(with("ztc-secret:store/a-token")),
            Vec::<String>::new()
        );
        assert_eq!(
            patches(with("0123456789")),
            [
                "error /patches/0/patch/machine/network/interfaces/0/vip/hcloud/apiToken: a secret stands here in the clear, and git would keep it",
                "error /patches/1/patch/machine/registries/config/ghcr.io/auth/password: a secret stands here in the clear, and git would keep it",
                "error /patches/2/patch: line 6, column 57 of the text: `encryption.keys.0.static.passphrase`: a secret stands here in the clear, and git would keep it",
            ]
        );
    }

    #[test]
    fn bad_patches_are_found_before_a_machine_refuses_them() {
        assert_eq!(
            patches(json!([
                {"target": "cp02", "patch": {"machin": {}, "machine": {"hostname": "x"}}},
                {"target": "cp01", "patch": {}},
                {"target": "worker", "patch": {"cluster": {"etcd": {}}, "machine": {"network": {"interfaces": [{"vip": {}}]}}}},
                {"patch": {"cluster": {"secret": "x"}, "persist": false, "machine": {"type": "worker"}}},
                {"patch": {"kind": "HostnameConfig"}},
                {"patch": {"machine": {"sysctls": {"$patch": "replace"}}}, "target": "cp01"},
                {"patch": "machine: {}\n---\nmachin: {}\n"},
                {"patch": [{"apiVersion": "v1", "kind": "A"}, {"apiVersion": "v1", "kind": "A"}]},
                {"target": "cp01"},
                {"patch": {"machine": {}}, "file": "a.yaml"},
                {"patch": {"machine": {"sysctls": ["a"], "time": {"bootTimeout": 5, "servers": {"$patch": "delete"}}}}},
            ])),
            [
                "error /patches/0/target: `cp02` is neither a group nor a node",
                "error /patches/0/patch/machin: the document has no field `machin`",
                "error /patches/0/patch/machine/hostname: `machine` has no field `hostname`",
                "error /patches/1/patch: the patch is empty",
                "error /patches/2/patch/machine/network/interfaces/0/vip: an address that machines share is for control planes only",
                "error /patches/2/patch/machine/network/interfaces/0: neither `interface` nor `deviceSelector` says which interface this is",
                "error /patches/2/patch/machine/network/interfaces/0/vip: `` is not an address that machines can share",
                "error /patches/2/patch/cluster/etcd: etcd runs on control planes, so its settings are for control planes only",
                "error /patches/3/patch/cluster/secret: a patch cannot change the secrets of the cluster",
                "error /patches/3/patch/machine/type: a patch cannot make a machine a \"worker\"",
                "error /patches/3/patch/persist: a configuration must be kept: `persist: false` is refused",
                "error /patches/4/patch/apiVersion: a document of its own needs a version that Talos knows",
                "error /patches/4/patch/kind: Talos 1.11 does not know documents of kind `HostnameConfig`",
                "error /patches/5/patch: `$patch: replace` below `machine.sysctls` is not known",
                "error /patches/6/patch: line 3, column 1 of the text: `machin`: the document has no field `machin`",
                "error /patches/7/patch/0/apiVersion: a document of its own needs a version that Talos knows",
                "error /patches/7/patch/0/kind: Talos 1.11 does not know documents of kind `A`",
                "error /patches/7/patch/1/apiVersion: a document of its own needs a version that Talos knows",
                "error /patches/7/patch/1/kind: Talos 1.11 does not know documents of kind `A`",
                "error /patches/7/patch/1: the patch has this document already",
                "error /patches/8: the patch is empty",
                "error /patches/9: the patch has both `patch` and `file`",
                "error /patches/10/patch/machine/sysctls: a list stands where a mapping is expected",
                "error /patches/10/patch/machine/time/bootTimeout: `5` is not a duration",
            ]
        );
    }
}
