//! Installed adapters of others in the wizard, and what is said, offered and done where a shared platform.yaml asks for one that is not there.

use std::fs;

use crate::environment::TestEnv;
use crate::init::cluster;
use crate::kit::has;
use crate::terminal::Terminal;

const ENTER: &str = "\r";

/// An operator with a tree beside the repository that has the adapter `hello`, which somebody wrote in Python.
fn environment() -> TestEnv {
    let environment = TestEnv::new();
    environment.ztc_ok(&["plugins", "keygen", "../key", "--no-password"]);
    environment.ztc_ok(&[
        "plugins", "new", "hello", "--lang", "python", "--to", "../hello",
    ]);
    let program = environment.root().join("hello/ztc-adapter-hello");
    let text = fs::read_to_string(&program).unwrap();
    let text = text.replace(
        "    \"config_schema\"",
        "    \"network\": [{\"host\": \"example.org\", \"port\": 443, \"why\": \"asks\"}],\n    \"environment\": [{\"name\": \"HELLO_REGION\", \"why\": \"where\"}],\n    \"config_schema\"",
    );
    fs::write(&program, text).unwrap();
    environment.ztc_ok(&[
        "plugins",
        "publish",
        "../tree",
        "--key",
        "../key",
        "--publisher",
        "Hello Inc",
        "--add",
        "../hello/ztc-adapter-hello",
    ]);
    environment
}

/// What a colleague has committed.
const SHARED: &str = "apiVersion: ztc/v1
environment: production
adapters:
  hello:
    message: good day
plugins:
  hello:
    source: ../tree
    version: ^0.1
";

