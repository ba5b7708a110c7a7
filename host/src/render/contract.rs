//! What an adapter promised against what it answered: capabilities, data, scripts. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use ztc_protocol::Manifest;
use ztc_protocol::capability::standard_schema;
use ztc_protocol::message::RenderResult;
use ztc_protocol::sha256_hex;
use ztc_protocol::stage::{Script, Stage};

use crate::error::{Failure, did_you_mean};
use crate::render::names;

/// How many violations of a schema are listed.
const LISTED: usize = 8;

/// Makes the failure for an adapter that breaks the protocol.
pub(crate) fn bug(section: &str, message: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("adapter `{section}` {message}"))
        .help("this is a bug of the adapter; tell its author")
}

/// Checks that the answer holds every capability that was promised, no other, each as its contract says, and `data` as the adapter's
/// own schema says.
pub(crate) fn answer(
    section: &str,
    manifest: &Manifest,
    result: &RenderResult,
) -> Result<(), Failure> {
    let promised: BTreeSet<&str> = manifest
        .provides
        .iter()
        .map(|provision| provision.capability.as_str())
        .collect();
    if let Some(extra) = result
        .capabilities
        .keys()
        .find(|capability| !promised.contains(capability.as_str()))
    {
        return Err(bug(
            section,
            format!("rendered the capability `{extra}`, which its manifest does not provide"),
        ));
    }
    for provision in &manifest.provides {
        let capability = &provision.capability;
        let Some(data) = result.capabilities.get(capability) else {
            return Err(bug(
                section,
                format!("provides the capability `{capability}` and did not render it"),
            ));
        };
        if let Some(schema) = standard_schema(capability).or_else(|| provision.schema.clone()) {
            conforms(&schema, data).map_err(|problems| {
                violated(
                    section,
                    format!(
                        "rendered the capability `{capability}` with data that break its contract"
                    ),
                    problems,
                )
            })?;
        }
    }
    if manifest.output_schema.is_null() {
        return Ok(());
    }
    conforms(&manifest.output_schema, &result.data).map_err(|problems| {
        violated(
            section,
            "rendered data that its own `output_schema` forbids".to_owned(),
            problems,
        )
    })
}

fn violated(section: &str, message: String, problems: Vec<String>) -> Failure {
    problems
        .into_iter()
        .fold(bug(section, message), |failure, problem| {
            failure.detail(problem)
        })
}

