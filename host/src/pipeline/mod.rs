//! The bootstrap: from the pipeline file through a plan to a run.
//!
//! ```text
//! stages of all adapters ─► file::compose ─► bootstrap/pipeline/<env>.yaml ─► plan ─► scheduler ─► runner ─► journal, cache, events
//! ```

mod compose;
pub mod context;
pub mod file;
mod names;
pub mod order;
pub mod output;
pub mod scheduler;
pub mod tasks;
#[cfg(test)]
pub(crate) mod testing;
