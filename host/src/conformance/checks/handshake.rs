//! Who the adapter says it is: `--ztc-describe`, `initialize`, the manifest, and a host that it does not understand.

use semver::{Version, VersionReq};
use serde_json::{Value, json};
use ztc_protocol::capability::STANDARD;
use ztc_protocol::{DESCRIBE_ARGUMENT, Manifest, ProtocolVersion};

use crate::conformance::Kit;
use crate::conformance::checks::{expect_error, fault, instead};
use crate::conformance::report::{Fault, Outcome};
use crate::conformance::session::{Reply, Session};
use crate::error::Failure;
use crate::process;
use crate::render::{names, secret_inputs};

/// A version that no adapter speaks.
const FUTURE: &str = "4711.0";

/// Makes the checks. Without a manifest there is nothing more to check.
pub(crate) async fn run(kit: &mut Kit) -> Result<Option<Manifest>, Failure> {
    let mut session = Session::start(&kit.candidate, &[], &kit.ledger)?;
    let answer = session.initialize().await;
    session.end().await;
    let Ok(Reply::Result(result)) = &answer else {
        kit.report.add(
            "handshake",
            Outcome::failed("`initialize`", instead(&answer)),
        );
        return Ok(None);
    };
    let Ok(manifest) = serde_json::from_value::<Manifest>(result["manifest"].clone()) else {
        let why = "answered with a manifest that does not have the form of the schema";
        kit.report
            .add("handshake", Outcome::failed("`initialize`", why));
        return Ok(None);
    };
    let agreed = match result["protocol"].as_str() {
        Some("1.0") => Outcome::ok("protocol 1.0"),
        other => Outcome::failed(
            "`initialize`",
            format!("chose the protocol {other:?} where the host offers 1.0"),
        ),
    };
    kit.report.add("handshake", agreed);
    describe(kit, result).await;
    let mut wrong = manifest_faults(&manifest);
    if kit.named && manifest.name != kit.candidate.name {
        let why = format!(
            "is `{}`, but the adapter is used as `{}`",
            manifest.name, kit.candidate.name
        );
        wrong.push(fault("`/name`", why));
    }
    let note = format!("{} {}", manifest.name, manifest.version);
    kit.report.add("manifest", Outcome::of(wrong, note));
    mismatch(kit).await?;
    Ok(Some(manifest))
}

/// The same manifest, printed by the program itself.
async fn describe(kit: &mut Kit, initialized: &Value) {
    let mut command = process::program(&kit.candidate.program);
    let mut arguments = kit.candidate.arguments.clone();
    arguments.pop();
    command
        .args(arguments)
        .arg(DESCRIBE_ARGUMENT)
        .env_clear()
        .envs(process::allowed_environment());
    let limit = std::time::Duration::from_secs(5);
    let outcome = match process::run(command, limit).await {
        Err(error) => Outcome::failed(DESCRIBE_ARGUMENT, error.to_string()),
        Ok(finished) if !finished.success => {
            Outcome::failed(DESCRIBE_ARGUMENT, format!("ended with {}", finished.status))
        }
        Ok(finished) => {
            let lines: Vec<&str> = finished.stdout.lines().collect();
            let described = match lines.as_slice() {
                [line] => serde_json::from_str::<Value>(line).ok(),
                _ => None,
            };
            match described {
                Some(described) if described == *initialized => {
                    Outcome::ok("the same as the answer to `initialize`")
                }
                Some(_) => Outcome::failed(
                    DESCRIBE_ARGUMENT,
                    "prints something else than the answer to `initialize`",
                ),
                None => Outcome::failed(
                    DESCRIBE_ARGUMENT,
                    format!(
                        "printed {} lines instead of one with a JSON object",
                        lines.len()
                    ),
                ),
            }
        }
    };
    kit.report.add("describe", outcome);
}

/// A host of another time is refused, and told what would do.
async fn mismatch(kit: &mut Kit) -> Result<(), Failure> {
    let mut session = Session::start(&kit.candidate, &[], &kit.ledger)?;
    let params = session.hello(FUTURE);
    let answer = session.call("initialize", params).await;
    session.end().await;
    let mut outcome = expect_error("initialize", 1001, &answer);
    if let (Outcome::Ok { .. }, Ok(Reply::Error { data, .. })) = (&outcome, &answer)
        && data["supported"] != json!(["1.0"])
    {
        outcome = Outcome::failed(
            "`initialize`",
            "the error's data do not say `\"supported\": [\"1.0\"]`",
        );
    }
    kit.report.add("other-protocol", outcome);
    Ok(())
}