/// Checks a value against a schema. Each problem names the place in the value and never quotes the value.
fn conforms(schema: &Value, value: &Value) -> Result<(), Vec<String>> {
    let validator = jsonschema::validator_for(schema)
        .map_err(|error| vec![format!("the schema is wrong: {error}")])?;
    let problems: Vec<String> = validator
        .iter_errors(value)
        .take(LISTED)
        .map(|error| {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() {
                "the whole value".to_owned()
            } else {
                format!("`{place}`")
            };
            format!("{place}: {}", error.masked())
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Checks names and digests of the scripts, and that stages and scripts name each other.
pub(crate) fn scripts(
    section: &str,
    manifest: &Manifest,
    stages: &[Stage],
    scripts: &[Script],
) -> Result<(), Failure> {
    let mut by_name: BTreeMap<&str, bool> = BTreeMap::new();
    for script in scripts {
        let name = &script.name;
        if let Some(why) =
            names::refuse(name).or_else(|| name.contains('/').then(|| "it has a slash".to_owned()))
        {
            return Err(bug(
                section,
                format!("has a script with the name `{name}`: {why}"),
            ));
        }
        if by_name.insert(name, false).is_some() {
            return Err(bug(
                section,
                format!("has two scripts with the name `{name}`"),
            ));
        }
        let found = sha256_hex(script.content.as_bytes());
        if script.sha256 != found {
            return Err(bug(
                section,
                format!("sent the script `{name}` with a digest that is not its own"),
            )
            .detail(format!("said: {}", script.sha256))
            .detail(format!("is:   {found}")));
        }
    }
    let uses = stages.iter().flat_map(|stage| {
        let script = (stage.health.is_none() && stage.manual.is_none()).then_some((
            stage,
            "runs",
            &stage.script,
        ));
        let undo = stage
            .rollback
            .as_ref()
            .map(|undo| (stage, "is undone by", undo));
        script.into_iter().chain(undo)
    });
    for (stage, how, script) in uses {
        let used = named(section, manifest, script).and_then(|name| by_name.get_mut(name));
        let Some(used) = used else {
            let failure = bug(
                section,
                format!(
                    "has a stage `{}` that {how} the unknown script `{script}`",
                    stage.name
                ),
            );
            let bare = by_name.contains_key(script.as_str());
            let near = match bare {
                true => Some(format!("write `{}://{script}`", manifest.name)),
                false => did_you_mean(
                    script.rsplit('/').next().unwrap_or_default(),
                    by_name.keys().copied(),
                ),
            };
            return Err(near.into_iter().fold(failure, Failure::detail));
        };
        *used = true;
    }
    match by_name.iter().find(|(_, used)| !**used) {
        Some((name, _)) => Err(bug(
            section,
            format!("has a script `{name}` that no stage runs"),
        )),
        None => Ok(()),
    }
}

/// Returns the script that a stage names: `<adapter>://<script>`, where the section's name will do too.
fn named<'a>(section: &str, manifest: &Manifest, script: &'a str) -> Option<&'a str> {
    let (adapter, script) = script.split_once("://")?;
    (adapter == manifest.name || adapter == section).then_some(script)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ztc_protocol::manifest::Provision;

    use super::*;

    fn manifest() -> Manifest {
        let provision = |capability: &str, schema| Provision {
            capability: capability.into(),
            version: "1.0".into(),
            schema,
        };
        let shelf = json!({"type": "object", "properties": {"height": {"type": "integer"}}, "required": ["height"]});
        Manifest {
            name: "store".into(),
            provides: vec![provision("cni", None), provision("acme/shelf", Some(shelf))],
            output_schema: json!({"type": "object"}),
            ..Manifest::default()
        }
    }

    fn result(cni: Value, shelf: Value) -> RenderResult {
        RenderResult {
            capabilities: BTreeMap::from([
                ("cni".to_owned(), cni),
                ("acme/shelf".to_owned(), shelf),
            ]),
            data: json!({}),
            ..RenderResult::default()
        }
    }

    fn good() -> RenderResult {
        result(
            json!({"provider": "x", "manifests": "", "replaces_kube_proxy": true}),
            json!({"height": 3}),
        )
    }

    #[track_caller]
    fn refused(result: &RenderResult, message: &str, details: &[&str]) {
        let failure = answer("mine", &manifest(), result).unwrap_err();
        assert_eq!(
            (failure.message.as_str(), failure.details),
            (message, details.iter().map(|s| (*s).to_owned()).collect())
        );
    }

    #[test]
    fn capabilities_keep_their_contracts() {
        assert!(answer("mine", &manifest(), &good()).is_ok());
        refused(
            &result(
                json!({"provider": 7, "manifests": "secret text"}),
                json!({"height": 3}),
            ),
            "adapter `mine` rendered the capability `cni` with data that break its contract",
            &[
                "the whole value: \"replaces_kube_proxy\" is a required property",
                "`/provider`: value is not of type \"string\"",
            ],
        );
        refused(
            &result(
                good().capabilities["cni"].clone(),
                json!({"height": "tall"}),
            ),
            "adapter `mine` rendered the capability `acme/shelf` with data that break its contract",
            &["`/height`: value is not of type \"integer\""],
        );
        refused(
            &RenderResult {
                data: json!([]),
                ..good()
            },
            "adapter `mine` rendered data that its own `output_schema` forbids",
            &["the whole value: value is not of type \"object\""],
        );
        let mut missing = good();
        missing.capabilities.remove("cni");
        refused(
            &missing,
            "adapter `mine` provides the capability `cni` and did not render it",
            &[],
        );
        let mut extra = good();
        extra
            .capabilities
            .insert("kubernetes-api".into(), json!({}));
        refused(
            &extra,
            "adapter `mine` rendered the capability `kubernetes-api`, which its manifest does not provide",
            &[],
        );
    }

    fn script(name: &str) -> Script {
        Script {
            name: name.into(),
            content: "true\n".into(),
            sha256: sha256_hex(b"true\n"),
            ..Script::default()
        }
    }

    fn stage(script: &str) -> Stage {
        Stage {
            name: "go".into(),
            script: script.into(),
            ..Stage::default()
        }
    }

    #[track_caller]
    fn scripts_refused(stages: &[Stage], all: &[Script], message: &str) {
        assert_eq!(
            scripts("mine", &manifest(), stages, all)
                .unwrap_err()
                .message,
            message
        );
    }

    #[test]
    fn stages_and_scripts_name_each_other() {
        assert!(
            scripts(
                "mine",
                &manifest(),
                &[stage("store://go.sh"), stage("mine://go.sh")],
                &[script("go.sh")]
            )
            .is_ok()
        );
        let bare = scripts("mine", &manifest(), &[stage("go.sh")], &[script("go.sh")]);
        assert_eq!(bare.unwrap_err().details, ["write `store://go.sh`"]);
        scripts_refused(
            &[stage("store://og.sh")],
            &[script("go.sh")],
            "adapter `mine` has a stage `go` that runs the unknown script `store://og.sh`",
        );
        scripts_refused(
            &[stage("talos://go.sh")],
            &[script("go.sh")],
            "adapter `mine` has a stage `go` that runs the unknown script `talos://go.sh`",
        );
        scripts_refused(
            &[],
            &[script("go.sh")],
            "adapter `mine` has a script `go.sh` that no stage runs",
        );
        scripts_refused(
            &[],
            &[script("../go.sh")],
            "adapter `mine` has a script with the name `../go.sh`: it has `..`",
        );
        scripts_refused(
            &[],
            &[script("a/go.sh")],
            "adapter `mine` has a script with the name `a/go.sh`: it has a slash",
        );
        scripts_refused(
            &[],
            &[script("a"), script("a")],
            "adapter `mine` has two scripts with the name `a`",
        );
        let wrong = Script {
            content: "false\n".into(),
            ..script("go.sh")
        };
        scripts_refused(
            &[stage("store://go.sh")],
            &[wrong],
            "adapter `mine` sent the script `go.sh` with a digest that is not its own",
        );
    }
}
