//! What a run leaves behind, told: from its journal and its logs to a page, JSON, JUnit, Markdown, and metrics.
//!
//! Reads journals and logs and owns no state; what it makes, commands write. Nothing here runs anything.

pub mod build;
pub mod dag;
pub mod estimate;
pub mod history;
pub mod html;
pub mod junit;
mod logs;
pub mod markdown;
pub mod meter;
pub mod metrics;
pub mod model;

pub use model::RunReport;

use crate::error::Failure;
use crate::mask::Mask;
use crate::paths::Repository;

/// Reads the whole report of a run: its journal, its logs, and what earlier runs took. Nothing where its journal says nothing.
pub fn read(repository: &Repository, run: &str, mask: &Mask) -> Result<Option<RunReport>, Failure> {
    let Some(mut report) = history::read(repository, run)? else {
        return Ok(None);
    };
    history::History::read(repository, &report.environment, Some(run)).compare(&mut report);
    logs::fill(&mut report, repository.root(), mask);
    Ok(Some(report))
}
