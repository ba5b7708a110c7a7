//! The bootstrap: from the pipeline file through a plan to a run.
//!
//! ```text
//! stages of all adapters ─► file::compose ─► bootstrap/pipeline/<env>.yaml ─► plan ─► scheduler ─► runner ─► journal, cache, events
//! ```

pub mod attempt;
pub mod cache;
mod compose;
pub mod context;
pub mod eject;
pub(crate) mod entries;
pub mod event;
pub mod file;
pub(crate) mod files;
pub mod fingerprint;
pub mod gates;
pub mod heads;
pub mod inputs;
pub mod journal;
pub mod live;
pub mod manual;
mod names;
pub mod order;
pub mod output;
pub mod plan;
pub mod prepared;
pub mod private;
pub mod probe;
pub mod rollback;
pub mod run_lock;
pub mod runner;
pub mod scheduler;
pub mod site;
pub mod state;
pub mod strays;
pub mod tasks;
#[cfg(test)]
pub(crate) mod testing;
pub mod transcript;
pub(crate) mod unreadable;
pub mod why;
