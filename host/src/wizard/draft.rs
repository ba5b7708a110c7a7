//! The answers so far: what a partial platform.yaml says, what `--set` adds, and what was asked. Pure.
//!
//! An input whose value is `null` was asked for and left out; it does not reach adapters or `platform.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use ztc_protocol::Manifest;

use crate::error::{Finding, Location, did_you_mean, listed};
use crate::platform::{Partial, Section, environment_problem, is_variable, secrets};
use crate::secrets::Reference;
use crate::wizard::groups::Group;
use crate::yaml;

/// The answers so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The environment.
    pub environment: Option<String>,
    /// The adapters' sections.
    pub sections: Vec<Section>,
    /// `plugins` of platform.yaml, carried along as it is; `null`: none.
    pub plugins: Value,
    /// Sections that came from a finished platform.yaml: what is optional and absent there was left out on purpose.
    pub finished: BTreeSet<String>,
}

impl Draft {
    /// Takes what a file says.
    pub(crate) fn of(partial: &Partial, finished: bool) -> Self {
        Self {
            environment: partial.environment.clone(),
            sections: partial.sections.clone(),
            plugins: partial.plugins.clone(),
            finished: partial
                .sections
                .iter()
                .filter(|_| finished)
                .map(|section| section.name.clone())
                .collect(),
        }
    }

    /// Lays other answers over these. An adapter that takes another's place in its group takes its section away; returns those that went, with who came.
    pub fn lay_over(&mut self, given: Self, groups: &[Group]) -> Vec<(String, String)> {
        let mut gone = Vec::new();
        for section in &given.sections {
            let rivals = groups
                .iter()
                .find(|group| group.options.contains(&section.adapter))
                .map_or(&[][..], |group| &group.options);
            self.sections.retain(|known| {
                let goes = known.adapter != section.adapter
                    && rivals.contains(&known.adapter)
                    && !given.sections.iter().any(|other| other.name == known.name);
                if goes {
                    gone.push((known.name.clone(), section.name.clone()));
                }
                !goes
            });
        }
        self.environment = given.environment.or(self.environment.take());
        for section in given.sections {
            match self
                .sections
                .iter_mut()
                .find(|known| known.name == section.name)
            {
                Some(known) if known.adapter == section.adapter => {
                    known.config.extend(section.config);
                }
                Some(known) => *known = section,
                None => self.sections.push(section),
            }
        }
        if !given.plugins.is_null() {
            self.plugins = given.plugins;
        }
        gone
    }

    /// Takes an answer as `--set` writes it: `environment=staging`, `talos.cluster_name=prod`, `talos.nodes=[{...}]`. `base` is what this will be laid
    /// over: a path into a list or mapping of it changes a copy. The error never holds the value.
    pub fn set(
        &mut self,
        assignment: &str,
        base: &Self,
        manifests: &BTreeMap<String, Manifest>,
    ) -> Result<(), Finding> {
        let form = "write `--set environment=NAME` or `--set ADAPTER.KEY=VALUE`, such as `--set talos.cluster_name=prod`";
        let (path, text) = assignment.split_once('=').ok_or_else(|| {
            Finding::error("`--set` needs a key and a value with `=` between them").help(form)
        })?;
        let keys: Vec<&str> = path.split('.').collect();
        if keys == ["environment"] {
            self.environment = Some(text.to_owned());
            return Ok(());
        }
        if let ["plugins", adapter, "environment"] = keys.as_slice() {
            return self.set_grants(path, adapter, text, base, manifests);
        }
        let (name, keys) = match keys.as_slice() {
            [name, keys @ ..] if !keys.is_empty() && keys.iter().all(|key| !key.is_empty()) => {
                (*name, keys)
            }
            _ => return Err(Finding::error(format!("`--set {path}` names no answer")).help(form)),
        };
        let known = base.sections.iter().find(|section| section.name == name);
        let adapter = match self
            .sections
            .iter()
            .find(|section| section.name == name)
            .or(known)
        {
            Some(section) => section.adapter.clone(),
            None if manifests.contains_key(name) => name.to_owned(),
            None => {
                return Err(
                    unknown_adapter(name, manifests).at(Location::file(format!("--set {path}")))
                );
            }
        };
        let value = assigned(text, keys, manifests.get(&adapter)).map_err(|error| {
            Finding::error(format!("the value of `--set {path}` is not YAML: {error}"))
                .help("put it in quotes that the shell keeps: --set talos.nodes='[{name: cp01}]'")
        })?;
        let index = self.section(&adapter, name);
        let config = &mut self.sections[index].config;
        if let ([first, _, ..], Some(known)) = (keys, known)
            && let (Some(known), false) = (known.config.get(*first), config.contains_key(*first))
        {
            config.insert((*first).to_owned(), known.clone());
        }
        put(config, keys, value).map_err(|why| Finding::error(format!("`--set {path}`: {why}")))
    }

