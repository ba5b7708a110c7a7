//! The texts of tables that were verified and taken: `$XDG_DATA_HOME/ztc/versions/<sha256>.yaml`. A text is what its name says, or it is none.

use std::path::{Path, PathBuf};

use crate::atomic::{self, Existing};
use crate::digest::sha256_hex;
use crate::error::Failure;

fn path(data: &Path, sha256: &str) -> PathBuf {
    data.join("versions").join(format!("{sha256}.yaml"))
}

/// Whether a text is there.
pub(crate) fn has(data: &Path, sha256: &str) -> bool {
    path(data, sha256).is_file()
}

/// Reads a text; nothing where it is not there any more, or has other bytes.
pub(crate) fn read(data: &Path, sha256: &str) -> Option<String> {
    let text = std::fs::read_to_string(path(data, sha256)).ok()?;
    (sha256_hex(text.as_bytes()) == sha256).then_some(text)
}

/// Keeps a text.
pub(crate) fn save(data: &Path, text: &str) -> Result<(), Failure> {
    let sha256 = sha256_hex(text.as_bytes());
    atomic::private(&path(data, &sha256), text.as_bytes(), Existing::Replace)
}
