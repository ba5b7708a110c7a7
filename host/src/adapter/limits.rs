//! How long the host waits for an adapter.

use std::time::Duration;

use ztc_protocol::Method;
use ztc_protocol::message::{
    CheckSecrets, Discover, GenerateSecrets, GetInputs, Initialize, Shutdown, Validate,
};

use crate::error::Failure;

/// The variable that replaces the limits of all calls, for slow machines and for debuggers: `<seconds>` for both, or `<idle>,<total>`.
pub(crate) const VARIABLE: &str = "ZTC_ADAPTER_TIMEOUT";

/// Limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long the adapter may be silent; progress starts it anew.
    pub(crate) idle: Duration,
    /// How long it may take in all.
    pub(crate) total: Duration,
}

/// Refuses a variable that would be ignored.
pub(crate) fn check() -> Result<(), Failure> {
    match std::env::var(VARIABLE) {
        Ok(text) if Limits::parse(&text).is_none() => Err(Failure::invalid(format!(
            "`{VARIABLE}` is `{text}`, which is no limit"
        ))
        .help("write seconds, such as `300`, or `<idle>,<total>`, such as `60,600`")),
        _ => Ok(()),
    }
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
            Shutdown::NAME => return Self::seconds(1, 1),
            GetInputs::NAME | Validate::NAME | CheckSecrets::NAME => (30, 60),
            Discover::NAME => (60, 300),
            GenerateSecrets::NAME => (120, 300),
            _ => (60, 600),
        };
        let set = std::env::var(VARIABLE).ok();
        set.and_then(|text| Self::parse(&text))
            .unwrap_or_else(|| Self::seconds(idle, total))
    }

    fn parse(text: &str) -> Option<Self> {
        let (idle, total) = text.split_once(',').unwrap_or((text, text));
        let seconds = |text: &str| {
            text.trim()
                .parse::<u64>()
                .ok()
                .filter(|seconds| *seconds > 0)
        };
        Some(Self::seconds(seconds(idle)?, seconds(total)?))
    }

    fn seconds(idle: u64, total: u64) -> Self {
        Self {
            idle: Duration::from_secs(idle),
            total: Duration::from_secs(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_sets_one_limit_or_both() {
        assert_eq!(Limits::parse("7"), Some(Limits::seconds(7, 7)));
        assert_eq!(Limits::parse("2, 60"), Some(Limits::seconds(2, 60)));
        for wrong in ["", "x", "0", "1,", "1,2,3", "-1"] {
            assert_eq!(Limits::parse(wrong), None, "{wrong}");
        }
    }
}
