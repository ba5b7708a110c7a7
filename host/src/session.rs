//! A repository, opened: its platform read, its adapters running, every section checked, and who provides what to whom known.
//!
//! `render`, `validate`, `graph` and others begin here. Nothing is written, and nothing outside is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ztc_protocol::Manifest;
use ztc_protocol::message::{PlatformContext, Severity, Validate, ValidateParams};

use crate::adapter::{Adapter, Discovery, Source, Supervisor, attach, dev, grant};
use crate::digest;
use crate::error::{Failure, Finding};
use crate::lock::{Lock, verify};
use crate::paths::{Machine, Repository};
use crate::platform::input_files::{self, InputFiles};
use crate::platform::{Platform, Plugin, Section, check};
use crate::render::engine;
use crate::render::together;
use crate::resolve::{self, Participant, Resolution};
use crate::ui::Ui;
use crate::versions::{Pins, Tables};

/// Which files may start that were only found: by a path in platform.yaml, in the plugin directory, on PATH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnlyFound {
    /// Whatever is there: a render says what changed, and locks it.
    AsTheyAre,
    /// Those that the lock names, or none: what is rendered already is checked or run, and nothing else has a reason to start.
    AsLocked,
}

/// An opened repository.
pub(crate) struct Session {
    pub(crate) platform: Platform,
    /// Ends the adapters; [`Session::close`] does it.
    pub(crate) supervisor: Supervisor,
    /// The running adapters by section.
    pub(crate) adapters: BTreeMap<String, Arc<Adapter>>,
    pub(crate) resolution: Resolution,
    /// What adapters may know about the platform.
    pub(crate) context: PlatformContext,
    /// The files that sections name, by section.
    pub(crate) files: BTreeMap<String, InputFiles>,
    /// What adapters think worth knowing.
    pub(crate) warnings: Vec<Finding>,
}

impl Session {
    /// Opens. Everything that is wrong with platform.yaml is said at once.
    pub(crate) async fn open(
        repository: &Repository,
        machine: &Machine,
        ui: &Ui,
        environment: Option<&str>,
    ) -> Result<Self, Failure> {
        let manner = (&Pins::Hold, OnlyFound::AsTheyAre);
        Self::open_with(repository, machine, ui, environment, manner).await
    }

    /// The same where tables of versions may be newer than those of the lock, or where nothing may start that the lock does not name.
    pub(crate) async fn open_with(
        repository: &Repository,
        machine: &Machine,
        ui: &Ui,
        environment: Option<&str>,
        (pins, found): (&Pins, OnlyFound),
    ) -> Result<Self, Failure> {
        let platform = Platform::load(repository, environment)?;
        let lock = Lock::load(repository)?;
        let discovery =
            Discovery::new(machine, repository, &platform.plugins).with_lock(lock.as_ref());
        if found == OnlyFound::AsLocked {
            refuse_unlocked(&platform, &discovery)?;
        }
        let supervisor = Supervisor::new(discovery, ui.clone()).with_tables(Tables::of(
            machine,
            lock.as_ref(),
            pins,
        )?);
        match checked(repository, &platform, &supervisor).await {
            Ok(checked) => Ok(Self {
                platform,
                supervisor,
                adapters: checked.adapters,
                resolution: checked.resolution,
                context: checked.context,
                files: checked.files,
                warnings: checked.warnings,
            }),
            Err(failure) => {
                supervisor.shutdown().await;
                Err(failure)
            }
        }
    }

    /// Ends the adapters.
    pub(crate) async fn close(self) {
        self.supervisor.shutdown().await;
    }
}

struct Checked {
    adapters: BTreeMap<String, Arc<Adapter>>,
    resolution: Resolution,
    context: PlatformContext,
    files: BTreeMap<String, InputFiles>,
    warnings: Vec<Finding>,
}

async fn checked(
    repository: &Repository,
    platform: &Platform,
    supervisor: &Supervisor,
) -> Result<Checked, Failure> {
    find_all(platform, supervisor.discovery())?;
    let names: BTreeSet<String> = platform
        .sections
        .iter()
        .map(|section| section.adapter.clone())
        .collect();
    let names: Vec<String> = names.into_iter().collect();
    attach::check_used(supervisor.discovery().attached(), &names)?;
    refuse_unused_build(supervisor, &names).await?;
    let running = supervisor.start_all(&names).await?;
    let adapters: BTreeMap<String, Arc<Adapter>> = platform
        .sections
        .iter()
        .filter_map(|section| Some((section.name.clone(), running.get(&section.adapter)?.clone())))
        .collect();
    let mut warnings = grant::findings_of_all(platform, supervisor.discovery(), &running);
    let shadowed = names
        .iter()
        .map(|name| supervisor.discovery().shadowed(name));
    warnings.extend(shadowed.flatten());
    let manifests = adapters
        .iter()
        .map(|(section, adapter)| (section.as_str(), &adapter.manifest))
        .collect();
    let context = engine::context(platform, &manifests);
    let (found, files) = sections(repository, platform, &adapters, &context).await?;
    warnings.extend(found);
    let participants: Vec<Participant<'_>> = adapters
        .iter()
        .map(|(section, adapter)| Participant {
            section,
            manifest: &adapter.manifest,
        })
        .collect();
    match resolve::resolve(&participants) {
        Ok(resolution) => Ok(Checked {
            adapters,
            resolution,
            context,
            files,
            warnings,
        }),
        Err(errors) => {
            let others = others(platform, supervisor).await;
            Err(resolve::failure(
                &errors,
                |section| platform.locate(section, ""),
                &others,
            ))
        }
    }
}

