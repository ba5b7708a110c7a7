//! What the adapter does with secrets: a canary that must not be seen again, and the bundles that it makes.

use serde_json::{Map, Value, json};
use ztc_protocol::Manifest;

use crate::conformance::Kit;
use crate::conformance::canary::Canary;
use crate::conformance::checks::material::Material;
use crate::conformance::checks::rendering::greet;
use crate::conformance::checks::{fault, instead};
use crate::conformance::report::Outcome;
use crate::conformance::session::{Reply, Session};
use crate::error::{Failure, counted};

/// Gives secrets that are none to a process of its own, and looks for them in all that it says.
pub(super) async fn canary(
    kit: &Kit,
    manifest: &Manifest,
    material: &Material,
) -> Result<Outcome, Failure> {
    let canary = Canary::new();
    let (config, references) = canary.planted(manifest, &material.config);
    let handed: Map<String, Value> = manifest
        .secrets
        .iter()
        .filter(|secret| secret.discover)
        .map(|secret| (secret.input.clone(), canary.value.clone().into()))
        .collect();
    if references + handed.len() == 0 {
        return Ok(Outcome::skipped(
            "neither the configuration nor `discover` has a secret",
        ));
    }
    let mut session = Session::start(&kit.candidate, &kit.variables, &kit.ledger)?;
    if let Err(outcome) = greet(&mut session).await {
        return Ok(outcome);
    }
    let mut faults = Vec::new();
    let mut errors = Vec::new();
    if manifest.discovers {
        let mut params = material.discover(manifest);
        params["config"] = config.clone().into();
        params["secrets"] = handed.clone().into();
        if let Err(broken) = session.call("discover", params).await {
            faults.push(fault("`discover`", broken.to_string()));
        }
        errors.extend(session.stderr());
    }
    let material = Material {
        config,
        ..material.clone()
    };
    for method in ["validate", "render", "scripts"] {
        let params = match method {
            "validate" => material.validate(manifest),
            _ => material.render(manifest),
        };
        let answer = session.call(method, params).await;
        errors.extend(session.stderr());
        match &answer {
            Ok(Reply::Result(result)) if method != "validate" => {
                let text = result.to_string();
                faults.extend(
                    canary.anything_in(&format!("the answer to `{method}`"), text.as_bytes()),
                );
            }
            Err(broken) => faults.push(fault(format!("`{method}`"), broken.to_string())),
            Ok(_) => {}
        }
    }
    session.end().await;
    errors.extend(session.stderr());
    faults.extend(canary.value_in("stderr", errors.join("\n").as_bytes()));
    faults.extend(canary.value_in("stdout", session.heard()));
    let note = format!(
        "{} values and {references} references, never seen again",
        handed.len()
    );
    Ok(Outcome::of(faults, note))
}

/// Lets the adapter make and check every bundle that it declares.
pub(super) async fn bundles(
    kit: &mut Kit,
    manifest: &Manifest,
    config: Option<Map<String, Value>>,
    session: &mut Session,
) {
    if manifest.bundles.is_empty() {
        return;
    }
    let Some(config) = config else {
        let why = "there is no configuration to make them for";
        kit.report.add("secret-bundles", Outcome::skipped(why));
        return;
    };
    let mut faults = Vec::new();
    let mut made = Map::new();
    // A bundle comes after those that it is made from.
    let mut waiting: Vec<_> = manifest.bundles.iter().collect();
    while let Some(at) = waiting
        .iter()
        .position(|bundle| bundle.from.iter().all(|name| made.contains_key(name)))
    {
        let bundle = waiting.remove(at);
        let place = format!("the bundle `{}`", bundle.name);
        let from: Map<String, Value> = bundle
            .from
            .iter()
            .filter_map(|name| Some((name.clone(), made.get(name)?.clone())))
            .collect();
        let params = json!({ "bundle": bundle.name, "config": config, "from": from });
        let content = match session.call("generate_secrets", params).await {
            Ok(Reply::Result(mut result)) => result["content"].take(),
            other => {
                faults.push(fault(
                    &place,
                    format!("`generate_secrets` {}", instead(&other)),
                ));
                break;
            }
        };
        let params = json!({ "bundle": bundle.name, "content": content, "from": from });
        match session.call("check_secrets", params).await {
            Ok(Reply::Result(result)) => {
                let errors = result["diagnostics"].as_array().into_iter().flatten();
                let errors = errors.filter(|finding| finding["severity"] != "warning");
                faults.extend(errors.map(|finding| {
                    let text = finding["message"].as_str().unwrap_or_default();
                    fault(
                        &place,
                        format!("the adapter finds fault with what it has made: {text}"),
                    )
                }));
            }
            other => faults.push(fault(
                &place,
                format!("`check_secrets` {}", instead(&other)),
            )),
        }
        made.insert(bundle.name.clone(), content);
    }
    if faults.is_empty() {
        faults.extend(waiting.iter().map(|bundle| {
            let why = "is made from a bundle that does not exist, or from itself";
            fault(format!("the bundle `{}`", bundle.name), why)
        }));
    }
    let note = format!(
        "{} made and checked",
        counted(made.len(), "bundle", "bundles")
    );
    kit.report.add("secret-bundles", Outcome::of(faults, note));
}
