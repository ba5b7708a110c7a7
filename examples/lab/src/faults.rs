//! Faults: things that go wrong in the real world and that the lab makes go wrong on purpose, each by a name. Decides nothing else.
//!
//! To add one: a variant, a row of [`TABLE`], and a `take` or `has` where the thing happens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of times that means "until it is cleared".
pub const ALWAYS: u32 = u32::MAX;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The cloud API answers 429.
    RateLimit,
    /// The cloud API answers 502.
    BadGateway,
    /// A server is locked.
    Locked,
    /// Actions do not end before enough of them were asked about in one request.
    ActionsTogether,
    /// The token may only read.
    ReadonlyToken,
    /// The first server is protected against deletion.
    Protected,
    /// The cloud API knows more servers.
    ManyServers,
    /// A server with an armed rescue system boots its disk.
    RescueNotEntered,
    /// An SSH connection is closed before it says anything.
    SshRefused,
    /// The address of the first server belongs to another one now.
    IpMoved,
    /// The image cannot be downloaded.
    ImageMissing,
    /// The image is not the one that the published checksum is of.
    ImageCorrupt,
    /// The factory publishes no checksums.
    NoChecksum,
    /// The checksums of the factory are out of order.
    ChecksumOutage,
    /// The factory publishes checksums in BSD's form and in capitals.
    ChecksumBsd,
    /// Deleting an SSH key fails.
    KeysStay,
    /// Writing the disk fails halfway.
    DiskFull,
    /// `talosctl apply-config` takes effect and never returns.
    ApplyHangs,
    /// Control planes refuse their configuration.
    ApplyRefused,
    /// Workers refuse their configuration.
    WorkerRefused,
    /// `talosctl bootstrap` says that it is too early.
    BootstrapEarly,
    /// `talosctl bootstrap` is denied.
    BootstrapRefused,
    /// A control plane that comes to a cluster is not a member of its etcd yet.
    JoinLate,
    /// The Gateway API's definitions come after Cilium's operator started.
    CrdsLate,
}

/// A fault's name, how often it happens unless told, and what it is.
pub type Row = (Fault, &'static str, u32, &'static str);

/// All faults.
pub const TABLE: [Row; 24] = [
    (
        Fault::RateLimit,
        "rate-limit",
        3,
        "the cloud API answers N requests with 429",
    ),
    (
        Fault::BadGateway,
        "bad-gateway",
        3,
        "the cloud API answers N requests with 502",
    ),
    (
        Fault::Locked,
        "locked",
        2,
        "N requests for a server find it locked",
    ),
    (
        Fault::ActionsTogether,
        "actions-together",
        3,
        "no action ends before one request asked about N of them",
    ),
    (
        Fault::ReadonlyToken,
        "readonly-token",
        ALWAYS,
        "the token may only read",
    ),
    (
        Fault::Protected,
        "protected",
        ALWAYS,
        "the first server is protected against deletion",
    ),
    (
        Fault::ManyServers,
        "many-servers",
        60,
        "N more servers that are not ours",
    ),
    (
        Fault::RescueNotEntered,
        "rescue-not-entered",
        1,
        "N boots end in the old system instead of rescue",
    ),
    (
        Fault::SshRefused,
        "ssh-refused",
        2,
        "N SSH connections are closed at once",
    ),
    (
        Fault::IpMoved,
        "ip-moved",
        ALWAYS,
        "the address of the first server belongs to another one",
    ),
    (
        Fault::ImageMissing,
        "image-missing",
        ALWAYS,
        "the image is not found",
    ),
    (
        Fault::ImageCorrupt,
        "image-corrupt",
        ALWAYS,
        "the image is not the one that was published",
    ),
    (
        Fault::NoChecksum,
        "no-checksum",
        ALWAYS,
        "the factory publishes no checksums",
    ),
    (
        Fault::ChecksumOutage,
        "checksum-outage",
        2,
        "N requests for a checksum meet an outage",
    ),
    (
        Fault::ChecksumBsd,
        "checksum-bsd",
        ALWAYS,
        "checksums are published in capitals and BSD's form",
    ),
    (
        Fault::KeysStay,
        "keys-stay",
        3,
        "the cloud API answers N requests to delete an SSH key with 503",
    ),
    (
        Fault::DiskFull,
        "disk-full",
        1,
        "N image writes fail halfway",
    ),
    (
        Fault::ApplyHangs,
        "apply-hangs",
        1,
        "N apply-config calls take effect and never return",
    ),
    (
        Fault::ApplyRefused,
        "apply-refused",
        ALWAYS,
        "control planes refuse their configuration",
    ),
    (
        Fault::WorkerRefused,
        "worker-refused",
        ALWAYS,
        "workers refuse their configuration",
    ),
    (
        Fault::BootstrapEarly,
        "bootstrap-early",
        2,
        "N bootstrap calls come too early",
    ),
    (
        Fault::BootstrapRefused,
        "bootstrap-refused",
        ALWAYS,
        "bootstrap is denied",
    ),
    (
        Fault::JoinLate,
        "join-late",
        6,
        "control planes join etcd only after N calls of kubectl",
    ),
    (
        Fault::CrdsLate,
        "crds-late",
        ALWAYS,
        "the Gateway API's definitions come after the operator started",
    ),
];

