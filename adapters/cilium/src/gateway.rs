//! The Gateway API's definitions: fetched by the cluster from where the project publishes them, or a copy in the operator's repository, which
//! is checked here. Reads nothing itself: the host hands the copy over.

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use ztc_adapter_sdk::protocol::capability::GatewayApi;
use ztc_adapter_sdk::protocol::message::InputFile;
use ztc_adapter_sdk::{AdapterError, file_text};

use crate::versions::{GATEWAY_GROUP, table};

/// Whether Cilium implements the Gateway API, and where its definitions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// It does not.
    Off,
    /// The cluster fetches the paired release when it starts.
    Published,
    /// A file of the repository has them, for clusters that reach no network.
    Copy(String),
}

impl Gateway {
    /// Whether Cilium implements the Gateway API.
    pub(crate) fn is_on(&self) -> bool {
        *self != Self::Off
    }
}

impl<'de> Deserialize<'de> for Gateway {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (&value, value.get("manifest").and_then(Value::as_str)) {
            (Value::Bool(true), _) => Ok(Self::Published),
            (Value::Bool(false), _) => Ok(Self::Off),
            (Value::Object(object), Some(manifest)) if object.len() == 1 => {
                Ok(Self::Copy(manifest.to_owned()))
            }
            _ => Err(D::Error::custom(
                "`gateway_api` is `true`, `false` or `{manifest: FILE}`",
            )),
        }
    }
}

impl JsonSchema for Gateway {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Gateway".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["boolean", "object"],
            "required": ["manifest"],
            "additionalProperties": false,
            "properties": {"manifest": {
                "type": "string",
                "minLength": 1,
                "x-ztc-file": true,
                "description": "A file of the repository with the definitions of the paired release, standard channel.",
            }},
        })
    }
}

/// Says which definitions the cluster needs; with the Gateway API off there is no version and nothing to install. `version` is Cilium's.
pub(crate) fn capability(
    gateway: &Gateway,
    version: &str,
    files: &BTreeMap<String, InputFile>,
) -> Result<GatewayApi, AdapterError> {
    let paired = table()
        .minor(version)
        .map(|minor| minor.gateway_api.clone());
    Ok(match gateway {
        Gateway::Off => GatewayApi::default(),
        Gateway::Published => {
            let release = paired.unwrap_or_default();
            GatewayApi {
                crd_urls: table().urls(&release),
                version: release,
                crds: String::new(),
            }
        }
        Gateway::Copy(path) => {
            let crds = file_text(files, path)?;
            let version = check_copy(path, &crds, paired.as_deref()).map_err(|why| {
                AdapterError::new(ztc_adapter_sdk::protocol::ErrorCode::InvalidInputs, why)
            })?;
            GatewayApi {
                version,
                crd_urls: Vec::new(),
                crds,
            }
        }
    })
}

/// Checks a copy of the definitions and returns their release. `paired` is the one that this Cilium was tested with, where it is known.
pub(crate) fn check_copy(path: &str, text: &str, paired: Option<&str>) -> Result<String, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, crate::objects::options()).map_err(
            |error| {
                format!(
                    "`{path}` is not YAML: {}",
                    crate::objects::first_line(&error.to_string())
                )
            },
        )?;
    let mut missing: BTreeSet<String> = table().definitions().into_iter().collect();
    let mut releases = BTreeSet::new();
    for document in documents.iter().filter(|document| !document.is_null()) {
        let word = |pointer: &str| {
            document
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (kind, name) = (word("/kind"), word("/metadata/name"));
        match kind {
            "CustomResourceDefinition" => {}
            // Releases bring these to guard their definitions.
            "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" => continue,
            _ => {
                return Err(format!(
                    "`{path}` holds `{kind} {name}`, which is no definition of the Gateway API"
                ));
            }
        }
        if word("/spec/group") != GATEWAY_GROUP {
            return Err(format!(
                "`{path}` holds the definition `{name}`, which is not of the group `{GATEWAY_GROUP}`"
            ));
        }
        let note =
            |key: &str| word(&format!("/metadata/annotations/{GATEWAY_GROUP}~1{key}")).to_owned();
        let channel = note("channel");
        if channel != "standard" {
            return Err(format!(
                "`{name}` in `{path}` is of the channel `{channel}`; allowed is `standard`"
            ));
        }
        releases.insert(note("bundle-version"));
        served(path, name, document)?;
        missing.remove(name);
    }
    if !missing.is_empty() {
        let missing: Vec<_> = missing.into_iter().collect();
        return Err(format!(
            "`{path}` lacks the definitions `{}`",
            missing.join("`, `")
        ));
    }
    let found = releases.iter().cloned().collect::<Vec<_>>().join("`, `");
    match (paired, releases.len()) {
        (Some(paired), _) if found != paired => Err(format!(
            "`{path}` has the Gateway API `{found}`, but this Cilium goes with `{paired}` only"
        )),
        (None, 2..) => Err(format!(
            "`{path}` mixes the releases `{found}` of the Gateway API"
        )),
        _ => Ok(found),
    }
}

