//! `dd` onto the machine's disk file: from standard input, in blocks, leaving out empty ones with `conv=sparse` as the real one does.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use super::{Failure, Machine};
use crate::say;
use crate::wire::RescueEvent;

/// Where a full disk ends.
const FULL: u64 = 6 * 1024 * 1024;

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    output: String,
    block: usize,
    sparse: bool,
    quiet: bool,
}

/// Runs `dd`.
pub(super) fn run(machine: &Machine, arguments: &[String]) -> Result<(), Failure> {
    let plan = plan(arguments)?;
    machine.check_device("dd", &plan.output)?;
    let whole = machine.tell(&RescueEvent::Writing)?;
    let end = if whole { u64::MAX } else { FULL };
    let failed = |problem: std::io::Error| {
        Failure(format!("dd: error writing '{}': {problem}", plan.output), 1)
    };
    let mut disk = File::options()
        .write(true)
        .open(&machine.disk)
        .map_err(failed)?;
    let copied = copy(&mut std::io::stdin().lock(), &mut disk, &plan, end).map_err(failed)?;
    if copied.bytes > 0 {
        machine.announce(&RescueEvent::Written)?;
    }
    if !plan.quiet {
        let Copied {
            full,
            partial,
            bytes,
        } = copied;
        say::error(format_args!(
            "{full}+{partial} records in\n{full}+{partial} records out\n{bytes} bytes copied"
        ));
    }
    Ok(())
}

/// How much was copied.
#[derive(Debug, Default, PartialEq, Eq)]
struct Copied {
    full: u64,
    partial: u64,
    bytes: u64,
}

/// Copies blocks; fails as a full disk does when it comes to `end`.
fn copy(
    input: &mut impl Read,
    disk: &mut (impl Write + Seek),
    plan: &Plan,
    end: u64,
) -> std::io::Result<Copied> {
    let mut copied = Copied::default();
    loop {
        let mut block = Vec::with_capacity(plan.block);
        let length = input
            .by_ref()
            .take(plan.block as u64)
            .read_to_end(&mut block)?;
        if length == 0 {
            return Ok(copied);
        }
        if copied.bytes + length as u64 > end {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        if plan.sparse && block.iter().all(|byte| *byte == 0) {
            disk.seek(SeekFrom::Current(i64::try_from(length).unwrap_or(i64::MAX)))?;
        } else {
            disk.write_all(&block)?;
        }
        let count = if length == plan.block {
            &mut copied.full
        } else {
            &mut copied.partial
        };
        *count += 1;
        copied.bytes += length as u64;
    }
}

fn plan(arguments: &[String]) -> Result<Plan, Failure> {
    let mut plan = Plan {
        output: String::new(),
        block: 512,
        sparse: false,
        quiet: false,
    };
    for word in arguments {
        match word.split_once('=') {
            Some(("of", value)) => plan.output = value.into(),
            Some(("bs" | "ibs" | "obs", value)) => {
                plan.block = size(value)
                    .ok_or_else(|| Failure(format!("dd: invalid number: '{value}'"), 1))?;
            }
            Some(("conv", value)) => plan.sparse = value.split(',').any(|part| part == "sparse"),
            Some(("status", value)) => plan.quiet = value == "none",
            Some(("oflag" | "iflag", _)) => {}
            _ => {
                return Err(Failure(
                    format!(
                        "dd: the lab's dd only writes standard input to a disk: `{word}` is too much"
                    ),
                    1,
                ));
            }
        }
    }
    if plan.output.is_empty() {
        return Err(Failure(
            "dd: the lab's dd only writes to a disk: of= is missing".into(),
            1,
        ));
    }
    Ok(plan)
}

fn size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1,
        "K" | "k" => 1024,
        "M" => 1024 * 1024,
        _ => return None,
    };
    // Larger blocks would only cost memory here.
    digits
        .parse::<usize>()
        .ok()
        .filter(|number| *number > 0)
        .map(|number| number.saturating_mul(factor).min(16 * 1024 * 1024))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::image::{self, Contents, Image};

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn empty_blocks_leave_what_was_there() {
        let plan = plan(&words("of=/dev/sda bs=4 conv=sparse,fsync status=none")).unwrap();
        let mut disk = Cursor::new(b"oldoldoldold".to_vec());
        let copied = copy(
            &mut b"newn\0\0\0\0new".as_slice(),
            &mut disk,
            &plan,
            u64::MAX,
        )
        .unwrap();
        assert_eq!(
            copied,
            Copied {
                full: 2,
                partial: 1,
                bytes: 11
            }
        );
        assert_eq!(disk.into_inner().as_slice(), b"newnldolnewd".as_slice());
    }

    #[test]
    fn an_image_with_holes_boots_only_from_a_disk_that_was_wiped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let image = Image::from_path(&"0".repeat(64), "v1.11.5", "hcloud-amd64.raw.xz").unwrap();
        let plan = plan(&words("of=/dev/sda bs=4M conv=sparse")).unwrap();
        image::old_disk(&path).unwrap();
        let write = || {
            let mut disk = File::options().write(true).open(&path).unwrap();
            copy(&mut image.raw().as_slice(), &mut disk, &plan, u64::MAX).unwrap();
            image::inspect(&path)
        };
        assert_eq!(write(), Contents::Nothing);
        image::discard(&path).unwrap();
        assert_eq!(write(), Contents::Talos(image.clone()));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let plan = plan(&words("of=/dev/sda bs=4")).unwrap();
        let problem = copy(
            &mut b"12345678".as_slice(),
            &mut Cursor::new(Vec::new()),
            &plan,
            6,
        )
        .unwrap_err();
        assert_eq!(problem.kind(), std::io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_dd_could_do_besides_is_refused() {
        for text in [
            "if=/dev/zero of=/dev/sda",
            "bs=4M",
            "of=/dev/sda bs=0",
            "of=/dev/sda bs=1Q",
            "--help",
        ] {
            assert!(plan(&words(text)).is_err(), "{text}");
        }
        assert_eq!(
            plan(&words("of=/dev/sda bs=4M")).unwrap(),
            Plan {
                output: "/dev/sda".into(),
                block: 4_194_304,
                sparse: false,
                quiet: false
            }
        );
    }
}
