//! An adapter's section against what its manifest declares: the schema, the versions, the secrets. Pure.
//!
//! What the adapter itself says against its section is given places here too. The value of a secret input is never quoted.

use serde_json::{Map, Value};
use ztc_protocol::Manifest;
use ztc_protocol::message::Diagnostic;

use crate::error::{Failure, Finding, did_you_mean, listed};
use crate::platform::schema::{self, Problem};
use crate::platform::secret_places::secrets;
use crate::platform::words::{found, path};
use crate::platform::{Platform, Section};
use crate::secrets::Reference;

/// Returns what the manifest says against a section: unknown keys with the nearest known one, wrong types, missing keys, bad values, a version
/// that is not supported, a secret that is not a reference.
pub fn section(platform: &Platform, section: &Section, manifest: &Manifest) -> Vec<Finding> {
    let mut findings: Vec<Finding> = problems(&section.name, &section.config, manifest)
        .into_iter()
        .map(|problem| {
            let place = match problem.of_key {
                true => platform.locate_key(&section.name, &problem.pointer),
                false => platform.locate(&section.name, &problem.pointer),
            };
            Finding {
                help: problem.help,
                ..Finding::error(problem.message).at(place)
            }
        })
        .collect();
    findings.sort_by(|a, b| a.location.cmp(&b.location));
    findings
}

/// Gives an adapter's own diagnostics their places.
pub fn diagnostics(
    platform: &Platform,
    section: &Section,
    diagnostics: Vec<Diagnostic>,
) -> Vec<Finding> {
    let located = diagnostics.into_iter().map(|diagnostic| Finding {
        severity: diagnostic.severity,
        location: platform.locate(&section.name, &diagnostic.pointer),
        message: format!(
            "`{}`: {}",
            named(&section.name, &diagnostic.pointer),
            diagnostic.message
        ),
        help: diagnostic.help,
        pointer: None,
    });
    located.collect()
}

/// Gives the findings of an adapter's failed call about a section their places.
pub fn located(platform: &Platform, section: &Section, mut failure: Failure) -> Failure {
    for finding in &mut failure.findings {
        if let Some(pointer) = finding.pointer.take() {
            finding.location = platform.locate(&section.name, &pointer);
            finding.message = format!("`{}`: {}", named(&section.name, &pointer), finding.message);
        }
    }
    failure
}

/// Returns what the manifest says against the values of a section called `name`.
pub(crate) fn problems(
    name: &str,
    config: &Map<String, Value>,
    manifest: &Manifest,
) -> Vec<Problem> {
    let mut hidden = secrets(config, manifest);
    let mut problems: Vec<Problem> = hidden
        .iter()
        .filter_map(|pointer| secret(name, config, pointer))
        .collect();
    if !manifest.supported_versions.is_empty() {
        problems.extend(version(name, config, manifest));
        hidden.push("/version".to_owned());
    }
    let mut config = config.clone();
    if manifest
        .config_schema
        .pointer("/properties/version")
        .is_none()
    {
        config.shift_remove("version");
    }
    if !manifest.config_schema.is_null() {
        match schema::problems(
            name,
            &manifest.config_schema,
            &Value::Object(config),
            &hidden,
        ) {
            Ok(more) => problems.extend(more),
            Err(why) => problems.push(Problem {
                pointer: String::new(),
                of_key: false,
                message: format!(
                    "adapter `{}` ships a configuration schema that cannot be used: {why}",
                    manifest.name
                ),
                help: Some("report this to the adapter's author".to_owned()),
            }),
        }
    }
    problems
}

/// `talos.nodes[0].ip`
pub(crate) fn named(name: &str, pointer: &str) -> String {
    match path(pointer) {
        path if path.is_empty() => name.to_owned(),
        path => format!("{name}.{path}"),
    }
}

fn version(name: &str, config: &Map<String, Value>, manifest: &Manifest) -> Option<Problem> {
    let versions = || manifest.supported_versions.iter().map(String::as_str);
    let problem = |pointer: &str, message: String, help: String| Problem {
        pointer: pointer.to_owned(),
        of_key: false,
        message,
        help: Some(help),
    };
    match config.get("version") {
        None => {
            let is_required = manifest
                .config_schema
                .get("required")
                .and_then(Value::as_array)
                .is_some_and(|keys| keys.iter().any(|key| key == "version"));
            is_required.then(|| {
                problem(
                    "/version",
                    format!("key `version` is missing in `{name}`"),
                    format!("write `version: {}`", manifest.default_version),
                )
            })
        }
        Some(Value::String(_)) if manifest.other_versions => None,
        Some(Value::String(version)) if versions().any(|known| known == version) => None,
        Some(Value::String(version)) => {
            let known = match manifest.supported_versions.as_slice() {
                [only] => format!("the only version is `{only}`"),
                _ => format!("the versions are {}", listed(versions())),
            };
            let hint = match newest_like(version, versions()) {
                Some(near) => Some(format!("did you mean `{near}`?")),
                None => did_you_mean(version, versions()),
            };
            let hint = hint.filter(|_| manifest.supported_versions.len() > 1);
            let help = hint.map_or(known.clone(), |hint| format!("{hint} {known}"));
            Some(problem(
                "/version",
                format!(
                    "`{name}.version`: adapter `{}` does not support `{version}`",
                    manifest.name
                ),
                help,
            ))
        }
        Some(other) => Some(problem(
            "/version",
            format!("`{name}.version`: expected text, found {}", found(other)),
            format!("put it in quotes; the versions are {}", listed(versions())),
        )),
    }
}

