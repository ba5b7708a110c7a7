//! What a test needs that not every machine has: programs, namespaces, parts of the kernel. Elsewhere a test without it says that it is left out. In CI
//! it fails, so that nothing can become green by not running; what a machine of CI is known not to have is named in `ZTC_CI_WITHOUT`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where the programs under test find what they start; see [`crate::environment::TestEnv`].
pub(crate) const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What becomes of a test.
#[derive(Debug, PartialEq)]
enum Verdict {
    Runs,
    IsLeftOut,
    Fails,
}

/// Decides by what is there, whether this is CI, and what it is known not to have.
fn verdict(there: bool, name: &str, ci: Option<&str>, without: Option<&str>) -> Verdict {
    let is_ci = ci.is_some_and(|ci| !["", "0", "false"].contains(&ci));
    let is_known = || without.is_some_and(|names| names.split(',').any(|known| known == name));
    match there {
        true => Verdict::Runs,
        false if is_ci && !is_known() => Verdict::Fails,
        false => Verdict::IsLeftOut,
    }
}

/// Whether a test can run that needs something, which is there or not.
#[track_caller]
pub(crate) fn there_is(there: bool, name: &str, why: &str) -> bool {
    let variable = |name: &str| std::env::var(name).ok();
    let (ci, without) = (variable("CI"), variable("ZTC_CI_WITHOUT"));
    match verdict(there, name, ci.as_deref(), without.as_deref()) {
        Verdict::Runs => true,
        Verdict::IsLeftOut => {
            // The harness names its threads after the tests; it keeps what a passing test prints, but not this.
            let thread = std::thread::current();
            let test = thread.name().unwrap_or("a test");
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: `{name}` {why}");
            false
        }
        Verdict::Fails => panic!(
            "`{name}` {why}: a test that needs it cannot run, which is a failure in CI (`ZTC_CI_WITHOUT={name}` would say that it is known)"
        ),
    }
}

/// Where a program lies that the programs under test can start.
#[track_caller]
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(SYSTEM_PATH)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    there_is(found.is_some(), name, "is not installed")
        .then_some(found)
        .flatten()
}

/// Whether a program is there.
#[track_caller]
pub(crate) fn has(name: &str) -> bool {
    program(name).is_some()
}

/// Whether a command can run in namespaces of its own, such as `-rn` for one without a network.
#[track_caller]
pub(crate) fn namespaces(options: &str) -> bool {
    let probe = Command::new("unshare")
        .args([options, "true"])
        .stderr(Stdio::null())
        .status();
    let allowed = probe.is_ok_and(|status| status.success());
    there_is(
        allowed,
        "unshare",
        &format!("{options} is not allowed here"),
    )
}

/// Whether `strace` is there and may stop what it starts.
#[track_caller]
pub(crate) fn tracing() -> bool {
    let probe = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    let allowed = probe.is_ok_and(|status| status.success());
    there_is(allowed, "strace", "is not installed, or not allowed here")
}

#[test]
fn in_ci_what_is_missing_is_a_failure() {
    use Verdict::{Fails, IsLeftOut, Runs};
    for (there, ci, without, expected) in [
        (true, None, None, Runs),
        (true, Some("true"), None, Runs),
        (true, Some("true"), Some("jq"), Runs),
        (false, None, None, IsLeftOut),
        (false, Some("false"), None, IsLeftOut),
        (false, Some("true"), None, Fails),
        (false, Some("1"), Some("node"), Fails),
        (false, Some("true"), Some("node,jq"), IsLeftOut),
    ] {
        let found = verdict(there, "jq", ci, without);
        assert_eq!(found, expected, "{there} {ci:?} {without:?}");
    }
}
