//! `source: helm`: the project's chart, rendered once with the operator's `helm` in `discover`, kept as facts in the lock.
//!
//! The chart is pinned by its digest: one that changed under the same version is refused. What it gives must be the same each time and hold
//! neither secrets nor jobs. `render` only reads the facts, so that it needs neither helm nor the network.

pub(crate) mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use ztc_adapter_sdk::protocol::manifest::{Facts, Tool};
use ztc_adapter_sdk::protocol::message::{
    Diagnostic, DiscoverParams, DiscoverResult, PlatformContext,
};
use ztc_adapter_sdk::protocol::{ErrorCode, sha256_hex};
use ztc_adapter_sdk::tool::Program;
use ztc_adapter_sdk::{AdapterError, CallContext, file_bytes};

use crate::config::Config;
use crate::objects::{self, Objects};
use crate::validate::error;
use crate::versions::table;

/// The chart's name.
const CHART: &str = "cilium";

/// What `discover` keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rendered {
    /// The chart that was rendered.
    pub(crate) chart: Chart,
    /// The digest of the values that it was rendered with.
    pub(crate) values_sha256: String,
    /// What it gave: YAML documents.
    pub(crate) manifests: String,
}

/// A chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Chart {
    /// Where it came from.
    pub(crate) from: String,
    /// Its version, such as `1.18.5`.
    pub(crate) version: String,
    /// The digest of its archive.
    pub(crate) sha256: String,
}

/// The program that renders charts.
pub(crate) fn tool() -> Tool {
    Tool {
        name: "helm".into(),
        // The first that pulls charts from OCI registries without further ado.
        minimum_version: "3.8".into(),
        version_arguments: ["version", "--short"].map(String::from).to_vec(),
        install_hint: "install helm 3.8 or newer (https://helm.sh/docs/intro/install/), or use `source: templates`"
            .into(),
    }
}

/// Gets the chart and renders it.
pub(crate) fn discover(
    config: &Config,
    params: &DiscoverParams,
    call: &CallContext,
) -> Result<DiscoverResult, AdapterError> {
    let scratch = std::env::temp_dir().join("helm");
    let directory = |name: &str| scratch.join(name).display().to_string();
    let program = Program::find(
        &tool(),
        &[
            ("HELM_CACHE_HOME", directory("cache")),
            ("HELM_CONFIG_HOME", directory("config")),
            ("HELM_DATA_HOME", directory("data")),
        ],
    )?;
    let helm = Helm {
        program,
        scratch,
        config,
    };
    helm.discover(params, call)
}

/// Reads what `discover` kept, for the values of this very platform.
pub(crate) fn recall(
    config: &Config,
    facts: &Facts,
    platform: &PlatformContext,
) -> Result<Rendered, AdapterError> {
    let again = |why: &str| {
        AdapterError::new(ErrorCode::InvalidInputs, why.to_owned())
            .help("run `ztc render --refresh`")
    };
    let facts = Value::Object(facts.clone().into_iter().collect());
    let rendered: Rendered = serde_json::from_value(facts)
        .map_err(|_| again("the lock does not have what the chart gives"))?;
    match rendered.values_sha256 == digest(&values::of(config, &platform.roles)) {
        true => Ok(rendered),
        false => Err(again(
            "the chart was rendered for other machines: with them, the number of operators is another one",
        )),
    }
}

fn digest(values: &Value) -> String {
    sha256_hex(values.to_string().as_bytes())
}

struct Helm<'a> {
    program: Program,
    scratch: PathBuf,
    config: &'a Config,
}

