//! A version that its publisher has taken back is named wherever it is still used: by `upgrade`, `install`, `list` and `verify`.

use crate::distribution::{Publisher, machine};
use crate::distribution_team::{release, rendered, steps, team};
use crate::schemas::valid;

#[test]
fn what_is_installed_and_was_taken_back_is_named_with_its_reason() {
    let publisher = Publisher::new();
    publisher.put("hello", "1.1.0", &machine());
    publisher.publish(&[]);
    publisher.install(&[]);
    publisher.publish(&["--yank", "hello@1.1.0", "--reason", "it does harm"]);
    let list: &[&str] = &["plugins", "list"];
    let verify: &[&str] = &["plugins", "verify"];
    let upgrade: &[&str] = &["plugins", "upgrade"];
    // Nobody has looked yet.
    assert_eq!(publisher.environment.ztc_ok(verify).stderr, "");
    publisher
        .environment
        .ztc_ok(&["plugins", "search", "hello"]);
    let install: &[&str] = &["plugins", "install", "hello@1.1.0", "--source", "../tree"];
    let text = steps(&publisher, &[upgrade, install, verify, list]);
    insta::assert_snapshot!(text, @"
    $ ztc plugins upgrade
    exit: 0
    --- stderr
    warning: `hello` 1.1.0 was taken back by its publisher: it does harm
      help: where it is not wanted any more, run `ztc plugins install hello@1.0.0 --source file://[ROOT]/tree`, then `ztc plugins remove hello@1.1.0`
    hello 1.1.0 has no newer one that fits, from file://[ROOT]/tree
    $ ztc plugins install hello@1.1.0 --source ../tree
    exit: 0
    --- stderr
    warning: `hello` 1.1.0 was taken back by its publisher: it does harm
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches network example.org:443
    $ ztc plugins verify
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.1.0  signed  file://[ROOT]/tree  ok
    --- stderr
    warning: `hello` 1.1.0 was taken back by its publisher: it does harm
      help: where it is not wanted any more, run `ztc plugins install hello@1.0.0 --source file://[ROOT]/tree`, then `ztc plugins remove hello@1.1.0`
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.1.0  file://[ROOT]/tree  signed  1.0  ok  -
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    --- stderr
    warning: `hello` 1.1.0 was taken back by its publisher: it does harm
      help: where it is not wanted any more, run `ztc plugins install hello@1.0.0 --source file://[ROOT]/tree`, then `ztc plugins remove hello@1.1.0`
    ");
    let reason = |command: &[&str], schema: &str, at: &str| {
        let command = [command, &["--json"]].concat();
        let said = publisher.environment.ztc_ok(&command).json();
        valid(schema, &said);
        let all = said[at].as_array().unwrap();
        let hello = all.iter().find(|one| one["name"] == "hello").unwrap();
        hello["yanked"].as_str().unwrap().to_owned()
    };
    for (command, schema, at) in [
        (list, "plugins-list.schema.json", "plugins"),
        (verify, "plugins-verify.schema.json", "plugins"),
        (upgrade, "plugins-upgrade.schema.json", "current"),
    ] {
        assert_eq!(reason(command, schema, at), "it does harm");
    }
    // As it says.
    let other: &[&str] = &["plugins", "install", "hello@1.0.0", "--source", "../tree"];
    publisher.environment.ztc_ok(other);
    let remove: &[&str] = &["plugins", "remove", "hello@1.1.0"];
    insta::assert_snapshot!(steps(&publisher, &[remove, verify]), @"
    $ ztc plugins remove hello@1.1.0
    exit: 0
    --- stderr
    ✓ removed hello 1.1.0
    $ ztc plugins verify
    exit: 0
    --- stdout
    NAME  VERSION  TRUST  SOURCE  STATUS
    hello  1.0.0  signed  file://[ROOT]/tree  ok
    ");
}

#[test]
fn a_version_that_was_taken_back_is_installed_by_its_number_with_a_warning() {
    let publisher = Publisher::new();
    publisher.put("hello", "1.1.0", &machine());
    publisher.publish(&[]);
    publisher.publish(&["--yank", "hello@1.1.0", "--reason", "it does harm"]);
    let install: &[&str] = &["plugins", "install", "hello@1.1.0", "--source", "../tree"];
    let dry_run = [install, &["--dry-run"]].concat();
    let json = publisher
        .environment
        .ztc_ok(&[&dry_run[..], &["--json"]].concat())
        .json();
    valid("plugins-install.schema.json", &json);
    assert_eq!(
        json["plugins"][0]["warnings"][0],
        "`hello` 1.1.0 was taken back by its publisher: it does harm"
    );
    insta::assert_snapshot!(steps(&publisher, &[&dry_run, install]), @"
    $ ztc plugins install hello@1.1.0 --source ../tree --dry-run
    exit: 0
    --- stderr
    warning: `hello` 1.1.0 was taken back by its publisher: it does harm
    the publisher's key of file://[ROOT]/tree would be trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    ✓ hello 1.1.0 would be installed from file://[ROOT]/tree
      touches network example.org:443
    $ ztc plugins install hello@1.1.0 --source ../tree
    exit: 0
    --- stderr
    the publisher's key of file://[ROOT]/tree is trusted from now on: [KEY]
      compare it with what the publisher shows elsewhere
    warning: `hello` 1.1.0 was taken back by its publisher: it does harm
    ✓ hello 1.1.0 installed from file://[ROOT]/tree
      touches network example.org:443
    ");
    let info = publisher.run(&["plugins", "info", "hello@1.1.0", "--source", "../tree"]);
    assert!(info.stdout.contains("it does harm"), "{info}");
    assert!(!info.stderr.contains("next:"), "{info}");
    let other = publisher.run(&["plugins", "info", "hello@1.0.0", "--source", "../tree"]);
    assert!(other.stderr.contains("next:"), "{other}");
}

#[test]
fn what_is_locked_and_was_taken_back_is_named_without_the_network() {
    let publisher = team();
    rendered(&publisher);
    publisher.publish(&["--yank", "hello@1.0.0", "--reason", "it does harm"]);
    publisher
        .environment
        .ztc_ok(&["plugins", "search", "hello"]);
    let away = publisher.environment.root().join("away");
    std::fs::rename(publisher.tree(), &away).unwrap();
    let commands: [&[&str]; 2] = [&["plugins", "install"], &["plugins", "list"]];
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install
    exit: 0
    --- stderr
    warning: `hello` 1.0.0 was taken back by its publisher: it does harm
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  [REPO]
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    --- stderr
    warning: `hello` 1.0.0 was taken back by its publisher: it does harm
      help: ask its publisher for another version: there is none for this machine
    ");
    // A newer one is the way out, as soon as there is one.
    std::fs::rename(away, publisher.tree()).unwrap();
    release(&publisher, "1.2.0");
    publisher
        .environment
        .ztc_ok(&["plugins", "search", "hello"]);
    let commands = [&commands[..], &[&["plugins", "upgrade", "--dry-run"]]].concat();
    insta::assert_snapshot!(steps(&publisher, &commands), @"
    $ ztc plugins install
    exit: 0
    --- stderr
    warning: `hello` 1.0.0 was taken back by its publisher: it does harm
    ✓ hello 1.0.0 was installed from file://[ROOT]/tree
    $ ztc plugins list
    exit: 0
    --- stdout
    NAME  VERSION  SOURCE  TRUST  PROTOCOL  STATUS  LOCKED BY
    cilium  [VERSION]  built-in  built-in  1.0  ok  -
    hello  1.0.0  file://[ROOT]/tree  signed  1.0  ok  [REPO]
    hetzner  [VERSION]  built-in  built-in  1.0  ok  -
    talos  [VERSION]  built-in  built-in  1.0  ok  -
    --- stderr
    warning: `hello` 1.0.0 was taken back by its publisher: it does harm
      help: where it is not wanted any more, run `ztc plugins install hello@1.2.0 --source file://[ROOT]/tree`
    $ ztc plugins upgrade --dry-run
    exit: 0
    --- stderr
    warning: `hello` 1.0.0 was taken back by its publisher: it does harm
    hello 1.0.0 -> 1.2.0 from file://[ROOT]/tree
      sha256    [SHA256] -> [SHA256]
      protocol  1.0
      inputs    as before
      touches   what it touched before
    ");
}
