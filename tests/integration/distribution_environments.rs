//! Adapters that only an overlay asks for: there is one lock for all environments, and every command of `ztc plugins` knows what all of them ask for.

use crate::distribution_locked::names;
use crate::distribution_team::{colleague, lock, release, rendered, renderer, steps, team};
use crate::terminal::Terminal;

/// A platform that uses no adapter of others, and what the overlay of `staging` adds to it.
const BASE: &str = "apiVersion: ztc/v1\nenvironment: test\nadapters:\n  plain: {}\n";
const STAGING: &str =
    "adapters:\n  hello: {}\nplugins:\n  hello: {source: ../tree, version: ~1.0}\n";

#[test]
fn what_only_an_overlay_asks_for_is_installed_listed_mirrored_and_stays_locked() {
    let publisher = team();
    release(&publisher, "1.1.0");
    let plain = renderer("plain", "1.0.0", "");
    publisher.environment.tool("ztc-adapter-plain", &plain);
    publisher.environment.write("platform.yaml", BASE);
    publisher
        .environment
        .write("platform.staging.yaml", STAGING);
    let commands: [&[&str]; 8] = [
        &["render", "--env", "staging"],
        &["plugins", "search", "--source", "../tree"],
        &["plugins", "install"],
        &["render", "--env", "staging"],
        &["render"],
        &["plugins", "upgrade"],
        &["plugins", "install"],
        &["plugins", "install", "hello@1.1.0"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc render --env staging
    exit: 4
    --- stderr
    error: adapter `hello`, which `plugins.hello` asks for, is not installed
      --> platform.staging.yaml:2:3
      asked for: ~1.0 from ../tree
      help: run `ztc plugins install`
    $ ztc plugins search --source ../tree
    exit: 0
    --- stdout
    NAME  VERSIONS  PROTOCOL  PLATFORMS  INSTALLED  SOURCE  DESCRIPTION
    hello  1.1.0, 1.0.0  1.0  [MACHINE], macos-riscv64  no  file://[ROOT]/tree  says hello
    --- stderr
    no key is pinned for file://[ROOT]/tree: whose it is will be shown by `ztc plugins install`
      next: ztc plugins info hello --source file://[ROOT]/tree  shows what it may touch
    $ ztc plugins install
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.0.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    $ ztc render --env staging
    exit: 0
    --- stderr
      added    bootstrap/pipeline/staging.yaml
      added    platform/generated/services/hello/hello.txt
      added    platform/generated/services/plain/hello.txt
      added    platform/lock.json
    ✓ rendered `staging`: 2 artifacts, 0 stages (4 added, 0 changed, 0 removed, 0 unchanged)
      next: ztc plan  shows what a bootstrap would do
    $ ztc render
    exit: 0
    --- stderr
      added    bootstrap/pipeline/test.yaml
      changed  platform/lock.json
      removed  platform/generated/services/hello/hello.txt
    ✓ rendered `test`: 1 artifacts, 0 stages (1 added, 1 changed, 1 removed, 1 unchanged)
      next: ztc plan  shows what a bootstrap would do
    $ ztc plugins upgrade
    exit: 0
    --- stderr
    hello 1.0.0 is the newest that fits, from file://[ROOT]/tree
      newer     1.1.0 is outside of `~1.0`, which `plugins.hello.version` asks for at platform.staging.yaml:4:37
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins install hello@1.1.0
    exit: 0
    --- stderr
    warning: the lock goes on with `hello` 1.0.0: `plugins.hello.version` asks for `~1.0`; change platform.staging.yaml:4:37 and run `ztc plugins install hello@1.1.0` where you want this one
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
    ");
    assert_eq!(names(&publisher), ["hello", "plain"]);
    assert_eq!(lock(&publisher)["plugins"]["hello"]["version"], "1.0.0");
    let mirrored = publisher.run(&["plugins", "mirror", "../stick", "--dry-run"]);
    let copied = "  hello 1.0.0 for [MACHINE]: would be copied\n";
    assert!(mirrored.stderr.starts_with(copied), "{mirrored}");
    // What no environment names any more is forgotten.
    std::fs::remove_file(publisher.environment.repo().join("platform.staging.yaml")).unwrap();
    publisher.environment.ztc_ok(&["render"]);
    assert_eq!(names(&publisher), ["plain"]);
}

#[test]
fn an_overlay_that_cannot_be_read_takes_nothing_out_of_the_lock() {
    let publisher = team();
    rendered(&publisher);
    let plain = renderer("plain", "1.0.0", "");
    publisher.environment.tool("ztc-adapter-plain", &plain);
    publisher.environment.write("platform.yaml", BASE);
    publisher
        .environment
        .write("platform.staging.yaml", "adapters: [\n");
    publisher.environment.ztc_ok(&["render"]);
    assert_eq!(names(&publisher), ["hello", "plain"]);
    insta::assert_snapshot!(steps(&publisher, &[&["plugins", "install"], &["plugins", "list"]]), @"
    $ ztc plugins install
    exit: 2
    --- stderr
    error: `platform.staging.yaml` is not YAML that can be read: unclosed bracket '['
      --> platform.staging.yaml:1:11
      help: correct the place, or the lines just before it: brackets, quotes, colons and indentation
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  [REPO]
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    plain  1.0.0  PATH  unsigned  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    --- stderr
    warning: the overlays are left out: `platform.staging.yaml` is not YAML that can be read: unclosed bracket '['
    ");
}

#[test]
fn environments_that_contradict_one_another_are_told_so() {
    let publisher = team();
    rendered(&publisher);
    publisher.environment.write(
        "platform.staging.yaml",
        "plugins:\n  hello: {version: ^2}\n",
    );
    let elsewhere = "plugins:\n  hello:\n    source: ../other\n";
    publisher.environment.write("platform.zoo.yaml", elsewhere);
    let commands: [&[&str]; 5] = [
        &["plugins", "install"],
        &["plugins", "upgrade"],
        &["plugins", "mirror", "../stick"],
        &["plugins", "install", "hello@1.0.0"],
        &["plugins", "list"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install
    exit: 2
    --- stderr
    error: environments ask for `hello` with a `version` each that do not go together, and there is one lock for all of them
      --> platform.staging.yaml:2:20
      platform.yaml:6:37 asks for `^1`
      platform.staging.yaml:2:20 asks for `^2`
      help: write one `plugins.hello.version` into platform.yaml that suits all environments
    $ ztc plugins upgrade
    exit: 2
    --- stderr
    error: environments ask for `hello` with a `version` each that do not go together, and there is one lock for all of them
      --> platform.staging.yaml:2:20
      platform.yaml:6:37 asks for `^1`
      platform.staging.yaml:2:20 asks for `^2`
      help: write one `plugins.hello.version` into platform.yaml that suits all environments
    $ ztc plugins mirror ../stick
    exit: 2
    --- stderr
    error: environments ask for `hello` with a `version` each that do not go together, and there is one lock for all of them
      --> platform.staging.yaml:2:20
      platform.yaml:6:37 asks for `^1`
      platform.staging.yaml:2:20 asks for `^2`
      help: write one `plugins.hello.version` into platform.yaml that suits all environments
    $ ztc plugins install hello@1.0.0
    exit: 2
    --- stderr
    error: environments ask for `hello` with a `version` each that do not go together, and there is one lock for all of them
      --> platform.staging.yaml:2:20
      platform.yaml:6:37 asks for `^1`
      platform.staging.yaml:2:20 asks for `^2`
      help: write one `plugins.hello.version` into platform.yaml that suits all environments
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  [REPO]
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    ");
    // Two ranges that go together are one.
    publisher.environment.write(
        "platform.staging.yaml",
        "plugins:\n  hello: {version: \">=1.1\"}\n",
    );
    std::fs::remove_file(publisher.environment.repo().join("platform.zoo.yaml")).unwrap();
    release(&publisher, "1.1.0");
    release(&publisher, "1.2.0");
    let commands: [&[&str]; 3] = [
        &["plugins", "install"],
        &["plugins", "install", "hello@^1, >=1.1"],
        &["plugins", "install"],
    ];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install
    exit: 5
    --- stderr
    error: the lock has `hello` 1.0.0, and `plugins.hello.version` asks for `^1, >=1.1`
      help: run `ztc plugins install 'hello@^1, >=1.1'`, which changes the lock, or change platform.yaml back
    $ ztc plugins install hello@^1, >=1.1
    exit: 0
    --- stderr
    ✓ hello 1.2.0 installed from file://[ROOT]/tree
      touches nothing outside of its own files, apart from what its stages do
      platform/lock.json names hello 1.2.0 instead of 1.0.0
      next: ztc render  renders with it
    $ ztc plugins install
    exit: 0
    --- stderr
    ✓ hello 1.2.0 was installed from file://[ROOT]/tree
    ");
}

#[test]
fn the_wizard_offers_what_an_overlay_asks_for() {
    let publisher = team();
    publisher.environment.write("platform.yaml", BASE);
    publisher
        .environment
        .write("platform.staging.yaml", STAGING);
    colleague(&publisher);
    insta::assert_snapshot!(publisher.run(&["init", "--resume"]), @"
    exit: 4
    --- stderr
    error: adapter `hello`, which platform.yaml asks for, is not installed
      --> platform.staging.yaml:4:19
      asked for: ~1.0 from ../tree
      help: run `ztc plugins install`, then the same command again
    ");
    let mut terminal = Terminal::ztc(&publisher.environment, &["init"]);
    terminal.wait_for("hello 1.0.0");
    terminal.answer("Install hello 1.0.0? (y/n) › no", "y\r");
    terminal.wait_for("hello 1.0.0 installed from");
    assert_eq!(terminal.exit_code(), Some(0));
}