    /// Takes the variables that an adapter may see, as `--set plugins.acme.environment=[ACME_REGION]` writes them.
    fn set_grants(
        &mut self,
        path: &str,
        adapter: &str,
        text: &str,
        base: &Self,
        manifests: &BTreeMap<String, Manifest>,
    ) -> Result<(), Finding> {
        if !manifests.contains_key(adapter) {
            return Err(
                unknown_adapter(adapter, manifests).at(Location::file(format!("--set {path}")))
            );
        }
        let names = yaml::parse::<Vec<String>>(text).ok();
        let names = names.filter(|names| names.iter().all(|name| is_variable(name)));
        let names = names.ok_or_else(|| {
            Finding::error(format!("`--set {path}` needs a list of names of variables"))
                .help(format!("write `--set {path}=[ACME_REGION]`"))
        })?;
        if self.plugins.is_null() {
            self.plugins = base.plugins.clone();
        }
        if let Some(plugin) = self.plugins.get_mut(adapter).and_then(Value::as_object_mut) {
            plugin.shift_remove("environment");
        }
        self.grant(adapter, &names);
        Ok(())
    }

    /// Whether an adapter may see a variable.
    pub fn grants(&self, adapter: &str, variable: &str) -> bool {
        let granted = self.plugins[adapter]["environment"].as_array();
        granted.is_some_and(|names| names.iter().any(|name| name == variable))
    }

    /// Lets an adapter see more variables.
    pub fn grant(&mut self, adapter: &str, variables: &[String]) {
        if variables.is_empty() {
            return;
        }
        let names = &mut self.plugins[adapter]["environment"];
        if !names.is_array() {
            *names = Value::Array(Vec::new());
        }
        if let Value::Array(names) = names {
            names.extend(variables.iter().map(|name| Value::from(name.as_str())));
        }
    }

    /// Returns the section with this name, made where there is none.
    fn section(&mut self, adapter: &str, name: &str) -> usize {
        self.sections
            .iter()
            .position(|section| section.name == name)
            .unwrap_or_else(|| {
                self.sections.push(Section {
                    name: name.to_owned(),
                    adapter: adapter.to_owned(),
                    config: Map::new(),
                });
                self.sections.len() - 1
            })
    }

    /// Returns what is wrong whatever the adapters say: a bad environment, adapters that nobody knows, two of one group.
    pub fn findings(
        &self,
        manifests: &BTreeMap<String, Manifest>,
        groups: &[Group],
    ) -> Vec<(String, Finding)> {
        let mut findings = Vec::new();
        if let Some(problem) = self.environment.as_deref().and_then(environment_problem) {
            findings.push((String::new(), Finding::error(problem)));
        }
        for section in self
            .sections
            .iter()
            .filter(|section| !manifests.contains_key(&section.adapter))
        {
            findings.push((
                section.name.clone(),
                unknown_adapter(&section.adapter, manifests),
            ));
        }
        for group in groups {
            let chosen: Vec<&Section> = self
                .sections
                .iter()
                .filter(|section| group.options.contains(&section.adapter))
                .collect();
            if let [first, .., last] = chosen.as_slice() {
                let message = format!(
                    "`{}` and `{}` are both of the group `{}`, of which one is chosen",
                    first.name, last.name, group.name
                );
                findings.push((
                    last.name.clone(),
                    Finding::error(message).help(format!(
                        "leave out {}",
                        listed([first.name.as_str(), last.name.as_str()])
                    )),
                ));
            }
        }
        findings
    }

    /// Takes out what stands in the place of a reference to a secret and is none. Returns where, and what was wrong, without the values.
    pub fn take_plain_secrets(
        &mut self,
        manifests: &BTreeMap<String, Manifest>,
    ) -> Vec<(String, String, String)> {
        let mut taken = Vec::new();
        for section in &mut self.sections {
            let Some(manifest) = manifests.get(&section.adapter) else {
                continue;
            };
            for pointer in secrets(&section.config, manifest) {
                let mut config = Value::Object(std::mem::take(&mut section.config));
                if let Some(why) = config
                    .pointer(&pointer)
                    .and_then(|value| Reference::parse(value).err())
                {
                    remove(&mut config, &pointer);
                    taken.push((section.name.clone(), pointer, why));
                }
                if let Value::Object(config) = config {
                    section.config = config;
                }
            }
        }
        taken
    }

