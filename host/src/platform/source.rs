//! The text of `platform.yaml` and of its overlay, read with every doubt about the file settled. Interprets nothing.

use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::{Failure, Location, did_you_mean};
use crate::paths::Repository;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// A text and the name that people know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, relative to the repository.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Makes a source of a text.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            text: text.into(),
        }
    }
}

/// Reads `platform.yaml`.
pub(crate) fn base(repository: &Repository) -> Result<Source, Failure> {
    read(repository, &repository.platform())?.ok_or_else(|| {
        Failure::invalid(format!(
            "there is no `platform.yaml` in `{}`",
            repository.root().display()
        ))
        .help(
            "write one with `ztc init`, or name the directory that holds it with `--directory DIR`",
        )
    })
}

/// Reads a file of answers, or standard input where the path is `-`.
pub(crate) fn answers(path: &Path) -> Result<Source, Failure> {
    if path == Path::new("-") {
        return text("standard input", std::io::stdin().lock());
    }
    let file = path.display().to_string();
    read_file(&file, path)?.ok_or_else(|| {
        Failure::invalid(format!("there is no file `{file}`"))
            .help("name a file of the form of platform.yaml, or `-` for standard input")
    })
}

/// Reads a file of the repository.
pub(crate) fn read(repository: &Repository, path: &Path) -> Result<Option<Source>, Failure> {
    read_file(&repository.display(path), path)
}

/// Reads the overlay of an environment, where there is one.
pub(crate) fn overlay(
    repository: &Repository,
    environment: &str,
) -> Result<Option<Source>, Failure> {
    read(repository, &repository.overlay(environment))
}

/// Says that an environment was asked for that no file describes.
pub(crate) fn no_overlay(repository: &Repository, environment: &str, base: &str) -> Failure {
    let known = overlays(repository);
    let hint = did_you_mean(environment, known.iter().map(String::as_str).chain([base]));
    Failure::invalid(format!("nothing describes environment `{environment}`: `platform.yaml` is for `{base}`, and there is no `platform.{environment}.yaml`"))
        .at(Location::file(format!("platform.{environment}.yaml")))
        .help(match hint {
            Some(hint) => hint,
            None => format!("write what differs into `platform.{environment}.yaml`, or use `--env {base}`"),
        })
}

/// Returns the environments that have an overlay, sorted.
pub(crate) fn overlays(repository: &Repository) -> Vec<String> {
    let files = std::fs::read_dir(repository.root())
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = files
        .filter_map(|file| file.file_name().into_string().ok())
        .filter_map(|name| {
            Some(
                name.strip_prefix("platform.")?
                    .strip_suffix(".yaml")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}

fn read_file(file: &str, path: &Path) -> Result<Option<Source>, Failure> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read", file, &error)),
    };
    if metadata.is_dir() {
        return Err(Failure::invalid(format!("`{file}` is not a file"))
            .help("move it out of the way and run `ztc init`"));
    }
    let opened = std::fs::File::open(path).map_err(|error| Failure::io("read", file, &error))?;
    text(file, opened).map(Some)
}

fn text(file: &str, reader: impl Read) -> Result<Source, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io("read", file, &error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::invalid(format!(
            "`{file}` is larger than {} MiB",
            LARGEST / 1024 / 1024
        ))
        .at(Location::file(file))
        .help("this is more than any platform needs: check that the file is what it should be"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(file, text)),
        Err(error) => Err(not_utf8(
            file,
            error.as_bytes(),
            error.utf8_error().valid_up_to(),
        )),
    }
}

fn not_utf8(file: &str, bytes: &[u8], valid: usize) -> Failure {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    Failure::invalid(format!("`{file}` is not UTF-8 text"))
        .at(Location {
            file: file.to_owned(),
            line,
            column,
        })
        .help(format!(
            "save it as UTF-8, such as with `iconv -f ISO-8859-1 -t UTF-8 {file}`"
        ))
}
