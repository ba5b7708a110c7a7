//! What the first bytes of a file tell: whether it can be a program for a platform. Starts nothing.

use std::io::Read;
use std::path::Path;

use crate::error::Failure;
use crate::regular;

/// Says why a file cannot be the executable for a platform; nothing where it can, as far as its first bytes tell.
pub(crate) fn format_problem(path: &Path, platform: &str) -> Result<Option<String>, Failure> {
    let mut head = Vec::new();
    regular::open(path)
        .and_then(|file| file.take(20).read_to_end(&mut head))
        .map_err(|error| Failure::io("read", path, &error))?;
    let (system, arch) = platform.split_once('-').unwrap_or((platform, ""));
    let machine = |low: u8, high: u8| match u16::from_le_bytes([low, high]) {
        0x3e => "x86_64".to_owned(),
        0xb7 => "aarch64".to_owned(),
        0xf3 => "riscv64".to_owned(),
        other => format!("ELF machine {other}"),
    };
    Ok(match head.as_slice() {
        [b'#', b'!', ..] => None,
        [0x7f, b'E', b'L', b'F', ..] if system != "linux" => {
            Some("it is a program for Linux".to_owned())
        }
        [0x7f, b'E', b'L', b'F', .., low, high] => {
            let built = machine(*low, *high);
            (built != arch).then(|| format!("it is a program for {built}"))
        }
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] if system != "macos" => {
            Some("it is a program for macOS".to_owned())
        }
        [0xcf, 0xfa, 0xed, 0xfe, low, _, _, 1, ..] => {
            let built = match low {
                0x07 => "x86_64",
                0x0c => "aarch64",
                _ => "another processor",
            };
            (built != arch).then(|| format!("it is a program for {built}"))
        }
        // One file for several processors.
        [0xca, 0xfe, 0xba, 0xbe, ..] => None,
        _ => Some("it is neither a program nor a script".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_for_which_platform_a_program_is() {
        let elf = |machine: u8| {
            let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
            head.resize(18, 0);
            head.extend([machine, 0]);
            head
        };
        let mach = |processor: u8| vec![0xcf, 0xfa, 0xed, 0xfe, processor, 0, 0, 1, 0, 0, 0, 0];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        for (head, fits) in [
            (b"#!/bin/sh\n".to_vec(), "lx la mx ma"),
            (elf(0x3e), "lx"),
            (elf(0xb7), "la"),
            (mach(0x07), "mx"),
            (mach(0x0c), "ma"),
            (vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2], "mx ma"),
            (b"PK\x03\x04".to_vec(), ""),
            (Vec::new(), ""),
        ] {
            std::fs::write(&path, &head).unwrap();
            let platforms = [
                ("lx", "linux-x86_64"),
                ("la", "linux-aarch64"),
                ("mx", "macos-x86_64"),
                ("ma", "macos-aarch64"),
            ];
            let found: Vec<&str> = platforms
                .into_iter()
                .filter(|(_, platform)| format_problem(&path, platform).unwrap().is_none())
                .map(|(short, _)| short)
                .collect();
            assert_eq!(found.join(" "), fits, "{head:x?}");
        }
    }
}