/// Checks that a definition serves the version that the operator asks for.
fn served(path: &str, name: &str, document: &Value) -> Result<(), String> {
    let resource = name.split('.').next().unwrap_or_default();
    let Some(wanted) = table().gateway_resources.get(resource) else {
        return Ok(());
    };
    let versions = document.pointer("/spec/versions").and_then(Value::as_array);
    let serves = versions
        .into_iter()
        .flatten()
        .any(|version| version["name"] == wanted.as_str() && version["served"] == true);
    match serves {
        true => Ok(()),
        false => Err(format!(
            "`{name}` in `{path}` does not serve `{wanted}`, which Cilium needs"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes definitions of a release, without their schemas.
    fn definitions(release: &str, channel: &str) -> Vec<String> {
        let resources = &table().gateway_resources;
        let one = |(resource, version): (&String, &String)| {
            format!(
                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: {resource}.{GATEWAY_GROUP}\n  \
                 annotations: {{{GATEWAY_GROUP}/bundle-version: {release}, {GATEWAY_GROUP}/channel: {channel}}}\nspec:\n  \
                 group: {GATEWAY_GROUP}\n  versions: [{{name: {version}, served: true}}]\n"
            )
        };
        resources.iter().map(one).collect()
    }

    fn check(documents: &[String], paired: Option<&str>) -> Result<String, String> {
        check_copy("crds.yaml", &documents.join("---\n"), paired)
    }

    #[test]
    fn a_copy_is_of_the_paired_release_and_whole() {
        let right = definitions("v1.3.0", "standard");
        assert_eq!(check(&right, Some("v1.3.0")), Ok("v1.3.0".into()));
        assert_eq!(check(&right, None), Ok("v1.3.0".into()));
        let refused = |documents: &[String], why: &str| {
            assert_eq!(check(documents, Some("v1.3.0")), Err(why.to_owned()));
        };
        refused(
            &definitions("v1.4.0", "standard"),
            "`crds.yaml` has the Gateway API `v1.4.0`, but this Cilium goes with `v1.3.0` only",
        );
        refused(
            &definitions("v1.3.0", "experimental"),
            "`gatewayclasses.gateway.networking.k8s.io` in `crds.yaml` is of the channel `experimental`; allowed is `standard`",
        );
        refused(
            &right[1..4],
            "`crds.yaml` lacks the definitions `gatewayclasses.gateway.networking.k8s.io`, `referencegrants.gateway.networking.k8s.io`",
        );
        refused(
            &[],
            "`crds.yaml` lacks the definitions `gatewayclasses.gateway.networking.k8s.io`, `gateways.gateway.networking.k8s.io`, \
             `grpcroutes.gateway.networking.k8s.io`, `httproutes.gateway.networking.k8s.io`, `referencegrants.gateway.networking.k8s.io`",
        );
        let mut other = right.clone();
        other[4] = other[4].replace("name: v1beta1", "name: v1alpha2");
        refused(
            &other,
            "`referencegrants.gateway.networking.k8s.io` in `crds.yaml` does not serve `v1beta1`, which Cilium needs",
        );
        other[4] = "kind: ConfigMap\nmetadata: {name: a}\n".into();
        refused(
            &other,
            "`crds.yaml` holds `ConfigMap a`, which is no definition of the Gateway API",
        );
        let mixed = [
            definitions("v1.3.0", "standard"),
            definitions("v1.2.0", "standard"),
        ]
        .concat();
        assert_eq!(
            check(&mixed, None),
            Err("`crds.yaml` mixes the releases `v1.2.0`, `v1.3.0` of the Gateway API".into())
        );
    }
}
