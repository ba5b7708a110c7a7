//! The files that a world writes: stand-ins, the machines' tools, `ssh_config`, `answers.yaml`, `world.json`. Only below its directory.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::node::Node;
use crate::world::{Info, WorldError, file_error};

/// What a rescue system has; the old system only knows its name.
const RESCUE_TOOLS: [&str; 14] = [
    "bash",
    "blkdiscard",
    "cat",
    "curl",
    "dd",
    "hostname",
    "lsblk",
    "poweroff",
    "reboot",
    "sha256sum",
    "shutdown",
    "sync",
    "tee",
    "xz",
];

/// The directories in which a machine's shells run.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// The rescue system's programs.
    pub(crate) rescue: PathBuf,
    /// The old system's programs.
    pub(crate) old: PathBuf,
    /// An empty directory.
    pub(crate) home: PathBuf,
}

/// Where a machine's files are.
pub(crate) fn node_directory(info: &Info, name: &str) -> PathBuf {
    info.directory.join("nodes").join(name)
}

/// Writes a machine's tools.
pub(crate) fn rescue_tools(
    info: &Info,
    executable: &Path,
    node: &Node,
) -> Result<Tools, WorldError> {
    let place = node_directory(info, &node.name);
    let tools = Tools {
        rescue: place.join("rescue"),
        old: place.join("old"),
        home: place.join("home"),
    };
    for directory in [&tools.rescue, &tools.old, &tools.home] {
        fs::create_dir_all(directory).map_err(file_error(directory))?;
    }
    let control = format!("{}/rescue/{}", info.control, node.name);
    let systems = [
        (&tools.rescue, "rescue".to_owned(), &RESCUE_TOOLS[..]),
        (&tools.old, format!("{}-old", node.name), &["hostname"]),
    ];
    for (directory, host, names) in systems {
        for name in names {
            let words = [
                executable.to_string_lossy(),
                "__rescue".into(),
                control.as_str().into(),
                directory.to_string_lossy(),
                node.disk.to_string_lossy(),
                host.as_str().into(),
                (*name).into(),
            ];
            script(
                &directory.join(name),
                &words.map(|word| quote(&word)).join(" "),
            )?;
        }
    }
    Ok(tools)
}

/// Writes everything that does not belong to one machine.
pub(crate) fn write(info: &Info, executable: &Path, port: u16) -> Result<(), WorldError> {
    for directory in [&info.bin, &info.repository] {
        fs::create_dir_all(directory).map_err(file_error(directory))?;
    }
    for tool in ["talosctl", "kubectl"] {
        let words = [
            executable.to_string_lossy(),
            format!("__{tool}").into(),
            info.control.as_str().into(),
        ];
        script(
            &info.bin.join(tool),
            &words.map(|word| quote(&word)).join(" "),
        )?;
    }
    let ssh = format!(
        "# The simulated servers listen on this port instead of 22.\nHost *\n    Port {port}\n    ControlMaster no\n    ControlPath none\n"
    );
    put(&info.ssh_config, &ssh)?;
    put(&info.answers, &answers(info))?;
    put(
        &info.directory.join("world.json"),
        &crate::world::line(info),
    )
}

/// The answers for `ztc init`.
fn answers(info: &Info) -> String {
    let mut text = String::from("apiVersion: ztc/v1\nenvironment: lab\nadapters:\n");
    let ips: Vec<&str> = info.nodes.iter().map(|node| node.ip.as_str()).collect();
    let first = ips.first().copied().unwrap_or_default();
    let operators = info.nodes.len().min(2);
    let lines = [
        "  hetzner:".to_owned(),
        "    version: v1".into(),
        "    api_token: {from: env, name: HCLOUD_TOKEN}".into(),
        format!("    server_ips: [{}]", ips.join(", ")),
        "    ssh_config: ssh_config".into(),
        "  cilium:".into(),
        "    version: v1.18.5".into(),
        format!("    operator_replicas: {operators}"),
        "  talos:".into(),
        "    version: v1.11.5".into(),
        format!("    cluster_name: {}", info.cluster_name),
        format!("    cluster_endpoint: https://{first}:6443"),
        format!("    factory_url: {}", info.factory_url),
        "    nodes:".into(),
    ];
    text.push_str(&lines.join("\n"));
    for node in &info.nodes {
        let _ = write!(
            text,
            "\n      - {{name: {}, ip: {}, role: {}}}",
            node.name, node.ip, node.role
        );
    }
    text.push('\n');
    text
}

fn put(path: &Path, text: &str) -> Result<(), WorldError> {
    fs::write(path, text).map_err(file_error(path))
}

fn script(path: &Path, command: &str) -> Result<(), WorldError> {
    put(path, &format!("#!/bin/sh\nexec {command} \"$@\"\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(file_error(path))
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
