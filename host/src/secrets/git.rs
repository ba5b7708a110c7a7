//! Makes sure that git never sees a secret file.

use std::time::Duration;

use crate::error::{Exit, Failure};
use crate::paths::Repository;
use crate::process;

/// The lines of `.gitignore` that a repository needs.
pub const IGNORED: [&str; 2] = ["/secrets/", "/.zerotouch-cache/"];

/// Refuses where git tracks a file below `secrets/` or `.zerotouch-cache/`. A repository without git is fine.
pub async fn refuse_tracked(repository: &Repository) -> Result<(), Failure> {
    let mut git = process::program("git");
    git.arg("-C").arg(repository.root()).args([
        "ls-files",
        "-z",
        "--",
        "secrets",
        ".zerotouch-cache",
    ]);
    let tracked = match process::run(git, Duration::from_secs(10)).await {
        Ok(finished) if finished.success => finished.stdout,
        // No git, or no git repository: nothing is tracked.
        _ => return Ok(()),
    };
    let files: Vec<&str> = tracked
        .split('\0')
        .filter(|file| !file.is_empty())
        .collect();
    if files.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Refused, "git tracks files that hold secrets").help(format!(
        "take them out with `git rm --cached -r {}`, commit, and make new secrets: what was committed stays readable in the history",
        files.join(" ")
    ));
    failure.details = files
        .iter()
        .map(|file| format!("tracked: {file}"))
        .collect();
    Err(failure)
}
