//! What the operator wants: `platform.yaml` and its overlay, read into a [`Platform`] in which every value knows its place in the file.
//!
//! This module reads those two files and writes none. It does not know which adapters exist.

pub mod check;
mod document;
pub(crate) mod input_files;
mod schema;
mod secret_places;
mod source;
pub(crate) mod structure;
pub(crate) mod words;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::digest::sha256_hex;
use crate::error::{Failure, Finding, Location};
use crate::paths::Repository;
use crate::platform::document::{Document, push};
pub(crate) use crate::platform::secret_places::{is_secret, secrets, texts};
pub use crate::platform::source::Source;
pub(crate) use crate::platform::source::{answers, overlays};
use crate::platform::structure::Whole;
pub(crate) use crate::platform::structure::{environment_problem, is_variable};
use crate::yaml;

/// The `apiVersion` that this program reads.
pub const API_VERSION: &str = "ztc/v1";

/// The environment of a platform that names none.
pub const DEFAULT_ENVIRONMENT: &str = "production";

/// The effective configuration: `platform.yaml` with the environment's overlay merged over it.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Such as `production`.
    pub environment: String,
    /// The adapters' sections in the order of the file.
    pub sections: Vec<Section>,
    /// Third-party adapters: source and version range by name.
    pub plugins: BTreeMap<String, Plugin>,
    /// The whole effective document with the places of everything in it.
    document: Document,
}

/// One adapter's section.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The key under `adapters`.
    pub name: String,
    /// The adapter: `type` where given, else the key.
    pub adapter: String,
    /// All keys but `type`; `version` is among them.
    pub config: Map<String, Value>,
}

/// Answers for the wizard, in the form of `platform.yaml`.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    /// The environment, where it is said.
    pub(crate) environment: Option<String>,
    /// The sections that are there.
    pub(crate) sections: Vec<Section>,
    /// `plugins` as it stands; `null`: not there.
    pub(crate) plugins: Value,
    /// The same as a platform, which knows places.
    pub(crate) platform: Platform,
}

/// Where a third-party adapter comes from.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    /// An executable, relative to the repository.
    pub path: Option<String>,
    /// Where it is installed from.
    pub source: Option<String>,
    /// The range of versions that will do, such as `^1.2`.
    pub version: Option<String>,
    /// The variables of the operator's environment that it may see, of those that it declares.
    pub environment: Vec<String>,
}

impl Platform {
    /// Reads `platform.yaml` and, where `environment` names one, the overlay over it.
    pub fn load(repository: &Repository, environment: Option<&str>) -> Result<Self, Failure> {
        let base = source::base(repository)?;
        let Some(environment) = environment else {
            return Self::parse(&base, None, None);
        };
        if let Some(problem) = environment_problem(environment) {
            return Err(
                Failure::invalid(problem).help("name an environment such as `--env production`")
            );
        }
        match source::overlay(repository, environment)? {
            Some(overlay) => Self::parse(&base, Some(&overlay), Some(environment)),
            // Without an overlay an environment of another name is more likely a slip than a wish.
            None => match Self::parse(&base, None, None)? {
                platform if platform.environment == environment => Ok(platform),
                platform => Err(source::no_overlay(
                    repository,
                    environment,
                    &platform.environment,
                )),
            },
        }
    }

    /// Reads a file of answers for the wizard; nothing where there is no file.
    pub(crate) fn load_partial(
        repository: &Repository,
        path: &std::path::Path,
    ) -> Result<Option<Partial>, Failure> {
        source::read(repository, path)?
            .map(|source| Self::parse_partial(&source))
            .transpose()
    }

    /// Reads the texts of `platform.yaml` and of its overlay. `environment` is the one that the overlay is for, unless it says another itself.
    pub fn parse(
        base: &Source,
        overlay: Option<&Source>,
        environment: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut findings = Vec::new();
        let mut document = read(base, &mut findings)?.ok_or_else(|| {
            Failure::invalid(format!("`{}` is empty", base.file))
                .at(Location::file(&base.file))
                .help("write a new one with `ztc init --force`")
        })?;
        let mut said = None;
        if let Some(overlay) = overlay
            && let Some(overlay) = read(overlay, &mut findings)?
        {
            said = overlay
                .value
                .get("environment")
                .and_then(Value::as_str)
                .map(str::to_owned);
            document.merge(overlay);
        }
        let environment = said.or_else(|| environment.map(str::to_owned));
        Self::from_document(&base.file, document, findings, environment, Whole::Yes)
    }

