//! Asks the adapters, in the order of capabilities: check the configuration, look facts up, render, give the scripts.
//!
//! Each adapter sees its own section and copies of the capabilities that it requires, nothing else. Nothing is written here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use ztc_protocol::Manifest;
use ztc_protocol::manifest::Facts;
use ztc_protocol::message::{
    Diagnostic, Discover, DiscoverParams, DiscoverResult, PlatformContext, Render, RenderParams,
    RenderResult, Scripts, ScriptsParams, ScriptsResult, Severity, Validate, ValidateParams,
    ValidateResult,
};
use ztc_protocol::stage::Script;

use crate::adapter::Adapter;
use crate::error::{Failure, Finding};
use crate::platform::input_files::InputFiles;
use crate::platform::{Platform, Section, check, texts};
use crate::render::trace::Trace;
use crate::render::{contract, secret_inputs, together};
use crate::resolve::Resolution;
use crate::secrets::{Reference, Vault};

/// The calls of a render. [`Adapter`] makes them to a process; tests answer them themselves.
pub(crate) trait Calls {
    async fn validate(&self, params: ValidateParams) -> Result<ValidateResult, Failure>;
    async fn discover(&self, params: DiscoverParams) -> Result<DiscoverResult, Failure>;
    async fn render(&self, params: RenderParams) -> Result<RenderResult, Failure>;
    async fn scripts(&self, params: ScriptsParams) -> Result<ScriptsResult, Failure>;
}

impl Calls for Adapter {
    async fn validate(&self, params: ValidateParams) -> Result<ValidateResult, Failure> {
        self.call::<Validate>(params).await
    }

    async fn discover(&self, params: DiscoverParams) -> Result<DiscoverResult, Failure> {
        self.call::<Discover>(params).await
    }

    async fn render(&self, params: RenderParams) -> Result<RenderResult, Failure> {
        self.call::<Render>(params).await
    }

    async fn scripts(&self, params: ScriptsParams) -> Result<ScriptsResult, Failure> {
        self.call::<Scripts>(params).await
    }
}

/// A section with the adapter that renders it.
pub(crate) struct Member<'a, C> {
    pub(crate) section: &'a Section,
    pub(crate) manifest: &'a Manifest,
    pub(crate) calls: &'a C,
    /// The lock's facts, where they still hold.
    pub(crate) facts: Option<Facts>,
    /// The lock's facts, also where they do not.
    pub(crate) known: Facts,
    /// The files that the section names.
    pub(crate) files: InputFiles,
}

/// What an adapter answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) facts: Facts,
    pub(crate) result: RenderResult,
    pub(crate) scripts: Vec<Script>,
    pub(crate) warnings: Vec<Finding>,
}

/// Asks.
pub(crate) struct Engine<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) resolution: &'a Resolution,
    pub(crate) context: &'a PlatformContext,
    pub(crate) vault: &'a Vault,
    pub(crate) trace: &'a Trace,
}

