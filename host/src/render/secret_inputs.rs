//! Whether an adapter says the same about its secrets in all three places: `secrets` of the manifest, the marks in its schema, and the
//! inputs of its scripts. Where they differ, a secret would be asked for nowhere, or could stand in platform.yaml itself. Pure.

use ztc_protocol::Manifest;
use ztc_protocol::stage::Script;

use crate::error::{Failure, did_you_mean};
use crate::platform::is_secret;
use crate::render::contract::bug;

/// A place in what the adapter says, and what is wrong there.
pub(crate) type Mismatch = (String, String);

/// Compares the manifest's `secrets` with the marks in its schema.
pub(crate) fn of_manifest(manifest: &Manifest) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let declared = |key: &str| manifest.secrets.iter().any(|secret| secret.input == key);
    for (number, secret) in manifest.secrets.iter().enumerate() {
        let input = &secret.input;
        if !is_secret(manifest, input) {
            let why = format!(
                "is the secret input `{input}`, which `config_schema` does not mark: give `/properties/{input}` the key `\"x-ztc-secret\": true`"
            );
            found.push((format!("/secrets/{number}"), why));
        }
    }
    let properties = manifest.config_schema["properties"].as_object();
    for key in properties
        .into_iter()
        .flat_map(|properties| properties.keys())
    {
        if is_secret(manifest, key) && !declared(key) {
            let why = "is marked with `x-ztc-secret`, and the manifest's `secrets` do not have it";
            found.push((format!("/config_schema/properties/{key}"), why.to_owned()));
        }
    }
    found
}

/// Compares the inputs of scripts with the manifest's `secrets`.
pub(crate) fn of_scripts(manifest: &Manifest, scripts: &[Script]) -> Vec<Mismatch> {
    let known = || manifest.secrets.iter().map(|secret| secret.input.as_str());
    let used = scripts
        .iter()
        .flat_map(|script| script.secrets.iter().map(move |secret| (script, secret)));
    used.filter(|(_, secret)| !known().any(|input| input == secret.input))
        .map(|(script, secret)| {
            let hint = did_you_mean(&secret.input, known())
                .map_or_else(String::new, |hint| format!("; {hint}"));
            let why = format!(
                "asks for the secret input `{}`, which the manifest's `secrets` do not have{hint}",
                secret.input
            );
            (format!("script {}", script.name), why)
        })
        .collect()
}

/// Refuses an adapter that contradicts itself.
pub(crate) fn check(section: &str, manifest: &Manifest, scripts: &[Script]) -> Result<(), Failure> {
    let mut found = of_manifest(manifest);
    found.extend(of_scripts(manifest, scripts));
    if found.is_empty() {
        return Ok(());
    }
    let failure = bug(section, "contradicts itself about its secrets");
    Err(found.into_iter().fold(failure, |failure, (place, why)| {
        failure.detail(format!("`{place}`: {why}"))
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_three_places_must_agree() {
        let manifest: Manifest = serde_json::from_value(json!({
            "name": "rack",
            "secrets": [
                { "input": "api_token", "variable": "RACK_TOKEN", "why": "x" },
                { "input": "ssh_key", "variable": "RACK_KEY", "why": "x" },
                { "input": "maybe", "variable": "RACK_MAYBE", "why": "x" },
            ],
            "config_schema": {
                "properties": {
                    "api_token": { "type": "object", "x-ztc-secret": true },
                    "ssh_key": { "type": "string" },
                    "maybe": { "anyOf": [{ "$ref": "#/$defs/secret" }, { "type": "null" }] },
                    "other": { "type": "object", "x-ztc-secret": true },
                },
                "$defs": { "secret": { "type": "object", "x-ztc-secret": true } },
            },
        }))
        .unwrap();
        let script: Script = serde_json::from_value(json!({
            "name": "a.sh", "content": "", "sha256": "",
            "secrets": [{ "variable": "A", "input": "api_token" }, { "variable": "B", "input": "sshkey" }],
        }))
        .unwrap();
        let failure = check("rack", &manifest, &[script]).unwrap_err();
        assert_eq!(
            failure.message,
            "adapter `rack` contradicts itself about its secrets"
        );
        assert_eq!(
            failure.details,
            [
                "`/secrets/1`: is the secret input `ssh_key`, which `config_schema` does not mark: give `/properties/ssh_key` the key `\"x-ztc-secret\": true`",
                "`/config_schema/properties/other`: is marked with `x-ztc-secret`, and the manifest's `secrets` do not have it",
                "`script a.sh`: asks for the secret input `sshkey`, which the manifest's `secrets` do not have; did you mean `ssh_key`?",
            ]
        );
    }
}