impl Fault {
    /// The fault's name.
    pub fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("", |row| row.1)
    }
}

/// Reads `NAME` or `NAME=N`.
pub fn parse(text: &str) -> Result<(Fault, u32), String> {
    let (name, count) = text
        .split_once('=')
        .map_or((text, None), |(name, count)| (name, Some(count)));
    let Some((fault, _, default, _)) = TABLE.iter().find(|row| row.1 == name) else {
        let names: Vec<&str> = TABLE.iter().map(|row| row.1).collect();
        return Err(format!(
            "there is no fault `{name}`; the lab knows {}",
            names.join(", ")
        ));
    };
    let count = match count {
        None => *default,
        Some(count) => count
            .parse()
            .map_err(|_| format!("`{count}` is not a number: write `{name}=N`"))?,
    };
    Ok((*fault, count))
}

/// The faults that are set, with how often each still happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults(BTreeMap<Fault, u32>);

impl Faults {
    /// Sets a fault; 0 takes it away.
    pub fn set(&mut self, fault: Fault, count: u32) {
        if count == 0 {
            self.0.remove(&fault);
        } else {
            self.0.insert(fault, count);
        }
    }

    /// Takes all faults away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a fault is set.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains_key(&fault)
    }

    /// The number that a fault was set to; 0: it is not set.
    pub fn count(&self, fault: Fault) -> u32 {
        self.0.get(&fault).copied().unwrap_or_default()
    }

    /// Whether a fault happens now; it then happens once less.
    pub fn take(&mut self, fault: Fault) -> bool {
        let Some(left) = self.0.get_mut(&fault) else {
            return false;
        };
        if *left != ALWAYS {
            *left -= 1;
        }
        if *left == 0 {
            self.0.remove(&fault);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_as_it_was_set() {
        let mut faults = Faults::default();
        let (fault, count) = parse("locked=2").unwrap();
        faults.set(fault, count);
        assert_eq!(
            [0; 4].map(|_| faults.take(Fault::Locked)),
            [true, true, false, false]
        );
        faults.set(Fault::ReadonlyToken, parse("readonly-token").unwrap().1);
        assert_eq!([0; 4].map(|_| faults.take(Fault::ReadonlyToken)), [true; 4]);
        faults.clear();
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn unknown_names_and_numbers_are_refused() {
        assert!(parse("lockd").unwrap_err().starts_with(
            "there is no fault `lockd`; the lab knows rate-limit, bad-gateway, locked,"
        ));
        assert_eq!(
            parse("locked=many").unwrap_err(),
            "`many` is not a number: write `locked=N`"
        );
    }

    #[test]
    fn every_name_is_the_one_on_the_wire() {
        for (fault, name, ..) in TABLE {
            assert_eq!(
                (serde_json::to_value(fault).unwrap(), fault.name()),
                (name.into(), name)
            );
        }
    }
}
