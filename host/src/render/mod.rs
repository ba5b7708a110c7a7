//! From a resolved platform to files: every adapter renders in the order of capabilities, what it says is checked, and everything
//! goes into the repository at once.
//!
//! ```text
//! Resolution ─► engine (validate, discover, render, scripts) ─► assemble (artifacts, pipeline, lock) ─► workspace (commit)
//! ```
//!
//! Only [`workspace`] writes.

pub(crate) mod artifacts;
pub(crate) mod assemble;
pub(crate) mod bundles;
pub(crate) mod contract;
pub(crate) mod diff;
pub(crate) mod engine;
pub mod names;
pub mod output;
pub(crate) mod partial;
pub(crate) mod plugins;
pub(crate) mod secret_inputs;
pub(crate) mod together;
pub(crate) mod trace;
pub mod workspace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ztc_protocol::ATTACH_VARIABLE;
use ztc_protocol::manifest::Facts;

use crate::adapter::{Adapter, Source, dev};
use crate::error::{Exit, Failure, Finding};
use crate::lock::Lock;
use crate::lock::fields::Contradiction;
use crate::lock::plugins::{self as locked_plugins, LockedPlugins};
use crate::mask::Mask;
use crate::paths::Repository;
use crate::platform::Section;
use crate::platform::input_files::{self, InputFiles};
use crate::plugins::environments;
use crate::secrets::Vault;
use crate::session::Session;
use assemble::{Assembly, Origin, Rendered, config_hash};
use bundles::{Bundles, Missing};
use engine::{Engine, Member};
use trace::Trace;

/// How much of the lock may be made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// What it does not know yet is looked up and added.
    #[default]
    Normal,
    /// Nothing: `--locked`.
    Locked,
}

impl Strictness {
    /// Returns what the option `--locked` means.
    pub(crate) fn of(locked: bool) -> Self {
        match locked {
            true => Self::Locked,
            false => Self::Normal,
        }
    }
}

/// What a render works with.
pub(crate) struct Request<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) mask: &'a Mask,
    pub(crate) session: &'a Session,
    /// The lock as it is.
    pub(crate) old: Option<&'a Lock>,
    /// The sections whose facts are looked up again.
    pub(crate) refresh: BTreeSet<String>,
    /// Whether the lock is all that may be used.
    pub(crate) strictness: Strictness,
    /// What a missing bundle means.
    pub(crate) missing: Missing,
    pub(crate) trace: &'a Trace,
}