    /// Reads a text of the form of `platform.yaml` of which anything may be left out: answers for the wizard.
    pub(crate) fn parse_partial(source: &Source) -> Result<Partial, Failure> {
        let mut findings = Vec::new();
        let document = read(source, &mut findings)?.unwrap_or_default();
        let said = document
            .value
            .get("environment")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let plugins = document.value.get("plugins").cloned().unwrap_or_default();
        let platform = Self::from_document(&source.file, document, findings, None, Whole::No)?;
        Ok(Partial {
            environment: said,
            sections: platform.sections.clone(),
            plugins,
            platform,
        })
    }

    fn from_document(
        file: &str,
        mut document: Document,
        mut findings: Vec<Finding>,
        environment: Option<String>,
        whole: Whole,
    ) -> Result<Self, Failure> {
        let structure = structure::read(&document, whole, &mut findings);
        if !findings.is_empty() {
            findings.sort_by(|a, b| a.location.cmp(&b.location));
            return Err(Failure::findings(
                format!("`{file}` is not valid"),
                findings,
            ));
        }
        let environment = environment
            .or(structure.environment)
            .unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        document.value["environment"] = Value::from(environment.as_str());
        Ok(Self {
            environment,
            sections: structure.sections,
            plugins: structure.plugins,
            document,
        })
    }

    /// Returns where a value of an adapter's section stands; where the value is absent, its nearest parent.
    pub fn locate(&self, section: &str, pointer: &str) -> Option<Location> {
        let mut pointer = section_pointer(section, pointer);
        loop {
            if let Some(location) = self.document.values.get(&pointer) {
                return Some(location.clone());
            }
            let parent = pointer.rfind('/')?;
            pointer.truncate(parent);
        }
    }

    /// Returns where a key of an adapter's section stands; where it is absent, its nearest parent.
    pub fn locate_key(&self, section: &str, pointer: &str) -> Option<Location> {
        let key = self.document.keys.get(&section_pointer(section, pointer));
        key.cloned().or_else(|| self.locate(section, pointer))
    }

    /// Returns where something about a plugin stands; where it is absent, the plugin's key.
    pub(crate) fn locate_plugin(&self, plugin: &str, pointer: &str) -> Option<Location> {
        let mut place = "/plugins".to_owned();
        push(&mut place, plugin);
        let value = self.document.values.get(&(place.clone() + pointer));
        value.or_else(|| self.document.keys.get(&place)).cloned()
    }

    /// Takes what another platform says of a plugin, with its places.
    pub(crate) fn take_plugin(&mut self, other: &Self, name: &str, plugin: Plugin) {
        let mut place = "/plugins".to_owned();
        push(&mut place, name);
        let inside = format!("{place}/");
        let is_its = |(pointer, _): &(&String, &Location)| {
            **pointer == place || pointer.starts_with(&inside)
        };
        let (from, to) = (&other.document, &mut self.document);
        let values = from.values.iter().filter(is_its);
        to.values
            .extend(values.map(|(key, at)| (key.clone(), at.clone())));
        let keys = from.keys.iter().filter(is_its);
        to.keys
            .extend(keys.map(|(key, at)| (key.clone(), at.clone())));
        self.plugins.insert(name.to_owned(), plugin);
    }

    /// Returns what the operator calls the cluster: the `cluster_name` of the first section that has one.
    pub fn cluster_name(&self) -> Option<&str> {
        self.sections
            .iter()
            .find_map(|section| section.config.get("cluster_name")?.as_str())
    }

    /// Returns the section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Returns the SHA-256 of the effective configuration: comments, order of keys and layout do not count.
    pub fn digest(&self) -> String {
        sha256_hex(canonical_json(&self.document.value).as_bytes())
    }
}

fn section_pointer(section: &str, pointer: &str) -> String {
    let mut whole = "/adapters".to_owned();
    push(&mut whole, section);
    whole + pointer
}

/// Reads one text; nothing where it holds nothing but comments.
fn read(source: &Source, findings: &mut Vec<Finding>) -> Result<Option<Document>, Failure> {
    let node = yaml::parse_located(&source.text).map_err(|error| {
        let tabs = error.message.contains("tabs");
        Failure::invalid(format!("`{}` is not YAML that can be read: {}", source.file, error.message))
            .at(Location { file: source.file.clone(), line: error.line, column: error.column })
            .help(match tabs {
                true => "YAML is indented with spaces: replace the tab",
                false => "correct the place, or the lines just before it: brackets, quotes, colons and indentation",
            })
    })?;
    let document = Document::new(&source.file, &node, findings);
    Ok((!document.value.is_null()).then_some(document))
}

