//! What a source has shown before: a copy of its last verified index below `$XDG_DATA_HOME/ztc/sources`. An index that takes something
//! back is recognised by it.

use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing};
use crate::digest::sha256_hex;
use crate::error::{Exit, Failure};
use crate::plugins::index::{Index, Release};
use crate::plugins::powers::{is_described, powers};

/// Where the copy of a source's index lies.
pub(crate) fn path(data: &Path, source: &str) -> PathBuf {
    data.join("sources")
        .join(format!("{}.json", sha256_hex(source.as_bytes())))
}

/// Reads the last index of a source; nothing where none was seen. What cannot be read any more counts as not seen.
pub(crate) fn load(data: &Path, source: &str) -> Result<Option<(Vec<u8>, Index)>, Failure> {
    let path = path(data, source);
    match std::fs::read(&path) {
        Ok(text) => Ok(Index::parse(&text, source).ok().map(|index| (text, index))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("read", &path, &error)),
    }
}

/// Remembers an index that was verified.
pub(crate) fn save(data: &Path, source: &str, text: &[u8]) -> Result<(), Failure> {
    atomic::private(&path(data, source), text, Existing::Replace)
}

/// Forgets what a source has shown: by an operator's word it begins anew.
pub(crate) fn forget(data: &Path, source: &str) -> Result<(), Failure> {
    let path = path(data, source);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", &path, &error))
        }
        _ => Ok(()),
    }
}

/// Refuses an index that is older than the one that was seen, or says something else about the same release.
pub(crate) fn compare(
    source: &str,
    (old_text, old): (&[u8], &Index),
    (new_text, new): (&[u8], &Index),
) -> Result<(), Failure> {
    let refused = |message: String| Err(Failure::new(Exit::Refused, message));
    if new.serial < old.serial {
        return refused(format!(
            "the index of `{source}` is older than the one that this machine has seen: serial {}, seen was {}",
            new.serial, old.serial
        ))
        .map_err(|failure| {
            failure.help(format!("run the same command again later; where it stays so, somebody shows an old copy; where its publisher has begun anew, and you know it from them, run `ztc plugins trust remove {source}`"))
        });
    }
    if new.serial == old.serial && new_text != old_text {
        return refused(format!(
            "`{source}` has another index with the serial {} that this machine has seen",
            new.serial
        ))
        .map_err(|failure| failure.help("ask its publisher which one is right"));
    }
    for (name, tables) in &old.versions {
        for old in tables {
            let mut now = new.versions.get(name).into_iter().flatten();
            if let Some(other) =
                now.find(|now| now.serial == old.serial && now.sha256 != old.sha256)
            {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("table {} of the versions of `{name}` of `{source}` has other bytes than before", old.serial),
                )
                .detail(format!("was: {}", old.sha256))
                .detail(format!("now: {}", other.sha256))
                .help("a table never changes its bytes: ask its publisher, who has to give the change a new serial"));
            }
        }
    }
    for (name, entry) in &old.adapters {
        let now = new.adapters.get(name);
        for (version, release) in &entry.versions {
            let Some(now) = now.and_then(|entry| entry.versions.get(version)) else {
                continue;
            };
            if let Some(failure) = other_powers(source, name, version, (release, now)) {
                return Err(failure);
            }
            for (platform, asset) in &release.platforms {
                if let Some(other) = now.platforms.get(platform)
                    && other.sha256 != asset.sha256
                {
                    return Err(other_bytes(source, name, version, platform)
                        .detail(format!("was: {}", asset.sha256))
                        .detail(format!("now: {}", other.sha256)));
                }
            }
        }
    }
    Ok(())
}

/// A version that may touch more than it could, or does not say it any more. To take something back is harmless: it is held to it.
fn other_powers(
    source: &str,
    name: &str,
    version: &str,
    (old, new): (&Release, &Release),
) -> Option<Failure> {
    let is_silent = is_described(old) && !is_described(new);
    let more = powers(&new.touches, &old.touches);
    if !is_silent && (more.is_empty() || !is_described(old)) {
        return None;
    }
    let mut failure = Failure::new(
        Exit::Refused,
        format!("`{name}` {version} of `{source}` does not say what it said before of what it touches"),
    )
    .help("a version never changes what it touches: ask its publisher, who has to give the change a new version");
    failure.details = more.iter().map(|power| format!("new: {power}")).collect();
    if is_silent {
        failure.details.push("it says nothing any more".to_owned());
    }
    Some(failure)
}

/// A version that was known with other bytes.
pub(crate) fn other_bytes(source: &str, name: &str, version: &str, platform: &str) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("`{name}` {version} of `{source}` has other bytes than before for {platform}"),
    )
    .help("a version never changes its bytes: ask its publisher, who has to give the change a new version")
}
