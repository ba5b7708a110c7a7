//! How long to wait between two attempts, and the waiting itself. Knows nothing about HTTP.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ztc_adapter_sdk::{AdapterError, CallContext};

/// How patient a client is.
#[derive(Clone, Debug)]
pub(crate) struct Pacing {
    /// Attempts in all, the first included.
    pub(crate) attempts: u32,
    /// The pause before the second attempt, before jitter; doubled each time.
    pub(crate) first: Duration,
    /// No pause is longer, whatever the other side asks for.
    pub(crate) cap: Duration,
    /// How long another action may hold what is asked for.
    pub(crate) locked: Duration,
    /// How long one request may take. Below ten seconds, so that a call is never silent for longer.
    pub(crate) request: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            attempts: 6,
            first: Duration::from_millis(500),
            cap: Duration::from_secs(60),
            locked: Duration::from_secs(120),
            request: Duration::from_secs(9),
        }
    }
}

impl Pacing {
    /// Returns what is right while somebody waits for a question.
    pub(crate) fn hasty() -> Self {
        Self {
            attempts: 2,
            cap: Duration::from_secs(3),
            locked: Duration::ZERO,
            ..Self::default()
        }
    }

    /// Returns the pause after the attempt with the given number (from 1). `jitter` is in 0..=1 and takes up to half of the pause away, so that
    /// clients that failed together do not come back together. `until` is when the other side wants to be asked again.
    pub(crate) fn pause(&self, attempt: u32, jitter: f64, until: Option<Duration>) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        let backoff = doubled
            .min(self.cap)
            .mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
        backoff.max(until.unwrap_or_default()).min(self.cap)
    }
}

/// Returns a number in 0..=1 that differs between processes and calls; good enough to spread clients, and no more.
pub(crate) fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

/// Returns how far away a UNIX time is; nothing when it has passed.
pub(crate) fn until_unix(seconds: u64) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Duration::from_secs(seconds).checked_sub(now)
}

/// Waits, says so every few seconds, and ends early when the call is cancelled.
pub(crate) fn wait(call: &CallContext, pause: Duration, why: &str) -> Result<(), AdapterError> {
    const LOOK: Duration = Duration::from_millis(50);
    const SAY: Duration = Duration::from_secs(5);
    let start = Instant::now();
    let mut said = None;
    loop {
        if call.is_cancelled() {
            return Err(CallContext::cancelled());
        }
        let left = pause.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        if said.is_none_or(|last: Instant| last.elapsed() >= SAY) {
            call.progress(
                format!("{why}; asking again in {:.1} s", left.as_secs_f64()),
                None,
            );
            said = Some(Instant::now());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_cap() {
        let pacing = Pacing {
            first: SECOND,
            cap: 5 * SECOND,
            ..Pacing::default()
        };
        let pauses: Vec<_> = (1..=5)
            .map(|attempt| pacing.pause(attempt, 0.0, None))
            .collect();
        assert_eq!(
            pauses,
            [SECOND, 2 * SECOND, 4 * SECOND, 5 * SECOND, 5 * SECOND]
        );
        assert_eq!(pacing.pause(u32::MAX, 0.0, None), 5 * SECOND);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        let pacing = Pacing {
            first: 2 * SECOND,
            ..Pacing::default()
        };
        assert_eq!(pacing.pause(1, 1.0, None), SECOND);
        for _ in 0..100 {
            let pause = pacing.pause(1, jitter(), None);
            assert!((SECOND..=2 * SECOND).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn the_other_side_may_ask_for_more_but_not_for_ever() {
        let pacing = Pacing {
            first: SECOND,
            cap: 60 * SECOND,
            ..Pacing::default()
        };
        assert_eq!(pacing.pause(1, 0.0, Some(7 * SECOND)), 7 * SECOND);
        assert_eq!(pacing.pause(1, 0.0, Some(3600 * SECOND)), 60 * SECOND);
        assert_eq!(until_unix(1), None);
        assert!(until_unix(u64::MAX / 2).is_some());
    }
}