/// Writes a value as JSON with sorted keys and no white space.
pub fn canonical_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let keys: BTreeMap<&String, Value> = object
                    .iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .collect();
                Value::Object(
                    keys.into_iter()
                        .map(|(key, value)| (key.clone(), value))
                        .collect(),
                )
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Exit;

    const GOOD: &str = "\u{feff}apiVersion: ztc/v1\r\nenvironment: production\r\nadapters:\r\n  fake:\r\n    type: talos\r\n    version: v1\r\n    nodes: [{name: a}]\r\n  cilium: {version: v2}\r\nplugins:\r\n  cilium: {version: ^1.2}\r\n";

    fn parse(text: &str) -> Result<Platform, Failure> {
        Platform::parse(&Source::new("platform.yaml", text), None, None)
    }

    /// The failure as it is shown.
    #[track_caller]
    fn shown(failure: &Failure) -> String {
        assert_eq!(failure.exit, Exit::Invalid);
        crate::ui::failure::text(failure, &console::Style::new().force_styling(false))
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(shown(&parse(text).unwrap_err()), why, "{text}");
    }

    #[test]
    fn a_platform_is_read_in_the_order_of_the_file() {
        let platform = parse(GOOD).unwrap();
        let config = |value: Value| value.as_object().unwrap().clone();
        assert_eq!(platform.environment, "production");
        assert_eq!(
            platform.sections,
            [
                Section {
                    name: "fake".into(),
                    adapter: "talos".into(),
                    config: config(json!({"version": "v1", "nodes": [{"name": "a"}]}))
                },
                Section {
                    name: "cilium".into(),
                    adapter: "cilium".into(),
                    config: config(json!({"version": "v2"}))
                },
            ]
        );
        assert_eq!(platform.plugins["cilium"].version.as_deref(), Some("^1.2"));
        assert_eq!(
            platform
                .locate("fake", "/nodes/0/name")
                .unwrap()
                .to_string(),
            "platform.yaml:7:20"
        );
        assert_eq!(
            platform.locate("fake", "/nodes/4/ip").unwrap().to_string(),
            "platform.yaml:7:5"
        );
        assert_eq!(
            platform
                .locate_key("fake", "/nodes/0/name")
                .unwrap()
                .to_string(),
            "platform.yaml:7:14"
        );
    }

    #[test]
    fn layout_does_not_count_for_the_digest_and_values_do() {
        let digest = |text: &str| parse(text).unwrap().digest();
        let one = digest("apiVersion: ztc/v1\nadapters: {a: {x: 1, y: 2}}\n");
        assert_eq!(
            one,
            digest(
                "# c\nadapters:\n  a:\n    y: 2\n    x: 1\nenvironment: production\napiVersion: ztc/v1\n"
            )
        );
        assert_ne!(
            one,
            digest("apiVersion: ztc/v1\nadapters: {a: {x: 1, y: 3}}\n")
        );
        assert_ne!(
            one,
            digest("apiVersion: ztc/v1\nenvironment: staging\nadapters: {a: {x: 1, y: 2}}\n")
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once_with_its_place() {
        refused(
            "apiversion: ztc/v2\nenvironment: Prod_1\nadapters:\n  talos: s3cret\n  Cilium: {}\n  hetzner: {type: 5}\n  hetzner: {a: 1, a: 2}\nplugins: {x: {source: 1, rev: 2, version: one}}\n",
            "error: `platform.yaml` is not valid
  platform.yaml:1:1: error: unknown key `apiversion`
    help: did you mean `apiVersion`?
  platform.yaml:1:1: error: key `apiVersion` is missing
    help: write `apiVersion: ztc/v1`
  platform.yaml:2:14: error: `Prod_1` is not the name of an environment: lower-case letters, digits and hyphens, a letter or digit at both ends, at most 63 in all
    help: write a name such as `environment: production`
  platform.yaml:4:3: error: `talos`: expected a mapping of the adapter's inputs, found text
    help: write the inputs below `talos:`, each on a line of its own, such as `version: v1`
  platform.yaml:5:3: error: `Cilium` is not the name of an adapter: lower-case letters, digits and hyphens, a letter or digit at both ends, at most 63 in all
  platform.yaml:7:3: error: key `hetzner` stands twice in the same mapping
    help: it stands at platform.yaml:6:3 already: keep one of them
  platform.yaml:7:19: error: key `a` stands twice in the same mapping
    help: it stands at platform.yaml:7:13 already: keep one of them
  platform.yaml:8:23: error: `plugins.x.source`: expected text, found the number `1`
    help: write it in quotes, `source: \"1\"`
  platform.yaml:8:26: error: unknown key `rev`
    help: the keys here are `path`, `source`, `version`, or `environment`
  platform.yaml:8:43: error: `plugins.x.version` is not a range of versions: unexpected character 'o' while parsing major version number
    help: write a range such as `^1.2` or `>=1.2, <1.5`",
        );
    }

    #[test]
    fn what_is_no_platform_at_all_is_refused() {
        refused(
            "# nothing\n",
            "error: `platform.yaml` is empty\n  --> platform.yaml\n  help: write a new one with `ztc init --force`",
        );
        refused(
            "- a\n",
            "error: `platform.yaml` is not valid
  platform.yaml:1:1: error: expected a mapping with the keys `apiVersion`, `environment`, or `adapters`, found a list
    help: write a new one with `ztc init`",
        );
        refused(
            "a: 1\n---\nb: 1\n",
            "error: `platform.yaml` is not YAML that can be read: a second document starts here (after `---`), and one is expected
  --> platform.yaml:3:1
  help: correct the place, or the lines just before it: brackets, quotes, colons and indentation",
        );
        refused(
            "apiVersion: ztc/v1\nadapters: {}\n",
            "error: `platform.yaml` is not valid
  platform.yaml:2:1: error: `adapters` is empty: a platform needs at least one adapter
    help: name the adapters of the platform under `adapters:`, or write a new file with `ztc init`",
        );
    }

    #[test]
    fn an_overlay_says_what_differs_and_is_named_where_it_is_wrong() {
        let base = Source::new("platform.yaml", GOOD);
        let overlay = |text: &str| {
            Platform::parse(
                &base,
                Some(&Source::new("platform.staging.yaml", text)),
                Some("staging"),
            )
        };
        let platform = overlay("adapters: {fake: {nodes: [], extra: 1}}\n").unwrap();
        assert_eq!(platform.environment, "staging");
        assert_eq!(
            Value::Object(platform.sections[0].config.clone()),
            json!({"version": "v1", "nodes": [], "extra": 1})
        );
        assert_eq!(
            platform.locate("fake", "/extra").unwrap().to_string(),
            "platform.staging.yaml:1:37"
        );
        assert_eq!(
            overlay("environment: stage-2\n").unwrap().environment,
            "stage-2"
        );
        assert_eq!(
            overlay("# nothing differs\n").unwrap().environment,
            "staging"
        );
        assert_eq!(
            shown(&overlay("adapter: {}\n").unwrap_err()),
            "error: `platform.yaml` is not valid
  platform.staging.yaml:1:1: error: unknown key `adapter`
    help: did you mean `adapters`?"
        );
    }

    #[test]
    fn files_that_cannot_be_read_are_refused_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(directory.path().join(name), bytes).unwrap();
        let load = |environment| Platform::load(&repository, environment);
        assert_eq!(
            shown(&load(None).unwrap_err()),
            format!(
                "error: there is no `platform.yaml` in `{}`\n  help: write one with `ztc init`, or name the directory that holds it with `--directory DIR`",
                directory.path().display()
            )
        );
        write("platform.yaml", b"a: 1\nb: \xff\n");
        assert_eq!(
            load(None).unwrap_err().location.unwrap().to_string(),
            "platform.yaml:2:4"
        );
        std::fs::File::create(repository.platform())
            .unwrap()
            .set_len(16 * 1024 * 1024 + 1)
            .unwrap();
        assert_eq!(
            load(None).unwrap_err().message,
            "`platform.yaml` is larger than 16 MiB"
        );
        write("platform.yaml", GOOD.as_bytes());
        write("platform.staging.yaml", b"adapters: {fake: {version: v9}}");
        assert_eq!(load(Some("production")).unwrap().environment, "production");
        assert_eq!(
            load(Some("staging")).unwrap().sections[0].config["version"],
            "v9"
        );
        assert_eq!(
            shown(&load(Some("stagin")).unwrap_err()),
            "error: nothing describes environment `stagin`: `platform.yaml` is for `production`, and there is no `platform.stagin.yaml`
  --> platform.stagin.yaml
  help: did you mean `staging`?"
        );
        assert_eq!(load(Some("../x")).unwrap_err().exit, Exit::Invalid);
    }
}
