//! What the adapter makes: questions, findings, artifacts, stages, scripts. The host's own checks of a render are applied as they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use ztc_protocol::Manifest;
use ztc_protocol::message::{GetInputsResult, RenderResult, ScriptsResult};
use ztc_protocol::stage::Script;

use crate::conformance::Kit;
use crate::conformance::checks::behavior::unknown_fields;
use crate::conformance::checks::material::{self, Material, SECOND};
use crate::conformance::checks::{fault, findings, fit, inputs, instead, scripts, secrets};
use crate::conformance::report::{Outcome, RENDER};
use crate::conformance::session::{Answer, Reply, Session};
use crate::error::{Failure, counted};
use crate::render::artifacts::{Collection, Owner};
use crate::render::engine::Answer as Rendered;
use crate::render::{contract, secret_inputs};

/// The checks that need a rendered configuration.
const RENDERED: [&str; 10] = [
    RENDER,
    "scripts",
    "determinism",
    "artifacts",
    "capabilities",
    "pipeline",
    "two-sections",
    "script-syntax",
    "unknown-fields-in-render",
    "secret-canary",
];

/// Makes the checks.
pub(crate) async fn run(kit: &mut Kit, manifest: &Manifest) -> Result<(), Failure> {
    let mut session = Session::start(&kit.candidate, &kit.variables, &kit.ledger)?;
    if let Err(outcome) = greet(&mut session).await {
        kit.report.add("inputs", outcome);
        return Ok(());
    }
    questions(kit, manifest, &mut session).await;
    let collected = material::collect(&kit.given, manifest, &mut session).await;
    let config = collected
        .as_ref()
        .ok()
        .map(|material| material.config.clone());
    match collected {
        Err(outcome) => {
            kit.report.add("configuration", outcome);
            let why = "there is no configuration to render with";
            skip(
                kit,
                ["discover", "validate", "together", "cancel"]
                    .iter()
                    .chain(&RENDERED),
                why,
            );
        }
        Ok(mut material) => {
            let whose = if material.made_up {
                "made up from defaults and schema"
            } else {
                "given"
            };
            kit.report.add("configuration", Outcome::ok(whose));
            discover(kit, manifest, &mut session, &mut material).await;
            validate(kit, manifest, &mut session, &material).await;
            together(kit, manifest, &mut session, &material).await;
            cancel(kit, manifest, &mut session, &material).await;
            rendered(kit, manifest, &mut session, &material).await?;
        }
    }
    secrets::bundles(kit, manifest, config, &mut session).await;
    session.end().await;
    Ok(())
}

/// Shakes hands in a session that is about something else.
pub(super) async fn greet(session: &mut Session) -> Result<(), Outcome> {
    match session.initialize().await {
        Ok(Reply::Result(_)) => Ok(()),
        other => Err(Outcome::failed("`initialize`", instead(&other))),
    }
}

fn skip<'a>(kit: &mut Kit, names: impl IntoIterator<Item = &'a &'static str>, why: &str) {
    for name in names {
        kit.report.add(name, Outcome::skipped(why));
    }
}

async fn questions(kit: &mut Kit, manifest: &Manifest, session: &mut Session) {
    let answer = session
        .call("get_inputs", material::questions(manifest))
        .await;
    let outcome = match read::<GetInputsResult>(answer) {
        Err(why) => Outcome::failed("`get_inputs`", why),
        Ok(result) => Outcome::of(
            inputs::faults(&result.inputs, manifest),
            counted(result.inputs.len(), "question", "questions"),
        ),
    };
    kit.report.add("inputs", outcome);
}

