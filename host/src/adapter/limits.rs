//! How long the host waits for an adapter.

use std::time::Duration;

use ztc_protocol::Method;
use ztc_protocol::message::{
    CheckSecrets, Discover, GenerateSecrets, GetInputs, Initialize, Shutdown, Validate,
};

/// The variable that replaces the limits of all calls, in seconds: for slow machines and for debuggers.
pub(crate) const VARIABLE: &str = "ZTC_ADAPTER_TIMEOUT";

/// Limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long the adapter may be silent; progress starts it anew.
    pub(crate) idle: Duration,
    /// How long it may take in all.
    pub(crate) total: Duration,
}

impl Limits {
    /// No limits: for an adapter in which somebody walks through the code.
    pub(crate) const NONE: Self = Self {
        idle: Duration::MAX,
        total: Duration::MAX,
    };

    /// The limits of a method.
    pub(crate) fn of(method: &str) -> Self {
        let (idle, total) = match method {
            Initialize::NAME => (10, 10),
            Shutdown::NAME => return Self::seconds(2, 2),
            GetInputs::NAME | Validate::NAME | CheckSecrets::NAME => (30, 60),
            Discover::NAME => (60, 300),
            GenerateSecrets::NAME => (120, 300),
            _ => (60, 600),
        };
        match std::env::var(VARIABLE)
            .ok()
            .and_then(|text| text.parse().ok())
        {
            Some(seconds) => Self::seconds(seconds, seconds),
            None => Self::seconds(idle, total),
        }
    }

    fn seconds(idle: u64, total: u64) -> Self {
        Self {
            idle: Duration::from_secs(idle),
            total: Duration::from_secs(total),
        }
    }
}
