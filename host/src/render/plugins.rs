//! What the next lock says of the adapters that render. What is locked and runs stays as the lock has it, byte for byte; what no lock may name (an
//! author's build, an attached adapter) leaves the lock as it is.

use crate::adapter::{Adapter, Source};
use crate::error::Failure;
use crate::lock;
use crate::lock::plugins::{LockedExecutable, LockedPlugin};
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
            if let Some(sha256) = adapter.digest()? {
                let program = &candidate.program;
                let size = std::fs::metadata(program)
                    .map_err(|error| Failure::io("read", program, &error))?
                    .len();
                let executable = LockedExecutable {
                    path: String::new(),
                    size: Some(size),
                    sha256,
                };
                plugin.platforms.insert(lock::machine(), executable);
            }
            Some(plugin)
        }
    })
}