fn manifest_faults(manifest: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut check = |ok: bool, place: &str, why: &str| {
        if !ok {
            faults.push(fault(format!("`{place}`"), why));
        }
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = !manifest.name.is_empty() && manifest.name.chars().all(plain);
    check(name, "/name", "is lower-case letters, digits and hyphens");
    let version = Version::parse(&manifest.version).is_ok();
    check(
        version,
        "/version",
        "is not a version such as 1.2.3 (SemVer)",
    );
    check(
        !manifest.description.is_empty(),
        "/description",
        "is empty; it is the line in lists",
    );
    let phases = ["foundation", "networking", "platform", "services"];
    let phase = phases.contains(&manifest.phase.as_str());
    check(
        phase,
        "/phase",
        "is none of foundation, networking, platform, services",
    );
    let default = manifest
        .supported_versions
        .contains(&manifest.default_version)
        || (manifest.supported_versions.is_empty() && manifest.default_version.is_empty());
    check(
        default,
        "/default_version",
        "is not one of `supported_versions`",
    );
    let directory = manifest.output_dir.is_empty() || names::refuse(&manifest.output_dir).is_none();
    check(
        directory,
        "/output_dir",
        "is not a path below platform/generated",
    );
    let config = !manifest.config_schema.is_null() && is_schema(&manifest.config_schema);
    check(config, "/config_schema", "is not a JSON Schema");
    let output = manifest.output_schema.is_null() || is_schema(&manifest.output_schema);
    check(output, "/output_schema", "is not a JSON Schema");
    faults.extend(capability_faults(manifest));
    let secrets = secret_inputs::of_manifest(manifest).into_iter();
    faults.extend(secrets.map(|(place, why)| fault(format!("`{place}`"), why)));
    faults
}

fn is_schema(schema: &Value) -> bool {
    jsonschema::options().offline().build(schema).is_ok()
}

fn capability_faults(manifest: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, provision) in manifest.provides.iter().enumerate() {
        let place = format!("`/provides/{number}`");
        let standard = STANDARD
            .iter()
            .any(|(name, _)| *name == provision.capability);
        if provision.version.parse::<ProtocolVersion>().is_err() {
            faults.push(fault(&place, "its version is not two numbers such as 1.0"));
        }
        if !standard && !provision.capability.contains('/') {
            faults.push(fault(
                &place,
                "is neither a standard capability nor named `vendor/name`",
            ));
        } else if !standard && !provision.schema.as_ref().is_some_and(is_schema) {
            faults.push(fault(
                &place,
                "has no JSON Schema, which a capability of its own needs",
            ));
        }
    }
    for (number, requirement) in manifest.requires.iter().enumerate() {
        if VersionReq::parse(&requirement.version).is_err() {
            let why = "its version is not a range such as ^1.0";
            faults.push(fault(format!("`/requires/{number}`"), why));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use ztc_protocol::manifest::{Provision, Requirement};

    use super::*;

    #[test]
    fn a_manifest_is_checked_as_a_whole() {
        let provision = |capability: &str, version: &str| Provision {
            capability: capability.into(),
            version: version.into(),
            schema: None,
        };
        let manifest = Manifest {
            name: "My_Adapter".into(),
            version: "one".into(),
            default_version: "v2".into(),
            output_dir: "../x".into(),
            config_schema: json!({ "type": 7 }),
            provides: vec![
                provision("cni", "1"),
                provision("dns", "1.0"),
                provision("a/b", "1.0"),
            ],
            requires: vec![Requirement {
                capability: "cni".into(),
                version: "newest".into(),
                optional: false,
            }],
            ..Manifest::default()
        };
        let places: Vec<String> = manifest_faults(&manifest)
            .into_iter()
            .map(|fault| fault.place)
            .collect();
        assert_eq!(
            places,
            [
                "`/name`",
                "`/version`",
                "`/description`",
                "`/phase`",
                "`/default_version`",
                "`/output_dir`",
                "`/config_schema`",
                "`/provides/0`",
                "`/provides/1`",
                "`/provides/2`",
                "`/requires/0`",
            ]
        );
    }
}
