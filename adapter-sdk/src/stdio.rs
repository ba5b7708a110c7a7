//! The process's own streams: moved away from descriptors 0 and 1 before anything can write there, and made readable without blocking.
//!
//! After [`take`], stdin is `/dev/null` and stdout goes where stderr goes: a dependency that prints, or a child that inherits
//! the descriptors, cannot touch the protocol.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::fs::{FileType, OFlags};
use tokio::net::unix::pipe;

/// Where the host speaks and where it listens.
#[derive(Debug)]
pub(crate) struct Streams {
    input: OwnedFd,
    output: OwnedFd,
}

/// Takes stdin and stdout for the protocol.
pub(crate) fn take() -> io::Result<Streams> {
    // Above 2, so that neither lands on a descriptor that was closed by whoever started the program.
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(Streams { input, output })
}

/// Uses two pipes in place of the process's own streams.
pub(crate) fn pipes(input: io::PipeReader, output: io::PipeWriter) -> Streams {
    Streams {
        input: input.into(),
        output: output.into(),
    }
}

/// The host's streams, ready for the runtime.
pub(crate) struct Opened {
    pub(crate) input: pipe::Receiver,
    pub(crate) output: pipe::Sender,
    /// Copies the output to where a pipe cannot go; ends after `output` was dropped.
    pub(crate) pump: Option<JoinHandle<io::Result<u64>>>,
}

impl Streams {
    /// Makes them asynchronous; needs a runtime.
    pub(crate) fn open(self) -> io::Result<Opened> {
        let input = if can_be_polled(&self.input)? {
            self.input
        } else {
            pumped_in(self.input)?
        };
        let (output, pump) = match can_be_polled(&self.output)? {
            true => (self.output, None),
            false => pumped_out(self.output)?,
        };
        for stream in [&input, &output] {
            let flags = rustix::fs::fcntl_getfl(stream)?;
            rustix::fs::fcntl_setfl(stream, flags | OFlags::NONBLOCK)?;
        }
        // "Unchecked", because a socket (which some languages give their children as stdin and stdout) does just as well as a pipe.
        let input = pipe::Receiver::from_owned_fd_unchecked(input)?;
        Ok(Opened {
            input,
            output: pipe::Sender::from_owned_fd_unchecked(output)?,
            pump,
        })
    }
}

/// Pipes and sockets can be waited for. Files cannot, and a terminal's flags are shared with the shell.
fn can_be_polled(stream: impl AsFd) -> io::Result<bool> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(stream)?.st_mode);
    Ok(matches!(kind, FileType::Fifo | FileType::Socket))
}

fn pumped_in(from: OwnedFd) -> io::Result<OwnedFd> {
    let (reader, mut writer) = io::pipe()?;
    std::thread::spawn(move || io::copy(&mut File::from(from), &mut writer));
    Ok(reader.into())
}

fn pumped_out(to: OwnedFd) -> io::Result<(OwnedFd, Option<JoinHandle<io::Result<u64>>>)> {
    let (mut reader, writer) = io::pipe()?;
    let pump = std::thread::spawn(move || io::copy(&mut reader, &mut File::from(to)));
    Ok((writer.into(), Some(pump)))
}
