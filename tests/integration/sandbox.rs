//! The sandbox of adapters: a curious adapter tries what it must not, and what it may. Where the kernel has no sandbox, the tests say so and
//! look at the words for that instead.

use std::net::TcpListener;

use crate::environment::{Run, TestEnv};
use crate::needs::{has, there_is};

/// An adapter that does something in `validate` (which is offline) or in `discover`, and fails with what the system said.
const CURIOUS: &str = r#"#!/usr/bin/env bash
say() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
attempt() {
    if text=$( { ATTEMPT
    } 2>&1 ); then say "\"result\":$1"; else
        text=${text#*: line *: } text=${text//$'\n'/; } text=${text//\"/}
        say "\"error\":{\"code\":1030,\"message\":\"failed: $text\"}"
    fi
}
while read -r line; do
    [[ $line =~ \"id\":([0-9]+) ]] && id=${BASH_REMATCH[1]}
    [[ $line =~ \"method\":\"([a-z_]+)\" ]] && method=${BASH_REMATCH[1]}
    case $method in
    initialize) say '"result":{"protocol":"1.0","manifest":{"name":"curious","version":"1.0.0","phase":"services",
        "config_schema":true,"supported_versions":["v1"],"default_version":"v1","discovers":true,NETWORK}}' | tr -d '\n'; echo ;;
    validate) [[ METHOD == validate ]] && attempt '{"diagnostics":[]}' || say '"result":{"diagnostics":[]}' ;;
    discover) [[ METHOD == discover ]] && attempt '{"facts":{}}' || say '"result":{"facts":{}}' ;;
    render) say '"result":{"artifacts":[{"path":"a.txt","content":"a"}]}' ;;
    scripts) say '"result":{"scripts":[]}' ;;
    *) say '"result":{}' ;;
    esac
done
"#;

/// An environment in which the adapter makes an attempt.
fn curious(method: &str, attempt: &str, network: &str) -> TestEnv {
    let environment = TestEnv::new();
    let attempt = attempt
        .replace("[REPO]", &environment.repo().display().to_string())
        .replace(
            "[HOME]",
            &environment.root().join("home").display().to_string(),
        );
    let script = CURIOUS
        .replace("METHOD", method)
        .replace("NETWORK", network)
        .replace("ATTEMPT", &attempt);
    environment.tool("ztc-adapter-curious", &script);
    environment.write(
        "platform.yaml",
        "apiVersion: ztc/v1\nenvironment: production\nadapters:\n  curious: {version: v1}\n",
    );
    let keys = environment.root().join("home/.ssh");
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::write(keys.join("id_ed25519"), "a private key\n").unwrap();
    environment
}

