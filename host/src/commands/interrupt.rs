//! The wishes to end: Ctrl-C, and the signals with which systems ask. From the first look on none of them ends ztc by itself.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::Failure;
use crate::pipeline::runner::Wish;

/// The signals by number and name.
const SIGNALS: [(i32, &str); 3] = [(2, "SIGINT"), (15, "SIGTERM"), (1, "SIGHUP")];

/// Listens. A signal that was ignored when ztc started, as `nohup` does with SIGHUP, stays ignored.
pub(crate) fn wishes() -> Result<mpsc::UnboundedReceiver<Wish>, Failure> {
    let (wish, wishes) = mpsc::unbounded_channel();
    listen(&wish)?;
    Ok(wishes)
}

/// Listens for somebody who hears other wishes too.
pub(crate) fn listen(wish: &mpsc::UnboundedSender<Wish>) -> Result<(), Failure> {
    let ignored = ignored();
    for (number, name) in SIGNALS {
        if ignored & (1 << (number - 1)) != 0 {
            continue;
        }
        let mut stream = signal(SignalKind::from_raw(number)).map_err(|error| {
            Failure::failed(format!("failed to listen for {name}")).detail(error)
        })?;
        let wish = wish.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if wish.send(Wish::new(name)).is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}

/// Returns the signals that this process ignores, one bit each; none where the system does not say.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
