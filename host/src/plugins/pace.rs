//! How slowly an answer may come. One that stands still or drips is given up, so that nobody can hold a command, and with it every
//! other installation, for as long as they like.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::error::Failure;

/// The variable with the seconds after which an answer that stands still is given up.
pub(crate) const VARIABLE: &str = "ZTC_PLUGINS_STALL";

/// Its value where nothing is said, and the largest one.
const DEFAULT: u64 = 30;
const MOST: u64 = 3600;

/// How many bytes a second have to come, over that time.
const SLOWEST: u64 = 1 << 10;

/// Returns the time after which an answer that stands still is given up.
pub(crate) fn stall() -> Result<Duration, Failure> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
        return Ok(Duration::from_secs(DEFAULT));
    };
    let seconds = value.to_str().and_then(|value| value.parse().ok());
    match seconds.filter(|seconds| (1..=MOST).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(Failure::invalid(format!(
            "`{VARIABLE}` is not a number of seconds from 1 to {MOST}: `{}`",
            value.to_string_lossy()
        ))
        .help(format!("leave it out for {DEFAULT} seconds"))),
    }
}

/// Why an answer was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Slow {
    #[error("nothing came for {0} s")]
    Silent(u64),
    #[error("only {0} bytes came in {1} s")]
    Dripping(u64, u64),
    #[error("it was not there after {0} s")]
    Late(u64),
}

impl Slow {
    /// Reads it out of an error of a reader.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

/// A body whose pace is watched.
pub(crate) struct Paced<R> {
    inner: R,
    stall: Duration,
    /// How long the whole may take.
    limit: Duration,
    /// What was waited for, and what came, since the pace was looked at last.
    waited: Duration,
    come: u64,
}

impl<R> Paced<R> {
    pub(crate) fn new(inner: R, stall: Duration, limit: Duration) -> Self {
        Self {
            inner,
            stall,
            limit,
            waited: Duration::ZERO,
            come: 0,
        }
    }

    /// Counts only the time in which this side waits: what it does with the bytes is not the other side's affair.
    fn watch(&mut self, waited: Duration, count: usize) -> Result<(), Slow> {
        self.waited += waited;
        self.come += count as u64;
        if self.waited < self.stall {
            return Ok(());
        }
        let (seconds, come) = (self.waited.as_secs().max(1), self.come);
        (self.waited, self.come) = (Duration::ZERO, 0);
        match come < seconds * SLOWEST {
            true => Err(Slow::Dripping(come, seconds)),
            false => Ok(()),
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let slow = |slow: Slow| io::Error::new(io::ErrorKind::TimedOut, slow);
        match self.inner.read(buffer) {
            Ok(0) => Ok(0),
            Ok(count) => match self.watch(begun.elapsed(), count) {
                Ok(()) => Ok(count),
                Err(why) => Err(slow(why)),
            },
            Err(error) => Err(match timeout(&error) {
                Some(ureq::Timeout::PerRead) => slow(Slow::Silent(self.stall.as_secs())),
                Some(_) => slow(Slow::Late(self.limit.as_secs())),
                None => error,
            }),
        }
    }
}

fn timeout(error: &io::Error) -> Option<ureq::Timeout> {
    match error.get_ref()?.downcast_ref::<ureq::Error>()? {
        ureq::Error::Timeout(which) => Some(*which),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drips_is_given_up_and_what_flows_is_not() {
        let second = Duration::from_secs(1);
        let mut paced = Paced::new(io::empty(), 10 * second, 60 * second);
        for _ in 0..9 {
            assert_eq!(paced.watch(second, 1), Ok(()));
        }
        assert_eq!(paced.watch(second, 1), Err(Slow::Dripping(10, 10)));
        for _ in 0..40 {
            assert_eq!(paced.watch(second, 1024), Ok(()));
        }
        // A pause is none where enough came around it.
        assert_eq!(paced.watch(second, 1 << 20), Ok(()));
        assert_eq!(paced.watch(9 * second, 1), Ok(()));
    }
}