impl Request<'_> {
    /// Renders in memory.
    pub(crate) async fn render(&self) -> Result<Rendered, Failure> {
        let Session {
            platform,
            resolution,
            adapters,
            ..
        } = self.session;
        let locked = self.old.map(|old| old.secrets.clone()).unwrap_or_default();
        let manifests = adapters.values().map(|adapter| &adapter.manifest);
        let bundles = Bundles::load(
            self.repository,
            &platform.environment,
            self.mask,
            manifests,
            &locked,
            self.missing,
        )?;
        let vault = Vault::new(self.repository, self.mask);
        let members = self.members();
        if self.strictness == Strictness::Locked {
            refuse_lookups(&members)?;
        }
        let engine = Engine {
            platform,
            resolution,
            context: &self.session.context,
            vault: &vault,
            trace: self.trace,
        };
        let answers = engine.run(&members).await?;
        let origins = self.origins()?;
        let named = environments::named(self.repository);
        let assembly = Assembly {
            repository: self.repository,
            platform,
            resolution,
            origins: &origins,
            bundles: &bundles,
            mask: self.mask,
            old: self.old,
            named: named.as_ref(),
        };
        let mut rendered = assembly.assemble(answers)?;
        self.judge_plugins(&mut rendered)?;
        Ok(rendered)
    }

    /// Compares the adapters with those of the lock. A difference is never silent.
    fn judge_plugins(&self, rendered: &mut Rendered) -> Result<(), Failure> {
        let root = self.repository.root();
        let new = &rendered.lock.plugins;
        let nothing = LockedPlugins::new();
        let old = self.old.map_or(&nothing, |old| &old.plugins);
        if self.strictness == Strictness::Locked {
            let mut differences = locked_plugins::differences(old, new);
            let sections = rendered.lock.adapters.iter();
            let never_locked = sections.filter(|(_, adapter)| {
                [Source::Dev, Source::Attached]
                    .map(Source::word)
                    .contains(&adapter.source.as_str())
            });
            let never_locked: Vec<_> = never_locked.collect();
            let variable = never_locked.first().map(|(_, adapter)| {
                match adapter.source == Source::Dev.word() {
                    true => dev::VARIABLE,
                    false => ATTACH_VARIABLE,
                }
            });
            differences.extend(never_locked.iter().map(|(section, adapter)| {
                format!(
                    "adapter `{section}` is never locked: it is {}",
                    adapter.source
                )
            }));
            let mut fields = plugins::contradictions(self.session, root, old)?;
            fields.retain(|found| !locked_plugins::is_said(found.name(), old, new));
            let refused = refuse_locked(differences, &fields);
            return refused.map_err(|failure| match variable {
                // Without `--locked` it would not be locked either.
                Some(variable) => failure.help(format!(
                    "run `unset {variable}`, and the same command again"
                )),
                None => failure,
            });
        }
        let surprises = locked_plugins::surprises(old, new);
        // What is installed stays as the lock has it, so what is wrong in it stays, too.
        let fields = plugins::contradictions(self.session, root, new)?;
        let surprises = surprises.into_iter().map(Finding::warning);
        let fields = fields.iter().flat_map(Contradiction::findings);
        rendered.warnings.extend(surprises.chain(fields));
        Ok(())
    }

    fn members(&self) -> BTreeMap<String, Member<'_, Adapter>> {
        let sections = self.session.platform.sections.iter();
        sections
            .filter_map(|section| Some((section.name.clone(), self.member(section)?)))
            .collect()
    }

    fn member<'a>(&'a self, section: &'a Section) -> Option<Member<'a, Adapter>> {
        let adapter = self.session.adapters.get(&section.name)?;
        Some(Member {
            section,
            manifest: &adapter.manifest,
            calls: adapter.as_ref(),
            facts: self.facts(section),
            known: self.known(section),
            files: self.files(section),
        })
    }

    /// Returns the lock's facts where the section is still the one for which they were looked up.
    fn facts(&self, section: &Section) -> Option<Facts> {
        let locked = self.old?.adapters.get(&section.name)?;
        let holds = locked.config_hash == config_hash(section)
            && locked.adapter == section.adapter
            && locked.files == input_files::digests(&self.files(section));
        (holds && !self.refresh.contains(&section.name)).then(|| locked.facts.clone())
    }

    /// Returns what the lock knows of a section of the same adapter.
    fn known(&self, section: &Section) -> Facts {
        self.old
            .and_then(|old| old.adapters.get(&section.name))
            .filter(|locked| locked.adapter == section.adapter)
            .map(|locked| locked.facts.clone())
            .unwrap_or_default()
    }

    fn files(&self, section: &Section) -> InputFiles {
        let files = self.session.files.get(&section.name);
        files.cloned().unwrap_or_default()
    }

    fn origins(&self) -> Result<BTreeMap<String, Origin>, Failure> {
        let origin = |(section, adapter): (&String, &Arc<Adapter>)| {
            // Stages see what the adapter sees.
            let mut manifest = adapter.manifest.clone();
            let granted = self
                .session
                .supervisor
                .discovery()
                .granted(&adapter.candidate);
            manifest
                .environment
                .retain(|variable| granted.includes(&variable.name));
            let origin = Origin {
                manifest,
                scratch: adapter.scratch().to_owned(),
                source: adapter.candidate.source.word().to_owned(),
                versions: adapter.versions.as_ref().map(|used| used.table.clone()),
                plugin: plugins::entry(
                    self.session,
                    self.repository.root(),
                    adapter,
                    self.old
                        .and_then(|old| old.plugins.get(&adapter.candidate.name)),
                )?,
                files: self
                    .session
                    .files
                    .get(section)
                    .map(input_files::digests)
                    .unwrap_or_default(),
            };
            Ok((section.clone(), origin))
        };
        self.session.adapters.iter().map(origin).collect()
    }
}

/// Refuses to look facts up.
fn refuse_lookups(members: &BTreeMap<String, Member<'_, Adapter>>) -> Result<(), Failure> {
    let differences = members
        .values()
        .filter(|member| member.manifest.discovers && member.facts.is_none())
        .map(|member| {
            let name = &member.section.name;
            format!("the lock has no facts for `adapters.{name}` as it is now")
        });
    refuse_differences(differences.collect())
}

/// Refuses, where there is one, everything that is not as the lock says.
pub(crate) fn refuse_differences(differences: Vec<String>) -> Result<(), Failure> {
    refuse_locked(differences, &[])
}

/// The same, with what the lock says wrongly of adapters.
pub(crate) fn refuse_locked(
    differences: Vec<String>,
    fields: &[Contradiction],
) -> Result<(), Failure> {
    let message = match fields.is_empty() {
        true if differences.is_empty() => return Ok(()),
        true => "the lock does not cover this, and `--locked` changes nothing in it",
        false => "the lock does not say what is there, and `--locked` refuses any difference",
    };
    let help = match fields.first() {
        Some(first) => first.help(),
        None => "run the same command without `--locked`, and read what changes with `git diff platform/lock.json`".to_owned(),
    };
    let mut failure = Failure::new(Exit::Refused, message).help(help);
    failure.details = differences;
    let lines = fields.iter().flat_map(Contradiction::lines);
    failure.details.extend(lines);
    Err(failure)
}
