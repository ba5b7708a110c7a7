//! Ends: no adapter, and nothing that one has started, outlives `ztc`; and what an adapter sees of the operator's environment.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};

use super::{Fake, until};

#[test]
fn ignores_the_end_of_stdin() {
    assert_eq!(Fake::new("ignores-eof").harmless(), "");
}

#[test]
fn ignores_term() {
    insta::assert_snapshot!(Fake::new("ignores-term").harmless(), @"
    warning: adapter `fake` ended neither with its stdin nor when asked to (SIGTERM), so it was killed
      help: an adapter exits when its stdin ends; what it was doing may be half done
    ");
}

#[test]
fn leaves_a_process_that_holds_stderr() {
    assert_eq!(Fake::new("grandchild").harmless(), "");
    insta::assert_snapshot!(Fake::new("grandchild exit-0-at-render").fatal(1), @"
    error: adapter `fake` exited with code 0 during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: this is a bug of the adapter; report it with these lines to whoever made `fake`
    ");
    insta::assert_snapshot!(Fake::new("grandchild kill-at-render").fatal(1), @"
    error: adapter `fake` was killed by signal 9 (SIGKILL) during `render`
      adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
      after: [TIME] in `render`, [TIME] since its start
      help: the system may have run out of memory (see `dmesg`), or somebody ended it
    ");
}

/// What an adapter can leave behind: a process in its group, one in a session of its own, one without parent and streams as well.
const LEFT: [&str; 3] = ["grandchild", "escapes", "daemon"];

#[test]
fn leaves_a_process_that_left_its_group() {
    for left in &LEFT[1..] {
        assert_eq!(Fake::new(left).harmless(), "", "{left}");
        assert_eq!(
            Fake::new(&format!("{left}-at-render")).harmless(),
            "",
            "{left}"
        );
    }
}

#[test]
fn leaves_a_process_that_left_its_group_without_a_sandbox() {
    for left in LEFT {
        let run = Fake::new(left).ztc(&["render", "--no-sandbox"]);
        assert_eq!(run.code, Some(0), "{left}: {run}");
    }
}

#[test]
fn leaves_a_process_that_left_its_group_and_is_killed() {
    for left in LEFT {
        let fake = Fake::new(&format!("{left} ignores-term silent-at-render")).limits("3");
        insta::allow_duplicates! {
            insta::assert_snapshot!(fake.fatal(1), @"
            warning: adapter `fake` ended neither with its stdin nor when asked to (SIGTERM), so it was killed
              help: an adapter exits when its stdin ends; what it was doing may be half done
            error: adapter `fake` has not answered `render` within 3 s
              when cancelled, it said nothing
              adapter: fake 1.0.0, path, `[REPO]/../bin/fake`
              after: [TIME] in `render`, [TIME] since its start
              help: if it only needs longer, set `ZTC_ADAPTER_TIMEOUT=<seconds>`
            ");
        }
    }
}

/// Ends `ztc` in the middle of a call to the most stubborn of adapters, which has started another process; returns how `ztc` ended.
#[track_caller]
fn nothing_outlives(signal: Signal, left: &str, options: &[&str]) -> ExitStatus {
    let fake = Fake::new(&format!("ignores-term {left}-at-render silent-at-render"));
    // A built-in that starts nothing runs beside it.
    let platform =
        super::PLATFORM.to_owned() + "  cilium: {version: v1.18.5, bgp_enabled: false}\n";
    fake.environment.write("platform.yaml", platform);
    let beside = ["bin/fake --ztc-adapter", "__adapter cilium"];
    ended_in_the_middle(&fake, signal, options, &beside)
}

/// Ends `ztc` as soon as an adapter has started `sleep 1000`; nothing may be left 2 seconds later. Returns how `ztc` ended.
#[track_caller]
fn ended_in_the_middle(
    fake: &Fake,
    signal: Signal,
    options: &[&str],
    beside: &[&str],
) -> ExitStatus {
    let mut ztc = fake.spawn(&[&["render"], options].concat());
    let started = |name: &str| fake.processes().iter().any(|line| line.contains(name));
    let sleeps = || {
        let processes = fake.processes();
        processes.iter().any(|line| line.trim() == "sleep 1000")
    };
    assert!(
        until(super::BOUND, sleeps),
        "{:?}, {:?}",
        ztc.try_wait(),
        fake.processes()
    );
    assert!(beside.iter().all(|name| started(name)));
    assert!(!fake.scratch_directories().is_empty());
    kill_process(Pid::from_child(&ztc), signal).unwrap();
    let status = ztc.wait().unwrap();
    fake.assert_alone(&format!("2 seconds after its host: {options:?}"));
    status
}

/// A `helm` that starts others and stays.
const HELM: &str = "#!/bin/sh
[ \"$1\" = version ] && echo v3.14.4 && exit
setsid sleep 1000 &
sleep 1000
";

#[test]
fn nothing_outlives_what_a_built_in_has_started() {
    for (signal, options) in [
        (Signal::KILL, &[][..]),
        (Signal::KILL, &["--no-sandbox"]),
        (Signal::TERM, &[]),
    ] {
        let fake = Fake::new("good");
        fake.environment.tool("helm", HELM);
        let platform = super::PLATFORM.to_owned() + "  cilium: {version: v1.17.4, source: helm}\n";
        fake.environment.write("platform.yaml", platform);
        let beside = ["__keep", "__adapter cilium", "helm"];
        let status = ended_in_the_middle(&fake, signal, options, &beside);
        assert!(!status.success(), "{status:?}");
    }
}

#[test]
fn nothing_outlives_a_killed_ztc() {
    for left in LEFT {
        for options in [&[][..], &["--no-sandbox"]] {
            assert_eq!(
                nothing_outlives(Signal::KILL, left, options).signal(),
                Some(9)
            );
        }
    }
}

#[test]
fn nothing_outlives_an_interrupted_ztc() {
    for (signal, left) in [Signal::INT, Signal::TERM, Signal::HUP]
        .into_iter()
        .zip(LEFT)
    {
        let status = nothing_outlives(signal, left, &[]);
        assert_eq!(status.code(), Some(130), "{signal:?}");
    }
}

/// The operator's environment, with values that no adapter may see.
const CANARIES: [(&str, &str); 8] = [
    ("CANARY", "canary-7f3a"),
    ("HCLOUD_TOKEN", "canary-7f3a"),
    ("LD_DEBUG_OUTPUT", "canary-7f3a"),
    ("FAKE_SETTING", "as declared"),
    ("LC_TIME", "C.UTF-8"),
    ("TZ", "UTC"),
    ("https_proxy", "http://127.0.0.1:1"),
    ("SSL_CERT_FILE", "/etc/ssl/cert.pem"),
];

/// A repository that grants these variables, in that environment.
fn granting(names: &str) -> Fake {
    let mut fake = Fake::new("good");
    for (name, value) in CANARIES {
        fake.environment.set(name, value);
    }
    let path = "fake: {path: ../bin/fake";
    let granting = format!("{path}, environment: [{names}]");
    let platform = super::PLATFORM.replace(path, &granting);
    fake.environment.write("platform.yaml", platform);
    fake
}

fn artifact(fake: &Fake) -> String {
    fake.environment
        .read("platform/generated/services/fake/fake.json")
}

#[test]
fn an_adapter_sees_what_it_declares_and_is_granted() {
    let fake = granting("FAKE_SETTING");
    assert_eq!(fake.harmless(), "");
    insta::assert_snapshot!(artifact(&fake), @r#"
    {
      "config": {
        "version": "v1",
        "greeting": "hello"
      },
      "setting": "as declared",
      "variables": "FAKE_SETTING HOME LANG LC_TIME PATH SSL_CERT_FILE TMPDIR TZ ZTC_ADAPTER_GROUP https_proxy"
    }
    "#);
}

#[test]
fn what_is_declared_and_not_granted_is_not_seen_and_said_once() {
    let fake = granting("");
    insta::assert_snapshot!(fake.harmless(), @"
    platform.yaml:3:37: warning: adapter `fake` does not get `FAKE_SETTING`, which you have set: platform.yaml does not grant it
      help: `FAKE_SETTING`: shows that declared variables arrive; to grant it, write `environment: [FAKE_SETTING]` under `plugins.fake` in platform.yaml
    ");
    insta::assert_snapshot!(artifact(&fake), @r#"
    {
      "config": {
        "version": "v1",
        "greeting": "hello"
      },
      "setting": null,
      "variables": "HOME LANG LC_TIME PATH SSL_CERT_FILE TMPDIR TZ ZTC_ADAPTER_GROUP https_proxy"
    }
    "#);
}

#[test]
fn commands_about_secrets_say_it_too() {
    let fake = granting("");
    for command in [&["secrets", "list"][..], &["secrets", "check"]] {
        let run = fake.ztc(command);
        assert_eq!(run.code, Some(0), "{run}");
        let told = "warning: adapter `fake` does not get `FAKE_SETTING`, which you have set";
        assert_eq!(run.stderr.matches(told).count(), 1, "{run}");
    }
}

#[test]
fn what_is_granted_and_not_declared_is_not_seen_and_found() {
    let fake = granting("FAKE_SETTING, CANARY, FAKE_SETING");
    insta::assert_snapshot!(fake.harmless(), @"
    platform.yaml:3:65: warning: `plugins.fake.environment` grants `CANARY`, which adapter `fake` does not declare
      help: take it out: the adapter gets nothing by it
    platform.yaml:3:73: warning: `plugins.fake.environment` grants `FAKE_SETING`, which adapter `fake` does not declare
      help: did you mean `FAKE_SETTING`?
    ");
    assert!(!artifact(&fake).contains("CANARY"), "{}", artifact(&fake));
    let run = fake.ztc(&["validate"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("platform.yaml:3:"), "{run}");
}

#[test]
fn a_wrong_grant_is_refused_with_its_place() {
    insta::assert_snapshot!(granting("A-B, {}").fatal(2), @"
    error: `platform.yaml` is not valid
      platform.yaml:3:51: error: `plugins.fake.environment`: expected the name of a variable, found text `A-B`
        help: write names of variables, such as `environment: [ACME_REGION]`
      platform.yaml:3:56: error: `plugins.fake.environment`: expected the name of a variable, found a mapping
        help: write names of variables, such as `environment: [ACME_REGION]`
    ");
}

#[test]
fn info_shows_what_is_declared_and_what_is_granted() {
    for (names, word) in [
        ("FAKE_SETTING", "granted by platform.yaml"),
        ("", "not granted"),
    ] {
        let run = granting(names).ztc(&["plugins", "info", "fake"]);
        let line =
            format!("environment  FAKE_SETTING ({word}): shows that declared variables arrive");
        assert!(run.stdout.contains(&line), "{run}");
    }
}
