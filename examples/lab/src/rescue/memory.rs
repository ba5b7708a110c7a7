//! The memory of a rescue system: small files below `/run` that last until the next boot, and the programs that pass bytes on. In truth the
//! files lie beside the machine's disk file, under names that cannot lead anywhere else.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Failure, Machine};
use crate::say;
use crate::wire::RescueEvent;

/// Forgets everything, as a boot does.
pub(crate) fn forget(disk: &Path) {
    // A machine whose memory was never used has none.
    let _ = std::fs::remove_dir_all(directory(disk));
}

fn directory(disk: &Path) -> PathBuf {
    disk.with_file_name("memory")
}

/// Where a file of the memory lies; nothing for every other path.
fn place(disk: &Path, path: &str) -> Option<PathBuf> {
    let name = path.strip_prefix("/run/")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (!name.is_empty() && name.bytes().all(plain)).then(|| directory(disk).join(name))
}

/// Prints a file of the memory.
pub(super) fn cat(machine: &Machine, arguments: &[String]) -> Result<(), Failure> {
    for path in arguments {
        let read = place(&machine.disk, path).and_then(|file| std::fs::read_to_string(file).ok());
        match read {
            Some(text) => say::out(text),
            None => {
                return Err(Failure(
                    format!("cat: {path}: No such file or directory"),
                    1,
                ));
            }
        }
    }
    Ok(())
}

/// Passes its input on, and a copy of it to a file of the memory or to a pipe of the shell.
pub(super) fn tee(machine: &Machine, arguments: &[String]) -> Result<(), Failure> {
    let mut copies = Vec::new();
    for path in arguments.iter().filter(|word| *word != "-p") {
        copies.push(open(machine, path)?);
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut input = std::io::stdin().lock();
    let mut output = Some(std::io::stdout().lock());
    loop {
        let failed = |problem: std::io::Error| Failure(format!("tee: {problem}"), 1);
        let length = input.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            return output.map_or(Ok(()), |mut output| output.flush().map_err(failed));
        }
        for copy in &mut copies {
            copy.write_all(&buffer[..length]).map_err(failed)?;
        }
        // As with `-p`, the copies are made also where nobody reads the rest.
        output = output.and_then(|mut output| {
            let written = output.write_all(&buffer[..length]);
            written.is_ok().then_some(output)
        });
    }
}

fn open(machine: &Machine, path: &str) -> Result<File, Failure> {
    let refused = |why: &str| Failure(format!("tee: {path}: {why}"), 1);
    if let Some(file) = place(&machine.disk, path) {
        return std::fs::create_dir_all(directory(&machine.disk))
            .and_then(|()| File::create(file))
            .map_err(|problem| refused(&problem.to_string()));
    }
    let number = path.strip_prefix("/dev/fd/");
    let is_number = number.is_some_and(|number| number.parse::<u8>().is_ok());
    // The shell may hold files open for reading, and opening one anew could write to it: only pipes will do.
    let is_pipe =
        is_number && std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo());
    if is_pipe {
        let opened = File::options().write(true).open(path);
        return opened.map_err(|problem| refused(&problem.to_string()));
    }
    machine.tell(&RescueEvent::Violation(format!("`tee` to `{path}`")))?;
    Err(refused("the lab's tee writes below /run and to pipes only"))
}

/// Prints the digest of its input.
pub(super) fn sha256sum(arguments: &[String]) -> Result<(), Failure> {
    if let Some(word) = arguments.first() {
        let text = format!("sha256sum: the lab's only reads standard input: `{word}` is too much");
        return Err(Failure(text, 1));
    }
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut input = std::io::stdin().lock();
    loop {
        let length = input
            .read(&mut buffer)
            .map_err(|problem| Failure(format!("sha256sum: {problem}"), 1))?;
        if length == 0 {
            break;
        }
        digest.update(&buffer[..length]);
    }
    let digits: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    say::line(format_args!("{digits}  -"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_below_run_are_in_the_memory() {
        let disk = Path::new("/world/nodes/cp01/disk.raw");
        assert_eq!(
            place(disk, "/run/ztc-install"),
            Some("/world/nodes/cp01/memory/ztc-install".into())
        );
        for path in [
            "/run/",
            "/run/../disk.raw",
            "/run/a/b",
            "/run/.x",
            "/etc/passwd",
            "run/x",
            "",
        ] {
            assert_eq!(place(disk, path), None, "{path}");
        }
    }
}