impl Engine<'_> {
    /// Asks all adapters; answers by section. Independent adapters work at the same time.
    pub(crate) async fn run<C: Calls>(
        &self,
        members: &BTreeMap<String, Member<'_, C>>,
    ) -> Result<BTreeMap<String, Answer>, Failure> {
        let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
        for wave in &self.resolution.waves {
            let wave = wave.iter().filter_map(|section| members.get(section));
            let calls = wave
                .map(|member| self.one(member, self.capabilities(&member.section.name, &answers)));
            let answered = together::all(calls).await?;
            answers.extend(answered);
        }
        Ok(answers)
    }

    /// Returns copies of what a section gets from those before it.
    fn capabilities(
        &self,
        section: &str,
        answers: &BTreeMap<String, Answer>,
    ) -> BTreeMap<String, Value> {
        self.resolution
            .received(section)
            .filter_map(|edge| {
                let data = answers
                    .get(&edge.provider)?
                    .result
                    .capabilities
                    .get(&edge.capability)?;
                Some((edge.capability.clone(), data.clone()))
            })
            .collect()
    }

    async fn one<C: Calls>(
        &self,
        member: &Member<'_, C>,
        capabilities: BTreeMap<String, Value>,
    ) -> Result<(String, Answer), Failure> {
        self.ask(member, capabilities)
            .await
            .map_err(|failure| check::located(self.platform, member.section, failure))
    }

    async fn ask<C: Calls>(
        &self,
        member: &Member<'_, C>,
        capabilities: BTreeMap<String, Value>,
    ) -> Result<(String, Answer), Failure> {
        let Section { name, config, .. } = member.section;
        let platform = about(self.context, name);
        let params = ValidateParams {
            config: config.clone(),
            capabilities: capabilities.clone(),
            platform: platform.clone(),
            files: member.files.clone(),
            ..ValidateParams::default()
        };
        self.trace.record(name, "validate.params.json", &params);
        let mut warnings = self.judge(
            member.section,
            member.calls.validate(params).await?.diagnostics,
        )?;
        let (facts, found) = self.facts(member).await?;
        warnings.extend(found);
        let params = RenderParams {
            config: config.clone(),
            facts: facts.clone(),
            capabilities,
            platform,
            files: member.files.clone(),
            ..RenderParams::default()
        };
        self.trace.record(name, "render.params.json", &params);
        let mut result = member.calls.render(params.clone()).await?;
        self.trace.record(name, "render.result.json", &result);
        warnings.extend(self.judge(member.section, std::mem::take(&mut result.diagnostics))?);
        contract::answer(name, member.manifest, &result)?;
        let scripts = member.calls.scripts(params).await?.scripts;
        self.trace.record(name, "scripts.result.json", &scripts);
        contract::scripts(name, member.manifest, &result.stages, &scripts)?;
        secret_inputs::check(name, member.manifest, &scripts)?;
        Ok((
            name.clone(),
            Answer {
                facts,
                result,
                scripts,
                warnings,
            },
        ))
    }

    /// Returns the lock's facts where they still hold, and else asks the adapter to look them up.
    async fn facts<C: Calls>(
        &self,
        member: &Member<'_, C>,
    ) -> Result<(Facts, Vec<Finding>), Failure> {
        match &member.facts {
            _ if !member.manifest.discovers => Ok((Facts::new(), Vec::new())),
            Some(facts) => Ok((facts.clone(), Vec::new())),
            None => {
                let Section { name, config, .. } = member.section;
                let secrets = self.secrets(name, config, member.manifest).await?;
                let params = DiscoverParams {
                    config: config.clone(),
                    secrets,
                    files: member.files.clone(),
                    known: member.known.clone(),
                    platform: about(self.context, name),
                    ..DiscoverParams::default()
                };
                let found = member.calls.discover(params).await?;
                self.trace.record(name, "discover.result.json", &found);
                Ok((found.facts, self.judge(member.section, found.diagnostics)?))
            }
        }
    }

    /// Returns the secrets that `discover` gets: only those that the manifest declares for it.
    async fn secrets(
        &self,
        section: &str,
        config: &Map<String, Value>,
        manifest: &Manifest,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut secrets = BTreeMap::new();
        for secret in manifest.secrets.iter().filter(|secret| secret.discover) {
            let Some(value) = config.get(&secret.input) else {
                continue;
            };
            let place = || self.platform.locate(section, &format!("/{}", secret.input));
            let reference =
                Reference::parse(value).map_err(|why| Failure::invalid(why).at(place()))?;
            let what = format!("{section}.{}", secret.input);
            let value = self
                .vault
                .resolve(&what, &reference)
                .await
                .map_err(|failure| failure.at(place()))?;
            secrets.insert(secret.input.clone(), value);
        }
        Ok(secrets)
    }

    /// Returns the warnings; errors end the render.
    fn judge(
        &self,
        section: &Section,
        diagnostics: Vec<Diagnostic>,
    ) -> Result<Vec<Finding>, Failure> {
        let findings = check::diagnostics(self.platform, section, diagnostics);
        match findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
        {
            true => Err(Failure::findings(
                format!(
                    "adapter `{}` refuses its section of platform.yaml",
                    section.name
                ),
                findings,
            )),
            false => Ok(findings),
        }
    }
}

/// The same for a call about one section.
pub(crate) fn about(platform: &PlatformContext, section: &str) -> PlatformContext {
    PlatformContext {
        section: section.to_owned(),
        ..platform.clone()
    }
}

/// Returns what every adapter may know about the platform.
pub(crate) fn context(
    platform: &Platform,
    manifests: &BTreeMap<&str, &Manifest>,
) -> PlatformContext {
    let mut roles = BTreeMap::new();
    for section in &platform.sections {
        if let Some(manifest) = manifests.get(section.name.as_str()) {
            for (_, role) in texts(&section.config, manifest, "x-ztc-role") {
                *roles.entry(role).or_insert(0) += 1;
            }
        }
    }
    PlatformContext {
        environment: platform.environment.clone(),
        adapters: platform
            .sections
            .iter()
            .map(|section| (section.name.clone(), section.adapter.clone()))
            .collect(),
        roles,
        section: String::new(),
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
