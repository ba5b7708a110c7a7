//! Which texts of an adapter's results are for people: they are made fit to be shown (`foreign.rs`). Every result passes through here when it enters
//! the program.
//!
//! What is not for people stays as it is: the content of artifacts, scripts and bundles, data of capabilities, facts, contexts, schemas.

use std::collections::BTreeMap;

use serde_json::Value;
use ztc_protocol::Manifest;
use ztc_protocol::health::{Health, HttpProbe, Manual};
use ztc_protocol::manifest::{
    EnvironmentVariable, NetworkEndpoint, Provision, Requirement, SecretBundle, SecretInput,
    TableInUse, Tool,
};
use ztc_protocol::message::{
    Artifact, CheckSecretsResult, Diagnostic, DiscoverResult, GenerateSecretsResult,
    GetInputsResult, InitializeResult, InputPrompt, RenderResult, ScriptsResult, ShutdownResult,
    ValidateResult,
};
use ztc_protocol::stage::{ForEach, Item, Retry, Script, ScriptSecret, Stage};

use crate::foreign::{in_value, line, lines, path, printable};

fn each_line<'a>(texts: impl IntoIterator<Item = &'a mut String>) {
    texts.into_iter().for_each(line);
}

fn each(items: &mut [impl Spoken]) {
    items.iter_mut().for_each(Spoken::clean);
}

fn keys<T>(map: &mut BTreeMap<String, T>) {
    if map.keys().any(|key| printable(key) != *key) {
        *map = std::mem::take(map)
            .into_iter()
            .map(|(key, value)| (printable(&key), value))
            .collect();
    }
}

/// Cleans what a schema says to people: its descriptions. Patterns and choices count as they are.
fn schema(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(schema),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if key == "description" || key == "title" => lines(text),
                    value => schema(value),
                }
            }
        }
        _ => {}
    }
}

/// Something that an adapter said.
pub trait Spoken {
    /// Makes its texts fit to be shown.
    fn clean(&mut self);
}

impl Spoken for InitializeResult {
    fn clean(&mut self) {
        let Self {
            protocol: _,
            manifest,
        } = self;
        manifest.clean();
    }
}

/// The answer to `initialize` as it came: it is read, and then cleaned, in a second step.
impl Spoken for Value {
    fn clean(&mut self) {}
}

impl Spoken for Manifest {
    fn clean(&mut self) {
        let Self {
            name,
            version,
            description,
            homepage,
            license,
            phase,
            selection_group,
            is_default: _,
            group_prompt,
            group_help,
            provides,
            requires,
            supported_versions,
            default_version,
            other_versions: _,
            config_schema,
            output_schema,
            output_dir,
            environment,
            secrets,
            bundles,
            network,
            tools,
            discover_tools,
            discovers: _,
            max_parallel: _,
            versions,
        } = self;
        if let Some(TableInUse { serial: _, sha256 }) = versions {
            line(sha256);
        }
        each_line([name, version, description, phase, selection_group]);
        each_line([group_prompt, default_version, output_dir]);
        each_line(homepage.iter_mut().chain(license).chain(supported_versions));
        lines(group_help);
        schema(config_schema);
        schema(output_schema);
        for Provision {
            capability,
            version,
            schema: contract,
        } in provides
        {
            each_line([capability, version]);
            contract.iter_mut().for_each(schema);
        }
        for Requirement {
            capability,
            version,
            optional: _,
        } in requires
        {
            each_line([capability, version]);
        }
        for EnvironmentVariable { name, why } in environment {
            each_line([name, why]);
        }
        for SecretInput {
            input,
            variable,
            why,
            discover: _,
        } in secrets
        {
            each_line([input, variable, why]);
        }
        for SecretBundle {
            name,
            description,
            from,
        } in bundles
        {
            each_line([name, description]);
            each_line(from);
        }
        for NetworkEndpoint { host, port: _, why } in network {
            each_line([host, why]);
        }
        each(tools);
        each(discover_tools);
    }
}

impl Spoken for Tool {
    fn clean(&mut self) {
        let Self {
            name,
            minimum_version,
            version_arguments,
            install_hint,
        } = self;
        each_line([name, minimum_version, install_hint]);
        each_line(version_arguments);
    }
}

impl Spoken for GetInputsResult {
    fn clean(&mut self) {
        let Self {
            inputs,
            capabilities: _,
        } = self;
        each(inputs);
    }
}

impl Spoken for InputPrompt {
    fn clean(&mut self) {
        let Self {
            name,
            prompt,
            kind: _,
            choices,
            choice_notes,
            default,
            validation: _,
            help_text,
            required: _,
            items,
        } = self;
        each_line([name, prompt]);
        each_line(choices);
        each_line(choice_notes);
        default.iter_mut().for_each(|value| in_value(value, lines));
        help_text.iter_mut().for_each(lines);
        each(items);
    }
}

impl Spoken for Diagnostic {
    fn clean(&mut self) {
        let Self {
            pointer,
            severity: _,
            message,
            help,
        } = self;
        each_line([pointer, message]);
        help.iter_mut().for_each(line);
    }
}

