//! The bytes that were verified are the bytes that run: a file is opened once, hashed, and executed through that very descriptor. What
//! somebody puts in its place meanwhile does not run.
//!
//! The last process before the adapter does it: the sandbox (`ztc __sandboxed --sha256`), or without one
//! `ztc __verified SHA256 PROGRAM ARGUMENTS`, so that nothing has to be inherited on the way.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use sha2::{Digest, Sha256};

use crate::adapter::{keeper, process};

/// The hidden first argument with which `ztc` verifies an adapter and becomes it.
pub(crate) const ARGUMENT: &str = "__verified";

/// A program whose bytes are those that are wanted.
pub(crate) struct Verified {
    file: File,
    path: PathBuf,
}

impl Verified {
    /// Opens a program and reads it. Other bytes are the system's error "bad message".
    pub(crate) fn open(path: &Path, sha256: &str) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; 128 << 10];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => hasher.update(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let found: String = hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        match found == sha256 {
            true => Ok(Self {
                file,
                path: path.to_owned(),
            }),
            false => Err(Errno::BADMSG.into()),
        }
    }

    /// The path by which these bytes are executed.
    pub(crate) fn program(&self) -> io::Result<PathBuf> {
        if !cfg!(target_os = "linux") {
            // Elsewhere nothing executes a descriptor; what is left is the moment between reading and starting.
            return Ok(self.path.clone());
        }
        // The interpreter of a script opens the descriptor itself, after the program that became it is gone.
        fcntl_setfd(&self.file, FdFlags::empty())?;
        Ok(PathBuf::from(format!(
            "/proc/self/fd/{}",
            self.file.as_raw_fd()
        )))
    }
}

/// Verifies a program and becomes it. Returns only where that fails.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(sha256), Some(program)) = (arguments.next(), arguments.next()) else {
        return keeper::tell_error(&io::Error::other("its arguments have another form"));
    };
    let path = Path::new(&program);
    let verified = Verified::open(path, &sha256.to_string_lossy())
        .and_then(|verified| keeper::runnable(path).map(|()| verified));
    // It stays open until this process is the program.
    let error = match &verified {
        Ok(verified) => match verified.program() {
            Ok(through) => process::become_program(through.as_os_str(), arguments),
            Err(error) => error,
        },
        Err(error) => return keeper::tell_error(error),
    };
    keeper::tell_error(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_swapped_after_it_was_verified_does_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (
            directory.path().join("adapter"),
            directory.path().join("other"),
        );
        std::fs::write(&path, "good").unwrap();
        std::fs::write(&other, "evil").unwrap();
        let digest = crate::digest::file(&path).unwrap();
        let verified = Verified::open(&path, &digest).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"evil");
        assert_eq!(std::fs::read(verified.program().unwrap()).unwrap(), b"good");
        let again = Verified::open(&path, &digest).map(|_| ());
        assert_eq!(
            again.unwrap_err().raw_os_error(),
            Some(Errno::BADMSG.raw_os_error())
        );
    }
}
