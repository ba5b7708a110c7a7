//! Reading files that somebody else may have put there: what is no regular file is refused instead of waited for. A named pipe that nobody writes to
//! would otherwise keep a command for ever, and a device could do anything.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        // Without it the opening itself waits for a writer.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    // A socket cannot even be opened. What was opened is asked itself: its name may be another file by now.
    let kind = match &opened {
        Ok(file) => file.metadata()?.file_type(),
        Err(_) => match fs::metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(_) => return opened,
        },
    };
    match special(kind) {
        Some(what) => Err(io::Error::new(ErrorKind::InvalidInput, what)),
        None if kind.is_dir() => Err(ErrorKind::IsADirectory.into()),
        None => opened,
    }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Reads a whole text.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Whether a file was refused for what it is.
pub(crate) fn is_special(error: &io::Error) -> bool {
    error.kind() == ErrorKind::InvalidInput && error.raw_os_error().is_none()
}

fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_fifo() => Some("it is a named pipe, and no file"),
        _ if kind.is_socket() => Some("it is a socket, and no file"),
        _ if kind.is_char_device() || kind.is_block_device() => Some("it is a device, and no file"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_files_are_read_and_nobody_waits_for_a_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("device")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .unwrap();
        for (name, expected) in [
            ("file", "text"),
            ("link", "text"),
            ("device", "it is a device, and no file (special)"),
            ("socket", "it is a socket, and no file (special)"),
            ("pipe", "it is a named pipe, and no file (special)"),
            (".", "is a directory"),
            ("none", "No such file or directory (os error 2)"),
        ] {
            let said = match read_to_string(&at(name)) {
                Ok(text) => text,
                Err(error) if is_special(&error) => format!("{error} (special)"),
                Err(error) => error.to_string(),
            };
            assert_eq!(said, expected, "{name}");
        }
    }
}
