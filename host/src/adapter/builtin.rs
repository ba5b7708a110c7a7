//! The adapters that are linked into this program. They run like all others, as processes that speak the protocol: `ztc` starts itself
//! as `ztc __adapter <name> --ztc-adapter`. Only what never changes while the program runs, their manifests, is asked without a process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ztc_adapter_sdk::{manifest, serve_with};
use ztc_protocol::{ADAPTER_ARGUMENT, Manifest};

use crate::adapter::keeper::Heir;

/// The hidden first argument with which `ztc` is one of its adapters; the second is the adapter's name.
pub(crate) const ARGUMENT: &str = "__adapter";

/// An adapter of this program's own.
pub(crate) struct BuiltIn {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it says about itself.
    pub(crate) manifest: fn() -> Manifest,
    serve: fn(Vec<OsString>) -> ExitCode,
}

/// All of them, in the order in which people expect them.
pub(crate) const ALL: [BuiltIn; 3] = [
    BuiltIn {
        name: "hetzner",
        manifest: || manifest(&ztc_adapter_hetzner::Hetzner),
        serve: |arguments| serve_with(ztc_adapter_hetzner::Hetzner, arguments),
    },
    BuiltIn {
        name: "cilium",
        manifest: || manifest(&ztc_adapter_cilium::Cilium),
        serve: |arguments| serve_with(ztc_adapter_cilium::Cilium, arguments),
    },
    BuiltIn {
        name: "talos",
        manifest: || manifest(&ztc_adapter_talos::TalosAdapter),
        serve: |arguments| serve_with(ztc_adapter_talos::TalosAdapter, arguments),
    },
];

/// Returns the one with this name.
pub(crate) fn find(name: &str) -> Option<&'static BuiltIn> {
    const { &ALL }.iter().find(|adapter| adapter.name == name)
}

/// Returns the file of this program.
pub(crate) fn program() -> PathBuf {
    // An upgrade may have replaced the file of the running program; Linux still knows what runs.
    let program = std::env::current_exe().ok().filter(|path| path.exists());
    program.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Returns the arguments with which this program is the adapter and serves.
pub(crate) fn arguments(name: &str) -> Vec<String> {
    vec![
        ARGUMENT.to_owned(),
        name.to_owned(),
        ADAPTER_ARGUMENT.to_owned(),
    ]
}

/// Runs this program as one of its adapters: `<name> <the adapter's arguments>`.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    run_confined(arguments, Heir::appoint())
}

/// The same in a process that has confined itself since its heir was made.
pub(crate) fn run_confined(
    mut arguments: impl Iterator<Item = OsString>,
    heir: Option<Heir>,
) -> Option<ExitCode> {
    let adapter = find(arguments.next()?.to_str()?)?;
    let code = (adapter.serve)(arguments.collect());
    if let Some(heir) = heir {
        heir.inherit();
    }
    Some(code)
}

/// Runs a built-in's own commands in this process.
pub(crate) fn command(adapter: &BuiltIn, arguments: &[String]) -> ExitCode {
    (adapter.serve)(arguments.iter().map(OsString::from).collect())
}
