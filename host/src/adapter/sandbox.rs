//! The sandbox of adapters: each reads what it needs to run, writes to its scratch directory, and connects to the TCP ports that its manifest
//! declares, enforced by the kernel (Landlock). What a kernel cannot enforce is left out and said by `ztc doctor` and `ztc plugins info`.
//!
//! A process can only confine itself, so `ztc` starts itself as `ztc __sandboxed OPTIONS -- PROGRAM ARGUMENTS`, confines itself and becomes
//! the adapter. What is not covered: UDP (so that names can be looked up), sockets in the file system, and which host a port is on.

#[cfg_attr(not(target_os = "linux"), path = "sandbox/elsewhere.rs")]
mod kernel;
mod reach;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::adapter::grant::Grant;
use crate::adapter::keeper::Heir;
use crate::adapter::verified::Verified;
use crate::adapter::{builtin, keeper, process};
use crate::error::Failure;

/// The hidden first argument with which `ztc` confines itself and becomes an adapter.
pub(crate) const ARGUMENT: &str = "__sandboxed";

/// What this kernel can enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Support {
    /// Files and TCP.
    Full,
    /// Files only.
    Files,
    /// Nothing.
    None,
}

impl Support {
    /// Asks the kernel.
    pub(crate) fn of_this_kernel() -> Self {
        kernel::support()
    }

    /// Says what adapters are confined to.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Full => {
                "Landlock: adapters write to their scratch directory and connect to declared ports only; stages run as you"
            }
            Self::Files => {
                "Landlock for files only: adapters write to their scratch directory only, but connect to any port (before Linux 6.7); stages run as you"
            }
            Self::None => {
                "this kernel has no Landlock: adapters can read and write what you can, and connect to any port"
            }
        }
    }
}

/// The sandbox of the adapters of one command.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    support: Support,
    /// Directories that must not become readable only because a program lies in them.
    closed: Vec<PathBuf>,
}

impl Sandbox {
    /// Makes it for adapters of a repository; nothing where the kernel has none.
    pub(crate) fn new(repository: &Path) -> Option<Self> {
        let support = Support::of_this_kernel();
        let closed = [
            Some(repository.to_owned()),
            Some(std::env::temp_dir()),
            dirs::home_dir(),
        ];
        (support != Support::None).then(|| Self {
            support,
            closed: closed.into_iter().flatten().collect(),
        })
    }

    /// Whether ports can be refused.
    pub(crate) fn has_network(&self) -> bool {
        self.support == Support::Full
    }

    /// Returns the rules as arguments, up to the `--` before a program.
    pub(crate) fn arguments(
        &self,
        scratch: &Path,
        grant: &Grant,
        sha256: Option<&str>,
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--scratch".into(), scratch.into()];
        for directory in &self.closed {
            arguments.extend(["--closed".into(), directory.into()]);
        }
        for port in &grant.ports {
            arguments.extend(["--port".into(), port.to_string().into()]);
        }
        for program in &grant.programs {
            arguments.extend(["--program".into(), program.into()]);
        }
        if let Some(sha256) = sha256 {
            arguments.extend(["--sha256".into(), sha256.into()]);
        }
        arguments.push("--".into());
        arguments
    }
}

/// What one adapter may do.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rules {
    scratch: PathBuf,
    closed: Vec<PathBuf>,
    ports: Vec<u16>,
    /// Programs that it may start beside those of the system.
    programs: Vec<PathBuf>,
    /// The only bytes that may run.
    sha256: Option<String>,
}

impl Rules {
    /// Reads them from arguments; what follows them is a program and its arguments.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Option<(Self, Vec<OsString>)> {
        let mut rules = Self::default();
        loop {
            let option = arguments.next()?;
            match option.to_str()? {
                "--scratch" => rules.scratch = arguments.next()?.into(),
                "--closed" => rules.closed.push(arguments.next()?.into()),
                "--sha256" => rules.sha256 = Some(arguments.next()?.into_string().ok()?),
                "--program" => rules.programs.push(arguments.next()?.into()),
                "--port" => rules.ports.push(arguments.next()?.to_str()?.parse().ok()?),
                "--" => break,
                _ => return None,
            }
        }
        let program: Vec<OsString> = arguments.collect();
        (!program.is_empty()).then_some((rules, program))
    }
}