impl Helm<'_> {
    fn discover(
        &self,
        params: &DiscoverParams,
        call: &CallContext,
    ) -> Result<DiscoverResult, AdapterError> {
        let config = self.config;
        call.progress(
            format!("getting the chart of Cilium {}", config.version),
            None,
        );
        let (archive, from) = self.archive(params)?;
        let sha256 = sha256_hex(&read(&archive)?);
        let chart = Chart {
            version: self.version(&archive)?,
            from,
            sha256,
        };
        if let Some(finding) = self.refuse(&chart, &params.known) {
            return Ok(refused(finding));
        }
        call.progress(
            format!("rendering the chart of Cilium {}", config.version),
            None,
        );
        let values = values::of(config, &params.platform.roles);
        let (first, second) = (
            self.template(&archive, &values)?,
            self.template(&archive, &values)?,
        );
        if let Some(finding) = unfit(&first, &second) {
            return Ok(refused(finding));
        }
        let rendered = Rendered {
            chart,
            values_sha256: digest(&values),
            manifests: first,
        };
        let facts: BTreeMap<String, Value> = match json!(rendered) {
            Value::Object(facts) => facts.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        Ok(DiscoverResult {
            facts,
            ..DiscoverResult::default()
        })
    }

    /// Gets the chart's archive, and says where it is from.
    fn archive(&self, params: &DiscoverParams) -> Result<(PathBuf, String), AdapterError> {
        let directory = self.scratch.join("chart");
        std::fs::create_dir_all(&directory).map_err(|error| cannot("make", &directory, &error))?;
        if let Some(path) = &self.config.chart {
            let file = directory.join("chart.tgz");
            std::fs::write(&file, file_bytes(&params.files, path)?)
                .map_err(|error| cannot("write", &file, &error))?;
            return Ok((file, path.clone()));
        }
        let repository = self.config.chart_repository.as_str();
        let version = self.config.version.trim_start_matches('v');
        let into = directory.display().to_string();
        let mut arguments = vec!["pull"];
        match repository.starts_with("oci://") {
            true => arguments.push(repository),
            false => arguments.extend([CHART, "--repo", repository]),
        }
        arguments.extend(["--version", version, "--destination", &into]);
        let help = "check version and `chart_repository`; without this network, `helm pull` the chart elsewhere and name the file in `chart`";
        self.program
            .run(&arguments)
            .map_err(|error| error.help(help))?;
        let archive = std::fs::read_dir(&directory)
            .map_err(|error| cannot("read", &directory, &error))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|extension| extension == "tgz"));
        archive
            .map(|archive| (archive, repository.to_owned()))
            .ok_or_else(|| {
                AdapterError::new(ErrorCode::ExternalFailure, "`helm pull` left no chart")
                    .help(help)
            })
    }

    /// Returns the version that a chart says it has.
    fn version(&self, archive: &Path) -> Result<String, AdapterError> {
        let said = self
            .program
            .run(&["show", "chart", &archive.display().to_string()])
            .map_err(|error| error.help("is it the archive that `helm pull` makes?"))?
            .stdout;
        let about: Value = serde_saphyr::from_str(&said).unwrap_or_default();
        match (about["name"].as_str(), about["version"].as_str()) {
            (Some(CHART), Some(version)) => Ok(version.to_owned()),
            (name, _) => {
                let name = name.unwrap_or("without a name");
                Err(AdapterError::new(
                    ErrorCode::InvalidInputs,
                    format!("the chart is `{name}`, not `{CHART}`"),
                ))
            }
        }
    }

    /// Refuses a chart that is not the one that was meant.
    fn refuse(&self, chart: &Chart, known: &Facts) -> Option<Diagnostic> {
        let config = self.config;
        let place = if config.chart.is_some() {
            "/chart"
        } else {
            "/version"
        };
        if chart.version != config.version.trim_start_matches('v') {
            return Some(error(
                place,
                format!(
                    "the chart is version `{}`, but `version` is `{}`",
                    chart.version, config.version
                ),
                "take the chart of that release, or change `version`",
            ));
        }
        if let Some(wanted) = &config.chart_sha256 {
            return (*wanted != chart.sha256).then(|| {
                error(
                    "/chart_sha256",
                    format!("the chart has the digest `{}`", chart.sha256),
                    "find out why it is another chart before you change `chart_sha256`",
                )
            });
        }
        let pinned: Chart = serde_json::from_value(known.get("chart")?.clone()).ok()?;
        let changed = pinned.version == chart.version && pinned.sha256 != chart.sha256;
        changed.then(|| {
            error(
                place,
                format!(
                    "the chart {} changed under the same version: its digest is `{}`, and the lock has pinned `{}`",
                    chart.version, chart.sha256, pinned.sha256
                ),
                format!("find out why; if it is right, set `chart_sha256: {}`", chart.sha256),
            )
        })
    }

    fn template(&self, archive: &Path, values: &Value) -> Result<String, AdapterError> {
        let file = self.scratch.join("values.json");
        std::fs::write(&file, values.to_string())
            .map_err(|error| cannot("write", &file, &error))?;
        let (archive, file) = (archive.display().to_string(), file.display().to_string());
        let mut arguments = vec![
            "template",
            CHART,
            &archive,
            "--namespace",
            "kube-system",
            "--values",
            &file,
        ];
        // Charts ask which Kubernetes they are for; helm would say that of its own libraries.
        let kubernetes = table()
            .minor(&self.config.version)
            .and_then(|minor| minor.kubernetes.as_ref())
            .map(|range| format!("{}.0", range.maximum));
        if let Some(version) = &kubernetes {
            arguments.extend(["--kube-version", version]);
        }
        arguments.extend(["--skip-tests", "--include-crds"]);
        let help = "the chart refuses the values; look at `helm_values` and the release notes";
        let output = self
            .program
            .run(&arguments)
            .map_err(|error| error.help(help))?;
        Ok(output.stdout)
    }
}

