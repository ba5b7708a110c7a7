//! What is advised about adapters of others is what helps, in a repository and outside of one, and nothing is said twice.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::distribution::Publisher;
use crate::distribution_team::{colleague, rendered, steps, stored, team};
use crate::environment::TestEnv;
use crate::schemas::valid;
use crate::terminal::Terminal;
use crate::web::{Web, status};

/// The first command between backquotes after a word.
fn command_after<'a>(text: &'a str, word: &str) -> &'a str {
    let (_, rest) = text.split_once(word).unwrap();
    let (_, rest) = rest.split_once('`').unwrap();
    rest.split_once('`').unwrap().0
}

#[test]
fn what_was_changed_is_brought_back_by_the_command_that_is_said() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    let index = fs::read(publisher.tree().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let platforms = &index["adapters"]["hello"]["versions"]["1.0.0"]["platforms"];
    let sha256 = platforms[crate::distribution::machine()]["sha256"]
        .as_str()
        .unwrap();
    let file = stored(&publisher, sha256);
    let break_it = || {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(&file, "something else").unwrap();
    };
    // There is no platform.yaml here that would ask for it.
    for (command, word) in [
        (&["plugins", "verify"][..], "help: run"),
        (&["plugins", "info", "hello"], "help: install it again with"),
    ] {
        break_it();
        let refused = publisher.environment.ztc(command);
        assert_eq!(refused.code, Some(5), "{refused}");
        let said = refused.stderr.replace(
            "[ROOT]",
            &publisher.environment.root().display().to_string(),
        );
        let typed = command_after(&said, word);
        assert!(typed.starts_with("ztc plugins install hello"), "{refused}");
        let typed: Vec<&str> = typed.split(' ').skip(1).collect();
        let run = publisher.environment.ztc(&typed);
        assert_eq!(run.code, Some(0), "{typed:?} {run}");
        publisher.environment.ztc_ok(&["plugins", "verify"]);
    }
}

#[test]
fn a_tree_that_is_installed_from_without_a_name_is_held_to_the_key_of_the_lock() {
    let publisher = team();
    rendered(&publisher);
    let keygen = ["plugins", "keygen", "../other", "--no-password"];
    publisher.environment.ztc_ok(&keygen);
    let publish = [
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../other",
        "--replace-key",
    ];
    publisher.environment.ztc_ok(&publish);
    colleague(&publisher);
    insta::assert_snapshot!(publisher.run(&["plugins", "install", "../tree"]), @"
    exit: 5
    --- stderr
    error: `hello` is signed with another key than the lock names
      locked: [KEY]
      now: [KEY]
      help: ask its publisher by another way; where the key was changed on purpose, run `ztc plugins install hello@1.0.0 --key KEY`
    ");
    let trusted = publisher.run(&["plugins", "trust", "list"]);
    assert_eq!(trusted.stdout.lines().count(), 1, "{trusted}");
}

#[test]
fn what_cannot_be_read_of_a_repository_is_said_once() {
    let publisher = Publisher::new();
    publisher.install(&[]);
    let environment = &publisher.environment;
    environment.write("platform.yaml", "apiVersion: [");
    environment.write("platform/lock.json", "{");
    let run = publisher.run(&["plugins", "info", "hello"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(run.stderr.matches("are left out").count(), 1, "{run}");
    assert_eq!(run.stderr.matches("is left out").count(), 1, "{run}");
}

#[test]
fn one_that_is_called_like_one_of_ztc_says_that_it_is_not_used_yet() {
    let publisher = Publisher::new();
    publisher.put("talos", "3.0.0", &crate::distribution::machine());
    publisher.publish(&[]);
    let install = ["plugins", "install", "talos", "--source", "../tree"];
    let run = publisher.run(&install);
    insta::assert_snapshot!(run, @r#"
    exit: 0
    --- stderr
    warning: ztc goes on with its own `talos` until `plugins` of platform.yaml names this one
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ talos 3.0.0 installed from file://[ROOT]/tree
      touches network example.org:443
      in platform.yaml, to use it:
        plugins:
          talos: {source: "file://[ROOT]/tree", version: "3.0.0"}
    "#);
    let json = publisher
        .environment
        .ztc_ok(&[&install[..], &["--json"]].concat());
    valid("plugins-install.schema.json", &json.json());
    let warnings = json.json()["plugins"][0]["warnings"].to_string();
    assert!(
        warnings.contains("goes on with its own `talos`"),
        "{warnings}"
    );
    // These very lines do it, and then nothing is said any more.
    let lines = run.stderr.split_once("to use it:\n").unwrap().1;
    let root = publisher.environment.root().display().to_string();
    let lines: String = lines
        .replace("[ROOT]", &root)
        .lines()
        .map(|line| format!("{}\n", &line[4..]))
        .collect();
    let platform = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  talos: {}\n";
    publisher
        .environment
        .write("platform.yaml", format!("{platform}{lines}"));
    let listed = publisher.run(&["plugins", "list"]);
    assert!(listed.stdout.contains("talos  3.0.0  file://"), "{listed}");
    let again = publisher.run(&install);
    assert!(!again.stderr.contains("goes on with"), "{again}");
}

#[test]
fn a_wizard_without_a_network_asks_for_no_offer() {
    let web = Web::start(|_, stream| status(stream, "404 Not Found", ""));
    let environment = TestEnv::new();
    let platform = format!(
        "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  hello: {{}}\nplugins:\n  hello: {{source: \"{}\"}}\n",
        web.url()
    );
    environment.write("platform.yaml", platform);
    let mut terminal = Terminal::ztc(&environment, &["init", "--offline"]);
    terminal.wait_for("is not asked: `--offline`");
    terminal.wait_for("run `ztc plugins install`");
    assert_eq!(terminal.exit_code(), Some(4));
    assert_eq!(web.take_asked(), Vec::<String>::new());
    // What lies on this machine is offered all the same.
    let publisher = team();
    let mut terminal = Terminal::ztc(&publisher.environment, &["init", "--offline"]);
    terminal.answer("Install hello 1.0.0? (y/n) › no", "y\r");
    terminal.wait_for("hello 1.0.0 installed from");
    assert_eq!(terminal.exit_code(), Some(0));
    let commands: [&[&str]; 1] = [&["render"]];
    assert!(steps(&publisher, &commands).contains("rendered `test`"));
}