/// Confines this process and becomes the adapter. Returns only where that fails, or where the adapter was a built-in and has ended.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some((rules, program)) = Rules::parse(arguments) else {
        return complain("its arguments have another form");
    };
    let own = std::env::current_exe().unwrap_or_default();
    let built_in = program[0] == builtin::ARGUMENT;
    let mut readable = if built_in {
        reach::of_this_program(own)
    } else {
        reach::of_program(Path::new(&program[0]), &rules.closed)
    };
    // Asked before: afterwards not even this program can be read.
    let runnable = if built_in || rules.sha256.is_some() {
        Ok(())
    } else {
        keeper::runnable(Path::new(&program[0]))
    };
    let verified = rules
        .sha256
        .as_ref()
        .map(|sha256| Verified::open(Path::new(&program[0]), sha256, &rules.scratch))
        .transpose();
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => return keeper::tell_error(&error),
    };
    for program in &rules.programs {
        readable.extend(reach::of_program(program, &rules.closed));
    }
    let heir = built_in.then(Heir::appoint).flatten();
    if let Err(why) = kernel::restrict(&readable, &rules.scratch, &rules.ports) {
        return complain(&format!("the sandbox cannot be made: {why}"));
    }
    let mut program = program.into_iter();
    let first = program.next().unwrap_or_default();
    if built_in {
        return builtin::run_confined(program, heir)
            .unwrap_or_else(|| complain("there is no such built-in adapter"));
    }
    let error = match (&verified, runnable) {
        (Some(verified), _) => verified.run(program),
        (None, Ok(())) => process::become_program(&first, program),
        (None, Err(error)) => error,
    };
    keeper::tell_error(&error)
}

fn complain(why: &str) -> ExitCode {
    keeper::tell_error(&std::io::Error::other(why.to_owned()))
}

/// What a refusal by the sandbox reads like in what adapters say.
const REFUSALS: [&str; 5] = [
    "permission denied",
    "permissionerror",
    "eacces",
    "os error 13",
    "operation not permitted",
];

/// Adds what the sandbox allows to a failure that reads as if the sandbox had refused something.
pub(crate) fn explain(failure: Failure, ports: &[u16]) -> Failure {
    let said = std::iter::once(&failure.message)
        .chain(&failure.details)
        .chain(failure.findings.iter().map(|finding| &finding.message));
    let mut lines = said.map(|line| (line, line.to_lowercase()));
    let Some(line) = lines
        .find(|(_, lower)| REFUSALS.iter().any(|words| lower.contains(words)))
        .map(|(line, _)| line.trim().to_owned())
    else {
        return failure;
    };
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let connects = match ports.as_slice() {
        [] => "connects nowhere".to_owned(),
        [port] => format!("connects to TCP port {port} only"),
        ports => format!("connects to the TCP ports {} only", ports.join(", ")),
    };
    let help = "an adapter declares the ports it needs in `network` of its manifest; add `--no-sandbox` to run it once without the sandbox";
    let what = match failure.message == line {
        true => String::new(),
        false => format!("`{line}` was "),
    };
    let failure = failure.detail(format!(
        "{what}probably refused by the sandbox, in which an adapter reads the system's programs, libraries and certificates and writes to its scratch directory; this one {connects}"
    ));
    match failure.help {
        Some(_) => failure.detail(help),
        None => failure.help(help),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_arguments_is_read_as_rules() {
        let sandbox = Sandbox {
            support: Support::Full,
            closed: vec!["/repo".into(), "/tmp".into()],
        };
        let grant = Grant {
            ports: vec![443, 8443],
            programs: vec!["/opt/bin/helm".into()],
            ..Grant::default()
        };
        let mut written = sandbox.arguments(Path::new("/tmp/s"), &grant, Some("ab"));
        written.extend(["/opt/bgp".into(), "--ztc-adapter".into()]);
        let expected = Rules {
            scratch: "/tmp/s".into(),
            closed: vec!["/repo".into(), "/tmp".into()],
            ports: vec![443, 8443],
            programs: vec!["/opt/bin/helm".into()],
            sha256: Some("ab".into()),
        };
        let program = ["/opt/bgp", "--ztc-adapter"].map(OsString::from);
        assert_eq!(
            Rules::parse(written.into_iter()),
            Some((expected, program.into()))
        );
        let nonsense = ["--port", "x", "--", "a"].map(OsString::from);
        assert_eq!(Rules::parse(nonsense.into_iter()), None);
        assert_eq!(Rules::parse(["--".into()].into_iter()), None);
    }

    #[test]
    fn only_what_reads_like_a_refusal_is_explained() {
        let failure =
            || Failure::failed("adapter `bgp`: cannot connect: Permission denied (os error 13)");
        let explained = explain(failure(), &[443]);
        assert_eq!(
            (explained.details, explained.help),
            (
                vec!["probably refused by the sandbox, in which an adapter reads the system's programs, libraries and certificates and writes to its scratch directory; this one connects to TCP port 443 only".to_owned()],
                Some("an adapter declares the ports it needs in `network` of its manifest; add `--no-sandbox` to run it once without the sandbox".to_owned())
            )
        );
        let crashed =
            Failure::failed("adapter `bgp` ended").detail("  PermissionError: [Errno 13]");
        let crashed = explain(crashed.help("report it"), &[]);
        let start = crashed.details[1].split(',').next();
        let expected = "`PermissionError: [Errno 13]` was probably refused by the sandbox";
        assert_eq!(
            (start, crashed.help.as_deref()),
            (Some(expected), Some("report it"))
        );
        assert_eq!(crashed.details.len(), 3);
        let other = explain(Failure::failed("adapter `bgp`: no such server"), &[443]);
        assert_eq!((other.details, other.help), (Vec::new(), None));
    }
}
