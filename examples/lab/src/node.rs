//! A simulated machine: its power, what it boots, its SSH login and what Talos on its disk remembers. Pure: time and disk come from outside.

use std::path::PathBuf;

use serde::Serialize;

use crate::image::{Contents, Image};
use crate::machine_config::MachineConfig;
use crate::timing::{Millis, Timing};

/// What a machine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Boot {
    /// The system that was on the disk before.
    OldSystem,
    /// The rescue system from the network.
    Rescue,
    /// Nothing: the disk does not boot.
    NoBootableDisk,
    /// Talos from the disk.
    Talos(Image),
}

/// A machine's power.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Power {
    /// No power.
    Off,
    /// On its way up.
    Booting {
        /// What comes up.
        into: Boot,
        /// When it is up.
        at: Millis,
    },
    /// Up.
    Up(Boot),
}

/// A login that the machine offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// Counts the boots: a session does not outlive its boot.
    pub(crate) boot: u64,
    /// What `hostname` says.
    pub(crate) host_name: String,
    /// Public keys that may log in, in OpenSSH's form.
    pub(crate) keys: Vec<String>,
}

/// A machine configuration that the node took.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// The configuration.
    pub(crate) config: MachineConfig,
    /// When it was applied first.
    pub(crate) at: Millis,
}

/// A machine.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its name at the provider, which is the host name that `answers.yaml` gives it.
    pub(crate) name: String,
    /// Its address.
    pub(crate) ip: String,
    /// Its id at the provider.
    pub(crate) server: u64,
    /// `amd64` or `arm64`.
    pub(crate) architecture: String,
    /// The file that is its disk.
    pub(crate) disk: PathBuf,
    /// Its power.
    pub(crate) power: Power,
    /// Keys of the rescue system that the next boot goes into.
    pub(crate) rescue: Option<Vec<String>>,
    /// What Talos on the disk was configured with.
    pub(crate) applied: Option<Applied>,
    /// Whether the disk holds a member's etcd data.
    pub(crate) etcd: bool,
    /// How often the image was written to the disk.
    pub(crate) installs: u32,
    /// How often the disk was wiped after Talos had booted from it.
    pub(crate) wiped_after_boot: u32,
    has_booted_talos: bool,
    keys: Vec<String>,
    boots: u64,
    restart_at: Option<Millis>,
}

impl Node {
    /// Returns a machine that runs an old system.
    pub(crate) fn new(name: String, ip: String, server: u64, disk: PathBuf) -> Self {
        Self {
            name,
            ip,
            server,
            architecture: "amd64".into(),
            disk,
            power: Power::Up(Boot::OldSystem),
            rescue: None,
            applied: None,
            etcd: false,
            installs: 0,
            wiped_after_boot: 0,
            has_booted_talos: false,
            keys: Vec::new(),
            boots: 1,
            restart_at: None,
        }
    }

    /// Puts it into a rescue system that this key opens, as somebody with a keyboard would.
    pub(crate) fn in_rescue(mut self, key: &str) -> Self {
        self.power = Power::Up(Boot::Rescue);
        self.keys = vec![key.to_owned()];
        self
    }

    /// Cuts the power.
    pub(crate) fn power_off(&mut self) {
        self.power = Power::Off;
        self.restart_at = None;
    }

    /// Boots, whatever ran before. `ignore_rescue`: the disk boots although the rescue system is armed.
    pub(crate) fn start(
        &mut self,
        now: Millis,
        timing: Timing,
        contents: Contents,
        ignore_rescue: bool,
    ) {
        self.boots += 1;
        self.restart_at = None;
        let armed = if ignore_rescue {
            None
        } else {
            self.rescue.take()
        };
        let (into, time) = match armed {
            Some(keys) => {
                self.keys = keys;
                (Boot::Rescue, timing.boot_rescue())
            }
            None => {
                // The old system was installed with the operator's keys: whoever may enter rescue may enter it.
                self.keys = self.rescue.clone().unwrap_or_default();
                (self.boot_from(contents), timing.boot_disk())
            }
        };
        self.power = Power::Booting {
            into,
            at: now + time,
        };
    }

    fn boot_from(&self, contents: Contents) -> Boot {
        match contents {
            Contents::OldSystem => Boot::OldSystem,
            Contents::Talos(image) if image.architecture == self.architecture => Boot::Talos(image),
            Contents::Talos(_) | Contents::Nothing => Boot::NoBootableDisk,
        }
    }

    /// Restarts in a moment, as `reboot` does.
    pub(crate) fn restart_soon(&mut self, at: Millis) {
        self.restart_at = Some(at);
    }