fn refused(finding: Diagnostic) -> DiscoverResult {
    DiscoverResult {
        diagnostics: vec![finding],
        ..DiscoverResult::default()
    }
}

fn read(file: &Path) -> Result<Vec<u8>, AdapterError> {
    std::fs::read(file).map_err(|error| cannot("read", file, &error))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> AdapterError {
    AdapterError::internal(format!("failed to {verb} `{}`: {error}", path.display()))
}

/// Says why what a chart gives cannot be used: it cannot be read, differs from one time to the next, or holds what must not be in it.
fn unfit(first: &str, second: &str) -> Option<Diagnostic> {
    let values = "/helm_values";
    let (first, second) = match (objects::parse(first), objects::parse(second)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(why), _) | (_, Err(why)) => {
            let message = format!("what the chart gives cannot be read: {why}");
            return Some(error(values, message, "report it to the chart's authors"));
        }
    };
    if first.is_empty() {
        return Some(error(
            values,
            "the chart gives nothing",
            "look at `helm_values`",
        ));
    }
    let differing: Vec<&str> = first
        .keys()
        .chain(second.keys().filter(|key| !first.contains_key(*key)))
        .filter(|key| first.get(*key) != second.get(*key))
        .map(String::as_str)
        .collect();
    if !differing.is_empty() {
        return Some(error(
            values,
            format!(
                "the chart gives something else each time: `{}`",
                differing.join("`, `")
            ),
            "switch off what makes keys and certificates, such as `hubble.tls.auto.enabled: false`, or have cert-manager make them",
        ));
    }
    let of_kind = |kinds: &[&str]| found(&first, kinds);
    if let Some(secrets) = of_kind(&["Secret"]) {
        return Some(error(
            values,
            format!("the chart gives secrets, which would end up in git: {secrets}"),
            "switch them off, or create them in the cluster and name them in `helm_values`",
        ));
    }
    of_kind(&["Job", "CronJob"]).map(|jobs| {
        error(
            values,
            format!("the chart gives jobs, which nothing runs a second time: {jobs}"),
            "switch them off, such as `hubble.tls.auto.enabled: false`",
        )
    })
}

fn found(objects: &Objects, kinds: &[&str]) -> Option<String> {
    let named: Vec<&str> = objects
        .iter()
        .filter(|(_, object)| {
            object["kind"]
                .as_str()
                .is_some_and(|kind| kinds.contains(&kind))
        })
        .map(|(key, _)| key.as_str())
        .collect();
    (!named.is_empty()).then(|| format!("`{}`", named.join("`, `")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_chart_gives_is_judged() {
        let object = |kind: &str, value: u8| {
            format!("kind: {kind}\nmetadata: {{name: a, namespace: b}}\nvalue: {value}\n")
        };
        let why = |first: &str, second: &str| unfit(first, second).map(|finding| finding.message);
        assert_eq!(why(&object("Service", 1), &object("Service", 1)), None);
        for (first, second, expected) in [
            (
                object("Service", 1),
                object("Service", 2),
                "the chart gives something else each time: `Service b/a`",
            ),
            (
                object("Service", 1),
                object("Role", 1),
                "the chart gives something else each time: `Service b/a`, `Role b/a`",
            ),
            (
                object("Secret", 1),
                object("Secret", 1),
                "the chart gives secrets, which would end up in git: `Secret b/a`",
            ),
            (
                object("CronJob", 1),
                object("CronJob", 1),
                "the chart gives jobs, which nothing runs a second time: `CronJob b/a`",
            ),
            (
                "a: [".into(),
                String::new(),
                "what the chart gives cannot be read: ",
            ),
            (String::new(), String::new(), "the chart gives nothing"),
        ] {
            let why = why(&first, &second).unwrap();
            assert!(why.starts_with(expected), "{why}");
        }
    }
}
