//! The files of the repository that sections name where their schema says `x-ztc-file`: read here, because adapters cannot. They are handed
//! over with their digests, which go into the lock. Writes only into an adapter's scratch directory.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path};

use ztc_protocol::Manifest;
use ztc_protocol::message::InputFile;

use crate::digest::sha256_hex;
use crate::error::{Failure, Finding};
use crate::paths::Repository;
use crate::platform::{Platform, Section, secret_places};

/// A file may have this many bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Text up to this many bytes travels in the line of the call.
const INLINE: usize = 1024 * 1024;

/// Files by path as the section writes it.
pub(crate) type InputFiles = BTreeMap<String, InputFile>;

/// Reads the files that a section names; a finding for each that cannot be.
pub(crate) fn read(
    repository: &Repository,
    platform: &Platform,
    section: &Section,
    manifest: &Manifest,
    scratch: &Path,
) -> Result<Result<InputFiles, Vec<Finding>>, Failure> {
    let (mut files, mut findings) = (InputFiles::new(), Vec::new());
    for (pointer, path) in secret_places::texts(&section.config, manifest, "x-ztc-file") {
        match content(repository, &path) {
            Ok(content) => {
                files.insert(path, hand_over(content, scratch)?);
            }
            Err((message, help)) => {
                let place = platform.locate(&section.name, &pointer);
                findings.push(Finding::error(message).at(place).help(help));
            }
        }
    }
    Ok(match findings.is_empty() {
        true => Ok(files),
        false => Err(findings),
    })
}

/// Reads a file, or says why not and what to do.
fn content(repository: &Repository, path: &str) -> Result<Vec<u8>, (String, String)> {
    let inside =
        "copy it into the repository, so that everybody who has the repository renders the same";
    let closed = |what: &str| (format!("`{path}` {what}"), inside.to_owned());
    let mut parts = Path::new(path).components();
    if path.is_empty()
        || !parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(closed("is not a path inside the repository"));
    }
    let cannot = |error: &std::io::Error| {
        (
            format!("the file `{path}` cannot be read: {error}"),
            "paths are relative to the directory of platform.yaml".to_owned(),
        )
    };
    let real =
        std::fs::canonicalize(repository.root().join(path)).map_err(|error| cannot(&error))?;
    let root = std::fs::canonicalize(repository.root()).map_err(|error| cannot(&error))?;
    let Ok(relative) = real.strip_prefix(&root) else {
        return Err(closed("leads out of the repository"));
    };
    if relative.starts_with("secrets") || relative.starts_with(".zerotouch-cache") {
        return Err((
            format!(
                "`{path}` is not handed to adapters: `secrets/` and `.zerotouch-cache/` are ztc's own"
            ),
            "keep files that a section names elsewhere in the repository".to_owned(),
        ));
    }
    if !real.is_file() {
        return Err(closed("is not a file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(&real)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(&error))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= LARGEST => Ok(bytes),
        _ => Err((
            format!("`{path}` has more than {} MiB", LARGEST / 1024 / 1024),
            "such a file is no input; is it the right one?".to_owned(),
        )),
    }
}

fn hand_over(content: Vec<u8>, scratch: &Path) -> Result<InputFile, Failure> {
    let sha256 = sha256_hex(&content);
    let content = match String::from_utf8(content) {
        Ok(text) if text.len() <= INLINE => {
            return Ok(InputFile {
                sha256,
                content: text,
                content_file: None,
            });
        }
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let file = scratch.join(format!("input-{sha256}"));
    std::fs::write(&file, content).map_err(|error| Failure::io("write", &file, &error))?;
    Ok(InputFile {
        sha256,
        content: String::new(),
        content_file: Some(file.display().to_string()),
    })
}

/// Returns the digests of files, as the lock has them.
pub(crate) fn digests(files: &InputFiles) -> BTreeMap<String, String> {
    files
        .iter()
        .map(|(path, file)| (path.clone(), file.sha256.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_repository_are_read() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path().join("repository");
        for directory in ["crds", "secrets", ".zerotouch-cache"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
            std::fs::write(root.join(directory).join("a.yaml"), "a: 1\n").unwrap();
        }
        std::fs::write(world.path().join("outside.yaml"), "a: 1\n").unwrap();
        std::os::unix::fs::symlink("../outside.yaml", root.join("link.yaml")).unwrap();
        let repository = Repository::at(&root);
        assert_eq!(content(&repository, "./crds/a.yaml").unwrap(), b"a: 1\n");
        for (path, why) in [
            ("", "`` is not a path inside the repository"),
            (
                "/etc/passwd",
                "`/etc/passwd` is not a path inside the repository",
            ),
            (
                "../outside.yaml",
                "`../outside.yaml` is not a path inside the repository",
            ),
            ("link.yaml", "`link.yaml` leads out of the repository"),
            ("crds", "`crds` is not a file"),
            (
                "secrets/a.yaml",
                "`secrets/a.yaml` is not handed to adapters: `secrets/` and `.zerotouch-cache/` are ztc's own",
            ),
            (
                "none.yaml",
                "the file `none.yaml` cannot be read: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(content(&repository, path).unwrap_err().0, why);
        }
    }

    #[test]
    fn what_is_not_text_goes_by_file() {
        let scratch = tempfile::tempdir().unwrap();
        let text = hand_over(b"a: 1\n".to_vec(), scratch.path()).unwrap();
        assert_eq!((text.content.as_str(), text.content_file), ("a: 1\n", None));
        let binary = hand_over(vec![0x1f, 0x8b, 0xff], scratch.path()).unwrap();
        assert_eq!(binary.content, "");
        assert_eq!(
            std::fs::read(binary.content_file.unwrap()).unwrap(),
            [0x1f, 0x8b, 0xff]
        );
    }
}