/// The newest version of the same minor, else the newest of all: what is spelled alike may be years older.
fn newest_like<'a>(version: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let parts = |text: &str| -> Option<Vec<u64>> {
        let numbers = text.strip_prefix('v').unwrap_or(text).split('.');
        numbers.map(|number| number.parse().ok()).collect()
    };
    let wanted = parts(version).filter(|wanted| wanted.len() > 1)?;
    known
        .filter_map(|text| Some((parts(text)?, text)))
        .max_by_key(|(parts, _)| (parts.starts_with(&wanted[..2]), parts.clone()))
        .map(|(_, text)| text)
}

fn secret(name: &str, config: &Map<String, Value>, pointer: &str) -> Option<Problem> {
    let first = pointer
        .split('/')
        .nth(1)?
        .replace("~1", "/")
        .replace("~0", "~");
    let rest = &pointer[1 + pointer[1..].find('/').unwrap_or(pointer.len() - 1)..];
    let problem = Reference::parse(config.get(&first)?.pointer(rest)?).err()?;
    let message = format!("`{}`: {problem}", named(name, pointer));
    Some(Problem {
        pointer: pointer.to_owned(),
        of_key: false,
        message,
        help: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ztc_protocol::manifest::SecretInput;
    use ztc_protocol::message::Severity;

    use super::*;
    use crate::platform::Source;

    fn manifest() -> Manifest {
        let secret = json!({"type": "object", "x-ztc-secret": true});
        Manifest {
            name: "talos".into(),
            default_version: "v1.11.5".into(),
            supported_versions: vec!["v1.11.5".into(), "v1.10.0".into()],
            secrets: vec![SecretInput {
                input: "api_token".into(),
                variable: "TOKEN".into(),
                why: String::new(),
                discover: true,
            }],
            config_schema: json!({
                "type": "object",
                "additionalProperties": false,
                "required": ["version", "cluster_name", "nodes"],
                "properties": {
                    "version": {"type": "string"},
                    "cluster_name": {"type": "string", "pattern": "^[a-z]+$", "description": "The cluster's name: lower-case letters.\nMore."},
                    "nodes": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Node"}},
                    "count": {"type": "integer", "minimum": 1, "maximum": 5},
                    "on": {"type": "boolean"},
                    "disk": {"type": ["string", "null"], "minLength": 2},
                    "mode": {"oneOf": [{"const": "tunnel", "description": "x"}, {"const": "native"}]},
                    "ips": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
                    "api_token": secret,
                    "mirror": {"anyOf": [{"$ref": "#/$defs/Mirror"}, {"type": "null"}]},
                },
                "$defs": {
                    "Mirror": {"type": "object", "properties": {"url": {"type": "string"}, "password": secret}},
                    "Node": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["ip"],
                        "properties": {
                            "ip": {"type": "string", "description": "Its address."},
                            "role": {"enum": ["controlplane", "worker"], "description": "What it does."},
                        },
                    },
                },
            }),
            ..Manifest::default()
        }
    }

    fn platform(section: &str) -> Platform {
        let text = format!("apiVersion: ztc/v1\nadapters:\n  talos:\n{section}");
        Platform::parse(&Source::new("platform.yaml", text), None, None).unwrap()
    }

    #[track_caller]
    fn found_in(text: &str, expected: &str) {
        let platform = platform(text);
        let findings = section(&platform, &platform.sections[0], &manifest());
        let style = console::Style::new().force_styling(false);
        let shown: Vec<String> = findings
            .iter()
            .map(|finding| crate::ui::failure::finding_text(finding, &style))
            .collect();
        assert_eq!(shown.join("\n"), expected);
    }

    #[test]
    fn a_good_section_has_no_findings() {
        found_in(
            "    version: v1.11.5
    cluster_name: prod
    nodes: [{ip: 1.2.3.4, role: worker}]
    disk: null
    ips: [a]
    mode: native
    api_token: {from: env, name: TOKEN}
    mirror: {password: {from: file, path: x}}
",
            "",
        );
    }

    #[test]
    fn every_kind_of_mistake_is_said_in_words_with_its_place() {
        found_in(
            "    version: v1.11.4
    cluster_nam: prod
    nodes:
      - {ip: 10.1, role: workr}
      - {role: master, zone: a}
      - 5
    count: 7
    on: yes
    disk: x
    mode: tunel
    ips: {a: 1}
    zzz: 1
",
            "platform.yaml:3:3: error: key `cluster_name` is missing in `talos`
  help: `cluster_name`: The cluster's name: lower-case letters
platform.yaml:4:14: error: `talos.version`: adapter `talos` does not support `v1.11.4`
  help: did you mean `v1.11.5`? the versions are `v1.11.5` or `v1.10.0`
platform.yaml:5:5: error: unknown key `cluster_nam` in `talos`
  help: did you mean `cluster_name`?
platform.yaml:7:14: error: `talos.nodes[0].ip`: expected text, found the number `10.1`
  help: put it in quotes, as it stands in the file
platform.yaml:7:26: error: `talos.nodes[0].role`: expected `controlplane` or `worker`, found text `workr`
  help: did you mean `worker`?
platform.yaml:8:9: error: key `ip` is missing in `talos.nodes[1]`
  help: `ip`: Its address
platform.yaml:8:16: error: `talos.nodes[1].role`: expected `controlplane` or `worker`, found text `master`
platform.yaml:8:24: error: unknown key `zone` in `talos.nodes[1]`
  help: the keys here are `ip` or `role`
platform.yaml:9:9: error: `talos.nodes[2]`: expected a mapping, found the number `5`
platform.yaml:10:12: error: `talos.count`: expected at most `5`, found the number `7`
platform.yaml:11:9: error: `talos.on`: expected `true` or `false`, found text `yes`
  help: write `true`, without quotes
platform.yaml:12:11: error: `talos.disk`: expected at least 2 characters, found text `x`
platform.yaml:13:11: error: `talos.mode`: expected `tunnel` or `native`, found text `tunel`
  help: did you mean `tunnel`?
platform.yaml:14:5: error: `talos.ips`: expected text or a list, found a mapping
  help: write a list: `[first, second]`, or one item a line after `- `
platform.yaml:15:5: error: unknown key `zzz` in `talos`
  help: the keys here are `version`, `cluster_name`, `nodes`, `count`, `on`, `disk`, `mode`, `ips`, `api_token`, or `mirror`",
        );
    }

    #[test]
    fn a_pattern_is_explained_and_an_empty_list_refused() {
        found_in(
            "    version: 1.1
    cluster_name: Prod_1
    nodes: []
",
            "platform.yaml:4:14: error: `talos.version`: expected text, found the number `1.1`
  help: put it in quotes; the versions are `v1.11.5` or `v1.10.0`
platform.yaml:5:19: error: `talos.cluster_name`: text `Prod_1` does not match the pattern `^[a-z]+$`
  help: The cluster's name: lower-case letters
platform.yaml:6:5: error: `talos.nodes`: must not be empty",
        );
    }

    #[test]
    fn a_secret_that_is_no_reference_is_refused_and_never_quoted() {
        let platform = platform(
            "    version: v1.11.5
    cluster_name: prod
    nodes: [{ip: a}]
    api_token: tok-s3cret
    mirror: {url: 5, password: pw-s3cret}
",
        );
        let findings = section(&platform, &platform.sections[0], &manifest());
        let example = "a secret never stands in platform.yaml itself; write a reference such as `{from: env, name: HCLOUD_TOKEN}`";
        let said: Vec<String> = findings
            .iter()
            .map(|finding| format!("{} {}", finding.location.as_ref().unwrap(), finding.message))
            .collect();
        assert_eq!(
            said,
            [
                format!("platform.yaml:7:16 `talos.api_token`: {example}"),
                "platform.yaml:8:19 `talos.mirror.url`: expected text, found the number `5`"
                    .to_owned(),
                format!("platform.yaml:8:32 `talos.mirror.password`: {example}"),
            ]
        );
        assert!(!format!("{findings:?}").contains("s3cret"));
    }

    #[test]
    fn what_an_adapter_says_gets_its_place() {
        let platform = platform("    nodes:\n      - {ip: a}\n");
        let diagnostic = |pointer: &str, severity| Diagnostic {
            pointer: pointer.into(),
            severity,
            message: "is odd".into(),
            help: None,
        };
        let found = diagnostics(
            &platform,
            &platform.sections[0],
            vec![
                diagnostic("/nodes/0/ip", Severity::Error),
                diagnostic("", Severity::Warning),
            ],
        );
        let said: Vec<String> = found
            .iter()
            .map(|finding| format!("{} {}", finding.location.as_ref().unwrap(), finding.message))
            .collect();
        assert_eq!(
            said,
            [
                "platform.yaml:5:14 `talos.nodes[0].ip`: is odd",
                "platform.yaml:3:3 `talos`: is odd"
            ]
        );
        assert_eq!(found[1].severity, Severity::Warning);
    }

    #[test]
    fn a_schema_that_is_broken_is_the_adapters_fault() {
        let broken = Manifest {
            name: "x".into(),
            config_schema: json!({"type": "strin"}),
            ..Manifest::default()
        };
        let found = problems("x", &Map::new(), &broken);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .message
                .starts_with("adapter `x` ships a configuration schema that cannot be used: "),
            "{}",
            found[0].message
        );
    }
}
