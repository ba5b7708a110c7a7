//! Changes to the specification of containers (`machine.baseRuntimeSpecOverrides`), as Talos reads them: written out as JSON and read into the types of
//! the OCI runtime specification 1.2. Fields that those do not have are passed over, and names are found whatever their case.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::document::{Content, Meaning, Node, Scalar};
use super::finding::{Place, push_index, push_key};

/// Each line is a type and its fields. `[x]` is a list and `{x}` a mapping; a capital letter begins the name of a type.
const TABLE: &str = "
Spec ociVersion text, process Process, root Root, hostname text, domainname text, mounts [Mount], hooks Hooks, annotations {text}, linux Linux, solaris Solaris, windows Windows, vm Vm, zos Zos
Process terminal bool, consoleSize Box, user User, args [text], commandLine text, env [text], cwd text, capabilities Capabilities, rlimits [Limit], noNewPrivileges bool, apparmorProfile text, oomScoreAdj i64, scheduler Scheduler, selinuxLabel text, ioPriority IoPriority, execCPUAffinity Affinity
Box height u64, width u64
User uid u32, gid u32, umask u32, additionalGids [u32], username text
Capabilities bounding [text], effective [text], inheritable [text], permitted [text], ambient [text]
Limit type text, hard u64, soft u64
Scheduler policy text, nice i32, priority i32, flags [text], runtime u64, deadline u64, period u64
IoPriority class text, priority i64
Affinity initial text, final text
Root path text, readonly bool
Mount destination text, type text, source text, options [text], uidMappings [IdMapping], gidMappings [IdMapping]
IdMapping containerID u32, hostID u32, size u32
Hooks prestart [Hook], createRuntime [Hook], createContainer [Hook], startContainer [Hook], poststart [Hook], poststop [Hook]
Hook path text, args [text], env [text], timeout i64
Linux uidMappings [IdMapping], gidMappings [IdMapping], sysctl {text}, resources Resources, cgroupsPath text, namespaces [Namespace], devices [Device], seccomp Seccomp, rootfsPropagation text, maskedPaths [text], readonlyPaths [text], mountLabel text, intelRdt IntelRdt, personality Personality, timeOffsets {TimeOffset}
Namespace type text, path text
Device path text, type text, major i64, minor i64, fileMode u32, uid u32, gid u32
TimeOffset secs i64, nanosecs u32
Personality domain text, flags [text]
IntelRdt closID text, l3CacheSchema text, memBwSchema text, enableCMT bool, enableMBM bool
Resources devices [DeviceRule], memory Memory, cpu Cpu, pids Pids, blockIO BlockIo, hugepageLimits [HugepageLimit], network Network, rdma {Rdma}, unified {text}
DeviceRule allow bool, type text, major i64, minor i64, access text
Memory limit i64, reservation i64, swap i64, kernel i64, kernelTCP i64, swappiness u64, disableOOMKiller bool, useHierarchy bool, checkBeforeUpdate bool
Cpu shares u64, quota i64, burst u64, period u64, realtimeRuntime i64, realtimePeriod u64, cpus text, mems text, idle i64
Pids limit i64
BlockIo weight u16, leafWeight u16, weightDevice [Weight], throttleReadBpsDevice [Throttle], throttleWriteBpsDevice [Throttle], throttleReadIOPSDevice [Throttle], throttleWriteIOPSDevice [Throttle]
Weight major i64, minor i64, weight u16, leafWeight u16
Throttle major i64, minor i64, rate u64
HugepageLimit pageSize text, limit u64
Network classID u32, priorities [InterfacePriority]
InterfacePriority name text, priority u32
Rdma hcaHandles u32, hcaObjects u32
Seccomp defaultAction text, defaultErrnoRet u64, architectures [text], flags [text], listenerPath text, listenerMetadata text, syscalls [Syscall]
Syscall names [text], action text, errnoRet u64, args [Argument]
Argument index u64, value u64, valueTwo u64, op text
Solaris milestone text, limitpriv text, maxShmMemory text, anet [Anet], cappedCPU CappedCpu, cappedMemory CappedMemory
Anet linkname text, lowerLink text, allowedAddress text, configureAllowedAddress text, defrouter text, linkProtection text, macAddress text
CappedCpu ncpus text
CappedMemory physical text, swap text
Windows layerFolders [text], devices [WindowsDevice], resources WindowsResources, servicing bool, ignoreFlushesDuringBoot bool, hyperv HyperV, network WindowsNetwork
WindowsDevice id text, idType text
WindowsResources memory WindowsMemory, cpu WindowsCpu, storage WindowsStorage
WindowsMemory limit u64
WindowsCpu count u64, shares u16, maximum u16, affinity [WindowsAffinity]
WindowsAffinity mask u64, group u32
WindowsStorage iops u64, bps u64, sandboxSize u64
HyperV utilityVMPath text
WindowsNetwork endpointList [text], allowUnqualifiedDNSQuery bool, DNSSearchList [text], networkSharedContainerName text, networkNamespace text
Vm hypervisor Hypervisor, kernel Kernel, image Image
Hypervisor path text, parameters [text]
Kernel path text, parameters [text], initrd text
Image path text, format text
Zos namespaces [Namespace]
";

/// The fields of each type, with their names in lower case.
static TYPES: LazyLock<BTreeMap<&'static str, BTreeMap<String, &'static str>>> =
    LazyLock::new(|| {
        let field = |field: &'static str| {
            let (name, form) = field.split_once(' ')?;
            Some((name.to_ascii_lowercase(), form))
        };
        let kind = |line: &'static str| {
            let (name, fields) = line.split_once(' ')?;
            Some((name, fields.split(", ").filter_map(field).collect()))
        };
        TABLE.lines().filter_map(kind).collect()
    });

