//! `ztc validate`: everything checked, nothing changed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::commands::secrets::checks;
use crate::commands::{Context, wait_for};
use crate::error::{Exit, Failure, Finding};
use crate::lock::Lock;
use crate::lock::fields::Contradiction;
use crate::lock::verify as compare;
use crate::pipeline::file::Pipeline;
use crate::platform::Platform;
use crate::plugins::projects;
use crate::render::bundles::{Bundles, Missing};
use crate::render::plugins::contradictions;
use crate::render::trace::Trace;
use crate::render::{Request, Strictness, refuse_locked, workspace};
use crate::secrets::bundle::Bundle;
use crate::secrets::git;
use crate::session::{OnlyFound, Session};
use crate::versions::Pins;

/// Options of `ztc validate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Environment [default: that of platform.yaml]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,
    /// Look nothing up, and refuse what the lock does not know yet (an executable, a secret bundle) instead of warning of it
    #[arg(long)]
    pub(crate) locked: bool,
}

/// The result, as `--json` shows it.
#[derive(Serialize)]
struct Report<'a> {
    environment: &'a str,
    rendered_at: &'a str,
    artifacts: usize,
    stages: usize,
    adapters: Vec<&'a String>,
    secret_bundles: Vec<&'a String>,
    warnings: &'a [Finding],
}

/// Runs the command.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let environment = arguments.env.as_deref();
    let strictness = Strictness::of(arguments.locked);
    let verified = wait_for(verified(context, environment, Depth::Adapters, strictness))?;
    let Verified {
        platform,
        lock,
        pipeline,
        bundles,
        warnings,
    } = &verified;
    warnings
        .iter()
        .for_each(|warning| context.ui.finding(warning));
    if context.ui.is_json() {
        context.ui.json(&Report {
            environment: &platform.environment,
            rendered_at: &lock.timestamp,
            artifacts: lock.artifacts.len(),
            stages: pipeline.stages.len(),
            adapters: lock.adapters.keys().collect(),
            secret_bundles: bundles.keys().collect(),
            warnings,
        });
    }
    context.ui.done(format!(
        "`{}` is as it was rendered at {}: {} adapters, {} artifacts, {} stages, {} secret bundles",
        platform.environment,
        lock.timestamp,
        lock.adapters.len(),
        lock.artifacts.len(),
        pipeline.stages.len(),
        bundles.len()
    ));
    Ok(Exit::Done)
}