impl Spoken for ValidateResult {
    fn clean(&mut self) {
        let Self { diagnostics } = self;
        each(diagnostics);
    }
}

impl Spoken for DiscoverResult {
    fn clean(&mut self) {
        let Self {
            facts: _,
            diagnostics,
        } = self;
        each(diagnostics);
    }
}

impl Spoken for RenderResult {
    fn clean(&mut self) {
        let Self {
            artifacts,
            stages,
            env_vars,
            capabilities,
            data: _,
            diagnostics,
        } = self;
        each(artifacts);
        each(stages);
        keys(env_vars);
        keys(capabilities);
        each(diagnostics);
    }
}

impl Spoken for Artifact {
    fn clean(&mut self) {
        let Self {
            path,
            content: _,
            content_file,
            sha256,
            executable: _,
        } = self;
        self::path(path);
        each_line(content_file.iter_mut().chain(sha256));
    }
}

impl Spoken for Stage {
    fn clean(&mut self) {
        let Self {
            name,
            description,
            script,
            health,
            manual,
            kind: _,
            cache_key,
            required: _,
            after_failure: _,
            timeout_seconds: _,
            rollback,
            args: _,
            skip_if_empty,
            barrier,
            needs,
            reaches,
            for_each,
            retry,
        } = self;
        each_line([name, description, script]);
        each_line(cache_key.iter_mut().chain(skip_if_empty).chain(barrier));
        each_line(rollback);
        health.iter_mut().for_each(Spoken::clean);
        if let Some(Manual { instructions }) = manual {
            lines(instructions);
        }
        each_line(needs.iter_mut().chain(reaches));
        if let Some(ForEach { item, items }) = for_each {
            line(item);
            for Item {
                key,
                name,
                context: _,
                files,
            } in items
            {
                each_line([key, name]);
                paths(files);
            }
        }
        if let Some(Retry {
            max_attempts: _,
            backoff_seconds: _,
            backoff_factor: _,
            max_backoff_seconds: _,
            exit_codes: _,
        }) = retry
        {}
    }
}

impl Spoken for Health {
    fn clean(&mut self) {
        let Self {
            http,
            tcp,
            command: _,
            initial_delay_seconds: _,
            interval_seconds: _,
            backoff_factor: _,
            max_interval_seconds: _,
            probe_timeout_seconds: _,
            successes: _,
        } = self;
        each_line(tcp);
        if let Some(HttpProbe {
            url,
            status: _,
            ca_file,
        }) = http
        {
            line(url);
            ca_file.iter_mut().for_each(path);
        }
    }
}

fn paths(files: &mut BTreeMap<String, String>) {
    keys(files);
    files.values_mut().for_each(path);
}

impl Spoken for ScriptsResult {
    fn clean(&mut self) {
        let Self { scripts } = self;
        each(scripts);
    }
}

impl Spoken for Script {
    fn clean(&mut self) {
        let Self {
            name,
            kind: _,
            description,
            content: _,
            sha256,
            timeout_seconds: _,
            context_data: _,
            files,
            tools,
            secrets,
            destructive: _,
        } = self;
        each_line([name, description, sha256]);
        paths(files);
        each(tools);
        for ScriptSecret { variable, input } in secrets {
            each_line([variable, input]);
        }
    }
}

impl Spoken for GenerateSecretsResult {
    fn clean(&mut self) {
        let Self { content: _ } = self;
    }
}

impl Spoken for CheckSecretsResult {
    fn clean(&mut self) {
        let Self { diagnostics, facts } = self;
        each(diagnostics);
        keys(facts);
        each_line(facts.values_mut());
    }
}

impl Spoken for ShutdownResult {
    fn clean(&mut self) {
        let Self {} = self;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_for_people_is_cleaned() {
        let escape = "\u{1b}";
        let mut result: RenderResult = serde_json::from_value(json!({
            "artifacts": [{ "path": format!("a{escape}"), "content": escape }],
            "stages": [{ "name": "s", "description": escape, "args": [escape],
                "for_each": { "item": "n", "items": [{ "key": escape, "context": { "a": escape } }] } }],
            "env_vars": { escape: escape },
            "data": { "a": escape },
            "diagnostics": [{ "message": escape, "help": "a\nb" }],
        }))
        .unwrap();
        result.clean();
        let result = serde_json::to_value(&result).unwrap();
        let expected = json!({
            "artifacts": [{ "path": "a�", "content": escape, "executable": false }],
            "env_vars": { "�": escape },
            "data": { "a": escape },
            "diagnostics": [{ "pointer": "", "severity": "error", "message": "�", "help": "a b" }],
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&result[key], value);
        }
        let stage = &result["stages"][0];
        assert_eq!(
            (
                &stage["description"],
                &stage["args"][0],
                &stage["for_each"]["items"][0]
            ),
            (
                &json!("�"),
                &json!(escape),
                &json!({ "key": "�", "name": "", "context": { "a": escape } })
            )
        );
    }
}
