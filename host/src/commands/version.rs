//! `ztc version`: versions of everything. Starts no process: what is linked in is asked directly.

use serde::Serialize;
use ztc_protocol::{PROTOCOL, ProtocolVersion};

use crate::adapter::builtin;
use crate::commands::Context;
use crate::error::{Exit, Failure};

/// Options of `ztc version`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Versions {
    ztc: &'static str,
    protocol: ProtocolVersion,
    adapters: Vec<Adapter>,
}

#[derive(Serialize)]
struct Adapter {
    name: &'static str,
    version: String,
}

/// Runs the command.
pub(crate) fn run(context: &Context, _arguments: &Arguments) -> Result<Exit, Failure> {
    let adapters = builtin::ALL.iter();
    let adapters = adapters.map(|adapter| Adapter {
        name: adapter.name,
        version: (adapter.manifest)().version,
    });
    let versions = Versions {
        ztc: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL,
        adapters: adapters.collect(),
    };
    if context.ui.is_json() {
        context.ui.json(&versions);
    } else {
        context.ui.data(&text(&versions));
    }
    Ok(Exit::Done)
}

fn text(versions: &Versions) -> String {
    let mut lines = vec![
        format!("ztc {}", versions.ztc),
        format!("protocol {}", versions.protocol),
    ];
    lines.extend(
        versions
            .adapters
            .iter()
            .map(|adapter| format!("adapter {} {}", adapter.name, adapter.version)),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each() {
        let adapters = vec![Adapter {
            name: "talos",
            version: "0.3.0".into(),
        }];
        let versions = Versions {
            ztc: "0.1.0",
            protocol: PROTOCOL,
            adapters,
        };
        assert_eq!(
            text(&versions),
            "ztc 0.1.0\nprotocol 1.0\nadapter talos 0.3.0"
        );
    }
}
