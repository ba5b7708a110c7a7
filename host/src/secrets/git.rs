//! Makes sure that git never sees a secret file.

use std::time::Duration;

use crate::atomic;
use crate::error::{Exit, Failure};
use crate::paths::Repository;
use crate::process;
use crate::shell::word;

/// The lines of `.gitignore` that a repository needs.
pub const IGNORED: [&str; 2] = ["/secrets/", "/.zerotouch-cache/"];

/// Adds the lines to `.gitignore` that it lacks.
pub fn ensure_ignored(repository: &Repository) -> Result<(), Failure> {
    let path = repository.root().join(".gitignore");
    let old = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::io("read", path, &error));
        }
        text => text.unwrap_or_default(),
    };
    let bare = |line: &str| line.trim().trim_matches('/').to_owned();
    let missing: Vec<&str> = IGNORED
        .into_iter()
        .filter(|wanted| !old.lines().any(|line| bare(line) == bare(wanted)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let gap = if old.is_empty() || old.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    atomic::public(&path, &format!("{old}{gap}{}\n", missing.join("\n")))
}

/// Refuses where git tracks a file below `secrets/` or `.zerotouch-cache/`, or where git cannot say. A directory without git is fine.
pub async fn refuse_tracked(repository: &Repository) -> Result<(), Failure> {
    let mut git = process::program("git");
    git.arg("-C")
        .arg(repository.root())
        .args(["ls-files", "-z", "--", "secrets", ".zerotouch-cache"])
        // What it says below is read.
        .env("LC_ALL", "C");
    let tracked = match process::run(git, Duration::from_secs(10)).await {
        Ok(finished) if finished.success => finished.stdout,
        Ok(finished) if finished.stderr.contains("not a git repository") => return Ok(()),
        Ok(finished) => return Err(cannot_say(repository, finished.stderr.trim())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_say(repository, &error.to_string())),
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
        files.iter().copied().map(word).collect::<Vec<_>>().join(" ")
    ));
    failure.details = files
        .iter()
        .map(|file| format!("tracked: {file}"))
        .collect();
    Err(failure)
}

fn cannot_say(repository: &Repository, why: &str) -> Failure {
    let mut failure = Failure::new(
        Exit::Refused,
        "git does not say whether it tracks files that hold secrets",
    )
    .help(format!(
        "put right what `git -C {} status` complains of, then run this again",
        word(&repository.root().display().to_string())
    ));
    failure.details = why.lines().map(|line| format!("git: {line}")).collect();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitignore_gets_only_the_lines_that_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let repository = Repository::at(directory.path());
        let path = directory.path().join(".gitignore");
        for (before, after) in [
            (None, "/secrets/\n/.zerotouch-cache/\n"),
            (Some("target"), "target\n/secrets/\n/.zerotouch-cache/\n"),
            (Some("secrets/\r\n"), "secrets/\r\n/.zerotouch-cache/\n"),
            (
                Some("/.zerotouch-cache\n/secrets/\n"),
                "/.zerotouch-cache\n/secrets/\n",
            ),
        ] {
            match before {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => drop(std::fs::remove_file(&path)),
            }
            ensure_ignored(&repository).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }
}
