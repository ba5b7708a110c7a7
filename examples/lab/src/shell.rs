//! The shell of the simulated machines: a real bash that can reach nothing of the machine that the lab runs on.
//!
//! Scripts that write disks run in it, maybe as root, so this is what keeps them off real devices:
//! - bash is restricted (`-r`): no command with a slash in its name, no other PATH, no output redirected to a file, no `exec` of another program;
//! - PATH is one directory of the lab's own programs, which open no file but their machine's disk file ([`crate::rescue`]);
//! - builtins that write files or signal processes are disabled, and a restricted shell cannot enable them again;
//! - the environment is empty, and what could load code into the lab's programs cannot be set.

use std::path::Path;

use tokio::process::Command;

use crate::process;

/// `history -w` writes files, `kill` reaches processes outside, `source` and `enable` bring in code; `BASH_CMDS` could name other programs.
const PRELUDE: &str = "\
enable -n history fc kill source . suspend ulimit bind disown
unset BASH_CMDS BASH_ALIASES
readonly LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH
";

/// Prepares a shell that runs a command with these tools. `None`: the machine has no bash.
pub(crate) fn restricted(command: &str, tools: &Path, home: &Path) -> Option<Command> {
    let mut shell = process::program(process::find("bash")?);
    shell
        .arg("-r")
        .arg("-c")
        .arg(format!("{PRELUDE}{command}"))
        .current_dir(home)
        .env_clear()
        .env("PATH", tools);
    Some(shell)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn nothing_outside_can_be_reached() {
        let directory = tempfile::tempdir().unwrap();
        let (tools, home) = (
            directory.path().join("tools"),
            directory.path().join("home"),
        );
        fs::create_dir(&tools).unwrap();
        fs::create_dir(&home).unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        fs::write(home.join("code"), "echo loaded").unwrap();
        let tool = tools.join("tool");
        fs::write(&tool, "#!/bin/sh\necho tool${LD_PRELOAD-}\n").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        let victim = victim.display();
        for hostile in [
            format!("echo x > {victim}"),
            format!("echo x >> {victim}"),
            format!("echo x >| {victim}"),
            format!("exec 3<> {victim}"),
            format!("echo x &> {victim}"),
            format!("history -s x; history -w {victim}"),
            "echo x > victim".into(),
            "/bin/ls".into(),
            "../tools/tool".into(),
            "ls".into(),
            "cd /".into(),
            "PATH=/bin; ls".into(),
            "PATH=/bin ls".into(),
            "export PATH=/bin; ls".into(),
            "unset PATH; ls".into(),
            "command -p ls".into(),
            "exec tool".into(),
            "set +r".into(),
            "shopt -u restricted_shell; /bin/ls".into(),
            "enable kill; kill -0 $$".into(),
            "kill -0 $$".into(),
            "builtin kill -0 $$".into(),
            "hash -p /bin/ls ls; ls".into(),
            "BASH_CMDS[ls]=/bin/ls; ls".into(),
            ". code".into(),
            "source code".into(),
            "source /etc/profile".into(),
            "declare +r LD_PRELOAD".into(),
        ] {
            let output = restricted(&hostile, &tools, &home)
                .unwrap()
                .output()
                .await
                .unwrap();
            assert!(!output.status.success(), "`{hostile}` succeeded");
            assert!(
                !String::from_utf8_lossy(&output.stdout).contains("loaded"),
                "`{hostile}` ran code"
            );
            assert_eq!(
                fs::read_to_string(victim.to_string()).unwrap(),
                "untouched",
                "`{hostile}`"
            );
        }
        let allowed = "set -euo pipefail; x=$(tool | { read -r y; echo $y; }); [ \"$x\" = tool ] && echo fine >&2";
        let output = restricted(allowed, &tools, &home)
            .unwrap()
            .output()
            .await
            .unwrap();
        assert_eq!(
            (output.status.success(), output.stderr.as_slice()),
            (true, b"fine\n".as_slice())
        );
        // bash says that it is read-only and goes on without it.
        for preload in [
            "LD_PRELOAD=/lib/x.so tool",
            "export LD_PRELOAD=/lib/x.so; tool",
        ] {
            let output = restricted(preload, &tools, &home)
                .unwrap()
                .output()
                .await
                .unwrap();
            assert_eq!(output.stdout.as_slice(), b"tool\n".as_slice(), "{preload}");
        }
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    }
}
