//! The sandbox on Linux: Landlock, through its crate. Knows nothing of adapters.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::Support;

/// The newest version of Landlock that is made use of; on an older kernel what it lacks is left out.
const NEWEST: ABI = ABI::V7;

/// Devices that hold nothing.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Asks the kernel what it can enforce. Nothing is enforced by that.
pub(super) fn support() -> Support {
    let ruleset = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let network = ruleset()
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(ABI::V4)))
        .and_then(Ruleset::create);
    let files = || {
        ruleset()
            .handle_access(AccessFs::from_all(ABI::V1))
            .and_then(Ruleset::create)
    };
    match (network, files()) {
        (Ok(_), _) => Support::Full,
        (Err(_), Ok(_)) => Support::Files,
        (Err(_), Err(_)) => Support::None,
    }
}

/// Confines this process and all that it will start, for ever.
pub(super) fn restrict(
    readable: &[PathBuf],
    scratch: &Path,
    ports: &[u16],
) -> Result<(), RulesetError> {
    let read = AccessFs::from_read(NEWEST);
    let everything = AccessFs::from_all(NEWEST) & !(AccessFs::MakeBlock | AccessFs::MakeChar);
    let device: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules([scratch], everything))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(
            ports
                .iter()
                .map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp))),
        )?
        .restrict_self()
        .map(|_| ())
}