#[test]
fn an_installed_adapter_appears_in_its_group() {
    if !has("python3") {
        return;
    }
    const UP: &str = "\u{1b}[A";
    let environment = environment();
    environment.ztc_ok(&["plugins", "install", "hello", "--source", "../tree"]);
    let mut terminal = Terminal::ztc(&environment, &["init"]);
    terminal.answer("Environment", ENTER);
    terminal.wait_for("hello  an adapter to begin with");
    terminal.answer("none   leave it out", &format!("{UP}{ENTER}"));
    terminal.answer("Where is the Hetzner Cloud API token?", ENTER);
    terminal.answer("Its name", ENTER);
    cluster(&mut terminal);
    terminal.answer("Let `hello` see your variable `HELLO_REGION`?", "y\r");
    terminal.answer("What does it say?", ENTER);
    terminal.wait_for("wrote `platform.yaml`");
    assert_eq!(terminal.exit_code(), Some(0));
    // Whoever gets this file is offered the adapter.
    let platform = environment.read("platform.yaml");
    let platform = environment.filtered(&platform);
    let plugins = platform.split_once("\nplugins:\n").unwrap().1;
    insta::assert_snapshot!(plugins, @"
    hello:
      source: file://[ROOT]/tree
      version: ^0.1
      environment: [HELLO_REGION]
    ");
}

#[test]
fn what_a_shared_platform_asks_for_is_offered() {
    if !has("python3") {
        return;
    }
    let environment = environment();
    environment.write("platform.yaml", SHARED);
    let mut terminal = Terminal::ztc(&environment, &["init"]);
    for line in [
        "platform.yaml asks for adapters that are not installed here",
        "hello 0.1.0: an adapter to begin with",
        "asked for",
        "^0.1",
        "source",
        "/tree",
        "Hello Inc, as it calls itself",
        "publisher key   RW",
        "new here: compare it",
        "may see",
        "HELLO_REGION",
        "may connect to",
        "example.org:443",
    ] {
        terminal.wait_for(line);
    }
    // The Enter key does not trust a key that is new.
    terminal.answer("Install hello 0.1.0? (y/n) › no", ENTER);
    terminal.wait_for("what platform.yaml asks for is not installed");
    terminal.wait_for("ztc plugins install");
    assert_eq!(terminal.exit_code(), Some(4));
    assert!(
        !environment
            .root()
            .join("home/.config/ztc/trust.json")
            .exists()
    );

    let mut terminal = Terminal::ztc(&environment, &["init"]);
    terminal.answer("Install hello 0.1.0?", "y\r");
    terminal.wait_for("is trusted from now on");
    terminal.wait_for("hello 0.1.0 installed from");
    terminal.wait_for("next: ztc render");
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(environment.read("platform.yaml"), SHARED);
    environment.ztc_ok(&["render"]);
    // There is nothing to offer any more.
    assert_eq!(environment.ztc(&["init"]).code, Some(5));
}

#[test]
fn a_key_that_is_known_is_taken_by_enter_and_the_wizard_goes_on() {
    if !has("python3") {
        return;
    }
    let environment = environment();
    environment.ztc_ok(&["plugins", "install", "hello", "--source", "../tree"]);
    environment.ztc_ok(&["plugins", "remove", "hello"]);
    environment.write("platform.yaml", SHARED);
    let mut terminal = Terminal::ztc(&environment, &["init", "--resume"]);
    terminal.wait_for("trusted on this machine");
    terminal.answer("Install hello 0.1.0? (y/n) › yes", ENTER);
    terminal.wait_for("hello 0.1.0 installed from");
    terminal.wait_for("Enter takes what is proposed");
    terminal.interrupt("interrupted");
    assert_eq!(terminal.exit_code(), Some(130));
}

#[test]
fn what_a_colleague_has_locked_is_offered_and_nothing_newer() {
    if !has("python3") {
        return;
    }
    let colleague = environment();
    colleague.write("platform.yaml", SHARED);
    colleague.ztc_ok(&["plugins", "install"]);
    colleague.ztc_ok(&["render"]);
    let program = colleague.root().join("hello/ztc-adapter-hello");
    let text = fs::read_to_string(&program).unwrap();
    fs::write(&program, text.replace("\"0.1.0\"", "\"0.1.1\"")).unwrap();
    let add = ["--add", "../hello/ztc-adapter-hello"];
    colleague.ztc_ok(
        &[
            &["plugins", "publish", "../tree", "--key", "../key"][..],
            &add,
        ]
        .concat(),
    );
    // Another machine: its user has the repository and nothing else.
    for directory in ["home/.local/share/ztc", "home/.config/ztc"] {
        fs::remove_dir_all(colleague.root().join(directory)).unwrap();
    }
    let before = colleague.read("platform/lock.json");
    let mut terminal = Terminal::ztc(&colleague, &["init"]);
    terminal.wait_for("the one that the lock names");
    terminal.answer("Install hello 0.1.0? (y/n) › yes", ENTER);
    terminal.wait_for("hello 0.1.0 installed from");
    terminal.wait_for("next: ztc validate");
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(colleague.read("platform/lock.json"), before);
    colleague.ztc_ok(&["validate"]);
}

#[test]
fn answers_that_are_not_complete_can_still_be_taken_up() {
    if !has("python3") {
        return;
    }
    let environment = environment();
    environment.write(
        "platform.yaml",
        "apiVersion: ztc/v1\nplugins:\n  hello: {source: ../tree}\n",
    );
    let mut terminal = Terminal::ztc(&environment, &["init", "--resume"]);
    terminal.answer("Install hello 0.1.0?", "y\r");
    terminal.answer("Environment", ENTER);
    terminal.wait_for("Which adapter for services?");
    terminal.interrupt("interrupted");
    assert_eq!(terminal.exit_code(), Some(130));
}

#[test]
fn every_command_that_needs_it_says_where_it_is_asked_for_and_what_to_type() {
    if !has("python3") {
        return;
    }
    let environment = environment();
    environment.write("platform.yaml", SHARED);
    let mut all = String::new();
    for command in [
        &["init"][..],
        &["init", "--resume"],
        &["render"],
        &["validate"],
        &["plan"],
        &["bootstrap"],
        &["graph"],
        &["eject"],
        &["secrets", "generate"],
        &["doctor"],
    ] {
        let run = environment.ztc(command);
        all += &format!("$ ztc {}\n{run}\n", command.join(" "));
    }
    insta::assert_snapshot!(all, @"
    $ ztc init
    exit: 4
    --- stderr
    error: adapter `hello`, which platform.yaml asks for, is not installed
      --> platform.yaml:8:13
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`, then the same command again
    $ ztc init --resume
    exit: 4
    --- stderr
    error: adapter `hello`, which platform.yaml asks for, is not installed
      --> platform.yaml:8:13
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`, then the same command again
    $ ztc render
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc validate
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc plan
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc bootstrap
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc graph
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc eject
    exit: 2
    --- stderr
    error: nothing is rendered yet
      help: run `ztc render` first
    $ ztc secrets generate
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc doctor
    exit: 1
    --- stdout
    STATE   WHAT                 DETAIL
    ok      repository           [REPO]
    ok      temporary directory  [ROOT]/tmp
    ok      plugin directory     [ROOT]/home/.local/share/ztc/plugins
    ok      platform.yaml        production: hello
    ok      sandbox              Landlock: adapters write to their scratch directory and connect to declared ports only; stages run as you
    FAILED  adapter hello        adapter `hello`, which `plugins.hello` asks for, is not installed
    ok      tool bash            5.2.15 at /usr/bin/bash
    --- stderr
      adapter hello: run `ztc plugins install`
    ");
    // What was rendered before is not a way around it.
    environment.ztc_ok(&["plugins", "install"]);
    environment.ztc_ok(&["render"]);
    environment.ztc_ok(&["plugins", "remove", "hello", "--force"]);
    let mut all = String::new();
    for command in [
        &["validate"][..],
        &["plan"],
        &["bootstrap"],
        &["render"],
        &["status"],
    ] {
        let run = environment.ztc(command);
        all += &format!("$ ztc {}\n{run}\n", command.join(" "));
    }
    insta::assert_snapshot!(all, @"
    $ ztc validate
    exit: 4
    --- stderr
    error: adapter `hello` [VERSION], which the lock names, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc plan
    exit: 4
    --- stderr
    error: adapter `hello` [VERSION], which the lock names, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc bootstrap
    exit: 4
    --- stderr
    error: adapter `hello` [VERSION], which the lock names, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc render
    exit: 4
    --- stderr
    error: adapter `hello` [VERSION], which the lock names, is not installed
      --> platform.yaml:4:3
      asked for: ^0.1 from ../tree
      help: run `ztc plugins install`
    $ ztc status
    exit: 3
    --- stderr
    error: nothing has been run for `production` yet
      help: see what would run with `ztc plan`, and run it with `ztc bootstrap`
    ");
}
