//! Whether a file is still what was installed: its bytes, and who may write to it. Every start, `ztc plugins verify` and `ztc plugins install` judge by
//! this. Changes nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::io::Errno;

use crate::digest;
use crate::shell::word;

/// Why a file will not be started.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// It has this digest instead.
    OtherBytes(String),
    /// Other users than its owner and root may write to it.
    OthersMayWrite,
    /// It is a program that nobody may execute.
    NotExecutable,
    Unreadable(io::Error),
}

/// Whether other users than its owner and root may write to a file.
pub(crate) fn others_may_write(metadata: &fs::Metadata) -> bool {
    metadata.permissions().mode() & 0o022 != 0
}

/// Looks at a file that should have a digest; nothing where it is as it should be.
pub(crate) fn flaw(path: &Path, sha256: &str) -> Option<Flaw> {
    look(path, sha256).unwrap_or_else(|error| Some(Flaw::Unreadable(error)))
}

fn look(path: &Path, sha256: &str) -> io::Result<Option<Flaw>> {
    let metadata = fs::metadata(path)?;
    if others_may_write(&metadata) {
        return Ok(Some(Flaw::OthersMayWrite));
    }
    let found = digest::file(path)?;
    if found != sha256 {
        return Ok(Some(Flaw::OtherBytes(found)));
    }
    let is_program = metadata.permissions().mode() & 0o111 != 0 || is_script(path)?;
    Ok((!is_program).then_some(Flaw::NotExecutable))
}

/// Scripts are run by their interpreter.
fn is_script(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(2).read_to_end(&mut start)?;
    Ok(start == b"#!")
}

impl Flaw {
    /// What is wrong, in a few words.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::OtherBytes(found) => format!("has other bytes: {found}"),
            Self::OthersMayWrite => "other users may write to its file".to_owned(),
            Self::NotExecutable => "its file is not executable".to_owned(),
            Self::Unreadable(error) => format!("cannot be read: {error}"),
        }
    }

    /// What to type; nothing where only another file will do.
    pub(crate) fn remedy(&self, path: &Path) -> Option<String> {
        let path = || word(&path.display().to_string());
        match self {
            Self::OthersMayWrite => Some(format!("chmod go-w {}", path())),
            Self::NotExecutable => Some(format!("chmod +x {}", path())),
            Self::OtherBytes(_) | Self::Unreadable(_) => None,
        }
    }
}

/// The system's error for each; others' bytes and others' hands are its "bad message".
impl From<Flaw> for io::Error {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::OtherBytes(_) | Flaw::OthersMayWrite => Errno::BADMSG.into(),
            Flaw::NotExecutable => Errno::ACCESS.into(),
            Flaw::Unreadable(error) => error,
        }
    }
}