/// Refuses an author's build under a name that no section uses, and says what the program calls itself.
async fn refuse_unused_build(supervisor: &Supervisor, used: &[String]) -> Result<(), Failure> {
    let mut builds = supervisor.discovery().builds();
    let Some(name) = builds.find(|name| !used.contains(name)) else {
        return Ok(());
    };
    let failure = dev::unused(name, used);
    Err(match supervisor.start(name).await {
        Ok(_) => failure,
        Err(says) => failure.detail(says.message),
    })
}

/// Refuses to start a file that is not the one that rendered. What is installed is compared by whoever starts it.
fn refuse_unlocked(platform: &Platform, discovery: &Discovery) -> Result<(), Failure> {
    let mut others = Vec::new();
    for section in &platform.sections {
        let Ok(candidate) = discovery.find(&section.adapter) else {
            continue;
        };
        let is_found = matches!(
            candidate.source,
            Source::Explicit | Source::PluginDirectory | Source::Path
        );
        let locked = discovery.locked(&section.adapter).filter(|_| is_found);
        let Some((locked, here)) = locked.and_then(|locked| Some((locked, locked.here()?))) else {
            continue;
        };
        let program = &candidate.program;
        let digest = digest::file(program);
        let digest = digest.map_err(|error| Failure::io("read", program, &error))?;
        if digest != here.sha256 {
            others.push(verify::other_executable(
                &section.name,
                &locked.version,
                (&digest, &here.sha256),
            ));
            others.push(format!(
                "it is `{}` ({}), and was not started",
                program.display(),
                candidate.source.word()
            ));
            if let Some(behind) = discovery.with_bytes(&section.adapter, &here.sha256) {
                others.push(format!(
                    "the one that rendered is `{}` ({}), which comes behind it",
                    behind.program.display(),
                    behind.source.word()
                ));
            }
        }
    }
    match others.is_empty() {
        true => Ok(()),
        false => Err(verify::older_than_inputs(others)),
    }
}

/// Makes sure that there is an adapter for every section; the first that is missing is said with its place and where platform.yaml has it from.
pub(crate) fn find_all(platform: &Platform, discovery: &Discovery) -> Result<(), Failure> {
    for section in &platform.sections {
        discovery.find(&section.adapter).map_err(|failure| {
            let place = platform.locate(&section.name, "");
            match platform.plugins.get(&section.adapter).and_then(asked) {
                Some(asked) => failure.detail(asked).at(place),
                None => failure.at(place),
            }
        })?;
    }
    Ok(())
}

/// Says what platform.yaml wants installed, and from where.
pub(crate) fn asked(plugin: &Plugin) -> Option<String> {
    let range = plugin.version.as_deref().unwrap_or("any version");
    let source = plugin.source.as_deref()?;
    Some(format!("asked for: {range} from {source}"))
}

/// Checks every section: its schema, the files that it names, and where both are right, what the adapter itself says.
async fn sections(
    repository: &Repository,
    platform: &Platform,
    adapters: &BTreeMap<String, Arc<Adapter>>,
    context: &PlatformContext,
) -> Result<(Vec<Finding>, BTreeMap<String, InputFiles>), Failure> {
    let checks = platform
        .sections
        .iter()
        .filter_map(|section| Some((section, adapters.get(&section.name)?)))
        .map(|(section, adapter)| async move {
            let findings = check::section(platform, section, &adapter.manifest);
            if !findings.is_empty() {
                return Ok((findings, InputFiles::new()));
            }
            let (manifest, scratch) = (&adapter.manifest, adapter.scratch());
            match input_files::read(repository, platform, section, manifest, scratch)? {
                Err(findings) => Ok((findings, InputFiles::new())),
                Ok(files) => {
                    let found = own(platform, section, adapter, context, &files).await?;
                    Ok((found, files))
                }
            }
        });
    let (findings, files): (Vec<_>, Vec<_>) = together::all(checks).await?.into_iter().unzip();
    let findings = findings.concat();
    let names = platform
        .sections
        .iter()
        .filter(|section| adapters.contains_key(&section.name))
        .map(|section| section.name.clone());
    match findings
        .iter()
        .any(|finding| finding.severity == Severity::Error)
    {
        true => Err(Failure::findings("`platform.yaml` is not valid", findings)),
        false => Ok((findings, names.zip(files).collect())),
    }
}

/// Asks the adapter itself.
async fn own(
    platform: &Platform,
    section: &Section,
    adapter: &Adapter,
    context: &PlatformContext,
    files: &InputFiles,
) -> Result<Vec<Finding>, Failure> {
    let params = ValidateParams {
        config: section.config.clone(),
        platform: engine::about(context, &section.name),
        files: files.clone(),
        ..ValidateParams::default()
    };
    let result = adapter.call::<Validate>(params).await?;
    Ok(check::diagnostics(platform, section, result.diagnostics))
}

/// Returns the manifests of the adapters that this machine has and platform.yaml does not use: only to suggest one of them, so one
/// that does not start is left out.
async fn others(platform: &Platform, supervisor: &Supervisor) -> BTreeMap<String, Manifest> {
    let mut others = BTreeMap::new();
    for candidate in supervisor.discovery().all() {
        let used = platform
            .sections
            .iter()
            .any(|section| section.adapter == candidate.name);
        if !used && let Ok(adapter) = supervisor.start(&candidate.name).await {
            others.insert(candidate.name.clone(), adapter.manifest.clone());
        }
    }
    others
}
