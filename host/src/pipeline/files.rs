//! The ways in which a run opens files of its own: always for the owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for the owner only, for appending.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().append(true).create(true)).open(path)
}

/// Writes a new file for the owner only.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    private(OpenOptions::new().write(true).create_new(true))
        .open(path)?
        .write_all(content)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Opens a file for the owner only, for reading and writing what it holds.
pub(crate) fn read_write(path: &Path) -> io::Result<File> {
    private(
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false),
    )
    .open(path)
}
