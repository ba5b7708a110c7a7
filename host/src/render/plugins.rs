//! What the next lock says of the adapters that render. What is locked and runs stays as the lock has it, byte for byte; what no lock may name (an
//! author's build, an attached adapter) leaves the lock as it is.

use std::collections::BTreeMap;

use crate::adapter::{Adapter, Source};
use crate::error::Failure;
use crate::lock;
use crate::lock::fields::{Contradiction, Known};
use crate::lock::plugins::{LockedExecutable, LockedPlugin, LockedPlugins};
use crate::plugins::locked;
use crate::session::Session;

/// Returns what the lock will say of an adapter; nothing where it knows nothing.
pub(crate) fn entry(
    session: &Session,
    root: &std::path::Path,
    adapter: &Adapter,
    old: Option<&LockedPlugin>,
) -> Result<Option<LockedPlugin>, Failure> {
    let candidate = &adapter.candidate;
    let found = |platforms| LockedPlugin {
        version: adapter.manifest.version.clone(),
        source: candidate.source.word().to_owned(),
        protocol: adapter.protocol.to_string(),
        platforms,
        ..LockedPlugin::default()
    };
    Ok(match candidate.source {
        Source::Attached | Source::Dev => old.cloned(),
        Source::BuiltIn => Some(found(Default::default())),
        Source::Installed => {
            let runs = |plugin: &&LockedPlugin| {
                plugin.is_installed()
                    && plugin.here().map(|here| &here.sha256) == candidate.sha256.as_ref()
            };
            let asked = session.platform.plugins.get(&candidate.name);
            let installed = || {
                let record = session.supervisor.discovery().installation(candidate)?;
                Some(locked::entry(record, root, asked))
            };
            let rendered = old.filter(runs).map(|plugin| LockedPlugin {
                unrendered: false,
                ..plugin.clone()
            });
            rendered.or_else(installed)
        }
        Source::Explicit | Source::PluginDirectory | Source::Path => {
            let mut plugin = found(Default::default());
            // What other machines of the team have stays known as long as it is the same release.
            let same = |old: &&LockedPlugin| {
                (&old.version, &old.source) == (&plugin.version, &plugin.source)
            };
            if let Some(old) = old.filter(same) {
                plugin.platforms.clone_from(&old.platforms);
            }
            let executable = of_file(adapter, "")?;
            plugin.platforms.insert(lock::machine(), executable);
            Some(plugin)
        }
    })
}

/// What the lock says of the file of an adapter.
fn of_file(adapter: &Adapter, path: &str) -> Result<LockedExecutable, Failure> {
    let program = &adapter.candidate.program;
    let size = std::fs::metadata(program)
        .map_err(|error| Failure::io("read", program, &error))?
        .len();
    Ok(LockedExecutable {
        path: path.to_owned(),
        size: Some(size),
        sha256: adapter.digest()?.unwrap_or_default(),
    })
}

/// Says in which fields the lock is not what is known of an adapter that runs; nothing where it is, or where no lock may name it.
pub(crate) fn contradiction(
    session: &Session,
    root: &std::path::Path,
    adapter: &Adapter,
    locked: &LockedPlugin,
) -> Result<Option<Contradiction>, Failure> {
    let candidate = &adapter.candidate;
    if let Some(record) = session.supervisor.discovery().installation(candidate) {
        let running = Some(adapter.protocol);
        return Ok(locked::against_record(
            &candidate.name,
            locked,
            record,
            running,
            root,
        ));
    }
    let plugin = match candidate.source {
        // Without a record, only the file is known.
        Source::Installed => LockedPlugin {
            version: adapter.manifest.version.clone(),
            protocol: adapter.protocol.to_string(),
            platforms: locked
                .here()
                .map(|here| Ok((lock::machine(), of_file(adapter, &here.path)?)))
                .transpose()?
                .into_iter()
                .collect(),
            // As if it came from another index.
            index_serial: 0,
            ..locked.clone()
        },
        _ => match entry(session, root, adapter, None)? {
            Some(plugin) => plugin,
            None => return Ok(None),
        },
    };
    let known = Known {
        plugin,
        protocols: vec![adapter.protocol],
        place: "what is used".to_owned(),
    };
    Ok(known.against(&candidate.name, locked, |one, other| one == other))
}

/// The same of all adapters.
pub(crate) fn contradictions(
    session: &Session,
    root: &std::path::Path,
    locked: &LockedPlugins,
) -> Result<Vec<Contradiction>, Failure> {
    let mut all = BTreeMap::new();
    for adapter in session.adapters.values() {
        let name = &adapter.candidate.name;
        if let Some(locked) = locked.get(name)
            && let Some(found) = contradiction(session, root, adapter, locked)?
        {
            all.insert(name.clone(), found);
        }
    }
    Ok(all.into_values().collect())
}
