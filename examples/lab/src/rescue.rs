//! The programs of a simulated rescue system. They know one disk, `/dev/sda`, which is a file of the lab; anything else is refused and reported.

mod curl;
mod dd;
mod memory;

use std::io::{BufReader, Read, Write};
use std::path::PathBuf;

use crate::wire::RescueEvent;
use crate::{client, image, say, shell};

pub(crate) use memory::forget;

/// The only disk.
const DISK: &str = "/dev/sda";

/// Whose program this is.
#[derive(Debug)]
struct Machine {
    control: String,
    tools: PathBuf,
    disk: PathBuf,
    host_name: String,
}

/// Why a program fails: what it prints, and its exit code.
#[derive(Debug, PartialEq, Eq)]
struct Failure(String, u8);

impl Machine {
    /// Tells the world; `false`: what was announced must fail.
    fn tell(&self, event: &RescueEvent) -> Result<bool, Failure> {
        client::post(&self.control, event).map_err(|problem| Failure(problem, 1))
    }

    /// Tells the world what nothing can prevent.
    fn announce(&self, event: &RescueEvent) -> Result<(), Failure> {
        self.tell(event).map(|_| ())
    }

    /// Refuses a device that is not the machine's disk.
    fn check_device(&self, tool: &str, device: &str) -> Result<(), Failure> {
        if device == DISK {
            return Ok(());
        }
        self.tell(&RescueEvent::Violation(format!(
            "`{tool}` of `{device}`, which is not `{DISK}`"
        )))?;
        Err(Failure(
            format!(
                "{tool}: cannot open '{device}': No such file or directory (the lab has only {DISK})"
            ),
            1,
        ))
    }
}

/// Runs a program: control address, tools, disk, host name, program, arguments. Returns the exit code.
pub fn run(words: &[String]) -> u8 {
    let [control, tools, disk, host_name, tool, arguments @ ..] = words else {
        say::error("this is a part of the lab and not meant to be called");
        return 2;
    };
    let machine = Machine {
        control: control.clone(),
        tools: tools.into(),
        disk: disk.into(),
        host_name: host_name.clone(),
    };
    match dispatch(&machine, tool, arguments) {
        Ok(code) => code,
        Err(Failure(text, code)) => {
            say::error(text);
            code
        }
    }
}

fn dispatch(machine: &Machine, tool: &str, arguments: &[String]) -> Result<u8, Failure> {
    match tool {
        "hostname" => say::line(&machine.host_name),
        "lsblk" => lsblk(machine, arguments)?,
        "blkdiscard" => blkdiscard(machine, arguments)?,
        "cat" => memory::cat(machine, arguments)?,
        "dd" => dd::run(machine, arguments)?,
        "curl" => curl::run(arguments)?,
        "xz" => xz(arguments)?,
        "sha256sum" => memory::sha256sum(arguments)?,
        "sync" => {}
        "tee" => memory::tee(machine, arguments)?,
        "reboot" => machine.announce(&RescueEvent::Reboot)?,
        "poweroff" => machine.announce(&RescueEvent::PowerOff)?,
        "shutdown" if arguments.iter().any(|word| word == "-r") => {
            machine.announce(&RescueEvent::Reboot)?;
        }
        "shutdown" => machine.announce(&RescueEvent::PowerOff)?,
        "bash" => return bash(machine, arguments),
        other => return Err(Failure(format!("{other}: command not found"), 127)),
    }
    Ok(0)
}

fn lsblk(machine: &Machine, arguments: &[String]) -> Result<(), Failure> {
    for device in arguments.iter().filter(|word| word.starts_with('/')) {
        machine.check_device("lsblk", device)?;
    }
    if arguments.iter().any(|word| word == "-o") {
        say::line("NAME     SIZE TYPE FSTYPE LABEL MOUNTPOINT MODEL");
        say::line("sda    152.6G disk                         QEMU HARDDISK");
        // What of the disk's contents a look at the beginning of its partitions tells.
        let partitions: &[&str] = match image::inspect(&machine.disk) {
            image::Contents::OldSystem => &[
                "sda1   152.3G part ext4   root             ",
                "sda15    256M part vfat   EFI              ",
            ],
            image::Contents::Talos(_) => &[
                "sda1     100M part vfat   EFI              ",
                "sda3    1000M part xfs    BOOT             ",
                "sda4       1M part        META             ",
            ],
            image::Contents::Nothing => &[],
        };
        partitions.iter().for_each(say::line);
    } else {
        say::line("NAME   MAJ:MIN RM   SIZE RO TYPE MOUNTPOINTS");
        say::line("sda      8:0    0 152.6G  0 disk ");
    }
    Ok(())
}

fn blkdiscard(machine: &Machine, arguments: &[String]) -> Result<(), Failure> {
    let mut devices = arguments.iter().filter(|word| !word.starts_with('-'));
    let device = devices
        .next()
        .ok_or_else(|| Failure("blkdiscard: no device specified".into(), 1))?;
    machine.check_device("blkdiscard", device)?;
    machine.tell(&RescueEvent::Discarded)?;
    image::discard(&machine.disk)
        .map_err(|problem| Failure(format!("blkdiscard: {device}: {problem}"), 1))
}

fn xz(arguments: &[String]) -> Result<(), Failure> {
    let known = [
        "-d",
        "-c",
        "-dc",
        "-cd",
        "--decompress",
        "--stdout",
        "--to-stdout",
        "-q",
        "-T0",
    ];
    if let Some(word) = arguments
        .iter()
        .find(|word| !known.contains(&word.as_str()))
    {
        return Err(Failure(
            format!("xz: the lab's xz only unpacks from standard input: `{word}` is too much"),
            1,
        ));
    }
    let mut packed = Vec::new();
    let mut input = BufReader::new(std::io::stdin());
    input
        .read_to_end(&mut packed)
        .map_err(|problem| Failure(format!("xz: (stdin): {problem}"), 1))?;
    let mut unpacked = Vec::new();
    lzma_rs::xz_decompress(&mut packed.as_slice(), &mut unpacked)
        .map_err(|_| Failure("xz: (stdin): Unexpected end of input".into(), 1))?;
    std::io::stdout()
        .write_all(&unpacked)
        .map_err(|problem| Failure(format!("xz: (stdout): {problem}"), 1))
}

/// A shell in the shell: as restricted as the first.
fn bash(machine: &Machine, arguments: &[String]) -> Result<u8, Failure> {
    let [flag, command, ..] = arguments else {
        return Err(Failure(
            "bash: the lab's bash only knows -c COMMAND".into(),
            2,
        ));
    };
    if flag != "-c" {
        return Err(Failure(
            format!("bash: the lab's bash only knows -c COMMAND, not `{flag}`"),
            2,
        ));
    }
    let failed = |problem: std::io::Error| Failure(format!("bash: {problem}"), 127);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let home = machine.disk.parent().unwrap_or(&machine.tools).join("home");
    let status = runtime.block_on(async {
        let mut shell = shell::restricted(command, &machine.tools, &home)
            .ok_or(std::io::ErrorKind::NotFound)?;
        shell.status().await
    });
    Ok(status
        .map_err(failed)?
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}