    /// Whether it will restart in a moment.
    pub(crate) fn restarts(&self) -> bool {
        self.restart_at.is_some()
    }

    /// Whether a restart is due.
    pub(crate) fn restart_due(&self, now: Millis) -> bool {
        self.restart_at.is_some_and(|at| at <= now)
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Millis) {
        if let Power::Booting { into, at } = &self.power
            && *at <= now
        {
            self.has_booted_talos |= matches!(into, Boot::Talos(_));
            self.power = Power::Up(into.clone());
        }
    }

    /// Forgets what was on the disk: its configuration and its etcd data.
    pub(crate) fn disk_changed(&mut self) {
        self.wiped_after_boot += u32::from(std::mem::take(&mut self.has_booted_talos));
        self.applied = None;
        self.etcd = false;
    }

    /// The login that is offered now.
    pub(crate) fn login(&self) -> Option<Login> {
        let host_name = match &self.power {
            Power::Up(Boot::Rescue) => "rescue".into(),
            Power::Up(Boot::OldSystem) => format!("{}-old", self.name),
            _ => return None,
        };
        Some(Login {
            boot: self.boots,
            host_name,
            keys: self.keys.clone(),
        })
    }

    /// The image that runs.
    pub(crate) fn talos(&self) -> Option<&Image> {
        match &self.power {
            Power::Up(Boot::Talos(image)) => Some(image),
            _ => None,
        }
    }

    /// The configuration, once the node has put it into effect.
    pub(crate) fn configured(&self, now: Millis, timing: Timing) -> Option<&Applied> {
        self.talos()?;
        self.applied
            .as_ref()
            .filter(|applied| applied.at + timing.configure() <= now)
    }

    /// The state in the provider's words.
    pub(crate) fn status(&self) -> &'static str {
        match self.power {
            Power::Off => "off",
            Power::Booting { .. } => "starting",
            Power::Up(_) => "running",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING_SPEED: f64 = 1.0;

    fn timing() -> Timing {
        Timing::new(TIMING_SPEED)
    }

    fn node() -> Node {
        Node::new(
            "cp01".into(),
            "127.42.0.11".into(),
            7,
            PathBuf::from("disk"),
        )
    }

    fn image(architecture: &str) -> Image {
        Image {
            version: "v1.11.5".into(),
            schematic: "0".into(),
            architecture: architecture.into(),
            platform: "hcloud".into(),
        }
    }

    #[test]
    fn an_armed_rescue_system_is_entered_once() {
        let mut node = node();
        node.power_off();
        node.rescue = Some(vec!["ssh-ed25519 AAAA".into()]);
        node.start(1000, timing(), Contents::OldSystem, false);
        assert_eq!((node.status(), node.login()), ("starting", None));
        node.tick(40_999);
        assert_eq!(node.login(), None);
        node.tick(41_000);
        let login = Login {
            boot: 2,
            host_name: "rescue".into(),
            keys: vec!["ssh-ed25519 AAAA".into()],
        };
        assert_eq!((node.login(), node.rescue.clone()), (Some(login), None));
        node.start(41_000, timing(), Contents::OldSystem, false);
        node.tick(80_000);
        assert_eq!(node.power, Power::Up(Boot::OldSystem));
    }

    #[test]
    fn a_machine_may_be_in_its_rescue_system_from_the_beginning() {
        let node = node().in_rescue("ssh-ed25519 AAAA");
        let login = Login {
            boot: 1,
            host_name: "rescue".into(),
            keys: vec!["ssh-ed25519 AAAA".into()],
        };
        assert_eq!(node.login(), Some(login));
    }

    #[test]
    fn a_missed_rescue_boot_leaves_it_armed() {
        let mut node = node();
        node.rescue = Some(Vec::new());
        node.start(0, timing(), Contents::OldSystem, true);
        node.tick(60_000);
        assert_eq!(
            (
                node.login().unwrap().host_name.as_str(),
                node.rescue.is_some()
            ),
            ("cp01-old", true)
        );
    }

    #[test]
    fn only_a_whole_image_of_the_right_architecture_boots() {
        for (contents, expected) in [
            (Contents::Talos(image("amd64")), Boot::Talos(image("amd64"))),
            (Contents::Talos(image("arm64")), Boot::NoBootableDisk),
            (Contents::Nothing, Boot::NoBootableDisk),
        ] {
            let mut node = node();
            node.start(0, timing(), contents, false);
            node.tick(60_000);
            assert_eq!(
                (node.power.clone(), node.login()),
                (Power::Up(expected), None)
            );
        }
    }
}
