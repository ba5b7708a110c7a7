//! The bytes that were verified are the bytes that run, whatever somebody does to the file meanwhile.
//!
//! A compiled program is opened once, hashed, and executed through that very descriptor, so a file that takes its place does not run; and if
//! something has touched it meanwhile, it is hashed once more, so one that was written to does not start. A script is copied into the adapter's private directory while it is hashed, and its interpreter
//! gets the copy: interpreters open their script again, some by its name, and read it while it runs. Where no descriptor can be executed (macOS),
//! compiled programs run from such a copy too.
//!
//! The last process before the adapter does it: the sandbox (`ztc __sandboxed --sha256`), or without one
//! `ztc __verified SHA256 SCRATCH PROGRAM ARGUMENTS`, so that nothing has to be inherited on the way.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use sha2::{Digest, Sha256};

use crate::adapter::{keeper, process};
use crate::intact::{self, others_may_write};

/// The hidden first argument with which `ztc` verifies an adapter and becomes it.
pub(crate) const ARGUMENT: &str = "__verified";

/// What the directory of a copy is called, before something random.
const COPY: &str = ".ztc-program-";

/// How often a file is looked at that somebody touches all the time.
const LOOKS: usize = 4;

/// How much of a file says what it is: what Linux looks at.
const HEAD: u64 = 256;

/// A program whose bytes are those that are wanted.
pub(crate) struct Verified {
    file: File,
    sha256: String,
    /// What says whether something has touched the file since it was opened.
    stamp: Stamp,
    /// A private copy of the bytes; nothing: they are executed where they are.
    copy: Option<PathBuf>,
    /// The first bytes.
    head: Vec<u8>,
}

/// What changes with a file's content, whoever changes it, and with its names.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Makes sure that a file is what was installed. Other bytes are the system's error "bad message".
pub(crate) fn check(path: &Path, sha256: &str) -> io::Result<()> {
    match intact::flaw(path, sha256) {
        None => Ok(()),
        Some(flaw) => Err(flaw.into()),
    }
}

impl Verified {
    /// Opens a program and reads it; `scratch` is where a private copy may lie. Other bytes, or a file to which others may write, are the system's
    /// error "bad message".
    pub(crate) fn open(path: &Path, sha256: &str, scratch: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if others_may_write(&file.metadata()?) {
            return Err(Errno::BADMSG.into());
        }
        let stamp = Stamp::of(&file)?;
        let mut head = Vec::new();
        (&mut file).take(HEAD).read_to_end(&mut head)?;
        let is_copied = head.starts_with(b"#!") || !cfg!(target_os = "linux");
        let (copy, mut writer) = match is_copied {
            true => {
                let (copy, writer) = begin_copy(path, scratch)?;
                (Some(copy), Some(writer))
            }
            false => (None, None),
        };
        let found = read(&head, &mut file, writer.as_mut())?;
        if found != sha256 {
            return Err(Errno::BADMSG.into());
        }
        // Asked here: in a sandbox there is nothing to compare it with.
        keeper::can_run(&head)?;
        Ok(Self {
            file,
            sha256: found,
            stamp,
            copy,
            head,
        })
    }

    /// Becomes the program. Returns only where that fails.
    pub(crate) fn run(&self, arguments: impl Iterator<Item = OsString>) -> io::Error {
        match self.command() {
            Ok((program, first)) => {
                process::become_program(&program, first.into_iter().chain(arguments))
            }
            Err(error) => error,
        }
    }

    /// What is executed, and its first arguments.
    fn command(&self) -> io::Result<(OsString, Vec<OsString>)> {
        let Some(copy) = &self.copy else {
            self.still_good()?;
            // What runs programs of other machines opens the descriptor itself, after the program that became it is gone.
            fcntl_setfd(&self.file, FdFlags::empty())?;
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            return Ok((path.into(), Vec::new()));
        };
        // As Linux itself would do it, but from a directory where nothing may be executed, too.
        match interpreter(&self.head).filter(|_| cfg!(target_os = "linux")) {
            Some((program, argument)) => {
                let arguments = argument.into_iter().chain([copy.into()]);
                Ok((program, arguments.collect()))
            }
            None => Ok((copy.into(), Vec::new())),
        }
    }

    /// Reads the bytes again where something has touched the file since. What is left is the moment from here to the start, for those who may write
    /// to the file: its owner and root, who could change this program as well.
    fn still_good(&self) -> io::Result<()> {
        let mut stamp = self.stamp;
        for _ in 0..LOOKS {
            let now = Stamp::of(&self.file)?;
            if now == stamp {
                return Ok(());
            }
            let mut file = &self.file;
            file.rewind()?;
            if read(&[], &mut file, None)? != self.sha256 {
                break;
            }
            stamp = now;
        }
        Err(Errno::BADMSG.into())
    }
}

/// Begins a copy, in a directory of its own, under the name of the program.
fn begin_copy(path: &Path, scratch: &Path) -> io::Result<(PathBuf, File)> {
    let directory = tempfile::Builder::new()
        .prefix(COPY)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(scratch)?
        .keep();
    let copy = directory.join(path.file_name().unwrap_or(OsStr::new("adapter")));
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o500)
        .open(&copy)?;
    Ok((copy, file))
}

/// Reads a file to its end, writes what comes into the copy, and returns the digest of all of it.
fn read(head: &[u8], file: &mut impl Read, mut copy: Option<&mut File>) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut take = |bytes: &[u8]| -> io::Result<()> {
        hasher.update(bytes);
        copy.as_mut().map_or(Ok(()), |copy| copy.write_all(bytes))
    };
    take(head)?;
    let mut chunk = vec![0; 128 << 10];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => take(&chunk[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = hasher.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The program that a script's first line names, and its one argument, as Linux reads them.
fn interpreter(head: &[u8]) -> Option<(OsString, Option<OsString>)> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = line.trim_ascii();
    let end = line
        .iter()
        .position(|byte| [b' ', b'\t'].contains(byte))
        .unwrap_or(line.len());
    let word = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let argument = line[end..].trim_ascii();
    (end > 0).then(|| {
        (
            word(&line[..end]),
            (!argument.is_empty()).then(|| word(argument)),
        )
    })
}

/// Verifies a program and becomes it. Returns only where that fails.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (Some(sha256), Some(scratch), Some(program)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return keeper::tell_error(&io::Error::other("its arguments have another form"));
    };
    let verified = Verified::open(
        Path::new(&program),
        &sha256.to_string_lossy(),
        Path::new(&scratch),
    );
    // It stays open until this process is the program.
    let error = match &verified {
        Ok(verified) => verified.run(arguments),
        Err(error) => return keeper::tell_error(error),
    };
    keeper::tell_error(&error)
}

#[cfg(test)]
mod tests;