    /// Sorts sections and their keys: groups in their order, then the others; version, then inputs in their order, then the other keys.
    pub fn sort(&mut self, groups: &[Group], inputs: &BTreeMap<String, Vec<String>>) {
        self.sections.sort_by_key(|section| {
            groups
                .iter()
                .position(|group| group.options.contains(&section.adapter))
                .unwrap_or(groups.len())
        });
        for section in &mut self.sections {
            let known: &[String] = inputs.get(&section.name).map_or(&[], Vec::as_slice);
            let rank = |key: &str| match key {
                "version" => 0,
                key => {
                    1 + known
                        .iter()
                        .position(|input| input == key)
                        .unwrap_or(known.len())
                }
            };
            let mut entries: Vec<(String, Value)> =
                std::mem::take(&mut section.config).into_iter().collect();
            entries.sort_by_key(|(key, _)| rank(key));
            section.config = entries.into_iter().collect();
        }
    }

    /// Returns the same answers without those that were left out.
    pub fn settled(&self) -> Self {
        let sections = self.sections.iter().map(|section| Section {
            config: given(&section.config),
            ..section.clone()
        });
        Self {
            sections: sections.collect(),
            ..self.clone()
        }
    }
}

/// Returns a section without what was left out.
pub(super) fn given(config: &Map<String, Value>) -> Map<String, Value> {
    config
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn unknown_adapter(name: &str, manifests: &BTreeMap<String, Manifest>) -> Finding {
    let known = || manifests.keys().map(String::as_str);
    let help = did_you_mean(name, known())
        .unwrap_or_else(|| format!("the adapters here are {}", listed(known())));
    Finding::error(format!("there is no adapter `{name}`")).help(help)
}

/// Reads an assigned text as YAML; where the adapter's schema wants text, it is text: `1.10` stays `1.10`.
fn assigned(
    text: &str,
    keys: &[&str],
    manifest: Option<&Manifest>,
) -> Result<Value, yaml::YamlError> {
    if keys == ["version"] && !text.is_empty() {
        return Ok(text.into());
    }
    let value: Value = yaml::parse(text)?;
    let wants_text = match keys {
        [key] => manifest
            .and_then(|manifest| {
                manifest
                    .config_schema
                    .get("properties")?
                    .get(key)?
                    .get("type")
            })
            .is_some_and(|kind| {
                kind == "string"
                    || kind
                        .as_array()
                        .is_some_and(|kinds| kinds.iter().any(|kind| kind == "string"))
            }),
        _ => false,
    };
    match value {
        Value::Number(_) | Value::Bool(_) if wants_text => Ok(text.into()),
        value => Ok(value),
    }
}

/// Removes a mapping's key, or empties a list's item so that the others keep their places.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(object)) => {
            drop(object.shift_remove(&key.replace("~1", "/").replace("~0", "~")));
        }
        Some(Value::Array(items)) => {
            if let Some(item) = key
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index))
            {
                *item = Value::Null;
            }
        }
        _ => {}
    }
}

fn put(config: &mut Map<String, Value>, keys: &[&str], value: Value) -> Result<(), String> {
    match keys {
        [] => Ok(()),
        [key] => {
            config.insert((*key).to_owned(), value);
            Ok(())
        }
        [key, rest @ ..] => match config
            .entry(*key)
            .or_insert_with(|| Value::Object(Map::new()))
        {
            Value::Object(inner) => put(inner, rest, value),
            Value::Array(items) => {
                let length = items.len();
                let item = rest[0]
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get_mut(index));
                match (item, &rest[1..]) {
                    (None, _) => Err(format!(
                        "`{key}` is a list of {length}, and `{}` is the number of none of its items, from 0",
                        rest[0]
                    )),
                    (Some(item), []) => {
                        *item = value;
                        Ok(())
                    }
                    (Some(Value::Object(item)), rest) => put(item, rest, value),
                    (Some(_), _) => Err(format!("an item of `{key}` is no mapping")),
                }
            }
            _ => Err(format!("`{key}` is no mapping")),
        },
    }
}
