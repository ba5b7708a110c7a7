//! What stages leave behind although it left their process groups: on Linux ztc adopts it, and ends it with the run.
//!
//! Elsewhere only a stage's own process group ends with it.

/// The processes that a run adopts.
#[derive(Debug, Default)]
pub struct Strays {
    /// The children that were there before, which are none of the run's business.
    #[cfg(target_os = "linux")]
    before: std::collections::BTreeSet<i32>,
}

#[cfg(not(target_os = "linux"))]
impl Strays {
    /// Adopts nothing.
    pub fn adopt() -> Self {
        Self::default()
    }

    /// Ends nothing.
    pub async fn end(self) {}
}

#[cfg(target_os = "linux")]
impl Strays {
    /// From now on processes whose parent ends become children of this one.
    pub fn adopt() -> Self {
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        Self {
            before: children().into_iter().collect(),
        }
    }

    /// Ends every child that is new. The children of one that ends become new ones, so it looks until there are none.
    pub async fn end(self) {
        use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
        for _ in 0..TRIES {
            let new: Vec<Pid> = children()
                .into_iter()
                .filter(|child| !self.before.contains(child))
                .filter_map(Pid::from_raw)
                .collect();
            if new.is_empty() {
                return;
            }
            for child in new {
                let _ = kill_process(child, Signal::KILL);
                let _ = waitpid(Some(child), WaitOptions::NOHANG);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// How often and how far apart it looks: only what the kernel itself holds up is still there at the end.
#[cfg(target_os = "linux")]
const TRIES: u32 = 400;
#[cfg(target_os = "linux")]
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// The processes whose parent this one is, those that have ended and nobody asked for included.
#[cfg(target_os = "linux")]
fn children() -> Vec<i32> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