/// What this kernel can enforce, as `ztc` sees it.
fn support() -> String {
    let environment = curious("nothing", "true", r#""network":[]"#);
    let info = environment
        .ztc_ok(&["plugins", "info", "curious", "--json"])
        .json();
    info["sandbox"].as_str().unwrap().to_owned()
}

/// Whether the kernel can do what a test is about; says where not.
fn can(needed: &str) -> bool {
    let support = support();
    let can = support == "full" || support == needed;
    there_is(
        can,
        &format!("landlock-{needed}"),
        &format!("is not in this kernel, whose sandbox is `{support}`"),
    )
}

/// Tries something in `validate`.
fn tries(attempt: &str) -> Run {
    curious("validate", attempt, r#""network":[]"#).ztc(&["render"])
}

/// Makes sure that an attempt was refused and that the report names it.
#[track_caller]
fn assert_refused(run: &Run, what: &str) {
    assert_eq!(run.code, Some(1), "{run}");
    let told = format!("error: adapter `curious`: failed: {what}");
    assert!(run.stderr.contains(&told), "expected: {told}\n{run}");
    assert!(run.stderr.contains("this one connects nowhere"), "{run}");
    assert!(run.stderr.contains("--no-sandbox"), "{run}");
}

#[test]
fn writing_to_the_repository_is_refused() {
    if !can("files") {
        return;
    }
    let environment = curious("validate", "echo x > [REPO]/stolen", r#""network":[]"#);
    insta::assert_snapshot!(environment.ztc(&["render"]), @"
    exit: 1
    --- stderr
    error: adapter `curious`: failed: [REPO]/stolen: Permission denied
      probably refused by the sandbox, in which an adapter reads the system's programs, libraries and certificates and writes to its scratch directory; this one connects nowhere
      help: an adapter declares the ports it needs in `network` of its manifest; add `--no-sandbox` to run it once without the sandbox
    ");
    assert!(!environment.repo().join("stolen").exists());
}

#[test]
fn reading_private_keys_is_refused() {
    if !can("files") {
        return;
    }
    let environment = curious("validate", "cat [HOME]/.ssh/id_ed25519", r#""network":[]"#);
    let run = environment.ztc(&["render"]);
    assert_refused(&run, "cat: [ROOT]/home/.ssh/id_ed25519: Permission denied");
    assert!(!run.to_string().contains("a private key"), "{run}");
}

#[test]
fn the_repository_and_its_secrets_cannot_be_read() {
    if can("files") {
        assert_refused(&tries("cat [REPO]/platform.yaml"), "cat: ");
        assert_refused(&tries("ls [REPO]"), "ls: cannot open directory");
    }
}

#[test]
fn the_environment_of_ztc_cannot_be_read() {
    if can("files") {
        assert_refused(&tries("ppid=$PPID; cat /proc/$ppid/environ"), "cat: /proc/");
    }
}

#[test]
fn other_processes_get_no_signals() {
    if can("full") {
        assert_refused(&tries("ppid=$PPID; kill -0 $ppid"), "kill: ");
    }
}

#[test]
fn an_undeclared_port_is_refused_and_a_declared_one_open() {
    if !can("full") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");

    assert_refused(&tries(&connect), "/dev/tcp/127.0.0.1/");

    let other = format!(
        r#""network":[{{"host":"127.0.0.1","port":{},"why":"asks"}}]"#,
        port ^ 1
    );
    let run = curious("discover", &connect, &other).ztc(&["render"]);
    assert_eq!(run.code, Some(1), "{run}");
    let open = format!("this one connects to TCP port {} only", port ^ 1);
    assert!(run.stderr.contains(&open), "{run}");

    let declared = format!(r#""network":[{{"host":"127.0.0.1","port":{port},"why":"asks"}}]"#);
    curious("discover", &connect, &declared).ztc_ok(&["render"]);

    let moved = r#""network":[],"environment":[{"name":"CURIOUS_URL","why":"another API"}]"#;
    let mut environment = curious("discover", &connect, moved);
    environment.set("CURIOUS_URL", format!("http://127.0.0.1:{port}/v1"));
    assert_eq!(environment.ztc(&["render"]).code, Some(1));
    let platform = environment.read("platform.yaml");
    let grant = "plugins: {curious: {environment: [CURIOUS_URL]}}\n";
    environment.write("platform.yaml", platform + grant);
    environment.ztc_ok(&["render"]);
}

#[test]
fn what_an_adapter_needs_is_there() {
    for attempt in [
        "echo x > $TMPDIR/own; [[ $(cat $TMPDIR/own) == x ]]",
        "cat <<< here",
        "echo x > /dev/null",
        "[[ $(head -c 4 /dev/urandom | wc -c) == 4 ]]",
        "cat /etc/hosts",
        "date | grep .",
        "echo for the log >&2",
        "cat /proc/$$/status; cat <(echo x)",
        "mkfifo $TMPDIR/pipe; ln $TMPDIR/pipe $TMPDIR/pipe2; mkdir $TMPDIR/d; mv $TMPDIR/pipe $TMPDIR/d/",
    ] {
        let run = tries(attempt);
        assert_eq!(run.code, Some(0), "{attempt}\n{run}");
    }
}

#[test]
fn without_the_sandbox_everything_is_open_and_said_loudly() {
    let environment = curious(
        "validate",
        "echo x > [REPO]/stolen; cat [HOME]/.ssh/id_ed25519",
        r#""network":[]"#,
    );
    let run = environment.ztc_ok(&["render", "--no-sandbox"]);
    assert!(
        run.stderr.contains("adapters run WITHOUT their sandbox"),
        "{run}"
    );
    assert_eq!(environment.read("stolen"), "x\n");
}

#[test]
fn doctor_says_what_the_kernel_enforces() {
    let environment = curious("nothing", "true", r#""network":[]"#);
    let run = environment.ztc(&["doctor", "--json"]);
    let checks = run.json();
    let sandbox = checks
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["what"] == "sandbox")
        .unwrap();
    let state = if support() == "full" { "ok" } else { "warning" };
    assert_eq!(sandbox["state"], state, "{run}");
    assert!(
        sandbox["detail"].as_str().unwrap().contains("Landlock"),
        "{run}"
    );
}

#[test]
fn a_program_that_cannot_start_is_told_apart_from_one_that_ends() {
    let environment = curious("nothing", "true", r#""network":[]"#);
    environment.tool("ztc-adapter-curious", "#!/no/such/interpreter\n");
    let run = environment.ztc(&["render"]);
    assert_eq!(run.code, Some(4), "{run}");
    assert!(
        run.stderr
            .contains("asks for the interpreter `/no/such/interpreter`"),
        "{run}"
    );
}

#[test]
fn python_runs_in_the_sandbox() {
    if !has("python3") {
        return;
    }
    let attempt = "python3 -c 'import json, ssl, socket, tempfile, hashlib; tempfile.NamedTemporaryFile(); ssl.create_default_context(); print(socket.getaddrinfo(\"localhost\", 1))'";
    let run = tries(attempt);
    assert_eq!(run.code, Some(0), "{run}");
}