async fn discover(
    kit: &mut Kit,
    manifest: &Manifest,
    session: &mut Session,
    material: &mut Material,
) {
    let outcome = if !manifest.discovers {
        Outcome::skipped("the manifest does not say `discovers`")
    } else if kit.given.facts.is_some() {
        Outcome::skipped("the facts were given with `--facts`")
    } else {
        match session.call("discover", material.discover(manifest)).await {
            Ok(Reply::Result(result)) => {
                material.facts =
                    serde_json::from_value(result["facts"].clone()).unwrap_or_default();
                Outcome::ok(counted(material.facts.len(), "fact", "facts"))
            }
            // Without a secret or the service this is what a good adapter says.
            Ok(Reply::Error { code, message, .. }) => {
                Outcome::ok(format!("refused with the error {code}: {message}"))
            }
            Err(broken) => Outcome::failed("`discover`", broken.to_string()),
        }
    };
    kit.report.add("discover", outcome);
}

async fn validate(kit: &mut Kit, manifest: &Manifest, session: &mut Session, material: &Material) {
    let answer = session.call("validate", material.validate(manifest)).await;
    let outcome = match answer {
        Ok(Reply::Result(result)) => {
            let findings = result["diagnostics"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let wrong = findings.iter().filter_map(|finding| {
                let pointer = finding["pointer"].as_str().unwrap_or_default();
                let formed = pointer.is_empty() || pointer.starts_with('/');
                (!formed).then(|| {
                    fault(
                        format!("the finding at `{pointer}`"),
                        "its place is not a JSON Pointer",
                    )
                })
            });
            let note = match self::findings(&result["diagnostics"]).as_str() {
                "" => "no findings".to_owned(),
                text => text.to_owned(),
            };
            Outcome::of(wrong.collect(), note)
        }
        other => Outcome::failed("`validate`", instead(&other)),
    };
    kit.report.add("validate", outcome);
}

/// Calls that are made while another one runs are answered as if they came alone, in whatever order.
async fn together(kit: &mut Kit, manifest: &Manifest, session: &mut Session, material: &Material) {
    let calls = || {
        vec![
            ("render", material.render(manifest)),
            ("get_inputs", json!({})),
            ("validate", material.validate(manifest)),
        ]
    };
    let mut alone = Vec::new();
    for (method, params) in calls() {
        alone.push(session.call(method, params).await);
    }
    let answers = session.call_together(calls()).await;
    let methods = calls().into_iter().map(|(method, _)| method);
    let wrong = methods
        .zip(alone.iter().zip(&answers))
        .filter_map(|(method, pair)| {
            let why = match pair {
                (_, Err(broken)) => broken.to_string(),
                (Ok(Reply::Result(first)), Ok(Reply::Result(second)))
                    if comparable(first) != comparable(second) =>
                {
                    "answered with another result than alone".to_owned()
                }
                (Ok(Reply::Result(_)), second @ Ok(Reply::Error { .. })) => instead(second),
                _ => return None,
            };
            Some(fault(format!("`{method}` beside other calls"), why))
        });
    let calls = counted(answers.len(), "call", "calls");
    let note = format!("{calls} before the first answer");
    let outcome = Outcome::of(wrong.collect(), note);
    kit.report.add("together", outcome);
}

/// Calls that are cancelled are answered, each with its result or with the error 1020, and so is the call after it.
async fn cancel(kit: &mut Kit, manifest: &Manifest, session: &mut Session, material: &Material) {
    let mut calls = vec![("render", material.render(manifest))];
    if manifest.discovers {
        calls.push(("discover", material.discover(manifest)));
    }
    let mut faults = Vec::new();
    let mut notes = Vec::new();
    for (method, params) in calls {
        let answer = session.call_and_cancel(method, params).await;
        let after = session
            .call("get_inputs", material::questions(manifest))
            .await;
        match (&answer, &after) {
            (Err(broken), _) => {
                faults.push(fault(
                    format!("`{method}` and `$/cancel`"),
                    broken.to_string(),
                ));
            }
            (_, Err(broken)) => {
                let place = format!("`get_inputs` after a cancelled `{method}`");
                faults.push(fault(place, broken.to_string()));
            }
            (Ok(Reply::Error { code: 1020, .. }), Ok(_)) => {
                notes.push(format!("`{method}` ended with 1020"));
            }
            (Ok(_), Ok(_)) => notes.push(format!(
                "`{method}` was done all the same, as it may be: it {}",
                instead(&answer)
            )),
        }
        if !faults.is_empty() {
            break;
        }
    }
    kit.report
        .add("cancel", Outcome::of(faults, notes.join("; ")));
}

/// What one process made.
struct Made {
    render: Value,
    scripts: Value,
}

async fn make(session: &mut Session, params: &Value) -> Result<Made, (&'static str, Answer)> {
    let mut results = Vec::new();
    for method in ["render", "scripts"] {
        match session.call(method, params.clone()).await {
            Ok(Reply::Result(result)) => results.push(result),
            other => return Err((method, other)),
        }
    }
    let scripts = results.pop().unwrap_or_default();
    let render = results.pop().unwrap_or_default();
    Ok(Made { render, scripts })
}

async fn rendered(
    kit: &mut Kit,
    manifest: &Manifest,
    session: &mut Session,
    material: &Material,
) -> Result<(), Failure> {
    let params = material.render(manifest);
    let made = match make(session, &params).await {
        Ok(made) => made,
        Err((method, answer)) => {
            refused(kit, material, method, &answer);
            return Ok(());
        }
    };
    let (result, all) = match (
        serde_json::from_value::<RenderResult>(made.render.clone()),
        serde_json::from_value::<ScriptsResult>(made.scripts.clone()),
    ) {
        (Ok(result), Ok(scripts)) => (result, scripts.scripts),
        (Err(error), _) | (_, Err(error)) => {
            let outcome = Outcome::failed(
                "`render` or `scripts`",
                format!("its result does not have the form of the schema: {error}"),
            );
            kit.report.add("render", outcome);
            skip(kit, &RENDERED[1..], "nothing usable was rendered");
            return Ok(());
        }
    };
    let note = format!(
        "{}, {}",
        counted(result.artifacts.len(), "artifact", "artifacts"),
        counted(result.stages.len(), "stage", "stages")
    );
    kit.report.add("render", Outcome::ok(note));
    let name = manifest.name.as_str();
    let scripts = counted(all.len(), "script", "scripts");
    let note = format!("{scripts}, each with its digest and its stage");
    let mut outcome = host(
        "`scripts`",
        contract::scripts(name, manifest, &result.stages, &all),
        note,
    );
    let strange = secret_inputs::of_scripts(manifest, &all);
    if !strange.is_empty() {
        let faults = strange.into_iter().map(|(place, why)| fault(place, why));
        outcome = Outcome::of(faults.collect(), "");
    }
    kit.report.add("scripts", outcome);
    let outcome = determinism(kit, session, &params, &made).await?;
    kit.report.add("determinism", outcome);
    let pipeline = fit::pipeline(manifest, &result, &all);
    let outcome = host(
        "`render`",
        contract::answer(name, manifest, &result),
        "as their contracts say",
    );
    let syntax = scripts::syntax(&all).await;
    let sections = sections(manifest, session, material, (&result, &all)).await;
    let artifacts = artifacts(manifest, session, result, all);
    kit.report.add("artifacts", artifacts);
    kit.report.add("capabilities", outcome);
    kit.report.add("pipeline", pipeline);
    kit.report.add("two-sections", sections);
    kit.report.add("script-syntax", syntax);
    let mut extended = params.clone();
    unknown_fields(&mut extended);
    let outcome = match make(session, &extended).await {
        Ok(again) => same(
            &made,
            &again,
            "with unknown fields in the parameters",
            "ignored",
        ),
        Err((method, answer)) => {
            Outcome::failed(format!("`{method}` with unknown fields"), instead(&answer))
        }
    };
    kit.report.add("unknown-fields-in-render", outcome);
    let outcome = secrets::canary(kit, manifest, material).await?;
    kit.report.add("secret-canary", outcome);
    Ok(())
}

/// There is nothing to look at: the adapter's fault where the operator gave the configuration, else the kit's.
fn refused(kit: &mut Kit, material: &Material, method: &str, answer: &Answer) {
    let own_words =
        matches!(answer, Ok(Reply::Error { code, .. }) if [1010, 1011, 1012].contains(code));
    let outcome = if own_words && material.made_up {
        Outcome::skipped(format!(
            "the configuration that the kit made up {}; give one with `--config FILE`",
            instead_of_config(answer)
        ))
    } else {
        Outcome::failed(format!("`{method}`"), instead(answer))
    };
    kit.report.add("render", outcome);
    skip(kit, &RENDERED[1..], "nothing was rendered");
}

fn instead_of_config(answer: &Answer) -> String {
    match answer {
        Ok(Reply::Error { code, message, .. }) => format!("was refused (error {code}: {message})"),
        other => instead(other),
    }
}

/// The same process again and a new one give the same.
async fn determinism(
    kit: &Kit,
    session: &mut Session,
    params: &Value,
    made: &Made,
) -> Result<Outcome, Failure> {
    let note = "the same bytes again, from the same process and from a new one";
    match make(session, params).await {
        Ok(again) => {
            let outcome = same(made, &again, "the second time", note);
            if !matches!(outcome, Outcome::Ok { .. }) {
                return Ok(outcome);
            }
        }
        Err((method, answer)) => {
            return Ok(Outcome::failed(
                format!("`{method}` the second time"),
                instead(&answer),
            ));
        }
    }
    let mut other = Session::start(&kit.candidate, &kit.variables, &kit.ledger)?;
    let outcome = match greet(&mut other).await {
        Err(outcome) => outcome,
        Ok(()) => match make(&mut other, params).await {
            Ok(again) => same(made, &again, "in a new process", note),
            Err((method, answer)) => {
                Outcome::failed(format!("`{method}` in a new process"), instead(&answer))
            }
        },
    };
    other.end().await;
    Ok(outcome)
}

fn same(first: &Made, second: &Made, when: &str, note: &str) -> Outcome {
    let mut faults = Vec::new();
    for (method, first, second) in [
        ("render", &first.render, &second.render),
        ("scripts", &first.scripts, &second.scripts),
    ] {
        if let Some(place) = difference(&comparable(first), &comparable(second), "") {
            faults.push(fault(
                format!("`{method}` {when}"),
                format!("`{place}` is different"),
            ));
        }
    }
    Outcome::of(faults, note)
}

/// A result without what may differ: the name of a scratch file, whose digest says what is in it.
fn comparable(result: &Value) -> Value {
    let mut result = result.clone();
    for artifact in result["artifacts"].as_array_mut().into_iter().flatten() {
        if let Some(artifact) = artifact.as_object_mut() {
            artifact.remove("content_file");
        }
    }
    result
}

/// Returns the first place where two values differ, the order of keys included: it reaches files.
fn difference(first: &Value, second: &Value, place: &str) -> Option<String> {
    match (first, second) {
        (Value::Object(first), Value::Object(second)) if first.keys().eq(second.keys()) => first
            .iter()
            .find_map(|(key, value)| difference(value, &second[key], &format!("{place}/{key}"))),
        (Value::Array(first), Value::Array(second)) if first.len() == second.len() => {
            let pairs = first.iter().zip(second).enumerate();
            pairs
                .filter_map(|(at, (first, second))| {
                    difference(first, second, &format!("{place}/{at}"))
                })
                .next()
        }
        _ => (first != second || first.is_object()).then(|| {
            if place.is_empty() {
                "/".to_owned()
            } else {
                place.to_owned()
            }
        }),
    }
}

/// Whether two sections can share the adapter. Not every technology can be there twice, so that this fails nothing.
async fn sections(
    manifest: &Manifest,
    session: &mut Session,
    material: &Material,
    first: (&RenderResult, &[Script]),
) -> Outcome {
    if !manifest.provides.is_empty() {
        return Outcome::skipped("one adapter alone provides a capability");
    }
    let second = match make(session, &material.second(manifest)).await {
        Ok(made) => serde_json::from_value::<RenderResult>(made.render).and_then(|result| {
            Ok((
                result,
                serde_json::from_value::<ScriptsResult>(made.scripts)?,
            ))
        }),
        Err((method, answer)) => {
            let place = format!("`{method}` for a second section");
            return Outcome::failed(place, instead(&answer));
        }
    };
    let (result, scripts) = match second {
        Ok((result, scripts)) => (result, scripts.scripts),
        Err(error) => return Outcome::failed("`render` for a second section", error.to_string()),
    };
    let (name, bundles) = (manifest.name.as_str(), BTreeMap::new());
    let mut collection = Collection::new(&bundles);
    let answers = [
        (name, first.0, first.1),
        (SECOND, &result, scripts.as_slice()),
    ];
    let taken = answers.iter().try_for_each(|(section, result, scripts)| {
        let owner = Owner {
            section,
            manifest,
            scratch: session.scratch(),
        };
        let answer = Rendered {
            result: (*result).clone(),
            scripts: scripts.to_vec(),
            ..Rendered::default()
        };
        collection.take(&owner, &answer)
    });
    match taken.and_then(|()| fit::beside(manifest, answers[0], answers[1])) {
        Ok(()) => Outcome::ok("can share the adapter"),
        Err(failure) => {
            let finding = failure.findings.first();
            let why = finding.map_or(&failure.message, |finding| &finding.message);
            Outcome::skipped(format!(
                "cannot share the adapter, which is right where one platform has only one ({why}); else names and paths need `platform.section`"
            ))
        }
    }
}

/// The host's own word on the files.
fn artifacts(
    manifest: &Manifest,
    session: &Session,
    result: RenderResult,
    all: Vec<Script>,
) -> Outcome {
    let bundles = BTreeMap::new();
    let mut collection = Collection::new(&bundles);
    let owner = Owner {
        section: &manifest.name,
        manifest,
        scratch: session.scratch(),
    };
    let count = counted(result.artifacts.len(), "path", "paths");
    let answer = Rendered {
        result,
        scripts: all,
        ..Rendered::default()
    };
    host(
        "`render`",
        collection.take(&owner, &answer),
        format!("{count}, contents and placeholders"),
    )
}

/// Turns the host's own check into an outcome.
fn host(place: &str, checked: Result<(), Failure>, note: impl Into<String>) -> Outcome {
    match checked {
        Ok(()) => Outcome::ok(note),
        Err(failure) => {
            let mut why = failure.message;
            for detail in failure.details {
                why = format!("{why}; {detail}");
            }
            Outcome::failed(place, why)
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: Answer) -> Result<T, String> {
    match answer {
        Ok(Reply::Result(result)) => serde_json::from_value(result)
            .map_err(|error| format!("its result does not have the form of the schema: {error}")),
        other => Err(instead(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let one = json!({ "artifacts": [{ "path": "a", "content": "1" }], "env_vars": { "A": "1", "B": "2" } });
        assert_eq!(difference(&one, &one.clone(), ""), None);
        let mut other = one.clone();
        other["artifacts"][0]["content"] = json!("2");
        assert_eq!(
            difference(&one, &other, "").as_deref(),
            Some("/artifacts/0/content")
        );
        let swapped = json!({ "artifacts": [{ "path": "a", "content": "1" }], "env_vars": { "B": "2", "A": "1" } });
        assert_eq!(difference(&one, &swapped, "").as_deref(), Some("/env_vars"));
        let file = |name: &str| json!({ "artifacts": [{ "path": "a", "content_file": name, "sha256": "x" }] });
        assert_eq!(
            difference(&comparable(&file("1")), &comparable(&file("2")), ""),
            None
        );
    }
}