/// A repository in which everything agrees with the lock.
pub(crate) struct Verified {
    pub(crate) platform: Platform,
    pub(crate) lock: Lock,
    pub(crate) pipeline: Pipeline,
    pub(crate) bundles: BTreeMap<String, Bundle>,
    pub(crate) warnings: Vec<Finding>,
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Depth {
    /// That everything agrees with the lock.
    Lock,
    /// And what the adapters say in a render, which costs as much.
    Adapters,
}

/// Checks that everything agrees with the lock; differences are a failure with [`Exit::Differences`] that names each.
pub(crate) async fn verify(
    context: &Context,
    environment: Option<&str>,
    strictness: Strictness,
) -> Result<Verified, Failure> {
    verified(context, environment, Depth::Lock, strictness).await
}

async fn verified(
    context: &Context,
    environment: Option<&str>,
    depth: Depth,
    strictness: Strictness,
) -> Result<Verified, Failure> {
    let repository = &context.repository;
    if let Some(message) = workspace::repair(repository)?.message() {
        context.ui.warning(message);
    }
    git::refuse_tracked(repository).await?;
    let manner = (&Pins::Hold, OnlyFound::AsLocked);
    let (machine, ui) = (&context.machine, &context.ui);
    let session = Session::open_with(repository, machine, ui, environment, manner).await?;
    let result = examine(context, &session, depth, strictness).await;
    let Session {
        platform,
        supervisor,
        mut warnings,
        ..
    } = session;
    supervisor.shutdown().await;
    let (lock, pipeline, bundles, more) = result?;
    warnings.extend(more);
    Ok(Verified {
        platform,
        lock,
        pipeline,
        bundles,
        warnings,
    })
}

/// What adapters say about their sections once they know of each other, which they do in a render only. Nothing is written, and nothing is
/// looked up: everything agrees with the lock.
async fn between_adapters(
    context: &Context,
    session: &Session,
    lock: &Lock,
    strictness: Strictness,
) -> Result<Vec<Finding>, Failure> {
    let request = Request {
        repository: &context.repository,
        mask: context.ui.mask(),
        session,
        old: Some(lock),
        refresh: BTreeSet::new(),
        strictness,
        missing: Missing::Refused,
        trace: &Trace::new(false),
    };
    let mut warnings = request.render().await?.warnings;
    warnings.retain(|warning| !session.warnings.contains(warning));
    Ok(warnings)
}

/// What is to be said about the bundles: above all, which certificates end soon.
async fn secrets(context: &Context, session: &Session) -> Result<Vec<Finding>, Failure> {
    let environment = &session.platform.environment;
    let mut checked = Vec::new();
    for adapter in session.adapters.values() {
        checked.extend(checks::existing(&context.repository, environment, adapter).await?);
    }
    let mut found = checks::judge(&checked)?;
    found.extend(checks::open_files(&context.repository));
    Ok(found)
}

async fn examine(
    context: &Context,
    session: &Session,
    depth: Depth,
    strictness: Strictness,
) -> Result<Agreed, Failure> {
    let (lock, pipeline, bundles, mut warnings) = agree(context, session)?;
    let fields = contradictions(session, context.repository.root(), &lock.plugins)?;
    if strictness == Strictness::Locked {
        let unknown = warnings.iter().map(|warning| warning.message.clone());
        refuse_locked(unknown.collect(), &fields)?;
    }
    warnings.extend(fields.iter().flat_map(Contradiction::findings));
    warnings.extend(secrets(context, session).await?);
    if depth == Depth::Adapters {
        let more = between_adapters(context, session, &lock, strictness).await?;
        let unsaid = more.into_iter().filter(|one| !warnings.contains(one));
        warnings.extend(unsaid.collect::<Vec<_>>());
    }
    Ok((lock, pipeline, bundles, warnings))
}

type Agreed = (Lock, Pipeline, BTreeMap<String, Bundle>, Vec<Finding>);

fn agree(context: &Context, session: &Session) -> Result<Agreed, Failure> {
    let repository = &context.repository;
    let environment = &session.platform.environment;
    let lock = Lock::load(repository)?.ok_or_else(|| {
        Failure::new(
            Exit::Differences,
            "nothing has been rendered yet: there is no platform/lock.json",
        )
        .help("run `ztc render`")
    })?;
    if lock.environment != *environment {
        return Err(Failure::new(
            Exit::Refused,
            format!(
                "the lock is for the environment `{}`, not for `{environment}`",
                lock.environment
            ),
        )
        .detail("what would run belongs to another environment")
        .help(format!(
            "run `ztc render --env {environment}` first, or use `--env {}`",
            lock.environment
        )));
    }
    let found = compare::Found::read(
        repository,
        &lock,
        &session.platform,
        &session.adapters,
        &session.files,
    )?;
    found.refuse(&lock)?;
    projects::remember(&context.machine, repository, &lock.plugins);
    let pipeline = found.pipeline()?;
    let manifests = session.adapters.values().map(|adapter| &adapter.manifest);
    let bundles = Bundles::load(
        repository,
        &lock.environment,
        context.ui.mask(),
        manifests,
        &lock.secrets,
        Missing::Refused,
    )?;
    bundles.refuse_unmade()?;
    let mut warnings = found.warnings(&lock);
    warnings.extend(
        bundles
            .fingerprints
            .keys()
            .filter(|name| !lock.secrets.contains_key(*name))
            .map(|name| {
                Finding::warning(format!(
                    "the lock does not know the secret bundle `{name}` yet"
                ))
                .help("`ztc render` records it")
            }),
    );
    Ok((lock, pipeline, bundles.loaded, warnings))
}
