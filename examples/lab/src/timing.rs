//! How long things take: measured times of the real world, divided by the lab's speed. No clock here.

use std::time::Duration;

/// Milliseconds since the world began.
pub(crate) type Millis = u64;

/// Durations in simulated milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    speed: f64,
}

impl Timing {
    /// Returns durations divided by `speed`; 1 is the speed of the real world.
    pub(crate) fn new(speed: f64) -> Self {
        Self {
            speed: speed.max(0.01),
        }
    }

    fn seconds(self, seconds: f64) -> Millis {
        // The quotient is finite and not negative, because the divisor is at least 0.01.
        (seconds * 1000.0 / self.speed).round() as Millis
    }

    /// How much simulated time has passed.
    pub(crate) fn simulated(self, passed: Millis) -> Duration {
        Duration::from_millis(passed).mul_f64(self.speed)
    }

    /// Power off, power on, reset.
    pub(crate) fn power(self) -> Millis {
        self.seconds(4.0)
    }

    /// Enabling the rescue system.
    pub(crate) fn enable_rescue(self) -> Millis {
        self.seconds(15.0)
    }

    /// From power to a login in the rescue system.
    pub(crate) fn boot_rescue(self) -> Millis {
        self.seconds(40.0)
    }

    /// From power to a login in an installed system, or to Talos' maintenance mode.
    pub(crate) fn boot_disk(self) -> Millis {
        self.seconds(25.0)
    }

    /// How long `reboot` takes to cut the connection.
    pub(crate) fn reboot(self) -> Millis {
        self.seconds(3.0)
    }

    /// From a machine configuration to a configured node.
    pub(crate) fn configure(self) -> Millis {
        self.seconds(15.0)
    }

    /// From bootstrap to an API server that answers.
    pub(crate) fn api_server(self) -> Millis {
        self.seconds(40.0)
    }

    /// From an API server that answers to applied manifests.
    pub(crate) fn manifests(self) -> Millis {
        self.seconds(8.0)
    }

    /// From an API server that answers to a registered kubelet.
    pub(crate) fn join(self) -> Millis {
        self.seconds(10.0)
    }

    /// From a scheduled pod to a ready one.
    pub(crate) fn pod(self) -> Millis {
        self.seconds(25.0)
    }

    /// How long after the manifests late definitions come: the operator has started by then.
    pub(crate) fn late_definitions(self) -> Millis {
        self.seconds(40.0)
    }
}