/// What is wrong with a value, and where.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The way from the section to the value, such as `.linux.resources`.
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) help: String,
}

/// Checks the whole section.
pub(super) fn check(node: &Node) -> Vec<Fault> {
    let mut faults = Vec::new();
    value(node, "Spec", &mut String::new(), &mut faults);
    faults
}

fn value(node: &Node, form: &'static str, path: &mut String, faults: &mut Vec<Fault>) {
    if node.is_null() {
        return;
    }
    let length = path.len();
    match (TYPES.get(form), inner(form), &node.content) {
        (Some(fields), _, Content::Mapping(entries)) => {
            for entry in entries {
                push_key(path, &entry.key);
                match fields.get(&entry.key.to_ascii_lowercase()) {
                    Some(form) => value(&entry.value, form, path, faults),
                    None => finite(&entry.value, path, faults),
                }
                path.truncate(length);
            }
        }
        (None, Some(('[', form)), Content::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                push_index(path, index);
                value(item, form, path, faults);
                path.truncate(length);
            }
        }
        (None, Some(('{', form)), Content::Mapping(entries)) => {
            for entry in entries {
                push_key(path, &entry.key);
                value(&entry.value, form, path, faults);
                path.truncate(length);
            }
        }
        (None, None, Content::Scalar(scalar)) if fits(scalar, form) => {}
        (kind, inner, _) => {
            let expected = match (kind, inner, form) {
                (Some(_), _, _) | (_, Some(('{', _)), _) => "a mapping",
                (_, Some(_), _) => "a list",
                (_, _, "text") => "a text",
                (_, _, "bool") => "`true` or `false`",
                _ => "a whole number",
            };
            faults.push(Fault {
                path: path.clone(),
                place: node.place,
                message: format!("{} stands where {expected} is expected", found(node)),
                help: help(form).to_owned(),
            });
        }
    }
}

fn inner(form: &'static str) -> Option<(char, &'static str)> {
    let first = form.chars().next().filter(|c| ['[', '{'].contains(c))?;
    Some((first, form.get(1..form.len() - 1)?))
}

fn help(form: &str) -> &'static str {
    match form {
        "text" => "write a text; a number or a word such as `true` needs quotes",
        "bool" => "write `true` or `false`, without quotes",
        "u16" => "write a number from 0 to 65535, without quotes",
        "u32" => "write a number from 0 to 4294967295, without quotes",
        "u64" => "write a number from 0 to 18446744073709551615, without quotes",
        "i32" => "write a number from -2147483648 to 2147483647, without quotes",
        "i64" => "write a number of 64 bits, without quotes",
        _ => "the OCI runtime specification 1.2 says what can stand there",
    }
}

/// Whether the JSON of a scalar can be read as a type.
fn fits(scalar: &Scalar, form: &str) -> bool {
    match (form, scalar.meaning) {
        ("text", meaning) => meaning == Meaning::Text,
        ("bool", meaning) => matches!(meaning, Meaning::Bool(_)),
        (form, Meaning::Integer(number)) => in_range(form, number),
        (form, Meaning::Float) => whole(&scalar.text).is_some_and(|number| in_range(form, number)),
        _ => false,
    }
}

/// A float is written as JSON without a fraction where it has none, and with an exponent where it is very large.
fn whole(text: &str) -> Option<i128> {
    let number: f64 = text.replace('_', "").parse().ok()?;
    (number.fract() == 0.0 && number.abs() < 1e21).then(|| format!("{number:.0}").parse().ok())?
}

fn in_range(form: &str, number: i128) -> bool {
    match form {
        "u16" => u16::try_from(number).is_ok(),
        "u32" => u32::try_from(number).is_ok(),
        "u64" => u64::try_from(number).is_ok(),
        "i32" => i32::try_from(number).is_ok(),
        _ => i64::try_from(number).is_ok(),
    }
}

fn found(node: &Node) -> String {
    match &node.content {
        Content::List(_) => "a list".into(),
        Content::Mapping(_) => "a mapping".into(),
        Content::Scalar(scalar) => match scalar.meaning {
            Meaning::Text => format!("the text `{}`", super::decode::short(&scalar.text)),
            Meaning::Bool(value) => format!("`{value}`"),
            Meaning::Null => "nothing".into(),
            Meaning::Integer(_) | Meaning::Float => {
                format!("the number `{}`", super::decode::short(&scalar.text))
            }
        },
    }
}

/// JSON has neither infinity nor what is no number, wherever they stand.
fn finite(node: &Node, path: &mut String, faults: &mut Vec<Fault>) {
    let length = path.len();
    match &node.content {
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                push_index(path, index);
                finite(item, path, faults);
                path.truncate(length);
            }
        }
        Content::Mapping(entries) => {
            for entry in entries {
                push_key(path, &entry.key);
                finite(&entry.value, path, faults);
                path.truncate(length);
            }
        }
        Content::Scalar(scalar) => {
            let text = scalar.text.trim_start_matches(['+', '-']);
            let endless = scalar.meaning == Meaning::Float
                && [".inf", ".nan"].contains(&text.to_ascii_lowercase().as_str());
            if endless {
                faults.push(Fault {
                    path: path.clone(),
                    place: node.place,
                    message: format!("`{}` cannot be written as JSON", scalar.text),
                    help: "write a number".into(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_table_is_there() {
        let plain = ["text", "bool", "u16", "u32", "u64", "i32", "i64"];
        for (kind, fields) in TYPES.iter() {
            for (field, form) in fields {
                let form = form.trim_matches(['[', ']', '{', '}']);
                assert!(
                    plain.contains(&form) || TYPES.contains_key(form),
                    "{kind}.{field}: {form}"
                );
            }
        }
        assert_eq!(TYPES.len(), TABLE.lines().count() - 1);
    }
}
